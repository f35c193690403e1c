"""Drift: reports, and each column's score against its threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    bar,
    fields,
    glyph,
    grid,
    heading,
    join,
    moment,
    number,
    numbers,
    percent,
    stack,
    status,
    styled,
)
from paceml_tui.tasks import Request, Row
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column

_BAR = 16
_MOST_COLUMNS = 200


class DriftScreen(RecordsScreen):
    """Reports of drift between a reference and a current table."""

    BINDINGS = keys.bindings("drift")
    WORD = "drift"
    NOUN = "drift reports"
    SOURCE = "SELECT * FROM drift_reports"
    KEY = ("report",)
    SEARCH = ("report", "reference", "current", "columns")
    SORTED_BY = "created"
    EMPTY = (
        "No drift report yet. Press n to compare two data versions or an endpoint's predictions."
    )

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns."""
        return COLUMNS

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Compare the same two again."""
        return {"reference": row["reference"], "current": row["current"]} if row else {}

    def repeats(self, row: Row) -> Request:
        """Return the command that compares the same two."""
        return Request("drift.check", self.arguments_for("drift.check", row))

    def detail(self, row: Row) -> Block:
        """Return the verdict and a bar a column, the furthest over its threshold first."""
        found = [column for column in row["columns"] or [] if isinstance(column, Mapping)]
        found.sort(key=lambda column: (not column.get("drifted"), -excess(column)))
        return stack(
            heading(row["current"], verdict(row)),
            fields(
                [
                    ("reference", join(styled(row["reference"]), _rows(row["n_reference"]))),
                    ("current", join(styled(row["current"]), _rows(row["n_current"]))),
                    ("drifted", _share(row)),
                    ("made", moment(row["created_at"])),
                    ("report", styled(row["report"], "quiet")),
                ]
            ),
            styled(""),
            heading("Columns", styled(f"score against threshold {glyph('threshold')}", "quiet")),
            grid(
                ("column", "", "score", "limit", "method"),
                _columns(found[:_MOST_COLUMNS]),
                (2, 3),
            ),
        )


def verdict(row: Row) -> Text:
    """Return whether the report says drift."""
    return status("drifted" if row["drifted"] else "stable")


def excess(column: Mapping[str, Any]) -> float:
    """Return how far a column is towards drift: 1 at its threshold, more beyond it.

    A p-value drifts below its threshold, a distance above it.
    """
    score, threshold = column.get("score"), column.get("threshold")
    if not isinstance(score, int | float) or not isinstance(threshold, int | float):
        return 0.0
    if (score > threshold) == bool(column.get("drifted")):
        return score / threshold if threshold else float(score > 0)
    return min(10.0, threshold / score) if score else 10.0


def _columns(found: Sequence[Mapping[str, Any]]) -> list[tuple[Text, ...]]:
    scores = numbers([column.get("score") for column in found], 3)
    return [_column(column, score) for column, score in zip(found, scores, strict=True)]


def _column(column: Mapping[str, Any], score: Text) -> tuple[Text, ...]:
    tone = "warning" if column.get("drifted") else "accent"
    mark = styled(glyph("warning" if column.get("drifted") else "dot"), tone)
    return (
        join(mark, styled(column.get("column"), limit=22)),
        bar(excess(column) / 2, _BAR, tone, mark=0.5),
        score,
        number(column.get("threshold"), 3),
        styled(column.get("method"), "quiet", limit=18),
    )


def _rows(n: Any) -> Text:
    return join(number(n), styled("rows", "quiet"))


def _share(row: Row) -> Text:
    counted = join(
        number(row["n_drifted"]), styled("of"), number(row["n_columns"]), styled("columns")
    )
    return join(percent(row["share"]), counted, gap="  ")


COLUMNS = (
    Column(
        "current",
        lambda row: styled(row["current"]),
        order="current",
        is_wide=True,
        rank=0,
        most=36,
    ),
    Column("reference", lambda row: styled(row["reference"]), order="reference", rank=4, most=24),
    Column("verdict", verdict, order="drifted", rank=1),
    Column("share", lambda row: percent(row["share"]), order="share", is_number=True, rank=2),
    Column(
        "columns",
        lambda row: styled(f"{row['n_drifted']} of {row['n_columns']}"),
        order="n_drifted",
        is_number=True,
        rank=5,
    ),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=3),
)
