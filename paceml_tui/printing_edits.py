"""What an edit of runs did, for people: which runs, what they are now, and what people wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paceml_tui.safe import safe

_MACHINE = ("mlflow.", "paceml.")
_ID_LETTERS = 8


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs note``, ``tag``, ``delete`` or ``restore``."""
    runs = found.get("runs", [found])
    for run in runs:
        done = "" if run["changed"] else ", as before"
        yield f"{safe(run['run_id'][:_ID_LETTERS])}  {safe(run['name'])}  {run['lifecycle']}{done}"
    if "runs" not in found:
        tags = {key: text for key, text in found["tags"].items() if not key.startswith(_MACHINE)}
        width = max(map(len, map(safe, tags)), default=0)
        for key, text in sorted(tags.items()):
            yield f"  {safe(key):<{width}}  {safe(text)}"
        if found["note"]:
            yield "  note:"
            yield from (f"    {line}" for line in safe(found["note"], is_block=True).split("\n"))
    yield from (f"Warning: {safe(warning, 0)}" for warning in found["warnings"])
