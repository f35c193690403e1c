"""What the tests of the views share: keys, what is shown, slow and failing reads, results."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import SMALL, settle, text_of
from textual.pilot import Pilot

from local_stack.errors import UnavailableError
from paceml_tui.tasks import Answer
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.view import View
from paceml_tui.widgets.working import Ended, ResultView

REFUSED = "The disk [/nope]␛[2J is full."
"""What is shown of the error that :func:`refuse` raises."""


def words(pilot: Pilot[int]) -> str:
    """Return what the terminal shows, in one line."""
    return " ".join(text_of(pilot).split())


async def press(pilot: Pilot[int], *pressed: str) -> None:
    """Press keys one by one, each when what the last one began has ended."""
    for key in pressed:
        await pilot.press(key)
        await settle(pilot)
        await pilot.pause()


async def retype(pilot: Pilot[int], text: str) -> None:
    """Replace what stands in the editor, and wait until it was looked at."""
    pilot.app.screen.query_one(Editor).area.text = text
    await pilot.pause(0.5)
    await settle(pilot)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[None]:
    """Hold every call of a function until the block is left."""
    may_go, real = threading.Event(), getattr(owner, name)

    def slow(*given: Any, **named: Any) -> Any:
        may_go.wait(20)
        return real(*given, **named)

    monkeypatch.setattr(owner, name, slow)
    try:
        yield
    finally:
        may_go.set()


def refuse(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Let every call of a function fail from now on."""

    def fail(*_: object) -> None:
        raise UnavailableError("The disk [/nope]\x1b[2J is full.", "Free some space.")

    monkeypatch.setattr(owner, name, fail)


async def assert_small_and_back(pilot: Pilot[int]) -> None:
    """Make the terminal too small and large again: the view says so, and has its focus back."""
    view = pilot.app.screen
    assert isinstance(view, View)
    await pilot.resize_terminal(50, 12)
    await settle(pilot)
    assert "too small" in words(pilot)
    await pilot.resize_terminal(*SMALL)
    await settle(pilot)
    assert pilot.app.focused is view.main()


def give(view: ResultView, result: Mapping[str, Any]) -> None:
    """Give a view a result, as a command does when it ends."""
    view.post_message(Ended(view.request, Answer(dict(result))))
