"""Write a version to a disk: its table as a file of another program, or its original bytes.

Parquet gives the stored table byte for byte, Arrow the same values and types. CSV and JSON lines
hold every value in a spelling that reads back as the same value; what they cannot tell (types,
a text spelled like a missing value) is named in the result. Files appear whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from local_stack import settings
from local_stack.command import command
from local_stack.data import versions
from local_stack.data.tables import NULLS
from local_stack.errors import ConflictError, InputError, NotFoundError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.stores.artifacts import Blob, Tree, digest
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars
    import pyarrow as pa

_BATCH = 65_536
_SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_FORMATS = ("csv", "parquet", "jsonl", "arrow")
_FORMULA = r"^[=+\-@\t\r\n]"
_OURS = {"journal", "objects", "mlruns", "serving", "jobs", "cache", "logs", "metadata.duckdb"}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class Checkout(Result):
    """What was written. ``sha256`` is that of the file; of a folder, that of its manifest."""

    dataset: str
    version: str
    path: str
    format: str
    files: int
    bytes: int
    sha256: str
    warnings: tuple[str, ...]


@command(
    "data.checkout",
    is_long=True,
    example="paceml-tui data checkout wine@golden wine.csv",
)
def checkout(
    workspace: Workspace,
    name: str,
    path: Path,
    *,
    format: Literal["csv", "parquet", "jsonl", "arrow"] | None = None,
    original: bool = False,
    spreadsheet: bool = False,
    dvc: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Checkout:
    """Write a version to a file, or give its original bytes back.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    path
        File to write; with --original a folder when the version was made from several files.
    format
        csv, parquet, jsonl or arrow; taken from the ending of the path when left out.
    original
        Write the bytes that were imported, exactly, instead of the table.
    spreadsheet
        Put an apostrophe before texts of a CSV that a spreadsheet would run as a formula
        (beginning with = + - @ tab or line break); without it every value stays as it is.
    dvc
        Also write PATH.dvc, by which 'dvc pull' fetches the same bytes from where they were
        pushed: the original ones, or with --format parquet the table.
    force
        Replace what is there.
    """
    version = versions.find(workspace, name)
    target = outside(workspace, path)
    if dvc:
        original = original or format is None
        _refuse_pointer(target, original, format, force)
    if original:
        if format or spreadsheet:
            raise InputError(
                "--original writes the bytes as they were imported.",
                "Leave out --format and --spreadsheet, or --original.",
            )
        source = versions.held(workspace, version)["original"]
        kind, n_files, blob = "original", *_give_back(workspace, source, target, force, progress)
        warnings: tuple[str, ...] = ()
    else:
        kind, n_files = _format(target, format, spreadsheet), 1
        table = versions.table_path(workspace, version)
        with replacing(target, force=force) as scratch:
            warnings = _write(table, scratch, kind, spreadsheet, version.rows, progress)
        with target.open("rb") as stream:
            blob = digest(stream)
    if dvc:
        row = versions.record(workspace, version)
        with replacing(_pointer(target), force=force) as scratch:
            from local_stack.data.sharing import dvc_files

            text = dvc_files.pointer(target.name, row["original" if original else "table"])
            scratch.write_text(text, encoding="utf-8")
    return Checkout(
        dataset=version.dataset,
        version=version.version,
        path=str(target),
        format=kind,
        files=n_files,
        bytes=blob.size,
        sha256=blob.sha256,
        warnings=warnings,
    )


@contextlib.contextmanager
def replacing(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield a file beside ``target`` that takes its place, whole, when the body has ended well.

    Raises
    ------
    ConflictError
        When something is at ``target`` and ``force`` was not asked for, also if it came
        there meanwhile.
    InputError
        When ``target`` is a folder.
    """
    if target.is_dir() and not target.is_symlink():
        raise InputError(f"{target} is a folder, not a file.", "Name a file in it.")
    _refuse_existing(target, force)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".paceml-")
    os.close(descriptor)
    scratch = Path(name)
    try:
        yield scratch
        _sync(scratch)
        _put(scratch, target, force)
        _sync(target.parent)
    finally:
        scratch.unlink(missing_ok=True)


