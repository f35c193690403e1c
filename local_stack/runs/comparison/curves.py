"""Histories of metrics, thinned in the database to what a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from local_stack.results import iso
from local_stack.runs.comparison.shape import Curve
from local_stack.runs.relation import HISTORY
from local_stack.workspace import Workspace

MOST_POINTS: Final = 200
"""How many points of one curve are kept."""
MOST_IN_ALL: Final = 20_000
_FEWEST: Final = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SQL = f"""
WITH kept AS (
    SELECT *, row_number() OVER (PARTITION BY run_id, key ORDER BY step, at_ms, value) - 1 AS place,
           count(*) OVER (PARTITION BY run_id, key) AS n
    FROM {HISTORY} WHERE list_contains(?, run_id) AND list_contains(?, key)
), parted AS (
    SELECT *, place * CAST(? AS BIGINT) // n AS stretch FROM kept WHERE n > 1
)
SELECT run_id, key, step, at_ms, value, n FROM parted
QUALIFY place IN (0, n - 1)
    OR place = arg_min(place, value) OVER (PARTITION BY run_id, key, stretch)
    OR place = arg_max(place, value) OVER (PARTITION BY run_id, key, stretch)
ORDER BY run_id, key, place
"""  # noqa: S608 - a name of ours


def curves(workspace: Workspace, runs: Sequence[str], keys: Sequence[str]) -> tuple[Curve, ...]:
    """Return the curves of ``keys`` in the order of the runs; one of a single value is left out.

    Each has about ``MOST_POINTS`` points at most, and all together ``MOST_IN_ALL`` (or 20 each).
    """
    if not runs or not keys:
        return ()
    share = MOST_IN_ALL // (len(runs) * len(keys))
    stretches = max(_FEWEST, min(MOST_POINTS, share)) // 2
    found: dict[tuple[str, str], list[Any]] = {}
    for row in workspace.query(_SQL, list(runs), list(keys), stretches):
        found.setdefault((row["key"], row["run_id"]), []).append(row)
    return tuple(
        _curve(key, run, found[key, run]) for key in keys for run in runs if (key, run) in found
    )


def _curve(key: str, run: str, rows: Sequence[Any]) -> Curve:
    return Curve(
        key=key,
        run_id=run,
        steps=tuple(row["step"] for row in rows),
        values=tuple(row["value"] for row in rows),
        times=tuple(_moment(row["at_ms"]) for row in rows),
        n_points=rows[0]["n"],
    )


def _moment(milliseconds: int | None) -> str:
    try:
        return iso(_EPOCH + timedelta(milliseconds=milliseconds or 0))
    except OverflowError:
        return ""
