"""A workspace whose MLflow store other tools wrote to: nested, deleted, broken, with artefacts."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import polars as pl

DEEP, FLAT, LINEAR, GONE, BROKEN, LOAN = (letter * 32 for letter in "abcdef")
N_STEPS = 300
BEGAN = 1_795_000_000_000
"""Milliseconds since 1970, in November 2026."""


def fill_runs(root: Path) -> None:
    """Write a store of two experiments and six runs into the workspace at ``root``."""
    store = root / "mlruns"
    shutil.rmtree(store, ignore_errors=True)
    for number, name in (("1", "wine"), ("2", "loans")):
        _experiment(store, number, name)
    losses = [(step, 2.0 / (step + 1)) for step in range(N_STEPS)]
    _run(
        store, "1", DEEP, "tree-deep", 0,
        params={"model": "tree", "depth": "9", "odd key": "1"},
        metrics={"rmse": [(0, 0.61)], "loss": losses, "mae": [(0, 0.4)]},
        tags={"team": "red", "mlflow.user": "grace", "mlflow.note.content": "Try it\nwith wine."},
    )  # fmt: skip
    _artifacts(store / "1" / DEEP / "artifacts")
    _run(
        store, "1", FLAT, "tree-flat", 1,
        params={"model": "tree", "depth": "2"},
        metrics={"rmse": [(0, 0.75)], "loss": [(s, v + 0.2) for s, v in losses[::3]]},
        tags={"mlflow.parentRunId": DEEP, "team": "red"},
    )  # fmt: skip
    _run(
        store, "1", LINEAR, "linear", 2, status=4,
        params={"model": "linear"}, metrics={"rmse": [(0, 0.9)], "mae": [(0, float("nan"))]},
    )  # fmt: skip
    _run(store, "1", GONE, "gone", 3, params={"model": "tree"}, lifecycle="deleted")
    _run(store, "2", LOAN, "loan", 5, metrics={"auc": [(0, 0.8)]})
    broken = store / "1" / BROKEN
    broken.mkdir()
    (broken / "meta.yaml").write_text("run_id: [unclosed\n")


def add_run(root: Path, run: str, name: str) -> None:
    """Write one more run, as another tool does while the app is open."""
    _run(root / "mlruns", "2", run, name, 9, metrics={"auc": [(0, 0.9)]})


def _experiment(store: Path, number: str, name: str) -> None:
    folder = store / number
    folder.mkdir(parents=True)
    lines = {
        "artifact_location": folder.as_uri(),
        "creation_time": BEGAN,
        "experiment_id": f"'{number}'",
        "last_update_time": BEGAN,
        "lifecycle_stage": "active",
        "name": name,
    }
    (folder / "meta.yaml").write_text(_yaml(lines))


def _run(
    store: Path,
    experiment: str,
    run: str,
    name: str,
    minute: int,
    *,
    status: int = 3,
    lifecycle: str = "active",
    params: dict[str, str] | None = None,
    metrics: dict[str, list[tuple[int, float]]] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    folder = store / experiment / run
    for part in ("params", "metrics", "tags", "artifacts"):
        (folder / part).mkdir(parents=True)
    began = BEGAN + minute * 60_000
    meta = {
        "artifact_uri": (folder / "artifacts").as_uri(),
        "end_time": began + 42_000,
        "entry_point_name": "''",
        "experiment_id": f"'{experiment}'",
        "lifecycle_stage": lifecycle,
        "run_id": run,
        "run_name": name,
        "run_uuid": run,
        "source_name": "''",
        "source_type": 4,
        "source_version": "''",
        "start_time": began,
        "status": status,
        "tags": "[]",
        "user_id": "grace",
    }
    (folder / "meta.yaml").write_text(_yaml(meta))
    for key, value in (params or {}).items():
        (folder / "params" / key).write_text(value)
    for key, value in (tags or {}).items():
        (folder / "tags" / key).write_text(value)
    for key, points in (metrics or {}).items():
        lines = [f"{began + step} {value} {step}\n" for step, value in points]
        (folder / "metrics" / key).write_text("".join(lines))


def _yaml(values: dict[str, Any]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in values.items())


def _artifacts(folder: Path) -> None:
    """Write a text, tables, a picture, a document, and bytes that are none of these."""
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text("flavors:\n  python_function: {}\n")
    (folder / "notes.txt").write_text("first line\n\x1b[2Jsecond [/nope] line\n")
    (folder / "summary.json").write_text(json.dumps({"rmse": 0.61, "rows": [1, 2]}))
    table = pl.DataFrame({"feature": ["alcohol", "pH"], "gain": [0.75, 0.25]})
    table.write_csv(folder / "gains.csv")
    table.write_parquet(folder / "gains.parquet")
    (folder / "red.png").write_bytes(png(8, 4, (255, 0, 0)))
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "cut.png").write_bytes(png(8, 4, (255, 0, 0))[:40])


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Return a picture of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(colour) * width) * height
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


CREDIT, STUDY = "1" * 32, "2" * 32
ODD = "[/nope]\x1b[2Jkind"
WEAK = "[/nope]\x1b[2Jage > 40"


def fill_evaluated(root: Path) -> None:
    """Write a store of one run with an evaluation, and of one study with twelve trials."""
    store = root / "mlruns"
    shutil.rmtree(store, ignore_errors=True)
    _experiment(store, "1", "credit")
    measured = {"roc_auc": [(0, 0.79)], "log_loss": [(0, 0.5)], "cv_log_loss_mean": [(0, 0.52)]}
    _run(store, "1", CREDIT, "trees", 0, metrics=measured)
    _write(store / "1" / CREDIT / "artifacts", "evaluation/evaluation.json", evaluation())
    _run(store, "1", STUDY, "search", 1, tags={"paceml.study": "{}"})
    document = study()
    _write(store / "1" / STUDY / "artifacts", "tuning.json", document)
    for trial in document["trials"]:
        tags = {"mlflow.parentRunId": STUDY, "paceml.trial": str(trial["number"])}
        run, number = trial["run_id"], trial["number"]
        _run(store, "1", run, f"search-{number}", 2 + number, tags=tags)


def _write(folder: Path, name: str, document: dict[str, Any]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def evaluation() -> dict[str, Any]:
    """Return the evaluation of a classifier as ``runs train`` writes it."""
    bins = [{"n": 50, "predicted": n / 4, "observed": (n / 4) ** 1.2} for n in range(5)]
    rising = {"x": [n / 20 for n in range(21)], "y": [(n / 20) ** 0.4 for n in range(21)]}
    falling = {"x": rising["x"], "y": [1 - 0.6 * x for x in rising["x"]]}
    told = "The model learns its rows by heart, and [/nope] 'colour' gives the target away."
    weak = {"n_rows": 30, "share": 0.15, "loss": 0.3, "elsewhere": 0.1, "difference": 0.2}
    metrics = {"log_loss": 0.6, "roc_auc": 0.7, "accuracy": 0.65}
    return {
        "task": "classification", "target": "default", "classes": ["no", "yes"], "rows": "test",
        "n_rows": 200, "level": 0.95, "metrics": {}, "warnings": [told],
        "table": {
            "model": {"roc_auc": 0.79, "log_loss": 0.5, "accuracy": 0.75},
            "dummy": {"roc_auc": 0.5, "log_loss": 0.61, "accuracy": 0.7},
            "linear": {"roc_auc": 0.77, "log_loss": 0.52, "accuracy": 0.74},
        },
        "intervals": {"roc_auc": [0.72, 0.84], "log_loss": [0.44, 0.56]},
        "details": {
            "checks": [
                {"name": "overfit", "message": told, "is_warning": True, "values": {}},
                {"name": "unused", "message": "It uses all.", "is_warning": False, "values": {}},
            ],
            "roc": {"yes": rising}, "precision_recall": {"yes": falling},
            "calibration": {"bins": bins, "expected_error": 0.034},
            "calibration_before": {"bins": bins[1:], "expected_error": 0.081},
            "confusion": [[129, 11], [38, 22]],
            "importance": {"kind": "gain", "values": {"amount": 3.0, "[/nope] age": 1.0}},
            "learning_curve": {
                "metric": "log_loss", "n_rows": [100, 200, 800],
                "train": [0.2, 0.3, 0.4], "held_out": [0.7, 0.6, 0.5],
            },
            "loss": "Brier score",
            "slices": [
                {"column": "sex", "group": "sex is [/nope]", "n_rows": 60, "metrics": metrics,
                 "judged": {**weak, "is_weak": True}},
            ],
            "weak_segments": {"n_looked_at": 9, "found": [{"segment": WEAK, **weak}]},
        },
    }  # fmt: skip


def study() -> dict[str, Any]:
    """Return a study as ``runs tune`` writes it: one value is far off, two trials were pruned."""
    values = [1.2, 9.0, 1.1, None, 0.9, 1.0, 0.95, None, 0.8, 0.85, 0.9, 0.88]
    trials = [
        {
            "number": n, "run_id": f"{n:032x}", "value": value, "error": None, "seconds": 1.5 + n,
            "params": {"num_leaves": 15 + 8 * n, "rate": 0.01 * 1.5**n, ODD: "ab"[n % 2]},
            "status": "KILLED" if value is None else "FINISHED", "is_pruned": value is None,
            "folds": [1.0] if value is None else [value, value],
        }
        for n, value in enumerate(values)
    ]  # fmt: skip
    return {
        "metric": "log_loss", "direction": "minimize", "sampler": "tpe", "pruner": "median",
        "best": {"trial": 8, "params": trials[8]["params"], "value": 0.8},
        "trials": trials, "importance": {"rate": 0.7, "num_leaves": 0.25, ODD: 0.05},
        "history": [],
    }  # fmt: skip
