"""From probabilities to classes: calibration and threshold, learnt from out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.errors import InputError
from local_stack.evaluation import calibration, thresholds
from local_stack.runs.options import DEFAULT_FOLDS, Threshold

if TYPE_CHECKING:
    import numpy as np

    from local_stack.evaluation.calibration import Calibration
    from local_stack.runs.fitted import Predictions
    from local_stack.runs.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Decision:
    """How the probabilities of an estimator become classes; nothing set is the estimator's way."""

    calibration: Calibration | None = None
    threshold: float | None = None

    def applied(self, found: Predictions) -> Predictions:
        """Return predictions of the estimator as this decides them."""
        probability = found.probability
        if probability is None or self == Decision():
            return found
        if self.calibration is not None:
            probability = self.calibration.apply(probability)
        predicted: np.ndarray = probability.argmax(axis=1)
        if self.threshold is not None:
            predicted = thresholds.decided(probability, self.threshold)
        uncalibrated = None if self.calibration is None else found.probability
        return replace(
            found, predicted=predicted, probability=probability, uncalibrated=uncalibrated
        )


def folds_needed(recipe: Recipe) -> int | None:
    """Return the number of folds that calibration and threshold learn from, None for none."""
    if recipe.calibrate is not None:
        return recipe.calibrate.folds or recipe.split.folds or DEFAULT_FOLDS
    if recipe.threshold is not None and recipe.threshold.value is None:
        return recipe.split.folds or DEFAULT_FOLDS
    return None


def decision(
    recipe: Recipe, parts: Sequence[Predictions], weights: np.ndarray | None, n_classes: int
) -> Decision:
    """Return what out-of-fold predictions of the estimator say.

    Parameters
    ----------
    parts
        The predictions of folds, whose ``rows`` are places in ``weights``; without any, only a
        threshold that is a number is set.
    weights
        Of the training rows, float64, or None.
    """
    import numpy as np

    threshold = recipe.threshold or Threshold()
    if not parts or folds_needed(recipe) is None:
        return Decision(threshold=threshold.value)
    truth = np.concatenate([part.truth for part in parts])
    told = [part.probability for part in parts if part.probability is not None]
    if len(told) < len(parts):
        raise InputError(
            f"{recipe.estimator.rpartition('.')[2]} gives no probabilities with such params.",
            "Leave calibrate and threshold out, or train lightgbm.",
        )
    probability = np.concatenate(told)
    rows = np.concatenate([part.rows for part in parts])
    is_known = truth >= 0
    truth, probability = truth[is_known], probability[is_known]
    weights = None if weights is None else weights[rows][is_known]
    if weights is not None and not weights.any():
        weights = None
    learnt = None
    if recipe.calibrate is not None:
        learnt = calibration.fit(recipe.calibrate.method, probability, truth, n_classes, weights)
        probability = learnt.apply(probability)
    value = threshold.value
    if recipe.threshold is not None and value is None:
        value = thresholds.choose(truth, probability, threshold, weights)
    return Decision(learnt, value)


def decided_out_of_fold(
    recipe: Recipe, parts: Sequence[Predictions], weights: np.ndarray | None, n_classes: int
) -> list[Predictions]:
    """Return the predictions of each fold as the other folds decide them.

    So no row is judged by a calibration or a threshold that its own truth has shaped; with
    folds by time the others are the earlier ones, and the first fold has none.
    """
    found = []
    for place, part in enumerate(parts):
        later = [] if recipe.split.time is not None else list(parts[place + 1 :])
        others = [*parts[:place], *later]
        found.append(decision(recipe, others, weights, n_classes).applied(part))
    return found
