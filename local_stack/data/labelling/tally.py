"""What the answers come to: a label a row, conflicts, and how far each annotator is.

A row has a label when everybody who answered it gave the same classes, or when somebody
adjudicated it; the newest adjudication counts. It is in conflict when answers differ and nobody
has adjudicated.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.results import Result
from local_stack.stores.metadata import Metadata, Row

if TYPE_CHECKING:
    from local_stack.data.labelling.records import Numbers

_OPINIONS = (
    'SELECT actor, "row", arg_max(CAST(classes AS VARCHAR), turn) AS classes, '
    "arg_max(is_skipped, turn) AS is_skipped, arg_max(note, turn) AS note "
    "FROM labels WHERE labelling = ? AND role = 'label' "
    'AND "row" IN (SELECT unnest(from_json(?, \'["BIGINT"]\'))) '
    'GROUP BY actor, "row" ORDER BY actor'
)
"""What each annotator says of some rows now."""

_SETTLED = (
    "WITH answers AS ("
    '  SELECT "row", arg_max(CAST(classes AS VARCHAR), turn) AS classes FROM labels'
    "  WHERE labelling = ? AND role = 'label' GROUP BY actor, \"row\""
    "  HAVING NOT arg_max(is_skipped, turn)), "
    "told AS ("
    '  SELECT "row", min(classes) AS classes, min(classes) <> max(classes) AS is_disputed'
    '  FROM answers GROUP BY "row"), '
    "judged AS ("
    '  SELECT "row", arg_max(CAST(classes AS VARCHAR), turn) AS classes, '
    "  arg_max(actor, turn) AS judge FROM labels"
    "  WHERE labelling = ? AND role = 'adjudicate' AND NOT is_skipped GROUP BY \"row\"), "
    "settled AS ("
    '  SELECT coalesce(t."row", j."row") AS "row", judge,'
    "  coalesce(is_disputed, false) AS is_disputed,"
    "  coalesce(j.classes, CASE WHEN NOT is_disputed THEN t.classes END) AS classes"
    '  FROM told t FULL JOIN judged j ON t."row" = j."row") '
    'SELECT classes, is_disputed, judge, list("row" ORDER BY "row") AS "rows" FROM settled '
    "GROUP BY classes, is_disputed, judge ORDER BY ALL"
)
"""The rows by what they came to."""


@dataclass(frozen=True, slots=True)
class Annotator(Result):
    """How far somebody is: rows they answered and skipped, and rows they adjudicated."""

    actor: str
    n_answered: int
    n_skipped: int
    n_adjudicated: int
    last_at: str


@dataclass(frozen=True, slots=True)
class Opinion(Result):
    """What one annotator says of a row. ``classes`` is None when they skipped it."""

    actor: str
    classes: tuple[str, ...] | None
    note: str


@dataclass(frozen=True, slots=True)
class Disagreement(Result):
    """A row that annotators answered differently. ``settled`` is what a judge made of it.

    ``answers`` and ``notes`` are by annotator.
    """

    row: int
    answers: dict[str, tuple[str, ...]]
    notes: dict[str, str]
    settled: tuple[str, ...] | None
    judge: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows that have a label, with the label's place in ``kinds``; and those in conflict.

    ``adjudicated`` are rows that were answered differently and then judged: row, label, judge.
    """

    rows: Sequence[int]
    places: Sequence[int]
    kinds: tuple[tuple[str, ...], ...]
    conflicts: Sequence[int]
    adjudicated: Sequence[tuple[int, tuple[str, ...], str]]


def annotators(state: Metadata, labelling: str) -> tuple[Annotator, ...]:
    """Return everybody who took part, by name."""
    rows = state.query(
        'WITH now AS (SELECT actor, role, "row", arg_max(is_skipped, turn) AS is_skipped, '
        'max("at") AS "at" FROM labels WHERE labelling = ? GROUP BY actor, role, "row") '
        "SELECT actor, count(*) FILTER (role = 'label' AND NOT is_skipped) AS n_answered, "
        "count(*) FILTER (role = 'label' AND is_skipped) AS n_skipped, "
        "count(*) FILTER (role = 'adjudicate' AND NOT is_skipped) AS n_adjudicated, "
        'max("at") AS last_at FROM now GROUP BY actor ORDER BY actor',
        labelling,
    )
    return tuple(Annotator(**row) for row in rows)


