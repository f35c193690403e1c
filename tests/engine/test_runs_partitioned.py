"""A table that is never whole in one process: its parts lie with the workers of a real cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cluster_kit import cluster
from sklearn.metrics import mean_squared_error, roc_auc_score

from local_stack import catalog
from local_stack.data import versions
from local_stack.errors import Cancelled, InputError
from local_stack.registry import load
from local_stack.runs.cluster import partitioned
from local_stack.runs.comparison import predictions
from local_stack.runs.reproducing import reproduce
from local_stack.runs.train import train
from local_stack.stores.artifacts import Tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
__all__ = ["cluster"]
N_ROWS = 12_000


def table() -> pl.DataFrame:
    """Numbers, texts of which one is rare, and missing values, and three things to predict."""
    dice = np.random.default_rng(5)
    x = dice.normal(size=(N_ROWS, 3))
    kind = dice.choice(["oak", "elm", "ash"], N_ROWS, p=[0.6, 0.3, 0.1]).astype(object)
    kind[-1] = "yew"
    signal_ = x[:, 0] + np.sin(2 * x[:, 1]) + (kind == "oak") + dice.normal(0, 0.3, N_ROWS)
    holes = pl.Series(x[:, 2])
    holes = holes.set(pl.Series(dice.random(N_ROWS) < 0.1), None)
    return pl.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "holes": holes,
            "kind": kind.tolist(),
            "weight": dice.uniform(0.5, 2, N_ROWS),
            "y": signal_,
            "is_high": signal_ > 1,
            "size": np.digitize(signal_, [-0.5, 0.5, 1.5]).tolist(),
        }
    )


@pytest.fixture
def trees(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(partitioned, "_PART_BYTES", 8 * 8 * 1_500)  # eight parts
    path = tmp_path / "trees.parquet"
    table().write_parquet(path)
    catalog.call(workspace, "data.add", {"name": "trees", "source": str(path)})
    return workspace


def recipe(folder: Path, target: str, more: str = "") -> Path:
    path = folder / f"{target}.yaml"
    left = [name for name in ("y", "is_high", "size") if name != target]
    text = (
        f"dataset: trees\ntarget: {target}\nfeatures:\n- drop: {{columns: [{', '.join(left)}]}}\n"
    )
    path.write_text(text + more)
    return path


def held_out(workspace, run: str):
    row = workspace.get("runs", run)
    found = predictions.read(workspace, row["files"])
    assert not isinstance(found, str), found
    return found.in_order(), load(workspace, Tree.of(row["model"]))


@pytest.mark.parametrize("target", ["y", "is_high", "size"])
def test_the_model_is_as_good_as_one_of_a_single_machine(cluster, trees, tmp_path, target):
    name = "neg_median_absolute_error" if target == "y" else "balanced_accuracy"
    more = f"weights: weight\nslices: [kind]\nmetrics: [{name}]\n"
    asked = recipe(tmp_path, target, f"{more}split: {{test: 0.25, seed: 3}}\n")
    alone = train(trees, asked)
    there = train(trees, asked, cluster=cluster.address, partitioned=True)
    (one, _), (other, model) = held_out(trees, alone.run_id), held_out(trees, there.run_id)
    assert np.array_equal(one.rows, other.rows)
    assert np.array_equal(one.truth, other.truth)
    assert alone.params == there.params
    metric = "rmse" if target == "y" else "log_loss"
    assert there.metrics[metric] == pytest.approx(alone.metrics[metric], rel=0.03)
    assert there.metrics[f"train_{metric}"] == pytest.approx(
        alone.metrics[f"train_{metric}"], rel=0.05
    )
    # What was measured is what the stored model says of the rows, by scikit-learn.
    frame = versions.read(trees, versions.find(trees, "trees"))[other.rows]
    columns = {c.name: frame[c.name].to_list() for c in model.inputs}
    if target == "y":
        said = np.array(model.predict(model.preparation.validate(columns)))
        assert np.array_equal(said, other.predicted)
        expected = mean_squared_error(frame["y"], said) ** 0.5
        assert there.metrics["rmse"] == pytest.approx(expected, rel=1e-12)
        expected = mean_squared_error(frame["y"], said, sample_weight=frame["weight"]) ** 0.5
        assert there.metrics["weighted_rmse"] == pytest.approx(expected, rel=1e-12)
    elif target == "is_high":
        said = np.array(model.predict_proba(model.preparation.validate(columns)))[:, 1]
        expected = roc_auc_score(frame["is_high"], said)
        assert there.metrics["roc_auc"] == pytest.approx(expected, rel=1e-12)
    assert there.metrics.keys() == alone.metrics.keys()
    features = {feature.name: feature for feature in model.features}
    assert features["kind"].n_categories >= 4  # the rare one was not lost with the sampling
    assert "127.0.0.1" not in model.content.decode()  # where it was trained is nobody's business


def test_features_of_a_sample_know_every_text_and_every_column_with_gaps(
    cluster, trees, tmp_path, monkeypatch
):
    monkeypatch.setattr(partitioned, "SAMPLE_ROWS", 500)
    asked = recipe(tmp_path, "size", "split: {test: 0.0}\n")
    there = train(trees, asked, cluster=cluster.address, partitioned=True)
    model = load(trees, Tree.of(trees.get("runs", there.run_id)["model"]))
    assert any("of the 12,000 training rows" in note for note in there.warnings)
    inputs = {column.name: column for column in model.inputs}
    assert inputs["holes"].nullable
    assert {f.name: f.n_categories for f in model.features}["kind"] >= 4
    with pytest.raises(InputError, match="cannot be repeated bit for bit"):
        reproduce(trees, there.run_id)


def test_a_killed_worker_begins_the_training_again_with_the_other(cluster, trees, tmp_path):
    asked = recipe(tmp_path, "y", "params: {n_estimators: 300, num_leaves: 31}\n")
    told: list[str] = []
    killed: list[int] = []

    def kill(step):
        if step.label not in told[-1:]:
            told.append(step.label)
            print(step.label)
        if step.label == "Training on the cluster" and step.done > 5 and not killed:
            killed.append(cluster.workers[0].pid)
            print(f"kill -9 {killed[0]} at round {step.done} of {step.total}")
            os.kill(killed[0], signal.SIGKILL)

    there = train(trees, asked, cluster=cluster.address, partitioned=True, progress=kill)
    assert killed
    assert "A worker was lost: beginning again with the others" in told
    alone = train(trees, asked)
    assert there.metrics["rmse"] == pytest.approx(alone.metrics["rmse"], rel=0.03)


def test_cancel_ends_it_on_the_workers_too(cluster, trees, tmp_path):
    asked = recipe(tmp_path, "y", "params: {n_estimators: 20000}\n")

    def stop(step):
        if step.label == "Training on the cluster" and step.done > 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        train(trees, asked, cluster=cluster.address, partitioned=True, progress=stop)
    quick = recipe(tmp_path, "y", "params: {n_estimators: 5}\n")
    train(trees, quick, cluster=cluster.address, partitioned=True)  # they are free again


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("estimator: sklearn.linear_model.Ridge\n", "Only lightgbm"),
        ("slices: [kinds]\n", "slices names column 'kinds'"),
        ("split: {folds: 3}\n", "no cross-validation"),
        ("early_stopping: 20\n", "early_stopping is not possible"),
        ("params: {learning_rate: fast}\n", "lightgbm cannot be trained so"),
    ],
)
def test_what_cannot_be_done_in_parts_is_a_sentence(cluster, trees, tmp_path, more, said):
    with pytest.raises(InputError, match=said):
        train(trees, recipe(tmp_path, "y", more), cluster=cluster.address, partitioned=True)
