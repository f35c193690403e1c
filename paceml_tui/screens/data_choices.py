"""What an import decided and what a person corrected: one list of both, and the arguments of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_stack.errors import InputError, nearest
from paceml_tui.render import Block, Text, heading, join, number, stack, styled
from paceml_tui.screens.data_detail import rejects_grid, warnings
from paceml_tui.tasks import Row, words_of
from paceml_tui.widgets.table import Column

MOST_COLUMNS = 400
"""Columns that are listed; the command line corrects those beyond."""

_NOT_OPTIONS = ("source", "limit", "type", "rename")
_MANY = ("null",)
_FLAGS = ("strict",)
_SPELT = {"\t": "tab", " ": "space"}
_YES = ("true", "yes", "on", "1")


@dataclass
class Choices:
    """The options of ``data preview`` that a person has set; ``known`` maps them to their help.

    ``options`` holds values by option, ``columns`` by what the file calls a column: its
    ``type`` and what to ``rename`` it to.
    """

    known: Mapping[str, str]
    options: dict[str, Any]
    columns: dict[str, dict[str, str]]

    def arguments(self) -> dict[str, Any]:
        """Return what was set, as arguments of ``data preview`` and ``data add``."""
        found = dict(self.options)
        for fact in ("type", "rename"):
            given = tuple(f"{c}={it[fact]}" for c, it in self.columns.items() if it.get(fact))
            if given:
                found[fact] = given
        return found

    def rows(self, found: Mapping[str, Any]) -> list[Row]:
        """Return a line for each decision, each option that nobody decided, and each column."""
        decided = [it for it in found.get("decisions") or [] if isinstance(it, Mapping)]
        lines = [self._option(str(it.get("what")), it.get("value"), it) for it in decided]
        seen = {line["name"] for line in lines}
        rest = [name for name in self.known if name not in seen and name not in _NOT_OPTIONS]
        columns = [self._column(it) for it in found.get("columns") or [] if isinstance(it, Mapping)]
        undecided = [self._option(name, None, {}) for name in rest]
        set_by_hand = [line for line in undecided if line["is_given"]]
        left = [line for line in undecided if not line["is_given"]]
        return [*lines, *set_by_hand, *columns, *left]

    def _option(self, name: str, value: Any, decision: Mapping[str, Any]) -> Row:
        is_given = name in self.options
        return {
            "kind": "option",
            "name": name,
            "source": name,
            "value": self.options[name] if is_given else value,
            "reason": "corrected here" if is_given else str(decision.get("reason") or "not set"),
            "is_given": is_given,
        }

    def _column(self, it: Mapping[str, Any]) -> Row:
        source = str(it.get("source") or it.get("name"))
        given = self.columns.get(source, {})
        facts = [str(it.get("reason") or "")]
        if it.get("n_missing"):
            facts.append(f"{it['n_missing']:,} missing")
        if it.get("n_unreadable"):
            facts.append(f"{it['n_unreadable']:,} unreadable")
        return {
            "kind": "column",
            "name": str(it.get("name")),
            "source": source,
            "value": it.get("type"),
            "reason": "; ".join(filter(None, facts)),
            "is_given": bool(given),
            "n_unreadable": it.get("n_unreadable") or 0,
        }

    def question(self, row: Row) -> tuple[str, str, str]:
        """Return prompt, present value and help for the correction of a line."""
        if row["kind"] == "column":
            types = f"One of: {', '.join(_types())}. Empty takes the correction back."
            return f"type of {row['name']}", str(row["value"] or ""), types
        help = self.known.get(str(row["name"]), "")
        return str(row["name"]), _shown(row["value"]), f"{help} Empty: as found out.".strip()

    def correct(self, subject: str, text: str) -> bool:
        """Set what :func:`name_of` or ``rename COLUMN`` names; return whether that is new.

        Raises
        ------
        InputError
            For a type that no column can have.
        """
        kind, _, name = subject.partition(" ")
        if kind == "option":
            return self._set_option(name, text)
        fact = "rename" if kind == "rename" else "type"
        value = text.strip()
        if fact == "type" and value and value not in _types():
            hint = nearest(value, _types()) or f"One of: {', '.join(_types())}."
            raise InputError(f"'{value}' is not a type.", hint)
        before = dict(self.columns.get(name, {}))
        given = {**before, fact: value} if value else {k: v for k, v in before.items() if k != fact}
        self.columns[name] = given
        if not given:
            del self.columns[name]
        return given != before

    def _set_option(self, name: str, text: str) -> bool:
        before, value = self.options.get(name), text.strip()
        if not value or (name in _FLAGS and value.lower() not in _YES):
            self.options.pop(name, None)
            return before is not None
        self.options[name] = words_of(value) if name in _MANY else True if name in _FLAGS else value
        return bool(self.options[name] != before)

    def forget(self, row: Row) -> bool:
        """Take back what was set in a line; return whether something was."""
        held: dict[str, Any] = self.columns if row["kind"] == "column" else self.options
        return held.pop(str(row["source"]), None) is not None


def _types() -> tuple[str, ...]:
    from local_stack.data.tables import TYPES

    return TYPES


def _shown(value: Any) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(f'"{it}"' if "," in str(it) or not str(it) else str(it) for it in value)
    return _SPELT.get(str(value), str(value))


def name_of(row: Row) -> str:
    """Return what tells a line from the others, and what :meth:`Choices.correct` takes."""
    return f"{row['kind']} {row['source']}"


def facts(found: Mapping[str, Any]) -> Block:
    """Return the warnings and the first rejects of a preview, with their line numbers."""
    rejects = found.get("rejects") or []
    n = found.get("n_rejected") or 0
    shown = [heading("Rejects", number(n)), rejects_grid(rejects)] if rejects else []
    none = [styled("Everything was read as it stands.", "quiet")]
    noted = warnings(found.get("warnings") or [])
    return stack(*(shown or ([] if noted else none)), *noted)


def _name(row: Row) -> Text:
    tone = "strong" if row["kind"] == "column" else "accent"
    if row["kind"] == "column" and row["source"] != row["name"]:
        return join(styled(row["name"], tone, 24), styled(f"was {row['source']}", "quiet", 20))
    return styled(row["name"], tone, 30)


def _value(row: Row) -> Text:
    tone = "warning" if row["is_given"] else "accent" if row["kind"] == "column" else ""
    return styled(_shown(row["value"]), tone, 24)


def _reason(row: Row) -> Text:
    return styled(row["reason"], "warning" if row.get("n_unreadable") else "quiet", 200)


COLUMNS = (
    Column("what", _name, rank=0, most=20),
    Column("value", _value, rank=1, most=16),
    Column("why", _reason, is_wide=True, rank=2, most=120),
)
