"""Columns about protected traits: whether they are named, what gives them away, who fares how."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.assessing.models import BOOSTING, MODELS, cross_validate, metric_of, splits
from local_stack.data.assessing.rules import Docket
from local_stack.data.assessing.single import MOST_BINS, fold_numbers, numbers, score_column
from local_stack.data.assessing.subject import Subject, subject_of
from local_stack.errors import InputError
from local_stack.progress import Progress, Step
from local_stack.results import Result

if TYPE_CHECKING:
    import polars as pl

_LEAST_GROUP = 30
_MOST_GROUPS = 20
_MOST_PROXIES = 5
_MODEL_ROWS = 5_000
_LEAST_VALUE = 5
"""Rows of a value of a trait, one for each fold, below which nothing can tell it from others."""
_ROWS_OF_BIN, _LEAST_BINS = 20, 8
_TRAITS = {
    "sex": "sex gender",
    "origin": "race racial ethnic ethnicity nationality citizenship foreign foreigner immigrant "
    "immigration skin indigenous hispanic",
    "belief": "religion religious faith political politics",
    "health": "disability disabled handicap pregnant pregnancy",
    "family": "marital married marriage spouse divorced widowed",
    "birth": "birth birthday birthdate dob",
}
_WORD_OF = {word: trait for trait, words in _TRAITS.items() for word in words.split()}
_NEAR_AGE = """
    age ages years year in at of the customer client person patient applicant employee user driver
    group band bucket class range
