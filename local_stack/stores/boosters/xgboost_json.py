"""XGBoost's boosters of trees, in its JSON format.

XGBoost follows the indices in a tree without looking at them, so each is checked here first.
It computes with 32-bit floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from local_stack.stores.boosters import documents
from local_stack.stores.boosters.documents import NUMBER
from local_stack.stores.model_guards import refuse

if TYPE_CHECKING:
    import numpy as np

    from local_stack.stores.model import ModelRecord

FILE = "model.xgboost.json"
FORMAT = "XGBoost JSON"
DISTRIBUTIONS: tuple[str, ...] = ("xgboost-cpu", "xgboost")
_NO_CATEGORIES_OF_TABLES: Final[dict[str, list[Any]]] = {
    "enc": [],
    "feature_segments": [],
    "sorted_idx": [],
}
_MAX_CATEGORY: Final = 2**24 - 1
"""The largest that a 32-bit float holds exactly, as XGBoost wants it."""
_NO_PARENT: Final = 2**31 - 1
_DELETED: Final = 2**31 - 1
"""The column of a node that was pruned."""
_FLOATS: Final = ("base_weights", "loss_changes", "sum_hessian")
_OF_CATEGORIES: Final = ("categories_nodes", "categories_segments", "categories_sizes")


def content(booster: Any, record: ModelRecord) -> bytes:
    """Return XGBoost's JSON of a booster in one form, without what early stopping noted in it."""
    document = json.loads(bytes(booster.save_raw("json")))
    document["learner"]["attributes"] = {}
    return documents.canonical(document)


