"""The contract of a data set: every check with its verdict, and the text behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable
from textual.worker import get_current_worker

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import Text, glyph, join, safe, styled
from paceml_tui.screens.data_board import COLUMNS, Board, check_block, name_of, read, verdict
from paceml_tui.tasks import Answer, Desk, Outcome, Request, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import Confirm
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.table import Listing, RecordTable
from paceml_tui.widgets.view import View

if TYPE_CHECKING:
    from local_stack.jobs import Job

_SOURCE = "the contract"
"""What errors call the text of the editor, before its line."""


class Read(Message):
    """The contract and its verdict were read."""

    def __init__(self, outcome: Outcome[Board]) -> None:
        super().__init__()
        self.outcome = outcome


class Done(Message):
    """Something that was asked for here has ended."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__()
        self.request = request
        self.answer = answer


class Advanced(Message):
    """The check has come further."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class ContractView(View):
    """What a data set promises, and whether one of its versions keeps it."""

    BINDINGS = keys.bindings("contract")
    SCOPES = ("contract", "table")
    NOUN = "contract"

    def __init__(self, desk: Desk, dataset: str, version: str) -> None:
        super().__init__(desk)
        self._dataset = dataset
        self._reference = f"{dataset}@{version}"
        self._version = version
        self._wanted = 0
        self._board: Board | None = None
        self._busy = ""
        self._last: Request | None = None
        self._edited = 0

    def heading(self) -> Text:
        """Return the title: whose contract, which number, and the verdict."""
        board = self._board
        parts = [styled("Contract", "heading"), styled(self._dataset, limit=40)]
        if board is not None and board.number:
            parts += [styled(f"{board.number} of {board.n_numbers}"), verdict(board)]
            parts += [styled(self._reference, "quiet", 40)] if board.passed is not None else []
        if self._busy:
            parts.append(styled(f"{glyph('busy')} {self._busy}", "accent"))
        return join(*parts, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the checks, one check, and the editor that takes their place."""
        with Horizontal(classes="checks"):
            yield RecordTable()
            yield Detail()

    def foot(self) -> ComposeResult:
        """Lay out the editor, which is there in the empty state too."""
        yield Editor(judged)

    @property
    def table(self) -> RecordTable:
        """Return the list of checks."""
        return self.query_one(RecordTable)

    @property
    def is_editing(self) -> bool:
        """Return whether the editor is open."""
        return self.has_class("-editing")

    def main(self) -> Widget:
        """Return the text that is edited, or the checks."""
        return self.query_one(Editor).area if self.is_editing else self.table

    def requests(self) -> list[tuple[str, Request]]:
        """Return what was done here last, and the commands that show and check the contract."""
        done = [("Done last", self._last)] if self._last is not None else []
        return [
            *done,
            ("This contract", Request("data.contract", {"name": self._dataset})),
            ("Check a version", Request("data.check", {"name": self._reference})),
        ]

    # Reading.

    def on_mount(self) -> None:
        """Begin to read."""
        self.notice.say_loading(self.NOUN)
        self._reload()

    def _reload(self) -> None:
        wanted = self._wanted

        def work() -> None:
            worker = get_current_worker()
            outcome = attempt(lambda: read(self.desk, self._dataset, self._version, wanted))
            if not worker.is_cancelled:
                self.post_message(Read(outcome))

        self.run_worker(work, thread=True, exclusive=True, group="contract")

    @on(Read)
    def _show(self, event: Read) -> None:
        event.stop()
        board, error = event.outcome.value, event.outcome.error
        self._board = board
        if board is None:
            self.fail(error or StackError("Nothing was read."))
        elif not board.number:
            self.notice.say_empty(
                f"No contract yet. Press i to infer one from {safe(self._reference, 40)}, "
                "or e to write one."
            )
            self.become("empty")
        else:
            listing = Listing(
                COLUMNS, board.checks, len(board.checks), len(board.checks), 0, "", False
            )
            self.become("filled")
            self.call_after_refresh(self.table.fill, listing, name_of)
            if not self.is_editing:
                self.call_after_refresh(self.table.focus)
        self.retitle()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        row = self.table.selected
        if row is not None:
            self.query_one(Detail).show(check_block(row))

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.add_class("-detail")
        self.query_one(Detail).focus()

    # Doing.

    def action_back(self) -> None:
        """Go from a check to the list, and from the list back to the screen."""
        if self.has_class("-detail"):
            self.remove_class("-detail")
            self.table.focus()
        else:
            self.dismiss(None)

    def action_turn(self, by: int) -> None:
        """Show an older or a newer contract."""
        board = self._board
        if board is None or not board.number:
            return
        wanted = board.number + by
        if 1 <= wanted <= board.n_numbers:
            self._wanted = wanted
            self._reload()
        else:
            self.say("There is no older contract." if by < 0 else "This is the newest contract.")

    def action_check(self) -> None:
        """Check the version against the newest contract."""
        if self._board is None or not self._board.number:
            self.say("There is no contract to check yet: press i to infer one.")
            return
        self._do(Request("data.check", {"name": self._reference}), "checking")

    def action_infer(self) -> None:
        """Learn a contract from the version; it becomes the newest one."""
        self._do(Request("data.contract", {"name": self._reference, "infer": True}), "inferring")

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
            self._busy = safe(f"{event.job.command}: {event.job.label or event.job.status}", 40)
            self.retitle()

    @on(Done)
    def _ended(self, event: Done) -> None:
        event.stop()
        self._busy = ""
        answer = event.answer
        if answer.error is not None and answer.result is None:
            self._refuse(event.request, answer.error)
            return
        self._last = event.request
        self._wanted = 0
        if event.request.command == "data.contract":
            self._stop_editing()
            self.say(f"Contract {(answer.result or {}).get('number')} is set.", is_good=True)
        elif answer.error is None:
            self.say(f"{self._reference} keeps its contract.", is_good=True)
        else:
            self.say(answer.error.message)
        self._reload()

    def _refuse(self, request: Request, error: StackError) -> None:
        self.retitle()
        if self.is_editing:
            self.query_one(Editor).complain(error)
        elif self._board is None:
            self.fail(error)
        else:
            self.say(f"{error.message} {error.hint}")

    def action_copy(self) -> None:
        """Copy the text of the contract."""
        if self._board is not None:
            self.app.post_message(Copied(safe(self._board.text, 0, is_block=True)))

    # Editing.

    def action_edit(self) -> None:
        """Open the text of the contract that is shown; saving makes a new number."""
        if self.state == "loading" or self.desk.is_readonly:
            self.say("The workspace is opened read-only." if self.desk.is_readonly else "Reading.")
            return
        board = self._board
        text = board.text if board and board.number else begun(self._dataset)
        self._edited = board.n_numbers if board else 0
        self.add_class("-editing")
        self._keys("editor")
        self.call_after_refresh(self.query_one(Editor).begin, text)

    @on(Editor.Saved)
    def _save(self, event: Editor.Saved) -> None:
        event.stop()
        request = Request("data.contract", {"name": self._dataset, "text": event.text})
        n = self._board.n_numbers if self._board else 0
        if n == self._edited:
            self._do(request, "saving")
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._do(request, "saving")

        lost = "What it says is replaced by your text; it stays as an older number."
        self.app.push_screen(
            Confirm(f"Contract {n} was set while you edited. Save?", lost), answered
        )

    @on(Editor.Left)
    def _leave(self, event: Editor.Left) -> None:
        event.stop()
        if not event.is_changed:
            self._stop_editing()
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._stop_editing()

        lost = "What you changed in this text is lost; the contract stays as it is."
        self.app.push_screen(Confirm("Leave the editor without saving?", lost), answered)

    def _stop_editing(self) -> None:
        if not self.is_editing:
            return
        self.remove_class("-editing")
        self._keys(*self.SCOPES)
        self.call_after_refresh(self.table.focus if self.state == "filled" else self.notice.focus)

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work now."""
        return ("editor",) if self.is_editing else self.SCOPES

    def changed(self) -> None:
        """Read again what somebody may have changed; the text being edited stays."""
        if not self._busy and self.state != "loading":
            self._reload()

    def _keys(self, *scopes: str) -> None:
        from paceml_tui.widgets.keybar import KeyBar

        self.query_one(KeyBar).show(*scopes)

    def on_resize(self) -> None:
        """Bring the list back where there is room for both."""
        if self.app.size.width >= WIDE:
            self.remove_class("-detail")
        super().on_resize()


def judged(text: str) -> object:
    """Return the contract that ``text`` is; raise :class:`InputError` with the line of a fault."""
    from local_stack.data.contracting import contract_file

    return contract_file.parse(text, _SOURCE)


def begun(dataset: str) -> str:
    """Return the text that a first contract is begun with."""
    return (
        f"dataset: {_quoted(dataset)}\nrows: {{min: 1}}\n"
        "# Such as: {name: {type: double, nullable: false, min: 0, max: 100}}\n"
        "columns: {}\nchecks: []\n"
    )


def _quoted(name: str) -> str:
    import json

    return name if name.isidentifier() else json.dumps(name)
