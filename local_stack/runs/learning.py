"""A training without its record: a recipe and a data version become files and numbers.

``runs train`` records what this gives, ``runs reproduce`` compares it with what was recorded.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local_stack.data import versions
from local_stack.errors import StackError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.runs import provenance
from local_stack.runs.comparison import predictions
from local_stack.runs.fitted import fold_histories
from local_stack.runs.provenance import Provenance
from local_stack.runs.recipe import Recipe
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.runs.cluster.client import Cluster
    from local_stack.runs.fitted import Fitted

MODEL: Final = "model"
"""The folder of the model below the artefacts of a run."""
HISTORY_FILE: Final = "history.json"
"""Metrics over steps: for each its ``steps`` and ``values``."""
IN_PARTS: Final = "paceml.in_parts"
"""The tag of a run whose model was learnt in parts on a cluster."""
_THERE = "cluster_cpu_seconds"
_MOST_POINTS = 1_000
Points: TypeAlias = "Sequence[tuple[int, float]]"
"""Steps and values of one metric."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a recipe came from: the folder whose code is recorded, and the stored recipe in it."""

    folder: Path
    stored: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Learnt(Result):
    """What a training gave, as plain values; its files lie in the folder that it was given.

    ``metrics`` are as the journal holds them, NaN and infinities as text. ``seconds`` and
    ``cpu_seconds`` are those of the fit, ``cost`` is that of the whole: wall and CPU seconds,
    the process's peak memory, and the bytes it read and wrote, cached ones included; with a
    cluster also ``cluster_cpu_seconds`` of its workers.
    """

    task: str
    params: dict[str, str]
    metrics: dict[str, float | str]
    tags: dict[str, str]
    warnings: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    cost: dict[str, float]


def learn(
    workspace: Workspace,
    plan: Recipe,
    version: versions.DataVersion,
    folder: Path,
    found: Provenance,
    *,
    run_id: str,
    stored: Mapping[str, Any] | None = None,
    threads: int | None = None,
    is_kept: bool = True,
    cluster: Cluster | None = None,
    is_in_parts: bool = False,
    progress: Progress = silent,
) -> Learnt:
    """Train ``plan`` on ``version``; write the model and everything beside it into ``folder``.

    Parameters
    ----------
    found
        Where the training takes place, as :func:`provenance.gather` told before it.
    stored
        Data set, number and hash of the stored recipe whose features are taken.
    threads
        How many the estimator is given; as many as there are cores when left out.
    is_kept
        Whether the outcome becomes a run, which has its evaluation and pictures for people.
    cluster
        Trains the folds of the cross-validation, or with ``is_in_parts`` the model itself.
    """
    from local_stack.runs import evaluating
    from local_stack.runs.fit import fit
    from local_stack.stores import model_files
    from local_stack.stores.model_example import typical

    meter = _Meter()
    progress(Step("Reading the data"))
    if cluster is not None and is_in_parts:
        from local_stack.runs.cluster.partitioned import fit_in_parts

        made = fit_in_parts(plan, versions.table_path(workspace, version), cluster, progress)
        fitted, looked_at, frame, targets = made
    else:
        frame = versions.read(workspace, version)
        elsewhere = None if cluster is None else cluster.folds
        fitted = fit(plan, frame, progress=progress, threads=threads, elsewhere=elsewhere)
        looked_at, targets = fitted, frame[plan.target or ""]
    evaluation = evaluating.Evaluation(fitted.model.task)
    notes: list[str] = []
    with _spared(notes, "evaluation"):
        evaluation = evaluating.evaluate(plan, looked_at, frame, progress)
    progress(Step("Storing the model and its predictions"))
    example = typical(frame, fitted.model.inputs)
    model_files.save(fitted.model, folder / MODEL, run_id=run_id, example=example)
    if fitted.n_rows_test:
        path = folder / predictions.FILE
        predictions.write(fitted, targets, path, version.reference)
    if is_kept:
        with _spared(notes, "drawing of the evaluation"):
            evaluating.write(evaluation, folder)
    write_histories(histories(fitted), folder)
    whole = provenance.completed(found, plan, version.reference, stored, fitted.params)
    whole.write(folder)
    metrics = {**evaluation.metrics, **fitted.metrics}  # what the fit measured stands
    cost = meter.read()
    if cluster is not None:
        cost[_THERE] = round(cluster.cpu_seconds(), 3)
    return Learnt(
        task=fitted.model.task,
        params={key: str(value) for key, value in fitted.params.items()},
        metrics={key: journalled(value) for key, value in metrics.items()},
        tags={
            **whole.tags(),
            "paceml.data_version": version.reference,
            "paceml.task": fitted.model.task,
            "paceml.seconds": f"{fitted.seconds:.3f}",
            "paceml.cpu_seconds": f"{fitted.cpu_seconds:.3f}",
            "paceml.peak_memory_bytes": str(cost["peak_memory_bytes"]),
            "paceml.total_seconds": f"{cost['wall_seconds']:.3f}",
            "paceml.total_cpu_seconds": f"{cost['cpu_seconds']:.3f}",
            "paceml.bytes_read": str(cost["bytes_read"]),
            "paceml.bytes_written": str(cost["bytes_written"]),
            **({IN_PARTS: "true"} if is_in_parts else {}),
            **{f"paceml.{key}": str(value) for key, value in cost.items() if key == _THERE},
        },
        warnings=tuple(dict.fromkeys((*fitted.warnings, *evaluation.warnings, *notes))),
        seconds=round(fitted.seconds, 3),
        cpu_seconds=round(fitted.cpu_seconds, 3),
        peak_memory_bytes=int(cost["peak_memory_bytes"]),
        cost=cost,
    )


