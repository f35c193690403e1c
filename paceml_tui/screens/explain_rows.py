"""The rows of the data version with what the model says of each; one leads to its explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.message import Message

from paceml_tui import decisions
from paceml_tui.charts import cell_text
from paceml_tui.render import Block, Text, fit, glyph, number, percent, stack, styled
from paceml_tui.safe import safe
from paceml_tui.screens.data_profile_parts import Lines
from paceml_tui.screens.explain_parts import DAMAGED, AnswerPart
from paceml_tui.tasks import Row, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.records import WIDE
from paceml_tui.widgets.table import Column, LargestFirst

PAGE = 500
"""Rows that are read at once."""
_MOST_FEATURES = 8
_LONGEST = 14


class RowsPart(AnswerPart):
    """A page of rows; beside it, where there is room, why the selected one is predicted so."""

    class Opened(Message):
        """Somebody wants everything about a row."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    class Wanted(Message):
        """Another row is selected, and there is room to tell of it."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def open_detail(self) -> None:
        """Open the selected row."""
        if self.selected is not None:
            self.post_message(self.Opened(int(self.selected["index"])))

    def describe(self) -> None:
        """Ask for the selected row, if there is room to tell of it."""
        row = self.selected
        if row is None or row["note"]:
            self.query_one(Detail).show(styled((row or {}).get("note") or "", "warning", 600))
        elif self.app.size.width >= WIDE:
            self.post_message(self.Wanted(row))

    def tell(self, answer: Mapping[str, Any]) -> None:
        """Show what the model says of the selected row."""
        width = max(30, self.query_one(Detail).content_size.width - 1)
        found = attempt(lambda: _told(answer, width))
        self.query_one(Detail).show(found.value or styled(DAMAGED, "warning"))


def _told(answer: Mapping[str, Any], width: int) -> Block:
    return stack(
        fit(decisions.verdict(answer), width),
        styled(""),
        *decisions.waterfall(answer, width, 10),
        styled(""),
        *decisions.reasons(answer, width, 5),
    )


def row_lines(
    rows: Sequence[Row], features: Sequence[str], target: str, labels: Sequence[str] = ()
) -> Lines:
    """Return a line for each row: what is predicted, what was, and the features that count most.

    ``labels`` are the classes; of two the probability is that of the second, whatever is predicted.
    """
    chance = f"probability of {safe(labels[1], 14)}" if len(labels) == 2 else "its probability"
    has_chance = any(it["probability"] is not None for it in rows)
    has_outcome = any(it["outcome"] is not None for it in rows)
    columns = [
        Column("row", lambda row: number(row["index"]), is_number=True, rank=0, most=12),
        Column("predicted", _predicted, rank=0, most=24),
        *([_chance(chance)] if has_chance else []),
        *([_outcome(target)] if has_outcome else []),
    ]
    known = rows[0]["values"] if rows else {}
    for place, name in enumerate([it for it in features if it in known][:_MOST_FEATURES]):
        columns.append(_feature(name, place, rows))
    return Lines(
        tuple(rows),
        tuple(columns),
        {
            "": lambda row: row["index"],
            "predicted": lambda row: _sortable(row["prediction"]),
            **({chance: LargestFirst(lambda row: row["probability"] or 0.0)} if has_chance else {}),
        },
        lambda row: str(row["index"]),
        lambda _: styled(""),
        _words,
    )


def _chance(title: str) -> Column:
    return Column(
        title, lambda row: percent(row["probability"]), is_number=True, rank=2, most=len(title) + 1
    )


def _predicted(row: Row) -> Text:
    if row["note"]:
        return styled("no prediction", "warning")
    wrong = row["outcome"] is not None and row["outcome"] != row["prediction"]
    is_class = isinstance(row["prediction"], str | bool | int)
    mark = f" {glyph('bad')}" if wrong and is_class else ""
    return styled(f"{decisions.label(row['prediction'])}{mark}", "warning" if mark else "")


def _outcome(target: str) -> Column:
    return Column(
        safe(target, 20) or "outcome",
        lambda row: styled(decisions.label(row["outcome"])) if row["outcome"] is not None
        else styled(""),
        rank=1,
        most=20,
    )  # fmt: skip


def _feature(name: str, place: int, rows: Sequence[Row]) -> Column:
    values = [it["values"].get(name) for it in rows]
    is_number = all(it is None or isinstance(it, int | float) for it in values)
    return Column(
        safe(name, _LONGEST),
        lambda row: cell_text(row["values"].get(name), _LONGEST),
        is_number=is_number,
        rank=3 + place,
        most=_LONGEST,
    )


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _words(row: Row) -> str:
    values = " ".join(str(it) for it in row["values"].values())
    return f"{row['index']} {row['prediction']} {row['outcome']} {values}"
