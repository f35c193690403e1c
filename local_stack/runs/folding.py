"""Cross-validation: models that are judged by rows they have not seen, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from local_stack.evaluation import named
from local_stack.evaluation.resampling import WEIGHTED, Held
from local_stack.evaluation.split import folds
from local_stack.evaluation.targets import codes_of
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import Progress, Step, silent
from local_stack.runs.deciding import Decision
from local_stack.runs.fitted import FoldScore, Predictions

if TYPE_CHECKING:
    import numpy as np

    from local_stack.runs.lessons import Lesson, Table
    from local_stack.runs.recipe import Recipe
    from local_stack.stores.model import Model

Taught: TypeAlias = "Callable[[Table, str], tuple[Lesson, Model, Any]]"
"""Trains on a table, under a label for the progress."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: ``found`` are predictions of rows of the training table, in ``classes``."""

    found: Predictions
    classes: tuple[Any, ...]
    n_rows_train: int


def predicted(model: Model, table: Table, rows: np.ndarray) -> Predictions:
    """Return what a model says of a table whose rows have the numbers ``rows``."""
    matrix = model.matrix(raw_columns(table.frame, model.inputs))
    return outcome_of(model, matrix, table.truth(model.classes), rows, table.weights)


def outcome_of(
    model: Model,
    matrix: np.ndarray,
    truth: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> Predictions:
    """Return what a model says of a matrix of features; ``weights`` are those of its rows.

    ``scores`` are what its booster says of them, where that is known already.
    """
    quantiles = model.quantiles(matrix) if model.parts else None
    if not model.has_probabilities:
        predicted = model.outputs(matrix) if scores is None else scores
        return Predictions(rows, truth, predicted, None, quantiles=quantiles, weights=weights)
    own = model.uncalibrated(matrix) if scores is None else model.of_classes(scores)
    is_sklearn = model.kind == "sklearn" and model.record.is_plain
    predicted = model.outputs(matrix) if is_sklearn else model.decided(own)
    decision = Decision(model.record.calibration, model.record.threshold)
    return decision.applied(Predictions(rows, truth, predicted, own, weights=weights))


def measured(found: Predictions, model: Model, names: Sequence[str] = ()) -> dict[str, float]:
    """Return the metrics of predictions of a model: the usual ones, and scikit-learn's by name.

    Those of its quantiles are among them.
    """
    quantiles = of_quantiles(found, model.record.quantiles)
    return _measured(found, model.classes, names) | quantiles


def of_quantiles(found: Predictions, levels: Sequence[float]) -> dict[str, float]:
    """Return ``pinball_q<level>``, the loss of each quantile, and ``below_q<level>``.

    That is the share of rows below it, which should be the level.
    """
    import numpy as np

    if found.quantiles is None or not len(found.rows):
        return {}
    weighed: dict[str, np.ndarray | None] = {"": None}
    if found.weights is not None and found.weights.any():
        weighed[WEIGHTED] = found.weights
    metrics = {}
    for level, values in zip(levels, found.quantiles.T, strict=True):
        error = found.truth - values
        loss = error * (level - (error < 0))
        for word, weights in weighed.items():
            metrics[f"{word}pinball_q{level!r}"] = float(np.average(loss, weights=weights))
            metrics[f"{word}below_q{level!r}"] = float(np.average(error < 0, weights=weights))
    return metrics


def _measured(found: Predictions, classes: Sequence[Any], names: Sequence[str]) -> dict[str, float]:
    held = Held(len(classes), found.truth, found.predicted, found.probability, found.weights)
    return named.measured(held, names)


def cross_validated(
    recipe: Recipe,
    train: Table,
    n_folds: int,
    taught: Taught,
    label: str = "Fold",
    progress: Progress = silent,
) -> list[Fold]:
    """Train once for each fold; the rows of ``found`` are places in ``train``.

    ``progress`` is told the metrics of each fold as soon as they are there.
    """
    found = []
    parts = folds(train.keys, n_folds, recipe.split.seed)
    for number, (fit_rows, score_rows) in enumerate(parts, start=1):
        lesson, model, _ = taught(train.take(fit_rows), f"{label} {number} of {n_folds}")
        outcome = predicted(model, train.take(score_rows), score_rows)
        found.append(Fold(outcome, model.classes, len(lesson.rows)))
        progress(fold_step(label, number, n_folds, found[-1]))
    return found


def fold_step(label: str, number: int, n_folds: int, fold: Fold) -> Step:
    """Return what the progress is told of a fold that ended: its number and its metrics."""
    plain = replace(fold.found, weights=None)
    figures = {"fold": number, **_measured(plain, fold.classes, ())}
    return Step(f"{label} {number} of {n_folds} measured", number, n_folds, figures)


def aligned(fold: Fold, classes: Sequence[Any]) -> Predictions:
    """Return the predictions of a fold in ``classes``, the classes of the whole model.

    A class that the fold's model had not seen has the probability 0; rows of it keep the truth
    -1, so that they are always wrong and leave out the metrics of probabilities.
    """
    import numpy as np

    if not classes or fold.classes == tuple(classes):
        return fold.found
    places = codes_of(fold.classes, classes)
    found = fold.found
    probability = None
    if found.probability is not None:
        probability = np.zeros((len(found.rows), len(classes)))
        probability[:, places[places >= 0]] = found.probability[:, places >= 0]
    places = np.append(places, -1)  # for the truth of -1
    return replace(
        found,
        truth=places[found.truth],
        predicted=places[found.predicted],
        probability=probability,
    )


def joined(parts: Sequence[Predictions], numbers: np.ndarray) -> Predictions:
    """Return predictions of several folds as one, ordered by row; ``numbers`` are of the rows."""
    import numpy as np

    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")

    if any(part.uncalibrated is not None for part in parts):  # the first fold in time has none
        parts = [
            replace(part, uncalibrated=part.probability) if part.uncalibrated is None else part
            for part in parts
        ]

    def whole(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)[order]

    members = ("truth", "predicted", "probability", "uncalibrated", "quantiles", "weights")
    return Predictions(numbers[rows[order]], *(whole(name) for name in members))


def scores_of(
    parts: Sequence[Predictions],
    found: Sequence[Fold],
    classes: Sequence[Any],
    names: Sequence[str] = (),
) -> tuple[FoldScore, ...]:
    """Return the metrics of each fold, also those of scikit-learn by ``names``."""
    return tuple(
        FoldScore(number, _measured(part, classes, names), fold.n_rows_train, len(part.rows))
        for number, (part, fold) in enumerate(zip(parts, found, strict=True), start=1)
    )


def summary(scores: Sequence[FoldScore]) -> dict[str, float]:
    """Return ``cv_<metric>_mean`` and ``_std`` (ddof 0) of the metrics that all folds have."""
    import numpy as np

    found: dict[str, float] = {}
    for name in scores[0].metrics if scores else ():
        values = [score.metrics[name] for score in scores if name in score.metrics]
        if len(values) == len(scores):  # one undefined in a fold has no honest mean
            found[f"cv_{name}_mean"] = float(np.mean(values))
            found[f"cv_{name}_std"] = float(np.std(values))
    return found
