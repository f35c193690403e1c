"""What the app does beside drawing: asking the engine in threads, following it, and repeating it.

Nothing here blocks the drawing thread. The workspace is opened by the first thread that needs
it, so that the first frame waits neither for DuckDB nor for the engine's imports.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from textual.message import Message

from local_stack.errors import InputError, StackError, UnexpectedError, nearest

if TYPE_CHECKING:
    from local_stack.command import Command
    from local_stack.jobs import Job
    from local_stack.progress import Progress
    from local_stack.workspace import Workspace

T = TypeVar("T")
Row = dict[str, Any]

JOBS_SHOWN = 100
_SLACK_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a piece of work gave: a value, or the error to show."""

    value: T | None = None
    error: StackError | None = None


def attempt(work: Callable[[], T]) -> Outcome[T]:
    """Do ``work`` and turn whatever it raises into an error that a screen can show.

    This is the app's one seam: behind it lie DuckDB, files of other programs and, while a
    command runs, all of the engine.
    """
    try:
        return Outcome(work())
    except StackError as error:
        return Outcome(error=error)
    except Exception as error:  # noqa: BLE001 - the seam
        sentence = f"{type(error).__name__}: {error}"
        hint = "Try again; if it stays, run: paceml-tui doctor"
        return Outcome(error=UnexpectedError(sentence, hint))


@dataclass(frozen=True, slots=True)
class Request:
    """A command that somebody asks for, with what is known of its arguments."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shows_result: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave: plain values, an error, or both when a check said no."""

    result: dict[str, Any] | None = None
    error: StackError | None = None


class Asked(Message):
    """A screen asks for a command, through its form or at once."""

    def __init__(self, request: Request, *, is_form: bool = True) -> None:
        super().__init__()
        self.request = request
        self.is_form = is_form


class Revealed(Message):
    """Somebody wants to see a version of a data set where it stands."""

    def __init__(self, dataset: str, version: str) -> None:
        super().__init__()
        self.dataset = dataset
        self.version = version


class Beat(Message):
    """The workspace has changed; ``before`` is None for the first look."""

    def __init__(self, pulse: Pulse, before: Pulse | None) -> None:
        super().__init__()
        self.pulse = pulse
        self.before = before


class Ended(Message):
    """A command that the app ran itself has ended."""

    def __init__(self, request: Request, outcome: Outcome[Any], *, job: str = "") -> None:
        super().__init__()
        self.request = request
        self.outcome = outcome
        self.job = job


@dataclass(frozen=True, slots=True)
class Machine:
    """Load of this machine: shares in [0, 1], bytes, and the disk that holds the workspace."""

    cpu: float
    n_cpus: int
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int


def machine(root: Path) -> Machine:
    """Measure this machine; the first call gives the load since the process started."""
    import psutil

    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(root))
    return Machine(
        cpu=psutil.cpu_percent() / 100,
        n_cpus=psutil.cpu_count() or 1,
        memory_used=int(memory.total - memory.available),
        memory_total=int(memory.total),
        disk_free=int(disk.free),
        disk_total=int(disk.total),
    )


@dataclass(frozen=True, slots=True)
class Pulse:
    """State of the workspace, as far as the app must notice that it changes."""

    seq: int = 0
    jobs: tuple[Job, ...] = ()
    live: tuple[str, ...] = ()
    damage: str = ""
    trouble: str = ""

    @property
    def running(self) -> list[Job]:
        """Return the jobs that have still to end."""
        return [job for job in self.jobs if job.is_alive]


