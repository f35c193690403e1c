"""What SHAP values cost, beside LightGBM's ``pred_contrib`` and shap's TreeExplainer.

Run it on an idle machine: ``python tests/benchmarks/bench_explain.py [ROWS ...] [--rounds N]
[--trees N] [--leaves N] [--features N] [--seconds S]`` (default 1, 100, 1,000 and 10,000 rows, 3
rounds, 500 trees of 31 leaves, 30 features). The design's target is that of 100,000 rows, where
LightGBM takes minutes: ``bench_explain.py 100000 --rounds 1``.

The booster learns 20,000 generated rows. Everybody explains the same other rows, in turns, and
the largest difference of ours to ``pred_contrib`` is printed for each size:

* LightGBM's ``pred_contrib``, on all cores (LightGBM gives one row to one);
* shap's own code (asked for a booster of LightGBM it would call ``pred_contrib``); a size that
  would take it more than ``--seconds`` is left out;
* ours by NumPy and ours by numba's machine code, both with the trees read and the code compiled
  before, and as a person sees it: what the first call of a process costs, reading and, where it
  is made, compiling included.

Then one row in a warm process: the median of many calls, in turns with a bare ``pred_contrib``.
Last the crossover: what compiling costs and what a row costs either way, and from how many rows
on compiling pays, beside what the program itself thinks of it.

woodelf-explainer (0.4.8), whose idea of tables by patterns was tried first, differs from
``pred_contrib`` by 4e-6 for this booster, and more where leaves are larger: it rounds each leaf's
table of Shapley values to 32 bits before the leaves are summed
(``lts_recursive_p2s.get_path_dependent_s_matrix``). With 64 bits there it differs by 7e-15.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack import environment
from local_stack.explain.attributing import kernel, quadrature
from local_stack.explain.attributing.attributing import Explainer
from local_stack.explain.attributing.ensembles import Ensemble
from local_stack.explain.attributing.quadrature import tree_shap
from local_stack.explain.attributing.trees import ensemble_of, tree_values
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model import Model

N_LEARNT = 20_000
N_CALLS = 200
"""Calls of one row."""

FIRST = """
import json, sys, time
import numpy as np
import lightgbm
from local_stack.explain.attributing.boosted import read_lightgbm
from local_stack.explain.attributing.quadrature import tree_shap
who, file, rows = sys.argv[1:]
content, matrix = open(file, "rb").read(), np.load(rows)
booster = lightgbm.Booster(model_str=content.decode())
class Record: n_outputs = 1
class Stored: pass
Stored.content, Stored.record, Stored.features = content, Record, range(matrix.shape[1])
wall, busy = time.perf_counter(), time.process_time()
if who == "ours":
    tree_shap(read_lightgbm(Stored), matrix)
else:
    booster.predict(matrix, pred_contrib=True)
print(json.dumps([time.perf_counter() - wall, time.process_time() - busy]))
"""
"""What a process pays for its first rows; the booster itself is loaded before."""

COMPILE = """
import json, time
import numpy, scipy.special
from local_stack.explain.attributing import kernel
wall, busy = time.perf_counter(), time.process_time()
assert kernel.can_compile()
print(json.dumps([time.perf_counter() - wall, time.process_time() - busy]))
"""


def learnt(n_trees: int, n_leaves: int, n_features: int) -> Model:
    """Return a booster of generated rows."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(N_LEARNT, n_features))
    y = matrix[:, 0] * matrix[:, 1] + np.sin(2 * matrix[:, 2]) + 0.3 * matrix[:, 3:10].sum(axis=1)
    frame = pl.DataFrame(matrix, schema=[f"x{place}" for place in range(n_features)])
    params = {"n_estimators": n_trees, "num_leaves": n_leaves, "learning_rate": 0.05}
    value = {"dataset": "t", "target": "y", "task": "regression", "params": params}
    recipe = parse_recipe(value | {"estimator": "lightgbm"})
    return fit(recipe, frame.with_columns(y=pl.Series(y + draw.normal(size=N_LEARNT)))).model


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds, and CPU seconds of all threads."""
    wall, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - busy


def by(ensemble: Ensemble, matrix: np.ndarray, is_compiled: bool) -> np.ndarray:
    """Return our values by one implementation."""
    chosen, quadrature._is_compiled = quadrature._is_compiled, lambda *_: is_compiled
    try:
        return tree_shap(ensemble, matrix)
    finally:
        quadrature._is_compiled = chosen


def shap_values(model: Model, matrix: np.ndarray) -> Callable[[], Any]:
    """Return a call of shap's own code."""
    import shap

    explainer = shap.TreeExplainer(model.estimator, feature_perturbation="tree_path_dependent")
    explainer.model.model_type = "internal"
    return lambda: explainer.shap_values(matrix, check_additivity=False)


