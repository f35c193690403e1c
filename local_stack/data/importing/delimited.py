"""Delimited text in UTF-8 becomes a Parquet file of texts, row by row as the file has them.

DuckDB reads what is well formed. When it refuses, or when its rows do not account for every
line, :mod:`local_stack.data.importing.records` reads the file again, mends what can be mended,
and names the line of all that it mends or leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.importing.records import Record, split
from local_stack.data.importing.sniffing import Layout, likeness
from local_stack.data.rejects import Reject, Rejects
from local_stack.data.tables import Staged
from local_stack.errors import InputError
from local_stack.progress import Progress, Step

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

LONGEST_LINE = 64 * 1024 * 1024
"""Characters of a line; a longer one is no text table."""

_BATCH_ROWS = 50_000
_BATCH_TEXT = 32 * 1024 * 1024
_BLOCK = 4 * 1024 * 1024
_LAST_ROWS = 60
_MOST_COMPARED = 100
_VALUES = ("number", "date", "truth", "empty")
_MOST_COLUMNS = 20_000
_OTHER_DELIMITERS = (",", ";", "\t", "|")
_FLAWS = {
    "unclosed_quote": "A quote is never closed; it was read as a letter.",
    "stray_quote": "A quote stands within a quoted field; it was read as a letter.",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A text file in UTF-8: how many lines it has, and what rejects call it."""

    path: Path
    n_lines: int
    name: str = ""


def stage(
    connection: Connection,
    text: Text,
    layout: Layout,
    target: Path,
    rejects: Rejects,
    *,
    footer: int | None = None,
    progress: Progress,
) -> Staged:
    """Write the rows of ``text`` to ``target`` as columns c0, c1, ... of texts.

    Raises
    ------
    InputError
        When the table has too many columns, or a line that no table has.
    """
    if layout.width > _MOST_COLUMNS:
        raise InputError(
            f"The table has {layout.width:,} columns.", f"At most {_MOST_COLUMNS:,} are read."
        )
    for record in layout.preamble:
        message = "It stands before the table."
        rejects.add(Reject(record.line, None, "preamble", "aside", message, record.text, text.name))
    is_plain = not footer and not layout.dialect.escape
    line = "" if not is_plain else _fast(connection, text, layout, target, progress)
    if not line:
        last = text.n_lines - (footer or 0)
        if footer and last < layout.first_line:
            raise InputError("There is nothing before the lines of --footer.", "Lower it.")
        _tolerant(text, layout, target, rejects, last, progress, footer is None)
        line = '"line"'
    staged = Staged(
        table=target,
        sources=layout.names,
        texts=tuple(f"c{place}" for place in range(layout.width)),
        decisions=layout.decisions,
        line=line,
        prefers_comma=layout.dialect.delimiter == ";",
    )
    if footer is not None:
        return staged
    return _without_footer(connection, staged, rejects, text.name)


def columns_of(width: int) -> str:
    """Return the quoted names of the staged columns, with commas between them."""
    return ", ".join(f'"c{place}"' for place in range(width))


def _fast(
    connection: Connection,
    text: Text,
    layout: Layout,
    target: Path,
    progress: Progress,
) -> str:
    """Let DuckDB read; return the SQL for a row's line, or '' when it did not read every line."""
    dialect = layout.dialect
    kinds = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(layout.width))
    reader = (
        f"read_csv({compute.only(text.path)}, auto_detect=false, header=false, "
        f"skip={layout.first_line - 1}, delim={compute.literal(dialect.delimiter)}, "
        f"quote={compute.literal(dialect.quote)}, "
        f"escape={compute.literal(dialect.quote)}, "
        f"columns={{{kinds}}}, strict_mode=true, max_line_size=16777216, encoding='utf-8')"
    )
    sql = f"COPY (SELECT * FROM {reader}) TO {compute.literal(target)} (FORMAT parquet)"
    try:
        compute.run(connection, sql, progress=progress, label="Reading rows")
    except compute.errors():
        return ""
    n_before = layout.first_line - 1
    table = f"read_parquet({compute.literal(target)}, file_row_number=true)"
    n_rows = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    if _repeats_header(connection, table, layout) or _has_surplus(connection, text, layout, table):
        return ""
    if n_rows + n_before == text.n_lines:
        return f"file_row_number + {layout.first_line}"
    counted = ", ".join(
        f"length(c{i}) - length(replace(c{i}, chr(10), ''))" for i in range(layout.width)
    )
    breaks = f"coalesce(list_sum([{counted}]), 0)"
    total = connection.execute(f"SELECT sum({breaks}) FROM {table}").fetchall()[0][0]
    if n_rows + n_before + int(total or 0) != text.n_lines:
        return ""
    before = "ORDER BY file_row_number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    return f"file_row_number + {layout.first_line} + coalesce(sum({breaks}) OVER ({before}), 0)"


