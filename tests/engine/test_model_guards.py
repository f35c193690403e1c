"""Guards of model files: what a foreign parser never gets to see."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_kit import BOMBED, Bomb, rehashed, trained_models
from sklearn.base import is_classifier
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from local_stack.errors import DamagedError
from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.runs.estimators import classes_in, sklearn_class
from local_stack.stores import model_files, model_guards
from local_stack.stores.model_files import Model


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return trained_models()


def small(estimator: Any) -> Model:
    columns = tuple(Column(name, "double") for name in "abc")
    preparation = Preparation(columns, tuple(Feature(c.name, c.name) for c in columns))
    is_label = is_classifier(estimator)
    return model_files.from_estimator(
        estimator,
        preparation,
        task="classification" if is_label else "regression",
        target="y",
        classes=("no", "yes") if is_label else (),
    )


PATHS = sorted(f"sklearn.{p}.{n}" for p in model_guards.SKLEARN_PACKAGES for n in classes_in(p))
PARAMS: dict[str, list[dict[str, Any]]] = {
    "sklearn.neural_network.MLPRegressor": [{"solver": "sgd"}, {"early_stopping": True}],
    "sklearn.neighbors.KNeighborsClassifier": [
        {"metric": "manhattan"},
        {"algorithm": "ball_tree"},
        {"algorithm": "brute"},
        {"metric": "chebyshev"},
        {"p": 3},
    ],
    "sklearn.ensemble.BaggingClassifier": [{"n_estimators": 3, "max_features": 0.5}],
    "sklearn.ensemble.BaggingRegressor": [{"n_estimators": 3, "bootstrap_features": True}],
    "sklearn.ensemble.GradientBoostingRegressor": [{"loss": "huber"}, {"loss": "quantile"}],
    "sklearn.ensemble.GradientBoostingClassifier": [{"loss": "exponential"}],
    "sklearn.ensemble.HistGradientBoostingRegressor": [
        {"loss": "poisson"},
        {"loss": "gamma"},
        {"loss": "quantile", "quantile": 0.5},
        {"loss": "absolute_error"},
    ],
    "sklearn.linear_model.TweedieRegressor": [{"power": 1.5}, {"power": 3, "link": "log"}],
    "sklearn.linear_model.SGDClassifier": [
        {"loss": loss} for loss in ("log_loss", "modified_huber", "squared_hinge", "perceptron")
    ],
    "sklearn.linear_model.SGDRegressor": [{"loss": "huber"}, {"loss": "epsilon_insensitive"}],
    "sklearn.svm.SVC": [{"kernel": "poly"}, {"probability": False}],
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_that_can_be_trained_can_be_stored(path: str) -> None:
    generator = np.random.default_rng(0)
    matrix = np.abs(generator.normal(size=(60, 3)))
    numbers = matrix[:, 0] + 0.1
    labels = (matrix[:, 0] > np.median(matrix[:, 0])).astype(int)
    for params in [{}, *PARAMS.get(path, [])]:
        estimator = sklearn_class(path)(**params)
        if hasattr(estimator, "max_bins"):
            estimator.set_params(max_iter=5)
        fitted = estimator.fit(matrix, labels if is_classifier(estimator) else numbers)
        model = small(fitted)
        # BLAS may add in another order for an array that lies elsewhere in memory.
        np.testing.assert_allclose(
            model.estimator.predict(matrix), fitted.predict(matrix), rtol=1e-12
        )


def skops_with(schema: Any, **members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return target.getvalue()


def named(module: str, kind: str, loader: str = "ObjectNode", **more: Any) -> dict[str, Any]:
    return {"__module__": module, "__class__": kind, "__loader__": loader, "__id__": 1, **more}


OBJECT_ARRAY = io.BytesIO()
np.save(OBJECT_ARRAY, np.array([Bomb()], dtype=object), allow_pickle=True)
ROOT = named("sklearn.linear_model._base", "LinearRegression", protocol=2)
EVIL: list[tuple[bytes, str]] = [
    (skops_with({**ROOT, "content": named("posix", "system", "FunctionNode")}), "FunctionNode"),
    (skops_with({**ROOT, "content": named("os", "system", "TypeNode")}), "os.system"),
    (skops_with({**ROOT, "content": named("builtins", "eval", "TypeNode")}), "builtins.eval"),
    (skops_with({**ROOT, "content": named("operator", "call", "OperatorFuncNode")}), "Operator"),
    (skops_with({**ROOT, "content": named("sklearn.utils", "x", "MethodNode")}), "MethodNode"),
    (skops_with({**ROOT, "content": named("functools", "partial", "PartialNode")}), "PartialNode"),
    (skops_with({**ROOT, "content": named("subprocess", "Popen")}), "subprocess.Popen"),
    (skops_with({**ROOT, "content": named("sklearn.linear_models", "x")}), "sklearn.linear_models"),
    (skops_with(named("builtins", "dict", "DictNode")), "does not hold an estimator"),
    (skops_with({**ROOT, "content": "a"}, a__pkl=b"x"), "neither schema nor array"),
    (skops_with({**ROOT, "content": "a"}, a__npy=OBJECT_ARRAY.getvalue()), "cannot be read"),
    (skops_with([]), "cannot be read"),
    (skops_with({**ROOT, "content": named("sklearn.svm", "SVC"), "protocol": 999}), "cannot be"),
    (b"PK\x03\x04", "cannot be read"),
    (b"", "cannot be read"),
]


@pytest.mark.parametrize(("content", "words"), EVIL, ids=[words for _, words in EVIL])
def test_skops_files_that_do_more_than_hold_a_model_are_refused(
    models: dict[str, Model], tmp_path: Path, content: bytes, words: str
) -> None:
    model_files.save(models["net"], tmp_path / "m", run_id="r")
    (tmp_path / "m" / "model.skops").write_bytes(content)

    with pytest.raises(DamagedError) as caught:
        model_files.load(tmp_path / "m", rehashed(tmp_path / "m"))
    assert words in caught.value.message
    assert not BOMBED.exists()


def test_a_zip_bomb_is_refused(
    models: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_files.save(models["net"], tmp_path / "m", run_id="r")
    monkeypatch.setattr(model_guards, "MAX_UNPACKED", 1_000)

    with pytest.raises(DamagedError, match="unpacked it is larger"):
        model_files.load(tmp_path / "m")


def test_a_tree_that_leads_out_of_bounds_is_refused(models: dict[str, Model]) -> None:
    forest = models["forest"]
    source = zipfile.ZipFile(io.BytesIO(forest.content))
    for field, value, words in [
        ("left_child", 10**6, "leads nowhere"),
        ("right_child", 0, "leads nowhere"),
        ("feature", 99, "column that is not there"),
        ("feature", -7, "column that is not there"),
    ]:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name in source.namelist():
                content = source.read(name)
                if name.endswith(".npy"):
                    array = np.load(io.BytesIO(content), allow_pickle=False)
                    if "left_child" in (array.dtype.names or ()):
                        array[field][0] = value
                        changed = io.BytesIO()
                        np.save(changed, array)
                        content = changed.getvalue()
                archive.writestr(name, content)
        with pytest.raises(DamagedError, match=words):
            model_files.built(forest.record, forest.preparation, target.getvalue())


BREAKS = [
    (b"\nleft_child=1 ", b"\nleft_child=9999 ", "leads nowhere"),
    (b"\nleft_child=1 ", b"\nleft_child=0 ", "leads nowhere"),
    (b"\nsplit_feature=0 ", b"\nsplit_feature=77 ", "column that is not there"),
    (b"max_feature_idx=", b"max_feature_idx=1", "number of features"),
    (b"num_class=1", b"num_class=3", "number of classes"),
    (b"version=v4", b"version=v9", "version 4"),
    (b"\nis_linear=0", b"\nis_linear=1", "unknown kind"),
    (b"end of trees", b"end of tree", "end is missing"),
    (b"tree_sizes=", b"tree_sizes=9", "cut short|not where|unknown kind"),
    (b"Tree=1\n", b"Tree=2\n", "not where"),
]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([[0, 3], [0, 1]], "column that is not there"),
        ([[0, -1], [0, 1]], "column that is not there"),
        ([[0.0, 1.0], [0, 1]], "column that is not there"),
        ([[0], [0, 1]], "column that is not there"),
        ([[0, 1, 2], [0, 1]], "column that is not there"),
        ([[0, 1]], "members are not those"),
    ],
)
def test_a_bagging_whose_members_read_other_columns_is_refused(columns: Any, words: str) -> None:
    matrix = np.arange(60.0).reshape(20, 3)
    bagging = BaggingRegressor(n_estimators=2, max_features=2, random_state=0)
    fitted = bagging.fit(matrix, matrix[:, 0])
    small(fitted)
    fitted.estimators_features_ = [np.array(it) for it in columns]
    with pytest.raises(DamagedError, match=words):
        small(fitted)


def test_a_forest_that_calls_itself_a_bagging_is_read_as_what_it_is() -> None:
    matrix = np.arange(80.0).reshape(20, 4)
    tree = DecisionTreeRegressor().fit(matrix, matrix[:, 3])
    forest = RandomForestRegressor(n_estimators=1).fit(matrix[:, :3], matrix[:, 0])
    forest.estimators_ = [tree]
    forest.estimators_features_ = [np.array([0, 1, 2, 0])]
    with pytest.raises(DamagedError, match="column that is not there"):
        small(forest)


@pytest.mark.parametrize(("old", "new", "words"), BREAKS)
def test_lightgbm_texts_are_checked_before_they_are_parsed(
    models: dict[str, Model], old: bytes, new: bytes, words: str
) -> None:
    model = models["booster"]
    head, _, rest = model.content.partition(b"tree_sizes=")
    sizes, _, trees = rest.partition(b"\n")
    content = model.content.replace(old, new, 1)
    assert content != model.content
    if trees.replace(old, new, 1) != trees:  # keep the header true, so that the tree is reached
        first, *more = sizes.split()
        grown = int(first) + len(new) - len(old) if old in trees[: int(first)] else int(first)
        sizes = b" ".join([str(grown).encode(), *more])
        content = head + b"tree_sizes=" + sizes + b"\n" + trees.replace(old, new, 1)

    with pytest.raises(DamagedError, match=words):
        model_files.built(model.record, model.preparation, content)


FUZZ = """
import random, sys
from pathlib import Path
from local_stack.errors import DamagedError
from local_stack.stores import model_files
folder = Path(sys.argv[1])
name = sys.argv[2]
model = model_files.load(folder)
whole = (folder / name).read_bytes()
rng = random.Random(4)
row = {c.name: None for c in model.inputs}
refused = 0
for n in range(int(sys.argv[3])):
    content = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        kind = rng.randrange(3)
        if kind == 0:
            content[place] = rng.choice(b"0123456789-= \\n.eE")
        elif kind == 1:
            del content[place : place + rng.randint(1, 40)]
        else:
            content[place:place] = rng.choice([b"9", b"-1 ", b"99999999999 ", b"nan ", b"\\n"])
    try:
        found = model_files.built(model.record, model.preparation, bytes(content))
        found.outputs(found.preparation.compile().matrix({k: [v] for k, v in row.items()}))
        found.predict_row(row) if found.preparation.accepts_missing else None
    except DamagedError:
        refused += 1
    except Exception as error:
        if type(error).__name__ not in ("ValueError", "LightGBMError"):
            raise
