"""Model files: what is written comes back the same, and nothing else is ever parsed or run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.base import is_classifier

from local_stack.errors import DamagedError, InputError
from local_stack.preparation import Column, Feature, Preparation
from local_stack.runs.estimators import _classes, sklearn_class
from local_stack.runs.features import raw_columns
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores import model_files, model_guards
from local_stack.stores.model_files import Model

N_ROWS = 240


def table() -> pl.DataFrame:
    generator = np.random.default_rng(8)
    x = generator.normal(size=N_ROWS)
    k = generator.integers(0, 9, N_ROWS)
    word = generator.choice(["a", "b", "[/nope]", "é"], N_ROWS)
    y = 2 * x + (word == "b") * 3 + (k % 3) + generator.normal(scale=0.2, size=N_ROWS)
    return pl.DataFrame(
        {
            "x": [None if i % 13 == 5 else float(v) for i, v in enumerate(x)],
            "k": k,
            "word": [None if i % 17 == 2 else str(w) for i, w in enumerate(word)],
            "flag": y > 0,
            "day": [date(2024, 1, 1) + timedelta(days=i) for i in range(N_ROWS)],
            "y": y,
            "label": np.where(y > 1, "yes", "no"),
            "grade": np.digitize(y, [0, 2, 4]),
        }
    )


def trained(target: str, estimator: str = "lightgbm", **params: Any) -> Model:
    others = [c for c in ("y", "label", "grade") if c != target]
    steps: list[Any] = [
        {"drop": {"columns": others}},
        {"dates": {"columns": ["day"], "parts": ["month", "dayofweek", "elapsed_days"]}},
    ]
    if estimator != "lightgbm":
        steps += [
            {"impute": {"columns": "numeric", "strategy": "median"}},
            {"scale": {"columns": "numeric"}},
            {"encode": {"columns": "categorical", "as": "onehot"}},
        ]
    task = "regression" if target == "y" else "classification"
    value = {"dataset": "t", "target": target, "task": task, "features": steps}
    value |= {"estimator": estimator, "params": params}
    return fit(parse_recipe(value), table()).model


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    logistic = "sklearn.linear_model.LogisticRegression"
    return {
        "booster": trained("y", n_estimators=30, num_leaves=7, min_data_per_group=5),
        "binary": trained("label", n_estimators=10),
        "many": trained("grade", n_estimators=10),
        "net": trained("y", "sklearn.linear_model.ElasticNet", alpha=0.05),
        "logistic": trained("label", logistic, max_iter=500),
        "forest": trained("grade", "sklearn.ensemble.RandomForestClassifier", n_estimators=5),
    }


NAMES = ["booster", "binary", "many", "net", "logistic", "forest"]


def columns_of(model: Model) -> dict[str, Any]:
    return raw_columns(table(), model.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_the_same(models: dict[str, Model], name: str, tmp_path: Path) -> None:
    model = models[name]
    hashes = model_files.save(model, tmp_path / "m", run_id="r1")
    found = model_files.load(tmp_path / "m", hashes)

    data = "model.lgb" if model.kind == "lightgbm" else "model.skops"
    assert set(hashes) == {
        "MLmodel",
        "preparation.json",
        "requirements.txt",
        "python_env.yaml",
        data,
    }
    assert found.record == model.record
    assert found.preparation == model.preparation
    assert found.predict(columns_of(model)) == model.predict(columns_of(model))
    if model.task == "classification":
        assert found.predict_proba(columns_of(model)) == model.predict_proba(columns_of(model))
    again = model_files.save(found, tmp_path / "again", run_id="r1")
    assert again == hashes


@pytest.mark.parametrize("name", NAMES)
def test_one_row_is_predicted_as_many_are(models: dict[str, Model], name: str) -> None:
    model = models[name]
    many = model.predict(columns_of(model))
    one = [model.predict_row(row) for row in table().to_dicts()]

    if name == "net":  # BLAS adds in another order for one row than for many
        assert one == pytest.approx(many, rel=1e-12)
    else:
        assert one == many
    assert {type(value) for value in one} == {type(value) for value in many}
    assert type(one[0]) in (float, str, int)


def test_probabilities_belong_to_the_classes(models: dict[str, Model]) -> None:
    for name in ("binary", "many", "logistic", "forest"):
        model = models[name]
        probability = np.array(model.predict_proba(columns_of(model)))
        assert probability.shape == (N_ROWS, len(model.classes))
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        labels = [model.classes[i] for i in probability.argmax(axis=1)]
        assert labels == model.predict(columns_of(model))
    with pytest.raises(InputError, match="gives no probabilities"):
        models["net"].predict_proba(columns_of(models["net"]))


def test_no_rows_are_no_predictions(models: dict[str, Model]) -> None:
    for model in models.values():
        empty = {column.name: [] for column in model.inputs}
        assert model.predict(empty) == []
        assert model.matrix(empty).shape == (0, len(model.features))


def test_a_missing_value_is_refused_by_name(models: dict[str, Model]) -> None:
    row = {c.name: [None] for c in models["net"].inputs}
    assert isinstance(models["booster"].predict(row)[0], float)
    with pytest.raises(InputError, match="has missing values, and the model takes none"):
        models["net"].predict(row)


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


PATHS = sorted(f"sklearn.{p}.{n}" for p in model_guards.SKLEARN_PACKAGES for n in _classes(p))
PARAMS: dict[str, list[dict[str, Any]]] = {
    "sklearn.neural_network.MLPRegressor": [{"solver": "sgd"}, {"early_stopping": True}],
    "sklearn.neighbors.KNeighborsClassifier": [
        {"metric": "manhattan"},
        {"algorithm": "ball_tree"},
        {"algorithm": "brute"},
        {"metric": "chebyshev"},
        {"p": 3},
    ],
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
        fitted = estimator.fit(matrix, labels if is_classifier(estimator) else numbers)
        model = small(fitted)
        # BLAS may add in another order for an array that lies elsewhere in memory.
        np.testing.assert_allclose(
            model.estimator.predict(matrix), fitted.predict(matrix), rtol=1e-12
        )


# Damage ------------------------------------------------------------------------------------


@pytest.fixture
def stored(models: dict[str, Model], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    folder = tmp_path / "m"
    return folder, model_files.save(models["booster"], folder, run_id="r1")


@pytest.mark.parametrize("name", ["MLmodel", "model.lgb", "preparation.json", "requirements.txt"])
def test_one_flipped_bit_is_refused_before_anything_is_parsed(
    stored: tuple[Path, dict[str, str]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, hashes = stored
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))

    def parsed(*_: Any) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(model_files, "_build", parsed)
    monkeypatch.setattr(json, "loads", parsed)
    with pytest.raises(DamagedError, match=f"the file {name} is not the one that was written"):
        model_files.load(folder, hashes)


def test_extra_missing_and_linked_files_are_refused(stored: tuple[Path, dict[str, str]]) -> None:
    folder, hashes = stored
    (folder / "code.py").write_text("raise SystemExit\n")
    with pytest.raises(DamagedError, match=r"code\.py is extra"):
        model_files.load(folder, hashes)
    with pytest.raises(DamagedError, match=r"code\.py is not part of a model"):
        model_files.load(folder)
    (folder / "code.py").unlink()

    (folder / "MLmodel").rename(folder.parent / "MLmodel")
    with pytest.raises(DamagedError, match="MLmodel is missing"):
        model_files.load(folder, hashes)
    with pytest.raises(DamagedError, match="MLmodel is missing"):
        model_files.load(folder)
    (folder / "MLmodel").symlink_to(folder.parent / "MLmodel")
    with pytest.raises(DamagedError, match="ordinary file"):
        model_files.load(folder, hashes)
    (folder / "MLmodel").unlink()
    os.mkfifo(folder / "MLmodel")
    with pytest.raises(DamagedError, match="ordinary file"):
        model_files.load(folder, hashes)
    with pytest.raises(DamagedError, match="folder cannot be read"):
        model_files.load(folder / "none", hashes)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/paceml-bomb-went-off",)


def rehashed(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("name", ["MLmodel", "model.lgb", "preparation.json"])
def test_a_pickle_is_refused_even_with_its_own_hash(
    stored: tuple[Path, dict[str, str]], name: str
) -> None:
    folder, _ = stored
    (folder / name).write_bytes(pickle.dumps(Bomb()))

    for hashes in (rehashed(folder), None):
        with pytest.raises(DamagedError, match=f"{name} is a pickle"):
            model_files.load(folder, hashes)
    assert not Path("/tmp/paceml-bomb-went-off").exists()


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
    assert not Path("/tmp/paceml-bomb-went-off").exists()


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
            model_files._build(forest.record, forest.preparation, target.getvalue())


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
        model_files._build(model.record, model.preparation, content)


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
        found = model_files._build(model.record, model.preparation, bytes(content))
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
    stored: tuple[Path, dict[str, str]],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(stored[0]), "model.lgb", "1000"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 500


# MLflow ------------------------------------------------------------------------------------

PYFUNC = """
import json, sys, warnings
import numpy as np, polars as pl
warnings.simplefilter("ignore")
import mlflow
frame = pl.read_parquet(sys.argv[2]).to_pandas()
model = mlflow.pyfunc.load_model(sys.argv[1])
found = model.predict(frame)
raw = None
if "lightgbm" in model.metadata.flavors:
    raw = type(mlflow.lightgbm.load_model(sys.argv[1])).__name__
