"""A table of any size: only the cells that are seen are asked for and drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paceml_tui import keys
from paceml_tui.render import Text, cells, fit, join, marked, styled

_MOST_DRAWN = 500


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One column: the lines of its head, how wide it is, and whether it is set to the right."""

    head: tuple[Text, ...] = field(compare=False)
    width: int
    is_number: bool = False


class CellGrid(ScrollView, inherit_bindings=False, can_focus=True):
    """Rows under heads that stay, beside labels that stay, with a cursor on one cell.

    A subclass gives :meth:`cell` and :meth:`label`; both are asked while a line is drawn.
    """

    BINDINGS = keys.bindings("cells")

    GAP: ClassVar[int] = 2
    """Cells of the terminal between two columns."""

    class Moved(Message):
        """The cursor stands on another cell, or other cells are seen."""

    class Opened(Message):
        """Somebody wants the cell under the cursor in full."""

    def __init__(self) -> None:
        super().__init__()
        self.n_rows = 0
        self.row = 0
        self.column = 0
        self._columns: tuple[CellColumn, ...] = ()
        self._ends: list[int] = []
        self._label_width = 0
        self._n_frozen = 0
        self._drawn: dict[tuple[int, ...], Strip] = {}

    def cell(self, row: int, column: int) -> Text:
        """Return what stands in a cell."""
        raise NotImplementedError

    def label(self, row: int) -> Text:
        """Return what stands before a row."""
        raise NotImplementedError

    def corner(self) -> Text:
        """Return what stands over the labels."""
        return styled("")

    def begin(self, n_rows: int, columns: Sequence[CellColumn], label_width: int) -> None:
        """Show another table, from its first cell."""
        self.n_rows = n_rows
        self._columns = tuple(columns)
        self._ends = list(accumulate(it.width + self.GAP for it in columns))
        self._label_width = label_width
        self._n_frozen = 0
        self.row = self.column = 0
        self._resize_content()
        self.scroll_to(0, 0, animate=False)
        self.redraw()

    def redraw(self) -> None:
        """Draw every line again: what the cells hold has changed."""
        self._drawn.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        """Draw every line again in other colours."""
        self._drawn.clear()
        super().notify_style_update()

    # Where things stand.

    @property
    def n_columns(self) -> int:
        """Return how many columns there are."""
        return len(self._columns)

    @property
    def n_frozen(self) -> int:
        """Return how many columns stay when the others scroll."""
        return self._n_frozen

    @property
    def _n_head(self) -> int:
        return max((len(it.head) for it in self._columns), default=0)

    @property
    def _fixed(self) -> int:
        """Return the width of what does not scroll."""
        frozen = self._ends[self._n_frozen - 1] if self._n_frozen else 0
        return self._label_width + self.GAP + frozen

    @property
    def _height(self) -> int:
        """Return how many rows are seen."""
        return max(1, self.scrollable_content_region.height - self._n_head)

    @property
    def _room(self) -> int:
        return max(1, self.scrollable_content_region.width - self._fixed)

    def seen_rows(self) -> range:
        """Return the rows that are seen."""
        first = max(0, self.scroll_offset.y)
        return range(first, min(self.n_rows, first + self._height))

    def seen_columns(self) -> range:
        """Return the columns that are seen, but for the frozen ones."""
        if not self._columns:
            return range(0)
        left = self._left
        first = bisect_right(self._ends, left)
        last = bisect_right(self._ends, left + self._room - 1)
        return range(max(first, self._n_frozen), min(last + 1, self.n_columns))

    @property
    def _left(self) -> int:
        """Return the first cell that is seen of the columns, as they lie beside each other."""
        return self.scroll_offset.x + (self._ends[self._n_frozen - 1] if self._n_frozen else 0)

    def _start_of(self, column: int) -> int:
        return self._ends[column - 1] if column else 0

    def _resize_content(self) -> None:
        width = self._label_width + self.GAP + (self._ends[-1] if self._ends else 0)
        self.virtual_size = Size(width, self.n_rows + self._n_head)

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """Draw one line of what is seen."""
        row = self.scroll_offset.y + y - self._n_head
        if y >= self._n_head and row >= self.n_rows:
            return Strip.blank(self.size.width, self.rich_style)
        line = -1 - y if y < self._n_head else row
        column = self.column if line < 0 or row == self.row else -1
        at = (line, column, self.has_focus, self._left, self._fixed, self.size.width)
        if at not in self._drawn:
            if len(self._drawn) > _MOST_DRAWN:
                self._drawn.clear()
            self._drawn[at] = self._draw(y, row)
        return self._drawn[at]

    def _draw(self, y: int, row: int) -> Strip:
        if y < self._n_head:
            shown = self._line(self.corner() if y == 0 else styled(""), self._head(y))
        else:
            label = self.label(row)
            is_here = row == self.row and self.has_focus
            shown = self._line(marked(label, "here") if is_here else label, self._body(row))
        return shown.adjust_cell_length(self.size.width, self.rich_style).apply_style(
            self.rich_style
        )

    def _head(self, y: int) -> Callable[[int], Text]:
        def shown(place: int) -> Text:
            head = self._columns[place].head
            text = head[y] if y < len(head) else styled("")
            column = self._columns[place]
            text = padded(text, column.width, is_right=column.is_number)
            return marked(text, "here") if place == self.column and self._is_marked(y) else text

        return shown

    def _is_marked(self, y: int) -> bool:
        """Return whether a line of the head says which column the cursor is in."""
        return y == 0 and self.has_focus

    def _body(self, row: int) -> Callable[[int], Text]:
        def shown(place: int) -> Text:
            column = self._columns[place]
            text = padded(self.cell(row, place), column.width, is_right=column.is_number)
            is_here = row == self.row and place == self.column
            return marked(text, "here" if self.has_focus else "cursor") if is_here else text

        return shown

    def _line(self, label: Text, cell: Callable[[int], Text]) -> Strip:
        console = self.app.console
        gap = styled(" " * self.GAP, limit=0)
        fixed = [padded(label, self._label_width, is_right=True), gap]
        for place in range(self._n_frozen):
            fixed += [self._padded(cell, place), gap]
        seen = self.seen_columns()
        parts = [it for place in seen for it in (self._padded(cell, place), gap)]
        left = Strip(join(*fixed, gap="").render(console))
        if not parts:
            return left
        begun = self._left - self._start_of(seen.start)
        rest = Strip(join(*parts, gap="").render(console)).crop(begun, begun + self._room)
        return Strip.join([left, rest])

    def _padded(self, cell: Callable[[int], Text], place: int) -> Text:
        column = self._columns[place]
        return padded(cell(place), column.width, is_right=column.is_number)

    # Moving.

    def go(self, row: int, column: int) -> None:
        """Put the cursor on a cell, or the nearest there is, and show it."""
        before = self.row, self.column
        self.row = min(max(0, row), max(0, self.n_rows - 1))
        self.column = min(max(0, column), max(0, self.n_columns - 1))
        self._follow()
        self.refresh()
        if before != (self.row, self.column):
            self.post_message(self.Moved())

    def _follow(self) -> None:
        """Scroll as little as shows the cursor."""
        top = self.scroll_offset.y
        y = min(max(top, self.row - self._height + 1), self.row)
        x = self.scroll_offset.x
        if self.column >= self._n_frozen and self._columns:
            frozen = self._start_of(self._n_frozen)
            start = self._start_of(self.column) - frozen
            end = self._ends[self.column] - self.GAP - frozen
            x = min(max(x, end - self._room), start)
        if (x, y) != self.scroll_offset:
            self.scroll_to(x, y, animate=False, immediate=True)

    def freeze(self, n: int) -> None:
        """Keep the first ``n`` columns in sight, as far as they leave room for one more."""
        self._n_frozen = 0
        most = self.scrollable_content_region.width - self._label_width - self.GAP
        while n and self._ends[n - 1] + 8 > most:
            n -= 1
        self._n_frozen = n
        self.scroll_to(0, self.scroll_offset.y, animate=False, immediate=True)
        self._follow()
        self.redraw()
        self.post_message(self.Moved())

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        """Tell that other columns are seen."""
        super().watch_scroll_x(old_value, new_value)
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell that other rows are seen."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Keep the cursor in sight, and tell that other cells are seen."""
        if self._columns:
            self._follow()
            self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Go to the cell under the pointer."""
        y = event.y - self._n_head
        if y < 0 or event.x < self._label_width + self.GAP or not self._columns:
            return
        at = event.x - self._label_width - self.GAP
        frozen = self._start_of(self._n_frozen)
        at = at if at < frozen else at + self.scroll_offset.x
        self.go(self.scroll_offset.y + y, bisect_right(self._ends, at))

    def action_move(self, rows: int, columns: int) -> None:
        """Go so many cells down and to the right."""
        self.go(self.row + rows, self.column + columns)

    def action_page(self, halves: int) -> None:
        """Go so many half pages down."""
        by = max(1, self._height // 2) * halves
        top = min(max(0, self.scroll_offset.y + by), max(0, self.n_rows - self._height))
        self.scroll_to(self.scroll_offset.x, top, animate=False, immediate=True)
        self.go(self.row + by, self.column)

    def action_row(self, row: int) -> None:
        """Go to a row; a negative number counts from the end."""
        self.go(row if row >= 0 else self.n_rows + row, self.column)

    def action_side(self, column: int) -> None:
        """Go to a column; a negative number counts from the end."""
        self.go(self.row, column if column >= 0 else self.n_columns + column)

    def action_open(self) -> None:
        """Ask for the cell under the cursor in full."""
        if self.n_rows and self._columns:
            self.post_message(self.Opened())


def padded(text: Text, width: int, *, is_right: bool = False) -> Text:
    """Return ``text`` in exactly ``width`` cells."""
    shown = fit(text, width)
    blank = styled(" " * max(0, width - cells(shown)), limit=0)
    if not blank.plain:
        return shown
    return join(blank, shown, gap="") if is_right else join(shown, blank, gap="")
