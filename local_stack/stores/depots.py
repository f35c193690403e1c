"""Depots: a folder or a bucket that several workspaces share, as named objects.

An object appears whole or not at all: by rename on a disk, by one put on an object store, by a
move elsewhere. Keys are ours alone; no text of a user stands in them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_stack.errors import InputError, NotFoundError, UnavailableError
from local_stack.stores.artifacts import (
    Blob,
    Stored,
    Tick,
    digest,
    explained,
    opened,
    publish,
    ticking,
    verify,
)
from local_stack.stores.places import redacted

_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "memory"})
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Found:
    """An object: its size in bytes and when it was written, in seconds by the depot's clock.

    ``md5`` is what the depot says of its bytes, '' when it says nothing.
    """

    key: str
    size: int
    modified: float
    md5: str = ""

    def is_whole(self, blob: Blob) -> bool:
        """Return whether size and, as far as it is known, checksum are those of ``blob``."""
        return self.size == blob.size and self.md5 in ("", blob.md5)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload in parts that was begun at ``started`` and has not ended."""

    key: str
    upload: str
    started: float


class Depot:
    """What a folder and a bucket have in common. ``identity`` tells whether two are the same."""

    url: str
    identity: str
    is_local: bool

    def look(self, key: str) -> Found | None:
        """Return what is known of the object, or None when there is none."""
        raise NotImplementedError

    def names(self, prefix: str) -> list[Found]:
        """Return every object whose key lies below ``prefix`` (a folder), by key."""
        raise NotImplementedError

    def read(self, key: str, limit: int) -> bytes | None:
        """Return the first ``limit`` bytes of an object, or None when there is none."""
        raise NotImplementedError

    def write(self, key: str, data: bytes) -> None:
        """Make ``data`` the object: readers see the old bytes or all of the new ones."""
        raise NotImplementedError

    def send(self, source: Path, item: Stored, tick: Tick) -> None:
        """Store the bytes of ``source``, which are those of ``item``."""
        raise NotImplementedError

    def copy(self, key: str, target: Path, tick: Tick) -> None:
        """Write the bytes of an object to ``target`` as they are; nobody has checked them.

        Raises
        ------
        NotFoundError
            When there is no such object.
        """
        raise NotImplementedError

    def receive(self, item: Stored, target: Path, tick: Tick) -> None:
        """Write the object to ``target``, and raise unless it is exactly ``item``.

        Raises
        ------
        NotFoundError
            When there is no such object.
        DamagedError
            When its bytes are others.
        """
        self.copy(item.key, target, tick)
        verify(target, item.blob)

    def remove(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        raise NotImplementedError

    def moment(self) -> float:
        """Return the time of the depot's own clock, which stamps what is written."""
        key = f"paceml/clock-{secrets.token_hex(8)}"
        self.write(key, b"tick")
        found = self.look(key)
        self.remove(key)
        return found.modified if found else 0.0

    def unfinished(self, prefix: str) -> list[Unfinished]:
        """Return the uploads in parts below ``prefix`` that killed clients left."""
        return []

    def abandon(self, upload: Unfinished) -> None:
        """Give an unfinished upload up, and free its parts."""


def depot(url: str, options: Mapping[str, Any] | None = None) -> Depot:
    """Return the depot at ``url``: a path, ``file://``, or any URL that fsspec writes to."""
    if "://" not in url:
        return _Folder(Path(url).expanduser())
    if url.startswith("file://"):
        return _Folder(Path(opened(url)[1] or "/"), url)
    return _Bucket(url, options)


class _Folder(Depot):
    """A folder on a disk. What is made in it gets the permissions of the folder itself."""

    is_local = True

    def __init__(self, root: Path, url: str = "") -> None:
        self.root = root.resolve()
        self.url = url or str(self.root)
        self.identity = f"file:{self.root}"

    def look(self, key: str) -> Found | None:
        try:
            facts = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Found(key, facts.st_size, facts.st_mtime)

    def names(self, prefix: str) -> list[Found]:
        found = []
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                key = Path(folder, name).relative_to(self.root).as_posix()
                seen = self.look(key)
                if seen is not None:  # somebody may have removed it meanwhile
                    found.append(seen)
        return sorted(found, key=lambda item: item.key)

    def read(self, key: str, limit: int) -> bytes | None:
        try:
            with (self.root / key).open("rb") as stream:
                return stream.read(limit)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(prefix="paceml-") as stream:
            stream.write(data)
            stream.flush()
            stream.seek(0)
            blob = digest(stream)
            self._publish(Path(stream.name), key, blob, None)

    def send(self, source: Path, item: Stored, tick: Tick) -> None:
        self._publish(source, item.key, item.blob, tick)

    def copy(self, key: str, target: Path, tick: Tick) -> None:
        try:
            with (self.root / key).open("rb") as stream, target.open("wb") as out:
                digest(stream, out, tick)
        except (FileNotFoundError, NotADirectoryError):
            raise _absent(key, self.url) from None

    def remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (self.root / key).unlink()

    def _publish(self, source: Path, key: str, blob: Blob, tick: Tick | None) -> None:
        target, scratch = self.root / key, self.root / "tmp"
        if not self.root.exists():
            self.root.mkdir(parents=True, mode=0o700)
        mode = self.root.stat().st_mode
        for folder in (scratch, *reversed(target.parents)):
            if folder.is_relative_to(self.root) and not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode & 0o7777)
        publish(source, target, scratch, blob, tick, mode=0o400 | mode & 0o444)


