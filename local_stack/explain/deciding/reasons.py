"""What contributions say in plain language, with direction and size.

A reason tells what the model did with a value, not what causes what in the world. The same
contributions give the same sentences. Nothing here imports more than the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from local_stack.explain.attributing.attributions import (
    DECISION,
    LOG_ODDS,
    LOG_ODDS_BEFORE,
    LOG_TARGET,
    PROBABILITY,
)
from local_stack.results import Result

MOST: Final = 5
"""How many reasons are told one by one; the rest is told together."""
_LONGEST: Final = 60
_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Contribution(Result):
    """What a column adds to a prediction, in the unit of the explanation.

    ``value`` is that of the row, None where it is missing; ``error`` the standard error of
    ``shap`` where it was sampled.
    """

    feature: str
    value: Any
    shap: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """What contributions add up to: the ``unit`` of SHAP values, and of what.

    ``outcome`` is the label of a class, or the target of a regression. ``is_odds`` says that the
    exponential of a value in log-odds is a factor of the odds, as it is for two classes (before
    calibration it is none: those odds are not the ones of the probability told).
    """

    outcome: str
    unit: str
    is_odds: bool = True

    @property
    def noun(self) -> str:
        """Return what is raised or lowered, in words."""
        name = shown(self.outcome)
        nouns = {
            LOG_ODDS: f"the log-odds of {name}",
            LOG_ODDS_BEFORE: f"the log-odds of {name} before calibration",
            PROBABILITY: f"the probability of {name}",
            LOG_TARGET: f"the logarithm of {plain_name(self.outcome)}",
            DECISION: f"the score of {name}",
        }
        return nouns.get(self.unit, f"the predicted {plain_name(self.outcome)}")

    def size(self, shap: float) -> str:
        """Return how much a contribution is, without its sign."""
        amount = abs(shap)
        if self.unit == PROBABILITY:
            points = 100 * amount
            return f"{points:.1f} points" if points >= 0.05 else "less than 0.1 points"
        text = number(amount)
        if self.unit == LOG_ODDS and self.is_odds:
            return f"{text} (odds x {_factor(shap)})"
        return f"{text} (x {_factor(shap)})" if self.unit == LOG_TARGET else text


def reasons(
    parts: Sequence[Contribution],
    measure: Measure,
    *,
    most: int = MOST,
    sign: int = 0,
) -> tuple[str, ...]:
    """Return one sentence for each of the largest contributions, and one for all the others.

    Parameters
    ----------
    parts
        The contributions of a row, in any order.
    most
        How many are told one by one.
    sign
        1 for what raises the outcome only, -1 for what lowers it, as notices of adverse action
        tell what spoke against it; 0 for both.
    """
    asked = [it for it in ordered(parts) if not sign or it.shap * sign > 0]
    told = [it for it in asked if abs(it.shap) > _NOTHING]
    sentences = [sentence(it, measure) for it in told[:most]]
    named = {it.feature for it in told[:most]}
    rest = [it for it in asked if it.feature not in named]
    if rest:
        sentences.append(_together(rest, measure, is_first=not sentences, is_all=not sign))
    return tuple(sentences)


def ordered(parts: Sequence[Contribution]) -> list[Contribution]:
    """Return contributions by their size, the largest first; equal ones by name."""
    return sorted(parts, key=lambda it: (-abs(it.shap), it.feature))


def sentence(part: Contribution, measure: Measure) -> str:
    """Return what the model did with one value."""
    verb = "raises" if part.shap > 0 else "lowers"
    name = plain_name(part.feature)
    what = f"{name}, which is missing," if part.value is None else f"{name} {shown(part.value)}"
    return f"{what} {verb} {measure.noun} by {measure.size(part.shap)}."


def _together(
    rest: Sequence[Contribution], measure: Measure, *, is_first: bool, is_all: bool
) -> str:
    total = math.fsum(it.shap for it in rest)
    many = len(rest) > 1
    other = "" if is_first else "other "
    who = f"The {len(rest)} {other}columns together" if many else f"The {other or 'only '}column"
    if not (is_all or is_first):  # the others move it the other way, and are not spoken of
        who = f"{len(rest)} more columns together" if many else "1 more column"
    if abs(total) <= _NOTHING:
        return f"{who} {'do' if many else 'does'} not move {measure.noun}."
    verb = ("raise" if total > 0 else "lower") + ("" if many else "s")
    return f"{who} {verb} {measure.noun} by {measure.size(total)}."


def summary(
    prediction: Any,
    measure: Measure,
    *,
    base: float,
    score: float,
    probability: float | None = None,
    threshold: float | None = None,
) -> str:
    """Return what the model says of a row, and what it says on average.

    Parameters
    ----------
    base, score
        Where the contributions start and where they end, in the unit of ``measure``.
    probability
        Of the outcome, in the end.
    threshold
        From which probability of the outcome on the model decides for it; None: there is none.
    """
    said = f"The model says {shown(prediction)}"
    if probability is not None:
        said += f": the probability of {shown(measure.outcome)} is {probability:.3f}"
        if threshold is not None:
            where = "at or above" if probability >= threshold else "below"
            said += f", {where} the threshold of {threshold:.3g}"
    return (
        f"{said}. From its average, {_level(base)}, the columns take {measure.noun} "
        f"to {_level(score)}."
    )


_NO_YEARS: Final = 10_000


def shown(value: Any) -> str:
    """Return a value from outside as a sentence can hold it: short, printable, texts quoted."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return signed(value)
    if isinstance(value, date):
        return value.isoformat()
    return f"'{plain_name(str(value))}'"


def plain_name(name: str) -> str:
    """Return a name as a sentence can hold it: what does not print is replaced, the end cut."""
    seen = "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in name)
    return seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def signed(value: float) -> str:
    """Return a number of data: whole ones whole, others with six digits; 1987 may be a year."""
    if not math.isfinite(value):
        return "missing"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= _NO_YEARS else f"{int(value)}"
    return f"{value:,.6g}"


def number(amount: float) -> str:
    """Return a size with three digits."""
    if amount >= 1000:
        return f"{amount:,.0f}" if amount < 1e15 else f"{amount:.2e}"
    return f"{amount:.3g}"


def _level(value: float) -> str:
    """Return a score with four digits, and a large one to the whole."""
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _factor(shap: float) -> str:
    factor = math.exp(min(max(shap, -700.0), 700.0))
    return f"{factor:,.2f}" if 0.095 <= factor < 1000 else f"{factor:.2g}"
