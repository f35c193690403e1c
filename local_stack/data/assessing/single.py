"""How much one column alone tells of the target: scores out of fold, from counts alone.

A column becomes at most 256 bins (quantiles of numbers, the most frequent texts) and one for
missing values. A row is predicted by the mean target of its bin in the other folds, so that a
column which only names the rows scores like chance. Every sum is of a (bin, fold) cell: one pass
over all rows, whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MOST_BINS = 256
LARGEST = 1e100
"""Numbers beyond it count as infinite: their squares cannot be added up."""
_FOLDS = 5
_SMOOTHING = 5.0
_SAMPLE = 100_000
_LEAST_ROWS = 30
_CHANCE = 1e-6
_USUAL = 0.8


@dataclass(frozen=True, slots=True)
class ColumnScore(Result):
    """What one column alone says of the target, over all rows.

    ``score`` is the out-of-fold ROC AUC (several classes: the mean of one against the rest) or
    R2 of a regression. ``missing_score`` is the same (in sample) of whether the value is missing,
    None where nothing is. ``determined`` is the share of rows in bins of at least 30 rows that
    all have one class which chance would not give them (None for a regression).
    """

    column: str
    score: float
    missing_score: float | None
    determined: float | None


def fold_numbers(n_rows: int, seed: int = 0) -> np.ndarray:
    """Return a fold for each row, int64 in [0, 5), seeded."""
    import numpy as np

    return np.random.default_rng(seed).permutation(n_rows) % _FOLDS


def bins(series: pl.Series, most: int = MOST_BINS) -> np.ndarray:
    """Return a bin number for each row, int64; 0 is missing; ``most`` is of numbers."""
    import numpy as np
    import polars as pl

    kind = series.dtype
    if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
        return _number_bins(numbers(series), most)
    texts = series.cast(pl.String).alias("text")
    counts = texts.drop_nulls().value_counts(name="n")
    frequent = counts.sort(["n", "text"], descending=[True, False]).head(MOST_BINS - 1)
    words = frequent["text"].to_list()
    if not words:
        return np.zeros(len(series), dtype=np.int64)
    found = texts.replace_strict(
        words, list(range(1, len(words) + 1)), default=MOST_BINS, return_dtype=pl.Int64
    )
    found = pl.select(pl.when(texts.is_null()).then(0).otherwise(found)).to_series()
    return found.to_numpy().astype(np.int64)


def numbers(series: pl.Series) -> np.ndarray:
    """Return numbers, truths or moments as float64 (n_rows,), NaN where missing or boundless."""
    import numpy as np
    import polars as pl

    if series.dtype.is_temporal():
        series = series.cast(pl.Datetime("us"), strict=False).cast(pl.Int64)
    found = series.cast(pl.Float64, strict=False).to_numpy().copy()
    found[~(np.abs(found) <= LARGEST)] = np.nan
    return found


def _number_bins(values: np.ndarray, most: int) -> np.ndarray:
    import numpy as np

    codes = np.zeros(values.size, dtype=np.int64)
    present = ~np.isnan(values)
    known = values[present]
    if not known.size:
        return codes
    sample = known
    if known.size > _SAMPLE:
        sample = np.random.default_rng(0).choice(known, _SAMPLE, replace=False)
    distinct = np.unique(sample)
    if distinct.size > most - 1:
        edges = np.unique(np.quantile(sample, np.linspace(0, 1, most - 1)[1:-1]))
    else:
        edges = (distinct[1:] + distinct[:-1]) / 2
    codes[present] = np.searchsorted(edges, known, side="right") + 1
    return codes


def classification_score(
    codes: np.ndarray, y: np.ndarray, n_classes: int, fold: np.ndarray
) -> float:
    """Return the out-of-fold ROC AUC of bins; several classes: the mean of one against the rest."""
    import numpy as np

    n_bins = int(codes.max()) + 1
    flat = (codes * _FOLDS + fold) * n_classes + y
    counts = np.bincount(flat, minlength=n_bins * _FOLDS * n_classes)
    cells = counts.reshape(n_bins, _FOLDS, n_classes).astype(np.float64)
    others = cells.sum(axis=1, keepdims=True) - cells
    outside = cells.sum(axis=(0, 1)) - cells.sum(axis=0)
    prior = outside / np.maximum(outside.sum(axis=1, keepdims=True), 1)
    n_others = others.sum(axis=2, keepdims=True)
    predicted = (others + _SMOOTHING * prior) / (n_others + _SMOOTHING)
    totals = cells.sum(axis=2)
    wanted = [1] if n_classes == 2 else range(n_classes)
    areas = [_area(predicted[:, :, k], cells[:, :, k], totals - cells[:, :, k]) for k in wanted]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else 0.5


def _area(score: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> float | None:
    """Return the ROC AUC of cells with a score and counts; ties count half."""
    import numpy as np

    n_positive, n_negative = positives.sum(), negatives.sum()
    if not n_positive or not n_negative:
        return None
    _, place = np.unique(score, return_inverse=True)
    place = place.reshape(-1)
    up = np.bincount(place, positives.reshape(-1))
    down = np.bincount(place, negatives.reshape(-1))
    below = np.cumsum(down) - down / 2
    return float((up * below).sum() / (n_positive * n_negative))


def regression_score(codes: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Return the out-of-fold R2 of bins, at least 0."""
    import numpy as np

    n_bins = int(codes.max()) + 1
    flat = codes * _FOLDS + fold
    centred = y - y.mean()
    shape = (n_bins, _FOLDS)
    counts = np.bincount(flat, minlength=n_bins * _FOLDS).reshape(shape).astype(np.float64)
    sums = np.bincount(flat, centred, minlength=n_bins * _FOLDS).reshape(shape)
    n_others = counts.sum(axis=1, keepdims=True) - counts
    other_sums = sums.sum(axis=1, keepdims=True) - sums
    outside = (sums.sum() - sums.sum(axis=0)) / np.maximum(counts.sum() - counts.sum(axis=0), 1)
    predicted = (other_sums + _SMOOTHING * outside) / (n_others + _SMOOTHING)
    total = float((centred**2).sum())
    residual = total + float((counts * predicted**2 - 2 * predicted * sums).sum())
    return max(0.0, 1 - residual / total) if total else 0.0


