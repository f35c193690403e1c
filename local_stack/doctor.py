"""Doctor: what is wrong with a workspace, and its repair.

What a killed process leaves is harmless (nothing half-written is ever shown as complete), but
it stays until somebody cleans it up: jobs without an end, runs that still say RUNNING, torn
lines, temporary files, and a mirror that lags behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from local_stack import jobs
from local_stack.command import command
from local_stack.data.sharing import manifests
from local_stack.errors import ReadOnlyError, RefusedError, StackError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.registry import mirror
from local_stack.results import Result, now
from local_stack.runs import editing, syncing
from local_stack.runs.records import find_run, status
from local_stack.runs.train import mend_mirror, mirror_run
from local_stack.serving import prediction_log
from local_stack.stores.artifacts import Stored, stored
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.mlflow_stores import moving
from local_stack.stores.mlflow_stores.opening import folder_of
from local_stack.stores.places import redacted
from local_stack.workspace import Workspace

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding(Result):
    """One thing that is not as it should be, and how it is mended."""

    code: str
    severity: Severity
    subject: str
    message: str
    fix: str
    is_repaired: bool


@dataclass(frozen=True, slots=True)
class Health(Result):
    """What the doctor found. ``healthy`` is false while an error is not repaired."""

    healthy: bool
    findings: tuple[Finding, ...]
    n_events: int


@command("doctor.check", example="paceml-tui doctor --repair")
def check(
    workspace: Workspace,
    *,
    repair: bool = False,
    reindex: bool = False,
    progress: Progress = silent,
) -> Health:
    """Look for what killed processes and damaged files have left, and repair it if asked.

    Exits 4 while an error stands.

    Parameters
    ----------
    repair
        Mend what can be mended; each repair is recorded.
    reindex
        Build the metadata store anew from the journal, and the run index from the MLflow store.
    """
    if (repair or reindex) and workspace.is_readonly:
        raise ReadOnlyError(
            "A read-only workspace cannot be repaired.", "Call it again without --readonly."
        )
    if reindex:
        progress(Step("Folding the journal"))
        workspace.metadata.rebuild()
        syncing.rebuild(workspace, progress)
    findings: list[Finding] = []
    examinations: tuple[Callable[[Workspace, bool], list[Finding]], ...] = (
        _journal,
        _jobs,
        _runs,
        _segments,
        _artifacts,
        _scratch,
        _torn_runs,
        _mirror,
        _edits,
        _moved,
    )
    for number, examine in enumerate(examinations):
        progress(Step("Examining", number, len(examinations)))
        findings += examine(workspace, repair)
        # Nothing is mended on the word of a journal that is damaged.
        repair = repair and not any(f.code == "journal_damaged" for f in findings)
    open_errors = [f for f in findings if f.severity == "error" and not f.is_repaired]
    result = Health(not open_errors, tuple(findings), workspace.metadata.position.seq)
    if open_errors:
        raise RefusedError(
            f"The workspace is not healthy: {open_errors[0].message}",
            open_errors[0].fix,
            code="unhealthy",
            result=result,
        )
    return result


def _journal(workspace: Workspace, repair: bool) -> list[Finding]:
    verdict = workspace.journal.verify()
    if not verdict.problem:
        return []
    fix = "Restore the journal from a backup; nothing is written until then."
    return [Finding("journal_damaged", "error", "journal", verdict.problem, fix, False)]


def _jobs(workspace: Workspace, repair: bool) -> list[Finding]:
    found = []
    for job in jobs.abandoned(workspace):
        if repair:
            jobs.bury(workspace, job)
        message = f"{job.command} was killed and left no result."
        fix = "Record its end: paceml-tui doctor --repair"
        found.append(Finding("job_killed", "warning", f"job:{job.job}", message, fix, repair))
    return found


def _runs(workspace: Workspace, repair: bool) -> list[Finding]:
    found = []
    for row in workspace.metadata.find("runs", status="RUNNING"):
        if status(workspace, row) == "RUNNING":
            continue
        if repair:
            _end_run(workspace, row)
        message = f"Run {row['run_id']} says RUNNING, but its process is gone."
        fix = "Mark it KILLED: paceml-tui doctor --repair"
        found.append(Finding("run_killed", "warning", f"run:{row['run_id']}", message, fix, repair))
    return found


def _end_run(workspace: Workspace, row: Row) -> None:
    ended = {**row, "status": "KILLED", "ended_at": now(), "error": "The process was killed."}

    def decide(state: Metadata) -> Draft | None:
        current = state.get("runs", row["run_id"])
        if current is None or current["status"] != "RUNNING":
            return None
        body = {"status": "KILLED", "by": "doctor"}
        return Draft("runs.ended", f"run:{row['run_id']}", body, [("runs", ended)])

    workspace.append(decide)


def _segments(workspace: Workspace, repair: bool) -> list[Finding]:
    """Prediction-log segments of servers that died are adopted up to their last whole line."""
    found = []
    for name in prediction_log.orphans(workspace):
        if repair:
            prediction_log.adopt(workspace, name)
        message = f"The endpoint '{name}' died and left an open prediction log."
        fix = "Seal it: paceml-tui doctor --repair"
        found.append(Finding("segment_open", "warning", f"endpoint:{name}", message, fix, repair))
    return found


def _artifacts(workspace: Workspace, repair: bool) -> list[Finding]:
    """Every artefact that a record refers to is there, and has its recorded size."""
    wanted: dict[str, tuple[str, Stored]] = {}
    for row in workspace.query("SELECT * FROM data_versions WHERE collected_at IS NULL"):
        for item in manifests.objects(row):
            wanted[item.key] = (f"data:{row['dataset']}@{row['version']}", item)
    for row in workspace.query("SELECT run_id, model, files FROM runs WHERE model IS NOT NULL"):
        for part in (row["model"], *(row["files"] or {}).values()):
            for item in stored(part):
                wanted[item.key] = (f"run:{row['run_id']}", item)
    try:
        missing = [found for found in wanted.values() if not workspace.artifacts.holds(found[1])]
    except UnavailableError as error:
        return [Finding("store_down", "error", "artifacts", error.message, error.hint, False)]
    fix = "Restore it from a backup or from the bucket."
    return [
        Finding(
            "artifact_missing",
            "error",
            subject,
            f"The artefact {item.blob.md5} is missing.",
            fix,
            False,
        )
        for subject, item in missing
    ]


def _scratch(workspace: Workspace, repair: bool) -> list[Finding]:
    """Temporary files of killed writers; only looked for while no job is at work."""
    if any(job.is_alive for job in jobs.listed(workspace)):
        return []
    left = workspace.leftovers()
    if not left:
        return []
    if repair:
        workspace.sweep()
    message = f"{len(left)} temporary files were left by processes that were killed."
    fix = "Remove them: paceml-tui doctor --repair"
    return [Finding("scratch_left", "note", "cache", message, fix, repair)]


def _torn_runs(workspace: Workspace, repair: bool) -> list[Finding]:
    """Find runs whose torn files break every search of every MLflow client."""
    try:
        torn = workspace.tracking.torn()
    except UnavailableError:  # said by the examination of the mirror
        return []
    if repair:
        for run in torn:
            row = workspace.get("runs", run)
            if row is None:
                workspace.tracking.mend(run)
            else:
                mend_mirror(workspace, row)
    fix = "Mend it or set it aside: paceml-tui doctor --repair"
    return [
        Finding(
            "mirror_torn", "warning", f"run:{run}", f"MLflow cannot read run {run}.", fix, repair
        )
        for run in torn
    ]


def _mirror(workspace: Workspace, repair: bool) -> list[Finding]:
    """MLflow may still show runs as RUNNING that have ended or were never recorded."""
    try:
        stale = [run for run in workspace.tracking.unfinished() if not _is_running(workspace, run)]
        if repair:
            for run in stale:
                _mirror_run(workspace, run)
            for row in workspace.query("SELECT name FROM models"):
                mirror(workspace, row["name"])
    except UnavailableError as error:
        return [Finding("mirror_down", "warning", "mlflow", error.message, error.hint, False)]
    fix = "Bring MLflow in step: paceml-tui doctor --repair"
    return [
        Finding(
            "mirror_lags",
            "warning",
            f"run:{run}",
            f"MLflow shows run {run} as RUNNING.",
            fix,
            repair,
        )
        for run in stale
    ]


def _edits(workspace: Workspace, repair: bool) -> list[Finding]:
    """Tags, notes and deletions that MLflow's store has not taken."""
    runs = editing.unwritten(workspace)
    if runs and repair:
        editing.mirror(workspace, runs)
    left = set(editing.unwritten(workspace)) if repair else set(runs)
    fix = "Write it again: paceml-tui doctor --repair"
    return [
        Finding(
            "edit_unwritten",
            "warning",
            f"run:{run}",
            f"MLflow does not have what was changed of run {run}.",
            fix,
            run not in left,
        )
        for run in runs
    ]


