"""A model's life through the services: train, explain, register, promote, serve, drift, tower."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from local_stack import catalog, doctor, pipeline, registry, tower
from local_stack.data import adding, versions
from local_stack.drift import check
from local_stack.errors import InputError, NotFoundError, RefusedError, UnavailableError
from local_stack.explain.attributing.attributing import Explainer, attribute
from local_stack.explain.model import model as explain_model
from local_stack.preparation.fitting import raw_columns
from local_stack.runs import records, train
from local_stack.serving import endpoints
from local_stack.stores.artifacts import Tree
from local_stack.workspace import Workspace

catalog.commands()  # declares them

SAMPLES = Path(__file__).parents[2] / "sample_data"
ESTIMATORS = {
    "lightgbm": "estimator: lightgbm\nparams: {n_estimators: 20, num_leaves: 7}\n",
    "linear": "features: [{scale: {columns: numeric}}]\n"
    "estimator: sklearn.linear_model.ElasticNet\nparams: {alpha: 0.5}\n",
    "forest": "estimator: sklearn.ensemble.RandomForestRegressor\n"
    "params: {n_estimators: 10, max_depth: 4}\n",
}


def recipe(folder: Path, estimator: str, **changes: str) -> Path:
    path = folder / f"{estimator}.yaml"
    extra = "".join(f"{key}: {value}\n" for key, value in changes.items())
    path.write_text(f"dataset: diabetes\nsplit: {{seed: 1}}\n{extra}{ESTIMATORS[estimator]}")
    return path


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which four models of one table were trained; read it, do not change it."""
    folder = tmp_path_factory.mktemp("lived")
    workspace = Workspace.create(folder / "ws", actor="tester")
    adding.add(workspace, "diabetes", str(SAMPLES / "diabetes.csv"), target="progression")
    for estimator in ESTIMATORS:
        train.train(workspace, recipe(folder, estimator), name=estimator)
    return workspace