def _has_surplus(connection: Connection, text: Text, layout: Layout, table: str) -> bool:
    """Return whether the file has more delimiters than its rows: DuckDB drops an empty field."""
    mark = layout.dialect.delimiter.encode()
    with text.path.open("rb") as stream:
        for _ in range(layout.first_line - 1):
            stream.readline()
        n, tail = 0, b""
        while block := stream.read(_BLOCK):
            n += (tail + block).count(mark)
            tail = block[-(len(mark) - 1) :] if len(mark) > 1 else b""
    (n_rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
    n -= n_rows * (layout.width - 1)
    if n <= 0:
        return False
    marked = compute.literal(layout.dialect.delimiter)
    within = ", ".join(
        f"(length(c{i}) - length(replace(c{i}, {marked}, ''))) // {len(layout.dialect.delimiter)}"
        for i in range(layout.width)
    )
    total = connection.execute(f"SELECT sum(list_sum([{within}])) FROM {table}").fetchall()[0][0]
    return bool(n > int(total or 0))


def _repeats_header(connection: Connection, table: str, layout: Layout) -> bool:
    """Return whether a row is the header again, as where files were put below one another."""
    if not any(layout.names):
        return False
    first = [(f'"c{i}"', name) for i, name in enumerate(layout.names) if name][:_MOST_COMPARED]
    same = " AND ".join(f"trim({cell}) = ?" for cell, _ in first)
    sql = f"SELECT count(*) FROM {table} WHERE {same}"
    return bool(connection.execute(sql, [name for _, name in first]).fetchall()[0][0])


def _tolerant(
    text: Text,
    layout: Layout,
    target: Path,
    rejects: Rejects,
    last: int,
    progress: Progress,
    has_footer: bool,
) -> None:
    """Read record by record, and write batches as they fill."""
    with ExitStack() as stack:
        stream = stack.enter_context(text.path.open(encoding="utf-8", newline="\n"))
        writer = stack.enter_context(_Writer(target, layout.width))
        lines = _lines(stream, layout.first_line, last, text.path.stat().st_size, progress)
        records = split(lines, layout.dialect, width=layout.width, first_line=layout.first_line)
        for line, fields in _rows(records, layout, rejects, text.name, has_footer):
            writer.add(line, fields)


def _lines(stream: Any, first: int, last: int, size: int, progress: Progress) -> Iterator[str]:
    """Yield the lines from number ``first`` to ``last``; a line of a size no table has raises."""
    done = 0
    number = 0
    while number < last and (line := stream.readline(LONGEST_LINE + 1)):
        number += 1
        done += len(line)
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"Line {number} has more than {LONGEST_LINE:,} characters.",
                "This is no table; look at the file, or name another --quote.",
            )
        if number % 50_000 == 0:
            progress(Step("Reading rows one by one", min(done, size), size))
        if number >= first:
            yield line


