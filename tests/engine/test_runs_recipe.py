"""Recipe files: what is read, what is refused, and where the error points."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_stack import marked_yaml
from local_stack.errors import InputError, NotFoundError
from local_stack.evaluation.split import Split
from local_stack.preparation.steps import (
    ClipStep,
    DatesStep,
    DropStep,
    EncodeStep,
    ImputeStep,
    ScaleStep,
)
from local_stack.runs.estimators import parameter_names, sklearn_class
from local_stack.runs.recipe import (
    Dimension,
    Recipe,
    Search,
    load_recipe,
    parse_recipe,
    recipe_schema,
)

FULL = """\
experiment: wine-quality
dataset: wine                    # or wine@VERSION
target: quality
task: regression
split: {test: 0.2, seed: 7, stratify: false, group: null, time: null, folds: 5}
features:
  - impute: {columns: numeric, strategy: median}
  - impute: {columns: [colour], strategy: constant, value: unknown}
  - encode: {columns: categorical, as: native}
  - scale: {columns: alcohol, method: robust}
  - clip: {columns: [a, b], lower: 0.01, upper: 0.99}
  - drop: {columns: [id]}
  - dates: {columns: date, parts: [year, hour]}
estimator: lightgbm
params: {n_estimators: 400, learning_rate: 0.05}
search:
  trials: 30
  metric: rmse
  space: {num_leaves: [15, 127], learning_rate: {log: [0.01, 0.3]}, max_bin: {choice: [63, 255]}}
