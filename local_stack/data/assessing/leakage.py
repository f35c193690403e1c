"""Columns that give the target away: copies, near-perfect scores, traces of what came after it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from local_stack.data.assessing.rules import Docket
from local_stack.data.assessing.single import (
    ColumnScore,
    bins,
    classification_score,
    determined_share,
    fold_numbers,
    numbers,
    regression_score,
    score_column,
)
from local_stack.data.assessing.subject import Subject, stems
from local_stack.evaluation import measure
from local_stack.progress import Progress, Step

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_OF_A_COLUMN = frozenset(
    ("target_copy", "leak_score", "leak_name", "leak_missing", "leak_determined", "leak_pair")
)
_MOST_PAIRED = 40
_MANY_GROUPS, _SMALL_GROUP = 50, 20
_PAIR_ROWS = 4_000
_EXACT = 1 - 1e-9
_RANK_ROWS = 200_000
_MOST_PAIRS = 3


def left_out_as_leaks(docket: Docket) -> tuple[str, ...]:
    """Return the columns whose findings say that they give the target away: of high severity."""
    found = [it.column for it in docket.severe(*_OF_A_COLUMN) if it.column]
    return tuple(dict.fromkeys(found))


def suspects_among(docket: Docket, columns: Sequence[str]) -> tuple[str, ...]:
    """Return which of ``columns`` a finding of medium severity suspects to be leaks."""
    found = {
        it.column for it in docket.findings if it.code in _OF_A_COLUMN and it.severity == "medium"
    }
    return tuple(it for it in columns if it in found)


def judge_leaks(
    docket: Docket, subject: Subject, skip: Sequence[str], progress: Progress
) -> tuple[ColumnScore, ...]:
    """Judge each column alone, pairs of them and the order of the rows; return the scores.

    ``skip`` names columns that are of no use anyway. The scores come highest first.
    """
    n_classes = len(subject.classes)
    fold = fold_numbers(subject.n_rows)
    names = [name for name in subject.features if name not in skip]
    scores = []
    for place, name in enumerate(names):
        progress(Step("Scoring each column alone", place, len(names)))
        score = score_column(subject.frame[name], subject.y, n_classes, fold)
        scores.append(score)
        _judge_column(docket, subject, score)
    _judge_traces(docket, subject, scores)
    _judge_running_numbers(docket, subject, skip, fold)
    _judge_order(docket, subject, fold)
    progress(Step("Looking at pairs of columns"))
    _judge_pairs(docket, subject, scores)
    scores.sort(key=lambda it: (-it.score, it.column))
    if not any(it.column and it.code in _OF_A_COLUMN for it in docket.findings):
        _say_clean(docket, subject, scores)
    return tuple(scores)


def _say_clean(docket: Docket, subject: Subject, scores: Sequence[ColumnScore]) -> None:
    if scores:
        best = scores[0]
        docket.note(
            "leak_score",
            best.score,
            f"No column alone gives the target away; the strongest is '{best.column}', "
            f"{_measured(subject)} {best.score:.3f}.",
            column=best.column,
        )


def _measured(subject: Subject) -> str:
    return "R2" if subject.is_regression else "ROC AUC"


def _judge_column(docket: Docket, subject: Subject, found: ColumnScore) -> None:
    """Keep what can be said of one column; what gives all away needs no second word."""
    series = subject.frame[found.column]
    if _is_copy(subject, series):
        message = f"'{found.column}' is the target under another name: each gives the other."
        docket.note("target_copy", 1, message, column=found.column)
        return
    score = max(found.score, _own_score(subject, series))
    severity, _ = docket.rule("leak_score").grade(score)
    if severity != "ok":
        message = f"'{found.column}' alone reaches {_measured(subject)} {score:.4f} out of fold."
        docket.note("leak_score", score, message, column=found.column)
    if severity == "high":
        return
    _judge_group(docket, subject, found)
    _judge_kin(docket, subject, found, score)
    _judge_absence(docket, found, _measured(subject))


def _judge_group(docket: Docket, subject: Subject, found: ColumnScore) -> None:
    """Judge whether the few rows that share a text share the target as well."""
    import polars as pl

    series = subject.frame[found.column].drop_nulls()
    if series.dtype != pl.String or found.column == subject.group:
        return
    n_distinct = series.n_unique()
    if n_distinct < _MANY_GROUPS or len(series) > _SMALL_GROUP * n_distinct:
        return
    if docket.rule("group_effect").grade(found.score)[0] != "ok":
        message = (
            f"Rows with the same '{found.column}' have alike targets ({n_distinct:,} groups): "
            f"{_measured(subject)} {found.score:.3f} from the others of the group."
        )
        docket.note("group_effect", found.score, message, column=found.column)


def _judge_kin(docket: Docket, subject: Subject, found: ColumnScore, score: float) -> None:
    """Judge a column that shares a word with the target's name and tells of it."""
    shared = stems(found.column) & stems(subject.target)
    score = max(score, found.missing_score or 0.0)
    if shared and docket.rule("leak_name").grade(score)[0] != "ok":
        message = (
            f"'{found.column}' is named like the target and reaches {_measured(subject)} "
            f"{score:.3f} alone."
        )
        docket.note("leak_name", score, message, column=found.column)


