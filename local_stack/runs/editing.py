"""Notes, tags, deleting and restoring: what people change of runs, whoever made them.

The decision is an event, and MLflow's store is written after it. What the store has not taken
stays in the table ``run_edits``; every search lays it over what the store says, and the doctor
writes it again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from local_stack.command import command, pairs
from local_stack.errors import InputError, RefusedError, UnavailableError
from local_stack.progress import Progress, silent
from local_stack.results import Result, now
from local_stack.runs.records import find_run, status
from local_stack.runs.relation import RUNS
from local_stack.runs.syncing import before_reading, look_again
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.tracking import Edit
from local_stack.workspace import Workspace

NOTE: Final = "mlflow.note.content"
"""The tag in which MLflow keeps the note of a run."""

_RESERVED = ("mlflow.", "paceml.")
_KEY = re.compile(r"[/\w.\- :]+")
_LONGEST_KEY, _LONGEST_PART, _LONGEST_VALUE = 250, 255, 8000
_Patch = Mapping[str, Any]
"""``tags``: key to value, or to None for one that goes; ``lifecycle``: active, deleted, None."""


@dataclass(frozen=True, slots=True)
class EditedRun(Result):
    """A run as it stands after an edit; ``changed`` tells whether it stood otherwise before."""

    run_id: str
    name: str
    lifecycle: str
    note: str
    tags: dict[str, str]
    changed: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EditedRuns(Result):
    """Runs as they stand after an edit of several; ``n_changed`` stood otherwise before."""

    runs: tuple[EditedRun, ...]
    n_changed: int
    warnings: tuple[str, ...] = ()


@command(
    "runs.note", writes=True, is_long=True, example='paceml-tui runs note latest "best so far"'
)
def note(workspace: Workspace, run: str, text: str, *, progress: Progress = silent) -> EditedRun:
    """Write the note of a run, which MLflow shows as its description.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    text
        The note (Markdown); an empty one takes the note away.
    """
    _refuse_value("note", text)
    return _edited_one(workspace, run, {NOTE: text or None}, "runs.noted", progress)


@command(
    "runs.tag",
    writes=True,
    is_long=True,
    example="paceml-tui runs tag latest team=risk reviewed=yes draft=",
)
def tag(
    workspace: Workspace,
    run: str,
    tags: tuple[str, ...] | str | Mapping[str, str],
    *,
    progress: Progress = silent,
) -> EditedRun:
    """Set tags of a run, or take them away.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    tags
        KEY=VALUE; KEY= takes the tag away. Several may follow each other.
    """
    if isinstance(tags, Mapping):
        wanted = {str(key): str(value) for key, value in tags.items()}
    else:
        wanted = pairs([tags] if isinstance(tags, str) else tags, "A tag", "team=risk")
    if not wanted:
        raise InputError("runs.tag needs KEY=VALUE.", "Example: team=risk")
    for key, value in wanted.items():
        _refuse_key(key)
        _refuse_value(f"value of the tag '{key}'", value)
    patch = {key: value or None for key, value in wanted.items()}
    return _edited_one(workspace, run, patch, "runs.tagged", progress)


@command("runs.delete", writes=True, is_long=True, example="paceml-tui runs delete RUN_ID RUN_ID")
def delete(
    workspace: Workspace,
    runs: tuple[str, ...] | str,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> EditedRuns:
    """Mark runs as deleted; 'runs restore' takes that back, for nothing of them is removed.

    Refused as a whole when one of them is not found, is at work, or is a model version in
    Staging or Production.

    Parameters
    ----------
    runs
        Run ids, or unambiguous beginnings of them.
    force
        Also runs that are at work, or that are model versions in Staging or Production.
    """

    def guard(state: Metadata, rows: Sequence[Row]) -> None:
        if not force:
            _refuse_needed(workspace, state, rows)

    edit = {"tags": {}, "lifecycle": "deleted"}
    return _edited(workspace, _found(workspace, runs, progress), edit, "runs.deleted", guard)


@command("runs.restore", writes=True, is_long=True, example="paceml-tui runs restore RUN_ID")
def restore(
    workspace: Workspace, runs: tuple[str, ...] | str, *, progress: Progress = silent
) -> EditedRuns:
    """Take the deletion of runs back; refused as a whole when one of them is not found.

    Parameters
    ----------
    runs
        Run ids, or unambiguous beginnings of them.
    """
    edit = {"tags": {}, "lifecycle": "active"}
    return _edited(workspace, _found(workspace, runs, progress), edit, "runs.restored")


def unwritten(workspace: Workspace) -> list[str]:
    """Return the runs of which MLflow's store lacks what was recorded here."""
    return [row["run_id"] for row in workspace.query("SELECT run_id FROM run_edits ORDER BY ALL")]