else:
    raw = type(mlflow.sklearn.load_model(sys.argv[1])).__name__
print(json.dumps([np.asarray(found).tolist(), raw, model.metadata.signature.to_dict()]))
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [("booster", "Booster"), ("net", "ElasticNet"), ("logistic", "LogisticRegression")],
)
def test_mlflow_loads_and_predicts_the_same(
    models: dict[str, Model], name: str, kind: str, tmp_path: Path
) -> None:
    model = models[name]
    model_files.save(model, tmp_path / "m", run_id="0" * 32)
    shown = table().select([c.name for c in model.inputs])
    shown = shown.with_columns(pl.col("day").cast(pl.Datetime("us")))
    shown.write_parquet(tmp_path / "rows.parquet")

    done = subprocess.run(
        [sys.executable, "-c", PYFUNC, str(tmp_path / "m"), str(tmp_path / "rows.parquet")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    predicted, raw, signature = json.loads(done.stdout.strip().splitlines()[-1])
    assert predicted == model.predict(columns_of(model))
    assert raw == kind
    inputs = {c["name"]: (c["type"], c["required"]) for c in json.loads(signature["inputs"])}
    assert inputs["x"] == ("double", False)
    assert inputs["k"] == ("long", True)
    assert inputs["day"] == ("datetime", True)


def test_the_mlmodel_file_names_no_code_but_ours(stored: tuple[Path, dict[str, str]]) -> None:
    folder, hashes = stored
    document = yaml.safe_load((folder / "MLmodel").read_text())

    flavour = document["flavors"]["python_function"]
    assert flavour["loader_module"] == "local_stack.stores.model_files"
    assert document["flavors"]["lightgbm"]["data"] == "model.lgb"
    assert document["run_id"] == "r1"
    assert "lightgbm==" in (folder / "requirements.txt").read_text()
    assert hashes == rehashed(folder)
    with pytest.raises(FileExistsError):
        model_files.save(model_files.load(folder), folder, run_id="r1")


def test_saving_and_loading_import_neither_mlflow_nor_pickle_loaders(tmp_path: Path) -> None:
    code = (
        "import sys, local_stack.stores.model_files, local_stack.runs.recipe, "
        "local_stack.runs.fit, local_stack.preparation\n"
        "heavy = {'mlflow', 'sklearn', 'lightgbm', 'numpy', 'pandas', 'polars', 'skops', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
