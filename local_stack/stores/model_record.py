"""What ``preparation.json`` says of a model, beside the preparation itself: read and checked."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from local_stack.evaluation.calibration import Calibration
from local_stack.preparation.fitted import Column, Preparation
from local_stack.stores.boosters import LIBRARIES
from local_stack.stores.model import Model, ModelRecord

RECORD: Final = "preparation.json"
DATA: Final = {"sklearn": "model.skops"} | {name: it.FILE for name, it in LIBRARIES.items()}
"""The file of the estimator, by kind of model."""
_PART = re.compile(r"model_q[0-9.e-]{1,30}(\.[a-z.]+)")


def part_names(record: ModelRecord) -> list[str]:
    """Return the files of the boosters that predict quantiles."""
    ending = DATA[record.kind].removeprefix("model")
    return [f"model_q{level!r}{ending}" for level in record.quantiles]


def is_part(name: str) -> bool:
    """Return whether a file has the name of a booster that predicts a quantile."""
    found = _PART.fullmatch(name)
    return found is not None and f"model{found[1]}" in (it.FILE for it in LIBRARIES.values())


def to_dict(model: Model) -> dict[str, Any]:
    """Return what ``preparation.json`` holds; format 1 where nothing needs format 2."""
    record = model.record
    found = {
        "format": 1,
        "kind": record.kind,
        "estimator": record.estimator,
        "task": record.task,
        "target": record.target,
        "classes": list(record.classes),
        "preparation": model.preparation.to_dict(),
    }
    if record.is_plain and not record.quantiles:
        return found
    calibration = record.calibration
    return found | {
        "format": 2,
        "calibration": None if calibration is None else calibration.to_dict(),
        "threshold": record.threshold,
        "quantiles": list(record.quantiles),
    }


def from_dict(data: Any) -> ModelRecord:
    """Return the record of plain values; anything that is wrong raises one of Python's errors."""
    kind, estimator, task, target = (data[k] for k in ("kind", "estimator", "task", "target"))
    classes = data["classes"]
    is_classes = isinstance(classes, list) and all(isinstance(c, str | int) for c in classes)
    is_words = isinstance(estimator, str) and isinstance(target, str)
    is_task = task == "regression" or (task == "classification" and len(classes) >= 2)
    is_format = type(data["format"]) is int and data["format"] in (1, 2)
    if not (is_format and kind in DATA and is_classes and is_words and is_task):
        raise ValueError("record")
    record = ModelRecord(kind, estimator, task, target, tuple(classes))
    return record if data["format"] == 1 else _with_decisions(record, data)


def _with_decisions(record: ModelRecord, data: Any) -> ModelRecord:
    """Return the record with what format 2 adds, checked."""
    calibration = None
    if data["calibration"] is not None:
        calibration = Calibration.from_dict(data["calibration"])
        if record.task != "classification" or calibration.n_classes != len(record.classes):
            raise ValueError("calibration")
    threshold, quantiles = data["threshold"], data["quantiles"]
    if threshold is not None and not (
        type(threshold) in (int, float) and 0 <= threshold <= 1 and len(record.classes) == 2
    ):
        raise ValueError("threshold")
    if not isinstance(quantiles, list) or not all(type(it) is float for it in quantiles):
        raise TypeError("quantiles")
    is_sorted = all(low < high for low, high in itertools.pairwise([0.0, *quantiles, 1.0]))
    if quantiles and not (is_sorted and record.kind in LIBRARIES and record.task == "regression"):
        raise ValueError("quantiles")
    return replace(record, calibration=calibration, threshold=threshold, quantiles=tuple(quantiles))


def inputs_in(folder: Path) -> tuple[Column, ...]:
    """Return the raw columns that a model expects, of its checked folder and without loading it."""
    data = json.loads((folder / RECORD).read_bytes())
    return Preparation.from_dict(data["preparation"]).inputs
