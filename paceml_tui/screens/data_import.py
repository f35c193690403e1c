"""The import of a table: pick a source, see and correct what was decided, name the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Label, Static
from textual.worker import Worker

from local_stack.errors import InputError, StackError
from local_stack.progress import Step
from paceml_tui import keys
from paceml_tui.render import Text, count, glyph, join, lines, marked, size, styled
from paceml_tui.screens.data_choices import COLUMNS, MOST_COLUMNS, Choices, facts, name_of
from paceml_tui.tasks import Desk, Outcome, Request, Row, as_command_line, attempt, command
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.naming import Naming
from paceml_tui.widgets.picker import SourcePicker
from paceml_tui.widgets.rows import RowsTable
from paceml_tui.widgets.table import Listing, RecordTable
from paceml_tui.widgets.view import IsLeft, View, progress_of

Page = Literal["pick", "preview", "naming"]
_KEYS: dict[Page, tuple[str, ...]] = {
    "pick": ("pick", "table"),
    "preview": ("import",),
    "naming": ("naming",),
}


class Told(Message):
    """The preview has come further."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step


class Previewed(Message):
    """A preview was made, for the choices that stood when it was asked for."""

    def __init__(self, request: Request, outcome: Outcome[dict[str, Any]]) -> None:
        super().__init__()
        self.request = request
        self.outcome = outcome


