"""A comparison of runs as plain values: what ``runs compare`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local_stack.results import Result
from local_stack.runs.comparison.directions import Direction

if TYPE_CHECKING:
    import polars as pl

NO_CLEAR: str = "no clear difference"


@dataclass(frozen=True, slots=True)
class ComparedRun(Result):
    """One of the runs: ``seconds`` from its start to its end, and the cost that it recorded."""

    run_id: str
    name: str
    experiment: str
    status: str
    lifecycle: str
    actor: str
    source: str
    start_time: str | None
    end_time: str | None
    seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    parent: str | None
    problem: str | None

    @property
    def title(self) -> str:
        """Return the name with the beginning of the id, which tells runs of one name apart."""
        name = self.name.strip()
        return f"{name} ({self.run_id[:8]})" if name else self.run_id[:8]


@dataclass(frozen=True, slots=True)
class Difference(Result):
    """A param, a tag, or a fact of code and environment: its value in each run (None: it has none).

    ``values`` are in the order of the runs.
    """

    key: str
    values: tuple[str | None, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class Interval(Result):
    """A paired bootstrap interval of a difference, over ``n_rows`` held-out rows."""

    low: float
    high: float
    level: float
    n_rows: int
    n_resamples: int

    @property
    def holds_zero(self) -> bool:
        """Return whether no difference at all is among the likely ones."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class MetricComparison(Result):
    """A metric in each run, in the order of the runs.

    ``deltas`` are the values minus the baseline's, and ``intervals`` theirs; where there is
    none, ``reasons`` says why in a clause. ``best`` is the run with the best value, None when
    the direction is unknown or several share it. ``is_clear`` tells whether the intervals of
    its difference to every other run leave 0 out (no correction is made for the number of
    runs); None when that could not be asked. ``verdict`` says it all in few words.
    """

    key: str
    direction: Direction
    values: tuple[float | None, ...]
    deltas: tuple[float | None, ...]
    intervals: tuple[Interval | None, ...]
    reasons: tuple[str | None, ...]
    best: str | None
    is_clear: bool | None
    verdict: str
    differs: bool


@dataclass(frozen=True, slots=True)
class DatasetComparison(Result):
    """A dataset in each run: its versions (digests). ``commands`` show what differs in them."""

    name: str
    context: str
    versions: tuple[str | None, ...]
    commands: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class ArtifactComparison(Result):
    """A file in each run: its size in bytes and its SHA-256, None where it is not or unknown.

    ``difference`` is ``same``, ``missing`` (only in some runs), ``content``, or ``unknown``
    when the sizes agree and the bytes could not be read.
    """

    path: str
    is_there: tuple[bool, ...]
    sizes: tuple[int | None, ...]
    hashes: tuple[str | None, ...]
    difference: str

    @property
    def differs(self) -> bool:
        """Return whether the file is known not to be the same in every run."""
        return self.difference in ("missing", "content")


@dataclass(frozen=True, slots=True)
class Curve(Result):
    """The history of a metric in a run, by step; ``n_points`` before it was thinned.

    Thinning keeps the first and the last point, and the lowest and highest of each stretch.
    """

    key: str
    run_id: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    times: tuple[str, ...]
    n_points: int


@dataclass(frozen=True, slots=True)
class Omitted(Result):
    """How many entries of each kind are the same in all runs and were left out."""

    params: int = 0
    metrics: int = 0
    tags: int = 0
    datasets: int = 0
    artifacts: int = 0
    environment: int = 0


@dataclass(frozen=True, slots=True)
class RunComparison(Result):
    """What tells runs apart; every tuple of values is in the order of ``runs``.

    ``omitted`` counts what is the same in all and was left out.
    """

    baseline: str
    runs: tuple[ComparedRun, ...]
    metrics: tuple[MetricComparison, ...]
    params: tuple[Difference, ...]
    tags: tuple[Difference, ...]
    datasets: tuple[DatasetComparison, ...]
    artifacts: tuple[ArtifactComparison, ...]
    environment: tuple[Difference, ...]
    curves: tuple[Curve, ...]
    omitted: Omitted
    warnings: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    markdown: str = ""

    def differing(self) -> RunComparison:
        """Return the comparison without what is the same in all runs."""
        parts = {name: getattr(self, name) for name in _PARTS}
        kept: dict[str, Any] = {
            name: tuple(e for e in found if e.differs) for name, found in parts.items()
        }
        counts = {name: len(parts[name]) - len(kept[name]) for name in _PARTS}
        shown = {metric.key for metric in kept["metrics"]}
        curves = tuple(curve for curve in self.curves if curve.key in shown)
        return replace(self, **kept, curves=curves, omitted=Omitted(**counts))

    def to_dict(self) -> dict[str, Any]:
        """Return the ``result`` of ``runs compare``: values by run id instead of by place."""
        values = Result.to_dict(self)
        ids = [run.run_id for run in self.runs]
        for name in _PARTS:
            values[name] = [dict(_by_run(entry, ids)) for entry in values[name]]
        return values

    def to_polars(self) -> pl.DataFrame:
        """Return the comparison as a typed table: one row a run and key."""
        from local_stack.runs.comparison import exporting

        return exporting.frame(self)

    def _repr_html_(self) -> str:
        """Return the tables of the comparison, as notebooks show them."""
        from local_stack.runs.comparison import page

        return page.comparison(self)


_PARTS = ("metrics", "params", "tags", "datasets", "artifacts", "environment")
_BY_RUN = frozenset(
    ("values", "deltas", "intervals", "reasons", "versions", "is_there", "sizes", "hashes")
)


def _by_run(entry: dict[str, Any], ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        yield key, dict(zip(ids, value, strict=True)) if key in _BY_RUN else value
