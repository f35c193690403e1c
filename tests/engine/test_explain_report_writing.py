"""The report of a real model: its figures, its page, and the rows that stand in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from explained_kit import lender

from local_stack import catalog
from local_stack.errors import ConflictError
from local_stack.explain.effects import whole
from local_stack.explain.reporting import writing
from local_stack.explain.reporting.examples import examples
from local_stack.explain.subject import Subject, subject_of, training_data
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

__all__ = ["lender"]


@pytest.fixture(scope="module")
def subject(lender: Workspace) -> Subject:
    return subject_of(lender, "loans/1")


def test_the_rows_of_a_report_are_the_highest_a_middle_and_the_lowest(subject: Subject):
    frame = subject.sample(60)
    found = subject.attributions(frame)
    told = examples(subject, frame, found)
    ranked = np.sort(found.raw[:, 0])
    assert [it["score"] for it in told] == pytest.approx([ranked[-1], ranked[30], ranked[0]])
    for each in told:
        parts = [it["shap"] for it in each["contributions"]]
        assert each["base_value"] + sum(parts) == pytest.approx(each["score"], abs=1e-9)
        values = {it["feature"]: it["value"] for it in each["contributions"]}
        row = frame.row(each["place"], named=True)
        assert values["kind"] == row["kind"]
        assert values["debt"] == (None if row["debt"] is None else pytest.approx(row["debt"]))
    assert len(examples(subject, frame.head(1), subject.attributions(frame.head(1)))) == 1


def test_a_report_is_written_with_the_figures_of_every_column(
    lender: Workspace, subject: Subject, tmp_path: Path
):
    frame = subject.sample(120)
    found = subject.attributions(frame)
    learnt_from = training_data(lender, subject.run).reference
    told = whole.explained(subject, learnt_from, frame, found)
    written = writing.write(lender, subject, told, frame, found, tmp_path)
    names = [item.feature for item in told.explanation.importance]
    assert len(names) == 5
    assert len(list((tmp_path / "dependence").glob("*.png"))) == len(names)
    content = written.read_text(encoding="utf-8")
    for name in names:
        assert f">{name}</span></h3>" in content
    assert "<h1>Explanation of loans/1</h1>" in content
    assert "The row with the lowest prediction" in content
    assert re.search(r'class="bar-(up|down)"', content)
    assert 'id="fairness"' not in content
    again = tmp_path / "again"
    again.mkdir()
    writing.write(lender, subject, told, frame, found, again)
    for path in tmp_path.glob("*.*"):
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_the_latest_fairness_result_of_a_run_stands_in_its_report(
    lender: Workspace, subject: Subject
):
    assert writing.fairness_of(lender, subject.run_id) is None
    for day, text in ((2, b'{"n": 2}'), (1, b'{"n": 1}')):
        row = {
            "run_id": subject.run_id,
            "measurement": f"m{day}",
            "artifacts": {"explain/fairness.json": lender.artifacts.put_bytes(text).to_dict()},
            "created_at": f"2026-01-0{day}T00:00:00Z",
        }
        draft = Draft("explain.fairness", f"run:{subject.run_id}", {}, [("fairness", row)])
        lender.append(lambda _, draft=draft: draft)
    assert writing.fairness_of(lender, subject.run_id) == {"n": 2}


def test_a_report_takes_the_place_of_no_other_file(lender: Workspace, tmp_path: Path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(ConflictError, match="no HTML page"):
        catalog.call(lender, "explain.model", {"target": "loans/1", "html": str(notes)})
    assert notes.read_text() == "mine"
