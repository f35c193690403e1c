"""Columns that come with a type of their own are narrowed to the six of a normalised table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.compute import identifier
from local_stack.data.tables import ImportWarning

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_LARGE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_STAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The type of a column, SQL for its values, and what was lost, if anything."""

    type: str
    sql: str
    reason: str
    warnings: tuple[ImportWarning, ...] = ()


def narrowed(connection: Connection, table: str, columns: Mapping[str, str]) -> dict[str, Narrowed]:
    """Return how each of ``columns`` (staged name to the name in messages) is kept."""
    if not columns:
        return {}
    quoted = ", ".join(identifier(column) for column in columns)
    cursor = connection.execute(f"SELECT {quoted} FROM {table} LIMIT 0")
    kinds = [str(column[1]) for column in cursor.description or ()]
    return {
        column: _one(connection, table, column, name, kind)
        for (column, name), kind in zip(columns.items(), kinds, strict=True)
    }


def _one(connection: Connection, table: str, column: str, name: str, kind: str) -> Narrowed:
    cell = identifier(column)
    came = f"the source says {kind.lower()}"
    if kind in _WHOLE:
        return Narrowed("long", f"CAST({cell} AS BIGINT)", came)
    if kind in ("FLOAT", "DOUBLE"):
        number = f"CAST({cell} AS DOUBLE)"
        return Narrowed("double", f"CASE WHEN NOT isnan({number}) THEN {number} END", came)
    if kind == "BOOLEAN":
        return Narrowed("boolean", cell, came)
    if kind == "DATE":
        return Narrowed("date", cell, came)
    if kind in _STAMPS:
        return Narrowed("datetime", f"CAST({cell} AS TIMESTAMP)", came)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return Narrowed("datetime", f"({cell} AT TIME ZONE 'UTC')", f"{came}; kept in UTC")
    if kind in ("VARCHAR", '"NULL"', "NULL") or kind.startswith("ENUM"):
        return Narrowed("string", f"CAST({cell} AS VARCHAR)", came)
    return _lossy(connection, table, cell, name, kind, came)


def _lossy(
    connection: Connection, table: str, cell: str, name: str, kind: str, came: str
) -> Narrowed:
    is_whole = kind in _LARGE or (kind.startswith("DECIMAL") and kind.endswith(",0)"))
    if is_whole:
        sql = f"SELECT count(*) = count(try_cast({cell} AS BIGINT)) FROM {table} WHERE {cell} IS NOT NULL"  # noqa: E501
        if connection.execute(sql).fetchall()[0][0]:
            return Narrowed("long", f"CAST({cell} AS BIGINT)", came)
        note = f"Values of type {kind} are larger than 64 bits hold; they are kept exact, as text."
        warning = ImportWarning("huge_integer", name, note)
        return Narrowed("string", f"CAST({cell} AS VARCHAR)", f"{came}, kept exact", (warning,))
    if kind.startswith("DECIMAL"):
        warning = ImportWarning("narrowed", name, f"Values of type {kind} are kept as DOUBLE.")
        return Narrowed("double", f"CAST({cell} AS DOUBLE)", came, (warning,))
    warning = ImportWarning("narrowed", name, f"Values of type {kind} are kept as VARCHAR.")
    return Narrowed("string", f"CAST({cell} AS VARCHAR)", came, (warning,))