def mirror(workspace: Workspace, runs: Sequence[str]) -> tuple[str, ...]:
    """Write what is unwritten of ``runs`` into MLflow's store; return what it did not take."""
    rows: dict[str, Row] = {}

    def wanted() -> dict[str, Edit]:
        rows.clear()
        rows.update({run: row for run in runs if (row := workspace.get("run_edits", run))})
        return {run: (row["tags"] or {}, row["lifecycle"]) for run, row in rows.items()}

    if not wanted():
        return ()
    try:
        problems = workspace.tracking.edit_runs(wanted)
    except UnavailableError as error:
        return (str(error),)
    taken = [run for run in rows if run not in problems]
    look_again(workspace, [*rows])
    lost = set(problems) - {row["run_id"] for row in _rows(workspace.metadata, [*problems])}
    _settle(workspace, {run: rows[run] for run in [*taken, *lost]})
    return tuple(dict.fromkeys(text for run, text in problems.items() if run not in lost))


def _settle(workspace: Workspace, written: Mapping[str, Row]) -> None:
    """Record that the store has taken these edits, or lost their runs; a renewed one stays."""

    def decide(state: Metadata) -> Draft | None:
        same = [run for run, row in written.items() if state.get("run_edits", run) == row]
        gone: list[Change] = [("run_edits", {"run_id": run}, None) for run in same]
        return Draft("runs.mirrored", _subject(same), {"runs": same}, gone) if same else None

    workspace.append(decide)


def _edited_one(
    workspace: Workspace, run: str, patch: Mapping[str, str | None], kind: str, progress: Progress
) -> EditedRun:
    def guard(state: Metadata, rows: Sequence[Row]) -> None:
        for row in rows:
            if row["lifecycle"] == "deleted":
                raise InputError(
                    f"Run {row['run_id']} is deleted, so it is not changed.",
                    f"Restore it first: paceml-tui runs restore {row['run_id']}",
                )

    found = _found(workspace, (run,), progress)
    done = _edited(workspace, found, {"tags": dict(patch), "lifecycle": None}, kind, guard)
    (edited,) = done.runs
    return EditedRun(
        **{**{n: getattr(edited, n) for n in edited.__slots__}, "warnings": done.warnings}
    )


def _found(workspace: Workspace, runs: Sequence[str] | str, progress: Progress) -> list[str]:
    """Return the ids of the runs that are meant; raise when one of them is not found."""
    given = [runs] if isinstance(runs, str) else list(runs)
    if not given:
        raise InputError("No run is named.", "List them with: paceml-tui runs search")
    before_reading(workspace, progress)
    found = [find_run(workspace, run)["run_id"] for run in given]
    return list(dict.fromkeys(found))


def _edited(
    workspace: Workspace,
    runs: Sequence[str],
    edit: _Patch,
    kind: str,
    guard: Callable[[Metadata, Sequence[Row]], None] = lambda state, rows: None,
) -> EditedRuns:
    """Record ``edit`` of all ``runs`` as one event, then write it into MLflow's store."""
    changed: set[str] = set()

    def decide(state: Metadata) -> Draft | None:
        changed.clear()
        rows = _rows(state, runs)
        guard(state, rows)
        changes: list[Change] = []
        for row in rows:
            new = _news(row, edit)
            if new is not None:
                changed.add(row["run_id"])
                changes += _changes(workspace, state, row, new)
        if not changes:
            return None
        body = {"runs": sorted(changed), **{key: value for key, value in edit.items() if value}}
        return Draft(kind, _subject(sorted(changed)), body, changes)

    if workspace.append(decide) is None:
        look_again(workspace, runs)  # the store may have moved on since it was indexed
        workspace.append(decide)
    warnings = mirror(workspace, runs)
    rows = _rows(workspace.metadata, runs)
    return EditedRuns(tuple(_result(row, changed) for row in rows), len(changed), warnings)


def _rows(state: Metadata, runs: Sequence[str]) -> list[Row]:
    marks = ", ".join("?" * len(runs))
    found = state.query(
        f"SELECT * FROM {RUNS} WHERE run_id IN ({marks})",  # noqa: S608 - a name of ours and marks
        *runs,
    )
    rows = {row["run_id"]: row for row in found}
    return [rows[run] for run in runs if run in rows]


