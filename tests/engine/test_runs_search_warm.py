"""Searches that follow each other: quicker, and with the same answers as the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from run_store_kit import put_experiment, put_run, run_id

from local_stack.runs import editing, records
from local_stack.stores.run_index.warm import Warm
from local_stack.workspace import Workspace

N_RUNS = 30


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws", actor="tester") as workspace:
        root = workspace.root / "mlruns"
        put_experiment(root)
        for number in range(N_RUNS):
            folder = put_run(root, run_id(number), start_time=1_600_000_000_000 + number)
            (folder / "metrics" / "loss").write_text(
                f"1600000000000 {number} 0\n1600000000001 {number / 2} 1\n"
            )
            (folder / "params" / "kind").write_text("even" if number % 2 == 0 else "odd")
        yield workspace


ASKED = (
    {"filter": "metrics.loss < 5 and params.kind = 'even'", "order_by": "metrics.loss"},
    {"filter": "params.kind ILIKE 'O%'", "order_by": "params.kind, start_time DESC", "limit": 4},
    {"filter": "min(metrics.loss) < 3 OR duration > 100", "columns": "name,min(metrics.loss)"},
    {"filter": "metrics.loss - first(metrics.loss) < -10", "limit": 0},
    {"experiment": "wine", "limit": 7},
    {"filter": "metrics.nothing > 1"},
    {"filter": "tags.nothing IS NULL", "state": "all"},
)


def _until_kept(workspace: Workspace) -> None:
    for _ in range(200):
        records.search(workspace, "metrics.loss < 5")
        if workspace.run_index.kept is not None:
            return
    raise AssertionError("the runs are never kept")


def test_what_is_kept_answers_as_the_views_do(workspace):
    first = [records.search(workspace, **asked) for asked in ASKED]
    _until_kept(workspace)
    assert [records.search(workspace, **asked) for asked in ASKED] == first
    assert [records.search(workspace, **asked) for asked in ASKED] == first


def test_a_result_that_is_changed_by_its_reader_changes_no_other(workspace):
    _until_kept(workspace)
    found = records.search(workspace, "metrics.loss < 1")
    found[0].params["kind"] = found[0].tags["mine"] = "changed"
    found[0].metrics.clear()
    again = records.search(workspace, "metrics.loss < 1")
    assert again[0].params["kind"] == "odd"
    assert "mine" not in again[0].tags
    assert again[0].metrics == {"loss": 0.5, "rmse": 0.25}


def test_what_changes_is_seen_by_the_next_search(workspace):
    _until_kept(workspace)
    editing.tag(workspace, run_id(4), ("mine=yes",))
    assert [run.run_id for run in records.search(workspace, "tags.mine = 'yes'")] == [run_id(4)]
    _until_kept(workspace)
    editing.delete(workspace, (run_id(4),))
    assert not records.search(workspace, "tags.mine = 'yes'")
    assert records.search(workspace, "").total == N_RUNS - 1
    _until_kept(workspace)
    put_run(workspace.root / "mlruns", run_id(N_RUNS))
    workspace.run_index.looked = (0.0, 0.0, -1)  # the next search looks at the store again
    assert records.search(workspace, "").total == N_RUNS


def test_many_keys_are_asked_for_in_turn(workspace):
    _until_kept(workspace)
    for number in range(150):
        assert not records.search(workspace, f"metrics.m{number} > 1 or params.p{number} = 'x'")
    assert records.search(workspace, "metrics.loss < 5").total == 10


@pytest.mark.parametrize("refused", ["TEMP TABLE warm_runs", "TEMP TABLE warm_key"])
def test_memory_that_is_not_enough_to_keep_runs_fails_no_search(workspace, monkeypatch, refused):
    class Full:
        """DuckDB's connection, without memory for a table that is kept."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def execute(self, query: str, *parameters: Any) -> Any:
            if refused in query:
                raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")
            return self._real.execute(query, *parameters)

    asked = {"filter": "metrics.loss < 5 and params.kind = 'even'", "order_by": "metrics.loss"}
    first = records.search(workspace, **asked)
    began = Warm.__init__
    monkeypatch.setattr(Warm, "__init__", lambda self, real: began(self, Full(real)))
    with Workspace.open(workspace.root) as again:
        for _ in range(200):
            assert records.search(again, **asked) == first
