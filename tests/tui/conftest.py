"""The app under test: workspaces, and a way to wait until it has nothing more to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest
from textual.pilot import Pilot

sys.path.insert(0, str(Path(__file__).parent))

import workspaces
import workspaces_filled
import workspaces_hostile
import workspaces_orders

from local_stack import jobs
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp

SMALL = (80, 24)
LARGE = (160, 45)

Running = Callable[..., AbstractAsyncContextManager[Pilot[int]]]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make each kind of workspace once; the tests take copies."""
    folder = tmp_path_factory.mktemp("workspaces")
    makers: dict[str, Callable[[Workspace], None]] = {
        "empty": lambda _: None,
        "filled": workspaces_filled.fill,
        "hostile": workspaces_hostile.fill_hostile,
    }
    for name, make in makers.items():
        with (
            pytest.MonkeyPatch.context() as patch,
            workspaces.create(folder / name, patch) as workspace,
        ):
            make(workspace)
    return folder


@pytest.fixture(autouse=True)
def _ada(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACEML_ACTOR", "ada")
    for name in ("NO_COLOR", "PACEML_ASCII"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def empty(templates: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(templates / "empty", tmp_path / "studio"))


@pytest.fixture
def filled(templates: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(templates / "filled", tmp_path / "studio"))


@pytest.fixture
def hostile(templates: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(templates / "hostile", tmp_path / "studio"))


@pytest.fixture(scope="session")
def orders_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with two real versions, a contract and its verdict, once."""
    folder = tmp_path_factory.mktemp("orders")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        workspaces_orders.fill_orders(workspace, folder)
    return folder / "studio"


@pytest.fixture
def orders(orders_template: Path, tmp_path: Path) -> Path:
    """Return a workspace with two versions of one data set, its contract and a verdict."""
    return Path(shutil.copytree(orders_template, tmp_path / "studio"))


@pytest.fixture
def cold_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let jobs start without the heavy libraries that most of them need."""
    monkeypatch.setattr(jobs, "_WARM", ())
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


async def until(pilot: Pilot[int], text: str, *, seconds: float = 30) -> None:
    """Wait until the app shows ``text``, or says it in passing."""
    for _ in range(int(seconds / 0.1)):
        await pilot.pause(0.1)
        said = [notification.message for notification in pilot.app._notifications]
        if text in " ".join(" ".join([all_text(pilot), *said]).split()):
            return
    raise AssertionError(f"'{text}' is not shown:\n{all_text(pilot)}")


@asynccontextmanager
async def running(
    root: Path | None, size: tuple[int, int] = SMALL, keys: str = "", *, beat_seconds: float = 0.1
) -> AsyncIterator[Pilot[int]]:
    """Run the app on ``root`` with a frozen clock, press ``keys`` and wait for it."""
    app = PacemlApp(
        root,
        clock=lambda: workspaces.NOW,
        measure=lambda _: workspaces.MACHINE,
        beat_seconds=beat_seconds,
    )
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for key in keys.split():
            await pilot.press(key)
            await settle(pilot)
        yield pilot


async def settle(pilot: Pilot[int], *, seconds: float = 10) -> None:
    """Wait until the screen that is shown has read its records and drawn them."""
    for _ in range(int(seconds / 0.03)):
        await pilot.pause(0.03)
        app = pilot.app
        assert isinstance(app, PacemlApp)
        is_reading = any(worker.is_running and worker.group != "beat" for worker in app.workers)
        page = app.page
        is_waiting = page is not None and (
            page.state == "loading" or getattr(page, "is_describing", False)
        )
        if not is_reading and not is_waiting and (app.desk is None or app.has_beaten):
            await pilot.pause()
            return
    raise AssertionError("the app does not come to rest")


def text_of(pilot: Pilot[int]) -> str:
    """Return what the terminal shows, as lines of text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def all_text(pilot: Pilot[int]) -> str:
    """Return the text of every screen of the stack, the lowest first."""
    stack = pilot.app.screen_stack
    return "\n".join(
        strip.text.rstrip() for screen in stack for strip in screen._compositor.render_strips()
    )
