"""Numbers and dates that stand for something else, and rows far out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from findings_kit import by_code, of_column, of_table, profiled, values_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from local_stack.data.profiling.outliers import scale_of


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------ clean columns are silent

SHAPES = {
    "normal": lambda r, n: r.normal(size=n),
    "normal, rounded": lambda r, n: np.round(r.normal(50, 10, n), 1),
    "uniform": lambda r, n: r.uniform(0, 1, n),
    "lognormal": lambda r, n: np.round(r.lognormal(3, 1, n), 2),
    "exponential": lambda r, n: r.exponential(5, n),
    "poisson": lambda r, n: r.poisson(4, n),
    "geometric": lambda r, n: r.geometric(0.05, n),
    "signed changes": lambda r, n: r.integers(-50, 50, n),
    "labels": lambda r, n: r.choice([-1, 1], n),
    "answers": lambda r, n: r.choice([1, 2, 3, 4, 5, 9], n),
    "hours": lambda r, n: r.integers(0, 24, n),
    "days of a month": lambda r, n: r.integers(1, 32, n),
    "ages": lambda r, n: r.integers(18, 100, n),
    "years": lambda r, n: r.integers(1950, 2020, n),
    "longitudes": lambda r, n: np.round(r.uniform(-124, -70, n), 2),
    "ids": lambda r, n: np.arange(n),
    "body mass": lambda r, n: np.round(r.normal(32, 4, n), 1),
    "fares": lambda r, n: np.where(r.random(n) < 0.02, 0, np.round(4 + r.lognormal(2.5, 1, n), 1)),
    "zero-inflated": lambda r, n: np.where(r.random(n) < 0.6, 0, r.exponential(100, n)),
    "cauchy": lambda r, n: r.standard_cauchy(n),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [50, 3000])
def test_ordinary_numbers_are_silent(shape: str, n: int) -> None:
    for seed in range(5):
        assert of_column(SHAPES[shape](_rng(seed), n)) == {}


@given(st.lists(st.integers(-1000, 1000).filter(lambda x: x not in _CODES), max_size=80))
@settings(deadline=None, max_examples=200)
def test_numbers_without_codes_have_no_sentinels_of_few_rows(values: list[int]) -> None:
    found = of_column(pl.Series(values, dtype=pl.Int64))
    if "sentinel" in found:  # a spike far outside of the rest is one without being a known code
        told = values_of(found["sentinel"])
        assert all(count >= 5 for count in told.values())


_CODES = {-1, -9, -99, -999, 9, 99, 999}


@pytest.mark.parametrize(
    "dtype", [pl.Int64, pl.Float64, pl.UInt64, pl.Boolean, pl.Date, pl.Datetime]
)
def test_columns_without_values_are_silent(dtype: Any) -> None:
    for values in ([], [None, None]):
        assert of_column(pl.Series(values, dtype=dtype)) == {}


# ------------------------------------------------------------------ sentinels


@pytest.mark.parametrize(
    ("shape", "code", "n"),
    [
        ("ages", -1, 4),
        ("ages", -999, 4),
        ("ages", 999, 4),
        ("lognormal", -99, 4),
        ("normal, rounded", -999, 4),
        ("normal", 9999, 4),
        ("uniform", -9, 4),
        ("years", 9999, 4),
        ("years", 0, 60),
        ("body mass", 0, 11),
        ("poisson", 99, 10),
        ("ages", 2**31 - 1, 1),
        ("normal", 1e30, 2),
        ("normal, rounded", -32768, 1),
    ],
)
def test_codes_for_missing_are_found_with_their_rows(shape: str, code: float, n: int) -> None:
    values = SHAPES[shape](_rng(), 2000).astype(float)
    values[100 : 100 + n] = code
    found = of_column(values)["sentinel"]
    assert values_of(found) == {code: n}
    assert found.rows == tuple(range(100, 100 + min(n, 10)))
    assert found.value == pytest.approx(n / 2000)
    assert found.value >= found.threshold


def test_all_of_something_is_no_code() -> None:
    shares = np.where(_rng().random(2000) < 0.1, 1, _rng(1).uniform(0, 0.2, 2000))
    assert set(of_column(shares)) == {"heaped"}


def test_several_codes_are_told_together() -> None:
    values = np.append(_rng().integers(0, 40, 1000), [-99] * 5 + [999] * 3 + [9999] * 2)
    assert values_of(of_column(values)["sentinel"]) == {-99: 5, 999: 3, 9999: 2}


def test_codes_below_the_threshold_are_not_told() -> None:
    values = np.append(_rng().integers(0, 40, 1000), [-99])
    assert "sentinel" in of_column(values, p_sentinel=0.0005)
    assert "sentinel" not in of_column(values, p_sentinel=0.01)


def _days(n: int) -> list[date]:
    return [date(2015, 1, 1) + timedelta(days=i * 7 % 2000) for i in range(n)]


@pytest.mark.parametrize("day", ["1900-01-01", "1970-01-01", "9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us")])
def test_days_for_no_date_are_found(day: str, dtype: Any) -> None:
    code = date.fromisoformat(day)
    found = of_column(pl.Series([*_days(500), code, code]).cast(dtype))["sentinel"]
    [(told, n)] = values_of(found).items()
    assert str(told).startswith(day)
    assert (n, found.rows) == (2, (500, 501))


def test_a_known_day_among_others_is_told_only_when_it_is_frequent() -> None:
    births = [date(1950, 1, 1) + timedelta(days=i * 13 % 18_000) for i in range(2000)]
    assert "sentinel" not in of_column([*births, date(1970, 1, 1)])
    assert values_of(of_column([*births, *[date(1970, 1, 1)] * 40])["sentinel"]) == {
        "1970-01-01": 40 + births.count(date(1970, 1, 1))
    }


def test_dates_yet_to_come_are_found_unless_most_are() -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    past = [now - timedelta(days=i) for i in range(100)]
    future = [now + timedelta(days=400 + i) for i in range(3)]
    found = of_column(past + future)["future_dates"]
    assert (found.value, found.threshold, found.rows) == (3, 0, (100, 101, 102))
    assert "future_dates" not in of_column(future * 50)
    assert "future_dates" not in of_column([*past, now + timedelta(hours=12)])


# ------------------------------------------------------------------ heaps and written dates


@pytest.mark.parametrize("side", ["maximum", "minimum"])
def test_values_cut_off_at_an_end_are_found(side: str) -> None:
    values = np.round(_rng().normal(100, 20, 3000), 1)
    cut = np.minimum(values, 125.0) if side == "maximum" else np.maximum(values, 75.0)
    found = of_column(cut)["heaped"]
    expected = (cut == (125.0 if side == "maximum" else 75.0)).sum()
    assert list(values_of(found).values()) == [expected]
    assert found.value == pytest.approx(expected / 3000)
    assert f"at the {side}" in found.message
    assert all(cut[row] in (75.0, 125.0) for row in found.rows)


def test_zeros_and_ones_are_natural_ends() -> None:
    values = np.where(_rng().random(2000) < 0.4, 1, _rng().integers(1, 200, 2000))
    assert of_column(values) == {}


def test_numbers_that_write_dates_are_found() -> None:
    days = [int(day.strftime("%Y%m%d")) for day in _days(300)]
    assert "2015-01-01" in of_column(days)["dates_as_numbers"].message
    assert "dates_as_numbers" not in of_column([*days, 20151345])
    assert "dates_as_numbers" not in of_column(_rng().integers(19_500_101, 20_201_231, 300))


# ------------------------------------------------------------------ rows far out


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_the_interquartile_range(seed: int) -> None:
    x = _rng(seed).normal(5, 3, 4001)
    _, columns = profiled({"a": x})
    counted = columns["a"].tally
    assert counted is not None
    scale = scale_of(counted)
    assert scale is not None
    found = scale.distances(counted.values)
    assert scale.far(counted.values, 2.5).tolist() == np.flatnonzero(found >= 2.5).tolist()
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    normal_iqr = stats.norm.ppf(0.75) - stats.norm.ppf(0.25)
    for value, distance in zip(counted.values, found, strict=True):
        side = middle - low if value < middle else high - middle
        unit = max(high - low, 2 * side) / normal_iqr
        assert distance == pytest.approx(abs(value - middle) / unit, rel=1e-9)


def test_rows_far_out_are_named_with_the_columns_that_put_them_there() -> None:
    table = {"a": _rng(1).normal(size=1000), "b": _rng(2).normal(size=1000)}
    assert not by_code(of_table(table), "outlier_rows")
    table["a"][[7, 8]] = 60, -40
    table["b"][900] = 1e6
    [found] = by_code(of_table(table), "outlier_rows")
    assert found.rows == (900, 7, 8)
    assert values_of(found) == {"a": 2, "b": 1}
    assert "row 900 of 'b'" in found.message
    assert found.value > found.threshold == 10


def test_heavy_tails_are_no_rows_far_out() -> None:
    table = {
        "money": np.round(_rng().lognormal(8, 1.2, 3000), 2),
        "cauchy": _rng(1).standard_cauchy(3000),
        "flag": _rng(2).integers(0, 2, 3000),
        "constant": np.ones(3000),
    }
    assert not by_code(of_table(table), "outlier_rows")
