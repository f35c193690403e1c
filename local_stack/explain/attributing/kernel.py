"""The algorithm of :mod:`quadrature` in machine code, for many rows: numba compiles it.

It takes seconds to compile, once in a process, and nothing of it is kept in files. It walks each
tree depth first for a block of rows at a time, with the same operations on a row in the same
order as there, so that the values are the same bits. Threads take rows, never parts of a sum.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from local_stack.explain.attributing.quadrature import ZERO, in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from local_stack.explain.attributing.ensembles import Group
    from local_stack.explain.attributing.quadrature import Rules

    Floats = NDArray[np.float64]

BLOCK: Final = 64
"""Rows that are done together: what is known of them on a way stays in the fastest memory."""
_AT_ONCE: Final = 16 * BLOCK
"""Rows that a thread takes at a time."""
_lock = threading.Lock()


class _Facts(NamedTuple):
    """Arrays of a group and of its rules, by their names there, in the order of the kernel's."""

    roots: Any
    left: Any
    right: Any
    feature: Any
    threshold: Any
    nan_left: Any
    zero_left: Any
    table_start: Any
    table_size: Any
    other_left: Any
    table: Any
    left_fraction: Any
    depth: Any
    previous: Any
    previous_left: Any
    points: Any
    output: Any
    leaves: Any
    on_left: Any
    on_right: Any
    scale: Any
    weights: Any


def is_ready() -> bool:
    """Return whether the machine code is there already."""
    return bool(_compiled.cache_info().currsize) and can_compile()


def can_compile() -> bool:
    """Return whether numba is there and works; the first call compiles."""
    with _lock:
        return _compiled() is not None


def add_values(group: Group, given: Rules, columns: Floats, found: Floats) -> None:
    """Add a group's values of rows (n_features, n_rows) to (n_outputs, n_features, n_rows).

    Both have a multiple of :data:`BLOCK` rows.
    """
    kernel, facts = _compiled(), _facts(group, given)

    def add(start: int, stop: int) -> None:
        kernel(columns, start, stop, found, *facts)

    in_threads(add, columns.shape[1], _AT_ONCE)


def _facts(group: Group, given: Rules) -> _Facts:
    return _Facts(
        *(
            getattr(given if name in ("on_left", "on_right", "scale", "weights") else group, name)
            for name in _Facts._fields
        )
    )


@cache
def _compiled() -> Any:
    """Return the kernel as machine code; None where there is no numba, or none that fits."""
    try:
        import numba
        from numba.core.errors import NumbaError
    except ImportError:
        return None
    kernel = numba.njit(nogil=True, error_model="numpy")(_kernel)
    try:
        kernel(np.empty((1, 0)), 0, 0, np.empty((1, 1, 0)), *_example())
    except NumbaError:
        return None
    return kernel


def _example() -> _Facts:
    """Return facts of the types that all have, for the compiler."""
    from local_stack.explain.attributing.ensembles import Tree, assembled
    from local_stack.explain.attributing.quadrature import rules

    one, flat = np.array([1, -1, -1]), np.zeros(3)
    stump = Tree(one, one * 2, one * 0, flat, flat > 0, flat + 1, flat[:, None])
    group = assembled([stump], np.zeros(1))
    return _facts(group, rules(group))


