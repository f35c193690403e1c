"""The feature recipe: steps of cleaning and engineering, and their fitting to training rows.

Steps see the columns as the steps before left them. ``numeric`` means measured numbers (raw
ones, parts of dates, results of arithmetic; not codes), ``categorical`` means texts. Fitted
values equal those of scikit-learn's transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError
from local_stack.preparation import fitting_categories, fitting_numbers, fitting_texts, steps
from local_stack.preparation.compiled import Compiled
from local_stack.preparation.expressions import Expression, ExpressionError, read_expression
from local_stack.preparation.fitted import Feature, Preparation
from local_stack.preparation.numbers import Difference, Ratio
from local_stack.preparation.operations import Operation, Same
from local_stack.preparation.steps import FeatureStep, FilterStep
from local_stack.preparation.table import (
    NOUNS,
    STORED,
    Draft,
    Labels,
    Table,
    check_any,
    check_new,
    column_type,
    raw_column,
    raw_columns,
)
from local_stack.preparation.texts import Cast
from local_stack.preparation.values import is_missing
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

__all__ = ["Training", "apply_step", "fit_features", "fit_preparation", "passing", "raw_columns"]


@dataclass(frozen=True, slots=True)
class Training:
    """What an estimator learns from.

    ``matrix`` is float64 (n_rows, n_features), with the target's encodings out of fold; it may
    so differ from what ``preparation`` makes of the same rows. ``rows`` are the numbers of the
    rows that filters and deduplication left, int64 (n_rows,).
    """

    preparation: Preparation
    matrix: np.ndarray
    rows: np.ndarray


def fit_preparation(
    frame: pl.DataFrame,
    target: str,
    steps: Sequence[FeatureStep],
    *,
    native_strings: bool,
    accepts_missing: bool | None = None,
    labels: Labels | None = None,
) -> Preparation:
    """Return the preparation fitted to the rows of ``frame``, as :func:`fit_features` does."""
    found = fit_features(
        frame,
        target,
        steps,
        native_strings=native_strings,
        accepts_missing=accepts_missing,
        labels=labels,
    )
    return found.preparation


def fit_features(
    frame: pl.DataFrame,
    target: str,
    steps: Sequence[FeatureStep],
    *,
    native_strings: bool,
    accepts_missing: bool | None = None,
    labels: Labels | None = None,
    places: Sequence[str] = (),
    progress: Progress = silent,
) -> Training:
    """Fit a preparation to the rows of ``frame`` (all columns but ``target``).

    Parameters
    ----------
    native_strings
        Whether texts that no step encodes become native categories (LightGBM) or are an error,
        and whether ``as: native`` is possible at all.
    accepts_missing
        Whether the estimator takes NaN; as ``native_strings`` when left out.
    labels
        The target of the rows, for steps that look at it.
    places
        Where each step stands, such as ``recipe.yaml, line 4``, with which its errors begin.

    Raises
    ------
    InputError
        A step names an unknown column or one it cannot work on; a column is left as text, date
        or with missing values that the estimator cannot take; a column holds infinite values;
        nothing is left to learn from.
    Cancelled
        When ``progress``, which is told of each step, raises it.
    """
    import numpy as np

    accepts_missing = native_strings if accepts_missing is None else accepts_missing
    table = Table(frame, [target], labels, takes_native=native_strings)
    for number, step in enumerate(steps):
        progress(Step("preparing", number, len(steps)))
        try:
            apply_step(table, step)
        except InputError as error:
            if number >= len(places):
                raise
            message = f"{places[number]}: {error.message}"
            raise InputError(message, error.hint, details=error.details) from error
    for draft in list(table.drafts.values()):
        _finish(table, draft, frame)
    check_any(table)
    drafts = list(table.drafts.values())
    for draft in drafts:
        _check_numbers(draft, accepts_missing)
    preparation = _preparation(frame, table, drafts, accepts_missing)
    matrix = np.column_stack([np.asarray(draft.values) for draft in drafts])
    return Training(preparation, matrix, table.rows)


def passing(
    frame: pl.DataFrame,
    target: str,
    steps: Sequence[FeatureStep],
    learnt: np.ndarray,
    *,
    native_strings: bool,
    labels: Labels | None = None,
) -> np.ndarray:
    """Return which rows the filters among the steps let pass, bool (n_rows,).

    A filter sees what the steps before it made; these are fitted to the rows ``learnt`` (int64).
    The ``labels`` are of those.
    """
    import numpy as np

    conditions: list[Draft] = []
    last = max((n for n, it in enumerate(steps) if isinstance(it, FilterStep)), default=-1)
    table = Table(frame[learnt], [target], labels, takes_native=native_strings)
    for number, step in enumerate(steps[: last + 1]):
        if isinstance(step, FilterStep):  # no name of a column holds this
            conditions.append(_expressed(table, f"\0filter {number}", step.where))
        apply_step(table, step)
    if not conditions:
        return np.ones(frame.height, dtype=bool)
    made = _preparation(frame, table, conditions, accepts_missing=True)
    inputs = [(it.name, it.type) for it in made.inputs]
    compiled = Compiled(inputs, made.operations, [it.name for it in conditions])
    passed = compiled.matrix(raw_columns(frame, made.inputs)) == 1.0
    return np.asarray(passed.all(axis=1))


def _preparation(
    frame: pl.DataFrame, table: Table, drafts: Sequence[Draft], accepts_missing: bool
) -> Preparation:
    needed = {draft.name for draft in drafts}
    operations: list[Operation] = []
    for operation in reversed(table.operations):
        if needed.isdisjoint(operation.writes):
            continue  # of a column that was dropped
        operations.append(operation)
        needed = (needed - set(operation.writes)) | set(operation.reads)
    return Preparation(
        inputs=tuple(raw_column(frame, name) for name in frame.columns if name in needed),
        features=tuple(Feature(d.name, d.column, d.n_categories) for d in drafts),
        accepts_missing=accepts_missing,
        operations=tuple(reversed(operations)),
    )


def apply_step(table: Table, step: FeatureStep) -> None:
    """Fit one step to a table and put what it makes in place; a step that fails does nothing."""
    import numpy as np

    with table.step(), np.errstate(all="ignore"):
        _FITTERS[type(step)](table, step)


# ------------------------------------------------------------------ steps on whole columns


def _cast(table: Table, step: steps.CastStep) -> None:
    kind = {"number": "numeric", "integer": "numeric", "text": "categorical"}.get(step.to, step.to)
    for draft in table.select(step.columns):
        before = int(is_missing(draft.stored, draft.values).sum())
        operation = Cast((draft.name,), (draft.name,), step.to, step.format)
        made = table.change(draft, operation, kind=kind)
        n_lost = int(is_missing(made.stored, made.values).sum()) - before
        if n_lost:
            table.note(draft, "values that became missing", n_lost)


def _rename(table: Table, step: steps.RenameStep) -> None:
    names = dict(step.names)
    for old in names:
        table.named(old)
    renamed = [replace(d, name=names.get(n, n)) for n, d in table.drafts.items()]
    aside = {old: old for old in names}
    if set(names) & set(names.values()):  # such as two columns that swap their names
        aside = {old: f"{old} \N{RIGHTWARDS ARROW} {new}" for old, new in names.items()}
        table.operations += [Same((old,), (name,)) for old, name in aside.items()]
    table.operations += [Same((aside[old],), (new,)) for old, new in names.items()]
    table.reorder(renamed)


def _select(table: Table, step: steps.SelectStep) -> None:
    table.reorder(table.select(step.columns))


def _drop(table: Table, step: steps.DropStep) -> None:
    dropped = {draft.name for draft in table.select(step.columns)}
    table.reorder(draft for name, draft in table.drafts.items() if name not in dropped)


def _filter(table: Table, step: steps.FilterStep) -> None:
    draft = _expressed(table, "filter", step.where)
    table.operations.pop()
    if draft.kind != "boolean":
        raise ExpressionError(
            step.where,
            0,
            f"a filter needs a condition, not {NOUNS[draft.kind]}",
            "Compare it with something: col('age') > 18.",
        )
    _keep(table, draft.numbers == 1.0, "The filter")


def _deduplicate(table: Table, step: steps.DeduplicateStep) -> None:
    import polars as pl

    chosen = {d.name: d.values for d in table.select(step.columns) if d.kind != "unsupported"}
    if not chosen:
        return
    rows = pl.DataFrame(chosen).to_struct("row")
    masks = {"first": rows.is_first_distinct, "last": rows.is_last_distinct, "none": rows.is_unique}
    _keep(table, masks[step.keep]().to_numpy(), "The deduplication")


def _keep(table: Table, is_kept: np.ndarray, who: str) -> None:
    if not is_kept.any():
        raise InputError(f"{who} leaves no row to learn from.", "Look at its condition.")
    table.keep(is_kept)


def _expression(table: Table, step: steps.ExpressionStep) -> None:
    for name, text in step.expressions:
        table.add([_expressed(table, name, text)])


def _expressed(table: Table, name: str, text: str) -> Draft:
    """Run an expression; return the column it writes."""
    kinds = {d.name: STORED[d.kind] for d in table.drafts.values() if d.kind in STORED}
    _, reads = read_expression(text, kinds)
    (made,) = table.run(Expression(reads, (name,), text))
    return made


def _ratio(table: Table, step: steps.RatioStep) -> None:
    _pair(table, Ratio, step, "per")


def _difference(table: Table, step: steps.DifferenceStep) -> None:
    _pair(table, Difference, step, "minus")


def _pair(
    table: Table,
    kind: Callable[..., Operation],
    step: steps.RatioStep | steps.DifferenceStep,
    word: str,
) -> None:
    first, second = (table.named(name) for name in step.columns)
    name = step.name or f"{first.name}_{word}_{second.name}"
    check_new(table, [name])
    table.add(table.run(kind((first.name, second.name), (name,))))


_FITTERS: dict[type, Callable[[Table, Any], None]] = {
    steps.CastStep: _cast,
    steps.RenameStep: _rename,
    steps.SelectStep: _select,
    steps.DropStep: _drop,
    steps.FilterStep: _filter,
    steps.DeduplicateStep: _deduplicate,
    steps.ExpressionStep: _expression,
    steps.RatioStep: _ratio,
    steps.DifferenceStep: _difference,
    steps.ImputeStep: fitting_numbers.impute,
    steps.ScaleStep: fitting_numbers.scale,
    steps.PowerStep: fitting_numbers.power,
    steps.QuantileStep: fitting_numbers.quantile,
    steps.ClipStep: fitting_numbers.clip,
    steps.WinsoriseStep: fitting_numbers.clip,
    steps.BinStep: fitting_numbers.bins,
    steps.EncodeStep: fitting_categories.encode,
    steps.GroupStep: fitting_categories.group,
    steps.DatesStep: fitting_texts.dates,
    steps.TextStep: fitting_texts.lengths,
    steps.TfidfStep: fitting_texts.tfidf,
}
"""How each step is fitted."""


# ------------------------------------------------------------------ the end of the recipe


def _finish(table: Table, draft: Draft, frame: pl.DataFrame) -> None:
    """Make sure that a column is a number; texts become native where that is possible."""
    if draft.kind == "unsupported":
        column_type(frame, draft.column)  # which says what it is
    if draft.kind == "categorical" and table.takes_native:
        fitting_categories.encode_native(table, draft)
    elif draft.kind in ("categorical", "date"):
        verb = "encode" if draft.kind == "categorical" else "dates"
        more = ", as: onehot" if verb == "encode" else ""
        raise InputError(
            f"Column '{draft.name}' is {NOUNS[draft.kind]}, and the recipe does not turn it "
            "into numbers.",
            f"Add the step '{verb}: {{columns: [{draft.name}]{more}}}', or drop the column.",
        )


def _check_numbers(draft: Draft, accepts_missing: bool) -> None:
    import numpy as np

    values = np.asarray(draft.values)
    n_infinite = int(np.isinf(values).sum())
    if n_infinite:
        raise InputError(
            f"Column '{draft.name}' holds {n_infinite} infinite values.",
            "Clean them, or drop the column in the recipe.",
        )
    n_missing = int(np.isnan(values).sum())
    if n_missing and not accepts_missing:
        raise InputError(
            f"Column '{draft.name}' has {n_missing} missing values, and this estimator takes none.",
            f"Add the step 'impute: {{columns: [{draft.name}], strategy: median}}'.",
        )
