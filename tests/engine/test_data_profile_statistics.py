"""Profile statistics against pandas, scipy, exact fractions and stored answers."""

from __future__ import annotations

import json
import math
import os
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import DatasetProfile, Thresholds
from local_stack.errors import Cancelled, InputError
from local_stack.progress import Step

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PACEML_SHARED_DATA") or ROOT.parent / "shared" / "data")
TRUTH = SHARED / "truth" / "profile_reference.json"
needs_shared = pytest.mark.skipif(not TRUTH.is_file(), reason="the shared data folder is absent")
close = pytest.approx


def _profile(columns: Any, **options: Any) -> DatasetProfile:
    """Profile a frame, and make sure that its JSON is JSON."""
    frame = columns if isinstance(columns, pl.DataFrame) else pl.DataFrame(columns, strict=False)
    profile = profile_frame(frame, **options)
    json.dumps(profile.to_dict(), allow_nan=False)
    return profile


def _variable(values: Any) -> dict[str, Any]:
    series = values if isinstance(values, pl.Series) else pl.Series(values)
    return _profile(series.alias("a").to_frame()).to_dict()["variables"]["a"]


# ------------------------------------------------------------------ numbers

ordinary = st.floats(-1e9, 1e9).map(lambda x: round(x, 4))
tied = st.integers(-3, 3).map(float)
columns = st.one_of(
    *(st.lists(st.one_of(kind, st.none()), max_size=60) for kind in (ordinary, tied))
)
any_float = st.lists(st.floats(width=64), max_size=30)
any_whole = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30)


@given(columns)
@settings(deadline=None, max_examples=200)
@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # pandas, of a column without values
def test_numbers_equal_pandas(values: list[float | None]) -> None:
    found = _variable(pl.Series(values, dtype=pl.Float64))
    x = pd.Series(values, dtype="float64")
    assert (found["n_missing"], found["n_distinct"]) == (x.isna().sum(), x.nunique())
    assert found["n_zeros"] == (x == 0).sum()
    assert found["n_negative"] == (x < 0).sum()
    expected = {name: x.quantile(q) for name, q in _QUANTILES.items()}
    expected |= {"mean": x.mean(), "min": x.min(), "max": x.max(), "sum": x.sum()}
    expected |= {"mad": (x - x.median()).abs().median()}
    scale = float(x.abs().max()) if len(x) else 0.0
    for name, value in expected.items():
        _same(found[name], value, absolute=1e-12 * scale)
    _same(found["std"], x.std(), absolute=1e-9 * scale)


_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def _same(found: float | None, expected: float, *, absolute: float = 1e-15) -> None:
    if found is None:
        assert math.isnan(expected)
    else:
        assert found == close(expected, rel=1e-9, abs=absolute)


@given(any_float)
@example([2.0**1000, -1.9e-105])
@settings(deadline=None, max_examples=200)
def test_any_float_gives_what_exact_arithmetic_gives_or_null(values: list[float]) -> None:
    found = _variable(pl.Series(values, dtype=pl.Float64))
    held = [value for value in values if math.isfinite(value)]
    assert found["n_infinite"] == sum(map(math.isinf, values))
    assert found["n_missing"] == sum(map(math.isnan, values))
    if held:
        _check_moments(found, [Fraction(value) for value in held])
        assert sum(found["histogram"]["counts"]) == len(held)
        assert found["histogram"]["edges"] == sorted(found["histogram"]["edges"])


@given(any_whole)
@settings(deadline=None, max_examples=200)
def test_whole_numbers_keep_every_digit(values: list[int]) -> None:
    found = _variable(pl.Series(values, dtype=pl.Int64))
    assert found["sum"] == sum(values)
    assert found["n_distinct"] == len(set(values))
    if values:
        assert (found["min"], found["max"]) == (min(values), max(values))
        _check_moments(found, [Fraction(value) for value in values])
        assert sum(found["histogram"]["counts"]) == len(values)


