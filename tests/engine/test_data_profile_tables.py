"""Profiles of whole tables against pandas, NumPy and statsmodels."""

from __future__ import annotations

import json
import math
import string
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_kit import RELATIVE, assert_same_matrix, numbers_of, typed_table
from scipy import stats
from statsmodels.tsa.stattools import acf, adfuller, pacf

from local_stack.data import adding, profiles
from local_stack.data.profiling import interactions, rows, texts
from local_stack.data.profiling.profile import profile_frame, profile_table
from local_stack.data.profiling.shape import Matrix
from local_stack.data.profiling.table import Table
from local_stack.errors import InputError
from local_stack.workspace import Workspace

close = pytest.approx
GENERATOR = np.random.default_rng(11)


# ------------------------------------------------------------------ columns


@given(
    st.lists(st.one_of(st.none(), st.integers(-20, 20).map(lambda k: k / 4)), max_size=60),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_spread_outliers_extremes_and_order_equal_pandas(
    values: list[float | None], is_sorted: bool
) -> None:
    if is_sorted:
        values = sorted(v for v in values if v is not None)
    found = numbers_of(profile_frame(pl.DataFrame({"a": pl.Series(values, dtype=pl.Float64)})), "a")
    x = pd.Series(values, dtype="float64").dropna()
    if not len(x):
        assert (found.range, found.iqr, found.smallest, found.monotonicity) == (
            None,
            None,
            (),
            None,
        )
        return
    low, high = x.quantile(0.25), x.quantile(0.75)
    fence = 1.5 * (high - low)
    assert found.range == close(x.max() - x.min())
    assert found.iqr == close(high - low)
    assert found.n_outliers == ((x < low - fence) | (x > high + fence)).sum()
    counted = x.value_counts()
    for listed, is_ascending in ((found.smallest, True), (found.largest, False)):
        expected = counted.sort_index(ascending=is_ascending).head(10)
        assert [(it.value, it.count) for it in listed] == list(expected.items())
    if x.mean() and len(x) > 1:
        assert found.cv == close(x.std() / x.mean(), rel=RELATIVE)
    assert found.monotonicity == _expected_order(x)


def _expected_order(x: pd.Series[float]) -> str | None:
    if x.nunique() < 2:
        return None
    strictly = "strictly " if x.is_unique else ""
    if x.is_monotonic_increasing:
        return f"{strictly}increasing"
    return f"{strictly}decreasing" if x.is_monotonic_decreasing else None


@pytest.mark.parametrize("decimals", [0, 1, 2, 3, 4])
def test_decimals_counted_by_bins_equal_those_counted_by_a_sort(decimals: int) -> None:
    x = np.round(GENERATOR.normal(0, 3, 5000), decimals)
    found = profile_frame(pl.DataFrame({"a": x})).variable("a")
    expected = pd.Series(x + 0.0).value_counts()
    assert found.n_distinct == len(expected)
    assert found.n_unique == (expected == 1).sum()
    top = sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [(it.value, it.count) for it in found.top_values] == top


def test_floats_that_are_no_decimals_are_not_rounded() -> None:
    x = np.round(GENERATOR.normal(0, 3, 3000), 2)
    x[1500] = np.nextafter(x[1500], 9)
    found = numbers_of(profile_frame(pl.DataFrame({"a": x})), "a")
    assert found.sum == close(math.fsum(x), rel=1e-12)
    assert profile_frame(pl.DataFrame({"a": x})).variable("a").n_distinct == len(np.unique(x))


def test_bins_of_whole_numbers_hold_the_same_number_of_them() -> None:
    found = numbers_of(profile_frame(pl.DataFrame({"year": list(range(1950, 1972)) * 50})), "year")
    assert found.histogram is not None
    assert set(found.histogram.counts) == {100}
    assert (found.histogram.edges[0], found.histogram.edges[-1]) == (1950, 1972)


@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), max_size=40))
@settings(deadline=None, max_examples=150)
def test_words_and_characters_equal_python(values: list[str | None]) -> None:
    series = pl.Series(values, dtype=pl.String)
    found = profile_frame(pl.DataFrame({"a": series})).variable("a").text
    held = [value for value in series.to_list() if value is not None]
    if not held:
        assert found is None
        return
    assert found is not None
    characters = Counter("".join(held))
    assert found.n_characters == sum(characters.values())
    assert found.n_distinct_characters == len(characters)
    top = sorted(characters.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [(it.value, it.count) for it in found.characters] == top
    assert sum(it.count for it in found.categories) <= found.n_characters
    assert (found.n_texts, found.is_sample) == (len(held), False)
    assert found.n_empty == held.count("")


def test_words_are_counted_in_lower_case_whatever_lies_between_them() -> None:
    values = ["Good  morning", "good\tNight\n", "", " good "]
    found = profile_frame(pl.DataFrame({"a": values})).variable("a").text
    assert found is not None
    assert [(it.value, it.count) for it in found.words] == [
        ("good", 3),
        ("morning", 1),
        ("night", 1),
    ]
    assert (found.n_words, found.n_padded, found.n_empty) == (5, 2, 1)
    scripts = profile_frame(pl.DataFrame({"a": ["Ab ж", "й9"]})).variable("a").text
    assert scripts is not None
    assert [(it.value, it.count) for it in scripts.scripts] == [
        ("Common", 2), ("Cyrillic", 2), ("Latin", 2)
    ]  # fmt: skip


def test_many_different_texts_are_sampled_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_SORTED", 100)
    values = [f"{word}-{i % 150}" for i, word in enumerate(["x", "y", "z"] * 100)]
    found = profile_frame(pl.DataFrame({"a": values})).variable("a")
    assert found.text is not None
    assert found.text.is_sample
    assert found.text.n_texts < 300
    assert found.text.n_characters == sum(map(len, values))
    counted = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    assert [(it.value, it.count) for it in found.top_values] == counted[:10]


def test_texts_that_hardly_repeat_are_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_SORTED", 100)
    values = [f"text {i}" for i in range(990)] + ["text 3"] * 4 + ["text 7"] * 2 + ["new"]
    series = pl.Series(values).shuffle(seed=1)
    assert texts._hardly_repeats(series)
    counted = dict(texts.counted_texts(series).iter_rows())
    assert counted == Counter(values)
    found = profile_frame(pl.DataFrame({"a": series})).variable("a")
    assert [(it.value, it.count) for it in found.top_values[:4]] == [
        ("text 3", 5), ("text 7", 3), ("new", 1), ("text 0", 1)
    ]  # fmt: skip
    assert (found.n_distinct, found.n_unique) == (991, 989)


def test_lengths_are_those_of_every_row() -> None:
    values = ["a" * k for k in [0, 1, 1, 5, 9, 9, 9, 30]]
    found = profile_frame(pl.DataFrame({"a": values})).variable("a").lengths
    assert found is not None
    assert found.histogram is not None
    lengths = [len(value) for value in values]
    counts, _ = np.histogram(lengths, bins=np.array(found.histogram.edges, dtype=float))
    assert list(found.histogram.counts) == counts.tolist()
    assert (found.mean, found.median) == (np.mean(lengths), np.median(lengths))


# ------------------------------------------------------------------ rows


def test_duplicate_rows_are_listed_with_how_often_they_occur() -> None:
    frame = pl.DataFrame({"a": [1, 1, 2, 1, 2, 3], "b": ["x", "x", None, "x", None, "z"]})
    found = profile_frame(frame)
    assert found.overview.n_duplicate_rows == 3
    assert found.duplicates.rows == (("1", "x"), ("2", None))
    assert found.duplicates.counts == (3, 2)


def test_rows_that_only_hash_alike_are_no_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rows.RowHashes, "repeated", lambda self: np.arange(self._hashes.size, dtype=np.int64)
    )
    frame = typed_table(300)
    assert profile_frame(frame).overview.n_duplicate_rows == frame.height - frame.n_unique()