# One function, because in parts it takes numba three times as long and is half as fast.
def _kernel(  # noqa: C901
    columns: Any,
    start: Any,
    stop: Any,
    found: Any,
    roots: Any,
    left: Any,
    right: Any,
    feature: Any,
    threshold: Any,
    nan_left: Any,
    zero_left: Any,
    table_start: Any,
    table_size: Any,
    other_left: Any,
    table: Any,
    left_fraction: Any,
    depth: Any,
    previous: Any,
    previous_left: Any,
    points: Any,
    output: Any,
    leaves: Any,
    on_left: Any,
    on_right: Any,
    scale: Any,
    weights: Any,
) -> None:
    """Add the values of some rows: depth first, with the node at depth d in ``way[d]``.

    ``done[d]`` of its children are done, whose sums are in ``below[d + 1]``; ``product[d]`` is
    the product of the factors above it, and ``factor[d]`` that of its left branch.
    """
    deepest, n_points, width = depth.max() + 1, on_left.shape[1], leaves.shape[1]
    goes_left = np.empty((deepest, BLOCK), dtype=np.bool_)
    is_on = np.empty((deepest, BLOCK), dtype=np.bool_)
    factor = np.empty((deepest, n_points, BLOCK))
    product = np.empty((deepest + 1, n_points, BLOCK))
    below = np.empty((deepest + 1, 2, width, n_points, BLOCK))
    worth = np.empty(BLOCK)
    sums = np.empty((found.shape[0], found.shape[1], BLOCK))
    way = np.empty(deepest, dtype=np.int64)
    done = np.empty(deepest + 1, dtype=np.int64)
    for first in range(start, stop, BLOCK):
        sums[:] = 0.0
        for root in roots:
            for q in range(n_points):
                for r in range(BLOCK):
                    product[0, q, r] = weights[root, q]
            d = 0
            way[0], done[0] = root, 0
            while d >= 0:
                node = way[d]
                n_used = points[node]
                if done[d] == 0:
                    column = columns[feature[node], first : first + BLOCK]
                    limit, missing = threshold[node], nan_left[node]
                    for r in range(BLOCK):
                        goes_left[d, r] = (column[r] <= limit) | (
                            (column[r] != column[r]) & missing
                        )
                    if table_start[node] >= 0:
                        for r in range(BLOCK):
                            x = column[r]
                            if x > -1.0 and x < table_size[node]:
                                goes_left[d, r] = table[table_start[node] + int(x)]
                            elif x == x:
                                goes_left[d, r] = other_left[node]
                    elif zero_left[node] >= 0:
                        for r in range(BLOCK):
                            if abs(column[r]) <= ZERO:
                                goes_left[d, r] = zero_left[node] == 1
                    for q in range(n_used):
                        there, other = on_left[node, q], on_right[node, q]
                        for r in range(BLOCK):
                            factor[d, q, r] = there if goes_left[d, r] else other
                    if previous[node] < 0:
                        for r in range(BLOCK):
                            is_on[d, r] = True
                    else:
                        up, side, off = (
                            depth[previous[node]],
                            previous_left[node],
                            left_fraction[node],
                        )
                        for r in range(BLOCK):
                            is_on[d, r] = is_on[up, r] & (goes_left[up, r] == side)
                        for q in range(n_used):
                            for r in range(BLOCK):
                                factor[d, q, r] = factor[d, q, r] if is_on[d, r] else off
                if done[d] < 2:
                    side = done[d]
                    child = right[node] if side else left[node]
                    done[d] += 1
                    if child < 0:
                        for w in range(width):
                            for q in range(n_used):
                                for r in range(BLOCK):
                                    below[d + 1, side, w, q, r] = leaves[~child, w]
                        continue
                    if side:
                        for q in range(n_used):
                            for r in range(BLOCK):
                                product[d + 1, q, r] = (
                                    product[d, q, r] - product[d, q, r] * factor[d, q, r]
                                )
                    else:
                        for q in range(n_used):
                            for r in range(BLOCK):
                                product[d + 1, q, r] = product[d, q, r] * factor[d, q, r]
                    d += 1
                    way[d], done[d] = child, 0
                    continue
                side = done[d - 1] - 1 if d else 0
                for w in range(width):
                    for r in range(BLOCK):
                        worth[r] = 0.0
                    for q in range(n_used):
                        h = scale[node, q]
                        for r in range(BLOCK):
                            difference = below[d + 1, 0, w, q, r] - below[d + 1, 1, w, q, r]
                            worth[r] += (product[d, q, r] * h) * difference
                            below[d, side, w, q, r] = (
                                below[d + 1, 1, w, q, r] + factor[d, q, r] * difference
                            )
                    line, part = output[node] + w, left_fraction[node]
                    for r in range(BLOCK):
                        gain = (1.0 if goes_left[d, r] else 0.0) - part
                        sums[line, feature[node], r] += (gain if is_on[d, r] else 0.0) * worth[r]
                d -= 1
        for line in range(found.shape[0]):
            for f in range(found.shape[1]):
                for r in range(BLOCK):
                    found[line, f, first + r] += sums[line, f, r]
