"""Contracts from other tools: what a file of theirs promises, in our words.

What has no word here is named in the warnings of the result, so that nothing is dropped in
silence. A second rule of a kind that a column has already becomes an expression.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_stack import marked_yaml
from local_stack.data.contracting import checks, contract_file
from local_stack.data.contracting.expressions import quoted
from local_stack.errors import InputError

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Taken:
    """A contract that was taken over: its plain values, the tool it is from, what is missing."""

    values: dict[str, Any]
    source: str
    warnings: tuple[str, ...]


def read(path: Path) -> Taken:
    """Read a Great Expectations suite (JSON) or a pandera schema (YAML or JSON).

    Raises
    ------
    InputError
        When the file is neither.
    """
    from local_stack.data.contracting import expectations, pandera_schema

    text = marked_yaml.read_text(path)
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found, _ = marked_yaml.load(text, path.name)
    if isinstance(found, dict) and isinstance(found.get("expectations"), list):
        return expectations.taken(found)
    if isinstance(found, dict) and "schema_type" in found and "columns" in found:
        return pandera_schema.taken(found)
    raise InputError(
        f"{path.name} is neither a Great Expectations suite nor a pandera schema.",
        "Give a suite in JSON, or what schema.to_yaml() or schema.to_json() wrote; "
        "our own contracts are set with --set.",
    )


@dataclass(slots=True)
class Draft:
    """A contract that is put together rule by rule; what it refuses becomes a warning."""

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def column(self, name: str) -> dict[str, Any]:
        """Return the rules of a column, which is promised to be there by being named."""
        rules: dict[str, Any] = self.values.setdefault("columns", {}).setdefault(name, {})
        return rules

    def rule(
        self,
        column: str,
        word: str,
        value: Any,
        *,
        severity: str = "error",
        mostly: float = 1.0,
        name: str = "",
        what: str = "",
    ) -> None:
        """Add one rule to a column; ``what`` names its origin in a warning."""
        rules = self.column(column)
        form = _form(value, severity, mostly, name)
        if word not in rules:
            if self._is_sound({"columns": {column: {**_type_of(rules), word: form}}}, what):
                rules[word] = form
            return
        if rules[word] == form:
            return
        write = _AS_EXPRESSION.get(word)
        if write is None:
            self.warn(what, f"column '{column}' has another {word} already")
            return
        title = name or f"{column} {word} {len(self.values.get('checks', [])) + 1}"
        expression = write(named(column), value)
        self.check(title, expression, severity=severity, mostly=mostly, what=what)

    def check(
        self,
        name: str,
        expression: str,
        *,
        severity: str = "error",
        mostly: float = 1.0,
        what: str = "",
    ) -> None:
        """Add a condition on the columns of a row."""
        taken = {each["name"] for each in self.values.get("checks", [])}
        title, n = name[:_SHOWN], 1
        while title in taken:
            n += 1
            title = f"{name[:_SHOWN]} {n}"
        item: dict[str, Any] = {"name": title, "expression": expression}
        item |= {"severity": severity} if severity != "error" else {}
        item |= {"mostly": mostly} if mostly < 1 else {}
        if self._is_sound({"columns": self.values.get("columns", {}), "checks": [item]}, what):
            self.values.setdefault("checks", []).append(item)

    def key(self, columns: Sequence[str], *, severity: str = "error", what: str = "") -> None:
        """Add columns that are unique together; rows that miss a part are left out."""
        item: dict[str, Any] = {"columns": list(columns), "nullable": True}
        item |= {"severity": severity} if severity != "error" else {}
        if self._is_sound({"keys": [item]}, what):
            self.values.setdefault("keys", []).append(item)

    def warn(self, what: str, reason: str) -> None:
        """Remember that something was not taken over, and why."""
        self.warnings.append(f"{what} is not taken over: {reason}.")

    def taken(self, source: str) -> Taken:
        """Return what was put together, in the order of the words."""
        order = ("rows", "columns", "keys", "column_order", "extra_columns", "checks")
        known = {word: self.values[word] for word in order if word in self.values}
        return Taken({**self.values, **known}, source, tuple(self.warnings))

    def _is_sound(self, values: Mapping[str, Any], what: str) -> bool:
        try:
            checks.prove(contract_file.of_values(values), {})
        except InputError as error:
            self.warn(what, error.message.removeprefix("the contract: ").rstrip("."))
            return False
        return True


def _form(value: Any, severity: str, mostly: float, name: str) -> Any:
    """Return the short form of a rule when it says all, else the long one."""
    extras: dict[str, Any] = {"severity": severity} if severity != "error" else {}
    extras |= {"mostly": mostly} if mostly < 1 else {}
    extras |= {"name": name} if name else {}
    return {"value": value, **extras} if extras else value


def _type_of(rules: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": rules["type"]} if "type" in rules else {}


def named(column: str) -> str:
    """Return a column as an expression names it."""
    return '"' + column.replace('"', '""') + '"'


def constant(value: Any) -> str:
    """Return a value as an expression holds it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return quoted(value) if isinstance(value, str) else repr(value)


def _each(values: Sequence[Any]) -> str:
    return ", ".join(map(constant, values)) or "null"


_AS_EXPRESSION: dict[str, Callable[[str, Any], str]] = {
    "min": lambda c, v: f"{c} >= {constant(v)}",
    "max": lambda c, v: f"{c} <= {constant(v)}",
    "exclusive_min": lambda c, v: f"{c} > {constant(v)}",
    "exclusive_max": lambda c, v: f"{c} < {constant(v)}",
    "allowed": lambda c, v: f"{c} IN ({_each(v)})",
    "forbidden": lambda c, v: f"{c} NOT IN ({_each(v)})",
    "pattern": lambda c, v: f"regexp_matches({c}, {constant(v)})",
    "forbidden_pattern": lambda c, v: f"NOT regexp_matches({c}, {constant(v)})",
    "min_length": lambda c, v: f"length({c}) >= {constant(v)}",
    "max_length": lambda c, v: f"length({c}) <= {constant(v)}",
}
