"""What a comparison says in plain language, with direction, size and how sure it is.

The sentences tell what the models did with the rows; they say nothing of causes in the world.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from local_stack.explain.attributing.attributions import (
    DECISION,
    LOG_ODDS,
    LOG_ODDS_BEFORE,
    LOG_TARGET,
    PROBABILITY,
)
from local_stack.explain.contrasting.parts import ColumnChange, ComparedSide, OutcomeChange
from local_stack.explain.contrasting.sides import DECISIONS
from local_stack.explain.deciding.reasons import number, plain_name

MOST: Final = 5
"""Columns that are told one by one; the rest is told together."""
_NOTHING: Final = 1e-12
"""Differences up to this share of what is compared are rounding."""
_LEAST: Final = 0.01
"""Parts smaller than this share of the largest one are not told by themselves."""
_UNSEEN: Final = 0.0005
"""A share below it is told as zero points."""


def sentences(
    sides: tuple[ComparedSide, ComparedSide],
    output: str,
    outcomes: Sequence[OutcomeChange],
    columns: Sequence[ColumnChange],
    *,
    is_paired: bool,
) -> tuple[str, ...]:
    """Return the difference of the outcomes, and which columns it comes from.

    Parameters
    ----------
    outcomes
        The first one is in the unit of the columns.
    columns
        Ordered by the size of their differences.
    """
    unit = outcomes[0].measure
    sizes = (size for it in columns for size in (it.importance_a, it.importance_b))
    nothing = _NOTHING * max(abs(outcomes[0].a), abs(outcomes[0].b), *sizes)
    found = [_headline(sides, output, outcomes[0], nothing)]
    for it in outcomes:
        if it.measure == DECISIONS:
            found.append(_decisions(output, it))
            found += _threshold(it)
    base_difference = outcomes[0].base_difference or 0.0
    if abs(base_difference) > nothing:
        told = _signed(unit, base_difference)
        found.append(f"What they say before any column, the base value, differs by {told}.")
    largest = max((abs(it.difference) for it in columns), default=0.0)
    told_apart = [
        it
        for it in columns[:MOST]
        if abs(it.difference) > nothing and _is_told(unit, it.difference, largest)
    ]
    found += [_column(unit, it) for it in told_apart]
    rest = columns[len(told_apart) :]
    if rest and told_apart:
        total = math.fsum(it.difference for it in rest)
        many = len(rest) > 1
        who = f"The other {len(rest)} columns together" if many else "The other column"
        verb = ("move" if many else "moves") + f" it by {_signed(unit, total)}"
        if abs(total) <= nothing:
            verb = f"{'do' if many else 'does'} not move it"
        found.append(f"{who} {verb}.")
    if is_paired:
        found += _ranks(columns)
    return tuple(found)


def _headline(
    sides: tuple[ComparedSide, ComparedSide], output: str, outcome: OutcomeChange, nothing: float
) -> str:
    a, b = (f"{_values(outcome.measure, it)}" for it in (outcome.a, outcome.b))
    return (
        f"On average {_noun(outcome.measure, output)} is {a} for A ({plain_name(sides[0].label)}) "
        f"and {b} for B ({plain_name(sides[1].label)}): B is {_than(outcome, nothing)}."
    )


def _decisions(output: str, outcome: OutcomeChange) -> str:
    return (
        f"The decision is '{plain_name(output)}' for {_percent(outcome.a)} of the rows of A and "
        f"{_percent(outcome.b)} of B: B is {_than(outcome)}."
    )


def _threshold(outcome: OutcomeChange) -> list[str]:
    """Return what other decisions come from a threshold that moved, and what does not."""
    a, b = outcome.threshold_a, outcome.threshold_b
    if a is None or b is None or a == b:
        return []
    moved = outcome.threshold_difference
    rest = _signed(DECISIONS, outcome.difference - moved)
    return [
        f"The threshold moved from {a:.6g} to {b:.6g}: {_signed(DECISIONS, moved)} of the "
        f"decisions; the probabilities themselves make {rest}."
    ]


def _than(outcome: OutcomeChange, nothing: float = _NOTHING) -> str:
    if abs(outcome.difference) <= nothing:
        return "the same"
    word = "higher" if outcome.difference > 0 else "lower"
    said = f"{_size(outcome.measure, outcome.difference)} {word}"
    return f"{said}{_interval(outcome.measure, outcome.low, outcome.high)}"


def _interval(unit: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return " (too few rows for an interval)"
    chance = ", so chance alone could make it" if low <= 0 <= high else ""
    return f" (95 % interval {_bare(unit, low)} to {_bare(unit, high)}{chance})"


def _column(unit: str, column: ColumnChange) -> str:
    verb = "raises" if column.difference > 0 else "lowers"
    said = f"{plain_name(column.feature)} {verb} it by {_size(unit, column.difference)}"
    said += _interval(unit, column.low, column.high)
    if column.moved is None or column.rest is None:
        return f"{said}."
    parts = []
    if _is_told(unit, column.moved, column.difference):
        part = f"{_signed(unit, column.moved)} through its changed values"
        shift = next((it for it in column.values if it.moved * column.moved > 0), None)
        if shift is not None:
            part += (
                f" ({shift.value} went from {_percent(shift.share_a)} to "
                f"{_percent(shift.share_b)} of the rows)"
            )
        parts.append(part)
    if _is_told(unit, column.rest, column.difference):
        parts.append(f"{_signed(unit, column.rest)} as the same values count otherwise")
    return f"{said}: {', '.join(parts)}." if parts else f"{said}."


def _is_told(unit: str, part: float, whole: float) -> bool:
    """Return whether a part of a difference is worth a word."""
    return abs(part) >= max(_LEAST * abs(whole), _UNSEEN if _is_share(unit) else 0.0)


def _ranks(columns: Sequence[ColumnChange]) -> list[str]:
    """Return what moved in the order of importance more than chance would move it."""
    found = []
    for it in columns:
        name = plain_name(it.feature)
        if it.rank_a is None:
            found.append(f"Only B uses {name}, its number {it.rank_b} by importance.")
        if it.rank_b is None:
            found.append(f"Only A uses {name}, its number {it.rank_a} by importance.")
    moved = sorted((it for it in columns if _has_moved(it)), key=_best_rank)
    for it in moved[:MOST]:
        name = plain_name(it.feature)
        found.append(f"By importance {name} goes from number {it.rank_a} to {it.rank_b}.")
    if len(moved) > MOST:
        found.append(f"{len(moved) - MOST} more columns change their places by importance.")
    apart = [it for it in columns if it.correlation is not None and it.correlation < 0.5]
    names = ", ".join(plain_name(it.feature) for it in apart[:MOST])
    if names:
        found.append(f"Row by row the models hardly agree on {names} (correlation below 0.5).")
    return found


def _has_moved(column: ColumnChange) -> bool:
    low, high = column.rank_low, column.rank_high
    return low is not None and high is not None and low * high > 0


def _best_rank(column: ColumnChange) -> int:
    return min(column.rank_a or 0, column.rank_b or 0)


def _noun(unit: str, output: str) -> str:
    name = plain_name(output)
    return {
        PROBABILITY: f"the probability of '{name}'",
        LOG_ODDS: f"the log-odds of '{name}'",
        LOG_ODDS_BEFORE: f"the log-odds of '{name}' before calibration",
        LOG_TARGET: f"the logarithm of {name}",
        DECISION: f"the score of '{name}'",
    }.get(unit, f"the predicted {name}")


def _is_share(unit: str) -> bool:
    return unit in (PROBABILITY, DECISIONS)


def _values(unit: str, value: float) -> str:
    return _percent(value) if _is_share(unit) else _number(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{'-' if value < 0 else ''}{number(abs(value))}"


def _size(unit: str, value: float) -> str:
    if not _is_share(unit):
        return number(abs(value))
    points = 100 * abs(value)
    return f"{points:.1f} points" if points >= 100 * _UNSEEN else "less than 0.1 points"


def _signed(unit: str, value: float) -> str:
    if _is_share(unit) and abs(value) < _UNSEEN:
        return _size(unit, value)
    return f"{_bare(unit, value)} points" if _is_share(unit) else _bare(unit, value)


def _bare(unit: str, value: float) -> str:
    if _is_share(unit):
        return f"{100 * value:+.1f}"
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"
