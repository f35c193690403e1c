"""Paired bootstrap of metrics over the rows of held-out predictions.

A resample draws as many rows as there are, with replacement; every run is measured on the same
resamples, so that what makes a row hard for all of them drops out of their difference. Rows are
drawn by ``numpy.random.default_rng(seed).integers(0, n_rows, (n_resamples, n_rows))``, as
``scipy.stats.bootstrap(paired=True, rng=...)`` draws them.

Instead of copying rows, a resample is a row of counts: every metric here is a function of
weighted sums, or of sums along the rows in the order of a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local_stack.progress import Progress, Step, silent
from local_stack.runs.comparison.predictions import HeldOut

if TYPE_CHECKING:
    import numpy as np

N_RESAMPLES: Final = 2_000
FEWEST_RESAMPLES: Final = 200
SEED: Final = 0
LEVEL: Final = 0.95
FEWEST_ROWS: Final = 20
"""Of fewer rows no interval is told: a percentile interval of them is far too narrow."""
MOST_DRAWS: Final = 200_000_000
"""Rows drawn times runs measured; beyond it, fewer resamples are taken."""
_AT_ONCE = 2_000_000
_MOST_UNDEFINED = 0.05

Scorer = Callable[["np.ndarray"], "dict[str, np.ndarray]"]
"""Takes counts (n_resamples, n_rows), gives metrics (n_resamples,), NaN where undefined."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """Metrics of runs on the same resamples: for each run a mapping to (n_resamples,)."""

    runs: tuple[dict[str, np.ndarray], ...]
    n_rows: int
    n_resamples: int
    level: float = LEVEL

    def interval(self, key: str, run: int, baseline: int) -> tuple[float, float] | None:
        """Return the percentile interval of the metric of ``run`` minus that of ``baseline``.

        Its ends are the (1 - level) / 2 and (1 + level) / 2 quantiles (linear) of the
        differences over the resamples. Resamples that leave the metric undefined (those with
        one class) are left out; None when they are more than 5 percent, or a run lacks it.
        """
        import numpy as np

        mine, theirs = self.runs[run].get(key), self.runs[baseline].get(key)
        if mine is None or theirs is None:
            return None
        difference = mine - theirs
        difference = difference[np.isfinite(difference)]
        if difference.size < (1 - _MOST_UNDEFINED) * self.n_resamples:
            return None
        tail = (1 - self.level) / 2
        low, high = np.quantile(difference, [tail, 1 - tail])
        return float(low), float(high)


def resampled(
    runs: Sequence[HeldOut],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = SEED,
    progress: Progress = silent,
) -> Resampled:
    """Measure runs on the same resamples of their rows, which must be the same, in one order.

    At most ``n_resamples``; as many as ``MOST_DRAWS`` allows, and at least 200.
    """
    import numpy as np

    n_rows = runs[0].rows.size
    affordable = MOST_DRAWS // max(1, n_rows * len(runs))
    n_resamples = min(n_resamples, max(FEWEST_RESAMPLES, affordable))
    scorers = [scorer(run) for run in runs]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in runs]
    done = 0
    for counts in _counts(n_rows, n_resamples, seed):
        progress(Step("Resampling the held-out rows", done, n_resamples))
        for part, measure in zip(parts, scorers, strict=True):
            part.append(measure(counts))
        done += len(counts)
    joined = tuple(
        {key: np.concatenate([found[key] for found in part]) for key in part[0]} for part in parts
    )
    return Resampled(joined, n_rows, n_resamples)


def scorer(held: HeldOut) -> Scorer:
    """Return what measures a run on resamples: the metrics of :meth:`HeldOut.metrics`."""
    if held.task == "regression":
        return _regression(held)
    if len(held.classes) == 2:
        return _binary(held)
    return _multiclass(held)


def _counts(n_rows: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
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


def _regression(held: HeldOut) -> Scorer:
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


def _binary(held: HeldOut) -> Scorer:
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


def _multiclass(held: HeldOut) -> Scorer:
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
