"""Jobs: long work with a folder of its own, so that it can be seen, cancelled and outlived.

``jobs/<id>/`` holds ``job.json`` (what was asked), ``lock`` (held while the work lives),
``events.jsonl`` (progress), ``log.txt`` (what libraries print), ``cancel`` (the wish to stop)
and ``result.json`` (how it ended). A job whose lock is free and that has no result was killed.

A job runs inline (:func:`tracked`: batch, command line) or in a detached process of its own
(:func:`spawn`: the app). Detached jobs are forked from a server process that has imported the
heavy libraries once, so that the second one starts at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from local_stack.errors import Cancelled, NotFoundError, StackError, UnavailableError
from local_stack.progress import Progress, Step
from local_stack.results import Result, now, plain
from local_stack.stores.journal import Draft
from local_stack.stores.places import redacted
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

Status = Literal["queued", "running", "finished", "failed", "cancelled", "killed"]
_TICK_SECONDS = 0.2
_WARM = (
    "numpy",
    "polars",
    "lightgbm",
    "sklearn.pipeline",
    "sklearn.linear_model",
    "sklearn.metrics",
    "skops.io",
    "mlflow.tracking",
)


@dataclass(frozen=True, slots=True)
class Job(Result):
    """A job as its folder tells it. Times are UTC ISO 8601."""

    job: str
    command: str
    arguments: dict[str, Any]
    actor: str
    status: Status
    started_at: str
    ended_at: str | None
    label: str
    done: int
    total: int
    pid: int | None
    error: str | None

    @property
    def is_alive(self) -> bool:
        """Return whether the work has still to end."""
        return self.status in ("queued", "running")


_adopted: ContextVar[str] = ContextVar("paceml_job", default="")
_current: ContextVar[str] = ContextVar("paceml_current_job", default="")


def current() -> str:
    """Return the id of the job that this context works for, or ''."""
    return _current.get()


@contextlib.contextmanager
def tracked(
    workspace: Workspace, command: str, arguments: Mapping[str, Any], progress: Progress
) -> Iterator[tuple[Progress, Path]]:
    """Run the body as a job; yield its progress callable and its folder.

    A body inside another job is a part of that job. The way the body ends is written to the
    folder and to the journal.
    """
    if _current.get() or workspace.is_readonly:
        yield progress, workspace.root / "jobs" / (_current.get() or "none")
        return
    shown = _without_secrets(plain(arguments))
    job = _adopted.get() or _create(workspace, command, shown)
    folder = _folder(workspace, job)
    if _adopted.get():  # it was asked for with secrets, which this process needed until now
        _write(folder / "job.json", {**(_load(folder / "job.json") or {}), "arguments": shown})
    token = _current.set(job)
    lock = _hold(folder)
    started = {"pid": os.getpid(), "started_at": now(), "is_detached": bool(_adopted.get())}
    _write(folder / "started.json", started)
    try:
        yield _Ticker(folder, progress), folder
    except BaseException as error:
        _end(workspace, job, _outcome(error), _sentence(error))
        raise
    else:
        _end(workspace, job, "finished", None)
    finally:
        os.close(lock)
        _current.reset(token)


def spawn(
    workspace: Workspace, command: str, arguments: Mapping[str, Any], *, is_warm: bool = True
) -> str:
    """Start ``command`` in a detached process and return the job's id.

    The process belongs to no terminal: it goes on when the app ends. A warm one is forked from
    a server that has the libraries loaded; this then blocks until the process exists (seconds
    the first time), so call it in a thread. Who ends right away wants it cold: the fork server
    keeps its creator's output open while the job runs.
    """
    job = _create(workspace, command, arguments)
    try:
        (_start_warm if is_warm else _start_cold)(workspace, job)
    except Exception as error:
        _end(workspace, job, "failed", _sentence(error))
        raise UnavailableError(
            f"No process could be started for {command}: {error}.",
            "Look at the memory and process limits of this machine, then call again.",
        ) from error
    return job


def listed(workspace: Workspace, *, limit: int = 200) -> list[Job]:
    """Return the newest jobs of the workspace, newest first."""
    folders = sorted((workspace.root / "jobs").glob("[0-9]*"), reverse=True)
    return [_read(folder) for folder in folders[: max(0, limit)] if (folder / "job.json").exists()]


def show(workspace: Workspace, job: str) -> Job:
    """Return one job by its id or an unambiguous beginning of it."""
    return _read(_folder(workspace, job))


def log(workspace: Workspace, job: str, *, n_bytes: int = 64_000) -> str:
    """Return the end of what the job printed."""
    path = _folder(workspace, job) / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - n_bytes))
        return stream.read().decode("utf-8", "replace")


def steps(
    workspace: Workspace, job: str, start: int = 0, *, n_bytes: int = 4_000_000
) -> tuple[list[dict[str, Any]], int]:
    """Return the steps of a job that stand from byte ``start`` on, and where to go on reading.

    Each has ``at``, ``label``, ``done``, ``total`` and perhaps ``figures``. Of more than
    ``n_bytes`` only the last are read.
    """
    path = _folder(workspace, job) / "events.jsonl"
    if not path.exists():
        return [], start
    with path.open("rb") as stream:
        first = max(start, path.stat().st_size - n_bytes)
        stream.seek(first)
        text = stream.read()
    whole = text[: text.rfind(b"\n") + 1]  # what stands after it is being written
    found = []
    for line in whole.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
    return found, first + len(whole)


def result(workspace: Workspace, job: str) -> dict[str, Any] | None:
    """Return the JSON result of a finished job, or None."""
    return _load(_folder(workspace, job) / "output.json")


def save_result(folder: Path, value: Any) -> None:
    """Keep what the job's command returned, for whoever asks later."""
    if folder.is_dir():
        _write(folder / "output.json", plain(value))


