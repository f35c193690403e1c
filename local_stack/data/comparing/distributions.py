"""How far the distribution of a column moved between two tables, computed exactly in DuckDB.

Missing values are counted, and left out of every distribution. Nothing is sampled or binned:
each side is grouped by value, and the groups are walked in order.

=============  ==================================================================================
values         scores (``drift`` is the first one, between 0 and 1)
=============  ==================================================================================
number, time   Kolmogorov-Smirnov statistic and its asymptotic p-value; Wasserstein-1 distance in
               the column's unit (days of dates, seconds of times), and divided by the standard
               deviation before
text, boolean  total variation distance (the share of values that moved); Jensen-Shannon distance
               (natural logarithm, as SciPy); how many values are new and gone, and the five that
               moved most
=============  ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_stack.results import Result

Runner = Callable[[str], list[tuple[Any, ...]]]
"""Runs one SQL statement and returns its rows."""

_N_MOVERS = 5
_SHOWN = 200  # characters of a text that is shown
_METHODS = {True: "total_variation", False: "kolmogorov_smirnov"}

_ONE = "1267650600228229401496703205376"  # 2^100
"""Fixed point of sums: integers add up to the same in every order, so results repeat."""

_COUNTED = """
    SELECT v, sum(p)::BIGINT AS p, sum(q)::BIGINT AS q FROM (
        SELECT {before} AS v, 1 AS p, 0 AS q FROM {table_before} WHERE v IS NOT NULL
        UNION ALL
        SELECT {after} AS v, 0 AS p, 1 AS q FROM {table_after} WHERE v IS NOT NULL
    ) GROUP BY v
"""

_ORDERED = f"""
WITH grouped AS ({_COUNTED}), ends AS (
    SELECT min(v) AS v, max(v) AS following FROM grouped
), reach AS (
    SELECT greatest({{width}}, 1e-300) AS reach FROM ends
), walked AS (
    SELECT v, lead(v) OVER along AS following,
        abs(sum(p) OVER along / {{n_before}}::DOUBLE - sum(q) OVER along / {{n_after}}::DOUBLE)
        AS gap
    FROM grouped WINDOW along AS (ORDER BY v)
)
SELECT max(gap), any_value(reach) * (
    sum(TRY_CAST(gap * ({{width}} / reach) * {_ONE}::DOUBLE AS HUGEINT)) / {_ONE}::DOUBLE)
FROM walked, reach
"""

_WIDTHS = {
    "long": "(following::HUGEINT - v::HUGEINT)::DOUBLE",
    "double": "(following - v)",
    "date": "(following - v)::DOUBLE",
    "datetime": "((epoch_us(following)::HUGEINT - epoch_us(v)::HUGEINT)::DOUBLE / 1e6)",
}

_GROUPED = f"CREATE OR REPLACE TEMP TABLE movement AS {_COUNTED}"

_MOVEMENT = f"""
SELECT sum(abs(p::HUGEINT * {{n_after}} - q::HUGEINT * {{n_before}}))::DOUBLE
        / (2 * {{n_before}}::DOUBLE * {{n_after}}::DOUBLE),
    sqrt(greatest(0, sum(((
        CASE WHEN p > 0 THEN x * ln(2 * x / (x + y)) ELSE 0 END
        + CASE WHEN q > 0 THEN y * ln(2 * y / (x + y)) ELSE 0 END
    ) * {_ONE}::DOUBLE)::HUGEINT) / {_ONE}::DOUBLE / 2)),
    count(*) FILTER (p = 0), count(*) FILTER (q = 0)
