"""Explain on real tables, by its commands, beside shap, scikit-learn and sums of numpy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest

from local_stack.catalog import call
from local_stack.explain.effects import permutation
from local_stack.explain.effects.rows import Rows
from local_stack.explain.model import VALUES
from local_stack.explain.subject import Subject, subject_of
from local_stack.preparation.fitting import raw_columns
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

PIPELINE = """
  - impute: {columns: numeric, strategy: median}
  - scale: {columns: numeric}
  - encode: {columns: categorical, as: onehot}
"""
RECIPES = {
    "credit": f"""
dataset: credit
features: {PIPELINE}
estimator: sklearn.linear_model.LogisticRegression
params: {{max_iter: 500}}
""",
    "titanic": f"""
dataset: titanic
features:
  - drop: {{columns: [name, ticket]}}
  - encode: {{columns: [cabin], as: target}} {PIPELINE}
estimator: sklearn.ensemble.RandomForestClassifier
params: {{n_estimators: 12, max_depth: 6}}
""",
    "wine": """
dataset: wine
task: regression
estimator: sklearn.tree.DecisionTreeRegressor
params: {max_depth: 6}
""",
}
TABLES = {
    "credit": ("german_credit.csv", "default"),
    "titanic": ("titanic.csv", "survived"),
    "wine": ("wine-quality.csv", "quality"),
}
MOST_ROWS = 500
"""Rows of wine: as many as a partial dependence averages over, so that it takes them all."""
EXACT = 1e-9


@pytest.fixture(scope="module")
def lab(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, dict[str, str]]]:
    """A workspace with one run for each table; nothing in it is changed but explanations."""
    folder = tmp_path_factory.mktemp("real")
    runs = {}
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        for name, (file, target) in TABLES.items():
            frame = pl.read_csv(shared_data / "tabular" / file)
            if name == "wine":
                frame = frame.sample(MOST_ROWS, seed=3)
            frame.write_csv(folder / file)
            source = {"name": name, "source": str(folder / file), "target": target}
            call(workspace, "data.add", source)
            recipe = folder / f"{name}.yaml"
            rest = "split: {test: 0.3, seed: 5}\nbootstrap: {resamples: 0}\n"
            recipe.write_text(RECIPES[name] + rest)
            with mock.patch("local_stack.runs.pictures.draw"):
                runs[name] = call(workspace, "runs.train", {"recipe": str(recipe)}).run_id
        yield workspace, runs


def in_columns(subject: Subject, names: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Return values of features (n_rows, n_features), summed over what is made of one column."""
    sources = [subject.model.preparation.sources[it.name] for it in _features(subject)]
    owners = np.array([next(iter(source)) for source in sources])
    assert all(len(source) == 1 for source in sources)
    return np.stack([values[:, owners == name].sum(axis=1) for name in names], axis=1)


def _features(subject: Subject) -> Any:
    return subject.model.preparation.features


def test_the_stored_values_of_a_pipeline_are_those_of_shap_and_add_up_to_the_estimator(lab) -> None:
    """German credit: 14 columns of texts, one-hot encoded, and 7 of numbers."""
    import shap
    from sklearn.linear_model import LogisticRegression

    workspace, runs = lab
    result = call(workspace, "explain.model", {"target": runs["credit"]})
    row = workspace.get("explanations", runs["credit"])
    blob = Blob.of(row["artifacts"][f"explain/{VALUES}"])
    stored = pl.read_parquet(workspace.artifacts.path(blob))
    subject = subject_of(workspace, runs["credit"])
    matrix = subject.matrix(subject.frame)
    estimator = subject.model.estimator
    assert isinstance(estimator, LogisticRegression)
    names = tuple(item.feature for item in result.importance)
    assert len(names) == 21
    assert matrix.shape[1] > 50
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))
    told = shap.LinearExplainer(estimator, masker)(matrix)
    values = stored.select(names).to_numpy()
    np.testing.assert_allclose(values, in_columns(subject, names, told.values), atol=EXACT)
    scores = estimator.decision_function(matrix)
    added = stored["base_value"].to_numpy() + values.sum(axis=1)
    np.testing.assert_allclose(added, scores, atol=EXACT)
    assert result.additivity_error == pytest.approx(np.abs(added - scores).max(), abs=1e-13)
    means = np.abs(values).mean(axis=0)
    assert [item.mean_abs_shap for item in result.importance] == pytest.approx(list(means))
    assert list(means) == sorted(means, reverse=True)
    one = call(workspace, "explain.row", {"target": runs["credit"], "index": 17})
    assert {it.feature: it.shap for it in one.contributions} == dict(
        zip(names, values[17].tolist(), strict=True)
    ), "a row alone has the bits that it has among all"


