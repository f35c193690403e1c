"""What the tests of fairness share: drawn decisions with groups, and how near is equal."""

from __future__ import annotations

import numpy as np
import polars as pl

from local_stack.explain.groups.grouping import Grouping
from local_stack.explain.groups.metrics import Decisions

EXACT = {"rel": 1e-9, "abs": 1e-12}


def rows(n: int = 600, *, is_weighted: bool = False, seed: int = 3) -> tuple[Decisions, Grouping]:
    generator = np.random.default_rng(seed)
    codes = generator.choice(4, n, p=[0.45, 0.35, 0.17, 0.03])
    score = 1 / (1 + np.exp(-(generator.normal(size=n) + np.array([0.5, -0.4, 0.0, 1.0])[codes])))
    truth = generator.uniform(size=n) < score**1.3
    weights = generator.integers(0, 5, n) / 2 if is_weighted else None
    named = Grouping(("g",), ("a", "b", "c", "few"), codes)
    return Decisions(truth, score >= 0.5, np.round(score, 3), weights), named


def people(n_rows: int = 500) -> pl.DataFrame:
    """Applicants: women are chosen as often as men with the same income, which is lower."""
    generator = np.random.default_rng(4)
    is_woman = generator.uniform(size=n_rows) < 0.4
    income = generator.normal(50, 9, n_rows) - 7 * is_woman
    debt = generator.normal(20, 6, n_rows)
    said = income - debt + generator.normal(0, 6, n_rows) > 26
    return pl.DataFrame(
        {
            "sex": np.where(is_woman, "<b>f</b>", "m\x1b[2J"),
            "age": generator.integers(18, 75, n_rows),
            "income": income,
            "debt": debt,
            "w": generator.integers(1, 4, n_rows),
            "outcome": np.where(said, "good", "bad"),
        }
    )
