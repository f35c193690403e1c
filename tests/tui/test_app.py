"""What the keys do: going about, filtering, forms, dialogs, themes, repeating, and following."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of
from textual.widgets import Input

from local_stack.workspace import Workspace
from paceml_tui import keys, theme
from paceml_tui.tasks import Asked, Request, as_command_line, as_step, words_of
from paceml_tui.widgets.dialog import Confirm, Notification
from paceml_tui.widgets.form import CommandForm


async def test_numbers_go_to_the_screens_and_escape_never_quits(filled: Path) -> None:
    async with running(filled) as pilot:
        for place, word in enumerate(keys.WORDS, 1):
            await pilot.press(str(place))
            assert pilot.app.word == word  # type: ignore[attr-defined]
        for _ in range(5):
            await pilot.press("escape")
        assert pilot.app.is_running
        await pilot.press("q")
        await pilot.pause()
        assert not pilot.app.is_running


async def test_the_tab_strip_fits_and_can_be_clicked(filled: Path) -> None:
    async with running(filled) as pilot:
        strip = text_of(pilot).splitlines()[0]
        assert len(strip.strip()) <= 75
        assert [word for word in strip.split() if word.isalpha()] == list(keys.WORDS)
        await pilot.click("#tabs", offset=(strip.index("registry"), 0))
        await settle(pilot)
        assert pilot.app.word == "registry"  # type: ignore[attr-defined]


async def test_lists_move_by_letters(filled: Path) -> None:
    async with running(filled, SMALL, "3") as pilot:
        table = pilot.app.page.table  # type: ignore[attr-defined]
        for key, row in (("j", 1), ("down", 2), ("k", 1), ("G", 23), ("g", 0), ("end", 23)):
            await pilot.press(key)
            assert table.cursor_row == row, key


async def test_the_filter_works_as_one_types_and_is_told_in_the_title(filled: Path) -> None:
    async with running(filled, SMALL, "3 slash l i g h t") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert "Runs 12 of 24, filter: light" in text_of(pilot)
        assert page.listing.n_match == 12
        await pilot.press("enter")
        await settle(pilot)
        assert pilot.app.focused is page.table
        assert "filter: light" in text_of(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert "Runs 24" in text_of(pilot)
        await pilot.press("slash", *"zzz")
        await settle(pilot)
        assert "No line matches" in text_of(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert "Runs 24" in text_of(pilot)


async def test_runs_are_filtered_by_the_search_grammar(filled: Path) -> None:
    async with running(filled, SMALL, "3 slash") as pilot:
        pilot.app.query_one(
            "#runs FilterBar Input", Input
        ).value = "metrics.rmse < 0.65 and params.model = 'lightgbm'"
        await settle(pilot)
        page = pilot.app.page  # type: ignore[attr-defined]
        assert [row["name"] for row in page.listing.rows] == ["lightgbm-02", "lightgbm-00"][::-1]
        assert "by search" in text_of(pilot)
        pilot.app.query_one("#runs FilterBar Input", Input).value = "metrics.rmse <"
        await settle(pilot)
        assert pilot.app.is_running


async def test_sorting_goes_through_the_columns(filled: Path) -> None:
    async with running(filled, SMALL, "3") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert "started ↓" in text_of(pilot)
        for _ in range(20):
            await pilot.press("s")
            await settle(pilot)
            if page.listing.sorted_by == "rmse":
                break
        await pilot.press("S")
        await settle(pilot)
        values = [row["metrics"].get("rmse") for row in page.listing.rows]
        numbers = [value for value in values if value is not None]
        assert numbers == sorted(numbers)
        assert values[len(numbers) :] == [None] * (len(values) - len(numbers))
        assert "rmse ↑" in text_of(pilot)


async def test_long_lists_are_paged_and_say_so(empty: Path) -> None:
    rows = [
        workspaces.row("experiments", name=f"e{index}", experiment_id=str(index), created_at="x")
        for index in range(3)
    ]
    with Workspace.open(empty) as workspace:
        runs = [
            workspaces.row("runs", run_id=f"{index:05d}", name=f"r{index:05d}", status="FINISHED")
            for index in range(1203)
        ]
        workspaces.append(workspace, "runs.many", "runs", *rows, *runs)
    async with running(empty, SMALL, "3") as pilot:
        assert "Runs 1,203 lines 1-200" in text_of(pilot)
        for _ in range(8):
            await pilot.press("greater_than_sign")
            await settle(pilot)
        assert "lines 1,201-1,203" in text_of(pilot)


async def test_copy_takes_the_name_as_commands_take_it(filled: Path) -> None:
    async with running(filled, SMALL, "5 y") as pilot:
        assert pilot.app.clipboard == "wine-quality/2"
    async with running(filled, SMALL, "2 y") as pilot:
        assert pilot.app.clipboard == "loans@1c4e7a9b13f0"


async def test_the_theme_changes_and_every_text_follows(filled: Path) -> None:
    async with running(filled, SMALL, "3") as pilot:
        dark = colours_of(pilot)
        await pilot.press("t")
        await settle(pilot)
        light = colours_of(pilot)
        assert pilot.app.theme == theme.LIGHT.name
        good = theme.LIGHT.success, theme.DARK.success
        assert good[1] in dark
        assert good[0] in light
        assert good[1] not in light


def colours_of(pilot: object) -> set[str]:
    strips = pilot.app.screen._compositor.render_strips()  # type: ignore[attr-defined]
    found = set()
    for strip in strips:
        for segment in strip:
            if segment.style and segment.style.color and segment.style.color.triplet:
                found.add(segment.style.color.triplet.hex)
    return found


# Keys: one registry.


async def test_bindings_help_and_footer_are_the_registry(filled: Path) -> None:
    ids = {key.id for key in keys.KEYS}
    async with running(filled) as pilot:
        for place, word in enumerate(keys.WORDS, 1):
            await pilot.press(str(place))
            await settle(pilot)
            own = ("paceml_tui.", "conftest")
            for active in pilot.app.screen.active_bindings.values():
                is_own = type(active.node).__module__.startswith(own)
                if is_own and not active.binding.system and type(active.node).BINDINGS:
                    assert active.binding.id in ids, (word, active.binding)
            scopes = pilot.app._scopes_of(pilot.app.focused)  # type: ignore[attr-defined]
            footer = text_of(pilot).splitlines()[-1]
            shown = keys.footer(scopes)
            assert 1 <= len(shown) <= keys.FOOTER_KEYS
            for key in shown:
                assert f"{key.shown.split()[0]} {key.label}" in footer, word
            await pilot.press("question_mark")
            await settle(pilot)
            dialog = pilot.app.screen
            assert isinstance(dialog, Notification)
            for key in keys.of(*scopes):
                assert f"{key.shown}  {key.help}" in dialog._copied, key.id
            await pilot.press("escape")
            await settle(pilot)


def test_ids_are_unique_and_no_key_means_two_things_at_once() -> None:
    ids = [key.id for key in keys.KEYS]
    assert len(ids) == len(set(ids))
    for word in keys.WORDS:
        scopes = ("tower", "app") if word == "tower" else (word, "list", "table", "app")
        pressed = [key for it in keys.of(*scopes) for key in it.keys.split(",")]
        assert len(pressed) == len(set(pressed)), word


def test_no_key_is_one_that_terminals_or_multiplexers_take() -> None:
    taken = {f"ctrl+{letter}" for letter in "hijmabscz"}
    assert not taken & {key for it in keys.KEYS for key in it.keys.split(",")}


def test_every_action_exists() -> None:
    from paceml_tui import app
    from paceml_tui.screens import (
        data_contract,
        data_diff,
        data_diligence,
        data_import,
        data_label,
        data_profile,
        data_recipe,
        data_rows,
        explain_decision,
        explain_view,
        runs_compare,
        runs_training,
        runs_view,
    )
    from paceml_tui.widgets import (
        cells,
        chooser,
        correction,
        detail,
        dialog,
        editor,
        filter,
        form,
        jobs,
        naming,
        picker,
        records,
        rows,
        search_bar,
        table,
        view,
        welcome,
    )

    owners = {
        "app": app.PacemlApp,
        "list": records.RecordsScreen,
        "table": table.RecordTable,
        "detail": detail.Detail,
        "confirm": dialog.Confirm,
        "notice": dialog.Notification,
        "form": form.CommandForm,
        "jobs": jobs.JobsPanel,
        "filter": filter.FilterBar,
        "welcome": welcome.Welcome,
        "compare": data_diff.DiffView,
        "contract": data_contract.ContractView,
        "editor": editor.Editor,
        "import": data_import.ImportView,
        "pick": picker.SourcePicker,
        "rows": rows.RowsTable,
        "correct": correction.Correction,
        "label": data_label.LabelView,
        "classes": data_label.LabelView,
        "naming": naming.Naming,
        "view": view.View,
        "cells": cells.CellGrid,
        "preview": data_rows.RowsView,
        "profile": data_profile.ProfileView,
        "recipe": data_recipe.RecipeView,
        "diligence": data_diligence.DiligenceView,
        "chooser": chooser.Chooser,
        "turning": chooser.Chooser,
        "search": search_bar.SearchBar,
        "run": runs_view.RunView,
        "training": runs_training.TrainingView,
        "runs_compare": runs_compare.RunsCompareView,
        "explanation": explain_view.ExplanationView,
        "decision": explain_decision.DecisionView,
        **app.SCREENS,
    }
    for key in keys.KEYS:
        name = key.action.partition("(")[0]
        assert hasattr(owners[key.scope], f"action_{name}"), key.id


# Dialogs and forms.


async def test_a_confirm_dialog_cannot_be_confirmed_by_accident(filled: Path) -> None:
    async with running(filled) as pilot:
        answers: list[bool | None] = []
        for pressed in (["enter"], ["tab", "enter"], ["escape"], ["space"], ["y"]):
            dialog = Confirm("Delete run 7?", "Its metrics are lost.")
            pilot.app.push_screen(dialog, answers.append)
            await settle(pilot)
            assert pilot.app.focused is dialog.query_one("#cancel")
            await pilot.press(*pressed)
            await settle(pilot)
            if pilot.app.screen is dialog:
                await pilot.press("escape")
                await settle(pilot)
        assert answers == [False, False, False, False, True]


async def test_the_stop_dialog_names_the_endpoint_and_what_is_lost(filled: Path) -> None:
    async with running(filled, SMALL, "6 x") as pilot:
        assert isinstance(pilot.app.screen, Confirm)
        shown = " ".join(text_of(pilot).split())
        assert "Stop endpoint wine-quality?" in shown
        assert "no more answers" in shown


async def test_a_form_has_required_fields_first_and_names_what_is_wrong(filled: Path) -> None:
    async with running(filled) as pilot:
        pilot.app.post_message(Asked(Request("data.add")))
        await settle(pilot)
        form = pilot.app.screen
        assert isinstance(form, CommandForm)
        shown = text_of(pilot)
        assert shown.index("name*") < shown.index("source*") < shown.index("target")
        await pilot.press("enter")
        await settle(pilot)
        assert pilot.app.screen is form
        assert "data.add needs" in text_of(pilot)
        await pilot.press(*"wine", "tab", *"wine.csv")
        await settle(pilot)
        assert "paceml-tui data add wine wine.csv" in text_of(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert pilot.app.screen is not form


async def test_forms_know_the_selected_record(filled: Path) -> None:
    async with running(filled, SMALL, "5 j P") as pilot:
        form = pilot.app.screen
        assert isinstance(form, CommandForm)
        asked = {"name": "wine-quality", "version": "3", "stage": "Production"}
        assert form.arguments() == asked
        await pilot.press("enter")
        await settle(pilot)
        assert "Move wine-quality/3 to Production?" in " ".join(text_of(pilot).split())


async def test_an_error_is_a_dialog_that_stays_and_can_be_copied(filled: Path) -> None:
    async with running(filled, SMALL) as pilot:
        pilot.app._start(Request("data.show", {"name": "wein"}))  # type: ignore[attr-defined]
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, Notification)
        shown = " ".join(text_of(pilot).split())
        assert "data.show did not succeed" in shown
        assert "wein" in shown
        await pilot.press("y")
        await pilot.pause()
        assert "wein" in pilot.app.clipboard
        assert pilot.app.screen is dialog
        await pilot.press("escape")
        await settle(pilot)
        assert pilot.app.screen is not dialog


async def test_a_missing_command_is_said_clearly(filled: Path) -> None:
    async with running(filled, SMALL) as pilot:
        pilot.app.post_message(Asked(Request("data.teleport")))
        await settle(pilot)
        await settle(pilot)
        assert "has no command 'data.teleport'" in " ".join(text_of(pilot).split())


async def test_verify_shows_its_result(filled: Path) -> None:
    async with running(filled, SMALL, "8 v") as pilot:
        await settle(pilot)
        shown = all_text(pilot)
        assert "audit.verify" in shown
        assert "n_events 41" in " ".join(shown.split())
        await pilot.press("escape", "c")
        await settle(pilot)
        shown = text_of(pilot)
        assert "paceml-tui audit verify" in shown
        assert "paceml-tui audit log --subject" in shown


async def test_the_palette_finds_commands_and_opens_their_form(filled: Path) -> None:
    async with running(filled, SMALL) as pilot:
        await pilot.press("colon")
        await settle(pilot)
        await pilot.press(*"drift.check")
        for _ in range(50):
            await pilot.pause(0.1)
            if "Compare two versions" in " ".join(text_of(pilot).split()):
                break
        await pilot.press("enter")
        for _ in range(50):
            await pilot.pause(0.1)
            if isinstance(pilot.app.screen, CommandForm):
                break
        assert isinstance(pilot.app.screen, CommandForm)
        assert "drift.check" in text_of(pilot)


def test_a_request_can_be_repeated_in_shell_and_pipeline() -> None:
    request = Request("data.add", {"source": "a b.csv", "name": "wine", "key": ("id", "day")})
    assert as_command_line(request) == "paceml-tui data add wine 'a b.csv' --key id --key day"
    step = as_step(request)
    import yaml

    assert yaml.safe_load(step) == [
        {"data.add": {"source": "a b.csv", "name": "wine", "key": ["id", "day"]}}
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a, b", ("a", "b")),
        ('a, "b, c"', ("a", "b, c")),
        (" , a ", ("a",)),
    ],
)
def test_repeated_fields_are_split_at_commas(typed: str, words: tuple[str, ...]) -> None:
    assert words_of(typed) == words


# Following the workspace, and no workspace.


async def test_what_another_process_records_appears(filled: Path) -> None:
    code = (
        "import sys; from local_stack.workspace import Workspace\n"
        "from local_stack.stores.journal import Draft\n"
        "from local_stack.stores.schema import TABLES\n"
        "row = dict.fromkeys(TABLES['runs'].columns) | "
        "{'run_id': 'feed', 'name': 'from-outside', 'status': 'FINISHED', 'started_at': '2027'}\n"
        "with Workspace.open(sys.argv[1]) as w:\n"
        "    w.append(lambda _: Draft('runs.ended', 'run:feed', {}, [('runs', row)]))\n"
    )
    async with running(filled, SMALL, "3 j j") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        selected = page.selected
        assert "from-outside" not in text_of(pilot)
        subprocess.run([sys.executable, "-c", code, str(filled)], check=True, timeout=60)
        for _ in range(100):
            await pilot.pause(0.1)
            if "from-outside" in text_of(pilot):
                break
        assert "Runs 25" in text_of(pilot)
        assert page.selected == selected  # the cursor stays on its record


async def test_nothing_is_drawn_again_while_nothing_changes(filled: Path) -> None:
    async with running(filled, SMALL, "3") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        before = page.listing
        await pilot.pause(0.5)
        assert page.listing is before


async def test_damage_is_told_in_the_status_line(filled: Path) -> None:
    segment = filled / "journal" / "000001.jsonl"
    segment.write_bytes(segment.read_bytes() + b'{"broken": true}\n')
    async with running(filled, LARGE, "8") as pilot:
        assert pilot.app.page.state == "filled"  # type: ignore[attr-defined]
        assert "✖" in text_of(pilot).splitlines()[-2]


async def test_without_a_workspace_one_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(None, SMALL) as pilot:
        shown = text_of(pilot)
        assert "not in a workspace" in shown
        assert "demo" in shown
        await pilot.press("i")
        await settle(pilot)
        assert (tmp_path / "paceml" / "paceml.toml").exists()
        assert "An empty workspace" in " ".join(text_of(pilot).split())
    async with running(None, SMALL, "i") as pilot:
        assert "is a workspace already" in " ".join(text_of(pilot).split())


async def test_a_read_only_app_says_so_and_refuses_writes(filled: Path) -> None:
    from paceml_tui.app import PacemlApp

    app = PacemlApp(filled, is_readonly=True, clock=lambda: workspaces.NOW, beat_seconds=0.1)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert "read-only" in text_of(pilot)
        app._start(Request("serving.stop", {"endpoint": "wine-quality"}))
        await settle(pilot)
        assert "opened read-only" in " ".join(text_of(pilot).split())


def test_the_app_is_imported_without_heavy_libraries() -> None:
    heavy = ("duckdb", "polars", "numpy", "pandas", "pyarrow", "mlflow", "sklearn", "shap")
    code = (
        f"import sys, paceml_tui.app\nprint([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
