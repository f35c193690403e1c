"""Artefacts: content-addressed, immutable bytes on a disk or a bucket, through fsspec.

The layout is DVC 3's, so that DVC can read what PACE-ML stores::

    <root>/files/md5/ab/cdef0123...          a file, named by the MD5 of its bytes
    <root>/files/md5/ab/cdef0123....dir      a folder: JSON [{"md5", "relpath"}], written last

MD5 only addresses; every reference of ours also carries the SHA-256, which is checked before
a byte is used. On a disk an object appears by rename after fsync; on an object store a put is
atomic by itself. This is the only module that imports fsspec.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local_stack.errors import DamagedError, InputError, NotFoundError, StackError, UnavailableError
from local_stack.names import inside
from local_stack.results import Result

_BLOCK = 1024 * 1024
_CLIENT = {
    "config_kwargs": {"connect_timeout": 2, "read_timeout": 5, "retries": {"max_attempts": 1}}
}


@dataclass(frozen=True, slots=True)
class Blob(Result):
    """A stored file: where it is (``md5``), what it must be (``sha256``), and its bytes."""

    md5: str
    sha256: str
    size: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Blob:
        """Return the blob that a metadata row describes."""
        return cls(str(row["md5"]), str(row["sha256"]), int(row["size"]))


@dataclass(frozen=True, slots=True)
class Tree(Result):
    """A stored folder: its manifest, and each member by its relative path."""

    manifest: Blob
    members: dict[str, Blob]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Tree:
        """Return the tree that a metadata row describes."""
        members = {str(path): Blob.of(blob) for path, blob in row["members"].items()}
        return cls(Blob.of(row["manifest"]), members)


class Artifacts:
    """The artefact store of a workspace at ``url`` (a folder or an fsspec URL).

    ``cache`` keeps local copies of what came from a remote store.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        self._cache = cache
        self._is_local = "://" not in url or url.startswith("file://")
        self._opened: tuple[Any, str] | None = None

    def put_file(self, path: Path) -> Blob:
        """Store the bytes of ``path`` and return their blob; storing them again is free."""
        with path.open("rb") as stream:
            blob = digest(stream)
        self._publish(path, _key(blob.md5), blob)
        return blob

    def put_bytes(self, data: bytes) -> Blob:
        """Store ``data`` and return its blob."""
        with self._scratch(data) as path:
            return self.put_file(path)

    def put_tree(self, folder: Path) -> Tree:
        """Store every file below ``folder``, then the manifest that makes them one artefact.

        Raises
        ------
        InputError
            For a file whose name :meth:`checkout` would refuse, before anything is stored.
        """
        names = [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        members = {name: self.put_file(path) for name, path in _checked(folder, names)}
        entries = [{"md5": blob.md5, "relpath": name} for name, blob in sorted(members.items())]
        data = json.dumps(entries).encode()
        with self._scratch(data) as path:
            with path.open("rb") as stream:
                blob = digest(stream)
            self._publish(path, _key(blob.md5) + ".dir", blob)
        return Tree(blob, members)

    def path(self, blob: Blob) -> Path:
        """Return a local file that holds exactly the bytes of ``blob``.

        Raises
        ------
        NotFoundError
            When the store does not have it.
        DamagedError
            When the stored bytes are not those that were put.
        """
        if self._is_local:
            local = Path(self._target(_key(blob.md5)))
            verify(local, blob)
        else:
            local = self._cache / _key(blob.md5)
            if not _is_whole(local, blob):
                self._download(blob, local)
        return local

    def read(self, blob: Blob) -> bytes:
        """Return the checked bytes of ``blob``."""
        return self.path(blob).read_bytes()

    def checkout(self, tree: Tree, folder: Path) -> Path:
        """Write the members of ``tree`` into ``folder``, each one checked first."""
        for name, blob in tree.members.items():
            target = inside(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path(blob), target)
        return folder

    def has(self, blob: Blob) -> bool:
        """Return whether the store holds an object of that address and size."""
        filesystem, _ = self._open()
        target = self._target(_key(blob.md5))
        with self._explained():
            return bool(filesystem.exists(target)) and filesystem.size(target) == blob.size

    def uri(self, blob: Blob) -> str:
        """Return where the object lies, for people and for other tools."""
        return (
            self._target(_key(blob.md5))
            if self._is_local
            else f"{self.url.rstrip('/')}/{_key(blob.md5)}"
        )

    def leftovers(self) -> list[Path]:
        """Return the temporary files of writers that are at work or were killed."""
        return list(Path(self._target("tmp")).glob("*")) if self._is_local else []

    def _publish(self, source: Path, key: str, blob: Blob) -> None:
        filesystem, _ = self._open()
        target = self._target(key)
        if self._is_local:
            if not _is_whole(Path(target), blob):  # a damaged one is put anew
                _publish_local(source, Path(target), Path(self._target("tmp")), blob)
            return
        with self._explained():
            try:
                if not (filesystem.exists(target) and filesystem.size(target) == blob.size):
                    filesystem.put_file(str(source), target)
            except FileNotFoundError as error:
                raise UnavailableError(
                    f"{self.url} does not exist: {error}.", "Make the bucket, then call again."
                ) from error

    def _download(self, blob: Blob, local: Path) -> None:
        filesystem, _ = self._open()
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=local.parent, prefix=".") as folder:
            scratch = Path(folder) / local.name
            with self._explained():
                try:
                    filesystem.get_file(self._target(_key(blob.md5)), str(scratch))
                except FileNotFoundError:
                    raise _missing(blob, self.url) from None
            verify(scratch, blob)
            scratch.replace(local)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec

            try:
                options = _CLIENT if self.url.startswith("s3://") else {}
                filesystem, root = fsspec.core.url_to_fs(self.url, **options)
                if options:
                    filesystem.retries = 1  # s3fs's own, on top of its client's
            except ImportError as error:
                raise UnavailableError(
                    f"{self.url} needs a package that is not installed.",
                    "Install it, for S3 with: pip install 'paceml-tui[s3]'.",
                ) from error
            except ValueError as error:
                raise InputError(f"{self.url} is not a place to keep artefacts: {error}.") from None
            self._opened = filesystem, str(root).rstrip("/")
        return self._opened

    def _target(self, key: str) -> str:
        return f"{self._open()[1]}/{key}"

    @contextlib.contextmanager
    def _scratch(self, data: bytes) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="paceml-") as stream:
            stream.write(data)
            stream.flush()
            yield Path(stream.name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a remote store raises into a sentence; local errors pass as they are."""
        try:
            yield
        except (FileNotFoundError, StackError):
            raise
        except Exception as error:
            if self._is_local:
                raise
            raise UnavailableError(
                f"{self.url} did not take part: {type(error).__name__}: {error}.",
                "Check the network, the bucket and the keys, then call again.",
            ) from error


def digest(stream: IO[bytes], copy: IO[bytes] | None = None) -> Blob:
    """Return the blob of everything that ``stream`` still holds, and write it to ``copy``."""
    md5, sha, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        md5.update(block)
        sha.update(block)
        size += len(block)
        if copy is not None:
            copy.write(block)
    return Blob(md5.hexdigest(), sha.hexdigest(), size)


def verify(path: Path, blob: Blob) -> None:
    """Raise unless ``path`` holds exactly what ``blob`` names."""
    try:
        with path.open("rb") as stream:
            found = digest(stream)
    except FileNotFoundError:
        raise _missing(blob, str(path.parent)) from None
    if found != blob:
        raise DamagedError(
            f"The artefact {blob.md5} is damaged: its SHA-256 is not the recorded one.",
            "Restore it from a backup or from the bucket; nothing of it was used.",
            details={"path": str(path), "expected": blob.sha256, "found": found.sha256},
        )


def _is_whole(path: Path, blob: Blob) -> bool:
    try:
        verify(path, blob)
    except (NotFoundError, DamagedError):
        return False
    return True


def _checked(folder: Path, names: Sequence[str]) -> list[tuple[str, Path]]:
    return [(name, inside(folder, name)) for name in names]


def _missing(blob: Blob, where: str) -> NotFoundError:
    return NotFoundError(
        f"The artefact {blob.md5} is not in {where}.", "Restore it from a backup or pull it."
    )


def _key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _publish_local(source: Path, target: Path, scratch_folder: Path, blob: Blob) -> None:
    scratch_folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=scratch_folder)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out, source.open("rb") as stream:
            if digest(stream, out) != blob:
                raise InputError(f"{source} changed while it was read.", "Call again.")
            out.flush()
            os.fsync(out.fileno())
        scratch.chmod(0o400)
        scratch.replace(target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    for folder in target.parents[:3]:  # files/md5/ab: the first object makes them all
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fetch(source: str, target: Path) -> Path:
    """Return a local file with the bytes of ``source``: the file itself, or a copy at ``target``.

    Raises
    ------
    NotFoundError
        When there is nothing at ``source``.
    UnavailableError
        When the remote store cannot be reached or needs a package.
    """
    if "://" not in source:
        path = Path(source).expanduser()
        if path.is_dir():
            raise InputError(f"{source} is a folder, not a file.", "Name a file.")
        if not path.is_file():
            raise NotFoundError(f"There is no file {source}.", "Check the path.")
        return path
    remote = Artifacts(source, target.parent)
    filesystem, path_there = remote._open()
    with remote._explained():
        try:
            filesystem.get_file(path_there, str(target))
        except FileNotFoundError:
            raise NotFoundError(f"There is nothing at {source}.", "Check the URL.") from None
    return target
