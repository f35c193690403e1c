"""The search grammar against MLflow's own cases, against MLflow itself, and against abuse."""

from __future__ import annotations

import json
import math
import operator
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.errors import InputError
from local_stack.results import iso
from local_stack.runs import grammar, tokens
from local_stack.runs.search import MAX_ORDER_CLAUSES, Clause, order, where

# ------------------------------------------------------------------ runs, in DuckDB and in MLflow


@dataclass
class Run:
    run_id: str
    name: str | None = "a run"
    status: str = "FINISHED"
    actor: str = "ann"
    artifact_uri: str | None = "uri"
    start: int = 0
    end: int | None = 1
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[dict[str, str]] = field(default_factory=list)


def _moment(milliseconds: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    if milliseconds is None:
        return None
    return iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds))


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_connection: duckdb.DuckDBPyConnection | None = None


def _database() -> duckdb.DuckDBPyConnection:
    global _connection
    if _connection is None:
        _connection = duckdb.connect()
        _connection.execute(
            "CREATE TABLE runs (run_id VARCHAR, name VARCHAR, experiment VARCHAR,"
            " experiment_id VARCHAR, status VARCHAR, actor VARCHAR, lifecycle VARCHAR,"
            " started_at VARCHAR, ended_at VARCHAR, artifact_uri VARCHAR,"
            " params JSON, metrics JSON, tags JSON, datasets JSON)"
        )
    return _connection


def _load(runs: list[Run]) -> duckdb.DuckDBPyConnection:
    database = _database()
    database.execute("DELETE FROM runs")
    rows = [
        (
            *(run.run_id, run.name, "e", "1", run.status, run.actor, "active"),
            *(_moment(run.start), _moment(run.end), run.artifact_uri, json.dumps(run.params)),
            json.dumps({key: _json_number(value) for key, value in run.metrics.items()}),
            *(json.dumps(run.tags), json.dumps(run.datasets)),
        )
        for run in runs
    ]
    if rows:
        database.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * 14)})", rows)
    return database


def _matching(filter_text: str | None) -> set[str]:
    clause = where(filter_text)
    rows = _database().execute(
        f"SELECT run_id FROM runs WHERE {clause.sql}", list(clause.parameters)
    )
    return {run_id for (run_id,) in rows.fetchall()}


def _in_order(clauses: list[str]) -> list[str]:
    clause = order(clauses)
    rows = _database().execute(
        f"SELECT run_id FROM runs ORDER BY {clause.sql}", list(clause.parameters)
    )
    return [run_id for (run_id,) in rows.fetchall()]


def _mlflow_run(run: Run) -> Any:
    from mlflow import entities

    return entities.Run(
        entities.RunInfo(
            run_id=run.run_id,
            experiment_id="1",
            user_id=run.actor,
            status=run.status,
            start_time=run.start,
            end_time=run.end,
            lifecycle_stage="active",
            artifact_uri=run.artifact_uri,
            run_name=run.name,
        ),
        entities.RunData(
            metrics=[entities.Metric(key, value, 0, 0) for key, value in run.metrics.items()],
            params=[entities.Param(key, value) for key, value in run.params.items()],
            tags=[entities.RunTag(key, value) for key, value in run.tags.items()],
        ),
        entities.RunInputs(dataset_inputs=[_mlflow_dataset(item) for item in run.datasets]),
    )


def _mlflow_dataset(item: dict[str, str]) -> Any:
    from mlflow import entities

    tags = [entities.InputTag("mlflow.data.context", item["context"])] if "context" in item else []
    return entities.DatasetInput(
        entities.Dataset(item["name"], item["digest"], "local", "source"), tags
    )


def _mlflow_matching(runs: list[Run], filter_text: str) -> set[str]:
    from mlflow.utils.search_utils import SearchUtils

    found = SearchUtils.filter([_mlflow_run(run) for run in runs], filter_text)
    return {run.info.run_id for run in found}


def _mlflow_in_order(runs: list[Run], clauses: list[str]) -> list[str]:
    from mlflow.utils.search_utils import SearchUtils

    return [
        run.info.run_id for run in SearchUtils.sort([_mlflow_run(run) for run in runs], clauses)
    ]


# ------------------------------------------------------------------ MLflow's published cases


