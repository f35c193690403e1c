"""Making workspaces for the tests of the app: the frozen now, records, and folders of jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_stack import workspace as workspaces
from local_stack.results import iso
from local_stack.stores import journal
from local_stack.stores.journal import Draft
from local_stack.stores.schema import TABLES
from local_stack.workspace import Workspace
from paceml_tui.tasks import Machine

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
MACHINE = Machine(
    cpu=0.37,
    n_cpus=2,
    memory_used=3_400_000_000,
    memory_total=8_000_000_000,
    disk_free=41_000_000_000,
    disk_total=120_000_000_000,
)
NO_PROCESS = 2**22 + 1
"""No Linux process has this number."""

HOSTILE = (
    "[/nope]\x1b[2J",
    "\x1b]0;owned\x07title",
    "\x1b]52;c;b3duZWQ=\x07",
    "a\u202egnp.exe",
    "zero\u200bwidth\u2060\ufeff",
    "x" * 300,
    "🦀👩‍🔬🏳️‍🌈",
    "機械学習" * 40,
    "\x9b31mC1",
    "tab\tline\nfeed\r\x00nul",
    "Z" + "\u0301" * 60,
    "\ud800lone",
    "[bold red]markup[/]",
    "${jndi:x} %s {0} \\u001b",
)


def at(**before: float) -> str:
    """Return a UTC ISO 8601 time before the frozen now."""
    return iso(NOW - timedelta(**before))


def row(table: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return table, {name: values.get(name) for name in TABLES[table].columns}


def append(workspace: Workspace, kind: str, subject: str, *changes: Any, **body: Any) -> None:
    workspace.append(lambda _: Draft(kind, subject, body, changes))


def create(root: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make a workspace whose journal is the same on every machine and at every time."""
    ticks = iter(range(10_000))
    monkeypatch.setenv("PACEML_ACTOR", "ada")
    monkeypatch.setattr(
        journal, "now", lambda: iso(NOW - timedelta(seconds=9_000 - next(ticks) * 60))
    )
    monkeypatch.setattr(workspaces.secrets, "token_hex", lambda n: "5a" * n)
    return Workspace.create(root, actor="ada")


def add_job(root: Path, job: str, command: str, status: str = "finished", **more: Any) -> None:
    """Write the folder of a job that has ended, as the job runner leaves it."""
    folder = root / "jobs" / job
    folder.mkdir(parents=True)
    asked = {"job": job, "command": command, "arguments": more.get("arguments", {}), "actor": "ada"}
    begun = {"pid": NO_PROCESS, "started_at": at(minutes=50)}
    ended = {"job": job, "status": status, "ended_at": at(minutes=49), "error": more.get("error")}
    step = {"at": at(minutes=49), "label": "writing", "done": 3, "total": 3}
    (folder / "job.json").write_text(json.dumps({**asked, "created_at": at(minutes=50)}))
    (folder / "started.json").write_text(json.dumps(begun))
    (folder / "result.json").write_text(json.dumps(ended))
    (folder / "events.jsonl").write_text(json.dumps(step) + "\n")
    (folder / "log.txt").write_text(more.get("log", "one\ntwo\n"), errors="surrogatepass")
    if "output" in more:
        (folder / "output.json").write_text(json.dumps(more["output"]))
