"""A search begins at the model that the recipe gives without it."""

from __future__ import annotations

import pytest
from records_kit import add_beans

from local_stack.registry import load
from local_stack.runs.boosters import booster_of
from local_stack.runs.recipe import load_recipe
from local_stack.runs.train import train
from local_stack.runs.tuning.starting import first, grounded
from local_stack.runs.tuning.tune import tune
from local_stack.stores.artifacts import Tree


def plan(text: str, space: str):
    return load_recipe(f"dataset: t\ntarget: y\n{text}\nsearch:\n  space: {space}\n")


def test_what_is_not_searched_is_as_in_the_recipe_without_a_search(workspace, tmp_path):
    add_beans(workspace, tmp_path)
    alone, searched = tmp_path / "alone.yaml", tmp_path / "searched.yaml"
    text = "dataset: beans\ntarget: height\nsplit: {test: 0.25, folds: 2}\n"
    alone.write_text(text)
    searched.write_text(text + "search: {trials: 1, space: {learning_rate: {choice: [0.05]}}}\n")
    plain, tuned = train(workspace, alone), tune(workspace, searched)
    rows = [workspace.get("runs", run.run_id) for run in (plain, tuned)]
    one, other = (load(workspace, Tree.of(row["model"])).content for row in rows)
    assert one == other
    assert plain.metrics["rmse"] == tuned.metrics["rmse"]
    assert rows[1]["recipe"]["params"]["subsample"] == 0.8  # so that it can be repeated alone


def test_the_first_trial_is_the_point_of_the_space_nearest_to_the_recipe():
    asked = plan("", "{num_leaves: [4, 16], reg_lambda: {log: [0.001, 10]}, max_depth: [3, 9]}")
    usual = booster_of("lightgbm").usual(0, 5_000)
    assert usual["num_leaves"] == 31
    assert first(asked, 0, 5_000) == {"num_leaves": 16, "reg_lambda": 1.0, "max_depth": 3}
    asked = plan("params: {num_leaves: 8}", "{lambda_l2: [0.5, 2.0], learning_rate: [0.2, 0.3]}")
    assert first(asked, 0, 5_000) == {"lambda_l2": 0.5, "learning_rate": 0.2}  # LightGBM's own
    asked = plan("", "{boosting_type: {choice: [dart, gbdt]}, seed: [5, 9]}")
    assert first(asked, 2, 5_000) == {"boosting_type": "gbdt"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("", {"colsample_bytree", "learning_rate", "n_estimators", "reg_lambda", "subsample_freq"}),
        ("params: {max_depth: 4}", {"max_depth", "n_estimators"}),
    ],
)
def test_what_the_recipe_leaves_open_is_said_unless_it_is_searched(params, expected):
    asked = plan(params, "{num_leaves: [4, 16], bagging_fraction: [0.5, 1.0]}")
    assert set(grounded(asked, 0, 5_000).params) == expected


def test_an_estimator_of_scikit_learn_begins_at_its_defaults():
    text = "estimator: sklearn.linear_model.ElasticNet"
    asked = plan(text, "{alpha: {log: [0.001, 0.5]}, l1_ratio: [0.1, 0.9], max_iter: [10, 2000]}")
    assert first(asked, 0, 100) == {"alpha": 0.5, "l1_ratio": 0.5, "max_iter": 1000}
    assert grounded(asked, 0, 100) is asked