@contextmanager
def _spared(notes: list[str], what: str) -> Iterator[None]:
    """Spare a trained model a defect in what is only told of it: that becomes a note."""
    try:
        yield
    except StackError:
        raise
    except Exception as error:  # noqa: BLE001 - hours of training are not lost over a picture
        said = (str(error).strip().splitlines() or [""])[0][:200]
        notes.append(f"The {what} failed and is left out ({type(error).__name__}: {said}).")


def histories(fitted: Fitted) -> dict[str, Points]:
    """Return the metrics of a training over steps, by key.

    ``cv_<metric>_by_fold`` has a step for each fold, ``early_stopping_<metric>`` one for each
    iteration, both from 1.
    """
    found: dict[str, Any] = {**fold_histories(fitted.folds)}
    if fitted.curve is not None:
        points = enumerate(fitted.curve.values, start=1)
        found[f"early_stopping_{fitted.curve.metric}"] = list(points)
    return found


def write_histories(found: Mapping[str, Points], folder: Path) -> None:
    """Write histories, thinned to a thousand points each, unless there are none."""
    if not found:
        return
    thinned = {key: _thinned(points) for key, points in found.items()}
    document = {
        key: {
            "steps": [step for step, _ in points],
            "values": [journalled(value) for _, value in points],
        }
        for key, points in thinned.items()
    }
    (folder / HISTORY_FILE).write_text(json.dumps(document), encoding="ascii")


def read_histories(folder: Path) -> dict[str, Points]:
    """Return the histories that were written into ``folder``."""
    path = folder / HISTORY_FILE
    if not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="ascii"))
    return {
        key: [(int(s), float(v)) for s, v in zip(one["steps"], one["values"], strict=True)]
        for key, one in document.items()
    }


def _thinned(points: Points) -> Points:
    """Return every n-th point, the last, the lowest and the highest."""
    if len(points) <= _MOST_POINTS:
        return points
    stride = -(-len(points) // (_MOST_POINTS - 3))
    places = {*range(0, len(points), stride), len(points) - 1}
    values = [value for _, value in points]
    places |= {values.index(min(values)), values.index(max(values))}
    return [points[place] for place in sorted(places)]


def journalled(value: float) -> float | str:
    """Return a metric as the journal holds it: JSON has no NaN and no infinities."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class _Meter:
    """What this process has cost since the meter was made."""

    def __init__(self) -> None:
        self._wall, self._cpu, self._bytes = time.perf_counter(), time.process_time(), _io_bytes()

    def read(self) -> dict[str, float]:
        read, written = _io_bytes()
        return {
            "wall_seconds": round(time.perf_counter() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "bytes_read": read - self._bytes[0],
            "bytes_written": written - self._bytes[1],
        }


def _io_bytes() -> tuple[int, int]:
    """Return the bytes that this process has read and written; zeros where nobody counts them."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        counts = dict(line.split(": ") for line in lines)
        return int(counts["rchar"]), int(counts["wchar"])
    except (OSError, ValueError, KeyError):
        return 0, 0
