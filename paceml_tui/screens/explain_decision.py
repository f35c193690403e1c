"""One row: why the model says what it says, what would change it, and what if values were others.

The model lives in a process of its own (:class:`Session`), which answers while one types.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.widgets import ContentSwitcher, Static

from local_stack.errors import StackError
from paceml_tui import decisions, keys
from paceml_tui.explanations import measured
from paceml_tui.render import Block, Text, fit, glyph, join, lines, safe, stack, styled
from paceml_tui.screens.data_profile_parts import Lines, ListPart
from paceml_tui.screens.explain_parts import (
    CHANGE_COLUMNS,
    DAMAGED,
    NAME,
    SHAP,
    STEP_COLUMNS,
    VALUE,
    WaterfallPart,
)
from paceml_tui.screens.explain_whatif import WhatIfView
from paceml_tui.screens.runs_compare_parts import ChartPart
from paceml_tui.tasks import Desk, Request, Row, as_command_line, attempt
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.table import Column
from paceml_tui.wording import told

if TYPE_CHECKING:
    from local_stack.explain.whatif import Session

PARTS = ("why", "reasons", "changes", "similar", "trace")
"""The parts in the order of their keys 1 to 5."""

_DESIRED = "desired"
_ASKED = {"counterfactuals": 3, "similar": 8}
_MOST_COLUMNS = 500


class DecisionView(WhatIfView):
    """Everything about one prediction; values can be edited while it is looked at."""

    BINDINGS = keys.bindings("decision")
    SCOPES = ("decision", "view")
    NOUN = "row"
    WORD = "explain"
    PARTS = PARTS
    DOES: ClassVar[str] = "Explaining the row..."
    STOP: ClassVar[tuple[str, str]] = ("Stop explaining?", "What was computed so far is lost.")

    def __init__(
        self, desk: Desk, session: Session, target: str, source: Mapping[str, Any], unit: str = ""
    ) -> None:
        super().__init__(desk, session)
        self._target = target
        self._source = dict(source)
        """Which row: an ``index``, a ``prediction`` id, or the ``row`` itself as a mapping."""
        self._called = _name_of(self._source)
        self._unit = unit
        self._desired = ""
        self._held: list[str] = []
        self._edits: dict[str, Any] | None = None
        """The edited row that is explained; None: the row as it was."""
        self._shown = self._wanted

    @property
    def _wanted(self) -> tuple[dict[str, Any] | None, str, str, list[str]]:
        """Return which edited row is asked about, if one is, and what is asked of it."""
        return self._edits, self._unit, self._desired, self._held

    @property
    def request(self) -> Request:
        """Return the command that explains the row as it was asked for."""
        return Request("explain.row", self._arguments(self._source))

    def _arguments(self, source: Mapping[str, Any]) -> dict[str, Any]:
        given = {k: json.dumps(v) if k == "row" else v for k, v in source.items()}
        chosen = {"unit": self._unit, "desired": self._desired, "immutable": tuple(self._held)}
        named = {k: v for k, v in chosen.items() if v}
        return {"target": self._target, **given, **named, **_ASKED, "trace": True}

    def requests(self) -> list[tuple[str, Request]]:
        """Return the commands for the row as it was, and as it is edited."""
        found = [("This row", self.request)]
        if self.changed_columns:
            edited_row = Request("explain.row", self._arguments({"row": self._row}))
            found.insert(0, ("The edited row", edited_row))
        return found

    def heading(self) -> Text:
        """Return the title: which row, and what was edited."""
        shown = [styled("Explain", "heading"), styled(self._called, limit=48)]
        if self._base.get("outcome") is not None:
            outcome = decisions.label(self._base["outcome"])
            shown.append(join(styled("outcome", "quiet"), styled(outcome)))
        if self._result.get("unit"):
            shown.append(styled(measured(self._result), "accent", 50))
        if self.changed_columns:
            n = len(self.changed_columns)
            shown.append(styled(f"{n} value{'s' * (n != 1)} edited", "warning"))
        if self._desired:
            shown.append(join(styled("wanted", "quiet"), styled(self._desired, "accent", 20)))
        if self._held:
            shown.append(join(styled("held", "quiet"), styled(", ".join(self._held), "accent", 30)))
        return join(*shown, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the verdict, the strip of the parts, and the parts."""
        yield Static(styled(""), classes="strip")
        yield Static(styled(""), classes="verdict")
        with ContentSwitcher(initial=PARTS[0]):
            yield WaterfallPart(id="why")
            yield ChartPart(id="reasons")
            yield ListPart(id="changes")
            yield ChartPart(id="similar")
            yield ChartPart(id="trace")

    def foot(self) -> ComposeResult:
        """Lay out the line in which a value is edited."""
        yield Correction()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        return ("decision", "table" if self._part in ("why", "changes") else "detail")

    # Reading.

    def on_mount(self) -> None:
        """Have the row explained."""
        self.fetch()

    def stored(self, request: Request) -> dict[str, Any] | None:
        """Return what the process says of the row; a logged prediction is recalled by a job."""
        source: dict[str, Any] = self._source if self._edits is None else {"row": self._edits}
        if "prediction" in source:  # where the model is gone, what was logged is shown
            self._facts = _by_name(attempt(self._session.columns).value or ())
            return None
        facts = _by_name(self._session.columns())
        found = self._session.explain(
            row=source.get("row"),
            index=source.get("index"),
            unit=self._unit or None,
            desired=self._desired,
            wishes={"immutable": list(self._held)},
            has_trace=True,
            **_ASKED,
        )
        self._facts = facts
        return found

    def show(self) -> None:
        """Show the row."""
        self._shown = self._wanted
        if self._edits is None:
            self._base = self._result
        self._row = dict(self._edits or self._result.get("row") or {})
        self._explained = dict(self._row)
        self._now = None
        self.retitle()
        self.become("filled")
        self.call_after_refresh(self._fill)

    def fail(self, error: StackError) -> None:
        """Show why there is no answer; the row that is shown already stays, as it is edited."""
        if not self._result:
            super().fail(error)
            return
        self._edits, self._unit, self._desired, self._held = self._shown
        self.retitle()
        self.become("filled")
        self.focus_main()
        self.app.push_screen(error_dialog("The row stays as it was explained", error))

    def _fill(self) -> None:
        self._fill_waterfall()
        for name, draw in (
            ("reasons", lambda w, _: decisions.reasons(self.answer, w)),
            ("similar", lambda w, _: self._as_it_was(decisions.similar(self._result, w))),
            ("trace", lambda w, _: self._as_it_was(decisions.trace(self._result, w))),
        ):
            self.query_one(f"#{name}", ChartPart).fill(self._whole(draw))
        self._fill_changes()
        self.action_part(self._part)

    def _whole(self, draw: Any) -> Any:
        """Return a drawing that says when it cannot be drawn."""

        def whole(width: int, height: int) -> Sequence[Text]:
            found = attempt(lambda: draw(width, height))
            return found.value or [styled(DAMAGED, "warning")]

        return whole

    def _as_it_was(self, drawn: list[Text]) -> list[Text]:
        """Return a drawing; of the row before its last edits, which is said."""
        if self._row == self._explained:
            return drawn
        note = (
            "Of the row as it was; r explains it as it is edited."
            if self._edits is None
            else "Of the row as it was edited before; r explains it as it is now."
        )
        return [styled(note, "warning"), styled(""), *drawn]

    def show_answer(self) -> None:
        """Show what the model says of the edited row."""
        self._fill_waterfall()
        for part in self.query(ChartPart):
            part.redraw()

    def _fill_waterfall(self) -> None:
        """Show the steps; their order stays while values are edited, so that none jumps."""
        part = self.query_one("#why", WaterfallPart)
        self.query_one(".verdict", Static).update(self._verdict())
        order = [it["feature"] for it in self._result["contributions"]]
        answer = dict(self.answer)
        ranks = {name: place for place, name in enumerate(order)}
        answer["contributions"] = sorted(
            answer["contributions"], key=lambda it: ranks.get(it["feature"], len(ranks))
        )
        steps = decisions.steps(answer, _MOST_COLUMNS)
        room = decisions.over(answer, _MOST_COLUMNS)
        wide = self.app.size.width
        across = (wide * 5 // 9 if wide >= WIDE else wide) - NAME - VALUE - SHAP - 16
        changed = set(self.changed_columns)
        before = self._base.get("row") or {}
        rows = tuple(
            {
                **it,
                "bar": decisions.step_bar(it, room, max(8, min(60, across))),
                "shown": self._value(it, changed, before),
            }
            for it in steps
        )
        columns = (
            *STEP_COLUMNS[:2],
            Column("from base to prediction", lambda row: row["bar"], rank=3, most=60),
            *STEP_COLUMNS[2:],
        )
        part.fill(
            Lines(
                rows,
                columns,
                {"": lambda _: 0},
                lambda row: str(row["name"]),
                lambda _: self._told(),
                lambda row: str(row["name"]),
            )
        )

    def _value(self, step: Mapping[str, Any], changed: set[str], before: Mapping[str, Any]) -> Text:
        if not step["is_column"]:
            return styled("")
        if step["name"] not in changed:
            return told(step["value"], VALUE)
        now = styled(told(step["value"], 11).plain, "warning")
        return join(now, styled(f"was {told(before.get(step['name']), 7).plain}", "quiet"))

    def _told(self) -> Block:
        """Return the reasons and the changes, beside the waterfall."""
        detail = self.query_one("#why Detail", Detail)
        width = max(30, (detail.content_size.width or 60) - 1)
        found = attempt(
            lambda: stack(
                *decisions.reasons(self.answer, width, 5),
                styled(""),
                styled("What would change it", "heading"),
                *self._as_it_was(decisions.counterfactuals(self._result, width)),
            )
        )
        return found.value or styled(DAMAGED, "warning")

    def _verdict(self) -> Text:
        was = self._base if self.changed_columns else None
        first = fit(decisions.verdict(self.answer, was), max(40, self.app.size.width - 6))
        notes = self._result.get("notes") if self._now is None else ()  # of what was explained
        return lines(first, *(styled(note, "quiet", 300) for note in notes or ()))

    def _fill_changes(self) -> None:
        part = self.query_one("#changes", ListPart)
        found = self._result.get("counterfactuals") or ()
        rows = [{"name": f"{place}", "it": it} for place, it in enumerate(found, 1)]
        note = {"name": glyph("dot"), "it": None}
        why = self._result.get("counterfactual_note")
        part.fill(
            Lines(
                tuple(rows if rows and not why else [*rows, note]),
                CHANGE_COLUMNS,
                {"": lambda _: 0},
                lambda row: str(row["name"]),
                self._change,
                lambda row: str(row["name"]),
            )
        )

    def _change(self, row: Row) -> Block:
        detail = self.query_one("#changes Detail", Detail)
        width = max(30, (detail.content_size.width or self.app.size.width - 6) - 1)
        if row["it"] is None:
            drawn = decisions.counterfactuals({**self._result, "counterfactuals": ()}, width)
            return stack(*drawn, styled(""), *decisions.held(self._result, width))
        found = attempt(
            lambda: stack(
                *self._as_it_was(decisions.counterfactual(row["it"], width, int(row["name"]))),
                styled(""),
                join(styled("a", "accent"), styled("puts these values into the row", "quiet")),
                styled(""),
                *decisions.held(self._result, width),
            )
        )
        return found.value or styled(DAMAGED, "warning")

    # Asking for more.

    def action_hold(self) -> None:
        """Hold the selected column as it is in every change, or let it change again."""
        name = self._selected_column()
        if name is not None:
            self._held = (
                [it for it in self._held if it != name]
                if name in self._held
                else [*self._held, name]
            )
            if name in self._held:
                self.say(f"{name} is held as it is.", is_good=True)
            self.action_again()

    def action_desired(self) -> None:
        """Ask which outcome the changes are to lead to."""
        if self.state == "filled":
            help = "A class, or for a number >=6, <=6 or 5..6; nothing: the most probable other."
            self.ask(_DESIRED, "wanted", self._desired, help)

    def action_again(self) -> None:
        """Explain the row as it is edited: its own changes, similar rows and trace."""
        if self.state == "filled":
            self._edits = dict(self._row) if self.changed_columns else None
            self.fetch()

    def given(self, subject: str, value: str) -> None:
        """Look for changes to the outcome that was typed, or keep a value."""
        if subject == _DESIRED:
            self._desired = value.strip()
            self.action_again()
        else:
            super().given(subject, value)

    def action_unit(self) -> None:
        """Measure in the next unit that the model has."""
        units = self._result.get("units") or ()
        if self.state != "filled" or len(units) < 2:
            self.say("This model is measured in one unit only.")
            return
        self._unit = units[(units.index(self._result["unit"]) + 1) % len(units)]
        self.action_again()

    # Going about.

    def on_resize(self) -> None:
        """Draw in the room that there is now."""
        super().on_resize()
        if self.state == "filled":
            self.call_after_refresh(self._fill_waterfall)

    def arrive(self) -> None:
        """Draw what is selected in the room that is known now."""
        if self.listed is not None:
            self.listed.describe()
        super().arrive()

    def action_back(self) -> None:
        """Go back one step: from a detail to its list, and out."""
        if not self.back():
            self.dismiss(None)

    def action_copy(self) -> None:
        """Copy the command for what is shown."""
        line = attempt(lambda: as_command_line(self.requests()[0][1]))
        if line.value is not None:
            self.app.post_message(Copied(safe(line.value, 0)))


def _by_name(columns: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(it["name"]): it for it in columns}


def _name_of(source: Mapping[str, Any]) -> str:
    if "index" in source:
        return f"row {source['index']:,}"
    return f"prediction {source['prediction']}" if "prediction" in source else "a row given"
