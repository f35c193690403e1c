"""The arithmetic of a comparison: means, how they move, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation.resampling import FEWEST_ROWS, counts_of, interval
from local_stack.explain.contrasting.parts import ValueShift
from local_stack.explain.deciding.reasons import plain_name, signed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

RESAMPLES: Final = 1_000
LEVEL: Final = 0.95
MOST_VALUES: Final = 12
"""Values that a column is divided into: each one where there are so few, else tenths."""


@dataclass(frozen=True)
class Resampled:
    """Intervals of differences and of ranks; each low and high, (n_columns,), NaN where unknown.

    ``outcomes`` belong to the columns of the outcomes, (n_outcomes, 2).
    """

    differences: Array
    outcomes: Array
    ranks: Array


def resampled(
    values: tuple[Array, Array], outcomes: tuple[Array, Array], *, is_paired: bool
) -> Resampled:
    """Return percentile intervals over 1,000 bootstrap resamples of the rows.

    Parameters
    ----------
    values
        SHAP values of A and B, (n_rows, n_columns).
    outcomes
        What the model says of the rows, (n_rows, n_outcomes).
    is_paired
        Both sides are the same rows, so that they are drawn together. Otherwise each side is drawn
        in halves by two seeds, the other way around for the other side: that way swapped sides
        have the same intervals with the other sign.
    """
    import numpy as np

    n_columns, n_outcomes = values[0].shape[1], outcomes[0].shape[1]
    if min(len(values[0]), len(values[1])) < FEWEST_ROWS:
        unknown = np.full((n_columns, 2), np.nan)
        return Resampled(unknown, np.full((n_outcomes, 2), np.nan), unknown)
    seeds = ((0,), (0,)) if is_paired else ((0, 1), (1, 0))
    means = [
        _resampled_means(np.hstack([it, np.abs(it), outcome]), own)
        for it, outcome, own in zip(values, outcomes, seeds, strict=True)
    ]
    moved = means[1] - means[0]
    sizes = slice(n_columns, 2 * n_columns)
    ranks = ranked(means[1][:, sizes]) - ranked(means[0][:, sizes])
    return Resampled(
        _intervals(moved[:, :n_columns]),
        _intervals(moved[:, 2 * n_columns :]),
        _intervals(ranks.astype(np.float64)),
    )


def ranked(importance: Array) -> Codes:
    """Return ranks along the last axis, 1 for the largest; equal ones in their order."""
    import numpy as np

    order = np.argsort(-importance, axis=-1, kind="stable")
    return np.asarray(np.argsort(order, axis=-1, kind="stable") + 1, dtype=np.int64)


def coded(a: Any, b: Any) -> tuple[list[str], Codes, Codes]:
    """Return the values that a column is divided into, and which one each row of A and B has.

    Numbers and times with more than :data:`MOST_VALUES` different ones are divided at the tenths
    of both sides together, texts into the most frequent ones and the others; what is missing
    stands apart.
    """
    import numpy as np

    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype.kind in "fM":
        return _coded_numbers(np.concatenate([a, b]), len(a))
    return _coded_texts([*a, *b], len(a))


def divided(
    values: tuple[Array, Array], codes: tuple[Codes, Codes], names: Sequence[str]
) -> tuple[float, float, tuple[ValueShift, ...]]:
    """Return how the difference of two means divides into moved values and the rest.

    The shares w and the mean SHAP values s of the values of a column give the means as sums of
    w * s. Their difference is the sum of (w_B - w_A) * (s_A + s_B) / 2 plus that of
    (s_B - s_A) * (w_A + w_B) / 2 (Kitagawa 1955); where one side has no row of a value, s is that
    of the other side.

    Parameters
    ----------
    values
        SHAP values of one column in A and B, (n_rows,).
    codes
        Places in ``names``, (n_rows,).
    """
    import numpy as np

    shares, means = [], []
    for value, code in zip(values, codes, strict=True):
        n = np.bincount(code, minlength=len(names)).astype(np.float64)
        sums = np.bincount(code, value, minlength=len(names))
        shares.append(n / len(value))
        means.append(np.divide(sums, n, out=np.full(len(names), np.nan), where=n > 0))
    filled = [np.where(np.isnan(means[i]), means[1 - i], means[i]) for i in (0, 1)]
    is_seen = ~np.isnan(filled[0])
    middle = np.where(is_seen, (filled[0] + filled[1]) / 2, 0.0)
    share = (shares[0] + shares[1]) / 2
    parts = (shares[1] - shares[0]) * (middle - share @ middle)
    rest = float(share @ np.where(is_seen, filled[1] - filled[0], 0.0))
    shifts = [
        ValueShift(
            value=name,
            share_a=float(shares[0][place]),
            share_b=float(shares[1][place]),
            shap_a=_known(means[0][place]),
            shap_b=_known(means[1][place]),
            moved=float(parts[place]),
        )
        for place, name in enumerate(names)
        if is_seen[place]
    ]
    shifts.sort(key=lambda it: (-abs(it.moved), it.value))
    return float(parts.sum()), rest, tuple(shifts)


def correlation(a: Array, b: Array) -> float | None:
    """Return Pearson's correlation of two columns, (n_rows,); None where one is constant."""
    import numpy as np

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    first, second = a - a.mean(), b - b.mean()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _resampled_means(columns: Array, seeds: Sequence[int]) -> Array:
    """Return the mean of each column in each resample, (n_resamples, n_columns)."""
    import numpy as np

    n_rows, n_each = len(columns), RESAMPLES // len(seeds)
    drawn = (counts for seed in seeds for counts in counts_of(n_rows, n_each, seed))
    return np.concatenate([counts @ columns / n_rows for counts in drawn])