def _truth_file() -> Path:
    root = Path(__file__).parents[2]
    shared = os.environ.get("PACEML_SHARED_DATA") or root.parent / "shared" / "data"
    return Path(shared) / "truth" / "mlflow_filters.json"


TRUTH = json.loads(_truth_file().read_text()) if _truth_file().is_file() else None
RELEASE = "mlflow_3.17.2"


def _cases(group: str, text: str = "filter") -> Any:
    """Return the cases of a group that search runs, or one skipped case without the data."""
    if TRUTH is None:
        reason = "the shared reference data (truth/mlflow_filters.json) is not on this machine"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=str(case[text])) for case in TRUTH["cases"][group]]


def _parsed(node: grammar.Node | None) -> list[dict[str, Any]]:
    """Return a tree of AND-ed tests in the form of MLflow's parser."""
    tests = node.items if isinstance(node, grammar.And) else () if node is None else (node,)
    return [_clause(test) for test in tests]


def _clause(test: Any) -> dict[str, Any]:
    comparator, value = {
        grammar.NumberTest: lambda: (test.operator, test.number),
        grammar.TextTest: lambda: (test.operator, test.text),
        grammar.ListTest: lambda: ("NOT IN" if test.negated else "IN", list(test.texts)),
        grammar.NullTest: lambda: ("IS NOT NULL" if test.negated else "IS NULL", None),
    }[type(test)]()
    return {
        "type": test.field.kind.value,
        "key": test.field.key,
        "comparator": comparator,
        "value": value,
    }


def _canonical(clause: dict[str, Any]) -> dict[str, Any]:
    """Return a clause of MLflow's parser with the alias and the number read, as ours are."""
    numeric = clause["comparator"] in grammar.Field(grammar.Kind.METRIC, "").operators
    is_number = clause["type"] == "metric" or not isinstance(clause["value"], str | list | None)
    return {
        **clause,
        "key": grammar.ATTRIBUTES[clause["key"]]
        if clause["type"] == "attribute"
        else clause["key"],
        "value": float(clause["value"]) if numeric and is_number else clause["value"],
    }


@pytest.mark.parametrize("case", _cases("parse_valid"))
def test_a_filter_reads_as_mlflow_reads_it(case):
    assert case[RELEASE]["ok"]
    expected = [_canonical(clause) for clause in case[RELEASE]["parsed"]]
    assert _parsed(grammar.parse_filter(case["filter"])) == expected


@pytest.mark.parametrize("case", [*_cases("parse_invalid"), *_cases("bad_comparators")])
def test_a_filter_that_mlflow_refuses_is_refused_with_its_place(case):
    assert not case[RELEASE]["ok"]
    with pytest.raises(InputError) as caught:
        where(case["filter"])
    _place(caught.value)
    assert caught.value.hint


def _fixture_runs(name: str) -> list[Run]:
    return [
        Run(
            run_id=run.get("run_id", str(run["i"])),
            status=run["status"],
            start=run["start"],
            metrics=run["metrics"],
            params=run["params"],
            tags=run["tags"],
            datasets=[run["dataset"]] if "dataset" in run else [],
        )
        for run in TRUTH[name]
    ]


@pytest.mark.parametrize("case", _cases("filter_semantics"))
def test_a_filter_finds_the_runs_that_mlflow_finds(case):
    _load(_fixture_runs("fixture_for_filter_semantics"))
    assert _matching(case["filter"]) == {str(i) for i in case[RELEASE]["parsed"]}


@pytest.mark.parametrize("case", _cases("order_by_semantics", "order_by"))
def test_runs_stand_in_the_order_of_mlflow(case):
    runs = _fixture_runs("fixture_for_order_by")
    _load(runs)
    expected = [runs[i].run_id for i in case[RELEASE]["parsed"]]
    assert _in_order(case["order_by"] or []) == expected


@pytest.mark.parametrize("case", _cases("order_by_valid", "order_by"))
def test_an_order_clause_reads_as_mlflow_reads_it(case):
    kind, key, is_ascending = case[RELEASE]["parsed"]
    expected = grammar.Ordering(grammar.Field(grammar.Kind(kind), key), not is_ascending)
    assert grammar.parse_order(case["order_by"]) == expected


@pytest.mark.parametrize("case", _cases("order_by_invalid", "order_by"))
def test_an_order_clause_that_mlflow_refuses_is_refused(case):
    with pytest.raises(InputError) as caught:
        order([case["order_by"]])
    assert caught.value.hint


