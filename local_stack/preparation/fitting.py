"""The feature recipe: steps of cleaning and engineering, and their fitting to training rows.

Steps see the columns as the steps before left them. ``numeric`` means measured numbers (raw
ones and parts of dates, not codes of categories), ``categorical`` means texts. Fitted values
equal those of scikit-learn's transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import TYPE_CHECKING

from local_stack.errors import InputError, nearest
from local_stack.preparation.compiled import (
    PARTS,
    Clip,
    Codes,
    Feature,
    Fill,
    OneHot,
    Op,
    Part,
    Scalar,
    Scale,
    Values,
    apply_to_array,
    parts_of,
)
from local_stack.preparation.fitted import MAX_CATEGORIES, Column, Preparation
from local_stack.preparation.steps import (
    ClipStep,
    Columns,
    DatesStep,
    DropStep,
    EncodeStep,
    FeatureStep,
    ImputeStep,
    ScaleStep,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MAX_ONE_HOT = 1_000
"""Most categories of one column that may become columns of their own."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """One column on its way: ``kind`` numeric, boolean, categorical, date, encoded or native."""

    name: str
    column: str
    kind: str
    values: Values = field(repr=False, compare=False)
    ops: tuple[Op, ...] = ()
    n_categories: int = 0

    def then(self, op: Op) -> _Draft:
        """Return the draft after a numeric operation."""
        return replace(self, ops=(*self.ops, op), values=apply_to_array((op,), self.numbers))

    @property
    def numbers(self) -> np.ndarray:
        """Return the values as float64 (n_rows,); fails for kinds that hold no numbers."""
        import numpy as np

        if self.kind not in ("numeric", "boolean", "encoded"):
            raise InputError(
                f"The step cannot work on column '{self.name}', which is {_KINDS[self.kind]}.",
                "Name other columns, or change the order of the steps.",
            )
        assert isinstance(self.values, np.ndarray)
        return self.values


_KINDS = {
    "categorical": "a text",
    "date": "a date",
    "native": "encoded natively",
    "unsupported": "of a type no model can take",
}


def fit_preparation(
    frame: pl.DataFrame,
    target: str,
    steps: Sequence[FeatureStep],
    *,
    native_strings: bool,
    accepts_missing: bool | None = None,
) -> Preparation:
    """Return the preparation fitted to the rows of ``frame`` (all columns but ``target``).

    Parameters
    ----------
    native_strings
        Whether texts that no step encodes become native categories (LightGBM) or are an error,
        and whether ``as: native`` is possible at all.
    accepts_missing
        Whether the estimator takes NaN; as ``native_strings`` when left out.

    Raises
    ------
    InputError
        A step names an unknown column or one it cannot work on; a column is left as text, date
        or with missing values that the estimator cannot take; a column holds infinite values;
        nothing is left to learn from.
    """
    accepts_missing = native_strings if accepts_missing is None else accepts_missing
    drafts = _apply_steps(_read(frame, target, steps), steps, native_strings)
    drafts = [_finish(draft, native_strings) for draft in drafts]
    if not drafts:
        raise InputError("No column is left to learn from.", "Drop fewer columns in the recipe.")
    for draft in drafts:
        _check_numbers(draft, accepts_missing)
    used = {draft.column for draft in drafts}
    inputs = [c for c in frame.columns if c in used]
    return Preparation(
        inputs=tuple(_column(frame, name) for name in inputs),
        features=tuple(Feature(d.name, d.column, d.ops, d.n_categories) for d in drafts),
        accepts_missing=accepts_missing,
    )


def column_type(frame: pl.DataFrame, name: str) -> str:
    """Return the type of a column in MLflow's words, or raise :class:`InputError`."""
    import polars as pl

    kind = frame.schema[name]
    if kind.is_integer():
        return "long"
    if kind.is_float() or kind.is_decimal() or kind == pl.Null:
        return "double"
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    words = {pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "datetime"}
    for base, word in words.items():
        if kind == base:
            return word
    raise InputError(
        f"Column '{name}' holds {kind} values, which no model here can take.",
        f"Leave it out with the step 'drop: {{columns: [{name}]}}'.",
    )