FROM (SELECT *, p / {{n_before}}::DOUBLE AS x, q / {{n_after}}::DOUBLE AS y FROM movement)
"""

_MOVERS = f"""
SELECT left(v::VARCHAR, {_SHOWN}), p / {{n_before}}::DOUBLE, q / {{n_after}}::DOUBLE
FROM (SELECT *, abs(p::HUGEINT * {{n_after}} - q::HUGEINT * {{n_before}}) AS far FROM movement)
WHERE far > 0 ORDER BY far DESC, v LIMIT {_N_MOVERS}
"""


@dataclass(frozen=True, slots=True)
class Values:
    """One side of a column: ``expression`` over ``table``, its type, and what it holds.

    ``kind`` is long, double, date, datetime (ordered), or string and boolean (categories);
    ``mean`` and ``std`` (ddof 1) are those of the finite values.
    """

    table: str
    expression: str
    kind: str
    n_values: int
    n_infinite: int = 0
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Mover(Result):
    """A value whose share of the column's values moved."""

    value: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Movement(Result):
    """How far a distribution moved: ``drift`` by ``method``, and further ``scores``.

    ``drift`` is None when one side alone holds no value.
    """

    drift: float | None
    method: str
    scores: dict[str, float | int | None]
    movers: tuple[Mover, ...] = ()


def is_ordered(kind: str) -> bool:
    """Return whether values of that type have a distance."""
    return kind in _WIDTHS


def unmoved(kind: str) -> Movement:
    """Return the movement of a column that is the same on both sides."""
    if is_ordered(kind):
        scores: dict[str, float | int | None] = {
            "p_value": 1.0,
            "wasserstein": 0.0,
            "wasserstein_normed": 0.0,
        }
    else:
        scores = {
            "jensen_shannon": 0.0,
            "values_new": 0,
            "values_gone": 0,
        }
    return Movement(0.0, _METHODS[not is_ordered(kind)], scores)


def movement(run: Runner, before: Values, after: Values) -> Movement:
    """Return how far the distribution moved from ``before`` to ``after`` (of one ``kind``)."""
    if not before.n_values and not after.n_values:
        return unmoved(before.kind)
    if not before.n_values or not after.n_values:
        return Movement(None, _METHODS[not is_ordered(before.kind)], {})
    return _ordered(run, before, after) if is_ordered(before.kind) else _named(run, before, after)


def _ordered(run: Runner, before: Values, after: Values) -> Movement:
    ((gap, distance),) = run(_filled(_ORDERED, before, after, width=_WIDTHS[before.kind]))
    has_infinite = before.n_infinite or after.n_infinite
    distance = None if has_infinite else float(distance or 0.0)  # one value has no width
    size = before.n_values * after.n_values / (before.n_values + after.n_values)
    scores = {
        "p_value": kolmogorov_tail(math.sqrt(size) * gap),
        "wasserstein": distance,
        "wasserstein_normed": distance / before.std
        if distance is not None and before.std
        else None,
    }
    return Movement(float(gap), _METHODS[False], scores)


def _named(run: Runner, before: Values, after: Values) -> Movement:
    run(_filled(_GROUPED, before, after))
    ((moved, divergence, n_new, n_gone),) = run(_filled(_MOVEMENT, before, after))
    movers = tuple(Mover(str(value), p, q) for value, p, q in run(_filled(_MOVERS, before, after)))
    run("DROP TABLE movement")
    moved = min(1.0, moved)
    scores = {
        "jensen_shannon": divergence,
        "values_new": n_new,
        "values_gone": n_gone,
    }
    return Movement(moved, _METHODS[True], scores, movers)


def _filled(template: str, before: Values, after: Values, **more: str) -> str:
    return template.format(
        before=before.expression,
        after=after.expression,
        table_before=before.table,
        table_after=after.table,
        n_before=before.n_values,
        n_after=after.n_values,
        **more,
    )


def kolmogorov_tail(x: float) -> float:
    """Return the probability that Kolmogorov's statistic is above ``x`` (its limit law).

    The alternating series for large ``x`` and Jacobi's transform of it for small ones
    (Marsaglia, Tsang, Wang 2003, section 1); equal to ``scipy.special.kolmogorov``.
    """
    if x <= 0:
        return 1.0
    if x < 1:
        total = sum(math.exp(-(((2 * k - 1) * math.pi / x) ** 2) / 8) for k in range(1, 20))
        return 1.0 - math.sqrt(2 * math.pi) / x * total
    terms = ((1 if k % 2 else -1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 20))
    return min(1.0, 2 * sum(terms))
