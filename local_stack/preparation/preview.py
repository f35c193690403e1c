"""What each step of a recipe does to a table, before anything is trained; and the table after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError
from local_stack.evaluation.split import Split, keys_of
from local_stack.evaluation.targets import codes_of, labels_of, numbers_of, task_of_values
from local_stack.preparation.fitting import apply_step
from local_stack.preparation.grammar import step_to_dict, word_of
from local_stack.preparation.operations import Same
from local_stack.preparation.steps import FeatureStep, fits_on, named_columns
from local_stack.preparation.table import STORED, Draft, Labels, Table, check_any
from local_stack.preparation.values import NUMBERS, Scalar, datetimes_of, is_missing, take
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

N_BINS = 10


@dataclass(frozen=True, slots=True)
class ColumnFacts(Result):
    """A column at one point of a recipe.

    ``counts`` are those of ten equal bins between ``min`` and ``max`` (0 for what is missing);
    numbers are None where a column has none.
    """

    type: str
    n_missing: int
    n_distinct: int
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnChange(Result):
    """What a step did to a column: ``added``, ``removed`` or ``changed``."""

    name: str
    change: str
    before: ColumnFacts | None
    after: ColumnFacts | None


@dataclass(frozen=True, slots=True)
class FittedValue(Result):
    """One thing that a step learnt of a column, such as its median."""

    column: str
    name: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Head(Result):
    """Some rows of a table: names, kinds, and plain values with None for missing.

    ``numbers`` are those of the rows in the table before the first step, from 0.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StepPreview(Result):
    """One step of a recipe and what it does.

    ``fits_on`` is what it learns from: ``nothing``, other ``rows``, or the ``target``. The rows
    in ``before`` and ``after`` are the same ones, those that the step changes or leaves out
    first. A step that cannot be done has its ``problem`` and ``hint``, and is the last of its
    preview.
    """

    number: int
    word: str
    step: Mapping[str, Any]
    fits_on: str
    n_rows_before: int
    n_rows_after: int
    changes: tuple[ColumnChange, ...]
    fitted: tuple[FittedValue, ...]
    before: Head
    after: Head
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table after a recipe: the frame, and the numbers of its rows in the one before."""

    frame: pl.DataFrame
    rows: np.ndarray


def preview(
    frame: pl.DataFrame,
    target: str | None,
    steps: Sequence[FeatureStep],
    *,
    rows: int = 20,
    split: Split | None = None,
    task: str | None = None,
    progress: Progress = silent,
) -> tuple[StepPreview, ...]:
    """Return what each step does to ``frame``, all of whose rows are taken for training.

    Parameters
    ----------
    target
        The column to predict, which steps do not see; None when there is none.
    rows
        How many rows to show before and after each step.
    split
        The recipe's; it hides the columns of groups and times and decides the folds.
    task
        ``classification`` or ``regression``; as the target suggests when left out.
    """
    table = _table(frame, target, steps, split, task)
    found: list[StepPreview] = []
    for number, step in enumerate(steps, start=1):
        progress(Step(f"Step {number}: {word_of(step)}", number - 1, len(steps)))
        found.append(_previewed(table, number, step, rows))
        if found[-1].problem:
            break
    return tuple(found)


def _table(
    frame: pl.DataFrame,
    target: str | None,
    steps: Sequence[FeatureStep],
    split: Split | None,
    task: str | None,
) -> Table:
    if target is not None and target not in frame.columns:
        raise InputError(f"The table has no column '{target}' to predict.")
    split = split or Split()
    labels = None
    if target is not None and any(fits_on(step) == "target" for step in steps):
        labels = labels_for(frame, target, split, task)
    return Table(frame, hidden_columns(target, split, steps), labels)


def hidden_columns(target: str | None, split: Split, steps: Sequence[FeatureStep]) -> set[str]:
    """Return the columns that no step sees unless it names them: target, groups and times."""
    keys = {split.group, split.time} - named_columns(steps)
    return {name for name in (target, *keys) if name is not None}


def labels_for(
    frame: pl.DataFrame, target: str, split: Split | None = None, task: str | None = None
) -> Labels:
    """Return the target of a table as steps take it, NaN where a row has none."""
    import numpy as np

    split = split or Split()
    series = frame[target]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    known = np.flatnonzero(series.is_not_null().to_numpy())
    present = series[known]
    classes: tuple[Scalar, ...] = ()
    if (task or task_of_values(present)) == "classification":
        found = labels_of(present)
        classes = tuple(sorted(set(found)))
        numbers = codes_of(found, classes).astype(np.float64)
    else:
        numbers = numbers_of(present)
    values = np.full(frame.height, np.nan)
    values[known] = numbers
    codes = np.where(np.isnan(values), -1, values).astype(np.int64) if classes else None
    return Labels(values, classes, keys_of(frame, split, codes), split.seed)


def _previewed(table: Table, number: int, step: FeatureStep, n_shown: int) -> StepPreview:
    before, rows, n_learnt = dict(table.drafts), table.rows, len(table.learnt)
    problem = hint = ""
    try:
        apply_step(table, step)
    except InputError as error:
        problem, hint = error.message, error.hint
    learnt = table.learnt[n_learnt:]
    has_all = len(table.rows) == len(rows)
    shown = _shown(before, table, rows, n_shown)
    return StepPreview(
        number=number,
        word=word_of(step),
        step=step_to_dict(step),
        fits_on=fits_on(step),
        n_rows_before=len(rows),
        n_rows_after=table.n_rows,
        changes=() if problem else _changes(before, table.drafts, has_all),
        fitted=tuple(FittedValue(it.column, it.name, it.value) for it in learnt),
        before=_head(before, rows, shown),
        after=_head(table.drafts, table.rows, shown),
        problem=problem,
        hint=hint,
    )


def _changes(
    before: Mapping[str, Draft], after: Mapping[str, Draft], has_all_rows: bool
) -> tuple[ColumnChange, ...]:
    found = []
    for name, draft in after.items():
        if name not in before:
            found.append(ColumnChange(name, "added", None, facts(draft)))
        elif has_all_rows and _is_changed(before[name], draft):
            found.append(ColumnChange(name, "changed", facts(before[name]), facts(draft)))
    removed = [draft for name, draft in before.items() if name not in after]
    found += [ColumnChange(draft.name, "removed", facts(draft), None) for draft in removed]
    return tuple(found)


def _is_changed(before: Draft, after: Draft) -> bool:
    import numpy as np

    if before.values is after.values and before.kind == after.kind:
        return False
    if before.kind != after.kind:
        return True
    if after.stored in NUMBERS:
        return not np.array_equal(before.numbers, after.numbers, equal_nan=True)
    return list(before.values) != list(after.values)


def facts(draft: Draft) -> ColumnFacts:
    """Return the statistics of a column at one point of a recipe."""
    import numpy as np

    if draft.kind not in STORED:
        return ColumnFacts(draft.kind, 0, 0)
    n_missing = int(is_missing(draft.stored, draft.values).sum())
    if draft.stored not in NUMBERS:
        values = list(draft.values) if draft.stored == "text" else np.asarray(draft.values)
        n_distinct = len({*values} - {None}) if draft.stored == "text" else _n_moments(values)
        return ColumnFacts(draft.kind, n_missing, n_distinct)
    numbers = np.asarray(draft.values)
    present = numbers[np.isfinite(numbers)]
    if not present.size:
        return ColumnFacts(draft.kind, n_missing, 0)
    low, high = float(present.min()), float(present.max())
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers whose squares are none
        mean = float(present.mean())
        std = float(present.std(ddof=1)) if present.size > 1 else None
    return ColumnFacts(
        draft.kind,
        n_missing,
        len(np.unique(present)),
        mean=mean if math.isfinite(mean) else None,
        std=std if std is not None and math.isfinite(std) else None,
        min=low,
        max=high,
        counts=_counts(present, low, high),
    )


def _n_moments(values: Any) -> int:
    import numpy as np

    return len(np.unique(values[~np.isnat(values)]))


def _counts(present: np.ndarray, low: float, high: float) -> tuple[int, ...]:
    import numpy as np

    if low == high or not math.isfinite(high - low):
        return (int(present.size), *[0] * (N_BINS - 1))
    places = np.minimum((present - low) / (high - low) * N_BINS, N_BINS - 1).astype(np.int64)
    return tuple(np.bincount(places, minlength=N_BINS).tolist())


def _shown(before: Mapping[str, Draft], table: Table, rows: np.ndarray, n_shown: int) -> np.ndarray:
    """Return the numbers of the rows to show, ascending: changed or left out ones first."""
    import numpy as np

    if len(table.rows) != len(rows):
        is_telling = ~np.isin(rows, table.rows)
    else:
        is_telling = np.zeros(len(rows), dtype=bool)
        for name, draft in table.drafts.items():
            if name in before and _is_changed(before[name], draft):
                is_telling |= _differs(before[name], draft)
    told, others = np.flatnonzero(is_telling), np.flatnonzero(~is_telling)
    n_told = n_shown if not others.size else min(max(1, n_shown // 2), told.size)
    picked = np.concatenate([_spread(told, n_told), _spread(others, n_shown - n_told)])
    return np.asarray(rows[np.sort(picked)])


def _spread(places: np.ndarray, n: int) -> np.ndarray:
    """Return at most ``n`` of the places, from the first to the last of them."""
    import numpy as np

    if n >= places.size:
        return places
    return np.asarray(places[np.linspace(0, places.size - 1, max(n, 0)).astype(np.int64)])


def _differs(before: Draft, after: Draft) -> np.ndarray:
    """Return in which rows two columns of the same rows hold other values, bool (n_rows,)."""
    import numpy as np

    if before.stored in NUMBERS and after.stored in NUMBERS:
        first, second = np.asarray(before.values), np.asarray(after.values)
        return np.asarray((first != second) & ~(np.isnan(first) & np.isnan(second)))
    if before.stored != after.stored:
        return np.ones(len(after.values), dtype=bool)
    pairs = zip(list(before.values), list(after.values), strict=True)
    return np.array([first != second for first, second in pairs], dtype=bool)


def _head(drafts: Mapping[str, Draft], rows: np.ndarray, shown: np.ndarray) -> Head:
    import numpy as np

    places = np.flatnonzero(np.isin(rows, shown))
    columns = [_some(draft, places) for draft in drafts.values()]
    return Head(
        columns=tuple(drafts),
        types=tuple(draft.kind for draft in drafts.values()),
        rows=tuple(zip(*columns, strict=True)),
        numbers=tuple(rows[places].tolist()),
    )


def _some(draft: Draft, places: np.ndarray) -> list[Any]:
    if draft.kind not in STORED:
        return [None] * len(places)
    values = take(draft.values, places)
    if draft.stored == "moment":
        return [None if m is None else m.isoformat() for m in datetimes_of(values)]  # type: ignore[arg-type]
    if draft.stored == "text":
        return list(values)
    found = [None if x != x else x for x in values.tolist()]  # type: ignore[union-attr]
    return [None if x is None else bool(x) for x in found] if draft.kind == "boolean" else found


# ------------------------------------------------------------------ the table after a recipe


def apply(
    frame: pl.DataFrame,
    target: str | None,
    steps: Sequence[FeatureStep],
    *,
    split: Split | None = None,
    task: str | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Return ``frame`` after the steps, as a table to be stored.

    Columns that no step changed keep their type and values. The target and the columns of
    groups and times, which steps do not see, stand at the end as they were. Encodings by the
    target are out of fold.

    Raises
    ------
    InputError
        A step cannot be done, or no column is left.
    """
    import polars as pl

    table = _table(frame, target, steps, split, task)
    for number, step in enumerate(steps, start=1):
        progress(Step(f"Step {number}: {word_of(step)}", number - 1, len(steps)))
        apply_step(table, step)
    check_any(table)
    origins = _origins(frame, table)
    series = [
        frame[origins[name]][table.rows].alias(name) if name in origins else _series(draft)
        for name, draft in table.drafts.items()
    ]
    hidden = hidden_columns(target, split or Split(), steps)
    for name in (name for name in frame.columns if name in hidden):
        series.append(frame[name][table.rows])
    return Prepared(pl.DataFrame(series), table.rows)


def _origins(frame: pl.DataFrame, table: Table) -> dict[str, str]:
    """Return the raw column of every column that no operation changed."""
    found = {name: name for name in frame.columns}
    for operation in table.operations:
        if isinstance(operation, Same):
            (old,), (new,) = operation.reads, operation.writes
            if old in found:
                found[new] = found[old]
            else:
                found.pop(new, None)
        else:
            for name in operation.writes:
                found.pop(name, None)
    return found


def _series(draft: Draft) -> pl.Series:
    import polars as pl

    if draft.stored == "text":
        return pl.Series(draft.name, list(draft.values), dtype=pl.String)
    if draft.stored == "moment":
        moments = pl.Series(draft.name, draft.values, dtype=pl.Datetime("us"))
        is_day = bool((moments.dt.truncate("1d") == moments).all())
        return moments.cast(pl.Date) if is_day else moments
    numbers = pl.Series(draft.name, draft.values, dtype=pl.Float64).fill_nan(None)
    return numbers.cast(pl.Boolean) if draft.kind == "boolean" else numbers