@pytest.fixture
def own(lived: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it to change."""
    lived.close()
    shutil.copytree(lived.root, tmp_path / "ws")
    return Workspace.open(tmp_path / "ws", actor="tester")


def run_named(workspace: Workspace, name: str) -> str:
    (run,) = records.search(workspace, f"attributes.run_name = '{name}'").runs
    return run.run_id


# ------------------------------------------------------------------ runs


def test_a_run_records_data_recipe_model_costs_and_metrics(lived):
    shown = records.show(lived, run_named(lived, "lightgbm"))
    version = versions.find(lived, "diabetes")
    assert (shown.status, shown.task, shown.target) == ("FINISHED", "regression", "progression")
    assert shown.datasets == (
        {"name": "diabetes", "digest": version.version, "context": "training"},
    )
    assert shown.params["model"] == "lightgbm"
    assert shown.params["n_estimators"] == "20"
    assert set(shown.metrics) >= {"rmse", "mae", "r2", "train_rmse"}
    assert "model/model.lgb" in shown.artifacts
    assert float(shown.tags["paceml.cpu_seconds"]) > 0


def test_metrics_are_those_of_sklearn_on_the_test_rows(lived):
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    from local_stack.runs.fit import fit
    from local_stack.runs.recipe import parse_recipe

    run = run_named(lived, "linear")
    row = records.find_run(lived, run)
    fitted = fit(
        parse_recipe(row["recipe"]), versions.read(lived, versions.find(lived, "diabetes"))
    )
    truth, predicted = fitted.test.truth, fitted.test.predicted
    recorded = records.show(lived, run).metrics
    assert recorded["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-12)
    assert recorded["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-12)
    assert recorded["r2"] == pytest.approx(r2_score(truth, predicted), rel=1e-12)


def test_search_finds_runs_by_the_grammar(lived):
    found = records.search(lived, "metrics.rmse < 100 and params.model = 'ElasticNet'")
    assert [run.name for run in found.runs] == ["linear"]
    ordered = records.search(lived, order_by=("metrics.rmse ASC",), limit=2)
    values = [run.metrics["rmse"] for run in records.search(lived).runs]
    assert [run.metrics["rmse"] for run in ordered.runs] == sorted(values)[:2]
    assert ordered.total == len(ESTIMATORS)


def test_the_same_recipe_and_data_give_the_same_model_bytes(own, tmp_path):
    again = train.train(own, recipe(tmp_path, "lightgbm"), name="again")
    first = records.find_run(own, run_named(own, "lightgbm"))["model"]["members"]
    second = records.find_run(own, again.run_id)["model"]["members"]
    for name in ("model.lgb", "preparation.json"):
        assert first[name]["sha256"] == second[name]["sha256"]


def test_a_run_that_fails_is_recorded_as_failed_here_and_in_mlflow(own, tmp_path):
    (tmp_path / "t.csv").write_text("a,progression\n" + "x,1.5\n" * 3)
    adding.add(own, "tiny", str(tmp_path / "t.csv"), target="progression")
    bad = recipe(tmp_path, "linear")
    bad.write_text(bad.read_text().replace("dataset: diabetes", "dataset: tiny"))
    with pytest.raises(InputError):
        train.train(own, bad, name="bad")
    shown = records.show(own, run_named(own, "bad"))
    assert shown.status == "FAILED"
    assert shown.error
    assert not own.tracking.unfinished()
    with pytest.raises(InputError, match="FAILED"):
        registry.register(own, "m", shown.run_id)


def test_a_run_name_may_be_anything_and_hurts_nothing(own, tmp_path):
    hostile = "[/nope]\x1b[2J"
    done = train.train(own, recipe(tmp_path, "linear"), name=hostile)
    assert records.show(own, done.run_id).name == hostile


# ------------------------------------------------------------------ explain


def shap_of(workspace: Workspace, name: str):
    run = records.find_run(workspace, run_named(workspace, name))
    model = registry.load(workspace, Tree.of(run["model"]))
    frame = versions.read(workspace, versions.find(workspace, "diabetes")).head(60)
    matrix = model.matrix(raw_columns(frame, model.inputs))
    return model, matrix, attribute(Explainer(model, matrix), matrix)


def test_lightgbm_shap_values_equal_shaps_tree_explainer(lived):
    import shap

    model, matrix, found = shap_of(lived, "lightgbm")
    expected = shap.TreeExplainer(model.estimator).shap_values(matrix)
    np.testing.assert_allclose(found.values[:, :, 0], expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.raw, atol=1e-9)


def test_linear_shap_values_equal_shaps_linear_explainer(lived):
    import shap

    model, matrix, found = shap_of(lived, "linear")
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))
    expected = shap.LinearExplainer(model.estimator, masker).shap_values(matrix)
    np.testing.assert_allclose(found.values[:, :, 0], expected, rtol=1e-9, atol=1e-9)


def test_explaining_stores_the_values_and_orders_features_by_importance(own):
    result = explain_model(own, run_named(own, "lightgbm"), rows=100)
    means = [item.mean_abs_shap for item in result.importance]
    assert means == sorted(means, reverse=True)
    assert (result.n_rows, result.n_total, result.is_sample) == (100, 442, True)
    assert result.additivity_error < 1e-9
    (row,) = own.query("SELECT * FROM explanations")
    assert row["importance"][0]["feature"] == result.importance[0].feature
    assert "explain/shap_values.parquet" in records.show(own, result.run_id).artifacts
    with pytest.raises(NotFoundError, match="neither a run nor a model"):
        explain_model(own, "nope")


# ------------------------------------------------------------------ registry


def test_versions_count_up_and_stages_replace_each_other(own):
    first = registry.register(own, "d", run_named(own, "lightgbm"))
    second = registry.register(own, "d", run_named(own, "linear"))
    assert (first.version, second.version, first.stage) == (1, 2, "None")
    registry.promote(own, "d", "1", "Production", reason="first")
    change = registry.promote(own, "d", "latest", "Production", reason="better")
    assert change.previous == {"version": 1, "stage": "Archived"}
    assert all(gate.passed for gate in change.gates)
    stages = {v.version: v.stage for v in registry.show(own, "d").versions}
    assert stages == {2: "Production", 1: "Archived"}
    assert registry.resolve(own, "d@production").version == 2
    again = registry.promote(own, "d", "2", "Production")
    assert again.event_id is None
    (event,) = own.query("SELECT body FROM events WHERE body->>'reason' = 'better'")
    assert event["body"] == {
        "from": "None",
        "to": "Production",
        "reason": "better",
        "archived": [1],
    }


def test_mlflow_itself_reads_the_runs_and_the_registered_model(own, tmp_path):
    registry.register(own, "d", run_named(own, "lightgbm"))
    registry.promote(own, "d", "1", "Production")
    script = tmp_path / "client.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys, warnings
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient
            client = MlflowClient(sys.argv[1], sys.argv[1])
            (e,) = [e for e in client.search_experiments() if e.name == "diabetes"]
            runs = client.search_runs([e.experiment_id], "metrics.rmse < 1000")
            (v,) = client.search_model_versions("name='d'")
            print(json.dumps({
                "runs": {r.info.run_id: [r.info.status, r.data.metrics["rmse"]] for r in runs},
                "version": [v.version, v.current_stage, v.run_id],
                "alias": client.get_model_version_by_alias("d", "production").version,
            }))
            """
        )
    )
    ended = subprocess.run(
        [sys.executable, str(script), own.tracking.uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    read = json.loads(ended.stdout.splitlines()[-1])
    found = records.search(own, "metrics.rmse < 1000").runs
    ours = {r.run_id: ["FINISHED", r.metrics["rmse"]] for r in found}
    assert read["runs"] == ours
    assert [str(part) for part in read["version"]] == [
        "1",
        "Production",
        run_named(own, "lightgbm"),
    ]
    assert str(read["alias"]) == "1"


def test_a_missing_or_damaged_artifact_stops_a_promotion_or_a_load(own):
    version = registry.register(own, "d", run_named(own, "lightgbm"))
    path = own.artifacts.path(version.model.members["model.lgb"])
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:-1] + b"!")
    with pytest.raises(RefusedError, match="damaged"):
        registry.load(own, version.model)
    path.unlink()
    with pytest.raises(RefusedError) as caught:
        registry.promote(own, "d", "1", "Staging")
    assert caught.value.to_dict()["code"] == "gate_failed"
    assert registry.resolve(own, "d/1").stage == "None"


