"""Whether a model treats groups of people alike, on the rows that it was not shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_stack.command import command
from local_stack.data import versions
from local_stack.data.assessing.sensitive import trait_of
from local_stack.data.checkout import outside
from local_stack.errors import InputError, RefusedError, UnavailableError, named, nearest
from local_stack.explain.affording import rows_to_explain
from local_stack.explain.groups.disparities import measured_of
from local_stack.explain.groups.grouping import bins_of
from local_stack.explain.groups.report import FILE, FairnessReport, Plan, measure, places_of
from local_stack.explain.groups.rows import rows_of
from local_stack.explain.groups.thresholds import Costs, costs_of
from local_stack.explain.subject import Subject, reads_target, subject_of
from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.runs.fairness import (
    MIN_ROWS,
    Fairness,
    limit_of,
    limits_of,
    read_fairness,
    settings_of,
    wrong_limit,
)
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

_SHAP_ROWS, _SHAP_SECONDS = 1_000, 30.0


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    data = arguments.get("data")
    read = reads_target(workspace, arguments)
    version = versions.find(workspace, str(data)) if data else None
    name = read[2][0]["name"] if version is None else version.dataset
    sensitive = (workspace.get("datasets", name) or {}).get("sensitive")
    return [*read, None if version is None else version.reference, sensitive]


@command(
    "explain.fairness",
    writes=True,
    is_long=True,
    reads=_reads,
    example="paceml-tui explain fairness credit@Staging --by sex --by age --positive good",
)
def fairness(
    workspace: Workspace,
    target: str,
    *,
    by: tuple[str, ...] = (),
    intersect: bool = False,
    data: str | None = None,
    positive: str | None = None,
    threshold: float | None = None,
    min_rows: int | None = None,
    bins: tuple[str, ...] = (),
    costs: str | None = None,
    limit: tuple[str, ...] = (),
    shap_rows: int | None = None,
    html: Path | None = None,
    progress: Progress = silent,
) -> FairnessReport:
    """Compare how a model treats groups of rows, and why.

    Rows are those held out from the training; without any, or for other data, all of them.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    by
        Column of the data whose values are groups, also one the model does not see; repeat it.
        The recipe's, or else those the data set names sensitive, when left out.
    intersect
        Take the combinations of the columns as groups.
    data
        Another data version to look at, as NAME[@VERSION|@TAG].
    positive
        Class that counts as selected; the second of two, each of several when left out.
    threshold
        Select from this probability on, instead of as the model decides.
    min_rows
        Fewest rows of a group that is compared; 30 when left out.
    bins
        Upper edges of the bins of a number, as age:25,40,60; quartiles when left out.
    costs
        What a row costs, as fp=1,fn=5 (tp and tn too), for the simulation of thresholds.
    limit
        Refuse (exit 4) what breaks it, as demographic_parity_difference=0.1; repeat it.
    shap_rows
        Explain at most this many rows for the SHAP gaps; 0 leaves them out. 1,000 when left out,
        or fewer where each takes long.
    html
        Write a page to this file, too.

    Raises
    ------
    RefusedError
        A limit of the call is broken; the result says by how much.
    """
    from local_stack.data.profiling.page import check_place

    if html is not None:
        html = outside(workspace, html)
        check_place(html)
    if shap_rows is not None and shap_rows < 0:
        raise InputError(f"--shap-rows needs 0 or more, not {shap_rows}.")
    subject = subject_of(workspace, target, data)
    extra = _limits(limit)
    columns = _columns(workspace, subject, by)
    asked = _asked(subject, columns, is_own=not by, intersect=intersect, min_rows=min_rows)
    edges = bins_of(bins)
    for name in edges:
        if name not in columns:
            raise InputError(
                f"--bins names '{name[:100]}', by which no groups are compared.",
                nearest(name, columns) or f"Add: --by {name[:100]}",
            )
    chosen = replace(
        asked,
        bins={**asked.bins, **edges},
        positive=asked.positive if positive is None else _class(subject, positive),
        limits={**asked.limits, **extra},
    )
    if shap_rows is None:
        shap_rows = min(_SHAP_ROWS, rows_to_explain(subject, None, None, _SHAP_SECONDS))
    plan = Plan(chosen, threshold, _costs(subject, costs), chosen.limits, shap_rows)
    _check(subject, plan, extra, has_costs=costs is not None)
    rows = rows_of(workspace, subject, progress)
    report = measure(subject, plan, rows, progress)
    report = _stored(workspace, subject, plan, report)
    if html is not None:
        from local_stack.explain.groups.page import write

        progress(Step(f"Writing {html.name}"))
        write(report, html)
    broken = [
        (table, it)
        for table in report.tables
        for it in table.limits
        if it.name in extra and not it.passed
    ]
    if broken:
        table, first = broken[0]
        verb = "is" if len(broken) == 1 else "are"
        seen = "not measurable" if first.observed is None else _short(first.observed)
        raise RefusedError(
            f"{len(broken)} of the limits {verb} broken; the first is {first.name} by {table.by}: "
            f"{seen}, required {_short(first.required)}.",
            "Look at the tables in the result.",
            code="fairness_limit_broken",
            result=report,
        )
    return report


def _limits(texts: tuple[str, ...]) -> dict[str, float | bool]:
    """Return limits by name; which of two would count is not for us to choose."""
    found: dict[str, float | bool] = {}
    for name, value in map(limit_of, texts):
        if found.setdefault(name, value) != value:
            raise InputError(f"--limit gives {name} twice.", "Give each limit once.")
    return found


def _short(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.4g}"


# ------------------------------------------------------------------ what is asked


def _columns(workspace: Workspace, subject: Subject, by: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that were named: by the call, the recipe, or the data set."""
    target = str(subject.run["target"])
    names = [column.name for column in subject.version.schema]
    dataset = workspace.get("datasets", subject.version.dataset) or {}
    declared = (subject.run["recipe"] or {}).get("fairness") or {}
    sensitive = [it for it in dataset.get("sensitive") or () if it in names and it != target]
    found = tuple(dict.fromkeys(by or declared.get("by") or sensitive))
    if not found:
        likely = [it for it in names if it != target and trait_of(it, subject.frame[it])]
        raise InputError(
            f"{subject.version.dataset} names no sensitive column, so there are no groups.",
            f"Name a column: --by COLUMN ({', '.join((likely or names)[:6])}, ...)",
        )
    for name in found:
        if name not in names:
            raise InputError(
                f"{subject.version.reference} has no column '{name[:100]}' to compare groups by.",
                f"Edges are given with --bins {name}"
                if ":" in name
                else nearest(name, names) or f"Columns: {named(names)}.",
            )
        if name == target:
            raise InputError(f"'{name}' is what is predicted, so its values are no groups.")
    return found


