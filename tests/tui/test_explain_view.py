"""The view of an explanation: features, the beeswarm, the whole model, in each of its states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workspaces
import workspaces_explained as made
from conftest import LARGE, SMALL, running, settle, text_of
from test_hostile import assert_harmless
from test_runs_view import detail_of
from views_kit import REFUSED, assert_small_and_back, held, press, refuse, words

from paceml_tui.app import PacemlApp
from paceml_tui.screens import explain_documents
from paceml_tui.screens.explain_view import ExplanationView
from paceml_tui.widgets.chooser import Chooser


@pytest.fixture
def explained(filled: Path) -> Path:
    """Return a workspace with an explanation and everything that is drawn of it."""
    made.fill_explained(filled)
    return filled


async def open_view(pilot: Any, run: str = made.RUN) -> ExplanationView:
    view = ExplanationView(pilot.app.desk, run, "a run")
    pilot.app.push_screen(view)
    await settle(pilot)
    await settle(pilot)
    return view


def lines_of(pilot: Any) -> list[str]:
    return text_of(pilot).splitlines()


async def test_features_are_bars_with_the_interval_of_shuffling_beside(explained: Path) -> None:
    async with running(explained, SMALL, "4") as pilot:
        await open_view(pilot)
        shown = words(pilot)
        assert "300 rows a sample log-odds base -1.250" in shown
        assert "1 features 6 2 beeswarm 3 model 4 rows" in shown
        listed = [line.split() for line in lines_of(pilot) if "█" in line or "unused" in line]
        assert [line[0] for line in listed[:2]] == ["loan_amount", "income"]
        assert listed[0][2:] == ["0.362", "+0.121", "(0.10", "to", "0.14)"]
        assert len(listed[0][1]) > len(listed[1][1]) or listed[0][1] > listed[1][1]
        assert listed[-1][0] == "unused"
        await press(pilot, "s", "s")  # by shuffling
        assert words(pilot).index("loan_amount") < words(pilot).index("income")


async def test_a_feature_shows_dependence_missing_values_and_partial_dependence(
    explained: Path,
) -> None:
    async with running(explained, SMALL, "4") as pilot:
        await open_view(pilot)
        await press(pilot, "j", "enter")
        shown = words(pilot)
        assert "SHAP value (log-odds) by value" in shown
        assert "missing (12)" in shown
        assert "Prediction (probability of yes) if all 200 rows had the value" in shown
        assert shown.count("│") > 8  # both are drawn within the terminal
        await press(pilot, "escape", "j", "enter")
        shown = words(pilot)
        for name in made.PURPOSES:
            assert f"{name} (" in shown
        assert "tone: age 18 ■■■■■ 79" in shown
        await press(pilot, "escape", "G", "enter")
        assert "No split of the model uses it" in words(pilot)


async def test_the_beeswarm_has_a_strip_for_every_feature(explained: Path) -> None:
    async with running(explained, LARGE, "4") as pilot:
        await open_view(pilot)
        await press(pilot, "2")
        shown = text_of(pilot)
        for name in made.FEATURES:
            assert name in shown
        dots = sum(0x2801 <= ord(it) <= 0x28FF for it in shown)
        assert dots > 200
        assert "feature low ■■■■■ high" in shown
        axis = next(line for line in reversed(shown.splitlines()) if "+0.776" in line)
        rule = next(line for line in shown.splitlines() if line.strip().startswith("unused"))
        assert abs(axis.index(" 0 ") + 1 - rule.index("⡇")) <= 1  # the rule stands over nought


async def test_the_model_shows_interactions_rules_and_what_never_helps(explained: Path) -> None:
    expected = {
        "interactions": "age \u00d7 purpose",
        "rules": "agreement 0.910 on 100 rows it did not see (0.700",
        "never help": "No split of the model uses it",
        "shuffled": "log_loss is 0.4100 on 800 rows it did not learn from",
        "how exact": "tree SHAP (exact, path dependent)",
    }
    async with running(explained, LARGE, "4") as pilot:
        view = await open_view(pilot)
        await press(pilot, "3")
        for name, text in expected.items():
            assert view.listed is not None
            assert view.listed.selected is not None
            assert view.listed.selected["name"] == name
            assert text in " ".join(detail_of(pilot, "model").split()), name
            await press(pilot, "j")


async def test_an_explanation_without_drawings_says_so(filled: Path) -> None:
    async with running(filled, SMALL, "4") as pilot:
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ExplanationView)
        assert "alcohol" in words(pilot)
        await press(pilot, "enter")
        assert "Nothing is drawn of it" in words(pilot)
        await press(pilot, "escape", "3", "G", "enter")
        assert "r explains it again" in words(pilot)
        await press(pilot, "escape", "escape")
        assert pilot.app.page.has_focus_within


async def test_the_unit_and_commands(explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(PacemlApp, "copy_to_clipboard", lambda _, text: copied.append(text))
    async with running(explained, SMALL, "4") as pilot:
        view = await open_view(pilot)
        await press(pilot, "y")
        assert copied == [f"paceml-tui explain dependence {made.RUN} loan_amount"]
        await press(pilot, "2", "y")
        assert copied[-1] == f"paceml-tui explain model {made.RUN}"
        monkeypatch.setattr(
            explain_documents,
            "explained",
            lambda desk, target, unit="": made.document(unit=unit or "log-odds"),
        )
        await press(pilot, "u")
        assert view.request.arguments["unit"] == "probability"
        assert "300 rows a sample probability" in words(pilot)
        await press(pilot, "c")
        assert "--unit probability" in words(pilot)


async def test_what_can_be_explained_is_chosen(explained: Path) -> None:
    async with running(explained, SMALL, "4 n") as pilot:
        assert isinstance(pilot.app.screen, Chooser)
        assert "wine-quality/2 Production" in words(pilot)
        assert "lightgbm-00" in words(pilot)
        await press(pilot, "escape")
        assert "lightgbm-04" in words(pilot)


async def test_a_run_opens_its_explanation(explained: Path) -> None:
    async with running(explained, SMALL, "3 j j j j") as pilot:
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, ExplanationView)
        assert "loan_amount" in words(pilot)


@pytest.mark.parametrize("word", [workspaces.HOSTILE[0], "<b>&\x1b]0;x\x07"])
async def test_hostile_names_are_harmless(word: str, filled: Path) -> None:
    made.fill_explained(filled, word=word)
    async with running(filled, LARGE, "4") as pilot:
        view = await open_view(pilot)
        for key in "123":
            await press(pilot, key)
            for _ in range(6):
                assert_harmless(text_of(pilot))
                if view.listed is None:
                    break
                await press(pilot, "j")


async def test_states(explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(explained, SMALL, "4") as pilot:
        with held(monkeypatch, explain_documents, "explained"):
            pilot.app.push_screen(ExplanationView(pilot.app.desk, made.RUN))
            await pilot.pause(0.2)
            assert "Reading the explanation" in words(pilot)
        await settle(pilot)
        await settle(pilot)
        await assert_small_and_back(pilot)
        pilot.app.pop_screen()
        refuse(monkeypatch, explain_documents, "explained")
        view = ExplanationView(pilot.app.desk, made.RUN)
        pilot.app.push_screen(view)
        await settle(pilot)
        assert view.state == "failed"
        assert REFUSED in words(pilot)


async def test_a_damaged_document_is_said_not_drawn(explained: Path) -> None:
    async with running(explained, SMALL, "4") as pilot:
        view = await open_view(pilot)
        found = made.document()
        found["beeswarm"] = {"columns": ["a"], "shap": [[1.0]], "scaled": [], "n_rows": 1}
        found["dependences"] = [{"column": "loan_amount"}]
        view._result = found
        view.show()
        await settle(pilot)
        await press(pilot, "enter")
        assert "the document is damaged" in words(pilot)
        await press(pilot, "escape", "2")
        assert view._part == "beeswarm"
