"""Everything about one record, in a pane that scrolls."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from paceml_tui import keys
from paceml_tui.render import Block, styled


class Detail(VerticalScroll, inherit_bindings=False, can_focus=True):
    """The pane beside the list, or in its place when there is no room beside it."""

    BINDINGS = keys.bindings("detail")

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Static(styled(""))

    def show(self, block: Block, *, is_same: bool = False) -> None:
        """Show a block, from its top unless it is the same record again."""
        self.query_one(Static).update(block)
        if not is_same:
            self.scroll_home(animate=False)
