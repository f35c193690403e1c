"""What the steps of a recipe do to a table, step by step; and how steps are written."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import jsonschema_rs
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from preparation_kit import EVERY_STEP, every_step, table

from local_stack.errors import InputError
from local_stack.evaluation.split import Split
from local_stack.marked_yaml import Node, load
from local_stack.preparation.fitting import fit_features, fit_preparation
from local_stack.preparation.grammar import (
    WORDS,
    features_schema,
    read_step,
    step_to_dict,
)
from local_stack.preparation.preview import (
    ColumnChange,
    FittedValue,
    StepPreview,
    apply,
    labels_for,
    preview,
)
from local_stack.preparation.steps import FeatureStep, named_columns
from local_stack.runs.recipe import load_recipe, parse_recipe

FRAME = pl.DataFrame(
    {
        "x": [1.0, None, 3.0, 8.0],
        "n": [1, 2, 3, 4],
        "s": ["a", "b", "a", None],
        "d": [pl.Series([0]).cast(pl.Date)[0]] * 4,
        "odd": [[1], [2], [3], [4]],
        "g": [1, 1, 2, 2],
        "y": [1.0, 2.0, 3.0, 4.0],
    }
)


def steps(text: str) -> list[FeatureStep]:
    value, lines = load(text, "recipe")
    return [read_step(item) for item in Node(value, lines).items()]


def changes(shown: StepPreview) -> dict[str, str]:
    return {change.name: change.change for change in shown.changes}


def test_a_step_shows_what_was_and_what_became() -> None:
    (impute, scale) = preview(
        FRAME, "y", steps("- impute: {columns: [x], indicator: true}\n- scale: {columns: [n]}")
    )
    assert (impute.number, impute.word, impute.fits_on) == (1, "impute", "rows")
    assert impute.step == {"impute": {"columns": ["x"], "strategy": "median", "indicator": True}}
    assert changes(impute) == {"x": "changed", "x_missing": "added"}
    change = impute.changes[0]
    assert change.before is not None
    assert change.after is not None
    assert (change.before.n_missing, change.after.n_missing) == (1, 0)
    assert (change.before.mean, change.after.mean) == (4.0, 3.75)
    assert change.before.std == pytest.approx(np.std([1, 3, 8], ddof=1))
    assert (change.after.min, change.after.max, change.after.n_distinct) == (1.0, 8.0, 3)
    assert change.after.counts == (1, 0, 2, 0, 0, 0, 0, 0, 0, 1)
    assert impute.fitted == (FittedValue("x", "median", 3.0),)
    assert impute.before.columns == ("x", "n", "s", "d", "odd", "g")
    assert impute.before.types[:5] == ("numeric", "numeric", "categorical", "date", "unsupported")
    assert impute.before.rows[1] == (None, 2.0, "b", "1970-01-01T00:00:00", None, 1.0)
    assert impute.after.rows[1][0] == 3.0
    assert changes(scale) == {"n": "changed"}
    assert [value.name for value in scale.fitted] == ["centre", "scale"]


def test_rows_columns_and_what_is_learnt_from_are_said() -> None:
    shown = preview(
        FRAME,
        "y",
        steps(
            """\
