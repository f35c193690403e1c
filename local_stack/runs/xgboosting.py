"""XGBoost: a lesson becomes a booster, on one thread unless the recipe says otherwise.

With more threads XGBoost adds up the first guess of several classes and the metrics of early
stopping in another order, so that last bits depend on their number. ``params.nthread`` asks for
them all the same.

Only its boosters of trees on the CPU are trained: those of linear functions are updated by
threads that race, and dropped trees leave no rounds at which to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step
from local_stack.runs.boosters import (
    Booster,
    n_threads,
    refused,
    safe_names,
    sides,
    stopping_of,
    usual_rounds,
    whole,
)
from local_stack.runs.fitted import Curve

if TYPE_CHECKING:
    import numpy as np

    from local_stack.runs.lessons import Lesson

_ALIASES = {
    "base_score": (),
    "colsample_bylevel": (),
    "colsample_bynode": (),
    "colsample_bytree": (),
    "early_stopping_rounds": (),
    "eval_metric": (),
    "gamma": ("min_split_loss",),
    "grow_policy": (),
    "huber_slope": (),
    "learning_rate": ("eta",),
    "max_bin": (),
    "max_cat_threshold": (),
    "max_cat_to_onehot": (),
    "max_delta_step": (),
    "max_depth": (),
    "max_leaves": (),
    "min_child_weight": (),
    "monotone_constraints": (),
    "n_estimators": ("num_boost_round",),
    "nthread": ("n_jobs",),
    "num_parallel_tree": (),
    "objective": (),
    "quantile_alpha": (),
    "reg_alpha": ("alpha",),
    "reg_lambda": ("lambda",),
    "scale_pos_weight": (),
    "seed": ("random_state",),
    "subsample": (),
    "tree_method": (),
    "tweedie_variance_power": (),
}
"""Parameters that a recipe may set, with their other names; no other is passed on."""
_TREE_METHODS = ("hist", "approx", "exact", "auto")
_METRICS = {"logloss": "log_loss", "mlogloss": "log_loss"}
"""What XGBoost's metrics are called here."""
_HELD = "held_out"


class XGBoost(Booster):
    """Trains ``xgboost.Booster``s."""

    objectives: ClassVar[dict[str, tuple[str, ...]]] = {
        "regression": (
            "reg:squarederror",
            "reg:squaredlogerror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:quantileerror",
            "reg:gamma",
            "reg:tweedie",
            "count:poisson",
        ),
        "binary": ("binary:logistic",),
        "multiclass": ("multi:softprob",),
    }
    objective = "objective"
    rounds = "n_estimators"
    seed = "seed"
    not_of_trees = frozenset({"eval_metric", "nthread", "objective", "seed"})
    defaults: ClassVar[dict[str, Any]] = {
        "n_estimators": 100,
        "learning_rate": 0.3,
        "max_depth": 6,
        "max_leaves": 0,
        "max_bin": 256,
        "min_child_weight": 1,
        "gamma": 0,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "reg_alpha": 0,
        "reg_lambda": 1,
        "grow_policy": "depthwise",
        "tree_method": "hist",
    }

    def names(self) -> dict[str, str]:
        """See :class:`Booster`."""
        return {word: name for name, others in _ALIASES.items() for word in (name, *others)}

    def usual(self, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return smaller steps on samples of rows and columns.

        Trees of classes are shallower: their log loss suffers first from too much detail.
        """
        return {
            "n_estimators": usual_rounds(n_classes, n_rows),
            "learning_rate": 0.05,
            "max_depth": 5 if n_classes else 7,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
        }

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
        import xgboost

        recipe = lesson.recipe
        params = self._params(lesson, threads)
        n_rounds = whole(params.pop("n_estimators", self.defaults["n_estimators"]))
        stopping = stopping_of(recipe, params.pop("early_stopping_rounds", 0))
        if quantile is not None:
            params |= {"objective": "reg:quantileerror", "quantile_alpha": quantile}
        record: dict[str, dict[str, list[float]]] = {}
        callbacks = [_told(progress, label, n_rounds)]
        n_workers = params["nthread"]
        try:
            if stopping is None:
                data = _data(lesson, slice(None), n_workers)
                return xgboost.train(params, data, n_rounds, callbacks=callbacks), None
            learnt, kept = sides(lesson, stopping)
            callbacks.append(
                xgboost.callback.EarlyStopping(
                    stopping.rounds,
                    metric_name=_first(params.get("eval_metric")),
                    data_name=_HELD,
                    save_best=True,
                )
            )
            booster = xgboost.train(
                params,
                _data(lesson, learnt, n_workers),
                n_rounds,
                evals=[(_data(lesson, kept, n_workers), _HELD)],
                evals_result=record,
                callbacks=callbacks,
                verbose_eval=False,
            )
            curve = _curve(record, booster.num_boosted_rounds())
            if stopping.refit:
                callbacks = [_told(progress, f"{label} on all rows", curve.best)]
                data = _data(lesson, slice(None), n_workers)
                booster = xgboost.train(params, data, curve.best, callbacks=callbacks)
        except (ValueError, TypeError) as error:
            raise refused(recipe, error) from error
        return booster, curve

    def gains(self, booster: Any) -> np.ndarray:
        """Return the gain of each feature over all splits, float64 (n_features,)."""
        import numpy as np

        found = booster.get_score(importance_type="total_gain")
        return np.array([found.get(name, 0.0) for name in booster.feature_names])

    def _params(self, lesson: Lesson, threads: int | None) -> dict[str, Any]:
        params = self.chosen(lesson.recipe, lesson.n_classes, len(lesson.truth))
        method = str(params.get("tree_method", "hist"))
        if method not in _TREE_METHODS:
            raise InputError(
                f"params.tree_method cannot be '{method[:60]}'.",
                nearest(method, _TREE_METHODS) or f"One of: {', '.join(_TREE_METHODS)}.",
            )
        n_workers = n_threads(params.get("nthread", 1), threads)
        params |= {"nthread": n_workers, "device": "cpu"}
        if any(lesson.monotone):
            params["monotone_constraints"] = tuple(lesson.monotone)
        if lesson.n_classes > 2:
            params["num_class"] = lesson.n_classes
        return params | {"verbosity": 0}


BOOSTER = XGBoost()


def _data(lesson: Lesson, rows: Any, threads: int) -> Any:
    import xgboost

    features = lesson.preparation.features
    return xgboost.DMatrix(
        lesson.matrix[rows],
        lesson.truth[rows],
        weight=None if lesson.weights is None else lesson.weights[rows],
        feature_names=safe_names(lesson.preparation),
        feature_types=["c" if feature.n_categories else "q" for feature in features],
        enable_categorical=True,
        nthread=threads,
    )


def _told(progress: Progress, label: str, n_rounds: int) -> Any:
    """Return the callback that tells of each round, with the held-out metric where there is one."""
    import xgboost

    class Told(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            figures: dict[str, float] = {}
            for name, values in evals_log.get(_HELD, {}).items():
                figures = {_METRICS.get(name, name): float(values[-1])}
                break  # early stopping looks at the first metric only
            progress(Step(label, epoch + 1, n_rounds, figures))
            return False

    return Told()


def _first(metrics: Any) -> str | None:
    """Return the metric to stop by where several are asked for."""
    return str(metrics[0]) if isinstance(metrics, list | tuple) and metrics else None


def _curve(record: dict[str, dict[str, list[float]]], best: int) -> Curve:
    """Return what was recorded of the first metric."""
    name, values = next(iter(record[_HELD].items()))
    return Curve(_METRICS.get(name, name), tuple(map(float, values)), best)
