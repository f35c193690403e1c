"""What a study is for: a metric of the task, and which of its values are better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.errors import InputError, nearest
from local_stack.evaluation.split import hold_out
from local_stack.runs.comparison.directions import direction
from local_stack.runs.estimators import LIGHTGBM, sklearn_class
from local_stack.runs.lessons import labelled
from local_stack.runs.recipe import Recipe

if TYPE_CHECKING:
    import polars as pl

_METRICS = {
    "regression": ("rmse", "mae", "r2"),
    "binary": (
        "log_loss",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "brier",
        "roc_auc",
        "average_precision",
    ),
    "multiclass": ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr"),
}
_DECIDED = ("accuracy", "precision", "recall", "f1", "f1_macro")
"""Metrics that need no probabilities."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric of the cross-validation. ``task`` is what the data made of the recipe's."""

    task: str
    metric: str
    is_higher_better: bool


def objective(plan: Recipe, frame: pl.DataFrame) -> Objective:
    """Return what the search of a recipe is for; without a metric RMSE or log loss.

    Raises
    ------
    InputError
        The metric is not one of the task, or the recipe does not fit the table.
    """
    assert plan.search is not None
    _, table, task = labelled(plan, frame)
    kind = task
    if task == "classification":
        rows, _ = hold_out(table.keys, plan.split.test, plan.split.seed)
        kind = "binary" if len(table.take(rows).classes) == 2 else "multiclass"
    known = _METRICS[kind]
    if task == "classification" and not _gives_probabilities(plan.estimator):
        known = tuple(name for name in known if name in _DECIDED)
    metric = plan.search.metric or known[0]
    if metric not in known:
        raise InputError(
            f"search.metric cannot be '{metric}' for this {task}.",
            nearest(metric, known) or f"One of: {', '.join(known)}.",
        )
    return Objective(task, metric, direction(metric) == "higher")


def _gives_probabilities(estimator: str) -> bool:
    return estimator == LIGHTGBM or hasattr(sklearn_class(estimator), "predict_proba")
