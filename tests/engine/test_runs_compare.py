"""Comparing runs: what differs, who is best and whether that is clear, whoever made the runs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from comparison_kit import classification, put_run, regression, run_id

from local_stack.catalog import call
from local_stack.errors import ConflictError, InputError, NotFoundError
from local_stack.runs.comparison.exporting import titles_of
from local_stack.runs.comparison.naming import short_names
from local_stack.runs.comparison.shape import MetricComparison, RunComparison
from local_stack.workspace import Workspace

HOSTILE = '=cmd|"/c calc"!A1 <script>alert(1)</script> | `x` [a](b) \x1b[31m \u202e'


def compare(workspace: Workspace, *runs: str, **options: Any) -> RunComparison:
    found = call(workspace, "runs.compare", {"runs": list(runs), **options})
    assert isinstance(found, RunComparison)
    return found


def metric(found: RunComparison, key: str) -> MetricComparison:
    return next(entry for entry in found.metrics if entry.key == key)


def put_foreign(root: Path, run: str, history: dict[str, str], **params: str) -> Path:
    """Write a run as plain MLflow's file store does."""
    experiment = root / "7"
    experiment.mkdir(parents=True, exist_ok=True)
    (experiment / "meta.yaml").write_text(
        "artifact_location: file:///elsewhere\nexperiment_id: '7'\n"
        "lifecycle_stage: active\nname: other\n"
    )
    folder = experiment / run
    for name in ("params", "metrics", "tags", "artifacts/model"):
        (folder / name).mkdir(parents=True)
    (folder / "meta.yaml").write_text(
        f"artifact_uri: file:///elsewhere/{run}/artifacts\nend_time: 1600000060000\n"
        f"experiment_id: '7'\nlifecycle_stage: active\nrun_id: {run}\nrun_name: foreign\n"
        "start_time: 1600000000000\nstatus: 3\nuser_id: eve\n"
    )
    for key, text in history.items():
        (folder / "metrics" / key).write_text(text)
    for key, text in params.items():
        (folder / "params" / key).write_text(text)
    (folder / "tags" / "mlflow.source.git.commit").write_text("c0ffee")
    (folder / "artifacts" / "model" / "requirements.txt").write_text("scikit-learn==1.5\nx==1\n")
    (folder / "artifacts" / "model" / "python_env.yaml").write_text("python: 3.9.7\n")
    return folder


def test_only_what_differs_is_shown_unless_all_is_asked_for(workspace: Workspace) -> None:
    put_run(workspace, 0, params={"a": "1", "b": "x"}, tags={"team": "red", "mlflow.user": "x"})
    put_run(workspace, 1, params={"a": "2", "b": "x", "c": "3"}, tags={"team": "red"})
    found = compare(workspace, run_id(0), run_id(1))
    assert [(p.key, p.values) for p in found.params] == [("a", ("1", "2")), ("c", (None, "3"))]
    assert found.tags == ()
    assert (found.omitted.params, found.omitted.tags) == (1, 1)
    everything = compare(workspace, run_id(0), run_id(1), all=True)
    assert [p.key for p in everything.params] == ["a", "b", "c"]
    assert [t.key for t in everything.tags] == ["team"]
    assert everything.omitted.params == 0
    assert found.environment == ()
    assert found.runs[0].seconds == 90


def test_deltas_are_to_the_baseline_and_the_clear_winner_is_named(workspace: Workspace) -> None:
    for number, noise in enumerate((1.0, 0.2, 0.9)):
        put_run(workspace, number, regression(seed=number, noise=noise))
    runs = [run_id(number) for number in range(3)]
    found = compare(workspace, *runs)
    rmse = metric(found, "rmse")
    assert (rmse.direction, rmse.best, rmse.is_clear, rmse.verdict) == (
        *("lower", runs[1], True),
        "run-1",
    )
    assert rmse.deltas[0] == 0
    assert rmse.deltas[1] == pytest.approx(rmse.values[1] - rmse.values[0])  # type: ignore[operator]
    assert rmse.intervals[0] is None
    interval = rmse.intervals[1]
    assert interval is not None
    assert interval.low < rmse.deltas[1] < interval.high < 0  # type: ignore[operator]
    assert (interval.n_rows, interval.n_resamples, interval.level) == (120, 2000, 0.95)
    turned = metric(compare(workspace, *runs, baseline=runs[1]), "rmse")
    assert turned.deltas[0] == pytest.approx(-rmse.deltas[1])  # type: ignore[operator]
    assert turned.intervals[0] is not None
    assert turned.intervals[0].low == pytest.approx(-interval.high)
    assert turned.intervals[0].high == pytest.approx(-interval.low)
    assert compare(workspace, *runs).to_dict() == found.to_dict()  # seeded


