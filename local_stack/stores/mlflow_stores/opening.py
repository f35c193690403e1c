"""Which reader a tracking URI asks for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from local_stack.stores.mlflow_stores.file_store import FileStore
from local_stack.stores.mlflow_stores.records import Store, UnreadableError
from local_stack.stores.places import redacted


def folder_of(uri: str) -> Path | None:
    """Return the folder of a file store; None for a database or a server."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(uri)


def opened(uri: str) -> Store:
    """Return the reader of the store at ``uri``.

    Raises
    ------
    UnreadableError
        No reader is known for it, or it is not there.
    """
    root = folder_of(uri)
    if root is not None:
        if not root.is_dir():
            raise UnreadableError(f"{root} is not there")
        return FileStore(root)
    if file := file_of(uri):
        from local_stack.stores.mlflow_stores.sql_store import SqlStore

        return SqlStore(file)
    if urlsplit(uri).scheme in ("http", "https"):
        from local_stack.stores.mlflow_stores.http_store import HttpStore

        return HttpStore(uri)
    raise UnreadableError(
        f"{redacted(uri)} is no folder, SQLite file or http server, and only those are indexed"
    )


def file_of(uri: str) -> Path | None:
    """Return the file of a SQLite store, which SQLAlchemy writes ``sqlite:///FILE``."""
    scheme, _, rest = uri.partition("://")
    if scheme.partition("+")[0] != "sqlite" or not rest.startswith("/"):
        return None
    name = rest[1:].partition("?")[0]
    return Path(name) if name and name != ":memory:" else None