@pytest.mark.skipif(TRUTH is None, reason="the shared reference data is not on this machine")
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_metrics_sort_with_nan_infinity_and_missing_values(direction):
    special = TRUTH["metric_sort_with_special_values"]
    _load(
        [
            Run(value, metrics={} if value == "missing" else {"x": float(value)})
            for value in special["values"]
        ]
    )
    assert _in_order([f"metrics.x {direction}"]) == special[direction]


# ------------------------------------------------------------------ MLflow itself, on made-up runs

COMMON = ["a", "b", "a/b"]
KEYS = ["a", "b", "A", "x.y", "a/b", "a~1b", "a b", "é", "0", "$.a", "in", "mlflow.user", "%", "*"]
LETTERS = "abAB%_.\\(é \n-"
ANY_KEY = st.sampled_from(COMMON) | st.sampled_from(KEYS)
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.0, 1e300, math.nan, math.inf, -math.inf]),
    st.floats(width=64),
)
TEXTS = st.text(LETTERS, max_size=4)
PLAIN = st.text("abAé ", min_size=1, max_size=2)
TIMES = st.sampled_from([0, 1, 999, 1_000, 1_700_000_000_123, 1_700_000_000_124])


@st.composite
def _runs(draw, max_size: int = 5):
    return [
        Run(
            run_id=run_id,
            name=draw(st.none() | TEXTS),
            status=draw(st.sampled_from(["RUNNING", "FINISHED", "FAILED"])),
            actor=draw(PLAIN),
            artifact_uri=draw(st.none() | TEXTS),
            start=draw(TIMES),
            end=draw(st.none() | TIMES),
            metrics=draw(st.dictionaries(ANY_KEY, NUMBERS, max_size=4)),
            params=draw(st.dictionaries(ANY_KEY, TEXTS, max_size=4)),
            tags=draw(st.dictionaries(ANY_KEY, TEXTS, max_size=4)),
            datasets=draw(st.lists(_DATASET, max_size=2)),
        )
        for run_id in draw(st.permutations(["a", "B", "10", "9", "é"]))[:max_size]
    ]


_DATASET = st.fixed_dictionaries(
    {"name": TEXTS, "digest": PLAIN}, optional={"context": st.sampled_from(["train", "eval"])}
)


@st.composite
def _quoted(draw, text: str):
    mark = draw(st.sampled_from("'\""))
    return f"{mark}{text}{mark}" if not text.endswith("\\") else f"{mark}{text}a{mark}"


@st.composite
def _named(draw, *heads: str):
    key = draw(ANY_KEY)
    is_bare = key.isidentifier() and key != "in"
    forms = [f'"{key}"', f"`{key}`"] + ([key] if is_bare else [])
    return f"{draw(st.sampled_from(heads))}.{draw(st.sampled_from(forms))}"


NUMERALS = st.one_of(
    st.sampled_from(["0", "1", "-1", "0.5", ".5", "1.", "1e3", "1E-5", "-2.5e1", "1e400"]),
    st.integers(-2_000, 2_000).map(str),
)
CASES = st.sampled_from([str.upper, str.lower, str.title])


@st.composite
def _metric_test(draw):
    name = draw(_named("metrics", "metric", "`metric`"))
    comparator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    gap = draw(st.sampled_from(["", " ", "  "]))
    return f"{name}{gap}{comparator}{gap}{draw(NUMERALS)}"


@st.composite
def _text_comparison(draw, name: str):
    comparator = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]))
    return f"{name} {draw(CASES)(comparator)} {draw(_quoted(draw(TEXTS)))}"


@st.composite
def _keyed_test(draw):
    name = draw(_named("params", "param", "parameter", "parameters", "tags", "tag"))
    null = draw(st.sampled_from(["IS NULL", "IS NOT NULL", "", ""]))
    return f"{name} {draw(CASES)(null)}" if null else draw(_text_comparison(name))


@st.composite
def _text_attribute_test(draw):
    bare = ["run_id", "run_name", "user_id", "status", "artifact_uri", "`Run name`"]
    head = draw(st.sampled_from(["", "attributes.", "attribute.", "attr.", "run."]))
    return draw(_text_comparison(head + draw(st.sampled_from(bare))))


