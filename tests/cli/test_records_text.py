"""Branching and reproducing from a shell: what is said, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from records_kit import make_project, table

from paceml_tui import printing_records

Program = Callable[..., subprocess.CompletedProcess[str]]
ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program in a folder with a workspace that holds one run of a recipe in a repository."""
    folder = tmp_path_factory.mktemp("records")
    make_project(folder / "project")
    table().write_csv(folder / "beans.csv")

    def run(*words: str, env: Mapping[str, str] | None = None) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "paceml_tui", *words],
            cwd=folder,
            env={**os.environ, **ENVIRONMENT, "PACEML_WORKSPACE": "ws", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    for words in (
        ("init", "ws"),
        ("data", "add", "beans", "beans.csv", "--target", "height"),
        ("runs", "train", "project/recipe.yaml", "--name", "first"),
    ):
        ended = run(*words)
        assert ended.returncode == 0, ended.stderr
    return run


@pytest.mark.slow
def test_a_repetition_says_bit_identical_and_exits_0(program):
    ended = program("runs", "reproduce", "latest")
    assert ended.returncode == 0, ended.stderr
    first, second, *more = ended.stdout.splitlines()
    assert first.startswith("Run ")
    assert "first" in first
    assert second.startswith("Bit-identical: the model, 30 predictions and ")
    assert more == []


@pytest.mark.slow
def test_a_repetition_that_differs_exits_4_with_the_whole_result(program):
    words = ("runs", "reproduce", "latest", "--set", "params.num_leaves=4")
    ended = program(*words, "--json")
    assert ended.returncode == 4
    answer = json.loads(ended.stdout)
    assert (answer["ok"], answer["error"]["code"]) == (False, "not_reproduced")
    assert answer["result"]["bit_identical"] is False
    (difference,) = [d for d in answer["result"]["differences"] if d["cause"] == "recipe"]
    assert difference == {
        "cause": "recipe",
        "key": "params.num_leaves",
        "recorded": 5,
        "now": 4,
    }
    said = program(*words)
    assert said.returncode == 4
    assert "Not bit-identical: recipe differs from what was recorded." in said.stdout
    assert "model.lgb: other bytes" in said.stdout
    assert "metrics moved" in said.stderr


def test_a_branch_tells_what_was_changed(program):
    words = ("runs", "branch", "latest", "--set", "params.num_leaves=4", "--name", "flat")
    ended = program(*words)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert ["params.num_leaves", "5", "4"] in lines
    assert lines[0][:2] == ["Branched", "from"]
    assert lines[3][:1] == ["Run"]
    assert "rmse" in ended.stdout
    again = json.loads(program("runs", "show", "latest", "--json").stdout)["result"]
    assert again["tags"]["paceml.branched_from"].startswith(lines[0][2])


def test_a_run_that_is_not_there_exits_2(program):
    ended = program("runs", "reproduce", "feedfeed")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "There is no run 'feedfeed'." in ended.stderr


HOSTILE = "[/nope]\x1b[2J\u202eevil"


def test_hostile_names_and_values_reach_no_terminal():
    branched = {
        "run_id": "a" * 32,
        "name": HOSTILE,
        "branched_from": "b" * 32,
        "data_version": f"{HOSTILE}@{'c' * 32}",
        "changed": [{"key": HOSTILE, "from": None, "to": HOSTILE * 20}],
        "experiment": HOSTILE,
        "seconds": 1.0,
        "evaluation": {},
        "metrics": {HOSTILE: None},
        "warnings": [HOSTILE],
        "cost": {"wall_seconds": 1.0, "peak_memory_bytes": 1_000_000},
    }
    repeated = {
        **branched,
        "verdict": HOSTILE,
        "bit_identical": False,
        "differences": [{"cause": "code", "key": HOSTILE, "recorded": [HOSTILE], "now": None}],
        "model": {HOSTILE: False},
        "predictions": {"n_rows": 5, "n_different": 5, "largest_difference": None},
        "metrics": [
            {"key": f"{HOSTILE}{n}", "recorded": 1.0, "now": None, "moved": None}
            | {"is_identical": False}
            for n in range(30)
        ],
        "kept_as": HOSTILE,
    }
    lines = [
        *printing_records.branch_lines(branched),
        *printing_records.reproduction_lines(repeated),
    ]
    assert all(character not in "".join(lines) for character in "\x1b\u202e")
    assert "(10 more moved less; --json gives all)" in lines
    assert max(map(len, lines)) < 200
