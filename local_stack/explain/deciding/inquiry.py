"""Everything that is asked about single rows of a model, made ready once and asked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from local_stack.data import versions
from local_stack.errors import InputError
from local_stack.explain.deciding.answers import Answer, answer, checked_row
from local_stack.explain.deciding.columns import Space, plain_value, space_of
from local_stack.explain.deciding.constraints import Limit, RowRules, Wishes, limits_of, rules_of
from local_stack.explain.deciding.counterfactuals import Found, Setting, counterfactuals
from local_stack.explain.deciding.similar import Past, SimilarRows, similar_rows
from local_stack.explain.deciding.trace import Trace, trace
from local_stack.explain.deciding.wanted import scores_of, wanted_of
from local_stack.explain.subject import Subject
from local_stack.preparation.fitting import raw_columns
from local_stack.results import Result
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.explain.deciding.columns import Axis
    from local_stack.stores.model import Model

_MOST_ROWS: Final = 500
_MOST_LEVELS: Final = 50


@dataclass(frozen=True, slots=True)
class ColumnFacts(Result):
    """A raw column as an editor needs it: its range in the training rows, or its categories.

    Of the categories the most frequent ones are told. ``held`` says why counterfactuals leave
    the column as it is, '' where they may change it.
    """

    name: str
    type: str
    is_nullable: bool
    low: Any
    high: Any
    levels: tuple[Any, ...]
    n_levels: int
    held: str


@dataclass(frozen=True, slots=True)
class PredictedRow(Result):
    """A row of the data version with its target and what the model says of it.

    ``probability`` is that of the second of two classes, or of the predicted one of more;
    ``note`` says why there is no prediction.
    """

    index: int
    values: dict[str, Any]
    outcome: Any
    prediction: Any
    probability: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PredictedRows(Result):
    """Some rows of a data version, out of ``n_rows`` (those with the prediction asked for)."""

    rows: tuple[PredictedRow, ...]
    n_rows: int


@dataclass(frozen=True, slots=True)
class Ways:
    """Counterfactuals with what was asked for in words, and which columns were held, and why."""

    found: Found
    desired: str
    held: dict[str, str]


class Inquiry:
    """A subject made ready for questions about single rows.

    Rows are numbered as the data version has them, from 0; training rows are those with a target.
    """

    def __init__(self, workspace: Workspace, subject: Subject) -> None:
        self._workspace = workspace
        self.subject = subject

    @property
    def model(self) -> Model:
        """Return the model."""
        return self.subject.model

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Return the whole data version, with the rows that have no target."""
        return versions.read(self._workspace, self.subject.version)

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the training rows."""
        return self.subject.numbers

    @cached_property
    def space(self) -> Space:
        """Return the raw columns of the training rows."""
        return space_of(self.model.inputs, raw_columns(self.subject.frame, self.model.inputs))

    def columns(self) -> tuple[ColumnFacts, ...]:
        """Return what an editor of rows must know of each column."""
        limits = limits_of(self._workspace, self.subject, self.space, Wishes())
        return tuple(map(_facts, self.space.axes, limits))

    def rows(self, start: int, n: int, only: str | None = None) -> PredictedRows:
        """Return at most 500 rows of the data version from the ``start``-th on, with predictions.

        Parameters
        ----------
        only
            Return only rows with this prediction; ``start`` counts among them.
        """
        import numpy as np

        chosen = np.arange(self.frame.height)
        if only is not None:
            found = [at for at, said in enumerate(self._said) if said == only]
            chosen = np.array(found, dtype=np.int64)
        shown = chosen[max(0, start) :][: min(max(0, n), _MOST_ROWS)]
        part = self.frame[shown]
        space = space_of(self.model.inputs, raw_columns(part, self.model.inputs))
        pairs = zip(shown.tolist(), self._predicted(part), strict=True)
        rows = [
            PredictedRow(number, space.row(space.coded[at]), self.outcome(number), *predicted)
            for at, (number, predicted) in enumerate(pairs)
        ]
        return PredictedRows(tuple(rows), len(chosen))

    @cached_property
    def _said(self) -> list[str]:
        """Return what the model says of each row of the data version, as text."""
        return [str(prediction) for prediction, _, _ in self._predicted(self.frame)]

    def _predicted(self, frame: pl.DataFrame) -> list[tuple[Any, float | None, str]]:
        """Return prediction, probability and a note for each row; a bad row spoils no other."""
        if not frame.height:
            return []
        model = self.model
        try:
            matrix = model.matrix(raw_columns(frame, model.inputs))
        except InputError as error:
            if frame.height == 1:
                return [(None, None, error.message)]
            return [it for at in range(frame.height) for it in self._predicted(frame[at])]
        if not model.has_probabilities:
            return [(label, None, "") for label in model.labels(model.outputs(matrix))]
        probability = model.probabilities(matrix)
        numbers = model.outputs(matrix).tolist()
        places = [1] * len(numbers) if len(model.classes) == 2 else numbers
        return [
            (model.classes[number], float(row[place]), "")
            for number, row, place in zip(numbers, probability, places, strict=True)
        ]

    def check(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a raw row as the model expects it; columns that it does not use are left out."""
        also = {column.name for column in self.subject.version.schema}
        return checked_row(self.model, row, also)

    def row(self, index: int) -> dict[str, Any]:
        """Return a row of the data version as JSON holds it.

        Raises
        ------
        InputError
            There is no such row.
        """
        n_rows = self.frame.height
        if not 0 <= index < n_rows:
            raise InputError(
                f"{self.subject.version.reference} has no row {index}.",
                f"Its rows are 0 to {n_rows - 1:,}, as data show numbers them with --start.",
            )
        found = space_of(self.model.inputs, raw_columns(self.frame[index], self.model.inputs))
        return found.row(found.coded[0])

    def outcome(self, index: int) -> Any:
        """Return the target of a row of the data version, None where it has none."""
        if self.model.target not in self.frame.columns:
            return None
        return plain_value(self.frame[self.model.target][index])

    def answer(
        self, row: Mapping[str, Any], unit: str | None = None, output: str | None = None
    ) -> Answer:
        """Return the prediction of a checked row and its contributions; see :func:`answer`."""
        return answer(self.subject.explainer, row, unit, output)

    def counterfactuals(
        self,
        row: Mapping[str, Any],
        n: int = 1,
        desired: str = "",
        wishes: Wishes | None = None,
        *,
        leave_out: int | None = None,
    ) -> Ways:
        """Return how a checked row gets another outcome.

        A regression needs ``desired``, a class has the most probable other one without it.
        ``leave_out`` is the number of the row itself, where it has one.
        """
        model = self.model
        limits = limits_of(self._workspace, self.subject, self.space, wishes or Wishes())
        held = self._held(limits)
        if model.task == "regression" and not desired:
            note = "Say which numbers are wanted, such as --desired '>=6'."
            return Ways(Found((), note, 0), "", held)
        wanted = wanted_of(model, model.predict_row(row), self._scores(row), desired)
        if n <= 0:
            return Ways(Found((), "", 0), wanted.words, held)
        past = self.numbers, self._outcomes
        setting = Setting(model, self.space, limits, *past, self._rules, leave_out)
        return Ways(counterfactuals(setting, row, wanted, n), wanted.words, held)

    def _scores(self, row: Mapping[str, Any]) -> list[float]:
        """Return how near a row comes to each class, nothing for a regression."""
        if self.model.task == "regression":
            return []
        matrix = self.model.matrix({name: [value] for name, value in row.items()})
        found: list[float] = scores_of(self.model, matrix)[0].tolist()
        return found

    @cached_property
    def _rules(self) -> RowRules | None:
        return rules_of(self._workspace, self.subject)

    def _held(self, limits: tuple[Limit, ...]) -> dict[str, str]:
        pairs = zip(self.space.names, limits, strict=True)
        return {name: limit.fixed for name, limit in pairs if limit.fixed}

    def similar(
        self,
        row: Mapping[str, Any],
        n: int,
        *,
        by: str = "values",
        unit: str | None = None,
        leave_out: int | None = None,
    ) -> SimilarRows:
        """Return the training rows most like a checked row; see :func:`similar_rows`."""
        past = Past(self.subject.explainer, self.space, self._outcomes, self.numbers)
        return similar_rows(past, row, n, by=by, unit=unit, leave_out=leave_out)

    @cached_property
    def _outcomes(self) -> list[Any]:
        frame, target = self.subject.frame, self.model.target
        if target not in frame.columns:
            return [None] * frame.height
        return [plain_value(value) for value in frame[target].to_list()]

    def trace(self, row: Mapping[str, Any], output: str | None = None) -> Trace:
        """Return how the prediction of a checked row comes about, step by step."""
        return trace(self.model, row, output)


def _facts(axis: Axis, limit: Limit) -> ColumnFacts:
    values, column = axis.values, axis.column
    levels: tuple[Any, ...] = ()
    if not axis.is_ordered:
        order = sorted(range(len(values)), key=lambda at: (-int(axis.counts[at]), at))
        levels = tuple(axis.plain_of(float(values[at])) for at in order[:_MOST_LEVELS])
    has_range = axis.is_ordered and len(values) > 0
    return ColumnFacts(
        name=column.name,
        type=column.type,
        is_nullable=column.nullable,
        low=axis.plain_of(float(values[0])) if has_range else None,
        high=axis.plain_of(float(values[-1])) if has_range else None,
        levels=levels,
        n_levels=0 if axis.is_ordered else len(values),
        held=limit.fixed,
    )