def _check_moments(found: dict[str, Any], exact: list[Fraction]) -> None:
    n = len(exact)
    mean = sum(exact) / n
    scale = max(map(abs, exact))
    _near(found["mean"], mean, scale)
    if n < 2:
        assert found["std"] is None
        return
    variance = sum((x - mean) ** 2 for x in exact) / (n - 1)
    if found["variance"] is not None and variance > Fraction(10) ** -290:
        assert abs(Fraction(found["variance"]) - variance) <= variance * Fraction(1, 10**9)
    m2, m3, m4 = (sum((x - mean) ** power for x in exact) for power in (2, 3, 4))
    if not m2:
        assert (found["std"], found["skewness"], found["kurtosis"]) == (0.0, None, None)
        return
    if n > 2:
        ratio = math.copysign(math.sqrt(m3**2 / m2**3), 1 if m3 > 0 else -1)
        skewness = n * math.sqrt(n - 1) / (n - 2) * ratio
        assert found["skewness"] == close(skewness, rel=1e-9, abs=1e-9)
    if n > 3:
        rest = Fraction((n - 2) * (n - 3))
        kurtosis = n * (n + 1) * (n - 1) * m4 / (rest * m2**2) - 3 * (n - 1) ** 2 / rest
        assert found["kurtosis"] == close(float(kurtosis), rel=1e-9, abs=1e-9)


def _near(found: float | None, expected: Fraction, scale: Fraction) -> None:
    assert found is not None
    assert abs(Fraction(found) - expected) <= scale * Fraction(1, 10**12) + Fraction(1, 2**1074)


@pytest.mark.parametrize("n", [3, 4, 50, 5000])
def test_shape_and_histogram_equal_scipy_and_numpy(n: int) -> None:
    x = np.random.default_rng(n).gamma(2.0, 3.0, n)
    found = _variable(x)
    assert found["skewness"] == close(stats.skew(x, bias=False), rel=1e-9)
    if n > 3:
        assert found["kurtosis"] == close(stats.kurtosis(x, bias=False), rel=1e-9)
    assert found["mad"] == close(stats.median_abs_deviation(x), rel=1e-9)
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    assert counts == np.histogram(x, edges)[0].tolist()
    assert counts == np.histogram(x, bins=len(counts))[0].tolist()


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.Float32, pl.UInt64, pl.Int8])
def test_a_constant_has_no_shape(dtype: Any) -> None:
    found = _variable(pl.Series([3] * 25, dtype=dtype))
    assert (found["kind"], found["std"], found["mean"]) == ("constant", 0.0, 3.0)
    assert found["skewness"] is found["kurtosis"] is None
    assert found["histogram"] == {"edges": [3, 3], "counts": [25], "is_whole": False}


@pytest.mark.parametrize(
    "series",
    [
        pl.Series([], dtype=pl.Float64),
        pl.Series([None, None], dtype=pl.Int64),
        pl.Series([math.nan, None], dtype=pl.Float64),
        pl.Series([None], dtype=pl.String),
        pl.Series([None], dtype=pl.Boolean),
        pl.Series([None], dtype=pl.Date),
        pl.Series([None]),
    ],
    ids=str,
)
def test_a_column_without_values_is_described(series: pl.Series) -> None:
    found = _variable(series)
    assert (found["n_distinct"], found["top_values"]) == (0, [])
    assert found["n_missing"] == series.len()
    for name in ("mean", "min", "median", "max", "histogram"):
        assert found.get(name) is None


def test_one_row_has_a_mean_and_no_spread() -> None:
    found = _variable([2.5])
    assert (found["mean"], found["median"], found["mad"]) == (2.5, 2.5, 0.0)
    assert found["std"] is found["variance"] is found["skewness"] is None


def test_infinities_are_counted_and_left_out() -> None:
    found = _variable([1.0, 2.0, 3.0, math.inf, -math.inf, -math.inf, math.nan])
    assert (found["n_infinite"], found["n_negative"], found["n_missing"]) == (3, 2, 1)
    assert (found["mean"], found["max"], found["n_distinct"]) == (2.0, 3.0, 5)