def _put(scratch: Path, target: Path, force: bool) -> None:
    if not force:
        try:
            os.link(scratch, target)  # unlike a rename, it never replaces
            return
        except FileExistsError:
            _refuse_existing(target, force)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _refuse_existing(target, force)
    scratch.replace(target)


def _refuse_existing(target: Path, force: bool) -> None:
    if not force and os.path.lexists(target):
        raise ConflictError(f"{target} exists already.", "Add --force to replace it.")


def _pointer(target: Path) -> Path:
    return target.with_name(f"{target.name}.dvc")


def _refuse_pointer(target: Path, original: bool, format: str | None, force: bool) -> None:
    """Raise, before anything is written, for what DVC could not fetch or would overwrite."""
    if not original and format != "parquet":
        raise InputError(
            f"DVC fetches what is stored, which is no {format}.",
            "Leave out --format for the original bytes, or take --format parquet.",
        )
    _refuse_existing(_pointer(target), force)


def outside(workspace: Workspace, path: Path) -> Path:
    """Return where to write, after refusing places that no file of a person's belongs to.

    Raises
    ------
    InputError
        When it is a bucket, names no file, or is one of the workspace's own records.
    NotFoundError
        When its folder does not exist.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise InputError(
            f"{path} is not on a disk.", "Name a file; a bucket is shared by: paceml-tui data push"
        )
    target = path.expanduser().absolute()
    if target.name in ("", ".."):
        raise InputError(f"{path} names no file.", "Name a file, such as wine.csv.")
    if not target.parent.is_dir():
        raise NotFoundError(f"There is no folder {target.parent}.", "Make it, then call again.")
    real = target.parent.resolve() / target.name
    root = workspace.root.resolve()
    if real == root or root.is_relative_to(real):
        raise InputError(f"{target} holds the workspace.", "Name another place.")
    if real.is_relative_to(root):
        first = real.relative_to(root).parts[0]
        if first in _OURS or first == settings.FILE:
            raise InputError(
                f"{target} belongs to the workspace's own records.", "Name a place outside it."
            )
    return target


def _format(target: Path, given: str | None, spreadsheet: bool) -> str:
    kind = given or _SUFFIXES.get(target.suffix.lower())
    if kind is None:
        known = nearest(target.suffix.lower(), _SUFFIXES)
        raise InputError(
            f"The ending of {target.name} tells no format.",
            known or f"Name it with --format ({', '.join(_FORMATS)}).",
        )
    if spreadsheet and kind != "csv":
        raise InputError(
            f"--spreadsheet guards CSV, not {kind}.", "Leave it out, or name a .csv file."
        )
    return kind


def _write(
    table: Path, target: Path, kind: str, spreadsheet: bool, n_rows: int, progress: Progress
) -> tuple[str, ...]:
    """Write the Parquet file ``table`` to ``target``; return what the format cannot tell."""
    if kind == "parquet":
        progress(Step("Copying the table"))
        shutil.copyfile(table, target)
        return ()
    if kind == "arrow":
        _write_arrow(table, target, n_rows, progress)
        return ()
    with target.open("wb") as out:
        return _write_text(table, out, kind, spreadsheet, n_rows, progress)


def _batches(table: Path, n_rows: int, progress: Progress) -> Iterator[pa.RecordBatch]:
    """Yield the table in parts, the first one empty, telling ``progress`` after each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    done = 0
    with pq.ParquetFile(table) as file:
        yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
        for batch in file.iter_batches(_BATCH):
            yield batch
            done += batch.num_rows
            progress(Step("Writing rows", done, n_rows))


