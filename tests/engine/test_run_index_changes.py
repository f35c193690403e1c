"""What of a changed store is seen at once, what in turn, and what a change costs the index."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from run_store_kit import put_experiment, put_run, run_id

from local_stack.errors import UnavailableError
from local_stack.runs import records, syncing
from local_stack.runs.relation import HISTORY, RUNS
from local_stack.stores.mlflow_stores.file_store import N_FOLDERS, N_META, FileStore
from local_stack.stores.mlflow_stores.records import RunPlace
from local_stack.stores.run_index import generations, reading, watching
from local_stack.workspace import Workspace

N_RUNS = 60
LONG_AGO = 1_600_000_000


def age(folder: Path) -> None:
    """Let everything below a folder have changed long ago."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


@pytest.fixture
def old(workspace: Workspace) -> Path:
    """The folder of an experiment whose runs ended long ago and are indexed."""
    root = workspace.root / "mlruns"
    put_experiment(root)
    for number in range(N_RUNS):
        put_run(root, run_id(number))
    age(root)
    assert syncing.sync(workspace).n_read == N_RUNS
    return root / "1"


def looked(workspace: Workspace) -> int:
    """Return how many runs a look of the shortest kind found changed."""
    time.sleep(2 * reading._CLOCK_NS / 1e9)  # what changed a moment ago is read twice
    return syncing.refresh(workspace, seconds=0.0).n_read


def value(workspace: Workspace, column: str, number: int) -> dict[str, object]:
    rows = workspace.query(f"SELECT {column} FROM {RUNS} WHERE run_id = ?", run_id(number))
    found: dict[str, object] = rows[0][column]
    return found


