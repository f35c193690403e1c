"""One row and many give the same bits, for every operation; and the stored form is plain JSON."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import pickle
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation_kit import damage, every_step, same_bits, table, trained

from local_stack.errors import DamagedError, InputError
from local_stack.preparation.categories import Codes, FillByGroup, Hash, Lookup, OneHot
from local_stack.preparation.dates import PARTS, PERIODS, Cycle, Part
from local_stack.preparation.expressions import Expression
from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.preparation.fitting import raw_columns
from local_stack.preparation.grammar import WORDS, word_of
from local_stack.preparation.numbers import (
    Bin,
    Clip,
    Difference,
    Fill,
    IsMissing,
    Power,
    Quantile,
    Ratio,
    Scale,
)
from local_stack.preparation.operations import OPERATIONS, Operation, Same
from local_stack.preparation.texts import KINDS, MEASURES, Cast, TextLength, TfIdf

_reals = st.floats(allow_nan=False, allow_infinity=False)
_some = st.floats(-9, 9)
_numbers = st.none() | _reals | _some | st.integers(-9, 9)
_words = st.none() | st.sampled_from(
    ["", "a", "b", "c", "é", "nan", "1", "2024-02-29", "a b aa cc", "Bb bb"]
)
_moments = st.none() | st.datetimes()
INPUTS = (
    Column("x", "double", True),
    Column("z", "double", True),
    Column("s", "string", True),
    Column("t", "datetime", True),
    Column("u", "datetime", True),
    Column("b", "boolean", True),
)
_values = {
    "x": _numbers,
    "z": _numbers,
    "s": _words,
    "t": _moments,
    "u": _moments,
    "b": st.none() | st.booleans(),
}
X, S, T, W = ("x",), ("s",), ("t",), ("w",)
_category = st.sampled_from(["", "a", "b", "é", "1"])
_maybe = st.none() | _some


def _rising(least: int = 0) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(_some, min_size=least, max_size=6).map(lambda v: tuple(sorted(v)))


def _limits() -> st.SearchStrategy[Operation]:
    return st.tuples(_some, _some).map(lambda v: Clip(X, W, min(v), max(v)))


@st.composite
def _lookups(draw: st.DrawFn) -> Operation:
    groups = draw(
        st.lists(
            st.tuples(st.none() | _category, st.none() | st.booleans()), max_size=5, unique=True
        )
    )
    values = draw(
        st.tuples(*[st.lists(_maybe, min_size=len(groups), max_size=len(groups)).map(tuple)] * 2)
    )
    return Lookup(("s", "b"), ("w", "v"), tuple(groups), values, draw(st.tuples(_maybe, _maybe)))


@st.composite
def _fills_by_group(draw: st.DrawFn) -> Operation:
    keys = draw(st.lists(st.none() | _category, max_size=4, unique=True))
    values = draw(st.lists(_maybe, min_size=len(keys), max_size=len(keys)).map(tuple))
    return FillByGroup(("x", "s"), W, tuple((key,) for key in keys), values, draw(_maybe))


@st.composite
def _one_hots(draw: st.DrawFn) -> Operation:
    categories = draw(st.lists(_category, min_size=1, max_size=4, unique=True).map(tuple))
    has_rare = draw(st.booleans())
    names = tuple(f"w{n}" for n in range(len(categories) + has_rare))
    return OneHot(S, names, categories, has_rare)


@st.composite
def _tfidfs(draw: st.DrawFn) -> Operation:
    terms = tuple(
        draw(st.lists(st.sampled_from(["aa", "bb", "cc", "nan", "bb bb"]), min_size=1, unique=True))
    )
    idf = tuple(draw(st.lists(st.floats(0.1, 9), min_size=len(terms), max_size=len(terms))))
    return TfIdf(
        S,
        tuple(f"w{n}" for n in range(len(terms))),
        terms,
        idf,
        draw(st.sampled_from([(1, 1), (1, 2)])),
    )


OPERATIONS_DRAWN: dict[str, st.SearchStrategy[Operation]] = {
    "same": st.just(Same(X, W)),
    "fill": st.one_of(
        st.builds(Fill, st.sampled_from([X, ("b",)]), st.just(W), _some),
        st.builds(Fill, st.just(S), st.just(W), _category),
        st.builds(Fill, st.just(T), st.just(W), st.datetimes().map(datetime.isoformat)),
    ),
    "is_missing": st.builds(IsMissing, st.sampled_from([X, S, T, ("b",)]), st.just(W)),
    "clip": st.one_of(_limits(), st.builds(Clip, st.just(X), st.just(W), _maybe, st.none())),
    "scale": st.builds(
        Scale, st.just(X), st.just(W), _some, st.floats(1e-3, 9) | st.floats(-9, -1e-3)
    ),
    "power": st.builds(
        Power,
        st.just(X),
        st.just(W),
        st.sampled_from(["yeo-johnson", "box-cox"]),
        _some | st.sampled_from([0.0, 2.0, 1e-17]),
    ),
    "quantile": st.builds(
        Quantile, st.just(X), st.just(W), _rising(1), st.sampled_from(["uniform", "normal"])
    ),
    "bin": st.builds(Bin, st.just(X), st.just(W), _rising()),
    "ratio": st.just(Ratio(("x", "z"), W)),
    "difference": st.sampled_from([Difference(("x", "z"), W), Difference(("t", "u"), W)]),
    "codes": st.builds(Codes, st.just(S), st.just(W), st.just(("", "a", "é")), st.booleans()),
    "one_hot": _one_hots(),
    "lookup": _lookups(),
    "fill_by_group": _fills_by_group(),
    "hash": st.builds(
        Hash,
        st.sampled_from([S, X, ("b",)]),
        st.sampled_from([("w",), ("w", "v", "q")]),
        st.text(max_size=3),
    ),
    "part": st.builds(
        Part, st.just(T), st.just(W), st.sampled_from(PARTS), st.datetimes().map(datetime.isoformat)
    ),
    "cycle": st.builds(Cycle, st.just(T), st.just(("w", "v")), st.sampled_from(list(PERIODS))),
    "cast": st.builds(
        Cast,
        st.sampled_from([X, S, T, ("b",)]),
        st.just(W),
        st.sampled_from(KINDS),
        st.sampled_from([None, "%Y-%m-%d"]),
    ),
    "text_length": st.builds(TextLength, st.just(S), st.just(W), st.sampled_from(MEASURES)),
    "tf_idf": _tfidfs(),
    "expression": st.sampled_from(
        [
            Expression(("x", "z"), W, "col('x').exp() / col('z') ** 0.5"),
            Expression(("x", "z"), W, "(col('x') % col('z')).round(1) // 0.3"),
            Expression(("s", "x"), W, "when(col('s') == 'a').then(col('x')).otherwise(-0.0)"),
            Expression(("t", "u"), W, "(col('t') - col('u')).dt.total_hours()"),
            Expression(("x",), W, "col('x').log1p().tanh().sin() * col('x').cos()"),
            Expression(("s",), W, "col('s').str.to_uppercase().str.slice(-2)"),
            Expression(("x", "b"), W, "(col('x') > 0) | ~col('b')"),
        ]
    ),
}


def test_every_operation_is_drawn() -> None:
    assert set(OPERATIONS_DRAWN) == set(OPERATIONS)


@st.composite
def _rows(draw: st.DrawFn) -> dict[str, list[Any]]:
    n_rows = draw(st.integers(0, 6))
    return {
        name: draw(st.lists(v, min_size=n_rows, max_size=n_rows)) for name, v in _values.items()
    }


def both_ways(
    preparation: Preparation, columns: dict[str, list[Any]]
) -> tuple[np.ndarray, np.ndarray]:
    many = preparation.compile().matrix(columns)
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    one = [preparation.compile().row(row) for row in rows]
    return np.array(one, dtype=np.float64).reshape(many.shape), many


def preparation_of(operations: list[Operation]) -> Preparation | None:
    """A preparation whose features are all the numbers that operations write, or None."""
    try:
        kinds = Preparation(INPUTS, (), True, tuple(operations)).compile().kinds()
    except ValueError:
        return None  # a cast that there is not
    numbers = [n for n, kind in kinds.items() if kind in ("number", "boolean")]
    return Preparation(INPUTS, tuple(Feature(n, "x") for n in numbers), True, tuple(operations))


@settings(max_examples=60)
@given(st.data())
@pytest.mark.parametrize("word", sorted(OPERATIONS_DRAWN))
def test_one_row_and_many_give_the_same_bits(word: str, data: st.DataObject) -> None:
    operation = data.draw(OPERATIONS_DRAWN[word])
    operations = [operation]
    if operation.writes == W:  # and what text or date it writes, as a number
        operations += [Codes(W, ("code",), ("a", "B", "1", "true"), False)]
        if preparation_of(operations) is None:
            operations[-1] = Part(W, ("code",), "elapsed_days", "2020-01-01T00:00:00")
        if preparation_of(operations) is None:
            operations.pop()
    preparation = preparation_of(operations)
    if preparation is not None:
        assert same_bits(*both_ways(preparation, data.draw(_rows())))


@settings(max_examples=150)
@given(st.lists(st.one_of(*OPERATIONS_DRAWN.values()), max_size=8), _rows())
def test_a_preparation_is_plain_json_and_many_operations_keep_their_bits(
    operations: list[Operation], columns: dict[str, list[Any]]
) -> None:
    preparation = preparation_of(operations)
    if preparation is None:
        return
    text = json.dumps(preparation.to_dict(), allow_nan=False)
    again = Preparation.from_dict(json.loads(text))
    assert again == preparation
    assert pickle.loads(pickle.dumps(preparation)) == preparation
    assert same_bits(*both_ways(again, columns))


# ------------------------------------------------------------------ the recipe with every step


def test_the_recipe_has_every_step_and_every_operation() -> None:
    _, training = trained()
    assert {word_of(step) for step in every_step()} == set(WORDS)
    assert {operation.word for operation in training.preparation.operations} == set(OPERATIONS)


def test_every_step_gives_the_same_bits_for_one_row_and_for_10000() -> None:
    frame, training = trained()
    assert frame.height == 10_000
    preparation = Preparation.from_dict(json.loads(json.dumps(training.preparation.to_dict())))
    many = preparation.compile().matrix(raw_columns(frame, preparation.inputs))
    row = preparation.compile().row
    one = np.array([row(raw) for raw in frame.to_dicts()])
    assert same_bits(one, many)
    validated = preparation.validate({c.name: frame[c.name] for c in preparation.inputs})
    assert same_bits(preparation.compile().matrix(validated), many)
    strange = table(500, seed=99)
    rows = np.array([row(raw) for raw in strange.to_dicts()])
    assert same_bits(rows, preparation.compile().matrix(raw_columns(strange, preparation.inputs)))
    assert np.isfinite(rows[~np.isnan(rows)]).all()


def test_what_is_learnt_from_is_what_is_served_but_for_the_target() -> None:
    frame, training = trained()
    preparation = training.preparation
    served = preparation.compile().matrix(raw_columns(frame, preparation.inputs))[training.rows]
    assert 9_000 < len(training.rows) < 9_800
    names = [feature.name for feature in preparation.features]
    different = [
        name
        for name, one, other in zip(names, served.T, training.matrix.T, strict=True)
        if not same_bits(np.ascontiguousarray(one), np.ascontiguousarray(other))
    ]
    assert different == ["zip", "city"]


def test_a_row_of_nothing_and_an_empty_table_have_features() -> None:
    _, training = trained()
    compiled = training.preparation.compile()
    assert len(compiled.row({})) == len(training.preparation.features)
    empty = raw_columns(table(20).head(0), training.preparation.inputs)
    assert compiled.matrix(empty).shape == (0, len(training.preparation.features))


def test_sources_name_the_raw_columns_of_each_feature() -> None:
    _, training = trained()
    sources = training.preparation.sources
    assert sources["age"] == ("opened", "joined")
    assert sources["amount_mean_by_region"] == ("region",)
    assert sources["margin"] == ("amt", "price")
    assert "junk" not in {column.name for column in training.preparation.inputs}
    assert "row" not in {column.name for column in training.preparation.inputs}


# ------------------------------------------------------------------ damage, and the older form


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_preparation_is_refused_or_still_works(data: st.DataObject) -> None:
    _, training = trained()
    value = json.loads(json.dumps(training.preparation.to_dict()))
    damage(value, data)
    with contextlib.suppress(DamagedError):
        preparation = Preparation.from_dict(value)
        with contextlib.suppress(InputError):
            found = preparation.compile().row(preparation.validate_row({}))
            assert all(isinstance(feature, float) for feature in found)


def _changed(place: list[Any], new: Any) -> dict[str, Any]:
    value = copy.deepcopy(STORED)
    target: Any = value
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = new
    return value


STORED = Preparation(
    INPUTS,
    (Feature("w", "x"),),
    True,
    (
        Scale(X, W, 1.0, 2.0),
        Bin(W, W, (1.0, 2.0)),
        Lookup(S, ("l",), (("a",),), ((1.0,),), (0.0,)),
        OneHot(S, ("h",), ("a",), False),
        Expression(X, ("e",), "col('x') + 1"),
    ),
).to_dict()


@pytest.mark.parametrize(
    ("place", "new"),
    [
        (["format"], 3),
        (["operations"], {}),
        (["operations", 0, "op"], "exec"),
        (["operations", 0, "more"], 1),
        (["operations", 0, "scale"], 0),
        (["operations", 0, "scale"], math.inf),
        (["operations", 0, "scale"], True),
        (["operations", 0, "centre"], "1"),
        (["operations", 0, "reads"], ["gone"]),
        (["operations", 0, "reads"], ["s"]),
        (["operations", 0, "reads"], ["t"]),
        (["operations", 0, "reads"], "x"),
        (["operations", 0, "reads"], []),
        (["operations", 0, "writes"], ["a", "b"]),
        (["operations", 0, "writes"], [1]),
        (["operations", 1, "edges"], [2.0, 1.0]),
        (["operations", 1, "edges"], [0.0] * 100_001),
        (["operations", 1, "reads"], ["later"]),
        (["operations", 2, "groups"], [["a", "b"]]),
        (["operations", 2, "groups"], [[{}]]),
        (["operations", 2, "values"], [[1.0, 2.0]]),
        (["operations", 2, "values"], [[math.nan]]),
        (["operations", 2, "other"], []),
        (["operations", 3, "categories"], ["a", "b"]),
        (["operations", 3, "categories"], [None]),
        (["operations", 3, "has_rare"], 0),
        (["operations", 4, "text"], "col('x') + open('f')"),
        (["operations", 4, "text"], "col('z') + 1"),
        (["operations", 4, "text"], "1" * 3_000),
        (["operations", 4, "text"], 5),
        (["features", 0, "name"], "s"),
        (["features", 0, "name"], "nowhere"),
        (["features", 0, "column"], "nowhere"),
        (["features", 0, "n_categories"], -1),
        (["inputs", 0, "type"], "object"),
        (["inputs", 1, "name"], "x"),
        (["accepts_missing"], 1),
    ],
)
def test_a_state_that_makes_no_sense_is_damaged(place: list[Any], new: Any) -> None:
    assert Preparation.from_dict(STORED)
    with pytest.raises(DamagedError, match="preparation of the model is not valid"):
        Preparation.from_dict(_changed(place, new))


def _chain(name: str, column: str, *ops: dict[str, Any], n_categories: int = 0) -> dict[str, Any]:
    return {"name": name, "column": column, "n_categories": n_categories, "ops": list(ops)}


def test_models_of_the_first_format_give_what_they_gave() -> None:
    stored = {
        "format": 1,
        "accepts_missing": True,
        "inputs": [
            {"name": n, "type": t, "nullable": True}
            for n, t in [("x", "double"), ("s", "string"), ("t", "date"), ("b", "boolean")]
        ],
        "features": [
            _chain(
                "s",
                "x",
                {"op": "fill", "value": 2.0},
                {"op": "clip", "lower": 0.0, "upper": 5.0},
                {"op": "scale", "centre": 1.0, "scale": 2.0},
            ),
            _chain("s_a", "s", {"op": "fill", "value": "a"}, {"op": "one_hot", "category": "a"}),
            _chain(
                "x",
                "s",
                {"op": "codes", "categories": ["a", "b"], "is_native": True},
                n_categories=2,
            ),
            _chain("t_year", "t", {"op": "part", "part": "year", "origin": "2020-01-01T00:00:00"}),
            _chain(
                "t_elapsed_days",
                "t",
                {"op": "part", "part": "elapsed_days", "origin": "2020-01-01T00:00:00"},
                {"op": "fill", "value": -1},
            ),
            _chain("b", "b"),
        ],
    }
    preparation = Preparation.from_dict(stored)
    assert [f.name for f in preparation.features] == [
        "s",
        "s_a",
        "x",
        "t_year",
        "t_elapsed_days",
        "b",
    ]
    assert [f.n_categories for f in preparation.features] == [0, 0, 2, 0, 0, 0]
    rows = [
        ({"x": 9.0, "s": "b", "t": "2021-01-01", "b": True}, [2.0, 0.0, 1.0, 2021.0, 366.0, 1.0]),
        (
            {"x": None, "s": None, "t": None, "b": None},
            [0.5, 1.0, math.nan, math.nan, -1.0, math.nan],
        ),
    ]
    for row, expected in rows:
        checked = preparation.validate_row(row)
        np.testing.assert_array_equal(preparation.compile().row(checked), expected)
        matrix = preparation.compile().matrix({name: [value] for name, value in checked.items()})
        np.testing.assert_array_equal(matrix[0], expected)
    assert Preparation.from_dict(preparation.to_dict()) == preparation
    for ops in (
        [{"op": "one_hot", "category": []}],
        [{"op": "scale", "centre": 0, "scale": 0}],
        "x",
    ):
        bad = copy.deepcopy(stored)
        bad["features"][0]["ops"] = ops  # type: ignore[index]
        with pytest.raises(DamagedError):
            Preparation.from_dict(bad)