def raw_columns(frame: pl.DataFrame, inputs: Sequence[Column]) -> dict[str, Values]:
    """Return the columns of ``frame`` as ``Compiled.matrix`` takes them.

    Numbers and booleans become float64 arrays (NaN missing), dates datetime64[us] arrays (UTC,
    NaT missing), texts lists. A column that is absent counts as missing if it was nullable.

    Raises
    ------
    InputError
        A column is absent, or of a type that cannot be read as the one expected.
    """
    found: dict[str, Values] = {}
    for column in inputs:
        if column.name in frame.columns:
            _check_type(frame, column)
            found[column.name] = _raw(frame, column.name, column.type)
        elif column.nullable:
            found[column.name] = [None] * frame.height
        else:
            raise InputError(
                f"The table has no column '{column.name}', which the model needs.",
                nearest(column.name, frame.columns),
            )
    return found


_READABLE = {
    "double": ("double", "long"),
    "long": ("long", "double"),
    "string": ("string",),
    "boolean": ("boolean",),
    "date": ("date", "datetime"),
    "datetime": ("date", "datetime"),
}


def _check_type(frame: pl.DataFrame, column: Column) -> None:
    is_empty = frame[column.name].null_count() == frame.height
    if not is_empty and column_type(frame, column.name) not in _READABLE[column.type]:
        raise InputError(
            f"Column '{column.name}' holds {frame.schema[column.name]} values; "
            f"the model expects {column.type}."
        )


def _raw(frame: pl.DataFrame, name: str, kind: str) -> Values:
    import polars as pl

    series = frame[name]
    if kind == "string":
        return list(series.cast(pl.String).to_list())
    if kind in ("date", "datetime"):
        if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.cast(pl.Datetime("us")).to_numpy()
    return series.cast(pl.Float64).to_numpy()


def _column(frame: pl.DataFrame, name: str) -> Column:
    series = frame[name]
    n_missing = series.null_count()
    if series.dtype.is_float():
        n_missing += int(series.is_nan().sum() or 0)
    return Column(name, column_type(frame, name), n_missing > 0)


def _read(frame: pl.DataFrame, target: str, steps: Sequence[FeatureStep]) -> list[_Draft]:
    """Return a draft for each column; columns dropped by name may have any type."""
    dropped = {
        name for s in steps if isinstance(s, DropStep) and s.columns != "all" for name in s.columns
    }
    drafts = []
    for name in frame.columns:
        if name == target:
            continue
        try:
            kind = column_type(frame, name)
        except InputError:
            if name not in dropped:
                raise
            drafts.append(_Draft(name, name, "unsupported", []))
        else:
            drafts.append(_Draft(name, name, _GROUPS[kind], _raw(frame, name, kind)))
    return drafts


_GROUPS = {
    "long": "numeric",
    "double": "numeric",
    "string": "categorical",
    "boolean": "boolean",
    "date": "date",
    "datetime": "date",
}


def _apply_steps(
    drafts: list[_Draft], steps: Sequence[FeatureStep], native_strings: bool
) -> list[_Draft]:
    for step in steps:
        if isinstance(step, EncodeStep) and step.form == "native" and not native_strings:
            raise InputError(
                "Only LightGBM takes categories natively.", "Encode as onehot or ordinal instead."
            )
        chosen = _select(drafts, step.columns)
        drafts = [
            made
            for draft in drafts
            for made in (_apply(step, draft) if draft.name in chosen else (draft,))
        ]
        _check_names(drafts)
    return drafts


def _select(drafts: Sequence[_Draft], columns: Columns) -> set[str]:
    """Return the names of the drafts that a step works on."""
    if isinstance(columns, str):
        return {d.name for d in drafts if columns in ("all", d.kind)}
    names = [draft.name for draft in drafts]
    for name in columns:
        if name not in names:
            raise InputError(
                f"A step of the recipe names column '{name}', which is not there.",
                nearest(name, names) or "The target and columns dropped before cannot be named.",
            )
    return set(columns)


