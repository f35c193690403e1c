"""Rows with their predictions, and one of them: why, what would change it, what if."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asked_explained as asked
import pytest
import workspaces_explained as made
from conftest import LARGE, SMALL, running, settle, text_of
from test_explain_view import open_view, press
from test_runs_view import detail_of
from views_kit import held, words

from local_stack.errors import InputError
from local_stack.explain import whatif
from paceml_tui.screens.explain_decision import DecisionView
from paceml_tui.screens.explain_rows import RowsPart


@asynccontextmanager
async def opened(
    filled: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> AsyncIterator[tuple[Any, asked.Session]]:
    """Open the rows of an explanation whose process is a stand-in."""
    made.fill_explained(filled)
    session = asked.Session(filled, made.RUN)
    monkeypatch.setattr(whatif, "Session", lambda *_: session)
    async with running(filled, size, "4") as pilot:
        await open_view(pilot)
        await press(pilot, "4")
        await settle(pilot)
        yield pilot, session


async def test_a_row_is_explained_edited_and_turned(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(filled, monkeypatch, SMALL) as (pilot, session):
        shown = words(pilot)
        assert "rows 1-40 of 40" in shown
        lines = {it.split()[0]: it.split() for it in text_of(pilot).splitlines() if it.split()}
        assert lines["0"][1:4] == ["yes", "✖", "80.2%"]  # its outcome was no
        assert lines["1"][1:3] == ["yes", "53.2%"]
        await press(pilot, "enter")
        view = pilot.app.screen
        assert isinstance(view, DecisionView)
        await settle(pilot)
        shown = words(pilot)
        assert "row 0 outcome yes log-odds of yes" in shown
        assert "80.2% probability of yes" in shown
        steps = [it.split() for it in text_of(pilot).splitlines() if "█" in it][1:]
        assert [it[0] for it in steps] == ["income", "purpose", "age"]
        assert [it[-1] for it in steps] == ["-1.00", "+0.800", "-0.400"]
        await press(pilot, "enter")  # the income is edited, and the prediction follows
        assert "10,000 to 90,000 in the training rows" in words(pilot)
        n_before = len(session.asked)
        await press(pilot, *["backspace"] * 5, *"90000")
        assert session.asked[-1]["income"] == 90_000
        assert len(session.asked) > n_before + 3  # not only at the end
        shown = words(pilot)
        assert "no" in shown
        assert "was yes (80.2%)" in shown
        assert "1 value edited" in shown
        await press(pilot, "escape")
        assert "edited" not in words(pilot)
        await press(pilot, "plus")
        assert session.asked[-1]["income"] == 22_000
        await press(pilot, "backspace")
        assert session.asked[-1]["income"] == 20_000
        assert "edited" not in words(pilot)
        await press(pilot, "e", *"x", "enter")
        assert "'x' is no number." in next(it.message for it in pilot.app._notifications)
        await press(pilot, "3")
        assert "income 80000 no" in words(pilot)
        await press(pilot, "enter")
        assert "no part of it can be taken back" in words(pilot)
        await press(pilot, "a")
        assert "80000 was 20000" in words(pilot)
        assert view.answer["prediction"] == "no"
        await press(pilot, "c")
        assert '"income": 80000' in words(pilot)
        await press(pilot, "escape", "4")
        assert "Of the row as it was" in words(pilot)
        await press(pilot, "r")
        await settle(pilot)
        shown = words(pilot)  # edits stay edits, with what was and what became of the row
        assert "row 0 outcome yes" in shown
        assert "1 value edited" in shown
        assert "was yes (80.2%)" in shown
        assert "row 11" in words(pilot)
        await press(pilot, "5")
        assert "tree 4 +0.200 (adds +0.300, +0.100 on average)" in words(pilot)
        await press(pilot, "1", "h")
        await settle(pilot)
        assert "held income" in words(pilot)
        await press(pilot, "3", "enter")
        assert "There is no other way." in words(pilot)
        assert "income asked for" in words(pilot)
        await press(pilot, "1", "u")
        await settle(pilot)
        assert "80000 was 20000" in words(pilot)
        await press(pilot, "backspace")
        assert session.asked[-1]["income"] == 20_000
        shown = words(pilot)
        assert "edited" not in shown
        assert " was " not in shown
        await press(pilot, "4")
        assert "Of the row as it was edited before" in words(pilot)
        await press(pilot, "r")
        await settle(pilot)
        assert "Of the row as" not in words(pilot)
        assert "index" in view.request.arguments


async def test_rows_are_told_beside_the_list_and_narrowed_by_prediction(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(filled, monkeypatch, LARGE) as (pilot, session):
        await settle(pilot)
        told = " ".join(detail_of(pilot, "rows").split())
        assert "base value, log-odds of yes" in told
        assert "income moves it by -1." in told
        await press(pilot, "o", "j", "enter")
        await settle(pilot)
        only = [it for it in session.rows(0, 99)["rows"] if it["prediction"] == "no"]
        assert 0 < len(only) < 40
        assert f"rows 1-{len(only)} of {len(only)} predicted no" in words(pilot)
        part = pilot.app.screen.query_one(RowsPart)
        assert [it["index"] for it in part.lines.rows] == [it["index"] for it in only]
        await press(pilot, "colon", *"{]", "enter")
        assert "not a JSON object" in next(it.message for it in pilot.app._notifications)
        await press(pilot, "colon", *"7", "enter")
        await settle(pilot)
        assert "row 7" in words(pilot)
        shown = words(pilot)
        assert "What would change it" in shown  # beside the waterfall
        await press(pilot, "u")
        await settle(pilot)
        assert pilot.app.screen.request.arguments["unit"] == "probability"
        await press(pilot, "escape", "escape")
        for _ in range(50):
            if session.is_closed:
                break
            await pilot.pause(0.05)
        assert session.is_closed


async def test_rows_say_from_which_probability_on_their_class_is_predicted(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what_if = asked.Session.what_if
    moved = {"threshold": 0.1931}
    monkeypatch.setattr(asked.Session, "what_if", lambda *a, **k: what_if(*a, **k) | moved)
    async with opened(filled, monkeypatch, SMALL) as (pilot, _):
        assert "rows 1-40 of 40 yes from 0.1931 on" in words(pilot)
        assert "probability of yes" in words(pilot)


async def test_a_question_that_is_refused_leaves_the_row_as_it_is_edited(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain = asked.Session.explain

    def refusing(self: asked.Session, **given: Any) -> dict[str, Any]:
        if given["desired"] == "maybe":
            raise InputError("'maybe' is not a class of this model.", "Its classes: no, yes.")
        return explain(self, **given) | {"notes": ["Said of the row as it was."]}

    monkeypatch.setattr(asked.Session, "explain", refusing)
    async with opened(filled, monkeypatch, SMALL) as (pilot, session):
        with held(monkeypatch, asked.Session, "explain"):
            await pilot.press("enter")
            await pilot.pause()
            await pilot.press("plus")  # while nothing is there to be changed
            await pilot.pause()
            said = [it.message for it in pilot.app._notifications]
        assert said == ["The row is still being explained."]
        await settle(pilot)
        await settle(pilot)
        assert "Said of the row as it was." in words(pilot)
        await press(pilot, "plus")
        assert "1 value edited" in words(pilot)
        assert "Said of the row as it was." not in words(pilot)
        await press(pilot, "d", *"maybe", "enter")
        await settle(pilot)
        assert "'maybe' is not a class of this model." in words(pilot)
        await press(pilot, "escape")
        shown = words(pilot)
        assert "row 0 outcome yes" in shown
        assert "1 value edited" in shown
        assert "maybe" not in shown
        await press(pilot, "plus")
        assert session.asked[-1]["income"] == 24_000
        assert isinstance(pilot.app.screen, DecisionView)
        assert "desired" not in pilot.app.screen.request.arguments
