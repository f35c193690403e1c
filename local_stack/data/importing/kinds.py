r"""What a text may be read as: numbers in their spellings, truth values, dates in their formats.

A reading has one regular expression, in the part of the syntax that Python and RE2 (DuckDB's
engine) share, and one SQL expression that converts what matches. So a sample is judged in
Python, and the whole table in DuckDB, by the same rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

SPACES = " \t\r\n\v\f\u00a0\u1680\u2000\u2001\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000\ufeff"
"""Characters that are cut from both ends of a cell before it is judged."""

NUMBER_NULLS = frozenset({
    "-", "--", "---", ".", "..", "...", "?", "*", "#", "n.a.", "N.A.", "n/d", "nil", "NIL", "Nil",
    "na", "Na", "missing", "Missing", "MISSING", "unknown", "Unknown", "UNKNOWN", "none", "NONE",
    "Null", "<NA>", "<null>", "\\N", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!",
    "NaT", "nat", "-nan", "-NaN", "1.#QNAN", "-1.#IND", "1.#IND",
})  # fmt: skip
"""What stands for a missing value among numbers or dates, and may be a word elsewhere."""

_SIGN = "[+-]?"
_EXPONENT = "(?:[eE][+-]?[0-9]{1,4})?"
_CURRENCY = "[$€£¥₹]"


@dataclass(frozen=True)
class Reading:
    """One way to read texts as values of ``type``."""

    type: str
    label: str
    pattern: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def fits(self, text: str) -> bool:
        """Return whether a trimmed text is written this way (its value may still overflow)."""
        return self._compiled.fullmatch(text) is not None

    def value(self, text: str) -> str:
        """Return SQL that converts the SQL expression ``text``, or gives NULL."""
        raise NotImplementedError

    def sql(self, text: str) -> str:
        """Return SQL for the value of the SQL expression ``text``; NULL where it does not fit."""
        quoted = self.pattern.replace("'", "''")
        return f"CASE WHEN regexp_full_match({text}, '{quoted}') THEN {self.value(text)} END"


@dataclass(frozen=True)
class Truth(Reading):
    """``true`` and ``false``."""

    def value(self, text: str) -> str:
        """Return whether the text is the word for true."""
        return f"(lower({text}) = 'true')"


@dataclass(frozen=True)
class Words(Reading):
    """Words of which some stand for true and the others for false."""

    truths: tuple[str, ...] = ()

    def value(self, text: str) -> str:
        """Return whether the text is one of the words for true."""
        return f"(lower({text}) IN ({', '.join(repr(word) for word in self.truths)}))"


@dataclass(frozen=True)
class Number(Reading):
    """A number with its marks for decimals and thousands."""

    decimal: str = "."
    thousands: str = ""
    has_currency: bool = False

    def value(self, text: str) -> str:
        """Return the number; a whole one that 64 bits do not hold is NULL."""
        for mark in (self.thousands, "\u00a0" if self.thousands == " " else ""):
            if mark:
                text = f"replace({text}, '{mark.replace(chr(39), chr(39) * 2)}', '')"
        if self.decimal != ".":
            text = f"replace({text}, '{self.decimal}', '.')"
        if self.has_currency:
            text = f"regexp_replace({text}, '{_CURRENCY} ?| ?{_CURRENCY}', '')"
        if self.type == "long":
            return f"try_cast({text} AS BIGINT)"
        number = f"try_cast({text} AS DOUBLE)"
        return (
            f"CASE WHEN isfinite({number}) OR {text}[-1:] IN ('f', 'F', 'y', 'Y') THEN {number} END"
        )


TRUTH = Truth("boolean", "true and false", "(?i:true|false)")
PLAIN_WHOLE = Number("long", "whole numbers", f"{_SIGN}(?:0|[1-9][0-9]*)")
PLAIN_NUMBER = Number(
    "double",
    "numbers",
    f"{_SIGN}(?:(?:(?:0|[1-9][0-9]*)(?:\\.[0-9]*)?|\\.[0-9]+){_EXPONENT}|(?i:inf|infinity))",
)
_DIGITS = re.compile(r"[+-]?[0-9]+")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]+")


def trimmed(text: str) -> str:
    """Return a cell as it is judged."""
    return text.strip(SPACES)


def is_digits(text: str) -> bool:
    """Return whether a text is nothing but digits and a sign, leading zeros or not."""
    return _DIGITS.fullmatch(text) is not None


def has_leading_zero(text: str) -> bool:
    """Return whether a text is digits that a number would not keep (a code, not a number)."""
    return _LEADING_ZERO.fullmatch(text) is not None


@lru_cache(64)
def number(kind: str, decimal: str, thousands: str, *, has_currency: bool = False) -> Number:
    """Return the reading of numbers with these marks; ``kind`` is long or double."""
    if not thousands and decimal == "." and not has_currency:
        return PLAIN_WHOLE if kind == "long" else PLAIN_NUMBER
    group = "[ \u00a0\u202f]" if thousands == " " else re.escape(thousands)
    whole = "(?:0|[1-9][0-9]*)"
    if thousands:
        whole = f"(?:0|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[1-9][0-9]*)"
    fraction = "" if kind == "long" else f"(?:{re.escape(decimal)}[0-9]*)?{_EXPONENT}"
    bare = f"{whole}{fraction}"
    if kind == "double":
        bare = f"(?:{bare}|{re.escape(decimal)}[0-9]+)"
    pattern = f"{_SIGN}{bare}"
    if has_currency:
        pattern = f"{_SIGN}(?:{_CURRENCY} ?)?{_SIGN}{bare}(?: ?{_CURRENCY})?"
    named = f"'{decimal}' for decimals" if kind == "double" else "whole numbers"
    label = f"{named}, '{thousands}' between thousands" if thousands else named
    if has_currency:
        label += ", with a currency sign"
    return Number(kind, label, pattern, decimal, thousands, has_currency)


NUMBERS: tuple[tuple[str, str, str, bool], ...] = tuple(
    (kind, decimal, thousands, currency)
    for currency in (False, True)
    for decimal, thousands in (
        (".", ""),
        (".", ","),
        (",", ""),
        (",", "."),
        (".", " "),
        (",", " "),
        (".", "'"),
    )
    for kind in ("long", "double")
    if not (kind == "long" and decimal == "," and not thousands)
)
"""Marks that are tried, the most usual first: kind, decimal, thousands, currency sign."""
