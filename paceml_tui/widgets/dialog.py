"""Dialogs: a question that cannot be answered by accident, and a text that stays."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import (
    Block,
    document,
    fields,
    glyph,
    join,
    lines,
    safe,
    stack,
    styled,
)
from paceml_tui.tasks import Request, as_command_line, as_step
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.records import Copied


class _ClickOnly(Button, can_focus=False):
    """A button that the keyboard cannot reach, so that Enter never presses it."""


class Confirm(ModalScreen[bool]):
    """Ask before something is lost. Cancel has the focus; only ``y`` or a click confirms."""

    BINDINGS = keys.bindings("confirm")
    AUTO_FOCUS = "#cancel"

    def __init__(self, title: str, lost: str) -> None:
        super().__init__()
        self._title = title
        self._lost = lost

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog small"):
            yield Label(styled(self._title, "warning"), classes="title")
            yield Static(styled(self._lost, limit=400))
            with Horizontal(classes="buttons"):
                yield Button(styled("Cancel"), id="cancel", compact=True)
                yield _ClickOnly(styled("Yes (y)"), id="confirm", compact=True)
            yield KeyBar("confirm")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer as the button says."""
        self.dismiss(event.button.id == "confirm")

    def action_confirm(self) -> None:
        """Answer yes."""
        self.dismiss(True)

    def action_cancel(self) -> None:
        """Answer no."""
        self.dismiss(False)


class Notification(ModalScreen[None]):
    """A titled text that stays until it is closed, and can be copied."""

    BINDINGS = keys.bindings("notice")
    AUTO_FOCUS = ".page"

    def __init__(self, title: str, block: Block, copied: str, *, tone: str = "heading") -> None:
        super().__init__()
        self._title = title
        self._block = block
        self._copied = copied
        self._tone = tone

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        with Vertical(classes="dialog"):
            yield Label(styled(self._title, self._tone, limit=70), classes="title")
            with VerticalScroll(classes="page"):
                yield Static(self._block)
            yield KeyBar("notice")

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.post_message(Copied(self._copied))

    def action_close(self) -> None:
        """Close the dialog."""
        self.dismiss(None)

    def action_scroll_down(self) -> None:
        """Scroll one line down."""
        self.query_one(".page").scroll_down(animate=False)

    def action_scroll_up(self) -> None:
        """Scroll one line up."""
        self.query_one(".page").scroll_up(animate=False)

    def action_page_down(self) -> None:
        """Scroll one page down."""
        self.query_one(".page").scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """Scroll one page up."""
        self.query_one(".page").scroll_page_up(animate=False)

    def action_scroll_home(self) -> None:
        """Scroll to the first line."""
        self.query_one(".page").scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """Scroll to the last line."""
        self.query_one(".page").scroll_end(animate=False)


def error_dialog(title: str, error: StackError) -> Notification:
    """Return the dialog of an error: what happened, what to do next, and the details."""
    details = None
    if error.details not in (None, {}, []):
        details = stack(styled(""), styled("Details", "quiet"), document(error.details, 1))
    refused = getattr(error, "result", None)
    if refused is not None and hasattr(refused, "to_dict"):
        details = stack(styled(""), styled("Result", "quiet"), document(refused.to_dict(), 1))
    block = stack(
        join(styled(glyph("bad"), "bad"), styled(error.message, limit=2000, is_block=True)),
        styled(""),
        styled(error.hint, "accent", limit=2000, is_block=True) if error.hint else None,
        details,
    )
    copied = safe(f"{title}\n{error.message}\n{error.hint}", 0, is_block=True)
    return Notification(title, block, copied, tone="bad")


def result_dialog(title: str, result: Any) -> Notification:
    """Return the dialog of what a command returned."""
    shown = document(result)
    return Notification(title, shown, safe(shown.plain, 0, is_block=True))


def repeat_dialog(requests: list[tuple[str, Request]]) -> Notification:
    """Return the dialog that shows how to repeat things without the app."""
    parts: list[Block] = []
    for title, request in requests:
        parts += [
            styled(title, "heading"),
            fields(
                [
                    ("command", styled(as_command_line(request), limit=0)),
                    ("step", styled(as_step(request), limit=0)),
                ]
            ),
            styled(""),
        ]
    copied = safe("\n".join(as_command_line(request) for _, request in requests), 0, is_block=True)
    return Notification("As command and pipeline step", stack(*parts), copied)


def help_dialog(word: str, scopes: tuple[str, ...]) -> Notification:
    """Return the help for where the focus is: every key that works there."""
    parts: list[Block] = [styled(_ABOUT.get(word, _ABOUT["app"])), styled("")]
    for scope in scopes:
        parts += [
            styled(_SCOPES.get(scope, scope), "heading"),
            fields((key.shown, styled(key.help)) for key in keys.of(scope)),
            styled(""),
        ]
    text = lines(*(f"{key.shown}  {key.help}" for key in keys.of(*scopes)))
    return Notification(f"Help: {word}", stack(*parts), safe(text.plain, 0, is_block=True))


_SCOPES = {
    "app": "Everywhere",
    "list": "What the list shows",
    "table": "Moving in the list",
    "detail": "Moving in the detail",
    "view": "In every view",
    "compare": "The comparison",
    "contract": "The contract",
    "editor": "The editor",
    "recipe": "The recipe",
    "pick": "Picking a source",
    "import": "What was decided",
    "naming": "Naming the version",
    "rows": "Moving in the rows",
    "cells": "Moving between cells",
    "preview": "The rows",
    "profile": "The profile",
    "correct": "Correcting",
    "label": "The label queue",
    "classes": "Classes",
    "explanation": "The explanation",
    "decision": "The row",
}

_ABOUT = {
    "app": "Each screen is one part of the life of a model.",
    "tower": "The whole workspace at one look: what serves, what is new, what drifts, what runs.",
    "data": "Data sets and their versions: what is in them, where they come from, what is odd.",
    "runs": "Experiment runs with their params and metrics; / takes MLflow's search grammar too.",
    "explain": "What a model's predictions rest on: SHAP values of the explained runs.",
    "registry": "Registered models, their versions, and who moved which to what stage.",
    "serving": "Endpoints that answer predictions, and whether their processes live.",
    "drift": "How far data or predictions have moved from what the model was trained on.",
    "audit": "Every recorded decision, newest first, in a chain that shows any change.",
}