def test_unsigned_numbers_beyond_the_signed_range() -> None:
    values = [2**64 - 1, 2**64 - 2, 2**63, 2**64 - 1]
    found = _variable(pl.Series(values, dtype=pl.UInt64))
    assert (found["sum"], found["max"]) == (sum(values), 2**64 - 1)
    assert found["top_values"][0] == {"value": 2**64 - 1, "count": 2}


# ------------------------------------------------------------------ other types

# pandas counts '' and NUL as one value.
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5)
texts = st.lists(st.one_of(st.none(), words, st.sampled_from("abc")), max_size=40)


@given(texts)
@settings(deadline=None)
def test_text_equals_pandas(values: list[str | None]) -> None:
    found = _variable(pl.Series(values, dtype=pl.String))
    x = pd.Series(values, dtype="object").dropna()
    assert found["n_distinct"] == x.nunique()
    expected = sorted(x.value_counts().items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [(top["value"], top["count"]) for top in found["top_values"]] == expected
    if len(x):
        lengths = x.str.len()
        assert sum(found["lengths"].pop("histogram")["counts"]) == len(x)
        assert found["lengths"] == {
            "min": lengths.min(),
            "mean": close(lengths.mean()),
            "median": lengths.median(),
            "max": lengths.max(),
        }


def test_booleans_are_counted() -> None:
    found = _variable([True, False, True, None])
    assert (found["type"], found["kind"], found["n_distinct"]) == ("boolean", "boolean", 2)
    assert found["top_values"] == [{"value": True, "count": 2}, {"value": False, "count": 1}]


def test_dates_have_ends_and_bins() -> None:
    days = [date(2024, 1, 1) + timedelta(days=3 * i) for i in range(100)]
    found = _variable([*days, None])
    assert (found["type"], found["kind"]) == ("date", "datetime")
    assert (found["min"], found["max"]) == ("2024-01-01", days[-1].isoformat())
    edges = [date.fromisoformat(edge) for edge in found["histogram"]["edges"]]
    numbers = [day.toordinal() for day in days]
    expected = np.histogram(numbers, [edge.toordinal() for edge in edges])[0]
    assert found["histogram"]["counts"] == expected.tolist()


def test_moments_are_in_utc() -> None:
    series = pl.Series([datetime(2024, 7, 1, 12)]).dt.replace_time_zone("Europe/Berlin")
    assert _variable(series)["min"] == "2024-07-01T10:00:00.000000Z"


def test_dates_that_python_cannot_hold_are_described() -> None:
    far = pl.Series([-(2**62), 0, 2**62]).cast(pl.Datetime("us"))
    assert _variable(far)["n_distinct"] == 3
    assert _variable(pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date))["min"][-6:] == "-07-11"


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pl.Series([1, 2]).cast(pl.Duration("us")), "string"),
        (pl.Series([[1], [2]]), "string"),
        (pl.Series([{"x": 1}]), "string"),
        (pl.Series([b"\xff"]), "string"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "string"),
        (pl.Series(["1.5"]).cast(pl.Decimal(10, 2)), "double"),
        (pl.Series([1], dtype=pl.Int128), "double"),
    ],
    ids=str,
)
def test_other_types_are_described_as_the_nearest(series: pl.Series, kind: str) -> None:
    assert _variable(series)["type"] == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(range(25)), "identifier-suspect"),
        (list(range(19)), "numeric"),
        ([float(i) for i in range(25)], "numeric"),
        ([f"id-{i}" for i in range(25)], "identifier-suspect"),
        ([f"some words {i}" for i in range(25)], "text"),
        (["a", "b"] * 20, "categorical"),
        (["a"] * 20, "constant"),
    ],
)
def test_what_a_column_seems_to_be(values: list[Any], kind: str) -> None:
    assert _variable(values)["kind"] == kind


# ------------------------------------------------------------------ correlations

cells = st.one_of(st.none(), st.integers(-4, 4).map(float), st.floats(-1e6, 1e6))
tables = st.lists(st.tuples(cells, cells, cells), max_size=30)


