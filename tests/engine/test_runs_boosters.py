"""Boosters of XGBoost and CatBoost as a recipe trains them, against the libraries alone."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost

from local_stack.errors import Cancelled, InputError
from local_stack.evaluation.split import hold_out, keys_of
from local_stack.progress import Step
from local_stack.runs.estimators import parameter_names
from local_stack.runs.fit import Fitted, fit
from local_stack.runs.recipe import Recipe, parse_recipe

BOTH = ("xgboost", "catboost")
PARAMS = {
    "xgboost": {"n_estimators": 20, "max_depth": 4, "subsample": 0.7},
    "catboost": {"iterations": 20, "depth": 4, "bootstrap_type": "Bernoulli", "subsample": 0.7},
}
LOSSES = {"y": "RMSE", "label": "Logloss", "grade": "MultiClass"}
OBJECTIVES = {"y": "reg:squarederror", "label": "binary:logistic", "grade": "multi:softprob"}
METRICS = {"y": "rmse", "label": "log_loss"}


@functools.cache
def table(n_rows: int = 400) -> pl.DataFrame:
    draw = np.random.default_rng(5)
    a, b = draw.normal(size=(2, n_rows))
    word = draw.choice(["s", "t", "u"], n_rows)
    y = a + np.sin(3 * b) + (word == "t") + draw.normal(scale=0.5, size=n_rows)
    a[::7] = np.nan
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "word": [None if i % 11 == 3 else str(w) for i, w in enumerate(word)],
            "w": draw.integers(1, 4, n_rows) / 2,
            "y": y,
            "label": np.where(y > 1.0, "yes", "no"),
            "grade": np.digitize(y, [-1, 0, 1]),
        }
    ).with_columns(pl.col("a").fill_nan(None))


def recipe(estimator: str, target: str = "y", **more: Any) -> Recipe:
    dropped = [c for c in ("y", "label", "grade", "w") if c not in (target, more.get("weights"))]
    value = {
        "dataset": "t",
        "target": target,
        "task": "regression" if target == "y" else "classification",
        "features": [{"drop": {"columns": dropped}}],
        "estimator": estimator,
        "params": PARAMS[estimator],
    }
    return parse_recipe(value | more, check=True)


def sides(found: Fitted) -> tuple[np.ndarray, np.ndarray]:
    rows = np.setdiff1d(np.arange(table().height), found.test.rows)
    return rows, found.test.rows


def truth(target: str) -> np.ndarray:
    values = table()[target].to_numpy()
    return (values == "yes").astype(int) if target == "label" else values


def codes() -> np.ndarray:
    order = {"s": 0.0, "t": 1.0, "u": 2.0}
    return np.array([order.get(word, np.nan) for word in table()["word"].to_list()])


def xgboost_data(rows: np.ndarray, target: str, weight: np.ndarray | None = None) -> Any:
    matrix = np.column_stack([table()["a"].to_numpy(), table()["b"].to_numpy(), codes()])[rows]
    return xgboost.DMatrix(
        matrix,
        truth(target)[rows],
        weight=None if weight is None else weight[rows],
        feature_types=["q", "q", "c"],
        enable_categorical=True,
    )


def catboost_data(rows: np.ndarray, target: str, weight: np.ndarray | None = None) -> Any:
    columns = {"a": table()["a"].to_numpy(), "b": table()["b"].to_numpy()}
    columns["word"] = np.nan_to_num(codes(), nan=-1).astype(int)
    return catboost.Pool(
        pd.DataFrame(columns).iloc[rows],
        truth(target)[rows],
        weight=None if weight is None else weight[rows],
        cat_features=["word"],
    )


ONE_THREAD = {"nthread": 1, "seed": 0}
QUIET = {"random_seed": 0, "allow_writing_files": False, "logging_level": "Silent"}


def by_hand(estimator: str, target: str, train: np.ndarray, test: np.ndarray, **more: Any) -> Any:
    """Return what the library says of the test rows."""
    weight = more.pop("weight", None)
    if estimator == "xgboost":
        params = {**PARAMS["xgboost"], "objective": OBJECTIVES[target], **ONE_THREAD, **more}
        n_rounds = params.pop("n_estimators")
        if target == "grade":
            params["num_class"] = 4
        booster = xgboost.train(params, xgboost_data(train, target, weight), n_rounds)
        return booster.predict(xgboost_data(test, target))
    params = {**PARAMS["catboost"], "loss_function": LOSSES[target], **QUIET, **more}
    model = catboost.CatBoost(params).fit(catboost_data(train, target, weight))
    kind = "RawFormulaVal" if target == "y" else "Probability"
    found = model.predict(catboost_data(test, target), prediction_type=kind)
    return found[:, 1] if target == "label" else found


# Numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["y", "label", "grade"])
@pytest.mark.parametrize("estimator", BOTH)
def test_predictions_are_those_of_the_library(estimator: str, target: str) -> None:
    found = fit(recipe(estimator, target, weights="w"), table())
    train, test = sides(found)
    expected = by_hand(estimator, target, train, test, weight=table()["w"].to_numpy())

    assert [(f.name, f.n_categories) for f in found.model.features] == [
        ("a", 0),
        ("b", 0),
        ("word", 3),
    ]
    if target == "y":
        shown = found.test.predicted
    else:
        assert found.test.probability is not None
        shown = found.test.probability
        shown = shown[:, 1] if target == "label" else shown
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if estimator == "catboost" else {"rtol": 0}
    np.testing.assert_allclose(shown, np.asarray(expected, dtype=float), **tolerance)
    assert not found.warnings


@pytest.mark.parametrize("estimator", BOTH)
def test_a_row_is_answered_as_a_table_is(estimator: str) -> None:
    frame = table()
    columns = {name: frame[name].to_list()[:40] for name in ("a", "b", "word")}
    columns["word"][5] = "never seen"
    for target in ("y", "label", "grade"):
        model = fit(recipe(estimator, target), frame).model
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        found = [model.predict_row(row) for row in rows]
        if target == "y":
            np.testing.assert_allclose(found, model.predict(columns), rtol=1e-12)
        else:
            assert found == model.predict(columns)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("target", ["y", "grade"])
def test_the_number_of_threads_does_not_change_a_byte(estimator: str, target: str) -> None:
    draw = np.random.default_rng(2)
    frame = pl.DataFrame(draw.normal(size=(12_000, 10)), schema=list("abcdefghij"))
    noise = draw.normal(size=frame.height) * 10 ** draw.uniform(-6, 1, frame.height)
    value = frame["a"].to_numpy() * frame["b"].to_numpy() + noise
    frame = frame.with_columns(
        word=pl.Series(draw.choice(list("stuvw"), frame.height)),
        **{target: value if target == "y" else np.digitize(value, [-1, 0, 1])},
    )
    chosen = {"dataset": "t", "target": target, "estimator": estimator, "early_stopping": 5}
    recipe = parse_recipe(chosen | {"params": PARAMS[estimator]})
    one, two, again = (fit(recipe, frame, threads=n) for n in (1, 2, 2))

    assert one.model.content == two.model.content == again.model.content
    assert one.metrics == two.metrics
    assert one.curve == two.curve


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("target", ["y", "label"])
def test_early_stopping_is_that_of_the_library(estimator: str, target: str) -> None:
    params = PARAMS[estimator] | {"learning_rate": 0.3}
    params |= {"n_estimators": 300} if estimator == "xgboost" else {"iterations": 300}
    more = {"params": params, "split": {"test": 0}}
    chosen = recipe(estimator, target, early_stopping={"rounds": 5, "share": 0.25}, **more)
    found = fit(chosen, table())
    learnt, held = hold_out(keys_of(table(), chosen.split, None), 0.25, chosen.split.seed + 1)
    if estimator == "xgboost":
        record: dict[str, Any] = {}
        booster = xgboost.train(
            {k: v for k, v in params.items() if k != "n_estimators"}
            | {"objective": OBJECTIVES[target], **ONE_THREAD},
            xgboost_data(learnt, target),
            300,
            evals=[(xgboost_data(held, target), "held")],
            early_stopping_rounds=5,
            evals_result=record,
            verbose_eval=False,
        )
        best, (values,) = booster.best_iteration + 1, record["held"].values()
        n_kept = found.model.estimator.num_boosted_rounds()
    else:
        model = catboost.CatBoost({**params, "loss_function": LOSSES[target], **QUIET})
        model.fit(
            catboost_data(learnt, target),
            eval_set=catboost_data(held, target),
            early_stopping_rounds=5,
            use_best_model=True,
        )
        best, values = model.tree_count_, model.get_evals_result()["validation"][LOSSES[target]]
        n_kept = found.model.estimator.tree_count_

    assert found.curve is not None
    assert found.curve.metric == METRICS[target]
    assert found.curve.best == best == n_kept == int(np.argmin(values)) + 1 < 295
    assert list(found.curve.values) == values

    again = {"rounds": 5, "share": 0.25, "refit": True}
    whole = fit(recipe(estimator, target, early_stopping=again, **more), table())
    assert whole.curve == found.curve
    rate = found.params["learning_rate"]
    rounds = {"n_estimators" if estimator == "xgboost" else "iterations": best}
    plain = fit(recipe(estimator, target, params=params | rounds, split={"test": 0}), table())
    assert rate == 0.3
    assert (
        whole.model.content.partition(b"model_info")[0]
        == (plain.model.content.partition(b"model_info")[0])
    )


@pytest.mark.parametrize("estimator", BOTH)
def test_predictions_are_monotone_where_asked(estimator: str) -> None:
    free = fit(recipe(estimator), table()).model
    bound = fit(recipe(estimator, monotone={"b": "increasing"}), table()).model
    grid = np.column_stack([np.zeros(61), np.linspace(-3, 3, 61), np.ones(61)])

    assert (np.diff(free.outputs(grid)) < 0).any()
    assert (np.diff(bound.outputs(grid)) >= 0).all()


@pytest.mark.parametrize("estimator", BOTH)
def test_class_weights_calibration_and_threshold_work_on_its_probabilities(estimator: str) -> None:
    frame = table()
    weighed = fit(recipe(estimator, "label", class_weight={"yes": 4}), frame)
    train, test = sides(weighed)
    weight = np.where(truth("label") == 1, 4.0, 1.0)
    expected = by_hand(estimator, "label", train, test, weight=weight)
    assert weighed.test.probability is not None
    np.testing.assert_allclose(weighed.test.probability[:, 1], expected, rtol=1e-12)

    more = {"calibrate": {"method": "sigmoid", "folds": 3}, "threshold": {"metric": "f1"}}
    found = fit(recipe(estimator, "label", **more), frame)
    held = found.test
    assert held.probability is not None
    assert held.uncalibrated is not None
    calibration, threshold = found.model.record.calibration, found.model.record.threshold
    assert calibration is not None
    np.testing.assert_array_equal(held.probability, calibration.apply(held.uncalibrated))
    np.testing.assert_array_equal(held.predicted, held.probability[:, 1] >= threshold)
    assert not np.allclose(held.probability, held.uncalibrated, atol=1e-3)


@pytest.mark.parametrize("estimator", BOTH)
def test_quantiles_are_those_of_the_library(estimator: str) -> None:
    found = fit(recipe(estimator, quantiles=[0.1, 0.9]), table())
    train, test = sides(found)
    expected = [
        by_hand(estimator, "y", train, test, objective="reg:quantileerror", quantile_alpha=level)
        if estimator == "xgboost"
        else by_hand(estimator, "y", train, test, loss_function=f"Quantile:alpha={level}")
        for level in (0.1, 0.9)
    ]
    assert found.test.quantiles is not None
    ordered = np.sort(np.column_stack(expected), axis=1).astype(float)
    np.testing.assert_allclose(found.test.quantiles, ordered, rtol=1e-12)
    assert 0.6 < (found.test.quantiles[:, 1] > found.test.truth).mean() <= 1


# Progress and records ----------------------------------------------------------------------


@pytest.mark.parametrize("estimator", BOTH)
def test_each_round_is_told_and_may_be_the_last(estimator: str) -> None:
    told: list[Step] = []
    more = {"early_stopping": 50, "params": {"n_estimators": 12, "learning_rate": 0.1}}
    fit(recipe(estimator, "label", **more), table(), progress=told.append)
    rounds = [step for step in told if step.label == "Training" and step.total]
    assert [(step.done, step.total) for step in rounds] == [(n, 12) for n in range(1, 13)]
    assert all(0 < step.figures["log_loss"] < 1 for step in rounds)

    seen = []

    def stop(step: Step) -> None:
        if step.total == 12:
            seen.append(step.done)
            if step.done == 3:
                raise Cancelled("Enough.", "")

    with pytest.raises(Cancelled, match="Enough"):
        fit(recipe(estimator, "label", **more), table(), progress=stop)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("estimator", BOTH)
def test_a_run_shows_what_was_in_force(
    estimator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = fit(recipe(estimator, "label", params={}), table())
    assert found.params["model"] == estimator
    if estimator == "xgboost":
        assert (
            found.params.items()
            >= {
                "n_estimators": 100,
                "learning_rate": 0.05,
                "max_depth": 5,
                "reg_lambda": 1,
                "seed": 0,
                "objective": "binary:logistic",
            }.items()
        )
    else:
        assert (
            found.params.items()
            >= {
                "n_estimators": 1000,
                "depth": 6,
                "l2_leaf_reg": 3,
                "random_seed": 0,
                "loss_function": "Logloss",
            }.items()
        )
        assert 0 < found.params["learning_rate"] < 0.1  # CatBoost's own choice for these rows
    assert list(found.feature_importance) == ["a", "b", "word"]
    assert min(found.feature_importance.values()) > 0
    assert list(tmp_path.iterdir()) == []


def test_what_catboost_warns_of_is_a_note_of_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    found = fit(recipe("catboost", params={"iterations": 3, "learning_rate": 2}), table())
    (note,) = found.warnings
    assert note.startswith("UserWarning: learning rate is greater than 1.")
    assert capfd.readouterr() == ("", "")


# What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "params", "words"),
    [
        ("xgboost", {"max_dept": 3}, "'max_dept' is not a parameter of xgboost.*'max_depth'"),
        ("xgboost", {"device": "cuda"}, "'device' is not a parameter of xgboost"),
        ("xgboost", {"booster": "gblinear"}, "'booster' is not a parameter"),
        ("xgboost", {"process_type": "update"}, "'process_type' is not a parameter"),
        ("xgboost", {"tree_method": "gpu_hist"}, "tree_method cannot be 'gpu_hist'.*'hist'"),
        ("xgboost", {"objective": "reg:squarederor"}, "objective cannot be.*'reg:squarederror'"),
        ("xgboost", {"eta": 0.1, "learning_rate": 0.2}, "gives learning_rate twice"),
        ("xgboost", {"subsample": 3}, "xgboost cannot be trained so: value 3 for Parameter subs"),
        ("xgboost", {"n_estimators": 1.5}, "'1.5' where a whole number from 1"),
        ("xgboost", {"eval_metric": "nope"}, "cannot be trained so: Unknown metric function nope"),
        ("xgboost", {"learning_rate": 1e38}, "xgboost grew trees that cannot be stored: a leaf"),
        ("catboost", {"dept": 3}, "'dept' is not a parameter of catboost.*'depth'"),
        ("catboost", {"train_dir": "/etc"}, "'train_dir' is not a parameter of catboost"),
        ("catboost", {"task_type": "GPU"}, "'task_type' is not a parameter"),
        ("catboost", {"snapshot_file": "x"}, "'snapshot_file' is not a parameter"),
        ("catboost", {"loss_function": "RMSEE"}, "loss_function cannot be 'RMSEE'.*'RMSE'"),
        ("catboost", {"loss_function": "Quantile:alpha=7"}, "cannot be trained so: Alpha param"),
        ("catboost", {"iterations": 2, "n_estimators": 3}, "gives iterations twice"),
        ("catboost", {"depth": 99}, "catboost cannot be trained so: Maximum tree depth is 16"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    estimator: str, params: dict[str, Any], words: str
) -> None:
    more = {"early_stopping": 5} if "eval_metric" in params else {}
    with pytest.raises(InputError, match=words) as caught:
        fit(recipe(estimator, params=params, task=None, **more), table())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("estimator", BOTH)
def test_no_parameter_reaches_files_other_machines_or_gpus(estimator: str) -> None:
    words = ("file", "dir", "path", "device", "gpu", "snapshot", "host", "task", "verb", "log")
    known = parameter_names(estimator)
    assert [name for name in known if any(word in name for word in words)] == []
    assert {"n_estimators", "learning_rate", "max_depth", "random_state"} <= known


@pytest.mark.parametrize("estimator", BOTH)
def test_a_library_that_is_not_there_is_named(
    estimator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, estimator, None)
    words = f"estimator {estimator} is not installed.*pip install 'paceml-tui.{estimator}.'"
    with pytest.raises(InputError, match=words) as caught:
        recipe(estimator)
    assert caught.value.exit_code == 2


def test_the_class_of_a_library_leads_to_its_word() -> None:
    value = {"dataset": "t", "target": "y", "estimator": "xgboost.XGBRegressor"}
    with pytest.raises(InputError, match=r"XGBRegressor' is not.*Write xgboost\."):
        parse_recipe(value, check=True)
