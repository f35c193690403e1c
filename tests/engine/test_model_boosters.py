"""Stored boosters of XGBoost and CatBoost: their files, what MLflow makes of them, and damage."""

from __future__ import annotations

import copy
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from model_kit import rehashed, table, trained

from local_stack.errors import DamagedError, InputError
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores import model_files
from local_stack.stores.boosters import LIBRARIES
from local_stack.stores.boosters.documents import canonical
from local_stack.stores.model_files import Model

BOTH = ("xgboost", "catboost")
MORE: dict[str, dict[str, Any]] = {
    "xgboost": {"max_depth": 3},
    "catboost": {"max_depth": 3, "learning_rate": 0.3},
}


@functools.cache
def model_of(kind: str, target: str, **params: Any) -> Model:
    return trained(target, kind, n_estimators=6, **(MORE[kind] | params))


def columns_of(model: Model) -> dict[str, Any]:
    shown = table().select([column.name for column in model.inputs])
    return model.preparation.validate({name: shown[name].to_list() for name in shown.columns})


# Files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["y", "label", "grade"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_saved_booster_predicts_the_same_bits(kind: str, target: str, tmp_path: Path) -> None:
    model = model_of(kind, target)
    hashes = model_files.save(model, tmp_path / "m", run_id="0" * 32)
    again = model_files.load(tmp_path / "m", hashes)
    columns = columns_of(model)

    assert again.content == model.content
    assert again.predict(columns) == model.predict(columns)
    if target != "y":
        assert again.predict_proba(columns) == model.predict_proba(columns)
    assert f"model.{kind}.json" in hashes
    assert not any(b"\x80" in path.read_bytes()[:2] for path in (tmp_path / "m").iterdir())
    flavours = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())["flavors"]
    assert set(flavours) == {"python_function", kind}
    pins = (tmp_path / "m" / "requirements.txt").read_text().splitlines()
    assert any(line.startswith((f"{kind}==", f"{kind}-cpu==")) for line in pins)


@pytest.mark.parametrize("kind", BOTH)
def test_quantiles_have_files_of_their_own(kind: str, tmp_path: Path) -> None:
    value = {"dataset": "t", "target": "y", "estimator": kind, "quantiles": [0.1, 0.9]}
    features = [{"drop": {"columns": ["label", "grade", "flag", "day"]}}]
    value |= {"features": features, "params": {"n_estimators": 5, **MORE[kind]}}
    model = fit(parse_recipe(value, check=True), table()).model
    hashes = model_files.save(model, tmp_path / "m", run_id="0" * 32)
    again = model_files.load(tmp_path / "m", hashes)

    assert {f"model_q0.1.{kind}.json", f"model_q0.9.{kind}.json"} < set(hashes)
    columns = columns_of(model)
    assert again.predict_quantiles(columns) == model.predict_quantiles(columns)
    (tmp_path / "m" / f"model_q0.5.{kind}.json").write_bytes(model.content)
    with pytest.raises(DamagedError, match="quantiles that its record does not name"):
        model_files.load(tmp_path / "m", rehashed(tmp_path / "m"))


@pytest.mark.parametrize("kind", BOTH)
def test_a_model_whose_library_is_not_there_is_a_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = model_files.save(model_of(kind, "y"), tmp_path / "m", run_id="0" * 32)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(InputError, match=f"{kind} is not installed"):
        model_files.load(tmp_path / "m", hashes)


# Damage ------------------------------------------------------------------------------------


def damaged(model: Model, change: Callable[[Any], Any]) -> bytes:
    document = json.loads(model.content)
    change(document)
    return canonical(document)


def tree(document: Any) -> Any:
    if "learner" in document:
        return document["learner"]["gradient_booster"]["model"]["trees"][0]
    return document["oblivious_trees"][0]


def at(key: str, value: Any) -> Callable[[Any], Any]:
    """Put a value into the first place of a list of the first tree."""
    return lambda document: tree(document)[key].__setitem__(0, value)


