"""A profile as a whole: overview, alerts, what is missing where, and pairs of columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.charts import density, figure, named, share, strip_chart, value_bars
from paceml_tui.render import (
    Block,
    Text,
    bar,
    count,
    fields,
    glyph,
    grid,
    heading,
    join,
    moment,
    number,
    seconds,
    size,
    stack,
    styled,
    value_text,
)
from paceml_tui.screens.data_profile_variable import (
    METHODS,
    code_of,
    row_of,
    section,
    variable_block,
)
from paceml_tui.tasks import Row
from paceml_tui.widgets.table import Column

_MOST_COLUMNS = 200
_MOST_PATTERNS = 20
_MOST_PAIRS = 12
_MOST_ROWS = 20
_FEWEST_CUT = 10  # an alert lists no more rows than these
_ETA = "Correlation ratio (eta)"

# The table as a whole.


def overview_blocks(result: Mapping[str, Any]) -> tuple[Block, Block]:
    """Return what the table is, and how the profile was made."""
    it = result.get("overview") or {}
    n_columns = it.get("n_columns") or 0
    types = sorted((it.get("types") or {}).items(), key=lambda pair: -pair[1])
    kinds = Counter(
        str(v.get("kind"))
        for v in (result.get("variables") or {}).values()
        if isinstance(v, Mapping)
    )
    left = stack(
        heading("Dataset statistics"),
        fields(
            [
                ("number of variables", number(n_columns)),
                ("number of observations", number(it.get("n_rows"))),
                ("missing cells", _of(it.get("n_missing"), it.get("p_missing"))),
                ("duplicate rows", _of(it.get("n_duplicate_rows"), it.get("p_duplicate_rows"))),
                ("total size in memory", size(it.get("memory_bytes"))),
                ("average record size", size(it.get("record_bytes"))),
                ("target", value_text(result.get("target"))),
            ]
        ),
        *section("Variable types", value_bars([(styled(t), n) for t, n in types], n_columns)),
        *section(
            "Kinds of variables",
            value_bars([(styled(k), n) for k, n in kinds.most_common()], n_columns),
        ),
    )
    return left, stack(*_alert_counts(result), *_reproduction(result))


def _of(n: Any, p: Any) -> Text:
    return join(number(n), styled(f"({share(p).plain})", "quiet"))


def _alert_counts(result: Mapping[str, Any]) -> list[Block]:
    alerts = result.get("alerts") or []
    title = heading("Alerts", join(number(len(alerts)), changes_text(result), gap="  "))
    if not alerts:
        return [title, styled("Nothing passed its threshold.", "quiet")]
    counted = Counter(str(it.get("code")) for it in alerts)
    rows = [(code_of({"code": code}), number(n)) for code, n in counted.items()]
    return [title, grid(("", ""), rows, (1,))]


def changes_text(result: Mapping[str, Any], *, is_short: bool = False) -> Text:
    """Return how the alerts differ from those of the version before, in a few words."""
    found = result.get("changes") or {}
    if not found.get("previous"):
        return styled("")
    n_new, n_gone = len(found.get("new") or []), len(found.get("resolved") or [])
    tone = "warning" if n_new else "quiet"
    since = styled("" if is_short else f"since {found['previous']}", "quiet", 60)
    return join(styled(f"{n_new:,} new, {n_gone:,} resolved", tone), since)


def _reproduction(result: Mapping[str, Any]) -> list[Block]:
    it = result.get("reproduction") or {}
    used, total = it.get("n_rows_used"), it.get("n_rows_total")
    rows = join(number(used), styled("of", "quiet"), number(total))
    software = ", ".join(f"{name} {v}" for name, v in (it.get("software") or {}).items())
    shown = [
        ("version", styled(f"{it.get('dataset')}@{it.get('version')}", limit=60)),
        ("rows used", join(rows, styled("a sample", "warning")) if it.get("is_sample") else rows),
        ("started", moment(it.get("started_at"))),
        ("took", seconds(it.get("seconds"))),
        ("software", styled(software)),
        ("command", styled(it.get("command"), "accent", 0)),
    ]
    limits = [
        (name.replace("_", " "), figure(v)) for name, v in (result.get("thresholds") or {}).items()
    ]
    half = (len(limits) + 1) // 2
    pairs = [
        (styled(a, "quiet"), b, styled(c, "quiet"), d)
        for (a, b), (c, d) in zip(limits[:half], [*limits[half:], ("", styled(""))], strict=False)
    ]
    return [
        *section("Reproduction", fields(shown)),
        *section("Thresholds of the alerts", grid(("", "", "", ""), pairs, (1, 3))),
    ]


# Alerts.


def alert_rows(result: Mapping[str, Any]) -> list[Row]:
    """Return a line for each alert, most important first, and those that were resolved."""
    changes = result.get("changes") or {}
    new = {_key(it) for it in changes.get("new") or []}
    now = [{**it, "state": "new" if _key(it) in new else ""} for it in result.get("alerts") or []]
    gone = [{**it, "state": "resolved"} for it in changes.get("resolved") or []]
    return [{**it, "place": place} for place, it in enumerate([*now, *gone])]


def _key(alert: Mapping[str, Any]) -> tuple[Any, ...]:
    names = (alert.get("code"), alert.get("column"), alert.get("other_column"))
    return (*names, *(alert.get("columns") or []))


def alert_block(result: Mapping[str, Any], row: Row) -> Block:
    """Return an alert with the values and rows behind it, and the variable that it is of."""
    subject = join(
        *(styled(name, "strong", 40) for name in columns_of(row)[:4]), gap=f" {glyph('times')} "
    )
    facts = [("value", figure(row.get("value"))), ("threshold", figure(row.get("threshold")))]
    if row.get("method"):
        facts.append(("method", styled(METHODS.get(str(row["method"]), row["method"]))))
    values = named(row.get("values") or [])
    n_rows = (result.get("overview") or {}).get("n_rows") or 0
    rows = row.get("rows") or []
    listed = ", ".join(f"{it:,}" for it in rows[:_MOST_ROWS])
    some = "Some of them. " if len(rows) >= _FEWEST_CUT else ""
    hint = styled(f"{some}Press o to see them among the others.", "quiet")
    variable = row.get("column")
    is_known = variable in (result.get("variables") or {})
    state = styled(row["state"], "accent")
    return stack(
        join(code_of(row), subject, state, gap="  "),
        styled(""),
        styled(row.get("message"), limit=1000),
        styled(""),
        fields(facts),
        *(section("Values behind it", value_bars(values[:15], n_rows, width=14)) if values else []),
        *(section("Rows behind it", styled(listed, limit=0), hint) if rows else []),
        *([styled(""), *_pair(result, row)] if row.get("other_column") else []),
        *([styled(""), variable_block(result, str(variable))] if is_known else []),
    )


def columns_of(row: Mapping[str, Any]) -> list[str]:
    """Return every column that an alert is of."""
    listed = [row.get("column"), row.get("other_column"), *(row.get("columns") or [])]
    return list(dict.fromkeys(str(it) for it in listed if it is not None))


def _pair(result: Mapping[str, Any], row: Row) -> list[Block]:
    return [pair_block(result, str(row.get("column")), str(row["other_column"]))]


def _state(row: Row) -> Text:
    tones = {"new": "accent", "resolved": "quiet"}
    return styled(row["state"], tones.get(row["state"], ""))


def _alert(row: Row) -> Text:
    mark = styled(glyph("warning" if row["state"] != "resolved" else "idle"), "warning")
    return join(mark, code_of(row))


ALERT_COLUMNS = (
    Column("alert", _alert, rank=0, most=28),
    Column(
        "column",
        lambda row: styled(f" {glyph('times')} ".join(columns_of(row)), limit=60),
        rank=1,
        most=24,
    ),
    Column("says", lambda row: styled(row.get("message"), "quiet"), is_wide=True, rank=3, most=200),
    Column("change", _state, rank=2, most=8),
)


def alert_columns(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of the alerts: what changed when there is a version before."""
    has_previous = bool((result.get("changes") or {}).get("previous"))
    return ALERT_COLUMNS if has_previous else ALERT_COLUMNS[:-1]


