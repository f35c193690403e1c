"""The recipe of a version: its steps, and what each of them does to the rows.

What is changed here is a text of its own until it is saved, as the next number. Every change is
tried at once in a thread, on a sample of a large version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, TextArea
from textual.worker import Worker, get_current_worker

from local_stack.errors import Cancelled, StackError
from paceml_tui import keys
from paceml_tui.render import Text, fit, glyph, join, safe, styled
from paceml_tui.screens import data_recipe_steps as steps
from paceml_tui.screens.data_recipe_steps import BEGUN, COLUMNS, Kept, Look, Opening
from paceml_tui.tasks import Answer, Desk, Outcome, Request, attempt
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import Confirm
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.table import Listing, RecordTable
from paceml_tui.widgets.view import View

if TYPE_CHECKING:
    from local_stack.data.recipes.outline import Outline
    from local_stack.jobs import Job
    from local_stack.progress import Progress, Step


class Opened(Message):
    """The rows and the stored recipe were read."""

    def __init__(self, outcome: Outcome[tuple[Opening, Kept]]) -> None:
        super().__init__()
        self.outcome = outcome


class Looked(Message):
    """A text was tried on the rows."""

    def __init__(self, outcome: Outcome[Look]) -> None:
        super().__init__()
        self.outcome = outcome


class Done(Message):
    """Something that was asked for here has ended."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__()
        self.request = request
        self.answer = answer


