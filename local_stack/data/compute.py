"""DuckDB as the engine that reads and compares tables, locked to the folders it is given.

It loads no extension and takes no configuration from what it reads. This is the only module of
``data`` that imports duckdb.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from local_stack.progress import Progress, Step, silent
from local_stack.stores.quiet import quiet

if TYPE_CHECKING:
    import duckdb

    Connection: TypeAlias = duckdb.DuckDBPyConnection
    """The open DuckDB, for the annotations of the modules that may not import duckdb."""

MEMORY_LIMIT = "1GB"
"""What DuckDB may hold while it reads or compares tables; the rest spills to disk."""

MOST_EXPRESSIONS = 200
"""Columns that one statement converts: what DuckDB keeps for each adds up, and so does its plan."""

_TICK_SECONDS = 0.2


@contextlib.contextmanager
def connect(
    *folders: Path, scratch: Path, optimizes: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory that sees only ``folders`` and ``scratch``, and spills there.

    Its configuration is locked, it loads no extension, and ``folders`` are only read by us.
    Whole scans of tables with thousands of columns want no optimizer: it gains nothing there,
    and its time grows with the square of the expressions.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        quiet(connection)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = {literal(scratch / 'spill')}")
        places = ", ".join(literal(folder) for folder in (*folders, scratch))
        connection.execute(f"SET allowed_directories = [{places}]")
        connection.execute("SET enable_external_access = false")
        if not optimizes:
            connection.execute("PRAGMA disable_optimizer")
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
    progress(Step(label))
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


def parts(names: Sequence[str], size: int = MOST_EXPRESSIONS) -> Iterator[Sequence[str]]:
    """Yield the names in parts that one statement takes."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


def errors() -> type[Exception]:
    """Return the base class of what DuckDB raises."""
    import duckdb

    return duckdb.Error


def literal(text: Path | str) -> str:
    """Return a path or a text as a quoted SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def only(path: Path) -> str:
    """Return a path as a quoted SQL literal that matches nothing else where DuckDB globs."""
    return literal("".join(f"[{mark}]" if mark in "*?[" else mark for mark in str(path)))


def identifier(name: str) -> str:
    """Return a column's name as a quoted SQL identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
