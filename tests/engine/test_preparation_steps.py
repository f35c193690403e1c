"""Preparation of features: equal to scikit-learn, and to itself for one row and for many."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparation_kit import damage
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from local_stack.errors import DamagedError, InputError
from local_stack.preparation.categories import OneHot
from local_stack.preparation.dates import Part
from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.preparation.fitting import fit_preparation, raw_columns
from local_stack.preparation.numbers import Clip, Fill
from local_stack.preparation.steps import (
    ClipStep,
    DatesStep,
    DropStep,
    EncodeStep,
    FeatureStep,
    ImputeStep,
    ScaleStep,
)

TOLERANCE = 1e-12
GENERATOR = np.random.default_rng(5)
NUMBERS = np.concatenate([GENERATOR.normal(40, 9, 57), [1e6, -3.0, 0.0]])
FLAT = np.full(60, 0.1 + 0.2)


def fitted(frame: pl.DataFrame, *steps: FeatureStep, native: bool = True) -> Preparation:
    return fit_preparation(frame, "y", steps, native_strings=native)


def matrix_of(preparation: Preparation, frame: pl.DataFrame) -> np.ndarray:
    return preparation.compile().matrix(raw_columns(frame, preparation.inputs))


def rows_of(preparation: Preparation, frame: pl.DataFrame) -> np.ndarray:
    row = preparation.compile().row
    return np.array([row(raw) for raw in frame.to_dicts()], dtype=np.float64)


def with_holes(values: np.ndarray) -> list[float | None]:
    return [None if i % 7 == 3 else float(v) for i, v in enumerate(values)]


@pytest.mark.parametrize("strategy", ["median", "mean", "most_frequent"])
def test_filled_numbers_equal_sklearn(strategy: str) -> None:
    values = with_holes(np.round(NUMBERS))
    frame = pl.DataFrame({"x": values})

    found = matrix_of(fitted(frame, ImputeStep("numeric", strategy)), frame)

    holes = np.array([[math.nan if v is None else v] for v in values])
    expected = SimpleImputer(strategy=strategy).fit_transform(holes)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


@pytest.mark.parametrize("values", [NUMBERS, FLAT, np.array([3.0, 3.0, 5.0]), np.array([7.0])])
@pytest.mark.parametrize(
    ("method", "scaler"),
    [("standard", StandardScaler), ("minmax", MinMaxScaler), ("robust", RobustScaler)],
)
def test_scaled_numbers_equal_sklearn(values: np.ndarray, method: str, scaler: type) -> None:
    frame = pl.DataFrame({"x": with_holes(values)})

    found = matrix_of(fitted(frame, ScaleStep("numeric", method)), frame)

    holes = np.array([[math.nan if v is None else v] for v in with_holes(values)])
    np.testing.assert_allclose(found, scaler().fit_transform(holes), rtol=TOLERANCE, atol=TOLERANCE)


WORDS = ["b", "a", None, "c", "b", "a", "b", ""]


def test_one_hot_equals_sklearn_and_is_all_zeros_for_unknown_and_missing() -> None:
    frame = pl.DataFrame({"w": WORDS})
    preparation = fitted(frame, EncodeStep("categorical", "onehot"), native=False)
    seen = pl.DataFrame({"w": [*WORDS, "never"]})

    known = np.array([[w] for w in WORDS if w is not None], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known)
    names = list(encoder.get_feature_names_out(["w"]))
    expected = encoder.transform(np.array([[w] for w in [*WORDS, "never"]], dtype=object))
    assert [f.name for f in preparation.features] == names
    np.testing.assert_array_equal(matrix_of(preparation, seen), expected)
    assert matrix_of(preparation, seen)[-1].tolist() == [0.0] * 4


def test_ordinal_equals_sklearn_and_is_minus_one_for_unknown_and_missing() -> None:
    frame = pl.DataFrame({"w": WORDS})
    preparation = fitted(frame, EncodeStep("categorical", "ordinal"), native=False)
    seen = pl.DataFrame({"w": [*WORDS, "never"]})

    known = [[w] for w in WORDS if w is not None]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    ).fit(np.array(known, dtype=object))
    shown = [[math.nan if w is None else w] for w in [*WORDS, "never"]]
    expected = encoder.transform(np.array(shown, dtype=object))
    np.testing.assert_array_equal(matrix_of(preparation, seen), expected)


def test_native_codes_are_nan_for_unknown_and_missing() -> None:
    frame = pl.DataFrame({"w": WORDS})
    preparation = fitted(frame)
    found = matrix_of(preparation, pl.DataFrame({"w": ["", "a", "c", None, "never"]}))

    assert preparation.features[0].n_categories == 4
    np.testing.assert_array_equal(found[:, 0], [0.0, 1.0, 3.0, math.nan, math.nan])


def test_texts_are_filled_before_they_are_encoded() -> None:
    frame = pl.DataFrame({"w": WORDS})
    frequent = fitted(
        frame, ImputeStep("categorical", "most_frequent"), EncodeStep("categorical", "ordinal")
    )
    constant = fitted(
        frame, ImputeStep(("w",), "constant", "zz"), EncodeStep("categorical", "onehot")
    )

    assert matrix_of(frequent, frame)[2, 0] == 2.0  # 'b'
    assert [f.name for f in constant.features][-1] == "w_zz"
    assert matrix_of(constant, frame)[2].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    ties = pl.DataFrame({"w": ["z", "a", "z", "a", None]})
    tied = fitted(ties, ImputeStep("all", "most_frequent"), EncodeStep("all", "ordinal"))
    assert matrix_of(tied, ties)[4, 0] == 0.0  # the smallest, as in scikit-learn


def test_steps_see_what_the_steps_before_left() -> None:
    frame = pl.DataFrame(
        {"x": [1.0, None, 3.0, 100.0], "k": [3, 1, None, 3], "b": [True, None, False, True]}
    )
    preparation = fitted(
        frame,
        EncodeStep(("k",), "onehot"),
        ImputeStep("numeric", "median"),
        ClipStep("numeric", 0.0, 0.5),
        ScaleStep("numeric", "minmax"),
        ImputeStep(("b",), "constant", 0.0),
    )

    # x: median 3 fills, the median 3 clips, [1, 3] scales; k is encoded and left alone.
    np.testing.assert_array_equal(
        matrix_of(preparation, frame),
        [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]],
    )
    assert [f.name for f in preparation.features] == ["x", "k_1", "k_3", "b"]


def test_clipping_uses_linear_quantiles() -> None:
    frame = pl.DataFrame({"x": with_holes(NUMBERS)})
    preparation = fitted(frame, ClipStep("numeric", 0.05, 0.9))

    present = frame["x"].drop_nulls().to_numpy()
    expected = Clip(("x",), ("x",), *(float(q) for q in np.quantile(present, [0.05, 0.9])))
    assert preparation.operations == (expected,)


def test_dates_become_the_numbers_that_polars_gives() -> None:
    moments = [
        datetime(1969, 12, 31, 23, 59, 59, 999_999),
        datetime(2024, 2, 29, 12, 30),
        None,
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23),
    ]
    frame = pl.DataFrame({"t": moments})
    parts = ("year", "month", "day", "dayofweek", "hour", "quarter", "elapsed_days")
    preparation = fitted(frame, DatesStep("date", parts))

    t = frame["t"]
    origin = datetime(1, 1, 1)
    expected = np.column_stack(
        [
            t.dt.year().cast(pl.Float64),
            t.dt.month().cast(pl.Float64),
            t.dt.day().cast(pl.Float64),
            t.dt.weekday().cast(pl.Float64) - 1,
            t.dt.hour().cast(pl.Float64),
            t.dt.quarter().cast(pl.Float64),
            [math.nan if m is None else (m - origin) / timedelta(days=1) for m in moments],
        ]
    )
    np.testing.assert_allclose(matrix_of(preparation, frame), expected, rtol=TOLERANCE)
    np.testing.assert_array_equal(
        matrix_of(preparation, frame), rows_of(preparation, frame), strict=True
    )


def test_aware_times_are_taken_as_utc() -> None:
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1, 1, tzinfo=UTC)]})
    preparation = fitted(frame, DatesStep("date", ("day", "hour")))
    east = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=3)))

    checked = preparation.validate({"t": [east, "2024-01-01T01:00:00+03:00"]})

    assert checked["t"] == [datetime(2023, 12, 31, 22)] * 2
    assert preparation.compile().matrix(checked).tolist() == [[31.0, 22.0]] * 2
    assert preparation.compile().row({"t": east}) == [31.0, 22.0]


def test_columns_that_are_dropped_or_unused_are_not_asked_for() -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "list": [[1], [2]], "x": [1, 2], "y": [0, 1]})
    preparation = fitted(frame, DropStep(("id", "list")), native=False)

    assert preparation.inputs == (Column("x", "long"),)
    assert preparation.validate({"x": [1], "more": ["?"]}) == {"x": [1]}


FRAME = pl.DataFrame(
    {
        "x": [1.5, 2.5, None],
        "n": [1, 2, 3],
        "s": ["a", "b", "a"],
        "d": [date(2024, 1, 1)] * 3,
        "u": [[1], [2], [3]],
        "i": [1.0, math.inf, 2.0],
    }
)


@pytest.mark.parametrize(
    ("columns", "steps", "native", "words"),
    [
        ("s", [], False, "Column 's' is a text, and the recipe does not"),
        ("d", [], True, "Column 'd' is a date, and the recipe does not"),
        ("x", [], False, "Column 'x' has 1 missing values"),
        ("i", [], True, "Column 'i' holds 1 infinite values"),
        ("u", [], True, "Column 'u' holds List"),
        ("n", [DropStep("all")], True, "No column is left"),
        ("n", [ScaleStep(("m",))], True, "names column 'm'"),
        ("s", [EncodeStep("categorical", "native")], False, "Only LightGBM"),
        ("s", [ScaleStep(("s",))], True, "cannot work on column 's', which is a text"),
        ("s", [ImputeStep(("s",), "mean")], True, "is text and has no mean"),
        ("s", [ImputeStep(("s",), "constant", 1)], True, "needs a text"),
        ("n", [ImputeStep(("n",), "constant", "a")], True, "needs a number"),
        ("d", [EncodeStep(("d",), "onehot")], True, "cannot be encoded"),
        ("n", [DatesStep(("n",))], True, "is not a date"),
        ("ns", [EncodeStep(("s",), "native"), ScaleStep(("s",))], True, "encoded natively"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    columns: str, steps: list[FeatureStep], native: bool, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fitted(FRAME.select(list(columns)), *steps, native=native)


def test_features_of_one_name_and_columns_of_too_many_values_are_refused() -> None:
    twice = pl.DataFrame({"a": ["b", "c"], "a_b": [1, 2]})
    many = pl.DataFrame({"a": [str(n) for n in range(1_001)]})
    empty = pl.DataFrame({"a": [None, None]}, schema={"a": pl.Float64})

    with pytest.raises(InputError, match="Two features would be called 'a_b'"):
        fitted(twice, EncodeStep(("a",), "onehot"))
    with pytest.raises(InputError, match="1,001 different values"):
        fitted(many, EncodeStep(("a",), "onehot"))
    with pytest.raises(InputError, match="Every value of column 'a' is missing"):
        fitted(empty, ImputeStep(("a",)))


def test_other_tables_are_read_or_refused_by_name_and_type() -> None:
    preparation = fitted(pl.DataFrame({"x": [1.0, None], "n": [1, 2]}))

    assert matrix_of(preparation, pl.DataFrame({"n": [3]})).tolist()[0][1] == 3.0
    with pytest.raises(InputError, match="no column 'n'"):
        raw_columns(pl.DataFrame({"x": [1.0]}), preparation.inputs)
    with pytest.raises(InputError, match="Column 'n' holds String values"):
        raw_columns(pl.DataFrame({"x": [1.0], "n": ["1"]}), preparation.inputs)


CHECKED = Preparation(
    (
        Column("long", "long", nullable=True),
        *(Column(kind, kind) for kind in ("double", "string", "boolean", "date", "datetime")),
        Column("filled", "double", nullable=True),
    ),
    (
        *(Feature(name, name) for name in ("double", "long", "string", "boolean")),
        Feature("year", "date"),
        Feature("hour", "datetime"),
        Feature("filled", "filled"),
    ),
    False,
    (
        OneHot(("string",), ("string",), ("a",), False),
        Part(("date",), ("year",), "year", "2020-01-01T00:00:00"),
        Part(("datetime",), ("hour",), "hour", "2020-01-01T00:00:00"),
        Fill(("filled",), ("filled",), 1.0),
    ),
)
GOOD: dict[str, Any] = {
    "double": 1,
    "long": 2.0,
    "string": "x",
    "boolean": True,
    "date": "2024-01-31",
    "datetime": "2024-01-31T05:00:00Z",
    "filled": None,
}


def test_good_values_are_coerced() -> None:
    checked = CHECKED.validate({key: [value] for key, value in GOOD.items()})

    moments = {"date": [date(2024, 1, 31)], "datetime": [datetime(2024, 1, 31, 5)]}
    plain = {"double": [1.0], "long": [2], "string": ["x"], "boolean": [True], "filled": [None]}
    assert checked == plain | moments
    assert type(checked["double"][0]) is float
    assert type(checked["long"][0]) is int
    assert {key: [value] for key, value in CHECKED.validate_row(GOOD).items()} == checked
    assert CHECKED.compile().row(CHECKED.validate_row(GOOD)) == [1, 2, 0, 1, 2024, 5, 1]


BAD: list[tuple[str, Any]] = [
    *[
        ("double", bad)
        for bad in ("1", True, None, math.nan, math.inf, -math.inf, 10**400, [1], {})
    ],
    *[("long", bad) for bad in ("1", True, None, 1.5, 2**63, -(2**63) - 1, math.inf, b"1")],
    *[("string", bad) for bad in (1, 1.0, True, [], b"a")],
    *[("boolean", bad) for bad in (0, 1, "true", None)],
    *[("date", bad) for bad in ("today", 5, "2024-02-30", "2024-01-01T05:00:00", None, "")],
    *[("datetime", bad) for bad in ("x" * 100, 5.0, True, None)],
    *[("filled", bad) for bad in ("", "nan", math.inf)],
]


@pytest.mark.parametrize(("column", "bad"), BAD)
def test_a_bad_value_is_refused_by_row_column_and_type_and_never_shown(
    column: str, bad: Any
) -> None:
    columns = {key: [value, value] for key, value in GOOD.items()}
    columns[column] = [GOOD[column], bad]

    with pytest.raises(InputError) as caught:
        CHECKED.validate(columns)

    expected = "double" if column == "filled" else column
    assert caught.value.details == {"row": 1, "column": column, "expected": expected}
    assert caught.value.message.startswith(f"Row 1, column '{column}': the model expects ")
    assert "x" * 100 not in str(caught.value.to_dict())
    with pytest.raises(InputError):
        CHECKED.validate_row({**GOOD, column: bad})


def test_an_absent_column_is_missing_only_if_it_was_nullable() -> None:
    columns = {key: [value] for key, value in GOOD.items() if key != "filled"}
    assert CHECKED.validate(columns)["filled"] == [None]

    del columns["string"]
    with pytest.raises(InputError, match="Column 'string' is absent") as caught:
        CHECKED.validate(columns)
    assert caught.value.details["row"] is None
    with pytest.raises(InputError, match="different numbers of rows"):
        CHECKED.validate({**columns, "string": ["a", "b"]})


def test_a_missing_value_passes_where_the_preparation_can_handle_it() -> None:
    columns = (Column("s", "string"), Column("x", "double"))
    features = (Feature("s", "s"), Feature("x", "x"))
    hot = (OneHot(("s",), ("s",), ("a",), False),)

    tolerant = Preparation(columns, features, True, hot)
    assert tolerant.validate({"s": [None], "x": [math.nan]}) == {"s": [None], "x": [None]}
    strict = Preparation(columns, features, False, hot)
    assert strict.validate({"s": [None], "x": [1.0]})["s"] == [None]
    with pytest.raises(InputError, match="Row 0, column 'x'"):
        strict.validate({"s": ["a"], "x": [None]})


@given(st.data())
def test_a_damaged_preparation_is_refused_or_still_works(data: st.DataObject) -> None:
    value = CHECKED.to_dict()
    damage(value, data)
    with contextlib.suppress(DamagedError):
        preparation = Preparation.from_dict(json.loads(json.dumps(value)))
        with contextlib.suppress(InputError):
            preparation.compile().row(preparation.validate_row(GOOD))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"inputs": []},
        {"features": [{"name": "a", "column": "zz", "n_categories": 0}]},
        {"accepts_missing": 1},
        {"inputs": [{"name": "a", "type": "object", "nullable": False}]},
    ],
)
def test_a_preparation_that_makes_no_sense_is_damaged(change: Mapping[str, Any]) -> None:
    with pytest.raises(DamagedError, match="preparation of the model is not valid"):
        Preparation.from_dict({**CHECKED.to_dict(), **change})
    with pytest.raises(DamagedError):
        Preparation.from_dict([])
