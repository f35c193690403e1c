"""How one run, a comparison and the line of a search look, on fixed runs and a frozen clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workspaces
import workspaces_runs as made
from conftest import LARGE, SMALL, settle

from paceml_tui.app import PacemlApp

CASES = {
    "metrics": (LARGE, "3 j j j o 2"),
    "curve": (SMALL, "3 j j j o 2 enter"),
    "files": (LARGE, "3 j j j o 4 G k k"),
    "compare": (LARGE, "3 j j space space d"),
    "parallel": (SMALL, "3 j space space space d 4"),
    "search": (SMALL, "3 slash m e t r i c s full_stop r m"),
}
"""What is looked at, in which size, and the keys that lead there."""


@pytest.mark.parametrize("case", CASES)
def test_view(case: str, empty: Path, snap_compare: Callable[..., bool]) -> None:
    made.fill_runs(empty)
    size, keys = CASES[case]
    app = PacemlApp(
        empty, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )

    async def look(pilot: Any) -> None:
        await settle(pilot)
        for key in keys.split():
            await pilot.press(key)
            await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)
