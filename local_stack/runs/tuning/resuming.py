"""Which run a study goes on in: one that was killed or stopped, or a new one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from local_stack import jobs
from local_stack.data import versions
from local_stack.errors import ConflictError, InputError
from local_stack.results import now
from local_stack.runs.recipe import Recipe
from local_stack.runs.records import find_run
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

STUDY: Final = "paceml.study"
"""The tag of a study's run: what has to be the same for it to be resumed."""
_RULES: Final = 2
"""Which trials a recipe means: 2 since they begin at the recipe without its search.

A study whose tag says nothing of it is of the rules before, and goes on by them.
"""
_WORDS: Final = {
    "recipe": "the recipe",
    "data": "the data version",
    "sampler": "the sampler",
    "pruner": "the pruner",
}


def key_of(plan: Recipe, version: versions.DataVersion, sampler: str, pruner: str) -> str:
    """Return what identifies a study; how many trials it may have does not."""
    document = plan.to_dict()
    document["search"] = {k: v for k, v in document["search"].items() if k != "trials"}
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    found = {
        "recipe": hashlib.sha256(text.encode()).hexdigest()[:32],
        "data": version.reference,
        "sampler": sampler,
        "pruner": pruner,
        "rules": _RULES,
    }
    return json.dumps(found, sort_keys=True)


def is_old(row: Row) -> bool:
    """Return whether a study was begun by the rules before."""
    return "rules" not in json.loads(row["tags"][STUDY])


def unfinished(workspace: Workspace, key: str) -> Row | None:
    """Return the newest study of this key that has not ended well, or None.

    Raises
    ------
    ConflictError
        It is at work now.
    """
    parts = json.loads(key)
    del parts["rules"]
    rows = workspace.query(
        "SELECT * FROM runs WHERE json_extract_string(tags, '/paceml.study') IN (?, ?) "
        "AND status <> 'FINISHED' AND lifecycle = 'active' ORDER BY started_at DESC LIMIT 1",
        key,
        json.dumps(parts, sort_keys=True),
    )
    for row in rows:
        _check_idle(workspace, row)
    return rows[0] if rows else None


def named(workspace: Workspace, run: str, key: str) -> Row:
    """Return the study ``run``, which is to be resumed.

    Raises
    ------
    InputError
        It is no study, has ended well, or was of something else.
    """
    row = workspace.get("runs", find_run(workspace, run)["run_id"])
    if row is None or STUDY not in row["tags"]:
        raise InputError(f"Run {run} is not a study.", "Begin one: leave --resume out.")
    if row["status"] == "FINISHED":
        raise InputError(
            f"Study {run} has ended, there is nothing to resume.",
            "Begin another: leave --resume out and add --new.",
        )
    was, is_now = json.loads(row["tags"][STUDY]), json.loads(key)
    differing = [words for part, words in _WORDS.items() if was.get(part) != is_now[part]]
    if differing:
        raise InputError(
            f"Study {run} cannot be resumed: {' and '.join(differing)} differs.",
            "Name what it was begun with, or begin another: leave --resume out.",
        )
    _check_idle(workspace, row)
    return row


def reopen(workspace: Workspace, row: Row) -> Row:
    """Record that a study goes on in this process."""
    found: Row = {}

    def decide(state: Any) -> Draft:
        current: Mapping[str, Any] = state.get("runs", row["run_id"])
        _check_idle(workspace, current)
        found.update(current, status="RUNNING", ended_at=None, error=None, job=jobs.current())
        body = {"was": current["status"], "at": now()}
        return Draft("runs.resumed", f"run:{row['run_id']}", body, [("runs", found)])

    workspace.append(decide)
    return found


def _check_idle(workspace: Workspace, row: Mapping[str, Any]) -> None:
    if row["status"] == "RUNNING" and jobs.is_alive(workspace, row["job"] or ""):
        raise ConflictError(
            f"The study {row['run_id']} is at work (job {row['job']}).",
            "Wait for it, cancel it, or begin another with --new.",
        )
