"""Metrics of each group of rows, with intervals: rates by Wilson, everything else by bootstrap.

Definitions are Fairlearn's and scikit-learn's; what a group leaves undefined (a true positive
rate without true rows) is absent rather than 0. Rows may have weights; intervals of rates then
take Kish's effective number of rows, (sum w)^2 / sum w^2.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from local_stack.evaluation import resampling
from local_stack.evaluation.curves import Bin, wilson
from local_stack.evaluation.measure import roc_auc
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np

    from local_stack.explain.groups.grouping import Grouping

LEVEL: Final = 0.95
INTERVALS: Final = (
    "Wilson for rates; percentiles of seeded bootstrap samples of each group for other metrics."
)
RATES: Final[Mapping[str, str]] = {
    "base_rate": "n",
    "selection_rate": "n",
    "true_positive_rate": "true",
    "false_negative_rate": "true",
    "false_positive_rate": "false",
    "true_negative_rate": "false",
    "precision": "selected",
    "accuracy": "n",
}
"""Each rate, and the rows that it is a share of."""
_RESAMPLES = 1_000
_MOST_DRAWS = 10_000_000
_N_BINS = 10
_MOST_SLOPE = 1e3
_EPS = 1e-12


@dataclass(frozen=True, slots=True)
class Decisions:
    """Truth and what a model makes of it, arrays of (n_rows,).

    Of a classification ``truth`` says which rows are of the positive class, ``predicted`` which
    are taken for it (both bool), ``score`` is its probability or None. Of a regression both are
    float64 and ``score`` is None. ``weights`` are not below zero, None: all one.
    """

    truth: np.ndarray
    predicted: np.ndarray
    score: np.ndarray | None = None
    weights: np.ndarray | None = None
    is_regression: bool = False

    def take(self, rows: np.ndarray) -> Decisions:
        """Return those of some rows."""
        return Decisions(
            self.truth[rows],
            self.predicted[rows],
            None if self.score is None else self.score[rows],
            None if self.weights is None else self.weights[rows],
            self.is_regression,
        )


CALIBRATION: Final = (
    "Error: the mean distance of probabilities and observed shares over ten bins. Slope and "
    "intercept of a logistic regression on the log-odds: 1 and 0 are perfect."
)
"""What the numbers of :class:`GroupCalibration` are, for people."""


@dataclass(frozen=True, slots=True)
class GroupCalibration(Result):
    """How the probabilities of a group agree with what happened.

    ``expected_error`` is the mean distance of observed shares and probabilities over ten bins
    of equal width (ECE); ``slope`` and ``intercept`` are those of a logistic regression of the
    truth on the log-odds (1 and 0 are perfect; None where it has no finite answer).
    """

    bins: tuple[Bin, ...]
    expected_error: float
    slope: float | None
    intercept: float | None


@dataclass(frozen=True, slots=True)
class GroupMetrics(Result):
    """The metrics of a group, with intervals; ``share`` is its part of all rows.

    A group with ``is_enough`` false has fewer rows than the minimum: it has no metrics and no
    part in comparisons.
    """

    group: str
    n_rows: int
    share: float
    is_enough: bool
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    calibration: GroupCalibration | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of a group together with what comparisons of it need.

    ``sizes`` are the effective rows that a rate is a share of; ``errors`` the bootstrap standard
    errors of the other metrics.
    """

    shown: GroupMetrics
    sizes: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)


def measure_groups(
    decisions: Decisions, grouping: Grouping, min_rows: int
) -> tuple[Measured, tuple[Measured, ...]]:
    """Return the metrics of all rows, and of each group in its order.

    Parameters
    ----------
    min_rows
        A group of fewer rows is counted only.
    """
    import numpy as np

    total = len(grouping.codes)
    overall = _measured("all", decisions, total, 0)
    found = []
    for place, name in enumerate(grouping.names):
        rows = np.flatnonzero(grouping.codes == place)
        if len(rows) < max(1, min_rows):
            found.append(Measured(GroupMetrics(name, len(rows), len(rows) / total, False)))
        else:
            found.append(_measured(name, decisions.take(rows), total, place + 1))
    return overall, tuple(found)