ALERT_ORDERS = {
    "": lambda row: row["place"],
    "alert": lambda row: str(row.get("code")),
    "column": lambda row: str(row.get("column")).lower(),
    "change": lambda row: (row["state"] == "", row["state"]),
}


# Pairs.


def pair_block(result: Mapping[str, Any], first: str, second: str) -> Block:
    """Return how two columns go together: by each method, and how their rows lie."""
    title = join(
        styled(first, "strong", 40), styled(second, "strong", 40), gap=f" {glyph('times')} "
    )
    if first == second:
        return stack(title, styled("Every column goes with itself.", "quiet"))
    facts = [
        (
            name,
            bar(abs(value), 16, "accent" if value >= 0 else "warning"),
            styled(f"{value:.3f}"),
        )
        for method, name in METHODS.items()
        if (value := dict(row_of(matrix_of(result, method), first)).get(second)) is not None
    ]
    others = {name for name, _, _ in facts} - {METHODS["mixed"], METHODS["nullity"]}
    rows = [
        (styled(_ETA if name == METHODS["mixed"] else name, "quiet"), shown, value)
        for name, shown, value in facts
        if name != METHODS["mixed"] or not others  # which say the same
    ]
    lying = _lying(result, first, second)
    variables = result.get("variables") or {}
    are_numbers = all("mean" in (variables.get(name) or {}) for name in (first, second))
    none = (
        "There are many pairs: how the rows of this one lie was not kept."
        if are_numbers
        else "How rows lie is kept for pairs of numbers alone."
    )
    return stack(
        title,
        styled(""),
        grid(("", "", ""), rows, (2,)),
        styled(""),
        *(lying or [styled(none, "quiet")]),
    )


