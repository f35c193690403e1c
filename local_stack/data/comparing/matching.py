"""Which rows of two tables belong together, found in DuckDB by key or as whole rows.

Columns have internal names by their position (``x0``, ``x1``, ... in a file, ``c0``, ``c1``, ...
among those that both tables have), so that no name of theirs reaches SQL. ``n`` is a row's number
in its file, from 0.

**By key.** A missing key is a key like any other, and equals a missing one. Where a key occurs
more than once on a side, rows that are the same in every common column are matched first, and of
the rest the first with the first, the second with the second, in the order of the files; nothing
is multiplied. **Without a key** rows are a multiset (SQL's EXCEPT ALL): a row that occurs three
times before and once after is once unchanged and twice removed.

Cells are the same when both are missing or both have the same value. Columns whose types differ
are compared where that loses nothing: long and double as numbers (exactly, also above 2^53), date
and datetime as times, anything and text as it is written (a text that reads as a double counts as
that number). Other pairs of types differ wherever a value is not missing on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_stack.data import compute
from local_stack.data.tables import ColumnInfo

Runner = Callable[[str], list[tuple[Any, ...]]]
"""Runs one SQL statement and returns its rows."""

STORED = {
    "long": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}
PER_SCAN = 200
"""Of how many columns one statement tells; DuckDB's planning grows with the square."""

_ROW_NUMBER = "file_row_number"


@dataclass(frozen=True, slots=True)
class Side:
    """A table of a comparison: its file, its columns in order, and the name of its view.

    ``values`` holds the expression of each column in that view, ``kinds`` its type.
    """

    name: str
    file: Path
    columns: tuple[ColumnInfo, ...]
    values: dict[str, str] = field(default_factory=dict, init=False)
    kinds: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for i, column in enumerate(self.columns):
            self.values[column.name] = f"x{i}"
            self.kinds[column.name] = column.type

    def definition(self) -> str:
        """Return the SELECT of every column under its internal name, with the row's number.

        Minus zero becomes zero, which it equals, because grouping tells them apart.
        """
        file = compute.literal(self.file)
        names = [f"y{i}" for i in range(len(self.columns))]
        if any(column.name.lower() == _ROW_NUMBER for column in self.columns):
            rows = f"(SELECT *, row_number() OVER () - 1 FROM read_parquet({file}))"
        else:
            rows = f"read_parquet({file}, {_ROW_NUMBER} = true)"
        values = [
            f"{name}::{STORED[column.type]}{' + 0.0' if column.type == 'double' else ''} AS x{i}"
            for i, (name, column) in enumerate(zip(names, self.columns, strict=True))
        ]
        return f"SELECT {', '.join([*values, 'n'])} FROM {rows} AS t({', '.join([*names, 'n'])})"


@dataclass(frozen=True, slots=True)
class Keys:
    """What was found of the keys: how many occur more than once, and how many are missing."""

    repeated: int
    rows_repeated_before: int
    rows_repeated_after: int
    missing_before: int
    missing_after: int


@dataclass(frozen=True, slots=True)
class Matched:
    """How many rows differ. ``cells`` counts, by common column; None without a key.

    The rows themselves stand in the temporary table ``differing``: ``an`` and ``bn`` are their
    numbers (NULL where a side has none), ``m0``, ``m1``, ... tell which common columns differ.
    """

    added: int
    removed: int
    changed: int
    cells: tuple[int, ...] | None
    keys: Keys | None


def is_comparable(before: str, after: str) -> bool:
    """Return whether values of the two types can be equal."""
    kinds = {before, after}
    return len(kinds) == 1 or "string" in kinds or kinds in ({"long", "double"}, _TIMES)


_TIMES = {"date", "datetime"}


def canonical(value: str, kind: str, other: str, *, is_before: bool) -> str:
    """Return an expression that is equal on both sides exactly where the cells are the same."""
    if kind == other:
        return value
    kinds = {kind, other}
    if kinds == _TIMES:
        return f"{value}::TIMESTAMP"
    if kinds == {"long", "double"}:
        whole = f"{value} = trunc({value}) AND abs({value}) < 1e19"
        return (
            f"{value}::VARCHAR"
            if kind == "long"
            else f"CASE WHEN {whole} THEN {value}::HUGEINT::VARCHAR ELSE {value}::VARCHAR END"
        )
    if kinds == {"double", "string"} and kind == "string":
        return f"coalesce(TRY_CAST({value} AS DOUBLE)::VARCHAR, {value})"
    if "string" in kinds:
        return f"{value}::VARCHAR"
    return f"CASE WHEN {value} IS NOT NULL THEN {'false' if is_before else 'true'} END"


def prepare(run: Runner, before: Side, after: Side, common: Sequence[str]) -> None:
    """Make the views ``before`` and ``after`` (as stored) and ``a`` and ``b`` (to compare)."""
    for side, other, view in ((before, after, "a"), (after, before, "b")):
        run(f"CREATE TEMP VIEW {side.name} AS {side.definition()}")
        values = [
            canonical(
                side.values[name], side.kinds[name], other.kinds[name], is_before=side is before
            )
            + f" AS c{i}"
            for i, name in enumerate(common)
        ]
        run(f"CREATE TEMP VIEW {view} AS SELECT {', '.join([*values, 'n'])} FROM {side.name}")