"""
_BESIDE_AGE = frozenset(_NEAR_AGE.split())
_VALUES = {
    "sex": frozenset({"male", "female", "m", "f", "man", "woman", "men", "women"}),
    "family": frozenset({"married", "single", "divorced", "widowed", "separated", "unmarried"}),
}
_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True)
class Proxy(Result):
    """A column that gives the sensitive one away by itself, and how well."""

    column: str
    score: float


@dataclass(frozen=True, slots=True)
class GivenAway:
    """How well each of some columns, best first, and all ``together`` give a column away."""

    metric: str
    task: str
    proxies: tuple[Proxy, ...]
    together: float | None


@dataclass(frozen=True, slots=True)
class GroupOutcome(Result):
    """The outcome in one group: a rate of ``outcome`` in [0, 1], or the mean of a number."""

    group: str
    n_rows: int
    value: float


@dataclass(frozen=True, slots=True)
class SensitiveColumn(Result):
    """A sensitive column: how well the others give it away together, and what comes of it.

    ``metric`` is of ``predicted_by_others`` (LightGBM, five folds; None: not measurable) and of
    the proxies' scores; ``outcome`` says what ``groups`` measure.
    """

    column: str
    metric: str
    predicted_by_others: float | None
    proxies: tuple[Proxy, ...]
    outcome: str
    groups: tuple[GroupOutcome, ...]


def judge_sensitive(
    docket: Docket,
    subject: Subject,
    named: Sequence[str],
    useless: Sequence[str],
    progress: Progress,
) -> tuple[SensitiveColumn, ...]:
    """Judge the columns named sensitive, and point at others that look like it."""
    for name in subject.frame.columns:
        trait = trait_of(name, subject.frame[name])
        if trait and name not in named and name != subject.target:
            message = f"'{name}' looks like a protected trait ({trait}) and is not marked as such."
            docket.note("sensitive_unmarked", 1, message, column=name)
    found = []
    for name in dict.fromkeys(named):
        if name == subject.target:
            continue
        progress(Step(f"Looking for proxies of {name[:60]}"))
        found.append(_judge_one(docket, subject, name, useless, progress))
    return tuple(found)


def trait_of(name: str, series: pl.Series) -> str:
    """Return which protected trait a column seems to hold, by its name or its texts; or ''."""
    import polars as pl

    words = [word.lower() for word in _SPLIT.findall(name)]
    if "age" in words and set(words) <= _BESIDE_AGE:
        return "age"
    trait = next((_WORD_OF[word] for word in words if word in _WORD_OF), "")
    if trait or series.dtype != pl.String:
        return trait
    texts = {str(it).strip().lower() for it in series.drop_nulls().unique().head(10).to_list()}
    near = ((kind, texts & known) for kind, known in _VALUES.items())
    return next((kind for kind, both in near if len(both) >= 2 and len(texts) <= 8), "")


def _judge_one(
    docket: Docket, subject: Subject, name: str, useless: Sequence[str], progress: Progress
) -> SensitiveColumn:
    others = [it for it in subject.features if it not in (name, *useless)]
    outcome, groups = _outcomes(subject, name)
    docket.note("sensitive", 1, f"'{name}' is a sensitive column.", column=name)
    if len(groups) > 1:
        _judge_outcomes(docket, name, outcome, groups)
    found = given_away(subject, name, others, progress)
    if found is None:
        return SensitiveColumn(name, "", None, (), outcome, groups)
    proxies, together = found.proxies[:_MOST_PROXIES], found.together
    best = max([together or 0.0, *(it.score for it in proxies)])
    said = ", ".join(f"'{it.column}' {it.score:.2f}" for it in proxies[:3])
    shown = {"r2": "R2", "roc_auc": "ROC AUC"}[found.metric]
    docket.note(
        "proxy",
        best,
        f"The other columns give '{name}' away with {shown} {best:.3f}; alone: {said}."
        if docket.rule("proxy", found.task).grade(best)[0] != "ok"
        else f"The other columns do not give '{name}' away ({shown} {best:.3f}).",
        column=name,
        task=found.task,
    )
    return SensitiveColumn(name, found.metric, together, proxies, outcome, groups)


def given_away(
    subject: Subject, name: str, others: Sequence[str], progress: Progress
) -> GivenAway | None:
    """Return how well other columns give a column away; None where it cannot be predicted.

    The target of ``subject`` is not among those that tell of it.
    """
    trait = _trait(subject, name) if others else None
    if trait is None:
        return None
    metric = "r2" if trait.is_regression else "roc_auc"
    return GivenAway(
        metric, trait.task, _proxies(trait, others), _together(trait, others, progress)
    )


def _trait(subject: Subject, name: str) -> Subject | None:
    """Return the column as something to predict; None when it is a date or has one value."""
    try:
        found = subject_of(subject.frame.drop(subject.target), name)
    except InputError:
        return None
    return None if found is None else _without_rare(found)


def _without_rare(trait: Subject) -> Subject | None:
    """Return the rows of values that can be learnt; None where there is one such value or none.

    Each value counts the same in the scores, so one of a few rows would hide how well all others
    are given away.
    """
    import numpy as np

    if trait.is_regression:
        return trait
    is_frequent = np.bincount(trait.y, minlength=len(trait.classes)) >= _LEAST_VALUE
    if is_frequent.all():
        return trait
    return subject_of(trait.frame.filter(is_frequent[trait.y]), trait.target, task=trait.task)


def _proxies(trait: Subject, others: Sequence[str]) -> tuple[Proxy, ...]:
    fold = fold_numbers(trait.n_rows)
    n_classes = len(trait.classes)
    most = min(MOST_BINS, max(_LEAST_BINS, trait.n_rows // _ROWS_OF_BIN))
    scores = [score_column(trait.frame[it], trait.y, n_classes, fold, most) for it in others]
    scores.sort(key=lambda it: (-it.score, it.column))
    return tuple(Proxy(it.column, it.score) for it in scores)


def _together(trait: Subject, others: Sequence[str], progress: Progress) -> float | None:
    """Return how well LightGBM predicts the trait from the other columns, on a sample."""
    import numpy as np

    if trait.n_rows > _MODEL_ROWS:
        drawn = np.sort(np.random.default_rng(0).permutation(trait.n_rows)[:_MODEL_ROWS])
        sample = _without_rare(trait.take(drawn))
        if sample is None:
            return None
        trait = sample
    metric = metric_of(trait)
    metric = "roc_auc_ovr" if metric == "accuracy" else metric
    if trait.n_rows < 2 * _LEAST_GROUP or len(trait.classes) > _MOST_GROUPS:
        return None
    models = {BOOSTING: MODELS[BOOSTING]}
    parts = splits(trait, 1)
    (trial,) = cross_validate(trait, others, models, parts, progress, "Looking for proxies")
    values = trial.values(metric)
    return float(np.mean(values)) if values else None


def _outcomes(subject: Subject, name: str) -> tuple[str, tuple[GroupOutcome, ...]]:
    """Return what is compared between the groups of a column, and it for each large group."""
    import polars as pl

    outcome, values = subject.outcome()
    groups, order = _groups(subject.frame[name])
    table = pl.DataFrame({"group": groups, "value": values})
    found = (
        table.drop_nulls("group")
        .group_by("group")
        .agg(pl.len().alias("n"), pl.col("value").mean())
        .filter(pl.col("n") >= _LEAST_GROUP)
        .sort(["n", "group"], descending=[True, False])
        .head(_MOST_GROUPS)
    )
    rows = found.rows()
    rows.sort(key=lambda row: order.index(row[0]) if order else 0)
    return outcome, tuple(
        GroupOutcome(str(group)[:200], int(n), float(value)) for group, n, value in rows
    )


def _groups(series: pl.Series) -> tuple[pl.Series, list[str]]:
    """Return groups as texts; of a number with many values its quarters, with their order."""
    import numpy as np
    import polars as pl

    if not series.dtype.is_numeric() or series.n_unique() <= _MOST_GROUPS:
        return series.cast(pl.String), []
    values = numbers(series)
    known = ~np.isnan(values)
    if not known.any():
        return pl.Series([None] * len(series), dtype=pl.String), []
    edges = np.unique(np.quantile(values[known], [0, 0.25, 0.5, 0.75, 1]))
    names = [f"{low:.6g} to {high:.6g}" for low, high in itertools.pairwise(edges)]
    places = np.searchsorted(edges[1:-1], values, side="left")
    texts = [names[at] if it else None for at, it in zip(places, known, strict=True)]
    return pl.Series(texts), names


def _judge_outcomes(
    docket: Docket, name: str, outcome: str, groups: Sequence[GroupOutcome]
) -> None:
    low = min(groups, key=lambda it: it.value)
    high = max(groups, key=lambda it: it.value)
    if high.value <= 0 or low.value < 0:
        return
    ratio = low.value / high.value
    shown = "{:.1%}" if outcome.startswith("share of") else "{:.4g}"
    docket.note(
        "sensitive_outcome",
        ratio,
        f"{outcome[:1].upper()}{outcome[1:]}: {shown.format(low.value)} for {low.group!r}, "
        f"{shown.format(high.value)} for {high.group!r} of '{name}' (ratio {ratio:.2f}).",
        column=name,
    )