@st.composite
def _time_test(draw):
    name = draw(st.sampled_from(["start_time", "end_time", "created", "attributes.Created"]))
    comparator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    moment = draw(st.one_of(TIMES.map(str), st.sampled_from(["0.5", "-1", "99999999999999999999"])))
    return f"{name} {comparator} {moment}"


@st.composite
def _list_test(draw):
    name = draw(st.sampled_from(["run_id", "attr.run_id", "datasets.name", "dataset.`digest`"]))
    values = draw(st.lists(PLAIN | st.sampled_from(["10", "9", "B"]), min_size=1, max_size=3))
    word = draw(CASES)(draw(st.sampled_from(["IN", "NOT IN"])))
    return f"{name} {word} ({', '.join([draw(_quoted(value)) for value in values])})"


@st.composite
def _dataset_test(draw):
    head, key = (
        draw(st.sampled_from(["dataset.", "datasets."])),
        draw(st.sampled_from(["name", "digest", "context"])),
    )
    if key == "context" and draw(st.booleans()):
        return f"{head}context {draw(st.sampled_from(['=', '!=']))} 'train'"
    return draw(_text_comparison(head + key))


TESTS = st.one_of(
    _metric_test(),
    _keyed_test(),
    _text_attribute_test(),
    _time_test(),
    _list_test(),
    _dataset_test(),
)


@st.composite
def _filters(draw):
    parts = draw(st.lists(TESTS, min_size=1, max_size=3))
    return draw(CASES)(" AND ").join(parts)


UNHURRIED = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def mlflow_loaded():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.utils.search_utils  # noqa: F401


@UNHURRIED
@given(runs=_runs(), filter_text=_filters())
def test_every_filter_finds_what_mlflow_finds(mlflow_loaded, runs, filter_text):
    _load(runs)
    assert _matching(filter_text) == _mlflow_matching(runs, filter_text)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=1_500)
@given(runs=_runs(), filter_text=_filters(), clauses=st.deferred(lambda: ORDERS))
def test_many_filters_and_orders_answer_as_mlflow_does(mlflow_loaded, runs, filter_text, clauses):
    _load(runs)
    assert _matching(filter_text) == _mlflow_matching(runs, filter_text)
    assert _in_order(clauses) == _mlflow_in_order(runs, clauses)


LIKE_LETTERS = "aAbé.\\\n%_("


@st.composite
def _patterns(draw):
    """Return texts, and a pattern close enough to them to match often."""
    texts = draw(st.lists(st.text(LIKE_LETTERS, min_size=1, max_size=4), min_size=2, max_size=6))
    changes = [str.swapcase, lambda _: "%", lambda _: "_", lambda _: ""] + [str] * 4
    pattern = "".join(draw(st.sampled_from(changes))(letter) for letter in texts[0])
    ends = ["", "%"] if pattern.endswith("\\") else ["", "", "%", "\n", "b"]
    return texts, draw(st.sampled_from(["", "", "%"])) + pattern + draw(st.sampled_from(ends))


@settings(UNHURRIED, max_examples=250)
@given(case=_patterns(), word=st.sampled_from(["LIKE", "ILIKE"]))
def test_like_matches_what_mlflow_matches(mlflow_loaded, case, word):
    texts, pattern = case
    texts = [*texts, *(text + "\n" for text in texts), *(text.swapcase() for text in texts)]
    runs = [Run(str(i), params={"a": text}) for i, text in enumerate(texts)]
    _load(runs)
    filter_text = f"params.a {word} '{pattern}'"
    assert _matching(filter_text) == _mlflow_matching(runs, filter_text)


@st.composite
def _orders(draw):
    attribute = st.sampled_from(
        ["start_time", "attributes.end_time", "created", "status", "run_name", "artifact_uri"]
    )
    name = draw(st.one_of(_named("metrics", "params", "tags"), attribute))
    return name + draw(st.sampled_from(["", " ASC", " desc", "  DESC", " aSc"]))


ORDERS = st.lists(_orders(), max_size=3)


@UNHURRIED
@given(runs=_runs(), clauses=ORDERS)
def test_every_order_is_the_order_of_mlflow(mlflow_loaded, runs, clauses):
    _load(runs)
    assert _in_order(clauses) == _mlflow_in_order(runs, clauses)


