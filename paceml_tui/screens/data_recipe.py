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
from textual.widgets import DataTable, TextArea
from textual.worker import get_current_worker

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import Text, fit, join, safe, styled
from paceml_tui.screens import data_recipe_steps as steps
from paceml_tui.screens.data_recipe_draft import Draft
from paceml_tui.screens.data_recipe_steps import BEGUN, COLUMNS, Kept, Look, Opening
from paceml_tui.tasks import Answer, Desk, Outcome, Request, attempt
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.editing import EditingView
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.table import Listing, RecordTable
from paceml_tui.widgets.view import progress_of

if TYPE_CHECKING:
    from local_stack.data.recipes.outline import Outline


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


class RecipeView(EditingView):
    """The steps of a preparation, and what they do."""

    BINDINGS = keys.bindings("recipe")
    SCOPES = ("recipe", "table")
    NOUN = "recipe"

    def __init__(self, desk: Desk, reference: str) -> None:
        super().__init__(desk)
        self._reference = reference
        self._dataset = reference.rpartition("@")[0]
        self._opening: Opening | None = None
        self._draft = Draft()
        self._wanted = 0
        self._look: Look | None = None
        self._is_overview = False

    def heading(self) -> Text:
        """Return the title: of which version, which number, and on which rows it was tried."""
        name, _, version = self._reference.rpartition("@")
        shown = f"{safe(name, 24)}@{version[:8]}"
        parts = [styled("Recipe", "heading"), styled(shown, limit=36)]
        if self._draft.kept.number:
            parts.append(styled(f"{self._draft.kept.number} of {self._draft.kept.n_numbers}"))
        if self._draft.is_changed:
            parts.append(styled("not saved", "warning"))
        if self._opening is not None and not self._opening.sample.is_whole:
            sample = self._opening.sample
            told = f"sample of {sample.frame.height:,} of {sample.n_total:,} rows"
            parts.append(styled(told, "warning"))
        return fit(join(*parts, *self.busy_mark(), gap="  "), max(20, self.app.size.width - 4))

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
    def detail(self) -> Detail:
        """Return what the step under the cursor does."""
        return self.query_one(Detail)

    def requests(self) -> list[tuple[str, Request]]:
        """Return what was done last, the recipe, and what shows the step under the cursor."""
        number = {"number": self._draft.kept.number} if self._draft.kept.number else {}
        preview = {
            "name": self._reference,
            **({"text": self._draft.text} if self._draft.is_changed else number),
        }
        if self._opening is not None and not self._opening.sample.is_whole:
            preview["rows"] = self._opening.sample.frame.height
        row = self.table.selected
        if row is not None and row["found"] is not None and not self._is_overview:
            preview["step"] = row["entry"].number
        shown = {"name": self._dataset, **number}
        return [
            *self.done_last(),
            ("This recipe", Request("data.recipe", shown)),
            ("What it does", Request("data.prepare", preview)),
        ]

    # Reading, and trying a text.

    def on_mount(self) -> None:
        """Begin to read."""
        self.notice.say_loading(self.NOUN)
        self.reload()

    def reload(self) -> None:
        """Read the stored recipe, and at first the rows to try it on."""
        known, wanted = self._opening, self._wanted
        self.aside(
            lambda is_left: (
                known or steps.opened(self.desk, self._reference, progress_of(is_left)),
                steps.kept(self.desk, self._dataset, wanted),
            ),
            Opened,
            "recipe",
        )

    @on(Opened)
    def _open(self, event: Opened) -> None:
        event.stop()
        if event.outcome.value is None:
            self.fail(event.outcome.error or StackError("Nothing was read."))
            return
        is_shown = self._opening is not None and self.state != "failed"
        self._opening, kept = event.outcome.value
        if not self._draft.begin(kept, is_held=self.is_editing) and is_shown:
            self.retitle()
        elif kept.number:
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
        opening, text = self._opening, self._draft.text
        if opening is not None:
            self.aside(
                lambda is_left: steps.look(opening, text, progress_of(is_left)), Looked, "look"
            )
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
        at = min(max(0, self._draft.at), len(rows) - 1)
        self.table.fill(Listing(COLUMNS, rows, len(rows), len(rows), 0, "", False), steps.name_of)
        self.table.move_cursor(row=at, animate=False)
        self._show_step(is_same=True)
        if not self.is_editing and not self.is_asking:
            (self.detail if self.has_class("-detail") else self.table).focus()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        row = self.table.selected
        if row is not None and self.table.has_focus:
            self._is_overview = self._is_overview and row["place"] == self._draft.at
            self._draft.at = int(row["place"])
        self._show_step()

    def _show_step(self, *, is_same: bool = False) -> None:
        row = self.table.selected
        if self._look is not None and self._is_overview:
            self.detail.show(steps.overview_block(self._look, self._room), is_same=is_same)
        elif row is not None:
            self.detail.show(steps.step_block(row, self._room), is_same=is_same)

    @property
    def _room(self) -> int:
        """Return how many cells a line of the detail has."""
        return (self.detail.size.width or self.app.size.width) - 4

    def open_detail(self) -> None:
        """Show the step in place of the list, or go to it where it stands beside the list."""
        super().open_detail()
        self.call_after_refresh(self._show_step)

    # Changing steps.

    def _change(self, change: Callable[[Outline], Outline], at: int) -> None:
        """Change the steps, and try them."""
        found = attempt(lambda: self._draft.change(change, at))
        if found.error is not None:
            self.say(str(found.error))
        else:
            self._try()

    @property
    def _is_writable(self) -> bool:
        if self.desk.is_readonly:
            self.say("The workspace is opened read-only.")
        return not self.desk.is_readonly

    def action_move(self, by: int) -> None:
        """Move the step under the cursor up or down."""
        n = len(self._look.outline.entries) if self._look is not None else 0
        if self._is_writable and 0 <= self._draft.at + by < n:
            at = self._draft.at
            self._change(lambda it: it.moved(at, by), at + by)

    def action_turn_step(self) -> None:
        """Turn the step under the cursor off, or on again."""
        if self._is_writable and self.table.selected is not None:
            at = self._draft.at
            self._change(lambda it: it.turned(at), at)

    def action_remove(self) -> None:
        """Take the step under the cursor out; undo brings it back."""
        if self._is_writable and self.table.selected is not None:
            at = self._draft.at
            self._change(lambda it: it.without(at), at)
            self.say("The step is out; u brings it back.", is_good=True)

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._draft.undo():
            self._try_or_empty()
        else:
            self.say("There is nothing to undo.")

    def _try_or_empty(self) -> None:
        if self._draft.text:
            self._try()
        else:
            self._say_empty()

    def action_add(self) -> None:
        """Ask for a step to put behind the one under the cursor."""
        if self._is_writable and self.state in ("filled", "empty"):
            self.ask("add", "new step", "", _words())

    def action_edit(self) -> None:
        """Ask for what the step under the cursor is to be."""
        row = self.table.selected
        if self._is_writable and self.state == "filled" and row is not None:
            self.ask("edit", "step", row["entry"].text, _words())

    def action_store(self) -> None:
        """Ask for the data set that the whole table after the recipe becomes a version of."""
        if not self._is_writable:
            return
        if not self._draft.kept.number or self._draft.is_changed:
            self.say("Save the recipe first: ctrl+r.")
            return
        help = "The data set of which all rows, after these steps, become a version."
        self.ask("store", "store as", f"{self._dataset}-prepared", help)

    def given(self, subject: str, value: str) -> None:
        """Store the table, or take a step that was typed; a wrong one is asked for again."""
        if subject == "store":
            arguments = {"name": self._reference, "number": self._draft.kept.number, "as": value}
            self.do(Request("data.prepare", arguments), "storing")
            return
        take = self._draft.add if subject == "add" else self._draft.edit
        found = attempt(lambda: take(value))
        if found.error is None:
            self._try()
        else:
            self.ask(subject, "step", value, f"{found.error.message} {found.error.hint}")

    # The whole text.

    def action_text(self) -> None:
        """Open the whole text."""
        if self._opening is None or not self._is_writable:
            return
        self._is_overview = False
        self.remove_class("-detail")
        if self.state != "filled":
            self.become("filled")
        self.open_editor(self._begin_text)

    def _begin_text(self) -> None:
        line = 0
        if self._look is not None and self._look.text == self._draft.text:
            line = self._look.outline.line_of_place(self._draft.at)
        self.editor.begin(self._draft.text or BEGUN)
        self.editor.area.move_cursor((line, 0))

    def _judge(self, text: str) -> object:
        """Try a text that is typed, in the editor's thread; raise with the line of a fault."""
        opening = self._opening
        if opening is None:
            return None
        worker = get_current_worker()
        found = steps.look(opening, text, progress_of(lambda: worker.is_cancelled))
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
            self._draft.at = at
            self.detail.show(steps.step_block(rows[at], self._room))

    @on(Editor.Saved)
    def _save_text(self, event: Editor.Saved) -> None:
        event.stop()
        self._save(event.text)

    @on(Editor.Left)
    def _leave_text(self, event: Editor.Left) -> None:
        """Keep a text that is a recipe as the one that is worked on; ask about any other."""
        event.stop()
        text = self.editor.area.text
        found = attempt(lambda: _parsed(text))
        if event.is_changed and found.error is None:
            self._draft.put(text, self._draft.at)
        if not event.is_changed or found.error is None:
            self.close_editor()
            return
        lost = f"What you typed is no recipe and is lost. {found.error.message}"
        self.confirm("Leave the text as it was?", lost, self.close_editor)

    def close_editor(self) -> None:
        """Show the steps of the text again."""
        super().close_editor()
        self._try_or_empty()
        if self._draft.is_overtaken:
            self.reload()

    # Doing.

    def action_save(self) -> None:
        """Keep the steps as the next number of the recipe."""
        if self._is_writable:
            if self._draft.is_changed:
                self._save(self._draft.text)
            else:
                self.say("There is nothing new to save.")

    def _save(self, text: str) -> None:
        request = Request("data.recipe", {"name": self._reference, "text": text})
        newest = f"Recipe {self._draft.kept.n_numbers}" if self._draft.is_overtaken else ""
        lost = "It stays as an older number; your steps become the newest."
        self.save_over(request, newest, lost)

    def action_suggest(self) -> None:
        """Make a first recipe from the profile; it becomes the newest number."""
        if self._draft.is_changed:
            self.say("Save or undo your changes first.")
            return
        arguments = {"name": self._reference, "suggest": True}
        self.do(Request("data.recipe", arguments), "suggesting")

    def action_turn(self, by: int) -> None:
        """Show an older or a newer recipe."""
        wanted = self._draft.kept.number + by
        if self._draft.is_changed:
            self.say("Save or undo your changes first.")
        elif 1 <= wanted <= self._draft.kept.n_numbers:
            self._wanted = wanted
            self._draft.at = 0
            self.reload()
        else:
            self.say("There is no older recipe." if by < 0 else "This is the newest recipe.")

    def done(self, request: Request, answer: Answer) -> None:
        """Name the version that was stored, or show the recipe that was set."""
        result = answer.result or {}
        if request.command == "data.prepare":
            made = result.get("made") or {}
            self.say(f"Stored as {made.get('dataset')}@{made.get('version')}.", is_good=True)
            return
        self.say(f"Recipe {result.get('number')} is set.", is_good=True)
        self._wanted = 0
        self._draft.forget()
        if self.is_editing:
            super().close_editor()
        self.reload()

    # Leaving and looking.

    def action_overview(self) -> None:
        """Show what all steps do together, or the step under the cursor again."""
        if self._look is None or self.state != "filled":
            return
        self._is_overview = not self._is_overview
        if self.app.size.width < WIDE:
            self.set_class(self._is_overview, "-detail")
            (self.detail if self._is_overview else self.table).focus()
        self.call_after_refresh(self._show_step)

    def action_copy(self) -> None:
        """Copy the text of the recipe."""
        if self._draft.text:
            self.app.post_message(Copied(safe(self._draft.text, 0, is_block=True)))

    def action_back(self) -> None:
        """Go from a step to the list, and from the list back to the screen."""
        if self.close_detail():
            self._is_overview = False
        elif self._draft.is_changed:
            lost = "What you changed is not saved and is lost; the stored recipe stays as it is."
            self.confirm("Leave the recipe without saving?", lost, lambda: self.dismiss(None))
        else:
            self.dismiss(None)

    def on_resize(self) -> None:
        """Fit the step to its pane."""
        super().on_resize()
        self.call_after_refresh(self._show_step, is_same=True)


def _parsed(text: str) -> object:
    from local_stack.data.recipes.document import parse

    return parse(text, steps.SOURCE)


def _words() -> str:
    from local_stack.preparation.grammar import WORDS

    return f"Such as impute: {{columns: numeric}}. Words: {' '.join(WORDS)}"
