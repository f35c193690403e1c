"""Metrics of predictions, by scikit-learn's definitions, in NumPy alone.

A metric that the data leaves undefined (ROC AUC with one class, R2 of one row) is left out, so
that no number stands where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def regression_metrics(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return ``rmse``, ``mae`` and ``r2`` of float64 arrays (n_rows,).

    R2 of a constant truth is 1 for exact predictions and 0 otherwise; of fewer than two rows it
    is left out.
    """
    import numpy as np

    if not truth.size:
        return {}
    error = truth - predicted
    found = {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    if truth.size >= 2:
        residual = float(np.sum(error**2))
        total = float(np.sum((truth - truth.mean()) ** 2))
        found["r2"] = 1 - residual / total if total else float(residual == 0)
    return found


def classification_metrics(
    truth: np.ndarray, predicted: np.ndarray, probability: np.ndarray | None, n_classes: int
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
    found = {"accuracy": float(np.mean(truth == predicted))}
    is_scored = probability is not None and bool((truth >= 0).all())
    if n_classes == 2:
        found |= _counts(truth == 1, predicted == 1)
        if is_scored and probability is not None:
            found |= _binary_scores(truth == 1, probability)
    else:
        labels = np.union1d(truth, predicted)
        scores = [_counts(truth == label, predicted == label)["f1"] for label in labels]
        found["f1_macro"] = float(np.mean(scores))
        if is_scored and probability is not None:
            found |= _multiclass_scores(truth, probability)
    return found


def _counts(is_true: np.ndarray, is_predicted: np.ndarray) -> dict[str, float]:
    """Return precision, recall and F1; 0 where the denominator is."""
    n_hits = float((is_true & is_predicted).sum())
    n_true, n_predicted = float(is_true.sum()), float(is_predicted.sum())
    return {
        "precision": n_hits / n_predicted if n_predicted else 0.0,
        "recall": n_hits / n_true if n_true else 0.0,
        "f1": 2 * n_hits / (n_true + n_predicted) if n_true + n_predicted else 0.0,
    }


def _binary_scores(is_true: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    import numpy as np

    score = probability[:, 1]
    found = {
        "log_loss": log_loss(is_true.astype(np.int64), probability),
        "brier": float(np.mean((score - is_true) ** 2)),
    }
    area = roc_auc(is_true, score)
    if area is not None:
        found["roc_auc"] = area
        found["average_precision"] = average_precision(is_true, score)
    return found


def _multiclass_scores(truth: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    import numpy as np

    found = {"log_loss": log_loss(truth, probability)}
    areas = [roc_auc(truth == k, probability[:, k]) for k in range(probability.shape[1])]
    if None not in areas:
        found["roc_auc_ovr"] = float(np.mean([area for area in areas if area is not None]))
    return found


def log_loss(truth: np.ndarray, probability: np.ndarray) -> float:
    """Return the mean negative log of the true class's probability, clipped at float64's eps."""
    import numpy as np

    eps = np.finfo(np.float64).eps
    clipped = np.clip(probability, eps, 1 - eps)
    return float(-np.mean(np.log(clipped[np.arange(truth.size), truth])))


def roc_auc(is_true: np.ndarray, score: np.ndarray) -> float | None:
    """Return the area under the ROC curve (ties count half), or None for a single class.

    The Mann-Whitney statistic of mid-ranks: exact, O(n log n).
    """
    import numpy as np

    n_true = int(is_true.sum())
    n_false = is_true.size - n_true
    if not n_true or not n_false:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    above = float(ranks[is_true].sum()) - n_true * (n_true + 1) / 2
    return above / (n_true * n_false)


def average_precision(is_true: np.ndarray, score: np.ndarray) -> float:
    """Return the sum over thresholds of precision times the gain in recall (no interpolation)."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(is_true[order])
    is_last = np.append(np.diff(score[order]) != 0, True)
    precision = (hits / np.arange(1, score.size + 1))[is_last]
    recall = hits[is_last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
