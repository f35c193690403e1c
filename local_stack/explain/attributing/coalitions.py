"""Shapley values of a function of a sum, where its terms are the players.

A function with steps turns on which terms come together: the way from the base to a row, which
smooth functions are divided along, would give a small term all of a step. Here no value exceeds
what the function can move.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Function = Callable[[Array], Array]

MOST_ENUMERATED: Final = 12
"""With more terms than this, orders are drawn: every coalition would be too many."""
ORDERS: Final = 64
"""Each of them is walked forth and back; they are the same for every row."""
_AT_ONCE: Final = 1_000_000
"""Most sums that the function is asked for at a time."""


def values_of_sum(
    function: Function, base: float, terms: Array, ends: Array
) -> tuple[Array, Array | None]:
    """Return Shapley values (n_rows, n_terms) and their standard errors; None: they are exact.

    The values of a row add up to its end minus ``function(base)``, and have the same bits however
    many rows there are.

    Parameters
    ----------
    function
        Of each number of an array, in the same shape.
    terms
        What each player adds to the base, (n_rows, n_terms).
    ends
        The function of base and all terms, (n_rows,): exactly, where the sum is not.
    """
    import numpy as np

    n_rows, n_terms = terms.shape
    is_exact = n_terms <= MOST_ENUMERATED
    values, errors = np.empty(terms.shape), np.empty(terms.shape)
    block = max(1, _AT_ONCE // (2**n_terms if is_exact else n_terms + 1))
    for start in range(0, n_rows, block):
        rows = slice(start, start + block)
        some = np.ascontiguousarray(terms[rows].T)
        if is_exact:
            values[rows] = _enumerated(function, base, some, ends[rows]).T
        else:
            found, error = _walked(function, base, some, ends[rows])
            values[rows], errors[rows] = found.T, error.T
    return values, None if is_exact else errors


def _enumerated(function: Function, base: float, terms: Array, ends: Array) -> Array:
    """Return the values of every coalition's gains, (n_terms, n_rows); so are the terms."""
    import numpy as np

    n, n_rows = terms.shape
    sums = np.full((1, n_rows), base)
    for term in terms:  # a coalition's number has a bit for each of its terms
        sums = np.concatenate([sums, sums + term])
    worth = np.where(sums == sums[-1], ends, function(sums))
    sizes = np.array([place.bit_count() for place in range(2 ** (n - 1))])
    weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])[sizes]
    found = np.empty_like(terms)
    for place in range(n):
        pairs = worth.reshape(2 ** (n - 1 - place), 2, 2**place, n_rows)
        gains = (pairs[:, 1] - pairs[:, 0]).reshape(-1, n_rows) * weights[:, None]
        while len(gains) > 1:  # not sum(), whose order depends on how many rows there are
            half = len(gains) // 2
            gains = gains[:half] + gains[half:]
        found[place] = gains[0]
    return found


def _walked(function: Function, base: float, terms: Array, ends: Array) -> tuple[Array, Array]:
    """Return mean gains along orders and their standard errors, both (n_terms, n_rows)."""
    import numpy as np

    mean, spread = np.zeros_like(terms), np.zeros_like(terms)
    generator = np.random.default_rng(0)
    for number in range(1, ORDERS + 1):
        order = generator.permutation(len(terms))
        forth = _gains(function, base, terms, ends, order)
        back = _gains(function, base, terms, ends, order[::-1])
        missed = (forth + back) / 2 - mean
        mean += missed / number
        spread += missed * ((forth + back) / 2 - mean)
    return mean, np.sqrt(spread / (ORDERS * (ORDERS - 1)))


def _gains(
    function: Function, base: float, terms: Array, ends: Array, order: NDArray[np.int64]
) -> Array:
    import numpy as np

    sums = np.empty((len(terms) + 1, terms.shape[1]))
    sums[0] = base
    for step, place in enumerate(order.tolist()):
        sums[step + 1] = sums[step] + terms[place]
    worth = np.where(sums == sums[-1], ends, function(sums))
    found = np.empty_like(terms)
    found[order] = worth[1:] - worth[:-1]
    return found
