"""What the app shows when there is no workspace: two ways to get one."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import glyph, join, lines, styled


class Welcome(Vertical, can_focus=True):
    """Offers a new workspace in the current folder, and the demo."""

    BINDINGS = keys.bindings("welcome")

    class Chosen(Message):
        """Somebody chose ``init`` or ``demo``."""

        def __init__(self, way: str) -> None:
            super().__init__()
            self.way = way

    def __init__(self, folder: str) -> None:
        super().__init__(id="welcome")
        self._folder = folder

    def compose(self) -> ComposeResult:
        """Lay out the offer."""
        yield Static(
            lines(
                styled("PACE-ML", "heading"),
                styled("The whole life of a model in one terminal program."),
                styled(""),
                styled("This folder is not in a workspace:"),
                styled(self._folder, "strong", limit=60),
                styled(""),
                join(styled("i", "accent"), styled("make a new workspace here, in ./paceml")),
                join(styled("d", "accent"), styled("see the whole life cycle on sample data")),
                join(styled("q", "accent"), styled("leave")),
            ),
            id="offer",
        )
        yield Static(styled(""), id="refusal")

    def refuse(self, error: StackError) -> None:
        """Say why it did not work."""
        self.query_one("#refusal", Static).update(
            lines(
                join(styled(glyph("bad"), "bad"), styled(error.message, limit=600)),
                styled(error.hint, "quiet", limit=600),
            )
        )

    def action_init(self) -> None:
        """Ask for a new workspace."""
        self.post_message(self.Chosen("init"))

    def action_demo(self) -> None:
        """Ask for the demo."""
        self.post_message(self.Chosen("demo"))
