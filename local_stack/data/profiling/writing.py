"""Texts that are no words: numbers, dates, identifiers, markup, characters that do not show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import percent
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.wordings import Wordings, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DOTTED = r"^\s*\d{1,3}(?:\.\d{1,3}){3}\s*$"  # an IPv4 address or a version, no number
_SIGN = r"[-+]?\s*[$€£¥]?\s*[-+]?"
NUMBER = (
    rf"^\s*\(?{_SIGN}(?:(?:\d{{1,3}}(?:[,.'\x{{2019}} ]\d{{3}})+|\d{{1,15}})(?:[.,]\d*)?|[.,]\d+)"
    r"(?:[eE][-+]?\d{1,3})?\s*[%$€£¥]?\)?\s*$"
)
"""A number as people write it: grouped, with a currency, per cent, negative in parentheses."""

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIME = r"(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:[AaPp][Mm])?\s*(?:Z|[-+]\d{2}:?\d{2})?)?"
_DAY, _NUMBER_OF_MONTH = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
DATE = (
    r"(?i)^\s*(?:"
    rf"\d{{4}}([-/.]){_NUMBER_OF_MONTH}[-/.]{_DAY}"
    rf"|{_DAY}[-/.]{_NUMBER_OF_MONTH}[-/.](?:\d{{4}}|\d{{2}})"
    rf"|{_NUMBER_OF_MONTH}[-/.]{_DAY}[-/.](?:\d{{4}}|\d{{2}})"
    rf"|{_DAY}[- .]*{_MONTH}[- ,]*(?:\d{{4}}|\d{{2}})"
    rf"|{_MONTH} *{_DAY},? *\d{{4}}"
    rf"){_TIME}\s*$"
)
"""A date as people write it, with or without a time."""

ODD = {
    "control characters": r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}]",
    "invisible or direction-changing characters": (
        r"[\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}]"
    ),
    "replacement characters of a wrong encoding": r"\x{FFFD}",
    "letters of a wrong encoding": r"Ã[\x{80}-\x{BF}]|â€|Â[\x{A0}-\x{BF}]|ï»¿",
    "spreadsheet formulas": r"^[=@][A-Za-z]+\s*\(|^[=+@-].*\|.*!",
}
"""What may harm a program that reads the texts, or shows that they were read wrongly."""

MARKUP = (
    r"(?i)</?(?:a|b|i|p|u|em|br|hr|div|span|script|style|img|table|tr|td|th|ul|ol|li|font|strong"
    r"|h[1-6]|iframe|input|form|body|html)(?:\s[^<>]*)?/?>|&(?:amp|lt|gt|nbsp|quot|apos|#x?[0-9a-f]+);"
)

_IDENTIFIERS = {
    "UUIDs": r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "hashes in hexadecimal": r"^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$",
}
_MIN_IDENTIFIERS, _P_IDENTIFIERS = 20, 0.99
_MIN_ROWS = 10
_JUDGED = 1_000  # texts that tell whether it is worth looking at all of them


def writing_findings(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield what the texts of a column are, if they are no words."""
    yield from _convertible(texts, thresholds)
    yield from _odd(texts, thresholds)
    yield from _identifiers(texts)


def _convertible(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield numbers or dates that stayed texts, and columns that mix numbers with words."""
    if texts.n < _MIN_ROWS:
        return
    few = texts.few(_JUDGED)
    likely = few.matches(r"\d")
    if few.share_of(likely) >= thresholds.p_mixed / 2:
        likely &= few.matches(NUMBER) | few.matches(DATE)
    if few.share_of(likely) < thresholds.p_mixed / 2:
        return
    has_digit = texts.matches(r"\d")
    dates = texts.matches(DATE)
    numbers = texts.matches(NUMBER) & has_digit & ~dates & ~texts.matches(_DOTTED)
    if texts.share_of(dates) >= thresholds.p_convertible:
        yield _as_text(texts, "dates_as_text", "dates", dates, thresholds)
        return
    share = texts.share_of(numbers)
    codes = texts.matches(r"^0\d")  # 01067 is a code, not a number
    if share < thresholds.p_mixed or texts.share_of(codes) >= 0.01:
        return
    if share >= thresholds.p_convertible:
        yield _as_text(texts, "numbers_as_text", "numbers", numbers, thresholds)
    elif share <= 1 - thresholds.p_mixed:
        others = quoted(texts.top(~numbers & ~dates), 2)
        message = (
            f"{texts.amount(numbers)} ({percent(share)}) that are numbers, such as "
            f"{quoted(texts.top(numbers), 2)}, among others such as {others} "
            f"(threshold {percent(thresholds.p_mixed)} of each)."
        )
        yield texts.alert("mixed_types", numbers, thresholds.p_mixed, message)


def _as_text(
    texts: Wordings, code: str, what: str, holds: NDArray[np.bool_], thresholds: Thresholds
) -> Alert:
    rest = texts.top(~holds)
    share = texts.share_of(holds)
    message = (
        f"{texts.amount(holds)} ({percent(share)}) that read as {what}, such as "
        f"{quoted(texts.top(holds), 2)} (threshold {percent(thresholds.p_convertible)})"
    )
    message += f"; these do not: {quoted(rest)}." if rest else ", and yet they are text."
    return texts.alert(code, holds, thresholds.p_convertible, message)


def _odd(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    limit = thresholds.p_odd_texts
    holds = texts.matches("|".join(ODD.values()))
    if texts.share_of(holds) > limit:
        found = {kind: texts.rows_of(texts.matches(pattern)) for kind, pattern in ODD.items()}
        listed = ", ".join(f"{kind} ({n})" for kind, n in found.items() if n)
        message = (
            f"{texts.amount(holds)} ({percent(texts.share_of(holds))}) with {listed} "
            f"(threshold {percent(limit)})."
        )
        yield texts.alert("odd_characters", holds, limit, message)
    markup = texts.matches(MARKUP)
    if texts.share_of(markup) > limit:
        message = (
            f"{texts.amount(markup)} ({percent(texts.share_of(markup))}) with HTML "
            f"(threshold {percent(limit)})."
        )
        yield texts.alert("markup", markup, limit, message)


def _identifiers(texts: Wordings) -> Iterator[Alert]:
    """Yield UUIDs and hashes that repeat or are missing; those that never do are "unique"."""
    if texts.column.profile.kind == "identifier-suspect" or texts.values.len() < _MIN_IDENTIFIERS:
        return
    few = texts.few(_JUDGED)
    for kind, pattern in _IDENTIFIERS.items():
        if few.share_of(few.matches(pattern)) < _P_IDENTIFIERS:
            continue
        holds = texts.matches(pattern)
        share = texts.share_of(holds)
        if share >= _P_IDENTIFIERS:
            message = (
                f"{percent(share)} of the values are {kind}: identifiers, perhaps of another "
                f"table's rows (threshold {percent(_P_IDENTIFIERS)})."
            )
            yield texts.alert("identifier", holds, _P_IDENTIFIERS, message)
