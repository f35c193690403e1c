"""A comparison of runs as text for people, in as many columns as the terminal has."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len as cells

from paceml_tui import render
from paceml_tui.safe import is_ascii, padded, safe

_NARROWEST, _WIDEST = 60, 160
_KEY, _VALUE, _NARROWEST_CURVE = 30, 28, 12
_MOST_ROWS = 60
_GAP = "  "
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9,]*\.?[0-9]*(?:e[-+]?[0-9]+)?|inf|nan)(?: |$)")
_NOUNS = {"environment": "of code and environment"}

Cell = Sequence[str]
"""The lines of a cell, made safe."""


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a comparison's ``result``, or the Markdown that was asked for."""
    if found["markdown"]:
        yield from (safe(line, 0) for line in found["markdown"].split("\n"))
        return
    ids = [run["run_id"] for run in found["runs"]]
    letters = {run: _letter(at) for at, run in enumerate(ids)}
    yield from (f"Note: {safe(warning)}" for warning in found["warnings"])
    yield f"{len(ids)} runs; {letters[found['baseline']]} is the baseline"
    yield from _table([""] * 6, [_run(run, letters) for run in found["runs"]], _KEY)
    yield from _metrics(found, letters)
    for title, name in (("Params", "params"), ("Tags", "tags")):
        yield from _section(title, found[name], letters, lambda e: e["key"], _values("values"))
    yield from _section("Datasets", found["datasets"], letters, _dataset, _values("versions", 12))
    for dataset in found["datasets"]:
        yield from (f"  {safe(command, 0)}" for command in dataset["commands"])
    yield from _section("Artifacts", found["artifacts"], letters, lambda e: e["path"], _sizes)
    environment = found["environment"]
    name = "Code and environment"
    yield from _section(name, environment, letters, lambda e: e["key"], _values("values"))
    yield from _curves(found["curves"], letters)
    same = [
        f"{n} {_NOUNS.get(kind, kind.removesuffix('s') if n == 1 else kind)}"
        for kind, n in found["omitted"].items()
        if n
    ]
    if same:
        yield ""
        yield f"The same in all runs, shown by --all: {', '.join(same)}"
    yield from (f"Written: {safe(path, 0)}" for path in found["written"])


def _run(run: Mapping[str, Any], letters: Mapping[str, str]) -> list[Cell]:
    status = run["status"] if run["lifecycle"] == "active" else f"{run['status']}, deleted"
    memory = run["peak_memory_bytes"]
    return [
        [f"{letters[run['run_id']]}  {safe(run['name'], _VALUE)}"],
        [safe(run["run_id"][:8])],
        [safe(run["experiment"], 16)],
        [safe(status)],
        [render.seconds(run["seconds"]).plain],
        [render.size(memory).plain if memory else ""],
    ]


def _metrics(found: Mapping[str, Any], letters: Mapping[str, str]) -> Iterator[str]:
    metrics = found["metrics"]
    if not metrics:
        return
    yield from _section("Metrics", metrics, letters, _metric_key(letters), _metric_cells(found))
    intervals = [each for metric in metrics for each in metric["intervals"].values() if each]
    if intervals:
        one = intervals[0]
        yield (
            f"  [low, high]: {one['level']:.0%} paired bootstrap interval of the difference to "
            f"{letters[found['baseline']]}"
        )
        yield f"  ({one['n_rows']:,} held-out rows, {one['n_resamples']:,} resamples)"
    yield from _reasons(metrics, letters)


