"""Dependence and its colour, beeswarm, the surrogate tree, and columns that do not help."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from explain_kit import FOREST, LOGISTIC, rows_of, table, trained, values_of

from local_stack.explain.effects.dependence import beeswarm, dependence, strengths
from local_stack.explain.effects.interactions import interactions, used_features
from local_stack.explain.effects.parts import CATEGORICAL, FeatureImportance, Permutation, Permuted
from local_stack.explain.effects.rows import Described, Rows
from local_stack.explain.effects.surrogate import surrogate_tree
from local_stack.explain.effects.unhelpful import unhelpful
from local_stack.explain.effects.whole import importance_of


def numeric(name: str, numbers: np.ndarray) -> Described:
    told = tuple(None if it != it else float(it) for it in numbers)
    return Described(name, "numeric", told, np.asarray(numbers, dtype=np.float64))


# ------------------------------------------------------------------ dependence


def test_the_colour_is_the_column_that_changes_what_another_one_does() -> None:
    import shap

    model = trained("y")
    rows = rows_of(model)
    found = values_of(rows)
    told = dependence(rows, found, "a", most=100)
    assert told.colour == "b"
    assert told.strengths[0].column == "b"
    assert told.strengths[0].share > 2 * told.strengths[1].share
    assert told.n_rows == len(told.values) == len(told.shap) == len(told.colour_values) == 100
    order = list(found.columns)
    ranked = shap.approximate_interactions(
        order.index("a"), found.values[:, :, 0], np.nan_to_num(rows.matrix)
    )
    assert order[ranked[0]] == told.colour


def test_points_are_pairs_of_the_same_row_and_missing_values_stay_apart() -> None:
    rows = rows_of(trained("y"))
    found = values_of(rows)
    told = dependence(rows, found, "c", most=10**6, colour="word")
    assert list(told.values) == table()["c"].to_list()
    np.testing.assert_array_equal(told.shap, found.values[:, found.columns.index("c"), 0])
    assert (told.colour, told.colour_kind) == ("word", CATEGORICAL)
    assert list(told.colour_values) == table()["word"].to_list()
    assert "asked for" in told.why


def test_a_column_that_acts_alone_has_no_colour() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=(2, 400))
    assert strengths(numeric("a", a), np.sin(3 * a), [numeric("b", b)])[0][1] < 0.05
    noisy = np.sin(3 * a) + generator.normal(size=400)
    assert strengths(numeric("a", a), noisy, [numeric("b", b)])[0][1] < 0.05
    assert strengths(numeric("a", np.ones(400)), np.ones(400), [numeric("b", b)]) == []
    model = trained("y", LOGISTIC.replace("LogisticRegression", "ElasticNet"), "a", "b")
    rows = rows_of(model)
    told = dependence(rows, values_of(rows), "a", most=50)
    assert (told.colour, told.colour_values, told.colour_kind) == (None, (), "")
    assert told.why.startswith("No other column explains 5%")


def test_the_strength_is_what_rows_left_out_one_by_one_show() -> None:
    generator = np.random.default_rng(4)
    own = numeric("a", generator.integers(0, 3, 60).astype(float))
    other = numeric("b", np.where(generator.random(60) < 0.2, np.nan, generator.random(60)))
    shap = own.numbers + np.nan_to_num(other.numbers) * own.numbers + generator.normal(size=60)
    rest = shap - np.array([shap[own.numbers == it].mean() for it in own.numbers])
    groups = other.bins(5)
    left = 0.0
    for n in range(60):
        cell = (own.numbers == own.numbers[n]) & (groups == groups[n])
        cell[n] = False
        left += (rest[n] - (rest[cell].mean() if cell.any() else 0)) ** 2
    ((name, share),) = strengths(own, shap, [other])
    assert name == "b"
    assert share == pytest.approx(max(0.0, 1 - left / (rest @ rest)), abs=1e-12)


@pytest.mark.parametrize("most", [1, 3, 8])
def test_bins_hold_missing_values_apart_and_never_more(most: int) -> None:
    values = np.array([5.0, 1.0, np.nan, 3.0, 3.0, 2.0, 9.0, np.nan])
    found = numeric("a", values).bins(most)
    assert len(set(found[[2, 7]])) == 1
    assert found[2] not in found[[0, 1, 3, 4, 5, 6]]
    assert len(set(found)) <= most + 1
    assert found[3] == found[4]
    known = [0, 1, 3, 5, 6]
    order = np.argsort(values[known])
    assert (np.diff(found[known][order]) >= 0).all()


def test_a_beeswarm_is_scaled_between_percentiles() -> None:
    rows = rows_of(trained("y"))
    found = values_of(rows)
    told = beeswarm(rows, found, ["c", "word"], most=10**6)
    assert (told.columns, told.n_rows) == (("c", "word"), len(rows))
    known = table()["c"].drop_nulls()
    low, high = np.quantile(known, [0.05, 0.95])
    expected = [
        None if it is None else min(1, max(0, (it - low) / (high - low))) for it in table()["c"]
    ]
    assert [it is None for it in told.scaled[0]] == [it is None for it in expected]
    np.testing.assert_allclose(
        np.array(told.scaled[0], dtype=float), np.array(expected, dtype=float), atol=1e-12
    )
    assert set(told.scaled[1]) == {None}
    np.testing.assert_array_equal(told.shap[0], found.values[:, found.columns.index("c"), 0])


# ------------------------------------------------------------------ interactions


def test_interactions_are_the_mean_of_shaps_interaction_values() -> None:
    import shap

    model = trained("y")
    rows = rows_of(model)
    names = ["word", "b", "a", "noise", "c"]
    found = interactions(model, rows.matrix, names, 0, "target")
    some = np.unique(np.linspace(0, len(rows) - 1, 200).round().astype(int))
    assert (found.columns, found.n_rows) == (tuple(names), len(some))
    expected = shap.TreeExplainer(model.estimator).shap_interaction_values(rows.matrix[some])
    places = [[it.name for it in model.features].index(name) for name in names]
    means = np.abs(expected).mean(axis=0)[np.ix_(places, places)]
    np.testing.assert_allclose(found.matrix, means, rtol=1e-6, atol=1e-9)
    strongest = interactions(model, rows.matrix, ["a", "b", "c", "noise"], 0, "target").matrix
    off = np.array(strongest) - np.diag(np.diag(strongest))
    some_of_them = interactions(model, rows.matrix, names[:3], 0, "target")
    apart = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(
        np.array(some_of_them.matrix)[apart], means[:3, :3][apart], rtol=1e-6, atol=1e-9
    )
    assert np.unravel_index(off.argmax(), off.shape) == (0, 1)


def test_what_has_no_interactions_says_so_and_trees_say_what_they_ask_for() -> None:
    linear = trained("label", LOGISTIC)
    assert "no interactions" in interactions(linear, rows_of(linear).matrix, [], 0, "log-odds")
    kernel = trained("label", "sklearn.svm.SVC", "a", "b")
    assert "trees" in interactions(kernel, rows_of(kernel).matrix, ["a"], 0, "decision function")
    assert used_features(linear) is None
    model = trained("label", "lightgbm", "a", "b", "c", "noise", "same")
    counts = model.estimator.feature_importance("split")
    assert used_features(model) == frozenset(np.flatnonzero(counts).tolist())


# ------------------------------------------------------------------ the surrogate


def holds(condition: str, frame: pl.DataFrame) -> np.ndarray:
    """Return where a condition of a rule holds, read from its text alone."""
    found = re.fullmatch(r"(\w+) (is not|is|<=|>) (.*?)( or missing)?", condition)
    assert found is not None, condition
    name, word, value, also = found.groups()
    column = frame[name]
    if word in ("is", "is not"):
        is_it = (column == value).fill_null(False).to_numpy()
        return is_it if word == "is" else ~is_it
    compared = column <= float(value) if word == "<=" else column > float(value)
    return compared.fill_null(also is not None).to_numpy()


@pytest.mark.parametrize(("target", "estimator"), [("y", FOREST), ("grade", "lightgbm")])
def test_the_rules_are_the_tree_and_its_fidelity_is_of_rows_it_did_not_see(
    target: str, estimator: str
) -> None:
    model = trained(target, estimator)
    rows = rows_of(model)
    found = surrogate_tree(rows)
    frame, outputs = table(), model.outputs(rows.matrix)
    told = np.zeros(len(rows), dtype=object)
    n_leaves = np.zeros(len(rows), dtype=int)
    for leaf in found.leaves:
        inside = np.ones(len(rows), dtype=bool)
        bounds = [it.split()[:2] for it in leaf.conditions if "<=" in it or ">" in it]
        assert len(set(map(tuple, bounds))) == len(bounds)  # each once, the tightest
        for condition in leaf.conditions:
            inside &= holds(condition, frame)
        n_leaves += inside
        told[inside] = leaf.prediction
    assert (n_leaves == 1).all()
    test = np.random.default_rng(0).permutation(len(rows))[: found.n_rows_test]
    if target == "y":
        said = told.astype(float)[test]
        spread = ((outputs[test] - outputs[test].mean()) ** 2).sum()
        fidelity = 1 - ((outputs[test] - said) ** 2).sum() / spread
    else:
        fidelity = np.mean([it.split(" ")[0] for it in told[test]] == outputs[test].astype(str))
    assert found.fidelity == pytest.approx(fidelity, abs=1e-4)
    assert found.fidelity > found.baseline + 0.2
    assert found.n_rows_train + found.n_rows_test == len(rows)
    assert sum(leaf.share for leaf in found.leaves) == pytest.approx(1)
    assert found.depth <= 4
    assert surrogate_tree(rows) == found
    text = "\n".join(found.rules)
    assert all(leaf.conditions[-1] in text for leaf in found.leaves)


def test_a_surrogate_says_why_there_is_none() -> None:
    model = trained("y")
    assert "at least 40 rows" in str(surrogate_tree(rows_of(model, 20)))
    same = Rows(model, pl.concat([table().head(1)] * 50))
    assert "the same for every row" in str(surrogate_tree(same))


# ------------------------------------------------------------------ columns that do not help


def permuted(**items: tuple[float, float, float]) -> Permutation:
    columns = tuple(Permuted(name, *values) for name, values in items.items())
    return Permutation("log_loss", 0.4, "test", 100, 5, "", columns)


def test_columns_that_do_not_help_are_told_with_a_reason() -> None:
    model = trained("label", "lightgbm", "a", "b", "c", "noise", "same")
    rows = rows_of(model)
    importance = [FeatureImportance("a", 1.0), FeatureImportance("b", 0.5)]
    importance += [FeatureImportance("c", 0.001), FeatureImportance("noise", 0.2)]
    found = permuted(
        a=(0.3, 0.2, 0.4), b=(-0.02, -0.03, -0.01), c=(0.0, -0.1, 0.1), noise=(0.0, -0.1, 0.1)
    )
    told = {it.column: it for it in unhelpful(rows, importance, found)}
    assert {name: it.code for name, it in told.items()} == {
        "b": "harmful",
        "c": "unhelpful",
        "same": "constant",
    }
    assert told["b"].message == "Shuffling b makes the log loss better by 0.02 (0.01 to 0.03)."
    assert "makes the log loss worse by 0 (-0.1 to 0.1), which may be nothing" in told["c"].message
    used = frozenset({0, 1, 2})
    assert {it.column: it.code for it in unhelpful(rows, importance, found, used)}["noise"] == (
        "unused"
    )


def test_importance_is_summed_over_classes_and_told_of_each() -> None:
    rows = rows_of(trained("grade"))
    found = values_of(rows)
    told = importance_of(found, found)
    by_class = np.abs(found.values).mean(axis=0)
    for item in told:
        place = found.columns.index(item.feature)
        np.testing.assert_allclose(item.by_class, by_class[place], rtol=1e-12)
        assert item.mean_abs_shap == pytest.approx(sum(item.by_class), rel=1e-12)
    assert [it.mean_abs_shap for it in told] == sorted(
        (it.mean_abs_shap for it in told), reverse=True
    )
    of_one = importance_of(found, found.of_output(2))
    assert {it.feature: it.mean_abs_shap for it in of_one} == pytest.approx(
        {it.feature: it.by_class[2] for it in told}, rel=1e-12
    )
    plain = replace(found.of_output(0))
    assert importance_of(plain, plain)[0].by_class == ()