def cancel(workspace: Workspace, job: str, *, force: bool = False) -> Job:
    """Ask a job to stop at its next step; with ``force`` kill its process.

    A job in a process of its own is also sent SIGTERM, so that it stops within a long step.
    A host that runs a job inline (a notebook) outlives the job: it is never sent that.
    """
    folder = _folder(workspace, job)
    found = _read(folder)
    if not found.is_alive:
        return found
    (folder / "cancel").touch(mode=0o600)
    is_detached = bool((_load(folder / "started.json") or {}).get("is_detached"))
    if found.pid is not None and (force or is_detached):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(found.pid, signal.SIGKILL if force else signal.SIGTERM)
    return _read(folder)


def abandoned(workspace: Workspace) -> list[Job]:
    """Return the jobs that were killed and whose end the journal does not know yet."""
    known = {row["job"] for row in workspace.query("SELECT job FROM jobs")}
    return [
        j for j in listed(workspace, limit=10_000) if j.status == "killed" and j.job not in known
    ]


def bury(workspace: Workspace, job: Job) -> None:
    """Record that a job was killed."""
    _end(workspace, job.job, "killed", "The process ended without a result.")


def is_alive(workspace: Workspace, job: str) -> bool:
    """Return whether the job with this exact id is at work."""
    folder = workspace.root / "jobs" / job
    return bool(job) and (folder / "job.json").exists() and _read(folder).is_alive


class _Ticker:
    """A progress callable that writes to the job's folder, and stops when somebody asks.

    Steps that come fast are left out, but never the first and the last under a label.
    """

    def __init__(self, folder: Path, host: Progress) -> None:
        self._folder = folder
        self._host = host
        self._next = 0.0
        self._label = ""
        self._left_out: tuple[str, Step] | None = None

    def __call__(self, step: Step) -> None:
        moment, taken = time.monotonic(), (now(), step)
        is_new = step.label != self._label
        if moment < self._next and not is_new:
            self._left_out = taken
        else:
            if (self._folder / "cancel").exists():
                raise Cancelled("The job was cancelled.")
            self._write([self._left_out, taken] if is_new and self._left_out else [taken])
            self._next, self._label, self._left_out = moment + _TICK_SECONDS, step.label, None
        self._host(step)

    def _write(self, told: Sequence[tuple[str, Step]]) -> None:
        with (self._folder / "events.jsonl").open("a", encoding="utf-8") as stream:
            for at, step in told:
                line = {"at": at, "label": step.label, "done": step.done, "total": step.total}
                if step.figures:
                    line["figures"] = plain(dict(step.figures))
                stream.write(json.dumps(line) + "\n")


def _create(workspace: Workspace, command: str, arguments: Mapping[str, Any]) -> str:
    stamp = now().replace("-", "").replace(":", "").replace(".", "")[:18]
    job = f"{stamp}-{secrets.token_hex(3)}"
    folder = workspace.root / "jobs" / job
    asked = {
        "job": job,
        "command": command,
        "arguments": plain(arguments),
        "actor": workspace.actor,
        "created_at": now(),
        "creator": os.getpid(),
    }
    try:
        folder.mkdir(mode=0o700, parents=True)
        _write(folder / "job.json", asked)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if is_full else error.strerror
        hint = "Make it writable; what only reads can be called with --readonly."
        raise UnavailableError(
            f"The job cannot be recorded in {folder.parent}: {why}.",
            "Make room on that disk." if is_full else hint,
        ) from error
    return job


