"""The strip of the eight screens: one row, 75 cells."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from paceml_tui.keys import WORDS
from paceml_tui.render import Text, join, styled


class WordTabs(Static):
    """The words with their keys; the one shown is marked."""

    current: reactive[str] = reactive(WORDS[0])

    class Chosen(Message):
        """Somebody clicked a word."""

        def __init__(self, word: str) -> None:
            super().__init__()
            self.word = word

    def render(self) -> Text:
        """Draw the strip."""
        return join(*(self._tab(place, word) for place, word in enumerate(WORDS, 1)), gap=" ")

    def _tab(self, place: int, word: str) -> Text:
        if word == self.current:
            return styled(f"{place} {word}", "here")
        return join(styled(place, "accent"), styled(word, "quiet"))

    def on_click(self, event: events.Click) -> None:
        """Go to the word under the pointer."""
        end = 0
        for word in WORDS:
            start, end = end, end + len(word) + 3
            if start <= event.x < end - 1:
                self.post_message(self.Chosen(word))
