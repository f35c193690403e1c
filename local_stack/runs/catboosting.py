"""CatBoost: a lesson becomes a booster, the same one whatever the number of threads.

Nothing is written to files and no callback of its own prints; the trees grow on the CPU.
"""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from local_stack.progress import Progress, Step
from local_stack.runs.boosters import (
    Booster,
    n_threads,
    refused,
    safe_names,
    sides,
    stopping_of,
    whole,
)
from local_stack.runs.fitted import Curve
from local_stack.stores.boosters.catboost_json import IN_FORCE, table

if TYPE_CHECKING:
    import numpy as np

    from local_stack.runs.lessons import Lesson

_ALIASES = {
    "approx_on_full_history": (),
    "auto_class_weights": (),
    "bagging_temperature": (),
    "boost_from_average": (),
    "boosting_type": (),
    "bootstrap_type": (),
    "border_count": ("max_bin",),
    "class_weights": (),
    "counter_calc_method": (),
    "ctr_target_border_count": (),
    "depth": ("max_depth",),
    "diffusion_temperature": (),
    "early_stopping_rounds": ("od_wait",),
    "eval_metric": (),
    "feature_border_type": (),
    "fold_len_multiplier": (),
    "fold_permutation_block": (),
    "grow_policy": (),
    "has_time": (),
    "iterations": ("n_estimators", "num_boost_round", "num_trees"),
    "l2_leaf_reg": ("reg_lambda",),
    "langevin": (),
    "leaf_estimation_backtracking": (),
    "leaf_estimation_iterations": (),
    "leaf_estimation_method": (),
    "learning_rate": ("eta",),
    "loss_function": ("objective",),
    "max_ctr_complexity": (),
    "max_leaves": ("num_leaves",),
    "min_data_in_leaf": ("min_child_samples",),
    "model_shrink_mode": (),
    "model_shrink_rate": (),
    "model_size_reg": (),
    "monotone_constraints": (),
    "mvs_reg": (),
    "nan_mode": (),
    "one_hot_max_size": (),
    "posterior_sampling": (),
    "random_score_type": (),
    "random_seed": ("random_state",),
    "random_strength": (),
    "rsm": ("colsample_bylevel",),
    "sampling_frequency": (),
    "scale_pos_weight": (),
    "score_function": (),
    "store_all_simple_ctr": (),
    "subsample": (),
    "thread_count": (),
}
"""Parameters that a recipe may set, with their other names; no other is passed on."""
_METRICS = {"Logloss": "log_loss", "MultiClass": "log_loss", "MAE": "mae", "RMSE": "rmse"}
"""What CatBoost's metrics are called here."""
_HELD = "validation"


