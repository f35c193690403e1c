"""CatBoost's boosters, in its JSON format, without the time and the id it stamps them with.

CatBoost finds splits and leaves by numbers that it does not look at, so each is checked here
first. It reads and writes files only, so a booster passes through a temporary one. It computes
with features of 32 bits and leaves of 64; its JSON has 16 digits of these.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.stores.boosters import documents
from local_stack.stores.model_guards import refuse

if TYPE_CHECKING:
    import numpy as np

    from local_stack.stores.model import ModelRecord

FILE = "model.catboost.json"
FORMAT = "CatBoost JSON"
DISTRIBUTIONS: tuple[str, ...] = ("catboost",)
_MAX_DEPTH: Final = 64
_LOSS: Final = r"[A-Za-z0-9]{1,40}(:[a-z_]{1,40}=[-0-9.eE]{1,40})?"
IN_FORCE: Final = "paceml_params"
"""What a booster calls the JSON of the parameters that it was trained with."""
_OF_THE_HOST: Final = frozenset({"task_type", "thread_count", "used_ram_limit"})
_COUNTS: Final = {"Borders": None, "Counter": 2}
"""Statistics of categories that are trained here, and how many values each has if fixed."""


def content(booster: Any, record: ModelRecord) -> bytes:
    """Return CatBoost's JSON of a booster, without what says when and where it was trained."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        booster.save_model(str(path), format="json")
        document = json.loads(path.read_bytes())
    flat = {
        key: value
        for key, value in booster.get_all_params().items()
        if type(value) in (bool, int, float, str) and key not in _OF_THE_HOST
    }
    loss = document["model_info"]["params"]["loss_function"]
    document["model_info"] = {
        IN_FORCE: documents.canonical(flat).decode("ascii"),  # for people: CatBoost warns of params
        "params": {
            "flat_params": {"loss_function": flat["loss_function"]},
            "loss_function": loss,
        },
    }
    if record.classes:
        document["model_info"]["class_params"] = _class_params(record)
    return documents.canonical(document)


def _class_params(record: ModelRecord) -> dict[str, Any]:
    """Return how classes are called: by their numbers."""
    numbers = list(range(len(record.classes)))
    return {
        "class_label_type": "Integer",
        "class_names": numbers,
        "class_to_label": numbers,
        "classes_count": 0,
    }


def parse(content: bytes, record: ModelRecord) -> Any:
    """See :class:`Library`."""
    import catboost

    booster = getattr(catboost, _class_name(record))()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            path.write_bytes(content)
            booster.load_model(str(path), format="json")
    except catboost.CatBoostError as error:
        raise ValueError(str(error)) from error
    return booster


def _class_name(record: ModelRecord) -> str:
    return "CatBoostClassifier" if record.classes else "CatBoostRegressor"


def table(matrix: np.ndarray, names: Sequence[str], native: Sequence[int]) -> Any:
    """Return a matrix as CatBoost takes it: categories are whole numbers, -1 for none."""
    import numpy as np

    if not native:
        return matrix
    import pandas as pd

    columns = {name: matrix[:, place] for place, name in enumerate(names)}
    for place in native:
        codes = matrix[:, place]
        columns[names[place]] = np.where(np.isnan(codes), -1, codes).astype(np.int64)
    return pd.DataFrame(columns)


def predict(booster: Any, matrix: np.ndarray, record: ModelRecord) -> np.ndarray:
    """See :class:`Library`."""
    data = table(matrix, booster.feature_names_, booster.get_cat_feature_indices())
    return _answered(booster, data, record, -1 if matrix.size >= documents.MANY_CELLS else 1)


def _answered(booster: Any, data: Any, record: ModelRecord, threads: int) -> np.ndarray:
    import numpy as np

    if not record.classes:
        return np.asarray(booster.predict(data, thread_count=threads), dtype=np.float64)
    found = booster.predict_proba(data, thread_count=threads)
    return np.asarray(found[:, 1] if record.n_outputs == 1 else found, dtype=np.float64)


