"""Steps that look at the target or at other rows see training folds only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from preparation_kit import every_step, labels, same_bits, table
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import TargetEncoder

from local_stack.evaluation.split import Keys, Split, folds, hold_out, keys_of
from local_stack.preparation.fitting import apply_step, fit_features, raw_columns
from local_stack.preparation.steps import EncodeStep, GroupStep, fits_on
from local_stack.preparation.table import Labels, Table
from local_stack.runs import lessons
from local_stack.runs.fit import fit
from local_stack.runs.recipe import Recipe, parse_recipe


def noise(n_rows: int = 3_000, n_categories: int = 1_000) -> pl.DataFrame:
    """A target that is pure chance, and a category that says nothing of it."""
    generator = np.random.default_rng(12)
    return pl.DataFrame(
        {
            "id": [f"id {n}" for n in generator.integers(0, n_categories, n_rows)],
            "y": generator.normal(size=n_rows),
            "label": generator.choice(["no", "yes"], n_rows),
        }
    )


def recipe(target: str, **changes: Any) -> Recipe:
    value = {
        "dataset": "noise",
        "target": target,
        "task": "regression" if target == "y" else "classification",
        "split": {"test": 0.2, "seed": 5, "folds": 5},
        "features": [
            {"drop": {"columns": ["label" if target == "y" else "y"]}},
            {"encode": {"columns": ["id"], "as": "target"}},
        ],
        "estimator": "lightgbm",
        "params": {"n_estimators": 30, "num_leaves": 7, "num_threads": 1},
    }
    return parse_recipe(value | changes)


def test_a_model_of_pure_noise_scores_as_chance_in_and_out_of_cross_validation() -> None:
    found = fit(recipe("label"), noise())
    assert found.metrics["cv_roc_auc_mean"] == pytest.approx(0.5, abs=0.035)
    assert found.metrics["roc_auc"] == pytest.approx(0.5, abs=0.06)
    # What it learnt from was no better: the model did not even come to trust the category.
    regression = fit(
        recipe("y", estimator="sklearn.linear_model.LinearRegression", params={}), noise()
    )
    assert abs(regression.model.estimator.coef_[0]) < 0.2
    assert regression.metrics["cv_r2_mean"] < 0.01


def test_the_same_without_folds_would_be_trusted() -> None:
    """The test above can fail: encoded by its own rows, noise looks like knowledge."""
    frame = noise()
    y = frame["y"].to_numpy()
    X = frame["id"].to_numpy().reshape(-1, 1)
    leaky = TargetEncoder(target_type="continuous").fit(X, y).transform(X)
    assert LinearRegression().fit(leaky, y).coef_[0] > 0.9
    step = EncodeStep(("id",), "target", smooth=0.0)
    for folds_, most in ((5, 0.25), (10, 0.25)):
        out = fit_features(
            frame.select("id"),
            "y",
            [replace(step, folds=folds_)],
            native_strings=True,
            labels=Labels(y),
        )
        assert abs(np.corrcoef(out.matrix[:, 0], y)[0, 1]) < most
    own = fit_features(
        frame.select("id"), "y", [step], native_strings=True, labels=Labels(y)
    ).preparation
    served = own.compile().matrix(raw_columns(frame, own.inputs))
    assert np.corrcoef(served[:, 0], y)[0, 1] > 0.5


def fitted_states(
    monkeypatch: pytest.MonkeyPatch, value: dict[str, Any], frame: pl.DataFrame
) -> list[tuple[list[float], str, np.ndarray]]:
    """The target's values, the state and the matrix of every fit that training makes."""
    found = []

    def spying(given: pl.DataFrame, *args: Any, **options: Any) -> Any:
        training = fit_features(given, *args, **options)
        state = json.dumps(training.preparation.to_dict())
        found.append((options["labels"].values.tolist(), state, training.matrix))
        return training

    monkeypatch.setattr(lessons, "fit_features", spying)
    fit(parse_recipe(value), frame)
    monkeypatch.undo()
    return found


def full_recipe() -> dict[str, Any]:
    from preparation_kit import EVERY_STEP

    from local_stack.marked_yaml import load

    return {
        "dataset": "odd",
        "target": "y",
        "task": "regression",
        "split": {"test": 0.25, "seed": 2, "folds": 3},
        "features": load(EVERY_STEP)[0],
        "params": {"n_estimators": 2, "num_threads": 1},
    }


