"""A recipe and a model as parts of scikit-learn: its checks, its pipelines, its folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from preparation_kit import every_step, labels, same_bits, table
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from local_stack.errors import InputError
from local_stack.preparation.fitting import fit_features, raw_columns
from local_stack.preparation.steps import (
    EncodeStep,
    FilterStep,
    ImputeStep,
    ScaleStep,
)
from local_stack.preparation.transformer import RecipeTransformer


@parametrize_with_checks(
    [
        RecipeTransformer(),
        RecipeTransformer([{"impute": {"columns": "all"}}, {"scale": {"columns": "all"}}]),
    ]
)
def test_sklearns_checks_of_a_transformer_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_transformer_is_the_recipe() -> None:
    frame = table(1_500)
    transformer = RecipeTransformer(every_step(), native=True, random_state=7)
    X, y = frame.drop("y"), frame["y"].to_numpy()
    training = fit_features(
        X, "y", every_step(), native_strings=True, accepts_missing=True, labels=labels(frame)
    )
    out = transformer.fit_transform(X, y)
    assert same_bits(np.ascontiguousarray(out[training.rows]), training.matrix)
    assert transformer.preparation_ == training.preparation
    assert len(out) == frame.height
    names = [feature.name for feature in training.preparation.features]
    assert transformer.get_feature_names_out().tolist() == names
    again = clone(transformer).fit(X, y)
    assert same_bits(again.transform(X), transformer.transform(X))
    framed = clone(transformer).set_output(transform="polars").fit(X, y).transform(X)
    assert framed.columns == names


def test_polars_pandas_and_plain_steps_are_the_same() -> None:
    frame = table(300).select("amt", "income", "region")
    y = table(300)["y"].to_numpy()
    plain_steps = [
        {"impute": {"columns": "numeric"}},
        {"encode": {"columns": ["region"], "as": "target"}},
    ]
    steps = [ImputeStep("numeric"), EncodeStep(("region",), "target")]
    one = RecipeTransformer(plain_steps).fit(frame, y)
    two = RecipeTransformer(steps).fit(frame.to_pandas(), y)
    assert same_bits(one.transform(frame), two.transform(frame.to_pandas()))
    with pytest.raises(InputError, match="Did you mean 'impute'"):
        RecipeTransformer([{"imputee": {}}]).fit(frame)
    with pytest.raises(InputError, match="there is none"):
        RecipeTransformer(steps).fit(frame)


def test_cross_validation_of_a_pipeline_fits_the_recipe_in_each_fold() -> None:
    frame = table(900).select("amt", "income", "region")
    y = table(900)["y"].to_numpy()
    steps = [
        ImputeStep("numeric"),
        FilterStep("col('amt') < 1000"),
        EncodeStep(("region",), "target"),
        ScaleStep("numeric"),
    ]
    pipeline = make_pipeline(RecipeTransformer(steps), Ridge())
    scores = cross_val_score(pipeline, frame, y, cv=3)
    by_hand = []
    for held in np.array_split(np.arange(900), 3):
        learnt = np.setdiff1d(np.arange(900), held)
        model = clone(pipeline).fit(frame[learnt], y[learnt])
        by_hand.append(model.score(frame[held], y[held]))
    assert scores.tolist() == by_hand


@pytest.mark.parametrize(
    ("target", "estimator"),
    [
        ("y", "lightgbm"),
        ("y", "sklearn.linear_model.Ridge"),
        ("label", "lightgbm"),
        ("grade", "sklearn.tree.DecisionTreeClassifier"),
    ],
)
def test_a_model_is_one_sklearn_pipeline(target: str, estimator: str) -> None:
    import model_kit

    model = model_kit.trained(target, estimator)
    frame = model_kit.table()
    pipeline = model.pipeline()
    assert isinstance(pipeline, Pipeline)
    assert list(pipeline.named_steps) == ["preparation", "model"]
    expected = model.predict(raw_columns(frame, model.inputs))
    assert pipeline.predict(frame).tolist() == expected
    assert clone(pipeline).predict(frame.to_pandas()).tolist() == expected
    if model.classes:
        assert tuple(pipeline.classes_.tolist()) == model.classes
        probability = pipeline.predict_proba(frame)
        assert probability.tolist() == model.predict_proba(raw_columns(frame, model.inputs))
        assert pipeline.score(frame, np.array(expected)) == 1.0
