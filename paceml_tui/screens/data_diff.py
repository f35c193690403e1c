"""Two versions compared: schema, rows, cells and distributions, computed by a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult

from paceml_tui import keys
from paceml_tui.charts import cell_text, figure
from paceml_tui.render import (
    Block,
    Text,
    bar,
    fields,
    glyph,
    grid,
    heading,
    join,
    number,
    numbers,
    percent,
    safe,
    stack,
    styled,
    value_text,
)
from paceml_tui.tasks import Desk, Request
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.sheet import Sheet
from paceml_tui.widgets.working import ResultView

_MOST = 60
_MOST_CELLS = 20
_DRIFTED = 0.1


class DiffView(ResultView):
    """What changed from one version to another."""

    BINDINGS = keys.bindings("compare")
    SCOPES = ("compare", "detail")
    NOUN = "two versions"
    DOES = "Comparing two versions..."
    STOP: ClassVar[tuple[str, str]] = (
        "Cancel the comparison?",
        "It stops at its next step and leaves nothing half-written.",
    )

    def __init__(self, desk: Desk, before: str, after: str, keys_of: Sequence[str] = ()) -> None:
        super().__init__(desk)
        arguments: dict[str, Any] = {"before": before, "after": after}
        if keys_of:
            arguments["key"] = tuple(keys_of)
        self._before, self._after = before, after
        self._arguments = arguments

    @property
    def request(self) -> Request:
        """Return the command that compares the two."""
        return Request("data.diff", self._arguments)

    def heading(self) -> Text:
        """Return the title: from which version to which."""
        return join(
            styled("Diff", "heading"),
            styled(self._before, limit=40),
            styled(glyph("arrow"), "quiet"),
            styled(self._after, limit=40),
        )

    def body(self) -> ComposeResult:
        """Lay out the facts, and the examples beside or under them."""
        yield Sheet()

    def main(self) -> Sheet:
        """Return the facts and examples."""
        return self.query_one(Sheet)

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that compares the two."""
        return [("This comparison", self.request)]

    def on_mount(self) -> None:
        """Begin to compare."""
        self.fetch()

    def show(self) -> None:
        """Show what differs, or that nothing does."""
        if is_same(self._result):
            self.notice.say_empty("The two versions hold the same rows. Press esc to go back.")
            self.become("empty")
            return
        self.main().show(facts(self._result), examples(self._result))
        self.become("filled")
        self.call_after_refresh(self.main().focus)

    def action_copy(self) -> None:
        """Copy the names of the two versions."""
        self.app.post_message(Copied(safe(f"{self._before} {self._after}", 0)))


def is_same(result: Mapping[str, Any]) -> bool:
    """Return whether nothing differs at all."""
    rows, schema = result.get("rows") or {}, result.get("schema") or {}
    is_moved = any(schema.get(part) for part in ("added", "removed", "retyped"))
    return not is_moved and not any(rows.get(p) for p in ("added", "removed", "changed"))


def facts(result: Mapping[str, Any]) -> Block:
    """Return what differs in rows, schema and distributions."""
    rows = result.get("rows") or {}
    notes = [styled(note, "quiet", 300) for note in result.get("notes") or []]
    key = ", ".join(map(str, result.get("key") or []))
    return stack(
        heading("Rows"),
        fields(
            [
                ("added", _tally(rows.get("added"), "good")),
                ("removed", _tally(rows.get("removed"), "bad")),
                ("changed", _tally(rows.get("changed"), "warning")),
                ("unchanged", number(rows.get("unchanged"))),
                ("cells changed", _tally(result.get("cells_changed"), "warning")),
                ("matched by", styled(key or "whole rows, for there is no key")),
            ]
        ),
        *notes,
        *_schema(result.get("schema") or {}),
        *_distributions(result.get("columns") or []),
    )


def _tally(n: Any, tone: str) -> Text:
    if isinstance(n, int) and not isinstance(n, bool) and n > 0:
        return styled(f"{n:,}", tone)
    return number(n)


def _schema(schema: Mapping[str, Any]) -> list[Block]:
    rows = [("added", "good", it) for it in schema.get("added") or []]
    rows += [("removed", "bad", it) for it in schema.get("removed") or []]
    rows += [("retyped", "warning", it) for it in schema.get("retyped") or []]
    rows += [("renamed?", "warning", it) for it in schema.get("renamed") or []]
    if not rows:
        return [styled(""), heading("Schema"), styled("Unchanged.", "quiet")]
    shown = [(styled(word, tone), _column(it)) for word, tone, it in rows[:_MOST]]
    more = [_more(len(rows))] if len(rows) > _MOST else []
    return [styled(""), heading("Schema"), grid(("", "column"), shown), *more]


