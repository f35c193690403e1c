"""The label queue: answers by keys, undo, notes, coming back, adjudication, a new version."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, until
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import REFUSED, assert_small_and_back, held, press, refuse, words

from local_stack import catalog
from local_stack.data import versions
from local_stack.errors import InputError
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp
from paceml_tui.screens.data_label import LabelView
from paceml_tui.screens.data_label_asking import queue_of
from paceml_tui.tasks import Desk
from paceml_tui.widgets.dialog import Confirm, Notification

LONG = "a long story " * 40


def view_of(pilot: Pilot[int]) -> LabelView:
    view = pilot.app.screen
    assert isinstance(view, LabelView)
    return view


async def type_in(pilot: Pilot[int], key: str, text: str) -> None:
    """Open a line, put ``text`` into it in place of what stands there, and hand it over."""
    from textual.widgets import Input

    await press(pilot, key)
    line = view_of(pilot).query_one(Input)
    assert pilot.app.focused is line
    line.value = text
    await press(pilot, "enter")


def answers(root: Path, actor: str = "ada", role: str = "label") -> dict[int, Any]:
    """Return what somebody says of each row, as the journal has it."""
    with Workspace.open(root) as workspace:
        rows = workspace.query(
            "SELECT * FROM labels WHERE actor = ? AND role = ? ORDER BY turn", actor, role
        )
    return {it["row"]: (it["classes"], it["note"]) for it in rows}


def say(root: Path, actor: str, **given: Any) -> Any:
    with Workspace.open(root, actor=actor) as workspace:
        return catalog.call(workspace, "data.label", {"name": "tales", "column": "tone", **given})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with a version of eight tales, once."""
    folder = tmp_path_factory.mktemp("tales")
    source = folder / "tales.csv"
    lines = [f'{n},"{LONG if n == 2 else f"tale {n}"}",{("old", "new")[n % 2]}' for n in range(8)]
    source.write_text("id,text,kind\n" + "\n".join(lines) + "\n")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        catalog.call(workspace, "data.add", {"name": "tales", "source": str(source)})
    return folder / "studio"


@pytest.fixture
def tales(told: Path, tmp_path: Path) -> Path:
    """Return the workspace without a labelling."""
    return Path(shutil.copytree(told, tmp_path / "studio"))


@pytest.fixture
def begun(tales: Path) -> Path:
    """Return the workspace with classes for the column tone."""
    say(tales, "ada", classes=["good,bad,odd"])
    return tales


async def test_a_labelling_begins_with_a_column_and_classes(tales: Path) -> None:
    async with running(tales, SMALL, "2 L") as pilot:
        assert view_of(pilot).state == "empty"
        assert "Press L to begin" in words(pilot)
        await type_in(pilot, "L", "kind")
        line = pilot.app.focused
        assert getattr(line, "value", "") == "new, old"  # what the column holds
        await press(pilot, "enter")
        assert "1 new 2 old" in words(pilot)
        assert "kind now old" in words(pilot)
        await type_in(pilot, "L", "tone")
        assert "Classes" in words(pilot)
        await press(pilot, "escape")  # nothing is declared
        assert view_of(pilot).state == "empty"


