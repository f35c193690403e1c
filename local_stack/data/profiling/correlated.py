"""Numbers to correlate: distances from the mean and ranks, for any rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from local_stack.data.profiling.tallies import Tally, scaled, summing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


class Number:
    """A number to correlate: its distances from the mean and its ranks, for any rows."""

    def __init__(self, counted: Tally) -> None:
        import numpy as np

        self.tally = counted
        self.codes = counted.codes
        self.n = counted.n
        self.is_holed = self.n < self.codes.size
        self._values = scaled(counted.values, counted.values[[0, -1]])[0]
        total = summing(counted)
        self._mean = total(self._values) / self.n
        distances = self._values - self._mean
        self._rest = total(distances) / self.n  # what rounding left of the mean
        distances -= self._rest
        np.multiply(distances, distances, out=distances)
        self._length = math.sqrt(total(distances))
        self._ranks = None if counted.is_unique else counted.ends - (counted.counts - 1) / 2
        counted.forget()

    def distances(self, codes: NDArray[np.int32], out: Floats) -> Floats:
        """Put the distances of rows from the mean, all rows' being of unit length; or 0."""
        self._values.take(codes, mode="clip", out=out)
        out -= self._mean
        out -= self._rest
        out *= 1 / self._length
        if self.is_holed:
            out[codes < 0] = 0.0
        return out

    def ranks(self, codes: NDArray[np.int32], out: Floats) -> Floats:
        """Put the ranks of rows from the mean rank, equal values sharing theirs; or 0."""
        import numpy as np

        middle = (self.n + 1) / 2
        if self._ranks is None:
            np.add(codes, 1 - middle, out=out)
        else:
            self._ranks.take(codes, mode="clip", out=out)
            out -= middle
        if self.is_holed:
            out[codes < 0] = 0.0
        return out


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers to correlate; ``holed`` are the places of those that miss values."""

    names: tuple[str, ...]
    columns: list[Number]
    holed: list[int]

    @property
    def n_rows(self) -> int:
        """Return the number of rows of the table."""
        return self.columns[0].codes.size if self.columns else 0