def _check_names(drafts: Sequence[_Draft]) -> None:
    names = set()
    for draft in drafts:
        if draft.name in names:
            raise InputError(
                f"Two features would be called '{draft.name}'.", "Rename or drop one column."
            )
        names.add(draft.name)


@singledispatch
def _apply(step: FeatureStep, draft: _Draft) -> Iterator[_Draft]:
    raise TypeError(type(step))


@_apply.register
def _drop(step: DropStep, draft: _Draft) -> Iterator[_Draft]:
    yield from ()


@_apply.register
def _impute(step: ImputeStep, draft: _Draft) -> Iterator[_Draft]:
    if draft.kind == "categorical":
        yield _impute_text(step, draft)
        return
    import numpy as np

    numbers = draft.numbers
    present = numbers[~np.isnan(numbers)]
    if step.strategy == "constant":
        if not isinstance(step.value, int | float):
            raise _misfit(draft, "a number")
        yield draft.then(Fill(float(step.value)))
        return
    if not present.size:
        raise InputError(
            f"Every value of column '{draft.name}' is missing, so there is no {step.strategy}.",
            "Drop the column, or fill it with a constant.",
        )
    yield draft.then(Fill(_MIDDLES[step.strategy](present)))


def _most_frequent(present: np.ndarray) -> float:
    import numpy as np

    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


def _median(present: np.ndarray) -> float:
    import numpy as np

    return float(np.median(present))


_MIDDLES: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda present: float(present.mean()),
    "median": _median,
    "most_frequent": _most_frequent,
}


def _impute_text(step: ImputeStep, draft: _Draft) -> _Draft:
    present = [value for value in draft.values if value is not None]
    if step.strategy == "constant":
        if not isinstance(step.value, str):
            raise _misfit(draft, "a text")
        fill = step.value
    elif step.strategy != "most_frequent":
        raise InputError(
            f"Column '{draft.name}' is text and has no {step.strategy}.",
            "Use most_frequent or constant.",
        )
    elif not present:
        raise InputError(f"Every value of column '{draft.name}' is missing.", "Drop the column.")
    else:
        counts: dict[str, int] = {}
        for value in present:
            counts[value] = counts.get(value, 0) + 1
        fill = min(counts, key=lambda word: (-counts[word], word))
    values = [fill if value is None else value for value in draft.values]
    return replace(draft, values=values, ops=(*draft.ops, Fill(fill)))


def _misfit(draft: _Draft, noun: str) -> InputError:
    return InputError(f"Column '{draft.name}' needs {noun} as the constant that fills it.")


@_apply.register
def _encode(step: EncodeStep, draft: _Draft) -> Iterator[_Draft]:
    import numpy as np

    if draft.kind not in ("categorical", "boolean", "numeric") or any(
        not isinstance(op, Fill) for op in draft.ops
    ):
        raise InputError(
            f"Column '{draft.name}' cannot be encoded at this point of the recipe.",
            "Encode raw columns only, and before scaling.",
        )
    keys = _keys(draft)
    categories = tuple(sorted({key for key in keys if key is not None}))
    limit = MAX_ONE_HOT if step.form == "onehot" else MAX_CATEGORIES
    if len(categories) > limit:
        raise InputError(
            f"Column '{draft.name}' has {len(categories):,} different values; "
            f"{step.form} takes at most {limit:,}.",
            f"Leave it out with the step 'drop: {{columns: [{draft.name}]}}'.",
        )
    if step.form == "onehot":
        for category in categories:
            values = np.array([1.0 if key == category else 0.0 for key in keys])
            ops = (*draft.ops, OneHot(category))
            yield _Draft(f"{draft.name}_{category}", draft.column, "encoded", values, ops)
        return
    reader = Codes(categories, is_native=step.form == "native")
    codes = {key: float(place) for place, key in enumerate(categories)}
    values = np.array([reader.other if k is None else codes[k] for k in keys], dtype=np.float64)
    kind = "native" if reader.is_native else "encoded"
    n_categories = len(categories) if reader.is_native else 0
    yield _Draft(draft.name, draft.column, kind, values, (*draft.ops, reader), n_categories)


