"""The ``data preview`` verb: what an import would decide, and its first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.command import Location, command
from local_stack.data import sources
from local_stack.data.asking import gathered, options_of, read
from local_stack.data.rejects import Reject, Rejects
from local_stack.data.sources import SourceFile
from local_stack.data.tables import ColumnDecision, Decision, ImportWarning, Options
from local_stack.progress import Progress, silent
from local_stack.results import Result, plain
from local_stack.stores.places import redacted
from local_stack.workspace import Workspace

PREVIEW_BYTES = 4 * 1024 * 1024
"""Beginning of a text that a preview reads."""

_PREVIEW_ROWS = 50
_LONGEST_LINE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Preview(Result):
    """What an import would decide and give.

    ``n_rows`` counts the rows that were looked at: those of the beginning when ``is_sample``.
    """

    source: str
    format: str
    size: int
    files: int
    decisions: tuple[Decision, ...]
    columns: tuple[ColumnDecision, ...]
    rows: tuple[tuple[Any, ...], ...]
    n_rows: int
    is_sample: bool
    warnings: tuple[ImportWarning, ...]
    rejects: tuple[Reject, ...]
    n_rejected: int
    options: dict[str, Any]


@command("data.preview", example="paceml-tui data preview wine.csv --delimiter semicolon")
def preview(
    workspace: Workspace,
    source: Location,
    *,
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
    limit: int = _PREVIEW_ROWS,
    progress: Progress = silent,
) -> Preview:
    """Show what an import would decide and its first rows, without recording anything.

    Parameters
    ----------
    source
        File, glob or fsspec URL; with --sql a database.
    format, encoding, delimiter, quote, escape, header, skip, footer
        As for data add.
    decimal, thousands, date_format, null, type, rename, sheet, sql, strict
        As for data add.
    limit
        How many rows to return.
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
    with workspace.scratch() as folder, Rejects(Path(folder)) as rejects:
        scratch = Path(folder)
        files, ready = gathered(source, options, scratch, progress)
        part, is_sample = (files, False) if ready else _beginning(files, options, scratch)
        imported = read(part, ready, options, scratch, rejects, source, progress)
        rows = _first_rows(scratch / "table.parquet", max(0, limit))
        kind = next(str(it.value) for it in imported.decisions if it.what == "format")
        return Preview(
            source=redacted(source),
            format=kind,
            size=sum(file.size for file in files),
            files=len(files),
            decisions=imported.decisions,
            columns=imported.column_decisions,
            rows=rows,
            n_rows=imported.n_rows,
            is_sample=is_sample,
            warnings=imported.warnings,
            rejects=tuple(rejects.first),
            n_rejected=imported.n_rejected,
            options=options.given(),
        )


def _beginning(
    files: Sequence[SourceFile], options: Options, scratch: Path
) -> tuple[tuple[SourceFile, ...], bool]:
    """Return the first file, or only the beginning of its text when it is long."""
    first = files[0]
    if first.compression is None and first.size > PREVIEW_BYTES:
        kind = sources.format_of(first.name, first.path, options.format)
        if kind in ("csv", "jsonl"):
            return (_cut(first, scratch),), True
    return (first,), len(files) > 1


def _cut(file: SourceFile, scratch: Path) -> SourceFile:
    folder = scratch / "beginning"
    folder.mkdir()
    path = folder / f"part{file.path.suffix}"
    with file.path.open("rb") as stream:
        data = stream.read(PREVIEW_BYTES)
        data += stream.readline(_LONGEST_LINE)  # the last line, whole
    path.write_bytes(data)
    return SourceFile(
        file.name, file.uri, len(data), file.etag, file.modified_at, path, file.compression
    )


def _first_rows(table: Path, limit: int) -> tuple[tuple[Any, ...], ...]:
    import polars

    frame = polars.scan_parquet(table).head(limit).collect()
    return tuple(tuple(map(plain, row)) for row in frame.iter_rows())
