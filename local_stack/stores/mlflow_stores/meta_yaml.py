"""The ``meta.yaml`` of MLflow's folder stores: one mapping, nearly always of plain lines.

MLflow writes one ``key: value`` a line. Those lines are read by hand, which takes a twentieth of
the time of PyYAML's C loader; a file with any other line goes to that loader (the safe one), so
that the result is the same.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_BYTES: Final = 262_144
"""Largest ``meta.yaml`` read, in bytes."""
_MAX_DEPTH: Final = 50

_LINE = re.compile(
    r"""(?P<key>[a-z]+(?:_[a-z]+)+|name|status|tags|step|source|digest|schema|profile):[ ]
    (?:
      (?P<whole>0|[1-9][0-9]{0,17})
    | (?P<quoted>'[\ -&(-~]*')
    | (?P<empty>\[\]|\{\}|null)
    | (?P<hex>(?!0b)[0-9]{1,31}[a-f][0-9a-f]{0,31})
    | (?P<plain>[A-Za-z/][\w./@%+=~()-]*(?:[ :][\w./@%+=~()-]+)*)
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS: Final = frozenset(
    form
    for word in ("yes", "no", "true", "false", "on", "off", "null")
    for form in (word, word.title(), word.upper())
)
"""Plain words that YAML 1.1 does not read as texts."""


def parse(data: bytes) -> dict[str, Any]:
    """Return the mapping that the bytes of a ``meta.yaml`` hold.

    Raises
    ------
    ValueError
        The bytes are no such mapping; the message goes on after "meta.yaml".
    """
    if not data.strip():
        raise ValueError("is empty")
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    found = _by_hand(text)
    return _by_loader(text) if found is None else found


def _by_hand(text: str) -> dict[str, Any] | None:
    """Return the mapping of a text of plain lines, or None when any line is another."""
    found: dict[str, Any] = {}
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        key, value, kind = match["key"], match[match.lastgroup or ""], match.lastgroup
        if kind == "whole":
            found[key] = int(value)
        elif kind == "quoted":
            found[key] = value[1:-1]
        elif kind == "empty":
            found[key] = [] if value == "[]" else {} if value == "{}" else None
        elif value in _WORDS:
            return None
        else:
            found[key] = value
    return found


def _by_loader(text: str) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        # Nested deeply enough, a text makes the loader in C overflow its stack; events do not.
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ValueError("is nested too deeply")
    except yaml.YAMLError:
        raise ValueError("is not YAML, or is cut off") from None
    try:
        found = yaml.load(text, Loader=loader)  # noqa: S506 - the safe loader, written in C
    except (yaml.YAMLError, ValueError, TypeError, OverflowError):
        raise ValueError("is not YAML, or is cut off") from None
    if not isinstance(found, dict):
        raise ValueError("holds no keys and values")  # noqa: TRY004
    return {str(key): value for key, value in found.items()}
