"""One file staged as a table, and what was said of it."""

from __future__ import annotations

from pathlib import Path

import polars
import pytest

from local_stack.data.importing import readers


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A new folder for what an import leaves on its way."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def stage(tmp_path: Path):
    """Return a function that stages bytes or a file as a kind and gives (staged, frame)."""
    count = iter(range(10_000))

    def run(content: bytes | str | Path, kind: str, **options):
        folder = tmp_path / f"stage-{next(count)}"
        folder.mkdir()
        path = folder / "source [x]*?"
        if isinstance(content, Path):
            path = content
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        staged = readers.stage(path, kind, folder / "table.parquet", scratch=folder, **options)
        return staged, polars.read_parquet(staged.table)

    return run


def codes(staged) -> list[tuple[str, str | None]]:
    """Return the codes of the warnings, each with its column."""
    return [(warning.code, warning.column) for warning in staged.warnings]


def decided(staged) -> dict[str, object]:
    """Return what was decided, by what it is about."""
    return {decision.what: decision.value for decision in staged.decisions}
