"""A finished training for people: its metrics beside plain models, checks, and curves as text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from paceml_tui.evaluations import drawn, metric_lines
from paceml_tui.safe import safe

_NARROWEST, _WIDEST = 60, 110
_ID_LETTERS = 8

Values = Mapping[str, Any]


def lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs train``."""
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    name, mark, version = found["data_version"].rpartition("@")
    where = safe(found["experiment"])
    yield f"Run {found['run_id'][:_ID_LETTERS]}  {safe(found['name'])}, in {where}"
    cost = found["cost"]
    memory = f"{cost['peak_memory_bytes'] / 1e6:,.0f} MB at most"
    yield (
        f"Data {safe(f'{name}{mark}{version[:_ID_LETTERS]}')}; "
        f"fit {found['seconds']:.2f} s, whole run {cost['wall_seconds']:.2f} s, {memory}"
    )
    document = found.get("evaluation") or {}
    for text in [*metric_lines(found["metrics"], document, width), *drawn(document, width)]:
        yield text.plain.rstrip()
    told = {it["message"] for it in (document.get("details") or {}).get("checks", ())}
    others = [it for it in found["warnings"] if it not in told]
    if others:
        yield ""
    yield from (f"Warning: {safe(it)}" for it in others)
