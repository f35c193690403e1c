"""One form for every ensemble of trees, ready for the algorithm of :mod:`quadrature`.

A library's reader gives each tree as a :class:`Tree`; :func:`assembled` puts many of them in a
:class:`Group`, whose nodes are numbered by their depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]

_MOST_NODES: Final = 16_384
"""Inner nodes of a group, at most, unless a single tree has more."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree as arrays over its nodes, the root first; leaves have the children -1.

    A row goes left where its feature is at most the threshold. Where it is missing it goes left
    if ``nan_left``; where it is zero, as ``zero_left`` says (1 left, 0 right, -1: as any number).
    At the nodes of ``categories`` it goes left if the table there says so of its code, and codes
    outside the table go as the second value says.

    ``value`` is (n_nodes, width): a tree adds to ``width`` outputs, from ``output`` on. ``cover``
    weighs the training rows that came to a node.
    """

    left: Integers
    right: Integers
    feature: Integers
    threshold: Floats
    nan_left: Booleans
    cover: Floats
    value: Floats
    output: int = 0
    zero_left: Integers | None = None
    categories: Mapping[int, tuple[Booleans, bool]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Group:
    """Trees together: arrays over their inner nodes, those of one depth side by side.

    ``left`` and ``right`` are inner nodes, or ``~number`` of a leaf. ``left_fraction`` is the part
    of a node's training rows that went left. ``previous`` is the nearest node above with the same
    feature (-1 for none), ``previous_left`` whether the way leads left there, ``path_fraction``
    the part of the rows that all the nodes above with that feature let through. ``points`` says
    how many points the rule of a node's tree needs. ``levels`` say for each depth where its nodes
    start, where those begin that are right children, and where they end. ``order`` has the nodes
    tree by tree, each after those below it: in this order what they add is summed.
    """

    roots: Integers
    left: Integers
    right: Integers
    parent: Integers
    depth: Integers
    levels: tuple[tuple[int, int, int], ...]
    order: Integers
    feature: Integers
    threshold: Floats
    nan_left: Booleans
    zero_left: Integers
    table_start: Integers
    table_size: Integers
    other_left: Booleans
    table: Booleans
    left_fraction: Floats
    path_fraction: Floats
    previous: Integers
    previous_left: Booleans
    points: Integers
    output: Integers
    leaves: Floats

    @property
    def n_nodes(self) -> int:
        """Return how many inner nodes there are."""
        return len(self.feature)

    @property
    def width(self) -> int:
        """Return to how many outputs a leaf adds."""
        return int(self.leaves.shape[1])


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A sum of trees and a constant; ``base`` (n_outputs,) is what it says of no row in particular.

    Where ``is_single`` features are of 32 bits.
    """

    groups: tuple[Group, ...]
    base: Floats
    n_features: int
    is_single: bool

    @property
    def n_outputs(self) -> int:
        """Return how many numbers it gives a row."""
        return len(self.base)

    @property
    def work(self) -> int:
        """Return how much there is to do for one row, in points of the rules of all nodes."""
        return sum(int(group.points.sum()) * (1 + group.width) for group in self.groups)

    def columns(self, matrix: Floats) -> Floats:
        """Return rows (n_rows, n_features) as the trees see them, (n_features, n_rows)."""
        import numpy as np

        seen = matrix.astype(np.float32) if self.is_single else matrix
        return np.ascontiguousarray(seen.T, dtype=np.float64)


def ensemble(
    trees: Sequence[Tree], n_features: int, constant: Floats, *, is_single: bool = False
) -> Ensemble:
    """Return trees in one form; ``constant`` (n_outputs,) is added to their sum."""
    import numpy as np

    base = np.array(constant, dtype=np.float64)
    groups = []
    for some in _split(trees):
        group = assembled(some, base)
        if group.n_nodes:
            groups.append(group)
    return Ensemble(tuple(groups), base, n_features, is_single)


