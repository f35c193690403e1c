"""The last net under everything that the app draws."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from paceml_tui.safe import is_ascii

_ASCII: dict[int, str] = {
    **dict.fromkeys(range(0x2500, 0x2580), "+"),
    **{ord(c): "-" for c in "─━╌╍═┄┅"},
    **{ord(c): "|" for c in "│┃╎║┆┇▏▎▍▌▐▕"},
    **{ord(c): "#" for c in "█▉▊▋"},
    **{ord(c): " " for c in "▁▔░"},
    ord("…"): ".",
    ord("•"): "*",
}
"""What drawn lines and blocks become with ``PACEML_ASCII=1``; each takes one cell."""


class Net(LineFilter):
    """The last net under everything drawn: no control character leaves with a line.

    :func:`safe` makes text harmless where it enters. This catches what enters elsewhere, such
    as an escape sequence that somebody pastes into an input.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Replace each dangerous character by one that takes a single cell."""
        return [
            segment if _is_harmless(segment.text) else _defused(segment) for segment in segments
        ]


def _is_harmless(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _defused(segment: Segment) -> Segment:
    text = segment.text.translate(_ASCII) if is_ascii() else segment.text
    if any(map(_is_control, text)):
        text = "".join("?" if _is_control(character) else character for character in text)
    return Segment(text, segment.style, segment.control)


@lru_cache(maxsize=4096)
def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")
