"""Holds: what a verb stores is out of the collector's reach until the verb has recorded it.

Objects are stored first and named by an event afterwards; between the two nothing refers to
them. Whoever stores takes a shared flock, kept until the verb ends; whoever collects takes it
alone. The kernel releases it when a process dies, so no clock and no age decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from local_stack.errors import WorkspaceBusyError

_STORING_SECONDS = 120.0
"""How long a writer waits for a collector, which holds the lock for one batch only."""

_held: ContextVar[dict[Path, int] | None] = ContextVar("paceml_held", default=None)


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Keep every hold that is taken in the body until its end; a scope in a scope has its own."""
    held: dict[Path, int] = {}
    token = _held.set(held)
    try:
        yield
    finally:
        _held.reset(token)
        for descriptor in held.values():
            _release(descriptor)


class Hold:
    """The lock of one store, a file that holds nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Keep collectors out: until the end of the :func:`scope`, or of the body without one.

        Raises
        ------
        WorkspaceBusyError
            When a collector did not let go.
        """
        held = _held.get()
        if held is not None and self._path in held:
            yield
            return
        descriptor = self._locked(fcntl.LOCK_SH, _STORING_SECONDS, "data.gc is at work")
        if held is not None:
            held[self._path] = descriptor
            yield
            return
        try:
            yield
        finally:
            _release(descriptor)

    @contextlib.contextmanager
    def alone(self, wait_seconds: float) -> Iterator[None]:
        """Keep everybody out for the body.

        Raises
        ------
        WorkspaceBusyError
            When somebody stores for longer than ``wait_seconds``.
        """
        work = "an import, a training, a push or a pull is at work"
        descriptor = self._locked(fcntl.LOCK_EX, wait_seconds, work)
        try:
            yield
        finally:
            _release(descriptor)

    def _locked(self, kind: int, wait_seconds: float, work: str) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline, pause = time.monotonic() + wait_seconds, 0.0005
        try:
            while True:
                try:
                    fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise WorkspaceBusyError(
                            f"The artefacts have been in use for {wait_seconds:g} s: {work}.",
                            "Look at it with 'paceml-tui jobs list', then call again.",
                        ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.02)
        except BaseException:
            os.close(descriptor)
            raise


def _release(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may have inherited the file
    os.close(descriptor)
