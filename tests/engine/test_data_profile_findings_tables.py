"""What is found between columns: gaps, leaks, keys, dependencies, and how alerts are told."""

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
from findings_kit import by_code, of_table, pairs, profiled, values_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from local_stack.data.profiling.alerts import IMPORTANCE, alerts_of, ranked
from local_stack.data.profiling.changes import changes_of
from local_stack.data.profiling.dependencies import essential
from local_stack.data.profiling.leakage import accuracy_gain, explained
from local_stack.data.profiling.missing import chi2_tail, depends, missing_of
from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import Alert, AlertChanges, Thresholds
from local_stack.data.profiling.table import Table

close = pytest.approx


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------ where values are missing

cells = st.one_of(st.none(), st.integers(0, 3))
rows = st.lists(st.tuples(cells, cells, cells, cells), max_size=40)


@given(rows)
@settings(deadline=None, max_examples=150)
@pytest.mark.filterwarnings("ignore:invalid value encountered")  # pandas, of one row
def test_gaps_equal_pandas(given_rows: list[Any]) -> None:
    kinds = {"a": pl.Int64, "b": pl.Float64, "c": pl.String, "d": pl.Boolean}
    data = [
        [
            a,
            None if b is None else float(b),
            None if c is None else str(c),
            None if d is None else d > 1,
        ]
        for a, b, c, d in given_rows
    ]
    table, columns = profiled(pl.DataFrame(data, schema=kinds, orient="row"))
    found = missing_of(table, columns)
    gaps = pd.DataFrame(given_rows, columns=list("abcd")).isna()
    assert found.columns == tuple("abcd")
    assert found.n_complete_rows == (~gaps.any(axis=1)).sum() if given_rows else True
    for block, shares in enumerate(found.matrix):
        expected = gaps[block * found.block_rows : (block + 1) * found.block_rows].mean()
        assert shares == close(expected.tolist())
    held = [name for name in gaps if 0 < gaps[name].sum() < len(gaps)]
    assert found.nullity.columns == tuple(held)
    expected = gaps[held].astype(float).corr()
    for one, other, value in found.nullity.pairs():
        assert value == close(expected.loc[one, other], rel=1e-9, abs=1e-9)
    sets = gaps.apply(lambda row: tuple(row.index[row]), axis=1) if given_rows else pd.Series([])
    counts = sets.value_counts()
    assert {it.columns: it.count for it in found.patterns} == counts.to_dict()
    assert [it.count for it in found.patterns] == sorted(counts, reverse=True)


def test_gaps_of_many_columns_and_rows_equal_pandas(tmp_path: Path) -> None:
    random = _rng()
    gaps = random.random((1003, 130)) < random.random(130) * 0.1
    frame = pl.DataFrame({f"x{i}": np.where(gaps[:, i], np.nan, 1.0) for i in range(130)})
    frame = frame.with_columns(pl.lit("same").alias("full"))
    frame.write_parquet(tmp_path / "t.parquet")
    _, columns = profiled(frame)
    found = missing_of(Table(tmp_path / "t.parquet"), columns)
    reference = pd.DataFrame(gaps)
    assert (len(found.matrix), found.block_rows) == (92, 11)
    assert found.matrix[91] == close([*reference[1001:].mean(), 0.0])
    expected = reference.loc[:, reference.any()].iloc[:, :100].astype(float).corr().to_numpy()
    assert np.array(found.nullity.values) == close(expected, rel=1e-9, abs=1e-9)
    assert len(found.nullity.left_out) == reference.any().sum() - 100
    assert found.n_complete_rows == (~reference.any(axis=1)).sum()


