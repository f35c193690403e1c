"""The numbers of fairness: equal to Fairlearn, scikit-learn, statsmodels, or to all cases tried."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from fairness_kit import EXACT, rows

from local_stack.errors import InputError
from local_stack.explain.attributing.attributions import Attributions
from local_stack.explain.groups import disparities, metrics
from local_stack.explain.groups.gaps import shap_gaps
from local_stack.explain.groups.grouping import Grouping, bins_of, group
from local_stack.explain.groups.metrics import Decisions
from local_stack.explain.groups.thresholds import Costs, costs_of
from local_stack.runs.fairness import limit_of, verdicts
from local_stack.runs.recipe import parse_recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fairlearn.metrics as fm
    import sklearn.metrics as sm


def of_fairlearn(function: Any, found: Decisions, named: Grouping, kept: np.ndarray) -> float:
    weights = {} if found.weights is None else {"sample_weight": found.weights[kept]}
    return function(
        found.truth[kept],
        found.predicted[kept],
        sensitive_features=named.codes[kept],
        **weights,
    )


@pytest.mark.parametrize("is_weighted", [False, True])
def test_disparities_equal_fairlearn(is_weighted: bool) -> None:
    found, named = rows(is_weighted=is_weighted)
    _, measured = metrics.measure_groups(found, named, 30)
    large = [it for it in measured if it.shown.is_enough]
    assert [it.shown.group for it in large] == ["a", "b", "c"]
    kept = named.codes < 3
    told = {it.name: it.value for it in disparities.disparities_of(large)}
    for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
        for kind in ("difference", "ratio"):
            expected = of_fairlearn(getattr(fm, f"{name}_{kind}"), found, named, kept)
            assert told[f"{name}_{kind}"] == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_group_metrics_equal_fairlearns_metric_frame(is_weighted: bool) -> None:
    found, named = rows(is_weighted=is_weighted)
    functions = {
        "selection_rate": fm.selection_rate,
        "true_positive_rate": fm.true_positive_rate,
        "false_positive_rate": fm.false_positive_rate,
        "true_negative_rate": fm.true_negative_rate,
        "false_negative_rate": fm.false_negative_rate,
        "precision": sm.precision_score,
        "accuracy": sm.accuracy_score,
        "balanced_accuracy": sm.balanced_accuracy_score,
    }
    weighing = {} if found.weights is None else {"sample_weight": found.weights}
    frame = fm.MetricFrame(
        metrics=functions,
        y_true=found.truth,
        y_pred=found.predicted,
        sensitive_features=named.codes,
        sample_params=dict.fromkeys(functions, weighing),
    )
    scored = fm.MetricFrame(
        metrics={"roc_auc": sm.roc_auc_score, "brier": sm.brier_score_loss},
        y_true=found.truth,
        y_pred=found.score,
        sensitive_features=named.codes,
        sample_params=dict.fromkeys(("roc_auc", "brier"), weighing),
    )
    overall, measured = metrics.measure_groups(found, named, 1)
    for name in functions:
        assert overall.shown.metrics[name] == pytest.approx(frame.overall[name], **EXACT)
        for place, it in enumerate(measured):
            assert it.shown.metrics[name] == pytest.approx(frame.by_group[name][place], **EXACT)
    for name in ("roc_auc", "brier"):
        for place, it in enumerate(measured[:3]):
            assert it.shown.metrics[name] == pytest.approx(scored.by_group[name][place], **EXACT)
    spread = {it.metric: it for it in disparities.gaps_of(measured[:3])}
    large = fm.MetricFrame(
        metrics={"accuracy": sm.accuracy_score},
        y_true=found.truth[named.codes < 3],
        y_pred=found.predicted[named.codes < 3],
        sensitive_features=named.codes[named.codes < 3],
        sample_params={"accuracy": {k: v[named.codes < 3] for k, v in weighing.items()}},
    )
    assert spread["accuracy"].difference == pytest.approx(large.difference()["accuracy"], **EXACT)
    assert spread["accuracy"].ratio == pytest.approx(large.ratio()["accuracy"], **EXACT)


def test_regression_by_group_equals_metric_frame() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(6, 1, 300)
    predicted = truth + generator.normal(0.1, 0.5, 300)
    codes = generator.integers(0, 3, 300)
    weights = generator.uniform(0.1, 2, 300)
    found = Decisions(truth, predicted, None, weights, is_regression=True)
    functions = {
        "mae": sm.mean_absolute_error,
        "rmse": sm.root_mean_squared_error,
        "r2": sm.r2_score,
    }
    frame = fm.MetricFrame(
        metrics=functions,
        y_true=truth,
        y_pred=predicted,
        sensitive_features=codes,
        sample_params={name: {"sample_weight": weights} for name in functions},
    )
    _, measured = metrics.measure_groups(found, Grouping(("g",), ("a", "b", "c"), codes), 30)
    for name in functions:
        for place, it in enumerate(measured):
            assert it.shown.metrics[name] == pytest.approx(frame.by_group[name][place], **EXACT)
    told = {it.name: it for it in disparities.disparities_of(measured)}
    assert told["mae_difference"].value == pytest.approx(frame.difference()["mae"], **EXACT)
    assert told["rmse_ratio"].value == pytest.approx(frame.ratio()["rmse"], **EXACT)
    errors = [
        np.average((predicted - truth)[codes == k], weights=weights[codes == k]) for k in range(3)
    ]
    assert told["mean_error_difference"].value == pytest.approx(np.ptp(errors), **EXACT)
    low, high = measured[0].shown.intervals["mae"]
    assert low < measured[0].shown.metrics["mae"] < high


def test_intervals_are_wilsons_newcombes_and_scipys_bootstrap() -> None:
    from scipy import stats
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    found, named = rows()
    pair = Grouping(("g",), ("a", "b"), (named.codes > 0).astype(np.int64))
    _, measured = metrics.measure_groups(found, pair, 30)
    counts = [int(found.predicted[pair.codes == k].sum()) for k in (0, 1)]
    sizes = [int((pair.codes == k).sum()) for k in (0, 1)]
    for k in (0, 1):
        expected = proportion_confint(counts[k], sizes[k], method="wilson")
        assert measured[k].shown.intervals["selection_rate"] == pytest.approx(expected, rel=1e-9)
    gap = disparities.gap_of(measured, "selection_rate")
    assert gap is not None
    top, low = (0, 1) if gap.highest == "a" else (1, 0)
    expected = confint_proportions_2indep(
        counts[top], sizes[top], counts[low], sizes[low], method="newcomb", compare="diff"
    )
    assert (gap.low, gap.high) == pytest.approx(expected, rel=1e-9)
    assert gap.is_significant == (expected[0] > 0)
    of_a = pair.codes == 0
    again = stats.bootstrap(
        (((found.score - found.truth) ** 2)[of_a],),
        np.mean,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert measured[0].shown.intervals["brier"] == pytest.approx(tuple(again), rel=1e-9)


def test_intervals_of_equalised_odds_allow_for_both_rates_and_every_pair() -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    found, named = rows()
    _, measured = metrics.measure_groups(found, named, 30)
    told = {it.name: it for it in disparities.disparities_of(measured[:3])}
    odds = told["equalized_odds_difference"]
    part = found.truth if odds.metric == "true_positive_rate" else ~found.truth
    counts = []
    for name in (odds.highest, odds.lowest):
        inside = part & (named.codes == named.names.index(name))
        counts += [int(found.predicted[inside].sum()), int(inside.sum())]
    expected = confint_proportions_2indep(
        *counts, method="newcomb", compare="diff", alpha=0.05 / (3 * 2)
    )
    assert (odds.low, odds.high) == pytest.approx(expected, rel=1e-9)


def test_intervals_of_weighted_rows_take_their_effective_number() -> None:
    from scipy import stats
    from statsmodels.stats.proportion import proportion_confint

    found, _ = rows(200, is_weighted=True)
    whole = Grouping(("g",), ("a",), np.zeros(200, dtype=np.int64))
    told = metrics.measure_groups(found, whole, 1)[0].shown
    inside = found.truth
    n = found.weights[inside].sum() ** 2 / (found.weights[inside] ** 2).sum()
    rate = np.average(found.predicted[inside], weights=found.weights[inside])
    expected = proportion_confint(rate * n, n, method="wilson")
    assert told.intervals["true_positive_rate"] == pytest.approx(expected, rel=1e-9)

    def area(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> float:
        true = truth.astype(bool)
        above = (score[true][:, None] > score[~true]) + 0.5 * (score[true][:, None] == score[~true])
        pairs = weights[true][:, None] * weights[~true]
        return float((above * pairs).sum() / pairs.sum())

    again = stats.bootstrap(
        (found.truth, found.score, found.weights),
        area,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert told.intervals["roc_auc"] == pytest.approx(tuple(again), rel=1e-9)


@pytest.mark.parametrize(("n_selected", "is_kept"), [(80, True), (79, False)])
def test_four_fifths_is_four_fifths(n_selected: int, is_kept: bool) -> None:
    said = np.concatenate([np.ones(100), np.arange(100) < n_selected]).astype(bool)
    codes = np.repeat([0, 1], 100)
    _, measured = metrics.measure_groups(Decisions(said, said), Grouping((), ("a", "b"), codes), 1)
    rule = disparities.four_fifths(measured)
    assert rule is not None
    assert rule.passed is is_kept
    assert rule.ratios == {"a": 1.0, "b": n_selected / 100}


def test_intervals_of_more_pairs_are_wider_and_chance_is_not_called_a_difference() -> None:
    generator = np.random.default_rng(0)
    n_significant = 0
    for _ in range(20):
        truth = generator.uniform(size=400) < 0.5
        found = Decisions(truth, generator.uniform(size=400) < 0.4)
        codes = generator.integers(0, 4, 400)
        _, measured = metrics.measure_groups(found, Grouping(("g",), tuple("abcd"), codes), 30)
        gap = disparities.gap_of(measured, "selection_rate")
        assert gap is not None
        n_significant += bool(gap.is_significant)
    assert n_significant <= 4  # 5 % of 20, and some more


@pytest.mark.parametrize("is_weighted", [False, True])
def test_calibration_equals_statsmodels_and_a_count_by_hand(is_weighted: bool) -> None:
    import statsmodels.api as sm_api

    found, _ = rows(is_weighted=is_weighted)
    weights = np.ones(len(found.truth)) if found.weights is None else found.weights
    told = metrics.calibration(found)
    x = np.log(found.score / (1 - found.score))
    fitted = sm_api.GLM(
        found.truth.astype(float),
        sm_api.add_constant(x),
        family=sm_api.families.Binomial(),
        freq_weights=weights,
    ).fit(tol=1e-12)
    assert (told.intercept, told.slope) == pytest.approx(tuple(fitted.params), rel=1e-7)
    error = 0.0
    for low in np.arange(10) / 10:
        inside = (found.score >= low) & (found.score < low + 0.1)
        if weights[inside].sum():
            seen = np.average(found.truth[inside], weights=weights[inside])
            said = np.average(found.score[inside], weights=weights[inside])
            error += weights[inside].sum() / weights.sum() * abs(seen - said)
    assert told.expected_error == pytest.approx(error, rel=1e-9)
    perfect = Decisions(
        np.array([True, False] * 20), np.array([True, False] * 20), np.full(40, 0.5)
    )
    assert metrics.calibration(perfect).slope is None


def test_what_is_undefined_is_absent_and_never_zero() -> None:
    found = Decisions(
        np.array([True, False, True, False, False, False]),
        np.array([True, False, False, False, False, False]),
    )
    named = Grouping(("g",), ("both", "none true"), np.array([0, 0, 0, 1, 1, 1]))
    _, measured = metrics.measure_groups(found, named, 1)
    assert "true_positive_rate" not in measured[1].shown.metrics
    assert "precision" not in measured[1].shown.metrics
    told = {it.name: it for it in disparities.disparities_of(measured)}
    assert "equal_opportunity_difference" not in told
    assert told["demographic_parity_ratio"].value == 0.0
    rule = disparities.four_fifths(measured)
    assert rule is not None
    assert (rule.passed, rule.lowest, rule.highest) == (False, "none true", "both")
    nobody = Decisions(found.truth, np.zeros(6, bool))
    rule = disparities.four_fifths(metrics.measure_groups(nobody, named, 1)[1])
    assert rule is not None
    assert rule.passed
    assert disparities.four_fifths(metrics.measure_groups(found, named, 4)[1]) is None


def test_small_groups_are_counted_and_left_out() -> None:
    found, named = rows()
    _, measured = metrics.measure_groups(found, named, 30)
    few = measured[3].shown
    assert (few.is_enough, few.metrics, few.intervals) == (False, {}, {})
    assert few.n_rows == int((named.codes == 3).sum())
    large = [it for it in measured if it.shown.is_enough]
    assert "few" not in {
        name for it in disparities.gaps_of(large) for name in (it.lowest, it.highest)
    }


# ------------------------------------------------------------------ SHAP gaps


def test_intervals_of_shap_gaps_are_welchs() -> None:
    from scipy import stats

    generator = np.random.default_rng(6)
    values = generator.normal(size=(90, 2, 1)) * [[[1.0], [3.0]]]
    raw = 0.3 + values.sum(axis=1)
    shap = Attributions(("x", "z"), ("y",), values, np.array([0.3]), raw, "log-odds", "exact")
    named = Grouping(("g",), ("a", "b", "few"), np.repeat([0, 1, 2], [30, 50, 10]))
    told = shap_gaps(shap, named, None, min_rows=20, n_total=90)
    assert [it.group for it in told.groups] == ["a", "b"]
    for place, group_gap in enumerate(told.groups):
        inside = named.codes == place
        for it in group_gap.columns:
            column = values[:, ("x", "z").index(it.feature), 0]
            welch = stats.ttest_ind(column[inside], column[~inside], equal_var=False)
            assert (it.low, it.high) == pytest.approx(tuple(welch.confidence_interval()), rel=1e-9)
            assert it.is_significant == (welch.pvalue < 0.05)
        assert group_gap.difference == pytest.approx(raw[inside].mean() - raw[~inside].mean())
        assert group_gap.additivity_error < 1e-12
    twice = shap_gaps(shap, named, np.full(90, 2.0), min_rows=20, n_total=90)
    assert twice.groups[0].columns[0].low == pytest.approx(told.groups[0].columns[0].low)


@pytest.mark.parametrize("weight", [0.0, 1e9])
def test_weights_that_leave_no_two_rows_leave_no_interval(weight: float) -> None:
    """Of one row a quantile of Student's t says nothing: it is beyond 1e150."""
    generator = np.random.default_rng(5)
    values = generator.normal(size=(60, 2, 1))
    raw = values.sum(axis=1)
    shap = Attributions(("x", "z"), ("y",), values, np.zeros(1), raw, "log-odds", "exact")
    named = Grouping(("g",), ("a", "b"), np.repeat([0, 1], 30))
    weights = np.r_[weight, np.full(29, 1e-3 if weight else 0.0), np.ones(30)]
    told = shap_gaps(shap, named, weights, min_rows=20, n_total=60)
    for found in told.groups:
        parts = found, *found.columns
        assert [(it.low, it.high) for it in parts] == [(None, None)] * 3
        assert not any(it.is_significant for it in found.columns)
        assert found.difference == pytest.approx(sum(it.gap for it in found.columns))


