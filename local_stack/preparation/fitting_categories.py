"""Fitting of encodings and of group statistics, without a look at rows that are held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from local_stack.errors import InputError
from local_stack.evaluation.split import Keys, folds
from local_stack.preparation.categories import Codes, Hash, Lookup, OneHot
from local_stack.preparation.fitted import MAX_CATEGORIES
from local_stack.preparation.fitting_numbers import median
from local_stack.preparation.operations import MAX_KEYS
from local_stack.preparation.steps import EncodeStep, GroupStep
from local_stack.preparation.table import (
    Draft,
    Labels,
    Table,
    by_group,
    check_new,
    grouped,
    key_values,
)
from local_stack.preparation.values import NAN, Scalar

if TYPE_CHECKING:
    import numpy as np

MAX_ONE_HOT = 1_000
"""Most categories of one column that may become columns of their own."""
_FOLDS = 5
_BUCKETS = 16
_ENCODABLE = ("categorical", "boolean", "numeric", "encoded")


def encode(table: Table, step: EncodeStep) -> None:
    """Turn categories into numbers."""
    if step.form == "native" and not table.takes_native:
        raise InputError(
            "Only LightGBM takes categories natively.", "Encode as onehot or ordinal instead."
        )
    for draft in table.select(step.columns):
        if draft.kind not in _ENCODABLE:
            raise InputError(
                f"Column '{draft.name}' cannot be encoded at this point of the recipe.",
                "Encode texts, truth values and numbers only.",
            )
        _FORMS[step.form](table, step, draft)


def encode_native(table: Table, draft: Draft) -> None:
    """Turn one column into a native category."""
    _codes(table, EncodeStep((draft.name,), "native"), draft)


def _counted(draft: Draft, limit: int, form: str) -> dict[Scalar, int]:
    """Return how often each category is there, sorted; missing ones are not counted."""
    counts: dict[Scalar, int] = {}
    for key in key_values(draft):
        if key is not None:
            counts[key] = counts.get(key, 0) + 1
    if len(counts) > limit:
        raise _too_many(draft, len(counts), form, limit)
    return {key: counts[key] for key in sorted(counts)}


def _too_many(draft: Draft, n_values: int, form: str, limit: int) -> InputError:
    return InputError(
        f"Column '{draft.name}' has {n_values:,} different values; {form} takes at most {limit:,}.",
        f"Leave it out with the step 'drop: {{columns: [{draft.name}]}}', or encode it as hash.",
    )


def _codes(table: Table, step: EncodeStep, draft: Draft) -> None:
    categories = tuple(_counted(draft, MAX_CATEGORIES, step.form))
    is_native = step.form == "native"
    operation = Codes((draft.name,), (draft.name,), categories, is_native)
    table.note(draft, "categories", len(categories))
    changed = table.change(draft, operation, kind="native" if is_native else "encoded")
    if is_native:
        table.drafts[draft.name] = replace(changed, n_categories=len(categories))


def _one_hot(table: Table, step: EncodeStep, draft: Draft) -> None:
    has_limit = step.min_frequency is not None or step.max_categories is not None
    counts = _counted(draft, MAX_KEYS if has_limit else MAX_ONE_HOT, step.form)
    frequent = _frequent(step, counts, table.n_rows)
    if len(frequent) > MAX_ONE_HOT:
        raise _too_many(draft, len(frequent), step.form, MAX_ONE_HOT)
    has_rare = len(frequent) < len(counts)
    table.note(draft, "categories", len(frequent))
    if has_rare:
        table.note(draft, "rare categories", len(counts) - len(frequent))
    names = [f"{draft.name}_{category}" for category in frequent]
    names += [f"{draft.name}_rare"] if has_rare else []
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"Two features would be called '{twice}'.", "Rename the column.")
    if not names:
        table.replace(draft, [])
        return
    made = table.run(OneHot((draft.name,), tuple(names), tuple(frequent), has_rare))
    table.replace(draft, [replace(one, kind="encoded") for one in made])


def _frequent(step: EncodeStep, counts: dict[Scalar, int], n_rows: int) -> list[Scalar]:
    """Return the categories with a column of their own, by scikit-learn's rule."""
    least = step.min_frequency or 0
    floor = least if isinstance(least, int) else least * n_rows
    kept = [key for key, count in counts.items() if count >= floor]
    most = step.max_categories
    if most is not None and len(kept) + 1 > most:
        # One column is for the rest; of equal counts the last in order stay.
        order = sorted(counts, key=lambda key: counts[key])
        most_frequent = set(order[len(order) - (most - 1) :])
        kept = [key for key in kept if key in most_frequent]
    return kept


def _frequency(table: Table, step: EncodeStep, draft: Draft) -> None:
    import numpy as np

    groups, places = grouped([draft])
    _check_groups(draft, len(groups), step.form)
    counts = np.bincount(places, minlength=len(groups)).astype(np.float64)
    values = counts / table.n_rows if step.form == "frequency" else counts
    table.note(draft, "categories", len(groups))
    names = (draft.name,)
    operation = Lookup(names, names, tuple(groups), (tuple(values.tolist()),), (0.0,))
    table.change(draft, operation, kind="encoded")


def _check_groups(draft: Draft, n_groups: int, form: str) -> None:
    if n_groups > MAX_KEYS:
        raise _too_many(draft, n_groups, form, MAX_KEYS)


def _hash(table: Table, step: EncodeStep, draft: Draft) -> None:
    names = tuple(f"{draft.name}_hash_{n}" for n in range(step.n_features or _BUCKETS))
    made = table.run(Hash((draft.name,), names, draft.name))
    table.replace(draft, [replace(one, kind="encoded") for one in made])


# ------------------------------------------------------------------ target


