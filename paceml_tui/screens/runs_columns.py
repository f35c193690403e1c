"""The columns of the list of runs: fixed ones, and those of params, metrics and tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from paceml_tui.render import Text, elapsed, glyph, join, moment, number, status, styled, value_text
from paceml_tui.screens.runs_filter import quoted
from paceml_tui.tasks import Row
from paceml_tui.widgets.table import Column

GROUPS = ("params", "metrics", "tags")
"""What a run has many of; each may give columns."""

SHOWN = {"params": 3, "metrics": 4, "tags": 0}
"""How many of each are shown while nobody has chosen."""

_FIRST = {"params": ("model", "estimator"), "metrics": (), "tags": ()}
_JUDGED_BY = ("rmse", "roc_auc", "log_loss", "accuracy", "r2", "mae")
_RANK = {"metrics": 3, "params": 8, "tags": 20}
_CHOSEN_RANK = 2
_FIRST_PARAM_RANK = 6
_DETAIL_RANK = 30
_ASKED = 50


def columns(rows: Sequence[Row], chosen: Mapping[str, Sequence[str]]) -> tuple[Column, ...]:
    """Return the columns for a page of runs; of a group without a choice the most frequent."""
    wanted = chosen.get("columns")
    kept = [it for it in FIXED if (it.title in wanted if wanted is not None else _says(it, rows))]
    metrics, params, tags = (
        _keyed_columns(group, shown_names(rows, group, chosen), is_chosen=group in chosen)
        for group in ("metrics", "params", "tags")
    )
    first = [it for it in kept if it.title in _FIRST_COLUMNS]
    rest = [it for it in kept if it.title not in _FIRST_COLUMNS]
    found = (*first, *metrics, *params, *rest, *tags)
    counted = Counter(it.title for it in found)
    return tuple(
        replace(it, title=f"{_group_of(it)}.{it.title}")
        if it.values and counted[it.title] > 1
        else it
        for it in found
    )


def field_of(column: Column) -> str:
    """Return a column as the search grammar names it, or '' where it has no name there."""
    if column.values:
        return quoted(_group_of(column), named(column.values[0]))
    return _FIELDS.get(column.title, "")


def _group_of(column: Column) -> str:
    return next(group for group in GROUPS if f"({group}, ?)" in column.order)


def _says(column: Column, rows: Sequence[Row]) -> bool:
    """Return whether a column that nobody asked for has anything to say of the first runs."""
    if column.rank < _DETAIL_RANK:
        return True
    return any(column.cell(row).plain.strip(" -") for row in rows[:_ASKED])


def shown_names(
    rows: Sequence[Row], group: str, chosen: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    """Return the keys of a group that have a column."""
    if group in chosen:
        return chosen[group]
    seen = Counter(name for row in rows for name in (row[group] or {}))
    first = _FIRST[group]
    ordered = sorted(seen, key=lambda it: (it not in first, _is_aside(it), -seen[it], _rank_of(it)))
    return ordered[: SHOWN[group]]


def _is_aside(name: str) -> bool:
    """Return whether a metric only stands beside another: of training rows, a spread."""
    return name.startswith(("train_", "baseline_", "uncalibrated_")) or name.endswith(
        ("_std", "_by_fold")
    )


def _rank_of(name: str) -> tuple[int, str]:
    """Return where a metric comes among those of as many runs: what models are judged by first."""
    core = name.removeprefix("cv_").removesuffix("_mean")
    return (_JUDGED_BY.index(core) if core in _JUDGED_BY else len(_JUDGED_BY)), name


def status_of(row: Row) -> Text:
    """Return the status of a run; one that could not be read whole says so."""
    if row["problem"]:
        return styled(f"{glyph('warning')} broken", "warning")
    if row["lifecycle"] == "deleted":
        return join(status("deleted"), styled(row["status"], "quiet", 12))
    return status(row["status"])


def name_text(row: Row) -> Text:
    """Return the name of a run; that of a nested one, or its number, stands behind a mark."""
    trial = (row["tags"] or {}).get("paceml.trial") if row["parent"] else None
    shown = styled(f"trial {trial}" if trial else row["name"] or row["run_id"])
    return join(styled(glyph("nested"), "quiet"), shown) if row["parent"] else shown


def datasets(found: Any) -> Text:
    """Return the data sets of a run, each with its version."""
    items = [item for item in found or [] if isinstance(item, Mapping)]
    named = [
        join(styled(item.get("name")), styled(str(item.get("digest") or "")[:12], "quiet"), gap="@")
        for item in items
    ]
    return join(*named, gap=", ") if named else value_text(None)


def pointer(name: str) -> str:
    """Return the JSON pointer (RFC 6901) of a key."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def named(pointed: str) -> str:
    """Return the key of a JSON pointer."""
    return pointed[1:].replace("~1", "/").replace("~0", "~")


