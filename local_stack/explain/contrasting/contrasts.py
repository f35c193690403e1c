"""Two explained sides beside each other: what differs, column by column and row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.column_values import plain_cell
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
_NOTHING: Final = 1e-12


@dataclass(frozen=True)
class Contrast:
    """What differs between two sides; see :class:`Comparison` for the identities that hold."""

    unit: str
    outcomes: tuple[OutcomeChange, ...]
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
    measures = _measures(a, b, names)
    values = measures[unit].values
    assert values is not None
    before, after = (
        np.column_stack([it.said[side] for it in measures.values()]) for side in (0, 1)
    )
    intervals = resampled(values, (before, after), is_paired=is_paired)
    outcomes = tuple(
        it.outcome(name, *_ends(ends))
        for (name, it), ends in zip(measures.items(), intervals.outcomes, strict=True)
    )
    means = {name: it.added for name, it in measures.items() if it.added is not None}
    importance = [np.abs(it).mean(axis=0) for it in values]
    ranks = [ranked(it) for it in importance]
    columns = []
    for place, name in enumerate(names):
        pair = values[0][:, place], values[1][:, place]
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
    columns.sort(key=lambda it: (-abs(it.difference), it.feature))
    return Contrast(unit, outcomes, tuple(columns))


def _names(a: Explained, b: Explained) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for side in (a, b) for name in side.columns))


@dataclass(frozen=True)
class _Measure:
    """A, B in one measure: what is said of the rows, (n_rows,), from which base, by which columns.

    ``values`` are (n_rows, n_columns) under all names, None where no way divides what is said.
    """

    said: tuple[Array, Array]
    base: tuple[float, float]
    values: tuple[Array, Array] | None
    thresholds: tuple[float | None, float | None] = (None, None)
    by_threshold: float = 0.0

    @property
    def added(self) -> Array | None:
        """Return what each column adds to the difference, (n_columns,)."""
        return (
            None
            if self.values is None
            else self.values[1].mean(axis=0) - self.values[0].mean(axis=0)
        )

    def outcome(self, name: str, low: float | None, high: float | None) -> OutcomeChange:
        a, b = (float(it.mean()) for it in self.said)
        base = residual = None
        if self.added is not None:
            base = self.base[1] - self.base[0]
            residual = b - a - base - self.by_threshold - float(self.added.sum())
        return OutcomeChange(
            name, a, b, b - a, low, high, base, *self.thresholds, self.by_threshold, residual
        )


def _measures(a: Explained, b: Explained, names: tuple[str, ...]) -> dict[str, _Measure]:
    """Return what both sides say in each measure."""
    found = {}
    for unit in a.found:
        one, two = a.found[unit], b.found[unit]
        found[unit] = _Measure(
            (one.raw[:, 0], two.raw[:, 0]),
            (float(one.base[0]), float(two.base[0])),
            (_wide(one.values[:, :, 0], a, names), _wide(two.values[:, :, 0], b, names)),
        )
    if a.own is not None and b.own is not None:
        found[DECISIONS] = _decisions(a, b, names)
    return found


def _decisions(a: Explained, b: Explained, names: tuple[str, ...]) -> _Measure:
    """Return the decisions of both sides, apart from what their thresholds make.

    The threshold may change before the models do or after: each part is the mean of both (Shapley
    of two changes).
    """
    sides = (_decided(a, names), _decided(b, names))
    (said_a, base_a, values_a, crossed_a), (said_b, base_b, values_b, crossed_b) = sides
    moved = (crossed_a - said_a).mean() + (said_b - crossed_b).mean()
    return _Measure(
        (said_a, said_b),
        (base_a, base_b),
        None if values_a is None or values_b is None else (values_a, values_b),
        (a.threshold, b.threshold),
        float(moved) / 2,
    )


def _decided(side: Explained, names: tuple[str, ...]) -> tuple[Array, float, Array | None, Array]:
    """Return own decisions, base and steps as means of both thresholds, and crossed decisions."""
    own, crossed = side.own, side.crossed
    assert own is not None
    assert crossed is not None
    steps = None
    if own.steps is not None and crossed.steps is not None:
        steps = _wide((own.steps + crossed.steps) / 2, side, names)
    return own.rows, (own.base + crossed.base) / 2, steps, crossed.rows


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
    """Return the rows that two models explain differently, the most different first."""
    import numpy as np

    unit = next(iter(a.found))
    names = _names(a, b)
    one, two = (_wide(it.found[unit].values[:, :, 0], it, names) for it in (a, b))
    apart = np.abs(two - one)
    distances = apart.sum(axis=1)
    chosen = np.argsort(-distances, kind="stable")[:MOST_ROWS]
    chosen = chosen[distances[chosen] > _NOTHING]
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
    return plain(plain_cell("double", side.values_of(name)[row]))


def _ends(pair: Array) -> tuple[float | None, float | None]:
    low, high = (None if it != it else float(it) for it in pair)
    return low, high
