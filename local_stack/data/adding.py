"""The ``data add`` verb: a source becomes a version.

A version keeps the original bytes, the normalised table, the list of what could not be read,
and the account of every decision. The same bytes with the same options are the same version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import Location, command
from local_stack.data import compute, versions
from local_stack.data.asking import gathered, options_of, read
from local_stack.data.history import tag_label
from local_stack.data.rejects import Rejects
from local_stack.data.sources import SourceFile
from local_stack.data.tables import Imported, Options, Staged
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.names import label
from local_stack.progress import Progress, Step, silent
from local_stack.results import now, plain
from local_stack.stores.artifacts import Blob, Tree
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.places import redacted
from local_stack.workspace import Workspace, acting

if TYPE_CHECKING:
    import polars


def _add_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify what an import leaves: a tagged one promises its tag, others the newest."""
    name, tag = str(arguments["name"]), arguments.get("tag")
    dataset = workspace.get("datasets", name) or {}
    found = versions.find(workspace, f"{name}@{tag}" if tag else name)
    return [dataset.get("target"), found.version]


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
    encoding: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    escape: str | None = None,
    header: int | None = None,
    skip: int | None = None,
    footer: int | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    null: tuple[str, ...] = (),
    type: tuple[str, ...] = (),
    rename: tuple[str, ...] = (),
    sheet: str | None = None,
    sql: str | None = None,
    strict: bool = False,
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
        File, glob or fsspec URL (CSV, Parquet, JSON, JSON lines, Excel, Arrow, compressed or
        not); with --sql a DuckDB or SQLite file or an SQLAlchemy URL.
    target
        Column that models of this data set predict.
    key
        Column that identifies a row; repeat it for a compound key.
    sensitive
        Column whose groups fairness is measured by; repeat it for more.
    format
        csv, parquet, json, jsonl, excel or arrow; found out from the source when left out.
    encoding
        Encoding of a text, such as cp1252; found out when left out, like all of the next.
    delimiter
        What parts the fields: a character or a few, or tab, space.
    quote
        What wraps a field, or none.
    escape
        What stands before a quote within a field, beside a doubled quote.
    header
        How many lines hold the names of columns; 0 for none.
    skip
        Lines before the header that are no part of the table.
    footer
        Lines at the end that are no part of the table.
    decimal
        Mark of decimals in numbers: . or ,
    thousands
        Mark between thousands.
    date_format
        Format of dates, in strptime's letters such as %d/%m/%Y.
    null
        Spelling of a missing value, in place of the usual ones; repeat it for more.
    type
        Type of a column, as COLUMN=TYPE (long, double, string, boolean, date, datetime).
    rename
        New name of a column, as OLD=NEW.
    sheet
        Sheet of a workbook, by name or number from 1.
    sql
        Query (one SELECT) to run on the source, which is a database then.
    strict
        Refuse the import when anything could not be read as it stands.
    tag
        Name for this version, such as golden.
    note
        Why this version exists.
    """
    options = options_of(
        format=format,
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        header=header,
        skip=skip,
        footer=footer,
        decimal=decimal,
        thousands=thousands,
        date_format=date_format,
        null=null,
        type=type,
        rename=rename,
        sheet=sheet,
        sql=sql,
        strict=strict,
    )
    wanted = Wanted(name, source, options, target, key, sensitive, tag, note)
    with workspace.scratch() as folder:
        scratch = Path(folder)
        files, ready = gathered(source, options, scratch, progress)
        return import_files(workspace, wanted, files, scratch, ready=ready, progress=progress)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The version that an import is to make; ``origin`` joins its lineage.

    Raises
    ------
    InputError
        When the data set or the tag cannot be called so.
    """

    dataset: str
    source: str
    options: Options
    target: str | None = None
    key: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    tag: str | None = None
    note: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = label(self.dataset, "data set name")
        if "@" in name:
            raise InputError(
                f"The data set name '{name}' holds '@', which stands before a version.",
                "Leave it out.",
            )
        object.__setattr__(self, "dataset", name)
        object.__setattr__(self, "tag", tag_label(self.tag) if self.tag else None)


