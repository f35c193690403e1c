"""The two sides of a comparison: which rows, and what the models say of them and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from local_stack.data import versions
from local_stack.errors import InputError
from local_stack.explain.affording import rows_to_explain
from local_stack.explain.attributing.attributing import attribute
from local_stack.explain.attributing.attributions import (
    DECISION,
    PROBABILITY,
    Attributions,
)
from local_stack.explain.attributing.coalitions import values_of_sum
from local_stack.explain.attributing.units import spelled, told_of
from local_stack.explain.column_values import joined_values
from local_stack.explain.contrasting.choosing import AT, chosen, said, since
from local_stack.names import class_place
from local_stack.preparation.table import raw_columns
from local_stack.progress import Progress
from local_stack.stores.prediction_segments import LACKS, PredictionSegments
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.explain.subject import Subject
    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

_SECONDS: Final = 20.0
"""What the SHAP values of a side may take when nobody says how many rows."""
INDEX: Final = "paceml.row"
"""Column with the number of a row in its data version; no data set has a column of that name."""
DECISIONS: Final = "decisions"


@dataclass(frozen=True)
class Side:
    """Rows (with :data:`INDEX`) that one side is about, and what they are called."""

    label: str
    data: str
    frame: pl.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Decided:
    """What is decided by a threshold.

    ``rows`` are 1 where it is the output, (n_rows,). ``base`` is that of the base value, and
    ``steps`` are what each column adds to it, (n_rows, n_columns); None where no way divides it.
    """

    rows: Array
    base: float = 0.0
    steps: Array | None = None


@dataclass(frozen=True)
class Explained:
    """One side explained, for one output.

    ``found`` holds SHAP values of that output by unit. ``own`` are the decisions of the model,
    ``crossed`` those that it would make with the threshold of the other side's model; None where
    there is nothing to decide. ``threshold`` is the probability from which on it decides for the
    output, None where it does not do so.
    """

    side: Side
    subject: Subject
    rows: pl.DataFrame
    matrix: Array
    found: dict[str, Attributions]
    own: Decided | None = None
    crossed: Decided | None = None
    threshold: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that have SHAP values."""
        return next(iter(self.found.values())).columns

    def values_of(self, column: str) -> Any:
        """Return the values of a column, or of a feature that is made of several, (n_rows,)."""
        import numpy as np

        model = self.subject.model
        kinds = {it.name: it for it in model.inputs}
        if column in kinds:
            kind, found = kinds[column].type, raw_columns(self.rows, [kinds[column]])[column]
            if isinstance(found, list) and kind != "string":  # the rows lack the column
                form = "datetime64[us]" if kind in ("date", "datetime") else np.float64
                return np.array(found, dtype=form)
            return found
        columns = raw_columns(self.rows, model.inputs)
        return joined_values(model.preparation, columns, self.matrix, column)


def version_side(workspace: Workspace, version: versions.DataVersion) -> Side:
    """Return every row of a data version, those whose target is not known yet included."""
    frame = versions.read(workspace, version).with_row_index(INDEX)
    if frame.height == 0:
        raise InputError(f"{version.reference} has no rows.")
    return Side(version.reference, version.reference, frame)


def log_side(workspace: Workspace, endpoint: str, model: Model) -> Side:
    """Return the rows that an endpoint has logged, with the time of their predictions.

    Those of models that did not have a column which this one needs are left out, unless all are.
    """
    import polars as pl

    needed = [it.name for it in model.inputs if not it.nullable]
    log = PredictionSegments(workspace.root, workspace.query).frame(endpoint, needed)
    if log.height == 0:
        raise InputError(
            f"The endpoint '{endpoint}' has logged no prediction yet.",
            f"Ask it something: paceml-tui serving predict {endpoint} --row JSON",
        )
    note = ""
    others = log.filter(pl.col(LACKS).is_not_null()) if needed else log.clear()
    if 0 < others.height < log.height:
        log = log.filter(pl.col(LACKS).is_null())
        lacks = others[LACKS][0]
        said = "1 row" if others.height == 1 else f"{others.height:,} rows"
        note = f"Without {said} of a model that had no column '{lacks[:60]}'."
    forms = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%dT%H:%M:%S%.fZ"}
    names = [it.name for it in model.inputs if it.name in log.columns]
    texts = [
        pl.col(it.name).str.to_datetime(forms[it.type], strict=False)
        for it in model.inputs
        if it.type in forms and log.schema.get(it.name) == pl.String
    ]
    frame = log.with_columns(
        *texts, pl.col(AT).str.to_datetime(forms["datetime"], strict=False)
    ).with_row_index(INDEX)
    kept = [INDEX, AT, "paceml.model", "paceml.version", *names]
    return Side(f"endpoint {endpoint}", f"endpoint:{endpoint}", frame.select(kept), note)


def parted(
    side: Side, column: str, a: str | None, b: str | None, start: str | None, until: str | None
) -> tuple[Side, Side]:
    """Return two parts of the rows of a side, by a column.

    Parameters
    ----------
    a, b
        What the column is, or lies within; without ``b`` all other rows that have a value.
    start, until
        Instead: everything before a time or number, and everything from it on.
    """
    import polars as pl

    is_clear = a is None and b is None if start is not None else a is not None and until is None
    if not is_clear:
        raise InputError(
            "Which rows are compared is not clear.",
            "Name two parts by --a and --b (or all others without --b), or --since and --until.",
        )
    if start is not None:
        before, after = since(side.frame, column, start, until)
        words = f"before {start}", f"from {start}" + (f" to {until}" if until else "")
    else:
        before = chosen(side.frame, column, str(a))
        if b is None:
            others = pl.col(column).is_not_null() & ~pl.col(INDEX).is_in(before[INDEX].implode())
            after, words = side.frame.filter(others), (f"{a}", "all others")
        else:
            after, words = chosen(side.frame, column, b), (f"{a}", f"{b}")
    if after.height == 0:
        raise InputError(
            f"Every row has a {said(column)} of '{str(a)[:60]}'.", "Name a smaller part."
        )
    n_shared = before.join(after, on=INDEX, how="semi").height
    if n_shared:
        raise InputError(f"{n_shared} rows belong to both parts.", "Name parts without overlap.")
    name = "" if column == AT else f"{column} "
    return tuple(  # type: ignore[return-value]
        replace(side, label=f"{name}{word}", frame=frame)
        for word, frame in zip(words, (before, after), strict=True)
    )


def units_of(a: Subject, b: Subject, unit: str | None) -> tuple[str, ...]:
    """Return the units that both models can be explained in, the one that is asked for first.

    Without one it is that of what they predict.
    """
    both = [it for it in a.explainer.units if it in b.explainer.units]
    if not both:
        raise InputError(
            f"The SHAP values of one model are in {a.explainer.units[-1]}, of the other in "
            f"{b.explainer.units[-1]}.",
            "Compare models that predict in the same way.",
        )
    wanted = spelled(unit, both) if unit else both[-1]
    if wanted not in both:
        one, two = (spelled(wanted, it.explainer.units) for it in (a, b))
        said = f"The SHAP values are not measured in '{wanted[:60]}'."
        if one in a.explainer.units and two in b.explainer.units:
            said = f"One model has {one[:60]}, the other {two[:60]}, which are not comparable."
        raise InputError(said, f"Ask for one of: {', '.join(both)}.")
    return (wanted, *(it for it in both if it != wanted))


def most_rows(subject: Subject, units: tuple[str, ...], rows: int | None) -> int:
    """Return how many rows of a side are explained: those asked for, or fewer of a slow model."""
    return rows_to_explain(subject, rows, units[0], _SECONDS / len(units))


def attributed(
    side: Side, subject: Subject, units: tuple[str, ...], most: int, progress: Progress
) -> Explained:
    """Return a side with the SHAP values of every output, for a seeded sample of its rows."""
    frame = side.frame if side.frame.height <= most else side.frame.sample(most, seed=0)
    matrix = subject.matrix(frame)
    explainer = subject.explainer
    found = (
        explainer.in_units(matrix, units)
        if explainer.is_quick
        else {it: attribute(explainer, matrix, unit=it, progress=progress) for it in units}
    )
    return Explained(side, subject, frame, matrix, found)


def output_of(a: Explained, b: Explained, output: str | None) -> str:
    """Return the output that is compared: the target, or a class.

    Of two classes it is the second one when left out; of more the one whose mean score differs
    most.
    """
    model = a.subject.model
    if model.task == "regression":
        if output not in (None, model.target):
            class_place(str(output), model.classes)  # there is none
        return model.target
    names = [str(label) for label in model.classes]
    if output is not None:
        return names[class_place(output, model.classes)]
    if len(names) == 2:
        return names[1]
    unit = next(iter(a.found))
    moved = abs(b.found[unit].raw.mean(axis=0) - a.found[unit].raw.mean(axis=0))
    return names[int(moved.argmax())]


def of_output(side: Explained, output: str, other: Model) -> Explained:
    """Return a side for one output, with the decisions for it.

    Parameters
    ----------
    other
        The model of the other side, by whose threshold it could be decided, too.
    """
    model = side.subject.model
    if model.task == "regression":
        return side
    place = [str(label) for label in model.classes].index(output)
    is_single = len(model.classes) == 2
    found = {
        unit: told_of(model, it, output) if is_single else it.of_output(place)
        for unit, it in side.found.items()
    }
    own = crossed = _decided(model, found, place, model.outputs(side.matrix))
    if model.record.threshold != other.record.threshold and model.has_probabilities:
        crossed = _decided(other, found, place, other.decided(model.probabilities(side.matrix)))
    threshold = None
    if is_single and model.has_probabilities:
        second = 0.5 if model.record.threshold is None else model.record.threshold
        threshold = second if place == 1 else 1 - second
    return replace(side, found=found, own=own, crossed=crossed, threshold=threshold)


def _decided(
    by: Model, found: Mapping[str, Attributions], place: int, outputs: NDArray[np.int64]
) -> Decided:
    """Return decisions that were made by the threshold of a model, and what columns add to them.

    A decision is a step: it is divided by Shapley values of the game in which each column adds its
    part of the probability (of the score where there is none), so that none adds more than 1.
    """
    import numpy as np

    rows = (outputs == place).astype(np.float64)
    one = found.get(PROBABILITY) or found.get(DECISION)
    if len(by.classes) != 2 or one is None:
        return Decided(rows)

    def decides(scores: Array) -> Array:
        if one.unit == DECISION:
            return np.asarray(scores > 0, dtype=np.float64)
        p = scores.ravel()
        both = np.column_stack([1 - p, p] if place == 1 else [p, 1 - p])
        return np.asarray(by.decided(both) == place, dtype=np.float64).reshape(scores.shape)

    steps, _ = values_of_sum(decides, float(one.base[0]), one.values[:, :, 0], rows)
    return Decided(rows, float(decides(one.base)[0]), steps)
