"""The probability from which a binary classifier says the second class, by a metric or by costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from local_stack.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np


class Rule(Protocol):
    """What a threshold is chosen by; exactly one of the members is not None.

    ``value`` is the threshold itself, ``metric`` one of ``METRICS`` to be largest, ``costs`` what
    a false positive and a false negative cost, their sum to be smallest.
    """

    @property
    def value(self) -> float | None:
        """The threshold itself."""

    @property
    def metric(self) -> str | None:
        """A metric to be largest."""

    @property
    def costs(self) -> tuple[float, float] | None:
        """What a false positive and a false negative cost."""


def choose(
    truth: np.ndarray,
    probability: np.ndarray,
    rule: Rule,
    weights: np.ndarray | None = None,
) -> float:
    """Return the threshold of a rule: rows of at least this probability are of the second class.

    It lies half-way between two probabilities that are there (or beyond the last one); of several
    that are equally good it is the one next to 0.5.

    Parameters
    ----------
    truth
        Class numbers, 0 or 1, (n_rows,).
    probability
        Of the second class, float64 (n_rows,), or of both (n_rows, 2).
    weights
        Of the rows; all one when left out.

    Raises
    ------
    InputError
        The metric is not known.
    """
    import numpy as np

    if rule.value is not None:
        return rule.value
    score = probability[:, 1] if probability.ndim == 2 else probability
    weights = np.ones(len(truth)) if weights is None else weights
    is_true = truth == 1
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(np.where(is_true, weights, 0.0)[order])[is_last]
    alarms = np.cumsum(np.where(is_true, 0.0, weights)[order])[is_last]
    kept = ordered[is_last]
    cut = np.append((kept[:-1] + kept[1:]) / 2, kept[-1] / 2)
    cut[:-1] = np.where(cut[:-1] <= kept[1:], kept[:-1], cut[:-1])  # neighbours in float64
    if kept[0] < 1:  # nothing is of the second class
        hits, alarms = np.append(0.0, hits), np.append(0.0, alarms)
        cut = np.append((1 + kept[0]) / 2, cut)
    n_true, n_false = float(weights[is_true].sum()), float(weights[~is_true].sum())
    if rule.costs is not None:
        worth = -(rule.costs[0] * alarms + rule.costs[1] * (n_true - hits))
    else:
        worth = _worth(rule.metric or "")(hits, alarms, n_true, n_false)
    best = worth.max()
    is_best = worth >= best - 1e-12 * max(1.0, abs(best))
    return float(min(cut[is_best].tolist(), key=lambda it: (abs(it - 0.5), it)))


def decided(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return class numbers, int64 (n_rows,), of probabilities (n_rows, 2)."""
    import numpy as np

    return np.asarray(probability[:, 1] >= threshold, dtype=np.int64)


Worth = Callable[["np.ndarray", "np.ndarray", float, float], "np.ndarray"]
"""A metric of hits and false alarms, float64 (n_cuts,), where so many rows are true and false."""


def _worth(metric: str) -> Worth:
    if metric in METRICS:
        return METRICS[metric]
    raise InputError(
        f"A threshold cannot be chosen by '{metric[:60]}'.",
        nearest(metric, METRICS) or f"One of: {', '.join(METRICS)}.",
    )


def _share(part: np.ndarray, whole: np.ndarray | float) -> np.ndarray:
    """Return ``part / whole``, 0 where ``whole`` is."""
    import numpy as np

    wide = np.broadcast_to(np.asarray(whole, dtype=np.float64), part.shape)
    found: np.ndarray = np.zeros(part.shape)
    np.divide(part, wide, out=found, where=wide > 0)
    return found


def _f_score(beta: float) -> Worth:
    def worth(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
        return _share((1 + beta**2) * hits, beta**2 * n_true + hits + alarms)

    return worth


def _accuracy(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
    return _share(hits + n_false - alarms, n_true + n_false)


def _balanced(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
    found: np.ndarray = (_share(hits, n_true) + _share(n_false - alarms, n_false)) / 2
    return found


def _geometric(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
    found: np.ndarray = (_share(hits, n_true) * _share(n_false - alarms, n_false)) ** 0.5
    return found


def _matthews(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
    import numpy as np

    n_said = hits + alarms
    spread = n_said * (n_true + n_false - n_said) * n_true * n_false
    return _share(hits * (n_false - alarms) - alarms * (n_true - hits), np.sqrt(spread))


def _jaccard(hits: np.ndarray, alarms: np.ndarray, n_true: float, n_false: float) -> np.ndarray:
    return _share(hits, n_true + alarms)


METRICS: Final[dict[str, Worth]] = {
    "f1": _f_score(1.0),
    "f2": _f_score(2.0),
    "f0.5": _f_score(0.5),
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "youden": _balanced,
    "geometric_mean": _geometric,
    "matthews_corrcoef": _matthews,
    "jaccard": _jaccard,
}
"""What a threshold can be chosen by; Youden's J is largest where balanced accuracy is."""