def test_infinities_and_texts_without_codes_are_told_from_gaps() -> None:
    n = 1600
    frame = {
        "x": [math.inf, None, math.nan, 1.0] * (n // 4),
        "t": [None if i % 4 == 1 else f"text {i}" for i in range(n)],
    }
    table, columns = profiled(frame)
    assert columns["t"].codes is None
    found = missing_of(table, columns)
    assert found.n_complete_rows == n // 2
    assert found.nullity.values[0][1] == close(1 / math.sqrt(3))


@given(st.integers(1, 60), st.floats(0, 300))
@settings(deadline=None)
def test_tails_of_chi_squared_equal_scipy(n_degrees: int, x: float) -> None:
    assert chi2_tail(x, n_degrees) == close(stats.chi2.sf(x, n_degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("seed", range(4))
def test_gaps_that_tell_of_classes_equal_scipy(seed: int) -> None:
    random = _rng(seed)
    target = random.choice(list("xyz"), 600)
    missing = random.random(600) < np.where(target == "x", 0.4, 0.2)
    _, columns = profiled({"y": target})
    found = depends(missing, columns["y"])
    assert found is not None
    table = pd.crosstab(missing, target)
    expected = stats.chi2_contingency(table, correction=False)
    assert found.p_value == close(expected.pvalue, rel=1e-9)
    assert found.effect == close(math.sqrt(expected.statistic / 600), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [0, 1, 8])
def test_gaps_that_tell_of_numbers_equal_scipy(seed: int, digits: int) -> None:
    random = _rng(seed)
    target = np.round(random.normal(0, 30, 500), digits)
    missing = random.random(500) < np.where(target > 10, 0.4, 0.3)
    _, columns = profiled({"y": target})
    found = depends(missing, columns["y"])
    assert found is not None
    expected = stats.mannwhitneyu(
        target[missing], target[~missing], method="asymptotic", use_continuity=False
    )
    assert found.p_value == close(expected.pvalue, rel=1e-9)
    pairs_ = missing.sum() * (~missing).sum()
    assert found.effect == close(abs(2 * expected.statistic / pairs_ - 1), abs=1e-12)


def test_gaps_are_told_once_for_columns_that_miss_the_same_rows() -> None:
    random = _rng()
    y = random.integers(0, 2, 2000)
    gaps = random.random(2000) < np.where(y == 1, 0.4, 0.1)
    table = {
        "y": y,
        "a": np.where(gaps, np.nan, random.normal(size=2000)),
        "b": [None if gap else f"t{i % 7}" for i, gap in enumerate(gaps)],
        "by chance": np.where(random.random(2000) < 0.3, np.nan, 1.5),
    }
    alerts = of_table(table, "y")
    [together] = by_code(alerts, "missing_together")
    assert (together.columns, together.value) == (("a", "b"), gaps.sum())
    assert together.rows == tuple(np.flatnonzero(gaps)[:10].tolist())
    [telling] = by_code(alerts, "missing_depends_on_target")
    assert (telling.column, telling.other_column, telling.columns) == ("a", "y", ("a", "b"))
    p_value = stats.chi2_contingency(pd.crosstab(gaps, y), correction=False).pvalue
    assert telling.value == close(2 * p_value, rel=1e-9)  # Bonferroni: two sets of rows tested
    assert not by_code(of_table(table), "missing_depends_on_target")


# ------------------------------------------------------------------ leakage


def _classes(n: int = 3000, seed: int = 0) -> dict[str, Any]:
    random = _rng(seed)
    y = random.integers(0, 2, n)
    return {
        "y": y,
        "noise": random.normal(size=n),
        "city": random.choice([f"c{i}" for i in range(50)], n),
        "id": np.arange(n),
        "code": [f"k{i}" for i in range(n)],
        "many": [f"m{i % (n // 2)}" for i in random.permutation(n)],
        "weak": y + random.normal(0, 1.2, n),
    }


def test_columns_that_tell_nothing_are_silent() -> None:
    for seed in range(5):
        alerts = of_table(_classes(seed=seed), "y")
        assert not by_code(alerts, "leakage") + by_code(alerts, "leakage_suspect")


@pytest.mark.parametrize(
    "leak",
    [
        lambda y: y * 5 + 1,
        lambda y: -y.astype(float),
        lambda y: np.where(y == 1, "won", "lost"),
        lambda y: [None if value else "x" for value in y],
        lambda y: y + _rng(9).uniform(0, 0.9, y.size),
        lambda y: np.where(y == 1, 1, -1) * _rng(9).exponential(1, y.size),
        lambda y: [f"{'ab'[value]}{i % 90}" for i, value in enumerate(y)],
        lambda y: (y + (_rng(9).random(y.size) < 0.01)) % 2,
    ],
)
def test_a_column_that_is_the_target_in_disguise_is_a_leak(leak: Any) -> None:
    table = _classes()
    table["leak"] = leak(table["y"])
    found = by_code(of_table(table, "y"), "leakage")
    assert [(alert.column, alert.other_column) for alert in found] == [("leak", "y")]
    assert found[0].threshold <= found[0].value <= 1


def test_a_strong_column_is_a_suspect() -> None:
    table = _classes()
    table["strong"] = table["y"] + _rng(3).normal(0, 0.6, 3000)
    [found] = by_code(of_table(table, "y"), "leakage_suspect")
    assert (found.column, found.threshold) == ("strong", 0.6)
    gini = 2 * roc_auc_score(table["y"], table["strong"]) - 1
    spread = math.sqrt(3001 / (12 * table["y"].sum() * (3000 - table["y"].sum())))
    assert found.value == close(math.sqrt(gini**2 - (4 * spread) ** 2), rel=1e-9)


def test_leaks_of_numbers_are_found_and_strong_features_are_suspects() -> None:
    random = _rng()
    y = random.lognormal(3, 1, 3000)
    table = {
        "y": y,
        "scaled": y * 3 + 2,
        "turned": -np.log(y),
        "bent": (np.log(y) - 3) ** 3,
        "strong": np.log(y) + random.normal(0, 0.5, 3000),
        "noise": random.normal(size=3000),
        "id": np.arange(3000),
        "code": [f"k{i}" for i in range(3000)],
    }
    alerts = of_table(table, "y")
    assert {alert.column for alert in by_code(alerts, "leakage")} == {"scaled", "turned", "bent"}
    assert {alert.column for alert in by_code(alerts, "leakage_suspect")} == {"strong"}


def test_large_tables_are_measured_in_a_sample_that_is_named() -> None:
    n = 60_000
    y = _rng().integers(0, 2, n)
    alerts = of_table({"y": y, "leak": y + _rng(1).uniform(0, 0.9, n), "x": _rng(2).random(n)}, "y")
    [found] = by_code(alerts, "leakage")
    assert "in a sample of 50,000 rows" in found.message


groups_and_classes = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=30, max_size=80
)


@given(groups_and_classes)
@settings(deadline=None, max_examples=200)
def test_the_gain_in_accuracy_is_that_of_leaving_each_row_out(drawn: list[tuple[int, int]]) -> None:
    groups, classes = np.array(drawn).T
    table = np.zeros((7, 3), dtype=np.int64)
    np.add.at(table, (groups, classes), 1)
    found = accuracy_gain(table)
    counts = np.bincount(classes, minlength=3)
    if counts.max() == classes.size:
        assert found is None
        return
    right = 0.0
    for i in range(classes.size):
        others = classes[(groups == groups[i]) & (np.arange(classes.size) != i)]
        if not others.size:
            right += classes[i] == counts.argmax()
            continue
        votes = np.bincount(others, minlength=3)
        right += (
            0.0
            if votes[classes[i]] < votes.max()
            else (1 if (votes == votes.max()).sum() == 1 else 0.5)
        )
    base = counts.max() / classes.size
    assert found is not None
    assert found.value == close(max(0.0, (right / classes.size - base) / (1 - base)), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-50, 50)), min_size=30, max_size=80))