class Desk:
    """The workspace as the threads of the app use it."""

    def __init__(
        self,
        root: Path,
        *,
        is_readonly: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        measure: Callable[[Path], Machine] = machine,
    ) -> None:
        self.root = root
        self.is_readonly = is_readonly
        self.now = clock
        self._measure = measure
        self._lock = threading.Lock()
        self._workspace: Workspace | None = None
        self._jobs: tuple[Job, ...] = ()

    @property
    def workspace(self) -> Workspace:
        """Return the open workspace; the first call opens it, so make it in a thread."""
        with self._lock:
            if self._workspace is None:
                from local_stack.workspace import Workspace

                self._workspace = Workspace.open(self.root, readonly=self.is_readonly)
            return self._workspace

    def close(self) -> None:
        """Release the workspace."""
        with self._lock:
            if self._workspace is not None:
                self._workspace.close()
            self._workspace = None

    def query(self, sql: str, *parameters: Any) -> list[Row]:
        """Run a SELECT on the metadata tables as of now."""
        return self.workspace.query(sql, *parameters)

    def machine(self) -> Machine:
        """Return the load of this machine."""
        return self._measure(self.root)

    def pulse(self) -> Pulse:
        """Look what is new: events of the journal, jobs, and which endpoints live."""
        workspace = self.workspace
        workspace.metadata.follow()
        damage = workspace.metadata.damage
        rows = workspace.metadata.query("SELECT * FROM endpoints WHERE stopped_at IS NULL")
        return Pulse(
            seq=workspace.metadata.position.seq,
            jobs=self._listed(workspace),
            live=tuple(sorted(row["name"] for row in rows if is_live(row))),
            damage=damage.message if damage else "",
        )

    def _listed(self, workspace: Workspace) -> tuple[Job, ...]:
        """List the jobs, reading their folders only when there may be something new."""
        from local_stack import jobs

        with contextlib.suppress(FileNotFoundError):
            folders = (workspace.root / "jobs").iterdir()
            newest = sorted((folder.name for folder in folders), reverse=True)[:JOBS_SHOWN]
            is_known = newest == [job.job for job in self._jobs]  # a folder comes before its files
            if not is_known or any(job.is_alive for job in self._jobs):
                self._jobs = tuple(jobs.listed(workspace, limit=JOBS_SHOWN))
        return self._jobs

    def job_log(self, job: str) -> str:
        """Return the end of what a job printed."""
        from local_stack import jobs

        return jobs.log(self.workspace, job)

    def job_result(self, job: str) -> dict[str, Any] | None:
        """Return what the command of a finished job returned."""
        from local_stack import jobs

        return jobs.result(self.workspace, job)

    def cancel_job(self, job: str, *, force: bool) -> None:
        """Ask a job to stop, or kill it."""
        from local_stack import jobs

        jobs.cancel(self.workspace, job, force=force)

    def call(self, request: Request, progress: Progress) -> Any:
        """Run a command in this thread, however long it takes; ``progress`` may stop it."""
        from local_stack import catalog

        return catalog.call(
            self.workspace, request.command, dict(request.arguments), progress=progress
        )

    def carry_out(
        self, request: Request, tell: Callable[[Job], None], is_left: Callable[[], bool]
    ) -> Answer:
        """Run a command to its end, as a job when it is long, and return what it gave.

        ``tell`` hears how far the job is. When ``is_left`` says that nobody waits any more,
        the job goes on alone.
        """
        begun = attempt(lambda: self.perform(request))
        if begun.value is None:
            refused = getattr(begun.error, "result", None)
            return Answer(refused.to_dict() if refused is not None else None, begun.error)
        job, result = begun.value
        return self.follow(job, tell, is_left) if job else Answer(result.to_dict())

    def follow(self, job: str, tell: Callable[[Job], None], is_left: Callable[[], bool]) -> Answer:
        """Wait for a job that was begun, by whomever, and return what it gave."""
        found = self._awaited(job, tell, is_left)
        if found.is_alive:
            return Answer()
        if found.status == "finished":
            return Answer(self.job_result(job))
        error = StackError(found.error or f"The job was {found.status}.", "Its log: J.")
        return Answer(self.job_result(job), error)

    def _awaited(self, job: str, tell: Callable[[Job], None], is_left: Callable[[], bool]) -> Job:
        from local_stack import jobs

        pause, before = 0.1, None
        while True:
            found = jobs.show(self.workspace, job)
            if found != before:
                tell(found)
            if not found.is_alive or is_left():
                return found
            before = found
            time.sleep(pause)
            pause = min(pause * 1.5, _PAUSE_SECONDS)

    def perform(self, request: Request) -> tuple[str, Any]:
        """Run a command to its end, or start it as a job when it is long.

        Returns
        -------
        tuple
            The job's id and None, or '' and what the command returned.
        """
        found = command(request.command)
        arguments = dict(request.arguments)
        found.coerce(arguments)
        if found.is_long:
            from local_stack import jobs

            if found.writes and self.is_readonly:
                found.call(self.workspace)  # its guard refuses, with the sentence for it
            with _plain_stderr():
                return jobs.spawn(self.workspace, request.command, arguments), None
        from local_stack import catalog

        return "", catalog.call(self.workspace, request.command, arguments)


