"""Intervals of deltas: against SciPy's paired bootstrap, on the same resamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparison_kit import classification, regression
from scipy import stats

from local_stack.evaluation import measure
from local_stack.runs.comparison import resampling, scoring
from local_stack.runs.comparison.predictions import HeldOut

TOLERANCE = 1e-9

PAIRS = {
    "regression": (regression(seed=1), regression(seed=2, noise=0.5)),
    "binary": (classification(seed=1), classification(seed=2, skill=0.2)),
    "many": (classification(n_classes=4, seed=1), classification(n_classes=4, seed=2, skill=0.1)),
}


def picked(held: HeldOut, rows: np.ndarray) -> HeldOut:
    probability = None if held.probability is None else held.probability[rows]
    return replace(
        held, truth=held.truth[rows], predicted=held.predicted[rows], probability=probability
    )


@pytest.mark.parametrize("kind", PAIRS)
def test_intervals_are_those_of_scipy_on_the_same_resamples(kind: str) -> None:
    first, second = PAIRS[kind]
    found = resampling.resampled([first, second], n_resamples=200, seed=5)
    for key in first.metrics():

        def statistic(rows: np.ndarray, name: str = key) -> float:
            picks = rows.astype(np.int64)
            return picked(second, picks).metrics()[name] - picked(first, picks).metrics()[name]

        reference = stats.bootstrap(
            (np.arange(first.rows.size),),
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=200,
            method="percentile",
            rng=np.random.default_rng(5),
        ).confidence_interval
        assert found.interval(key, 1, 0) == pytest.approx(reference, abs=TOLERANCE), key


@pytest.mark.parametrize("kind", PAIRS)
def test_resamples_are_the_rows_that_the_docstring_says(kind: str) -> None:
    first = PAIRS[kind][0]
    found = resampling.resampled([first, first], n_resamples=7, seed=3).runs[0]
    drawn = np.random.default_rng(3).integers(0, first.rows.size, (7, first.rows.size))
    for key in first.metrics():
        wanted = [picked(first, rows).metrics()[key] for rows in drawn]
        assert found[key] == pytest.approx(wanted, abs=TOLERANCE), key


def test_parts_of_the_resamples_are_drawn_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = PAIRS["binary"]
    whole = resampling.resampled([first, second], n_resamples=100)
    monkeypatch.setattr("local_stack.evaluation.resampling._AT_ONCE", 500)
    parts = resampling.resampled([first, second], n_resamples=100)
    for key, values in whole.runs[1].items():
        assert np.array_equal(parts.runs[1][key], values, equal_nan=True)


def test_a_class_that_was_never_seen_leaves_the_probabilities_out() -> None:
    held = classification(unseen=True)
    counts = np.ones((1, held.rows.size))
    found = resampling.scorer(held)(counts)
    assert {key: values[0] for key, values in found.items()} == pytest.approx(held.metrics())
    assert "roc_auc" not in found


def test_a_metric_that_most_resamples_leave_undefined_has_no_interval() -> None:
    held = classification(n=40)
    rare = replace(held, truth=(np.arange(40) == 0).astype(np.int64))
    found = resampling.resampled([rare, replace(rare, predicted=1 - rare.predicted)])
    assert np.isnan(found.runs[0]["roc_auc"]).mean() > 0.3
    assert found.interval("roc_auc", 1, 0) is None
    assert found.interval("accuracy", 1, 0) is not None
    assert found.interval("nothing", 1, 0) is None


def test_a_constant_truth_has_the_r2_that_the_metrics_have() -> None:
    held = replace(regression(30), truth=np.full(30, 0.1), predicted=np.full(30, 0.1))
    other = replace(held, predicted=np.full(30, 0.2))
    found = resampling.resampled([held, other], n_resamples=50)
    assert set(found.runs[0]["r2"]) == {1.0}
    assert set(found.runs[1]["r2"]) == {0.0}


def test_many_rows_get_fewer_resamples_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "MOST_DRAWS", 100_000)
    found = resampling.resampled([regression(), regression(seed=4)])
    assert found.n_resamples == 100_000 // 240
    monkeypatch.setattr(resampling, "MOST_DRAWS", 10)
    assert resampling.resampled([regression(), regression(seed=4)]).n_resamples == 200


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """400 samples of 80 rows: 95 percent are expected, 92 to 98 are 3 standard errors."""
    n_covered = 0
    generator = np.random.default_rng(11)
    for _ in range(400):
        truth = generator.normal(size=80)
        shared = generator.normal(size=80)
        first = HeldOut("regression", (), np.arange(80), truth, truth + shared, None)
        bias = shared + 0.5
        second = replace(first, predicted=truth + bias)
        found = resampling.resampled([first, second], n_resamples=200, seed=1)
        # the mean squared errors differ by 0.25 in expectation; their roots by this
        low, high = found.interval("rmse", 1, 0) or (0, 0)
        n_covered += low <= np.sqrt(1.25) - 1 <= high
    assert 0.91 <= n_covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "wine@b2"}, "it was tested on wine@b2, the baseline on wine@a1"),
        ({"rows": np.arange(120) + 1}, "it was tested on other rows than the baseline"),
        ({"truth": np.zeros(120)}, "it predicts another target than the baseline"),
    ],
)
def test_runs_of_other_rows_are_not_paired(change: dict[str, object], said: str) -> None:
    assert scoring.unpaired(regression(), replace(regression(), **change)) == said  # type: ignore[arg-type]
    assert scoring.unpaired(regression(), regression(seed=3)) is None
    assert scoring.unpaired(regression(), classification()) is not None


def test_rows_are_matched_by_their_numbers_and_classes_by_their_names() -> None:
    held = classification()
    order = np.random.default_rng(0).permutation(held.rows.size)
    shuffled = replace(picked(held, order), rows=held.rows[order])
    assert np.array_equal(shuffled.in_order().truth, held.truth)
    assert shuffled.in_order().metrics() == held.metrics()
    assert held.probability is not None
    turned = replace(
        held,
        classes=held.classes[::-1],
        truth=1 - held.truth,
        predicted=1 - held.predicted,
        probability=held.probability[:, ::-1],
    )
    assert scoring.unpaired(held, turned) is None
    assert measure.roc_auc(turned.truth == 0, turned.probability[:, 0]) is not None
