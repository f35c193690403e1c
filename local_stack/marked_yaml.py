"""YAML files as plain values with a line for every key, so that an error can say where.

The scalars are those of the YAML 1.2 core schema: ``yes`` and ``on`` are texts, ``1e-3`` is a
number, a date is a text. A file is bounded in size, depth and number of values (aliases count
with all they stand for), keys are texts and stand once, and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from local_stack.errors import InputError, NotFoundError, nearest

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
KeyPath: TypeAlias = "tuple[str | int, ...]"

MAX_BYTES = 1_000_000
"""Largest file read, in bytes."""
MAX_DEPTH = 40
"""Deepest nesting of mappings and lists."""
MAX_VALUES = 20_000
"""Most values in one file, aliases expanded."""

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(slots=True)
class Lines:
    """The place of every key: ``where(("split", "test"))`` is ``recipe.yaml, line 5``."""

    source: str
    marks: dict[KeyPath, int | str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int | None:
        """Return the line (from 1) of the key at ``path`` or of its nearest known ancestor."""
        mark = self._mark(path)
        return mark if isinstance(mark, int) else None

    def where(self, path: KeyPath) -> str:
        """Return the place of ``path`` in words."""
        mark = self._mark(path)
        if isinstance(mark, str):
            return mark
        return f"{self.source}, line {mark}" if mark else self.source

    def _mark(self, path: KeyPath) -> int | str | None:
        for end in range(len(path), -1, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return None


def load(text: str, source: str = "text") -> tuple[Value, Lines]:
    """Return the value of one YAML document and the lines of its keys.

    Raises
    ------
    InputError
        The text is not YAML, is over a bound, has a key twice, a key that is not text, or a tag.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InputError(f"{source} is larger than {MAX_BYTES:,} bytes.", "Split the file.")
    builder = _Builder(source)
    try:
        return builder.document(yaml.parse(text, Loader=yaml.SafeLoader)), builder.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}, line {mark.line + 1}" if mark else source
        raise InputError(
            f"{place}: this is not valid YAML ({error.problem or error.context}).",
            "Check the indentation and the quotes near that line.",
        ) from error
    except yaml.YAMLError as error:
        raise InputError(
            f"{source} is not valid YAML: it holds characters that YAML does not allow.",
            "Save it as plain UTF-8 text.",
        ) from error


def read(path: Path) -> tuple[Value, Lines]:
    """Return :func:`load` of the file at ``path``, named by its file name in errors."""
    return load(read_text(path), path.name)