def _judge_absence(docket: Docket, found: ColumnScore, name: str) -> None:
    """Judge missing values that come with one outcome."""
    missing = found.missing_score or 0.0
    if docket.rule("leak_missing").grade(missing)[0] != "ok":
        message = f"Whether '{found.column}' is missing tells of the target: {name} {missing:.3f}."
        docket.note("leak_missing", missing, message, column=found.column)


def _judge_traces(docket: Docket, subject: Subject, scores: Sequence[ColumnScore]) -> None:
    """Judge values that come with one outcome only; many small traces are one finding."""
    told = {it.column for it in docket.findings if it.code in _OF_A_COLUMN}
    rule = docket.rule("leak_determined")
    found = [it for it in scores if it.determined and rule.grade(it.determined)[0] != "ok"]
    found = sorted(found, key=lambda it: (-(it.determined or 0), it.column))
    small = []
    for score in found:
        if rule.grade(score.determined or 0)[0] == "low":
            small.append(score)
        elif score.column not in told:
            _note_trace(docket, subject, score, "")
    if small:
        others = ", ".join(repr(it.column) for it in small[1:6])
        more = f" and {len(small) - 6} more" if len(small) > 6 else ""
        _note_trace(docket, subject, small[0], f" (also in {others}{more})" if others else "")


def _note_trace(docket: Docket, subject: Subject, found: ColumnScore, also: str) -> None:
    import numpy as np

    codes = bins(subject.frame[found.column])
    share, chosen = determined_share(codes, subject.y, len(subject.classes))
    rows = np.flatnonzero(np.isin(codes, chosen))
    what = "missing values" if chosen.tolist() == [0] else "values"
    docket.note(
        "leak_determined",
        share,
        f"'{found.column}' holds {what} that come with one outcome only, "
        f"in {share:.1%} of the rows{also}.",
        column=found.column,
        evidence=subject.evidence(rows, columns=(found.column,)),
    )


def _is_copy(subject: Subject, series: pl.Series) -> bool:
    """Return whether column and target are functions of each other on all rows."""
    import numpy as np
    import polars as pl

    if series.null_count() or subject.names_rows:
        return False
    if subject.is_regression:
        if not (series.dtype.is_numeric() or series.dtype.is_temporal()):
            return False
        values = numbers(series)
        if np.isnan(values).any() or not values.std() or not subject.y.std():
            return False
        return bool(abs(float(np.corrcoef(values, subject.y)[0, 1])) >= _EXACT)
    if series.n_unique() != len(subject.classes):
        return False
    pairs = pl.DataFrame({"a": series, "b": pl.Series(subject.y)})
    return pairs.n_unique() == len(subject.classes)


def _own_score(subject: Subject, series: pl.Series) -> float:
    """Return what a number's own size says of two classes or of a number, without any bins.

    Of the few values that are known, an order says little about all: 0 then.
    """
    import numpy as np

    if len(subject.classes) > 2 or not series.dtype.is_numeric():
        return 0.0
    values, y = numbers(series), subject.y
    if values.size > _RANK_ROWS:
        chosen = np.random.default_rng(0).choice(values.size, _RANK_ROWS, replace=False)
        values, y = values[chosen], y[chosen]
    present = ~np.isnan(values)
    if present.mean() < 0.9:
        return 0.0
    return strength(values[present], y[present], subject.is_regression)


def strength(values: np.ndarray, y: np.ndarray, is_regression: bool) -> float:
    """Return the ROC AUC of numbers, whichever way they point, or a squared correlation.

    Of Pearson's and Spearman's correlations the weaker counts: one far row makes the first.
    """
    import numpy as np
    from scipy import stats

    if is_regression:
        if not values.std() or not y.std():
            return 0.0
        ranks = stats.rankdata(values), stats.rankdata(y)
        both = np.corrcoef(values, y)[0, 1], np.corrcoef(*ranks)[0, 1]
        return float(min(it**2 for it in both))
    area = measure.roc_auc(y == 1, values)
    return 0.0 if area is None else max(area, 1 - area)


