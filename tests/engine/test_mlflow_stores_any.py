"""Any run that MLflow can read is read as MLflow reads it."""

from __future__ import annotations

import posixpath
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow_stores_kit import mlflow_runs, our_runs
from test_run_index import put_experiment, run_id

from local_stack.stores.mlflow_stores.file_store import FileStore

PARTS = st.text("aZ09é_-. ", min_size=1, max_size=5)
KEYS = (
    st.lists(PARTS, min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda key: posixpath.normpath(key) == key and not key.startswith("."))
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.integers(-(10**9), 10**13)
VALUES = st.lists(
    st.tuples(st.integers(0, 10**13), st.floats(), st.integers(-5, 5)), min_size=1, max_size=6
)


def apart(keys: Any) -> bool:
    """Return whether no key is a folder of another, or another spelt in capitals."""
    found = [key.lower() for key in keys]
    return len(set(found)) == len(found) and not any(
        other.startswith(f"{key}/") for key in found for other in found
    )


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """Return what a run's files hold."""
    name = draw(TEXTS.filter(lambda text: text.strip()))
    return {
        "meta": {
            "artifact_uri": "file:///x/" + draw(PARTS),
            "end_time": draw(st.none() | TIMES.filter(bool)),
            "experiment_id": "1",
            "lifecycle_stage": draw(st.sampled_from(["active", "deleted"])),
            "run_name": name,
            "start_time": draw(TIMES),
            "status": draw(st.integers(1, 5)),
            "user_id": draw(TEXTS),
        },
        "params": draw(st.dictionaries(KEYS, TEXTS, max_size=4).filter(apart)),
        "tags": draw(st.dictionaries(KEYS, TEXTS, max_size=4).filter(apart)),
        "metrics": draw(st.dictionaries(KEYS, VALUES, max_size=3).filter(apart)),
    }


def write(folder: Path, run: dict[str, Any]) -> None:
    """Write a run as MLflow's file store does."""
    for name in ("params", "metrics", "tags", "artifacts"):
        (folder / name).mkdir(parents=True)
    meta = run["meta"] | {"run_id": folder.name, "run_uuid": folder.name}
    text = yaml.safe_dump(meta, default_flow_style=False, allow_unicode=True)
    (folder / "meta.yaml").write_text(text, encoding="utf-8", newline="")
    files = {f"params/{key}": text for key, text in run["params"].items()}
    files |= {f"tags/{key}": text for key, text in run["tags"].items()}
    for key, rows in run["metrics"].items():
        files[f"metrics/{key}"] = "".join(f"{at} {value} {step}\n" for at, value, step in rows)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8", newline="")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "mlruns"


def compare(root: Path, written: list[dict[str, Any]]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    put_experiment(root)
    (root / ".trash").mkdir()
    for number, run in enumerate(written, start=10**30):
        write(root / "1" / run_id(number), run)
    expected = mlflow_runs(root.as_uri())
    assert len(expected) == len(written)
    assert our_runs(FileStore(root)) == expected


UNHURRIED = settings(suppress_health_check=[HealthCheck.too_slow])
STORES = st.lists(runs(), min_size=1, max_size=4)


@settings(UNHURRIED, max_examples=20)
@given(written=STORES)
def test_any_runs_are_read_as_mlflow_reads_them(root: Path, written: list[dict[str, Any]]) -> None:
    compare(root, written)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=600)
@given(written=STORES)
def test_many_runs_are_read_as_mlflow_reads_them(root: Path, written: list[dict[str, Any]]) -> None:
    compare(root, written)