def learner(*path: str, value: Any) -> Callable[[Any], Any]:
    def change(document: Any) -> None:
        inner = document["learner"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def ctr(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda document: change(next(iter(document["ctr_data"].values())))


NOT_THERE, NOWHERE, ELSE = "column that is not there", "leads nowhere", "something else than"
BREAKS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("xgboost", at("left_children", 9999), NOWHERE),
    ("xgboost", at("left_children", 0), NOWHERE),
    ("xgboost", at("right_children", -7), NOWHERE),
    ("xgboost", at("right_children", 1), NOWHERE),
    ("xgboost", at("left_children", 1.0), ELSE),
    ("xgboost", at("split_indices", 77), NOT_THERE),
    ("xgboost", at("split_type", 1), "categories that are not there|cut short"),
    ("xgboost", at("parents", 5000), NOWHERE),
    ("xgboost", lambda d: tree(d)["parents"].__setitem__(-1, 2**31 - 1), NOWHERE),
    ("xgboost", at("base_weights", "1"), ELSE),
    ("xgboost", at("sum_hessian", float("nan")), ELSE),
    ("xgboost", lambda d: tree(d)["split_conditions"].pop(), "cut short"),
    ("xgboost", lambda d: tree(d)["split_conditions"].__setitem__(-1, 1e999), "not a number"),
    ("xgboost", lambda d: tree(d)["tree_param"].update(num_nodes="3"), "unknown kind"),
    ("xgboost", lambda d: tree(d)["tree_param"].update(size_leaf_vector="2"), "unknown kind"),
    ("xgboost", learner("learner_model_param", "num_feature", value="99"), "number of features"),
    ("xgboost", learner("learner_model_param", "num_class", value="3"), "number of classes"),
    ("xgboost", learner("learner_model_param", "base_score", value="[1,2]"), ELSE),
    ("xgboost", learner("gradient_booster", "name", value="gblinear"), ELSE),
    ("xgboost", learner("attributes", value={"a": "b"}), ELSE),
    ("xgboost", learner("objective", "name", value="x\n"), ELSE),
    (
        "xgboost",
        learner("gradient_booster", "model", "tree_info", value=[7] * 6),
        NOWHERE,
    ),
    ("xgboost", lambda d: d["learner"]["gradient_booster"]["model"]["trees"].pop(), "missing"),
    ("catboost", lambda d: tree(d)["splits"][0].update(split_index=10**6), NOWHERE),
    ("catboost", lambda d: tree(d)["splits"][0].update(split_index=-1), NOWHERE),
    ("catboost", lambda d: tree(d)["splits"].append(tree(d)["splits"][0]), "cut short"),
    ("catboost", at("leaf_values", "x"), ELSE),
    ("catboost", at("leaf_values", 1e999), ELSE),
    ("catboost", lambda d: d.update(trees=[]), "missing"),
    ("catboost", lambda d: d.update(scale_and_bias=[1, [0, 0]]), "cut short"),
    (
        "catboost",
        lambda d: d["features_info"]["float_features"][0].update(flat_feature_index=99),
        "number of features",
    ),
    ("catboost", lambda d: d["features_info"]["float_features"].pop(), "number of features"),
    (
        "catboost",
        lambda d: d["features_info"]["float_features"][0].update(borders=[1.0, 0.5]),
        "not in order",
    ),
    ("catboost", ctr(lambda c: c.update(hash_stride=0)), NOWHERE),
    ("catboost", ctr(lambda c: c.update(hash_stride=7)), "cut short|unknown kind|numbers|else"),
    ("catboost", ctr(lambda c: c["hash_map"].pop()), "cut short"),
    ("catboost", ctr(lambda c: c["hash_map"].__setitem__(0, str(2**64))), "damaged"),
    ("catboost", lambda d: d["features_info"]["ctrs"][0].update(target_border_idx=9), NOWHERE),
    (
        "catboost",
        lambda d: d["features_info"]["ctrs"][0].update(ctr_type="FeatureFreq"),
        "unknown kind",
    ),
    ("catboost", lambda d: d["features_info"]["ctrs"].clear(), "not those it uses"),
    (
        "catboost",
        lambda d: d["model_info"]["params"]["flat_params"].update(train_dir="/etc/passwd"),
        ELSE,
    ),
]


@pytest.mark.parametrize(("kind", "change", "words"), BREAKS)
def test_documents_are_checked_before_they_are_parsed(
    kind: str, change: Callable[[Any], Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(kind, "y")
    content = damaged(model, change)
    assert content != model.content

    def parsed(*_: Any) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(LIBRARIES[kind], "parse", parsed)
    with pytest.raises(DamagedError, match=words):
        model_files.built(model.record, model.preparation, content)


@pytest.mark.parametrize("kind", BOTH)
def test_only_one_form_of_a_document_is_read(kind: str) -> None:
    model = model_of(kind, "y")
    document = json.loads(model.content)
    first = next(iter(document))
    doubled = b'{"' + first.encode() + b'":1,' + model.content[1:]
    spaced = json.dumps(document, sort_keys=True).encode()
    for content in (doubled, spaced, model.content + b"\n", b"\xef\xbb\xbf" + model.content):
        with pytest.raises(DamagedError):
            model_files.built(model.record, model.preparation, content)
    deep = canonical({"learner": functools.reduce(lambda a, _: [a], range(400), [])})
    for content in (b"[" * 100_000, deep, b"{}", b"", b"null", b"[]", b"9" * 5_000):
        with pytest.raises(DamagedError):
            model_files.built(model.record, model.preparation, content)


FUZZ = """
import copy, json, random, sys, warnings
from pathlib import Path
from local_stack.errors import DamagedError
from local_stack.stores import model_files
from local_stack.stores.boosters.documents import canonical
warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
kind = sys.argv[2]
model = model_files.load(folder)
whole = json.loads((folder / f"model.{kind}.json").read_bytes())
rng = random.Random(4)
row = {c.name: None for c in model.inputs}
VALUES = [0, 1, -1, 2, 7, 2**31 - 1, -2**31, 2**63, 1.5, -3e38, 1e39, "", "x", "0", "-1",
          "18446744073709551615", [], {}, None, True, [0], [[]]]

def places(node, found):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        found.append((node, key))
        if isinstance(value, (dict, list)) and value:
            places(value, found)
    return found

refused = read = 0
for n in range(int(sys.argv[3])):
    document = copy.deepcopy(whole)
    for _ in range(rng.randint(1, 2)):
        node, key = rng.choice(places(document, []))
        if rng.random() < 0.15:
            del node[key]
        elif rng.random() < 0.3 and type(node[key]) in (int, float):
            node[key] += rng.choice([1, -1, 2])
        else:
            node[key] = rng.choice(VALUES)
    try:
        found = model_files.built(model.record, model.preparation, canonical(document))
        read += 1
        found.outputs(found.preparation.compile().matrix({k: [v] for k, v in row.items()}))
        found.predict_row(row)
    except DamagedError:
        refused += 1
    except ValueError:
        pass
    except Exception as error:
        if type(error).__name__ not in ("CatBoostError", "XGBoostError"):
            raise
print(refused, read)
"""


@pytest.mark.parametrize(
    ("kind", "target", "n_times"),
    [
        ("xgboost", "y", 200),
        ("catboost", "label", 200),
        pytest.param("xgboost", "grade", 10_000, marks=pytest.mark.slow),
        pytest.param("catboost", "grade", 10_000, marks=pytest.mark.slow),
    ],
)
def test_damaged_documents_never_crash_the_process(
    kind: str, target: str, n_times: int, tmp_path: Path
) -> None:
    model_files.save(model_of(kind, target), tmp_path / "m", run_id="r")
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path / "m"), kind, str(n_times)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    refused, read = map(int, done.stdout.split())
    assert refused > n_times / 3
    assert read > n_times / 30


# MLflow ------------------------------------------------------------------------------------

NATIVE = """
import json, sys, warnings
import numpy as np, polars as pl
warnings.simplefilter("ignore")
import mlflow
folder, rows, matrix, kind = sys.argv[1:]
model = mlflow.pyfunc.load_model(folder)
found = np.asarray(model.predict(pl.read_parquet(rows).to_pandas())).tolist()
matrix = np.load(matrix)
if kind == "xgboost":
    import mlflow.xgboost, xgboost
    native = mlflow.xgboost.load_model(folder)
    own = native.inplace_predict(matrix, validate_features=False)
else:
    import mlflow.catboost
    native = mlflow.catboost.load_model(folder)
    own = native.predict([
        [int(v) if i in native.get_cat_feature_indices() else v for i, v in enumerate(row)]
        for row in np.where(np.isnan(matrix) & np.isin(
            np.arange(matrix.shape[1]), native.get_cat_feature_indices()), -1, matrix).tolist()
    ])
print(json.dumps([found, np.asarray(own).astype(float).tolist(), type(native).__name__]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("target", ["y", "label"])
@pytest.mark.parametrize("kind", BOTH)
def test_mlflow_loads_it_by_its_own_flavour(kind: str, target: str, tmp_path: Path) -> None:
    model = model_of(kind, target)
    model_files.save(model, tmp_path / "m", run_id="0" * 32)
    shown = table().select([c.name for c in model.inputs])
    shown = shown.with_columns(pl.col("day").cast(pl.Datetime("us")))
    shown.write_parquet(tmp_path / "rows.parquet")
    columns = columns_of(model)
    matrix = model.matrix(columns)
    np.save(tmp_path / "matrix.npy", matrix)
    paths = [str(tmp_path / name) for name in ("m", "rows.parquet", "matrix.npy")]
    done = subprocess.run(
        [sys.executable, "-c", NATIVE, *paths, kind],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    found, own, name = json.loads(done.stdout.strip().splitlines()[-1])
    assert found == model.predict(columns)
    is_number = target == "y"
    known = {"xgboost": "Booster", "catboost": "CatBoostRegressor"}
    assert name == (known[kind] if is_number or kind == "xgboost" else "CatBoostClassifier")
    if is_number:
        np.testing.assert_allclose(own, model.outputs(matrix), rtol=1e-12)
    elif kind == "xgboost":
        assert own == model.probabilities(matrix)[:, 1].tolist()
    else:
        assert own == model.outputs(matrix).tolist()


def test_the_documents_of_the_tests_have_what_is_broken() -> None:
    """Categories by sets of XGBoost, and statistics of categories of CatBoost."""
    trees = json.loads(model_of("xgboost", "y").content)
    splits = [it["split_type"] for it in trees["learner"]["gradient_booster"]["model"]["trees"]]
    assert any(any(it) for it in splits)
    assert json.loads(model_of("catboost", "y").content)["ctr_data"]
    assert copy.deepcopy(splits) == splits
