"""Estimators a recipe may name: boosters of trees, and scikit-learn's classifiers and regressors.

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
from local_stack.runs.boosters import BOOSTERS, booster_of
from local_stack.stores.boosters import require
from local_stack.stores.model_guards import SKLEARN_PACKAGES

if TYPE_CHECKING:
    from local_stack.runs.recipe import Recipe

LIGHTGBM = "lightgbm"
_PREFIX = "sklearn."


def is_booster(estimator: str) -> bool:
    """Return whether a recipe's estimator is a booster of trees."""
    return estimator in BOOSTERS


def check_estimator(recipe: Recipe, node: Node | None = None) -> None:
    """Raise :class:`InputError` for an unknown estimator or parameter, with the nearest word.

    ``node`` is the root of the recipe's file, for the line in the message.
    """
    node = node or Node(dict(recipe.to_dict()), Lines("recipe"))
    try:
        known = parameter_names(recipe.estimator)
        if is_booster(recipe.estimator):
            require(recipe.estimator)
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
    booster = booster_of(recipe.estimator)
    names = {} if booster is None else booster.names()
    given = {names.get(param, param) for param in recipe.params}
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
            f"{short_name(recipe.estimator)} cannot keep predicted quantiles monotone.",
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
    "class_weight": {
        *("class_weight", "is_unbalance", "scale_pos_weight"),
        *("auto_class_weights", "class_weights"),
    },
    "monotone": {"monotone_constraints", "monotonic_cst"},
    "early_stopping": {"early_stopping_round", "early_stopping_rounds"},
}
"""Parameters of estimators that do what a key of the recipe does."""


def _abilities(recipe: Recipe) -> dict[str, tuple[bool, str]]:
    """Return for each key that not every estimator can do whether this one can, and a hint."""
    if is_booster(recipe.estimator):
        return {}
    kind = sklearn_class(recipe.estimator)
    takes_weights = "sample_weight" in inspect.signature(kind.fit).parameters
    is_probable = gives_probabilities(recipe.estimator, recipe.params)
    weights = "Its fit takes no sample_weight: leave the key out, or train lightgbm."
    probabilities = "It gives no probabilities: leave the key out, or train lightgbm."
    if "probability" in inspect.signature(kind).parameters:
        probabilities = "It gives none without params: {probability: true}; or leave the key out."
    only = "Train lightgbm, or set what the estimator itself has in params."
    return {
        "weights": (takes_weights, weights),
        "class_weight": (takes_weights, weights),
        "calibrate": (is_probable, probabilities),
        "threshold": (is_probable, probabilities),
        "monotone": (
            "monotonic_cst" in inspect.signature(kind).parameters,
            "It has no monotonic_cst: train lightgbm or HistGradientBoosting.",
        ),
        "early_stopping": (False, only),
        "quantiles": (False, "Train lightgbm, or an estimator with a loss of quantiles."),
    }


def task_of_estimator(estimator: str, params: Mapping[str, Any]) -> str | None:
    """Return the task that an estimator with such parameters has, None where it has both."""
    booster = booster_of(estimator)
    if booster is not None:
        return booster.task_of(params)
    from sklearn.base import is_classifier

    kind = sklearn_class(estimator)
    return "classification" if is_classifier(kind()) else "regression"


def gives_probabilities(estimator: str, params: Mapping[str, Any]) -> bool:
    """Return whether an estimator's classes come with probabilities, with such parameters."""
    if is_booster(estimator):
        return True
    kind = sklearn_class(estimator)
    if not hasattr(kind, "predict_proba"):
        return False
    known = inspect.signature(kind).parameters
    made = kind(**{name: value for name, value in params.items() if name in known})
    return hasattr(made, "predict_proba")  # an SVC only with probability, SGD not of every loss


def accepts_missing(estimator: str) -> bool:
    """Return whether an estimator learns from missing values."""
    if is_booster(estimator):
        return True
    return bool(sklearn_class(estimator)().__sklearn_tags__().input_tags.allow_nan)


def parameter_names(estimator: str) -> frozenset[str]:
    """Return every parameter name that ``estimator`` takes in a recipe."""
    booster = booster_of(estimator)
    if booster is not None:
        return frozenset(booster.names())
    return frozenset(inspect.signature(sklearn_class(estimator)).parameters)


def short_name(estimator: str) -> str:
    """Return the library of a booster, or the class name, such as ``ElasticNet``."""
    return estimator.rpartition(".")[2]


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
    if path.partition(".")[0] in BOOSTERS:
        raise InputError(
            f"'{path[:200]}' is not an estimator that can be trained here.",
            f"Write {path.partition('.')[0]}.",
        )
    known = [*BOOSTERS] + [f"sklearn.{p}.{n}" for p in SKLEARN_PACKAGES for n in classes_in(p)]
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
