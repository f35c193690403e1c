"""Every command of every service, in the order of the life cycle; and how a job runs one.

Importing this module declares them all. It stays cheap: services import heavy libraries
inside the functions that need them.
"""

from __future__ import annotations

import contextlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from local_stack.command import COMMANDS, Command, find
from local_stack.errors import StackError
from local_stack.progress import Progress, silent
from local_stack.workspace import Workspace

WORDS = ("tower", "data", "runs", "explain", "registry", "serving", "drift", "audit")
"""The parts of the life cycle, in the order of the screens."""

for _word in (*WORDS, "jobs_desk", "doctor", "pipeline"):
    import_module(f"local_stack.{_word}")

__all__ = ["COMMANDS", "WORDS", "Command", "call", "find", "run_job"]


def call(
    workspace: Workspace, name: str, arguments: dict[str, Any], *, progress: Progress = silent
) -> Any:
    """Run the command ``name`` with ``arguments`` as a file or a command line gives them."""
    command = find(name)
    values = command.coerce(arguments)
    positional = [
        values.pop(p.name) for p in command.parameters if p.is_positional and p.name in values
    ]
    return command.call(workspace, *positional, **values, progress=progress)


def run_job(root: Path, job: str, actor: str) -> int:
    """Run the command of the job folder ``job`` in this process; return the exit code."""
    asked = json.loads((root / "jobs" / job / "job.json").read_text(encoding="utf-8"))
    with Workspace.open(root, actor=actor) as workspace:
        try:
            call(workspace, asked["command"], asked["arguments"])
        except StackError as error:
            with contextlib.suppress(OSError):
                print(error)  # noqa: T201 - the job's log.txt
            return error.exit_code
    return 0
