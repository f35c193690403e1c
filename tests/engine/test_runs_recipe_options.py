"""The keys of a recipe about learning and measuring: read, written, refused, and in the schema."""

from __future__ import annotations

import pickle
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.errors import InputError
from local_stack.evaluation.thresholds import METRICS
from local_stack.runs.options import OPTIONS, Bootstrap, Calibrate, EarlyStopping, Threshold
from local_stack.runs.recipe import load_recipe, parse_recipe, recipe_schema

FULL = """\
dataset: wine
split: {time: day, gap: 7d}
weights: importance
class_weight: {"no": 1, "yes": 2.5}
monotone: {alcohol: increasing, age: decreasing}
early_stopping: 50
calibrate: isotonic
threshold: {costs: {false_positive: 1, false_negative: 5}}
metrics: [balanced_accuracy, matthews_corrcoef]
slices: [sex, housing]
bootstrap: {resamples: 200, level: 0.9}
"""


def test_every_key_is_read() -> None:
    recipe = load_recipe(FULL)

    assert recipe.split.gap == "7d"
    assert recipe.weights == "importance"
    assert recipe.class_weight == {"no": 1, "yes": 2.5}
    assert recipe.monotone == {"age": "decreasing", "alcohol": "increasing"}
    assert recipe.early_stopping == EarlyStopping(50, 0.15)
    assert recipe.calibrate == Calibrate("isotonic")
    assert recipe.threshold == Threshold(costs=(1, 5))
    assert recipe.metrics == ("balanced_accuracy", "matthews_corrcoef")
    assert recipe.slices == ("sex", "housing")
    assert recipe.bootstrap == Bootstrap(200, 0.9)
    assert parse_recipe({"dataset": "t", "quantiles": [0.9, 0.1]}).quantiles == (0.1, 0.9)


def test_the_long_forms_are_read() -> None:
    recipe = parse_recipe(
        {
            "dataset": "t",
            "split": {"time": "day", "gap": 7},
            "class_weight": "balanced",
            "early_stopping": {"rounds": 20, "share": 0.3},
            "calibrate": {"method": "sigmoid", "folds": 3},
            "threshold": 0.25,
        }
    )

    assert recipe.split.gap == 7
    assert recipe.class_weight == "balanced"
    assert recipe.early_stopping == EarlyStopping(20, 0.3)
    assert recipe.calibrate == Calibrate("sigmoid", 3)
    assert recipe.threshold == Threshold(value=0.25)


def test_a_recipe_without_them_is_written_as_ever() -> None:
    """Hashes of recipes and the cache of pipelines depend on these words."""
    assert load_recipe("dataset: wine\n").to_dict() == {
        "experiment": "wine",
        "dataset": "wine",
        "split": {
            "test": 0.2,
            "seed": 0,
            "stratify": False,
            "group": None,
            "time": None,
            "folds": None,
        },
        "features": [],
        "estimator": "lightgbm",
        "params": {},
    }


_numbers = st.floats(0, 1, exclude_min=True, exclude_max=True)
_word = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=9)
_costs = st.fixed_dictionaries(
    {"false_positive": st.floats(0.1, 9), "false_negative": st.floats(0, 9)}
)
_valid: dict[str, st.SearchStrategy[Any]] = {
    "weights": _word,
    "class_weight": st.just("balanced")
    | st.dictionaries(_word, st.floats(0, 1e6), min_size=1, max_size=4),
    "monotone": st.dictionaries(_word, st.sampled_from(["increasing", "decreasing"]), max_size=3),
    "early_stopping": st.integers(1, 100_000)
    | st.fixed_dictionaries(
        {"rounds": st.integers(1, 999)},
        optional={"share": st.floats(0.01, 0.9), "refit": st.booleans()},
    ),
    "calibrate": st.sampled_from(["isotonic", "sigmoid"])
    | st.fixed_dictionaries(
        {"method": st.sampled_from(["isotonic", "sigmoid"])}, optional={"folds": st.integers(2, 9)}
    ),
    "threshold": st.floats(0, 1)
    | st.fixed_dictionaries({"metric": st.sampled_from(sorted(METRICS))})
    | st.fixed_dictionaries({"costs": _costs}),
    "quantiles": st.lists(_numbers, min_size=1, max_size=5, unique=True),
    "metrics": st.lists(_word, max_size=3, unique=True),
    "slices": st.lists(_word, max_size=3, unique=True),
    "bootstrap": st.fixed_dictionaries(
        {}, optional={"resamples": st.integers(0, 999), "level": st.floats(0.5, 0.9999)}
    ),
}
VALIDATOR = jsonschema_rs.Draft202012Validator(recipe_schema())


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"dataset": st.just("t")}, optional=_valid))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    recipe = parse_recipe(value)

    VALIDATOR.validate(value)
    VALIDATOR.validate(recipe.to_dict())
    assert parse_recipe(recipe.to_dict()) == recipe
    assert load_recipe(yaml.safe_dump(recipe.to_dict()), check=False) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


