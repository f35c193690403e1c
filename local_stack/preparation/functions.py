"""What an expression can call, each for one row and for many, with the same bits.

All numbers are doubles, a missing one is NaN, and truth has three values: 1, 0 and NaN. Where
``many`` is None, ``row`` is called for each: NumPy's logarithms and powers differ from Python's
in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.preparation.dates import part_of_array, part_reader
from local_stack.preparation.numbers import microseconds
from local_stack.preparation.values import NAN

if TYPE_CHECKING:
    import numpy as np

LONGEST_TEXT = 1_000_000
"""Most characters of a text that an expression makes; a longer one is missing."""
_INFINITY = math.inf


@dataclass(frozen=True, slots=True)
class Function:
    """A function of values of the kinds ``takes``; ``number`` takes truth values as well."""

    takes: tuple[str, ...]
    gives: str
    row: Callable[..., Any]
    many: Callable[..., Any] | None = None


# ------------------------------------------------------------------ arithmetic


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        return a * math.copysign(_INFINITY, b)


def _whole(operation: Callable[[float], int]) -> Callable[[float], float]:
    """Return floor, ceil or round as NumPy has it: -0.0 stays, infinity and NaN pass."""

    def function(x: float) -> float:
        return math.copysign(float(operation(x)), x) if math.isfinite(x) else x

    return function


_floor, _ceil, _rint = _whole(math.floor), _whole(math.ceil), _whole(round)


def _power(a: float, b: float) -> float:
    if a != a or b != b:  # one to the power of what is missing is missing
        return NAN
    try:
        return math.pow(a, b)
    except OverflowError:
        return -_INFINITY if a < 0 and b % 2 == 1 else _INFINITY
    except ValueError:  # zero to a negative power, or a negative number to a fraction
        return _INFINITY if a == 0 else NAN


def _modulo(a: float, b: float) -> float:
    return a - b * _floor(_divide(a, b))


def _sign(x: float) -> float:
    return x if x != x else float((x > 0) - (x < 0))


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else NAN


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a NumPy function without its warnings of infinity and NaN."""

    def quiet(*columns: Any) -> Any:
        import numpy as np

        with np.errstate(all="ignore"):
            return function(np, *columns)

    return quiet


_N, _NN = ("number",), ("number", "number")
ARITHMETIC: Mapping[str, Function] = {
    "+": Function(_NN, "number", lambda a, b: a + b, _quiet(lambda _, a, b: a + b)),
    "-": Function(_NN, "number", lambda a, b: a - b, _quiet(lambda _, a, b: a - b)),
    "*": Function(_NN, "number", lambda a, b: a * b, _quiet(lambda _, a, b: a * b)),
    "/": Function(_NN, "number", _divide, _quiet(lambda _, a, b: a / b)),
    "//": Function(
        _NN, "number", lambda a, b: _floor(_divide(a, b)), _quiet(lambda np, a, b: np.floor(a / b))
    ),
    "%": Function(_NN, "number", _modulo, _quiet(lambda np, a, b: a - b * np.floor(a / b))),
    "**": Function(_NN, "number", _power),
}


# ------------------------------------------------------------------ truth


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], float]:
    def row(a: Any, b: Any) -> float:
        if a is None or b is None or a != a or b != b:
            return NAN
        return 1.0 if compare(a, b) else 0.0

    return row


