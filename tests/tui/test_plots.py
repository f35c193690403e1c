"""Plots of text: every point lies where it belongs, and nothing is drawn that is not there."""

from __future__ import annotations

import math

import pytest

from paceml_tui.plots import (
    Canvas,
    Curve,
    curve_chart,
    legend,
    parallel_chart,
    scatter_chart,
    spark,
)


def dots(chart: list, width: int, height: int) -> set[tuple[int, int]]:  # type: ignore[type-arg]
    """Return the dots of a chart's field, from the left and from the bottom."""
    found = set()
    bits = ((0, 0x01), (0, 0x02), (0, 0x04), (1, 0x08), (1, 0x10), (1, 0x20), (0, 0x40), (1, 0x80))
    rows = (0, 1, 2, 0, 1, 2, 3, 3)
    for row in range(height):
        field = chart[row].plain.split("│", 1)[1].ljust(width)
        for column, mark in enumerate(field):
            for (across, bit), down in zip(bits, rows, strict=True):
                if 0x2800 < ord(mark) < 0x2900 and ord(mark) - 0x2800 & bit:
                    found.add((column * 2 + across, height * 4 - 1 - (row * 4 + down)))
    return found


def test_a_line_goes_from_corner_to_corner() -> None:
    chart = curve_chart([Curve("a", ((0, 0.0), (1, 1.0)))], width=23, height=5)
    width = len(chart[0].plain.split("│", 1)[1])
    found = dots(chart, width, 5)
    across, down = width * 2 - 1, 5 * 4 - 1
    assert {(0, 0), (across, down)} <= found
    for x, y in found:
        assert abs(y - x * down / across) <= 0.51
    assert len({x for x, _ in found}) == width * 2  # without a gap
    assert chart[0].plain.startswith("1 │")
    assert chart[4].plain.startswith("0 │")
    assert chart[-1].plain.split() == ["0", "1"]


def test_a_peak_among_many_points_is_not_lost() -> None:
    values = [0.0] * 100_000
    values[61_234] = 1.0
    points = tuple((float(step), value) for step, value in enumerate(values))
    chart = curve_chart([Curve("a", points)], width=60, height=6)
    width = len(chart[0].plain.split("│", 1)[1])
    top = {x for x, y in dots(chart, width, 6) if y == 6 * 4 - 1}
    assert len(top) == 1
    assert abs(next(iter(top)) / (width * 2 - 1) - 0.61234) < 0.01


def test_what_is_not_finite_is_left_out() -> None:
    nan, inf = math.nan, math.inf
    curve = Curve("a", ((0, nan), (1, 2.0), (2, inf), (3, -inf), (4, 4.0)))
    assert curve_chart([curve])[0].plain.startswith("4 │")
    for empty in (Curve("a", ()), Curve("a", ((0, nan),))):
        assert curve_chart([empty])[0].plain == "No finite value to draw."
    assert scatter_chart([(nan, 1.0)])[0].plain == "No finite point to draw."
    negative = Curve("a", ((0, -1.0), (1, 10.0), (2, 1000.0)))
    log = curve_chart([negative], width=40, height=4, is_log=True)
    assert log[0].plain.startswith("1,000 │")
    assert log[3].plain.strip().startswith("10 │")


def test_a_single_value_lies_in_the_middle() -> None:
    chart = curve_chart([Curve("a", ((5, 3.0), (5, 3.0)))], width=30, height=5)
    width = len(chart[0].plain.split("│", 1)[1])
    ((x, y),) = dots(chart, width, 5)
    assert abs(x - width) <= 1
    assert abs(y - 10) <= 1


@pytest.mark.parametrize("width", [10, 40, 120])
def test_no_line_is_wider_than_asked(width: int) -> None:
    curve = Curve("a", tuple((n, n**2 * 0.001) for n in range(50)))
    for chart in (
        curve_chart([curve], width=width, height=5),
        scatter_chart(curve.points, width=width, height=5),
        parallel_chart(["a", "b" * 50, "c"], [[0, 0.5, 1], [1, None, 0]], width=width, height=5),
    ):
        assert max(len(line.plain) for line in chart) <= max(width, 18)


def test_parallel_lines_join_their_shares() -> None:
    chart = parallel_chart(["a", "b"], [[0.0, 1.0]], width=20, height=5)
    assert chart[0].plain.split() == ["a", "b"]
    rows = [line.plain for line in chart[1:]]
    assert rows[4][1] not in " \u28ff"  # at the bottom beside the left axis
    assert rows[0][-2] not in " "  # at the top beside the right one
    assert parallel_chart(["a"], [[0.0]], width=20)[0].plain == "Two axes or more are needed."


def test_plots_have_an_ascii_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACEML_ASCII", "1")
    curves = [Curve("a", ((0, 0.0), (9, 9.0))), Curve("b", ((0, 9.0), (9, 0.0)))]
    charts = [
        *curve_chart(curves, width=30, height=6),
        *scatter_chart([(0.0, 1.0), (1.0, 0.0)], width=30, height=6),
        *parallel_chart(["a", "b"], [[0.0, 1.0]], width=20, height=5),
        *legend(["a", "b"], 40),
        spark([1.0, 2.0, 3.0]),
    ]
    assert all(line.plain.isascii() for line in charts)
    assert any("*" in line.plain and "+" in line.plain for line in charts)


def test_a_spark_is_the_means_of_neighbours() -> None:
    assert spark([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8).plain == "▁▂▃▄▅▆▇█"
    assert spark([0, 0, 7, 7], 2).plain == "▁█"
    assert spark([math.nan]).plain == ""


def test_dots_outside_of_the_canvas_are_left_out() -> None:
    canvas = Canvas(2, 1)
    canvas.line(-5, -5, 50, 50, "accent")
    assert len(canvas.rows()) == 1
    assert len(canvas.rows()[0].plain) == 2


def test_loose_points_are_single_marks_where_there_are_no_dots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = Curve("best", ((0.0, 0.0), (9.0, 0.0)))
    monkeypatch.setenv("PACEML_ASCII", "1")
    rows = [it.plain for it in curve_chart([flat], width=40, height=6, dots=[(0, 5), (9, 2.5)])]
    drawn = [row.partition("|")[2] for row in rows[:6]]
    assert "".join(drawn).count("+") == 2
    assert drawn[0].startswith("+")
    assert rows[5].count("*") == 37  # the whole of the line, under which no point lies
