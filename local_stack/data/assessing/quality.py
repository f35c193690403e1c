"""What the rows themselves say: size, balance, the target, columns of no use, duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.assessing.rules import Docket, counted
from local_stack.data.assessing.single import LARGEST
from local_stack.data.assessing.subject import MOST_ROWS, Subject
from local_stack.errors import InputError
from local_stack.evaluation.split import Split, hold_out
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_MOST_LEVELS = 20
_LEAST_DISTINCT = 50
_NEAR_DIGITS = 3
_MANY_EQUAL = 0.01
_LEAST_NAMED = 20


@dataclass(frozen=True, slots=True)
class ClassCount(Result):
    """A class of the target, how many rows have it, and which share that is."""

    label: str
    n_rows: int
    share: float


def class_counts(subject: Subject) -> tuple[ClassCount, ...]:
    """Return the classes, the most frequent first; none for a regression."""
    import numpy as np

    if subject.is_regression:
        return ()
    counts = np.bincount(subject.y, minlength=len(subject.classes))
    order = np.argsort(-counts, kind="stable")
    return tuple(
        ClassCount(str(subject.classes[k])[:200], int(counts[k]), float(counts[k] / subject.n_rows))
        for k in order
    )


def judge_size(docket: Docket, subject: Subject, useless: Sequence[str]) -> None:
    """Judge rows, rows of the rarest class, their balance, and events per parameter."""
    n_rows = n_events = subject.n_rows
    docket.note("rows", n_rows, f"{counted(n_rows, 'row', 'has', 'have')} a target.")
    counts = class_counts(subject)
    if counts:
        n_events = n_rows - counts[0].n_rows
        _judge_classes(docket, subject, counts)
    n_parameters = sum(
        _n_parameters(subject.frame[name]) for name in subject.features if name not in useless
    )
    if n_parameters:
        which = " of the rarer class" if len(counts) == 2 else ""
        which = " outside the largest class" if len(counts) > 2 else which
        docket.note(
            "events_per_parameter",
            n_events / n_parameters,
            f"{counted(n_events, 'row')}{which} for {counted(n_parameters, 'parameter')} of a "
            "linear model: "
            f"{_about(n_events / n_parameters)} for each.",
        )


def _about(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _judge_classes(docket: Docket, subject: Subject, counts: Sequence[ClassCount]) -> None:
    """Judge the rarest class and the balance; of several classes one may be given up."""
    largest, rarest = counts[0], counts[-1]
    limit = docket.rule("class_rows").medium or 0
    rare = [it for it in counts if it.n_rows < limit]
    shown = ", ".join(f"{it.label!r} {it.n_rows:,}" for it in rare[::-1][:5])
    more = f" and {len(rare) - 5:,} more" if len(rare) > 5 else ""
    is_binary = len(counts) == 2
    advice = None
    if not is_binary and all(isinstance(it, int) for it in subject.classes):
        advice = "Merge rare classes, or predict it as a number: --task regression."
    docket.note(
        "class_rows",
        rarest.n_rows,
        f"{len(rare)} of {len(counts)} classes {'has' if len(rare) == 1 else 'have'} fewer than "
        f"{limit:g} rows: {shown}{more}."
        if rare and not is_binary
        else f"The rarest class, {rarest.label!r}, has {counted(rarest.n_rows, 'row')}.",
        column=subject.target,
        advice=advice,
        at_most="high" if is_binary or counts[1].n_rows < limit else "medium",
    )
    ratio = largest.n_rows / rarest.n_rows
    docket.note(
        "class_balance",
        ratio,
        f"The most frequent class, {largest.label!r}, has {largest.share:.1%} of the rows: "
        f"{_about(ratio)} times as many as {rarest.label!r}.",
        column=subject.target,
        at_most="high" if is_binary else "medium",
    )


def _n_parameters(series: pl.Series) -> int:
    import polars as pl

    if series.dtype == pl.String:
        return min(_MOST_LEVELS, max(1, series.n_unique() - 1))
    return 1


def judge_target(docket: Docket, subject: Subject, n_missing: int) -> None:
    """Judge missing targets and, of a number, limits that it was cut at and its skewness."""
    import numpy as np

    n_all = subject.n_rows + n_missing
    docket.note(
        "target_missing",
        n_missing / n_all,
        f"{n_missing:,} of {counted(n_all, 'row')} {'has' if n_missing == 1 else 'have'} no target."
        if n_missing
        else "Every row has a target.",
        column=subject.target,
    )
    if not subject.is_regression:
        _judge_names(docket, subject)
        return
    _judge_limits(docket, subject)
    y = subject.y
    spread = float(y.std())
    skew = float(np.mean(((y - y.mean()) / spread) ** 3)) if spread else 0.0
    docket.note(
        "target_skew",
        abs(skew),
        f"The target's skewness is {skew:.3g}.",
        column=subject.target,
        advice=None if skew > 0 and y.min() > 0 else "Try a robust loss, or a power transform.",
    )


def _judge_names(docket: Docket, subject: Subject) -> None:
    """Judge a target of as many classes as rows, or nearly so."""
    if subject.names_rows and subject.n_rows >= _LEAST_NAMED:
        message = (
            f"The target '{subject.target}' has {len(subject.classes):,} different values in "
            f"{subject.n_rows:,} rows: it names rows or is free text, which no model "
            "can learn."
        )
        docket.note("target_identifier", 1, message, column=subject.target)


def _judge_limits(docket: Docket, subject: Subject) -> None:
    """Judge whether many rows lie exactly at the largest or smallest of many values."""
    import numpy as np

    values, counts = np.unique(subject.y, return_counts=True)
    if values.size < _LEAST_DISTINCT:
        return
    usual = float(np.quantile(counts, 0.95))
    for place, word in ((-1, "largest"), (0, "smallest")):
        n_rows = int(counts[place])
        share = n_rows / subject.n_rows if n_rows >= max(10.0, 3 * usual) else 0.0
        if share or word == "largest":
            rows = np.flatnonzero(subject.y == values[place])
            docket.note(
                "target_capped",
                share,
                f"{counted(n_rows, 'row')} ({n_rows / subject.n_rows:.1%}) with exactly the {word} "
                f"target, {values[place]:.10g}"
                + (": it looks cut off there." if share else ", no more than others."),
                column=subject.target,
                evidence=subject.evidence(rows if share else rows[:0]),
            )


def judge_columns(docket: Docket, subject: Subject) -> tuple[str, ...]:
    """Judge columns that no model can use; return the names of those to leave out of models."""
    import polars as pl

    useless: list[str] = []
    absent: dict[int, list[str]] = {}
    for name in subject.features:
        series = subject.frame[name]
        n_known = subject.n_rows - series.null_count()
        n_distinct = series.drop_nulls().n_unique()
        if not n_known or (n_distinct == 1 and n_known == subject.n_rows):
            useless.append(name)
            shown = "has one value only" if n_known else "is missing everywhere"
            docket.note("column_constant", 1, f"'{name}' {shown}.", column=name)
            continue
        absent.setdefault(subject.n_rows - n_known, []).append(name)
        if series.dtype.is_float():
            _judge_infinite(docket, name, series, subject.n_rows)
        if _names_rows(series, n_known, n_distinct):
            useless.append(name)
            docket.note(
                "identifier",
                n_distinct / n_known,
                f"'{name}' names rows: {n_distinct:,} different values in {n_known:,} rows.",
                column=name,
            )
        elif series.dtype == pl.String and n_distinct > 50 and n_known / n_distinct < 20:
            docket.note(
                "many_categories",
                n_distinct,
                f"'{name}' has {n_distinct:,} different texts, "
                f"{n_known / n_distinct:.2g} rows for each.",
                column=name,
            )
    for n_missing, names in absent.items():
        _judge_missing(docket, names, n_missing / subject.n_rows)
    return tuple(useless)


def _judge_missing(docket: Docket, names: Sequence[str], share: float) -> None:
    """Judge columns that are missing equally often, which mostly are missing together."""
    if docket.rule("column_missing").grade(share)[0] == "ok":
        return
    shown = ", ".join(repr(name) for name in names[:6])
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    verb = "is" if len(names) == 1 else "are each"
    message = f"{shown}{more} {verb} missing in {share:.1%} of rows."
    docket.note("column_missing", share, message, column=names[0])


def _judge_infinite(docket: Docket, name: str, series: pl.Series, n_rows: int) -> None:
    n_infinite = int((series.abs() > LARGEST).sum() or 0)
    if n_infinite:
        message = (
            f"'{name}' holds {n_infinite:,} infinite values or numbers beyond {LARGEST:g}; "
            "they count as missing here."
        )
        docket.note("column_infinite", n_infinite / n_rows, message, column=name)


def _names_rows(series: pl.Series, n_known: int, n_distinct: int) -> bool:
    """Return whether a column tells rows apart and nothing else.

    Texts that (nearly) all differ, and whole numbers that all differ and fill a range as a count
    does.
    """
    import polars as pl

    if n_known < _LEAST_NAMED:
        return False
    if series.dtype == pl.String:
        return n_distinct >= 0.9 * n_known
    if not series.dtype.is_integer() or n_distinct < n_known:
        return False
    values = series.drop_nulls().cast(pl.Int64).to_numpy()
    return int(values.max()) - int(values.min()) < 10 * n_known


def row_ids(frame: pl.DataFrame) -> np.ndarray:
    """Return a number for each row, int64, equal for equal rows (by a hash of 128 bits)."""
    import numpy as np

    first = frame.hash_rows(seed=0).to_numpy()
    second = frame.hash_rows(seed=1).to_numpy()
    _, left = np.unique(first, return_inverse=True)
    n_left = int(left.max()) + 1 if left.size else 1
    _, right = np.unique(second, return_inverse=True)
    _, both = np.unique(right * n_left + left, return_inverse=True)
    return np.asarray(both, dtype=np.int64)


def near(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with numbers to 3 digits and texts without case and outer spaces."""
    import polars as pl
    import polars.selectors as cs

    return frame.with_columns(
        cs.float().round_sig_figs(_NEAR_DIGITS),
        cs.integer().cast(pl.Float64).round_sig_figs(_NEAR_DIGITS),
        cs.string().str.to_lowercase().str.strip_chars(),
    )


