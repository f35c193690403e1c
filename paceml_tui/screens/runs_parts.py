"""What the lists of the view of a run are made of: their lines, columns and details."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.evaluations import Picture
from paceml_tui.plots import spark
from paceml_tui.render import (
    Block,
    fields,
    heading,
    join,
    moment,
    number,
    size,
    stack,
    status,
    styled,
    value_text,
)
from paceml_tui.screens.runs_columns import metric_value
from paceml_tui.studies import Study
from paceml_tui.tasks import Row
from paceml_tui.widgets.table import Column, LargestFirst

_MOST_PARAMS = 4


def metric_rows(run: Row, history: Mapping[str, list[tuple[int, float]]]) -> list[Row]:
    """Return a line for each metric: its value, how often it was logged, and its extremes."""
    rows = []
    for name, value in sorted((run["metrics"] or {}).items()):
        points = history.get(name, [])
        finite = [it for it in points if math.isfinite(it[1])]
        rows.append(
            {
                "name": name,
                "value": value,
                "points": [it for _, it in points],
                "least": min(finite, key=lambda it: it[1]) if finite else None,
                "most": max(finite, key=lambda it: it[1]) if finite else None,
            }
        )
    return rows


def text_rows(run: Row) -> list[Row]:
    """Return a line for each param and each tag."""
    found = [("param", run["params"] or {}), ("tag", run["tags"] or {})]
    return [
        {"group": group, "name": name, "value": value}
        for group, values in found
        for name, value in sorted(values.items())
    ]


def cost(run: Row) -> list[Block]:
    """Return what the run took of the machine, as far as it was recorded."""
    tags = run["tags"] or {}
    titles = {
        "paceml.seconds": "fit, s",
        "paceml.cpu_seconds": "processor, s",
        "paceml.peak_memory_bytes": "peak memory",
    }
    rows = [
        (title, size(int(tags[key])) if key.endswith("bytes") and tags[key].isdigit()
         else styled(tags[key], limit=20))
        for key, title in titles.items()
        if tags.get(key)
    ]  # fmt: skip
    return [styled(""), heading("Cost"), fields(rows)] if rows else []


def whole(row: Row) -> Block:
    """Return a param or a tag in full."""
    text = styled(row["value"], limit=0, is_block=True)
    return stack(heading(row["name"], styled(row["group"], "quiet")), styled(""), text)


def kin(row: Row) -> Block:
    """Return what a run that is nested, or that others are nested in, came to."""
    rows = [(name, metric_value(it)) for name, it in sorted((row["metrics"] or {}).items())]
    return stack(
        heading(row["title"], status(row["status"])),
        fields([("run", styled(row["run_id"])), ("started", moment(row["started_at"]))]),
        styled(""),
        fields(rows[:100]),
        join(styled("o", "accent"), styled("opens it", "quiet")),
    )


def picture_rows(pictures: Sequence[Picture]) -> list[Row]:
    """Return a line for each thing that is drawn."""
    return [{"name": it.name, "said": it.said, "draw": it.draw} for it in pictures]


def kin_columns(study: Study | None) -> tuple[Column, ...]:
    """Return the columns of the nested runs; trials show their value and what was tried."""
    if study is None:
        return KIN_COLUMNS
    value = Column(
        study.metric[:20], lambda row: number(row.get("value"), 5), is_number=True, rank=2
    )
    params = [
        Column(
            name[:20],
            lambda row, name=name: value_text((row.get("tried") or {}).get(name)),  # type: ignore[misc]
            is_number=True,
            rank=4 + place,
        )
        for place, name in enumerate(study.params[:_MOST_PARAMS])
    ]
    return (*KIN_COLUMNS[:3], value, *params)


def tried(rows: Sequence[Row], study: Study | None) -> list[Row]:
    """Return nested runs with what the study knows of them: number, value and params."""
    trials = {it["run_id"]: it for it in study.trials} if study else {}
    shown = []
    for row in rows:
        known = trials.get(row["run_id"])
        shown.append({**row, "title": row["name"] or row["run_id"]})
        if known is not None:
            shown[-1] |= {"value": known["value"], "tried": known["params"]}
    return shown


def _last(row: Row) -> float:
    value = row["value"]
    return value if isinstance(value, int | float) else math.inf


METRIC_COLUMNS = (
    Column("metric", lambda row: styled(row["name"], limit=60), is_wide=True, rank=0, most=40),
    Column("last", lambda row: metric_value(row["value"]), is_number=True, rank=1),
    Column(
        "least",
        lambda row: number(row["least"][1] if row["least"] else None),
        is_number=True,
        rank=3,
    ),
    Column(
        "most", lambda row: number(row["most"][1] if row["most"] else None), is_number=True, rank=4
    ),
    Column("values", lambda row: number(len(row["points"])), is_number=True, rank=5),
    Column("over steps", lambda row: spark(row["points"], 16), rank=2, most=16),
)
METRIC_ORDERS: Mapping[str, Any] = {
    "": lambda _: 0,
    "metric": lambda row: row["name"],
    "last": _last,
    "values": LargestFirst(lambda row: len(row["points"])),
}
TEXT_COLUMNS = (
    Column("kind", lambda row: styled(row["group"], "quiet"), rank=2),
    Column("name", lambda row: styled(row["name"], limit=60), rank=0, most=36),
    Column("value", lambda row: value_text(row["value"]), is_wide=True, rank=1, most=60),
)
TEXT_ORDERS: Mapping[str, Any] = {
    "": lambda _: 0,
    "name": lambda row: row["name"],
    "value": lambda row: str(row["value"]),
}
FILE_COLUMNS = (
    Column("file", lambda row: styled(row["name"], limit=120), is_wide=True, rank=0, most=60),
    Column("size", lambda row: size(row["bytes"]), is_number=True, rank=1),
)
FILE_ORDERS: Mapping[str, Any] = {
    "": lambda _: 0,
    "file": lambda row: row["name"],
    "size": LargestFirst(lambda row: row["bytes"] or 0),
}
PICTURE_COLUMNS = (
    Column("shown", lambda row: styled(row["name"], limit=30), is_wide=True, rank=0, most=24),
    Column("in short", lambda row: row["said"], rank=1, most=32),
)
PICTURE_ORDERS: Mapping[str, Any] = {"": lambda _: 0}
KIN_COLUMNS = (
    Column("kin", lambda row: styled(row["kin"], "quiet"), rank=1),
    Column("run", lambda row: styled(row["title"]), is_wide=True, rank=0, most=36),
    Column("status", lambda row: status(row["status"]), rank=2),
    Column("started", lambda row: moment(row["started_at"]), rank=3),
)


def kin_orders(study: Study | None) -> Mapping[str, Any]:
    """Return what the nested runs are sorted by; trials by their value, the best first."""
    places = {it["run_id"]: place for place, it in enumerate(study.ranked)} if study else {}
    found: dict[str, Any] = {"": lambda _: 0, "run": lambda row: row["title"]}
    if study is not None:
        found[study.metric[:20]] = lambda row: places.get(row["run_id"], len(places))
    return found
