"""The line in which one value is corrected: what it is, the value, and what it may be."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label, Static

from paceml_tui import keys
from paceml_tui.render import safe, styled


class Correction(Vertical):
    """A prompt, an input and a sentence, shown while something is corrected."""

    BINDINGS = keys.bindings("correct")

    SCOPES: ClassVar[tuple[str, ...]] = ("correct",)
    """Scopes of the keys that the footer shows while one types."""

    class Given(Message):
        """Somebody gave a value; '' takes an earlier correction back."""

        def __init__(self, subject: str, value: str) -> None:
            super().__init__()
            self.subject = subject
            self.value = value

    class Left(Message):
        """Nothing is corrected."""

        def __init__(self, subject: str) -> None:
            super().__init__()
            self.subject = subject

    def __init__(self) -> None:
        super().__init__()
        self._subject = ""

    def compose(self) -> ComposeResult:
        """Lay out the prompt and the input over the sentence."""
        with Horizontal():
            yield Label(styled(""))
            yield Input(compact=True)
        yield Static(styled(""))

    def begin(self, subject: str, prompt: str, value: str, help: str) -> None:
        """Ask for the value of ``subject``."""
        self._subject = subject
        self.query_one(Label).update(styled(prompt, "accent", 30))
        self.query_one(Static).update(styled(help, "quiet", 200))
        line = self.query_one(Input)
        line.value = safe(value, 0)
        line.cursor_position = len(line.value)
        self.add_class("-open")
        self.call_after_refresh(line.focus)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand over what was typed."""
        event.stop()
        self.action_apply()

    def action_apply(self) -> None:
        """Hand over what is typed."""
        self.remove_class("-open")
        self.post_message(self.Given(self._subject, self.query_one(Input).value))

    def action_drop(self) -> None:
        """Leave everything as it is."""
        self.remove_class("-open")
        self.post_message(self.Left(self._subject))