def as_multisets(run: Runner, n_columns: int) -> Matched:
    """Match whole rows, each as often as it occurs on both sides."""
    columns = ", ".join(f"c{i}" for i in range(n_columns))
    run(
        "CREATE TEMP TABLE differing AS "
        f"SELECT min(an) AS an, min(bn) AS bn, count(an) AS p, count(bn) AS q FROM ("
        f"SELECT {columns}, n AS an, NULL AS bn FROM a UNION ALL "
        f"SELECT {columns}, NULL, n FROM b) GROUP BY {columns} HAVING count(an) <> count(bn)"
    )
    ((added, removed),) = run(
        "SELECT coalesce(sum(greatest(q - p, 0)), 0), coalesce(sum(greatest(p - q, 0)), 0) "
        "FROM differing"
    )
    return Matched(int(added), int(removed), 0, None, None)


def by_key(run: Runner, n_columns: int, key: Sequence[int]) -> Matched:
    """Match rows by the common columns at the positions ``key``."""
    found = _look_at_keys(run, key)
    sides, on = ("a", "b"), _same(key)
    if found.repeated:
        _number_repeated(run, n_columns, key)
        sides = ("numbered_a", "numbered_b")
        on += " AND a.o = b.o"
    rest = [i for i in range(n_columns) if i not in key]
    marks = [f"a.c{i} IS DISTINCT FROM b.c{i}" for i in rest]
    differs = " OR ".join(["a.n IS NULL", "b.n IS NULL", *marks])
    columns = "".join(f", {mark} AS m{i}" for i, mark in zip(rest, marks, strict=True))
    run(
        f"CREATE TEMP TABLE differing AS SELECT a.n AS an, b.n AS bn{columns} "
        f"FROM {sides[0]} AS a FULL JOIN {sides[1]} AS b ON {on} WHERE {differs}"
    )
    ((added, removed, changed),) = run(
        "SELECT count(*) FILTER (an IS NULL), count(*) FILTER (bn IS NULL), "
        "count(*) FILTER (an IS NOT NULL AND bn IS NOT NULL) FROM differing"
    )
    return Matched(added, removed, changed, _cells(run, n_columns, rest), found)


def _cells(run: Runner, n_columns: int, compared: Sequence[int]) -> tuple[int, ...]:
    """Return how many cells of matched rows differ, for each common column."""
    found = [0] * n_columns
    for start in range(0, len(compared), PER_SCAN):
        some = compared[start : start + PER_SCAN]
        counts = ", ".join(f"count_if(m{i})" for i in some)
        (row,) = run(f"SELECT {counts} FROM differing WHERE an IS NOT NULL AND bn IS NOT NULL")
        for i, n in zip(some, row, strict=True):
            found[i] = n or 0  # DuckDB counts nothing of no row
    return tuple(found)


def _same(columns: Sequence[int]) -> str:
    return " AND ".join(f"a.c{i} IS NOT DISTINCT FROM b.c{i}" for i in columns)


def _look_at_keys(run: Runner, key: Sequence[int]) -> Keys:
    columns = ", ".join(f"c{i}" for i in key)
    for side in ("a", "b"):
        run(
            f"CREATE TEMP TABLE repeated_{side} AS "
            f"SELECT {columns}, count(*) AS n FROM {side} GROUP BY {columns} HAVING count(*) > 1"
        )
    run(
        f"CREATE TEMP TABLE repeated AS SELECT {columns} FROM repeated_a "
        f"UNION SELECT {columns} FROM repeated_b"
    )
    missing = " OR ".join(f"c{i} IS NULL" for i in key)
    ((repeated, in_a, in_b, missing_a, missing_b),) = run(
        "SELECT (SELECT count(*) FROM repeated), (SELECT coalesce(sum(n), 0) FROM repeated_a), "
        "(SELECT coalesce(sum(n), 0) FROM repeated_b), "
        f"(SELECT count(*) FROM a WHERE {missing}), (SELECT count(*) FROM b WHERE {missing})"
    )
    return Keys(repeated, int(in_a), int(in_b), missing_a, missing_b)


def _number_repeated(run: Runner, n_columns: int, key: Sequence[int]) -> None:
    """Make ``numbered_a`` and ``numbered_b``: rows with ``o``, which tells equal keys apart.

    A row whose key is its own has 0; a pair of identical rows shares a number below 0; what is
    left over of a key counts from 1.
    """
    every = range(n_columns)
    keys, columns = (", ".join(f"c{i}" for i in some) for some in (key, every))
    for side in ("a", "b"):
        on = " AND ".join(f"{side}.c{i} IS NOT DISTINCT FROM repeated.c{i}" for i in key)
        run(
            f"CREATE TEMP TABLE rows_{side} AS SELECT {side}.*, "
            f"row_number() OVER (PARTITION BY {columns} ORDER BY n) AS copy "
            f"FROM {side} SEMI JOIN repeated ON {on}"
        )
    run(
        "CREATE TEMP TABLE twins AS SELECT a.n AS an, b.n AS bn, -row_number() OVER () AS o "
        f"FROM rows_a AS a JOIN rows_b AS b ON {_same(every)} AND a.copy = b.copy"
    )
    for side in ("a", "b"):
        run(
            f"CREATE TEMP TABLE numbers_{side} AS SELECT {side}n AS n, o FROM twins UNION ALL "
            f"SELECT n, row_number() OVER (PARTITION BY {keys} ORDER BY n) FROM rows_{side} "
            f"ANTI JOIN twins ON twins.{side}n = rows_{side}.n"
        )
        run(
            f"CREATE TEMP VIEW numbered_{side} AS SELECT {side}.*, coalesce(o, 0) AS o "
            f"FROM {side} LEFT JOIN numbers_{side} USING (n)"
        )
