"""The ``data add`` verb: a source becomes a version, its original bytes kept beside its table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import Location, command
from local_stack.data import compute, versions
from local_stack.data.tables import Imported
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.names import label
from local_stack.progress import Progress, Step, silent
from local_stack.results import now, plain
from local_stack.stores.artifacts import Blob, fetch
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace, acting

if TYPE_CHECKING:
    import polars


def _add_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify what an import leaves: a tagged one promises its tag, others the newest."""
    name, tag = str(arguments["name"]), arguments.get("tag")
    dataset = workspace.get("datasets", name) or {}
    return [
        dataset.get("target"),
        versions.find(workspace, f"{name}@{tag}" if tag else name).version,
    ]


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
        "rejected": None,
        "decisions": {},
        "lineage": {"source": source, "command": acting.get(), "original": original.to_dict()},
        "note": note,
        "actor": workspace.actor,
        "created_at": now(),
    }
    chosen = {"target": target, "keys": list(key), "sensitive": list(sensitive)}
    workspace.append(lambda state: _record(state, name, facts, chosen, tag))
    progress(Step("Recorded", 4, 4))
    return versions.find(workspace, f"{name}@{version}")


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
) -> Imported:
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


def _check_columns(
    imported: Imported,
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
