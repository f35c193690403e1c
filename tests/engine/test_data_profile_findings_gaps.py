"""Where values are missing, and what gaps tell of the target."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from findings_kit import by_code, of_table, profiled, rng
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from local_stack.data.profiling.missing import chi2_tail, depends, missing_of
from local_stack.data.profiling.table import Table

close = pytest.approx
cells = st.one_of(st.none(), st.integers(0, 3))
rows = st.lists(st.tuples(cells, cells, cells, cells), max_size=40)


@given(rows)
@settings(deadline=None, max_examples=150)
@pytest.mark.filterwarnings("ignore:invalid value encountered")  # pandas, of one row
def test_gaps_equal_pandas(given_rows: list[Any]) -> None:
    kinds = {"a": pl.Int64, "b": pl.Float64, "c": pl.String, "d": pl.Boolean}
    data = [
        [
            a,
            None if b is None else float(b),
            None if c is None else str(c),
            None if d is None else d > 1,
        ]
        for a, b, c, d in given_rows
    ]
    table, columns = profiled(pl.DataFrame(data, schema=kinds, orient="row"))
    found = missing_of(table, columns)
    gaps = pd.DataFrame(given_rows, columns=list("abcd")).isna()
    assert found.columns == tuple("abcd")
    assert found.n_complete_rows == (~gaps.any(axis=1)).sum() if given_rows else True
    for block, shares in enumerate(found.matrix):
        expected = gaps[block * found.block_rows : (block + 1) * found.block_rows].mean()
        assert shares == close(expected.tolist())
    held = [name for name in gaps if 0 < gaps[name].sum() < len(gaps)]
    assert found.nullity.columns == tuple(held)
    expected = gaps[held].astype(float).corr()
    for one, other, value in found.nullity.pairs():
        assert value == close(expected.loc[one, other], rel=1e-9, abs=1e-9)
    sets = gaps.apply(lambda row: tuple(row.index[row]), axis=1) if given_rows else pd.Series([])
    counts = sets.value_counts()
    assert {it.columns: it.count for it in found.patterns} == counts.to_dict()
    assert [it.count for it in found.patterns] == sorted(counts, reverse=True)


def test_gaps_of_many_columns_and_rows_equal_pandas(tmp_path: Path) -> None:
    random = rng()
    gaps = random.random((1003, 130)) < random.random(130) * 0.1
    frame = pl.DataFrame({f"x{i}": np.where(gaps[:, i], np.nan, 1.0) for i in range(130)})
    frame = frame.with_columns(pl.lit("same").alias("full"))
    frame.write_parquet(tmp_path / "t.parquet")
    _, columns = profiled(frame)
    found = missing_of(Table(tmp_path / "t.parquet"), columns)
    reference = pd.DataFrame(gaps)
    assert (len(found.matrix), found.block_rows) == (92, 11)
    assert found.matrix[91] == close([*reference[1001:].mean(), 0.0])
    expected = reference.loc[:, reference.any()].iloc[:, :100].astype(float).corr().to_numpy()
    assert np.array(found.nullity.values) == close(expected, rel=1e-9, abs=1e-9)
    assert len(found.nullity.left_out) == reference.any().sum() - 100
    assert found.n_complete_rows == (~reference.any(axis=1)).sum()


def test_infinities_and_texts_without_codes_are_told_from_gaps() -> None:
    n = 1600
    frame = {
        "x": [math.inf, None, math.nan, 1.0] * (n // 4),
        "t": [None if i % 4 == 1 else f"text {i}" for i in range(n)],
    }
    table, columns = profiled(frame)
    assert columns["t"].codes is None
    found = missing_of(table, columns)
    assert found.n_complete_rows == n // 2
    assert found.nullity.values[0][1] == close(1 / math.sqrt(3))


@given(st.integers(1, 60), st.floats(0, 300))
@settings(deadline=None)
def test_tails_of_chi_squared_equal_scipy(n_degrees: int, x: float) -> None:
    assert chi2_tail(x, n_degrees) == close(stats.chi2.sf(x, n_degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("seed", range(4))
def test_gaps_that_tell_of_classes_equal_scipy(seed: int) -> None:
    random = rng(seed)
    target = random.choice(list("xyz"), 600)
    missing = random.random(600) < np.where(target == "x", 0.4, 0.2)
    _, columns = profiled({"y": target})
    found = depends(missing, columns["y"])
    assert found is not None
    table = pd.crosstab(missing, target)
    expected = stats.chi2_contingency(table, correction=False)
    assert found.p_value == close(expected.pvalue, rel=1e-9)
    assert found.effect == close(math.sqrt(expected.statistic / 600), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [0, 1, 8])
def test_gaps_that_tell_of_numbers_equal_scipy(seed: int, digits: int) -> None:
    random = rng(seed)
    target = np.round(random.normal(0, 30, 500), digits)
    missing = random.random(500) < np.where(target > 10, 0.4, 0.3)
    _, columns = profiled({"y": target})
    found = depends(missing, columns["y"])
    assert found is not None
    expected = stats.mannwhitneyu(
        target[missing], target[~missing], method="asymptotic", use_continuity=False
    )
    assert found.p_value == close(expected.pvalue, rel=1e-9)
    pairs_ = missing.sum() * (~missing).sum()
    assert found.effect == close(abs(2 * expected.statistic / pairs_ - 1), abs=1e-12)


def test_gaps_are_told_once_for_columns_that_miss_the_same_rows() -> None:
    random = rng()
    y = random.integers(0, 2, 2000)
    gaps = random.random(2000) < np.where(y == 1, 0.4, 0.1)
    table = {
        "y": y,
        "a": np.where(gaps, np.nan, random.normal(size=2000)),
        "b": [None if gap else f"t{i % 7}" for i, gap in enumerate(gaps)],
        "by chance": np.where(random.random(2000) < 0.3, np.nan, 1.5),
    }
    alerts = of_table(table, "y")
    [together] = by_code(alerts, "missing_together")
    assert (together.columns, together.value) == (("a", "b"), gaps.sum())
    assert together.rows == tuple(np.flatnonzero(gaps)[:10].tolist())
    [telling] = by_code(alerts, "missing_depends_on_target")
    assert (telling.column, telling.other_column, telling.columns) == ("a", "y", ("a", "b"))
    p_value = stats.chi2_contingency(pd.crosstab(gaps, y), correction=False).pvalue
    assert telling.value == close(2 * p_value, rel=1e-9)  # Bonferroni: two sets of rows tested
    assert not by_code(of_table(table), "missing_depends_on_target")
