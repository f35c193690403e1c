"""One row at a time, explained the same way wherever it is asked: at an endpoint, and years later.

Each row is explained by itself, so that it has the same bits whatever stood beside it. This module
is imported by the servers of endpoints and imports nothing heavy before a row is explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError
from local_stack.results import Result, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Column
    from local_stack.stores.metadata import Row
    from local_stack.stores.model import Model
    from local_stack.workspace import Workspace

BACKGROUND_ROWS: Final = 1_000
"""Training rows that stand for absent features, as for every other explanation."""


@dataclass(frozen=True, slots=True)
class RowExplanation(Result):
    """Why a model says ``prediction`` of a row.

    ``base_value`` plus the contributions is what it says in ``unit`` of ``output``: the target of
    a regression, the second of two classes, or the predicted one of more.
    """

    prediction: Any
    output: str
    unit: str
    base_value: float
    contributions: dict[str, float]
    reasons: tuple[str, ...]

    def logged(self) -> dict[str, Any]:
        """Return what the prediction log keeps: every number, no sentence."""
        return {
            "output": self.output,
            "unit": self.unit,
            "base_value": plain(self.base_value),
            "contributions": plain(self.contributions),
        }


class RowExplainer:
    """A model in memory that explains validated rows.

    Parameters
    ----------
    background
        Raw columns of training rows (:func:`background_columns`). None: they are gone, and only
        trees can be explained.
    """

    def __init__(self, model: Model, background: Mapping[str, Sequence[Any]] | None) -> None:
        from local_stack.explain.attributing.attributing import Explainer
        from local_stack.explain.column_values import ColumnValues

        self._model = model
        self._values = ColumnValues(model.preparation)
        self._explainer = Explainer(model, _matrix(model, background))

    def explain(
        self, row: Mapping[str, Any], prediction: Any, unit: str | None = None
    ) -> RowExplanation:
        """Return the explanation of a validated row and of what the model said of it.

        Parameters
        ----------
        unit
            What to measure in; by default as the model itself adds up.

        Raises
        ------
        InputError
            The model is not explained in that unit, or it has no answer for rows that are mixed
            of others, so that it has no explanation.
        """
        from local_stack.explain.deciding.reasons import Contribution, Measure, reasons

        model = self._model
        matrix = model.matrix({name: [it] for name, it in row.items()})
        found = self._explainer.attribute(matrix, unit)
        place = model.classes.index(prediction) if len(found.outputs) > 1 else 0
        values = found.values[0, :, place].tolist()
        told = self._values.of_row(row, matrix)
        parts = [
            Contribution(name, told[name], value)
            for name, value in zip(found.columns, values, strict=True)
        ]
        measure = Measure(found.outputs[place], found.unit, len(found.outputs) == 1)
        return RowExplanation(
            prediction=prediction,
            output=found.outputs[place],
            unit=found.unit,
            base_value=float(found.base[place]),
            contributions=dict(zip(found.columns, values, strict=True)),
            reasons=reasons(parts, measure),
        )


def predicted(
    model: Model, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]
) -> list[Any]:
    """Return what an endpoint answers to the validated rows of one request, also as columns."""
    if len(rows) == 1 and model.kind != "sklearn":
        return [model.predict_row(rows[0])]
    return model.labels(model.outputs(model.matrix(columns)))


def background_columns(
    workspace: Workspace, run: Row, inputs: Sequence[Column]
) -> dict[str, list[Any]]:
    """Return the background of a run's model as raw columns, in values that JSON can hold.

    The rows are those of :class:`local_stack.explain.subject.Subject`.

    Raises
    ------
    NotFoundError, UnavailableError, DamagedError
        The data version is not here.
    """
    import polars

    from local_stack.data import versions
    from local_stack.explain.attributing.sampled import evenly
    from local_stack.explain.learnt import has_filters, training_rows, with_target
    from local_stack.explain.subject import training_data
    from local_stack.preparation.table import raw_columns

    version = training_data(workspace, run)
    if has_filters(run):
        frame = versions.read(workspace, version)
        places = training_rows(run, frame)
    else:
        lazy = polars.scan_parquet(versions.table_path(workspace, version))
        needed = {run["target"], *(it.name for it in inputs)}
        frame = lazy.select(it for it in lazy.collect_schema().names() if it in needed).collect()
        places = with_target(frame, run["target"])
    some = frame[places[evenly(len(places), BACKGROUND_ROWS)]]
    return {name: _plain(values) for name, values in raw_columns(some, inputs).items()}


def _plain(values: Any) -> list[Any]:
    """Return raw values as JSON can hold them: dates and times as ISO 8601 texts."""
    found = values if isinstance(values, list) else values.tolist()
    return [it.isoformat() if isinstance(it, datetime) else plain(it) for it in found]


def _matrix(model: Model, background: Mapping[str, Sequence[Any]] | None) -> NDArray[np.float64]:
    """Return background rows as the model prepares them; of trees one row is enough."""
    import numpy as np

    from local_stack.explain.attributing import trees

    if background is not None:
        moments = {it.name for it in model.inputs if it.type in ("date", "datetime")}
        columns = {
            name: [it and datetime.fromisoformat(it) for it in values]
            if name in moments
            else values
            for name, values in background.items()
        }
        return model.matrix(columns)
    if not trees.has_trees(model):
        raise InputError(
            "The rows that the model learnt from are not here, so nothing says what is usual.",
            "Bring its data version back: paceml-tui data pull",
        )
    return np.zeros((1, len(model.features)))  # trees know their rows; it only shows their link