@st.composite
def _trees(draw, depth: int = 3):
    """Return a filter with OR, NOT and parentheses as (text, how to find its runs with MLflow)."""
    shape = draw(st.sampled_from(["test", "and", "or", "not"])) if depth else "test"
    if shape == "test":
        text = draw(TESTS)
        return text, lambda runs: _mlflow_matching(runs, text)
    left_text, left = draw(_trees(depth=depth - 1))
    if shape == "not":
        return f"NOT ({left_text})", lambda runs: {run.run_id for run in runs} - left(runs)
    right_text, right = draw(_trees(depth=depth - 1))
    if shape == "and":
        return f"({left_text}) and ({right_text})", lambda runs: left(runs) & right(runs)
    return f"({left_text}) Or ({right_text})", lambda runs: left(runs) | right(runs)


@UNHURRIED
@given(runs=_runs(), tree=_trees())
def test_or_not_and_parentheses_are_set_algebra_over_mlflow(mlflow_loaded, runs, tree):
    text, expected = tree
    _load(runs)
    assert _matching(text) == expected(runs)


# ------------------------------------------------------------------ what MLflow does not have

COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@UNHURRIED
@given(
    metrics=st.lists(st.dictionaries(st.sampled_from("ab"), NUMBERS), max_size=6),
    comparator=st.sampled_from(sorted(COMPARISONS)),
)
def test_metric_against_metric_compares_as_python_does(metrics, comparator):
    runs = [Run(str(i), metrics=values) for i, values in enumerate(metrics)]
    _load(runs)
    expected = {
        run.run_id
        for run in runs
        if {"a", "b"} <= run.metrics.keys()
        and COMPARISONS[comparator](run.metrics["a"], run.metrics["b"])
    }
    assert _matching(f"metrics.a {comparator} metrics.b") == expected


@settings(deadline=None)
@given(
    values=st.lists(
        st.one_of(
            NUMBERS.map(repr), st.sampled_from(["", "x", "True", "0x1f", " 1 ", "1,5", "1e"])
        ),
        max_size=5,
    ),
    bound=NUMERALS,
    comparator=st.sampled_from(sorted(COMPARISONS)),
)
def test_params_compare_as_numbers_with_a_bare_number(values, bound, comparator):
    _load([Run(str(i), params={"a": value}) for i, value in enumerate(values)])
    expected = set()
    for i, value in enumerate(values):
        try:
            number = float(value)
        except ValueError:
            continue
        if COMPARISONS[comparator](number, float(bound)):
            expected.add(str(i))
    assert _matching(f"params.a {comparator} {bound}") == expected


@settings(deadline=None)
@given(values=st.lists(NUMBERS, max_size=5), low=NUMERALS, high=NUMERALS)
def test_between_includes_both_ends_and_not_between_is_the_rest_of_those_that_have_it(
    values, low, high
):
    _load([Run(str(i), metrics={"a": value}) for i, value in enumerate(values)] + [Run("none")])
    inside = {str(i) for i, value in enumerate(values) if float(low) <= value <= float(high)}
    everyone = {str(i) for i in range(len(values))}
    assert _matching(f"metrics.a BETWEEN {low} AND {high}") == inside
    assert _matching(f"metrics.a not between {low} and {high}") == everyone - inside
    assert _matching(f"NOT metrics.a BETWEEN {low} AND {high}") == everyone - inside | {"none"}


SMALL = [
    Run("1", params={"p": "x", "n": "0.5"}, start=1_000, end=3_500, metrics={"m": 1, "v": 2}),
    Run("2", params={"p": "y", "n": "10"}, start=2_000, end=None, metrics={"m": math.nan, "v": 1}),
    Run("3", status="FAILED", start=3_000, end=3_000, datasets=[{"name": "w", "digest": "1"}]),
]


