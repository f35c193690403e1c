"""Drift scores and verdicts against scipy, against stored answers, and against Evidently."""

from __future__ import annotations

import json
import math
import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from local_stack.drift import scores
from local_stack.drift.compare import DriftThresholds, compare_frames
from local_stack.drift.scores import NumericPair
from local_stack.errors import Cancelled, InputError
from local_stack.progress import Step

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PACEML_SHARED_DATA") or ROOT.parent / "shared" / "data")
needs_shared = pytest.mark.skipif(
    not (SHARED / "truth" / "drift_reference.json").is_file(),
    reason="the shared data folder is absent",
)
close = pytest.approx

ordinary = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3))
tied = st.integers(-5, 5).map(float)
samples = st.one_of(*(st.lists(kind, min_size=1, max_size=80) for kind in (ordinary, tied)))
extreme = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30)


# ------------------------------------------------------------------ scores against scipy


@given(samples, samples)
@settings(deadline=None, max_examples=150)
@pytest.mark.filterwarnings("ignore:ks_2samp")  # scipy's own word when it cannot be exact
def test_numeric_scores_equal_scipy(reference: list[float], current: list[float]) -> None:
    a, b = np.array(reference), np.array(current)
    pair = NumericPair.of(a, b)
    ours, theirs = scores.ks(pair), stats.ks_2samp(a, b)
    assert ours.statistic == close(theirs.statistic, abs=1e-12)
    assert ours.p_value == close(theirs.pvalue, rel=1e-9, abs=1e-15)
    expected = stats.wasserstein_distance(a, b)
    assert scores.wasserstein(pair) == close(expected, rel=1e-9, abs=1e-9)
    norm = max(float(np.std(a)), 0.001)
    assert scores.wasserstein_normed(pair) == close(expected / norm, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("n", [(10_001, 9_000), (20_000, 10_500)])
def test_large_samples_use_the_asymptotic_p_value_of_scipy(n: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(size=n[0]).round(2), random.normal(0.02, 1, size=n[1]).round(2)
    ours, theirs = scores.ks(NumericPair.of(a, b)), stats.ks_2samp(a, b)
    assert (ours.statistic, ours.p_value) == close((theirs.statistic, theirs.pvalue), rel=1e-9)


counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12)


@given(counts.filter(lambda rows: all(map(any, zip(*rows, strict=True)))))
@settings(deadline=None)
def test_scores_of_counts_equal_their_definitions(rows: list[tuple[int, int]]) -> None:
    a, b = (np.array(side) for side in zip(*rows, strict=True))
    p, q = a / a.sum(), b / b.sum()
    assert scores.jensen_shannon(a, b) == close(distance.jensenshannon(p, q), abs=1e-7)
    assert scores.total_variation(a, b) == close(np.abs(p - q).sum() / 2, abs=1e-12)
    hellinger = np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / math.sqrt(2)
    assert scores.hellinger(a, b) == close(hellinger, abs=1e-7)
    filled = scores.filled_shares(a), scores.filled_shares(b)
    assert scores.kl_divergence(a, b) == close(stats.entropy(*filled), abs=1e-12)
    both = a.nonzero()[0].size == b.nonzero()[0].size == len(rows)
    if both and len(rows) > 1:
        theirs = stats.chisquare(b, a * (b.sum() / a.sum()))
        ours = scores.chi_square(a, b)
        assert (ours.statistic, ours.p_value) == close(tuple(theirs), rel=1e-9, abs=1e-12)


@given(extreme, extreme)
@settings(deadline=None)
def test_no_finite_number_breaks_a_score(reference: list[float], current: list[float]) -> None:
    pair = NumericPair.of(np.array(reference), np.array(current))
    found = (
        scores.ks(pair).p_value,
        scores.wasserstein(pair),
        scores.wasserstein_normed(pair),
        scores.hellinger_numeric(pair),
        *(
            score(*pair.binned())
            for score in (scores.psi, scores.jensen_shannon, scores.kl_divergence)
        ),
    )
    assert all(math.isfinite(value) for value in found)
    assert all(value >= 0 for value in found)


def test_the_last_bin_holds_its_right_edge() -> None:
    pair = NumericPair.of(np.arange(40.0), np.array([39.0, 39.0, 0.0]))
    reference, current = pair.binned()
    assert (reference.sum(), current.sum()) == (40, 3)
    assert current[-1] == 2


def test_evidentlys_own_expectations() -> None:
    a, b = np.array([16, 18, 16, 14, 12, 12]), np.array([16, 16, 16, 16, 16, 8])
    assert scores.chi_square(a, b).p_value == close(0.67309, abs=1e-5)
    assert scores.hellinger(a, b) == close(0.06812, abs=1e-5)


def test_a_category_that_the_reference_lacks_is_certain_drift() -> None:
    assert scores.chi_square(np.array([5, 5, 0]), np.array([5, 5, 1])).p_value == 0.0


def test_two_proportions_against_the_pooled_normal() -> None:
    found = scores.two_proportions(np.array([30, 70]), np.array([50, 50]))
    pooled = 120 / 200
    z = (0.7 - 0.5) / math.sqrt(pooled * (1 - pooled) * (2 / 100))
    assert found.statistic == close(z)
    assert found.p_value == close(2 * (1 - stats.norm.cdf(z)), rel=1e-9)


# ------------------------------------------------------------------ stored answers, real pairs


def _truth() -> list[dict[str, Any]]:
    path = SHARED / "truth" / "drift_reference.json"
    return json.loads(path.read_text())["real_pairs"] if path.is_file() else []


def _frames(pair: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    frames = []
    for side in ("reference", "current"):
        path = SHARED / pair[side].removeprefix("shared/")
        separator = ";" if "winequality" in path.name else ","
        frame = pl.read_csv(path, separator=separator, infer_schema_length=None)
        frames.append(frame.rename({"": "Unnamed: 0"}, strict=False))
    for half, start in (("first half", 0), ("second half", 25_000)):
        if half in pair["pair"]:
            frames[1] = frames[1].slice(start, 25_000)
    return frames[0], frames[1]


@needs_shared
@pytest.mark.parametrize("pair", _truth(), ids=lambda pair: pair["pair"])
def test_real_pairs_equal_the_stored_answers(pair: dict[str, Any]) -> None:
    reference, current = _frames(pair)
    for name, expected in pair["columns"].items():
        if expected["kind"] == "cat":
            a, b = np.array(expected["counts_ref"]), np.array(expected["counts_cur"])
            _close(scores.chi_square(a, b).p_value, expected["evidently_chisquare"])
        else:
            numbers = NumericPair.of(
                reference[name].drop_nulls().to_numpy(), current[name].drop_nulls().to_numpy()
            )
            found = scores.ks(numbers)
            _close(found.statistic, expected["scipy_ks_stat"])
            _close(found.p_value, expected["scipy_ks_pvalue"])
            _close(found.p_value, expected["evidently_ks"])
            _close(scores.wasserstein(numbers), expected["scipy_wasserstein"])
            normed = scores.wasserstein_normed(numbers)
            _close(normed, expected["evidently_wasserstein_normed"])
            a, b = numbers.binned()
        _close(scores.psi(a, b), expected["evidently_psi"])
        _close(scores.jensen_shannon(a, b), expected["evidently_jensenshannon"])
        _close(scores.kl_divergence(a, b), expected["evidently_kl_div"])


def _close(found: float, expected: float) -> None:
    assert found == close(expected, rel=1e-9, abs=1e-12)


# ------------------------------------------------------------------ comparing tables


def _compare(reference: dict[str, Any], current: dict[str, Any], **options: Any) -> Any:
    found = compare_frames(
        pl.DataFrame(reference, strict=False), pl.DataFrame(current, strict=False), **options
    )
    json.dumps(found.to_dict(), allow_nan=False)
    return found


numbers = [float(i) for i in range(40)]


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        ({"a": numbers}, {"b": numbers}, "only in"),
        ({"a": numbers}, {"a": [None] * 40}, "Every current value is missing"),
        ({"a": [math.nan] * 40}, {"a": numbers}, "Every reference value is missing"),
        ({"a": []}, {"a": []}, "missing"),
        ({"a": numbers}, {"a": ["x"] * 40}, "type changed from double to string"),
        ({"a": numbers}, {"a": numbers[:4]}, "Fewer than 5"),
        ({"a": ["x"] * 40}, {"a": [str(i) for i in range(40)]}, "texts differ"),
    ],
)
def test_a_column_that_cannot_be_compared_says_why(
    reference: dict[str, Any], current: dict[str, Any], reason: str
) -> None:
    found = _compare(reference, current)
    for column in found.columns:
        assert reason in column.reason
        assert (column.method, column.score, column.drifted) == (None, None, False)
    assert found.dataset.n_columns == 0
    assert not found.dataset.drifted


