"""Versions of data sets, made with the verb."""

from __future__ import annotations

from typing import Any

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.workspace import Workspace


def add(
    workspace: Workspace, name: str, content: str | bytes, **options: Any
) -> versions.DataVersion:
    """Add a CSV file of this content as a version of a data set."""
    path = workspace.root.parent / f"{name}.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = call(workspace, "data.add", {"name": name, "source": str(path), **options})
    assert isinstance(found, versions.DataVersion)
    return found
