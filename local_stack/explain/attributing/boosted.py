"""The trees of LightGBM, XGBoost and CatBoost, in the form of :mod:`ensembles`.

They are read from the bytes that are stored, which were checked when the model was loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing.ensembles import Ensemble, Tree, ensemble
from local_stack.stores.boosters.catboost_json import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Floats = NDArray[np.float64]

_FEW_ROWS: Final = 50


def read_lightgbm(model: Model) -> Ensemble:
    """Return the trees of LightGBM's text."""
    import numpy as np

    blocks = model.content.decode("utf-8").partition("\nend of trees")[0].split("\nTree=")[1:]
    n_outputs = model.record.n_outputs
    share = _share(model, len(blocks) // n_outputs)
    trees = []
    for number, block in enumerate(blocks):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        trees.append(_lightgbm_tree(facts, number % n_outputs, share))
    return ensemble(trees, len(model.features), np.zeros(n_outputs))


def _share(model: Model, n_rounds: int) -> float:
    """Return what a round counts: LightGBM's raw scores are sums even where it predicts means."""
    is_mean = b"\naverage_output\n" in model.content.partition(b"\nTree=")[0]
    return 1 / n_rounds if is_mean else 1.0


def lightgbm_scores(model: Model, matrix: Floats) -> Any:
    """Return the raw scores of rows by LightGBM itself."""
    booster: Any = model.estimator
    # One thread does few rows sooner than several agree who does them; the scores are the same.
    threads = {"num_threads": 1} if len(matrix) <= _FEW_ROWS else {}
    found = booster.predict(matrix, raw_score=True, **threads)
    return found * _share(model, booster.current_iteration())


def xgboost_scores(model: Model, matrix: Floats) -> Any:
    """Return the margins of rows by XGBoost itself, which adds with 32 bits."""
    import numpy as np

    booster: Any = model.estimator
    return booster.inplace_predict(
        np.ascontiguousarray(matrix), predict_type="margin", validate_features=False
    )


def catboost_scores(model: Model, matrix: Floats) -> Any:
    """Return the raw scores of rows by CatBoost itself."""
    booster: Any = model.estimator
    data = table(matrix, booster.feature_names_, booster.get_cat_feature_indices())
    return booster.predict(data, prediction_type="RawFormulaVal", thread_count=1)


def has_catboost_values(model: Model) -> bool:
    """Return whether CatBoost's own SHAP values of a model are right.

    Those of trees that grow leaf by leaf are not (1.2.10): they differ from the enumeration of
    all coalitions by a tenth, where a tree has more than 16 leaves.
    """
    return model.kind == "catboost" and b'"oblivious_trees":' in model.content


def catboost_values(model: Model, matrix: Floats) -> tuple[Floats, Floats]:
    """Return CatBoost's own SHAP values of rows, as :func:`tree_shap` does, and their base."""
    import catboost
    import numpy as np

    booster: Any = model.estimator
    native = booster.get_cat_feature_indices()
    data = table(matrix, booster.feature_names_, native)
    found = booster.get_feature_importance(
        catboost.Pool(data, cat_features=native), type="ShapValues", thread_count=1
    )
    split = np.asarray(found).reshape(len(matrix), -1, matrix.shape[1] + 1)
    return split[:, :, :-1].transpose(0, 2, 1), split[0, :, -1]


def _numbers(text: str) -> Floats:
    import numpy as np

    return np.array(text.split(), dtype=np.float64)


def _lightgbm_tree(facts: dict[str, str], output: int, share: float) -> Tree:
    import numpy as np

    n_leaves = int(facts["num_leaves"])
    n_inner = n_leaves - 1
    values = _numbers(facts["leaf_value"]) * share
    if not n_inner:
        one = np.zeros(1, dtype=np.int64)
        return Tree(
            one - 1, one - 1, one, np.zeros(1), one == 1, np.ones(1), values[:, None], output
        )
    filler = np.zeros(n_leaves, dtype=np.int64)

    def child(name: str) -> NDArray[np.int64]:
        given = _numbers(facts[name]).astype(np.int64)
        placed = np.where(given < 0, n_inner + ~given, given)
        return np.concatenate([placed, filler - 1])

    def inner(name: str) -> Floats:
        return np.concatenate([_numbers(facts[name]), filler])

    decision = inner("decision_type").astype(np.int64)
    threshold = inner("threshold")
    missing, default_left = decision >> 2 & 3, (decision & 2) > 0
    # Kinds of missing: 0 none (NaN is taken for zero), 1 zero (NaN too), 2 NaN.
    zero_left = np.where(missing == 1, default_left, -1).astype(np.int64)
    nan_left = np.where(missing == 0, threshold >= 0, default_left)
    categories = {}
    if facts["num_cat"] != "0":
        starts = _numbers(facts["cat_boundaries"]).astype(np.int64)
        words = _numbers(facts["cat_threshold"]).astype(np.uint32)
        for node in np.flatnonzero(decision & 1).tolist():
            which = int(threshold[node])
            bits = words[starts[which] : starts[which + 1]].astype("<u4").view(np.uint8)
            table = np.unpackbits(bits, bitorder="little").astype(bool)
            categories[node] = (table, False)
            nan_left[node], zero_left[node] = False, -1
    return Tree(
        child("left_child"),
        child("right_child"),
        inner("split_feature").astype(np.int64),
        threshold,
        nan_left,
        np.concatenate([_numbers(facts["internal_count"]), _numbers(facts["leaf_count"])]),
        np.concatenate([np.zeros(n_inner), values])[:, None],
        output,
        zero_left,
        categories,
    )


def read_xgboost(model: Model) -> Ensemble:
    """Return the trees of XGBoost's JSON."""
    import numpy as np

    learner = json.loads(model.content)["learner"]
    found = learner["gradient_booster"]["model"]
    trees = [
        _xgboost_tree(tree, output)
        for tree, output in zip(found["trees"], found["tree_info"], strict=True)
    ]
    head = learner["learner_model_param"]
    score = np.array(json.loads(head["base_score"]), dtype=np.float64)
    constant = np.broadcast_to(_margin(score, learner["objective"]["name"]), model.record.n_outputs)
    return ensemble(trees, len(model.features), constant, is_single=True)


def _margin(score: Floats, objective: str) -> Floats:
    """Return the base score, which XGBoost stores as a prediction, as a margin."""
    import numpy as np

    if objective in ("binary:logistic", "reg:logistic"):
        return np.asarray(np.log(score / (1 - score)))
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return np.asarray(np.log(score))
    return score


def _xgboost_tree(tree: dict[str, Any], output: int) -> Tree:
    import numpy as np

    left = np.array(tree["left_children"], dtype=np.int64)
    condition = np.array(tree["split_conditions"], dtype=np.float32)
    nan_left = np.array(tree["default_left"], dtype=bool)
    categories: dict[int, tuple[NDArray[np.bool_], bool]] = {}
    for node, start, size in zip(
        *(tree[f"categories_{it}"] for it in ("nodes", "segments", "sizes")), strict=True
    ):
        right = np.array(tree["categories"][start : start + size], dtype=np.int64)
        goes_left = np.full(int(right.max(initial=-1)) + 1, True)
        goes_left[right] = False
        categories[node] = (goes_left, True)
    # A row goes left below the condition: at most the number before it.
    threshold = np.nextafter(condition, np.float32(-np.inf)).astype(np.float64)
    return Tree(
        left,
        np.array(tree["right_children"], dtype=np.int64),
        np.where(left < 0, 0, np.array(tree["split_indices"], dtype=np.int64)),
        threshold,
        nan_left,
        np.array(tree["sum_hessian"], dtype=np.float64),
        np.where(left < 0, condition, 0.0).astype(np.float64)[:, None],
        output,
        categories=categories,
    )


def read_catboost(model: Model) -> Ensemble | None:
    """Return the trees of CatBoost's JSON; None where a split is not of one number."""
    import numpy as np

    document = json.loads(model.content)
    scale, bias = document["scale_and_bias"]
    floats = document["features_info"].get("float_features", [])
    places = [it["flat_feature_index"] for it in floats]
    nan_left = [it["nan_value_treatment"] != "AsTrue" for it in floats]
    trees = []
    for tree in _catboost_trees(document, model.record.n_outputs):
        if tree is None:
            return None
        which = tree.feature
        at = np.where(tree.left < 0, 0, which)
        trees.append(
            Tree(
                tree.left,
                tree.right,
                np.array(places, dtype=np.int64)[at],
                tree.threshold,
                np.array(nan_left)[at],
                tree.cover,
                tree.value * scale,
            )
        )
    constant = np.array(bias, dtype=np.float64)
    return ensemble(trees, len(model.features), constant, is_single=True)


def _catboost_trees(document: dict[str, Any], n_outputs: int) -> Iterator[Tree | None]:
    for tree in document.get("oblivious_trees", []):
        splits = tree["splits"] or []
        if any(split["split_type"] != "FloatFeature" for split in splits):
            yield None
            return
        yield _oblivious(splits, tree, n_outputs)
    for tree in document.get("trees", []):
        yield _branching(tree, n_outputs)


def _oblivious(splits: Sequence[dict[str, Any]], tree: dict[str, Any], n_outputs: int) -> Tree:
    """Return a table of leaves as a tree: the last split is at the root, its bit is the highest."""
    import numpy as np

    depth = len(splits)
    n_inner = 2**depth - 1
    node = np.arange(n_inner)
    level = np.floor(np.log2(node + 1)).astype(np.int64)
    turned = list(reversed(splits))
    feature = np.array([split["float_feature_index"] for split in turned], dtype=np.int64)
    border = np.array([split["border"] for split in turned], dtype=np.float32)
    filler = np.zeros(2**depth, dtype=np.int64)
    # Children 2n + 1 and 2n + 2: the leaves come after the inner nodes, in the order of their bits.
    cover = np.concatenate([np.zeros(n_inner), np.array(tree["leaf_weights"], dtype=np.float64)])
    for at in range(n_inner - 1, -1, -1):
        cover[at] = cover[2 * at + 1] + cover[2 * at + 2]
    value = np.zeros((n_inner + len(filler), n_outputs))
    value[n_inner:] = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, n_outputs)
    zeros = np.zeros(n_inner + len(filler))
    return Tree(
        np.concatenate([2 * node + 1, filler - 1]),
        np.concatenate([2 * node + 2, filler - 1]),
        np.concatenate([feature[level], filler]) if depth else filler,
        np.concatenate([border[level].astype(np.float64), filler]) if depth else zeros,
        zeros > 0,
        cover,
        value,
    )