def test_both_infinities_and_missing_values_are_told_apart_in_rows() -> None:
    frame = pl.DataFrame({"a": [math.inf, -math.inf, None, math.inf]})
    assert profile_frame(frame).overview.n_duplicate_rows == 1


def test_the_sample_shows_both_ends() -> None:
    frame = pl.DataFrame({"a": range(100), "d": [date(2020, 2, 29)] * 100, "t": [True] * 100})
    found = profile_frame(frame).sample
    assert found.numbers == (*range(10), *range(90, 100))
    assert found.rows[0] == ("0", "2020-02-29", "true")
    assert profile_frame(frame.head(12)).sample.numbers == tuple(range(12))


# ------------------------------------------------------------------ series and interactions


def test_series_equal_statsmodels() -> None:
    n = 400
    days = [date(2021, 1, 1) + timedelta(days=k) for k in range(n)]
    wave = np.sin(np.arange(n) * 2 * math.pi / 7) + GENERATOR.normal(0, 0.2, n)
    walk = np.cumsum(GENERATOR.normal(0, 1, n))
    order = GENERATOR.permutation(n)
    frame = pl.DataFrame({"day": days, "wave": wave, "walk": walk})[order]
    found = profile_frame(frame, time="day")
    for name, x in (("wave", wave), ("walk", walk)):
        series = found.variable(name).series
        assert series is not None
        assert series.autocorrelation == close(
            acf(x, nlags=48, fft=False)[1:], rel=RELATIVE, abs=1e-9
        )
        partial = pacf(x, nlags=48, method="ldb")[1:]
        assert series.partial_autocorrelation == close(tuple(partial), rel=1e-8, abs=1e-9)
        expected = adfuller(x, autolag="AIC", maxlag=20, result_object=False)
        assert (series.adf_statistic, series.adf_p_value) == close(expected[:2], rel=RELATIVE)
    wave_series, walk_series = found.variable("wave").series, found.variable("walk").series
    assert wave_series is not None
    assert walk_series is not None
    assert wave_series.season in (7, 14, 21, 28, 35, 42)
    assert wave_series.is_stationary
    assert not walk_series.is_stationary


