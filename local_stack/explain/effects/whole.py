"""The explanation of a whole model, part by part, each of as many rows as are worth their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from local_stack.errors import InputError
from local_stack.explain.affording import MOST_ROWS, is_sampled, tree_rows
from local_stack.explain.attributing.attributing import BACKGROUND_ROWS, output_names
from local_stack.explain.effects import partial, permutation, surrogate
from local_stack.explain.effects.dependence import beeswarm, dependence
from local_stack.explain.effects.interactions import interactions, used_features
from local_stack.explain.effects.parts import (
    Background,
    Explained,
    FeatureImportance,
    Interactions,
    ModelExplanation,
    Partial,
    Permutation,
    Surrogate,
)
from local_stack.explain.effects.rows import Rows
from local_stack.explain.effects.unhelpful import unhelpful
from local_stack.names import class_place
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import polars as pl

    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.explain.subject import Subject
    from local_stack.stores.model import Model

Part = TypeVar("Part", Interactions, Surrogate)

DRAWN_ROWS: Final = 500
"""Rows of a beeswarm and of each dependence plot."""
MOST_COLUMNS: Final = 40
"""Columns that are drawn."""
MOST_PARTIALS: Final = 20


@dataclass
class _Notes:
    """Sentences about what was left out."""

    told: list[str] = field(default_factory=list)

    def or_note(self, found: Part | str) -> Part | None:
        """Return what was found, or keep the sentence that says why nothing was."""
        if isinstance(found, str):
            self.told.append(found)
            return None
        return found


def named_output(model: Model, output: str | None) -> str | None:
    """Return an output by the name that results have, None for None.

    Raises
    ------
    InputError
        The model does not have it.
    """
    if output is None or output in output_names(model):
        return output
    return str(model.classes[class_place(output, model.classes)])


def chosen_output(found: Attributions, output: str | None) -> int:
    """Return the place of the output that is drawn: the one named, or that of most rows.

    The first of two classes has a place when the values are told of it (:func:`told_of`).
    """
    import numpy as np

    if output is not None:
        return found.outputs.index(output)
    return int(np.bincount(found.predicted, minlength=len(found.outputs)).argmax())


def explained(
    subject: Subject,
    learnt_from: str,
    frame: pl.DataFrame,
    found: Attributions,
    *,
    output: str | None = None,
    progress: Progress = silent,
) -> Explained:
    """Return everything that an explanation of a whole model is made of.

    Parameters
    ----------
    learnt_from
        The data version that the model learnt from, as NAME@VERSION.
    frame, found
        The explained rows, and their SHAP values in all outputs, told of ``output``.
    output
        The output to draw, by its name.
    """
    model, notes = subject.model, _Notes()
    shown = chosen_output(found, output)
    one = found.of_output(shown)
    importance = importance_of(found, one if output is not None else found)
    columns = [item.feature for item in importance][:MOST_COLUMNS]
    if len(importance) > MOST_COLUMNS:
        notes.told.append(
            f"Drawn are the {MOST_COLUMNS} most important of {len(importance)} columns."
        )
    if subject.explainer.chance:
        notes.told.append(subject.explainer.chance)
    is_slow = is_sampled(found) or tree_rows(model) < MOST_ROWS
    if is_slow and frame.height < subject.frame.height:
        notes.told.append(
            f"{frame.height:,} of {subject.frame.height:,} rows are explained, as each takes long "
            "for this model; --rows N explains more."
        )
    progress(Step("Dependence on each column", 0, len(columns)))
    rows = Rows(model, frame)
    dependences = []
    for number, column in enumerate(columns):
        progress(Step("Dependence on each column", number, len(columns)))
        dependences.append(dependence(rows, one, column, most=DRAWN_ROWS))
    shuffled = _permutation(subject, learnt_from, notes, progress)
    partials = _partials(model, subject.frame, columns, found.outputs[shown], progress)
    progress(Step("Interactions"))
    explainer, base = subject.explainer, float(found.base[shown])
    unit, name = explainer.own_unit, found.outputs[shown]
    together = notes.or_note(interactions(model, rows.matrix, columns, shown, unit))
    progress(Step("Surrogate tree"))
    some = subject.frame[surrogate.some_rows(model, subject.frame.height)]
    explanation = ModelExplanation(
        run_id=subject.run_id,
        data_version=subject.version.reference,
        n_rows=frame.height,
        n_total=subject.frame.height,
        is_sample=frame.height < subject.frame.height,
        unit=found.unit,
        method=found.method,
        base_value=base,
        importance=importance,
        additivity_error=found.additivity_error,
        artifacts=(),
        target=model.target,
        estimator=model.record.estimator,
        outputs=found.outputs,
        output=name,
        base_values=tuple(found.base.tolist()),
        n_summed=len(found.outputs) if output is None else 1,
        base_probability=explainer.probability_of(base, name) if found.unit == unit else None,
        standard_error=None if found.error is None else float(found.error.max(initial=0.0)),
        background=_background(subject, learnt_from, found),
        permutation=shuffled,
        interactions=together,
        surrogate=notes.or_note(surrogate.surrogate_tree(Rows(model, some))),
        findings=tuple(unhelpful(rows, importance, shuffled, used_features(model))),
        notes=tuple(notes.told),
    )
    bees = beeswarm(rows, one, columns, most=DRAWN_ROWS)
    return Explained(explanation, bees, tuple(dependences), partials)


def importance_of(found: Attributions, ordered_by: Attributions) -> tuple[FeatureImportance, ...]:
    """Return the mean |SHAP| of each column, the largest first.

    Parameters
    ----------
    ordered_by
        The outputs whose sum it is.
    """
    import numpy as np

    by_class = np.abs(found.values).mean(axis=0) if found.n_rows else None
    items = [
        FeatureImportance(
            name,
            float(mean),
            () if by_class is None or len(found.outputs) == 1 else tuple(by_class[n].tolist()),
        )
        for n, (name, mean) in enumerate(zip(found.columns, ordered_by.importance, strict=True))
    ]
    return tuple(sorted(items, key=lambda item: (-item.mean_abs_shap, item.feature)))


def _background(subject: Subject, learnt_from: str, found: Attributions) -> Background:
    if is_sampled(found):
        n_rows = min(BACKGROUND_ROWS, len(subject.background))
        return Background(learnt_from, n_rows, "rows evenly spread over the version")
    if "tree" in found.method:
        how = "the rows that the model learnt from, as counted in its trees"
        return Background(learnt_from, 0, how)
    how = "the mean of rows evenly spread over the version"
    return Background(learnt_from, len(subject.background), how)


def _permutation(
    subject: Subject, learnt_from: str, notes: _Notes, progress: Progress
) -> Permutation | None:
    """Return the permutation importance of rows that the model has not seen, if there are some."""
    model, frame, source = subject.model, subject.frame, "all"
    if model.target not in frame.columns:
        notes.told.append(
            f"{subject.version.reference} has no {model.target}, so that there is no permutation "
            "importance."
        )
        return None
    if subject.version.reference == learnt_from:
        if subject.held_out.height:
            frame, source = subject.held_out, "test"
        else:
            notes.told.append(
                "The permutation importance is of rows that the model learnt from: the run held "
                "none out."
            )
    else:
        source = "other"
    try:
        frame = frame[permutation.some_rows(model, frame.height)]
        truth = permutation.truth_of(model, frame[model.target])
        rows = Rows(model, frame)
    except InputError as error:
        notes.told.append(f"There is no permutation importance: {error.message}")
        return None
    return permutation.permutation_importance(rows, truth, source=source, progress=progress)


def _partials(
    model: Model, frame: pl.DataFrame, columns: Sequence[str], output: str, progress: Progress
) -> tuple[Partial, ...]:
    """Return the partial dependence on the most important raw columns."""
    raw = {column.name for column in model.inputs}
    asked = [name for name in columns if name in raw][:MOST_PARTIALS]
    some = Rows(model, frame[partial.some_rows(model, frame.height, len(asked))])
    found = []
    for number, name in enumerate(asked):
        progress(Step("Partial dependence", number, len(asked)))
        found.append(partial.partial_dependence(some, name, output))
    return tuple(found)
