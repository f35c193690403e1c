"""LightGBM: a lesson becomes a booster, the same one whatever the number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

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
from local_stack.stores.boosters.lightgbm_text import silence_lightgbm

if TYPE_CHECKING:
    import numpy as np

    from local_stack.runs.lessons import Lesson

_NOT_OURS = frozenset(
    {
        "config",
        "convert_model",
        "convert_model_language",
        "data",
        "device_type",
        "forcedbins_filename",
        "forcedsplits_filename",
        "gpu_device_id",
        "gpu_device_id_list",
        "gpu_platform_id",
        "gpu_use_dp",
        "group_column",
        "header",
        "ignore_column",
        "input_model",
        "label_column",
        "linear_tree",
        "local_listen_port",
        "machine_list_filename",
        "machines",
        "num_class",
        "num_gpu",
        "num_machines",
        "output_model",
        "output_result",
        "parser_config_file",
        "pre_partition",
        "save_binary",
        "snapshot_freq",
        "task",
        "time_out",
        "tree_learner",
        "valid",
        "weight_column",
    }
)
"""Parameters that read or write files, use other machines, or follow from the data."""
_SET_BY_US = frozenset({"deterministic", "force_row_wise", "force_col_wise", "categorical_feature"})


_METRICS = {"binary_logloss": "log_loss", "multi_logloss": "log_loss", "l1": "mae", "l2": "rmse"}
"""What LightGBM's metrics are called here."""


class LightGBM(Booster):
    """Trains ``lightgbm.Booster``s."""

    objectives: ClassVar[dict[str, tuple[str, ...]]] = {
        "regression": (
            "regression",
            "regression_l1",
            "huber",
            "fair",
            "poisson",
            "quantile",
            "mape",
            "gamma",
            "tweedie",
        ),
        "binary": ("binary",),
        "multiclass": ("multiclass", "multiclassova"),
    }
    objective = "objective"
    rounds = "num_iterations"
    seed = "seed"
    not_of_trees = frozenset({"metric", "num_threads", "objective", "seed"})
    defaults: ClassVar[dict[str, Any]] = {
        "n_estimators": 100,
        "learning_rate": 0.1,
        "num_leaves": 31,
        "max_depth": -1,
        "min_child_samples": 20,
        "min_child_weight": 0.001,
        "min_split_gain": 0.0,
        "subsample": 1.0,
        "subsample_freq": 0,
        "colsample_bytree": 1.0,
        "reg_alpha": 0.0,
        "reg_lambda": 0.0,
        "boosting_type": "gbdt",
    }

    def names(self) -> dict[str, str]:
        """See :class:`Booster`."""
        from lightgbm.basic import _ConfigAliases

        table: dict[str, list[str]] = _ConfigAliases._get_all_param_aliases()
        shut = _NOT_OURS | _SET_BY_US
        return {
            alias: name
            for name, aliases in table.items()
            if name not in shut
            for alias in {name, *aliases}
        }

    def usual(self, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return smaller steps, on samples of rows and columns and with shrunken leaves.

        That generalises better in general than LightGBM's own defaults: trees of about one leaf
        for a hundred rows, and a round for every 10 of them (for every 25 in a classification,
        whose log loss suffers first from too many).
        """
        return {
            "n_estimators": usual_rounds(n_classes, n_rows),
            "learning_rate": 0.05,
            "num_leaves": max(7, min(n_rows // 100, 31)),
            "subsample": 0.8,
            "subsample_freq": 1,
            "colsample_bytree": 0.8,
            "reg_lambda": 1.0,
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
        import lightgbm

        silence_lightgbm()
        recipe = lesson.recipe
        params = parameters(lesson, threads)
        n_rounds = whole(params.pop("num_iterations", self.defaults["n_estimators"]))
        if quantile is not None:
            params |= {"objective": "quantile", "alpha": quantile}
        stopping = stopping_of(recipe, params.pop("early_stopping_round", 0))
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
            learnt, kept = sides(lesson, stopping)
            data = _dataset(lesson, learnt)
            held = [_dataset(lesson, kept, data)]
            callbacks += [
                lightgbm.record_evaluation(record),
                lightgbm.early_stopping(stopping.rounds, first_metric_only=True, verbose=False),
            ]
        try:
            booster = lightgbm.train(
                params,
                data,
                n_rounds,
                valid_sets=held,
                callbacks=callbacks,
                keep_training_booster=True,
            )
            curve = _curve(record, booster.best_iteration)
            if stopping is not None and stopping.refit and curve is not None:
                label, n_rounds = f"{label} on all rows", curve.best
                whole_data = _dataset(lesson, slice(None))
                booster = lightgbm.train(
                    params, whole_data, n_rounds, callbacks=[told], keep_training_booster=True
                )
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise refused(recipe, error) from error
        return booster, curve

    def scores(self, booster: Any) -> np.ndarray | None:
        """See :class:`Booster`; not of rounds before the last one, nor where trees are weighed."""
        if booster.best_iteration > 0 or booster.params.get("boosting", "gbdt") != "gbdt":
            return None
        found: list[np.ndarray] = []

        def take(scores: np.ndarray, _: Any) -> tuple[str, float, bool]:
            found.append(np.array(scores, dtype=np.float64))
            return "taken", 0.0, False

        import numpy as np

        booster.eval_train(take)
        return found[0]

    def gains(self, booster: Any) -> np.ndarray:
        """Return the gain of each feature over all splits, float64 (n_features,)."""
        found: np.ndarray = booster.feature_importance("gain")
        return found


BOOSTER = LightGBM()


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


def parameters(lesson: Lesson, threads: int | None, n_rows: int | None = None) -> dict[str, Any]:
    """Return the parameters of a booster under LightGBM's own names.

    ``n_rows`` are learnt from, those of the lesson when left out.
    """
    n_rows = len(lesson.truth) if n_rows is None else n_rows
    params = BOOSTER.chosen(lesson.recipe, lesson.n_classes, n_rows)
    params |= {
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": n_threads(params.get("num_threads"), threads),
        "verbosity": -1,
    }
    if any(lesson.monotone):
        params["monotone_constraints"] = list(lesson.monotone)
    return params | ({"num_class": lesson.n_classes} if lesson.n_classes > 2 else {})
