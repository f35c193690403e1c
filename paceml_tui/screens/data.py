"""Data: data sets with their newest version; schema, warnings, lineage and profile of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    fields,
    glyph,
    grid,
    heading,
    histogram,
    join,
    moment,
    number,
    percent,
    size,
    stack,
    status,
    styled,
    value_text,
)
from paceml_tui.tasks import Pulse, Request, Row
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column

_MOST_VARIABLES = 200


class DataScreen(RecordsScreen):
    """What tables there are, and what is in them."""

    BINDINGS = keys.bindings("data")
    WORD = "data"
    NOUN = "data sets"
    SOURCE = """
        SELECT d.name, d.target, d.latest AS version, d.n_versions, d.sensitive, d.contract,
               v.number, v.n_rows, v.n_columns, v.columns, v.warnings, v.source, v.options,
               v.note, v.actor, v.rejects, coalesce(v.created_at, d.created_at) AS created_at,
               (SELECT string_agg(t.tag, ' ' ORDER BY t.tag) FROM data_tags t
                WHERE t.dataset = d.name AND t.version = d.latest) AS tags,
               (SELECT arg_max(c.passed, c.created_at) FROM checks c
                WHERE c.dataset = d.name AND c.version = d.latest) AS passed
        FROM datasets d LEFT JOIN data_versions v ON v.dataset = d.name AND v.version = d.latest
    """
    KEY = ("name",)
    SEARCH = ("name", "target", "version", "tags", "source", "note")
    SORTED_BY = "created"
    EMPTY = "No data set yet. Press n to add a CSV or Parquet file."

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns; the narrowest terminal keeps name, rows, columns and created."""
        return COLUMNS

    def name_of(self, row: Row) -> str:
        """Return NAME@VERSION."""
        return f"{row['name']}@{row['version']}" if row["version"] else str(row["name"])

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Profile the selected version; adding begins with nothing."""
        return {"name": self.name_of(row)} if row and command == "data.profile" else {}

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the rows of the selected version."""
        return Request("data.show", {"name": self.name_of(row)})

    def concerns(self, pulse: Pulse, before: Pulse | None) -> bool:
        """Read again after events, and when a job ends: it may have been a profile."""
        if super().concerns(pulse, before) or before is None:
            return True
        return len(pulse.running) != len(before.running)

    def detail(self, row: Row) -> Block:
        """Return schema, warnings, lineage and the newest profile of the newest version."""
        return stack(
            heading(row["name"], styled(row["version"], "quiet")),
            fields(_about(row)),
            *_warnings(row["warnings"] or []),
            *_lineage(self._runs_of(row)),
            *self._profile(row),
            styled(""),
            heading("Schema"),
            grid(("column", "type", "missing"), [_column(c) for c in row["columns"] or []]),
        )

    def _runs_of(self, row: Row) -> list[Row]:
        return self.desk.query(
            "SELECT run_id, name, status FROM runs WHERE list_contains("
            "json_extract_string(datasets, '$[*].name'), ?) ORDER BY started_at DESC LIMIT 8",
            row["name"],
        )

    def _profile(self, row: Row) -> list[Block]:
        from local_stack import jobs

        wanted = {row["name"], self.name_of(row)}
        for job in jobs.listed(self.desk.workspace):
            if job.command == "data.profile" and job.arguments.get("name") in wanted:
                if job.is_alive:
                    return [styled(""), heading("Profile"), status("running")]
                result = self.desk.job_result(job.job)
                if result is not None:
                    return profile_blocks(result)
        return [styled(""), heading("Profile"), styled("Press p to profile this version.", "quiet")]


def _about(row: Row) -> list[tuple[str, Text]]:
    shown = [
        ("rows", number(row["n_rows"])),
        ("columns", number(row["n_columns"])),
        ("target", value_text(row["target"])),
        ("tags", value_text(row["tags"])),
        ("check", _check(row)),
        ("source", value_text(row["source"])),
        ("versions", number(row["n_versions"])),
        ("added", join(moment(row["created_at"]), styled("by"), styled(row["actor"]))),
    ]
    if row["rejects"]:
        shown.append(("rejected", join(number(row["rejects"]), styled("rows"))))
    if row["note"]:
        shown.append(("note", value_text(row["note"])))
    return shown


