"""The import: picking a source, correcting what was decided, naming the version, the job."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from hypothesis import given
from hypothesis import strategies as st
from test_hostile import assert_harmless
from textual.pilot import Pilot
from textual.widgets import Input

from local_stack import catalog
from local_stack.errors import InputError, UnavailableError
from local_stack.workspace import Workspace
from paceml_tui.screens import data_import
from paceml_tui.screens.data_choices import Choices
from paceml_tui.screens.data_import import ImportView
from paceml_tui.tasks import Desk, command
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import Notification
from paceml_tui.widgets.naming import Naming, proposed
from paceml_tui.widgets.picker import SourcePicker
from paceml_tui.widgets.rows import RowsTable


def words(pilot: Pilot[int]) -> str:
    return " ".join(text_of(pilot).split())


def view_of(pilot: Pilot[int]) -> ImportView:
    view = pilot.app.screen
    assert isinstance(view, ImportView)
    return view


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the app is started in: two tables, a folder, an empty folder."""
    folder = tmp_path / "tables"
    (folder / "more").mkdir(parents=True)
    (folder / "none").mkdir()
    (folder / "prices.csv").write_text(
        "code;price;day\n" + "".join(f"{n:03d};{n},5;2026-01-{1 + n % 28:02d}\n" for n in range(40))
    )
    (folder / "ragged.csv").write_text("a,b\n1,2\n3,4\n5,6,7,8\n9,10\n")
    (folder / "more" / "part-1.csv").write_text("x,y\n1,2\n")
    (folder / "more" / "part-2.csv").write_text("x,y\n3,4\n")
    monkeypatch.chdir(folder)
    return folder


async def pick(pilot: Pilot[int], source: object) -> None:
    """Type a source and go to its preview."""
    line = view_of(pilot).query_one(SourcePicker).line
    line.value = str(source)
    line.focus()
    await pilot.press("enter")
    await pilot.pause(0.1)
    await settle(pilot)


async def correct(pilot: Pilot[int], name: str, value: str, key: str = "enter") -> None:
    """Go to a line of the decisions and give it another value."""
    view = view_of(pilot)
    rows = view.table._rows
    view.table.move_cursor(row=[row["name"] for row in rows].index(name))
    await pilot.press(key)
    await pilot.pause()
    view.query_one(Correction).query_one(Input).value = value
    await pilot.press("enter")
    await pilot.pause(0.1)
    await settle(pilot)


def decided(pilot: Pilot[int]) -> dict[str, Any]:
    return {row["name"]: row["value"] for row in view_of(pilot).table._rows}


async def test_folders_are_walked_with_keys_and_a_file_is_previewed(
    empty: Path, tables: Path
) -> None:
    async with running(empty, SMALL, "2 n") as pilot:
        picker = view_of(pilot).query_one(SourcePicker)
        names = [row["name"] for row in picker.table._rows]
        assert names == ["more", "none", "prices.csv", "ragged.csv"]
        await pilot.press("enter")
        await settle(pilot)
        assert "part-1.csv" in words(pilot)
        await pilot.press("h")
        await settle(pilot)
        await pilot.press("j", "enter")
        await settle(pilot)
        assert picker.state == "empty"
        assert "This folder is empty. Press h to go up." in words(pilot)
        await pilot.press("backspace")
        await settle(pilot)
        await pilot.press("j", "j", "enter")
        await settle(pilot)
        shown = words(pilot)
        assert "prices.csv csv" in shown
        assert "40 rows" in shown
        assert "delimiter ;" in shown
        assert decided(pilot)["price"] == "double"
        assert "paceml-tui data add NAME" in shown


async def test_places_are_typed_folders_listed_globs_read(empty: Path, tables: Path) -> None:
    async with running(empty, SMALL, "2 n slash") as pilot:
        picker = view_of(pilot).query_one(SourcePicker)
        assert pilot.app.focused is picker.line
        await pick(pilot, tables / "more")
        assert [row["name"] for row in picker.table._rows] == ["part-1.csv", "part-2.csv"]
        await pick(pilot, "more/*.csv")
        assert "2 files" in words(pilot)
        assert "1 row (a sample)" in words(pilot)  # the first of them is looked at
        await pilot.press("escape")
        await settle(pilot)
        await pick(pilot, "missing.csv")
        assert "It cannot be read like this" in words(pilot)
        assert "missing.csv" in words(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, "It cannot be read like this yet.")
        for _ in range(2):
            await pilot.press("escape")
            await settle(pilot)
        assert not isinstance(pilot.app.screen, ImportView)


