"""Cells of any Python type become a Parquet file in which each column has one type.

Rows are written as texts first, block by block, while the kinds of values in each column are
counted; DuckDB then casts every column to the one type that holds all of its values exactly.
What no one type holds stays text. Memory does not grow with the number of rows.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from local_stack.data import compute
from local_stack.data.compute import identifier, literal
from local_stack.data.tables import ImportWarning
from local_stack.errors import InputError
from local_stack.progress import Progress, silent

MAX_COLUMNS = 20_000
"""Columns that one table may have."""

BLOCK_ROWS = 10_000
"""Rows that are held in memory at a time."""

_EXACT = 2**53
_LONG = 2**63
_DIGITS = 38
_AT_ONCE = 200

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
_ZONE = r" ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"


@dataclass(slots=True)
class _Column:
    """What a column holds so far."""

    name: str
    kinds: set[str] = field(default_factory=set)
    is_whole: bool = True
    largest: int = 0
    n_digits: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Typed:
    """The columns of a written table: their names, DuckDB types, and those that mix types."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    mixed: tuple[str, ...]
    nested: tuple[str, ...]
    huge: tuple[str, ...]
    n_rows: int

    def texts(self) -> tuple[str, ...]:
        """Return the columns that are text."""
        pairs = zip(self.names, self.types, strict=True)
        return tuple(name for name, kind in pairs if kind == "VARCHAR")

    def warnings(self) -> tuple[ImportWarning, ...]:
        """Return a warning for each column that is text although it holds more than texts."""
        mixed = "Its values are of several types and are kept as text."
        nested = "Its nested values are kept as JSON text."
        huge = "Its whole numbers go beyond what a number holds and are kept as text, exactly."
        return (
            *(ImportWarning("huge_integers", name, huge) for name in self.huge),
            *(ImportWarning("mixed", name, mixed) for name in self.mixed),
            *(ImportWarning("nested", name, nested) for name in self.nested),
        )


