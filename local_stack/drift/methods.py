"""The drift methods, by Evidently's names, and the choice between them that Evidently makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.drift import scores
from local_stack.drift.scores import NumericPair
from local_stack.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

N_SMALL = 1000
"""Up to this many reference values Evidently tests; above, it measures a distance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A score, and for a test its p-value (the score) and statistic."""

    score: float
    p_value: float | None = None
    statistic: float | None = None

    @classmethod
    def of(cls, test: scores.Significance) -> Outcome:
        """Return the outcome of a test."""
        return cls(test.p_value, test.p_value, test.statistic)


@dataclass(frozen=True, slots=True)
class Method:
    """A way to score a column; ``numeric``, ``categorical`` are None where it does not apply.

    ``max_numbers`` and ``max_categories`` are how many distinct ones it makes sense for.
    """

    name: str
    is_test: bool
    numeric: Callable[[NumericPair], Outcome] | None
    categorical: Callable[[Counts, Counts], Outcome] | None
    max_numbers: int | None = None
    max_categories: int | None = None
    drifts_at_threshold: bool = True

    def applies(self, is_numeric: bool, n_values: int) -> bool:
        """Return whether a column of so many distinct values can be scored."""
        way = self.numeric if is_numeric else self.categorical
        most = self.max_numbers if is_numeric else self.max_categories
        return way is not None and (most is None or n_values <= most)

    def is_drift(self, score: float, threshold: float) -> bool:
        """Return the verdict, which on the threshold itself is Evidently's."""
        if score == threshold:
            return self.drifts_at_threshold
        return score < threshold if self.is_test else score > threshold


def _distance(name: str, measure: Callable[[Counts, Counts], float]) -> Method:
    """Return a distance that takes counts of bins or of categories."""
    return Method(
        name,
        False,
        lambda pair: Outcome(measure(*pair.binned())),
        lambda reference, current: Outcome(measure(reference, current)),
    )


def _count_test(
    name: str,
    test: Callable[[Counts, Counts], scores.Significance],
    most: int,
    most_categories: int | None,
) -> Method:
    """Return a test of counts, of categories or of numbers with few distinct values."""
    return Method(
        name,
        True,
        lambda pair: Outcome.of(test(*pair.counts())),
        lambda reference, current: Outcome.of(test(reference, current)),
        max_numbers=most,
        max_categories=most_categories,
        drifts_at_threshold=False,
    )


_ALL = (
    Method("ks", True, lambda pair: Outcome.of(scores.ks(pair)), None),
    Method("wasserstein", False, lambda pair: Outcome(scores.wasserstein_normed(pair)), None),
    _distance("psi", scores.psi),
    _distance("jensenshannon", scores.jensen_shannon),
    _distance("kl_div", scores.kl_divergence),
    Method(
        "hellinger",
        False,
        lambda pair: Outcome(scores.hellinger_numeric(pair)),
        lambda reference, current: Outcome(scores.hellinger(reference, current)),
    ),
    Method(
        "tvd",
        False,
        None,
        lambda reference, current: Outcome(scores.total_variation(reference, current)),
    ),
    _count_test("chisquare", scores.chi_square, scores.FEW_VALUES, None),
    _count_test("z", scores.two_proportions, 2, 2),
)
METHODS = {method.name: method for method in _ALL}
"""Every method by Evidently's name for it. ``tvd`` is the distance, not its permutation test."""


def automatic(is_numeric: bool, n_reference: int, n_values: int) -> Method:
    """Return what ``_get_default_stattest`` of Evidently 0.7.23 chooses."""
    if n_reference > N_SMALL:
        return METHODS["wasserstein" if is_numeric and n_values > 5 else "jensenshannon"]
    if is_numeric and n_values > 5:
        return METHODS["ks"]
    return METHODS["chisquare" if n_values > 2 else "z"]


def parse(methods: str) -> tuple[Method, ...]:
    """Return the methods named in ``methods``, none for the automatic choice."""
    if methods in ("auto", "evidently"):
        return ()
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names:
        if name not in METHODS:
            raise InputError(
                f"'{name}' is not a drift method.",
                nearest(name, METHODS) or f"One of: auto, {', '.join(METHODS)}.",
            )
    return tuple(METHODS[name] for name in names)
