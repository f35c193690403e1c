"""The metadata store: whatever happens to the index, the journal gives the same state again."""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.stores.journal import START, Draft, Journal
from local_stack.stores.metadata import Metadata
from local_stack.stores.schema import TABLES, VERSION
from local_stack.workspace import Workspace

KEPT = ("steps", "model_versions", "data_tags", "checks", "drift_reports")
texts = st.text(max_size=12) | st.sampled_from(["", "[/nope]\x1b[2J", "é\u202e", "a\0b", "'\";--"])
numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
VALUES = {
    "VARCHAR": texts,
    "BIGINT": numbers,
    "DOUBLE": reals,
    "BOOLEAN": st.booleans(),
    "JSON": documents,
}


@st.composite
def changes(draw: Any) -> tuple[Any, ...]:
    """A row to set or a key to remove; few keys, so that rows are replaced and removed."""
    name = draw(st.sampled_from(KEPT))
    table = TABLES[name]
    keys = {
        "VARCHAR": st.sampled_from(["a", "b", "[/nope]\x1b[2J"]),
        "BIGINT": st.integers(-1, 1),
    }
    key = {column: draw(keys[table.columns[column]]) for column in table.key}
    if draw(st.booleans()) and draw(st.booleans()):
        return name, key, None
    others = [column for column in table.columns if column not in table.key]
    chosen = draw(st.lists(st.sampled_from(others), unique=True))
    return name, key | {
        column: draw(st.none() | VALUES[table.columns[column]]) for column in chosen
    }


def fresh(workspace: Workspace, file: Path | None = None) -> Metadata:
    """A second fold of the same journal, from its start unless a generation is given."""
    place = workspace.root.parent
    return Metadata(workspace.journal, file or place / "absent.duckdb", place / "cache")


def hash_of(metadata: Metadata) -> str:
    metadata.follow()
    found = metadata.state_hash()
    metadata.close()
    return found


def expected(events: list[list[tuple[Any, ...]]]) -> dict[str, dict[tuple[Any, ...], Any]]:
    """The state by plain Python: the independent reference."""
    state: dict[str, dict[tuple[Any, ...], Any]] = {name: {} for name in KEPT}
    for change in (change for event in events for change in event):
        name, row = change[0], change[1]
        key = tuple(row[column] for column in TABLES[name].key)
        if len(change) == 3:
            state[name].pop(key, None)
        else:
            state[name][key] = {column: row.get(column) for column in TABLES[name].columns}
    return state


def assert_folds(workspace: Workspace, events: list[list[tuple[Any, ...]]], every: int) -> None:
    for number, event in enumerate(events):
        workspace.append(lambda _, c=event: Draft("test", "s", {"c": len(c)}, c))
        if number % every == 0:
            workspace.query("SELECT 1 AS x")
    state = expected(events)
    for metadata in (workspace.metadata, fresh(workspace)):
        metadata.follow()
        for name, rows in state.items():
            for key, row in rows.items():
                assert metadata.get(name, *key) == row
            found = {
                tuple(row[column] for column in TABLES[name].key): row
                for row in metadata.find(name)
            }
            assert found == rows
    workspace.metadata.publish(force=True)
    published = workspace.root / "metadata.duckdb"
    hashes = [
        workspace.metadata.state_hash(),
        hash_of(fresh(workspace)),
        hash_of(fresh(workspace, published)),
    ]
    assert len(set(hashes)) == 1


event_lists = st.lists(st.lists(changes(), max_size=4), max_size=8)


