"""The metadata store: the journal folded into DuckDB, for reading and for deciding.

Each process keeps the tables in an in-memory DuckDB and follows the journal's tail. From
time to time one of them publishes a generation as ``metadata.duckdb`` (write, fsync, rename),
which the next process loads instead of folding from the start, and which any DuckDB client
may open read-only. A generation is believed only if the journal still holds, byte for byte,
what it was folded from; a missing, damaged or foreign one is rebuilt. This is the only module
that opens the workspace's DuckDB.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.errors import DamagedError
from local_stack.stores.journal import START, Draft, Event, Journal, Position
from local_stack.stores.quiet import quiet
from local_stack.stores.run_index import Attached, RunIndex
from local_stack.stores.run_index.relations import UNITED, is_asked
from local_stack.stores.schema import EVENTS, TABLES, VERSION, Table

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]
_PUBLISH_AFTER_EVENTS = 2000
_PUBLISH_AFTER_SECONDS = 5.0
_ALL = {**TABLES, "events": EVENTS}
_CONFIG = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "2GB",
}


class Metadata:
    """The folded state of one journal. Safe to use from several threads of a process."""

    def __init__(
        self, journal: Journal, file: Path, cache: Path, index: RunIndex | None = None
    ) -> None:
        self._journal = journal
        self._index = index or RunIndex(cache)
        self._attached: Attached | None = None
        self._file = file
        self._cache = cache
        self._lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._loaded: set[str] = set()
        self._has_generation = False
        self._pending: dict[str, dict[tuple[Any, ...], Row | None]] = {}
        self._pending_events: list[Row] = []
        self._published_seq = 0
        self._published_time = 0.0
        self.position = START
        self.damage: DamagedError | None = None

    def follow(self, *, strict: bool = False) -> int:
        """Fold what was appended since the last call; return how many events that were.

        A damaged line ends the folding: it is kept in ``damage`` for reading commands, and
        raised when ``strict`` (deciding needs the whole truth).
        """
        with self._lock:
            self._open()
            before = self.position.seq
            self.damage = self._fold()
            if self.damage is not None and not self._journal.holds(self.position):
                # What was folded is not what the journal says now: a restored backup, or a
                # line whose writer took it back because it could not be made durable.
                self._reset()
                self.damage = self._fold()
            if self.damage is not None and strict:
                raise self.damage
            return self.position.seq - before

    def _fold(self) -> DamagedError | None:
        try:
            for event, position in self._journal.read(self.position):
                self._stage(event)
                self.position = position
        except DamagedError as error:
            return error
        return None

    def check(self, draft: Draft) -> None:
        """Raise ValueError, before it is written, for an event that could not be folded."""
        for change in draft.changes:
            TABLES[change[0]].check(change[1])

    def get(self, table: str, *key: Any) -> Row | None:
        """Return the row of ``table`` with ``key``, or None."""
        with self._lock:
            staged = self._pending.get(table, {})
            if key in staged:
                return staged[key]
            where = " AND ".join(f'"{name}" = ?' for name in TABLES[table].key)
            self._prepare({table})
            rows = self._rows(f'SELECT * FROM "{table}" WHERE {where}', key)
            return rows[0] if rows else None

    def find(self, table: str, **equal: Any) -> list[Row]:
        """Return the rows of ``table`` in which each named column equals its value."""
        where = " AND ".join(f'"{name}" = ?' for name in equal) or "true"
        return self.query(f'SELECT * FROM "{table}" WHERE {where} ORDER BY ALL', *equal.values())

    def query(self, sql: str, *parameters: Any) -> list[Row]:
        """Run a SELECT of ours on the folded state. JSON columns come back as values."""
        with self._lock:
            self._prepare(_named_in(sql))
            try:
                if self._attached is None:
                    return self._rows(sql, parameters)
                return self._attached.ask(sql, parameters, self._rows)
            except _duckdb_errors():
                self._index.doubt()
                raise

    def state_hash(self) -> str:
        """Return a SHA-256 over every row of every table: equal states give equal hashes."""
        digest = hashlib.sha256()
        for name in _ALL:
            for row in self.query(f'SELECT * FROM "{name}" ORDER BY ALL'):
                digest.update(json.dumps([name, row], sort_keys=True).encode())
        return digest.hexdigest()

    def publish(self, *, force: bool = False) -> bool:
        """Write the folded state as the next generation when enough is new; return whether.

        Only one process publishes at a time; the others go on without waiting. A disk that
        refuses the generation costs the next process some time and nothing else, so it is
        no error.
        """
        with self._lock:
            n_new = self.position.seq - self._published_seq
            age = time.monotonic() - self._published_time
            due = n_new >= _PUBLISH_AFTER_EVENTS and age >= _PUBLISH_AFTER_SECONDS
            if n_new == 0 or not (force or due) or self._connection is None:
                return False
            try:
                with _only_one(self._cache / "publish.lock") as is_ours:
                    if is_ours:
                        self._write_generation()
                    return is_ours
            except (OSError, _duckdb_errors()):
                self._published_time = time.monotonic()
                return False

    def rebuild(self) -> None:
        """Forget every generation, fold the journal from its start, and publish the result."""
        with self._lock:
            self._reset()
            self.follow()
            self.publish(force=True)

    def close(self) -> None:
        """Release DuckDB's memory; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._pending.clear()
            self._pending_events.clear()
            self.position = START

    def _open(self) -> None:
        if self._connection is not None:
            return
        self._connect()
        if self._file.exists():
            try:
                self._load_generation()
            except (_duckdb_errors(), OSError, LookupError, TypeError, ValueError):
                self._reset()  # damaged, or a database of somebody else
        self._published_seq = self.position.seq
        self._published_time = time.monotonic()

    def _prepare(self, names: set[str]) -> None:
        """Have the tables of these ``names`` ready to be read, with everything folded."""
        self._open()
        if self._pending_events:
            names = names | self._pending.keys() | {"events"}
        try:
            self._load(names)
        except _duckdb_errors():  # the generation is damaged
            self._reset()
            self.damage = self._fold()
            self._load(names | self._pending.keys() | {"events"})
        self._flush()

    def _load(self, names: Iterable[str]) -> None:
        """Make the tables that are not there yet, from the generation if there is one.

        Each is loaded when it is first named: most commands need few of them.
        """
        connection, wanted = self._connection, [it for it in names if it not in self._loaded]
        assert connection is not None
        if not wanted:
            return
        connection.execute("BEGIN")  # one commit is quicker than one a table
        try:
            for name in wanted:
                connection.execute(_create(name, _ALL[name]))
                if self._has_generation:
                    columns = ", ".join(f'"{column}"' for column in _ALL[name].columns)
                    connection.execute(
                        f'INSERT INTO memory."{name}" SELECT {columns} FROM generation."{name}"'
                    )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._loaded.update(wanted)

    def _connect(self) -> None:
        import duckdb

        self._cache.mkdir(mode=0o700, exist_ok=True)
        config: dict[str, Any] = {**_CONFIG, "temp_directory": str(self._cache / "duckdb")}
        self._connection = duckdb.connect(":memory:", config=config)
        quiet(self._connection)
        self._loaded, self._has_generation = set(), False
        self._attached = Attached(self._connection, self._index)

    def _reset(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._pending.clear()
        self._pending_events.clear()
        self.position = START
        self._published_seq = 0
        self._connect()

    def _load_generation(self) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute(f"ATTACH '{_quoted(self._file)}' AS generation (READ_ONLY)")
        try:
            (meta,) = self._rows("SELECT * FROM generation._meta", ())
            position = Position(meta["seq"], meta["hash"], meta["segment"], meta["byte_offset"])
            is_ours = meta["version"] == VERSION and self._journal.holds(position)
            if is_ours and meta["digest"] == self._journal.digest(position):
                self._has_generation, self.position = True, position
        finally:
            if not self._has_generation:
                connection.execute("DETACH generation")

    def _write_generation(self) -> None:
        self._prepare(set(_ALL))
        connection = self._connection
        assert connection is not None
        scratch = self._file.with_name(f".{self._file.name}.next")
        at = self.position
        digest = self._journal.digest(at)
        for path in (scratch, _log_of(scratch), _log_of(self._file)):
            path.unlink(missing_ok=True)  # of a killed publisher; of a client that wrote
        connection.execute(f"ATTACH '{_quoted(scratch)}' AS next")
        try:
            for name, table in _ALL.items():
                order = ", ".join(f'"{key}"' for key in table.key)
                connection.execute(
                    f'CREATE TABLE next."{name}" AS SELECT * FROM memory."{name}" ORDER BY {order}'
                )
            connection.execute(
                "CREATE TABLE next._meta AS SELECT ? AS version, ? AS seq, ? AS hash, "
                "? AS segment, ? AS byte_offset, ? AS digest",
                [VERSION, at.seq, at.hash, at.segment, at.offset, digest],
            )
        finally:
            connection.execute("DETACH next")
        _sync(scratch)
        scratch.replace(self._file)
        _sync(self._file.parent)
        if self._has_generation:  # every table has been loaded
            connection.execute("DETACH generation")
            self._has_generation = False
        self._published_seq = at.seq
        self._published_time = time.monotonic()

    def _stage(self, event: Event) -> None:
        for change in event.changes:
            table = TABLES.get(change[0])
            if table is None:  # written by a newer program; its own version will fold it
                continue
            row = change[1]
            key = tuple(row[name] for name in table.key)
            whole = {name: row.get(name) for name in table.columns} if len(change) == 2 else None
            self._pending.setdefault(change[0], {})[key] = whole
        self._pending_events.append({name: getattr(event, name) for name in EVENTS.columns})

    def _flush(self) -> None:
        connection = self._connection
        if connection is None or not self._pending_events:
            return
        connection.execute("BEGIN")
        try:
            for name, staged in self._pending.items():
                self._remove(name, [key for key, row in staged.items() if row is None])
                self._insert(name, TABLES[name], [row for row in staged.values() if row])
            self._insert("events", EVENTS, self._pending_events)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        if self._attached is not None:
            self._attached.is_stale = True
        self._pending.clear()
        self._pending_events.clear()

    def _insert(self, name: str, table: Table, rows: Sequence[Row]) -> None:
        assert self._connection is not None
        for start in range(0, len(rows), 5000):
            batch = json.dumps(rows[start : start + 5000])
            self._connection.execute(_upsert(name, table), [batch, json.dumps([table.columns])])

    def _remove(self, name: str, keys: Sequence[tuple[Any, ...]]) -> None:
        assert self._connection is not None
        table = TABLES[name]
        for start in range(0, len(keys), 5000):
            rows = [dict(zip(table.key, key, strict=True)) for key in keys[start : start + 5000]]
            types = {column: table.columns[column] for column in table.key}
            self._connection.execute(_delete(name, table), [json.dumps(rows), json.dumps([types])])

    def _rows(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        assert self._connection is not None
        cursor = self._connection.execute(sql, list(parameters))
        assert cursor.description is not None
        names = [column[0] for column in cursor.description]
        records = cursor.fetchall()
        is_json = [str(column[1]) == "JSON" for column in cursor.description]
        if not any(is_json):
            return [dict(zip(names, record, strict=True)) for record in records]
        return [
            {
                name: json.loads(value) if decode and value is not None else value
                for name, value, decode in zip(names, record, is_json, strict=True)
            }
            for record in records
        ]


def _named_in(sql: str) -> set[str]:
    """Return the tables that a question may need: those whose name it holds."""
    names = {name for name in _ALL if name in sql}
    return names | UNITED if is_asked(sql) else names


def _create(name: str, table: Table) -> str:
    columns = ", ".join(f'"{column}" {kind}' for column, kind in table.columns.items())
    key = ", ".join(f'"{column}"' for column in table.key)
    return f'CREATE TABLE "{name}" ({columns}, PRIMARY KEY ({key}))'


def _upsert(name: str, table: Table) -> str:
    columns = ", ".join(f'r."{column}"' for column in table.columns)
    return (
        f'INSERT OR REPLACE INTO "{name}" SELECT {columns} '
        "FROM (SELECT unnest(from_json(?, ?)) AS r)"
    )


def _delete(name: str, table: Table) -> str:
    own = ", ".join(f'"{column}"' for column in table.key)
    gone = ", ".join(f'r."{column}"' for column in table.key)
    return (
        f'DELETE FROM "{name}" WHERE ({own}) IN '
        f"(SELECT ({gone}) FROM (SELECT unnest(from_json(?, ?)) AS r))"
    )


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _duckdb_errors() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
