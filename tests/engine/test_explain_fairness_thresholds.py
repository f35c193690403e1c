"""The simulation of thresholds: what deciding by them gives, and the cheapest of all tried."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from fairness_kit import EXACT, rows

from local_stack.errors import InputError
from local_stack.explain.fairness import _limits
from local_stack.explain.groups.grouping import Grouping, bins_of
from local_stack.explain.groups.metrics import Decisions
from local_stack.explain.groups.thresholds import Costs, costs_of, simulate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fairlearn.metrics as fm


def small() -> tuple[Decisions, Grouping]:
    generator = np.random.default_rng(11)
    codes = np.repeat([0, 1, 2], [9, 8, 6])
    score = np.round(generator.uniform(size=23), 2)
    truth = generator.uniform(size=23) < score
    return Decisions(truth, score >= 0.5, score), Grouping(("g",), ("a", "b", "c"), codes)


def by_hand(
    found: Decisions, named: Grouping, thresholds: dict[str, float], costs: Costs
) -> tuple[float, dict[str, float]]:
    limit = np.array([thresholds[name] for name in named.names])[named.codes]
    said, truth = found.score >= limit, found.truth
    spent = costs.fp * (said & ~truth).sum() + costs.fn * (~said & truth).sum()
    spent += costs.tp * (said & truth).sum() + costs.tn * (~said & ~truth).sum()
    apart = {
        "demographic_parity": fm.demographic_parity_difference(
            truth, said, sensitive_features=named.codes
        ),
        "equal_opportunity": fm.equal_opportunity_difference(
            truth, said, sensitive_features=named.codes
        ),
        "equalized_odds": fm.equalized_odds_difference(truth, said, sensitive_features=named.codes),
    }
    return spent / len(truth), apart


def test_policies_are_what_deciding_by_their_thresholds_gives() -> None:
    found, named = small()
    costs = Costs(fp=1, fn=4, tp=-0.5, tn=0.25)
    told = simulate(found, named, named.names, costs, 0.5)
    assert told is not None
    for policy in told.policies:
        thresholds = policy.thresholds or dict.fromkeys(named.names, 0.5)
        cost, apart = by_hand(found, named, thresholds, costs)
        assert policy.cost == pytest.approx(cost, **EXACT)
        for goal, value in apart.items():
            assert policy.disparities[goal] == pytest.approx(value, **EXACT)
    for goal, points in told.tradeoffs.items():
        for point in points:
            cost, apart = by_hand(found, named, point.thresholds, costs)
            assert (point.cost, point.disparity) == pytest.approx((cost, apart[goal]), **EXACT)
        pairs = [(it.disparity, it.cost) for it in points]
        assert pairs == sorted(pairs, key=lambda it: (it[0], -it[1]))
        assert all(a[1] > b[1] for a, b in itertools.pairwise(pairs))
    place = told.thresholds.index(0.5)
    assert told.groups["a"].selection_rate[place] == pytest.approx(
        found.predicted[named.codes == 0].mean()
    )
    assert told.overall.cost[place] == pytest.approx(told.policies[0].cost)


@pytest.mark.parametrize("goal", ["demographic_parity", "equal_opportunity", "equalized_odds"])
def test_thresholds_by_group_are_the_cheapest_of_all_there_are(goal: str) -> None:
    found, named = small()
    found, named = found.take(np.arange(17)), Grouping(("g",), ("a", "b"), named.codes[:17])
    costs = Costs(fp=1, fn=3)
    told = simulate(found, named, named.names, costs, 0.5)
    assert told is not None
    rates = {}
    for name in named.names:
        inside = named.codes == named.names.index(name)
        truth, score = found.truth[inside], found.score[inside]
        rates[name] = [
            (
                (score >= cut).mean(),
                (score[truth] >= cut).mean(),
                (score[~truth] >= cut).mean(),
                costs.fp * (score[~truth] >= cut).sum() + costs.fn * (score[truth] < cut).sum(),
            )
            for cut in told.thresholds
        ]
    used = {"demographic_parity": [0], "equal_opportunity": [1], "equalized_odds": [1, 2]}[goal]
    best = min(
        (one[3] + other[3]) / 17
        for one, other in itertools.product(rates["a"], rates["b"])
        if max(abs(one[k] - other[k]) for k in used) <= told.tolerance + 1e-12
    )
    policy = next(it for it in told.policies if it.name == goal)
    assert policy.cost == pytest.approx(best, **EXACT)
    assert policy.disparities[goal] <= told.tolerance
    cheapest = min(a[3] for a in rates["a"]) + min(b[3] for b in rates["b"])
    assert told.policies[2].cost == pytest.approx(cheapest / 17, **EXACT)


def test_weights_count_as_repeated_rows_in_the_simulation() -> None:
    found, named = small()
    weights = np.random.default_rng(2).integers(0, 4, 23)
    again = np.repeat(np.arange(23), weights)
    weighted = Decisions(found.truth, found.predicted, found.score, weights.astype(float))
    one = simulate(weighted, named, named.names, Costs(), 0.5)
    other = simulate(found.take(again), named.take(again), named.names, Costs(), 0.5)
    assert one is not None
    assert other is not None
    assert one.policies[0].cost == pytest.approx(other.policies[0].cost, **EXACT)
    assert one.policies[2].cost == pytest.approx(other.policies[2].cost, **EXACT)


def test_many_rows_are_simulated_on_few_thresholds_and_small_groups_left_out() -> None:
    found, named = rows(3000)
    told = simulate(found, named, ("a", "b", "c"), Costs(fn=5), 0.5)
    assert told is not None
    assert len(told.thresholds) <= 103 + 1 + 3  # and the cheapest of all, and of each group
    assert told.left_out == ("few",)
    assert told.n_rows == int((named.codes < 3).sum())
    for policy in told.policies[3:]:
        assert policy.disparities[policy.name] <= told.tolerance
    assert simulate(Decisions(found.truth, found.predicted), named, ("a", "b"), Costs()) is None
    assert simulate(found, named, ("a",), Costs()) is None


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_cheapest_thresholds_are_so_among_every_one_that_there_could_be(
    is_weighted: bool,
) -> None:
    """Thousands of different scores with ties, as scikit-learn decides: from the threshold on."""
    found, named = rows(1500, is_weighted=is_weighted, seed=8)
    generator = np.random.default_rng(1)
    score = np.where(generator.uniform(size=1500) < 0.7, generator.uniform(size=1500), found.score)
    found = Decisions(found.truth, score >= 0.5, score, found.weights)
    weights = np.ones(1500) if found.weights is None else found.weights
    kept = named.codes < 3
    for costs in (Costs(fp=1, fn=3), Costs(fp=2, fn=1, tp=-0.3, tn=0.1), Costs(fp=0, fn=0, tp=1)):

        def least(inside: np.ndarray, costs: Costs = costs) -> float:
            w, true, own = weights[inside], found.truth[inside], score[inside]
            return min(
                costs.fp * w[(own >= cut) & ~true].sum()
                + costs.fn * w[(own < cut) & true].sum()
                + costs.tp * w[(own >= cut) & true].sum()
                + costs.tn * w[(own < cut) & ~true].sum()
                for cut in [*np.unique(own), 2.0]
            )

        told = simulate(found, named, ("a", "b", "c"), costs, 0.5)
        assert told is not None
        total = weights[kept].sum()
        common, by_group = told.policies[1:3]
        assert common.cost == pytest.approx(least(kept) / total, **EXACT)
        parts = sum(least(named.codes == place) for place in range(3))
        assert by_group.cost == pytest.approx(parts / total, **EXACT)
        assert by_group.cost <= common.cost <= told.policies[0].cost


def test_costs_are_given_once_each() -> None:
    with pytest.raises(InputError, match="fp twice"):
        costs_of("fp=1,fn=2,fp=3")


def test_limits_and_bins_are_given_once_each() -> None:
    one = "demographic_parity_difference=0.1"
    assert _limits((one, one)) == {"demographic_parity_difference": 0.1}
    with pytest.raises(InputError, match="--limit gives demographic_parity_difference twice"):
        _limits((one, "demographic_parity_difference=0.5"))
    assert bins_of(["age:25,40", "age:40,25"]) == {"age": (25.0, 40.0)}
    with pytest.raises(InputError, match="--bins gives 'age' twice"):
        bins_of(["age:25", "age:40"])
