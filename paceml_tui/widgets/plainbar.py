"""A scroll bar without block characters, for terminals that have ASCII alone."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender

from paceml_tui.safe import is_ascii


class PlainScrollBar(ScrollBarRender):
    """A scroll bar whose ends fall on whole cells."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def choose_scroll_bar() -> None:
    """Draw scroll bars as the terminal can show them."""
    ScrollBar.renderer = PlainScrollBar if is_ascii() else ScrollBarRender
