"""What the screen of runs remembers of a workspace: columns that were chosen, filters by name.

It lies in the workspace's cache, so that nobody else's list changes with it; a file that is
gone or damaged counts as nothing remembered.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FILE: Final = "runs-screen.json"
MOST_FILTERS: Final = 100
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Remembered:
    """``columns`` names what is shown of a group, ``filters`` the text of each saved filter."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)


def recall(cache: Path) -> Remembered:
    """Return what is remembered in the folder ``cache``."""
    file = cache / FILE
    try:
        text = file.read_text(encoding="utf-8") if file.stat().st_size < _MOST_BYTES else ""
        found = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return Remembered()
    if not isinstance(found, dict):
        return Remembered()
    columns = {
        group: tuple(name for name in names if isinstance(name, str))
        for group, names in _mapping(found.get("columns")).items()
        if isinstance(names, list)
    }
    filters = {n: it for n, it in _mapping(found.get("filters")).items() if isinstance(it, str)}
    return Remembered(columns, filters)


def remember(cache: Path, what: Remembered) -> None:
    """Write what is to be remembered; a cache that cannot be written to forgets it."""
    document = {"columns": dict(what.columns), "filters": dict(what.filters)}
    scratch = cache / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        scratch.write_text(json.dumps(document, indent=1), encoding="utf-8")
        scratch.replace(cache / FILE)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