"""


def test_a_full_recipe_is_read() -> None:
    recipe = load_recipe(FULL)

    assert (recipe.experiment, recipe.dataset, recipe.target) == ("wine-quality", "wine", "quality")
    assert recipe.split == Split(0.2, 7, folds=5)
    assert recipe.features == (
        ImputeStep("numeric"),
        ImputeStep(("colour",), "constant", "unknown"),
        EncodeStep("categorical", "native"),
        ScaleStep(("alcohol",), "robust"),
        ClipStep(("a", "b"), 0.01, 0.99),
        DropStep(("id",)),
        DatesStep("date", ("year", "hour")),
    )
    assert recipe.params == {"n_estimators": 400, "learning_rate": 0.05}
    assert recipe.search == Search(
        30,
        "rmse",
        (
            Dimension("learning_rate", "log", (0.01, 0.3)),
            Dimension("max_bin", "choice", (63, 255)),
            Dimension("num_leaves", "range", (15, 127)),
        ),
    )


def test_a_recipe_survives_its_plain_form_and_a_process_boundary() -> None:
    recipe = load_recipe(FULL)

    assert parse_recipe(recipe.to_dict()) == recipe
    assert load_recipe(yaml.safe_dump(recipe.to_dict())) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = recipe_schema()
    assert jsonschema_rs.meta.is_valid(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    validator.validate(marked_yaml.load(FULL)[0])
    validator.validate(load_recipe(FULL).to_dict())
    assert set(schema["properties"]) == {f.name for f in dataclasses.fields(Recipe) if f.compare}
    split = schema["properties"]["split"]["properties"]
    assert list(split) == [field.name for field in dataclasses.fields(Split)]
    for old, new in (("target:", "tarqet:"), ("as: native", "as: natve"), ("test: 0.2", "test: 2")):
        assert not validator.is_valid(marked_yaml.load(FULL.replace(old, new, 1))[0])


def test_what_may_be_left_out() -> None:
    recipe = load_recipe("dataset: wine@3f\n")

    assert recipe.experiment == "wine"
    assert (recipe.target, recipe.task, recipe.split) == (None, None, Split())
    assert (recipe.estimator, recipe.params, recipe.search) == ("lightgbm", {}, None)


@pytest.mark.parametrize(
    ("old", "new", "place", "word"),
    [
        ("target: quality", "tarqet: quality", "line 3", "Did you mean 'target'?"),
        ("test: 0.2", "tset: 0.2", "line 5", "Did you mean 'test'?"),
        ("strategy: median", "strategy: medien", "line 7", "Did you mean 'median'?"),
        ("- scale:", "- scael:", "line 10", "Did you mean 'scale'?"),
        ("as: native", "as: natve", "line 9", "Did you mean 'native'?"),
        ("as: native", "ass: native", "line 9", "Did you mean 'as'?"),
        ("n_estimators: 400", "n_estimatros: 400", "line 15", "Did you mean 'n_estimators'?"),
        ("num_leaves:", "num_leavs:", "line 19", "Did you mean 'num_leaves'?"),
        ("parts: [year,", "parts: [yaer,", "line 13", "Did you mean 'year'?"),
        ("estimator: lightgbm", "estimator: lightgmb", "line 14", "Did you mean 'lightgbm'?"),
        (
            "estimator: lightgbm",
            "estimator: sklearn.linear_model.ElasticNett",
            "line 14",
            "Did you mean 'sklearn.linear_model.ElasticNet'?",
        ),
        ("task: regression", "task: regresion", "line 4", "Did you mean 'regression'?"),
        ("test: 0.2", "test: 1.5", "line 5", "from 0 to 0.95"),
        ("test: 0.2", "test: yes", "line 5", "needs a number, not 'yes'"),
        ("stratify: false", "stratify: no", "line 5", "needs true or false, not 'no'"),
        ("stratify: false, group: null", "stratify: true, group: a", "line 5", "Only one of"),
        ("seed: 7", "seed: 7.5", "line 5", "whole number"),
        ("folds: 5", "folds: 1", "line 5", "from 2 to 100"),
        ("lower: 0.01, upper: 0.99", "lower: 0.99, upper: 0.01", "line 11", "lower"),
        ("log: [0.01, 0.3]", "log: [0, 0.3]", "line 19", "above zero"),
        ("[15, 127]", "[127, 15]", "line 19", "lower number first"),
        (", value: unknown", "", "line 8", "'value'"),
        ("dataset: wine ", "dataset: null ", "", "needs the key 'dataset'"),
        ("learning_rate: 0.05", "learning_rate: {a: 1}", "line 15", "one value or a list"),
    ],
)
def test_an_error_names_the_line_and_the_nearest_word(
    old: str, new: str, place: str, word: str
) -> None:
    assert old in FULL
    with pytest.raises(InputError) as caught:
        load_recipe(FULL.replace(old, new, 1))

    assert place in caught.value.message
    assert word in str(caught.value)


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "a-recipe.yaml"
    path.write_text("dataset: wine\nestimater: lightgbm\n")

    with pytest.raises(InputError, match=r"a-recipe\.yaml, line 2: 'estimater'"):
        load_recipe(path)
    with pytest.raises(NotFoundError, match="no-such"):
        load_recipe(tmp_path / "no-such.yaml")


def test_sets_override_and_are_named_in_errors() -> None:
    sets = {
        "params.learning_rate": "1e-1",
        "split.folds": "null",
        "features.0.impute.strategy": "mean",
        "search": "null",
        "params.extra_trees": "true",
    }
    recipe = load_recipe(FULL, sets)

    assert recipe.params == {"n_estimators": 400, "learning_rate": 0.1, "extra_trees": True}
    assert recipe.split.folds is None
    assert recipe.features[0] == ImputeStep("numeric", "mean")
    assert recipe.search is None
    with pytest.raises(InputError, match=r"--set params\.learnig_rate: 'learnig_rate'"):
        load_recipe(FULL, {"params.learnig_rate": "1"})
    for bad in ("a..b", "", "features.9.impute", "experiment.x", "features.x"):
        with pytest.raises(InputError, match="--set"):
            load_recipe(FULL, {bad: "1"})


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "sklearn.os",
        "sklearn.externals.array_api_compat",
        "sklearn.linear_model.os.system",
        "sklearn.linear_model.BaseEstimator",
        "sklearn.linear_model.sys",
        "sklearn.ensemble.StackingRegressor",
        "sklearn.semi_supervised.SelfTrainingClassifier",
        "sklearn.preprocessing.FunctionTransformer",
        "local_stack.runs.recipe.Recipe",
        "sklearn.",
        "",
    ],
)
def test_only_estimators_are_found_by_path(path: str) -> None:
    with pytest.raises(InputError, match="not an estimator"):
        sklearn_class(path)


def test_parameters_that_touch_files_or_machines_are_not_known() -> None:
    known = parameter_names("lightgbm")

    assert {"n_estimators", "num_iterations", "reg_alpha", "early_stopping_rounds"} <= known
    shut = {"output_model", "input_model", "machines", "forcedsplits_filename", "linear_tree"}
    assert not known & shut
    assert parameter_names("sklearn.linear_model.ElasticNet") >= {"alpha", "l1_ratio"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ("1: a", "line 1: a key must be text"),
        ("? [a]\n: 1", "a key must be text"),
        ("a: !!python/object:os.system x", "line 1: the tag"),
        ("a: !!str 1", "the tag"),
        ("a: &x {b: 1}\nc: {<<: *x}", "merge keys"),
        ("a: &x [*x]", "stands for nothing complete"),
        ("--- 1\n--- 2", "more than one document"),
        ("a: [1", "not valid YAML"),
        ("\x00", "does not allow"),
        ("[" * 100 + "]" * 100, "deeper than 40"),
        ("[" * 100_000, "deeper than 40"),
        ("- 1\n" * 30_000, "more than 20,000 values"),
        ("a: " + "9" * 5_000, None),
        ("a: 1e999", "too long"),
        ("x" * 1_000_001, "larger than"),
    ],
)
def test_yaml_that_is_refused(text: str, words: str | None) -> None:
    if words is None:
        assert isinstance(marked_yaml.load(text)[0], dict)
        return
    with pytest.raises(InputError, match=words):
        marked_yaml.load(text, "f.yaml")


def test_an_alias_bomb_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(InputError, match="more than 20,000 values"):
        marked_yaml.load("\n".join(lines))


def test_scalars_are_those_of_yaml_1_2() -> None:
    value, _ = marked_yaml.load("[yes, on, 1e-3, 0o7, 12:30, 2024-01-31, ~, 'true', true, .5, 7]")

    assert value == ["yes", "on", 0.001, "0o7", "12:30", "2024-01-31", None, "true", True, 0.5, 7]


def test_an_alias_is_a_value_of_its_own() -> None:
    value, lines = marked_yaml.load("a: &x {b: 1}\nc: *x")
    marked_yaml.override(value, lines, {"c.b": "2"})

    assert value == {"a": {"b": 1}, "c": {"b": 2}}
    assert lines.where(("a", "b")) == "text, line 1"
    assert lines.where(("c", "b")) == "--set c.b"


@given(st.text(max_size=200))
def test_any_text_is_a_value_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        marked_yaml.load(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_values)
def test_what_pyyaml_quotes_comes_back(value: object) -> None:
    # JSON style: every text is quoted, so the two schemas agree.
    text = yaml.safe_dump(value, default_style='"', allow_unicode=False)
    text = text.replace('!!int "', '"').replace('!!bool "', '"').replace('!!null "', '"')
    found, _ = marked_yaml.load(text)

    assert _as_text(found) == _as_text(value)


def _as_text(value: object) -> object:
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    words = {None: "null", True: "true", False: "false"}
    is_word = value is None or isinstance(value, bool)
    return words[value] if is_word else str(value)  # type: ignore[index]


@given(
    st.dictionaries(st.sampled_from(["dataset", "split", "features", "params", "task"]), _values)
)
def test_any_mapping_is_a_recipe_or_an_input_error(value: dict[str, object]) -> None:
    with contextlib.suppress(InputError):
        assert parse_recipe(value).dataset == value["dataset"]
