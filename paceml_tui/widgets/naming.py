"""What a new version is called and what its columns are for: the last step of an import."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Label, Static

from local_stack.errors import InputError, nearest
from paceml_tui import keys
from paceml_tui.render import lines, safe, styled
from paceml_tui.tasks import words_of

FIELDS = {
    "name": "Data set; a name that exists gets a new version.",
    "target": "Column that models predict.",
    "key": "Columns that identify a row, with commas between them.",
    "sensitive": "Columns whose groups fairness is measured by.",
    "tag": "Name for this version, such as golden.",
    "note": "Why this version exists.",
}
"""Argument of ``data add``, and what it means."""

_MANY = ("key", "sensitive")
_COLUMNS = ("target", "key", "sensitive")


class Naming(VerticalScroll, can_focus=False):
    """One line for each thing that nobody can find out from the source."""

    BINDINGS = keys.bindings("naming")

    class Changed(Message):
        """Something else is filled in."""

    class Submitted(Message):
        """Somebody wants the import."""

    class Left(Message):
        """Somebody wants to go back."""

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        for name, about in FIELDS.items():
            with Horizontal(classes="field"):
                yield Label(styled(name), classes="name")
                yield Input(placeholder=safe(about), id=f"naming-{name}", compact=True)
        yield Static(styled(""), classes="complaint")

    def line(self, name: str) -> Input:
        """Return the line of an argument."""
        return self.query_one(f"#naming-{name}", Input)

    def begin(self, source: str, given: Mapping[str, Any]) -> None:
        """Propose a name from the source, where none is filled in yet."""
        for name in FIELDS:
            if not self.line(name).value and given.get(name):
                self.line(name).value = safe(given[name], 0)
        if not self.line("name").value:
            self.line("name").value = safe(proposed(source), 0)
        self.call_after_refresh(self.line("name").focus)

    def arguments(self) -> dict[str, Any]:
        """Return what is filled in."""
        found: dict[str, Any] = {}
        for name in FIELDS:
            text = self.line(name).value.strip()
            if text:
                found[name] = words_of(text) if name in _MANY else text
        return found

    def check(self, columns: Sequence[str]) -> None:
        """Raise :class:`InputError` for a missing name, or a column that the preview lacks."""
        found = self.arguments()
        if "name" not in found:
            raise InputError("The data set needs a name.", "Such as: wine")
        for role in _COLUMNS:
            value = found.get(role, ())
            for column in (value,) if isinstance(value, str) else value:
                if columns and column not in columns:
                    raise InputError(
                        f"There is no column '{column}' to be the {role}.",
                        nearest(column, columns) or f"Columns: {', '.join(columns[:12])}.",
                    )

    def complain(self, error: InputError | None) -> None:
        """Say what is wrong, or that nothing is."""
        shown = (
            lines(styled(error.message, "bad", 300), styled(error.hint, "quiet", 300))
            if error is not None
            else styled("")
        )
        self.query_one(".complaint", Static).update(shown)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_submit()

    def action_submit(self) -> None:
        """Ask for the import."""
        self.post_message(self.Submitted())

    def action_leave(self) -> None:
        """Go back to what was decided."""
        self.post_message(self.Left())


def proposed(source: str) -> str:
    """Return a data set name made from the file name of a source: letters, digits, _ and -."""
    name = PurePosixPath(source.rpartition("://")[2].partition("?")[0]).name
    stem = name.split(".")[0] or name
    return re.sub(r"[^\w-]+", "_", stem).strip("_")[:60]
