"""What is drawn of explanations: places and lengths are those of the numbers, in every width."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import asked_explained as asked
import pytest
import workspaces_explained as made
from test_hostile import assert_harmless

from local_stack.errors import InputError, NotFoundError
from local_stack.explain.groups.page import _proxies
from paceml_tui import contrasts, decisions, dependences, explanations, fairness
from paceml_tui.evaluations import Picture
from paceml_tui.plots import Span
from paceml_tui.printing_explain import (
    comparison_lines,
    fairness_lines,
    model_lines,
    row_lines,
)
from paceml_tui.render import Text, cells, fit
from paceml_tui.screens import explain_rows
from paceml_tui.screens.explain_decision import DecisionView
from paceml_tui.screens.explain_documents import explained, source_of
from paceml_tui.screens.explain_editing import edited, help_of, nudged
from paceml_tui.swarms import levels, look, strip
from paceml_tui.widgets.table import LargestFirst
from paceml_tui.wording import axis, interval_bar, told

HOSTILE = "<b>[/nope]\x1b]0;x\x07"


def answer(**row: Any) -> dict[str, Any]:
    given = {"income": 20_000, "age": 40, "purpose": "car"} | row
    return asked.Session(None, "").explain(row=given)


def everything(word: str = "") -> list[Callable[[int, int], list[Text]]]:
    """Return every drawing of the four documents."""
    document = made.document(word=word)
    session = asked.Session(None, "", word)
    found = session.explain(index=2)
    pictures: list[Picture] = [
        *explanations.pictures(document),
        *fairness.pictures(asked.fairness(word)),
        *contrasts.pictures(asked.comparison(word)),
    ]
    features = [
        lambda w, h, name=name: dependences.feature(document, f"{word}{name}", w, h)
        for name in made.FEATURES
    ]
    return [
        lambda w, h: explanations.beeswarm(document, w, h),
        lambda w, _: explanations.importance_lines(document, w),
        *features,
        *(it.draw for it in pictures),
        lambda w, _: [fit(decisions.verdict(found), w), *decisions.waterfall(found, w)],
        lambda w, _: decisions.reasons(found, w),
        lambda w, _: [*decisions.counterfactuals(found, w), *decisions.held(found, w)],
        lambda w, _: [*decisions.similar(found, w), *decisions.trace(found, w)],
    ]


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [60, 74, 150])
def test_every_drawing_fits_and_obeys_nobody(
    width: int, ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACEML_ASCII", "1" if ascii_only else "")
    for word in ("", HOSTILE):
        for draw in everything(word):
            lines = draw(width, 18)
            assert lines
            for line in lines:
                assert cells(line) <= width, line.plain
                assert_harmless(line.plain)
                if ascii_only and not word:
                    assert line.plain.isascii(), line.plain


def test_steps_lead_from_the_base_to_the_score() -> None:
    found = answer()
    listed = decisions.steps(found)
    assert listed[0]["starts"] == found["base_value"]
    assert listed[-1]["ends"] == pytest.approx(found["score"], abs=1e-12)
    for before, after in pairwise(listed):
        assert after["starts"] == before["ends"]
    cut = decisions.steps(found, 1)
    assert [it["name"] for it in cut] == ["income", "2 others"]
    assert cut[-1]["ends"] == pytest.approx(found["score"], abs=1e-12)


def test_a_bar_begins_where_the_one_before_ended() -> None:
    room = Span(0.0, 10.0)
    up = decisions.step_bar({"shap": 4, "starts": 2.0, "ends": 6.0}, room, 21).plain
    down = decisions.step_bar({"shap": -3, "starts": 6.0, "ends": 3.0}, room, 21).plain
    assert len(up) == len(down) == 21
    ends = [index for index, mark in enumerate(up) if mark != " "]
    assert (ends[0], ends[-1]) == (4, 12)  # 2 and 6 of 10, in 20 steps
    back = [index for index, mark in enumerate(down) if mark != " "]
    assert (back[0], back[-1]) == (6, 12)


def test_the_mark_of_the_decision_stands_at_the_threshold() -> None:
    shown = decisions.verdict(answer() | {"threshold": 0.25}).plain
    drawn = shown[shown.index("  ") + 2 :][:20]
    assert drawn.index("┃") == 5
    assert shown.endswith("from 0.25 on")
    first = answer() | {"threshold": 0.25, "output": "no"}  # it is predicted above 0.75
    assert list(first["probabilities"]) == ["no", "yes"]
    shown = decisions.verdict(first).plain
    assert shown[shown.index("  ") + 2 :][:20].index("┃") == 15
    assert shown.endswith("above 0.75")
    turned = decisions.verdict(answer(income=80_000), answer())
    assert turned.plain.endswith("was yes (73.1%)")
    assert turned.plain.startswith("no  ")


def test_values_have_no_more_digits_than_say_something_and_words_fit_their_number() -> None:
    for value, text in [
        (3 / 23, "0.130435"),
        (27.0, "27"),
        (0.25, "0.25"),
        (1234567.125, "1,234,567"),
        (12345678.0, "12345678"),
        (None, "missing"),
    ]:
        assert told(value).plain == text
    found = {"summary": "", "reasons": ["a"], "against": ["b"], "output": "target"}
    for unit, title in (("target", "What lowers target"), ("log-odds", "What speaks against")):
        lines = [it.plain for it in decisions.reasons(found | {"unit": unit}, 80)]
        assert any(it.startswith(title) for it in lines)


def test_a_logged_prediction_without_contributions_is_drawn_though_its_model_is_gone() -> None:
    class Gone:
        def columns(self) -> list[dict[str, Any]]:
            raise NotFoundError("The artefact is not here.")

    view = DecisionView(None, Gone(), made.RUN, {"prediction": "1a"})  # type: ignore[arg-type]
    assert view.stored(view.request) is None  # so that a job recalls it
    found = answer() | {"probabilities": {}, "threshold": None, "unit": "", "output": ""}
    found |= {"contributions": [], "base_value": None, "score": None, "prediction": "yes"}
    assert decisions.verdict(found).plain.strip().startswith("yes")
    assert decisions.steps(found) == []
    room = decisions.over(found)
    assert (room.low, room.high) == (0, 0)
    assert "not logged" in decisions.waterfall(found, 80)[0].plain


def test_an_interval_lies_where_its_numbers_do() -> None:
    drawn = interval_bar(-5.0, 0.0, 10.0, Span(-10.0, 10.0), 21).plain
    assert drawn == "     ─────●──────────"
    above = interval_bar(2.0, 4.0, 6.0, Span(-10.0, 10.0), 21)
    assert above.plain == "          │ ──●──    "
    assert {span.style for span in above.spans} == {"accent"}  # surely not nought
    assert axis(Span(-10.0, 10.0), 21).plain == "-10.0     0     +10.0"


def test_a_strip_has_every_row_over_its_value() -> None:
    (drawn,) = strip([(0.0, 0.1), (1.0, 0.9), (1.0, 0.9)], Span(0.0, 1.0), 11)
    cells_of = [ord(it) - 0x2800 if it != " " else 0 for it in drawn.plain]
    assert [bool(it) for it in cells_of] == [True, *[False] * 9, True]
    assert cells_of[10].bit_count() == 2  # both rows of the last value are seen
    tones = {span.style for span in drawn.spans}
    assert {"ramp1", "ramp5"} <= tones
    assert look(None) == ("quiet", "o")


def test_levels_are_shares_of_rows_not_of_the_range() -> None:
    assert levels([1.0, 2.0, 1_000.0, None]) == [0.0, 0.5, 1.0, None]
    assert levels([3.0, 3.0, 5.0]) == [0.25, 0.25, 1.0]


def test_values_are_read_by_the_type_of_their_column() -> None:
    income, _, purpose = asked.Session(None, "").columns()
    assert edited(" 12,500 ", income, 1) == 12_500
    assert edited("", income, 1) is None
    assert edited("stu", purpose, "car") == "study"
    assert edited("no", {"type": "boolean"}, True) is False
    for text, facts in (("1.5", income), ("nan", income), ("x", income), ("boat", purpose)):
        with pytest.raises(InputError):
            edited(text, facts, None)
    with pytest.raises(InputError, match="study"):
        edited("studi", purpose, "car")
    assert nudged(20_000, income, 1) == 22_000
    assert nudged(90_000, income, 1) == 90_000
    assert nudged("study", purpose, 1) == "car"
    assert nudged(True, {"type": "boolean"}, 1) is False
    assert nudged(0.5, {"type": "double", "low": 0.0, "high": 1.0}, -1) == pytest.approx(0.45)
    assert "10,000 to 90,000" in help_of(income)
    assert "car, home, study" in help_of(purpose)


def test_a_row_is_named_by_number_as_json_or_by_prediction() -> None:
    assert source_of("1,204") == {"index": 1204}
    assert source_of('{"age": 3}') == {"row": {"age": 3}}
    assert source_of("p-12") == {"prediction": "p-12"}
    with pytest.raises(InputError, match="JSON object"):
        source_of("{'age': 3}")


def test_log_odds_before_calibration_are_found_by_the_name_of_log_odds() -> None:
    row = dict.fromkeys(
        ("run_id", "dataset", "version", "n_rows", "n_total", "importance", "base_value"), None
    )
    row |= {"unit": "log-odds before calibration", "additivity_error": 0.0, "created_at": ""}
    desk: Any = SimpleNamespace(query=lambda *_: [row])
    for unit, is_found in (("log-odds", True), (row["unit"], True), ("probability", False)):
        assert (explained(desk, "r", unit) is not None) == is_found


def test_the_class_is_named_wherever_values_are_those_of_one_and_sums_are_called_so() -> None:
    document = made.document()
    explained = document["explanation"]
    whole = [it.plain for it in explanations.beeswarm(document, 76, 20)]
    assert whole[0].startswith("SHAP value, log-odds of yes, 300 rows")
    shown = [it.plain for it in dependences.feature(document, "income", 76, 20)]
    assert shown[0] == "0.301 mean |SHAP|, log-odds · shuffled: log_loss +0.100 (0.08 to 0.12)"
    assert "SHAP value (log-odds of yes) by value" in shown
    many = {**document, "explanation": explained | {"n_summed": 15}}
    shown = [it.plain for it in dependences.feature(many, "income", 76, 20)]
    assert shown[:2] == [
        "0.301 mean |SHAP|, log-odds summed over 15 classes",
        "shuffled: log_loss +0.100 (0.08 to 0.12)",
    ]
    assert explanations.measured(explained | {"output": None}) == "log-odds"


def test_columns_that_are_not_drawn_are_counted() -> None:
    document = made.document()
    explained = document["explanation"]
    more = [{"feature": f"f{at}", "mean_abs_shap": 0.0} for at in range(3)]
    many = {**document, "explanation": explained | {"importance": explained["importance"] + more}}
    assert [it.plain for it in explanations.beeswarm(many, 76, 20)][-1] == "and 3 more columns"
    assert "more" not in explanations.beeswarm(document, 76, 20)[-1].plain
    drawn = [it.plain for it in explanations.interactions(many["explanation"], 76, 20)]
    assert "and 5 more columns" in drawn  # of nine, four were measured in pairs


def test_rows_say_of_which_class_their_probability_is_and_cut_names_with_a_sign() -> None:
    rows = asked.Session(None, "").rows(0, 3)["rows"]
    long = "account_check_status"
    for row in rows:
        row["values"] = {long: 1}
    lines = explain_rows.row_lines(rows, [long], "an outcome of a very long name", ("no", "yes"))
    assert [it.title for it in lines.columns] == [
        "row",
        "predicted",
        "probability of yes",
        "an outcome of a ver…",
        "account_check…",
    ]
    assert list(lines.orders) == ["", "predicted", "probability of yes"]
    assert isinstance(lines.orders["probability of yes"], LargestFirst)
    many = explain_rows.row_lines(rows, [], "y", ("no", "yes", "perhaps"))
    assert many.columns[2].title == "its probability"  # of what is predicted, before it
    numbers = [it | {"probability": None} for it in rows]
    assert list(explain_rows.row_lines(numbers, [], "y").orders) == ["", "predicted"]


def test_the_command_line_prints_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = "\n".join(model_lines(made.document()["explanation"]))
    assert "agreement 0.910 on 100 rows it did" in printed
    assert "loan_amount" in printed
    assert "summed over" not in printed
    many = made.document()["explanation"] | {"n_summed": 3}
    assert "The bars are summed over the 3 classes." in model_lines(many)
    row = answer() | {"run_id": "r" * 32, "data_version": "loans@1", "prediction_id": None}
    printed = "\n".join(row_lines(row))
    assert "base value, log-odds of yes" in printed
    assert "1. 1 change to no (" in printed
    assert "From the raw row to the features" in printed
    printed = "\n".join(fairness_lines(asked.fairness()))
    assert "'women' is selected 0.667 times as often as 'men'" in printed
    assert "too few" in printed
    assert "income lowers it by 30 points." in "\n".join(comparison_lines(asked.comparison()))


def test_gaps_without_intervals_are_drawn() -> None:
    report = asked.fairness()
    (group,) = report["tables"][0]["shap_gaps"]["groups"]
    for it in (group, *group["columns"]):
        it |= {"low": None, "high": None}
    printed = "\n".join(fairness_lines(report))
    assert "women -0.300 (weights leave no interval) 100 rows" in printed
    assert "income" in printed


def test_proxies_that_were_not_measured_together_are_told_alone() -> None:
    report = asked.fairness()
    report["tables"][0]["proxies"]["together"] = None
    printed = "\n".join(fairness_lines(report))
    assert "The model does not see sex itself. roc_auc of a column that tells nothing: 0.5." in (
        " ".join(printed.split())
    )
    assert "together tell" not in printed


def test_calibration_by_group_is_told() -> None:
    report = asked.fairness()
    for it in report["tables"][0]["groups"][:2]:
        it["metrics"] |= {"mean_score": 0.25, "base_rate": 0.5}
        it["calibration"] = {"expected_error": 0.125, "slope": None, "intercept": -0.5, "bins": []}
    printed = [" ".join(it.split()) for it in fairness_lines(report)]
    assert "men 0.250 0.500 0.125 - -0.500" in [it.replace("—", "-") for it in printed]
    assert "sex: calibration" in [it.name for it in fairness.pictures(report)]
    assert "sex: calibration" not in [it.name for it in fairness.pictures(asked.fairness())]


def test_a_trait_that_the_model_sees_is_no_proxy_of_itself() -> None:
    report = asked.fairness()
    report["tables"][0]["proxies"] |= {"is_input": True}
    printed = " ".join("\n".join(fairness_lines(report)).split())
    assert "The model sees sex itself. All its other columns together tell it by" in printed
    assert "All its other columns together give it away" in _proxies(report["tables"][0]["proxies"])