def settled(state: Metadata, labelling: str) -> Settled:
    """Return every label and every conflict, by row number."""
    found = state.query(_SETTLED, labelling, labelling)
    rows: list[int] = []
    places: list[int] = []
    kinds: dict[tuple[str, ...], int] = {}
    conflicts: list[int] = []
    judged: list[tuple[int, tuple[str, ...], str]] = []
    for each in found:
        classes = classes_of(each["classes"])
        if classes is None:
            conflicts = each["rows"]
            continue
        rows += each["rows"]
        places += [kinds.setdefault(classes, len(kinds))] * len(each["rows"])
        if each["is_disputed"]:
            judged += [(row, classes, each["judge"]) for row in each["rows"]]
    return Settled(rows, places, tuple(kinds), conflicts, sorted(judged))


def disagreements(
    state: Metadata, labelling: str, found: Settled, limit: int
) -> tuple[Disagreement, ...]:
    """Return rows that were answered differently, unsettled ones first, with every answer."""
    listed: list[tuple[int, tuple[str, ...] | None, str | None]] = [
        *((row, None, None) for row in found.conflicts[:limit]),
        *found.adjudicated[:limit],
    ][:limit]
    told = opinions(state, labelling, [row for row, *_ in listed])
    return tuple(
        Disagreement(
            row,
            {it.actor: it.classes for it in told[row] if it.classes is not None},
            {it.actor: it.note for it in told[row] if it.note},
            label,
            judge,
        )
        for row, label, judge in listed
    )


def opinions(
    state: Metadata, labelling: str, rows: Sequence[int]
) -> dict[int, tuple[Opinion, ...]]:
    """Return what every annotator says of each of ``rows``."""
    found = state.query(_OPINIONS, labelling, json.dumps(list(rows))) if rows else []
    told: dict[int, list[Opinion]] = defaultdict(list)
    for it in found:
        told[it["row"]].append(_opinion(it))
    return {row: tuple(told[row]) for row in rows}


def verdict(state: Metadata, labelling: str, row: int) -> Opinion | None:
    """Return the newest adjudication of a row, or None."""
    found = state.query(
        "SELECT actor, CAST(classes AS VARCHAR) AS classes, is_skipped, note FROM labels "
        "WHERE labelling = ? AND role = 'adjudicate' AND \"row\" = ? AND NOT is_skipped "
        "ORDER BY turn DESC LIMIT 1",
        labelling,
        row,
    )
    return _opinion(found[0]) if found else None


def handled(state: Metadata, labelling: str, actor: str, role: str) -> list[int]:
    """Return the rows that somebody answered or skipped in a role."""
    return _listed(state, labelling, actor, role, only_skipped=False)


def skipped(state: Metadata, labelling: str, actor: str, role: str) -> list[int]:
    """Return the rows that somebody skipped in a role and has not answered since."""
    return _listed(state, labelling, actor, role, only_skipped=True)


def _listed(
    state: Metadata, labelling: str, actor: str, role: str, *, only_skipped: bool
) -> list[int]:
    (found,) = state.query(
        'SELECT list("row" ORDER BY "row") AS "rows" FROM '
        '(SELECT "row" FROM labels WHERE labelling = ? AND actor = ? AND role = ? '
        'GROUP BY "row" HAVING arg_max(is_skipped, turn) OR NOT ?)',
        labelling,
        actor,
        role,
        only_skipped,
    )
    return found["rows"] or []


def classes_of(text: Any) -> tuple[str, ...] | None:
    """Return the classes that a JSON text holds."""
    return None if text is None else tuple(json.loads(text))


def unlabelled(n_rows: int, missing: Numbers | None, found: Settled) -> Numbers:
    """Return the rows without a label; where the column exists, only ``missing`` ones lack it."""
    import numpy as np

    is_open = np.ones(n_rows, dtype=bool)
    if missing is not None:
        is_open[:] = False
        is_open[missing] = True
    for rows in (found.rows, found.conflicts):
        is_open[np.asarray(rows, dtype=np.int64)] = False
    return np.flatnonzero(is_open)


def _opinion(row: Row) -> Opinion:
    return Opinion(row["actor"], classes_of(row["classes"]), row["note"] or "")
