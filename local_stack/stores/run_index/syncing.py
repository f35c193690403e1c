"""Bringing the run index in step with its store: look at what is cheap, read what has changed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.stores.mlflow_stores.file_store import FileStore
from local_stack.stores.mlflow_stores.records import RunPlace
from local_stack.stores.places import redacted
from local_stack.stores.run_index import reading
from local_stack.stores.run_index.generations import RunIndex

Known = dict[str, dict[str, Any]]
_LATELY_NS: Final = 600 * 10**9
_MOST_WATCHED: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync did; ``problem`` says why the store could not be looked at."""

    n_runs: int = 0
    n_read: int = 0
    n_gone: int = 0
    is_busy: bool = False
    problem: str | None = None


def folder_of(uri: str) -> Path | None:
    """Return the folder of a file store; None for a database or a server."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(uri)


def sync(
    index: RunIndex,
    query: Callable[[str], Sequence[dict[str, Any]]],
    *,
    seconds: float | None,
    again: Collection[str] = (),
    progress: Progress = silent,
) -> Outcome:
    """Bring the index in step; ``seconds`` bounds the look at single files, None looks at all.

    The runs ``again`` are read in any case.
    A process that finds another one at it goes on with what is published.
    """
    root = folder_of(index.uri)
    if root is None:
        return Outcome(problem=f"{redacted(index.uri)} is no folder, and only folders are indexed")
    if not root.is_dir():
        return Outcome(problem=f"{root} is not there")
    with _only_one(index.cache / "run-index.lock") as is_ours:
        if not is_ours:
            return Outcome(is_busy=True)
        return _synced(index, FileStore(root), query, seconds, again, progress)


def _synced(
    index: RunIndex,
    store: FileStore,
    query: Callable[[str], Sequence[dict[str, Any]]],
    seconds: float | None,
    again: Collection[str],
    progress: Progress,
) -> Outcome:
    rows = query(
        "SELECT run_id, status, place, meta_sign, folders_sign, files_sign, changed_ns "
        "FROM stored_runs"
    )
    known: Known = {row["run_id"]: dict(row) for row in rows}
    places: dict[str, RunPlace] = {}
    for place in store.places():
        places.setdefault(place.run_id, place)
    progress(Step("Looking for changes", 0, len(places)))
    changed = sorted({*_changed(index, store, places, known, seconds), *(places.keys() & again)})
    gone = known.keys() - places.keys()
    experiments = [reading.experiment_row(found) for found in store.experiments()]
    mark = _digest(experiments)
    state = _state(index)
    if changed or gone or not index.base.exists() or mark != state.get("experiments"):
        progress(Step("Reading runs", 0, len(changed)))
        with _scratch(index.cache) as folder:
            reading.read(store, [places[run] for run in changed], folder)
            reading.write_rows(experiments, folder / "experiments-0.json")
            reading.write_rows(map(reading.model_row, store.models()), folder / "models-0.json")
            index.publish(folder, sorted({*changed, *gone}))
    _save(index, {**_state(index), "experiments": mark, "synced_at": now()})
    return Outcome(len(places), len(changed), len(gone))


def _changed(
    index: RunIndex,
    store: FileStore,
    places: dict[str, RunPlace],
    known: Known,
    seconds: float | None,
) -> list[str]:
    """Return the runs to read: new, moved, or with files that are not as they were.

    Every run is looked at by its ``meta.yaml`` and folders; single files of the runs at work
    and of the lately changed always, and of the others in turn while there is time.
    """
    found: set[str] = set()
    quiet: list[str] = []
    for run, place in places.items():
        row = known.get(run)
        is_known = row is not None and row["place"] == str(place.path)
        if is_known and reading.sign(store, place, "folders") == known[run]["folders_sign"]:
            quiet.append(run)
        else:
            found.add(run)
    newest = sorted(quiet, key=lambda run: -known[run]["changed_ns"])
    first = [run for run in newest if _is_lively(known[run])][:_MOST_WATCHED]
    watched = set(first)
    rest = [run for run in quiet if run not in watched]
    cursor = _state(index).get("cursor", 0) % max(1, len(rest))
    n_seen, deadline = 0, time.monotonic() + (seconds or 0)
    for number, run in enumerate([*first, *rest[cursor:], *rest[:cursor]]):
        if number >= len(first):
            if seconds is not None and time.monotonic() >= deadline:
                break
            n_seen += 1
        if reading.sign(store, places[run], "files") != known[run]["files_sign"]:
            found.add(run)
    _save(index, {**_state(index), "cursor": (cursor + n_seen) % max(1, len(rest))})
    return sorted(found)


def _is_lively(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "RUNNING" or time.time_ns() - row["changed_ns"] < _LATELY_NS)


def synced_at(index: RunIndex) -> str | None:
    """Return when the store was last looked at, in UTC ISO 8601; None when it never was."""
    found = _state(index).get("synced_at")
    return str(found) if found else None


def _digest(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, sort_keys=True)


def _state(index: RunIndex) -> dict[str, Any]:
    try:
        found = json.loads((index.cache / "run-index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("uri") == index.uri else {}


def _save(index: RunIndex, state: dict[str, Any]) -> None:
    scratch = index.cache / f".run-index.json.{os.getpid()}"
    scratch.write_text(json.dumps({**state, "uri": index.uri}), encoding="utf-8")
    scratch.replace(index.cache / "run-index.json")


@contextlib.contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """Yield the folder of the one sync at work; what a killed one left in it is removed."""
    folder = cache / "run-index.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
