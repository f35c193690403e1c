"""How the views of data look, at both sizes, on fixed records and a frozen clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, settle
from views_kit import give

from paceml_tui.app import PacemlApp
from paceml_tui.screens.data_diff import DiffView
from paceml_tui.widgets.picker import SourcePicker

DIFF = {
    "key": ["id"],
    "schema": {
        "added": ["channel"],
        "removed": [],
        "retyped": [{"column": "day", "before": "string", "after": "date"}],
        "renamed": [],
    },
    "rows": {"added": 7, "removed": 5, "changed": 23, "unchanged": 372},
    "cells_changed": 26,
    "notes": ["The key is the one of the data set."],
    "columns": [
        {
            "column": "amount",
            "drift": 0.21,
            "n_changed": 19,
            "missing_before": 0.0,
            "missing_after": 0.05,
            "before": {"mean": 50.29},
            "after": {"mean": 52.13},
            "movers": [],
        },
        {
            "column": "region",
            "drift": 0.02325,
            "n_changed": 7,
            "missing_before": 0.0,
            "missing_after": 0.0,
            "before": {},
            "after": {},
            "movers": [{"value": "west", "before": 0.0, "after": 0.017}],
        },
    ],
    "examples": [
        {"change": "added", "key": {}, "column": None, "before": None, "after": {"id": 500}},
        {
            "change": "changed",
            "key": {"id": 20},
            "column": "amount",
            "before": 69.65,
            "after": 139.3,
        },
    ],
}


async def press(pilot: Any, keys: str) -> None:
    await settle(pilot)
    for key in keys.split():
        await pilot.press(key)
        await settle(pilot)


async def see_versions(pilot: Any) -> None:
    await press(pilot, "2 v space")


async def see_contract(pilot: Any) -> None:
    await press(pilot, "2 K")


async def see_editor(pilot: Any) -> None:
    await press(pilot, "2 K e")
    pilot.app.screen.query_one("TextArea").cursor_blink = False
    await settle(pilot)


async def see_diff(pilot: Any) -> None:
    await press(pilot, "2")
    view = DiffView(pilot.app.page.desk, "orders@24ebda96d218", "orders@504e9a745337")
    view.fetch = lambda **_: None  # type: ignore[method-assign]
    pilot.app.push_screen(view)
    await settle(pilot)
    give(view, DIFF)
    await settle(pilot)


async def see_import(pilot: Any) -> None:
    await press(pilot, "2 n")
    pilot.app.screen.query_one(SourcePicker).post_message(SourcePicker.Picked("prices.csv"))
    await pilot.pause(0.1)
    await settle(pilot)


async def see_naming(pilot: Any) -> None:
    await see_import(pilot)
    await press(pilot, "ctrl+r")
    pilot.app.screen.query_one("#naming-name").cursor_blink = False
    await settle(pilot)


VIEWS = {
    "versions": see_versions,
    "contract": see_contract,
    "editor": see_editor,
    "diff": see_diff,
    "import": see_import,
    "naming": see_naming,
}
CASES = [(view, size) for view in VIEWS for size in (SMALL, LARGE)]


@pytest.mark.parametrize(
    ("view", "size"), CASES, ids=[f"{view}-{width}x{height}" for view, (width, height) in CASES]
)
def test_view(
    view: str,
    size: tuple[int, int],
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Callable[..., bool],
) -> None:
    (tmp_path / "prices.csv").write_text(
        "code;price;day\n" + "".join(f"{n:03d};{n},5;2026-01-{1 + n % 28:02d}\n" for n in range(40))
    )
    monkeypatch.chdir(tmp_path)
    app = PacemlApp(
        filled, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )
    look: Callable[[Any], Awaitable[None]] = VIEWS[view]
    assert snap_compare(app, terminal_size=size, run_before=look)
