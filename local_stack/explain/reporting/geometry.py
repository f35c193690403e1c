"""Where the marks of a chart lie, for PNG and SVG alike; the same values give the same places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PALETTE: Final = (
    "#008bfb",
    "#007df5",
    "#236cea",
    "#625adb",
    "#8443c6",
    "#9c23ad",
    "#bb00a0",
    "#d5008f",
    "#e9007c",
    "#f90067",
    "#ff0051",
)
"""Colours of a feature's value from low to high: shap's red and blue, which its readers know."""

GREY: Final = "#8a8f98"
"""Colour of a point whose feature value has no order, or is missing."""

_BINS: Final = 100


@dataclass(frozen=True, slots=True)
class Span:
    """What an axis shows, from ``low`` to ``high``, which differ."""

    low: float
    high: float

    def place(self, value: float, length: float = 1.0) -> float:
        """Return where a value lies between 0 and ``length``; beyond the ends it lies at one."""
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # no overflow
        return min(max(share, 0.0), 1.0) * length

    @property
    def holds_zero(self) -> bool:
        """Return whether zero lies on the axis."""
        return self.low <= 0 <= self.high


def span_of(values: Sequence[float], *, with_zero: bool = False, margin: float = 0.04) -> Span:
    """Return an axis that shows all finite values, and some room beyond them."""
    held = [value for value in values if math.isfinite(value)]
    if with_zero:
        held.append(0.0)
    if not held:
        return Span(0.0, 1.0)
    low, high = max(min(held), -1e300), min(max(held), 1e300)
    room = (high / 2 - low / 2) * 2 * margin
    if low + room == low or high - room == high:  # one value, as far as numbers can tell
        room = abs(high) * 0.1 or 1.0
        return Span(low - room, high + room)
    return Span(
        low if with_zero and low == 0 else low - room,
        high if with_zero and high == 0 else high + room,
    )


def ticks(span: Span, n: int = 5) -> tuple[float, ...]:
    """Return at most ``n + 1`` round numbers on an axis: 1, 2 or 5 times a power of ten apart."""
    rough = span.high / n - span.low / n
    if not math.isfinite(rough) or rough < 1e-300:
        return ()
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((it * power for it in (1, 2, 5) if it * power >= rough * (1 - 1e-9)), 10 * power)
    first, last = math.ceil(span.low / step - 1e-9), math.floor(span.high / step + 1e-9)
    if last - first > 2 * n or max(abs(first), abs(last)) > 1e12:
        return ()  # beyond what the digits of a float64 can tell apart
    digits = max(0, 1 - math.floor(math.log10(step)))
    return tuple(round(place * step, min(digits, 300)) + 0.0 for place in range(first, last + 1))


def thinned(values: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the places of at most ``most`` values that have the same distribution and ends.

    They are evenly spread over the ranks, and told in the order of the rows.
    """
    import numpy as np

    if len(values) <= most:
        return np.arange(len(values), dtype=np.int64)
    ranked = np.argsort(values, kind="stable")
    ranks = np.round(np.linspace(0, len(values) - 1, most)).astype(np.int64)
    return np.asarray(np.sort(ranked[ranks]), dtype=np.int64)


def swarm(values: NDArray[np.float64], span: Span) -> NDArray[np.float64]:
    """Return how far points lie beside their line, in [-1, 1], so that they do not hide another.

    Values of one hundredth of the axis are stacked to both sides of the line, as shap's beeswarm
    has it; the fullest stack reaches the ends.
    """
    import numpy as np

    width = (span.high - span.low) or 1.0
    bins = np.round(_BINS * (values - span.low) / width).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    ordered = bins[order]
    first = np.searchsorted(ordered, ordered, side="left")
    layer = np.arange(len(values)) - first
    beside = np.empty(len(values))
    beside[order] = np.ceil(layer / 2) * np.where(layer % 2, 1, -1)
    highest = np.abs(beside).max(initial=0.0)
    return np.asarray(beside / max(highest, 4.0))


def shades(scaled: Sequence[float | None]) -> list[int]:
    """Return the place in :data:`PALETTE` of values scaled to [0, 1]; -1 for none."""
    last = len(PALETTE) - 1
    return [
        -1 if value is None or math.isnan(value) else round(min(max(value, 0.0), 1.0) * last)
        for value in scaled
    ]


def jitter(n: int) -> NDArray[np.float64]:
    """Return ``n`` offsets in [-1, 1] that fill the width evenly: steps of the golden ratio."""
    import numpy as np

    return np.asarray(2 * ((np.arange(n) * 0.6180339887498949) % 1.0) - 1)
