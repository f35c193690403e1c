"""What a model's scores of a group differ by, and which columns they owe it to.

The SHAP gap of a column is its mean SHAP value in the group minus that in all other rows. As
SHAP values add up to scores, the gaps of all columns add up to the difference of mean scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from local_stack.explain.attributing.attributions import PROBABILITY, Attributions
from local_stack.explain.groups.metrics import LEVEL
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np

    from local_stack.explain.groups.grouping import Grouping

FEWEST_ROWS: Final = 20
"""Explained rows of a group, and of the others, below which no gap is told."""
FEWEST_EFFECTIVE: Final = 2.0
"""Kish's effective rows of either, below which a gap has no interval: one row has no spread."""


@dataclass(frozen=True, slots=True)
class ColumnGap(Result):
    """By how much a column lifts the scores of a group; ``low`` and ``high`` by Welch, 95 %.

    They are None where weights leave less than two (effective) rows of the group or of the others.
    """

    feature: str
    gap: float
    low: float | None
    high: float | None
    is_significant: bool


@dataclass(frozen=True, slots=True)
class GroupGap(Result):
    """A group's mean score minus that of the other rows, and what each column adds to it.

    ``columns`` are ordered by size and sum to ``difference`` up to ``additivity_error``.
    """

    group: str
    n_rows: int
    n_others: int
    mean_score: float
    difference: float
    low: float | None
    high: float | None
    columns: tuple[ColumnGap, ...]
    additivity_error: float


@dataclass(frozen=True, slots=True)
class ShapGaps(Result):
    """The gaps of every group that is large enough, in ``unit``, over ``n_rows`` rows."""

    unit: str
    method: str
    n_rows: int
    is_sample: bool
    groups: tuple[GroupGap, ...]


def of_class(found: Attributions, place: int, n_classes: int) -> Attributions:
    """Return the SHAP values of one class as the single output.

    Of two classes the values of the first are those of the second with the other sign.
    """
    if n_classes > 2:
        return found.of_output(place)
    if n_classes < 2 or place == 1:
        return found
    whole = 1.0 if found.unit == PROBABILITY else 0.0
    return replace(found, values=-found.values, base=whole - found.base, raw=whole - found.raw)


def shap_gaps(
    shap: Attributions,
    grouping: Grouping,
    weights: np.ndarray | None,
    *,
    min_rows: int,
    n_total: int,
) -> ShapGaps:
    """Return the gaps of the groups of explained rows.

    Parameters
    ----------
    shap
        Values of one output, of the rows of ``grouping``.
    weights
        Of these rows, or None.
    min_rows
        A group that has fewer rows among all rows is left out, as is one of fewer than 20 here.
    n_total
        All rows that these are a sample of.
    """
    import numpy as np

    counts = np.bincount(grouping.codes, minlength=len(grouping.names))
    share = len(grouping.codes) / n_total if n_total else 1.0
    fewest = max(FEWEST_ROWS, min_rows * share * 0.5)
    groups = [
        _gap_of(shap, grouping.codes == place, weights, name)
        for place, name in enumerate(grouping.names)
        if counts[place] >= fewest and len(grouping.codes) - counts[place] >= FEWEST_ROWS
    ]
    return ShapGaps(
        unit=shap.unit,
        method=shap.method,
        n_rows=shap.n_rows,
        is_sample=shap.n_rows < n_total,
        groups=tuple(groups),
    )


def _gap_of(
    shap: Attributions, inside: np.ndarray, weights: np.ndarray | None, name: str
) -> GroupGap:
    import numpy as np

    table = np.column_stack([shap.raw[:, 0], shap.values[:, :, 0]])
    w = np.ones(len(table)) if weights is None or not weights.any() else weights
    mine, others = _moments(table[inside], w[inside]), _moments(table[~inside], w[~inside])
    gap, low, high = _welch(mine, others)
    columns = [
        ColumnGap(feature, float(g), _known(a), _known(b), bool(a > 0 or b < 0))
        for feature, g, a, b in zip(shap.columns, gap[1:], low[1:], high[1:], strict=True)
    ]
    columns.sort(key=lambda it: (-abs(it.gap), it.feature))
    return GroupGap(
        group=name,
        n_rows=int(inside.sum()),
        n_others=int((~inside).sum()),
        mean_score=float(mine[0][0]),
        difference=float(gap[0]),
        low=_known(low[0]),
        high=_known(high[0]),
        columns=tuple(columns),
        additivity_error=abs(float(gap[0] - gap[1:].sum())),
    )


def _known(end: float) -> float | None:
    return None if end != end else float(end)


def _moments(table: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return weighted means, variances of these means, and the effective number of rows."""
    import numpy as np

    total = weights.sum()
    if not total:
        return table.mean(axis=0), np.full(table.shape[1], np.nan), 0.0
    share = weights / total
    mean = share @ table
    n = 1.0 / float((share**2).sum())
    spread = share @ (table - mean) ** 2
    return mean, spread / max(n - 1, 1e-9), n


def _welch(
    mine: tuple[np.ndarray, np.ndarray, float], others: tuple[np.ndarray, np.ndarray, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import numpy as np
    from scipy.special import stdtrit

    gap, a, b = mine[0] - others[0], mine[1], others[1]
    if min(mine[2], others[2]) < FEWEST_EFFECTIVE:
        unknown = np.full(len(gap), np.nan)
        return gap, unknown, unknown
    with np.errstate(divide="ignore", invalid="ignore"):
        below = a**2 / max(mine[2] - 1, 1e-9) + b**2 / max(others[2] - 1, 1e-9)
        freedom = np.where(below > 0, (a + b) ** 2 / below, np.inf)
    half = stdtrit(np.minimum(freedom, 1e12), (1 + LEVEL) / 2) * np.sqrt(a + b)
    return gap, gap - half, gap + half
