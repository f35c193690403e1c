"""A source becomes one normalised Parquet file, and an account of all that was decided.

Every reader hands on a :class:`~local_stack.data.tables.Staged` table; here its texts get their
types, its columns their names, and what could not be read its list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.data import compute, sources
from local_stack.data.importing import account, delimited, inference, narrowing, readers
from local_stack.data.importing.encodings import as_utf8
from local_stack.data.importing.sniffing import sniff
from local_stack.data.rejects import Reject, Rejects
from local_stack.data.sources import SourceFile
from local_stack.data.tables import (
    ColumnDecision,
    ColumnInfo,
    Decision,
    Imported,
    ImportWarning,
    Options,
    Staged,
)
from local_stack.errors import InputError
from local_stack.progress import Progress, silent

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

SAMPLE_BYTES = 1024 * 1024
"""Beginning of a text on which dialect and layout are judged."""

_OWN_NAMES = frozenset({"file_row_number", "line", "file", "filename"})
_MANY = 1000
_WIDE_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """One local file to read: its format, and what messages call it."""

    path: Path
    format: str
    name: str


def normalise(
    files: Sequence[SourceFile],
    options: Options,
    target: Path,
    rejects: Rejects,
    scratch: Path,
    *,
    ready: Staged | None = None,
    progress: Progress = silent,
) -> Imported:
    """Read ``files`` as one table and write it to ``target`` as Parquet.

    Parameters
    ----------
    files
        One file, or several that hold parts of one table; columns are matched by name.
    rejects
        Takes what could not be read as it stands.
    scratch
        Folder for what lies between; it needs room for the table as text.
    ready
        The table when it has been read already: the rows of a query.

    Raises
    ------
    InputError
        When a file is empty or cannot be read, or with ``options.strict`` for the first thing
        that could not be read as it stands.
    """
    found: list[Source] = []
    for file in files if ready is None else ():
        path = sources.unpacked(file, scratch, progress=progress) if file.compression else file.path
        kind = sources.format_of(file.name, path, options.format)
        found.append(Source(path, kind, file.name if len(files) > 1 else ""))
    folders = {ready.table.parent} if ready else {source.path.parent for source in found}
    with compute.connect(*folders, target.parent, scratch=scratch, optimizes=False) as connection:
        staged = (
            [ready]
            if ready
            else [
                _staged(connection, source, options, rejects, scratch / f"staged{place}", progress)
                for place, source in enumerate(found)
            ]
        )
        table = staged[0] if len(staged) == 1 else _union(connection, staged, found, scratch)
        formats = dict.fromkeys(source.format for source in found) or ["sql"]
        decision = Decision("format", ", ".join(formats), _why(options, files))
        table = replace(table, decisions=(decision, *table.decisions))
        return _settled(connection, table, options, target, rejects, progress)


def _why(options: Options, files: Sequence[SourceFile]) -> str:
    if options.format:
        return "as asked"
    packed = next((file.compression for file in files if file.compression), None)
    return f"by its content and name, unpacked from {packed}" if packed else "by content and name"


def _staged(
    connection: Connection,
    source: Source,
    options: Options,
    rejects: Rejects,
    folder: Path,
    progress: Progress,
) -> Staged:
    folder.mkdir()
    target = folder / "table.parquet"
    label = f"{source.name}: " if source.name else ""
    try:
        if source.format == "csv":
            return _staged_text(connection, source, options, rejects, target, progress)
        staged = readers.stage(
            source.path,
            source.format,
            target,
            sheet=options.sheet,
            skip=options.skip,
            header=options.header,
            scratch=folder,
            progress=progress,
            rejects=rejects,
            name=source.name,
        )
        return _numbered(connection, staged, folder)
    except InputError as error:
        raise InputError(f"{label}{error.message}", error.hint, details=error.details) from error


def _numbered(connection: Connection, staged: Staged, folder: Path) -> Staged:
    """Call the columns c0, c1, ... where a name of theirs is one that this module needs."""
    table = f"read_parquet({compute.literal(staged.table)})"
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or ()
    names = [str(column[0]) for column in described]
    if not any(name.lower() in _OWN_NAMES or name.endswith(".text") for name in names):
        return staged
    called = {name: f"c{place}" for place, name in enumerate(names)}
    cells = ", ".join(f"{compute.identifier(name)} AS {called[name]}" for name in names)
    target = folder / "numbered.parquet"
    connection.execute(f"COPY (SELECT {cells} FROM {table}) TO {compute.literal(target)}")
    return replace(staged, table=target, texts=tuple(called[name] for name in staged.texts))


def _staged_text(
    connection: Connection,
    source: Source,
    options: Options,
    rejects: Rejects,
    target: Path,
    progress: Progress,
) -> Staged:
    if source.path.stat().st_size == 0:
        raise InputError("The file is empty.", "Give a table with a header line.")
    copy = target.with_name("utf8.csv")
    text = as_utf8(
        source.path, copy, options.encoding, rejects, name=source.name, progress=progress
    )
    with text.path.open(encoding="utf-8", newline="\n") as stream:
        head = stream.read(SAMPLE_BYTES)
        layout = sniff(head, options, is_whole=not stream.read(1))
    layout = replace(
        layout,
        decisions=(Decision("encoding", text.encoding, text.reason), *layout.decisions),
    )
    read = delimited.Text(text.path, text.n_lines, source.name)
    staged = delimited.stage(
        connection, read, layout, target, rejects, footer=options.footer, progress=progress
    )
    copy.unlink(missing_ok=True)
    return replace(staged, warnings=(*account.of_encoding(text, rejects), *staged.warnings))


def _union(
    connection: Connection,
    staged: Sequence[Staged],
    found: Sequence[Source],
    scratch: Path,
) -> Staged:
    """Put the rows of several files below one another, columns matched by their names."""
    names = list(dict.fromkeys(n for it in staged for n in unique_names(it.sources)[0]))
    parts: list[str] = []
    text_names: set[str] = set()
    typed_names: set[str] = set()
    for it, source in zip(staged, found, strict=True):
        own = dict(zip(unique_names(it.sources)[0], _staged_columns(connection, it), strict=True))
        text_names |= {name for name, column in own.items() if column in it.texts}
        typed_names |= {name for name, column in own.items() if column not in it.texts}
        cells = ", ".join(
            f"{compute.identifier(own[name])} AS c{place}" if name in own else f"NULL AS c{place}"
            for place, name in enumerate(names)
        )
        line = it.line or "file_row_number + 1"
        parts.append(
            f"SELECT {cells}, {line} AS line, {compute.literal(source.name)} AS file "
            f"FROM {_rows_of(it)}"
        )
    target = scratch / "union.parquet"
    union = " UNION ALL ".join(parts)
    connection.execute(f"COPY ({union}) TO {compute.literal(target)} (FORMAT parquet)")
    texts = tuple(f"c{i}" for i, n in enumerate(names) if n in text_names and n not in typed_names)
    first = staged[0]
    n_other = sum(len(it.sources) != len(names) for it in staged)
    warnings = [warning for it in staged for warning in it.warnings]
    if n_other:
        note = f"{n_other} of {len(staged)} files lack some of the {len(names)} columns."
        warnings.append(ImportWarning("missing_columns", None, note))
    return Staged(
        table=target,
        sources=tuple(names),
        texts=texts,
        decisions=(Decision("files", len(staged), "columns are matched by name"), *first.decisions),
        warnings=tuple(warnings),
        line="line",
        has_place=True,
        prefers_comma=first.prefers_comma,
    )


def _staged_columns(connection: Connection, staged: Staged) -> list[str]:
    """Return the columns of the staged file that belong to the table, in order."""
    relation = f"SELECT * FROM read_parquet({compute.literal(staged.table)}) LIMIT 0"
    columns = [column[0] for column in connection.execute(relation).description or ()]
    return columns[: len(staged.sources)]


def _rows_of(staged: Staged) -> str:
    table = f"read_parquet({compute.literal(staged.table)}, file_row_number=true)"
    if staged.n_rows is None:
        return table
    return f"(SELECT * FROM {table} WHERE file_row_number < {staged.n_rows})"


def _settled(
    connection: Connection,
    staged: Staged,
    options: Options,
    target: Path,
    rejects: Rejects,
    progress: Progress,
) -> Imported:
    """Give every column its name and type, write the table, and account for all of it."""
    columns = _staged_columns(connection, staged)
    if not columns:
        raise InputError("The file holds no column.", "Give a table with a header line.")
    own_names, name_warnings = unique_names(staged.sources)
    inference.asked_columns(options, own_names)
    called = dict(zip(columns, own_names, strict=True))
    table = _rows_of(staged)
    found = inference.inferred(
        connection,
        table,
        {column: called[column] for column in columns if column in staged.texts},
        options,
        prefers_comma=staged.prefers_comma,
        progress=progress,
    )
    narrowed = narrowing.narrowed(
        connection, table, {c: called[c] for c in columns if c not in found}
    )
    names = _renamed(own_names, options)
    cells = {c: found[c].sql(c) if c in found else narrowed[c].sql for c in columns}
    _write(connection, table, cells, names, found, target, progress)
    unreadable = _unreadable(connection, staged, table, found, called, rejects)
    n_rows, n_missing = account.counted(connection, target, names)
    if options.strict:
        account.refuse(rejects)
    spelt = account.of_nulls(connection, table, found, called)
    warnings = [*staged.warnings, *name_warnings, *account.of_rejects(rejects)]
    warnings += [w for it in narrowed.values() for w in it.warnings]
    warnings += [w for it in found.values() for w in it.warnings]
    warnings += account.of_cells(unreadable, rejects) + spelt
    warnings += _odd_lines(connection, staged, table, found, called)
    warnings += account.of_empty_rows(connection, target, names)
    if options.date_format and not any(_takes(it, options.date_format) for it in found.values()):
        note = f"No column has only dates in the format {options.date_format}."
        warnings.append(ImportWarning("date_format", None, note))
    if n_rows == 0:
        warnings.append(ImportWarning("no_rows", None, "The table has no row."))
    types = {c: found[c].type if c in found else narrowed[c].type for c in columns}
    reasons = {c: found[c].reason if c in found else narrowed[c].reason for c in columns}
    samples = account.examples(connection, target, names)
    return Imported(
        n_rows=n_rows,
        columns=tuple(
            ColumnInfo(name, types[column], missing > 0)
            for column, name, missing in zip(columns, names, n_missing, strict=True)
        ),
        warnings=tuple(warnings),
        n_rejected=rejects.n_lost,
        decisions=staged.decisions,
        column_decisions=tuple(
            ColumnDecision(
                name=name,
                source=called[column],
                type=types[column],
                reason=reasons[column],
                n_missing=missing,
                n_unreadable=unreadable.get(called[column], 0),
                examples=examples,
            )
            for column, name, missing, examples in zip(
                columns, names, n_missing, samples, strict=True
            )
        ),
    )


def _write(
    connection: Connection,
    table: str,
    cells: Mapping[str, str],
    names: Sequence[str],
    found: Mapping[str, inference.Found],
    target: Path,
    progress: Progress,
) -> None:
    """Convert every column, a part of a wide table at a time, and write the table."""
    called = dict(zip(cells, names, strict=True))
    written: list[Path] = []
    for number, part in enumerate(compute.parts(list(cells))):
        path = target.with_name(f"part{number}.parquet") if len(cells) > len(part) else target
        texts = [column for column in part if column in found]
        own = [compute.identifier(column) for column in part if column not in found]
        rows = inference.trimmed(table, texts, also=own)
        selected = ", ".join(f"{cells[c]} AS {compute.identifier(called[c])}" for c in part)
        compute.run(
            connection,
            f"COPY (SELECT {selected} FROM {rows}) TO {compute.literal(path)} "
            f"(FORMAT parquet, COMPRESSION zstd)",
            progress=progress,
            label="Writing the table",
        )
        written.append(path)
    if len(written) > 1:
        _put_beside(written, target)


def _put_beside(parts: Sequence[Path], target: Path) -> None:
    """Put the columns of several files of the same rows beside one another in one file."""
    import pyarrow
    import pyarrow.parquet

    with ExitStack() as stack:
        files = [stack.enter_context(pyarrow.parquet.ParquetFile(path)) for path in parts]
        schema = pyarrow.schema([field for file in files for field in file.schema_arrow])
        writer = stack.enter_context(
            pyarrow.parquet.ParquetWriter(target, schema, compression="zstd")
        )
        for batches in zip(*(file.iter_batches(_WIDE_BATCH) for file in files), strict=True):
            columns = [column for batch in batches for column in batch.columns]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
    for path in parts:
        path.unlink()


def unique_names(names: Sequence[str]) -> tuple[list[str], list[ImportWarning]]:
    """Return the names with those made up that are empty, and those numbered that repeat.

    Upper and lower case count as the same, as they do in SQL.
    """
    found: list[str] = []
    seen: set[str] = set()
    warnings: list[ImportWarning] = []
    for place, name in enumerate(names, 1):
        base = name.replace("\0", "") or f"column_{place}"  # SQL ends a name there
        chosen, number = base, 0
        while chosen.lower() in seen:
            number += 1
            chosen = f"{base}_{number}"
        if chosen != base:
            note = f"The name '{base}' stands more than once; column {place} is called '{chosen}'."
            warnings.append(ImportWarning("duplicate_name", chosen, note))
        seen.add(chosen.lower())
        found.append(chosen)
    empty = [place for place, name in enumerate(names, 1) if not name]
    if empty and len(empty) < len(names):
        places = account.some(empty, len(empty))
        note = f"Columns without a name were called after their place: {places}."
        warnings.append(ImportWarning("empty_name", None, note))
    return found, warnings


def _renamed(names: Sequence[str], options: Options) -> list[str]:
    renamed = [options.names.get(name, name) for name in names]
    counts = Counter(name.lower() for name in renamed)
    for name in renamed:
        if counts[name.lower()] > 1:
            raise InputError(f"Two columns would be called '{name}'.", "Choose another --rename.")
        if not name.strip():
            raise InputError("A column cannot have an empty name.", "Choose another --rename.")
    return renamed


def _takes(it: inference.Found, date_format: str) -> bool:
    return any(getattr(reading, "format", "") == date_format for reading in it.readings)


def _odd_lines(
    connection: Connection,
    staged: Staged,
    table: str,
    found: Mapping[str, inference.Found],
    called: Mapping[str, str],
) -> list[ImportWarning]:
    """Name the first lines of the cells that made a column of values text."""
    warnings = []
    for key, it in found.items():
        if not it.odd:
            continue
        is_odd = inference.among(inference.text_of(key), it.odd)
        rows = connection.execute(
            f"SELECT line FROM {inference.trimmed(_lined(staged, table), [key])} WHERE {is_odd} "
            f"ORDER BY file_row_number LIMIT 6"
        ).fetchall()
        lines = account.some([row[0] for row in rows], len(rows))
        note = f"The cells that are neither stand in line {lines}."
        warnings.append(ImportWarning("mixed_types", called[key], note))
    return warnings


def _lined(staged: Staged, table: str) -> str:
    """Return ``table`` with the line and the file of each row."""
    place = f"{staged.line or 'file_row_number + 1'} AS line, '' AS file"
    if staged.has_place:
        return table
    if staged.line == '"line"':
        place = "'' AS file"
    return f"(SELECT *, {place} FROM {table})"


def _unreadable(
    connection: Connection,
    staged: Staged,
    table: str,
    found: Mapping[str, inference.Found],
    called: Mapping[str, str],
    rejects: Rejects,
) -> dict[str, int]:
    """List the cells that their column's type does not take; return how many a column has."""
    counts: dict[str, int] = {}
    for key, it in found.items():
        if not (it.unreadable or it.reason == "as asked") or not it.readings:
            continue
        lined = _lined(staged, table)
        cursor = connection.execute(
            f"SELECT line, file, {compute.identifier(key)} "
            f"FROM {inference.trimmed(lined, [key])} WHERE {it.misfits(key)}"
        )
        name = called[key]
        message = f"It is no {it.type}, as the column is otherwise; it became missing."
        while rows := cursor.fetchmany(_MANY):
            counts[name] = counts.get(name, 0) + len(rows)
            rejects.extend(
                Reject(row[0], name, "unreadable_cell", "missing", message, row[2], row[1])
                for row in rows
            )
    return counts