@settings(deadline=None, max_examples=200)
def test_the_explained_share_is_that_of_leaving_each_row_out(drawn: list[tuple[int, int]]) -> None:
    groups, y = np.array(drawn).T
    found = explained(groups, y.astype(float))
    if np.ptp(y) == 0:
        assert found is None
        return
    error = 0.0
    for i in range(y.size):
        others = y[(groups == groups[i]) & (np.arange(y.size) != i)]
        error += (y[i] - (others.mean() if others.size else y.mean())) ** 2
    assert found is not None
    assert found.value == close(max(0.0, 1 - error / ((y - y.mean()) ** 2).sum()), abs=1e-9)


# ------------------------------------------------------------------ keys and dependencies


def test_single_keys_are_named_unless_they_are_identifiers() -> None:
    n = 100
    table = {
        "id": np.arange(n),
        "name": [f"person {i}" for i in range(n)],
        "at": [datetime(2024, 1, 1) + timedelta(hours=i * 37 % 1000) for i in range(n)],
        "measure": _rng().normal(size=n),
        "gaps": [None, *[f"text {i}" for i in range(n - 1)]],
    }
    found = by_code(of_table(table), "candidate_key")
    assert {alert.columns for alert in found} == {("name",), ("at",)}


def test_pairs_and_triples_that_name_a_row_are_found_and_only_minimal_ones() -> None:
    days, shops, tills = 40, 30, 3
    grid = [(d, s, t) for d in range(days) for s in range(shops) for t in range(tills)]
    table = dict(zip(("day", "shop", "till"), np.array(grid).T, strict=True))
    table["sold"] = _rng().integers(0, 50, len(grid))
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
        random = _rng(seed)
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
    random = _rng()
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
    random = _rng()
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
    random = _rng(seed)
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
    random = _rng()
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
        (_rng().integers(0, 2, 100), None),
        (["a", "b"] * 50, None),
    ],
)
def test_rows_in_the_order_of_the_target_are_found(y: Any, order: str | None) -> None:
    found = by_code(of_table({"y": y, "x": _rng().random(100)}, "y"), "sorted")
    assert [order in alert.message for alert in found] == ([True] if order else [])


