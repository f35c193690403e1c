"""Rows of a database: one SELECT on DuckDB, SQLite, or whatever SQLAlchemy reaches.

The database is opened for reading only, the answer is streamed, and no message, record or
result of ours shows a password.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import compute, sources
from local_stack.data.compute import literal
from local_stack.data.importing import readers
from local_stack.data.importing.cells import BLOCK_ROWS, Cells, unique
from local_stack.data.tables import Staged
from local_stack.errors import InputError, NotFoundError, StackError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.stores.places import redacted

if TYPE_CHECKING:
    import sqlalchemy

_SQLITE = b"SQLite format 3\x00"
_DUCKDB = b"DUCK"
_STEPS = 100_000
_FIRST = ("select", "with", "values", "table", "from")
_DIALECTS = frozenset({
    "sqlite", "duckdb", "postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql",
    "snowflake", "bigquery", "redshift", "cockroachdb", "clickhouse", "trino", "db2", "databricks",
})  # fmt: skip
_DRIVERS = {
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "oracledb": "oracledb",
    "pyodbc": "pyodbc",
}
_HINT_SQL = "Write one SELECT, such as --sql 'SELECT * FROM table'."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave. ``uri`` shows no password; size and time are those of a file."""

    staged: Staged
    kind: str
    uri: str
    size: int | None
    modified_at: str | None


def kind_of(path: Path) -> str | None:
    """Return sqlite or duckdb by the header of a file, None for anything else."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError:
        return None
    if head == _SQLITE:
        return "sqlite"
    return "duckdb" if head[8:12] == _DUCKDB else None


def is_url(source: str) -> bool:
    """Return whether ``source`` is the URL of a database rather than of a file."""
    scheme, mark, _ = source.partition("://")
    dialect, driver, _ = scheme.lower().partition("+")
    return bool(mark) and (dialect in _DIALECTS or bool(driver))


def query(
    source: str, sql: str, target: Path, *, scratch: Path, progress: Progress = silent
) -> Answer:
    """Write the rows that one SELECT gives to ``target``, in their order.

    ``source`` is a DuckDB or SQLite file (a path or an fsspec URL) or an SQLAlchemy URL.

    Raises
    ------
    InputError
        With the database's own message, for what is no single SELECT or does not run.
    NotFoundError
        When there is no such database.
    UnavailableError
        When the database cannot be reached, is locked, or needs a package.
    """
    if is_url(source):
        staged, kind = _by_url(source, sql, target, scratch, progress)
        return Answer(staged, kind, redacted(source), None, None)
    files = sources.gather(source, scratch, progress=progress)
    if len(files) != 1:
        raise InputError(f"{source} names {len(files)} files.", "Name one database.")
    file = files[0]
    path = sources.unpacked(file, scratch, progress=progress)
    kind = kind_of(path) or ""
    if kind not in _FILES:
        raise InputError(
            f"{file.name} is neither a DuckDB nor a SQLite database.",
            "Leave out --sql for a table in a file, or give an SQLAlchemy URL.",
        )
    staged = _FILES[kind](path, sql, target, scratch, progress)
    return Answer(staged, kind, file.uri, file.size, file.modified_at)


def _duckdb(path: Path, sql: str, target: Path, scratch: Path, progress: Progress) -> Staged:
    # a write-ahead log lies beside the database; nothing else of its folder is named
    with compute.connect(path.parent, scratch=scratch) as connection:
        try:
            connection.execute(f"ATTACH {literal(path)} AS source (READ_ONLY)")
        except compute.errors() as error:
            raise _not_opened(path.name, "DuckDB", error) from None
        try:
            connection.execute("USE source")
            text = _single(connection, sql)
            described = connection.execute(f"DESCRIBE ({text}\n)").fetchall()
            given = [str(row[0]) for row in described]
            names = unique(given)
            aliases = ", ".join(compute.identifier(name) for name in names)
            columns = list(zip(names, (str(row[1]) for row in described), strict=True))
            warnings = readers.copy(
                connection,
                f"({text}\n) AS answer({aliases})",
                columns,
                target,
                scratch=scratch,
                progress=progress,
                label="Running the query",
            )
        except compute.errors() as error:
            raise _not_run(error) from None
    return Staged(target, tuple(given), (), (), warnings)


def _single(connection: Any, sql: str) -> str:
    """Return the text of the only statement, which must be a SELECT."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"The SQL holds {len(statements)} statements.", _HINT_SQL)
    kind = statements[0].type.name
    if kind != "SELECT":
        raise InputError(f"The SQL is a statement of type {kind}, not a SELECT.", _HINT_SQL)
    return str(statements[0].query).strip().rstrip(";")


