"""Whatever steps follow one another: a clear error, or a preparation that serves what it learnt."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation_kit import same_bits

from local_stack.errors import InputError
from local_stack.marked_yaml import Lines, Node
from local_stack.preparation import steps
from local_stack.preparation.fitted import Preparation
from local_stack.preparation.fitting import fit_features, raw_columns
from local_stack.preparation.grammar import WORDS, read_step, step_to_dict
from local_stack.preparation.preview import apply, preview
from local_stack.preparation.table import Labels

_GENERATOR = np.random.default_rng(3)
N_ROWS = 40


def _column(values: list[Any]) -> list[Any]:
    return [values[n] for n in _GENERATOR.integers(0, len(values), N_ROWS)]


FRAME = pl.DataFrame(
    {
        "x": _column([1.5, -2.0, 0.0, None, 1e300, 3.25]),
        "n": _column([1, 2, 3, 4, 5]),
        "p": _GENERATOR.lognormal(size=N_ROWS),
        "s": _column(["a", "b b", "", None, "[/x]", "7"]),
        "w": _column(["red cat", "cat sat", "sat on red", "on"]),
        "d": _column([datetime(2024, 2, 29, 5), datetime(1969, 1, 1), None]),
        "f": _column([True, False, None]),
        "gone": [None] * N_ROWS,
    },
    schema_overrides={"gone": pl.Float64, "d": pl.Datetime("us")},
)
LABELS = Labels(_GENERATOR.normal(size=N_ROWS))
_one = st.sampled_from([*FRAME.columns, *FRAME.columns, "q", "x_missing", "n_1"])


def _of(*names: str, word: str) -> st.SearchStrategy[Any]:
    """Columns that mostly suit a step."""
    some = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)
    odd = st.lists(_one, min_size=1, max_size=3, unique=True)
    return st.one_of(some, some, some, st.just(word), st.just(word), odd)


_columns = _of(*FRAME.columns, word="all")
_numeric = _of("x", "n", "p", word="numeric")
_texts = _of("s", "w", word="categorical")
_keys = st.lists(st.sampled_from(["s", "n", "f", "w", "q"]), min_size=1, max_size=2, unique=True)
_text = st.sampled_from(
    [
        "col('x') > 0",
        "col('n') + col('p')",
        "col('s').fill_null('a')",
        "col('n').log1p()",
        "col('f').cast(pl.Float64)",
        "(col('d') - col('d')).dt.total_days()",
        "pl.when(col('p') > 1).then('n').otherwise('x')",
    ]
)
_pair = st.lists(st.sampled_from(["x", "n", "p", "x", "n", "d"]), min_size=2, max_size=2)
_new = st.sampled_from(["q", "x", "new", "n_1", "p_missing"])


def _some_of(words: Any) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(list(words)), min_size=1, max_size=3, unique=True)


def _body(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    columns = keys.pop("columns", _columns)
    return st.fixed_dictionaries({"columns": columns}, optional=keys)


BODIES: dict[str, st.SearchStrategy[Any]] = {
    "cast": st.fixed_dictionaries({"columns": _columns, "to": st.sampled_from(steps.KINDS)}),
    "rename": st.dictionaries(_one, _new, min_size=1, max_size=2),
    "select": _body(),
    "drop": _body(columns=_of("s", "gone", "d", word="date")),
    "filter": _text,
    "deduplicate": _body(keep=st.sampled_from(steps.KEEPS)),
    "impute": _body(
        columns=_of("x", "n", "gone", "f", word="numeric"),
        strategy=st.sampled_from(steps.STRATEGIES[:3]),
        by=_keys,
        indicator=st.booleans(),
    ),
    "encode": st.fixed_dictionaries(
        {"columns": _columns, "as": st.sampled_from(steps.FORMS)},
        optional={"max_categories": st.integers(1, 4), "min_frequency": st.just(0.2)},
    ),
    "scale": _body(columns=_numeric, method=st.sampled_from(steps.METHODS)),
    "power": _body(
        columns=_numeric, method=st.sampled_from(steps.POWERS), standardize=st.booleans()
    ),
    "quantile": _body(columns=_numeric, output=st.sampled_from(steps.OUTPUTS)),
    "clip": _body(
        columns=_numeric, lower=st.just(0.1), upper=st.just(0.8), by=st.sampled_from(steps.LIMITS)
    ),
    "winsorise": _body(
        columns=_numeric,
    ),
    "bin": _body(
        columns=_numeric,
        n_bins=st.integers(2, 4),
        method=st.sampled_from(["quantile", "uniform"]),
        **{"as": st.sampled_from(steps.BIN_FORMS)},
    ),
    "dates": _body(
        columns=_of("d", word="date"), parts=_some_of(steps.PARTS), cyclic=_some_of(steps.PERIODS)
    ),
    "ratio": _body(columns=_pair, **{"as": _new}),
    "difference": _body(columns=_pair, **{"as": _new}),
    "text": _body(columns=_texts, measures=_some_of(steps.MEASURES)),
    "tfidf": _body(columns=_texts, max_features=st.integers(1, 5)),
    "group": st.fixed_dictionaries(
        {"columns": _numeric, "by": _keys},
        optional={"statistics": _some_of(steps.STATISTICS)},
    ),
    "expression": st.dictionaries(_new, _text, min_size=1, max_size=2),
}


def test_every_word_is_drawn() -> None:
    assert set(BODIES) == set(WORDS)


_step = st.one_of(*(body.map(lambda b, w=word: {w: b}) for word, body in BODIES.items()))


@settings(max_examples=400)
@given(st.lists(_step, max_size=6), st.booleans())
def test_any_recipe_is_refused_in_a_sentence_or_serves_what_it_learnt(
    written: list[dict[str, Any]], native: bool
) -> None:
    written = [*written, {"drop": {"columns": "date"}}]
    written += [] if native else [{"drop": {"columns": "categorical"}}]
    try:
        recipe = [read_step(Node(item, Lines("recipe"), (n,))) for n, item in enumerate(written)]
    except InputError:
        return
    shown = preview(FRAME, None, recipe, rows=3)
    assert json.dumps([step.to_dict() for step in shown], allow_nan=False)
    assert [step_to_dict(step) for step in recipe] == [
        step_to_dict(read_step(Node(step_to_dict(step), Lines("again")))) for step in recipe
    ]
    try:
        training = fit_features(
            FRAME, "y", recipe, native_strings=native, accepts_missing=True, labels=LABELS
        )
    except InputError:
        return
    stored = json.loads(json.dumps(training.preparation.to_dict(), allow_nan=False))
    preparation = Preparation.from_dict(stored)
    many = preparation.compile().matrix(raw_columns(FRAME, preparation.inputs))
    assert same_bits(np.array([preparation.compile().row(raw) for raw in FRAME.to_dicts()]), many)
    if not any(step.get("encode", {}).get("as") == "target" for step in written):
        assert same_bits(training.matrix, np.ascontiguousarray(many[training.rows]))
        prepared = apply(FRAME, None, recipe)
        assert prepared.rows.tolist() == training.rows.tolist()
    assert set(preparation.sources) == {feature.name for feature in preparation.features}
