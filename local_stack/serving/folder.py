"""The folder of an endpoint: what is served, who serves it, and where it listens.

``serving/<slug>-<id>/`` holds ``endpoint.json`` (what to serve), ``lock`` (held by the server
while it lives; says its process id), ``state.json`` (written once it listens), ``log.txt``,
``log/`` (the prediction log), ``background.json`` (training rows for explanations) and
``model-<id>/`` (the checked-out model files).
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Self

from local_stack.errors import ConflictError, DamagedError, NotFoundError
from local_stack.results import Result, now, plain
from local_stack.stores.prediction_segments import folder_of

__all__ = [
    "EndpointConfig",
    "EndpointState",
    "configs",
    "folder_of",
    "hold",
    "holder",
    "is_loopback",
    "only_one",
    "read_background",
    "read_config",
    "write_background",
    "write_json",
]

_BACKGROUND = "background.json"


@dataclass(frozen=True, slots=True)
class EndpointConfig(Result):
    """What an endpoint serves and within which limits; the content of ``endpoint.json``.

    ``files`` maps each model file (relative to ``model_folder``) to its SHA-256; ``background`` is
    that of ``background.json``, the training rows that explanations need, '' where there is none.
    """

    endpoint: str
    model: str
    version: int
    stage: str
    run_id: str
    host: str
    port: int
    model_folder: str
    files: dict[str, str]
    max_rows: int
    max_body_bytes: int
    request_seconds: float
    actor: str
    max_explained_rows: int = 100
    background: str = ""

    @property
    def target(self) -> str:
        """Return ``NAME/VERSION``."""
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class EndpointState(Result):
    """Where a running server listens; the content of ``state.json``."""

    pid: int
    host: str
    port: int
    url: str
    started_at: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the state that the server of ``folder`` wrote, or None."""
        try:
            return cls(**json.loads((folder / "state.json").read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def read_config(folder: Path) -> EndpointConfig:
    """Return the checked content of ``endpoint.json``.

    Raises
    ------
    NotFoundError
        When there is none.
    DamagedError
        When it is not what :func:`write_json` wrote.
    """
    path = folder / "endpoint.json"
    try:
        document = json.loads(path.read_bytes())
        names = [
            f.name for f in fields(EndpointConfig) if f.default is MISSING or f.name in document
        ]
        return EndpointConfig(**{name: document[name] for name in names})
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} is not the folder of an endpoint.", "Start one: paceml-tui serving start"
        ) from None
    except (ValueError, TypeError, KeyError):
        raise DamagedError(
            f"{path} is damaged.", "Start the endpoint again; the file is written anew."
        ) from None


def read_background(folder: Path, config: EndpointConfig) -> dict[str, list[Any]] | None:
    """Return the training rows that explanations need, by column; None where there are none.

    Raises
    ------
    DamagedError
        They are not those that were written when the endpoint was started.
    """
    if not config.background:
        return None
    try:
        data = (folder / _BACKGROUND).read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() != config.background:
        raise DamagedError(
            f"The {_BACKGROUND} of the endpoint is damaged.", "Start the endpoint again."
        )
    return dict(json.loads(data))


def write_background(folder: Path, columns: Mapping[str, Any]) -> str:
    """Write the training rows that explanations need; return the SHA-256 of the file."""
    write_json(folder / _BACKGROUND, columns)
    return hashlib.sha256((folder / _BACKGROUND).read_bytes()).hexdigest()


def configs(root: Path) -> list[tuple[Path, EndpointConfig]]:
    """Return each endpoint folder of the workspace at ``root`` that can be read, by name."""
    found = []
    for path in (root / "serving").glob("*/endpoint.json"):
        try:
            found.append((path.parent, read_config(path.parent)))
        except (NotFoundError, DamagedError):  # one torn folder never hides the others
            continue
    return sorted(found, key=lambda pair: pair[1].endpoint)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def write_json(path: Path, value: Result | Mapping[str, Any]) -> None:
    """Write ``value`` so that readers see the old file or the whole new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as stream:
        json.dump(plain(value), stream)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)


def hold(folder: Path, *, is_server: bool, wait_seconds: float = 2.0) -> int:
    """Take the lock of ``folder`` for this process and return its descriptor.

    Only a server leaves its process id there, to be found by :func:`holder`. It waits a little,
    because whoever asks if the endpoint lives holds the lock for an instant.

    Raises
    ------
    ConflictError
        When another process serves (or mends) the endpoint.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ConflictError(
                    "Another process serves this endpoint or mends its prediction log.",
                    "Look at it: paceml-tui serving list",
                ) from None
            time.sleep(0.02)
    holder = json.dumps({"pid": os.getpid() if is_server else None, "since": now()})
    os.pwrite(descriptor, holder.encode().ljust(128), 0)
    return descriptor


def holder(folder: Path) -> int | None:
    """Return the process id of the living server of ``folder``, or None when there is none."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(folder)
    finally:
        os.close(descriptor)
    return None


@contextmanager
def only_one(folder: Path, endpoint: str) -> Iterator[None]:
    """Let one process at a time start or stop the endpoint of ``folder``."""
    descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"Endpoint '{endpoint}' is being started or stopped by another process.",
                "Look again in a moment: paceml-tui serving list",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _pid_in(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / "lock").read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
