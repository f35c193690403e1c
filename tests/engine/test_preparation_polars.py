"""Steps that scikit-learn lacks give what Polars, pandas and NumPy give."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from preparation_kit import KINDS, TEXTS, column, fitted, groups_table, made, numbers, target_table

from local_stack.errors import InputError
from local_stack.preparation.fitted import Preparation
from local_stack.preparation.fitting import fit_features
from local_stack.preparation.steps import (
    BinStep,
    CastStep,
    ClipStep,
    DeduplicateStep,
    DifferenceStep,
    DropStep,
    EncodeStep,
    FilterStep,
    GroupStep,
    ImputeStep,
    RatioStep,
    RenameStep,
    ScaleStep,
    SelectStep,
    TextStep,
    WinsoriseStep,
)


def test_bins_between_edges_are_those_of_numpy() -> None:
    values = numbers("normal")
    preparation = fitted(column(values), BinStep("numeric", "edges", edges=(30.0, 40.0, 41.0)))
    expected = np.digitize(values, [30.0, 40.0, 41.0]).astype(float)
    expected[np.isnan(values)] = math.nan
    np.testing.assert_array_equal(made(preparation, column(values))[:, 0], expected)
    constant = fitted(column(numbers("constant")), BinStep("numeric", "uniform"))
    assert made(constant, column(np.array([5.0]))).tolist() == [[0.0]]


def test_frequencies_and_counts_are_those_of_pandas() -> None:
    frame, _ = target_table()
    words = frame["w"].to_pandas()
    for form, normalize in (("frequency", True), ("count", False)):
        expected = words.map(words.value_counts(normalize=normalize, dropna=False)).to_numpy()
        found = made(fitted(frame, EncodeStep(("w",), form)), frame)
        np.testing.assert_allclose(found[:, 0], expected.astype(float), rtol=1e-12)
        unknown = fitted(frame, EncodeStep(("w",), form))
        assert made(unknown, pl.DataFrame({"w": ["never"]})).tolist() == [[0.0]]


def test_lengths_of_texts_are_those_of_polars() -> None:
    frame = pl.DataFrame({"t": TEXTS})
    preparation = fitted(frame, TextStep(("t",)), DropStep(("t",)))
    expected = frame.select(
        a=pl.col("t").str.len_chars().cast(pl.Float64),
        b=pl.col("t").map_elements(lambda t: len(t.split()), pl.Int64).cast(pl.Float64),
    ).to_numpy()
    np.testing.assert_array_equal(made(preparation, frame), expected)
    assert [f.name for f in preparation.features] == ["t_characters", "t_words"]


@pytest.mark.parametrize("by", [("g",), ("g", "k"), ("k",)])
def test_group_aggregates_are_those_of_polars(by: tuple[str, ...]) -> None:
    frame = groups_table()
    words = ("mean", "median", "std", "count", "min", "max")
    preparation = fitted(
        frame,
        GroupStep(("x",), by, words),
        SelectStep(tuple(f"x_{word}_by_{'_'.join(by)}" for word in words)),
    )
    x = pl.col("x")
    expected = frame.select(
        a=x.mean().over(by), b=x.median().over(by), c=x.std().over(by),
        d=x.count().over(by).cast(pl.Float64), e=x.min().over(by), f=x.max().over(by),
    ).to_numpy()  # fmt: skip
    np.testing.assert_allclose(made(preparation, frame), expected, rtol=1e-12)

    assert [column.name for column in preparation.inputs] == list(by)
    assert Preparation.from_dict(preparation.to_dict()) == preparation

    unknown = pl.DataFrame({"g": ["never"], "k": [9], "x": [0.0]})
    overall = [frame["x"].mean(), frame["x"].median(), frame["x"].std(), 0.0,
               frame["x"].min(), frame["x"].max()]  # fmt: skip
    np.testing.assert_allclose(made(preparation, unknown)[0], overall, rtol=1e-12)


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_filling_by_group_is_that_of_polars(strategy: str) -> None:
    frame = groups_table()
    step = ImputeStep(("x",), strategy, by=("g", "k"))
    preparation = fitted(frame, step, SelectStep(("x",)))
    middle = getattr(pl.col("x"), strategy)()
    expected = frame.select(pl.col("x").fill_null(middle.over("g", "k"))).to_numpy()
    np.testing.assert_allclose(made(preparation, frame), expected, rtol=1e-12)
    unknown = pl.DataFrame({"g": ["never"], "k": [9], "x": [None]}, schema=frame.schema)
    overall = getattr(frame["x"], strategy)()
    np.testing.assert_allclose(made(preparation, unknown)[0, 0], overall, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_winsorising_and_clipping_limit_to_quantiles_or_values(kind: str) -> None:
    values = numbers(kind)
    low, high = np.nanquantile(values, [0.05, 0.95])
    for step in (WinsoriseStep("numeric"), ClipStep("numeric", 0.05, 0.95)):
        found = made(fitted(column(values), step), column(values))
        np.testing.assert_array_equal(found[:, 0], np.clip(values, low, high))
    fixed = fitted(column(values), ClipStep("numeric", upper=1.0, by="values"))
    np.testing.assert_array_equal(made(fixed, column(values))[:, 0], np.minimum(values, 1.0))


def test_ratios_and_differences_are_missing_where_there_is_none() -> None:
    frame = pl.DataFrame(
        {"a": [1.0, 2.0, None, 0.0, 1e308, 3.0], "b": [4.0, 0.0, 1.0, 0.0, 1e-308, -0.0]}
    )
    preparation = fitted(
        frame, RatioStep(("a", "b")), DifferenceStep(("b", "a"), "gap"), DropStep(("a", "b"))
    )
    nan = math.nan
    expected = [[0.25, 3.0], [nan, -2.0], [nan, nan], [nan, 0.0], [nan, -1e308], [nan, -3.0]]
    np.testing.assert_array_equal(made(preparation, frame), expected)
    assert [f.name for f in preparation.features] == ["a_per_b", "gap"]
    assert preparation.sources == {"a_per_b": ("a", "b"), "gap": ("a", "b")}


def test_casts_change_the_kind_and_lose_what_is_none() -> None:
    frame = pl.DataFrame(
        {
            "n": ["1", " -2.5e1 ", "x", None, "1_0", "0x1", "nan", "1e999"],
            "d": ["31.12.2024", "1.1.2025", "30.02.2024", None, "", "?", "x", "01.01.0001"],
            "b": ["yes", "No", "TRUE", "0", "maybe", None, "", "t"],
            "z": [1.0, 2.0, 3.5, None, -0.0, 1e20, 7.0, 8.0],
        }
    )
    preparation = fitted(
        frame,
        CastStep(("n",), "number"),
        CastStep(("d",), "date", "%d.%m.%Y"),
        DifferenceStep(("d", "d"), "same"),
        DropStep(("d",)),
        CastStep(("b",), "boolean"),
        CastStep(("z",), "text"),
        EncodeStep(("z",), "ordinal"),
    )
    nan = math.nan
    found = made(preparation, frame)
    np.testing.assert_array_equal(found[:, 0], [1.0, -25.0, nan, nan, nan, nan, nan, nan])
    np.testing.assert_array_equal(found[:, 1], [1.0, 0.0, 1.0, 0.0, nan, nan, nan, 1.0])
    np.testing.assert_array_equal(found[:, 3], [0.0, 0.0, nan, nan, nan, nan, nan, 0.0])
    codes = preparation.operations[-1].categories  # type: ignore[attr-defined]
    assert codes == ("0", "1", "1e+20", "2", "3.5", "7", "8")


def test_names_change_swap_and_go() -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [10.0, 20.0], "c": [5.0, 5.0]})
    swapped = fitted(frame, RenameStep((("a", "b"), ("b", "a"))), DropStep(("c",)))
    assert [f.name for f in swapped.features] == ["b", "a"]
    np.testing.assert_array_equal(made(swapped, frame), [[1.0, 10.0], [2.0, 20.0]])
    chained = fitted(
        frame, RenameStep((("a", "x"),)), ScaleStep(("x",), "minmax"), SelectStep(("x",))
    )
    assert [c.name for c in chained.inputs] == ["a"]
    assert made(chained, frame).tolist() == [[0.0], [1.0]]
    with pytest.raises(InputError, match="Two features would be called 'b'"):
        fitted(frame, RenameStep((("a", "b"),)))


def test_filters_and_deduplication_leave_rows_out_of_training_only() -> None:
    frame = pl.DataFrame({"x": [1.0, 1.0, 50.0, None, 3.0, 1.0], "k": [1, 1, 2, 2, 3, 4]})
    steps = [
        FilterStep("col('x') < 40"),
        DeduplicateStep("all", "last"),
        ScaleStep(("x",), "minmax"),
    ]
    training = fit_features(frame, "y", steps, native_strings=True)
    assert training.rows.tolist() == [1, 4, 5]
    np.testing.assert_array_equal(training.matrix[:, 0], [0.0, 1.0, 0.0])
    served = made(training.preparation, frame)
    assert served.shape == (6, 2)
    assert served[2, 0] == 24.5
    kept = {
        keep: fit_features(frame, "y", [DeduplicateStep(("x",), keep)], native_strings=True).rows
        for keep in ("first", "last", "none")
    }
    assert kept["first"].tolist() == [0, 2, 3, 4]
    assert kept["last"].tolist() == [2, 3, 4, 5]
    assert kept["none"].tolist() == [2, 3, 4]
    with pytest.raises(InputError, match="leaves no row"):
        fit_features(frame, "y", [FilterStep("col('x') > 99")], native_strings=True)
    with pytest.raises(InputError, match="a filter needs a condition, not a number"):
        fit_features(frame, "y", [FilterStep("col('x') + 1")], native_strings=True)