- drop: {columns: [odd]}
- filter: "col('n') < 4"
- deduplicate: {columns: [s]}
- rename: {x: z}
- encode: {columns: [s], as: onehot}
- expression: {big: "col('z') > 2"}
"""
        ),
    )
    assert [(s.n_rows_before, s.n_rows_after) for s in shown] == [
        (4, 4),
        (4, 3),
        (3, 2),
        (2, 2),
        (2, 2),
        (2, 2),
    ]
    assert [s.fits_on for s in shown] == [
        "nothing",
        "nothing",
        "rows",
        "nothing",
        "rows",
        "nothing",
    ]
    assert changes(shown[0]) == {"odd": "removed"}
    assert changes(shown[1]) == changes(shown[2]) == {}
    assert changes(shown[3]) == {"z": "added", "x": "removed"}
    assert changes(shown[4]) == {"s_a": "added", "s_b": "added", "s": "removed"}
    assert changes(shown[5]) == {"big": "added"}
    assert shown[5].after.rows[0][-1] is False
    assert json.loads(json.dumps([s.to_dict() for s in shown], allow_nan=False))


def test_a_step_that_changes_no_value_changes_nothing() -> None:
    (shown,) = preview(FRAME, "y", steps("- impute: {columns: [n]}"))
    assert shown.changes == ()


def test_the_first_step_that_cannot_be_done_is_the_last_shown() -> None:
    shown = preview(
        FRAME,
        "y",
        steps(
            "- scale: {columns: [x]}\n"
            "- expression: {q: \"col('x').sqrtt()\"}\n"
            "- scale: {columns: [n]}"
        ),
        rows=2,
    )
    assert len(shown) == 2
    assert shown[0].problem == ""
    assert "no method 'sqrtt'" in shown[1].problem
    assert "Did you mean 'sqrt'" in shown[1].hint
    assert shown[1].after == shown[1].before
    assert len(shown[1].after.rows) == 2
    (target,) = preview(FRAME, None, steps("- encode: {columns: [s], as: target}"))
    assert "there is none" in target.problem
    (hidden,) = preview(FRAME, "y", steps("- scale: {columns: [y]}"))
    assert "names column 'y', which is not there" in hidden.problem
    with pytest.raises(InputError, match="no column 'w'"):
        preview(FRAME, "w", [])


@pytest.mark.parametrize(
    "text",
    [
        "- scale: {columns: [x, n, s]}",
        "- encode: {columns: [s, n, d], as: onehot}",
        "- text: {columns: [s, x]}",
        "- rename: {x: n}",
        "- expression: {a: \"col('x') + 1\", b: \"col('zz')\"}",
        "- filter: \"col('n') > 9\"",
    ],
)
def test_a_step_that_fails_leaves_the_table_as_it_was(text: str) -> None:
    (shown,) = preview(FRAME, "y", steps(text))
    assert shown.problem
    assert shown.after == shown.before
    assert shown.changes == shown.fitted == ()
    assert shown.n_rows_after == 4


def test_a_recipe_with_every_step_is_previewed() -> None:
    frame = table(500)
    shown = preview(frame, "y", every_step(), rows=5)
    assert len(shown) == len(every_step())
    assert all(not step.problem for step in shown)
    for step in shown:
        for change in step.changes:
            check_facts(change)
    assert json.dumps([step.to_dict() for step in shown], allow_nan=False)
    training = fit_features(
        frame,
        "y",
        every_step(),
        native_strings=True,
        accepts_missing=True,
        labels=labels_for(frame, "y"),
    )
    after = shown[-1].after
    names = [feature.name for feature in training.preparation.features]
    assert list(after.columns) == names
    places = np.searchsorted(training.rows, after.numbers)
    for name, row in zip(names, np.array(after.rows, dtype=object).T, strict=True):
        if name != "kind":  # a text until the model encodes it
            column = training.matrix[places, names.index(name)]
            assert [None if v != v else v for v in column] == row.tolist()


def check_facts(change: ColumnChange) -> None:
    for facts in (change.before, change.after):
        if facts is not None and facts.mean is not None:
            assert facts.min is not None
            assert facts.max is not None
            assert facts.min <= facts.mean * (1 + 1e-12) + 1e-12
            assert facts.mean <= facts.max * (1 + 1e-12) + 1e-12 or facts.max < 0
            assert sum(facts.counts) > 0


def test_a_table_after_a_recipe_keeps_what_no_step_changed() -> None:
    recipe = steps(
        """\
