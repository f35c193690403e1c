"""The trees of scikit-learn's estimators, in the form of :mod:`ensembles`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.explain.attributing.ensembles import Ensemble, Tree, ensemble

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model


def read_forest(model: Model) -> Ensemble | None:
    """Return the trees of a scikit-learn estimator; None where it is no sum of trees."""
    from sklearn import ensemble as ensembles
    from sklearn import tree

    estimator: Any = model.estimator
    n_features, is_regression = len(model.features), model.task == "regression"
    if isinstance(estimator, tree.DecisionTreeClassifier | tree.DecisionTreeRegressor):
        return _mean_of([estimator], [None], n_features, is_regression)
    if isinstance(
        estimator,
        ensembles.RandomForestClassifier
        | ensembles.RandomForestRegressor
        | ensembles.ExtraTreesClassifier
        | ensembles.ExtraTreesRegressor,
    ):
        members = estimator.estimators_
        return _mean_of(members, [None] * len(members), n_features, is_regression)
    if isinstance(estimator, ensembles.BaggingClassifier | ensembles.BaggingRegressor):
        kinds = (tree.DecisionTreeClassifier, tree.DecisionTreeRegressor)
        if all(isinstance(it, kinds) for it in estimator.estimators_):
            places = estimator.estimators_features_
            return _mean_of(estimator.estimators_, places, n_features, is_regression)
    if isinstance(
        estimator, ensembles.GradientBoostingClassifier | ensembles.GradientBoostingRegressor
    ):
        return _gradient_boosting(estimator, n_features)
    if isinstance(
        estimator,
        ensembles.HistGradientBoostingClassifier | ensembles.HistGradientBoostingRegressor,
    ):
        return _hist_gradient_boosting(estimator, n_features)
    return None


def forest_scores(model: Model, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the trees of :func:`read_forest` say of rows, by the estimator itself."""
    import numpy as np
    from sklearn import ensemble as ensembles

    estimator: Any = model.estimator
    if isinstance(
        estimator,
        ensembles.HistGradientBoostingRegressor | ensembles.HistGradientBoostingClassifier,
    ):
        found = estimator._raw_predict(matrix)  # predict of a Poisson loss is its exponential
    elif isinstance(estimator, ensembles.GradientBoostingClassifier):
        found = estimator.decision_function(matrix) * _of_log_odds(estimator)
    elif model.task == "regression":
        found = estimator.predict(matrix)
    else:
        found = estimator.predict_proba(matrix)
        found = found[:, 1:] if found.shape[1] == 2 else found
    return np.asarray(found, dtype=np.float64)


def _mean_of(members: Any, places: Any, n_features: int, is_regression: bool) -> Ensemble:
    """Return the mean of decision trees: of numbers, or of shares of the classes."""
    import numpy as np

    trees = []
    for member, features in zip(members, places, strict=True):
        value = member.tree_.value[:, 0]
        if not is_regression:
            value = value / value.sum(axis=1, keepdims=True)
            value = value[:, 1:] if value.shape[1] == 2 else value
        trees.append(_decision_tree(member.tree_, value / len(members), features))
    width = trees[0].value.shape[1]
    return ensemble(trees, n_features, np.zeros(width), is_single=True)


def _decision_tree(
    tree: Any, value: NDArray[np.float64], features: Any = None, output: int = 0
) -> Tree:
    import numpy as np

    inner = tree.children_left >= 0
    feature = np.where(inner, tree.feature, 0).astype(np.int64)
    return Tree(
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        feature if features is None else np.asarray(features, dtype=np.int64)[feature],
        np.asarray(tree.threshold, dtype=np.float64),
        np.asarray(tree.missing_go_to_left, dtype=bool),
        np.asarray(tree.weighted_n_node_samples, dtype=np.float64),
        np.asarray(value, dtype=np.float64),
        output,
    )


def _of_log_odds(estimator: Any) -> float:
    """Return by what scores are multiplied to be log-odds: AdaBoost's loss finds half of them."""
    return 2.0 if estimator.loss == "exponential" else 1.0


def _gradient_boosting(estimator: Any, n_features: int) -> Ensemble:
    import numpy as np

    first = estimator._raw_predict_init(np.zeros((1, n_features)))  # the same for all rows
    scale = _of_log_odds(estimator)
    constant, rate = np.asarray(first, dtype=np.float64)[0] * scale, estimator.learning_rate * scale
    trees = [
        _decision_tree(member.tree_, member.tree_.value[:, 0] * rate, output=output)
        for members in estimator.estimators_
        for output, member in enumerate(members)
    ]
    return ensemble(trees, n_features, constant, is_single=True)


def _hist_gradient_boosting(estimator: Any, n_features: int) -> Ensemble | None:
    import numpy as np

    if estimator.is_categorical_ is not None:
        return None  # it sorts its columns by a transformer that no stored model may hold
    trees = [
        _hist_tree(predictor.nodes, output)
        for members in estimator._predictors
        for output, predictor in enumerate(members)
    ]
    constant = np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()
    return ensemble(trees, n_features, constant)


def _hist_tree(nodes: NDArray[Any], output: int) -> Tree:
    import numpy as np

    is_leaf = nodes["is_leaf"].astype(bool)
    left, right, feature = (
        np.where(is_leaf, filler, nodes[name].astype(np.int64))
        for name, filler in (("left", -1), ("right", -1), ("feature_idx", 0))
    )
    return Tree(
        left,
        right,
        feature,
        nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"].astype(bool),
        nodes["count"].astype(np.float64),
        nodes["value"].astype(np.float64)[:, None],
        output,
    )