def judge_duplicates(docket: Docket, subject: Subject) -> np.ndarray | None:
    """Judge repeated rows, equal rows with different targets, and overlap of the usual split.

    Returns numbers that are the same for rows of equal features where so many are equal that
    scores would be flattered, int64 (n_rows,); None otherwise.
    """
    names = [
        name for name in subject.frame.columns if not _is_counter(subject.frame[name])
    ]  # a running number tells copies apart that are copies
    features = [name for name in names if name != subject.target]
    if not features:
        return None
    skipped = [name for name in subject.frame.columns if name not in names]
    but = f" (whatever {', '.join(map(repr, skipped[:3]))} holds)" if skipped else ""
    alike = row_ids(subject.frame.select(features))
    _judge_repeats(docket, subject, row_ids(subject.frame.select(names)), but)
    _judge_conflicts(docket, subject, alike, but)
    _judge_split(docket, subject, alike, row_ids(near(subject.frame.select(features))), but)
    n_equal = subject.n_rows - int(alike.max()) - 1
    return alike if n_equal >= _MANY_EQUAL * subject.n_rows else None


def _is_counter(series: pl.Series) -> bool:
    if not series.dtype.is_integer() or series.null_count():
        return False
    return _names_rows(series, len(series), series.n_unique())


def _judge_repeats(docket: Docket, subject: Subject, ids: np.ndarray, but: str) -> None:
    import numpy as np

    counts = np.bincount(ids)
    n_repeats = int((counts - 1).sum())
    order = np.lexsort((np.arange(ids.size), ids, -counts[ids]))
    shown = order[counts[ids[order]] > 1]
    docket.note(
        "duplicates",
        n_repeats / subject.n_rows,
        f"{counted(n_repeats, 'row')} ({n_repeats / subject.n_rows:.1%}) "
        f"{'repeats' if n_repeats == 1 else 'repeat'} an earlier one{but}."
        if n_repeats
        else f"No row repeats another{but}.",
        evidence=subject.evidence(shown, lambda nth: f"{counts[ids[shown[nth]]]} equal rows"),
    )


