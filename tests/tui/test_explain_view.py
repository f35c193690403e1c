"""The Explain screen and the view of an explanation, in each of its states."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import asked_explained as asked
import pytest
import workspaces
import workspaces_explained as made
import workspaces_filled
from conftest import LARGE, SMALL, running, settle, text_of
from test_hostile import assert_harmless
from test_runs_view import detail_of
from textual.pilot import Pilot
from views_kit import REFUSED, assert_small_and_back, held, refuse, words

from local_stack.errors import InputError, UnavailableError
from local_stack.explain import whatif
from local_stack.jobs import Job
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp
from paceml_tui.screens import explain_documents
from paceml_tui.screens.explain_answers import PartAdvanced
from paceml_tui.screens.explain_decision import DecisionView
from paceml_tui.screens.explain_view import ExplanationView
from paceml_tui.tasks import Answer, Desk, Pulse, Request
from paceml_tui.widgets.chooser import Chooser
from paceml_tui.widgets.working import Advanced

HOSTILE = "[/nope]<b>\x1b]0;x\x07"


@pytest.fixture
def explained(filled: Path) -> Path:
    """Return a workspace with an explanation and everything that is drawn of it."""
    made.fill_explained(filled)
    return filled


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is copied from now on."""
    found: list[str] = []
    monkeypatch.setattr(PacemlApp, "copy_to_clipboard", lambda _, text: found.append(text))
    return found


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Let jobs of fairness and comparison answer at once; return what was asked for."""
    found: list[Request] = []
    answers = {"explain.fairness": asked.fairness, "explain.compare": asked.comparison}

    def carry_out(_: Desk, request: Request, *__: Any) -> Answer:
        found.append(request)
        if request.command not in answers:
            return Answer(error=UnavailableError("No job is carried out here."))
        return Answer(answers[request.command]())

    monkeypatch.setattr(Desk, "carry_out", carry_out)
    return found


async def press(pilot: Pilot[int], *pressed: str) -> None:
    """Press keys that need nothing of each other but what is drawn, and wait once."""
    await pilot.press(*pressed)
    await settle(pilot)
    await pilot.pause()


async def open_view(pilot: Any, run: str = made.RUN) -> ExplanationView:
    view = ExplanationView(pilot.app.desk, run, "a run")
    pilot.app.push_screen(view)
    await settle(pilot)
    await settle(pilot)
    return view


def test_what_can_be_compared_is_read_from_the_records(filled: Path) -> None:
    desk, run = Desk(filled), workspaces_filled.run_id(0)
    try:
        columns = explain_documents.group_columns(desk, run)
        assert "colour" in [it.name for it in columns]
        assert "quality" not in [it.name for it in columns]  # it is what is predicted
        ways = [explain_documents.way_of(it.name) for it in explain_documents.others(desk, run)]
        assert ("other", "wine-quality/2") in ways
        assert ("other", run) not in ways
        assert ("against", "wine@0f31b9a7e4c0") in ways
        assert ("log", "wine-quality") in ways
        assert explain_documents.targets(desk, target="qual") == []
        known = {it.name: it for it in explain_documents.targets(desk)}
        assert known[run].note == "wine-quality, quality, 11-23 11:00"
        assert known["wine-quality/2"].note == "wine-quality, quality"
        assert "wine" in known[run].words.split()  # the data, by which it is found too
        assert explain_documents.fairness_of(desk, run) == {}
        with Workspace.open(filled, actor="ada") as workspace:
            blob = workspace.artifacts.put_bytes(json.dumps(asked.fairness()).encode())
            record = workspaces.row(
                "fairness",
                run_id=run,
                measurement="m",
                artifacts={explain_documents.FAIRNESS: blob.to_dict()},
                created_at=workspaces.at(hours=1),
            )
            workspaces.append(workspace, "explain.fairness", f"run:{run}", record)
        desk.workspace.metadata.follow()
        kept = explain_documents.fairness_of(desk, run)
        assert kept["tables"][0]["by"] == "sex"
        request = explain_documents.fairness_request(run, kept)
        assert request.arguments == {"target": run, "by": ("sex",)}
    finally:
        desk.close()


async def test_features_are_bars_and_lead_to_what_their_values_add(
    explained: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(explained, SMALL, "3 j j j j") as pilot:
        await press(pilot, "x")  # from the run to its explanation
        view = pilot.app.screen
        assert isinstance(view, ExplanationView)
        await settle(pilot)
        shown = words(pilot)
        assert "300 rows a sample log-odds base -1.250 of yes" in shown
        assert "1 features 6 2 beeswarm 3 model 4 rows 5 fairness 6 compare" in shown
        listed = [it.split() for it in text_of(pilot).splitlines() if "█" in it or "unused" in it]
        assert [line[0] for line in listed[:2]] == ["loan_amount", "income"]
        assert listed[0][2:] == ["0.362", "+0.121", "(0.10", "to", "0.14)"]
        assert listed[0][1].count("█") > listed[1][1].count("█")
        await press(pilot, "y", "j", "enter")
        assert copied == [f"paceml-tui explain dependence {made.RUN} loan_amount"]
        shown = words(pilot)
        for text in (
            "SHAP value (log-odds of yes) by value",
            "missing (12)",
            "if all 200 rows had",
        ):
            assert text in shown
        assert shown.count("│") > 8  # both drawings are within the terminal
        await press(pilot, "escape", "j", "enter")
        shown = words(pilot)
        assert [name for name in made.PURPOSES if f"{name} (" not in shown] == []
        assert "tone: age 18 ■■■■■ 79" in shown
        await press(pilot, "escape", "G", "enter")
        assert "No split of the model uses it" in words(pilot)
        await press(pilot, "escape", "slash", *"age", "enter")
        assert "1 of 6: age" in words(pilot)
        await pilot.resize_terminal(60, 16)
        await settle(pilot)
        assert "1 features 2 beeswarm 3 model 4 rows 5 fairness 6 compa…" in words(pilot)
        await pilot.resize_terminal(*SMALL)
        await settle(pilot)
        view._called = "a run with a name that leaves no room"
        view.retitle()
        await pilot.pause()
        assert text_of(pilot).splitlines()[0].rstrip().endswith("…")
        view._called = "a run"
        given = made.document(unit="probability")
        monkeypatch.setattr(explain_documents, "explained", lambda *_: given)
        await press(pilot, "escape", "u")
        await settle(pilot)
        assert "300 rows a sample probability" in words(pilot)
        await press(pilot, "s", "s")  # the largest first, and so says the arrow
        assert "when shuffled \u2193" in words(pilot)
        await press(pilot, "S")
        assert "when shuffled \u2191" in words(pilot)
        assert "? help enter open" in words(pilot)
        await press(pilot, "2", "y", "c")
        assert copied[-1] == f"paceml-tui explain model {made.RUN} --unit probability"
        assert "--unit probability" in words(pilot)
        await press(pilot, "escape", "question_mark")
        assert "Help: explain" in words(pilot)
        assert "What a model's predictions rest on" in words(pilot)


async def test_commands_name_the_unit_that_is_shown_and_a_refused_unit_changes_nothing(
    explained: Path, copied: list[str], jobs: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = made.document(unit="probability")  # as it was stored when somebody pressed u
    read = explain_documents.explained
    monkeypatch.setattr(
        explain_documents,
        "explained",
        lambda desk, run, unit: read(desk, run, unit) if unit == "log-odds" else given,
    )
    monkeypatch.setattr(whatif, "Session", asked.Session)
    async with running(explained, SMALL, "4") as pilot:
        view = await open_view(pilot)
        await press(pilot, "y", "2", "y", "4")
        await settle(pilot)
        await press(pilot, "y")
        assert copied == [
            f"paceml-tui explain {it} --unit probability"
            for it in (
                f"dependence {made.RUN} loan_amount",
                f"model {made.RUN}",
                f"row {made.RUN} --index 0",
            )
        ]
        await press(pilot, "r")  # made again in the unit that is shown
        assert jobs[-1].arguments["unit"] == "probability"
        assert "No job is carried out here." in words(pilot)
        await press(pilot, "escape", "1")
        assert view.state == "filled"
        assert "300 rows a sample probability" in words(pilot)


async def test_all_rows_and_the_whole_model_are_drawn(explained: Path) -> None:
    expected = {
        "interactions": "age \u00d7 purpose",
        "rules": "agreement 0.910 on 100 rows it did not see (0.700",
        "never help": "No split of the model uses it",
        "shuffled": "the column is shuffled, the mean of 10 shuffles; below zero it gets better.",
        "how exact": "tree SHAP (exact, path dependent)",
    }
    async with running(explained, LARGE, "4") as pilot:
        view = await open_view(pilot)
        await press(pilot, "2")
        shown = text_of(pilot)
        assert [name for name in made.FEATURES if name not in shown] == []
        assert sum(0x2801 <= ord(it) <= 0x28FF for it in shown) > 200
        axis = next(line for line in reversed(shown.splitlines()) if "+0.776" in line)
        rule = next(line for line in shown.splitlines() if line.strip().startswith("unused"))
        assert abs(axis.index(" 0 ") + 1 - rule.index("⡇")) <= 1  # the rule stands over nought
        await press(pilot, "3")
        for name, text in expected.items():
            assert view.listed is not None
            assert view.listed.selected is not None
            assert view.listed.selected["name"] == name
            assert text in " ".join(detail_of(pilot, "model").split()), name
            await press(pilot, "j")


async def test_what_is_explained_is_chosen_and_old_records_say_what_they_lack(
    filled: Path, jobs: list[Request]
) -> None:
    async with running(filled, SMALL, "5 x") as pilot:
        await settle(pilot)  # of a version whose run has no model
        assert isinstance(pilot.app.screen, ExplanationView)
        assert "wine-quality/2" in words(pilot)
        await press(pilot, "escape", "4")
        await press(pilot, "n")
        assert isinstance(pilot.app.screen, Chooser)
        assert "wine-quality/2 Production" in words(pilot)
        await press(pilot, "escape", "enter")  # the newest explanation, stored by its record
        assert isinstance(pilot.app.screen, ExplanationView)
        await settle(pilot)
        assert "alcohol" in words(pilot)
        await press(pilot, "enter")
        assert "Nothing is drawn of it" in words(pilot)
        await press(pilot, "escape", "3", "enter")
        assert "r explains it again" in words(pilot)
        await press(pilot, "escape", "r")
        await settle(pilot)
        assert [it.command for it in jobs] == ["explain.model"]
        assert "No job is carried out here." in words(pilot)
        await press(pilot, "escape")
        assert pilot.app.page.has_focus_within  # type: ignore[attr-defined]


async def test_groups_are_compared_and_explanations(explained: Path, jobs: list[Request]) -> None:
    columns = [explain_documents.Choice("sex", "sensitive, string"), explain_documents.Choice("b")]
    async with running(explained, SMALL, "4") as pilot:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(explain_documents, "group_columns", lambda *_: columns)
            ways = [explain_documents.Choice("by:purpose", "", "groups of purpose")]
            patch.setattr(explain_documents, "others", lambda *_: ways)
            await open_view(pilot)
            await press(pilot, "5")
            assert "Press b to choose the columns" in words(pilot)
            await press(pilot, "b")
            await press(pilot, "enter")
            assert jobs[-1].arguments == {"target": made.RUN, "by": ("sex",)}
            assert "1 limit broken" in words(pilot)
            await press(pilot, "enter")
            shown = words(pilot)
            assert "selected: default = yes" in shown
            assert "men 100 60% (55-65) 30% (25-35)" in shown
            assert "others 10 too few too few" in shown
            await press(pilot, "escape", "j", "enter")
            shown = words(pilot)
            assert "'women' is selected 0.667 times as often as 'men', more than chance" in shown
            assert "demographic parity 0.200 0.10 to 0.30 clear women, men" in shown
            await press(pilot, "escape", "p", *"no", "enter")
            assert jobs[-1].arguments == {"target": made.RUN, "by": ("sex",), "positive": "no"}
            await press(pilot, "c")
            assert "--by sex --positive no" in words(pilot)
            with pytest.MonkeyPatch.context() as refusing:
                refused = Answer(error=InputError("'maybe' is not a class of 'default'."))
                refusing.setattr(Desk, "carry_out", lambda *_: refused)
                await press(pilot, "escape", "p", *["backspace"] * 2, *"maybe", "enter")
                await settle(pilot)
            assert "'maybe' is not a class of 'default'." in words(pilot)
            await press(pilot, "escape", "enter")
            assert "demographic parity 0.200" in words(pilot)  # what was answered stays
            await press(pilot, "escape", "6", "b")
            await press(pilot, "enter")
            assert "Rows with purpose" in words(pilot)
            await press(pilot, "j", "enter")
            assert jobs[-1].arguments == {"target": made.RUN, "by": "purpose", "a": "home"}
            await press(pilot, "enter")
            assert "income lowers it by 30 points." in words(pilot)


async def test_states(
    explained: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[Request]
) -> None:
    async with running(explained, SMALL, "4") as pilot:
        with held(monkeypatch, explain_documents, "explained"):
            pilot.app.push_screen(ExplanationView(pilot.app.desk, made.RUN))
            await pilot.pause(0.2)
            assert "Reading the explanation" in words(pilot)
        await settle(pilot)
        await settle(pilot)
        await assert_small_and_back(pilot)
        view = pilot.app.screen
        assert isinstance(view, ExplanationView)
        found = made.document()
        found["beeswarm"] = {"columns": ["a"], "shap": [[1.0]], "scaled": [], "n_rows": 1}
        found["dependences"] = [{"column": "loan_amount"}]
        view._result = found
        view.show()
        await settle(pilot)
        await press(pilot, "enter")
        assert "the document is damaged" in words(pilot)
        await press(pilot, "escape", "2")
        assert "the document is damaged" in words(pilot)
        monkeypatch.setattr(whatif, "Session", _Broken)
        await press(pilot, "4")
        assert "The process ended." in words(pilot)
        pilot.app.pop_screen()
        refuse(monkeypatch, explain_documents, "explained")
        failing = ExplanationView(pilot.app.desk, made.RUN)
        pilot.app.push_screen(failing)
        await settle(pilot)
        assert failing.state == "failed"
        assert REFUSED in words(pilot)


async def test_the_error_of_a_job_is_told_once(explained: Path) -> None:
    async with running(explained, SMALL, "4") as pilot:
        view = await open_view(pilot)
        begun = {
            command: Job(command, command, {}, "ada", "running", "", None, "", 0, 0, 1, None)
            for command in ("explain.model", "explain.fairness", "drift.check")
        }
        view.post_message(Advanced(begun["explain.model"]))
        view.post_message(PartAdvanced("fairness", begun["explain.fairness"]))
        await pilot.pause()
        before = Pulse(jobs=tuple(begun.values()))
        failed = Pulse(jobs=tuple(replace(it, status="failed", error="Why.") for it in before.jobs))
        pilot.app._tell_ends(before, failed)  # type: ignore[attr-defined]
        await pilot.pause()
        said = {"explain.fairness failed: Why.", "drift.check failed: Why."}
        assert {it.message for it in pilot.app._notifications} == said
        await press(pilot, "5")  # here the error of the comparison would stand
        pilot.app.clear_notifications()
        pilot.app._tell_ends(before, failed)  # type: ignore[attr-defined]
        await pilot.pause()
        assert [it.message for it in pilot.app._notifications] == ["drift.check failed: Why."]


class _Broken(asked.Session):
    def rows(self, start: int, n: int, only: str | None = None) -> dict[str, Any]:
        raise UnavailableError("The process ended.", "Ask again.")


async def test_hostile_names_are_harmless_in_every_part(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.fill_explained(filled, word=HOSTILE)
    hostile = asked.Session(filled, "", HOSTILE)
    monkeypatch.setattr(whatif, "Session", lambda *_: hostile)
    answers = {"fairness": asked.fairness(HOSTILE), "compare": asked.comparison(HOSTILE)}
    async with running(filled, SMALL, "4") as pilot:
        view = await open_view(pilot)
        for name in ("fairness", "compare"):
            monkeypatch.setattr(Desk, "carry_out", lambda *_, n=name: Answer(answers[n]))
            view.ask_part(name, {})
            await settle(pilot)
        for key in "123564":
            await press(pilot, key)
            assert_harmless(text_of(pilot))
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, DecisionView)
        for key in ("e", "escape", *"2345"):
            await press(pilot, key)
            assert_harmless(text_of(pilot))
