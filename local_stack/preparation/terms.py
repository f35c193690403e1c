"""The parts of a read expression, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from local_stack.preparation.functions import Function
from local_stack.preparation.values import NAN, NUMBERS, Values, datetimes_of, each, is_missing


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an expression: its kind and its functions of one row and of many.

    ``row`` takes the values of the columns read, ``many`` the columns and the number of rows.
    ``is_constant`` says that ``value`` is all it ever gives.
    """

    kind: str
    row: Callable[[Sequence[Any]], Any]
    many: Callable[[Sequence[Values], int], Any]
    is_constant: bool = False
    value: Any = None


def constant(value: Any) -> Term:
    """Return the term of a value that is written out."""
    kind = {bool: "boolean", float: "number", str: "text"}.get(type(value), "null")
    held = float(value) if isinstance(value, bool) else value

    def many(_: Sequence[Values], n_rows: int) -> Any:
        import numpy as np

        return np.full(n_rows, held) if isinstance(held, float) else [held] * n_rows

    return Term(kind, lambda values: held, many, is_constant=True, value=held)


def applied(function: Function, terms: Sequence[Term]) -> Term:
    """Return the term of a function of terms."""
    rows = [term.row for term in terms]
    call, many_of = function.row, function.many

    def many(columns: Sequence[Values], n_rows: int) -> Any:
        found = [term.many(columns, n_rows) for term in terms]
        if many_of is not None:
            return many_of(*found)
        plain = [
            datetimes_of(c) if t.kind == "moment" else c for c, t in zip(found, terms, strict=True)
        ]
        if function.gives == "text":
            return list(map(call, *plain))
        return each(call, *plain)

    return Term(function.gives, _row_of(call, rows), many)


def _row_of(call: Callable[..., Any], rows: list[Callable[..., Any]]) -> Callable[..., Any]:
    if len(rows) == 1:
        (one,) = rows
        return lambda values: call(one(values))
    if len(rows) == 2:
        left, right = rows
        return lambda values: call(left(values), right(values))
    return lambda values: call(*[row(values) for row in rows])


def _nothing(kind: str) -> Term:
    """Return the term that is always missing."""
    absent = NAN if kind in NUMBERS else None

    def many(_: Sequence[Values], n_rows: int) -> Any:
        import numpy as np

        if kind == "moment":
            return np.full(n_rows, np.datetime64("NaT", "us"))
        return np.full(n_rows, NAN) if kind in NUMBERS else [None] * n_rows

    return Term(kind, lambda values: absent, many)


def chosen(kind: str, arms: Sequence[tuple[Term, Term]], other: Term) -> Term:
    """Return the value of the first arm whose condition is true, else ``other``."""
    filled = [(c, _nothing(kind) if v.kind == "null" else v) for c, v in arms]
    last = _nothing(kind) if other.kind == "null" else other
    calls = [(condition.row, value.row) for condition, value in filled]

    def row(values: Sequence[Any]) -> Any:
        for condition, value in calls:
            if condition(values) == 1.0:
                return value(values)
        return last.row(values)

    def many(columns: Sequence[Values], n_rows: int) -> Any:
        found = last.many(columns, n_rows)
        for condition, value in reversed(filled):
            is_so = condition.many(columns, n_rows) == 1.0
            found = _where(is_so, value.many(columns, n_rows), found)
        return found

    return Term(kind, row, many)


def _where(is_so: Any, values: Any, others: Any) -> Any:
    import numpy as np

    if isinstance(values, list):
        return [v if so else o for so, v, o in zip(is_so.tolist(), values, others, strict=True)]
    return np.where(is_so, values, others)


def first_present(kind: str, terms: Sequence[Term]) -> Term:
    """Return the first of several values that is there."""
    rows = [term.row for term in terms]
    absent = NAN if kind in NUMBERS else None

    def row(values: Sequence[Any]) -> Any:
        for call in rows:
            found = call(values)
            if found is not None and found == found:
                return found
        return absent

    def many(columns: Sequence[Values], n_rows: int) -> Any:
        found = terms[-1].many(columns, n_rows)
        for term in reversed(terms[:-1]):
            values = term.many(columns, n_rows)
            found = _where(~is_missing(kind, values), values, found)
        return found

    return Term(kind, row, many)


def missing(term: Term, *, is_so: bool) -> Term:
    """Return whether a value is missing, or with ``is_so`` false whether it is there."""
    kind = term.kind

    def row(values: Sequence[Any]) -> float:
        found = term.row(values)
        return float((found is None or found != found) == is_so)

    def many(columns: Sequence[Values], n_rows: int) -> Any:
        return (is_missing(kind, term.many(columns, n_rows)) == is_so).astype("float64")

    return Term("boolean", row, many)
