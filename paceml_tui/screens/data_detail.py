"""Everything about one version: lineage, what its import decided, rejects, schema, profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.render import (
    Block,
    Text,
    count,
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
from paceml_tui.tasks import Desk, Request, Row, attempt

_MOST_VARIABLES = 200
_MOST_WARNINGS = 50
_FIRST_REJECTS = 8
_MOST_FILES = 20
_ABOVE = ("source", "actor")
_SHAPE = 16
"""Cells of a distribution: as wide as leaves the figures beside it whole."""
_FACTS = ("etag", "modified_at")


def block(desk: Desk, row: Row, name: str) -> Block:
    """Return all of it for a row of the list; reads the workspace, so call it in a thread."""
    return stack(
        heading(row["name"], styled(row["version"], "quiet")),
        fields(_about(row)),
        *warnings(row["warnings"] or []),
        *_rejects(desk, row, name),
        *_profile(desk, row, name),
        *_lineage(row),
        *_runs(desk, row),
        *_decisions(row["decisions"] or {}),
        styled(""),
        heading("Schema"),
        grid(("column", "type", "missing"), [_column(c) for c in row["columns"] or []]),
    )


def _about(row: Row) -> list[tuple[str, Text]]:
    shown = [
        ("rows", number(row["n_rows"])),
        ("columns", number(row["n_columns"])),
        ("target", value_text(row["target"])),
        ("key", value_text(", ".join(map(str, row["keys"] or [])) or None)),
        ("tags", value_text(row["tags"])),
        ("check", _check(row)),
        ("source", value_text(row["source"])),
        ("version", join(number(row["number"]), styled("of"), number(row["n_versions"]))),
        ("added", join(moment(row["created_at"]), styled("by"), styled(row["actor"]))),
    ]
    if row["rejects"]:
        shown.append(("rejected", count(row["rejects"], "line or cell", "lines and cells")))
    if row["note"]:
        shown.append(("note", value_text(row["note"])))
    return [(label, text) for label, text in shown if label != "key" or row["keys"]]


def _check(row: Row) -> Text:
    if row["passed"] is None:
        return styled("no contract" if row["contract"] is None else "not run", "quiet")
    by = styled(f"by contract {row['checked']}", "quiet")
    return join(status("passed" if row["passed"] else "failed"), by)


def warnings(found: Sequence[Any]) -> list[Block]:
    """Return the warnings of an import, or alerts of a profile, under their title."""
    if not found:
        return []
    shown = [warning(it) for it in found[:_MOST_WARNINGS]]
    return [styled(""), heading("Warnings", number(len(found))), *shown]


def warning(it: Any) -> Text:
    """Return one warning in a line: its column, and what it says."""
    mark = styled(glyph("warning"), "warning")
    if not isinstance(it, Mapping):
        return join(mark, styled(it))
    return join(mark, styled(it.get("column"), "strong", limit=40), styled(it.get("message")))


def _lineage(row: Row) -> list[Block]:
    """Return where the bytes came from: command, file or files with etag, and their hash."""
    found = dict(row["lineage"] or {})
    original = found.pop("original", None) or row["original"]
    files = [it for it in found.pop("files", None) or [] if isinstance(it, Mapping)]
    shown = [
        (label, value_text(it))
        for label, it in found.items()
        if label not in _ABOVE and it not in (None, "", {}, [])
    ]
    if len(files) == 1:
        shown += [(label, _fact(label, files[0][label])) for label in _FACTS if files[0].get(label)]
    shown += [("file", _file(it)) for it in files[:_MOST_FILES] if len(files) > 1]
    if len(files) > _MOST_FILES:
        shown.append(("", styled(f"and {len(files) - _MOST_FILES:,} more files", "quiet")))
    if isinstance(original, Mapping) and original.get("sha256"):
        shown.append(("bytes", size(original.get("size"))))
        shown.append(("sha256", styled(original["sha256"], "quiet")))
    return [styled(""), heading("Lineage"), fields(shown)] if shown else []


def _fact(label: str, fact: Any) -> Text:
    return moment(fact) if label == "modified_at" else value_text(fact)


def _file(it: Mapping[str, Any]) -> Text:
    modified = (
        join(styled("of", "quiet"), moment(it["modified_at"])) if it.get("modified_at") else ""
    )
    return join(
        styled(it.get("uri") or it.get("name")),
        size(it.get("size")),
        modified,
        styled(it.get("etag"), "quiet", 40),
        styled(it.get("sha256") or it.get("md5"), "quiet", 16),
    )


def _decisions(found: Any) -> list[Block]:
    """Return what the import decided of the file and of each column, with the reasons."""
    if not isinstance(found, Mapping):
        return []
    of_file = [it for it in found.get("file") or [] if isinstance(it, Mapping)]
    of_columns = [it for it in found.get("columns") or [] if isinstance(it, Mapping)]
    rows = [
        (
            styled(it.get("what"), limit=16),
            value_text(it.get("value"), 24),
            styled(it.get("reason"), "quiet"),
        )
        for it in of_file
    ]
    rows += [
        (
            styled(it.get("name"), limit=24),
            styled(it.get("type"), "accent", 12),
            styled(it.get("reason"), "quiet"),
        )
        for it in of_columns
    ]
    if not rows:
        return []
    return [styled(""), heading("What the import decided"), grid(("", "", "why"), rows)]


def _rejects(desk: Desk, row: Row, name: str) -> list[Block]:
    """Return the first lines and cells that could not be read."""
    if not row["rejects"]:
        return []
    asked = Request("data.rejects", {"name": name, "limit": _FIRST_REJECTS})
    found = attempt(lambda: desk.perform(asked)[1])
    title = [styled(""), heading("Rejects", number(row["rejects"]))]
    if found.error is not None:
        return [*title, styled(found.error.message, "bad")]
    result = found.value.to_dict() if found.value is not None else {}
    listed = result.get("rejects") or []
    return [*title, rejects_grid(listed) if listed else styled("The list was not kept.", "quiet")]


def rejects_grid(found: Sequence[Any]) -> Block:
    """Return rejects as lines of their number, column, code and sentence."""
    rows = [reject_cells(it) for it in found if isinstance(it, Mapping)]
    return grid(("line", "column", "what became", "why"), rows, (0,))


def reject_cells(it: Mapping[str, Any]) -> tuple[Text, Text, Text, Text]:
    """Return one reject: line number, column, outcome, and the sentence with its text."""
    outcome = str(it.get("outcome") or "")
    tone = "quiet" if outcome == "repaired" else "warning"
    text = styled(it.get("text"), "quiet", 60) if it.get("text") else styled("")
    return (
        number(it.get("line")),
        styled(it.get("column"), limit=20),
        styled(outcome.replace("_", " "), tone, 12),
        join(styled(it.get("message"), limit=160), text),
    )


def _runs(desk: Desk, row: Row) -> list[Block]:
    """Return the runs that were made with this version."""
    runs = desk.query(
        "SELECT run_id, name, status FROM runs "
        "WHERE list_contains(json_extract_string(datasets, '$[*].name'), ?) "
        "AND list_contains(json_extract_string(datasets, '$[*].digest'), ?) "
        "ORDER BY started_at DESC LIMIT 8",
        row["name"],
        row["version"],
    )
    if not runs:
        return []
    shown = [
        (styled(run["run_id"], limit=12), status(run["status"]), styled(run["name"], limit=40))
        for run in runs
    ]
    return [styled(""), heading("Used by runs"), grid(("run", "status", "name"), shown)]


def _profile(desk: Desk, row: Row, name: str) -> list[Block]:
    """Return the stored profile in short, else that of the newest job, or that one is at work."""
    from local_stack import jobs
    from local_stack.data import profiles, versions

    found = attempt(
        lambda: profiles.stored(desk.workspace, versions.find(desk.workspace, name))
    ).value
    if found is not None:
        return profile_blocks(found)
    wanted = {name, row["name"]} if row["version"] == row["latest"] else {name}
    for job in jobs.listed(desk.workspace):
        if job.command == "data.profile" and job.arguments.get("name") in wanted:
            if job.is_alive:
                return [styled(""), heading("Profile"), status("running")]
            result = desk.job_result(job.job)
            if result is not None:
                return profile_blocks(result)
    return [styled(""), heading("Profile"), styled("Press p to profile this version.", "quiet")]


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
        styled(name, limit=20),
        _distribution(it),
        number(it.get("mean")),
        percent(it.get("p_missing")),
        number(it.get("n_distinct")),
    )


def _distribution(it: Mapping[str, Any]) -> Text:
    shape = it.get("histogram")
    if isinstance(shape, Mapping) and shape.get("counts"):
        return histogram(shape["counts"], _SHAPE)
    top = it.get("top_values")
    first = top[0] if isinstance(top, list) and top else None
    if isinstance(first, Mapping):
        first = first.get("value")
    elif isinstance(first, list) and first:
        first = first[0]
    return styled(first, "quiet", limit=_SHAPE)


def _alerts(alerts: Sequence[Any]) -> list[Block]:
    if not alerts:
        return [styled(""), heading("Alerts"), styled("None.", "quiet")]
    return [styled(""), heading("Alerts", number(len(alerts))), *map(warning, alerts[:100])]
