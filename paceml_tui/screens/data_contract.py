"""The contract of a data set: every check with its verdict, and the text behind them."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import DataTable

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import Text, join, safe, styled
from paceml_tui.screens.data_board import COLUMNS, Board, check_block, name_of, read, verdict
from paceml_tui.tasks import Answer, Desk, Outcome, Request
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.editing import EditingView
from paceml_tui.widgets.editor import Editor
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.table import Listing, RecordTable

_SOURCE = "the contract"
"""What errors call the text of the editor, before its line."""


class Read(Message):
    """The contract and its verdict were read."""

    def __init__(self, outcome: Outcome[Board]) -> None:
        super().__init__()
        self.outcome = outcome


class ContractView(EditingView):
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
        self._edited = 0

    def heading(self) -> Text:
        """Return the title: whose contract, which number, and the verdict."""
        board = self._board
        parts = [styled("Contract", "heading"), styled(self._dataset, limit=40)]
        if board is not None and board.number:
            parts += [styled(f"{board.number} of {board.n_numbers}"), verdict(board)]
            parts += [styled(self._reference, "quiet", 40)] if board.passed is not None else []
        return join(*parts, *self.busy_mark(), gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the checks, one check, and the editor that takes their place."""
        with Horizontal(classes="checks"):
            yield RecordTable()
            yield Detail()

    def foot(self) -> ComposeResult:
        """Lay out the editor, which is there in the empty state too."""
        yield Editor(judged)

    def requests(self) -> list[tuple[str, Request]]:
        """Return what was done here last, and the commands that show and check the contract."""
        return [
            *self.done_last(),
            ("This contract", Request("data.contract", {"name": self._dataset})),
            ("Check a version", Request("data.check", {"name": self._reference})),
        ]

    # Reading.

    def on_mount(self) -> None:
        """Begin to read."""
        self.notice.say_loading(self.NOUN)
        self.reload()

    def reload(self) -> None:
        """Read the contract and its verdict."""
        wanted = self._wanted
        self.aside(
            lambda _: read(self.desk, self._dataset, self._version, wanted), Read, "contract"
        )

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

    # Doing.

    def action_back(self) -> None:
        """Go from a check to the list, and from the list back to the screen."""
        if not self.close_detail():
            self.dismiss(None)

    def action_turn(self, by: int) -> None:
        """Show an older or a newer contract."""
        board = self._board
        if board is None or not board.number:
            return
        wanted = board.number + by
        if 1 <= wanted <= board.n_numbers:
            self._wanted = wanted
            self.reload()
        else:
            self.say("There is no older contract." if by < 0 else "This is the newest contract.")

    def action_check(self) -> None:
        """Check the version against the newest contract."""
        if self._board is None or not self._board.number:
            self.say("There is no contract to check yet: press i to infer one.")
            return
        self.do(Request("data.check", {"name": self._reference}), "checking")

    def action_infer(self) -> None:
        """Learn a contract from the version; it becomes the newest one."""
        self.do(Request("data.contract", {"name": self._reference, "infer": True}), "inferring")

    def done(self, request: Request, answer: Answer) -> None:
        """Say what came of it, and show it."""
        self._wanted = 0
        if request.command == "data.contract":
            if self.is_editing:
                self.close_editor()
            self.say(f"Contract {(answer.result or {}).get('number')} is set.", is_good=True)
        elif answer.error is None:
            self.say(f"{self._reference} keeps its contract.", is_good=True)
        else:
            self.say(answer.error.message)
        self.reload()

    def refused(self, error: StackError) -> None:
        """Say why: in place of the checks when there are none to show."""
        if self._board is None and not self.is_editing:
            self.fail(error)
        else:
            super().refused(error)

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
        self.open_editor(lambda: self.editor.begin(text))

    @on(Editor.Saved)
    def _save(self, event: Editor.Saved) -> None:
        event.stop()
        request = Request("data.contract", {"name": self._dataset, "text": event.text})
        n = self._board.n_numbers if self._board else 0
        lost = "What it says is replaced by your text; it stays as an older number."
        self.save_over(request, f"Contract {n}" if n != self._edited else "", lost)

    @on(Editor.Left)
    def _leave(self, event: Editor.Left) -> None:
        event.stop()
        if not event.is_changed:
            self.close_editor()
            return
        lost = "What you changed in this text is lost; the contract stays as it is."
        self.confirm("Leave the editor without saving?", lost, self.close_editor)

    def close_editor(self) -> None:
        """Show the checks again."""
        super().close_editor()
        self.call_after_refresh(self.focus_main)


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
