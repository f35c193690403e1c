"""Counterfactuals: that they flip, keep to their limits, and could not be smaller."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from deciding_kit import Case, changed, loan_case, real_case
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from local_stack.errors import InputError
from local_stack.explain.deciding.answers import answer
from local_stack.explain.deciding.constraints import DECREASE, INCREASE, Limit
from local_stack.explain.deciding.counterfactuals import Counterfactual, counterfactuals
from local_stack.explain.deciding.wanted import Wanted, scores_of, wanted_of
from local_stack.explain.effects.whole import named_output

FOREST = "sklearn.ensemble.RandomForestClassifier"


def find(case: Case, index: int, asked: str = "", n: int = 1, **more: Any) -> Any:
    limits = more.pop("limits", None)
    row = case.row(index)
    wanted = wanted_for(case, row, asked)
    return counterfactuals(case.setting(limits), row, wanted, n, **more)


def wanted_for(case: Case, row: dict[str, Any], asked: str = "") -> Wanted:
    model = case.model
    matrix = model.matrix({name: [value] for name, value in row.items()})
    scores = [] if model.task == "regression" else scores_of(model, matrix)[0]
    return wanted_of(model, model.predict_row(row), scores, asked)


def plain_row(case: Case, index: int) -> dict[str, Any]:
    return case.space.row(case.space.coded[index])


def check_smallest(case: Case, index: int, wanted: Wanted, found: Counterfactual) -> None:
    """Undo each change, and bring each number one training value nearer: the outcome must go."""
    row = plain_row(case, index)
    after = changed(row, found.changes)
    assert wanted.holds(case.says(after)), found.text
    for change in found.changes:
        if len(found.changes) > 1:
            assert not wanted.holds(case.says({**after, change.feature: change.before})), change
        axis = case.space.axes[case.space.names.index(change.feature)]
        now = axis.code_of(case.row(index)[change.feature])
        then = axis.code_of(
            case.model.preparation.validate_row(json.loads(json.dumps(after)))[change.feature]
        )
        assert then in axis.values  # it is that of a training row
        if axis.is_ordered and now == now:
            low, high = sorted((now, then))
            between = axis.values[(axis.values > low) & (axis.values < high)]
            if len(between):
                nearer = float(between[-1] if then > now else between[0])
                row_nearer = {**after, change.feature: axis.plain_of(nearer)}
                assert not wanted.holds(case.says(row_nearer)), change


# ------------------------------------------------------------------ real tables


@pytest.mark.parametrize(
    ("name", "asked"), [("credit", ""), ("titanic", ""), ("wine", ">=6.5"), ("wine", "4..5.2")]
)
def test_real_rows_flip_by_the_smallest_changes(shared_data: Path, name: str, asked: str) -> None:
    case = real_case(shared_data, name)
    held = {"sex": Limit(fixed="asked for"), "age": Limit(direction=INCREASE)}
    n_tried = n_flipped = 0
    for index in range(3, 400, 60):
        wanted = wanted_for(case, case.row(index), asked)
        if wanted.holds(case.model.predict_row(case.row(index))):
            continue
        n_tried += 1
        found = find(case, index, asked, n=2, limits=held).counterfactuals
        n_flipped += bool(found)
        columns = [frozenset(it.feature for it in way.changes) for way in found]
        assert len(set(columns)) == len(columns)  # each is of other columns
        costs = [(len(way.changes), way.distance) for way in found]
        assert costs == sorted(costs)
        for way in found:
            assert way.is_minimal
            check_smallest(case, index, wanted, way)
            for change in way.changes:
                assert change.feature != "sex"
                assert change.feature != "age" or change.after > change.before
    assert n_tried >= 4
    assert n_flipped == n_tried


def test_what_was_missing_becomes_as_usual_as_it_may_be() -> None:
    known = np.arange(1.0, 201)
    frame = pl.DataFrame(
        {
            "x": [None] * 100 + known.tolist(),
            "told": ["no"] * 100 + ["yes" if 60 <= it <= 180 else "no" for it in known],
        }
    )
    params = {"n_estimators": 20, "num_leaves": 4, "min_child_samples": 5}
    case = Case(frame, "told", params=params)
    (way,) = find(case, 0, "yes").counterfactuals
    (change,) = way.changes
    assert (change.feature, change.before) == ("x", None)
    assert change.after == pytest.approx(np.median(known), abs=1)


# ------------------------------------------------------------------ against brute force


def shares(case: Case) -> dict[str, dict[float, float]]:
    """Which share of the values of a column lies below each of them, itself counted half."""
    found = {}
    for axis in case.space.axes:
        known = axis.codes[~np.isnan(axis.codes)]
        places = (rankdata(known) - 0.5) / len(known)
        found[axis.name] = dict(zip(known.tolist(), places.tolist(), strict=True))
    return found


def test_distances_are_gowers_with_ranks() -> None:
    case = loan_case()
    known = shares(case)
    apart = case.space.distances(case.space.coded, case.space.coded[8])
    for place, axis in enumerate(case.space.axes):
        own = axis.codes[8]
        for row, code in enumerate(axis.codes.tolist()):
            if np.isnan(code) or np.isnan(own):
                expected = float(np.isnan(code) != np.isnan(own))
            elif axis.is_ordered:
                expected = abs(known[axis.name][code] - known[axis.name][own])
            else:
                expected = float(code != own)
            assert apart[row, place] == pytest.approx(expected, abs=1e-12)


def coarse() -> Case:
    """A model of three columns with few values, so that every change can be tried."""
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 12, (2, 400))
    c = generator.choice(["x", "y", "z"], 400)
    is_true = a + 2 * b + 6 * (c == "z") + generator.normal(scale=2, size=400) > 22
    frame = pl.DataFrame({"a": a, "b": b, "c": c, "y": is_true})
    params = {"n_estimators": 20, "num_leaves": 7, "num_threads": 1}
    return Case(frame, "y", task="classification", params=params)


def test_the_smallest_change_is_that_of_brute_force() -> None:
    case = coarse()
    axes = case.space.axes
    grid = np.array(list(itertools.product(*(axis.values.tolist() for axis in axes))))
    says = np.array(case.model.predict(case.space.columns(grid)))
    n_pairs = 0
    for index in range(0, 60, 3):
        coded = case.space.coded[index]
        n_changed = (grid != coded).sum(axis=1)
        apart = case.space.distances(grid, coded).sum(axis=1)
        flips = says != case.model.predict_row(case.row(index))
        fewest = n_changed[flips].min()
        (found,) = find(case, index).counterfactuals
        assert len(found.changes) == fewest
        n_pairs += fewest == 2
        if fewest == 1:  # all values of one column are tried; pairs are over a grid
            best = apart[flips & (n_changed == 1)].min()
            assert found.distance == pytest.approx(best, abs=1e-12)
    assert n_pairs >= 1


# ------------------------------------------------------------------ limits

_ORDERED = ("income", "months", "rate", "since")


@st.composite
def some_limits(draw: st.DrawFn) -> dict[str, Limit]:
    case, found = loan_case(), {}
    for axis in case.space.axes:
        kind = draw(st.sampled_from(["free", "fixed", "direction", "bounds", "listed"]))
        values = axis.values.tolist()
        if kind == "fixed":
            found[axis.name] = Limit(fixed="asked for")
        elif kind == "direction" and axis.is_ordered:
            found[axis.name] = Limit(direction=draw(st.sampled_from([INCREASE, DECREASE])))
        elif kind == "bounds" and axis.is_ordered:
            low, high = sorted(draw(st.lists(st.sampled_from(values), min_size=2, max_size=2)))
            is_open = draw(st.booleans())
            found[axis.name] = Limit(low=low, high=high, is_open_low=is_open, is_open_high=is_open)
        elif kind == "listed":
            some = frozenset(draw(st.lists(st.sampled_from(values), min_size=1, max_size=4)))
            is_allowed = draw(st.booleans())
            others = frozenset(values) - some
            found[axis.name] = Limit(allowed=some) if is_allowed else Limit(forbidden=others)
    return found


@settings(max_examples=15)
@given(index=st.integers(0, 299), limits=some_limits())
def test_no_limit_is_ever_broken(index: int, limits: dict[str, Limit]) -> None:
    case = loan_case()
    found = find(case, index, n=2, limits=limits, budget=2_000)
    assert found.counterfactuals or found.note
    assert found.n_asked <= 2_000
    wanted = wanted_for(case, case.row(index))
    before = case.space.coded[index]
    for way in found.counterfactuals:
        after = changed(plain_row(case, index), way.changes)
        assert wanted.holds(case.says(after))
        checked = case.model.preparation.validate_row(json.loads(json.dumps(after)))
        for axis, code in zip(case.space.axes, before.tolist(), strict=True):
            then, limit = axis.code_of(checked[axis.name]), limits.get(axis.name, Limit())
            if then == code or (np.isnan(then) and np.isnan(code)):
                continue
            assert not limit.fixed
            assert then in axis.values  # so that whole numbers stay whole, and nothing is made up
            assert limit.low <= then <= limit.high
            assert not limit.is_open_low or limit.low < then < limit.high
            assert limit.allowed is None or then in limit.allowed
            assert then not in limit.forbidden
            if limit.direction:
                assert then > code if limit.direction == INCREASE else then < code


def test_what_cannot_be_found_is_said() -> None:
    case = loan_case()
    fixed = dict.fromkeys(case.space.names, Limit(fixed="asked for"))
    assert find(case, 0, limits=fixed).note == (
        "Every column is held as it is, so nothing can change."
    )
    weak = {**fixed, "rate": Limit()}  # the model hardly looks at it
    found = find(case, 0, limits=weak)
    assert not found.counterfactuals
    assert "was found with values of training rows and 5 columns held" in found.note
    spent = find(case, 0, n=20, budget=30)
    assert spent.n_asked <= 30
    assert "as many as a search may (30)" in spent.note
    wanted = wanted_for(case, case.row(0))
    same = counterfactuals(case.setting(), case.row(0), Wanted(case.model, 1 - wanted.number))
    assert same.note.endswith("already.")


@pytest.mark.parametrize(
    ("limit", "admitted"),
    [
        (Limit(), [1, 2, 4, 5]),
        (Limit(fixed="asked for"), []),
        (Limit(direction=INCREASE), [4, 5]),
        (Limit(direction=DECREASE), [1, 2]),
        (Limit(low=2, high=4), [2, 4]),
        (Limit(low=2, is_open_low=True), [4, 5]),
        (Limit(high=4, is_open_high=True), [1, 2]),
        (Limit(allowed=frozenset({2.0, 3.0})), [2]),
        (Limit(forbidden=frozenset({2.0, 3.0})), [1, 4, 5]),
    ],
)
def test_what_a_limit_admits(limit: Limit, admitted: list[float]) -> None:
    values = np.array([1.0, 2, 3, 4, 5, np.nan])
    assert values[limit.admits(values, 3.0)].tolist() == admitted


def votes(is_whole: bool) -> Case:
    """A model that wants most of nine columns changed, or of six that hang together."""
    generator = np.random.default_rng(1)
    if is_whole:
        ballots = generator.integers(0, 2, (600, 9)).astype(float)
        is_true, params = ballots.sum(axis=1) > 5.5, {}
    else:
        ballots = generator.integers(0, 30, (600, 6)).astype(float)
        is_true = np.minimum.reduce(ballots[:, :5], axis=1) + ballots[:, 5] / 9 > 11
        params = {"max_depth": 9, "n_estimators": 15, "random_state": 0}
    frame = pl.DataFrame(ballots, schema=[f"v{at}" for at in range(ballots.shape[1])])
    linear, forest = "sklearn.linear_model.LogisticRegression", FOREST
    return Case(
        frame.with_columns(y=is_true),
        "y",
        task="classification",
        estimator=linear if is_whole else forest,
        params=params,
    )


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_needs_many_columns_is_taken_from_training_rows_and_made_smaller(
    is_whole: bool,
) -> None:
    case = votes(is_whole)
    sums = case.space.coded.sum(axis=1)
    sizes = []
    for index in np.argsort(sums, kind="stable")[: 1 if is_whole else 4].tolist():
        wanted = wanted_for(case, case.row(index), "True")
        for way in find(case, index, "True", n=3).counterfactuals:
            check_smallest(case, index, wanted, way)
            sizes.append(len(way.changes))
            assert not is_whole or len(way.changes) == 6 - sums[index]
    assert max(sizes) >= 5


def test_a_missing_value_may_become_known_but_has_no_direction() -> None:
    case = loan_case()
    index = next(at for at in range(300) if case.frame["income"][at] is None)
    assert not Limit(direction=INCREASE).admits(np.array([1.0, 2.0]), float("nan")).any()
    for way in find(case, index, n=4).counterfactuals:
        for change in way.changes:
            assert change.after is not None
            assert change.before is not None or change.distance == 1.0


# ------------------------------------------------------------------ other outcomes and models


@pytest.mark.parametrize(
    ("target", "estimator", "asked"),
    [
        ("grade", "lightgbm", ""),
        ("grade", "lightgbm", "2"),
        ("paid", "sklearn.svm.LinearSVC", ""),
        ("grade", "sklearn.ensemble.RandomForestClassifier", "0"),
        ("limit", "sklearn.linear_model.Ridge", "<=2500"),
        ("limit", "lightgbm", "3000..3400"),
    ],
)
def test_every_kind_of_outcome(target: str, estimator: str, asked: str) -> None:
    case = loan_case(target, estimator)
    n_found = 0
    for index in (1, 20, 55):
        wanted = wanted_for(case, case.row(index), asked)
        found = find(case, index, asked)
        for way in found.counterfactuals:
            n_found += 1
            check_smallest(case, index, wanted, way)
            assert (way.probability is None) == (not case.model.has_probabilities)
            nearest = way.nearest_row
            assert nearest is None or wanted.holds(case.frame[target][nearest])
    assert n_found >= 1


def test_the_same_question_has_the_same_answer() -> None:
    case = loan_case()
    first = find(case, 9, n=3)
    assert first == find(case, 9, n=3)
    assert len(first.counterfactuals) >= 2


def test_a_change_reads_as_a_sentence() -> None:
    case = loan_case("limit")
    row = case.row(2)
    (way,) = find(case, 2, str(case.model.predict_row(row) + 900)).counterfactuals
    assert way.text.startswith("If ")
    assert " instead of " in way.text
    assert "the model would say" in way.text
    assert "\x1b" not in way.text


@pytest.mark.parametrize("estimator", ["sklearn.svm.LinearSVC", "sklearn.svm.SVC"])
def test_without_probabilities_the_nearest_class_is_that_of_the_decision_function(
    estimator: str,
) -> None:
    case = loan_case("grade", estimator)
    assert not case.model.has_probabilities
    decided = case.model.estimator.decision_function(case.model.matrix(case.raw))
    n_not_first = 0
    for index in range(0, 40):
        order = decided[index].argsort(kind="stable")[::-1]
        assert case.model.predict_row(case.row(index)) == case.model.classes[order[0]]
        wanted = wanted_for(case, case.row(index))
        assert wanted.label == case.model.classes[order[1]]
        n_not_first += order[1] != min(set(range(3)) - {int(order[0])})
    assert n_not_first > 3


def test_the_row_itself_is_no_training_row_that_had_the_outcome() -> None:
    case = loan_case()
    says, was = case.model.predict(case.raw), case.frame["paid"].to_list()
    n_itself = 0
    for index in [at for at in range(case.frame.height) if says[at] != was[at]][:12]:
        wanted = wanted_for(case, case.row(index))
        assert wanted.label == was[index]
        setting = dataclasses.replace(case.setting(), leave_out=index)
        (way,) = counterfactuals(setting, case.row(index), wanted).counterfactuals
        after = changed(plain_row(case, index), way.changes)
        then = case.space.code(case.model.preparation.validate_row(after))
        apart = case.space.distances(case.space.coded, then).mean(axis=1)
        had = [at for at in range(case.frame.height) if was[at] == wanted.label]
        others = [at for at in had if at != index]
        assert way.nearest_row == min(others, key=lambda at: (apart[at], at))
        assert way.nearest_distance == pytest.approx(min(apart[others]))
        n_itself += index == min(had, key=lambda at: (apart[at], at))
    assert n_itself


def test_a_class_of_truth_values_is_named_in_either_spelling() -> None:
    case = coarse()
    row = case.row(0)
    texts = {wanted_for(case, row, asked).words for asked in ("true", "True", "TRUE")}
    assert texts == {"'True'"}
    told = [answer(case.explainer, row, None, asked) for asked in ("false", "False")]
    assert told[0] == told[1]
    assert told[0].output == "False"
    assert f"The model says '{told[0].prediction}': the probability of 'False'" in told[0].summary
    other = "False" if told[0].prediction else "True"
    (way,) = find(case, 0, other.lower()).counterfactuals
    assert f"the model would say '{other}' (" in way.text
    assert [named_output(case.model, it) for it in ("true", "False", None)] == [
        "True",
        "False",
        None,
    ]
    for asked in ("tru", "1"):
        with pytest.raises(InputError, match="is not a class"):
            named_output(case.model, asked)
        with pytest.raises(InputError, match="is not a class"):
            wanted_for(case, row, asked)


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        (">=6", 6, np.inf),
        ("<= -1.5e2", -np.inf, -150),
        ("5..6", 5, 6),
        ("..6", -np.inf, 6),
        ("5..", 5, np.inf),
        ("99999", 99999, np.inf),
        ("-99999", -np.inf, -99999),
    ],
)
def test_ranges(asked: str, low: float, high: float) -> None:
    found = wanted_of(loan_case("limit").model, 3000.0, None, asked)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize("asked", ["", "..", "6..5", "high", ">6", "1e999..nan", "\x1b[31m"])
def test_what_is_no_range_is_refused(asked: str) -> None:
    with pytest.raises(InputError):
        wanted_of(loan_case("limit").model, 3000.0, None, asked)


def test_an_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'yes'"):
        wanted_of(loan_case().model, "no", None, "yess")


def test_dates_move_the_way_they_may() -> None:
    case = loan_case()
    only = {name: Limit(fixed="asked for") for name in case.space.names if name != "since"}
    moved = 0
    for index in range(12):
        limits = {**only, "since": Limit(direction=DECREASE)}
        for way in find(case, index, limits=limits).counterfactuals:
            (change,) = way.changes
            assert date.fromisoformat(change.after) < date.fromisoformat(change.before)
            moved += 1
    assert moved