def parts(frame: pl.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows learnt from and held out: of each fold, then of the training itself."""
    split = Split(test=0.25, seed=2, folds=3)
    keys = keys_of(frame, split, None)
    train, test = hold_out(keys, split.test, split.seed)
    for learnt, held in folds(keys.take(train), 3, split.seed):
        yield train[learnt], train[held]
    yield train, test


def test_each_fold_is_fitted_to_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(500)
    states = fitted_states(monkeypatch, full_recipe(), frame)
    assert len(states) == 4
    for (values, state, matrix), (learnt, _) in zip(states, parts(frame), strict=True):
        alone = fit_features(
            frame[learnt].drop("y"),
            "y",
            every_step(),
            native_strings=True,
            accepts_missing=True,
            labels=Labels(frame["y"].to_numpy()[learnt], (), Keys(len(learnt)), 2),
        )
        assert values == frame["y"].to_numpy()[learnt].tolist()
        assert json.dumps(alone.preparation.to_dict()) == state
        assert same_bits(alone.matrix, matrix)


def test_held_out_rows_and_targets_change_no_bit_of_what_is_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = table(500)
    states = fitted_states(monkeypatch, full_recipe(), frame)
    other = table(500, seed=77)
    for number, (_, held) in enumerate(parts(frame)):
        is_held = np.zeros(frame.height, dtype=bool)
        is_held[held] = True
        mixed = pl.concat(
            [
                frame.with_row_index("at").filter(~is_held),
                other.with_row_index("at").filter(is_held).with_columns(y=pl.col("y") * 100),
            ]
        )
        changed = fitted_states(monkeypatch, full_recipe(), mixed.sort("at").drop("at"))
        assert changed[number][1] == states[number][1]
        assert same_bits(changed[number][2], states[number][2])
        is_fold = number < 3  # whose held rows the other fits learn from
        assert is_fold == any(a[1] != b[1] for a, b in zip(changed, states, strict=True))


def test_out_of_fold_values_do_not_know_their_own_fold() -> None:
    frame = table(800)
    step = EncodeStep(("city",), "target", folds=4)

    def encoded(y: np.ndarray) -> np.ndarray:
        return fit_features(
            frame.select("city"), "y", [step], native_strings=True, labels=Labels(y, seed=9)
        ).matrix[:, 0]

    y = frame["y"].to_numpy()
    before = encoded(y)
    for _, held in folds(Keys(800), 4, 9):
        changed = y.copy()
        changed[held] = -1e6
        after = encoded(changed)
        assert same_bits(after[held], before[held])
        assert not same_bits(after, before)


@pytest.mark.parametrize("key", ["strata", "groups", "times"])
def test_the_folds_are_those_that_the_split_asks_for(key: str) -> None:
    generator = np.random.default_rng(1)
    keys = Keys(600, **{key: np.sort(generator.integers(0, 30, 600))})
    frame = pl.DataFrame({"c": generator.choice(["a", "b", "c"], 600)})
    y = generator.normal(size=600)
    training = fit_features(
        frame,
        "y",
        [EncodeStep(("c",), "target", smooth=0.0)],
        native_strings=True,
        labels=Labels(y, (), keys, 3),
    )
    expected = np.full(600, y.mean())
    for learnt, held in folds(keys, 5, 3):
        means = frame[learnt].with_columns(y=y[learnt]).group_by("c").agg(pl.col("y").mean())
        table_of = dict(means.iter_rows())
        expected[held] = [table_of[c] for c in frame["c"][held]]
    np.testing.assert_allclose(training.matrix[:, 0], expected, rtol=1e-12)


def test_group_aggregates_know_no_target_and_no_other_rows() -> None:
    frame = table(800).select("amt", "region")
    y = table(800)["y"].to_numpy()
    step = GroupStep(("amt",), ("region",), ("mean", "count"))
    states = [
        fit_features(
            frame, "y", [step], native_strings=True, labels=Labels(target)
        ).preparation.to_dict()
        for target in (y, -y)
    ]
    assert states[0] == states[1]


def test_a_step_that_learns_from_nothing_is_the_same_for_all_rows() -> None:
    frame = table(400)
    words = {fits_on(step) for step in every_step()}
    assert words == {"nothing", "rows", "target"}
    tables = [Table(part, ["y"], labels(part)) for part in (frame[:200], frame[200:])]
    for step in every_step():
        before = [len(one.operations) for one in tables]
        for one in tables:
            apply_step(one, step)
        first, second = (o.operations[n:] for o, n in zip(tables, before, strict=True))
        assert first == second or fits_on(step) != "nothing", step