def _class(subject: Subject, positive: str) -> str:
    """Return a class by the name that results have."""
    if not subject.model.classes:
        return positive  # refused with everything else that is for a classification
    return str(subject.model.classes[places_of(subject, positive)[0]])


def _asked(
    subject: Subject,
    columns: tuple[str, ...],
    *,
    is_own: bool,
    intersect: bool,
    min_rows: int | None,
) -> Fairness:
    from local_stack.marked_yaml import Lines, Node

    declared = (subject.run["recipe"] or {}).get("fairness")
    asked = (
        Fairness(columns)
        if not declared
        else read_fairness(Node(declared, Lines("recipe"), ("fairness",)))
    )
    if min_rows is not None and min_rows < 1:
        raise InputError(f"--min-rows needs 1 or more, not {min_rows}.")
    return replace(
        asked,
        by=columns,
        intersect=intersect or (is_own and asked.intersect),
        min_rows=(asked.min_rows if declared else MIN_ROWS) if min_rows is None else min_rows,
    )


def _costs(subject: Subject, text: str | None) -> Costs:
    """Return the costs of the call, or those by which the recipe chose its threshold."""
    if text is not None:
        return costs_of(text)
    threshold = (subject.run["recipe"] or {}).get("threshold")
    if isinstance(threshold, dict) and "costs" in threshold:
        known = threshold["costs"]
        return Costs(fp=known["false_positive"], fn=known["false_negative"])
    return Costs()


