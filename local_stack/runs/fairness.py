"""What a recipe asks of fairness, and whether a measured model keeps to it.

The limits are gates of a promotion. What was measured is recorded by ``explain fairness`` in the
table ``fairness``; only a measurement by the recipe's own settings, of the run's own held-out
rows and its own decisions, answers for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from local_stack.errors import InputError, nearest
from local_stack.marked_yaml import Node
from local_stack.results import Result
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

MIN_ROWS: Final = 30
"""Rows below which a group is shown as too small and counts for no comparison."""
FOUR_FIFTHS: Final = "four_fifths"
DIFFERENCES: Final = (
    "demographic_parity_difference",
    "equalized_odds_difference",
    "equal_opportunity_difference",
)
RATIOS: Final = (
    "demographic_parity_ratio",
    "equalized_odds_ratio",
    "equal_opportunity_ratio",
    "mae_ratio",
    "rmse_ratio",
)
ERRORS: Final = ("mean_error_difference", "mae_difference", "rmse_difference")
"""Of a regression, in the unit of the target."""
LIMITS: Final = (*DIFFERENCES, *RATIOS, *ERRORS, FOUR_FIFTHS)
"""What can be limited: differences at most, ratios at least, and the four-fifths rule."""
_OF_NUMBERS: Final = (*ERRORS, "mae_ratio", "rmse_ratio")
MOST_CLASSES: Final = 20
"""Classes up to which each is looked at as a selection where none is named."""
NOT_MEASURED: Final = "not measured"
"""What a gate observed where ``explain fairness`` has not been called yet."""
_NO_NUMBERS = ("string", "boolean", "date", "datetime")
_MOST = 1e300
_ROUNDING = 1e-12
_MOST_NAMES = 20
_MOST_EDGES = 50


@dataclass(frozen=True, slots=True)
class Fairness:
    """The key ``fairness`` of a recipe.

    ``by`` are columns of the data version; ``intersect`` takes their combinations as groups.
    ``positive`` is the class that is a selection (as text), None: the second of two. ``bins``
    hold rising edges of numeric columns. A limit of ``four_fifths`` is true. ``node`` says where
    it was read, for errors; it is no part of the recipe.
    """

    by: tuple[str, ...]
    positive: str | None = None
    intersect: bool = False
    bins: dict[str, tuple[float, ...]] = field(default_factory=dict)
    limits: dict[str, float | bool] = field(default_factory=dict)
    min_rows: int = MIN_ROWS
    node: Node | None = field(default=None, compare=False, repr=False)

    @property
    def groupings(self) -> tuple[tuple[str, ...], ...]:
        """Return the columns of each table of groups."""
        return (self.by,) if self.intersect else tuple((name,) for name in self.by)


@dataclass(frozen=True, slots=True)
class Verdict(Result):
    """Whether a limit is kept; ``observed`` is None where it could not be measured."""

    name: str
    passed: bool
    observed: float | bool | None
    required: float | bool


def read_fairness(node: Node) -> Fairness:
    """Return the fairness of a recipe's file."""
    found = node.fields(["by", "positive", "intersect", "bins", "limits"], ["by"])
    names = [item.text() for item in found["by"].items()]
    if not 1 <= len(names) <= _MOST_NAMES or len(set(names)) != len(names):
        raise found["by"].error(f"{found['by'].name} needs 1 to {_MOST_NAMES} different columns.")
    limits, min_rows = _limits(found["limits"]) if "limits" in found else ({}, MIN_ROWS)
    return Fairness(
        by=tuple(names),
        positive=_positive(found["positive"]) if "positive" in found else None,
        intersect=found["intersect"].truth() if "intersect" in found else False,
        bins=_bins(found["bins"]) if "bins" in found else {},
        limits=limits,
        min_rows=min_rows,
        node=node,
    )


def _positive(node: Node) -> str:
    value = node.value
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return node.text()


def _bins(node: Node) -> dict[str, tuple[float, ...]]:
    found = {}
    for name, member in sorted(node.mapping().items()):
        edges = [item.number(-_MOST, _MOST) for item in member.items()]
        if not 1 <= len(edges) <= _MOST_EDGES or len(set(edges)) != len(edges):
            raise member.error(f"{member.name} needs 1 to {_MOST_EDGES} different edges.")
        found[name] = tuple(sorted(edges))
    return found


