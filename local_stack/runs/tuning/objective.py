"""What a study is for: a metric of the task, and which of its values are better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.errors import InputError, nearest
from local_stack.evaluation.named import unfit
from local_stack.evaluation.resampling import WEIGHTED
from local_stack.evaluation.split import hold_out
from local_stack.runs.comparison.directions import direction
from local_stack.runs.estimators import gives_probabilities
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
    """A metric of the cross-validation. ``task`` is what the data made of the recipe's.

    ``scorer`` is the name of scikit-learn's scorer that measures it, None for a usual metric.
    ``n_classes`` (0 for a regression) and ``n_rows`` are those of the training rows.
    """

    task: str
    metric: str
    is_higher_better: bool
    scorer: str | None = None
    n_classes: int = 0
    n_rows: int = 0


def objective(plan: Recipe, frame: pl.DataFrame) -> Objective:
    """Return what the search of a recipe is for; without a metric RMSE or log loss.

    It is a usual metric of the task, or one of scikit-learn's by the name of its scorer, of which
    more is better. Where the recipe has weights, ``weighted_<metric>`` is that of weighted rows.

    Raises
    ------
    InputError
        The metric is not one of the task, or the recipe does not fit the table.
    """
    assert plan.search is not None
    _, table, task = labelled(plan, frame)
    n_classes, kind = 0, task
    rows, _ = hold_out(table.keys, plan.split.test, plan.split.seed)
    if task == "classification":
        n_classes = len(table.take(rows).classes)
        kind = "binary" if n_classes == 2 else "multiclass"
    is_class = task == "classification"
    has_probabilities = is_class and gives_probabilities(plan.estimator, plan.params)
    usual = _METRICS[kind]
    if task == "classification" and not has_probabilities:
        usual = tuple(name for name in usual if name in _DECIDED)
    metric = plan.search.metric or usual[0]
    is_weighted = plan.weights is not None and metric.startswith(WEIGHTED)
    name = metric.removeprefix(WEIGHTED) if is_weighted else metric
    if name in usual:
        is_higher = direction(name) == "higher"
        return Objective(task, metric, is_higher, None, n_classes, len(rows))
    if metric.startswith(WEIGHTED) and not is_weighted:
        raise InputError(
            f"search.metric cannot be '{metric}': the recipe weighs no rows.",
            "Add weights: COLUMN, or search the metric itself.",
        )
    found = _named(metric, name, usual, task, (n_classes, has_probabilities, is_weighted))
    return replace(found, n_rows=len(rows))


def _named(
    metric: str, name: str, usual: Sequence[str], task: str, kind: tuple[int, bool, bool]
) -> Objective:
    """Return what a search by a metric of scikit-learn is for; ``kind`` as :func:`unfit` has it."""
    from sklearn.metrics import get_scorer_names

    scorers = get_scorer_names()
    if name in scorers:
        why = unfit(name, *kind)
        if not why:
            return Objective(task, metric, True, name, kind[0])
        hint = f"scikit-learn: {why.rstrip('.')}. Some that can be: {', '.join(usual)}."
    else:
        fitting = [scorer for scorer in scorers if not unfit(scorer, *kind)]
        before = WEIGHTED if kind[2] else ""
        known = [before + it for it in (*usual, *fitting)]
        hint = nearest(metric, known) or f"One of: {', '.join(known)}."
    raise InputError(f"search.metric cannot be '{metric}' for this {task}.", hint)
