"""What a model says of one row, and what each column adds to that: quick, and asked again often."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from local_stack.errors import InputError, named, nearest
from local_stack.explain.attributing.units import told_of
from local_stack.explain.column_values import ColumnValues
from local_stack.explain.deciding.reasons import (
    Contribution,
    Measure,
    ordered,
    plain_name,
    reasons,
    summary,
)
from local_stack.json_text import has_half_characters, typed_json
from local_stack.names import class_place
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.attributing import Explainer
    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.stores.model import Model

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer(Result):
    """A prediction and its contributions, the largest first; they add up to ``score``.

    ``output`` is what they are about: the target, or a class; ``probabilities`` are by class,
    empty where the model gives none. From the probability ``threshold`` on a row is of the
    second of two classes (None: the more probable one). ``base_value`` plus the contributions is
    ``score`` up to ``additivity_error``, in ``unit``. ``against`` is what lowers it; ``adverse``
    are the principal reasons, as a notice of adverse action gives them: what speaks against
    another outcome than the predicted one. The largest come first.
    """

    prediction: Any
    probabilities: dict[str, float]
    threshold: float | None
    output: str
    unit: str
    units: tuple[str, ...]
    method: str
    base_value: float
    score: float
    contributions: tuple[Contribution, ...]
    additivity_error: float
    summary: str
    reasons: tuple[str, ...]
    against: tuple[str, ...]
    adverse: tuple[str, ...]


def read_row(model: Model, text: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a text, or the row of a caller in Python.

    Raises
    ------
    InputError
        There is none, or it names a column twice.
    """
    if isinstance(text, Mapping):
        return dict(text)
    try:
        found = typed_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        names = ", ".join(f'"{plain_name(it.name)}": ...' for it in model.inputs[:2])
        raise InputError("The row is not a JSON object.", f"Write it as {{{names}}}.")
    return found


def checked_row(model: Model, row: Mapping[str, Any], also: Collection[str] = ()) -> dict[str, Any]:
    """Return a raw row as the model expects it, without the columns in ``also`` that it has not.

    Raises
    ------
    InputError
        A column is absent or unknown, or a value is of another type, or no whole text.
    """
    known = {column.name for column in model.inputs}
    for name in row:
        if name not in known and name not in also:
            hint = nearest(name, known) or f"Its columns: {named(sorted(known))}."
            raise InputError(f"The model has no column '{plain_name(name)}'.", hint)
        if has_half_characters(row[name]):
            raise InputError(
                f"Column '{plain_name(name)}' holds half of a character, a lone surrogate.",
                "Write the character itself, or both halves of its pair.",
            )
    return model.preparation.validate_row(row)


def answer(
    explainer: Explainer, row: Mapping[str, Any], unit: str | None = None, output: str | None = None
) -> Answer:
    """Return what the model says of a validated row, and why.

    Parameters
    ----------
    unit
        One of :attr:`Explainer.units`; None: that of the model itself.
    output
        The class whose score is explained; None: the second of two, or the predicted one.

    Raises
    ------
    InputError
        There is no such unit or class, or a value is missing where the model takes none.
    """
    model = explainer.model
    matrix = model.matrix({name: [value] for name, value in row.items()})
    prediction = model.predict_row(row)
    probability = model.predict_proba_row(row) if model.has_probabilities else None
    found = _of_class(model, explainer.attribute(matrix, unit), prediction, output)
    (name,) = found.outputs
    parts = tuple(ordered(_contributions(found, _values_of(explainer).of_row(row, matrix))))
    measure = Measure(name, found.unit, is_odds=len(model.classes) == 2)
    probabilities = _by_class(model, probability)
    likely = probabilities.get(name)
    base, score = float(found.base[0]), float(found.raw[0, 0])
    return Answer(
        prediction=prediction,
        probabilities=probabilities,
        threshold=model.record.threshold,
        output=name,
        unit=found.unit,
        units=explainer.units,
        method=found.method,
        base_value=base,
        score=score,
        contributions=parts,
        additivity_error=found.additivity_error,
        summary=summary(
            str(prediction) if model.classes else prediction,
            measure,
            base=base,
            score=score,
            probability=likely,
            threshold=_threshold_of(model, name),
        ),
        reasons=reasons(parts, measure),
        against=reasons(parts, measure, sign=-1),
        adverse=reasons(parts, measure, sign=_side(model, prediction, name, score - base)),
    )


def _side(model: Model, prediction: Any, output: str, moved: float) -> int:
    """Return 1 where the prediction is what raises the output, -1 where it is what lowers it."""
    if model.task == "regression":
        return 1 if moved > 0 else -1
    return 1 if str(prediction) == output else -1


def _of_class(
    model: Model, found: Attributions, prediction: Any, output: str | None
) -> Attributions:
    """Return the attributions of one output, those of the first of two classes turned around."""
    if output is None:
        place = model.classes.index(prediction) if len(found.outputs) > 1 else None
    else:
        place = class_place(output, model.classes)
    if len(found.outputs) > 1 and place is not None:
        return found.of_output(place)
    return told_of(model, found, None if place is None else str(model.classes[place]))


def _contributions(found: Attributions, values: Mapping[str, Any]) -> list[Contribution]:
    parts = []
    for place, name in enumerate(found.columns):
        error = None if found.error is None else float(found.error[0, place, 0])
        parts.append(Contribution(name, values[name], float(found.values[0, place, 0]), error))
    return parts


def _values_of(explainer: Explainer) -> ColumnValues:
    """Return how the columns of an explainer's model are told, made once for many answers."""
    if explainer not in _made:
        _made[explainer] = ColumnValues(explainer.model.preparation)
    return _made[explainer]


_made: WeakKeyDictionary[Explainer, ColumnValues] = WeakKeyDictionary()


def _by_class(model: Model, probability: Sequence[float] | None) -> dict[str, float]:
    if probability is None:
        return {}
    labels = [str(label) for label in model.classes]
    return dict(zip(labels, probability, strict=True))


def _threshold_of(model: Model, name: str) -> float | None:
    """Return the threshold of a class: that of the second one is the model's own."""
    threshold = model.record.threshold
    if threshold is None or name != str(model.classes[1]):
        return None
    return threshold