def _intervals(samples: Array) -> Array:
    import numpy as np

    found = [interval(samples[:, place], LEVEL) for place in range(samples.shape[1])]
    return np.array([it or (np.nan, np.nan) for it in found]).reshape(len(found), 2)


def _coded_numbers(values: NDArray[Any], n_a: int) -> tuple[list[str], Codes, Codes]:
    import numpy as np

    is_missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    known = np.unique(values[~is_missing])
    if len(known) <= MOST_VALUES:
        names = [_word(it) for it in known]
        codes = np.searchsorted(known, values)
    else:
        whole = np.sort(values[~is_missing])
        places = np.arange(1, 10) * len(whole) // 10
        cuts = np.unique(whole[places])  # of the data, so that times need no arithmetic
        cuts = cuts[cuts > known[0]]
        codes = np.searchsorted(cuts, values, side="right")
        names = []
        for place in range(len(cuts) + 1):
            inside = known[np.searchsorted(cuts, known, side="right") == place]
            names.append(_span(inside[0], inside[-1]))
    codes = np.where(is_missing, len(names), codes).astype(np.int64)
    return [*names, "missing"], codes[:n_a], codes[n_a:]


def _coded_texts(values: list[Any], n_a: int) -> tuple[list[str], Codes, Codes]:
    from collections import Counter

    import numpy as np

    counts = Counter(it for it in values if it is not None)
    order = sorted(counts, key=lambda it: (-counts[it], str(it)))
    kept = order if len(order) <= MOST_VALUES else order[: MOST_VALUES - 1]
    places = {it: place for place, it in enumerate(kept)}
    names = [f"'{plain_name(str(it))}'" for it in kept]
    codes = np.array(
        [len(names) + 1 if it is None else places.get(it, len(names)) for it in values],
        dtype=np.int64,
    )
    return [*names, "the other values", "missing"], codes[:n_a], codes[n_a:]


def _span(low: Any, high: Any) -> str:
    return _word(low) if low == high else f"{_word(low)} to {_word(high)}"


def _word(value: Any) -> str:
    """Return a number or a time as a sentence can hold it."""
    import numpy as np

    if isinstance(value, np.datetime64):
        day = str(value.astype("datetime64[D]"))
        is_day = value == value.astype("datetime64[D]")
        return day if is_day else str(value.astype("datetime64[s]"))
    number = float(value)
    return signed(number) if number.is_integer() else f"{number:.4g}"
