"""Jobs: seen by everybody, stopped by anybody, outliving whoever asked for them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local_stack import catalog, jobs
from local_stack.errors import Cancelled, InputError, NotFoundError, UnavailableError
from local_stack.progress import Step, silent
from local_stack.workspace import Workspace


def until(look: Callable[[], object], seconds: float = 60) -> object:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def ended(workspace: Workspace, job: str) -> jobs.Job:
    until(lambda: not jobs.show(workspace, job).is_alive)
    return jobs.show(workspace, job)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A small table."""
    path = tmp_path / "small.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n % 3}\n" for n in range(50)))
    return path


@pytest.fixture(scope="session")
def big_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose import takes a second or more."""
    path = tmp_path_factory.mktemp("big") / "big.csv"
    dice = random.Random(1)
    head = ",".join(f"c{n}" for n in range(12)) + "\n"
    rows = "".join(",".join(str(dice.random()) for _ in range(12)) + "\n" for _ in range(2000))
    path.write_text(head + rows * 60)
    return path


def test_inline_work_is_a_job_from_its_first_step_to_its_end(workspace):
    steps: list[Step] = []
    with jobs.tracked(workspace, "test.work", {"x": 1}, steps.append) as (progress, folder):
        (job,) = jobs.listed(workspace)
        assert (job.status, job.pid, job.actor) == ("running", os.getpid(), "tester")
        assert jobs.current() == job.job
        assert jobs.is_alive(workspace, job.job)
        progress(Step("Half", 1, 2))
        assert (jobs.show(workspace, job.job).label, jobs.show(workspace, job.job).done) == (
            "Half",
            1,
        )
        jobs.save_result(folder, {"answer": 42, "nan": float("nan")})
        with jobs.tracked(workspace, "test.inner", {}, silent) as (_, inner):
            assert inner == folder  # a part of the same job
    found = jobs.show(workspace, job.job[:-1])
    assert (found.status, found.error, found.is_alive) == ("finished", None, False)
    assert found.started_at <= found.ended_at
    assert jobs.result(workspace, job.job) == {"answer": 42, "nan": None}
    assert jobs.current() == ""
    assert steps == [Step("Half", 1, 2)]
    assert workspace.get("jobs", job.job)["status"] == "finished"
    assert jobs.abandoned(workspace) == []


def test_inline_work_that_fails_says_why_and_what_to_do(workspace):
    with (
        pytest.raises(InputError),
        jobs.tracked(workspace, "test.work", {}, silent),
    ):
        raise InputError("The column is missing.", "Add it.")
    (job,) = jobs.listed(workspace)
    assert (job.status, job.error) == ("failed", "The column is missing. Add it.")


def test_inline_work_is_cancelled_at_its_next_step_and_its_host_lives(workspace):
    def work() -> None:
        with jobs.tracked(workspace, "test.work", {}, silent) as (progress, _):
            (job,) = jobs.listed(workspace)
            assert jobs.cancel(workspace, job.job).status == "running"
            time.sleep(0.05)  # a signal would have come by now
            progress(Step("Next"))

    with pytest.raises(Cancelled):
        work()
    (job,) = jobs.listed(workspace)
    assert jobs.show(workspace, job.job).status == "cancelled"
    assert jobs.cancel(workspace, job.job).status == "cancelled"


def test_a_read_only_workspace_tracks_nothing(workspace):
    with (
        Workspace.open(workspace.root, readonly=True) as reader,
        jobs.tracked(reader, "test.work", {}, silent) as (progress, folder),
    ):
        progress(Step("x"))
        jobs.save_result(folder, {})
    assert jobs.listed(workspace) == []


@pytest.mark.parametrize("name", ["", "nosuch", "2", "../..", "*"])
def test_a_job_that_is_not_there_is_a_sentence(workspace, name):
    for number in range(2):
        with jobs.tracked(workspace, f"test.{number}", {}, silent):
            pass
    with pytest.raises(NotFoundError, match="no job"):
        jobs.show(workspace, name)


def test_torn_files_of_a_job_hide_nothing(workspace):
    for number in range(2):
        with jobs.tracked(workspace, f"test.{number}", {}, silent) as (progress, _):
            progress(Step("x", number, 2))
    torn = workspace.root / "jobs" / jobs.listed(workspace)[0].job
    with (torn / "events.jsonl").open("ab") as stream:
        stream.write(b'{"label": "ha')
    (torn / "log.txt").write_bytes(b"\xff\x1b[2J")
    (torn / "started.json").write_bytes(b"")
    (workspace.root / "jobs" / "2026-empty").mkdir()
    assert [job.command for job in jobs.listed(workspace)] == ["test.1", "test.0"]
    assert jobs.listed(workspace)[0].done == 1
    assert jobs.log(workspace, torn.name).startswith("\ufffd")
    assert jobs.log(workspace, jobs.listed(workspace)[1].job) == ""


def test_a_detached_job_works_and_leaves_its_result(workspace, table):
    job = jobs.spawn(workspace, "data.add", {"name": "t", "source": str(table)})
    found = ended(workspace, job)
    assert (found.status, found.error) == ("finished", None), jobs.log(workspace, job)
    assert found.pid != os.getpid()
    assert jobs.result(workspace, job)["rows"] == 50
    assert workspace.get("datasets", "t")["n_versions"] == 1
    until(lambda: workspace.get("jobs", job))  # the journal is told after the folder
    assert workspace.get("jobs", job)["status"] == "finished"
    assert [job.job for job in jobs.listed(workspace)] == [job]


def test_a_detached_job_that_fails_says_why_in_its_log_too(workspace):
    job = jobs.spawn(workspace, "data.add", {"name": "t", "source": "/absent.csv"})
    found = ended(workspace, job)
    assert found.status == "failed"
    assert "/absent.csv" in found.error
    until(lambda: "/absent.csv" in jobs.log(workspace, job))
    assert jobs.result(workspace, job) is None


def test_the_second_job_starts_from_the_same_warm_server(workspace, table):
    found = []
    for number in range(2):
        job = jobs.spawn(workspace, "data.add", {"name": f"t{number}", "source": str(table)})
        pid = until(lambda j=job: jobs.show(workspace, j).pid)
        found.append((pid, ended(workspace, job)))
    assert [job.status for _, job in found] == ["finished", "finished"]
    assert found[0][0] != found[1][0]
    servers = [
        child
        for child in psutil.Process().children(recursive=True)
        if "forkserver" in " ".join(child.cmdline())
    ]
    assert len(servers) == 1
    maps = Path(f"/proc/{servers[0].pid}/maps").read_text()
    assert "lib_lightgbm" in maps  # heavy libraries stand ready in it
    assert "polars" in maps


def test_a_detached_job_is_cancelled_or_killed(workspace, big_table):
    words = {"name": "t", "source": str(big_table)}
    for force, status in ((False, "cancelled"), (True, "killed")):
        job = jobs.spawn(workspace, "data.add", words)
        until(lambda j=job: jobs.show(workspace, j).pid)
        jobs.cancel(workspace, job, force=force)
        assert ended(workspace, job).status == status
        assert workspace.query("SELECT * FROM data_versions") == []
    assert [j.job for j in jobs.abandoned(workspace)] == [job]
    jobs.bury(workspace, jobs.show(workspace, job))
    assert jobs.abandoned(workspace) == []
    assert jobs.show(workspace, job).status == "killed"
    assert workspace.get("jobs", job)["status"] == "killed"


ASKING = """
    import sys
    from local_stack import environment
    environment.prepare()
    from local_stack import jobs
    from local_stack.workspace import Workspace

    if __name__ == "__main__":
        workspace = Workspace.open(sys.argv[1], actor="ada")
        print(jobs.spawn(workspace, "data.add", {"name": "t", "source": sys.argv[2]}), flush=True)
        import time
        time.sleep(float(sys.argv[3]))
