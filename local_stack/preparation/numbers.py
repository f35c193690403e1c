"""Operations on numbers. A missing number stays missing unless it is filled."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from local_stack.preparation.operations import (
    Bound,
    Operation,
    all_numbers,
    bounded,
    declared,
    finite,
    of_numbers,
    scalar,
    widths,
)
from local_stack.preparation.values import NAN, NUMBERS, Scalar, Values, each, is_missing

if TYPE_CHECKING:
    import numpy as np

MAX_EDGES = 100_000
"""Most edges of bins, and most stored quantiles."""
POWERS = ("yeo-johnson", "box-cox")
OUTPUTS = ("uniform", "normal")
_EDGE = 1e-7
_US_PER_DAY = 86_400_000_000


@declared
@dataclass(frozen=True, slots=True)
class Fill(Operation):
    """Put ``value`` where the value is missing; into moments as ISO 8601."""

    word: ClassVar[str] = "fill"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    value: Scalar

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        scalar(self.value)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        (kind,) = kinds
        if isinstance(self.value, str) == (kind in NUMBERS):
            raise ValueError("a value of another kind")
        if kind == "moment":
            return _fill_moment(datetime.fromisoformat(str(self.value)))
        if kind == "text":
            text = self.value
            return Bound(
                kinds,
                lambda x: text if x is None else x,
                lambda x: ([text if item is None else item for item in x],),
            )
        number = float(self.value)
        return Bound(kinds, lambda x: number if x != x else x, lambda x: (_where_nan(x, number),))


def _where_nan(x: np.ndarray, number: float) -> np.ndarray:
    import numpy as np

    return np.where(np.isnan(x), number, x)


def _fill_moment(moment: datetime) -> Bound:
    if moment.tzinfo is not None:
        raise ValueError("a moment with a time zone")

    def many(x: np.ndarray) -> tuple[Values]:
        import numpy as np

        return (np.where(np.isnat(x), np.datetime64(moment, "us"), x),)

    return Bound(("moment",), lambda x: moment if x is None else x, many)


@declared
@dataclass(frozen=True, slots=True)
class IsMissing(Operation):
    """Return 1 where a value of any kind is missing, else 0."""

    word: ClassVar[str] = "is_missing"
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        (kind,) = kinds
        return of_numbers(
            lambda x: 1.0 if x is None or x != x else 0.0,
            lambda x: (is_missing(kind, x).astype("float64"),),
        )


@declared
@dataclass(frozen=True, slots=True)
class Clip(Operation):
    """Limit a number to [lower, upper]; None is no limit."""

    word: ClassVar[str] = "clip"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    lower: float | None
    upper: float | None

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        finite(*(bound for bound in (self.lower, self.upper) if bound is not None))

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)
        lower = -math.inf if self.lower is None else float(self.lower)
        upper = math.inf if self.upper is None else float(self.upper)

        def many(x: np.ndarray) -> tuple[Values]:
            import numpy as np

            return (np.where(x < lower, lower, np.where(x > upper, upper, x)),)

        return of_numbers(lambda x: lower if x < lower else upper if x > upper else x, many)


@declared
@dataclass(frozen=True, slots=True)
class Scale(Operation):
    """Return (x - centre) / scale."""

    word: ClassVar[str] = "scale"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    centre: float
    scale: float

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        finite(self.centre, self.scale)
        if self.scale == 0:
            raise ValueError("scale")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)
        centre, scale = float(self.centre), float(self.scale)

        def many(x: np.ndarray) -> tuple[Values]:
            import numpy as np

            with np.errstate(over="ignore", invalid="ignore"):
                return ((x - centre) / scale,)

        return of_numbers(lambda x: (x - centre) / scale, many)


@declared
@dataclass(frozen=True, slots=True)
class Power(Operation):
    """Return the Yeo-Johnson or Box-Cox transform of a number.

    What has none (a number that is not positive, for Box-Cox) becomes missing. The formulas are
    those of Yeo and Johnson (2000), and of Box and Cox (1964).
    """

    word: ClassVar[str] = "power"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    method: str
    exponent: float

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        finite(self.exponent)
        if self.method not in POWERS:
            raise ValueError("method")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)
        form = _yeo_johnson if self.method == "yeo-johnson" else _box_cox
        function = _defined(functools.partial(form, float(self.exponent)))
        return of_numbers(function, lambda x: (each(function, x),))


def _defined(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return ``function`` with NaN where it has no finite value."""

    def defined(x: float) -> float:
        try:
            found = function(x)
        except (ValueError, OverflowError):
            return NAN
        return found if math.isfinite(found) else NAN

    return defined


def _yeo_johnson(exponent: float, x: float) -> float:
    if x < 0:
        return -_powered(2.0 - exponent, math.log1p(-x))
    return _powered(exponent, math.log1p(x))


def _box_cox(exponent: float, x: float) -> float:
    return _powered(exponent, math.log(x))


