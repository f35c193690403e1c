"""What a command line asks for, and the workspace that it means."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack import environment
from paceml_tui import narration

if TYPE_CHECKING:
    from local_stack.workspace import Workspace


@dataclass
class Call:
    """What stands on the command line besides the command's own words."""

    words: list[str]
    workspace: str | None = None
    batch: str | None = None
    report: str | None = None
    is_json: bool = False
    is_readonly: bool = False
    is_detached: bool = False
    sets: list[str] = field(default_factory=list)


def open_workspace(call: Call, *, create: bool = False) -> Workspace:
    """Open the workspace that was named, or the one around the working directory."""
    from local_stack.workspace import HIDDEN, Workspace, find_root

    place = Path(call.workspace or os.environ.get("PACEML_WORKSPACE") or ".")
    if create and find_root(place.absolute()) is None:
        folder = place.absolute() if call.workspace else place.absolute() / HIDDEN
        Workspace.create(folder).close()
        narration.say(f"Made the workspace {folder}.")
    opened = Workspace.open(place, readonly=call.is_readonly)
    environment.prepare(opened.root / "cache" / "tmp")
    return opened
