"""The profile view: every part, from an alert to its rows, at both sizes and without colour."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from rich.console import Console
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import give, words

from local_stack.catalog import call
from local_stack.data import profiles, versions
from local_stack.workspace import Workspace
from paceml_tui.charts import (
    cell_text,
    column_chart,
    density,
    figure,
    heat,
    share,
    strip_chart,
)
from paceml_tui.screens.data_profile import PARTS, ProfileView
from paceml_tui.screens.data_profile_parts import ListPart, MatrixPart, SamplePart
from paceml_tui.screens.data_profile_variable import variable_block
from paceml_tui.screens.data_rows import RowsView
from paceml_tui.widgets.dialog import Confirm, Notification
from paceml_tui.widgets.working import Advanced

N_ROWS = 400


def write_houses(path: Path, *, is_skewed: bool) -> None:
    """Write a table that has something for every part of a profile."""
    rng = random.Random(7)
    lines = []
    for row in range(N_ROWS - 2):
        area = rng.uniform(40, 200)
        price = 1000 * area + rng.gauss(0, 2000)
        income = rng.paretovariate(1.1) if is_skewed else rng.gauss(50, 9)
        rooms = "" if row % 5 == 0 else int(area / 25)
        city = rng.choice(["north"] * 6 + ["south"] * 3 + ["west"])
        day = f"2025-{1 + row % 12:02d}-{1 + row % 28:02d}"
        lines.append([f"{area:.2f}", f"{price:.2f}", f"{income:.3f}", rooms, city, day])
    lines += [lines[11], lines[12]]  # duplicates
    with path.open("w", newline="", encoding="utf-8") as stream:
        header = ["area", "price", "income", "rooms", "city", "sold"]
        csv.writer(stream).writerows([header, *lines])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with two versions of houses, profiled, and a table without rows."""
    folder = tmp_path_factory.mktemp("profile")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        for name, is_skewed in (("first", False), ("second", True)):
            path = folder / f"{name}.csv"
            write_houses(path, is_skewed=is_skewed)
            call(workspace, "data.add", {"name": "houses", "source": str(path)})
        call(workspace, "data.profile", {"name": "houses"})
        call(workspace, "data.profile", {"name": "houses", "target": "price"})
        (folder / "none.csv").write_text("a,b\n")
        call(workspace, "data.add", {"name": "none", "source": str(folder / "none.csv")})
        call(workspace, "data.profile", {"name": "none"})
    return folder / "studio"


@pytest.fixture
def houses(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "studio"))


def result_of(root: Path, name: str = "houses") -> dict[str, Any]:
    with Workspace.open(root) as workspace:
        return json.loads(json.dumps(call(workspace, "data.profile", {"name": name}).to_dict()))


async def see(pilot: Pilot[int], name: str = "houses") -> ProfileView:
    """Open the profile of the newest version and wait for it."""
    page = pilot.app.page  # type: ignore[attr-defined]
    row = next(it for it in page.listing.rows if it["name"] == name)
    view = ProfileView(page.desk, name, row["version"])
    pilot.app.push_screen(view)
    await rest(pilot, view)
    return view


async def rest(pilot: Pilot[int], view: ProfileView) -> None:
    for _ in range(400):
        await pilot.pause(0.03)
        if view.state != "loading":
            await settle(pilot)
            return
    raise AssertionError("the profile does not come")


async def press(pilot: Pilot[int], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await pilot.pause(0.15)  # a detail waits while keys come fast
    await settle(pilot)


async def test_a_stored_profile_is_shown_at_once_part_by_part(houses: Path) -> None:
    async with running(houses, SMALL, "2 j p") as pilot:
        view = pilot.app.screen
        assert isinstance(view, ProfileView)
        await rest(pilot, view)
        assert view.state == "filled"
        shown = words(pilot)
        for expected in (
            "number of variables 6",
            "number of observations 400",
            "missing cells 80 (3.3%)",
            "duplicate rows 2 (0.5%)",
            "Variable types",
            "double",
        ):
            assert expected in shown, expected
        assert "new," in shown
        assert "resolved" in shown
        seen = []
        for _ in PARTS:
            await press(pilot, "tab")
            seen.append(view._part)
        assert seen == [*PARTS[1:], PARTS[0]]
        await press(pilot, "shift+tab", "left", "right", "3")
        assert view._part == "variables"
        await press(pilot, "c")
        assert "paceml-tui data profile houses@" in words(pilot)
        await press(pilot, "escape", "question_mark")
        assert "To the variable that it is about." in pilot.app.screen._copied  # type: ignore[attr-defined]
        await press(pilot, "escape", "escape")
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]