def parse(content: bytes, record: ModelRecord) -> Any:
    """See :class:`Library`."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    booster.set_param({"nthread": 1})
    return booster


def predict(booster: Any, matrix: np.ndarray, record: ModelRecord) -> np.ndarray:
    """See :class:`Library`; on every core where there is enough to do, to the same bits."""
    import numpy as np

    if matrix.size >= documents.MANY_CELLS:
        booster = booster.copy()  # one that is being asked must not be set
        booster.set_param({"nthread": 0})
    found = booster.inplace_predict(np.ascontiguousarray(matrix), validate_features=False)
    return np.asarray(found, dtype=np.float64)


def row_predictor(
    booster: Any, content: bytes, n_features: int, record: ModelRecord
) -> Callable[[list[float]], list[float]]:
    """See :class:`Library`."""
    import numpy as np

    def predicted(features: list[float]) -> list[float]:
        row = np.array([features], dtype=np.float64)
        found = booster.inplace_predict(row, validate_features=False)[0]
        return np.atleast_1d(found).astype(np.float64).tolist()  # type: ignore[no-any-return]

    return predicted


def flavour(record: ModelRecord) -> dict[str, Any]:
    """See :class:`Library`."""
    import xgboost

    return {
        "xgb_version": xgboost.__version__,
        "model_class": "xgboost.core.Booster",
        "model_format": "json",
        "data": FILE,
        "code": None,
    }


def check(content: bytes, n_features: int, record: ModelRecord) -> None:
    """Check the whole document: sizes, every index, and that each tree is a tree."""
    document = documents.members(documents.read(content), ("learner", "version"))
    documents.integers(document["version"], 3, 0)
    learner = documents.members(
        document["learner"],
        (
            *("attributes", "feature_names", "feature_types", "gradient_booster"),
            *("learner_model_param", "objective"),
        ),
    )
    documents.same(learner["attributes"], {})
    for key, form in (("feature_names", r"[^\x00-\x1f]{1,2000}"), ("feature_types", "q|c")):
        for word in documents.listed(learner[key], n_features):
            documents.matching(word, form)
    _check_head(learner, n_features, record.n_outputs)
    booster = documents.members(learner["gradient_booster"], ("model", "name"))
    documents.same(booster["name"], "gbtree")
    _check_trees(booster["model"], n_features, record.n_outputs)


def _check_head(learner: dict[str, Any], n_features: int, n_outputs: int) -> None:
    head = documents.members(
        learner["learner_model_param"],
        ("base_score", "boost_from_average", "num_class", "num_feature", "num_target"),
    )
    if head["num_feature"] != str(n_features):
        raise refuse("its number of features is not that of its preparation")
    if head["num_class"] != (str(n_outputs) if n_outputs > 1 else "0"):
        raise refuse("its number of classes is not that of its record")
    documents.same(head["num_target"], "1")
    documents.matching(head["boost_from_average"], "[01]")
    documents.matching(head["base_score"], rf"\[{NUMBER}(,{NUMBER}){{{n_outputs - 1}}}\]")
    objective = learner["objective"]
    documents.matching(documents.members(objective, ["name"], objective)["name"], "[a-z:_]{1,40}")
    for key, value in objective.items():
        if key != "name":
            for param in documents.members(value, (), value).values():
                documents.matching(param, rf"{NUMBER}|\[{NUMBER}\]")


def _check_trees(model: Any, n_features: int, n_outputs: int) -> None:
    documents.members(
        model, ("cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees")
    )
    documents.same(model["cats"], _NO_CATEGORIES_OF_TABLES)
    trees = documents.listed(model["trees"])
    sizes = documents.members(model["gbtree_model_param"], ("num_parallel_tree", "num_trees"))
    n_parallel = int(documents.matching(sizes["num_parallel_tree"], "[1-9][0-9]{0,5}"))
    n_a_round = n_outputs * n_parallel
    if not trees or sizes["num_trees"] != str(len(trees)) or len(trees) % n_a_round:
        raise refuse("trees are missing")
    documents.same(model["iteration_indptr"], list(range(0, len(trees) + 1, n_a_round)))
    documents.integers(model["tree_info"], len(trees), 0, n_outputs - 1)
    for place, tree in enumerate(trees):
        _check_tree(tree, place, n_features)


def _check_tree(tree: Any, place: int, n_features: int) -> None:
    import numpy as np

    documents.members(
        tree,
        (
            *_FLOATS,
            *_OF_CATEGORIES,
            *("categories", "default_left", "id", "left_children", "parents", "right_children"),
            *("split_conditions", "split_indices", "split_type", "tree_param"),
        ),
    )
    documents.same(tree["id"], place)
    param = documents.members(
        tree["tree_param"], ("num_deleted", "num_feature", "num_nodes", "size_leaf_vector")
    )
    n_nodes = len(documents.listed(tree["left_children"]))
    if not n_nodes or param["num_nodes"] != str(n_nodes) or param["size_leaf_vector"] != "1":
        raise refuse("a tree is of an unknown kind")
    n_deleted = documents.matching(param["num_deleted"], "[0-9]{1,9}")
    documents.same(param["num_feature"], str(n_features))
    for key in _FLOATS:
        documents.finite(tree[key], n_nodes)
    left, right = (
        documents.integers(tree[f"{side}_children"], n_nodes, -1, n_nodes - 1)
        for side in ("left", "right")
    )
    is_inner = left != -1
    if not np.array_equal(is_inner, right != -1):
        raise refuse("a tree has a branch that leads nowhere")
    is_reached = _check_reach(left, right, documents.integers(tree["parents"], n_nodes, 0))
    columns = documents.integers(tree["split_indices"], n_nodes, 0)
    if bool((columns[is_reached] >= n_features).any()):
        raise refuse("a tree splits on a column that is not there")
    is_pruned = (columns == _DELETED) & ~is_inner
    if not np.array_equal(is_pruned, ~is_reached) or n_deleted != str(int(is_pruned.sum())):
        raise refuse("a tree has nodes that nothing leads to")
    documents.integers(tree["default_left"], n_nodes, 0, 1)
    conditions = documents.numbers(tree["split_conditions"], n_nodes)
    if not bool(np.isfinite(conditions[~is_inner]).all()):
        raise refuse("a leaf is not a number")
    kinds = documents.integers(tree["split_type"], n_nodes, 0, 1)
    _check_categories(tree, np.flatnonzero((kinds == 1) & is_inner))


def _check_reach(left: np.ndarray, right: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Return which nodes are reached from the root: by one way only, and knowing it."""
    import numpy as np

    is_reached = np.zeros(len(left), dtype=bool)
    level, above = np.zeros(1, dtype=np.int64), np.array([_NO_PARENT])
    while len(level):
        if len(np.unique(level)) < len(level) or bool(is_reached[level].any()):
            raise refuse("a tree has a branch that leads nowhere")
        if not np.array_equal(parents[level], above):
            raise refuse("a tree has a branch that leads nowhere")
        is_reached[level] = True
        inner = level[left[level] != -1]
        level = np.concatenate([left[inner], right[inner]])
        above = np.concatenate([inner, inner])
    return is_reached


def _check_categories(tree: Any, nodes: np.ndarray) -> None:
    """Each split by categories has its own stretch of them, one after the other."""
    import numpy as np

    known, starts, sizes = (documents.integers(tree[key], len(nodes), 0) for key in _OF_CATEGORIES)
    categories = documents.integers(tree["categories"], None, 0, _MAX_CATEGORY)
    ends = np.cumsum(sizes)
    if not (np.array_equal(known, nodes) and np.array_equal(starts, ends - sizes)):
        raise refuse("a tree splits on categories that are not there")
    if len(categories) != (int(ends[-1]) if len(ends) else 0):
        raise refuse("a tree splits on categories that are not there")
