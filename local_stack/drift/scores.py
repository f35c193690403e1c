"""Two-sample scores, equal to scipy's and to Evidently 0.7.23's for the same values.

Numbers come as a :class:`NumericPair`, sorted once for all scores; categories come as two
arrays of counts over the same keys. Logarithms are natural. Evidently is the reference, not a
dependency: where a function says "as Evidently", the recipe is that of
``evidently.legacy.calculations.stattests``.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_EXACT = 10_000
"""Up to this many values on each side the Kolmogorov-Smirnov p-value is exact (as scipy)."""

FEW_VALUES = 20
"""A reference with no more distinct values than this is scored value by value, not in bins."""

LEAST_SCALE = 0.001
"""A reference narrower than this does not blow the normed Wasserstein distance up further."""

_SAFE_BITS = 500  # |x| below 2**500 has a finite square


@dataclass(frozen=True, slots=True)
class Significance:
    """A statistic and the probability of one at least as large without drift."""

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class NumericPair:
    """Two samples of finite numbers, sorted, and their distribution over common values.

    ``values`` are the distinct values of both in rising order; ``reference_upto`` and
    ``current_upto`` count the numbers of each sample up to and including each value. All are
    divided by ``2**exponent``, which is 0 unless squares would overflow.
    """

    reference: NDArray[Any]
    current: NDArray[Any]
    values: NDArray[Any]
    reference_upto: NDArray[np.int64]
    current_upto: NDArray[np.int64]
    exponent: int

    @classmethod
    def of(cls, reference: NDArray[Any], current: NDArray[Any]) -> NumericPair:
        """Sort two non-empty samples without NaN or infinity."""
        import numpy as np

        first, second, exponent = _in_safe_range(np.sort(reference), np.sort(current))
        both = np.concatenate((first, second))
        order = np.argsort(both, kind="stable")  # two runs that are in order only need merging
        both = both[order]
        ends = np.flatnonzero(np.append(both[1:] != both[:-1], True))
        reference_upto = np.cumsum(order < first.size, dtype=np.int64)[ends]
        return cls(first, second, both[ends], reference_upto, ends + 1 - reference_upto, exponent)

    @property
    def shares_upto(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both empirical distribution functions at ``values``."""
        return (
            self.reference_upto / self.reference.size,
            self.current_upto / self.current.size,
        )

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how often each of ``values`` occurs on either side."""
        import numpy as np

        return np.diff(self.reference_upto, prepend=0), np.diff(self.current_upto, prepend=0)

    def binned(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return counts in the bins of Evidently's ``get_binned_data``.

        Sturges' bins over both samples; value by value when the reference has at most
        ``FEW_VALUES`` distinct ones.
        """
        import numpy as np

        reference, current = self.counts()
        if int((reference > 0).sum()) <= FEW_VALUES:
            return reference, current
        return self.between(_sturges(np.concatenate((self.reference, self.current))))

    def between(self, edges: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return counts between edges; the last bin holds its right edge (as NumPy)."""
        return _counts_between(self.reference, edges), _counts_between(self.current, edges)


def _in_safe_range(
    reference: NDArray[Any], current: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], int]:
    import numpy as np

    largest = max(abs(float(sample[place])) for sample in (reference, current) for place in (0, -1))
    exponent = math.frexp(largest)[1]
    if exponent <= _SAFE_BITS:
        return reference, current, 0
    return np.ldexp(reference, -exponent), np.ldexp(current, -exponent), exponent


def _sturges(values: NDArray[Any]) -> NDArray[Any]:
    """Return Sturges' bin edges; a span that floats cannot divide is one bin."""
    import numpy as np

    try:
        return np.histogram_bin_edges(values, bins="sturges")
    except ValueError:  # "too many bins": neighbouring floats
        return np.array([values.min(), values.max()])


def _counts_between(ordered: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    places = np.searchsorted(ordered, edges, side="left")
    places[-1] = np.searchsorted(ordered, edges[-1], side="right")
    return np.diff(places)


def ks(pair: NumericPair) -> Significance:
    """Two-sided two-sample Kolmogorov-Smirnov test, as ``scipy.stats.ks_2samp``.

    The p-value is exact up to ``MAX_EXACT`` values (Hodges 1958) and asymptotic above.
    """
    import numpy as np
    from scipy import stats

    n, m = pair.reference.size, pair.current.size
    if max(n, m) <= MAX_EXACT:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns when it falls back to the asymptote
            found = stats.ks_2samp(pair.reference, pair.current)
        return Significance(float(found.statistic), float(found.pvalue))
    reference, current = pair.shares_upto
    statistic = float(np.abs(reference - current).max())
    p_value = float(stats.kstwo.sf(statistic, np.round(n * m / (n + m))))
    return Significance(statistic, min(1.0, max(0.0, p_value)))


def wasserstein(pair: NumericPair) -> float:
    """First Wasserstein distance in the unit of the values, as ``scipy.stats``.

    The area between both distribution functions (Ramdas et al. 2017).
    """
    return _unscaled(_area(pair), pair.exponent)


def wasserstein_normed(pair: NumericPair) -> float:
    """Wasserstein distance over the reference's standard deviation (n below the line).

    As Evidently: the divisor is at least ``LEAST_SCALE``.
    """
    scale = max(float(pair.reference.std()), math.ldexp(LEAST_SCALE, -pair.exponent))
    return min(_area(pair) / scale, sys.float_info.max)


def _area(pair: NumericPair) -> float:
    import numpy as np

    reference, current = pair.shares_upto
    widths = np.diff(pair.values.astype(np.float64))
    return float((np.abs(reference - current)[:-1] * widths).sum())


def _unscaled(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return sys.float_info.max


def psi(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Return the population stability index of counts over the same bins, as Evidently.

    Empty bins count as a small share (see :func:`filled_shares`).
    """
    import numpy as np

    p, q = filled_shares(reference), filled_shares(current)
    return float(((p - q) * np.log(p / q)).sum())


def kl_divergence(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Kullback-Leibler divergence of the reference from the current counts, as Evidently."""
    import numpy as np

    p, q = filled_shares(reference), filled_shares(current)
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float((p * np.log(p / q)).sum()))


def filled_shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return shares in which an empty bin holds 0.0001, or a millionth of the smallest share.

    The latter when that share is itself 0.0001 or less (Evidently's ``feel_zeroes``).
    """
    import numpy as np

    shares = counts / counts.sum()
    least = float(shares[shares > 0].min())
    return np.where(shares > 0, shares, least / 10**6 if least <= 0.0001 else 0.0001)


def jensen_shannon(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Jensen-Shannon distance of counts: the root of the divergence, base e, as scipy."""
    import numpy as np
    from scipy.special import rel_entr

    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = float(np.sum(rel_entr(p, middle)) + np.sum(rel_entr(q, middle))) / 2
    return math.sqrt(max(0.0, divergence))


def hellinger(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Hellinger distance of counts over the same keys or bins, in [0, 1], as Evidently."""
    import numpy as np

    p, q = reference / reference.sum(), current / current.sum()
    return math.sqrt(1.0 - min(1.0, float(np.sqrt(p * q).sum())))


def hellinger_numeric(pair: NumericPair) -> float:
    """Hellinger distance in Sturges' bins over the distinct values, as Evidently."""
    return hellinger(*pair.between(_sturges(pair.values)))


def total_variation(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Total variation distance of counts: half the sum of differences of shares, in [0, 1]."""
    import numpy as np

    return float(np.abs(reference / reference.sum() - current / current.sum()).sum()) / 2


def chi_square(reference: NDArray[Any], current: NDArray[Any]) -> Significance:
    """Pearson's chi-square of the current counts against the reference's shares, as Evidently.

    The reference is taken as the true distribution: a category that it lacks makes the
    statistic infinite and the p-value 0.
    """
    import numpy as np
    from scipy.special import chdtrc

    held = (reference > 0) | (current > 0)
    reference, current = reference[held], current[held]
    if reference.size < 2:
        return Significance(0.0, 1.0)
    if (reference == 0).any():
        return Significance(math.inf, 0.0)
    expected = reference * (current.sum() / reference.sum())
    statistic = float(np.sum((current - expected) ** 2 / expected))
    return Significance(statistic, float(chdtrc(reference.size - 1, statistic)))


def two_proportions(reference: NDArray[Any], current: NDArray[Any]) -> Significance:
    """Two-sided z-test that the share of the first of (at most) two keys is the same.

    The shares are pooled, without a continuity correction, as Evidently.
    """
    from scipy.special import ndtr

    n, m = int(reference.sum()), int(current.sum())
    p, q = float(reference[1:].sum()) / n, float(current[1:].sum()) / m
    pooled = (p * n + q * m) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    if variance <= 0:  # one key on both sides
        return Significance(0.0, 1.0)
    statistic = (p - q) / math.sqrt(variance)
    return Significance(statistic, float(2 * ndtr(-abs(statistic))))
