"""Which runs of a store have changed, found with as little looking as is safe.

Of a folder store the next look sees

* a run that came, went or moved;
* a ``meta.yaml`` that was written anew (its run ended, was resumed, renamed, deleted or restored),
  and a new tag; with more than ``_MOST_AT_ONCE`` runs in turn, so many with each look;
* every change of a run that is at work or changed in the last ten minutes: new params and metrics,
  overwritten tags, appended values (of either the ``_MOST_WATCHED`` that changed last).

Of the other runs a new param or metric is seen within ``_FOLDER_TURNS`` looks (MLflow's fluent
calls resume the run first, which is seen at once), and what was overwritten or appended to in turn:
with each look so many runs as its time allows, at least ``_FEWEST``. Stores of another kind that
cannot tell that nothing has changed are compared whole.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_stack.stores.mlflow_stores import glances
from local_stack.stores.mlflow_stores.file_store import TRASH, FileStore
from local_stack.stores.mlflow_stores.records import Known, RunPlace, Store, Tier, Turning
from local_stack.stores.run_index import reading

Row = dict[str, Any]
Query = Callable[..., Sequence[Row]]
"""Runs a SELECT with its parameters on the index."""

_LATELY_NS: Final = 600 * 10**9
_MOST_WATCHED: Final = 200
_MOST_AT_ONCE: Final = 20_000
_FOLDER_TURNS: Final = 20
_FEWEST: Final = 25
_QUICKEST: Final = 50e-6
"""Seconds that it takes at least to look at the files of a run."""
_COLUMNS: Final = "run_id, experiment_id, place, folders_sign, files_sign"


class Scout:
    """A process that glances at the runs noted in ``file`` while this one opens DuckDB."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and files of our own
            [sys.executable, "-I", "-S", glances.__file__, str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def answer(self) -> frozenset[str] | None:
        """Return the folders of the runs that are not as noted; None when it did not get there."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            self._file.unlink(missing_ok=True)  # it is written again
            return None
        return frozenset(map(os.fsdecode, output.split(b"\0")[:-1]))

    def dismiss(self) -> None:
        """End it, whether it was asked or not."""
        with self._process:
            self._process.kill()


def note(query: Query, file: Path, n_runs: int) -> None:
    """Note the runs of the index for the scouts of later commands; very many are not worth it."""
    file.unlink(missing_ok=True)
    if n_runs <= _MOST_AT_ONCE:
        rows = query("SELECT place, meta_sign FROM stored_runs")
        file.write_bytes(glances.noted((row["place"], row["meta_sign"]) for row in rows))


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found: runs to read anew, ids of those that are gone, and what to remember."""

    n_runs: int
    changed: tuple[RunPlace, ...]
    gone: frozenset[str]
    state: dict[str, Any]


def look(
    store: Store,
    query: Query,
    state: Mapping[str, Any],
    seconds: float | None,
    again: Collection[str] = (),
    scout: Scout | None = None,
) -> Look:
    """Compare the store with the index; ``state`` is what the last look asked to remember.

    ``seconds`` bounds the look at single files of runs that ended long ago; None looks at all.
    The runs ``again`` count as changed. ``scout`` has glanced at the runs ahead.
    """
    if isinstance(store, Turning):
        return _asked(store, query, state, seconds, again)
    listing = store.listing() if isinstance(store, FileStore) else None
    is_same = listing is not None and listing == state.get("listing")
    told = scout.answer() if scout and is_same and seconds is not None and not again else None
    sql = "SELECT run_id, experiment_id, place, meta_sign FROM stored_runs"
    if told is None:
        rows = query(sql)
    else:  # the others need no look
        rows = query(f"{sql} WHERE place IN (SELECT unnest(?))", list(told)) if told else []
    known = {row["run_id"]: row for row in rows}
    n_known, n_new = len(known) if told is None else state["n_runs"], 0
    found: dict[str, RunPlace] = {}
    gone: frozenset[str] = frozenset()
    if told is None and not (known and is_same):
        found, gone, n_new = _listed(store, known)
    kept = [row for run, row in known.items() if run not in found and run not in gone]
    found |= {row["run_id"]: _place(row) for row in kept if row["run_id"] in again}
    remembered: dict[str, Any] = {"listing": listing}
    if isinstance(store, FileStore) and seconds is not None:
        remembered["meta_cursor"] = _glance(kept, state.get("meta_cursor", 0), found)
        remembered |= _look_closer(store, query, n_known, gone, state, seconds, found)
    elif kept:
        closely = query(f"SELECT {_COLUMNS} FROM stored_runs")
        _compare(store, [row for row in closely if row["run_id"] not in gone], "files", found)
    changed = tuple(found[run] for run in sorted(found))
    return Look(n_known - len(gone) + n_new, changed, gone, remembered)


def _asked(
    store: Turning,
    query: Query,
    state: Mapping[str, Any],
    seconds: float | None,
    again: Collection[str],
) -> Look:
    """Look at a store that says itself what has changed, as far as it can."""
    started = "epoch_ms(started_at::TIMESTAMP) AS started_ms"
    rows = query(f"SELECT {_COLUMNS}, {started} FROM stored_runs")
    known = {
        row["run_id"]: Known(row["run_id"], row["files_sign"], row["started_ms"]) for row in rows
    }
    seen = store.changes(known, state.get("turn_cursor", 0), seconds)
    found = {row["run_id"]: _place(row) for row in rows if row["run_id"] in again}
    found = {run: place for run, place in found.items() if run not in seen.gone}
    found |= {place.run_id: place for place in seen.changed}
    n_runs = len(known) - len(seen.gone) + len(found.keys() - known.keys())
    places = tuple(found[run] for run in sorted(found))
    return Look(n_runs, places, seen.gone, {"turn_cursor": seen.cursor})


def _listed(
    store: Store, known: Mapping[str, Row]
) -> tuple[dict[str, RunPlace], frozenset[str], int]:
    """Return the runs that came or moved, those that are gone, and how many came."""
    places: dict[str, RunPlace] = {}
    for place in store.places():
        places.setdefault(place.run_id, place)
    found = {
        run: place
        for run, place in places.items()
        if run not in known or known[run]["place"] != str(place.path)
    }
    return found, frozenset(known.keys() - places.keys()), len(places.keys() - known.keys())


def _glance(kept: Sequence[Row], cursor: int, found: dict[str, RunPlace]) -> int:
    """Add to ``found`` the runs with another ``meta.yaml`` or a new tag; return the next turn."""
    start = cursor if len(kept) > _MOST_AT_ONCE else 0
    at_once = [*kept[start:], *kept[:start]][:_MOST_AT_ONCE]
    marks = glances.metas(row["place"] for row in at_once)
    for row, seen in zip(at_once, marks, strict=True):
        if hash(seen) != row["meta_sign"]:
            found[row["run_id"]] = _place(row)
    return (start + _MOST_AT_ONCE) % max(1, len(kept))


def _look_closer(
    store: FileStore,
    query: Query,
    n_known: int,
    gone: frozenset[str],
    state: Mapping[str, Any],
    seconds: float,
    found: dict[str, RunPlace],
) -> dict[str, str]:
    """Add to ``found`` what is seen of the lively runs and of those whose turn it is.

    Return where the turns stopped.
    """
    deadline = time.monotonic() + seconds
    lively = query(
        f"SELECT {_COLUMNS} FROM stored_runs WHERE status = 'RUNNING' OR changed_ns > ? "
        "QUALIFY row_number() OVER (PARTITION BY status = 'RUNNING' ORDER BY changed_ns DESC) <= ?",
        time.time_ns() - _LATELY_NS,
        _MOST_WATCHED,
    )
    _compare(store, [row for row in lively if row["run_id"] not in gone], "files", found)
    n_folders = min(n_known, _MOST_AT_ONCE) // _FOLDER_TURNS + 1
    folders, folder_cursor = _turn(query, state.get("folder_cursor"), n_folders)
    _compare(store, [row for row in folders if row["run_id"] not in gone], "folders", found)
    n_files = _FEWEST + int(seconds / _QUICKEST)
    files, file_cursor = _turn(query, state.get("file_cursor"), n_files)
    for n_seen, row in enumerate(files, start=1):
        if row["run_id"] not in gone:
            _compare(store, [row], "files", found)
        if n_seen >= _FEWEST and time.monotonic() > deadline:
            file_cursor = row["run_id"]
            break
    return {"folder_cursor": folder_cursor, "file_cursor": file_cursor}


def _turn(query: Query, cursor: Any, n_wanted: int) -> tuple[Sequence[Row], str]:
    """Return the runs whose turn it is, those after ``cursor``, and where the next turn starts."""
    rows = query(
        f"SELECT {_COLUMNS} FROM stored_runs WHERE run_id > ? ORDER BY run_id LIMIT ?",
        cursor if isinstance(cursor, str) else "",
        n_wanted,
    )
    if cursor and not rows:  # the last turn ended with the last run
        return _turn(query, None, n_wanted)
    return rows, rows[-1]["run_id"] if len(rows) == n_wanted else ""


def _compare(store: Store, rows: Iterable[Row], tier: Tier, found: dict[str, RunPlace]) -> None:
    for row in rows:
        run = row["run_id"]
        if run not in found:
            place = _place(row)
            if reading.sign(store, place, tier) != row[f"{tier}_sign"]:
                found[run] = place


def _place(row: Row) -> RunPlace:
    path = Path(row["place"])
    experiment_id = "" if path.parent.name == TRASH else row["experiment_id"]
    return RunPlace(row["run_id"], experiment_id, path)
