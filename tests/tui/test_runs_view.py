"""One run in full: facts, curves, params, files of every kind, relatives, and its data."""

from __future__ import annotations

from pathlib import Path

import pytest
import workspaces_runs as made
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from rich.console import Console
from test_hostile import assert_harmless
from textual.pilot import Pilot
from textual.widgets import Static
from views_kit import assert_small_and_back, held, press, refuse, words

from paceml_tui.pictures import picture
from paceml_tui.render import Text, stack
from paceml_tui.screens import runs_detail, runs_files
from paceml_tui.screens.runs_view import RunView
from paceml_tui.tasks import Desk
from paceml_tui.widgets.detail import Detail


@pytest.fixture
def store(empty: Path) -> Path:
    """Return a workspace whose store other tools wrote to."""
    made.fill_runs(empty)
    return empty


TO_DEEP = "3 j j j o"
"""The keys that open the run with the most in it."""


def shown_of(block: object, width: int = 100) -> str:
    """Return a block as it would be printed."""
    console = Console(width=width, no_color=True, color_system=None)
    with console.capture() as captured:
        console.print(block)
    return captured.get()


def detail_of(pilot: Pilot[int], part: str) -> str:
    """Return the whole detail of a part."""
    static = pilot.app.screen.query_one(f"#{part} Detail", Detail).query_one(Static)
    return shown_of(static.content)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_overview_tells_who_made_it_when_and_what_came_out(
    size: tuple[int, int], store: Path
) -> None:
    async with running(store, size, TO_DEEP) as pilot:
        assert isinstance(pilot.app.screen, RunView)
        shown = text_of(pilot)
        for text in ("tree-deep", "FINISHED", "by grace", "42.0 s", "Try it", "█", "0.6100"):
            assert text in shown, text
        assert "2 metrics 3" in shown
        assert "4 files 8" in shown
        await press(pilot, "c")
        assert f"paceml-tui runs show {made.DEEP}" in words(pilot)
        await press(pilot, "escape")
        await assert_small_and_back(pilot)
        await press(pilot, "y")
        assert pilot.app.clipboard == made.DEEP
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_a_metric_is_drawn_over_its_steps(store: Path) -> None:
    async with running(store, SMALL, f"{TO_DEEP} 2 enter") as pilot:
        shown = text_of(pilot)
        assert "299" in shown
        assert any("\u2801" <= mark <= "\u28ff" for mark in shown)
        assert "2.000 at step 0" in words(pilot)
        plain = shown
        await press(pilot, "l")
        assert "log" in text_of(pilot)
        assert text_of(pilot) != plain
        await press(pilot, "escape", "j")
        assert "it has no curve" in detail_of(pilot, "metrics")
        await pilot.resize_terminal(*LARGE)
        await settle(pilot)
        await press(pilot, "k")
        curve = next(line for line in text_of(pilot).splitlines() if "└" in line)
        assert curve.count("─") > 60  # it takes the room that there is


async def test_params_and_tags_are_found_by_words(store: Path) -> None:
    async with running(store, SMALL, f"{TO_DEEP} 3") as pilot:
        assert "param odd key 1" in words(pilot)
        assert "tag team red" in words(pilot)
        await press(pilot, "slash", *"odd", "enter")
        assert "1 of 6: odd" in words(pilot)
        await press(pilot, "y")
        assert pilot.app.clipboard == "1"
        await press(pilot, "escape")
        assert "tag team red" in words(pilot)


async def test_files_are_looked_into(store: Path) -> None:
    async with running(store, LARGE, f"{TO_DEEP} 4") as pilot:
        expected = {
            "cut.png": "It cannot be shown: ",
            "gains.csv": "alcohol",
            "gains.parquet": "2 rows  2 columns",
            "model/MLmodel": "python_function",
            "notes.txt": "␛[2Jsecond [/nope] line",
            "red.png": "8 by 4 pixels",
            "summary.json": '"rmse": 0.61',
            "weights.bin": "0001 0203",
        }
        for name, text in expected.items():
            await settle(pilot)
            assert pilot.app.screen.listed.selected["name"] == name  # type: ignore[attr-defined]
            assert text in detail_of(pilot, "files"), name
            assert_harmless(all_text(pilot))
            await press(pilot, "j")
        await press(pilot, "y")
        assert pilot.app.clipboard == "weights.bin"


