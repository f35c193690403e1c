"""The ``runs tune`` verb: a search of a recipe becomes a study, and its best trial a model."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from local_stack.command import command, pairs
from local_stack.data import versions
from local_stack.errors import Cancelled, InputError
from local_stack.progress import Progress, Step, silent
from local_stack.results import plain
from local_stack.runs import provenance
from local_stack.runs.boosters import booster_of
from local_stack.runs.learning import Source, learn
from local_stack.runs.options import DEFAULT_FOLDS
from local_stack.runs.recipe import MAX_TRIALS, Recipe, load_recipe
from local_stack.runs.syncing import look_again
from local_stack.runs.train import (
    TrainedRun,
    abandon,
    begin,
    check_groups,
    finish,
    reads_recipe,
    stored_recipe,
    with_target,
)
from local_stack.runs.tuning import judging, resuming, sampling
from local_stack.runs.tuning.objective import Objective, objective
from local_stack.runs.tuning.pruning import Pruner
from local_stack.runs.tuning.space import check_grid
from local_stack.runs.tuning.starting import first, grounded
from local_stack.runs.tuning.study import Plan, Study, all_seen
from local_stack.runs.tuning.trials import Trial, Trials
from local_stack.runs.workers import Inline, Processes, Workers, on_cluster
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.runs.cluster.client import Cluster

FILE: Final = "tuning.json"
"""The study among the artefacts of its run: trials, importance and history."""
_MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class TunedRun(TrainedRun):
    """A finished study. Its run holds the model of the best trial, as ``runs train`` gives it.

    ``metrics`` are of that model, learnt from all training rows and measured once on the test
    rows; ``seconds`` are those of this call, trials of an earlier one not counted. ``best`` has
    ``trial``, ``params`` and ``value``; ``importance`` is the share of each parameter in how the
    trials differ; ``history`` has the value of each finished trial and the best one so far.
    """

    metric: str
    direction: str
    sampler: str
    pruner: str
    workers: int
    is_resumed: bool
    best: dict[str, Any]
    trials: tuple[Trial, ...]
    importance: dict[str, float]
    history: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, besides the recipe."""

    plan: Recipe
    version: versions.DataVersion
    source: Source
    sampler: str
    pruner: Pruner
    n_workers: int
    n_trials: int
    minutes: float | None
    name: str | None
    words: str
    cluster: Cluster | None = None


@command(
    "runs.tune",
    writes=True,
    is_long=True,
    reads=reads_recipe,
    example="paceml-tui runs tune wine-recipe.yaml --trials 40 --workers 2",
)
def tune(
    workspace: Workspace,
    recipe: Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    sampler: Literal["tpe", "random", "grid"] = "tpe",
    pruner: Literal["none", "median", "hyperband"] = "none",
    workers: int | None = None,
    resume: str | None = None,
    new: bool = False,
    set: tuple[str, ...] = (),
    name: str | None = None,
    cluster: str | None = None,
    progress: Progress = silent,
) -> TunedRun:
    """Search the parameters of a recipe, and train its best trial.

    Trials are judged by cross-validation of the training rows (split.folds, else 5 folds). What
    the space leaves out is as the recipe has it without a search, and TPE begins with that. A
    study that was stopped or killed goes on when the same command is called again.

    Parameters
    ----------
    recipe
        Recipe file (YAML) with a search.
    trials
        Most trials; search.trials of the recipe when left out.
    minutes
        Begin no trial after so many minutes; what is at work then is finished. Alone, it is the
        only limit.
    sampler
        How trials are chosen: tpe learns from the ones before.
    pruner
        Which trials are given up after some folds: median those that are worse than the median
        at the same fold, hyperband all but the best third after 1, 3, 9, ... folds.
    workers
        How many trials at once, each in a process of its own; one when left out, and with
        a cluster as many as it has workers.
    resume
        Run id of the study to go on with.
    new
        Begin a new study, even if one of the same recipe and data has not ended.
    set
        Change one value of the recipe, as search.metric=mae; repeat it for more.
    name
        Name of the study's run; made from the estimator when left out.
    cluster
        Judge the trials on the workers of a Dask cluster, as tcp://HOST:PORT.
    """
    taken: list[Any] = []
    plan = load_recipe(recipe, pairs(set), stored=stored_recipe(workspace, taken))
    version = versions.find(workspace, plan.dataset)
    plan = with_target(plan, version, str(recipe))
    check_groups(workspace, plan, version)
    n_trials = _checked(plan, str(recipe), trials, minutes, sampler, workers)
    if resume and new:
        raise InputError("--resume and --new say the opposite.", "Give one of them.")
    asked = _Asked(
        plan=plan,
        version=version,
        source=Source(recipe.absolute().parent, taken[0] if taken else None),
        sampler=sampler,
        pruner=pruner,
        n_workers=workers or 1,
        n_trials=n_trials,
        minutes=minutes,
        name=name,
        words=f"runs.tune {recipe.name}",
    )
    key = resuming.key_of(plan, version, sampler, pruner)
    row = resuming.named(workspace, resume, key) if resume else None
    if row is None and not new:
        row = resuming.unfinished(workspace, key)
    try:
        with on_cluster(cluster, workers) as there:
            n_workers = workers or (1 if there is None else there.n_workers)
            asked = replace(asked, cluster=there, n_workers=n_workers)
            return _tuned(workspace, asked, key, row, progress)
    except (Cancelled, KeyboardInterrupt) as error:
        hint = "The same command goes on with the study."
        raise Cancelled("The study was stopped.", hint) from error


