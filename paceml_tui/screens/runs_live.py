"""What a training or a tuning at work tells: its folds, its curve, its trials and its cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceml_tui import evaluations, studies
from paceml_tui.plots import Curve, curve_chart
from paceml_tui.render import (
    Block,
    Text,
    bar,
    count,
    elapsed,
    fields,
    grid,
    heading,
    join,
    number,
    percent,
    seconds,
    size,
    stack,
    status,
    styled,
)
from paceml_tui.studies import Study

if TYPE_CHECKING:
    from local_stack.jobs import Job

WATCHED = ("runs.train", "runs.tune", "runs.branch")
"""The commands whose jobs have a view of their own."""
_MOST_SCORES = 3
_FIRST_SCORES = ("rmse", "mae", "r2", "log_loss", "roc_auc", "accuracy")
"""What a fold shows first, of the metrics that it has."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job has taken so far: CPU seconds, and bytes of memory, its workers included."""

    cpu_seconds: float
    memory_bytes: int


@dataclass(slots=True)
class Told:
    """What the steps of a job have told so far."""

    label: str = ""
    folds: dict[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    metric: str = ""
    curve: list[tuple[float, float]] = field(default_factory=list)
    trials: dict[int, tuple[float, float]] = field(default_factory=dict)

    def take(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Take further steps."""
        for step in steps:
            label, figures = str(step.get("label", "")), _finite(step.get("figures"))
            if "trials" in figures:
                if "best" in figures and "last" in figures:
                    self.trials[int(figures["trials"])] = figures["last"], figures["best"]
            elif "fold" in figures:
                at = int(figures.pop("fold"))
                kind = "Calibration fold" if label.startswith("Calibration") else "Fold"
                self.folds[kind, at] = figures
            elif figures:
                self._round(label, step, figures)

    def _round(self, label: str, step: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Take one round of early stopping; a new model begins a new curve."""
        if label != self.label:
            self.label, self.curve = label, []
        self.metric, value = next(iter(figures.items()))
        self.curve.append((float(step.get("done") or 0), value))


def _finite(figures: Any) -> dict[str, float]:
    """Return the figures that are numbers; a file may hold anything."""
    if not isinstance(figures, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def cost_of(pid: int | None) -> Cost | None:
    """Measure a process with its children; None when there is none."""
    import psutil

    if not pid:
        return None
    cpu, memory = 0.0, 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            cpu += times.user + times.system
            memory += one.memory_info().rss
    except psutil.Error:
        return Cost(cpu, memory) if memory else None
    return Cost(cpu, memory)


def doing(job: Job, cost: Cost | None, result: Mapping[str, Any] | None, now: str) -> Block:
    """Return how far a job is, and what it has taken."""
    share = min(1.0, job.done / job.total) if job.total else None
    rows: list[tuple[str, Text]] = [("status", status(job.status))]
    if job.is_alive:
        rows.append(("doing", styled(job.label or "Starting", limit=60)))
        if share is not None:
            steps = styled(f"{job.done:,} of {job.total:,}", "quiet")
            rows.append(("done", join(bar(share, 20), percent(round(share, 2)), steps)))
    rows.append(("elapsed", elapsed(job.started_at, job.ended_at or now)))
    taken = (result or {}).get("cost") or {}
    if cost is not None:
        rows.append(("processor", seconds(cost.cpu_seconds)))
        rows.append(("memory", size(cost.memory_bytes)))
    elif isinstance(taken, Mapping) and taken:
        rows.append(("processor", seconds(_number(taken.get("cpu_seconds")))))
        rows.append(("peak memory", size((result or {}).get("peak_memory_bytes"))))
    return stack(fields(rows), styled(job.error, "bad", 600) if job.error else None)


def asked(job: Job, root: Path) -> list[Block]:
    """Return what was asked for, and by whom; paths as they are below ``root``."""
    given = {name: _flat(it).removeprefix(f"{root}/") for name, it in job.arguments.items()}
    what = [(name, styled(it, limit=100)) for name, it in given.items()]
    title = heading("Asked for", styled(job.command, "quiet"))
    return [title, fields([*what, ("by", styled(job.actor, limit=40))])]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _flat(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def figures(told: Told, study: Study | None, width: int, height: int) -> list[Block]:
    """Return the trials, the curve and the folds that a job has told of."""
    found: list[Block] = []
    if study is not None and study.valued:
        found += [*studies.history(study, width, height), styled("")]
    elif told.trials:
        found += _trials(told.trials, width, height)
    if told.curve and len(told.curve) > 1:
        title = heading(f"{told.metric} of the rows held out", styled(told.label, "quiet", 40))
        found += [title, *curve_chart([Curve("", tuple(told.curve))], width=width, height=height)]
        at, value = told.curve[-1]
        shown = (
            styled("last", "quiet"),
            number(value),
            styled("in round", "quiet"),
            number(int(at)),
        )
        found += [join(*shown), styled("")]
    if told.folds:
        found += [*_folds(told.folds), styled("")]
    if study is not None and study.trials:
        title = heading("Trials", studies.counted(study))
        found += [title, *studies.trials(study, width)]
    return found


def _trials(trials: Mapping[int, tuple[float, float]], width: int, height: int) -> list[Block]:
    numbered = sorted(trials.items())
    last, best = numbered[-1][1]
    points = tuple((float(at), value) for at, (_, value) in numbered)
    title = heading("Best value by trial", styled(f"{numbered[-1][0]:,} trials ended", "quiet"))
    shown = [styled("best", "quiet"), number(best), styled("last", "quiet"), number(last)]
    chart = curve_chart([Curve("best", points)], width=width, height=height)
    return [title, *(chart if len(points) > 1 else []), join(*shown), styled("")]


def _folds(folds: Mapping[tuple[str, int], Mapping[str, float]]) -> list[Block]:
    rows = sorted(folds.items(), key=lambda it: (it[0][0] != "Fold", it[0]))
    first = rows[0][1]
    names = [name for name in _FIRST_SCORES if name in first]
    names = (names + [name for name in first if name not in names])[:_MOST_SCORES]
    table = [
        [styled(f"{kind} {at}"), *(number(scores.get(name)) for name in names)]
        for (kind, at), scores in rows
    ]
    places = range(1, len(names) + 1)
    return [
        heading("Folds", styled(f"{len(rows)} done", "quiet")),
        grid(["fold", *names], table, tuple(places)),
    ]


def outcome(result: Mapping[str, Any], width: int) -> list[Block]:
    """Return what a finished training or tuning gave: metrics, best trial, changed values."""
    found: list[Block] = []
    if result.get("branched_from"):
        found += [*difference(result.get("changed") or ()), styled("")]
    study = study_of(result)
    if study is not None:
        found += [*studies.best(study, width), *studies.importance(study, width)]
    metrics, document = result.get("metrics"), result.get("evaluation") or {}
    if isinstance(metrics, Mapping):
        shown = evaluations.metric_lines(metrics, document, width)[1:]
        found += [heading("Metrics"), *shown, styled("")]
    found += evaluations.warnings(document, width)
    return found


def study_of(result: Mapping[str, Any]) -> Study | None:
    """Return the study that a job has ended with."""
    trials = result.get("trials")
    if not isinstance(trials, list) or not trials:
        return None
    is_higher_better = result.get("direction") == "maximize"
    shares = result.get("importance") or {}
    return Study(str(result.get("metric")), is_higher_better, tuple(trials), shares)


def difference(changed: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the values that a branch changed, the old beside the new."""
    if not changed:
        return [heading("Changed"), styled("No value: this repeats the run.", "quiet")]
    rows = [
        [
            styled(it.get("key"), limit=40),
            styled("absent" if it.get("from") is None else it["from"], "quiet", 30),
            styled("absent" if it.get("to") is None else it["to"], "accent", 30),
        ]
        for it in changed
    ]
    return [heading("Changed", count(len(rows), "value")), grid(["value", "was", "is"], rows)]