def test_rows_in_the_order_of_time_are_found() -> None:
    times = [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(50)]
    [found] = by_code(of_table({"at": times, "x": _rng().random(50)}), "sorted")
    assert found.column == "at"
    assert not by_code(of_table({"at": times[::-1][25:] + times, "x": range(75)}), "sorted")


def test_rare_classes_of_a_whole_number_target_are_named() -> None:
    y = [5] * 900 + [6] * 600 + [9] * 4
    [found] = by_code(of_table({"y": y, "x": _rng().random(1504)}, "y"), "rare_categories")
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


# ------------------------------------------------------------------ alerts


def test_the_most_important_alert_stands_first_and_pairs_are_told_once() -> None:
    random = _rng()
    y = random.integers(0, 2, 500)
    x = random.normal(size=500)
    table = {
        "zeros": np.where(random.random(500) < 0.5, 0, random.integers(1, 9, 500)),
        "x": x,
        "twice": 2 * x,
        "leak": y * 3,
        "mail": [f"a{i}@mail.example" for i in range(500)],
        "y": y,
    }
    alerts = profile_frame(pl.DataFrame(table), target="y").alerts
    codes = [alert.code for alert in alerts]
    assert codes[:2] == ["leakage", "personal_data"]
    assert codes.index("zeros") > codes.index("derived")
    assert "high_correlation" not in codes
    assert codes == sorted(codes, key=IMPORTANCE.index)


