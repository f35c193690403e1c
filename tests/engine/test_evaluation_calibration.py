"""Calibration and thresholds: against scikit-learn, from plain numbers alone."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from local_stack.errors import InputError
from local_stack.evaluation import calibration, thresholds
from local_stack.evaluation.calibration import Calibration

EXACT, PLATT = 1e-12, 1e-6


def binary(n: int = 400, seed: int = 0, digits: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties that are too extreme, and what happened."""
    generator = np.random.default_rng(seed)
    score = generator.normal(size=n)
    truth = (generator.random(n) < 1 / (1 + np.exp(-score))).astype(np.int64)
    second = np.round(1 / (1 + np.exp(-3 * score - 0.5)), digits)
    return np.column_stack([1 - second, second]), truth


def many(n: int = 500, n_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    score = generator.normal(size=(n, n_classes))
    truth = (score + generator.gumbel(size=score.shape)).argmax(axis=1)
    sharp = np.exp(2.5 * score)
    return sharp / sharp.sum(axis=1, keepdims=True), truth


def reference(
    method: str, p: np.ndarray, is_true: np.ndarray, new: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    made = IsotonicRegression(out_of_bounds="clip") if method == "isotonic" else None
    made = made or _SigmoidCalibration()
    return made.fit(p, is_true.astype(float), weights).predict(new)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("method", "tolerance"), [("isotonic", EXACT), ("sigmoid", PLATT)])
def test_two_classes_are_calibrated_as_scikit_learn_does(
    method: str, tolerance: float, weighted: bool
) -> None:
    p, truth = binary()
    weights = np.random.default_rng(1).integers(0, 4, len(truth)).astype(float)
    given_weights = weights if weighted else None
    made = calibration.fit(method, p, truth, 2, given_weights)
    new = np.linspace(0, 1, 1_001)
    found = made.apply(np.column_stack([1 - new, new]))
    wanted = reference(method, p[:, 1], truth, new, given_weights)
    assert np.abs(found[:, 1] - wanted).max() <= tolerance
    assert np.array_equal(found.sum(axis=1), np.ones(len(new)))


@pytest.mark.parametrize(("method", "tolerance"), [("isotonic", EXACT), ("sigmoid", PLATT)])
def test_more_classes_are_one_against_the_rest_and_sum_to_one(
    method: str, tolerance: float
) -> None:
    p, truth = many()
    made = calibration.fit(method, p, truth, 4)
    columns = [reference(method, p[:, k], truth == k, p[:, k], None) for k in range(4)]
    wanted = np.column_stack(columns)
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert np.abs(made.apply(p) - wanted).max() <= tolerance


@pytest.mark.parametrize("method", calibration.METHODS)
@pytest.mark.parametrize("data", [binary(), binary(seed=5, digits=16), many()])
def test_plain_numbers_and_single_rows_give_the_same_bits(
    method: str, data: tuple[np.ndarray, np.ndarray]
) -> None:
    p, truth = data
    made = calibration.fit(method, p, truth, p.shape[1])
    again = Calibration.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    found = again.apply(p)
    assert np.array_equal(found, made.apply(p))
    assert [again.apply_row(row) for row in p.tolist()] == found.tolist()
    assert again.n_classes == p.shape[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=30))
def test_any_few_rows_give_probabilities(rows: list[tuple[float, int]]) -> None:
    second = np.array([p for p, _ in rows])
    truth = np.array([is_true for _, is_true in rows])
    p = np.column_stack([1 - second, second])
    for method in calibration.METHODS:
        made = calibration.fit(method, p, truth, 2)
        again = Calibration.from_dict(json.loads(json.dumps(made.to_dict())))
        found = again.apply(p)
        assert ((found >= 0) & (found <= 1)).all()
        assert [again.apply_row(row) for row in p.tolist()] == found.tolist()
    wanted = reference("isotonic", second, truth, second, None)
    isotonic = calibration.fit("isotonic", p, truth, 2).apply(p)[:, 1]
    assert np.abs(isotonic - wanted).max() <= EXACT


