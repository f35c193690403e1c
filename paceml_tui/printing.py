"""stdout: results, for people or as exactly one JSON document. No other module writes there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len

from local_stack.errors import StackError
from local_stack.results import plain
from paceml_tui.safe import padded, safe

_MOST_ROWS = 60
_WIDEST_CELL = 40
_MOST_INDENTED = 100_000
"""Longer documents stand on one line: programs read them, and indentation takes longer."""

_SENTENCES = {"message": 200, "reason": 120, "hint": 200}
"""Columns of sentences, which say nothing when they are cut; the terminal's width still holds."""

_PRINTERS = {
    "data.profile": ("printing_profile", "lines"),
    "data.diligence": ("printing_diligence", "lines"),
    "data.recipe": ("printing_recipe", "recipe_lines"),
    "data.prepare": ("printing_recipe", "preparation_lines"),
    "runs.search": ("printing_runs", "lines"),
    "runs.compare": ("printing_comparison", "lines"),
    "runs.train": ("printing_training", "lines"),
    "runs.tune": ("printing_tuning", "lines"),
    "runs.branch": ("printing_records", "branch_lines"),
    "runs.reproduce": ("printing_records", "reproduction_lines"),
    "explain.model": ("printing_explain", "model_lines"),
    "explain.row": ("printing_explain", "row_lines"),
    "explain.dependence": ("printing_explain", "dependence_lines"),
    "explain.fairness": ("printing_explain", "fairness_lines"),
    "explain.compare": ("printing_explain", "comparison_lines"),
    **dict.fromkeys(
        ("runs.note", "runs.tag", "runs.delete", "runs.restore"), ("printing_edits", "lines")
    ),
}
"""The module and function that print what a command returned, where fields are not enough."""


def text(value: str) -> None:
    """Print lines of our own."""
    print(value)


def result(name: str, value: Any, *, is_json: bool) -> None:
    """Print what the command ``name`` returned."""
    values = plain(value)
    if name == "init":  # a tracking URI may hold a password or a token
        from local_stack.stores.places import redacted

        values["tracking_uri"] = redacted(values["tracking_uri"])
    if is_json:
        _document({"ok": True, "command": name, "result": values})
        return
    for line in _for_people(name, values):
        print(line)


def _for_people(name: str, values: Any) -> Iterator[str]:
    if name not in _PRINTERS or _is_job(values):
        return _lines(values)
    module, function = _PRINTERS[name]
    found: Iterator[str] = getattr(import_module(f"paceml_tui.{module}"), function)(values)
    return found


def _is_job(values: Any) -> bool:
    """Return whether the result is that of a job which was started apart."""
    return isinstance(values, Mapping) and {"job", "command", "arguments"} <= values.keys()


def failure(name: str, error: StackError) -> None:
    """Print an error as JSON, with the whole result when the command had one."""
    document = {"ok": False, "command": name, "error": plain(error.to_dict())}
    if error.result is not None:
        document["result"] = plain(error.result)
    _document(document)


def _document(document: Mapping[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=True, allow_nan=False)
    if len(text) <= _MOST_INDENTED:
        text = json.dumps(document, ensure_ascii=True, allow_nan=False, indent=2)
    print(text)


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _fields(value, indent)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        yield from _table(value, indent)
    elif isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        yield from _matrix(value[:_MOST_ROWS], indent)
    else:
        yield indent + _scalar(value)


def _fields(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    width = max((len(safe(key)) for key, item in values.items() if _is_short(item)), default=0)
    for key, item in values.items():
        if _is_short(item):
            yield f"{indent}{safe(key):<{width}}  {_scalar(item)}"
        else:
            yield f"{indent}{safe(key)}"
            yield from _lines(item, indent + "  ")


def _table(rows: Sequence[Mapping[str, Any]], indent: str) -> Iterator[str]:
    columns = list(
        dict.fromkeys(key for row in rows for key, cell in row.items() if not _is_bulky(cell))
    )
    cells = [
        [safe(_scalar(row.get(key)), _SENTENCES.get(key, _WIDEST_CELL)) for key in columns]
        for row in rows[:_MOST_ROWS]
    ]
    is_number = [_is_number(row.get(key) for row in rows) for key in columns]
    for line in _aligned([[safe(key) for key in columns], *cells], is_number):
        yield safe(indent + line, _limit()).rstrip()
    if len(rows) > _MOST_ROWS:
        yield f"{indent}({len(rows) - _MOST_ROWS} more; --json gives all)"


def _matrix(rows: Sequence[Sequence[Any]], indent: str) -> Iterator[str]:
    columns = list(zip_longest(*rows))
    cells = [[safe(_scalar(cell), _WIDEST_CELL) for cell in row] for row in rows]
    for line in _aligned(cells, [_is_number(column) for column in columns]):
        yield safe(indent + line, _limit()).rstrip()


def _aligned(lines: Sequence[Sequence[str]], is_number: Sequence[bool]) -> Iterator[str]:
    """Yield lines of safe cells whose columns stand below each other, numbers at the right."""
    widths = [max(map(cell_len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        yield "  ".join(
            padded(cell, width, is_right=right)
            for cell, width, right in zip(line, widths, is_number, strict=False)
        )


def _is_number(column: Iterable[Any]) -> bool:
    kinds = {type(cell) for cell in column} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _limit() -> int:
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000


def _is_bulky(cell: Any) -> bool:
    """Return whether a cell is a table itself, which is left to ``--json``."""
    return isinstance(cell, Mapping) and any(isinstance(v, list | Mapping) for v in cell.values())


def _is_short(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not value
    if isinstance(value, list):
        return not value or (
            len(value) <= 12 and not any(isinstance(v, list | Mapping) for v in value)
        )
    return True


def _scalar(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_scalar(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{safe(k)}={_scalar(v)}" for k, v in list(value.items())[:8])
    return safe(value)
