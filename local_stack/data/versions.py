"""Data sets and their versions: immutable, content-addressed, with where they came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import command
from local_stack.data import compute
from local_stack.data.rejects import Reject
from local_stack.data.rows import RowReader
from local_stack.data.tables import ColumnInfo, ImportWarning
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.names import split_reference
from local_stack.progress import Progress, silent
from local_stack.results import Result, plain
from local_stack.stores.artifacts import Blob
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars


LEAST_PREFIX = 4
"""How many digits a version may be shortened to."""

_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class DataVersion(Result):
    """A version of a data set. ``columns`` counts what ``schema`` lists.

    ``lineage`` says where its bytes came from and who called which command, ``decisions`` what
    the import made of them; ``rejects`` counts lines and cells that could not be read.
    ``collected_at`` is when its bytes were removed (None: they are here).
    """

    dataset: str
    version: str
    number: int
    rows: int
    columns: int
    schema: tuple[ColumnInfo, ...]
    target: str | None
    tags: tuple[str, ...]
    warnings: tuple[ImportWarning, ...]
    rejects: int
    source: str
    note: str
    actor: str
    created_at: str
    lineage: dict[str, Any]
    decisions: dict[str, Any]
    collected_at: str | None = None

    @property
    def reference(self) -> str:
        """Return ``NAME@VERSION``."""
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True, slots=True)
class DataSet(Result):
    """A data set with its newest version."""

    name: str
    target: str | None
    latest: str
    versions: int
    rows: int
    columns: int
    tags: tuple[str, ...]
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class DataList(Result):
    """Every data set of the workspace."""

    datasets: tuple[DataSet, ...]


@dataclass(frozen=True, slots=True)
class DataRows(Result):
    """A version with some of its rows; each row holds plain values in the order of ``schema``.

    ``start`` is the number of the first row, from 0. With ``columns`` the rows hold only these.
    """

    version: DataVersion
    rows: tuple[tuple[Any, ...], ...]
    start: int = 0
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectList(Result):
    """What the import of a version could not read as it stands, in the order of lines."""

    dataset: str
    version: str
    total: int
    rejects: tuple[Reject, ...]


def reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what identifies the version that ``arguments`` name, its contract included."""
    version = find(workspace, str(arguments["name"]))
    dataset = workspace.get("datasets", version.dataset) or {}
    return [version.reference, version.target, dataset.get("contract")]


@command("data.list", example="paceml-tui data list")
def listing(workspace: Workspace, *, progress: Progress = silent) -> DataList:
    """List the data sets with their newest version."""
    rows = workspace.query(
        "SELECT d.*, v.n_rows, v.n_columns, "
        "(SELECT list(tag ORDER BY tag) FROM data_tags t "
        " WHERE t.dataset = d.name AND t.version = d.latest) AS tags "
        "FROM datasets d JOIN data_versions v ON v.dataset = d.name AND v.version = d.latest "
        "ORDER BY d.name"
    )
    return DataList(
        tuple(
            DataSet(
                name=row["name"],
                target=row["target"],
                latest=row["latest"],
                versions=row["n_versions"],
                rows=row["n_rows"],
                columns=row["n_columns"],
                tags=tuple(row["tags"] or ()),
                created_at=row["created_at"],
                updated_at=row["updated_at"],
            )
            for row in rows
        )
    )


@command("data.show", example="paceml-tui data show wine --start 1000 --limit 5")
def show(
    workspace: Workspace,
    name: str,
    *,
    limit: int = 10,
    start: int = 0,
    column: tuple[str, ...] = (),
    progress: Progress = silent,
) -> DataRows:
    """Show a version: its columns, where it came from, and some of its rows.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    limit
        How many rows to return.
    start
        The first of them, counted from 0.
    column
        Return this column, repeatable; all of them when left out.
    """
    version = find(workspace, name)
    places = _places(version, column)
    with reading(workspace, version) as reader:
        found = reader.window(max(0, start), max(0, limit), places)
    rows = tuple(tuple(map(plain, row)) for row in found)
    return DataRows(version, rows, max(0, start), tuple(column))


def _places(version: DataVersion, names: tuple[str, ...]) -> list[int] | None:
    """Return where the named columns stand, None for all of them."""
    known = {column.name: place for place, column in enumerate(version.schema)}
    for name in names:
        if name not in known:
            raise InputError(
                f"{version.reference} has no column '{name}'.",
                nearest(name, known) or f"Columns: {', '.join(list(known)[:20])}.",
            )
    return [known[name] for name in names] or None


