"""The parts of the profile view: lists with a detail, the heat map, and rows kept in a profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import DataTable, Static

from paceml_tui.charts import heat
from paceml_tui.render import Block, Text, cells, glyph, join, styled
from paceml_tui.screens.data_profile_table import matrix_of, missing_block, pair_block
from paceml_tui.screens.data_profile_variable import METHODS
from paceml_tui.tasks import Row
from paceml_tui.widgets.cells import CellColumn, CellGrid
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.records import WIDE
from paceml_tui.widgets.table import Column, LargestFirst, Listing, RecordTable

PAGE = 500
_LABEL = 24
_WIDEST = 24
_PAUSE_SECONDS = 0.12

Orders = Mapping[str, Callable[[Row], Any]]


class Part(Container):
    """One part of the view."""

    _described_at = 0.0
    _timer: Timer | None = None

    def main(self) -> Widget:
        """Return what has the focus."""
        raise NotImplementedError

    def back(self) -> bool:
        """Undo one step of what is open; return whether there was one."""
        if not self.has_class("-detail"):
            return False
        self.remove_class("-detail")
        self.main().focus()
        return True

    def describe(self) -> None:
        """Show everything about what is selected."""

    def describe_soon(self) -> None:
        """Describe at once, but not more often than one can read while a key is held."""
        if self._timer is not None:
            self._timer.stop()
        rest = self._described_at + _PAUSE_SECONDS - time.monotonic()
        if rest <= 0:
            self._describe_now()
        else:
            self._timer = self.set_timer(rest, self._describe_now)

    def _describe_now(self) -> None:
        self._timer = None
        self._described_at = time.monotonic()
        self.describe()

    def open_detail(self) -> None:
        """Show the detail in place of the list, or go to it where it stands beside the list."""
        self.add_class("-detail")
        self.query_one(Detail).focus()

    @property
    def is_detail_alone(self) -> bool:
        """Return whether the detail stands in place of what it is of."""
        return self.has_class("-detail") and self.app.size.width < WIDE


@dataclass(frozen=True, slots=True)
class Lines:
    """What a list holds: lines, columns, what it is sorted by, their names, and the detail."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    orders: Orders
    name_of: Callable[[Row], str]
    describe: Callable[[Row], Block]
    search: Callable[[Row], str]


