"""A study at work: which trial comes next, and what becomes of each.

What a trial is told of others depends on their numbers, never on the clock. With W workers, trial
n is chosen (and pruned) by what trials 0 to n - W gave; the W - 1 before it are known as being at
work. So the same seed, budget and number of workers give the same trials, and a study that was
killed and resumed gives those that it would have given. What a random or a grid search tries does
not depend on the number of workers at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_stack.errors import InputError, StackError, UnavailableError
from local_stack.progress import Progress, Step
from local_stack.runs.recipe import Dimension
from local_stack.runs.tuning.objective import Objective
from local_stack.runs.tuning.pruning import Pruner, Reached, is_hopeless
from local_stack.runs.tuning.sampling import Seen, suggest
from local_stack.runs.tuning.space import Params, grid_points
from local_stack.runs.tuning.trials import Trial, Trials
from local_stack.runs.workers import Outcome, Task, Workers

_TICK_SECONDS = 0.2
_HOPELESS = 3
"""So many trials that fail, before any was judged, end a study."""
_MOST_LOSSES = 1
"""How often a trial may lose its worker before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study was told to do. ``deadline`` is of the monotonic clock.

    ``first`` are parameters that a search by TPE begins with, the others of them are sampled.
    """

    space: tuple[Dimension, ...]
    goal: Objective
    sampler: str
    pruner: Pruner
    n_folds: int
    n_trials: int
    seed: int
    deadline: float | None = None
    first: Params = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A trial at work: the metrics of its folds so far, and how often it lost its worker."""

    trial: Trial
    scores: dict[int, Mapping[str, float]] = field(default_factory=dict)
    n_losses: int = 0

    def in_order(self) -> list[Mapping[str, float]]:
        """Return the metrics from the first fold up to the first that is not there."""
        found: list[Mapping[str, float]] = []
        while (score := self.scores.get(len(found) + 1)) is not None:
            found.append(score)
        return found


