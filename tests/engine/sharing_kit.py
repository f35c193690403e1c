"""Two workspaces, the folder that they share, and what travels between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars
import pytest

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.pulling import Pulled
from local_stack.data.pushing import Pushed
from local_stack.errors import Cancelled
from local_stack.progress import Step
from local_stack.workspace import Workspace


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    """A second workspace."""
    with Workspace.create(tmp_path / "other", actor="reader") as opened:
        yield opened


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """The folder that both know."""
    return tmp_path / "remote"


def push(workspace: Workspace, remote: Path | str, **options: Any) -> Pushed:
    """Push with the verb."""
    found = call(workspace, "data.push", {"remote": str(remote), **options})
    assert isinstance(found, Pushed)
    return found


def pull(workspace: Workspace, remote: Path | str, **options: Any) -> Pulled:
    """Pull with the verb."""
    found = call(workspace, "data.pull", {"remote": str(remote), **options})
    assert isinstance(found, Pulled)
    return found


def states(result: Pushed | Pulled) -> list[str]:
    """Return what became of each version."""
    return [version.state for version in result.versions]


def read(workspace: Workspace, reference: str) -> polars.DataFrame:
    """Return the table of a version."""
    return versions.read(workspace, versions.find(workspace, reference))


def objects(remote: Path) -> list[Path]:
    """Return the files of the objects in a remote."""
    return sorted(p for p in (remote / "files" / "md5").rglob("*") if p.is_file())


def shown(remote: Path) -> list[Path]:
    """Return the manifests in a remote."""
    return sorted((remote / "paceml" / "data").rglob("*.json"))


def stopping(after: int) -> Callable[[Step], None]:
    """Return a progress callable that cancels at the step after so many."""
    left = [after]

    def progress(step: Step) -> None:
        if step.label.startswith(("Pushing", "Pulling")):
            left[0] -= 1
            if left[0] < 0:
                raise Cancelled()

    return progress


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
