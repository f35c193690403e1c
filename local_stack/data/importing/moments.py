"""Dates and time stamps in text: which format a value is in, and which order its day and month.

One column may hold several formats. A value such as 03/04/2024 says nothing of its order, so
the order is taken from the values that do, else from what the column's own run of dates makes
likely, else it is month first, with a warning.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from local_stack.data.importing.kinds import Reading

Order = str
"""``dmy`` or ``mdy``."""

_DAY, _YEAR, _SHORT = "[0-9]{1,2}", "[0-9]{4}", "[0-9]{2}"
_MONTH = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_LONG = "(?i:january|february|march|april|may|june|july|august|september|october|november|december)"
_ZONE = "(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?))"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a date is written: a pattern, and the format for each order that it allows."""

    pattern: str
    formats: dict[str, str]


def _shapes() -> list[_Shape]:
    found: list[_Shape] = []
    for s in "-/.":
        mark = re.escape(s)
        found.append(
            _Shape(f"{_YEAR}{mark}{_DAY}{mark}{_DAY}", {"ymd": "" if s == "-" else f"%Y{s}%m{s}%d"})
        )
        for year, letter in ((_YEAR, "Y"), (_SHORT, "y")):
            formats = {"dmy": f"%d{s}%m{s}%{letter}", "mdy": f"%m{s}%d{s}%{letter}"}
            day = _SHORT if (s, year) == (".", _SHORT) else _DAY  # 1.2.10 is a version number
            found.append(_Shape(f"{day}{mark}{day}{mark}{year}", formats))
    for s in ("-", " ", "/", "."):
        mark = re.escape(s)
        for year, letter in ((_YEAR, "Y"), (_SHORT, "y")):
            for month, name in ((_MONTH, "b"), (_LONG, "B")):
                pattern = f"{_DAY}{mark}{month}{mark}{year}"
                found.append(_Shape(pattern, {"d": f"%d{s}%{name}{s}%{letter}"}))
    for month, name in ((_MONTH, "b"), (_LONG, "B")):
        found.append(_Shape(f"{month} {_DAY}, {_YEAR}", {"m": f"%{name} %d, %Y"}))
        found.append(_Shape(f"{month} {_DAY} {_YEAR}", {"m": f"%{name} %d %Y"}))
    return found


_SHAPES = _shapes()
_TIMES = (
    ("[0-9]{1,2}:[0-9]{2}", "%H:%M"),
    ("[0-9]{1,2}:[0-9]{2}:[0-9]{2}", "%H:%M:%S"),
    ("[0-9]{1,2}:[0-9]{2}:[0-9]{2}\\.[0-9]{1,9}", "%H:%M:%S.%f"),
    ("[0-9]{1,2}:[0-9]{2} ?(?i:am|pm)", "%I:%M %p"),
    ("[0-9]{1,2}:[0-9]{2}:[0-9]{2} ?(?i:am|pm)", "%I:%M:%S %p"),
)
_LOOKS = re.compile(r"(?=.*[0-9])(?:[0-9]|(?i:[jfmasond]))[0-9A-Za-z /.,:+-]{5,39}")
_COMPILED = [
    re.compile(
        f"(?P<date>{shape.pattern})(?:(?P<between>[ T])(?P<clock>[0-9][^Z+-]*?)(?P<zone>{_ZONE})?)?"
    )
    for shape in _SHAPES
]
_CLOCKS = [(re.compile(pattern), pattern, form) for pattern, form in _TIMES]


@dataclass(frozen=True)
class Moment(Reading):
    """A date or a time stamp in one ``format`` of strptime (empty for ISO 8601)."""

    format: str = ""
    has_zone: bool = False

    def value(self, text: str) -> str:
        """Return the moment in UTC; a day that does not exist is NULL."""
        if self.format:
            spaced = f"regexp_replace({text}, '([0-9])([AaPp][Mm])$', '\\1 \\2')"
            moment = f"try_strptime({spaced if '%p' in self.format else text}, '{self.format}')"
        elif self.has_zone:
            moment = f"(try_cast(replace(replace({text}, ' UTC', 'Z'), ' GMT', 'Z') AS TIMESTAMPTZ)"
            moment += " AT TIME ZONE 'UTC')"
        else:
            moment = f"try_cast({text} AS TIMESTAMP)"
        return f"CAST({moment} AS DATE)" if self.type == "date" else moment

    @property
    def order(self) -> str:
        """Return ``dmy`` or ``mdy`` where the format has an order of its own, else ''."""
        head = self.format[:5].replace("/", "-").replace(".", "-")
        return {"%d-%m": "dmy", "%m-%d": "mdy"}.get(head, "")


@lru_cache(8192)
def formats_of(text: str) -> tuple[Moment, ...]:
    """Return every way to read a trimmed text as a date or a time stamp, at most two."""
    if not _LOOKS.fullmatch(text):
        return ()
    for shape, compiled in zip(_SHAPES, _COMPILED, strict=True):
        found = compiled.fullmatch(text)
        moments = _moments(shape, found) if found else ()
        if moments:
            return moments
    return ()


