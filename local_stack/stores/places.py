"""Places where data lies: what an fsspec URL or a glob of one names, and its bytes.

Nothing is kept here: each call asks the place anew. Errors never show the secrets of a URL.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local_stack.errors import InputError, NotFoundError, StackError, UnavailableError
from local_stack.results import Result, iso
from local_stack.stores.artifacts import explained, opened

_BLOCK = 1024 * 1024
_LOOK = "Check the URL."
_TOKEN = re.compile(r"(https?://)([^/?#:\s]+)(?::(?:x-oauth-basic)?)?@(?![^/?#]*@)", re.I)
"""The user of a web address who has no password: that is how a token is given."""
_USER = re.compile(r"(://[^/?#:\s]*):([^/?#]*)@")
_SECRET = re.compile(
    r"([?&;][^=&;#]*(?:sig|token|secret|passw|pwd|key|credential|auth)[^=&;#]*=)[^&;#]*", re.I
)
_ETAGS = ("ETag", "etag", "e_tag")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class Place(Result):
    """A file or a folder behind an fsspec URL. ``size``, ``etag`` and time may be unknown.

    ``url`` is what opens it again; ``uri`` is the same without secrets.
    """

    url: str
    uri: str
    is_folder: bool
    size: int | None
    etag: str | None
    modified_at: str | None


def look(url: str) -> Place | None:
    """Return what lies at ``url`` itself, or None where there is nothing.

    Raises
    ------
    UnavailableError
        When the remote store cannot be reached or needs a package.
    """
    with _asked(url) as (filesystem, path):
        try:
            info = filesystem.info(path)
        except FileNotFoundError:
            return None
        place = _place(filesystem, info)
        # a signed URL keeps its query, which the file system may not give back
        return place if place.is_folder else _named(place, url)


def listing(url: str) -> tuple[Place, ...]:
    """Return what lies in the folder at ``url``, in no order.

    Raises
    ------
    NotFoundError
        When there is nothing at ``url``.
    """
    with _asked(url) as (filesystem, path):
        try:
            found = filesystem.ls(path, detail=True)
        except FileNotFoundError:
            raise NotFoundError(f"There is nothing at {redacted(url)}.", _LOOK) from None
        places = [_place(filesystem, info) for info in found]
        itself = str(filesystem.unstrip_protocol(path)).rstrip("/")
    return tuple(one for one in places if one.url.rstrip("/") != itself or not one.is_folder)


def matches(url: str) -> tuple[Place, ...]:
    """Return the files that the glob ``url`` matches, in no order."""
    with _asked(url) as (filesystem, pattern):
        try:
            found = filesystem.glob(pattern, detail=True)
        except FileNotFoundError:  # the bucket does not exist
            return ()
        return tuple(
            _place(filesystem, info) for info in found.values() if info.get("type") != "directory"
        )


def download(url: str, target: Path, tick: Callable[[int], None] = lambda size: None) -> int:
    """Copy the bytes at ``url`` to ``target`` and return how many they are.

    ``tick`` hears the bytes so far after each block; what it raises stops the copy. ``target``
    is whole or absent.

    Raises
    ------
    NotFoundError
        When there is nothing at ``url``.
    UnavailableError
        When the place cannot be reached, or gives fewer or more bytes than it promised.
    """
    size = 0
    try:
        with target.open("wb") as out, contextlib.closing(_blocks(url)) as blocks:
            for block in blocks:
                out.write(block)
                size += len(block)
                tick(size)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size


def _blocks(url: str) -> Generator[bytes]:
    size = 0
    with _asked(url) as (filesystem, path):
        try:
            with filesystem.open(path, "rb") as stream:
                promised = getattr(stream, "size", None)
                while block := stream.read(_BLOCK):
                    size += len(block)
                    yield block
        except FileNotFoundError:
            raise NotFoundError(f"There is nothing at {redacted(url)}.", _LOOK) from None
    if promised is not None and promised != size:
        raise UnavailableError(f"{redacted(url)} gave {size} of {promised} bytes.", "Call again.")


def redacted(url: str) -> str:
    """Return ``url`` without what opens it: a password or token, and secrets in its query.

    Examples
    --------
    >>> redacted("https://ann:pw@host/a.csv?id=1&X-Amz-Signature=ab")
    'https://ann:***@host/a.csv?id=1&X-Amz-Signature=***'
    >>> redacted("https://token@host/")
    'https://***@host/'
    """
    return _SECRET.sub(r"\1***", _USER.sub(r"\1:***@", _TOKEN.sub(r"\1***@", url)))


def without_secrets(url: str, text: str) -> str:
    """Return ``text`` without the secrets of ``url``, wherever they stand in it."""
    text = text.replace(url, redacted(url))
    secrets = {found[2] for pattern in (_TOKEN, _USER) if (found := pattern.search(url))}
    secrets |= {found[0].partition("=")[2] for found in _SECRET.finditer(url)}
    for secret in sorted(secrets | set(map(unquote, secrets)), key=len, reverse=True):
        text = text.replace(secret, "***") if secret.strip("*") else text
    return text


@contextlib.contextmanager
def _asked(url: str) -> Iterator[tuple[Any, str]]:
    """Open ``url`` without what its file system remembers; errors lose the secrets of ``url``."""
    try:
        with explained(url):
            filesystem, path = _opened(url)
            filesystem.invalidate_cache()
            yield filesystem, path
    except StackError as error:
        if redacted(url) == url:
            raise
        raise type(error)(
            without_secrets(url, error.message), without_secrets(url, error.hint)
        ) from None


def _opened(url: str) -> tuple[Any, str]:
    try:
        return opened(url)
    except InputError:
        raise InputError(
            f"{redacted(url)} is not a URL of data: no file system is known for it.",
            "Use a path, or a URL such as s3://bucket/wine.csv.",
        ) from None


def _named(place: Place, url: str) -> Place:
    return Place(url, redacted(url), False, place.size, place.etag, place.modified_at)


def _place(filesystem: Any, info: Mapping[str, Any]) -> Place:
    etag = next((str(info[key]).strip('"') for key in _ETAGS if info.get(key)), None)
    moment = next((info[key] for key in _TIMES if info.get(key)), None)
    size = info.get("size")
    url = str(filesystem.unstrip_protocol(info["name"]))
    is_folder = info.get("type") == "directory"
    return Place(
        url,
        redacted(url),
        is_folder,
        None if size is None or is_folder else int(size),
        etag,
        _moment(moment),
    )


def _moment(moment: Any) -> str | None:
    if isinstance(moment, int | float):
        moment = datetime.fromtimestamp(moment, UTC)
    return iso(moment) if isinstance(moment, datetime) else None
