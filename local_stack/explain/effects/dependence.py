"""The values of a column against their SHAP values, coloured by the column that tells most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.effects.parts import CATEGORICAL, Beeswarm, Dependence, Strength
from local_stack.explain.effects.rows import Described, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.attributions import Attributions

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEAST_SHARE: Final = 0.05
"""A column that explains less of the spread gives no colour."""
_FINE_ROWS, _COARSE, _OTHERS, _MOST_FINE = 10, 8, 5, 200
_TOLD: Final = 5


def dependence(
    rows: Rows,
    found: Attributions,
    column: str,
    *,
    most: int,
    colour: str | None = None,
) -> Dependence:
    """Return the dependence plot of a column that has SHAP values.

    Parameters
    ----------
    found
        SHAP values of ``rows`` for a single output.
    most
        Points told, evenly spread over the rows; the colour is chosen by all of them.
    colour
        The column to colour by; None: the one that explains best what the value leaves.
    """
    described = rows.described
    own, shap = described[column], found.values[:, found.columns.index(column), 0]
    weighed = [it for name, it in described.items() if name != column]
    if colour is not None and colour not in described:
        weighed.append(rows.column(colour))
    shares = strengths(own, shap, weighed)
    if colour is not None:
        (chosen,) = [it for it in weighed if it.name == colour]
        why = (
            f"{colour} was asked for; it explains {dict(shares).get(colour, 0.0):.0%} of how the "
            f"SHAP values of rows with about the same {column} differ."
        )
    elif shares and shares[0][1] >= LEAST_SHARE:
        chosen = described[shares[0][0]]
        why = (
            f"{chosen.name} explains {shares[0][1]:.0%} of how the SHAP values of rows with about "
            f"the same {column} differ, more than any other column."
        )
    else:
        chosen = None
        why = (
            f"No other column explains {LEAST_SHARE:.0%} or more of how the SHAP values of rows "
            f"with about the same {column} differ."
        )
    shown = evenly(len(rows), most).tolist()
    return Dependence(
        column=column,
        kind=own.kind,
        values=tuple(own.values[it] for it in shown),
        shap=tuple(shap[shown].tolist()),
        colour=None if chosen is None else chosen.name,
        colour_kind="" if chosen is None else chosen.kind,
        colour_values=() if chosen is None else tuple(chosen.values[it] for it in shown),
        why=why,
        strengths=tuple(Strength(name, share) for name, share in shares[:_TOLD]),
        n_rows=len(shown),
    )


def strengths(own: Described, shap: Array, others: Sequence[Described]) -> list[tuple[str, float]]:
    """Return what share of the spread each other column explains, the largest first.

    The spread is what the mean SHAP value of about the same value of the column leaves: an
    interaction. A column explains what the means of its bins leave less of within coarse bins of
    the value; each row is predicted without itself, so that noise explains nothing. Bins hold the
    missing values and the rare categories apart.
    """
    import numpy as np

    fine = own.bins(min(_MOST_FINE, max(1, len(shap) // _FINE_ROWS)))
    rest = shap - _means(fine, shap)[fine]
    whole = float(rest @ rest)
    if len(shap) < 2 * _FINE_ROWS or whole <= 1e-24 * max(1.0, float(shap @ shap)):
        return []
    coarse = own.bins(_COARSE)
    found = []
    for other in others:
        groups = other.bins(_OTHERS)
        cells = coarse * (groups.max() + 1) + groups
        counts = np.bincount(cells)[cells]
        left = np.where(
            counts > 1,
            (rest - _means(cells, rest)[cells]) * counts / np.maximum(counts - 1, 1),
            rest,
        )
        found.append((other.name, max(0.0, 1 - float(left @ left) / whole)))
    return sorted(found, key=lambda it: (-it[1], it[0]))


def _means(groups: Codes, values: Array) -> Array:
    import numpy as np

    counts = np.bincount(groups)
    return np.asarray(np.bincount(groups, values) / np.maximum(counts, 1))


def beeswarm(rows: Rows, found: Attributions, columns: Sequence[str], *, most: int) -> Beeswarm:
    """Return the beeswarm of columns, given in the order of their importance.

    Parameters
    ----------
    found
        SHAP values of ``rows`` for a single output.
    most
        Rows told, evenly spread.
    """
    shown = evenly(len(rows), most)
    places = [found.columns.index(name) for name in columns]
    return Beeswarm(
        columns=tuple(columns),
        shap=tuple(tuple(found.values[shown, place, 0].tolist()) for place in places),
        scaled=tuple(_scaled(rows.described[name], shown) for name in columns),
        n_rows=len(shown),
    )


def _scaled(column: Described, shown: Codes) -> tuple[float | None, ...]:
    """Return values between 0 (5th percentile) and 1 (95th), None for missing and categories."""
    import numpy as np

    numbers = column.numbers
    known = numbers[~np.isnan(numbers)]
    if column.kind == CATEGORICAL or not known.size:
        return (None,) * len(shown)
    low, high = np.quantile(known, [0.05, 0.95])
    if low == high:
        low, high = known.min(), known.max()
    width = high - low or 1.0
    scaled = np.clip((numbers[shown] - low) / width, 0, 1)
    return tuple(None if it != it else it for it in scaled.tolist())
