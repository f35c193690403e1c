"""Metrics of predictions, by scikit-learn's definitions, in NumPy alone.

A metric that the data leaves undefined (ROC AUC with one class, R2 of one row) is left out, so
that no number stands where there is none. ``weights`` of rows are float64 (n_rows,), not below
zero and not all zero, and weigh as scikit-learn's ``sample_weight`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def regression_metrics(
    truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return ``rmse``, ``mae`` and ``r2`` of float64 arrays (n_rows,).

    R2 of a constant truth is 1 for exact predictions and 0 otherwise; of fewer than two rows it
    is left out.
    """
    import numpy as np

    if not truth.size:
        return {}
    error = truth - predicted
    found = {
        "rmse": float(np.sqrt(np.average(error**2, weights=weights))),
        "mae": float(np.average(np.abs(error), weights=weights)),
    }
    if truth.size >= 2:
        centred = truth - np.average(truth, weights=weights)
        residual, total = (
            float(np.sum(it**2 if weights is None else weights * it**2)) for it in (error, centred)
        )
        found["r2"] = 1 - residual / total if total else float(residual == 0)
    return found


def classification_metrics(
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray | None,
    n_classes: int,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the metrics of class numbers.

    Parameters
    ----------
    truth, predicted
        Class numbers 0 .. n_classes - 1, shape (n_rows,). A truth of -1 is a class that the
        model has never seen: always wrong, and leaves the metrics of probabilities out.
    probability
        Shape (n_rows, n_classes), rows summing to 1, or None where the model gives none.
    """
    import numpy as np

    if not truth.size:
        return {}
    found = {"accuracy": float(np.average(truth == predicted, weights=weights))}
    is_scored = probability is not None and bool((truth >= 0).all())
    if n_classes == 2:
        found |= _counts(truth == 1, predicted == 1, weights)
        if is_scored and probability is not None:
            found |= _binary_scores(truth == 1, probability, weights)
    else:
        labels = np.union1d(truth, predicted)
        scores = [_counts(truth == label, predicted == label, weights)["f1"] for label in labels]
        found["f1_macro"] = float(np.mean(scores))
        if is_scored and probability is not None:
            found |= _multiclass_scores(truth, probability, weights)
    return found


def _counts(
    is_true: np.ndarray, is_predicted: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Return precision, recall and F1; 0 where the denominator is."""
    n_hits, n_true, n_predicted = (
        float(rows.sum() if weights is None else weights[rows].sum())
        for rows in (is_true & is_predicted, is_true, is_predicted)
    )
    return {
        "precision": n_hits / n_predicted if n_predicted else 0.0,
        "recall": n_hits / n_true if n_true else 0.0,
        "f1": 2 * n_hits / (n_true + n_predicted) if n_true + n_predicted else 0.0,
    }


def _binary_scores(
    is_true: np.ndarray, probability: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    import numpy as np

    score = probability[:, 1]
    found = {
        "log_loss": log_loss(is_true.astype(np.int64), probability, weights),
        "brier": float(np.average((score - is_true) ** 2, weights=weights)),
    }
    area = roc_auc(is_true, score, weights)
    if area is not None:
        found["roc_auc"] = area
        found["average_precision"] = average_precision(is_true, score, weights)
    return found


def _multiclass_scores(
    truth: np.ndarray, probability: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    import numpy as np

    found = {"log_loss": log_loss(truth, probability, weights)}
    places = range(probability.shape[1])
    areas = [roc_auc(truth == k, probability[:, k], weights) for k in places]
    if None not in areas:
        found["roc_auc_ovr"] = float(np.mean([area for area in areas if area is not None]))
    return found


def log_loss(
    truth: np.ndarray, probability: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the mean negative log of the true class's probability, clipped at float64's eps."""
    import numpy as np

    eps = np.finfo(np.float64).eps
    clipped = np.clip(probability, eps, 1 - eps)
    return float(-np.average(np.log(clipped[np.arange(truth.size), truth]), weights=weights))


def roc_auc(
    is_true: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> float | None:
    """Return the area under the ROC curve (ties count half), or None for a single class.

    Without weights it is the Mann-Whitney statistic of mid-ranks: exact, O(n log n).
    """
    import numpy as np

    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    if weights is not None:
        true, false = (
            np.bincount(place, np.where(rows, weights, 0.0)) for rows in (is_true, ~is_true)
        )
        pairs = float(true.sum() * false.sum())
        won = float(np.sum(true * (np.cumsum(false) - false / 2)))
        return won / pairs if pairs else None
    n_true = int(is_true.sum())
    n_false = is_true.size - n_true
    if not n_true or not n_false:
        return None
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    above = float(ranks[is_true].sum()) - n_true * (n_true + 1) / 2
    return above / (n_true * n_false)


def average_precision(
    is_true: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the sum over thresholds of precision times the gain in recall (no interpolation)."""
    import numpy as np

    weights = np.ones(score.size) if weights is None else weights
    order = np.argsort(-score, kind="stable")
    order = order[weights[order] > 0]
    hits, reached = np.cumsum((weights * is_true)[order]), np.cumsum(weights[order])
    is_last = np.append(np.diff(score[order]) != 0, True)
    precision = (hits / reached)[is_last]
    recall = hits[is_last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
