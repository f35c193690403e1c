"""How an explanation looks: all rows at once, a row, groups; on made-up documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asked_explained as asked
import pytest
import workspaces
import workspaces_explained as made
from conftest import LARGE, SMALL, settle

from local_stack.explain import whatif
from paceml_tui.app import PacemlApp
from paceml_tui.screens.explain_view import ExplanationView
from paceml_tui.tasks import Answer, Desk

CASES = {
    "features": (LARGE, "j"),
    "beeswarm": (SMALL, "2"),
    "row": (LARGE, "4 j enter plus plus"),
    "groups": (SMALL, "5 enter"),
}
"""What is looked at, in which size, and the keys that lead there."""


@pytest.mark.parametrize("case", CASES)
def test_view(
    case: str, filled: Path, monkeypatch: pytest.MonkeyPatch, snap_compare: Callable[..., bool]
) -> None:
    made.fill_explained(filled)
    monkeypatch.setattr(whatif, "Session", asked.Session)
    monkeypatch.setattr(Desk, "carry_out", lambda *_: Answer(asked.fairness()))
    size, keys = CASES[case]
    app = PacemlApp(
        filled, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )

    async def look(pilot: Any) -> None:
        await settle(pilot)
        view = ExplanationView(app.desk, made.RUN, "loans-default")  # type: ignore[arg-type]
        app.push_screen(view)
        for _ in range(2):
            await settle(pilot)
        if case == "groups":
            view.ask_part("fairness", {})
        for key in keys.split():
            await settle(pilot)
            await pilot.press(key)
            await settle(pilot)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)
