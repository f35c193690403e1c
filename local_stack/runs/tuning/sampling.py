"""Optuna: where the next trial of a search is, and which parameters matter.

This is the only module that knows Optuna. It is asked as a function of what is known: nothing of
a study lives in it, so that a study that was killed goes on exactly as it would have.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from local_stack.runs.recipe import Dimension
from local_stack.runs.tuning.space import Params, bounds, is_whole

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

State = Literal["running", "finished", "pruned", "failed"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a trial: a value once it is finished, ``folds`` where it was pruned."""

    params: Params
    state: State
    value: float | None = None
    folds: tuple[float, ...] = ()


def suggest(
    space: Sequence[Dimension],
    seen: Sequence[Seen],
    *,
    sampler: str,
    seed: int,
    is_higher_better: bool,
    first: Params | None = None,
) -> Params:
    """Return the parameters of the trial after those that were ``seen``, which are in order.

    The same arguments give the same parameters. TPE begins with those of ``first``.
    """
    import numpy as np

    number = int(np.random.SeedSequence([seed, len(seen)]).generate_state(1)[0])
    study = _study(space, seen if sampler == "tpe" else (), is_higher_better)
    study.sampler = _sampler(sampler, number)
    if first and not seen and sampler == "tpe":
        study.enqueue_trial(first)
    return dict(study.ask(_distributions(space)).params)


def importance(
    space: Sequence[Dimension], seen: Sequence[Seen], *, seed: int, is_higher_better: bool
) -> dict[str, float]:
    """Return the share of each parameter in how the trials differ, the largest first.

    It is functional ANOVA (Hutter et al. 2014) by Optuna; {} where it says nothing: fewer than
    two finished trials, or all of one value.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    finished = [one for one in seen if one.state == "finished"]
    if len({one.value for one in finished}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = _study(space, finished, is_higher_better)
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: float(share) for name, share in found.items()}


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna import samplers

    return samplers.RandomSampler(seed) if name == "random" else samplers.TPESampler(seed=seed)


def _study(space: Sequence[Dimension], seen: Sequence[Seen], is_higher_better: bool) -> Study:
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    states = {
        "running": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    distributions = _distributions(space)
    study = optuna.create_study(direction="maximize" if is_higher_better else "minimize")
    study.add_trials(
        [
            create_trial(
                state=states[one.state],
                value=one.value if one.state == "finished" else None,
                params=one.params,
                distributions=distributions,
                intermediate_values=dict(enumerate(one.folds, start=1)),
            )
            for one in seen
        ]
    )
    return study


def _distributions(space: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    return {dimension.param: _distribution(dimension) for dimension in space}


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.kind == "choice":
        return CategoricalDistribution(dimension.values)
    (low, high), is_log = bounds(dimension), dimension.kind == "log"
    if is_whole(dimension):
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)
