"""What an edit of runs did as text: short, and nothing of the runs obeyed."""

from __future__ import annotations

from local_stack.results import plain
from local_stack.runs.editing import EditedRun, EditedRuns
from paceml_tui import printing

HOSTILE = "[/nope]\x1b[31m\u202e"


def run(**changed: object) -> EditedRun:
    tags = {"team": "risk", "mlflow.user": "ann", "paceml.task": "x"}
    known = {"run_id": "ab" * 16, "name": "first", "lifecycle": "active", "note": "", "tags": tags}
    return EditedRun(**{**known, "changed": True, **changed})  # type: ignore[arg-type]


def text(name: str, found: EditedRun | EditedRuns) -> list[str]:
    return list(printing._for_people(name, plain(found)))


def test_an_edited_run_is_told_with_the_tags_that_people_wrote() -> None:
    assert text("runs.tag", run()) == ["abababab  first  active", "  team  risk"]
    noted = run(note="one\ntwo", tags={}, changed=False)
    assert text("runs.note", noted) == [
        "abababab  first  active, as before",
        "  note:",
        "    one",
        "    two",
    ]


def test_several_runs_are_a_line_each_and_a_warning_is_whole() -> None:
    warning = "MLflow did not take the record. " * 20
    both = EditedRuns((run(lifecycle="deleted"), run(changed=False)), 1, (warning,))
    first, second, told = text("runs.delete", both)
    assert first == "abababab  first  deleted"
    assert second.endswith("as before")
    assert told == f"Warning: {warning}"


def test_hostile_names_tags_and_notes_are_made_visible() -> None:
    found = run(name=HOSTILE, tags={HOSTILE: HOSTILE}, note=HOSTILE, warnings=(HOSTILE,))
    assert all(line.isprintable() for line in text("runs.tag", found))