@command("data.rejects", example="paceml-tui data rejects wine --limit 20")
def rejected(
    workspace: Workspace, name: str, *, limit: int = 100, progress: Progress = silent
) -> RejectList:
    """List what the import of a version could not read as it stands, with line numbers.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    limit
        How many entries to return.
    """
    version = find(workspace, name)
    row = held(workspace, version)
    if not row["rejected"]:
        return RejectList(version.dataset, version.version, 0, ())
    path = workspace.artifacts.path(Blob.of(row["rejected"]))
    with workspace.scratch() as folder, compute.connect(path.parent, scratch=Path(folder)) as duck:
        table = f"read_parquet({compute.literal(path)})"
        (total,) = duck.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
        rows = duck.execute(
            f'SELECT line, "column", code, outcome, message, text, file FROM {table} '
            f"ORDER BY outcome = 'aside', file, line LIMIT ?",
            [max(0, limit)],
        ).fetchall()
    return RejectList(version.dataset, version.version, total, tuple(Reject(*it) for it in rows))


def find(workspace: Workspace, reference: str) -> DataVersion:
    """Return the version that ``NAME``, ``NAME@VERSION`` or ``NAME@TAG`` means.

    A version may be shortened to an unambiguous beginning of at least four digits, or given by
    its number, as in ``wine@2``.

    Raises
    ------
    NotFoundError
        Naming the nearest data set, or saying that the version or tag is unknown.
    """
    name, wanted = split_reference(reference)
    dataset = workspace.get("datasets", name)
    if dataset is None:
        names = [row["name"] for row in workspace.query("SELECT name FROM datasets")]
        hint = nearest(name, names) or "List them with: paceml-tui data list"
        raise NotFoundError(f"There is no data set '{name}'.", hint)
    row = _version_row(workspace, dataset, wanted)
    tags = workspace.query(
        "SELECT tag FROM data_tags WHERE dataset = ? AND version = ? ORDER BY tag",
        name,
        row["version"],
    )
    return DataVersion(
        dataset=name,
        version=row["version"],
        number=row["number"],
        rows=row["n_rows"],
        columns=row["n_columns"],
        schema=tuple(ColumnInfo(**column) for column in row["columns"]),
        target=dataset["target"],
        tags=tuple(item["tag"] for item in tags),
        warnings=tuple(ImportWarning(**warning) for warning in row["warnings"]),
        rejects=row["rejects"] or 0,
        source=row["source"],
        note=row["note"],
        actor=row["actor"],
        created_at=row["created_at"],
        lineage=row["lineage"] or {},
        decisions=row["decisions"] or {},
        collected_at=row["collected_at"],
    )


def read(workspace: Workspace, version: DataVersion) -> polars.DataFrame:
    """Return the whole table of ``version`` after checking its bytes."""
    import polars

    return polars.read_parquet(table_path(workspace, version))


@contextmanager
def reading(workspace: Workspace, version: DataVersion) -> Iterator[RowReader]:
    """Open the table of ``version`` to read rows of it, its bytes checked."""
    path = table_path(workspace, version)
    with workspace.scratch() as folder, RowReader(path, scratch=Path(folder)) as reader:
        yield reader


def table_path(workspace: Workspace, version: DataVersion) -> Path:
    """Return a local Parquet file with the whole table of ``version``, its bytes checked."""
    return workspace.artifacts.path(Blob.of(held(workspace, version)["table"]))


def record(workspace: Workspace, version: DataVersion) -> Row:
    """Return the stored record of ``version``, blobs and options included."""
    row = workspace.get("data_versions", version.dataset, version.version)
    assert row is not None
    return row


def held(workspace: Workspace, version: DataVersion) -> Row:
    """Return the stored record of ``version``, whose bytes are to be read.

    Raises
    ------
    NotFoundError
        When ``data.gc`` has removed the bytes; the record stays.
    """
    row = record(workspace, version)
    if row["collected_at"]:
        raise NotFoundError(
            f"The bytes of {version.reference} were collected at {row['collected_at']}; "
            "only its record is here.",
            f"Bring them back: paceml-tui data pull --name {version.reference}",
        )
    return row


def _version_row(workspace: Workspace, dataset: Row, wanted: str) -> Row:
    name = dataset["name"]
    tagged = workspace.metadata.get("data_tags", name, wanted) if wanted else None
    version = tagged["version"] if tagged else wanted or dataset["latest"]
    row = workspace.metadata.get("data_versions", name, version)
    if row is not None:
        return row
    rows: list[Row] = []
    if len(version) >= LEAST_PREFIX:
        rows = workspace.query(
            "SELECT * FROM data_versions WHERE dataset = ? AND starts_with(version, ?)",
            name,
            version,
        )
    if not rows and _NUMBER.fullmatch(version):
        rows = workspace.metadata.find("data_versions", dataset=name, number=int(version))
    if len(rows) != 1:
        raise NotFoundError(
            f"Data set '{name}' has no version or tag '{wanted}'.",
            f"Look at it with: paceml-tui data show {name}",
        )
    return rows[0]
