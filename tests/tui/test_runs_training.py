"""Trainings and branches of the Runs screen: begun, watched, cancelled, left and found again."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import workspaces
import yaml
from conftest import LARGE, SMALL, running, settle, text_of, until
from test_hostile import assert_harmless
from textual.widgets import Input, Static
from views_kit import press, words

from local_stack import catalog, jobs
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp
from paceml_tui.screens.runs_forms import BranchForm, TrainForm, flattened
from paceml_tui.screens.runs_live import Told
from paceml_tui.screens.runs_training import TrainingView
from paceml_tui.screens.runs_view import RunView
from paceml_tui.tasks import attempt

HOSTILE = "wi[/nope]\x1b[2Jne"


@pytest.fixture
def small(empty: Path, tmp_path: Path) -> Path:
    """Return a workspace with a small table to learn from."""
    table = tmp_path / "t.csv"
    rows = [f"{i % 17},{i % 5},{(i % 17) * 2 + i % 5}" for i in range(300)]
    table.write_text("a,b,y\n" + "\n".join(rows) + "\n")
    with Workspace.open(empty, actor="ada") as workspace:
        catalog.call(workspace, "data.add", {"name": "t", "source": str(table), "target": "y"})
    return empty


async def fill(pilot: Any, **values: str) -> None:
    """Fill in the fields of a form, by name."""
    form = pilot.app.screen
    for place, field in enumerate(form._fields):
        if field.name in values:
            form.query_one(f"#field-{place}").value = values[field.name]
    await settle(pilot)


async def test_a_training_is_begun_from_the_form_watched_and_its_run_branched(small: Path) -> None:
    async with running(small, LARGE, "3 n") as pilot:
        await pilot.pause(0.3)
        assert isinstance(pilot.app.screen, TrainForm)
        await fill(pilot, params="n_estimators: ?", folds="2")
        assert "The params cannot be read" in words(pilot)
        await fill(pilot, params="n_estimators: 400", early_stopping="300")
        assert "early_stopping: 300" in words(pilot)
        assert "paceml-tui runs train" in words(pilot)
        assert not (small / "recipes").exists()  # nothing is written before it starts
        await pilot.press("ctrl+r")
        await until(pilot, "2 done", seconds=60)
        assert isinstance(pilot.app.screen, TrainingView)
        await until(pilot, "95% interval", seconds=60)
        shown = words(pilot)
        for text in ("finished", "Fold 1", "Fold 2", "peak memory"):
            assert text in shown, text
        assert pilot.app.screen._told.metric == "rmse"  # of the rounds of early stopping
        (written,) = (small / "recipes").iterdir()
        assert yaml.safe_load(written.read_text())["params"] == {"n_estimators": 400}
        await press(pilot, "o")
        assert isinstance(pilot.app.screen, RunView)
        await press(pilot, "b")
        await pilot.pause(0.3)
        assert isinstance(pilot.app.screen, BranchForm)
        await fill(pilot, **{"params.n_estimators": "20", "": "params.max_depth=3"})
        shown = words(pilot)
        assert "params.n_estimators 400 -> 20" in shown
        assert "params.max_depth absent -> 3" in shown
        assert "--set params.n_estimators=20 --set params.max_depth=3" in shown


async def test_what_cannot_be_trained_is_refused_in_a_sentence_before_it_starts(
    small: Path, tmp_path: Path
) -> None:
    recipes = {
        "typo.yaml": "dataset: t\nestimatr: lightgbm\n",
        "absent.yaml": "dataset: u\ntarget: y\n",
        "stored.yaml": "dataset: t\nfeatures: stored\n",
        "search.yaml": "dataset: t\nsearch: {space: {num_leaves: [3, 9]}}\n",
    }
    for name, text in recipes.items():
        (tmp_path / name).write_text(text)
    with Workspace.open(small, actor="ada") as workspace:
        given = {"name": "s", "source": str(tmp_path / "t.csv"), "target": "b"}
        catalog.call(workspace, "data.add", given)
    (small / "recipes").write_text("a file where the folder should be")
    cases = [
        ({"file": str(tmp_path / "typo.yaml")}, "line 2: 'estimatr' is not a key"),
        ({"file": str(tmp_path / "absent.yaml")}, "There is no data set 'u'."),
        ({"file": str(tmp_path / "none.yaml")}, "There is no file"),
        ({"file": str(tmp_path / "stored.yaml")}, "Data set 't' has no recipe."),
        ({"file": ""}, "The recipe cannot be written into"),
        ({"trials": "5", "estimator": "sklearn.linear_model.Ridge"}, "search space is missing"),
        ({"trials": "many"}, "need a whole number, not 'many'"),
    ]
    async with running(small, LARGE, "3 n") as pilot:
        await pilot.pause(0.3)
        form = pilot.app.screen
        assert "target: b" in words(pilot)  # of the data set that comes first
        await fill(pilot, dataset="t")
        assert "target: y" in words(pilot)  # of the one that was chosen
        for given, sentence in cases:
            await fill(pilot, **given)
            await pilot.press("ctrl+r")
            await pilot.pause()
            assert pilot.app.screen is form
            assert sentence in form.query_one("#complaint", Static).content.plain, sentence
        await fill(pilot, file=str(tmp_path / "search.yaml"), trials="")
        assert "The file has a search: fill in trials" in words(pilot)
        await fill(pilot, trials="3", workers="2", pruner="median", sampler="random")
        command = form.query_one("#preview", Static).content.plain
        assert command.endswith("--trials 3 --sampler random --pruner median --workers 2")
        with Workspace.open(small, actor="ada") as workspace:
            catalog.call(workspace, "data.recipe", {"name": "t", "suggest": True})
        await fill(pilot, file=str(tmp_path / "stored.yaml"))
        assert attempt(lambda: form.request(is_final=True)).error is None


async def test_a_job_that_failed_is_begun_again(empty: Path) -> None:
    job = write_job(empty, is_held=False, name=str(empty / "gone.yaml"), status="failed")
    async with running(empty, SMALL, "3") as pilot:
        await press(pilot, "W", "enter")
        await until(pilot, "does it again")
        await press(pilot, "r")
        await until(pilot, "There is no file", seconds=60)  # said by a job of its own
        assert pilot.app.screen._job_id != job
        assert len(list((empty / "jobs").iterdir())) == 2


def write_job(
    root: Path, *, is_held: bool, name: str = "wine.yaml", status: str = "finished", **result: Any
) -> str:
    """Write the folder of a job as a tuning leaves it, at work or ended."""
    job = "20261129T070000000-abcdef"
    folder = root / "jobs" / job
    folder.mkdir(parents=True)
    began = (workspaces.NOW - timedelta(seconds=83)).isoformat()
    asked = {
        "job": job, "command": "runs.tune", "actor": "ada", "created_at": began,
        "arguments": {"recipe": name, "trials": 9}, "creator": os.getpid(),
    }  # fmt: skip
    jobs._write(folder / "job.json", asked)
    jobs._write(folder / "started.json", {"started_at": asked["created_at"], "pid": None})
    steps = [
        {"label": f"{n} of 9 trials", "done": n * 2, "total": 18,
         "figures": {"trials": n, "last": 1 / n + n % 2, "best": 1 / n}}
        for n in range(1, 7)
    ]  # fmt: skip
    steps += [
        {"label": f"Fold {n} of 2 measured", "figures": {"fold": n, "rmse": 0.7 + n / 100}}
        for n in (1, 2)
    ]
    steps += [
        {"label": f"Training {name}", "done": n, "total": 60, "figures": {"rmse": 2 / n}}
        for n in range(1, 40)
    ]
    (folder / "events.jsonl").write_text("".join(jobs.json.dumps(it) + "\n" for it in steps))
    if is_held:
        held.append(jobs._hold(folder))
    else:
        ended = {**asked, "status": status, "ended_at": "2026-11-29T07:01:00Z", "error": None}
        jobs._write(folder / "result.json", ended)
        jobs._write(folder / "output.json", result)
    return job


held: list[int] = []


@pytest.fixture(autouse=True)
def _let_go() -> Any:
    yield
    while held:
        os.close(held.pop())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_tuning_at_work_looks(
    size: tuple[int, int], empty: Path, snap_compare: Callable[..., bool]
) -> None:
    write_job(empty, is_held=True)
    assert look(empty, snap_compare, size, "3 W enter")


async def test_a_tuning_is_found_again_cancelled_and_left(empty: Path) -> None:
    job = write_job(empty, is_held=True)
    async with running(empty, LARGE, "3") as pilot:
        await press(pilot, "W", "enter")
        await until(pilot, "Best value by trial")
        await press(pilot, "x")
        assert "the same command goes on" in words(pilot)
        await press(pilot, "enter")  # Enter never confirms
        assert not (empty / "jobs" / job / "cancel").exists()
        await press(pilot, "x", "y")
        assert (empty / "jobs" / job / "cancel").exists()
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_hostile_names_are_harmless(empty: Path) -> None:
    changed = [{"key": HOSTILE, "from": HOSTILE, "to": None}]
    write_job(
        empty, is_held=False, name=HOSTILE, run_id="x", metrics={HOSTILE: 1.0}, changed=changed,
        branched_from="p", importance={HOSTILE: 0.5}, best={"trial": 1, "params": {HOSTILE: 1}},
    )  # fmt: skip
    async with running(empty, LARGE, "3") as pilot:
        await press(pilot, "W", "enter")
        await until(pilot, "Changed")
        assert_harmless(text_of(pilot))
        form = BranchForm(pilot.app.desk, "r", HOSTILE, {"params": {HOSTILE: HOSTILE}})
        pilot.app.push_screen(form)
        await settle(pilot)
        assert_harmless(text_of(pilot))


def look(root: Path, snap_compare: Callable[..., bool], size: tuple[int, int], pressed: str) -> Any:
    app = PacemlApp(
        root, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )

    async def run(pilot: Any) -> None:
        await settle(pilot)
        for key in pressed.split():
            await press(pilot, key)
        await pilot.pause(0.5)
        await settle(pilot)

    return snap_compare(app, terminal_size=size, run_before=run)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_branch_looks(
    size: tuple[int, int],
    empty: Path,
    snap_compare: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = {"estimator": "lightgbm", "params": {"num_leaves": 31, "learning_rate": 0.05}}
    app = PacemlApp(
        empty, clock=lambda: workspaces.NOW, measure=lambda _: workspaces.MACHINE, beat_seconds=0.2
    )

    async def run(pilot: Any) -> None:
        await settle(pilot)
        await press(pilot, "3")
        app.push_screen(BranchForm(app.desk, "a" * 32, "lightgbm-1a2b3c", recipe))
        await settle(pilot)
        app.screen.query(Input).first().cursor_blink = False
        await fill(pilot, **{"params.num_leaves": "63"})
        await pilot.pause(0.2)

    assert snap_compare(app, terminal_size=size, run_before=run)


def test_a_new_model_begins_a_new_curve_and_odd_figures_are_left_out() -> None:
    told = Told()
    told.take([{"label": "Fold 1 of 2", "done": n, "figures": {"rmse": 3.0}} for n in (1, 2)])
    told.take([{"label": "Training", "done": 1, "figures": {"rmse": 2.0}}])
    told.take([{"label": "Training", "done": 2, "figures": {"rmse": None}}, {"figures": ["x"]}])
    assert (told.label, told.metric, told.curve) == ("Training", "rmse", [(1.0, 2.0)])


def test_the_values_of_a_recipe_are_flattened_with_the_params_first() -> None:
    recipe = {"dataset": "t", "features": [1], "split": {"folds": None}, "params": {"a": [1, 2]}}
    assert flattened(recipe) == {"params.a": "[1, 2]", "dataset": "t", "split.folds": ""}
