"""A view of a document: a list of its parts, one of them in full, and an editor of its text."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.widget import Widget
from textual.widgets import DataTable

from local_stack.errors import StackError
from paceml_tui.tasks import Request
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.records import WIDE
from paceml_tui.widgets.table import RecordTable
from paceml_tui.widgets.working import DoingView


class EditingView(DoingView):
    """Base of such views: a subclass lays out list, detail and editor, and reads the document."""

    @property
    def table(self) -> RecordTable:
        """Return the list."""
        return self.query_one(RecordTable)

    @property
    def editor(self) -> Editor:
        """Return the editor of the whole text."""
        return self.query_one(Editor)

    @property
    def is_editing(self) -> bool:
        """Return whether the editor is open."""
        return self.has_class("-editing")

    def main(self) -> Widget:
        """Return the text that is edited, or the list."""
        return self.editor.area if self.is_editing else self.table

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work now."""
        return ("editor",) if self.is_editing else self.SCOPES

    def reload(self) -> None:
        """Read the document."""
        raise NotImplementedError

    def changed(self) -> None:
        """Read again what somebody may have changed; the text being edited stays."""
        if not self._busy and self.state != "loading":
            self.reload()

    # The editor.

    def open_editor(self, begin: Callable[[], object]) -> None:
        """Show the editor, and give it its text once it is there."""
        self.add_class("-editing")
        self.show_keys("editor")
        self.call_after_refresh(begin)

    def close_editor(self) -> None:
        """Show the list again."""
        self.remove_class("-editing")
        self.show_keys(*self.SCOPES)

    def save_over(self, request: Request, newest: str, lost: str) -> None:
        """Save; ask first where ``newest`` names what was set while one was editing."""
        if newest:
            title = f"{newest} was set while you edited. Save?"
            self.confirm(title, lost, lambda: self.do(request, "saving"))
        else:
            self.do(request, "saving")

    def refused(self, error: StackError) -> None:
        """Say why a request was not carried out, under the text that it is of."""
        if self.is_editing:
            self.editor.complain(error)
        else:
            super().refused(error)

    # The detail.

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.open_detail()

    def open_detail(self) -> None:
        """Show the detail in place of the list, or go to it where it stands beside the list."""
        self.add_class("-detail")
        self.query_one(Detail).focus()

    def close_detail(self) -> bool:
        """Go from the detail to the list; return whether it was open."""
        if not self.has_class("-detail"):
            return False
        self.remove_class("-detail")
        self.table.focus()
        return True

    def on_resize(self) -> None:
        """Bring the list back where there is room for both."""
        if self.app.size.width >= WIDE:
            self.remove_class("-detail")
        super().on_resize()
