"""A run repeated from its records: the same bits, or the cause and what moved."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import threadpoolctl
from comparison_kit import put_run
from records_kit import (
    RECIPE,
    add_beans,
    commit,
    git,
    lose_data,
    make_project,
    project,
    table,
    undrawn,
)
from tuning_kit import RECIPE as SEARCH
from tuning_kit import put_recipe, tune

from local_stack import catalog
from local_stack.errors import Cancelled, InputError, NotFoundError, ReadOnlyError, RefusedError
from local_stack.progress import Step
from local_stack.runs import provenance, records, repeating, reproducing
from local_stack.runs.comparison import predictions
from local_stack.runs.reproduction import SamePredictions, _same_rows
from local_stack.stores.artifacts import Blob
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

__all__ = ["project", "undrawn"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a repository and a workspace, and the run that was trained in it."""
    folder = tmp_path_factory.mktemp("made")
    make_project(folder / "project")
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        add_beans(workspace, folder)
        given = {"recipe": folder / "project" / "recipe.yaml"}
        return folder, catalog.call(workspace, "runs.train", given)


@pytest.fixture
def workspace(made: tuple[Path, Any], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of that workspace."""
    shutil.copytree(made[0] / "ws", tmp_path / "ws")
    for path in (tmp_path / "ws" / "mlruns").rglob("meta.yaml"):  # where artefacts go
        path.write_text(path.read_text().replace(str(made[0]), str(tmp_path)))
    with Workspace.open(tmp_path / "ws", actor="tester") as opened:
        yield opened


@pytest.fixture
def trained(made: tuple[Path, Any]) -> Any:
    """The finished run, of a clean tree."""
    return made[1]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat runs in this process: to begin a clean one takes two seconds each time."""

    def repeat(asked: Any, record: Any, progress: Any) -> Any:
        with Workspace.open(asked.root, readonly=True) as reader:
            return repeating._learnt(reader, asked)

    monkeypatch.setattr(reproducing, "repeat", repeat)


def reproduce(workspace: Workspace, run: str, *sets: str, **given: Any) -> Any:
    return catalog.call(workspace, "runs.reproduce", {"run": run, "set": sets, **given})


def refused(workspace: Workspace, run: str, *sets: str, **given: Any) -> Any:
    with pytest.raises(RefusedError) as caught:
        reproduce(workspace, run, *sets, **given)
    error = caught.value
    assert (error.exit_code, error.to_dict()["code"]) == (4, "not_reproduced")
    assert not error.result.bit_identical
    assert error.message == error.result.verdict
    return error.result


def told(result: Any) -> dict[str, tuple[Any, Any]]:
    """What differs, without PACE-ML's own code, which may be worked on while tests run."""
    return {
        f"{one.cause} {one.key}": (one.recorded, one.now)
        for one in result.differences
        if not one.key.startswith("engine")
    }


def rewrite(workspace: Workspace, run: str, change: Callable[[Any], None]) -> None:
    """Change what the run recorded of its environment."""
    row = dict(workspace.get("runs", run) or {})
    document = json.loads(workspace.artifacts.read(Blob.of(row["files"][provenance.FILE])))
    change(document)
    blob = workspace.artifacts.put_bytes(json.dumps(document).encode()).to_dict()
    row["files"] = {**row["files"], provenance.FILE: blob}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))


def test_a_run_is_repeated_bit_by_bit_in_a_clean_process(workspace, trained):
    steps: list[Step] = []
    found = catalog.call(workspace, "runs.reproduce", {"run": "latest"}, progress=steps.append)
    assert found.bit_identical
    assert found.run_id == trained.run_id
    assert found.model == {"model.lgb": True, "preparation.json": True}
    assert (found.predictions.n_rows, found.predictions.n_different) == (30, 0)
    assert {one.key for one in found.metrics} == {*trained.metrics}
    assert all(one.is_identical and one.moved == 0 for one in found.metrics)
    assert told(found) == {}
    assert found.verdict.startswith("Bit-identical: the model, 30 predictions and ")
    assert {"Starting a clean process", "Reading the data", "Training"} <= {s.label for s in steps}
    assert records.search(workspace).total == 1


def test_two_runs_of_one_recipe_predict_the_same_bits(workspace, trained, project):
    again = catalog.call(workspace, "runs.train", {"recipe": project / "recipe.yaml"})
    tables = [
        pl.read_parquet(workspace.artifacts.path(Blob.of(row["files"][predictions.FILE])))
        for row in (workspace.get("runs", it.run_id) for it in (trained, again))
    ]
    bits = [t["prediction"].to_numpy().tobytes() for t in tables]
    assert bits[0] == bits[1]
    assert tables[0].equals(tables[1])
    assert again.metrics == trained.metrics