async def test_nested_runs_lead_to_each_other(store: Path) -> None:
    async with running(store, SMALL, f"{TO_DEEP} 5 o") as pilot:
        view = pilot.app.screen
        assert isinstance(view, RunView)
        assert "tree-flat" in text_of(pilot).splitlines()[0]
        await press(pilot, "o")  # to the run that it is nested in
        assert "tree-deep" in text_of(pilot).splitlines()[0]
        await press(pilot, "escape", "escape", "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_a_run_leads_to_its_data(filled: Path) -> None:
    async with running(filled, SMALL, "3 o v") as pilot:
        await until(pilot, "Versions of wine")
        await settle(pilot)
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page.WORD == "data"
        assert page.selected["version"].startswith("0c4e7a9b13f0")


async def test_a_broken_run_opens_with_its_problem(store: Path) -> None:
    async with running(store, SMALL, "3 G o") as pilot:
        assert "meta.yaml" in words(pilot)
        await press(pilot, "v")
        await until(pilot, "It names no data.")
        for key in ("2", "3", "4", "5", "o"):
            await press(pilot, key)
            assert pilot.app.screen.state == "filled"  # type: ignore[attr-defined]


async def test_reading_failing_and_a_run_that_is_gone_are_told(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(store, SMALL, "3") as pilot:
        with held(monkeypatch, Desk, "query"):
            await pilot.press("o")
            await pilot.pause(0.1)
            assert "Reading the run" in words(pilot)
        await settle(pilot)
        await press(pilot, "escape")
        pilot.app.push_screen(RunView(pilot.app.page.desk, "0" * 32))  # type: ignore[attr-defined]
        await until(pilot, "There is no run")
        await press(pilot, "escape")
        refuse(monkeypatch, Desk, "query")
        await pilot.press("o")
        await until(pilot, "The disk [/nope]␛[2J is full.")


async def test_hostile_runs_open_harmlessly(hostile: Path) -> None:
    async with running(hostile, LARGE, "3") as pilot:
        for _ in range(2):  # the others are told from these in the list and in the comparison
            await press(pilot, "o")
            for key in ("2", "3", "4", "5"):
                await press(pilot, key)
                assert_harmless(all_text(pilot))
            await press(pilot, "escape", "G")


def test_nothing_outside_of_the_artefacts_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("hush")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    run = {"artifact_folder": str(folder), "artifact_uri": ""}
    for path in ("../secret.txt", "link.txt", str(tmp_path / "secret.txt")):
        shown = shown_of(runs_files.preview(run, path, 80, 20))
        assert "leads out" in shown
        assert "hush" not in shown
    assert "no such file" in shown_of(runs_files.preview(run, "gone.txt", 80, 20))
    away = {"artifact_folder": None, "artifact_uri": "s3://bucket/run"}
    assert "s3://bucket/run" in shown_of(runs_files.preview(away, "a.txt", 80, 20))


def test_long_files_are_cut_and_say_so(tmp_path: Path) -> None:
    run = {"artifact_folder": str(tmp_path), "artifact_uri": ""}
    (tmp_path / "long.txt").write_text("line\n" * 100_000)
    assert "the first 400 lines are shown" in shown_of(runs_files.preview(run, "long.txt", 80, 20))
    rows = "".join(f"{n},{'x' * 50}\n" for n in range(50_000))
    (tmp_path / "long.csv").write_text("n,text\n" + rows)
    shown = shown_of(runs_files.preview(run, "long.csv", 80, 20))
    assert "the first 100 rows are shown" in shown
    (tmp_path / "none.csv").write_text("")
    assert "It is empty." in shown_of(runs_files.preview(run, "none.csv", 80, 20))


def test_plain_models_stand_beside_the_metric_that_they_are_of() -> None:
    metrics = {
        "rmse": 0.6,
        "baseline_dummy_rmse": 0.8,
        "train_rmse": 0.5,
        "train_x": 1.0,
        "ece": 0.1,
    }
    shown = shown_of(stack(*runs_detail.metric_part({"metrics": metrics}, {})))
    rows = [line.split() for line in shown.splitlines()]
    assert ["last", "dummy", "linear", "train"] in rows
    assert ["rmse", "0.6000", "0.8000", "-", "0.5000"] in rows
    assert ["train_x", "1.000"] in rows  # of a metric that is not there
    assert sum("rmse" in line for line in shown.splitlines()) == 1


def test_pictures_keep_their_shape_and_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wide.png"
    file.write_bytes(made.png(200, 100, (0, 128, 255)))
    about, *rows = picture(file, 40, 40)
    assert about.plain == "200 by 100 pixels"
    assert len(rows) == 10  # twice as wide as high, and a cell is twice as high as wide
    assert all(row.plain == "▀" * 40 for row in rows)
    assert str(rows[0].spans[0].style) == "#0080ff on #0080ff"
    monkeypatch.setenv("NO_COLOR", "1")
    assert set("".join(row.plain for row in picture(file, 40, 40)[1:])) == {"="}
    (tmp_path / "bomb.png").write_bytes(made.png(60_000, 1, (0, 0, 0))[:200])
    with pytest.raises((OSError, ValueError, SyntaxError)):
        picture(tmp_path / "bomb.png", 40, 40)


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    head = made.png(1, 1, (0, 0, 0))
    size = (10_000).to_bytes(4, "big") * 2
    forged = head[:16] + size + head[24:]
    import struct
    import zlib

    forged = forged[:29] + struct.pack(">I", zlib.crc32(forged[12:29])) + forged[33:]
    (tmp_path / "large.png").write_bytes(forged)
    found = picture(tmp_path / "large.png", 40, 40)
    assert [type(it) for it in found] == [Text, Text]
    assert "too large" in found[1].plain
