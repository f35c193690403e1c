"""The rows of a version, however many: pages are read from its Parquet where they are looked at."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Label
from textual.worker import get_current_worker

from local_stack.errors import InputError, StackError, nearest
from paceml_tui import keys
from paceml_tui.render import Text, cells, count, glyph, join, safe, styled
from paceml_tui.tasks import Desk, Outcome, Request, attempt
from paceml_tui.widgets.cells import CellColumn, CellGrid
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import Notification, error_dialog
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.view import View

if TYPE_CHECKING:
    from local_stack.data.rows import RowReader

_HIGH, _BROAD = 128, 32
"""Rows and columns of a block: what is read at once."""

_MOST_BLOCKS = 64
_LONGEST = 200
_WIDEST = 24
_MEASURED = 20
"""Rows at the beginning, in the middle and at the end that say how wide a column is."""

_SHOWN = 20_000

Place = tuple[int, int]
Block = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """A table that is open: its reader, what must be closed after it, names, types and widths."""

    reader: RowReader
    left: contextlib.ExitStack
    columns: tuple[tuple[str, str], ...]
    widths: tuple[int, ...]


class Opened(Message):
    """The table was opened, or could not be."""

    def __init__(self, outcome: Outcome[Opening]) -> None:
        super().__init__()
        self.outcome = outcome


class Fetched(Message):
    """Blocks were read, or could not be."""

    def __init__(self, outcome: Outcome[dict[Place, Block]]) -> None:
        super().__init__()
        self.outcome = outcome


class Told(Message):
    """A cell was read in full."""

    def __init__(self, name: str, row: int, outcome: Outcome[str]) -> None:
        super().__init__()
        self.name = name
        self.row = row
        self.outcome = outcome


class RowsGrid(CellGrid):
    """Cells of a table on disk; those that were not read yet are dots."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: tuple[tuple[str, str], ...] = ()
        self.marked_rows: frozenset[int] = frozenset()
        self._blocks: OrderedDict[Place, Block] = OrderedDict()

    def open(self, n_rows: int, columns: Sequence[tuple[str, str]], widths: Sequence[int]) -> None:
        """Show a table with columns of these names and types, and of these widths."""
        self.columns = tuple(columns)
        self._blocks.clear()
        shown = [
            CellColumn((styled(name), styled(kind, "quiet")), width, kind in ("long", "double"))
            for (name, kind), width in zip(columns, widths, strict=True)
        ]
        self.begin(n_rows, shown, max(4, len(f"{max(0, n_rows - 1):,}") + 2))

    def keep(self, blocks: dict[Place, Block]) -> None:
        """Take what was read; the blocks that were longest not looked at go."""
        self._blocks |= blocks
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        self.redraw()

    def wanted(self) -> list[Place]:
        """Return the blocks that are seen and not here, those under the cursor's rows first."""
        seen = self.seen_columns()
        columns = sorted({it // _BROAD for it in (*seen, *range(self.n_frozen))})
        rows = self.seen_rows()
        bands = sorted({rows.start // _HIGH, max(rows.start, rows.stop - 1) // _HIGH})
        return [(b, c) for b in bands for c in columns if (b, c) not in self._blocks]

    def value(self, row: int, column: int) -> Any:
        """Return what a cell holds, its text cut; ``...`` when it was not read yet."""
        place = row // _HIGH, column // _BROAD
        block = self._blocks.get(place)
        if block is None:
            return ...
        self._blocks.move_to_end(place)
        line = row % _HIGH
        return block[line][column % _BROAD] if line < len(block) else ...

    def cell(self, row: int, column: int) -> Text:
        """Return what stands in a cell."""
        return cell_text(self.value(row, column))

    def label(self, row: int) -> Text:
        """Return the number of a row, and a mark on those that were asked for."""
        if row in self.marked_rows:
            return join(styled(glyph("busy"), "warning"), styled(f"{row:,}", "warning"))
        return styled(f"{row:,}", "quiet")


def cell_text(value: Any, limit: int = 2 * _WIDEST) -> Text:
    """Return a value as a cell shows it; no value and no text look like nothing else."""
    is_quiet = value is ... or value is None or value == ""
    return styled(plain_cell(value), "quiet" if is_quiet else "", limit)


def plain_cell(value: Any) -> str:
    """Return the words of :func:`cell_text`, not yet made safe."""
    if value is ...:
        return glyph("dot")
    if value is None:
        return glyph("null")
    if value == "":
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        exact = repr(value)
        return exact if len(exact) <= 12 else f"{value:.8g}"
    return str(value)


def width_of(name: str, kind: str, values: Iterable[Any]) -> int:
    """Return how wide a column is, which some values say."""
    shown = {plain_cell(it) for it in values} | {name, kind}
    natural = max(len(it) if it.isascii() else cells(styled(it, limit=_WIDEST)) for it in shown)
    return min(max(natural, 3), _WIDEST)


class RowsView(View):
    """The rows of one version."""

    BINDINGS = keys.bindings("preview")
    SCOPES = ("preview", "cells")
    NOUN = "rows"

    def __init__(
        self, desk: Desk, reference: str, rows: Sequence[int] = (), *, column: str = ""
    ) -> None:
        super().__init__(desk)
        self._reference = reference
        self._asked = tuple(sorted(set(rows)))
        self._first_column = column
        self._opening: Opening | None = None
        self._is_reading = False
        self._is_left = False

    def heading(self) -> Text:
        """Return the title: of which version, and how much there is."""
        parts = [styled("Rows", "heading"), styled(self._reference, limit=50)]
        if self._opening is not None:
            n_columns = len(self._opening.columns)
            parts += [count(self._opening.reader.n_rows, "row"), count(n_columns, "column")]
        if self._asked:
            parts.append(styled(f"{len(self._asked):,} asked for", "warning"))
        return join(*parts, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the rows."""
        yield RowsGrid()

    def foot(self) -> ComposeResult:
        """Lay out the cell under the cursor, and the line in which one says where to go."""
        yield Label(styled(""), classes="where")
        yield Correction()

    @property
    def grid(self) -> RowsGrid:
        """Return the rows."""
        return self.query_one(RowsGrid)

    def main(self) -> RowsGrid:
        """Return the rows."""
        return self.grid

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that shows the rows that are seen."""
        seen = self.grid.seen_rows()
        arguments: dict[str, Any] = {"name": self._reference, "limit": max(1, len(seen))}
        if seen.start:
            arguments["start"] = seen.start
        return [("These rows", Request("data.show", arguments))]

    # Opening and closing.

    def on_mount(self) -> None:
        """Begin to open the table."""
        self.notice.say_loading(self.NOUN)
        self.become("loading")
        self.run_worker(self._open, thread=True, group="open-rows")

    def _open(self) -> None:
        outcome = attempt(lambda: opened(self.desk, self._reference))
        if get_current_worker().is_cancelled or self._is_left:
            if outcome.value is not None:
                outcome.value.left.close()
            return
        self.post_message(Opened(outcome))

    @on(Opened)
    def _begin(self, event: Opened) -> None:
        event.stop()
        opening = self._opening = event.outcome.value
        if opening is None:
            self.fail(event.outcome.error or StackError("Nothing was opened."))
            return
        self.retitle()
        if not opening.reader.n_rows or not opening.columns:
            self.notice.say_empty("This version has no rows. Press esc to go back.")
            self.become("empty")
            return
        self.become("filled")
        self._asked = tuple(row for row in self._asked if 0 <= row < opening.reader.n_rows)
        self.call_after_refresh(self._fill, opening)

    def _fill(self, opening: Opening) -> None:
        self.grid.marked_rows = frozenset(self._asked)
        self.grid.open(opening.reader.n_rows, opening.columns, opening.widths)
        self.grid.focus()
        names = [name for name, _ in opening.columns]
        column = names.index(self._first_column) if self._first_column in names else 0
        self.call_after_refresh(self.grid.go, self._asked[0] if self._asked else 0, column)
        self.call_after_refresh(self._look)

    def on_unmount(self) -> None:
        """Let the table go, in a thread: a read that is at work ends first."""
        self._is_left = True
        if self._opening is not None:
            left = self._opening.left
            self.app.run_worker(lambda: attempt(left.close), thread=True, group="close-rows")

    # Reading what is seen.

    @on(CellGrid.Moved)
    def _moved(self, event: CellGrid.Moved) -> None:
        event.stop()
        self._look()

    def _look(self) -> None:
        """Read the blocks that are seen and not here, one reading at a time."""
        self._show_where()
        wanted = self.grid.wanted()
        if self._opening is None or self._is_reading or not wanted:
            return
        self._is_reading = True
        reader, n_columns = self._opening.reader, len(self._opening.columns)

        self.aside(
            lambda _: blocks_of(reader, wanted, n_columns), Fetched, "read-rows", is_exclusive=False
        )

    @on(Fetched)
    def _take(self, event: Fetched) -> None:
        event.stop()
        self._is_reading = False
        if event.outcome.value is None:
            self.fail(event.outcome.error or StackError("Nothing was read."))
            return
        self.grid.keep(event.outcome.value)
        self._look()

    def _show_where(self) -> None:
        self.query_one(".where", Label).update(self._where())

    def _where(self) -> Text:
        grid = self.grid
        if not grid.columns:
            return styled("")
        name, kind = grid.columns[grid.column]
        value = grid.value(grid.row, grid.column)
        place = styled(f"row {grid.row:,}, column {grid.column + 1:,} of {len(grid.columns):,}:")
        frozen = [styled(f"{grid.n_frozen} frozen", "accent")] if grid.n_frozen else []
        kind_text = styled(f"({kind})", "quiet")
        shown = cell_text(value, _LONGEST)
        return join(*frozen, place, styled(name, "strong", 40), kind_text, shown)

    # Keys.

    def action_go_to(self) -> None:
        """Ask which row or column to go to."""
        if self.state == "filled":
            help = "A row by its number, counted from 0, or a column by its name."
            self.ask("go", "go to", "", help)

    def given(self, subject: str, value: str) -> None:
        """Go to the row or the column that was typed."""
        found = attempt(lambda: self._found(value.strip()))
        if found.value is not None:
            self.grid.go(*found.value)
        elif found.error is not None:
            self.say(f"{found.error.message} {found.error.hint}")

    def _found(self, text: str) -> Place:
        digits = text.replace(",", "").replace("_", "").replace(" ", "")
        if digits.isascii() and digits.isdigit():
            return int(digits[:18]), self.grid.column
        names = [name for name, _ in self.grid.columns]
        exact = [place for place, name in enumerate(names) if name == text]
        near = [place for place, name in enumerate(names) if text.lower() in name.lower()]
        if not text or not (exact or near):
            raise InputError(f"There is no column '{safe(text, 40)}'.", nearest(text, names))
        return self.grid.row, (exact or near)[0]

    def action_freeze(self) -> None:
        """Keep the columns up to the cursor in sight, or let them scroll again."""
        grid = self.grid
        wanted = 0 if grid.n_frozen else grid.column + 1
        grid.freeze(wanted)
        if grid.n_frozen < wanted:
            self.say(f"There is room for {grid.n_frozen} columns to stay.")

    def action_next(self, by: int) -> None:
        """Go to the next or the last of the rows that were asked for."""
        here = self.grid.row
        later = [row for row in self._asked if (row > here if by > 0 else row < here)]
        if later:
            self.grid.go(later[0] if by > 0 else later[-1], self.grid.column)
        else:
            self.say("There is none further on." if self._asked else "No rows were asked for.")

    def action_copy(self) -> None:
        """Copy the cell."""
        self._read_whole(is_copied=True)

    @on(CellGrid.Opened)
    def _opened(self, event: CellGrid.Opened) -> None:
        event.stop()
        self._read_whole(is_copied=False)

    def _read_whole(self, *, is_copied: bool) -> None:
        opening, grid = self._opening, self.grid
        if opening is None or self.state != "filled":
            return
        row, column = grid.row, grid.column

        def work() -> None:
            outcome = attempt(lambda: _as_text(opening.reader.cell(row, column)))
            if get_current_worker().is_cancelled:
                return
            if is_copied and outcome.value is not None:
                self.app.post_message(Copied(safe(outcome.value, 0, is_block=True)))
            else:
                self.post_message(Told(opening.columns[column][0], row, outcome))

        self.run_worker(work, thread=True, exclusive=True, group="read-cell")

    @on(Told)
    def _tell(self, event: Told) -> None:
        event.stop()
        if event.outcome.value is None:
            error = event.outcome.error or StackError("Nothing was read.")
            self.app.push_screen(error_dialog("The cell could not be read", error))
            return
        text = event.outcome.value
        copied = safe(text, 0, is_block=True)
        shown = styled(text[:_SHOWN] or '""', limit=0, is_block=True)
        n_characters = count(len(text), "character").plain
        title = f"{safe(event.name, 40)}, row {event.row:,}, {n_characters}"
        self.app.push_screen(Notification(title, shown, copied))


def opened(desk: Desk, reference: str) -> Opening:
    """Open the table of a version after checking its bytes; call it in a thread."""
    from local_stack.data import versions

    version = versions.find(desk.workspace, reference)
    left = contextlib.ExitStack()
    try:
        reader = left.enter_context(versions.reading(desk.workspace, version))
        starts = {0, reader.n_rows // 2, max(0, reader.n_rows - _MEASURED)}
        some = [it for at in starts for it in reader.window(at, _MEASURED, longest=_WIDEST + 1)]
    except BaseException:
        left.close()
        raise
    columns = tuple((column.name, column.type) for column in version.schema)
    widths = tuple(
        width_of(name, kind, (row[place] for row in some))
        for place, (name, kind) in enumerate(columns)
    )
    return Opening(reader, left, columns, widths)


def blocks_of(reader: RowReader, wanted: Sequence[Place], n_columns: int) -> dict[Place, Block]:
    """Read blocks of rows and columns."""
    return {
        (band, group): reader.window(
            band * _HIGH,
            _HIGH,
            range(group * _BROAD, min((group + 1) * _BROAD, n_columns)),
            longest=_LONGEST,
        )
        for band, group in wanted
    }


def _as_text(value: Any) -> str:
    return "(missing)" if value is None else str(value)
