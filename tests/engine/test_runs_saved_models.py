"""The models of runs, ours and those of others: their formats, and that none of these is loaded."""

from __future__ import annotations

import shutil
import sys
from functools import partial

import pytest
from run_store_kit import put_experiment, put_run, run_id

from local_stack import registry
from local_stack.errors import InputError, NotFoundError
from local_stack.explain.row import row as explain_row
from local_stack.runs import records
from local_stack.workspace import Workspace

PICKLED = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}
CASES = {
    "sklearn": (
        {
            "python_function": PICKLED,
            "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"},
        },
        "pickle",
        "skops",
    ),
    "old": ({"sklearn": {"pickled_model": "model.pkl"}}, "pickle", "skops"),
    "function": (
        {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "x.pkl"}},
        "pickle",
        "runs train",
    ),
    "booster": (
        {"lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}},
        "LightGBM text",
        "runs train",
    ),
    "wrapped booster": ({"lightgbm": {"data": "model.pkl"}}, "pickle", "booster_.save_model"),
    "skops": (
        {"sklearn": {"pickled_model": "m.skops", "serialization_format": "skops"}},
        "skops",
        "runs train",
    ),
    "onnx": ({"onnx": {"data": "model.onnx"}}, "ONNX", "runs train"),
    "torch": ({"pytorch": {"model_data": "data", "pickled_model": "a.pth"}}, "pickle", "code"),
    "strange": ({"prophet": {}}, "unknown", "runs train"),
}


@pytest.fixture
def workspace(tmp_path):
    with Workspace.create(tmp_path / "ws", actor="tester") as workspace:
        put_experiment(workspace.root / "mlruns")
        yield workspace


def _put(workspace: Workspace, number: int, text: str | bytes, name: str = "model") -> str:
    run = put_run(workspace.root / "mlruns", run_id(number))
    folder = run / "artifacts" / name
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(text.encode() if isinstance(text, str) else text)
    return run_id(number)


@pytest.mark.parametrize("case", CASES)
def test_the_format_of_a_model_of_others_is_told(workspace, case):
    import yaml

    flavors, expected, advice = CASES[case]
    run = _put(workspace, 1, yaml.safe_dump({"flavors": flavors}))
    (found,) = records.show(workspace, run).models
    assert (found.path, found.format, found.is_loadable) == ("model", expected, False)
    assert found.flavors == tuple(sorted(flavors))
    assert advice in found.advice
    asked = [
        partial(registry.register, workspace, "wine"),
        partial(explain_row, workspace, index=0),
    ]
    for verb in asked:
        with pytest.raises(InputError) as refused:
            verb(run)
        assert advice in refused.value.hint
        assert "runs train" in refused.value.hint


BROKEN = {
    "empty": "",
    "no mapping": "- 1\n- 2\n",
    "no flavours": "run_id: x\n",
    "flavours are a list": "flavors: [sklearn]\n",
    "a flavour is a text": "flavors: {sklearn: text}\n",
    "code": "!!python/object/apply:os.system ['touch broken']\n",
    "deep": "[" * 5_000,
    "binary": b"\x00\xff\xfe",
    "huge": "flavors: {}\n" + "#" * 1_100_000,
    "bomb": "a: &a [x,x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1 if n else ''},*a{n - 1 if n else ''}]\n" for n in range(30))
    + "flavors: *a29\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_mlmodel_is_listed_as_unknown(workspace, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = records.show(workspace, _put(workspace, 1, BROKEN[case])).models
    assert (found.format, found.is_loadable) == ("unknown", False)
    assert "MLmodel" in found.advice
    assert not (tmp_path / "broken").exists()


def test_an_mlmodel_that_is_a_link_or_no_file_is_not_followed(workspace, tmp_path):
    outside = tmp_path / "MLmodel"
    outside.write_text("flavors: {onnx: {data: model.onnx}}\n")
    run = _put(workspace, 1, "x")
    place = workspace.root / "mlruns" / "1" / run / "artifacts" / "model" / "MLmodel"
    place.unlink()
    place.symlink_to(outside)
    assert all(it.format == "unknown" for it in records.show(workspace, run).models)


def test_a_logged_model_lies_beside_the_runs(shared_data, tmp_path):
    source = shared_data / "mlruns" / "v3_2_elasticnetwine_loggedmodels"
    shutil.copytree(source, tmp_path / "mlruns")
    with Workspace.create(
        tmp_path / "ws", actor="tester", tracking_uri=str(tmp_path / "mlruns")
    ) as workspace:
        found = [
            model
            for run in records.search(workspace, limit=0)
            for model in records.show(workspace, run.run_id).models
        ]
    assert len(found) == 4
    assert {model.format for model in found} == {"pickle"}
    assert all(model.flavors == ("python_function", "sklearn") for model in found)


def test_of_a_run_without_a_model_it_is_told_what_to_take(workspace):
    mlruns = workspace.root / "mlruns"
    study = "7" * 32
    trial = put_run(mlruns, run_id(1))
    (trial / "tags" / "paceml.trial").write_text("3")
    (trial / "tags" / "mlflow.parentRunId").write_text(study)
    put_run(mlruns, run_id(2))
    put_run(mlruns, run_id(3), status=4)
    for number, hint in [(1, study[:8]), (2, "logged none"), (3, "status is FINISHED")]:
        with pytest.raises(InputError, match="no model to explain") as refused:
            explain_row(workspace, run_id(number), index=0)
        assert hint in refused.value.hint


def test_of_ids_that_begin_alike_it_is_told_that_there_are_several(workspace):
    for number in (1, 2):
        put_run(workspace.root / "mlruns", run_id(number))
    with pytest.raises(NotFoundError, match="more than one run '0000'") as told:
        explain_row(workspace, "0000", index=0)
    assert told.value.details == {"runs": [run_id(1), run_id(2)]}
    with pytest.raises(NotFoundError, match="neither a run nor a model '9'"):
        explain_row(workspace, "9", index=0)


def test_nothing_is_unpickled_to_tell_the_format(workspace):
    run = _put(workspace, 1, "flavors: {sklearn: {pickled_model: model.pkl}}\n")
    folder = workspace.root / "mlruns" / "1" / run / "artifacts" / "model"
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch /dev/null'\ntR.")
    opened: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("pickle.find_class", "os.system", "subprocess.Popen") or (
            event == "open" and str(arguments[0]).endswith(".pkl")
        ):
            opened.append(event)

    sys.addaudithook(hook)
    (found,) = records.show(workspace, run).models
    assert found.format == "pickle"
    assert not opened


def test_the_model_of_a_training_is_one_that_is_loaded(workspace, tmp_path):
    from local_stack.data import adding
    from local_stack.runs import train

    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(100)))
    adding.add(workspace, "table", str(table), target="b")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("dataset: table\ntask: regression\nparams: {n_estimators: 3}\n")
    run = train.train(workspace, recipe).run_id
    (found,) = records.show(workspace, run).models
    assert (found.path, found.is_loadable, found.advice) == ("model", True, "")
    assert found.format == "LightGBM text"