def _target(table: Table, step: EncodeStep, draft: Draft) -> None:
    """Encode by the target: out of fold on these rows, by all of them when serving."""
    import numpy as np

    labels = table.labels
    if labels is None:
        raise InputError(
            f"Column '{draft.name}' is to be encoded by the target, and there is none.",
            "Name a target.",
        )
    groups, places = grouped([draft])
    _check_groups(draft, len(groups), step.form)
    suffixes = _suffixes(labels.classes)
    names = tuple(f"{draft.name}{suffix}" for suffix in suffixes)
    columns, others = [], []
    out_of_fold = []
    for outcome in _outcomes(labels):
        smoothed, mean = _smoothed(places, outcome, len(groups), step.smooth)
        columns.append(tuple(smoothed.tolist()))
        others.append(mean)
        out_of_fold.append(_out_of_fold(step, labels, places, outcome, smoothed, len(groups)))
    table.note(draft, "categories", len(groups))
    table.note(draft, "mean of the target", others[-1])
    operation = Lookup((draft.name,), names, tuple(groups), tuple(columns), tuple(others))
    made = [
        replace(one, kind="encoded", values=np.asarray(values))
        for one, values in zip(table.run(operation), out_of_fold, strict=True)
    ]
    table.replace(draft, made)


def _suffixes(classes: tuple[Scalar, ...]) -> list[str]:
    return [f"_{label}" for label in classes] if len(classes) > 2 else [""]


def _outcomes(labels: Labels) -> list[np.ndarray]:
    """Return the number to average: the target, or for each of many classes whether it is it."""
    import numpy as np

    if len(labels.classes) <= 2:
        return [labels.values]
    absent = np.isnan(labels.values)
    return [
        np.where(absent, NAN, (labels.values == code).astype(np.float64))
        for code in range(len(labels.classes))
    ]


def _smoothed(
    places: np.ndarray, outcome: np.ndarray, n_groups: int, smooth: float | None
) -> tuple[np.ndarray, float]:
    """Return the smoothed mean of each group, float64 (n_groups,), and the mean of all.

    As scikit-learn's ``TargetEncoder``: with ``smooth`` None an empirical Bayes estimate whose
    weight follows from the variances (Micci-Barreca, 2001), else ``smooth`` rows of the mean.
    """
    import numpy as np

    known = ~np.isnan(outcome)
    places, outcome = places[known], outcome[known]
    mean = float(outcome.mean())
    counts = np.bincount(places, minlength=n_groups).astype(np.float64)
    sums = np.bincount(places, weights=outcome, minlength=n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        if smooth is not None:
            found = (sums + smooth * mean) / (counts + smooth)
        else:
            means = sums / counts
            squares = np.bincount(
                places, weights=(outcome - means[places]) ** 2, minlength=n_groups
            )
            spread = float(outcome.var()) * counts
            weight = spread / (spread + squares / counts)
            found = weight * means + (1 - weight) * mean
    return np.where(np.isnan(found), mean, found), mean


def _out_of_fold(
    step: EncodeStep,
    labels: Labels,
    places: np.ndarray,
    outcome: np.ndarray,
    smoothed: np.ndarray,
    n_groups: int,
) -> np.ndarray:
    """Return for each row what the other folds say of its group, float64 (n_rows,).

    The folds are those that ``split`` would make. Rows that no fold holds out (the first ones in
    time) get the mean of all, which says nothing of a group, and rows without a target what will
    be served.
    """
    import numpy as np

    known = np.flatnonzero(~np.isnan(outcome))
    found = np.where(np.isnan(outcome), smoothed[places], float(outcome[known].mean()))
    keys = (labels.keys or Keys(len(outcome))).take(known)
    for learnt, held in folds(keys, step.folds or _FOLDS, labels.seed):
        rows, held_rows = known[learnt], known[held]
        values, _ = _smoothed(places[rows], outcome[rows], n_groups, step.smooth)
        found[held_rows] = values[places[held_rows]]
    return found


_FORMS: dict[str, Callable[[Table, EncodeStep, Draft], None]] = {
    "native": _codes,
    "ordinal": _codes,
    "onehot": _one_hot,
    "target": _target,
    "frequency": _frequency,
    "count": _frequency,
    "hash": _hash,
}


# ------------------------------------------------------------------ groups


def group(table: Table, step: GroupStep) -> None:
    """Add statistics of numbers over groups."""
    by = [table.named(name) for name in step.by]
    groups, places = grouped(by)
    _check_groups(by[0], len(groups), "group")
    reads = tuple(key.name for key in by)
    for draft in table.select(step.columns):
        if draft.name in reads:
            continue
        names = tuple(f"{draft.name}_{word}_by_{'_'.join(reads)}" for word in step.statistics)
        check_new(table, names)
        columns, others = [], []
        for word in step.statistics:
            statistic = _STATISTICS[word]
            other = 0.0 if word == "count" else _overall(draft, statistic)
            found = by_group(places, draft.numbers, len(groups), statistic)
            columns.append(tuple(other if value is None else value for value in found))
            others.append(other)
            if other is not None:
                table.note(draft, f"{word} of other groups", other)
        table.note(draft, "groups", len(groups))
        made = table.run(Lookup(reads, names, tuple(groups), tuple(columns), tuple(others)))
        table.add(made)


def _overall(draft: Draft, statistic: Callable[[np.ndarray], float]) -> float | None:
    present = draft.present
    value = float(statistic(present)) if present.size else NAN
    return None if value != value else value


def _deviation(present: np.ndarray) -> float:
    return float(present.std(ddof=1)) if present.size > 1 else NAN


_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda present: float(present.mean()),
    "median": median,
    "std": _deviation,
    "count": lambda present: float(present.size),
    "min": lambda present: float(present.min()),
    "max": lambda present: float(present.max()),
}
