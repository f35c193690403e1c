"""``runs search`` as scripts and people call it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.workspace import Workspace

Program = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = "=1+1 \x1b[2J[/nope]|<b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace in which three runs of another tool lie."""
    place = tmp_path_factory.mktemp("search")
    with Workspace.create(place / "ws", actor="tester"):
        pass
    experiment = place / "ws" / "mlruns" / "1"
    experiment.mkdir(parents=True)
    (experiment / "meta.yaml").write_text("experiment_id: '1'\nname: wine\n")
    for number in range(3):
        run = experiment / f"{number:032x}"
        for name in ("params", "metrics", "tags"):
            (run / name).mkdir(parents=True)
        (run / "meta.yaml").write_text(
            f"run_id: {run.name}\nexperiment_id: '1'\nrun_name: run-{number}\nstatus: 3\n"
            f"start_time: {1_600_000_000_000 + number}\nend_time: 1600000060000\n"
            "lifecycle_stage: active\nuser_id: ann\n"
        )
        (run / "params" / "model").write_text(HOSTILE if number == 2 else "tree")
        (run / "metrics" / "rmse").write_text(f"1600000000000 {number / 4} 0\n")
    return place


@pytest.fixture
def search(folder: Path) -> Program:
    """Call ``runs search`` there."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "paceml_tui", "runs", "search", *words, "--workspace", "ws"],
            cwd=folder,
            env={**os.environ, "PACEML_ACTOR": "tester"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_people_get_a_table_and_the_count(search):
    ended = search("--order-by", "metrics.rmse DESC, run_id", "--limit", "2")
    assert ended.returncode == 0, ended.stderr
    head, first, second, count = ended.stdout.splitlines()
    assert head.split() == ["run", "name", "status", "started", "rmse", "model"]
    assert first.split()[:5] == ["00000000", "run-2", "FINISHED", "2020-09-13", "12:26"]
    assert "\x1b" not in ended.stdout
    assert second.split()[-2:] == ["0.25", "tree"]
    assert count == "2 of 3 runs; --limit 0 gives all"


def test_json_is_the_contract_and_files_hold_every_run(search, folder):
    words = ("--limit", "1", "--csv", "runs.csv", "--columns", "name,params.*", "--json")
    ended = search("metrics.rmse >= 0", *words)
    result = json.loads(ended.stdout)["result"]
    assert (len(result["runs"]), result["total"]) == (1, 3)
    assert result["runs"][0] | {} == result["runs"][0]
    keys = ("run_id", "name", "experiment", "status", "start_time", "end_time")
    assert {*keys, "params", "metrics", "tags"} <= result["runs"][0].keys()
    rows = list(csv.reader((folder / "runs.csv").read_text().splitlines()))
    assert rows[0] == ["name", "params.model"]
    assert rows[1] == ["run-2", f"'{HOSTILE}"]
    again = search("--csv", "runs.csv")
    assert again.returncode == 2
    assert "runs.csv exists already" in again.stderr


def test_markdown_stands_alone_on_stdout(search):
    ended = search("--md", "--columns", "name", "--columns", "params.model")
    lines = ended.stdout.splitlines()
    assert lines[:2] == ["| name | params.model |", "| --- | --- |"]
    assert lines[2] == r"| run-2 | =1+1  \[2J\[/nope\]\|&lt;b&gt; |"
    assert len(lines) == 5


def test_a_slip_is_told_with_a_caret_or_the_nearest_key(search):
    ended = search("mim(metrics.rmse) < 1")
    assert ended.returncode == 2
    assert "  mim(metrics.rmse) < 1\n  ^" in ended.stderr.replace("    ", "  ")
    assert "Did you mean 'min'?" in ended.stderr
    unknown = search("metrics.rmes < 1")
    assert unknown.returncode == 0
    assert unknown.stdout.splitlines() == [
        "Note: No run has metrics.rmes. Did you mean 'rmse'?",
        "No run matches.",
    ]