@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("", "123"),
        ("  \n", "123"),
        ("params.n > 1", "2"),
        ("params.n = 10.0", "2"),
        ("params.n BETWEEN 0 AND 1", "1"),
        ("metrics.m < metrics.v", "1"),
        ("metrics.m != metrics.v", "12"),
        ("attributes.duration >= 2.5", "1"),
        ("attributes.duration < 2.5", "3"),
        ("duration BETWEEN 0 AND 0", "3"),
        ("status IN ('FAILED', 'KILLED')", "3"),
        ("status NOT IN ('FAILED')", "12"),
        ("params.p IN ('x', 'z',)", "1"),
        ("params.p LIKE 'X'", ""),
        ("params.p ILIKE 'X'", "1"),
        ("params.n LIKE '_._'", "1"),
        ("params.p NOT LIKE 'x%'", "2"),
        ("NOT params.p LIKE 'x%'", "23"),
        ("datasets.name NOT LIKE 'x%'", "3"),
        ("NOT NOT params.p = 'x'", "1"),
        ("params.p = 'x' OR params.p = 'y' AND params.n > 100", "1"),
        ("(params.p = 'x' OR params.p = 'y') AND params.n > 1", "2"),
        ("NOT params.p = 'x' AND params.n > 1", "2"),
        ("start_time BETWEEN 2000 AND 3000", "23"),
    ],
)
def test_the_additions_mean_what_they_say(filter_text, expected):
    _load(SMALL)
    assert _matching(filter_text) == set(expected)


def test_runs_can_be_ordered_by_duration():
    _load(SMALL)
    assert _in_order(["attributes.duration DESC"]) == ["1", "3", "2"]
    assert _in_order(["duration"]) == ["3", "1", "2"]


def test_the_times_of_a_run_are_cut_to_milliseconds_not_rounded():
    _load([Run("1")])
    _database().execute("UPDATE runs SET started_at = '1970-01-01T00:00:00.001999Z'")
    assert _matching("start_time = 1") == {"1"}


def test_rows_without_json_match_nothing_but_is_null():
    _load([Run("1")])
    _database().execute("UPDATE runs SET params=NULL, metrics=NULL, tags=NULL, datasets=NULL")
    tests = ["params.a != 'x'", "metrics.a != 1", "tags.a NOT IN ('x')", "datasets.name != 'x'"]
    for test in tests:
        assert _matching(test) == set()
        assert _matching(f"NOT {test}") == {"1"}
    assert _matching("params.a IS NULL and tags.a IS NULL") == {"1"}


# ------------------------------------------------------------------ the place of a mistake


def _place(error: InputError) -> str:
    """Return the text above the caret, from the caret on."""
    _, line, caret = error.message.splitlines()
    assert caret.strip() == "^"
    return line[caret.index("^") :]


@pytest.mark.parametrize(
    ("filter_text", "place", "hint"),
    [
        ("metrcs.rmse < 1", "metrcs.rmse", "Did you mean 'metrics'?"),
        ("METRICS.rmse < 1", "METRICS", "Use one of metrics, params, tags"),
        ("metrics.a < 1 AND statu = 'x'", "statu", "Did you mean 'status'?"),
        ("attributes.strt_time > 1", "strt_time", "Did you mean 'start_time'?"),
        ("name = 'x'", "name", "Did you mean 'run_name'?"),
        ("rmse < 1", "rmse", "write metrics.rmse, params.rmse or tags.rmse"),
        ("metrics < 1", "metrics", "metrics.key"),
        ("datasets.nme = 'x'", "nme", "Did you mean 'name'?"),
        ("metrics.a == 1", "== 1", "Did you mean '='?"),
        ("metrics.a <> 1", "<> 1", "Did you mean '!='?"),
        ("params.a ~ 'x'", "~ 'x'", "Did you mean 'LIKE'?"),
        ("params.a LKE 'x'", "LKE", "Did you mean 'LIKE'?"),
        ("tags.a < 'x'", "< 'x'", "Use one of =, !=, LIKE, ILIKE, IN, IS NULL, IS NOT NULL."),
        ("params.a > 'x'", "> 'x'", "compare as a number"),
        ("metrics.a < 1 adn metrics.b < 2", "adn", "Did you mean 'AND'?"),
        ("metrics.a < 1 metrics.b < 2", "metrics.b", "AND or OR"),
        ("metrics.a < 1 and", "", "metrics.rmse"),
        ("AND metrics.a < 1", "AND", "metrics.rmse"),
        ("metrics.a < 1 and and metrics.b < 1", "and metrics.b", "metrics.rmse"),
        ("metrics.a <", "", "Write one"),
        ("metrics.a", "", "Use one of"),
        ("metrics.a = 'x'", "'x'", "Leave the quotation marks out"),
        ("metrics.a > params.b", "params.b", "Name a metric"),
        ("params.a = LR", "LR", "Write 'LR' in single or double"),
        ("params.a = `LR`", "`LR`", "Write 'LR' in single or double"),
        ("tags.a = 5", "5", "Write '5' in single or double"),
        ("params.a = 'LR", "'LR", "Add ' at the end"),
        ("(metrics.a < 1 OR metrics.b < 2", "(metrics.a", "Add ')'"),
        ("metrics.a < 1) OR metrics.b < 2", ")", "Remove it"),
        ("metrics.f1-score > 1", "-score", "backticks"),
        ("metrics.a-5 > 1", "-5", "backticks"),
        ("metrics.train/loss > 1", "/loss", "backticks"),
        ("metrics.a > 1; metrics.b > 1", ";", "AND or OR"),
        ("metrics.a BETWEEN 1 OR 2", "OR 2", "BETWEEN 1 AND 2"),
        ("run_id IN 'a'", "'a'", "IN ('a', 'b')"),
        ("run_id IN ('a' 'b')", "'b'", "IN ('a', 'b')"),
        ("run_id IN ()", ")", "'text'"),
        ("run_id IN (1)", "1", "Write '1'"),
        ("status IS NULL", "IS NULL", "Use one of"),
        ("params.a IS 5", "5", "NULL"),
        ('metrics."" > 1', '""', "after the dot"),
        ("params.数据 = 'x' AND foo = 1", "foo", ""),
        ("params.a = '\ud800'", "\N{REPLACEMENT CHARACTER}'", "again"),
    ],
)
def test_a_mistake_is_shown_at_its_place_with_a_way_out(filter_text, place, hint):
    with pytest.raises(InputError) as caught:
        where(filter_text)
    error = caught.value
    assert hint in error.hint
    at = error.details["position"]
    if filter_text.isascii():
        assert filter_text[at:].startswith(place)
        assert _place(error).startswith(place)
        assert bool(_place(error)) == bool(place)