"""


def test_a_job_outlives_whoever_asked_for_it(workspace, big_table):
    words = [sys.executable, "-c", textwrap.dedent(ASKING), str(workspace.root), str(big_table)]
    asking = subprocess.Popen([*words, "60"], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    job = asking.stdout.readline().strip()
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    asking.stdout.close()
    assert jobs.show(workspace, job).is_alive  # seen at once, by another process
    assert jobs.show(workspace, job).actor == "ada"
    assert jobs.abandoned(workspace) == []
    assert ended(workspace, job).status == "finished", jobs.log(workspace, job)
    assert workspace.get("datasets", "t")["n_versions"] == 1
    listing = catalog.call(workspace, "jobs.list", {}).to_dict()
    assert json.loads(json.dumps(listing))["jobs"][0]["job"] == job
    shown = catalog.call(workspace, "jobs.show", {"job": job})
    assert shown.result["rows"] == 120_000


def test_a_killed_inline_job_is_seen_as_killed(workspace):
    script = """
        import sys, time
        from local_stack import jobs
        from local_stack.progress import silent
        from local_stack.workspace import Workspace

        with jobs.tracked(Workspace.open(sys.argv[1]), "test.work", {}, silent):
            print("at work", flush=True)
            time.sleep(60)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(workspace.root)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    assert [job.status for job in jobs.listed(workspace)] == ["running"]
    process.kill()
    process.communicate()
    (job,) = jobs.listed(workspace)
    assert (job.status, job.ended_at) == ("killed", None)
    assert [j.job for j in jobs.abandoned(workspace)] == [job.job]


