"""The declared steps of a preparation, and how they are read from a recipe file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from local_stack.marked_yaml import Node
from local_stack.preparation.compiled import PARTS, Scalar

Columns: TypeAlias = "str | tuple[str, ...]"
SELECTORS = ("numeric", "categorical", "boolean", "date", "all")
"""Words for groups of columns in a step."""
STRATEGIES = ("median", "mean", "most_frequent", "constant")
FORMS = ("native", "onehot", "ordinal")
METHODS = ("standard", "minmax", "robust")


@dataclass(frozen=True, slots=True)
class ImputeStep:
    """Fill missing values; ``constant`` takes ``value``."""

    columns: Columns
    strategy: str = "median"
    value: Scalar | None = None


@dataclass(frozen=True, slots=True)
class EncodeStep:
    """Turn categories into numbers: ``native`` (LightGBM's own), ``onehot`` or ``ordinal``."""

    columns: Columns
    form: str


@dataclass(frozen=True, slots=True)
class ScaleStep:
    """Scale numbers: ``standard``, ``minmax`` or ``robust`` (median and quartiles)."""

    columns: Columns
    method: str = "standard"


@dataclass(frozen=True, slots=True)
class ClipStep:
    """Limit numbers to two quantiles (linear) of the training rows."""

    columns: Columns
    lower: float = 0.0
    upper: float = 1.0


@dataclass(frozen=True, slots=True)
class DropStep:
    """Leave columns out of the model."""

    columns: Columns


@dataclass(frozen=True, slots=True)
class DatesStep:
    """Turn dates into numbers."""

    columns: Columns
    parts: tuple[str, ...] = ("year", "month", "day", "dayofweek", "elapsed_days")


FeatureStep: TypeAlias = ImputeStep | EncodeStep | ScaleStep | ClipStep | DropStep | DatesStep


def read_step(node: Node) -> FeatureStep:
    """Return the step of one item of a recipe's list; raise ``InputError`` with its line."""
    steps = node.fields(_STEPS)
    if len(steps) != 1:
        raise node.error("A step of the features needs exactly one word.", "- impute: {...}")
    word, body = next(iter(steps.items()))
    kind, keys = _STEPS[word]
    found = body.fields(keys, ["columns", *(["as"] if word == "encode" else [])])
    members = {keys[key][0]: keys[key][1](member) for key, member in found.items()}
    step: FeatureStep = kind(**members)
    _check_step(step, body)
    return step


def _check_step(step: FeatureStep, node: Node) -> None:
    if isinstance(step, ImputeStep) and (step.strategy == "constant") != (step.value is not None):
        raise node.error("The strategy constant, and no other, needs the key 'value'.")
    if isinstance(step, ClipStep) and not step.lower < step.upper:
        raise node.error("lower must be less than upper (both are quantiles in [0, 1]).")


def _columns(node: Node) -> Columns:
    if isinstance(node.value, list):
        return tuple(item.text() for item in node.items())
    text = node.text()
    return text if text in SELECTORS else (text,)


def scalar(node: Node) -> Scalar:
    """Return one value that is neither a list, a mapping nor empty."""
    if isinstance(node.value, list | dict) or node.value is None:
        raise node.error(f"{node.name} needs a number or a text.")
    return node.value


def _parts(node: Node) -> tuple[str, ...]:
    return tuple(item.choice(PARTS) for item in node.items())


def _word(choices: tuple[str, ...]) -> Callable[[Node], str]:
    return lambda node: node.choice(choices)


def _quantile(node: Node) -> float:
    return node.number(0, 1)


_STEPS: dict[str, tuple[Callable[..., FeatureStep], dict[str, tuple[str, Callable[[Node], Any]]]]]
_STEPS = {
    "impute": (
        ImputeStep,
        {
            "columns": ("columns", _columns),
            "strategy": ("strategy", _word(STRATEGIES)),
            "value": ("value", scalar),
        },
    ),
    "encode": (EncodeStep, {"columns": ("columns", _columns), "as": ("form", _word(FORMS))}),
    "scale": (ScaleStep, {"columns": ("columns", _columns), "method": ("method", _word(METHODS))}),
    "clip": (
        ClipStep,
        {
            "columns": ("columns", _columns),
            "lower": ("lower", _quantile),
            "upper": ("upper", _quantile),
        },
    ),
    "drop": (DropStep, {"columns": ("columns", _columns)}),
    "dates": (DatesStep, {"columns": ("columns", _columns), "parts": ("parts", _parts)}),
}
"""Word of a step: its class and, for each key of the file, the member and how to read it."""


def step_to_dict(step: FeatureStep) -> dict[str, Any]:
    """Return a step in the shape of the file."""
    word, (_, keys) = next(item for item in _STEPS.items() if item[1][0] is type(step))
    body = {key: getattr(step, member) for key, (member, _) in keys.items()}
    return {
        word: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in body.items()
            if value is not None
        }
    }
