"""Lines of delimited text become records, also where the text does not keep its own rules.

DuckDB reads what is well formed, and faster; this reads the rest: stray and unclosed quotes,
delimiters of several characters, escapes, and it knows the line of every record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

MOST_LINES = 1_000
"""Lines that one quoted field may span; beyond it, its quote is taken as a letter."""

_MOST_TRIED = 5


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are told apart. ``quote`` and ``escape`` are empty where there are none.

    A doubled quote always stands for one; ``escape`` is another character that does.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""


@dataclass(slots=True)
class Record:
    """The fields between two ends of line. ``flaw`` says what was mended to read it."""

    line: int
    fields: list[str]
    flaw: str = ""
    n_lines: int = 1
    text: str = ""

    @property
    def is_blank(self) -> bool:
        """Return whether the line holds nothing but white space (or the end mark of DOS)."""
        return len(self.fields) == 1 and not self.fields[0].strip(" \t\r\n\v\f\u00a0\x1a")


class _Open(Exception):
    """The text ends within a quoted field."""


def split(
    lines: Iterable[str],
    dialect: Dialect,
    *,
    width: int = 0,
    first_line: int = 1,
    most_lines: int = MOST_LINES,
) -> Iterator[Record]:
    """Yield the records of ``lines`` (with or without their ends) in ``dialect``.

    Parameters
    ----------
    width
        Number of fields that a record should have, which tells a quote that was never closed
        from one that holds several lines; 0 when it is not known.
    first_line
        Number of the first of the lines.
    most_lines
        Lines that one field may span.
    """
    source = _Pushable(lines, first_line)
    quote, delimiter = dialect.quote, dialect.delimiter
    for number, line in source:
        text = line.rstrip("\r\n")
        if not quote or quote not in text:
            if dialect.escape and dialect.escape in text:
                fields, _ = _fields(text, dialect, is_literal=True)
            else:
                fields = text.split(delimiter)
            yield Record(number, fields, text=text)
            continue
        try:
            fields, flaw = _fields(text, dialect)
            if flaw and width and len(fields) != width:  # a quote closed it after all
                again, _ = _fields(text, dialect, is_early=True)
                fields = again if len(again) == width else fields
            yield Record(number, fields, flaw, text=text)
        except _Open:
            yield _longer(source, number, line, dialect, width, most_lines)


def _longer(
    source: _Pushable, number: int, line: str, dialect: Dialect, width: int, most_lines: int
) -> Record:
    """Return the record that begins on ``line`` with a quote that the line does not close."""
    taken = [line]
    can_close = _closing(dialect)
    for _, more in source:
        taken.append(more)
        if can_close.search(more):
            text = "".join(taken).rstrip("\r\n")
            try:
                fields, flaw = _fields(text, dialect)
            except _Open:
                fields = []
            if fields:
                is_doubtful = flaw or len(fields) != width
                if width and is_doubtful and _is_better_alone(taken, dialect, width):
                    break
                return Record(number, fields, flaw, len(taken), text)
        if len(taken) >= most_lines:
            break
    source.push(taken[1:])
    text = line.rstrip("\r\n")
    fields, _ = _fields(text, dialect, is_literal=True)
    return Record(number, fields, "unclosed_quote", text=text)


@lru_cache(64)
def _closing(dialect: Dialect) -> re.Pattern[str]:
    """Return a pattern of a quote that may close a field: an odd run before a delimiter."""
    quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
    return re.compile(f"(?<!{quote})(?:{quote}{quote})*{quote} *(?:{delimiter}|[\r\n]|\\Z)")


def _is_better_alone(taken: list[str], dialect: Dialect, width: int) -> bool:
    """Return whether a doubtful record falls into whole ones when its lines are read alone."""
    if _width_alone(taken[0], dialect) == width:
        return True
    return width > 1 and any(
        _width_alone(line, dialect) == width for line in taken[1 : _MOST_TRIED + 1]
    )


def _width_alone(line: str, dialect: Dialect) -> int:
    """Return how many fields a line has when a quote that it leaves open is a letter."""
    return len(_fields(line.rstrip("\r\n"), dialect, is_literal=True)[0])


class _Pushable:
    """Lines with their numbers, to which lines may be given back."""

    def __init__(self, lines: Iterable[str], first_line: int) -> None:
        self._lines = iter(lines)
        self._back: list[str] = []
        self._number = first_line - 1

    def __iter__(self) -> _Pushable:
        return self

    def __next__(self) -> tuple[int, str]:
        line = self._back.pop() if self._back else next(self._lines)
        self._number += 1
        return self._number, line

    def push(self, lines: list[str]) -> None:
        """Give back the last lines that were taken."""
        self._back += reversed(lines)
        self._number -= len(lines)


def _fields(
    text: str, dialect: Dialect, *, is_literal: bool = False, is_early: bool = False
) -> tuple[list[str], str]:
    """Return the fields of one record's text, and what was wrong with its quotes.

    With ``is_literal`` a quote that nothing closes is a letter; otherwise it raises _Open. With
    ``is_early`` the first quote closes a field, and what follows up to the delimiter joins it.
    """
    fields: list[str] = []
    flaw = ""
    place, end, step = 0, len(text), len(dialect.delimiter)
    while True:
        start = _quote_at(text, place, dialect)
        if start >= 0:
            try:
                value, place, is_stray = _quoted(text, start, dialect, is_early)
            except _Open:
                if not is_literal:
                    raise
                value, place = _plain(text, place, dialect)
                flaw = "unclosed_quote"
            else:
                flaw = "stray_quote" if is_stray else flaw
        else:
            value, place = _plain(text, place, dialect)
        fields.append(value)
        if place >= end:
            return fields, flaw
        place += step
        if place >= end:  # a delimiter at the very end begins an empty field
            fields.append("")
            return fields, flaw


def _quote_at(text: str, place: int, dialect: Dialect) -> int:
    """Return where the quote that opens the field at ``place`` stands, or -1."""
    if not dialect.quote:
        return -1
    if text.startswith(dialect.quote, place):
        return place
    if text.startswith(" ", place) and dialect.delimiter != " ":
        inner = place + len(text[place:]) - len(text[place:].lstrip(" "))
        if text.startswith(dialect.quote, inner):
            return inner
    return -1


def _plain(text: str, place: int, dialect: Dialect) -> tuple[str, int]:
    """Return the field up to the next delimiter, and where that stands."""
    escape, delimiter = dialect.escape, dialect.delimiter
    stop = text.find(delimiter, place)
    while escape and stop > place and text[stop - 1] == escape:
        stop = text.find(delimiter, stop + 1)
    stop = len(text) if stop < 0 else stop
    value = text[place:stop]
    if escape and escape in value:
        for mark in (delimiter, dialect.quote, escape):
            value = value.replace(escape + mark, mark) if mark else value
    return value, stop


def _quoted(text: str, start: int, dialect: Dialect, is_early: bool) -> tuple[str, int, bool]:
    """Return the quoted field that opens at ``start``, where it ends, and if it holds a stray.

    A quote closes the field only where the delimiter or the end of the text follows it; a
    doubled one, or one behind the escape, is a letter, and so is any other, which is a flaw.
    """
    quote, escape, end = dialect.quote, dialect.escape, len(text)
    parts: list[str] = []
    is_stray = False
    place = start + 1
    while True:
        stop = text.find(quote, place)
        if stop < 0:
            raise _Open
        if escape and _is_escaped(text, stop, place, escape):
            parts.append(text[place : stop - 1] + quote)
            place = stop + 1
        elif text.startswith(quote, stop + 1):
            parts.append(text[place : stop + 1])
            place = stop + 2
        else:
            after = stop + 1
            while after < end and text[after] == " " and dialect.delimiter != " ":
                after += 1
            parts.append(text[place:stop])
            if after >= end or text.startswith(dialect.delimiter, after):
                return "".join(parts), after, is_stray
            if is_early:
                rest = text.find(dialect.delimiter, after)
                rest = end if rest < 0 else rest
                return "".join(parts) + text[stop + 1 : rest], rest, True
            parts.append(quote)
            is_stray = True
            place = stop + 1


def _is_escaped(text: str, at: int, start: int, escape: str) -> bool:
    """Return whether an odd number of escapes stands before ``at``."""
    n = 0
    while at - n > start and text[at - n - 1] == escape:
        n += 1
    return n % 2 == 1