async def test_classes_are_keys_and_every_answer_is_kept_at_once(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        assert "1 good 2 bad 3 odd" in words(pilot)
        assert "Row 0 1 of 8 in this queue" in words(pilot)
        await press(pilot, "2")
        assert answers(begun) == {0: (["bad"], "")}
        assert "Row 1" in words(pilot)
        assert "1 of 8 done" in words(pilot)
        await press(pilot, "1", "s")
        assert answers(begun)[2] == (None, "")
        await press(pilot, "9")
        await until(pilot, "There are 3 classes")
        assert len(answers(begun)) == 3
        await press(pilot, "less_than_sign")
        assert "you said ○ skipped" in words(pilot)
        await press(pilot, "left", "left")
        assert "Row 0" in words(pilot)
        assert "you said ● bad" in words(pilot)
        await press(pilot, "left")
        await until(pilot, "This is the first row.")
        await press(pilot, "3")  # changed; the next open row follows
        assert answers(begun)[0] == (["odd"], "")
        assert "Row 3" in words(pilot)
        await type_in(pilot, "colon", "7")
        assert "Row 7" in words(pilot)
        await type_in(pilot, "colon", "8")
        await until(pilot, "has no row 8")
        await until(pilot, "labelled 2")


async def test_undo_goes_back_step_by_step(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        await press(pilot, "1", "2", "s", "u")
        assert "Row 2" in words(pilot)
        await press(pilot, "u")
        assert "Row 1" in words(pilot)
        assert answers(begun) == {0: (["good"], "")}
        await press(pilot, "u")
        assert answers(begun) == {}
        await press(pilot, "u")
        await until(pilot, "nothing to undo")


async def test_a_note_is_kept_with_the_answer(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        await type_in(pilot, "n", "is it irony?")
        assert "note is it irony?" in words(pilot)
        assert answers(begun) == {}
        await press(pilot, "1")
        assert answers(begun)[0] == (["good"], "is it irony?")
        await press(pilot, "left", "2")
        assert answers(begun)[0] == (["bad"], "is it irony?")
        await press(pilot, "left")
        await type_in(pilot, "n", "no")
        assert answers(begun)[0] == (["bad"], "no")


async def test_several_classes_are_chosen_and_kept_together(tales: Path) -> None:
    async with running(tales, SMALL, "2 L") as pilot:
        await type_in(pilot, "L", "topics")
        from textual.widgets import Input

        view_of(pilot).query_one(Input).value = "sea, love, war +"
        await press(pilot, "enter")
        await press(pilot, "3", "1")
        assert "1 ● sea 2 love 3 ● war" in words(pilot)
        await press(pilot, "enter")
        assert answers(tales)[0] == (["sea", "war"], "")
        await press(pilot, "1", "1", "enter")
        assert answers(tales)[1] == ([], "")
        await press(pilot, "left", "left")
        assert "you said ● sea, war" in words(pilot)
        assert "1 ● sea" in words(pilot)
        await type_in(pilot, "plus", "death")
        assert "4 death" in words(pilot)
        await press(pilot, "4", "enter")
        assert answers(tales)[0] == (["sea", "war", "death"], "")


async def test_one_comes_back_to_where_one_left(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        await press(pilot, "1", "2", "escape")
        assert not isinstance(pilot.app.screen, LabelView)
    async with running(begun, SMALL, "2 L") as pilot:
        assert "Row 2" in words(pilot)
        assert "2 of 8 done" in words(pilot)


async def test_the_queue_is_chosen_in_one_line(begun: Path) -> None:
    async with running(begun, LARGE, "2 L") as pilot:
        await type_in(pilot, "slash", "kind=new; rows 6,5,3")
        assert "Row 5 1 of 2 in this queue" in words(pilot)
        assert "kind=new; rows 6,5,3" in words(pilot)
        await press(pilot, "1", "1")
        assert sorted(answers(begun)) == [3, 5]
        assert "Nothing is left in this queue." in words(pilot)
        await press(pilot, "1")
        await until(pilot, "press / for other rows")
        await type_in(pilot, "slash", "nonsense")
        await until(pilot, "says not which rows")
        await type_in(pilot, "slash", "kind=neither")
        assert "0 of 0 done" in words(pilot)
        await type_in(pilot, "slash", "")
        assert "Row 0" in words(pilot)
        assert "2 of 8 done" in words(pilot)


@pytest.mark.usefixtures("cold_jobs")
async def test_disagreements_are_settled_and_a_version_is_made(begun: Path) -> None:
    for row in range(8):
        say(begun, "bob", row=row, value=["good"], note="as I see it" if row == 4 else "")
        say(begun, "eve", row=row, value=["bad" if row in (4, 6) else "good"])
    async with running(begun, LARGE, "2 L") as pilot:
        await until(pilot, "in conflict 2")
        assert "bob" not in words(pilot).split("So far")[0]
        await press(pilot, "P")
        assert "bob ● good" in words(pilot)
        await press(pilot, "A")
        assert "adjudicating" in words(pilot)
        assert "Row 4 1 of 2 in this queue" in words(pilot)
        assert "bob ● good as I see it" in words(pilot)
        assert "eve ● bad" in words(pilot)
        await press(pilot, "2")
        assert answers(begun, role="adjudicate") == {4: (["bad"], "")}
        await press(pilot, "F")
        await until(pilot, "in conflict 1")
        await press(pilot, "escape")
        await press(pilot, "1")
        assert "No conflict is left to settle." in words(pilot)
        await until(pilot, "in conflict 0")
        await press(pilot, "F")
        assert isinstance(pilot.app.screen, Confirm)
        assert "8 of 8 rows get their label in column tone." in words(pilot)
        await press(pilot, "enter")  # Cancel has the focus
        assert "Make a new version" not in words(pilot)
        await press(pilot, "F", "y")
        await until(pilot, "is made.")
        await press(pilot, "c")
        assert isinstance(pilot.app.screen, Notification)
        assert "paceml-tui data finish-labels tales@" in words(pilot)
        assert "paceml-tui data label tales@" in words(pilot)
        assert "paceml-tui data labels tales@" in words(pilot)
    with Workspace.open(begun) as workspace:
        made = versions.find(workspace, "tales")
        assert made.number == 2
        tones = versions.read(workspace, made)["tone"].to_list()
    assert tones == ["good"] * 4 + ["bad", "good", "good", "good"]
    assert made.lineage["labelling"]["judges"] == ["ada"]
    async with running(begun, SMALL, "2 L") as pilot:  # the newest version, which has it all
        assert view_of(pilot).state == "empty"
        assert "Column tone is labelled on version 1." in words(pilot)


@pytest.mark.usefixtures("cold_jobs")
async def test_answers_go_on_while_a_version_is_made(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        await press(pilot, "F")
        await until(pilot, "No row has a label yet.")
        await press(pilot, "1")
        await until(pilot, "labelled 1")
        await press(pilot, "F")
        await pilot.press("y")
        await pilot.press("2")
        await until(pilot, "is made.")
        assert answers(begun) == {0: (["good"], ""), 1: (["bad"], "")}
        assert "Row 2" in words(pilot)


async def test_what_others_answer_meanwhile_is_counted_and_moves_nothing(begun: Path) -> None:
    async with running(begun, LARGE, "2 L") as pilot:
        await press(pilot, "1")
        say(begun, "bob", row=0, value=["good"])
        await until(pilot, "from 1 row with two answers")
        assert "Row 1" in words(pilot)


async def test_long_texts_wrap_and_can_be_scrolled(begun: Path) -> None:
    async with running(begun, SMALL, "2 L") as pilot:
        await type_in(pilot, "colon", "2")
        shown = words(pilot)
        assert shown.count("a long story") >= 8
        assert "1 good 2 bad 3 odd" in shown  # the classes stay in sight
        await press(pilot, "G")
        assert "kind old" in words(pilot)


async def test_loading_failed_and_too_small(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(begun, SMALL, "2") as pilot:
        with held(monkeypatch, Desk, "perform"):
            await pilot.press("L")
            await pilot.pause(0.1)
            assert view_of(pilot).state == "loading"
            assert "Reading the rows" in words(pilot)
        await settle(pilot)
        await settle(pilot)
        assert view_of(pilot).state == "filled"
        await assert_small_and_back(pilot)
        refuse(monkeypatch, Desk, "perform")
        await press(pilot, "1")
        await until(pilot, REFUSED)
        assert "Row 0" in words(pilot)  # an answer that was not kept is none
        await press(pilot, "escape", "L")
        assert view_of(pilot).state == "failed"
        assert REFUSED in words(pilot)


async def test_a_collected_version_fails_in_its_pane(begun: Path) -> None:
    with Workspace.open(begun) as workspace:
        row = versions.record(workspace, versions.find(workspace, "tales"))
        gone = {**row, "collected_at": workspaces.at(days=1)}
        workspaces.append(workspace, "data.collected", "data", ("data_versions", gone))
    async with running(begun, SMALL, "2 L") as pilot:
        assert view_of(pilot).state == "failed"
        assert "were collected" in words(pilot)


async def test_a_read_only_app_shows_and_refuses(begun: Path) -> None:
    app = PacemlApp(begun, is_readonly=True, clock=lambda: workspaces.NOW, beat_seconds=0.1)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "2", "L", "1")
        await until(pilot, "opened read-only")
        assert "Row 0" in words(pilot)
    assert answers(begun) == {}


async def test_help_names_the_keys(begun: Path) -> None:
    async with running(begun, SMALL, "2 L question_mark") as pilot:
        assert isinstance(pilot.app.screen, Notification)
        assert "Take your last act back" in pilot.app.screen._copied
        assert "The class with 1 beside it" in pilot.app.screen._copied


async def test_hostile_rows_classes_and_notes_are_harmless(tmp_path: Path) -> None:
    root, texts = tmp_path / "studio", [it for it in workspaces.HOSTILE if "\ud800" not in it]
    source = tmp_path / "bad.jsonl"
    import json

    source.write_text("\n".join(json.dumps({"a": it, texts[0]: it}) for it in texts) + "\n")
    with Workspace.create(root, actor="ada") as workspace:
        catalog.call(workspace, "data.add", {"name": "bad", "source": str(source)})
        asked = {"name": "bad", "column": "[/nope]"}
        catalog.call(workspace, "data.label", {**asked, "classes": ["[bold red]x[/]", "🦀"]})
    for actor in ("bob[/]", "eve"):
        with Workspace.open(root, actor=actor) as workspace:
            for row, text in enumerate(texts):
                value = ["🦀" if actor == "eve" else "[bold red]x[/]"]
                given = {"row": row, "value": value, "note": text[:2000]}
                catalog.call(workspace, "data.label", {**asked, **given})
    async with running(root, LARGE, "2 L A") as pilot:
        for _ in texts:
            assert_harmless(all_text(pilot))
            await press(pilot, "right")
        assert "[bold red]x[/]" in words(pilot)
        await press(pilot, "1", "c")
        assert_harmless(all_text(pilot))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("unlabelled", {"unlabelled": True}),
        ("random", {"order": "random", "seed": 0}),
        ("random 12; skipped", {"order": "random", "seed": 12, "skipped": True}),
        ("rows 1,5-9", {"rows": ["1,5-9"]}),
        ("file my rows.csv", {"rows_from": "my rows.csv"}),
        ("rows of x=3", {"where": "rows of x=3"}),
        ("a=b=c; unlabelled", {"where": "a=b=c", "unlabelled": True}),
    ],
)
def test_a_queue_is_typed(text: str, options: dict[str, Any]) -> None:
    assert queue_of(text) == options


def test_what_is_no_queue_is_refused() -> None:
    with pytest.raises(InputError, match="says not which rows"):
        queue_of("some of them")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x45"])
def test_the_queue_and_the_judge_look_so(
    begun: Path, snap_compare: Callable[..., bool], size: tuple[int, int]
) -> None:
    for row, tone in enumerate(("good", "bad", "odd", "good")):
        say(begun, "bob", row=row, value=["good"], note="irony" if row == 1 else "")
        say(begun, "eve", row=row, value=[tone])
    app = PacemlApp(begun, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE)

    async def look(pilot: Pilot[int]) -> None:
        await settle(pilot)
        await press(pilot, "2", "L", *(["A"] if size == LARGE else []))
        await until(pilot, "in conflict 2")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)