def test_the_caret_counts_columns_of_the_terminal_not_characters():
    with pytest.raises(InputError) as caught:
        where("params.数据 = 'x' AND foo = 1")
    _, line, caret = caught.value.message.splitlines()
    assert caret.index("^") == line.index("foo") + 2


def test_a_long_filter_is_shown_around_the_mistake():
    good = " AND ".join(f"metrics.m{i} > {i}" for i in range(60))
    with pytest.raises(InputError) as caught:
        where(f"{good} AND foo = 1 AND {good}")
    _, line, _ = caught.value.message.splitlines()
    assert len(line) <= 78
    assert line.startswith("  …")
    assert line.endswith("…")
    assert _place(caught.value).startswith("foo = 1")


def test_a_message_holds_no_control_character_of_the_filter():
    with pytest.raises(InputError) as caught:
        where("params.`\x1b[31m\r\n\u202e` = 5 AND `\x1b]0;x\x07` = \x9b")
    shown = str(caught.value).replace("\n", "")
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("clause", "place"),
    [
        ("metric.a dsc", "dsc"),
        ("metrics.a DESC ASC", "ASC"),
        ("", ""),
        (" metrics.a", " metrics.a"),
        ("metrics.a ", " "),
        ("params.my-param", "-param"),
    ],
)
def test_a_mistake_in_an_order_is_shown_at_its_place(clause, place):
    with pytest.raises(InputError) as caught:
        order([clause])
    assert clause[caught.value.details["position"] :] == place
    assert caught.value.hint


# ------------------------------------------------------------------ bounds and abuse


@pytest.mark.parametrize("opening", ["(", "NOT ", "NOT("])
def test_depth_is_bounded(opening):
    per_level = opening.count("(") + opening.count("NOT")
    n = grammar.MAX_DEPTH // per_level
    test = "metrics.a > 1"
    _load(SMALL)
    _matching(opening * n + test + ")" * (n * opening.count("(")))
    with pytest.raises(InputError, match="deep"):
        where(opening * (n + 1) + test + ")" * ((n + 1) * opening.count("(")))


def test_the_count_of_comparisons_is_bounded():
    _load(SMALL)
    tests = ["params.p = 'x'"] * grammar.MAX_TERMS
    assert _matching(" OR ".join(tests)) == {"1"}
    with pytest.raises(InputError, match="at most 200 comparisons"):
        where(" OR ".join([*tests, "params.p = 'x'"]))


