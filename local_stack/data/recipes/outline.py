"""The steps of a recipe's text as entries that can be moved, left out and put back.

What a person wrote about a step (the comment lines above it) goes where the step goes. A step
that is turned off stands as one comment line, ``# - impute: {...}``, and is no part of the
recipe until it is turned on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from local_stack.data.recipes.document import SOURCE, Document, one_line, parse, step_lines, text_of
from local_stack.errors import InputError, nearest
from local_stack.marked_yaml import Lines, Node, load
from local_stack.preparation.grammar import WORDS, read_step, step_to_dict

_OFF = re.compile(r"\s*#\s?-\s+(?P<step>(?P<word>\w+)\s*:.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of a recipe's text: what is said above it, its lines, and what it is.

    ``number`` counts from 1 the steps that are on; it is 0 for one that is off.
    """

    notes: tuple[str, ...]
    lines: tuple[str, ...]
    step: Mapping[str, Any]
    number: int

    @property
    def word(self) -> str:
        """Return the word of the step."""
        return next(iter(self.step))

    @property
    def text(self) -> str:
        """Return the step in one line."""
        return one_line(self.step)


@dataclass(frozen=True, slots=True)
class Outline:
    """The text of a recipe: what stands before the steps, the steps, and what comes after."""

    head: tuple[str, ...]
    entries: tuple[Entry, ...]
    tail: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the text."""
        rows = list(self.head)
        if not any(entry.number for entry in self.entries):
            rows[-1] = "features: []"
        for entry in self.entries:
            rows += (*entry.notes, *entry.lines)
        return "\n".join([*rows, *self.tail]).rstrip() + "\n"

    def moved(self, place: int, by: int) -> Outline:
        """Return the outline with the entry at ``place`` (from 0) so much further down."""
        rest = [entry for at, entry in enumerate(self.entries) if at != place]
        rest.insert(min(max(0, place + by), len(rest)), self.entries[place])
        return self._with(rest)

    def without(self, place: int) -> Outline:
        """Return the outline without the entry at ``place``."""
        return self._with([entry for at, entry in enumerate(self.entries) if at != place])

    def turned(self, place: int) -> Outline:
        """Return the outline with the entry at ``place`` off when it is on, and the reverse."""
        entry = self.entries[place]
        if entry.number:
            other = replace(entry, lines=(f"  # - {entry.text}",), number=0)
        else:
            other = replace(entry, lines=tuple(step_lines(entry.step)), number=1)
        return self._put(place, other)

    def changed(self, place: int, text: str) -> Outline:
        """Return the outline with another step at ``place``, given in one line.

        Raises
        ------
        InputError
            The line is no step.
        """
        return self._put(place, replace(entry_of(text), notes=self.entries[place].notes))

    def inserted(self, place: int, text: str) -> Outline:
        """Return the outline with one more step at ``place``, given in one line.

        Raises
        ------
        InputError
            The line is no step.
        """
        found = list(self.entries)
        found.insert(place, entry_of(text))
        return self._with(found)

    def place_of_line(self, line: int) -> int:
        """Return the place of the entry that line ``line`` (from 0) belongs to, the nearest one."""
        end = len(self.head)
        for place, entry in enumerate(self.entries):
            end += len(entry.notes) + len(entry.lines)
            if line < end:
                return place
        return max(0, len(self.entries) - 1)

    def line_of_place(self, place: int) -> int:
        """Return the first line (from 0) of the entry at ``place``, its notes left out."""
        before = self.entries[:place]
        start = len(self.head) + sum(len(it.notes) + len(it.lines) for it in before)
        return start + (len(self.entries[place].notes) if place < len(self.entries) else 0)

    def _put(self, place: int, entry: Entry) -> Outline:
        found = list(self.entries)
        found[place] = entry
        return self._with(found)

    def _with(self, entries: Iterable[Entry]) -> Outline:
        head = list(self.head)
        head[-1] = "features:"
        n_on, numbered = 0, []
        for entry in entries:
            n_on += bool(entry.number)
            numbered.append(replace(entry, number=n_on if entry.number else 0))
        return replace(self, head=tuple(head), entries=tuple(numbered))


def entry_of(text: str) -> Entry:
    """Return the entry of a step that is given in one line, with or without its dash.

    Raises
    ------
    InputError
        The line is no step; the message names the nearest valid word.
    """
    line = text.strip().removeprefix("- ").strip()
    if not line:
        raise InputError("There is no step.", f"One of: {', '.join(WORDS)}.")
    value, _ = load(line, "the step")
    word = next(iter(value), "") if isinstance(value, dict) else line.partition(":")[0]
    if word not in WORDS:
        hint = nearest(word, WORDS) or f"One of: {', '.join(WORDS)}."
        raise InputError(f"'{word}' is no step.", hint)
    read = read_step(Node(value, Lines("the step")))
    step = step_to_dict(read)
    return Entry((), tuple(step_lines(step)), step, 1)


def outline_of(text: str, source: str = SOURCE) -> Outline:
    """Return the outline of a recipe's text.

    A text whose steps do not stand one below the other (``features: [...]``) is written anew.

    Raises
    ------
    InputError
        The text is no recipe.
    """
    document = parse(text, source)
    found = _read(document)
    if found is None:
        found = _read(parse(text_of(document.values), source))
    assert found is not None
    return found


def _read(document: Document) -> Outline | None:
    rows = document.text.replace("\r\n", "\n").split("\n")
    begin, end = _bounds(document, rows)
    starts = _starts(document, rows)
    is_block = rows[begin].partition("#")[0].strip() == "features:"
    if len(set(starts)) != len(document.steps) or (starts and not is_block):
        return None
    if any(not rows[start].lstrip().startswith("-") for start in starts):
        return None
    entries: list[Entry] = []
    notes = _take_off(rows[begin + 1 : starts[0] if starts else end], entries)
    for number, start in enumerate(starts, start=1):
        until = starts[number] if number < len(starts) else end
        last = max(at for at in range(start, until) if _is_content(rows[at]))
        lines = tuple(rows[start : last + 1])
        entries.append(Entry(notes, lines, step_to_dict(document.steps[number - 1]), number))
        notes = _take_off(rows[last + 1 : until], entries)
    return Outline(tuple(rows[: begin + 1]), tuple(entries), (*notes, *rows[end:]))


def _bounds(document: Document, rows: Sequence[str]) -> tuple[int, int]:
    """Return the lines (from 0) of ``features`` and of the key after it."""
    marks = document.lines.marks
    tops = sorted(line - 1 for path, line in marks.items() if len(path) == 1)  # type: ignore[operator]
    begin = marks[("features",)] - 1  # type: ignore[operator]
    return begin, next((line for line in tops if line > begin), len(rows))


def _starts(document: Document, rows: Sequence[str]) -> list[int]:
    found = []
    for place in range(len(document.steps)):
        line = document.lines.marks[("features", place)]
        assert isinstance(line, int)
        at = line - 1
        while at and not rows[at].lstrip().startswith("-"):
            at -= 1
        found.append(at)
    return found


def _is_content(row: str) -> bool:
    return bool(row.strip()) and not row.lstrip().startswith("#")


def _take_off(rows: Sequence[str], entries: list[Entry]) -> tuple[str, ...]:
    """Add the steps that are turned off among comment lines; return the lines after the last."""
    notes: list[str] = []
    for row in rows:
        step = _off_step(row)
        if step is None:
            notes.append(row)
        else:
            entries.append(Entry(tuple(notes), (row,), step, 0))
            notes = []
    return tuple(notes)


def _off_step(row: str) -> Mapping[str, Any] | None:
    found = _OFF.fullmatch(row)
    if found is None or found["word"] not in WORDS:
        return None
    try:
        return entry_of(found["step"]).step
    except InputError:
        return None