def _limits(node: Node) -> tuple[dict[str, float | bool], int]:
    found = node.fields([*LIMITS, "min_rows"])
    min_rows = found["min_rows"].whole(1, 10**9) if "min_rows" in found else MIN_ROWS
    limits: dict[str, float | bool] = {}
    for name in LIMITS:
        if name == FOUR_FIFTHS and name in found:
            if found[name].truth():
                limits[name] = True
        elif name in found:
            limits[name] = found[name].number(0, _MOST if name in ERRORS else 1)
    return limits, min_rows


def limit_of(text: str) -> tuple[str, float | bool]:
    """Return the limit that a command line writes as ``NAME=VALUE``.

    Raises
    ------
    InputError
        The name is no limit (with the nearest one), or the value does not suit it.
    """
    name, mark, value = text.partition("=")
    if not mark:
        raise InputError(
            f"--limit needs NAME=VALUE, not '{text[:60]}'.",
            "Example: --limit demographic_parity_difference=0.1",
        )
    if name not in LIMITS:
        hint = nearest(name, LIMITS) or f"One of: {', '.join(LIMITS)}."
        raise InputError(f"'{name[:60]}' is not a limit of fairness.", hint)
    if name == FOUR_FIFTHS:
        if value.lower() not in ("true", "yes", "1"):
            raise InputError("The limit four_fifths can only be true.", "Leave it out otherwise.")
        return name, True
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= (_MOST if name in ERRORS else 1):
        most = "0 or more" if name in ERRORS else "from 0 to 1"
        raise InputError(f"The limit {name} needs a number {most}, not '{value[:60]}'.")
    return name, number


def limits_of(task: str) -> tuple[str, ...]:
    """Return the limits that a task can be measured by."""
    is_number = task == "regression"
    return tuple(name for name in LIMITS if (name in _OF_NUMBERS) == is_number)


def check_fairness(
    fairness: Fairness,
    columns: Mapping[str, str],
    target: str,
    task: str,
    classes: Sequence[object],
) -> None:
    """Raise where what a recipe asks can never be measured, so that nobody could keep to it.

    Parameters
    ----------
    columns
        The type of each column of the data version.
    classes
        The labels of the target, none for a regression.

    Raises
    ------
    InputError
        With the place in the recipe and the nearest valid word.
    """
    assert fairness.node is not None
    found = fairness.node.mapping()
    _check_columns(fairness, found, columns, target)
    _check_positive(fairness, found, target, task, [str(it) for it in classes])
    for name in fairness.limits:
        if name not in limits_of(task):
            raise found["limits"].mapping()[name].error(*wrong_limit(name, target, task))


def _check_columns(
    fairness: Fairness, found: Mapping[str, Node], columns: Mapping[str, str], target: str
) -> None:
    for name, item in zip(fairness.by, found["by"].items(), strict=True):
        if name not in columns:
            raise item.error(
                f"fairness.by names column '{name}', which is not there.",
                nearest(name, columns) or f"Columns: {', '.join(list(columns)[:20])}.",
            )
        if name == target:
            raise item.error(
                f"fairness.by names '{name}', which is predicted, so its values are no groups.",
                "Leave it out.",
            )
    for name, item in (found["bins"].mapping() if fairness.bins else {}).items():
        if name not in fairness.by:
            raise item.error(
                f"fairness.bins names '{name}', by which no groups are compared.",
                nearest(name, fairness.by) or "Add it to fairness.by, or leave its bins out.",
            )
        if columns[name] in _NO_NUMBERS:
            raise item.error(f"'{name}' holds no numbers, so it has no bins.", "Leave them out.")


def _check_positive(
    fairness: Fairness, found: Mapping[str, Node], target: str, task: str, names: list[str]
) -> None:
    positive = fairness.positive
    if positive is None and len(names) > MOST_CLASSES:
        raise found["by"].error(
            f"'{target}' has {len(names)} classes, too many to look at each.",
            "Name the class that counts as selected: positive: CLASS.",
        )
    if positive is None or positive in names:
        return
    if task == "regression":
        raise found["positive"].error(
            f"fairness.positive is for a classification, and '{target}' is a number.",
            "Leave it out.",
        )
    raise found["positive"].error(
        f"'{positive[:100]}' is no class of '{target}'.",
        nearest(positive, names) or f"Its classes: {', '.join(names[:20])}.",
    )


def wrong_limit(name: str, target: str, task: str) -> tuple[str, str]:
    """Return what is wrong with a limit that the task does not have, and what it has."""
    is_number = task == "regression"
    noun, other = ("number", "classification") if is_number else ("class", "regression")
    return (
        f"The limit {name} is for a {other}, and '{target}' is a {noun}.",
        f"Of a {task}: {', '.join(limits_of(task))}.",
    )


