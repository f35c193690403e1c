"""The evaluation and the study of a run, as its view shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workspaces
import workspaces_runs as made
from conftest import LARGE, SMALL, running, settle, text_of
from records_kit import add_beans
from test_hostile import assert_harmless
from test_runs_view import detail_of
from tuning_kit import put_recipe, tune
from views_kit import press, words

from local_stack.workspace import Workspace
from paceml_tui import evaluations, studies
from paceml_tui.app import PacemlApp
from paceml_tui.screens import runs_documents
from paceml_tui.screens.runs_view import RunView
from paceml_tui.studies import Study
from paceml_tui.tasks import Desk


@pytest.fixture
def evaluated(empty: Path) -> Path:
    """Return a workspace with a run that has an evaluation, and with a study."""
    made.fill_evaluated(empty)
    return empty


async def open_run(pilot: Any, run: str) -> RunView:
    view = RunView(pilot.app.desk, run)
    pilot.app.push_screen(view)
    await settle(pilot)
    return view


async def test_the_overview_shows_plain_models_intervals_and_warnings(evaluated: Path) -> None:
    async with running(evaluated, SMALL, "3") as pilot:
        view = await open_run(pilot, made.CREDIT)
        await press(pilot, "G")
        shown = words(pilot)
        assert "metric (200 test rows) model 95% interval dummy linear" in shown
        assert "roc_auc 0.7900 0.7200 to 0.8400 0.5000 0.7700" in shown
        assert "log_loss 0.5200" in shown  # cross-validated
        await press(pilot, "g", *"jjjj")
        assert "! The model learns its rows by heart" in words(pilot)
        assert "7 study" not in text_of(pilot)
        await press(pilot, "7")
        assert view._part == "overview"
        assert "This run is no study" in next(it.message for it in pilot.app._notifications)
        await press(pilot, "shift+tab")
        assert view._part == "evaluation"  # the study that is not there is passed over


async def test_every_picture_of_an_evaluation_is_drawn(evaluated: Path) -> None:
    expected = {
        "metrics": "95% interval",
        "checks": "It uses all.",
        "ROC": "true against false",
        "precision, recall": "Precision against recall",
        "calibration": "before calibration, ECE 0.081",
        "confusion": "no 129 11 92.1%",
        "importance": "amount",
        "learning curve": "rows learnt from",
        "slices": "weak",
        "weak segments": "0.3000 against 0.1000 in 30 rows (15%)",
    }
    async with running(evaluated, SMALL, "3") as pilot:
        view = await open_run(pilot, made.CREDIT)
        await press(pilot, "6")
        shown = words(pilot)
        for text in ("1 warning", "roc_auc 0.7900", "ECE 0.081 → 0.034", "1 found"):
            assert text in shown, text
        for name, text in expected.items():
            await settle(pilot)
            assert view.listed is not None
            assert view.listed.selected is not None
            assert view.listed.selected["name"] == name
            drawn = " ".join(detail_of(pilot, "evaluation").split())
            assert text in drawn, name
            assert_harmless(drawn)
            await pilot.press("j")
        await press(pilot, "g", "j", "j", "enter")
        shown = text_of(pilot)
        assert "ROC: true against false positive rate" in shown
        assert max(map(len, shown.splitlines())) <= SMALL[0]
        assert shown.count("│") > 10  # the curve fits the terminal


async def test_a_study_shows_its_best_what_mattered_and_its_history(evaluated: Path) -> None:
    async with running(evaluated, LARGE, "3") as pilot:
        await open_run(pilot, made.STUDY)
        await press(pilot, "7")
        shown = words(pilot)
        for text in (
            "Best trial 8 log_loss 0.80000",
            "Importance of the parameters",
            "70%",
            "Optimisation history",
            "less is better 1 far worse",
            "2 pruned",
        ):
            assert text in shown, text
        assert_harmless(text_of(pilot))
        under = next(line for line in text_of(pilot).splitlines() if " 11" in line[-6:])
        assert under.split()[-2:] == ["0", "11"]  # the axis is whole: no line of it wraps
        await press(pilot, "j", "j")
        rows = [it.split() for it in detail_of(pilot, "study").splitlines()]
        assert rows[0][:4] == ["trial", "log_loss", "folds", "took"]
        assert rows[1][:5] == ["8", "●", "FINISHED", "0.80000", "2"]
        await press(pilot, "G")
        shown = detail_of(pilot, "study")  # of a parameter with two choices
        assert_harmless(shown)
        assert [it.split() for it in shown.splitlines()[2:4]] == [
            ["a", "6", "0.8000", "0.9750"],
            ["b", "4", "0.8500", "2.933"],
        ]
        await press(pilot, "5", "s", "s")  # trials by their value, the best first
        lines = [it.split() for it in text_of(pilot).splitlines() if " child " in it]
        assert lines[0][1:5] == ["search-8", "●", "FINISHED", "0.80000"]
        assert lines[-1][4] == "-"
        await press(pilot, "6")
        assert "has no evaluation" in next(it.message for it in pilot.app._notifications)


async def test_trials_stand_by_their_number_and_can_be_hidden(evaluated: Path) -> None:
    async with running(evaluated, SMALL, "3") as pilot:
        assert "Runs 14" in words(pilot)
        assert "└ trial 11" in words(pilot)
        await press(pilot, "h")
        shown = words(pilot)
        assert "Runs 2 " in shown
        assert "search ● FINISHED" in shown
        assert "trial" not in shown
        assert "h nested hidden" in shown
        await press(pilot, "e")
        assert "No command leaves nested runs out" in next(
            it.message for it in pilot.app._notifications
        )
        await press(pilot, "C")
        assert "Runs 14" in words(pilot)


@pytest.mark.parametrize("text", ['{"details": {"roc": 3}}', "{"])
async def test_a_damaged_evaluation_leaves_the_rest_of_the_run(text: str, evaluated: Path) -> None:
    folder = evaluated / "mlruns" / "1" / made.CREDIT / "artifacts" / "evaluation"
    (folder / "evaluation.json").write_text(text)
    async with running(evaluated, SMALL, "3") as pilot:
        await open_run(pilot, made.CREDIT)
        assert "roc_auc 0.7900" in words(pilot)
        await press(pilot, "6")
        assert "has no evaluation" in next(it.message for it in pilot.app._notifications)


CASES = {
    "evaluation": (LARGE, made.CREDIT, "6 j j"),
    "study": (LARGE, made.STUDY, "7"),
    "history": (SMALL, made.STUDY, "7 j enter"),
    "trials": (LARGE, made.STUDY, "5"),
}


@pytest.mark.parametrize("case", CASES)
def test_view(case: str, evaluated: Path, snap_compare: Callable[..., bool]) -> None:
    size, run, keys = CASES[case]
    app = PacemlApp(
        evaluated,
        clock=lambda: workspaces.NOW,
        measure=lambda _: workspaces.MACHINE,
        beat_seconds=0.2,
    )

    async def look(pilot: Any) -> None:
        await settle(pilot)
        await press(pilot, "3")
        await open_run(pilot, run)
        await press(pilot, *keys.split())

    assert snap_compare(app, terminal_size=size, run_before=look)


def test_a_study_is_told_at_work_as_it_is_told_when_it_has_ended(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_beans(workspace, tmp_path)
    ended = tune(workspace, put_recipe(tmp_path), trials=3, sampler="random")
    desk = Desk(workspace.root)
    (run,) = desk.query("SELECT * FROM runs WHERE run_id = ?", ended.run_id)
    whole, by_trials = runs_documents.study(desk, run), runs_documents.at_work(desk, ended.run_id)
    desk.close()
    assert whole is not None
    assert by_trials is not None
    for found in (whole, by_trials):
        assert (found.metric, found.is_higher_better) == ("rmse", False)
        told = [(it["number"], it["value"], it["params"], it["folds"]) for it in found.trials]
        assert told == [(it.number, it.value, it.params, list(it.folds)) for it in ended.trials]
        assert found.ranked[0]["number"] == ended.best["trial"]
    assert (whole.importance, by_trials.importance) == (ended.importance, {})


def study_of(values: list[float | None], **more: Any) -> Study:
    trials = [
        {"number": n, "value": it, "params": {"x": 10.0**n}, "folds": [], "seconds": None,
         "status": "RUNNING" if it is None else "FINISHED", "is_pruned": False, "run_id": str(n)}
        for n, it in enumerate(values)
    ]  # fmt: skip
    return Study("score", more.pop("is_higher_better", False), tuple(trials), **more)


def test_trials_are_ranked_by_what_is_better() -> None:
    values = [0.5, None, 0.9, 0.1]
    assert [it["number"] for it in study_of(values).ranked] == [3, 0, 2, 1]
    assert [it["number"] for it in study_of(values, is_higher_better=True).ranked] == [2, 0, 3, 1]
    assert studies.counted(study_of(values)).plain == "1 at work"


def test_the_line_of_the_best_goes_in_steps_and_outliers_lie_at_the_edge() -> None:
    study = study_of([3.0, 2.0, 4.0, 2.5, 2.2, 1.0, 100.0, 1.5, 2.0])
    title, *chart = [it.plain for it in studies.history(study, 90, 8)]
    assert "1 far worse" in title
    top, bottom = chart[0].split()[0], chart[7].split()[0]
    assert float(bottom) == 1.0
    assert float(top) == 3.0 + 3 * (3.0 - 2.0)  # Tukey's outer fence of these values
    assert "far worse" not in studies.history(study_of([1.0, 100.0]), 90, 8)[0].plain
    assert studies.history(study_of([None]), 60, 8) == []


def test_a_parameter_over_many_powers_of_ten_is_drawn_by_them() -> None:
    shown = [it.plain for it in studies.param(study_of([1.0, 2.0, 3.0]), "x", 60, 6)]
    assert "by powers of ten" in shown[0]
    assert shown[-1].split() == ["1.000", "100.0"]


def test_pictures_without_anything_to_show_are_left_out() -> None:
    names = [it.name for it in evaluations.pictures({"rmse": 1.0}, {})]
    assert names == ["metrics"]
    document = json.loads(json.dumps(made.evaluation()))
    del document["details"]["learning_curve"]
    assert "learning curve" not in [it.name for it in evaluations.pictures({}, document)]
