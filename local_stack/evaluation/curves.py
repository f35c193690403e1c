"""Curves of held-out predictions as points: ROC, precision and recall, reliability, residuals.

ROC and precision-recall are those of scikit-learn; curves are thinned to what a picture shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np

MOST_POINTS: Final = 200
N_BINS: Final = 10
_MOST_DOTS = 500


@dataclass(frozen=True, slots=True)
class Line(Result):
    """A curve: ``x`` and ``y`` of its points, in the order in which they are joined."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bin(Result):
    """Rows whose probability is near ``predicted``, their mean: the share ``observed`` is true.

    ``low`` and ``high`` are the 95 % interval of the share by Wilson.
    """

    predicted: float
    observed: float
    low: float
    high: float
    n_rows: int


@dataclass(frozen=True, slots=True)
class Reliability(Result):
    """How probabilities agree with what happened, in bins of equal width over [0, 1].

    ``expected_error`` (ECE) is the mean over the rows of how far the observed share of their bin
    is from its mean probability, ``largest_error`` the largest of these. ``brier`` is
    ``reliability - resolution + uncertainty + within`` (Murphy 1973; ``within`` is what the bins
    round off, Stephenson and others 2008).
    """

    bins: tuple[Bin, ...]
    expected_error: float
    largest_error: float
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True, slots=True)
class Residuals(Result):
    """Truth minus prediction: mean, standard deviation (ddof 0), quantiles, and what is drawn.

    ``predicted`` and ``residual`` are of a sample of at most 500 rows; ``edges`` has one number
    more than ``counts``, the rows of each bin.
    """

    mean: float
    deviation: float
    quantiles: dict[str, float]
    predicted: tuple[float, ...]
    residual: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def roc(is_true: np.ndarray, score: np.ndarray) -> Line | None:
    """Return false against true positive rates, from (0, 0) to (1, 1); None for one class only."""
    import numpy as np

    hits, alarms, _ = _cumulated(is_true, score)
    if not hits[-1] or not alarms[-1]:
        return None
    x = np.append(0.0, alarms / alarms[-1])
    y = np.append(0.0, hits / hits[-1])
    return _line(x, y)


def precision_recall(is_true: np.ndarray, score: np.ndarray) -> Line | None:
    """Return recall against precision, the highest score first, from (0, 1); None without hits."""
    import numpy as np

    hits, alarms, _ = _cumulated(is_true, score)
    if not hits[-1]:
        return None
    x = np.append(0.0, hits / hits[-1])
    y = np.append(1.0, hits / (hits + alarms))
    return _line(x, y)


def _cumulated(is_true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, false alarms and score at each different score, the highest first."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(is_true[order].astype(np.float64))[is_last]
    n_rows = np.flatnonzero(is_last) + 1.0
    return hits, n_rows - hits, ordered[is_last]


def _line(x: np.ndarray, y: np.ndarray) -> Line:
    """Return the curve without points on a straight line between others, thinned evenly in x."""
    import numpy as np

    moves = np.append(True, (np.diff(x) != 0) | (np.diff(y) != 0))
    x, y = x[moves], y[moves]
    turns = np.ones(len(x), dtype=bool)
    dx, dy = np.diff(x), np.diff(y)
    turns[1:-1] = np.abs(dx[1:] * dy[:-1] - dx[:-1] * dy[1:]) > 1e-15
    turns[1:-1] |= dx[1:] * dx[:-1] + dy[1:] * dy[:-1] < 0
    x, y = x[turns], y[turns]
    if len(x) > MOST_POINTS:
        length = np.cumsum(np.append(0.0, np.abs(np.diff(x)) + np.abs(np.diff(y))))
        wanted = np.linspace(0, length[-1], MOST_POINTS)
        kept = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(x) - 1))
        x, y = x[kept], y[kept]
    return Line(tuple(x.tolist()), tuple(y.tolist()))


def reliability(is_true: np.ndarray, score: np.ndarray, n_bins: int = N_BINS) -> Reliability:
    """Return how well probabilities (n_rows,) tell of ``is_true``; empty bins are left out."""
    import numpy as np

    truth = is_true.astype(np.float64)
    place = np.minimum((score * n_bins).astype(np.int64), n_bins - 1)
    counts = np.bincount(place, minlength=n_bins)
    filled = np.flatnonzero(counts)
    n = counts[filled].astype(np.float64)
    predicted = np.bincount(place, score, n_bins)[filled] / n
    observed = np.bincount(place, truth, n_bins)[filled] / n
    low, high = wilson(observed, n)
    share, rate = n / n.sum(), float(truth.mean())
    gap = np.abs(observed - predicted)
    brier = float(np.mean((score - truth) ** 2))
    off = float(share @ gap**2)
    resolution = float(share @ (observed - rate) ** 2)
    uncertainty = rate * (1 - rate)
    rows = zip(predicted, observed, low, high, counts[filled], strict=True)
    return Reliability(
        bins=tuple(Bin(float(p), float(o), float(a), float(b), int(k)) for p, o, a, b, k in rows),
        expected_error=float(share @ gap),
        largest_error=float(gap.max()),
        brier=brier,
        reliability=off,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - off + resolution - uncertainty,
    )


def wilson(share: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of shares of ``n`` rows by Wilson (1927); the share lies in it."""
    import numpy as np
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.minimum(low, share), np.maximum(high, share)  # at nought and one but for rounding


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return rows by true (down) and predicted class (across), int64 (n_classes, n_classes).

    Rows of a class that the model has never seen (-1) are left out.
    """
    import numpy as np

    known = truth >= 0
    flat = truth[known] * n_classes + predicted[known]
    found: np.ndarray = np.bincount(flat, minlength=n_classes**2).reshape(n_classes, n_classes)
    return found


def residuals(truth: np.ndarray, predicted: np.ndarray, n_bins: int = 20) -> Residuals:
    """Return what remains of a regression: truth minus prediction, of one row or more."""
    import numpy as np

    left = truth - predicted
    rows = np.arange(len(left))
    if len(rows) > _MOST_DOTS:
        rows = np.sort(np.random.default_rng(0).choice(len(rows), _MOST_DOTS, replace=False))
    counts, edges = np.histogram(left, bins=n_bins)
    levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return Residuals(
        mean=float(left.mean()),
        deviation=float(left.std()),
        quantiles={
            f"{level:g}": value
            for level, value in zip(levels, np.quantile(left, levels).tolist(), strict=True)
        },
        predicted=tuple(predicted[rows].tolist()),
        residual=tuple(left[rows].tolist()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )
