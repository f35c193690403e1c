"""Partial dependence (Friedman 2001) and individual conditional expectation (Goldstein 2015).

Every row is given each value of a grid in turn, in its raw column, and prepared again, so that
all features that are made of the column move with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.affording import affordable
from local_stack.explain.attributing.attributing import output_names
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.effects.parts import Partial
from local_stack.explain.effects.rows import (
    Rows,
    frequent,
    kind_of,
    plain,
    said,
    said_unit,
)
from local_stack.preparation.values import Values, is_missing, plain_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Column
    from local_stack.stores.model import Model

POINTS: Final = 20
"""Most values of a grid, the missing one apart."""
ICE_LINES: Final = 50
MOST_ROWS: Final = 500
FEWEST_ROWS: Final = 30
_SECONDS: Final = 6.0
_ENDS: Final = (0.01, 0.99)


def partial_dependence(
    rows: Rows, column: str, output: str | None = None, grid: Values | None = None
) -> Partial:
    """Return the mean prediction, and that of each row, as a raw column takes other values.

    Parameters
    ----------
    output
        Which of the model's outputs, or the first of two classes; the first output for None.
    grid
        Raw values of the column; at most 20 that occur when left out: all of them, or quantiles
        from the 1st to the 99th percentile, or the most frequent categories. A missing one
        follows where values are missing and the model takes that.
    """
    import numpy as np

    (described,) = [it for it in rows.model.inputs if it.name == column]
    values = _grid(rows, described) if grid is None else grid
    matrices = [rows.changed(column, _repeated(values, place, rows)) for place in _places(values)]
    names = output_names(rows.model)
    said_all = said(rows.model, np.concatenate(matrices))
    one = said_all[:, names.index(output) if output in names else 0]
    is_turned = output is not None and output not in names
    lines = (1 - one if is_turned else one).reshape(len(matrices), len(rows))
    shown = evenly(len(rows), ICE_LINES)
    return Partial(
        column=column,
        kind=kind_of(described.type),
        grid=plain(described.type, values),
        mean=tuple(lines.mean(axis=1).tolist()),
        ice=tuple(tuple(line) for line in lines[:, shown].T.tolist()),
        output=names[0] if output is None else output,
        unit=said_unit(rows.model),
        n_rows=len(rows),
    )


def some_rows(model: Model, n_rows: int, n_columns: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that are worth their time, evenly spread."""
    asked = affordable(model, _SECONDS) // ((POINTS + 1) * max(1, n_columns))
    return evenly(n_rows, max(FEWEST_ROWS, min(MOST_ROWS, asked)))


def _places(values: Values) -> range:
    return range(len(values))


def _repeated(values: Values, place: int, rows: Rows) -> Values:
    import numpy as np

    if isinstance(values, np.ndarray):
        return np.repeat(values[place : place + 1], len(rows))
    return [plain_of(values)[place]] * len(rows)


def _grid(rows: Rows, column: Column) -> Values:
    """Return the raw values that a column is given."""
    import numpy as np

    values = rows.columns[column.name]
    takes_missing = rows.takes_missing(column)
    if column.type == "string":
        texts: list[Any] = list(frequent(plain("string", values))[:POINTS])
        has_missing = any(it is None for it in plain_of(values))
        return [*texts, None] if takes_missing and has_missing else texts
    array = np.asarray(values)
    if array.dtype == object:  # a column that is absent from these rows
        array = np.array([np.nan] * len(array))
    lost = is_missing("moment" if array.dtype.kind == "M" else "number", array)
    known = np.unique(array[~lost])
    if len(known) > POINTS:
        ranks = np.quantile(np.arange(len(array[~lost])), np.linspace(*_ENDS, POINTS))
        known = np.unique(np.sort(array[~lost])[ranks.round().astype(np.int64)])
    if takes_missing and lost.any():
        missing = np.array(["NaT"], dtype=known.dtype) if known.dtype.kind == "M" else [np.nan]
        known = np.concatenate([known, missing])
    return known
