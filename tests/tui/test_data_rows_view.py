"""The rows of a version: every one can be reached, whatever they hold, and little is read."""

from __future__ import annotations

import csv
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import words

from local_stack.catalog import call
from local_stack.data.rows import RowReader
from local_stack.errors import UnavailableError
from local_stack.workspace import Workspace
from paceml_tui.screens.data_rows import _MOST_BLOCKS, RowsView, plain_cell, width_of
from paceml_tui.widgets.dialog import Notification

N_ROWS = 120_000
N_COLUMNS = 40


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with a long table, one of hostile texts, and one without rows."""
    folder = tmp_path_factory.mktemp("rows")
    number = pl.int_range(0, N_ROWS, eager=True)
    columns = {"id": number, "text": ("t" + number.cast(pl.String)).set(number % 3 == 0, None)}
    columns |= {f"c{place:02d}": number + place for place in range(2, N_COLUMNS)}
    pl.DataFrame(columns).write_parquet(folder / "long.parquet", row_group_size=20_000)
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in workspaces.HOSTILE]
    texts = [text.replace("\x00", "") for text in texts]
    with (folder / "hostile.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["n", "[/nope]\x1b[2J"], *enumerate(texts)])
    pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}).write_parquet(folder / "none.parquet")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        for name in ("long.parquet", "hostile.csv", "none.parquet"):
            source = str(folder / name)
            call(workspace, "data.add", {"name": Path(name).stem, "source": source})
    return folder / "studio"


async def see(pilot: Pilot[int], name: str, **more: Any) -> RowsView:
    """Open the rows of a data set and wait until they are drawn."""
    view = RowsView(pilot.app.page.desk, name, **more)  # type: ignore[attr-defined]
    pilot.app.push_screen(view)
    await rest(pilot, view)
    return view


async def rest(pilot: Pilot[int], view: RowsView) -> None:
    for _ in range(400):
        await pilot.pause(0.03)
        is_at_work = view._is_reading or view.state == "loading"
        if view.state == "filled" and (not view.grid.n_rows or view.grid.wanted()):
            is_at_work = True
        if not is_at_work:
            await settle(pilot)
            return
    raise AssertionError("the rows do not come to rest")


async def press(pilot: Pilot[int], view: RowsView, *keys: str) -> None:
    await pilot.press(*keys)
    await rest(pilot, view)


async def test_the_key_shows_the_rows_under_names_and_types(orders: Path) -> None:
    async with running(orders, SMALL, "2 r") as pilot:
        view = pilot.app.screen
        assert isinstance(view, RowsView)
        await rest(pilot, view)
        shown = words(pilot)
        assert "60 rows 5 columns" in shown
        assert "id region amount day channel" in shown
        assert "long string double date string" in shown
        assert "row 0, column 1 of 5: id (long)" in shown
        await pilot.press("c")
        await settle(pilot)
        assert "paceml-tui data show orders@" in words(pilot)
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]


async def test_every_row_and_column_can_be_reached(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long")
        grid = view.grid
        await press(pilot, view, "G")
        assert grid.row == N_ROWS - 1
        assert f"{N_ROWS - 1:,}" in text_of(pilot)
        assert f"t{N_ROWS - 1}" in words(pilot)  # no multiple of three
        await press(pilot, view, "dollar_sign")
        assert grid.column == N_COLUMNS - 1
        assert f"c39 (long) {N_ROWS - 1 + 39}" in words(pilot)
        await press(pilot, view, "g", "0")
        assert (grid.row, grid.column, *grid.scroll_offset) == (0, 0, 0, 0)
        height = grid._height
        await press(pilot, view, "ctrl+d")
        assert grid.row == height // 2
        await press(pilot, view, "pagedown", "ctrl+u", "pageup")
        assert grid.row == 0
        await press(pilot, view, *["l"] * 12, "j", "h", "k")
        assert (grid.row, grid.column) == (0, 11)
        assert 11 in grid.seen_columns()
        assert "c11" in text_of(pilot).splitlines()[2]


async def test_one_goes_to_a_row_by_number_and_to_a_column_by_name(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long")
        await press(pilot, view, "colon", *"77,123", "enter")
        assert view.grid.row == 77_123
        assert "77123" in words(pilot)
        await press(pilot, view, "colon", *"C37", "enter")
        assert view.grid.column == 37
        assert "77,123, column 38 of 40: c37 (long) 77160" in words(pilot)
        await press(pilot, view, "colon", *"nope", "enter")
        await until(pilot, "There is no column 'nope'.")
        await press(pilot, view, "colon", "escape")
        assert pilot.app.focused is view.grid
        await press(pilot, view, "colon", *"999999999999", "enter")
        assert view.grid.row == N_ROWS - 1


async def test_columns_stay_in_sight_when_they_are_frozen(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long")
        await press(pilot, view, "l", "f", "dollar_sign")
        head = text_of(pilot).splitlines()[2].split()
        assert head[:2] == ["id", "text"]
        assert head[-1] == "c39"
        assert "2 frozen" in words(pilot)
        await press(pilot, view, "f")
        assert "frozen" not in words(pilot)
        assert "text" not in text_of(pilot).splitlines()[2].split()


async def test_a_missing_value_looks_like_no_other(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long")
        await press(pilot, view, "l")
        assert "text (string) ∅" in words(pilot)
        assert {plain_cell(it) for it in (None, "", "NULL", 0, 0.0, False)} == {
            "∅", '""', "NULL", "0", "0.0", "false"
        }  # fmt: skip
        assert width_of("a", "long", [1, -1234567]) == 8
        assert width_of("a", "string", ["機械"]) == 6
        assert width_of("a" * 90, "string", []) == 24


async def test_little_is_read_and_kept(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    window = RowReader.window

    def counting(reader: RowReader, start: int, n: int, places: Any = None, **more: Any) -> Any:
        read.append(n * len(places or range(N_COLUMNS)))
        return window(reader, start, n, places, **more)

    monkeypatch.setattr(RowReader, "window", counting)
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long")
        assert sum(read) < 10_000
        for row in range(0, N_ROWS, 4_000):
            view.grid.go(row, (row // 4_000 * 7) % N_COLUMNS)
            await rest(pilot, view)
        assert len(view.grid._blocks) <= _MOST_BLOCKS
        folder = tables / "cache" / "tmp"
        assert any(folder.iterdir())
        await pilot.press("escape")
        await settle(pilot)
        assert not any(folder.iterdir())  # nothing is left open


async def test_rows_that_were_asked_for_are_marked_and_visited(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "long", rows=(90_000, 17, 5_000, 10**9))
        assert view.grid.row == 17
        assert "▶ 17" in words(pilot)
        await press(pilot, view, "n")
        assert view.grid.row == 5_000
        await press(pilot, view, "n", "n", "N")
        assert view.grid.row == 5_000
        await until(pilot, "There is none further on.")


async def test_a_cell_is_shown_in_full_and_copied(tables: Path) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "hostile")
        await press(pilot, view, "l", *["j"] * 5)
        assert "…" in text_of(pilot)
        await pilot.press("enter")
        await until(pilot, "300 characters")
        assert isinstance(pilot.app.screen, Notification)
        assert text_of(pilot).count("x") >= 300
        await pilot.press("escape", "y")
        await settle(pilot)
        assert pilot.app.clipboard == "x" * 300


@pytest.mark.parametrize(
    "size",
    [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)],
    ids=["80x24", "160x45"],
)
async def test_hostile_rows_are_harmless(size: tuple[int, int], tables: Path) -> None:
    async with running(tables, size, "2") as pilot:
        view = await see(pilot, "hostile")
        assert_harmless(all_text(pilot))
        for row in range(len(workspaces.HOSTILE)):
            view.grid.go(row, 1)
            await pilot.press("enter")
            await pilot.pause(0.05)
            assert_harmless(all_text(pilot))
            if pilot.app.screen is not view:
                await pilot.press("escape")
        await rest(pilot, view)
        assert_harmless(all_text(pilot))


async def test_empty_failed_loading_and_too_small(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tables, SMALL, "2") as pilot:
        view = await see(pilot, "none")
        assert view.state == "empty"
        assert "has no rows. Press esc" in words(pilot)
        await pilot.press("escape")
        view = await see(pilot, "nothing")
        assert view.state == "failed"
        assert "There is no data set 'nothing'." in words(pilot)
        await pilot.press("escape")

        may_read = threading.Event()
        window = RowReader.window

        def slow(*arguments: Any, **more: Any) -> Any:
            may_read.wait(20)
            return window(*arguments, **more)

        monkeypatch.setattr(RowReader, "window", slow)
        view = RowsView(pilot.app.page.desk, "long")  # type: ignore[attr-defined]
        try:
            pilot.app.push_screen(view)
            await pilot.pause(0.1)
            assert view.state == "loading"
            assert "Reading the rows" in words(pilot)
        finally:
            may_read.set()
        await rest(pilot, view)
        assert view.state == "filled"

        def refuse(*_: Any, **__: Any) -> None:
            raise UnavailableError("The disk is gone.", "Bring it back.")

        monkeypatch.setattr(RowReader, "window", refuse)
        await pilot.press("G")
        await until(pilot, "The disk is gone.")
        assert view.state == "failed"
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)