def missing_score(is_missing: np.ndarray, y: np.ndarray, n_classes: int) -> float | None:
    """Return what the absence of a value says: the best class's ROC AUC, or R2 (0 classes)."""
    import numpy as np

    n_missing = int(is_missing.sum())
    if min(n_missing, is_missing.size - n_missing) < _LEAST_ROWS:
        return None
    if not n_classes:
        share = n_missing / is_missing.size
        gap = float(y[is_missing].mean() - y[~is_missing].mean())
        return share * (1 - share) * gap**2 / float(y.var()) if y.var() else None
    inside = np.bincount(y[is_missing], minlength=n_classes).astype(np.float64)
    totals = np.bincount(y, minlength=n_classes).astype(np.float64)
    rates = inside / np.maximum(totals, 1)
    others = (n_missing - inside) / np.maximum(y.size - totals, 1)
    return float(0.5 + 0.5 * np.abs(rates - others).max())


def determined_share(codes: np.ndarray, y: np.ndarray, n_classes: int) -> tuple[float, np.ndarray]:
    """Return the share of rows in bins of one class against all odds, and those bins' numbers.

    A bin counts when all its n >= 30 rows have one class of share p, and p**n times the number of
    bins is below one in a million. A class of more than 80 % of the rows does not count: it is
    what nothing happening looks like.
    """
    import numpy as np

    n_bins = int(codes.max()) + 1
    counts = np.bincount(codes * n_classes + y, minlength=n_bins * n_classes)
    cells = counts.reshape(n_bins, n_classes)
    totals = cells.sum(axis=1)
    shares = np.maximum(np.bincount(y, minlength=n_classes) / y.size, 1e-300)
    odds = totals[:, None] * np.log(shares)[None, :] + np.log(n_bins)
    is_pure = (cells == totals[:, None]) & (totals[:, None] >= _LEAST_ROWS)
    is_pure &= odds < np.log(_CHANCE)
    is_pure &= shares[None, :] <= _USUAL
    chosen = np.flatnonzero(is_pure.any(axis=1))
    return float(totals[chosen].sum() / y.size), chosen


def score_column(
    series: pl.Series, y: np.ndarray, n_classes: int, fold: np.ndarray, most: int = MOST_BINS
) -> ColumnScore:
    """Return what a column alone says of the target; ``n_classes`` is 0 for a regression.

    Fewer bins, ``most`` of them, tell more of a number where there are few rows.
    """
    codes = bins(series, most)
    absent = missing_score(codes == 0, y, n_classes)
    if not n_classes:
        return ColumnScore(series.name, regression_score(codes, y, fold), absent, None)
    share, _ = determined_share(codes, y, n_classes)
    return ColumnScore(series.name, classification_score(codes, y, n_classes, fold), absent, share)