class _Bucket(Depot):
    """A place that fsspec reaches. Only S3 tells checksums and unfinished uploads."""

    is_local = False

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url = redacted(url)
        self._files, self._root = opened(url, options)
        protocols = self._files.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        self._is_s3 = "s3" in names
        self._is_atomic = bool(names & _ATOMIC)
        endpoint = getattr(self._files, "endpoint_url", None) or os.environ.get("AWS_ENDPOINT_URL")
        self.identity = f"{min(names)}:{endpoint or ''}:{self._root}"

    def look(self, key: str) -> Found | None:
        with explained(self.url):
            self._files.invalidate_cache()
            try:
                facts = self._files.info(self._path(key))
            except FileNotFoundError:
                return None
        return self._found(key, facts) if facts.get("type") == "file" else None

    def names(self, prefix: str) -> list[Found]:
        with explained(self.url):
            self._files.invalidate_cache()
            try:
                listed = self._files.find(self._path(prefix), detail=True)
            except FileNotFoundError:
                return []
            finally:
                self._files.invalidate_cache()  # others ask the same client for what is new
        start = len(self._path(""))
        found = [self._found(path[start:], facts) for path, facts in listed.items()]
        return sorted(found, key=lambda item: item.key)

    def read(self, key: str, limit: int) -> bytes | None:
        with explained(self.url):
            try:
                return bytes(self._files.cat_file(self._path(key), start=0, end=limit))
            except FileNotFoundError:
                return None
            except (OSError, ValueError):  # an empty object has no range
                found = self.look(key)
                if found is not None and found.size == 0:
                    return b""
                raise

    def write(self, key: str, data: bytes) -> None:
        with self._writing(key) as target:
            self._files.pipe_file(target, data)

    def send(self, source: Path, item: Stored, tick: Tick) -> None:
        with self._writing(item.key) as target:
            self._files.put_file(str(source), target, callback=ticking(tick))

    def copy(self, key: str, target: Path, tick: Tick) -> None:
        with explained(self.url):
            try:
                self._files.get_file(self._path(key), str(target), callback=ticking(tick))
            except FileNotFoundError:
                raise _absent(key, self.url) from None

    def remove(self, key: str) -> None:
        with explained(self.url), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    def unfinished(self, prefix: str) -> list[Unfinished]:
        if not self._is_s3:
            return []
        bucket, _, root = self._root.partition("/")
        wanted = f"{root}/{prefix}" if root else prefix
        marks: dict[str, str] = {}
        found: list[Unfinished] = []
        with explained(self.url):
            while True:
                try:
                    page = self._files.call_s3("list_multipart_uploads", Bucket=bucket, **marks)
                except PermissionError:  # a key that may not list them cannot give them up either
                    return found
                for item in page.get("Uploads") or ():
                    key = str(item["Key"])
                    if key.startswith(wanted):
                        own = key[len(root) + 1 if root else 0 :]
                        started = _seconds(item.get("Initiated"))
                        found.append(Unfinished(own, str(item["UploadId"]), started))
                if not page.get("IsTruncated"):
                    return found
                marks = {
                    "KeyMarker": page["NextKeyMarker"],
                    "UploadIdMarker": page["NextUploadIdMarker"],
                }

    def abandon(self, upload: Unfinished) -> None:
        bucket, _, key = self._path(upload.key).partition("/")
        with explained(self.url), contextlib.suppress(FileNotFoundError):
            self._files.call_s3(
                "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload.upload
            )

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[str]:
        """Yield where to write; where a half-written file would be seen, that is not its place."""
        target = self._path(key)
        with explained(self.url):
            try:
                if self._is_atomic:
                    yield target
                    return
                scratch = self._path(f"tmp/{secrets.token_hex(8)}")
                self._files.makedirs(scratch.rpartition("/")[0], exist_ok=True)
                yield scratch
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._files.mv(scratch, target)
            except FileNotFoundError as error:
                raise UnavailableError(
                    f"{self.url} does not exist: {error}.", "Make the bucket, then call again."
                ) from error
            except NotImplementedError as error:
                raise InputError(
                    f"{self.url} cannot be written to.", "Name a folder or a bucket."
                ) from error

    def _found(self, key: str, facts: Mapping[str, Any]) -> Found:
        tag = str(facts.get("ETag") or "").strip('"') if self._is_s3 else ""
        stamps = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
        stamp = next((facts[name] for name in stamps if facts.get(name)), None)
        # The tag of an upload in parts is no MD5 and has a dash.
        return Found(
            key, int(facts.get("size") or 0), _seconds(stamp), tag if len(tag) == 32 else ""
        )


def _seconds(stamp: Any) -> float:
    """Return a time stamp in seconds; what is unknown lies in the future, so it is never old."""
    if isinstance(stamp, int | float):
        return float(stamp)
    if isinstance(stamp, str):
        try:
            stamp = datetime.fromisoformat(stamp)
        except ValueError:
            return _NEVER
    if not isinstance(stamp, datetime):
        return _NEVER
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _absent(key: str, where: str) -> NotFoundError:
    return NotFoundError(f"The object {key} is not in {where}.", "Push it again from where it is.")
