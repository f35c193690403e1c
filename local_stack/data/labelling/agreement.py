"""How far annotators agree beyond chance.

Cohen's kappa (Cohen 1960, unweighted, as ``sklearn.metrics.cohen_kappa_score``) over the rows
that both answered; for more than two annotators the mean over all pairs (Light 1971), and
Krippendorff's alpha for nominal data (Krippendorff 2011), which takes gaps. Skipped rows are
gaps. Where a row has a set of classes, each class is a yes or no question of its own, and the
coefficient is the unweighted mean over the classes for which it is defined.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from local_stack.results import Result
from local_stack.stores.metadata import Metadata

_PAIRS = (
    "WITH now AS ("
    'SELECT actor, "row", arg_max(CAST(classes AS VARCHAR), turn) AS classes FROM labels '
    "WHERE labelling = ? AND role = 'label' GROUP BY actor, \"row\" "
    "HAVING NOT arg_max(is_skipped, turn)), "
    'units AS (SELECT "row", count(*) AS m FROM now GROUP BY "row" HAVING count(*) > 1) '
    "SELECT a.actor AS first, b.actor AS second, a.classes AS x, b.classes AS y, u.m, "
    'count(*) AS n FROM units u JOIN now a ON a."row" = u."row" JOIN now b ON b."row" = u."row" '
    "WHERE a.actor < b.actor GROUP BY ALL ORDER BY ALL"
)

Classes: TypeAlias = tuple[str, ...]
Table: TypeAlias = Mapping[tuple[Classes, Classes], float]
"""How often one annotator gave the first set of classes where the other gave the second."""


@dataclass(frozen=True, slots=True)
class PairAgreement(Result):
    """Two annotators on the rows that both answered. ``kappa`` is None where it is undefined."""

    first: str
    second: str
    n_rows: int
    observed: float
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement(Result):
    """All annotators on the rows that at least two of them answered.

    ``observed`` is the share of pairs of answers that are equal; ``by_class`` is the kappa of
    each class against all others.
    """

    n_rows: int
    observed: float
    kappa: float | None
    alpha: float | None
    by_class: dict[str, float | None]
    pairs: tuple[PairAgreement, ...]


def agreement(
    state: Metadata, labelling: str, classes: Sequence[str], *, is_multi: bool
) -> Agreement | None:
    """Return how far the annotators of a labelling agree, None when no row has two answers."""
    tables: dict[tuple[str, str], Counter[tuple[Classes, Classes]]] = defaultdict(Counter)
    weighted: Counter[tuple[Classes, Classes]] = Counter()
    sizes: Counter[int] = Counter()
    for it in state.query(_PAIRS, labelling):
        cell = (tuple(json.loads(it["x"])), tuple(json.loads(it["y"])))
        tables[it["first"], it["second"]][cell] += it["n"]
        weighted[cell] += it["n"] / (it["m"] - 1)
        sizes[it["m"]] += it["n"]
    if not tables:
        return None
    pairs = tuple(
        PairAgreement(
            first, second, sum(table.values()), _observed(table), _kappa(table, classes, is_multi)
        )
        for (first, second), table in sorted(tables.items())
    )
    return Agreement(
        n_rows=sum(n * 2 // (m * (m - 1)) for m, n in sizes.items()),
        observed=_observed(sum(tables.values(), Counter())),
        kappa=_mean(pair.kappa for pair in pairs),
        alpha=_alpha(weighted, classes, is_multi),
        by_class={
            name: _mean(cohen(_binary(table, name)) for table in tables.values())
            for name in classes
        },
        pairs=pairs,
    )


def cohen(table: Table) -> float | None:
    """Return Cohen's kappa of a table of counts; None when chance alone would agree always."""
    n = sum(table.values())
    rows: Counter[Classes] = Counter()
    columns: Counter[Classes] = Counter()
    for (x, y), count in table.items():
        rows[x] += count  # type: ignore[assignment]
        columns[y] += count  # type: ignore[assignment]
    by_chance = sum(rows[name] * columns[name] for name in rows) / n
    if n == by_chance:
        return None
    agreed = sum(count for (x, y), count in table.items() if x == y)
    return (agreed - by_chance) / (n - by_chance)


def krippendorff(coincidences: Table) -> float | None:
    """Return Krippendorff's nominal alpha; None when every answer is the same.

    ``coincidences`` holds each pair of answers to a row once, weighted by 1 / (answers - 1).
    """
    totals: Counter[Classes] = Counter()
    different = 0.0
    for (x, y), weight in coincidences.items():
        totals[x] += weight  # type: ignore[assignment]
        totals[y] += weight  # type: ignore[assignment]
        different += 2 * weight if x != y else 0
    n = sum(totals.values())
    expected = n * n - sum(total * total for total in totals.values())
    if n <= 1 or expected <= 1e-9 * n * n:
        return None
    return 1 - (n - 1) * different / expected


def _kappa(table: Table, classes: Sequence[str], is_multi: bool) -> float | None:
    if not is_multi:
        return cohen(table)
    return _mean(cohen(_binary(table, name)) for name in classes)


def _alpha(table: Table, classes: Sequence[str], is_multi: bool) -> float | None:
    if not is_multi:
        return krippendorff(table)
    return _mean(krippendorff(_binary(table, name)) for name in classes)


def _binary(table: Table, name: str) -> Table:
    """Return the table of one class against all others."""
    found: Counter[tuple[Classes, Classes]] = Counter()
    for (x, y), count in table.items():
        found[_has(x, name), _has(y, name)] += count  # type: ignore[assignment]
    return found


def _has(classes: Classes, name: str) -> Classes:
    return ("yes",) if name in classes else ("no",)


def _observed(table: Table) -> float:
    return sum(count for (x, y), count in table.items() if x == y) / sum(table.values())


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