def _news(row: Row, edit: _Patch) -> _Patch | None:
    """Return the part of ``edit`` that the run does not have yet, or None."""
    tags = row["tags"] or {}
    patch = {key: value for key, value in edit["tags"].items() if tags.get(key) != value}
    lifecycle = edit["lifecycle"] if edit["lifecycle"] != row["lifecycle"] else None
    return {"tags": patch, "lifecycle": lifecycle} if patch or lifecycle else None


def _changes(workspace: Workspace, state: Metadata, row: Row, new: _Patch) -> list[Change]:
    """Return what an edit sets: what the store is to be told, and our own record of the run."""
    pending = state.get("run_edits", row["run_id"]) or {}
    told = {
        "run_id": row["run_id"],
        "tags": {**(pending.get("tags") or {}), **new["tags"]},
        "lifecycle": new["lifecycle"] or pending.get("lifecycle"),
        "actor": workspace.actor,
        "edited_at": now(),
    }
    changes: list[Change] = [("run_edits", told)]
    own = state.get("runs", row["run_id"])
    if own is not None:
        tags = {**(own["tags"] or {}), **new["tags"]}
        kept = {key: value for key, value in tags.items() if value is not None}
        lifecycle = new["lifecycle"] or own["lifecycle"]
        changes.append(("runs", {**own, "tags": kept, "lifecycle": lifecycle}))
    return changes


def _refuse_needed(workspace: Workspace, state: Metadata, rows: Sequence[Row]) -> None:
    """Raise when a run is at work, or is a model version that serves or is about to."""
    for row in rows:
        if row["lifecycle"] == "deleted":
            continue
        run = row["run_id"]
        held = [
            f"{version['name']}/{version['version']} ({version['stage']})"
            for version in state.find("model_versions", run_id=run)
            if version["stage"] in ("Staging", "Production")
        ]
        reason = f"is registered as {', '.join(held)}" if held else ""
        if not held and row["source"] == "workspace" and status(workspace, row) == "RUNNING":
            reason = "is at work"
        if reason:
            raise RefusedError(
                f"Run {run} {reason}, so no run was deleted.",
                "Leave it out, or add --force.",
                code="run_in_use",
                details={"run_id": run, "model_versions": held},
            )


def _refuse_key(key: str) -> None:
    """Raise for a key that is reserved, or that MLflow would not take."""
    if key.lower().startswith(_RESERVED):
        hint = 'Write the note with: paceml-tui runs note RUN "TEXT"' if key == NOTE else ""
        owner = "MLflow" if key.lower().startswith("mlflow.") else "PACE-ML"
        raise InputError(
            f"The tag '{key}' is {owner}'s own record.", hint or "Take another name for the tag."
        )
    normal = posixpath.normpath(key) == key and not key.startswith(("/", ".."))
    if not _KEY.fullmatch(key) or not normal or key == ".":
        raise InputError(
            f"'{key}' cannot be the name of a tag.",
            "Take letters, digits, spaces and _ - . : /, and no path that leads elsewhere.",
        )
    is_long = any(len(part.encode()) > _LONGEST_PART for part in key.split("/"))
    if len(key) > _LONGEST_KEY or is_long:
        raise InputError(
            f"The name of the tag has {len(key)} characters.",
            f"MLflow takes at most {_LONGEST_KEY}.",
        )


def _refuse_value(noun: str, text: str) -> None:
    """Raise for a text that MLflow would cut, or that no file can hold."""
    if len(text) > _LONGEST_VALUE:
        raise InputError(
            f"The {noun} has {len(text):,} characters, and MLflow keeps {_LONGEST_VALUE:,}.",
            "Shorten it.",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The {noun} holds U+{ord(text[error.start]):04X}, which no text can hold.",
            "Leave it out.",
        ) from None


def _subject(runs: Sequence[str]) -> str:
    return " ".join(f"run:{run}" for run in runs)


def _result(row: Row, changed: set[str]) -> EditedRun:
    tags = dict(row["tags"] or {})
    return EditedRun(
        run_id=row["run_id"],
        name=row["name"] or "",
        lifecycle=row["lifecycle"],
        note=tags.get(NOTE, ""),
        tags=tags,
        changed=row["run_id"] in changed,
    )
