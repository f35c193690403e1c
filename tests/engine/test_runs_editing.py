"""Editing runs: what MLflow's own client sees after it, and what stands when its store is down."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from local_stack.catalog import call
from local_stack.errors import InputError, NotFoundError, RefusedError
from local_stack.runs.editing import NOTE, EditedRun, EditedRuns
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

Store = tuple[Workspace, MlflowClient, list[str]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, MlflowClient]]:
    """A workspace whose store plain MLflow has written to, and MLflow's client of it."""
    root = tmp_path_factory.mktemp("editing") / "ws"
    with Workspace.create(root, actor="ann") as opened, quiet():
        yield opened, MlflowClient(opened.tracking.uri, opened.tracking.uri)


@pytest.fixture
def store(shared: tuple[Workspace, MlflowClient], request: Any) -> Iterator[Store]:
    """Three new runs of another tool, in an experiment of their own."""
    workspace, client = shared
    with quiet():
        experiment = client.create_experiment(request.node.name)
        runs = [client.create_run(experiment, run_name=f"run-{n}") for n in range(3)]
        for run in runs:
            client.set_tag(run.info.run_id, "team", "red")
            client.set_terminated(run.info.run_id)
        yield workspace, client, [run.info.run_id for run in runs]


@pytest.fixture(scope="module")
def untouched(shared: tuple[Workspace, MlflowClient]) -> str:
    """A run of another tool that no test changes."""
    _, client = shared
    with quiet():
        return client.create_run(client.create_experiment("untouched")).info.run_id


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # file stores are deprecated upstream
        yield


@contextlib.contextmanager
def unwritable(workspace: Workspace) -> Iterator[None]:
    """Take the store away for a while, as a mount that is gone."""
    folder = workspace.root / "mlruns"
    folder.rename(folder.with_name("away"))
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        folder.with_name("away").rename(folder)


def tag(workspace: Workspace, run: str, *tags: str) -> EditedRun:
    found = call(workspace, "runs.tag", {"run": run, "tags": list(tags)})
    assert isinstance(found, EditedRun)
    return found


def edit(workspace: Workspace, verb: str, *runs: str, **options: Any) -> EditedRuns:
    found = call(workspace, f"runs.{verb}", {"runs": list(runs), **options})
    assert isinstance(found, EditedRuns)
    return found


def shown(workspace: Workspace, run: str) -> Any:
    return call(workspace, "runs.show", {"run": run})


def events(workspace: Workspace, run: str) -> list[str]:
    found = call(workspace, "audit.log", {"subject": f"run:{run}"}).events
    return [event.kind for event in reversed(found)]


def matched(workspace: Workspace, name: str, state: str = "active") -> set[str]:
    found = call(workspace, "runs.search", {"experiment": name, "state": state})
    return {run.run_id for run in found.runs}


def test_mlflow_sees_the_tags_that_are_set_and_taken_away(store: Store) -> None:
    workspace, client, (run, other, _) = store
    done = tag(workspace, run, "team=blue", "why not/é=a = b", "n=1")
    assert (done.changed, done.warnings) == (True, ())
    assert {"team": "blue", "why not/é": "a = b", "n": "1"}.items() <= done.tags.items()
    assert client.get_run(run).data.tags == shown(workspace, run).tags == done.tags
    done = tag(workspace, run, "n=", "gone=", "team=green")
    assert client.get_run(run).data.tags == shown(workspace, run).tags == done.tags
    assert (done.tags["team"], "n" in done.tags) == ("green", False)
    assert client.get_run(other).data.tags["team"] == "red"
    assert events(workspace, run) == ["runs.tagged", "runs.mirrored"] * 2


def test_the_same_edit_twice_changes_and_records_nothing(store: Store) -> None:
    workspace, client, (run, *_) = store
    tag(workspace, run, "team=blue")
    before = workspace.query("SELECT count(*) AS n FROM events WHERE kind LIKE 'runs.%'")
    assert not tag(workspace, run, "team=blue", "absent=").changed
    assert workspace.query("SELECT count(*) AS n FROM events WHERE kind LIKE 'runs.%'") == before
    client.set_tag(run, "team", "pink")  # by somebody else, in a file that was there
    assert tag(workspace, run, "team=blue").changed
    assert client.get_run(run).data.tags["team"] == "blue"


def test_the_note_is_what_mlflow_shows_as_the_description(store: Store) -> None:
    workspace, client, (run, *_) = store
    text = "# Best\n* <b>so</b> far, 'quoted' \"twice\"\n"
    assert call(workspace, "runs.note", {"run": run, "text": text}).note == text
    assert client.get_run(run).data.tags[NOTE] == text
    assert call(workspace, "runs.note", {"run": run, "text": ""}).note == ""
    assert NOTE not in client.get_run(run).data.tags