def _write_arrow(table: Path, target: Path, n_rows: int, progress: Progress) -> None:
    import pyarrow as pa

    batches = _batches(table, n_rows, progress)
    first = next(batches)
    with pa.OSFile(str(target), "wb") as out, pa.ipc.new_file(out, first.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_text(
    table: Path, out: IO[bytes], kind: str, spreadsheet: bool, n_rows: int, progress: Progress
) -> tuple[str, ...]:
    import polars

    is_first = True
    unclear: dict[str, int] = {}
    for batch in _batches(table, n_rows, progress):
        frame = polars.DataFrame(batch)
        texts = [name for name, dtype in frame.schema.items() if dtype == polars.String]
        if kind == "jsonl":
            _count(unclear, frame, _infinite(frame))
            frame.write_ndjson(out)
            continue
        _count(unclear, frame, {name: frame[name].is_in(NULLS) for name in texts})
        if spreadsheet:
            frame = _guarded(frame, texts, is_header=is_first)
        missing = "NA" if frame.width == 1 else ""  # an empty line would be no row
        frame.write_csv(out, include_header=is_first, null_value=missing)
        is_first = False
    reason = (
        "read back as missing, for CSV cannot tell them from missing values"
        if kind == "csv"
        else "are infinite and were written as null, for JSON has no such number"
    )
    return tuple(
        f"{n} values of '{name}' {reason}; take parquet or arrow to keep them."
        for name, n in unclear.items()
    )


def _infinite(frame: polars.DataFrame) -> dict[str, polars.Series]:
    import polars

    return {c.name: c.is_infinite() for c in frame.iter_columns() if c.dtype == polars.Float64}


def _count(
    unclear: dict[str, int], frame: polars.DataFrame, marks: dict[str, polars.Series]
) -> None:
    for name, mark in marks.items():
        n: Any = mark.sum()
        if n:
            unclear[name] = unclear.get(name, 0) + int(n)


def _guarded(frame: polars.DataFrame, texts: list[str], *, is_header: bool) -> polars.DataFrame:
    """Put an apostrophe before each text that a spreadsheet would take for a formula."""
    guarded = frame.with_columns([_apostrophed(frame[name]) for name in texts])
    if is_header:
        guarded.columns = [f"'{n}" if re.match(_FORMULA, n) else n for n in frame.columns]
    return guarded


def _apostrophed(texts: polars.Series) -> polars.Series:
    import polars

    is_formula = texts.str.contains(_FORMULA).fill_null(False)
    marks = polars.select(polars.when(is_formula).then(polars.lit("'")).otherwise(polars.lit("")))
    return (marks.to_series() + texts).alias(texts.name)


def _give_back(
    workspace: Workspace, source: Any, target: Path, force: bool, progress: Progress
) -> tuple[int, Blob]:
    """Write the original to ``target``; return the number of files and what stands for them."""
    if not source:
        raise NotFoundError(
            "This version has no original bytes.", "Check the table out instead of --original."
        )
    if "members" in source:
        tree = Tree.of(source)
        _give_tree_back(workspace, tree, target, force, progress)
        size = sum(blob.size for blob in tree.members.values())
        return len(tree.members), Blob(tree.manifest.md5, tree.manifest.sha256, size)
    blob = Blob.of(source)
    progress(Step("Copying the original"))
    with replacing(target, force=force) as scratch:
        shutil.copyfile(workspace.artifacts.path(blob), scratch)
    return 1, blob


def _give_tree_back(
    workspace: Workspace, tree: Tree, target: Path, force: bool, progress: Progress
) -> None:
    _refuse_existing(target, force)
    if target.is_dir():
        _refuse_other_files(tree, target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".paceml-") as folder:
        made = Path(folder) / "new"
        made.mkdir()
        for done, (name, blob) in enumerate(tree.members.items()):
            progress(Step("Copying the original files", done, len(tree.members)))
            workspace.artifacts.checkout(Tree(tree.manifest, {name: blob}), made)
        for each in made.rglob("*"):
            _sync(each)
        if os.path.lexists(target):
            _refuse_existing(target, force)
            target.rename(Path(folder) / "old")
        made.rename(target)
        _sync(target.parent)


def _refuse_other_files(tree: Tree, folder: Path) -> None:
    """Raise when replacing ``folder`` would lose a file that is none of the tree's."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name not in tree.members and not (path.is_dir() and not path.is_symlink()):
            raise InputError(
                f"{folder} holds {name}, which is not part of this version.",
                "Name a new folder; --force replaces only files of the same names.",
            )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