def test_unknown_things_are_named_with_what_there_is(own):
    registry.register(own, "dia", run_named(own, "lightgbm"))
    with pytest.raises(NotFoundError, match="no model 'di'") as caught:
        registry.show(own, "di")
    assert caught.value.hint == "Did you mean 'dia'?"
    with pytest.raises(NotFoundError, match="no version '9'"):
        registry.resolve(own, "dia/9")
    with pytest.raises(NotFoundError, match="no version in Staging"):
        registry.resolve(own, "dia@Staging")
    with pytest.raises(InputError, match="not a stage"):
        registry.promote(own, "dia", "1", "Stagin")
    with pytest.raises(InputError):
        registry.register(own, "a/b", run_named(own, "lightgbm"))
    for name in ("a@b", "latest"):
        with pytest.raises(InputError, match="cannot be called"):
            registry.register(own, name, run_named(own, "lightgbm"))


# ------------------------------------------------------------------ drift, serving, tower


def test_drift_between_versions_says_no_with_the_whole_report(own, tmp_path):
    table = (SAMPLES / "diabetes.csv").read_text().splitlines()
    moved = [table[0]] + [
        ",".join(str(float(cell) * 3 + 5) for cell in line.split(",")) for line in table[1:]
    ]
    (tmp_path / "moved.csv").write_text("\n".join(moved) + "\n")
    same = check.check(own, reference="diabetes", current=str(SAMPLES / "diabetes.csv"))
    assert not same.dataset.drifted
    with pytest.raises(RefusedError) as caught:
        check.check(own, reference="diabetes", current=str(tmp_path / "moved.csv"))
    assert (caught.value.exit_code, caught.value.to_dict()["code"]) == (4, "drift_found")
    assert caught.value.result.dataset.share > 0.9
    told = check.check(
        own, reference="diabetes", current=str(tmp_path / "moved.csv"), report_only=True
    )
    assert told.dataset.drifted
    assert len(own.query("SELECT * FROM drift_reports")) == 3
    with pytest.raises(InputError, match="nothing to compare"):
        check.check(own)


