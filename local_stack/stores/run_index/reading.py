"""Runs of a store as lines of JSON that DuckDB loads, read by several processes when many.

``python -m local_stack.stores.run_index.reading ROOT FOLDER NUMBER`` reads the places on its
input; it imports nothing heavy.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from local_stack.results import iso
from local_stack.stores.mlflow_stores.file_store import N_FOLDERS, N_META, FileStore
from local_stack.stores.mlflow_stores.records import (
    RunPlace,
    Store,
    StoredExperiment,
    StoredModel,
    StoredRun,
)

_ALONE: Final = 500
"""Up to so many runs, starting another process costs more than it saves."""

_CLOCK_NS: Final = 20_000_000
"""Changes that are not so far apart (ns) may bear the same time in a file system."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(store: Store, places: Sequence[RunPlace], folder: Path) -> None:
    """Write ``runs-*.json`` and ``history-*.json`` of the runs at ``places`` into ``folder``."""
    is_many = isinstance(store, FileStore) and len(places) > _ALONE
    n_parts = min(4, os.cpu_count() or 1) if is_many else 1
    parts = [places[number::n_parts] for number in range(n_parts)]
    children = [
        _started(store, part, folder, number)
        for number, part in enumerate(parts[1:], start=1)
        if isinstance(store, FileStore)  # the others answer many questions at once
    ]
    try:
        write(store, parts[0], folder, 0)
    finally:
        codes = [child.wait() for child in children]
    for number, code in enumerate(codes, start=1):
        if code:  # killed, or short of memory: this process can still do it
            write(store, parts[number], folder, number)


def _started(
    store: FileStore, places: Sequence[RunPlace], folder: Path, number: int
) -> subprocess.Popen[bytes]:
    listed = folder / f"places-{number}.json"
    listed.write_text(
        "".join(json.dumps([p.run_id, p.experiment_id, str(p.path)]) + "\n" for p in places),
        encoding="ascii",
    )
    words = [sys.executable, "-P", "-m", __name__, str(store.root), str(folder), str(number)]
    with listed.open("rb") as stream:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and a path of our own
            words, stdin=stream, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def write(store: Store, places: Iterable[RunPlace], folder: Path, number: int) -> None:
    """Read the runs one by one and write a line each."""
    with (
        (folder / f"runs-{number}.json").open("wb") as runs,
        (folder / f"history-{number}.json").open("wb") as history,
    ):
        signed: deque[tuple[RunPlace, dict[str, int]]] = deque()

        def signing() -> Iterator[RunPlace]:
            for place in places:  # before reading: what changes meanwhile is seen again
                signed.append((place, signs_of(store, place)))
                yield place

        for run in store.read_all(signing()):
            place, signs = signed.popleft()
            runs.write(_line({**run_row(run, place), **signs}))
            history.write(_history_lines(run, place))


def sign(store: Store, place: RunPlace, tier: Any) -> int:
    """Return a number that changes when what ``tier`` looks at does."""
    return hash(store.signature(place, tier))


def signs_of(store: Store, place: RunPlace) -> dict[str, int]:
    """Return the signatures of all tiers, and the newest time of change that they saw.

    A run that changed a moment ago gets a signature of nothing, so that it is read again: its
    next change may bear the same time.
    """
    files = store.signature(place, "files")
    newest = max(files[:-1], default=0)
    is_fresh = abs(time.time_ns() - newest) < _CLOCK_NS
    return {  # a closer look begins with what a quicker one sees
        "meta_sign": hash(files[:N_META]),
        "folders_sign": hash(files[:N_FOLDERS]),
        "files_sign": 0 if is_fresh else hash(files),
        "changed_ns": newest,
    }


def run_row(run: StoredRun, place: RunPlace) -> dict[str, Any]:
    """Return a run as a row of the table ``runs``, its signatures aside."""
    return {
        "run_id": place.run_id,
        "experiment_id": run.experiment_id,
        "name": run.name,
        "actor": run.user,
        "status": run.status,
        "lifecycle": run.lifecycle,
        "started_at": moment(run.started_ms),
        "ended_at": moment(run.ended_ms),
        "params": run.params,
        "metrics": {key: _plain(value) for key, value in run.metrics.items()},
        "tags": run.tags,
        "datasets": run.datasets,
        "artifact_uri": run.artifact_uri,
        "artifacts": [path for path, _ in run.artifacts],
        "artifact_sizes": dict(run.artifacts),
        "artifact_folder": str(run.artifact_folder) if run.artifact_folder else None,
        "logged_models": run.models,
        "parent": run.tags.get("mlflow.parentRunId"),
        "problem": run.problem,
        "place": str(place.path),
    }


def experiment_row(found: StoredExperiment) -> dict[str, Any]:
    """Return an experiment as a row of the table ``experiments``."""
    return {
        "experiment_id": found.experiment_id,
        "name": found.name,
        "lifecycle": found.lifecycle,
        "artifact_location": found.artifact_location,
        "created_at": moment(found.created_ms),
        "updated_at": moment(found.updated_ms),
        "tags": found.tags,
        "problem": found.problem,
    }


def model_row(found: StoredModel) -> dict[str, Any]:
    """Return a logged model as a row of the table ``models``."""
    return {
        "model_id": found.model_id,
        "experiment_id": found.experiment_id,
        "run_id": found.run_id,
        "name": found.name,
        "status": found.status,
        "lifecycle": found.lifecycle,
        "created_at": moment(found.created_ms),
        "updated_at": moment(found.updated_ms),
        "artifact_location": found.artifact_location,
        "params": found.params,
        "metrics": {key: _plain(value) for key, value in found.metrics.items()},
        "tags": found.tags,
        "problem": found.problem,
    }


def write_rows(rows: Iterable[dict[str, Any]], file: Path) -> None:
    """Write rows as lines of JSON."""
    with file.open("wb") as stream:
        stream.writelines(map(_line, rows))


def moment(milliseconds: int | None) -> str | None:
    """Return a time of MLflow's as the workspace writes times; None for what no calendar holds."""
    if milliseconds is None:
        return None
    try:
        return iso(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return None


def _plain(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_encoded = json.JSONEncoder(ensure_ascii=False).encode


def _line(row: dict[str, Any]) -> bytes:
    return _encoded(row).encode("utf-8", "replace") + b"\n"


def _history_lines(run: StoredRun, place: RunPlace) -> bytes:
    """Return a line of JSON a value; put together by hand, as there are many."""
    head = f'{{"run_id": {_encoded(place.run_id)}, "key": '
    keys = {key: head + _encoded(key) for key in run.metrics}
    lines = []
    for key, step, at, value in run.history:
        start = keys.get(key) or head + _encoded(key)
        shown = repr(value) if math.isfinite(value) else f'"{_plain(value)}"'
        lines.append(f'{start}, "step": {step}, "at_ms": {at}, "value": {shown}}}\n')
    return "".join(lines).encode("utf-8", "replace")


def _places() -> Iterable[RunPlace]:
    for line in sys.stdin:
        run_id, experiment_id, path = json.loads(line)
        yield RunPlace(run_id, experiment_id, Path(path))


if __name__ == "__main__":
    write(FileStore(Path(sys.argv[1])), _places(), Path(sys.argv[2]), int(sys.argv[3]))
