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
