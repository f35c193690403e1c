"""A store that MLflow's own client wrote, and filters made of what stands in it."""

from __future__ import annotations

import functools
import math
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from filters_kit import CASES, NUMERALS
from hypothesis import strategies as st

from local_stack.workspace import Workspace

KEYS = ["a", "b", "A", "x.y", "c/d", "a b", "é", "a-b", "0", "in", "loss"]
"""Keys that MLflow lets a client write, and its file store keep beside each other."""

LETTERS = "abAB%_.\\(é '\"-`;"
SPECIAL = [0.0, -0.0, 1.0, 0.5, -1.0, 1e300, 5e-324, math.nan, math.inf, -math.inf]
ENDS = ["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Logged:
    """What a client logged as one run, in the order of logging."""

    run_id: str
    lifecycle: str
    experiment: str
    status: str
    start: int
    end: int | None
    params: dict[str, str]
    tags: dict[str, str]
    history: dict[str, list[tuple[float, int, int]]]
    """By metric: value, timestamp in ms, step."""

    @property
    def metrics(self) -> dict[str, float]:
        """The value that MLflow takes of each metric: that of the largest step, then time."""
        return {
            key: max(values, key=lambda logged: (logged[2], logged[1]))[0]
            for key, values in self.history.items()
        }


def write_runs(client: Any, seed: int, n_runs: int = 40) -> list[Logged]:
    """Log made-up runs into two experiments, delete some, and leave some without an end."""
    rng = random.Random(seed)
    ids = {name: client.create_experiment(name) for name in ("wine é", "[b] x")}
    return [_write_run(client, rng, *rng.choice(list(ids.items()))) for _ in range(n_runs)]


def _text(rng: random.Random, longest: int = 3) -> str:
    return "".join(rng.choices(LETTERS, k=rng.randint(0, longest)))


def _number(rng: random.Random) -> float:
    return rng.choice([*SPECIAL, round(rng.uniform(-2, 2), 1), rng.uniform(-1e6, 1e6)])


def _write_run(client: Any, rng: random.Random, experiment: str, experiment_id: str) -> Logged:
    from mlflow import entities

    start = rng.choice([0, 1, 999, 1_000, 1_700_000_000_123, 1_700_000_000_124])
    end = rng.choice([None, start, start + 1, start + 2_500, 1_700_000_000_124])
    status = rng.choice(ENDS) if end is not None else "RUNNING"
    params = {key: _text(rng) or "a" for key in rng.sample(KEYS, rng.randint(0, 4))}
    params |= {"n": rng.choice(["1", "0.5", "1e3", "nan", "-inf", "", "x"])}
    tags = {key: _text(rng) for key in rng.sample(KEYS, rng.randint(0, 4))}
    # No two values of one metric share a step: which of them counts is a rule of the readers.
    history = {
        key: [
            (_number(rng), rng.randint(0, 3), step)
            for step in rng.sample(range(-3, 9), rng.randint(1, 5))
        ]
        for key in rng.sample(KEYS, rng.randint(0, 5))
    }
    run = client.create_run(
        experiment_id,
        start_time=start,
        run_name=_text(rng) or "x",
        tags=tags | {"mlflow.user": rng.choice(["ann", "é", "Ann"])},
    )
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[
            entities.Metric(key, value, at, step)
            for key, values in history.items()
            for value, at, step in values
        ],
        params=[entities.Param(key, value) for key, value in params.items()],
    )
    if rng.random() < 0.5:
        client.log_inputs(run_id, [_dataset(rng) for _ in range(rng.randint(1, 2))])
    if status != "RUNNING":
        client.set_terminated(run_id, status, end)
    is_deleted = rng.random() < 0.2
    if is_deleted:
        client.delete_run(run_id)
    lifecycle = "deleted" if is_deleted else "active"
    return Logged(run_id, lifecycle, experiment, status, start, end, params, tags, history)


def _dataset(rng: random.Random) -> Any:
    from mlflow import entities

    tag = entities.InputTag("mlflow.data.context", rng.choice(["train", "eval"]))
    name, digest = _text(rng) or "w", rng.choice("ab1é")
    return entities.DatasetInput(
        entities.Dataset(name, digest, "local", "{}"), [tag] if rng.random() < 0.8 else []
    )


@contextmanager
def remembered(client: Any, monkeypatch: Any) -> Iterator[None]:
    """Let MLflow's file store read each run once: parsing, filtering and sorting stay its own."""
    store = client._tracking_client.store
    read: dict[str, Any] = {}
    read_run = store._get_run_from_info

    def read_once(info: Any) -> Any:
        if info.run_id not in read:
            read[info.run_id] = read_run(info)
        return read[info.run_id]

    with monkeypatch.context() as patch:
        patch.setattr(store, "_list_run_infos", functools.cache(store._list_run_infos))
        patch.setattr(store, "_get_run_from_info", read_once)
        yield


# ------------------------------------------------------------------ filters over such a store


@dataclass(frozen=True)
class Vocabulary:
    """What stands in a store, so that filters name it more often than chance would."""

    run_ids: tuple[str, ...]
    texts: tuple[str, ...]
    artifact_uris: tuple[str, ...]


def vocabulary(client: Any, runs: list[Logged]) -> Vocabulary:
    """Return the words of a store."""
    found = [client.get_run(run.run_id) for run in runs]
    texts = {text for run in runs for text in [*run.params.values(), *run.tags.values()]}
    texts |= {run.info.run_name for run in found}
    texts |= {entry.dataset.name for run in found for entry in run.inputs.dataset_inputs}
    return Vocabulary(
        tuple(run.run_id for run in runs),
        tuple(sorted(texts)),
        tuple(run.info.artifact_uri for run in found),
    )