def _check(
    subject: Subject, plan: Plan, extra: Mapping[str, float | bool], *, has_costs: bool
) -> None:
    """Raise where the call asks for what the model does not have; ``extra`` are its limits."""
    model = subject.model
    for name in extra:
        if name not in limits_of(model.task):
            raise InputError(*wrong_limit(name, model.target, model.task))
    if model.task == "regression":
        given = {
            "--positive": plan.fairness.positive is not None,
            "--threshold": plan.threshold is not None,
            "--costs": has_costs,
        }
        for option in (name for name, is_given in given.items() if is_given):
            raise InputError(
                f"{option} is for a classification, and '{model.target}' is a number.",
                f"Leave {option} out.",
            )
        return
    if plan.threshold is not None:
        if not 0 <= plan.threshold <= 1:
            raise InputError(f"--threshold needs a number from 0 to 1, not {plan.threshold:g}.")
        if not model.has_probabilities:
            raise InputError(
                f"{model.record.estimator} gives no probabilities, so it has no threshold.",
                "Leave --threshold out.",
            )
    places_of(subject, plan.fairness.positive)


# ------------------------------------------------------------------ recording


def _stored(
    workspace: Workspace, subject: Subject, plan: Plan, report: FairnessReport
) -> FairnessReport:
    """Store the report as an artefact of the run, and each table as what gates look at."""
    with workspace.scratch() as scratch:
        path = Path(scratch) / Path(FILE).name
        path.write_text(json.dumps(report.to_dict(), allow_nan=False), encoding="utf-8")
        stored = workspace.artifacts.put_file(path).to_dict()
        _record(workspace, subject, plan, report, stored)

        def is_newest() -> bool:  # two may measure a run at the same time
            newest = workspace.query(
                "SELECT artifacts FROM fairness WHERE run_id = ? ORDER BY created_at DESC LIMIT 1",
                report.run_id,
            )
            return bool(newest[0]["artifacts"] == {FILE: stored})

        try:
            tracking, place = workspace.tracking, Path(FILE).parent.as_posix()
            tracking.log_artifacts(report.run_id, Path(scratch), place, is_wanted=is_newest)
        except UnavailableError as error:  # what is recorded here is whole
            return replace(report, notes=(*report.notes, str(error)))
    return report


def _record(
    workspace: Workspace,
    subject: Subject,
    plan: Plan,
    report: FairnessReport,
    stored: Mapping[str, Any],
) -> None:
    classes = [str(label) for label in subject.model.classes]
    n_usual = len(classes) if len(classes) > 2 else 1
    rows = []
    for table in report.tables:
        settings = settings_of(plan.fairness, table.columns, plan.threshold)
        asked = [settings, table.positive, report.data_version]
        text = json.dumps(asked, sort_keys=True, ensure_ascii=True)
        rows.append(
            {
                "run_id": report.run_id,
                "measurement": hashlib.sha256(text.encode()).hexdigest()[:16],
                "by": list(table.columns),
                "positive": table.positive,
                "n_usual": 0 if len(classes) == 2 and table.positive != classes[1] else n_usual,
                "data": report.data_version,
                "rows": report.rows,
                "n_rows": report.n_rows,
                "settings": settings,
                "measured": measured_of(table.disparities, table.four_fifths),
                "result": replace(table, shap_gaps=None, proxies=None, thresholds=None).to_dict(),
                "artifacts": {FILE: dict(stored)},
                "actor": workspace.actor,
                "created_at": now(),
            }
        )

    def decide(state: Any) -> Draft:
        run = state.get("runs", report.run_id)
        artifacts = sorted({*run["artifacts"], *report.artifacts})
        body = {
            "by": [table.by for table in report.tables],
            "rows": report.rows,
            "passed": report.passed,
            "report": stored["sha256"],
        }
        changes = [("fairness", row) for row in rows]
        changes.append(("runs", {**run, "artifacts": artifacts}))
        return Draft("explain.fairness", f"run:{report.run_id}", body, changes)

    workspace.append(decide)
