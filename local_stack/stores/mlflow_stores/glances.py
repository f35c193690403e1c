"""A glance at many runs of a folder store: the times of their ``meta.yaml`` and tags, no more.

``python glances.py FILE`` is that glance as a process of its own, for a command that has DuckDB
still to open meanwhile; FILE is what :func:`noted` gives. It prints the folders that are not as
noted, each ended by a zero byte, and imports nothing that Python has not loaded anyway.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is an import, too
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

META = "meta.yaml"


def metas(paths: Iterable[str]) -> Iterator[tuple[int, ...]]:
    """Yield time (ns) and size of ``meta.yaml`` and time of ``tags`` of each run's folder."""
    stat = os.stat
    for path in paths:
        try:
            meta = stat(f"{path}/{META}", follow_symlinks=False)
            tags = stat(path + "/tags", follow_symlinks=False)
        except OSError:  # one of them is not there, which is as good a signature
            yield (*_marks(f"{path}/{META}"), _marks(f"{path}/tags")[0])
        else:
            yield meta.st_mtime_ns, meta.st_size, tags.st_mtime_ns


def _marks(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def noted(signs: Iterable[tuple[str, int]]) -> bytes:
    """Return as bytes the folders of runs with the hashes of what :func:`metas` tells of them."""
    lines = [b"%d\0%s\0" % (sign, os.fsencode(path)) for path, sign in signs]
    return b"%d\0" % len(lines) + b"".join(lines)


def _main(file: str) -> None:
    with open(file, "rb") as stream:  # noqa: PTH123 - pathlib is an import, too
        count, *words = stream.read().split(b"\0")[:-1]
    paths = [os.fsdecode(path) for path in words[1::2]]
    if len(paths) != int(count):
        sys.exit(1)  # cut off
    for path, sign, marks in zip(paths, words[::2], metas(paths), strict=True):
        if hash(marks) != int(sign):
            sys.stdout.buffer.write(os.fsencode(path) + b"\0")


if __name__ == "__main__":
    _main(sys.argv[1])
