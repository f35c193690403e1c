"""The profile of a version: what is in the table, what is odd, and what goes with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.widgets import ContentSwitcher, Static

from paceml_tui import keys
from paceml_tui.render import Text, count, join, safe, styled
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.data_profile_parts import (
    Lines,
    ListPart,
    MatrixPart,
    MissingPart,
    SamplePart,
)
from paceml_tui.screens.data_profile_table import (
    ALERT_ORDERS,
    alert_block,
    alert_columns,
    alert_rows,
    changes_text,
    columns_of,
    overview_blocks,
)
from paceml_tui.screens.data_profile_variable import COLUMNS, ORDERS, rows_of, variable_block
from paceml_tui.screens.data_rows import RowsView
from paceml_tui.tasks import Asked, Desk, Request, Row
from paceml_tui.widgets.cells import CellGrid
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import Notification
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.sheet import Sheet

PARTS = ("overview", "alerts", "variables", "correlations", "missing", "sample")
"""The parts in the order of their keys 1 to 6."""


class ProfileView(PartsView):
    """Everything that is known of the columns of a version."""

    BINDINGS = keys.bindings("profile")
    SCOPES = ("profile",)
    NOUN = "profile"
    DOES = "Describing the columns..."
    STOP: ClassVar[tuple[str, str]] = (
        "Stop describing the version?",
        "It stops at its next step; the profile can be made again at any time.",
    )
    PARTS = PARTS
    FILTERED = "variables"

    def __init__(self, desk: Desk, dataset: str, version: str) -> None:
        super().__init__(desk)
        self._dataset = dataset
        self._reference = f"{dataset}@{version}"
        self._target = ""
        self._time = ""

    @property
    def request(self) -> Request:
        """Return the command that makes this profile."""
        given = {"target": self._target, "time": self._time}
        chosen = {name: column for name, column in given.items() if column}
        return Request("data.profile", {"name": self._reference, **chosen})

    def heading(self) -> Text:
        """Return the title: of which version, how much there is, and what is new."""
        parts = [styled("Profile", "heading"), styled(self._reference, limit=50)]
        it = self._result.get("overview") or {}
        if it:
            parts += [
                count(it.get("n_rows") or 0, "row"),
                count(it.get("n_columns") or 0, "column"),
            ]
            parts += [changes_text(self._result, is_short=True)]
        if (self._result.get("reproduction") or {}).get("is_sample"):
            parts.append(styled("a sample", "warning"))
        part = self.part if self.state == "filled" else None
        if isinstance(part, ListPart | MatrixPart) and part.place:
            parts.insert(2, styled(part.place, "warning", 40))
        return join(*parts, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the strip of the parts, and the parts."""
        yield Static(styled(""), classes="strip")
        with ContentSwitcher(initial=PARTS[0]):
            yield Sheet(id="overview")
            yield ListPart(id="alerts")
            yield ListPart(id="variables")
            yield MatrixPart(id="correlations")
            yield MissingPart(id="missing")
            yield SamplePart(id="sample")

    def foot(self) -> ComposeResult:
        """Lay out the lines in which one types a filter, a file or a target."""
        yield FilterBar("words that must appear")
        yield Correction()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        moving = {
            "alerts": "table",
            "variables": "table",
            "correlations": "cells",
            "sample": "cells",
        }
        return ("profile", moving.get(self._part, "detail"))

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that makes this profile."""
        return [("This profile", self.request)]

    # Reading.

    def on_mount(self) -> None:
        """Show what is stored, or begin to describe the version."""
        self.fetch()

    def stored(self, request: Request) -> dict[str, Any] | None:
        """Return the stored profile; one in the order of time is not kept."""
        given = request.arguments
        return None if "time" in given else stored(self.desk, given["name"], given.get("target"))

    def show(self) -> None:
        """Show the profile, or that there is nothing to describe."""
        self.retitle()
        overview = self._result.get("overview") or {}
        if not overview.get("n_columns") or not overview.get("n_rows"):
            self.notice.say_empty("This version has no rows to describe. Press esc to go back.")
            self.become("empty")
            return
        self.become("filled")
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        result = self._result
        self.query_one("#overview", Sheet).show(*overview_blocks(result))
        self.query_one("#alerts", ListPart).fill(
            Lines(
                tuple(alert_rows(result)),
                alert_columns(result),
                ALERT_ORDERS,
                lambda row: f"{row['place']}",
                lambda row: alert_block(result, row),
                lambda row: " ".join([str(row.get("code")), *columns_of(row), row["state"]]),
            )
        )
        self.query_one("#variables", ListPart).fill(
            Lines(
                tuple(rows_of(result)),
                COLUMNS,
                ORDERS,
                lambda row: str(row["name"]),
                lambda row: variable_block(result, str(row["name"])),
                lambda row: f"{row['name']} {row.get('type')} {row.get('kind')}",
            )
        )
        self.query_one(MatrixPart).fill(result)
        self.query_one(MissingPart).fill(result)
        self.query_one(SamplePart).fill(result)
        self.action_part(self._part)

    # Going about.

    def counts(self) -> Mapping[str, int | None]:
        """Return how many alerts and variables there are."""
        overview = self._result.get("overview") or {}
        return {
            "alerts": len(self._result.get("alerts") or []),
            "variables": overview.get("n_columns"),
        }

    def action_back(self) -> None:
        """Go back one step: from the detail to the list, from a filter to all, and out."""
        if not self.back() and not self.drop_filter():
            self.dismiss(None)

    # Lists.

    def action_reverse(self) -> None:
        """Turn the order of the list round."""
        if self.listed is not None:
            self.listed.reverse()

    def action_page(self, by: int) -> None:
        """Show the next or the previous lines of a long list."""
        if self.listed is not None:
            self.listed.page(by)

    def action_step(self, by: int) -> None:
        """Select the next or the previous line, from within a detail too."""
        if self.listed is not None:
            self.listed.step(by)

    def action_method(self) -> None:
        """Show the next matrix, or the duplicates in place of the sample."""
        if isinstance(self.part, MatrixPart | SamplePart):
            self.part.turn()
            self.retitle()
        elif self.state == "filled":
            self.say("Press 4 for the correlations or 6 for the sample: m changes what they show.")

    # From one thing to another.

    @property
    def _column(self) -> str | None:
        """Return the column that what is selected is about."""
        row: Row | None = self.listed.selected if self.listed is not None else None
        if row is not None:
            return row.get("name") if self._part == "variables" else row.get("column")
        if isinstance(self.part, MatrixPart) and self.part.map.pair:
            return self.part.map.pair[0]
        if isinstance(self.part, SamplePart) and self.part.grid.names:
            return self.part.grid.names[self.part.grid.column]
        return None

    def action_variable(self) -> None:
        """Go to the variable that the selected alert or cell is about."""
        name = self._column
        if name is None or self.state != "filled":
            self.say("Select an alert of one column, or a cell of a correlation.")
            return
        self.action_part("variables")
        self.query_one("#variables", ListPart).select(name)

    def action_rows(self) -> None:
        """Show the rows behind what is selected, among all the others."""
        if self.state != "filled":
            return
        row = self.listed.selected if self.listed is not None else None
        rows = tuple(it for it in (row or {}).get("rows") or [] if isinstance(it, int))
        if isinstance(self.part, SamplePart):
            rows = self.part.row_numbers
        view = RowsView(self.desk, self._reference, rows, column=self._column or "")
        self.app.push_screen(view)

    @on(CellGrid.Opened)
    def _opened(self, event: CellGrid.Opened) -> None:
        event.stop()
        if isinstance(self.part, SamplePart):
            grid = self.part.grid
            value = grid.value(grid.row, grid.column)
            text = "(missing)" if value is None else str(value)
            block = styled(text, limit=0, is_block=True)
            copied = safe(text, 0, is_block=True)
            self.app.push_screen(Notification(grid.names[grid.column], block, copied))

    # Doing.

    def action_copy(self) -> None:
        """Copy the name of the selected column, or of the version."""
        self.app.post_message(Copied(safe(self._column or self._reference, 0)))

    def action_again(self) -> None:
        """Describe the version again."""
        if self.state != "loading":
            self.fetch(is_anew=True)

    def action_export(self) -> None:
        """Ask for the file that the profile is written to as one page."""
        if self.state == "filled":
            help = "One page of HTML that needs no network; a file of that name is replaced."
            self.ask("html", "write to", f"{self._dataset}-profile.html", help)

    def action_target(self) -> None:
        """Ask for the column that a model is to predict."""
        if self.state == "filled":
            help = "The column to predict: leakage and missingness are judged by it."
            self.ask("target", "target", str(self._result.get("target") or ""), help)

    def action_time(self) -> None:
        """Ask for the column that says when each row was."""
        if self.state == "filled":
            help = "A column of dates: the numbers are described in its order, too."
            self.ask("time", "time", self._time, help)

    def given(self, subject: str, value: str) -> None:
        """Write the page, or describe the version by the column that was typed."""
        text = value.strip()
        if subject == "html" and text:
            arguments = {**self.request.arguments, "html": text}
            self.app.post_message(Asked(Request("data.profile", arguments), is_form=False))
        elif subject in ("target", "time"):
            self._choose(subject, text)

    def _choose(self, role: str, column: str) -> None:
        """Give a column a role, '' none, and describe the version by it."""
        before = self._time if role == "time" else str(self._result.get("target") or "")
        if column and column not in (self._result.get("variables") or {}):
            self.say(f"There is no column '{safe(column, 40)}'.")
        elif column != before:
            if role == "time":
                self._time = column
            else:
                self._target = column
            self.fetch()


def stored(desk: Desk, reference: str, target: str | None = None) -> dict[str, Any] | None:
    """Return the stored profile of a version; None when it has to be made."""
    from local_stack.data import profiles, versions

    version = versions.find(desk.workspace, reference)
    return profiles.stored(desk.workspace, version, target)
