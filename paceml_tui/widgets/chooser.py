"""A dialog in which one or several of many names are chosen, narrowed down as one types."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Input, Label, Static

from paceml_tui import keys
from paceml_tui.render import Text, count, glyph, join, styled
from paceml_tui.tasks import Row
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.table import Column, Listing, RecordTable

_MOST = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to choose, by its name, with a remark."""

    name: str
    note: str = ""
    title: str = ""
    """How it is called where its name is not for people."""
    words: str = ""
    """By what else it is found."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen: names in the order of the list, or the one to ``remove``."""

    names: tuple[str, ...]
    verb: Literal["take", "remove"] = "take"


class Chooser(ModalScreen[Chosen | None]):
    """Names to choose from; with ``is_many`` each is turned on or off with space."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.bindings("chooser"),
        *keys.bindings("turning"),
    ]
    AUTO_FOCUS = "RecordTable"

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        *,
        chosen: Collection[str] = (),
        is_many: bool = False,
        can_remove: bool = False,
        empty: str = "There is nothing to choose from.",
    ) -> None:
        super().__init__()
        self._title = title
        self._choices = tuple(choices)
        self._chosen = set(chosen)
        self._is_many = is_many
        self._can_remove = can_remove
        self._empty = empty

    def compose(self) -> ComposeResult:
        """Lay out the line in which one types, and the names."""
        with Vertical(classes="dialog chooser"):
            yield Label(styled(self._title, "heading", 80), classes="title")
            yield Input(placeholder="/ to type words of it", compact=True)
            yield RecordTable()
            yield Static(styled(""), classes="counted")
            yield KeyBar(*self._scopes())

    def _scopes(self) -> tuple[str, ...]:
        return ("chooser", "turning") if self._is_many else ("chooser",)

    @property
    def table(self) -> RecordTable:
        """Return the list of names."""
        return self.query_one(RecordTable)

    @property
    def line(self) -> Input:
        """Return the line in which one types."""
        return self.query_one(Input)

    def on_mount(self) -> None:
        """Show every name, with the cursor on the first that is chosen."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        rows = self._fill()
        at = next((n for n, row in enumerate(rows) if row["name"] in self._chosen), 0)
        self.table.move_cursor(row=0 if self._is_many else at, animate=False)

    def _fill(self) -> Sequence[Row]:
        found = self._listed()
        kept = [{"name": it.name, "title": it.title or it.name, "note": it.note} for it in found]
        mark = (Column("on", self._mark, rank=0, most=2),) if self._is_many else ()
        shown = tuple(kept[:_MOST])
        listing = Listing((*mark, *COLUMNS), shown, len(kept), len(self._choices), 0, "", False)
        self.table.fill(listing, lambda row: str(row["name"]))
        self.query_one(".counted", Static).update(self._counted(len(kept)))
        return shown

    def _listed(self) -> list[Choice]:
        """Return what holds every word that is typed."""
        words = self.line.value.lower().split()
        return [
            it
            for it in self._choices
            if all(word in f"{it.name} {it.title} {it.note} {it.words}".lower() for word in words)
        ]

    def _counted(self, n_kept: int) -> Text:
        if not self._choices:
            return styled(self._empty, "quiet", 200)
        shown = [count(len(self._choices), "name")]
        if n_kept < len(self._choices):
            shown = [styled(f"{n_kept:,} of {len(self._choices):,} names")]
        if n_kept > _MOST:
            shown.append(styled(f"the first {_MOST}", "warning"))
        if self._is_many:
            shown.append(styled(f"{len(self._chosen):,} on", "accent"))
        return join(*shown, gap="  ")

    def _mark(self, row: Row) -> Text:
        is_on = row["name"] in self._chosen
        return styled(glyph("good"), "accent") if is_on else styled(glyph("idle"), "quiet")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill()
        self.table.move_cursor(row=0, animate=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._is_many:
            self.table.focus()
        else:
            self.action_take()

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_take()

    def action_take(self) -> None:
        """Choose what is turned on, or the selected name."""
        if self._is_many:
            names = tuple(it.name for it in self._choices if it.name in self._chosen)
            self.dismiss(Chosen(names))
        elif self.table.selected is not None:
            self.dismiss(Chosen((str(self.table.selected["name"]),)))

    def action_turn(self) -> None:
        """Turn the selected name on or off."""
        row = self.table.selected
        if row is not None and self._is_many:
            self._chosen ^= {str(row["name"])}
            self._fill()
            self.table.action_cursor_down()

    def action_turn_all(self) -> None:
        """Turn every name that is listed on, or off where all are on."""
        if not self._is_many:
            return
        listed = {it.name for it in self._listed()}
        self._chosen = self._chosen - listed if listed <= self._chosen else self._chosen | listed
        self._fill()

    def action_remove(self) -> None:
        """Hand back the selected name to be removed."""
        if self._can_remove and self.table.selected is not None:
            self.dismiss(Chosen((str(self.table.selected["name"]),), "remove"))

    def action_type(self) -> None:
        """Go to the line in which one types."""
        self.line.focus()

    def action_leave(self) -> None:
        """Leave the line for the names, and the names for the screen."""
        if self.line.has_focus:
            self.table.focus()
        else:
            self.dismiss(None)


COLUMNS = (
    Column("name", lambda row: styled(row["title"], limit=60), is_wide=True, rank=0, most=48),
    Column("about", lambda row: styled(row["note"], "quiet", 40), rank=1, most=40),
)
