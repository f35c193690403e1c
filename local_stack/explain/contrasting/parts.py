"""What a comparison of two explanations, A and B, is made of.

Every difference is B minus A. ``low`` and ``high`` are 95 percent bootstrap intervals over the
rows, None where one side has fewer than 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_stack.results import Result


@dataclass(frozen=True, slots=True)
class ComparedSide(Result):
    """One side: which model on which rows. ``n_rows`` of ``n_total`` were explained."""

    label: str
    run_id: str
    data: str
    n_rows: int
    n_total: int


@dataclass(frozen=True, slots=True)
class OutcomeChange(Result):
    """What the model says on average, in one measure: a unit, or the share of decisions.

    ``difference`` is ``base_difference`` plus what all columns add in this measure plus
    ``threshold_difference`` plus ``residual``; base and residual are None where no way divides
    the measure into columns. ``threshold_a`` and ``threshold_b`` are the probabilities from which
    on the output is decided for, None for all measures but such decisions. Where they differ the
    parts are means over two orders: first the threshold changes and then what the models say, and
    the other way around.
    """

    measure: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    base_difference: float | None
    threshold_a: float | None
    threshold_b: float | None
    threshold_difference: float
    residual: float | None


@dataclass(frozen=True, slots=True)
class ValueShift(Result):
    """Values of a column: their share of the rows, and their mean SHAP value (None: no row).

    ``moved`` is what the change of the share adds to the difference, measured from the mean of
    the column: the sum over all values is that of the column.
    """

    value: str
    share_a: float
    share_b: float
    shap_a: float | None
    shap_b: float | None
    moved: float


@dataclass(frozen=True, slots=True)
class ColumnChange(Result):
    """What a column adds to the difference: that of its mean SHAP values ``a`` and ``b``.

    ``moved`` plus ``rest`` is ``difference`` (Kitagawa 1955): what its changed values make at the
    same SHAP values, and what the same values add otherwise than before, since that depends on
    the other columns (of numbers in tenths also what moved inside a tenth); both None for two
    models on the same rows. ``values`` are those that moved most.
    ``by_measure`` tells the difference in every measure of the outcomes.

    Ranks (1: most important by mean |SHAP|) are None where the model lacks the column;
    ``correlation`` is that of the SHAP values of two models on the same rows.
    """

    feature: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    moved: float | None
    rest: float | None
    values: tuple[ValueShift, ...]
    by_measure: dict[str, float]
    importance_a: float
    importance_b: float
    rank_a: int | None
    rank_b: int | None
    rank_change: int | None
    rank_low: float | None
    rank_high: float | None
    correlation: float | None


@dataclass(frozen=True, slots=True)
class RowContrast(Result):
    """A row that two models explain differently: ``distance`` is the sum of |SHAP B - SHAP A|.

    ``index`` is its number in the data version; ``columns`` are those that differ most, each with
    ``feature``, ``value``, ``a`` and ``b``.
    """

    index: int
    distance: float
    prediction_a: Any
    prediction_b: Any
    score_a: float
    score_b: float
    columns: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Comparison(Result):
    """Two explanations compared: ``kind`` is models, data, windows or groups.

    ``outcome_a`` and ``outcome_b`` are mean predictions in ``unit``, of ``output``; their
    ``difference`` is ``base_difference`` plus the differences of all columns plus ``residual``
    (the additivity errors of the SHAP values); each of the ``outcomes`` tells of its own measure.
    ``columns`` are ordered by the size of theirs.
    """

    kind: str
    a: ComparedSide
    b: ComparedSide
    output: str
    unit: str
    method: str
    outcome_a: float
    outcome_b: float
    difference: float
    low: float | None
    high: float | None
    base_difference: float
    residual: float
    outcomes: tuple[OutcomeChange, ...]
    columns: tuple[ColumnChange, ...]
    rows: tuple[RowContrast, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