def test_steps_between_dates_and_their_largest_gap() -> None:
    days = [date(2024, 1, 1) + timedelta(days=k) for k in (0, 1, 1, 2, 3, 10, 11, 12)]
    found = profile_frame(pl.DataFrame({"day": days})).variable("day").dates
    assert found is not None
    assert (found.step_days, found.largest_gap_days) == (1.0, 7.0)
    assert found.largest_gap_at == "2024-01-04"
    moments = pl.Series(days).cast(pl.Datetime("us"))
    found = profile_frame(pl.DataFrame({"at": moments})).variable("at").dates
    assert found is not None
    assert (found.step_days, found.largest_gap_days) == (1.0, 7.0)


def test_urls_and_paths_are_taken_apart() -> None:
    urls = ["https://a.example/x/1.html", "https://a.example:8080/y?q=1", "http://u@b.example"] * 4
    found = profile_frame(pl.DataFrame({"u": urls})).variable("u").text
    assert found is not None
    parts = {it.name: [(v.value, v.count) for v in it.values] for it in found.parts}
    assert found.form == "url"
    assert parts["scheme"] == [("https", 8), ("http", 4)]
    assert parts["host"] == [("a.example", 8), ("b.example", 4)]
    assert parts["suffix"] == [(".html", 4)]
    paths = ["/srv/data/a.csv", "/srv/data/b.csv", "C:\\data\\c.txt"] * 4
    found = profile_frame(pl.DataFrame({"p": paths})).variable("p").text
    assert found is not None
    parts = {it.name: [(v.value, v.count) for v in it.values] for it in found.parts}
    assert found.form == "path"
    assert parts["folder"] == [("/srv/data", 8), ("C:\\data", 4)]
    assert parts["suffix"] == [(".csv", 8), (".txt", 4)]
    found = profile_frame(pl.DataFrame({"t": ["good", "and/or", "a: b"] * 9})).variable("t").text
    assert found is not None
    assert found.form is None


def test_a_time_column_must_hold_dates() -> None:
    with pytest.raises(InputError, match="'a' holds long values"):
        profile_frame(pl.DataFrame({"a": [1, 2]}), time="a")


def test_interactions_count_the_rows_that_hold_both() -> None:
    frame = typed_table(900)
    found = {(it.x, it.y): it for it in profile_frame(frame).interactions}
    grid = found["linear", "count"]
    x, y = frame["linear"].to_numpy(), frame["count"].to_numpy().astype(float)
    clipped = [
        np.clip(v, edges[0], edges[-1]) for v, edges in ((x, grid.x_edges), (y, grid.y_edges))
    ]
    expected, _, _ = np.histogram2d(*clipped, bins=[np.array(grid.x_edges), np.array(grid.y_edges)])
    assert np.array_equal(np.array(grid.counts).T, expected)
    both = frame.select("x", "cents").drop_nulls().height
    assert found["x", "cents"].n_rows == both == np.sum(found["x", "cents"].counts)


def test_interactions_of_many_rows_are_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactions, "MAX_ROWS", 50)
    found = profile_frame(typed_table(500)).interactions
    assert {it.n_rows for it in found if {it.x, it.y} == {"linear", "count"}} == {50}


# ------------------------------------------------------------------ where the table lies


def test_a_parquet_file_is_profiled_as_the_frame_in_it(tmp_path: Path) -> None:
    frame = typed_table(1200)
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=100)
    of_file = profile_table(Table(tmp_path / "t.parquet"), target="flag").to_dict()
    of_frame = profile_frame(frame, target="flag").to_dict()
    for profile in (of_file, of_frame):  # what a column weighs depends on where it came from
        profile["overview"].pop("memory_bytes")
        profile["overview"].pop("record_bytes")
        for variable in profile["variables"].values():
            variable.pop("memory_bytes")
    assert of_file == of_frame