def _sqlite(path: Path, sql: str, target: Path, scratch: Path, progress: Progress) -> Staged:
    import sqlite3

    _check_select(sql)
    with _opened_sqlite(path) as connection:
        ticks = _Ticks(progress)
        connection.set_progress_handler(ticks.tick, _STEPS)
        try:
            declared = _declared(connection, sql)
            connection.execute("PRAGMA query_only = ON")
            connection.set_authorizer(_may)
            cursor = connection.execute(sql)
            names = [str(column[0]) for column in cursor.description or ()]
            blocks = iter(lambda: cursor.fetchmany(BLOCK_ROWS), [])
            return _written(names, blocks, target, scratch, ticks.progress, declared)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            ticks.check()
            raise _not_run(error) from None


class _Ticks:
    """Lets a host stop SQLite while it works: an exception there is raised here afterwards."""

    def __init__(self, progress: Progress) -> None:
        self._host = progress
        self._stopped: BaseException | None = None

    def tick(self) -> int:
        """Return 1, which interrupts SQLite, once the host has raised."""
        try:
            self._host(Step("Running the query"))
        except StackError as error:
            self._stopped = error
        return int(self._stopped is not None)

    def progress(self, step: Step) -> None:
        """Hand a step on to the host."""
        self._host(step)

    def check(self) -> None:
        """Raise what the host raised."""
        if self._stopped is not None:
            raise self._stopped


@contextlib.contextmanager
def _opened_sqlite(path: Path) -> Generator[Any]:
    import sqlite3

    uri = path.absolute().as_uri()
    connection = None
    for mode in ("mode=ro", "mode=ro&immutable=1"):  # a log beside it may not be written
        try:
            connection = sqlite3.connect(f"{uri}?{mode}", uri=True, isolation_level=None)
            connection.text_factory = _decoded
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            break
        except sqlite3.OperationalError as error:
            if connection is not None:
                connection.close()
            is_last = "immutable" in mode or path.with_name(f"{path.name}-wal").exists()
            if is_last or "unable to open" not in str(error):
                raise _not_opened(path.name, "SQLite", error) from None
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            raise _not_opened(path.name, "SQLite", error) from None
    assert connection is not None
    with contextlib.closing(connection):
        connection.execute("BEGIN")  # one state of the database for all that is read
        yield connection


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _may(action: int, *names: Any) -> int:
    import sqlite3

    allowed = (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY


def _declared(connection: Any, sql: str) -> list[str]:
    """Return the declared types of the answer's columns, '' for expressions.

    Only a view tells them; it is made in the connection's own temporary schema.
    """
    text = sql.strip().rstrip("; \t\r\n")
    connection.execute(f"CREATE TEMP VIEW paceml_answer AS {text}")
    rows = connection.execute("PRAGMA temp.table_info(paceml_answer)").fetchall()
    connection.execute("DROP VIEW temp.paceml_answer")
    return [str(row[2] or "").upper() for row in rows]


def _written(
    names: Sequence[str],
    blocks: Iterator[Sequence[Sequence[Any]]],
    target: Path,
    scratch: Path,
    progress: Progress,
    declared: Sequence[str] = (),
) -> Staged:
    table = Cells(scratch, names)
    try:
        for block in blocks:
            table.add(block)
            progress(Step("Running the query", table.n_rows))
        typed = table.write(
            target,
            isos=[n for n, kind in enumerate(declared) if re.search("DATE|TIMESTAMP", kind)],
            flags=[n for n, kind in enumerate(declared) if kind.startswith("BOOL")],
            progress=progress,
        )
    finally:
        table.close()
    return Staged(target, tuple(names), (), (), typed.warnings())


def _by_url(
    url: str, sql: str, target: Path, scratch: Path, progress: Progress
) -> tuple[Staged, str]:
    """Run the query through SQLAlchemy, or on the file that a URL of DuckDB names."""
    if url.startswith("duckdb:///"):
        path = Path(url.removeprefix("duckdb:///").partition("?")[0])
        if not path.is_file():
            raise NotFoundError(f"There is no database {path}.", "Check the path.")
        return _duckdb(path, sql, target, scratch, progress), "duckdb"
    try:
        import sqlalchemy
    except ImportError:
        raise UnavailableError(
            "Reading a database by its URL needs a package that is not installed.",
            "Install it with: pip install 'paceml-tui[sql]'.",
        ) from None
    _check_select(sql)
    engine = _engine(url)
    try:
        with _told(url), engine.connect() as connection:
            _make_readonly(connection, engine.dialect.name)
            connection.execution_options(  # of this connection itself
                stream_results=True, yield_per=BLOCK_ROWS, no_parameters=True
            )
            try:
                result = connection.exec_driver_sql(sql)
                if not result.returns_rows:
                    raise InputError("The SQL gives no rows.", _HINT_SQL)
                blocks = (list(map(tuple, block)) for block in result.partitions(BLOCK_ROWS))
                staged = _written(list(result.keys()), blocks, target, scratch, progress)
            except sqlalchemy.exc.DBAPIError as error:
                raise _not_run(error.orig or error, url) from None
            finally:
                connection.rollback()
    finally:
        engine.dispose()
    return staged, engine.dialect.name


def _engine(url: str) -> sqlalchemy.Engine:
    import sqlalchemy

    shown = redacted(url)
    try:
        parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() == "sqlite" and not _is_there(parsed.database):
            raise NotFoundError(f"There is no database {shown}.", "Check the path.")
        return sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.pool.NullPool)
    except sqlalchemy.exc.NoSuchModuleError:
        raise UnavailableError(
            f"No driver for {shown} is installed.", "Install the SQLAlchemy dialect it needs."
        ) from None
    except ModuleNotFoundError as error:
        name = error.name or "of the database"
        raise UnavailableError(
            f"{shown} needs the driver {name}, which is not installed.",
            f"Install it with: pip install {_DRIVERS.get(name, name)}",
        ) from None
    except (sqlalchemy.exc.ArgumentError, ValueError, TypeError):
        raise InputError(
            f"{shown} is not the URL of a database.",
            "Write dialect://user@host/database, such as postgresql://ann@db/sales.",
        ) from None


