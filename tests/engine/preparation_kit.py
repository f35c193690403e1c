"""What the tests of preparation share: a table, and a recipe with every kind of step."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from local_stack.marked_yaml import Node, load
from local_stack.preparation.fitted import Preparation
from local_stack.preparation.fitting import Training, fit_features, raw_columns
from local_stack.preparation.grammar import read_step
from local_stack.preparation.steps import FeatureStep
from local_stack.preparation.table import Labels

N_ROWS = 10_000

EVERY_STEP = """\
- drop: {columns: [junk]}
- rename: {amt: amount}
- cast: {columns: [price], to: number}
- cast: {columns: [zip], to: text}
- cast: {columns: [joined], to: date, format: "%d/%m/%Y"}
- filter: "(col('amount') < 400) | col('amount').is_null()"
- deduplicate: {columns: [row], keep: first}
- expression:
    log_amount: "(col('amount').abs() + 1).log() * col('flag').fill_null(False)"
    rich: "pl.when(col('income') > 50).then(1).when(col('income') > 20).then(0.5).otherwise(0)"
    shout: "pl.concat_str(col('city').str.to_uppercase().str.slice(0, 3), 'region', separator='/')"
    age: "(col('opened') - col('joined')).dt.total_days() / 365.25"
    town: "col('city').fill_null('none')"
    ward: "col('zip').str.head(2)"
    level: "col('grade')"
    kind: "col('region')"
- impute: {columns: [income], strategy: median, by: [region, grade], indicator: true}
- impute: {columns: [price, log_amount, age], strategy: mean, indicator: true}
- impute: {columns: [grade], strategy: most_frequent}
- impute: {columns: [level], strategy: constant, value: unknown}
- impute: {columns: [joined], strategy: constant, value: "2020-01-01"}
- ratio: {columns: [amount, income]}
- difference: {columns: [amount, price], as: margin}
- difference: {columns: [opened, joined], as: waited}
- group: {columns: [amount], by: [region], statistics: [mean, median, std, count, min, max]}
- group: {columns: [income], by: [region, flag]}
- dates:
    columns: [opened]
    parts: [year, month, day, dayofweek, hour, quarter, elapsed_days, minute, week, dayofyear,
            is_weekend]
    cyclic: [month, day, dayofweek, hour, minute, dayofyear]
