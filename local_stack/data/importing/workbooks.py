"""Excel and OpenDocument workbooks: which sheet, where its table begins, and its cells."""

from __future__ import annotations

import datetime as dt
import mmap
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from local_stack.data import archives
from local_stack.data.importing.cells import BLOCK_ROWS, Cells
from local_stack.data.tables import Decision, ImportWarning, Staged
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent

MAX_BYTES = 4 * 1024**3
"""What the parts of one workbook may unpack to."""

_LOOKED_AT = 100
_MOST_NAMED = 10
_ENOUGH = 0.6
_YEARS = range(1900, 2101)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ERROR_CELL = re.compile(rb'<c [^>]*?t="e"')


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the table lies: rows count from 0, ``n_header`` rows of names begin at ``start``."""

    start: int
    n_header: int
    left: int
    right: int
    why_start: str
    why_header: str


def stage(
    path: Path,
    target: Path,
    *,
    sheet: str | None = None,
    skip: int | None = None,
    header: int | None = None,
    scratch: Path,
    progress: Progress = silent,
) -> Staged:
    """Write one sheet of a workbook (xlsx, xlsm, xlsb, xls, ods) to ``target``.

    Parameters
    ----------
    sheet
        Its name, or its number from 1; the first that holds something when left out.
    skip
        Rows before the header; found when left out.
    header
        Rows of names (0: none); found when left out.

    Raises
    ------
    InputError
        When the file is no workbook, is encrypted or damaged, or holds no such sheet.
    """
    import python_calamine

    if archives.is_workbook(path):
        archives.check_members(path, MAX_BYTES, label="The workbook", progress=progress)
    elif _is_encrypted(path):
        raise InputError("The workbook is encrypted.", "Save it without a password.")
    progress(Step("Reading the workbook"))
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
            name, decision, notes = _chosen(book, sheet)
            cells = book.get_sheet_by_name(name)
            staged = _staged(cells, target, skip, header, scratch, progress)
    except python_calamine.PasswordError:
        raise InputError("The workbook is encrypted.", "Save it without a password.") from None
    except python_calamine.CalamineError as error:
        raise _damaged(error) from None
    errors = _n_error_cells(path, name)
    if errors:
        message = f"{errors} cells hold an error such as #N/A or #DIV/0! and are missing."
        notes = (*notes, ImportWarning("error_cells", None, message))
    return Staged(
        staged.table,
        staged.sources,
        staged.texts,
        (decision, *staged.decisions),
        (*notes, *staged.warnings),
    )


def _is_encrypted(path: Path) -> bool:
    """Return whether an OLE 2 file holds the stream in which Office keeps an encrypted xlsx."""
    with path.open("rb") as stream:
        if stream.read(8) != _OLE:
            return False
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(_ENCRYPTED) >= 0


def _damaged(error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return InputError(
        f"The file is not a workbook that can be read, or is damaged: {reason}.",
        "Open it in its own program and save it again as xlsx.",
    )


def _chosen(book: Any, sheet: str | None) -> tuple[str, Decision, tuple[ImportWarning, ...]]:
    names = list(book.sheet_names)
    if not names:
        raise InputError("The workbook has no sheet.", "Add one with a table.")
    if sheet is not None:
        name = _asked(names, sheet)
        return name, Decision("sheet", name, "given"), ()
    filled = [name for name in names if _is_filled(book, name)]
    if not filled:
        raise InputError("Every sheet of the workbook is empty.", "Fill one with a table.")
    name, *others = filled
    if not others:
        return name, Decision("sheet", name, "the only sheet that is not empty"), ()
    shown = ", ".join(f"'{other}'" for other in others[:_MOST_NAMED])
    shown += f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    note = f"Sheet '{name}' was read; there are others: {shown}."
    why = "the first sheet that is not empty"
    return name, Decision("sheet", name, why), (ImportWarning("other_sheets", None, note),)


def _asked(names: Sequence[str], sheet: str) -> str:
    if sheet in names:
        return sheet
    same = [name for name in names if name.strip().lower() == sheet.strip().lower()]
    if len(same) == 1:
        return same[0]
    if sheet.strip().isdecimal() and 1 <= int(sheet) <= len(names):
        return names[int(sheet) - 1]
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMED])
    raise InputError(
        f"The workbook has no sheet '{sheet}'.",
        nearest(sheet, names) or f"Its sheets are: {shown}.",
    )


def _is_filled(book: Any, name: str) -> bool:
    import python_calamine

    try:
        return any(_filled(row) for row in book.get_sheet_by_name(name).iter_rows())
    except python_calamine.WorksheetNotFound:  # a chart sheet
        return False


def _filled(row: Sequence[Any]) -> list[int]:
    return [place for place, value in enumerate(row) if value != ""]


def _staged(
    cells: Any,
    target: Path,
    skip: int | None,
    header: int | None,
    scratch: Path,
    progress: Progress,
) -> Staged:
    layout = _layout(list(islice(cells.iter_rows(), _LOOKED_AT)), skip, header)
    left, right = layout.left, max(layout.right, _extent(cells, layout))
    rows = islice(cells.iter_rows(), layout.start, None)
    raw = _names(list(islice(rows, layout.n_header)), left, right)
    names = [name or f"column_{place}" for place, name in enumerate(raw, 1)]
    table = Cells(scratch, names, has_whole_floats=True)
    n_blank = 0
    try:
        for block, blanks in _blocks(rows, left, right):
            n_blank += blanks
            table.add(block)
            progress(Step("Reading the sheet", table.n_rows))
        typed = table.write(target, progress=progress)
    finally:
        table.close()
    warnings = list(typed.warnings())
    if n_blank:
        note = f"{n_blank} empty rows between filled ones were left out."
        warnings.append(ImportWarning("blank_rows", None, note))
    decisions = (
        Decision("skip", layout.start, layout.why_start),
        Decision("header", layout.n_header, layout.why_header),
    )
    return Staged(target, tuple(raw), typed.texts(), decisions, tuple(warnings))


def _extent(cells: Any, layout: _Layout) -> int:
    """Return the place after the last filled cell of the table's rows."""
    right = layout.right
    for row in islice(cells.iter_rows(), layout.start, None):
        while len(row) > right and any(value != "" for value in row[right:]):
            right = max(place for place, value in enumerate(row) if value != "") + 1
    return right


