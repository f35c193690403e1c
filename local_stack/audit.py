"""Audit: who did what, when; and whether the record of it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_stack.command import command
from local_stack.errors import DamagedError, InputError, RefusedError
from local_stack.progress import Progress, silent
from local_stack.results import Result, iso
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AuditEvent(Result):
    """One recorded decision. ``at`` is UTC ISO 8601, ``hash`` its place in the chain."""

    seq: int
    at: str
    actor: str
    command: str
    kind: str
    subject: str
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class AuditLog(Result):
    """The newest matching events, newest first, out of ``total`` that match."""

    events: tuple[AuditEvent, ...]
    total: int


@dataclass(frozen=True, slots=True)
class AuditVerdict(Result):
    """What checking the chain gave. ``head`` is the hash of the last good event."""

    passed: bool
    n_events: int
    head: str
    problem: str
    place: str
    n_segments: int


@command("audit.log", example="paceml-tui audit log --subject data:wine --limit 20")
def log(
    workspace: Workspace,
    *,
    subject: str | None = None,
    since: str | None = None,
    actor: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    progress: Progress = silent,
) -> AuditLog:
    """List recorded decisions, newest first.

    Parameters
    ----------
    subject
        Only events about this thing, such as data:wine or model:wine; a part is enough.
    since
        Only events at or after this UTC time (ISO 8601, a date will do).
    actor
        Only events of this actor.
    kind
        Only events of this kind, such as registry.promoted.
    limit
        How many events to return.
    """
    terms: list[str] = []
    values: list[Any] = []
    for column, value in (("actor", actor), ("kind", kind)):
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if subject is not None:
        terms.append("contains(subject, ?)")
        values.append(subject)
    if since is not None:
        terms.append('"at" >= ?')
        values.append(_moment(since))
    where = " AND ".join(terms) or "true"
    rows = workspace.query(
        f"SELECT * FROM events WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608 - our words only
        *values,
        max(0, limit),
    )
    total = workspace.query(f"SELECT count(*) AS n FROM events WHERE {where}", *values)  # noqa: S608
    return AuditLog(tuple(AuditEvent(**row) for row in rows), total[0]["n"])


def _moment(text: str) -> str:
    try:
        return iso(datetime.fromisoformat(text))
    except ValueError:
        raise InputError(
            f"--since {text} is not a time.", "Write it as 2026-01-31 or 2026-01-31T08:00:00Z."
        ) from None


@command("audit.verify", example="paceml-tui audit verify")
def verify(workspace: Workspace, *, progress: Progress = silent) -> AuditVerdict:
    """Check every event of the journal against the hash chain; exit 4 when one does not hold."""
    verdict = workspace.journal.verify()
    result = AuditVerdict(
        passed=not verdict.problem,
        n_events=verdict.n_events,
        head=verdict.head,
        problem=verdict.problem,
        place=verdict.place,
        n_segments=len(list(workspace.journal.folder.glob("[0-9]*.jsonl"))),
    )
    if verdict.problem:
        raise RefusedError(
            verdict.problem,
            "Restore the journal from a backup; nothing is written until then.",
            code=DamagedError.code,
            result=result,
        )
    return result