async def test_every_decision_has_its_reason_and_can_be_corrected(
    empty: Path, tables: Path
) -> None:
    async with running(empty, LARGE, "2 n") as pilot:
        await pick(pilot, "prices.csv")
        view = view_of(pilot)
        rows = {row["name"]: row for row in view.table._rows}
        options = {it.name for it in command("data.preview").parameters}
        assert set(rows) >= options - {"source", "limit", "type", "rename"}
        decisions = view._found["decisions"]
        assert all(rows[it["what"]]["reason"] == it["reason"] for it in decisions)
        assert all(rows[it["name"]]["reason"] for it in view._found["columns"])

        await correct(pilot, "delimiter", "comma")
        assert "--delimiter comma" in words(pilot)
        assert "code;price;day" not in decided(pilot)  # it is one of the names, cut at the comma
        assert decided(pilot)["delimiter"] == "comma"
        view.table.move_cursor(row=[r["name"] for r in view.table._rows].index("delimiter"))
        await pilot.press("u")
        await settle(pilot)
        assert decided(pilot)["delimiter"] == ";"
        assert "--delimiter" not in words(pilot)

        assert decided(pilot)["code"] == "string"  # leading zeros are kept
        await correct(pilot, "code", "long")
        assert decided(pilot)["code"] == "long"
        assert "--type code=long" in words(pilot)
        await correct(pilot, "code", "number", "r")
        assert decided(pilot)["number"] == "long"
        assert "--rename code=number" in words(pilot)
        assert "was code" in words(pilot)
        await correct(pilot, "number", "lnog")
        await until(pilot, "'lnog' is not a type. Did you mean 'long'?")
        assert decided(pilot)["number"] == "long"
        await correct(pilot, "number", "", "r")
        assert decided(pilot)["code"] == "long"


async def test_a_correction_that_cannot_be_read_says_why_and_can_be_taken_back(
    empty: Path, tables: Path
) -> None:
    async with running(empty, SMALL, "2 n") as pilot:
        await pick(pilot, "prices.csv")
        await correct(pilot, "header", "many")
        assert "header needs a whole number, not 'many'" in words(pilot)
        await correct(pilot, "header", "")
        assert "It cannot be read" not in words(pilot)
        assert "first 40 rows" in words(pilot)
        await correct(pilot, "encoding", "klingon")
        assert "klingon" in words(pilot)
        await pilot.press("escape")  # back to the sources; another source has no corrections
        await settle(pilot)
        await pick(pilot, "ragged.csv")
        assert decided(pilot)["encoding"] != "klingon"


async def test_rejects_are_shown_with_their_lines(empty: Path, tables: Path) -> None:
    async with running(empty, SMALL, "2 n") as pilot:
        await pick(pilot, "ragged.csv")
        assert "▲ 1 reject" in words(pilot)
        assert "first 3 rows" in words(pilot)
        await pilot.press("v")
        await settle(pilot)
        shown = words(pilot)
        assert "Rejects 1" in shown
        assert "4 left out" in shown
        await pilot.press("v")
        await settle(pilot)
        assert "Rejects 1" not in words(pilot)
        await pilot.resize_terminal(*LARGE)
        await settle(pilot)
        assert "Rejects 1" in words(pilot)  # beside the rows where there is room


async def test_wide_rows_scroll_sideways(empty: Path, tables: Path) -> None:
    names = [f"column_{n:02d}" for n in range(30)]
    (tables / "wide.csv").write_text(",".join(names) + "\n" + ",".join(map(str, range(30))) + "\n")
    async with running(empty, SMALL, "2 n") as pilot:
        await pick(pilot, "wide.csv")
        rows = view_of(pilot).query_one(RowsTable)
        rows.focus()
        assert "column_08" not in text_of(pilot).splitlines()[13]
        for _ in range(60):
            await pilot.press("l")
        await pilot.pause(0.5)
        assert rows.scroll_x > 0


