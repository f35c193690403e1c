"""The server process of an endpoint: start it, end it, read what it wrote.

An endpoint lives when its server holds the lock of its folder; process ids are only used to
send signals to the holder, so a number that the system gave to somebody else does no harm.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from local_stack.errors import DamagedError, InputError, StackError, UnavailableError
from local_stack.progress import Progress, Step
from local_stack.serving.client import is_answering
from local_stack.serving.folder import EndpointState, holder

_START_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_POLL_SECONDS = 0.03


def spawn(folder: Path, endpoint: str, progress: Progress) -> EndpointState:
    """Start the server in a session of its own and return where it answers.

    Raises
    ------
    InputError, DamagedError, UnavailableError
        With the last lines of its log, when it ended or did not answer in time.
    """
    (folder / "state.json").unlink(missing_ok=True)
    out = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a path of our own
            [sys.executable, "-P", "-m", "local_stack.serving.server", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(out)
    try:
        state = _until_ready(folder, endpoint, process, progress)
    except BaseException:
        process.kill()
        process.wait()
        raise
    # The server outlives this process; while this one lives, it must bury its child.
    threading.Thread(target=process.wait, name=f"reaper-{process.pid}", daemon=True).start()
    return state


def wait_for_end(folder: Path, endpoint: str, progress: Progress) -> None:
    """Return when the server has ended; ``progress`` may raise to stop waiting."""
    while holder(folder) is not None:
        progress(Step(f"Serving {endpoint}; interrupt to stop"))
        time.sleep(_POLL_SECONDS)


def _until_ready(
    folder: Path, endpoint: str, process: subprocess.Popen[bytes], progress: Progress
) -> EndpointState:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        progress(Step(f"Waiting for endpoint {endpoint}"))
        state = EndpointState.read(folder)
        if state is not None and state.pid == process.pid and is_answering(state.url):
            return state
        if process.poll() is not None:
            raise _not_started(folder, endpoint, process.returncode)
        time.sleep(_POLL_SECONDS)
    raise UnavailableError(
        f"Endpoint '{endpoint}' did not answer within {_START_SECONDS:g} s.",
        f"Read its log: paceml-tui serving log {endpoint}",
        details={"log": log_tail(folder, 20)},
    )


def _not_started(folder: Path, endpoint: str, code: int) -> StackError:
    tail = log_tail(folder, 20)
    message = f"Endpoint '{endpoint}' did not start: {tail[-1] if tail else f'exit code {code}'}"
    hint = f"Read its log: paceml-tui serving log {endpoint}"
    if code == DamagedError.exit_code:
        return DamagedError(message, hint, details={"log": tail})
    kind = InputError if code == InputError.exit_code else UnavailableError
    return kind(message, hint, details={"log": tail})


def end(folder: Path, endpoint: str, progress: Progress) -> bool:
    """Ask the living server to end and wait for it; return whether it had to be killed."""
    server = _living(folder)
    if server is None:
        return False
    try:
        signal.pidfd_send_signal(server, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while not _has_ended(server):
            progress(Step(f"Stopping endpoint {endpoint}"))
            if time.monotonic() > deadline:
                signal.pidfd_send_signal(server, signal.SIGKILL)
                return _has_ended(server, seconds=_GRACE_SECONDS)
    except ProcessLookupError:  # it ended by itself
        pass
    finally:
        os.close(server)
    return False


def _living(folder: Path) -> int | None:
    """Return a descriptor of the server process that holds the folder's lock, or None."""
    pid = holder(folder)
    if pid is None:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if holder(folder) != pid:  # it ended between the two looks, and the number may be reused
        os.close(descriptor)
        return None
    return descriptor


def _has_ended(process: int, *, seconds: float = _POLL_SECONDS) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def log_tail(folder: Path, n_lines: int, *, n_bytes: int = 256_000) -> list[str]:
    """Return the last lines that the server wrote, out of its last ``n_bytes``."""
    path = folder / "log.txt"
    if n_lines <= 0 or not path.exists():
        return []
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - n_bytes))
        return stream.read().decode("utf-8", "replace").splitlines()[-n_lines:]
