"""Pipelines: validated as a whole, cached, resumed, parameterised, and honest in failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack import catalog, pipeline
from local_stack.errors import InputError, RefusedError, StackError
from local_stack.runs import editing
from local_stack.stores.journal import Draft

catalog.commands()  # declares them

STEPS = """
name: small
params: {limit: 2}
steps:
  - data.add: {name: t, source: t.csv, tag: first}
    id: added
  - data.contract: {name: t, infer: true}
  - data.check: {name: "t@${added.version}"}
  - data.show: {name: t, limit: "${limit}"}
    id: shown
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    (tmp_path / "p.yaml").write_text(STEPS)
    return tmp_path


def statuses(result):
    return {step.id: step.status for step in result.steps}


def test_steps_run_in_order_and_hand_on_results(workspace, folder):
    result = pipeline.run(workspace, folder / "p.yaml")
    assert result.passed
    assert set(statuses(result).values()) == {"done"}
    assert len(result.steps[-1].result["rows"]) == 2
    changed = pipeline.run(workspace, folder / "p.yaml", set=("limit=1",))
    assert len(changed.steps[-1].result["rows"]) == 1


def test_a_second_run_skips_what_is_unchanged_and_says_why(workspace, folder):
    pipeline.run(workspace, folder / "p.yaml")
    n_events = workspace.query("SELECT count(*) AS n FROM events WHERE kind = 'data.added'")
    again = pipeline.run(workspace, folder / "p.yaml")
    assert statuses(again) == {
        "added": "skipped",
        "2-data.contract": "skipped",
        "3-data.check": "skipped",
        "shown": "done",  # reading costs nothing, so it is not cached
    }
    assert "unchanged since 20" in again.steps[0].reason
    assert again.steps[0].result["version"]
    same = workspace.query("SELECT count(*) AS n FROM events WHERE kind = 'data.added'")
    assert same == n_events


def test_changed_bytes_run_again_and_so_does_all_that_reads_them(workspace, folder):
    pipeline.run(workspace, folder / "p.yaml")
    (folder / "t.csv").write_text("a,b\n1,x\n2,y\n3,zz\n")
    again = pipeline.run(workspace, folder / "p.yaml")
    assert set(statuses(again).values()) == {"done"}


def test_a_killed_pipeline_resumes_at_the_step_that_did_not_finish(workspace, folder):
    text = STEPS.replace("source: t.csv", "source: t.csv, note: one")
    (folder / "p.yaml").write_text(
        text + "  - data.add: {name: u, source: gone.csv}\n    id: last\n"
    )
    with pytest.raises(StackError) as caught:
        pipeline.run(workspace, folder / "p.yaml")
    assert statuses(caught.value.result)["last"] == "failed"
    (folder / "gone.csv").write_text("a\n1\n")
    resumed = pipeline.run(workspace, folder / "p.yaml")
    assert statuses(resumed)["added"] == "skipped"
    assert statuses(resumed)["last"] == "done"


def test_a_step_whose_run_was_deleted_runs_again(workspace, folder, monkeypatch):
    made = []

    def train(workspace, verb, arguments, progress):  # training itself takes seconds
        if verb.name != "runs.train":
            return call(workspace, verb, arguments, progress)
        made.append(f"{len(made):032x}")
        row = {"run_id": made[-1], "status": "FINISHED", "lifecycle": "active"}
        workspace.append(lambda _: Draft("runs.ended", f"run:{made[-1]}", {}, [("runs", row)]))
        return {"run_id": made[-1]}

    def run():
        result = pipeline.run(workspace, folder / "p.yaml")
        return [step.status for step in result.steps], result.steps[1].result["run_id"]

    call = pipeline._call
    monkeypatch.setattr(pipeline, "_call", train)
    monkeypatch.setattr(editing, "mirror", lambda *_: [])  # MLflow has none of these runs
    (folder / "r.yaml").write_text("dataset: t\ntarget: a\nestimator: lightgbm\n")
    (folder / "p.yaml").write_text(
        "steps:\n  - data.add: {name: t, source: t.csv}\n  - runs.train: {recipe: r.yaml}\n"
    )
    assert run() == (["done", "done"], made[0])
    editing.delete(workspace, made[0])
    assert run() == (["skipped", "done"], made[1])
    editing.delete(workspace, made[1])
    editing.restore(workspace, made[1])
    assert run() == (["skipped", "skipped"], made[1])


