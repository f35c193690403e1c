"""Two texts that scroll as one: beside each other where there is room, else one under the other."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from paceml_tui import keys
from paceml_tui.render import Block, styled


class Sheet(VerticalScroll, inherit_bindings=False, can_focus=True):
    """A page of two halves."""

    BINDINGS = keys.bindings("detail")

    def compose(self) -> ComposeResult:
        """Hold two texts."""
        with Container(classes="halves"):
            yield Static(styled(""), classes="half")
            yield Static(styled(""), classes="half")

    def show(self, first: Block, second: Block) -> None:
        """Show two blocks, from the top."""
        left, right = self.query(".half").results(Static)
        left.update(first)
        right.update(second)
        self.scroll_home(animate=False)
