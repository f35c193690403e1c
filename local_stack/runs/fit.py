"""Training: a recipe and a table become a model, its metrics and what it cost.

The same recipe, table and library versions give the same bytes of the model.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError, nearest
from local_stack.evaluation import measure
from local_stack.evaluation.split import Keys, folds, hold_out, keys_of
from local_stack.evaluation.targets import codes_of, labels_of, numbers_of, task_of_values
from local_stack.preparation.fitting import fit_features, raw_columns
from local_stack.preparation.steps import named_columns
from local_stack.preparation.table import Labels
from local_stack.preparation.values import Scalar
from local_stack.progress import Progress, Step, silent
from local_stack.runs.estimators import (
    BOOSTER_DEFAULTS,
    LIGHTGBM,
    OBJECTIVES,
    canonical_names,
    check_estimator,
    short_name,
    sklearn_class,
)
from local_stack.stores.model_files import (
    Model,
    from_booster,
    from_estimator,
    silence_lightgbm,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.recipe import Recipe

_VALIDATION = 0.15


@dataclass(frozen=True, slots=True)
class Predictions:
    """Held-out predictions: row numbers of the table given, and arrays of that length.

    For a classification ``truth`` and ``predicted`` are places in the model's classes (-1 for
    a class never seen in training) and ``probability`` is (n_rows, n_classes) or None.
    """

    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training made.

    ``n_rows_train`` were learnt from (filters of the recipe may leave out some of the training
    rows), ``n_rows_dropped`` had no target; times are in seconds. Metrics ``train_...`` are of
    the features as they were learnt from: encodings by the target are out of fold.
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


@dataclass(frozen=True, slots=True)
class _Table:
    """Labelled rows: features, the target (numbers or labels) and the keys of splits."""

    frame: pl.DataFrame
    target: np.ndarray | list[Scalar]
    keys: Keys

    def take(self, rows: np.ndarray) -> _Table:
        import numpy as np

        chosen: np.ndarray | list[Scalar]
        if isinstance(self.target, np.ndarray):
            chosen = self.target[rows]
        else:
            chosen = [self.target[row] for row in rows.tolist()]
        return _Table(self.frame[rows], chosen, self.keys.take(rows))


def fit(recipe: Recipe, frame: pl.DataFrame, *, progress: Progress = silent) -> Fitted:
    """Train the model of ``recipe`` on ``frame``.

    Rows without a target are dropped and counted. The preparation is fitted to the training
    rows only. With ``split.folds`` the training rows are also cross-validated
    (``cv_<metric>_mean`` and ``_std``, ddof 0).

    Raises
    ------
    InputError
        The recipe does not fit the table, or the estimator refuses it.
    Cancelled
        When ``progress`` raises it; at every boosting round, and between fits otherwise.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    check_estimator(recipe)
    progress(Step("Splitting the rows"))
    rows, table, task = _labelled(recipe, frame)
    train_rows, test_rows = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    train, test = table.take(train_rows), table.take(test_rows)
    with _noted() as notes:
        metrics = _cross_validated(recipe, train, task, progress)
        lesson, model = _trained(recipe, train, task, progress, "Training")
        progress(Step("Measuring"))
        outcome = _predicted(model, test, rows[test_rows])
        metrics |= _measured(model, outcome)
        on_train = _measured(model, _outcome(model, lesson.matrix, lesson.truth, lesson.rows))
        metrics |= {f"train_{name}": value for name, value in on_train.items()}
    return Fitted(
        model=model,
        metrics=metrics,
        params=effective_params(recipe, model),
        n_rows_train=len(lesson.rows),
        n_rows_test=len(test_rows),
        n_rows_dropped=frame.height - len(rows),
        test=outcome,
        warnings=tuple(notes),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What an estimator learns from: float64 matrix, numbers or class numbers, and split keys.

    ``rows`` are the numbers of the rows in the table given (filters leave some out).
    """

    recipe: Recipe
    preparation: Preparation
    matrix: np.ndarray
    truth: np.ndarray
    n_classes: int
    keys: Keys
    rows: np.ndarray


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect what libraries warn of, a sentence each, instead of showing it."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        text = f"{warning.category.__name__}: {str(warning.message).strip().splitlines()[0][:300]}"
        if text not in notes:
            notes.append(text)


def _labelled(recipe: Recipe, frame: pl.DataFrame) -> tuple[np.ndarray, _Table, str]:
    """Return the numbers of rows with a target, those rows, and the task."""
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
    task = _task(recipe, series)
    labels = None
    target: np.ndarray | list[Scalar]
    if task == "classification":
        target = labels_of(series)
        labels = codes_of(target, sorted(set(target)))
    else:
        target = numbers_of(series)
    keys = keys_of(kept, recipe.split, labels)
    named = named_columns(recipe.features)
    hidden = {name, *({recipe.split.group, recipe.split.time} - named)}
    features = kept.select([column for column in kept.columns if column not in hidden])
    return rows, _Table(features, target, keys), task


def _task(recipe: Recipe, series: pl.Series) -> str:
    """Return the task of the recipe, of its estimator, or of the target's values."""
    found = _task_of_estimator(recipe)
    if recipe.task is not None and found not in (None, recipe.task):
        raise InputError(
            f"{short_name(recipe.estimator)} as the recipe sets it does {found}, "
            f"not {recipe.task}.",
            "Change task, estimator or params.objective.",
        )
    return recipe.task or found or task_of_values(series)


def _task_of_estimator(recipe: Recipe) -> str | None:
    if recipe.estimator != LIGHTGBM:
        from sklearn.base import is_classifier

        kind = sklearn_class(recipe.estimator)
        return "classification" if is_classifier(kind()) else "regression"
    objective = _canonical(recipe.params).get("objective")
    if objective is None:
        return None
    for task, words in OBJECTIVES.items():
        if objective in words:
            return "regression" if task == "regression" else "classification"
    known = [word for words in OBJECTIVES.values() for word in words]
    raise InputError(
        f"params.objective cannot be '{objective}'.",
        nearest(str(objective), known) or f"One of: {', '.join(known)}.",
    )


def _cross_validated(
    recipe: Recipe, train: _Table, task: str, progress: Progress
) -> dict[str, float]:
    import numpy as np

    n_folds = recipe.split.folds
    if n_folds is None:
        return {}
    scores: dict[str, list[float]] = {}
    parts = folds(train.keys, n_folds, recipe.split.seed)
    for number, (fit_rows, score_rows) in enumerate(parts, start=1):
        label = f"Fold {number} of {n_folds}"
        _, model = _trained(recipe, train.take(fit_rows), task, progress, label)
        outcome = _predicted(model, train.take(score_rows), score_rows)
        for name, value in _measured(model, outcome).items():
            scores.setdefault(name, []).append(value)
    found: dict[str, float] = {}
    for name, values in scores.items():
        if len(values) == n_folds:  # a metric undefined in one fold has no honest mean
            found[f"cv_{name}_mean"] = float(np.mean(values))
            found[f"cv_{name}_std"] = float(np.std(values))
    return found


def _predicted(model: Model, table: _Table, rows: np.ndarray) -> Predictions:
    import numpy as np

    matrix = model.matrix(raw_columns(table.frame, model.inputs))
    target = table.target
    truth = target if isinstance(target, np.ndarray) else codes_of(target, model.classes)
    return _outcome(model, matrix, truth, rows)


def _outcome(model: Model, matrix: np.ndarray, truth: np.ndarray, rows: np.ndarray) -> Predictions:
    probability = model.probabilities(matrix) if model.has_probabilities else None
    return Predictions(rows, truth, model.outputs(matrix), probability)


def _measured(model: Model, found: Predictions) -> dict[str, float]:
    if model.task == "regression":
        return measure.regression_metrics(found.truth, found.predicted)
    return measure.classification_metrics(
        found.truth, found.predicted, found.probability, len(model.classes)
    )


def _trained(
    recipe: Recipe, table: _Table, task: str, progress: Progress, label: str
) -> tuple[_Lesson, Model]:
    """Return what was learnt from a table, and the model."""
    import numpy as np

    target = recipe.target or ""
    classes: list[Scalar] = []
    if isinstance(table.target, np.ndarray):
        truth = table.target
    else:
        classes = sorted(set(table.target))
        truth = codes_of(table.target, classes)
        if len(classes) < 2:
            raise InputError(
                f"The training rows hold one class of '{target}' only.",
                "Set split.stratify to true, or use more rows.",
            )
    is_booster = recipe.estimator == LIGHTGBM
    training = fit_features(
        table.frame,
        target,
        recipe.features,
        native_strings=is_booster,
        accepts_missing=is_booster or _accepts_missing(recipe),
        labels=Labels(truth.astype(np.float64), tuple(classes), table.keys, recipe.split.seed),
        places=recipe.places,
        progress=lambda step: progress(replace(step, label=f"{label}: {step.label}")),
    )
    progress(Step(label))
    preparation, rows = training.preparation, training.rows
    truth, classes = _classes_left(truth[rows], classes, target)
    keys = table.keys.take(rows)
    lesson = _Lesson(recipe, preparation, training.matrix, truth, len(classes), keys, rows)
    estimator = (_boosted if is_booster else _learnt)(lesson, progress, label)
    build = from_booster if is_booster else from_estimator
    return lesson, build(estimator, preparation, task=task, target=target, classes=classes)


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


def _accepts_missing(recipe: Recipe) -> bool:
    return bool(sklearn_class(recipe.estimator)().__sklearn_tags__().input_tags.allow_nan)


def _canonical(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return LightGBM parameters under their canonical names; two names of one are an error."""
    names = canonical_names()
    found: dict[str, Any] = {}
    for name, value in params.items():
        if names[name] in found:
            raise InputError(f"params gives {names[name]} twice, under two names ('{name}').")
        found[names[name]] = value
    return {name: value for name, value in found.items() if value is not None}


def _boosted(lesson: _Lesson, progress: Progress, label: str) -> Any:
    import lightgbm
    import numpy as np

    silence_lightgbm()
    matrix, truth = lesson.matrix, lesson.truth
    params = _booster_params(lesson.recipe, lesson.n_classes)
    n_rounds = _whole(params.pop("num_iterations", BOOSTER_DEFAULTS["n_estimators"]))
    patience = _whole(params.pop("early_stopping_round", 0), low=0)
    native = [i for i, f in enumerate(lesson.preparation.features) if f.n_categories]

    def told(environment: Any) -> None:
        progress(Step(label, environment.iteration + 1, n_rounds))

    callbacks: list[Any] = [told]
    rows, held = np.arange(len(truth)), np.arange(0)
    if patience:
        rows, held = hold_out(lesson.keys, _VALIDATION, lesson.recipe.split.seed + 1)
        callbacks.append(lightgbm.early_stopping(patience, verbose=False))
    data = lightgbm.Dataset(
        matrix[rows],
        truth[rows],
        feature_name=_safe_names(lesson.preparation),
        categorical_feature=native,
        params={"verbosity": -1},
    )
    valid = [data.create_valid(matrix[held], truth[held])] if patience else []
    try:
        return lightgbm.train(params, data, n_rounds, valid_sets=valid, callbacks=callbacks)
    except lightgbm.basic.LightGBMError as error:
        raise _refused(lesson.recipe, error) from error


def _booster_params(recipe: Recipe, n_classes: int) -> dict[str, Any]:
    params = _canonical(recipe.params)
    task = "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"
    objective = params.setdefault("objective", task)
    if objective not in OBJECTIVES[task]:
        raise InputError(
            f"params.objective '{objective}' does not fit {n_classes or 'no'} classes.",
            f"One of: {', '.join(OBJECTIVES[task])}.",
        )
    n_cores = len(os.sched_getaffinity(0))
    asked = _whole(params.get("num_threads", n_cores), low=0) or n_cores
    params |= {
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": min(asked, n_cores),
        "seed": params.get("seed", recipe.split.seed),
        "verbosity": -1,
    }
    return params | ({"num_class": n_classes} if task == "multiclass" else {})


def _whole(value: Any, low: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 1_000_000:
        raise InputError(
            f"params holds '{str(value)[:60]}' where a whole number from {low} is needed."
        )
    return value


def _safe_names(preparation: Preparation) -> list[str]:
    """Return feature names as LightGBM's text can hold them, unique."""
    names = [
        "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in feature.name)
        for feature in preparation.features
    ]
    if len(set(names)) == len(names) and all(names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names)]


def _learnt(lesson: _Lesson, progress: Progress, label: str) -> Any:
    try:
        estimator = sklearn_class(lesson.recipe.estimator)(**_sklearn_params(lesson.recipe))
        return estimator.fit(lesson.matrix, lesson.truth)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _refused(lesson.recipe, error) from error


def _sklearn_params(recipe: Recipe) -> dict[str, Any]:
    import inspect

    params = dict(recipe.params)
    if "random_state" in inspect.signature(sklearn_class(recipe.estimator)).parameters:
        params.setdefault("random_state", recipe.split.seed)
    return params


def _refused(recipe: Recipe, error: Exception) -> InputError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return InputError(
        f"{short_name(recipe.estimator)} cannot be trained so: {said}",
        "Change params, the features or the target in the recipe.",
    )


def effective_params(recipe: Recipe, model: Model) -> dict[str, Any]:
    """Return every parameter in force, with ``model`` the estimator's short name."""
    name = {"model": short_name(recipe.estimator)}
    if recipe.estimator != LIGHTGBM:
        known = model.estimator.get_params(deep=False)
        return name | {key: _plain(value) for key, value in known.items()}
    canonical = canonical_names()
    given = {canonical[key] for key in recipe.params}
    params = {k: v for k, v in BOOSTER_DEFAULTS.items() if canonical[k] not in given}
    params |= recipe.params
    params.setdefault("seed", recipe.split.seed)
    if model.task == "regression":
        params.setdefault("objective", "regression")
    else:
        params.setdefault("objective", "binary" if len(model.classes) == 2 else "multiclass")
    return name | {key: _plain(value) for key, value in params.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
