"""What is said of one row: reasons in plain language, contributions that add up, similar rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from deciding_kit import loan_case

from local_stack.errors import InputError
from local_stack.explain.deciding.answers import answer
from local_stack.explain.deciding.reasons import Contribution, Measure, reasons, shown, summary
from local_stack.explain.deciding.similar import Past, similar_rows

HOSTILE = "[/nope]\x1b[31m\u202e"


# ------------------------------------------------------------------ plain language


def test_reasons_tell_direction_and_size_in_each_unit() -> None:
    parts = [
        Contribution("credit_amount", 12_579, -0.83),
        Contribution("purpose", "radio/tv", 0.31),
        Contribution("age", None, -0.12),
        Contribution("is_known", True, 0.05),
        Contribution("rate", 2.5, -0.001),
    ]
    told = reasons(parts, Measure("good", "log-odds"), most=3)
    assert told == (
        "credit_amount 12,579 lowers the log-odds of 'good' by 0.83 (odds x 0.44).",
        "purpose 'radio/tv' raises the log-odds of 'good' by 0.31 (odds x 1.36).",
        "age, which is missing, lowers the log-odds of 'good' by 0.12 (odds x 0.89).",
        "The 2 other columns together raise the log-odds of 'good' by 0.049 (odds x 1.05).",
    )
    assert reasons(parts, Measure("good", "probability"), most=1)[0] == (
        "credit_amount 12,579 lowers the probability of 'good' by 83.0 points."
    )
    many = reasons(parts, Measure("good", "log-odds", is_odds=False), most=1)[0]
    assert many == "credit_amount 12,579 lowers the log-odds of 'good' by 0.83."
    assert reasons(parts, Measure("price", "target"), most=1)[0] == (
        "credit_amount 12,579 lowers the predicted price by 0.83."
    )
    assert reasons(parts, Measure("price", "log target"), most=1)[0] == (
        "credit_amount 12,579 lowers the logarithm of price by 0.83 (x 0.44)."
    )


def test_reasons_of_one_side_come_largest_first_and_the_order_of_parts_is_no_matter() -> None:
    parts = [Contribution(name, 1, shap) for name, shap in zip("abcd", (3, -1, -2, 0), strict=True)]
    measure = Measure("y", "target")
    assert [it.split()[0] for it in reasons(parts, measure, sign=-1)] == ["c", "b"]
    assert reasons(parts, measure) == reasons(parts[::-1], measure)
    assert reasons(parts, measure, most=1, sign=-1)[-1].startswith("1 more column lowers the")
    assert reasons(parts, measure, most=3)[-1].startswith("The other column does not move")
    assert reasons([Contribution("a", 1, 0.0)], measure) == (
        "The only column does not move the predicted y.",
    )
    assert reasons([], measure) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "missing"),
        (True, "true"),
        (12_579.0, "12,579"),
        (0.123456789, "0.123457"),
        (1e300, "1e+300"),
        ("x" * 500, "'" + "x" * 59 + "…'"),
        (HOSTILE, "'[/nope]\ufffd[31m\ufffd'"),
    ],
)
def test_values_from_outside_are_short_and_print(value: Any, text: str) -> None:
    assert shown(value) == text
    part = Contribution(HOSTILE, value, 1e9)
    for unit in ("log-odds", "probability", "target", "log target", "decision function"):
        (told,) = reasons([part], Measure(HOSTILE, unit))
        assert told.isprintable()


def test_the_summary_names_threshold_and_average() -> None:
    measure = Measure("bad", "log-odds")
    told = summary("bad", measure, base=-1.0, score=0.4, probability=0.6, threshold=0.5)
    assert told == (
        "The model says 'bad': the probability of 'bad' is 0.600, at or above the threshold of "
        "0.5. From its average, -1, the columns take the log-odds of 'bad' to 0.4."
    )
    told = summary(1.5, Measure("price", "target"), base=123_456.7, score=0.123456)
    assert told == (
        "The model says 1.5. From its average, 123,457, the columns take the predicted price to "
        "0.1235."
    )


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("target", "estimator", "units"),
    [
        ("paid", "lightgbm", ("log-odds", "probability")),
        ("grade", "lightgbm", ("log-odds", "probability")),
        ("limit", "sklearn.linear_model.Ridge", ("target",)),
        ("paid", "sklearn.svm.LinearSVC", ("decision function",)),
    ],
)
def test_contributions_add_up_in_every_unit(
    target: str, estimator: str, units: tuple[str, ...]
) -> None:
    case = loan_case(target, estimator)
    for index in (0, 3, 4):
        row = case.row(index)
        for unit in units:
            found = answer(case.explainer, row, unit)
            total = found.base_value + math.fsum(it.shap for it in found.contributions)
            assert total == pytest.approx(found.score, abs=1e-9)
            assert found.unit == unit
            assert found.units == units
            assert found.prediction == case.model.predict_row(row)
            if case.model.has_probabilities:
                matrix = case.model.matrix({name: [value] for name, value in row.items()})
                expected = case.model.probabilities(matrix)[0].tolist()
                assert list(found.probabilities.values()) == expected
            sizes = [abs(it.shap) for it in found.contributions]
            assert sizes == sorted(sizes, reverse=True)
            for it in found.contributions:
                assert it.value == row[it.feature]
            if unit == "probability":
                assert found.score == pytest.approx(found.probabilities[found.output], abs=1e-9)


def test_contributions_are_those_of_lightgbm_in_original_columns() -> None:
    case = loan_case()
    row = case.row(1)
    matrix = case.model.matrix({name: [value] for name, value in row.items()})
    theirs = case.model.estimator.predict(matrix, pred_contrib=True)[0]
    names = [case.model.preparation.sources[it.name][0] for it in case.model.features]
    expected = dict.fromkeys(names, 0.0)
    for name, value in zip(names, theirs, strict=False):
        expected[name] += value
    found = answer(case.explainer, row)
    assert {it.feature: it.shap for it in found.contributions} == pytest.approx(expected, abs=1e-9)
    assert found.base_value == pytest.approx(theirs[-1], abs=1e-9)


@pytest.mark.parametrize("unit", ["log-odds", "probability"])
def test_the_first_of_two_classes_is_the_second_turned_around(unit: str) -> None:
    case = loan_case()
    row = case.row(1)
    yes, no = (answer(case.explainer, row, unit, name) for name in ("yes", "no"))
    theirs = {it.feature: it.shap for it in yes.contributions}
    assert {it.feature: -it.shap for it in no.contributions} == theirs
    whole = 1.0 if unit == "probability" else 0.0
    assert no.score == pytest.approx(whole - yes.score, abs=1e-12)
    assert no.base_value == pytest.approx(whole - yes.base_value, abs=1e-12)
    said = yes if yes.prediction == "yes" else no
    assert {it.split(" ")[0] for it in yes.adverse[:1]} == {
        it.split(" ")[0] for it in no.adverse[:1]
    }
    assert said.adverse != said.against
    with pytest.raises(InputError, match="Did you mean 'yes'"):
        answer(case.explainer, row, unit, "yess")


# ------------------------------------------------------------------ similar rows


def test_similar_rows_are_the_nearest_and_say_what_became_of_them() -> None:
    case = loan_case()
    outcomes = case.frame["paid"].to_list()
    past = Past(case.explainer, case.space, outcomes, np.arange(300) * 10)
    row = case.row(4)
    found = similar_rows(past, row, 7)
    apart = case.space.distances(case.space.coded, case.space.coded[4]).mean(axis=1)
    order = sorted(range(300), key=lambda at: (apart[at], at))[:7]
    assert [it.index for it in found.rows] == [at * 10 for at in order]
    assert found.rows[0].distance == 0.0
    assert found.rows[0].differs == ()
    said = case.model.predict_row(row)
    assert found.n_agree == sum(outcomes[at] == said for at in order)
    for it, at in zip(found.rows, order, strict=True):
        assert it.outcome == outcomes[at]
        assert it.prediction == case.model.predict_row(case.row(at))
        differing = {
            name
            for name, value in it.values.items()
            if value != case.space.row(case.space.coded[4])[name]
        }
        assert set(it.differs) == differing
    without = similar_rows(past, row, 7, leave_out=40)
    assert 40 not in [it.index for it in without.rows]
    assert without.n_looked_at == 299


def test_similar_by_profile_compares_what_the_values_did() -> None:
    case = loan_case("limit", "lightgbm")
    past = Past(case.explainer, case.space, case.frame["limit"].to_list(), np.arange(300))
    row = case.row(6)
    found = similar_rows(past, row, 5, by="profile")
    shap = case.explainer.attribute(case.model.matrix(case.raw)).values[:, :, 0]
    apart = np.abs(shap - shap[6]).sum(axis=1)
    assert [it.distance for it in found.rows] == pytest.approx(np.sort(apart)[:5], abs=1e-9)
    assert found.n_agree is None
    assert found.mean_outcome == pytest.approx(np.mean([it.outcome for it in found.rows]))
