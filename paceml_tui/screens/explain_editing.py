"""Values of a row as they are typed: read by the type of their column, nudged, and told about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from local_stack.errors import InputError, nearest
from paceml_tui.charts import figure
from paceml_tui.safe import safe
from paceml_tui.wording import told

_WHOLE = ("long", "integer")
_STEPS = 40
_MOST_NAMED = 8

Facts = Mapping[str, Any]


def edited(text: str, facts: Facts, before: Any) -> Any:
    """Return the value that a text stands for in a column; nothing stands for a missing one.

    Raises
    ------
    InputError
        The text is no value of the column's type.
    """
    typed, kind = text.strip(), str(facts.get("type") or "")
    if not typed:
        return None
    if kind == "boolean" or isinstance(before, bool):
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if typed.lower() not in known:
            raise InputError(f"'{safe(typed, 30)}' is neither true nor false.")
        return known[typed.lower()]
    if kind in _WHOLE:
        return _whole(typed)
    if kind in ("double", "float", "number"):
        return _number(typed)
    return _category(text, facts)


def _whole(typed: str) -> int | float:
    value = _number(typed)
    if value != int(value):
        raise InputError(f"{safe(typed, 30)} is no whole number.")
    return int(value)


def _number(typed: str) -> float:
    try:
        value = float(typed.replace(",", "").replace("_", ""))
    except ValueError:
        raise InputError(f"'{safe(typed, 30)}' is no number.") from None
    if not math.isfinite(value):
        raise InputError(f"'{safe(typed, 30)}' is not finite.")
    return value


def _category(text: str, facts: Facts) -> str:
    """Return the category that is meant: itself, or the only one that begins like it."""
    levels = [str(it) for it in facts.get("levels") or () if it is not None]
    is_all = levels and len(levels) == facts.get("n_levels")
    if not is_all or text in levels:
        return text
    begun = [it for it in levels if it.lower().startswith(text.strip().lower())]
    if len(begun) == 1:
        return begun[0]
    raise InputError(f"No training row has '{safe(text, 30)}'.", nearest(text, levels) or "")


def nudged(value: Any, facts: Facts, by: int) -> Any:
    """Return the next value up or down: a category of the training rows, or a step of the range."""
    levels = list(facts.get("levels") or ())
    if isinstance(value, bool):
        return not value
    if levels:
        if value not in levels:
            return levels[0]
        return levels[(levels.index(value) + by) % len(levels)]
    low, high = facts.get("low"), facts.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return value
    if not isinstance(value, int | float):
        return low
    step = _step(float(high) - float(low), is_whole=facts.get("type") in _WHOLE)
    moved = min(max(value + by * step, low), high)
    return int(moved) if facts.get("type") in _WHOLE else moved


def _step(width: float, *, is_whole: bool) -> float:
    """Return 1, 2 or 5 times a power of ten, about a fortieth of the range."""
    if width <= 0:
        return 1.0
    exact = width / _STEPS
    power = 10.0 ** math.floor(math.log10(exact))
    step: float = next(it * power for it in (1, 2, 5, 10) if it * power >= exact)
    return max(1.0, round(step)) if is_whole else step


def help_of(facts: Facts | None) -> str:
    """Return in a sentence what a column may hold, and what the prediction does meanwhile."""
    follows = "The prediction follows; enter keeps, esc takes back."
    if not facts:
        return follows
    held = f" Held in changes: {safe(facts['held'], 60)}." if facts.get("held") else ""
    levels = [it for it in facts.get("levels") or () if it is not None]
    if levels:
        named = ", ".join(told(it, 24).plain for it in levels[:_MOST_NAMED])
        left = (facts.get("n_levels") or len(levels)) - len(levels[:_MOST_NAMED])
        more = f" and {left:,} more" if left > 0 else ""
        return f"{named}{more}.{held} {follows}"
    if facts.get("low") is not None:
        low, high = (_end(facts[it]) for it in ("low", "high"))
        return f"{low} to {high} in the training rows.{held} {follows}"
    return follows


def _end(value: Any) -> str:
    return figure(value, 8).plain if isinstance(value, int | float) else safe(value, 30)
