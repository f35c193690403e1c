"""How alerts are told: ranked, once, with values and rows, on one line, and what changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from findings_kit import rng, values_of

from local_stack.data.profiling.alerts import IMPORTANCE, alerts_of, ranked
from local_stack.data.profiling.changes import changes_of
from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import Alert, AlertChanges, Thresholds


def test_the_most_important_alert_stands_first_and_pairs_are_told_once() -> None:
    random = rng()
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
    x = rng().normal(size=200)
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
    x = rng().normal(size=300)
    y = rng(1).integers(0, 2, 300)
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
