"""The parts of a comparison of runs: lines, their details, and plots in the room that there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.charts import figure
from paceml_tui.plots import Curve, curve_chart, parallel_chart, scatter_chart
from paceml_tui.render import (
    Block,
    Text,
    fit,
    glyph,
    grid,
    heading,
    join,
    lines,
    number,
    size,
    stack,
    styled,
)
from paceml_tui.screens.data_profile_parts import Lines, Part
from paceml_tui.tasks import Row
from paceml_tui.widgets.table import Column

if TYPE_CHECKING:
    from local_stack.runs.comparison.shape import RunComparison

Draw = Callable[[int, int], Sequence[Text]]
"""Given a width and a height in cells, the lines of a plot."""

_MOST_RUNS = 12
"""Runs that have a column; the detail shows them all."""

_TITLE, _NAME_WIDTH = 14, 24
"""Cells of a run's name over a column, and before a line."""


class Plot(VerticalScroll, inherit_bindings=False, can_focus=True):
    """A plot that is drawn anew for every size."""

    BINDINGS = keys.bindings("detail")

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Static(styled(""))


class ChartPart(Part):
    """A plot in all the room of the view."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="part")
        self._draw: Draw | None = None

    def compose(self) -> ComposeResult:
        """Lay out the plot."""
        yield Plot()

    def main(self) -> Widget:
        """Return the plot."""
        return self.query_one(Plot)

    def fill(self, draw: Draw) -> None:
        """Show another plot."""
        self._draw = draw
        self.redraw()

    def redraw(self) -> None:
        """Draw again."""
        if self._draw is not None and self.size.width:
            shown = lines(*self._draw(max(30, self.size.width - 4), max(8, self.size.height - 1)))
            self.query_one(Static).update(shown)

    def on_resize(self) -> None:
        """Draw in the room that there is now."""
        self.redraw()


# Lists.


def short_names(found: RunComparison, width: int) -> list[str]:
    """Return the name of each run in ``width`` cells, or of its id where that tells nothing."""
    from local_stack.runs.comparison import naming

    shown = [fit(styled(it.name), width).plain for it in found.runs]
    return naming.short_names(shown, [it.run_id for it in found.runs])


def _run_columns(
    found: RunComparison, cell: Callable[[Row, int], Text], **more: Any
) -> list[Column]:
    """Return a column for each of the first runs."""
    titles = short_names(found, _TITLE)

    def column(place: int) -> Column:
        run = found.runs[place]
        title = titles[place]
        is_base = run.run_id == found.baseline
        rank = 1 if is_base else 2 + place
        return Column(title, lambda row: cell(row, place), rank=rank, **more)

    return [column(place) for place in range(min(len(found.runs), _MOST_RUNS))]


def _lines(rows: list[Row], columns: Sequence[Column], describe: Callable[[Row], Block]) -> Lines:
    return Lines(
        tuple(rows),
        tuple(columns),
        {"": lambda _: 0, "name": lambda row: row["name"]},
        lambda row: f"{row['kind']} {row['name']}",
        describe,
        lambda row: str(row["name"]),
    )


_NAME = Column("name", lambda row: styled(row["name"], limit=60), is_wide=True, rank=0, most=32)
_KIND = Column("kind", lambda row: styled(row["kind"], "quiet"), rank=40, most=12)


def metric_lines(found: RunComparison, describe: Callable[[Row], Block]) -> Lines:
    """Return a line for each metric: its value in each run, and what can be said of it."""
    rows: list[Row] = [{"kind": "metric", "name": it.key, "it": it} for it in found.metrics]

    def value(row: Row, place: int) -> Text:
        it = row["it"]
        is_best = it.best == found.runs[place].run_id
        shown = number(it.values[place])
        return styled(shown.plain, "good") if is_best else shown

    columns = [_NAME, *_run_columns(found, value, is_number=True, most=12)]
    verdict = Column("verdict", lambda row: styled(row["it"].verdict, "quiet"), rank=3, most=44)
    better = Column("better", lambda row: _direction(row["it"].direction), rank=30)
    return _lines(rows, [*columns, better, verdict], describe)


def _direction(word: str) -> Text:
    shown = {"higher": ("up", "higher"), "lower": ("down", "lower")}.get(word)
    return join(styled(glyph(shown[0])), styled(shown[1])) if shown else styled("-", "quiet")


def metric_block(found: RunComparison, row: Mapping[str, Any], width: int, height: int) -> Block:
    """Return a metric in every run with its delta and interval, over its curves."""
    it = row["it"]
    names = short_names(found, _NAME_WIDTH)
    rows = []
    for place, run in enumerate(found.runs):
        interval, why = it.intervals[place], it.reasons[place]
        is_base = run.run_id == found.baseline
        between = (
            join(number(interval.low), styled("to"), number(interval.high))
            if interval
            else styled("baseline" if is_base else why, "quiet", 60)
        )
        delta = styled("") if is_base else _signed(it.deltas[place])
        tone = "good" if it.best == run.run_id else ""
        value = styled(number(it.values[place]).plain, tone)
        rows.append((styled(names[place]), value, delta, between))
    level = next((i for i in it.intervals if i is not None), None)
    title = f"{level.level:.0%} interval, {level.n_rows:,} rows" if level else ""
    curves = [Curve(curve.run_id, _points(curve)) for curve in found.curves if curve.key == it.key]
    if all(len({step for step, _ in curve.points}) < 2 for curve in curves):
        curves = []
    drawn = _with_tones(found, curves)
    chart = curve_chart(drawn, width=width, height=height) if curves else []
    note = styled("Logged at one step in each run, so there are no curves.", "quiet")
    return stack(
        heading(it.key, styled(it.verdict, "accent", 80)),
        grid(("run", "value", "delta", title), rows, (1, 2)),
        styled(""),
        *(chart or [note]),
        styled("steps", "quiet") if chart else None,
    )


def _points(curve: Any) -> tuple[tuple[float, float], ...]:
    return tuple(
        (float(step), value)
        for step, value in zip(curve.steps, curve.values, strict=True)
        if value is not None
    )


def _with_tones(found: RunComparison, curves: Sequence[Curve]) -> list[Curve]:
    """Return a curve for each run, empty where it has none, so that each keeps its tone."""
    known = {curve.name: curve for curve in curves}
    return [known.get(it.run_id, Curve(it.run_id, ())) for it in found.runs]


def _signed(value: float | None) -> Text:
    shown = number(value)
    return styled(f"+{shown.plain}") if value is not None and value > 0 else shown


def value_lines(found: RunComparison, part: str) -> Lines:
    """Return a line for each param and tag, or for what is told of data, code and environment."""
    if part == "params":
        groups: list[tuple[str, Sequence[Any]]] = [("param", found.params), ("tag", found.tags)]
        rows = [
            {"kind": kind, "name": it.key, "values": it.values}
            for kind, own in groups
            for it in own
        ]
    else:
        rows = [
            {"kind": "data", "name": it.name, "values": it.versions, "commands": it.commands}
            for it in found.datasets
        ]
        rows += [
            {"kind": "origin", "name": it.key, "values": it.values} for it in found.environment
        ]

    names = short_names(found, _NAME_WIDTH)

    def value(row: Row, place: int) -> Text:
        return _text(row["values"][place], 24)

    def describe(row: Row) -> Block:
        shown = [
            (styled(names[place]), _text(row["values"][place], 400))
            for place in range(len(found.runs))
        ]
        commands = [styled(it, "accent", 200) for it in row.get("commands") or ()]
        more = [styled(""), *commands, _key("v", "shows what differs")] if commands else []
        return stack(
            heading(row["name"], styled(row["kind"], "quiet")),
            grid(("", ""), shown),
            *more,
        )

    return _lines(rows, [_NAME, *_run_columns(found, value, most=20), _KIND], describe)


def _text(value: Any, limit: int) -> Text:
    return styled(glyph("none"), "quiet") if value is None else styled(value, limit=limit)


def _key(key: str, does: str) -> Text:
    return join(styled(key, "accent"), styled(does, "quiet"))


def file_lines(found: RunComparison) -> Lines:
    """Return a line for each artefact: its size in each run, and how it differs."""
    rows: list[Row] = [{"kind": "file", "name": it.path, "it": it} for it in found.artifacts]
    names = short_names(found, _NAME_WIDTH)

    def value(row: Row, place: int) -> Text:
        it = row["it"]
        return size(it.sizes[place]) if it.is_there[place] else styled(glyph("none"), "quiet")

    def describe(row: Row) -> Block:
        it = row["it"]
        shown = [
            (
                styled(names[place]),
                value(row, place),
                styled(str(it.hashes[place] or "")[:16], "quiet"),
            )
            for place in range(len(found.runs))
        ]
        return stack(
            heading(it.path, styled(it.difference, "accent")),
            grid(("", "size", "sha256"), shown, (1,)),
        )

    difference = Column("difference", lambda row: styled(row["it"].difference, "quiet"), rank=2)
    columns = [_NAME, *_run_columns(found, value, is_number=True, most=10), difference]
    return _lines(rows, columns, describe)


# Plots.


def axis_names(found: RunComparison) -> list[str]:
    """Return what may lie along an axis: the params and metrics in which the runs differ."""
    from local_stack.runs.comparison import charts

    return list(charts.differing(charts.values_of(found)))


def axes_of(found: RunComparison, chosen: tuple[str, str]) -> tuple[str, str]:
    """Return the axes: as chosen, otherwise the first param against the first metric."""
    names = axis_names(found)
    params = [it for it in names if it.startswith("params.")] or names
    metrics = [it for it in names if it.startswith("metrics.")] or names
    first = (params or [""])[0], (metrics or [""])[0]
    return chosen[0] or first[0], chosen[1] or first[1]


def scatter_lines(
    found: RunComparison, chosen: tuple[str, str], width: int, height: int
) -> list[Text]:
    """Return the runs as points of two axes."""
    from local_stack.runs.comparison import charts

    x, y = axes_of(found, chosen)
    if not x or not y:
        return [styled("The runs differ in no param and no metric.", "quiet")]
    title = join(_key("Y", y), _key("x", x), gap="   ")
    try:
        plot = charts.scatter(charts.values_of(found), x, y)
    except InputError as error:
        return [title, styled(""), styled(f"{error.message} {error.hint}", "warning", 200)]
    order = [it.run_id for it in found.runs]
    points = [(it.places[0] or 0.0, it.places[1] or 0.0) for it in plot.points]
    shown = scatter_chart(
        points,
        width=width,
        height=max(5, height - 6),
        numbers=[order.index(it.run_id) for it in plot.points],
        ends=_reached(plot.x, points, 0) + _reached(plot.y, points, 1),
    )
    told = [styled("log", "accent") if axis.is_log else styled("") for axis in (plot.x, plot.y)]
    if plot.correlation is not None:
        told.append(join(styled("Spearman", "quiet"), number(plot.correlation, 2)))
    if plot.left_out:
        told.append(styled(f"{len(plot.left_out)} lack a value", "warning"))
    return [title, styled(""), *shown, join(*told, gap="   ")]


def _reached(axis: Any, points: Sequence[tuple[float, float]], at: int) -> tuple[str, str]:
    """Return the values at the outermost points along an axis; one only where all are the same."""
    shares = [point[at] for point in points]
    low, high = (_at(axis, it) for it in (min(shares), max(shares)))
    return low, "" if low == high and at == 0 else high


def _at(axis: Any, share: float) -> str:
    """Return the value that stands at a share of an axis."""
    if axis.labels:
        return str(axis.labels[round(share * (len(axis.labels) - 1))])
    if axis.is_log:
        return figure(axis.low * (axis.high / axis.low) ** share, 4).plain
    return figure(axis.low + (axis.high - axis.low) * share, 4).plain


def parallel_lines(found: RunComparison, width: int, height: int) -> list[Text]:
    """Return the runs as lines through the params and metrics in which they differ."""
    from local_stack.runs.comparison import charts

    names = axis_names(found)
    if len(names) < 2:
        return [styled("The runs differ in fewer than two params and metrics.", "quiet")]
    plot = charts.parallel(charts.values_of(found), most=max(2, min(12, width // 12)))
    titles = [axis.key.partition(".")[2] for axis in plot.axes]
    shown = parallel_chart(
        titles, [it.places for it in plot.lines], width=width, height=max(5, height - 5)
    )
    ends = [
        (
            styled(axis.key, limit=40),
            *(_end(axis, is_high=is_high) for is_high in (False, True)),
        )
        for axis in plot.axes
    ]
    told = [join(a, b, styled(glyph("arrow"), "quiet"), c) for a, b, c in ends]
    left = f"{plot.n_omitted} more have no room" if plot.n_omitted else ""
    return [*shown, styled(""), *_wrapped(told, width), styled(left, "warning")]


def _end(axis: Any, *, is_high: bool) -> Text:
    if axis.labels:
        return styled(axis.labels[-1 if is_high else 0], "quiet", 16)
    return styled(number(axis.high if is_high else axis.low).plain, "quiet")


def _wrapped(told: Sequence[Text], width: int) -> list[Text]:
    shown: list[Text] = []
    line = styled("")
    for it in told:
        longer = join(line, it, gap="   ")
        if line.plain and len(longer.plain) > width:
            shown.append(line)
            longer = it
        line = longer
    return [*shown, line]


def target_of(path: str) -> dict[str, Any]:
    """Return the argument that writes to a file of this name."""
    for suffix, name in ((".csv", "csv"), (".parquet", "parquet")):
        if path.lower().endswith(suffix):
            return {name: path}
    raise InputError("A file is written as .csv or .parquet.", "Such as: runs.csv")
