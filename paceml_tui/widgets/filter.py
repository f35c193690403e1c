"""The line in which one types a filter; the list follows every letter."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from paceml_tui import keys
from paceml_tui.render import safe, styled


class FilterBar(Horizontal):
    """A prompt and an input, one row high, shown while a filter is typed."""

    BINDINGS = keys.bindings("filter")

    SCOPES: ClassVar[tuple[str, ...]] = ("filter",)
    """Scopes of the keys that the footer shows while one types."""

    class Typed(Message):
        """The text of the filter is another one."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """Typing is over; ``is_kept`` tells whether the filter stays."""

        def __init__(self, *, is_kept: bool) -> None:
            super().__init__()
            self.is_kept = is_kept

    def __init__(self, hint: str) -> None:
        super().__init__()
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Lay out the prompt and the input."""
        yield Label(styled("/", "accent"))
        yield Input(placeholder=safe(self._hint), compact=True)
        yield Label(styled("enter keeps  esc drops", "quiet"))

    @property
    def input(self) -> Input:
        """Return the input itself."""
        return self.query_one(Input)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass on what is typed."""
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        """Keep the filter and go to the lines."""
        self.post_message(self.Left(is_kept=True))

    def action_drop(self) -> None:
        """Show every line again."""
        with self.prevent(Input.Changed):
            self.input.value = ""
        self.post_message(self.Left(is_kept=False))
