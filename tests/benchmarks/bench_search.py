"""What a search over many runs costs, beside MLflow's file store and its sqlite store.

Run it on an idle machine: ``python tests/benchmarks/bench_search.py [RUNS ...] [--rounds N]
[--seconds S]`` (default 1,000, 10,000 and 100,000 runs, 3 rounds). The generated runs have 10
params, 5 metrics of 3 values each, and 6 tags; they lie once as a file store and once in a sqlite
database whose schema MLflow itself made. Everybody answers the same question, ``QUERY`` in the
order of ``ORDER``, with the objects of one page of 100 runs, and all must name the same runs;
sqlite and ours answer it once more with every run that matches (an eighth).

Measured in turns, each in a process of its own:

* MLflow's ``search_runs`` on the file store and on sqlite, timed inside the process, imports aside.
  The first call of sqlite, which opens the database, does not count. A store on which a call would
  take longer than ``--seconds`` (estimated from the smaller sizes) is left out, and that is told;
* ours warm: ``ws.runs.search`` in an open workspace, the median of many calls and the slowest one,
  which is the one that looked at the store first;
* ours cold: ``paceml-tui runs search`` as a process, and for comparison a Python that does nothing
  but connect to DuckDB;
* the first sync, a sync with nothing changed, one in which a run has changed, and the full look at
  every file; and the peak memory of each process. CPU seconds, of all processes together, tell
  more than seconds where the machine has other work.

Last come other questions to ours: no filter, a tag, a key that one run has, another order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import environment
from local_stack.workspace import Workspace

QUERY = 'metrics.rmse < 0.5 and params.model = "tree"'
ORDER = "metrics.rmse ASC"
PAGE = 100
MOST = 50_000
"""As many runs as MLflow returns at once."""

QUESTIONS = {
    "no filter": ("", "attributes.start_time DESC"),
    "tag LIKE": ('tags.team LIKE "r%"', "attributes.start_time DESC"),
    "key of one run": ("metrics.rare > 0", "attributes.start_time DESC"),
    "order by a metric": ("", "metrics.mae DESC"),
}
"""Filter and order, by what the question is about."""

MODELS = ("tree", "forest", "linear", "boosted")
BEGAN = 1_700_000_000_000


@dataclass(frozen=True)
class Made:
    """A generated run; times in ms."""

    run_id: str
    name: str
    start: int
    params: dict[str, str]
    metrics: dict[str, list[float]]
    tags: dict[str, str]

    @property
    def values(self) -> Iterator[tuple[str, float, int, int]]:
        """Yield key, value, time and step of every value."""
        for key, values in self.metrics.items():
            for step, value in enumerate(values):
                yield key, value, self.start + step, step


def runs(n: int) -> Iterator[Made]:
    """Yield the generated runs, the same ones each time."""
    draw = random.Random(7)
    for number in range(n):
        params = {f"param_{k}": f"{draw.random():.6f}" for k in range(9)}
        params["model"] = draw.choice(MODELS)
        keys = ("rmse", "mae", "r2", "loss", "auc")
        metrics = {key: [draw.random() for _ in range(3)] for key in keys}
        if number == n // 2:
            metrics["rare"] = [1.0]
        name = f"run-{number}"
        tags = {
            "mlflow.runName": name,
            "mlflow.user": "ann",
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "team": draw.choice(("red", "green", "blue")),
            "note": f"text {draw.randrange(1_000_000)}",
        }
        yield Made(f"{draw.getrandbits(128):032x}", name, BEGAN + number, params, metrics, tags)


# ------------------------------------------------------------------ the stores


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def make_files(root: Path, n: int) -> None:
    """Write a file store with one experiment, as MLflow lays it out."""
    folder = root / "1"
    folder.mkdir(parents=True)
    write(
        f"{folder}/meta.yaml",
        f"artifact_location: {folder.as_uri()}\ncreation_time: {BEGAN}\nexperiment_id: '1'\n"
        f"last_update_time: {BEGAN}\nlifecycle_stage: active\nname: searched\n",
    )
    for run in runs(n):
        place = f"{folder}/{run.run_id}"
        os.mkdir(place)  # noqa: PTH102 - a Path costs more than the call
        for name in ("params", "metrics", "tags", "artifacts"):
            os.mkdir(f"{place}/{name}")  # noqa: PTH102
        write(
            f"{place}/meta.yaml",
            f"artifact_uri: file://{place}/artifacts\nend_time: {run.start + 9}\n"
            "entry_point_name: ''\nexperiment_id: '1'\nlifecycle_stage: active\n"
            f"run_id: {run.run_id}\nrun_name: {run.name}\nsource_name: ''\nsource_type: 4\n"
            f"source_version: ''\nstart_time: {run.start}\nstatus: 3\ntags: []\nuser_id: ann\n",
        )
        for kind, texts in (("params", run.params), ("tags", run.tags)):
            for key, text in texts.items():
                write(f"{place}/{kind}/{key}", text)
        for key, values in run.metrics.items():
            lines = [f"{run.start + step} {value!r} {step}\n" for step, value in enumerate(values)]
            write(f"{place}/metrics/{key}", "".join(lines))


MAKE_SCHEMA = """
import sys
from mlflow import MlflowClient
print(MlflowClient(sys.argv[1]).create_experiment("searched"))
"""


def make_sqlite(file: Path, n: int) -> None:
    """Fill a database whose schema MLflow has made."""
    words = [sys.executable, "-c", MAKE_SCHEMA, f"sqlite:///{file}"]
    experiment = int(timed(words)[2].split()[-1])
    with sqlite3.connect(file) as database:
        for run in runs(n):
            insert(database, "runs", run_row(run, experiment))
            for kind, texts in (("params", run.params), ("tags", run.tags)):
                for key, text in texts.items():
                    insert(database, kind, {"key": key, "value": text, "run_uuid": run.run_id})
            for key, value, at, step in run.values:
                row = {"key": key, "value": value, "timestamp": at, "step": step}
                row |= {"is_nan": 0, "run_uuid": run.run_id}
                insert(database, "metrics", row)
                if step == len(run.metrics[key]) - 1:
                    insert(database, "latest_metrics", row)
        database.execute("ANALYZE")
    database.close()


def run_row(run: Made, experiment: int) -> dict[str, Any]:
    return {
        "run_uuid": run.run_id,
        "name": run.name,
        "source_type": "LOCAL",
        "user_id": "ann",
        "status": "FINISHED",
        "start_time": run.start,
        "end_time": run.start + 9,
        "lifecycle_stage": "active",
        "artifact_uri": f"/artifacts/{run.run_id}",
        "experiment_id": experiment,
    }


def insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )


# ------------------------------------------------------------------ what the processes do

CLOCK = """
import json, os, resource, sys, time
def clock():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + used.ru_utime + used.ru_stime
def since(start):
    return [now - then for now, then in zip(clock(), start)]
