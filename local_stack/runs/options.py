"""What a recipe says about learning and measuring, beside split, features and estimator.

Each key is declared once, in :data:`OPTIONS`: how it is read, how it is written, and its schema.
Nothing here imports a library of models; whether the estimator can do what is asked is checked by
:mod:`local_stack.runs.estimators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_stack.evaluation.calibration import METHODS
from local_stack.evaluation.thresholds import METRICS
from local_stack.marked_yaml import Node
from local_stack.runs.fairness import SCHEMA, plain_fairness, read_fairness

BALANCED = "balanced"
DIRECTIONS = {"increasing": 1, "decreasing": -1}
DEFAULT_FOLDS = 5
"""Folds for out-of-fold probabilities where neither ``calibrate`` nor ``split`` gives them."""
MAX_QUANTILES = 20
_MAX_NAMES = 100
_MAX_WEIGHT = 1e9


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop after ``rounds`` without improvement on a held-out ``share`` of the training rows.

    With ``refit`` the model is then trained again on all of them, with as many rounds as were best.
    """

    rounds: int
    share: float = 0.15
    refit: bool = False


@dataclass(frozen=True, slots=True)
class Calibrate:
    """How probabilities are calibrated: on out-of-fold ones of ``folds`` folds.

    ``folds`` of None are those of the split, or ``DEFAULT_FOLDS``.
    """

    method: str
    folds: int | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a binary classifier says the second class; exactly one of the members is set.

    ``value`` is the probability itself, ``metric`` one of ``METRICS`` to be largest out of fold,
    ``costs`` what a false positive and a false negative cost, their sum to be smallest out of fold.
    """

    value: float | None = None
    metric: str | None = None
    costs: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals of metrics are drawn: ``resamples`` of the test rows, 0 for none."""

    resamples: int = 1_000
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Option:
    """A key of a recipe: its default, how a node is read, how a value is written, its schema."""

    default: Any
    read: Callable[[Node], Any]
    plain: Callable[[Any], Any]
    schema: Mapping[str, Any]


def read_options(found: Mapping[str, Node]) -> dict[str, Any]:
    """Return the options among the keys of a recipe's file; those left out keep their default."""
    return {key: OPTIONS[key].read(node) for key, node in found.items() if key in OPTIONS}


def options_to_dict(recipe: Any) -> dict[str, Any]:
    """Return the options that are not at their defaults, in the shape of the file."""
    return {
        key: option.plain(value)
        for key, option in OPTIONS.items()
        if (value := getattr(recipe, key)) != option.default
    }


# ------------------------------------------------------------------ reading


def _class_weight(node: Node) -> str | dict[str, float]:
    if not isinstance(node.value, dict):
        return node.choice([BALANCED])
    found = {label: weight.number(0, _MAX_WEIGHT) for label, weight in node.mapping().items()}
    if not found:
        raise node.error(f"{node.name} needs at least one class.", _CLASS_WEIGHT_HINT)
    return found


_CLASS_WEIGHT_HINT = 'Write class_weight: balanced, or {label: weight}, as {"1": 5}.'


def _monotone(node: Node) -> dict[str, str]:
    return {name: member.choice(DIRECTIONS) for name, member in sorted(node.mapping().items())}


def _early_stopping(node: Node) -> EarlyStopping:
    if not isinstance(node.value, dict):
        return EarlyStopping(node.whole(1, 100_000))
    found = node.fields(["rounds", "share", "refit"], ["rounds"])
    share = found["share"].number(0.01, 0.9) if "share" in found else EarlyStopping(1).share
    refit = found["refit"].truth() if "refit" in found else False
    return EarlyStopping(found["rounds"].whole(1, 100_000), share, refit)


def _calibrate(node: Node) -> Calibrate:
    if not isinstance(node.value, dict):
        return Calibrate(node.choice(METHODS))
    found = node.fields(["method", "folds"], ["method"])
    n_folds = found["folds"].whole(2, 100) if "folds" in found else None
    return Calibrate(found["method"].choice(METHODS), n_folds)


def _threshold(node: Node) -> Threshold:
    if not isinstance(node.value, dict):
        return Threshold(value=node.number(0, 1))
    found = node.fields(["metric", "costs"])
    if len(found) != 1:
        raise node.error(
            f"{node.name} needs a number, {{metric: NAME}} or {{costs: {{...}}}}.",
            "Example: threshold: {costs: {false_positive: 1, false_negative: 5}}.",
        )
    if "metric" in found:
        return Threshold(metric=found["metric"].choice(METRICS))
    names = ("false_positive", "false_negative")
    costs = found["costs"].fields(names, names)
    false_positive, false_negative = (costs[name].number(0, _MAX_WEIGHT) for name in names)
    if not false_positive + false_negative:
        raise found["costs"].error("One of the costs must be above zero.")
    return Threshold(costs=(false_positive, false_negative))


