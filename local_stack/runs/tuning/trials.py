"""The trials of a study as runs below it: recorded in the journal first, then mirrored.

A trial is known before it is judged (its number and parameters, in its recipe) and has ended once
the tag ``paceml.folds`` holds what its folds gave. What was killed in between is judged again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from local_stack import jobs
from local_stack.data import versions
from local_stack.errors import Cancelled, UnavailableError
from local_stack.results import Result, now
from local_stack.runs.estimators import short_name
from local_stack.runs.fitted import FoldScore, fold_histories
from local_stack.runs.folding import summary
from local_stack.runs.learning import HISTORY_FILE, journalled, write_histories
from local_stack.runs.recipe import Recipe
from local_stack.runs.train import abandon, begin, mend_mirror, mirror_folder, mirror_run
from local_stack.runs.tuning.objective import Objective
from local_stack.runs.tuning.space import Params
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

PARENT: Final = "mlflow.parentRunId"
NUMBER: Final = "paceml.trial"
PRUNED: Final = "paceml.pruned"
FOLDS: Final = "paceml.folds"
_PAUSE_SECONDS: Final = 0.1
Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]


@dataclass(frozen=True, slots=True)
class Trial(Result):
    """A trial as its run tells it. ``folds`` are values of the metric, in the order of the folds.

    ``value`` is their mean once all of them are there; a pruned trial is KILLED and has none.
    """

    number: int
    run_id: str
    params: Params
    status: Status
    value: float | None
    folds: tuple[float, ...]
    is_pruned: bool
    error: str | None
    seconds: float | None


class Trials:
    """The runs of one study's trials."""

    def __init__(
        self,
        workspace: Workspace,
        plan: Recipe,
        version: versions.DataVersion,
        parent: Row,
        goal: Objective,
    ) -> None:
        self._workspace = workspace
        self._plan = plan
        self._version = version
        self._parent = parent
        self._goal = goal
        self.warnings: list[str] = []

    def recipe(self, params: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a trial with these parameters, which measures what is searched."""
        plan, scorer = self._plan, self._goal.scorer
        metrics = dict.fromkeys([*plan.metrics, *([scorer] if scorer else [])])
        given = {**plan.params, **params}
        return replace(plan, params=given, metrics=tuple(metrics), search=None)

    def begin(self, number: int, params: Params) -> Trial:
        """Record that a trial begins."""
        name = f"{self._parent['name'][:230]}-{number}"
        tags = {PARENT: self._parent["run_id"], NUMBER: str(number)}
        words = f"runs.tune {self._parent['run_id']}"
        plan = replace(self.recipe(params), task=self._goal.task)
        row = begin(self._workspace, plan, self._version, name, words, tags)
        return self._trial(row)

    def begin_again(self, trial: Trial) -> Trial:
        """Record that a trial whose process was killed is judged again."""
        row: Row = {}

        def decide(state: Any) -> Draft:
            current = state.get("runs", trial.run_id)
            row.update(current, status="RUNNING", started_at=now(), ended_at=None)
            row.update(error=None, job=jobs.current())
            return Draft("runs.started", f"run:{trial.run_id}", {"again": True}, [("runs", row)])

        self._workspace.append(decide)
        return self._trial(row)

    def end(
        self,
        trial: Trial,
        scores: Sequence[Mapping[str, float]],
        *,
        is_pruned: bool = False,
        error: str | None = None,
    ) -> Trial:
        """Record how a trial ended: this is durable when it returns. Then mirror it.

        Parameters
        ----------
        scores
            The metrics of each fold that was judged, in order.
        """
        status = "FAILED" if error else "KILLED" if is_pruned else "FINISHED"
        ended: Row = {"status": status, "ended_at": now(), "error": error, "artifacts": []}
        ended["params"] = self._shown(trial.params)
        found = [FoldScore(n, score, 0, 0) for n, score in enumerate(scores, start=1)]
        means = summary(found) if status == "FINISHED" else {}
        ended["metrics"] = {key: journalled(value) for key, value in means.items()}
        values = [score[self._goal.metric] for score in scores if self._goal.metric in score]
        tags = {FOLDS: json.dumps(values), **({PRUNED: "true"} if is_pruned else {})}
        with self._workspace.scratch() as scratch:
            folder = Path(scratch)
            write_histories(fold_histories(found), folder)
            if scores:
                blob = self._workspace.artifacts.put_file(folder / HISTORY_FILE)
                ended |= {"files": {HISTORY_FILE: blob.to_dict()}, "artifacts": [HISTORY_FILE]}
            row = self._append(trial, ended, tags)
            self.warnings += mirror_folder(self._workspace, row, folder)
        return self._trial(row)

    def _append(self, trial: Trial, ended: Row, tags: Mapping[str, str]) -> Row:
        recorded: Row = {}

        def decide(state: Any) -> Draft:
            current = state.get("runs", trial.run_id)
            recorded.update({**current, **ended, "tags": {**current["tags"], **tags}})
            body = {"status": ended["status"], "trial": trial.number, "folds": tags[FOLDS]}
            return Draft("runs.finished", f"run:{trial.run_id}", body, [("runs", recorded)])

        self._workspace.append(decide)
        return recorded

    def abandon(self, trial: Trial) -> None:
        """Record that a trial was stopped on the way; a study that is resumed judges it again."""
        row = self._workspace.get("runs", trial.run_id)
        if row is not None:
            abandon(self._workspace, row, Cancelled("The study was stopped."))

    def known(self) -> list[Trial]:
        """Return every trial that the journal has, by number."""
        return sorted(map(self._trial, self._rows()), key=lambda trial: trial.number)

    def tidy(self) -> None:
        """Bring MLflow in step with what a killed process left.

        Trials that the journal has no record of are deleted there (they were begun and not
        acknowledged), what it cannot read is mended, and those that ended meanwhile are told.
        """
        workspace = self._workspace
        try:
            own = {row["run_id"]: row for row in (self._parent, *self._rows())}
            for run in workspace.tracking.unreadable(own):  # killed while it wrote a file
                mend_mirror(workspace, own[run])
            for run in self._torn() & self._torn():  # who is at work there ends in between
                workspace.tracking.mend(run)
            stale = set(workspace.tracking.unfinished())
            ended = [row for row in self._rows() if row["run_id"] in stale and _has_ended(row)]
            for row in ended:
                mend_mirror(workspace, row)
                mirror_run(workspace, row)
            unknown = [run for run in stale if workspace.get("runs", run) is None]
            lost = [run for run in unknown if self._is_child(run)]
            workspace.tracking.edit_runs(lambda: {run: ({}, "deleted") for run in lost})
        except UnavailableError as error:
            self.warnings.append(str(error))

    def _torn(self) -> set[str]:
        """Return the runs beside the trials that were begun meanwhile, but not even half-way."""
        time.sleep(_PAUSE_SECONDS)
        began = datetime.fromisoformat(self._parent["started_at"])
        found = self._workspace.tracking.torn(self._parent["experiment_id"], began)
        return {run for run in found if self._workspace.get("runs", run) is None}

    def _is_child(self, run: str) -> bool:
        rows = self._workspace.query("SELECT parent FROM found_runs WHERE run_id = ?", run)
        return any(row["parent"] == self._parent["run_id"] for row in rows)

    def _rows(self) -> list[Row]:
        return self._workspace.query(
            "SELECT * FROM runs WHERE json_extract_string(tags, '/mlflow.parentRunId') = ? "
            "AND json_extract_string(tags, '/paceml.trial') IS NOT NULL",
            self._parent["run_id"],
        )

    def _trial(self, row: Row) -> Trial:
        assert self._plan.search is not None
        given = row["recipe"]["params"]
        is_over = _has_ended(row)
        value = (row["metrics"] or {}).get(f"cv_{self._goal.metric}_mean") if is_over else None
        return Trial(
            number=int(row["tags"][NUMBER]),
            run_id=row["run_id"],
            params={d.param: given[d.param] for d in self._plan.search.space},
            status=row["status"] if is_over else "RUNNING",
            value=value if isinstance(value, float | int) else None,
            folds=tuple(json.loads(row["tags"][FOLDS])) if is_over else (),
            is_pruned=row["tags"].get(PRUNED) == "true",
            error=row["error"] if is_over else None,
            seconds=_seconds(row) if is_over else None,
        )

    def _shown(self, params: Params) -> dict[str, str]:
        given = {"model": short_name(self._plan.estimator), **self.recipe(params).params}
        return {key: str(value) for key, value in given.items()}


def _has_ended(row: Row) -> bool:
    return FOLDS in row["tags"]


def _seconds(row: Row) -> float:
    began, ended = (datetime.fromisoformat(row[key]) for key in ("started_at", "ended_at"))
    return round((ended - began).total_seconds(), 3)
