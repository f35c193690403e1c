"""Whether more of a metric is better: one table of the names that the field uses."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal

from local_stack.errors import InputError

Direction = Literal["higher", "lower", "unknown"]

_HIGHER = """
accuracy acc balanced_accuracy top_k_accuracy precision recall sensitivity specificity
f1 f2 f_beta fbeta f_measure auc roc_auc pr_auc auroc auprc auc_roc auc_pr average_precision
mean_average_precision map ap jaccard iou mean_iou miou dice matthews_corrcoef mcc kappa
cohen_kappa gini r2 r_squared r2_score adjusted_r2 explained_variance d2 ndcg mrr hit_rate
hits bleu rouge rouge1 rouge2 rougel meteor chrf exact_match silhouette silhouette_score
calinski_harabasz rand_score adjusted_rand ari mutual_info nmi fowlkes_mallows v_measure
homogeneity completeness psnr ssim
log_likelihood true_positive_rate tpr true_negative_rate tnr lift
d2_absolute_error d2_pinball d2_tweedie d2_brier_score d2_log_loss positive_likelihood_ratio
"""
_LOWER = """
loss log_loss logloss nll negative_log_likelihood cross_entropy crossentropy
binary_cross_entropy binary_crossentropy categorical_crossentropy hinge hinge_loss huber
brier brier_score brier_loss rmse root_mean_squared_error rmsle rmspe mse mean_squared_error
msle mean_squared_log_error mae mean_absolute_error medae median_absolute_error mape
mean_absolute_percentage_error smape wape mase max_error error err error_rate l1 l2
binary_error multi_error binary_logloss multi_logloss pinball pinball_loss quantile_loss
crps deviance perplexity ppl wer cer ece expected_calibration_error calibration_error
false_positive_rate fpr false_negative_rate fnr hamming_loss zero_one_loss davies_bouldin
kl_divergence kl aic bic fid inertia
root_mean_squared_log_error negative_likelihood_ratio
"""
HIGHER: Final = frozenset(_HIGHER.split())
"""Metrics of which more is better."""

LOWER: Final = frozenset(_LOWER.split())
"""Metrics of which less is better."""

_SPREADS = frozenset(("std", "stdev", "stddev", "var", "variance", "sem", "count", "n", "size"))
"""Words of names that tell something else of a metric than how good it is."""
_LONGEST = 5


def direction(name: str, higher: Collection[str] = (), lower: Collection[str] = ()) -> Direction:
    """Return which values of the metric ``name`` are better.

    The longest known name among the words of ``name`` decides (``val_log_loss``,
    ``ndcg@5``, ``testAccuracy``); ``neg_`` before it turns it around; names that say two things,
    or a spread or a count, are unknown.

    Parameters
    ----------
    higher, lower
        Names whose direction the caller says.

    Raises
    ------
    InputError
        When the caller says both of one name.
    """
    if name in higher and name in lower:
        raise InputError(f"'{name}' is said to be better both higher and lower.", "Say one.")
    if name in higher or name in lower:
        return "higher" if name in higher else "lower"
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", split.lower()) if word]
    for length in range(min(_LONGEST, len(words)), 0, -1):
        found = {
            _turned(known, words[:at])
            for at in range(len(words) - length + 1)
            if (known := _known("_".join(words[at : at + length]))) != "unknown"
        }
        if found:
            is_spread = "explained" not in words and not _SPREADS.isdisjoint(words)
            return found.pop() if len(found) == 1 and not is_spread else "unknown"
    return "unknown"


def _known(name: str) -> Direction:
    return "higher" if name in HIGHER else "lower" if name in LOWER else "unknown"


def _turned(known: Direction, before: Collection[str]) -> Direction:
    if "neg" not in before:
        return known
    return "lower" if known == "higher" else "higher"
