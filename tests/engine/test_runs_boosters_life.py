"""The life of a model of XGBoost or CatBoost: trained, repeated, tuned, registered and served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records_kit import add_beans, table
from serving_kit import running
from tuning_kit import outcomes, put_recipe, tune

from local_stack import catalog, registry, serving
from local_stack.explain.model import model as explain_model
from local_stack.runs import records, reproducing
from local_stack.workspace import Workspace

BOTH = ("xgboost", "catboost")


def slow(estimator: str) -> Any:
    """One of the two is enough for every commit."""
    return pytest.param(estimator, marks=pytest.mark.slow)


RECIPE = """\
dataset: beans
experiment: growth
split: {{seed: 3, folds: 2}}
estimator: {estimator}
params: {{n_estimators: 8}}
search:
  trials: 3
  space:
    learning_rate: {{log: [0.01, 1.0]}}
    max_depth: [2, 5]
"""


@pytest.mark.parametrize("estimator", [slow("xgboost"), "catboost"])
def test_a_run_is_trained_repeated_registered_and_served(
    workspace: Workspace, tmp_path: Path, estimator: str
) -> None:
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path, RECIPE.format(estimator=estimator))
    run = catalog.call(workspace, "runs.train", {"recipe": recipe})
    shown = records.show(workspace, run.run_id)
    assert shown.params["model"] == estimator
    (model,) = shown.models
    library = {"xgboost": "XGBoost JSON", "catboost": "CatBoost JSON"}[estimator]
    assert (model.flavors, model.format) == (("python_function", estimator), library)
    assert model.is_loadable

    again = reproducing.reproduce(workspace, run.run_id)
    assert again.bit_identical
    assert again.model == {f"model.{estimator}.json": True, "preparation.json": True}

    registry.register(workspace, "beans", run.run_id)
    registry.promote(workspace, "beans", "1", "Production")
    with running(workspace, "beans") as endpoint:
        loaded = registry.load(workspace, registry.resolve(workspace, "beans/1").model)
        names = [column.name for column in loaded.inputs]
        rows = table().select(names).head(4).to_dicts()
        columns = {name: [row[name] for row in rows] for name in names}
        expected = loaded.predict(loaded.preparation.validate(columns))
        many = serving.predict(workspace, endpoint.endpoint, row=json.dumps(rows, default=str))
        one = serving.predict(workspace, endpoint.endpoint, row=json.dumps(rows[2], default=str))
        assert list(many.predictions) == expected
        assert list(one.predictions) == pytest.approx([expected[2]], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", BOTH)
def test_two_workers_tune_as_one_does(workspace: Workspace, tmp_path: Path, estimator: str) -> None:
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path, RECIPE.format(estimator=estimator))
    given: dict[str, Any] = {"sampler": "random"}
    alone, together = tune(workspace, recipe, **given), tune(workspace, recipe, workers=2, **given)

    assert outcomes(alone) == outcomes(together)
    assert alone.metrics == together.metrics
    assert len({trial.value for trial in alone.trials}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("estimator", BOTH)
def test_a_run_is_explained(workspace: Workspace, tmp_path: Path, estimator: str) -> None:
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path, RECIPE.format(estimator=estimator))
    run = catalog.call(workspace, "runs.train", {"recipe": recipe})
    why = explain_model(workspace, run.run_id, rows=30)
    assert why.additivity_error < 1e-5
