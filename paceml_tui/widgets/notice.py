"""What a pane shows when it has no records to show: that it reads, is empty, or failed."""

from __future__ import annotations

from textual.widgets import Static

from local_stack.errors import StackError
from paceml_tui.render import glyph, join, lines, styled


class Notice(Static, can_focus=True):
    """A sentence in place of a list. It takes the focus, so that the screen's keys work."""

    def say_loading(self, noun: str) -> None:
        """Say that the records are being read."""
        self.update(styled(f"Reading the {noun}...", "quiet"))

    def say_empty(self, sentence: str) -> None:
        """Say that there is nothing yet, and which key mends that."""
        self.update(styled(sentence, "quiet"))

    def say_failed(self, error: StackError) -> None:
        """Show an error in place, with what to do next."""
        self.update(
            lines(
                join(styled(glyph("bad"), "bad"), styled(error.message, "bad", limit=600)),
                styled(""),
                styled(error.hint, limit=600),
            )
        )
