"""Checks on the bytes of a model before, or right after, a foreign parser sees them.

LightGBM's and scikit-learn's predictors follow the indices stored in a tree without bounds
checks, and skops builds whatever its schema names; so the structure is checked here first.
Everything that is wrong ends in :class:`local_stack.errors.DamagedError`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from local_stack.errors import DamagedError

if TYPE_CHECKING:
    import numpy as np

SKLEARN_PACKAGES = (
    "linear_model",
    "tree",
    "ensemble",
    "svm",
    "neighbors",
    "naive_bayes",
    "neural_network",
    "discriminant_analysis",
    "kernel_ridge",
    "dummy",
    "cross_decomposition",
    "gaussian_process",
    "semi_supervised",
)
"""Packages of scikit-learn whose estimators can be trained, stored and loaded."""
TRUSTED_TYPES = (
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types that skops does not trust by itself and that our models need; nothing else passes."""
MAX_UNPACKED = 4_000_000_000
"""Most bytes a skops file may hold unpacked."""

_MODULES = (
    *(f"sklearn.{package}" for package in SKLEARN_PACKAGES),
    "sklearn._loss",
    "sklearn.metrics._dist_metrics",
    "sklearn.multiclass",
    "sklearn.preprocessing._label",
    "sklearn.preprocessing._function_transformer",
    "numpy",
    "scipy.sparse",
)
_BUILTINS = frozenset({"dict", "list", "tuple", "set", "str", "int", "float", "bool", "slice"})
_LOADERS = frozenset(
    {
        "DTypeNode",
        "DefaultDictNode",
        "DictNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "NdArrayNode",
        "ObjectNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "SparseMatrixNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
    }
)
"""Kinds of skops nodes that only hold values; functions, methods and operators are not here."""


def refuse(what: str) -> DamagedError:
    """Return the error for stored bytes that are not a model of ours."""
    return DamagedError(
        f"The stored model is not used: {what}.",
        "Restore it from a backup, or train and register it again.",
    )


