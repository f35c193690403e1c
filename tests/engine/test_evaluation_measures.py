"""Curves, named metrics, baselines, segments and importance: against scikit-learn and SciPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from local_stack.evaluation import baselines, curves, importance, measure, segments
from local_stack.evaluation.named import measured, named_metric, unfit
from local_stack.evaluation.resampling import Held, counts_of, interval, scorer

EXACT = 1e-12


def binary(n: int = 400, seed: int = 0) -> Held:
    generator = np.random.default_rng(seed)
    score = generator.normal(size=n)
    truth = (generator.random(n) < 1 / (1 + np.exp(-score))).astype(np.int64)
    second = np.round(1 / (1 + np.exp(-2 * score)), 2)
    p = np.column_stack([1 - second, second])
    return Held(2, truth, p.argmax(axis=1), p)


def many(n: int = 400) -> Held:
    generator = np.random.default_rng(1)
    score = generator.normal(size=(n, 3))
    truth = (score + generator.gumbel(size=score.shape)).argmax(axis=1)
    p = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return Held(3, truth, p.argmax(axis=1), p)


def numbers(n: int = 300) -> Held:
    generator = np.random.default_rng(2)
    truth = generator.gamma(3.0, size=n) + 1
    return Held(0, truth, truth * np.exp(generator.normal(scale=0.2, size=n)))


# ------------------------------------------------------------------ curves


def on_the_line(line: curves.Line, x: np.ndarray, y: np.ndarray) -> float:
    """The largest distance of points, in x and y, to a line through its own points."""
    at, height = np.array(line.x), np.array(line.y)
    away = []
    for a, b in zip(x, y, strict=True):
        dx, dy = np.diff(at), np.diff(height)
        length = np.maximum(dx**2 + dy**2, 1e-300)
        share = np.clip(((a - at[:-1]) * dx + (b - height[:-1]) * dy) / length, 0, 1)
        near = np.hypot(at[:-1] + share * dx - a, height[:-1] + share * dy - b)
        away.append(near.min())
    return max(away)


def test_roc_and_precision_are_the_curves_of_scikit_learn() -> None:
    held = binary()
    is_true, score = held.truth == 1, held.probability[:, 1]
    x, y, _ = metrics.roc_curve(is_true, score, drop_intermediate=False)
    line = curves.roc(is_true, score)
    assert on_the_line(line, x, y) <= EXACT
    assert metrics.auc(line.x, line.y) == pytest.approx(metrics.roc_auc_score(is_true, score))
    precision, recall, _ = metrics.precision_recall_curve(is_true, score)
    line = curves.precision_recall(is_true, score)
    assert on_the_line(line, recall, precision) <= EXACT
    assert (line.x[0], line.y[0], line.x[-1]) == (0, 1, 1)


def test_a_curve_that_begins_with_false_alarms_goes_down_first() -> None:
    score = np.arange(20, 0, -1) / 20
    is_true = np.zeros(20, dtype=bool)
    is_true[[5, 12]] = True
    precision, recall, _ = metrics.precision_recall_curve(is_true, score)
    line = curves.precision_recall(is_true, score)
    assert on_the_line(line, recall, precision) <= EXACT
    assert list(zip(line.x, line.y, strict=True))[:2] == [(0.0, 1.0), (0.0, 0.0)]


def test_long_curves_are_thinned_and_still_near_the_whole() -> None:
    generator = np.random.default_rng(0)
    score = generator.random(20_000)
    is_true = generator.random(20_000) < score
    line = curves.roc(is_true, score)
    assert len(line.x) <= curves.MOST_POINTS
    area = metrics.roc_auc_score(is_true, score)
    assert metrics.auc(line.x, line.y) == pytest.approx(area, abs=2e-3)
    assert curves.roc(np.zeros(3, dtype=bool), score[:3]) is None
    assert curves.precision_recall(np.zeros(3, dtype=bool), score[:3]) is None


def test_reliability_is_the_calibration_curve_and_brier_falls_into_its_parts() -> None:
    held = binary()
    is_true, score = held.truth == 1, held.probability[:, 1] * 0.999
    found = curves.reliability(is_true, score)
    observed, predicted = calibration_curve(is_true, score, n_bins=10)
    assert [it.observed for it in found.bins] == pytest.approx(observed, abs=EXACT)
    assert [it.predicted for it in found.bins] == pytest.approx(predicted, abs=EXACT)
    n = np.array([it.n_rows for it in found.bins])
    wanted = (n * np.abs(observed - predicted)).sum() / n.sum()
    assert found.expected_error == pytest.approx(wanted, abs=EXACT)
    assert found.brier == pytest.approx(metrics.brier_score_loss(is_true, score), abs=EXACT)
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert found.brier == pytest.approx(parts, abs=EXACT)
    for it in found.bins:
        n_true = round(it.observed * it.n_rows)
        wanted = stats.binomtest(n_true, it.n_rows).proportion_ci(method="wilson")
        assert (it.low, it.high) == pytest.approx(tuple(wanted), abs=1e-9)


def test_a_share_of_nought_or_one_lies_in_its_interval() -> None:
    n = np.arange(1.0, 500.0)
    for share in (
        np.zeros_like(n),
        np.ones_like(n),
    ):  # pictures take no bar of a length below nought
        low, high = curves.wilson(share, n)
        assert (low <= share).all()
        assert (share <= high).all()


def test_probabilities_of_one_value_a_bin_leave_nothing_within() -> None:
    generator = np.random.default_rng(3)
    score = generator.choice([0.05, 0.45, 0.95], 500)
    found = curves.reliability(generator.random(500) < score, score)
    assert found.within == pytest.approx(0, abs=EXACT)


def test_confusion_and_residuals() -> None:
    held = many()
    wanted = metrics.confusion_matrix(held.truth, held.predicted, labels=[0, 1, 2])
    assert np.array_equal(curves.confusion(held.truth, held.predicted, 3), wanted)
    found = curves.confusion(np.array([-1, 0]), np.array([1, 1]), 2)
    assert found.tolist() == [[0, 1], [0, 0]]
    rest = curves.residuals(*(getattr(numbers(900), it) for it in ("truth", "predicted")))
    assert sum(rest.counts) == 900
    assert len(rest.residual) == 500
    left = numbers(900).truth - numbers(900).predicted
    assert rest.quantiles["0.95"] == pytest.approx(np.quantile(left, 0.95), abs=EXACT)


# ------------------------------------------------------------------ metrics by name, intervals

NAMES = {
    "binary": ("balanced_accuracy", "roc_auc", "neg_log_loss", "f1", "matthews_corrcoef"),
    "many": ("f1_macro", "roc_auc_ovo", "neg_log_loss", "top_k_accuracy", "jaccard_weighted"),
    "numbers": ("r2", "neg_root_mean_squared_error", "neg_max_error", "neg_mean_gamma_deviance"),
}
HELD = {"binary": binary(), "many": many(), "numbers": numbers()}


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in NAMES for name in NAMES[k]])
def test_metrics_by_name_are_those_of_a_fitted_estimator(kind: str, name: str) -> None:
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(300, 3))
    noise = generator.normal(size=300)
    if kind == "numbers":
        y = np.exp(0.2 * rows[:, 0] + 0.1 * noise) + 2
        model = LinearRegression().fit(rows, y)
        held = Held(0, y, model.predict(rows))
    else:
        n_classes = 2 if kind == "binary" else 3
        y = np.digitize(rows[:, 0] + noise, [0.0] if n_classes == 2 else [-0.5, 0.5])
        model = LogisticRegression().fit(rows, y)
        held = Held(n_classes, y, model.predict(rows), model.predict_proba(rows))
    found = named_metric(name, held)
    assert found.value == pytest.approx(metrics.get_scorer(name)(model, rows, y), abs=EXACT)


def test_the_interval_of_a_named_metric_is_that_of_scipy() -> None:
    held = binary(150)
    found = named_metric("balanced_accuracy", held, resamples=1_000)
    wanted = stats.bootstrap(
        (np.arange(150),),
        lambda rows: metrics.balanced_accuracy_score(
            held.truth[rows.astype(int)], held.predicted[rows.astype(int)]
        ),
        vectorized=False,
        n_resamples=200,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=EXACT)


def test_a_metric_that_is_not_defined_says_why() -> None:
    found = named_metric("roc_auc", Held(2, np.ones(30, dtype=int), np.ones(30, dtype=int)))
    assert found.value is None
    assert found.reason
    assert named_metric("f1", many()).value is None  # of two classes only
    assert named_metric("neg_mean_squared_log_error", Held(0, -np.ones(3), np.ones(3))).reason


def weighted(kind: str) -> Held:
    """Predictions whose rows weigh 0, 0.5, 1, ... 2."""
    held = HELD[kind]
    generator = np.random.default_rng(11)
    return replace(held, weights=generator.integers(0, 5, len(held.truth)) / 2)


def reference_of(name: str, held: Held) -> float:
    """Return a usual metric of weighted rows as scikit-learn has it."""
    truth, said, p = held.truth, held.predicted, held.probability
    second = None if p is None else p[:, 1]
    macro = {"average": "macro"} if held.n_classes > 2 else {}
    calls: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "rmse": (metrics.root_mean_squared_error, said, {}),
        "mae": (metrics.mean_absolute_error, said, {}),
        "r2": (metrics.r2_score, said, {}),
        "accuracy": (metrics.accuracy_score, said, {}),
        "precision": (metrics.precision_score, said, {}),
        "recall": (metrics.recall_score, said, {}),
        "f1": (metrics.f1_score, said, {}),
        "f1_macro": (metrics.f1_score, said, macro),
        "brier": (metrics.brier_score_loss, second, {}),
        "log_loss": (metrics.log_loss, p, {}),
        "roc_auc": (metrics.roc_auc_score, second, {}),
        "average_precision": (metrics.average_precision_score, second, {}),
        "roc_auc_ovr": (metrics.roc_auc_score, p, {"multi_class": "ovr"}),
    }
    function, given, more = calls[name]
    return float(function(truth, given, sample_weight=held.weights, **more))


@pytest.mark.parametrize("kind", HELD)
def test_metrics_of_weighted_rows_are_those_of_scikit_learn(kind: str) -> None:
    held, plain = weighted(kind), measured(HELD[kind])
    names = [name for name in NAMES[kind] if name not in plain]
    found = measured(held, names)
    assert found.items() >= plain.items()
    for name in plain:
        assert found[f"weighted_{name}"] == pytest.approx(reference_of(name, held), abs=EXACT)
    for name in names:
        assert found[name] == named_metric(name, held).value
    more = {
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(
            held.truth, held.predicted, sample_weight=held.weights
        ),
        "jaccard_weighted": lambda: metrics.jaccard_score(
            held.truth, held.predicted, average="weighted", sample_weight=held.weights
        ),
        "neg_mean_gamma_deviance": lambda: (
            -metrics.mean_gamma_deviance(held.truth, held.predicted, sample_weight=held.weights)
        ),
    }
    (name,) = more.keys() & NAMES[kind]
    assert found[f"weighted_{name}"] == pytest.approx(more[name](), abs=EXACT)
    assert "weighted_neg_max_error" not in found  # it knows no weights
    assert measured(replace(held, weights=0 * held.truth)) == plain


@pytest.mark.parametrize("kind", HELD)
def test_intervals_of_weighted_metrics_draw_rows_with_their_weights(kind: str) -> None:
    held = weighted(kind)
    (counts,) = counts_of(len(held.truth), 50, 7)
    found = scorer(held)(counts)
    assert found.keys() == measured(held).keys()
    for key, values in found.items():
        for drawn, value in zip(counts[:5], values, strict=False):
            some = np.repeat(np.arange(len(drawn)), drawn.astype(int))
            p = None if held.probability is None else held.probability[some]
            one = Held(held.n_classes, held.truth[some], held.predicted[some], p)
            one = replace(one, weights=held.weights[some])
            assert value == pytest.approx(measured(one)[key], abs=1e-9), key


@pytest.mark.parametrize("kind", HELD)
def test_what_a_scorer_cannot_measure_is_known_before_there_are_predictions(kind: str) -> None:
    held = HELD[kind]
    of_numbers = {"r2", "explained_variance"}
    for name in metrics.get_scorer_names():
        is_of_numbers = name in of_numbers or any(
            word in name for word in ("_error", "deviance", "d2_absolute")
        )
        is_able = is_of_numbers == (kind == "numbers") and name in measured(held, [name])
        assert (unfit(name, held.n_classes, held.n_classes > 0, False) == "") == is_able, name
    assert unfit("neg_log_loss", 2, False, False)
    assert unfit("neg_max_error", 0, False, True)


@pytest.mark.parametrize("kind", HELD)
def test_intervals_of_the_usual_metrics_are_those_of_scipy(kind: str) -> None:
    held = HELD[kind]
    score = scorer(held)
    parts = [score(counts) for counts in counts_of(len(held.truth), 300, 7)]
    for key in measured(held):
        found = interval(np.concatenate([part[key] for part in parts]), 0.9)

        def statistic(rows: np.ndarray, key: str = key) -> float:
            some = rows.astype(int)
            p = None if held.probability is None else held.probability[some]
            part = Held(held.n_classes, held.truth[some], held.predicted[some], p)
            return measured(part)[key]

        wanted = stats.bootstrap(
            (np.arange(len(held.truth)),),
            statistic,
            vectorized=False,
            n_resamples=300,
            confidence_level=0.9,
            method="percentile",
            rng=np.random.default_rng(7),
        ).confidence_interval
        assert found == pytest.approx(tuple(wanted), abs=1e-9), key


# ------------------------------------------------------------------ baselines and importance


def table(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(8)
    matrix = generator.normal(size=(n, 4)) * [1, 5, 100, 1] + [0, 3, 50, 0]
    score = matrix[:, 0] + 0.3 * matrix[:, 1]
    matrix[generator.random(matrix.shape) < 0.1] = np.nan
    matrix[:, 3] = 4.0
    return matrix, score + generator.normal(size=n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_baselines_are_those_of_scikit_learn(n_classes: int, weighted: bool) -> None:
    matrix, y = table()
    if n_classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    train, test = matrix[:300], matrix[300:]
    weights = np.random.default_rng(1).random(300) if weighted else None
    dummy, linear = baselines.baselines(
        train, y[:300], test, y[300:], n_classes=n_classes, weights=weights
    )
    plain = DummyClassifier() if n_classes else DummyRegressor()
    plain.fit(train, y[:300], sample_weight=weights)
    last = LogisticRegression(tol=1e-10, max_iter=1_000) if n_classes else Ridge()
    line = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), last)
    line.fit(train, y[:300], **{f"{line.steps[-1][0]}__sample_weight": weights})
    tolerance = 1e-3 if n_classes else 1e-9  # both stop where their own tolerance is met
    for model, found in ((plain, dummy), (line, linear)):
        if n_classes:
            p = model.predict_proba(test)
            wanted = measure.classification_metrics(y[300:], p.argmax(axis=1), p, n_classes)
        else:
            wanted = measure.regression_metrics(y[300:], model.predict(test))
        assert found.metrics == pytest.approx(wanted, abs=tolerance)


def test_categories_are_one_hot_for_the_linear_model() -> None:
    train = np.array([[0.0], [1.0], [1.0], [2.0], [np.nan]])
    known, asked = baselines.linear_features(train, np.array([[1.0], [7.0]]), [0])
    assert known.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert asked.tolist() == [[1, 0, 0], [0, 0, 0]]
    nothing = baselines.linear_features(np.full((3, 1), np.nan), np.zeros((2, 1)))
    assert [it.shape for it in nothing] == [(3, 1), (2, 1)]


def test_permutation_importance_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(9)
    matrix = generator.normal(size=(500, 4))
    y = 2 * matrix[:, 0] + matrix[:, 1]
    model = LinearRegression().fit(matrix, y)
    model.coef_[3] = 0.0
    found = importance.permuted(
        lambda it: metrics.mean_squared_error(y, model.predict(it)), matrix, repeats=40
    )
    wanted = permutation_importance(
        model, matrix, y, scoring="neg_mean_squared_error", n_repeats=40, random_state=1
    )
    spread = 4 * wanted.importances_std / np.sqrt(40) + EXACT
    assert (np.abs(found - wanted.importances_mean) <= 1.5 * spread).all()
    assert found[3] == 0


# ------------------------------------------------------------------ segments


def test_a_group_is_judged_by_the_interval_of_welch_and_bonferroni() -> None:
    generator = np.random.default_rng(10)
    loss = generator.gamma(2.0, size=200)
    inside = np.arange(200) < 60
    loss[inside] += 1
    found = segments.judged(loss, inside, 0.95, 4)
    wanted = stats.ttest_ind(loss[inside], loss[~inside], equal_var=False)
    low, high = wanted.confidence_interval(1 - 0.05 / 4)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.is_weak
    assert segments.judged(loss, np.arange(200) < 19, 0.95, 1) is None
    assert segments.judged(loss, np.arange(200) > 18, 0.95, 1) is None


def weak_table(n: int, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """A model that errs more for the young who rent."""
    generator = np.random.default_rng(seed)
    age = generator.integers(18, 80, n).astype(float)
    housing = generator.choice(["own", "rent", "free"], n)
    loss = generator.exponential(1.0, n) + 2.0 * ((age <= 35) & (housing == "rent"))
    gaps = generator.random(n) < 0.05
    frame = pl.DataFrame({"age": age, "housing": housing, "noise": generator.normal(size=n)})
    frame = frame.with_columns(pl.when(pl.Series(~gaps)).then("age").alias("age"))
    return frame, loss


def test_a_weak_segment_is_found_and_stands_on_other_rows() -> None:
    frame, loss = weak_table(1_000, 11)
    found = segments.find(frame, loss)
    texts = [" and ".join(it.text() for it in conditions) for conditions in found]
    assert any("age <= 3" in it and "housing is rent" in it for it in texts), texts
    other, again = weak_table(1_000, 12)
    verdicts = []
    for conditions in found:
        inside = np.all([it.holds(other) for it in conditions], axis=0)
        verdicts.append(segments.judged(again, inside, 0.95, len(found)))
    assert any(it is not None and it.is_weak for it in verdicts)


def test_conditions_hold_for_the_rows_of_the_leaf() -> None:
    frame, loss = weak_table(600, 13)
    for conditions in segments.find(frame, loss):
        inside = np.all([it.holds(frame) for it in conditions], axis=0)
        assert inside.sum() >= 30
        assert loss[inside].mean() > loss.mean()


def test_chance_alone_seldom_makes_a_weak_segment() -> None:
    n_false = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        frame = pl.DataFrame({f"x{k}": generator.normal(size=400) for k in range(4)})
        loss = generator.exponential(1.0, 400)
        groups = segments.find(frame[:200], loss[:200])
        for conditions in groups:
            inside = np.all([it.holds(frame[200:]) for it in conditions], axis=0)
            verdict = segments.judged(loss[200:], inside, 0.95, len(groups))
            n_false += verdict is not None and verdict.is_weak
    assert n_false <= 6  # 60 tables, 2.5 percent of them expected


def test_groups_of_a_column() -> None:
    frame, _ = weak_table(200, 14)
    ages = dict(segments.groups_of(frame["age"]))
    assert len(ages) == 5
    assert sum(int(rows.sum()) for rows in ages.values()) == 200
    assert "age is missing" in ages
    texts = segments.groups_of(pl.Series("t", [f"v{k % 15}" for k in range(60)] + [None]))
    names = [name for name, _ in texts]
    assert len(names) == 14
    assert names[-2:] == ["t is another", "t is missing"]
    gone = segments.groups_of(pl.Series("g", [None] * 30, dtype=pl.Float64))
    assert [name for name, _ in gone] == ["g is missing"]