def _moments(shape: _Shape, found: re.Match[str]) -> tuple[Moment, ...]:
    forms = shape.formats.values()
    if found["clock"] is None:
        return tuple(_moment("date", shape.pattern, form) for form in forms)
    clock = next(((p, f) for c, p, f in _CLOCKS if c.fullmatch(found["clock"])), None)
    if clock is None:
        return ()
    pattern = f"{shape.pattern}{found['between']}{clock[0]}"
    if found["zone"] is None:
        return tuple(
            _moment(
                "datetime", pattern, f"{form}{found['between']}{clock[1]}" if form else "", clock[1]
            )
            for form in forms
        )
    if "" in forms and "%p" not in clock[1]:
        return (Moment("datetime", "ISO 8601 with a zone", pattern + _ZONE, has_zone=True),)
    return ()


def _moment(kind: str, pattern: str, form: str, time_format: str = "") -> Moment:
    if not form and "%p" in time_format:
        form = f"%Y-%m-%d {time_format}"
    return Moment(kind, form or "ISO 8601", pattern, form)


COMPACT = Moment("date", "%Y%m%d", "[0-9]{8}", "%Y%m%d")
_DATED = re.compile(r"(?i)(?:^|[^a-z])(?:date|day|datum|data|fecha|dt|tag|jour|dia)(?:[^a-z]|$)")
_CAMEL = re.compile(r"Date(?:[^a-z]|$)")


def is_compact(name: str, values: Sequence[str]) -> bool:
    """Return whether a column that its name calls a date holds days in eight digits."""
    if not (_DATED.search(name) or _CAMEL.search(name)):
        return False
    return all(
        len(text) == 8
        and text[:2] in ("18", "19", "20")
        and COMPACT.fits(text)
        and parsed(COMPACT, text) is not None
        for text in values
    )


def parsed(moment: Moment, text: str) -> datetime | None:
    """Return what a text says in a format without a zone, or None when there is no such day."""
    try:
        if not moment.format:
            return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)
        spaced = re.sub(r"([0-9])([AaPp][Mm])$", r"\1 \2", text)
        if "%f" in moment.format:  # Python takes six digits of a second at most
            spaced = re.sub(r"(\.[0-9]{6})[0-9]+$", r"\1", spaced)
        return datetime.strptime(spaced, moment.format)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats of one column. ``doubt`` says why the order of day and month is a guess."""

    moments: tuple[Moment, ...]
    doubt: str = ""

    @property
    def type(self) -> str:
        """Return date when no format has a time, else datetime."""
        return "date" if all(m.type == "date" for m in self.moments) else "datetime"


def formats_in(texts: Sequence[str], *, prefers: Order = "") -> Formats | None:
    """Return the formats that together read every one of ``texts``, or None.

    Parameters
    ----------
    texts
        Distinct trimmed values, in the order in which they first appear.
    prefers
        ``dmy`` or ``mdy`` when something outside of the column says so.
    """
    ways = [formats_of(text) for text in texts]
    if not texts or not all(ways):
        return None
    valid = [
        [m for m in found if m.has_zone or parsed(m, text) is not None]
        for found, text in zip(ways, texts, strict=True)
    ]
    if not all(valid):
        return None
    orders = {found[0].order for found in valid if len(found) == 1} - {""}
    doubt = ""
    if any(len(found) > 1 for found in valid):
        order, doubt = _order(texts, valid, orders, prefers)
        valid = [[m for m in found if len(found) == 1 or m.order == order] for found in valid]
    moments = dict.fromkeys(found[0] for found in valid)
    if len({m.order for m in moments} - {""}) > 1:
        doubt = doubt or "some values put the day first and others the month"
    return Formats(tuple(moments), doubt)


def _order(
    texts: Sequence[str], valid: Sequence[Sequence[Moment]], orders: set[str], prefers: Order
) -> tuple[Order, str]:
    """Return the order of the values that allow both, and why it is in doubt ('' when not)."""
    if len(orders) == 1:
        return next(iter(orders)), ""
    if any(m.format[2:3] == "." for found in valid for m in found if len(found) > 1):
        return "dmy", ""
    run = _likely(texts, valid)
    if run:
        return run, ""
    order = prefers or "mdy"
    first = "the day" if order == "dmy" else "the month"
    return order, f"nothing tells the day from the month; {first} was taken to be first"


def _likely(texts: Sequence[str], valid: Sequence[Sequence[Moment]]) -> Order:
    """Return the order in which the dates run far more evenly from one to the next, or ''."""
    jumps: dict[str, float] = {}
    for order in ("dmy", "mdy"):
        days = []
        for text, found in zip(texts, valid, strict=True):
            moment = next((m for m in found if len(found) == 1 or m.order == order), None)
            at = parsed(moment, text) if moment and not moment.has_zone else None
            if at is not None:
                days.append(at.timestamp() / 86_400)
        jumps[order] = sum(abs(b - a) for a, b in itertools.pairwise(days))
    (low, small), (_, large) = sorted(jumps.items(), key=lambda item: item[1])
    return low if len(texts) >= 3 and small < large / 3 else ""