class ListPart(Part):
    """A list that is filtered and sorted here, and everything about the selected line."""

    class Filtered(Message):
        """Other lines are listed."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="part pair")
        self.lines: Lines | None = None
        self.filter_text = ""
        self.n_match = 0
        self._order = ""
        self._is_turned = False
        self._first = 0

    def compose(self) -> ComposeResult:
        """Lay out the list and the detail."""
        yield RecordTable()
        yield Detail()

    @property
    def table(self) -> RecordTable:
        """Return the list."""
        return self.query_one(RecordTable)

    @property
    def selected(self) -> Row | None:
        """Return the selected line."""
        return self.table.selected

    def main(self) -> Widget:
        """Return the list, or the detail when it stands in its place."""
        return self.query_one(Detail) if self.is_detail_alone else self.table

    def fill(self, lines: Lines) -> None:
        """Show other lines."""
        self.lines = lines
        self._refill()

    def _refill(self) -> None:
        lines = self.lines
        if lines is None:
            return
        words = self.filter_text.lower().split()
        kept = [row for row in lines.rows if all(w in lines.search(row).lower() for w in words)]
        kept.sort(key=lines.orders[self._order], reverse=self._is_turned)
        self.n_match = len(kept)
        self._first = self._first if self._first < len(kept) else 0
        page = tuple(kept[self._first : self._first + PAGE])
        is_descending = self._is_turned != isinstance(lines.orders[self._order], LargestFirst)
        listing = Listing(
            lines.columns, page, len(kept), len(lines.rows), 0, self._order, is_descending
        )
        self.table.fill(listing, lines.name_of)
        self.describe()
        self.post_message(self.Filtered())

    def filter(self, text: str) -> None:
        """Show the lines that hold every word of ``text``."""
        self.filter_text = text
        self._first = 0
        self._refill()

    def sort(self) -> None:
        """Sort by the next thing that can be sorted by."""
        if self.lines is not None:
            names = list(self.lines.orders)
            self._order = names[(names.index(self._order) + 1) % len(names)]
            self._is_turned = False
            self._refill()

    def reverse(self) -> None:
        """Turn the order round."""
        self._is_turned = not self._is_turned
        self._refill()

    def page(self, by: int) -> None:
        """Show the next or the previous page of lines."""
        wanted = self._first + by * PAGE
        if 0 <= wanted < self.n_match:
            self._first = wanted
            self._refill()
            self.table.move_cursor(row=0, animate=False)

    def step(self, by: int) -> None:
        """Select the next or the previous line."""
        self.table.move_cursor(row=self.table.cursor_row + by, animate=False)

    @property
    def place(self) -> str:
        """Return which lines are listed when they are not all, in words."""
        total = len(self.lines.rows) if self.lines else 0
        parts = [f"{self.n_match:,} of {total:,}: {self.filter_text}"] if self.filter_text else []
        if self.n_match > PAGE:
            last = min(self._first + PAGE, self.n_match)
            parts.append(f"lines {self._first + 1:,}-{last:,} of {self.n_match:,}")
        return ", ".join(parts)

    def select(self, name: str) -> None:
        """Select the line called ``name``, whatever is filtered, and open it."""
        lines = self.lines
        if lines is None:
            return
        self.filter_text, self._order, self._is_turned, self._first = "", "", False, 0
        names = [lines.name_of(row) for row in sorted(lines.rows, key=lines.orders[""])]
        if name in names:
            self._first = names.index(name) // PAGE * PAGE
        self._refill()
        if name in names:
            self.table.move_cursor(row=names.index(name) - self._first, animate=False)
            self.call_after_refresh(self.open_detail)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.describe_soon()

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.open_detail()

    def describe(self) -> None:
        """Show everything about what is selected."""
        row = self.selected
        is_filtered = self.lines is not None and bool(self.lines.rows)
        why = "No line matches. Press / to change the filter." if is_filtered else "There is none."
        none = styled(why, "quiet")
        shown: Block = self.lines.describe(row) if row is not None and self.lines else none
        self.query_one(Detail).show(shown)


class HeatMap(CellGrid):
    """A matrix of correlations: each cell has its value, on a ground that says the same."""

    GAP = 0

    def __init__(self) -> None:
        super().__init__()
        self.method = ""
        self.names: tuple[str, ...] = ()
        self._values: Sequence[Sequence[Any]] = ()

    def show(self, method: str, matrix: Mapping[str, Any]) -> None:
        """Show a matrix."""
        self.method = method
        self.names = tuple(matrix.get("columns") or [])
        self._values = matrix.get("values") or []
        columns = [
            CellColumn((styled(f"{place:,} "),), 5, is_number=True)
            for place in range(1, len(self.names) + 1)
        ]
        widest = max((cells(self.label(place)) for place in range(len(self.names))), default=0)
        title = cells(self.corner())
        self.begin(len(self.names), columns, min(max(widest, title), _LABEL))

    def cell(self, row: int, column: int) -> Text:
        """Return a correlation."""
        return heat(self._values[row][column])

    def label(self, row: int) -> Text:
        """Return the name of a column and its number."""
        name = styled(self.names[row], limit=_LABEL - 5)
        return join(name, styled(f"{row + 1:>3} ", "quiet"))

    def corner(self) -> Text:
        """Return the method."""
        return styled(METHODS.get(self.method, ""), "accent")

    @property
    def pair(self) -> tuple[str, str] | None:
        """Return the two columns under the cursor."""
        if not self.names:
            return None
        return self.names[self.row], self.names[self.column]


class MatrixPart(Part):
    """The heat map of a method, and the two columns under its cursor."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="part pair")
        self._result: Mapping[str, Any] = {}
        self.methods: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the map, the pair, and the sentence that stands in for them."""
        yield HeatMap()
        yield Detail()
        none = "There are no two columns to correlate."
        yield Static(styled(none, "quiet"), classes="none")

    @property
    def map(self) -> HeatMap:
        """Return the heat map."""
        return self.query_one(HeatMap)

    @property
    def place(self) -> str:
        """Return how many columns the matrix leaves out, in words."""
        left_out = matrix_of(self._result, self.map.method).get("left_out") or []
        return f"{len(left_out):,} columns left out" if left_out else ""

    def main(self) -> Widget:
        """Return the map, or the detail when it stands in its place."""
        return self.query_one(Detail) if self.is_detail_alone else self.map

    def fill(self, result: Mapping[str, Any]) -> None:
        """Show the first method that has a matrix of two columns or more."""
        self._result = result
        held = [m for m in METHODS if len(matrix_of(result, m).get("columns") or []) > 1]
        self.methods = tuple(held)
        self.set_class(not held, "-none")
        if held:
            self.map.show(held[0], matrix_of(result, held[0]))
            self.describe()

    def turn(self) -> None:
        """Show the next method; the cursor stays on the pair where that has it."""
        if len(self.methods) < 2:
            return
        pair = self.map.pair
        at = self.methods.index(self.map.method) + 1
        method = self.methods[at % len(self.methods)]
        self.map.show(method, matrix_of(self._result, method))
        names = self.map.names
        if pair and pair[0] in names and pair[1] in names:
            self.map.go(names.index(pair[0]), names.index(pair[1]))
        self.describe()

    @on(CellGrid.Moved)
    def _moved(self, event: CellGrid.Moved) -> None:
        event.stop()
        self.describe_soon()

    @on(CellGrid.Opened)
    def _opened(self, event: CellGrid.Opened) -> None:
        event.stop()
        self.open_detail()

    def describe(self) -> None:
        """Show everything about what is selected."""
        pair = self.map.pair
        shown: Block = pair_block(self._result, *pair) if pair else styled("")
        self.query_one(Detail).show(shown)


class MissingPart(Part):
    """Where values are missing."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="part")
        self._result: Mapping[str, Any] = {}

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Detail()

    def main(self) -> Widget:
        """Return the text."""
        return self.query_one(Detail)

    def fill(self, result: Mapping[str, Any]) -> None:
        """Show what is missing."""
        self._result = result
        self._draw()

    def on_resize(self) -> None:
        """Use the room there is."""
        self._draw()

    def _draw(self) -> None:
        width = min(100, max(20, self.app.size.width - 48))
        self.query_one(Detail).show(missing_block(self._result, width), is_same=True)


