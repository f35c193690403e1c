"""Bringing the run index in step with its store: look at what is cheap, read what has changed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.stores.mlflow_stores.file_store import FileStore
from local_stack.stores.mlflow_stores.opening import opened
from local_stack.stores.mlflow_stores.records import Store, UnreadableError
from local_stack.stores.places import redacted
from local_stack.stores.run_index import reading, watching
from local_stack.stores.run_index.generations import RunIndex
from local_stack.stores.run_index.watching import Query


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync did; ``problem`` says why the store could not be looked at."""

    n_runs: int = 0
    n_read: int = 0
    n_gone: int = 0
    is_busy: bool = False
    problem: str | None = None


def sync(
    index: RunIndex,
    query: Query,
    *,
    seconds: float | None,
    again: Collection[str] = (),
    progress: Progress = silent,
) -> Outcome:
    """Bring the index in step; ``seconds`` bounds the look at single files, None looks at all.

    The runs ``again`` are read in any case.
    A process that finds another one at it goes on with what is published.
    """
    try:
        store = opened(index.uri)
        with _only_one(index.cache / "run-index.lock") as is_ours:
            if not is_ours:
                return Outcome(is_busy=True)
            _tidy(index.cache)
            with _scouting(index) as scout:
                return _synced(index, store, query, seconds, again, progress, scout)
    except UnreadableError as error:  # what was indexed stands
        return Outcome(problem=str(error))


def _synced(
    index: RunIndex,
    store: Store,
    query: Query,
    seconds: float | None,
    again: Collection[str],
    progress: Progress,
    scout: watching.Scout | None,
) -> Outcome:
    stamp, state = store.stamp(), _state(index)
    n_known = query("SELECT count(*) AS n FROM stored_runs")[0]["n"]
    if n_known != state.get("n_runs"):
        state = {}  # the index was lost, or its last sync was killed before it noted what it did
    if stamp is not None and stamp == state.get("stamp") and seconds is not None and not again:
        return Outcome(n_known)
    progress(Step("Looking for changes", 0, n_known))
    seen = watching.look(store, query, state, seconds, again, scout)
    description = store.description() if isinstance(store, FileStore) else None
    experiments = None
    if description is None or description != state.get("description") or seen.changed:
        experiments = [reading.experiment_row(found) for found in store.experiments()]
    models = None  # of folders the description tells
    if experiments is not None and not isinstance(store, FileStore):
        models = [reading.model_row(found) for found in store.models()]
    told = state.get("experiments")
    digest = told if experiments is None else _digest([*experiments, *(models or ())])
    if seen.changed or seen.gone or digest != state.get("experiments") or not n_known:
        progress(Step("Reading runs", 0, len(seen.changed)))
        if experiments is None:
            experiments = [reading.experiment_row(found) for found in store.experiments()]
        with _scratch(index.cache) as folder:
            reading.read(store, seen.changed, folder)
            reading.write_rows(experiments, folder / "experiments-0.json")
            if models is None:
                models = [reading.model_row(found) for found in store.models()]
            reading.write_rows(models, folder / "models-0.json")
            index.publish(folder, [*sorted(seen.gone), *(place.run_id for place in seen.changed)])
    stamps, file = _stamps(index), _places_file(index)
    if isinstance(store, FileStore) and not (stamps == state.get("places") and file.exists()):
        watching.note(query, file, seen.n_runs)
    noted = {"experiments": digest, "description": description, "stamp": stamp, "places": stamps}
    _save(index, {**seen.state, **noted, "synced_at": now(), "n_runs": seen.n_runs})
    return Outcome(seen.n_runs, len(seen.changed), len(seen.gone))


@contextlib.contextmanager
def _scouting(index: RunIndex) -> Iterator[watching.Scout | None]:
    """Send a scout ahead where DuckDB has still to be opened and its notes are of this index."""
    file, stamps = _places_file(index), _state(index).get("places")
    if index.is_attached or stamps != _stamps(index) or not file.exists():
        yield None
        return
    scout = watching.Scout(file)
    try:
        yield scout
    finally:
        scout.dismiss()


def _places_file(index: RunIndex) -> Path:
    return index.cache / "run-index.places"


def _stamps(index: RunIndex) -> str:
    return repr(index.stamps())


def behind(index: RunIndex, query: Query) -> int:
    """Return how many runs of the store have changed since it was indexed; writes nothing.

    Raises
    ------
    OSError
        The store cannot be looked at.
    """
    store, state = opened(index.uri), _state(index)
    stamp = store.stamp()
    if stamp is not None and stamp == state.get("stamp"):
        return 0
    seen = watching.look(store, query, state, 0.0)
    return len(seen.changed) + len(seen.gone)


def idle_seconds(index: RunIndex) -> float:
    """Return how long ago any process last looked at the store; 0 when none ever did."""
    try:
        return max(0.0, time.time() - _state_file(index).stat().st_mtime)
    except OSError:
        return 0.0


def synced_at(index: RunIndex) -> str | None:
    """Return when the store was last looked at, in UTC ISO 8601; None when it never was."""
    found = _state(index).get("synced_at")
    return str(found) if found else None


def _digest(rows: list[dict[str, Any]]) -> str:
    text = json.dumps(rows, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _state_file(index: RunIndex) -> Path:
    return index.cache / "run-index.json"


def _state(index: RunIndex) -> dict[str, Any]:
    try:
        found = json.loads(_state_file(index).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("uri") == redacted(index.uri) else {}


def _save(index: RunIndex, state: dict[str, Any]) -> None:
    scratch = index.cache / ".run-index.json.next"  # the lock is held, so nobody else writes it
    scratch.write_text(json.dumps({**state, "uri": redacted(index.uri)}), encoding="utf-8")
    scratch.replace(_state_file(index))


def _tidy(cache: Path) -> None:
    """Remove what killed syncs left."""
    for left in cache.glob("run-index.tmp*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """Yield a folder for the one sync at work.

    Each has a name of its own: readers of a killed sync may live on, and must not find it.
    """
    folder = cache / f"run-index.tmp-{secrets.token_hex(4)}"
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
