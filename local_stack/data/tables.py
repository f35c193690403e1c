"""What an import is asked for, what it decided, and what it gave.

A normalised table has columns of six types: long, double, string, boolean, date, datetime
(UTC, no zone).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from local_stack.results import Result

TYPES = ("long", "double", "string", "boolean", "date", "datetime")
"""Every type that a column of a normalised table may have."""

NULLS = ("", "NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "#N/A")
"""Spellings of a missing value in text."""


@dataclass(frozen=True, slots=True)
class ColumnInfo(Result):
    """A column of a normalised table."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class ImportWarning(Result):
    """Something that the import decided or could not read."""

    code: str
    column: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Decision(Result):
    """One thing that the import decided about the file as a whole, and why.

    ``what`` is the option of ``data add`` that corrects it, such as ``delimiter``.
    """

    what: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnDecision(Result):
    """What a column became, and why. ``source`` is the name that the file gives it."""

    name: str
    source: str
    type: str
    reason: str
    n_missing: int = 0
    n_unreadable: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options(Result):
    """How to read a source; what is left out (None, empty) is found out from the source.

    ``header`` counts lines of names (0: there are none), ``skip`` lines before them, ``footer``
    lines at the end; ``types`` and ``names`` map a column of the file.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: int | None = None
    skip: int | None = None
    footer: int | None = None
    decimal: str | None = None
    thousands: str | None = None
    date_format: str | None = None
    nulls: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    sql: str | None = None
    strict: bool = False

    def given(self) -> dict[str, Any]:
        """Return what was asked for, as part of a version's identity; ``strict`` changes nothing.

        Plain JSON values; an option that was left out does not appear.
        """
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "strict" or value is None or value == () or value == {}:
                continue
            found[each.name] = list(value) if isinstance(value, tuple) else value
        return found


@dataclass(frozen=True, slots=True)
class Imported(Result):
    """What one import gave. ``n_rejected`` counts lines and cells that could not be read."""

    n_rows: int
    columns: tuple[ColumnInfo, ...]
    warnings: tuple[ImportWarning, ...] = ()
    n_rejected: int = 0
    decisions: tuple[Decision, ...] = ()
    column_decisions: tuple[ColumnDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class Staged:
    """A source as it was read, before the types of its texts are found.

    ``table`` is a Parquet file with the rows in their order; ``texts`` names its VARCHAR columns
    whose type is still to be inferred (columns of another type, and texts that are known to be
    texts, stay as they are). ``sources`` holds the names that the source itself gives to the
    columns, in order. ``line`` is SQL over ``table`` and its ``file_row_number`` that gives the
    line of a row (empty: its number from 1), ``n_rows`` how many of the rows count (None: all).
    With ``has_place`` the table has columns ``line`` and ``file`` of its own.
    """

    table: Path
    sources: tuple[str, ...]
    texts: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[ImportWarning, ...] = ()
    line: str = ""
    n_rows: int | None = None
    has_place: bool = False
    prefers_comma: bool = False