def _moved(workspace: Workspace, repair: bool) -> list[Finding]:
    """Find URIs of artefacts that lead to where their store was moved or copied from."""
    root = folder_of(workspace.tracking.uri)
    if root is None:
        return []
    try:
        local, remote = moving.moved(root)
    except OSError:  # said by the examination of the mirror
        return []
    found = []
    if local:
        is_own = root.resolve() == (workspace.root / "mlruns").resolve()
        left = [one for one in local if not (repair and is_own and moving.rebase(one))]
        if len(left) < len(local):
            body = {"store": str(root), "n_rebased": len(local) - len(left)}
            workspace.append(lambda _: Draft("mlflow.rebased", "mlflow", body))
        message = (
            f"{len(local):,} URIs of artefacts in MLflow's store lead to where it was before or "
            f"was copied from, such as {_brief(local[0].uri)}; "
            "PACE-ML reads the artefacts where they lie now."
        )
        fix = "Let MLflow find them, too: paceml-tui doctor --repair"
        if not is_own:
            fix = "The store is not the workspace's own: whoever moved it has to mend it."
        elif left and repair:
            fix = f"Look at {left[0].folder / 'meta.yaml'}: it was not as expected."
        found.append(Finding("artifacts_moved", "warning", "mlflow", message, fix, not left))
    if remote:
        message = (
            f"{len(remote):,} URIs of artefacts in MLflow's store lead to a server or bucket, such "
            f"as {_brief(remote[0].uri)}, but artefacts lie in the store, where PACE-ML reads them."
        )
        fix = "Nothing needs to be done: MLflow itself asks the server."
        found.append(Finding("artifacts_remote", "note", "mlflow", message, fix, False))
    return found


def _brief(uri: str) -> str:
    return redacted(uri)[:200]


def _mirror_run(workspace: Workspace, run: str) -> None:
    row = workspace.get("runs", run)
    if row is not None and row["status"] != "RUNNING":
        mend_mirror(workspace, row)
        mirror_run(workspace, row)
    else:
        workspace.tracking.end_run(run, _ended_as(workspace, run))


def _is_running(workspace: Workspace, run: str) -> bool:
    row: Any = workspace.get("runs", run)
    return row is not None and status(workspace, row) == "RUNNING"


def _ended_as(workspace: Workspace, run: str) -> str:
    try:
        recorded = status(workspace, find_run(workspace, run))
    except StackError:  # killed between MLflow's record and ours
        return "KILLED"
    return "KILLED" if recorded == "RUNNING" else recorded