def _judge_conflicts(docket: Docket, subject: Subject, alike: np.ndarray, but: str) -> None:
    """Judge rows that no model of these columns can get right: same features, other target."""
    import numpy as np

    if subject.is_regression:
        share, places = _variance_within(alike, subject.y)
        tells = f"{share:.1%} of the target's variance lies between rows of equal features{but}"
        limit = "R2 cannot exceed" if share else ""
    else:
        share, places = _outvoted(alike, subject.y, len(subject.classes))
        tells = f"{share:.1%} of rows have the features of others and another target{but}"
        limit = "accuracy cannot exceed" if share else ""
    message = (
        f"{tells}: {limit} {1 - share:.1%} on them."
        if share
        else (f"Rows of equal features have equal targets{but}.")
    )
    group = np.asarray(places, dtype=np.int64)
    docket.note(
        "conflicting_labels",
        share,
        message,
        column=subject.target,
        evidence=subject.evidence(group, lambda nth: f"group {int(alike[group[nth]])}"),
    )


def _variance_within(alike: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the share of variance within groups of equal features, and their rows."""
    import numpy as np

    counts = np.bincount(alike)
    means = np.bincount(alike, y) / np.maximum(counts, 1)
    residual = y - means[alike]
    total = float(((y - y.mean()) ** 2).sum())
    share = float((residual**2).sum()) / total if total else 0.0
    share = 0.0 if share < 1e-12 else share
    spread = np.bincount(alike, np.abs(residual))
    worst = np.argsort(-spread, kind="stable")[:MOST_ROWS]
    rows = np.flatnonzero(np.isin(alike, worst[spread[worst] > 0]))
    rows = rows[np.lexsort((alike[rows], -spread[alike[rows]]))]
    return share, rows if share else rows[:0]


def _outvoted(alike: np.ndarray, y: np.ndarray, n_classes: int) -> tuple[float, np.ndarray]:
    """Return the share of rows whose class is not the most frequent of their equals, and rows."""
    import numpy as np

    pairs, counts = np.unique(alike * n_classes + y, return_counts=True)
    group = pairs // n_classes
    sizes, most = np.zeros((2, int(alike.max()) + 1), dtype=np.int64)
    np.add.at(sizes, group, counts)
    np.maximum.at(most, group, counts)
    split = np.flatnonzero(sizes > most)
    rows = np.flatnonzero(np.isin(alike, split[:MOST_ROWS]))
    rows = rows[np.argsort(alike[rows], kind="stable")]
    return float((sizes - most).sum() / y.size), rows


def _judge_split(
    docket: Docket, subject: Subject, alike: np.ndarray, nearly: np.ndarray, but: str
) -> None:
    """Judge how many test rows of the recipe's own split stand in its training rows as well."""
    import numpy as np

    split = Split(group=subject.group, time=subject.time)
    try:
        train, test = hold_out(subject.keys(), split.test, split.seed)
    except InputError:
        return
    if not test.size:
        return
    shared = np.isin(alike[test], alike[train])
    close = float(np.isin(nearly[test], nearly[train]).mean())
    share = float(shared.mean())
    how = "by group" if subject.group else "by time" if subject.time else "at random"
    more = f" ({close:.1%} when numbers are taken to 3 digits)" if close > share else ""
    docket.note(
        "split_overlap",
        share,
        f"{share:.1%} of the test rows of a split {how} have the features of a training row"
        f"{but}{more}.",
        evidence=subject.evidence(test[shared]),
    )


def judge_against(docket: Docket, subject: Subject, other: pl.DataFrame, name: str) -> None:
    """Judge the rows and the target that another version (a hold-out) shares with this one."""
    import numpy as np
    import polars as pl

    mine = subject.frame.schema
    names = [it for it in mine if it in other.columns and it != subject.target]
    names = [it for it in names if not _is_counter(subject.frame[it])]
    names = [it for it in names if _kind(mine[it]) == _kind(other.schema[it])]
    if not names or not other.height:
        message = f"{name} has no column in common with this version, or no row."
        docket.note("against_overlap", 0, message)
        return
    both = pl.concat([subject.frame.select(names), other.select(names)], how="vertical_relaxed")
    shares: list[float] = []
    shared = np.zeros(0, dtype=np.int64)
    for table in (both, near(both)):
        ids = row_ids(table)
        is_shared = np.isin(ids[: subject.n_rows], ids[subject.n_rows :])
        shared = np.flatnonzero(is_shared) if not shares else shared
        shares.append(float(np.isin(ids[subject.n_rows :], ids[: subject.n_rows]).mean()))
    more = f" ({shares[1]:.1%} when numbers are taken to 3 digits)" if shares[1] > shares[0] else ""
    docket.note(
        "against_overlap",
        shares[0],
        f"{shares[0]:.1%} of the rows of {name} have the features of a row here{more}, "
        f"by {counted(len(names), 'common column')}.",
        evidence=subject.evidence(shared),
    )


def _kind(kind: pl.DataType) -> str:
    return "number" if kind.is_numeric() else str(kind.base_type())