def row_predictor(
    booster: Any, content: bytes, n_features: int, record: ModelRecord
) -> Callable[[list[float]], list[float]]:
    """See :class:`Library`."""
    import numpy as np

    native = booster.get_cat_feature_indices()

    def predicted(features: list[float]) -> list[float]:
        row: list[float] = list(features)
        for place in native:
            row[place] = -1 if row[place] != row[place] else int(row[place])
        found = _answered(booster, [row], record, 1)[0]
        return np.atleast_1d(found).tolist()  # type: ignore[no-any-return]

    return predicted


def flavour(record: ModelRecord) -> dict[str, Any]:
    """See :class:`Library`."""
    return {
        "catboost_version": metadata.version("catboost"),
        "model_type": _class_name(record),
        "save_format": "json",
        "data": FILE,
        "code": None,
    }


def check(content: bytes, n_features: int, record: ModelRecord) -> None:
    """Check the whole document: sizes, every index, and the statistics of categories."""
    document = documents.members(
        documents.read(content),
        ("features_info", "model_info", "scale_and_bias"),
        ("ctr_data", "oblivious_trees", "trees"),
    )
    _check_info(document["model_info"], record)
    n_splits = _check_features(document["features_info"], document.get("ctr_data", {}), n_features)
    if ("oblivious_trees" in document) == ("trees" in document):
        raise refuse("trees are missing")
    scale_and_bias = documents.listed(document["scale_and_bias"], 2)
    documents.finite(scale_and_bias[:1], 1)
    documents.finite(scale_and_bias[1], record.n_outputs)
    for tree in documents.listed(document.get("oblivious_trees", [])):
        _check_oblivious(tree, n_splits, record.n_outputs)
    for tree in documents.listed(document.get("trees", [])):
        _check_branches(tree, n_splits, record.n_outputs)


def _check_info(info: Any, record: ModelRecord) -> None:
    documents.members(info, ["params", IN_FORCE], ["class_params"])
    documents.matching(info[IN_FORCE], "[ -~]{0,20000}")
    documents.same(info.get("class_params"), _class_params(record) if record.classes else None)
    params = documents.members(info["params"], ("flat_params", "loss_function"))
    flat = documents.members(params["flat_params"], ["loss_function"])
    documents.matching(flat["loss_function"], _LOSS)
    loss = documents.members(params["loss_function"], ("params", "type"))
    documents.matching(loss["type"], "[A-Za-z0-9]{1,40}")
    for value in documents.members(loss["params"], (), loss["params"]).values():
        documents.matching(value, r"[-0-9.eE]{1,40}|\[\"[a-z_]{1,40}\"\]")


def _check_features(info: Any, tables: Any, n_features: int) -> int:
    """Check columns, their borders and the statistics of categories; return how many splits."""
    documents.members(info, (), ("categorical_features", "ctrs", "float_features"))
    floats = documents.listed(info.get("float_features", []))
    categories = documents.listed(info.get("categorical_features", []))
    n_splits, places = 0, []
    for number, feature in enumerate(floats):
        documents.members(feature, (*_OF_A_FEATURE, "borders", "has_nans", "nan_value_treatment"))
        documents.same(feature["has_nans"], bool(feature["has_nans"]))
        documents.matching(feature["nan_value_treatment"], "AsIs|AsFalse|AsTrue")
        n_splits += _check_borders(feature["borders"])
        places.append(_check_place(feature, number))
    for number, feature in enumerate(categories):
        documents.members(feature, _OF_A_FEATURE, ["values"])
        n_splits += len(documents.integers(feature.get("values", [])))
        places.append(_check_place(feature, number))
    if sorted(places) != list(range(n_features)):
        raise refuse("its number of features is not that of its preparation")
    documents.members(tables, (), tables)
    ctrs = documents.listed(info.get("ctrs", []))
    for ctr in ctrs:
        n_splits += _check_ctr(ctr, tables, len(floats), len(categories))
    if set(tables) != {ctr["identifier"] for ctr in ctrs}:
        raise refuse("its statistics of categories are not those it uses")
    return n_splits


_OF_A_FEATURE = ("feature_id", "feature_index", "flat_feature_index")


def _check_place(feature: Any, number: int) -> int:
    documents.matching(feature["feature_id"], r"[^\x00-\x1f]{1,2000}")
    documents.same(feature["feature_index"], number)
    return int(documents.integers([feature["flat_feature_index"]], 1, 0)[0])