def _rows(
    records: Iterable[Record], layout: Layout, rejects: Rejects, name: str, has_footer: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield line and fields of every row; what does not fit is held until it is known why.

    Lines that do not fit and are followed by rows are damaged rows; those at the end of the
    file are a footer.
    """
    judge = _Judge(layout, rejects, name)
    held: list[Record] = []
    last = 0
    for record in records:
        if len(record.fields) == layout.width and not (layout.width > 1 and record.is_blank):
            if 0 < last < record.line and not held and judge.is_other_header(record):
                judge.aside(record, "second_table")
                for later in records:
                    judge.aside(later, "second_table")
                return
            for earlier in held:
                yield from judge.odd(earlier)
            held.clear()
            last = record.line + record.n_lines
            yield from judge.fitting(record)
        elif not record.is_blank or layout.width == 1:
            held.append(record)
    n_rows = len(held) if not has_footer else _n_damaged(held, layout.width, last)
    for record in held[:n_rows]:
        yield from judge.odd(record)
    for record in held[n_rows:]:
        judge.aside(record)


def _n_damaged(held: list[Record], width: int, after: int) -> int:
    """Return how many of the last, unfitting records are damaged rows rather than a footer.

    A footer begins with a line of one field, or behind a blank line; ``after`` is the line that
    follows the last row.
    """
    widths = {len(record.fields) for record in held}
    if len(held) > 2 and len(widths) == 1 and max(widths) < width:
        return 0  # another, narrower table
    for place, record in enumerate(held):
        is_apart = after and record.line > after
        if (len(record.fields) == 1 and width > 2) or is_apart:
            return place
        after = record.line + record.n_lines
    return len(held)


class _Judge:
    """Decides what becomes of each record, and says so."""

    def __init__(self, layout: Layout, rejects: Rejects, name: str) -> None:
        self._width = layout.width
        self._names = list(layout.names) if any(layout.names) else None
        self._typed = layout.typed
        self._dialect = layout.dialect
        self._rejects = rejects
        self._name = name

    def fitting(self, record: Record) -> Iterator[tuple[int, list[str]]]:
        """Take a record of the right width; its quotes may have been mended."""
        if self._names == [cell.strip() for cell in record.fields]:
            self._say(record, "repeated_header", "aside", "It is the header once more.")
            return
        if record.flaw:
            self._say(record, record.flaw, "repaired", _FLAWS[record.flaw])
        yield record.line, record.fields

    def odd(self, record: Record) -> Iterator[tuple[int, list[str]]]:
        """Mend a record of another width, or leave it out."""
        n, fields = len(record.fields), record.fields
        if self._is_comment(record):
            self._say(record, "comment", "aside", "It is a comment.")
            return
        if self._width == 1:
            self._say(record, "delimiter_in_text", "repaired", "Its delimiters are text.")
            yield record.line, [record.text.strip()]
            return
        parts = self._parts(record)
        if parts:
            self._say(record, "other_line_end", "repaired", "Lone carriage returns part its rows.")
            for part in parts:
                yield record.line, part
            return
        other = self._other(record)
        whole = self._wholly_quoted(record)
        if whole:
            self._say(record, "quoted_row", "repaired", "The whole row stands in quotes.")
            yield record.line, whole
        elif other:
            self._say(record, "other_delimiter", "repaired", "It uses another delimiter.")
            yield record.line, other
        elif n > self._width and not any(cell.strip() for cell in fields[self._width :]):
            message = f"It has {n} fields, the last of them empty; they were cut."
            self._say(record, "trailing_delimiters", "repaired", message)
            yield record.line, fields[: self._width]
        elif n > self._width:
            message = f"It has {n} fields instead of {self._width}."
            self._say(record, "too_many_fields", "left_out", message)
        elif n == 1 and self._width > 2:
            message = f"It has 1 field instead of {self._width}."
            self._say(record, "too_few_fields", "left_out", message)
        else:
            message = f"It has {n} fields instead of {self._width}; the rest is missing."
            self._say(record, "short_row", "repaired", message)
            yield record.line, fields + [""] * (self._width - n)

    def is_other_header(self, record: Record) -> bool:
        """Return whether a row behind a blank line begins another table: text in every column."""
        looks = [likeness(record.fields[place]) for place in self._typed]
        return len(looks) > 1 and all(look in ("word", "plain", "text") for look in looks)

    def aside(self, record: Record, code: str = "footer") -> None:
        """Keep a line behind the table apart."""
        if not record.is_blank:
            self._say(record, code, "aside", "It stands behind the table.")

    def _is_comment(self, record: Record) -> bool:
        has_own = any(name.startswith("#") for name in self._names or ())
        return record.text.lstrip().startswith("#") and not has_own

    def _parts(self, record: Record) -> list[list[str]]:
        """Return the rows within a line that carriage returns part, when all have the width."""
        if "\r" not in record.text:
            return []
        lines = [line for line in record.text.split("\r") if line]
        rows = [it.fields for it in split(lines, self._dialect)]
        return rows if all(len(row) == self._width for row in rows) else []

    def _wholly_quoted(self, record: Record) -> list[str]:
        """Return the fields within a row that is one quoted field, when they are as many."""
        if len(record.fields) > 1 or self._width < 3:
            return []
        again = list(split([record.fields[0]], self._dialect))
        fits = len(again) == 1 and len(again[0].fields) == self._width
        return again[0].fields if fits else []

    def _other(self, record: Record) -> list[str]:
        """Return the fields under another delimiter when they have just the right number."""
        if len(record.fields) > 1 and self._width <= 2:
            return []
        for mark in _OTHER_DELIMITERS:
            if mark != self._dialect.delimiter and record.text.count(mark) >= self._width - 1 > 0:
                dialect = replace(self._dialect, delimiter=mark)
                again = list(split([record.text], dialect))
                if len(again) == 1 and len(again[0].fields) == self._width:
                    return again[0].fields
        return []

    def _say(self, record: Record, code: str, outcome: str, message: str) -> None:
        self._rejects.add(
            Reject(record.line, None, code, outcome, message, record.text, self._name)
        )


class _Writer:
    """Rows of texts into a Parquet file, with the line of each."""

    def __init__(self, target: Path, width: int) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        fields = [(f"c{place}", pyarrow.string()) for place in range(width)]
        self._schema = pyarrow.schema([*fields, ("line", pyarrow.int64())])
        self._writer = pyarrow.parquet.ParquetWriter(target, self._schema, compression="snappy")
        self._rows: list[list[str]] = []
        self._numbers: list[int] = []
        self._size = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, line: int, fields: list[str]) -> None:
        """Take one row."""
        self._rows.append(fields)
        self._numbers.append(line)
        self._size += sum(map(len, fields))
        if len(self._rows) >= _BATCH_ROWS or self._size >= _BATCH_TEXT:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [
            self._arrow.array([cell or None for cell in column], type=self._arrow.string())
            for column in zip(*self._rows, strict=True)
        ]
        columns.append(self._arrow.array(self._numbers, type=self._arrow.int64()))
        self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))
        self._rows, self._numbers, self._size = [], [], 0


def _without_footer(connection: Connection, staged: Staged, rejects: Rejects, name: str) -> Staged:
    """Cut text that spreadsheets put below a table and pad to its width, behind an empty row."""
    width = len(staged.texts)
    table = f"read_parquet({compute.literal(staged.table)}, file_row_number=true)"
    (n_rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
    if width < 3 or n_rows < 3:
        return staged
    last = connection.execute(
        f"SELECT * FROM (SELECT {columns_of(width)}, {staged.line} AS line, file_row_number AS r "
        f"FROM {table}) WHERE r >= ? ORDER BY r DESC",
        [max(1, n_rows - _LAST_ROWS)],
    ).fetchall()
    taken: list[tuple[Any, ...]] = []
    for row in last:
        held = [place for place in range(width) if (row[place] or "").strip()]
        if not held and any((it[0] or "").strip() for it in taken):
            taken.append(row)
            break
        if held not in ([], [0]) or (held and likeness(row[0]) in _VALUES):
            taken = []
            break
        taken.append(row)
    else:
        return staged
    for row in reversed(taken):
        if row[0]:
            message = "It stands behind the table."
            rejects.add(Reject(row[width], None, "footer", "aside", message, row[0], name))
    return replace(staged, n_rows=n_rows - len(taken)) if taken else staged
