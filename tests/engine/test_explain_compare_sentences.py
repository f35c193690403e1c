"""What a comparison says in words agrees with its numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from local_stack.errors import InputError
from local_stack.explain.contrasting.parts import (
    ColumnChange,
    ComparedSide,
    OutcomeChange,
    ValueShift,
)
from local_stack.explain.contrasting.sentences import sentences
from local_stack.explain.contrasting.sides import output_of, units_of

SIDES = (ComparedSide("A", "r", "d", 100, 100), ComparedSide("B", "r", "d", 100, 100))


def outcome(measure: str, difference: float) -> OutcomeChange:
    ends = (difference - 0.1, difference + 0.1)
    return OutcomeChange(
        *(measure, 0.4, 0.4 + difference, difference, *ends, 0.0, None, None, 0.0, 0.0)
    )


def change(name: str, difference: float, *values: ValueShift) -> ColumnChange:
    return ColumnChange(
        *(name, 0.0, difference, difference, difference - 0.1, difference + 0.1, difference, 0.0),
        values=values,
        by_measure={},
        **dict.fromkeys(("importance_a", "importance_b"), 0.1),
        **dict.fromkeys(("rank_a", "rank_b"), 1),
        **dict.fromkeys(("rank_change", "rank_low", "rank_high", "correlation")),
    )


def told(measure: str, *columns: ColumnChange) -> tuple[str, ...]:
    total = sum(it.difference for it in columns)
    return sentences(SIDES, "y", [outcome(measure, total)], columns, is_paired=False)


def test_the_value_that_is_named_moves_the_way_of_its_column() -> None:
    against = ValueShift("1 to 2", 0.1, 0.2, 0.3, 0.3, 0.05)
    along = ValueShift("2 to 3", 0.3, 0.2, 0.3, 0.3, -0.04)
    (said,) = (
        it
        for it in told("probability", change("income", -0.02, against, along))
        if it.startswith("income lowers it by 2.0 points")
    )
    assert "through its changed values (2 to 3 went from 30.0 % to 20.0 % of the rows)" in said
    (said,) = (
        it
        for it in told("probability", change("income", -0.02, against))
        if it.startswith("income lowers it by 2.0 points")
    )
    assert said.endswith("-2.0 points through its changed values.")


def test_what_rounds_to_nothing_is_told_without_a_sign() -> None:
    assert told("probability", change("a", 0.1), change("b", -0.0004))[-1] == (
        "The other column moves it by less than 0.1 points."
    )
    assert told("target", change("a", 5.0), change("b", 0.0), change("c", 0.0))[-1] == (
        "The other 2 columns together do not move it."
    )


def test_a_unit_that_one_model_lacks_is_not_said_to_be_its_own() -> None:
    units = ["probability"], ["log-odds before calibration", "probability"]
    forest, calibrated = (SimpleNamespace(explainer=SimpleNamespace(units=it)) for it in units)
    with pytest.raises(InputError, match="The SHAP values are not measured in 'log-odds'"):
        units_of(calibrated, forest, "log-odds")
    plain = SimpleNamespace(explainer=SimpleNamespace(units=["log-odds", "probability"]))
    with pytest.raises(InputError, match="One model has log-odds, the other log-odds before"):
        units_of(plain, calibrated, "log-odds")


def test_a_regression_has_no_class_to_compare() -> None:
    model = SimpleNamespace(task="regression", target="income", classes=())
    side = SimpleNamespace(subject=SimpleNamespace(model=model))
    assert output_of(side, side, None) == output_of(side, side, "income") == "income"
    with pytest.raises(InputError, match="'yes' is not a class of this model") as caught:
        output_of(side, side, "yes")
    assert caught.value.hint == "It predicts a number."


def test_small_and_large_targets_are_the_same_only_but_for_rounding() -> None:
    for scale, difference in ((1e-13, 1e-13), (1e12, 1e-3)):
        whole = OutcomeChange(
            *("target", scale, scale + difference, difference, None, None, 0.0),
            *(None, None, 0.0, 0.0),
        )
        column = replace(change("x", difference), importance_a=scale, importance_b=scale)
        said = sentences(SIDES, "y", [whole], [column], is_paired=False)
        assert said[0].endswith("B is the same.") == (scale > 1), said