"""
"""Seconds and CPU seconds, those of child processes that have ended included."""

THEIRS = """
from mlflow import MlflowClient
uri, query, order, page, n_calls = sys.argv[1:]
client = MlflowClient(uri)
experiment = client.get_experiment_by_name("searched").experiment_id
seconds = []
for _ in range(int(n_calls)):
    start = clock()
    found = client.search_runs([experiment], query, order_by=[order], max_results=int(page))
    seconds.append(since(start))
print(json.dumps({"seconds": seconds, "runs": [run.info.run_id for run in found]}))
"""

WARM = """
from local_stack import Workspace
root, query, order, page, n_calls = sys.argv[1:]
with Workspace.open(root) as ws:
    search, seconds = ws.runs.search, []
    for _ in range(int(n_calls)):
        start = clock()
        found = search(query, order_by=[order], limit=int(page))
        seconds.append(since(start))
print(json.dumps({"seconds": seconds, "runs": [run.run_id for run in found.runs]}))
"""

SYNC = """
from local_stack import Workspace
with Workspace.open(sys.argv[1]) as ws:
    ws.query("SELECT 1")
    sync = ws.runs.sync
    start = clock()
    done = sync(full=sys.argv[2] == "full")
    seconds = since(start)
print(json.dumps({"seconds": [seconds], "n_read": done.n_read}))
"""

BARE = "import duckdb; duckdb.connect()"


Cost = tuple[float, float]
"""Seconds, and CPU seconds of all processes."""


def timed(words: list[str]) -> tuple[Cost, int, str]:
    """Return seconds, CPU seconds, peak memory in MiB and output of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    cost = (time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    return cost, usage.ru_maxrss // 1024, output


class Measured:
    """The figures of one size, by name: costs of all calls, and peak memory in MiB."""

    def __init__(self) -> None:
        self.costs: dict[str, list[Cost]] = {}
        self.memory: dict[str, int] = {}

    def inside(self, name: str, words: list[str], *, skip: int = 0) -> dict[str, Any]:
        """Run a process that times itself; the first ``skip`` calls do not count."""
        program, *arguments = words
        _, memory, output = timed([sys.executable, "-c", CLOCK + program, *arguments])
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        self._note(name, [(cost[0], cost[1]) for cost in found["seconds"][skip:]], memory)
        return found

    def whole(self, name: str, words: list[str]) -> str:
        """Time a process from its start to its end."""
        cost, memory, output = timed([sys.executable, *words])
        self._note(name, [cost], memory)
        return output

    def _note(self, name: str, costs: list[Cost], memory: int) -> None:
        self.costs.setdefault(name, []).extend(costs)
        self.memory[name] = max(memory, self.memory.get(name, 0))

    def median(self, name: str, place: int = 0) -> float:
        """Return the median of the seconds or, at place 1, of the CPU seconds; 0 when left out."""
        found = [cost[place] for cost in self.costs.get(name, [])]
        return statistics.median(found) if found else 0.0


def measure(n: int, n_rounds: int, is_wanted: dict[str, bool]) -> Measured:
    """Make the stores and measure everybody in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = str(folder / "ws")
        Workspace.create(folder / "ws").close()
        make_files(folder / "ws" / "mlruns", n)
        if is_wanted["sqlite"]:
            make_sqlite(folder / "runs.db", n)
        subprocess.run(["sync"], check=True)
        found = Measured()
        cold = ["-m", "paceml_tui", "runs", "search", QUERY, "--order-by", ORDER, "--json"]
        cold += ["--workspace", root]
        asked = [QUERY, ORDER, str(PAGE)]
        timed([sys.executable, *cold])  # compiles what is not compiled yet
        for _ in range(n_rounds):
            for file in (folder / "ws" / "cache").glob("run-index*"):
                file.unlink()
            assert found.inside("first sync", [SYNC, root, "quick"])["n_read"] == n
            assert found.inside("sync, nothing changed", [SYNC, root, "quick"])["n_read"] == 0
            touch(folder / "ws" / "mlruns" / "1", n)
            assert found.inside("sync, one run changed", [SYNC, root, "quick"])["n_read"] == 1
            assert found.inside("sync --full", [SYNC, root, "full"])["n_read"] == 0
            answers = [found.inside("ours, warm", [WARM, root, *asked, "50"], skip=1)["runs"]]
            every = found.inside("ours, warm, all", [WARM, root, QUERY, ORDER, "0", "10"], skip=1)
            found.whole("duckdb process", ["-c", BARE])
            output = json.loads(found.whole("ours, cold process", cold))
            answers.append([run["run_id"] for run in output["result"]["runs"]])
            uris = {"files": str(folder / "ws" / "mlruns"), "sqlite": f"sqlite:///{folder}/runs.db"}
            for kind, n_calls in (("files", 1), ("sqlite", 3)):
                if is_wanted[kind]:
                    words = [THEIRS, uris[kind], *asked, str(n_calls)]
                    theirs = found.inside(f"MLflow, {kind}", words, skip=n_calls > 1)
                    answers.append(theirs["runs"])
            if is_wanted["sqlite"]:
                words = [THEIRS, uris["sqlite"], QUERY, ORDER, str(MOST), "3"]
                theirs = found.inside("MLflow, sqlite, all", words, skip=1)
                assert theirs["runs"] == every["runs"]
            assert all(answer == answers[0] for answer in answers)
        for question, (filter_text, order) in QUESTIONS.items():
            found.inside(question, [WARM, root, filter_text, order, str(PAGE), "20"], skip=1)
        shutil.rmtree(folder / "ws" / "mlruns")
    return found


def touch(experiment: Path, n: int) -> None:
    """Overwrite a tag of one run; the look at single files is for the lately changed ones."""
    first = next(iter(runs(n))).run_id
    (experiment / first / "tags" / "another").unlink(missing_ok=True)
    write(f"{experiment / first / 'tags' / 'another'}", "one")


def show(n: int, found: Measured, n_rounds: int) -> None:
    """Print the figures and the ratios that the design asks for."""
    print(f"\n{n:,} runs, {n_rounds} rounds")
    print(f"{'what':<24}{'median s':>10}{'slowest s':>11}{'CPU s':>9}{'MiB':>7}{'times':>7}")
    for name, costs in found.costs.items():
        most = max(seconds for seconds, _ in costs)
        middle, busy = found.median(name), found.median(name, 1)
        line = f"{name:<24}{middle:>10.4f}{most:>11.4f}{busy:>9.4f}"
        print(f"{line}{found.memory[name]:>7}{len(costs):>7}")
    print(f"{'ratio':<46}{'of seconds':>12}{'of CPU s':>12}")
    ratio("MLflow's file store to ours, warm", found, "MLflow, files", "ours, warm")
    ratio("MLflow's sqlite store to ours, warm", found, "MLflow, sqlite", "ours, warm")
    ratio("the same, with every matching run", found, "MLflow, sqlite, all", "ours, warm, all")
    ratio("cold command to a duckdb process", found, "ours, cold process", "duckdb process")
    ratio("first sync to MLflow's search in files", found, "first sync", "MLflow, files")


def ratio(title: str, found: Measured, above: str, below: str) -> None:
    if not (found.median(above) and found.median(below)):
        print(f"{title:<46}not measured: it would take too long")
        return
    both = [found.median(above, place) / found.median(below, place) for place in (0, 1)]
    print(f"{title:<46}{both[0]:>12,.2f}{both[1]:>12,.2f}")


def main(sizes: list[int], n_rounds: int, most_seconds: float) -> None:
    """Measure every size, and leave out whom the sizes before showed to take too long."""
    per_run = {"files": 0.0, "sqlite": 0.0}
    for n in sizes:
        is_wanted = {kind: each * n <= most_seconds for kind, each in per_run.items()}
        found = measure(n, n_rounds, is_wanted)
        show(n, found, n_rounds)
        for kind in per_run:
            if is_wanted[kind]:
                per_run[kind] = found.median(f"MLflow, {kind}") / n


if __name__ == "__main__":
    environment.prepare()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("runs", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="Longest call of MLflow.")
    given = parser.parse_args()
    main(given.runs, given.rounds, given.seconds)
