"""The doctor: names what killed processes and damaged files leave, and mends what it can."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack import jobs
from local_stack.catalog import call
from local_stack.doctor import Health
from local_stack.errors import ReadOnlyError, RefusedError
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace


def check(workspace: Workspace, **options: bool) -> Health:
    found = call(workspace, "doctor.check", options)
    assert isinstance(found, Health)
    return found


def codes(health: Health) -> list[str]:
    return [finding.code for finding in health.findings]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    return path


def test_a_new_workspace_is_healthy(workspace):
    health = check(workspace)
    assert (health.healthy, health.findings, health.n_events) == (True, (), 1)


def test_a_used_workspace_is_healthy(workspace, table):
    call(workspace, "data.add", {"name": "t", "source": str(table)})
    health = check(workspace)
    assert (health.healthy, health.findings) == (True, ())


def kill_at_work(workspace: Workspace) -> str:
    script = """
        import os, signal, sys
        from pathlib import Path
        from local_stack import jobs
        from local_stack.progress import silent
        from local_stack.workspace import Workspace

        workspace = Workspace.open(sys.argv[1])
        with jobs.tracked(workspace, "runs.train", {}, silent):
            folder = workspace.scratch()
            (Path(folder.name) / "x").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(workspace.root)]
    assert subprocess.run(words, capture_output=True, timeout=60).returncode == -9
    return jobs.listed(workspace)[0].job


def test_a_killed_job_and_its_temporary_files_are_named_then_mended(workspace):
    job = kill_at_work(workspace)
    health = check(workspace)
    assert set(codes(health)) == {"job_killed", "scratch_left"}
    assert all(not finding.is_repaired for finding in health.findings)
    assert f"job:{job}" in [finding.subject for finding in health.findings]
    assert all("paceml-tui doctor --repair" in finding.fix for finding in health.findings)
    mended = check(workspace, repair=True)
    assert all(finding.is_repaired for finding in mended.findings)
    assert (check(workspace).healthy, check(workspace).findings) == (True, ())
    assert workspace.get("jobs", job)["status"] == "killed"
    assert workspace.leftovers() == []


def test_a_run_whose_job_was_killed_is_marked(workspace):
    job = kill_at_work(workspace)
    row = {"run_id": "r1", "status": "RUNNING", "job": job, "lifecycle": "active"}
    workspace.append(lambda _: Draft("runs.started", "run:r1", {}, [("runs", row)]))
    assert "run_killed" in codes(check(workspace))
    check(workspace, repair=True)
    assert workspace.get("runs", "r1")["status"] == "KILLED"
    assert check(workspace).findings == ()


def damaged_journal(workspace: Workspace) -> None:
    for number in range(4):
        workspace.append(lambda _, n=number: Draft("test", "s", {"n": n}))
    path = workspace.root / "journal" / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))


def missing_artifact(workspace: Workspace) -> None:
    table = workspace.root.parent / "t.csv"
    table.write_text("a,b\n1,x\n")
    call(workspace, "data.add", {"name": "t", "source": str(table)})
    shutil.rmtree(workspace.root / "objects" / "files")


@pytest.mark.parametrize(
    ("harm", "code"), [(damaged_journal, "journal_damaged"), (missing_artifact, "artifact_missing")]
)
def test_what_needs_a_backup_stays_an_error(
    workspace, harm: Callable[[Workspace], None], code: str
):
    harm(workspace)
    for repair in (False, True):
        with pytest.raises(RefusedError) as caught:
            check(workspace, repair=repair)
        assert (caught.value.exit_code, caught.value.to_dict()["code"]) == (4, "unhealthy")
        health = caught.value.result
        assert code in codes(health)
        assert health.healthy is False
        assert all("backup" in f.fix for f in health.findings if f.code == code)


def test_runs_that_mlflow_shows_as_running_for_ever_are_ended(workspace):
    first = workspace.tracking.begin_run("e", "r", "a", "s")
    torn = workspace.tracking.begin_run("e", "r", "a", "s")
    folder = workspace.root / "mlruns" / torn.experiment_id / torn.run_id
    (folder / "meta.yaml").write_bytes(b"")
    health = check(workspace)
    assert set(codes(health)) == {"mirror_lags", "mirror_torn"}
    assert {finding.subject for finding in health.findings} == {
        f"run:{first.run_id}",
        f"run:{torn.run_id}",
    }
    assert health.healthy is True
    check(workspace, repair=True)
    assert check(workspace).findings == ()
    assert workspace.tracking.unfinished() == []


def test_reindexing_gives_the_same_state(workspace, table):
    call(workspace, "data.add", {"name": "t", "source": str(table)})
    before = workspace.metadata.state_hash()
    (workspace.root / "metadata.duckdb").write_bytes(b"rotten")
    assert check(workspace, reindex=True).healthy
    assert workspace.metadata.state_hash() == before
    with Workspace.open(workspace.root, readonly=True) as other:
        other.metadata.follow()
        assert other.metadata.state_hash() == before


def test_looking_at_a_read_only_workspace_changes_nothing(workspace):
    kill_at_work(workspace)
    workspace.close()
    with Workspace.open(workspace.root, readonly=True) as reader:
        assert "job_killed" in codes(check(reader))
        for wish in ({"repair": True}, {"reindex": True}):
            with pytest.raises(ReadOnlyError):
                check(reader, **wish)
    assert "job_killed" in codes(check(workspace))