- filter: "col('n') != 2"
- rename: {g: group, n: number}
- impute: {columns: [x], strategy: constant, value: 0}
- expression: {big: "col('x') > 2", word: "col('s').str.to_uppercase()"}
"""
    )
    prepared = apply(FRAME, "y", recipe)
    expected = FRAME.filter(pl.col("n") != 2).select(
        pl.col("x").fill_null(0.0),
        number="n",
        s="s",
        d="d",
        odd="odd",
        group="g",
        big=pl.col("x").fill_null(0.0) > 2,
        word=pl.col("s").str.to_uppercase(),
        y="y",
    )
    assert_frame_equal(prepared.frame, expected)
    assert prepared.rows.tolist() == [0, 2, 3]


def test_a_table_after_a_recipe_has_dates_and_hidden_columns() -> None:
    frame = FRAME.with_columns(t=pl.Series(["2024-01-31", "x", None, "2024-02-01"]))
    recipe = steps("- cast: {columns: [t], to: date}\n- scale: {columns: numeric}")
    prepared = apply(frame, "y", recipe, split=Split(group="g"))
    assert prepared.frame.schema["t"] == pl.Date
    assert prepared.frame["g"].to_list() == [1, 1, 2, 2]
    assert prepared.frame.columns == ["x", "n", "s", "d", "odd", "t", "g", "y"]
    assert prepared.frame["x"].mean() == pytest.approx(0)
    with pytest.raises(InputError, match="makes a column 'y'"):
        apply(frame, "y", steps("- rename: {x: y}"))


def test_the_target_is_read_for_steps_that_look_at_it() -> None:
    words = FRAME.with_columns(y=pl.Series(["no", None, "yes", "no"]))
    labels = labels_for(words, "y")
    assert labels.classes == ("no", "yes")
    np.testing.assert_array_equal(labels.values, [0.0, np.nan, 1.0, 0.0])
    numbers = labels_for(FRAME.with_columns(y=pl.Series([0.5, None, 2.5, float("nan")])), "y")
    np.testing.assert_array_equal(numbers.values, [0.5, np.nan, 2.5, np.nan])
    assert numbers.classes == ()


# ------------------------------------------------------------------ grammar


def test_every_step_survives_its_plain_form() -> None:
    for step in every_step():
        again = read_step(Node(step_to_dict(step), load("a: 1")[1]))
        assert again == step


def test_the_schema_is_that_of_the_reader() -> None:
    schema = features_schema()
    assert jsonschema_rs.meta.is_valid(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    value, _ = load(EVERY_STEP)
    validator.validate(value)
    validator.validate([step_to_dict(step) for step in every_step()])
    words = [next(iter(item["properties"])) for item in schema["items"]["oneOf"]]
    assert words == list(WORDS)
    assert all(item["description"] for item in schema["items"]["oneOf"])
    for wrong in ({"scael": {}}, {"scale": {}}, {"scale": {"columns": "x", "method": "maxi"}}):
        assert list(validator.iter_errors([wrong]))


BAD: list[tuple[str, str]] = [
    ("scale: {columns: x, method: maxab}", "Did you mean 'maxabs'"),
    ("encode: {columns: x}", "needs the key 'as'"),
    ("encode: {columns: x, as: ordinal, n_features: 3}", "'n_features' belongs to 'as: hash'"),
    ("encode: {columns: x, as: onehot, smooth: 3}", "'smooth' belongs to 'as: target'"),
    ("encode: {columns: x, as: onehot, min_frequency: 1.5}", "from 0 to 1"),
    ("encode: {columns: x, as: target, smooth: -1}", "from 0"),
    ("clip: {columns: x, lower: 5, upper: 9}", "add 'by: values'"),
    ("clip: {columns: x, by: values}", "needs lower, upper or both"),
    ("clip: {columns: x, by: values, lower: 2, upper: 1}", "must not be greater"),
    ("winsorise: {columns: x, lower: 0.9, upper: 0.1}", "lower must be less"),
    ("bin: {columns: x, method: edges}", "needs the key 'edges'"),
    ("bin: {columns: x, edges: [1]}", "needs the key 'edges'"),
    ("bin: {columns: x, method: edges, edges: [2, 1]}", "must rise"),
    ("bin: {columns: x, method: edges, edges: [a]}", "needs a number"),
    ("ratio: {columns: [a]}", "needs two columns"),
    ("ratio: {columns: a}", "needs a list"),
    ("rename: {a: 1}", "needs a text"),
    ("rename: {}", "is empty"),
    ("rename: [a, b]", "needs keys and values"),
    ("filter: true", "needs an expression in quotes"),
    ("filter: \"col('a' > 1\"", "never closed"),
    ("expression: {a: 5}", "needs an expression in quotes"),
    ("expression: {}", "is empty"),
    ("impute: {columns: x, strategy: most_frequent, by: [g]}", "has a mean or a median"),
    ("tfidf: {columns: x, ngrams: [2, 1]}", "fewest, most"),
    ("tfidf: {columns: x, max_features: 0}", "from 1"),
    ("dates: {columns: x, parts: []}", "at least one part"),
    ("dates: {columns: x, cyclic: [year]}", "cannot be 'year'"),
    ("group: {columns: x}", "needs the key 'by'"),
    ("group: {columns: x, by: g, statistics: [sum]}", "cannot be 'sum'"),
    ("cast: {columns: x, to: float}", "cannot be 'float'"),
    ("cast: {columns: x, to: date, format: '%d %d'}", "is no form of a date"),
    ("cast: {columns: x, to: date, format: '%q'}", "is no form of a date"),
    ("cast: {columns: x, to: date, format: '%'}", "is no form of a date"),
    ("deduplicate: {keep: any}", "cannot be 'any'"),
    ('expression: {" \\t": "col(\'a\')"}', "empty name"),
    ("rename: {a: ''}", "empty name"),
    ("ratio: {columns: [a, b], as: ' '}", "empty name"),
    ("difference: {columns: [a, b], as: ''}", "empty name"),
    ("group: {columns: x, by: []}", "empty list"),
    ("group: {columns: x, by: g, statistics: []}", "empty list"),
    ("impute: {columns: x, by: []}", "empty list"),
    ("dates: {columns: x, cyclic: []}", "empty list"),
    ("bin: {columns: x, method: edges, edges: []}", "empty list"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_wrong_step_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        steps(f"- drop: {{columns: [a]}}\n- {text}\n")
    assert words in str(caught.value)
    assert "recipe, line 2" in caught.value.message


def test_the_schema_refuses_empty_names_and_lists() -> None:
    validator = jsonschema_rs.Draft202012Validator(features_schema())
    for text, words in BAD:
        if words in ("empty name", "empty list"):
            assert not validator.is_valid(load(f"- {text}")[0]), text


def test_waves_alone_survive_the_plain_form() -> None:
    (found,) = steps("- dates: {columns: x, parts: [], cyclic: [month]}\n")
    written = step_to_dict(found)
    assert written == {"dates": {"columns": ["x"], "parts": [], "cyclic": ["month"]}}
    assert read_step(Node(written, load("a: 1")[1])) == found


def test_named_columns_are_all_that_a_step_reads() -> None:
    names = named_columns(
        steps(
            """\
