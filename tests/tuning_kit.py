"""What the tests of tuning share: a recipe with a search, studies, and what is left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_stack import catalog
from local_stack.workspace import Workspace

RECIPE = """\
dataset: beans
experiment: growth
split: {seed: 3, folds: 3}
params: {n_estimators: 8, min_child_samples: 5}
search:
  trials: 6
  space:
    learning_rate: {log: [0.01, 1.0]}
    num_leaves: [2, 12]
    subsample: {choice: [0.5, 1.0]}
"""


def put_recipe(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "search.yaml"
    path.write_text(text)
    return path


def tune(workspace: Workspace, recipe: Path, progress: Any = lambda _: None, **given: Any) -> Any:
    return catalog.call(workspace, "runs.tune", {"recipe": recipe, **given}, progress=progress)


def outcomes(tuned: Any) -> list[tuple[Any, ...]]:
    """Return what has to be the same in two studies of the same trials."""
    return [(t.number, t.params, t.status, t.value, t.folds) for t in tuned.trials]


def children(workspace: Workspace, parent: str) -> list[dict[str, Any]]:
    """Return the trials that the journal has, as rows."""
    return workspace.query(
        "SELECT * FROM runs WHERE json_extract_string(tags, '/mlflow.parentRunId') = ?", parent
    )


def mirrored(workspace: Workspace, parent: str) -> dict[str, Any]:
    """Return the active runs below ``parent`` that an MLflow client finds, by trial."""
    import mlflow

    client = mlflow.MlflowClient(workspace.tracking.uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000)
    numbers = [run.data.tags["paceml.trial"] for run in runs]
    assert len(set(numbers)) == len(numbers), "a trial was doubled"
    return dict(zip(numbers, runs, strict=True))


def events(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    rows = workspace.query("SELECT body FROM events WHERE kind = ? ORDER BY seq", kind)
    return [
        row["body"] if isinstance(row["body"], dict) else json.loads(row["body"]) for row in rows
    ]
