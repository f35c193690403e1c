"""What is served is what was learnt from: features through HTTP, and filters in training."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from preparation_kit import EVERY_STEP, every_step, labels, plain, same_bits, table, trained
from serving_kit import register, running
from sklearn.linear_model import LinearRegression

from local_stack import registry
from local_stack.data import adding
from local_stack.errors import InputError
from local_stack.preparation.fitting import fit_preparation, raw_columns
from local_stack.preparation.steps import (
    EncodeStep,
    ExpressionStep,
    SelectStep,
)
from local_stack.runs import records, train
from local_stack.runs.fit import fit
from local_stack.runs.recipe import load_recipe, parse_recipe
from local_stack.serving.app import Endpoint
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.prediction_log import PredictionLog
from local_stack.serving.protocol import parse
from local_stack.stores import model_files
from local_stack.stores.artifacts import Tree
from local_stack.stores.model import Model
from local_stack.workspace import Workspace

MISSING = -123456.5
"""What the model below says of a feature that is missing; no feature has this value."""
_ARMS = 25


def revealing() -> tuple[Model, pl.DataFrame, list[str]]:
    """A model that says the feature whose number is in the column ``which``.

    Its last steps choose one of the features of the recipe with every step; its estimator
    multiplies by one.
    """
    frame, training = trained()
    names = [feature.name for feature in training.preparation.features]
    frame = frame.with_columns(
        which=pl.Series(np.arange(frame.height) % len(names)).cast(pl.Float64)
    )
    parts = []
    for start in range(0, len(names), _ARMS):
        arms = "".join(
            f".when(col('which') == {n}).then(col({names[n]!r}))"
            for n in range(start, min(start + _ARMS, len(names)))
        )
        parts.append((f"reveal{start}", f"pl{arms}"))
    chosen = ", ".join(repr(name) for name, _ in parts)
    last = ("reveal", f"pl.coalesce({chosen}, {MISSING})")
    steps = [*every_step(), EncodeStep(("kind",), "native")]
    steps += [ExpressionStep((*parts, last)), SelectStep(("reveal",))]
    preparation = fit_preparation(
        frame, "y", steps, native_strings=True, accepts_missing=False, labels=labels(frame)
    )
    estimator = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    estimator.coef_, estimator.intercept_ = np.array([1.0]), 0.0
    model = model_files.from_estimator(estimator, preparation, task="regression", target="y")
    return model, frame, names


def bodies(frame: pl.DataFrame, columns: list[str], n_rows: int = 1_000) -> list[bytes]:
    """The rows of a table as requests."""
    found = []
    for start in range(0, frame.height, n_rows):
        rows = [plain(row) for row in frame[start : start + n_rows].select(columns).to_dicts()]
        data = [list(row.values()) for row in rows]
        found.append(json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode())
    return found


def asked(url: str, requests: list[bytes]) -> np.ndarray:
    found: list[float] = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for body in requests:
            answer = client.post(
                "/invocations", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 200, answer.text
            found += answer.json()["predictions"]
    return np.array(found)


def test_an_endpoint_serves_the_features_that_were_learnt_from_bit_for_bit(
    tmp_path: Path,
) -> None:
    model, frame, names = revealing()
    _, training = trained()
    served = training.preparation.compile().matrix(raw_columns(frame, training.preparation.inputs))
    which = frame["which"].cast(pl.Int64).to_numpy()
    expected = served[np.arange(frame.height), which]
    learnt = training.matrix[np.arange(len(training.rows)), which[training.rows]]
    by_target = np.isin(which, [names.index("city"), names.index("zip")])

    with Workspace.create(tmp_path / "w", actor="tester") as workspace:
        register(workspace, "reveal", model)
        with running(workspace, "reveal") as endpoint:
            assert endpoint.url is not None
            found = asked(endpoint.url, bodies(frame, [c.name for c in model.inputs]))
            singles = bodies(frame[:40], [c.name for c in model.inputs], 1)
            np.testing.assert_array_equal(asked(endpoint.url, singles), found[:40])
    found[found == MISSING] = np.nan
    assert len(found) == 10_000
    assert same_bits(found, expected)
    kept = ~by_target[training.rows]
    assert same_bits(found[training.rows][kept], learnt[kept])


def test_the_way_of_a_request_gives_every_feature_of_10000_rows() -> None:
    frame, training = trained()
    preparation = training.preparation
    parts = []
    for body in bodies(frame, [c.name for c in preparation.inputs]):
        asked_for = parse(body, "application/json", preparation.inputs, 1_000)
        checked = preparation.validate(asked_for.columns)
        many = preparation.compile().matrix(checked)
        rows = [
            dict(zip(checked, values, strict=True))
            for values in zip(*checked.values(), strict=True)
        ]
        assert same_bits(np.array([preparation.compile().row(row) for row in rows]), many)
        parts.append(many)
    served = np.concatenate(parts)
    names = [feature.name for feature in preparation.features]
    assert served.shape == (10_000, len(names))
    assert same_bits(served, preparation.compile().matrix(raw_columns(frame, preparation.inputs)))
    fixed = [n for n, name in enumerate(names) if name not in ("city", "zip")]
    assert same_bits(served[training.rows][:, fixed], training.matrix[:, fixed])


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def test_a_run_with_every_step_is_trained_registered_and_served(tmp_path: Path) -> None:
    frame = table(3_000).drop("junk").with_columns(junk=pl.lit("same"))
    frame.write_parquet(tmp_path / "odd.parquet")
    text = (
        "dataset: odd\nsplit: {test: 0.2, seed: 3, folds: 2}\n"
        f"features:\n{indented(EVERY_STEP)}"
        "estimator: lightgbm\nparams: {n_estimators: 15, num_leaves: 15}\n"
    )
    (tmp_path / "recipe.yaml").write_text(text)
    with Workspace.create(tmp_path / "w", actor="tester") as workspace:
        adding.add(workspace, "odd", str(tmp_path / "odd.parquet"), target="y")
        run = train.train(workspace, tmp_path / "recipe.yaml")
        assert run.metrics["cv_r2_mean"] > 0.2
        registry.register(workspace, "odd", run.run_id)
        model = registry.load(workspace, Tree.of(records.find_run(workspace, run.run_id)["model"]))
        columns = [column.name for column in model.inputs]
        with running(workspace, "odd/1") as endpoint:
            assert endpoint.url is not None
            found = asked(endpoint.url, bodies(frame, columns))
            assert (
                asked(endpoint.url, bodies(frame[:30], columns, 1)).tolist() == found[:30].tolist()
            )
    assert found.tolist() == model.predict(raw_columns(frame, model.inputs))
    assert load_recipe(text).to_dict() == parse_recipe(load_recipe(text).to_dict()).to_dict()


async def test_a_value_with_no_feature_is_422_for_a_model_that_takes_none(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 7.0]})
    steps = [ExpressionStep((("r", "(col('a') / col('b')).log()"),)), SelectStep(("r",))]
    preparation = fit_preparation(frame, "y", steps, native_strings=False)
    estimator = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    model = model_files.from_estimator(estimator, preparation, task="regression", target="y")
    with pytest.raises(InputError, match="The feature 'r' of columns 'a', 'b' has no value"):
        model.predict_row({"a": -1.0, "b": 1.0})
    config = EndpointConfig(
        "e", "m", 1, "None", "r", "127.0.0.1", 0, "m", {}, 1000, 1_000_000, 10.0, "tester"
    )
    with contextlib.closing(PredictionLog(tmp_path, "e", 1, lambda sealed: None)) as log:
        transport = httpx.ASGITransport(Endpoint(model, config, log).application())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for rows in ([[1, 0]], [[1, 2], [-1, 1]], [[0, 0]]):
                answer = await client.post("/invocations", json={"instances": rows})
                assert answer.status_code == 422, answer.text
                assert "'r'" in answer.json()["message"]
            answer = await client.post("/invocations", json={"instances": [[1, 1]]})
            assert answer.json()["predictions"] == pytest.approx([0.0], abs=1e-12)


# ------------------------------------------------------------------ training


def recipe(estimator: str, features: list[Any], **more: Any) -> Any:
    value = {"dataset": "t", "target": "y", "features": features, "estimator": estimator}
    return parse_recipe(value | more)


def test_filters_leave_rows_out_of_training_and_none_of_the_test() -> None:
    frame = pl.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0) * 2})
    found = fit(
        recipe(
            "sklearn.linear_model.LinearRegression",
            [{"filter": "col('x') < 50"}],
            task="regression",
        ),
        frame,
    )
    assert len(found.test.rows) == 20
    assert found.n_rows_train == sum(row < 50 for row in range(100) if row not in found.test.rows)
    assert found.metrics["r2"] == pytest.approx(1)


def test_a_class_that_filters_take_away_is_no_class() -> None:
    frame = pl.DataFrame({"x": np.arange(90.0), "y": ["a", "b", "c"] * 30, "n": [0, 1, 2] * 30})
    for estimator in ("lightgbm", "sklearn.linear_model.LogisticRegression"):
        model = fit(recipe(estimator, [{"filter": "col('n') != 1"}]), frame).model
        assert model.classes == ("a", "c")
    with pytest.raises(InputError, match="leave one class of 'y' only"):
        fit(recipe("lightgbm", [{"filter": "col('n') == 1"}]), frame)
