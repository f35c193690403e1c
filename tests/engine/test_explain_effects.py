"""Permutation importance and partial dependence beside scikit-learn; what is set in raw rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from explain_kit import FOREST, LOGISTIC, rows_of, table, trained, values_of
from sklearn.inspection import partial_dependence as sklearn_partial_dependence
from sklearn.inspection import permutation_importance as sklearn_permutation_importance
from sklearn.utils import check_random_state

from local_stack.evaluation.split import Keys, Split, hold_out
from local_stack.explain.affording import affordable
from local_stack.explain.effects import partial, permutation
from local_stack.explain.effects.parts import CATEGORICAL, DATE, NUMERIC
from local_stack.explain.effects.rows import GIVEN, Rows, said, said_unit
from local_stack.explain.learnt import unseen
from local_stack.preparation.fitting import raw_columns

EXACT = {"rtol": 1e-9, "atol": 1e-9}
MODELS = [("y", "lightgbm"), ("y", FOREST), ("label", "lightgbm"), ("label", LOGISTIC)]


def pandas_table(columns: list[str]):
    return table().select(columns).to_pandas()


def orders_of_sklearn(seed: int, n_rows: int, repeats: int) -> np.ndarray:
    """Return the orders in which scikit-learn shuffles: each shuffles the one before."""
    state = check_random_state(check_random_state(seed).randint(np.iinfo(np.int32).max + 1))
    index, order, found = np.arange(n_rows), np.arange(n_rows), []
    for _ in range(repeats):
        state.shuffle(index)
        order = order[index]
        found.append(order)
    return np.stack(found)


@pytest.mark.parametrize(("target", "estimator"), MODELS)
def test_permutation_importance_equals_scikit_learns(target: str, estimator: str) -> None:
    model = trained(target, estimator)
    rows = rows_of(model)
    truth = permutation.truth_of(model, table()[target])
    orders = orders_of_sklearn(3, len(rows), 4)
    found = permutation.permuted_by(rows, truth, orders)
    names = [column.name for column in model.inputs]
    scoring = "neg_root_mean_squared_error" if target == "y" else "neg_log_loss"
    with np.errstate(all="ignore"):
        expected = sklearn_permutation_importance(
            model.pipeline(),
            pandas_table(names),
            table()[target].to_numpy(),
            scoring=scoring,
            n_repeats=4,
            random_state=3,
        )
    means = {it.column: it.mean for it in found.columns}
    np.testing.assert_allclose(
        [means[name] for name in names], expected.importances_mean, rtol=1e-9, atol=1e-12
    )
    assert [it.mean for it in found.columns] == sorted(means.values(), reverse=True)
    assert (found.repeats, found.n_rows) == (4, len(rows))


def test_intervals_are_those_of_resampled_rows() -> None:
    rows, truth = rows_of(trained("y")), table()["y"].to_numpy()
    found = permutation.permutation_importance(rows, truth, repeats=3)
    generator = np.random.default_rng(0)
    orders = [generator.permutation(len(rows)) for _ in range(3)]
    drawn = np.random.default_rng(0).integers(0, len(rows), (200, len(rows)))
    values = np.asarray(rows.columns["a"])
    before = (rows.model.outputs(rows.matrix) - truth) ** 2
    worse = []
    for order in orders:
        after = (rows.model.outputs(rows.changed("a", values[order])) - truth) ** 2
        rmse = [np.sqrt(it[drawn].mean(axis=1)) for it in (after, before)]
        worse.append(rmse[0] - rmse[1])
    expected = np.quantile(np.mean(worse, axis=0), [0.025, 0.975])
    (item,) = [it for it in found.columns if it.column == "a"]
    np.testing.assert_allclose([item.low, item.high], expected, rtol=1e-9)
    assert item.low < item.mean < item.high
    assert "200 bootstrap samples" in found.interval


def test_classes_that_the_model_has_never_seen_are_wrong() -> None:
    model = trained("label")
    truth = permutation.truth_of(model, pl.Series("label", ["yes", "no", "perhaps"]))
    assert truth.tolist() == [1, 0, -1]
    assert permutation.truth_of(model, pl.Series("label", ["yes", "yes"])).tolist() == [1, 1]
    found = permutation.permutation_importance(rows_of(model, 3), truth)
    assert found.metric == "accuracy"
    assert found.score < 0.67


def test_the_rows_of_the_test_are_those_that_the_run_held_out() -> None:
    frame = table().with_columns(y=pl.when(pl.col("a") > 2).then(None).otherwise("y"))
    kept = frame.drop_nulls("y")
    recipe = {"dataset": "t", "experiment": "t", "target": "y", "split": {"test": 0.3, "seed": 4}}
    found = unseen({"recipe": recipe}, kept)
    _, test = hold_out(Keys(kept.height), 0.3, 4)
    assert found.tolist() == test.tolist()
    recipe["split"] = {"test": 0.0}
    assert not len(unseen({"recipe": recipe}, kept))
    assert not len(unseen({"recipe": None}, kept))
    assert Split().test == 0.2


@pytest.mark.parametrize(("target", "estimator"), MODELS)
@pytest.mark.parametrize("column", ["a", "word"])
def test_partial_dependence_equals_scikit_learns(target: str, estimator: str, column: str) -> None:
    model = trained(target, estimator)
    found = partial.partial_dependence(rows_of(model), column)
    names = [it.name for it in model.inputs]
    expected = sklearn_partial_dependence(
        model.pipeline(),
        pandas_table(names),
        features=[column],
        categorical_features=[column] if column == "word" else None,
        custom_values={column: np.array(found.grid, dtype=object if column == "word" else float)},
        method="brute",
        kind="both",
        response_method="auto" if target == "y" else "predict_proba",
    )
    np.testing.assert_allclose(found.mean, expected["average"][-1], **EXACT)
    lines = expected["individual"][-1]
    shown = np.unique(np.linspace(0, len(lines) - 1, 50).round().astype(int))
    np.testing.assert_allclose(found.ice, lines[shown], **EXACT)
    assert found.kind == (CATEGORICAL if column == "word" else NUMERIC)
    assert found.unit == ("target" if target == "y" else "probability")


def test_features_that_are_made_of_a_column_move_with_it() -> None:
    model = trained("y", FOREST, "a", "b", ratio=True)
    rows = rows_of(model)
    assert [it.name for it in model.features] == ["a", "b", "ratio"]
    frame = table().with_columns(b=pl.lit(1.5))
    expected = model.outputs(model.matrix(raw_columns(frame, model.inputs)))
    changed = rows.changed("b", np.full(len(rows), 1.5))
    np.testing.assert_array_equal(model.outputs(changed), expected)
    found = partial.partial_dependence(rows, "b", grid=np.array([1.5]))
    assert found.mean[0] == pytest.approx(expected.mean(), abs=1e-12)


def test_the_grid_holds_values_that_occur_and_the_missing_one_last() -> None:
    model = trained("y", "lightgbm", "a", "c", "word", "is_new", "b")
    rows = rows_of(model)
    numbers = partial.partial_dependence(rows, "c")
    known = set(table()["c"].drop_nulls())
    assert len(numbers.grid) == 21
    assert set(numbers.grid[:-1]) <= known
    assert numbers.grid[-1] is None
    missing = table().with_columns(c=pl.lit(None, dtype=pl.Float64))
    expected = model.outputs(model.matrix(raw_columns(missing, model.inputs))).mean()
    assert numbers.mean[-1] == pytest.approx(expected, abs=1e-12)
    assert partial.partial_dependence(rows, "word").grid == tuple(
        table()["word"].value_counts(sort=True)["word"]
    )
    assert partial.partial_dependence(rows, "is_new").grid == ("false", "true")


def test_dates_are_told_as_dates() -> None:
    frame = table()
    from local_stack.runs.fit import fit
    from local_stack.runs.recipe import parse_recipe

    steps = [
        {"select": {"columns": ["day", "a"]}},
        {"dates": {"columns": ["day"], "parts": ["month", "elapsed_days"]}},
    ]
    recipe = {"dataset": "t", "target": "y", "task": "regression", "features": steps}
    recipe |= {"params": {"n_estimators": 5}}
    model = fit(parse_recipe(recipe, check=True), frame).model
    found = partial.partial_dependence(Rows(model, frame), "day")
    assert found.kind == DATE
    assert found.grid[0] == "2024-01-02"
    assert list(found.grid) == sorted(found.grid)


def test_a_classifier_without_probabilities_is_told_by_the_labels_it_gives() -> None:
    model = trained("grade", "sklearn.svm.LinearSVC")
    rows = rows_of(model)
    found = said(model, rows.matrix)
    assert said_unit(model) == GIVEN
    np.testing.assert_array_equal(found.argmax(axis=1), model.outputs(rows.matrix))
    part = partial.partial_dependence(rows, "a", "2")
    assert (part.output, part.unit) == ("2", GIVEN)
    sampled = rows_of(trained("label", "sklearn.svm.SVC", "a", "b"), 5)
    assert values_of(sampled).unit == "decision function"
    assert 0 <= min(part.mean) <= max(part.mean) <= 1


def test_the_same_model_is_always_asked_for_the_same_rows() -> None:
    booster, forest = trained("y"), trained("y", FOREST)
    assert affordable(booster, 2.0) == affordable(booster, 2.0) > 10_000
    assert affordable(forest, 2.0) > 10_000
    some = permutation.some_rows(booster, 10**6)
    assert len(some) == permutation.MOST_ROWS
    assert (some[0], some[-1]) == (0, 10**6 - 1)
    assert partial.some_rows(booster, 7, 3).tolist() == list(range(7))
