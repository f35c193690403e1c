"""The one notion of a fitted preparation: an operation reads columns and writes columns.

An operation is plain data. Bound to the kinds of the columns it reads, it gives two functions,
of one row and of many, which return the same bits: what IEEE 754 defines exactly is NumPy for
many rows, everything else is the function of one row, called for each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from local_stack.preparation.values import NUMBERS, Scalar, Values

MAX_COLUMNS = 50_000
"""Most columns that one operation writes."""
MAX_KEYS = 200_000
"""Most categories or groups that one operation knows."""
OPERATIONS: dict[str, type[Operation]] = {}
"""Every kind of operation by its word in the stored form."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An operation on columns of known kinds.

    ``row`` takes the values read and returns the value written, or a tuple of them when several
    are; ``many`` takes columns and returns the columns written.
    """

    kinds: tuple[str, ...]
    row: Callable[..., Any]
    many: Callable[..., Sequence[Values]]


class Operation:
    """Base of the frozen dataclasses that are operations; ``reads`` and ``writes`` are names."""

    __slots__ = ()
    word: ClassVar[str]
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """Return the functions on columns of ``kinds``.

        Raises
        ------
        ValueError
            It cannot work on such columns.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise ``ValueError`` or ``TypeError`` when a member is not what it must be."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :func:`read_operation` is the inverse."""
        members = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"op": self.word, **{name: _lists(value) for name, value in members.items()}}


def declared(kind: type[Any]) -> type[Any]:
    """Enter a class of operations into the table of the stored form."""
    OPERATIONS[kind.word] = kind
    return kind


def read_operation(item: Any) -> Operation:
    """Return the operation of :meth:`Operation.to_dict`'s values, checked.

    Raises
    ------
    ValueError, TypeError, KeyError
        Something is missing, extra, of the wrong type or over a bound.
    """
    kind = OPERATIONS[item["op"]]
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if set(item) != {"op", *names}:
        raise ValueError("members of an operation")
    operation = kind(**{name: _tuples(item[name]) for name in names})
    for side in (operation.reads, operation.writes):
        if not 1 <= len(texts(side)) <= MAX_COLUMNS:
            raise ValueError("columns of an operation")
    if len(set(operation.writes)) != len(operation.writes):
        raise ValueError("a column is written twice")
    operation.check()
    return operation


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


# ------------------------------------------------------------------ checks of members


def texts(value: Any) -> tuple[str, ...]:
    """Return a tuple of texts, or raise."""
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError("not a list of texts")
    return value


def finite(*values: Any) -> None:
    """Raise unless every value is a finite number."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("not a number")
        if not math.isfinite(value):
            raise ValueError("not finite")


def truth(value: Any) -> None:
    """Raise unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise TypeError("not true or false")


def whole(value: Any, low: int, high: int) -> None:
    """Raise unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError("not a whole number in its bounds")


def scalar(value: Any) -> Scalar:
    """Return a text, truth value or finite number, or raise."""
    if not isinstance(value, str | int | float) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise TypeError("not a scalar")
    return value


def bounded(value: Any, limit: int) -> tuple[Any, ...]:
    """Return a tuple of at most ``limit`` members, or raise."""
    if not isinstance(value, tuple) or len(value) > limit:
        raise ValueError("not a list in its bounds")
    return value


def widths(operation: Operation, n_reads: int, n_writes: int) -> None:
    """Raise unless an operation reads and writes so many columns."""
    if (len(operation.reads), len(operation.writes)) != (n_reads, n_writes):
        raise ValueError("number of columns")


def all_numbers(kinds: tuple[str, ...]) -> None:
    """Raise unless every kind is one of numbers."""
    if any(kind not in NUMBERS for kind in kinds):
        raise ValueError("not a number")


# ------------------------------------------------------------------ the plainest operation


@declared
@dataclass(frozen=True, slots=True)
class Same(Operation):
    """Give a column another name; the compiled form spends no time on it."""

    word: ClassVar[str] = "same"
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        return Bound(kinds, lambda x: x, lambda x: (x,))


def of_numbers(
    row: Callable[..., Any], many: Callable[..., Sequence[Values]], n_writes: int = 1
) -> Bound:
    """Return functions that give numbers."""
    return Bound(("number",) * n_writes, row, many)
