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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from local_stack.errors import DamagedError, InputError, NotFoundError, StackError, UnavailableError
from local_stack.names import inside
from local_stack.results import Result
from local_stack.stores.holds import Hold

_BLOCK = 1024 * 1024
_LARGE_BLOCK = 8 * _BLOCK
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


@dataclass(frozen=True, slots=True)
class Stored:
    """An object and its key below the root of a store."""

    key: str
    blob: Blob


def stored(row: Mapping[str, Any] | None) -> tuple[Stored, ...]:
    """Return the objects of a recorded blob or tree (none for None), a manifest after its members.

    Raises
    ------
    KeyError, TypeError, ValueError
        When it is neither.
    """
    if row is None:
        return ()
    if "members" not in row:
        blob = Blob.of(row)
        return (_file(blob),)
    tree = Tree.of(row)
    members = tuple(_file(blob) for _, blob in sorted(tree.members.items()))
    return (*members, Stored(key_of(tree.manifest, is_folder=True), tree.manifest))


class Artifacts:
    """The artefact store of a workspace at ``url`` (a folder or an fsspec URL).

    ``cache`` keeps local copies of what came from a remote store, ``hold`` keeps what is stored
    from being collected before it is recorded, ``claim`` is called before the first object is
    stored and ``note`` with the key of each new one; ``options`` are those of the file system.
    """

    def __init__(
        self,
        url: str,
        cache: Path,
        *,
        hold: Hold | None = None,
        claim: Callable[[], None] | None = None,
        note: Callable[[str], None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = url
        self._hold = hold
        self._cache = cache
        self._claim = claim
        self._note = note
        self._options = dict(options or {})
        self._is_local = "://" not in url or url.startswith("file://")
        self._opened: tuple[Any, str] | None = None

    def put_file(self, path: Path, tick: Tick | None = None) -> Blob:
        """Store the bytes of ``path`` and return their blob; storing them again is free.

        ``tick`` hears of each byte once while it is hashed and once while it is copied; it may
        raise to stop, and nothing is stored then.
        """
        with path.open("rb") as stream:
            blob = digest(stream, tick=tick)
        self.keep(path, _file(blob), tick)
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
        return self.put_members(dict(_checked(folder, names)))

    def put_members(self, files: Mapping[str, Path], tick: Tick | None = None) -> Tree:
        """Store files under relative names, then the manifest that makes them one artefact."""
        members = {name: self.put_file(path, tick) for name, path in sorted(files.items())}
        entries = [{"md5": blob.md5, "relpath": name} for name, blob in sorted(members.items())]
        data = json.dumps(entries).encode()
        with self._scratch(data) as path:
            with path.open("rb") as stream:
                blob = digest(stream)
            self.keep(path, Stored(key_of(blob, is_folder=True), blob))
        return Tree(blob, members)

    def holding(self) -> contextlib.AbstractContextManager[None]:
        """Keep collectors out of the store, until the end of the verb that is at work."""
        return self._hold.shared() if self._hold else contextlib.nullcontext()

    def collecting(self, wait_seconds: float) -> contextlib.AbstractContextManager[None]:
        """Keep everybody else out of the store for the body, so that objects may be removed."""
        return self._hold.alone(wait_seconds) if self._hold else contextlib.nullcontext()

    def keep(self, source: Path, item: Stored, tick: Tick | None = None) -> None:
        """Store the bytes of ``source``, which are those of ``item``, under its key."""
        with self.holding():
            if self._claim is not None:
                self._claim()
                self._claim = None
            self._publish(source, item.key, item.blob, tick)

    def path(self, blob: Blob) -> Path:
        """Return a local file that holds exactly the bytes of ``blob``.

        Raises
        ------
        NotFoundError
            When the store does not have it.
        DamagedError
            When the stored bytes are not those that were put.
        """
        return self.locate(_file(blob))

    def locate(self, item: Stored) -> Path:
        """Return :meth:`path` of an object, which may be the manifest of a folder."""
        if self._is_local:
            local = Path(self._target(item.key))
            verify(local, item.blob)
        else:
            local = self._cache / item.key
            if not is_whole(local, item.blob):
                self._download(item, local)
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
        """Return whether the store holds a file of that address and size."""
        return self.holds(_file(blob))

    def holds(self, item: Stored) -> bool:
        """Return whether the store holds an object of that key and size."""
        filesystem, _ = self._open()
        target = self._target(item.key)
        with self._explained():
            return bool(filesystem.exists(target)) and filesystem.size(target) == item.blob.size

    def uri(self, blob: Blob) -> str:
        """Return where the object lies, for people and for other tools."""
        key = key_of(blob)
        return self._target(key) if self._is_local else f"{self.url.rstrip('/')}/{key}"

    def forget(self, key: str) -> None:
        """Remove the local copy of a remote object."""
        if not self._is_local:
            (self._cache / key).unlink(missing_ok=True)

    def leftovers(self) -> list[Path]:
        """Return the temporary files of writers that are at work or were killed."""
        return list(Path(self._target("tmp")).glob("*")) if self._is_local else []

    def _publish(self, source: Path, key: str, blob: Blob, tick: Tick | None = None) -> None:
        filesystem, _ = self._open()
        target = self._target(key)
        if self._is_local:
            if not is_whole(Path(target), blob):  # a damaged one is put anew
                self._noted(key)
                publish(source, Path(target), Path(self._target("tmp")), blob, tick)
            return
        with self._explained():
            try:
                if not (filesystem.exists(target) and filesystem.size(target) == blob.size):
                    self._noted(key)
                    more = {"callback": ticking(tick)} if tick else {}
                    filesystem.put_file(str(source), target, **more)
            except FileNotFoundError as error:
                raise UnavailableError(
                    f"{self.url} does not exist: {error}.", "Make the bucket, then call again."
                ) from error

    def _noted(self, key: str) -> None:
        if self._note is not None:
            self._note(key)

    def _download(self, item: Stored, local: Path) -> None:
        filesystem, _ = self._open()
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=local.parent, prefix=".") as folder:
            scratch = Path(folder) / local.name
            with self._explained():
                try:
                    filesystem.get_file(self._target(item.key), str(scratch))
                except FileNotFoundError:
                    raise _missing(item.blob, self.url) from None
            verify(scratch, item.blob)
            scratch.replace(local)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            self._opened = opened(self.url, self._options)
        return self._opened

    def _target(self, key: str) -> str:
        if self.url.startswith("/"):  # a folder: no need of fsspec, which is slow to import
            return f"{self.url.rstrip('/')}/{key}"
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
        if self._is_local:
            yield
            return
        with explained(self.url):
            yield


def opened(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the fsspec file system of ``url`` and the path of its root there.

    Raises
    ------
    InputError
        When no file system takes such a URL.
    UnavailableError
        When the file system's package is not installed.
    """
    import fsspec

    is_s3 = url.startswith("s3://")
    try:
        filesystem, root = fsspec.core.url_to_fs(
            url, **{**(_CLIENT if is_s3 else {}), **(options or {})}
        )
    except ImportError as error:
        raise UnavailableError(
            f"{url} needs a package that is not installed.",
            "Install it, for S3 with: pip install 'paceml-tui[s3]'.",
        ) from error
    except ValueError as error:
        raise InputError(f"{url} is not a place to keep artefacts: {error}.") from None
    if is_s3:
        filesystem.retries = 1  # s3fs's own, on top of its client's
    return filesystem, str(root).rstrip("/")


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what a remote store raises into a sentence; a missing file passes as it is."""
    try:
        yield
    except (FileNotFoundError, StackError):
        raise
    except Exception as error:
        raise UnavailableError(
            f"{url} did not take part: {type(error).__name__}: {error}.",
            "Check the network, the bucket and the keys, then call again.",
        ) from error


Tick = Callable[[int], None]
"""Hears the number of bytes that were moved since it was called last."""


def ticking(tick: Tick) -> Any:
    """Return ``tick`` as the callback that fsspec calls while it moves a file."""
    import fsspec

    class Ticking(fsspec.callbacks.Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            tick(int(inc))

    return Ticking()


def digest(stream: IO[bytes], copy: IO[bytes] | None = None, tick: Tick | None = None) -> Blob:
    """Return the blob of everything that ``stream`` still holds, and write it to ``copy``."""
    md5, sha, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        md5.update(block)
        sha.update(block)
        size += len(block)
        if copy is not None:
            copy.write(block)
        if tick is not None:
            tick(len(block))
    return Blob(md5.hexdigest(), sha.hexdigest(), size)


def verify(path: Path, blob: Blob) -> None:
    """Raise unless ``path`` holds exactly what ``blob`` names.

    The size and the SHA-256 say so; the MD5 is a place, and would take thrice the time.
    """
    try:
        with path.open("rb") as stream:
            found, size = _sha256(stream), os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise _missing(blob, str(path.parent)) from None
    if (found, size) != (blob.sha256, blob.size):
        raise DamagedError(
            f"The artefact {blob.md5} is damaged: its SHA-256 is not the recorded one.",
            "Restore it from a backup or from the bucket; nothing of it was used.",
            details={"path": str(path), "expected": blob.sha256, "found": found},
        )


def _sha256(stream: BufferedReader) -> str:
    """Return the digest, asking for the interpreter's lock but seldom: others are at work."""
    found, block = hashlib.sha256(), memoryview(bytearray(_LARGE_BLOCK))
    while size := stream.readinto(block):
        found.update(block[:size])
    return found.hexdigest()


def is_whole(path: Path, blob: Blob) -> bool:
    """Return whether ``path`` holds exactly what ``blob`` names."""
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


def key_of(blob: Blob, *, is_folder: bool = False) -> str:
    """Return where DVC 3 keeps the object (the manifest of a folder) below a store's root."""
    return f"files/md5/{blob.md5[:2]}/{blob.md5[2:]}{'.dir' if is_folder else ''}"


def _file(blob: Blob) -> Stored:
    return Stored(key_of(blob), blob)


def publish(
    source: Path,
    target: Path,
    scratch_folder: Path,
    blob: Blob,
    tick: Tick | None = None,
    *,
    mode: int = 0o400,
) -> None:
    """Copy ``source`` so that ``target`` is whole or absent, whenever the process dies.

    Raises
    ------
    InputError
        When the bytes of ``source`` are not those of ``blob``.
    """
    scratch_folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=scratch_folder)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out, source.open("rb") as stream:
            if digest(stream, out, tick) != blob:
                raise InputError(f"{source} changed while it was read.", "Call again.")
            out.flush()
            os.fsync(out.fileno())
        scratch.chmod(mode)
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
    filesystem, path_there = opened(source)
    with explained(source):
        try:
            filesystem.get_file(path_there, str(target))
        except FileNotFoundError:
            raise NotFoundError(f"There is nothing at {source}.", "Check the URL.") from None
    return target
