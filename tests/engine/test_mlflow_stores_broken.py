"""Broken and half-written folder stores: listed as such, never fatal, never hidden."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_run_index import put_experiment, run_id
from test_run_index import put_run as put_plain_run

from local_stack.runs import syncing
from local_stack.runs.relation import EXPERIMENTS, RUNS
from local_stack.stores.mlflow_stores import meta_yaml, metric_lines
from local_stack.stores.mlflow_stores.file_store import FileStore
from local_stack.stores.mlflow_stores.records import StoredRun
from local_stack.workspace import Workspace

WHOLE, BROKEN = run_id(1), run_id(2)
Break = Callable[[Path], object]


def put_run(root: Path, run: str, experiment: str = "1") -> Path:
    """Write a run that nothing is wrong with."""
    return put_plain_run(root, run, experiment, run_id=f"'{run}'")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    root = tmp_path / "mlruns"
    put_experiment(root)
    put_run(root, WHOLE)
    put_run(root, BROKEN)
    return FileStore(root)


def read(store: FileStore) -> dict[str, StoredRun]:
    return {run.run_id: run for run in map(store.read, store.places())}


def relink(path: Path, target: Path) -> None:
    """Put a link to ``target`` in the place of a file or folder."""
    path.rename(path.with_name(f"kept-{path.name}"))
    path.symlink_to(target)


FAULTS: dict[str, tuple[Break, str]] = {
    "meta_missing": (lambda run: (run / "meta.yaml").unlink(), "meta.yaml is missing"),
    "meta_empty": (lambda run: (run / "meta.yaml").write_bytes(b""), "meta.yaml is empty"),
    "meta_cut": (lambda run: (run / "meta.yaml").write_text("artifact_uri: 'fi"), "is cut off"),
    "meta_garbage": (lambda run: (run / "meta.yaml").write_bytes(os.urandom(99) + b"\xff"), "UTF"),
    "meta_list": (lambda run: (run / "meta.yaml").write_text("- 1\n"), "holds no keys"),
    "meta_huge": (lambda run: (run / "meta.yaml").write_bytes(b"# \n" * 99_999), "larger than"),
    "meta_deep": (lambda run: (run / "meta.yaml").write_text("[" * 9_999), "nested too deeply"),
    "meta_folder": (
        lambda run: ((run / "meta.yaml").unlink(), (run / "meta.yaml").mkdir()),
        "meta.yaml cannot be read",
    ),
    "meta_of_another": (
        lambda run: (run / "meta.yaml").write_text(f"run_id: '{WHOLE}'\n"),
        f"that of run {WHOLE}",
    ),
    "status": (lambda run: (run / "meta.yaml").write_text("status: 17\n"), "'17' is no status"),
    "status_long": (
        lambda run: (run / "meta.yaml").write_text(f"status: '{'9' * 5_000}'\n"),
        "is no status",
    ),
    "metric_empty": (lambda run: (run / "metrics" / "rmse").write_bytes(b""), "rmse is empty"),
    "metric_cut": (
        lambda run: (run / "metrics" / "rmse").write_text("16000 0.5 0\n1600"),
        "line 2",
    ),
    "metric_no_end": (
        lambda run: (run / "metrics" / "rmse").write_text("1 0.5 0\n2 0.25 1"),
        "cut",
    ),
    "metric_garbage": (
        lambda run: (run / "metrics" / "a").write_bytes(b"\0\xff\n" * 9),
        "nor are 7 other",
    ),
    "metric_pipe": (lambda run: os.mkfifo(run / "metrics" / "pipe"), "no regular file"),
    "param_garbage": (lambda run: (run / "params" / "p").write_bytes(b"\xff\0"), "not UTF-8"),
    "tag_link": (lambda run: (run / "tags" / "out").symlink_to("/etc/passwd"), "is a link"),
    "tags_link": (lambda run: relink(run / "tags", Path("/etc")), "tags/ cannot be read"),
    "meta_link": (lambda run: relink(run / "meta.yaml", Path("/etc/passwd")), "cannot be read"),
    "run_link": (
        lambda run: (shutil.rmtree(run), run.symlink_to("/etc")),
        "its folder cannot be read",
    ),
    "dataset_gone": (
        lambda run: (
            (run / "inputs" / "x").mkdir(parents=True),
            (run / "inputs" / "x" / "meta.yaml").write_text("source_type: DATASET\nsource_id: a\n"),
        ),
        "the dataset of inputs/x/meta.yaml cannot be read",
    ),
    "dataset_outside": (
        lambda run: (
            (run / "inputs" / "x").mkdir(parents=True),
            (run / "inputs" / "x" / "meta.yaml").write_text(
                "source_type: DATASET\nsource_id: ../../../../etc\n"
            ),
        ),
        "cannot be read",
    ),
}
ODD = {
    "tags_number": "tags: 7\nsource_name: x\nsource_type: [4]\n",
    "id_of_many_digits": f"experiment_id: 0x{'f' * 20_000}\n",
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nrun_name: *b\nstart_time: *b\nend_time: 2020-01-01\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_run_is_listed_with_what_is_wrong(store: FileStore, fault: str) -> None:
    apply, told = FAULTS[fault]
    whole = read(store)[WHOLE]
    assert whole.problem is None
    apply(store.root / "1" / BROKEN)
    found = read(store)
    assert found.keys() == {WHOLE, BROKEN}
    assert found[WHOLE] == whole
    problem = found[BROKEN].problem or ""
    assert told in problem
    assert problem.startswith("The run is not whole: ")
    assert problem.endswith(".")
    assert "root:" not in repr(found)  # nothing of a file outside


@pytest.mark.parametrize("case", ODD)
def test_odd_values_of_a_meta_are_left_out(store: FileStore, case: str) -> None:
    (store.root / "1" / BROKEN / "meta.yaml").write_text(ODD[case])
    run = read(store)[BROKEN]
    assert run.params == {"model": "tree"}
    assert (run.name, run.started_ms, run.ended_ms) == ("", None, None)


def test_an_experiment_that_leads_out_is_listed_and_not_followed(
    store: FileStore, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    put_experiment(other, "7")
    put_run(other, run_id(7), "7")
    (store.root / "7").symlink_to(other / "7")
    assert read(store).keys() == {WHOLE, BROKEN}
    found = {one.experiment_id: one for one in store.experiments()}
    assert "its folder cannot be read" in (found["7"].problem or "")
    assert found["1"].problem is None


def test_the_store_itself_may_be_reached_through_a_link(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.root)
    assert read(FileStore(tmp_path / "link")).keys() == {WHOLE, BROKEN}


def test_links_do_not_lead_a_signature_out(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    relink(store.root / "1" / BROKEN / "metrics", outside)
    (place,) = [place for place in store.places() if place.run_id == BROKEN]
    before = store.signature(place, "files")
    (outside / "rmse").write_text("1 2 3\n")
    assert store.signature(place, "files") == before
    assert read(store)[BROKEN].problem


def test_folders_without_permission_are_listed(unprivileged: Path) -> None:
    store = FileStore(unprivileged / "mlruns")
    put_experiment(store.root)
    put_run(store.root, WHOLE)
    (store.root / "1" / WHOLE / "metrics").chmod(0)
    put_run(store.root, BROKEN).chmod(0)
    put_experiment(store.root, "2")
    (store.root / "2").chmod(0)
    found = read(store)
    assert "metrics/ cannot be read (permission denied)" in (found[WHOLE].problem or "")
    assert found[WHOLE].params == {"model": "tree"}
    assert "its folder cannot be read (permission denied)" in (found[BROKEN].problem or "")
    experiments = {one.experiment_id: one.problem for one in store.experiments()}
    assert experiments["1"] is None
    assert "permission denied" in (experiments["2"] or "")
    for folder in ("2", f"1/{BROKEN}"):
        (store.root / folder).chmod(0o700)
    store.root.chmod(0)
    with pytest.raises(PermissionError):  # a store that cannot be listed has not become empty
        store.places()


def test_the_index_takes_every_broken_run(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    for number, (apply, _) in enumerate(FAULTS.values()):
        run = put_run(root, run_id(number))
        (run / "tags" / "odd").write_bytes(b"a\0b\x1b[31m")
        apply(run)
    (root / "8").mkdir()
    syncing.sync(workspace)
    found = {row["run_id"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
    assert found.keys() == {run_id(number) for number in range(len(FAULTS))}
    assert all(row["problem"] for row in found.values())
    experiments = workspace.query(f"SELECT experiment_id, problem FROM {EXPERIMENTS}")
    assert {row["experiment_id"]: bool(row["problem"]) for row in experiments} == {
        "1": False,
        "8": True,
    }
    assert syncing.sync(workspace).n_read == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_a_meta_or_a_sentence(data: bytes) -> None:
    try:
        found = meta_yaml.parse(data)
    except ValueError as error:
        assert str(error).startswith(("is ", "holds "))  # noqa: PT017 - most bytes are none
    else:
        assert found == {str(key): value for key, value in yaml.safe_load(data).items()}


PLAIN = st.text("abYyesnotruefl0123456789.-+_:/# '\"~[]{}%,é", max_size=12)
KEYS = st.sampled_from(["name", "status", "run_id", "start_time", "artifact_uri", "odd key", "x"])


@given(st.dictionaries(KEYS, PLAIN))
def test_a_meta_read_by_hand_is_that_of_the_yaml_library(values: dict[str, str]) -> None:
    data = "".join(f"{key}: {value}\n" for key, value in values.items()).encode()
    try:
        expected = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError):
        expected = None
    try:
        found = meta_yaml.parse(data)
    except ValueError:
        assert not isinstance(expected, dict) or any(not isinstance(k, str) for k in expected)
    else:
        assert repr(found) == repr(expected)  # NaN is no equal of itself


@given(st.binary(max_size=200))
def test_any_bytes_are_values_of_a_metric_or_told(data: bytes) -> None:
    faults: list[str] = []
    found = metric_lines.parse("m", data, faults)
    n_lines = len([line for line in data.split(b"\n") if line.split()])
    assert len(found) <= n_lines
    assert len(found) == n_lines or faults
    for key, step, at, value in found:
        assert (key, type(value)) == ("m", float)
        assert -(2**63) < step < 2**63
        assert -(2**63) < at < 2**63


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.tuples(st.integers(10**11, 10**13), NUMBERS, st.integers(-(2**62), 2**62))


@given(st.lists(ROWS, min_size=1, max_size=9))
def test_the_lines_of_a_metric_are_read_as_they_were_written(
    rows: list[tuple[int, float, int]],
) -> None:
    faults: list[str] = []
    data = "".join(f"{at} {value} {step}\n" for at, value, step in rows).encode()
    found = metric_lines.parse("m", data, faults)
    assert not faults
    assert repr(found) == repr([("m", step, at, value) for at, value, step in rows])
    cut = data[:-1]
    metric_lines.parse("m", cut, faults)
    assert "cut" in faults[-1]
    assert all(math.isfinite(row[2]) for row in found)