async def test_an_alert_leads_to_its_variable_and_to_its_rows(houses: Path) -> None:
    alerts = result_of(houses)["alerts"]
    place = next(i for i, it in enumerate(alerts) if it["code"] == "missing")
    async with running(houses, SMALL, "2") as pilot:
        view = await see(pilot)
        await press(pilot, "2", *["j"] * place)
        assert "▲ missing" in words(pilot)
        await press(pilot, "enter")
        shown = words(pilot)
        assert alerts[place]["message"].split("(")[0].strip() in shown
        assert "Rows behind it 0, 5, 10" in shown
        await press(pilot, "o")
        rows = pilot.app.screen
        assert isinstance(rows, RowsView)
        await until(pilot, "asked for")
        await until(pilot, "rooms (")
        assert rows.grid.row == 0
        assert "∅" in words(pilot)
        await press(pilot, "n")
        assert rows.grid.row == 5
        await press(pilot, "escape", "v")
        assert view._part == "variables"
        assert view.part.is_detail_alone  # type: ignore[union-attr]
        assert "rooms long" in words(pilot)
        await press(pilot, "escape", "escape")
        assert pilot.app.screen is not view


async def test_a_variable_tells_what_the_profile_says(houses: Path) -> None:
    it = result_of(houses)["variables"]["price"]
    async with running(houses, (160, 120), "2") as pilot:
        await see(pilot)
        await press(pilot, "3", "j")
        shown = words(pilot)
        for title in ("Quantiles", "Descriptive statistics", "Extreme values", "Goes with"):
            assert title in shown
        for label, key in (("median", "median"), ("skewness", "skewness"), ("mean", "mean")):
            assert f"{label} {figure(it[key]).plain}" in shown, key
        assert "area Pearson" in shown
        await press(pilot, "n", "n", "n")
        shown = words(pilot)
        assert "Common values" in shown
        assert "Extreme values" not in shown  # a text has none
        assert "Lengths in characters" in shown
        assert "Lowercase letter" in shown
        assert "Basic Latin" in shown
        await press(pilot, "n")
        shown = words(pilot)
        assert "Dates" in shown
        assert "2025-01-01" in shown


async def test_a_list_that_was_hidden_while_another_scrolled_shows_its_columns(
    houses: Path,
) -> None:
    async with running(houses, LARGE, "2") as pilot:
        await see(pilot)
        await press(pilot, "2", "enter", "pagedown", "3")
        shown = words(pilot)
        for title in ("variable", "type", "missing", "distinct", "distribution"):
            assert title in shown


async def test_variables_are_filtered_and_sorted(houses: Path) -> None:
    async with running(houses, SMALL, "2") as pilot:
        view = await see(pilot)
        await press(pilot, "slash", *"double", "enter")
        part = view.query_one("#variables", ListPart)
        assert [row["name"] for row in part.table._rows] == ["area", "price", "income"]
        assert "3 of 6: double" in words(pilot)
        await press(pilot, "escape")
        assert len(part.table._rows) == 6
        await press(pilot, "s")
        assert [row["name"] for row in part.table._rows][:2] == ["area", "city"]
        await press(pilot, "S")
        assert part.table._rows[0]["name"] == "sold"
        await press(pilot, "s", "s")
        assert part.table._rows[0]["name"] == "rooms"  # the most missing first
        await press(pilot, "slash", *"zzz", "escape")
        assert len(part.table._rows) == 6
        await press(pilot, "y")
        assert pilot.app.clipboard == "rooms"


async def test_the_heat_map_has_values_and_opens_pairs(houses: Path) -> None:
    result = result_of(houses)
    async with running(houses, SMALL, "2") as pilot:
        view = await see(pilot)
        part = view.query_one(MatrixPart)
        await press(pilot, "4")
        assert part.methods[0] == "mixed"
        await press(pilot, "m")
        assert "Pearson" in words(pilot)
        matrix = result["correlations"]["pearson"]
        first, second = matrix["columns"].index("area"), matrix["columns"].index("price")
        value = matrix["values"][first][second]
        assert value > 0.99
        assert heat(value).plain == " 1.0 "
        await press(pilot, "g", "0", *["l"] * second)
        assert part.map.pair == (matrix["columns"][0], "price")
        await press(pilot, "enter")
        shown = words(pilot)
        assert "How rows lie" not in shown
        assert "upwards," in shown
        assert "█" in shown
        await press(pilot, "v")
        assert view._part == "variables"