def test_runs_are_deleted_and_restored_for_every_client(store: Store, request: Any) -> None:
    workspace, client, runs = store
    name = request.node.name
    experiment = client.get_experiment_by_name(name).experiment_id
    done = edit(workspace, "delete", runs[0], runs[1], runs[0])
    assert (done.n_changed, [run.lifecycle for run in done.runs]) == (2, ["deleted"] * 2)
    assert {run.info.run_id for run in client.search_runs([experiment])} == {runs[2]}
    assert matched(workspace, name) == {runs[2]}
    assert matched(workspace, name, "deleted") == set(runs[:2])
    assert edit(workspace, "delete", *runs[:2]).n_changed == 0
    assert edit(workspace, "restore", *runs).n_changed == 2
    assert {run.info.run_id for run in client.search_runs([experiment])} == set(runs)
    assert matched(workspace, name) == set(runs)
    kinds = ["runs.deleted", "runs.mirrored", "runs.restored", "runs.mirrored"]
    assert events(workspace, runs[0]) == kinds


def test_one_that_is_not_found_leaves_all_as_they_are(store: Store, request: Any) -> None:
    workspace, _, runs = store
    for verb in ("delete", "restore"):
        with pytest.raises(NotFoundError, match="There is no run 'nobody'"):
            edit(workspace, verb, *runs, "nobody")
    assert matched(workspace, request.node.name) == set(runs)
    with pytest.raises(NotFoundError):
        tag(workspace, "", "a=b")
    with pytest.raises(InputError, match="No run is named"):
        edit(workspace, "delete")


def test_a_deleted_run_is_not_changed(store: Store) -> None:
    workspace, _, (run, *_) = store
    edit(workspace, "delete", run)
    with pytest.raises(InputError, match="is deleted") as caught:
        tag(workspace, run, "team=blue")
    assert caught.value.hint == f"Restore it first: paceml-tui runs restore {run}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("team", "needs key=value"),
        ("=x", "needs key=value"),
        ("mlflow.user=eve", "MLflow's own record"),
        ("MLFLOW.parentRunId=x", "MLflow's own record"),
        ("paceml.workspace=x", "PACE-ML's own record"),
        ("../../evil=x", "cannot be the name"),
        ("/etc/passwd=x", "cannot be the name"),
        ("a//b=x", "cannot be the name"),
        (".=x", "cannot be the name"),
        ("a\n=x", "cannot be the name"),
        ("a\0=x", "cannot be the name"),
        ("<script>=x", "cannot be the name"),
        ("k" * 251 + "=x", "251 characters"),
        ("é" * 200 + "=x", "200 characters"),
        ("k=" + "v" * 8001, "8,001 characters"),
        ("k=\udce4", "U\\+DCE4"),
    ],
)
def test_what_no_store_takes_is_refused_before_anything_is_recorded(
    shared: tuple[Workspace, MlflowClient], untouched: str, given: str, said: str
) -> None:
    workspace, client = shared
    with pytest.raises(InputError, match=said):
        tag(workspace, untouched, "team=blue", given)
    assert "team" not in client.get_run(untouched).data.tags
    assert events(workspace, untouched) == []


def test_a_note_that_mlflow_would_cut_is_refused(
    shared: tuple[Workspace, MlflowClient], untouched: str
) -> None:
    with pytest.raises(InputError, match="8,001 characters"):
        call(shared[0], "runs.note", {"run": untouched, "text": "x" * 8001})


def test_a_store_that_is_down_is_a_warning_and_the_doctor_writes_it_later(
    store: Store, request: Any
) -> None:
    workspace, client, runs = store
    run, gone, _ = runs
    shown(workspace, run)
    with unwritable(workspace):
        done = tag(workspace, run, "team=blue", "mark=1")
        assert done.changed
        assert "did not take the record" in done.warnings[0]
        tag(workspace, run, "mark=")
        assert edit(workspace, "delete", gone).warnings
        assert shown(workspace, run).tags["team"] == "blue"
        assert matched(workspace, request.node.name) == {run, runs[2]}
    assert client.get_run(run).data.tags["team"] == "red"
    assert shown(workspace, run).tags["team"] == "blue"
    assert {run, gone} == {edit_.subject[4:] for edit_ in findings(workspace)}
    assert all(finding.is_repaired for finding in findings(workspace, repair=True))
    assert client.get_run(run).data.tags == shown(workspace, run).tags
    assert client.get_run(run).data.tags["team"] == "blue"
    assert "mark" not in client.get_run(run).data.tags
    assert client.get_run(gone).info.lifecycle_stage == "deleted"
    assert findings(workspace) == []
    client.set_tag(run, "team", "pink")  # what others change later is not taken back
    findings(workspace, repair=True)
    assert client.get_run(run).data.tags["team"] == "pink"


def test_an_edit_of_a_run_that_is_gone_for_good_is_forgotten(store: Store) -> None:
    workspace, _, (run, *_) = store
    shown(workspace, run)
    with unwritable(workspace):
        tag(workspace, run, "team=blue")
    shutil.rmtree(next((workspace.root / "mlruns").glob(f"*/{run}")))
    assert [finding.is_repaired for finding in findings(workspace, repair=True)] == [True]
    assert findings(workspace) == []


EDITOR = """
    import sys
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    with Workspace.open(sys.argv[1]) as workspace:
        for number in range(12):
            value = f"team={sys.argv[3]}-{number}"
            found = call(workspace, "runs.tag", {"run": sys.argv[2], "tags": [value]})
            assert found.warnings == (), found.warnings
"""


