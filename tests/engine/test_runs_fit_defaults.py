"""The default recipe, and settings whose metrics are published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fit_kit import recipe, table
from sklearn.model_selection import train_test_split

from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe


def test_twelve_elastic_nets_of_the_wine_have_the_published_metrics(shared_data: Path) -> None:
    """Trained on the very rows of mlflow-example's split: they are marked by a column of times."""
    truth = json.loads((shared_data / "truth" / "wine_elasticnet.json").read_text())
    cases = truth["computed_here"]
    assert len(cases) == 12
    frames = {}
    for colour in ("red", "white"):
        path = shared_data / "tabular" / f"winequality-{colour}.csv"
        frame = pl.read_csv(path, separator=";", infer_schema_length=None)
        np.random.seed(40)
        _, test = train_test_split(np.arange(frame.height))
        is_test = np.isin(np.arange(frame.height), test).astype(int)
        frames[colour] = frame.with_columns(is_test=is_test)
    for case in cases:
        value = {
            "dataset": "wine",
            "target": "quality",
            "task": "regression",
            "split": {"test": 0.25, "time": "is_test"},
            "estimator": "sklearn.linear_model.ElasticNet",
            "params": {
                "alpha": case["alpha"],
                "l1_ratio": case["l1_ratio"],
                "random_state": 42,
            },
        }
        found = fit(parse_recipe(value, check=True), frames[case["data"]])
        for metric in ("rmse", "mae", "r2"):
            assert found.metrics[metric] == pytest.approx(case[metric], rel=0, abs=1e-12), case


# What is set where a recipe sets nothing -----------------------------------------------------


def test_a_recipe_without_params_takes_small_steps_for_its_number_of_rows() -> None:
    usual = {"learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.8, "reg_lambda": 1.0}
    for target, n_rows, expected in (
        ("y", 400, {"n_estimators": 100, "num_leaves": 7}),
        ("y", 3_000, {"n_estimators": 240, "num_leaves": 24}),
        ("label", 3_000, {"n_estimators": 100, "num_leaves": 24}),
    ):
        found = fit(recipe(target, params={}), table(n_rows))
        assert found.params.items() >= (usual | expected).items()
        assert found.model.estimator.num_trees() == expected["n_estimators"]
    one, two = (
        fit(recipe(params={"num_threads": n}), table(), threads=None).model.content for n in (1, 2)
    )
    assert one == two == fit(recipe(params={}), table()).model.content


def test_params_of_trees_leave_the_others_to_lightgbm() -> None:
    found = fit(recipe(params={"num_leaves": 5}), table())
    assert found.params["learning_rate"] == 0.1
    assert found.model.estimator.num_trees() == 100
    stopped = fit(recipe(params={"num_leaves": 5}, early_stopping=10), table())
    assert stopped.params["n_estimators"] == 2_000
    assert stopped.model.estimator.num_trees() < 300
    assert fit(recipe(params={"n_estimators": None}), table()).model.estimator.num_trees() == 100


@pytest.mark.parametrize(
    ("name", "target", "task", "metric", "peer"),
    [
        pytest.param(
            *("german_credit", "default", "classification", "log_loss", 0.6010),
            marks=pytest.mark.slow,
        ),
        ("titanic", "survived", "classification", "log_loss", 0.4877),
    ],
)
def test_the_default_recipe_is_better_than_sklearns_default(
    shared_data: Path, name: str, target: str, task: str, metric: str, peer: float
) -> None:
    """The peer's numbers are those of HistGradientBoosting over five folds, as the benchmark."""
    frame = pl.read_csv(shared_data / "tabular" / f"{name}.csv", infer_schema_length=None)
    split = {"test": 0, "folds": 5}
    value = {"dataset": "t", "target": target, "task": task, "split": split}
    found = fit(parse_recipe(value, check=True), frame)

    assert found.metrics[f"cv_{metric}_mean"] < peer
