"""How far groups lie apart: differences, ratios, the four-fifths rule, and whether it is chance.

The worst pair of groups counts, as in Fairlearn (``between_groups``, ``worst_case``). Groups
that are too small, or leave a metric undefined, are left out of its extremes. A ratio of rates
that are all 0 is 1. As the pair is chosen after a look at all of them, intervals of a difference
are Bonferroni's over all pairs of groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local_stack.explain.groups.metrics import LEVEL, RATES, Measured, wilson_interval
from local_stack.results import Result
from local_stack.runs.fairness import FOUR_FIFTHS

LEAST_RATIO: Final = 0.8
"""The four-fifths rule of the Uniform Guidelines on Employee Selection Procedures (1978)."""
INTERVALS: Final = (
    "Differences of rates: Newcombe's hybrid score interval; of other metrics: normal, with "
    "bootstrap standard errors; Bonferroni over all pairs of groups."
)
_PARITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
}
_ERRORS: Final = ("mean_error", "mae", "rmse", "mean_prediction")
_SIGNED: Final = frozenset({"mean_error", "r2", "score_minus_base_rate"})
_NO_SIZE: Final = frozenset({"mean_target", "mean_prediction"})


@dataclass(frozen=True, slots=True)
class Gap(Result):
    """The groups with the lowest and the highest value of a metric.

    ``low`` and ``high`` are the interval of the ``difference``; ``is_significant`` says that it
    lies above zero, None where there is no interval. ``ratio`` is of lowest to highest, None for
    metrics that may be negative.
    """

    metric: str
    lowest: str
    highest: str
    lowest_value: float
    highest_value: float
    difference: float
    ratio: float | None
    low: float | None
    high: float | None
    is_significant: bool | None


@dataclass(frozen=True, slots=True)
class Disparity(Result):
    """A named measure of unfairness, and the metric and groups that it comes from.

    ``low``, ``high`` and ``is_significant`` are of a difference, None for a ratio.
    """

    name: str
    value: float
    metric: str
    lowest: str
    highest: str
    low: float | None = None
    high: float | None = None
    is_significant: bool | None = None


@dataclass(frozen=True, slots=True)
class FourFifths(Result):
    """Whether every group is selected at least four fifths as often as the most selected one.

    ``ratios`` are the impact ratios of all groups to ``highest``; ``is_significant`` says whether
    the difference of the two is more than chance allows.
    """

    passed: bool
    ratio: float
    lowest: str
    highest: str
    ratios: dict[str, float]
    is_significant: bool | None


def gaps_of(groups: Sequence[Measured]) -> tuple[Gap, ...]:
    """Return the extremes of every metric that two groups or more have."""
    names = dict.fromkeys(name for it in groups for name in it.shown.metrics)
    found = (gap_of(groups, name) for name in names)
    return tuple(it for it in found if it is not None)


def gap_of(groups: Sequence[Measured], metric: str, n_looks: int = 1) -> Gap | None:
    """Return the extremes of a metric; None where fewer than two groups have it.

    Parameters
    ----------
    n_looks
        How many metrics the gap is chosen from, for the level of the interval.
    """
    known = [it for it in groups if metric in it.shown.metrics]
    if len(known) < 2:
        return None
    lowest = min(known, key=lambda it: it.shown.metrics[metric])
    highest = max(known, key=lambda it: it.shown.metrics[metric])
    if lowest is highest:  # all are equal
        lowest, highest = known[0], known[1]
    least, most = (it.shown.metrics[metric] for it in (lowest, highest))
    n_pairs = len(known) * (len(known) - 1) // 2
    low, high = _interval(lowest, highest, metric, 1 - (1 - LEVEL) / (n_pairs * n_looks))
    return Gap(
        metric=metric,
        lowest=lowest.shown.group,
        highest=highest.shown.group,
        lowest_value=least,
        highest_value=most,
        difference=most - least,
        ratio=None if metric in _SIGNED or least < 0 else (least / most if most else 1.0),
        low=low,
        high=high,
        is_significant=None if low is None else low > 0,
    )


def _interval(
    lowest: Measured, highest: Measured, metric: str, level: float
) -> tuple[float | None, float | None]:
    """Return the interval of the highest value minus the lowest."""
    from scipy.special import ndtri

    p, q = (it.shown.metrics[metric] for it in (highest, lowest))
    if metric in RATES:
        low_p, high_p = wilson_interval(p, highest.sizes[metric], level)
        low_q, high_q = wilson_interval(q, lowest.sizes[metric], level)
        low = p - q - ((p - low_p) ** 2 + (high_q - q) ** 2) ** 0.5
        high = p - q + ((high_p - p) ** 2 + (q - low_q) ** 2) ** 0.5
        return float(low), float(high)
    if metric not in highest.errors or metric not in lowest.errors:
        return None, None
    error = (highest.errors[metric] ** 2 + lowest.errors[metric] ** 2) ** 0.5
    half = float(ndtri((1 + level) / 2)) * error
    return p - q - half, p - q + half


def disparities_of(groups: Sequence[Measured]) -> tuple[Disparity, ...]:
    """Return the named differences and ratios, without those that are undefined."""
    is_regression = any("mae" in it.shown.metrics for it in groups)
    found: list[Disparity] = []
    if is_regression:
        for metric in _ERRORS:
            gap = gap_of(groups, metric)
            if gap is not None:
                found.append(_difference(f"{metric}_difference", gap))
                if gap.ratio is not None and metric not in _NO_SIZE:
                    found.append(_ratio(f"{metric}_ratio", gap))
        return tuple(found)
    for name, metrics in _PARITIES.items():
        gaps = [gap_of(groups, metric, len(metrics)) for metric in metrics]
        known = [gap for gap in gaps if gap is not None]
        if len(known) < len(metrics):
            continue
        found.append(_difference(f"{name}_difference", max(known, key=lambda it: it.difference)))
        worst = min(known, key=lambda it: 1.0 if it.ratio is None else it.ratio)
        found.append(_ratio(f"{name}_ratio", worst))
    return tuple(found)


def _difference(name: str, gap: Gap) -> Disparity:
    between = (gap.low, gap.high, gap.is_significant)
    return Disparity(name, gap.difference, gap.metric, gap.lowest, gap.highest, *between)


def _ratio(name: str, gap: Gap) -> Disparity:
    assert gap.ratio is not None
    return Disparity(name, gap.ratio, gap.metric, gap.lowest, gap.highest)


def four_fifths(groups: Sequence[Measured]) -> FourFifths | None:
    """Return the verdict of the four-fifths rule; None where fewer than two groups have a rate."""
    gap = gap_of(groups, "selection_rate")
    if gap is None or gap.ratio is None:
        return None
    most = gap.highest_value
    rates = {
        it.shown.group: it.shown.metrics["selection_rate"]
        for it in groups
        if "selection_rate" in it.shown.metrics
    }
    return FourFifths(
        passed=gap.ratio >= LEAST_RATIO - 1e-12,
        ratio=gap.ratio,
        lowest=gap.lowest,
        highest=gap.highest,
        ratios={name: rate / most if most else 1.0 for name, rate in rates.items()},
        is_significant=gap.is_significant,
    )


def measured_of(
    disparities: Sequence[Disparity], rule: FourFifths | None
) -> dict[str, float | bool | None]:
    """Return what limits are about, by name."""
    found: dict[str, float | bool | None] = {it.name: it.value for it in disparities}
    return found | ({} if rule is None else {FOUR_FIFTHS: rule.passed})
