"""Metrics side by side: deltas to the baseline, their intervals, and who is best."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_stack.progress import Progress
from local_stack.runs.comparison import predictions, resampling
from local_stack.runs.comparison.directions import Direction, direction
from local_stack.runs.comparison.naming import short_names
from local_stack.runs.comparison.predictions import HeldOut
from local_stack.runs.comparison.resampling import Resampled
from local_stack.runs.comparison.shape import NO_CLEAR, Interval, MetricComparison
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

_TOLERANCE = 1e-6
"""Relative difference up to which a logged value is that of the stored predictions."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The runs that can be tested on the same rows, by their place among all runs.

    ``reasons`` says of the others, in a clause, why they cannot.
    """

    places: dict[int, int]
    held: tuple[HeldOut, ...]
    resamples: Resampled | None
    reasons: dict[int, str]


def pairing(
    workspace: Workspace,
    rows: Sequence[Row],
    files: Sequence[Mapping[str, Any]],
    baseline: int,
    progress: Progress,
) -> Pairing:
    """Measure every run that was held out on the baseline's rows on the same resamples."""
    found = [predictions.read(workspace, stored) for stored in files]
    base = found[baseline]
    if isinstance(base, str):
        told = [one if isinstance(one, str) else f"the baseline: {base}" for one in found]
        return Pairing({}, (), None, dict(enumerate(told)))
    ordered = [one if isinstance(one, str) else one.in_order() for one in found]
    base = base.in_order()
    reasons: dict[int, str] = {}
    held: list[HeldOut] = []
    places: dict[int, int] = {}
    for at, one in enumerate(ordered):
        reason = one if isinstance(one, str) else unpaired(base, one)
        if reason is None and not isinstance(one, str):
            places[at] = len(held)
            held.append(one)
        else:
            reasons[at] = reason or ""
    if len(held) < 2 or base.rows.size < resampling.FEWEST_ROWS:
        few = f"only {base.rows.size} rows were held out"
        return Pairing({}, (), None, {at: reasons.get(at, few) for at in range(len(rows))})
    return Pairing(places, tuple(held), resampling.resampled(held, progress=progress), reasons)


def unpaired(base: HeldOut, other: HeldOut) -> str | None:
    """Return why the predictions of two runs cannot be compared row by row, or None."""
    if base.data != other.data:
        return f"it was tested on {other.data}, the baseline on {base.data}"
    if base.task != other.task:
        return f"it is a {other.task}, the baseline a {base.task}"
    if base.rows.tolist() != other.rows.tolist():
        return "it was tested on other rows than the baseline"
    if base.labels() != other.labels():
        return "it predicts another target than the baseline"
    return None


def compared(
    rows: Sequence[Row],
    metrics: Sequence[Mapping[str, float]],
    baseline: int,
    test: Pairing,
    *,
    higher: Collection[str] = (),
    lower: Collection[str] = (),
) -> tuple[MetricComparison, ...]:
    """Return every metric of the runs, by name."""
    keys = sorted({key for found in metrics for key in found})
    measured = [held.metrics() for held in test.held]
    ids = [row["run_id"] for row in rows]
    names = short_names([row["name"] or "" for row in rows], ids)
    return tuple(
        _metric(
            key,
            ids,
            names,
            [found.get(key) for found in metrics],
            baseline,
            test,
            measured,
            direction(key, higher, lower),
        )
        for key in keys
    )


def _metric(
    key: str,
    ids: Sequence[str],
    names: Sequence[str],
    values: Sequence[float | None],
    baseline: int,
    test: Pairing,
    measured: Sequence[Mapping[str, float]],
    towards: Direction,
) -> MetricComparison:
    base = values[baseline]
    deltas = [_difference(value, base) for value in values]
    untested = [_untested(key, at, value, test, measured) for at, value in enumerate(values)]
    intervals = [_interval(key, at, baseline, test, untested) for at in range(len(values))]
    best = _best(values, towards)
    is_clear = None if best is None else _is_clear(key, best, values, test, untested)
    shown = [value for value in values if value is not None]
    return MetricComparison(
        key=key,
        direction=towards,
        values=tuple(values),
        deltas=tuple(deltas),
        intervals=tuple(intervals),
        reasons=tuple(
            None if at == baseline or intervals[at] else _reason(at, baseline, untested)
            for at in range(len(values))
        ),
        best=None if best is None else ids[best],
        is_clear=is_clear,
        verdict=_verdict(None if best is None else names[best], is_clear, shown, towards),
        differs=len(shown) < len(values) or any(not _is_same(v, shown[0]) for v in shown),
    )


def _difference(value: float | None, base: float | None) -> float | None:
    if value is None or base is None:
        return None
    return 0.0 if value == base else value - base


def _untested(
    key: str,
    at: int,
    value: float | None,
    test: Pairing,
    measured: Sequence[Mapping[str, float]],
) -> str | None:
    """Return why the metric of a run cannot be resampled, in a clause, or None."""
    if value is None:
        return "it has no such metric"
    if at not in test.places:
        return test.reasons[at]
    found = measured[test.places[at]].get(key)
    if found is None:
        return "the stored predictions do not define it"
    if not math.isclose(found, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return "its value is not that of the stored predictions"
    return None


def _reason(at: int, baseline: int, untested: Sequence[str | None]) -> str:
    own, theirs = untested[at], untested[baseline]
    if own is not None:
        return own
    return "too many resamples leave it undefined" if theirs is None else f"the baseline: {theirs}"


def _interval(
    key: str, at: int, other: int, test: Pairing, untested: Sequence[str | None]
) -> Interval | None:
    """Return the interval of the metric of the run ``at`` minus that of ``other``."""
    if at == other or untested[at] or untested[other] or test.resamples is None:
        return None
    found = test.resamples.interval(key, test.places[at], test.places[other])
    if found is None:
        return None
    drawn = test.resamples
    return Interval(*found, drawn.level, drawn.n_rows, drawn.n_resamples)


def _best(values: Sequence[float | None], towards: Direction) -> int | None:
    """Return the place of the one best value, or None."""
    known = [(v, at) for at, v in enumerate(values) if v is not None and math.isfinite(v)]
    if towards == "unknown" or len(known) < 2:
        return None
    value, at = (max if towards == "higher" else min)(known, key=lambda pair: pair[0])
    return at if sum(_is_same(v, value) for v, _ in known) == 1 else None


def _is_clear(
    key: str,
    best: int,
    values: Sequence[float | None],
    test: Pairing,
    untested: Sequence[str | None],
) -> bool | None:
    """Return whether the best differs from every other run; None when one cannot be tested."""
    others = [at for at, value in enumerate(values) if value is not None and at != best]
    found = [_interval(key, best, at, test, untested) for at in others]
    if any(interval is not None and interval.holds_zero for interval in found):
        return False
    return None if None in found else True


def _is_same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _verdict(
    best: str | None, is_clear: bool | None, shown: Sequence[float], towards: Direction
) -> str:
    if len(shown) < 2:
        return "only one run has it"
    if all(_is_same(value, shown[0]) for value in shown):
        return "the same"
    if sum(map(math.isfinite, shown)) < 2:
        return "fewer than two runs have a finite value"
    if towards == "unknown":
        return "direction unknown"
    if best is None:
        return "several are best"
    return {True: best, False: NO_CLEAR, None: f"{best}, untested"}[is_clear]
