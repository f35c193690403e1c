"""Training: a recipe and a table become a model, its metrics and what it cost.

The same recipe, table and library versions give the same bytes of the model.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from local_stack.errors import DamagedError, InputError
from local_stack.evaluation.split import folds, hold_out
from local_stack.progress import Progress, Step, silent
from local_stack.runs.boosters import booster_of
from local_stack.runs.deciding import decided_out_of_fold, decision, folds_needed
from local_stack.runs.estimators import check_estimator, is_booster, short_name
from local_stack.runs.fitted import Curve, Fitted, FoldScore, Predictions
from local_stack.runs.folding import (
    Fold,
    Taught,
    aligned,
    cross_validated,
    joined,
    measured,
    outcome_of,
    predicted,
    scores_of,
    summary,
)
from local_stack.runs.lessons import Lesson, Table, labelled, prepared
from local_stack.runs.scikit import learnt, steady
from local_stack.stores.model_files import Model, from_booster, from_estimator, with_quantiles

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.runs.recipe import Recipe

Elsewhere: TypeAlias = "Callable[[Recipe, pl.DataFrame, int, str, Progress], list[Fold]]"
"""Trains the folds of a recipe and a table; takes how many, their label and the progress."""

__all__ = ["Curve", "Fitted", "FoldScore", "Predictions", "effective_params", "fit", "score_fold"]


def fit(
    recipe: Recipe,
    frame: pl.DataFrame,
    *,
    progress: Progress = silent,
    threads: int | None = None,
    elsewhere: Elsewhere | None = None,
) -> Fitted:
    """Train the model of ``recipe`` on ``frame``.

    Rows without a target are dropped and counted. The preparation is fitted to the training
    rows only. With ``split.folds`` the training rows are also cross-validated
    (``cv_<metric>_mean`` and ``_std``, ddof 0; ``folds`` has the metrics of each).

    Parameters
    ----------
    threads
        Most threads to learn with, as many as there are cores when left out. The model is the
        same whatever their number.
    elsewhere
        Trains the folds of the cross-validation, as :func:`one_fold` does, in other processes.

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
    rows, table, task = labelled(recipe, frame)
    train_rows, test_rows = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    train, test = table.take(train_rows), table.take(test_rows)

    def taught(part: Table, label: str) -> tuple[Lesson, Model, _Left]:
        return _trained(recipe, part, task, progress, label, threads)

    with _noted() as notes, _steady(recipe, threads):
        judging, teaching = _folds(recipe, frame, train, taught, progress, elsewhere)
        lesson, model, left = taught(train, "Training")
        if recipe.quantiles:
            model = _with_quantiles(model, lesson, progress, threads)
        progress(Step("Measuring"))
        classes = model.classes
        lessons = [aligned(fold, classes) for fold in teaching]
        decided = decision(recipe, lessons, train.weights, len(classes))
        model = model.deciding(decided.calibration, decided.threshold)
        held = [aligned(fold, classes) for fold in judging or teaching]
        held = decided_out_of_fold(recipe, held, train.weights, len(classes))
        names = recipe.metrics
        scores = scores_of(held, judging, classes, names) if judging else ()
        outcome = predicted(model, test, rows[test_rows])
        weights = None if train.weights is None else train.weights[lesson.rows]
        said = left.scores()
        on_train = outcome_of(model, lesson.matrix, lesson.truth, lesson.rows, weights, said)
        metrics = summary(scores) | measured(outcome, model, names)
        known = measured(on_train, model, names)
        metrics |= {f"train_{name}": value for name, value in known.items()}
    return Fitted(
        model=model,
        metrics=metrics,
        params=effective_params(recipe, model, len(lesson.rows)),
        n_rows_train=len(lesson.rows),
        n_rows_test=len(test_rows),
        n_rows_dropped=frame.height - len(rows),
        test=outcome,
        warnings=tuple(notes),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        n_rows_purged=len(rows) - len(train_rows) - len(test_rows),
        folds=scores,
        out_of_fold=joined(held, rows[train_rows]) if held else None,
        curve=left.curve,
        feature_importance=_importance(model),
        lesson=lesson,
    )


def one_fold(
    recipe: Recipe,
    frame: pl.DataFrame,
    number: int,
    n_folds: int,
    *,
    label: str = "Fold",
    progress: Progress = silent,
    threads: int | None = None,
) -> Fold:
    """Train on one fold of the training rows of ``frame``, as :func:`fit` does for ``number``."""
    _, table, task = labelled(recipe, frame)
    train_rows, _ = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    train = table.take(train_rows)
    parts = folds(train.keys, n_folds, recipe.split.seed)
    fit_rows, score_rows = next(islice(parts, number - 1, None))
    label = f"{label} {number} of {n_folds}"
    with _steady(recipe, threads):
        lesson, model, *_ = _trained(recipe, train.take(fit_rows), task, progress, label, threads)
        found = predicted(model, train.take(score_rows), score_rows)
    return Fold(found, model.classes, len(lesson.rows))


