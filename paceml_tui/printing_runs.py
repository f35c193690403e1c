"""The runs of a search as a table for people."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len as cells

from paceml_tui.safe import padded, safe

_MOST_KEYS = 4
_WIDEST = 32
_ID_LETTERS = 8
"""A run id is cut to its beginning, by which every command finds it."""


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a search's ``result``: its table, or the Markdown that was asked for."""
    if found["markdown"]:
        yield from (safe(line, 0) for line in found["markdown"].split("\n"))
        return
    yield from (f"Note: {safe(warning, 200)}" for warning in found["warnings"])
    if found["runs"]:
        yield from _table(found["runs"], found["columns"])
    shown, total = len(found["runs"]), found["total"]
    more = "" if shown == total else "; --limit 0 gives all"
    yield f"{shown:,} of {total:,} runs{more}" if total else "No run matches."
    yield from (f"Written: {safe(path, 0)}" for path in found["written"])


def _table(runs: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    titles, rows = _chosen(runs, columns) if columns else _usual(runs)
    texts = [[safe(_shown(value), _WIDEST) for value in row] for row in rows]
    heads = [safe(title, _WIDEST) for title in titles]
    widths = [max(map(cells, column)) for column in zip(heads, *texts, strict=True)]
    is_number = [any(isinstance(v, float) for v in column) for column in zip(*rows, strict=True)]
    limit = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    for row in (heads, *texts):
        line = (
            padded(text, width, is_right=right)
            for text, width, right in zip(row, widths, is_number, strict=True)
        )
        yield safe("  ".join(line), limit).rstrip()


def _chosen(
    runs: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    from local_stack.runs import exporting
    from local_stack.runs.records import Run

    whole = [Run(**run) for run in runs]
    table = exporting.columns_of(whole, exporting.read_columns(columns))
    return [column.title for column in table], [[c.of(run) for c in table] for run in whole]


def _usual(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return what tells the runs apart best: when, how they ended, and their commonest keys."""
    keys = [(group, key) for group in ("metrics", "params") for key in _commonest(runs, group)]
    several = len({run["experiment"] for run in runs}) > 1
    titles = ["run", "name", *(["experiment"] if several else []), "status", "started"]
    rows = [
        [
            run["run_id"][:_ID_LETTERS],
            run["name"],
            *([run["experiment"]] if several else []),
            run["status"],
            (run["start_time"] or "")[:16].replace("T", " "),
            *(run[group].get(key) for group, key in keys),
        ]
        for run in runs
    ]
    return [*titles, *(key for _, key in keys)], rows


def _commonest(runs: Sequence[Mapping[str, Any]], group: str) -> list[str]:
    counts = Counter(key for run in runs for key in run[group])
    return [key for key, _ in sorted(counts.items(), key=lambda it: (-it[1], it[0]))[:_MOST_KEYS]]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