class TextGrid(CellGrid):
    """Rows of texts in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.names: tuple[str, ...] = ()
        self._rows: Sequence[Sequence[Any]] = ()
        self._labels: Sequence[Any] = ()

    def show_rows(
        self,
        title: str,
        names: Sequence[str],
        rows: Sequence[Sequence[Any]],
        labels: Sequence[Any],
        numbers: Collection[str] = (),
    ) -> None:
        """Show rows with what stands before each; ``numbers`` are the names of columns of them."""
        self.title, self.names, self._rows, self._labels = title, tuple(names), rows, labels
        columns = []
        for place, name in enumerate(names):
            widest = max((cells(self.cell(row, place)) for row in range(len(rows))), default=0)
            columns.append(
                CellColumn(
                    (styled(name),),
                    min(max(widest, cells(styled(name)), 3), _WIDEST),
                    is_number=name in numbers,
                )
            )
        widest = max((len(f"{it:,}") for it in labels), default=0)
        self.begin(len(rows), columns, max(widest, cells(self.corner())))

    def cell(self, row: int, column: int) -> Text:
        """Return a cell."""
        value = self._rows[row][column]
        return styled(glyph("null"), "quiet") if value is None else styled(value, limit=48)

    def value(self, row: int, column: int) -> Any:
        """Return what a cell holds."""
        return self._rows[row][column]

    def label(self, row: int) -> Text:
        """Return the number of a row, or how often it occurs."""
        return styled(f"{self._labels[row]:,}", "quiet")

    def corner(self) -> Text:
        """Return what the numbers are."""
        return styled(self.title, "accent")


class SamplePart(Part):
    """Rows that the profile kept: some of them all, or those that occur most often."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="part")
        self._result: Mapping[str, Any] = {}
        self._is_sample = True

    def compose(self) -> ComposeResult:
        """Lay out the rows, and the sentence that stands in for them."""
        yield TextGrid()
        yield Static(
            styled("No row is there twice. Press m for the sample.", "quiet"), classes="none"
        )

    @property
    def grid(self) -> TextGrid:
        """Return the rows."""
        return self.query_one(TextGrid)

    def main(self) -> Widget:
        """Return the rows."""
        return self.grid

    def fill(self, result: Mapping[str, Any]) -> None:
        """Show the sample."""
        self._result = result
        self._draw()

    @property
    def row_numbers(self) -> tuple[int, ...]:
        """Return the number of the row under the cursor; none for a duplicate."""
        numbers = (self._result.get("sample") or {}).get("numbers") or []
        is_there = self._is_sample and self.grid.row < len(numbers)
        return (int(numbers[self.grid.row]),) if is_there else ()

    def turn(self) -> None:
        """Change between the sample and the duplicates."""
        self._is_sample = not self._is_sample
        self._draw()

    def _draw(self) -> None:
        title, part, labels = (
            ("row", "sample", "numbers") if self._is_sample else ("times", "duplicates", "counts")
        )
        it = self._result.get(part) or {}
        rows = it.get("rows") or []
        self.set_class(not rows, "-none")
        variables = self._result.get("variables") or {}
        numbers = {name for name, held in variables.items() if "mean" in held}
        counted = it.get(labels) or [0] * len(rows)
        self.grid.show_rows(title, it.get("columns") or [], rows, counted, numbers)
        self.call_after_refresh(self.main().focus)
