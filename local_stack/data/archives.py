"""Compressed files: found by their first bytes, unpacked as a stream, and bounded.

A file that grows beyond what it may is refused while it is unpacked, whatever its headers say.
Nothing is ever written to a path that an archive names.
"""

from __future__ import annotations

import contextlib
import shutil
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from local_stack.errors import InputError, UnavailableError
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import zipfile

MAX_BYTES = 64 * 1024**3
"""What one unpacked file may hold."""

MAX_RATIO = 2000
"""How often larger than the packed file it may be, beyond ``FREE_BYTES``."""

FREE_BYTES = 1024**3
"""Size up to which the ratio does not matter."""

_BLOCK = 1024 * 1024
_LEAST_FREE = 512 * 1024**2
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_WORKBOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
_OFFICE = ("[Content_Types].xml", "mimetype")


def compression(path: Path) -> str | None:
    """Return gzip, bz2, xz, zstd, lz4 or zip by the first bytes of ``path``; None for neither.

    A workbook (xlsx, xlsb, ods) is a zip archive to its program only: it gives None.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    return None if found == "zip" and is_workbook(path) else found


def is_workbook(path: Path) -> bool:
    """Return whether a zip archive holds a spreadsheet (OOXML or OpenDocument)."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return bool(names.intersection(_WORKBOOKS)) and bool(names.intersection(_OFFICE))


def unpack(path: Path, kind: str, target: Path, *, label: str, progress: Progress = silent) -> str:
    """Write the bytes that ``path`` packs as ``kind`` to ``target``; return its member's name.

    The name is '' for what is no archive.

    Raises
    ------
    InputError
        When the file is damaged, encrypted, an archive without exactly one file of data, or a
        bomb: more than ``MAX_BYTES``, or ``MAX_RATIO`` times its own size.
    UnavailableError
        When the disk has no room for it.
    """
    size = path.stat().st_size
    member = ""
    try:
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(target.open("wb"))
            if kind == "zip":
                member, blocks = stack.enter_context(_zipped(path, label))
            else:
                blocks = stack.enter_context(_STREAMS[kind](path))
            n_bytes = 0
            while block := _next(blocks, kind, label):
                n_bytes += len(block)
                _check(n_bytes, size, label, target)
                out.write(block)
                progress(Step(f"Unpacking {label}", n_bytes))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return member


def check_members(path: Path, limit: int, *, label: str, progress: Progress = silent) -> None:
    """Refuse a zip archive whose members together unpack to more than ``limit`` bytes.

    The streams themselves are measured: what an archive says of its sizes may be a lie.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            n_bytes = 0
            for item in archive.infolist():
                for n in _sizes(stream, item):
                    n_bytes += n
                    if n_bytes > limit:
                        raise InputError(
                            f"{label} unpacks to more than {limit} bytes.",
                            "Save it as CSV or Parquet, and import that.",
                        )
                progress(Step("Checking the archive", n_bytes))
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError) as error:
        raise _damaged(label, "zip", error) from None


def _sizes(stream: IO[bytes], item: zipfile.ZipInfo) -> Iterator[int]:
    """Give the sizes of blocks that a member unpacks to, read as far as its stream goes."""
    stream.seek(item.header_offset + 26)
    lengths = stream.read(4)
    stream.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    left = item.compress_size
    if item.compress_type != 8:  # stored; other methods no spreadsheet uses
        yield max(left, item.file_size)
        return
    inflating = zlib.decompressobj(-15)
    data = b""
    while not inflating.eof:
        if not data:
            data = stream.read(min(_BLOCK, left))
            left -= len(data)
            if not data:
                return
        yield len(inflating.decompress(data, _BLOCK))
        data = inflating.unconsumed_tail


def _next(blocks: Any, kind: str, label: str) -> bytes:
    import lzma
    import zipfile

    try:
        block: bytes = blocks.read(_BLOCK)
    except MemoryError:
        raise
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
        raise _damaged(label, kind, error) from None
    return block


def _check(n_bytes: int, packed: int, label: str, target: Path) -> None:
    if n_bytes > MAX_BYTES or (n_bytes > FREE_BYTES and n_bytes > MAX_RATIO * packed):
        raise InputError(
            f"{label} holds {packed} bytes and unpacks to more than {n_bytes - 1}: that is a bomb.",
            "If it is data, unpack it yourself and import the file.",
        )
    if n_bytes % (64 * _BLOCK) < _BLOCK and shutil.disk_usage(target.parent).free < _LEAST_FREE:
        raise UnavailableError(
            f"The disk has no room to unpack {label}.", "Free some space and call again."
        )


def _damaged(label: str, kind: str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return InputError(
        f"{label} is damaged or cut short: it cannot be unpacked as {kind} ({reason}).",
        "Fetch or write it again.",
    )


@contextlib.contextmanager
def _gzip(path: Path) -> Generator[Any]:
    import gzip

    with gzip.open(path, "rb") as stream:
        yield stream


@contextlib.contextmanager
def _bz2(path: Path) -> Generator[Any]:
    import bz2

    with bz2.open(path, "rb") as stream:
        yield stream


@contextlib.contextmanager
def _xz(path: Path) -> Generator[Any]:
    import lzma

    with lzma.open(path, "rb") as stream:
        yield stream


def _arrow(kind: str) -> Callable[[Path], Any]:
    @contextlib.contextmanager
    def open_stream(path: Path) -> Generator[Any]:
        import pyarrow

        with (
            pyarrow.OSFile(str(path), "rb") as raw,
            pyarrow.CompressedInputStream(raw, kind) as stream,
        ):
            yield stream

    return open_stream


_STREAMS: dict[str, Callable[[Path], Any]] = {
    "gzip": _gzip,
    "bz2": _bz2,
    "xz": _xz,
    "zstd": _arrow("zstd"),
    "lz4": _arrow("lz4"),
}


@contextlib.contextmanager
def _zipped(path: Path, label: str) -> Generator[tuple[str, Any]]:
    """Open the only file of data in a zip archive."""
    import zipfile

    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(label, "zip", error) from None
    with archive:
        items = [item for item in archive.infolist() if _is_data(item.filename)]
        if len(items) != 1:
            raise _not_one(label, [item.filename for item in items])
        if items[0].flag_bits & 1:
            raise InputError(f"{label} is encrypted.", "Unpack it yourself and import the file.")
        try:
            stream = archive.open(items[0])
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise _damaged(label, "zip", error) from None
        with stream:
            yield items[0].filename, stream


def _is_data(name: str) -> bool:
    last = name.rpartition("/")[2]
    return bool(last) and not last.startswith(".") and not name.startswith("__MACOSX/")


def _not_one(label: str, names: list[str]) -> InputError:
    if not names:
        return InputError(f"{label} is an archive without a file.", "Look at it with: unzip -l")
    shown = ", ".join(ascii(name)[1:-1][:60] for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return InputError(
        f"{label} is an archive of {len(names)} files: {shown}{more}.",
        "Unpack it and import one of them, or all by a glob such as 'folder/*.csv'.",
    )
