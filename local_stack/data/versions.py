"""Data sets and their versions: immutable, content-addressed, with where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import Location, command
from local_stack.data import compute
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.names import label, split_reference
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now, plain
from local_stack.stores.artifacts import Blob, fetch
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class DataVersion(Result):
    """A version of a data set. ``columns`` counts what ``schema`` lists."""

    dataset: str
    version: str
    number: int
    rows: int
    columns: int
    schema: tuple[compute.ColumnInfo, ...]
    target: str | None
    tags: tuple[str, ...]
    warnings: tuple[compute.ImportWarning, ...]
    source: str
    note: str
    actor: str
    created_at: str

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
    """A version with its first rows; each row holds plain values in the order of ``schema``."""

    version: DataVersion
    rows: tuple[tuple[Any, ...], ...]


def reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what identifies the version that ``arguments`` name, its contract included."""
    version = find(workspace, str(arguments["name"]))
    dataset = workspace.get("datasets", version.dataset) or {}
    return [version.reference, version.target, dataset.get("contract")]


def _add_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify what an import leaves: a tagged one promises its tag, others the newest."""
    name, tag = str(arguments["name"]), arguments.get("tag")
    dataset = workspace.get("datasets", name) or {}
    return [dataset.get("target"), find(workspace, f"{name}@{tag}" if tag else name).version]


@command(
    "data.add",
    writes=True,
    is_long=True,
    reads=_add_reads,
    example="paceml-tui data add wine wine.csv --target quality",
)
def add(
    workspace: Workspace,
    name: str,
    source: Location,
    *,
    target: str | None = None,
    key: tuple[str, ...] = (),
    sensitive: tuple[str, ...] = (),
    format: str | None = None,
    tag: str | None = None,
    note: str = "",
    progress: Progress = silent,
) -> DataVersion:
    """Import a table as a version of the data set NAME.

    Parameters
    ----------
    name
        Data set; it is made when it does not exist.
    source
        File (CSV, Parquet, JSON lines), or any fsspec URL such as s3://bucket/wine.csv.
    target
        Column that models of this data set predict.
    key
        Column that identifies a row; repeat it for a compound key.
    sensitive
        Column whose groups fairness is measured by; repeat it for more.
    format
        csv, parquet or jsonl; taken from the ending of the source when left out.
    tag
        Name for this version, such as golden.
    note
        Why this version exists.
    """
    name = label(name, "data set name")
    if "@" in name:
        raise InputError(
            f"The data set name '{name}' holds '@', which stands before a version.",
            "Leave it out.",
        )
    tag = label(tag, "tag") if tag else None
    kind = compute.format_of(source, format)
    if kind not in compute.FORMATS:
        raise InputError(f"'{kind}' is not a format.", nearest(kind, compute.FORMATS))
    with workspace.scratch() as folder:
        scratch = Path(folder)
        progress(Step("Reading the source", 0, 4))
        original = workspace.artifacts.put_file(fetch(source, scratch / "source"))
        progress(Step("Inferring types", 1, 4))
        imported = _normalised(workspace, original, kind, scratch / "table.parquet", source)
        progress(Step("Storing the table", 2, 4))
        table = workspace.artifacts.put_file(scratch / "table.parquet")
    _check_columns(imported, target=target, key=key, sensitive=sensitive)
    options = {"format": kind}
    version = _identity(original, options)
    facts = {
        "version": version,
        "n_rows": imported.n_rows,
        "n_columns": len(imported.columns),
        "columns": plain(imported.columns),
        "warnings": plain(imported.warnings),
        "source": source,
        "options": options,
        "original": original.to_dict(),
        "table": table.to_dict(),
        "rejects": imported.n_rejected,
        "note": note,
        "actor": workspace.actor,
        "created_at": now(),
    }
    chosen = {"target": target, "keys": list(key), "sensitive": list(sensitive)}
    workspace.append(lambda state: _record(state, name, facts, chosen, tag))
    progress(Step("Recorded", 4, 4))
    return find(workspace, f"{name}@{version}")


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


@command("data.show", example="paceml-tui data show wine --limit 5")
def show(
    workspace: Workspace, name: str, *, limit: int = 10, progress: Progress = silent
) -> DataRows:
    """Show a version: its columns, where it came from, and its first rows.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    limit
        How many rows to return.
    """
    version = find(workspace, name)
    frame = read(workspace, version).head(max(0, limit))
    return DataRows(version, tuple(tuple(map(plain, row)) for row in frame.iter_rows()))


def find(workspace: Workspace, reference: str) -> DataVersion:
    """Return the version that ``NAME``, ``NAME@VERSION`` or ``NAME@TAG`` means.

    A version may be shortened to an unambiguous beginning of at least four digits.

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
        schema=tuple(compute.ColumnInfo(**column) for column in row["columns"]),
        target=dataset["target"],
        tags=tuple(item["tag"] for item in tags),
        warnings=tuple(compute.ImportWarning(**warning) for warning in row["warnings"]),
        source=row["source"],
        note=row["note"],
        actor=row["actor"],
        created_at=row["created_at"],
    )