def test_the_figures_of_steps_are_kept_and_read_on_from_where_one_stopped(workspace):
    with jobs.tracked(workspace, "test.work", {}, silent) as (progress, folder):
        job = folder.name
        progress(Step("Fold 1", 1, 2, {"fold": 1, "rmse": 0.5}))
        found, place = jobs.steps(workspace, job)
        assert [one["figures"] for one in found] == [{"fold": 1, "rmse": 0.5}]
        progress(Step("Fold 2", 2, 2, {"fold": 2, "rmse": float("nan")}))
        progress(Step("Measuring"))
        with (folder / "events.jsonl").open("a") as stream:
            stream.write('{"half')
        found, end = jobs.steps(workspace, job, place)
        assert [one["label"] for one in found] == ["Fold 2", "Measuring"]
        assert found[0]["figures"]["rmse"] is None  # JSON has no NaN
        assert "figures" not in found[1]
        assert jobs.steps(workspace, job, end) == ([], end)


def test_of_steps_that_come_fast_the_first_and_the_last_of_a_label_are_kept(workspace, monkeypatch):
    monkeypatch.setattr(jobs, "_TICK_SECONDS", 3600)  # so that all of them come fast
    with jobs.tracked(workspace, "test.work", {}, silent) as (progress, folder):
        progress(Step("Training"))
        for done in range(1, 401):
            progress(Step("Training", done, 400, {"rmse": 1 / done}))
        progress(Step("Measuring"))
        found, _ = jobs.steps(workspace, folder.name)
    assert [(one["label"], one["done"]) for one in found] == [
        ("Training", 0),
        ("Training", 400),
        ("Measuring", 0),
    ]
    assert found[1]["figures"] == {"rmse": 1 / 400}


def test_a_job_that_cannot_be_recorded_is_refused_in_a_sentence(workspace):
    folder = workspace.root / "jobs"
    if folder.is_dir():
        folder.rmdir()
    folder.write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match=r"The job cannot be recorded in .*jobs: ") as found:
        jobs.spawn(workspace, "data.add", {"name": "x", "source": "x.csv"})
    assert "--readonly" in found.value.hint
