"""Pruning: which trials are given up after some of their folds."""

from __future__ import annotations

from collections.abc import Sequence

N_STARTUP = 5
"""Trials that have to be finished before one is pruned."""
N_WARMUP = 1
"""Folds that every trial gets."""


def is_hopeless(
    folds: Sequence[float], finished: Sequence[Sequence[float]], is_higher_better: bool
) -> bool:
    """Return whether a trial is pruned after ``folds``, by the median rule of Optuna.

    Its best fold so far is worse than the median, over the ``finished`` trials, of the fold that
    it is at (Golovin et al. 2017, as ``optuna.pruners.MedianPruner`` does it).

    Parameters
    ----------
    folds
        Values of the folds in order, the last one new.
    finished
        The same of each trial that was finished.
    """
    import numpy as np

    if len(finished) < N_STARTUP or len(folds) <= N_WARMUP:
        return False
    median = float(np.median([values[len(folds) - 1] for values in finished]))
    return max(folds) < median if is_higher_better else min(folds) > median
