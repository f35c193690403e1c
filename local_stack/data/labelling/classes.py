"""Classes: how they may be called, how several of them stand in one cell, and their type."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence

from local_stack.errors import InputError, nearest

SEPARATOR = "|"
"""Stands between the classes of one row, as ``pandas.Series.str.get_dummies`` expects it."""

MOST_CLASSES = 1_000
_LONGEST = 120
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,15}")
_TRUTHS = {"true": True, "false": False}


def split(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of ``a,b,c`` texts, in order and each once; quotes keep a comma."""
    found: dict[str, None] = {}
    for text in texts:
        for cell in next(csv.reader([text], skipinitialspace=True), []):
            if cell.strip():
                found[cell.strip()] = None
    return tuple(found)


def cleaned(text: str, *, is_multi: bool = False, noun: str = "class") -> str:
    """Return a class (or a column) as it is kept: NFC, 1-120 characters, nothing unseen.

    Raises
    ------
    InputError
        When it cannot be one; where a row may have several classes, also for ``|``.
    """
    value = unicodedata.normalize("NFC", text).strip()
    if not value:
        raise InputError(f"A {noun} cannot have an empty name.", "Give at least one character.")
    if len(value) > _LONGEST:
        raise InputError(
            f"The name of a {noun} has {len(value)} characters.",
            f"Take at most {_LONGEST} characters.",
        )
    for character in value:
        if unicodedata.category(character) in _UNSEEN:
            raise InputError(
                f"The name of a {noun} holds U+{ord(character):04X}, which nobody can see.",
                "Leave out control and format characters.",
            )
    if is_multi and SEPARATOR in value:
        raise InputError(
            f"The class '{value}' holds '{SEPARATOR}', which stands between classes of a row.",
            "Leave it out.",
        )
    return value


def chosen(values: Sequence[str], classes: Sequence[str], *, is_multi: bool) -> tuple[str, ...]:
    """Return what a row was given, in the order of the declared classes.

    Raises
    ------
    InputError
        For a class that is not declared, and for none or several where a row has one.
    """
    wanted = [unicodedata.normalize("NFC", value).strip() for value in values]
    for value in wanted:
        if value not in classes:
            raise InputError(
                f"'{value}' is not one of the classes.",
                nearest(value, classes)
                or f"They are: {', '.join(classes[:20])}. Add one with --classes.",
            )
    if not is_multi and len(wanted) != 1:
        raise InputError(
            f"A row has one class here, not {len(wanted)}.",
            "Give one, or declare the labelling with --multi before the first answer.",
        )
    return tuple(name for name in classes if name in wanted)


def cell(values: Sequence[str]) -> str:
    """Return the classes of a row as one text: ``a|b``, '' for none of them."""
    return SEPARATOR.join(values)


def parted(text: str, *, is_multi: bool) -> tuple[str, ...]:
    """Return the classes of one text, as :func:`cell` joins them."""
    if not is_multi:
        return (text.strip(),)
    return tuple(part.strip() for part in text.split(SEPARATOR) if part.strip())


def type_of(classes: Sequence[str], existing: str | None, *, is_multi: bool) -> str:
    """Return the type of the column that holds the labels.

    An existing column keeps its type where every class is a value of it; a new one is long
    when every class is a whole number. All else is string.
    """
    if is_multi or not classes:
        return "string"
    if existing == "boolean" and all(name in _TRUTHS for name in classes):
        return "boolean"
    is_whole = all(_WHOLE.fullmatch(name) for name in classes)
    if is_whole and existing in (None, "long"):
        return "long"
    return "double" if existing == "double" and is_whole else "string"


def value_of(text: str, kind: str) -> str | int | float | bool:
    """Return a label as a value of the column's type, as :func:`type_of` chose it."""
    if kind == "boolean":
        return _TRUTHS[text]
    if kind == "string":
        return text
    return int(text) if kind == "long" else float(text)
