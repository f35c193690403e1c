"""A branched run and a repeated run for people: what was changed, what differs, what moved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len as cells

from paceml_tui import printing_training
from paceml_tui.safe import padded, safe

_ID_LETTERS = 8
_WIDEST = 40
_MOST_METRICS = 20


def branch_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs branch``: what was changed, then the training."""
    yield f"Branched from {safe(found['branched_from'][:_ID_LETTERS])}"
    rows = [[one["key"], _told(one["from"]), _told(one["to"])] for one in found["changed"]]
    yield from _table(["changed", "from", "to"], rows)
    yield from printing_training.lines(found)


def reproduction_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs reproduce``."""
    yield f"Run {found['run_id'][:_ID_LETTERS]}  {safe(found['name'])}, data {_data(found)}"
    yield safe(found["verdict"], 0)
    rows = [
        [one["cause"], one["key"], _told(one["recorded"]), _told(one["now"])]
        for one in found["differences"]
    ]
    yield from _table(["cause", "what", "recorded", "now"], rows, n_left=4)
    if not found["bit_identical"]:
        yield from _outcome(found)
    yield from _warnings(found)
    if found["kept_as"]:
        yield f"Kept as run {safe(found['kept_as'])}"


def _outcome(found: Mapping[str, Any]) -> Iterator[str]:
    for path, is_same in found["model"].items():
        yield f"{safe(path)}: {'the same bytes' if is_same else 'other bytes'}"
    predictions = found["predictions"]
    if predictions is not None:
        yield _sentence(predictions)
    moved = [one for one in found["metrics"] if not one["is_identical"]]
    moved.sort(key=lambda one: (-abs(one["moved"] or 0.0), one["key"]))
    rows = [
        [one["key"], *(_number(one[column]) for column in ("recorded", "now", "moved"))]
        for one in moved[:_MOST_METRICS]
    ]
    yield from _table(["metric", "recorded", "now", "moved"], rows, n_left=1)
    if len(moved) > _MOST_METRICS:
        yield f"({len(moved) - _MOST_METRICS} more moved less; --json gives all)"


def _sentence(predictions: Mapping[str, Any]) -> str:
    n_rows, n_different = predictions["n_rows"], predictions["n_different"]
    if not n_different:
        return f"Predictions: all {n_rows:,} are the same"
    most = predictions["largest_difference"]
    if most is None:
        return f"Predictions: of other rows than the {n_rows:,} recorded, or of another kind"
    return f"Predictions: {n_different:,} of {n_rows:,} differ, by {most:.6g} at most"


def _data(found: Mapping[str, Any]) -> str:
    name, mark, version = found["data_version"].rpartition("@")
    return safe(f"{name}{mark}{version[:_ID_LETTERS]}")


def _warnings(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"Warning: {safe(warning, 0)}" for warning in found["warnings"])


def _told(value: Any) -> str:
    """Return a value of a recipe or record; a text stands as it is, and None is absence."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, n_left: int = 3
) -> Iterator[str]:
    """Yield a table; the first ``n_left`` columns are texts, the rest numbers."""
    if not rows:
        return
    texts = [[safe(cell, _WIDEST) for cell in row] for row in (heads, *rows)]
    widths = [max(map(cells, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        line = (
            padded(text, width, is_right=place >= n_left)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(line)}".rstrip()
