"""Datasets and artefacts of runs, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from local_stack.runs.comparison.origins import local_path
from local_stack.runs.comparison.shape import ArtifactComparison, DatasetComparison
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

MOST_HASHED: Final = 256 * 1024 * 1024
"""How many bytes of a comparison's artefacts are read at most, to tell those of equal size."""
_BLOCK = 1 << 20


def datasets(workspace: Workspace, rows: Sequence[Row]) -> tuple[DatasetComparison, ...]:
    """Return every dataset that a run names, with the version that each run took.

    Two versions that the workspace holds can be compared: ``commands`` says how.
    """
    found = [
        {(str(d.get("name", "")), str(d.get("context") or "")): d for d in row["datasets"] or ()}
        for row in rows
    ]
    keys = sorted({key for entries in found for key in entries})
    known = {
        (row["dataset"], row["version"])
        for row in workspace.query("SELECT dataset, version FROM data_versions")
    }
    compared = []
    for name, context in keys:
        entries = [entries.get((name, context)) for entries in found]
        versions = tuple(
            None if entry is None else str(entry.get("digest") or "") for entry in entries
        )
        held = [v for v in dict.fromkeys(versions) if v is not None and (name, v) in known]
        commands = tuple(
            f"paceml-tui data diff {name}@{before[:12]} {name}@{after[:12]}"
            for before, after in pairwise(held)
        )
        differs = len(set(versions)) > 1
        compared.append(DatasetComparison(name, context, versions, commands, differs))
    return tuple(compared)


def artifacts(
    workspace: Workspace, rows: Sequence[Row], files: Sequence[Mapping[str, Any]]
) -> tuple[ArtifactComparison, ...]:
    """Return every artefact of the runs: where it is, its size, and its hash as far as needed."""
    paths = sorted({path for row in rows for path in row["artifacts"] or ()})
    budget = MOST_HASHED
    found = []
    for path in paths:
        is_there = tuple(path in (row["artifacts"] or ()) for row in rows)
        places = [
            local_path(workspace, row, {}, path) if there and path not in stored else None
            for row, stored, there in zip(rows, files, is_there, strict=True)
        ]
        sizes = tuple(
            _size(path, row, stored, place)
            for row, stored, place in zip(rows, files, places, strict=True)
        )
        hashes: tuple[str | None, ...] = tuple(
            str(stored[path]["sha256"]) if path in stored else None for stored in files
        )
        if _is_worth_reading(is_there, sizes, hashes):
            needed = sum(s or 0 for s, p in zip(sizes, places, strict=True) if p)
            if needed <= budget:
                budget -= needed
                hashes = tuple(
                    _hash(place) if known is None and place else known
                    for known, place in zip(hashes, places, strict=True)
                )
        difference = _difference(is_there, sizes, hashes)
        found.append(ArtifactComparison(path, is_there, sizes, hashes, difference))
    return tuple(found)


def _size(path: str, row: Row, stored: Mapping[str, Any], place: Path | None) -> int | None:
    if path in stored:
        return int(stored[path]["size"])
    known = (row["artifact_sizes"] or {}).get(path)
    if known is not None:
        return int(known)
    try:
        return place.stat().st_size if place else None
    except OSError:
        return None


def _is_worth_reading(
    is_there: Sequence[bool], sizes: Sequence[int | None], hashes: Sequence[str | None]
) -> bool:
    """Return whether only the bytes can tell: all have it, the sizes agree, a hash is missing."""
    return all(is_there) and len(set(sizes)) == 1 and None in hashes


def _hash(place: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with place.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _difference(
    is_there: Sequence[bool], sizes: Sequence[int | None], hashes: Sequence[str | None]
) -> str:
    if not all(is_there):
        return "missing"
    known_sizes = {size for size in sizes if size is not None}
    known_hashes = {digest for digest in hashes if digest is not None}
    if len(known_sizes) > 1 or len(known_hashes) > 1:
        return "content"
    return "unknown" if None in hashes else "same"