@pytest.mark.slow
def test_the_newest_of_two_editors_is_the_last_one_that_the_store_hears(store: Store) -> None:
    workspace, client, (run, *_) = store
    words = [sys.executable, "-c", textwrap.dedent(EDITOR), str(workspace.root), run]
    editors = [subprocess.Popen([*words, name]) for name in ("one", "two")]
    assert [editor.wait(120) for editor in editors] == [0, 0]
    newest = call(workspace, "audit.log", {"subject": f"run:{run}", "kind": "runs.tagged"}).events[
        0
    ]
    assert newest.body["tags"] == {"team": client.get_run(run).data.tags["team"]}
    assert shown(workspace, run).tags["team"] == newest.body["tags"]["team"]
    assert workspace.query("SELECT * FROM run_edits WHERE run_id = ?", run) == []


def findings(workspace: Workspace, **options: bool) -> list[Any]:
    found = call(workspace, "doctor.check", options).findings
    return [finding for finding in found if finding.code == "edit_unwritten"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_one_run_that_cannot_be_written_does_not_hold_the_others_up(store: Store) -> None:
    workspace, client, runs = store
    folder = next((workspace.root / "mlruns").glob(f"*/{runs[0]}"))
    folder.chmod(0o500)
    try:
        assert len(edit(workspace, "delete", *runs).warnings) == 1
    finally:
        folder.chmod(0o700)
    assert client.get_run(runs[1]).info.lifecycle_stage == "deleted"


def test_a_run_whose_empty_folders_git_left_out_can_be_edited(store: Store) -> None:
    workspace, client, (run, *_) = store
    folder = next((workspace.root / "mlruns").glob(f"*/{run}"))
    for name in ("artifacts", "params", "metrics"):
        (folder / name).rmdir()
    assert tag(workspace, run, "team=blue").warnings == ()
    assert client.get_run(run).data.tags["team"] == "blue"


@pytest.mark.slow  # MLflow takes its time to make a database
def test_a_sqlite_store_is_edited_too(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with Workspace.create(tmp_path / "ws", tracking_uri=uri, actor="ann") as workspace, quiet():
        client = MlflowClient(uri, uri)
        run = client.create_run(client.create_experiment("sql")).info.run_id
        client.set_terminated(run)
        assert tag(workspace, run, "team=blue").tags["team"] == "blue"
        assert tag(workspace, run, "team=green").warnings == ()
        assert client.get_run(run).data.tags["team"] == shown(workspace, run).tags["team"]
        assert shown(workspace, run).tags["team"] == "green"
        edit(workspace, "delete", run)
        assert client.get_run(run).info.lifecycle_stage == "deleted"
        assert matched(workspace, "sql") == set()
        edit(workspace, "restore", run)
        assert matched(workspace, "sql") == {run}


def registered(workspace: Workspace, run: str, stage: str) -> None:
    row = {"name": f"m-{stage}", "version": 1, "stage": stage, "run_id": run}
    workspace.append(lambda _: Draft("test", "test", {}, [("model_versions", row)]))


def test_a_run_that_serves_is_not_deleted_by_mistake(store: Store, request: Any) -> None:
    workspace, client, runs = store
    registered(workspace, runs[0], "Production")
    registered(workspace, runs[1], "Archived")
    with pytest.raises(RefusedError) as caught:
        edit(workspace, "delete", runs[1], runs[0])
    assert "m-Production/1 (Production)" in caught.value.message
    assert (caught.value.exit_code, caught.value.to_dict()["code"]) == (4, "run_in_use")
    assert matched(workspace, request.node.name) == set(runs)
    assert edit(workspace, "delete", runs[1], runs[0], force=True).n_changed == 2
    assert client.get_run(runs[0]).info.lifecycle_stage == "deleted"


def test_a_run_of_ours_keeps_the_edit_in_its_own_record(workspace: Workspace) -> None:
    with quiet():
        opened = workspace.tracking.begin_run("wine", "mine", "ann", "test")
    row = {"run_id": opened.run_id, "name": "mine", "experiment": "wine", "status": "FINISHED"}
    row |= {"lifecycle": "active", "tags": {"a": "1"}, "params": {}, "metrics": {}}
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    tag(workspace, opened.run_id, "a=", "b=2")
    edit(workspace, "delete", opened.run_id)
    kept = workspace.get("runs", opened.run_id)
    assert kept is not None
    assert (kept["tags"], kept["lifecycle"]) == ({"b": "2"}, "deleted")
    assert workspace.query("SELECT * FROM run_edits") == []


def test_a_command_line_takes_several_tags_and_runs() -> None:
    from local_stack.catalog import find
    from paceml_tui.cli import _arguments

    given = _arguments(find("runs.tag"), ["latest", "a=1", "b="])
    assert given == {"run": "latest", "tags": ["a=1", "b="]}
    given = _arguments(find("runs.delete"), ["one", "two", "--force"])
    assert given == {"runs": ["one", "two"], "force": True}