def test_runs_of_one_name_or_of_none_are_named_by_their_ids(workspace: Workspace) -> None:
    names = ("same", "same", " \u200b", "own", run_id(0)[:8])
    for number, name in enumerate(names):
        put_run(workspace, number, regression(seed=number, noise=0.1 * 3**number), name=name)
    found = compare(workspace, *map(run_id, range(5)), baseline=run_id(4))
    assert metric(found, "rmse").verdict == run_id(0)[:8]
    assert metric(compare(workspace, run_id(3), run_id(4)), "rmse").verdict == "own"
    assert metric(compare(workspace, run_id(2), run_id(4)), "rmse").verdict == run_id(2)[:8]
    ids = [run_id(number)[:8] for number in range(5)]
    titles = [f"same ({ids[0]})", f"same ({ids[1]})", ids[2], f"own ({ids[3]})"]
    assert titles_of(found)[:4] == titles
    assert len(set(titles_of(found))) == 5


def test_a_single_finite_value_is_not_said_to_be_shared(workspace: Workspace) -> None:
    put_run(workspace, 0, metrics={"mae": "NaN"})
    put_run(workspace, 1, metrics={"mae": 0.4})
    put_run(workspace, 2, metrics={"mae": 0.4})
    two = metric(compare(workspace, run_id(0), run_id(1)), "mae")
    assert two.verdict == "fewer than two runs have a finite value"
    three = metric(compare(workspace, run_id(0), run_id(1), run_id(2)), "mae")
    assert three.verdict == "several are best"


def test_ids_that_begin_alike_are_told_as_far_as_it_takes() -> None:
    ids = ["a" * 32, "a" * 11 + "b" * 21, "c" * 32]
    assert short_names(["x", "x", "y"], ids) == ["a" * 12, "a" * 11 + "b", "y"]
    assert short_names(["a" * 12, "", "y"], ids)[:2] == ["a" * 12, "a" * 11 + "b"]


def test_a_difference_that_chance_makes_is_no_clear_one(workspace: Workspace) -> None:
    put_run(workspace, 0, classification(seed=1))
    put_run(workspace, 1, classification(seed=2))
    for entry in compare(workspace, run_id(0), run_id(1)).metrics:
        interval = entry.intervals[1]
        assert interval is not None
        assert entry.is_clear is (not interval.holds_zero)
        assert (entry.verdict == "no clear difference") is interval.holds_zero
    assert metric(compare(workspace, run_id(0), run_id(1)), "accuracy").is_clear is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "it stored no predictions"),
        ({"data": "wine@zz"}, "it was tested on wine@zz, the baseline on wine@a1"),
    ],
)
def test_where_no_interval_can_be_told_the_reason_is(
    workspace: Workspace, change: dict[str, str] | None, reason: str
) -> None:
    put_run(workspace, 0, regression(seed=1))
    held = regression(seed=2, noise=0.5)
    if change is None:
        put_run(workspace, 1, None, metrics=held.metrics())
    else:
        put_run(workspace, 1, replace(held, **change))  # type: ignore[arg-type]
    rmse = metric(compare(workspace, run_id(0), run_id(1)), "rmse")
    assert (rmse.intervals, rmse.reasons) == ((None, None), (None, reason))
    assert (rmse.is_clear, rmse.verdict) == (None, "run-1, untested")
    turned = metric(compare(workspace, run_id(1), run_id(0)), "rmse")
    assert turned.intervals == (None, None)
    assert turned.reasons[1] is not None


