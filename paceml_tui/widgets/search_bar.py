"""The line in which a search is typed: a fault is shown under its place, a word can be completed.

What may be typed is told by two functions, so that the line knows no grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from paceml_tui import keys
from paceml_tui.render import Text, cells, fit, join, lines, styled
from paceml_tui.widgets.filter import FilterBar

Complete = Callable[[str, int], Sequence[str]]
"""Given a text and the place of the cursor, what the word before it may become."""


class SearchBar(FilterBar):
    """A prompt and an input, over a row for faults and one for completions."""

    BINDINGS = keys.bindings("search")
    SCOPES: ClassVar[tuple[str, ...]] = ("search", "filter")

    def __init__(self, hint: str, complete: Complete, word: Callable[[str, int], str]) -> None:
        super().__init__(hint)
        self._complete = complete
        self._word = word
        self._fault: tuple[str, str, int] | None = None
        self._offered: tuple[str, ...] = ()
        self._at = -1
        self._stem = ""

    def compose(self) -> ComposeResult:
        """Lay out the line, and the rows under it."""
        with Horizontal():
            yield from super().compose()
        yield Static(styled(""), classes="beneath")

    @property
    def is_faulty(self) -> bool:
        """Return whether the text is meant as a search and is none yet."""
        return self._fault is not None

    def complain(self, problem: str, hint: str, place: int) -> None:
        """Show what is wrong at ``place``, the index of a character."""
        self._fault = (problem, hint, place)
        self._tell()

    def accept(self) -> None:
        """Show that nothing is wrong."""
        self._fault = None
        self._tell()

    def begin(self, text: str) -> None:
        """Type on at the end of a text."""
        line = self.input
        if line.value != text:
            line.value = text
        line.cursor_position = len(text)
        self._offer()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass on what is typed, and offer what it may become."""
        super().on_input_changed(event)
        if self._at < 0 or self.input.value != self._completed():
            self._offer()

    def _offer(self) -> None:
        line = self.input
        self._at = -1
        self._stem = line.value
        self._offered = tuple(self._complete(line.value, line.cursor_position))
        self._tell()

    def _completed(self) -> str:
        """Return the text with the offer in it that is chosen now."""
        cursor = self._cursor
        word = self._word(self._stem, cursor)
        return self._stem[: cursor - len(word)] + self._offered[self._at] + self._stem[cursor:]

    _cursor = 0

    def action_complete(self, by: int) -> None:
        """Put the next completion into the line, or the one before."""
        if not self._offered:
            return
        if self._at < 0:
            self._cursor = self.input.cursor_position
            self._at = 0 if by > 0 else len(self._offered) - 1
        else:
            self._at = (self._at + by) % len(self._offered)
        end = len(self._stem) - self._cursor
        text = self._completed()
        self.input.value = text
        self.input.cursor_position = len(text) - end
        self._tell()

    def action_keep(self) -> None:
        """Keep the filter and go to the lines, once nothing is wrong with it."""
        if not self.is_faulty:
            super().action_keep()

    def action_drop(self) -> None:
        """Show every line again."""
        self.accept()
        super().action_drop()

    # What stands under the line.

    def _tell(self) -> None:
        width = max(20, self.size.width - 2)
        self.query_one(".beneath", Static).update(lines(self._pointed(width), self._listed(width)))

    def _pointed(self, width: int) -> Text:
        """Return a caret under the place of the fault, and beside it what is wrong there."""
        if self._fault is None:
            return styled(" ", limit=0)
        problem, hint, place = self._fault
        before = cells(styled(self.input.value[:place], limit=0))
        at = min(max(0, before - round(self.input.scroll_offset.x) + 2), width - 1)
        caret = styled("^", "bad")
        whole = join(styled(problem, "warning", 160), styled(hint, "quiet", 160))
        for said in (whole, styled(problem, "warning", 160)):
            if at + 2 + cells(said) <= width:
                return join(styled(" " * at, limit=0), join(caret, said), gap="")
            if cells(said) + 1 <= at:
                return join(_pad(at - 1 - cells(said)), join(said, caret), gap="")
        if at > width // 2:
            said = fit(styled(problem, "warning", 160), at - 1)
            return join(_pad(at - 1 - cells(said)), join(said, caret), gap="")
        return join(_pad(at), join(caret, fit(whole, width - at - 2)), gap="")

    def _listed(self, width: int) -> Text:
        """Return the completions, as many as fit from the chosen one on."""
        if not self._offered:
            return styled(" ", limit=0)
        shown: list[Text] = []
        first = max(0, self._at - 1)
        for place, offer in enumerate(self._offered[first:], first):
            tone = "here" if place == self._at else "quiet"
            part = styled(offer, tone, 40)
            if cells(join(*shown, part, gap="  ")) > width - 2:
                break
            shown.append(part)
        return join(styled("  ", limit=0), join(*shown, gap="  "), gap="")


def _pad(width: int) -> Text:
    return styled(" " * max(0, width), limit=0)
