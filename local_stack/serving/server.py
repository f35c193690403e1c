"""The process of one endpoint: ``python -m local_stack.serving.server FOLDER``.

It loads the one model version that ``FOLDER/endpoint.json`` names, after checking the hash of
every file, and serves it until SIGTERM; then it finishes what it has begun and seals its log.
It never opens DuckDB, and only a background thread ever takes the journal's lock.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from local_stack import environment, settings
from local_stack.errors import InputError, StackError
from local_stack.results import now
from local_stack.serving import prediction_log
from local_stack.serving.app import Endpoint
from local_stack.serving.folder import (
    EndpointConfig,
    EndpointState,
    hold,
    read_background,
    read_config,
    write_json,
)
from local_stack.serving.limits import HEADER_BYTES, BoundedProtocol
from local_stack.stores.journal import Journal

if TYPE_CHECKING:
    from local_stack.stores.model import Model

_BACKLOG = 128
_DRAIN_SECONDS = 10
_BOOSTER = "model.lgb"
_ADAPTERS = ("sklearn", "pandas", "pyarrow", "dask", "matplotlib")
"""What LightGBM imports, where it finds it, only to take its tables; a booster needs none."""


def main(arguments: list[str]) -> int:
    """Serve the endpoint folder that ``arguments`` names; return the exit code."""
    folder = Path(arguments[0]).absolute()
    environment.prepare(folder.parents[1] / "cache" / "tmp")
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        serve(folder)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def serve(folder: Path) -> None:
    """Serve the endpoint in ``folder`` until a signal asks to stop.

    Raises
    ------
    ConflictError
        When another process serves this endpoint.
    InputError
        When the port cannot be used.
    DamagedError
        When the model's files are not those that were registered.
    """
    config = read_config(folder)
    lock = hold(folder, is_server=True)
    (folder / "state.json").unlink(missing_ok=True)
    try:
        model = _load(folder, config)
        listener = _listen(config)
        prediction_log.seal_leftovers(folder / "log")
        with contextlib.closing(_open_log(folder, config)) as log:
            background = functools.partial(read_background, folder, config)
            server = _Server(_uvicorn(Endpoint(model, config, log, background)))
            server.on_listening = functools.partial(_tell_where, folder, config, listener)
            server.run(sockets=[listener])
    finally:
        (folder / "state.json").unlink(missing_ok=True)
        os.close(lock)


def _load(folder: Path, config: EndpointConfig) -> Model:
    """Return the checked model, at a third of the time and memory when it is LightGBM's."""
    from local_stack.stores import model_files

    hidden = _ADAPTERS if _BOOSTER in config.files else ()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        return model_files.load(folder / config.model_folder, config.files)
    finally:
        for name in hidden:
            del sys.modules[name]


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and does not let SIGTERM end it before its end."""

    on_listening = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def _uvicorn(endpoint: Endpoint) -> uvicorn.Config:
    return uvicorn.Config(
        endpoint.application(),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )


def _open_log(folder: Path, config: EndpointConfig) -> prediction_log.PredictionLog:
    root = folder.parents[1]
    chosen = settings.load(root / settings.FILE).journal
    journal = Journal(
        root / "journal", wait_seconds=chosen.wait_seconds, segment_bytes=chosen.segment_bytes
    )
    tell = functools.partial(prediction_log.record, journal, config.actor, config.endpoint)
    return prediction_log.PredictionLog(folder / "log", config.model, config.version, tell)


def _listen(config: EndpointConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(
            f"Port {config.port} on {config.host} cannot be used: "
            f"{getattr(error, 'strerror', None) or error}.",
            "Name another one with --port, or 0 for a free one.",
        ) from None
    return listener


def _tell_where(folder: Path, config: EndpointConfig, listener: socket.socket) -> None:
    port = int(listener.getsockname()[1])
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = f"http://{host}:{port}"
    write_json(folder / "state.json", EndpointState(os.getpid(), config.host, port, url, now()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