class ImportView(View):
    """Three pages; it hands back the request for ``data.add``, or None."""

    BINDINGS = keys.bindings("import")
    SCOPES = _KEYS["pick"]
    NOUN = "source"

    def __init__(self, desk: Desk, given: Mapping[str, Any] | None = None) -> None:
        super().__init__(desk)
        self._given = dict(given or {})
        self._page: Page = "pick"
        self._source = ""
        self._choices = Choices({}, {}, {})
        self._found: dict[str, Any] = {}
        self._error: StackError | None = None
        self._busy = ""
        self._reader: Worker[None] | None = None

    def heading(self) -> Text:
        """Return the title: the step, the source, and what is known of it."""
        step = {"pick": "1 source", "preview": "2 decisions", "naming": "3 name"}
        parts = [styled("Import", "heading"), styled(step[self._page], "accent")]
        if self._page != "pick":
            parts += [styled(_last(self._source), "strong", 40), *self._facts()]
        if self._busy:
            parts.append(styled(f"{glyph('busy')} {self._busy}", "accent", 40))
        return join(*parts, gap="  ")

    def _facts(self) -> list[Text]:
        found = self._found
        if not found:
            return []
        rows = count(found.get("n_rows") or 0, "row")
        files = found.get("files") or 1
        if found.get("is_sample"):
            rows = join(rows, styled("(a sample)", "quiet"))
        named = [styled(found.get("format"), "quiet", 12)]
        named += [count(files, "file")] if files > 1 else []
        parts = [*named, size(found.get("size")), rows]
        if found.get("n_rejected"):
            rejected = count(found["n_rejected"], "reject")
            parts.append(join(styled(glyph("warning"), "warning"), rejected))
        return parts

    def body(self) -> ComposeResult:
        """Lay out the three pages."""
        yield SourcePicker(self.desk)
        with Container(classes="preview"):
            yield RecordTable()
            with Vertical(classes="look"):
                yield Label(styled(""), classes="look-title")
                yield RowsTable()
                yield Detail()
        yield Naming()

    def foot(self) -> ComposeResult:
        """Lay out the line for corrections, and the command that all this comes to."""
        yield Correction()
        yield Static(styled(""), classes="command")

    @property
    def table(self) -> RecordTable:
        """Return the list of decisions."""
        return self.query_one(".preview > RecordTable", RecordTable)

    def main(self) -> Widget:
        """Return what has the focus on each page."""
        if self._page == "naming":
            return self.query_one(Naming).line("name")
        return self.query_one(SourcePicker).line if self._page == "pick" else self.table

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work on the page."""
        more = ("table", "rows") if self._page == "preview" else ()
        return (*_KEYS[self._page], *more)

    @property
    def is_reading(self) -> bool:
        """Return whether a preview is being made."""
        return bool(self._busy)

    def on_mount(self) -> None:
        """Begin at the folder in which the app was started."""
        self.become("filled")
        self._turn_to("pick")
        source = str(self._given.pop("source", "") or "")
        self.query_one(SourcePicker).begin(source)

    def _turn_to(self, page: Page) -> None:
        self._page = page
        for name in _KEYS:
            self.set_class(name == page, f"-{name}")
        self.show_keys(*_KEYS[page])
        self._tell()

    def _tell(self) -> None:
        """Show the command that all this comes to."""
        self.retitle()
        request = self.request
        shown = attempt(lambda: as_command_line(request)).value if self._source else ""
        self.query_one(".command", Static).update(styled(shown, "quiet", 600))

    @property
    def request(self) -> Request:
        """Return the import as it is chosen now."""
        named = self.query_one(Naming).arguments() if self._page == "naming" else {}
        name = named.pop("name", "NAME")
        return Request(
            "data.add", {"name": name, "source": self._source, **named, **self._choices.arguments()}
        )

    def requests(self) -> list[tuple[str, Request]]:
        """Return the commands of the step."""
        if self._page == "pick":
            return [("This folder", self.query_one(SourcePicker).request)]
        return [("This preview", self._preview_request()), ("The import", self.request)]

    # The source.

    @on(SourcePicker.Picked)
    def _picked(self, event: SourcePicker.Picked) -> None:
        event.stop()
        if event.source != self._source:
            self._found = {}
            self._choices = Choices(known_options(), {}, {})
        self._source = event.source
        self._turn_to("preview")
        self._fill(is_first=True)
        self._read()

    # The preview.

    def _preview_request(self) -> Request:
        return Request("data.preview", {"source": self._source, **self._choices.arguments()})

    def _read(self) -> None:
        """Preview in a thread; an earlier preview that is still at work stops at its next step."""
        request = self._preview_request()
        self._busy = "reading"
        self._error = None
        self._tell()

        def preview(is_left: IsLeft) -> dict[str, Any]:
            def progress(step: Step) -> None:
                progress_of(is_left)(step)
                self.post_message(Told(step.label))

            return _plain(self.desk.call(request, progress))

        self._reader = self.aside(preview, lambda it: Previewed(request, it), "preview")

    @on(Told)
    def _told(self, event: Told) -> None:
        event.stop()
        if self._busy:
            self._busy = event.step
            self.retitle()

    @on(Previewed)
    def _previewed(self, event: Previewed) -> None:
        event.stop()
        if event.request != self._preview_request():  # a newer one is under way
            return
        self._busy = ""
        self._error = event.outcome.error
        is_first = not self._found
        if event.outcome.value is not None:
            self._found = event.outcome.value
        self._fill(is_first=is_first)
        self._tell()

    def _fill(self, *, is_first: bool) -> None:
        """Show what was decided, and the rows or why there are none."""
        rows = self._choices.rows(self._found)
        listing = Listing(COLUMNS, tuple(rows), len(rows), len(rows), 0, "", False)
        self.call_after_refresh(self._draw, listing, is_first)

    def _draw(self, listing: Listing, is_first: bool) -> None:
        self.table.fill(listing, name_of)
        if is_first:
            self.table.move_cursor(row=0, animate=False)
        if self._page == "preview" and not self.is_asking:
            self.table.focus()
        self.query_one(".look-title", Label).update(self._look_title())
        if self._error is not None:
            shown = lines(
                join(styled(glyph("bad"), "bad"), styled(self._error.message, "bad", 600)),
                styled(self._error.hint, limit=600),
            )
            self.query_one(".look Detail", Detail).show(shown)
            self.set_class(True, "-facts")
            return
        self.set_class(self.has_class("-wanted"), "-facts")
        found = (self._found.get("columns") or [])[:MOST_COLUMNS]
        columns = [(str(it.get("name")), str(it.get("type"))) for it in found]
        self.query_one(RowsTable).show(columns, self._found.get("rows") or [])
        self.query_one(".look Detail", Detail).show(facts(self._found))

    def _look_title(self) -> Text:
        if self._error is not None:
            return join(styled(glyph("bad"), "bad"), styled("It cannot be read like this", "bad"))
        if not self._found:
            return styled("Reading...", "quiet")
        is_facts = self.has_class("-wanted")
        shown, other = ("quiet", "heading") if is_facts else ("heading", "quiet")
        n_rows = len(self._found.get("rows") or [])
        rejects = count(self._found.get("n_rejected") or 0, "reject")
        noted = join(rejects, count(len(self._found.get("warnings") or []), "warning"), gap=", ")
        first = marked(join(styled("first"), count(n_rows, "row")), shown)
        n = len(self._found.get("columns") or [])
        cut = styled(f"{MOST_COLUMNS} of {n:,} columns" if n > MOST_COLUMNS else "", "warning")
        return join(first, cut, marked(noted, other), styled("(v)", "accent"), gap="  ")

    def action_turn(self) -> None:
        """Show the first rows, or the warnings and rejects."""
        if self._page == "preview":
            self.toggle_class("-wanted")
            self.set_class(self.has_class("-wanted") or self._error is not None, "-facts")
            self.query_one(".look-title", Label).update(self._look_title())

    # Corrections.

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_correct()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()

    def _selected(self) -> Row | None:
        return self.table.selected if self._page == "preview" else None

    def action_correct(self) -> None:
        """Open the line in which the selected decision, or a column's type, is corrected."""
        row = self._selected()
        if row is not None:
            prompt, value, help = self._choices.question(row)
            self.ask(name_of(row), prompt, value, help)

    def action_rename(self) -> None:
        """Open the line in which the selected column gets another name."""
        row = self._selected()
        if row is None or row["kind"] != "column":
            self.say("Only a column has a name to change; choose one below the options.")
            return
        subject = f"rename {row['source']}"
        help = "The new name of this column; empty takes the change back."
        self.ask(subject, "name", str(row["name"]), help)

    def footer(self) -> tuple[str, ...]:
        """Return the scopes of the keys of the page."""
        return _KEYS[self._page]

    def action_undo(self) -> None:
        """Take back what was corrected in the selected line."""
        row = self._selected()
        if row is not None and self._choices.forget(row):
            self._read()
        elif row is not None:
            self.say("Nothing was corrected here.")

    def given(self, subject: str, value: str) -> None:
        """Correct a decision, and preview again."""
        try:
            is_new = self._choices.correct(subject, value)
        except InputError as error:
            self.say(f"{error.message} {error.hint}")
            return
        if is_new:
            self._read()

    # Going about.

    def action_go_on(self) -> None:
        """Go to the next step, and from the last one hand over the import."""
        if self._page == "pick":
            picker = self.query_one(SourcePicker)
            if picker.line.value.strip():
                self.post_message(SourcePicker.Picked(picker.line.value.strip()))
        elif self._page == "preview":
            self._go_name()
        else:
            self._finish()

    def _go_name(self) -> None:
        if self._error is not None or not self._found:
            why = "It is still being read." if self._busy else "It cannot be read like this yet."
            self.say(why)
            return
        self._turn_to("naming")
        self.query_one(Naming).begin(self._source, self._given)

    @on(Naming.Changed)
    def _named(self, event: Naming.Changed) -> None:
        event.stop()
        self.query_one(Naming).complain(None)
        self._tell()

    @on(SourcePicker.Left)
    @on(Naming.Left)
    def _step_left(self, event: Message) -> None:
        event.stop()
        self.action_back()

    @on(Naming.Submitted)
    def _submitted(self, event: Naming.Submitted) -> None:
        event.stop()
        self._finish()

    def _finish(self) -> None:
        naming = self.query_one(Naming)
        try:
            naming.check([str(it.get("name")) for it in self._found.get("columns") or []])
            command("data.add").coerce(dict(self.request.arguments))
        except InputError as error:
            naming.complain(error)
            return
        self.dismiss(self.request)

    def action_back(self) -> None:
        """Go one step back, and from the first one out."""
        if self._page == "naming":
            self._turn_to("preview")
            self.call_after_refresh(self.table.focus)
        elif self._page == "preview":
            self._stop_reading()
            self._turn_to("pick")
            self.call_after_refresh(self.query_one(SourcePicker).table.focus)
        else:
            self.dismiss(None)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        self._busy = ""


def known_options() -> dict[str, str]:
    """Return each option of ``data preview`` with its help, which stands at ``data add``."""
    names = [it.name for it in command("data.preview").parameters]
    helps = {it.name: it.help for it in command("data.add").parameters}
    return {name: helps[name] for name in names if name in helps}


def _last(source: str) -> str:
    """Return the last part of a path, which tells it from others."""
    return source.rstrip("/").rpartition("/")[2] or source


def _plain(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.to_dict()
    return found
