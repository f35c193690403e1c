"""Exact SHAP values of trees, path dependent, by Gauss-Legendre quadrature.

With the one-fractions o (0 or 1) and zero-fractions z of the features on the path to a leaf of
value v, feature i is worth there

    v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (t o_j + (1 - t) z_j)

which ceil(D / 2) points give exactly for D features. At each point the products are carried down
the tree and sums of leaves up (as in Linear TreeSHAP, Yu and others 2022), so that a node costs
the same whatever lies below it. With L and R, what the children of a node sum to, f the factor
of its left branch and P the product above it:

    R + f (L - R) is what the node sums to, and
    (o - z) * sum over the points of P h (L - R) is what it adds to its feature,

where o says whether the row goes left, z is the part of training rows that went left, and h is
one unless the feature stands above too: then nothing is added to a row that left the way there,
and h = p / (t + (1 - t) p)^2, with p the part of rows that the feature let through above. A row's
values depend on nothing but the row: not on its neighbours, on threads, or on which of the two
implementations made them, this one or :mod:`kernel`: both do the same operations in one order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.ensembles import Ensemble, Group

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

_AT_ONCE: Final = 200_000
"""Numbers of an intermediate array, about: larger ones are twice as slow."""
_FEWEST_COMPILED: Final = 5
"""Fewer rows are not done by machine code, which does 64 at a time."""
_WORTH_COMPILING: Final = 200_000_000
"""Points of nodes times rows that NumPy needs as long for as numba for its compilation.

