"""The recipe view: steps beside what they do, changing them, the text, saving, and print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from test_hostile import assert_harmless
from textual.pilot import Pilot
from views_kit import REFUSED, assert_small_and_back, held, press, refuse, retype, words

from local_stack import catalog
from local_stack.data.recipes import document
from local_stack.results import plain
from local_stack.workspace import Workspace
from paceml_tui import preparation, printing_recipe
from paceml_tui.app import PacemlApp
from paceml_tui.screens import data_recipe_steps as steps
from paceml_tui.screens.data_recipe import RecipeView
from paceml_tui.tasks import Desk
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import Confirm, Notification
from paceml_tui.widgets.editor import Editor

TEXT = """\
# a title
target: paid
features:
  # some have no price
  - impute: {columns: [price], strategy: median}
  # prices have a tail
  - power: {columns: [price]}
  - encode: {columns: [region], as: target}
  - drop: {columns: [note]}
"""


def view_of(pilot: Pilot[int]) -> RecipeView:
    view = pilot.app.screen
    assert isinstance(view, RecipeView)
    return view


def listed(pilot: Pilot[int]) -> list[str]:
    """Return the words of the steps, those that are off in brackets."""
    look = view_of(pilot)._look
    assert look is not None
    return [it.word if it.number else f"({it.word})" for it in look.outline.entries]


def stored(root: Path, **given: Any) -> Any:
    with Workspace.open(root) as workspace:
        return catalog.call(workspace, "data.recipe", {"name": "sales", **given})


async def write(pilot: Pilot[int], text: str) -> None:
    """Type into the line of a step, and hand it over."""
    view_of(pilot).query_one(Correction).query_one("Input").value = text  # type: ignore[attr-defined]
    await press(pilot, "enter")


@pytest.fixture(scope="module")
def sales_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sales")
    lines = ["price,region,note,paid"]
    for n in range(90):
        price = "" if n % 15 == 4 else f"{(n % 13) ** 3 + 0.5}"
        lines.append(f"{price},{('north', 'south', 'west')[n % 3]},n{n % 7},{n % 4 == 0}")
    (folder / "sales.csv").write_text("\n".join(lines) + "\n")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        given = {"name": "sales", "source": str(folder / "sales.csv"), "target": "paid"}
        catalog.call(workspace, "data.add", given)
    return folder / "studio"


@pytest.fixture
def sales(sales_template: Path, tmp_path: Path) -> Path:
    """Return a workspace with a data set that has no recipe."""
    import shutil

    return Path(shutil.copytree(sales_template, tmp_path / "studio"))


@pytest.fixture
def prepared(sales: Path) -> Path:
    """Return a workspace with a data set and its recipe."""
    stored(sales, text=TEXT)
    return sales


async def test_each_step_stands_beside_what_it_does(prepared: Path) -> None:
    async with running(prepared, LARGE, "2 R") as pilot:
        assert listed(pilot) == ["impute", "power", "encode", "drop"]
        shown = words(pilot)
        assert "changes price" in shown
        assert "1 of 1" in shown
        assert "not saved" not in shown
        assert "1 impute fits on other rows" in shown
        assert "6 missing" in shown
        assert "∅ → " in shown  # a cell that was missing, and what it became
        assert "median" in shown
        assert "some have no price" in shown
        await press(pilot, "j")
        assert "lambda" in words(pilot)
        await press(pilot, "j")
        assert "fits on the target" in words(pilot)
        await press(pilot, "j")
        assert "Removed: 1" in words(pilot)
        await press(pilot, "o")
        shown = words(pilot)
        assert "Steps: 4" in shown
        assert "Columns before and after" in shown
        assert "means of the target are out of fold" in shown
        await press(pilot, "o")
        assert "Removed: 1" in words(pilot)


async def test_a_step_opens_and_closes_where_there_is_no_room_beside(prepared: Path) -> None:
    async with running(prepared, SMALL, "2 R") as pilot:
        assert "Learnt from" not in words(pilot)
        await press(pilot, "enter")
        assert "Learnt from 90 rows" in words(pilot)
        assert isinstance(pilot.app.focused, Detail)
        assert max(map(len, text_of(pilot).splitlines())) <= 80
        await press(pilot, "escape", "o")
        assert "Columns before and after" in words(pilot)
        await press(pilot, "escape")
        assert pilot.app.focused is view_of(pilot).table
        await press(pilot, "j", "c")
        assert isinstance(pilot.app.screen, Notification)
        shown = all_text(pilot)
        assert "paceml-tui data prepare sales@" in shown
        assert "--number 1 --step 2" in " ".join(shown.replace("│", " ").split())
        await press(pilot, "escape", "question_mark")
        assert "Turn the step off, or on again." in all_text(pilot)
        await press(pilot, "escape", "escape")
        assert not isinstance(pilot.app.screen, RecipeView)


async def test_steps_are_moved_turned_off_removed_and_brought_back(prepared: Path) -> None:
    async with running(prepared, SMALL, "2 R") as pilot:
        await press(pilot, "right_square_bracket")
        assert listed(pilot) == ["power", "impute", "encode", "drop"]
        assert view_of(pilot).table.cursor_row == 1
        assert "not saved" in words(pilot)
        await press(pilot, "left_square_bracket", "left_square_bracket")
        assert listed(pilot) == ["impute", "power", "encode", "drop"]
        assert "not saved" not in words(pilot)  # as it was
        await press(pilot, "j", "space")
        assert listed(pilot) == ["impute", "(power)", "encode", "drop"]
        assert "off: power: {columns: [price]" in words(pilot)
        await press(pilot, "enter")
        assert "It is off; space turns it on." in words(pilot)
        await press(pilot, "escape", "D")
        assert listed(pilot) == ["impute", "encode", "drop"]
        await press(pilot, "u", "u")
        assert listed(pilot) == ["impute", "power", "encode", "drop"]
        await press(pilot, "space", "ctrl+r")
        await until(pilot, "Recipe 2 is set.")
        await settle(pilot)
        assert "2 of 2" in words(pilot)
        found = stored(prepared)
        assert [next(iter(it)) for it in found.document["features"]] == ["impute", "encode", "drop"]
        assert "# prices have a tail\n  # - power" in found.text
        await press(pilot, "less_than_sign")
        assert "1 of 2" in words(pilot)
        assert listed(pilot) == ["impute", "power", "encode", "drop"]
        await press(pilot, "less_than_sign")
        await until(pilot, "There is no older recipe.")


async def test_steps_are_written_in_a_line_that_says_what_is_wrong(prepared: Path) -> None:
    async with running(prepared, SMALL, "2 R a") as pilot:
        assert "Such as impute" in words(pilot)
        await write(pilot, "inpute: {columns: numeric}")
        assert "'inpute' is no step. Did you mean 'impute'?" in words(pilot)
        await write(pilot, "ratio: {columns: [price, pirce]}")
        assert listed(pilot) == ["impute", "ratio", "power", "encode", "drop"]
        assert "✖ A step of the recipe names column" in words(pilot)
        assert "not looked at: a step before it fails" in words(pilot)
        await press(pilot, "enter")
        assert "Did you mean 'price'" in words(pilot)
        assert view_of(pilot).state == "filled"
        await press(pilot, "escape", "ctrl+r")
        await until(pilot, "line 6")
        assert stored(prepared).number == 1  # what cannot be done is not kept
        await press(pilot, "e")
        await write(pilot, "ratio: {columns: [price, price], as: one}")
        assert "adds one" in words(pilot)
        await press(pilot, "a", "escape")
        assert pilot.app.focused is view_of(pilot).table
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, Confirm)
        await press(pilot, "enter")  # Cancel has the focus
        assert isinstance(pilot.app.screen, RecipeView)
        await press(pilot, "escape", "y")
        assert not isinstance(pilot.app.screen, RecipeView)


async def test_the_whole_text_is_tried_while_it_is_typed(prepared: Path) -> None:
    async with running(prepared, LARGE, "2 R j E") as pilot:
        view = view_of(pilot)
        editor = view.query_one(Editor)
        assert editor.area.text == TEXT
        assert editor.area.cursor_location == (6, 0)  # the step that was selected
        assert pilot.app.focused is editor.area
        assert "lambda" in words(pilot)  # beside it
        await retype(pilot, TEXT.replace("[price]}", "[prise]}"))
        assert "the recipe, line 7" in words(pilot)
        assert "Did you mean 'price'" in words(pilot)
        await press(pilot, "ctrl+r")
        assert view.is_editing
        assert "prise" in editor.area.text  # nothing is lost
        await retype(pilot, TEXT.replace("power", "powr"))
        assert "the recipe, line 7: 'powr' is not a key" in words(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, Confirm)
        await press(pilot, "enter")
        assert view.is_editing
        await retype(pilot, TEXT.replace("power: {columns: [price]}", "scale: {columns: [price]}"))
        assert "valid" in words(pilot)
        editor.area.move_cursor((6, 0))
        await settle(pilot)
        assert "2 scale" in words(pilot)
        await press(pilot, "escape")
        assert listed(pilot) == ["impute", "scale", "encode", "drop"]
        assert "not saved" in words(pilot)
        await press(pilot, "E", "ctrl+r")
        await until(pilot, "Recipe 2 is set.")
        await settle(pilot)
        assert not view.is_editing
        assert stored(prepared).text == TEXT.replace("power: {", "scale: {")


async def test_from_no_recipe_to_a_suggested_one(sales: Path) -> None:
    async with running(sales, SMALL, "2 R") as pilot:
        assert view_of(pilot).state == "empty"
        assert "No recipe yet. Press i to suggest one from sales@" in words(pilot)
        await press(pilot, "u", "space", "D", "o", "e")
        assert view_of(pilot).state == "empty"
        await press(pilot, "w")
        await until(pilot, "Save the recipe first")
        await press(pilot, "i")
        await until(pilot, "Recipe 1 is set.")
        await settle(pilot)
        assert view_of(pilot).state == "filled"
        assert "encode" in listed(pilot)
        assert stored(sales).source == "suggested"


async def test_from_no_recipe_to_one_that_is_written(sales: Path) -> None:
    async with running(sales, SMALL, "2 R a") as pilot:
        await write(pilot, "impute: {columns: numeric}")
        assert listed(pilot) == ["impute"]
        await press(pilot, "a")
        await write(pilot, "drop: {columns: [note]}")
        assert listed(pilot) == ["impute", "drop"]
        await press(pilot, "D", "D")
        assert view_of(pilot).state == "empty"
        await press(pilot, "E")
        assert view_of(pilot).query_one(Editor).area.text == steps.BEGUN
        await retype(pilot, "features:\n  - drop: {columns: [note]}\n")
        await press(pilot, "ctrl+r")
        await until(pilot, "Recipe 1 is set.")


@pytest.mark.usefixtures("cold_jobs")
async def test_the_prepared_table_is_stored_as_a_version(prepared: Path) -> None:
    async with running(prepared, SMALL, "2 R w") as pilot:
        assert "sales-prepared" in view_of(pilot).query_one(Correction).query_one("Input").value  # type: ignore[attr-defined]
        await press(pilot, "enter")
        await until(pilot, "Stored as sales-prepared@")
        with Workspace.open(prepared) as workspace:
            row = workspace.query("SELECT * FROM data_versions WHERE dataset = 'sales-prepared'")[0]
        assert row["n_rows"] == 90
        assert row["lineage"]["preparation"]["recipe"] == 1
        await press(pilot, "w")
        await write(pilot, "sales")
        await until(pilot, "cannot be a version of 'sales' itself")


async def test_a_recipe_that_somebody_else_sets_is_not_overwritten_unasked(prepared: Path) -> None:
    async with running(prepared, SMALL, "2 R space") as pilot:
        other = "features:\n  - drop: {columns: [note]}\n"
        stored(prepared, text=other)
        await until(pilot, "1 of 2")
        assert listed(pilot) == ["(impute)", "power", "encode", "drop"]  # mine stays
        await press(pilot, "ctrl+r")
        assert isinstance(pilot.app.screen, Confirm)
        assert "Recipe 2 was set while you edited" in words(pilot)
        await press(pilot, "y")
        await until(pilot, "3 of 3")
    async with running(prepared, SMALL, "2 R") as pilot:
        stored(prepared, text=other)
        await until(pilot, "4 of 4")
        await settle(pilot)
        assert listed(pilot) == ["drop"]


async def test_a_large_version_is_tried_on_a_sample_that_says_so(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_WHOLE", 50)
    monkeypatch.setattr(steps, "_SAMPLED", 30)
    async with running(prepared, SMALL, "2 R") as pilot:
        assert "sample of 30 of 90 rows" in words(pilot)
        await press(pilot, "c")
        assert "--rows 30" in " ".join(all_text(pilot).replace("│", " ").split())


async def test_loading_failed_and_too_small(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(prepared, SMALL, "2") as pilot:
        with held(monkeypatch, steps, "opened"):
            await pilot.press("R")
            await pilot.pause(0.1)
            assert view_of(pilot).state == "loading"
            assert "Reading the recipe" in words(pilot)
        await settle(pilot)
        assert view_of(pilot).state == "filled"
        await assert_small_and_back(pilot)
        refuse(monkeypatch, Desk, "query")
        view_of(pilot).reload()
        await settle(pilot)
        assert view_of(pilot).state == "failed"
        assert REFUSED in words(pilot)


async def test_a_read_only_app_changes_nothing(prepared: Path) -> None:
    app = PacemlApp(prepared, is_readonly=True, clock=lambda: workspaces.NOW, beat_seconds=0.1)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "2", "R")
        for key in ("space", "D", "a", "E", "w", "ctrl+r", "right_square_bracket"):
            await press(pilot, key)
            await until(pilot, "opened read-only")
            assert listed(pilot) == ["impute", "power", "encode", "drop"]
            pilot.app.clear_notifications()
        await press(pilot, "i")
        await until(pilot, "the workspace is opened read-only")


async def test_hostile_recipes_are_harmless(prepared: Path) -> None:
    names = [it.encode("utf-8", "backslashreplace").decode() for it in workspaces.HOSTILE]
    text = f"target: paid\nfeatures:\n  # {names[3]}\n"
    features = [{"rename": {"price": name}} for name in names]
    body = "\n".join(line for step in features for line in document.step_lines(step))
    with Workspace.open(prepared) as workspace:
        workspaces.append(
            workspace,
            "data.recipe_set",
            "data:sales",
            workspaces.row(
                "recipes",
                dataset="sales",
                number=2,
                hash=names[0],
                document={"target": "paid", "features": features},
                text=text + body + "\n",
                source=names[0],
                actor=names[0],
            ),
        )
    async with running(prepared, LARGE, "2 R") as pilot:
        for _ in names:
            assert_harmless(all_text(pilot))
            await press(pilot, "j")
        await press(pilot, "o")
        assert_harmless(all_text(pilot))
        await press(pilot, "E")
        assert_harmless(all_text(pilot))


# ------------------------------------------------------------------ print


def printed(root: Path, name: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    with Workspace.open(root) as workspace:
        values = plain(catalog.call(workspace, name, {"name": "sales", **given}))
    of = {"data.recipe": "recipe_lines", "data.prepare": "preparation_lines"}[name]
    return list(getattr(printing_recipe, of)(values))


def test_a_recipe_is_printed_as_itself(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(prepared, "data.recipe", monkeypatch)
    found = document.parse("\n".join(lines))
    assert found.values == document.parse(TEXT).values
    assert lines[0].startswith("# recipe 1 of sales (")


def test_what_a_recipe_does_is_printed_in_80_columns(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(prepared, "data.prepare", monkeypatch)
    assert max(map(len, lines)) <= 80
    told = "\n".join(lines)
    assert "   1 impute       fits on rows   changes price" in told
    assert "   4 drop                        removes note" in told
    assert "6 → 0" in told
    assert "removed: note" in told
    one = printed(prepared, "data.prepare", monkeypatch, step=1, rows=60)
    assert max(map(len, one)) <= 80
    assert "over a random sample of 60 of 90 rows" in "\n".join(one)
    assert "Learnt from 60 rows" in "\n".join(one)
    assert any("∅ → " in line for line in one)


def test_net_changes_are_from_the_first_to_the_last_step() -> None:
    def change(name: str, before: Any, after: Any) -> dict[str, Any]:
        return {"name": name, "before": before, "after": after}

    a, b, c = ({"mean": n} for n in range(3))
    found = preparation.net_changes(
        [
            {"changes": [change("x", a, b), change("new", None, a), change("gone", None, c)]},
            {"changes": [change("x", b, c), change("gone", c, None), change("new", a, b)]},
        ]
    )
    assert found == [change("x", a, c), change("new", None, b)]
