"""Metrics on bootstrap resamples of held-out rows, all resamples at once.

A resample draws as many rows as there are, with replacement, by
``numpy.random.default_rng(seed).integers(0, n_rows, (n_resamples, n_rows))``, as
``scipy.stats.bootstrap(rng=...)`` draws them. Instead of copying rows, a resample is a row of
counts: every metric here is a function of weighted sums, or of sums along the rows in the order
of a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

FEWEST_RESAMPLES: Final = 200
SEED: Final = 0
FEWEST_ROWS: Final = 20
"""Of fewer rows no interval is told: a percentile interval of them is far too narrow."""
WEIGHTED: Final = "weighted_"
"""Before the name of a metric of weighted rows."""
_AT_ONCE = 2_000_000
_MOST_UNDEFINED = 0.05

Scorer = Callable[["np.ndarray"], "dict[str, np.ndarray]"]
"""Takes counts (n_resamples, n_rows), gives metrics (n_resamples,), NaN where undefined."""

Area = Callable[["np.ndarray"], "np.ndarray"]
"""Takes counts (n_resamples, n_rows), gives one metric (n_resamples,)."""


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out predictions; arrays of (n_rows,).

    Without classes they are numbers; else ``truth`` and ``predicted`` are class numbers (-1: a
    class that the model has never seen) and ``probability`` is (n_rows, n_classes) or None.
    With ``weights`` of the rows there is ``weighted_<metric>`` beside every metric.
    """

    n_classes: int
    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None = None
    weights: np.ndarray | None = None


def scorer(held: Held) -> Scorer:
    """Return what measures predictions on resamples: the metrics of :mod:`measure`."""
    if not held.n_classes:
        plain = _regression(held)
    else:
        plain = _binary(held) if held.n_classes == 2 else _multiclass(held)
    weights = held.weights
    if weights is None or not weights.any():
        return plain

    def both(counts: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):  # only rows of no weight are drawn
            weighted = plain(counts * weights)
        return plain(counts) | {WEIGHTED + key: values for key, values in weighted.items()}

    return both


def interval(values: np.ndarray, level: float) -> tuple[float, float] | None:
    """Return the percentile interval of a metric over its resamples, (n_resamples,).

    Its ends are the (1 - level) / 2 and (1 + level) / 2 quantiles (linear). Resamples that leave
    the metric undefined (those with one class) are left out; None when they are more than 5
    percent.
    """
    import numpy as np

    known = values[np.isfinite(values)]
    if not known.size or known.size < (1 - _MOST_UNDEFINED) * values.size:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def counts_of(n_rows: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row is drawn, float64 (some resamples, n_rows), some at a time."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // max(1, n_rows))
    for start in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - start)
        drawn = generator.integers(0, n_rows, (n, n_rows))
        drawn += np.arange(n)[:, None] * n_rows
        found = np.bincount(drawn.ravel(), minlength=n * n_rows)
        yield found.reshape(n, n_rows).astype(np.float64)


def area(is_true: np.ndarray, score: np.ndarray) -> Area:
    """Return what measures the area under the ROC curve on resamples; NaN with one class."""
    ranked = _ranked(is_true, score)
    return lambda counts: _area(*ranked(counts))


def _regression(held: Held) -> Scorer:
    import numpy as np

    error, centred = held.truth - held.predicted, held.truth - held.truth.mean()
    columns = np.column_stack([error**2, np.abs(error), centred, centred**2])

    def measure(counts: np.ndarray) -> dict[str, np.ndarray]:
        n = counts.sum(axis=1)
        squared, absolute, first, second = (counts @ columns).T
        found = {"rmse": np.sqrt(squared / n), "mae": absolute / n}
        if held.truth.size >= 2:
            total = second - first**2 / n
            is_constant = total <= np.finfo(np.float64).eps * n * second
            with np.errstate(divide="ignore", invalid="ignore"):
                found["r2"] = np.where(is_constant, squared == 0, 1 - squared / total)
        return found

    return measure


