"""Estimators a recipe may name: LightGBM, and scikit-learn's classifiers and regressors.

Nothing else is imported because a recipe says so, and every parameter is known by name before
any work starts.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError, nearest
from local_stack.marked_yaml import Lines, Node
from local_stack.stores.model_guards import SKLEARN_PACKAGES

if TYPE_CHECKING:
    from local_stack.runs.recipe import Recipe

LIGHTGBM = "lightgbm"
_PREFIX = "sklearn."
OBJECTIVES = {
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
"""Objectives of LightGBM whose prediction is the value or the probability itself."""
BOOSTER_DEFAULTS: dict[str, Any] = {
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
"""What LightGBM does unless a recipe says otherwise, under its scikit-learn names."""
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


def check_estimator(recipe: Recipe, node: Node | None = None) -> None:
    """Raise :class:`InputError` for an unknown estimator or parameter, with the nearest word.

    ``node`` is the root of the recipe's file, for the line in the message.
    """
    node = node or Node(dict(recipe.to_dict()), Lines("recipe"))
    try:
        known = parameter_names(recipe.estimator)
    except InputError as error:
        raise Node(recipe.estimator, node.lines, ("estimator",)).error(
            error.message, error.hint
        ) from None
    named: list[tuple[str, tuple[str, ...]]] = [(key, ("params", key)) for key in recipe.params]
    if recipe.search is not None:
        named += [(d.param, ("search", "space", d.param)) for d in recipe.search.space]
    for name, path in named:
        if name not in known:
            raise Node(None, node.lines, path).error(
                f"'{name}' is not a parameter of {short_name(recipe.estimator)}.",
                nearest(name, known) or f"Some of them: {', '.join(sorted(known)[:12])}.",
            )
    _check_options(recipe, node)


def _check_options(recipe: Recipe, node: Node) -> None:
    """Raise where the estimator cannot do what a key of the recipe asks for."""
    given = set(recipe.params)
    if recipe.estimator == LIGHTGBM:
        names = canonical_names()
        given = {names[param] for param in given}
    for key, (is_able, hint) in _abilities(recipe).items():
        if getattr(recipe, key) and not is_able:
            raise Node(None, node.lines, (key,)).error(
                f"{short_name(recipe.estimator)} cannot be trained with {key}.", hint
            )
    for key, params in _SAID_TWICE.items():
        said = sorted(params & given)
        if said and getattr(recipe, key):
            raise Node(None, node.lines, (key,)).error(
                f"{key} and params.{said[0]} say the same.", "Keep only one of them."
            )
    if recipe.quantiles and recipe.monotone:
        raise Node(None, node.lines, ("quantiles",)).error(
            "LightGBM cannot keep predicted quantiles monotone.",
            "Leave quantiles or monotone out, or train two runs.",
        )
    if recipe.metrics:
        _check_metrics(recipe.metrics, node)


def _check_metrics(metrics: tuple[str, ...], node: Node) -> None:
    from sklearn.metrics import get_scorer_names

    known = get_scorer_names()
    for place, metric in enumerate(metrics):
        if metric not in known:
            raise Node(None, node.lines, ("metrics", place)).error(
                f"'{metric}' is not a metric of scikit-learn.",
                nearest(metric, known) or f"Some of them: {', '.join(known[:8])}.",
            )


_SAID_TWICE = {
    "class_weight": {"class_weight", "is_unbalance", "scale_pos_weight"},
    "monotone": {"monotone_constraints", "monotonic_cst"},
    "early_stopping": {"early_stopping_round"},
}
"""Parameters of estimators that do what a key of the recipe does."""


def _abilities(recipe: Recipe) -> dict[str, tuple[bool, str]]:
    """Return for each key that not every estimator can do whether this one can, and a hint."""
    if recipe.estimator == LIGHTGBM:
        return {}
    kind = sklearn_class(recipe.estimator)
    takes_weights = "sample_weight" in inspect.signature(kind.fit).parameters
    gives_probabilities = hasattr(kind, "predict_proba")
    weights = "Its fit takes no sample_weight: leave the key out, or train lightgbm."
    probabilities = "It gives no probabilities: leave the key out, or train lightgbm."
    only = "Train lightgbm, or set what the estimator itself has in params."
    return {
        "weights": (takes_weights, weights),
        "class_weight": (takes_weights, weights),
        "calibrate": (gives_probabilities, probabilities),
        "threshold": (gives_probabilities, probabilities),
        "monotone": (
            "monotonic_cst" in inspect.signature(kind).parameters,
            "It has no monotonic_cst: train lightgbm or HistGradientBoosting.",
        ),
        "early_stopping": (False, only),
        "quantiles": (False, "Train lightgbm, or an estimator with a loss of quantiles."),
    }


def task_of_estimator(estimator: str, params: Mapping[str, Any]) -> str | None:
    """Return the task that an estimator with such parameters has, None where it has both."""
    if estimator != LIGHTGBM:
        from sklearn.base import is_classifier

        kind = sklearn_class(estimator)
        return "classification" if is_classifier(kind()) else "regression"
    objective = canonical(params).get("objective")
    if objective is None:
        return None
    for task, words in OBJECTIVES.items():
        if objective in words:
            return "regression" if task == "regression" else "classification"
    known = [word for words in OBJECTIVES.values() for word in words]
    raise InputError(
        f"params.objective cannot be '{objective}'.",
        nearest(str(objective), known) or f"One of: {', '.join(known)}.",
    )


def canonical(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return LightGBM parameters under their canonical names; two names of one are an error."""
    names = canonical_names()
    found: dict[str, Any] = {}
    for name, value in params.items():
        if names[name] in found:
            raise InputError(f"params gives {names[name]} twice, under two names ('{name}').")
        found[names[name]] = value
    return {name: value for name, value in found.items() if value is not None}


