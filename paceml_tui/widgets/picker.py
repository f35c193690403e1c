"""A picker of sources: type a path, a URL or a glob, or walk through folders and buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import DataTable, Input, Label
from textual.worker import get_current_worker

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import count, glyph, join, moment, safe, size, styled
from paceml_tui.tasks import Desk, Outcome, Request, Row, attempt
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.records import PAGE, State
from paceml_tui.widgets.table import Column, Listing, RecordTable

_GLOBS = frozenset("*?[")


class Browsed(Message):
    """A folder was read."""

    def __init__(self, asked: str, outcome: Outcome[Any], *, is_typed: bool) -> None:
        super().__init__()
        self.asked = asked
        self.outcome = outcome
        self.is_typed = is_typed


class SourcePicker(Vertical):
    """A line for the place over the entries of the folder that it names."""

    BINDINGS = keys.bindings("pick")

    class Picked(Message):
        """Somebody chose a source."""

        def __init__(self, source: str) -> None:
            super().__init__()
            self.source = source

    class Left(Message):
        """Somebody wants no source."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(classes="-loading")
        self._desk = desk
        self._url = ""
        self._above = ""
        self.state: State = "loading"

    def compose(self) -> ComposeResult:
        """Lay out the line over the entries."""
        with Horizontal(classes="where"):
            yield Label(styled("source", "quiet"))
            yield Input(placeholder="path, URL or glob: data/*.csv, s3://bucket/", compact=True)
        yield Label(styled(""), classes="folder")
        yield Notice(classes="notice")
        yield RecordTable()

    @property
    def table(self) -> RecordTable:
        """Return the entries."""
        return self.query_one(RecordTable)

    @property
    def line(self) -> Input:
        """Return the line in which one types."""
        return self.query_one(Input)

    @property
    def request(self) -> Request:
        """Return the command that lists the folder that is shown."""
        return Request("data.browse", {"url": self._url} if self._url else {})

    def begin(self, url: str = "") -> None:
        """Show a folder; '' is where the app was started."""
        self.query_one(Notice).say_loading("folder")
        self._become("loading")
        self._browse(url, is_typed=False)

    def _browse(self, url: str, *, is_typed: bool) -> None:
        request = Request("data.browse", {"url": url} if url else {})

        def work() -> None:
            worker = get_current_worker()
            outcome = attempt(lambda: self._entries(request))
            if not worker.is_cancelled:
                self.post_message(Browsed(url, outcome, is_typed=is_typed))

        self.run_worker(work, thread=True, exclusive=True, group="browse")

    def _entries(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = self._desk.perform(request)[1].to_dict()
        return found

    @on(Browsed)
    def _show(self, event: Browsed) -> None:
        event.stop()
        found, error = event.outcome.value, event.outcome.error
        if not isinstance(found, Mapping):
            if event.is_typed:  # no folder: then it is a source, and reading it will tell
                self.post_message(self.Picked(event.asked))
            else:
                self._fail(error or StackError("Nothing was read."))
            return
        self._url = str(found.get("uri") or event.asked)
        self._above = str(found.get("parent") or "")
        entries = [dict(it) for it in found.get("entries") or [] if isinstance(it, Mapping)]
        shown = tuple(entries[:PAGE])
        n = int(found.get("n_entries") or len(entries))
        note = f"the first {PAGE}" if n > len(shown) else ""
        self.query_one(".folder", Label).update(
            join(
                styled(self._url, "heading", 60),
                count(n, "entry", "entries"),
                styled(note, "warning"),
                gap="  ",
            )
        )
        if not shown:
            self.query_one(Notice).say_empty("This folder is empty. Press h to go up.")
            self._become("empty")
            return
        self._become("filled")
        listing = Listing(COLUMNS, shown, len(shown), n, 0, "", False)
        self.call_after_refresh(self._fill, listing)

    def _fill(self, listing: Listing) -> None:
        self.table.fill(listing, lambda row: str(row.get("uri")))
        self.table.move_cursor(row=0, animate=False)
        if not self.line.has_focus or not self.line.value:
            self.table.focus()

    def _fail(self, error: StackError) -> None:
        self.query_one(Notice).say_failed(error)
        self._become("failed")

    def _become(self, state: State) -> None:
        self.state = state
        for name in ("loading", "empty", "filled", "failed"):
            self.set_class(name == state, f"-{name}")
        if state in ("empty", "failed") and not self.line.has_focus:
            self.call_after_refresh(self.query_one(Notice).focus)

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        row = self.table.selected
        if row is None:
            return
        uri = str(row.get("uri") or "")
        if row.get("is_folder"):
            self._browse(uri, is_typed=False)
        else:
            with self.prevent(Input.Changed):
                self.line.value = safe(uri, 0)
            self.post_message(self.Picked(uri))

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if not text:
            self.begin(self._url)
        elif _GLOBS & set(text):
            self.post_message(self.Picked(text))
        else:
            self._browse(text, is_typed=True)

    def action_up(self) -> None:
        """Go to the folder above."""
        if self._above:
            self._browse(self._above, is_typed=False)

    def action_leave(self) -> None:
        """Leave the line for the entries, and the entries for the screen."""
        if self.line.has_focus and self.state == "filled":
            self.table.focus()
        else:
            self.post_message(self.Left())

    def action_type(self) -> None:
        """Go to the line in which a place is typed."""
        self.line.focus()


def _name(row: Row) -> str:
    return f"{row.get('name')}/" if row.get("is_folder") else str(row.get("name"))


COLUMNS = (
    Column(
        "name",
        lambda row: styled(_name(row), "accent" if row.get("is_folder") else "", 120),
        is_wide=True,
        rank=0,
        most=60,
    ),
    Column(
        "size",
        lambda row: (
            styled(glyph("none"), "quiet") if row.get("is_folder") else size(row.get("size"))
        ),
        is_number=True,
        rank=1,
    ),
    Column("modified", lambda row: moment(row.get("modified_at")), rank=2),
)
