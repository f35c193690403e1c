"""The parts of the view of an explanation: columns of its lists, and parts that ask for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from local_stack.errors import StackError
from paceml_tui import decisions
from paceml_tui.evaluations import Picture
from paceml_tui.explanations import found_text, permuted_text
from paceml_tui.render import Block, Text, bar, stack, styled
from paceml_tui.safe import safe
from paceml_tui.screens.data_profile_parts import Lines, ListPart
from paceml_tui.tasks import Row, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.table import Column, LargestFirst
from paceml_tui.wording import signed, told

DAMAGED = "It cannot be drawn: the document is damaged."
_BAR = 10

FEATURE_COLUMNS = (
    Column("feature", lambda row: styled(row["name"], limit=60), is_wide=True, rank=0, most=32),
    Column("importance", lambda row: bar(row["share"], _BAR), rank=2, most=_BAR),
    Column("mean |SHAP|", lambda row: row["shown"], is_number=True, rank=1),
    Column("when shuffled", permuted_text, rank=3, most=32),
    Column("found", found_text, rank=4, most=18),
)
FEATURE_ORDERS: Mapping[str, Any] = {
    "": lambda _: 0,
    "feature": lambda row: row["name"],
    "when shuffled": LargestFirst(lambda row: (row["permuted"] or {}).get("mean", float("-inf"))),
}
PICTURE_COLUMNS = (
    Column("shown", lambda row: styled(row["name"], limit=40), is_wide=True, rank=0, most=24),
    Column("in short", lambda row: row["said"], rank=1, most=34),
)


class AnswerPart(ListPart):
    """A list of what was answered to a question, or a notice in its place."""

    def compose(self) -> ComposeResult:
        """Lay out the notice, the list and the detail."""
        yield Notice(classes="notice")
        yield from super().compose()

    def on_mount(self) -> None:
        """Begin without an answer."""
        self.add_class("-waiting")

    @property
    def notice(self) -> Notice:
        """Return what stands in for the list."""
        return self.query_one(Notice)

    @property
    def is_waiting(self) -> bool:
        """Return whether the notice stands in for the list."""
        return self.has_class("-waiting")

    def main(self) -> Widget:
        """Return the notice while there is no answer."""
        return self.notice if self.is_waiting else super().main()

    def wait(self, sentence: str) -> None:
        """Say what is awaited, or which key asks."""
        self.remove_class("-detail")
        self.add_class("-waiting")
        self.notice.say_empty(sentence)

    def fail(self, error: StackError) -> None:
        """Show an error in place of the list."""
        self.wait("")
        self.notice.say_failed(error)

    def answer(self, lines: Lines) -> None:
        """Show what was answered."""
        self.remove_class("-waiting")
        self.fill(lines)


def picture_lines(pictures: Sequence[Picture], part: ListPart) -> Lines:
    """Return a line for each thing that is drawn, in the room that the part has for it."""
    rows = [{"name": it.name, "said": it.said, "draw": it.draw} for it in pictures]
    return Lines(
        tuple(rows),
        PICTURE_COLUMNS,
        {"": lambda _: 0},
        lambda row: str(row["name"]),
        lambda row: drawn(part, row),
        lambda row: str(row["name"]),
    )


def room_of(part: ListPart) -> tuple[int, int]:
    """Return the cells that a drawing has, beside the list or in its place."""
    detail = part.query_one(Detail)
    across = (detail.content_size.width or part.app.size.width - 6) - 1  # a bar to scroll by
    return max(30, min(150, across)), max(6, min(40, part.app.size.height - 8))


def drawn(part: ListPart, row: Row) -> Block:
    """Return a drawing; a document that is damaged gives a sentence."""
    width, height = room_of(part)
    found = attempt(lambda: stack(*row["draw"](width, height)))
    return found.value or styled(DAMAGED, "warning")


# One row.

NAME, VALUE, SHAP = 24, 18, 9
"""Cells of a column's name, of its value, and of what it adds."""


class WaterfallPart(ListPart):
    """The steps from the base value to the prediction; the selected value can be edited."""

    class Picked(Message):
        """Somebody wants to edit the selected value."""

    def open_detail(self) -> None:
        """Edit the selected value: what a line tells is all in the line."""
        self.post_message(self.Picked())


STEP_COLUMNS = (
    Column("column", lambda row: styled(row["name"], limit=60), is_wide=True, rank=0, most=NAME),
    Column("value", lambda row: row["shown"], rank=1, most=VALUE + 6),
    Column("SHAP", lambda row: signed(row["shap"]), is_number=True, rank=2, most=SHAP),
)


def _in_short(row: Row) -> Text:
    if row["it"] is None:
        return styled("why there are no more", "quiet")
    changes = row["it"]["changes"]
    parts = [f"{safe(it['feature'], 24)} {told(it['after'], 24).plain}" for it in changes]
    return styled(", ".join(parts), limit=300)


def _comes(row: Row) -> Text:
    if row["it"] is None:
        return styled("")
    return styled(decisions.label(row["it"]["prediction"]), "good", 24)


CHANGE_COLUMNS = (
    Column("no", lambda row: styled(row["name"], "accent"), rank=0, most=3),
    Column("these values", _in_short, is_wide=True, rank=1, most=200),
    Column("give", _comes, rank=2, most=20),
)
