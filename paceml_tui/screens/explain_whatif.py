"""A row whose values are edited, and a model in a process of its own that answers meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual import on
from textual.message import Message
from textual.widgets import Input

from paceml_tui.render import safe
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.data_profile_parts import ListPart
from paceml_tui.screens.explain_editing import edited, help_of, nudged
from paceml_tui.screens.explain_parts import WaterfallPart
from paceml_tui.tasks import Desk, Outcome, attempt
from paceml_tui.widgets.correction import Correction

if TYPE_CHECKING:
    from local_stack.explain.whatif import Session

_VALUE = "value "
"""What the subject of a line begins with in which the value of a column is typed."""


class Answered(Message):
    """The model said what it says of an edited row."""

    def __init__(self, row: Mapping[str, Any], outcome: Outcome[dict[str, Any]]) -> None:
        super().__init__()
        self.row = row
        self.outcome = outcome


class WhatIfView(PartsView):
    """A view of a row that can be edited; a subclass shows it, and what comes of it."""

    def __init__(self, desk: Desk, session: Session) -> None:
        super().__init__(desk)
        self._session = session
        self._row: dict[str, Any] = {}
        self._base: Mapping[str, Any] = {}
        """What was said of the row as it was before any value was edited."""
        self._explained: dict[str, Any] = {}
        """The values that the result tells of: those of the base, or edited ones."""
        self._before: dict[str, Any] = {}
        self._now: Mapping[str, Any] | None = None
        self._facts: dict[str, dict[str, Any]] = {}

    @property
    def answer(self) -> Mapping[str, Any]:
        """Return what the model says of the row as it is now."""
        return self._now if self._now is not None else self._result

    @property
    def changed_columns(self) -> list[str]:
        """Return the columns whose values were edited."""
        before = self._base.get("row") or {}
        return [name for name, value in self._row.items() if value != before.get(name)]

    def show_answer(self) -> None:
        """Show what the model says of the edited row."""
        raise NotImplementedError

    # Asking the model.

    def _ask(self, row: dict[str, Any]) -> None:
        """Ask the model about an edited row; the last of several askings counts."""
        output = self._result.get("output") if self._result.get("probabilities") else None
        self.aside(
            lambda _: self._session.what_if(row, self._result["unit"], output),
            lambda it: Answered(row, it),
            "what-if",
        )

    @on(Answered)
    def _answered_row(self, event: Answered) -> None:
        event.stop()
        if self.state != "filled":
            return
        if event.outcome.value is None:
            if not self.is_asking and event.outcome.error is not None:
                self.say(event.outcome.error.message)
            return
        self._row = dict(event.row)
        self._now = event.outcome.value if self._row != self._explained else None
        self.retitle()
        self.show_answer()

    @on(WaterfallPart.Picked)
    def _picked(self, event: WaterfallPart.Picked) -> None:
        event.stop()
        self.action_edit()

    def _selected_column(self) -> str | None:
        """Return the column of the selected step; nothing can be edited without one."""
        if self.state == "loading":
            self.say("The row is still being explained.")
            return None
        row = self.query_one("#why", WaterfallPart).selected
        if self.state != "filled" or self._part != "why" or row is None:
            self.say("Select a value in the first part: 1.")
            return None
        if row["name"] not in self._row:
            self.say("This is a feature of several columns; edit those.")
            return None
        return str(row["name"])

    def action_edit(self) -> None:
        """Edit the selected value; the prediction follows every letter."""
        name = self._selected_column()
        if name is not None:
            value = self._row[name]
            text = "" if value is None else json.dumps(value) if isinstance(value, bool) else value
            self.ask(f"{_VALUE}{name}", safe(name, 28), str(text), help_of(self._facts.get(name)))

    @on(Input.Changed)
    def _typed_value(self, event: Input.Changed) -> None:
        event.stop()
        line = self.query_one(Correction)
        if line.has_class("-open") and self._editing:
            self._try(self._editing, event.value)

    _editing = ""
    """The column that is edited in the line."""

    def ask(self, subject: str, prompt: str, value: str, help: str) -> None:
        """Open the line in which a value is typed."""
        self._editing = subject.removeprefix(_VALUE) if subject.startswith(_VALUE) else ""
        self._before = dict(self._row)
        super().ask(subject, prompt, value, help)

    def _try(self, name: str, text: str) -> None:
        found = attempt(lambda: edited(text, self._facts.get(name) or {}, self._before.get(name)))
        if found.error is None and name in self._row:
            self._ask({**self._row, name: found.value})

    def given(self, subject: str, value: str) -> None:
        """Keep the value that was typed, or say why it is none."""
        if not subject.startswith(_VALUE):
            return
        name = subject.removeprefix(_VALUE)
        self._editing = ""
        found = attempt(lambda: edited(value, self._facts.get(name) or {}, self._before.get(name)))
        if found.error is not None:
            self.say(f"{found.error.message} {found.error.hint}")
            self._ask(self._before)
        else:
            self._ask({**self._before, name: found.value})

    def ungiven(self, subject: str) -> None:
        """Take back what was typed."""
        if subject.startswith(_VALUE):
            self._editing = ""
            self._ask(self._before)

    def action_nudge(self, by: int) -> None:
        """Put the next larger or smaller value in place of the selected one."""
        name = self._selected_column()
        if name is not None:
            value = nudged(self._row[name], self._facts.get(name) or {}, by)
            self._ask({**self._row, name: value})

    def action_undo(self) -> None:
        """Put the value back that the selected column had, or all."""
        name = self._selected_column()
        if name is not None and name in self.changed_columns:
            self._ask({**self._row, name: self._base["row"][name]})
        elif self.changed_columns:
            self._ask(dict(self._base["row"]))

    def action_apply(self) -> None:
        """Put the values of the selected change into the row, and look what comes of it."""
        found = self._result.get("counterfactuals") or ()
        row = self.query_one("#changes", ListPart).selected if self._part == "changes" else None
        it = (row or {}).get("it") or (found[0] if found else None)
        if self.state != "filled" or it is None:
            self.say("There is no change to apply.")
            return
        changed = {change["feature"]: change["after"] for change in it["changes"]}
        self._ask({**self._explained, **changed})
        self.action_part("why")
