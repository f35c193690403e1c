"""Queues: which rows somebody is to see, in which order, and which comes next.

A place in a queue is stored nowhere: it follows from the answers, so that whoever comes back,
on whatever machine, goes on where they left off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.data.labelling.records import Numbers

Order = Literal["given", "random"]


@dataclass(frozen=True, slots=True)
class Place(Result):
    """A row in a queue. ``place`` counts from 1 (None: the row is no part of the queue)."""

    row: int
    place: int | None
    previous: int | None
    following: int | None


class Queue:
    """Rows in an order, which of them belong to the queue now, and which are still open.

    Parameters
    ----------
    n_rows
        Rows of the version.
    rows
        The rows to go through, in the order in which they were given; None for all.
    only
        Rows that belong to the queue now, such as those in conflict; None for all.
    done
        Rows that need no answer any more.
    order
        ``given`` (that of ``rows``, or of the version) or ``random``.
    seed
        Of the random order; the same seed gives everybody the same order.
    """

    def __init__(
        self,
        n_rows: int,
        rows: Numbers | None,
        only: Numbers | None,
        done: Sequence[int],
        *,
        order: Order = "given",
        seed: int = 0,
    ) -> None:
        import numpy as np

        self._rows = np.arange(n_rows) if rows is None else rows
        if order == "random":
            self._rows = self._rows[_permutation(len(self._rows), seed)]
        self._is_member = _mask(n_rows, only, default=True)[self._rows]
        self._is_open = self._is_member & ~_mask(n_rows, done, default=False)[self._rows]

    @property
    def n_rows(self) -> int:
        """Return how many rows the queue has."""
        return int(self._is_member.sum())

    @property
    def n_left(self) -> int:
        """Return how many of them are still to be done."""
        return int(self._is_open.sum())

    def after(self, row: int | None) -> int | None:
        """Return the next open row after ``row``, then from the beginning; None when all is done.

        None begins at the beginning.
        """
        import numpy as np

        places = np.flatnonzero(self._is_open)
        if not len(places):
            return None
        at = -1 if row is None else self._place(row)
        later = int(np.searchsorted(places, at, side="right"))
        return int(self._rows[places[later % len(places)]])

    def place(self, row: int) -> Place:
        """Return where a row stands, and its neighbours, whether done or not."""
        import numpy as np

        places, at = np.flatnonzero(self._is_member), self._place(row)
        before = int(np.searchsorted(places, at))
        is_member = before < len(places) and at == places[before]
        later = before + is_member
        return Place(
            row=row,
            place=before + 1 if is_member else None,
            previous=int(self._rows[places[before - 1]]) if before > 0 else None,
            following=int(self._rows[places[later]]) if later < len(places) else None,
        )

    def _place(self, row: int) -> int:
        import numpy as np

        found = np.flatnonzero(self._rows == row)
        return int(found[0]) if len(found) else -1


def _mask(n_rows: int, rows: Numbers | Sequence[int] | None, *, default: bool) -> NDArray[np.bool_]:
    import numpy as np

    if rows is None:
        return np.full(n_rows, default)
    found = np.zeros(n_rows, dtype=bool)
    found[np.asarray(rows, dtype=np.int64)] = True
    return found


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int) -> Numbers:
    import numpy as np

    return np.random.default_rng(seed).permutation(n)
