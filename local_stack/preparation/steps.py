"""The declared steps of a preparation, as plain values.

:mod:`local_stack.preparation.grammar` reads them from a recipe file, and
:func:`local_stack.preparation.fitting.fit_preparation` fits them to rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from local_stack.preparation.dates import PARTS, PERIODS
from local_stack.preparation.expressions import columns_of
from local_stack.preparation.numbers import OUTPUTS, POWERS
from local_stack.preparation.texts import KINDS, MEASURES
from local_stack.preparation.values import Scalar

__all__ = ["KINDS", "MEASURES", "OUTPUTS", "PARTS", "PERIODS", "POWERS", "FeatureStep"]

Columns: TypeAlias = "str | tuple[str, ...]"
SELECTORS = ("numeric", "categorical", "boolean", "date", "all")
"""Words for groups of columns in a step."""
STRATEGIES = ("median", "mean", "most_frequent", "constant")
FORMS = ("native", "onehot", "ordinal", "target", "frequency", "count", "hash")
METHODS = ("standard", "minmax", "robust", "maxabs")
BINNINGS = ("quantile", "uniform", "edges")
BIN_FORMS = ("ordinal", "onehot")
LIMITS = ("quantiles", "values")
KEEPS = ("first", "last", "none")
STATISTICS = ("mean", "median", "std", "count", "min", "max")


@dataclass(frozen=True, slots=True)
class CastStep:
    """Turn values into another type; what cannot be turned becomes missing.

    ``format`` says how dates are written (``%d.%m.%Y``); ISO 8601 when left out.
    """

    columns: Columns
    to: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class RenameStep:
    """Give columns other names: (old, new) of each."""

    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SelectStep:
    """Keep only these columns."""

    columns: Columns


@dataclass(frozen=True, slots=True)
class DropStep:
    """Leave columns out of the model."""

    columns: Columns


@dataclass(frozen=True, slots=True)
class FilterStep:
    """Learn only from rows for which an expression is true; when serving, nothing is left out."""

    where: str


@dataclass(frozen=True, slots=True)
class DeduplicateStep:
    """Learn from one of the rows that are equal in ``columns``, or with ``none`` from no such."""

    columns: Columns = "all"
    keep: str = "first"


@dataclass(frozen=True, slots=True)
class ImputeStep:
    """Fill missing values; ``constant`` takes ``value``.

    With ``by`` the mean or median is that of the row's group. ``indicator`` adds a column that
    says where values were missing, for columns that miss some in training.
    """

    columns: Columns
    strategy: str = "median"
    value: Scalar | None = None
    by: tuple[str, ...] = ()
    indicator: bool = False


@dataclass(frozen=True, slots=True)
class EncodeStep:
    """Turn categories into numbers.

    ``native`` is LightGBM's own way; ``onehot`` can put rare categories together
    (``min_frequency`` rows or share, ``max_categories`` columns); ``target`` is the smoothed
    mean of the target, out of fold on the rows learnt from; ``hash`` fills ``n_features``.
    """

    columns: Columns
    form: str
    min_frequency: float | None = None
    max_categories: int | None = None
    smooth: float | None = None
    folds: int | None = None
    n_features: int | None = None


@dataclass(frozen=True, slots=True)
class ScaleStep:
    """Scale numbers: ``standard``, ``minmax``, ``robust`` (median and quartiles), ``maxabs``."""

    columns: Columns
    method: str = "standard"


@dataclass(frozen=True, slots=True)
class PowerStep:
    """Make numbers more normal by a power that is fitted to them, then of variance 1."""

    columns: Columns
    method: str = "yeo-johnson"
    standardize: bool = True


@dataclass(frozen=True, slots=True)
class QuantileStep:
    """Replace numbers by their share in the training rows, or its normal score."""

    columns: Columns
    output: str = "uniform"
    n_quantiles: int = 1_000


@dataclass(frozen=True, slots=True)
class ClipStep:
    """Limit numbers to two quantiles (linear) of the training rows, or to two values."""

    columns: Columns
    lower: float | None = None
    upper: float | None = None
    by: str = "quantiles"


@dataclass(frozen=True, slots=True)
class WinsoriseStep:
    """Limit numbers to two quantiles (linear) of the training rows."""

    columns: Columns
    lower: float = 0.05
    upper: float = 0.95


@dataclass(frozen=True, slots=True)
class BinStep:
    """Turn numbers into bins: of equal counts, of equal widths, or between ``edges``."""

    columns: Columns
    method: str = "quantile"
    n_bins: int = 5
    edges: tuple[float, ...] = ()
    form: str = "ordinal"


@dataclass(frozen=True, slots=True)
class DatesStep:
    """Turn dates into numbers; ``cyclic`` parts become a sine and a cosine."""

    columns: Columns
    parts: tuple[str, ...] = ("year", "month", "day", "dayofweek", "elapsed_days")
    cyclic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RatioStep:
    """Add the first column divided by the second; by zero it is missing."""

    columns: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class DifferenceStep:
    """Add the first column minus the second: of numbers, or days between dates."""

    columns: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TextStep:
    """Add the number of characters and of words of texts."""

    columns: Columns
    measures: tuple[str, ...] = MEASURES


@dataclass(frozen=True, slots=True)
class TfidfStep:
    """Turn texts into the TF-IDF weights of their most frequent terms."""

    columns: Columns
    max_features: int = 100
    ngrams: tuple[int, ...] = (1, 1)
    min_df: int = 1


@dataclass(frozen=True, slots=True)
class GroupStep:
    """Add statistics of numbers over the training rows of the same group."""

    columns: Columns
    by: tuple[str, ...]
    statistics: tuple[str, ...] = ("mean",)


@dataclass(frozen=True, slots=True)
class ExpressionStep:
    """Add or replace columns: (name, expression in Polars' syntax) of each, in order."""

    expressions: tuple[tuple[str, str], ...]


FeatureStep: TypeAlias = (
    "CastStep | RenameStep | SelectStep | DropStep | FilterStep | DeduplicateStep | ImputeStep"
    "| EncodeStep | ScaleStep | PowerStep | QuantileStep | ClipStep | WinsoriseStep | BinStep"
    "| DatesStep | RatioStep | DifferenceStep | TextStep | TfidfStep | GroupStep | ExpressionStep"
)
_FIXED = (CastStep, RenameStep, SelectStep, DropStep, FilterStep, TextStep, ExpressionStep)


def fits_on(step: FeatureStep) -> str:
    """Return what a step learns from: ``nothing``, other ``rows``, or the ``target``."""
    if isinstance(step, EncodeStep):
        return {"target": "target", "hash": "nothing"}.get(step.form, "rows")
    if isinstance(step, DatesStep):
        return "rows" if "elapsed_days" in step.parts else "nothing"
    is_fixed = (
        isinstance(step, (*_FIXED, RatioStep, DifferenceStep))
        or (isinstance(step, ClipStep) and step.by == "values")
        or (isinstance(step, BinStep) and step.method == "edges")
        or (isinstance(step, ImputeStep) and step.strategy == "constant" and not step.indicator)
    )
    return "nothing" if is_fixed else "rows"


def named_columns(steps: Iterable[FeatureStep]) -> set[str]:
    """Return every column that a step names, made by a step before or not."""
    return {name for step in steps for name in _names(step)}


def _names(step: FeatureStep) -> Iterable[str]:
    if isinstance(step, RenameStep):
        return [old for old, _ in step.names]
    if isinstance(step, FilterStep):
        return columns_of(step.where)
    if isinstance(step, ExpressionStep):
        return [name for _, text in step.expressions for name in columns_of(text)]
    named = () if isinstance(step.columns, str) else step.columns
    return (*named, *step.by) if isinstance(step, ImputeStep | GroupStep) else named