- dates: {columns: [joined]}
- text: {columns: [note]}
- tfidf: {columns: [note], max_features: 12, ngrams: [1, 2], min_df: 2}
- encode: {columns: [city], as: target, folds: 4}
- encode: {columns: [zip], as: target, smooth: 10}
- encode: {columns: [town], as: frequency}
- encode: {columns: [ward], as: count}
- encode: {columns: [shout], as: hash, n_features: 5}
- encode: {columns: [region], as: onehot}
- encode: {columns: [level], as: onehot, min_frequency: 0.1, max_categories: 4}
- encode: {columns: [grade], as: ordinal}
- encode: {columns: [flag], as: native}
- winsorise: {columns: [price], lower: 0.02, upper: 0.98}
- clip: {columns: [margin], lower: 0.01, upper: 0.99}
- clip: {columns: [waited], lower: 0, by: values}
- power: {columns: [income], method: box-cox}
- power: {columns: [age, amount_mean_by_region], method: yeo-johnson}
- quantile: {columns: [price], output: normal, n_quantiles: 50}
- quantile: {columns: [margin]}
- bin: {columns: [log_amount], n_bins: 6}
- bin: {columns: [amount_per_income], method: uniform, n_bins: 4, as: onehot}
- bin: {columns: [waited], method: edges, edges: [10, 100, 1000]}
- scale: {columns: [amount], method: standard}
- scale: {columns: [opened_elapsed_days], method: minmax}
- scale: {columns: [note_words], method: robust}
- scale: {columns: [note_characters], method: maxabs}
- drop: {columns: [row]}
- select: {columns: all}
"""
WORDS = ("red", "green", "fast", "slow", "Übung", "ok", "late", "3rd", "re_open", "cat's")


def every_step() -> list[FeatureStep]:
    value, lines = load(EVERY_STEP, "recipe")
    return [read_step(item) for item in Node(value, lines).items()]


def some(generator: np.random.Generator, values: list[Any], share: float = 0.06) -> list[Any]:
    """Return values of which a share is missing."""
    return [
        None if gone else v
        for v, gone in zip(values, generator.random(len(values)) < share, strict=True)
    ]


def table(n_rows: int = N_ROWS, seed: int = 4) -> pl.DataFrame:
    """A table of every type, with holes, ties, extremes and odd texts; ``y`` is the target."""
    g = np.random.default_rng(seed)
    start = datetime(2019, 1, 1, tzinfo=UTC)
    seconds = g.integers(0, 5 * 365 * 86_400, n_rows)
    opened = [
        start + timedelta(seconds=int(s), microseconds=int(s) % 1_000_003 % 1_000_000)
        for s in seconds
    ]
    joined = [
        f"{d}/{m}/{y}"
        for d, m, y in zip(
            g.integers(1, 31, n_rows),
            g.integers(1, 13, n_rows),
            g.integers(2001, 2020, n_rows),
            strict=True,
        )
    ]
    notes = [" ".join(g.choice(WORDS, int(k))) for k in g.integers(0, 9, n_rows)]
    amount = g.lognormal(4, 1, n_rows)
    region = g.choice(["north", "south", "[/east]", "wést"], n_rows).tolist()
    return pl.DataFrame(
        {
            "row": np.arange(n_rows) - (np.arange(n_rows) % 100 == 1),
            "amt": some(g, amount.tolist()),
            "income": some(g, (g.lognormal(3, 1, n_rows) + 0.01).tolist()),
            "price": some(g, [f"{p:.4g}" if p > 1 else "n/a" for p in g.lognormal(2, 1, n_rows)]),
            "zip": g.integers(10_000, 10_400, n_rows),
            "city": some(g, [f"city {c}" for c in g.zipf(1.5, n_rows) % 300]),
            "region": some(g, region),
            "grade": some(
                g,
                g.choice(
                    ["A", "B", "C", "D", "E", ""], n_rows, p=[0.4, 0.3, 0.2, 0.05, 0.04, 0.01]
                ).tolist(),
            ),
            "opened": some(g, opened),
            "joined": some(g, joined),
            "note": some(g, notes),
            "flag": some(g, (g.random(n_rows) < 0.4).tolist()),
            "junk": [[1]] * n_rows,
            "y": np.log(amount) + np.array([r == "north" for r in region]) + g.normal(size=n_rows),
        },
        schema_overrides={
            "opened": pl.Datetime("us", "UTC"),
            "price": pl.String,
            "city": pl.String,
        },
    )


def labels(frame: pl.DataFrame) -> Labels:
    return Labels(frame["y"].to_numpy(), seed=7)


@functools.cache
def trained(n_rows: int = N_ROWS) -> tuple[pl.DataFrame, Training]:
    """The table and what the recipe with every step makes of it."""
    frame = table(n_rows)
    training = fit_features(
        frame, "y", every_step(), native_strings=True, accepts_missing=True, labels=labels(frame)
    )
    return frame, training


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have the same bits; NaN is NaN, whatever its sign."""
    absent = np.isnan(one)
    return (
        one.shape == other.shape
        and bool((absent == np.isnan(other)).all())
        and one[~absent].tobytes() == other[~absent].tobytes()
    )


GENERATOR = np.random.default_rng(11)
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def fitted(frame: pl.DataFrame, *steps: FeatureStep, labels: Labels | None = None) -> Preparation:
    """Return the fitted steps."""
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
    """Return numbers of one kind, most with holes."""
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
    """Return the table of one column ``x``."""
    return pl.DataFrame({"x": values}).fill_nan(None)


def target_table(n: int = 400) -> tuple[pl.DataFrame, np.ndarray]:
    """Return a table of words with holes, and a target that depends on them."""
    chances = [0.4, 0.3, 0.2, 0.05, 0.05]
    words = np.array(["a", "b", "c", "d", None], dtype=object)[GENERATOR.choice(5, n, p=chances)]
    return pl.DataFrame({"w": words.tolist()}, schema={"w": pl.String}), GENERATOR.normal(
        size=n
    ) + (words == "a")


TEXTS = [
    "The cat sat on the mat, the mat was flat.",
    "a I x",
    "",
    "Zwölf Boxkämpfer jagen Viktor — quer über den großen Sylter Deich",
    "cat CAT cats dog_1 dog_1 3.14",
    None,
    "mat\nflat\tflat flat",
] * 3


def groups_table(n: int = 500) -> pl.DataFrame:
    """Return numbers with holes in groups that have some too."""
    return pl.DataFrame(
        {
            "g": GENERATOR.choice(["a", "b", "c", None], n).tolist(),
            "k": GENERATOR.integers(0, 3, n),
            "x": np.where(GENERATOR.random(n) < 0.1, math.nan, GENERATOR.normal(size=n)),
        },
        schema={"g": pl.String, "k": pl.Int64, "x": pl.Float64},
    ).fill_nan(None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def damage(value: Any, data: st.DataObject) -> None:
    """Put any JSON in the place of something inside a value."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(value[key], dict | list) or data.draw(st.booleans()):
            value[key] = data.draw(_JSON)
            return
        value = value[key]
