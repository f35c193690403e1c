"""SHAP values of any function of a matrix: every coalition where they are few, else permutations.

A column that is not in a coalition has the values of background rows (interventional SHAP). With
permutations the estimate is that of Strumbelj and Kononenko (2014), each order walked forth and
back (antithetic, Mitchell and others 2022), and each value has its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

PERMUTATIONS: Final = 10
"""Orders a row, each of them walked forth and back."""
_AT_ONCE: Final = 100_000
"""Most rows that the function is asked for at a time."""


def evenly(n_rows: int, most: int) -> NDArray[np.int64]:
    """Return the numbers of at most ``most`` of ``n_rows`` rows, evenly spread, the last included.

    The first one is, too: whatever the rows are sorted by, all of it is there.
    """
    import numpy as np

    return np.linspace(0, n_rows - 1, min(n_rows, most)).round().astype(np.int64)


def is_enumerated(n_groups: int, permutations: int = PERMUTATIONS) -> bool:
    """Return whether all coalitions cost no more than the permutations, so that nothing errs."""
    return n_groups < 32 and 1 << n_groups <= 2 * permutations * (n_groups + 1)


def sampled_values(
    function: Function,
    matrix: NDArray[np.float64],
    background: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Return SHAP values and standard errors (n_rows, n_groups, n_outputs), and the base.

    The values of a row add up exactly to the function minus the base.

    Parameters
    ----------
    function
        From float64 (n_rows, n_features) to float64 (n_rows, n_outputs).
    background
        Rows that stand for the absent features, float64 (n_background, n_features).
    groups
        Places of the features that are present or absent together.
    """
    import numpy as np

    base = function(background).mean(axis=0)
    shape = (len(matrix), len(groups), len(base))
    found = np.empty(shape)
    if is_enumerated(len(groups), permutations):
        for number, row in enumerate(matrix):
            found[number] = _enumerated(function, row, background, groups)
        return found, base, None
    errors = np.empty(shape)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(groups)) for _ in range(permutations)]
    for number, row in enumerate(matrix):
        walks = np.stack([_walked(function, row, background, groups, it) for it in orders])
        found[number] = walks.mean(axis=0)
        errors[number] = walks.std(axis=0, ddof=1) / math.sqrt(len(walks))
    return found, base, errors


def _enumerated(
    function: Function,
    row: NDArray[np.float64],
    background: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
) -> NDArray[np.float64]:
    import numpy as np

    n = len(groups)
    present = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    means = _means(function, row, background, groups, present)
    sizes = present.sum(axis=1)
    weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    found = np.empty((n, means.shape[1]))
    for place in range(n):
        without = np.flatnonzero(~present[:, place])
        gains = means[without | (1 << place)] - means[without]
        found[place] = weights[sizes[without]] @ gains
    return found


def _walked(
    function: Function,
    row: NDArray[np.float64],
    background: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
    order: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return what each group adds along an order and along its reverse, on average."""
    import numpy as np

    n = len(groups)
    forth = np.zeros((n + 1, n), dtype=bool)
    for step, place in enumerate(order):
        forth[step + 1 :, place] = True
    back = ~forth[1:n]  # the groups that come after a step are those that come first in reverse
    means = _means(function, row, background, groups, np.concatenate([forth, back]))
    there = np.diff(means[: n + 1], axis=0)
    again = np.concatenate([means[n : n + 1], means[n + 1 :], means[:1]])
    here = again[:-1] - again[1:]
    found = np.empty_like(there)
    found[order] = (there + here) / 2
    return found


def _means(
    function: Function,
    row: NDArray[np.float64],
    background: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
    present: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the mean over the background for each coalition, (n_coalitions, n_outputs)."""
    import numpy as np

    features = np.zeros((len(present), len(row)), dtype=bool)
    for place, group in enumerate(groups):
        features[:, list(group)] = present[:, place, None]
    at_once = max(1, _AT_ONCE // len(background))
    parts = []
    for start in range(0, len(features), at_once):
        chosen = features[start : start + at_once]
        asked = np.where(chosen[:, None], row, background[None]).reshape(-1, len(row))
        parts.append(function(asked).reshape(len(chosen), len(background), -1).mean(axis=1))
    return np.concatenate(parts)