@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.linear_model.ElasticNet\nparams: {alpha: 0.1}",
        "sklearn.ensemble.RandomForestRegressor\nparams: {n_estimators: 5}",
    ],
)
@pytest.mark.usefixtures("at_once")
def test_scikit_learn_s_estimators_are_repeated_too(workspace, tmp_path, estimator):
    path = tmp_path / "other.yaml"
    path.write_text(f"dataset: beans\nsplit: {{seed: 2}}\nestimator: {estimator}\n")
    done = catalog.call(workspace, "runs.train", {"recipe": path})
    found = reproduce(workspace, done.run_id)
    assert found.bit_identical
    assert found.model == {"model.skops": True, "preparation.json": True}


@pytest.mark.usefixtures("at_once")
def test_another_seed_moves_metrics_and_is_named(workspace, trained):
    found = refused(workspace, trained.run_id, "split.seed=4")
    assert found.causes == ("seed",)
    assert told(found) == {"seed split": (3, 4), "seed estimator": (3, 4)}
    assert not found.model["model.lgb"]
    assert found.predictions == SamePredictions(False, 30, 30, None)
    moved = {one.key: one for one in found.metrics}
    assert moved["rmse"].recorded == trained.metrics["rmse"]
    assert moved["rmse"].moved == moved["rmse"].now - moved["rmse"].recorded != 0
    assert found.verdict == "Not bit-identical: seed differs from what was recorded."


@pytest.mark.usefixtures("at_once")
def test_another_value_of_the_recipe_is_named(workspace, trained):
    found = refused(workspace, trained.run_id, "params.num_leaves=4", "params.max_depth=2")
    assert told(found) == {
        "recipe params.num_leaves": (5, 4),
        "recipe params.max_depth": (None, 2),
    }
    assert 0 < found.predictions.n_different <= 30
    assert found.predictions.largest_difference > 0


@pytest.mark.usefixtures("at_once")
def test_a_moved_number_is_that_of_training_so_at_once(workspace, trained, project):
    (project / "recipe.yaml").write_text(RECIPE.replace("num_leaves: 5", "num_leaves: 4"))
    direct = catalog.call(workspace, "runs.train", {"recipe": project / "recipe.yaml"})
    found = refused(workspace, trained.run_id, "params.num_leaves=4")
    assert {one.key: one.now for one in found.metrics} == direct.metrics


@pytest.mark.usefixtures("at_once")
def test_other_data_is_named_and_the_newest_version_is_not_taken_by_itself(
    workspace, trained, tmp_path
):
    newer = add_beans(workspace, tmp_path, table(seed=6))
    assert reproduce(workspace, trained.run_id).bit_identical
    found = refused(workspace, trained.run_id, f"dataset={newer}")
    assert told(found) == {"data version": (trained.data_version, newer)}
    assert found.causes == ("data",)


def test_data_that_is_gone_is_a_sentence(workspace, trained):
    lose_data(workspace, trained.data_version)
    with pytest.raises(NotFoundError, match=f"{trained.data_version} are not in the artefact"):
        reproduce(workspace, trained.run_id)


@pytest.mark.usefixtures("at_once")
def test_another_package_version_is_named(workspace, trained):
    def change(document: Any) -> None:
        document["packages"] |= {"numpy": "1.0", "pytest": "1.0"}
        document["python"]["version"] = "3.9.1"

    rewrite(workspace, trained.run_id, change)
    found = reproduce(workspace, trained.run_id)
    versions = provenance.gather(Path.cwd())
    assert told(found) == {
        "environment python.version": ("3.9.1", versions.python["version"]),
        "environment packages.numpy": ("1.0", versions.packages["numpy"]),
    }
    assert found.bit_identical
    python, numpy = versions.python["version"], versions.packages["numpy"]
    assert found.verdict.endswith(
        " are the same, although environment differs "
        f"(python 3.9.1 then, {python} now; numpy 1.0 then, {numpy} now)."
    )
    assert found.warnings == ("1 other package differs.",)


def test_a_package_of_another_version_in_the_clean_process_is_named(
    workspace, trained, tmp_path, monkeypatch
):
    """The process that repeats the run imports another threadpoolctl than the run had."""
    place = tmp_path / "packages"
    (place / "threadpoolctl-99.0.dist-info").mkdir(parents=True)
    shutil.copy(threadpoolctl.__file__, place / "threadpoolctl.py")
    others = [path for path in [os.environ.get("PYTHONPATH")] if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), *others]))
    found = reproduce(workspace, trained.run_id)
    was = provenance.gather(Path.cwd()).packages["threadpoolctl"]
    assert told(found) == {"environment packages.threadpoolctl": (was, "99.0")}
    assert "environment" in found.causes
    assert f"(threadpoolctl {was} then, 99.0 now)" in found.verdict
    assert found.bit_identical


