"""The space that a search goes over: what it is called, and its points on a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from local_stack.errors import InputError
from local_stack.runs.recipe import MAX_TRIALS, Dimension

Params: TypeAlias = "dict[str, Any]"
"""A point of the space: a value for each parameter."""
GRID_STEPS = 5
"""Values that a grid takes of a range, evenly spaced (of ``log``: in the logarithm)."""


def is_whole(dimension: Dimension) -> bool:
    """Return whether a range holds whole numbers only: both of its ends are whole."""
    return all(isinstance(value, int) for value in dimension.values)


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Return the ends of a range."""
    low, high = dimension.values
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return float(low), float(high)


def grid_values(dimension: Dimension) -> list[Any]:
    """Return the values of a parameter that a grid tries, in order, each once."""
    if dimension.kind == "choice":
        return list(dimension.values)
    low, high = bounds(dimension)
    shares = [step / (GRID_STEPS - 1) for step in range(GRID_STEPS)]
    if dimension.kind == "log":
        found = [math.exp(math.log(low) + s * math.log(high / low)) for s in shares]
    else:
        found = [low + s * (high - low) for s in shares]
    found[0], found[-1] = low, high
    return list(dict.fromkeys(map(round, found))) if is_whole(dimension) else found


def grid_size(space: Sequence[Dimension]) -> int:
    """Return how many points the grid of a space has."""
    return math.prod(len(grid_values(dimension)) for dimension in space)


def grid_points(space: Sequence[Dimension]) -> Iterator[Params]:
    """Yield the points of the grid; the last parameter changes fastest."""
    names = [dimension.param for dimension in space]
    for values in itertools.product(*map(grid_values, space)):
        yield dict(zip(names, values, strict=True))


def check_grid(space: Sequence[Dimension], n_trials: int | None) -> int:
    """Return how many points the grid has.

    Raises
    ------
    InputError
        They are more than the trials that were allowed, or than any study may have.
    """
    size, most = grid_size(space), MAX_TRIALS if n_trials is None else n_trials
    if size > most:
        raise InputError(
            f"The grid has {size:,} points, and {most:,} trials are allowed.",
            "Give fewer values in search.space, "
            + (f"or allow more: --trials {size}." if size <= MAX_TRIALS else "or use random."),
        )
    return size
