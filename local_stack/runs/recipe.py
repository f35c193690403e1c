"""The recipe file: everything that, with a data version, determines a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from local_stack.evaluation.split import DURATION, Split, duration
from local_stack.marked_yaml import Lines, Node, Value, load, override, read
from local_stack.preparation.grammar import features_schema, read_step, scalar, step_to_dict
from local_stack.preparation.steps import FeatureStep
from local_stack.preparation.values import Scalar
from local_stack.runs.fairness import Fairness
from local_stack.runs.options import (
    OPTIONS,
    Bootstrap,
    Calibrate,
    EarlyStopping,
    Threshold,
    options_to_dict,
    read_options,
)

Stored: TypeAlias = "Callable[[str, int | None], Sequence[Mapping[str, Any]]]"
"""Gives the steps of a data set's stored recipe: the newest, or that of a number."""
TASKS = ("classification", "regression")
STORED = "stored"
"""In place of the features: those of the data set's newest stored recipe."""
MAX_TRIALS = 100_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter of a search: ``range``, ``log`` (low and high) or ``choice`` (the values)."""

    param: str
    kind: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What ``runs tune`` tries; ``space`` is in the order of the names, whatever the file's."""

    trials: int
    metric: str | None
    space: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A parsed recipe. ``to_dict`` has the shape of the file; ``parse_recipe`` is its inverse.

    ``target`` and ``task`` may be None: the data set's target, and the task inferred from it.
    The members from ``weights`` to ``fairness`` are explained in :mod:`local_stack.runs.options`.
    ``places`` says where each of the features was read, for errors; it is no part of the recipe.
    """

    dataset: str
    experiment: str
    target: str | None = None
    task: str | None = None
    split: Split = field(default_factory=Split)
    features: tuple[FeatureStep, ...] = ()
    estimator: str = "lightgbm"
    params: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    class_weight: str | dict[str, float] | None = None
    monotone: dict[str, str] = field(default_factory=dict)
    early_stopping: EarlyStopping | None = None
    calibrate: Calibrate | None = None
    threshold: Threshold | None = None
    quantiles: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    fairness: Fairness | None = None
    search: Search | None = None
    places: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values in the shape of the file; options at their defaults are left out."""
        shown = {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "target": self.target,
            "task": self.task,
            "split": _split_to_dict(self.split),
            "features": [step_to_dict(step) for step in self.features],
            "estimator": self.estimator,
            "params": dict(self.params),
            **options_to_dict(self),
            "search": None if self.search is None else _search_to_dict(self.search),
        }
        return {key: value for key, value in shown.items() if value is not None}


_KEYS = tuple(f.name for f in fields(Recipe) if f.name != "places")


def load_recipe(
    source: Path | str,
    sets: Mapping[str, str] | None = None,
    *,
    check: bool = True,
    stored: Stored | None = None,
) -> Recipe:
    """Return the recipe of a file, or of a text if ``source`` has a line break.

    Parameters
    ----------
    sets
        ``--set`` overrides: dotted path (``params.learning_rate``) to a YAML value.
    check
        Whether to look the estimator and its parameters up, which imports its library.
    stored
        Gives the steps for ``features: stored`` and ``features: {recipe: NAME, number: N}``.

    Raises
    ------
    InputError
        With the file, the line and the nearest valid word.
    """
    if isinstance(source, str) and "\n" in source:
        value, lines = load(source, "recipe")
    else:
        value, lines = read(Path(source))
    return _checked(override(value, lines, sets or {}), lines, check, stored)


def parse_recipe(value: Mapping[str, Any], *, check: bool = False) -> Recipe:
    """Return the recipe of plain values in the shape of the file."""
    return _checked(dict(value), Lines("recipe"), check)


def _checked(value: Value, lines: Lines, check: bool, stored: Stored | None = None) -> Recipe:
    root = Node(value, lines)
    recipe = _recipe(root, stored)
    if check:
        from local_stack.runs.estimators import check_estimator

        check_estimator(recipe, root)
    return recipe