def read(workspace: Workspace, version: DataVersion) -> polars.DataFrame:
    """Return the whole table of ``version`` after checking its bytes."""
    import polars

    row = workspace.get("data_versions", version.dataset, version.version)
    assert row is not None
    return polars.read_parquet(workspace.artifacts.path(Blob.of(row["table"])))


def read_source(workspace: Workspace, source: str, format: str | None = None) -> polars.DataFrame:
    """Return a table that is not a version (a file to compare with), read as ``data.add`` does."""
    import polars

    with workspace.scratch() as folder:
        scratch = Path(folder)
        blob = workspace.artifacts.put_file(fetch(source, scratch / "source"))
        kind = compute.format_of(source, format)
        _normalised(workspace, blob, kind, scratch / "table.parquet", source)
        return polars.read_parquet(scratch / "table.parquet")


def _normalised(
    workspace: Workspace, original: Blob, kind: str, target: Path, source: str
) -> compute.Imported:
    try:
        return compute.normalise(workspace.artifacts.path(original), kind, target)
    except InputError as error:
        raise InputError(f"{source}: {error.message}", error.hint) from error


def _record(state: Metadata, name: str, facts: Row, chosen: Row, tag: str | None) -> Draft | None:
    dataset = state.get("datasets", name)
    version = state.get("data_versions", name, facts["version"])
    changes: list[Change] = []
    if version is None:
        number = (dataset["n_versions"] if dataset else 0) + 1
        version = {**facts, "dataset": name, "number": number}
        changes.append(("data_versions", version))
    head = {
        **(dataset or {"name": name, "contract": None, "created_at": facts["created_at"]}),
        **{k: v for k, v in chosen.items() if v or dataset is None},
        "latest": facts["version"],
        "n_versions": max(version["number"], dataset["n_versions"] if dataset else 0),
    }
    if head != dataset and {**head, "updated_at": ""} != {**(dataset or {}), "updated_at": ""}:
        changes.append(("datasets", {**head, "updated_at": facts["created_at"]}))
    if tag and state.get("data_tags", name, tag) != _tag(name, tag, facts["version"]):
        changes.append(("data_tags", _tag(name, tag, facts["version"])))
    if not changes:  # the same bytes with the same options: nothing happened
        return None
    body = {key: facts[key] for key in ("version", "n_rows", "n_columns", "source", "note")}
    return Draft("data.added", f"data:{name}", {**body, **chosen, "tag": tag}, changes)


def _tag(name: str, tag: str, version: str) -> Row:
    return {"dataset": name, "tag": tag, "version": version}


def _version_row(workspace: Workspace, dataset: Row, wanted: str) -> Row:
    name = dataset["name"]
    tagged = workspace.metadata.get("data_tags", name, wanted) if wanted else None
    version = tagged["version"] if tagged else wanted or dataset["latest"]
    row = workspace.metadata.get("data_versions", name, version)
    if row is not None:
        return row
    rows = workspace.query(
        "SELECT * FROM data_versions WHERE dataset = ? AND starts_with(version, ?)", name, version
    )
    if len(rows) != 1 or len(version) < 4:
        raise NotFoundError(
            f"Data set '{name}' has no version or tag '{wanted}'.",
            f"Look at it with: paceml-tui data show {name}",
        )
    return rows[0]


def _check_columns(
    imported: compute.Imported,
    *,
    target: str | None,
    key: tuple[str, ...],
    sensitive: tuple[str, ...],
) -> None:
    names = [column.name for column in imported.columns]
    wanted = [("target", target)] if target else []
    wanted += [("key", column) for column in key]
    wanted += [("sensitive", column) for column in sensitive]
    for role, column in wanted:
        if column not in names:
            raise InputError(
                f"There is no column '{column}' to be the {role}.",
                nearest(str(column), names) or f"The columns are: {', '.join(names[:20])}.",
            )


def _identity(original: Blob, options: dict[str, str]) -> str:
    """Return the version: the hash of the original's hash and the import options."""
    content = json.dumps([original.sha256, options], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
