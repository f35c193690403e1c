"""How long a table takes to profile, beside ydata-profiling, Evidently and DuckDB's SUMMARIZE.

Run it on an idle machine: ``python tests/benchmarks/bench_profile.py [ROWS ...] [--rounds N]
[--ydata PYTHON]`` (default 100,000, 1,000,000 and 10,000,000 rows, 3 rounds). The generated table
has 20 columns: 7 long, 7 double (one with missing values, one half of zeros), 2 rounded double, 3
texts of few values, one of them with missing ones, a free text that hardly repeats, a boolean and a
date. Each program is a process of its own, timed from its start to its end, in turns:

* ``paceml-tui data profile --json`` on a workspace (the bytes of the version are checked first),
  and once more with ``--html``;
* DuckDB's ``SUMMARIZE`` of the same Parquet file: approximate quantiles and distinct counts, no
  correlations, histograms, frequent values or duplicates;
* Evidently's ``DataSummaryPreset``, saved as JSON;
* ydata-profiling, full and ``minimal=True``, as HTML, in an environment of its own that ``--ydata``
  names (``pip install ydata-profiling pyarrow "setuptools<70"``); left out without it.

Programs that take minutes run once, and those that would take an hour or the memory not at all
(``MOST_ROWS``). Every figure is the median; peak memory is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
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

SUMMARIZE = """
import duckdb, sys
print(len(duckdb.execute("SUMMARIZE SELECT * FROM read_parquet(?)", [sys.argv[1]]).fetchall()))
"""

EVIDENTLY = """
import sys
import pandas as pd
from evidently import Report
from evidently.presets import DataSummaryPreset
print(len(Report([DataSummaryPreset()]).run(pd.read_parquet(sys.argv[1]), None).json()))
"""

YDATA = """
import sys
import pandas as pd
from ydata_profiling import ProfileReport
report = ProfileReport(
    pd.read_parquet(sys.argv[1]), minimal=sys.argv[2] == "minimal", progress_bar=False
)
print(len(report.to_html()))
"""

MOST_ROWS = {"ydata full": 1_000_000, "ydata minimal": 1_000_000, "evidently": 1_000_000}
SLOW_SECONDS = 30.0
"""A program that took longer than this is not run again."""

WORDS = ["the", "good", "bad", "fast", "slow", "order", "item", "price", "late", "never", "love"]


def table(n: int) -> pl.DataFrame:
    """Return the generated table of ``n`` rows."""
    r = np.random.default_rng(7)
    score = r.normal(0, 1, n)
    words = np.array(WORDS)[r.integers(0, len(WORDS), (n, 4))]
    frame = pl.DataFrame(
        {
            "id": np.arange(n) + 10**6,
            "age": r.integers(18, 95, n),
            "income": np.round(r.lognormal(10, 0.7, n), 2),
            "balance": r.normal(5_000, 2_000, n),
            "score": score,
            "score_again": score * 0.9 + r.normal(0, 0.3, n),
            "rate": np.round(r.beta(2, 5, n), 3),
            "n_orders": r.poisson(3, n),
            "amount": np.where(r.random(n) < 0.5, 0.0, r.exponential(50, n)),
            "latency": r.gamma(2, 30, n),
            "temperature": np.round(r.normal(20, 8, n), 1),
            "zip": r.integers(10_000, 99_999, n),
            "visits": r.geometric(0.1, n),
            "uniform": r.random(n),
            "channel": np.array(["web", "shop", "phone", "partner"])[r.integers(0, 4, n)],
            "city": pl.Series(r.geometric(0.02, n) % 300).cast(pl.String),
            "plan": np.array(["basic", "plus", "pro"])[r.choice(3, n, p=[0.7, 0.2, 0.1])],
            "active": r.random(n) < 0.8,
            "since": np.datetime64("2015-01-01") + r.integers(0, 3_650, n),
        }
    )
    text = pl.DataFrame(words, schema=list("abcd")).with_columns(e=r.integers(0, 100_000, n))
    parts = [pl.col(name).cast(pl.String) for name in "abcde"]
    return frame.with_columns(
        comment=text.select(pl.concat_str(parts, separator=" ").alias("comment"))["comment"],
        score=pl.when(pl.Series(r.random(n) >= 0.05)).then(pl.col("score")),
        city=pl.when(pl.Series(r.random(n) >= 0.02)).then("City " + pl.col("city")),
    )


def timed(words: list[str]) -> tuple[float, float, int]:
    """Return seconds, CPU seconds and peak memory in MiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    seconds, busy = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    return seconds, busy, usage.ru_maxrss // 1024


def programs(folder: Path, file: Path, ydata: str) -> dict[str, list[str]]:
    """Return the command lines by name; the first is ours."""
    ours = [sys.executable, "-m", "paceml_tui", "data", "profile", "t", "--json"]
    ours += ["--workspace", str(folder / "ws")]
    found = {
        "paceml-tui": ours,
        "paceml-tui --html": [*ours, "--html", str(folder / "page.html")],
        "SUMMARIZE": [sys.executable, "-c", SUMMARIZE, str(file)],
        "evidently": [sys.executable, "-c", EVIDENTLY, str(file)],
    }
    if ydata:
        for kind in ("minimal", "full"):
            found[f"ydata {kind}"] = [ydata, "-c", YDATA, str(file), kind]
    return found


def make(n_rows: int, folder: Path) -> None:
    """Write the table, and a workspace that has it as a version."""
    file = folder / "t.parquet"
    table(n_rows).write_parquet(file)
    with Workspace.create(folder / "ws") as workspace:
        adding.add(workspace, "t", Location(str(file)))


def measure(n_rows: int, n_rounds: int, ydata: str) -> None:
    """Make the table, run each program in turns, and print medians and ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "t.parquet"
        words = [sys.executable, __file__, str(n_rows), "--make", str(folder)]
        subprocess.run(words, check=True)  # a child counts the memory of whom it comes from
        lines = programs(folder, file, ydata)
        lines = {key: words for key, words in lines.items() if n_rows <= MOST_ROWS.get(key, n_rows)}
        taken: dict[str, list[tuple[float, float, int]]] = {key: [] for key in lines}
        for _ in range(n_rounds):
            for key, words in lines.items():
                if not taken[key] or taken[key][-1][0] < SLOW_SECONDS:
                    taken[key].append(timed(words))
    print(f"\n{n_rows:,} rows x 20 columns")
    print(f"{'program':<20}{'seconds':>9}{'CPU s':>8}{'MiB':>8}{'ratio':>8}{'runs':>6}")
    ours = statistics.median(seconds for seconds, _, _ in taken["paceml-tui"])
    for key, runs in taken.items():
        seconds, busy = (statistics.median(run[place] for run in runs) for place in (0, 1))
        peak = max(run[2] for run in runs)
        ratio = seconds / ours
        print(f"{key:<20}{seconds:>9.2f}{busy:>8.2f}{peak:>8}{ratio:>8.2f}{len(runs):>6}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ydata", default="")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for rows in given.rows:
        if given.make:
            make(rows, given.make)
        else:
            measure(rows, given.rounds, given.ydata)
