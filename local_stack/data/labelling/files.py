"""Files that people and other programs write: labels of many rows, and lists of rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_stack.data.labelling import classes as naming
from local_stack.data.labelling.answers import Given
from local_stack.errors import InputError
from local_stack.names import label

MAX_BYTES = 256 * 1024 * 1024
"""Largest file of labels or rows that is read."""

_ROW = ("row", "index")
_LABEL = ("label", "class", "value")
_NUMBER = re.compile(r"\d{1,15}")
_RANGE = re.compile(r"(\d{1,15})\s*-\s*(\d{1,15})")
_MOST_IN_RANGES = 100_000_000


def labels(path: Path, *, is_multi: bool) -> tuple[Given, ...]:
    """Read a CSV with the columns row, label and, if any, annotator and note.

    An empty label means skipped where a row has one class, and none of them where it may have
    several (which stand in one cell: ``a|b``).

    Raises
    ------
    InputError
        Naming the file and the line.
    """
    lines = _lines(path)
    _, head = next(lines, (0, []))
    names = [name.strip().lower() for name in head]
    row, value = _place(names, _ROW, path), _place(names, _LABEL, path)
    annotator = names.index("annotator") if "annotator" in names else None
    note = names.index("note") if "note" in names else None
    found: list[Given] = []
    seen: dict[tuple[int, str], int] = {}
    for number, cells in lines:
        where = f"{path.name}, line {number}"
        if len(cells) != len(names):
            raise InputError(f"{where}: {len(cells)} cells, where the header has {len(names)}.")
        classes = naming.parted(cells[value], is_multi=is_multi)
        given = Given(
            _number(cells[row], where),
            None if classes == ("",) else classes,
            cells[note].strip() if note is not None else "",
            _annotator(cells[annotator], where) if annotator is not None else "",
        )
        first = seen.setdefault((given.row, given.actor), number)
        if first != number:
            raise InputError(f"{where}: row {given.row} stands in line {first} already.")
        found.append(given)
    if not found:
        raise InputError(f"{path.name} holds no labels.", "Its columns are row and label.")
    return tuple(found)


def rows(path: Path) -> tuple[int, ...]:
    """Read row numbers: a JSON list, a CSV with a column row or index, or one number a line."""
    text = _text(path)
    if text.lstrip().startswith("["):
        return _from_json(text, path)
    found: list[int] = []
    place = 0
    for at, (number, cells) in enumerate(_lines(path)):
        if at == 0 and not _NUMBER.fullmatch(cells[0].strip()):
            place = _place([cell.strip().lower() for cell in cells], _ROW, path)
            continue
        if place >= len(cells):
            raise InputError(f"{path.name}, line {number}: it has no cell for the row.")
        found.append(_number(cells[place], f"{path.name}, line {number}"))
    return tuple(dict.fromkeys(found))


def listed(texts: Sequence[str]) -> tuple[int, ...]:
    """Return the rows of texts such as ``3,17,40-60``, in that order and each once."""
    found: dict[int, None] = {}
    for text in texts:
        for part in filter(None, (it.strip() for it in text.split(","))):
            span = _RANGE.fullmatch(part)
            if span is None:
                found[_number(part, "--rows")] = None
                continue
            first, last = int(span[1]), int(span[2])
            if last < first or last - first > _MOST_IN_RANGES:
                raise InputError(f"--rows: '{part}' is no range.", "Write it as FIRST-LAST.")
            found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)


def _from_json(text: str, path: Path) -> tuple[int, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} begins like a JSON list, but is none.") from None
    for each in found:
        if isinstance(each, bool) or not isinstance(each, int) or each < 0:
            raise InputError(f"{path.name}: {str(each)[:40]} is no number of a row.")
    return tuple(dict.fromkeys(found))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_text(path).splitlines(keepends=True), skipinitialspace=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: {error}.") from None


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path.name} is larger than {MAX_BYTES:,} bytes.", "Part it.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is no UTF-8 text: byte {error.start}.", "Save it as UTF-8."
        ) from None


def _place(names: Sequence[str], wanted: Sequence[str], path: Path) -> int:
    for name in wanted:
        if name in names:
            return list(names).index(name)
    raise InputError(
        f"{path.name} has no column '{wanted[0]}'.",
        f"Its first line reads: {', '.join(names)[:120] or 'nothing'}.",
    )


def _number(text: str, where: str) -> int:
    if not _NUMBER.fullmatch(text.strip()):
        raise InputError(f"{where}: '{text.strip()[:40]}' is no number of a row.", "From 0 on.")
    return int(text)


def _annotator(text: str, where: str) -> str:
    try:
        return label(text, "annotator") if text.strip() else ""
    except InputError as error:
        raise InputError(f"{where}: {error.message}", error.hint) from None