def _split(trees: Sequence[Tree]) -> Iterator[list[Tree]]:
    some: list[Tree] = []
    size = 0
    for tree in trees:
        n_inner = len(tree.left) // 2
        if some and size + n_inner > _MOST_NODES:
            yield some
            some, size = [], 0
        some.append(tree)
        size += n_inner
    if some:
        yield some


def assembled(trees: Sequence[Tree], base: Floats) -> Group:
    """Return trees as one group, and add what they say of no row in particular to ``base``."""
    import numpy as np

    starts = np.cumsum([0, *(len(tree.left) for tree in trees)])
    roots = starts[:-1]
    left, right = (
        np.concatenate(
            [
                np.where(child < 0, -1, child + start)
                for child, start in zip((getattr(tree, side) for tree in trees), roots, strict=True)
            ]
        )
        for side in ("left", "right")
    )
    whole = _Whole(left, right, np.concatenate([tree.feature for tree in trees]), roots)
    cover, value = (
        np.concatenate([getattr(tree, it) for tree in trees]) for it in ("cover", "value")
    )
    fraction = whole.left_fractions(cover)
    expected = whole.expected(fraction, value)
    for tree, root in zip(trees, roots, strict=True):
        base[tree.output : tree.output + value.shape[1]] += expected[root]
    tree_of = np.repeat(np.arange(len(trees)), np.diff(starts))
    return _group(trees, whole, fraction, value, starts, tree_of)


def _group(
    trees: Sequence[Tree],
    whole: _Whole,
    fraction: Floats,
    value: Floats,
    starts: Integers,
    tree_of: Integers,
) -> Group:
    import numpy as np

    nodes = whole.nodes
    place = np.full(len(whole.left), -1)
    place[nodes] = np.arange(len(nodes))
    leaf = np.cumsum(~whole.inner) - 1
    previous, previous_left = whole.previous()
    passed, n_unique = whole.along_paths(fraction, previous, previous_left)
    degree = np.zeros(len(trees), dtype=np.int64)
    np.maximum.at(degree, tree_of[nodes], n_unique[nodes])

    def child(side: Integers) -> Integers:
        found: Integers = np.where(whole.inner[side], place[side], ~leaf[side])
        return found

    def above(upper: Integers) -> Integers:
        found: Integers = np.where(upper < 0, -1, place[upper])
        return found

    given = {
        name: np.concatenate([getattr(tree, name) for tree in trees])[nodes]
        for name in ("threshold", "nan_left")
    }
    zero_left = np.concatenate(
        [np.full(len(t.left), -1) if t.zero_left is None else t.zero_left for t in trees]
    )
    return Group(
        roots=place[starts[:-1][whole.inner[starts[:-1]]]],
        left=child(whole.left[nodes]),
        right=child(whole.right[nodes]),
        parent=above(whole.parent[nodes]),
        depth=whole.depth[nodes],
        levels=whole.bounds(),
        order=np.argsort(whole.last()[nodes]),
        feature=whole.feature[nodes],
        zero_left=zero_left[nodes],
        **given,
        **_tables(trees, starts, place, len(nodes)),
        left_fraction=fraction[nodes],
        path_fraction=passed[nodes],
        previous=above(previous[nodes]),
        previous_left=previous_left[nodes],
        points=(degree[tree_of[nodes]] + 1) // 2,
        output=np.array([tree.output for tree in trees])[tree_of[nodes]],
        leaves=value[~whole.inner],
    )


def _tables(
    trees: Sequence[Tree], starts: Integers, place: Integers, n_nodes: int
) -> dict[str, Any]:
    """Return where each node's table of categories starts (-1: none), its size, and all tables."""
    import numpy as np

    start, size = np.full(n_nodes, -1), np.zeros(n_nodes, dtype=np.int64)
    other, tables, end = np.zeros(n_nodes, dtype=bool), [np.zeros(1, dtype=bool)], 1
    for tree, first in zip(trees, starts[:-1], strict=True):
        for node, (goes_left, others_left) in tree.categories.items():
            at = place[first + node]
            start[at], size[at], other[at] = end, len(goes_left), others_left
            tables.append(goes_left)
            end += len(goes_left)
    return {
        "table_start": start,
        "table_size": size,
        "other_left": other,
        "table": np.concatenate(tables),
    }


