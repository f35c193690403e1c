"""``explain model`` and ``explain dependence`` on real runs: what they say, store and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from explain_kit import table
from s3_kit import BUCKET, client

from local_stack import catalog
from local_stack.errors import InputError, NotFoundError, UnavailableError
from local_stack.explain import model as explaining
from local_stack.explain.effects.parts import KINDS
from local_stack.explain.learnt import unseen
from local_stack.explain.reporting import figures
from local_stack.results import plain
from local_stack.runs import records
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace
from paceml_tui import batch

HOSTILE = "<img src=x>[/red]\x1b[31m"
PLANS = {
    "two": ("label", "params: {n_estimators: 15, num_leaves: 5}\n", "y, grade, is_new"),
    "many": ("grade", "params: {n_estimators: 8, num_leaves: 5}\n", "y, label, is_new, same, b"),
    "none held out": (
        "y",
        "split: {test: 0}\nestimator: sklearn.linear_model.ElasticNet\nparams: {alpha: 0.1}\n",
        f'label, grade, word, same, is_new, c, "{HOSTILE}"'.replace("\x1b", "\\e"),
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, str]]:
    """A workspace with a run of each plan, and their ids."""
    folder = tmp_path_factory.mktemp("explained")
    workspace = Workspace.create(folder / "ws", actor="tester")
    frame = table().rename({"noise": HOSTILE})
    frame.write_parquet(folder / "t.parquet")
    catalog.call(workspace, "data.add", {"name": "t", "source": str(folder / "t.parquet")})
    later = frame.head(60).with_columns(label=pl.lit("yes"))
    later.write_parquet(folder / "u.parquet")
    catalog.call(workspace, "data.add", {"name": "u", "source": str(folder / "u.parquet")})
    frame.tail(50).drop("y").write_parquet(folder / "new.parquet")
    catalog.call(workspace, "data.add", {"name": "new", "source": str(folder / "new.parquet")})
    found = {}
    for name, (target, text, dropped) in PLANS.items():
        path = folder / f"{name}.yaml"
        task = "regression" if target == "y" else "classification"
        steps = f"features: [{{drop: {{columns: [day, {dropped}]}}}}]\n"
        path.write_text(f"dataset: t\ntarget: {target}\ntask: {task}\n{steps}{text}")
        run = catalog.call(workspace, "runs.train", {"recipe": str(path), "name": name})
        found[name] = run.run_id
    return workspace, found


def explain(workspace: Workspace, run: str, **options: Any) -> Any:
    return catalog.call(workspace, "explain.model", {"target": run, **options})


def stored(workspace: Workspace, run: str, name: str) -> Path:
    blob = workspace.get("explanations", run)["artifacts"][f"explain/{name}"]
    return workspace.artifacts.path(Blob.of(blob))


def held_out(workspace: Workspace, run: str) -> list[int]:
    """Return the rows whose predictions the run recorded as held out."""
    blob = workspace.get("runs", run)["files"]["predictions.parquet"]
    return pl.read_parquet(workspace.artifacts.path(Blob.of(blob)))["row"].to_list()


def test_a_model_is_explained_and_all_of_it_is_stored_with_the_run(runs, tmp_path: Path) -> None:
    workspace, ids = runs
    found = explain(workspace, ids["two"], html=str(tmp_path / "why.html"))
    assert (found.n_rows, found.n_total, found.is_sample) == (300, 300, False)
    assert (found.unit, found.outputs, found.output) == ("log-odds", ("yes",), "yes")
    assert {it.feature for it in found.importance} == {"a", "b", "c", "word", "same", HOSTILE}
    assert found.additivity_error < 1e-9
    assert found.base_values == (found.base_value,)
    assert (found.permutation.rows, found.permutation.n_rows) == ("test", 60)
    assert (
        held_out(workspace, ids["two"])
        == unseen(workspace.get("runs", ids["two"]), table()).tolist()
    )
    assert {it.column for it in found.permutation.columns[:3]} == {"a", "b", "c"}
    assert found.surrogate.measure == "agreement"
    assert set(found.interactions.columns) == {it.feature for it in found.importance}
    assert found.background.data_version == found.data_version
    assert {it.column: it.code for it in found.findings}["same"] == "constant"
    # the document is the result, with all that is drawn
    document = json.loads(stored(workspace, ids["two"], "explanation.json").read_text("utf-8"))
    assert document["explanation"] == plain(found)
    assert [it["column"] for it in document["dependences"]] == [
        it.feature for it in found.importance
    ]
    assert {it["kind"] for it in document["dependences"]} <= set(KINDS)
    assert document["beeswarm"]["n_rows"] == 300
    assert {it["column"] for it in document["partials"]} == set(document["beeswarm"]["columns"])
    # files, in the store and in MLflow, under names of our own
    shown = records.show(workspace, ids["two"])
    assert set(found.artifacts) <= set(shown.artifacts)
    place = Path(shown.artifact_uri.removeprefix("file://"))
    for name in found.artifacts:
        held = stored(workspace, ids["two"], name.removeprefix("explain/"))
        assert (place / name).read_bytes() == held.read_bytes()
        assert name.isascii()
        assert "<" not in name
    assert sum(name.endswith(".png") for name in found.artifacts) >= len(found.importance)
    page = (tmp_path / "why.html").read_text("utf-8")
    assert page == stored(workspace, ids["two"], "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "\x1b" not in page


def test_the_stored_values_of_many_classes_are_blocks_that_add_up(runs) -> None:
    workspace, ids = runs
    found = explain(workspace, ids["many"], rows=40, output="2")
    assert (found.output, found.base_value) == ("2", found.base_values[2])
    means = [it.mean_abs_shap for it in found.importance]
    assert means == sorted(means, reverse=True)
    document = json.loads(stored(workspace, ids["many"], "explanation.json").read_text("utf-8"))
    assert document["partials"][0]["output"] == "2"
    path = stored(workspace, ids["many"], "shap_values.parquet")
    frame = pl.read_parquet(path)
    about = json.loads(pl.read_parquet_metadata(path)["paceml"])
    assert about["unit"] == found.unit
    assert frame.height == 40 * 3
    assert frame["output"].unique(maintain_order=True).to_list() == ["0", "1", "2"]
    summed = frame.select(about["features"]).sum_horizontal() + frame["base_value"]
    np.testing.assert_allclose(summed, frame["prediction"], atol=1e-9)
    by_class = frame.group_by("output", maintain_order=True).agg(
        pl.col(about["features"]).abs().mean()
    )
    for item in found.importance:
        assert list(item.by_class) == pytest.approx(by_class[item.feature].to_list(), rel=1e-9)
        assert item.mean_abs_shap == pytest.approx(item.by_class[2], rel=1e-9)
    assert found.n_summed == 1
    assert (found.is_sample, found.n_rows, found.n_total) == (True, 40, 300)
    with pytest.raises(InputError, match="'3' is not a class"):
        explain(workspace, ids["many"], output="3", rows=5)


def test_explaining_twice_gives_the_same(runs) -> None:
    workspace, ids = runs
    run = ids["none held out"]
    found = explain(workspace, run, rows=30)
    kept = {name: stored(workspace, run, name).read_bytes() for name in _names(found)}
    again = explain(workspace, run, rows=30)
    assert again == found
    for name, content in kept.items():
        assert stored(workspace, run, name).read_bytes() == content


def test_a_pipeline_explains_again_what_is_not_what_it_left(runs) -> None:
    workspace, ids = runs
    step = {"target": ids["none held out"]}
    reads = catalog.find("explain.model").reads
    assert reads is not None
    explain(workspace, ids["none held out"], rows=20)
    left = reads(workspace, step)
    assert reads(workspace, step) == left
    explain(workspace, ids["none held out"], rows=25)
    assert reads(workspace, step) != left


def _names(found: Any) -> list[str]:
    return [name.removeprefix("explain/") for name in found.artifacts]


def test_rows_that_the_model_learnt_from_are_said_to_be_so(runs) -> None:
    workspace, ids = runs
    found = explain(workspace, ids["none held out"])
    assert (found.permutation.rows, found.unit) == ("all", "target")
    assert any("held none out" in note for note in found.notes)
    assert any("no interactions" in note for note in found.notes)
    assert [it.feature for it in found.importance] == ["a", "b"]
    assert found.permutation.metric == "rmse"


def test_rows_of_another_version_are_explained(runs) -> None:
    workspace, ids = runs
    found = explain(workspace, ids["none held out"], data="u")
    assert found.data_version.startswith("u@")
    assert found.n_total == 60
    assert found.background.data_version.startswith("t@")
    assert (found.permutation.rows, found.permutation.n_rows) == ("other", 60)


def test_rows_without_a_target_are_explained_but_for_the_permutation_importance(
    runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = runs

    def down(*_: Any, **__: Any) -> None:
        raise UnavailableError("MLflow is away.")

    monkeypatch.setattr(type(workspace.tracking), "log_artifacts", down)
    found = explain(workspace, ids["none held out"], data="new")
    assert (found.permutation, found.n_rows) == (None, 50)
    assert any("has no y" in note for note in found.notes)
    assert found.notes[-1] == "MLflow is away."
    held = workspace.get("explanations", ids["none held out"])
    assert (held["dataset"], held["n_rows"]) == ("new", 50)


def test_what_was_recorded_last_is_mirrored_and_no_page_of_what_was_not_recorded(
    runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = runs
    run, record = ids["none held out"], explaining._record
    monkeypatch.setattr(figures, "draw", lambda *_: [])  # which takes longer than all the rest
    place = Path(records.show(workspace, run).artifact_uri.removeprefix("file://"))
    mirrored = place / "explain" / "explanation.json"
    explain(workspace, run, rows=11)
    assert json.loads(mirrored.read_text())["explanation"]["n_rows"] == 11

    def overtaken(*given: Any) -> None:  # another process records its own right afterwards
        record(*given)
        *most, blobs = given
        record(*most, blobs | {"explain/explanation.json": blobs["explain/report.html"]})

    monkeypatch.setattr(explaining, "_record", overtaken)
    explain(workspace, run, rows=12)
    assert json.loads(mirrored.read_text())["explanation"]["n_rows"] == 11

    def full(*_: Any) -> None:
        raise UnavailableError("The disk is full.")

    monkeypatch.setattr(explaining, "_record", full)
    with pytest.raises(UnavailableError):
        explain(workspace, run, rows=12, html=str(tmp_path / "page.html"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "at least 1 row"),
        ({"unit": "apples"}, "not measured in 'apples'"),
        ({"data": "nothing"}, "nothing"),
        ({"html": "/nowhere/at/all.html"}, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(runs, options, message: str) -> None:
    workspace, ids = runs
    with pytest.raises(InputError, match=message):
        explain(workspace, ids["two"], **options)


# ------------------------------------------------------------------ dependence


def depend(workspace: Workspace, run: str, feature: str, **options: Any) -> Any:
    asked = {"target": run, "feature": feature, **options}
    return catalog.call(workspace, "explain.dependence", asked)


def test_dependence_has_points_a_colour_and_lines(runs) -> None:
    workspace, ids = runs
    found = depend(workspace, ids["two"], "c")
    assert (found.feature, found.unit, found.output) == ("c", "log-odds", "yes")
    assert found.n_missing == table()["c"].null_count()
    pairs = zip(found.dependence.values, found.dependence.shap, strict=True)
    missing = [shap for value, shap in pairs if value is None]
    assert len(missing) == found.n_missing
    assert found.missing_shap == pytest.approx(np.mean(missing), rel=1e-9)
    assert found.partial.grid[-1] is None
    assert len(found.partial.ice) == 50
    assert found.partial.unit == "probability"
    asked = depend(workspace, ids["two"], "c", color=HOSTILE, rows=50)
    assert (asked.dependence.colour, asked.n_rows) == (HOSTILE, 50)
    assert depend(workspace, ids["two"], "c") == found
    unused = depend(workspace, ids["two"], "c", color="day", rows=50)  # no column of the model's
    assert (unused.dependence.colour, unused.dependence.colour_kind) == ("day", "date")


def test_an_unknown_feature_is_told_with_the_nearest(runs) -> None:
    workspace, ids = runs
    with pytest.raises(NotFoundError, match="no feature 'wrod'") as caught:
        depend(workspace, ids["two"], "wrod")
    assert caught.value.hint == "Did you mean 'word'?"
    with pytest.raises(NotFoundError, match="no column 'bb' to colour by"):
        depend(workspace, ids["two"], "a", color="bb")
    with pytest.raises(InputError, match="cannot colour itself"):
        depend(workspace, ids["two"], "a", color="a")


# ------------------------------------------------------------------ a bucket


@pytest.mark.slow
def test_an_explanation_is_stored_in_a_bucket(s3_environment, s3_server, tmp_path: Path) -> None:
    bucket = f"s3://{BUCKET}/{tmp_path.name}"
    with Workspace.create(tmp_path / "ws", artifacts=bucket) as workspace:
        table().write_parquet(tmp_path / "t.parquet")
        catalog.call(workspace, "data.add", {"name": "t", "source": str(tmp_path / "t.parquet")})
        target, text, dropped = PLANS["many"]
        path = tmp_path / "r.yaml"
        steps = f"features: [{{drop: {{columns: [day, {dropped}]}}}}]\n"
        path.write_text(f"dataset: t\ntarget: {target}\ntask: classification\n{steps}{text}")
        run = catalog.call(workspace, "runs.train", {"recipe": str(path)}).run_id
        found = explain(workspace, run, rows=20)
        held = workspace.get("explanations", run)["artifacts"]
        assert set(held) == set(found.artifacts)
        files = client(s3_server.url)
        for row in held.values():
            blob = Blob.of(row)
            uri = workspace.artifacts.uri(blob)
            assert uri.startswith(f"{bucket}/")
            assert files.info(uri.removeprefix("s3://"))["size"] == blob.size


def test_a_pipeline_leaves_the_report_in_its_folder_and_a_deleted_run_is_refused(
    runs, tmp_path: Path
) -> None:
    workspace, found = runs
    result = explain(workspace, found["none held out"], rows=40)
    other = {"id": "other", "result": None, "status": "done", "command": "data.list"}
    step = other | {"id": "why ../me", "result": plain(result)}
    told = {"name": "p", "passed": True, "started_at": "2026-11-29T20:00:00Z", "seconds": 1.0}

    def report(*steps: dict[str, Any]) -> set[str]:
        filled = [{"seconds": 1.0, "reason": "", **it} for it in steps]
        batch.write_reports(workspace, tmp_path, {**told, "steps": filled}, None)
        return {it.name for it in tmp_path.iterdir()} - {"report.json", "junit.xml", "summary.md"}

    assert report(step, other) == {"why-me-report.html"}
    page = tmp_path / "why-me-report.html"
    kept = stored(workspace, found["none held out"], "report.html").read_bytes()
    assert page.read_bytes() == kept
    page.with_name("mine.html").write_text("<html>")
    assert report(step | {"id": "next"}) == {"mine.html", "next-report.html"}  # the earlier is gone
    page.with_name("next-report.html").write_text("changed by hand")
    assert report(other) == {"mine.html", "next-report.html"}
    catalog.call(workspace, "runs.delete", {"runs": [found["none held out"]]})
    try:
        with pytest.raises(InputError, match="is deleted") as refused:
            explain(workspace, found["none held out"])
        assert "runs restore" in str(refused.value.hint)
    finally:
        catalog.call(workspace, "runs.restore", {"runs": [found["none held out"]]})


def test_the_first_of_two_classes_is_told_of_too(runs) -> None:
    workspace, found = runs
    second = catalog.call(workspace, "explain.dependence", {"target": found["two"], "feature": "a"})
    first = catalog.call(
        workspace,
        "explain.dependence",
        {"target": found["two"], "feature": "a", "output": "no", "unit": "probability"},
    )
    assert (first.output, second.output, first.partial.output) == ("no", "yes", "no")
    np.testing.assert_allclose(1 - np.array(first.partial.mean), second.partial.mean, atol=1e-12)
    same = catalog.call(
        workspace,
        "explain.dependence",
        {"target": found["two"], "feature": "a", "unit": "probability"},
    )
    np.testing.assert_allclose(first.dependence.shap, -np.array(same.dependence.shap), atol=1e-12)
    assert first.base_value == pytest.approx(1 - same.base_value, abs=1e-12)
    with pytest.raises(InputError, match="'maybe' is not a class"):
        explain(workspace, found["two"], output="maybe")
