"""The files of the run index: attached to whoever reads.

This is the only module of the run index that imports duckdb.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import UnavailableError
from local_stack.stores.places import redacted
from local_stack.stores.quiet import quiet
from local_stack.stores.run_index import relations
from local_stack.stores.run_index.warm import Warm

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
_FEW: Final = 1_000
_SHARE: Final = 10
"""So many runs, or one in so many, may stand beside the base."""
_ATTEMPTS: Final = 5
_Stamp = tuple[int, int, int] | None
Row = dict[str, Any]


class RunIndex:
    """Where the index of the MLflow store at ``uri`` lies: two files in the folder ``cache``."""

    def __init__(self, cache: Path, uri: str = "", *, is_readonly: bool = False) -> None:
        self.cache = cache
        self.uri = uri
        self.is_readonly = is_readonly
        self.base = cache / BASE
        self.fresh = cache / FRESH
        self.looked: tuple[float, float, int] = (0.0, 0.0, -1)
        """When this process last synced (monotonic s), how long it took, and at which event."""
        self.is_attached = False
        """Whether this process has opened DuckDB for it."""
        self.warnings: tuple[str, ...] = ()
        """What that sync had to warn of."""
        self.kept: dict[str, Any] | None = None
        """Whatever readers keep of the runs of this generation; None while that is not worth it."""

    def stamps(self) -> tuple[_Stamp, _Stamp]:
        """Return what tells one generation of the files from the next."""
        return _stamp(self.base), _stamp(self.fresh)

    def publish(self, folder: Path, touched: Sequence[str]) -> None:
        """Write the next generation: the last one without ``touched``, and ``folder``'s rows.

        A change of a few runs becomes rows beside the base, which is written anew only when
        they have become many.
        """
        import duckdb

        scratch = folder / "next.duckdb"
        connection = duckdb.connect(":memory:", config=_CONFIG)
        try:
            quiet(connection)
            is_small = _write(connection, self, folder, scratch, touched)
        finally:
            connection.close()
        _sync(scratch)
        scratch.replace(self.fresh if is_small else self.base)
        if not is_small:
            self.fresh.unlink(missing_ok=True)
        _sync(self.cache)

    def is_whole(self) -> bool:
        """Return whether every row of the files can be read; what is not there is whole."""
        import duckdb

        connection = duckdb.connect(":memory:", config=_CONFIG)
        try:
            for file in (self.base, self.fresh):
                if file.exists():
                    connection.execute(f"ATTACH '{_quoted(file)}' AS checked (READ_ONLY)")
                    names = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
                    for (name,) in names:
                        connection.execute(f'SELECT sum(hash(t)) FROM checked."{name}" t')
                    connection.execute("DETACH checked")
        except errors():
            return False
        finally:
            connection.close()
        return True

    def doubt(self) -> None:
        """Look whether the index is the reason why a question failed, and remove it then.

        Raises
        ------
        UnavailableError
            It was damaged; the next sync builds it anew.
        """
        if self.is_whole():
            return
        if self.is_readonly:
            raise UnavailableError(
                "The run index is damaged.",
                "Open the workspace once without --readonly: it is built anew.",
            )
        self.discard()
        raise UnavailableError(
            "The run index was damaged and has been removed.",
            "Ask again: it is built anew from the MLflow store.",
        )

    def discard(self) -> None:
        """Remove the files, so that the next sync builds them anew."""
        for file in (self.base, self.fresh):
            file.unlink(missing_ok=True)


def _write(
    connection: duckdb.DuckDBPyConnection,
    index: RunIndex,
    folder: Path,
    scratch: Path,
    touched: Sequence[str],
) -> bool:
    """Write the next base or, and then return True, the rows that stand beside the last one."""
    connection.execute(f"ATTACH '{_quoted(scratch)}' AS next")
    connection.execute("CREATE TABLE newly AS SELECT unnest(?::VARCHAR[]) AS run_id", [touched])
    connection.execute("CREATE TABLE touched AS SELECT * FROM newly")
    has_base = _is_of(connection, index.base, "base", index.uri)
    base = _mark_of(connection, "base") if has_base else None
    has_fresh = has_base and _is_of(connection, index.fresh, "fresh", index.uri)
    if has_fresh and _mark_of(connection, "fresh") != base:
        has_fresh = False  # what a killed sync left beside a newer base
    is_small = False
    if has_base:
        if has_fresh:
            connection.execute("INSERT INTO touched SELECT run_id FROM fresh.touched")
        (n_touched, n_runs) = connection.execute(
            "SELECT (SELECT count(DISTINCT run_id) FROM touched), (SELECT count(*) FROM base.runs)"
        ).fetchall()[0]
        is_small = n_touched <= max(_FEW, n_runs // _SHARE)
    for name, columns in relations.TABLES.items():
        connection.execute(relations.create(f"next.{name}", columns))
        if name in ("runs", "history"):
            for source in ["base"] * (has_base and not is_small) + ["fresh"] * has_fresh:
                which = "touched" if source == "base" else "newly"
                connection.execute(
                    f"INSERT INTO next.{name} "
                    f"SELECT * FROM {source}.{name} ANTI JOIN {which} USING (run_id)"
                )
        connection.execute(_load(name, columns, folder))
    if is_small:
        connection.execute("CREATE TABLE next.touched AS SELECT DISTINCT run_id FROM touched")
    connection.execute(
        "CREATE TABLE next.about AS SELECT ? AS version, ? AS uri, ? AS base",
        [relations.VERSION, redacted(index.uri), base if is_small else secrets.token_hex(8)],
    )
    connection.execute("DETACH next")
    return is_small


class Attached:
    """The index as one open DuckDB sees it, beside the tables of the journal."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, index: RunIndex) -> None:
        self._connection = connection
        self._index = index
        self._stamps: tuple[_Stamp, _Stamp] | None = None
        self._names: list[str] = []
        self._number = 0
        self._is_damaged = self._has_views = False
        self.is_stale = True
        """Whether the journal's runs have changed since they were united with the store's."""
        self._warm = Warm(connection)
        index.is_attached, index.kept = True, None

    def ask(
        self, sql: str, parameters: Sequence[Any], answer: Callable[[str, Sequence[Any]], list[Row]]
    ) -> list[Row]:
        """Return what ``answer`` does for a question, asked of the newest generation.

        One of another store or version counts as none, damage is told.
        """
        if not relations.is_asked(sql):
            return answer(sql, parameters)
        self._follow()
        began, spelled = time.perf_counter(), (sql, parameters)
        with self._spared():
            spelled = self._warm.spelled(sql, parameters)
        rows = answer(*spelled)
        with self._spared():
            self._warm.spend(sql, time.perf_counter() - began)
            self._warm.make_room()
        if self._warm.is_kept and self._index.kept is None:
            self._index.kept = {}
        return rows

    @contextlib.contextmanager
    def _spared(self) -> Iterator[None]:
        """Spare a question the failure to keep runs for later ones: memory may not be enough."""
        try:
            yield
        except errors():
            self._warm.give_up()

    def _follow(self) -> None:
        for _ in range(_ATTEMPTS):  # both files may be replaced while they are attached
            stamps = self._index.stamps()
            if stamps == self._stamps:
                break
            self._attach_both(stamps)
            self.is_stale = True
        if not self._has_views:
            for statement in (relations.OWN[0], *relations.FOUND):
                self._connection.execute(statement)
            self._has_views = True
        if self._is_damaged:
            self._index.doubt()
        if self.is_stale:
            self._unite()

    def _unite(self) -> None:
        self._warm.forget()
        self._index.kept = None
        self._connection.execute("BEGIN")
        try:
            self._connection.execute("DELETE FROM own_runs")
            if self._connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                self._connection.execute(relations.OWN[1])
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self.is_stale = False

    def _attach_both(self, stamps: tuple[_Stamp, _Stamp]) -> None:
        if self._names:
            self._define(None, None)
        for name in self._names:
            self._connection.execute(f"DETACH {name}")
        self._names = []
        self._is_damaged = False
        base = self._attach(self._index.base, "base") if stamps[0] else None
        fresh = self._attach(self._index.fresh, "fresh") if stamps[1] and base else None
        if base and fresh and _mark_of(self._connection, base) != _mark_of(self._connection, fresh):
            fresh = None  # a newer base holds what the fresh rows of the older one said
        self._define(base, fresh)
        self._stamps = stamps

    def _attach(self, file: Path, kind: str) -> str | None:
        self._number += 1  # DuckDB may still hold the file of the last generation of that name
        name = f"index_{kind}_{self._number}"
        try:
            self._connection.execute(f"ATTACH '{_quoted(file)}' AS {name} (READ_ONLY)")
            self._names.append(name)
            return name if _is_about(self._connection, name, self._index.uri) else None
        except errors():
            self._is_damaged = file.exists()
            return None

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
        return _is_about(connection, name, uri)
    except errors():
        return False


def _is_about(connection: duckdb.DuckDBPyConnection, name: str, uri: str) -> bool:
    row = connection.execute(f"SELECT version, uri FROM {name}.about").fetchone()
    return row == (relations.VERSION, redacted(uri))


def _mark_of(connection: duckdb.DuckDBPyConnection, name: str) -> Any:
    """Return what tells the base that ``name`` is, or stands beside, from every other."""
    row = connection.execute(f"SELECT base FROM {name}.about").fetchone()
    return None if row is None else row[0]


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
