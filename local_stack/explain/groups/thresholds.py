"""What other thresholds would do: common ones and ones by group, their costs and disparities.

Deciding members of groups by different thresholds is unlawful in many places where it is about
people; the simulation shows what a common threshold costs and what equal treatment would. The
thresholds are chosen on the rows that they are told of, so on others they do a little less well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError, nearest
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np

    from local_stack.explain.groups.grouping import Grouping
    from local_stack.explain.groups.metrics import Decisions

TOLERANCE: Final = 0.05
"""Disparity up to which thresholds by group count as equal."""
GOALS: Final = ("demographic_parity", "equal_opportunity", "equalized_odds")
CELLS: Final = ("fp", "fn", "tp", "tn")
_MOST_CUTS = 100
_MOST_LOWS = 60
_MOST_COST = 1e9
_TOLERANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Costs(Result):
    """What a row of each kind costs: false and true positives and negatives; gains are below 0."""

    fp: float = 1.0
    fn: float = 1.0
    tp: float = 0.0
    tn: float = 0.0


@dataclass(frozen=True, slots=True)
class Curve(Result):
    """Rates and cost a row at each of the thresholds, common to all groups or of one group.

    A rate is None where there are no rows that it could be of.
    """

    selection_rate: tuple[float | None, ...]
    true_positive_rate: tuple[float | None, ...]
    false_positive_rate: tuple[float | None, ...]
    cost: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Policy(Result):
    """Thresholds, and what deciding by them gives over all groups.

    ``thresholds`` has one for each group (None: the model's own decisions); ``cost`` is a mean a
    row, ``extra_cost`` that minus the cost of the model's own decisions. Disparities are
    differences between groups.
    """

    name: str
    thresholds: dict[str, float] | None
    cost: float
    extra_cost: float
    disparities: dict[str, float | None]
    selection_rate: dict[str, float | None]
    true_positive_rate: dict[str, float | None]
    false_positive_rate: dict[str, float | None]

    @property
    def is_common(self) -> bool:
        """Return whether all groups have one threshold."""
        return self.thresholds is not None and len(set(self.thresholds.values())) == 1


@dataclass(frozen=True, slots=True)
class Tradeoff(Result):
    """A point that no other beats in both cost and disparity."""

    disparity: float
    cost: float
    thresholds: dict[str, float]
    is_common: bool


@dataclass(frozen=True, slots=True)
class Simulation(Result):
    """What thresholds do, on the rows of groups that are large enough (others: ``left_out``).

    ``policies`` are the model's own decisions, the cheapest common threshold and the cheapest ones
    by group (of all there are), and for each goal the cheapest ones among ``thresholds`` whose
    disparity is at most ``tolerance``. ``tradeoffs`` are by goal.
    """

    costs: Costs
    tolerance: float
    n_rows: int
    left_out: tuple[str, ...]
    thresholds: tuple[float, ...]
    overall: Curve
    groups: dict[str, Curve]
    policies: tuple[Policy, ...]
    tradeoffs: dict[str, tuple[Tradeoff, ...]]


def costs_of(text: str) -> Costs:
    """Return the costs that are written as ``fp=1,fn=5``.

    Raises
    ------
    InputError
        A cell is unknown (with the nearest one) or stands twice, or a cost is no number.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, mark, value = (it.strip() for it in part.partition("="))
        if not mark or name not in CELLS:
            hint = nearest(name, CELLS) or "Example: --costs fp=1,fn=5 (tp and tn may be given too)"
            raise InputError(f"--costs needs fp=NUMBER,fn=NUMBER, not '{part[:60]}'.", hint)
        if name in found:
            raise InputError(f"--costs gives {name} twice.", "Give each cost once.")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = _MOST_COST * 10
        if not abs(found[name]) <= _MOST_COST:
            raise InputError(f"The cost {name} needs a number, not '{value[:60]}'.")
    return Costs(**found)


@dataclass(frozen=True, slots=True)
class _Table:
    """Weights of rows by group and threshold: arrays (n_groups, n_cuts); totals (n_groups, 1)."""

    names: tuple[str, ...]
    cuts: np.ndarray
    selected: np.ndarray
    hits: np.ndarray
    total: np.ndarray
    true: np.ndarray

    def rates(self) -> dict[str, np.ndarray]:
        """Return the rates, NaN where there are no rows to be a share of."""
        false = self.total - self.true
        return {
            "selection_rate": _shares(self.selected, self.total),
            "true_positive_rate": _shares(self.hits, self.true),
            "false_positive_rate": _shares(self.selected - self.hits, false),
        }

    def costs(self, costs: Costs) -> np.ndarray:
        """Return the total cost in each cell."""
        alarms, missed = self.selected - self.hits, self.true - self.hits
        rest = self.total - self.true - alarms
        found: np.ndarray = (
            costs.fp * alarms + costs.fn * missed + costs.tp * self.hits + costs.tn * rest
        )
        return found


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    import numpy as np

    whole = np.broadcast_to(whole, part.shape)
    found: np.ndarray = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def simulate(
    decisions: Decisions,
    grouping: Grouping,
    groups: Sequence[str],
    costs: Costs,
    threshold: float | None = None,
) -> Simulation | None:
    """Return what thresholds would do; None without probabilities or with fewer than two groups.

    Parameters
    ----------
    groups
        Names of those that are large enough.
    threshold
        The present one, to be among those looked at.
    """
    import numpy as np

    if decisions.score is None or len(groups) < 2:
        return None
    kept = [place for place, name in enumerate(grouping.names) if name in groups]
    rows = np.flatnonzero(np.isin(grouping.codes, kept))
    chosen = decisions.take(rows)
    if chosen.weights is not None and not chosen.weights.any():
        chosen = replace(chosen, weights=None)
    codes = np.searchsorted(kept, grouping.codes[rows])
    names = tuple(grouping.names[place] for place in kept)
    assert chosen.score is not None
    gain = _gains(chosen, costs)
    best = [_cheapest_cut(chosen.score, gain)]
    for place in range(len(kept)):
        inside = codes == place
        best.append(_cheapest_cut(chosen.score[inside], gain[inside]))
    cuts = _cuts(chosen.score, [*best, *([] if threshold is None else [threshold])])
    table = _table(chosen, codes, names, cuts, chosen.score[:, None] >= cuts)
    cost = table.costs(costs)
    own_flags = chosen.predicted.astype(bool)[:, None]
    own = _table(chosen, codes, names, np.zeros(1), own_flags)
    now = float(own.costs(costs).sum())
    at_now = np.zeros(len(names), dtype=np.int64)
    policies = [_policy("as decided now", own, own.costs(costs), at_now, now, has_cuts=False)]
    common = int(np.argmin(cost.sum(axis=0)))
    everywhere = np.full(len(names), common)
    policies.append(_policy("cheapest common threshold", table, cost, everywhere, now))
    policies.append(_policy("cheapest by group", table, cost, cost.argmin(axis=1), now))
    tradeoffs = {}
    for goal in GOALS:
        found = _candidates(table, cost, goal)
        if found:
            policies.append(_cheapest_equal(goal, table, cost, found, now))
            tradeoffs[goal] = _front(goal, table, cost, found)
    overall = replace(
        table,
        names=("all",),
        **{
            key: getattr(table, key).sum(axis=0, keepdims=True)
            for key in ("selected", "hits", "total", "true")
        },
    )
    return Simulation(
        costs=costs,
        tolerance=TOLERANCE,
        n_rows=len(rows),
        left_out=tuple(name for name in grouping.names if name not in names),
        thresholds=tuple(cuts.tolist()),
        overall=_curve(overall, overall.costs(costs), 0),
        groups={name: _curve(table, cost, place) for place, name in enumerate(names)},
        policies=tuple(policies),
        tradeoffs=tradeoffs,
    )


def _gains(rows: Decisions, costs: Costs) -> np.ndarray:
    """Return what selecting each row costs more than not selecting it, (n_rows,)."""
    import numpy as np

    gain = np.where(rows.truth.astype(bool), costs.tp - costs.fn, costs.fp - costs.tn)
    return gain if rows.weights is None else gain * rows.weights


def _cheapest_cut(score: np.ndarray, gain: np.ndarray) -> float:
    """Return the lowest of the thresholds that cost least, of all that part the rows otherwise."""
    import numpy as np

    known, places = np.unique(score, return_inverse=True)
    spared = np.concatenate([[0.0], np.cumsum(np.bincount(places, gain))])  # those below a cut
    return float(_ways(known)[int(spared.argmax())])


def _ways(known: np.ndarray) -> np.ndarray:
    """Return a threshold for every way to part rows of rising scores: from all to nobody."""
    import numpy as np

    between = (known[1:] + known[:-1]) / 2
    between = np.where(between <= known[:-1], known[1:], between)
    top = (1 + known[-1]) / 2 if known[-1] < 1 else np.nextafter(known[-1], np.inf)
    found: np.ndarray = np.concatenate([[min(0.0, known[0])], between, [top]])
    return found


def _cuts(score: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """Return thresholds half-way between scores, thinned evenly by rows, and those ``wanted``."""
    import numpy as np

    lowest, *between, top = _ways(np.unique(score)).tolist()
    if len(between) > _MOST_CUTS:
        ranks = np.searchsorted(np.sort(score), between)
        even = np.linspace(0, len(score), _MOST_CUTS + 2)[1:-1]
        places = np.clip(np.searchsorted(ranks, even), 0, len(between) - 1)
        between = [between[place] for place in np.unique(places).tolist()]
    found: np.ndarray = np.unique(np.array([lowest, *between, *wanted, top]))
    return found


def _table(
    rows: Decisions,
    codes: np.ndarray,
    names: tuple[str, ...],
    cuts: np.ndarray,
    flags: np.ndarray,
) -> _Table:
    import numpy as np

    weights = np.ones(len(codes)) if rows.weights is None else rows.weights
    true = rows.truth.astype(np.float64)
    member = (codes[:, None] == np.arange(len(names))).astype(np.float64) * weights[:, None]
    said = flags.astype(np.float64)
    return _Table(
        names=names,
        cuts=cuts,
        selected=member.T @ said,
        hits=(member * true[:, None]).T @ said,
        total=member.sum(axis=0)[:, None],
        true=(member.T @ true)[:, None],
    )


def _curve(table: _Table, cost: np.ndarray, place: int) -> Curve:
    rates = {name: _plain(it[place]) for name, it in table.rates().items()}
    mean = _shares(cost, table.total)[place]
    return Curve(**rates, cost=_plain(mean))


def _plain(values: Any) -> tuple[float | None, ...]:
    return tuple(None if value != value else float(value) for value in values.tolist())


def _policy(
    name: str, table: _Table, cost: np.ndarray, at: np.ndarray, now: float, *, has_cuts: bool = True
) -> Policy:
    """Return what the threshold number ``at`` (n_groups,) of each group gives."""
    import numpy as np

    groups = np.arange(len(table.names))
    chosen = {key: it[groups, at] for key, it in table.rates().items()}
    total = float(table.total.sum())
    spent = float(cost[groups, at].sum())
    rates = {key: dict(zip(table.names, _plain(it), strict=True)) for key, it in chosen.items()}
    return Policy(
        name=name,
        thresholds=dict(zip(table.names, table.cuts[at].tolist(), strict=True))
        if has_cuts
        else None,
        cost=spent / total,
        extra_cost=(spent - now) / total,
        disparities={goal: _disparity(goal, chosen) for goal in GOALS},
        **rates,
    )


_RATES_OF: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
}


def _disparity(goal: str, rates: Mapping[str, np.ndarray]) -> float | None:
    """Return the largest difference of the goal's rates between groups that have them."""
    import numpy as np

    found = []
    for name in _RATES_OF[goal]:
        known = rates[name][~np.isnan(rates[name])]
        if len(known) < 2:
            return None
        found.append(float(np.ptp(known)))
    return max(found)


def _candidates(table: _Table, cost: np.ndarray, goal: str) -> list[tuple[float, float, Any]]:
    """Return disparity, total cost and thresholds of the cheapest policies of each tolerance.

    For every window of rates as wide as the tolerance each group takes its cheapest threshold
    within the window: of one rate that is the exact optimum over all thresholds looked at, of two
    rates over 60 lower ends of each.
    """
    import numpy as np

    rates = [table.rates()[name] for name in _RATES_OF[goal]]
    if any((~np.isnan(rate).any(axis=1)).sum() < 2 for rate in rates):
        return []
    most = None if len(rates) == 1 else _MOST_LOWS
    ends = np.meshgrid(*(_lows(rate, most) for rate in rates), indexing="ij")
    lows = [end.reshape(-1, 1) for end in ends]
    found = [
        (_disparity_at(goal, table, at), float(cost.sum(axis=0)[cut]), at)
        for cut in range(len(table.cuts))
        for at in (np.full(len(table.names), cut),)
    ]
    for tolerance in _TOLERANCES:
        total, at = np.zeros(len(lows[0])), []
        for group in range(len(table.names)):
            inside = np.ones((len(lows[0]), len(table.cuts)), dtype=bool)
            for rate, low in zip(rates, lows, strict=True):
                if not np.isnan(rate[group]).any():  # a group without such rows may do anything
                    inside &= (rate[group] >= low) & (rate[group] <= low + tolerance + 1e-12)
            spent = np.where(inside, cost[group], np.inf)
            at.append(spent.argmin(axis=1))
            total += spent.min(axis=1)
        best = int(total.argmin())
        if np.isfinite(total[best]):
            places = np.array([it[best] for it in at])
            found.append((_disparity_at(goal, table, places), float(total[best]), places))
    return found


def _lows(rate: np.ndarray, most: int | None) -> np.ndarray:
    import numpy as np

    known = np.unique(rate[~np.isnan(rate)])
    if most is None or len(known) <= most:
        return known
    return known[np.unique(np.linspace(0, len(known) - 1, most).astype(np.int64))]


def _disparity_at(goal: str, table: _Table, at: np.ndarray) -> float:
    import numpy as np

    groups = np.arange(len(table.names))
    found = _disparity(goal, {key: it[groups, at] for key, it in table.rates().items()})
    return 0.0 if found is None else found


def _cheapest_equal(
    goal: str,
    table: _Table,
    cost: np.ndarray,
    found: Sequence[tuple[float, float, Any]],
    now: float,
) -> Policy:
    equal = [it for it in found if it[0] <= TOLERANCE + 1e-9]
    _, _, at = min(equal or found, key=lambda it: (it[1], it[0]) if equal else (it[0], it[1]))
    return _policy(goal, table, cost, at, now)


def _front(
    goal: str, table: _Table, cost: np.ndarray, found: Sequence[tuple[float, float, Any]]
) -> tuple[Tradeoff, ...]:
    """Return the points that no other beats, the least disparity first."""
    total = float(table.total.sum())
    kept: list[Tradeoff] = []
    for disparity, spent, at in sorted(found, key=lambda it: (it[0], it[1])):
        if not kept or spent / total < kept[-1].cost - 1e-12:
            thresholds = dict(zip(table.names, table.cuts[at].tolist(), strict=True))
            is_common = len(set(at.tolist())) == 1
            kept.append(Tradeoff(disparity, spent / total, thresholds, is_common))
    return tuple(kept)
