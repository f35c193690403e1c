"""Names and paths that come from outside: one rule for labels, one resolver for places."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from local_stack.errors import InputError, named, nearest

_LONGEST = 120
_LONGEST_PART = 255
_FORBIDDEN = frozenset("/\\:%")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def label(text: str, noun: str = "name") -> str:
    r"""Return ``text`` as a label: NFC, 1-120 characters, nothing unseen, none of ``/ \ : %``.

    Raises
    ------
    InputError
        When it is not one; the message names the first offending character by its code.
    """
    value = unicodedata.normalize("NFC", text).strip()
    if not value:
        raise InputError(f"A {noun} cannot be empty.", "Give at least one character.")
    if len(value) > _LONGEST:
        raise InputError(
            f"The {noun} has {len(value)} characters.", f"Take at most {_LONGEST} characters."
        )
    for character in value:
        if character in _FORBIDDEN or unicodedata.category(character) in _UNSEEN:
            raise InputError(
                f"The {noun} contains U+{ord(character):04X}, which names may not hold.",
                "Leave out control and format characters and / \\ : %.",
            )
    if value in (".", "..") or value.startswith("-"):
        raise InputError(f"'{value}' cannot be a {noun}.", "Begin it with a letter or a digit.")
    return value


def split_reference(text: str, noun: str = "data set") -> tuple[str, str]:
    """Split ``NAME@WHAT`` into the label and what follows the last ``@`` ('' when absent)."""
    name, mark, rest = text.rpartition("@")
    if not mark:
        return label(text, noun), ""
    if not rest:
        raise InputError(f"'{text}' ends in '@'.", "Write a version or a tag after it.")
    return label(name, noun), rest


def class_place(asked: str, classes: Sequence[object], of: str = "this model") -> int:
    """Return the place of a class by its name; truth values also as JSON and YAML write them.

    Raises
    ------
    InputError
        There is no such class; with the nearest one.
    """
    names = [str(it) for it in classes]
    if asked in names:
        return names.index(asked)
    if asked.title() in names and isinstance(classes[names.index(asked.title())], bool):
        return names.index(asked.title())
    known = f"Its classes: {named(names)}." if names else "It predicts a number."
    raise InputError(
        f"'{asked[:100]}' is not a class of {of}.", nearest(asked[:100], names) or known
    )


def slug(text: str) -> str:
    """Return a short ASCII path segment that reminds of ``text``; never used as an identity."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40] or "x"


def inside(root: Path, relative: str) -> Path:
    """Return ``root / relative`` after proving that it stays inside ``root``.

    Raises
    ------
    InputError
        For absolute paths, drives, schemes, ``..``, ``# ? %``, NUL, backslashes, and for
        symbolic links that lead out.
    """
    shown = ascii(relative)[1:-1][:80]
    bad = {"#", "?", "%", "\0", "\\", ":"} & set(relative)
    parts = PurePosixPath(relative).parts
    if bad or not parts or relative.startswith("/") or ".." in parts:
        raise InputError(
            f"'{shown}' is not a path inside {root}.",
            "Use a relative path without '..' and without # ? % : or backslashes.",
        )
    target = root.joinpath(*parts)
    try:
        leads_out = not target.resolve().is_relative_to(root.resolve())
        is_too_long = any(len(os.fsencode(part)) > _LONGEST_PART for part in parts)
    except (OSError, RuntimeError, ValueError):  # a loop of links, no such characters
        raise InputError(f"'{shown}' cannot be a path.", "Use a plain one.") from None
    if is_too_long:
        raise InputError(
            f"'{shown}...' is too long.", f"A part of a path holds at most {_LONGEST_PART} bytes."
        )
    if leads_out:
        raise InputError(f"'{shown}' leads out of {root}.", "Remove the symbolic link.")
    return target
