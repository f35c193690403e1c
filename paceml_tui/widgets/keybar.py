"""The footer: at most six keys, those that matter where the focus is."""

from __future__ import annotations

from textual.widgets import Static

from paceml_tui import keys
from paceml_tui.render import Text, cells, join, styled


class KeyBar(Static):
    """One row of keys, taken from the registry; a key that does not fit is left out whole."""

    def __init__(self, *scopes: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self._scopes = scopes

    def show(self, *scopes: str) -> None:
        """Show the keys of other scopes."""
        if scopes != self._scopes:
            self._scopes = scopes
            self.refresh()

    def render(self) -> Text:
        """Draw the keys from left to right."""
        shown: list[Text] = []
        for key in keys.footer(self._scopes):
            part = join(styled(key.shown.split()[0], "accent"), styled(key.label, "quiet"))
            if cells(join(*shown, part, gap="   ")) <= max(20, self.content_size.width):
                shown.append(part)
        return join(*shown, gap="   ")