def _without_secrets(value: Any) -> Any:
    """Return arguments without the passwords of URLs; the work has them in memory by now."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    return value


_COLD = "import sys; from local_stack.jobs import begin; begin(*sys.argv[1:])"


def warm_processes() -> ForkServerContext:
    """Return what starts processes that have the heavy libraries loaded."""
    import multiprocessing  # few commands start a warm job

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_WARM))
    return context


def _start_warm(workspace: Workspace, job: str) -> None:
    context = warm_processes()
    process = context.Process(target=_enter, args=(str(workspace.root), job, workspace.actor))
    process.start()
    process.join()  # the child detaches the real job and ends at once
    if process.exitcode:
        raise OSError(f"exit code {process.exitcode}")


def _start_cold(workspace: Workspace, job: str) -> None:
    folder = _folder(workspace, job)
    words = [sys.executable, "-c", _COLD, str(workspace.root), job, workspace.actor]
    with (folder / "log.txt").open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    _write(folder / "job.json", {**(_load(folder / "job.json") or {}), "creator": process.pid})


def _enter(root: str, job: str, actor: str) -> None:
    """Detach from the parent and run the job; the fork server's child calls this."""
    folder = Path(root) / "jobs" / job
    child = os.fork()
    if child > 0:  # the job waits for its own process now, not for the one that asked for it
        _write(folder / "job.json", {**(_load(folder / "job.json") or {}), "creator": child})
        os._exit(0)
    os.setsid()
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - lives as long as the process
    os.dup2(sys.stdin.fileno(), 0)
    out = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    begin(root, job, actor)


def begin(root: str, job: str, actor: str) -> NoReturn:
    """Run the job that was asked for in this process, which has detached, and end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    _adopted.set(job)
    code = import_module("local_stack.catalog").run_job(Path(root), job, actor)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop(signum: int, frame: object) -> None:
    raise Cancelled("The job was cancelled.")


def _hold(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_held(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _end(workspace: Workspace, job: str, status: Status, error: str | None) -> None:
    folder = _folder(workspace, job)
    asked = _load(folder / "job.json") or {}
    started = _load(folder / "started.json") or {}
    row = {
        "job": job,
        "command": asked.get("command", ""),
        "status": status,
        "actor": asked.get("actor", ""),
        "started_at": started.get("started_at") or asked.get("created_at", ""),
        "ended_at": now(),
        "error": error,
    }
    _write(folder / "result.json", row)
    body = {"status": status, "command": row["command"], "error": error}
    # The folder already tells how the job ended; a journal that cannot be written now
    # must not turn a finished job into a failed one.
    with contextlib.suppress(StackError):
        workspace.append(lambda _: Draft("job.ended", f"job:{job}", body, [("jobs", row)]))


def _outcome(error: BaseException) -> Status:
    return "cancelled" if isinstance(error, Cancelled | KeyboardInterrupt) else "failed"


def _sentence(error: BaseException) -> str:
    """Return what went wrong and what to do."""
    if isinstance(error, StackError):
        return f"{error.message} {error.hint}".strip()
    return f"{type(error).__name__}: {error}"


def _folder(workspace: Workspace, job: str) -> Path:
    parent = workspace.root / "jobs"
    found = [f for f in parent.glob("[0-9]*") if f.name.startswith(job)] if job else []
    exact = [f for f in found if f.name == job]
    if len(exact or found) != 1:
        raise NotFoundError(f"There is no job '{job}'.", "List them with: paceml-tui jobs list")
    return (exact or found)[0]


def _read(folder: Path) -> Job:
    asked = _load(folder / "job.json") or {}
    ended = _load(folder / "result.json")
    started = _load(folder / "started.json") or {}
    step = _last_line(folder / "events.jsonl")
    return Job(
        job=folder.name,
        command=str(asked.get("command", "")),
        arguments=dict(asked.get("arguments", {})),
        actor=str(asked.get("actor", "")),
        status=ended["status"] if ended else _living(folder, asked, bool(started)),
        started_at=str(started.get("started_at") or asked.get("created_at", "")),
        ended_at=ended["ended_at"] if ended else None,
        label=str(step.get("label", "")),
        done=int(step.get("done", 0)),
        total=int(step.get("total", 0)),
        pid=started.get("pid"),
        error=ended["error"] if ended else None,
    )


def _living(folder: Path, asked: Mapping[str, Any], has_started: bool) -> Status:
    if _is_held(folder):
        return "running"
    if has_started:  # the result may have been written between the two looks
        ended = _load(folder / "result.json")
        return ended["status"] if ended else "killed"
    age = time.time() - folder.stat().st_mtime
    return "queued" if age < 60 and _exists(int(asked.get("creator", 0))) else "killed"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _last_line(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 4096))
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return {}
    for line in reversed(lines[:-1]):  # what stands after the last newline is being written
        with contextlib.suppress(ValueError):
            return dict(json.loads(line))
    return {}


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, value: Any) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(value))  # several times as fast as json.dump
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