def _more(n: int) -> Text:
    return styled(f"and {n - _MOST:,} more", "quiet")


def _column(it: Any) -> Text:
    if not isinstance(it, Mapping):
        return styled(it, limit=60)
    return join(styled(it.get("column"), limit=40), _change(it.get("before"), it.get("after")))


def _change(before: Any, after: Any, limit: int = 40) -> Text:
    arrow = styled(glyph("arrow"), "quiet")
    return join(cell_text(before, limit), arrow, cell_text(after, limit))


def _distributions(columns: Sequence[Any]) -> list[Block]:
    found = [it for it in columns if isinstance(it, Mapping)]
    if not found:
        return []
    ordered = sorted(found, key=lambda it: -_score(it))[:_MOST]
    drifts = numbers([it.get("drift") for it in ordered])
    title = join(styled(f"{len(found):,} columns,"), styled("most moved first"))
    rows = [
        (
            styled(it.get("column"), limit=22),
            drift,
            bar(_score(it), 8, "warning" if _score(it) >= _DRIFTED else "accent"),
            number(it.get("n_changed")),
            _moved(it),
        )
        for it, drift in zip(ordered, drifts, strict=True)
    ]
    return [
        styled(""),
        heading("Distributions", title),
        grid(("column", "drift", "", "cells", "what moved"), rows, (1, 3)),
        *([_more(len(found))] if len(found) > _MOST else []),
    ]


def _score(it: Mapping[str, Any]) -> float:
    found = it.get("drift")
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else 0.0


def _moved(it: Mapping[str, Any]) -> Text:
    """Return the mean or the share that moved most, and missing values when they moved."""
    parts = [_missing(it)]
    before, after = it.get("before") or {}, it.get("after") or {}
    movers = it.get("movers") or []
    for fact in ("mean", "max"):
        if before.get(fact) != after.get(fact):
            parts.append(join(styled(fact, "quiet"), *_apart(before.get(fact), after.get(fact))))
            break
    else:
        if movers and isinstance(movers[0], Mapping) and _score(it) > 0:
            parts.append(_mover(movers[0]))
    return join(*parts, gap="  ")


def _apart(before: Any, after: Any) -> tuple[Text, Text, Text]:
    """Return two values with an arrow between, with as few digits as tell them apart."""
    alike = figure(before, 4).plain == figure(after, 4).plain
    digits = 8 if alike else 4
    return figure(before, digits), styled(glyph("arrow"), "quiet"), figure(after, digits)


def _missing(it: Mapping[str, Any]) -> Text:
    before, after = it.get("missing_before"), it.get("missing_after")
    if before == after:
        return styled("")
    return join(
        styled("missing", "quiet"), percent(before), styled(glyph("arrow"), "quiet"), percent(after)
    )


def _mover(it: Mapping[str, Any]) -> Text:
    sides = join(
        percent(it.get("before")), styled(glyph("arrow"), "quiet"), percent(it.get("after"))
    )
    return join(value_text(it.get("value"), 20), sides)


def examples(result: Mapping[str, Any]) -> Block:
    """Return the first rows and cells that differ, those of one kind together."""
    found = [it for it in result.get("examples") or [] if isinstance(it, Mapping)]
    if not found:
        return stack(heading("Examples"), styled("None.", "quiet"))
    blocks: list[Block] = []
    kinds = sorted({str(it.get("change")) for it in found}, key=lambda it: (it != "changed", it))
    for change in kinds:
        ours = [it for it in found if str(it.get("change")) == change]
        blocks.append(heading(f"Examples: {change}"))
        before = None
        for it in ours[:_MOST]:
            key = it.get("key") or {}
            if key and key != before:
                blocks.append(styled(_named(key), "strong"))
            before = key
            blocks += _example(it)
        blocks.append(styled(""))
    return stack(*blocks)


def _example(it: Mapping[str, Any]) -> list[Block]:
    """Return a changed cell in a line, or the values of a row that came or went."""
    if it.get("column") is not None:
        sides = _change(it.get("before"), it.get("after"))
        return [join(styled(f"  {safe(it['column'], 24)}", "quiet"), sides, gap="  ")]
    row = it.get("after") if it.get("before") is None else it.get("before")
    if not isinstance(row, Mapping):
        return [value_text(row)]
    shown = list(row.items())[:_MOST_CELLS]
    return [fields([(safe(name, 40), cell_text(value)) for name, value in shown]), styled("")]


def _named(key: Any) -> str:
    if isinstance(key, Mapping):
        return ", ".join(f"{name} {it}" for name, it in key.items())
    return str(key)
