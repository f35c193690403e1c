"""What an estimator learns from: a table with its target becomes a matrix, numbers and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.errors import InputError, nearest
from local_stack.evaluation.split import Keys, keys_of
from local_stack.evaluation.targets import codes_of, labels_of, numbers_of, task_of_values
from local_stack.preparation.fitting import fit_features
from local_stack.preparation.steps import named_columns
from local_stack.preparation.table import Labels
from local_stack.preparation.values import Scalar
from local_stack.progress import Progress, Step
from local_stack.runs.estimators import accepts_missing, is_booster, task_of_estimator
from local_stack.runs.monotone import signs
from local_stack.runs.options import BALANCED

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with a target: the columns that steps see, and what stands beside each row.

    ``target`` is float64 (n_rows,) for a regression and a list of labels for a classification;
    ``weights`` are float64 (n_rows,) or None.
    """

    frame: pl.DataFrame
    target: np.ndarray | list[Scalar]
    keys: Keys
    weights: np.ndarray | None = None

    @property
    def classes(self) -> list[Scalar]:
        """Return the different labels in order; none for a regression."""
        return sorted(set(self.target)) if isinstance(self.target, list) else []

    def truth(self, classes: Sequence[Scalar]) -> np.ndarray:
        """Return the target as numbers, or as places in ``classes`` (-1: not there)."""
        return codes_of(self.target, classes) if isinstance(self.target, list) else self.target

    def take(self, rows: np.ndarray) -> Table:
        """Return some rows."""
        import numpy as np

        target = self.target
        chosen = (
            target[rows] if isinstance(target, np.ndarray) else [target[i] for i in rows.tolist()]
        )
        weights = None if self.weights is None else self.weights[rows]
        return Table(self.frame[rows], chosen, self.keys.take(rows), weights)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an estimator learns from: float64 matrix, numbers or class numbers, and split keys.

    ``rows`` are the numbers of the rows in the table given (filters leave some out); ``weights``
    are those of the rows and of their classes multiplied, float64 (n_rows,), or None;
    ``monotone`` has 1 or -1 for each feature that the prediction rises or falls with, else 0.
    """

    recipe: Recipe
    preparation: Preparation
    matrix: np.ndarray
    truth: np.ndarray
    classes: list[Scalar]
    keys: Keys
    rows: np.ndarray
    weights: np.ndarray | None = None
    monotone: tuple[int, ...] = ()

    @property
    def n_classes(self) -> int:
        """Return the number of classes, 0 for a regression."""
        return len(self.classes)


def labelled(recipe: Recipe, frame: pl.DataFrame) -> tuple[np.ndarray, Table, str]:
    """Return the numbers of rows with a target, those rows, and the task.

    Raises
    ------
    InputError
        The target, the columns of the split, the weights or the slices are not there or cannot be
        used, or the recipe asks for what the task does not have.
    """
    import numpy as np

    name = recipe.target or ""
    if name not in frame.columns:
        raise InputError(
            f"The table has no column '{name}' to predict.", nearest(name, frame.columns)
        )
    series = frame[name]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    rows = np.flatnonzero(series.is_not_null().to_numpy())
    if len(rows) < 2:
        raise InputError(f"Fewer than two rows have a value of '{name}'.")
    kept, series = frame[rows], series[rows]
    task = task_of(recipe, series)
    labels = None
    target: np.ndarray | list[Scalar]
    if task == "classification":
        target = labels_of(series)
        labels = codes_of(target, sorted(set(target)))
    else:
        target = numbers_of(series)
    keys = keys_of(kept, recipe.split, labels)
    weights = _weights(recipe, kept)
    check_slices(recipe, frame.columns)
    hidden = hidden_columns(recipe)
    features = kept.select([column for column in kept.columns if column not in hidden])
    found = Table(features, target, keys, weights)
    _check_task(recipe, task, found.classes)
    return rows, found, task


def hidden_columns(recipe: Recipe) -> set[str]:
    """Return the columns that steps do not see: the target, and what only splits or weighs."""
    named = named_columns(recipe.features)
    others = {recipe.split.group, recipe.split.time, recipe.weights} - named
    return {name for name in (recipe.target, *others) if name is not None}


def task_of(recipe: Recipe, series: pl.Series) -> str:
    """Return the task of the recipe, of its estimator, or of the target's values."""
    found = task_of_estimator(recipe.estimator, recipe.params)
    if recipe.task is not None and found not in (None, recipe.task):
        raise InputError(
            f"{recipe.estimator.rpartition('.')[2]} as the recipe sets it does {found}, "
            f"not {recipe.task}.",
            "Change task, estimator or params.objective.",
        )
    if recipe.quantiles and recipe.task is None:
        found = found or "regression"
    return recipe.task or found or task_of_values(series)


