"""The one function that makes outside text safe for a terminal."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

LIMIT = 200
"""Cells of one value that are shown when nobody says otherwise."""

_ESCAPED = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_VARIATION = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x180B, 0x1810))
_MOST_MARKS = 2


def is_ascii() -> bool:
    """Return whether ``PACEML_ASCII`` asks for glyphs that every terminal has."""
    return os.environ.get("PACEML_ASCII", "") not in ("", "0")


def safe(text: object, limit: int = LIMIT, *, is_block: bool = False) -> str:
    r"""Return ``text`` as a terminal can show it without obeying it.

    C0 controls become their pictures (``ESC`` is ``␛``); C1, bidirectional, zero-width,
    private, unassigned and surrogate characters become ``\u....`` escapes; more than two
    combining marks on one letter are escaped too.

    Parameters
    ----------
    text
        Anything; what is not text goes through ``str``.
    limit
        Terminal cells at most (wide characters count two); a cut ends in an ellipsis.
        Zero means no limit.
    is_block
        Keep line feeds, turn carriage returns into them and tabs into four spaces; for logs
        and documents. ``limit`` then holds for each line.
    """
    value = text if isinstance(text, str) else _plain(text)
    if not is_block:
        return _safe_line(value, limit)
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "\n".join(_safe_line(line, limit) for line in value.split("\n"))


def _plain(value: object) -> str:
    return "" if value is None else str(getattr(value, "plain", value))


def _safe_line(value: str, limit: int) -> str:
    if limit and len(value) > limit * 4:  # cells are never more than twice the characters
        value = value[: limit * 4] + " " * (limit + 1)
    if not (value.isascii() and value.isprintable()):
        value = _visible(value)
    if limit and cell_len(value) > limit:
        ellipsis = "..." if is_ascii() else "…"
        value = set_cell_size(value, max(0, limit - len(ellipsis))).rstrip() + ellipsis
    return value


def _visible(value: str) -> str:
    shown: list[str] = []
    n_marks = _MOST_MARKS  # a mark at the very beginning has no letter to stand on
    for character in value:
        if unicodedata.combining(character) or unicodedata.category(character) == "Me":
            n_marks += 1
            shown.append(character if n_marks <= _MOST_MARKS else _escape(character))
            continue
        n_marks = 0
        shown.append(_escape(character) if _is_hidden(character) else character)
    return "".join(shown)


@lru_cache(maxsize=4096)
def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _ESCAPED
        or character in _INVISIBLE
        or any(ord(character) in selectors for selectors in _VARIATION)
    )


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        if is_ascii():
            return f"\\x{code:02x}"
        return "\u2421" if code == 0x7F else chr(0x2400 + code)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def padded(text: str, width: int, *, is_right: bool = False) -> str:
    """Return ``text``, which is safe, in ``width`` cells; a number stands at the right."""
    room = " " * (width - cell_len(text))
    return room + text if is_right else text + room
