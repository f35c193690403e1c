"""A finished study for people: its trials, what mattered, how it got better, and its best model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len as cells

from paceml_tui import printing_training
from paceml_tui.render import bar
from paceml_tui.safe import padded, safe

_MOST_TRIALS = 20
_NARROWEST, _WIDEST = 60, 110
_WIDEST_CELL = 16
_BAR = 20

Values = Mapping[str, Any]


def lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs tune``."""
    trials, best = found["trials"], found["best"]
    counts = {name: sum(t["status"] == name for t in trials) for name in ("FAILED", "KILLED")}
    told = [f"{len(trials)} trials"]
    told += [f"{counts['KILLED']} pruned"] if counts["KILLED"] else []
    told += [f"{counts['FAILED']} failed"] if counts["FAILED"] else []
    how = f"{found['sampler']}, {found['direction']} {safe(found['metric'])}"
    again = ", resumed" if found["is_resumed"] else ""
    yield f"Study {found['run_id'][:8]}: {', '.join(told)} ({how}{again})"
    chosen = ", ".join(f"{safe(k)}={_shown(v)}" for k, v in best["params"].items())
    yield f"Best  trial {best['trial']}, {safe(found['metric'])} {_shown(best['value'])}: {chosen}"
    yield ""
    yield from _trials(trials, found)
    yield from _importance(found["importance"])
    yield from _history(found["history"])
    yield ""
    yield from printing_training.lines(found)


def _trials(trials: Sequence[Values], found: Values) -> Iterator[str]:
    """Yield the best trials as a table; those without a value come last."""
    sign = -1 if found["direction"] == "maximize" else 1
    ordered = sorted(
        trials,
        key=lambda t: (t["value"] is None, sign * (t["value"] or 0), t["number"]),
    )
    names = list(found["best"]["params"])
    titles = ["trial", "status", found["metric"], "folds", *names]
    rows = [
        [
            str(t["number"]),
            "PRUNED" if t["is_pruned"] else t["status"],
            _shown(t["value"]),
            str(len(t["folds"])),
            *(_shown(t["params"].get(name)) for name in names),
        ]
        for t in ordered[:_MOST_TRIALS]
    ]
    table = [[safe(cell, _WIDEST_CELL) for cell in row] for row in (titles, *rows)]
    widths = [max(map(cells, column)) for column in zip(*table, strict=True)]
    limit = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    for row in table:
        line = [padded(cell, widths[at], is_right=at != 1) for at, cell in enumerate(row)]
        yield safe("  ".join(line), limit).rstrip()
    if len(ordered) > len(rows):
        yield f"({len(ordered) - len(rows)} more; --json gives all)"


def _importance(shares: Values) -> Iterator[str]:
    if not shares:
        return
    yield ""
    yield "Importance of the parameters"
    names = {name: safe(name, 30) for name in shares}
    width = max(map(cells, names.values()))
    for name, share in shares.items():
        drawn = bar(share, _BAR).plain
        yield f"{padded(names[name], width)}  {share:6.1%}  {drawn}".rstrip()


def _history(history: Sequence[Values]) -> Iterator[str]:
    """Yield the trials that were the best so far."""
    before = [None, *(one["best"] for one in history)]
    steps = [one for one, last in zip(history, before, strict=False) if one["best"] != last]
    if len(steps) > 1:
        told = ", ".join(f"{_shown(one['best'])} (trial {one['trial']})" for one in steps)
        yield ""
        yield f"Best so far: {told}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else safe(str(value), 40)
