"""A table of records that fits its width: columns go by rank, texts are cut with an ellipsis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from textual import events
from textual.message import Message
from textual.widgets import DataTable

from paceml_tui import keys
from paceml_tui.render import Text, cells, fit, right, sorted_title, styled

Row = dict[str, Any]

_PADDING = 2
_SCROLLBAR = 1
_LEAST_WIDE = 12


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what a row shows in it, and how it sorts.

    ``order`` is our own SQL over the listing's columns, with ``values`` for its placeholders.
    When the width does not hold every column, those of the highest ``rank`` go first; the
    ``is_wide`` one takes the room that is left.
    """

    title: str
    cell: Callable[[Row], Text] = field(compare=False)
    order: str = ""
    values: tuple[str, ...] = ()
    is_number: bool = False
    is_wide: bool = False
    rank: int = 5
    most: int = 28


@dataclass(frozen=True, slots=True)
class LargestFirst:
    """An order that begins with the largest number of ``key``."""

    key: Callable[[Row], float]

    def __call__(self, row: Row) -> float:
        """Return what a line is sorted by."""
        return -self.key(row)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of records, and how many there are beside it."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    n_match: int
    n_total: int
    offset: int
    sorted_by: str
    is_descending: bool
    note: str = ""


class _Shown:
    """A column with its texts and widths, made when it may have room."""

    def __init__(self, column: Column, header: Text, rows: Sequence[Row]) -> None:
        self.column = column
        self.header = header
        self._rows = rows

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        return tuple(self.column.cell(row) for row in self._rows)

    @cached_property
    def natural(self) -> int:
        widest = max((cells(text) for text in self.texts), default=0)
        return max(cells(self.header), min(widest, self.column.most))

    @property
    def least(self) -> int:
        if not self.column.is_wide:
            return self.natural
        return max(cells(self.header), min(self.natural, _LEAST_WIDE))

    def fits(self, room: int) -> bool:
        """Return whether the column has room; its texts are not made where its title has none."""
        return cells(self.header) + _PADDING <= room and self.least + _PADDING <= room


class RecordTable(DataTable[Text], inherit_bindings=False):
    """The lines of a screen; at most 500 of them."""

    BINDINGS = keys.bindings("table")

    class Beyond(Message):
        """Somebody goes on from the last line or the first; ``is_far``: to the very end."""

        def __init__(self, by: int, *, is_far: bool = False) -> None:
            super().__init__()
            self.by = by
            self.is_far = is_far

    def __init__(self, **names: Any) -> None:
        super().__init__(cursor_type="row", cursor_foreground_priority="renderable", **names)
        self._columns: tuple[_Shown, ...] = ()
        self._rows: tuple[Row, ...] = ()
        self._names: tuple[str, ...] = ()
        self._width = 0

    @property
    def selected(self) -> Row | None:
        """Return the record under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def fill(self, listing: Listing, name_of: Callable[[Row], str]) -> None:
        """Show a listing; the cursor stays on the record it is on."""
        before = self._names[self.cursor_row] if self.selected is not None else ""
        self._columns = tuple(_shown(column, listing) for column in listing.columns)
        self._rows = listing.rows
        self._names = tuple(name_of(row) for row in listing.rows)
        at = self._names.index(before) if before in self._names else self.cursor_row
        self._draw(min(at, len(self._rows) - 1))

    def _goes_beyond(self, by: int, *, is_far: bool = False) -> bool:
        """Tell that one goes on from the outermost line, if the cursor is there."""
        is_there = self.cursor_row == (len(self._rows) - 1 if by > 0 else 0)
        if is_there:
            self.post_message(self.Beyond(by, is_far=is_far))
        return is_there

    def action_cursor_down(self) -> None:
        """Go one line down, and from the last line beyond it."""
        if not self._goes_beyond(1):
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        """Go one line up, and from the first line beyond it."""
        if not self._goes_beyond(-1):
            super().action_cursor_up()

    def action_page_down(self) -> None:
        """Go one page down, and from the last line beyond it."""
        if not self._goes_beyond(1):
            super().action_page_down()

    def action_page_up(self) -> None:
        """Go one page up, and from the first line beyond it."""
        if not self._goes_beyond(-1):
            super().action_page_up()

    def action_scroll_bottom(self) -> None:
        """Go to the last line, and from there to the last of all."""
        if not self._goes_beyond(1, is_far=True):
            super().action_scroll_bottom()

    def action_scroll_top(self) -> None:
        """Go to the first line, and from there to the first of all."""
        if not self._goes_beyond(-1, is_far=True):
            super().action_scroll_top()

    def _draw(self, at: int) -> None:
        self._width = self.size.width
        room = self._width - (_SCROLLBAR if len(self._rows) >= self.size.height else 0)
        with self.app.batch_update():
            self.clear(columns=True)
            drawn = _fitted(self._columns, room)
            for shown, width in drawn:
                header = right(shown.header) if shown.column.is_number else shown.header
                self.add_column(header, width=width)
            for place in range(len(self._rows)):
                self.add_row(*(_cell(shown, place, width) for shown, width in drawn))
            self.move_cursor(row=max(0, at), animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns to the new width."""
        self._fit(event.size.width)

    def on_focus(self) -> None:
        """Fit the columns to a width that no event told of: what was scrolled hid it."""
        self._fit(self.size.width)

    def _fit(self, width: int) -> None:
        if width != self._width and self._columns:
            self._draw(self.cursor_row)


def _shown(column: Column, listing: Listing) -> _Shown:
    is_sorted = column.title == listing.sorted_by
    title = sorted_title(column.title, listing.is_descending) if is_sorted else styled(column.title)
    return _Shown(column, title, listing.rows)


def _cell(shown: _Shown, place: int, width: int) -> Text:
    text = fit(shown.texts[place], width)
    return right(text) if shown.column.is_number else text


def _fitted(columns: Sequence[_Shown], room: int) -> list[tuple[_Shown, int]]:
    kept: list[_Shown] = []
    left = room
    for shown in sorted(columns, key=lambda shown: shown.column.rank):
        if kept and not shown.fits(left):
            continue
        kept.append(shown)
        left -= shown.least + _PADDING
    drawn = []
    for shown in columns:
        if shown not in kept:
            continue
        width = shown.least
        if shown.column.is_wide:
            width += max(0, left)
            left = 0
        drawn.append((shown, width))
    return drawn
