"""A folder store that was moved: its URIs of artefacts lead to where it was.

MLflow writes absolute places into every ``meta.yaml``, those of Windows too. What ends as a place
in this store would (``<experiment>/<run>/artifacts``) counts as moved when it leads to nothing and
the store was known to lie there: its folder had the same name, or artefacts of it lie here. It
does, too, when it leads into another store with the same record: this one is a copy of that.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from local_stack.stores.mlflow_stores import folders, meta_yaml
from local_stack.stores.mlflow_stores.fields import text
from local_stack.stores.mlflow_stores.file_store import META, FileStore

_URI, _LOCATION = "artifact_uri", "artifact_location"


@dataclass(frozen=True, slots=True)
class Stale:
    """The value ``uri`` of ``key`` in a ``meta.yaml``, and where what it names should lie now.

    ``old_root`` is where the store was; None of a server or a bucket, whose URIs are no places
    on a machine. ``has_files`` tells whether artefacts lie in the store itself.
    """

    folder: Path
    key: str
    uri: str
    target: Path
    old_root: str | None
    has_files: bool


def moved(root: Path) -> tuple[list[Stale], list[Stale]]:
    """Return what leads to where the store ``root`` was, and what leads to a server or bucket.

    The second are only those of which artefacts lie in the store all the same.
    """
    found = list(_stale(root))
    has_files = Counter(one.old_root for one in found if one.has_files)
    local = [
        one
        for one in found
        if one.old_root is not None
        and (Path(one.old_root).name == root.name or has_files[one.old_root])
    ]
    return local, [one for one in found if one.old_root is None and one.has_files]


def rebase(found: Stale) -> bool:
    """Write where the artefacts lie now; return False when the file is not as it was.

    The rest of the file stays byte for byte, and it is there as a whole at any moment.
    """
    try:
        with folders.folder(str(found.folder)) as above:
            before = os.stat(META, dir_fd=above, follow_symlinks=False)
            data = folders.read(META, above, meta_yaml.MAX_BYTES)
            written = _rewritten(data, found)
            if written is None:
                return False
            scratch = f".{META}.{secrets.token_hex(8)}"
            try:
                _write(scratch, above, written, stat.S_IMODE(before.st_mode))
                after = os.stat(META, dir_fd=above, follow_symlinks=False)
                if _mark(before) != _mark(after):
                    return False  # somebody else has written it
                os.replace(scratch, META, src_dir_fd=above, dst_dir_fd=above)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(scratch, dir_fd=above)
            os.fsync(above)
    except (OSError, ValueError):
        return False
    return True


def _stale(root: Path) -> Iterator[Stale]:
    """Yield every value that leads elsewhere but ends as one of this store would."""
    store = FileStore(root)
    for name, path, _ in store.experiment_folders():
        yield from _of(root, Path(path), _LOCATION, (name,))
        for entry in _models(path):
            yield from _of(root, entry, _LOCATION, (name, "models", entry.name, "artifacts"))
    for place in store.places():
        if place.experiment_id:
            names = (place.path.parent.name, place.path.name, "artifacts")
            yield from _of(root, place.path, _URI, names)


def _models(path: str) -> Sequence[Path]:
    try:
        return [Path(entry.path) for entry in folders.subfolders(f"{path}/models")]
    except OSError:
        return []


def _of(root: Path, folder: Path, key: str, names: tuple[str, ...]) -> Iterator[Stale]:
    try:
        with folders.folder(str(folder)) as above:
            meta = meta_yaml.parse(folders.read(META, above, meta_yaml.MAX_BYTES))
    except (OSError, ValueError):
        return  # whoever reads the run is told
    uri = text(meta.get(key))
    path = folders.local_path(uri)
    target, tail = root.joinpath(*names), "/" + "/".join(names)
    has_files = len(names) > 1 and bool(folders.listing(folder / "artifacts", 1))
    if path is None:
        if uri:
            yield Stale(folder, key, uri, target, None, has_files)
    elif path.endswith(tail) and not _is_there(path, target, folder, names):
        yield Stale(folder, key, uri, target, path.removesuffix(tail), has_files)


def _is_there(path: str, target: Path, folder: Path, names: Sequence[str]) -> bool:
    """Return whether ``path`` is ``target`` or leads to something else that is there.

    What it leads to in a store that this one is a copy of does not count, unless artefacts lie
    there only.
    """
    if path == str(target):
        return True
    if not (path.startswith("/") and os.path.lexists(path)):
        return False
    place = Path(path)
    record = place if len(names) == 1 else place.parent
    try:
        if not (record / META).is_file() or record.samefile(folder):
            return True
        return len(names) > 1 and any(place.iterdir()) and not any(target.iterdir())
    except OSError:
        return True


def _rewritten(data: bytes, found: Stale) -> bytes | None:
    """Return the file with the new value; None when it does not hold the old one as expected."""
    import yaml

    before = meta_yaml.parse(data)
    if before.get(found.key) != found.uri:
        return None
    is_plain = not urlsplit(found.uri).scheme  # MLflow 0.x wrote paths
    value = str(found.target) if is_plain else found.target.as_uri()
    line = yaml.safe_dump({found.key: value}, allow_unicode=True, width=2**31 - 1).encode()
    # The value may go on in lines that are indented.
    pattern = rb"(?m)^" + found.key.encode() + rb":(?:[^\r\n]*)(?:\r?\n[ \t]+[^\r\n]*)*(\r?\n|\Z)"
    match = re.search(pattern, data)
    if match is None:
        return None
    written = data[: match.start()] + line.rstrip(b"\n") + match[1] + data[match.end() :]
    is_same = meta_yaml.parse(written) == {**before, found.key: value}
    return written if is_same else None


def _write(name: str, above: int, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=above)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def _mark(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
