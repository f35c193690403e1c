"""The due diligence view: what is stored is shown at once, and a job judges the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import LARGE, SMALL, all_text, running, settle, until
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import words

from local_stack.catalog import call
from local_stack.jobs import Job
from local_stack.workspace import Workspace
from paceml_tui.screens.data_diligence import DiligenceView
from paceml_tui.screens.data_rows import RowsView
from paceml_tui.widgets.dialog import Confirm, Notification

N = 300
HOSTILE = "[/nope]\x1b[2J"


def loans() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    income = generator.normal(size=N)
    late = np.where(generator.random(N) < 1 / (1 + np.exp(-2 * income)), "yes", "no")
    frame = pl.DataFrame(
        {
            "income": income,
            "sex": generator.choice(["male", "female"], N),
            HOSTILE: generator.choice(["[red]a", "b\x1b]0;x\x07", "=1+1"], N),
            "paid_back": np.where(late == "yes", 0.0, 1.0),
            "late": late,
        }
    )
    return pl.concat([frame, frame.head(30)])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with a judged table, one without a target and one without rows."""
    folder = tmp_path_factory.mktemp("judged")
    loans().write_parquet(folder / "loans.parquet")
    loans().drop("paid_back", HOSTILE).head(80).write_parquet(folder / "open.parquet")
    loans().head(0).write_parquet(folder / "none.parquet")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        for name, more in (("loans", {"target": "late"}), ("open", {}), ("none", {})):
            source = str(folder / f"{name}.parquet")
            call(workspace, "data.add", {"name": name, "source": source, **more})
        call(workspace, "data.diligence", {"name": "loans", "sensitive": ["sex"]})
    return folder / "studio"


@pytest.fixture
def studio(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "studio"))


async def see(pilot: Pilot[int], reference: str, state: str = "filled") -> DiligenceView:
    """Open the view and wait for a state of it."""
    view = DiligenceView(pilot.app.page.desk, reference)  # type: ignore[attr-defined]
    pilot.app.push_screen(view)
    for _ in range(300):
        await pilot.pause(0.05)
        if view.state == state:
            break
    await settle(pilot)
    return view


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x45"])
async def test_what_is_stored_is_shown_part_by_part(studio: Path, size: tuple[int, int]) -> None:
    async with running(studio, size, "2") as pilot:
        await see(pilot, "loans")
        shown = words(pilot)
        assert "usable with care" in shown
        assert "'paid_back' is the target under another name" in shown
        assert "What to do" in shown
        for key, expected in (
            ("2", "target_copy"),
            ("3", "What plain models reach"),
            ("5", "others give it away"),
            ("4", "more like"),
        ):
            await pilot.press(key)
            await settle(pilot)
            await until(pilot, expected)
            assert_harmless(all_text(pilot))
        await pilot.press("3", "G")
        await settle(pilot)
        assert "Classes" in words(pilot)
        await pilot.press("tab")
        await settle(pilot)
        assert "margin" in words(pilot) or "score" in words(pilot)


async def test_a_finding_leads_to_the_rows_behind_it(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        view = await see(pilot, "loans")
        await pilot.press("2")
        await settle(pilot)
        place = next(
            row["place"]
            for row in view.listed.lines.rows  # type: ignore[union-attr]
            if row["code"] == "duplicates"
        )
        await pilot.press(*["j"] * place, "enter")
        await settle(pilot)
        assert "30 rows (9.1%) repeat an earlier one" in words(pilot)
        assert "2 equal rows" in words(pilot)
        await pilot.press("o")
        await until(pilot, "60 asked for")
        assert isinstance(pilot.app.screen, RowsView)
        await pilot.press("escape", "escape", "escape")
        await settle(pilot)
        assert pilot.app.screen is not view


async def test_what_was_done_can_be_repeated_and_copied(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        await see(pilot, "loans")
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Notification)
        assert "paceml-tui data diligence loans --target late" in words(pilot)
        assert "data.diligence:" in words(pilot)
        await pilot.press("escape", "y")
        await settle(pilot)
        assert pilot.app.clipboard.startswith("loans: usable with care\n")
        await pilot.press("o")
        await until(pilot, "Select a finding or a doubtful target")
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)


@pytest.mark.usefixtures("cold_jobs")
async def test_a_target_is_asked_for_and_a_job_judges(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        table = pilot.app.page.table  # type: ignore[attr-defined]
        names = [row["name"] for row in pilot.app.page.listing.rows]  # type: ignore[attr-defined]
        table.move_cursor(row=names.index("open"))
        await pilot.press("i")
        await until(pilot, "Which column is to be predicted?")
        view = pilot.app.screen
        assert isinstance(view, DiligenceView)
        await pilot.press("G", "enter")
        await pilot.pause(0.2)
        assert view.state == "loading"
        for _ in range(900):
            await pilot.pause(0.1)
            if view.state != "loading":
                break
        await settle(pilot)
        assert view.state == "filled", words(pilot)
        assert "for late" in words(pilot)
        assert view.request.arguments["target"] == "late"
        await pilot.press("t")
        await until(pilot, "Which column is to be predicted?")
        await pilot.press("escape")
        await settle(pilot)
        assert "What to do" in words(pilot)


async def test_a_version_without_rows_is_empty(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        view = await see(pilot, "none", "empty")
        assert view.state == "empty"
        assert "no rows to judge. Press esc" in words(pilot)
        await pilot.press("t", "2", "o", "escape")
        await settle(pilot)
        assert pilot.app.screen is not view


async def test_a_failure_stays_inside_the_view(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        view = await see(pilot, "loans@beef0000", "failed")
        assert "has no version or tag 'beef0000'" in words(pilot)
        await pilot.press("y", "2", "t", "escape")
        await settle(pilot)
        assert pilot.app.screen is not view


async def test_work_can_be_stopped_after_a_question(studio: Path) -> None:
    async with running(studio, SMALL, "2") as pilot:
        view = await see(pilot, "loans")
        asked: list[Any] = []
        view.desk.cancel_job = lambda job, force: asked.append((job, force))  # type: ignore[method-assign]
        view._job = Job(
            "j1", "data.diligence", {}, "ada", "running", "", None, "Scoring", 1, 2, None, None
        )
        await pilot.press("x")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        await pilot.press("y")
        await settle(pilot)
        assert asked == [("j1", False)]
