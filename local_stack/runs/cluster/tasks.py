"""What a worker of a Dask cluster does: functions that are sent there by name."""

from __future__ import annotations

import importlib.metadata
import platform
import threading
from typing import TYPE_CHECKING, Any

from local_stack import environment
from local_stack.errors import Cancelled
from local_stack.progress import Progress
from local_stack.runs.workers import Outcome, Task, outcome_of_task

if TYPE_CHECKING:
    import polars as pl

    from local_stack.runs.folding import Fold

_PACKAGES = (
    *("paceml-tui", "lightgbm", "scikit-learn", "scipy", "numpy", "polars", "pyarrow"),
    *("xgboost", "xgboost-cpu", "catboost", "shap", "distributed", "dask", "cloudpickle"),
)
_one_at_a_time = threading.Lock()
"""A worker may have several threads; what libraries warn of is caught for the whole process."""


def versions() -> dict[str, str | None]:
    """Return the versions, of this process, on which results may depend."""
    found: dict[str, str | None] = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def work(function: Any, *arguments: Any) -> Outcome:
    """Do a task in a worker."""
    environment.prepare()
    with _one_at_a_time:
        end_if_unwanted()
        return outcome_of_task(Task(None, function, arguments), lambda _: end_if_unwanted())


def _threads() -> int:
    import distributed

    return int(distributed.get_worker().state.nthreads)


def end_if_unwanted() -> None:
    """Raise :class:`Cancelled` in a worker whose task was cancelled."""
    import distributed
    from distributed.worker import thread_state

    task = distributed.get_worker().state.tasks.get(thread_state.key)
    if task is None or task.state != "executing":
        raise Cancelled("The task is not wanted any more.")


def judge(
    frame: pl.DataFrame, recipe: dict[str, Any], fold: int, n_folds: int, *, progress: Progress
) -> dict[str, float]:
    """Return the metrics of one fold of a trial."""
    from local_stack.runs.tuning.judging import judge_table

    return judge_table(frame, recipe, fold, n_folds, _threads(), progress=progress)


def fold(
    frame: pl.DataFrame,
    recipe: dict[str, Any],
    number: int,
    n_folds: int,
    label: str,
    *,
    progress: Progress,
) -> tuple[Fold, list[Any]]:
    """Return a fold, and what libraries warned of."""
    import warnings

    from local_stack.runs.fit import one_fold
    from local_stack.runs.recipe import parse_recipe

    plan = parse_recipe(recipe)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = one_fold(
            plan, frame, number, n_folds, label=label, progress=progress, threads=_threads()
        )
    return found, [warning.message for warning in caught]
