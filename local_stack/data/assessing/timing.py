"""How old the rows are, whether some time is missing, and whether the target moves with time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from local_stack.data.assessing.rules import Docket
from local_stack.data.assessing.subject import Subject
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_PERIODS = 10
_YEARS = (1900, 2100)
_LEAST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Period(Result):
    """A tenth of the rows in order of time: when, how many, and the target in it.

    ``value`` is the share of ``Timing.outcome`` or the mean of the target.
    """

    begin: str
    end: str
    n_rows: int
    value: float


@dataclass(frozen=True, slots=True)
class Timing(Result):
    """When the rows are from, by ``column``; ages in days before the version was made."""

    column: str
    oldest: str
    newest: str
    age_days: float | None
    outcome: str
    periods: tuple[Period, ...]


def judge_time(
    docket: Docket, subject: Subject, frame: pl.DataFrame, created_at: str
) -> Timing | None:
    """Judge freshness, gaps and drift of the target by the time column, or by the only date."""
    name = subject.time or _only_date(frame)
    if name is None:
        return None
    series = frame[name].drop_nulls()
    if not len(series):
        return None
    age = _judge_age(docket, name, series, created_at)
    if series.dtype.is_temporal():
        _judge_gaps(docket, name, series)
    outcome, periods = "", list[Period]()
    if subject.time is not None:
        outcome, periods = _judge_target(docket, subject)
    return Timing(
        column=name,
        oldest=str(series.min()),
        newest=str(series.max()),
        age_days=age,
        outcome=outcome,
        periods=tuple(periods),
    )


def _only_date(frame: pl.DataFrame) -> str | None:
    dates = [name for name, kind in frame.schema.items() if kind.is_temporal()]
    return dates[0] if len(dates) == 1 else None


def _judge_age(docket: Docket, name: str, series: pl.Series, created_at: str) -> float | None:
    newest = _moment(series.max())
    if newest is None:
        return None
    made = datetime.fromisoformat(created_at.replace("Z", "+00:00")).astimezone(UTC)
    newest_text = str(series.max())
    days = (made - newest).total_seconds() / 86_400
    message = f"The newest '{name}' is {newest_text}, {_age(days)} before the version was made."
    if days < 0:
        message = f"The newest '{name}' is {newest_text}, after the version was made."
    docket.note("freshness", days, message, column=name)
    return days


def _age(days: float) -> str:
    return f"{days / 365.25:.1f} years" if days >= 730 else f"{days:,.0f} days"


def _moment(value: object) -> datetime | None:
    """Return a date, a time or a whole year as the moment when it ends."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC) + timedelta(days=1)
    if isinstance(value, int) and not isinstance(value, bool) and _YEARS[0] <= value < _YEARS[1]:
        return datetime(value + 1, 1, 1, tzinfo=UTC)
    return None


def _judge_gaps(docket: Docket, name: str, series: pl.Series) -> None:
    import numpy as np
    import polars as pl

    days = series.cast(pl.Date).unique().sort().cast(pl.Int32).to_numpy().astype(np.int64)
    if days.size < 10:
        return
    steps = np.diff(days)
    at = int(steps.argmax())
    ratio = float(steps[at] / max(1.0, float(np.median(steps))))
    epoch = date(1970, 1, 1)
    begin, end = (epoch + timedelta(days=int(days[at + it])) for it in (0, 1))
    docket.note(
        "time_gaps",
        ratio,
        f"The longest gap in '{name}' is {steps[at]:,} days ({begin} to {end}), "
        f"{ratio:.3g} times the usual.",
        column=name,
    )


def _judge_target(docket: Docket, subject: Subject) -> tuple[str, list[Period]]:
    """Judge how far the target of the newest fifth is from that of the oldest fifth."""
    import numpy as np

    series = subject.frame[subject.time or ""]
    known = np.flatnonzero(series.is_not_null().to_numpy())
    ranks = series[known].rank("dense").to_numpy()
    order = known[np.argsort(ranks, kind="stable")]
    if len(order) < _LEAST_ROWS:
        return "", []
    fifth = max(1, len(order) // 5)
    first, last = subject.y[order[:fifth]], subject.y[order[-fifth:]]
    distance = target_distance(first, last, len(subject.classes))
    what = "largest gap of the two distributions" if subject.is_regression else "total variation"
    docket.note(
        "target_drift",
        distance,
        f"Between the oldest and the newest fifth of the rows the target moved by "
        f"{distance:.3f} ({what}).",
        column=subject.time,
    )
    outcome, values = subject.outcome()
    periods = [
        Period(str(series[int(part[0])]), str(series[int(part[-1])]), len(part), float(mean))
        for part in np.array_split(order, _PERIODS)
        for mean in [values[part].mean()]
    ]
    return outcome, periods


def target_distance(first: np.ndarray, last: np.ndarray, n_classes: int) -> float:
    """Return the total variation distance of classes; the KS statistic of numbers (0 classes)."""
    import numpy as np
    from scipy import stats

    if not n_classes:
        return float(stats.ks_2samp(first, last).statistic)
    shares = [np.bincount(part, minlength=n_classes) / len(part) for part in (first, last)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