class CatBoost(Booster):
    """Trains ``catboost.CatBoost`` models."""

    objectives: ClassVar[dict[str, tuple[str, ...]]] = {
        "regression": (
            "RMSE",
            "MAE",
            "Quantile",
            "Huber",
            "Expectile",
            "LogCosh",
            "Lq",
            "MAPE",
            "Poisson",
            "Tweedie",
        ),
        "binary": ("Logloss",),
        "multiclass": ("MultiClass", "MultiClassOneVsAll"),
    }
    objective = "loss_function"
    rounds = "iterations"
    seed = "random_seed"
    importance = "prediction change"
    not_of_trees = frozenset({"eval_metric", "loss_function", "random_seed", "thread_count"})
    defaults: ClassVar[dict[str, Any]] = {"n_estimators": 1_000}

    def names(self) -> dict[str, str]:
        """See :class:`Booster`."""
        return {word: name for name, others in _ALIASES.items() for word in (name, *others)}

    def usual(self, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return CatBoost's own defaults: it fits its learning rate to rows and rounds."""
        return {"n_estimators": self.defaults["n_estimators"]}

    def boosted(
        self,
        lesson: Lesson,
        progress: Progress,
        label: str,
        threads: int | None = None,
        *,
        quantile: float | None = None,
    ) -> tuple[Any, Curve | None]:
        """See :class:`Booster`."""
        recipe = lesson.recipe
        params = self._params(lesson, threads)
        stopping = stopping_of(recipe, params.pop("early_stopping_rounds", 0))
        if quantile is not None:
            params["loss_function"] = f"Quantile:alpha={quantile!r}"
        if stopping is None:
            return _fitted(lesson, slice(None), params, _Told(progress, label, params)), None
        learnt, kept = sides(lesson, stopping)
        told = _Told(progress, label, params)
        more = {
            "eval_set": _pool(lesson, kept),
            "early_stopping_rounds": stopping.rounds,
            "use_best_model": True,
        }
        booster = _fitted(lesson, learnt, params, told, **more)
        name, values = _watched(booster.get_evals_result()[_HELD], params)
        curve = Curve(_METRICS.get(name, name), tuple(map(float, values)), booster.tree_count_)
        if stopping.refit:
            # The rate is that of the rounds that were asked for, not of the few that were best.
            rate = booster.learning_rate_
            params |= {"iterations": curve.best, "learning_rate": rate}
            told = _Told(progress, f"{label} on all rows", params)
            booster = _fitted(lesson, slice(None), params, told)
        return booster, curve

    def gains(self, booster: Any) -> np.ndarray:
        """Return by how much the prediction changes with each feature, in percent of all."""
        import numpy as np

        return np.asarray(booster.get_feature_importance(), dtype=np.float64)

    def settled(self, booster: Any) -> dict[str, Any]:
        """See :class:`Booster`."""
        found: dict[str, Any] = json.loads(booster.get_metadata()[IN_FORCE])
        return {key: value for key, value in found.items() if key in _ALIASES}

    def _params(self, lesson: Lesson, threads: int | None) -> dict[str, Any]:
        params = self.chosen(lesson.recipe, lesson.n_classes, len(lesson.truth))
        n_rounds = whole(params.get("iterations", self.defaults["n_estimators"]))
        params |= {
            "iterations": n_rounds,
            "thread_count": n_threads(params.get("thread_count"), threads, lesson.matrix.size),
            "task_type": "CPU",
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if any(lesson.monotone):
            params["monotone_constraints"] = list(lesson.monotone)
        return params


BOOSTER = CatBoost()


def _fitted(lesson: Lesson, rows: Any, params: dict[str, Any], told: _Told, **more: Any) -> Any:
    import catboost

    said = io.StringIO()
    try:
        booster = catboost.CatBoost(params)
        booster.fit(_pool(lesson, rows), callbacks=[told], log_cout=said, log_cerr=said, **more)
    except (catboost.CatBoostError, ValueError, TypeError) as error:
        raise told.stopped or refused(lesson.recipe, error) from error
    for line in dict.fromkeys(said.getvalue().splitlines()):
        warnings.warn(line, stacklevel=2)
    if told.stopped is not None:
        raise told.stopped
    return booster


def _pool(lesson: Lesson, rows: Any) -> Any:
    import catboost

    names = safe_names(lesson.preparation)
    native = [i for i, f in enumerate(lesson.preparation.features) if f.n_categories]
    data = table(lesson.matrix[rows], names, native)
    return catboost.Pool(
        data,
        lesson.truth[rows],
        weight=None if lesson.weights is None else lesson.weights[rows],
        feature_names=names,
        cat_features=native,
    )


def _watched(metrics: dict[str, Any], params: dict[str, Any]) -> tuple[str, Any]:
    """Return the metric that early stopping looks at, of those that were recorded."""
    for wanted in (params.get("eval_metric"), params["loss_function"], *metrics):
        for name, values in metrics.items():
            if name == wanted or name.startswith(f"{wanted}:"):  # AUC is AUC:type=Mu for classes
                return name, values
    raise ValueError("no metric")


class _Told:
    """CatBoost's callback: tells of each round, and ends the training when it is not wanted.

    What ``progress`` raises cannot pass through CatBoost, so it is kept for afterwards.
    """

    def __init__(self, progress: Progress, label: str, params: dict[str, Any]) -> None:
        self._progress, self._label, self._params = progress, label, params
        self.stopped: BaseException | None = None

    def after_iteration(self, info: Any) -> bool:
        """Return whether to go on."""
        figures: dict[str, float] = {}
        if (info.metrics or {}).get(_HELD):
            name, values = _watched(info.metrics[_HELD], self._params)
            figures = {_METRICS.get(name, name): float(values[-1])}
        try:
            self._progress(Step(self._label, info.iteration, self._params["iterations"], figures))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever trains
            self.stopped = error
        return self.stopped is None
