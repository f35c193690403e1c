"""DuckDB as the engine that reads tables: what a file holds becomes one normalised Parquet.

Column types are narrowed to six: long, double, string, boolean, date, datetime (UTC, no
zone). The connection is locked: it sees two folders, loads no extension, and takes no
configuration from what it reads. This is the only module of ``data`` that imports duckdb.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data.tables import NULLS, ColumnInfo, Imported, ImportWarning
from local_stack.errors import InputError
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GB"
"""What DuckDB may hold while it reads or compares tables; the rest spills to disk."""

_TICK_SECONDS = 0.2

FORMATS = ("csv", "parquet", "jsonl")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_TYPES = {
    "TINYINT": ("BIGINT", "long"),
    "SMALLINT": ("BIGINT", "long"),
    "INTEGER": ("BIGINT", "long"),
    "BIGINT": ("BIGINT", "long"),
    "UTINYINT": ("BIGINT", "long"),
    "USMALLINT": ("BIGINT", "long"),
    "UINTEGER": ("BIGINT", "long"),
    "FLOAT": ("DOUBLE", "double"),
    "DOUBLE": ("DOUBLE", "double"),
    "BOOLEAN": ("BOOLEAN", "boolean"),
    "DATE": ("DATE", "date"),
    "TIMESTAMP": ("TIMESTAMP", "datetime"),
    "TIMESTAMP_S": ("TIMESTAMP", "datetime"),
    "TIMESTAMP_MS": ("TIMESTAMP", "datetime"),
    "TIMESTAMP_NS": ("TIMESTAMP", "datetime"),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMP", "datetime"),
}
_FIRST_LINES = 5
_ENCODINGS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def format_of(source: str, given: str | None) -> str:
    """Return the format that was given, or the one that the name ends in (csv when unknown)."""
    return given or _SUFFIXES.get(Path(source.lower()).suffix, "csv")


def normalise(source: Path, kind: str, target: Path) -> Imported:
    """Read ``source`` as ``kind`` and write it to ``target`` as Parquet.

    ``source`` must not hold glob characters: pass a stored object, not a user's path.

    Raises
    ------
    InputError
        When the file is empty or cannot be read as that format.
    """
    import duckdb

    with connect(source.parent, scratch=target.parent) as connection:
        try:
            if kind == "csv":
                return _import_csv(connection, source, target)
            reader = connection.read_parquet if kind == "parquet" else connection.read_json
            return _written(reader(str(source)), connection, target)
        except duckdb.Error as error:
            raise InputError(
                f"The file cannot be read as {kind}: {_first_line(error)}",
                f"Name the right format with --format ({', '.join(FORMATS)}).",
            ) from error


def _import_csv(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> Imported:
    """Read strictly first; if that fails, leave out what does not fit, and count and name it."""
    import duckdb

    if source.stat().st_size == 0:
        raise InputError("The file is empty.", "Give a table with a header line.")
    text, notes = _as_utf8(source, target.with_name("utf8.csv"))
    options: dict[str, Any] = {"sample_size": -1, "na_values": list(NULLS)}
    try:
        table = connection.read_csv(str(text), **options)
        delimiter = _overlooked(table.columns)
        if delimiter is None:
            return _written(table, connection, target, notes)
        options["sep"] = delimiter
    except duckdb.Error:
        pass
    table = connection.read_csv(str(text), store_rejects=True, **options)
    imported = _written(table, connection, target, notes)
    rows = connection.execute("SELECT DISTINCT line FROM reject_errors ORDER BY line").fetchall()
    if not rows:
        return imported
    lines = _some([row[0] for row in rows])
    note = f"{len(rows)} lines could not be read and were left out: {lines}."
    warning = ImportWarning("rejected_lines", None, note)
    return replace(imported, warnings=(*imported.warnings, warning), n_rejected=len(rows))


def _written(
    table: duckdb.DuckDBPyRelation,
    connection: duckdb.DuckDBPyConnection,
    target: Path,
    notes: tuple[ImportWarning, ...] = (),
) -> Imported:
    if not table.columns:
        raise InputError("The file holds no column.", "Give a table with a header line.")
    casts, narrowed = _casts(table)
    table.project(", ".join(casts)).write_parquet(str(target), compression="zstd")
    stored = connection.read_parquet(str(target))
    nulls = _n_nulls(stored)
    columns = tuple(
        ColumnInfo(name, _TYPES.get(str(kind), ("", "string"))[1], n > 0)
        for name, kind, n in zip(stored.columns, stored.types, nulls, strict=True)
    )
    return Imported(_one(stored.count("*")), columns, (*notes, *narrowed), 0)


def _as_utf8(source: Path, target: Path) -> tuple[Path, tuple[ImportWarning, ...]]:
    """Return ``source`` when it is UTF-8, else a copy at ``target`` that is.

    A byte-order mark tells UTF-16; other bytes that are not UTF-8 are read as Latin-1, line by
    line, and the lines are named.
    """
    with source.open("rb") as stream:
        head = stream.read(4)
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), None)
    if encoding is not None:
        with (
            source.open(encoding=encoding, errors="replace", newline="") as stream,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            shutil.copyfileobj(stream, out)
        note = f"The text is {encoding.upper()}, by its byte-order mark."
        return target, (ImportWarning("encoding", None, note),)
    bad: list[int] = []
    with source.open("rb") as raw, target.open("wb") as out:
        for number, line in enumerate(raw, 1):
            try:
                line.decode("utf-8")
                out.write(line)
            except UnicodeDecodeError:
                bad.append(number)
                out.write(line.decode("latin-1").encode("utf-8"))
    if not bad:
        return source, ()
    note = f"{len(bad)} lines are not UTF-8 and were read as Latin-1: {_some(bad)}."
    return target, (ImportWarning("encoding", None, note),)


def _some(lines: Sequence[int]) -> str:
    """Return the first line numbers in words."""
    more = " and more" if len(lines) > _FIRST_LINES else ""
    return ", ".join(map(str, lines[:_FIRST_LINES])) + more


def _overlooked(columns: Sequence[str]) -> str | None:
    """Return the delimiter in the name of an only column: one ragged line hides it from DuckDB."""
    if len(columns) != 1:
        return None
    counts = {mark: columns[0].count(mark) for mark in ",;\t|"}
    mark = max(counts, key=lambda key: counts[key])
    return mark if counts[mark] else None


def _casts(table: duckdb.DuckDBPyRelation) -> tuple[list[str], tuple[ImportWarning, ...]]:
    casts: list[str] = []
    warnings: list[ImportWarning] = []
    for name, kind in zip(table.columns, map(str, table.types), strict=True):
        quoted = identifier(name)
        if kind.startswith("DECIMAL"):
            stored = "DOUBLE"
        else:
            stored = _TYPES.get(kind, ("VARCHAR", "string"))[0]
        if kind not in _TYPES and kind != "VARCHAR":
            warnings.append(
                ImportWarning("narrowed", name, f"Values of type {kind} are kept as {stored}.")
            )
        zoned = f"{quoted} AT TIME ZONE 'UTC'" if kind == "TIMESTAMP WITH TIME ZONE" else quoted
        casts.append(f"CAST({zoned} AS {stored}) AS {quoted}")
    return casts, tuple(warnings)


def _n_nulls(table: duckdb.DuckDBPyRelation) -> Sequence[int]:
    terms = [f"count(*) - count({identifier(name)})" for name in table.columns]
    return [int(value) for value in table.aggregate(", ".join(terms)).fetchall()[0]]


def _one(relation: duckdb.DuckDBPyRelation) -> int:
    return int(relation.fetchall()[0][0])


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


@contextlib.contextmanager
def connect(*folders: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory that sees only ``folders`` and ``scratch``, and spills there.

    Its configuration is locked, it loads no extension, and ``folders`` are only read by us.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = {literal(scratch / 'spill')}")
        places = ", ".join(literal(folder) for folder in (*folders, scratch))
        connection.execute(f"SET allowed_directories = [{places}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def run(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[Any] = (),
    *,
    progress: Progress = silent,
    label: str = "",
) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows; ``progress`` hears of it and may cancel it.

    The statement runs in a thread of its own and is interrupted when ``progress`` raises, so
    that a scan of minutes stops within a second.
    """
    if progress is silent:
        return connection.execute(sql, list(parameters)).fetchall()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(lambda: connection.execute(sql, list(parameters)).fetchall())
        try:
            while not wait([work], timeout=_TICK_SECONDS).done:
                share = max(0.0, connection.query_progress())
                progress(Step(label, round(share), 100 if share else 0))
        except BaseException:
            connection.interrupt()
            raise
        return work.result()


def errors() -> type[Exception]:
    """Return the base class of what DuckDB raises."""
    import duckdb

    return duckdb.Error


def literal(text: Path | str) -> str:
    """Return a path or a text as a quoted SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a column's name as a quoted SQL identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