def test_a_new_run_an_ended_run_and_a_new_tag_are_seen_at_once(
    workspace: Workspace, old: Path
) -> None:
    put_run(old.parent, run_id(100))
    shutil.rmtree(old / run_id(50))
    meta = old / run_id(51) / "meta.yaml"
    meta.write_text(meta.read_text().replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
    (old / run_id(52) / "tags" / "mine").write_text("new")
    done = syncing.refresh(workspace, seconds=0.0)
    assert (done.n_read, done.n_gone, done.n_runs) == (3, 1, N_RUNS)
    assert value(workspace, "tags", 52) == {"team": "red", "mine": "new"}
    assert {row["run_id"] for row in workspace.query(f"SELECT run_id FROM {RUNS}")} == {
        run_id(number) for number in (*range(50), *range(51, N_RUNS), 100)
    }
    deleted = workspace.query(f"SELECT run_id FROM {RUNS} WHERE lifecycle = 'deleted'")
    assert deleted == [{"run_id": run_id(51)}]


def test_a_run_that_moved_to_another_experiment_is_seen_at_once(
    workspace: Workspace, old: Path
) -> None:
    put_experiment(old.parent, "2", "other")
    (old / run_id(7)).rename(old.parent / "2" / run_id(7))
    assert looked(workspace) == 1
    rows = workspace.query(f"SELECT experiment FROM {RUNS} WHERE run_id = ?", run_id(7))
    assert rows == [{"experiment": "other"}]


@pytest.mark.parametrize("kind", ["running", "lately changed"])
def test_every_change_of_a_lively_run_is_seen_at_once(
    workspace: Workspace, old: Path, kind: str
) -> None:
    folder = put_run(old.parent, run_id(100), status=1 if kind == "running" else 3)
    if kind == "running":
        age(folder)
    assert looked(workspace) == 1
    with (folder / "metrics" / "rmse").open("a") as stream:
        stream.write("1600000002000 0.125 2\n")
    assert looked(workspace) == 1
    assert value(workspace, "metrics", 100) == {"rmse": 0.125}
    (folder / "tags" / "team").write_text("tea")  # as long as before
    assert looked(workspace) == 1
    assert value(workspace, "tags", 100) == {"team": "tea"}


def test_runs_at_work_are_watched_however_many_others_changed_lately(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MOST_WATCHED", 1)
    folder = put_run(old.parent, run_id(100), status=1)
    age(folder)
    for number in range(101, 104):
        put_run(old.parent, run_id(number))
    assert looked(workspace) == 4
    with (folder / "metrics" / "rmse").open("a") as stream:
        stream.write("1600000002000 0.125 2\n")
    assert looked(workspace) == 1
    assert value(workspace, "metrics", 100) == {"rmse": 0.125}


def test_who_asks_seldom_looks_at_more_files(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FEWEST", 1)
    monkeypatch.setattr(syncing, "_LOOK_SECONDS", 10.0)
    notes = workspace.root / "cache" / "run-index.json"
    (old / run_id(N_RUNS - 1) / "tags" / "team").write_text("tea")
    os.utime(notes, (time.time() - 3600, time.time() - 3600))
    workspace.run_index.looked = (0.0, 0.0, -1)
    records.search(workspace)
    assert value(workspace, "tags", N_RUNS - 1) == {"team": "tea"}


def test_a_new_metric_of_an_old_run_is_seen_in_turn(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FOLDER_TURNS", 4)
    monkeypatch.setattr(watching, "_FEWEST", 1)
    (old / run_id(N_RUNS - 1) / "metrics" / "late").write_text("1600000000000 1.0 0\n")
    assert [looked(workspace) for _ in range(4)] == [0, 0, 0, 1]
    assert value(workspace, "metrics", N_RUNS - 1) == {"rmse": 0.25, "late": 1.0}


def test_what_was_overwritten_long_after_the_end_is_seen_in_turn(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FEWEST", 25)
    (old / run_id(40) / "tags" / "team").write_text("tea")
    with (old / run_id(55) / "metrics" / "rmse").open("a") as stream:
        stream.write("1600000002000 0.125 2\n")
    found = [looked(workspace) for _ in range(3)]
    assert sum(found) == 2
    assert found[0] == 0  # 25 runs with each look
    assert value(workspace, "tags", 40) == {"team": "tea"}
    assert value(workspace, "metrics", 55) == {"rmse": 0.125}


def test_a_full_sync_looks_at_every_file(workspace: Workspace, old: Path) -> None:
    (old / run_id(40) / "tags" / "team").write_text("tea")
    assert syncing.sync(workspace, full=True).n_read == 1
    assert value(workspace, "tags", 40) == {"team": "tea"}


def test_a_change_within_the_same_tick_of_the_clock_is_not_missed(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag, folder = old / run_id(3) / "tags" / "team", old / run_id(3) / "tags"
    tag.write_text("one")
    (folder / "new").write_text("x")
    at = time.time_ns()
    for path in (tag, folder):
        os.utime(path, ns=(at, at))
    monkeypatch.setattr(reading, "_CLOCK_NS", 10**10)
    assert syncing.refresh(workspace, seconds=0.0).n_read == 1
    monkeypatch.undo()
    tag.write_text("two")
    for path in (tag, folder):
        os.utime(path, ns=(at, at))
    assert looked(workspace) == 1
    assert value(workspace, "tags", 3) == {"team": "two", "new": "x"}


def test_very_many_runs_are_looked_at_in_turn(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MOST_AT_ONCE", 20)
    (old / run_id(59) / "tags" / "mine").write_text("new")
    put_run(old.parent, run_id(100))
    assert looked(workspace) >= 1  # the new run
    for _ in range(3):
        looked(workspace)
    assert value(workspace, "tags", 59) == {"team": "red", "mine": "new"}


def test_a_small_change_leaves_the_base_as_it_is(workspace: Workspace, old: Path) -> None:
    base, fresh = workspace.run_index.stamps()
    assert base
    assert fresh is None
    for number, text in ((1, "blue"), (2, "green"), (1, "black")):
        (old / run_id(number) / "tags" / f"{text}").write_text(text)
        assert looked(workspace) == 1
    shutil.rmtree(old / run_id(3))
    put_run(old.parent, run_id(100))
    assert looked(workspace) == 1
    now_base, now_fresh = workspace.run_index.stamps()
    assert now_base == base
    assert now_fresh
    assert value(workspace, "tags", 1) == {"team": "red", "blue": "blue", "black": "black"}
    assert value(workspace, "tags", 2) == {"team": "red", "green": "green"}
    rows = workspace.query(f"SELECT run_id, count(*) AS n FROM {HISTORY} GROUP BY run_id")
    assert {row["run_id"]: row["n"] for row in rows} == dict.fromkeys(
        [run_id(number) for number in (*range(3), *range(4, N_RUNS), 100)], 2
    )


def test_fresh_rows_are_merged_into_the_base_when_they_are_many(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_FEW", 2)
    monkeypatch.setattr(generations, "_SHARE", 100)
    for number in range(4):
        (old / run_id(number) / "tags" / "mine").write_text(str(number))
        assert looked(workspace) == 1
        assert value(workspace, "tags", number)["mine"] == str(number)
    rows = workspace.query(f"SELECT tags FROM {RUNS}")
    assert len(rows) == N_RUNS
    assert sorted(row["tags"]["mine"] for row in rows if "mine" in row["tags"]) == list("0123")
    stamps = workspace.run_index.stamps()
    assert stamps[1] is not None  # the last change stands beside the merged base
    assert looked(workspace) == 0
    assert workspace.run_index.stamps() == stamps


def test_fresh_rows_of_an_older_base_do_not_count(workspace: Workspace, old: Path) -> None:
    (old / run_id(1) / "tags" / "mine").write_text("old")
    looked(workspace)
    stale = workspace.run_index.fresh.read_bytes()
    workspace.run_index.discard()
    (old / run_id(1) / "tags" / "mine").write_text("new")
    assert looked(workspace) == N_RUNS
    workspace.run_index.fresh.write_bytes(stale)  # as if killed before it was removed
    assert value(workspace, "tags", 1) == {"team": "red", "mine": "new"}
    (old / run_id(2) / "tags" / "mine").write_text("new")
    assert looked(workspace) == 1
    assert value(workspace, "tags", 1) == {"team": "red", "mine": "new"}


def test_a_readonly_workspace_says_how_far_behind_it_is_and_writes_nothing(
    workspace: Workspace, old: Path
) -> None:
    workspace.close()
    before = {path: path.stat().st_mtime_ns for path in (workspace.root / "cache").iterdir()}
    put_run(old.parent, run_id(100))
    with Workspace.open(workspace.root, readonly=True) as reader:
        found = records.search(reader)
        assert found.total == N_RUNS
        assert "read-only" in found.warnings[0]
        assert "1 of its runs" in found.warnings[0]
    shutil.rmtree(old / run_id(100))
    with Workspace.open(workspace.root, readonly=True) as reader:
        assert records.search(reader).warnings == ()
    after = {path: path.stat().st_mtime_ns for path in (workspace.root / "cache").iterdir()}
    assert after == before


def test_a_readonly_workspace_leaves_a_damaged_index_as_it_is(
    workspace: Workspace, old: Path
) -> None:
    base = workspace.run_index.base
    base.write_bytes(b"junk" * 5000)
    with Workspace.open(workspace.root, readonly=True) as reader:
        with pytest.raises(UnavailableError, match="is damaged"):
            records.search(reader)
        assert base.read_bytes() == b"junk" * 5000


def test_a_close_look_begins_with_what_a_quicker_one_sees(workspace: Workspace, old: Path) -> None:
    store, place = FileStore(old.parent), RunPlace(run_id(3), "1", old / run_id(3))
    files = store.signature(place, "files")
    assert files[:N_META] == store.signature(place, "meta")
    assert files[:N_FOLDERS] == store.signature(place, "folders")
    assert len(files) > N_FOLDERS


def test_a_command_that_has_duckdb_to_open_sends_a_scout_ahead(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.close()
    asked = []

    class Counted(watching.Scout):
        def answer(self) -> frozenset[str] | None:
            asked.append(super().answer())
            return asked[-1]

    def fresh_look() -> syncing.Outcome:
        time.sleep(2 * reading._CLOCK_NS / 1e9)
        with Workspace.open(workspace.root) as opened:
            return syncing.refresh(opened, seconds=0.0)

    monkeypatch.setattr(watching, "Scout", Counted)
    assert fresh_look().n_read == 0
    assert asked.pop() == frozenset()
    (old / run_id(59) / "tags" / "mine").write_text("new")
    (old / run_id(58) / "meta.yaml").unlink()
    done = fresh_look()
    assert (done.n_read, done.n_runs) == (2, N_RUNS)
    assert asked.pop() == {str(old / run_id(59)), str(old / run_id(58))}
    assert fresh_look().n_read == 0  # what was read is noted for the next scout
    assert asked.pop() == frozenset()
    put_run(old.parent, run_id(100))
    assert fresh_look().n_runs == N_RUNS + 1
    assert not asked  # where runs came or went all are looked at


@pytest.mark.parametrize("fault", ["fails", "other index", "notes deleted", "notes cut"])
def test_without_a_scout_the_look_is_the_same(
    workspace: Workspace, old: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    workspace.close()
    places = workspace.root / "cache" / "run-index.places"
    if fault == "fails":
        monkeypatch.setattr(watching.glances, "__file__", str(old / "nothing.py"))
    elif fault == "other index":
        places.write_bytes(b"")
        os.utime(workspace.run_index.base)
    elif fault == "notes deleted":
        places.unlink()
    else:
        words = places.read_bytes().split(b"\0")
        places.write_bytes(b"\0".join(words[:3]) + b"\0")
    (old / run_id(59) / "tags" / "mine").write_text("new")
    with Workspace.open(workspace.root) as opened:
        assert looked(opened) == 1
        assert value(opened, "tags", 59) == {"team": "red", "mine": "new"}
    assert places.read_bytes().startswith(b"%d\0" % N_RUNS)  # for the next