# ------------------------------------------------------------------ groups


def test_groups_of_times_and_large_numbers_stand_in_order_and_are_told_apart() -> None:
    start = datetime(2025, 1, 1)
    frame = pl.DataFrame(
        {
            "day": [start + timedelta(days=it) for it in (2, 2, 2, 1, 1, 0, 3, 3)],
            "hour": [start + timedelta(hours=it) for it in (2, 2, 2, 1, 1, 0, 3, 3)],
            "zip": [1234567 + it for it in (2, 2, 2, 1, 1, 0, 3, 3)],
        }
    )
    days = ("2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04")
    assert group(frame, ["day"], {}).names == days
    assert group(frame, ["day"], {}).codes.tolist() == [2, 2, 2, 1, 1, 0, 3, 3]
    later = tuple(f"2025-01-01 0{it}:00:00" for it in (1, 2, 3))
    assert group(frame, ["hour"], {}).names == ("2025-01-01", *later)
    assert group(frame, ["zip"], {}).names == ("1234567", "1234568", "1234569", "1234570")
    many = pl.DataFrame({"at": [start + timedelta(minutes=it) for it in range(12)]})
    named = group(many, ["at"], {}).names
    assert named[:2] == (
        "up to 2025-01-01 00:02:00",
        "over 2025-01-01 00:02:00 to 2025-01-01 00:05:00",
    )


