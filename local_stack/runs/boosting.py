"""LightGBM: a lesson becomes a booster, the same one whatever the number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError
from local_stack.evaluation.split import hold_out
from local_stack.progress import Progress, Step
from local_stack.runs.estimators import (
    BOOSTER_DEFAULTS,
    OBJECTIVES,
    canonical,
    canonical_names,
    short_name,
)
from local_stack.runs.fitted import Curve
from local_stack.runs.options import EarlyStopping
from local_stack.stores.model_files import silence_lightgbm

if TYPE_CHECKING:
    import numpy as np

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.lessons import Lesson
    from local_stack.runs.recipe import Recipe

_MOST_ROUNDS = 2_000
"""Rounds after which even early stopping ends, unless the recipe says how many."""
_NOT_OF_TREES = frozenset({"metric", "num_threads", "objective", "seed"})
_METRICS = {"binary_logloss": "log_loss", "multi_logloss": "log_loss", "l1": "mae", "l2": "rmse"}
"""What LightGBM's metrics are called here."""


def boosted(
    lesson: Lesson,
    progress: Progress,
    label: str,
    threads: int | None = None,
    *,
    quantile: float | None = None,
) -> tuple[Any, Curve | None]:
    """Return a ``lightgbm.Booster`` trained on a lesson, and the curve of its early stopping.

    With ``quantile`` it predicts that quantile, whatever the recipe's objective.

    Raises
    ------
    InputError
        LightGBM refuses the parameters or the data.
    Cancelled
        When ``progress``, which is told of each round, raises it.
    """
    import lightgbm

    silence_lightgbm()
    recipe = lesson.recipe
    params = parameters(lesson, threads)
    n_rounds = whole(params.pop("num_iterations", BOOSTER_DEFAULTS["n_estimators"]))
    if quantile is not None:
        params |= {"objective": "quantile", "alpha": quantile}
    patience = whole(params.pop("early_stopping_round", 0), low=0)
    stopping = recipe.early_stopping or (EarlyStopping(patience) if patience else None)
    record: dict[str, dict[str, list[float]]] = {}

    def told(environment: Any) -> None:
        figures: dict[str, float] = {}
        for _, name, value, *_ in environment.evaluation_result_list or ():
            figures = {_METRICS.get(name, name): value**0.5 if name == "l2" else value}
            break  # early stopping looks at the first metric only
        progress(Step(label, environment.iteration + 1, n_rounds, figures))

    callbacks: list[Any] = [told]
    if stopping is None:
        data, held = _dataset(lesson, slice(None)), []
    else:
        learnt, kept = hold_out(lesson.keys, stopping.share, recipe.split.seed + 1)
        data = _dataset(lesson, learnt)
        held = [_dataset(lesson, kept, data)]
        callbacks += [
            lightgbm.record_evaluation(record),
            lightgbm.early_stopping(stopping.rounds, first_metric_only=True, verbose=False),
        ]
    try:
        booster = lightgbm.train(params, data, n_rounds, valid_sets=held, callbacks=callbacks)
        curve = _curve(record, booster.best_iteration)
        if stopping is not None and stopping.refit and curve is not None:
            label, n_rounds = f"{label} on all rows", curve.best
            whole_data = _dataset(lesson, slice(None))
            booster = lightgbm.train(params, whole_data, n_rounds, callbacks=[told])
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise refused(recipe, error) from error
    return booster, curve


def _dataset(lesson: Lesson, rows: Any, reference: Any = None) -> Any:
    import lightgbm

    weights = None if lesson.weights is None else lesson.weights[rows]
    matrix, truth = lesson.matrix[rows], lesson.truth[rows]
    if reference is not None:
        return reference.create_valid(matrix, truth, weight=weights)
    native = [i for i, f in enumerate(lesson.preparation.features) if f.n_categories]
    return lightgbm.Dataset(
        matrix,
        truth,
        weight=weights,
        feature_name=safe_names(lesson.preparation),
        categorical_feature=native,
        params={"verbosity": -1},
    )


def _curve(record: dict[str, dict[str, list[float]]], best: int) -> Curve | None:
    """Return what was recorded of the first metric, or None."""
    import numpy as np

    for name, values in next(iter(record.values()), {}).items():
        found: Sequence[float] = np.sqrt(values).tolist() if name == "l2" else values
        return Curve(_METRICS.get(name, name), tuple(found), best or len(found))
    return None


