"""What is measured after a fit: baselines, intervals, curves, slices, checks; their pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.progress import Progress, Step, silent
from local_stack.results import Result

if TYPE_CHECKING:
    import polars as pl

    from local_stack.runs.fitted import Fitted
    from local_stack.runs.recipe import Recipe

FOLDER: Final = "evaluation"
"""The folder of the evaluation below the artefacts of a run."""
FILE: Final = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Evaluation(Result):
    """What was measured beside the usual metrics, as plain values.

    ``metrics`` are further metrics by name (``baseline_dummy_<metric>`` and
    ``baseline_linear_<metric>`` among them) and ``warnings`` are sentences.
    """

    task: str
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def evaluate(
    recipe: Recipe, fitted: Fitted, frame: pl.DataFrame, progress: Progress = silent
) -> Evaluation:
    """Measure what a training made; ``frame`` is the table that it was given."""
    progress(Step("Evaluating"))
    return Evaluation(fitted.model.task)


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation/evaluation.json`` and its pictures below ``folder``."""
    where = folder / FOLDER
    where.mkdir(exist_ok=True)
    document: dict[str, Any] = evaluation.to_dict()
    (where / FILE).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
