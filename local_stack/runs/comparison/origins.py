"""Where a run came from: its code, its entry point, its Python and the packages it recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local_stack.errors import StackError
from local_stack.names import inside
from local_stack.stores.artifacts import Blob
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

TAGS: Final = {
    "git commit": "mlflow.source.git.commit",
    "git branch": "mlflow.source.git.branch",
    "git repository": "mlflow.source.git.repoURL",
    "source": "mlflow.source.name",
    "source type": "mlflow.source.type",
    "entry point": "mlflow.project.entryPoint",
    "project environment": "mlflow.project.env",
    "docker image": "mlflow.docker.image.uri",
}
"""What MLflow's clients record in tags, under the names that people know it by."""

_MOST_BYTES = 1_000_000
_MOST_PACKAGES = 2_000
_FILES = ("requirements.txt", "python_env.yaml", "conda.yaml", "MLmodel")
_PIN = re.compile(
    r"^\s*(?:-\s*)?['\"]?([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?={2,3}([^\s;'\"#]+)"
)
_CONDA = re.compile(r"^\s*-\s*['\"]?([A-Za-z0-9][A-Za-z0-9._-]*)=([^=\s'\"#]+)")
_PYTHON = re.compile(r"^\s*(?:python_version|python):\s*['\"]?([0-9][0-9.]*)", re.MULTILINE)


def origin(workspace: Workspace, row: Row, files: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run recorded of its code and environment, by name.

    Parameters
    ----------
    files
        The files that the workspace stored for the run (blobs by path); those of other runs are
        looked for in their artefact folder.
    """
    tags = row["tags"] or {}
    found = {name: str(tags[key]) for name, key in TAGS.items() if tags.get(key)}
    paths = sorted(
        (path for path in row["artifacts"] or () if path.rpartition("/")[2] in _FILES),
        key=lambda path: (path.count("/"), path),
    )
    texts = {}
    for path in paths:
        name = path.rpartition("/")[2]
        if name not in texts and (text := _text(workspace, row, files, path)) is not None:
            texts[name] = text
    return found | _python(texts) | _packages(texts)


def local_path(workspace: Workspace, row: Row, files: Mapping[str, Any], path: str) -> Path | None:
    """Return where an artefact of a run lies on this machine, or None."""
    try:
        if path in files:
            return workspace.artifacts.path(Blob.of(files[path]))
        if row["artifact_folder"]:
            found = inside(Path(row["artifact_folder"]), path)
            return found if found.is_file() else None
    except (StackError, OSError):
        return None
    return None


def _text(workspace: Workspace, row: Row, files: Mapping[str, Any], path: str) -> str | None:
    place = local_path(workspace, row, files, path)
    try:
        if place is None:
            return None
        with place.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None


def _python(texts: Mapping[str, str]) -> dict[str, str]:
    for name in ("python_env.yaml", "MLmodel"):
        match = _PYTHON.search(texts.get(name, ""))
        if match:
            return {"Python": match[1]}
    match = re.search(r"^\s*-\s*python=+([0-9][0-9.]*)", texts.get("conda.yaml", ""), re.MULTILINE)
    return {"Python": match[1]} if match else {}


def _packages(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the pinned versions, under ``package NAME``."""
    name = "requirements.txt" if "requirements.txt" in texts else "conda.yaml"
    found: dict[str, str] = {}
    for line in texts.get(name, "").splitlines():
        match = _PIN.match(line) or (_CONDA.match(line) if name == "conda.yaml" else None)
        if match and match[1].lower() != "python" and len(found) < _MOST_PACKAGES:
            found[f"package {re.sub(r'[-_.]+', '-', match[1]).lower()}"] = match[2]
    return found