def _is_there(database: str | None) -> bool:
    return bool(database) and (database == ":memory:" or Path(str(database)).is_file())


@contextlib.contextmanager
def _told(url: str) -> Generator[None]:
    """Turn what a driver raises when it connects into a sentence without the password."""
    import sqlalchemy

    try:
        yield
    except StackError:
        raise
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = _one_line(getattr(error, "orig", None) or error, url)
        raise UnavailableError(
            f"{redacted(url)} did not take part: {reason}.",
            "Check that the database runs, and the user and the password.",
        ) from None


def _make_readonly(connection: Any, dialect: str) -> None:
    """Begin a transaction that may not write, where the dialect knows one."""
    statements = {
        "postgresql": "SET TRANSACTION READ ONLY",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
        "mariadb": "SET SESSION TRANSACTION READ ONLY",
        "oracle": "SET TRANSACTION READ ONLY",
        "sqlite": "PRAGMA query_only = ON",
    }
    if dialect in statements:
        connection.exec_driver_sql(statements[dialect])
    if dialect in ("mysql", "mariadb"):  # it holds from the next transaction on
        connection.rollback()


def _check_select(sql: str) -> None:
    """Refuse what is not one statement that begins as a SELECT does."""
    code = re.sub(
        r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""",
        lambda hit: " " if hit[0].startswith(("--", "/*")) else "x",
        sql,
        flags=re.DOTALL,
    ).strip()
    if not code:
        raise InputError("The SQL is empty.", _HINT_SQL)
    if ";" in code.rstrip("; \t\r\n"):
        raise InputError("The SQL holds several statements.", _HINT_SQL)
    first = re.match(r"\(*\s*(\w*)", code)
    word = first[1].lower() if first else ""
    if word not in _FIRST:
        raise InputError(f"The SQL begins with '{word}', not with SELECT.", _HINT_SQL)


def _not_opened(name: str, noun: str, error: Exception) -> StackError:
    reason = _one_line(error)
    if re.search(r"\block", reason):
        return UnavailableError(
            f"{name} is in use by another process: {reason}.", "Close it there and call again."
        )
    return InputError(f"{name} cannot be opened as a {noun} database: {reason}.", "Check the file.")


def _not_run(error: BaseException, url: str = "") -> StackError:
    reason = _one_line(error, url)
    if re.search("locked|Out of Memory", reason):
        return UnavailableError(f"The query did not run: {reason}.", "Call again, or ask for less.")
    return InputError(f"The query did not run: {reason}.", "Mend the SQL and call again.")


def _one_line(error: BaseException, url: str = "") -> str:
    """Return the database's message in one line, without the password of ``url``."""
    text = " ".join(str(error).split()).split(" LINE 1: ")[0].rstrip(". ") or type(error).__name__
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text[:500]


def _secrets(url: str) -> list[str]:
    from urllib.parse import unquote

    found = re.search(r"://[^/?#@:]*:([^/?#]*)@", url)
    password = found[1] if found else ""
    found_in_query = [hit[1] for hit in re.finditer(r"[?&][^=&]*passw[^=&]*=([^&]*)", url, re.I)]
    raw = [one for one in (password, *found_in_query) if one]
    return sorted({*raw, *map(unquote, raw)}, key=len, reverse=True)


_FILES: dict[str, Callable[[Path, str, Path, Path, Progress], Staged]] = {
    "duckdb": _duckdb,
    "sqlite": _sqlite,
}