def test_groups_of_texts_numbers_bins_missing_and_combinations() -> None:
    frame = pl.DataFrame(
        {
            "sex": ["f", "m", None, "f", "m", "f"] * 4,
            "age": [19.0, 25.0, 26.0, 40.0, 41.0, None] * 4,
            "n": [1, 2, 1, 2, 1, 2] * 4,
            "size": list(range(24)),
        }
    )
    sex = group(frame, ["sex"], {})
    assert sex.names == ("f", "m", "(missing)")
    assert sex.codes[:4].tolist() == [0, 1, 2, 0]
    age = group(frame, ["age"], {"age": (25, 40)})
    assert age.names == ("up to 25", "over 25 to 40", "over 40", "(missing)")
    assert age.codes[:6].tolist() == [0, 0, 1, 1, 2, 3]
    assert group(frame, ["n"], {}).names == ("1", "2")
    quarters = group(frame, ["size"], {})
    assert quarters.names == ("up to 5", "over 5 to 11", "over 11 to 17", "over 17")
    assert np.bincount(quarters.codes).tolist() == [6, 6, 6, 6]
    both = group(frame, ["sex", "n"], {})
    assert both.title == "sex & n"
    assert both.names == ("f & 1", "f & 2", "m & 1", "m & 2", "(missing) & 1")[: len(both.names)]
    for place, name in enumerate(both.names):
        inside = both.codes == place
        shown = frame["sex"].fill_null("(missing)") + " & " + frame["n"].cast(pl.String)
        assert set(shown.filter(pl.Series(inside))) == {name}