async def test_values_are_read_without_colour(
    houses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PACEML_ASCII", "1")
    async with running(houses, SMALL, "2") as pilot:
        await see(pilot)
        for key in "123456":
            await press(pilot, key)
            left = "".join(line[:76] for line in text_of(pilot).splitlines()[:-3])
            assert left.isascii(), key  # right and below are the bars of Textual
        await press(pilot, "4")
        assert " 1.0 " in text_of(pilot)
        await press(pilot, "3", "enter")
        assert "#" in text_of(pilot)


async def test_holes_are_shown_where_they_are(houses: Path) -> None:
    async with running(houses, LARGE, "2") as pilot:
        await see(pilot)
        await press(pilot, "5")
        shown = words(pilot)
        assert "complete rows 320 (80%)" in shown
        assert "columns with holes 1 of 6" in shown
        assert "rooms 80 20%" in shown
        assert "5 columns without a hole" in shown


async def test_sample_and_duplicates(houses: Path) -> None:
    async with running(houses, LARGE, "2") as pilot:
        view = await see(pilot)
        await press(pilot, "6")
        part = view.query_one(SamplePart)
        assert part.grid.n_rows == 20
        assert "399" in words(pilot)
        await press(pilot, "m")
        assert part.grid.n_rows == 2
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, Notification)
        await press(pilot, "escape", "m")
        assert part.grid.n_rows == 20
        await press(pilot, "l", "h", "o")
        assert isinstance(pilot.app.screen, RowsView)


@pytest.mark.usefixtures("cold_jobs")
async def test_a_profile_is_made_by_a_job_judged_by_a_target_and_exported(houses: Path) -> None:
    with Workspace.open(houses) as workspace:
        version = versions.find(workspace, "houses")
        made = profiles.stored(workspace, version)
        for path in (houses / "cache" / "profiles").glob(f"houses-{version.version}-*.json"):
            if json.loads(path.read_text())["target"] is None:
                path.unlink()
        assert profiles.stored(workspace, version) is None
    assert made is not None
    async with running(houses, LARGE, "2 j") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        row = next(it for it in page.listing.rows if it["name"] == "houses")
        view = ProfileView(page.desk, "houses", row["version"])
        pilot.app.push_screen(view)
        await pilot.pause(0.05)
        assert view.state == "loading"
        assert "Reading the profile" in words(pilot) or "Describing" in words(pilot)
        await until(pilot, "number of observations 400", seconds=60)
        await press(pilot, "t", *"pricy", "enter")
        await until(pilot, "There is no column 'pricy'.")
        await press(pilot, "t", *"price", "enter")
        await until(pilot, "target price", seconds=60)
        assert view.request.arguments["target"] == "price"
        assert any(it["code"].startswith("leakage") for it in view._result["alerts"])
        await press(pilot, "T", *"sold", "enter")
        await until(pilot, "number of observations 400", seconds=60)
        assert view.request.arguments["time"] == "sold"
        await press(pilot, "3", "j", "G")
        assert view._result["variables"]["price"]["series"]
        target = houses.parent / "page.html"
        await press(pilot, "e", *["backspace"] * 40, *str(target), "enter")
        await until(pilot, "data.profile finished", seconds=60)
        assert "<html" in target.read_text(encoding="utf-8")


async def test_a_job_at_work_tells_how_far_it_is_and_can_be_stopped(houses: Path) -> None:
    with Workspace.open(houses) as workspace:
        from local_stack import jobs

        job = jobs.listed(workspace)[0]
    async with running(houses, SMALL, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        view = ProfileView(page.desk, "houses", "0" * 16)
        view.fetch = lambda **_: view.become("loading")  # type: ignore[method-assign]
        pilot.app.push_screen(view)
        await settle(pilot)
        from dataclasses import replace

        alive = replace(job, status="running", label="price", done=3, total=6)
        view.post_message(Advanced(alive))
        await settle(pilot)
        assert "Describing the columns... price ████████" in words(pilot)
        cancelled: list[str] = []
        page.desk.cancel_job = lambda job, force: cancelled.append(job)
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, Confirm)
        await press(pilot, "y")
        assert cancelled == [job.job]


