"""Profiles of small frames, and what is found in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from local_stack.data.profiling.columns import Column, narrowed, profile_column
from local_stack.data.profiling.findings import column_findings, table_findings
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.table import Table


def profiled(data: Any) -> tuple[Table, dict[str, Column]]:
    """Return a table and its profiled columns."""
    frame = data if isinstance(data, pl.DataFrame) else pl.DataFrame(data, strict=False)
    table = Table(frame)
    columns = {
        name: profile_column(narrowed(table.column(name)), memory_bytes=0) for name in table.names
    }
    return table, columns


def of_column(values: Any, name: str = "a", **limits: Any) -> dict[str, Alert]:
    """Return what is found in one column, by code."""
    series = values if isinstance(values, pl.Series) else pl.Series(values, strict=False)
    table, columns = profiled(series.alias(name).to_frame())
    thresholds = replace(Thresholds(), **limits)
    found = list(column_findings(narrowed(table.column(name)), columns[name], thresholds))
    assert len({alert.code for alert in found}) == len(found)
    assert all(alert.column == name and alert.message.endswith(".") for alert in found)
    return {alert.code: alert for alert in found}


def of_table(data: Any, target: str | None = None, **limits: Any) -> list[Alert]:
    """Return what is found between the columns of a table."""
    table, columns = profiled(data)
    return list(table_findings(table, columns, target, replace(Thresholds(), **limits)))


def by_code(alerts: list[Alert], code: str) -> list[Alert]:
    """Return the alerts of one code."""
    return [alert for alert in alerts if alert.code == code]


def pairs(alerts: list[Alert], code: str) -> set[tuple[str | None, str | None]]:
    """Return the columns that alerts of one code are about."""
    return {(alert.column, alert.other_column) for alert in by_code(alerts, code)}


def values_of(alert: Alert) -> Mapping[Any, int]:
    """Return the values behind an alert, with their counts."""
    return {item.value: item.count for item in alert.values}


def rng(seed: int = 0) -> np.random.Generator:
    """Return the generator of made-up numbers."""
    return np.random.default_rng(seed)