print(refused)
"""


def test_damaged_lightgbm_texts_never_crash_the_process(
    models: dict[str, Model], tmp_path: Path
) -> None:
    model_files.save(models["booster"], tmp_path / "m", run_id="r")
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path / "m"), "model.lgb", "1000"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 500


def parting(n_rows: int = 400) -> Model:
    """Return a booster that parts rows without a value from all others."""
    import lightgbm

    draw = np.random.default_rng(3)
    matrix = draw.normal(size=(n_rows, 2))
    matrix[draw.random(n_rows) < 0.3, 0] = np.nan
    truth = np.isnan(matrix[:, 0]) * 5.0 + matrix[:, 1]
    model_files.silence_lightgbm()
    params = {"verbosity": -1, "num_leaves": 8, "seed": 1}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, truth), 5)
    columns = tuple(Column(name, "double", nullable=True) for name in "ab")
    features = tuple(Feature(c.name, c.name) for c in columns)
    preparation = Preparation(columns, features, accepts_missing=True)
    return model_files.from_booster(booster, preparation, task="regression", target="y")


def test_a_split_that_parts_missing_values_from_all_others_is_stored(tmp_path):
    model = parting()
    thresholds = [line for line in model.content.split(b"\n") if line.startswith(b"threshold=")]
    assert any(b"inf" in line for line in thresholds), "no split stands at infinity"
    hashes = model_files.save(model, tmp_path / "model", run_id="0" * 32)
    again = model_files.load(tmp_path / "model", hashes)
    rows = [{"a": np.nan, "b": 0.5}, {"a": 1e308, "b": 0.5}, {"a": -3.0, "b": -1.0}]
    columns = {name: np.array([row[name] for row in rows]) for name in "ab"}
    expected = model.predict(columns)
    assert again.predict(columns) == expected
    assert [again.predict_row(row) for row in rows] == expected
    assert expected[0] - expected[1] > 2


@pytest.mark.parametrize("word", ["-inf", "nan", "infinity", "inf inf", "1inf"])
def test_no_other_word_stands_in_a_threshold(word):
    model = parting()
    content = re.sub(rb"(?<=[= ])inf(?=[ \n])", word.encode(), model.content)
    assert content != model.content
    with pytest.raises(DamagedError):
        model_guards.check_booster(content, 2, 1)
