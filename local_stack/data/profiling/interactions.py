"""How pairs of numbers lie together: as counts on a grid, and as a few points."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import Interaction, Points
from local_stack.data.profiling.tallies import Tally, even_edges, quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS = 20_000
"""Rows looked at; of more a seeded sample."""

MAX_COLUMNS = 15
"""Numbers whose pairs are shown, in the order of the table."""

N_POINTS = 300
"""Rows that are kept to be drawn as points."""

N_CELLS = 20
_ENDS = (0.005, 0.995)


def interactions_of(columns: Mapping[str, Column], n_rows: int) -> tuple[Interaction, ...]:
    """Return the grid of each pair of numbers that vary."""
    rows = _chosen(n_rows, MAX_ROWS)
    found = {name: _placed(counted, rows) for name, counted in _varying(columns).items()}
    return tuple(_grid(x, y, found[x], found[y]) for x, y in combinations(found, 2))


def points_of(columns: Mapping[str, Column], n_rows: int) -> Points:
    """Return a few seeded random rows of the numbers whose pairs are shown."""
    found = _varying(columns)
    if len(found) < 2:
        return Points()
    rows = _chosen(n_rows, N_POINTS)
    values = tuple(_values(counted, rows) for counted in found.values())
    return Points(tuple(found), tuple(rows.tolist()), values)


def _chosen(n_rows: int, most: int) -> NDArray[np.int64]:
    """Return the rows, of more than ``most`` a seeded sample, in their order."""
    import numpy as np

    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, most, replace=False))


def _varying(columns: Mapping[str, Column]) -> dict[str, Tally]:
    found = {
        name: it.tally
        for name, it in columns.items()
        if it.profile.numbers and it.tally is not None and it.tally.values.size > 1
    }
    return {name: found[name] for name in list(found)[:MAX_COLUMNS]}


def _values(counted: Tally, rows: NDArray[np.int64]) -> tuple[float | None, ...]:
    codes = counted.codes.take(rows).tolist()
    return tuple(None if code < 0 else counted.values[code].item() for code in codes)


def _placed(
    counted: Tally, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the edges of the cells, and the cell of each row: -1 where it holds no number."""
    import numpy as np

    low, high = (quantile(counted.values, counted.ends, q) for q in _ENDS)
    counted.forget()
    if low == high:
        low, high = float(counted.values[0]), float(counted.values[-1])
    edges = even_edges(low or 0.0, high or 0.0, N_CELLS)
    codes = counted.codes.take(rows)
    x = counted.values.astype(np.float64, copy=False).take(codes, mode="clip")
    places = np.searchsorted(edges, x, side="right") - 1
    places = np.clip(places, 0, max(0, edges.size - 2))
    return edges, np.where(codes < 0, -1, places)


def _grid(
    x: str,
    y: str,
    across: tuple[NDArray[np.float64], NDArray[np.int64]],
    upwards: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> Interaction:
    import numpy as np

    (x_edges, x_places), (y_edges, y_places) = across, upwards
    both = (x_places >= 0) & (y_places >= 0)
    width, height = max(1, x_edges.size - 1), max(1, y_edges.size - 1)
    cells = np.bincount(y_places[both] * width + x_places[both], minlength=width * height)
    return Interaction(
        x=x,
        y=y,
        x_edges=tuple(x_edges.tolist()),
        y_edges=tuple(y_edges.tolist()),
        counts=tuple(tuple(row) for row in cells.reshape(height, width).tolist()),
        n_rows=int(np.count_nonzero(both)),
    )
