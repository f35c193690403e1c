"""What a training made: the model, its predictions, and how it got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from local_stack.runs.lessons import Lesson
    from local_stack.stores.model import Model


@dataclass(frozen=True, slots=True)
class Predictions:
    """Held-out predictions: row numbers of the table given, and arrays of that length.

    For a classification ``truth`` and ``predicted`` are places in the model's classes (-1 for
    a class never seen in training) and ``probability`` is (n_rows, n_classes) or None.
    ``uncalibrated`` are the same probabilities before a calibration, None without one;
    ``quantiles`` are (n_rows, n_quantiles) for a regression that predicts them; ``weights`` are
    those of the recipe's column, None without one.
    """

    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None
    uncalibrated: np.ndarray | None = None
    quantiles: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class FoldScore:
    """The metrics of one fold of the cross-validation; ``number`` counts from 1."""

    number: int
    metrics: Mapping[str, float]
    n_rows_train: int
    n_rows_test: int


def fold_histories(scores: Sequence[FoldScore]) -> dict[str, list[tuple[int, float]]]:
    """Return the metrics of folds as a run's history: ``cv_<metric>_by_fold``, by the fold.

    MLflow shows the last value of a history as that of the metric, so the score of the last fold
    must not be called ``cv_<metric>``.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for score in scores:
        for metric, value in score.metrics.items():
            found.setdefault(f"cv_{metric}_by_fold", []).append((score.number, value))
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric on the rows held out for early stopping, after each iteration from the first.

    ``best`` is the iteration (from 1) that the model stops at. In a run's history the key is
    ``early_stopping_<metric>`` and the step the iteration.
    """

    metric: str
    values: tuple[float, ...]
    best: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training made.

    ``n_rows_train`` were learnt from (filters of the recipe may leave out some of the training
    rows), ``n_rows_dropped`` had no target, ``n_rows_purged`` lie in the gap of the split; times
    are in seconds. Metrics ``train_...`` are of the features as they were learnt from: encodings
    by the target are out of fold.

    ``out_of_fold`` are predictions of training rows by models that had not seen them, each
    calibrated and decided by what the other folds say; None without folds. ``feature_importance``
    is what the estimator itself gives for each feature: the gains of a booster, or
    ``feature_importances_``; empty where it gives none. ``lesson`` is what was learnt from.
    """

    model: Model
    metrics: dict[str, float]
    params: dict[str, Any]
    n_rows_train: int
    n_rows_test: int
    n_rows_dropped: int
    test: Predictions
    warnings: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    n_rows_purged: int = 0
    folds: tuple[FoldScore, ...] = ()
    out_of_fold: Predictions | None = None
    curve: Curve | None = None
    feature_importance: dict[str, float] = field(default_factory=dict)
    lesson: Lesson | None = field(default=None, repr=False)