def test_a_value_that_is_not_that_of_the_predictions_is_not_tested(workspace: Workspace) -> None:
    put_run(workspace, 0, regression(seed=1))
    wrong = {**regression(seed=2).metrics(), "rmse": 0.001, "profit": 12.5}
    put_run(workspace, 1, regression(seed=2), metrics=wrong)
    found = compare(workspace, run_id(0), run_id(1))
    assert metric(found, "rmse").reasons[1] == "its value is not that of the stored predictions"
    assert metric(found, "mae").intervals[1] is not None
    assert metric(found, "profit").verdict == "only one run has it"
    assert metric(found, "profit").direction == "unknown"
    told = compare(workspace, run_id(0), run_id(1), higher=["profit"], lower=["nothing"])
    assert metric(told, "profit").direction == "higher"
    assert told.warnings == ("No run has a metric 'nothing'.",)


def test_numbers_that_are_none_do_no_harm(workspace: Workspace) -> None:
    put_run(workspace, 0, metrics={"rmse": "NaN", "mae": "Infinity", "r2": 1.0, "x": "NaN"})
    put_run(workspace, 1, metrics={"rmse": 1.0, "mae": 2.0, "r2": 1.0, "x": "NaN"})
    found = compare(workspace, run_id(0), run_id(1))
    assert [entry.key for entry in found.metrics] == ["mae", "rmse"]
    assert metric(found, "rmse").best is None
    assert found.omitted.metrics == 2
    json.dumps(found.to_dict(), allow_nan=False)


def test_data_of_two_versions_comes_with_the_command_that_shows_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    versions = []
    for number in range(2):
        path = tmp_path / "wine.csv"
        path.write_text(f"a,b\n1,{number}\n2,3\n")
        versions.append(call(workspace, "data.add", {"name": "wine", "source": str(path)}).version)
        entry = {"name": "wine", "digest": versions[-1], "context": "training"}
        put_run(workspace, number, datasets=[entry, {"name": "same", "digest": "1"}])
    (found,) = compare(workspace, run_id(0), run_id(1)).datasets
    assert (found.name, found.context, found.versions) == ("wine", "training", tuple(versions))
    words = found.commands[0].split()
    assert words[:3] == ["paceml-tui", "data", "diff"]
    diff = call(workspace, "data.diff", {"before": words[3], "after": words[4]})
    assert diff.rows.to_dict()["added"] == 1
    assert compare(workspace, run_id(0), run_id(1)).omitted.datasets == 1


