"""What is found between columns: keys, dependencies, repeats, order; and in real tables."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from findings_kit import by_code, of_table, pairs, rng, values_of
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.data.profiling.alerts import IMPORTANCE
from local_stack.data.profiling.dependencies import essential
from local_stack.data.profiling.profile import profile_frame

close = pytest.approx


# ------------------------------------------------------------------ keys and dependencies


def test_single_keys_are_named_unless_they_are_identifiers() -> None:
    n = 100
    table = {
        "id": np.arange(n),
        "name": [f"person {i}" for i in range(n)],
        "at": [datetime(2024, 1, 1) + timedelta(hours=i * 37 % 1000) for i in range(n)],
        "measure": rng().normal(size=n),
        "gaps": [None, *[f"text {i}" for i in range(n - 1)]],
    }
    found = by_code(of_table(table), "candidate_key")
    assert {alert.columns for alert in found} == {("name",), ("at",)}


def test_pairs_and_triples_that_name_a_row_are_found_and_only_minimal_ones() -> None:
    days, shops, tills = 40, 30, 3
    grid = [(d, s, t) for d in range(days) for s in range(shops) for t in range(tills)]
    table = dict(zip(("day", "shop", "till"), np.array(grid).T, strict=True))
    table["sold"] = rng().integers(0, 50, len(grid))
    found = by_code(of_table(table), "candidate_key")
    assert [set(alert.columns) for alert in found] == [{"day", "shop", "till"}]
    two = {name: values[table["till"] == 0] for name, values in table.items()}
    assert [set(it.columns) for it in by_code(of_table(two), "candidate_key")] == [{"day", "shop"}]


def test_long_texts_can_be_part_of_a_key(tmp_path: Path) -> None:
    names = [f"customer {i}" for i in range(1500)]
    grid = [(name, month) for name in names for month in range(1, 5)]
    frame = pl.DataFrame(grid, schema=["customer", "month"], orient="row").sample(
        fraction=1.0, shuffle=True, seed=1
    )
    [found] = by_code(of_table(frame), "candidate_key")
    assert set(found.columns) == {"customer", "month"}
    broken = pl.concat([frame, frame.head(1)])
    assert not by_code(of_table(broken), "candidate_key")


def test_pairs_that_chance_made_unique_are_not_told() -> None:
    for seed in range(5):
        random = rng(seed)
        table = {"a": random.integers(0, 900, 1000), "b": random.integers(0, 800, 1000)}
        table["c"] = random.integers(0, 30, 1000)
        assert not by_code(of_table(table), "candidate_key")


small = st.integers(0, 4)


@given(st.lists(st.tuples(small, small, small), min_size=20, max_size=60))
@settings(deadline=None, max_examples=100)
def test_no_key_is_told_whose_rows_repeat(drawn: list[tuple[int, int, int]]) -> None:
    frame = pl.DataFrame(drawn, schema=list("abc"), orient="row")
    for alert in by_code(of_table(frame), "candidate_key"):
        assert frame.select(alert.columns).n_unique() == frame.height


def test_dependencies_are_found_without_what_follows_from_them() -> None:
    random = rng()
    city = random.integers(0, 60, 3000)
    region = city % 12
    table = {
        "city": [f"city {i}" for i in city],
        "city_no": city * 7 + 100,
        "region": [f"region {i}" for i in region],
        "country": [f"country {i}" for i in region % 4],
        "other": random.integers(0, 12, 3000),
    }
    assert pairs(of_table(table), "dependency") == {
        ("city", "city_no"),
        ("city", "region"),
        ("region", "country"),
    }


def test_a_dependency_with_exceptions_needs_a_lower_threshold() -> None:
    random = rng()
    a = random.integers(0, 50, 4000)
    b = a % 10
    b[random.choice(4000, 40, replace=False)] += 1
    table = {"a": a, "b": b}
    assert not pairs(of_table(table), "dependency")
    [found] = by_code(of_table(table, p_dependency=0.98), "dependency")
    expected = pd.crosstab(a, b).max(axis=1).sum() / 4000
    assert (found.column, found.other_column, found.value) == ("a", "b", close(expected))


@pytest.mark.parametrize("seed", range(5))
def test_independent_columns_do_not_decide_one_another(seed: int) -> None:
    random = rng(seed)
    table = {
        "a": random.integers(0, 200, 1000),
        "b": random.choice(list("xyz"), 1000),
        "mostly": np.where(random.random(1000) < 0.004, "rare", "usual"),
        "flag": random.random(1000) < 0.01,
        "gaps": np.where(random.random(1000) < 0.3, np.nan, random.integers(0, 3, 1000)),
    }
    assert not pairs(of_table(table), "dependency")


names = st.sampled_from("abcde")


@given(st.sets(st.tuples(names, names).filter(lambda it: it[0] != it[1])))
@settings(deadline=None, max_examples=200)
def test_essential_dependencies_imply_all_others(drawn: set[tuple[str, str]]) -> None:
    def closed(given_pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
        known = set(given_pairs)
        while True:
            more = {(a, d) for a, b in known for c, d in known if b == c and a != d} - known
            if not more:
                return known
            known |= more

    everything = closed(drawn)  # what decides what decides, decides
    told = set(essential(sorted(everything)))
    mutual = {(b, a) for a, b in told if (b, a) in everything}
    assert told <= everything
    assert closed(told | mutual) == everything


def test_columns_that_repeat_another_are_found() -> None:
    random = rng()
    x = random.normal(size=300)
    when = [datetime(2024, 1, 1) + timedelta(minutes=int(i)) for i in random.permutation(300)]
    table = pl.DataFrame(
        {
            "x": x,
            "copy": x,
            "fahrenheit": 1.8 * x + 32,
            "minus": -x,
            "cube": x**3,
            "near": x + random.normal(0, 1e-3, 300),
            "word": random.choice(list("abc"), 300),
            "when": when,
            "until": [moment + timedelta(days=1) for moment in when],
            "long": [f"text {i}" for i in range(300)],
        }
    ).with_columns(word_again=pl.col("word"), long_again=pl.col("long"))
    alerts = of_table(table)
    assert pairs(alerts, "equal_columns") == {
        ("copy", "x"),
        ("word_again", "word"),
        ("long_again", "long"),
    }
    derived = {alert.column: alert.message for alert in by_code(alerts, "derived")}
    assert derived == {
        "fahrenheit": "In every row it is 1.8 times 'x' + 32.",
        "minus": "In every row it is -1 times 'x'.",
        "cube": "In every row it is a rising function of 'x'.",
        "until": "In every row it is a straight line of 'when'.",
    }


@pytest.mark.parametrize(
    ("y", "order"),
    [
        (np.arange(100) // 50, "rising"),
        (-np.arange(100.0), "falling"),
        (["b"] * 50 + ["a"] * 50, "blocks"),
        (rng().integers(0, 2, 100), None),
        (["a", "b"] * 50, None),
    ],
)
def test_rows_in_the_order_of_the_target_are_found(y: Any, order: str | None) -> None:
    found = by_code(of_table({"y": y, "x": rng().random(100)}, "y"), "sorted")
    assert [order in alert.message for alert in found] == ([True] if order else [])


def test_rows_in_the_order_of_time_are_found() -> None:
    times = [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(50)]
    [found] = by_code(of_table({"at": times, "x": rng().random(50)}), "sorted")
    assert found.column == "at"
    assert not by_code(of_table({"at": times[::-1][25:] + times, "x": range(75)}), "sorted")


def test_rare_classes_of_a_whole_number_target_are_named() -> None:
    y = [5] * 900 + [6] * 600 + [9] * 4
    [found] = by_code(of_table({"y": y, "x": rng().random(1504)}, "y"), "rare_categories")
    assert values_of(found) == {9: 4}


@pytest.mark.parametrize("frame", [pl.DataFrame({"a": []}), pl.DataFrame({"a": [1], "b": ["x"]})])
def test_tables_with_next_to_nothing_are_silent(frame: pl.DataFrame) -> None:
    assert of_table(frame, "a") == []


values = st.one_of(st.none(), st.floats(width=32), st.integers(-5, 5).map(float))


@given(st.lists(st.tuples(values, values, st.one_of(st.none(), st.text(max_size=3))), max_size=50))
@settings(deadline=None, max_examples=40)
def test_any_table_can_be_looked_through(drawn: list[Any]) -> None:
    schema = {"a": pl.Float64, "b": pl.Float64, "c": pl.String}
    frame = pl.DataFrame(drawn, schema=schema, orient="row", strict=False)
    for target in (None, "a", "c"):
        profile = profile_frame(frame, target=target)
        for alert in profile.alerts:
            assert math.isfinite(alert.value)
            assert alert.code in IMPORTANCE
            assert all(0 <= row < frame.height for row in alert.rows)


# ------------------------------------------------------------------ real tables

EXPECTED = {
    "titanic.csv": ("survived", {"missing_depends_on_target", "mixed_types", "personal_data"}),
    "california_housing.csv": ("median_house_value", {"heaped", "rare_categories"}),
    "german_credit.csv": ("default", {"rare_categories"}),
    "airlines_allyears2k.csv": ("IsArrDelayed", {"leakage", "leakage_suspect", "dependency"}),
}
NEVER = {"titanic.csv", "california_housing.csv", "german_credit.csv"}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_tables_show_what_is_known_of_them(shared_data: Path, name: str) -> None:
    target, expected = EXPECTED[name]
    content = (shared_data / "tabular" / name).read_bytes().decode("utf-8", "replace").encode()
    frame = pl.read_csv(content, null_values=["NA"], infer_schema_length=None)
    alerts = profile_frame(frame, target=target).alerts
    codes = {alert.code for alert in alerts}
    assert expected <= codes
    if name in NEVER:
        assert not codes & {"leakage", "leakage_suspect", "sentinel", "similar_categories"}
    else:
        leaks = {(it.code, it.column) for it in alerts if it.code.startswith("leakage")}
        assert leaks == {("leakage", "ArrDelay"), ("leakage_suspect", "DepDelay")}
    if name.startswith("california"):
        heaped = {it.column: it.values[0].value for it in alerts if it.code == "heaped"}
        assert heaped["median_house_value"] == 500001
        assert heaped["housing_median_age"] == 52


def test_pairs_of_columns_are_told_at_most_once(shared_data: Path) -> None:
    content = (shared_data / "tabular" / "titanic.csv").read_bytes()
    alerts = profile_frame(pl.read_csv(content), target="survived").alerts
    keys = [alert.key for alert in alerts]
    assert all(one != other for one, other in combinations(keys, 2))
