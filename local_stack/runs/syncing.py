"""Keeping the run index in step with the MLflow store that the workspace points at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass

from local_stack.command import command
from local_stack.errors import UnavailableError
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.stores.places import redacted
from local_stack.stores.run_index import generations
from local_stack.stores.run_index.syncing import Outcome, behind, idle_seconds, synced_at
from local_stack.stores.run_index.syncing import sync as index_store
from local_stack.workspace import Workspace

_WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_QUESTION_SECONDS = 0.005
_SHARE_OF_IDLE = 0.001
_REST, _LONGEST_REST = 10.0, 2.0


@dataclass(frozen=True, slots=True)
class Synced(Result):
    """What a sync did: runs in the store, runs read anew, and runs that are gone."""

    store: str
    n_runs: int
    n_read: int
    n_gone: int
    is_busy: bool


@command("runs.sync", writes=True, example="paceml-tui runs sync --full")
def sync(workspace: Workspace, *, full: bool = False, progress: Progress = silent) -> Synced:
    """Index what the MLflow store holds: only what is new or has changed is read.

    Parameters
    ----------
    full
        Look at every file of every run; else the files of runs that ended long ago are looked
        at in turn, some with every sync.
    """
    done = refresh(workspace, seconds=None if full else _LOOK_SECONDS, progress=progress)
    if done.problem:
        raise UnavailableError(
            f"The MLflow store was not indexed: {done.problem}.",
            "What was indexed before stays; look at storage.tracking_uri in paceml.toml.",
        )
    place = redacted(workspace.run_index.uri)
    return Synced(place, done.n_runs, done.n_read, done.n_gone, done.is_busy)


def refresh(
    workspace: Workspace,
    *,
    seconds: float | None = _QUESTION_SECONDS,
    again: Collection[str] = (),
    progress: Progress = silent,
) -> Outcome:
    """Bring the index in step; a read-only workspace is left as it is. Never raises for a store.

    The runs ``again`` are read anew in any case. An index that is damaged is built anew.
    """
    if workspace.is_readonly:
        return Outcome()
    index, began = workspace.run_index, time.monotonic()

    def attempt() -> Outcome:
        return index_store(index, workspace.query, seconds=seconds, again=again, progress=progress)

    try:
        try:
            return attempt()
        except UnavailableError:  # the index was damaged and has been removed
            return attempt()
        except generations.errors():
            if index.is_whole():
                raise
            index.discard()
            return attempt()
    except UnavailableError as error:
        return Outcome(problem=error.message.rstrip("."))
    except (OSError, generations.errors()) as error:
        return Outcome(problem=f"{type(error).__name__}: {error}")
    finally:
        ended, seq = time.monotonic(), workspace.metadata.position.seq
        index.looked = (ended, ended - began, seq)


def rebuild(workspace: Workspace, progress: Progress = silent) -> Outcome:
    """Read the whole store anew; what was indexed is shown until that is done."""
    known: list[str] = []
    with contextlib.suppress(UnavailableError):  # the index was damaged and has been removed
        known = [row["run_id"] for row in workspace.query("SELECT run_id FROM stored_runs")]
    return refresh(workspace, seconds=None, again=known, progress=progress)


def look_again(workspace: Workspace, runs: Collection[str] = ()) -> None:
    """Sync now, and read ``runs`` anew; another process that is at it is waited for, a while."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while refresh(workspace, again=runs).is_busy and time.monotonic() < deadline:
        time.sleep(0.05)


def before_reading(workspace: Workspace, progress: Progress = silent) -> tuple[str, ...]:
    """Sync before a question, and return what its answer has to warn of.

    Questions in a row share a sync: none follows within ten times what the last one took, unless
    the workspace has recorded something since.
    """
    index = workspace.run_index
    ended, cost, seq = index.looked
    is_recent = time.monotonic() - ended < min(_LONGEST_REST, _REST * cost)
    if is_recent and seq == workspace.metadata.position.seq:
        return index.warnings
    if workspace.is_readonly:
        warning = _behind(workspace)
    else:
        # Whoever asks now and then waits longer, so that single files are looked at as often.
        seconds = min(_LOOK_SECONDS, max(_QUESTION_SECONDS, _SHARE_OF_IDLE * idle_seconds(index)))
        done = refresh(workspace, seconds=seconds, progress=progress)
        is_first = done.is_busy and not index.base.exists()
        problem = "another process is at it for the first time" if is_first else done.problem
        warning = problem and f"The MLflow store was not indexed: {problem}; {_shown(workspace)}."
    index.warnings = (warning,) if warning else ()
    return index.warnings


def _behind(workspace: Workspace) -> str | None:
    """Return what a read-only workspace has to warn of; its index is left as it is."""
    index, began = workspace.run_index, time.monotonic()
    try:
        n_behind, problem = behind(index, workspace.query), ""
    except (OSError, UnavailableError, generations.errors()) as error:
        n_behind, problem = 0, str(error)
    ended, seq = time.monotonic(), workspace.metadata.position.seq
    index.looked = (ended, ended - began, seq)
    if not n_behind and not problem:
        return None
    what = problem.rstrip(".") or f"{n_behind:,} of its runs have changed"
    return (
        f"The MLflow store is not indexed, as the workspace is read-only: {_shown(workspace)} "
        f"({what})."
    )


def _shown(workspace: Workspace) -> str:
    since = synced_at(workspace.run_index)
    return f"it is shown as it was at {since}" if since else "only the journal's runs are shown"
