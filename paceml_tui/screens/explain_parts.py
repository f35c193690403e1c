"""The parts of the view of an explanation: columns of its lists, and parts that ask for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.widget import Widget

from local_stack.errors import StackError
from paceml_tui.evaluations import Picture
from paceml_tui.explanations import found_text, permuted_text
from paceml_tui.render import Block, bar, stack, styled
from paceml_tui.screens.data_profile_parts import Lines, ListPart
from paceml_tui.tasks import Row, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.table import Column

DAMAGED = "It cannot be drawn: the document is damaged."
_BAR = 10

FEATURE_COLUMNS = (
    Column("feature", lambda row: styled(row["name"], limit=60), is_wide=True, rank=0, most=32),
    Column("importance", lambda row: bar(row["share"], _BAR), rank=2, most=_BAR),
    Column("mean |SHAP|", lambda row: row["shown"], is_number=True, rank=1),
    Column("when shuffled", permuted_text, rank=3, most=28),
    Column("found", found_text, rank=4, most=18),
)
FEATURE_ORDERS: Mapping[str, Any] = {
    "": lambda _: 0,
    "feature": lambda row: row["name"],
    "when shuffled": lambda row: -(row["permuted"] or {}).get("mean", float("-inf")),
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
