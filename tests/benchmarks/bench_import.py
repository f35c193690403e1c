"""What importing text gives and costs, beside DuckDB's sniffer, pandas and Polars.

Run it on an idle machine: ``python tests/benchmarks/bench_import.py [MEGABYTES] [ROUNDS]``
(default 300 megabytes, 3 rounds). Two parts:

* right tables: the damaged files of ``tests/engine/pollution_kit.py``; a file counts when names,
  rows and every cell come out as they went in. DuckDB reads with its sniffer and leaves rejected
  lines out, pandas and Polars with their most forgiving settings and a sniffed delimiter where
  they have one;
* time and peak memory of one clean file, each program a process of its own, in turns:
  ``paceml-tui data add`` (original kept, types proved on every row, hashes, record) and DuckDB's
  ``read_csv`` into Parquet.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from local_stack.data import sources
from local_stack.data.importing import normalising
from local_stack.data.rejects import Rejects
from local_stack.data.tables import Options

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

import pollution_kit as kit

Rows = list[tuple[Any, ...]]
Reader = Callable[[Path, Path], tuple[list[str], Rows]]

MADE_UP = ("no_header", "header_gap", "header_twice", "header_of_r")
"""Files for which each reader makes names up in its own way; their rows alone are compared."""

DUCKDB = """
import sys, duckdb
duckdb.execute("SET memory_limit = '1GB'")
duckdb.execute(f"COPY (SELECT * FROM read_csv('{sys.argv[1]}', sample_size=-1)) "
               f"TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd)")
"""


def ours(path: Path, folder: Path) -> tuple[list[str], Rows]:
    between = folder / "between"
    between.mkdir()
    with Rejects(folder) as rejects:
        target = folder / "table.parquet"
        normalising.normalise(
            sources.gather(str(path), folder), Options(), target, rejects, between
        )
    frame = pl.read_parquet(target)
    return frame.columns, list(frame.iter_rows())


def by_duckdb(path: Path, folder: Path) -> tuple[list[str], Rows]:
    table = duckdb.read_csv(
        str(path), sample_size=-1, store_rejects=True, null_padding=False, ignore_errors=True
    )
    return list(table.columns), table.fetchall()


def by_pandas(path: Path, folder: Path) -> tuple[list[str], Rows]:
    frame = pd.read_csv(path, sep=None, engine="python", on_bad_lines="skip")
    frame = frame.astype(object).where(frame.notna(), None)
    return list(map(str, frame.columns)), list(frame.itertuples(index=False, name=None))


def by_polars(path: Path, folder: Path) -> tuple[list[str], Rows]:
    frame = pl.read_csv(
        path, try_parse_dates=True, ignore_errors=True, truncate_ragged_lines=True,
        encoding="utf8-lossy", infer_schema_length=None,
    )  # fmt: skip
    return frame.columns, list(frame.iter_rows())


def is_right(reader: Reader, file: kit.Polluted) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "file.csv"
        path.write_bytes(file.data)
        try:
            names, rows = reader(path, folder)
        except Exception:  # noqa: BLE001 - whatever a reader raises, it found no table
            return False
    shown = [tuple(str(c) if isinstance(c, date) else c for c in row) for row in rows]
    has_own_names = file.name in MADE_UP and len(names) == len(file.names)
    return (tuple(names) == file.names or has_own_names) and shown == list(file.rows)


def accuracy() -> None:
    """Print in how many of the damaged files each reader finds the table."""
    files = [file for n in (12, 300) for file in kit.files(n)]
    readers = {"PACE-ML": ours, "DuckDB": by_duckdb, "pandas": by_pandas, "Polars": by_polars}
    for name, reader in readers.items():
        n = sum(is_right(reader, file) for file in files)
        print(f"right tables  {name:8} {n:4} of {len(files)}  ({n / len(files):.0%})")


def write_big(path: Path, megabytes: int) -> int:
    """Write a clean file of that size in blocks; return its rows."""
    rng = np.random.default_rng(7)
    n_rows, block = 0, 200_000
    days = np.datetime64("2015-01-01", "ms")
    with path.open("wb") as out:
        while out.tell() < megabytes * 1_000_000:
            frame = pl.DataFrame(
                {
                    "id": np.arange(n_rows, n_rows + block),
                    "amount": rng.normal(1000, 250, block).round(2),
                    "score": rng.normal(size=block).round(6),
                    "city": rng.choice(["Oslo", "Porto", "Graz, west", "Brno"], block),
                    "note": [f"order {i % 9973} of the day" for i in range(block)],
                    "at": days + rng.integers(0, 10**11, block).astype("timedelta64[ms]"),
                    "day": (days + rng.integers(0, 3000, block) * np.timedelta64(86_400_000, "ms")),
                    "paid": rng.integers(0, 2, block).astype(bool),
                }
            ).with_columns(pl.col("day").cast(pl.Date))
            frame.write_csv(out, include_header=n_rows == 0)
            n_rows += block
    return n_rows


def measured(words: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return seconds and peak megabytes of one process, by the kernel's own account."""
    started = time.monotonic()
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return time.monotonic() - started, usage.ru_maxrss / 1024


def speed(megabytes: int, rounds: int) -> None:
    """Print time and peak memory of both programs, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        big = folder / "big.csv"
        n_rows = write_big(big, megabytes)
        size = big.stat().st_size / 1e6
        print(f"file          {size:,.0f} MB, {n_rows:,} rows, 8 columns")
        taken: dict[str, list[tuple[float, float]]] = {"data add": [], "DuckDB": []}
        program = [sys.executable, "-m", "paceml_tui"]
        for place in range(rounds):
            workspace = folder / f"ws{place}"
            env = {**os.environ, "PACEML_WORKSPACE": str(workspace)}
            subprocess.run([*program, "init", str(workspace)], check=True, capture_output=True)
            taken["data add"].append(measured([*program, "data", "add", "big", str(big)], env))
            words = [sys.executable, "-c", DUCKDB, str(big), str(folder / "peer.parquet")]
            taken["DuckDB"].append(measured(words, dict(os.environ)))
        for label, figures in taken.items():
            seconds = statistics.median(it[0] for it in figures)
            peak = max(it[1] for it in figures)
            print(f"whole process {label:9} {seconds:7.1f} s  {size / seconds:6.0f} MB/s  "
                  f"peak {peak:,.0f} MB")  # fmt: skip
        ours_, peer = (statistics.median(it[0] for it in f) for f in taken.values())
        print(f"ratio         {ours_ / peer:.1f} times DuckDB's own import to Parquet")


if __name__ == "__main__":
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    accuracy()
    speed(megabytes, rounds)
