"""Every command of every service, in the order of the life cycle; and how a job runs one.

A command is declared by the import of its module. Asking for one imports little more than that;
asking for all of them imports every service, which stays cheap as services import heavy
libraries inside the functions that need them.
"""

from __future__ import annotations

import contextlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from local_stack import command as declared
from local_stack import data, environment, explain, runs
from local_stack.command import Command
from local_stack.errors import StackError
from local_stack.progress import Progress, silent
from local_stack.workspace import Workspace

__all__ = ["WORDS", "Command", "call", "commands", "find", "run_job"]

WORDS = ("tower", "data", "runs", "explain", "registry", "serving", "drift", "audit")
"""The parts of the life cycle, in the order of the screens."""

VERBS = {"data": data.VERBS, "runs": runs.VERBS, "explain": explain.VERBS}
"""The modules that declare the verbs of a word, where they are worth importing one by one."""

_SERVICES = (*WORDS, "jobs_desk", "doctor", "pipeline")


def commands() -> dict[str, Command]:
    """Return every command by name."""
    for service in _SERVICES:
        import_module(f"local_stack.{service}")
    for word, verbs in VERBS.items():
        for module in dict.fromkeys(verbs.values()):
            import_module(f"local_stack.{word}.{module}")
    names = sorted(declared.COMMANDS, key=_place)
    return {name: declared.COMMANDS[name] for name in names}


def _place(name: str) -> tuple[int, int]:
    """Return where a command stands in a list, whatever was imported first."""
    word, _, verb = name.partition(".")
    verbs = list(VERBS.get(word, ()))
    return (
        WORDS.index(word) if word in WORDS else len(WORDS),
        verbs.index(verb) if verb in verbs else len(verbs),
    )


def find(name: str) -> Command:
    """Return the command called ``name``; raise :class:`InputError` with the nearest one."""
    word, _, verb = name.partition(".")
    if verb in VERBS.get(word, ()):
        import_module(f"local_stack.{word}.{VERBS[word][verb]}")
    elif word in WORDS:
        import_module(f"local_stack.{word}")
    if name not in declared.COMMANDS:
        commands()
    return declared.find(name)


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
    environment.suit_threads(asked["command"])
    with Workspace.open(root, actor=actor) as workspace:
        try:
            call(workspace, asked["command"], asked["arguments"])
        except StackError as error:
            with contextlib.suppress(OSError):
                print(error)  # noqa: T201 - the job's log.txt
            return error.exit_code
    return 0
