"""The contract view: the verdict beside each check, inferring, checking, and the editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, until
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import REFUSED, assert_small_and_back, held, refuse, retype, words

from local_stack import catalog
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp
from paceml_tui.screens import data_board
from paceml_tui.screens.data_contract import ContractView, begun, judged
from paceml_tui.tasks import Desk
from paceml_tui.widgets.dialog import Confirm, Notification
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.jobs import JobsPanel


def view_of(pilot: Pilot[int]) -> ContractView:
    view = pilot.app.screen
    assert isinstance(view, ContractView)
    return view


@pytest.fixture
def unpromised(orders: Path) -> Path:
    """Return the workspace with one more data set that has no contract."""
    source = orders.parent / "plain.csv"
    source.write_text("id,price\n" + "".join(f"{n},{n / 2}\n" for n in range(30)))
    with Workspace.open(orders) as workspace:
        catalog.call(workspace, "data.add", {"name": "prices", "source": str(source)})
    return orders


async def test_every_check_stands_beside_its_verdict_the_broken_ones_first(orders: Path) -> None:
    async with running(orders, LARGE, "2 K") as pilot:
        view = view_of(pilot)
        board = view._board
        assert board is not None
        with Workspace.open(orders) as workspace:
            stored = workspace.query("SELECT * FROM checks")[0]
        assert len(board.checks) == len(stored["checks"])
        passed = [it["passed"] for it in board.checks]
        assert passed == sorted(passed)
        assert passed.count(False) == stored["n_failed"] > 0
        shown = words(pilot)
        assert f"{stored['n_failed']} of {len(passed)} checks failed" in shown
        assert "✖ failed" in shown
        assert "● passed" in shown
        assert "west" in shown  # what was observed
        assert "north, south" in shown  # what was expected
        assert "First bad rows" in shown
        assert board.checks[0]["message"].split(";")[0] in shown


async def test_a_check_opens_and_closes_where_there_is_no_room_beside(orders: Path) -> None:
    async with running(orders, SMALL, "2 K") as pilot:
        assert "First bad rows" not in words(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert "First bad rows" in words(pilot)
        assert "1 of 1" in words(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert "First bad rows" not in words(pilot)
        assert pilot.app.focused is view_of(pilot).table
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Notification)
        assert "paceml-tui data contract orders" in words(pilot)
        assert "paceml-tui data check orders@" in words(pilot)
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, ContractView)
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]


@pytest.mark.usefixtures("cold_jobs")
async def test_from_no_contract_to_one_that_is_checked(unpromised: Path) -> None:
    async with running(unpromised, SMALL, "2 K") as pilot:
        view = view_of(pilot)
        assert view.state == "empty"
        assert "No contract yet. Press i to infer one from prices@" in words(pilot)
        await pilot.press("r")
        await until(pilot, "There is no contract to check yet")
        await pilot.press("i")
        await until(pilot, "1 of 1")
        assert "not checked" in words(pilot)
        assert "○ not run" in words(pilot)
        await pilot.press("r")
        await until(pilot, "● passed")
        await until(pilot, "keeps its contract")
        with Workspace.open(unpromised) as workspace:
            stored = workspace.query("SELECT * FROM checks WHERE dataset = 'prices'")
        assert [row["passed"] for row in stored] == [True]


@pytest.mark.usefixtures("cold_jobs")
async def test_a_broken_contract_is_told_with_its_first_broken_rule(orders: Path) -> None:
    async with running(orders, SMALL, "2 K r") as pilot:
        await until(pilot, "breaks")
        await until(pilot, "the first is")
        await until(pilot, "✖ failed")
        assert view_of(pilot).state == "filled"


async def test_editing_says_the_line_loses_nothing_and_makes_a_new_number(orders: Path) -> None:
    async with running(orders, SMALL, "2 K e") as pilot:
        view = view_of(pilot)
        editor = view.query_one(Editor)
        before = editor.area.text
        assert before.startswith("dataset: orders")
        assert pilot.app.focused is editor.area
        assert "ctrl+r save" in words(pilot)
        assert "● valid" in words(pilot)
        bad = "dataset: orders\nrows: {min: 1}\ncolumns:\n  id: {type: lnog}\n"
        await retype(pilot, bad)
        assert "the contract, line 4" in words(pilot)
        assert "long" in words(pilot)  # the nearest
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert view.is_editing
        assert editor.area.text == bad  # nothing is lost
        assert editor.area.cursor_location == (3, 0)
        good = bad.replace("lnog", "long") + "# with a remark\n"
        await retype(pilot, good)
        assert "● valid" in words(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, "Contract 2 is set.")
        await settle(pilot)
        assert not view.is_editing
        assert "2 of 2" in words(pilot)
        with Workspace.open(orders) as workspace:
            assert catalog.call(workspace, "data.contract", {"name": "orders"}).text == good
        await pilot.press("less_than_sign")
        await settle(pilot)
        assert "1 of 2" in words(pilot)
        assert "✖ failed" in words(pilot)  # the verdict by that contract
        await pilot.press("less_than_sign")
        await until(pilot, "There is no older contract.")
        await pilot.press("greater_than_sign")
        await settle(pilot)
        assert "2 of 2" in words(pilot)
        assert "not checked" in words(pilot)
        await pilot.press("e")
        await settle(pilot)
        assert editor.area.text == good
        await pilot.press("escape")
        await settle(pilot)
        assert not view.is_editing  # nothing was changed: nothing is asked


async def test_leaving_changed_text_asks_first(orders: Path) -> None:
    async with running(orders, SMALL, "2 K e") as pilot:
        view = view_of(pilot)
        await pilot.press("tab", "x")
        await settle(pilot)
        assert view.query_one(Editor).area.text.startswith("  xdataset")
        changed = view.query_one(Editor).area.text
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        await pilot.press("enter")  # Cancel has the focus
        await settle(pilot)
        assert view.is_editing
        assert view.query_one(Editor).area.text == changed
        await pilot.press("escape", "y")
        await settle(pilot)
        assert not view.is_editing
        assert "1 of 1" in words(pilot)


async def test_a_contract_that_somebody_else_sets_is_shown_and_not_overwritten_unasked(
    orders: Path,
) -> None:
    async with running(orders, SMALL, "2 K e") as pilot:
        with Workspace.open(orders) as workspace:
            text = "dataset: orders\nrows: {min: 5}\n"
            catalog.call(workspace, "data.contract", {"name": "orders", "text": text})
        await until(pilot, "2 of 2")
        mine = "dataset: orders\nrows: {min: 7}\n"
        await retype(pilot, mine)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        assert "Contract 2 was set while you edited" in words(pilot)
        await pilot.press("y")
        await until(pilot, "3 of 3")
        with Workspace.open(orders) as workspace:
            assert catalog.call(workspace, "data.contract", {"name": "orders"}).text == mine


async def test_help_and_jobs_work_in_a_view(orders: Path) -> None:
    async with running(orders, SMALL, "2 K question_mark") as pilot:
        assert "Check the version against it." in all_text(pilot)
        await pilot.press("escape", "J")
        await settle(pilot)
        assert isinstance(pilot.app.screen, JobsPanel)
        await pilot.press("escape")
        await settle(pilot)
        assert view_of(pilot).state == "filled"


async def test_a_first_contract_can_be_written_by_hand(unpromised: Path) -> None:
    assert judged(begun("odd: name"))  # what one begins with is valid for any name
    async with running(unpromised, SMALL, "2 K e") as pilot:
        view = view_of(pilot)
        assert "dataset: prices" in words(pilot)
        await retype(pilot, "dataset: prices\ncolumns:\n  price: {type: double, min: 0}\n")
        await pilot.press("ctrl+r")
        await until(pilot, "1 of 1")
        assert {it["code"] for it in view._board.checks} == {"type", "min"}  # type: ignore[union-attr]


async def test_a_rule_that_does_not_fit_the_data_is_refused_in_the_editor(orders: Path) -> None:
    async with running(orders, SMALL, "2 K e") as pilot:
        text = 'dataset: orders\nchecks:\n  - {name: sane, expression: "amuont > 1"}\n'
        await retype(pilot, text)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert view_of(pilot).is_editing
        assert "line 3" in words(pilot)
        assert "amuont" in words(pilot)


async def test_loading_failed_and_too_small(orders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(orders, SMALL, "2") as pilot:
        with held(monkeypatch, Desk, "query"):
            await pilot.press("K")
            await pilot.pause(0.1)
            assert view_of(pilot).state == "loading"
            assert "Reading the contract" in words(pilot)
        await settle(pilot)
        assert view_of(pilot).state == "filled"
        await assert_small_and_back(pilot)
        refuse(monkeypatch, Desk, "query")
        view_of(pilot).reload()
        await settle(pilot)
        assert view_of(pilot).state == "failed"
        assert REFUSED in words(pilot)


async def test_a_read_only_app_does_not_open_the_editor(orders: Path) -> None:
    app = PacemlApp(orders, is_readonly=True, clock=lambda: workspaces.NOW, beat_seconds=0.1)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        for key in ("2", "K", "e"):
            await pilot.press(key)
            await settle(pilot)
        await until(pilot, "opened read-only")
        assert not view_of(pilot).is_editing
        await pilot.press("i")
        await until(pilot, "the workspace is opened read-only")


def hostile_checks() -> list[dict[str, Any]]:
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in workspaces.HOSTILE]
    return [
        {
            "code": it,
            "column": it,
            "severity": it,
            "passed": False,
            "observed": it,
            "expected": [it],
            "n_failed": 1,
            "rows": [0],
            "values": [it],
            "message": it,
        }
        for it in texts
    ]


async def test_hostile_contracts_are_harmless(orders: Path) -> None:
    name = workspaces.HOSTILE[0]
    names = [it for it in workspaces.HOSTILE if "\ud800" not in it]
    document = {"dataset": name, "columns": {it: {"allowed": [it]} for it in names}}
    with Workspace.open(orders) as workspace:
        version = workspace.query("SELECT latest FROM datasets")[0]["latest"]
        text = f"dataset: orders\n# {name}\u202e\n"
        workspaces.append(
            workspace,
            "data.contract_set",
            "data:orders",
            workspaces.row(
                "contracts", dataset="orders", number=2, document=document, text=text, actor=name
            ),
            workspaces.row(
                "checks",
                dataset="orders",
                version=version,
                contract=2,
                passed=False,
                checks=hostile_checks(),
            ),
        )
    async with running(orders, LARGE, "2 K") as pilot:
        view = view_of(pilot)
        for _ in view._board.checks:  # type: ignore[union-attr]
            assert_harmless(all_text(pilot))
            await pilot.press("j")
            await pilot.pause()
        await pilot.press("e")
        await settle(pilot)
        assert_harmless(all_text(pilot))
        shown = view.query_one(Editor).area.text
        assert shown.isascii()  # what no editor can show stands as an escape
        columns = judged(shown).values["columns"]  # type: ignore[attr-defined]
        assert columns == {it: {"allowed": [it]} for it in names}


def test_promises_are_listed_before_they_are_checked() -> None:
    document = {
        "rows": {"min": 1},
        "columns": {"a": {"type": "long", "severity": "warning"}, "b": None},
        "checks": [{"name": "sum", "expression": "a > b"}],
    }
    found = data_board.promised(document)
    assert [(it["code"], it["column"], it["severity"]) for it in found] == [
        ("rows min", None, "error"),
        ("type", "a", "warning"),
        ("sum", None, "error"),
    ]
    assert all(it["passed"] is None for it in found)
