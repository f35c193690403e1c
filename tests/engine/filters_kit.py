"""Made-up runs, and filters and orders over them, for Hypothesis."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from search_kit import Run

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
def some_runs(draw, max_size: int = 5):
    """Return up to five runs."""
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
def named(draw, *heads: str):
    """Return a key behind one of the heads, quoted in some way."""
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
    name = draw(named("metrics", "metric", "`metric`"))
    comparator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    gap = draw(st.sampled_from(["", " ", "  "]))
    return f"{name}{gap}{comparator}{gap}{draw(NUMERALS)}"


@st.composite
def _text_comparison(draw, name: str):
    comparator = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]))
    return f"{name} {draw(CASES)(comparator)} {draw(_quoted(draw(TEXTS)))}"


@st.composite
def _keyed_test(draw):
    name = draw(named("params", "param", "parameter", "parameters", "tags", "tag"))
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
def filters(draw):
    """Return up to three tests, joined by AND."""
    parts = draw(st.lists(TESTS, min_size=1, max_size=3))
    return draw(CASES)(" AND ").join(parts)


UNHURRIED = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def _orders(draw):
    attribute = st.sampled_from(
        ["start_time", "attributes.end_time", "created", "status", "run_name", "artifact_uri"]
    )
    name = draw(st.one_of(named("metrics", "params", "tags"), attribute))
    return name + draw(st.sampled_from(["", " ASC", " desc", "  DESC", " aSc"]))


ORDERS = st.lists(_orders(), max_size=3)