_anything = st.recursive(
    st.booleans()
    | st.integers(-3, 200_000)
    | st.floats(0.0001, 0.9999)
    | st.sampled_from(["isotonic", "balanced", "increasing", "f1", "", "7d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rounds", "share", "method", "folds", "metric", "level", "x"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(OPTIONS)), _anything)
def test_the_schema_refuses_what_the_reader_refuses(key: str, content: Any) -> None:
    value = {"dataset": "t", key: content}
    is_read = True
    try:
        parse_recipe(value)
    except InputError:
        is_read = False

    assert VALIDATOR.is_valid(value) == is_read


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("weights: importance", "weigths: a", "line 3: 'weigths'.*Did you mean 'weights'"),
        ("weights: importance", "weights: [a]", "line 3: weights needs a text"),
        ("time: day, gap: 7d", "gap: 7", "line 2: A gap needs the column.*split.time"),
        ("gap: 7d", "gap: 7y", "line 2: split.gap cannot be '7y'.*such as 7d"),
        ("gap: 7d", "gap: 0", "line 2: split.gap needs a whole number from 1"),
        ('"no": 1', '"no": -1', "line 4: class_weight.no needs a number from 0"),
        ('{"no": 1, "yes": 2.5}', "balenced", "line 4.*Did you mean 'balanced'"),
        ('{"no": 1, "yes": 2.5}', "{}", "line 4: class_weight needs at least one class"),
        ('"no": 1', "1: 1", "line 4: a key must be text .put it in quotes"),
        ("age: decreasing", "age: decresing", "line 5: monotone.age.*Did you mean 'decreasing'"),
        ("early_stopping: 50", "early_stopping: 0", "line 6: early_stopping needs a whole number"),
        ("early_stopping: 50", "early_stopping: {share: 0.2}", "line 6.*needs the key 'rounds'"),
        ("early_stopping: 50", "early_stopping: {rounds: 5, refit: 2}", "line 6.*refit needs true"),
        ("isotonic", "isotonik", "line 7: calibrate cannot.*Did you mean 'isotonic'"),
        ("{costs: {false_positive: 1, false_negative: 5}}", "1.5", "line 8.*from 0 to 1"),
        ("{costs: {false_positive: 1, false_negative: 5}}", "{}", "line 8: threshold needs a num"),
        (
            "{costs: {false_positive: 1, false_negative: 5}}",
            "{metric: f11}",
            "line 8: threshold.metric cannot be 'f11'.*Did you mean 'f1'",
        ),
        ("false_positive: 1", "false_positve: 1", "line 8.*Did you mean 'false_positive'"),
        (
            "false_positive: 1, false_negative: 5",
            "false_positive: 0, false_negative: 0",
            "line 8: One of the costs must be above zero",
        ),
        ("metrics: [", "quantiles: [0.5, 1, ", "line 9: quantiles.1 needs a number between"),
        ("[balanced_accuracy, matthews_corrcoef]", "[a, a]", "line 9: metrics holds one name twi"),
        ("slices: [sex, housing]", "slices: sex", "line 10: slices needs a list, not 'sex'"),
        ("level: 0.9", "level: 95", "line 11: bootstrap.level needs a number from 0.5"),
        ("dataset: wine", "dataset: wine\ntask: regression", "class_weight is for a classificat"),
    ],
)
def test_a_wrong_key_is_a_sentence_with_its_line(old: str, new: str, words: str) -> None:
    assert old in FULL
    with pytest.raises(InputError, match=words) as caught:
        load_recipe(FULL.replace(old, new, 1), check=False)

    assert "\n" not in str(caught.value)


def test_quantiles_are_of_a_regression() -> None:
    with pytest.raises(InputError, match="quantiles is for a regression"):
        parse_recipe({"dataset": "t", "task": "classification", "quantiles": [0.5]})


def test_a_machine_with_probabilities_takes_what_its_hint_names() -> None:
    text = "dataset: t\nestimator: sklearn.svm.SVC\ncalibrate: sigmoid\n"
    assert load_recipe(text + "params: {probability: true}\n").calibrate


@pytest.mark.parametrize(
    ("estimator", "more", "words"),
    [
        ("neighbors.KNeighborsRegressor", "weights: w", "cannot be trained with weights.*fit take"),
        ("neighbors.KNeighborsClassifier", "class_weight: balanced", "line 3.*with class_weight"),
        ("linear_model.Ridge", "monotone: {a: increasing}", "with monotone.*no monotonic_cst"),
        ("linear_model.Ridge", "early_stopping: 5", "cannot be trained with early_stopping"),
        ("linear_model.Ridge", "quantiles: [0.5]", "Ridge cannot be trained with quantiles"),
        ("linear_model.RidgeClassifier", "calibrate: isotonic", "gives no probabilities"),
        ("linear_model.RidgeClassifier", "threshold: 0.3", "gives no probabilities"),
        ("svm.SVC", "calibrate: sigmoid", "params: {probability: true}"),
        ("linear_model.SGDClassifier", "threshold: {metric: f1}", "gives no probabilities"),
        (
            "linear_model.LogisticRegression",
            "class_weight: balanced\nparams: {class_weight: balanced}",
            "line 3: class_weight and params.class_weight say the same",
        ),
        ("", "early_stopping: 5\nparams: {n_iter_no_change: 5}", "early_stopping_round say"),
        ("", "monotone: {a: increasing}\nparams: {mc: 1}", "monotone_constraints say the same"),
        (
            "",
            "quantiles: [0.5]\nmonotone: {a: increasing}",
            "line 3: lightgbm cannot keep predicted",
        ),
        ("", "metrics: [r2, balanced_acuracy]", "line 3.*Did you mean 'balanced_accuracy'"),
    ],
)
def test_what_the_estimator_cannot_do_is_said_before_any_work(
    estimator: str, more: str, words: str
) -> None:
    path = f"sklearn.{estimator}" if estimator else "lightgbm"
    with pytest.raises(InputError, match=words) as caught:
        load_recipe(f"dataset: t\nestimator: {path}\n{more}\n")

    assert "\n" not in str(caught.value)
