"""How long two versions of a table take to compare, beside pandas and Polars doing the same.

Run it on an idle machine: ``python tests/benchmarks/bench_diff.py [ROWS] [ROUNDS]`` (default
1,000,000 rows, 3 rounds). The table has 2 long, 4 double, 3 text columns, a date, a datetime and a
boolean; 5 % of the rows differ in some cells, 0.5 % are removed, 0.6 % are new, and the order is
shuffled. Each program is a process of its own, timed from its start to its end, in turns:

* ``paceml-tui data diff`` on a workspace, checking the SHA-256 of both tables first;
* pandas and Polars by hand on the two Parquet files: match by key, count rows and cells that
  differ, Kolmogorov-Smirnov and Wasserstein of the eight ordered columns (NumPy), total variation
  of the four others; no checks, no examples, no memory limit.

All three must find the same numbers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from local_stack.command import Location
from local_stack.data import adding
from local_stack.workspace import Workspace

BY_HAND = """
import json, sys
import numpy as np

def numeric(x, y):
    x, y = np.sort(x), np.sort(y)
    both = np.sort(np.concatenate((x, y)))
    gap = np.abs(
        np.searchsorted(x, both, side="right") / x.size
        - np.searchsorted(y, both, side="right") / y.size
    )
    return gap.max(), (gap[:-1] * np.diff(both.astype(float))).sum()

def tell(added, removed, changed, cells, drift):
    print(json.dumps([int(added), int(removed), int(changed), int(cells), drift]))
"""

PANDAS = (
    BY_HAND
    + """
import pandas as pd

a, b = (pd.read_parquet(path) for path in sys.argv[1:])
both = a.merge(b, on="id", how="outer", suffixes=("_a", "_b"), indicator=True)
pairs = both[both["_merge"] == "both"]
differs, cells = np.zeros(len(pairs), bool), 0
for name in a.columns[1:]:
    x, y = pairs[name + "_a"], pairs[name + "_b"]
    other = ((x != y) & ~(x.isna() & y.isna())).to_numpy()
    differs |= other
    cells += other.sum()
drift = {}
for name in a.columns:
    x, y = a[name].dropna(), b[name].dropna()
    if name in ("name", "city", "code", "ok"):
        p, q = x.value_counts(normalize=True), y.value_counts(normalize=True)
        drift[name] = float(p.subtract(q, fill_value=0).abs().sum() / 2)
        continue
    if name in ("day", "at"):
        x, y = (pd.to_datetime(v).astype("int64") for v in (x, y))
    drift[name] = float(numeric(x.to_numpy(), y.to_numpy())[0])
side = both["_merge"].value_counts()
tell(side["right_only"], side["left_only"], differs.sum(), cells, drift)
"""
)

POLARS = (
    BY_HAND
    + """
import polars as pl

a, b = (pl.read_parquet(path) for path in sys.argv[1:])
n = a.join(b, on="id", how="anti").height, b.join(a, on="id", how="anti").height
pairs = a.join(b, on="id", suffix="_b")
marks = pairs.select(pl.col(name).ne_missing(pl.col(name + "_b")) for name in a.columns[1:])
cells = sum(marks.sum().row(0))
changed = marks.select(pl.any_horizontal(pl.all()).sum()).item()
drift = {}
for name in a.columns:
    x, y = a[name].drop_nulls(), b[name].drop_nulls()
    if x.dtype in (pl.String, pl.Boolean):
        p, q = (v.alias("v").value_counts(normalize=True, name="p") for v in (x, y))
        both = p.join(q, on="v", how="full").fill_null(0)
        drift[name] = (both["p"] - both["p_right"]).abs().sum() / 2
    else:
        drift[name] = float(numeric(*(v.to_physical().to_numpy() for v in (x, y)))[0])
