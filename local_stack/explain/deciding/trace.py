"""How a prediction comes about, step by step: for whoever looks for the place where it goes wrong.

From the raw row over each operation of the preparation to the features, then what the estimator
does with them (the terms of a linear model, the leaf of each tree), then score, link, calibration,
threshold and label. Everything is bounded; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing import linear, trees
from local_stack.explain.deciding.leaves import Leaf, leaves_of
from local_stack.explain.deciding.reasons import plain_name, shown, signed
from local_stack.preparation.operations import Operation
from local_stack.preparation.values import KINDS, LOADERS
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

_MOST_STEPS: Final = 200
_MOST_VALUES: Final = 12
_MOST_FEATURES: Final = 500
_MOST_TERMS: Final = 50
MOST_LEAVES: Final = 10


@dataclass(frozen=True, slots=True)
class Step(Result):
    """An operation of the preparation: the values it read and those it wrote.

    Of many written values only those that are neither 0 nor missing are told, at most twelve;
    ``n_written`` counts all.
    """

    number: int
    operation: str
    text: str
    reads: dict[str, Any]
    writes: dict[str, Any]
    n_written: int


@dataclass(frozen=True, slots=True)
class Term(Result):
    """A term of a linear model: ``product`` is ``value`` times ``coefficient``."""

    feature: str
    value: float
    coefficient: float
    product: float


@dataclass(frozen=True, slots=True)
class Trace(Result):
    """The way from a raw row to its prediction.

    ``steps`` are at most 200 of ``n_steps``, ``features`` at most 500 of ``n_features`` values
    of the matrix. A linear model has an ``intercept`` and ``terms``, the largest first; trees
    have ``leaves``, the ones that move the score most, out of ``n_trees``. ``score`` is the
    model's own (of ``output``), None where it has none; ``ending`` tells in sentences how it
    becomes the prediction.
    """

    output: str
    row: dict[str, Any]
    steps: tuple[Step, ...]
    n_steps: int
    features: dict[str, float | None]
    n_features: int
    intercept: float | None
    terms: tuple[Term, ...]
    n_terms: int
    leaves: tuple[Leaf, ...]
    n_trees: int
    score: float | None
    ending: tuple[str, ...]
    prediction: Any


def trace(model: Model, row: Mapping[str, Any], output: str | None = None) -> Trace:
    """Return how the prediction of a validated row comes about.

    Parameters
    ----------
    output
        The class whose score is followed; None: the predicted one, or the second of two.

    Raises
    ------
    InputError
        A value is missing where the model takes none.
    """
    steps = _steps(model, row)
    matrix = model.matrix({name: [value] for name, value in row.items()})
    prediction = model.predict_row(row)
    number = _number(model, prediction, output)
    pairs = zip(model.features, matrix[0].tolist(), strict=True)
    features = {feature.name: _plain(value) for feature, value in pairs}
    intercept, terms = _terms(model, matrix, number)
    leaves, n_trees = leaves_of(model, matrix, number, MOST_LEAVES)
    score = _score(model, matrix, number)
    name = model.target if model.task == "regression" else str(_class(model, number))
    return Trace(
        output=name,
        row={key: _plain(value) for key, value in row.items()},
        steps=tuple(steps[:_MOST_STEPS]),
        n_steps=len(steps),
        features=dict(list(features.items())[:_MOST_FEATURES]),
        n_features=len(features),
        intercept=intercept,
        terms=tuple(terms[:_MOST_TERMS]),
        n_terms=len(terms),
        leaves=tuple(leaves),
        n_trees=n_trees,
        score=score,
        ending=tuple(_ending(model, matrix, number, score, prediction)),
        prediction=prediction,
    )


def _number(model: Model, prediction: Any, output: str | None) -> int:
    """Return which raw score is followed; a model of two classes or of a number has one."""
    if len(model.classes) <= 2:
        return 0
    names = [str(label) for label in model.classes]
    return names.index(output) if output in names else model.classes.index(prediction)


def _class(model: Model, number: int) -> Any:
    return model.classes[number if len(model.classes) > 2 else 1]


# ------------------------------------------------------------------ the preparation


def _steps(model: Model, row: Mapping[str, Any]) -> list[Step]:
    preparation = model.preparation
    kinds = {column.name: KINDS[column.type] for column in preparation.inputs}
    state = {name: LOADERS[kind](row.get(name)) for name, kind in kinds.items()}
    dates = {column.name for column in preparation.inputs if column.type == "date"}
    steps = []
    for number, operation in enumerate(preparation.operations, start=1):
        bound = operation.bind(tuple(kinds[name] for name in operation.reads))
        read = {name: _dated(state[name], name in dates) for name in operation.reads}
        made = bound.row(*(state[name] for name in operation.reads))
        written = dict(
            zip(operation.writes, made if len(operation.writes) > 1 else (made,), strict=True)
        )
        state |= written
        kinds |= zip(operation.writes, bound.kinds, strict=True)
        is_dated = dates.issuperset(operation.reads)
        dates = (dates - set(operation.writes)) | {it for it in operation.writes if is_dated}
        told = {name: _dated(value, is_dated) for name, value in written.items()}
        steps.append(_step(number, operation, read, told))
    return steps


def _step(
    number: int, operation: Operation, read: Mapping[str, Any], written: Mapping[str, Any]
) -> Step:
    told = {name: _plain(value) for name, value in written.items()}
    if len(told) > _MOST_VALUES:
        told = {name: value for name, value in told.items() if value not in (None, 0.0)}
    return Step(
        number=number,
        operation=operation.word,
        text=_text(operation, read, written),
        reads={name: _plain(value) for name, value in list(read.items())[:_MOST_VALUES]},
        writes=dict(list(told.items())[:_MOST_VALUES]),
        n_written=len(written),
    )


def _dated(value: Any, is_date: bool) -> Any:
    """Return a time of a column of dates as a date."""
    return value.date() if is_date and isinstance(value, datetime) else value


def _text(operation: Operation, read: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """Return a step in words: what was done to which columns, and what came of it."""
    how = _METHODS.get(operation.word, operation.word.replace("_", " "))
    how = how.format(**_settings(operation))
    given = ", ".join(f"{plain_name(name)} {shown(_plain(it))}" for name, it in _few(read))
    if len(written) == 1:
        ((name, value),) = written.items()
        return f"{how}: {given} -> {plain_name(name)} {_value(value)}"
    many = [(name, it) for name, it in written.items() if _plain(it) not in (None, 0.0)]
    told = ", ".join(f"{plain_name(name)} {_value(it)}" for name, it in many[:3])
    rest = f"{len(written) - min(3, len(many))} others" + ("" if many[3:] else " 0 or missing")
    return f"{how}: {given} -> {told or 'all 0 or missing'}" + (
        f", {rest}" if told else f" ({len(written)} columns)"
    )


def _few(read: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(read.items())[:5]


def _value(value: Any) -> str:
    return shown(_plain(value))


_METHODS: Final = {
    "same": "rename",
    "fill": "fill what is missing with {value}",
    "is_missing": "mark what is missing",
    "clip": "limit to {lower} .. {upper}",
    "scale": "take off {centre}, divide by {scale}",
    "power": "{method} transform with the exponent {exponent}",
    "quantile": "share of the training values below ({output})",
    "bin": "number of the bin",
    "codes": "number of the category",
    "one_hot": "a column for each category",
    "lookup": "what is known of the group",
    "fill_by_group": "fill what is missing with the value of the group",
    "hash": "spread categories over columns",
    "part": "{part} of the date",
    "cycle": "sine and cosine of the {part}",
    "expression": "{text}",
    "ratio": "ratio",
    "difference": "difference",
    "cast": "read as {to}",
    "text_length": "number of {measure}",
    "tf_idf": "TF-IDF weights of the terms",
}
"""What each operation does, by its word; the words in braces are its settings."""


def _settings(operation: Operation) -> dict[str, str]:
    found = {}
    for name, value in operation.to_dict().items():
        is_short = value is None or isinstance(value, bool | int | float | str)
        found[name] = _setting(value) if is_short else ""
    return found


def _setting(value: Any) -> str:
    if value is None:
        return "no bound"
    return plain_name(value) if isinstance(value, str) else signed(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, float) and value != value:
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# ------------------------------------------------------------------ the estimator


def _terms(model: Model, matrix: Array, number: int) -> tuple[float | None, list[Term]]:
    if not linear.is_linear(model):
        return None, []
    weights, intercepts = linear.weights_of(model)
    coefficients = weights[number].tolist()
    triples = zip(model.features, matrix[0].tolist(), coefficients, strict=True)
    terms = [Term(it.name, value, weight, value * weight) for it, value, weight in triples]
    return float(intercepts[number]), sorted(terms, key=lambda it: (-abs(it.product), it.feature))


def _score(model: Model, matrix: Array, number: int) -> float | None:
    if linear.is_linear(model):
        return float(linear.linear_values(model, matrix, matrix)[2][0, number])
    if trees.has_trees(model):
        return float(trees.scores(model, matrix)[0, number])
    return None


def _ending(
    model: Model, matrix: Array, number: int, score: float | None, prediction: Any
) -> Sequence[str]:
    """Tell how the score becomes the prediction."""
    said = [] if score is None else [f"The score is {signed(score)}."]
    if model.task == "regression":
        return [*said, f"The prediction is {signed(float(prediction))}."]
    if model.has_probabilities:
        place = number if len(model.classes) > 2 else 1
        before = float(model.uncalibrated(matrix)[0, place])
        after = float(model.probabilities(matrix)[0, place])
        name = shown(str(_class(model, number)))
        said.append(f"As a probability of {name} that is {before:.6g}.")
        calibration = model.record.calibration
        if calibration is not None:
            said.append(f"Calibrated ({calibration.method}) it is {after:.6g}.")
        threshold = model.record.threshold
        if threshold is not None:
            where = "at or above" if after >= threshold else "below"
            said.append(f"It lies {where} the threshold of {threshold:.6g}.")
        else:
            said.append("The class with the largest probability is taken.")
    return [*said, f"The prediction is {shown(str(prediction))}."]
