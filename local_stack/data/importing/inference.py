"""What the texts of a column are: judged on a sample in Python, proved on every row in DuckDB.

A column is one of the types of :mod:`local_stack.data.tables`, and each has a reason. Codes with
leading zeros and numbers that 64 bits do not hold stay texts, so that nothing is lost. A few
values that do not fit a column of numbers or dates become missing and are named with their
lines; where they are many, the column stays text and a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.importing import candidates, kinds, moments
from local_stack.data.importing.candidates import Marks, Typed
from local_stack.data.importing.kinds import Reading
from local_stack.data.tables import NULLS, TYPES, ImportWarning, Options
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

SAMPLE_ROWS = 20_000
"""Rows from the whole length of a table on which the types are first judged, at most."""

_SAMPLE_CELLS = 2_000_000
_LEAST_SAMPLE = 500

MOST_UNREADABLE = 3
"""Distinct values that may be unreadable in a column of numbers, dates or truth values."""

SHARE_UNREADABLE = 0.01
LEAST_ROWS = 200
"""Below so many values, one that does not fit makes the column text."""

_MOST_NAMED = 5
_LEAST_MIXED = 3
_SHARE_MIXED = 0.1
_MOST_BAD = 40
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Found:
    """The type of a column of texts: how to read it, which words are missing, and why."""

    type: str
    readings: tuple[Reading, ...]
    nulls: tuple[str, ...]
    reason: str
    unreadable: tuple[str, ...] = ()
    warnings: tuple[ImportWarning, ...] = ()
    odd: tuple[str, ...] = ()

    def sql(self, key: str) -> str:
        """Return SQL for the value of the staged column ``key`` of a :func:`trimmed` table."""
        if not self.readings:
            own = compute.identifier(key)
            return f"CASE WHEN {self.is_missing(key)} THEN NULL ELSE {own} END"
        values = ", ".join(reading.sql(text_of(key)) for reading in self.readings)
        return f"CASE WHEN {self.is_missing(key)} THEN NULL ELSE coalesce({values}) END"

    def is_missing(self, key: str) -> str:
        """Return SQL for whether the text of ``key`` stands for a missing value."""
        text = text_of(key)
        return f"({text} IS NULL OR {among(text, self.nulls)})"

    def misfits(self, key: str) -> str:
        """Return SQL for whether the text of ``key`` is a value that the type does not take."""
        return f"{self.sql(key)} IS NULL AND NOT {self.is_missing(key)}"


def trimmed(table: str, keys: Sequence[str], also: Sequence[str] = ()) -> str:
    """Return the place of each row of ``table``, ``keys``, and their texts without outer space.

    ``also`` is SQL for more columns; nothing else of the table is read.
    """
    spaces = compute.literal(kinds.SPACES)
    cells = ""
    for key in keys:
        own = compute.identifier(key)
        is_bare = f"{own}[1] BETWEEN '!' AND '~' AND {own}[-1:] BETWEEN '!' AND '~'"
        cells += (
            f", CASE WHEN {is_bare} THEN {own} ELSE trim({own}, {spaces}) END AS {text_of(key)}"
        )
    own = "".join(f"{cell}, " for cell in (*map(compute.identifier, keys), *also))
    return f"(SELECT {own}COLUMNS('^(file_row_number|line|file)$'){cells} FROM {table})"


def text_of(key: str) -> str:
    """Return the column of a :func:`trimmed` table that holds the text of ``key``."""
    return compute.identifier(f"{key}.text")


def among(text: str, words: Sequence[str]) -> str:
    """Return SQL for whether ``text`` is one of ``words``.

    Not IN: DuckDB plans a join for each of those, and the plan grows with their square.
    """
    return f"list_contains([{', '.join(map(compute.literal, words))}]::VARCHAR[], {text})"


@dataclass(slots=True)
class _Column:
    """A column while it is judged: distinct trimmed values in the order they appear."""

    place: int
    name: str
    values: list[str]
    n: int = 0
    extra_nulls: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


def inferred(
    connection: Connection,
    table: str,
    columns: Mapping[str, str],
    options: Options,
    *,
    prefers_comma: bool = False,
    progress: Progress,
) -> dict[str, Found]:
    """Return the type of each text column of ``table``.

    Parameters
    ----------
    table
        SQL of the staged table, with a column ``file_row_number``.
    columns
        Staged column (c0, ...) and the name that options and messages call it by.
    prefers_comma
        Whether the file's own marks make a decimal comma likely.
    """
    nulls = tuple(dict.fromkeys(("", *(options.nulls or NULLS))))
    samples = _samples(connection, table, columns, nulls)
    marks = _marks(samples, options, prefers_comma)
    found = {key: _judged(column, nulls, options, marks) for key, column in samples.items()}
    for _ in range(_ROUNDS):
        bad = _misfits(connection, table, found, samples, progress)
        if not bad:
            break
        for key, values in bad.items():
            found[key] = _again(samples[key], values, nulls, options, marks)
    else:
        bad = _misfits(connection, table, found, samples, progress)
        for key in bad:
            found[key] = _text(nulls, "its values are of several kinds")
    for key in _too_often(connection, table, found):
        found[key] = _kept_text(samples[key], nulls)
    return found


def _too_often(connection: Connection, table: str, found: Mapping[str, Found]) -> list[str]:
    """Return the columns in which the few unreadable words stand in too many rows."""
    keys: list[str] = []
    for key, it in found.items():
        if not it.unreadable:
            continue
        n_odd, n = connection.execute(
            f"SELECT count(*) FILTER ({it.misfits(key)}), "
            f"count(*) FILTER (NOT {it.is_missing(key)}) FROM {trimmed(table, [key])}"
        ).fetchall()[0]
        if n_odd > SHARE_UNREADABLE * n:
            keys.append(key)
    return keys


def _samples(
    connection: Connection,
    table: str,
    columns: Mapping[str, str],
    nulls: Sequence[str],
) -> dict[str, _Column]:
    """Read distinct values from the whole length of the table, first seen first."""
    if not columns:
        return {}
    (n,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
    wanted = max(_LEAST_SAMPLE, min(SAMPLE_ROWS, _SAMPLE_CELLS // len(columns)))
    step = max(1, n // wanted)
    names = list(columns)
    quoted = ", ".join(compute.identifier(name) for name in names)
    rows = connection.execute(
        f"SELECT {quoted} FROM {table} WHERE file_row_number % {step} = 0 "
        f"ORDER BY file_row_number LIMIT {wanted + 1}"
    ).fetchall()
    missing = set(nulls)
    samples: dict[str, _Column] = {}
    for place, key in enumerate(names):
        held = (kinds.trimmed(row[place]) for row in rows if row[place] is not None)
        values = list(dict.fromkeys(text for text in held if text not in missing))
        samples[key] = _Column(place, columns[key], values, n)
    return samples


def _marks(samples: Mapping[str, _Column], options: Options, prefers_comma: bool) -> Marks:
    """Find the decimal mark that some column proves; it settles the columns that prove none."""
    votes = {".": 0, ",": 0}
    for column in samples.values():
        for mark in votes:
            votes[mark] += candidates.proves(column.values, mark)
    comma = votes[","] > votes["."] if votes["."] or votes[","] else prefers_comma
    if options.decimal:
        comma = options.decimal == ","
    return Marks(comma, "dmy" if comma else "", options.decimal, options.thousands)


def _judged(column: _Column, nulls: Sequence[str], options: Options, marks: Marks) -> Found:
    """Return the type that the values known so far allow."""
    asked = options.types.get(column.name)
    if asked is not None:
        return _asked(column, asked, nulls, options, marks)
    values = column.values
    if not values:
        return _text(nulls, "it holds no value")
    if all(map(kinds.TRUTH.fits, values)):
        return Found("boolean", (kinds.TRUTH,), tuple(nulls), "every value is true or false")
    if moments.is_compact(column.name, values):
        reading = moments.COMPACT
        note = ImportWarning("compact_dates", column.name, "Its eight digits were read as days.")
        reason = "every value is a day in eight digits, and the name says so"
        return Found("date", (reading,), tuple(nulls), reason, (), (note,))
    extra = tuple(sorted(value for value in values if value in kinds.NUMBER_NULLS))
    rest = [value for value in values if value not in kinds.NUMBER_NULLS]
    found = _typed(rest, marks, options) if rest else None
    if found is None and rest:
        found, rest = _all_but_few(column, rest, marks, options)
    if found is None:
        return _kept_text(column, nulls)
    kind, readings, reason, warnings = found
    held = set(rest)
    unreadable = tuple(v for v in values if v not in held and v not in kinds.NUMBER_NULLS)
    warned = tuple(ImportWarning(code, column.name, text) for code, text in warnings)
    return Found(kind, readings, (*nulls, *extra), reason, unreadable, warned)


def _typed(values: Sequence[str], marks: Marks, options: Options) -> Typed | None:
    """Return type, readings, reason and warnings when one type reads all values."""
    if options.date_format:
        chosen = candidates.dates_as_asked(values, options.date_format)
        if chosen is not None:
            return chosen
    if any(map(kinds.has_leading_zero, values)):
        return None
    return candidates.numbers(values, marks) or candidates.dates(values, marks)


def _all_but_few(
    column: _Column, values: Sequence[str], marks: Marks, options: Options
) -> tuple[Typed | None, list[str]]:
    """Look for a type that reads all but a few odd values of a long column."""
    if column.n < LEAST_ROWS or any(map(kinds.has_leading_zero, values)):
        return None, list(values)
    fits = [value for value in values if _looks_typed(value)]
    n_odd = len(values) - len(fits)
    if not fits or n_odd > MOST_UNREADABLE or n_odd > SHARE_UNREADABLE * column.n:
        return None, list(values)
    return _typed(fits, marks, options), fits


def _looks_typed(value: str) -> bool:
    is_number = any(
        kinds.number(k, d, t, has_currency=c).fits(value) for k, d, t, c in kinds.NUMBERS
    )
    if is_number or kinds.TRUTH.fits(value):
        return True
    return any(m.has_zone or moments.parsed(m, value) for m in moments.formats_of(value))


def _text(nulls: Sequence[str], reason: str) -> Found:
    return Found("string", (), tuple(nulls), reason)


def _kept_text(column: _Column, nulls: Sequence[str]) -> Found:
    """Return text, and warn where something is lost by it or most values are of another type."""
    values = column.values
    reason = _why_text(values)
    note = ""
    code = "mixed_types"
    odd: list[str] = []
    if reason.startswith("whole numbers"):
        code, note = "huge_integer", "Whole numbers larger than 64 bits hold are kept as text."
    elif not all(map(kinds.is_digits, values)):
        odd = [value for value in values if not _looks_typed(value)]
        few = max(1, int(_SHARE_MIXED * len(values)))
        if len(values) >= _LEAST_MIXED and 0 < len(odd) <= few:
            shown = ", ".join(f"'{value[:20]}'" for value in odd[:3])
            note = f"Nearly all values are numbers or dates, but some are not: {shown}. It is text;"
            note += " --type would make those missing."
    warnings = (ImportWarning(code, column.name, note),) if note else ()
    named = tuple(odd[:_MOST_NAMED]) if code == "mixed_types" and note else ()
    return replace(_text(nulls, reason), warnings=warnings, odd=named)


def _why_text(values: Sequence[str]) -> str:
    if all(map(kinds.is_digits, values)):
        if any(map(kinds.has_leading_zero, values)):
            return "codes of digits, some with leading zeros that a number would lose"
        return "whole numbers that 64 bits do not hold, kept exact as text"
    odd = next((value for value in values if not _looks_typed(value)), None)
    return f"it holds text such as '{odd[:40]}'" if odd else "its values are of several kinds"


def _asked(
    column: _Column, asked: str, nulls: Sequence[str], options: Options, marks: Marks
) -> Found:
    """Read a column as the type that somebody asked for; what does not fit is unreadable."""
    if asked not in TYPES:
        raise InputError(
            f"'{asked}' is not a type for the column '{column.name}'.",
            nearest(asked, TYPES) or f"The types are: {', '.join(TYPES)}.",
        )
    reason = "as asked"
    if asked == "string":
        return _text(nulls, reason)
    if asked == "boolean":
        return Found("boolean", (kinds.TRUTH, *_YES_NO), tuple(nulls), reason)
    values = [v for v in column.values if v not in kinds.NUMBER_NULLS]
    extra = tuple(sorted(v for v in column.values if v in kinds.NUMBER_NULLS))
    if asked in ("long", "double"):
        return Found(asked, _numbers_as_asked(asked, values, marks), (*nulls, *extra), reason)
    usable = [v for v in values if moments.formats_of(v)]
    typed = candidates.dates_as_asked(values, options.date_format) if options.date_format else None
    typed = typed or (candidates.dates(usable, marks) if usable else None)
    readings = typed[1] if typed else (moments.Moment(asked, "ISO 8601", "[0-9].*"),)
    readings = tuple(replace(reading, type=asked) for reading in readings)
    return Found(asked, readings, (*nulls, *extra), reason)


_YES_NO = (
    kinds.Words(
        "boolean", "yes and no", "(?i:y|yes|t|1|on|n|no|f|0|off)", ("y", "yes", "t", "1", "on")
    ),
)


def _numbers_as_asked(asked: str, values: Sequence[str], marks: Marks) -> tuple[Reading, ...]:
    """Return the reading that takes most values; codes with leading zeros count as numbers."""
    best: tuple[int, Reading] | None = None
    for kind, decimal, thousands, has_currency in kinds.NUMBERS:
        if kind != asked or marks.decimal not in (None, decimal):
            continue
        reading = kinds.number(kind, decimal, thousands, has_currency=has_currency)
        n = sum(map(reading.fits, values))
        if best is None or n > best[0]:
            best = (n, reading)
    assert best is not None
    zeros = kinds.Number(asked, "digits", "[+-]?0[0-9]+")
    return (best[1], zeros)


def _misfits(
    connection: Connection,
    table: str,
    found: Mapping[str, Found],
    samples: Mapping[str, _Column],
    progress: Progress,
) -> dict[str, list[str]]:
    """Return values of typed columns that their readings do not take and nobody knew of."""
    typed = {key: it for key, it in found.items() if it.readings and it.reason != "as asked"}
    if not typed:
        return {}
    bad: dict[str, list[str]] = {}
    for part in compute.parts(list(typed)):
        rows = trimmed(table, part)
        flags = ", ".join(f"count(*) FILTER ({_unknown(key, typed[key])})" for key in part)
        sql = f"SELECT {flags} FROM {rows}"
        (counts,) = compute.run(connection, sql, progress=progress, label="Proving the types")
        for key, n in zip(part, counts, strict=True):
            if n:
                bad[key] = _first_misfits(connection, table, key, typed[key])
    return bad


def _first_misfits(connection: Connection, table: str, key: str, it: Found) -> list[str]:
    rows = connection.execute(
        f"SELECT {text_of(key)} AS t FROM {trimmed(table, [key])} "
        f"WHERE {_unknown(key, it)} GROUP BY t ORDER BY min(file_row_number) LIMIT {_MOST_BAD}"
    ).fetchall()
    return [row[0] for row in rows]


def _unknown(key: str, it: Found) -> str:
    known = f" AND NOT {among(text_of(key), it.unreadable)}" if it.unreadable else ""
    return f"{it.misfits(key)}{known}"


def _again(
    column: _Column,
    values: Sequence[str],
    nulls: Sequence[str],
    options: Options,
    marks: Marks,
) -> Found:
    """Judge a column once more, with values that the sample did not hold."""
    known = set(column.values)
    fresh = [value for value in values if value not in known]
    if not fresh:  # it looks right and is not: a day that does not exist, a number too large
        shown = f"'{values[0][:40]}'"
        note = f"Its values are text because {shown} is none of the type that the others have."
        warnings = (ImportWarning("mixed_types", column.name, note),)
        return replace(_text(nulls, f"{shown} cannot be read"), warnings=warnings)
    column.values = [*column.values, *fresh]
    return _judged(column, nulls, options, marks)


def asked_columns(options: Options, names: Sequence[str]) -> None:
    """Raise for a column that ``options`` names and the source does not have."""
    wanted: Any = (*options.types, *options.names)
    for name in wanted:
        if name not in names:
            raise InputError(
                f"There is no column '{name}' to change.",
                nearest(name, names) or f"The columns are: {', '.join(names[:20])}.",
            )
