"""The one door to SHAP values: every model that can be stored has them, and says how."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError
from local_stack.explain.attributing import linear, trees
from local_stack.explain.attributing.attributions import (
    Attributions,
    column_groups,
    joined,
    summed,
)
from local_stack.explain.attributing.sampled import PERMUTATIONS, evenly, sampled_values
from local_stack.explain.attributing.units import (
    Link,
    calibrated,
    can_rescale,
    in_predictions,
    is_final,
    link_of,
    probability_of,
    spelled,
    units_of,
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
_SLOW_BLOCK: Final = 20
"""Rows of a sampled explainer between two ticks of the progress: seconds, not minutes."""
_SAMPLED: Final = "permutation SHAP ({n} background rows, {p} orders forth and back)"
_ENUMERATED: Final = "exact SHAP (every coalition, {n} background rows)"


class Explainer:
    """A model made ready to be explained, again and again.

    Parameters
    ----------
    background
        Training rows, float64 (n_background, n_features), that stand for absent features: linear
        models use their mean, sampled explainers at most 100 of them, trees none (the covers in
        them are theirs).
    """

    def __init__(self, model: Model, background: Array) -> None:
        self.model = model
        self.background = background
        self._groups = column_groups(model.preparation)
        self._places = list(self._groups.values())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that have values."""
        return tuple(self._groups)

    @cached_property
    def _link(self) -> Link | None:
        """Return how the model's own scores become predictions; None: no exact way to explain."""
        some = some_of(self.background)
        if linear.is_linear(self.model):
            return link_of(self.model, linear.linear_values(self.model, some, some)[2], some)
        if trees.has_trees(self.model):
            return link_of(self.model, trees.scores(self.model, some), some)
        return None

    @property
    def is_quick(self) -> bool:
        """Return whether the values come from the model's structure, not from its predictions."""
        return self._link is not None

    @cached_property
    def chance(self) -> str:
        """Return a sentence that the model answers by chance, '' where it does not.

        The same rows are asked about in another order, so that a seed does not hide it.
        """
        import numpy as np

        some = some_of(self.background)
        if self.is_quick or len(some) < 2:
            return ""
        first, again = self._asked(some), self._asked(some[::-1])[::-1]
        if np.allclose(first, again, rtol=1e-6, atol=1e-9):
            return ""
        return (
            f"{self.model.record.estimator} does not answer the same about the same row each "
            "time: its SHAP values are of chance as well as of the columns, and do not add up."
        )

    @property
    def units(self) -> tuple[str, ...]:
        """Return the units that values can be told in; the first is that of the model itself."""
        return units_of(self.model, self._link)

    @property
    def own_unit(self) -> str:
        """Return the unit of the model's own scores, which :attr:`units` may not offer."""
        return self.units[0] if self._link is None else self._link.unit

    def probability_of(self, score: float, output: str) -> float | None:
        """Return the probability of one of two classes at a score in :attr:`own_unit`, or None."""
        return probability_of(self.model, self._link, score, output)

    def attribute(self, matrix: Array, unit: str | None = None) -> Attributions:
        """Return the SHAP values of rows, as the model prepares them, in original columns.

        Parameters
        ----------
        matrix
            Rows to explain, float64 (n_rows, n_features), of :meth:`Model.matrix`.
        unit
            One of :attr:`units`, ``log-odds`` also for those before calibration; None: the first.

        Raises
        ------
        InputError
            The model's values cannot be told in that unit, or it predicts nothing for a row.
        """
        wanted = spelled(unit or self.units[0], self.units)
        return self.in_units(matrix, (wanted,))[wanted]

    def in_units(self, matrix: Array, units: Sequence[str]) -> dict[str, Attributions]:
        """Return :meth:`attribute` in several units; what they have in common is done once."""
        for unit in units:
            if unit not in self.units:
                raise InputError(
                    f"The SHAP values of this model are not measured in '{unit}'.",
                    f"Ask for one of: {', '.join(self.units)}.",
                )
        model, link = self.model, self._link
        found: dict[str, Attributions] = {}
        own: Attributions | None = None
        for unit in units:
            is_told = link is not None and is_final(model, link, unit)
            if link is None or (is_told and not can_rescale(model, link)):
                found[unit] = self._sampled(matrix, unit)
                continue
            own = own or self._own(matrix, link)
            found[unit] = (
                in_predictions(model, own, link, calibrated(model, matrix)) if is_told else own
            )
        return found

    def _own(self, matrix: Array, link: Link) -> Attributions:
        """Return the attributions of the model's own scores, exactly."""
        if linear.is_linear(self.model):
            method = linear.METHOD
            values, base, raw = linear.linear_values(self.model, matrix, self.background)
        else:
            method = trees.METHOD
            values, base, raw = trees.tree_values(self.model, matrix)
        return Attributions(
            columns=self.columns,
            outputs=output_names(self.model),
            values=summed(values, self._places),
            base=base,
            raw=raw,
            unit=link.unit,
            method=method,
        )

    def _sampled(self, matrix: Array, unit: str) -> Attributions:
        """Every other model: its predictions by coalitions or permutations, with their errors."""
        import numpy as np

        background = some_of(self.background)
        values, base, errors = sampled_values(self._asked, matrix, background, self._places)
        raw = self._asked(matrix) if len(matrix) else np.empty((0, len(base)))
        how = _ENUMERATED if errors is None else _SAMPLED
        method = how.format(n=len(background), p=PERMUTATIONS)
        names = output_names(self.model)
        return Attributions(self.columns, names, values, base, raw, unit, method, errors)

    def _asked(self, matrix: Array) -> Array:
        """Return what the model says of rows, (n_rows, n_outputs), in its final unit."""
        import numpy as np

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an error says it below
                if self.model.task == "regression" or self.model.has_probabilities:
                    found = calibrated(self.model, matrix)
                else:
                    found = class_scores(self.model, matrix)
        except ValueError as error:
            raise InputError(
                f"{self.model.record.estimator} cannot be asked about rows that are mixed of "
                f"others: {str(error)[:120]}",
                "Explain a model that has an answer everywhere.",
            ) from error
        if not np.isfinite(found).all():
            raise InputError(
                f"{self.model.record.estimator} predicts no number for rows that are mixed of "
                "others, so its SHAP values do not exist.",
                "Explain a model that has an answer everywhere.",
            )
        return found