def check_skops(content: bytes) -> None:
    """Check the schema and the trees of a skops file without building anything it names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
            raise refuse(f"unpacked it is larger than {MAX_UNPACKED:,} bytes")
        names = archive.namelist()
        schema = json.loads(archive.read("schema.json"))
        if schema.get("__loader__") != "ObjectNode":
            raise refuse("it does not hold an estimator")
        for node in _nodes(schema):
            _check_node(node)
        for name in names:
            if name.endswith(".npy"):
                _check_array(archive.read(name))
            elif name != "schema.json":
                raise refuse("it holds a file that is neither schema nor array")


def _nodes(schema: object) -> Iterator[dict[str, Any]]:
    pending = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if "__loader__" in item:
                yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _check_node(node: dict[str, Any]) -> None:
    module, name, loader = str(node["__module__"]), str(node["__class__"]), node["__loader__"]
    if loader not in _LOADERS:
        raise refuse(f"it holds a {str(loader)[:60]}, which can do more than hold values")
    is_known = (
        name in _BUILTINS
        if module == "builtins"
        else any(module == m or module.startswith(f"{m}.") for m in _MODULES)
    )
    if not is_known:
        raise refuse(f"it names {module[:100]}.{name[:100]}, which is not on the list of types")


def _check_array(content: bytes) -> None:
    import numpy as np

    array = np.load(io.BytesIO(content), allow_pickle=False)
    names = array.dtype.names or ()
    if {"left_child", "right_child", "feature"} <= set(names):
        inner = array["left_child"] != -1
        _check_children(array, "left_child", "right_child", inner)
        if bool((array["feature"][inner] < 0).any()):
            raise refuse("a tree splits on a column that is not there")
    elif {"left", "right", "is_leaf"} <= set(names):
        _check_children(array, "left", "right", array["is_leaf"] == 0)


def _check_children(nodes: np.ndarray, left: str, right: str, inner: np.ndarray) -> None:
    """Children come after their parent and exist: no cycle, nothing out of bounds."""
    import numpy as np

    place = np.arange(len(nodes))[inner]
    for side in (left, right):
        children = nodes[side][inner].astype(np.int64)
        if not bool(((children > place) & (children < len(nodes))).all()):
            raise refuse("a tree has a branch that leads nowhere")


def check_estimator(estimator: Any, n_features: int) -> None:
    """Check that no tree inside a loaded estimator reads a column past the last."""
    if getattr(estimator, "n_features_in_", n_features) != n_features:
        raise refuse("its number of features is not that of its preparation")
    pending, seen = [(estimator, n_features)], set()
    while pending:
        item, width = pending.pop()
        if (id(item), width) in seen:
            continue
        seen.add((id(item), width))
        if type(item).__name__ in ("Tree", "TreePredictor"):
            _check_split_columns(item, width)
        elif isinstance(item, list | tuple):
            pending.extend((it, width) for it in item)
        elif getattr(getattr(item, "dtype", None), "kind", "") == "O":
            pending.extend((it, width) for it in item.ravel().tolist())
        elif type(item).__module__.startswith("sklearn.") and hasattr(item, "__dict__"):
            held = dict(vars(item))
            if type(item).__name__ in ("BaggingClassifier", "BaggingRegressor"):
                pending.extend(_bagged(held.pop("estimators_", ()), held, width))
            pending.extend((it, width) for it in held.values())


def _bagged(members: Any, held: Mapping[str, Any], n_features: int) -> Iterator[tuple[Any, int]]:
    """Yield the members of a bagging, which see some of the columns, each with their number."""
    import numpy as np

    places = [np.asarray(it) for it in held.get("estimators_features_", ())]
    if len(places) != len(members):
        raise refuse("its members are not those of its columns")
    for member, columns in zip(members, places, strict=True):
        is_known = columns.ndim == 1 and columns.dtype.kind in "iu"
        if not (is_known and bool(((columns >= 0) & (columns < n_features)).all())):
            raise refuse("a member looks at a column that is not there")
        yield member, len(columns)


def _check_split_columns(tree: Any, n_features: int) -> None:
    if type(tree).__name__ == "Tree":
        columns = tree.feature
        is_wrong = tree.n_features != n_features
    else:
        columns, is_wrong = tree.nodes["feature_idx"], False
    if is_wrong or (len(columns) and int(columns.max()) >= n_features):
        raise refuse("a tree splits on a column that is not there")


def check_booster(content: bytes, n_features: int, n_outputs: int) -> None:
    """Check the text of a LightGBM model: header, sizes of trees, and every index in them."""
    head, gap, _ = content.partition(b"\n\nTree=0\n")
    header = _fields(head)
    if not content.startswith(b"tree\n") or header.get("version") != "v4":
        raise refuse("it is not a LightGBM model of version 4")
    if int(header["max_feature_idx"]) + 1 != n_features:
        raise refuse("its number of features is not that of its preparation")
    if int(header["num_tree_per_iteration"]) != n_outputs or int(header["num_class"]) != n_outputs:
        raise refuse("its number of classes is not that of its record")
    for key in ("feature_names", "feature_infos"):
        if len(header[key].split()) != n_features:
            raise refuse("its columns are not those of its preparation")
    sizes = [int(size) for size in header["tree_sizes"].split()]
    if not gap or not sizes or len(sizes) % n_outputs:
        raise refuse("trees are missing")
    place = len(head) + 2
    for number, size in enumerate(sizes):
        block = content[place : place + size]
        if size <= 0 or not block.startswith(f"Tree={number}\n".encode()):
            raise refuse("its trees are not where its header says")
        _check_tree(_fields(block), n_features)
        place += size
    if (
        content[place : place + 13] != b"end of trees\n"
        or b"\npandas_categorical:null\n" not in (content[-200:])
    ):
        raise refuse("its end is missing")


def _fields(block: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.decode("utf-8").split("\n"))
    return {key: value for key, sign, value in pairs if sign}


_NUMBERS = re.compile(r"(-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?( (?=[-0-9])|$))*")
_THRESHOLDS = re.compile(r"((-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?|inf)( (?=[-0-9i])|$))*")
"""A split that parts what is missing from all else stands at infinity."""
_WHOLE = re.compile(r"(-?[0-9]{1,10}( (?=[-0-9])|$))*")
_OF_A_SPLIT = {
    "split_feature": _WHOLE,
    "split_gain": _NUMBERS,
    "threshold": _THRESHOLDS,
    "decision_type": _WHOLE,
    "left_child": _WHOLE,
    "right_child": _WHOLE,
    "internal_value": _NUMBERS,
    "internal_weight": _NUMBERS,
    "internal_count": _WHOLE,
}
_OF_A_LEAF = {"leaf_value": _NUMBERS, "leaf_weight": _NUMBERS, "leaf_count": _WHOLE}
_OF_A_TREE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_OF_CATEGORIES = ("cat_boundaries", "cat_threshold")


def _check_tree(tree: dict[str, str], n_features: int) -> None:
    """Check every line: LightGBM's parser ends the process at one that it cannot read."""
    import numpy as np

    del tree["Tree"]
    n_leaves, n_cat = int(tree["num_leaves"]), int(tree["num_cat"])
    keys = {*_OF_A_SPLIT, *_OF_A_LEAF, *_OF_A_TREE, *(_OF_CATEGORIES if n_cat else ())}
    if n_leaves < 1 or n_cat < 0 or tree["is_linear"] != "0" or set(tree) != keys:
        raise refuse("a tree is of an unknown kind")
    for key in _OF_A_TREE:
        _numbers(tree[key], 1)
    if n_leaves == 1:
        _numbers(tree["leaf_value"], 1)
        return
    n_inner = n_leaves - 1
    splits = {key: _numbers(tree[key], n_inner, form) for key, form in _OF_A_SPLIT.items()}
    for key, form in _OF_A_LEAF.items():
        _numbers(tree[key], n_leaves, form)
    columns = splits["split_feature"]
    if not bool(((columns >= 0) & (columns < n_features)).all()):
        raise refuse("a tree splits on a column that is not there")
    place = np.arange(n_inner)
    for side in ("left_child", "right_child"):
        child = splits[side]
        is_node = (child > place) & (child < n_inner)
        is_leaf = (child < 0) & (child >= -n_leaves)
        if not bool((is_node | is_leaf).all()):
            raise refuse("a tree has a branch that leads nowhere")
    is_category = (splits["decision_type"].astype(np.int64) & 1).astype(bool)
    _check_categories(tree, n_cat, splits["threshold"][is_category])


def _check_categories(tree: dict[str, str], n_cat: int, thresholds: np.ndarray) -> None:
    import numpy as np

    if not bool(((thresholds >= 0) & (thresholds < n_cat)).all()):
        raise refuse("a tree splits on categories that are not there")
    if n_cat:
        bounds = _numbers(tree["cat_boundaries"], n_cat + 1, _WHOLE)
        if bounds[0] != 0 or bool((np.diff(bounds) < 0).any()):
            raise refuse("a tree splits on categories that are not there")
        _numbers(tree["cat_threshold"], int(bounds[-1]), _WHOLE)


def _numbers(text: str, n_values: int, form: re.Pattern[str] = _NUMBERS) -> np.ndarray:
    """Return float64 (n_values,); only plain decimal numbers with one space between them pass."""
    import numpy as np

    if not form.fullmatch(text):
        raise refuse("a tree holds something else than numbers")
    values = np.array(text.split(), dtype=np.float64)
    if len(values) != n_values:
        raise refuse("a tree is cut short")
    return values