@pytest.mark.usefixtures("at_once")
def test_a_package_of_another_version_is_named_where_the_result_moved(workspace, trained):
    rewrite(workspace, trained.run_id, lambda it: it["packages"].update(lightgbm="3.0"))
    found = refused(workspace, trained.run_id, "params.num_leaves=4")
    assert {"recipe", "environment"} <= set(found.causes)
    now = provenance.gather(Path.cwd()).packages["lightgbm"]
    assert f"(lightgbm 3.0 then, {now} now) from what was recorded" in found.verdict


@pytest.mark.usefixtures("at_once")
def test_code_that_is_not_committed_or_moved_on_is_named(workspace, project):
    trained = catalog.call(workspace, "runs.train", {"recipe": project / "recipe.yaml"})
    head = git(project, "rev-parse", "HEAD")
    (project / "notes.txt").write_text("two\n")
    ((key, (before, after)),) = told(reproduce(workspace, trained.run_id)).items()
    assert (key, before) == ("code git.diff_sha256", None)
    assert len(after) == 64
    newer = commit(project)
    assert told(reproduce(workspace, trained.run_id)) == {"code git.commit": (head, newer)}


@pytest.mark.usefixtures("at_once")
def test_other_code_of_ours_is_named(workspace, trained):
    def change(document: Any) -> None:
        document["engine"] = {"version": "0.0.1", "sha256": "0" * 64}

    rewrite(workspace, trained.run_id, change)
    found = reproduce(workspace, trained.run_id)
    assert {d.key for d in found.differences} == {"engine.version", "engine.sha256"}
    assert found.causes == ("code",)


@pytest.mark.usefixtures("at_once")
def test_another_number_of_threads_is_named(workspace, trained, project):
    sets = ("params.num_threads=null", "params.n_estimators=1", "split.folds=null")
    given = {"recipe": project / "recipe.yaml", "set": sets}
    many = catalog.call(workspace, "runs.train", given)
    found = reproduce(workspace, many.run_id, threads=1)
    n_cores = provenance.n_cores()
    assert told(found) == ({"threads threads": (n_cores, 1)} if n_cores > 1 else {})
    assert found.bit_identical


@pytest.mark.usefixtures("at_once")
def test_a_record_of_another_recipe_is_noticed(workspace, trained):
    def change(document: Any) -> None:
        document["recipe"]["hash"] = "0" * 16

    rewrite(workspace, trained.run_id, change)
    assert {*told(reproduce(workspace, trained.run_id))} == {"recipe hash"}


@pytest.mark.usefixtures("at_once")
def test_a_record_that_no_training_gives_has_no_cause(workspace, trained):
    row = dict(workspace.get("runs", trained.run_id) or {})
    row["metrics"] = {**row["metrics"], "rmse": row["metrics"]["rmse"] + 1e-9, "odd": 1.0}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    found = refused(workspace, trained.run_id)
    assert [one.key for one in found.metrics if not one.is_identical] == ["odd", "rmse"]
    (rmse,) = [one for one in found.metrics if one.key == "rmse"]
    assert rmse.moved == pytest.approx(-1e-9, rel=1e-3)
    assert told(found) == {}


@pytest.mark.usefixtures("at_once")
def test_a_run_of_an_older_version_is_repeated_and_what_it_lacks_is_told(workspace, trained):
    row = dict(workspace.get("runs", trained.run_id) or {})
    row["files"] = {predictions.FILE: row["files"][predictions.FILE]}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    found = reproduce(workspace, trained.run_id)
    assert found.bit_identical
    assert found.differences == ()
    assert "recorded no environment" in found.warnings[0]


@pytest.mark.usefixtures("at_once")
def test_the_recipe_that_was_trained_is_repeated_not_the_study_s(workspace, trained):
    row = dict(workspace.get("runs", trained.run_id) or {})
    search = {"trials": 3, "space": {"num_leaves": [2, 9]}}
    row["recipe"] = {**row["recipe"], "params": {}, "search": search}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    assert reproduce(workspace, trained.run_id).bit_identical
    given = {"run": trained.run_id, "set": ("params.num_leaves=4",)}
    branched = catalog.call(workspace, "runs.branch", given)
    assert branched.changed == ({"key": "params.num_leaves", "from": 5, "to": 4},)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("keys", ["", "weights: w\nmetrics: [neg_median_absolute_error]\n"])
