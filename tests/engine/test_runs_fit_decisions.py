"""Calibration, thresholds and quantiles: learnt out of fold, kept and served in the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_kit import rehashed
from sklearn import metrics as reference
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.naive_bayes import GaussianNB

from local_stack.errors import DamagedError, InputError
from local_stack.evaluation.split import folds, hold_out, keys_of
from local_stack.preparation.fitting import raw_columns
from local_stack.runs.fit import Fitted, fit
from local_stack.runs.recipe import Recipe, parse_recipe
from local_stack.stores import model_files
from local_stack.stores.model import Model

BOOSTER = {"n_estimators": 15, "num_leaves": 7}
NAIVE = "sklearn.naive_bayes.GaussianNB"


def table(n_rows: int = 500) -> pl.DataFrame:
    generator = np.random.default_rng(11)
    a, b = generator.normal(size=(2, n_rows))
    y = a + b**2 + generator.normal(scale=0.8, size=n_rows)
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "w": generator.integers(1, 4, n_rows),
            "y": y,
            "label": np.where(y > 2.2, "yes", "no"),
            "grade": np.digitize(y, [0, 2]),
        }
    )


def recipe(target: str = "label", estimator: str = "lightgbm", **more: Any) -> Recipe:
    dropped = [c for c in ("w", "y", "label", "grade") if c not in (target, more.get("weights"))]
    value = {
        "dataset": "t",
        "target": target,
        "task": "regression" if target == "y" else "classification",
        "features": [{"drop": {"columns": dropped}}],
        "params": BOOSTER if estimator == "lightgbm" else {},
        "estimator": estimator,
    }
    return parse_recipe(value | more, check=True)


def features(frame: pl.DataFrame) -> np.ndarray:
    return frame[["a", "b"]].to_numpy()


# Calibration -------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "tolerance"), [("isotonic", 1e-12), ("sigmoid", 1e-6)])
@pytest.mark.parametrize("target", ["label", "grade"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_calibrated_probabilities_are_those_of_sklearn(
    target: str, method: str, tolerance: float, weights: str | None
) -> None:
    frame = table()
    chosen = recipe(target, NAIVE, calibrate={"method": method, "folds": 4}, weights=weights)
    found = fit(chosen, frame)
    train_rows, test_rows = hold_out(keys_of(frame, chosen.split, None), 0.2, 0)
    train = frame[train_rows]
    parts = list(folds(keys_of(train, chosen.split, None), 4, 0))
    by_hand = CalibratedClassifierCV(GaussianNB(), method=method, cv=parts, ensemble=False)
    weight = None if weights is None else train["w"].to_numpy()
    by_hand.fit(features(train), train[target].to_numpy(), sample_weight=weight)
    expected = by_hand.predict_proba(features(frame[test_rows]))

    assert found.test.probability is not None
    np.testing.assert_allclose(found.test.probability, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found.test.predicted, found.test.probability.argmax(axis=1))
    assert found.test.uncalibrated is not None
    assert np.abs(found.test.uncalibrated - expected).max() > 0.01
    assert found.folds == ()
    assert found.out_of_fold is not None


def test_calibration_undoes_what_class_weights_do_to_probabilities() -> None:
    frame = table(2_000)
    skewed = recipe(class_weight={"yes": 8})
    plain, calibrated = (
        fit(one, frame) for one in (skewed, recipe(class_weight={"yes": 8}, calibrate="isotonic"))
    )

    rate = float((frame["label"] == "yes").mean())
    means = [
        it.test.probability[:, 1].mean()
        for it in (plain, calibrated)
        if it.test.probability is not None
    ]
    assert abs(means[0] - rate) > 0.1
    assert abs(means[1] - rate) < 0.03
    assert calibrated.metrics["brier"] < plain.metrics["brier"]


def test_a_fold_is_judged_by_what_the_other_folds_say() -> None:
    frame = table()
    chosen = recipe(estimator=NAIVE, calibrate="isotonic", threshold={"metric": "f1"})
    value = chosen.to_dict()
    value["split"]["folds"] = 5
    found = fit(parse_recipe(value), frame)
    held = found.out_of_fold
    assert held is not None
    assert held.uncalibrated is not None
    assert held.probability is not None
    keys = keys_of(frame[held.rows], parse_recipe(value).split, None)
    for (learnt, judged), score in zip(folds(keys, 5, 0), found.folds, strict=True):
        line = IsotonicRegression(out_of_bounds="clip")
        line.fit(held.uncalibrated[learnt, 1], held.truth[learnt])
        expected = line.predict(held.uncalibrated[judged, 1])
        np.testing.assert_allclose(held.probability[judged, 1], expected, atol=1e-12)
        assert score.metrics["brier"] == pytest.approx(
            reference.brier_score_loss(held.truth[judged], expected), rel=1e-9
        )


# Thresholds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [{"metric": "f1"}, {"costs": {"false_positive": 1, "false_negative": 6}}]
)
def test_the_threshold_is_the_best_one_out_of_fold(rule: dict[str, Any]) -> None:
    frame = table()
    found = fit(recipe(threshold=rule), frame)
    held, threshold = found.out_of_fold, found.model.record.threshold
    raw = fit(recipe(split={"folds": 5}), frame).out_of_fold
    assert held is not None
    assert raw is not None
    assert raw.probability is not None
    assert threshold is not None
    score = raw.probability[:, 1]

    def worth(cut: float) -> float:
        said = (score >= cut).astype(int)
        if "metric" in rule:
            return float(reference.f1_score(raw.truth, said))
        wrong_yes, wrong_no = (said > raw.truth).sum(), (said < raw.truth).sum()
        return -float(wrong_yes + 6 * wrong_no)

    best = max(worth(cut) for cut in [*np.unique(score).tolist(), 1.1])
    assert worth(threshold) == pytest.approx(best, rel=1e-12)
    assert worth(threshold) > worth(0.5)
    assert found.test.probability is not None
    np.testing.assert_array_equal(
        found.test.predicted, (found.test.probability[:, 1] >= threshold).astype(int)
    )


def test_a_fixed_threshold_needs_no_folds_and_decides_every_fold() -> None:
    frame = table()
    steps: list[str] = []
    found = fit(recipe(threshold=0.2), frame, progress=lambda step: steps.append(step.label))
    assert not any("old" in label for label in steps)
    assert found.out_of_fold is None
    assert found.model.record.threshold == 0.2

    folded = fit(recipe(threshold=0.2, split={"folds": 3}), frame)
    held = folded.out_of_fold
    assert held is not None
    assert held.probability is not None
    np.testing.assert_array_equal(held.predicted, held.probability[:, 1] >= 0.2)


def test_folds_by_time_are_decided_by_earlier_ones() -> None:
    frame = table().with_columns(t=pl.int_range(500))
    chosen = recipe(calibrate="sigmoid", split={"time": "t", "folds": 3})
    held = fit(chosen, frame).out_of_fold
    assert held is not None
    assert held.uncalibrated is not None
    assert held.probability is not None
    is_first = np.arange(len(held.rows)) < len(held.rows) // 3
    is_same = (held.uncalibrated == held.probability).all(axis=1)

    assert is_same[is_first].all()
    assert not is_same[~is_first].any()


# Quantiles ---------------------------------------------------------------------------------


def test_quantiles_are_those_of_lightgbm_in_order() -> None:
    frame = table(2_000)
    found = fit(recipe("y", quantiles=[0.9, 0.1, 0.5]), frame)
    rows = np.setdiff1d(np.arange(2_000), found.test.rows)
    expected = []
    for level in (0.1, 0.5, 0.9):
        params = BOOSTER | {"objective": "quantile", "alpha": level, "verbosity": -1}
        params |= {"deterministic": True, "force_row_wise": True, "seed": 0}
        data = lightgbm.Dataset(features(frame[rows]), frame["y"].to_numpy()[rows])
        booster = lightgbm.train(params, data)
        expected.append(booster.predict(features(frame[found.test.rows])))
    assert found.test.quantiles is not None

    assert found.model.record.quantiles == (0.1, 0.5, 0.9)
    np.testing.assert_array_equal(found.test.quantiles, np.sort(np.column_stack(expected), axis=1))
    assert (np.diff(found.test.quantiles, axis=1) >= 0).all()
    for place, level in enumerate((0.1, 0.5, 0.9)):
        predicted = found.test.quantiles[:, place]
        assert found.metrics[f"pinball_q{level}"] == pytest.approx(
            reference.mean_pinball_loss(found.test.truth, predicted, alpha=level), rel=1e-12
        )
        assert found.metrics[f"below_q{level}"] == pytest.approx(level, abs=0.08)
    np.testing.assert_array_equal(fit(recipe("y"), frame).test.predicted, found.test.predicted)


def test_only_a_model_with_quantiles_has_them() -> None:
    model = fit(recipe("y"), table()).model
    with pytest.raises(InputError, match="predicts no quantiles"):
        model.predict_quantiles({"a": [1.0], "b": [2.0]})


# In the model ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> dict[str, Fitted]:
    costs = {"false_positive": 1, "false_negative": 9}
    decided = {"calibrate": "isotonic", "threshold": {"costs": costs}}
    logistic = "sklearn.linear_model.LogisticRegression"
    frame = table()
    return {
        "plain": fit(recipe(), frame),
        "threshold": fit(recipe(threshold=0.3), frame),
        "both": fit(recipe(**decided), frame),
        "many": fit(recipe("grade", calibrate="sigmoid"), frame),
        "naive": fit(recipe("grade", NAIVE, calibrate="isotonic"), frame),
        "logistic": fit(recipe(estimator=logistic, threshold=0.3), frame),
        "quantiles": fit(recipe("y", quantiles=[0.05, 0.95]), frame),
    }


NAMES = ("plain", "threshold", "both", "many", "naive", "logistic", "quantiles")


def columns_of(model: Model) -> dict[str, Any]:
    return raw_columns(table(), model.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_decided_model_comes_back_the_same(
    trained: dict[str, Fitted], name: str, tmp_path: Path
) -> None:
    model = trained[name].model
    hashes = model_files.save(model, tmp_path / "m", run_id="r")
    found = model_files.load(tmp_path / "m", hashes)
    columns = columns_of(model)

    assert found.record == model.record
    assert found.predict(columns) == model.predict(columns)
    assert json.loads((tmp_path / "m" / "preparation.json").read_text())["format"] == (
        1 if name == "plain" else 2
    )
    if name == "quantiles":
        assert found.predict_quantiles(columns) == model.predict_quantiles(columns)
        assert {"model_q0.05.lgb", "model_q0.95.lgb"} < set(hashes)
    else:
        assert found.predict_proba(columns) == model.predict_proba(columns)
    assert model_files.save(found, tmp_path / "again", run_id="r") == hashes
    model_files.load(tmp_path / "m")  # as MLflow does, without the hashes


@pytest.mark.parametrize("name", NAMES)
def test_one_row_is_decided_as_many_are(trained: dict[str, Fitted], name: str) -> None:
    model = trained[name].model
    one = [model.predict_row(row) for row in table().to_dicts()]

    assert one == model.predict(columns_of(model))
    if name in ("threshold", "both", "logistic"):
        by_most = np.array(model.predict_proba(columns_of(model))).argmax(axis=1)
        assert one != [model.classes[place] for place in by_most.tolist()]


def test_pyfunc_and_pipeline_decide_as_the_model_does(
    trained: dict[str, Fitted], tmp_path: Path
) -> None:
    frame = table()
    for name in ("both", "naive"):
        model = trained[name].model
        model_files.save(model, tmp_path / name, run_id="r")
        found = model_files._load_pyfunc(str(tmp_path / name)).predict(frame.to_pandas())
        assert np.asarray(found).tolist() == model.predict(columns_of(model))
        pipeline = model.pipeline()
        assert pipeline.predict(frame).tolist() == model.predict(columns_of(model))
        assert pipeline.predict_proba(frame).tolist() == model.predict_proba(columns_of(model))


def test_pyfunc_gives_quantiles_beside_the_prediction(
    trained: dict[str, Fitted], tmp_path: Path
) -> None:
    model = trained["quantiles"].model
    model_files.save(model, tmp_path / "m", run_id="r")
    found = model_files._load_pyfunc(str(tmp_path / "m")).predict(table().to_pandas())

    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == ["prediction", "quantile_0.05", "quantile_0.95"]
    assert found["prediction"].tolist() == model.predict(columns_of(model))
    assert found.iloc[:, 1:].to_numpy().tolist() == model.predict_quantiles(columns_of(model))
    outputs = json.loads(model_files.signature(model)["outputs"] or "")
    assert [column["name"] for column in outputs] == list(found.columns)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("both", {"threshold": 1.5}),
        ("both", {"threshold": "0.5"}),
        ("both", {"threshold": True}),
        ("both", {"format": 3}),
        ("both", {"format": True}),
        ("both", {"calibration": {"method": "isotonic", "maps": []}}),
        ("both", {"calibration": {"method": "other", "maps": [[[0.0], [1.0]]]}}),
        ("both", {"calibration": [1]}),
        ("both", {"quantiles": [0.5]}),
        ("both", {"quantiles": None}),
        ("many", {"threshold": 0.5}),
        ("many", {"calibration": {"method": "sigmoid", "maps": [[[1.0], [0.0]]]}}),
        ("quantiles", {"quantiles": [0.95, 0.05]}),
        ("quantiles", {"quantiles": [0.05]}),
        ("quantiles", {"quantiles": [0.05, 0.5, 0.95]}),
        ("quantiles", {"quantiles": ["0.05", "../x"]}),
        ("quantiles", {"calibration": {"method": "sigmoid", "maps": [[[1.0], [0.0]]]}}),
        ("quantiles", {"threshold": 0.5}),
    ],
)
def test_decisions_that_cannot_be_are_damage(
    trained: dict[str, Fitted], name: str, change: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    model_files.save(trained[name].model, folder, run_id="r")
    path = folder / "preparation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(DamagedError):
        model_files.load(folder, rehashed(folder))


def test_the_boosters_of_quantiles_are_checked_as_every_booster(
    trained: dict[str, Fitted], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    hashes = model_files.save(trained["quantiles"].model, folder, run_id="r")
    part = folder / "model_q0.05.lgb"
    whole = part.read_bytes()
    for wrong, words in (
        (whole.replace(b"split_feature=", b"split_feature=9", 1), "not there"),
        (b"\x80\x04" + whole, "is a pickle"),
        (b"", "cannot be read|version 4"),
    ):
        part.write_bytes(wrong)
        with pytest.raises(DamagedError, match="not the one that was written"):
            model_files.load(folder, hashes)
        with pytest.raises(DamagedError, match=words):
            model_files.load(folder, rehashed(folder))
    part.unlink()
    with pytest.raises(DamagedError):
        model_files.load(folder, rehashed(folder))
    part.write_bytes(whole)
    (folder / "model_q0.5.lgb").write_bytes(whole)
    with pytest.raises(DamagedError, match="quantiles that its record does not name"):
        model_files.load(folder, rehashed(folder))


def test_an_estimator_without_probabilities_cannot_be_decided(tmp_path: Path) -> None:
    ridge = fit(recipe(estimator="sklearn.linear_model.RidgeClassifier"), table()).model
    model_files.save(ridge.deciding(None, 0.4), tmp_path / "m", run_id="r")

    with pytest.raises(DamagedError, match="probabilities that its estimator does not give"):
        model_files.load(tmp_path / "m")


def test_a_gaussian_process_of_pairs_of_classes_has_no_probabilities() -> None:
    path = "sklearn.gaussian_process.GaussianProcessClassifier"
    asked = {"estimator": path, "params": {"multi_class": "one_vs_one"}}
    assert not fit(recipe("grade", **asked), table(60)).model.has_probabilities
    with pytest.raises(InputError, match="gives no probabilities with such params"):
        fit(recipe("grade", calibrate="sigmoid", **asked), table(60))


def test_the_same_recipe_gives_the_same_decisions_whatever_the_threads() -> None:
    chosen = recipe(calibrate="isotonic", threshold={"metric": "f1"}, split={"folds": 3})
    one, two = (fit(chosen, table(), threads=n) for n in (1, 2))

    assert one.model.record == two.model.record
    assert one.metrics == two.metrics
    wide = recipe("y", quantiles=[0.1], early_stopping=3)
    one, two = (fit(wide, table(), threads=n) for n in (1, 2))
    assert [it for _, it in one.model.parts] == [it for _, it in two.model.parts]
