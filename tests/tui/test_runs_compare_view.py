"""Runs compared, deleted, restored, noted, tagged and exported from their list."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import workspaces_runs as made
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from test_hostile import assert_harmless
from test_runs_view import detail_of, shown_of
from textual.pilot import Pilot
from views_kit import assert_small_and_back, held, press, refuse, words

from local_stack.catalog import call
from local_stack.runs.comparison.shape import Interval, MetricComparison
from local_stack.workspace import Workspace
from paceml_tui.screens import runs_compare_parts
from paceml_tui.screens.runs_compare import RunsCompareView
from paceml_tui.screens.runs_view import RunView
from paceml_tui.tasks import Desk

pytestmark = pytest.mark.usefixtures("cold_jobs")


@pytest.fixture
def store(empty: Path) -> Path:
    """Return a workspace whose store other tools wrote to."""
    made.fill_runs(empty)
    return empty


TO_COMPARE = "3 j j space space d"
"""The keys that compare the flat tree, which is the baseline, with the deep one."""


async def test_two_runs_are_compared_with_their_curves(store: Path) -> None:
    async with running(store, LARGE, TO_COMPARE) as pilot:
        assert isinstance(pilot.app.screen, RunsCompareView)
        shown = text_of(pilot)
        assert "against tree-flat (bbbbbbbb)" in shown
        assert "━━ tree-flat (bbbbbbbb)   ━━ tree-deep (aaaaaaaa)" in shown
        assert "0.2067   0.006667" in shown
        assert "-0.2000" in detail_of(pilot, "metrics")
        assert "it stored no predictions" in detail_of(pilot, "metrics")
        assert any("\u2801" <= mark <= "\u28ff" for mark in shown)
        await press(pilot, "c")
        assert f"paceml-tui runs compare {made.FLAT}" in words(pilot)
        assert made.DEEP in words(pilot)
        await press(pilot, "escape", "b", "j", "enter")
        assert "against tree-deep (aaaaaaaa)" in text_of(pilot)
        assert "+0.2000" in detail_of(pilot, "metrics")
        await press(pilot, "o", "enter")
        assert isinstance(pilot.app.screen, RunView)
        await press(pilot, "escape")
        await assert_small_and_back(pilot)


async def test_params_files_and_origin_tell_what_differs_or_everything(store: Path) -> None:
    async with running(store, SMALL, TO_COMPARE) as pilot:
        await press(pilot, "2")
        assert "depth 2 9" in words(pilot)
        assert "model" not in words(pilot)
        await press(pilot, "a", "2")
        assert "everything" in text_of(pilot)
        assert "model tree tree" in words(pilot)
        await press(pilot, "slash", *"dep", "enter")
        assert "1 of 5: dep" in words(pilot)
        assert "model" not in words(pilot)
        await press(pilot, "5")
        assert "gains.csv - 34 B missing" in words(pilot)
        await press(pilot, "enter")
        assert "missing" in detail_of(pilot, "files")
        await press(pilot, "escape", "6", "v")
        await until(pilot, "The runs do not name two versions of one data set.")
        await press(pilot, "y")
        assert pilot.app.clipboard == f"{made.FLAT} {made.DEEP}"


async def test_params_are_plotted_against_metrics(store: Path) -> None:
    async with running(store, (100, 30), "3 j space space space d 3") as pilot:
        shown = words(pilot)
        assert "Y metrics.loss x params.depth" in shown
        assert "1 lack a value" in shown
        lines = text_of(pilot).splitlines()
        assert any(line.split()[:1] == ["0.2067"] for line in lines)
        assert any(line.split() == ["2", "9"] for line in lines)
        await press(pilot, "Y")
        pilot.app.screen.line.value = "rmse"  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert "Y metrics.rmse x params.depth" in words(pilot)
        assert "0.75" in text_of(pilot)
        await press(pilot, "x")
        pilot.app.screen.line.value = "model"  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert any(line.split() == ["linear", "tree"] for line in text_of(pilot).splitlines())
        await press(pilot, "4")
        assert "params.depth 2.000 → 9.000" in words(pilot)
        assert "params.model linear → tree" in words(pilot)
        await pilot.resize_terminal(*SMALL)
        await settle(pilot)
        assert max(map(len, text_of(pilot).splitlines())) <= 80


async def test_one_run_is_not_compared(store: Path) -> None:
    async with running(store, SMALL, "3 space d") as pilot:
        await until(pilot, "Mark two runs or more with space")
        assert len(pilot.app.screen_stack) == 1


async def test_comparing_says_that_it_reads_and_why_it_failed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(store, SMALL, "3 space space") as pilot:
        with held(monkeypatch, Desk, "perform"):
            await pilot.press("d")
            await pilot.pause(0.1)
            assert "Reading the runs to compare" in words(pilot)
        await settle(pilot)
        await press(pilot, "escape")
        refuse(monkeypatch, Desk, "perform")
        await pilot.press("d")
        await until(pilot, "The disk [/nope]␛[2J is full.")


async def test_hostile_runs_are_compared_harmlessly(hostile: Path) -> None:
    async with running(hostile, LARGE, "3 space space space space d") as pilot:
        await settle(pilot)
        assert_harmless(all_text(pilot))
        for key in ("2", "3", "4", "5", "6", "a", "b"):
            await press(pilot, key)
            assert_harmless(all_text(pilot))


def test_an_interval_stands_beside_its_delta(store: Path) -> None:
    with Workspace.open(store) as workspace:
        found = call(workspace, "runs.compare", {"runs": (made.FLAT, made.DEEP)})
    metric = MetricComparison(
        key="rmse",
        direction="lower",
        values=(0.75, 0.61),
        deltas=(None, -0.14),
        intervals=(None, Interval(-0.2, -0.08, 0.95, 1200, 2000)),
        reasons=(None, None),
        best=made.DEEP,
        is_clear=True,
        verdict="tree-deep, clearly",
        differs=True,
    )
    shown = shown_of(runs_compare_parts.metric_block(found, {"it": metric}, 60, 8))
    assert "95% interval, 1,200 rows" in shown
    line = next(line for line in shown.splitlines() if line.startswith("tree-deep"))
    assert line.split() == ["tree-deep", "0.6100", "-0.1400", "-0.2000", "to", "-0.08000"]
    assert "baseline" in shown


def test_names_that_are_cut_alike_give_way_to_ids(store: Path) -> None:
    with Workspace.open(store) as workspace:
        found = call(workspace, "runs.compare", {"runs": (made.FLAT, made.DEEP)})
    alike = [replace(run, name=f"gradient-boosting-{at}") for at, run in enumerate(found.runs)]
    found = replace(found, runs=tuple(alike))
    ids = [made.FLAT[:8], made.DEEP[:8]]
    titles = [column.title for column in runs_compare_parts.value_lines(found, "params").columns]
    assert titles[1:3] == ids
    assert runs_compare_parts.short_names(found, 24) == [run.name for run in alike]


async def test_runs_are_deleted_after_a_question_and_restored(store: Path) -> None:
    async with running(store, SMALL, "3 j j space space D") as pilot:
        assert "Delete 2 runs?" in text_of(pilot)
        await press(pilot, "enter")  # it does not confirm
        await until_names(pilot, ["loan", "linear", "tree-flat", "tree-deep"])
        await press(pilot, "D", "y")
        await until_names(pilot, ["loan", "linear"])
        await press(pilot, "a")
        await until_names(pilot, ["gone", "tree-flat", "tree-deep"])
        await press(pilot, "U")  # the marks are still on the two
        await until_names(pilot, ["gone"])
    with Workspace.open(store) as workspace:
        found = call(workspace, "runs.search", {})
    assert {run.name for run in found.runs} >= {"tree-flat", "tree-deep"}


async def until_names(pilot: Pilot[int], expected: list[str]) -> None:
    """Wait until the list holds these runs, a broken one aside."""
    names: list[str] = []
    for _ in range(300):
        await pilot.pause(0.1)
        await settle(pilot)
        listing = pilot.app.page.listing  # type: ignore[attr-defined]
        names = [row["name"] for row in listing.rows if not row["problem"]]
        if names == expected:
            return
    raise AssertionError(f"the list holds {names}:\n{all_text(pilot)}")


async def test_a_note_and_a_tag_are_written(store: Path) -> None:
    async with running(store, LARGE, "3 N") as pilot:
        line = pilot.app.page.query_one("Correction Input")  # type: ignore[attr-defined]
        line.value = "seems good"
        await press(pilot, "enter")
        await until(pilot, "runs.note finished")
        await press(pilot, "T")
        line.value = "team=blue"
        await press(pilot, "enter")
        await until(pilot, "runs.tag finished")
        await until(pilot, "seems good")
    with Workspace.open(store) as workspace:
        run = call(workspace, "runs.show", {"run": made.LOAN})
    assert run.tags["team"] == "blue"
    assert run.tags["mlflow.note.content"] == "seems good"


async def test_what_is_listed_is_exported_whole(store: Path, tmp_path: Path) -> None:
    async with running(store, SMALL, "3 slash") as pilot:
        pilot.app.page.bar.begin("metrics.rmse < 0.8")  # type: ignore[attr-defined]
        await settle(pilot)
        await press(pilot, "enter", "Y")
        await until(pilot, "Copied")
        assert "| tree-flat |" in pilot.app.clipboard
        for name in ("runs.csv", "runs.parquet", "runs.txt"):
            await press(pilot, "e")
            line = pilot.app.page.query_one("Correction Input")  # type: ignore[attr-defined]
            line.value = str(tmp_path / name)
            await press(pilot, "enter")
        await until(pilot, "A file is written as .csv or .parquet.")
    with (tmp_path / "runs.csv").open(newline="") as stream:
        names = [row["name"] for row in csv.DictReader(stream)]
    assert names == ["tree-flat", "tree-deep"]
    assert pl.read_parquet(tmp_path / "runs.parquet")["name"].to_list() == names


async def test_a_comparison_is_exported(store: Path, tmp_path: Path) -> None:
    async with running(store, SMALL, f"{TO_COMPARE} M") as pilot:
        await until(pilot, "Copied")
        assert "rmse" in pilot.app.clipboard
        await press(pilot, "e")
        pilot.app.screen.query_one("Correction Input").value = str(tmp_path / "both.csv")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        for _ in range(100):
            await pilot.pause(0.1)
            if (tmp_path / "both.csv").exists():
                break
    text = (tmp_path / "both.csv").read_text()
    assert "rmse" in text
    assert "depth" in text
