"""The numbers of a due diligence against independent references."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import curve_fit
from sklearn.metrics import r2_score, roc_auc_score

from local_stack.data.assessing import single
from local_stack.data.assessing.curve import fit_power_law, judged
from local_stack.data.assessing.models import Trial, corrected_interval
from local_stack.data.assessing.noise import confident_learning, robust_z
from local_stack.data.assessing.quality import row_ids
from local_stack.data.assessing.rules import REGRESSION, RULES, Docket, counted
from local_stack.data.assessing.subject import stems
from local_stack.data.assessing.timing import target_distance

# What cleanlab 2.9.0 gives for `noisy(seed, k, n)`: compute_confident_joint(calibrate=False), the
# number of rows off the diagonal of the calibrated joint, find_label_issues(filter_by=
# "confident_learning") as count and sum of row numbers, and the same of "prune_by_noise_rate" with
# return_indices_ranked_by="normalized_margin" and its first ten.
CLEANLAB = [
    {
        "seed": 0,
        "k": 2,
        "n": 400,
        "joint": [[125, 23], [21, 145]],
        "off": 56,
        "confident": (44, 9000),
        "first": [331, 235, 20, 226, 139, 307, 170, 74, 115, 22],
        "pruned": (56, 11151),
    },
    {
        "seed": 1,
        "k": 3,
        "n": 600,
        "joint": [[115, 16, 3], [8, 113, 18], [5, 9, 117]],
        "off": 88,
        "confident": (59, 17737),
        "first": [300, 378, 468, 271, 320, 276, 434, 159, 24, 272],
        "pruned": (84, 26379),
    },
    {
        "seed": 2,
        "k": 5,
        "n": 800,
        "joint": [
            [84, 4, 3, 10, 5],
            [3, 83, 2, 4, 6],
            [0, 2, 89, 6, 6],
            [3, 5, 2, 83, 4],
            [4, 5, 5, 8, 85],
        ],
        "off": 135,
        "confident": (87, 36856),
        "first": [104, 165, 773, 480, 347, 570, 740, 328, 341, 28],
        "pruned": (117, 47830),
    },
]


def noisy(seed: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), true] += 2.0
    probability = np.exp(logits)
    probability /= probability.sum(1, keepdims=True)
    flip = generator.random(n) < 0.1
    y = np.where(flip, (true + 1 + generator.integers(0, max(1, k - 1), n)) % k, true)
    return y, probability


@pytest.mark.parametrize("expected", CLEANLAB, ids=lambda it: f"{it['k']} classes")
def test_confident_learning_finds_what_cleanlab_finds(expected: dict) -> None:
    y, probability = noisy(expected["seed"], expected["k"], expected["n"])
    found = confident_learning(y, probability)
    assert found.counts.astype(int).tolist() == expected["joint"]
    # cleanlab rounds the calibrated joint to whole rows, ours is exact: one row a class apart.
    share = 1 - np.trace(found.joint)
    assert share == pytest.approx(
        expected["off"] / expected["n"], abs=expected["k"] / expected["n"]
    )
    confident = np.flatnonzero((found.likely >= 0) & (found.likely != y))
    assert (len(confident), confident.sum()) == expected["confident"]
    assert (len(found.suspects), found.suspects.sum()) == expected["pruned"]
    assert found.suspects[:10].tolist() == expected["first"]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(20, 120))
def test_confident_learning_follows_the_paper(seed: int, k: int, n: int) -> None:
    """A transcription, row by row, of the definitions in the paper (section 3.1)."""
    y, probability = noisy(seed, k, n)
    found = confident_learning(y, probability)
    threshold = [
        np.mean([p[j] for p, label in zip(probability, y, strict=True) if label == j] or [1.0])
        for j in range(k)
    ]
    counts = [[0] * k for _ in range(k)]
    suspects = set()
    for row, (p, label) in enumerate(zip(probability, y, strict=True)):
        reached = [j for j in range(k) if p[j] >= threshold[j] - 1e-6]
        if reached:
            likely = max(reached, key=lambda j, p=p: p[j])
            counts[label][likely] += 1
            if likely != label:
                suspects.add(row)
    for j in range(k):
        counts[j][j] = max(1, counts[j][j])
    assert found.counts.astype(int).tolist() == counts
    confident = np.flatnonzero((found.likely >= 0) & (found.likely != y))
    assert set(confident.tolist()) == suspects
    assert found.joint.sum() == pytest.approx(1)
    given_shares = np.bincount(y, minlength=k) / n
    assert found.joint.sum(axis=1) == pytest.approx(given_shares)


def test_confident_learning_ranks_injected_flips_first() -> None:
    generator = np.random.default_rng(3)
    true = generator.integers(0, 2, 2_000)
    sure = np.clip(true + generator.normal(0, 0.08, 2_000), 0.01, 0.99)
    flipped = generator.choice(2_000, 100, replace=False)
    y = true.copy()
    y[flipped] = 1 - y[flipped]
    found = confident_learning(y, np.column_stack([1 - sure, sure]))
    assert len(set(found.suspects.tolist()) & set(flipped.tolist())) >= 95
    assert len(set(found.suspects.tolist()) - set(flipped.tolist())) <= 2
    assert 1 - np.trace(found.joint) == pytest.approx(0.05, abs=0.01)


def test_robust_z_is_the_residual_in_median_deviations() -> None:
    residual = np.random.default_rng(0).standard_t(3, 500)
    expected = (residual - np.median(residual)) / stats.median_abs_deviation(
        residual, scale="normal"
    )
    assert robust_z(residual) == pytest.approx(expected, rel=1e-9)


def predicted_by_loops(
    codes: np.ndarray, y: np.ndarray, fold: np.ndarray, n_classes: int
) -> np.ndarray:
    """Out-of-fold means of each bin, written out."""
    rows = []
    for code, number in zip(codes, fold, strict=True):
        outside = y[fold != number]
        same = y[(fold != number) & (codes == code)]
        if n_classes:
            prior = np.bincount(outside, minlength=n_classes) / len(outside)
            counts = np.bincount(same, minlength=n_classes)
            rows.append((counts + 5 * prior) / (len(same) + 5))
        else:
            rows.append((same.sum() + 5 * outside.mean()) / (len(same) + 5))
    return np.array(rows)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_columns_score_is_its_out_of_fold_auc(n_classes: int) -> None:
    generator = np.random.default_rng(5)
    y = generator.integers(0, n_classes, 300)
    codes = np.where(generator.random(300) < 0.5, y, generator.integers(0, 6, 300))
    fold = single.fold_numbers(300)
    predicted = predicted_by_loops(codes, y, fold, n_classes)
    if n_classes == 2:
        expected = roc_auc_score(y, predicted[:, 1])
    else:
        expected = np.mean([roc_auc_score(y == k, predicted[:, k]) for k in range(n_classes)])
    found = single.classification_score(codes, y, n_classes, fold)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_columns_score_is_its_out_of_fold_r2() -> None:
    generator = np.random.default_rng(6)
    codes = generator.integers(0, 8, 300)
    y = codes * 2.0 + generator.normal(0, 3, 300) + 1e6
    fold = single.fold_numbers(300)
    expected = r2_score(y, predicted_by_loops(codes, y, fold, 0))
    assert single.regression_score(codes, y, fold) == pytest.approx(expected, abs=1e-8)


def test_a_column_that_only_names_the_rows_scores_like_chance() -> None:
    generator = np.random.default_rng(7)
    y = generator.integers(0, 2, 2_000)
    fold = single.fold_numbers(2_000)
    for series in (
        pl.Series("n", generator.permutation(2_000)),
        pl.Series("t", [f"row {i}" for i in range(2_000)]),
    ):
        assert single.score_column(series, y, 2, fold).score < 0.55


def test_missing_values_score_by_the_auc_of_their_absence() -> None:
    generator = np.random.default_rng(8)
    y = generator.integers(0, 2, 400)
    absent = generator.random(400) < np.where(y == 1, 0.7, 0.2)
    found = single.missing_score(absent, y, 2)
    assert found == pytest.approx(roc_auc_score(y, absent), abs=1e-12)
    number = y + generator.normal(size=400)
    expected = np.corrcoef(absent, number)[0, 1] ** 2
    assert single.missing_score(absent, number, 0) == pytest.approx(expected, abs=1e-12)


def test_bins_keep_order_missing_values_and_rare_texts() -> None:
    values = [None, 3.0, 1.0, float("inf"), 2.0, 1.0]
    assert single.bins(pl.Series("x", values)).tolist() == [0, 3, 1, 0, 2, 1]
    texts = single.bins(pl.Series("t", ["a", "b", "a", None]))
    assert texts[0] == texts[2] != texts[1]
    assert texts[3] == 0
    many = single.bins(pl.Series("t", [f"w{i}" for i in range(400)] + ["often"] * 3))
    assert many[-1] == 1
    assert many.max() == single.MOST_BINS
    assert single.bins(pl.Series("b", [True, None, False])).tolist() == [2, 0, 1]
    assert single.bins(pl.Series("n", [None, None], dtype=pl.Float64)).tolist() == [0, 0]


def test_outcomes_left_by_a_value_are_found_and_chance_is_not() -> None:
    generator = np.random.default_rng(9)
    y = (generator.random(2_000) < 0.4).astype(np.int64)
    codes = generator.integers(1, 11, 2_000)
    assert single.determined_share(codes, y, 2)[0] == 0.0
    codes[(y == 1) & (generator.random(2_000) < 0.3)] = 12
    share, chosen = single.determined_share(codes, y, 2)
    assert chosen.tolist() == [12]
    assert share == pytest.approx((codes == 12).mean())


def test_intervals_are_the_corrected_resampled_t() -> None:
    values = [0.71, 0.74, 0.69, 0.75, 0.72, 0.70, 0.73, 0.74, 0.68, 0.76]
    found = corrected_interval(values, n_train=800, n_test=200)
    variance = (1 / 10 + 200 / 800) * np.var(values, ddof=1)  # Nadeau and Bengio, section 3
    low, high = stats.t.interval(0.95, 9, loc=np.mean(values), scale=math.sqrt(variance))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.mean == pytest.approx(np.mean(values))
    assert corrected_interval([0.5], 80, 20).low is None


def test_intervals_cover_the_truth_where_plain_ones_do_not() -> None:
    """Means of 10 folds whose training sets overlap: the plain t interval is far too short."""
    found = corrected_interval([0.7, 0.8] * 5, n_train=400, n_test=100)
    plain = stats.sem([0.7, 0.8] * 5) * stats.t.ppf(0.975, 9)
    assert found.high is not None
    assert found.high - found.mean == pytest.approx(plain * math.sqrt(1 + 10 * 0.25))


@pytest.mark.parametrize("law", [(0.1, 2.0, 0.5), (0.0, 1.0, 0.2), (0.3, 5.0, 1.2)])
def test_a_power_law_is_recovered(law: tuple[float, float, float]) -> None:
    n = [100.0, 200.0, 400.0, 700.0, 1000.0]
    floor, scale, exponent = law
    errors = [floor + scale * it**-exponent for it in n]
    found = fit_power_law(n, errors)
    assert (found.floor, found.scale, found.exponent) == pytest.approx(law, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([0.30, 0.25, 0.21, 0.18, 0.17], "yes"),
        ([0.20, 0.18, 0.17, 0.165, 0.144], "a little"),  # better than the law has it
        ([0.20, 0.20, 0.20, 0.20, 0.20], "no"),
        ([0.010, 0.009, 0.008, 0.0075, 0.007], "no"),  # a large share of next to nothing
    ],
)
def test_what_more_rows_bring_begins_at_what_was_measured(
    errors: list[float], verdict: str
) -> None:
    n = [100, 200, 400, 700, 1_000]
    kept = []
    for rows, error in zip(n, errors, strict=True):
        folds = [1 - error + it for it in (-2e-3, -1e-3, 0, 1e-3, 2e-3)]
        trial = Trial("linear", tuple({"accuracy": it} for it in folds), rows, 250, np.zeros(0))
        kept.append((trial, folds))
    docket = Docket("classification")
    found = judged(docket, "accuracy", kept)
    later = 1 - found.score_at_double
    assert found.relative_gain == pytest.approx((errors[-1] - later) / errors[-1], abs=1e-9)
    assert later == pytest.approx(min(errors[-1], found.law.error(2_000)), abs=1e-9)
    assert docket.findings[0].value == found.relative_gain
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0 rows have"), (1, "1 row has"), (2_000, "2,000 rows have")]
)
def test_one_is_counted_as_one(n: int, said: str) -> None:
    assert counted(n, "row", "has", "have") == said


def test_a_noisy_power_law_is_that_of_curve_fit() -> None:
    generator = np.random.default_rng(4)
    n = np.array([100.0, 200, 400, 800, 1600, 3200])
    errors = 0.2 + 3 * n**-0.6 + generator.normal(0, 0.002, 6)
    found = fit_power_law(n.tolist(), errors.tolist())
    reference, _ = curve_fit(lambda x, a, b, c: a + b * x**-c, n, errors, p0=(0.2, 3, 0.6))
    expected = reference[0] + reference[1] * 6400 ** -reference[2]
    assert found.error(6400) == pytest.approx(expected, abs=5e-4)
    squares = [
        sum((law(it) - error) ** 2 for it, error in zip(n, errors, strict=True))
        for law in (found.error, lambda x: reference[0] + reference[1] * x ** -reference[2])
    ]
    assert squares[0] <= squares[1] * 1.01


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, 0.5, 1.5]), st.sampled_from([None, "a", "A", ""])),
        min_size=1,
        max_size=40,
    )
)
def test_row_ids_are_equal_for_equal_rows_only(rows: list) -> None:
    frame = pl.DataFrame(
        {"x": [it[0] for it in rows], "t": [it[1] for it in rows]},
        schema={"x": pl.Float64, "t": pl.String},
    )
    ids = row_ids(frame).tolist()
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            assert (ids[i] == ids[j]) == (one == other)


def test_targets_are_apart_by_total_variation_or_ks() -> None:
    generator = np.random.default_rng(0)
    first, last = generator.normal(size=200), generator.normal(0.5, 1, 300)
    assert target_distance(first, last, 0) == stats.ks_2samp(first, last).statistic
    assert target_distance(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), 3) == 0.25


def test_names_are_alike_by_their_words() -> None:
    assert stems("IsArrDelayed") == stems("ArrDelay") == {"arr", "delay"}
    assert not stems("median_income") & stems("median_house_value")
    assert not stems("[/nope]\x1b[2J") & stems("")


def test_rules_grade_by_their_limits() -> None:
    docket = Docket("regression")
    assert docket.rule("leak_score").grade(0.981) == ("high", 0.98)
    assert Docket("classification").rule("leak_score").grade(0.93) == ("low", 0.90)
    assert docket.rule("rows").grade(49) == ("high", 50)
    assert docket.rule("rows").grade(5_000) == ("ok", 1_000)
    capped = docket.note("label_noise", 0.5, "x", at_most="low")
    assert (capped.severity, capped.threshold) == ("low", 0.01)
    assert docket.note("more_data", 0.5, "x", at_most="ok").advice == ""
    assert set(REGRESSION) <= set(RULES)


def test_rules_get_worse_in_order() -> None:
    for rule in RULES.values():
        limits = [it for it in (rule.low, rule.medium, rule.high) if it is not None]
        assert limits == sorted(limits, reverse=rule.is_floor)
