"""What the page of a profile draws, and what it tells of how it was made."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest

from local_stack.data.profiling import page
from local_stack.data.profiling.page_charts import SCATTER, large_histogram, scatter
from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import DatasetProfile, Histogram, Points


def pairs_of_numbers(n: int, columns: int) -> DatasetProfile:
    generator = np.random.default_rng(n)
    frame = {f"x{i}": generator.normal(size=n) for i in range(columns)}
    return profile_frame(pl.DataFrame(frame))


def places(drawing: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h0", drawing)]


def test_each_row_that_holds_both_is_a_point_where_it_belongs() -> None:
    x, y = (0.0, 10.0, None, 5.0, 5.0), (1.0, 3.0, 2.0, 2.0, None)
    drawn = places(scatter("x", "y", Points(("x", "y"), (0, 1, 2, 3, 4), (x, y))))
    middle = SCATTER // 2
    assert drawn == [(4, SCATTER - 4), (SCATTER - 4, 4), (middle, middle)]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((None, None), (1.0, 2.0)),
        ((3.0, 3.0), (1.0, 2.0)),
        ((-1.7e308, 1.7e308), (5e-324, 0.0)),
        ((2**60, 2**60 + 1), (1, 2)),
    ],
)
def test_points_of_odd_numbers_lie_within_their_frame(
    x: tuple[float | None, ...], y: tuple[float | None, ...]
) -> None:
    for a, b in places(scatter("x", "y", Points(("x", "y"), (0, 1), (x, y)))):
        assert 0 <= a <= SCATTER
        assert 0 <= b <= SCATTER


def test_points_say_how_many_of_the_rows_they_are() -> None:
    content = page.render(pairs_of_numbers(5_000, 3))
    assert "Each point is a row. Shown are 300 random rows of 5,000." in content
    assert content.count(' class="grid dots"') == 3
    assert "Each point is one of the 40 rows." in page.render(pairs_of_numbers(40, 2))


def test_points_of_many_columns_stay_small() -> None:
    found = pairs_of_numbers(1_000, 16)
    without = page.render(replace(found, points=Points()))
    assert "random rows" not in without
    assert len(page.render(found)) - len(without) < 400_000


def test_the_configuration_can_be_read_and_saved() -> None:
    found = pairs_of_numbers(30, 2)
    made = {"dataset": "a</pre><script>alert(1)</script>", "is_sample": False}
    content = page.render(replace(found, reproduction=made, target="x1"))
    address = re.search(r'href="data:application/json;base64,([^"]+)"', content)
    assert address is not None
    held = json.loads(base64.b64decode(address[1]))
    assert held == {
        "reproduction": made,
        "target": "x1",
        "thresholds": asdict(found.thresholds),
    }
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", content, re.DOTALL)
    assert shown is not None
    assert "\n" in shown[1]
    assert "<" not in shown[1]


def test_bins_of_one_whole_number_are_named_by_it() -> None:
    drawn = large_histogram(Histogram((1.0, 2.0, 3.0, 4.0), (5, 0, 15), is_whole=True), "a")
    assert "1: 5 rows (25.0%)" in drawn
    assert '<div class="axis each"><span>1</span><span>2</span><span>3</span></div>' in drawn
    wide = large_histogram(Histogram((4.0, 11.0, 18.0), (5, 15), is_whole=True), "a")
    assert "11 to 17: 15 rows" in wide
    broken = large_histogram(Histogram((4.0, 11.0, 18.0), (5, 15)), "a")
    assert "11 to 18: 15 rows" in broken


def test_characters_are_listed_by_what_unicode_says_of_them() -> None:
    content = page.render(profile_frame(pl.DataFrame({"a": ["a\u202eb<b>", "漢 &"] * 9})))
    for word in ("Format", "Han", "CJK Unified Ideographs", "General Punctuation", "\\u202e"):
        assert word in content
    assert "\u202e" not in content
