"""Remotes: where data sets are shared, and what of them is meant."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from local_stack.errors import InputError
from local_stack.names import split_reference
from local_stack.progress import Progress, Step
from local_stack.stores.depots import Depot, depot
from local_stack.workspace import Workspace

_TICK_SECONDS = 0.1


def open_remote(workspace: Workspace, named: str | None) -> Depot:
    """Return the remote that was named, or the one of the settings.

    Raises
    ------
    InputError
        When there is none, or it is a file.
    """
    url = named or workspace.settings.data.remote
    if not url:
        raise InputError(
            "There is no remote to share data with.",
            "Name a folder or a bucket, or set data.remote in paceml.toml.",
        )
    if "://" not in url and not named:
        url = str(workspace.root / url)
    if "://" not in url and Path(url).expanduser().is_file():
        raise InputError(f"{url} is a file, not a folder.", "Name a folder or a bucket.")
    return depot(url)


def is_own_store(workspace: Workspace, place: Depot) -> bool:
    """Return whether the workspace keeps its own artefacts at ``place``."""
    return depot(workspace.artifacts.url).identity == place.identity


def wanted(names: Iterable[str]) -> dict[str, set[str]]:
    """Return each data set that is meant and its versions or tags (none: all of them)."""
    found: dict[str, set[str]] = {}
    everything: set[str] = set()
    for name in names:
        dataset, what = split_reference(name)
        found.setdefault(dataset, set())
        if what:
            found[dataset].add(what)
        else:
            everything.add(dataset)
    return {dataset: set() if dataset in everything else each for dataset, each in found.items()}


class Meter:
    """Bytes moved so far, told to ``progress`` some times a second."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._next = 0.0
        self.label = ""
        self.done = 0
        self.total = total

    def at(self, label: str) -> None:
        """Say what is moved from now on."""
        self.label = label
        self._progress(Step(label, self.done, self.total))

    def tick(self, n_bytes: int) -> None:
        """Count bytes that were moved; it may raise what ``progress`` raises."""
        self.done += n_bytes
        moment = time.monotonic()
        if moment >= self._next:
            self._next = moment + _TICK_SECONDS
            self._progress(Step(self.label, self.done, self.total))


def who(workspace: Workspace) -> dict[str, str]:
    """Return who shares: the actor and the workspace, told by its id."""
    return {"actor": workspace.actor, "workspace": workspace.identity}
