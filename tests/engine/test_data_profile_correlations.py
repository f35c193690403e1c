"""Correlations in a profile against pandas, SciPy and definitions written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from profile_kit import assert_same_matrix, typed_table
from scipy import stats

from local_stack.data.profiling.profile import profile_frame

close = pytest.approx
GENERATOR = np.random.default_rng(11)


def test_correlations_over_the_rows_of_both_equal_pandas() -> None:
    frame = typed_table(3000).with_columns(
        cents=pl.when(pl.col("x") > 40).then(pl.col("cents")),
        only=pl.when(pl.col("count") == 7).then(pl.col("linear")),
    )
    found = profile_frame(frame).correlations
    numeric = frame.select("x", "linear", "cents", "count", "huge", "only").to_pandas()
    assert_same_matrix(found.pearson, numeric.corr())
    assert_same_matrix(found.spearman, numeric.corr("spearman"))


def test_rows_that_cancel_out_are_taken_one_by_one() -> None:
    far = np.r_[1e12 + np.arange(8.0), GENERATOR.normal(0, 1, 500)]
    near = np.r_[np.arange(8.0) ** 2, np.full(500, np.nan)]
    found = profile_frame(pl.DataFrame({"far": far, "near": near})).correlations.pearson
    expected = stats.pearsonr(np.arange(8.0), near[:8]).statistic
    assert found.values[0][1] == close(expected, rel=1e-6)
    constant = np.r_[np.full(8, 5.0), GENERATOR.normal(0, 1, 500)]
    found = profile_frame(pl.DataFrame({"a": constant, "near": near})).correlations.pearson
    assert found.values[0][1] is None


def test_kendall_is_made_on_request_only() -> None:
    frame = typed_table(800)
    assert profile_frame(frame).correlations.kendall is None
    found = profile_frame(frame, kendall=True).correlations
    numeric = frame.select("x", "linear", "cents", "count", "huge").to_pandas()
    assert found.kendall is not None
    assert found.kendall_rows == 800
    assert_same_matrix(found.kendall, numeric.corr("kendall"))


def test_a_number_and_a_category_have_kelleys_correlation_ratio() -> None:
    frame = typed_table(2000).with_columns(
        shifted=pl.col("linear")
        + pl.col("group").replace_strict({"a": 0, "b": 40, "c": 90}, default=0)
    )
    found = profile_frame(frame).correlations.mixed
    places = {name: place for place, name in enumerate(found.columns)}
    for number in ("x", "linear", "shifted", "count"):
        for category in ("group", "flag", "text"):
            both = frame.select(number, category).drop_nulls()
            expected = _kelley(both[number].to_numpy().astype(float), both[category].to_list())
            assert found.values[places[number]][places[category]] == close(expected, abs=1e-9)
            assert found.values[places[category]][places[number]] == close(expected, abs=1e-9)
    assert found.values[places["shifted"]][places["group"]] > 0.5


def _kelley(x: np.ndarray, labels: list[Any]) -> float:
    groups = [x[[label == each for label in labels]] for each in sorted(set(labels))]
    within = sum(((part - part.mean()) ** 2).sum() for part in groups)
    total = ((x - x.mean()) ** 2).sum()
    share = 1 - (within / (len(x) - len(groups))) / (total / (len(x) - 1))
    return math.sqrt(max(0.0, share))


def test_mixed_takes_spearman_and_cramers_v_from_the_others() -> None:
    found = profile_frame(typed_table(500)).correlations
    mixed = {(a, b): value for a, b, value in found.mixed.pairs()}
    for first, second, value in found.spearman.pairs():
        assert mixed[first, second] == close(abs(value), abs=1e-12)
    for first, second, value in found.cramers_v.pairs():
        assert mixed[first, second] == value
