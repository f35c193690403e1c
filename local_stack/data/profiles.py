"""The ``data profile`` verb: statistics of a version, with what is needed to repeat them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from local_stack.command import command
from local_stack.data import versions
from local_stack.progress import Progress, silent
from local_stack.results import now
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.data.profiling.shape import DatasetProfile


@command(
    "data.profile",
    is_long=True,
    reads=versions.reads,
    example="paceml-tui data profile wine",
)
def profile(
    workspace: Workspace,
    name: str,
    *,
    sample: int | None = None,
    progress: Progress = silent,
) -> DatasetProfile:
    """Describe every column of a version, their correlations, and what looks wrong.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    sample
        Take this many seeded random rows instead of all; the result says so.
    """
    from local_stack.data.profiling.profile import profile_frame

    version = versions.find(workspace, name)
    started = time.monotonic()
    frame = versions.read(workspace, version)
    n_rows = frame.height
    if sample is not None and 0 < sample < n_rows:
        frame = frame.sample(sample, seed=0)
    result = profile_frame(frame, target=version.target, progress=progress)
    reproduction = {
        "dataset": version.dataset,
        "version": version.version,
        "n_rows_total": n_rows,
        "n_rows_used": frame.height,
        "is_sample": frame.height < n_rows,
        "profiled_at": now(),
        "seconds": round(time.monotonic() - started, 3),
        "command": f"paceml-tui data profile {version.reference}",
    }
    return replace(result, reproduction=reproduction)