- rename: {a: b}
- filter: "col('c') > 1"
- expression: {d: "col('e') + pl.col('f')"}
- impute: {columns: [g], by: [h]}
- group: {columns: numeric, by: i}
- ratio: {columns: [j, k], as: l}
"""
        )
    )
    assert names == set("acefghijk")


def test_a_false_constant_and_an_unset_option_survive() -> None:
    value: list[dict[str, Any]] = [
        {"impute": {"columns": ["b"], "strategy": "constant", "value": False}},
        {"power": {"columns": ["x"], "method": "yeo-johnson", "standardize": False}},
    ]
    found = [read_step(Node(item, load("a: 1")[1])) for item in value]
    assert [step_to_dict(step) for step in found] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expression: {'': \"col('a')\"}", "empty name"),
        ("rename: {a: '  '}", "empty name"),
        ("select: {columns: []}", "empty list"),
        ("text: {columns: categorical, measures: []}", "empty list"),
    ],
)
def test_a_step_of_nothing_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"line 3: .*{said}"):
        load_recipe(f"dataset: t\nfeatures:\n  - {text}\n", check=False)


@pytest.mark.parametrize("step", [{"rename": {"a": "y"}}, {"expression": {"y": "col('a') + 1"}}])
def test_no_step_makes_a_column_of_the_targets_name(step: dict[str, Any]) -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0], "y": [0.0, 1.0]})
    steps = parse_recipe({"dataset": "t", "features": [step]}).features
    assert "'y', which is the name of one" in (preview(frame, "y", steps)[-1].problem or "")
    with pytest.raises(InputError, match="'y', which is the name of one"):
        apply(frame, "y", steps)
    with pytest.raises(InputError, match="'y', which is the name of one"):
        fit_preparation(frame, "y", steps, native_strings=True)


def test_a_recipe_that_leaves_nothing_makes_no_table() -> None:
    steps = parse_recipe({"dataset": "t", "features": [{"drop": {"columns": "all"}}]}).features
    with pytest.raises(InputError, match="No column is left to learn from"):
        apply(pl.DataFrame({"a": [1.0], "y": [0.0]}), "y", steps)


def test_waves_of_dates_are_numbers_to_the_steps_behind_them() -> None:
    frame = pl.DataFrame({"d": [None, date(2024, 3, 1), date(2024, 9, 1)], "y": [0.0, 1.0, 0.0]})
    steps = [{"dates": {"columns": ["d"], "parts": [], "cyclic": ["month"]}}]
    steps.append({"impute": {"columns": "numeric", "strategy": "mean"}})
    recipe = parse_recipe({"dataset": "t", "features": steps})
    found = apply(frame, "y", recipe.features).frame
    assert found.null_count().select("d_month_sin", "d_month_cos").row(0) == (0, 0)
