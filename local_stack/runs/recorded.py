"""The records of a run of ours, from which it can be repeated or varied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, StackError
from local_stack.progress import Progress, silent
from local_stack.runs import provenance
from local_stack.runs.records import find_run
from local_stack.runs.syncing import before_reading
from local_stack.stores.artifacts import Blob
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the workspace recorded of a run: ``row`` is the journal's record.

    ``recipe`` is the one that was trained, which for a study is that of its best trial, ``data``
    is the data version as NAME@VERSION; ``environment`` is what stands in the run's
    ``environment.json`` ({} for a run that was made before there was one).
    """

    row: Row
    recipe: dict[str, Any]
    data: str
    environment: dict[str, Any]

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        return str(self.row["run_id"])

    @property
    def recipe_text(self) -> str:
        """Return the recipe as a text that a recipe file could hold."""
        return json.dumps(self.recipe, indent=1, ensure_ascii=True) + "\n"

    @property
    def folder(self) -> Path:
        """Return where the recipe lay, or the working directory when that is gone."""
        folder = Path(str(self.environment.get("folder") or "."))
        return folder if folder.is_dir() else Path.cwd()


def recorded(workspace: Workspace, run: str, progress: Progress = silent) -> Recorded:
    """Return the records of a run that was trained here.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.

    Raises
    ------
    NotFoundError
        There is no such run.
    InputError
        It was not trained here, so that it has no recipe.
    """
    before_reading(workspace, progress)
    return of_id(workspace, str(find_run(workspace, run)["run_id"]))


def of_id(workspace: Workspace, run_id: str) -> Recorded:
    """Return the records of the run with exactly this id, from the journal alone."""
    row = workspace.get("runs", run_id)
    if row is None or not row["recipe"]:
        raise InputError(
            f"Run {run_id} has no recipe: it was not trained by PACE-ML.",
            "Write a recipe, and train it with: paceml-tui runs train RECIPE",
        )
    data = next((one for one in row["datasets"] or () if one["context"] == "training"), None)
    if data is None:
        raise InputError(f"Run {run_id} has no record of the data it was trained on.")
    environment = _environment(workspace, row["files"] or {})
    recipe = environment.get("recipe", {}).get("document") or row["recipe"]
    return Recorded(row, recipe, f"{data['name']}@{data['digest']}", environment)


def check_bytes(workspace: Workspace, version: versions.DataVersion) -> None:
    """Raise :class:`NotFoundError` when the bytes of a data version are gone."""
    blob = Blob.of(versions.held(workspace, version)["table"])
    if not workspace.artifacts.has(blob):
        raise NotFoundError(
            f"The bytes of {version.reference} are not in the artefact store.",
            f"Bring them back: paceml-tui data pull --name {version.reference}",
        )


def _environment(workspace: Workspace, files: Mapping[str, Any]) -> dict[str, Any]:
    blob = files.get(provenance.FILE)
    if blob is None:
        return {}
    try:
        found = json.loads(workspace.artifacts.read(Blob.of(blob)))
    except (StackError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