@given(tables)
@settings(deadline=None, max_examples=150)
def test_correlations_equal_scipy_on_the_rows_that_hold_both(rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys("abc", pl.Float64), orient="row")
    found = _profile(frame).correlations
    for matrix, reference in ((found.pearson, stats.pearsonr), (found.spearman, stats.spearmanr)):
        for first, second, value in matrix.pairs():
            both = frame.select(first, second).drop_nulls().to_numpy()
            spread = np.ptp(both, axis=0) / np.maximum(1e-300, np.abs(both).max(axis=0))
            if spread.min() > 1e-6:  # scipy itself gives up on nearly constant input
                assert value == close(reference(*both.T)[0], rel=1e-9, abs=1e-9)


def test_correlations_without_spread_or_pairs_are_null() -> None:
    table = {"a": [1.0, 2.0, None, None], "b": [None, None, 1.0, 2.0], "c": [5.0, 5.0, 1.0, 2.0]}
    found = _profile({**table, "d": [1.0] * 4}).correlations
    assert found.pearson.columns == ("a", "b", "c")
    assert found.pearson.values == ((1, None, None), (None, 1, close(1)), (None, close(1), 1))


def test_huge_and_tiny_numbers_correlate() -> None:
    x = np.linspace(-1.0, 1.0, 50)
    found = _profile({"a": x * 1.7e308, "b": x * 1e-300, "c": (x * 2.0**62).astype(np.int64)})
    assert [value for _, _, value in found.correlations.pearson.pairs()] == close([1.0] * 3)


