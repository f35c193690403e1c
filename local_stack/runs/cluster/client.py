"""Workers of a Dask cluster: tasks in other processes, perhaps on other hosts.

A task is sent with its data, so that workers need no disk of the workspace. A cluster runs
pickled code from whoever reaches it: it belongs in a trusted network, or behind TLS.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from local_stack.errors import InputError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.runs.cluster import tasks
from local_stack.runs.workers import Outcome, Task, Workers

if TYPE_CHECKING:
    import polars as pl

    from local_stack.runs.folding import Fold
    from local_stack.runs.recipe import Recipe

CONNECT_SECONDS = 10
_TICK_SECONDS = 0.2
_NOTICE_TICKS = 15
"""So long a scheduler may take to notice that a worker is gone."""
_MAX_RESTARTS = 3
"""So often a task is started again whose data went with a worker: as often as Dask itself does."""

Judging: TypeAlias = Callable[
    [dict[str, Any], int, int], tuple[Callable[..., Any], tuple[Any, ...]]
]
"""Takes a recipe, the fold and how many there are; gives a function and its arguments."""


class Sent:
    """A value that lies with workers; as an argument of a task it arrives as the value.

    One that was sent from here keeps its ``value``, to send it again: a scheduler thins out
    copies within seconds, however many were asked for, so that one worker may hold the last.
    """

    def __init__(self, future: Any, value: Any = None) -> None:
        self.future = future
        self.value = value


@dataclass
class _Submitted:
    """A task with its future and the futures that stand for its arguments."""

    task: Task
    future: Any
    arguments: list[Any]
    n_restarts: int = 0


class Lost(UnavailableError):
    """Workers that held what cannot be done without are gone."""

    def __init__(self) -> None:
        super().__init__(
            "The workers of the cluster ended before their work did.",
            "Look at their logs; often the memory of a worker is not enough.",
        )


class Cluster:
    """The workers of a Dask cluster, as :class:`~local_stack.runs.workers.Workers`.

    A task whose worker dies is done by another one, also when its data was nowhere else.
    ``at_once`` is what ``n_workers`` says (the workers that are there when it is left out),
    however many come and go later, so that a study does not depend on them.

    Raises
    ------
    InputError
        The address is not one, dask is not installed, or Python or packages differ there.
    UnavailableError
        No scheduler answers at the address, or it has no workers.
    """

    def __init__(self, address: str, at_once: int | None = None) -> None:
        self._address = address
        self.client = _connected(address)
        self._submitted: dict[Hashable, _Submitted] = {}
        self._holders: set[str] = set()
        try:
            n_there = self._checked()
            self.n_workers = at_once or n_there
            self._cpu_before = self.client.run(time.process_time)
        except BaseException:
            self.close()
            raise

    def send(self, value: Any) -> Sent:
        """Send a value to every worker, once and past the scheduler where that is possible."""
        return Sent(self._scattered(value), value)

    def judging(self, frame: pl.DataFrame) -> Judging:
        """Send a table; return what makes the task of judging a recipe by one of its folds."""
        data = self.send(frame)
        return lambda recipe, fold, n_folds: (tasks.judge, (data, recipe, fold, n_folds))

    def folds(
        self, recipe: Recipe, frame: pl.DataFrame, n_folds: int, label: str, progress: Progress
    ) -> list[Fold]:
        """Return the folds of a cross-validation, as ``folding.cross_validated`` gives them."""
        import warnings

        from local_stack.runs.folding import fold_step

        data, plan = self.send(frame), replace(recipe, search=None).to_dict()
        numbers = range(1, n_folds + 1)
        asked = [Task(n, tasks.fold, (data, plan, n, n_folds, label)) for n in numbers]
        found: dict[int, Fold] = {}
        for number, (fold, notes) in completed(self, asked, f"{label}s on the cluster", progress):
            found[number] = fold
            progress(fold_step(label, number, n_folds, fold))
            for note in notes:
                warnings.warn(note, stacklevel=2)
        return [found[number] for number in numbers]

    def submit(self, task: Task) -> None:
        """Take a task on."""
        self._submitted[task.key] = _Submitted(task, *self._started(task))

    def ended(self, seconds: float) -> Iterator[tuple[Task, Outcome]]:
        """Yield what has ended, after waiting for the first of it as long as ``seconds``."""
        import distributed
        from distributed.client import CancelledError

        self._look()
        if not self._submitted:
            return
        waiting = [one.future for one in self._submitted.values()]
        with self.client.as_current(), contextlib.suppress(TimeoutError, CancelledError):
            distributed.wait(waiting, timeout=seconds, return_when="FIRST_COMPLETED")
        self._look()
        for one in list(self._submitted.values()):
            if one.future.status == "pending" or one.task.key not in self._submitted:
                continue
            outcome = self._received(one)
            if outcome is not None:
                del self._submitted[one.task.key]
                yield one.task, outcome

    def cancel(self, key: Hashable) -> None:
        """Forget a task; a worker that is at it stops at its next step."""
        one = self._submitted.pop(key, None)
        if one is not None:
            one.future.cancel()

    def close(self) -> None:
        """Forget every task, and leave the cluster."""
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to forget
            if self.client.status == "running":
                self.client.cancel([one.future for one in self._submitted.values()])
        self._submitted.clear()
        with contextlib.suppress(Exception):
            self.client.close(timeout=2)

    def cpu_seconds(self) -> float:
        """Return what the workers that are there have taken since this was made, for anybody."""
        with _losses():
            now: dict[str, float] = self.client.run(time.process_time)
        return float(sum(now[it] - self._cpu_before.get(it, 0.0) for it in now))

    # ---------------------------------------------------------- values that stay with workers

    def reconnect(self) -> None:
        """Leave the cluster with everything that lies there, and join it again."""
        self.close()
        self._holders.clear()
        self.client = _connected(self._address)
        self._checked()

    def threads(self) -> dict[str, int]:
        """Return how many threads each worker has, by its address, in order."""
        found = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address: int(worker["nthreads"]) for address, worker in sorted(found.items())}

    def place(self, value: Any, worker: str) -> Sent:
        """Send a value to one worker, past the scheduler where that is possible."""
        self._holders.add(worker)
        with _losses():
            return Sent(self.client.scatter(value, workers=[worker], hash=False))

    def derive(self, function: Callable[..., Any], *arguments: Any, on: str | None = None) -> Sent:
        """Let a worker make a value of others: the one ``on``, or whoever has them."""
        given = [one.future if isinstance(one, Sent) else one for one in arguments]
        where = None if on is None else [on]
        return Sent(self.client.submit(function, *given, workers=where, pure=False))

    def settle(self, *values: Sent) -> None:
        """Wait until values are there; the first error of one is raised."""
        import distributed

        with self.client.as_current(), _losses():
            for value in values:
                while value.future.status == "pending":
                    self._look_for_holders()
                    with contextlib.suppress(TimeoutError):
                        distributed.wait([value.future], timeout=_TICK_SECONDS)
                if value.future.status != "finished":
                    value.future.result(timeout=CONNECT_SECONDS)

    def fetch(self, value: Sent) -> Any:
        """Return a value from where it lies."""
        self.settle(value)
        with _losses():
            return self.client.gather(value.future)

    def watched(self, work: Callable[[], Any], tell: Callable[[], None]) -> Any:
        """Return what ``work`` gives, as long as every worker that has something is there."""
        found: list[Outcome] = []
        failed: list[Exception] = []

        def run() -> None:
            try:
                found.append(Outcome(work()))
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_TICK_SECONDS)
            tell()
            self._look_for_holders()
        if found:
            return found[0].value
        for _ in range(_NOTICE_TICKS):  # what the others say of it comes before the news itself
            self._look_for_holders()
            time.sleep(_TICK_SECONDS)
        with _losses():
            raise failed[0]

    def _look_for_holders(self) -> None:
        self._look()
        if self._holders - self.threads().keys():
            raise Lost

    def _received(self, one: _Submitted) -> Outcome | None:
        """Return how a task ended; None where it is done again, as its worker died with it."""
        import distributed

        seconds = CONNECT_SECONDS
        while True:
            try:
                found: Outcome = one.future.result(timeout=seconds)
            except TimeoutError:
                if one.future.status != "finished":
                    return None
                seconds *= 4  # a large result over a slow line
            except distributed.CancelledError:
                self._look()
                return None if self._restarted(one) else Outcome(error=Lost())
            except (distributed.KilledWorker, OSError):
                return Outcome(error=Lost())
            else:
                return found

    def _restarted(self, one: _Submitted) -> bool:
        """Start a task again whose data went with a worker; False where that is no use."""
        if one.n_restarts == _MAX_RESTARTS or not self.threads():
            return False
        one.n_restarts += 1
        for argument, used in zip(one.task.arguments, one.arguments, strict=True):
            if isinstance(argument, Sent) and argument.future is used:  # nobody sent it since
                if argument.value is None:
                    return False
                try:
                    argument.future = self._scattered(argument.value)
                except (TimeoutError, OSError):
                    return False
        one.future, one.arguments = self._started(one.task)
        return True

    def _started(self, task: Task) -> tuple[Any, list[Any]]:
        """Return the future of a task and the arguments that it was given."""
        arguments = [one.future if isinstance(one, Sent) else one for one in task.arguments]
        return (
            self.client.submit(tasks.work, task.function, *arguments, pure=False),
            arguments,
        )

    def _scattered(self, value: Any) -> Any:
        found = self.client.scatter([value], broadcast=True, hash=False, timeout=CONNECT_SECONDS)
        return found[0]

    def _look(self) -> None:
        if self.client.status != "running":
            raise UnavailableError(
                f"The scheduler at {self._address} is gone.",
                "Start it and call the same command again.",
            )

    def _checked(self) -> int:
        """Return how many workers there are.

        A cluster without any is refused, and so is one that is not like this process.
        """
        n_workers = len(self.threads())
        if not n_workers:
            raise UnavailableError(
                f"The cluster at {self._address} has no workers.",
                f"Start some: dask worker {self._address}",
            )
        here = tasks.versions()
        found = {f"scheduler {self._address}": _asked_of_scheduler(self.client)}
        there = self.client.run(tasks.versions, on_error="return")
        found |= {f"worker {address}": told for address, told in there.items()}
        for who, told in found.items():
            if isinstance(told, BaseException):
                raise InputError(
                    f"The {who} cannot run this program: {told}.",
                    "Install paceml-tui with the extra cluster on it, in the same version.",
                )
            for name, version in here.items():
                if told.get(name) != version:
                    raise InputError(
                        f"The {who} has {name} {told.get(name)}, here it is {version}.",
                        "Install the same versions for the scheduler and every worker.",
                    )
        return n_workers


def completed(
    workers: Workers, tasks: Sequence[Task], label: str, progress: Progress = silent
) -> Iterator[tuple[Any, Any]]:
    """Yield key and value of each task as it ends; the first error of one is raised."""
    n_ended = 0
    for task in tasks:
        workers.submit(task)
    while n_ended < len(tasks):
        progress(Step(label, n_ended, len(tasks)))  # which may stop the work
        for task, outcome in workers.ended(_TICK_SECONDS):
            if outcome.error is not None:
                raise outcome.error
            n_ended += 1
            yield task.key, outcome.value


def _asked_of_scheduler(client: Any) -> Any:
    """Return the versions of the scheduler, which reads the tasks too, or its error."""
    try:
        return client.run_on_scheduler(tasks.versions)
    except Exception as error:  # noqa: BLE001 - whatever a foreign process may raise
        return error


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """Raise :class:`Lost` for what Dask raises when workers are gone."""
    import distributed
    from distributed.client import CancelledError

    try:
        yield
    except (distributed.KilledWorker, CancelledError, OSError) as error:
        raise Lost from error


def _connected(address: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "Dask is not installed, which --cluster needs.", "pip install 'paceml-tui[cluster]'"
        ) from error
    if not address.startswith(("tcp://", "tls://")):
        raise InputError(
            f"'{address}' is not the address of a Dask scheduler.",
            "Give it as tcp://HOST:PORT or tls://HOST:PORT.",
        )
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UnavailableError(
            f"No Dask scheduler answers at {address}.", "Start one: dask scheduler"
        ) from error