def _check(row: Row) -> Text:
    if row["passed"] is None:
        return styled("none" if row["contract"] is None else "not run", "quiet")
    return status("passed" if row["passed"] else "failed")


def _warnings(warnings: Sequence[Any]) -> list[Block]:
    if not warnings:
        return []
    shown = [_warning(warning) for warning in warnings[:50]]
    return [styled(""), heading("Warnings", number(len(warnings))), *shown]


def _warning(warning: Any) -> Text:
    mark = styled(glyph("warning"), "warning")
    if not isinstance(warning, Mapping):
        return join(mark, styled(warning))
    return join(
        mark, styled(warning.get("column"), "strong", limit=40), styled(warning.get("message"))
    )


def _lineage(runs: Sequence[Row]) -> list[Block]:
    if not runs:
        return []
    shown = [
        (styled(run["run_id"], limit=12), status(run["status"]), styled(run["name"], limit=40))
        for run in runs
    ]
    return [styled(""), heading("Used by runs"), grid(("run", "status", "name"), shown)]


def _column(column: Any) -> tuple[Text, Text, Text]:
    if not isinstance(column, Mapping):
        return styled(column, limit=40), styled(""), styled("")
    missing = styled("allowed" if column.get("nullable") else "no", "quiet")
    return styled(column.get("name"), limit=40), styled(column.get("type"), "accent", 20), missing


def profile_blocks(result: Mapping[str, Any]) -> list[Block]:
    """Return a profile as ``data.profile`` reports it: overview, variables, alerts."""
    overview = result.get("overview") or {}
    rows = [_variable(name, it) for name, it in _variables(result)[:_MOST_VARIABLES]]
    return [
        styled(""),
        heading("Profile"),
        fields(
            [
                ("rows", number(overview.get("n_rows"))),
                ("missing", percent(overview.get("p_missing"))),
                ("duplicates", number(overview.get("n_duplicate_rows"))),
                ("memory", size(overview.get("memory_bytes"))),
            ]
        ),
        styled(""),
        grid(("variable", "distribution", "mean", "missing", "distinct"), rows, (2, 3, 4)),
        *_alerts(result.get("alerts") or []),
    ]


def _variables(result: Mapping[str, Any]) -> list[tuple[object, Mapping[str, Any]]]:
    """Return name and statistics of each variable, which come by name or as a list."""
    found = result.get("variables") or {}
    if isinstance(found, Mapping):
        return list(found.items())
    return [(it.get("name"), it) for it in found if isinstance(it, Mapping)]


def _variable(name: object, it: Mapping[str, Any]) -> tuple[Text, ...]:
    return (
        styled(name, limit=22),
        _distribution(it),
        number(it.get("mean")),
        percent(it.get("p_missing")),
        number(it.get("n_distinct")),
    )


def _distribution(it: Mapping[str, Any]) -> Text:
    shape = it.get("histogram")
    if isinstance(shape, Mapping) and shape.get("counts"):
        return histogram(shape["counts"], 20)
    top = it.get("top_values")
    first = top[0] if isinstance(top, list) and top else None
    if isinstance(first, Mapping):
        first = first.get("value")
    elif isinstance(first, list) and first:
        first = first[0]
    return styled(first, "quiet", limit=20)


def _alerts(alerts: Sequence[Any]) -> list[Block]:
    if not alerts:
        return [styled(""), heading("Alerts"), styled("None.", "quiet")]
    return [styled(""), heading("Alerts", number(len(alerts))), *map(_warning, alerts[:100])]


COLUMNS = (
    Column("name", lambda row: styled(row["name"]), order="name", is_wide=True, rank=0, most=40),
    Column("version", lambda row: styled(row["version"], "quiet", 12), rank=6, most=12),
    Column("rows", lambda row: number(row["n_rows"]), order="n_rows", is_number=True, rank=1),
    Column("cols", lambda row: number(row["n_columns"]), order="n_columns", is_number=True, rank=2),
    Column("target", lambda row: value_text(row["target"]), order="target", rank=4, most=16),
    Column("tags", lambda row: styled(row["tags"], "accent"), order="tags", rank=7, most=16),
    Column("check", _check, order="passed", rank=5),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=3),
)
