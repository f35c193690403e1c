"""Progress as a plain callable: the engine tells, the host decides what to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One tick of work. ``done`` and ``total`` count the same unit; ``total`` 0 means unknown.

    ``figures`` are numbers found so far, such as ``{"fold": 2, "rmse": 0.71}``. Steps may be left
    out when they come fast, but never the first under a label (and a job keeps the last one).
    """

    label: str
    done: int = 0
    total: int = 0
    figures: Mapping[str, float] | None = None

    @property
    def fraction(self) -> float | None:
        """Return the share done in [0, 1], or None when the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None


Progress = Callable[[Step], None]
"""A host's callable. It may raise :class:`local_stack.errors.Cancelled` to stop the work."""


def silent(step: Step) -> None:
    """Ignore the step: the host of notebooks and tests."""
