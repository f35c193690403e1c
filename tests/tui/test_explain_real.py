"""A credit model's rejected row, from the Explain screen alone: the model, the rows, the jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import SMALL, running, text_of, until
from textual.pilot import Pilot
from views_kit import words

from local_stack import catalog
from local_stack.registry import load
from local_stack.stores.artifacts import Tree
from local_stack.workspace import Workspace
from paceml_tui.screens.explain_decision import DecisionView
from paceml_tui.screens.explain_view import ExplanationView

CREDIT = Path(os.environ.get("PACEML_SHARED_DATA", ""), "tabular", "german_credit.csv")
RECIPE = """
experiment: credit
dataset: credit
target: credit
task: classification
split: {test: 0.3, seed: 7, stratify: true}
features:
  - encode: {columns: categorical, as: native}
estimator: lightgbm
params: {n_estimators: 40, num_leaves: 15, learning_rate: 0.1}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CREDIT.is_file(), reason="PACEML_SHARED_DATA has no German credit."),
]


@pytest.fixture
def credit(tmp_path: Path) -> tuple[Path, str]:
    """Return a workspace with a model of German credit, and its run."""
    named = pl.when(pl.col("default") == 0).then(pl.lit("good")).otherwise(pl.lit("bad"))
    frame = pl.read_csv(CREDIT).with_columns(named.alias("credit")).drop("default")
    frame.write_csv(tmp_path / "credit.csv")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    added: dict[str, Any] = {"name": "credit", "source": str(tmp_path / "credit.csv")}
    with Workspace.create(tmp_path / "studio", actor="ada") as workspace:
        catalog.call(
            workspace, "data.add", {**added, "target": "credit", "sensitive": ("sex", "age")}
        )
        run = catalog.call(workspace, "runs.train", {"recipe": str(tmp_path / "recipe.yaml")})
    return tmp_path / "studio", run.run_id


async def press(pilot: Pilot[int], *pressed: str) -> None:
    """Press keys without waiting for what they begin, which may be a job."""
    for key in pressed:
        await pilot.press(key)
        await pilot.pause(0.3)


async def test_a_rejected_row_has_reasons_a_change_that_flips_and_fair_groups(
    credit: tuple[Path, str],
) -> None:
    root, run = credit
    async with running(root, SMALL, "4 n") as pilot:
        await press(pilot, "enter")
        view = pilot.app.screen
        assert isinstance(view, ExplanationView)
        await until(pilot, "1 features 21", seconds=180)
        await until(pilot, "account_check", seconds=30)
        await press(pilot, "4")
        await until(pilot, "rows 1-500 of 1,000", seconds=120)
        await press(pilot, "o", "slash", *"bad", "enter")
        await until(pilot, "predicted bad", seconds=60)
        await press(pilot, "enter")
        decision = pilot.app.screen
        assert isinstance(decision, DecisionView)
        await until(pilot, "from base to prediction", seconds=60)
        row, found = dict(decision._result["row"]), decision._result["counterfactuals"]
        assert found
        await press(pilot, "2")
        assert "The model says 'bad'" in words(pilot)
        assert "lowers the log-odds of 'good'" in words(pilot)
        await press(pilot, "3", "a")
        await until(pilot, "was bad", seconds=30)
        assert decision.answer["prediction"] == "good"
        with Workspace.open(root) as workspace:
            record = workspace.get("runs", run)
            assert record is not None
            model = load(workspace, Tree.of(record["model"]))
        changed = {it["feature"]: it["after"] for it in found[0]["changes"]}
        assert model.predict_row(model.preparation.validate_row(row)) == "bad"
        assert model.predict_row(model.preparation.validate_row({**row, **changed})) == "good"
        assert not {"sex", "age"} & changed.keys()
        await press(pilot, "escape", "5", "b", "enter")
        await until(pilot, "sex: groups", seconds=180)
        await press(pilot, "enter")
        shown = text_of(pilot)
        assert "female" in shown
        assert "TPR" in shown
        await press(pilot, "escape", *"jjjjjj", "enter")
        assert "up to" in text_of(pilot)  # the groups of the age
