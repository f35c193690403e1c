"""Every step that scikit-learn has too gives what scikit-learn gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from preparation_kit import (
    KINDS,
    TEXTS,
    TOLERANCE,
    column,
    fitted,
    groups_table,
    made,
    numbers,
    target_table,
)
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
from local_stack.preparation.fitting import fit_features
from local_stack.preparation.steps import (
    BinStep,
    EncodeStep,
    FeatureStep,
    ImputeStep,
    PowerStep,
    QuantileStep,
    ScaleStep,
    TfidfStep,
)
from local_stack.preparation.table import Labels


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


def test_indicators_equal_sklearn_for_columns_that_miss_some() -> None:
    frame = groups_table().select("x", "k")
    found = made(fitted(frame, ImputeStep("numeric", "mean", indicator=True)), frame)
    expected = SimpleImputer(add_indicator=True).fit_transform(frame.to_numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


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
