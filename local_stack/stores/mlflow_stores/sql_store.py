"""A SQLite file of MLflow's SQL store, as every MLflow from 0.9 to 3 has laid it out.

Only tables that are there and columns that they have are asked for, so that no migration is
needed: a column that came later is None. Tables are asked for in batches of runs, because the
oldest have no index by run. Each statement's rows are taken at once: a reader that lingers
would keep the writer out.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local_stack.stores.mlflow_stores import folders
from local_stack.stores.mlflow_stores.fields import (
    experiment_from,
    milliseconds,
    model_from,
    run_from,
    text,
)
from local_stack.stores.mlflow_stores.records import (
    MOST_ARTIFACTS,
    HistoryRow,
    RunPlace,
    StoredExperiment,
    StoredModel,
    StoredRun,
    Tier,
    UnreadableError,
    latest,
)

Row = dict[str, Any]
_BATCH: Final = 500
"""Runs asked for in one statement; SQLite of old takes 999 parameters."""
_WAIT_SECONDS: Final = 5.0
"""How long a statement waits for a writer."""
_BELOW_TIMES: Final = 2**60
"""The index takes the largest number of a signature for a time in ns; none of ours is one."""
_SETTLED_NS: Final = 1_000_000_000
_CHANGES, _HEADER = 24, 28
"""Where SQLite counts its transactions, in bytes from the start of the file."""
_CONTEXT: Final = "mlflow.data.context"

_RUN = ("name", "user_id", "status", "start_time", "end_time", "lifecycle_stage")
_EXPERIMENT = ("name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time")
_MODEL = ("experiment_id", "name", "artifact_location", "creation_timestamp_ms", "status")
_MODEL_MORE = ("last_updated_timestamp_ms", "lifecycle_stage", "source_run_id")
_MODEL_METRIC = (
    *("model_id", "metric_name", "metric_step", "metric_timestamp_ms", "metric_value"),
)
_INPUT = ("input_uuid", "source_type", "source_id", "destination_type", "destination_id")
_DATASET = ("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source")


@dataclass(frozen=True, slots=True)
class SqlStore:
    """The store in the SQLite file ``file``, which is opened for reading alone."""

    file: Path
    _signs: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def stamp(self) -> str | None:
        """Return a text that changes with every change; None when one may be under way.

        Raises
        ------
        UnreadableError
            The file is not there.
        """
        marks = [folders.marks(f"{self.file}{ending}") for ending in ("", "-wal")]
        if marks[0] == (0, 0):
            raise UnreadableError(f"{self.file} is not there")
        if time.time_ns() - max(at for at, _ in marks) < _SETTLED_NS:
            return None  # the clock of files is coarse: the next change may bear the same time
        with self.file.open("rb") as stream:
            return f"{marks} {stream.read(_HEADER)[_CHANGES:].hex()}"

    def experiments(self) -> list[StoredExperiment]:
        """Return every experiment, deleted ones too."""
        with self._reading() as database:
            tags = _pairs(database.rows("experiment_tags", ("experiment_id", "key", "value")))
            rows = database.rows("experiments", ("experiment_id", *_EXPERIMENT))
        return [
            experiment_from(key, row, tags[key], is_deleted=False, faults=[])
            for row in rows
            if (key := text(row["experiment_id"]))
        ]

    def places(self) -> list[RunPlace]:
        """Return every run, deleted ones too; its place is the file."""
        with self._reading() as database:
            rows = database.rows("runs", ("run_uuid", "experiment_id"))
        return [
            RunPlace(run_id, text(row["experiment_id"]), self.file)
            for row in rows
            if (run_id := text(row["run_uuid"]))
        ]

    def signature(self, place: RunPlace, tier: Tier) -> tuple[int, ...]:
        """Return a number that changes with the run; one look at all serves every tier."""
        if not self._signs:
            with self._reading() as database:
                self._signs.update(_signatures(database))
        return (self._signs.get(place.run_id, 0),)

    def read_all(self, places: Iterable[RunPlace]) -> Iterator[StoredRun]:
        """Yield the runs at ``places``, in order, as far as they can be read."""
        with self._reading() as database:
            for batch in _batches(list(places)):
                yield from self._read(database, batch)

    def models(self) -> list[StoredModel]:
        """Return every logged model (MLflow 3), deleted ones too."""
        with self._reading() as database:
            rows = database.rows("logged_models", ("model_id", *_MODEL, *_MODEL_MORE))
            params = _pairs(
                database.rows("logged_model_params", ("model_id", "param_key", "param_value"))
            )
            tags = _pairs(database.rows("logged_model_tags", ("model_id", "tag_key", "tag_value")))
            values = database.rows("logged_model_metrics", _MODEL_METRIC)
        history: dict[str, list[HistoryRow]] = defaultdict(list)
        for row in values:
            key, name, step, at, value = row.values()
            history[text(key)].append((text(name), _whole(step), _whole(at), _number(value)))
        return [
            model_from(
                key,
                text(row["experiment_id"]),
                row
                | {
                    "creation_timestamp": row["creation_timestamp_ms"],
                    "last_updated_timestamp": row["last_updated_timestamp_ms"],
                },
                is_deleted=False,
                params=params[key],
                tags=tags[key],
                history=history[key],
                faults=[],
            )
            for row in rows
            if (key := text(row["model_id"]))
        ]

    def _read(self, database: _Database, batch: Sequence[RunPlace]) -> Iterator[StoredRun]:
        runs = [place.run_id for place in batch]
        found = {
            row["run_uuid"]: row
            for row in database.rows(
                "runs", ("run_uuid", "experiment_id", "artifact_uri", *_RUN), "run_uuid", runs
            )
        }
        names = ("run_uuid", "key", "value")
        params = _pairs(database.rows("params", names, "run_uuid", runs))
        tags = _pairs(database.rows("tags", names, "run_uuid", runs))
        history = _history(database, runs)
        newest = _newest(database, runs)
        datasets = _datasets(database, runs)
        models: dict[str, list[str]] = defaultdict(list)
        for row in database.rows("inputs", _INPUT, "source_id", runs):
            if (row["source_type"], row["destination_type"]) == ("RUN_OUTPUT", "MODEL_OUTPUT"):
                models[text(row["source_id"])].append(text(row["destination_id"]))
        for place in batch:
            row = found.get(place.run_id, {})
            faults = [] if row else ["it is gone from the table of runs"]
            folder = self._artifacts(place, text(row.get("artifact_uri")))
            yield run_from(
                place,
                row | {"run_name": row.get("name"), "run_id": place.run_id},
                is_deleted=False,
                params=params[place.run_id],
                tags=tags[place.run_id],
                history=history[place.run_id],
                datasets=datasets[place.run_id],
                models=models[place.run_id],
                artifacts=folders.listing(folder, MOST_ARTIFACTS),
                artifact_folder=folder,
                faults=faults,
                metrics=latest(history[place.run_id]) | newest[place.run_id],
            )

    def _artifacts(self, place: RunPlace, uri: str) -> Path | None:
        """Return where a run's artefacts lie, in the folder of the file, also when both moved."""
        base = self.file.parent
        if found := folders.inside(base, uri):
            return found
        names = (place.experiment_id, place.run_id, "artifacts")
        places = (folders.below(base, (name, *names)) for name in ("mlruns", "mlartifacts"))
        return next(filter(None, places), None)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[_Database]:
        try:
            with contextlib.closing(_opened(self.file)) as connection:
                yield _Database(connection)
        except (sqlite3.Error, OSError) as error:
            reason = f"{self.file} cannot be read ({str(error).rstrip('.')})"
            raise UnreadableError(reason) from error


