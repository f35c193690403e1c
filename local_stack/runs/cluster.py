"""Workers of a Dask cluster: tasks in other processes, perhaps on other hosts.

A task is sent with its data, so that workers need no disk of the workspace. A cluster runs
pickled code from whoever reaches it: it belongs in a trusted network, or behind TLS.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from local_stack import environment
from local_stack.errors import Cancelled, InputError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.runs.workers import Outcome, Task, Workers, outcome_of_task

if TYPE_CHECKING:
    import polars as pl

    from local_stack.runs.folding import Fold
    from local_stack.runs.recipe import Recipe

_CONNECT_SECONDS = 10
_TICK_SECONDS = 0.2
_PACKAGES = (
    *("paceml-tui", "lightgbm", "scikit-learn", "scipy", "numpy", "polars", "pyarrow"),
    *("distributed", "dask", "cloudpickle"),
)
_one_at_a_time = threading.Lock()
"""A worker may have several threads; what libraries warn of is caught for the whole process."""


Judging: TypeAlias = Callable[
    [dict[str, Any], int, int], tuple[Callable[..., Any], tuple[Any, ...]]
]
"""Takes a recipe, the fold and how many there are; gives a function and its arguments."""


class Data:
    """A table that was sent to the workers; as an argument of a task it arrives as the table."""

    def __init__(self, future: Any) -> None:
        self.future = future


class Cluster:
    """The workers of a Dask cluster, as :class:`~local_stack.runs.workers.Workers`.

    A task whose worker dies is done by another one. ``at_once`` is what ``n_workers`` says (the
    workers that are there when it is left out), however many come and go later, so that a study
    does not depend on them.

    Raises
    ------
    InputError
        The address is not one, dask is not installed, or the workers' Python or packages differ.
    UnavailableError
        No scheduler answers at the address, or it has no workers.
    """

    def __init__(self, address: str, at_once: int | None = None) -> None:
        self._address = address
        self._client = _connected(address)
        self._futures: dict[Hashable, tuple[Task, Any]] = {}
        try:
            n_there = self._checked()
            self.n_workers = at_once or n_there
        except BaseException:
            self.close()
            raise

    def send(self, frame: pl.DataFrame) -> Data:
        """Send a table to every worker, once and past the scheduler where that is possible."""
        return Data(self._client.scatter(frame, broadcast=True, hash=False))

    def judging(self, frame: pl.DataFrame) -> Judging:
        """Send a table; return what makes the task of judging a recipe by one of its folds."""
        data = self.send(frame)
        return lambda recipe, fold, n_folds: (_judge, (data, recipe, fold, n_folds))

    def folds(
        self, recipe: Recipe, frame: pl.DataFrame, n_folds: int, label: str, progress: Progress
    ) -> list[Fold]:
        """Return the folds of a cross-validation, as ``folding.cross_validated`` gives them."""
        import warnings

        from local_stack.runs.folding import fold_step

        data, plan = self.send(frame), replace(recipe, search=None).to_dict()
        tasks = [Task(n, _fold, (data, plan, n, n_folds, label)) for n in range(1, n_folds + 1)]
        found: dict[int, Fold] = {}
        for number, (fold, notes) in completed(self, tasks, f"{label}s on the cluster", progress):
            found[number] = fold
            progress(fold_step(label, number, n_folds, fold))
            for note in notes:
                warnings.warn(note, stacklevel=2)
        return [found[number] for number in range(1, n_folds + 1)]

    def submit(self, task: Task) -> None:
        """Take a task on."""
        arguments = [one.future if isinstance(one, Data) else one for one in task.arguments]
        future = self._client.submit(_work, task.function, *arguments, pure=False)
        self._futures[task.key] = task, future

    def ended(self, seconds: float) -> Iterator[tuple[Task, Outcome]]:
        """Yield what has ended, after waiting for the first of it as long as ``seconds``."""
        import distributed
        from distributed.client import CancelledError

        self._look()
        if not self._futures:
            return
        waiting = [future for _, future in self._futures.values()]
        with self._client.as_current(), contextlib.suppress(TimeoutError, CancelledError):
            distributed.wait(waiting, timeout=seconds, return_when="FIRST_COMPLETED")
        self._look()
        for task, future in list(self._futures.values()):
            if future.status != "pending" and task.key in self._futures:
                del self._futures[task.key]
                yield task, self._received(future)

    def cancel(self, key: Hashable) -> None:
        """Forget a task; a worker that is at it stops at its next step."""
        _, future = self._futures.pop(key, (None, None))
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """Forget every task, and leave the cluster."""
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to forget
            if self._client.status == "running":
                self._client.cancel([future for _, future in self._futures.values()])
        self._futures.clear()
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)

    def _received(self, future: Any) -> Outcome:
        import distributed

        try:
            found: Outcome = future.result(timeout=_CONNECT_SECONDS)
        except (distributed.KilledWorker, distributed.CancelledError, OSError):
            return Outcome(
                error=UnavailableError(
                    "The workers of the cluster ended before their work did.",
                    "Look at their logs; often the memory of a worker is not enough.",
                )
            )
        return found

    def _look(self) -> None:
        if self._client.status != "running":
            raise UnavailableError(
                f"The scheduler at {self._address} is gone.",
                "Start it and call the same command again.",
            )

    def _checked(self) -> int:
        """Return how many workers there are.

        A cluster without any is refused, and so are workers that are not like this process.
        """
        n_workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if not n_workers:
            raise UnavailableError(
                f"The cluster at {self._address} has no workers.",
                f"Start some: dask worker {self._address}",
            )
        here = versions()
        for worker, there in self._client.run(versions, on_error="return").items():
            if isinstance(there, BaseException):
                raise InputError(
                    f"The worker {worker} cannot run this program: {there}.",
                    "Install paceml-tui with the extra cluster on it, in the same version.",
                )
            for name, version in here.items():
                if there.get(name) != version:
                    raise InputError(
                        f"The worker {worker} has {name} {there.get(name)}, here it is {version}.",
                        "Install the same versions on every worker.",
                    )
        return n_workers


def versions() -> dict[str, str | None]:
    """Return the versions, of this process, on which results may depend."""
    found: dict[str, str | None] = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


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


def _judge(
    frame: pl.DataFrame, recipe: dict[str, Any], fold: int, n_folds: int, *, progress: Progress
) -> dict[str, float]:
    """Return the metrics of one fold of a trial."""
    from local_stack.runs.tuning.judging import judge_table

    return judge_table(frame, recipe, fold, n_folds, _threads(), progress=progress)


def _fold(
    frame: pl.DataFrame,
    recipe: dict[str, Any],
    number: int,
    n_folds: int,
    label: str,
    *,
    progress: Progress,
) -> tuple[Fold, list[Any]]:
    """Return a fold, and what libraries warned of."""
    import warnings

    from local_stack.runs.fit import one_fold
    from local_stack.runs.recipe import parse_recipe

    plan = parse_recipe(recipe)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fold = one_fold(
            plan, frame, number, n_folds, label=label, progress=progress, threads=_threads()
        )
    return fold, [warning.message for warning in caught]


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
        return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UnavailableError(
            f"No Dask scheduler answers at {address}.", "Start one: dask scheduler"
        ) from error


def _work(function: Any, *arguments: Any) -> Outcome:
    """Do a task in a worker."""
    import distributed
    from distributed.worker import thread_state

    environment.prepare()
    worker, key = distributed.get_worker(), thread_state.key

    def heard(step: Step) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise Cancelled("The task is not wanted any more.")

    with _one_at_a_time:
        heard(Step("Beginning"))
        return outcome_of_task(Task(key, function, arguments), heard)


def _threads() -> int:
    import distributed

    return int(distributed.get_worker().state.nthreads)