def read_text(path: Path) -> str:
    """Return the text of a file of at most ``MAX_BYTES`` bytes.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path.name} is larger than {MAX_BYTES:,} bytes.", "Split the file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8 text.", "Save it as UTF-8.") from None


def override(value: Value, lines: Lines, sets: Mapping[str, str]) -> Value:
    """Return ``value`` with each ``--set`` applied: dotted paths, values read as YAML.

    The given value is changed in place; its lines then name the option in errors.
    """
    for key, text in sets.items():
        place = f"--set {key}"
        path = tuple(key.split("."))
        if not all(path) or len(path) > MAX_DEPTH:
            raise InputError(f"'{place}' is not a dotted path.", "Example: --set params.alpha=0.1")
        new, _ = load(text, place)
        _put(value, path, new, place)
        lines.marks[_typed(value, path)] = place
    return value


def _typed(value: Value, path: tuple[str, ...]) -> KeyPath:
    """Return ``path`` with the steps through lists as numbers."""
    typed: list[str | int] = []
    for word in path:
        step = int(word) if isinstance(value, list) else word
        typed.append(step)
        value = value[step]  # type: ignore[index]
    return tuple(typed)


def _put(value: Value, path: tuple[str, ...], new: Value, place: str) -> None:
    for word in path[:-1]:
        value = _step(value, word, place)
    last = path[-1]
    if isinstance(value, dict):
        value[last] = new
    elif isinstance(value, list) and last.isascii() and last.isdigit() and int(last) < len(value):
        value[int(last)] = new
    else:
        raise InputError(f"'{place}': there is nothing to set at '{last}'.")


def _step(value: Value, word: str, place: str) -> Value:
    if isinstance(value, list) and word.isascii() and word.isdigit() and int(word) < len(value):
        return value[int(word)]
    if not isinstance(value, dict):
        raise InputError(f"'{place}': there is nothing below '{word}'.")
    if value.get(word) is None:
        value[word] = {}
    return value[word]


class _Builder:
    """Turn parser events into a value; the events keep what composed nodes forget."""

    def __init__(self, source: str) -> None:
        self.lines = Lines(source)
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._n_values = 0

    def document(self, events: Iterator[yaml.Event]) -> Value:
        value: Value = None
        n_documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise self._error(event, "there is more than one document")
                value = self._node(next(events), events, ())
        return value

    def _node(self, event: Any, events: Iterator[yaml.Event], path: KeyPath) -> Value:
        self.lines.marks.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if len(path) > MAX_DEPTH:
            raise self._error(event, f"the nesting is deeper than {MAX_DEPTH} levels")
        before = self._n_values
        self._count(event, 1)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise self._error(event, f"the tag '{tag}' is not allowed")
        value: Value
        if isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(events, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(events, path)
        else:
            value = self._scalar(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._n_values - before)
        return value

    def _mapping(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, Value]:
        found: dict[str, Value] = {}
        event: Any
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                raise self._error(event, "a key must be text (put it in quotes)")
            if key == "<<" and event.style is None:
                raise self._error(event, "merge keys (<<) are not supported")
            if key in found:
                raise self._error(event, f"the key '{key}' stands twice")
            self.lines.marks[(*path, key)] = event.start_mark.line + 1
            found[key] = self._node(next(events), events, (*path, key))
        return found

    def _sequence(self, events: Iterator[yaml.Event], path: KeyPath) -> list[Value]:
        found: list[Value] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self._node(event, events, (*path, len(found))))
        return found

    def _alias(self, event: yaml.AliasEvent) -> Value:
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias '*{event.anchor}' stands for nothing complete")
        value, n_values = self._anchors[event.anchor]
        self._count(event, n_values)
        return _copy(value)

    def _scalar(self, event: Any) -> Value:
        if event.style is not None or event.tag == "!":
            return str(event.value)
        try:
            return resolve(event.value)
        except ValueError:
            raise self._error(event, "the number is too long") from None

    def _count(self, event: Any, n_values: int) -> None:
        self._n_values += n_values
        if self._n_values > MAX_VALUES:
            raise self._error(event, f"there are more than {MAX_VALUES:,} values")

    def _error(self, event: Any, message: str) -> InputError:
        line = event.start_mark.line + 1
        return InputError(f"{self.lines.source}, line {line}: {message}.")


def _copy(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def resolve(text: str) -> bool | int | float | str | None:
    """Return an unquoted scalar as the YAML 1.2 core schema reads it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if len(text) <= 400 and _NUMBER.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(text)
        return number
    return text


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a file with its place; reading it as the wrong thing is a clear error."""

    value: Value
    lines: Lines
    path: KeyPath = ()

    @property
    def name(self) -> str:
        """Return the dotted path, or ``the file`` at the root."""
        return ".".join(map(str, self.path)) or "the file"

    def error(self, message: str, hint: str = "") -> InputError:
        """Return an error that begins with the place of this value."""
        return InputError(f"{self.lines.where(self.path)}: {message}", hint)

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, Node]:
        """Return the members of a mapping; unknown keys and missing required ones are errors."""
        known = tuple(known)
        found = self.mapping()
        for key, node in found.items():
            if key not in known:
                raise node.error(
                    f"'{key}' is not a key of {self.name}.",
                    nearest(key, known) or f"It takes: {', '.join(known)}.",
                )
        for key in required:
            if key not in found or found[key].value is None:
                raise self.error(f"{self.name} needs the key '{key}'.")
        return found

    def mapping(self) -> dict[str, Node]:
        """Return the members of a mapping with whatever keys it has."""
        if not isinstance(self.value, dict):
            raise self.error(f"{self.name} needs keys and values, not {_noun(self.value)}.")
        return {key: Node(item, self.lines, (*self.path, key)) for key, item in self.value.items()}

    def items(self) -> list[Node]:
        """Return the members of a list."""
        if not isinstance(self.value, list):
            raise self.error(f"{self.name} needs a list, not {_noun(self.value)}.")
        return [Node(item, self.lines, (*self.path, i)) for i, item in enumerate(self.value)]

    def text(self, limit: int = 1_000) -> str:
        """Return a text of 1 to ``limit`` characters (a number is not a text)."""
        if not isinstance(self.value, str) or not 1 <= len(self.value) <= limit:
            raise self.error(f"{self.name} needs a text, not {_noun(self.value)}.")
        return self.value

    def choice(self, choices: Iterable[str]) -> str:
        """Return one of the words in ``choices``."""
        choices = tuple(choices)
        if self.value not in choices or not isinstance(self.value, str):
            raise self.error(
                f"{self.name} cannot be '{self.value}'.",
                nearest(str(self.value), choices) or f"One of: {', '.join(choices)}.",
            )
        return self.value

    def truth(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.error(f"{self.name} needs true or false, not {_noun(self.value)}.")
        return self.value

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error(f"{self.name} needs a whole number, not {_noun(self.value)}.")
        if not low <= self.value <= high:
            raise self.error(f"{self.name} needs a whole number from {low} to {high}.")
        return self.value

    def number(self, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.error(f"{self.name} needs a number, not {_noun(self.value)}.")
        if not low <= self.value <= high:
            raise self.error(f"{self.name} needs a number from {low:g} to {high:g}.")
        return float(self.value)


def _noun(value: Value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    return "a list" if isinstance(value, list) else f"'{str(value)[:60]}'"
