"""A study that is killed at any moment goes on without a lost or a doubled trial."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from records_kit import add_beans
from tuning_kit import children, mirrored, outcomes, put_recipe, tune

from local_stack import jobs
from local_stack.doctor import check
from local_stack.errors import Cancelled
from local_stack.workspace import Workspace

TUNE = """
import sys
import time
from local_stack import environment
environment.prepare()
from local_stack import catalog
from local_stack.workspace import Workspace
if __name__ == "__main__":
    with Workspace.open(sys.argv[1]) as workspace:
        given = {"recipe": sys.argv[2], "trials": int(sys.argv[3]), "workers": int(sys.argv[4])}
        given["pruner"] = sys.argv[5]
        # Slow enough to be seen at work, however busy the machine is that looks at it.
        catalog.call(workspace, "runs.tune", given, progress=lambda _: time.sleep(0.05))
"""


def begin(workspace: Workspace, recipe: Path, n_trials: int, n_workers: int, pruner: str) -> Any:
    words = [str(workspace.root), str(recipe), str(n_trials), str(n_workers), pruner]
    return subprocess.Popen([sys.executable, "-c", TUNE, *words])


def n_ended(workspace: Workspace) -> int:
    (found,) = workspace.query(
        "SELECT count(*) AS n FROM runs WHERE json_extract_string(tags, '/paceml.folds') "
        "IS NOT NULL"
    )
    return int(found["n"])


def last_fold(row: Any) -> float:
    """Return the last of the folds of a trial: what MLflow shows of a history."""
    return float(json.loads(row["tags"]["paceml.folds"])[-1])


@pytest.mark.parametrize(
    ("n_trials", "n_workers", "kills", "pruner"),
    [
        pytest.param(6, 2, (2,), "none", marks=pytest.mark.slow),
        pytest.param(20, 1, (3, 5, 4), "none", marks=pytest.mark.slow),
        pytest.param(20, 2, (4, 3, 6), "none", marks=pytest.mark.slow),
        pytest.param(20, 2, (5, 6), "hyperband", marks=pytest.mark.slow),
    ],
)
def test_a_killed_study_goes_on_as_if_it_had_not_been(
    workspace, tmp_path, n_trials, n_workers, kills, pruner
):
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)
    rng = random.Random(n_workers)
    known: dict[str, Any] = {}
    for more in kills:
        wanted = n_ended(workspace) + more
        process = begin(workspace, recipe, n_trials, n_workers, pruner)
        while n_ended(workspace) < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        (study,) = workspace.query("SELECT * FROM runs WHERE contains(tags, 'paceml.study')")
        ended = {
            row["run_id"]: row
            for row in children(workspace, study["run_id"])
            if "paceml.folds" in row["tags"]
        }
        assert known.items() <= ended.items(), "what was acknowledged has changed"
        known = ended
    assert not any(job.is_alive for job in jobs.listed(workspace))

    given = {"trials": n_trials, "workers": n_workers, "pruner": pruner}
    resumed = tune(workspace, recipe, **given)
    assert (resumed.run_id, resumed.is_resumed) == (study["run_id"], True)
    rows = {row["run_id"]: row for row in children(workspace, study["run_id"])}
    assert known.items() <= rows.items()
    assert [trial.number for trial in resumed.trials] == list(range(n_trials))
    assert {trial.run_id for trial in resumed.trials} == rows.keys()
    ends = {"FINISHED"} if pruner == "none" else {"FINISHED", "KILLED"}
    assert {row["status"] for row in rows.values()} == ends
    found = mirrored(workspace, study["run_id"])
    assert sorted(found, key=int) == [str(number) for number in range(n_trials)]
    assert {run.info.status for run in found.values()} == ends
    for trial in resumed.trials:
        run = found[str(trial.number)]
        assert run.info.run_id == trial.run_id
        assert run.data.metrics.get("cv_rmse_mean") == trial.value

    whole = tune(workspace, recipe, **given, new=True)
    assert whole.run_id != resumed.run_id
    assert outcomes(whole) == outcomes(resumed)
    assert whole.best["params"] == resumed.best["params"]


@pytest.mark.parametrize(
    "torn",
    [
        "param",
        "for the doctor",
        *(pytest.param(it, marks=pytest.mark.slow) for it in ("empty meta", "no meta", "gone")),
    ],
)
def test_a_trial_that_mlflow_cannot_read_is_written_again(workspace, tmp_path, torn):
    """The process was killed while MLflow wrote one of its files."""
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)

    def stop(step: Any) -> None:
        if step.label.startswith("2 of"):
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        tune(workspace, recipe, stop, trials=3)
    (study,) = workspace.query("SELECT * FROM runs WHERE contains(tags, 'paceml.study')")
    first = next(row for row in children(workspace, study["run_id"]) if row["metrics"])
    number = first["tags"]["paceml.trial"]
    before = mirrored(workspace, study["run_id"])[number]
    path = workspace.root / "mlruns" / first["experiment_id"] / first["run_id"]
    match torn:
        case "empty meta" | "for the doctor":
            (path / "meta.yaml").write_bytes(b"")
        case "no meta":
            (path / "meta.yaml").unlink()
        case "param":
            (path / "params" / "subsample").write_bytes(b"")
            meta = path / "meta.yaml"
            meta.write_text(meta.read_text().replace("status: 3", "status: 1"))
        case _:
            shutil.rmtree(path)
    if torn == "for the doctor":
        check(workspace, repair=True)
        mended = mirrored(workspace, study["run_id"])[number]
        assert mended.data.metrics == before.data.metrics
    resumed = tune(workspace, recipe, trials=3)
    assert resumed.run_id == study["run_id"]
    found = mirrored(workspace, study["run_id"])
    assert sorted(found) == ["0", "1", "2"]
    after = found[number]
    assert after.data.params == before.data.params
    assert after.data.metrics == before.data.metrics
    assert after.data.tags.items() >= first["tags"].items()
    for name in ("run_id", "run_name", "status", "artifact_uri", "experiment_id"):
        assert getattr(after.info, name) == getattr(before.info, name), name
    assert after.info.start_time == pytest.approx(before.info.start_time, abs=1_000)  # ms
    client = __import__("mlflow").MlflowClient(workspace.tracking.uri)
    points = client.get_metric_history(first["run_id"], "cv_rmse_by_fold")
    assert [point.value for point in points] == json.loads(first["tags"]["paceml.folds"])
    assert [one.path for one in client.list_artifacts(first["run_id"])] == ["history.json"]
    assert check(workspace).findings == ()


def test_a_trial_that_only_mlflow_knows_is_taken_away(workspace, tmp_path):
    """The process was killed after MLflow had begun the run and before it was acknowledged."""
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)

    def stop(step: Any) -> None:
        if step.label.startswith("2 of"):
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="goes on"):
        tune(workspace, recipe, stop)
    (study,) = workspace.query("SELECT * FROM runs WHERE contains(tags, 'paceml.study')")
    assert study["status"] == "KILLED"
    tags = {"mlflow.parentRunId": study["run_id"], "paceml.trial": "2"}
    workspace.tracking.begin_run("growth", "orphan", "tester", "runs.tune", tags)
    torn = workspace.tracking.begin_run("growth", "orphan", "tester", "runs.tune")  # or within it
    folder = workspace.root / "mlruns" / torn.experiment_id / torn.run_id
    (folder / "meta.yaml").write_bytes(b"")
    shutil.rmtree(folder / "tags")
    first = next(row for row in children(workspace, study["run_id"]) if row["metrics"])
    path = workspace.root / "mlruns" / first["experiment_id"] / first["run_id"]
    (path / "metrics" / "cv_rmse_by_fold").write_bytes(b"")  # and another one while it wrote
    meta = path / "meta.yaml"
    meta.write_text(meta.read_text().replace("status: 3", "status: 1"))
    resumed = tune(workspace, recipe)
    assert resumed.run_id == study["run_id"]
    run = mirrored(workspace, study["run_id"])[first["tags"]["paceml.trial"]]
    assert (run.info.status, run.data.metrics["cv_rmse_by_fold"]) == ("FINISHED", last_fold(first))
    assert len(mirrored(workspace, study["run_id"])) == 6
