"""scikit-learn: a lesson becomes a fitted estimator."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from local_stack.runs.boosting import refused
from local_stack.runs.estimators import sklearn_class

if TYPE_CHECKING:
    from local_stack.runs.lessons import Lesson


def learnt(lesson: Lesson, threads: int | None = None) -> Any:
    """Return an estimator fitted to a lesson; it predicts class numbers when it classifies.

    Raises
    ------
    InputError
        The estimator refuses its parameters or the data.
    """
    from threadpoolctl import threadpool_limits

    more = {} if lesson.weights is None else {"sample_weight": lesson.weights}
    limits = nullcontext() if threads is None else threadpool_limits(threads)
    try:
        estimator = sklearn_class(lesson.recipe.estimator)(**_params(lesson, threads))
        with limits:
            estimator.fit(lesson.matrix, lesson.truth, **more)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise refused(lesson.recipe, error) from error
    if "n_jobs" in lesson.recipe.params:  # the model is the same whatever the threads were
        estimator.n_jobs = lesson.recipe.params["n_jobs"]
    return estimator


def _params(lesson: Lesson, threads: int | None) -> dict[str, Any]:
    known = inspect.signature(sklearn_class(lesson.recipe.estimator)).parameters
    params = dict(lesson.recipe.params)
    if "random_state" in known:
        params.setdefault("random_state", lesson.recipe.split.seed)
    if threads is not None and "n_jobs" in params:
        params["n_jobs"] = threads
    if any(lesson.monotone):
        params["monotonic_cst"] = list(lesson.monotone)
    return params
