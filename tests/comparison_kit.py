"""What the tests of comparing runs share: runs with stored predictions, made without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack.runs.comparison import predictions
from local_stack.runs.comparison.predictions import HeldOut
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace


def regression(n: int = 120, seed: int = 0, noise: float = 1.0) -> HeldOut:
    """Predictions of one truth; the smaller the noise, the better they are."""
    truth = np.random.default_rng(99).normal(size=n)
    predicted = truth + noise * np.random.default_rng(seed).normal(size=n)
    return HeldOut("regression", (), np.arange(n), truth, predicted, None, "wine@a1")


def classification(
    n: int = 120, n_classes: int = 2, seed: int = 0, skill: float = 0.5, unseen: bool = False
) -> HeldOut:
    """Predictions with ties among the scores, of one truth for all seeds."""
    truth = np.random.default_rng(98).integers(0, n_classes, n)
    scores = np.random.default_rng(seed).dirichlet(np.ones(n_classes), n)
    scores[np.arange(n), truth] += skill
    scores = np.round(scores, 1) + 0.01
    probability = scores / scores.sum(axis=1, keepdims=True)
    if unseen:
        truth = np.where(np.arange(n) == 3, -1, truth)
    classes = tuple(f"class {number}" for number in range(n_classes))
    predicted = probability.argmax(axis=1)
    return HeldOut(
        "classification", classes, np.arange(n), truth, predicted, probability, "wine@a1"
    )


def run_id(number: int) -> str:
    return f"{number:x}".rjust(4, "a").ljust(32, "b")


def put_run(workspace: Workspace, number: int, held: HeldOut | None = None, **more: Any) -> str:
    """Record a finished run with these predictions and their metrics."""
    row: dict[str, Any] = {
        "run_id": run_id(number),
        "name": f"run-{number}",
        "experiment": "wine",
        "experiment_id": "1",
        "status": "FINISHED",
        "lifecycle": "active",
        "actor": "ann",
        "started_at": f"2026-01-0{number + 1}T00:00:00.000000Z",
        "ended_at": f"2026-01-0{number + 1}T00:01:30.000000Z",
        "params": {},
        "metrics": held.metrics() if held else {},
        "tags": {},
        "datasets": [],
        "artifacts": [],
        "files": {},
    }
    row |= more
    if held is not None:
        row["files"] = {predictions.FILE: stored(workspace, held)}
        row["artifacts"] = sorted([*row["artifacts"], predictions.FILE])
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    return run_id(number)


def stored(workspace: Workspace, held: HeldOut) -> Mapping[str, Any]:
    """Store predictions as a training does."""
    with workspace.scratch() as folder:
        path = Path(folder) / predictions.FILE
        columns: dict[str, Sequence[Any] | np.ndarray] = {"row": held.rows}
        if held.task == "regression":
            columns |= {"target": held.truth, "prediction": held.predicted}
        else:
            columns["target"] = [held.classes[code] for code in held.truth]
            columns["prediction"] = [held.classes[code] for code in held.predicted]
            assert held.probability is not None
            for place, name in enumerate(held.classes):
                columns[f"probability_{name}"] = held.probability[:, place]
        about = {"task": held.task, "classes": list(held.classes), "data": held.data}
        text = predictions.json.dumps(about)
        pl.DataFrame(columns).write_parquet(path, metadata={"paceml": text})
        return workspace.artifacts.put_file(path).to_dict()