class Advanced(Message):
    """The job has come further."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class RecipeView(View):
    """The steps of a preparation, and what they do."""

    BINDINGS = keys.bindings("recipe")
    SCOPES = ("recipe", "table")
    NOUN = "recipe"

    def __init__(self, desk: Desk, reference: str) -> None:
        super().__init__(desk)
        self._reference = reference
        self._dataset = reference.rpartition("@")[0]
        self._opening: Opening | None = None
        self._kept = Kept(0, 0, "")
        self._wanted = 0
        self._base = 0
        self._text = ""
        self._before: list[tuple[str, int]] = []
        self._look: Look | None = None
        self._at = 0
        self._busy = ""
        self._last: Request | None = None
        self._is_overview = False

    def heading(self) -> Text:
        """Return the title: of which version, which number, and on which rows it was tried."""
        name, _, version = self._reference.rpartition("@")
        shown = f"{safe(name, 24)}@{version[:8]}"
        parts = [styled("Recipe", "heading"), styled(shown, limit=36)]
        if self._kept.number:
            parts.append(styled(f"{self._kept.number} of {self._kept.n_numbers}"))
        if self.is_changed:
            parts.append(styled("not saved", "warning"))
        if self._opening is not None and not self._opening.sample.is_whole:
            sample = self._opening.sample
            told = f"sample of {sample.frame.height:,} of {sample.n_total:,} rows"
            parts.append(styled(told, "warning"))
        if self._busy:
            parts.append(styled(f"{glyph('busy')} {safe(self._busy, 24)}", "accent"))
        return fit(join(*parts, gap="  "), max(20, self.app.size.width - 4))

    def body(self) -> ComposeResult:
        """Lay out the steps and what one of them does."""
        with Horizontal(classes="steps"):
            yield RecordTable()
            yield Editor(self._judge)
            yield Detail()

    def foot(self) -> ComposeResult:
        """Lay out the line in which a step is written."""
        yield Correction()

    @property
    def table(self) -> RecordTable:
        """Return the list of steps."""
        return self.query_one(RecordTable)

    @property
    def editor(self) -> Editor:
        """Return the editor of the whole text."""
        return self.query_one(Editor)

    @property
    def is_editing(self) -> bool:
        """Return whether the whole text is edited."""
        return self.has_class("-editing")

    @property
    def is_changed(self) -> bool:
        """Return whether there is something that was not saved."""
        return self._text != self._kept.text

    def main(self) -> Widget:
        """Return the text that is edited, or the steps."""
        return self.editor.area if self.is_editing else self.table

    def requests(self) -> list[tuple[str, Request]]:
        """Return what was done last, the recipe, and what shows the step under the cursor."""
        done = [("Done last", self._last)] if self._last is not None else []
        number = {"number": self._kept.number} if self._kept.number else {}
        preview = {"name": self._reference, **({"text": self._text} if self.is_changed else number)}
        if self._opening is not None and not self._opening.sample.is_whole:
            preview["rows"] = self._opening.sample.frame.height
        row = self.table.selected
        if row is not None and row["found"] is not None and not self._is_overview:
            preview["step"] = row["entry"].number
        shown = {"name": self._dataset, **number}
        return [
            *done,
            ("This recipe", Request("data.recipe", shown)),
            ("What it does", Request("data.prepare", preview)),
        ]

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work now."""
        return ("editor",) if self.is_editing else self.SCOPES

    # Reading, and trying a text.

    def on_mount(self) -> None:
        """Begin to read."""
        self.notice.say_loading(self.NOUN)
        self._read()

    def _read(self) -> None:
        known, wanted = self._opening, self._wanted

        def work() -> None:
            worker = get_current_worker()
            outcome = attempt(
                lambda: (
                    known or steps.opened(self.desk, self._reference, _stopping(worker)),
                    steps.kept(self.desk, self._dataset, wanted),
                )
            )
            if not worker.is_cancelled:
                self.post_message(Opened(outcome))

        self.run_worker(work, thread=True, exclusive=True, group="recipe")

    @on(Opened)
    def _open(self, event: Opened) -> None:
        event.stop()
        if event.outcome.value is None:
            self.fail(event.outcome.error or StackError("Nothing was read."))
            return
        opening, kept = event.outcome.value
        is_first = self._opening is None
        self._opening = opening
        if self.is_changed and not is_first:  # somebody edits: their text stays
            self._kept = Kept(self._kept.number, kept.n_numbers, self._kept.text)
            self.retitle()
            return
        is_same = kept.text == self._kept.text and not is_first
        self._kept, self._base = kept, kept.n_numbers
        if is_same:
            self.retitle()
            return
        self._text, self._before = kept.text, []
        if kept.number:
            self._try()
        else:
            self._say_empty()

    def _say_empty(self) -> None:
        self._look = None
        self.notice.say_empty(
            f"No recipe yet. Press i to suggest one from {safe(self._reference, 40)}, "
            "or a to write its first step."
        )
        self.become("empty")
        self.retitle()

    def _try(self) -> None:
        """Try the text on the rows, in a thread; a newer text ends an older trial."""
        opening, text = self._opening, self._text
        if opening is None:
            return

        def work() -> None:
            worker = get_current_worker()
            outcome = attempt(lambda: steps.look(opening, text, _stopping(worker)))
            if not worker.is_cancelled:
                self.post_message(Looked(outcome))

        self.run_worker(work, thread=True, exclusive=True, group="look")
        self.retitle()

    @on(Looked)
    def _show(self, event: Looked) -> None:
        event.stop()
        found = event.outcome.value
        if found is None:
            if not self.is_editing:
                self.fail(event.outcome.error or StackError("Nothing was tried."))
            return
        self._look = found
        if self.is_editing:
            self._follow()
            return
        if not found.outline.entries:
            self._say_empty()
            return
        self.become("filled")
        self.call_after_refresh(self._fill)
        self.retitle()

    def _fill(self) -> None:
        found = self._look
        if found is None:
            return
        rows = found.rows()
        at = min(max(0, self._at), len(rows) - 1)
        self.table.fill(Listing(COLUMNS, rows, len(rows), len(rows), 0, "", False), steps.name_of)
        self.table.move_cursor(row=at, animate=False)
        self._show_step(is_same=True)
        if not self.is_editing and not self.query_one(Correction).has_class("-open"):
            (self.query_one(Detail) if self.has_class("-detail") else self.table).focus()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        row = self.table.selected
        if row is not None and self.table.has_focus:
            self._is_overview = self._is_overview and row["place"] == self._at
            self._at = int(row["place"])
        self._show_step()

    def _show_step(self, *, is_same: bool = False) -> None:
        detail = self.query_one(Detail)
        width = (detail.size.width or self.app.size.width) - 4
        row = self.table.selected
        if self._look is not None and self._is_overview:
            detail.show(steps.overview_block(self._look, width), is_same=is_same)
        elif row is not None:
            detail.show(steps.step_block(row, width), is_same=is_same)

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.add_class("-detail")
        self.query_one(Detail).focus()
        self.call_after_refresh(self._show_step)

    def changed(self) -> None:
        """Read again what somebody may have changed; a text that is not saved stays."""
        if not self._busy and self.state != "loading":
            self._read()

    # Changing steps.

    def _change(self, change: Callable[[Outline], Outline], at: int) -> None:
        """Put a changed outline in place of the text, and try it."""
        if self._look is None:
            return
        found = attempt(lambda: change(self._outline()).text)
        if found.value is None:
            self.say(str(found.error))
            return
        self._put(found.value, at)

    def _put(self, text: str, at: int) -> None:
        self._before.append((self._text, self._at))
        self._text, self._at = text, at
        self._try()

    def _outline(self) -> Outline:
        """Return the steps of the text as it is now, which may not have been tried yet."""
        from local_stack.data.recipes.outline import outline_of

        return outline_of(self._text or BEGUN, steps.SOURCE)

    @property
    def _is_writable(self) -> bool:
        if self.desk.is_readonly:
            self.say("The workspace is opened read-only.")
        return not self.desk.is_readonly

    def action_move(self, by: int) -> None:
        """Move the step under the cursor up or down."""
        n = len(self._look.outline.entries) if self._look is not None else 0
        if self._is_writable and 0 <= self._at + by < n:
            at = self._at
            self._change(lambda it: it.moved(at, by), at + by)

    def action_turn_step(self) -> None:
        """Turn the step under the cursor off, or on again."""
        if self._is_writable and self.table.selected is not None:
            at = self._at
            self._change(lambda it: it.turned(at), at)

    def action_remove(self) -> None:
        """Take the step under the cursor out; undo brings it back."""
        if self._is_writable and self.table.selected is not None:
            at = self._at
            self._change(lambda it: it.without(at), at)
            self.say("The step is out; u brings it back.", is_good=True)

    def action_undo(self) -> None:
        """Take the last change back."""
        if not self._before:
            self.say("There is nothing to undo.")
            return
        self._text, self._at = self._before.pop()
        if self._text:
            self._try()
        else:
            self._say_empty()

    def action_add(self) -> None:
        """Ask for a step to put behind the one under the cursor."""
        if self._is_writable and self.state in ("filled", "empty"):
            self._ask("add", "new step", "", _words())

    def action_edit(self) -> None:
        """Ask for what the step under the cursor is to be."""
        row = self.table.selected
        if self._is_writable and self.state == "filled" and row is not None:
            self._ask("edit", "step", row["entry"].text, _words())

    def action_store(self) -> None:
        """Ask for the data set that the whole table after the recipe becomes a version of."""
        if not self._is_writable:
            return
        if not self._kept.number or self.is_changed:
            self.say("Save the recipe first: ctrl+r.")
            return
        help = "The data set of which all rows, after these steps, become a version."
        self._ask("store", "store as", f"{self._dataset}-prepared", help)

    def _ask(self, subject: str, prompt: str, value: str, help: str) -> None:
        self.query_one(Correction).begin(subject, prompt, value, help)
        self.query_one(KeyBar).show("correct")

    @on(Correction.Given)
    def _given(self, event: Correction.Given) -> None:
        event.stop()
        self._answered()
        if event.subject == "store":
            arguments = {"name": self._reference, "number": self._kept.number, "as": event.value}
            self._do(Request("data.prepare", arguments), "storing")
            return
        found = attempt(lambda: self._stepped(event.subject, event.value))
        if found.value is not None:
            self._put(*found.value)
        elif found.error is not None:
            sentence = f"{found.error.message} {found.error.hint}"
            self._ask(event.subject, "step", event.value, sentence)

    def _stepped(self, subject: str, value: str) -> tuple[str, int]:
        """Return the text with a step that was typed, and where the cursor goes."""
        outline = self._outline()
        if subject == "edit":
            return outline.changed(self._at, value).text, self._at
        at = min(self._at + 1, len(outline.entries))
        return outline.inserted(at, value).text, at

    @on(Correction.Left)
    def _answered(self, event: Correction.Left | None = None) -> None:
        self.query_one(KeyBar).show(*self.SCOPES)
        (self.table if self.state == "filled" else self.notice).focus()

    # The whole text.

    def action_text(self) -> None:
        """Open the whole text."""
        if self._opening is None or not self._is_writable:
            return
        self._is_overview = False
        self.remove_class("-detail")
        self.add_class("-editing")
        if self.state != "filled":
            self.become("filled")
        self.query_one(KeyBar).show("editor")
        self.call_after_refresh(self._begin_text)

    def _begin_text(self) -> None:
        line = 0
        if self._look is not None and self._look.text == self._text:
            line = self._look.outline.line_of_place(self._at)
        self.editor.begin(self._text or BEGUN)
        self.editor.area.move_cursor((line, 0))

    def _judge(self, text: str) -> object:
        """Try a text that is typed, in the editor's thread; raise with the line of a fault."""
        opening = self._opening
        if opening is None:
            return None
        found = steps.look(opening, text, _stopping(get_current_worker()))
        if found.text == text:
            self.post_message(Looked(Outcome(found)))
        if found.problem is not None:
            raise found.problem
        return found

    @on(TextArea.SelectionChanged)
    def _follow(self, event: TextArea.SelectionChanged | None = None) -> None:
        """Show what the step under the cursor of the text does."""
        if not self.is_editing or self._look is None:
            return
        rows = self._look.rows()
        at = self._look.outline.place_of_line(self.editor.area.cursor_location[0])
        if at < len(rows):
            self._at = at
            detail = self.query_one(Detail)
            width = (detail.size.width or self.app.size.width) - 4
            detail.show(steps.step_block(rows[at], width))

    @on(Editor.Saved)
    def _save_text(self, event: Editor.Saved) -> None:
        event.stop()
        self._save(event.text)

    @on(Editor.Left)
    def _leave_text(self, event: Editor.Left) -> None:
        """Keep a text that is a recipe as the one that is worked on; ask about any other."""
        event.stop()
        text = self.editor.area.text
        if not event.is_changed:
            self._stop_editing()
            return
        found = attempt(lambda: _parsed(text))
        if found.error is None:
            self._before.append((self._text, self._at))
            self._text = text
            self._stop_editing()
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._stop_editing()

        lost = f"What you typed is no recipe and is lost. {found.error.message}"
        self.app.push_screen(Confirm("Leave the text as it was?", lost), answered)

    def _stop_editing(self) -> None:
        if not self.is_editing:
            return
        self.remove_class("-editing")
        self.query_one(KeyBar).show(*self.SCOPES)
        if self._text:
            self._try()
        else:
            self._say_empty()

    # Doing.

    def action_save(self) -> None:
        """Keep the steps as the next number of the recipe."""
        if self._is_writable:
            if self.is_changed:
                self._save(self._text)
            else:
                self.say("There is nothing new to save.")

    def _save(self, text: str) -> None:
        request = Request("data.recipe", {"name": self._reference, "text": text})
        n = self._kept.n_numbers
        if n == self._base:
            self._do(request, "saving")
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._do(request, "saving")

        lost = "It stays as an older number; your steps become the newest."
        self.app.push_screen(Confirm(f"Recipe {n} was set while you edited. Save?", lost), answered)

    def action_suggest(self) -> None:
        """Make a first recipe from the profile; it becomes the newest number."""
        if self.is_changed:
            self.say("Save or undo your changes first.")
            return
        arguments = {"name": self._reference, "suggest": True}
        self._do(Request("data.recipe", arguments), "suggesting")

    def action_turn(self, by: int) -> None:
        """Show an older or a newer recipe."""
        wanted = self._kept.number + by
        if self.is_changed:
            self.say("Save or undo your changes first.")
        elif 1 <= wanted <= self._kept.n_numbers:
            self._wanted = wanted
            self._at = 0
            self._read()
        else:
            self.say("There is no older recipe." if by < 0 else "This is the newest recipe.")

    def _do(self, request: Request, busy: str) -> None:
        if self._busy:
            self.say(f"Still {self._busy}.")
            return
        self._busy = busy
        self.retitle()

        def work() -> None:
            worker = get_current_worker()
            found = attempt(
                lambda: self.desk.carry_out(request, self._tell, lambda: worker.is_cancelled)
            )
            if not worker.is_cancelled:
                self.post_message(Done(request, found.value or Answer(error=found.error)))

        self.run_worker(work, thread=True, group="doing")

    def _tell(self, job: Job) -> None:
        self.post_message(Advanced(job))

    @on(Advanced)
    def _advance(self, event: Advanced) -> None:
        event.stop()
        if self._busy and event.job.is_alive:
            self._busy = safe(event.job.label or event.job.status, 40)
            self.retitle()

    @on(Done)
    def _ended(self, event: Done) -> None:
        event.stop()
        self._busy = ""
        self.retitle()
        error, result = event.answer.error, event.answer.result or {}
        if error is not None:
            self._refuse(error)
            return
        self._last = event.request
        if event.request.command == "data.prepare":
            made = result.get("made") or {}
            self.say(f"Stored as {made.get('dataset')}@{made.get('version')}.", is_good=True)
            return
        self.say(f"Recipe {result.get('number')} is set.", is_good=True)
        self.remove_class("-editing")
        self.query_one(KeyBar).show(*self.SCOPES)
        self._wanted = 0
        self._kept = Kept(0, 0, "")
        self._text = ""
        self._read()

    def _refuse(self, error: StackError) -> None:
        if self.is_editing:
            self.editor.complain(error)
        else:
            self.say(f"{error.message} {error.hint}")

    # Leaving and looking.

    def action_overview(self) -> None:
        """Show what all steps do together, or the step under the cursor again."""
        if self._look is None or self.state != "filled":
            return
        self._is_overview = not self._is_overview
        if self.app.size.width < WIDE:
            self.set_class(self._is_overview, "-detail")
            (self.query_one(Detail) if self._is_overview else self.table).focus()
        self.call_after_refresh(self._show_step)

    def action_copy(self) -> None:
        """Copy the text of the recipe."""
        if self._text:
            self.app.post_message(Copied(safe(self._text, 0, is_block=True)))

    def action_back(self) -> None:
        """Go from a step to the list, and from the list back to the screen."""
        if self.has_class("-detail"):
            self.remove_class("-detail")
            self._is_overview = False
            self.table.focus()
            return
        if not self.is_changed:
            self.dismiss(None)
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self.dismiss(None)

        lost = "What you changed is not saved and is lost; the stored recipe stays as it is."
        self.app.push_screen(Confirm("Leave the recipe without saving?", lost), answered)

    def on_resize(self) -> None:
        """Bring the list back where there is room for both, and fit the step to its pane."""
        if self.app.size.width >= WIDE:
            self.remove_class("-detail")
        self.call_after_refresh(self._show_step, is_same=True)
        super().on_resize()


def _stopping(worker: Worker[object]) -> Progress:
    """Return a progress that stops the work of a worker that nobody waits for any more."""

    def progress(step: Step) -> None:
        if worker.is_cancelled:
            raise Cancelled

    return progress


def _parsed(text: str) -> object:
    from local_stack.data.recipes.document import parse

    return parse(text, steps.SOURCE)


def _words() -> str:
    from local_stack.preparation.grammar import WORDS

    return f"Such as impute: {{columns: numeric}}. Words: {' '.join(WORDS)}"
