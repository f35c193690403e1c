"""What a chart of runs draws, as plain numbers: a scatter plot, and parallel coordinates.

Keys are written as in a filter: ``params.depth``, ``metrics.rmse``. Places lie in [0, 1] along
an axis, so that any canvas can draw them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from local_stack.errors import InputError
from local_stack.results import Result
from local_stack.runs.comparison.directions import Direction, direction
from local_stack.runs.comparison.shape import RunComparison

MOST_AXES: Final = 12
MOST_LABELS: Final = 50
_LOG_FROM = 100.0
"""An axis of positive numbers is logarithmic from this ratio of its ends on."""


class RunValues(Protocol):
    """What is drawn of a run; a run that a search returns is one."""

    @property
    def run_id(self) -> str:
        """Return the id."""

    @property
    def params(self) -> Mapping[str, str]:
        """Return the params."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return the metrics."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one run."""

    run_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Axis(Result):
    """An axis: of numbers from ``low`` to ``high``, or of ``labels`` when one is no number.

    ``direction`` says which end is better.
    """

    key: str
    low: float
    high: float
    is_log: bool
    labels: tuple[str, ...]
    direction: Direction

    def place(self, value: str | float | None) -> float | None:
        """Return where a value stands in [0, 1], or None when it has no place."""
        if self.labels:
            if value is None or str(value) not in self.labels:
                return None
            return _share(self.labels.index(str(value)), 0, len(self.labels) - 1)
        number = _number(value)
        if number is None or not self.low <= number <= self.high:
            return None
        if self.is_log:
            return _share(math.log(number), math.log(self.low), math.log(self.high))
        return _share(number, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Line(Result):
    """A run on axes: its place on each (None: it has no such value) and its value as text."""

    run_id: str
    places: tuple[float | None, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scatter(Result):
    """Runs as points of two axes. ``left_out`` lack one of the values.

    ``correlation`` is Spearman's of the points (ties share their mean rank), None for labels,
    for fewer than three points, and when one of the axes has a single value.
    """

    x: Axis
    y: Axis
    points: tuple[Line, ...]
    left_out: tuple[str, ...]
    correlation: float | None


@dataclass(frozen=True, slots=True)
class Parallel(Result):
    """Runs as lines through axes side by side; ``n_omitted`` axes had no room."""

    axes: tuple[Axis, ...]
    lines: tuple[Line, ...]
    n_omitted: int


def values_of(comparison: RunComparison) -> tuple[Values, ...]:
    """Return the params and metrics of compared runs, as far as the comparison has them."""
    return tuple(
        Values(
            run.run_id,
            {p.key: text for p in comparison.params if (text := p.values[at]) is not None},
            {m.key: value for m in comparison.metrics if (value := m.values[at]) is not None},
        )
        for at, run in enumerate(comparison.runs)
    )


def scatter(runs: Sequence[RunValues], x: str, y: str) -> Scatter:
    """Return the points of ``x`` against ``y``, such as ``params.depth``, ``metrics.rmse``.

    Raises
    ------
    InputError
        When a key is neither of a param nor of a metric, or no run has both values.
    """
    axes = _axis(runs, x), _axis(runs, y)
    lines = [_line(run, axes) for run in runs]
    points = tuple(line for line in lines if None not in line.places)
    if not points:
        raise InputError(f"No run has both {x} and {y}.", "Choose other keys.")
    left_out = tuple(line.run_id for line in lines if None in line.places)
    return Scatter(*axes, points, left_out, _correlation(axes, points))


def parallel(
    runs: Sequence[RunValues], keys: Sequence[str] = (), *, most: int = MOST_AXES
) -> Parallel:
    """Return the lines of runs through the axes ``keys``.

    Left out, these are the params and then the metrics in which the runs differ, by name.
    """
    wanted = tuple(keys) or tuple(differing(runs))
    axes = tuple(_axis(runs, key) for key in wanted[:most])
    lines = tuple(_line(run, axes) for run in runs)
    return Parallel(axes, lines, len(wanted) - len(axes))


def differing(runs: Sequence[RunValues]) -> Iterator[str]:
    """Yield the keys in which runs differ: params first, then metrics, by name."""
    for kind in ("params", "metrics"):
        for name in sorted({name for run in runs for name in getattr(run, kind)}):
            texts = {str(getattr(run, kind).get(name)) for run in runs}
            if len(texts) > 1:
                yield f"{kind}.{name}"


def _axis(runs: Sequence[RunValues], key: str) -> Axis:
    found = [value for run in runs if (value := _value(run, key)) is not None]
    towards = direction(key.partition(".")[2]) if key.startswith("metrics.") else "unknown"
    numbers = [_number(value) for value in found]
    known = [number for number in numbers if number is not None]
    if len(known) < len(found) and key.startswith("params."):
        labels = sorted({str(value) for value in found}, key=_order)[:MOST_LABELS]
        return Axis(key, 0.0, float(len(labels) - 1), False, tuple(labels), towards)
    if not known:
        return Axis(key, 0.0, 0.0, False, (), towards)
    low, high = min(known), max(known)
    return Axis(key, low, high, low > 0 and high / low >= _LOG_FROM, (), towards)


def _line(run: RunValues, axes: Sequence[Axis]) -> Line:
    values = [_value(run, axis.key) for axis in axes]
    places = tuple(axis.place(value) for axis, value in zip(axes, values, strict=True))
    texts = tuple(
        "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
        for value in values
    )
    return Line(run.run_id, places, texts)


def _value(run: RunValues, key: str) -> str | float | None:
    kind, _, name = key.partition(".")
    if kind not in ("params", "metrics") or not name:
        raise InputError(f"'{key}' is neither a param nor a metric.", "Write params.x, metrics.y.")
    found: str | float | None = getattr(run, kind).get(name)
    return found


def _number(value: str | float | None) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _order(label: str) -> tuple[bool, float, str]:
    """Order labels as people do: numbers by size, then texts."""
    number = _number(label)
    return number is None, number or 0.0, label


def _share(value: float, low: float, high: float) -> float:
    if high <= low:
        return 0.5
    return min(
        1.0, max(0.0, (value / 2 - low / 2) / (high / 2 - low / 2))
    )  # halves do not overflow


def _correlation(axes: tuple[Axis, Axis], points: Sequence[Line]) -> float | None:
    if axes[0].labels or axes[1].labels or len(points) < 3:
        return None
    first, second = (_ranks([float(p.places[at] or 0.0) for p in points]) for at in (0, 1))
    mean = (len(points) - 1) / 2
    deviations = [[rank - mean for rank in ranks] for ranks in (first, second)]
    spread = float(math.prod(math.sqrt(sum(d * d for d in each)) for each in deviations))
    if not spread:
        return None
    return float(sum(a * b for a, b in zip(*deviations, strict=True))) / spread


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in order[start : end + 1]:
            ranks[at] = (start + end) / 2
        start = end + 1
    return ranks
