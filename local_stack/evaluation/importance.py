"""How much worse a model fares when one feature tells it nothing: permutation importance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

REPEATS: Final = 3


def permuted(
    loss: Callable[[np.ndarray], float],
    matrix: np.ndarray,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> np.ndarray:
    """Return by how much the mean loss rises when the values of each feature are shuffled.

    Parameters
    ----------
    loss
        Gives the mean loss for features of the same rows, float64 (n_rows, n_features).
    """
    import numpy as np

    before = loss(matrix)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(matrix)) for _ in range(repeats)]
    shuffled = matrix.copy()
    found = np.zeros(matrix.shape[1])
    for place in range(matrix.shape[1]):
        rises = []
        for order in orders:
            shuffled[:, place] = matrix[order, place]
            rises.append(loss(shuffled) - before)
        shuffled[:, place] = matrix[:, place]
        found[place] = np.mean(rises)
    return found
