"""Fitting of the steps on numbers, and of filling; fitted values equal scikit-learn's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from local_stack.errors import InputError
from local_stack.preparation.categories import FillByGroup, OneHot
from local_stack.preparation.numbers import Bin, Clip, Fill, IsMissing, Power, Quantile, Scale
from local_stack.preparation.steps import (
    BinStep,
    ClipStep,
    ImputeStep,
    PowerStep,
    QuantileStep,
    ScaleStep,
    WinsoriseStep,
)
from local_stack.preparation.table import Draft, Table, by_group, check_new, grouped
from local_stack.preparation.values import Scalar, is_missing

if TYPE_CHECKING:
    import numpy as np


def impute(table: Table, step: ImputeStep) -> None:
    """Fill missing values."""
    chosen = table.select(step.columns)
    groups = [table.named(name) for name in step.by]
    for draft in chosen:
        if step.indicator:
            _indicate(table, draft)
        if groups:
            _impute_by_group(table, step, draft, groups)
        else:
            fill = _FILLS.get(draft.kind, _number_to_fill)(table, step, draft)
            table.note(draft, step.strategy, fill)
            table.change(draft, Fill((draft.name,), (draft.name,), fill))


def _indicate(table: Table, draft: Draft) -> None:
    if not is_missing(draft.stored, draft.values).any():
        return
    name = f"{draft.name}_missing"
    check_new(table, [name])
    (made,) = table.run(IsMissing((draft.name,), (name,)))
    table.add([_coded(made)])


def _coded(draft: Draft) -> Draft:
    """Return a column whose numbers are codes rather than measures."""
    return Draft(draft.name, draft.column, "encoded", draft.values)


def _number_to_fill(table: Table, step: ImputeStep, draft: Draft) -> float:
    present = draft.present
    if step.strategy == "constant":
        if not isinstance(step.value, int | float):
            raise _misfit(draft, "a number")
        return float(step.value)
    if not present.size:
        raise InputError(
            f"Every value of column '{draft.name}' is missing, so there is no {step.strategy}.",
            "Drop the column, or fill it with a constant.",
        )
    return _MIDDLES[step.strategy](present)


def _most_frequent(present: np.ndarray) -> float:
    import numpy as np

    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


def median(present: np.ndarray) -> float:
    """Return the median of numbers."""
    import numpy as np

    return float(np.median(present))


_MIDDLES: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda present: float(present.mean()),
    "median": median,
    "most_frequent": _most_frequent,
}


def _text_to_fill(table: Table, step: ImputeStep, draft: Draft) -> str:
    if step.strategy == "constant":
        if not isinstance(step.value, str):
            raise _misfit(draft, "a text")
        return step.value
    if step.strategy != "most_frequent":
        raise InputError(
            f"Column '{draft.name}' is text and has no {step.strategy}.",
            "Use most_frequent or constant.",
        )
    counts: dict[str, int] = {}
    for value in draft.values:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    if not counts:
        raise InputError(f"Every value of column '{draft.name}' is missing.", "Drop the column.")
    return min(counts, key=lambda word: (-counts[word], word))


def _moment_to_fill(table: Table, step: ImputeStep, draft: Draft) -> str:
    import numpy as np

    if step.strategy == "constant":
        try:
            moment = datetime.fromisoformat(str(step.value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None:
            raise _misfit(draft, "a date such as 2026-01-31")
        return moment.isoformat()
    if step.strategy != "most_frequent":
        raise InputError(
            f"Column '{draft.name}' is a date and has no {step.strategy} here.",
            "Use most_frequent or constant, or turn it into numbers first.",
        )
    moments = np.asarray(draft.values)
    values, counts = np.unique(moments[~np.isnat(moments)], return_counts=True)
    if not values.size:
        raise InputError(f"Every value of column '{draft.name}' is missing.", "Drop the column.")
    return str(values[counts.argmax()].item().isoformat())


_FILLS: dict[str, Callable[[Table, ImputeStep, Draft], Scalar]] = {
    "categorical": _text_to_fill,
    "date": _moment_to_fill,
}


def _misfit(draft: Draft, noun: str) -> InputError:
    return InputError(f"Column '{draft.name}' needs {noun} as the constant that fills it.")


def _impute_by_group(table: Table, step: ImputeStep, draft: Draft, by: list[Draft]) -> None:
    other = _number_to_fill(table, step, draft)
    groups, places = grouped(by)
    found = by_group(places, draft.numbers, len(groups), _MIDDLES[step.strategy])
    values = tuple(other if value is None else value for value in found)
    table.note(draft, f"{step.strategy} of other groups", other)
    table.note(draft, "groups", len(groups))
    reads = (draft.name, *(key.name for key in by))
    table.change(draft, FillByGroup(reads, (draft.name,), tuple(groups), values, other))


def scale(table: Table, step: ScaleStep) -> None:
    """Scale numbers."""
    for draft in table.select(step.columns):
        _scale(table, draft, step.method)


def _scale(table: Table, draft: Draft, method: str) -> None:
    present = draft.present
    if not present.size:
        return
    centre, size = _SCALES[method](present)
    table.note(draft, "centre", centre)
    table.note(draft, "scale", size)
    table.change(draft, Scale((draft.name,), (draft.name,), centre, size))


_EPSILON = 2.220446049250313e-16
_SMALLEST = 10 * _EPSILON
"""scikit-learn takes a smaller scale for none."""


def _standard(present: np.ndarray) -> tuple[float, float]:
    centre, size = float(present.mean()), float(present.std())
    # The bound below which scikit-learn takes the variance for rounding error.
    variance, error = size * size, present.size * centre * _EPSILON
    bound = present.size * _EPSILON * variance + error * error
    return centre, 1.0 if variance <= bound and math.isfinite(variance) else size


def _minmax(present: np.ndarray) -> tuple[float, float]:
    import numpy as np

    size = float(np.ptp(present))
    return float(present.min()), 1.0 if size < _SMALLEST else size


def _robust(present: np.ndarray) -> tuple[float, float]:
    import numpy as np

    low, centre, high = (float(q) for q in np.quantile(present, [0.25, 0.5, 0.75]))
    return centre, 1.0 if high - low < _SMALLEST else high - low


def _maxabs(present: np.ndarray) -> tuple[float, float]:
    import numpy as np

    size = float(np.abs(present).max())
    return 0.0, 1.0 if size < _SMALLEST else size


_SCALES: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
    "maxabs": _maxabs,
}


def power(table: Table, step: PowerStep) -> None:
    """Make numbers more normal."""
    for draft in table.select(step.columns):
        present = draft.present
        if not present.size:
            continue
        if step.method == "box-cox" and (present.min() <= 0 or present.min() == present.max()):
            raise InputError(
                f"Box-Cox needs different numbers above zero, and column '{draft.name}' holds "
                f"numbers from {present.min():g} to {present.max():g}.",
                "Use yeo-johnson.",
            )
        exponent = _exponent(step.method, draft)
        table.note(draft, "lambda", exponent)
        changed = table.change(draft, Power((draft.name,), (draft.name,), step.method, exponent))
        if step.standardize:
            _scale(table, changed, "standard")


def _exponent(method: str, draft: Draft) -> float:
    """Return the most likely exponent of the present numbers, as scikit-learn finds it."""
    import numpy as np
    from sklearn.preprocessing import PowerTransformer

    transformer = PowerTransformer(method, standardize=False)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of exponents tried on the way
            exponent = float(transformer.fit(draft.present.reshape(-1, 1)).lambdas_[0])
    except (ValueError, ArithmeticError, RuntimeError):
        exponent = math.nan
    if not math.isfinite(exponent):
        raise InputError(
            f"No power makes the numbers of column '{draft.name}' more normal.",
            "Scale them first, or use the step 'quantile'.",
        )
    return exponent


def quantile(table: Table, step: QuantileStep) -> None:
    """Replace numbers by their share."""
    import numpy as np

    for draft in table.select(step.columns):
        if not draft.present.size:
            continue
        shares = np.linspace(0, 1, max(1, min(step.n_quantiles, table.n_rows)))
        found = np.maximum.accumulate(np.quantile(draft.present, shares))
        table.note(draft, "quantiles", len(found))
        table.change(
            draft, Quantile((draft.name,), (draft.name,), tuple(found.tolist()), step.output)
        )


def clip(table: Table, step: ClipStep | WinsoriseStep) -> None:
    """Limit numbers."""
    import numpy as np

    is_fixed = isinstance(step, ClipStep) and step.by == "values"
    shares = [0.0 if step.lower is None else step.lower, 1.0 if step.upper is None else step.upper]
    for draft in table.select(step.columns):
        present = draft.present
        if is_fixed:
            lower, upper = step.lower, step.upper
        elif present.size:
            lower, upper = (float(q) for q in np.quantile(present, shares))
        else:
            continue
        for name, value in (("lower", lower), ("upper", upper)):
            if value is not None:
                table.note(draft, name, value)
        table.change(draft, Clip((draft.name,), (draft.name,), lower, upper))


def bins(table: Table, step: BinStep) -> None:
    """Turn numbers into bins."""
    for draft in table.select(step.columns):
        edges = _edges(step, draft.present)
        table.note(draft, "edges", ", ".join(f"{edge:g}" for edge in edges[:20]))
        operation = Bin((draft.name,), (draft.name,), edges)
        changed = table.change(draft, operation, kind="encoded")
        if step.form == "onehot":
            codes = tuple(range(len(edges) + 1))
            names = tuple(f"{draft.name}_{code}" for code in codes)
            made = table.run(OneHot((draft.name,), names, codes, has_rare=False))
            table.replace(changed, [_coded(one) for one in made])


def _edges(step: BinStep, present: np.ndarray) -> tuple[float, ...]:
    """Return the edges between bins: those inside, without the least and the greatest."""
    import numpy as np

    if step.method == "edges":
        return step.edges
    if not present.size or present.min() == present.max():
        return ()
    shares = np.linspace(0, 100, step.n_bins + 1)
    if step.method == "uniform":
        found = np.linspace(present.min(), present.max(), step.n_bins + 1)
    else:
        found = np.percentile(present, shares)
        found = found[np.ediff1d(found, to_begin=np.inf) > 1e-8]
    return tuple(found[1:-1].tolist())