def test_hostile_and_odd_columns_have_groups_whose_names_differ() -> None:
    texts = ["(missing)", None, "(others)", "[/nope]\x1b[2J", ""] * 3
    found = group(pl.DataFrame({"t": texts}), ["t"], {})
    assert len(set(found.names)) == len(found.names) == 5
    assert len(set(found.codes.tolist())) == 5
    nothing = pl.DataFrame({"t": pl.Series([None, None], dtype=pl.Float64)})
    assert group(nothing, ["t"], {}).names == ("(missing)",)
    days = pl.DataFrame({"d": pl.date_range(pl.date(2000, 1, 1), pl.date(2000, 2, 10), eager=True)})
    assert group(days, ["d"], {}).names[0] == "up to 2000-01-11"
    many = pl.DataFrame({"t": [str(k) for k in range(100)], "u": [str(k) for k in range(100)]})
    assert group(many, ["t"], {}).names[-1] == "(others)"
    with pytest.raises(InputError, match="holds no numbers"):
        group(many, ["t"], {"t": (1.0,)})
    with pytest.raises(InputError, match="There is no column 'v'"):
        group(many, ["v"], {})


def test_options_are_read_or_refused_with_the_nearest() -> None:
    assert bins_of(["age:40,25", "a:b:1.5"]) == {"age": (25.0, 40.0), "a:b": (1.5,)}
    assert costs_of("fp=1, fn=5,tp=-2") == Costs(1, 5, -2, 0)
    assert limit_of("four_fifths=true") == ("four_fifths", True)
    for text in ("age", "age:", "age:1,1", ":1", "age:x", "age:nan"):
        with pytest.raises(InputError, match="--bins needs"):
            bins_of([text])
    for text in ("fp", "fx=1", "fp=many", "fp=nan", ""):
        with pytest.raises(InputError, match="cost"):
            costs_of(text)
    with pytest.raises(InputError, match="Did you mean 'demographic_parity_difference'"):
        limit_of("demographic_parity_diference=0.1")
    for text in ("mae_ratio=2", "mae_ratio=x", "four_fifths=0.8", "mae_ratio"):
        with pytest.raises(InputError):
            limit_of(text)
    kept = verdicts(
        {"demographic_parity_difference": 0.1, "equalized_odds_ratio": 0.8, "four_fifths": True},
        {"demographic_parity_difference": 0.1, "equalized_odds_ratio": 0.7},
    )
    assert [it.passed for it in kept] == [True, False, False]


FAIRNESS = {
    "by": ["sex", "age"],
    "positive": 0,
    "bins": {"age": [40, 25]},
    "limits": {"demographic_parity_difference": 0.1, "four_fifths": True, "min_rows": 20},
}


def test_the_recipe_knows_fairness() -> None:
    found = parse_recipe({"dataset": "t", "fairness": FAIRNESS})
    assert found.fairness is not None
    assert found.fairness.positive == "0"
    assert found.fairness.bins == {"age": (25.0, 40.0)}
    assert found.fairness.groupings == (("sex",), ("age",))
    assert found.fairness.min_rows == 20
    assert parse_recipe(found.to_dict()) == found
    for change, words in [
        ({"limits": {"four_fifth": True}}, "Did you mean 'four_fifths'"),
        ({"limits": {"equalized_odds_difference": 2}}, "needs a number from 0 to 1"),
        ({"by": []}, "needs 1 to 20 different columns"),
        ({"bys": ["sex"]}, "Did you mean 'by'"),
        ({"bins": {"age": [1, 1]}}, "different edges"),
        ({"positive": [1]}, "needs a text"),
    ]:
        with pytest.raises(InputError, match=words):
            parse_recipe({"dataset": "t", "fairness": FAIRNESS | change})