def plain_fairness(value: Fairness | None) -> Any:
    """Return the fairness in the shape of the file."""
    if value is None:
        return None
    limits: dict[str, Any] = dict(value.limits)
    if value.min_rows != MIN_ROWS:
        limits["min_rows"] = value.min_rows
    return {
        "by": list(value.by),
        **({"positive": value.positive} if value.positive is not None else {}),
        **({"intersect": True} if value.intersect else {}),
        **({"bins": {k: list(v) for k, v in value.bins.items()}} if value.bins else {}),
        **({"limits": limits} if limits else {}),
    }


def _number(most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": most}


SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Groups to compare, and limits that are gates of a promotion.",
    "properties": {
        "by": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "maxItems": _MOST_NAMES,
            "uniqueItems": True,
        },
        "positive": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "integer"},
                {"type": "boolean"},
            ]
        },
        "intersect": {"type": "boolean"},
        "bins": {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": "number", "minimum": -_MOST, "maximum": _MOST},
                "minItems": 1,
                "maxItems": _MOST_EDGES,
                "uniqueItems": True,
            },
        },
        "limits": {
            "type": "object",
            "properties": {
                **{name: _number(1) for name in (*DIFFERENCES, *RATIOS)},
                **{name: _number(_MOST) for name in ERRORS},
                FOUR_FIFTHS: {"type": "boolean"},
                "min_rows": {"type": "integer", "minimum": 1, "maximum": 10**9},
            },
            "additionalProperties": False,
        },
    },
    "required": ["by"],
    "additionalProperties": False,
}


# ------------------------------------------------------------------ verdicts


def verdicts(
    limits: Mapping[str, float | bool], measured: Mapping[str, float | bool | None]
) -> tuple[Verdict, ...]:
    """Return whether each limit is kept by what was ``measured`` under its name."""
    found = []
    for name, required in limits.items():
        observed = measured.get(name)
        if observed is None:
            passed = False
        elif name == FOUR_FIFTHS:
            passed = bool(observed)
        else:
            gap = observed - required if name in RATIOS else required - observed
            passed = gap >= -_ROUNDING
        found.append(Verdict(name, passed, observed, required))
    return tuple(found)


def settings_of(
    fairness: Fairness, by: tuple[str, ...], threshold: float | None = None
) -> dict[str, Any]:
    """Return what a measurement depends on beside run, rows and class, to find it again by."""
    return {
        "by": list(by),
        "bins": {name: list(fairness.bins[name]) for name in by if name in fairness.bins},
        "min_rows": fairness.min_rows,
        "threshold": threshold,
    }


def gates_of(workspace: Workspace, run: Row) -> tuple[tuple[str, bool, Any, Any], ...]:
    """Return name, passed, observed and required of each limit in the recipe of a run."""
    asked = (run.get("recipe") or {}).get("fairness")
    if not asked or not asked.get("limits"):
        return ()
    from local_stack.marked_yaml import Lines

    fairness = read_fairness(Node(asked, Lines("recipe"), ("fairness",)))
    rows = workspace.metadata.find("fairness", run_id=run["run_id"])
    found: list[tuple[str, bool, Any, Any]] = []
    for by in fairness.groupings:
        known = [row for row in rows if _answers(row, fairness, by, run)]
        shown = " & ".join(by)
        n_wanted = 1 if fairness.positive is not None else known[0]["n_usual"] if known else 1
        if len(known) < n_wanted:
            found += [
                (f"{name} by {shown}", False, NOT_MEASURED, required)
                for name, required in fairness.limits.items()
            ]
            continue
        several = len(known) > 1
        for row in known:
            of = f" of {row['positive']}" if several else ""
            found += [
                (f"{it.name} by {shown}{of}", it.passed, it.observed, it.required)
                for it in verdicts(fairness.limits, row["measured"])
            ]
    return tuple(found)


def _answers(row: Row, fairness: Fairness, by: tuple[str, ...], run: Row) -> bool:
    """Return whether a recorded measurement is one that the limits are about.

    Without a class in the recipe it is of the second of two, or of each of several (of which
    ``n_usual`` are there).
    """
    data = run["datasets"][0]
    is_held_out = row["rows"] == "test" or not run["recipe"]["split"]["test"]
    if fairness.positive is None:
        is_class = bool(row["n_usual"])
    else:
        is_class = row["positive"] == fairness.positive
    return (
        is_class
        and is_held_out
        and row["settings"] == settings_of(fairness, by)
        and row["data"] == f"{data['name']}@{data['digest']}"
    )
