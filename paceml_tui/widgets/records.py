"""A screen of records: a list that filters, sorts and pages in SQL, and a detail of one record.

A subclass says what it lists (``SOURCE``), how (``columns``), and what one record looks like
(``detail``). Reading happens in threads; the screen shows one of its states meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DataTable, Input, Label
from textual.worker import get_current_worker

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.render import Block, Text, join, safe, styled
from paceml_tui.tasks import Asked, Desk, Outcome, Pulse, Request, Row, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.table import Column, Listing, RecordTable

PAGE = 500
WIDE = 120
_PAUSE_SECONDS = 0.06

State = Literal["loading", "empty", "filled", "failed"]


class Loaded(Message):
    """A list was read."""

    def __init__(self, outcome: Outcome[Listing]) -> None:
        super().__init__()
        self.outcome = outcome


class Described(Message):
    """A detail was put together."""

    def __init__(self, name: str, outcome: Outcome[Block]) -> None:
        super().__init__()
        self.name = name
        self._outcome = outcome

    @property
    def block(self) -> Block:
        """Return what was put together, or why it could not be."""
        return self._outcome.value or styled(self._outcome.error or "", "bad", limit=600)


class Copied(Message):
    """Somebody wants a text in the clipboard."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class RecordsScreen(Container):
    """List and detail of one word's records."""

    BINDINGS = keys.bindings("list")

    WORD: ClassVar[str] = ""
    NOUN: ClassVar[str] = ""
    """Plural of what is listed."""
    SOURCE: ClassVar[str] = ""
    """A SELECT of ours whose rows are the records."""
    KEY: ClassVar[tuple[str, ...]] = ()
    """Columns that name a record."""
    SEARCH: ClassVar[tuple[str, ...]] = ()
    """Columns that the filter looks into."""
    SORTED_BY: ClassVar[str] = ""
    DESCENDING: ClassVar[bool] = True
    EMPTY: ClassVar[str] = ""
    """One sentence, and the key that fixes it."""
    FILTER_HINT: ClassVar[str] = "words that must appear"
    PAGE: ClassVar[int] = PAGE
    """How many lines are read and drawn at once."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id=self.WORD, classes="records -loading")
        self.desk = desk
        self.state: State = "loading"
        self.filter_text = ""
        self.listing: Listing | None = None
        self._sorted_by = self.SORTED_BY
        self._descending = self.DESCENDING
        self._offset = 0
        self._enters: int | None = None
        self._is_stale = True
        self._described = ""
        self._timer: Timer | None = None

    @property
    def noun(self) -> str:
        """Return the plural of what is listed now."""
        return self.NOUN

    def source(self) -> tuple[str, tuple[Any, ...]]:
        """Return the SELECT of ours whose rows are listed now, and its values."""
        return self.SOURCE, ()

    def relation(self) -> tuple[str, str, tuple[Any, ...]]:
        """Return what is selected, from where (with a WHERE), and the values of that."""
        source, given = self.source()
        return "*", f"({source}) WHERE true", given

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns for a page of rows."""
        raise NotImplementedError

    def detail(self, row: Row) -> Block:
        """Return everything about one record; runs in a thread."""
        raise NotImplementedError

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Return what the selected record says about a command's arguments."""
        return {}

    def repeats(self, row: Row) -> Request | None:
        """Return the command that shows the selected record elsewhere."""
        return None

    def listed(self) -> Request | None:
        """Return the command that lists elsewhere what is listed here."""
        return None

    def concerns(self, pulse: Pulse, before: Pulse | None) -> bool:
        """Return whether the list must be read again for what is new."""
        return before is None or pulse.seq != before.seq

    def name_of(self, row: Row) -> str:
        """Return the name of a record, as commands take it."""
        return "@".join(str(row[column]) for column in self.KEY)

    # What the screen is made of.

    def compose(self) -> ComposeResult:
        """Lay out title, list, detail and the notice that stands in for them."""
        yield Label(self._title(), classes="title")
        yield Notice(classes="notice")
        with Horizontal(classes="body"):
            with Vertical(classes="list"):
                yield RecordTable()
            yield Detail()
        yield self.filter_bar()

    def filter_bar(self) -> FilterBar:
        """Return the line in which a filter is typed."""
        return FilterBar(self.FILTER_HINT)

    @property
    def table(self) -> RecordTable:
        """Return the list."""
        return self.query_one(RecordTable)

    @property
    def notice(self) -> Notice:
        """Return the notice."""
        return self.query_one(Notice)

    @property
    def selected(self) -> Row | None:
        """Return the record under the cursor, if the list is shown."""
        return self.table.selected if self.state == "filled" else None

    @property
    def is_describing(self) -> bool:
        """Return whether the detail of another record is still to come."""
        row = self.selected
        return row is not None and self._shows_detail and self._described != self.name_of(row)

    @property
    def _shows_detail(self) -> bool:
        return self.app.size.width >= WIDE or self.has_class("-detail")

    @property
    def is_detail_alone(self) -> bool:
        """Return whether the detail stands in place of the list."""
        return self.has_class("-detail") and self.app.size.width < WIDE

    def on_mount(self) -> None:
        """Begin to read, and say so."""
        self.notice.say_loading(self.noun)
        self.entered()

    def focus_main(self) -> None:
        """Give the focus to what the screen shows, once it is drawn: before, it takes none."""
        self.call_after_refresh(self._focus_main)

    def _focus_main(self) -> None:
        if self.app.focused is not None and FilterBar in map(type, self.app.focused.ancestors):
            return
        if self.state != "filled":
            self.notice.focus()
        elif self.is_detail_alone:
            self.query_one(Detail).focus()
        else:
            self.table.focus()

    # Reading.

    def entered(self) -> None:
        """Read again if something changed while the screen was not seen."""
        if self._is_stale:
            self.reload()
        self.focus_main()

    def changed(self, *, is_visible: bool) -> None:
        """Read again now, or when the screen is next seen."""
        self._is_stale = True
        if is_visible:
            self.reload()

    def filled(self) -> None:
        """Do what is left to do once new lines stand in the list."""

    def begin_again(self) -> None:
        """Read another list in place of the one that is shown, with nothing filtered."""
        with self.prevent(Input.Changed):
            self.query_one(FilterBar).input.value = ""
        self.filter_text = ""
        self._sorted_by, self._descending = self.SORTED_BY, self.DESCENDING
        self._offset = 0
        self.listing = None
        self.remove_class("-detail")
        self.notice.say_loading(self.noun)
        self._become("loading")
        self.reload()
        self.focus_main()

    def reload(self) -> None:
        """Read the list in a thread; the last of several readings counts."""
        self._is_stale = False
        self.run_worker(self._load, thread=True, exclusive=True, group=f"load-{self.WORD}")

    def _load(self) -> None:
        worker = get_current_worker()
        outcome = attempt(self.read)
        if not worker.is_cancelled:
            self.post_message(Loaded(outcome))

    def read(self) -> Listing:
        """Return the page that filter, order and offset ask for."""
        selected, relation, given = self.relation()
        condition, values, note = self.condition(self.filter_text)
        values = (*given, *values)
        matching = f"FROM {relation} AND ({condition})"
        total = self.desk.query(f"SELECT count(*) AS n FROM {relation}", *given)[0]["n"]  # noqa: S608
        match = self.desk.query(f"SELECT count(*) AS n {matching}", *values)[0]["n"]
        order, more = self._order(self.listing.columns if self.listing else self.columns(()))
        offset = self._offset if self._offset < match else 0
        rows = self.desk.query(
            f"SELECT {selected} {matching} ORDER BY {order} LIMIT {self.PAGE} OFFSET {offset}",
            *values,
            *more,
        )
        return Listing(
            columns=self.columns(rows),
            rows=tuple(rows),
            n_match=match,
            n_total=total,
            offset=offset,
            sorted_by=self._sorted_by,
            is_descending=self._descending,
            note=note,
        )

    def condition(self, text: str) -> tuple[str, tuple[Any, ...], str]:
        """Return SQL, its values and a remark for a filter: every word must appear somewhere."""
        words = text.lower().split()
        place = f"lower(concat_ws(' ', {', '.join(self.SEARCH)}))"
        return " AND ".join([f"contains({place}, ?)"] * len(words)) or "true", tuple(words), ""

    def _order(self, columns: Sequence[Column]) -> tuple[str, tuple[str, ...]]:
        keys_last = ", ".join(self.KEY)
        chosen = next((c for c in columns if c.title == self._sorted_by and c.order), None)
        if not chosen:
            return keys_last, ()
        way = "DESC" if self._descending else "ASC"
        return f"{chosen.order} {way} NULLS LAST, {keys_last}", chosen.values

    @on(Loaded)
    def _show(self, event: Loaded) -> None:
        event.stop()
        if event.outcome.error is not None or event.outcome.value is None:
            self.notice.say_failed(event.outcome.error or InputError("Nothing was read."))
            self._become("failed")
            self.focus_main()
            return
        listing = event.outcome.value
        before, self.listing = self.listing, listing
        if not listing.rows:
            self._show_none(listing)
        else:
            if before != listing or self.state != "filled":
                self.table.fill(listing, self.name_of)
                if self._enters is not None:
                    self.table.move_cursor(row=self._enters, animate=False)
                    self._enters = None
                self.filled()
            self._become("filled")
            self._describe_soon()
        self._retitle()
        if self._lost_focus():
            self.focus_main()

    def _show_none(self, listing: Listing) -> None:
        if listing.n_total:
            self.notice.say_empty(
                "No line matches the filter. Press / to change it, esc to drop it."
            )
        else:
            self.notice.say_empty(self.EMPTY)
        self.remove_class("-detail")
        self._become("empty")

    def _become(self, state: State) -> None:
        self.state = state
        for name in ("loading", "empty", "filled", "failed"):
            self.set_class(name == state, f"-{name}")

    def _lost_focus(self) -> bool:
        focused = self.screen.focused
        return focused is None or focused is self.notice or self not in focused.ancestors

    def _retitle(self) -> None:
        self.query_one(".title", Label).update(self._title())

    def _title(self) -> Text:
        noun = styled(self.noun[:1].upper() + self.noun[1:], "heading", limit=60)
        listing = self.listing
        if listing is None:
            return noun
        counted = f"{listing.n_total:,}"
        if self.filter_text:
            counted = f"{listing.n_match:,} of {listing.n_total:,}, filter: {self.filter_text}"
        parts = [noun, styled(counted, limit=60)]
        if listing.n_match > self.PAGE:
            last = min(listing.offset + self.PAGE, listing.n_match)
            parts.append(styled(f"lines {listing.offset + 1:,}-{last:,}", "warning"))
        if listing.note:
            parts.append(styled(listing.note, "quiet"))
        return join(*parts)

    # Detail.

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._describe_soon()

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.open_detail()

    def open_detail(self) -> None:
        """Show the detail in place of the list, or go to it when it stands beside the list."""
        if self.selected is None:
            return
        self.add_class("-detail")
        self._describe()
        self.query_one(Detail).focus()

    def _describe_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_SECONDS, self._describe)

    def _describe(self) -> None:
        row = self.selected
        if row is None or not self._shows_detail:
            return

        def work() -> None:
            worker = get_current_worker()
            outcome = attempt(lambda: self.detail(row))
            if not worker.is_cancelled:
                self.post_message(Described(self.name_of(row), outcome))

        self.run_worker(work, thread=True, exclusive=True, group=f"detail-{self.WORD}")

    @on(Described)
    def _show_detail(self, event: Described) -> None:
        event.stop()
        shown = event.block
        self.query_one(Detail).show(shown, is_same=event.name == self._described)
        self._described = event.name

    def on_resize(self) -> None:
        """Bring the detail that has now room beside the list."""
        if self.state == "filled":
            self._describe_soon()
        if self.screen.focused is None:  # it was too small to show anything
            self.focus_main()

    # Keys.

    def step_back(self) -> bool:
        """Undo one step of what is open here; return whether there was one."""
        if self.query_one(FilterBar).has_class("-open"):
            self.query_one(FilterBar).action_drop()
        elif self.has_class("-detail"):
            self.remove_class("-detail")
            self.focus_main()
        elif self.filter_text:
            self.query_one(FilterBar).action_drop()
        else:
            return False
        return True

    def action_filter(self) -> None:
        """Open the line in which a filter is typed."""
        self.remove_class("-detail")
        bar = self.query_one(FilterBar)
        bar.add_class("-open")
        bar.input.focus()

    @on(FilterBar.Typed)
    def _filter_typed(self, event: FilterBar.Typed) -> None:
        event.stop()
        self.narrow(event.text)

    def narrow(self, text: str) -> None:
        """List what matches another filter."""
        self.filter_text = text.strip()
        self._offset = 0
        self.reload()

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        bar = self.query_one(FilterBar)
        bar.remove_class("-open")
        bar.input.blur()
        if not event.is_kept and self.filter_text:
            self.filter_text = ""
            self.reload()
        self.focus_main()

    def action_sort(self) -> None:
        """Sort by the next column that can be sorted by."""
        titles = [c.title for c in self.listing.columns if c.order] if self.listing else []
        if titles:
            at = titles.index(self._sorted_by) + 1 if self._sorted_by in titles else 0
            self._sorted_by = titles[at % len(titles)]
            self._resort()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._descending = not self._descending
        self._resort()

    def _resort(self) -> None:
        self._offset = 0
        self.reload()

    def action_turn(self, pages: int) -> None:
        """Show the next or the previous page of lines."""
        if self.listing is not None:
            self._turn_to(self.listing.offset + pages * self.PAGE)

    def _turn_to(self, offset: int, enters: int | None = None) -> None:
        """Show the page at ``offset`` if there is one; its line ``enters`` is selected."""
        listing = self.listing
        if listing is not None and 0 <= offset < listing.n_match and offset != listing.offset:
            self._offset = offset
            self._enters = enters
            self.reload()

    @on(RecordTable.Beyond)
    def _gone_beyond(self, event: RecordTable.Beyond) -> None:
        event.stop()
        listing = self.listing
        if listing is None:
            return
        last = (listing.n_match - 1) // self.PAGE * self.PAGE
        far = last if event.by > 0 else 0
        near = listing.offset + event.by * self.PAGE
        is_first = (event.by > 0 and not event.is_far) or (event.by < 0 and event.is_far)
        self._turn_to(far if event.is_far else near, 0 if is_first else self.PAGE - 1)

    def action_copy(self) -> None:
        """Copy the name of the selected record."""
        if self.selected is not None:
            self.post_message(Copied(safe(self.name_of(self.selected), 0)))

    def action_ask(self, command: str) -> None:
        """Open the form of a command, filled in as far as the selected record tells."""
        arguments = self.arguments_for(command, self.selected)
        self.post_message(Asked(Request(command, arguments)))