tell(n[1], n[0], changed, cells, drift)
"""
)


def table(n: int, r: np.random.Generator) -> pl.DataFrame:
    """Return the version before."""
    day = np.datetime64("2020-01-01") + r.integers(0, 1500, n)
    at = np.datetime64("2020-01-01T00:00:00", "us") + r.integers(0, 10**14, n)
    return pl.DataFrame(
        {
            "id": np.arange(n),
            "count": r.integers(0, 50, n),
            "a": r.normal(size=n),
            "b": r.exponential(size=n),
            "c": r.normal(100, 15, n).round(2),
            "d": r.random(n),
            "name": [f"customer {i}" for i in r.permutation(n)],
            "city": r.choice(["Wien", "Graz", "Linz", "Ulm", "Köln"], n),
            "code": [f"K{i:05d}" for i in r.integers(0, 20_000, n)],
            "day": day,
            "at": at,
            "ok": r.random(n) < 0.3,
        }
    )


def changed(before: pl.DataFrame, r: np.random.Generator) -> pl.DataFrame:
    """Return the version after."""
    n = before.height
    is_touched = r.random(n) < 0.05
    columns = [before["id"]]
    for column in before.iter_columns():
        if column.name != "id":
            is_new = pl.Series(is_touched & (r.random(n) < 0.3))
            other = column.gather(r.permutation(n)).set(pl.Series(r.random(n) < 0.01), None)
            columns.append(other.zip_with(is_new, column).alias(column.name))
    kept = pl.DataFrame(columns).filter(pl.Series(r.random(n) > 0.005))
    new = before.sample(n * 6 // 1000, seed=1)
    new = new.with_columns(id=pl.Series(np.arange(n, n + new.height)))
    return pl.concat([kept, new]).sample(fraction=1, shuffle=True, seed=2)


def timed(words: list[str]) -> tuple[float, float, int, str]:
    """Return seconds, CPU seconds, peak memory in MiB and output of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    seconds, busy = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    return seconds, busy, usage.ru_maxrss // 1024, output


def ours(output: str) -> list[object]:
    """Return what the command found as the programs by hand tell it."""
    found = json.loads(output)["result"]
    rows = found["rows"]
    drift = {column["column"]: column["drift"] for column in found["columns"]}
    return [rows["added"], rows["removed"], rows["changed"], found["cells_changed"], drift]


def same(one: list[object], other: list[object]) -> bool:
    """Return whether the counts are equal, and the scores to 1e-12."""
    *counts, scores = one
    *counts_too, scores_too = other
    assert isinstance(scores, dict)
    assert isinstance(scores_too, dict)
    is_close = (abs(scores[name] - scores_too[name]) < 1e-12 for name in scores)
    return counts == counts_too and scores.keys() == scores_too.keys() and all(is_close)


def main(n_rows: int, n_rounds: int) -> None:
    """Make the tables, run each program in turns, and print medians."""
    r = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [str(folder / "before.parquet"), str(folder / "after.parquet")]
        before = table(n_rows, r)
        before.write_parquet(files[0])
        changed(before, r).write_parquet(files[1])
        with Workspace.create(folder / "ws") as workspace:
            for file in files:
                adding.add(workspace, "t", Location(file), key=("id",))
        program = [sys.executable, "-m", "paceml_tui", "data", "diff", "t@1", "t@2", "--json"]
        programs = {
            "paceml-tui": [*program, "--workspace", str(folder / "ws")],
            "pandas": [sys.executable, "-c", PANDAS, *files],
            "polars": [sys.executable, "-c", POLARS, *files],
        }
        taken: dict[str, list[float]] = {name: [] for name in programs}
        busy: dict[str, list[float]] = {name: [] for name in programs}
        peaks: dict[str, int] = {}
        results: dict[str, list[object]] = {}
        for _ in range(n_rounds):
            for name, words in programs.items():
                seconds, cpu, peak, output = timed(words)
                taken[name].append(seconds)
                busy[name].append(cpu)
                peaks[name] = max(peaks.get(name, 0), peak)
                results[name] = ours(output) if name == "paceml-tui" else json.loads(output)
        assert same(results["paceml-tui"], results["polars"]), results
        assert same(results["paceml-tui"], results["pandas"]), results
    base = statistics.median(taken["paceml-tui"])
    print(f"{n_rows:,} rows x {before.width} columns, {n_rounds} rounds, median; all agree")
    print("rows added, removed, changed; cells:", *results["paceml-tui"][:4])
    for name, times in taken.items():
        middle = statistics.median(times)
        cpu = statistics.median(busy[name])
        print(
            f"{name:<11} {middle:6.2f} s  x{middle / base:.2f}  "
            f"CPU {cpu:.2f} s  peak {peaks[name]:,} MiB"
        )


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    main(arguments[0] if arguments else 1_000_000, arguments[1] if len(arguments) > 1 else 3)
