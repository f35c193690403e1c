"""Values of columns that several raw ones make: those of the table, never scaled or encoded."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import polars as pl
import pytest
from deciding_kit import Case, loans

from local_stack.explain.attributing.attributions import column_groups
from local_stack.explain.column_values import joined_groups, joined_values
from local_stack.explain.deciding.answers import answer
from local_stack.explain.effects.dependence import beeswarm, dependence
from local_stack.explain.effects.rows import Rows
from local_stack.explain.single import RowExplainer

STEPS: list[Any] = [
    {"drop": {"columns": ["grade", "limit", "since"]}},
    {"impute": {"columns": "numeric", "strategy": "median"}},
    {"impute": {"columns": "categorical", "strategy": "most_frequent"}},
    {"expression": {"a_month": "col('income') / col('months')"}},
    {"expression": {"pair": "concat_str(['home', 'town'], separator='|')"}},
    {"encode": {"columns": ["home", "town"], "as": "onehot"}},
    {"encode": {"columns": ["pair"], "as": "target"}},
    {"scale": {"columns": "numeric"}},
]


@functools.cache
def case() -> Case:
    estimator = "sklearn.linear_model.LogisticRegression"
    towns = pl.Series("town", ["north", "south", "west"] * 100)
    return Case(
        loans().with_columns(towns),
        "paid",
        features=STEPS,
        task="classification",
        estimator=estimator,
    )


def expected() -> pl.DataFrame:
    """What the made columns are, by polars from the table alone; null without an income."""
    frame = case().frame
    home = pl.col("home").fill_null(frame["home"].drop_nulls().mode().sort()[0])
    return frame.select(
        a_month=pl.col("income") / pl.col("months"),
        pair=pl.concat_str([home, pl.col("town")], separator="|"),
    )


def test_a_row_tells_a_ratio_and_joined_texts_unscaled_and_unencoded() -> None:
    it = case()
    for index in (0, 4, 21):  # 4 has no home
        found = answer(it.explainer, it.row(index))
        told = {part.feature: part.value for part in found.contributions}
        assert told["a_month"] == pytest.approx(expected()["a_month"][index], rel=1e-12)
        assert told["pair"] == expected()["pair"][index]
        assert told["income"] == it.frame["income"][index]  # a raw column, as ever
        served = RowExplainer(it.model, {name: its[:100] for name, its in it.raw.items()}).explain(
            it.row(index), found.prediction
        )
        assert served.reasons == found.reasons


def test_dependence_beeswarm_and_comparison_tell_them_so_too() -> None:
    it = case()
    rows = Rows(it.model, it.frame)
    known = expected()["a_month"].is_not_null().to_numpy()
    values = expected()["a_month"].to_numpy()[known]
    found = it.explainer.attribute(rows.matrix)
    told = dependence(rows, found, "a_month", most=10**6)
    np.testing.assert_allclose(np.array(told.values)[known], values, rtol=1e-12)
    assert told.kind == "numeric"
    texts = dependence(rows, found, "pair", most=10**6)
    assert (texts.kind, list(texts.values)) == ("categorical", expected()["pair"].to_list())
    swarm = beeswarm(rows, found, ["a_month"], most=10**6)
    scaled = np.clip(np.array(swarm.scaled[0])[known], 0, 1)
    order = values.argsort(kind="stable")
    assert (np.diff(scaled[order]) >= -1e-12).all()
    assert (scaled.min(), scaled.max()) == (0, 1)
    compared = joined_values(it.model.preparation, it.raw, rows.matrix, "a_month")
    np.testing.assert_allclose(np.asarray(compared)[known], values, rtol=1e-12)


def test_features_stay_what_they_were_and_the_parts_of_one_text_have_their_own_values() -> None:
    preparation = case().model.preparation
    assert set(joined_groups(preparation)) >= {"a_month", "pair"}
    assert joined_groups(preparation).keys() <= column_groups(preparation).keys()
    matrix = preparation.compile().matrix(case().raw)
    rows = [preparation.compile().row(case().row(at)) for at in range(5)]
    np.testing.assert_array_equal(matrix[:5], rows)