async def test_an_older_preview_stops_and_never_overwrites_a_newer_one(
    empty: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    ended: list[str] = []
    call = Desk.call
    may_go = threading.Event()

    def slow(desk: Desk, request: Any, progress: Any) -> Any:
        delimiter = str(request.arguments.get("delimiter", ""))
        seen.append(delimiter)
        try:
            if delimiter == "pipe":
                may_go.wait(20)
            result = call(desk, request, progress)
            ended.append(delimiter)
            return result
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    monkeypatch.setattr(Desk, "call", slow)
    async with running(empty, SMALL, "2 n") as pilot:
        await pick(pilot, "prices.csv")
        view = view_of(pilot)
        view.given("option delimiter", "pipe")
        await pilot.pause(0.2)
        assert view.is_reading
        assert "▶ reading" in words(pilot)
        view.given("option delimiter", "semicolon")
        await until(pilot, "delimiter semicolon")
        for _ in range(100):
            await pilot.pause(0.05)
            if not view.is_reading:
                break
        assert decided(pilot)["price"] == "double"
        may_go.set()
        for _ in range(100):
            await pilot.pause(0.05)
            if len(ended) == 3:
                break
        assert seen == ["", "pipe", "semicolon"]
        assert ended == ["", "semicolon", "Cancelled"]  # at its next step
        assert decided(pilot)["price"] == "double"


@pytest.mark.usefixtures("cold_jobs")
async def test_from_a_file_to_a_version_as_the_command_line_would(
    empty: Path, tables: Path
) -> None:
    async with running(empty, SMALL, "2 n") as pilot:
        await pick(pilot, tables / "prices.csv")
        await correct(pilot, "code", "long")
        await pilot.press("ctrl+r")
        await settle(pilot)
        naming = view_of(pilot).query_one(Naming)
        assert naming.line("name").value == "prices"
        assert pilot.app.focused is naming.line("name")
        naming.line("target").value = "prise"
        naming.line("key").value = "code"
        naming.line("tag").value = "golden"
        naming.line("note").value = "by hand"
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert "There is no column 'prise' to be the target." in words(pilot)
        assert "Did you mean 'price'?" in words(pilot)
        naming.line("target").value = "price"
        await settle(pilot)
        shown = words(pilot)
        assert "There is no column" not in shown
        assert "data add prices" in shown
        for expected in ("--target price", "--key code", "--tag golden", "--type code=long"):
            assert expected in shown
        await pilot.press("enter")
        await until(pilot, "Data sets 1")
        await until(pilot, "data.add finished")
        with Workspace.open(empty) as workspace:
            version = catalog.call(workspace, "data.show", {"name": "prices@golden"}).version
        assert (version.rows, version.target, version.note) == (40, "price", "by hand")
        assert [column.type for column in version.schema] == ["long", "double", "date"]
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Notification)
        shown = " ".join(words(pilot).replace("│", " ").split())
        assert "Done last command paceml-tui data add prices" in shown


async def test_a_new_version_of_a_data_set_begins_with_its_name(orders: Path) -> None:
    async with running(orders, SMALL, "2 v n") as pilot:
        await pick(pilot, orders / "missing.csv")
        await pilot.press("escape")
        await settle(pilot)
        source = orders.parent / "again.csv"
        source.write_text("id,region\n1,north\n")
        await pick(pilot, source)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert view_of(pilot).query_one(Naming).line("name").value == "orders"
        await pilot.press("escape")
        await settle(pilot)
        assert pilot.app.focused is view_of(pilot).table


async def test_the_steps_say_their_commands(empty: Path, tables: Path) -> None:
    async with running(empty, SMALL, "2 n") as pilot:
        assert [request.command for _, request in view_of(pilot).requests()] == ["data.browse"]
        await pick(pilot, "prices.csv")
        await pilot.press("c")
        await settle(pilot)
        assert "paceml-tui data preview prices.csv" in words(pilot)
        assert "paceml-tui data add NAME prices.csv" in words(pilot)