class _Whole:
    """The nodes of several trees, leaves too, and how they hang together."""

    def __init__(self, left: Integers, right: Integers, feature: Integers, roots: Integers) -> None:
        import numpy as np

        self.left, self.right, self.feature, self.roots = left, right, feature, roots
        self.inner = left >= 0
        self.parent = np.full(len(left), -1)
        self.is_left = np.zeros(len(left), dtype=bool)
        self.depth = np.zeros(len(left), dtype=np.int64)
        self.levels: list[Integers] = []
        level = roots[self.inner[roots]]
        while len(level):
            self.depth[level] = len(self.levels)
            self.levels.append(level)
            children = np.concatenate([left[level], right[level]])
            self.parent[children] = np.concatenate([level, level])
            self.is_left[left[level]] = True
            level = children[self.inner[children]]
        empty = np.empty(0, dtype=np.int64)
        self.nodes: Integers = np.concatenate([empty, *self.levels])

    def left_fractions(self, cover: Floats) -> Floats:
        """Return which part of the training rows went left, a half where none came."""
        import numpy as np

        found = np.full(len(cover), 0.5)
        left, right = cover[self.left[self.nodes]], cover[self.right[self.nodes]]
        both = left + right
        found[self.nodes] = np.divide(left, both, out=np.full(len(both), 0.5), where=both > 0)
        return found

    def expected(self, fraction: Floats, value: Floats) -> Floats:
        """Return the mean value of the training rows that came to each node."""
        found = value.copy()
        for level in reversed(self.levels):
            left, right = found[self.left[level]], found[self.right[level]]
            found[level] = right + fraction[level, None] * (left - right)
        return found

    def bounds(self) -> tuple[tuple[int, int, int], ...]:
        """Return where levels start, have their first right child, and end, among all nodes."""
        found, start = [], 0
        for level in self.levels:
            middle = start + int(self.is_left[level].sum())
            found.append((start, middle, start + len(level)))
            start += len(level)
        return tuple(found)

    def last(self) -> Integers:
        """Return numbers of the inner nodes, tree by tree, each after those below it."""
        import numpy as np

        size = np.zeros(len(self.left), dtype=np.int64)
        for level in reversed(self.levels):
            size[level] = 1 + size[self.left[level]] + size[self.right[level]]
        found = np.full(len(self.left), -1)
        found[self.roots] = np.cumsum(size[self.roots]) - 1
        for level in self.levels:
            right = self.right[level]
            found[right] = found[level] - 1
            found[self.left[level]] = found[level] - 1 - size[right]
        return found

    def previous(self) -> tuple[Integers, Booleans]:
        """Return the nearest node above with the same feature, and whether the way goes left."""
        import numpy as np

        found, is_left = np.full(len(self.left), -1), np.zeros(len(self.left), dtype=bool)
        node = below = self.nodes
        while len(node):
            above = self.parent[below]
            is_open = above >= 0
            node, below, above = node[is_open], below[is_open], above[is_open]
            is_same = self.feature[above] == self.feature[node]
            found[node[is_same]] = above[is_same]
            is_left[node[is_same]] = self.is_left[below[is_same]]
            node, below = node[~is_same], above[~is_same]
        return found, is_left

    def along_paths(
        self, fraction: Floats, previous: Integers, previous_left: Booleans
    ) -> tuple[Floats, Integers]:
        """Return the part of rows that a node's feature let through, and the features up to it."""
        import numpy as np

        passed, n_unique = np.ones(len(self.left)), np.zeros(len(self.left), dtype=np.int64)
        for level in self.levels:
            up = previous[level]
            is_new = up < 0
            there = np.where(previous_left[level], fraction[up], 1 - fraction[up])
            passed[level] = np.where(is_new, 1.0, passed[up] * there)
            parent = self.parent[level]
            n_unique[level] = np.where(parent < 0, 0, n_unique[parent]) + is_new
        return passed, n_unique