def check_folding(folder: Path, events: Any, every: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        assert_folds(workspace, events, every)


@settings(max_examples=6)
@given(events=event_lists, every=st.integers(1, 4))
def test_the_fold_the_rebuild_and_plain_python_agree(tmp_path_factory, events, every):
    check_folding(tmp_path_factory.getbasetemp() / "fold", events, every)


@pytest.mark.slow
@settings(max_examples=300)
@given(events=event_lists, every=st.integers(1, 4))
def test_the_fold_the_rebuild_and_plain_python_agree_on_many(tmp_path_factory, events, every):
    check_folding(tmp_path_factory.getbasetemp() / "fold-many", events, every)


@pytest.mark.parametrize(
    "change",
    [
        ("steps", {"result": {}}),
        ("steps", {"fingerprint": None}),
        ("steps", {"fingerprint": "a", "surprise": 1}),
        ("steps", {"fingerprint": "a", "created_at": {"a": 1}}),
        ("model_versions", {"name": "m", "version": 2**63}),
        ("model_versions", {"name": "m", "version": True}),
        ("model_versions", {"name": "m", "version": "1"}),
        ("explanations", {"run_id": "r", "base_value": "1.0"}),
        ("steps", {"fingerprint": "a", "result": float("nan")}),
    ],
)
def test_an_event_that_could_not_be_folded_is_never_written(workspace, change):
    with pytest.raises(ValueError, match=r"row|column|JSON"):
        workspace.append(lambda _: Draft("test", "poison", {}, [change]))
    assert workspace.query("SELECT count(*) AS n FROM events") == [{"n": 1}]
    assert workspace.append(lambda _: Draft("test", "fine", {})).seq == 2


def test_hostile_text_is_kept_as_it_is(workspace):
    name = "[/nope]\x1b[2J'; DROP TABLE steps; --\u202e\0é😀"
    row = {"fingerprint": name, "result": {name: [name, 10**30]}}
    workspace.append(lambda _: Draft("test", name, {name: name}, [("steps", row)]))
    for metadata in (workspace.metadata, fresh(workspace)):
        metadata.follow()
        metadata.query("SELECT 1 AS x")
        assert metadata.get("steps", name)["result"] == row["result"]
        assert metadata.find("events", subject=name)[0]["body"] == {name: name}


def filled(workspace: Workspace, n_events: int = 40) -> None:
    for number in range(n_events):
        row = {"fingerprint": f"f{number % 13}", "result": {"n": number}, "step": "s"}
        workspace.append(lambda _, r=row: Draft("test", "s", {"x": "y" * 50}, [("steps", r)]))


def foreign(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE _meta AS SELECT 42 AS answer")


def other_version(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE _meta SET version = ?", [VERSION + 1])
        connection.execute("DELETE FROM steps")


def edited(path: Path) -> None:
    """A whole database of ours whose position stands at another event than its rows."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE _meta SET seq = seq - 1")


def damage(path: Path, case: int) -> None:
    dice = random.Random(case)
    data = path.read_bytes()
    kind = ("flip", "flip", "flip", "cut", "gone", "empty", "text", "foreign", "version", "seq")
    match kind[case % len(kind)]:
        case "flip":
            place = dice.randrange(len(data))
            path.write_bytes(
                data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
            )
        case "cut":
            path.write_bytes(data[: dice.randrange(len(data))])
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("SQLite format 3\0" * 500)
        case "foreign":
            foreign(path)
        case "version":
            other_version(path)
        case _:
            edited(path)


@pytest.mark.parametrize("n_cases", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_damaged_generation_changes_no_state(workspace, n_cases):
    filled(workspace)
    workspace.metadata.publish(force=True)
    path = workspace.root / "metadata.duckdb"
    whole, right = path.read_bytes(), hash_of(fresh(workspace))
    assert hash_of(fresh(workspace, path)) == right
    wrong = []
    for case in range(n_cases):
        path.write_bytes(whole)
        damage(path, case)
        if hash_of(fresh(workspace, path)) != right:
            wrong.append(case)
    assert wrong == []
    workspace.metadata.rebuild()
    assert hash_of(fresh(workspace, path)) == right


def test_a_generation_behind_the_journal_is_caught_up_and_one_ahead_is_left(workspace, tmp_path):
    filled(workspace, 10)
    workspace.metadata.publish(force=True)
    shutil.copy(workspace.root / "metadata.duckdb", tmp_path / "behind.duckdb")
    journal = workspace.root / "journal" / "000001.jsonl"
    shorter = journal.read_bytes()
    filled(workspace, 10)
    workspace.metadata.publish(force=True)
    shutil.copy(workspace.root / "metadata.duckdb", tmp_path / "ahead.duckdb")
    right = hash_of(fresh(workspace))
    assert hash_of(fresh(workspace, tmp_path / "behind.duckdb")) == right
    journal.write_bytes(shorter)  # as a restored backup would leave it
    earlier = hash_of(fresh(workspace))
    assert earlier != right
    assert hash_of(fresh(workspace, tmp_path / "ahead.duckdb")) == earlier
    assert hash_of(fresh(workspace, tmp_path / "behind.duckdb")) == earlier


def test_a_process_that_folded_a_line_its_writer_took_back_folds_anew(workspace):
    filled(workspace, 3)
    journal = workspace.root / "journal" / "000001.jsonl"
    durable = journal.read_bytes()
    row = {"fingerprint": "phantom"}
    workspace.append(lambda _: Draft("test", "phantom", {}, [("steps", row)]))
    assert workspace.get("steps", "phantom") is not None
    journal.write_bytes(durable)
    assert workspace.get("steps", "phantom") is None
    assert workspace.append(lambda _: Draft("test", "next", {})).seq == 5
    assert workspace.metadata.state_hash() == hash_of(fresh(workspace))
    assert workspace.journal.verify().problem == ""


def test_any_client_opens_what_is_published(workspace):
    filled(workspace, 5)
    workspace.metadata.publish(force=True)
    with duckdb.connect(str(workspace.root / "metadata.duckdb"), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM steps").fetchone() == (5,)
        assert client.execute("SELECT result ->> 'n' FROM steps ORDER BY 1").fetchone() == ("0",)
        names = {row[0] for row in client.execute("SHOW TABLES").fetchall()}
        assert names == {*TABLES, "events", "_meta"}
        filled(workspace, 3)
        assert workspace.metadata.publish(force=True)  # by rename, beside the open client
        assert client.execute("SELECT count(*) FROM events").fetchone() == (6,)
    assert not list(workspace.root.glob(".metadata*"))


def test_what_a_killed_publisher_or_a_writing_client_left_is_no_obstacle(workspace):
    filled(workspace, 3)
    for name in (".metadata.duckdb.next", ".metadata.duckdb.next.wal", "metadata.duckdb.wal"):
        (workspace.root / name).write_bytes(b"torn" * 1000)
    assert workspace.metadata.publish(force=True)
    assert sorted(path.name for path in workspace.root.glob("*metadata*")) == ["metadata.duckdb"]
    path = workspace.root / "metadata.duckdb"
    assert hash_of(fresh(workspace, path)) == hash_of(fresh(workspace))


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_generation_that_the_disk_refuses_fails_no_command(workspace):
    filled(workspace, 3)
    script = """
        import resource, sys
        from local_stack.stores.journal import Draft
        from local_stack.workspace import Workspace

        with Workspace.open(sys.argv[1]) as workspace:
            workspace.query("SELECT 1 AS x")
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
            print(workspace.append(lambda _: Draft("t", "s", {})).seq)
            assert not workspace.metadata.publish(force=True)
            print(workspace.query("SELECT count(*) AS n FROM events")[0]["n"])
    """
    process = run(script, workspace.root)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.split() == ["5", "5"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert workspace.query("SELECT max(seq) AS n FROM events") == [{"n": 5}]


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[str]]]]:
    """Two processes that append and publish as fast as they can."""
    root = tmp_path / "busy"
    with Workspace.create(root) as made:
        made.query("SELECT 1 AS x")
        made.metadata.publish(force=True)
    script = """
        import sys, time
        from local_stack.stores.journal import Draft
        from local_stack.workspace import Workspace

        end, published = time.monotonic() + 1.5, 0
        with Workspace.open(sys.argv[1], actor=sys.argv[2]) as workspace:
            while time.monotonic() < end:
                workspace.append(lambda _: Draft("t", sys.argv[2], {}))
                published += workspace.metadata.publish(force=True)
        print(published)
    """
    started = [run(script, root, name) for name in ("one", "two")]
    yield root, started
    for process in started:
        process.kill()
        process.communicate()


def test_reading_never_waits_while_others_write_and_publish(writers):
    root, processes = writers
    seen, n_polls = 0, 0
    with Workspace.open(root, readonly=True) as ours:
        while any(process.poll() is None for process in processes):
            with duckdb.connect(str(root / "metadata.duckdb"), read_only=True) as client:
                n_events, top = client.execute("SELECT count(*), max(seq) FROM events").fetchone()
            assert n_events == top
            ours_now = ours.query("SELECT count(*) AS n, max(seq) AS top FROM events")[0]
            assert ours_now["n"] == ours_now["top"] >= seen
            seen, n_polls = ours_now["n"], n_polls + 1
            time.sleep(0.005)
        assert ours.query("SELECT count(*) AS n FROM events")[0]["n"] >= seen > 2
        assert ours.metadata.damage is None
    assert n_polls > 5
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    assert int(out) > 0


def test_an_event_of_a_newer_program_is_listed_and_its_tables_are_passed_over(tmp_path):
    journal = Journal(tmp_path / "journal", wait_seconds=1, segment_bytes=1 << 20)
    journal.create()
    draft = Draft("later.kind", "s", {}, [("table_of_later", {"key": 1})])
    journal.append("t", "t", lambda: draft)
    metadata = Metadata(journal, tmp_path / "m.duckdb", tmp_path / "cache")
    assert metadata.follow() == 1
    assert [row["kind"] for row in metadata.find("events")] == ["later.kind"]
    assert metadata.follow() == 0
    assert next(iter(journal.read(START)))[0].changes == [["table_of_later", {"key": 1}]]
    assert json.dumps(metadata.find("steps")) == "[]"
