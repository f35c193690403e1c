"""Keeping the run index in step with the MLflow store that the workspace points at."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from local_stack.command import command
from local_stack.errors import UnavailableError
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.stores.places import redacted
from local_stack.stores.run_index import generations
from local_stack.stores.run_index.syncing import Outcome, synced_at
from local_stack.stores.run_index.syncing import sync as index_store
from local_stack.workspace import Workspace

_LOOK_SECONDS = 0.1
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
    seconds: float | None = 0.02,
    again: Collection[str] = (),
    progress: Progress = silent,
) -> Outcome:
    """Bring the index in step; a read-only workspace is left as it is. Never raises for a store.

    The runs ``again`` are read anew in any case.
    """
    if workspace.is_readonly:
        return Outcome()
    began = time.monotonic()
    try:
        return index_store(
            workspace.run_index, workspace.query, seconds=seconds, again=again, progress=progress
        )
    except (OSError, generations.errors()) as error:
        return Outcome(problem=f"{type(error).__name__}: {error}")
    finally:
        ended, seq = time.monotonic(), workspace.metadata.position.seq
        workspace.run_index.looked = (ended, ended - began, seq)


def before_reading(workspace: Workspace, progress: Progress = silent) -> tuple[str, ...]:
    """Sync before a question, and return what its answer has to warn of.

    Questions in a row share a sync: none follows within ten times what the last one took, unless
    the workspace has recorded something since.
    """
    ended, cost, seq = workspace.run_index.looked
    is_recent = time.monotonic() - ended < min(_LONGEST_REST, _REST * cost)
    if is_recent and seq == workspace.metadata.position.seq:
        return workspace.run_index.warnings
    problem = refresh(workspace, progress=progress).problem
    workspace.run_index.warnings = () if problem is None else (_warning(workspace, problem),)
    return workspace.run_index.warnings


def _warning(workspace: Workspace, problem: str) -> str:
    since = synced_at(workspace.run_index)
    shown = f"it is shown as it was at {since}" if since else "only the journal's runs are shown"
    return f"The MLflow store was not indexed: {problem}; {shown}."
