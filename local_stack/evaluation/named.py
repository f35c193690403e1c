"""Metrics of predictions that are there already: the usual ones, and scikit-learn's by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation import measure
from local_stack.evaluation.resampling import SEED, WEIGHTED, Held, interval

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


def measured(held: Held, names: Sequence[str] = ()) -> dict[str, float]:
    """Return every metric that predictions define, with ``weighted_<metric>`` where rows weigh.

    Parameters
    ----------
    names
        Further metrics, by the names of scikit-learn's scorers; those that are not defined are
        left out.
    """
    found = _measured(held, names, None)
    if held.weights is None or not held.weights.any():
        return found
    weighted = _measured(held, names, held.weights)
    return found | {WEIGHTED + name: value for name, value in weighted.items()}


def _measured(held: Held, names: Sequence[str], weights: np.ndarray | None) -> dict[str, float]:
    truth, predicted = held.truth, held.predicted
    if held.n_classes:
        found = measure.classification_metrics(
            truth, predicted, held.probability, held.n_classes, weights
        )
    else:
        found = measure.regression_metrics(truth, predicted, weights)
    for name in names:
        value = found[name] if name in found else _value(name, held, weights)
        if not isinstance(value, str):
            found[name] = value
    return found


def named_metric(name: str, held: Held, *, resamples: int = 0, level: float = 0.95) -> Named:
    """Return the metric of scikit-learn's scorer ``name`` (``get_scorer_names``) of predictions.

    The second of two classes is the positive one; rows weigh the same.

    Parameters
    ----------
    resamples
        For the interval; at most 200, and none above 20,000 rows.
    """
    import numpy as np

    value = _value(name, held, None)
    if isinstance(value, str):
        return Named(name, None, reason=value)
    n_rows = len(held.truth)
    n = min(resamples, N_RESAMPLES)
    if not n or n_rows > _MOST_RESAMPLED_ROWS:
        return Named(name, value)
    drawn = np.random.default_rng(SEED).integers(0, n_rows, (n, n_rows))
    found = interval(np.array([_resampled(name, held, some) for some in drawn]), level)
    return Named(name, value, *(found or (None, None)))


def unfit(name: str, n_classes: int, has_probabilities: bool, has_weights: bool) -> str:
    """Return why scikit-learn's scorer ``name`` does not measure such predictions, "" if it does.

    Parameters
    ----------
    n_classes
        0 for a regression.
    """
    import numpy as np
    from sklearn.metrics import get_scorer

    is_of_numbers = get_scorer(name)._score_func.__module__ == "sklearn.metrics._regression"
    if is_of_numbers != (not n_classes):
        return f"it measures a {'regression' if is_of_numbers else 'classification'}"
    n_classes = min(n_classes, 3)  # it is the same for more
    truth, predicted, probability = np.arange(1.0, 13.0), np.arange(2.0, 14.0), None
    if n_classes:
        truth = np.tile(np.arange(n_classes), 4)
        predicted = truth.copy()
        predicted[:n_classes] = truth[1 : n_classes + 1]
        if has_probabilities:
            probability = np.eye(n_classes)[predicted] / 2 + 1 / (2 * n_classes)
    weights = np.ones(len(truth)) if has_weights else None
    value = _value(name, Held(n_classes, truth, predicted, probability), weights)
    return value if isinstance(value, str) else ""


def _value(name: str, held: Held, weights: np.ndarray | None) -> float | str:
    """Return the metric of all rows, or why it is not defined."""
    import numpy as np

    try:
        value = _scored(name, held, np.arange(len(held.truth)), weights)
    except (ValueError, TypeError, AttributeError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return value if np.isfinite(value) else "it is not defined for these rows"


def _resampled(name: str, held: Held, rows: np.ndarray) -> float:
    try:
        return _scored(name, held, rows)
    except ValueError:  # one class only, for example
        return float("nan")


def _scored(name: str, held: Held, rows: np.ndarray, weights: np.ndarray | None = None) -> float:
    import warnings

    from sklearn.metrics import get_scorer

    truth = held.truth[rows]
    given = {} if weights is None else {"sample_weight": weights[rows]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are missing; the value says it
        return float(get_scorer(name)(_told(held), rows.reshape(-1, 1), truth, **given))


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