class Study:
    """Runs the trials of a plan; those that ``trials`` knows already are not run again."""

    def __init__(
        self,
        plan: Plan,
        trials: Trials,
        task: Callable[[Trial, int], tuple[Callable[..., Any], tuple[Any, ...]]],
        progress: Progress,
    ) -> None:
        """Take ``task(trial, fold)`` as what gives the function and the arguments of a fold."""
        self._plan = plan
        self._trials = trials
        self._task = task
        self._progress = progress
        self._all = {trial.number: trial for trial in trials.known()}
        self._again = [t for _, t in sorted(self._all.items()) if t.status == "RUNNING"]
        self._open: dict[int, _Open] = {}
        self._grid = list(grid_points(plan.space)) if plan.sampler == "grid" else []

    def run(self, workers: Workers) -> list[Trial]:
        """Run until the budget is used up; return every trial, by number.

        Raises
        ------
        InputError
            The first trials failed, one like the other.
        Cancelled
            When the progress raises it. What is at work then is judged again when resumed.
        """
        try:
            self._begin(workers)
            while self._open:
                for task, outcome in workers.ended(_TICK_SECONDS):
                    self._take(workers, task, outcome)
                self.tell()
                self._begin(workers)
        except BaseException:
            for one in self._open.values():
                self._trials.abandon(one.trial)
            raise
        return [trial for _, trial in sorted(self._all.items())]

    def tell(self) -> None:
        """Tell the progress how far the study is."""
        plan, values = self._plan, self._values()
        n_ended = sum(trial.status != "RUNNING" for trial in self._all.values())
        done = n_ended * plan.n_folds + sum(len(one.scores) for one in self._open.values())
        is_timed = plan.deadline is not None
        label = f"{n_ended} trials" if is_timed else f"{n_ended} of {plan.n_trials} trials"
        figures: dict[str, float] = {"trials": n_ended}
        if values:
            best = max(values) if plan.goal.is_higher_better else min(values)
            label += f", best {plan.goal.metric} {best:.5g}"
            figures |= {"best": best, "last": values[-1]}
        n_folds = 0 if is_timed else plan.n_trials * plan.n_folds
        self._progress(Step(label, done, n_folds, figures))

    def _values(self) -> list[float]:
        return [t.value for t in self._all.values() if t.value is not None]

    # -------------------------------------------------------------- beginning

    def _begin(self, workers: Workers) -> None:
        """Begin trials as long as there are workers for them and they may be begun."""
        while len(self._open) < workers.n_workers:
            number = self._again[0].number if self._again else len(self._all)
            if not self._again and not self._is_wanted(number):
                return
            if any(other <= number - workers.n_workers for other in self._open):
                return  # it has to know what that one gives
            if self._again:
                trial = self._trials.begin_again(self._again.pop(0))
            else:
                trial = self._trials.begin(number, self._params(number, workers.n_workers))
            self._all[number] = trial
            self._open[number] = _Open(trial)
            ahead = self._plan.n_folds if self._plan.pruner == "none" else 1
            for fold in range(1, ahead + 1):
                self._submit(workers, trial, fold)

    def _is_wanted(self, number: int) -> bool:
        deadline = self._plan.deadline
        return number < self._plan.n_trials and (deadline is None or time.monotonic() < deadline)

    def _params(self, number: int, n_workers: int) -> Params:
        plan = self._plan
        if self._grid:
            return self._grid[number]
        return suggest(
            plan.space,
            [_seen(self._all[other], other <= number - n_workers) for other in range(number)],
            sampler=plan.sampler,
            seed=plan.seed,
            is_higher_better=plan.goal.is_higher_better,
            first=plan.first,
        )

    def _submit(self, workers: Workers, trial: Trial, fold: int) -> None:
        workers.submit(Task((trial.number, fold), *self._task(trial, fold)))

    # -------------------------------------------------------------- ending

    def _take(self, workers: Workers, task: Task, outcome: Outcome) -> None:
        """Take what a fold gave: the trial goes on, is pruned, fails or is finished."""
        key: Any = task.key
        number, fold = key
        one = self._open.get(number)
        if one is None:  # it had failed in another fold
            return
        if isinstance(outcome.error, UnavailableError) and one.n_losses < _MOST_LOSSES:
            one.n_losses += 1
            workers.submit(task)
        elif outcome.error is not None:
            self._fail(workers, one, outcome.error)
        elif not math.isfinite(outcome.value.get(self._plan.goal.metric, math.nan)):
            self._fail(workers, one, self._undefined(fold))
        else:
            one.scores[fold] = outcome.value
            self._judge(workers, one)

    def _judge(self, workers: Workers, one: _Open) -> None:
        scores = one.in_order()
        values = [score[self._plan.goal.metric] for score in scores]
        if len(scores) == self._plan.n_folds:
            self._close(self._trials.end(one.trial, scores))
        elif self._plan.pruner != "none":
            if self._is_hopeless(one.trial.number, values, workers.n_workers):
                self._close(self._trials.end(one.trial, scores, is_pruned=True))
            else:
                self._submit(workers, one.trial, len(scores) + 1)

    def _is_hopeless(self, number: int, values: Sequence[float], n_workers: int) -> bool:
        before = [
            Reached(trial.number, trial.folds, trial.status == "FINISHED")
            for trial in self._all.values()
            if trial.number <= number - n_workers
        ]
        return is_hopeless(
            self._plan.pruner,
            Reached(number, tuple(values)),
            before,
            n_folds=self._plan.n_folds,
            is_higher_better=self._plan.goal.is_higher_better,
        )

    def _fail(self, workers: Workers, one: _Open, error: StackError) -> None:
        """Record a trial that cannot be judged; a defect, or nothing but failures, ends all."""
        if not isinstance(error, InputError | UnavailableError):
            raise error
        for fold in range(1, self._plan.n_folds + 1):
            workers.cancel((one.trial.number, fold))
        self._close(self._trials.end(one.trial, one.in_order(), error=error.message))
        ended = [trial for trial in self._all.values() if trial.status != "RUNNING"]
        if len(ended) >= _HOPELESS and all(trial.status == "FAILED" for trial in ended):
            raise InputError(f"The first {len(ended)} trials failed. {error.message}", error.hint)

    def _close(self, trial: Trial) -> None:
        self._all[trial.number] = trial
        del self._open[trial.number]

    def _undefined(self, fold: int) -> InputError:
        return InputError(
            f"The metric {self._plan.goal.metric} is not defined in fold {fold}.",
            "Set another search.metric, fewer split.folds, or split.stratify.",
        )


def _seen(trial: Trial, is_told: bool) -> Seen:
    if not is_told or trial.status == "RUNNING":
        return Seen(trial.params, "running")
    if trial.status == "FINISHED":
        return Seen(trial.params, "finished", trial.value)
    return Seen(trial.params, "pruned" if trial.is_pruned else "failed", None, trial.folds)


def all_seen(trials: Sequence[Trial]) -> list[Seen]:
    """Return what trials gave, for the importance of their parameters."""
    return [_seen(trial, is_told=True) for trial in trials]
