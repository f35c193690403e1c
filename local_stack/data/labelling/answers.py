"""Answers: who gave which classes to which row. Each act is one event, on disk when it returns.

An act has a turn, a number that grows under the journal's lock. What somebody says of a row is
what they said last; undoing removes the last turn of whoever asks, so that what stood before
counts again. The journal keeps everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from local_stack.data.labelling import classes as naming
from local_stack.data.versions import DataVersion
from local_stack.errors import ConflictError, InputError, NotFoundError
from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

Role = Literal["label", "adjudicate"]

CHUNK = 5_000
"""Rows of a file that one event holds."""

_MOST_NOTE = 2_000
_CURRENT = (
    'SELECT actor, "row", arg_max(turn, turn) AS turn, '
    "arg_max(CAST(classes AS VARCHAR), turn) AS classes, "
    "arg_max(is_skipped, turn) AS is_skipped, arg_max(note, turn) AS note "
    "FROM labels WHERE labelling = ? AND role = ? "
    'AND "row" IN (SELECT unnest(from_json(?, \'["BIGINT"]\'))) GROUP BY actor, "row"'
)


@dataclass(frozen=True, slots=True)
class Given:
    """What is said of one row: its classes (None: skipped), by whom ('' is whoever calls)."""

    row: int
    classes: tuple[str, ...] | None
    note: str = ""
    actor: str = ""


def labelling_id(version: DataVersion, column: str) -> str:
    """Return the name by which answers refer to a labelling."""
    text = json.dumps([version.dataset, version.version, column])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def declare(
    workspace: Workspace,
    version: DataVersion,
    column: str,
    classes: Sequence[str],
    *,
    is_multi: bool | None = None,
) -> bool:
    """Begin the labelling of a column, or add classes to it; return whether that was new.

    Raises
    ------
    ConflictError
        When rows that have one class are to have several, or the reverse, after an answer.
    """
    at = now()

    def decide(state: Metadata) -> Draft | None:
        refuse_collected(state, version)
        before = state.get("labellings", version.dataset, version.version, column)
        several = bool(before and before["is_multi"]) if is_multi is None else is_multi
        known = list(before["classes"]) if before else []
        cleaned = [naming.cleaned(each, is_multi=several) for each in classes]
        if before and several != before["is_multi"]:
            _refuse_answered(state, before)
            known = [naming.cleaned(each, is_multi=several) for each in known]
        row = {
            **(before or _begun(version, column, workspace.actor, at)),
            "classes": list(dict.fromkeys([*known, *cleaned])),
            "is_multi": several,
        }
        if len(row["classes"]) > naming.MOST_CLASSES:
            raise InputError(
                f"A labelling has at most {naming.MOST_CLASSES:,} classes.", "Name fewer."
            )
        if row == before:
            return None
        row["updated_at"] = at
        body = {name: row[name] for name in ("version", "column", "classes", "is_multi")}
        changes: list[Change] = [("labellings", row)]
        return Draft("data.label_declared", f"data:{version.dataset}", body, changes)

    return workspace.append(decide) is not None


def give(
    workspace: Workspace,
    version: DataVersion,
    column: str,
    answers: Sequence[Given],
    *,
    role: Role = "label",
    progress: Progress = silent,
) -> int:
    """Record answers, a chunk an event, and return how many were not known already.

    Raises
    ------
    InputError
        For a row that is not there or a class that is not declared; nothing is recorded then.
    """
    turn = [0]
    n_new = 0
    for answer in answers:
        _check_row(version, answer)
    if len(answers) > CHUNK:  # a fault in the last chunk shall not leave the first ones
        labelling = declared(workspace.metadata, version, column)
        for answer in answers:
            _resolved(labelling, answer)
    for start in range(0, len(answers), CHUNK):
        progress(Step("Recording answers", start, len(answers)))
        chunk = answers[start : start + CHUNK]
        n_new += _append(workspace, version, column, chunk, role, turn)
    return n_new


def undo(workspace: Workspace, version: DataVersion, column: str) -> tuple[int, ...]:
    """Take back the last act of whoever calls, and return the rows that it was of.

    Raises
    ------
    ConflictError
        When there is nothing of theirs to undo.
    """
    undone: list[int] = []

    def decide(state: Metadata) -> Draft | None:
        labelling = declared(state, version, column)
        found = state.query(
            'SELECT labelling, turn, "row", actor, role FROM labels WHERE labelling = ? AND turn = '
            "(SELECT max(turn) FROM labels WHERE labelling = ? AND given_by = ?) "
            'ORDER BY "row", actor',
            labelling["labelling"],
            labelling["labelling"],
            workspace.actor,
        )
        if not found or (turn and found[0]["turn"] != turn[0]):
            return None
        turn[:] = [found[0]["turn"]]
        part = found[:CHUNK]
        rows = [it["row"] for it in part]
        undone.extend(rows)
        more.append(len(found) > CHUNK)
        body = {
            "version": version.version,
            "column": column,
            "rows": rows if len(rows) <= 20 else len(rows),
            "role": part[0]["role"],
        }
        key = ("labelling", "turn", "row", "actor")
        changes: list[Change] = [("labels", {name: it[name] for name in key}, None) for it in part]
        return Draft("data.label_undone", f"data:{version.dataset}", body, changes)

    turn: list[int] = []
    more = [True]
    while more[-1]:
        if workspace.append(decide) is None:
            break
    if not undone:
        raise ConflictError(
            f"{workspace.actor} has nothing to undo for column '{column}' of {version.reference}.",
            "Answers of others can only be changed by themselves.",
        )
    return tuple(undone)


def declared(state: Metadata, version: DataVersion, column: str) -> Row:
    """Return the record of a labelling whose version is still here.

    Raises
    ------
    NotFoundError
        When it was never begun, or the bytes of its version were collected.
    """
    refuse_collected(state, version)
    row = state.get("labellings", version.dataset, version.version, column)
    if row is None:
        raise NotFoundError(
            f"Column '{column}' of {version.reference} has no classes yet.",
            f"Declare them: paceml-tui data label {version.reference} --column '{column}' "
            "--classes yes,no",
        )
    return row


def refuse_collected(state: Metadata, version: DataVersion) -> None:
    """Raise for a version whose bytes were removed: nobody can see its rows any more."""
    row = state.get("data_versions", version.dataset, version.version)
    if row is None or row["collected_at"]:
        raise NotFoundError(
            f"The rows of {version.reference} are not here any more, so they take no answer.",
            f"Bring them back: paceml-tui data pull --name {version.reference}",
        )


def _begun(version: DataVersion, column: str, actor: str, at: str) -> Row:
    return {
        "dataset": version.dataset,
        "version": version.version,
        "column": column,
        "labelling": labelling_id(version, column),
        "made": [],
        "actor": actor,
        "created_at": at,
        "updated_at": at,
    }


def _refuse_answered(state: Metadata, labelling: Row) -> None:
    (found,) = state.query(
        "SELECT count(*) AS n FROM labels WHERE labelling = ?", labelling["labelling"]
    )
    if found["n"]:
        held = "several classes" if labelling["is_multi"] else "one class"
        raise ConflictError(
            f"Rows have {held} in the labelling of '{labelling['column']}', "
            f"and {found['n']:,} answers were given.",
            "Begin another column, or undo the answers first.",
        )


def _check_row(version: DataVersion, answer: Given) -> None:
    if not 0 <= answer.row < version.rows:
        raise InputError(
            f"{version.reference} has no row {answer.row}.",
            f"Its rows are 0 to {version.rows - 1}." if version.rows else "It has no rows at all.",
        )
    if len(answer.note) > _MOST_NOTE:
        raise InputError(
            f"The note on row {answer.row} has {len(answer.note):,} characters.",
            f"Take at most {_MOST_NOTE:,}.",
        )


def _append(
    workspace: Workspace,
    version: DataVersion,
    column: str,
    chunk: Sequence[Given],
    role: Role,
    turn: list[int],
) -> int:
    """Record a chunk as one event; all chunks of a file share the turn of the first."""
    at = now()
    n_new = [0]

    def decide(state: Metadata) -> Draft | None:
        labelling = declared(state, version, column)
        rows = [_row(labelling, it, role, workspace.actor, at) for it in chunk]
        is_known = _knowing(state, labelling, rows, role)
        fresh = [row for row in rows if not is_known(row)]
        n_new[0] = len(fresh)
        if not fresh:
            return None
        turn[0] = turn[0] or _next_turn(state, labelling)
        changes: list[Change] = [("labels", {**row, "turn": turn[0]}) for row in fresh]
        kind = "data.labelled" if role == "label" else "data.label_adjudicated"
        return Draft(kind, f"data:{version.dataset}", _body(version, column, fresh), changes)

    workspace.append(decide)
    return n_new[0]


def _row(labelling: Row, answer: Given, role: Role, caller: str, at: str) -> Row:
    found = _resolved(labelling, answer)
    return {
        "labelling": labelling["labelling"],
        "row": answer.row,
        "actor": answer.actor or caller,
        "role": role,
        "classes": None if found is None else list(found),
        "is_skipped": found is None,
        "note": answer.note,
        "given_by": caller,
        "at": at,
    }


def _resolved(labelling: Row, answer: Given) -> tuple[str, ...] | None:
    if answer.classes is None:
        return None
    return naming.chosen(answer.classes, labelling["classes"], is_multi=labelling["is_multi"])


def _knowing(
    state: Metadata, labelling: Row, rows: Sequence[Row], role: Role
) -> Callable[[Row], bool]:
    """Return whether a row would say again what is said of it already."""
    numbers = json.dumps([row["row"] for row in rows])
    found = state.query(_CURRENT, labelling["labelling"], role, numbers)
    newest = {}
    for it in sorted(found, key=lambda it: int(it["turn"])):
        who = it["actor"] if role == "label" else ""  # the last judge of a row counts
        newest[who, it["row"]] = it

    def is_known(row: Row) -> bool:
        before = newest.get((row["actor"] if role == "label" else "", row["row"]))
        if before is None or before["actor"] != row["actor"]:
            return False
        same = (before["is_skipped"], before["note"]) == (row["is_skipped"], row["note"])
        return same and (row["is_skipped"] or json.loads(before["classes"]) == row["classes"])

    return is_known


def _next_turn(state: Metadata, labelling: Row) -> int:
    (found,) = state.query(
        "SELECT coalesce(max(turn), 0) + 1 AS turn FROM labels WHERE labelling = ?",
        labelling["labelling"],
    )
    return int(found["turn"])


def _body(version: DataVersion, column: str, rows: Sequence[Row]) -> dict[str, Any]:
    body: dict[str, Any] = {"version": version.version, "column": column}
    if len(rows) == 1:
        shown = ("row", "classes", "note") if rows[0]["note"] else ("row", "classes")
        return {**body, **{name: rows[0][name] for name in shown}, "annotator": rows[0]["actor"]}
    return {**body, "n_rows": len(rows), "annotators": sorted({row["actor"] for row in rows})}