def test_runs_of_other_tools_are_compared_by_what_they_logged(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    falling = "".join(f"16000000{at:05} {1000 - at} {at}\n" for at in range(1000))
    first = put_foreign(root, "f" * 32, {"loss": falling, "one": "1600000000000 1 0\n"}, lr="0.1")
    second = put_foreign(root, "e" * 32, {"loss": "1600000000000 5 0\n1600000000001 NaN 1\n"})
    (first / "artifacts" / "same.txt").write_text("a")
    (second / "artifacts" / "same.txt").write_text("a")
    (first / "artifacts" / "equal.bin").write_text("abc")
    (second / "artifacts" / "equal.bin").write_text("abd")
    (first / "artifacts" / "only.bin").write_text("x")
    (second / "artifacts" / "model" / "requirements.txt").write_text("scikit_learn==1.6\nx==1\n")
    (second / "artifacts" / "model" / "python_env.yaml").write_text("python: 3.11.1\n")
    found = compare(workspace, "f" * 32, "e" * 32)
    assert {entry.path: entry.difference for entry in found.artifacts} == {
        "equal.bin": "content",
        "model/python_env.yaml": "content",
        "model/requirements.txt": "content",
        "only.bin": "missing",
    }
    assert found.omitted.artifacts == 1
    assert {e.key: e.values for e in found.environment} == {
        "Python": ("3.9.7", "3.11.1"),
        "package scikit-learn": ("1.5", "1.6"),
    }
    assert found.omitted.environment == 2  # the commit and package x
    assert [p.key for p in found.params] == ["lr"]
    falls, other = found.curves
    assert (falls.key, falls.run_id, falls.n_points) == ("loss", "f" * 32, 1000)
    assert (falls.steps[0], falls.steps[-1]) == (0, 999)
    assert (falls.values[0], falls.values[-1]) == (1000, 1)
    assert len(falls.steps) <= 202
    assert list(falls.steps) == sorted(falls.steps)
    assert other.to_dict()["values"] == [5, None]
    assert metric(found, "loss").reasons[1] == "it stored no predictions"
    ours = put_run(workspace, 0, regression())
    assert compare(workspace, ours, "f" * 32).runs[1].source != "workspace"


def test_a_thinned_curve_keeps_its_peaks(workspace: Workspace) -> None:
    values = [0.0] * 5000
    values[1234], values[4321] = 7.5, -3.25
    text = "".join(f"{1600000000000 + at} {value} {at}\n" for at, value in enumerate(values))
    put_foreign(workspace.root / "mlruns", "f" * 32, {"loss": text})
    put_foreign(workspace.root / "mlruns", "e" * 32, {"loss": "1600000000000 5 0\n"})
    (curve,) = compare(workspace, "f" * 32, "e" * 32).curves
    assert {(1234, 7.5), (4321, -3.25)} <= set(zip(curve.steps, curve.values, strict=True))


@pytest.mark.parametrize("runs", [[], [run_id(0)], [run_id(0), run_id(0)], ["latest", run_id(0)]])
def test_one_run_alone_is_no_comparison(workspace: Workspace, runs: list[str]) -> None:
    put_run(workspace, 0)
    with pytest.raises(InputError):
        compare(workspace, *runs)


def test_a_run_that_is_not_found_is_named(workspace: Workspace) -> None:
    put_run(workspace, 0)
    with pytest.raises(NotFoundError, match="'nobody'"):
        compare(workspace, run_id(0), "nobody")
    with pytest.raises(NotFoundError, match="'nobody'"):
        compare(workspace, run_id(0), baseline="nobody")


def test_the_baseline_may_be_one_more_run(workspace: Workspace) -> None:
    put_run(workspace, 0)
    put_run(workspace, 1)
    found = compare(workspace, run_id(0), baseline=run_id(1))
    assert ([run.run_id for run in found.runs], found.baseline) == (
        [run_id(0), run_id(1)],
        run_id(1),
    )


@pytest.fixture
def hostile(workspace: Workspace) -> Workspace:
    """Two runs whose every text is hostile."""
    for number in range(2):
        text = f"{HOSTILE}{number}"
        put_run(
            workspace,
            number,
            regression(seed=number),
            name=text,
            experiment=text,
            params={text: text, "same": "=1+1", "number": "-1.5"},
            tags={text: text, "mlflow.source.name": text},
            datasets=[{"name": text, "digest": text}],
        )
    return workspace


def test_a_csv_holds_every_row_and_no_formula(hostile: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    found = compare(hostile, run_id(0), run_id(1), csv=str(path))
    assert found.written == (str(path),)
    with path.open(newline="", encoding="utf-8") as stream:
        head, *rows = list(csv.reader(stream))
    assert len(head) == 5 + 2 + 3
    table = {(row[0], row[1]): row for row in rows}
    assert table["param", "same"][5:7] == ["'=1+1", "'=1+1"]  # though it is the same
    assert table["param", "number"][5:7] == ["-1.5", "-1.5"]
    assert table["metric", "rmse"][2:4] == ["yes", "lower"]
    entry = metric(found, "rmse")
    assert [float(cell) for cell in table["metric", "rmse"][5:7]] == list(entry.values)
    interval = entry.intervals[1]
    assert interval is not None
    told = [float(cell) for cell in table["metric", "rmse"][7:]]
    assert told == [entry.deltas[1], interval.low, interval.high]
    for cell in (cell for row in [head, *rows] for cell in row):
        assert not cell.startswith(("=", "@", "\t", "\r")), cell
    with pytest.raises(ConflictError):
        compare(hostile, run_id(0), run_id(1), csv=str(path))
    assert compare(hostile, run_id(0), run_id(1), csv=str(path), force=True).written


def test_a_parquet_file_is_typed(hostile: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    found = compare(hostile, run_id(0), run_id(1), parquet=str(path))
    table = pl.read_parquet(path)
    rmse = table.filter(section="metric", key="rmse", run_id=run_id(1)).to_dicts()[0]
    entry = metric(found, "rmse")
    assert (rmse["number"], rmse["delta"]) == (entry.values[1], entry.deltas[1])
    assert rmse["is_best"] == (entry.best == run_id(1))
    assert table.filter(section="param", key="same")["differs"].to_list() == [False, False]
    assert set(table.filter(section="param", key="number")["number"]) == {-1.5}
    assert set(table["section"]) >= {"run", "metric", "param", "tag", "dataset", "environment"}


def test_markdown_holds_every_row_and_no_markup(hostile: Workspace) -> None:
    text = compare(hostile, run_id(0), run_id(1), md=True).markdown
    lines = text.splitlines()
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    for line in lines:
        cells = line.replace("\\|", "").split("|")
        assert len(cells) == 7, line
        assert "<" not in line
        assert "\x1b" not in line
        assert "\u202e" not in line
    assert any(line.startswith("| param | same |") for line in lines)
    assert "\\[a\\]" in text
    assert "\\`x\\`" in text


def test_a_file_among_the_records_of_the_workspace_is_refused(workspace: Workspace) -> None:
    put_run(workspace, 0)
    put_run(workspace, 1)
    with pytest.raises(InputError, match="records"):
        compare(workspace, run_id(0), run_id(1), csv=str(workspace.root / "journal" / "x.csv"))


def test_a_notebook_shows_tables_in_which_nothing_of_the_runs_is_markup(hostile: Workspace) -> None:
    found = compare(hostile, run_id(0), run_id(1))
    page = found._repr_html_()
    assert (
        not outline(page)
        - {"div", "h4", "table", "thead", "tbody", "tr", "th", "td", "br"}
        - {
            *("b", "span", "code"),
        }
    )
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert f"{found.metrics[0].values[0]:.6g}" in page
    assert "The same in all runs, and left out: 2 params." in page
    shown = call(hostile, "runs.show", {"run": run_id(0)})._repr_html_()
    assert not outline(shown) - {"div", "h4", "table", "thead", "tbody", "tr", "th", "td", "b"}
    assert "&lt;script&gt;" in shown


def test_a_notebook_draws_the_curves(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    rising = "1600000000000 0 0\n1600000000001 5 50\n1600000000002 10 100\n"
    put_foreign(root, "f" * 32, {"loss": rising, "flat": "1600000000000 2 0\n1600000000001 2 1\n"})
    put_foreign(root, "e" * 32, {"loss": "1600000000000 NaN 0\n1600000000001 NaN 1\n"})
    page = compare(workspace, "f" * 32, "e" * 32, all=True)._repr_html_()
    assert 'points="0.0,120.0 160.0,60.0 320.0,0.0"' in page
    assert 'points="0.0,60.0 320.0,60.0"' in page
    assert "0 to 10, steps 0 to 100" in page
    assert page.count("<svg") == 2


def test_a_broken_run_is_compared_by_what_is_left_of_it(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    whole = put_foreign(root, "f" * 32, {}, lr="1")
    (put_foreign(root, "e" * 32, {}, lr="2") / "meta.yaml").write_text("")
    found = compare(workspace, "f" * 32, "e" * 32)
    assert whole.is_dir()
    assert found.warnings[0].startswith("eeeeeeee: The run is not whole")
    assert [p.values for p in found.params] == [("1", "2")]
    assert found.omitted.environment == 4


def outline(page: str) -> set[str]:
    """Return the names of the elements of a page; none may have an event or a link."""
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert {name for name, _ in attrs} <= {"style", "title"}, attrs

    Reader().feed(page)
    return found
