"""Tables with known faults, and what due diligence says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from local_stack.data import adding
from local_stack.data.assessing.diligence import DatasetDiligence
from local_stack.data.assessing.rules import Finding
from local_stack.data.diligence import diligence
from local_stack.workspace import Workspace

N = 600


def clean(seed: int = 0, n: int = N) -> dict[str, Any]:
    """Three numbers and a text, of which two tell of a binary target."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=n)
    kind = generator.choice(["a", "b", "c"], n)
    z = 2 * x + (kind == "a")
    return {
        "x": x,
        "noise": generator.normal(size=n),
        "kind": kind.tolist(),
        "y": np.where(generator.random(n) < 1 / (1 + np.exp(-z)), "yes", "no").tolist(),
    }


def added(workspace: Workspace, columns: Mapping[str, Any], name: str = "table") -> None:
    """Add a table to a workspace as a data set."""
    path = workspace.root.parent / f"{name}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    adding.add(workspace, name, str(path))


def assessed(workspace: Workspace, columns: Mapping[str, Any], **more: Any) -> DatasetDiligence:
    """Add a table, and return what due diligence says of it."""
    added(workspace, columns)
    return diligence(workspace, "table", **{"target": "y", **more})


def finding(result: DatasetDiligence, code: str, column: str | None = None) -> Finding:
    """Return the first finding of one code; it must be there."""
    found = [it for it in result.findings if it.code == code]
    found = [it for it in found if column is None or it.column == column]
    assert found, f"{code} of {column}: {[(it.code, it.column) for it in result.findings]}"
    return found[0]


def risks(result: DatasetDiligence) -> set[str]:
    """Return the codes of what is a risk."""
    return {it.code for it in result.risks}


def builtin(value: Any) -> bool:
    """Whether a value holds nothing but plain Python values."""
    if dataclasses.is_dataclass(value):
        return all(builtin(getattr(value, it.name)) for it in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return all(builtin(key) and builtin(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return all(map(builtin, value))
    return value is None or type(value) in (bool, int, float, str)