@contextlib.contextmanager
def _plain_stderr() -> Iterator[None]:
    """Give ``sys.stderr`` a file of the system, which the start of a process asks for.

    Textual puts an object without one in its place while the app runs.
    """
    with Path(os.devnull).open("w", encoding="utf-8") as sink, contextlib.redirect_stderr(sink):
        yield


def is_live(endpoint: Row) -> bool:
    """Return whether the process of an endpoint's record is there and is the one recorded."""
    import psutil

    if endpoint["stopped_at"] is not None or not endpoint["pid"]:
        return False
    try:
        process = psutil.Process(endpoint["pid"])
        began = process.create_time()
        is_there = process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    recorded = datetime.fromisoformat(endpoint["started_at"].replace("Z", "+00:00")).timestamp()
    return is_there and began <= recorded + _SLACK_SECONDS  # a younger one was given the number


def commands() -> dict[str, Command]:
    """Return every command of the engine by name."""
    from local_stack import catalog

    return catalog.commands()


def command(name: str) -> Command:
    """Return one command.

    Raises
    ------
    InputError
        When this installation has none of that name.
    """
    known = commands()
    if name not in known:
        raise InputError(
            f"This installation has no command '{name}'.",
            nearest(name, known) or "Press : to see the commands it has.",
        )
    return known[name]


def question_for(request: Request) -> tuple[str, str] | None:
    """Return what to ask before a request that takes something away: title, and what is lost."""
    given = request.arguments
    if request.command == "registry.promote":
        return (
            f"Move {given.get('name')}/{given.get('version')} to {given.get('stage')}?",
            "The version that holds Staging or Production now is archived when this one takes it.",
        )
    if request.command == "runs.delete":
        runs = given.get("runs") or ()
        what = f"{len(runs)} runs" if len(runs) > 1 else f"run {''.join(runs)}"
        lost = "They leave the lists and MLflow's, and nothing of them is removed: a, then U."
        return f"Delete {what}?", lost
    if request.command == "serving.stop":
        return (
            f"Stop endpoint {given.get('endpoint', '')}?",
            "Whoever calls it gets no more answers. Logged predictions stay.",
        )
    return None


def as_command_line(request: Request) -> str:
    """Return what to type in a shell to repeat a request."""
    words = ["paceml-tui", *request.command.split(".", 1)]
    known = {p.name: p for p in command(request.command).parameters}
    positional: list[str] = []
    options: list[str] = []
    for name in sorted(request.arguments, key=list(known).index):
        value = request.arguments[name]
        values = list(value) if isinstance(value, list | tuple) else [value]
        if known[name].is_positional:
            positional += [str(item) for item in values]
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            options += [flag] if value else []
            continue
        options += [word for item in values for word in (flag, str(item))]
    return shlex.join([*words, *positional, *options])


def as_step(request: Request) -> str:
    """Return the step of a pipeline file that repeats a request."""
    import json

    values = ", ".join(
        f"{name}: {json.dumps(list(value) if isinstance(value, tuple) else value)}"
        for name, value in request.arguments.items()
    )
    return f"- {request.command}: {{{values}}}"


def words_of(text: str) -> tuple[str, ...]:
    """Split what somebody typed for a repeated parameter at commas; quotes keep one whole."""
    import csv

    rows: Sequence[Sequence[str]] = list(csv.reader([text], skipinitialspace=True))
    return tuple(word.strip() for row in rows for word in row if word.strip())
