"""Pruning: which trials are given up after some of their folds.

Both rules are functions of what is known, and decide as Optuna's pruners of these names do on the
same history. What a trial spends is folds of the cross-validation, as more of them say more of
it; rounds of boosting are none, as the folds are judged elsewhere, each as a whole.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Pruner = Literal["none", "median", "hyperband"]
N_STARTUP: Final = 5
"""Trials that have to be finished before the median rule prunes one."""
N_WARMUP: Final = 1
"""Folds that the median rule lets every trial have."""
ETA: Final = 3
"""Hyperband goes on with the best 1 / ETA of the trials after 1, ETA, ETA**2, ... folds."""
STUDY: Final = "paceml"
"""What Optuna would have to call a study to put its trials into the same brackets."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a trial has come: the values of its folds in order, and whether it had them all."""

    number: int
    folds: tuple[float, ...]
    is_finished: bool = False


def is_hopeless(
    pruner: Pruner,
    trial: Reached,
    before: Sequence[Reached],
    *,
    n_folds: int,
    is_higher_better: bool,
) -> bool:
    """Return whether a trial is given up after the last of its ``folds``, which is new.

    Parameters
    ----------
    before
        The trials that have ended and that this one is told of; pruned and failed ones with the
        folds that they had.
    """
    if pruner == "median":
        finished = [other.folds for other in before if other.is_finished]
        return _is_below_median(trial.folds, finished, is_higher_better)
    if pruner == "hyperband":
        return _is_not_promoted(trial, before, n_folds, is_higher_better)
    return False


def _is_below_median(
    folds: Sequence[float], finished: Sequence[Sequence[float]], is_higher_better: bool
) -> bool:
    """Return whether the best fold is worse than the median of others at the last one.

    The median is that of the finished trials at the same fold (Golovin et al. 2017, as
    ``optuna.pruners.MedianPruner`` does it).
    """
    import numpy as np

    if len(finished) < N_STARTUP or len(folds) <= N_WARMUP:
        return False
    median = float(np.median([values[len(folds) - 1] for values in finished]))
    return max(folds) < median if is_higher_better else min(folds) > median


def _is_not_promoted(
    trial: Reached, before: Sequence[Reached], n_folds: int, is_higher_better: bool
) -> bool:
    """Return whether a trial that stands at a rung is not among the best third there.

    Trials are spread over brackets, and compete within theirs (Li et al. 2018; asynchronous as
    Li et al. 2020, as ``optuna.pruners.HyperbandPruner`` does it). A bracket has its first rung
    after ``ETA**bracket`` folds: of five folds there are two brackets, one with rungs after 1
    and 3 folds and one with a rung after 3. The value at a rung is the mean of the folds so far.
    """
    own = bracket(trial.number, n_folds)
    rung = len(trial.folds)
    if rung not in rungs(own, n_folds):
        return False
    sign = -1 if is_higher_better else 1
    value = sign * _mean(trial.folds)
    rivals = [
        sign * _mean(other.folds[:rung])
        for other in before
        if len(other.folds) >= rung and bracket(other.number, n_folds) == own
    ]
    rivals = sorted([*rivals, value])
    return value > rivals[max(len(rivals) // ETA, 1) - 1]


def rungs(number: int, n_folds: int) -> list[int]:
    """Return after how many folds the trials of a bracket are compared."""
    found = [ETA**step for step in range(number, _n_brackets(n_folds))]
    return [rung for rung in found if rung <= n_folds]


def bracket(number: int, n_folds: int) -> int:
    """Return the bracket of a trial: the first is the most eager one, and has the most trials."""
    n_brackets = _n_brackets(n_folds)
    shares = [
        math.ceil(n_brackets * ETA**left / (left + 1)) for left in reversed(range(n_brackets))
    ]
    place = binascii.crc32(f"{STUDY}_{number}".encode()) % sum(shares)
    found = 0
    while place >= shares[found]:
        place -= shares[found]
        found += 1
    return found


def _n_brackets(n_folds: int) -> int:
    return math.floor(math.log(n_folds, ETA)) + 1


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
