"""The contract document: its words, what each may hold, and the rules that it comes to.

::

    dataset: wine
    description: what the laboratory delivers every week
    rows: {min: 100, max: 10000}
    columns:
      alcohol: {type: double, nullable: false, min: 10.0, max: 16.0}
      cultivar: {type: string, allowed: [class_0, class_1], max_missing: 0.05}
      code: {pattern: "^[A-Z]{2}[0-9]{4}$", required: false, severity: warning}
      proline: {max: {value: 2100, severity: warning, mostly: 0.99, name: assay limit}}
    keys: [[code], [alcohol, proline]]
    freshness: {column: measured_at, max_age: 7d}
    column_order: true
    extra_columns: forbid
    checks:
      - {name: positive, expression: "alcohol > 0", severity: warning}

Each rule has a stable code, which a verdict bears:

=================== ==================== ==================================================
Word                Code                 Kept when
=================== ==================== ==================================================
rows.min, rows.max  row_count_min, _max  the table has at least, at most so many rows
type                type                 the column has it (a long is a double as well)
required            column_missing       the column is there (required: false: or it is not)
nullable: false     null                 no value is missing
max_missing         max_missing          at most that share of the values is missing
min, max            min, max             every value lies within, the bounds included
exclusive_min, _max exclusive_min, _max  every value lies within, the bounds left out
allowed, forbidden  allowed, forbidden   every value is, no value is one of the list
unique              unique               no value stands twice
pattern             pattern              the regular expression (RE2) is found in every text
forbidden_pattern   forbidden_pattern    it is found in no text
min_length, max_    min_length, max_     every text has at least, at most so many characters
min_distinct, max_  min_distinct, max_   there are at least, at most so many different values
monotonic           monotonic            each value follows the one before, missing ones left out
keys                key                  the columns together name one row and miss no value
freshness           freshness            the newest time of the column (without one: the import)
                                         is not older than max_age
column_order        column_order         the columns stand in the order of the contract
extra_columns       extra_column         there is no other column
checks              the check's name     the condition is true or unknown in every row
=================== ==================== ==================================================

A missing value breaks only null, max_missing and key (not one of the form ``{columns: [a, b],
nullable: true}``, which leaves out the rows that miss a part). Any rule may stand in its long form
``{value, severity, mostly, name}``: severity is error or warning (only errors fail a check),
``mostly`` the share of the values that must keep it. Freshness is measured against the time of
the check (``against: now``) or of the version's import (``against: import``); a date counts
from its end. A column may also say ``immutable: true``, or ``direction: increase`` (decrease): no
check, but what an explanation may propose to change (:mod:`local_stack.explain.deciding`).
This module only reads; :mod:`local_stack.data.contracting.checks` judges.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import yaml

from local_stack import marked_yaml
from local_stack.data.tables import TYPES
from local_stack.errors import InputError
from local_stack.marked_yaml import KeyPath, Lines, Node
from local_stack.results import plain

SEVERITIES = ("error", "warning")
MONOTONIC = ("increasing", "decreasing", "strictly_increasing", "strictly_decreasing")
AGAINST = ("now", "import")
DIRECTIONS = ("increase", "decrease")

_TOP = (
    "dataset",
    "version",
    "description",
    "rows",
    "columns",
    "keys",
    "freshness",
    "column_order",
    "extra_columns",
    "checks",
)
_LONG = ("value", "severity", "mostly", "name")
_MOST_ROWS = 10**12
_LONGEST_TEXT = 10**9
_PATTERN_LIMIT = 1_000
_LINE = 120
_UNFOLDED = 10**6
_AGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_WHOLE = frozenset(("type", "nullable", "max_missing", "min_distinct", "max_distinct", "monotonic"))
"""The words that are kept or broken as a whole, so that ``mostly`` means nothing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition of a contract. ``column`` is None for the whole table.

    ``mostly`` is the share of the values that must keep it, ``path`` its place in the document.
    """

    code: str
    column: str | None
    value: Any
    severity: str = "error"
    mostly: float = 1.0
    name: str = ""
    path: KeyPath = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A contract that was read: its plain values, the lines they stand on, and its rules."""

    values: dict[str, Any]
    lines: Lines
    rules: tuple[Rule, ...]

    @property
    def columns(self) -> dict[str, Mapping[str, Any]]:
        """Return the rules of each column as they stand, by name."""
        found = self.values.get("columns") or {}
        return {name: rules or {} for name, rules in found.items()}

    def error(self, rule: Rule, message: str, hint: str = "") -> InputError:
        """Return an error that begins with the place of ``rule``."""
        return InputError(f"{self.lines.where(rule.path)}: {message}", hint)


def parse(text: str, source: str = "the contract") -> Document:
    """Return the contract in ``text``; ``source`` names it in errors.

    Raises
    ------
    InputError
        Naming the line and the nearest valid word.
    """
    return _document(Node(*marked_yaml.load(text, source)))


def of_values(values: Mapping[str, Any], source: str = "the contract") -> Document:
    """Return the contract that plain values make; it has no lines."""
    return _document(Node(dict(values), Lines(source)))


