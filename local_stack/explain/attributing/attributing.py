"""The one door to SHAP values: every model that can be stored has them, and says how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing import linear, trees
from local_stack.explain.attributing.attributions import (
    DECISION,
    PROBABILITY,
    TARGET,
    Attributions,
    column_groups,
    joined,
    summed,
)
from local_stack.explain.attributing.sampled import PERMUTATIONS, sampled_values
from local_stack.explain.attributing.units import (
    calibrated,
    can_predict_in,
    check_unit,
    in_predictions,
    link_of,
)
from local_stack.progress import Progress, Step, silent
from local_stack.runs.cluster.client import completed
from local_stack.runs.workers import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.cluster.client import Cluster
    from local_stack.stores.model import Model, ModelRecord

    Array = NDArray[np.float64]

BACKGROUND_ROWS: Final = 100
_BLOCK: Final = 500
_SAMPLED: Final = "permutation SHAP ({n} background rows, {p} orders forth and back)"
_ENUMERATED: Final = "exact SHAP (every coalition, {n} background rows)"


@dataclass(frozen=True)
class Question:
    """A model, what stands for absent features (n_background, n_features), and a unit or None."""

    model: Model
    background: Array
    unit: str | None = None


def attribute(
    model: Model,
    matrix: Array,
    background: Array,
    *,
    unit: str | None = None,
    workers: Cluster | None = None,
    progress: Progress = silent,
) -> Attributions:
    """Return the SHAP values of rows, as the model prepares them, in original columns.

    Parameters
    ----------
    matrix
        Rows to explain, float64 (n_rows, n_features), of :meth:`Model.matrix`.
    background
        Training rows, likewise, that stand for absent features: linear models use their mean,
        sampled explainers at most 100 of them, trees none (the covers in them are theirs).
    unit
        One of :data:`UNITS`; None: the one in which the model itself adds up.
    workers
        Workers of a cluster that do it in blocks of rows, with the same values.

    Raises
    ------
    InputError
        The model's values cannot be told in that unit.
    """
    question = Question(model, background, unit)
    if workers is None and _is_quick(model):
        return _of_block(question, matrix)
    blocks = [matrix[start : start + _BLOCK] for start in range(0, len(matrix), _BLOCK)] or [matrix]
    if workers is None:
        parts = []
        for number, block in enumerate(blocks):
            progress(Step("SHAP values", number * _BLOCK, len(matrix)))
            parts.append(_of_block(question, block))
        return joined(parts)
    facts = workers.send((model.record, model.preparation, model.content))
    asked = [Task(n, block_task, (facts, it, background, unit)) for n, it in enumerate(blocks)]
    found: dict[int, Attributions] = {}
    found.update(completed(workers, asked, "SHAP values, blocks of rows", progress))
    return joined([found[number] for number in range(len(blocks))])


def block_task(
    facts: tuple[ModelRecord, Preparation, bytes],
    block: Array,
    background: Array,
    unit: str | None,
    *,
    progress: Progress = silent,
) -> Attributions:
    """Return the SHAP values of some rows, by what a model is made of: the task of a worker."""
    from local_stack.stores.model_files import built

    if not _built or _built[0] != facts:
        _built[:] = [facts, built(*facts)]
    return _of_block(Question(_built[1], background, unit), block)


_built: list[Any] = []
"""The model that a worker had last, after what it is made of."""


def _is_quick(model: Model) -> bool:
    return linear.is_linear(model) or trees.has_trees(model)


def _of_block(question: Question, matrix: Array) -> Attributions:
    model = question.model
    raw = _raw_attributions(question, matrix)
    final = TARGET if model.task == "regression" else PROBABILITY
    if raw is not None:
        link = link_of(model, raw.raw, matrix)
        if link is not None:
            check_unit(question.unit, link.unit, final if link.unit != DECISION else DECISION)
            wanted = question.unit or link.unit
            if can_predict_in(model, link, wanted):
                if wanted == link.unit:
                    return _in_unit(raw, link.unit)
                given = _in_unit(raw, link.unit)
                return in_predictions(model, given, link, calibrated(model, matrix))
    return _sampled(question, matrix)


def _in_unit(found: Attributions, unit: str) -> Attributions:
    return replace(found, unit=unit)


def output_names(model: Model) -> tuple[str, ...]:
    """Return what the outputs of a model are called: the target, the second class, or all."""
    if model.task == "regression":
        return (model.target,)
    names = tuple(str(label) for label in model.classes)
    return names if len(names) > 2 else names[1:]


def _raw_attributions(question: Question, matrix: Array) -> Attributions | None:
    """Return the attributions of the model's own scores, exact; None where there is no such way."""
    model = question.model
    if linear.is_linear(model):
        values, base, raw = linear.linear_values(model, matrix, question.background)
        method = linear.METHOD
    elif trees.has_trees(model):
        values, base, raw = trees.tree_values(model, matrix)
        method = trees.METHOD
    else:
        return None
    groups = column_groups(model.preparation)
    by_column = summed(values, list(groups.values()))
    return Attributions(tuple(groups), output_names(model), by_column, base, raw, "", method)


def _sampled(question: Question, matrix: Array) -> Attributions:
    """Every other model: its predictions by coalitions or permutations, with standard errors."""
    import numpy as np

    model = question.model
    has_scores = model.task == "regression" or model.has_probabilities
    unit = (TARGET if model.task == "regression" else PROBABILITY) if has_scores else DECISION
    check_unit(question.unit, unit, unit)
    background = some_of(question.background)
    groups = column_groups(model.preparation)

    def function(asked: Array) -> Array:
        return calibrated(model, asked) if has_scores else _decisions(model, asked)

    values, base, errors = sampled_values(function, matrix, background, list(groups.values()))
    raw = function(matrix) if len(matrix) else np.empty((0, len(base)))
    how = _ENUMERATED if errors is None else _SAMPLED
    method = how.format(n=len(background), p=PERMUTATIONS)
    names = output_names(model)
    return Attributions(tuple(groups), names, values, base, raw, unit, method, errors)


def _decisions(model: Model, matrix: Array) -> Array:
    """Return the decision function (n_rows, n_outputs); 1 for the label given where there is none.

    A support vector machine that compares classes in pairs has no score for each class.
    """
    import numpy as np

    n_outputs = len(model.classes) if len(model.classes) > 2 else 1
    estimator: Any = model.estimator
    if hasattr(estimator, "decision_function"):
        found = np.asarray(estimator.decision_function(matrix), dtype=np.float64)
        found = found.reshape(len(matrix), -1)
        if found.shape[1] == n_outputs:
            return found
    labels = model.outputs(matrix)
    if n_outputs == 1:
        return labels.astype(np.float64)[:, None]
    return np.asarray(np.eye(n_outputs)[labels])


def some_of(background: Array, most: int = BACKGROUND_ROWS) -> Array:
    """Return at most ``most`` rows, evenly spread: the background of a sampled explainer."""
    return background[:: max(1, len(background) // most)][:most]