def _checked(
    plan: Recipe,
    where: str,
    trials: int | None,
    minutes: float | None,
    sampler: str,
    workers: int | None,
) -> int:
    """Return the most trials; raise :class:`InputError` for what cannot be searched."""
    search = plan.search
    if search is None or not search.space:
        raise InputError(
            f"{where} has no search.space.",
            "Say what to try, as: search: {space: {learning_rate: {log: [0.01, 0.3]}}}.",
        )
    booster = booster_of(plan.estimator)
    if booster is not None:  # a parameter under two of its names
        booster.canonical({**plan.params, **{d.param: d.values[0] for d in search.space}})
    for option, value, most in (
        ("trials", trials, MAX_TRIALS),
        ("workers", workers, _MOST_WORKERS),
    ):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"--{option} needs a whole number from 1 to {most:,}, not {value}.")
    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes needs a number above zero, not {minutes:g}.")
    most = MAX_TRIALS if minutes is not None else search.trials
    n_trials = most if trials is None else trials
    return check_grid(search.space, n_trials) if sampler == "grid" else n_trials


def _tuned(
    workspace: Workspace, asked: _Asked, key: str, row: Row | None, progress: Progress
) -> TunedRun:
    started, is_resumed = time.monotonic(), row is not None
    plan, version = asked.plan, asked.version
    progress(Step("Reading the data"))
    try:
        goal = objective(plan, judging.open_table(workspace, version))
        found = provenance.gather(asked.source.folder)
        if row is None:
            name = asked.name or f"{plan.estimator.rpartition('.')[2]}-tuned-{version.version[:6]}"
            tags = {**found.tags(), resuming.STUDY: key}
            row = begin(workspace, plan, version, name[:250], asked.words, tags)
        else:
            row = resuming.reopen(workspace, row)
        try:
            done, trials = _searched(workspace, asked, goal, row, started, is_resumed, progress)
            tuned = _finished(workspace, asked, goal, row, done, trials, progress)
            seconds = round(time.monotonic() - started, 3)
            return replace(tuned, is_resumed=is_resumed, seconds=seconds)
        except BaseException as error:
            abandon(workspace, row, error)
            raise
    finally:
        judging.remember("", "", None)