def test_the_model_of_a_study_s_best_trial_is_repeated(workspace, tmp_path, keys):
    frame = table().with_columns(w=pl.col("light").abs())
    add_beans(workspace, tmp_path, frame)
    tuned = tune(workspace, put_recipe(tmp_path, SEARCH + keys), trials=2)
    found = reproduce(workspace, tuned.run_id)
    assert found.bit_identical
    assert told(found) == {}
    assert {one.key for one in found.metrics} == {*tuned.metrics}
    assert ("cv_weighted_rmse_mean" in tuned.metrics) == bool(keys)
    moved = refused(workspace, tuned.run_id, "params.n_estimators=2")
    assert told(moved) == {"recipe params.n_estimators": (8, 2)}
    for trial in tuned.trials:
        with pytest.raises(InputError, match="a trial of a study keeps none"):
            reproduce(workspace, trial.run_id)


@pytest.mark.usefixtures("at_once")
def test_lost_predictions_are_told_only_where_they_are_needed(workspace, trained):
    row = dict(workspace.get("runs", trained.run_id) or {})
    Path(workspace.artifacts.uri(Blob.of(row["files"][predictions.FILE]))).unlink()
    assert reproduce(workspace, trained.run_id).predictions == SamePredictions(True, 30, 0, 0.0)
    with pytest.raises(NotFoundError):
        reproduce(workspace, trained.run_id, "params.num_leaves=4")


@pytest.mark.usefixtures("at_once")
def test_a_run_without_a_model_is_a_sentence(workspace, trained):
    row = {**(workspace.get("runs", trained.run_id) or {}), "model": None}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    with pytest.raises(InputError, match="has no model"):
        reproduce(workspace, trained.run_id)


@pytest.mark.usefixtures("at_once")
def test_a_kept_repetition_is_a_run(workspace, trained):
    found = reproduce(workspace, trained.run_id, keep=True)
    kept = records.show(workspace, found.kept_as)
    assert kept.tags["paceml.reproduces"] == trained.run_id
    assert kept.metrics.items() >= trained.metrics.items()
    assert kept.status == "FINISHED"
    rows = [workspace.get("runs", run)["model"]["members"] for run in (kept.run_id, trained.run_id)]
    assert rows[0]["model.lgb"] == rows[1]["model.lgb"]
    assert reproduce(workspace, kept.run_id).bit_identical


@pytest.mark.usefixtures("at_once")
def test_nothing_is_left_behind_and_read_only_workspaces_may(workspace, trained):
    with Workspace.open(workspace.root, readonly=True) as reader:
        assert reproduce(reader, trained.run_id).bit_identical
        with pytest.raises(ReadOnlyError):
            reproduce(reader, trained.run_id, keep=True)
    assert not workspace.leftovers()


def test_cancelling_ends_the_clean_process(workspace, trained):
    def stop(step: Step) -> None:
        if step.label == "Training":
            raise Cancelled()

    with pytest.raises(Cancelled):
        catalog.call(workspace, "runs.reproduce", {"run": "latest", "keep": True}, progress=stop)
    assert not workspace.leftovers()
    assert sorted(run.status for run in records.search(workspace)) == ["FINISHED", "KILLED"]


def test_what_cannot_be_repeated_is_a_sentence(workspace, trained, project):
    with pytest.raises(InputError, match="has no recipe"):
        reproduce(workspace, put_run(workspace, 1))
    with pytest.raises(InputError, match="--threads 0"):
        reproduce(workspace, trained.run_id, threads=0)
    with pytest.raises(InputError, match="'leaves' is not a parameter"):
        reproduce(workspace, trained.run_id, "params.leaves=3")
    with pytest.raises(InputError):
        reproduce(workspace, trained.run_id, "params.num_leaves=1")  # said in the clean process
    with pytest.raises(InputError):
        catalog.call(
            workspace, "runs.train", {"recipe": project / "recipe.yaml", "set": ["target=no"]}
        )
    with pytest.raises(InputError, match="did not finish"):
        reproduce(workspace, "latest")


def test_bits_tell_what_numbers_do_not():
    first = pl.DataFrame({"row": [1, 2, 3], "prediction": [0.0, math.nan, 2.0]})
    assert _same_rows(first, first.clone()).is_identical
    second = first.with_columns(prediction=pl.Series([-0.0, math.nan, 2.5]))
    assert _same_rows(first, second) == SamePredictions(False, 3, 2, pytest.approx(0.5))
