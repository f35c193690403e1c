"""Two explained sides beside each other: what differs, column by column and row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.contrasting.parts import (
    ColumnChange,
    OutcomeChange,
    RowContrast,
    ValueShift,
)
from local_stack.explain.contrasting.shifting import (
    coded,
    correlation,
    divided,
    ranked,
    resampled,
)
from local_stack.explain.contrasting.sides import DECISIONS, INDEX, Explained
from local_stack.results import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOST_SHIFTS: Final = 5
MOST_ROWS: Final = 10
_COLUMNS_OF_A_ROW: Final = 3


@dataclass(frozen=True)
class Contrast:
    """What differs between two sides; see :class:`Comparison` for the identities that hold."""

    unit: str
    outcomes: tuple[OutcomeChange, ...]
    base_difference: float
    residual: float
    columns: tuple[ColumnChange, ...]


def contrast(a: Explained, b: Explained, *, is_paired: bool) -> Contrast:
    """Return what differs between sides that were explained for the same output.

    Parameters
    ----------
    is_paired
        They are two models on the same rows.
    """
    import numpy as np

    unit = next(iter(a.found))
    names = _names(a, b)
    values = _values(a, b, names)
    said = _said(a, b)
    before, after = (np.column_stack([pair[side] for pair in said.values()]) for side in (0, 1))
    intervals = resampled(values[unit], (before, after), is_paired=is_paired)
    outcomes = tuple(
        OutcomeChange(measure, float(one), float(two), float(two - one), *_ends(ends))
        for measure, one, two, ends in zip(
            said, before.mean(axis=0), after.mean(axis=0), intervals.outcomes, strict=True
        )
    )
    means = {
        measure: pair[1].mean(axis=0) - pair[0].mean(axis=0) for measure, pair in values.items()
    }
    importance = [np.abs(it).mean(axis=0) for it in values[unit]]
    ranks = [ranked(it) for it in importance]
    columns = []
    for place, name in enumerate(names):
        pair = values[unit][0][:, place], values[unit][1][:, place]
        is_in = [name in side.found[unit].columns for side in (a, b)]
        rank_a, rank_b = (
            int(it[place]) if known else None for it, known in zip(ranks, is_in, strict=True)
        )
        low, high = _ends(intervals.differences[place])
        rank_low, rank_high = _ends(intervals.ranks[place]) if all(is_in) else (None, None)
        moved, rest, shifts = (None, None, ()) if is_paired else _moved(a, b, name, pair)
        columns.append(
            ColumnChange(
                feature=name,
                a=float(pair[0].mean()),
                b=float(pair[1].mean()),
                difference=float(means[unit][place]),
                low=low,
                high=high,
                moved=moved,
                rest=rest,
                values=shifts,
                by_measure={measure: float(it[place]) for measure, it in means.items()},
                importance_a=float(importance[0][place]),
                importance_b=float(importance[1][place]),
                rank_a=rank_a,
                rank_b=rank_b,
                rank_change=rank_b - rank_a if rank_a and rank_b else None,
                rank_low=rank_low,
                rank_high=rank_high,
                correlation=correlation(*pair) if is_paired and all(is_in) else None,
            )
        )
    base = float(b.found[unit].base[0] - a.found[unit].base[0])
    residual = outcomes[0].difference - base - sum(it.difference for it in columns)
    columns.sort(key=lambda it: (-abs(it.difference), it.feature))
    return Contrast(unit, outcomes, base, residual, tuple(columns))


def _names(a: Explained, b: Explained) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for side in (a, b) for name in side.columns))


def _values(a: Explained, b: Explained, names: tuple[str, ...]) -> dict[str, tuple[Array, Array]]:
    """Return what each column adds to each measure in A and B, (n_rows, n_columns) under names."""
    found = {
        unit: (
            _wide(a.found[unit].values[:, :, 0], a, names),
            _wide(b.found[unit].values[:, :, 0], b, names),
        )
        for unit in a.found
    }
    if a.steps is not None and b.steps is not None:
        found[DECISIONS] = (_wide(a.steps, a, names), _wide(b.steps, b, names))
    return found


def _said(a: Explained, b: Explained) -> dict[str, tuple[Array, Array]]:
    """Return what the models say in each measure, (n_rows,)."""
    found = {unit: (a.found[unit].raw[:, 0], b.found[unit].raw[:, 0]) for unit in a.found}
    if a.decisions is not None and b.decisions is not None:
        found[DECISIONS] = (a.decisions, b.decisions)
    return found


def _moved(
    a: Explained, b: Explained, name: str, values: tuple[Array, Array]
) -> tuple[float, float, tuple[ValueShift, ...]]:
    """Return how the difference of a column divides, and which of its values moved most."""
    labels, *codes = coded(a.values_of(name), b.values_of(name))
    if any(it.name == name and it.type == "boolean" for it in a.subject.model.inputs):
        labels = [{"0": "false", "1": "true"}.get(it, it) for it in labels]
    moved, rest, shifts = divided(values, (codes[0], codes[1]), labels)
    return moved, rest, tuple(it for it in shifts[:MOST_SHIFTS] if it.moved)


def rows_apart(a: Explained, b: Explained) -> tuple[RowContrast, ...]:
    """Return the rows that two models explain most differently, the most different first."""
    import numpy as np

    unit = next(iter(a.found))
    names = _names(a, b)
    one, two = _values(a, b, names)[unit]
    apart = np.abs(two - one)
    distances = apart.sum(axis=1)
    chosen = np.argsort(-distances, kind="stable")[:MOST_ROWS]
    said = [
        side.subject.model.labels(side.subject.model.outputs(side.matrix[chosen]))
        for side in (a, b)
    ]
    found = []
    for number, row in enumerate(chosen.tolist()):
        most = np.argsort(-apart[row], kind="stable")[:_COLUMNS_OF_A_ROW].tolist()
        columns = tuple(
            {
                "feature": names[place],
                "value": _value(a, b, names[place], row),
                "a": float(one[row, place]),
                "b": float(two[row, place]),
            }
            for place in most
        )
        found.append(
            RowContrast(
                index=int(a.rows[INDEX][row]),
                distance=float(distances[row]),
                prediction_a=plain(said[0][number]),
                prediction_b=plain(said[1][number]),
                score_a=float(a.found[unit].raw[row, 0]),
                score_b=float(b.found[unit].raw[row, 0]),
                columns=columns,
            )
        )
    return tuple(found)


def _wide(values: Array, side: Explained, names: tuple[str, ...]) -> Array:
    """Return values (n_rows, n_columns) under all names, 0 where the side lacks a column."""
    import numpy as np

    places = [names.index(name) for name in side.columns]
    found = np.zeros((len(values), len(names)))
    found[:, places] = values
    return found


def _value(a: Explained, b: Explained, name: str, row: int) -> Any:
    """Return a value of a row as the table has it, or of a feature of the model that makes it."""
    if name in a.rows.columns:
        return plain(a.rows[name][row])
    side = a if name in a.columns else b
    return plain(float(side.values_of(name)[row]))


def _ends(pair: Array) -> tuple[float | None, float | None]:
    low, high = (None if it != it else float(it) for it in pair)
    return low, high
