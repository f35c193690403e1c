"""What an explanation of a whole model is made of: frozen, plain values, as files hold them.

Columns stand under the names that SHAP values have (:func:`column_groups`): raw columns, and
features that are made of several of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from local_stack.results import Result

Value: TypeAlias = "float | str | None"
"""A value of a column: a number, the text of a category, a date or a time; None is missing."""
NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"
DATE: Final = "date"
KINDS: Final = (NUMERIC, CATEGORICAL, DATE)
"""What the values of a column are: numbers, texts (truth values too), ISO 8601 texts."""


@dataclass(frozen=True, slots=True)
class FeatureImportance(Result):
    """Mean absolute SHAP value of a feature over the explained rows, in the unit of the result.

    With many classes it is the sum of what it is for each of them, ``by_class`` in the order of
    the result's ``outputs``; that is empty for one output.
    """

    feature: str
    mean_abs_shap: float
    by_class: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Background(Result):
    """Which rows stand for a column that is absent, how many, and how they were chosen."""

    data_version: str
    n_rows: int
    how: str


@dataclass(frozen=True, slots=True)
class Permuted(Result):
    """By how much the metric gets worse when a raw column is shuffled: mean and 95 % interval."""

    column: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Permutation(Result):
    """Permutation importance, the largest first.

    ``score`` is the ``metric`` before anything is shuffled. ``rows`` is ``test`` for rows that the
    model did not learn from, ``all`` where there are none; ``interval`` says in words what the
    intervals cover.
    """

    metric: str
    score: float
    rows: str
    n_rows: int
    repeats: int
    interval: str
    columns: tuple[Permuted, ...]


@dataclass(frozen=True, slots=True)
class Partial(Result):
    """Partial dependence on a raw column, and individual conditional expectation (ICE).

    ``mean`` (one for each value of ``grid``) is the mean prediction of ``n_rows`` rows when all
    of them have that value, of ``output`` in ``unit``; each of ``ice`` (at most 50) is the line
    of one row.
    """

    column: str
    kind: str
    grid: tuple[Value, ...]
    mean: tuple[float, ...]
    ice: tuple[tuple[float, ...], ...]
    output: str
    unit: str
    n_rows: int


@dataclass(frozen=True, slots=True)
class Strength(Result):
    """What share in [0, 1] of the spread that a column's value leaves another one explains."""

    column: str
    share: float


@dataclass(frozen=True, slots=True)
class Dependence(Result):
    """The values of a column against their SHAP values, one pair for each of ``n_rows`` rows.

    ``colour`` is the column that explains best what the value alone leaves of the SHAP values,
    None where none does, and ``why`` says so in a sentence; ``colour_values`` are its values of
    the same rows (empty without one). ``strengths`` are the columns that were weighed, the
    strongest first.
    """

    column: str
    kind: str
    values: tuple[Value, ...]
    shap: tuple[float, ...]
    colour: str | None
    colour_kind: str
    colour_values: tuple[Value, ...]
    why: str
    strengths: tuple[Strength, ...]
    n_rows: int


@dataclass(frozen=True, slots=True)
class Interactions(Result):
    """Mean absolute SHAP interaction values of ``n_rows`` rows.

    ``matrix`` is square and symmetric in the order of ``columns`` (the most important ones);
    the diagonal holds the main effects, with what a column adds together with those left out.
    """

    columns: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    unit: str
    method: str
    n_rows: int


@dataclass(frozen=True, slots=True)
class Leaf(Result):
    """A leaf of a surrogate: all ``conditions`` hold; ``share`` of rows; what is predicted."""

    conditions: tuple[str, ...]
    prediction: str
    share: float


@dataclass(frozen=True, slots=True)
class Surrogate(Result):
    """A small decision tree of raw columns that was fitted to what the model predicts.

    ``fidelity`` is ``measure`` (``R2``, or ``agreement``: the share of rows with the same class)
    on ``n_rows_test`` rows that the tree did not see; ``baseline`` is the same of always giving
    the mean or the most frequent class. ``rules`` is the tree as lines of text.
    """

    rules: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    measure: str
    fidelity: float
    baseline: float
    depth: int
    n_rows_train: int
    n_rows_test: int


@dataclass(frozen=True, slots=True)
class Beeswarm(Result):
    """SHAP values of ``n_rows`` rows for each of ``columns``, the most important first.

    ``shap`` and ``scaled`` hold one tuple (n_rows,) for each column. ``scaled`` is the value of
    the column, 0 at its 5th and 1 at its 95th percentile of these rows; None where it is missing
    or of a category.
    """

    columns: tuple[str, ...]
    shap: tuple[tuple[float, ...], ...]
    scaled: tuple[tuple[float | None, ...], ...]
    n_rows: int


@dataclass(frozen=True, slots=True)
class Finding(Result):
    """A column that does not help, with a sentence.

    ``code`` is ``constant`` (one value only), ``unused`` (no feature or no split has it),
    ``harmful`` (without it the metric is better) or ``unhelpful`` (the metric does not notice
    when it is shuffled, and its SHAP values are negligible).
    """

    column: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelExplanation(Result):
    """Why a model predicts what it does, over ``n_rows`` of ``n_total`` rows of its data.

    ``base_value`` is the expected prediction; base value plus a row's SHAP values is its raw
    prediction, up to ``additivity_error`` (the largest absolute difference seen). ``outputs`` are
    the target, the second of two classes or all of many, with their ``base_values``; ``output``
    is the one that ``base_value`` and what is drawn are of. ``base_probability`` is what the model
    predicts at a base value that is no prediction itself, as log-odds are none (None elsewhere).
    The importance is summed over ``n_summed`` outputs.
    ``method`` says how the values were computed, ``standard_error`` is the largest one of a
    sampled explainer (None: exact).
    Parts that could not be made are None, and ``notes`` says why in sentences.
    """

    run_id: str
    data_version: str
    n_rows: int
    n_total: int
    is_sample: bool
    unit: str
    method: str
    base_value: float
    importance: tuple[FeatureImportance, ...]
    additivity_error: float
    artifacts: tuple[str, ...]
    target: str = ""
    estimator: str = ""
    outputs: tuple[str, ...] = ()
    output: str = ""
    base_values: tuple[float, ...] = ()
    base_probability: float | None = None
    n_summed: int = 1
    standard_error: float | None = None
    background: Background | None = None
    permutation: Permutation | None = None
    interactions: Interactions | None = None
    surrogate: Surrogate | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained(Result):
    """An explanation with all that is drawn of it: what ``explain/explanation.json`` holds.

    ``dependences`` are in the order of the importance, ``partials`` in that of the raw columns'.
    """

    explanation: ModelExplanation
    beeswarm: Beeswarm
    dependences: tuple[Dependence, ...]
    partials: tuple[Partial, ...]
    format: int = 1