def parameter_names(estimator: str) -> frozenset[str]:
    """Return every parameter name that ``estimator`` takes in a recipe."""
    if estimator == LIGHTGBM:
        names = canonical_names()
        shut = _NOT_OURS | _SET_BY_US
        return frozenset(name for name, canonical in names.items() if canonical not in shut)
    kind = sklearn_class(estimator)
    return frozenset(inspect.signature(kind).parameters)


def short_name(estimator: str) -> str:
    """Return ``lightgbm`` or the class name, such as ``ElasticNet``."""
    return estimator.rpartition(".")[2]


def canonical_names() -> dict[str, str]:
    """Return LightGBM's canonical name for each of its parameters and their aliases."""
    from lightgbm.basic import _ConfigAliases

    table: dict[str, list[str]] = _ConfigAliases._get_all_param_aliases()
    return {alias: name for name, aliases in table.items() for alias in {name, *aliases}}


def sklearn_class(path: str) -> type[Any]:
    """Return the classifier or regressor at an import path such as ``sklearn.svm.SVR``.

    Only public classes of scikit-learn's own packages that need no other estimator are found;
    no other module is imported.
    """
    package, _, name = path.removeprefix(_PREFIX).rpartition(".")
    if path.startswith(_PREFIX) and package in SKLEARN_PACKAGES:
        kind = classes_in(package).get(name)
        if kind is not None:
            return kind
    known = [LIGHTGBM] + [f"sklearn.{p}.{n}" for p in SKLEARN_PACKAGES for n in classes_in(p)]
    raise InputError(
        f"'{path[:200]}' is not an estimator that can be trained here.",
        nearest(path, known) or "Write lightgbm or a path such as sklearn.linear_model.ElasticNet.",
    )


_NOT_ALONE = frozenset({"CCA", "PLSCanonical", "SelfTrainingClassifier"})
"""Estimators that need several targets, or another estimator although it has a default."""


def classes_in(package: str) -> dict[str, type[Any]]:
    """Return the estimators of one of scikit-learn's packages, by class name."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    module = importlib.import_module(f"sklearn.{package}")
    return {
        name: kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and kind.__module__.startswith(module.__name__)
        and issubclass(kind, BaseEstimator)
        and issubclass(kind, ClassifierMixin | RegressorMixin)
        and not name.startswith(("_", "Base", "MultiTask"))
        and name not in _NOT_ALONE
        and not _needs_another(kind)
    }


def _needs_another(kind: type[Any]) -> bool:
    parameters = inspect.signature(kind).parameters.values()
    return any(p.default is p.empty for p in parameters)
