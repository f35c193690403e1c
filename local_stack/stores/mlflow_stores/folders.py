"""Files below a folder, opened one step at a time and never through a link.

Every function takes the descriptor of the folder above. What is wrong goes as a fragment of a
sentence into the caller's list of faults, because one bad file must not hide the others.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

MAX_TEXT: Final = 1_048_576
"""Most bytes of a param or tag that are read."""
MAX_LINES: Final = 67_108_864
"""Most bytes of a metric's file that are read."""
MAX_DEPTH: Final = 32
"""How deep the folders of keys with slashes and of artefacts are followed."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that nobody writes to would block the reader for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK = 65_536
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")


def why(error: OSError) -> str:
    """Return the reason of ``error`` in words."""
    return (error.strerror or "unknown fault").lower()


def text_of(name: str) -> str:
    """Return a file's name as text that every store can hold."""
    return os.fsencode(name).decode("utf-8", "replace") if not name.isascii() else name


def decoded(data: bytes, name: str, faults: list[str]) -> str:
    """Return ``data`` as text; bytes that are no UTF-8 are replaced and told."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        faults.append(f"{text_of(name)} is not UTF-8 text")
        return data.decode("utf-8", "replace")


@contextmanager
def folder(path: str, above: int | None = None) -> Iterator[int]:
    """Yield the descriptor of the folder ``path``; a link raises OSError."""
    descriptor = os.open(path, _FOLDER, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(name: str, above: int, limit: int) -> bytes:
    """Return the bytes of the regular file ``name``, at most ``limit`` and one more.

    Raises
    ------
    OSError
        The file is not there, is a link or no regular file, or cannot be read.
    """
    descriptor = os.open(name, _FILE, dir_fd=above)
    try:
        data = os.read(descriptor, _CHUNK)
        if len(data) < _CHUNK:
            return data
        parts, size = [data], len(data)
        while size <= limit and (data := os.read(descriptor, min(_CHUNK, limit + 1 - size))):
            parts.append(data)
            size += len(data)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def files(
    name: str, above: int, limit: int, faults: list[str], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield key and bytes of every file below the folder ``name``; none when it is not there.

    Folders in it are parts of keys with slashes. ``limit`` is in bytes.
    """
    if depth > MAX_DEPTH:
        faults.append(f"{text_of(prefix)} is nested too deeply")
        return
    shown = f"{prefix}{name}/" if depth else f"{name}/"
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        return
    except OSError as error:
        faults.append(f"{text_of(shown)} cannot be read ({why(error)})")
        return
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    try:
                        data = read(entry.name, descriptor, limit)
                    except OSError as error:
                        faults.append(
                            f"{text_of(shown + entry.name)} cannot be read ({why(error)})"
                        )
                        continue
                    if len(data) > limit:
                        faults.append(
                            f"{text_of(shown + entry.name)} is larger than {limit:,} bytes"
                        )
                        data = data[:limit]
                    yield (prefix + name + "/" if depth else "") + entry.name, data
                elif entry.is_dir(follow_symlinks=False):
                    yield from files(
                        entry.name,
                        descriptor,
                        limit,
                        faults,
                        prefix + name + "/" if depth else "",
                        depth + 1,
                    )
                else:
                    faults.append(f"{text_of(shown + entry.name)} is a link or no regular file")
    except OSError as error:
        faults.append(f"{text_of(shown)} cannot be read ({why(error)})")
    finally:
        os.close(descriptor)


def listing(path: Path | None, most: int) -> list[tuple[str, int]]:
    """Return the paths below the folder ``path`` with their sizes in bytes, at most ``most``.

    Links and what cannot be read are left out; None is a folder without anything.
    """
    found: list[tuple[str, int]] = []
    if path is not None:
        _list_into(found, str(path), None, most, "", 0)
    return sorted(found)


def local_path(uri: str) -> str | None:
    """Return the place on a machine that ``uri`` names, with slashes; None when it is remote."""
    if _WINDOWS.match(uri):
        return uri.replace("\\", "/").rstrip("/")
    parts = _split(uri)
    if parts is None or parts.scheme not in ("", "file"):
        return None
    path = unquote(parts.path) if parts.scheme else uri
    return path.replace("\\", "/").rstrip("/") or None


def _split(uri: str) -> SplitResult | None:
    try:
        return urlsplit(uri)
    except ValueError:  # half an address in brackets
        return None


def inside(base: Path, uri: str) -> Path | None:
    """Return the folder on this machine that ``uri`` names, if it lies below ``base``.

    A link on the way, or ``..``, is as good as nothing: a store says where its artefacts lie, and
    must not thereby show what else lies on this machine.
    """
    parts = _split(uri)
    if parts is None or parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path) if parts.scheme else uri
    if not path or "\0" in path:
        return None
    root = os.path.realpath(base)
    names = (base / path).parts
    for start in (Path(root).parts, base.parts):
        if names[: len(start)] == start and len(names) > len(start):
            return below(Path(root), names[len(start) :])
    return None


def below(base: Path, names: Sequence[str]) -> Path | None:
    """Return the folder that lies at ``names`` below ``base``; None when a part is a link."""
    found = str(base)
    for name in names:
        found = f"{found}/{name}"
        if name in ("", ".", "..") or "/" in name or not folder_time(found):
            return None
    return Path(found)


def _list_into(
    found: list[tuple[str, int]], name: str, above: int | None, most: int, prefix: str, depth: int
) -> None:
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=above)
    except OSError:
        return
    try:
        with os.scandir(descriptor) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if len(found) >= most:
                    return
                path = prefix + text_of(entry.name)
                if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                    _list_into(found, entry.name, descriptor, most, path + "/", depth + 1)
                elif entry.is_file(follow_symlinks=False):
                    found.append((path, entry.stat(follow_symlinks=False).st_size))
    except OSError:
        return
    finally:
        os.close(descriptor)


def subfolders(path: str | int) -> list[os.DirEntry[str]]:
    """Return the entries of the folder ``path`` that are folders or links, by name.

    Raises
    ------
    OSError
        ``path`` is a link, no folder, or cannot be read.
    """
    if isinstance(path, str) and not folder_time(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    with os.scandir(path) as entries:
        return sorted(
            (
                entry
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or entry.is_symlink()
            ),
            key=lambda entry: entry.name,
        )


def marks(path: str) -> tuple[int, int]:
    """Return time of change (ns) and size of ``path``; zeros when it is not there."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - a Path costs more than the call
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def folder_time(path: str) -> int:
    """Return the time of change of the folder ``path`` in ns; 0 when it is none."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except OSError:
        return 0
    return found.st_mtime_ns if stat.S_ISDIR(found.st_mode) else 0


def deep_marks(path: str, into: list[str], depth: int = 0) -> int:
    """Append name, time of change and size of everything below ``path``; return the newest time.

    A link is not followed: it may lead to a whole disk.
    """
    newest = 0
    if depth == 0 and not folder_time(path):
        return newest
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                into.append(f"{path}/{entry.name}\0{found.st_mtime_ns}\0{found.st_size}")
                newest = max(newest, found.st_mtime_ns)
                if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                    newest = max(newest, deep_marks(entry.path, into, depth + 1))
    except OSError:
        return newest
    return newest
