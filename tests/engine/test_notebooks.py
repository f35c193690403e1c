"""Notebooks: the example runs from its first cell to its last, and verbs take what verbs return."""

from __future__ import annotations

import inspect
import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from comparison_kit import put_run, run_id

from local_stack import Workspace
from local_stack.catalog import commands
from local_stack.errors import StackError
from local_stack.notebook import _suited

SAMPLES = Path(__file__).parents[2] / "sample_data"


@pytest.fixture
def notebook(tmp_path: Path) -> Any:
    with Workspace.create(tmp_path / "ws", actor="ann") as opened:
        yield opened


@pytest.mark.slow
def test_the_example_runs_and_shows_tables(tmp_path: Path, monkeypatch: Any) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    samples = tmp_path / "sample_data"
    shutil.copytree(SAMPLES, samples)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    document = nbformat.read(SAMPLES / "runs.ipynb", as_version=4)
    nbformat.validate(document)
    assert not any(cell.get("outputs") for cell in document.cells)  # nobody's machine is in it
    client = nbclient.NotebookClient(
        document, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(samples)}}
    )
    client.execute()
    pages = [
        output["data"]["text/html"]
        for cell in document.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    searched, _, compared, _, shown = pages
    assert "a curve" in searched
    assert "2 runs compared" in compared
    assert "reviewed" in shown
    texts = {
        cell["id"]: output["data"]["text/plain"]
        for cell in document.cells
        for output in cell.get("outputs", ())
        if "data" in output
    }
    assert "'The reference for *wine*.'" in texts.values()
    assert "['80 trees']" in texts.values()
    assert any("log_loss': '80 trees'" in text for text in texts.values())


def test_verbs_take_runs_one_by_one_in_a_list_or_as_they_were_found(notebook: Any) -> None:
    for number in range(3):
        put_run(notebook, number, metrics={"rmse": float(number)})
    names = [run_id(number) for number in range(3)]
    wanted = notebook.runs.compare(*names).to_dict()
    assert notebook.runs.compare(names).to_dict() == wanted
    assert notebook.runs.compare(runs=tuple(names)).to_dict() == wanted
    found = notebook.runs.search(order_by=("metrics.rmse ASC",))
    assert notebook.runs.compare(found.runs).to_dict() == wanted
    assert notebook.runs.compare(*found.runs).to_dict() == wanted
    assert notebook.runs.compare(runs=list(found.runs)).to_dict() == wanted
    with pytest.raises(TypeError):
        notebook.runs.show(names[0], names[1])
    assert notebook.runs.compare(names[1:], baseline=found.runs[0]).baseline == names[0]
    assert notebook.runs.show(found.runs[2]).run_id == names[2]


def test_tags_may_be_a_mapping_or_texts(notebook: Any) -> None:
    with notebook.tracking._writing() as client:
        run = client.create_run(client.create_experiment("x")).info.run_id
    assert notebook.runs.tag(run, {"a": "1", "b": "2"}).tags.items() >= {"a": "1", "b": "2"}.items()
    assert "a" not in notebook.runs.tag(run, "a=", "c=3").tags
    assert notebook.runs.tag(run, ["c="]).changed


def test_a_path_may_be_a_text(notebook: Any, tmp_path: Path) -> None:
    for number in range(2):
        put_run(notebook, number, metrics={"rmse": float(number)})
    target = tmp_path / "x.csv"
    notebook.runs.compare(run_id(0), run_id(1), csv=str(target))
    assert target.is_file()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda ws: ws.explain.model(None), "target needs a text, not NoneType"),
        (lambda ws: ws.explain.model(["x"]), "target needs a text, not list"),
        (lambda ws: ws.explain.model(5), "neither a run nor a model '5'"),
        (lambda ws: ws.explain.model("x", rows=2.5), "rows needs a whole number, not '2.5'"),
        (lambda ws: ws.explain.model("x", rows=[3]), "rows needs a whole number, not list"),
        (lambda ws: ws.explain.model("x", html=1), "html needs a path, not int"),
        (lambda ws: ws.explain.row("x", row=pd.Series([1, 2])), "row needs a JSON object"),
        (lambda ws: ws.explain.row("x", index=True), "index needs a whole number, not 'True'"),
        (lambda ws: ws.explain.row("x", index=0, by="y"), "by cannot be 'y'"),
        (lambda ws: ws.explain.fairness("x", by=[["y"]]), "by needs a text, not list"),
        (lambda ws: ws.explain.fairness("x", threshold="y"), "threshold needs a number"),
        (lambda ws: ws.runs.show(5), "no run '5'"),
        (lambda ws: ws.data.show("x", limit=np.array([1, 2])), "not ndarray"),
    ],
)
def test_a_value_of_another_type_is_no_defect_of_ours(notebook: Any, call: Any, told: str) -> None:
    with pytest.raises(StackError, match=re.escape(told)) as caught:
        call(notebook)
    assert caught.value.exit_code == 2


def test_numbers_of_numpy_and_dates_are_what_they_look_like(notebook: Any) -> None:
    parameters = {it.name: it for it in commands()["explain.compare"].parameters}
    assert type(_suited(np.int64(3), parameters["rows"])) is int
    assert _suited(30.0, parameters["rows"]) == 30
    assert _suited(date(2024, 2, 1), parameters["since"]) == "2024-02-01"
    assert _suited(np.int64(1), parameters["output"]) == "1"
    assert _suited(None, parameters["output"]) is None
    row = commands()["explain.row"].parameters
    assert [_suited({1: 2}, it) for it in row if it.name == "row"] == [{"1": 2}]
    assert [_suited(None, it) for it in row if it.name == "immutable"] == [()]


def test_a_verb_tells_its_arguments(notebook: Any) -> None:
    signature = inspect.signature(notebook.runs.compare)
    assert list(signature.parameters)[:2] == ["runs", "baseline"]
    assert (inspect.getdoc(notebook.runs.compare) or "").startswith("Compare runs")
    assert {"compare", "note", "tag", "search"} <= set(dir(notebook.runs))
    with pytest.raises(AttributeError, match="Did you mean 'compare'"):
        notebook.runs.compar  # noqa: B018
