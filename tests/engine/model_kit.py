"""What the tests of models share: one table, a few trained models, and a pickle that bites."""

from __future__ import annotations

import functools
import hashlib
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model_files import Model

N_ROWS = 240


def table() -> pl.DataFrame:
    generator = np.random.default_rng(8)
    x = generator.normal(size=N_ROWS)
    k = generator.integers(0, 9, N_ROWS)
    word = generator.choice(["a", "b", "[/nope]", "é"], N_ROWS)
    y = 2 * x + (word == "b") * 3 + (k % 3) + generator.normal(scale=0.2, size=N_ROWS)
    return pl.DataFrame(
        {
            "x": [None if i % 13 == 5 else float(v) for i, v in enumerate(x)],
            "k": k,
            "word": [None if i % 17 == 2 else str(w) for i, w in enumerate(word)],
            "flag": y > 0,
            "day": [date(2024, 1, 1) + timedelta(days=i) for i in range(N_ROWS)],
            "y": y,
            "label": np.where(y > 1, "yes", "no"),
            "grade": np.digitize(y, [0, 2, 4]),
        }
    )


def trained(target: str, estimator: str = "lightgbm", **params: Any) -> Model:
    others = [c for c in ("y", "label", "grade") if c != target]
    steps: list[Any] = [
        {"drop": {"columns": others}},
        {"dates": {"columns": ["day"], "parts": ["month", "dayofweek", "elapsed_days"]}},
    ]
    if estimator.startswith("sklearn."):
        steps += [
            {"impute": {"columns": "numeric", "strategy": "median"}},
            {"scale": {"columns": "numeric"}},
            {"encode": {"columns": "categorical", "as": "onehot"}},
        ]
    task = "regression" if target == "y" else "classification"
    value = {"dataset": "t", "target": target, "task": task, "features": steps}
    value |= {"estimator": estimator, "params": params}
    return fit(parse_recipe(value), table()).model


@functools.cache
def trained_models() -> dict[str, Model]:
    logistic = "sklearn.linear_model.LogisticRegression"
    return {
        "booster": trained("y", n_estimators=30, num_leaves=7, min_data_per_group=5),
        "binary": trained("label", n_estimators=10),
        "many": trained("grade", n_estimators=10),
        "net": trained("y", "sklearn.linear_model.ElasticNet", alpha=0.05),
        "logistic": trained("label", logistic, max_iter=500),
        "forest": trained("grade", "sklearn.ensemble.RandomForestClassifier", n_estimators=5),
    }


BOMBED = Path("/tmp/paceml-bomb-went-off")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {BOMBED}",)


def rehashed(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
