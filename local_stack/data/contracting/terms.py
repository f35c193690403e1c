"""Rules of a contract as SQL: what breaks each of them, in the type of its column.

Columns are read by position (``c0``, ``c1``, ...; ``r`` is the number of the row, from 0), so
that no name of a column ever stands in a statement, and every value is an SQL literal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.contracting.contract_file import Rule, moment
from local_stack.data.contracting.expressions import quoted

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

SHOWN_CHARACTERS = 200
"""So much of a text is shown in a verdict."""

_TYPES = {
    **{
        f"{sign}{size}INT": "long"
        for sign in ("", "U")
        for size in ("TINY", "SMALL", "BIG", "HUGE")
    },
    **dict.fromkeys(("INTEGER", "UINTEGER"), "long"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "double"),
    "BOOLEAN": "boolean",
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "datetime"),
    "TIMESTAMP WITH TIME ZONE": "datetime",
}
_STORED = {
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "string": "VARCHAR",
}
_FEW = 16
"""Lists of values up to this length are compared one by one, longer ones by hash."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name, its type in the words of contracts, the SQL of its values."""

    name: str
    type: str
    sql: str

    @property
    def shown(self) -> str:
        """Return SQL for a value as a verdict shows it: plain, short, times in ISO 8601."""
        if self.type == "string":
            return f"left({self.sql}, {SHOWN_CHARACTERS})"
        if self.type == "date":
            return f"strftime({self.sql}, '%Y-%m-%d')"
        if self.type == "datetime":
            return f"strftime({self.sql}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        return self.sql

    def extreme(self, word: str) -> str:
        """Return SQL for the smallest (``min``) or largest value as a verdict shows it."""
        return Column(self.name, self.type, f"{word}({self.sql})").shown


@dataclass(frozen=True, slots=True)
class Table:
    """A table to judge: ``relation`` has the columns by position and the row number ``r``."""

    relation: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        """Return the column called ``name``."""
        return next((column for column in self.columns if column.name == name), None)

    def reads(self) -> dict[str, str]:
        """Return the SQL of each column by its name, as expressions read them."""
        return {column.name: column.sql for column in self.columns}


class UnfitError(Exception):
    """A rule cannot be asked of a column of that type."""


def table(connection: Connection, path: Path, names: Sequence[str] | None = None) -> Table:
    """Return the Parquet file at ``path`` as a table; ``names`` are those in the file if left out.

    DuckDB renames columns that differ by case alone, so the names come from the file's schema.
    """
    place = compute.literal(path)
    described = compute.run(connection, f"DESCRIBE SELECT * FROM read_parquet({place})")
    if names is None:
        names = _names(connection, place, [row[0] for row in described])
    columns = [
        _column(name, str(row[1]), f"c{i}")
        for i, (name, row) in enumerate(zip(names, described, strict=True))
    ]
    aliases = ", ".join([f"c{i}" for i in range(len(columns))] + ["r"])
    if any(row[0].lower() == "file_row_number" for row in described):  # the reader's own name
        rows = f"(SELECT *, row_number() OVER () - 1 FROM read_parquet({place}))"
    else:
        rows = f"read_parquet({place}, file_row_number = true)"
    return Table(f"{rows} AS t({aliases})", tuple(columns))


def empty_table(types: Mapping[str, str]) -> Table:
    """Return a table without rows that has columns of the given types by name."""
    columns = [Column(name, kind, f"c{i}") for i, (name, kind) in enumerate(types.items())]
    items = [f"CAST(NULL AS {_STORED[c.type]}) AS {c.sql}" for c in columns] + ["0 AS r"]
    return Table(f"(SELECT {', '.join(items)} WHERE FALSE) AS t", tuple(columns))


def _names(connection: Connection, place: str, described: list[str]) -> list[str]:
    rows = compute.run(
        connection,
        f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({place})",
    )
    names = [str(row[0]) for row in rows[1:]]
    is_flat = all(row[1] == 0 for row in rows[1:]) and len(names) == len(described)
    return names if is_flat else described


