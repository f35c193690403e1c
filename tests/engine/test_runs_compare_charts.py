"""What charts of runs draw: axes, places and Spearman's correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from local_stack.errors import InputError
from local_stack.runs.comparison.charts import Values, differing, parallel, scatter


def runs(**columns: list[object]) -> list[Values]:
    """Runs with a column each for params (text) and metrics (numbers)."""
    n = len(next(iter(columns.values())))
    return [
        Values(
            f"run{at}",
            {k: v[at] for k, v in columns.items() if isinstance(v[at], str)},  # type: ignore[misc]
            {k: v[at] for k, v in columns.items() if isinstance(v[at], float)},  # type: ignore[misc]
        )
        for at in range(n)
    ]


def test_points_stand_where_their_numbers_say() -> None:
    found = scatter(
        runs(depth=["2", "4", "6"], rmse=[1.0, 2.0, 5.0]), "params.depth", "metrics.rmse"
    )
    assert [point.places for point in found.points] == [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)]
    assert (found.x.low, found.x.high, found.x.is_log) == (2, 6, False)
    assert (found.x.direction, found.y.direction) == ("unknown", "lower")
    assert found.correlation == pytest.approx(1)
    assert found.points[1].texts == ("4", "2")


def test_a_wide_axis_of_positive_numbers_is_logarithmic() -> None:
    found = scatter(
        runs(lr=["0.001", "0.01", "0.1"], r2=[1.0, 0.5, 0.0]), "params.lr", "metrics.r2"
    )
    assert found.x.is_log
    assert [point.places[0] for point in found.points] == pytest.approx([0, 0.5, 1])
    assert not scatter(
        runs(x=["-1", "0", "900"], r2=[1.0, 2.0, 3.0]), "params.x", "metrics.r2"
    ).x.is_log


def test_texts_become_labels_in_the_order_of_people() -> None:
    found = parallel(runs(size=["10", "9", "auto", "9"], rmse=[1.0, 1.0, 2.0, math.nan]))
    size, rmse = found.axes
    assert size.labels == ("9", "10", "auto")
    assert [line.places[0] for line in found.lines] == [0.5, 0.0, 1.0, 0.0]
    assert [line.places[1] for line in found.lines] == [0.0, 0.0, 1.0, None]
    assert (rmse.low, rmse.high) == (1, 2)


def test_axes_are_what_differs_and_those_without_room_are_counted() -> None:
    many = runs(a=["1", "2"], b=["x", "x"], c=["1", "3"], m=[1.0, 2.0], n=[1.0, 1.0])
    assert list(differing(many)) == ["params.a", "params.c", "metrics.m"]
    assert parallel(many, most=2).n_omitted == 1
    assert [axis.key for axis in parallel(many, ["metrics.n", "params.b"]).axes] == [
        "metrics.n",
        "params.b",
    ]
    assert parallel(many, ["metrics.n"]).lines[0].places == (0.5,)
    assert parallel([]).axes == ()


def test_the_correlation_is_scipys() -> None:
    generator = np.random.default_rng(4)
    for _ in range(50):
        x = np.round(generator.normal(size=30), 1)
        y = np.round(x + generator.normal(size=30), 1)
        drawn = runs(x=[str(v) for v in x], y=[float(v) for v in y])
        found = scatter(drawn, "params.x", "metrics.y").correlation
        assert found == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_runs_that_lack_a_value_are_named_and_none_at_all_is_told() -> None:
    given = [*runs(x=["1", "2"], y=[1.0, 2.0]), Values("bare", {}, {})]
    found = scatter(given, "params.x", "metrics.y")
    assert (len(found.points), found.left_out, found.correlation) == (2, ("bare",), None)
    with pytest.raises(InputError, match=r"No run has both params\.x and metrics\.no"):
        scatter(given, "params.x", "metrics.no")
    for key in ("x", "tags.x", "params.", ""):
        with pytest.raises(InputError, match="neither a param nor a metric"):
            scatter(given, key, "metrics.y")


def test_numbers_at_the_ends_of_what_a_float_holds_have_places() -> None:
    found = scatter(runs(x=["-1.7e308", "1.7e308"], y=[5e-324, 1e308]), "params.x", "metrics.y")
    for point in found.points:
        assert all(place is not None and 0 <= place <= 1 for place in point.places)
