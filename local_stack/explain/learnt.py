"""Which rows of its data version a run's model is of: what is learnt, explained, compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.errors import InputError
from local_stack.evaluation.split import hold_out
from local_stack.preparation.fitting import passing
from local_stack.preparation.steps import FilterStep
from local_stack.preparation.table import Labels
from local_stack.runs.estimators import is_booster
from local_stack.runs.lessons import labelled
from local_stack.runs.recipe import parse_recipe

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.runs.recipe import Recipe
    from local_stack.stores.metadata import Row


def recipe_of(run: Row) -> Recipe | None:
    """Return the recipe of a run, None for one of another tool."""
    try:
        return parse_recipe(run["recipe"])
    except (InputError, KeyError, TypeError):
        return None


def has_filters(run: Row) -> bool:
    """Return whether the recipe of a run has steps that leave out rows by what they hold."""
    recipe = recipe_of(run)
    return recipe is not None and _filters(recipe)


def _filters(recipe: Recipe) -> bool:
    return any(isinstance(it, FilterStep) for it in recipe.features)


def with_target(frame: pl.DataFrame, target: str) -> NDArray[np.int64]:
    """Return the numbers of the rows that have a target; all where there is no such column."""
    import numpy as np

    if target not in frame.columns:
        return np.arange(frame.height)
    series = frame[target]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    return np.flatnonzero(series.is_not_null().to_numpy())


def training_rows(run: Row, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the numbers of the rows with a target that the recipe's filters let pass.

    Those that the run held out to judge the model by are among them (:func:`unseen`).

    Parameters
    ----------
    frame
        The whole data version that the run learnt from.
    """
    rows = with_target(frame, run["target"])
    recipe = recipe_of(run)
    if recipe is None or not _filters(recipe):
        return rows
    try:
        rows, table, _ = labelled(recipe, frame)
        train, _ = hold_out(table.keys, recipe.split.test, recipe.split.seed)
        learnt = table.take(train)
        truth = learnt.truth(learnt.classes).astype("float64")
        passed = passing(
            table.frame,
            recipe.target or "",
            recipe.features,
            train,
            native_strings=is_booster(recipe.estimator),
            labels=Labels(truth, tuple(learnt.classes), learnt.keys, recipe.split.seed),
        )
    except InputError:  # the version has another form than the run says
        return rows
    found: NDArray[np.int64] = rows[passed]
    return found


def unseen(run: Row, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the numbers of the rows that a run held out of its training, none where it did not.

    Parameters
    ----------
    frame
        The whole data version that the run learnt from.
    """
    import numpy as np

    recipe = recipe_of(run)
    if recipe is None:
        return np.empty(0, dtype=np.int64)
    try:
        rows, table, _ = labelled(recipe, frame)
        _, test = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    except (InputError, KeyError, TypeError):
        return np.empty(0, dtype=np.int64)
    return np.asarray(rows[test], dtype=np.int64)