def test_a_check_that_says_no_stops_the_pipeline_with_its_exit_code(workspace, folder):
    (folder / "c.yaml").write_text("rows: {min: 100}\n")
    (folder / "p.yaml").write_text(
        """
steps:
  - data.add: {name: t, source: t.csv}
  - data.contract: {name: t, set: c.yaml}
  - data.check: {name: t}
    id: checked
  - data.list: {}
    id: after
on_failure: [{notify: ops}]
"""
    )
    with pytest.raises(RefusedError) as caught:
        pipeline.run(workspace, folder / "p.yaml")
    assert caught.value.exit_code == 4
    result = caught.value.result
    assert not result.passed
    assert statuses(result)["checked"] == "failed"
    assert statuses(result)["after"] == "not_run"
    (step,) = [s for s in result.steps if s.id == "checked"]
    assert step.error["code"] == "contract_failed"
    assert step.result["passed"] is False
    (event,) = workspace.query("SELECT body FROM events WHERE kind = 'pipeline.failed'")
    assert event["body"]["notify"] == ["ops"]


def test_when_and_needs_decide_what_runs(workspace, folder):
    (folder / "p.yaml").write_text(
        """
params: {mode: quick}
steps:
  - data.add: {name: t, source: t.csv}
    id: added
  - data.show: {name: t}
    id: full
    when: ${mode} == full
  - data.list: {}
    id: after
    needs: [full]
  - data.list: {}
    id: big
    when: ${added.rows} >= 3
"""
    )
    result = pipeline.run(workspace, folder / "p.yaml")
    assert statuses(result) == {
        "added": "done",
        "full": "not_run",
        "after": "not_run",
        "big": "done",
    }
    assert "needs full" in result.steps[2].reason


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("stepz:\n  - data.list: {}\n", 1, "steps"),
        ("steps:\n  - data.lst: {}\n", 2, "data.list"),
        ("steps:\n  - data.add: {name: t, sorce: t.csv}\n", 2, "source"),
        ("steps:\n  - data.add:\n      name: t\n      sauce: t.csv\n", 4, "source"),
        ("steps:\n  - data.add: {name: t}\n", 2, "source"),
        ("steps:\n  - data.list: {}\n    idd: x\n", 2, "one command"),
        ("steps:\n  - data.list: {}\n    id: x\n  - data.list: {}\n    needs: [y]\n", 5, "'y'"),
        ("steps:\n  - data.show: {name: '${nope}'}\n", 2, "nope"),
        ("params: {trials: 1}\nsteps:\n  - data.show: {name: '${trails}'}\n", 3, "trials"),
        ("steps: []\n", 1, "at least one step"),
        ("steps:\n  - data.list: {}\n    id: a\n  - data.list: {}\n    id: a\n", 5, "two steps"),
    ],
)
def test_a_bad_file_is_refused_before_anything_runs(workspace, tmp_path, text, line, word):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        pipeline.run(workspace, tmp_path / "bad.yaml")
    assert f"bad.yaml, line {line}" in str(caught.value)
    assert word in str(caught.value)
    assert caught.value.exit_code == 2


def test_set_takes_declared_parameters_only(workspace, folder):
    with pytest.raises(InputError, match="no parameter 'limt'"):
        pipeline.run(workspace, folder / "p.yaml", set=("limt=1",))
    with pytest.raises(InputError, match="key=value"):
        pipeline.run(workspace, folder / "p.yaml", set=("limit",))


def test_a_reference_into_a_result_names_what_is_there(workspace, folder):
    (folder / "p.yaml").write_text(
        "steps:\n  - data.add: {name: t, source: t.csv}\n    id: a\n"
        '  - data.show: {name: "t@${a.versoin}"}\n'
    )
    with pytest.raises(InputError) as caught:
        pipeline.run(workspace, folder / "p.yaml")
    assert "versoin" in caught.value.message
    assert caught.value.hint == "Did you mean 'version'?"
