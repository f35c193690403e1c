"""scikit-learn: a lesson becomes a fitted estimator."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from local_stack.runs.boosters import refused
from local_stack.runs.estimators import sklearn_class

if TYPE_CHECKING:
    from local_stack.runs.lessons import Lesson


@contextmanager
def steady(threads: int | None = None) -> Iterator[None]:
    """Let scikit-learn work so that its results do not depend on the number of threads.

    Linear algebra (BLAS) adds in another order with another number, so it has one; what is left
    (OpenMP) has at most ``threads``.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), threadpool_limits(threads, user_api="openmp"):
        yield


def learnt(lesson: Lesson, threads: int | None = None) -> Any:
    """Return an estimator fitted to a lesson; it predicts class numbers when it classifies.

    Raises
    ------
    InputError
        The estimator refuses its parameters or the data.
    """
    more = {} if lesson.weights is None else {"sample_weight": lesson.weights}
    try:
        estimator = sklearn_class(lesson.recipe.estimator)(**_params(lesson, threads))
        with steady(threads):
            estimator.fit(lesson.matrix, lesson.truth, **more)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise refused(lesson.recipe, error) from error
    _forget_threads(estimator)
    return estimator


def _forget_threads(estimator: Any) -> None:
    """Make the model the same whatever the threads were.

    A forest that predicts with several adds its trees up in the order in which they are ready,
    so that its last bits differ from call to call.
    """
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = None
    mapper: Any = getattr(estimator, "_bin_mapper", None)  # of HistGradientBoosting's training
    if hasattr(mapper, "n_threads"):
        mapper.n_threads = 1


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