def text_of(values: Mapping[str, Any]) -> str:
    """Return plain values as the YAML that a person would edit.

    ``parse(text_of(values)).values`` equals ``values``: a text that YAML 1.2 would read as
    another thing stands in quotes, what is short stands on one line, and no text is folded.
    """
    return yaml.dump(
        plain(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNFOLDED
    )


class _Dumper(yaml.SafeDumper):
    """Writes the texts that the reader would take for numbers or truths in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        is_flat = all(
            not isinstance(item, dict)
            and not (isinstance(item, list) and any(isinstance(e, dict | list) for e in item))
            for item in mapping.values()
        )
        is_short = is_flat and bool(mapping) and len(str(mapping)) <= _LINE
        return super().represent_mapping(tag, mapping, flow_style=is_short)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        is_short = len(str(sequence)) <= _LINE and not any(isinstance(e, dict) for e in sequence)
        return super().represent_sequence(tag, sequence, flow_style=is_short)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_plain = isinstance(marked_yaml.resolve(text), str)
    except ValueError:
        is_plain = False
    is_plain = is_plain and text.isprintable() and text not in ("<<", "=")
    style = None if is_plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _real(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(number)
    if "." not in text:  # YAML 1.1 knows no 1e+300
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _real)


def seconds(age: str) -> float:
    """Return a duration such as ``7d`` or ``12h`` (s, m, h, d, w) in seconds."""
    found = _AGE.fullmatch(age)
    if found is None:
        raise ValueError(age)
    return float(found[1]) * _SECONDS[found[2]]


def moment(text: str) -> datetime:
    """Return an ISO 8601 date or time in UTC without its zone, as columns hold them."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        found = found.replace(tzinfo=None) - (found.utcoffset() or timedelta())
    return found


def _document(root: Node) -> Document:
    if root.value is None:
        root = replace(root, value={})
    return Document(dict(plain(root.value)), root.lines, tuple(_rules(root)))


def _rules(root: Node) -> Iterator[Rule]:
    top = root.fields(_TOP)
    for word in ("dataset", "description"):
        if word in top:
            top[word].text()
    if "rows" in top:
        yield from _row_counts(top["rows"])
    if "columns" in top:
        for name, node in top["columns"].mapping().items():
            yield from _column(name, node)
    for node in top["keys"].items() if "keys" in top else ():
        yield _key(node)
    if "freshness" in top:
        yield _freshness(top["freshness"])
    yield from _shape(root, top)
    yield from _expressions(top["checks"]) if "checks" in top else ()


def _shape(root: Node, top: Mapping[str, Node]) -> Iterator[Rule]:
    if "column_order" in top and (rule := _single(top["column_order"], Node.truth)).value:
        yield replace(rule, code="column_order", value=list(_names(root)))
    if "extra_columns" in top:
        rule = _single(top["extra_columns"], lambda node: node.choice(("allow", "forbid")))
        if rule.value == "forbid":
            yield replace(rule, code="extra_column", value=list(_names(root)))


def _names(root: Node) -> Mapping[str, Any]:
    values = root.value.get("columns") if isinstance(root.value, dict) else None
    return values if isinstance(values, dict) else {}


def _row_counts(node: Node) -> Iterator[Rule]:
    found = node.fields(("min", "max", "severity"))
    severity = _severity(found, "error")
    for word in ("min", "max"):
        if word in found:
            rule = _single(found[word], lambda bound: bound.whole(0, _MOST_ROWS), severity)
            yield replace(rule, code=f"row_count_{word}")


def _column(name: str, node: Node) -> Iterator[Rule]:
    found = node.fields((*_WORDS, *_ASIDE)) if node.value is not None else {}
    severity = _severity(found, "error")
    is_required = found["required"].truth() if "required" in found else True
    if "description" in found:
        found["description"].text()
    if "immutable" in found:
        found["immutable"].truth()
    if "direction" in found:
        found["direction"].choice(DIRECTIONS)
    yield Rule("column_missing", name, is_required, severity, path=node.path)
    kind = _kind(found)
    for word, read in _WORDS.items():
        if word not in found:
            continue
        rule = _single(found[word], lambda value, read=read: read(value, kind), severity)  # type: ignore[misc]
        if rule.mostly < 1 and word in _WHOLE:
            raise found[word].error(f"{word} is kept or not: it takes no 'mostly'.")
        if word == "nullable" and rule.value:
            continue
        if word == "unique" and not rule.value:
            continue
        yield replace(rule, code="null" if word == "nullable" else word, column=name)


def _kind(found: Mapping[str, Node]) -> str | None:
    """Return the declared type, which decides what a bound may be."""
    node = found.get("type")
    value = node.value if node else None
    return value.get("value") if isinstance(value, dict) else value  # type: ignore[return-value]


def _single(node: Node, read: Callable[[Node], Any], severity: str = "error") -> Rule:
    """Return a rule without its code, from the short form (a value) or the long one."""
    if not isinstance(node.value, dict):
        return Rule("", None, read(node), severity, path=node.path)
    found = node.fields(_LONG, ("value",))
    return Rule(
        "",
        None,
        read(found["value"]),
        _severity(found, severity),
        found["mostly"].number(0, 1) if "mostly" in found else 1.0,
        found["name"].text() if "name" in found else "",
        node.path,
    )


def _severity(found: Mapping[str, Node], otherwise: str) -> str:
    return found["severity"].choice(SEVERITIES) if "severity" in found else otherwise


def _key(node: Node) -> Rule:
    found: dict[str, Node] = {}
    if isinstance(node.value, dict):
        found = node.fields(("columns", "nullable", "severity", "name"), ("columns",))
        columns = _key_columns(found["columns"])
    else:
        columns = _key_columns(node)
    is_nullable = found["nullable"].truth() if "nullable" in found else False
    return Rule(
        "key",
        columns[0] if len(columns) == 1 else None,
        {"columns": columns, "nullable": is_nullable},
        _severity(found, "error"),
        name=found["name"].text() if "name" in found else "",
        path=node.path,
    )


def _key_columns(node: Node) -> list[str]:
    items = [node] if isinstance(node.value, str) else node.items()
    columns = [item.value for item in items]
    for item in items:
        if not isinstance(item.value, str):
            raise item.error(f"{item.name} needs the name of a column.")
    if not columns or len({*map(str, columns)}) < len(columns):
        raise node.error(f"{node.name} needs one or more different columns.")
    return [str(column) for column in columns]


def _freshness(node: Node) -> Rule:
    found = node.fields(("column", "max_age", "against", "severity", "name"), ("max_age",))
    column = found["column"].text() if "column" in found else None
    age = found["max_age"].text()
    try:
        seconds(age)
    except ValueError:
        raise found["max_age"].error(f"'{age}' is not an age.", "Examples: 12h, 7d, 2w.") from None
    against = found["against"].choice(AGAINST) if "against" in found else "now"
    if column is None and against == "import":
        raise node.error("the import is always fresh against itself.", "Name a column.")
    return Rule(
        "freshness",
        column,
        {"max_age": age, "against": against},
        _severity(found, "error"),
        name=found["name"].text() if "name" in found else "",
        path=node.path,
    )


def _expressions(node: Node) -> Iterator[Rule]:
    names: set[str] = set()
    for item in node.items():
        found = item.fields(("name", "expression", "severity", "mostly"), ("name", "expression"))
        name = found["name"].text()
        if name in names:
            raise found["name"].error(f"the name '{name}' stands twice.", "A name is a code.")
        names.add(name)
        yield Rule(
            name,
            None,
            found["expression"].text(),
            _severity(found, "error"),
            found["mostly"].number(0, 1) if "mostly" in found else 1.0,
            name,
            (*item.path, "expression"),
        )


def is_expression(rule: Rule) -> bool:
    """Return whether ``rule`` is a condition that a person wrote (its code is its name)."""
    return rule.path[:1] == ("checks",)


def _bound(node: Node, kind: str | None) -> Any:
    is_time = kind in ("date", "datetime")
    if isinstance(node.value, str) and (is_time or kind is None):
        try:
            moment(node.value)
        except (ValueError, OverflowError):
            raise node.error(f"{node.name} needs a number or an ISO 8601 date.") from None
        return node.value
    if is_time or kind == "boolean":
        wanted = "an ISO 8601 date" if is_time else "another type: a boolean has no bounds"
        raise node.error(f"{node.name} needs {wanted}.")
    node.number(-sys.float_info.max, sys.float_info.max)
    return node.value


def _choices(node: Node, kind: str | None) -> list[Any]:
    for item in node.items():
        if isinstance(item.value, dict | list):
            raise item.error(f"{item.name} needs one value.")
    return [item.value for item in node.items()]


def _pattern(node: Node, kind: str | None) -> str:
    return node.text(_PATTERN_LIMIT)


def _length(node: Node, kind: str | None) -> int:
    return node.whole(0, _LONGEST_TEXT)


def _count(node: Node, kind: str | None) -> int:
    return node.whole(0, _MOST_ROWS)


_WORDS: dict[str, Callable[[Node, str | None], Any]] = {
    "type": lambda node, kind: node.choice(TYPES),
    "nullable": lambda node, kind: node.truth(),
    "max_missing": lambda node, kind: node.number(0, 1),
    "min": _bound,
    "max": _bound,
    "exclusive_min": _bound,
    "exclusive_max": _bound,
    "allowed": _choices,
    "forbidden": _choices,
    "unique": lambda node, kind: node.truth(),
    "pattern": _pattern,
    "forbidden_pattern": _pattern,
    "min_length": _length,
    "max_length": _length,
    "min_distinct": _count,
    "max_distinct": _count,
    "monotonic": lambda node, kind: node.choice(MONOTONIC),
}
"""What a column may promise, in the order of the verdict, with the reader of each value."""

_ASIDE = ("required", "severity", "description", "immutable", "direction")

WORDS = (*_WORDS, *_ASIDE)
"""Every word of a column, for editors."""