def _branching(tree: dict[str, Any], n_outputs: int) -> Tree | None:
    """Return a tree that CatBoost grew leaf by leaf; None where a split is not of one number."""
    import numpy as np

    left, right, feature, border, weight, values = ([] for _ in range(6))  # type: ignore[var-annotated]
    pending: list[tuple[dict[str, Any], int, list[int]]] = [(tree, -1, left)]
    while pending:
        node, parent, side = pending.pop()
        here = len(left)
        if parent >= 0:
            side[parent] = here
        for column, empty in ((left, -1), (right, -1), (feature, 0), (border, 0.0), (weight, 0.0)):
            column.append(empty)
        values.append([0.0] * n_outputs)
        split = node.get("split")
        if split is None:
            weight[here] = node["weight"]
            values[here] = node["value"] if n_outputs > 1 else [node["value"]]
            continue
        if split["split_type"] != "FloatFeature":
            return None
        feature[here], border[here] = split["float_feature_index"], split["border"]
        pending += [(node["left"], here, left), (node["right"], here, right)]
    cover = np.array(weight)
    for here in range(len(left) - 1, -1, -1):
        if left[here] >= 0:
            cover[here] = cover[left[here]] + cover[right[here]]
    return Tree(
        np.array(left),
        np.array(right),
        np.array(feature),
        np.array(border, dtype=np.float32).astype(np.float64),
        np.full(len(left), False),
        cover,
        np.array(values),
    )