def test_alerts_name_values_and_rows_behind_them() -> None:
    x = _rng().normal(size=200)
    table = {
        "gaps": [None if i % 10 == 3 else float(i) for i in range(200)],
        "infinite": [*x[:-2], math.inf, -math.inf],
        "zeros": [0.0 if i % 4 == 1 else float(x[i]) for i in range(200)],
        "tail": [*np.abs(x[:-1]), 500.0],
        "rare": ["b"] * 5 + ["a"] * 195,
    }
    found = {alert.code: alert for alert in profile_frame(pl.DataFrame(table)).alerts}
    assert found["missing"].rows == tuple(range(3, 100, 10))
    assert found["infinite"].rows == (198, 199)
    assert found["zeros"].rows == tuple(range(1, 40, 4))
    assert values_of(found["zeros"]) == {0: 50}
    assert next(iter(values_of(found["skewed"]))) == 500.0
    assert values_of(found["imbalance"]) == {"a": 195, "b": 5}
    for alert in found.values():
        assert "threshold" in alert.message or alert.code in ("outlier_rows", "unique")


def test_messages_stay_on_one_line_whatever_columns_and_cells_are_called() -> None:
    x = _rng().normal(size=300)
    y = _rng(1).integers(0, 2, 300)
    evil = "\x1b[2J\u202e\n[bold]x"
    table = {
        f"{evil}1": x,
        f"{evil}2": x,
        f"{evil}3": x * 2 + 1,
        f"{evil}4": np.where(y == 1, np.nan, x),
        f"{evil}5": np.where(y == 1, np.nan, x),
        f"{evil}6": [evil] * 290 + ["?"] * 10,
        f"{evil}7": [f"k{i % 30}" for i in range(300)],
        f"{evil}8": [f"g{i % 30 % 5}" for i in range(300)],
        f"{evil}y": y,
        f"{evil}z": [*x[:-1], 1e9],
    }
    alerts = profile_frame(pl.DataFrame(table), target=f"{evil}y").alerts
    codes = {alert.code for alert in alerts}
    assert {"leakage", "equal_columns", "derived", "dependency", "imbalance"} <= codes
    assert {"missing_together", "outlier_rows", "odd_characters", "null_spellings"} <= codes
    assert all(alert.message.isprintable() for alert in alerts)


def test_correlations_of_few_rows_or_many_groups_are_no_alerts() -> None:
    few = {"a": [1.0, 2.0, 3.0], "b": [2.0, 4.1, 6.0]}
    assert not [
        it for it in profile_frame(pl.DataFrame(few)).alerts if it.code == "high_correlation"
    ]
    groups = {"g": [f"g{i // 2}" for i in range(100)], "x": np.arange(100.0) ** 2}
    found = profile_frame(pl.DataFrame(groups)).alerts
    assert "high_correlation" not in {alert.code for alert in found}


def test_thresholds_of_nothing_found_give_no_alerts() -> None:
    profile = profile_frame(pl.DataFrame({"a": [1.0, 2.0, 3.0]}))
    variables = list(profile.variables)
    found = alerts_of(profile.overview, variables, profile.correlations, None, Thresholds())
    assert list(found) == []


def test_changes_are_of_what_alerts_are_about() -> None:
    def alert(code: str, column: str, value: float = 1.0, **more: Any) -> Alert:
        return Alert(code, column, value, 0.5, "Found.", **more)

    old = [alert("missing", "a"), alert("zeros", "b"), alert("derived", "c", other_column="a")]
    new = [alert("missing", "a", 0.9), alert("derived", "c", other_column="b")]
    found = changes_of(new, old, "wine@v1")
    assert (found.previous, found.n_same) == ("wine@v1", 1)
    assert (found.new, found.resolved) == ((new[1],), tuple(old[1:]))
    assert changes_of(new, (), None) == AlertChanges()


def test_alerts_of_one_code_follow_the_columns() -> None:
    alerts = [Alert("zeros", name, 1, 1, "Found.") for name in "cab"] + [
        Alert("leakage", "b", 1, 1, "Found.")
    ]
    ordered = ranked(alerts, ["a", "b", "c"])
    assert [(it.code, it.column) for it in ordered] == [
        ("leakage", "b"),
        ("zeros", "a"),
        ("zeros", "b"),
        ("zeros", "c"),
    ]


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
