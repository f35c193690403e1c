"""A real Dask scheduler and two worker processes over TCP: the same results as on one machine."""

from __future__ import annotations

import os
import platform
import signal
import time

import polars as pl
import pytest
from cluster_kit import cluster, free_port
from records_kit import add_beans
from tuning_kit import put_recipe

from local_stack.errors import Cancelled, InputError, UnavailableError
from local_stack.explain.attributing import attributing
from local_stack.explain.model import model as explain_model
from local_stack.runs.cluster.client import Cluster, completed
from local_stack.runs.train import train
from local_stack.runs.tuning.tune import tune
from local_stack.runs.workers import Task
from local_stack.stores.artifacts import Blob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
pytest.importorskip("distributed")
__all__ = ["cluster"]


def who(number: int, *, progress) -> tuple[int, int]:
    time.sleep(0.3)
    return number, os.getpid()


def test_a_killed_worker_loses_and_doubles_nothing(cluster):
    pool = Cluster(cluster.address)
    found = {}
    try:
        for number in range(12):
            pool.submit(Task(number, who, (number,)))
        while len(found) < 12:
            for task, outcome in pool.ended(0.2):
                assert task.key not in found
                found[task.key] = outcome.value
                print("task", task.key, "by process", outcome.value[1])
                if len(found) == 3:
                    print("kill -9", cluster.workers[0].pid)
                    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    finally:
        pool.close()
    assert sorted(number for number, _ in found.values()) == list(range(12))
    assert cluster.workers[1].pid in {pid for _, pid in found.values()}


def plus(left: int, right: int, *, progress) -> int:
    time.sleep(0.3)
    return left + right


def test_data_whose_only_holder_is_killed_is_sent_again(cluster):
    pool = Cluster(cluster.address)
    try:
        seven = pool.send(7)
        deadline = time.monotonic() + 60
        while len(holders := pool.client.who_has([seven.future])[seven.future.key]) > 1:
            assert time.monotonic() < deadline, "the scheduler keeps every copy"
            time.sleep(0.2)
        for number in range(6):
            pool.submit(Task(number, plus, (seven, number)))
        time.sleep(0.4)  # some are done, but nobody has asked for them
        pid = pool.client.run(os.getpid, workers=list(holders))[holders[0]]
        print("kill -9", pid, "which holds the data")
        os.kill(pid, signal.SIGKILL)
        found = {}
        while len(found) < 6:
            found |= {task.key: outcome.value for task, outcome in pool.ended(0.2)}
    finally:
        pool.close()
    assert found == {number: 7 + number for number in range(6)}


def test_trials_and_folds_equal_those_of_one_machine_though_a_worker_is_killed(
    cluster, workspace, tmp_path
):
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)
    alone = tune(workspace, recipe, new=True)
    killed = []

    def kill(step):
        if step.done >= 6 and not killed:  # folds of trials
            killed.append(step.label)
            os.kill(cluster.workers[0].pid, signal.SIGKILL)
            print("kill -9", cluster.workers[0].pid, "at", step.label)
        elif "trials" in step.label:
            print(step.label, f"({step.done} of {step.total} folds)")

    there = tune(workspace, recipe, new=True, cluster=cluster.address, progress=kill)
    assert killed
    both = [[(t.number, t.params, t.folds, t.status) for t in x.trials] for x in (alone, there)]
    assert both[0] == both[1]
    assert alone.best == there.best
    assert alone.metrics == there.metrics

    one, other = train(workspace, recipe), train(workspace, recipe, cluster=cluster.address)
    assert one.metrics == other.metrics
    assert "cv_rmse_mean" in one.metrics
    assert one.warnings == other.warnings
    assert "cluster_cpu_seconds" not in one.cost
    assert other.cost["cluster_cpu_seconds"] > 0


def test_cancel_and_a_scheduler_that_goes_away(cluster, workspace, tmp_path):
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)

    def stop(step):
        if step.done >= 3:  # folds
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled, match="The study was stopped"):
        tune(workspace, recipe, cluster=cluster.address, progress=stop)

    def kill(step):
        if step.done >= 9:
            os.kill(cluster.scheduler.pid, signal.SIGKILL)

    with pytest.raises(UnavailableError, match=r"The scheduler at tcp://.* is gone"):
        tune(workspace, recipe, cluster=cluster.address, progress=kill)


def test_other_versions_are_refused_and_errors_come_back(cluster, monkeypatch):
    pool = Cluster(cluster.address)
    with pytest.raises(InputError, match="seven"):
        list(completed(pool, [Task(1, refuse, ())], "Refusing"))
    pool.close()
    pool.close()
    real = platform.python_version()
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    with pytest.raises(InputError, match=f"has Python {real}, here it is 3.99.0"):
        Cluster(cluster.address)


def refuse(*, progress):
    raise InputError("Not seven.")


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="not the address"):
        Cluster(address)


def test_no_scheduler_is_a_sentence():
    with pytest.raises(UnavailableError, match="No Dask scheduler answers"):
        Cluster(f"tcp://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("estimator", ["lightgbm", "sklearn.ensemble.ExtraTreesRegressor"])
def test_shap_values_of_the_cluster_are_those_of_one_machine(
    cluster, workspace, tmp_path, monkeypatch, estimator
):
    monkeypatch.setattr(attributing, "_BLOCK", 20)
    add_beans(workspace, tmp_path)
    path = tmp_path / "r.yaml"
    path.write_text(f"dataset: beans\nestimator: {estimator}\nparams: {{n_estimators: 8}}\n")
    run = train(workspace, path).run_id
    alone = explain_model(workspace, run)
    values = shap_table(workspace, run)
    there = explain_model(workspace, run, cluster=cluster.address)
    assert there.importance == alone.importance
    assert shap_table(workspace, run).equals(values)


def shap_table(workspace, run):
    stored = workspace.get("explanations", run)["artifacts"]["explain/shap_values.parquet"]
    return pl.read_parquet(workspace.artifacts.path(Blob.of(stored)))