def test_a_class_that_is_never_there_gets_nothing() -> None:
    p, truth = many()
    rows = truth != 3
    found = calibration.fit("isotonic", p[rows], truth[rows], 4).apply(p)
    assert np.array_equal(found[:, 3], np.zeros(len(p)))
    nothing = Calibration("isotonic", tuple(((0.0, 1.0), (0.0, 0.0)) for _ in range(3)))
    assert nothing.apply(np.full((1, 3), 1 / 3)).tolist() == [[1 / 3] * 3]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"method": "temperature", "maps": [[[0.0], [1.0]]]},
        {"method": "isotonic", "maps": []},
        {"method": "isotonic", "maps": [[[0.0, 0.0], [0.0, 1.0]]]},
        {"method": "isotonic", "maps": [[[0.0, 1.0], [0.0]]]},
        {"method": "isotonic", "maps": [[[0.0, float("nan")], [0.0, 1.0]]]},
        {"method": "isotonic", "maps": [[[0.0, True], [0.0, 1.0]]]},
        {"method": "isotonic", "maps": [[["0", "1"], [0.0, 1.0]]]},
        {"method": "isotonic", "maps": [[[0.0, 1.0], [0.0, 1.0]]] * 2},
        {"method": "sigmoid", "maps": [[[0.0, 1.0], [0.0, 1.0]]]},
        {"method": "sigmoid", "maps": [0]},
    ],
)
def test_a_damaged_calibration_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"calibration"):
        Calibration.from_dict(data)


@dataclass(frozen=True)
class Rule:
    value: float | None = None
    metric: str | None = None
    costs: tuple[float, float] | None = None


SCORES = {
    "f1": metrics.f1_score,
    "f2": lambda t, p, **kw: metrics.fbeta_score(t, p, beta=2, **kw),
    "f0.5": lambda t, p, **kw: metrics.fbeta_score(t, p, beta=0.5, **kw),
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "youden": metrics.balanced_accuracy_score,
    "matthews_corrcoef": metrics.matthews_corrcoef,
    "jaccard": metrics.jaccard_score,
    "geometric_mean": lambda t, p, sample_weight: np.sqrt(
        metrics.recall_score(t, p, sample_weight=sample_weight)
        * metrics.recall_score(t, p, pos_label=0, sample_weight=sample_weight)
    ),
}


def test_every_metric_is_compared() -> None:
    assert set(SCORES) == set(thresholds.METRICS)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_no_other_threshold_is_better_by_the_metric(name: str, weighted: bool) -> None:
    p, truth = binary(300, seed=3, digits=2)
    weights = np.random.default_rng(4).integers(0, 3, 300) * 1.0 if weighted else np.ones(300)

    def worth(threshold: float) -> float:
        said = thresholds.decided(p, threshold)
        return SCORES[name](truth, said, sample_weight=weights)

    chosen = thresholds.choose(truth, p, Rule(metric=name), weights)
    best = max(worth(cut) for cut in np.linspace(0, 1, 201))
    assert worth(chosen) == pytest.approx(best, abs=EXACT)


@pytest.mark.parametrize("costs", [(1.0, 5.0), (1.0, 1.0), (7.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_no_other_threshold_costs_less(costs: tuple[float, float]) -> None:
    p, truth = binary(300, seed=3, digits=2)

    def cost(threshold: float) -> float:
        said = thresholds.decided(p, threshold)
        return (
            costs[0] * ((said == 1) & (truth == 0)).sum()
            + costs[1] * ((said == 0) & (truth == 1)).sum()
        )

    chosen = thresholds.choose(truth, p, Rule(costs=costs))
    assert 0 <= chosen <= 1
    assert cost(chosen) == min(cost(cut) for cut in np.linspace(0, 1, 201))


def test_of_equal_thresholds_the_one_next_to_a_half_is_taken() -> None:
    p = np.array([0.1, 0.2, 0.8, 0.9])
    assert thresholds.choose(np.array([0, 0, 1, 1]), p, Rule(metric="f1")) == pytest.approx(0.5)
    assert thresholds.choose(np.array([0, 1, 1, 1]), p, Rule(value=0.3)) == 0.3


def test_neighbours_in_float64_are_told_apart() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    p, truth = np.array([low, high]), np.array([0, 1])
    cut = thresholds.choose(truth, p, Rule(metric="accuracy"))
    assert (p >= cut).tolist() == [False, True]


def test_an_unknown_metric_is_an_error_with_the_nearest() -> None:
    with pytest.raises(InputError) as raised:
        thresholds.choose(np.array([0, 1]), np.array([0.1, 0.9]), Rule(metric="balanced_acuracy"))
    assert "balanced_accuracy" in raised.value.hint