def test_cramers_v_is_bergsmas() -> None:
    random = np.random.default_rng(1)
    a = random.integers(0, 4, 500)
    b = np.where(random.random(500) < 0.6, a, random.integers(0, 4, 500)) % 3
    found = _profile({"a": a.astype(str), "b": b.astype(str)}).correlations.cramers_v
    n, r, k = 500, 4, 3
    chi2 = stats.chi2_contingency(pd.crosstab(a, b), correction=False)[0]
    phi2 = max(0, chi2 / n - (k - 1) * (r - 1) / (n - 1))
    least = min(k - (k - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    assert found.values[0][1] == close(math.sqrt(phi2 / least), rel=1e-9)
    assert found.values[0][0] == close(1.0)


# ------------------------------------------------------------------ the table and its alerts


@given(st.lists(st.tuples(st.sampled_from([0.0, -0.0, math.nan, 1.0]), st.integers(0, 1))))
@settings(deadline=None)
def test_duplicate_rows_equal_pandas(rows: list[tuple[float, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.Int64}, orient="row")
    expected = pd.DataFrame(rows, columns=["a", "b"]).duplicated().sum()
    assert _profile(frame).overview.n_duplicate_rows == expected


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame({"a": [], "b": []})])
def test_an_empty_table_has_a_profile(frame: pl.DataFrame) -> None:
    overview = _profile(frame).overview
    assert (overview.n_rows, overview.n_columns) == frame.shape
    assert (overview.p_missing, overview.n_duplicate_rows) == (0.0, 0)


def test_each_alert_names_its_column_value_and_threshold() -> None:
    n = 200
    x = np.arange(n, dtype=float)
    table = {
        "constant": [1.0] * n,
        "gaps": [None] * 20 + list(range(n - 20)),
        "zeros": [0.0] * 100 + list(x[1:101]),
        "skewed": [*x[:-1] % 7, 1e6],
        "many": [f"some text {i % 150}" for i in range(n)],
        "key": list(range(n)),
        "infinite": [*x[:-1] % 11, math.inf],
        "rare": ["a"] * 195 + ["b"] * 5,
        "twin": x,
        "twin2": x * 2,
    }
    alerts = {(alert.code, alert.column): alert for alert in _profile(table).alerts}
    expected = {
        ("constant", "constant"): (1, 1),
        ("missing", "gaps"): (0.1, 0.05),
        ("zeros", "zeros"): (0.5, 0.1),
        ("high_cardinality", "many"): (150, 50),
        ("unique", "key"): (200, 200),
        ("infinite", "infinite"): (1, 0),
        ("imbalance", "rare"): (0.975, 0.9),
    }
    for key, (value, threshold) in expected.items():
        assert (alerts[key].value, alerts[key].threshold) == (close(value), threshold)
    assert alerts["skewed", "skewed"].value > 10
    twins = [alert for alert in alerts.values() if alert.code == "high_correlation"]
    assert ("twin", "twin2", "spearman") in {
        (alert.column, alert.other_column, alert.method)
        for alert in _profile({"twin": x, "twin2": x * 2 + np.sin(x)}).alerts
    }
    derived = _profile({"twin": x, "twin2": x * 2 + 1}).alerts[0]
    assert (derived.code, derived.column, derived.other_column) == ("derived", "twin2", "twin")
    assert all(alert.method and alert.other_column for alert in twins)
    assert _profile({"a": [1.0, 1.0]}).alerts[0].code == "duplicates"


def test_thresholds_are_the_callers_and_stand_in_the_result() -> None:
    table = {"a": [None, 1.0, 2.0, 3.0]}
    profile = _profile(table, thresholds=Thresholds(p_missing=0.5))
    assert not profile.alerts
    assert profile.to_dict()["thresholds"]["p_missing"] == 0.5


def test_a_rare_target_value_is_an_imbalance() -> None:
    table = {"y": [0] * 95 + [1] * 4 + [2], "z": [0] * 95 + [1] * 4 + [2]}
    found = [alert for alert in _profile(table, target="y").alerts if alert.code == "imbalance"]
    assert [alert.column for alert in found] == ["y"]


def test_an_unknown_target_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'quality'"):
        _profile({"quality": [1.0]}, target="qualty")


def test_progress_names_columns_and_can_stop() -> None:
    seen: list[Step] = []
    _profile({"a": [1.0], "b": [2.0]}, progress=seen.append)
    assert [step.label for step in seen[:2]] == ["a", "b"]
    assert seen[-1].fraction == 1.0

    def stop(step: Step) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        _profile({"a": [1.0]}, progress=stop)


# ------------------------------------------------------------------ stored answers, real tables


def _truth() -> dict[str, Any]:
    stored = json.loads(TRUTH.read_text()) if TRUTH.is_file() else {}
    return {name: value for name, value in stored.items() if isinstance(value, dict)}


_NAMES = {
    "missing": "n_missing",
    "distinct": "n_distinct",
    "zeros": "n_zeros",
    "negatives": "n_negative",
    "skew": "skewness",
}


@needs_shared
@pytest.mark.parametrize("name", _truth())
def test_real_tables_equal_the_stored_answers(name: str) -> None:
    truth = _truth()[name]
    options = truth["read_csv"]
    path = SHARED / name.removeprefix("shared/")
    frame = pl.read_csv(
        path.read_bytes().decode(options.get("encoding", "utf-8")).encode(),
        separator=options.get("sep", ","),
        null_values=options.get("na_values"),
        infer_schema_length=None,
    )
    profile = _profile(frame).to_dict()
    overview = profile["overview"]
    assert (overview["n_rows"], overview["n_columns"]) == (truth["rows"], truth["cols"])
    assert overview["n_missing"] == truth["missing_cells"]
    assert overview["n_duplicate_rows"] == truth["duplicate_rows"]
    for column, expected in truth["columns"].items():
        _check_column(profile["variables"][column], expected)
    _check_pearson(profile["correlations"]["pearson"], truth["pearson"])
    spearman = profile["correlations"]["spearman"]["values"][0][1]
    assert spearman == close(truth["spearman_first_pair"], rel=1e-9)


def _check_column(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if key == "top":
            tops = [[top["value"], top["count"]] for top in found["top_values"][: len(value)]]
            assert tops == value
        elif key.endswith("_length"):
            assert found["lengths"][key.removesuffix("_length")] == value
        elif key != "dtype":
            assert found[_NAMES.get(key, key)] == close(value, rel=1e-9, abs=1e-9), key


def _check_pearson(found: dict[str, Any], expected: dict[str, Any]) -> None:
    places = {name: place for place, name in enumerate(found["columns"])}
    for first, row in expected.items():
        for second, value in row.items():
            ours = found["values"][places[first]][places[second]]
            if value is None:
                assert ours is None, (first, second)
                continue
            assert ours == close(value, rel=1e-9, abs=1e-12), (first, second)
