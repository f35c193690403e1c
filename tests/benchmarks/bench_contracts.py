"""How fast a contract is learnt and checked, beside Polars check by check and pandera.

Run it on an idle machine: ``python tests/benchmarks/bench_contracts.py [ROWS]`` (default
1,000,000 rows of 20 columns). All three read the same Parquet file and judge the same rules of
single columns; each starts from the file, in a process that has its imports done. Ours also
finds the first failing rows, which is measured on a copy of the contract that 20 rules break.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack import environment

environment.prepare()

from local_stack.data.contracting import checks, contract_file, learning  # noqa: E402


def table(path: Path, n_rows: int) -> None:
    """Write 20 columns: an identifier, 9 reals, 4 integers, 4 codes, a category, a time."""
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {"id": np.arange(n_rows)}
    columns |= {f"real_{i}": draw.normal(size=n_rows) for i in range(9)}
    columns |= {f"whole_{i}": draw.integers(0, 1000, n_rows) for i in range(4)}
    for i in range(4):
        columns[f"code_{i}"] = pl.Series(draw.integers(0, 9999, n_rows)).map_elements(
            lambda number: f"AB{number:04d}", return_dtype=pl.String
        )
    columns["kind"] = pl.Series(draw.choice(["new", "old", "sold"], n_rows))
    columns["at"] = pl.Series(draw.integers(0, 10**15, n_rows)).cast(pl.Datetime("us"))
    pl.DataFrame(columns).write_parquet(path)


def rules_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the learnt rules of single columns, which all three can ask."""
    return {"columns": values["columns"]}


def broken(values: dict[str, Any]) -> dict[str, Any]:
    """Return the contract with bounds that many rows break."""
    columns = {name: dict(rules) for name, rules in values["columns"].items()}
    for name, rules in columns.items():
        if name.startswith(("real", "whole")):
            rules |= {"min": 0.5, "max": 400}
    return {"columns": columns}


def with_polars(path: Path, values: dict[str, Any]) -> int:
    """Judge each rule by an expression of its own, as a script with Polars does."""
    frame = pl.read_parquet(path)
    n_failed = 0
    for name, rules in values["columns"].items():
        column = frame[name]
        bad = {
            "nullable": lambda c, v: c.is_null() if not v else None,
            "min": lambda c, v: (
                c < (pl.Series([v]).str.to_datetime()[0] if isinstance(v, str) else v)
            ),
            "max": lambda c, v: c > v,
            "allowed": lambda c, v: ~c.is_in(v),
            "unique": lambda c, v: c.is_duplicated(),
            "pattern": lambda c, v: ~c.str.contains(v),
            "min_length": lambda c, v: c.str.len_chars() < v,
            "max_length": lambda c, v: c.str.len_chars() > v,
            "monotonic": lambda c, v: c.diff() <= 0,
        }
        for word, value in rules.items():
            judged = bad[word](column, value) if word in bad else None
            n_failed += 0 if judged is None else int(judged.sum() or 0)
    return n_failed


def with_pandera(path: Path, values: dict[str, Any]) -> int:
    """Judge the same rules by a pandera schema on pandas."""
    import pandas as pd
    import pandera.pandas as pa

    columns = {}
    for name, rules in values["columns"].items():
        asked = {
            "min": lambda v: pa.Check.ge(pd.Timestamp(v) if isinstance(v, str) else v),
            "max": pa.Check.le,
            "allowed": pa.Check.isin,
            "pattern": pa.Check.str_contains,
            "min_length": lambda v: pa.Check.str_length(min_value=v),
            "max_length": lambda v: pa.Check.str_length(max_value=v),
            "monotonic": lambda v: pa.Check(lambda c: c.diff().iloc[1:] > 0),
        }
        found = [asked[word](value) for word, value in rules.items() if word in asked]
        columns[name] = pa.Column(None, found, unique=rules.get("unique", False))
    try:
        pa.DataFrameSchema(columns).validate(pd.read_parquet(path), lazy=True)
    except pa.errors.SchemaErrors as error:
        return len(error.failure_cases)
    return 0


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def main(n_rows: int) -> None:
    """Print the figures."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        table(path, n_rows)
        taken, values = timed(lambda: learning.inferred(path, "bench"))
        print(f"{n_rows:,} rows x 20 columns; learnt and proven in {taken:.2f} s")
        values = rules_of(values)
        document = contract_file.of_values(values)
        ours, found = min(
            (timed(lambda: checks.verdicts_of_file(document, path)) for _ in range(3)),
            key=lambda pair: pair[0],
        )
        assert all(check.passed for check in found)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"ours: {len(found)} checks in {ours:.2f} s (peak {peak:,.0f} MB so far)")
        bad = contract_file.of_values(broken(values))
        taken, found = timed(lambda: checks.verdicts_of_file(bad, path))
        n_failed = sum(not check.passed for check in found)
        print(f"ours, {n_failed} checks broken, with their first rows: {taken:.2f} s")
        taken, n_failed = timed(lambda: with_polars(path, values))
        print(f"Polars, check by check: {taken:.2f} s, {taken / ours:.1f} times ours")
        assert n_failed == 0
        taken, n_failed = timed(lambda: with_pandera(path, values))
        print(f"pandera on pandas: {taken:.2f} s, {taken / ours:.1f} times ours")
        assert n_failed == 0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
