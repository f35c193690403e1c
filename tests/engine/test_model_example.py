"""The input example of a model: a typical row that is nobody's, in MLflow's layout."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import date, datetime

import polars as pl
import pytest
from model_kit import table, trained_models

from local_stack.errors import DamagedError
from local_stack.preparation.fitted import Column
from local_stack.stores import model_files
from local_stack.stores.model_example import typical

FRAME = pl.DataFrame(
    {
        "x": [3.0, math.nan, 1.0, math.inf, 2.0, None],
        "k": [5, 1, 4, 4, None, 9],
        "word": ["b", "a", "a", "b", "c", None],
        "flag": [True, False, True, None, True, False],
        "day": [date(2024, 1, 3), date(2024, 1, 1), None, date(2024, 1, 2), None, None],
        "at": [datetime(2024, 1, 1, 5), None, None, None, None, None],
        "none": pl.Series([None] * 6, dtype=pl.String),
    }
)


def test_each_value_is_the_middle_or_the_most_frequent_of_its_column():
    columns = [Column(name, "string") for name in FRAME.columns]
    assert typical(FRAME, columns) == {
        "x": 2.0,
        "k": 4,
        "word": "a",
        "flag": True,
        "day": date(2024, 1, 2),
        "at": datetime(2024, 1, 1, 5),
        "none": None,
    }


READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
example = model.input_example
assert list(example.columns) == [column.name for column in model.metadata.signature.inputs]
print(json.dumps(model.predict(example).tolist()))
"""


def _raw(model, row):
    values = {column.name: [row[column.name]] for column in model.inputs}
    return {name: found[0] for name, found in model.preparation.validate(values).items()}


@pytest.mark.slow
def test_mlflow_reads_the_example_and_predicts_it(tmp_path):
    model = trained_models()["booster"]
    row = typical(table(), model.inputs)
    folder = tmp_path / "model"
    hashes = model_files.save(model, folder, run_id="0" * 32, example=row)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [model.predict_row(_raw(model, row))]
    (folder / "serving_input_example.json").write_text("{}")
    with pytest.raises(DamagedError, match="serving_input_example"):
        model_files.load(folder, hashes)