class Cells:
    """A table under way. Columns may appear while rows are added; ``scratch`` keeps the blocks.

    ``has_whole_floats`` says that floats are whole numbers where all of a column are, as in
    Excel, which knows no other.
    """

    def __init__(
        self, scratch: Path, names: Iterable[str] = (), *, has_whole_floats: bool = False
    ) -> None:
        self._has_whole_floats = has_whole_floats
        self._folder = scratch / "cells"
        self._folder.mkdir()
        self._columns: list[_Column] = []
        self._places: dict[str, int] = {}
        self._parts = 0
        self._width = 0
        self._writer: Any = None
        self.n_rows = 0
        for name in names:
            self._column(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns so far, as they were given."""
        return tuple(column.name for column in self._columns)

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows; each holds one value for each column, in order."""
        width = len(self._columns)
        self._write([[row[place] for row in rows] for place in range(width)], len(rows))

    def add_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records; a key that is new becomes a column that is null before."""
        for record in records:
            for key in record:
                if key not in self._places:
                    self._column(key)
        names = [column.name for column in self._columns]
        self._write([[record.get(name) for record in records] for name in names], len(records))

    def close(self) -> None:
        """Release the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write(
        self,
        target: Path,
        *,
        names: Sequence[str] | None = None,
        isos: Collection[int] = (),
        flags: Collection[int] = (),
        progress: Progress = silent,
        label: str = "Writing the table",
    ) -> Typed:
        """Write the table to ``target`` and return what its columns became.

        Parameters
        ----------
        names
            The names of the columns; theirs when left out.
        isos
            Columns whose texts become dates or times when all of them are ISO 8601.
        flags
            Columns whose whole numbers become booleans when all of them are 0 or 1.
        """
        self.close()
        if not self._columns:
            raise InputError("The source holds no column.", "Give a table with a header line.")
        names = unique(names or [column.name for column in self._columns])
        types = [_type(column, self._has_whole_floats) for column in self._columns]
        with compute.connect(self._folder, scratch=target.parent) as connection:
            if self._parts:
                paths = ", ".join(literal(self._part(n)) for n in range(1, self._parts + 1))
                table = f"read_parquet([{paths}], union_by_name=true)"
            else:
                empty = ", ".join(f"NULL::VARCHAR AS c{n}" for n in range(len(types)))
                table = f"(SELECT {empty} WHERE false)"
            texts = [
                n for n in isos if types[n] == "VARCHAR" and self._columns[n].kinds == {"text"}
            ]
            for place, kind in iso_types(connection, table, [f"c{n}" for n in texts]).items():
                types[texts[place]] = kind
            for place in self._booleans(connection, table, flags, types):
                types[place] = "BOOLEAN"
            casts = ", ".join(
                f"{_cast(f'c{n}', kind)} AS {identifier(name)}"
                for n, (name, kind) in enumerate(zip(names, types, strict=True))
            )
            compute.run(
                connection,
                f"COPY (SELECT {casts} FROM {table}) TO {literal(target)} (FORMAT parquet)",
                progress=progress,
                label=label,
            )
        kept = dict(zip(names, self._columns, strict=True))
        return Typed(
            tuple(names),
            tuple(types),
            tuple(name for name, column in kept.items() if is_mixed(column.kinds)),
            tuple(name for name, column in kept.items() if column.kinds == {"nested"}),
            tuple(
                name for name, column in kept.items() if _is_huge(column, self._has_whole_floats)
            ),
            self.n_rows,
        )

    def _column(self, name: str) -> None:
        if len(self._columns) >= MAX_COLUMNS:
            raise InputError(
                f"The table has more than {MAX_COLUMNS} columns.",
                "Import it as rows of name and value instead.",
            )
        self._places.setdefault(name, len(self._columns))
        self._columns.append(_Column(name))

    def _write(self, columns: list[list[Any]], n_rows: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not n_rows or not columns:
            return
        if self._writer is None or self._width != len(columns):
            self.close()
            self._parts += 1
            self._width = len(columns)
            schema = pa.schema([(f"c{n}", pa.string()) for n in range(self._width)])
            self._writer = pq.ParquetWriter(self._part(self._parts), schema, compression="lz4")
        arrays = [
            pa.array(self._rendered(values, column), pa.string())
            for values, column in zip(columns, self._columns, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._writer.schema))
        self.n_rows += n_rows

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _rendered(self, values: list[Any], column: _Column) -> list[str | None]:
        if self._has_whole_floats:
            values = [
                _Whole(value) if type(value) is float and value.is_integer() else value
                for value in values
            ]
        return _rendered(values, column)

    def _booleans(
        self, connection: Any, table: str, flags: Collection[int], types: Sequence[str]
    ) -> list[int]:
        asked = [n for n in flags if types[n] == "BIGINT"]
        if not asked:
            return []
        terms = ", ".join(f"count(*) FILTER (c{n} NOT IN ('0', '1'))" for n in asked)
        row = compute.run(connection, f"SELECT {terms} FROM {table}")[0]
        return [n for n, others in zip(asked, row, strict=True) if not others]


def unique(names: Sequence[str]) -> list[str]:
    """Return names that differ whatever their case: the second ``a`` is ``a_1``, as in DuckDB.

    An empty name becomes ``column_N`` by its place from 1; NUL, which SQL cannot hold, is told.
    """
    taken: set[str] = set()
    found = []
    for place, given in enumerate(names, 1):
        name = _text(given).replace("\0", "\\0") or f"column_{place}"
        candidate, number = name, 0
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def iso_types(connection: Any, table: str, columns: Sequence[str]) -> dict[int, str]:
    """Return which of the text columns hold nothing but ISO 8601 dates or times, and their type.

    ``columns`` are SQL expressions; the keys are their places. A column of dates is DATE, of
    times without a zone TIMESTAMP, of times with one TIMESTAMP WITH TIME ZONE.
    """
    found: dict[int, str] = {}
    for start in range(0, len(columns), _AT_ONCE):
        some = columns[start : start + _AT_ONCE]
        terms = ", ".join(term for column in some for term in _iso_terms(column))
        row = compute.run(connection, f"SELECT {terms} FROM {table}")[0]
        for place in range(len(some)):
            n, *fits = row[place * 4 : place * 4 + 4]
            kinds = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
            kind = next(
                (k for k, n_fits in zip(kinds, fits, strict=True) if n and n_fits == n), None
            )
            if kind:
                found[start + place] = kind
    return found


def _iso_terms(column: str) -> list[str]:
    naive, zoned = f"{_DATE}({_TIME})?", f"{_DATE}{_TIME}{_ZONE}"
    kinds = ((_DATE, "DATE"), (naive, "TIMESTAMP"), (zoned, "TIMESTAMP WITH TIME ZONE"))
    return [f"count({column})"] + [
        f"count(*) FILTER (regexp_full_match({column}, '{pattern}') "
        f"AND TRY_CAST({column} AS {kind}) IS NOT NULL)"
        for pattern, kind in kinds
    ]


def is_mixed(kinds: Collection[str]) -> bool:
    """Return whether no one type but text holds values of all ``kinds``."""
    return len(kinds) > 1 and not any(set(kinds) <= family for family in _FAMILIES)


_FAMILIES = ({"int", "real"}, {"int", "decimal"}, {"real", "decimal", "int"}, {"date", "datetime"})
_SIMPLE = {
    "bool": "BOOLEAN",
    "real": "DOUBLE",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "zoned": "TIMESTAMP WITH TIME ZONE",
    "time": "TIME",
    "blob": "BLOB",
}


def _type(column: _Column, has_whole_floats: bool) -> str:
    kinds = column.kinds
    if kinds and kinds <= {"int", "real", "decimal"}:
        return _number_type(column, has_whole_floats)
    if kinds == {"date", "datetime"}:
        return "TIMESTAMP"
    return _SIMPLE.get(next(iter(kinds)), "VARCHAR") if len(kinds) == 1 else "VARCHAR"


def _number_type(column: _Column, has_whole_floats: bool) -> str:
    kinds = column.kinds
    if kinds == {"int"} or (has_whole_floats and "decimal" not in kinds and column.is_whole):
        return "BIGINT" if column.largest < _LONG else "VARCHAR"
    if "real" in kinds:
        return "VARCHAR" if column.largest > _EXACT and "int" in kinds else "DOUBLE"
    width = max(column.n_digits, len(str(column.largest))) + column.scale
    return f"DECIMAL({width}, {column.scale})" if width <= _DIGITS else "VARCHAR"


def _is_huge(column: _Column, has_whole_floats: bool) -> bool:
    is_number = bool(column.kinds) and column.kinds <= {"int", "real", "decimal"}
    return is_number and _number_type(column, has_whole_floats) == "VARCHAR"


def _cast(column: str, kind: str) -> str:
    if kind == "VARCHAR":
        return column
    if kind == "BLOB":
        return f"unhex({column})"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CAST({column} AS TIMESTAMPTZ)"
    return f"CAST({column} AS {kind})"


def _rendered(values: list[Any], column: _Column) -> list[str | None]:
    """Return values as texts, and note what they are."""
    types = set(map(type, values)) - {type(None)}
    if types == {str}:
        column.kinds.add("text")
        return [value if value is None else _text(value) for value in values]
    if len(types) == 1:
        render = _RENDERERS.get(types.pop(), _other)
        return [value if value is None else render(value, column) for value in values]
    return [
        value if value is None else _RENDERERS.get(type(value), _other)(value, column)
        for value in values
    ]


def _text(value: str) -> str:
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _string(value: str, column: _Column) -> str:
    column.kinds.add("text")
    return _text(value)


def _bool(value: bool, column: _Column) -> str:
    column.kinds.add("bool")
    return "true" if value else "false"


def _int(value: int, column: _Column) -> str:
    column.kinds.add("int")
    column.largest = max(column.largest, value if value >= 0 else -value - (value == -_LONG))
    try:
        return str(value)
    except ValueError:  # more digits than Python turns into text
        return hex(value)


def _float(value: float, column: _Column) -> str | None:
    if math.isnan(value):
        return None
    column.kinds.add("real")
    column.is_whole = False
    return repr(value)


class _Whole(float):
    """A float without a fraction that is to be written as a whole number."""


def _whole(value: float, column: _Column) -> str:
    column.kinds.add("real")
    if abs(value) >= _LONG:
        column.is_whole = False
        return repr(float(value))
    return f"{value:.0f}"


def _decimal(value: Decimal, column: _Column) -> str | None:
    if not value.is_finite():
        return None
    column.kinds.add("decimal")
    text = f"{value:f}" if abs(value.adjusted()) < 1000 else str(value)
    whole, _, part = text.lstrip("-").partition(".")
    column.n_digits = max(column.n_digits, len(whole))
    column.scale = max(column.scale, len(part))
    return text


def _date(value: dt.date, column: _Column) -> str:
    column.kinds.add("date")
    return value.isoformat()


def _datetime(value: dt.datetime, column: _Column) -> str:
    column.kinds.add("zoned" if value.tzinfo else "datetime")
    return value.isoformat(" ")


def _time(value: dt.time, column: _Column) -> str:
    column.kinds.add("time" if value.tzinfo is None else "text")
    return value.isoformat()


def _duration(value: dt.timedelta, column: _Column) -> str:
    """Return hours, minutes and seconds, as a spreadsheet shows them."""
    column.kinds.add("duration")
    seconds, rest = divmod(abs(value), dt.timedelta(seconds=1))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    part = f".{rest.microseconds:06}" if rest else ""
    sign = "-" if value < dt.timedelta(0) else ""
    return f"{sign}{hours:02}:{minutes:02}:{seconds % 60:02}{part}"


def _bytes(value: bytes, column: _Column) -> str:
    column.kinds.add("blob")
    return value.hex()


def _nested(value: Any, column: _Column) -> str:
    column.kinds.add("nested")
    return _text(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def _other(value: Any, column: _Column) -> str:
    """Render a subclass as its base, and anything else as its text."""
    if isinstance(value, memoryview | bytearray):
        return _bytes(bytes(value), column)
    for kind in (bool, int, float, str, dt.datetime, dt.date, bytes, dict, list, tuple):
        if isinstance(value, kind):
            text = _RENDERERS[kind](value, column)
            return "" if text is None else text
    return _string(str(value), column)


_RENDERERS: dict[type, Callable[[Any, _Column], str | None]] = {
    str: _string,
    bool: _bool,
    int: _int,
    float: _float,
    _Whole: _whole,
    Decimal: _decimal,
    dt.datetime: _datetime,
    dt.date: _date,
    dt.time: _time,
    dt.timedelta: _duration,
    bytes: _bytes,
    dict: _nested,
    list: _nested,
    tuple: _nested,
}