def matrix_of(result: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """Return the matrix of a method, an empty one when it was not asked for."""
    if method == "nullity":
        found = (result.get("missing") or {}).get("nullity")
    else:
        found = (result.get("correlations") or {}).get(method)
    return found if isinstance(found, Mapping) else {}


def _lying(result: Mapping[str, Any], first: str, second: str) -> list[Block]:
    for it in result.get("interactions") or []:
        if {it.get("x"), it.get("y")} == {first, second}:
            up, across = styled(it["y"], "quiet", 30), styled(it["x"], "quiet", 30)
            title = join(up, styled("upwards,", "quiet"), across, styled("across", "quiet"))
            lines = density(it["counts"], it["x_edges"], it["y_edges"])
            used = it.get("n_rows")
            note = [styled(f"over {used:,} rows", "quiet")] if isinstance(used, int) else []
            return [title, *lines, *note]
    return []


# Missing values.


def missing_block(result: Mapping[str, Any], width: int) -> Block:
    """Return how much is missing where, what is missing together, and in which patterns."""
    it = result.get("missing") or {}
    overview = result.get("overview") or {}
    n_rows = overview.get("n_rows") or 0
    variables = result.get("variables") or {}
    lacking = sorted(
        ((v.get("n_missing") or 0, name) for name, v in variables.items() if v.get("n_missing")),
        key=lambda pair: -pair[0],
    )
    if not lacking:
        return stack(heading("Missing values"), styled("Every row holds every value.", "quiet"))
    n_whole = len(variables) - len(lacking)
    whole = [count(n_whole, "column"), styled("without a hole", "quiet")] if n_whole else []
    complete = it.get("n_complete_rows")
    facts = [
        ("missing cells", _of(overview.get("n_missing"), overview.get("p_missing"))),
        ("complete rows", _of(complete, (complete or 0) / n_rows if n_rows else 0.0)),
        (
            "columns with holes",
            join(number(len(lacking)), styled("of", "quiet"), number(len(variables))),
        ),
    ]
    return stack(
        heading("Missing values"),
        fields(facts),
        *section("Where in the rows, first to last", _matrix(it, lacking, n_rows, width)),
        join(*whole) if whole else None,
        *_together(it),
        *_patterns(it, n_rows),
    )


def _matrix(
    it: Mapping[str, Any], lacking: Sequence[tuple[int, str]], n_rows: int, width: int
) -> Block:
    places = {name: place for place, name in enumerate(it.get("columns") or [])}
    blocks = it.get("matrix") or []
    rows = []
    for n, name in lacking[:_MOST_COLUMNS]:
        at = places.get(name)
        shares = [block[at] for block in blocks] if at is not None else []
        shown = strip_chart(shares, width)
        rows.append(
            (styled(name, limit=20), number(n), share(n / n_rows if n_rows else 0.0), shown)
        )
    return grid(("column", "missing", "", "each mark is a block of rows"), rows, (1, 2))


def _together(it: Mapping[str, Any]) -> list[Block]:
    """Return the pairs of columns whose holes go together, or keep apart."""
    matrix = it.get("nullity") or {}
    names = matrix.get("columns") or []
    pairs = [
        (value, a, b)
        for place, a in enumerate(names)
        for b, value in row_of(matrix, a)
        if b in names[:place]
    ]
    pairs.sort(key=lambda pair: -abs(pair[0]))
    if not pairs:
        return []
    rows = [
        (styled(a, limit=22), styled(b, limit=22), bar(abs(value), 14), number(value, 3))
        for value, a, b in pairs[:_MOST_PAIRS]
    ]
    hint = styled("All of them: Correlations, m.", "quiet")
    return section("Holes that go together", grid(("", "", "", ""), rows, (3,)), hint)


def _patterns(it: Mapping[str, Any], n_rows: int) -> list[Block]:
    rows = []
    for pattern in (it.get("patterns") or [])[:_MOST_PATTERNS]:
        n, names = pattern.get("count") or 0, pattern.get("columns") or []
        shown = (
            styled(", ".join(map(str, names)), limit=400) if names else styled("nothing", "quiet")
        )
        rows.append((number(n), share(n / n_rows if n_rows else 0.0), shown))
    return section("Patterns", grid(("rows", "", "miss together"), rows, (0, 1))) if rows else []