async def test_empty_failed_and_too_small(houses: Path) -> None:
    async with running(houses, SMALL, "2") as pilot:
        view = await see(pilot, "none")
        assert view.state == "empty"
        assert "no rows to describe. Press esc" in words(pilot)
        await press(pilot, "1", "slash", "s", "o", "escape")
        await press(pilot, "escape")
        view = ProfileView(pilot.app.page.desk, "houses", "beef0000")  # type: ignore[attr-defined]
        pilot.app.push_screen(view)
        await rest(pilot, view)
        assert view.state == "failed"
        assert "has no version or tag 'beef0000'" in words(pilot)
        await press(pilot, "2", "v", "e", "t", "m", "o")
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)


def hostile_profile(result: dict[str, Any]) -> dict[str, Any]:
    """Return a profile whose every name and text is hostile."""
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in workspaces.HOSTILE]
    names = list(result["variables"])
    new = {name: texts[place] for place, name in enumerate(names)}
    more = ["north", "south", "west", "first", "houses"]
    new |= {name: texts[len(names) + place] for place, name in enumerate(more)}

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {new.get(key, key): turned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [turned(item) for item in value]
        if isinstance(value, str):
            return new.get(value, value + texts[0] if " " in value else value)
        return value

    found: dict[str, Any] = turned(result)
    found["changes"]["previous"] = texts[1]
    return found


@pytest.mark.parametrize(
    "size",
    [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)],
    ids=["80x24", "160x45"],
)
async def test_hostile_profiles_are_harmless(size: tuple[int, int], houses: Path) -> None:
    result = hostile_profile(result_of(houses))
    async with running(houses, size, "2") as pilot:
        view = await see(pilot)
        give(view, result)
        await rest(pilot, view)
        assert view.state == "filled"
        for part in "123456":
            await press(pilot, part)
            assert_harmless(all_text(pilot))
            for keys in (("j", "j", "enter"), ("pagedown",), ("escape", "m")):
                if pilot.app.screen is view or keys[0] == "escape":
                    await press(pilot, *(keys if part in "2346" else keys[:1]))
                assert_harmless(all_text(pilot))
            if part in "15":  # there is nothing to go back from but the view
                view = await see(pilot)
                give(view, result)
                await rest(pilot, view)


def test_an_alert_between_two_columns_names_the_other_one_in_both() -> None:
    alert = {
        "code": "high_correlation",
        "column": "rooms",
        "other_column": "area",
        "message": "Moves with 'area': Pearson 0.980.",
    }
    result = {"variables": {"rooms": {}, "area": {}}, "alerts": [alert]}

    def told(name: str) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(variable_block(result, name))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert "rooms: Moves" not in told("rooms")
    assert "rooms: Moves with 'area'" in told("area")


async def test_m_says_where_it_is_of_use(houses: Path) -> None:
    async with running(houses, LARGE, "2") as pilot:
        await see(pilot)
        await press(pilot, "3", "m")
        said = [notification.message for notification in pilot.app._notifications]
        assert any("Press 4 for the correlations" in it for it in said)


def test_charts_say_what_they_are_given() -> None:
    lines = [text.plain for text in column_chart([0, 1, 1000], [0.0, 1.0, 2.0, 3.0], width=3)]
    assert len(lines) == 10
    assert lines[0].startswith("1,000 │")
    assert lines[7].endswith(" ▁█")  # one row is seen beside a thousand
    assert lines[9].split() == ["0", "3"]
    assert column_chart([], []) == []
    assert strip_chart([0, 0.5, 1.0], 3).plain == "·▄█"
    assert strip_chart([0.0, 1.0] * 50, 10).plain == "▄" * 10
    assert [heat(it).plain for it in (0.123, -0.5, 1.0, -1.0, None, 0.0)] == [
        " .12 ", "-.50 ", " 1.0 ", "-1.0 ", "  -  ", " .00 "
    ]  # fmt: skip
    assert share(0.0002).plain == "<0.1%"
    assert share(0).plain == "0%"
    assert [cell_text(it).plain for it in (512.3292, 33.0, 7, None)] == ["512.3292", "33", "7", "-"]
    drawn = [text.plain for text in density([[1, 0], [0, 100]], [0, 1, 2], [0, 5, 10])]
    assert drawn[0] == "10 │   ██"
    assert drawn[1].startswith(" 0 │ ░░")