def _powered(exponent: float, logarithm: float) -> float:
    if abs(exponent) < 2.220446049250313e-16:
        return logarithm
    return math.expm1(exponent * logarithm) / exponent


@declared
@dataclass(frozen=True, slots=True)
class Quantile(Operation):
    """Return the share of training values below a number, or the normal score of that share.

    As scikit-learn's ``QuantileTransformer``: linear between the stored ``quantiles``, the mean
    of both sides where a value fills several of them.
    """

    word: ClassVar[str] = "quantile"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    quantiles: tuple[float, ...]
    output: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        finite(*bounded(self.quantiles, MAX_EDGES))
        if not self.quantiles or list(self.quantiles) != sorted(self.quantiles):
            raise ValueError("quantiles")
        if self.output not in OUTPUTS:
            raise ValueError("output")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)
        quantiles = [float(q) for q in self.quantiles]
        is_normal = self.output == "normal"
        slack = _EDGE if is_normal else 0.0

        def row(x: float) -> float:
            if x != x:
                return x
            share = _share(quantiles, x, slack)
            return _normal_score(share) if is_normal else share

        return of_numbers(row, lambda x: (each(row, x),))


def _share(quantiles: list[float], x: float, slack: float) -> float:
    """Return the place of ``x`` among ``quantiles`` in [0, 1]; ends are ``slack`` wide."""
    last = len(quantiles) - 1
    if x <= quantiles[0] or x - slack < quantiles[0] or (last == 0 and not slack):
        return 0.0
    if x >= quantiles[last] or x + slack > quantiles[last]:
        return 1.0
    below, above = bisect_left(quantiles, x), bisect_right(quantiles, x)
    if below < above:  # it is one of the quantiles, or several
        return 0.5 * (below / last + (above - 1) / last)
    low, high = quantiles[below - 1], quantiles[below]
    inside = (x - low) / (high - low)
    return ((below - 1) + inside) / last


@functools.cache
def _normal() -> Any:
    from statistics import NormalDist

    return NormalDist()


def _normal_score(share: float) -> float:
    """Return the quantile of the normal distribution, at most 5.2 (Wichura's AS 241)."""
    if share < _EDGE or share > 1 - _EDGE:
        share = _EDGE if share < 0.5 else 1 - _EDGE
    return float(_normal().inv_cdf(share))


@declared
@dataclass(frozen=True, slots=True)
class Bin(Operation):
    """Return the number of inner ``edges`` at or below a number: its bin, from 0."""

    word: ClassVar[str] = "bin"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    edges: tuple[float, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        finite(*bounded(self.edges, MAX_EDGES))
        if list(self.edges) != sorted(self.edges):
            raise ValueError("edges")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)
        edges = [float(edge) for edge in self.edges]

        def many(x: np.ndarray) -> tuple[Values]:
            import numpy as np

            found = np.searchsorted(np.array(edges), x, side="right").astype(np.float64)
            return (np.where(np.isnan(x), NAN, found),)

        return of_numbers(lambda x: x if x != x else float(bisect_right(edges, x)), many)


@declared
@dataclass(frozen=True, slots=True)
class Ratio(Operation):
    """Return a / b, missing where b is zero or the result is no finite number."""

    word: ClassVar[str] = "ratio"
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 2, 1)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        all_numbers(kinds)

        def row(a: float, b: float) -> float:
            found = a / b if b else NAN
            return found if math.isfinite(found) else NAN

        def many(a: np.ndarray, b: np.ndarray) -> tuple[Values]:
            import numpy as np

            with np.errstate(all="ignore"):
                found = a / b
            return (np.where(np.isfinite(found), found, NAN),)

        return of_numbers(row, many)


@declared
@dataclass(frozen=True, slots=True)
class Difference(Operation):
    """Return a - b: a number, or days between two moments."""

    word: ClassVar[str] = "difference"
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 2, 1)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        if kinds == ("moment", "moment"):
            return of_numbers(_days_between, _all_days_between)
        all_numbers(kinds)

        def row(a: float, b: float) -> float:
            found = a - b
            return found if math.isfinite(found) else NAN

        def many(a: np.ndarray, b: np.ndarray) -> tuple[Values]:
            import numpy as np

            with np.errstate(all="ignore"):
                found = a - b
            return (np.where(np.isfinite(found), found, NAN),)

        return of_numbers(row, many)


def microseconds(later: datetime, earlier: datetime) -> int:
    """Return the exact time from ``earlier`` to ``later``, in microseconds."""
    passed = later - earlier
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _days_between(a: datetime | None, b: datetime | None) -> float:
    if a is None or b is None:
        return NAN
    return float(microseconds(a, b)) / float(_US_PER_DAY)


def _all_days_between(a: np.ndarray, b: np.ndarray) -> tuple[Values]:
    import numpy as np

    absent = np.isnat(a) | np.isnat(b)
    days = (a - b).astype(np.int64).astype(np.float64) / float(_US_PER_DAY)
    return (np.where(absent, NAN, days),)
