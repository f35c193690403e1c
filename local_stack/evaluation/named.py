"""Metrics of scikit-learn by the names of its scorers, of predictions that are there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation.resampling import SEED, Held, interval

if TYPE_CHECKING:
    import numpy as np

N_RESAMPLES: Final = 200
"""Resamples of a metric that only scikit-learn itself measures, one after the other."""
_MOST_RESAMPLED_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Named:
    """A metric by name: its value as scikit-learn's scorer gives it (more is better).

    ``value`` is None where it is not defined, with the ``reason`` in a sentence; ``low`` and
    ``high`` are the bootstrap interval, None where there is none.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def named_metric(name: str, held: Held, *, resamples: int = 0, level: float = 0.95) -> Named:
    """Return the metric of scikit-learn's scorer ``name`` (``get_scorer_names``) of predictions.

    The second of two classes is the positive one.

    Parameters
    ----------
    resamples
        For the interval; at most 200, and none above 20,000 rows.
    """
    import numpy as np

    rows = np.arange(len(held.truth))
    try:
        value = _scored(name, held, rows)
    except (ValueError, TypeError, AttributeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Named(name, None, reason=lines[0][:200])
    if not np.isfinite(value):
        return Named(name, None, reason="it is not defined for these rows")
    n = min(resamples, N_RESAMPLES)
    if not n or len(rows) > _MOST_RESAMPLED_ROWS:
        return Named(name, value)
    drawn = np.random.default_rng(SEED).integers(0, len(rows), (n, len(rows)))
    found = interval(np.array([_resampled(name, held, some) for some in drawn]), level)
    return Named(name, value, *(found or (None, None)))


def _resampled(name: str, held: Held, rows: np.ndarray) -> float:
    try:
        return _scored(name, held, rows)
    except ValueError:  # one class only, for example
        return float("nan")


def _scored(name: str, held: Held, rows: np.ndarray) -> float:
    import warnings

    from sklearn.metrics import get_scorer

    truth = held.truth[rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are missing; the value says it
        return float(get_scorer(name)(_told(held), rows.reshape(-1, 1), truth))


def _told(held: Held) -> Any:
    """Return an estimator that says of the row numbers it is given what was predicted."""
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    def predict(self: Any, rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = held.predicted[rows[:, 0]]
        return found

    def predict_proba(self: Any, rows: np.ndarray) -> np.ndarray:
        assert held.probability is not None
        found: np.ndarray = held.probability[rows[:, 0]]
        return found

    members: dict[str, Any] = {"predict": predict, "__sklearn_is_fitted__": lambda self: True}
    kind = ClassifierMixin if held.n_classes else RegressorMixin
    if held.n_classes:
        members["classes_"] = np.arange(held.n_classes)
    if held.probability is not None:
        members["predict_proba"] = predict_proba
    return type("Told", (kind, BaseEstimator), members)()
