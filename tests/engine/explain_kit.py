"""What the tests of whole-model explanations share: tables, models of them, and their rows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import polars as pl

from local_stack.explain.attributing.attributing import Explainer, attribute
from local_stack.explain.attributing.attributions import Attributions
from local_stack.explain.effects.rows import Rows
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model import Model

FOREST = "sklearn.ensemble.RandomForestRegressor"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
STEPS: list[Any] = [
    {"impute": {"columns": "numeric", "strategy": "median"}},
    {"scale": {"columns": "numeric"}},
    {"encode": {"columns": "categorical", "as": "onehot"}},
]
"""What a linear model of scikit-learn needs."""


@functools.cache
def table(n_rows: int = 300) -> pl.DataFrame:
    """Return rows where b changes what a does, c is missing now and then, and noise is noise."""
    generator = np.random.default_rng(11)
    a, b, c, noise = generator.normal(size=(4, n_rows))
    word = generator.choice(["s", "t", "<b>u</b>"], n_rows)
    y = 2 * a * (b > 0) + c + (word == "t") + generator.normal(scale=0.2, size=n_rows)
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "c": [None if n % 9 == 4 else float(it) for n, it in enumerate(c)],
            "noise": noise,
            "word": word,
            "same": ["x"] * n_rows,
            "day": np.datetime64("2024-01-01", "D") + np.arange(n_rows) // 3,
            "is_new": generator.random(n_rows) > 0.5,
            "y": y,
            "label": np.where(y > 0.5, "yes", "no"),
            "grade": np.digitize(y, [-1, 1]),
        }
    )


@functools.cache
def trained(target: str, estimator: str = "lightgbm", *columns: str, ratio: bool = False) -> Model:
    """Return a model of some columns of the table (a, b, c, noise and word when left out)."""
    columns = columns or ("a", "b", "c", "noise", "word")
    dropped = [it for it in table().columns if it not in (*columns, target)]
    steps: list[Any] = [{"drop": {"columns": dropped}}]
    if ratio:
        steps.append({"expression": {"ratio": "pl.col('a') / (pl.col('b') * pl.col('b') + 1)"}})
    if estimator != "lightgbm":
        steps += STEPS if "word" in columns else STEPS[:2]
    params = {"lightgbm": {"n_estimators": 40, "num_leaves": 7}, FOREST: {"n_estimators": 10}}
    recipe = {
        "dataset": "t",
        "target": target,
        "task": "regression" if target == "y" else "classification",
        "estimator": estimator,
        "params": params.get(estimator, {}),
        "features": steps,
        "split": {"seed": 1},
    }
    return fit(parse_recipe(recipe, check=True), table()).model


def rows_of(model: Model, n_rows: int | None = None) -> Rows:
    """Return the first rows of the table."""
    return Rows(model, table() if n_rows is None else table().head(n_rows))


def values_of(rows: Rows) -> Attributions:
    """Return the SHAP values of rows."""
    return attribute(Explainer(rows.model, rows.matrix[:50]), rows.matrix)
