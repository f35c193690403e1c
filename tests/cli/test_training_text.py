"""A finished training as text: all of it within the terminal, names from outside made safe."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.cells import cell_len

from local_stack.runs.evaluating import evaluate
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from paceml_tui.evaluations import drawn
from paceml_tui.printing_training import lines

HOSTILE = "[red]a$\x1b[31m\u202e" + "long" * 30


def trained(target: str, **keys: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    n = 500
    size, kind = generator.normal(size=n), generator.choice(["red", HOSTILE], n)
    frame = pl.DataFrame(
        {
            HOSTILE: size,
            "kind": kind,
            "good": np.where(size + generator.normal(size=n) > 0, HOSTILE, "no"),
            "price": 1000 * size + np.exp(generator.normal(size=n) + 2 * (kind == "red")),
        }
    )
    (other,) = {"good", "price"} - {target}
    plan = {
        "dataset": "beans",
        "target": target,
        "features": [{"drop": {"columns": [other]}}],
        "params": {"num_threads": 1, "n_estimators": 30},
        "slices": ["kind", HOSTILE],
        **keys,
    }
    recipe = parse_recipe(plan)
    fitted = fit(recipe, frame)
    found = evaluate(recipe, fitted, frame)
    return {
        "run_id": "0123456789abcdef" * 2,
        "name": HOSTILE,
        "experiment": HOSTILE,
        "metrics": {**found.metrics, **fitted.metrics},
        "data_version": "beans@0123456789abcdef",
        "warnings": [*found.warnings, "The mirror is down."],
        "seconds": 1.0,
        "cost": {"wall_seconds": 2.0, "peak_memory_bytes": 3e8},
        "evaluation": found.to_dict(),
    }


@pytest.fixture(scope="module")
def classifier() -> dict[str, Any]:
    split = {"folds": 3}
    return trained("good", split=split, calibrate="sigmoid", metrics=["balanced_accuracy"])


@pytest.fixture(scope="module")
def regressor() -> dict[str, Any]:
    return trained("price")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_every_line_fits_and_nothing_steers_the_terminal(
    columns: int, is_ascii: bool, classifier: Any, regressor: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("PACEML_ASCII", "1" if is_ascii else "")
    for found in (classifier, regressor):
        document = found["evaluation"]
        for line in drawn(document, columns):
            assert cell_len(line.plain) <= columns, line.plain
        shown = "\n".join(lines(found))
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        if is_ascii:
            ours = shown.replace("␛", "")
            assert ours.isascii(), [it for it in ours if not it.isascii()][:5]


def test_the_model_stands_beside_plain_models_with_its_checks(classifier: Any) -> None:
    shown = list(lines(classifier))
    (titles,) = [it for it in shown if it.startswith("metric (")]
    assert titles.split()[4:] == ["model", "95%", "interval", "dummy", "linear", "train"]
    row, _ = [it for it in shown if it.startswith("roc_auc ")]
    value = classifier["metrics"]["roc_auc"]
    assert f"{value:.4f}" in row
    assert "0.5000" in row
    assert any(it.startswith("cross-validated") for it in shown)
    assert not any("baseline_" in it or "cv_" in it for it in shown)
    assert shown.count("Warning: The mirror is down.") == 1
    text = "\n".join(shown)
    for word in ("ROC", "Precision", "Calibration", "before calibration", "Confusion"):
        assert word in text
    for it in classifier["evaluation"]["details"]["checks"]:
        assert it["message"].split("'")[0][:30] in text.replace("\n  ", " ")


def test_a_regression_shows_its_residuals(regressor: Any) -> None:
    text = "\n".join(lines(regressor))
    for word in ("Truth minus prediction", "Residuals", "Importance", "Learning curve", "slice"):
        assert word in text
    assert "ROC:" not in text


def test_a_run_without_an_evaluation_is_shown(regressor: Any) -> None:
    shown = list(lines({**regressor, "evaluation": {}, "metrics": {"rmse": 1.5}}))
    assert any(it.split() == ["rmse", "1.500"] for it in shown)
    assert drawn({}, 80) == []
