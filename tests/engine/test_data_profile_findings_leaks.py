"""Columns that give the target away, as scikit-learn and leaving each row out say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from findings_kit import by_code, of_table, rng
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from local_stack.data.profiling.leakage import accuracy_gain, explained

close = pytest.approx


def _classes(n: int = 3000, seed: int = 0) -> dict[str, Any]:
    random = rng(seed)
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
        lambda y: y + rng(9).uniform(0, 0.9, y.size),
        lambda y: np.where(y == 1, 1, -1) * rng(9).exponential(1, y.size),
        lambda y: [f"{'ab'[value]}{i % 90}" for i, value in enumerate(y)],
        lambda y: (y + (rng(9).random(y.size) < 0.01)) % 2,
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
    table["strong"] = table["y"] + rng(3).normal(0, 0.6, 3000)
    [found] = by_code(of_table(table, "y"), "leakage_suspect")
    assert (found.column, found.threshold) == ("strong", 0.6)
    gini = 2 * roc_auc_score(table["y"], table["strong"]) - 1
    spread = math.sqrt(3001 / (12 * table["y"].sum() * (3000 - table["y"].sum())))
    assert found.value == close(math.sqrt(gini**2 - (4 * spread) ** 2), rel=1e-9)


def test_leaks_of_numbers_are_found_and_strong_features_are_suspects() -> None:
    random = rng()
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
    y = rng().integers(0, 2, n)
    alerts = of_table({"y": y, "leak": y + rng(1).uniform(0, 0.9, n), "x": rng(2).random(n)}, "y")
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