async def test_loading_failed_and_too_small(
    empty: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read, perform = threading.Event(), Desk.perform

    def slow(desk: Desk, request: Any) -> Any:
        may_read.wait(20)
        return perform(desk, request)

    async with running(empty, SMALL, "2") as pilot:
        monkeypatch.setattr(Desk, "perform", slow)
        try:
            await pilot.press("n")
            await pilot.pause(0.1)
            picker = view_of(pilot).query_one(SourcePicker)
            assert picker.state == "loading"
            assert "Reading the folder" in words(pilot)
        finally:
            may_read.set()
        await settle(pilot)
        assert picker.state == "filled"

        def refuse(*_: object) -> None:
            raise UnavailableError("The bucket [/nope]\x1b[2J is away.", "Try again.")

        monkeypatch.setattr(Desk, "perform", refuse)
        picker.begin()
        await settle(pilot)
        assert picker.state == "failed"
        assert "The bucket [/nope]␛[2J is away." in words(pilot)
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)
        await pilot.resize_terminal(60, 16)
        await settle(pilot)
        assert "The bucket" in words(pilot)


async def test_hostile_tables_are_harmless(empty: Path, tables: Path) -> None:
    texts = [it for it in workspaces.HOSTILE if "\x00" not in it and "\ud800" not in it]
    quoted = ",".join('"' + it.replace('"', '""') + '"' for it in texts)
    name = "a\x1b[2J\u202e[red].csv"
    (tables / name).write_text(f"{quoted}\n{quoted}\n{quoted},more\n{quoted}\n", encoding="utf-8")
    for size in (SMALL, LARGE):
        async with running(empty, size, "2 n") as pilot:
            assert_harmless(all_text(pilot))
            await pick(pilot, tables / name)
            assert view_of(pilot)._found
            assert_harmless(all_text(pilot))
            await pilot.press("v")
            await settle(pilot)
            assert_harmless(all_text(pilot))
            await pilot.press("G", "enter")
            await settle(pilot)
            assert_harmless(all_text(pilot))
            await pilot.press("escape", "c")
            await settle(pilot)
            assert_harmless(all_text(pilot))
            await pilot.press("escape", "ctrl+r")
            await settle(pilot)
            assert_harmless(all_text(pilot))


# The parts below the screen.


def choices() -> Choices:
    return Choices(data_import.known_options(), {}, {})


def test_every_choice_is_an_argument_that_both_commands_take() -> None:
    made = choices()
    made.correct("option null", 'NA, "n, k"')
    made.correct("option strict", "yes")
    made.correct("option header", "2")
    made.correct("column price", "double")
    made.correct("rename price", "cost=s")
    arguments = made.arguments()
    assert arguments == {
        "null": ("NA", "n, k"),
        "strict": True,
        "header": "2",
        "type": ("price=double",),
        "rename": ("price=cost=s",),
    }
    for name in ("data.add", "data.preview"):
        more = {"name": "x"} if name == "data.add" else {}
        command(name).coerce({"source": "x", **more, **arguments})
    assert made.correct("option strict", "no")
    assert made.correct("rename price", "")
    assert made.columns == {"price": {"type": "double"}}
    assert not made.correct("column price", "double")  # nothing new: nothing is read again


def test_a_type_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="not a type"):
        choices().correct("column a", "flaot")


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_correction_is_taken_or_refused_with_a_sentence(name: str, value: str) -> None:
    made = choices()
    for subject in (f"option {name}", f"column {name}", f"rename {name}"):
        with contextlib.suppress(InputError):
            made.correct(subject, value)
    found = {"columns": [{"name": name, "source": name, "type": value}], "decisions": []}
    for row in made.rows(found):
        assert all(isinstance(text, str) for text in made.question(row))
        made.forget(row)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("wine.csv", "wine"),
        ("/data/2026/wine red.csv.gz", "wine_red"),
        ("s3://bucket/a/b.parquet", "b"),
        ("more/*.csv", ""),
        ("https://host/x.csv?key=1", "x"),
        ("postgresql://host/db", "db"),
        ("", ""),
    ],
)
def test_a_name_is_proposed_from_the_source(source: str, name: str) -> None:
    assert proposed(source) == name