def attribute(
    explainer: Explainer,
    matrix: Array,
    *,
    unit: str | None = None,
    workers: Cluster | None = None,
    progress: Progress = silent,
) -> Attributions:
    """Return :meth:`Explainer.attribute` of rows, in blocks with the same values.

    Parameters
    ----------
    workers
        Workers of a cluster that do the blocks.
    """
    model, background = explainer.model, explainer.background
    if workers is None and explainer.is_quick:
        return explainer.attribute(matrix, unit)
    size = _BLOCK if explainer.is_quick else min(_BLOCK, _SLOW_BLOCK)
    blocks = [matrix[start : start + size] for start in range(0, len(matrix), size)] or [matrix]
    if workers is None:
        parts = []
        for number, block in enumerate(blocks):
            progress(Step("SHAP values", number * size, len(matrix)))
            parts.append(explainer.attribute(block, unit))
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
        _built[:] = [facts, Explainer(built(*facts), background)]
    explainer: Explainer = _built[1]
    return explainer.attribute(block, unit)


_built: list[Any] = []
"""The explainer that a worker had last, after what its model is made of."""


def output_names(model: Model) -> tuple[str, ...]:
    """Return what the outputs of a model are called: the target, the second class, or all."""
    if model.task == "regression":
        return (model.target,)
    names = tuple(str(label) for label in model.classes)
    return names if len(names) > 2 else names[1:]


def class_scores(model: Model, matrix: Array) -> Array:
    """Return the decision function (n_rows, n_outputs); 1 for the label given where there is none.

    A support vector machine that compares classes in pairs has no score for each class.
    """
    import numpy as np

    n_outputs = len(model.classes) if len(model.classes) > 2 else 1
    estimator: Any = model.estimator
    is_paired = n_outputs > 1 and getattr(estimator, "decision_function_shape", "") == "ovo"
    if hasattr(estimator, "decision_function") and not is_paired:
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
    return background[evenly(len(background), most)]
