"""The rows on which a model is judged: those held out from its training, or all of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.data import versions
from local_stack.errors import InputError, nearest
from local_stack.explain.subject import Subject, training_data
from local_stack.progress import Progress, Step
from local_stack.runs.comparison import predictions
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

TEST: Final = "test"
ALL: Final = "all"
OTHER: Final = "other"
"""Rows held out from the training, all rows of its version, or all of another version."""


@dataclass(frozen=True)
class Rows:
    """The rows that are looked at: table, truth as class numbers or numbers, and weights."""

    kind: str
    frame: pl.DataFrame
    truth: np.ndarray
    weights: np.ndarray | None
    whole: pl.DataFrame
    notes: tuple[str, ...]


def rows_of(workspace: Workspace, subject: Subject, progress: Progress) -> Rows:
    """Return the held-out rows of the run, or all rows, with a sentence that says why."""
    import numpy as np

    from local_stack.evaluation.targets import codes_of, labels_of, numbers_of

    progress(Step("Reading the rows"))
    run, model = subject.run, subject.model
    whole = versions.read(workspace, subject.version)
    name = str(run["target"])
    if name not in whole.columns:
        raise InputError(
            f"{subject.version.reference} has no column '{name}', so nothing tells who was right.",
            nearest(name, whole.columns),
        )
    series = whole[name]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    kept = np.flatnonzero(series.is_not_null().to_numpy())
    series = series[kept]
    if model.task == "regression":
        truth = numbers_of(series)
    else:
        truth = codes_of(labels_of(series), model.classes)
    rows, kind, notes = kept, OTHER, []
    if subject.version.reference == training_data(workspace, run).reference:
        kind = ALL
        recorded = workspace.get("runs", subject.run_id) or {}
        held = predictions.read(workspace, recorded.get("files"))
        split = (run["recipe"] or {}).get("split") or {}
        if isinstance(held, str) and split.get("test") == 0:
            notes.append(
                "All rows are looked at, and the model learnt from them: the run held none out."
            )
        elif isinstance(held, str):
            notes.append(f"All rows are looked at, and the model learnt from most of them: {held}.")
        elif held.data == subject.version.reference and np.isin(held.rows, kept).all():
            rows, kind = np.sort(held.rows), TEST
    places = np.searchsorted(kept, rows)
    weights = _weights(run, whole, rows)
    if weights is None and (run["recipe"] or {}).get("weights"):
        notes.append("The rows are not weighted: the data lacks the column of weights.")
    return Rows(kind, whole[rows], truth[places], weights, whole, tuple(notes))


def _weights(run: Mapping[str, Any], frame: pl.DataFrame, rows: np.ndarray) -> np.ndarray | None:
    """Return the weights of rows by the recipe's column; None without it, or when all are 0."""
    import numpy as np
    import polars as pl

    name = (run["recipe"] or {}).get("weights")
    if not name or name not in frame.columns:
        return None
    found = frame[name].cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()[rows]
    if not (np.isfinite(found) & (found >= 0)).all():
        raise InputError(f"The weights in '{name}' must be finite and not below zero.")
    return found if found.any() else None