BARE = set(string.ascii_letters + string.digits + "_.é")


@st.composite
def named(draw: Any, *heads: str) -> str:
    """Return a key behind one of the heads, quoted in one of the ways MLflow knows."""
    key = draw(st.sampled_from(["a", "b", "loss", "n"]) | st.sampled_from([*KEYS, "missing"]))
    forms = [f'"{key}"', f"`{key}`", f"'{key}'"]
    if set(key) <= BARE and key not in ("in", "0"):
        forms = [key] * 3 + forms
    head = draw(st.sampled_from(heads))
    return f"{draw(st.sampled_from([head] * 4 + [f'`{head}`']))}.{draw(st.sampled_from(forms))}"


@st.composite
def quoted(draw: Any, texts: Any) -> str:
    """Return a text between quotation marks that do not stand in it."""
    text = draw(texts)
    marks = [mark for mark in "'\"" if mark not in text]
    if text.endswith("\\") or not marks:
        text, marks = text.replace("'", "").rstrip("\\"), ["'"]
    mark = draw(st.sampled_from(marks))
    return f"{mark}{text}{mark}"


@st.composite
def pattern(draw: Any, words: Vocabulary) -> str:
    """Return a text of the store in which some letters became wildcards or changed case."""
    text = draw(st.sampled_from(words.texts))
    changes = [str.swapcase, lambda _: "%", lambda _: "_"] + [str] * 3
    body = "".join(draw(st.sampled_from(changes))(letter) for letter in text)
    ends = st.sampled_from(["", "", "%"])
    return draw(ends) + body + draw(ends)


ATTRIBUTE_HEADS = st.sampled_from(["", "", "attributes.", "attribute.", "attr.", "run."])


@st.composite
def _text_test(draw: Any, name: str, words: Vocabulary) -> str:
    word = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]))
    texts = st.sampled_from(words.texts) | st.text(LETTERS, max_size=2)
    shown = draw(quoted(pattern(words) if word.endswith("LIKE") else texts))
    gap = draw(st.sampled_from([" ", "  ", "\n"])) if word.isalpha() else draw(GAPS)
    return f"{name}{gap}{draw(CASES)(word)}{gap}{shown}"


GAPS = st.sampled_from([" ", " ", "", "\t"])
COMPARATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


@st.composite
def mlflow_test(draw: Any, words: Vocabulary) -> str:
    """Return one comparison of MLflow's grammar."""
    kind = draw(st.sampled_from(["metric", "text", "text", "null", "attribute", "time", "list"]))
    gap = draw(GAPS)
    if kind == "metric":
        bound = draw(NUMERALS | st.floats(allow_nan=False, allow_infinity=False).map(repr))
        return f"{draw(named('metrics', 'metric'))}{gap}{draw(COMPARATORS)}{gap}{bound}"
    keyed = named("params", "param", "parameter", "parameters", "tags", "tag")
    if kind == "text":
        dataset = st.sampled_from(["dataset.name", "datasets.digest", "datasets.context"])
        return draw(_text_test(draw(keyed | keyed | dataset), words))
    if kind == "null":
        return f"{draw(keyed)} {draw(CASES)(draw(st.sampled_from(['IS NULL', 'IS NOT NULL'])))}"
    head = draw(ATTRIBUTE_HEADS)
    if kind == "attribute":
        name = draw(st.sampled_from(["run_name", "`Run name`", "user_id", "status", "run_id"]))
        if name == "status" and draw(st.booleans()):
            return f"{head}status {draw(st.sampled_from(['=', '!=']))} 'FINISHED'"
        return draw(_text_test(head + name, words))
    if kind == "time":
        name = draw(st.sampled_from(["start_time", "end_time", "created", "Created"]))
        moment = draw(st.sampled_from([0, 1, 999, 1_000, 3_500, 1_700_000_000_124]))
        return f"{head}{name}{gap}{draw(COMPARATORS)}{gap}{moment}"
    name, values = draw(
        st.sampled_from(
            [
                (f"{head}run_id", words.run_ids),
                ("datasets.name", words.texts),
                ("dataset.digest", "ab1é"),
                ("datasets.context", ("train", "eval", "test")),
            ]
        )
    )
    # MLflow reads a list as a literal of Python, so a backslash means something else in it.
    plain = [value for value in values if not {"'", '"', "\\"} & set(value)]
    chosen = draw(st.lists(st.sampled_from(plain), min_size=1, max_size=3))
    word = draw(CASES)(draw(st.sampled_from(["IN", "NOT IN"])))
    return f"{name} {word} ({', '.join(draw(quoted(st.just(value))) for value in chosen)})"


@st.composite
def mlflow_filter(draw: Any, words: Vocabulary) -> str:
    """Return a filter of MLflow's grammar: up to three comparisons joined by AND."""
    tests = draw(st.lists(mlflow_test(words), max_size=3))
    return draw(CASES)(" AND ").join(tests)


@st.composite
def mlflow_order(draw: Any) -> list[str]:
    """Return up to three order clauses of MLflow's grammar."""
    attributes = ["start_time", "end_time", "created", "status", "run_name", "run_id"]
    attribute = st.builds(str.__add__, ATTRIBUTE_HEADS, st.sampled_from(attributes))
    field = named("metrics", "metric") | named("params", "tags") | attribute
    direction = st.sampled_from(["", " ASC", " desc", "  DESC"])
    return draw(st.lists(st.builds(str.__add__, field, direction), max_size=3))


def search_ids(workspace: Workspace, *words: Any, **options: Any) -> list[str]:
    """Return the ids of a search of ours, in its order."""
    from local_stack.runs import records

    found = records.search(workspace, *words, limit=1_000, **options)
    assert found.total == len(found.runs)
    return [run.run_id for run in found.runs]