def _recipe(root: Node, stored: Stored | None) -> Recipe:
    found = {k: n for k, n in root.fields(_KEYS, ["dataset"]).items() if n.value is not None}
    dataset = found["dataset"].text(200)
    nodes = _member(found, "features", lambda it: _features(it, dataset, stored), ())
    params = {key: _param(node) for key, node in _member(found, "params", Node.mapping, {}).items()}
    task = found["task"].choice(TASKS) if "task" in found else None
    _check_task(task, found)
    return Recipe(
        dataset=dataset,
        experiment=_member(found, "experiment", Node.text, dataset.partition("@")[0]),
        target=_member(found, "target", Node.text, None),
        task=task,
        split=_member(found, "split", _split, Split()),
        features=tuple(map(read_step, nodes)),
        estimator=_member(found, "estimator", Node.text, "lightgbm"),
        params=params,
        **read_options(found),
        search=_member(found, "search", _search, None),
        places=tuple(node.lines.where(node.path) for node in nodes),
    )


def _features(node: Node, dataset: str, stored: Stored | None) -> Sequence[Node]:
    """Return the steps that are written out, or those of a stored recipe."""
    name, number = dataset.partition("@")[0], None
    if isinstance(node.value, dict):
        found = node.fields(["recipe", "number"], ["recipe"])
        name = found["recipe"].text(200)
        number = found["number"].whole(1, 10**9) if "number" in found else None
    elif node.value != STORED:
        return node.items()
    if stored is None:
        raise node.error("A stored recipe can be named in a recipe file only.")
    return [
        Node(dict(step), Lines(f"the recipe of '{name}', step {at}"))
        for at, step in enumerate(stored(name, number), start=1)
    ]


def _member(
    found: Mapping[str, Node], key: str, reading: Callable[[Node], Any], default: Any
) -> Any:
    return reading(found[key]) if key in found else default


def _param(node: Node) -> Value:
    if isinstance(node.value, dict):
        raise node.error(f"{node.name} needs one value or a list of values.")
    if isinstance(node.value, list):
        return [_param(item) for item in node.items()]
    return node.value


def _split(node: Node) -> Split:
    found = node.fields([f.name for f in fields(Split)])
    given = {key: member for key, member in found.items() if member.value is not None}
    readings: dict[str, Callable[[Node], Any]] = {
        "test": lambda n: n.number(0, 0.95),
        "seed": lambda n: n.whole(0, 2**31 - 1),
        "stratify": Node.truth,
        "group": Node.text,
        "time": Node.text,
        "folds": lambda n: n.whole(2, 100),
        "gap": _gap,
    }
    split = Split(**{key: readings[key](member) for key, member in given.items()})
    if (split.stratify, bool(split.group), bool(split.time)).count(True) > 1:
        raise node.error("Only one of stratify, group and time can be used.", "Choose one.")
    if split.gap is not None and split.time is None:
        raise given["gap"].error("A gap needs the column of the times.", "Add split.time: COLUMN.")
    return split


def _gap(node: Node) -> int | str:
    if not isinstance(node.value, str):
        return node.whole(1, 1_000_000)
    try:
        duration(node.value)
    except ValueError:
        raise node.error(
            f"{node.name} cannot be '{node.value[:60]}'.",
            "Write a number of different times, or a duration such as 7d, 12h or 30m.",
        ) from None
    return node.value


def _split_to_dict(split: Split) -> dict[str, Any]:
    """Return every key of a split; one of those that came later only where it is set."""
    shown = {f.name: getattr(split, f.name) for f in fields(Split)}
    return {key: value for key, value in shown.items() if key != "gap" or value is not None}


def _check_task(task: str | None, found: Mapping[str, Node]) -> None:
    """Raise where a key asks for what the task of the recipe does not have."""
    only = {
        "classification": ("class_weight", "calibrate", "threshold"),
        "regression": ("quantiles",),
    }
    for needed, keys in only.items():
        for key in keys:
            if key in found and task not in (needed, None):
                raise found[key].error(
                    f"{key} is for a {needed}, and the task is {task}.",
                    f"Leave {key} out, or set task: {needed}.",
                )


