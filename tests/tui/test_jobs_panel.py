"""Jobs from the app: a real process with progress, log, cancel and end."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from conftest import SMALL, all_text, running, settle, text_of
from textual.pilot import Pilot

from local_stack import catalog, jobs
from local_stack.command import COMMANDS
from paceml_tui.tasks import Request
from paceml_tui.widgets.dialog import Confirm
from paceml_tui.widgets.jobs import JobsPanel


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declare ``tower.wait`` here and in the processes of jobs."""
    assert catalog.commands()
    if "waiting_command" in sys.modules:
        importlib.reload(sys.modules["waiting_command"])
    else:
        importlib.import_module("waiting_command")
    monkeypatch.setattr(jobs, "_WARM", ("waiting_command",))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for the process that forks
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    COMMANDS.pop("tower.wait", None)


async def until(pilot: Pilot[int], text: str, *, seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.1)):
        await pilot.pause(0.1)
        if text in all_text(pilot):
            return
    raise AssertionError(f"'{text}' is not shown:\n{all_text(pilot)}")


def only_job(pilot: Pilot[int], command: str = "tower.wait") -> jobs.Job:
    found = [job for job in pilot.app.pulse.jobs if job.command == command]  # type: ignore[attr-defined]
    assert len(found) == 1
    return found[0]


@pytest.mark.usefixtures("waiting")
async def test_a_job_runs_in_its_own_process_and_is_followed(empty: Path) -> None:
    async with running(empty, SMALL) as pilot:
        pilot.app._start(Request("tower.wait", {"steps": 30}))  # type: ignore[attr-defined]
        await until(pilot, "▶ tower.wait")
        await until(pilot, "waiting")
        assert only_job(pilot).pid not in (None, os.getpid())
        await until(pilot, "% waiting")
        await pilot.press("J")
        await until(pilot, "waiting [/nope]␛[2J now")
        await until(pilot, "1 at work")
        await until(pilot, "finished")
        await pilot.press("enter")
        await until(pilot, "n_steps  30")
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, JobsPanel)
        assert pilot.app.is_running


@pytest.mark.usefixtures("waiting")
async def test_a_job_is_cancelled_after_a_question(empty: Path) -> None:
    async with running(empty, SMALL) as pilot:
        pilot.app._start(Request("tower.wait", {"steps": 600}))  # type: ignore[attr-defined]
        await until(pilot, "▶ tower.wait")
        await until(pilot, "waiting")
        await pilot.press("J")
        await settle(pilot)
        await pilot.press("x")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        assert "Cancel tower.wait" in " ".join(text_of(pilot).split())
        await pilot.press("enter")  # Cancel has the focus: nothing happens
        await settle(pilot)
        assert only_job(pilot).is_alive
        await pilot.press("x")
        await settle(pilot)
        await pilot.press("y")
        await until(pilot, "cancelled")
        assert not only_job(pilot).is_alive


@pytest.mark.usefixtures("waiting")
async def test_a_stubborn_job_is_killed_the_second_time(empty: Path) -> None:
    async with running(empty, SMALL) as pilot:
        asked = Request("tower.wait", {"steps": 600, "stubborn": True})
        pilot.app._start(asked)  # type: ignore[attr-defined]
        await until(pilot, "▶ tower.wait")
        await pilot.press("J")
        await until(pilot, "waiting [/nope]")
        for verb in ("Cancel", "Kill"):
            await pilot.press("x")
            await settle(pilot)
            assert f"{verb} tower.wait" in " ".join(text_of(pilot).split())
            await pilot.press("y")
            await settle(pilot)
            await pilot.pause(0.3)
        await until(pilot, "killed")


@pytest.mark.usefixtures("waiting")
async def test_a_failed_job_of_this_app_is_a_dialog_that_stays(empty: Path) -> None:
    async with running(empty, SMALL) as pilot:
        asked = Request("data.profile", {"name": "nothing"})
        pilot.app._start(asked)  # type: ignore[attr-defined]
        await until(pilot, "data.profile failed")
        await until(pilot, "nothing")
