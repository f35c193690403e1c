"""Words of the run search grammar, and the place of a fault shown under the text it is in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from local_stack.errors import InputError

MAX_LENGTH: Final = 20_000
"""Characters of one filter or order clause."""

QUOTE_KEY: Final = "Put a key with other characters than letters, digits, '_' and '.' in backticks."


@dataclass(frozen=True, slots=True)
class Token:
    """One word; ``kind`` is a group of the pattern below, or ``end``."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The index behind the last character."""
        return self.start + len(self.text)

    def says(self, word: str) -> bool:
        """Return whether this is the keyword (in any case) or the mark ``word``."""
        return self.kind in ("word", "mark") and self.text.upper() == word


# The quoted forms are those of sqlparse, which MLflow reads with: a doubled or backslashed
# quotation mark does not end the text, and stays in it as it is.
_SINGLE = r"'(?:''|\\'|[^'])*'"
_DOUBLE = r'"(?:""|\\"|[^"])*"'
_BACKTICK = r"`(?:``|[^`])*`"
_BARE = r"\w[$\#\w]*"
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<field>(?:[^\W\d]\w*|`[^`]*`)\.(?:{_BARE}(?:\.{_BARE})*|{_BACKTICK}|{_DOUBLE}|{_SINGLE}))
    | (?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]))
    | (?P<sign>(?<=[\s)])[-+](?=\s))
    | (?P<text>{_SINGLE}|{_DOUBLE})
    | (?P<name>{_BACKTICK})
    | (?P<word>[^\W\d]\w*)
    | (?P<operator>[<>=~!]+)
    | (?P<mark>[(),])
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a text and a last one of the kind ``end``.

    Raises
    ------
    InputError
        The text is too long or holds a character that begins no word.
    """
    if len(text) > MAX_LENGTH:
        message = f"The text has {len(text):,} characters; at most {MAX_LENGTH:,} are read."
        raise fault(text, MAX_LENGTH, message, "Search in several steps.")
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _unreadable(text, place)
        if half := _SURROGATE.search(text, place, found.end()):
            raise fault(text, half.start(), "This is half of a character.", "Type it again.")
        if found.lastgroup and found.lastgroup != "space":
            yield Token(found.lastgroup, found.group(), place)
        place = found.end()
    yield Token("end", "", place)


def unquoted(text: str) -> str:
    """Return what stands between quotation marks or backticks, raw, or the bare text itself."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`"
    return text[1:-1] if quoted else text


def fault(text: str, place: int, message: str, hint: str = "") -> InputError:
    """Return an error whose message shows ``text`` with a caret under ``place``."""
    return InputError(f"{message}\n{_pointed(text, place)}", hint, details={"position": place})


def brief(text: str) -> str:
    """Return a piece of the text as it may stand inside a sentence."""
    shown = _printable(text)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"


def _unreadable(text: str, place: int) -> InputError:
    character = text[place]
    if character in "'\"`":
        return fault(
            text, place, "This quotation mark is never closed.", f"Add {character} at the end."
        )
    if character == ";":
        return fault(text, place, "A filter is one expression.", "Join comparisons with AND or OR.")
    if place and re.match(r"\w", text[place - 1]):
        return fault(text, place, "This character cannot stand in a bare word.", QUOTE_KEY)
    hint = "Put text in quotation marks, unusual keys in backticks."
    if character in "+-":
        hint = f"Leave a blank on both sides of {character}."
    elif character in "*/^":
        hint = "Numbers are only added and subtracted."
    return fault(text, place, "This cannot be read.", hint)


def _printable(text: str) -> str:
    """Return the text with one visible character or blank for each of its characters."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _pointed(text: str, place: int, width: int = 72) -> str:
    """Return the text around ``place`` on one line, and a caret under the place."""
    first = max(0, min(place - width // 2, len(text) - width))
    before = ("…" if first else "") + _printable(text[first:place])
    after = _printable(text[place : first + width]) + ("…" if first + width < len(text) else "")
    return f"  {before}{after}\n  {' ' * sum(map(_cells, before))}^"


def _cells(character: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