def _measured(name: str, rows: Decisions, total: int, seed: int) -> Measured:
    values = point_metrics(rows)
    sizes = {} if rows.is_regression else _sizes(rows)
    intervals = {key: _wilson(values[key], sizes[key]) for key in RATES if key in values}
    drawn = {key: it for key, it in _resampled(rows, seed).items() if key in values}
    for key, draws in drawn.items():
        between = resampling.interval(draws, LEVEL)
        if between is not None:
            intervals[key] = between
    shown = GroupMetrics(
        group=name,
        n_rows=len(rows.truth),
        share=len(rows.truth) / total if total else 0.0,
        is_enough=True,
        metrics=values,
        intervals=intervals,
        calibration=None if rows.score is None else calibration(rows),
    )
    return Measured(shown, sizes, {key: _deviation(draws) for key, draws in drawn.items()})


def _deviation(draws: np.ndarray) -> float:
    import numpy as np

    known = draws[np.isfinite(draws)]
    return float(known.std(ddof=1)) if known.size > 1 else 0.0


def _wilson(rate: float, n: float) -> tuple[float, float]:
    return wilson_interval(rate, n, LEVEL)


def wilson_interval(rate: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``n`` (effective) rows."""
    import numpy as np

    low, high = wilson(np.array([rate]), np.array([n]), level)
    return float(low[0]), float(high[0])


def point_metrics(rows: Decisions) -> dict[str, float]:
    """Return the metrics of rows, without those that are undefined."""
    import numpy as np

    if not len(rows.truth):
        return {}
    counts = np.ones((1, len(rows.truth)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {key: float(it[0]) for key, it in _of_counts(rows)(counts).items()}
    if rows.score is not None:
        area = roc_auc(rows.truth, rows.score, rows.weights)
        if area is not None:
            found["roc_auc"] = area
    return {key: value for key, value in found.items() if np.isfinite(value)}


def _of_counts(rows: Decisions) -> resampling.Scorer:
    """Return what measures resamples, by sums over the rows that they count."""
    import numpy as np

    weights = np.ones(len(rows.truth)) if rows.weights is None else rows.weights
    truth, predicted = rows.truth.astype(np.float64), rows.predicted.astype(np.float64)
    if rows.is_regression:
        error, centre = predicted - truth, float(np.mean(truth))
        held = [truth - centre, (truth - centre) ** 2, predicted, error, abs(error), error**2]
    else:
        held = [truth, predicted, truth * predicted]
        if rows.score is not None:
            held += [rows.score, (rows.score - truth) ** 2]
    columns = np.column_stack([np.ones(len(truth)), *held]) * weights[:, None]

    def of_numbers(counts: np.ndarray) -> dict[str, np.ndarray]:
        n, first, second, said, off, distance, squared = (counts @ columns).T
        spread = second - first**2 / n
        is_constant = spread <= 64 * np.finfo(np.float64).eps * np.abs(second)
        spread = np.where(is_constant, np.nan, spread)
        return {
            "mean_target": first / n + centre,
            "mean_prediction": said / n,
            "mean_error": off / n,
            "mae": distance / n,
            "rmse": np.sqrt(squared / n),
            "r2": 1 - squared / spread,
        }

    def of_classes(counts: np.ndarray) -> dict[str, np.ndarray]:
        n, true, selected, hits, *scored = (counts @ columns).T
        alarms = selected - hits
        found = {
            "base_rate": true / n,
            "selection_rate": selected / n,
            "true_positive_rate": hits / true,
            "false_negative_rate": (true - hits) / true,
            "false_positive_rate": alarms / (n - true),
            "true_negative_rate": (n - true - alarms) / (n - true),
            "precision": hits / selected,
            "accuracy": (n - true - alarms + hits) / n,
        }
        rates = found["true_positive_rate"], found["true_negative_rate"]
        found["balanced_accuracy"] = (rates[0] + rates[1]) / 2
        if scored:
            found |= {"mean_score": scored[0] / n, "brier": scored[1] / n}
            found["score_minus_base_rate"] = found["mean_score"] - found["base_rate"]
        return found

    return of_numbers if rows.is_regression else of_classes


def _sizes(rows: Decisions) -> dict[str, float]:
    """Return the effective rows that each rate is a share of."""
    import numpy as np

    truth, selected = rows.truth.astype(bool), rows.predicted.astype(bool)
    parts = {"n": np.ones(len(truth), bool), "true": truth, "false": ~truth, "selected": selected}
    known = {name: effective(rows.weights, part) for name, part in parts.items()}
    return {rate: known[part] for rate, part in RATES.items()}


def effective(weights: np.ndarray | None, part: np.ndarray) -> float:
    """Return Kish's effective number of the rows of ``part`` (bool): without weights, all."""
    if weights is None:
        return float(part.sum())
    chosen = weights[part]
    squared = float((chosen**2).sum())
    return float(chosen.sum()) ** 2 / squared if squared else 0.0


def _resampled(rows: Decisions, seed: int) -> dict[str, np.ndarray]:
    """Return the metrics that are no rates on bootstrap samples of the rows."""
    import numpy as np

    n_rows = len(rows.truth)
    if n_rows < resampling.FEWEST_ROWS:
        return {}
    n = min(_RESAMPLES, max(resampling.FEWEST_RESAMPLES, _MOST_DRAWS // n_rows))
    own = _of_counts(rows)
    area = None if rows.score is None else _area_of_counts(rows)
    parts = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for counts in resampling.counts_of(n_rows, n, resampling.SEED + seed):
            found = {key: it for key, it in own(counts).items() if key not in RATES}
            if area is not None:
                found["roc_auc"] = area(counts)
            parts.append(found)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _area_of_counts(rows: Decisions) -> resampling.Area:
    assert rows.score is not None
    weights = rows.weights
    area = resampling.area(rows.truth.astype(bool), rows.score)
    return area if weights is None else lambda counts: area(counts * weights)


def calibration(rows: Decisions) -> GroupCalibration:
    """Return how the probabilities of rows agree with what happened."""
    import numpy as np

    assert rows.score is not None
    score, truth = rows.score, rows.truth.astype(np.float64)
    weights = np.ones(len(truth)) if rows.weights is None else rows.weights
    place = np.clip((score * _N_BINS).astype(np.int64), 0, _N_BINS - 1)
    mass, predicted, observed, squared = (
        np.asarray(np.bincount(place, it, _N_BINS), dtype=np.float64)
        for it in (weights, weights * score, weights * truth, weights**2)
    )
    filled = np.flatnonzero(mass > 0)
    mass, predicted, observed = mass[filled], predicted[filled], observed[filled]
    predicted, observed = predicted / mass, observed / mass
    low, high = wilson(observed, mass**2 / squared[filled])
    counts = np.bincount(place, minlength=_N_BINS)[filled]
    numbers = (it.tolist() for it in (predicted, observed, low, high, counts))
    bins = tuple(itertools.starmap(Bin, zip(*numbers, strict=True)))
    slope, intercept = _logistic(score, truth, weights)
    return GroupCalibration(
        bins=bins,
        expected_error=float(mass / mass.sum() @ np.abs(observed - predicted))
        if mass.size
        else 0.0,
        slope=slope,
        intercept=intercept,
    )


def _logistic(
    score: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[float | None, float | None]:
    """Return slope and intercept of the truth on the log-odds, by Newton's method."""
    import numpy as np
    from scipy.special import expit, logit

    x = logit(np.clip(score, _EPS, 1 - _EPS))
    known = weights > 0
    if len(np.unique(truth[known])) < 2 or np.ptp(x[known]) == 0:
        return None, None
    design = np.column_stack([np.ones(len(x)), x])
    found = np.array([0.0, 1.0])
    for _ in range(50):
        said = expit(design @ found)
        slope = design.T @ (weights * (truth - said))
        curvature = (design * (weights * said * (1 - said))[:, None]).T @ design
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e14:
            return None, None
        step = np.linalg.solve(curvature, slope)
        found = found + np.clip(step, -5, 5)
        if np.abs(found).max() > _MOST_SLOPE:
            return None, None
        if np.abs(step).max() < 1e-10:
            return float(found[1]), float(found[0])
    return None, None
