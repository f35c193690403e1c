"""Paired bootstrap of metrics over the rows of held-out predictions.

Every run is measured on the same resamples (:mod:`local_stack.evaluation.resampling`), so that
what makes a row hard for all of them drops out of their difference, as
``scipy.stats.bootstrap(paired=True, rng=...)`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local_stack.evaluation import resampling
from local_stack.evaluation.resampling import FEWEST_RESAMPLES, FEWEST_ROWS, SEED, Held, Scorer
from local_stack.progress import Progress, Step, silent
from local_stack.runs.comparison.predictions import HeldOut

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FEWEST_ROWS", "Resampled", "resampled", "scorer"]

N_RESAMPLES: Final = 2_000
LEVEL: Final = 0.95
MOST_DRAWS: Final = 200_000_000
"""Rows drawn times runs measured; beyond it, fewer resamples are taken."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """Metrics of runs on the same resamples: for each run a mapping to (n_resamples,)."""

    runs: tuple[dict[str, np.ndarray], ...]
    n_rows: int
    n_resamples: int
    level: float = LEVEL

    def interval(self, key: str, run: int, baseline: int) -> tuple[float, float] | None:
        """Return the percentile interval of the metric of ``run`` minus that of ``baseline``.

        Its ends are the (1 - level) / 2 and (1 + level) / 2 quantiles (linear) of the
        differences over the resamples. Resamples that leave the metric undefined (those with
        one class) are left out; None when they are more than 5 percent, or a run lacks it.
        """
        mine, theirs = self.runs[run].get(key), self.runs[baseline].get(key)
        if mine is None or theirs is None:
            return None
        return resampling.interval(mine - theirs, self.level)


def resampled(
    runs: Sequence[HeldOut],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = SEED,
    progress: Progress = silent,
) -> Resampled:
    """Measure runs on the same resamples of their rows, which must be the same, in one order.

    At most ``n_resamples``; as many as ``MOST_DRAWS`` allows, and at least 200.
    """
    import numpy as np

    n_rows = runs[0].rows.size
    affordable = MOST_DRAWS // max(1, n_rows * len(runs))
    n_resamples = min(n_resamples, max(FEWEST_RESAMPLES, affordable))
    scorers = [scorer(run) for run in runs]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in runs]
    done = 0
    for counts in resampling.counts_of(n_rows, n_resamples, seed):
        progress(Step("Resampling the held-out rows", done, n_resamples))
        for part, measure in zip(parts, scorers, strict=True):
            part.append(measure(counts))
        done += len(counts)
    joined = tuple(
        {key: np.concatenate([found[key] for found in part]) for key in part[0]} for part in parts
    )
    return Resampled(joined, n_rows, n_resamples)


def scorer(held: HeldOut) -> Scorer:
    """Return what measures a run on resamples: the metrics of :meth:`HeldOut.metrics`."""
    return resampling.scorer(Held(len(held.classes), held.truth, held.predicted, held.probability))