def _blocks(
    rows: Iterator[Sequence[Any]], left: int, right: int
) -> Iterator[tuple[list[list[Any]], int]]:
    """Give blocks of rows with None for empty cells, and how many rows between were empty."""
    block: list[list[Any]] = []
    n_blank = waiting = 0
    for row in rows:
        values = [None if value == "" else value for value in row[left:right]]
        if all(value is None for value in values):
            waiting += 1
            continue
        n_blank += waiting  # empty rows at the end do not count
        waiting = 0
        values += [None] * (right - left - len(values))
        block.append(values)
        if len(block) == BLOCK_ROWS:
            yield block, n_blank
            block, n_blank = [], 0
    yield block, n_blank


def _layout(head: Sequence[Sequence[Any]], skip: int | None, header: int | None) -> _Layout:
    filled = [_filled(row) for row in head]
    if not any(filled):
        raise InputError("The sheet is empty.", "Name another with --sheet.")
    if skip is None:
        start, why_start = _start(filled)
    else:
        start, why_start = skip, "given"
    below = [places for places in filled[start:] if places]
    if not below:
        raise InputError(f"The sheet has no row after the first {start}.", "Skip fewer rows.")
    left = min(places[0] for places in below)
    right = max(places[-1] for places in below) + 1
    if header is None:
        n_header, why_header = _n_header(head[start:], left)
    else:
        n_header, why_header = header, "given"
    return _Layout(start, n_header, left, right, why_start, why_header)


def _start(filled: Sequence[Sequence[int]]) -> tuple[int, str]:
    """Skip rows of titles: those that fill far fewer cells than the table is wide."""
    widths = Counter(len(places) for places in filled if places)
    width = max(widths, key=lambda n: (widths[n], n))
    first = next(row for row, places in enumerate(filled) if places)
    for row, places in enumerate(filled):
        is_wide = len(places) >= _ENOUGH * width or (len(places) == width - 1 and places[0] > 0)
        if places and is_wide:
            why = "the first row that is not empty"
            if row > first:
                why = f"the first row that fills its cells as the table does ({width})"
            return row, why
    return first, "the first row that is not empty"


def _n_header(rows: Sequence[Sequence[Any]], left: int) -> tuple[int, str]:
    first = [value for value in rows[0][left:] if value != ""]
    if any(isinstance(value, str) for value in first):
        return 1, "the first row of the table holds texts"
    if all(isinstance(value, float | int) and value in _YEARS for value in first):
        return 1, "the first row of the table holds years"
    return 0, "the first row of the table holds no text"


def _names(header: Sequence[Sequence[Any]], left: int, right: int) -> list[str]:
    """Return the names of the columns, '' where the sheet gives none; several rows are joined."""
    names = []
    for place in range(left, right):
        parts = [_name(row[place]) for row in header if place < len(row)]
        names.append(" ".join(part for part in parts if part))
    return names


def _name(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return str(value).strip()


def _n_error_cells(path: Path, sheet: str) -> int:
    """Count the cells of an xlsx sheet that hold an error; the reader gives them as empty."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            part = _part_of(archive, sheet)
            if part is None:
                return 0
            found, tail = 0, b""
            with archive.open(part) as stream:
                while block := stream.read(1 << 20):
                    text = tail + block
                    cut = text.rfind(b"<c ")
                    head, tail = (text[:cut], text[cut:]) if cut > 0 else (b"", text[-65536:])
                    found += len(_ERROR_CELL.findall(head))
            return found + len(_ERROR_CELL.findall(tail))
    except (zipfile.BadZipFile, OSError, KeyError, ValueError):
        return 0


def _part_of(archive: Any, sheet: str) -> str | None:
    """Return the archive member of an xlsx sheet; None for other kinds of workbooks."""
    from html import unescape

    names = set(archive.namelist())
    if "xl/workbook.xml" not in names or "xl/_rels/workbook.xml.rels" not in names:
        return None
    book = archive.read("xl/workbook.xml").decode("utf-8", "replace")
    rels = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    for tag in re.findall(r"<sheet\b[^>]*>", book):
        given = dict(re.findall(r'([\w:]+)="([^"]*)"', tag))
        if unescape(given.get("name", "")) != sheet:
            continue
        for relation in re.findall(r"<Relationship\b[^>]*>", rels):
            other = dict(re.findall(r'(\w+)="([^"]*)"', relation))
            if other.get("Id") == given.get("r:id"):
                part = other.get("Target", "").lstrip("/")
                part = part if part.startswith("xl/") else f"xl/{part}"
                return part if part in names else None
    return None