@pytest.mark.parametrize(
    ("n", "values", "kind", "method"),
    [
        (1000, lambda n: np.arange(n) * 0.5, "numeric", "ks"),
        (1001, lambda n: np.arange(n) * 0.5, "numeric", "wasserstein"),
        (1000, lambda n: np.arange(n) % 5 * 0.5, "numeric", "chisquare"),
        (1001, lambda n: np.arange(n) % 5 * 0.5, "numeric", "jensenshannon"),
        (1001, lambda n: np.arange(n) % 6 * 0.5, "numeric", "wasserstein"),
        (1000, lambda n: np.arange(n) % 10, "categorical", "chisquare"),
        (1000, lambda n: np.arange(n) % 11, "numeric", "ks"),
        (1000, lambda n: np.arange(n) % 2 == 0, "categorical", "z"),
        (1001, lambda n: np.arange(n) % 2 == 0, "categorical", "jensenshannon"),
        (1000, lambda n: (np.arange(n) % 3).astype(str), "categorical", "chisquare"),
    ],
)
def test_the_automatic_method_is_evidentlys(n: int, values: Any, kind: str, method: str) -> None:
    column = _compare({"a": values(n)}, {"a": values(n)}).columns[0]
    assert (column.type, column.method, column.drifted) == (kind, method, False)