def compare(
    model: Model, folder: Path, matrix: np.ndarray, n_rounds: int, seconds: float, per_row: float
) -> float:
    """Measure a number of rows in turns and print it; return what a row costs shap."""
    ensemble = ensemble_of(model)
    assert ensemble is not None
    contributions = model.estimator.predict(matrix[:1000], pred_contrib=True)[:, :-1]
    ours = tree_shap(ensemble, matrix[:1000])[:, :, 0]
    calls = {
        "LightGBM": lambda: model.estimator.predict(matrix, pred_contrib=True),
        "ours, compiled": lambda: by(ensemble, matrix, True),
    }
    if len(matrix) <= 10_000:
        calls["ours, NumPy"] = lambda: by(ensemble, matrix, False)
    if per_row * len(matrix) <= seconds:
        calls["shap"] = shap_values(model, matrix)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(n_rounds):
        for name, call in calls.items():
            found[name].append(timed(call))
    np.save(folder / "rows.npy", matrix)
    for who in ("LightGBM", "ours"):
        words = [who, str(folder / "model.lgb"), str(folder / "rows.npy")]
        found[f"{who}, first call"] = [fresh(FIRST, words) for _ in range(n_rounds)]
    print(f"\n{len(matrix):,} rows; largest difference {np.abs(ours - contributions).max():.1e}")
    print(f"{'who':<24}{'median s':>12}{'CPU s':>12}{'LightGBM is':>13}{'of CPU s':>10}")
    for name, costs in found.items():
        usual = found["LightGBM, first call" if "first" in name else "LightGBM"]
        line = f"{name:<24}{median(costs, 0):>12.4f}{median(costs, 1):>12.4f}"
        ratios = [median(usual, place) / median(costs, place) for place in (0, 1)]
        print(f"{line}{ratios[0]:>12.2f}x{ratios[1]:>9.2f}x")
    return median(found["shap"], 0) / len(matrix) if "shap" in found else per_row


def median(costs: list[tuple[float, float]], place: int) -> float:
    return statistics.median(cost[place] for cost in costs)


def fresh(program: str, words: list[str]) -> tuple[float, float]:
    """Return the seconds and CPU seconds that a process of its own measured."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, check=True
    )
    wall, busy = json.loads(done.stdout.splitlines()[-1])
    return wall, busy


def show_one_row(model: Model, matrix: np.ndarray) -> None:
    """Print what one row costs in a warm process, each call in turn with a bare one."""
    explainer = Explainer(model, matrix[:100])
    calls = {
        "pred_contrib, bare": lambda row: model.estimator.predict(row, pred_contrib=True),
        "values and raw score": lambda row: tree_values(model, row),
        "in original columns": lambda row: explainer.attribute(row),
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for place in range(N_CALLS):
        row = matrix[place % len(matrix)][None]
        for name, call in calls.items():
            found[name].append(timed(lambda call=call, row=row: call(row))[0])
    print(f"\none row, warm, {N_CALLS} calls\n{'what':<24}{'median ms':>12}{'of bare':>10}")
    bare = statistics.median(found["pred_contrib, bare"][5:])
    for name, costs in found.items():
        middle = statistics.median(costs[5:])
        print(f"{name:<24}{1000 * middle:>12.3f}{middle / bare:>10.2f}")


def show_crossover(model: Model, matrix: np.ndarray, n_rounds: int) -> None:
    """Print from how many rows on compiling pays in a new process, by CPU seconds."""
    ensemble = ensemble_of(model)
    assert ensemble is not None
    compiling = median([fresh(COMPILE, []) for _ in range(n_rounds)], 1)
    slow = cpu_seconds(ensemble, matrix[:256], False) / 256
    fast = cpu_seconds(ensemble, matrix[:4096], True) / 4096
    few = range(1, 65)
    least = next(
        n
        for n in few
        if n == few[-1]
        or cpu_seconds(ensemble, matrix[:n], True) < cpu_seconds(ensemble, matrix[:n], False)
    )
    print(f"\ncompiling {compiling:.2f} CPU s; a row {1e3 * slow:.3f} CPU ms by NumPy", end="")
    print(f" ({1e9 * slow / ensemble.work:.1f} ns a point of a node), {1e3 * fast:.4f} compiled")
    print(f"compiling pays from {compiling / (slow - fast):,.0f} rows on", end="; ")
    print(f"the program compiles from {quadrature._WORTH_COMPILING / ensemble.work:,.0f} on")
    print(f"compiled code is quicker from {least} rows on", end="; ")
    print(f"the program uses it from {quadrature._FEWEST_COMPILED} on")


def cpu_seconds(ensemble: Ensemble, matrix: np.ndarray, is_compiled: bool) -> float:
    return median([timed(lambda: by(ensemble, matrix, is_compiled)) for _ in range(3)], 1)


def main(given: argparse.Namespace) -> None:
    """Measure every size, then one row, then the crossover."""
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    model = learnt(given.trees, given.leaves, given.features)
    assert kernel.can_compile()
    draw = np.random.default_rng(1)
    matrix = draw.normal(size=(max(*given.rows, 4096), given.features))
    per_row = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.lgb").write_bytes(model.content)
        for n in sorted(given.rows):
            per_row = compare(model, folder, matrix[:n], given.rounds, given.seconds, per_row)
    show_one_row(model, matrix)
    show_crossover(model, matrix, given.rounds)


if __name__ == "__main__":
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("rows", nargs="*", type=int, default=[1, 100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120.0, help="Longest call of shap.")
    main(parser.parse_args())
