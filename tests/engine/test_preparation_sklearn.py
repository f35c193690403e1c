"""Every step that scikit-learn has too gives what scikit-learn gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import murmurhash3_32

from local_stack.errors import InputError
from local_stack.evaluation.split import Keys, folds
from local_stack.preparation.categories import murmur3
from local_stack.preparation.fitted import Preparation
from local_stack.preparation.fitting import fit_features, raw_columns
from local_stack.preparation.steps import (
    BinStep,
    CastStep,
    ClipStep,
    DeduplicateStep,
    DifferenceStep,
    DropStep,
    EncodeStep,
    FeatureStep,
    FilterStep,
    GroupStep,
    ImputeStep,
    PowerStep,
    QuantileStep,
    RatioStep,
    RenameStep,
    ScaleStep,
    SelectStep,
    TextStep,
    TfidfStep,
    WinsoriseStep,
)
from local_stack.preparation.table import Labels

GENERATOR = np.random.default_rng(11)
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def fitted(frame: pl.DataFrame, *steps: FeatureStep, labels: Labels | None = None) -> Preparation:
    return fit_features(frame, "y", steps, native_strings=True, labels=labels).preparation


def made(preparation: Preparation, frame: pl.DataFrame) -> np.ndarray:
    """The features of a table, by rows; the matrix must say the same."""
    columns = raw_columns(frame, preparation.inputs)
    many = preparation.compile().matrix(columns)
    row = preparation.compile().row
    one = np.array([row(raw) for raw in frame.to_dicts()]).reshape(many.shape)
    np.testing.assert_array_equal(one, many)
    return many


def numbers(kind: str, n: int = 300) -> np.ndarray:
    values = {
        "normal": GENERATOR.normal(40, 9, n),
        "skewed": GENERATOR.lognormal(2, 1, n),
        "negative": -GENERATOR.lognormal(2, 1, n),
        "ties": np.round(GENERATOR.normal(3, 2, n)),
        "constant": np.full(n, 0.1 + 0.2),
        "one": np.array([7.5]),
        "huge": GENERATOR.normal(size=n) * 1e150,
        "tiny": GENERATOR.normal(size=n) * 1e-12,
    }[kind].copy()
    if n > 1 and kind != "one":
        values[::17] = math.nan
    return values


KINDS = ("normal", "skewed", "negative", "ties", "constant", "one", "huge", "tiny")


def column(values: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"x": values}).fill_nan(None)


@pytest.mark.parametrize("kind", KINDS)
def test_maxabs_equals_sklearn(kind: str) -> None:
    values = numbers(kind)
    found = made(fitted(column(values), ScaleStep("numeric", "maxabs")), column(values))
    np.testing.assert_allclose(found, MaxAbsScaler().fit_transform(values[:, None]), **TOLERANCE)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("kind", ["normal", "skewed", "negative", "ties", "constant"])
def test_yeo_johnson_equals_sklearn(kind: str, standardize: bool) -> None:
    values = numbers(kind)
    if kind == "constant":  # scikit-learn takes a constant with gaps for none
        values = values[~np.isnan(values)]
    step = PowerStep("numeric", "yeo-johnson", standardize)
    reference = PowerTransformer("yeo-johnson", standardize=standardize)
    expected = reference.fit_transform(values[:, None])
    np.testing.assert_allclose(
        made(fitted(column(values), step), column(values)), expected, **TOLERANCE
    )
    new = np.array([[-3.0], [0.0], [1e-9], [12.5], [math.nan]])
    found = made(fitted(column(values), step), column(new[:, 0]))
    np.testing.assert_allclose(found, reference.transform(new), **TOLERANCE)


def test_box_cox_equals_sklearn_and_is_missing_where_there_is_none() -> None:
    values = numbers("skewed")
    preparation = fitted(column(values), PowerStep("numeric", "box-cox"))
    expected = PowerTransformer("box-cox").fit_transform(values[:, None])
    np.testing.assert_allclose(made(preparation, column(values)), expected, **TOLERANCE)
    assert np.isnan(made(preparation, column(np.array([0.0, -1.0])))).all()
    for kind in ("normal", "constant"):
        with pytest.raises(InputError, match="Box-Cox needs different numbers above zero"):
            fitted(column(numbers(kind) - 20), PowerStep("numeric", "box-cox"))


@pytest.mark.parametrize("output", ["uniform", "normal"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_quantiles", [10, 1000])
def test_quantile_transform_equals_sklearn(kind: str, output: str, n_quantiles: int) -> None:
    values = numbers(kind)
    reference = QuantileTransformer(
        n_quantiles=min(n_quantiles, len(values)), output_distribution=output, subsample=None
    ).fit(values[:, None])
    preparation = fitted(column(values), QuantileStep("numeric", output, n_quantiles))
    present = values[~np.isnan(values)]
    edges = [present.min(), present.max(), present.min() - 1, present.max() + 1, math.nan]
    for seen in (values, np.array([*edges, *(present[:-1] + present[1:])[:50] / 2])):
        expected = reference.transform(seen[:, None])
        np.testing.assert_allclose(made(preparation, column(seen)), expected, **TOLERANCE)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("kind", ["normal", "skewed", "ties", "huge"])
@pytest.mark.filterwarnings("ignore:Bins whose width")
def test_bins_equal_sklearn(kind: str, strategy: str) -> None:
    values = numbers(kind)
    present = values[~np.isnan(values)]
    for encode, form in (("ordinal", "ordinal"), ("onehot-dense", "onehot")):
        reference = KBinsDiscretizer(
            6, encode=encode, strategy=strategy, quantile_method="linear", subsample=None
        ).fit(present[:, None])
        preparation = fitted(column(values), BinStep("numeric", strategy, 6, form=form))
        seen = np.array([*present, present.min() - 1, present.max() + 1])
        expected = reference.transform(seen[:, None])
        np.testing.assert_array_equal(made(preparation, column(seen)), expected)
    missing = made(preparation, column(np.array([math.nan, 0.0])))[0]
    np.testing.assert_array_equal(missing, np.zeros(missing.shape))


def test_bins_between_edges_are_those_of_numpy() -> None:
    values = numbers("normal")
    preparation = fitted(column(values), BinStep("numeric", "edges", edges=(30.0, 40.0, 41.0)))
    expected = np.digitize(values, [30.0, 40.0, 41.0]).astype(float)
    expected[np.isnan(values)] = math.nan
    np.testing.assert_array_equal(made(preparation, column(values))[:, 0], expected)
    constant = fitted(column(numbers("constant")), BinStep("numeric", "uniform"))
    assert made(constant, column(np.array([5.0]))).tolist() == [[0.0]]


WORDS = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 5 + ["d"] * 4 + ["e"] * 4 + ["f"] * 7)


@pytest.mark.parametrize(
    "limits",
    [
        {"min_frequency": 5},
        {"min_frequency": 0.06},
        {"max_categories": 3},
        {"max_categories": 6},
        {"max_categories": 7},
        {"max_categories": 1},
        {"min_frequency": 5, "max_categories": 3},
        {"min_frequency": 1},
        {"min_frequency": 100},
    ],
)
def test_rare_categories_are_those_of_sklearn(limits: dict[str, Any]) -> None:
    frame = pl.DataFrame({"w": WORDS})
    reference = OneHotEncoder(
        handle_unknown="infrequent_if_exist", sparse_output=False, **limits
    ).fit(WORDS.reshape(-1, 1).astype(object))
    preparation = fitted(frame, EncodeStep(("w",), "onehot", **limits))

    seen = np.array([*WORDS, "never"])
    expected = reference.transform(seen.reshape(-1, 1).astype(object))
    np.testing.assert_array_equal(made(preparation, pl.DataFrame({"w": seen})), expected)
    names = [
        n.replace("infrequent_sklearn", "rare") for n in reference.get_feature_names_out(["w"])
    ]
    assert [f.name for f in preparation.features] == names
    assert not made(preparation, pl.DataFrame({"w": [None]}, schema={"w": pl.String})).any()


def labelled(values: np.ndarray, *classes: Any) -> Labels:
    return Labels(np.asarray(values, dtype=float), classes, seed=3)


def target_table(n: int = 400) -> tuple[pl.DataFrame, np.ndarray]:
    chances = [0.4, 0.3, 0.2, 0.05, 0.05]
    words = np.array(["a", "b", "c", "d", None], dtype=object)[GENERATOR.choice(5, n, p=chances)]
    return pl.DataFrame({"w": words.tolist()}, schema={"w": pl.String}), GENERATOR.normal(
        size=n
    ) + (words == "a")


@pytest.mark.parametrize("smooth", [None, 0.0, 7.5])
@pytest.mark.parametrize("kind", ["continuous", "binary", "multiclass"])
def test_target_encoding_equals_sklearn_in_and_out_of_fold(kind: str, smooth: float | None) -> None:
    frame, y = target_table()
    classes: tuple[Any, ...] = ()
    if kind != "continuous":
        y = np.digitize(y, [0.4] if kind == "binary" else [0.0, 1.0]).astype(float)
        classes = ("no", "yes") if kind == "binary" else ("low", "mid", "top")
    labels = Labels(y, classes, seed=3)
    step = EncodeStep(("w",), "target", smooth=smooth, folds=4)
    training = fit_features(frame, "y", [step], native_strings=True, labels=labels)

    def encoder() -> TargetEncoder:
        return TargetEncoder(target_type=kind, smooth="auto" if smooth is None else smooth)

    X = frame["w"].to_numpy().reshape(-1, 1)
    seen = pl.DataFrame({"w": ["a", "b", "never", None]})
    expected = encoder().fit(X, y).transform(seen["w"].to_numpy().reshape(-1, 1))
    np.testing.assert_allclose(made(training.preparation, seen), expected, rtol=1e-12)
    for learnt, held in folds(Keys(len(y)), 4, 3):
        expected = encoder().fit(X[learnt], y[learnt]).transform(X[held])
        np.testing.assert_allclose(training.matrix[held], expected, rtol=1e-12)
    if kind == "multiclass":
        names = [f.name for f in training.preparation.features]
        assert names == ["w_low", "w_mid", "w_top"]


def test_rows_without_a_target_teach_nothing_and_get_what_is_served() -> None:
    frame, y = target_table()
    y[::9] = math.nan
    step = EncodeStep(("w",), "target")
    training = fit_features(frame, "y", [step], native_strings=True, labels=Labels(y))
    known = ~np.isnan(y)
    alone = fitted(frame.filter(known), step, labels=Labels(y[known]))
    assert training.preparation.operations == alone.operations
    np.testing.assert_array_equal(training.matrix[~known], made(alone, frame)[~known])


def test_a_target_that_varies_nowhere_or_is_absent() -> None:
    frame, y = target_table()
    flat = fitted(frame, EncodeStep(("w",), "target"), labels=Labels(np.full(len(y), 2.5)))
    assert set(made(flat, frame)[:, 0]) == {2.5}
    with pytest.raises(InputError, match="encoded by the target, and there is none"):
        fitted(frame, EncodeStep(("w",), "target"))


def test_frequencies_and_counts_are_those_of_pandas() -> None:
    frame, _ = target_table()
    words = frame["w"].to_pandas()
    for form, normalize in (("frequency", True), ("count", False)):
        expected = words.map(words.value_counts(normalize=normalize, dropna=False)).to_numpy()
        found = made(fitted(frame, EncodeStep(("w",), form)), frame)
        np.testing.assert_allclose(found[:, 0], expected.astype(float), rtol=1e-12)
        unknown = fitted(frame, EncodeStep(("w",), form))
        assert made(unknown, pl.DataFrame({"w": ["never"]})).tolist() == [[0.0]]


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "abcd", "é€𝄞", "x" * 1000, "city=Paris"])
def test_murmur3_equals_sklearn(text: str) -> None:
    data = text.encode()
    assert murmur3(data) == murmurhash3_32(data, seed=0)


@pytest.mark.parametrize("n_features", [1, 7, 16])
def test_hashing_equals_sklearn(n_features: int) -> None:
    words = [f"word {n}" for n in range(200)] + ["é", ""]
    frame = pl.DataFrame({"w": words})
    preparation = fitted(frame, EncodeStep(("w",), "hash", n_features=n_features))
    expected = FeatureHasher(n_features).transform([{"w": word} for word in words]).toarray()
    np.testing.assert_array_equal(made(preparation, frame), expected)
    assert not made(preparation, pl.DataFrame({"w": [None]}, schema={"w": pl.String})).any()


TEXTS = [
    "The cat sat on the mat, the mat was flat.",
    "a I x",
    "",
    "Zwölf Boxkämpfer jagen Viktor — quer über den großen Sylter Deich",
    "cat CAT cats dog_1 dog_1 3.14",
    None,
    "mat\nflat\tflat flat",
] * 3


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("min_df", [1, 3])
def test_tfidf_equals_sklearn(ngrams: tuple[int, int], min_df: int) -> None:
    frame = pl.DataFrame({"t": TEXTS})
    reference = TfidfVectorizer(ngram_range=ngrams, min_df=min_df)
    documents = [text or "" for text in TEXTS]
    expected = reference.fit_transform(documents).toarray()
    preparation = fitted(frame, TfidfStep(("t",), 2_000, ngrams, min_df))
    np.testing.assert_allclose(made(preparation, frame), expected, rtol=1e-12, atol=1e-12)
    assert [f.name for f in preparation.features] == [
        f"t_{term}" for term in reference.get_feature_names_out()
    ]
    new = ["the dog_1 sat", "nothing known here", "flat " * 400]
    found = made(preparation, pl.DataFrame({"t": new}))
    np.testing.assert_allclose(found, reference.transform(new).toarray(), rtol=1e-12, atol=1e-12)


def test_tfidf_of_the_most_frequent_terms_equals_sklearn() -> None:
    words = [" ".join(f"w{n}" for n in range(20) for _ in range(n + 1))] * 3 + ["w1 w19 other"]
    expected = TfidfVectorizer(max_features=6).fit_transform(words).toarray()
    frame = pl.DataFrame({"t": words})
    found = made(fitted(frame, TfidfStep(("t",), 6)), frame)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(InputError, match="holds no words"):
        fitted(pl.DataFrame({"t": ["a", "", None]}), TfidfStep(("t",)))


def test_lengths_of_texts_are_those_of_polars() -> None:
    frame = pl.DataFrame({"t": TEXTS})
    preparation = fitted(frame, TextStep(("t",)), DropStep(("t",)))
    expected = frame.select(
        a=pl.col("t").str.len_chars().cast(pl.Float64),
        b=pl.col("t").map_elements(lambda t: len(t.split()), pl.Int64).cast(pl.Float64),
    ).to_numpy()
    np.testing.assert_array_equal(made(preparation, frame), expected)
    assert [f.name for f in preparation.features] == ["t_characters", "t_words"]


def groups_table(n: int = 500) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "g": GENERATOR.choice(["a", "b", "c", None], n).tolist(),
            "k": GENERATOR.integers(0, 3, n),
            "x": np.where(GENERATOR.random(n) < 0.1, math.nan, GENERATOR.normal(size=n)),
        },
        schema={"g": pl.String, "k": pl.Int64, "x": pl.Float64},
    ).fill_nan(None)


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


def test_indicators_equal_sklearn_for_columns_that_miss_some() -> None:
    frame = groups_table().select("x", "k")
    found = made(fitted(frame, ImputeStep("numeric", "mean", indicator=True)), frame)
    expected = SimpleImputer(add_indicator=True).fit_transform(frame.to_numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


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


def test_steps_follow_one_another_on_one_column() -> None:
    from local_stack.preparation.steps import ExpressionStep

    frame = pl.DataFrame({"x": numbers("skewed")}).fill_nan(None)
    preparation = fitted(
        frame,
        ExpressionStep((("x", "col('x').sqrt()"),)),
        ImputeStep(("x",), "mean"),
        PowerStep(("x",)),
        BinStep(("x",), "uniform", 4),
    )
    x = np.sqrt(frame["x"].to_numpy())
    x = PowerTransformer().fit_transform(np.where(np.isnan(x), np.nanmean(x), x)[:, None])
    reference = KBinsDiscretizer(4, encode="ordinal", strategy="uniform", subsample=None)
    np.testing.assert_array_equal(made(preparation, frame), reference.fit_transform(x))


def test_a_scaled_normal_score_is_bounded_as_sklearns() -> None:
    values = numbers("normal")
    preparation = fitted(column(values), QuantileStep("numeric", "normal"))
    far = made(preparation, column(np.array([-1e9, 1e9])))[:, 0]
    np.testing.assert_allclose(far, stats.norm.ppf([1e-7, 1 - 1e-7]), rtol=1e-9)
    again = fitted(column(values), QuantileStep("numeric", "normal"), ScaleStep("numeric"))
    expected = StandardScaler().fit_transform(made(preparation, column(values)))
    np.testing.assert_allclose(made(again, column(values)), expected, **TOLERANCE)


@pytest.mark.parametrize(
    "step",
    [ScaleStep("numeric"), ImputeStep("numeric", "mean"), PowerStep("numeric")],
)
def test_numbers_that_are_too_large_to_fit_are_an_error_of_the_step(step: FeatureStep) -> None:
    frame = pl.DataFrame({"x": [1e308, -1.5e308, 1.7e308, 1e308, None]})
    with pytest.raises(InputError, match=r"finds nothing finite|No power makes"):
        fitted(frame, step)