def import_files(
    workspace: Workspace,
    wanted: Wanted,
    files: Sequence[SourceFile],
    scratch: Path,
    *,
    ready: Staged | None = None,
    progress: Progress = silent,
) -> DataVersion:
    """Make ``files`` a version: their bytes, their table, what was rejected, and the record.

    Parameters
    ----------
    files
        One local file, or several that hold parts of one table.
    scratch
        Folder for what lies between.
    ready
        The table, when the source was read already.
    """
    options = wanted.options
    original = _kept(workspace, files, progress)
    with Rejects(scratch) as rejects:
        imported = read(files, ready, options, scratch, rejects, wanted.source, progress)
        _check_columns(imported, target=wanted.target, key=wanted.key, sensitive=wanted.sensitive)
        progress(Step("Storing the table"))
        table = workspace.artifacts.put_file(scratch / "table.parquet")
        rejected = _kept_rejects(workspace, rejects, scratch)
    version = _identity(original, options, imported)
    facts = {
        "version": version,
        "n_rows": imported.n_rows,
        "n_columns": len(imported.columns),
        "columns": plain(imported.columns),
        "warnings": plain(imported.warnings),
        "source": redacted(wanted.source),
        "options": options.given(),
        "original": original.to_dict(),
        "table": table.to_dict(),
        "rejects": imported.n_rejected,
        "rejected": rejected.to_dict() if rejected else None,
        "decisions": {
            "file": plain(imported.decisions),
            "columns": plain(imported.column_decisions),
            "outcomes": {code: n for (code, _), n in rejects.counts.items()},
        },
        "lineage": {**_lineage(workspace, wanted, files, original), **wanted.origin},
        "note": wanted.note,
        "actor": workspace.actor,
        "created_at": now(),
    }
    chosen = {
        "target": wanted.target,
        "keys": list(wanted.key),
        "sensitive": list(wanted.sensitive),
    }
    workspace.append(lambda state: _record(state, wanted.dataset, facts, chosen, wanted.tag))
    return versions.find(workspace, f"{wanted.dataset}@{version}")


def read_source(workspace: Workspace, source: str, format: str | None = None) -> polars.DataFrame:
    """Return a table that is not a version (a file to compare with), read as ``data.add`` does."""
    import polars

    options = options_of(format=format)
    with workspace.scratch() as folder, Rejects(Path(folder)) as rejects:
        scratch = Path(folder)
        files, ready = gathered(source, options, scratch, silent)
        read(files, ready, options, scratch, rejects, source, silent)
        return polars.read_parquet(scratch / "table.parquet")


def _kept(workspace: Workspace, files: Sequence[SourceFile], progress: Progress) -> Blob | Tree:
    """Store the original bytes: one file as it is, several as a folder."""
    total, done = 2 * sum(file.size for file in files), 0

    def tick(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        progress(Step("Storing the original", done, total))

    if len(files) == 1:
        return workspace.artifacts.put_file(files[0].path, tick)
    return workspace.artifacts.put_members({file.name: file.path for file in files}, tick)


def _kept_rejects(workspace: Workspace, rejects: Rejects, scratch: Path) -> Blob | None:
    if not rejects.counts:
        return None
    target = scratch / "rejects.parquet"
    with compute.connect(scratch, scratch=scratch) as connection:
        rejects.write(connection, target)
    return workspace.artifacts.put_file(target)


def _lineage(
    workspace: Workspace, wanted: Wanted, files: Sequence[SourceFile], original: Blob | Tree
) -> dict[str, Any]:
    blobs = {files[0].name: original} if isinstance(original, Blob) else original.members
    return {
        "source": redacted(wanted.source),
        "command": acting.get(),
        "sql": wanted.options.sql,
        "actor": workspace.actor,
        "files": [
            {
                "name": file.name,
                "uri": file.uri,
                "size": file.size,
                "etag": file.etag,
                "modified_at": file.modified_at,
                "compression": file.compression,
                "md5": blobs[file.name].md5,
                "sha256": blobs[file.name].sha256,
            }
            for file in files
        ],
    }


def _record(state: Metadata, name: str, facts: Row, chosen: Row, tag: str | None) -> Draft | None:
    dataset = state.get("datasets", name)
    version = state.get("data_versions", name, facts["version"])
    changes: list[Change] = []
    if version is None:
        number = (dataset["n_versions"] if dataset else 0) + 1
        version = {**facts, "dataset": name, "number": number}
        changes.append(("data_versions", version))
    elif version["collected_at"]:  # its bytes had been removed, and are here again
        again = {name: facts[name] for name in ("original", "table", "rejected", "rejects")}
        changes.append(("data_versions", {**version, **again, "collected_at": None}))
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


def _identity(original: Blob | Tree, options: Options, imported: Imported) -> str:
    """Return the version: the hash of the original's hash, its format and the import options."""
    content = original.sha256 if isinstance(original, Blob) else original.manifest.sha256
    kind = next(str(it.value) for it in imported.decisions if it.what == "format")
    given = {**options.given(), "format": kind}
    return hashlib.sha256(json.dumps([content, given], sort_keys=True).encode()).hexdigest()[:16]
