"""What the tests of single rows share: models of real and made-up tables, and how to ask them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack.explain.attributing.attributing import Explainer
from local_stack.explain.deciding.columns import Space, space_of
from local_stack.explain.deciding.constraints import Limit
from local_stack.explain.deciding.counterfactuals import Setting
from local_stack.preparation.fitting import raw_columns
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model import Model

NUMBERS_AND_WORDS: list[Any] = [
    {"impute": {"columns": "numeric", "strategy": "median"}},
    {"impute": {"columns": "categorical", "strategy": "most_frequent"}},
    {"encode": {"columns": "categorical", "as": "onehot"}},
    {"scale": {"columns": "numeric"}},
]


class Case:
    """A model with the rows it learnt from."""

    def __init__(self, frame: pl.DataFrame, target: str, **keys: Any) -> None:
        recipe = parse_recipe({"dataset": "t", "target": target, **keys})
        self.frame, self.target = frame, target
        self.model: Model = fit(recipe, frame).model
        self.raw = raw_columns(frame, self.model.inputs)
        self.space: Space = space_of(self.model.inputs, self.raw)
        matrix = self.model.matrix(self.raw)
        self.explainer = Explainer(self.model, matrix[:100])

    def row(self, index: int) -> dict[str, Any]:
        return self.model.preparation.validate_row(self.space.row(self.space.coded[index]))

    def setting(self, limits: Mapping[str, Limit] | None = None) -> Setting:
        given = limits or {}
        found = [given.get(name, Limit()) for name in self.space.names]
        numbers = np.arange(self.frame.height)
        return Setting(self.model, self.space, found, numbers, self.frame[self.target].to_list())

    def says(self, row: Mapping[str, Any]) -> Any:
        """What the model says of JSON values, by way of a table of one row."""
        checked = self.model.preparation.validate_row(row)
        schema = {name: self.frame.schema[name] for name in checked}
        frame = pl.DataFrame({name: [value] for name, value in checked.items()}, schema=schema)
        return self.model.predict(raw_columns(frame, self.model.inputs))[0]


def loans(n: int = 300) -> pl.DataFrame:
    """Loans with every type of column, some values missing, names that bite."""
    generator = np.random.default_rng(3)
    income = generator.integers(8, 60, n) * 100
    months = generator.choice([6, 12, 18, 24, 36, 48], n)
    home = generator.choice(["own", "rent", "[/nope]\x1b[31m"], n)
    is_known = generator.random(n) < 0.3
    days = generator.integers(0, 70, n) * 10
    score = income / 1500 - months / 20 + (home == "own") + 1.5 * is_known - days / 300
    paid = score + generator.normal(scale=0.4, size=n) > 0.2
    return pl.DataFrame(
        {
            "income": [None if at % 17 == 3 else int(it) for at, it in enumerate(income)],
            "months": months,
            "rate": np.round(generator.uniform(1, 9, n), 1),
            "home": [None if at % 19 == 4 else str(it) for at, it in enumerate(home)],
            "is_known": is_known,
            "since": [date(2020, 1, 1) + timedelta(days=int(it)) for it in days],
            "paid": np.where(paid, "yes", "no"),
            "grade": np.digitize(score, [-0.5, 1.0]),
            "limit": np.round(1000 * score + 3000),
        }
    )


@functools.cache
def loan_case(target: str = "paid", estimator: str = "lightgbm") -> Case:
    others = sorted({"paid", "grade", "limit"} - {target})
    steps: list[Any] = [
        {"drop": {"columns": others}},
        {"dates": {"columns": ["since"], "parts": ["elapsed_days"]}},
    ]
    keys: dict[str, Any] = {"estimator": estimator}
    if estimator == "lightgbm":
        keys["params"] = {"n_estimators": 25, "num_leaves": 7, "num_threads": 1}
    else:
        steps += NUMBERS_AND_WORDS
    task = "regression" if target == "limit" else "classification"
    return Case(loans(), target, features=steps, task=task, **keys)


@functools.cache
def real_case(folder: Path, name: str) -> Case:
    """A small model of German credit, titanic or wine quality."""
    booster = {"params": {"n_estimators": 30, "num_leaves": 9, "num_threads": 1}}
    if name == "credit":
        frame = pl.read_csv(folder / "tabular" / "german_credit.csv")
        return Case(frame, "default", task="classification", threshold=0.3, **booster)
    if name == "titanic":
        frame = pl.read_csv(folder / "tabular" / "titanic.csv")
        steps = [{"drop": {"columns": ["name", "ticket", "cabin"]}}, *NUMBERS_AND_WORDS]
        keys = {"task": "classification", "estimator": "sklearn.linear_model.LogisticRegression"}
        return Case(frame, "survived", features=steps, **keys)
    frame = pl.read_csv(folder / "tabular" / "wine-quality.csv", infer_schema_length=None)[:1500]
    return Case(frame, "quality", task="regression", **booster)


def changed(row: Mapping[str, Any], changes: Sequence[Any]) -> dict[str, Any]:
    return {**row, **{change.feature: change.after for change in changes}}