def _column(name: str, stored: str, sql: str) -> Column:
    if stored.startswith("DECIMAL"):
        return Column(name, "double", f"CAST({sql} AS DOUBLE)")
    kind = _TYPES.get(stored, "string")
    if kind == "string" and stored != "VARCHAR":
        return Column(name, kind, f"CAST({sql} AS VARCHAR)")
    if kind == "datetime" and stored != "TIMESTAMP":
        return Column(name, kind, f"CAST({sql} AS TIMESTAMP)")
    return Column(name, kind, sql)


def bad(rule: Rule, column: Column) -> str:
    """Return SQL that is true for a value of ``column`` that breaks ``rule``; never for NULL.

    Raises
    ------
    UnfitError
        When the rule cannot be asked of that type.
    """
    value = rule.value
    if rule.code == "null":
        return f"{column.sql} IS NULL"
    if rule.code in BOUNDS:
        return _out_of_bounds(rule.code, value, column)
    if rule.code in ("allowed", "forbidden"):
        return _listed(value, column, "NOT IN" if rule.code == "allowed" else "IN")
    if rule.code in ("pattern", "forbidden_pattern"):
        found = f"regexp_matches(CAST({column.sql} AS VARCHAR), {quoted(value)})"
        return f"NOT {found}" if rule.code == "pattern" else found
    if column.type != "string":
        raise UnfitError(f"only texts have a length, and its type is {column.type}")
    return f"length({column.sql}) {'<' if rule.code == 'min_length' else '>'} {int(value)}"


BOUNDS = {"min": "<", "max": ">", "exclusive_min": "<=", "exclusive_max": ">="}


def _out_of_bounds(code: str, value: Any, column: Column) -> str:
    mark = BOUNDS[code]
    if column.type == "long":
        return f"{column.sql} {mark} {_whole_bound(code, value)}"
    if column.type == "date":
        return f"CAST({column.sql} AS TIMESTAMP) {mark} {_time(value)}"
    if column.type == "boolean":
        raise UnfitError("a boolean has no bounds")
    return f"{column.sql} {mark} {literal(value, column.type)}"


def _whole_bound(code: str, value: Any) -> str:
    """Return a bound as a whole number that parts the same whole numbers: no digit is lost."""
    if not is_number(value):
        raise UnfitError(f"the bound {value!r} is not a number")
    if isinstance(value, float):
        value = math.ceil(value) if code in ("min", "exclusive_max") else math.floor(value)
    return f"({value})" if -(2**63) <= value < 2**63 else f"CAST('{float(value)!r}' AS DOUBLE)"


def _listed(values: Sequence[Any], column: Column, word: str) -> str:
    items = [literal(value, column.type) for value in values if not _is_idle(value, column)]
    if not items:
        return f"{column.sql} IS NOT NULL" if word == "NOT IN" else "FALSE"
    if len(items) <= _FEW:
        return f"{column.sql} {word} ({', '.join(items)})"
    return f"{column.sql} {word} (SELECT unnest([{', '.join(items)}]))"


def _is_idle(value: Any, column: Column) -> bool:
    """Return whether a listed value can equal no value of the column: null, 1.5 among longs."""
    if value is None:
        return True
    if column.type != "long" or not isinstance(value, int | float):
        return False
    return abs(value) >= 2**63 or value != int(value)


def literal(value: Any, kind: str) -> str:
    """Return a value of a contract as an SQL literal of the type ``kind``.

    Raises
    ------
    UnfitError
        When the value is of another type.
    """
    if kind in ("date", "datetime"):
        return _time(value)
    if kind == "string" and isinstance(value, str):
        return quoted(value)
    if kind == "boolean" and isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if kind in ("long", "double") and is_number(value):
        return f"({int(value)})" if kind == "long" else f"CAST('{float(value)!r}' AS DOUBLE)"
    raise UnfitError(f"its type is {kind}, and {value!r} is not")


def is_number(value: Any) -> bool:
    """Return whether a value of a document is a number (a truth is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: Any) -> str:
    try:
        found: datetime = moment(value)
    except (ValueError, TypeError, OverflowError):
        raise UnfitError(f"{value!r} is not an ISO 8601 date") from None
    return f"TIMESTAMP '{found.isoformat(sep=' ')}'"
