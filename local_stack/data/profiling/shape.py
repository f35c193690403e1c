"""What a profile says: plain results, from the whole table down to one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_stack.errors import InputError, nearest
from local_stack.results import Result


@dataclass(frozen=True, slots=True)
class ValueCount(Result):
    """A value and the number of rows that hold it."""

    value: bool | int | float | str
    count: int


@dataclass(frozen=True, slots=True)
class Histogram(Result):
    """Bins ``[edges[i], edges[i + 1])``, the last one closed; one point when edges are equal.

    ``is_whole``: every value is a whole number, and so is every edge, so that all bins hold the
    same number of whole numbers; the last edge lies beyond the largest value.
    """

    edges: tuple[int | float | str, ...]
    counts: tuple[int, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class NumberStatistics(Result):
    """Statistics over the finite values; infinities count in ``n_infinite`` and ``n_negative``.

    ``std`` and ``variance`` have n - 1 below the line, quantiles are linear, ``skewness`` and
    ``kurtosis`` are bias-corrected (G1 and excess G2, Joanes and Gill 1998, as pandas) and
    None for a constant, ``mad`` is the median distance from the median. ``cv`` is std / mean.
    ``monotonicity`` is of the values in the order of their rows: "increasing", "decreasing",
    both of them with "strictly ", or None. ``smallest`` and ``largest`` list the extreme values
    from the outside in. ``n_outliers`` counts values beyond Tukey's fences, 1.5 times the
    interquartile range below the first and above the third quartile.
    """

    mean: float | None
    std: float | None
    variance: float | None
    min: int | float | None
    q05: float | None
    q25: float | None
    median: float | None
    q75: float | None
    q95: float | None
    max: int | float | None
    sum: int | float | None
    skewness: float | None
    kurtosis: float | None
    mad: float | None
    n_zeros: int
    n_negative: int
    n_infinite: int
    histogram: Histogram | None
    range: float | None = None
    iqr: float | None = None
    cv: float | None = None
    monotonicity: str | None = None
    n_outliers: int = 0
    smallest: tuple[ValueCount, ...] = ()
    largest: tuple[ValueCount, ...] = ()


@dataclass(frozen=True, slots=True)
class Lengths(Result):
    """Lengths of text, in characters (Unicode code points)."""

    min: int
    mean: float
    median: float
    max: int
    histogram: Histogram | None = None


@dataclass(frozen=True, slots=True)
class TextPart(Result):
    """A part that all texts of one form have, such as the host of a URL, and its values."""

    name: str
    values: tuple[ValueCount, ...]


@dataclass(frozen=True, slots=True)
class CharacterGroup(Result):
    """Characters that Unicode puts together, the most frequent ones listed.

    ``name`` is of a general category (``Lowercase letter``), a script (``Latin``) or a block
    (``Basic Latin``), ``count`` the number of its characters in the texts, ``n_distinct`` of
    different ones.
    """

    name: str
    count: int
    n_distinct: int
    characters: tuple[ValueCount, ...]


@dataclass(frozen=True, slots=True)
class TextStatistics(Result):
    """What the texts of a column are made of, each text counted as often as it occurs.

    ``categories`` are Unicode general categories, ``scripts`` and ``blocks`` Unicode's of every
    character (``Common`` is the script of what many scripts share, such as digits); there are
    ``n_categories``, ``n_scripts`` and ``n_blocks`` of them, the most frequent listed, with
    their own characters in ``by_category``, ``by_script`` and ``by_block``. ``words`` are runs
    of non-space characters in lower case without the punctuation at their ends. ``n_texts`` is
    the number of values that all this was counted over: fewer than the column's when
    ``is_sample``. ``form`` is "url" or "path" when nearly all texts are one, and ``parts``
    counts what they consist of.
    """

    n_characters: int
    n_distinct_characters: int
    n_words: int
    characters: tuple[ValueCount, ...]
    categories: tuple[ValueCount, ...]
    scripts: tuple[ValueCount, ...]
    words: tuple[ValueCount, ...]
    n_texts: int
    is_sample: bool = False
    n_empty: int = 0
    n_padded: int = 0
    form: str | None = None
    parts: tuple[TextPart, ...] = ()
    blocks: tuple[ValueCount, ...] = ()
    n_categories: int = 0
    n_scripts: int = 0
    n_blocks: int = 0
    by_category: tuple[CharacterGroup, ...] = ()
    by_script: tuple[CharacterGroup, ...] = ()
    by_block: tuple[CharacterGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class DateStatistics(Result):
    """First and last moment in ISO 8601, and how the values lie between them.

    ``step_days`` is the median distance between neighbouring moments, ``largest_gap_days`` the
    largest, which begins ``largest_gap_at``.
    """

    min: str | None
    max: str | None
    histogram: Histogram | None
    range_days: float | None = None
    n_future: int = 0
    monotonicity: str | None = None
    step_days: float | None = None
    largest_gap_days: float | None = None
    largest_gap_at: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesStatistics(Result):
    """A number in the order of a time column.

    ``autocorrelation`` is of lags 1, 2, ... (biased estimator, as statsmodels' ``acf``), and
    ``partial_autocorrelation`` is what each adds to the lags before it (Levinson and Durbin).
    ``adf_statistic`` and ``adf_p_value`` test for a unit root (augmented Dickey-Fuller with a
    constant); None where it is not defined. ``season`` is the lag of the strongest repetition.
    """

    autocorrelation: tuple[float | None, ...]
    adf_statistic: float | None
    adf_p_value: float | None
    is_stationary: bool | None
    season: int | None
    points: tuple[float | None, ...]
    partial_autocorrelation: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableProfile(Result):
    """What is known of one column. ``to_dict`` puts the statistics of its type on top level.

    ``n_unique`` counts the values that occur once. ``p_distinct`` and ``p_unique`` are shares of
    the rows that hold a value.
    """

    name: str
    type: str
    kind: str
    n_missing: int
    p_missing: float
    n_distinct: int
    memory_bytes: int
    top_values: tuple[ValueCount, ...]
    p_distinct: float = 0.0
    n_unique: int = 0
    p_unique: float = 0.0
    numbers: NumberStatistics | None = None
    lengths: Lengths | None = None
    text: TextStatistics | None = None
    dates: DateStatistics | None = None
    series: SeriesStatistics | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of one entry of ``variables``."""
        values = Result.to_dict(self)
        parts = ("numbers", "lengths", "text", "dates", "series")
        own = {key: value for key, value in values.items() if key not in ("name", *parts)}
        kept = {part: values[part] for part in ("lengths", "text", "series") if values[part]}
        return {**own, **kept, **(values["numbers"] or {}), **(values["dates"] or {})}


@dataclass(frozen=True, slots=True)
class Matrix(Result):
    """A symmetric matrix; None where a correlation is not defined (a constant, no pairs)."""

    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    left_out: tuple[str, ...] = ()

    def pairs(self) -> Iterator[tuple[str, str, float]]:
        """Yield each pair of different columns that has a value."""
        for i, name in enumerate(self.columns):
            for j in range(i):
                value = self.values[i][j]
                if value is not None:
                    yield self.columns[j], name, value


@dataclass(frozen=True, slots=True)
class Correlations(Result):
    """Pearson, Spearman and (on request) Kendall's tau-b of numbers, and what mixes types.

    ``cramers_v`` is bias-corrected (Bergsma 2013, "A bias-correction for Cramer's V and
    Tschuprow's T"), without a continuity correction, in [0, 1]. ``mixed`` has every column that
    is a number or a category: Spearman's absolute value of two numbers, Cramer's V of two
    categories, and of one of each the correlation ratio (eta, bias-corrected, Kelley 1935): the
    root of the share of the number's variance that lies between the categories. ``kendall_rows``
    says how many rows Kendall's tau was taken over.
    """

    pearson: Matrix
    spearman: Matrix
    cramers_v: Matrix
    cramers_v_convention: str = "bias-corrected (Bergsma 2013), no continuity correction"
    mixed: Matrix = Matrix((), ())
    kendall: Matrix | None = None
    kendall_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Overview(Result):
    """The table as a whole. ``n_duplicate_rows`` counts repeats beyond the first."""

    n_rows: int
    n_columns: int
    n_missing: int
    p_missing: float
    n_duplicate_rows: int
    p_duplicate_rows: float
    memory_bytes: int
    types: Mapping[str, int]
    record_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Missing(Result):
    """Where values are missing.

    ``matrix`` cuts the rows, in their order, into ``len(matrix)`` blocks of ``block_rows`` rows
    (the last may be shorter) and gives the share of missing values of every column in each.
    ``nullity`` is the Pearson correlation of "is missing" of the columns that have both.
    ``patterns`` are the most frequent sets of columns that are missing together, with the number
    of rows; a row with nothing missing has the empty set.
    """

    columns: tuple[str, ...] = ()
    block_rows: int = 0
    matrix: tuple[tuple[float, ...], ...] = ()
    nullity: Matrix = Matrix((), ())
    patterns: tuple[MissingPattern, ...] = ()
    n_complete_rows: int = 0


@dataclass(frozen=True, slots=True)
class MissingPattern(Result):
    """Columns that are missing together in ``count`` rows, and in no other columns there."""

    columns: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Interaction(Result):
    """How two numbers lie together: rows in each cell of a grid, ``counts[y][x]``.

    The edges span the half percent to the 99.5 percent quantile; what lies outside counts in the
    cells at the border. ``n_rows`` rows that hold both were looked at, a seeded sample of the
    table where it has more than ``interactions.MAX_ROWS``.
    """

    x: str
    y: str
    x_edges: tuple[float, ...]
    y_edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    n_rows: int = 0


@dataclass(frozen=True, slots=True)
class Points(Result):
    """Numbers of a few seeded random rows, to be drawn as points.

    ``values[i][j]`` is what column ``i`` of ``columns`` holds in row ``numbers[j]`` (from 0),
    None where that is no finite number.
    """

    columns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    values: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Rows(Result):
    """Some rows as text, None where a value is missing; ``numbers`` are row numbers from 0."""

    columns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateRows(Result):
    """The rows that occur most often, with how often (``counts``)."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert(Result):
    """A finding that passed its threshold. ``column`` is None when it is of the whole table.

    ``values`` are the values behind it with their counts, ``rows`` some of its rows (from 0).
    ``columns`` names all the columns of a finding about a set of them.
    """

    code: str
    column: str | None
    value: float | int
    threshold: float | int
    message: str
    other_column: str | None = None
    method: str | None = None
    values: tuple[ValueCount, ...] = ()
    rows: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str | None, ...]:
        """Return what makes it the same alert in another version."""
        return self.code, self.column, self.other_column, *self.columns


@dataclass(frozen=True, slots=True)
class AlertChanges(Result):
    """The alerts beside those of the version before (None: there is none to compare with)."""

    previous: str | None = None
    new: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    n_same: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds(Result):
    """Where a finding becomes an alert: above the number, or from it on where "or more" stands.

    Shares (``p_``) are of rows, ``p_imbalance`` of rows that hold a value. ``skewness`` and
    ``correlation`` are absolute values.
    """

    p_missing: float = 0.05
    p_zeros: float = 0.10
    skewness: float = 2.0
    n_categories: int = 50
    p_imbalance: float = 0.90  # or more
    correlation: float = 0.90  # or more
    n_infinite: int = 0
    n_duplicate_rows: int = 0
    leakage: float = 0.95  # or more: what one column alone tells of the target, in [0, 1]
    p_dependency: float = 1.0  # or more: share of rows that keep a functional dependency
    p_personal: float = 0.50  # or more: share of texts that look like personal data
    p_sentinel: float = 0.0001  # or more
    missingness_p_value: float = 0.001  # below it, after Bonferroni's correction
    outlier_score: float = 10.0  # or more: robust distances from the median
    leakage_suspect: float = 0.60  # or more
    p_personal_within: float = 0.01  # or more: share of longer texts that hold personal data
    p_heaped: float = 0.001  # or more: share of values at their own minimum or maximum
    p_null_spellings: float = 0.0
    p_padded: float = 0.0
    p_odd_texts: float = 0.0  # share of texts with control characters, markup and the like
    p_convertible: float = 0.90  # or more: share of texts that read as numbers, or as dates
    p_mixed: float = 0.10  # or more: share of texts of the lesser of two kinds
    p_outliers: float = 0.10
    n_similar: int = 0  # texts that look like another one
    n_rare: int = 10  # a category with fewer rows is too small to learn from and to test on


@dataclass(frozen=True, slots=True)
class DatasetProfile(Result):
    """Statistics of a table. The caller fills ``changes`` and ``reproduction``."""

    overview: Overview
    variables: tuple[VariableProfile, ...]
    correlations: Correlations
    alerts: tuple[Alert, ...]
    thresholds: Thresholds
    target: str | None = None
    missing: Missing = Missing()
    interactions: tuple[Interaction, ...] = ()
    duplicates: DuplicateRows = DuplicateRows()
    sample: Rows = Rows()
    changes: AlertChanges = AlertChanges()
    reproduction: Mapping[str, Any] = field(default_factory=dict)
    points: Points = Points()

    def variable(self, name: str) -> VariableProfile:
        """Return the profile of a column; raise :class:`InputError` when there is none."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        names = [variable.name for variable in self.variables]
        raise InputError(f"The profile has no column '{name}'.", nearest(name, names))

    def _repr_html_(self) -> str:
        """Return the page of the profile in a frame, as notebooks show it."""
        from local_stack.data.profiling.page import framed

        return framed(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the ``result`` of ``data profile``, with variables by name."""
        values = Result.to_dict(self)
        values["variables"] = {variable.name: variable.to_dict() for variable in self.variables}
        return values
