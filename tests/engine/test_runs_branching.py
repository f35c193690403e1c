"""A variant of a run: what was changed, what was kept, and the link between the two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comparison_kit import put_run
from hypothesis import given
from hypothesis import strategies as st
from records_kit import RECIPE, add_beans, git, lose_data, project, table, undrawn

from local_stack import catalog
from local_stack.errors import InputError, NotFoundError
from local_stack.runs import records
from local_stack.runs.changes import changes
from local_stack.workspace import Workspace

__all__ = ["project", "undrawn"]


@pytest.fixture
def trained(workspace: Workspace, tmp_path: Path, project: Path) -> Any:
    """A finished run."""
    add_beans(workspace, tmp_path)
    return catalog.call(workspace, "runs.train", {"recipe": project / "recipe.yaml"})


def branch(workspace: Workspace, run: str, *sets: str, **given: Any) -> Any:
    return catalog.call(workspace, "runs.branch", {"run": run, "set": sets, **given})


def test_a_branch_is_trained_with_the_changed_values_and_linked(workspace, trained, project):
    sets = ("params.num_leaves=3", "params.max_depth=4", "split.folds=null")
    done = branch(workspace, "latest", *sets, name="flat")
    assert done.branched_from == trained.run_id
    assert done.changed == (
        {"key": "split.folds", "from": 3, "to": None},
        {"key": "params.num_leaves", "from": 5, "to": 3},
        {"key": "params.max_depth", "from": None, "to": 4},
    )
    assert (done.name, done.experiment) == ("flat", "growth")
    assert done.params["num_leaves"] == "3"
    assert done.params["n_estimators"] == "12"
    shown = records.show(workspace, done.run_id)
    assert shown.tags["paceml.branched_from"] == trained.run_id
    assert json.loads(shown.tags["paceml.changed"]) == list(done.changed)
    assert "mlflow.parentRunId" not in shown.tags
    assert shown.tags["mlflow.source.git.commit"] == git(project, "rev-parse", "HEAD")
    found = records.search(workspace, f"tags.`paceml.branched_from` = '{trained.run_id}'")
    assert [run.run_id for run in found] == [done.run_id]


def test_a_branch_gives_what_training_the_changed_recipe_gives(workspace, trained, project):
    done = branch(workspace, trained.run_id[:8], "params.n_estimators=4")
    path = project / "other.yaml"
    path.write_text(RECIPE.replace("12", "4"))
    direct = catalog.call(workspace, "runs.train", {"recipe": path})
    one, other = (workspace.get("runs", it.run_id)["model"]["members"] for it in (done, direct))
    assert one["model.lgb"] == other["model.lgb"]
    assert done.metrics == direct.metrics


def test_a_branch_learns_from_the_run_s_own_data_unless_told(workspace, trained, tmp_path):
    newer = add_beans(workspace, tmp_path, table(seed=6))
    kept = branch(workspace, trained.run_id, "params.num_leaves=4")
    assert kept.data_version == trained.data_version != newer
    other = branch(workspace, trained.run_id, f"dataset={newer}")
    assert other.data_version == newer
    assert other.changed == ({"key": "dataset", "from": "beans", "to": newer},)


def test_a_branch_of_a_branch_and_one_without_changes(workspace, trained):
    first = branch(workspace, trained.run_id, "params.num_leaves=4")
    second = branch(workspace, first.run_id)
    assert (second.branched_from, second.changed) == (first.run_id, ())
    assert second.metrics == first.metrics
    assert "repeats the run" in second.warnings[-1]


def test_the_stored_recipe_stays_named_while_the_features_stay(workspace, trained, project):
    text = "features:\n  - scale: {columns: [water]}\n"
    catalog.call(workspace, "data.recipe", {"name": "beans", "text": text})
    (project / "recipe.yaml").write_text(f"{RECIPE}features: stored\n")
    parent = catalog.call(workspace, "runs.train", {"recipe": project / "recipe.yaml"})
    kept = branch(workspace, parent.run_id, "params.num_leaves=4")
    assert records.show(workspace, kept.run_id).tags["paceml.stored_recipe"] == "beans/1"
    bare = branch(workspace, parent.run_id, "features=[]")
    assert "paceml.stored_recipe" not in records.show(workspace, bare.run_id).tags
    again = branch(workspace, bare.run_id, "features=stored")
    assert records.show(workspace, again.run_id).tags["paceml.stored_recipe"] == "beans/1"


def test_a_run_without_a_recipe_cannot_be_branched(workspace):
    run = put_run(workspace, 1)
    with pytest.raises(InputError, match="has no recipe: it was not trained by PACE-ML"):
        branch(workspace, run)
    with pytest.raises(NotFoundError):
        branch(workspace, "feed")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("params.leaves=3", "'leaves' is not a parameter"),
        ("split.test=7", "--set split.test"),
        ("split", "needs key=value"),
        ("target=nothing", "nothing"),
    ],
)
def test_what_cannot_be_set_is_a_sentence(workspace, trained, setting, told):
    with pytest.raises(InputError, match=told):
        branch(workspace, trained.run_id, setting)


def test_data_that_is_gone_begins_no_run(workspace, trained):
    lose_data(workspace, trained.data_version)
    with pytest.raises(NotFoundError, match="are not in the artefact store"):
        branch(workspace, trained.run_id, "params.num_leaves=4")
    assert records.search(workspace).total == 1


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), PLAIN))
def test_nothing_differs_from_itself(value):
    assert changes(value, json.loads(json.dumps(value))) == ()


@given(st.dictionaries(st.text("abc", min_size=1), PLAIN, min_size=1), st.integers())
def test_one_changed_value_is_one_change(value, number):
    key = sorted(value)[0]
    before, after = {**value, key: "x"}, {**value, key: number}
    assert changes(before, after) == ({"key": key, "from": "x", "to": number},)


def test_truth_is_not_a_number():
    assert changes({"a": True}, {"a": 1}) == ({"key": "a", "from": True, "to": 1},)