def _keys(draft: _Draft) -> list[Scalar | None]:
    """Return the values of a column as categories: texts, booleans, whole or other numbers."""
    if draft.kind == "categorical":
        return list(draft.values)
    keys: list[Scalar | None] = []
    for number in draft.numbers.tolist():
        if number != number:
            keys.append(None)
        elif draft.kind == "boolean":
            keys.append(bool(number))
        else:
            keys.append(int(number) if number.is_integer() else number)
    return keys


@_apply.register
def _scale(step: ScaleStep, draft: _Draft) -> Iterator[_Draft]:
    import numpy as np

    numbers = draft.numbers
    present = numbers[~np.isnan(numbers)]
    if not present.size:
        yield draft
        return
    eps = 10 * np.finfo(np.float64).eps
    if step.method == "standard":
        centre, scale = float(present.mean()), float(present.std())
        # The bound below which scikit-learn takes the variance for rounding error.
        bound = present.size * eps / 10 * scale**2 + (present.size * centre * eps / 10) ** 2
        scale = 1.0 if scale**2 <= bound else scale
    elif step.method == "minmax":
        centre, scale = float(present.min()), float(np.ptp(present))
        scale = 1.0 if scale < eps else scale
    else:
        low, centre, high = (float(q) for q in np.quantile(present, [0.25, 0.5, 0.75]))
        scale = 1.0 if high - low < eps else high - low
    yield draft.then(Scale(centre, scale))


@_apply.register
def _clip(step: ClipStep, draft: _Draft) -> Iterator[_Draft]:
    import numpy as np

    numbers = draft.numbers
    present = numbers[~np.isnan(numbers)]
    if not present.size:
        yield draft
        return
    lower, upper = (float(q) for q in np.quantile(present, [step.lower, step.upper]))
    yield draft.then(Clip(lower, upper))


@_apply.register
def _dates(step: DatesStep, draft: _Draft) -> Iterator[_Draft]:
    import numpy as np

    if draft.kind != "date":
        raise InputError(f"Column '{draft.name}' is not a date.", "Name date columns only.")
    moments = np.asarray(draft.values)
    present = moments[~np.isnat(moments)]
    origin = present.min().item().isoformat() if present.size else "1970-01-01T00:00:00"
    for part in (p for p in PARTS if p in step.parts):
        op = Part(part, origin)
        yield _Draft(f"{draft.name}_{part}", draft.column, "numeric", parts_of(moments, op), (op,))


def _finish(draft: _Draft, native_strings: bool) -> _Draft:
    """Return a draft that is a number; texts become native categories where that is possible."""
    if draft.kind == "categorical" and native_strings:
        return next(_encode(EncodeStep((draft.name,), "native"), draft))
    if draft.kind in ("categorical", "date"):
        noun = _KINDS[draft.kind]
        verb = "encode" if draft.kind == "categorical" else "dates"
        more = ", as: onehot" if verb == "encode" else ""
        raise InputError(
            f"Column '{draft.name}' is {noun}, and the recipe does not turn it into numbers.",
            f"Add the step '{verb}: {{columns: [{draft.name}]{more}}}', or drop the column.",
        )
    return draft


def _check_numbers(draft: _Draft, accepts_missing: bool) -> None:
    import numpy as np

    values = np.asarray(draft.values)
    n_infinite = int(np.isinf(values).sum())
    if n_infinite:
        raise InputError(
            f"Column '{draft.column}' holds {n_infinite} infinite values.",
            "Clean them, or drop the column in the recipe.",
        )
    n_missing = int(np.isnan(values).sum())
    if n_missing and not accepts_missing:
        raise InputError(
            f"Column '{draft.column}' has {n_missing} missing values, "
            "and this estimator takes none.",
            f"Add the step 'impute: {{columns: [{draft.column}], strategy: median}}'.",
        )