def metric_value(value: Any) -> Text:
    """Return the value of a metric; the journal holds NaN and the infinities as text."""
    return styled(value, limit=14) if isinstance(value, str) else number(value)


def _keyed_columns(group: str, names: Sequence[str], *, is_chosen: bool) -> list[Column]:
    """Return a column for each key; those that were chosen are the last to go for want of room."""
    return [
        _keyed(group, name, _CHOSEN_RANK if is_chosen else _rank(group, at))
        for at, name in enumerate(names)
    ]


def _rank(group: str, at: int) -> int:
    """Return the rank of a key that nobody chose; the first param stands before the experiment."""
    return _FIRST_PARAM_RANK if group == "params" and not at else _RANK[group] + at


def _keyed(group: str, name: str, rank: int) -> Column:
    if group == "metrics":
        return Column(
            name,
            lambda row: metric_value((row["metrics"] or {}).get(name)),
            order="TRY_CAST(json_extract_string(metrics, ?) AS DOUBLE)",
            values=(pointer(name),),
            is_number=True,
            rank=rank,
            most=14,
        )
    return Column(
        name,
        lambda row: value_text((row[group] or {}).get(name)),
        order=f"json_extract_string({group}, ?)",
        values=(pointer(name),),
        rank=rank,
        most=16,
    )


def _tagged(name: str, limit: int) -> Callable[[Row], Text]:
    return lambda row: styled((row["tags"] or {}).get(name), "quiet", limit)


def _tags(row: Row) -> Text:
    own = {name: it for name, it in (row["tags"] or {}).items() if not name.startswith("mlflow.")}
    return join(*(styled(f"{name}={it}", "quiet", 24) for name, it in list(own.items())[:3]))


FIXED = (
    Column("run", name_text, order="name", is_wide=True, rank=0, most=36),
    Column(
        "experiment", lambda row: value_text(row["experiment"]), order="experiment", rank=7, most=18
    ),
    Column("status", status_of, order="status", rank=1),
    Column("started", lambda row: moment(row["started_at"]), order="started_at", rank=2),
    Column(
        "took", lambda row: elapsed(row["started_at"], row["ended_at"]), rank=_DETAIL_RANK, most=12
    ),
    Column("user", lambda row: styled(row["actor"]), order="actor", rank=_DETAIL_RANK + 1, most=12),
    Column("data", lambda row: datasets(row["datasets"]), rank=_DETAIL_RANK + 2, most=22),
    Column("source", _tagged("mlflow.source.name", 24), rank=_DETAIL_RANK + 3, most=20),
    Column("version", _tagged("mlflow.source.git.commit", 7), rank=_DETAIL_RANK + 4, most=7),
    Column("tags", _tags, rank=_DETAIL_RANK + 5, most=30),
)
_FIELDS = {
    "run": "attributes.run_name",
    "status": "attributes.status",
    "started": "attributes.start_time",
    "user": "attributes.user_id",
}
"""Title of a fixed column, and its name in the search grammar."""

_FIRST_COLUMNS = ("run", "experiment", "status")
