"""A due diligence as text for people, in as many columns as the terminal has."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from paceml_tui import diligence

_NARROWEST, _WIDEST = 60, 120


def lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a due diligence, the JSON of ``data diligence``, without colour."""
    width = min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)
    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, highlight=False
    )
    for segments in console.render_lines(diligence.page(values), pad=False):
        yield "".join(segment.text for segment in segments).rstrip()
