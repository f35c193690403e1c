"""How each screen looks, at both sizes, on fixed records and a frozen clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import workspaces
from conftest import LARGE, SMALL, settle

from paceml_tui.app import PacemlApp
from paceml_tui.keys import WORDS

CASES = [(word, size) for word in WORDS for size in (SMALL, LARGE)]


@pytest.mark.parametrize(
    ("word", "size"), CASES, ids=[f"{word}-{width}x{height}" for word, (width, height) in CASES]
)
def test_screen(
    word: str,
    size: tuple[int, int],
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Callable[..., bool],
) -> None:
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 0.0)  # the live one is always old
    app = PacemlApp(
        filled, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )

    async def look(pilot: Any) -> None:
        await settle(pilot)
        await pilot.press(str(WORDS.index(word) + 1))
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)