def score_fold(
    recipe: Recipe,
    frame: pl.DataFrame,
    number: int,
    n_folds: int,
    *,
    progress: Progress = silent,
    threads: int | None = None,
) -> FoldScore:
    """Train on one fold of the training rows of ``frame``, and measure it on the fold's others.

    The metrics are those that :func:`fit` gives for fold ``number`` (from 1) of ``n_folds``,
    before any calibration and threshold. No row of the test is looked at.

    Raises
    ------
    InputError
        The recipe does not fit the table, or the estimator refuses it.
    Cancelled
        When ``progress`` raises it.
    """
    _, table, task = labelled(recipe, frame)
    train_rows, _ = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    train = table.take(train_rows)
    parts = folds(train.keys, n_folds, recipe.split.seed)
    fit_rows, score_rows = next(islice(parts, number - 1, None))
    with _noted(), _steady(recipe, threads):
        label = f"Fold {number} of {n_folds}"
        lesson, model, *_ = _trained(recipe, train.take(fit_rows), task, progress, label, threads)
        found = predicted(model, train.take(score_rows), score_rows)
    fold = Fold(found, model.classes, len(lesson.rows))
    held = [aligned(fold, train.classes)]
    (score,) = scores_of(held, [fold], train.classes, recipe.metrics)
    return replace(score, number=number)


def _folds(
    recipe: Recipe,
    frame: pl.DataFrame,
    train: Table,
    taught: Taught,
    progress: Progress,
    elsewhere: Elsewhere | None,
) -> tuple[list[Fold], list[Fold]]:
    """Return the folds that judge, and those that calibration and threshold learn from.

    They are the same where their numbers are.
    """

    def crossed(n_folds: int, label: str) -> list[Fold]:
        if elsewhere is not None:
            return elsewhere(recipe, frame, n_folds, label, progress)
        return cross_validated(recipe, train, n_folds, taught, label, progress)

    n_judging, n_teaching = recipe.split.folds, folds_needed(recipe)
    judging = crossed(n_judging, "Fold") if n_judging else []
    if n_teaching in (None, n_judging):
        return judging, judging
    return judging, crossed(n_teaching, "Calibration fold")


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


def _steady(recipe: Recipe, threads: int | None) -> AbstractContextManager[None]:
    return nullcontext() if is_booster(recipe.estimator) else steady(threads)


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left of a training beside its model.

    ``scores`` gives what the booster predicts for the rows it learnt from, where that is known.
    """

    curve: Curve | None = None
    scores: Callable[[], np.ndarray | None] = lambda: None


def _trained(
    recipe: Recipe, table: Table, task: str, progress: Progress, label: str, threads: int | None
) -> tuple[Lesson, Model, _Left]:
    """Return what was learnt from a table, the model, and what is left of the training."""
    lesson = prepared(recipe, table, progress, label)
    facts: dict[str, Any] = {
        "task": task,
        "target": recipe.target or "",
        "classes": lesson.classes,
    }
    library = booster_of(recipe.estimator)
    if library is not None:
        booster, curve = library.boosted(lesson, progress, label, threads)
        model = from_booster(booster, lesson.preparation, kind=recipe.estimator, **facts)
        return lesson, model, _Left(curve, lambda: library.scores(booster))
    estimator = learnt(lesson, threads)
    try:
        return lesson, from_estimator(estimator, lesson.preparation, **facts), _Left()
    except DamagedError as error:  # nothing is damaged: no file may hold what it is made of
        why = error.message.partition(": ")[2] or error.message
        raise InputError(
            f"{short_name(recipe.estimator)} cannot be stored as it was trained: {why}",
            "Change params, or train another estimator, such as lightgbm.",
        ) from error


def _with_quantiles(model: Model, lesson: Lesson, progress: Progress, threads: int | None) -> Model:
    """Return the model with a booster for each quantile that the recipe asks for."""
    boosters, library = {}, booster_of(lesson.recipe.estimator)
    assert library is not None  # no other estimator may have the key
    for level in lesson.recipe.quantiles:
        label = f"Quantile {level:g}"
        boosters[level], _ = library.boosted(lesson, progress, label, threads, quantile=level)
    return with_quantiles(model, boosters)


def _importance(model: Model) -> dict[str, float]:
    """Return what the estimator itself says of each feature; nothing where it says nothing."""
    library = booster_of(model.kind)
    found: Any = (
        getattr(model.estimator, "feature_importances_", None)
        if library is None
        else library.gains(model.estimator)
    )
    if found is None:
        return {}
    names = [feature.name for feature in model.features]
    return dict(zip(names, found.tolist(), strict=True))


def effective_params(recipe: Recipe, model: Model, n_rows: int) -> dict[str, Any]:
    """Return every parameter in force, with ``model`` the estimator's short name.

    ``n_rows`` were learnt from.
    """
    library = booster_of(recipe.estimator)
    if library is not None:
        params = library.in_force(recipe, len(model.classes), n_rows, model.estimator)
    else:
        params = model.estimator.get_params(deep=False) | recipe.params
    plain = {key: _plain(value) for key, value in params.items()}
    return {"model": short_name(recipe.estimator)} | plain


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
