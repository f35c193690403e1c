"""Workers: tasks that run beside one another, behind a protocol that says nothing of where.

A task is a function of a module with plain arguments, so that it can be sent anywhere; large
data goes by reference. Tasks are begun in the order in which they were submitted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Protocol

from local_stack import environment
from local_stack.errors import Cancelled, StackError, UnavailableError, UnexpectedError
from local_stack.jobs import warm_processes
from local_stack.progress import Progress, silent

if TYPE_CHECKING:
    from local_stack.runs.cluster.client import Cluster


@dataclass(frozen=True, slots=True)
class Task:
    """``function(*arguments, progress=...)``, which has to be picklable, under a key."""

    key: Hashable
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: with a value, or with an error.

    An :class:`UnavailableError` says that the worker was lost, not the task.
    """

    value: Any = None
    error: StackError | None = None


class Workers(Protocol):
    """Where tasks run. Close it, whatever happens: what is still at work then ends."""

    @property
    def n_workers(self) -> int:
        """Return how many tasks run at once."""

    def submit(self, task: Task) -> None:
        """Take a task on; no other one that has not ended may have its key."""

    def ended(self, seconds: float) -> Iterator[tuple[Task, Outcome]]:
        """Yield what has ended, after waiting for the first of it as long as ``seconds``."""

    def cancel(self, key: Hashable) -> None:
        """Forget a task: it is not begun any more, and how it ends is not told."""

    def close(self) -> None:
        """End every worker, at once."""


class Inline:
    """The one worker that needs no process: ``ended`` does the next task itself."""

    n_workers = 1

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Take a task on."""
        self._waiting.append(task)

    def ended(self, seconds: float) -> Iterator[tuple[Task, Outcome]]:
        """Do the next task and yield it; an error of ``progress`` passes through."""
        if self._waiting:
            task = self._waiting.popleft()
            yield task, outcome_of_task(task, self._progress)

    def cancel(self, key: Hashable) -> None:
        """Forget a task."""
        self._waiting = deque(task for task in self._waiting if task.key != key)

    def close(self) -> None:
        """Forget every task."""
        self._waiting.clear()


class Processes:
    """Processes of this machine, forked from the warm server of :mod:`local_stack.jobs`."""

    def __init__(self, n_workers: int) -> None:
        self._context = warm_processes()
        self._waiting: deque[Task] = deque()
        self._forgotten: set[Hashable] = set()
        self._workers = [_Worker(self._context) for _ in range(n_workers)]

    @property
    def n_workers(self) -> int:
        """Return how many tasks run at once."""
        return len(self._workers)

    def submit(self, task: Task) -> None:
        """Take a task on."""
        self._waiting.append(task)
        self._feed()

    def ended(self, seconds: float) -> Iterator[tuple[Task, Outcome]]:
        """Yield what has ended, after waiting for the first of it as long as ``seconds``."""
        at_work = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        told = []
        for pipe in connection.wait(list(at_work), seconds):
            worker = at_work[pipe]
            assert worker.task is not None
            told.append((worker.task, self._received(worker)))
        self._feed()
        for task, outcome in told:
            if task.key in self._forgotten:
                self._forgotten.discard(task.key)
            else:
                yield task, outcome

    def cancel(self, key: Hashable) -> None:
        """Forget a task."""
        self._waiting = deque(task for task in self._waiting if task.key != key)
        if any(worker.task is not None and worker.task.key == key for worker in self._workers):
            self._forgotten.add(key)

    def close(self) -> None:
        """Kill the processes."""
        self._waiting.clear()
        while self._workers:
            self._workers.pop().end()

    def _feed(self) -> None:
        for place, worker in enumerate(self._workers):
            if self._waiting and worker.task is None:
                if not worker.begin(self._waiting[0]):  # it died while it had nothing to do
                    self._workers[place] = self._replaced(worker)
                    self._workers[place].begin(self._waiting[0])
                if self._workers[place].task is not None:
                    self._waiting.popleft()

    def _received(self, worker: _Worker) -> Outcome:
        try:
            found: Outcome = worker.pipe.recv()
        except (EOFError, OSError):
            self._workers[self._workers.index(worker)] = self._replaced(worker)
            return Outcome(error=_lost())
        worker.task = None
        return found

    def _replaced(self, worker: _Worker) -> _Worker:
        worker.end()
        return _Worker(self._context)


class _Worker:
    """One process, the pipe to it, and the task that it has."""

    def __init__(self, context: Any) -> None:
        self.pipe, there = context.Pipe()
        self.task: Task | None = None
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def begin(self, task: Task) -> bool:
        """Send a task; return whether the process took it."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.task = task
        return True

    def end(self) -> None:
        """Kill the process and forget it."""
        self.pipe.close()
        self._process.kill()
        self._process.join()
        self._process.close()


@contextmanager
def on_cluster(address: str | None, at_once: int | None = None) -> Iterator[Cluster | None]:
    """Give the workers of the Dask cluster at ``address``, None without an address."""
    if address is None:
        yield None
        return
    from local_stack.runs.cluster.client import Cluster

    with contextlib.closing(Cluster(address, at_once)) as workers:
        yield workers


def _lost() -> UnavailableError:
    return UnavailableError(
        "A worker process ended before its work did: it was killed, or the memory was not enough.",
        "Use fewer workers, or look at the memory of this machine.",
    )


def _serve(pipe: connection.Connection) -> None:
    """Do the tasks that come through a pipe, until it closes or the host ends."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host hears it, and closes the pipe
    environment.prepare()
    threading.Thread(target=_end_with_host, daemon=True).start()
    with threadpool_limits(1), contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(outcome_of_task(pipe.recv(), silent))


def _end_with_host() -> None:
    """End this process when its host is gone, even if it was killed."""
    host = multiprocessing.parent_process()
    if host is not None:
        connection.wait([host.sentinel])
        os._exit(1)


def outcome_of_task(task: Task, progress: Progress) -> Outcome:
    """Do a task; an error of it is its outcome, unless the work is cancelled."""
    try:
        return Outcome(task.function(*task.arguments, progress=progress))
    except Cancelled:
        raise
    except StackError as error:
        return Outcome(error=error)
    except MemoryError:
        return Outcome(error=_lost())
    except Exception as error:  # noqa: BLE001 - another process may have done the task
        return Outcome(error=UnexpectedError(f"{type(error).__name__}: {error}"))
