"""Runs and experiments of a folder store, written as MLflow writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def put_run(root: Path, run: str, experiment: str = "1", **meta: Any) -> Path:
    """Write a run as MLflow's file store does."""
    folder = root / experiment / run
    for name in ("params", "metrics", "tags", "artifacts"):
        (folder / name).mkdir(parents=True)
    known = {
        "artifact_uri": f"file:///elsewhere/{experiment}/{run}/artifacts",
        "end_time": 1_600_000_060_000,
        "entry_point_name": "''",
        "experiment_id": f"'{experiment}'",
        "lifecycle_stage": "active",
        "run_id": run,
        "run_name": f"name-{run[:4]}",
        "source_type": 4,
        "start_time": 1_600_000_000_000,
        "status": 3,
        "user_id": "ann",
    } | meta
    lines = "".join(f"{key}: {value}\n" for key, value in known.items())
    (folder / "meta.yaml").write_text(lines)
    (folder / "params" / "model").write_text("tree")
    (folder / "metrics" / "rmse").write_text("1600000000000 0.5 0\n1600000001000 0.25 1\n")
    (folder / "tags" / "team").write_text("red")
    return folder


def put_experiment(root: Path, experiment: str = "1", name: str = "wine") -> None:
    (root / experiment).mkdir(parents=True, exist_ok=True)
    (root / experiment / "meta.yaml").write_text(
        f"artifact_location: file:///elsewhere\ncreation_time: 1600000000000\n"
        f"experiment_id: '{experiment}'\nlast_update_time: 1600000000000\n"
        f"lifecycle_stage: active\nname: {name}\n"
    )


def run_id(number: int) -> str:
    return f"{number:032x}"