def test_live_traffic_is_compared_with_the_training_data(own):
    registry.register(own, "d", run_named(own, "lightgbm"))
    registry.promote(own, "d", "1", "Production")
    endpoint = endpoints.start(own, "d")
    try:
        frame = versions.read(own, versions.find(own, "diabetes")).drop("progression").head(100)
        answer = endpoints.predict(own, endpoint.endpoint, row=json.dumps(frame.to_dicts()))
        model = registry.load(own, registry.resolve(own, "d/1").model)
        expected = model.predict(raw_columns(frame, model.inputs))
        np.testing.assert_allclose(answer.predictions, expected, rtol=1e-12)
        report = check.check(own, endpoint.endpoint, report_only=True)
        assert (report.n_reference, report.n_current) == (442, 100)
        assert report.prediction is not None
        assert {c.column for c in report.columns} >= set(frame.columns)
        shown = tower.show(own)
        assert [e["status"] for e in shown.deployment] == ["running"]
        assert [(p["name"], p["stage"]) for p in shown.production] == [("d", "Production")]
        assert shown.experiments[0]["n_finished"] == len(ESTIMATORS)
        assert shown.drift[0]["current"] == "endpoint:d"
    finally:
        stopped = endpoints.stop(own, endpoint.endpoint)
    assert stopped.status == "stopped"
    with pytest.raises(UnavailableError):
        endpoints.predict(own, endpoint.endpoint, row="{}")


def test_a_comparison_of_nothing_is_no_all_clear(own, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n" + "1,2\n" * 20)
    with pytest.raises(RefusedError) as caught:
        check.check(own, reference="diabetes", current=str(tmp_path / "other.csv"))
    assert caught.value.to_dict()["code"] == "nothing_compared"
    assert caught.value.result.dataset.n_columns == 0


def test_only_the_traffic_of_the_served_version_is_compared(own):
    row = dict.fromkeys(versions.read(own, versions.find(own, "diabetes")).columns, 1.0)
    row = {name: value for name, value in row.items() if name != "progression"}
    for name, n_rows in (("lightgbm", 30), ("forest", 7)):
        registry.register(own, "d", run_named(own, name))
        registry.promote(own, "d", "latest", "Production")
        endpoint = endpoints.start(own, "d").endpoint
        try:
            endpoints.predict(own, endpoint, row=json.dumps([row] * n_rows))
        finally:
            endpoints.stop(own, endpoint)
    assert check.check(own, "d", report_only=True).n_current == 7


def test_a_mirror_that_is_down_is_a_warning_and_the_doctor_writes_it_again(own, tmp_path):
    shutil.move(own.root / "mlruns", tmp_path / "away")
    (own.root / "mlruns").write_text("not a folder")
    version = registry.register(own, "d", run_named(own, "lightgbm"))
    assert version.version == 1
    assert "MLflow" in version.warnings[0]
    change = registry.promote(own, "d", "1", "Production")
    assert change.event_id is not None
    (own.root / "mlruns").unlink()
    shutil.move(tmp_path / "away", own.root / "mlruns")
    doctor.check(own, repair=True)
    with own.tracking._writing() as client:
        assert client.get_model_version("d", "1").current_stage == "Production"


def test_a_run_that_mlflow_missed_is_written_again_with_its_model(own, tmp_path, monkeypatch):
    def down(*args: object, **kwargs: object) -> None:
        raise UnavailableError("MLflow is down.")

    with monkeypatch.context() as patched:
        patched.setattr(type(own.tracking), "log_run", down)
        done = train.train(own, recipe(tmp_path, "linear"), name="missed")
    assert "MLflow is down." in done.warnings[-1]
    assert own.tracking.unfinished() == [done.run_id]
    doctor.check(own, repair=True)
    with own.tracking._writing() as client:
        run = client.get_run(done.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.metrics["rmse"] == done.metrics["rmse"]
        assert {f.path for f in client.list_artifacts(done.run_id, "model")} >= {"model/MLmodel"}


@pytest.mark.parametrize(
    "name",
    [
        "wine",
        *(pytest.param(it, marks=pytest.mark.slow) for it in ("breast_cancer", "diabetes")),
        "loans",
    ],
)
def test_the_sample_pipelines_run_and_are_skipped_the_second_time(workspace, name):
    file = SAMPLES / f"{name}-pipeline.yaml"
    first = pipeline.run(workspace, file)
    assert first.passed
    assert {step.status for step in first.steps} == {"done"}
    again = pipeline.run(workspace, file)
    assert {step.status for step in again.steps} == {"skipped"}
    assert all("unchanged" in step.reason for step in again.steps)
