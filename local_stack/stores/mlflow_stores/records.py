"""What a reader of an MLflow store hands over: experiments, runs and logged models.

Times are milliseconds since 1970 in UTC, as MLflow writes them; None when the store says none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

HistoryRow: TypeAlias = "tuple[str, int, int, float]"
"""One logged value of a metric: (key, step, timestamp in ms, value)."""

Tier: TypeAlias = 'Literal["meta", "folders", "files"]'
"""How closely a signature looks: each looks at more than the one before."""

STATUSES: Final = {
    1: "RUNNING",
    2: "SCHEDULED",
    3: "FINISHED",
    4: "FAILED",
    5: "KILLED",
}
"""The words for the numbers that stores hold; the protocol of MLflow fixes them."""

ACTIVE: Final = "active"
DELETED: Final = "deleted"

MOST_ARTIFACTS: Final = 1_000
"""How many artefacts of a run are listed at most."""


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """An experiment of a store; ``problem`` is a sentence when it could not be read whole."""

    experiment_id: str
    name: str
    artifact_location: str = ""
    lifecycle: str = ACTIVE
    created_ms: int | None = None
    updated_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of a store, as far as it could be read.

    ``metrics`` holds MLflow's value of each metric (the largest step, then time, then value),
    ``history`` every logged value, ``datasets`` entries with name, digest, source_type, source
    and context, ``models`` the ids of the logged models that it made, and ``artifacts`` relative
    paths with their sizes in bytes, at most ``MOST_ARTIFACTS``. ``artifact_folder`` is where they
    lie on this machine: inside the store, whatever ``artifact_uri`` says; None when elsewhere.
    """

    run_id: str
    experiment_id: str
    name: str = ""
    user: str = ""
    status: str = ""
    lifecycle: str = ACTIVE
    started_ms: int | None = None
    ended_ms: int | None = None
    artifact_uri: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[dict[str, str]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    artifacts: list[tuple[str, int]] = field(default_factory=list)
    artifact_folder: Path | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A logged model (MLflow 3): an object of its own, made by a run."""

    model_id: str
    experiment_id: str
    run_id: str = ""
    name: str = ""
    status: str = ""
    lifecycle: str = ACTIVE
    created_ms: int | None = None
    updated_ms: int | None = None
    artifact_location: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where the run ``run_id`` lies: ``path`` is its folder, or the file of the whole store."""

    run_id: str
    experiment_id: str
    path: Path


class UnreadableError(OSError):
    """A store that cannot be looked at now: what was known of it stands. A clause, no sentence."""


class Store(Protocol):
    """What every reader does. Each method raises OSError when the store cannot be looked at."""

    def stamp(self) -> str | None:
        """Return a text that changes with every change of the store; None when it cannot tell."""

    def experiments(self) -> list[StoredExperiment]:
        """Return every experiment, deleted ones too."""

    def places(self) -> list[RunPlace]:
        """Return where every run lies, deleted and broken ones too."""

    def signature(self, place: RunPlace, tier: Tier) -> tuple[int, ...]:
        """Return numbers that change when the run does."""

    def read_all(self, places: Iterable[RunPlace]) -> Iterator[StoredRun]:
        """Yield the runs at ``places``, in order, as far as they can be read."""

    def models(self) -> list[StoredModel]:
        """Return every logged model (MLflow 3), deleted ones too."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the index knows of a run: the hash of its signature, and when it began (ms)."""

    run_id: str
    sign: int
    started_ms: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Runs to read anew, ids of those that are gone, and where the next turn begins."""

    changed: tuple[RunPlace, ...]
    gone: frozenset[str]
    cursor: int


@runtime_checkable
class Turning(Protocol):
    """A store that is too far away to be looked at whole each time."""

    def changes(self, known: Mapping[str, Known], cursor: int, seconds: float | None) -> Changes:
        """Compare the store with what is ``known``; without ``seconds`` look at every run.

        ``cursor`` says whose turn it is.
        """


def latest(history: Iterable[HistoryRow]) -> dict[str, float]:
    """Return MLflow's value of every metric: that of the largest (step, time, value).

    Of values that are logged at the same step and time, NaN stays when it came first, as in
    MLflow's own file store.
    """
    best: dict[str, tuple[int, int, float]] = {}
    for key, step, at, value in history:
        found = (step, at, value)
        if key not in best or found > best[key]:
            best[key] = found
    return {key: found[2] for key, found in best.items()}