def _judge_running_numbers(
    docket: Docket, subject: Subject, skip: Sequence[str], fold: np.ndarray
) -> None:
    """Judge identifiers that are numbers by what their size says of the target."""
    for name in skip:
        series = subject.frame[name]
        if series.dtype.is_integer() and series.n_unique() > 1:
            message = f"The running number '{name}' predicts the target"
            _judge_position(docket, subject, numbers(series), fold, message, name)


def _judge_order(docket: Docket, subject: Subject, fold: np.ndarray) -> None:
    import numpy as np

    place = np.arange(subject.n_rows, dtype=np.float64)
    _judge_position(
        docket, subject, place, fold, "Rows that stand near each other have alike targets", ""
    )


def _judge_position(
    docket: Docket, subject: Subject, place: np.ndarray, fold: np.ndarray, said: str, name: str
) -> None:
    import polars as pl

    codes = _coarse(pl.Series(place))
    if subject.is_regression:
        score = regression_score(codes, subject.y, fold)
    else:
        score = classification_score(codes, subject.y, len(subject.classes), fold)
    noun = f"{said}: {_measured(subject)} {score:.3f}."
    if docket.rule("leak_order").grade(score)[0] == "ok":
        if name:
            return
        noun = f"The order of the rows tells nothing much: {_measured(subject)} {score:.3f}."
    docket.note("leak_order", score, noun, column=name or None)


def _coarse(series: pl.Series) -> np.ndarray:
    """Return 32 bins of a running number: an order, and not the single rows."""
    import numpy as np

    ranks = series.rank("ordinal").to_numpy().astype(np.int64) - 1
    return ranks * 32 // max(1, ranks.size)


def _judge_pairs(docket: Docket, subject: Subject, scores: Sequence[ColumnScore]) -> None:
    """Judge whether the difference of two numbers gives the target away though neither does."""
    import numpy as np

    told = {it.column for it in docket.severe("leak_score", "target_copy")}
    named = [
        it.column
        for it in scores
        if it.column not in told and subject.frame[it.column].dtype.is_numeric()
    ][:_MOST_PAIRED]
    if len(subject.classes) > 2 or len(named) < 2:
        return
    chosen = np.sort(
        np.random.default_rng(0).permutation(subject.n_rows)[: min(_PAIR_ROWS, subject.n_rows)]
    )
    y = subject.y[chosen]
    values = {name: numbers(subject.frame[name][chosen]) for name in named}
    alone = {
        it.column: max(it.score, _difference_score(values[it.column], y, subject.is_regression))
        for it in scores
        if it.column in values
    }
    found = []
    for left, right in itertools.combinations(named, 2):
        score = _difference_score(values[left] - values[right], y, subject.is_regression)
        if score > max(alone[left], alone[right]) + 0.02:
            found.append((score, left, right))
    _note_pairs(docket, subject, sorted(found, reverse=True), alone)


def _note_pairs(
    docket: Docket,
    subject: Subject,
    found: Sequence[tuple[float, str, str]],
    alone: Mapping[str, float],
) -> None:
    """Judge pairs, the strongest first; a pair with a column already suspected adds nothing.

    The column of a finding is the one named like the target, or that tells more of it alone: it
    is more likely the later one.
    """
    kin = stems(subject.target)
    suspected: list[str] = []
    for score, left, right in found:
        severity, _ = docket.rule("leak_pair").grade(score)
        if severity == "ok" or (severity != "high" and len(suspected) >= _MOST_PAIRS):
            return
        if left in suspected or right in suspected:
            continue
        later = max((left, right), key=lambda it: (bool(stems(it) & kin), alone[it]))
        suspected.append(later)
        message = (
            f"'{left}' minus '{right}' gives the target away: {_measured(subject)} {score:.3f}."
        )
        docket.note("leak_pair", score, message, column=later)


def _difference_score(values: np.ndarray, y: np.ndarray, is_regression: bool) -> float:
    """Return how strongly a difference tells of the target, 0 where too few are known."""
    import numpy as np

    present = ~np.isnan(values)
    if present.mean() < 0.5 or present.sum() < 100:
        return 0.0
    return strength(values[present], y[present], is_regression)
