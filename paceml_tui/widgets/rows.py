"""The first rows of a table as they are: wide ones scroll sideways, nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.widgets import DataTable

from paceml_tui import keys
from paceml_tui.render import Text, fit, glyph, right, styled, value_text

_MOST_ROWS = 100
_WIDEST = 24


class RowsTable(DataTable[Text], inherit_bindings=False):
    """Cells of a few rows; there is no cursor, the page itself scrolls."""

    BINDINGS = keys.bindings("rows")

    def __init__(self) -> None:
        super().__init__(cursor_type="none", zebra_stripes=False)

    def show(self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> None:
        """Show rows of plain values under the names and types of their columns."""
        with self.app.batch_update():
            self.clear(columns=True)
            for name, kind in columns:
                title = fit(styled(name), _WIDEST)
                self.add_column(right(title) if kind in ("long", "double") else title)
            for row in rows[:_MOST_ROWS]:
                self.add_row(*_cells(row, columns))
        self.scroll_home(animate=False)


def _cells(row: Sequence[Any], columns: Sequence[tuple[str, str]]) -> list[Text]:
    return [_cell(it, kind) for it, (_, kind) in zip(row, columns, strict=False)]


def _cell(value: Any, kind: str) -> Text:
    if value is None:
        return styled(glyph("none"), "quiet")
    if kind in ("long", "double"):
        return right(styled(value, limit=_WIDEST))
    return fit(value_text(value, _WIDEST), _WIDEST)
