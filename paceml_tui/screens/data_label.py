"""The label queue: rows of a version one at a time, a key a class, and every answer kept at once.

An answer is only ever given to the row that is on the screen: until it is kept, and the next
row stands there, keys of answers do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import Block, Text, safe, styled
from paceml_tui.screens import data_label_blocks as blocks
from paceml_tui.screens.data_label_asking import PROMPTS, Counted, Found, Told, queue_of, quoted
from paceml_tui.screens.data_label_finishing import FinishingView
from paceml_tui.tasks import Desk, Request, attempt
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.records import WIDE, Copied

if TYPE_CHECKING:
    from local_stack.data.labelling.board import Labelling

_SEVERAL = "+"


class LabelView(FinishingView):
    """Label the rows of a version."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("label"), *keys.bindings("classes")]
    SCOPES = ("label", "detail")
    NOUN = "rows"

    def __init__(self, desk: Desk, reference: str) -> None:
        super().__init__(desk, reference)
        self._columns: tuple[str, ...] = ()
        self._elsewhere: tuple[tuple[int, str], ...] = ()
        self._queue: dict[str, Any] = {}
        self._queue_text = ""
        self._is_judge = False
        self._is_revealed = False
        self._board: Labelling | None = None
        self._chosen: tuple[str, ...] = ()
        self._note = ""
        self._is_waiting = False
        self._row: int | None = None
        self._is_counting = self._is_stale = False

    def heading(self) -> Text:
        """Return the title: what is labelled, how far it is, and which rows are shown."""
        return blocks.title(
            self._reference,
            self._column,
            self._board,
            queue=self._queue_text,
            busy=self._busy,
            width=self.app.size.width - 4,
        )

    def body(self) -> ComposeResult:
        """Lay out the record, and the classes and tallies beside or under it."""
        with Container(classes="labelling"):
            yield Detail()
            with VerticalScroll(classes="side", can_focus=False):
                yield Static(styled(""), classes="choices")
                yield Static(styled(""), classes="tallies")

    def foot(self) -> ComposeResult:
        """Lay out the line in which something is typed."""
        yield Correction()

    def main(self) -> Widget:
        """Return the record."""
        return self.query_one(Detail)

    def requests(self) -> list[tuple[str, Request]]:
        """Return what was done here last, this queue, and the list of labellings."""
        shown = [("This queue", self._request({}))] if self._column else []
        listed = ("What is being labelled", Request("data.labels", {"name": self._reference}))
        return [*self.done_last(), *shown, listed]

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work now."""
        return ("label", "classes", "detail")

    # Reading.

    def on_mount(self) -> None:
        """Look what is being labelled here."""
        self.notice.say_loading(self.NOUN)
        self.become("loading")
        self._look()

    def _look(self) -> None:
        asked = Request("data.labels", {"name": self._reference.rpartition("@")[0]})
        self.aside(lambda _: self.desk.perform(asked)[1], Found, "found")

    @on(Found)
    def _found(self, event: Found) -> None:
        event.stop()
        if event.outcome.value is None:
            self.fail(event.outcome.error or StackError("Nothing was read."))
            return
        version = self._reference.rpartition("@")[2]
        found = event.outcome.value.labellings
        self._columns = tuple(it.column for it in found if it.version == version)
        self._elsewhere = tuple((it.number, it.column) for it in found if it.version != version)
        if self._columns:
            self._open(self._columns[0])
        else:
            self._say_empty()

    def _say_empty(self) -> None:
        self._column, self._board = "", None
        sentence = (
            f"Nothing is labelled in {safe(self._reference, 40)} yet. Press L to begin: "
            "name a column and its classes."
        )
        if self._elsewhere:
            number, column = self._elsewhere[0]
            sentence += f" Column {safe(column, 30)} is labelled on version {number}."
        self.notice.say_empty(sentence)
        self.become("empty")
        self.retitle()

    def _open(self, column: str) -> None:
        self._column, self._board, self._counted = column, None, None
        self._is_judge = self._is_revealed = False
        self._call({})

    def _request(self, given: Mapping[str, Any]) -> Request:
        arguments = {"name": self._reference, "column": self._column, **self._queue}
        if self._is_judge:
            arguments["adjudicate"] = True
        elif self._is_revealed:
            arguments["reveal"] = True
        return Request("data.label", {**arguments, **given})

    def _call(self, given: Mapping[str, Any]) -> None:
        """Carry out one call of the verb; what comes back is drawn when it is there."""
        if self._is_waiting:
            return
        self._is_waiting = True
        request = self._request(given)
        asked = Request(request.command, {**request.arguments, "brief": True})
        self.aside(
            lambda _: self.desk.perform(asked)[1],
            lambda outcome: Told(request, outcome),
            "label",
            is_exclusive=False,
        )

    @on(Told)
    def _told(self, event: Told) -> None:
        event.stop()
        self._is_waiting = False
        board, error = event.outcome.value, event.outcome.error
        if board is None:
            self._refused(error or StackError("Nothing came back."))
            return
        if board.did:
            self._last = event.request
        self._take(board)
        if board.did == "declared":
            self._columns = tuple(dict.fromkeys([self._column, *self._columns]))
        if not board.classes:
            self.call_after_refresh(self._begin_classes)

    def _refused(self, error: StackError) -> None:
        self.retitle()
        if self._board is None:
            self.fail(error)
        else:
            self.say(f"{error.message} {error.hint}")

    def _take(self, board: Labelling) -> None:
        is_first = self._board is None
        sample = board.next
        is_same = sample is not None and sample.row == self._row and not board.did
        self._board, self._column = board, board.column
        if not is_same:
            self._note = ""
            self._row = sample.row if sample is not None else self._row
            opinion = sample.opinion if sample is not None else None
            self._chosen = tuple(opinion.classes or ()) if opinion is not None else ()
        if self.state != "filled":
            self.become("filled")
        self._draw(is_same=is_same)
        if is_first:
            self.call_after_refresh(self.query_one(Detail).focus)
            self._count()

    def _draw(self, *, is_same: bool = True) -> None:
        board = self._board
        if board is None:
            return
        sample = board.next
        is_wide = self.app.size.width >= WIDE
        shown: Block = (
            blocks.record(board, sample, self._note) if sample else blocks.finished(board)
        )
        self.query_one(Detail).show(shown, is_same=is_same)
        width = self.app.size.width * 2 // 5 - 8 if is_wide else self.app.size.width - 6
        choices: Block = blocks.choices(board, self._chosen, width, is_wide=is_wide)
        self.query_one(".choices", Static).update(choices)
        counted: Block = blocks.tallies(self._counted or board, is_list=is_wide)
        self.query_one(".tallies", Static).update(counted)
        self.retitle()

    def changed(self) -> None:
        """Count again when somebody has answered, here or elsewhere; the row stays."""
        if self.state == "empty" and not self.is_asking:
            self._look()
        elif self._board is not None:
            self._count()

    def _count(self) -> None:
        """Count what the answers of everybody come to, beside the queue, one count at a time."""
        if self._is_counting:
            self._is_stale = True
            return
        self._is_counting, self._is_stale = True, False
        request = self._request({"limit": 0, "at": self._row or 0})
        self.aside(lambda _: self.desk.perform(request)[1], Counted, "count", is_exclusive=False)

    @on(Counted)
    def _show_counts(self, event: Counted) -> None:
        event.stop()
        self._is_counting = False
        if self._is_stale:
            self._count()
        counted = event.outcome.value
        if counted is not None and counted.column == self._column:
            self._counted = counted
            self._draw()

    def on_resize(self) -> None:
        """Lay out anew what depends on the width."""
        super().on_resize()
        self.call_after_refresh(self._draw)

    # Answering.

    def action_choose(self, place: int) -> None:
        """Give the row a class; where it may have several, take it or leave it."""
        board = self._board
        if board is None or self._is_waiting or not self._has_row():
            return
        if place >= len(board.classes):
            self.say(f"There are {len(board.classes)} classes; press + to add one.")
            return
        self._give(board.classes[place])

    def _give(self, name: str) -> None:
        board = self._board
        if board is None:
            return
        if not board.is_multi:
            self._answer({"value": [name]})
            return
        is_taken = name in self._chosen
        rest = tuple(it for it in self._chosen if it != name)
        self._chosen = rest if is_taken else (*self._chosen, name)
        self._draw()

    def action_confirm(self) -> None:
        """Keep the chosen classes, or the answer that stands, and go on."""
        board = self._board
        if board is None or self._is_waiting or not self._has_row():
            return
        if board.is_multi:
            self._answer({"value": list(self._chosen)} if self._chosen else {"none": True})
        elif self._chosen:
            self._answer({"value": list(self._chosen)})
        else:
            self.say("Press the key of a class, or s to skip the row.")

    def action_skip(self) -> None:
        """Pass the row over."""
        if not self._is_waiting and self._has_row():
            self._answer({"skip": True})

    def _answer(self, given: dict[str, Any]) -> None:
        sample = self._board.next if self._board else None
        if sample is None:
            return
        note = self._note or (sample.opinion.note if sample.opinion else "")
        noted = {"note": note} if note else {}
        self._call({"row": sample.row, **given, **noted})

    def action_undo(self) -> None:
        """Take the last act back and go to its row; again and again."""
        if self._board is not None:
            self._call({"undo": True})

    def _has_row(self) -> bool:
        if self._board is not None and self._board.next is not None:
            return True
        self.say("Nothing is left in this queue: press / for other rows.")
        return False

    def action_move(self, by: int) -> None:
        """Go to the row before or after, without an answer."""
        board = self._board
        if board is None:
            return
        if board.next is None:
            wanted = self._row
        else:
            wanted = board.next.following if by > 0 else board.next.previous
        if wanted is None:
            self.say("This is the last row." if by > 0 else "This is the first row.")
        else:
            self._call({"at": wanted})

    def action_adjudicate(self) -> None:
        """Change between one's own queue and the rows that annotators disagree on."""
        if self._board is not None and not self._is_waiting:
            self._is_judge = not self._is_judge
            self._row = None
            self._call({})

    def action_reveal(self) -> None:
        """Show or hide what others answered."""
        if self._board is not None and not self._is_waiting and self._row is not None:
            self._is_revealed = not self._is_revealed
            self._call({"at": self._row})

    # Typing.

    def action_ask(self, subject: str) -> None:
        """Open the line for a note, a row, a class, the queue or a column."""
        if self._is_waiting or self.state == "loading":
            return
        if subject != "column" and self._board is None:
            self.say("Press L to begin a labelling first.")
            return
        opinion = self._board.next.opinion if self._board and self._board.next else None
        begun = {"note": self._note or (opinion.note if opinion else ""), "queue": self._queue_text}
        prompt = PROMPTS[subject]
        known = f"Being labelled: {', '.join(self._columns[:6])}. " if self._columns else ""
        help = f"{known if subject == 'column' else ''}{prompt.help}"
        self.ask(subject, prompt.title, begun.get(subject, ""), help)

    def _begin_classes(self) -> None:
        """Ask for the first classes; what the column holds stands there already."""
        if self._board is not None:
            prompt, begun = PROMPTS["classes"], ", ".join(map(quoted, self._board.suggested))
            self.ask("classes", prompt.title, begun, prompt.help)

    def given(self, subject: str, value: str) -> None:
        """Do what was typed."""
        text = value.strip()
        if subject == "note":
            self._note_down(text)
        elif subject == "queue":
            self._choose_rows(text)
        elif text:
            {
                "column": self._open,
                "classes": self._declare,
                "class": self._add,
                "row": self._jump,
            }[subject](text)
        elif subject == "classes":
            self._say_empty()

    def ungiven(self, subject: str) -> None:
        """Forget a labelling that was given no classes."""
        if self._board is not None and not self._board.classes:
            self._say_empty()

    def _declare(self, text: str) -> None:
        several = {"multi": True} if text.endswith(_SEVERAL) else {}
        self._call({"classes": [text.rstrip(_SEVERAL).strip().rstrip(",")], **several})

    def _add(self, name: str) -> None:
        """Give the row a class by its name; a new one is declared first."""
        board = self._board
        if board is None:
            return
        if name in board.classes:
            self._give(name)
        else:
            self._call({"classes": [quoted(name)], "at": self._row or 0})

    def _jump(self, text: str) -> None:
        if text.isdecimal():
            self._call({"at": int(text)})
        else:
            self.say(f"{text} is no number of a row.")

    def _note_down(self, text: str) -> None:
        """Keep a note: with the answer that stands, or until there is one."""
        sample = self._board.next if self._board else None
        self._note = text
        if sample is not None and sample.opinion is not None:
            classes = sample.opinion.classes
            said: dict[str, Any] = {"value": list(classes)} if classes else {"none": True}
            said = {"skip": True} if classes is None else said
            self._call({"row": sample.row, **said, **({"note": text} if text else {})})
        else:
            self._draw()

    def _choose_rows(self, text: str) -> None:
        found = attempt(lambda: queue_of(text))
        if found.error is not None or found.value is None:
            self.say(str(found.error or ""))
            return
        self._queue, self._queue_text, self._row = found.value, text, None
        self._call({})

    # Leaving.

    def action_back(self) -> None:
        """Go back to the screen; every answer is kept already."""
        self.dismiss(None)

    def action_copy(self) -> None:
        """Copy the number of the row as the command takes it."""
        if self._row is not None:
            self.app.post_message(Copied(safe(f"{self._reference} --row {self._row}", 0)))
