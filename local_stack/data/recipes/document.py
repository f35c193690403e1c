"""The document of a recipe: the target, and the steps of preparation in their order.

::

    target: price                # the data set's when left out
    features:
      - impute: {columns: numeric, strategy: median}
      - encode: {columns: [colour], as: onehot}

The recipe file of a run is read too: its ``features`` and ``target`` are taken.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_stack.errors import InputError
from local_stack.marked_yaml import Lines, Node, load, resolve
from local_stack.preparation.grammar import read_step, step_to_dict
from local_stack.preparation.steps import FeatureStep

OWN = ("target", "features")
"""The keys of a recipe of preparation."""
OTHERS = ("experiment", "dataset", "task", "split", "estimator", "params", "search")
"""The keys of a run's recipe file that preparation does not need."""

SOURCE = "the recipe"
_WIDTH = 74
_PLAIN = re.compile(r"[A-Za-z_]([A-Za-z0-9_ ./+-]*[A-Za-z0-9_./+-])?")
_BREAK = "\0"


@dataclass(frozen=True, slots=True)
class Document:
    """A recipe: its steps and target, its text, and where in the text each step stands.

    ``left_out`` names the keys of a run's recipe file that were not taken.
    """

    steps: tuple[FeatureStep, ...]
    target: str | None
    text: str
    lines: Lines
    left_out: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Return the document as plain values, every step in the one shape that it has."""
        target = {} if self.target is None else {"target": self.target}
        return {**target, "features": [step_to_dict(step) for step in self.steps]}

    @property
    def hash(self) -> str:
        """Return what tells apart recipes that do other things; comments do not count."""
        return hash_of(self.values)

    def where(self, number: int) -> str:
        """Return the place of a step (from 1), such as ``recipe.yaml, line 4``."""
        return self.lines.where(("features", number - 1))


def hash_of(values: Mapping[str, Any]) -> str:
    """Return the hash of a document's plain values, 16 hexadecimal digits."""
    told = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def parse(text: str, source: str = SOURCE) -> Document:
    """Return the recipe that ``text`` is.

    Raises
    ------
    InputError
        With the source, the line and the nearest valid word.
    """
    value, lines = load(text, source)
    root = Node(value, lines)
    if not isinstance(value, dict):
        raise root.error("A recipe begins with 'features:'.", "Below it: - impute: {...}")
    found = root.fields((*OWN, *OTHERS), ["features"])
    target = found.get("target")
    return Document(
        steps=tuple(map(read_step, found["features"].items())),
        target=target.text() if target is not None and target.value is not None else None,
        text=text,
        lines=lines,
        left_out=tuple(key for key in found if key in OTHERS),
    )


def own_part(document: Document) -> Document:
    """Return a recipe without the keys that belong to a run; comments stay with their lines."""
    if not document.left_out:
        return document
    taken = "\n".join(_blocks(document)).rstrip() + "\n"
    try:
        found = parse(taken, document.lines.source)
    except InputError:  # such as a file that is one line
        found = parse(text_of(document.values), document.lines.source)
    if found.values != document.values:
        found = parse(text_of(document.values), document.lines.source)
    return Document(found.steps, found.target, found.text, found.lines, document.left_out)


def _blocks(document: Document) -> Iterator[str]:
    """Yield the lines of the keys that are ours, with the comments below them."""
    marks: Mapping[Any, Any] = document.lines.marks
    tops = sorted((line, path[0]) for path, line in marks.items() if len(path) == 1)
    rows = document.text.splitlines()
    ends = [line for line, _ in tops[1:]] + [len(rows) + 1]
    for (line, key), end in zip(tops, ends, strict=True):
        if key in OWN:
            yield from rows[line - 1 : end - 1]


# ------------------------------------------------------------------ writing


def text_of(values: Mapping[str, Any], *, is_ascii: bool = False) -> str:
    """Return plain values as the text of a recipe, a step an entry."""
    rows = []
    if values.get("target") is not None:
        rows.append(f"target: {quoted(str(values['target']), is_ascii)}")
    if not values.get("features"):
        return "\n".join([*rows, "features: []"]) + "\n"
    rows.append("features:")
    for step in values["features"]:
        rows += step_lines(step, is_ascii=is_ascii)
    return "\n".join(rows) + "\n"


def step_lines(step: Mapping[str, Any], *, is_ascii: bool = False) -> list[str]:
    """Return a step as the lines of an entry of the list."""
    rows: list[str] = []
    for part in _flow(step, is_ascii, is_top=True).split(_BREAK):
        if rows and len(rows[-1]) + len(part) < _WIDTH:
            rows[-1] += f" {part}"
        else:
            rows.append(f"{'      ' if rows else '  - '}{part}")
    return rows


def one_line(step: Mapping[str, Any]) -> str:
    """Return a step in one line, such as ``impute: {columns: numeric}``."""
    return _flow(step, False, is_top=True).replace(_BREAK, " ")


def _flow(value: Any, is_ascii: bool, *, is_top: bool = False) -> str:
    if isinstance(value, Mapping):
        members = [
            f"{quoted(str(key), is_ascii)}: {_flow(item, is_ascii)}" for key, item in value.items()
        ]
        inner = f",{_BREAK}".join(members)
        return inner if is_top else f"{{{inner}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + f",{_BREAK}".join(_flow(item, is_ascii) for item in value) + "]"
    if isinstance(value, str):
        return quoted(value, is_ascii)
    return json.dumps(value)


def quoted(text: str, is_ascii: bool = False) -> str:
    """Return a text as a YAML scalar of one line that reads back as the same text."""
    if _PLAIN.fullmatch(text) and resolve(text) == text:
        return text
    return '"' + "".join(_escaped(character, is_ascii) for character in text) + '"'


def _escaped(character: str, is_ascii: bool) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if character == " " or (character.isprintable() and (code < 0x80 or not is_ascii)):
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