def test_trees_of_passengers_with_gaps_are_explained_as_by_shap(lab) -> None:
    """Titanic: missing ages and cabins, cabins by their target, in units of probability."""
    import shap

    workspace, runs = lab
    subject = subject_of(workspace, runs["titanic"])
    matrix = subject.matrix(subject.frame)
    rows = [0, 5, 61, 888]
    told = shap.TreeExplainer(subject.model.estimator)(matrix[rows], check_additivity=False)
    for place, index in enumerate(rows):
        one = call(workspace, "explain.row", {"target": runs["titanic"], "index": index})
        found = {it.feature: it.shap for it in one.contributions}
        expected = in_columns(subject, tuple(found), told.values[:, :, 1])[place]
        assert list(found.values()) == pytest.approx(list(expected), abs=EXACT)
        probability = subject.model.estimator.predict_proba(matrix[[index]])[0, 1]
        assert one.base_value + sum(found.values()) == pytest.approx(probability, abs=EXACT)


def test_counterfactuals_flip_what_scikit_learn_says(lab) -> None:
    """The changed row goes through the preparation of tables, not through that of JSON."""
    workspace, runs = lab
    subject = subject_of(workspace, runs["titanic"])
    estimator, classes, n_found = subject.model.estimator, subject.model.classes, 0
    for index in range(3, 800, 160):
        one = call(
            workspace,
            "explain.row",
            {"target": runs["titanic"], "index": index, "counterfactuals": 3, "immutable": ["sex"]},
        )
        before = subject.frame[index]
        for way in one.counterfactuals:
            changed = before.with_columns(
                pl.lit(it.after).cast(before.schema[it.feature]).alias(it.feature)
                for it in way.changes
            )
            assert "sex" not in {it.feature for it in way.changes}
            pair = subject.matrix(pl.concat([before, changed]))
            was, becomes = (classes[int(it)] for it in estimator.predict(pair))
            assert (was, becomes) == (one.prediction, way.prediction)
            assert was != becomes
            n_found += 1
    assert n_found >= 8


def test_a_difference_of_groups_is_the_sum_of_its_columns(lab) -> None:
    workspace, runs = lab
    asked = {"target": runs["titanic"], "by": "sex", "a": "male", "b": "female"}
    told = call(workspace, "explain.compare", asked)
    assert told == call(workspace, "explain.compare", asked)
    subject = subject_of(workspace, runs["titanic"])
    said = subject.model.estimator.predict_proba(subject.matrix(subject.frame))[:, 1]
    is_man = (subject.frame["sex"] == "male").to_numpy()
    assert told.difference == pytest.approx(said[~is_man].mean() - said[is_man].mean(), abs=EXACT)
    assert sum(it.difference for it in told.columns) == pytest.approx(told.difference, abs=EXACT)
    assert told.columns[0].feature == "sex"
    assert told.low < told.difference < told.high


def test_the_partial_dependence_of_wine_is_that_of_scikit_learn(lab) -> None:
    from sklearn.inspection import partial_dependence

    workspace, runs = lab
    subject = subject_of(workspace, runs["wine"])
    estimator, names = subject.model.estimator, [it.name for it in _features(subject)]
    matrix = subject.matrix(subject.frame)
    place = names.index("alcohol")
    asked = {"target": runs["wine"], "feature": "alcohol"}
    told = call(workspace, "explain.dependence", asked).partial
    assert told.n_rows == len(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = partial_dependence(
            estimator,
            matrix,
            [place],
            method="brute",
            kind="average",
            custom_values={place: np.array(told.grid)},
        )
    assert list(told.mean) == pytest.approx(list(expected["average"][0]), abs=EXACT)


def test_shuffling_columns_of_wine_harms_as_much_as_in_scikit_learn(lab) -> None:
    """By other orders, so that the tolerance is four standard errors of both means."""
    from sklearn.inspection import permutation_importance

    workspace, runs = lab
    subject = subject_of(workspace, runs["wine"])
    estimator, names = subject.model.estimator, [it.name for it in _features(subject)]
    held = subject.held_out
    assert held.height == round(0.3 * MOST_ROWS)
    truth = held["quality"].to_numpy().astype(np.float64)
    told = permutation.permutation_importance(Rows(subject.model, held), truth)
    found = {it.column: it.mean for it in told.columns}
    rows = subject.model.matrix(raw_columns(held, subject.model.inputs))
    named = "neg_root_mean_squared_error"
    other = permutation_importance(
        estimator, rows, truth, scoring=named, n_repeats=20, random_state=0
    )
    for name, mean, spread in zip(
        names, other.importances_mean, other.importances_std, strict=True
    ):
        assert found[name] == pytest.approx(mean, abs=4 * spread * (1 / 5 + 1 / 20) ** 0.5 + 1e-6)
    assert max(found, key=found.__getitem__) == names[int(other.importances_mean.argmax())]
