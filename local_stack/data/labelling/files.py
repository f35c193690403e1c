"""Files that people and other programs write: labels of many rows, and lists of rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def labels(
    path: Path,
    *,
    is_multi: bool,
    keys: Sequence[str] = (),
    rows_of: Callable[[Sequence[tuple[str, ...]]], Sequence[int | None]] | None = None,
) -> tuple[Given, ...]:
    """Read a CSV with the columns row, label and, if any, annotator and note.

    An empty label means skipped where a row has one class, and none of them where it may have
    several (which stand in one cell: ``a|b``). A file without row numbers may have the key of
    the data set, the columns ``keys``, which ``rows_of`` turns into row numbers.

    Raises
    ------
    InputError
        Naming the file and the line.
    """
    lines = _lines(path)
    _, head = next(lines, (0, []))
    names = [name.strip().lower() for name in head]
    exact = [name.strip() for name in head]
    is_keyed = bool(keys and rows_of) and not set(_ROW) & set(names) and set(keys) <= set(exact)
    wanted = [exact.index(key) for key in keys] if is_keyed else [_place(names, _ROW, path)]
    value = _place(names, _LABEL, path)
    annotator = names.index("annotator") if "annotator" in names else None
    note = names.index("note") if "note" in names else None
    numbers: list[int] = []
    keyed: list[tuple[str, ...]] = []
    found: list[Given] = []
    for number, cells in lines:
        where = f"{path.name}, line {number}"
        if len(cells) != len(names):
            raise InputError(f"{where}: {len(cells)} cells, where the header has {len(names)}.")
        classes = naming.parted(cells[value], is_multi=is_multi)
        keyed.append(tuple(cells[place].strip() for place in wanted))
        numbers.append(number)
        found.append(
            Given(
                0 if is_keyed else _number(keyed[-1][0], where),
                None if classes == ("",) else classes,
                cells[note].strip() if note is not None else "",
                _annotator(cells[annotator], where) if annotator is not None else "",
            )
        )
    if not found:
        raise InputError(f"{path.name} holds no labels.", "Its columns are row and label.")
    if is_keyed and rows_of is not None:
        found = _by_key(found, numbers, keyed, rows_of(keyed), path)
    _refuse_twice(found, numbers, path)
    return tuple(found)


def _by_key(
    found: Sequence[Given],
    numbers: Sequence[int],
    keyed: Sequence[tuple[str, ...]],
    rows: Sequence[int | None],
    path: Path,
) -> list[Given]:
    """Return the labels with the rows that their keys name."""
    for number, key, row in zip(numbers, keyed, rows, strict=True):
        if row is None:
            raise InputError(f"{path.name}, line {number}: no row has the key {', '.join(key)}.")
    return [replace(it, row=row) for it, row in zip(found, rows, strict=True) if row is not None]


def _refuse_twice(found: Sequence[Given], numbers: Sequence[int], path: Path) -> None:
    seen: dict[tuple[int, str], int] = {}
    for given, number in zip(found, numbers, strict=True):
        first = seen.setdefault((given.row, given.actor), number)
        if first != number:
            raise InputError(
                f"{path.name}, line {number}: row {given.row} stands in line {first} already."
            )


def rows(path: Path) -> tuple[int, ...]:
    """Read row numbers: JSON, a CSV with a column row or index, or one number a line."""
    text = _text(path)
    if text.lstrip().startswith(("[", "{")):
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
        found = _numbers_in(json.loads(text))
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} begins like JSON, but is none.") from None
    if found is None:
        raise InputError(
            f"{path.name} holds no list of rows.",
            "Such as [3, 17], or the JSON of 'data diligence', whose suspects have a row each.",
        )
    return tuple(dict.fromkeys(found))


def _numbers_in(value: Any) -> list[int] | None:
    """Return the first list of row numbers, or of objects with a row, in a JSON document."""
    if isinstance(value, dict):
        return next(filter(None, map(_numbers_in, value.values())), None)
    if not isinstance(value, list):
        return None
    found = [it.get("row") if isinstance(it, dict) else it for it in value]
    numbers = [it for it in found if isinstance(it, int) and not isinstance(it, bool) and it >= 0]
    is_list = len(numbers) == len(found)
    return numbers if is_list else next(filter(None, map(_numbers_in, value)), None)


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
