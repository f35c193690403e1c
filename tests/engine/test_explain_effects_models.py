"""Every kind of model that can be stored has an explanation of the whole, or says what it lacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from explain_kit import STEPS, table

from local_stack.explain import affording
from local_stack.explain.attributing.trees import ensemble_of
from local_stack.explain.effects import whole
from local_stack.explain.subject import Subject
from local_stack.results import plain
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe

BOOSTED = {"n_estimators": 12}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "quantiles": ("y", "lightgbm", {"params": BOOSTED, "quantiles": [0.1, 0.9]}),
    "calibrated": (
        "label",
        "lightgbm",
        {"params": BOOSTED, "calibrate": "sigmoid", "split": {"folds": 3}},
    ),
    "weights": ("grade", "lightgbm", {"params": BOOSTED, "class_weight": "balanced"}),
    "xgboost": ("label", "xgboost", {"params": BOOSTED}),
    "catboost": ("grade", "catboost", {"params": {"iterations": 12}}),
    "forest": ("grade", "sklearn.ensemble.RandomForestClassifier", {"params": BOOSTED}),
    "extra": ("y", "sklearn.ensemble.ExtraTreesRegressor", {"params": BOOSTED}),
    "hist": ("label", "sklearn.ensemble.HistGradientBoostingClassifier", {}),
    "net": ("y", "sklearn.linear_model.ElasticNet", {"params": {"alpha": 0.05}}),
    "many": ("grade", "sklearn.linear_model.LogisticRegression", {}),
    "neighbours": ("y", "sklearn.neighbors.KNeighborsRegressor", {}),
    "kernel": ("label", "sklearn.svm.SVC", {}),
    "kernels": ("grade", "sklearn.svm.SVC", {}),
    "net of neurons": (
        "grade",
        "sklearn.neural_network.MLPClassifier",
        {"params": {"hidden_layer_sizes": [8], "max_iter": 50}},
    ),
    "counts": ("count", "sklearn.linear_model.PoissonRegressor", {}),
}
EXACT = {"net", "many", "counts"}
"""Linear models: exact, and without interactions."""
SLOW = {"neighbours", "kernel", "kernels", "net of neurons"}


def subject(name: str) -> Subject:
    """Return a model of the table, ready to be explained."""
    target, estimator, more = KINDS[name]
    if not estimator.startswith("sklearn."):
        pytest.importorskip(estimator)
    frame = table().with_columns(count="grade")
    others = [it for it in frame.columns if it not in ("a", "b", "c", "word", target)]
    steps: list[Any] = [{"drop": {"columns": others}}]
    steps += STEPS if estimator.startswith("sklearn.") else []
    recipe = {
        "dataset": "t",
        "experiment": "t",
        "target": target,
        "task": "regression" if target in ("y", "count") else "classification",
        "estimator": estimator,
        "features": steps,
        **more,
    }
    model = fit(parse_recipe(recipe, check=True), frame).model
    run = {"run_id": "r", "recipe": recipe, "target": target}
    made = Subject(run, model, SimpleNamespace(reference="t@1"), frame, np.empty((0, 0)))
    return Subject(run, model, made.version, frame, made.matrix(frame)[:100])


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_is_explained_as_a_whole(name: str) -> None:
    asked = subject(name)
    most = affording.rows_to_explain(asked, None, None)
    assert most == affording.MOST_ROWS if name not in SLOW else most >= affording.FEWEST_ROWS
    frame = asked.sample(12)
    found = asked.attributions(frame)
    told = whole.explained(asked, "t@1", frame, found).explanation
    assert {it.feature for it in told.importance} == {"a", "b", "c", "word"}
    assert told.additivity_error < 1e-5
    assert (told.standard_error is None) == found.is_exact
    assert told.permutation is not None
    assert told.permutation.rows == "test"
    assert {it.column for it in told.permutation.columns} == {"a", "b", "c", "word"}
    assert told.surrogate is not None
    if name in EXACT | SLOW:
        assert told.interactions is None
        assert any("interaction" in note for note in told.notes)
    elif name != "catboost":
        assert told.interactions is not None
        matrix = np.array(told.interactions.matrix)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert told.background.how.startswith("rows evenly") == (name in SLOW)
    assert any("--rows" in note for note in told.notes) == (name in SLOW)
    again = whole.explained(asked, "t@1", frame, asked.attributions(frame)).explanation
    assert plain(again) == plain(told)


@pytest.mark.slow
def test_fewer_rows_of_many_deep_trees_are_explained(monkeypatch) -> None:
    asked = subject("extra")
    assert affording.rows_to_explain(asked, None, None) == affording.MOST_ROWS
    work = ensemble_of(asked.model).work
    monkeypatch.setattr(affording, "SECONDS", 50.5 * affording.TREE_COST * work)
    assert affording.rows_to_explain(asked, None, None) == 50
    assert affording.rows_to_explain(asked, 70, None) == 70
    frame = asked.sample(50)
    notes = whole.explained(asked, "t@1", frame, asked.attributions(frame)).explanation.notes
    assert any(note.startswith("50 of 300 rows are explained") for note in notes)


@pytest.mark.slow
def test_the_prediction_of_a_quantile_model_is_its_mean_booster() -> None:
    asked = subject("quantiles")
    frame = asked.sample(20)
    found = asked.attributions(frame)
    mean = asked.model.outputs(asked.matrix(frame))
    np.testing.assert_allclose(found.base + found.values.sum(axis=1)[:, 0], mean, atol=1e-9)
