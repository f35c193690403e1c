"""The leaf that a row falls into in each tree, with the conditions on the way in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Leaf(Result):
    """A leaf: what a ``tree`` (from 0) adds to the score, and the ``conditions`` that lead there.

    ``expected`` is what the tree adds on average over the rows it learnt from; the leaves that
    are told are those with the largest difference to it.
    """

    tree: int
    value: float
    expected: float
    conditions: tuple[str, ...]


def leaves_of(model: Model, matrix: Array, output: int, most: int) -> tuple[list[Leaf], int]:
    """Return the most telling leaves of one row (1, n_features), and how many trees there are."""
    return [], 0