def _quantiles(node: Node) -> tuple[float, ...]:
    found = []
    for item in node.items():
        level = item.number(0, 1)
        if level in (0, 1):
            raise item.error(f"{item.name} needs a number between 0 and 1.")
        found.append(level)
    if len(set(found)) != len(found):
        raise node.error(f"{node.name} holds one number twice.")
    if not 1 <= len(found) <= MAX_QUANTILES:
        raise node.error(f"{node.name} needs from 1 to {MAX_QUANTILES} numbers.")
    return tuple(sorted(found))


def _names(node: Node) -> tuple[str, ...]:
    names = tuple(item.text(1_000) for item in node.items())
    if len(set(names)) != len(names):
        raise node.error(f"{node.name} holds one name twice.")
    if len(names) > _MAX_NAMES:
        raise node.error(f"{node.name} holds more than {_MAX_NAMES} names.")
    return names


def _bootstrap(node: Node) -> Bootstrap:
    found = node.fields(["resamples", "level"])
    usual = Bootstrap()
    return Bootstrap(
        found["resamples"].whole(0, 100_000) if "resamples" in found else usual.resamples,
        found["level"].number(0.5, 0.9999) if "level" in found else usual.level,
    )


# ------------------------------------------------------------------ writing


def _plain_early_stopping(value: EarlyStopping) -> Any:
    if value == EarlyStopping(value.rounds):
        return value.rounds
    refit = {"refit": True} if value.refit else {}
    return {"rounds": value.rounds, "share": value.share, **refit}


def _plain_calibrate(value: Calibrate) -> Any:
    if value.folds is None:
        return value.method
    return {"method": value.method, "folds": value.folds}


def _plain_threshold(value: Threshold) -> Any:
    if value.costs is not None:
        return {"costs": dict(zip(("false_positive", "false_negative"), value.costs, strict=True))}
    return value.value if value.metric is None else {"metric": value.metric}


def _plain_class_weight(value: str | dict[str, float]) -> Any:
    return value if isinstance(value, str) else dict(value)


# ------------------------------------------------------------------ the table

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_NAMES: Mapping[str, Any] = {
    "type": "array",
    "items": _TEXT,
    "uniqueItems": True,
    "maxItems": _MAX_NAMES,
}
_WEIGHT: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": _MAX_WEIGHT}


def _shape(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_ROUNDS: Mapping[str, Any] = {"type": "integer", "minimum": 1, "maximum": 100_000}
_COSTS = _shape(
    ["false_positive", "false_negative"], false_positive=_WEIGHT, false_negative=_WEIGHT
)

OPTIONS: Mapping[str, Option] = {
    "weights": Option(
        None,
        Node.text,
        str,
        {**_TEXT, "description": "A column of sample weights; it is no feature."},
    ),
    "class_weight": Option(
        None,
        _class_weight,
        _plain_class_weight,
        {
            "anyOf": [
                {"const": BALANCED},
                {"type": "object", "additionalProperties": _WEIGHT, "minProperties": 1},
            ]
        },
    ),
    "monotone": Option(
        {},
        _monotone,
        dict,
        {"type": "object", "additionalProperties": {"enum": list(DIRECTIONS)}},
    ),
    "early_stopping": Option(
        None,
        _early_stopping,
        _plain_early_stopping,
        {
            "anyOf": [
                _ROUNDS,
                _shape(
                    ["rounds"],
                    rounds=_ROUNDS,
                    share={"type": "number", "minimum": 0.01, "maximum": 0.9},
                    refit={"type": "boolean"},
                ),
            ]
        },
    ),
    "calibrate": Option(
        None,
        _calibrate,
        _plain_calibrate,
        {
            "anyOf": [
                {"enum": list(METHODS)},
                _shape(
                    ["method"],
                    method={"enum": list(METHODS)},
                    folds={"type": "integer", "minimum": 2, "maximum": 100},
                ),
            ]
        },
    ),
    "threshold": Option(
        None,
        _threshold,
        _plain_threshold,
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                _shape(["metric"], metric={"enum": list(METRICS)}),
                _shape(["costs"], costs=_COSTS),
            ]
        },
    ),
    "quantiles": Option(
        (),
        _quantiles,
        list,
        {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "uniqueItems": True,
            "minItems": 1,
            "maxItems": MAX_QUANTILES,
        },
    ),
    "metrics": Option((), _names, list, {**_NAMES, "description": "Names of sklearn's scorers."}),
    "slices": Option((), _names, list, {**_NAMES, "description": "Columns to measure by group."}),
    "bootstrap": Option(
        Bootstrap(),
        _bootstrap,
        lambda value: {"resamples": value.resamples, "level": value.level},
        _shape(
            [],
            resamples={"type": "integer", "minimum": 0, "maximum": 100_000},
            level={"type": "number", "minimum": 0.5, "maximum": 0.9999},
        ),
    ),
    "fairness": Option(None, read_fairness, plain_fairness, SCHEMA),
}
"""The keys, in the order in which a recipe is written."""
