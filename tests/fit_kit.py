"""What the tests of training share: a table, a recipe, and the rows on either side of its split."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from local_stack.runs.fit import Fitted
from local_stack.runs.recipe import Recipe, parse_recipe

BOOSTER = {"n_estimators": 20, "num_leaves": 7}
BY_HAND = {
    "num_leaves": 7,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def table(n_rows: int = 400) -> pl.DataFrame:
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=(2, n_rows))
    y = a + np.sin(3 * b) + generator.normal(scale=0.7, size=n_rows)
    start = np.datetime64("2024-01-01", "D")
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "w": generator.integers(0, 4, n_rows) / 2,
            "day": start + np.arange(n_rows) // 8,
            "word": generator.choice(["s", "t", "u"], n_rows),
            "y": y,
            "label": np.where(y > 1.2, "yes", "no"),
            "grade": np.digitize(y, [-1, 0, 1]),
        }
    )


def recipe(target: str = "y", estimator: str = "lightgbm", **more: Any) -> Recipe:
    dropped = [c for c in ("w", "day", "word", "y", "label", "grade") if c != target]
    used = {more.get("weights"), *(more.get("split") or {}).values()}
    value = {
        "dataset": "t",
        "target": target,
        "task": "regression" if target == "y" else "classification",
        "features": [{"drop": {"columns": [c for c in dropped if c not in used]}}],
        "params": BOOSTER,
        "estimator": estimator,
    }
    return parse_recipe(value | more, check=True)


def sides(frame: pl.DataFrame, found: Fitted) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = np.setdiff1d(np.arange(frame.height), found.test.rows)
    return frame[rows], frame[found.test.rows]


def design(frame: pl.DataFrame) -> np.ndarray:
    return frame[["a", "b"]].to_numpy()


# Weights -----------------------------------------------------------------------------------
