"""Model files: what is written comes back the same, and nothing else is ever parsed or run."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from model_kit import BOMBED, N_ROWS, Bomb, rehashed, table, trained_models

from local_stack.errors import DamagedError, InputError
from local_stack.preparation.fitting import raw_columns
from local_stack.stores import model_files
from local_stack.stores.model_files import Model


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return trained_models()


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

    monkeypatch.setattr(model_files, "built", parsed)
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


@pytest.mark.parametrize("name", ["MLmodel", "model.lgb", "preparation.json"])
def test_a_pickle_is_refused_even_with_its_own_hash(
    stored: tuple[Path, dict[str, str]], name: str
) -> None:
    folder, _ = stored
    (folder / name).write_bytes(pickle.dumps(Bomb()))

    for hashes in (rehashed(folder), None):
        with pytest.raises(DamagedError, match=f"{name} is a pickle"):
            model_files.load(folder, hashes)
    assert not BOMBED.exists()


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
    [
        ("booster", "Booster"),
        pytest.param("net", "ElasticNet", marks=pytest.mark.slow),
        pytest.param("logistic", "LogisticRegression", marks=pytest.mark.slow),
    ],
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
