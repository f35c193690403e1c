"""Tables of every type, and what a profile says of their columns."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from local_stack.data.profiling.shape import DatasetProfile, Matrix, NumberStatistics

close = pytest.approx
RELATIVE = 1e-9


def numbers_of(profile: DatasetProfile, name: str) -> NumberStatistics:
    """Return what is said of a column of numbers."""
    found = profile.variable(name).numbers
    assert found is not None
    return found


def typed_table(n: int) -> pl.DataFrame:
    """Return a table of every type, with missing values in several patterns."""
    generator = np.random.default_rng(n)
    x = generator.normal(50, 12, n)
    frame = pl.DataFrame(
        {
            "x": x,
            "linear": 3 * x + generator.normal(0, 1, n),
            "cents": np.round(generator.lognormal(3, 1, n), 2),
            "count": generator.poisson(4, n),
            "huge": generator.integers(-(2**62), 2**62, n),
            "group": generator.choice(["a", "b", "c"], n),
            "flag": generator.random(n) < 0.3,
            "day": [
                date(2020, 1, 1) + timedelta(days=int(d)) for d in generator.integers(0, 900, n)
            ],
            "text": generator.choice(["one two", "Two  three", "", " four", "ünï"], n),
        }
    )
    for name, share in (("x", 0.1), ("cents", 0.3), ("group", 0.2), ("text", 0.05)):
        keep = pl.Series(generator.random(n) >= share)
        frame = frame.with_columns(pl.when(keep).then(pl.col(name)).alias(name))
    return frame


def assert_same_matrix(found: Matrix, expected: pd.DataFrame, tolerance: float = RELATIVE) -> None:
    """Check every pair of columns, missing values too."""
    assert found.columns == tuple(expected.columns)
    for name, row in zip(found.columns, found.values, strict=True):
        for other, value in zip(found.columns, row, strict=True):
            wanted = expected.loc[name, other]
            if value is None:
                assert math.isnan(wanted)
            else:
                assert value == close(wanted, rel=tolerance, abs=tolerance), (name, other)