def _weights(recipe: Recipe, frame: pl.DataFrame) -> np.ndarray | None:
    import numpy as np
    import polars as pl

    name = recipe.weights
    if name is None:
        return None
    if name not in frame.columns:
        raise InputError(
            f"weights names column '{name}', which is not there.", nearest(name, frame.columns)
        )
    if name == recipe.target:
        raise InputError("The target cannot be the column of weights.", "Name another column.")
    series = frame[name]
    if not series.dtype.is_numeric():
        raise InputError(f"'{name}' is not a number, so it cannot weigh rows.")
    found = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    n_wrong = int((~np.isfinite(found) | (found < 0)).sum())
    if n_wrong:
        raise InputError(
            f"'{name}' has {n_wrong:,} weights that are missing, infinite or below zero.",
            "Fill them in, or leave those rows out.",
        )
    if not found.any():
        raise InputError(f"Every weight in '{name}' is zero.")
    return found


def check_slices(recipe: Recipe, columns: Sequence[str]) -> None:
    """Raise :class:`InputError` where slices name a column that is not there."""
    for name in recipe.slices:
        if name not in columns:
            raise InputError(
                f"slices names column '{name}', which is not there.",
                nearest(name, columns) or "Leave it out of slices.",
            )


def _check_task(recipe: Recipe, task: str, classes: Sequence[Scalar]) -> None:
    """Raise where the recipe asks for what the task does not have."""
    name = recipe.target
    only = {
        "classification": ("class_weight", "calibrate", "threshold"),
        "regression": ("quantiles",),
    }
    for needed, keys in only.items():
        for key in keys:
            if getattr(recipe, key) and task != needed:
                raise InputError(
                    f"{key} is for a {needed}, and predicting '{name}' is a {task}.",
                    f"Leave {key} out, or set task: {needed}.",
                )
    for key in ("threshold", "monotone"):
        if getattr(recipe, key) and len(classes) > 2:
            raise InputError(
                f"{key} needs a target of two classes or a number, and '{name}' has "
                f"{len(classes)} classes.",
                f"Leave {key} out.",
            )
    if isinstance(recipe.class_weight, dict):
        known = [label_text(label) for label in classes]
        for label in recipe.class_weight:
            if label not in known:
                raise InputError(
                    f"class_weight names '{label}', which is no class of '{name}'.",
                    nearest(label, known) or f"Its classes: {', '.join(known[:8])}.",
                )


def label_text(label: Scalar) -> str:
    """Return a class as a recipe writes it: ``true``, ``1`` or the text itself."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def prepared(recipe: Recipe, table: Table, progress: Progress, label: str) -> Lesson:
    """Fit the features to a table; return what is learnt from."""
    import numpy as np

    target = recipe.target or ""
    classes = table.classes
    if isinstance(table.target, list) and len(classes) < 2:
        raise InputError(
            f"The training rows hold one class of '{target}' only.",
            "Set split.stratify to true, or use more rows.",
        )
    truth = table.truth(classes)
    training = fit_features(
        table.frame,
        target,
        recipe.features,
        native_strings=is_booster(recipe.estimator),
        accepts_missing=accepts_missing(recipe.estimator),
        labels=Labels(truth.astype(np.float64), tuple(classes), table.keys, recipe.split.seed),
        places=recipe.places,
        progress=lambda step: progress(replace(step, label=f"{label}: {step.label}")),
    )
    progress(Step(label))
    rows = training.rows
    truth, classes = _classes_left(truth[rows], classes, target)
    weights = None if table.weights is None else table.weights[rows]
    return Lesson(
        recipe,
        training.preparation,
        training.matrix,
        truth,
        classes,
        table.keys.take(rows),
        rows,
        weighted(recipe, weights, truth, classes),
        signs(recipe.monotone, training.preparation, table.frame.columns),
    )


def _classes_left(
    truth: np.ndarray, classes: list[Scalar], target: str
) -> tuple[np.ndarray, list[Scalar]]:
    """Return class numbers and classes without those of which a filter left no row."""
    import numpy as np

    if not classes:
        return truth, classes
    left, codes = np.unique(truth, return_inverse=True)
    if len(left) < 2:
        raise InputError(
            f"The filters of the recipe leave one class of '{target}' only.",
            "Filter less.",
        )
    return codes.astype(np.int64), [classes[code] for code in left.tolist()]


def weighted(
    recipe: Recipe, weights: np.ndarray | None, truth: np.ndarray, classes: list[Scalar]
) -> np.ndarray | None:
    """Return the weights of rows times those of their classes, None where all are one.

    ``balanced`` gives every class the same sum, as scikit-learn's ``compute_class_weight`` does.
    """
    import numpy as np

    if recipe.class_weight is not None:
        rows = np.ones(len(truth)) if weights is None else weights
        if isinstance(recipe.class_weight, str):
            assert recipe.class_weight == BALANCED
            sums = np.bincount(truth, weights=rows, minlength=len(classes))
            with np.errstate(divide="ignore"):
                of_class = np.where(sums > 0, rows.sum() / (len(classes) * sums), 0.0)
        else:
            of_class = np.array(
                [recipe.class_weight.get(label_text(label), 1.0) for label in classes]
            )
        weights = rows * of_class[truth]
    if weights is not None and not weights.any():
        raise InputError("Every row to learn from has the weight zero.", "Look at the weights.")
    return weights