def test_length_is_bounded():
    _load(SMALL)
    longest = "params.p LIKE '" + "_" * (tokens.MAX_LENGTH - 16) + "'"
    assert len(longest) == tokens.MAX_LENGTH
    assert _matching(longest) == set()
    with pytest.raises(InputError, match=r"20,001 characters"):
        where(longest + " ")
    with pytest.raises(InputError, match="characters"):
        order(["metrics." + "a" * tokens.MAX_LENGTH])
    with pytest.raises(InputError, match="order clauses"):
        order(["metrics.a"] * (MAX_ORDER_CLAUSES + 1))


@pytest.mark.parametrize(
    "opening", ["(", "NOT ", "'", "\\'", "metrics.a in (", "`", '"a', "1", "-"]
)
def test_the_worst_texts_are_read_in_no_time(opening):
    text = (opening * tokens.MAX_LENGTH)[: tokens.MAX_LENGTH]
    import time

    start = time.process_time()
    with pytest.raises(InputError):
        where(text)
    assert time.process_time() - start < 2


WORDS = r"""
metrics.a params.`b` tags."c" status duration start_time datasets.name run. . ( ) , ;
= != < >= ~ == AND OR NOT IN IS NULL LIKE ILIKE BETWEEN ASC 1 -1 .5 1e9 'x' "y" '%_'
` ' " \ -- /* */ ? $1 {} % é
"""
SOUP = st.lists(st.sampled_from([*WORDS.split(), "\ud800", "\0"]), max_size=14).map(" ".join)


@settings(deadline=None, max_examples=600)
@given(text=SOUP | st.text(max_size=40) | _filters().flatmap(lambda f: st.sampled_from([f, f[1:]])))
def test_any_text_is_a_filter_that_runs_or_an_input_error(text):
    _check(where, text, "SELECT run_id FROM runs WHERE {}")
    _check(lambda clause: order([clause]), text, "SELECT run_id FROM runs ORDER BY {}")


def _check(compiled: Any, text: str, statement: str) -> None:
    try:
        clause: Clause = compiled(text)
    except InputError as refusal:
        error = refusal
    else:
        assert clause.sql.count("?") == len(clause.parameters)
        _load(SMALL)
        _database().execute(statement.format(clause.sql), list(clause.parameters)).fetchall()
        return
    assert error.message
    assert error.hint


@settings(deadline=None)
@given(key=st.text(min_size=1), value=st.text(), pattern=st.text())
def test_nothing_of_a_filter_reaches_the_sql(key, value, pattern):
    for letter in "`'\"\\":
        key, value, pattern = (part.replace(letter, "") for part in (key, value, pattern))
    texts = [
        "params.`{0}` = '{1}' OR tags.`{0}` IN ('{1}') AND NOT params.`{0}` ILIKE '{2}'",
        "metrics.`{0}` > 1 OR datasets.name = '{1}' AND run_id LIKE '{2}'",
    ]
    for text in texts:
        plain = where(text.format("k", "v", "p"))
        try:
            assert where(text.format(key, value, pattern)).sql == plain.sql
        except InputError:
            assert not key or not (key + value + pattern).isprintable()


@pytest.mark.parametrize(
    "attack",
    [
        "'; DROP TABLE runs; --",
        "x' OR '1'='1",
        '$[*]"] OR 1=1 --',
        "/../..",
        "x) OR TRUE --",
        "?",
        "{}",
        "{0.__class__}",
        "%s",
        "\x00",
    ],
)
def test_an_attack_is_only_a_text(attack):
    mark = '"' if "'" in attack else "'"
    _load([Run("1", params={attack: attack, "p": attack}, metrics={attack: 1}), Run("2")])
    assert _matching(f"params.p = {mark}{attack}{mark}") == {"1"}
    assert _matching(f"params.p IN ({mark}{attack}{mark})") == {"1"}
    assert _matching(f"params.`{attack}` = {mark}{attack}{mark}") == {"1"}
    assert _matching(f"metrics.`{attack}` >= 1") == {"1"}
    assert _in_order([f"metrics.`{attack}` DESC"]) == ["1", "2"]
    assert _database().execute("SELECT count(*) FROM runs").fetchall() == [(2,)]
    for text in (attack, f"metrics.a > 1 {attack}", f"metrics.a > 1 AND {attack}"):
        with pytest.raises(InputError):
            where(text)