def _all_compared(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def many(np: Any, a: Any, b: Any) -> Any:
        if isinstance(a, list):
            row = _compared(compare)
            return np.array([row(x, y) for x, y in zip(a, b, strict=True)], dtype=np.float64)
        absent = (a != a) | (b != b)
        return np.where(absent, NAN, compare(a, b).astype(np.float64))

    return _quiet(many)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def comparison(mark: str, kind: str) -> Function:
    """Return the comparison ``mark`` of two values of ``kind``."""
    compare = _COMPARISONS[mark]
    return Function((kind, kind), "boolean", _compared(compare), _all_compared(compare))


def _and(a: float, b: float) -> float:
    if a == 0.0 or b == 0.0:
        return 0.0
    return a * b


def _or(a: float, b: float) -> float:
    if a == 1.0 or b == 1.0:
        return 1.0
    return a + b


def _xor(a: float, b: float) -> float:
    return abs(a - b)


_BB = ("boolean", "boolean")
LOGIC: Mapping[str, Function] = {
    "&": Function(
        _BB, "boolean", _and, _quiet(lambda np, a, b: np.where((a == 0) | (b == 0), 0.0, a * b))
    ),
    "|": Function(
        _BB, "boolean", _or, _quiet(lambda np, a, b: np.where((a == 1) | (b == 1), 1.0, a + b))
    ),
    "^": Function(_BB, "boolean", _xor, _quiet(lambda np, a, b: np.abs(a - b))),
}
NOT = Function(("boolean",), "boolean", lambda x: 1.0 - x, _quiet(lambda _, x: 1.0 - x))
NEGATIVE = Function(_N, "number", lambda x: -x, _quiet(lambda _, x: -x))


# ------------------------------------------------------------------ methods without arguments


def _safe(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return a function of ``math`` that gives infinity or NaN where the module raises."""

    def row(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return _INFINITY
        except ValueError:
            return NAN

    return row


def _logarithm(function: Callable[[float], float], pole: float) -> Callable[[float], float]:
    def row(x: float) -> float:
        if x > pole:
            return function(x)
        return -_INFINITY if x == pole else NAN

    return row


log = _logarithm(math.log, 0.0)
"""Natural logarithm of a number: -infinity of zero, NaN below."""


def _as_number(row: Callable[[Any], float]) -> Callable[[Any], float]:
    return lambda x: NAN if x is None else float(row(x))


def _as_text(row: Callable[[str], str | None]) -> Callable[[Any], str | None]:
    return lambda x: None if x is None else row(x)


def _part(name: str, offset: float = 0.0) -> Function:
    from datetime import datetime

    read = part_reader(name, datetime(1970, 1, 1))

    def many(moments: np.ndarray) -> np.ndarray:
        return part_of_array(moments, name) + offset

    return Function(("moment",), "number", lambda x: NAN if x is None else read(x) + offset, many)


def _total(unit: int) -> Function:
    def row(x: float) -> float:
        return math.copysign(float(math.trunc(x / unit)), x) if x == x else x

    return Function(("duration",), "number", row, _quiet(lambda np, x: np.trunc(x / float(unit))))


UNARY: Mapping[str, Function] = {
    "abs": Function(_N, "number", abs, _quiet(lambda np, x: np.abs(x))),
    "sqrt": Function(_N, "number", _sqrt, _quiet(lambda np, x: np.where(x >= 0, np.sqrt(x), NAN))),
    "floor": Function(_N, "number", _floor, _quiet(lambda np, x: np.floor(x))),
    "ceil": Function(_N, "number", _ceil, _quiet(lambda np, x: np.ceil(x))),
    "sign": Function(_N, "number", _sign),
    "exp": Function(_N, "number", _safe(math.exp)),
    "log1p": Function(_N, "number", _logarithm(math.log1p, -1.0)),
    "log10": Function(_N, "number", _logarithm(math.log10, 0.0)),
    "sin": Function(_N, "number", _safe(math.sin)),
    "cos": Function(_N, "number", _safe(math.cos)),
    "tan": Function(_N, "number", _safe(math.tan)),
    "tanh": Function(_N, "number", _safe(math.tanh)),
    "not_": NOT,
    "str.len_chars": Function(("text",), "number", _as_number(len)),
    "str.to_lowercase": Function(("text",), "text", _as_text(str.lower)),
    "str.to_uppercase": Function(("text",), "text", _as_text(str.upper)),
    "dt.year": _part("year"),
    "dt.month": _part("month"),
    "dt.day": _part("day"),
    "dt.weekday": _part("dayofweek", 1.0),
    "dt.hour": _part("hour"),
    "dt.minute": _part("minute"),
    "dt.second": _part("second"),
    "dt.quarter": _part("quarter"),
    "dt.week": _part("week"),
    "dt.ordinal_day": _part("dayofyear"),
    "dt.total_days": _total(86_400_000_000),
    "dt.total_hours": _total(3_600_000_000),
    "dt.total_minutes": _total(60_000_000),
    "dt.total_seconds": _total(1_000_000),
}
"""Methods that take no argument."""


def _time_between(a: Any, b: Any) -> float:
    return NAN if a is None or b is None else float(microseconds(a, b))


def _all_time_between(np: Any, a: Any, b: Any) -> Any:
    passed = (a - b).astype("timedelta64[us]").astype(np.int64).astype(np.float64)
    return np.where(np.isnat(a) | np.isnat(b), NAN, passed)


TIME_BETWEEN = Function(("moment", "moment"), "duration", _time_between, _quiet(_all_time_between))
"""The time from the second moment to the first, in microseconds."""


# ------------------------------------------------------------------ methods with fixed arguments


def rounded(decimals: int) -> Function:
    """Return rounding to ``decimals`` places, halves to the even neighbour."""
    if decimals == 0:
        return Function(_N, "number", _rint, _quiet(lambda np, x: np.rint(x)))
    factor = 10.0**decimals

    def row(x: float) -> float:
        found = _rint(x * factor) / factor
        return found if math.isfinite(found) else x

    def many(np: Any, x: Any) -> Any:
        found = np.rint(x * factor) / factor
        return np.where(np.isfinite(found), found, x)

    return Function(_N, "number", row, _quiet(many))


def logarithm(base: float | None) -> Function:
    """Return the logarithm to ``base``, the natural one when None."""
    if base is None:
        return Function(_N, "number", log)
    scale = math.log(base)
    return Function(_N, "number", lambda x: log(x) / scale)


def clipped(lower: float | None, upper: float | None) -> Function:
    """Return the number limited to [lower, upper]."""
    low = -_INFINITY if lower is None else lower
    high = _INFINITY if upper is None else upper
    return Function(
        _N,
        "number",
        lambda x: low if x < low else high if x > high else x,
        _quiet(lambda np, x: np.where(x < low, low, np.where(x > high, high, x))),
    )


def among(kind: str, choices: frozenset[Any]) -> Function:
    """Return whether a value is one of ``choices``."""

    def row(x: Any) -> float:
        return NAN if x is None or x != x else float(x in choices)

    return Function((kind,), "boolean", row)


def of_text(gives: str, row: Callable[[str], Any]) -> Function:
    """Return a function of texts, missing where the text is."""
    if gives == "text":
        return Function(("text",), gives, _as_text(row))
    return Function(("text",), gives, _as_number(row))


def replaced(old: str, new: str, n_most: int) -> Function:
    """Return a text with ``new`` for the first ``n_most`` times ``old`` (-1 for all)."""

    def row(text: str) -> str | None:
        longest = len(text) + text.count(old) * len(new)
        return text.replace(old, new, n_most) if longest <= LONGEST_TEXT else None

    return of_text("text", row)


def sliced(offset: int, length: int | None) -> Function:
    """Return some characters of a text; a negative offset counts from its end."""

    def row(text: str) -> str:
        start = offset + len(text) if offset < 0 else offset
        end = len(text) if length is None else start + length
        return text[max(start, 0) : max(end, 0)]

    return of_text("text", row)


# ------------------------------------------------------------------ of several columns


def _present(values: tuple[float, ...]) -> list[float]:
    return [value for value in values if value == value]


def _least(*values: float) -> float:
    return min(_present(values), default=NAN)


def _greatest(*values: float) -> float:
    return max(_present(values), default=NAN)


def _total_of(*values: float) -> float:
    found = 0.0
    for value in _present(values):
        found += value
    return found


def _mean_of(*values: float) -> float:
    n_present = len(_present(values))
    return _total_of(*values) / n_present if n_present else NAN


HORIZONTAL: Mapping[str, Callable[..., float]] = {
    "min_horizontal": _least,
    "max_horizontal": _greatest,
    "sum_horizontal": _total_of,
    "mean_horizontal": _mean_of,
}
"""Functions of several numbers that leave out what is missing."""


def joined(separator: str, n_columns: int) -> Function:
    """Return the texts of several columns in one, missing where one is."""

    def row(*texts: str | None) -> str | None:
        present = [text for text in texts if text is not None]
        if len(present) < len(texts):
            return None
        found = separator.join(present)
        return found if len(found) <= LONGEST_TEXT else None

    return Function(("text",) * n_columns, "text", row)
