"""The files of the run index: attached to whoever reads.

This is the only module of the run index that imports duckdb.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.stores.places import redacted
from local_stack.stores.run_index import relations

if TYPE_CHECKING:
    import duckdb

BASE: Final = "run-index.duckdb"
FRESH: Final = "run-index-fresh.duckdb"
_CONFIG: Final[dict[str, Any]] = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "2GB",
}
_Stamp = tuple[int, int, int] | None


class RunIndex:
    """Where the index of the MLflow store at ``uri`` lies: two files in the folder ``cache``."""

    def __init__(self, cache: Path, uri: str = "") -> None:
        self.cache = cache
        self.uri = uri
        self.base = cache / BASE
        self.fresh = cache / FRESH
        self.looked: tuple[float, float, int] = (0.0, 0.0, -1)
        """When this process last synced (monotonic s), how long it took, and at which event."""
        self.warnings: tuple[str, ...] = ()
        """What that sync had to warn of."""

    def stamps(self) -> tuple[_Stamp, _Stamp]:
        """Return what tells one generation of the files from the next."""
        return _stamp(self.base), _stamp(self.fresh)

    def publish(self, folder: Path, touched: Sequence[str]) -> None:
        """Write the next generation: the last one without ``touched``, and ``folder``'s rows."""
        import duckdb

        scratch = folder / "next.duckdb"
        connection = duckdb.connect(":memory:", config=_CONFIG)
        try:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"ATTACH '{_quoted(scratch)}' AS next")
            connection.execute(
                "CREATE TABLE touched AS SELECT unnest(?) AS run_id", [list(touched)]
            )
            has_last = _is_of(connection, self.base, "last", self.uri)
            for name, columns in relations.TABLES.items():
                connection.execute(relations.create(f"next.{name}", columns))
                if has_last and name in ("runs", "history"):
                    connection.execute(
                        f"INSERT INTO next.{name} "
                        f"SELECT * FROM last.{name} ANTI JOIN touched USING (run_id)"
                    )
                connection.execute(_load(name, columns, folder))
            connection.execute(
                "CREATE TABLE next.about AS SELECT ? AS version, ? AS uri, ? AS base",
                [relations.VERSION, self.uri, secrets.token_hex(8)],
            )
            connection.execute("DETACH next")
        finally:
            connection.close()
        _sync(scratch)
        scratch.replace(self.base)
        _sync(self.cache)


class Attached:
    """The index as one open DuckDB sees it, beside the tables of the journal."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, index: RunIndex) -> None:
        self._connection = connection
        self._index = index
        self._stamps: tuple[_Stamp, _Stamp] = (None, None)
        self._names: list[str] = []
        self._number = 0
        self._define(None, None)
        for statement in relations.FOUND:
            connection.execute(statement)

    def follow(self) -> None:
        """Attach the newest generation; one that is damaged or of another store counts as none."""
        stamps = self._index.stamps()
        if stamps == self._stamps:
            return
        self._define(None, None)
        for name in self._names:
            self._connection.execute(f"DETACH {name}")
        self._names = []
        base = self._attach(self._index.base, "base") if stamps[0] else None
        fresh = self._attach(self._index.fresh, "fresh") if stamps[1] and base else None
        if base and fresh and self._mark(base) != self._mark(fresh):
            fresh = None  # a newer base holds what the fresh rows of the older one said
        self._define(base, fresh)
        self._stamps = stamps

    def _attach(self, file: Path, kind: str) -> str | None:
        self._number += 1  # DuckDB may still hold the file of the last generation of that name
        name = f"index_{kind}_{self._number}"
        try:
            self._connection.execute(f"ATTACH '{_quoted(file)}' AS {name} (READ_ONLY)")
        except errors():
            return None
        self._names.append(name)
        return name if _is_about(self._connection, name, self._index.uri) else None

    def _mark(self, name: str) -> Any:
        return self._connection.execute(f"SELECT base FROM {name}.about").fetchone()

    def _define(self, base: str | None, fresh: str | None) -> None:
        for statement in relations.stored(base, fresh, redacted(self._index.uri)):
            self._connection.execute(statement)


def errors() -> type[Exception]:
    """Return the base class of what DuckDB raises."""
    import duckdb

    return duckdb.Error


def _is_of(connection: duckdb.DuckDBPyConnection, file: Path, name: str, uri: str) -> bool:
    """Attach ``file`` as ``name`` and return whether it indexes the store at ``uri``."""
    if not file.exists():
        return False
    try:
        connection.execute(f"ATTACH '{_quoted(file)}' AS {name} (READ_ONLY)")
    except errors():
        return False
    return _is_about(connection, name, uri)


def _is_about(connection: duckdb.DuckDBPyConnection, name: str, uri: str) -> bool:
    with contextlib.suppress(errors()):
        row = connection.execute(f"SELECT version, uri FROM {name}.about").fetchone()
        return row == (relations.VERSION, uri)
    return False


def _load(name: str, columns: Mapping[str, str], folder: Path) -> str:
    """Return the statement that loads the lines of JSON of a table."""
    files = sorted(folder.glob(f"{name}-*.json"))
    kinds = ", ".join(
        f"{key}: '{'VARCHAR' if kind == 'DOUBLE' else kind}'" for key, kind in columns.items()
    )
    values = ", ".join(f"{key}::{kind}" for key, kind in columns.items())
    paths = ", ".join(f"'{_quoted(file)}'" for file in files)
    longest = max((file.stat().st_size for file in files), default=0)
    return (
        f"INSERT INTO next.{name} SELECT {values} FROM read_json([{paths}], "
        f"format = 'newline_delimited', columns = {{{kinds}}}, "
        f"maximum_object_size = {min(max(1 << 24, longest + 1), 1 << 29)})"
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
