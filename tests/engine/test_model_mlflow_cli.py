"""A trained model is an ordinary MLflow model: MLflow's own command line predicts with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from local_stack.data import adding
from local_stack.preparation.fitting import raw_columns
from local_stack.runs import train
from local_stack.stores import model_files

SAMPLES = Path(__file__).parents[2] / "sample_data"
HEAD = "dataset: loans\nfeatures:\n  - drop: {columns: [application_date, default_known_at]}\n"
RECIPES = {
    "booster": f"{HEAD}params: {{n_estimators: 20}}\n",
    "calibrated": f"{HEAD}calibrate: sigmoid\nthreshold: {{metric: f1}}\n",
    "pipeline": (
        f"estimator: sklearn.linear_model.LogisticRegression\n{HEAD}"
        "  - impute: {columns: numeric, strategy: median}\n"
        "  - impute: {columns: categorical, strategy: most_frequent}\n"
        "  - encode: {columns: categorical, as: onehot}\n"
        "  - scale: {columns: numeric, method: standard}\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECIPES)
def test_mlflow_models_predict_gives_the_same_predictions(workspace, tmp_path, kind):
    adding.add(workspace, "loans", str(SAMPLES / "loans_2024.csv"), target="default")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPES[kind])
    run = train.train(workspace, recipe)
    (folder,) = (path.parent for path in workspace.root.glob(f"mlruns/*/{run.run_id}/**/MLmodel"))
    model = model_files.load(folder)
    rows = pl.read_csv(SAMPLES / "loans_2024.csv").head(200)
    inputs = rows.select([column.name for column in model.inputs])
    inputs.write_csv(tmp_path / "rows.csv")

    words = [sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local"]
    words += ["-m", str(folder), "-i", str(tmp_path / "rows.csv"), "-t", "csv"]
    done = subprocess.run(
        [*words, "-o", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": str(tmp_path / "elsewhere")},
    )

    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())["predictions"]
    assert (folder / "input_example.json").exists()
    assert found == model.predict(raw_columns(inputs, model.inputs))
    assert len(set(found)) == 2