def test_a_constant_column_is_compared_and_named() -> None:
    same, moved = (
        _compare({"a": [1.5] * 40}, {"a": [value] * 40}).columns[0] for value in (1.5, 2.5)
    )
    assert (same.drifted, same.score, bool(same.reason)) == (False, 1.0, True)
    assert (moved.drifted, moved.reason) == (True, None)


def test_dates_compare_as_numbers() -> None:
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(60)]
    later = [datetime(2025, 1, 1) + timedelta(hours=i) for i in range(60)]
    found = _compare({"a": days}, {"a": later}).columns[0]
    assert (found.type, found.method, found.score) == ("datetime", "ks", close(0.0, abs=1e-15))
    assert found.distribution.edges[0] == "2024-01-01T00:00:00.000000Z"
    assert sum(found.distribution.reference) == sum(found.distribution.current) == 60


def test_missing_and_infinite_values_are_left_out_and_counted() -> None:
    found = _compare({"a": numbers}, {"a": [*numbers, None, math.nan, math.inf, 1.0]}).columns[0]
    assert (found.n_reference, found.n_current) == (40, 41)
    assert found.missing_delta == close(2 / 44)


def test_the_share_decides_over_the_data_set() -> None:
    moved = [x + 100 for x in numbers]
    tables = ({"a": numbers, "b": numbers, "c": numbers}, {"a": moved, "b": moved, "c": numbers})
    found = _compare(*tables).dataset
    assert (found.drifted, found.n_drifted, found.n_columns) == (True, 2, 3)
    assert not _compare(*tables, thresholds=DriftThresholds(share=0.7)).dataset.drifted


def test_named_methods_and_their_thresholds() -> None:
    tables = {"a": numbers, "b": ["x", "y"] * 20}, {"a": numbers, "b": ["x", "x"] * 20}
    found = _compare(*tables, methods="ks,tvd")
    assert [column.method for column in found.columns] == ["ks", "tvd"]
    assert found.columns[1].score == close(0.5)
    limits = DriftThresholds(methods={"tvd": 0.6})
    assert not _compare(*tables, methods="ks,tvd", thresholds=limits).columns[1].drifted


def test_an_unknown_method_or_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="wasserstein"):
        _compare({"a": numbers}, {"a": numbers}, methods="waserstein")
    with pytest.raises(InputError, match="Neither table"):
        _compare({"a": numbers}, {"a": numbers}, columns=["z"])


def test_many_categories_are_drawn_in_part_and_scored_in_full() -> None:
    texts = [f"c{i % 50}" for i in range(2000)]
    drawn = _compare({"a": texts}, {"a": texts}).columns[0].distribution
    assert len(drawn.categories) == 20
    assert sum(drawn.reference) + drawn.reference_rest == 2000


def test_the_host_can_stop_the_comparison() -> None:
    def stop(step: Step) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        _compare({"a": numbers}, {"a": numbers}, progress=stop)


# ------------------------------------------------------------------ Evidently itself


def _evidently(reference: pl.DataFrame, current: pl.DataFrame) -> tuple[dict[str, Any], float]:
    """Return (method, score, threshold) of each column and the share, by DataDriftPreset."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    frames = current.to_pandas(), reference.to_pandas()
    found = Report([DataDriftPreset()]).run(*frames).dict()["metrics"]
    columns = {}
    share = math.nan
    for metric in found:
        config = metric["config"]
        if config["type"].endswith("ValueDrift"):
            columns[config["column"]] = (config["method"], metric["value"], config["threshold"])
        elif config["type"].endswith("DriftedColumnsCount"):
            share = metric["value"]["share"]
    return columns, share


_EVIDENTLY_NAMES = {
    "ks": "K-S p_value",
    "wasserstein": "Wasserstein distance (normed)",
    "jensenshannon": "Jensen-Shannon distance",
    "chisquare": "chi-square p_value",
    "z": "Z-test p_value",
}


@pytest.mark.slow
@needs_shared
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_verdicts_equal_evidentlys(place: int) -> None:
    reference, current = _frames(_truth()[place])
    common = [name for name in reference.columns if name in current.columns]
    reference, current = reference.select(common), current.select(common)
    theirs, share = _evidently(reference, current)
    ours = compare_frames(reference, current)
    compared = {column.column: column for column in ours.columns if column.method}
    assert compared.keys() <= theirs.keys()
    assert len(compared) >= 7
    for name, column in compared.items():
        method, score, threshold = theirs[name]
        assert _EVIDENTLY_NAMES[str(column.method)] == method, name
        assert column.score == close(score, rel=1e-9, abs=1e-12), name
        assert column.threshold == threshold
    if compared.keys() == theirs.keys():
        assert ours.dataset.share == close(share)
