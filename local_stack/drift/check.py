"""The ``drift check`` verb: two versions, or a model's training data and its live traffic."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from local_stack.command import Location, command
from local_stack.data import adding, versions
from local_stack.errors import InputError, NotFoundError, RefusedError
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import Progress, Step, silent
from local_stack.registry import load, resolve
from local_stack.results import Result, now, plain
from local_stack.runs.records import find_run
from local_stack.serving import prediction_log
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars

    from local_stack.drift.compare import ColumnDrift, DatasetDrift

_PREDICTION = "paceml.prediction"


@dataclass(frozen=True, slots=True)
class DriftReport(Result):
    """How far ``current`` has moved from ``reference``, column by column."""

    report: str
    reference: str
    current: str
    dataset: DatasetDrift
    columns: tuple[ColumnDrift, ...]
    prediction: ColumnDrift | None
    n_reference: int
    n_current: int


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two tables to compare, with what they are called."""

    reference: polars.DataFrame
    current: polars.DataFrame
    reference_name: str
    current_name: str


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    if arguments.get("name"):
        raise NotFoundError("Live traffic changes, so a check of it is never skipped.")
    sides = [str(arguments.get("reference") or ""), str(arguments.get("current") or "")]
    return [
        None if Path(side).is_file() else versions.find(workspace, side).reference for side in sides
    ]


@command(
    "drift.check",
    writes=True,
    is_long=True,
    reads=_reads,
    example="paceml-tui drift check --reference loans@2024 --current loans@2025",
)
def check(
    workspace: Workspace,
    name: str | None = None,
    *,
    reference: str | None = None,
    current: Location | None = None,
    methods: Literal["auto", "evidently"] = "auto",
    report_only: bool = False,
    progress: Progress = silent,
) -> DriftReport:
    """Compare two versions, or a model's training data with what its endpoint has seen.

    Exits 4 when the share of drifted columns reaches the setting drift.share.

    Parameters
    ----------
    name
        Endpoint whose logged predictions are compared with the training data of its model.
    reference
        Data version to compare with, as NAME@VERSION or NAME@TAG.
    current
        Data version or file to look at.
    methods
        How scores are chosen; auto and evidently choose as Evidently does by default.
    report_only
        Report drift without failing (exit 0).
    """
    progress(Step("Reading both sides"))
    sides = _sides(workspace, name, reference, current)
    result = _compared(workspace, sides, methods, progress)
    row = {
        "report": result.report,
        "reference": result.reference,
        "current": result.current,
        "drifted": result.dataset.drifted,
        "share": result.dataset.share,
        "n_drifted": result.dataset.n_drifted,
        "n_columns": result.dataset.n_columns,
        "n_reference": result.n_reference,
        "n_current": result.n_current,
        "columns": plain(result.columns),
        "created_at": now(),
    }
    body = {k: row[k] for k in ("reference", "current", "drifted", "share", "n_drifted")}
    subject = f"drift:{name or result.reference}"
    workspace.append(lambda _: Draft("drift.checked", subject, body, [("drift_reports", row)]))
    if result.dataset.n_columns == 0 and not report_only:
        raise RefusedError(
            f"Nothing of {result.current} could be compared with {result.reference}.",
            "The reason stands beside each column: other columns, other types, too few values.",
            code="nothing_compared",
            result=result,
        )
    if result.dataset.drifted and not report_only:
        raise RefusedError(
            f"{result.current} has drifted from {result.reference}: {result.dataset.n_drifted} "
            f"of {result.dataset.n_columns} columns.",
            "Look at the columns in the result; retrain, or raise drift.share in paceml.toml.",
            code="drift_found",
            result=result,
        )
    return result


def _compared(workspace: Workspace, sides: _Sides, methods: str, progress: Progress) -> DriftReport:
    from local_stack.drift.compare import DriftThresholds, compare_frames

    found = compare_frames(
        sides.reference,
        sides.current,
        methods=methods,
        thresholds=DriftThresholds(share=workspace.settings.drift.share),
        progress=progress,
    )
    prediction = next((c for c in found.columns if c.column == _PREDICTION), None)
    return DriftReport(
        report=secrets.token_hex(6),
        reference=sides.reference_name,
        current=sides.current_name,
        dataset=found.dataset,
        columns=found.columns,
        prediction=prediction,
        n_reference=sides.reference.height,
        n_current=sides.current.height,
    )


def _sides(
    workspace: Workspace, name: str | None, reference: str | None, current: str | None
) -> _Sides:
    if name is not None:
        return _live(workspace, name)
    if reference is None or current is None:
        raise InputError(
            "There is nothing to compare.",
            "Name an endpoint, or both sides: --reference NAME@VERSION --current NAME@VERSION",
        )
    before = versions.find(workspace, reference)
    if Path(current).is_file() or "://" in current:
        after = adding.read_source(workspace, current)
        return _Sides(versions.read(workspace, before), after, before.reference, current)
    later = versions.find(workspace, current)
    return _Sides(
        versions.read(workspace, before),
        versions.read(workspace, later),
        before.reference,
        later.reference,
    )


def _live(workspace: Workspace, name: str) -> _Sides:
    """Return the training data and the traffic of the version that an endpoint serves."""
    endpoint = workspace.get("endpoints", name)
    if endpoint is None:
        raise NotFoundError(
            f"There is no endpoint '{name}'.", "List them with: paceml-tui serving list"
        )
    import polars

    seen = prediction_log.read(workspace, name).filter(
        polars.col("paceml.model") == endpoint["model"],
        polars.col("paceml.version") == endpoint["version"],
    )
    if seen.height == 0:
        raise InputError(
            f"The endpoint '{name}' has logged no prediction yet.",
            f"Ask it something: paceml-tui serving predict {name} --row JSON",
        )
    version = resolve(workspace, f"{endpoint['model']}/{endpoint['version']}")
    run = find_run(workspace, version.run_id)
    entry = run["datasets"][0]
    trained_on = versions.find(workspace, f"{entry['name']}@{entry['digest']}")
    model = load(workspace, version.model)
    frame = versions.read(workspace, trained_on)
    answers = polars.Series(_PREDICTION, model.predict(raw_columns(frame, model.inputs)))
    frame = frame.select(c.name for c in model.inputs).with_columns(answers)
    seen = seen.with_columns(
        polars.col(c.name).str.to_datetime(strict=False).cast(frame.schema[c.name])
        for c in model.inputs
        if c.type in ("date", "datetime") and seen.schema.get(c.name) == polars.String
    )
    columns = [column for column in frame.columns if column in seen.columns]
    return _Sides(
        frame.select(columns), seen.select(columns), trained_on.reference, f"endpoint:{name}"
    )
