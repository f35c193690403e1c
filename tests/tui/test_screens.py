"""Each screen in each of its states: loading, empty, filled, failed, too small."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import workspaces
from conftest import LARGE, SMALL, running, settle, text_of

from local_stack.errors import UnavailableError
from paceml_tui.app import PacemlApp
from paceml_tui.keys import WORDS
from paceml_tui.tasks import Desk

KEY = {word: str(place) for place, word in enumerate(WORDS, 1)}
FILLED = {
    "tower": ("5 versions", "wine-quality/2", "3 data sets", "drifted", "machine"),
    "data": ("Data sets 3", "wine", "6,497", "2026-11-20"),
    "runs": ("Runs 24", "lightgbm-00", "FINISHED", "0.6100", "rmse"),
    "explain": ("Explanations 2", "elasticnet-03", "alcohol"),
    "registry": ("Model versions 5", "wine-quality", "Production"),
    "serving": ("Endpoints 3", "dead", "stopped", "4,210"),
    "drift": ("Drift reports 3", "wine-red", "drifted", "50%"),
    "audit": ("Events 41", "drift.checked", "endpoint:loans"),
}
DETAIL = {
    "data": ("volatile acidity", "DOUBLE", "sample_data/loans.csv"),
    "runs": ("learning_rate", "wine@0c4e7a9b13f0", "model/model.txt"),
    "explain": ("base value", "sulphates", "█"),
    "registry": ("Stage history", "beats the"),
    "serving": ("http://127.0.0.1:8001", "Its process is gone"),
    "drift": ("wine@0c4e7a9b13f0", "sulphates", "┃"),
    "audit": ("subject", "Body", "hash"),
}


@pytest.mark.parametrize("word", WORDS)
async def test_filled_shows_records_and_detail(word: str, filled: Path) -> None:
    """The list at 80 columns, the detail in its place and back, both side by side at 160."""
    async with running(filled, SMALL, KEY[word]) as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert_shown(FILLED[word], text_of(pilot))
        if word == "tower":
            return
        assert pilot.app.focused is page.table
        await pilot.press("o" if word == "explain" else "enter")  # which opens a view there
        await settle(pilot)
        assert page.is_detail_alone
        assert_shown(DETAIL[word], text_of_static(pilot))
        await pilot.press("escape")
        await settle(pilot)
        assert not page.is_detail_alone
        assert pilot.app.focused is page.table
        await pilot.resize_terminal(*LARGE)
        await settle(pilot)
        assert_shown((*FILLED[word], *DETAIL[word]), text_of(pilot))


def assert_shown(expected: tuple[str, ...], shown: str) -> None:
    words = " ".join(shown.split())
    assert [it for it in expected if " ".join(it.split()) not in words] == []


def text_of_static(pilot: object) -> str:
    """Return the whole detail, with what is scrolled out of sight."""
    from io import StringIO

    from rich.console import Console
    from textual.widgets import Static

    page = pilot.app.page  # type: ignore[attr-defined]
    shown = page.query_one("Detail").query_one(Static).content
    console = Console(width=78, file=StringIO(), theme=None, no_color=True, color_system=None)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


async def test_empty_says_which_key_helps(empty: Path) -> None:
    async with running(empty, SMALL) as pilot:
        for word in WORDS:
            await pilot.press(KEY[word])
            await settle(pilot)
            page = pilot.app.page  # type: ignore[attr-defined]
            if word == "audit":  # the making of the workspace is an event
                assert page.state == "filled"
                continue
            assert page.state == "empty", word
            assert page.query_one("Notice").has_focus, word
            assert page.EMPTY[:30] in " ".join(text_of(pilot).split())
            assert re.search(r"Press \w", page.EMPTY)
            await pilot.press("question_mark")  # the keys work without a list
            await settle(pilot)
            assert f"Help: {word}" in text_of(pilot)
            await pilot.press("escape")


async def test_failed_stays_inside_the_pane(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UnavailableError("The disk [/nope]\x1b[2J is full.", "Free some space.")

    monkeypatch.setattr(Desk, "query", refuse)
    async with running(filled, SMALL) as pilot:
        for word in WORDS:
            await pilot.press(KEY[word])
            await settle(pilot)
            assert pilot.app.page.state == "failed", word  # type: ignore[attr-defined]
            shown = text_of(pilot)
            assert "The disk [/nope]␛[2J is full." in shown
            assert "Free some space." in shown
            assert "8 audit" in shown


async def test_loading_is_said_while_the_frame_stands(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = threading.Event()
    query = Desk.query

    def slow(desk: Desk, *args: object) -> object:
        may_read.wait(20)
        return query(desk, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Desk, "query", slow)
    app = PacemlApp(filled, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE)
    try:
        async with app.run_test(size=SMALL) as pilot:
            for word in WORDS:
                await pilot.press(KEY[word])
                await pilot.pause(0.05)
                assert app.page.state == "loading", word
                assert "Reading the" in text_of(pilot), word
                assert "8 audit" in text_of(pilot)
            may_read.set()
            await settle(pilot)
            assert app.page.state == "filled"
    finally:
        may_read.set()


async def test_too_small_says_so_and_recovers(filled: Path) -> None:
    async with running(filled, SMALL, "3") as pilot:
        for width, height in ((59, 24), (80, 15), (20, 5), (1, 1)):
            await pilot.resize_terminal(width, height)
            await settle(pilot)
            if width >= 20:
                assert "too small" in " ".join(text_of(pilot).split())
            assert "lightgbm" not in text_of(pilot)
        for word in WORDS:
            await pilot.resize_terminal(30, 10)
            await pilot.press(KEY[word])
            await settle(pilot)
            assert "too small" in " ".join(text_of(pilot).split()), word
            await pilot.resize_terminal(60, 16)
            await settle(pilot)
            assert_shown(FILLED[word][:1], text_of(pilot))


async def test_resizing_keeps_the_selection(filled: Path) -> None:
    async with running(filled, SMALL, "3 j j j") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        before = page.selected
        await pilot.resize_terminal(*LARGE)
        await settle(pilot)
        assert page.selected == before
        assert "elasticnet-03" in text_of_static(pilot)
        await pilot.resize_terminal(60, 16)
        await settle(pilot)
        assert page.selected == before
        assert "elasticnet-03" in text_of(pilot)


async def test_headers_are_whole_at_80_columns(filled: Path) -> None:
    async with running(filled, SMALL) as pilot:
        for word in WORDS[1:]:
            await pilot.press(KEY[word])
            await settle(pilot)
            header = text_of(pilot).splitlines()[2].split()
            titles = {c.title for c in pilot.app.page.listing.columns}  # type: ignore[attr-defined]
            words = {part for title in titles for part in title.split()} | {"↓", "↑"}
            assert header, word
            assert set(header) <= words


async def test_a_profile_job_is_shown_with_its_data(filled: Path) -> None:
    async with running(filled, LARGE, "2 j") as pilot:
        shown = text_of(pilot)
        assert "skewness" in shown
        assert "▁" in shown or "█" in shown
        assert "1,177" in shown


async def test_a_live_process_is_up_and_a_dead_one_dead(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from local_stack.results import now
    from local_stack.workspace import Workspace

    with Workspace.open(empty) as workspace:
        for name, pid in (("alive", os.getpid()), ("gone", workspaces.NO_PROCESS)):
            endpoint = workspaces.row(
                "endpoints",
                name=name,
                model="m",
                version=1,
                port=1,
                url="u",
                pid=pid,
                started_at=now(),
            )
            workspaces.append(workspace, "serving.started", f"endpoint:{name}", endpoint)
    async with running(empty, SMALL, "6") as pilot:
        lines = {line.split()[0]: line for line in text_of(pilot).splitlines() if line.strip()}
        assert "● up" in lines["alive"]
        assert "✖ dead" in lines["gone"]
