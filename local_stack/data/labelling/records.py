"""Single rows of a version, read by their number from the Parquet file; numbers count from 0."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import versions
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.results import plain
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    """Numbers of rows, from 0."""

_MOST_KEPT = 8
_WINDOW = 16
_lock = threading.Lock()
_verified: dict[tuple[Path, str], tuple[Path, tuple[int, ...]]] = {}
_windows: dict[Path, tuple[int, list[dict[str, Any]]]] = {}
_kept: dict[tuple[Path, str, str], Any] = {}


def table(workspace: Workspace, version: DataVersion) -> Path:
    """Return the Parquet file of a version; its bytes are checked once a process.

    Raises
    ------
    NotFoundError
        When the bytes were collected.
    """
    blob = Blob.of(versions.held(workspace, version)["table"])
    key = (workspace.root, blob.sha256)
    with _lock:
        known = _verified.get(key)
        if known is None or not known[0].exists() or known[1] != _stamp(known[0]):
            path = workspace.artifacts.path(blob)
            known = _verified[key] = (path, _stamp(path))
        return known[0]


def record(path: Path, row: int) -> dict[str, Any]:
    """Return one row as plain values by column; only it and a few neighbours are kept in memory."""
    import polars

    first = row - row % _WINDOW
    with _lock:
        known = _windows.get(path)
    if known is None or known[0] != first:
        frame = polars.scan_parquet(path, glob=False).slice(first, _WINDOW).collect()
        rows = [{name: plain(it) for name, it in each.items()} for each in frame.to_dicts()]
        known = (first, rows)
        with _lock:
            _windows.clear()
            _windows[path] = known
    return known[1][row - first]


def matching(path: Path, version: DataVersion, condition: str) -> Numbers:
    """Return the numbers of the rows in which a column has a value, given as ``COLUMN=VALUE``.

    An empty value stands for a missing one.

    Raises
    ------
    InputError
        When the condition names no column, or the value is none of the column's type.
    """
    column, text = _parted(version, condition)
    kind = next(it.type for it in version.schema if it.name == column)
    return _numbers(path, column, _typed(text, kind, column) if text else None)


def missing(path: Path, column: str) -> Numbers:
    """Return the numbers of the rows in which ``column`` is missing."""
    return _numbers(path, column, None)


def distinct(path: Path, column: str, most: int) -> tuple[str, ...]:
    """Return the values of ``column`` as texts, the most frequent first; () when above ``most``."""
    import polars

    name = polars.col(column)
    counted = (
        polars.scan_parquet(path, glob=False)
        .filter(name.is_not_null())
        .group_by(name)
        .len("n of rows")
        .sort(["n of rows", column], descending=[True, False])
        .head(most + 1)
        .collect()
    )
    if counted.height > most:
        return ()
    return tuple(_told(value) for value in counted.to_series(0).to_list())


def numbered(
    path: Path, version: DataVersion, keys: Sequence[str], wanted: Sequence[tuple[str, ...]]
) -> list[int | None]:
    """Return the row of each key, given as texts; None where no row has it.

    Raises
    ------
    InputError
        When a value is none of its column's type, or several rows have the same key.
    """
    import polars

    kinds = {it.name: it.type for it in version.schema}
    typed = [
        tuple(_typed(text, kinds[name], name) for text, name in zip(key, keys, strict=True))
        for key in wanted
    ]
    columns = polars.scan_parquet(path, glob=False).select(keys).collect().iter_rows()
    asked, found = set(typed), dict[tuple[Any, ...], int]()
    for row, key in enumerate(columns):
        if key in asked and found.setdefault(key, row) != row:
            raise InputError(
                f"The rows {found[key]} and {row} of {version.reference} have the same key.",
                "Name the rows by their number, in a column row.",
            )
    return [found.get(key) for key in typed]


def _told(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numbers(path: Path, column: str, value: Any) -> Numbers:
    import polars

    key = (path, column, repr(value))
    with _lock:
        if key in _kept:
            found: Numbers = _kept[key]
            return found
    name = polars.col(column)
    is_wanted = name.is_null() if value is None else name == polars.lit(value)
    frame = polars.scan_parquet(path, glob=False).select(is_wanted.fill_null(False).arg_true())
    numbers: Numbers = frame.collect().to_series(0).to_numpy().astype("int64")
    with _lock:
        while len(_kept) >= _MOST_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = numbers
    return numbers


def _parted(version: DataVersion, condition: str) -> tuple[str, str]:
    """Split at the sign that ends a column's name, the longest one: names may hold it too."""
    names = [it.name for it in version.schema]
    fits = [name for name in names if condition.startswith(f"{name}=")]
    if fits:
        column = max(fits, key=len)
        return column, condition[len(column) + 1 :]
    word, mark, _ = condition.partition("=")
    if not mark:
        raise InputError(f"'{condition}' is no condition.", "Write it as COLUMN=VALUE.")
    raise InputError(
        f"{version.reference} has no column '{word}'.",
        nearest(word, names) or f"The columns are: {', '.join(names[:20])}.",
    )


def _typed(text: str, kind: str, column: str) -> Any:
    readers: dict[str, Any] = {
        "long": int,
        "double": float,
        "boolean": {"true": True, "false": False}.__getitem__,
        "date": date.fromisoformat,
        "datetime": lambda it: datetime.fromisoformat(it.removesuffix("Z")),
    }
    try:
        return readers[kind](text) if kind in readers else text
    except (ValueError, KeyError):
        raise InputError(f"'{text}' is no {kind}, as column '{column}' is.") from None


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
