"""The files of the run index: attached to whoever reads.

This is the only module of the run index that imports duckdb.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.stores.places import redacted
from local_stack.stores.run_index import relations

if TYPE_CHECKING:
    import duckdb

BASE: Final = "run-index.duckdb"
FRESH: Final = "run-index-fresh.duckdb"
_Stamp = tuple[int, int, int] | None


class RunIndex:
    """Where the index of the MLflow store at ``uri`` lies: two files in the folder ``cache``."""

    def __init__(self, cache: Path, uri: str = "") -> None:
        self.cache = cache
        self.uri = uri
        self.base = cache / BASE
        self.fresh = cache / FRESH

    def stamps(self) -> tuple[_Stamp, _Stamp]:
        """Return what tells one generation of the files from the next."""
        return _stamp(self.base), _stamp(self.fresh)


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
        with contextlib.suppress(errors()):
            row = self._connection.execute(f"SELECT version, uri FROM {name}.about").fetchone()
            if row == (relations.VERSION, self._index.uri):
                return name
        return None

    def _mark(self, name: str) -> Any:
        return self._connection.execute(f"SELECT base FROM {name}.about").fetchone()

    def _define(self, base: str | None, fresh: str | None) -> None:
        for statement in relations.stored(base, fresh, redacted(self._index.uri)):
            self._connection.execute(statement)


def errors() -> type[Exception]:
    """Return the base class of what DuckDB raises."""
    import duckdb

    return duckdb.Error


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