def _binary(held: Held) -> Scorer:
    import numpy as np

    is_true, is_predicted = held.truth == 1, held.predicted == 1
    rows = [held.truth == held.predicted, is_true & is_predicted, is_true, is_predicted]
    probability = held.probability if bool((held.truth >= 0).all()) else None
    ranked: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    if probability is not None:
        rows += [_surprise(held.truth, probability), (probability[:, 1] - is_true) ** 2]
        ranked = _ranked(is_true, probability[:, 1])
    columns = np.column_stack(rows).astype(np.float64)

    def measure(counts: np.ndarray) -> dict[str, np.ndarray]:
        n = counts.sum(axis=1)
        correct, hits, true, predicted, *scored = (counts @ columns).T
        found = {
            "accuracy": correct / n,
            "precision": _share(hits, predicted),
            "recall": _share(hits, true),
            "f1": _share(2 * hits, true + predicted),
        }
        if ranked is not None:
            found |= {"log_loss": scored[0] / n, "brier": scored[1] / n}
            positives, negatives = ranked(counts)
            found["roc_auc"] = _area(positives, negatives)
            found["average_precision"] = _average_precision(positives, negatives)
        return found

    return measure


def _multiclass(held: Held) -> Scorer:
    import numpy as np

    truth, predicted = held.truth, held.predicted
    labels = np.union1d(truth, predicted)
    rows = [truth == predicted]
    rows += [(truth == label) & (predicted == label) for label in labels]
    rows += [(truth == label) * 1 + (predicted == label) for label in labels]
    probability = held.probability if bool((truth >= 0).all()) else None
    ranked = []
    if probability is not None:
        rows.append(_surprise(truth, probability))
        ranked = [
            _ranked(truth == place, probability[:, place]) for place in range(probability.shape[1])
        ]
    columns = np.column_stack(rows).astype(np.float64)
    n_labels = labels.size

    def measure(counts: np.ndarray) -> dict[str, np.ndarray]:
        n = counts.sum(axis=1)
        sums = (counts @ columns).T
        hits, sizes = sums[1 : 1 + n_labels], sums[1 + n_labels : 1 + 2 * n_labels]
        found = {
            "accuracy": sums[0] / n,
            "f1_macro": _share(2 * hits, sizes).sum(axis=0) / (sizes > 0).sum(axis=0),
        }
        if ranked:
            found["log_loss"] = sums[-1] / n
            areas = [_area(*rank(counts)) for rank in ranked]
            found["roc_auc_ovr"] = np.mean(areas, axis=0)
        return found

    return measure


def _surprise(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the log loss of each row."""
    import numpy as np

    eps = np.finfo(np.float64).eps
    clipped = np.clip(probability[np.arange(truth.size), truth], eps, 1 - eps)
    found: np.ndarray = -np.log(clipped)
    return found


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, 0 where ``whole`` is."""
    import numpy as np

    found: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return found


def _ranked(
    is_true: np.ndarray, score: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return what counts true and false rows of a resample by score, the lowest score first."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    true = is_true[order].astype(np.float64)

    def count(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = counts[:, order]
        positives = np.add.reduceat(drawn * true, starts, axis=1)
        return positives, np.add.reduceat(drawn, starts, axis=1) - positives

    return count


def _area(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve (ties count half), NaN with one class."""
    import numpy as np

    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    won = (positives * below).sum(axis=1)
    found: np.ndarray = np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)
    return found


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the mean precision over the gains in recall, NaN with one class."""
    import numpy as np

    gains = positives[:, ::-1]
    hits, n = np.cumsum(gains, axis=1), np.cumsum((positives + negatives)[:, ::-1], axis=1)
    summed = (gains * _share(hits, n)).sum(axis=1)
    n_true, n_false = positives.sum(axis=1), negatives.sum(axis=1)
    found: np.ndarray = np.full_like(summed, np.nan)
    np.divide(summed, n_true, out=found, where=(n_true > 0) & (n_false > 0))
    return found