def _reasons(metrics: Sequence[Mapping[str, Any]], letters: Mapping[str, str]) -> Iterator[str]:
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for metric in metrics:
        for run, reason in metric["reasons"].items():
            if reason and metric["values"][run] is not None:
                runs, keys = found.setdefault(reason, ({}, {}))
                runs[letters[run]] = keys[safe(metric["key"], _KEY)] = None
    for reason, (runs, keys) in found.items():
        named = ", ".join([*keys][:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        yield f"  No interval of {named} for {', '.join([*runs][:12])}:"
        yield f"    {safe(reason)}"


def _metric_key(letters: Mapping[str, str]) -> Callable[[Mapping[str, Any]], str]:
    def key(metric: Mapping[str, Any]) -> str:
        arrows = {"higher": "^" if is_ascii() else "↑", "lower": "v" if is_ascii() else "↓"}
        verdict = metric["verdict"]
        if metric["best"] is not None and metric["is_clear"] is not False:
            untested = "" if metric["is_clear"] else " (untested)"
            verdict = f"{letters[metric['best']]} is best{untested}"
        return f"{metric['key']} {arrows.get(metric['direction'], '')}\n  {verdict}"

    return key


def _metric_cells(found: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], list[Cell]]:
    def told(metric: Mapping[str, Any]) -> list[Cell]:
        made: list[Cell] = []
        for run, value in metric["values"].items():
            delta, interval = metric["deltas"][run], metric["intervals"][run]
            under = ""
            if run != found["baseline"] and delta is not None:
                under = _change(delta)
                if interval:
                    under += f" [{_change(interval['low'])}, {_change(interval['high'])}]"
            made.append([_text(value), under])
        return made

    return told


def _dataset(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']} ({entry['context']})" if entry["context"] else str(entry["name"])


def _values(name: str, limit: int = _VALUE) -> Callable[[Mapping[str, Any]], list[Cell]]:
    return lambda entry: [[safe(_text(value), limit)] for value in entry[name].values()]


def _sizes(entry: Mapping[str, Any]) -> list[Cell]:
    made: list[Cell] = []
    for run, is_there in entry["is_there"].items():
        size, digest = entry["sizes"][run], entry["hashes"][run]
        shown = render.size(size).plain if size is not None else "there"
        if is_there and entry["difference"] == "content" and digest:
            shown = f"{shown} {digest[:8]}"
        made.append([shown if is_there else "-"])
    return made


def _curves(curves: Sequence[Mapping[str, Any]], letters: Mapping[str, str]) -> Iterator[str]:
    rows = []
    for curve in curves:
        if len(set(curve["steps"])) < 2:  # all of it stands at one step
            continue
        known = [
            (value, step)
            for value, step in zip(curve["values"], curve["steps"], strict=True)
            if value is not None
        ]
        if not known:
            continue
        low, high = min(known), max(known)
        rows.append(
            [
                f"{letters[curve['run_id']]}  {curve['key']}",
                f"{curve['n_points']:,}",
                _brief(known[0][0]),
                _brief(known[-1][0]),
                f"{_brief(low[0])} at {low[1]}",
                f"{_brief(high[0])} at {high[1]}",
            ]
        )
    if rows:
        head = ("Over steps", "values", "first", "last", "lowest", "highest")
        rest = list(zip(head, *rows, strict=True))[1:]
        taken = sum(len(_GAP) + max(map(len, column)) for column in rest)
        room = min(_KEY, max(_NARROWEST_CURVE, _limit() - taken))  # the key gives way to numbers
        shown = [[[safe(key, room)], *([cell] for cell in told)] for key, *told in rows]
        yield from _titled(head[0], shown, head)


def _section(
    title: str,
    entries: Sequence[Mapping[str, Any]],
    letters: Mapping[str, str],
    key: Callable[[Mapping[str, Any]], str],
    told: Callable[[Mapping[str, Any]], list[Cell]],
) -> Iterator[str]:
    if not entries:
        return
    rows = [
        [[safe(line, _KEY) for line in key(entry).split("\n")], *told(entry)] for entry in entries
    ]
    yield from _titled(title, rows, ["", *letters.values()])


def _titled(title: str, rows: Sequence[Sequence[Cell]], head: Sequence[str]) -> Iterator[str]:
    yield ""
    yield from _table([title, *head[1:]], rows[:_MOST_ROWS], _KEY)
    if len(rows) > _MOST_ROWS:
        yield f"({len(rows) - _MOST_ROWS} more; --json gives all)"


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]], first: int) -> Iterator[str]:
    """Yield a table; the columns that do not fit beside each other follow below."""
    widths = [
        max(cells(title), *(cells(line) for row in rows for line in row[at]))
        for at, title in enumerate(head)
    ]
    limit = _limit()
    is_number = [at > 0 and _is_number(row[at] for row in rows) for at in range(len(head))]
    start = 1
    while start < len(head):
        end, used = start, widths[0]
        while end < len(head) and (end == start or used + len(_GAP) + widths[end] <= limit):
            used += len(_GAP) + widths[end]
            end += 1
        columns = [0, *range(start, end)]
        shown = [[head[at]] for at in columns]
        for row in ([shown] if any(head) else []) + [[row[at] for at in columns] for row in rows]:
            for parts in zip_longest(*row, fillvalue=""):
                line = (
                    padded(part, widths[at], is_right=is_number[at])
                    for at, part in zip(columns, parts, strict=True)
                )
                if any(parts):
                    yield safe(_GAP.join(line), limit).rstrip()
        start = end
        if start < len(head):
            yield ""


def _limit() -> int:
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def _is_number(column: Iterable[Cell]) -> bool:
    """Return whether every line begins like a number or a size, or says that there is none."""
    texts = [line for cell in column for line in cell if line and line != "-"]
    return bool(texts) and all(_NUMBER.match(text) for text in texts)


def _change(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def _letter(at: int) -> str:
    """Return A, B, ... Z, AA, AB, ... for the places of runs."""
    text = ""
    while at >= 0:
        text = chr(ord("A") + at % 26) + text
        at = at // 26 - 1
    return text


def _brief(value: float) -> str:
    return f"{value:.4g}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