def _search(node: Node) -> Search:
    found = node.fields([f.name for f in fields(Search)], ["space"])
    return Search(
        trials=found["trials"].whole(1, MAX_TRIALS) if "trials" in found else 20,
        metric=found["metric"].text(100) if "metric" in found else None,
        space=tuple(_dimension(k, n) for k, n in sorted(found["space"].mapping().items())),
    )


def _dimension(param: str, node: Node) -> Dimension:
    if isinstance(node.value, list):
        return Dimension(param, "range", _bounds(node))
    kinds = node.fields(["log", "choice"])
    if len(kinds) != 1:
        raise node.error(
            f"{node.name} needs [low, high], {{log: [low, high]}} or {{choice: [...]}}."
        )
    kind, member = next(iter(kinds.items()))
    if kind == "choice":
        values = tuple(scalar(item) for item in member.items())
        if not values:
            raise member.error(f"{member.name} needs at least one value.")
        return Dimension(param, "choice", values)
    bounds = _bounds(member)
    if bounds[0] <= 0:
        raise member.error(f"{member.name} needs numbers above zero.")
    return Dimension(param, "log", bounds)


def _bounds(node: Node) -> tuple[float | int, float | int]:
    items = node.items()
    if len(items) != 2:
        raise node.error(f"{node.name} needs two numbers, [low, high].")
    for item in items:
        item.number(-1e300, 1e300)
    low, high = (item.value for item in items)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low < high:
        raise node.error(f"{node.name} needs the lower number first.")
    return low, high


def _search_to_dict(search: Search) -> dict[str, Any]:
    space = {
        d.param: list(d.values) if d.kind == "range" else {d.kind: list(d.values)}
        for d in search.space
    }
    shown = {"trials": search.trials, "metric": search.metric, "space": space}
    return {key: value for key, value in shown.items() if value is not None}


# ------------------------------------------------------------------ for editors


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe file, by which editors complete it."""
    text = {"type": "string", "minLength": 1}
    features = features_schema()
    return {
        "$schema": features.pop("$schema"),
        "title": "A recipe of PACE-ML",
        "type": "object",
        "properties": {
            "experiment": text,
            "dataset": {**text, "description": "A data set, or one version of it: NAME@VERSION."},
            "target": text,
            "task": {"enum": list(TASKS)},
            "split": _SPLIT_SCHEMA,
            "features": {"anyOf": [{"const": STORED}, _STORED_SCHEMA, features]},
            "estimator": {**text, "description": "lightgbm, xgboost, catboost or a path."},
            "params": {"type": "object"},
            **{key: dict(option.schema) for key, option in OPTIONS.items()},
            "search": _SEARCH_SCHEMA,
        },
        "required": ["dataset"],
        "additionalProperties": False,
    }


_STORED_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The recipe of preparation that is stored under a number of a data set.",
    "properties": {
        "recipe": {"type": "string", "minLength": 1},
        "number": {"type": "integer", "minimum": 1},
    },
    "required": ["recipe"],
    "additionalProperties": False,
}
_SPLIT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "test": {"type": "number", "minimum": 0, "maximum": 0.95},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "stratify": {"type": "boolean"},
        "group": {"type": ["string", "null"]},
        "time": {"type": ["string", "null"]},
        "folds": {"type": ["integer", "null"], "minimum": 2, "maximum": 100},
        "gap": {
            "anyOf": [
                {"type": "null"},
                {"type": "integer", "minimum": 1, "maximum": 1_000_000},
                {"type": "string", "pattern": DURATION},
            ]
        },
    },
    "additionalProperties": False,
}
_RANGE: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
}
_SEARCH_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "trials": {"type": "integer", "minimum": 1, "maximum": MAX_TRIALS},
        "metric": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "description": "A metric of the task, or the name of a scorer of scikit-learn.",
        },
        "space": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    _RANGE,
                    {
                        "type": "object",
                        "properties": {"log": _RANGE, "choice": {"type": "array", "minItems": 1}},
                        "additionalProperties": False,
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                ]
            },
        },
    },
    "required": ["space"],
    "additionalProperties": False,
}