def parameters(
    lesson: Lesson, threads: int | None, n_rows: int | None = None
) -> dict[str, Any]:
    """Return the parameters of a booster under LightGBM's own names.

    ``n_rows`` are learnt from, those of the lesson when left out.
    """
    recipe, n_classes = lesson.recipe, lesson.n_classes
    usual = usual_params(recipe, n_classes, len(lesson.truth) if n_rows is None else n_rows)
    params = canonical(usual | recipe.params)
    task = "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"
    objective = params.setdefault("objective", task)
    if objective not in OBJECTIVES[task]:
        raise InputError(
            f"params.objective '{objective}' does not fit {n_classes or 'no'} classes.",
            f"One of: {', '.join(OBJECTIVES[task])}.",
        )
    n_cores = len(os.sched_getaffinity(0))
    asked = whole(params.get("num_threads", n_cores), low=0) or n_cores
    params |= {
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": min(asked, threads or n_cores, n_cores),
        "seed": params.get("seed", recipe.split.seed),
        "verbosity": -1,
    }
    if any(lesson.monotone):
        params["monotone_constraints"] = list(lesson.monotone)
    return params | ({"num_class": n_classes} if task == "multiclass" else {})


def whole(value: Any, low: int = 1) -> int:
    """Return a whole number from ``low`` to a million, or raise :class:`InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 1_000_000:
        raise InputError(
            f"params holds '{str(value)[:60]}' where a whole number from {low} is needed."
        )
    return value


def refused(recipe: Recipe, error: Exception) -> InputError:
    """Return the error for a lesson that an estimator does not take."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return InputError(
        f"{short_name(recipe.estimator)} cannot be trained so: {said}",
        "Change params, the features or the target in the recipe.",
    )


def safe_names(preparation: Preparation) -> list[str]:
    """Return feature names as LightGBM's text can hold them, unique."""
    names = [
        "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in feature.name)
        for feature in preparation.features
    ]
    if len(set(names)) == len(names) and all(names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names)]


def usual_params(recipe: Recipe, n_classes: int, n_rows: int) -> dict[str, Any]:
    """Return what is set where the recipe sets nothing else.

    A recipe whose ``params`` say how trees are grown has LightGBM's own defaults for what they
    leave out. One without (an objective, a metric, a seed say nothing of that) has smaller
    steps, on samples of rows and columns and with shrunken leaves, which generalises better in
    general: trees of about one leaf for a hundred rows, and a round for every 10 of them (for
    every 25 in a classification, whose log loss suffers first from too many). With the key
    ``early_stopping`` there are rounds enough for it to find the end.
    """
    names = canonical_names()
    given = {names[name] for name in recipe.params}
    if given - _NOT_OF_TREES:
        n_rounds = _MOST_ROUNDS if recipe.early_stopping else BOOSTER_DEFAULTS["n_estimators"]
        return {} if "num_iterations" in given else {"n_estimators": n_rounds}
    n_rounds = max(100, min(n_rows // 25, 400) if n_classes else min(n_rows // 10, 500))
    return {
        "n_estimators": _MOST_ROUNDS if recipe.early_stopping else n_rounds,
        "learning_rate": 0.05,
        "num_leaves": max(7, min(n_rows // 100, 31)),
        "subsample": 0.8,
        "subsample_freq": 1,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
    }


def params_in_force(recipe: Recipe, n_classes: int, n_rows: int) -> dict[str, Any]:
    """Return the parameters of a booster, those of the recipe under the names it uses."""
    params = usual_params(recipe, n_classes, n_rows) | recipe.params
    names = canonical_names()
    given = {names[key] for key in params}
    params = {k: v for k, v in BOOSTER_DEFAULTS.items() if names[k] not in given} | params
    params.setdefault("seed", recipe.split.seed)
    if not n_classes:
        params.setdefault("objective", "regression")
    else:
        params.setdefault("objective", "binary" if n_classes == 2 else "multiclass")
    return params


def gains(booster: Any) -> np.ndarray:
    """Return the gain of each feature over all splits, float64 (n_features,)."""
    found: np.ndarray = booster.feature_importance("gain")
    return found
