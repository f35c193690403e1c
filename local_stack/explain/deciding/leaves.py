"""The leaf that a row falls into in each tree, with the conditions on the way in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing import trees
from local_stack.explain.attributing.quadrature import decisions
from local_stack.explain.deciding.reasons import plain_name, shown, signed
from local_stack.preparation.categories import Codes
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.ensembles import Group
    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

_MOST_CATEGORIES: Final = 5


@dataclass(frozen=True, slots=True)
class Leaf(Result):
    """A leaf: what a ``tree`` (from 0) adds to the score, and the ``conditions`` that lead there.

    ``expected`` is what the tree adds on average over the rows it learnt from; the leaves that
    are told are those with the largest difference to it. Conditions are of features, as the
    preparation made them.
    """

    tree: int
    value: float
    expected: float
    conditions: tuple[str, ...]


def leaves_of(model: Model, matrix: Array, output: int, most: int) -> tuple[list[Leaf], int]:
    """Return the most telling leaves of one row (1, n_features), and how many trees there are.

    Trees that split nothing, or that say nothing of ``output`` (a raw score), are left out.
    """
    ensemble = trees.ensemble_of(model)
    if ensemble is None:
        return [], 0
    columns = ensemble.columns(matrix)
    found: list[tuple[float, float, int, Group, list[tuple[int, bool]]]] = []
    for group in ensemble.groups:
        goes_left = decisions(group, columns)[:, 0]
        expected = _expected(group)
        for root in group.roots.tolist():
            at = output - int(group.output[root])
            if 0 <= at < group.width:
                leaf, way = _walked(group, goes_left, root)
                usual = float(expected[root, at])
                value = float(group.leaves[leaf, at])
                found.append((value, usual, len(found), group, way))
    found.sort(key=lambda it: (-abs(it[0] - it[1]), it[2]))
    words = _Words(model, matrix[0])
    return [
        Leaf(number, value, usual, words.conditions(group, way))
        for value, usual, number, group, way in found[:most]
    ], len(found)


def _walked(group: Group, goes_left: Any, root: int) -> tuple[int, list[tuple[int, bool]]]:
    """Return the leaf that a row comes to, and at which nodes it went left or right."""
    node, way = root, []
    while node >= 0:
        is_left = bool(goes_left[node])
        way.append((node, is_left))
        node = int(group.left[node] if is_left else group.right[node])
    return ~node, way


def _expected(group: Group) -> Array:
    """Return the mean of the leaves below each node, (n_nodes, width), weighed by their rows."""
    import numpy as np

    found = np.empty((group.n_nodes, group.width))

    def below(side: NDArray[np.int64]) -> Array:
        inner = side >= 0
        part = np.empty((len(side), group.width))
        part[inner] = found[side[inner]]
        part[~inner] = group.leaves[~side[~inner]]
        return part

    levels, level = [], group.roots
    while len(level):
        levels.append(level)
        children = np.concatenate([group.left[level], group.right[level]])
        level = children[children >= 0]
    for level in reversed(levels):
        share = group.left_fraction[level, None]
        found[level] = share * below(group.left[level]) + (1 - share) * below(group.right[level])
    return found


@dataclass
class _Condition:
    """What a way through a tree asks of one feature: an interval, and categories, one of which."""

    low: float = -math.inf
    high: float = math.inf
    codes: list[frozenset[int]] = field(default_factory=list)


class _Words:
    """The conditions of trees in words, for one row of a matrix."""

    def __init__(self, model: Model, row: Array) -> None:
        self._names = [feature.name for feature in model.features]
        self._row = row
        self._categories = {
            name: operation.categories
            for operation in model.preparation.operations
            if isinstance(operation, Codes) and operation.is_native
            for name in operation.writes
        }

    def conditions(self, group: Group, way: list[tuple[int, bool]]) -> tuple[str, ...]:
        """Return one condition for each feature, in the order in which the tree asks."""
        asked: dict[int, _Condition] = {}
        for node, is_left in way:
            feature = int(group.feature[node])
            condition = asked.setdefault(feature, _Condition())
            start, size = int(group.table_start[node]), int(group.table_size[node])
            if start >= 0:
                table = group.table[start : start + size]
                condition.codes.append(frozenset((table == is_left).nonzero()[0].tolist()))
            elif is_left:
                condition.high = min(condition.high, float(group.threshold[node]))
            else:
                condition.low = max(condition.low, float(group.threshold[node]))
        return tuple(self._told(feature, it) for feature, it in asked.items())

    def _told(self, feature: int, asked: _Condition) -> str:
        name, value = plain_name(self._names[feature]), float(self._row[feature])
        if value != value:
            return f"{name} is missing"
        if asked.codes:
            return self._among(self._names[feature], value, asked.codes)
        if asked.low < value <= asked.high:
            low = "" if math.isinf(asked.low) else f"{signed(asked.low)} < "
            high = "" if math.isinf(asked.high) else f" <= {signed(asked.high)}"
            return f"{low}{name} {signed(value)}{high}"
        return f"{name} is {signed(value)}"  # zero, where the tree has a way of its own for it

    def _among(self, name: str, code: float, sets: list[frozenset[int]]) -> str:
        levels = self._categories.get(name, ())
        common = sorted(frozenset.intersection(*sets))
        own = levels[int(code)] if 0 <= code < len(levels) else None
        told = f"{plain_name(name)} {shown(own if own is not None else code)}"
        others = [it for it in common if it != code and it < len(levels)]
        if len(others) > _MOST_CATEGORIES:
            return f"{told}, as {len(others)} other categories"
        listed = ", ".join(shown(levels[it]) for it in others)
        return f"{told}, as {listed}" if listed else told
