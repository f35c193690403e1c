"""What a training records, so that it can be repeated: code, packages, seeds, threads, cost."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_kit import RECIPE, add_beans, commit, git, project, undrawn

from local_stack import catalog
from local_stack.data.recipes.document import hash_of
from local_stack.errors import InputError
from local_stack.runs import evaluating, learning, provenance, records
from local_stack.runs.comparison.curves import curves
from local_stack.runs.recipe import parse_recipe
from local_stack.runs.train import mirror_run
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

__all__ = ["project", "undrawn"]


def train(workspace: Workspace, recipe: Path, *sets: str, **given: Any) -> Any:
    return catalog.call(workspace, "runs.train", {"recipe": recipe, "set": sets, **given})


def stored(workspace: Workspace, run_id: str, path: str) -> bytes:
    row = workspace.get("runs", run_id)
    assert row is not None
    return workspace.artifacts.read(Blob.of(row["files"][path]))


def environment(workspace: Workspace, run_id: str) -> Any:
    return json.loads(stored(workspace, run_id, provenance.FILE))


def test_a_run_records_where_it_came_from(workspace, tmp_path, project):
    reference = add_beans(workspace, tmp_path)
    head = git(project, "rev-parse", "HEAD")
    (project / "notes.txt").write_text("two\n")
    done = train(workspace, project / "recipe.yaml")
    told = environment(workspace, done.run_id)
    assert told["data"] == reference
    row = workspace.get("runs", done.run_id)
    document = {"hash": hash_of(row["recipe"]), "stored": None, "document": row["recipe"]}
    assert told["recipe"] == document
    assert told["seeds"] == {"split": 3, "estimator": 3}
    assert told["threads"] == 1  # as the recipe has it
    for name in ("lightgbm", "numpy", "polars", "scikit-learn", "mlflow"):
        assert told["packages"][name] == metadata.version(name)
    assert {lib["user_api"] for lib in told["libraries"]} >= {"openmp"}
    assert told["code"]["commit"] == head
    diff = stored(workspace, done.run_id, provenance.DIFF_FILE)
    assert b"-one\n+two\n" in diff
    assert hashlib.sha256(diff).hexdigest() == told["code"]["diff_sha256"]
    shown = records.show(workspace, done.run_id)
    assert shown.tags["mlflow.source.git.commit"] == head
    assert shown.tags["mlflow.source.git.branch"] == "main"
    assert shown.tags["mlflow.source.git.dirty"] == "true"
    assert shown.tags["paceml.recipe"] == told["recipe"]["hash"]
    assert {provenance.FILE, provenance.DIFF_FILE} <= {*shown.artifacts}
    found = records.search(workspace, f"tags.`mlflow.source.git.commit` = '{head}'")
    assert [run.run_id for run in found] == [done.run_id]


def test_a_clean_tree_has_no_diff_and_no_repository_is_told(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    clean = train(workspace, project / "recipe.yaml")
    assert records.show(workspace, clean.run_id).tags["mlflow.source.git.dirty"] == "false"
    assert provenance.DIFF_FILE not in clean.artifacts
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "recipe.yaml").write_text(RECIPE)
    outside = train(workspace, tmp_path / "plain" / "recipe.yaml")
    assert "no git repository" in environment(workspace, outside.run_id)["code"]["missing"]
    tags = records.show(workspace, outside.run_id).tags
    assert not [key for key in tags if key.startswith("mlflow.source.git")]


def test_a_run_that_fails_tells_its_commit_too(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    with pytest.raises(InputError):
        train(workspace, project / "recipe.yaml", "target=nothing", name="bad")
    (run,) = records.search(workspace, "attributes.run_name = 'bad'").runs
    assert run.status == "FAILED"
    assert run.tags["mlflow.source.git.commit"] == git(project, "rev-parse", "HEAD")


def test_the_stored_recipe_is_named_by_its_number(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    text = "features:\n  - scale: {columns: [water]}\n"
    catalog.call(workspace, "data.recipe", {"name": "beans", "text": text})
    (project / "recipe.yaml").write_text(f"{RECIPE}features: stored\n")
    commit(project)
    done = train(workspace, project / "recipe.yaml")
    told = environment(workspace, done.run_id)["recipe"]["stored"]
    assert (told["dataset"], told["number"]) == ("beans", 1)
    assert told["hash"] == workspace.get("recipes", "beans", 1)["hash"]
    assert records.show(workspace, done.run_id).tags["paceml.stored_recipe"] == "beans/1"


def test_the_hash_of_a_recipe_is_of_what_it_says():
    first = parse_recipe({"dataset": "a", "params": {"max_depth": 3, "num_leaves": 5}})
    same = parse_recipe({"params": {"num_leaves": 5, "max_depth": 3}, "dataset": "a"})
    other = parse_recipe({"dataset": "a", "params": {"max_depth": 4, "num_leaves": 5}})
    assert provenance.recipe_hash(first) == provenance.recipe_hash(same)
    assert provenance.recipe_hash(first) != provenance.recipe_hash(other)


def test_a_run_records_what_it_cost(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    done = train(workspace, project / "recipe.yaml")
    cost = done.cost
    assert cost["wall_seconds"] >= done.seconds > 0
    assert cost["cpu_seconds"] >= done.cpu_seconds > 0
    assert cost["peak_memory_bytes"] > 50_000_000
    size = (tmp_path / "beans.parquet").stat().st_size
    assert cost["bytes_read"] > size
    row = workspace.get("runs", done.run_id)
    written = sum(blob["size"] for blob in row["model"]["members"].values())
    assert cost["bytes_written"] > written
    assert row["tags"]["paceml.bytes_read"] == str(cost["bytes_read"])
    assert float(row["tags"]["paceml.total_seconds"]) == cost["wall_seconds"]


def test_long_histories_keep_their_ends_and_extremes(tmp_path):
    points = [(step, float((step - 2_500) ** 2)) for step in range(7_001)]
    points[1_234] = (1_234, -5.0)
    learning.write_histories({"loss": points}, tmp_path)
    kept = learning.read_histories(tmp_path)["loss"]
    assert 500 < len(kept) <= 1_000
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert (1_234, -5.0) in kept
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)


def test_histories_hold_what_json_cannot(tmp_path):
    learning.write_histories(
        {"a": [(0, float("nan")), (1, float("-inf"))], "b": [(3, 2.5)]}, tmp_path
    )
    found = learning.read_histories(tmp_path)
    assert str(found) == str({"a": [(0, float("nan")), (1, float("-inf"))], "b": [(3, 2.5)]})
    assert learning.read_histories(tmp_path / "none") == {}


def test_folds_and_the_curve_of_early_stopping_are_histories(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    done = train(workspace, project / "recipe.yaml", "early_stopping=5")
    found = {curve.key: curve for curve in drawn(workspace, done.run_id)}
    folds = found["cv_rmse_by_fold"]
    assert folds.steps == (1, 2, 3)
    assert np.mean(folds.values) == pytest.approx(done.metrics["cv_rmse_mean"], rel=1e-12)
    assert np.std(folds.values) == pytest.approx(done.metrics["cv_rmse_std"], rel=1e-12)
    curve = found["early_stopping_rmse"]
    assert curve.steps == tuple(range(1, len(curve.steps) + 1))
    assert 5 <= len(curve.steps) <= 12


def test_what_is_measured_after_the_fit_is_part_of_the_run(
    workspace, tmp_path, project, monkeypatch
):
    def evaluate(recipe: Any, fitted: Any, frame: Any, progress: Any) -> Any:
        told = ("too few rows",)
        return evaluating.Evaluation(fitted.model.task, {"odd": math.inf, "rmse": -1.0}, told)

    monkeypatch.setattr(evaluating, "evaluate", evaluate)
    add_beans(workspace, tmp_path)
    done = train(workspace, project / "recipe.yaml")
    assert done.metrics["odd"] == math.inf
    assert done.metrics["rmse"] > 0
    assert "too few rows" in done.warnings
    document = json.loads(stored(workspace, done.run_id, "evaluation/evaluation.json"))
    assert document["warnings"] == ["too few rows"]
    (folder,) = (workspace.root / "mlruns").glob(f"*/{done.run_id}")
    assert (folder / "artifacts" / "evaluation" / "evaluation.json").exists()
    assert records.show(workspace, done.run_id).metrics["odd"] == math.inf


def test_a_mirror_that_is_written_again_has_each_point_once(workspace, tmp_path, project):
    add_beans(workspace, tmp_path)
    done = train(workspace, project / "recipe.yaml")
    before = drawn(workspace, done.run_id)
    (folder,) = (workspace.root / "mlruns").glob(f"*/{done.run_id}")
    path = folder / "metrics" / "cv_rmse_by_fold"
    path.write_text(path.read_text().partition("\n")[0] + "\n")  # as a killed writer leaves it
    row = workspace.get("runs", done.run_id)
    mirror_run(workspace, row)
    assert len(path.read_text().splitlines()) == 3
    assert drawn(workspace, done.run_id) == before
    document = json.loads((folder / "artifacts" / provenance.FILE).read_text())
    assert document == environment(workspace, done.run_id)


def drawn(workspace: Workspace, run: str) -> Any:
    """Return the curves that screens draw of a run, without the times."""
    catalog.call(workspace, "runs.sync", {"full": True})
    found = curves(workspace, [run], ["cv_rmse_by_fold", "cv_mae_by_fold", "early_stopping_rmse"])
    return [replace(curve, times=()) for curve in found]