class _Database:
    """The real tables of an open file, and their columns; views run what somebody wrote."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
        ).fetchall()
        self._columns = {
            name: {
                row[0]
                for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
            }
            for (name,) in tables
            if name in _TABLES
        }

    def rows(
        self, table: str, names: Sequence[str], key: str = "", values: Sequence[str] = ()
    ) -> list[Row]:
        """Return these columns of a table, None for those that it does not have.

        With ``key``, only the rows where that column is one of ``values``.
        """
        known = self._columns.get(table, set())
        if not known or (key and key not in known):
            return []
        selected = ", ".join(f'"{name}"' if name in known else "NULL" for name in names)
        sql = f'SELECT {selected} FROM "{table}"'  # noqa: S608 - names that stand in this module
        if key:
            sql += f' WHERE "{key}" IN ({", ".join("?" * len(values))})'
        return [dict(zip(names, row, strict=True)) for row in self._rows(sql, values)]

    def tuples(self, table: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return these columns of a table without those that it does not have."""
        known = self._columns.get(table, set())
        selected = ", ".join(f'"{name}"' for name in names if name in known)
        return self._rows(f'SELECT {selected} FROM "{table}"') if selected else []  # noqa: S608

    def counts(self, table: str) -> list[tuple[Any, ...]]:
        """Return how many rows of a table each run has."""
        if "run_uuid" not in self._columns.get(table, set()):
            return []
        return self._rows(f'SELECT run_uuid, count(*) FROM "{table}" GROUP BY run_uuid')  # noqa: S608

    def _rows(self, sql: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        self._connection.text_factory = _lenient  # slower, and hardly ever needed
        return self._connection.execute(sql, values).fetchall()


_TABLES: Final = frozenset(
    {
        *("experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics"),
        *("inputs", "input_tags", "datasets", "logged_models", "logged_model_params"),
        *("logged_model_tags", "logged_model_metrics"),
    }
)


def _opened(file: Path) -> sqlite3.Connection:
    """Open ``file`` so that nothing is written, and nothing that it defines is run."""
    uri = file.absolute().as_uri() + "?mode=ro"
    try:
        return _checked(uri)
    except sqlite3.OperationalError:
        # A folder that cannot be written cannot hold what shared reading needs; a file that
        # nobody is writing can be read without.
        if not file.is_file() or folders.marks(f"{file}-wal")[1]:
            raise
        return _checked(uri + "&immutable=1")


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _checked(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        for pragma in ("query_only = 1", "trusted_schema = 0", "cell_size_check = 1"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _signatures(database: _Database) -> dict[str, int]:
    """Return a number of every run that changes with what the tables hold of it.

    Metrics are told by their newest values and their number alone: rows are only ever added.
    """
    found: dict[str, int] = defaultdict(int)
    tables: tuple[tuple[str, Callable[[], list[tuple[Any, ...]]]], ...] = (
        (
            "runs",
            lambda: database.tuples("runs", ("run_uuid", "experiment_id", "artifact_uri", *_RUN)),
        ),
        ("params", lambda: database.tuples("params", ("run_uuid", "key", "value"))),
        ("tags", lambda: database.tuples("tags", ("run_uuid", "key", "value"))),
        (
            "latest_metrics",
            lambda: database.tuples(
                "latest_metrics", ("run_uuid", "key", "value", "timestamp", "step", "is_nan")
            ),
        ),
        ("metrics", lambda: database.counts("metrics")),
        ("inputs", lambda: _inputs(database)),
    )
    for name, rows in tables:
        salt = name.encode()[:16]
        for row in rows():
            data = repr(row).encode("utf-8", "replace")
            digest = hashlib.blake2b(data, digest_size=8, salt=salt).digest()
            found[row[0]] += int.from_bytes(digest, "big")  # a sum: tables are in no order
    return {text(run): total % _BELOW_TIMES for run, total in found.items()}


def _inputs(database: _Database) -> list[tuple[Any, ...]]:
    tags = defaultdict(list)
    for one in database.tuples("input_tags", ("input_uuid", "name", "value")):
        tags[one[0]].append(one[1:])
    return [
        (row[2] if row[1] == "RUN_OUTPUT" else row[4], *row, *sorted(tags[row[0]]))
        for row in database.tuples("inputs", _INPUT)
    ]


def _pairs(rows: Iterable[Row]) -> Mapping[str, dict[str, str]]:
    """Return the keys and texts of each owner, which the first column names."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        owner, key, value = row.values()
        found[text(owner)][text(key)] = text(value)
    return found


def _history(database: _Database, runs: Collection[str]) -> Mapping[str, list[HistoryRow]]:
    found: dict[str, list[HistoryRow]] = defaultdict(list)
    names = ("run_uuid", "key", "step", "timestamp", "value", "is_nan")
    for row in database.rows("metrics", names, "run_uuid", list(runs)):
        run, key, step, at, value, is_nan = row.values()
        number = math.nan if is_nan else _number(value)
        found[text(run)].append((text(key), _whole(step), _whole(at), number))
    return found


def _newest(database: _Database, runs: Sequence[str]) -> Mapping[str, dict[str, float]]:
    """Return MLflow's own newest values, which its first versions did not keep."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    names = ("run_uuid", "key", "value", "is_nan")
    for row in database.rows("latest_metrics", names, "run_uuid", runs):
        number = math.nan if row["is_nan"] else _number(row["value"])
        found[text(row["run_uuid"])][text(row["key"])] = number
    return found


def _datasets(database: _Database, runs: Sequence[str]) -> Mapping[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    taken = [
        row
        for row in database.rows("inputs", _INPUT, "destination_id", runs)
        if (row["source_type"], row["destination_type"]) == ("DATASET", "RUN")
    ]
    described, contexts = {}, {}
    for batch in _batches(sorted({text(row["source_id"]) for row in taken})):
        for row in database.rows("datasets", _DATASET, "dataset_uuid", batch):
            described[row["dataset_uuid"]] = row
    for batch in _batches([text(row["input_uuid"]) for row in taken]):
        for row in database.rows(
            "input_tags", ("input_uuid", "name", "value"), "input_uuid", batch
        ):
            if row["name"] == _CONTEXT:
                contexts[row["input_uuid"]] = text(row["value"])
    for row in taken:
        known = described.get(row["source_id"], {})
        found[text(row["destination_id"])].append(
            {
                "name": text(known.get("name")),
                "digest": text(known.get("digest")),
                "source_type": text(known.get("dataset_source_type")),
                "source": text(known.get("dataset_source")),
                "context": contexts.get(row["input_uuid"], ""),
            }
        )
    return found


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _whole(value: object) -> int:
    return milliseconds(value) or 0


def _number(value: object) -> float:
    """Return a metric's value; NULL is NaN, which is how SQLite stores it."""
    return float(value) if isinstance(value, int | float) else math.nan