Measured by tests/benchmarks/bench_explain.py: 11 ns a point, and 2.3 s, of CPU time.
"""
ZERO: Final = 1e-35
"""Numbers nearer to zero than this are zero to LightGBM."""


@dataclass(frozen=True, eq=False)
class Rules:
    """Numbers of each node at each point, (n_nodes, n_points).

    ``on_left`` and ``on_right`` are factors of the left branch, for rows on the way that go left
    or right (off the way it is the node's ``left_fraction``), and ``scale`` is h. ``weights`` are
    those of the points, zero for points that a node's tree does not need.
    """

    on_left: Floats
    on_right: Floats
    scale: Floats
    weights: Floats


@lru_cache(maxsize=8)
def rules(group: Group) -> Rules:
    """Return the numbers of a group's nodes at the points of its trees' rules."""
    import numpy as np

    most = int(group.points.max())
    places, weights = np.full((most + 1, most), 0.5), np.zeros((most + 1, most))
    for n in np.unique(group.points).tolist():
        places[n, :n], weights[n, :n] = gauss_legendre(n)
    t = places[group.points]
    above = group.path_fraction[:, None]
    passed = t + (1 - t) * above
    left = (1 - t) * (above * group.left_fraction[:, None])
    is_new = group.previous < 0
    scale = np.where(is_new[:, None], 1.0, above / passed**2)
    return Rules((t + left) / passed, left / passed, scale, weights[group.points])


@cache
def gauss_legendre(n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the points in [0, 1] of the rule of n points, ascending, and their weights.

    They are found with 40 digits, so that they are the same bits everywhere: what linear algebra
    (NumPy's ``leggauss``) finds depends on the processor.
    """
    points, weights = [], []
    with localcontext(prec=40):
        for place in range(n, 0, -1):
            x = Decimal(math.cos(math.pi * (place - 0.25) / (n + 0.5)))
            slope = Decimal(1)
            for _ in range(
                6
            ):  # Newton's method: each step doubles the digits, of which 3 are right
                below, here = Decimal(1), x
                for degree in range(2, n + 1):
                    below, here = (
                        here,
                        ((2 * degree - 1) * x * here - (degree - 1) * below) / degree,
                    )
                slope = n * (x * here - below) / (x * x - 1)
                x -= here / slope
            points.append(float((x + 1) / 2))
            weights.append(float(1 / ((1 - x * x) * slope * slope)))
    return tuple(points), tuple(weights)


def with_fixed(group: Group, given: Rules, feature: int, *, is_present: bool) -> Rules:
    """Return rules by which a feature is in every coalition, or in none; it gets no value."""
    import numpy as np

    is_it = (group.feature == feature)[:, None]
    left = np.ones(1) if is_present else group.left_fraction[:, None]
    right = np.zeros(1) if is_present else group.left_fraction[:, None]
    return Rules(
        np.where(is_it, left, given.on_left),
        np.where(is_it, right, given.on_right),
        np.where(is_it, 0.0, given.scale),
        given.weights,
    )


class Rows:
    """Rows to explain, and the implementation that is the quicker one for them.

    Parameters
    ----------
    matrix
        Features, float64 (n_rows, n_features).
    n_times
        How often :meth:`values` will be asked for.
    """

    def __init__(self, ensemble: Ensemble, matrix: Floats, n_times: int = 1) -> None:
        import numpy as np

        self._ensemble = ensemble
        self._columns = ensemble.columns(matrix)
        self._n_rows = n_rows = len(matrix)
        self._is_compiled = _is_compiled(n_rows, ensemble.work * n_rows * n_times)
        if self._is_compiled:
            from local_stack.explain.attributing.kernel import BLOCK

            self._columns = np.pad(self._columns, ((0, 0), (0, -n_rows % BLOCK)))

    def values(self, groups: Iterable[tuple[Group, Rules]]) -> Floats:
        """Return the SHAP values of rows by some trees, (n_rows, n_features, n_outputs)."""
        import numpy as np

        found = np.zeros((self._ensemble.n_outputs, *self._columns.shape))
        for group, given in groups:
            if self._is_compiled:
                from local_stack.explain.attributing import kernel

                kernel.add_values(group, given, self._columns, found)
            else:
                add_values(group, given, self._columns, found)
        return np.ascontiguousarray(found[:, :, : self._n_rows].transpose(2, 1, 0))


def _is_compiled(n_rows: int, work: int) -> bool:
    """Return whether machine code is quicker, if it has to be compiled first.

    Both make the same bits, so that the answer may differ from call to call.
    """
    if n_rows < _FEWEST_COMPILED:
        return False
    from local_stack.explain.attributing import kernel

    return kernel.is_ready() or (work > _WORTH_COMPILING and kernel.can_compile())


def tree_shap(ensemble: Ensemble, matrix: Floats) -> Floats:
    """Return the SHAP values of rows (n_rows, n_features), (n_rows, n_features, n_outputs)."""
    return Rows(ensemble, matrix).values((it, rules(it)) for it in ensemble.groups)


@cache
def _keep_memory() -> None:
    """Let glibc keep the memory of intermediate arrays for the next ones, once a process.

    Else each is asked of the system anew, which takes as long as the work. It keeps what is as
    large as the largest array that it got back from the system, up to 32 MB; this one is never
    written to, so that it takes no memory.
    """
    import numpy as np

    np.empty(3_500_000)


def add_values(group: Group, given: Rules, columns: Floats, found: Floats) -> None:
    """Add a group's values of rows (n_features, n_rows) to (n_outputs, n_features, n_rows)."""
    _keep_memory()

    def add(start: int, stop: int) -> None:
        some = slice(start, stop)
        found[:, :, some] += _values(group, given, columns[:, some], found.shape[0])

    in_threads(add, columns.shape[1], max(1, _AT_ONCE // given.on_left.size))


def in_threads(task: Callable[[int, int], None], n_rows: int, at_once: int) -> None:
    """Do a task for the rows from one number to another, so many at once, on every core."""
    starts = range(0, n_rows, at_once)
    n_threads = min(len(starts), len(os.sched_getaffinity(0)))
    if n_threads < 2:
        for start in starts:
            task(start, min(start + at_once, n_rows))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        stops = (min(start + at_once, n_rows) for start in starts)
        list(pool.map(task, starts, stops))


def _values(group: Group, given: Rules, columns: Floats, n_outputs: int) -> Floats:
    import numpy as np

    n_features, n_rows = columns.shape
    goes_left = decisions(group, columns)
    is_on = _on_the_way(group, goes_left)
    factors = np.where(goes_left[:, None], given.on_left[:, :, None], given.on_right[:, :, None])
    nodes = np.flatnonzero(group.previous >= 0)
    off = group.left_fraction[nodes, None, None]
    factors[nodes] = np.where(is_on[nodes, None], factors[nodes], off)
    products = _products(group, given, factors)
    products *= given.scale[:, :, None]
    gains = np.where(is_on, goes_left - group.left_fraction[:, None], 0.0)
    sums = np.zeros(n_outputs * n_features * n_rows)
    rows = np.arange(n_rows)
    for place in range(group.width):
        worth = gains * _differences(group, factors, products, group.leaves[:, place])
        cells = (group.output + place) * n_features + group.feature
        cells = (cells[group.order, None] * n_rows + rows).ravel()
        sums += np.bincount(cells, weights=worth[group.order].ravel(), minlength=len(sums))
    return sums.reshape(n_outputs, n_features, n_rows)


def decisions(group: Group, columns: Floats) -> Booleans:
    """Return which rows (n_features, n_rows) would go left at each node, (n_nodes, n_rows)."""
    import numpy as np

    seen = columns[group.feature]
    found: Booleans = seen <= group.threshold[:, None]
    missing = np.isnan(seen)
    nodes = np.flatnonzero(group.zero_left >= 0)
    if len(nodes):
        is_zero = np.abs(seen[nodes]) <= ZERO
        found[nodes] = np.where(is_zero, group.zero_left[nodes, None] == 1, found[nodes])
    nodes = np.flatnonzero(group.table_start >= 0)
    if len(nodes):
        found[nodes] = _in_tables(group, nodes, seen[nodes])
    if missing.any():
        found = np.where(missing, group.nan_left[:, None], found)
    return found


def _in_tables(group: Group, nodes: NDArray[np.int64], seen: Floats) -> Booleans:
    import numpy as np

    known = group.table_size[nodes, None]
    code = np.trunc(np.nan_to_num(seen, nan=-1.0))
    is_known = (code >= 0) & (code < known)
    at = group.table_start[nodes, None] + np.where(is_known, code, 0).astype(np.int64)
    found: Booleans = np.where(is_known, group.table[at], group.other_left[nodes, None])
    return found


def _on_the_way(group: Group, goes_left: Booleans) -> Booleans:
    """Return which rows went the way to each node wherever its feature decided above."""
    import numpy as np

    found = np.ones_like(goes_left)
    for start, _, end in group.levels[1:]:
        nodes = start + np.flatnonzero(group.previous[start:end] >= 0)
        up = group.previous[nodes]
        found[nodes] = found[up] & (goes_left[up] == group.previous_left[nodes, None])
    return found


def _products(group: Group, given: Rules, factors: Floats) -> Floats:
    """Return the weights of the points times the factors on the way to each node."""
    import numpy as np

    found = np.empty_like(factors)
    found[group.roots] = given.weights[group.roots, :, None]
    for start, middle, end in group.levels[1:]:
        parent = group.parent[start:middle]
        np.multiply(found[parent], factors[parent], out=found[start:middle])
        parent = group.parent[middle:end]
        above = found[parent]
        np.subtract(above, above * factors[parent], out=found[middle:end])
    return found


def _differences(group: Group, factors: Floats, products: Floats, leaves: Floats) -> Floats:
    """Return the sum over the points of products times what left sums to more than right."""
    import numpy as np

    left, right = np.empty_like(factors), np.empty_like(factors)
    for sums, child in ((left, group.left), (right, group.right)):
        nodes = np.flatnonzero(child < 0)
        sums[nodes] = leaves[~child[nodes], None, None]
    differences = np.empty_like(factors)
    for start, middle, end in reversed(group.levels):
        here = slice(start, end)
        difference = np.subtract(left[here], right[here], out=differences[here])
        if start:
            total = factors[here] * difference
            total += right[here]
            left[group.parent[start:middle]] = total[: middle - start]
            right[group.parent[middle:end]] = total[middle - start :]
    differences *= products
    found = differences[:, 0].copy()
    for point in range(1, differences.shape[1]):
        found += differences[:, point]
    return found