def _searched(
    workspace: Workspace,
    asked: _Asked,
    goal: Objective,
    row: Row,
    started: float,
    is_resumed: bool,
    progress: Progress,
) -> tuple[list[Trial], Trials]:
    """Run the study; return its trials by number, and what recorded them."""
    plan, begins = asked.plan, first(asked.plan, goal.n_classes, goal.n_rows)
    if resuming.is_old(row):  # it goes on as it was begun
        begins = {}
    else:
        plan = grounded(plan, goal.n_classes, goal.n_rows)
    assert plan.search is not None
    trials = Trials(workspace, plan, asked.version, row, goal)
    if is_resumed:
        look_again(workspace)
        trials.tidy()
    n_folds = plan.split.folds or DEFAULT_FOLDS
    threads = None if asked.n_workers == 1 else 1

    there = asked.cluster
    sent = None if there is None else there.judging(judging.open_table(workspace, asked.version))

    def task(trial: Trial, fold: int) -> tuple[Any, tuple[Any, ...]]:
        recipe = judging.as_judged(trials.recipe(trial.params)).to_dict()
        if sent is not None:
            return sent(recipe, fold, n_folds)
        place = (str(workspace.root), asked.version.reference)
        return judging.judge, (*place, recipe, fold, n_folds, threads)

    study = Study(
        Plan(
            space=plan.search.space,
            goal=goal,
            sampler=asked.sampler,
            pruner=asked.pruner,
            n_folds=n_folds,
            n_trials=asked.n_trials,
            seed=plan.split.seed,
            deadline=None if asked.minutes is None else started + 60 * asked.minutes,
            first=begins,
        ),
        trials,
        task,
        progress,
    )
    workers: Workers
    if there is not None:
        workers = there
    elif asked.n_workers == 1:
        workers = Inline(lambda _: study.tell())
    else:
        workers = Processes(asked.n_workers)
    with closing(workers) if there is None else nullcontext():
        return study.run(workers), trials


def _finished(
    workspace: Workspace,
    asked: _Asked,
    goal: Objective,
    row: Row,
    done: Sequence[Trial],
    trials: Trials,
    progress: Progress,
) -> TunedRun:
    """Train the best trial on all training rows, and record it with the study as its run."""
    best = _best(done, goal)
    plan = trials.recipe(best.params)
    plan = replace(plan, search=asked.plan.search, places=asked.plan.places)
    row = _chosen(workspace, row, best, plan)
    progress(Step(f"Training the best, trial {best.number}"))
    study = _study(asked, goal, done, best)
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        learnt = learn(
            workspace,
            plan,
            asked.version,
            folder,
            provenance.gather(asked.source.folder),
            run_id=row["run_id"],
            stored=asked.source.stored,
            cluster=asked.cluster,
            progress=progress,
        )
        (folder / FILE).write_text(json.dumps(plain(study), indent=1) + "\n", encoding="ascii")
        trained = finish(workspace, row, learnt, folder, asked.version, progress)
    values = {one.name: getattr(trained, one.name) for one in fields(TrainedRun)}
    values["warnings"] = (*trained.warnings, *dict.fromkeys(trials.warnings))
    return TunedRun(**values, **study, workers=asked.n_workers, is_resumed=False)


def _best(done: Sequence[Trial], goal: Objective) -> Trial:
    finished = [trial for trial in done if trial.value is not None]
    if not finished:
        said = next((trial.error for trial in done if trial.error), "None was begun in time.")
        raise InputError(f"No trial could be judged. {said}", "Change search.space or the budget.")
    sign = -1 if goal.is_higher_better else 1
    return min(finished, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def _study(asked: _Asked, goal: Objective, done: Sequence[Trial], best: Trial) -> dict[str, Any]:
    """Return what a study found, as its result and its file hold it."""
    assert asked.plan.search is not None
    shares = sampling.importance(
        asked.plan.search.space,
        all_seen(done),
        seed=asked.plan.split.seed,
        is_higher_better=goal.is_higher_better,
    )
    return {
        "metric": goal.metric,
        "direction": "maximize" if goal.is_higher_better else "minimize",
        "sampler": asked.sampler,
        "pruner": asked.pruner,
        "best": {"trial": best.number, "params": best.params, "value": best.value},
        "trials": tuple(done),
        "importance": shares,
        "history": tuple(_history(done, goal)),
    }


def _history(done: Sequence[Trial], goal: Objective) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for trial in done:
        if trial.value is not None:
            so_far = [trial.value, *(one["best"] for one in found[-1:])]
            best = max(so_far) if goal.is_higher_better else min(so_far)
            found.append({"trial": trial.number, "value": trial.value, "best": best})
    return found


def _chosen(workspace: Workspace, row: Row, best: Trial, plan: Recipe) -> Row:
    """Record which trial was the best: its recipe becomes that of the study's run."""
    found: Row = {}
    tags = {"paceml.best_trial": str(best.number), "paceml.best_value": repr(best.value)}

    def decide(state: Any) -> Draft:
        current = state.get("runs", row["run_id"]) or row
        found.update(current, recipe=plan.to_dict(), tags={**current["tags"], **tags})
        body = {"trial": best.number, "params": best.params, "value": best.value}
        return Draft("runs.chosen", f"run:{row['run_id']}", body, [("runs", found)])

    workspace.append(decide)
    return found