def test_some_rows_of_a_file_are_profiled_alone(tmp_path: Path) -> None:
    frame = typed_table(600)
    frame.write_parquet(tmp_path / "t.parquet")
    chosen = np.sort(GENERATOR.choice(600, 100, replace=False))
    found = profile_table(Table(tmp_path / "t.parquet", chosen))
    expected = frame[chosen]
    assert found.overview.n_rows == 100
    assert numbers_of(found, "linear").mean == close(expected["linear"].mean(), rel=RELATIVE)
    assert found.sample.rows[3][0] == str(expected["x"][3]) or expected["x"][3] is None


def test_rows_are_taken_in_the_order_asked_for(tmp_path: Path) -> None:
    frame = typed_table(50)
    frame.write_parquet(tmp_path / "t.parquet")
    assert Table(tmp_path / "t.parquet").take([40, 3, 7]).equals(frame[[40, 3, 7]])
    assert Table(frame).take([40, 3, 7]).equals(frame[[40, 3, 7]])


# ------------------------------------------------------------------ real tables, by pandas


def _tables() -> list[str]:
    return [
        "winequality-red",
        "winequality-white",
        "wine-quality",
        "titanic",
        "california_housing",
        "german_credit",
        "airlines_allyears2k",
    ]


@pytest.mark.parametrize("name", _tables())
def test_every_number_of_an_imported_table_equals_pandas(
    name: str, shared_data: Path, workspace: Workspace
) -> None:
    adding.add(workspace, "t", str(shared_data / "tabular" / f"{name}.csv"))
    from local_stack.data import versions

    frame = versions.read(workspace, versions.find(workspace, "t"))
    found = profiles.profile(workspace, "t").to_dict()
    for column in frame.columns:
        _check_number(found["variables"][column], frame[column])
    numeric = list(found["correlations"]["pearson"]["columns"])
    table = frame.select(numeric).to_pandas().astype("float64")
    correlations = found["correlations"]
    for method in ("pearson", "spearman"):
        matrix = Matrix(
            tuple(correlations[method]["columns"]),
            tuple(tuple(row) for row in correlations[method]["values"]),
        )
        assert_same_matrix(matrix, table.corr(method), 1e-8 if method == "pearson" else RELATIVE)


def _check_number(found: dict[str, Any], series: pl.Series) -> None:
    x = series.to_pandas()
    assert found["n_missing"] == x.isna().sum()
    assert found["n_distinct"] == x.nunique()
    if "mean" not in found or series.dtype == pl.Boolean:
        return
    x = x.dropna().to_numpy().astype(float)
    if not x.size:
        return
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    expected = {
        "mean": x.mean(), "std": x.std(ddof=1), "variance": x.var(ddof=1), "min": x.min(),
        "max": x.max(), "median": middle, "q25": low, "q75": high, "iqr": high - low,
        "q05": np.quantile(x, 0.05), "q95": np.quantile(x, 0.95), "sum": x.sum(),
        "mad": stats.median_abs_deviation(x),
    }  # fmt: skip
    for key, value in expected.items():
        assert found[key] == close(value, rel=RELATIVE, abs=1e-9), key
    if np.ptp(x) > 0:
        assert found["skewness"] == close(stats.skew(x, bias=False), rel=RELATIVE, abs=1e-9)
        assert found["kurtosis"] == close(stats.kurtosis(x, bias=False), rel=RELATIVE, abs=1e-9)


@pytest.mark.parametrize("letter", string.ascii_lowercase[:2])
def test_a_profile_never_has_a_number_that_json_cannot_hold(letter: str) -> None:
    frame = pl.DataFrame({letter: [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324]})
    json.dumps(profile_frame(frame).to_dict(), allow_nan=False)


def test_huge_draws_and_addresses_are_no_finding() -> None:
    draws = np.random.default_rng(3).normal(0, 1, 500) * 1e300
    assert "sentinel" not in {it.code for it in profile_frame(pl.DataFrame({"x": draws})).alerts}
    limit = [*np.random.default_rng(3).normal(0, 1, 500), -1.7e308, -1.7e308]
    assert "sentinel" in {it.code for it in profile_frame(pl.DataFrame({"x": limit})).alerts}
    addresses = [f"{100 + i % 120}.{200 + i % 50}.{100 + i}.{101 + i % 90}" for i in range(150)]
    addresses += ["10.0.0.1", "8.8.8.8"] * 60
    found = {it.code for it in profile_frame(pl.DataFrame({"ip": addresses})).alerts}
    assert not found & {"mixed_types", "numbers_as_text"}
