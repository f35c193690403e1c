"""A workspace with two real versions of one data set, its contract and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_stack.catalog import call
from local_stack.errors import RefusedError
from local_stack.workspace import Workspace


def orders(folder: Path) -> tuple[Path, Path]:
    """Write two deliveries of one table: 60 orders, then what became of them.

    The second lacks order 0, has order 60, two other amounts, one region that was never there,
    a new column, and a line 62 that is too long to be read.
    """
    first, second = folder / "orders-1.csv", folder / "orders-2.csv"
    lines = [
        (n, ("north", "south")[n % 2], 20 + n / 4, f"2026-01-{1 + n % 28:02d}") for n in range(60)
    ]
    later = [
        (n, "west" if n == 7 else region, 99.5 if n in (3, 4) else amount, day, "web")
        for n, region, amount, day in lines[1:]
    ]
    later.append((60, "north", 21.0, "2026-02-01", "web"))
    first.write_text(_csv(["id,region,amount,day"], lines))
    second.write_text(_csv(["id,region,amount,day,channel"], later) + "61,east,1,x,web,too,many\n")
    return first, second


def _csv(head: list[str], lines: list[Any]) -> str:
    return "".join(f"{line}\n" for line in [*head, *(",".join(map(str, it)) for it in lines)])


def fill_orders(workspace: Workspace, folder: Path) -> None:
    """Import both deliveries, learn a contract from the first and check the second against it."""
    first, second = orders(folder)
    added = {"name": "orders", "source": str(first), "key": ["id"], "tag": "first"}
    call(workspace, "data.add", added)
    call(workspace, "data.contract", {"name": "orders", "infer": True})
    call(workspace, "data.add", {"name": "orders", "source": str(second), "note": "the second"})
    with pytest.raises(RefusedError):
        call(workspace, "data.check", {"name": "orders"})
