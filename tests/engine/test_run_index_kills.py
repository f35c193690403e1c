"""The run index survives kills, damage and company: nothing wrong is shown, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_store_kit import put_experiment, put_run, run_id

from local_stack.errors import UnavailableError
from local_stack.runs import records, syncing
from local_stack.runs.relation import EXPERIMENTS, HISTORY, RUNS
from local_stack.stores.run_index import generations
from local_stack.workspace import Workspace

N_RUNS = 40

SYNC = """
import sys
from local_stack.runs import syncing
from local_stack.stores.run_index import generations, reading
from local_stack.workspace import Workspace
reading._ALONE = 10  # more are read by several processes, which outlive a kill
with Workspace.open(sys.argv[1]) as workspace:
    generations._FEW = int(sys.argv[2])
    workspace.query("SELECT 1")
    for line in sys.stdin:
        done = syncing.refresh(workspace, seconds=0.0)
        assert done.problem is None, done.problem
        print(done.n_read, done.is_busy, flush=True)
"""


class Syncing:
    """A process that syncs whenever it is told to."""

    def __init__(self, root: Path, n_few: int = 1_000) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SYNC, str(root), str(n_few)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.sync()  # it has opened its workspace

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def sync(self) -> str:
        self.begin()
        return self.answer()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.end(-signal.SIGKILL)

    def end(self, code: int = 0) -> None:
        self._process.communicate()
        assert self._process.returncode == code


def put(root: Path, number: int, version: int) -> None:
    """Write a run whose tag and history both tell its version."""
    shutil.rmtree(root / "1" / run_id(number), ignore_errors=True)
    folder = put_run(root, run_id(number))
    (folder / "tags" / "version").write_text(str(version))
    (folder / "metrics" / "version").write_text(f"1600000000000 {version} 0\n")


def shown(workspace: Workspace) -> dict[str, int]:
    """Return the version of every run, after a look that all that is told of it agrees."""
    rows = workspace.query(f"SELECT run_id, tags, metrics FROM {RUNS}")
    told = {row["run_id"]: int(row["tags"]["version"]) for row in rows}
    assert len(told) == len(rows)
    assert {row["run_id"]: row["metrics"]["version"] for row in rows} == told
    history = workspace.query(f"SELECT run_id, key, value FROM {HISTORY}")
    versions = {row["run_id"]: row["value"] for row in history if row["key"] == "version"}
    assert versions == told
    assert len(history) == 3 * len(told)
    return told


@pytest.fixture
def store(workspace: Workspace) -> Path:
    root = workspace.root / "mlruns"
    put_experiment(root)
    for number in range(N_RUNS):
        put(root, number, 0)
    assert syncing.sync(workspace).n_read == N_RUNS
    return root


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n_rounds", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_a_killed_sync_shows_nothing_wrong_and_the_next_one_repairs(
    workspace: Workspace, store: Path, n_rounds: int
) -> None:
    random.seed(n_rounds)
    started = time.monotonic()
    syncing.refresh(workspace, again=[run_id(0)])
    longest = 2 * (time.monotonic() - started)
    before = dict.fromkeys(map(run_id, range(N_RUNS)), 0)
    for version in range(1, n_rounds + 1):
        few = random.choice((0, 1_000))  # the next base, or rows beside the last one
        other = Syncing(workspace.root, few)
        changed = random.sample(range(N_RUNS), random.choice((1, N_RUNS)))
        for number in changed:
            put(store, number, version)
        expected = before | {run_id(number): version for number in changed}
        other.begin()
        time.sleep(random.uniform(0, longest))
        other.kill()
        now = shown(workspace)
        assert now in (before, expected)
        found = records.search(workspace, "tags.version LIKE '%'", limit=100)
        assert found.total == N_RUNS
        assert found.warnings == ()
        workspace.run_index.looked = (0.0, 0.0, -1)
        syncing.sync(workspace)
        assert shown(workspace) == expected
        assert not list((workspace.root / "cache").glob("run-index.tmp*"))
        before = expected


def test_two_processes_that_sync_at_once_lose_nothing(workspace: Workspace, store: Path) -> None:
    others = [Syncing(workspace.root, few) for few in (0, 1_000)]
    for version in range(1, 5):
        for number in range(version, N_RUNS, 5):
            put(store, number, version)
        for other in others:
            other.begin()
        answers = [other.answer().split() for other in others]
        assert "False" in {is_busy for _, is_busy in answers}
        assert sorted(shown(workspace)) == sorted(map(run_id, range(N_RUNS)))
    for other in others:
        other.end()
    syncing.sync(workspace)
    assert shown(workspace) == {
        run_id(number): number % 5 if number % 5 else 0 for number in range(N_RUNS)
    }


def flip(file: Path, share: float) -> None:
    data = bytearray(file.read_bytes())
    at = int(len(data) * share)
    data[at : at + 64] = bytes(byte ^ 0xFF for byte in data[at : at + 64])
    file.write_bytes(bytes(data))


def asked(workspace: Workspace, question: Callable[[], Any]) -> Any:
    """Return the answer; damage that the question comes upon is told, once, and repaired."""
    with contextlib.suppress(UnavailableError):
        return question()
    workspace.run_index.looked = (0.0, 0.0, -1)
    assert records.search(workspace).warnings == ()
    return question()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "base deleted": lambda cache: (cache / generations.BASE).unlink(),
    "fresh deleted": lambda cache: (cache / generations.FRESH).unlink(),
    "both deleted": lambda cache: [each.unlink() for each in cache.glob("run-index*.duckdb")],
    "base cut": lambda cache: os.truncate(cache / generations.BASE, 20_000),
    "base empty": lambda cache: (cache / generations.BASE).write_bytes(b""),
    "fresh cut": lambda cache: os.truncate(cache / generations.FRESH, 9_000),
    "fresh junk": lambda cache: (cache / generations.FRESH).write_bytes(b"junk" * 9_000),
    "header flipped": lambda cache: flip(cache / generations.BASE, 0.01),
    "places deleted": lambda cache: (cache / "run-index.places").unlink(),
    "places junk": lambda cache: (cache / "run-index.places").write_bytes(b"1\0x\0y\0"),
    "notes deleted": lambda cache: (cache / "run-index.json").unlink(),
    "notes junk": lambda cache: (cache / "run-index.json").write_text('{"uri": [}'),
    "notes of old": lambda cache: (cache / "run-index.json").write_text('["x"]'),
    **{
        f"{kind} flipped at {share}": lambda cache, kind=kind, share=share: flip(
            cache / kind, share
        )
        for kind in (generations.BASE, generations.FRESH)
        for share in (0.1, 0.3, 0.5, 0.7, 0.9)
    },
}


def test_whatever_happens_to_the_index_no_run_is_lost(workspace: Workspace, store: Path) -> None:
    for number in (1, 2):
        put(store, number, 1)
    syncing.sync(workspace)
    expected = shown(workspace)
    experiments = workspace.query(f"SELECT * FROM {EXPERIMENTS}")
    cache = workspace.root / "cache"
    whole = {path: path.read_bytes() for path in cache.glob("run-index*.*")}
    assert {path.name for path in whole} == {
        *(generations.BASE, generations.FRESH),
        *("run-index.json", "run-index.lock", "run-index.places"),
    }
    for name, damage in DAMAGE.items():
        for path, data in whole.items():
            path.write_bytes(data)
        damage(cache)
        with Workspace.open(workspace.root) as opened:
            found = asked(opened, lambda: records.search(opened, limit=100))
            assert found.warnings == (), name
            assert {run.run_id: int(run.tags["version"]) for run in found.runs} == expected, name
            assert asked(opened, lambda: shown(opened)) == expected, name
            told = asked(opened, lambda: opened.query(f"SELECT * FROM {EXPERIMENTS}"))
            assert told == experiments, name


def test_damage_under_an_open_workspace_is_repaired_as_well(
    workspace: Workspace, store: Path
) -> None:
    expected = shown(workspace)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        flip(workspace.run_index.base, share)
        assert asked(workspace, lambda: shown(workspace)) == expected
