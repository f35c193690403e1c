"""What a worker does: one fold of one trial, from plain values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import versions
from local_stack.progress import Progress, silent
from local_stack.runs.recipe import Recipe, parse_recipe
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

_tables: dict[tuple[str, str], pl.DataFrame] = {}
"""The table that this process has read, by workspace and data version; there is one at most."""


def remember(root: str, reference: str, frame: pl.DataFrame | None) -> None:
    """Keep a table for :func:`judge`, so that it is read once; None forgets it."""
    _tables.clear()
    if frame is not None:
        _tables[root, reference] = frame


def as_judged(plan: Recipe) -> Recipe:
    """Return the recipe of a trial: without what is done only once, to the best one."""
    return replace(plan, search=None, calibrate=None, threshold=None, quantiles=())


def judge(
    root: str,
    reference: str,
    recipe: dict[str, Any],
    fold: int,
    n_folds: int,
    threads: int | None,
    *,
    progress: Progress = silent,
) -> dict[str, float]:
    """Return the metrics of one fold of the training rows; the test rows are not looked at.

    Parameters
    ----------
    root, reference
        The workspace, and the data version in it as NAME@VERSION.
    fold
        Which of the ``n_folds``, from 1.
    """
    if (root, reference) not in _tables:
        with Workspace.open(root, readonly=True) as workspace:
            remember(root, reference, versions.read(workspace, versions.find(workspace, reference)))
    return judge_table(_tables[root, reference], recipe, fold, n_folds, threads, progress=progress)


def judge_table(
    frame: pl.DataFrame,
    recipe: dict[str, Any],
    fold: int,
    n_folds: int,
    threads: int | None,
    *,
    progress: Progress = silent,
) -> dict[str, float]:
    """Return what :func:`judge` does, of a table that is at hand."""
    from local_stack.runs.fit import score_fold

    plan = parse_recipe(recipe)
    score = score_fold(plan, frame, fold, n_folds, progress=progress, threads=threads)
    return dict(score.metrics)


def open_table(workspace: Workspace, version: versions.DataVersion) -> pl.DataFrame:
    """Return the table of a version, and keep it for tasks that this process does itself."""
    frame = versions.read(workspace, version)
    remember(str(Path(workspace.root)), version.reference, frame)
    return frame