def _check_borders(borders: Any) -> int:
    """Check that borders ascend; return how many they are."""
    found = documents.finite(borders)
    if not bool((found[1:] > found[:-1]).all()):
        raise refuse("the borders of a feature are not in order")
    return len(found)


def _check_ctr(ctr: Any, tables: Any, n_floats: int, n_categories: int) -> int:
    """Check one statistic of categories and its table; return how many splits it has."""
    documents.members(
        ctr,
        (
            *("borders", "ctr_type", "elements", "identifier", "prior_denomerator"),
            *("prior_numerator", "scale", "shift", "target_border_idx"),
        ),
    )
    documents.finite([ctr[key] for key in ("prior_denomerator", "prior_numerator")], 2)
    documents.finite([ctr[key] for key in ("scale", "shift")], 2)
    if ctr["ctr_type"] not in _COUNTS:
        raise refuse("its statistics of categories are of an unknown kind")
    for element in documents.listed(ctr["elements"]):
        _check_element(element, n_floats, n_categories)
    named = {"identifier": ctr["elements"], "type": ctr["ctr_type"]}
    documents.same(documents.parsed(documents.matching(ctr["identifier"], "[ -~]*")), named)
    found = documents.members(
        tables.get(ctr["identifier"]), ("counter_denominator", "hash_map", "hash_stride")
    )
    documents.integers([found["counter_denominator"]], 1, 0)
    stride = int(documents.integers([found["hash_stride"]], 1, 2, 1_000_000)[0])
    if _COUNTS[ctr["ctr_type"]] not in (None, stride):
        raise refuse("its statistics of categories are of an unknown kind")
    flat = documents.listed(found["hash_map"])
    if len(flat) % stride:
        raise refuse("its statistics of categories are cut short")
    for key in flat[::stride]:
        if int(documents.matching(key, "[0-9]{1,20}")) >= 2**64:
            raise refuse("its statistics of categories are damaged")
    for place in range(1, stride):
        documents.integers(flat[place::stride], None, 0)
    documents.integers([ctr["target_border_idx"]], 1, 0, max(stride - 3, 0))
    return _check_borders(ctr["borders"])


def _check_element(element: Any, n_floats: int, n_categories: int) -> None:
    """Check one part of a combination of features."""
    kinds = {
        "cat_feature_value": ("cat_feature_index", n_categories, ()),
        "cat_feature_exact_value": ("cat_feature_index", n_categories, ("value",)),
        "float_feature": ("float_feature_index", n_floats, ("border",)),
    }
    kind = element.get("combination_element") if isinstance(element, dict) else None
    if kind not in kinds:
        raise refuse("its statistics of categories are of an unknown kind")
    key, n_known, more = kinds[kind]
    documents.members(element, ("combination_element", key, *more))
    documents.integers([element[key]], 1, 0, n_known - 1)
    documents.finite([element[it] for it in more])


def _check_split(split: Any, n_splits: int) -> None:
    documents.members(split, ("split_index", "split_type"), split)
    documents.integers([split["split_index"]], 1, 0, n_splits - 1)
    for value in split.values():
        if not isinstance(value, int | float | str):
            raise refuse("a tree is of an unknown kind")


def _check_oblivious(tree: Any, n_splits: int, n_outputs: int) -> None:
    documents.members(tree, ("leaf_values", "leaf_weights", "splits"))
    splits = documents.listed([] if tree["splits"] is None else tree["splits"])
    if len(splits) > _MAX_DEPTH // 4:
        raise refuse("a tree is of an unknown kind")
    for split in splits:
        _check_split(split, n_splits)
    documents.finite(tree["leaf_values"], 2 ** len(splits) * n_outputs)
    documents.finite(tree["leaf_weights"], 2 ** len(splits))


def _check_branches(tree: Any, n_splits: int, n_outputs: int) -> None:
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if not isinstance(node, dict) or depth > _MAX_DEPTH:
            raise refuse("a tree is of an unknown kind")
        if "split" in node:
            documents.members(node, ("left", "right", "split"))
            _check_split(node["split"], n_splits)
            pending += [(node["left"], depth + 1), (node["right"], depth + 1)]
            continue
        documents.members(node, ("value", "weight"))
        values = node["value"] if n_outputs > 1 else [node["value"]]
        documents.finite(values, n_outputs)
        documents.finite([node["weight"]], 1)
