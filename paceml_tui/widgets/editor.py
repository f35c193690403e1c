"""An editor for a text file of a few hundred lines, with a line that says whether it is valid."""

from __future__ import annotations

import re
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static, TextArea
from textual.worker import get_current_worker

from local_stack.errors import StackError
from paceml_tui import keys
from paceml_tui.render import glyph, join, styled
from paceml_tui.tasks import attempt

_PAUSE_SECONDS = 0.3
_INDENT = 2
_LINE = re.compile(r"\bline (\d+)")


class Judged(Message):
    """A text was looked at."""

    def __init__(self, text: str, error: StackError | None) -> None:
        super().__init__()
        self.text = text
        self.error = error


class Editor(Vertical):
    """A text area over the verdict on its text; ``judge`` raises for a text that is not valid."""

    BINDINGS = keys.bindings("editor")

    class Saved(Message):
        """Somebody wants the text kept."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """Somebody wants out; ``is_changed`` tells whether something would be lost."""

        def __init__(self, *, is_changed: bool) -> None:
            super().__init__()
            self.is_changed = is_changed

    def __init__(self, judge: Callable[[str], object]) -> None:
        super().__init__()
        self._judge = judge
        self._begun = ""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the text over the verdict."""
        yield TextArea(show_line_numbers=True, tab_behavior="focus", soft_wrap=False, compact=True)
        yield Static(styled(""), classes="judgement")

    @property
    def area(self) -> TextArea:
        """Return the text area itself."""
        return self.query_one(TextArea)

    @property
    def is_changed(self) -> bool:
        """Return whether the text is another one than it was at first."""
        return self.area.text != self._begun

    def begin(self, text: str) -> None:
        """Start with a text; the last net under the app keeps its characters harmless."""
        self._begun = text
        self.area.text = text
        self.area.move_cursor((0, 0))
        self.area.focus()
        self._look()

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_SECONDS, self._look)

    def _look(self) -> None:
        text = self.area.text

        def work() -> None:
            worker = get_current_worker()
            error = attempt(lambda: self._judge(text)).error
            if not worker.is_cancelled:
                self.post_message(Judged(text, error))

        self.run_worker(work, thread=True, exclusive=True, group="judge")

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        event.stop()
        if event.text != self.area.text:
            return
        if event.error is None:
            shown = join(styled(f"{glyph('good')} valid", "good"))
            self.query_one(".judgement", Static).update(shown)
        else:
            self.complain(event.error, is_moving=False)

    def complain(self, error: StackError, *, is_moving: bool = True) -> None:
        """Say what is wrong with the text, and go to the line that the error names."""
        self.query_one(".judgement", Static).update(
            join(
                styled(glyph("bad"), "bad"),
                styled(error.message, "bad", limit=300),
                styled(error.hint, "quiet", limit=160),
            )
        )
        found = _LINE.search(error.message)
        if is_moving and found:
            last = self.area.document.line_count - 1
            self.area.move_cursor((max(0, min(int(found[1]) - 1, last)), 0))

    def action_indent(self) -> None:
        """Go on to the next column that is a multiple of the indentation."""
        column = self.area.cursor_location[1]
        self.area.insert(" " * (_INDENT - column % _INDENT))

    def action_save(self) -> None:
        """Hand over the text."""
        self.post_message(self.Saved(self.area.text))

    def action_leave(self) -> None:
        """Ask to be closed."""
        self.post_message(self.Left(is_changed=self.is_changed))
