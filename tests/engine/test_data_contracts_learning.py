"""Learning a contract: what is learnt, what is not, and that the version keeps all of it."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.data.contracting import contract_file, evidence, learning
from local_stack.data.contracting.checks import Moment, verdicts_of_file

CREATED = "2024-06-10T12:00:00.000000Z"


def learnt(tmp_path, frame, **options):
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    options = {"imported": CREATED, "scratch": tmp_path, **options}
    values = learning.candidates(path, "t", **options)
    moment = Moment(datetime(2024, 6, 10, 12), datetime(2024, 6, 10, 12))
    found = verdicts_of_file(contract_file.of_values(values), path, moment=moment)
    assert [check for check in found if not check.passed] == []
    assert learning.inferred(path, "t", **options) == values
    return values


def test_a_senior_contract_of_an_ordinary_table(tmp_path):
    n = 200
    rng = random.Random(7)
    start = [date(2024, 1, 1) + timedelta(days=rng.randrange(90)) for _ in range(n)]
    frame = pl.DataFrame(
        {
            "order_id": range(1000, 1000 + n),
            "code": [f"AB-{rng.randrange(10**4):04d}" for _ in range(n)],
            "ref": [f"R{i}x{'y' * (i % 3)}" for i in range(n)],
            "kind": [rng.choice(["new", "old", "it's"]) for _ in range(n)],
            "comment": [rng.choice(["fine", "so so, really", None]) for _ in range(n)],
            "price": [round(rng.uniform(1, 99), 2) for _ in range(n)],
            "low": [rng.uniform(0, 1) for _ in range(n)],
            "high": [rng.uniform(1, 2) for _ in range(n)],
            "start_date": start,
            "end_date": [d + timedelta(days=rng.randrange(1, 9)) for d in start],
            "seen_at": [datetime(2024, 6, 9) + timedelta(minutes=i) for i in range(n)],
            "is_paid": [rng.random() < 0.5 for _ in range(n)],
        }
    )
    values = learnt(tmp_path, frame)
    columns = values["columns"]
    assert columns["order_id"] == {
        "type": "long",
        "nullable": False,
        "min": 1000,
        "unique": True,
        "monotonic": "strictly_increasing",
    }
    assert columns["code"]["pattern"] == r"^[A-Z]{2}\-[0-9]{4}$"
    assert (columns["code"]["min_length"], columns["code"]["max_length"]) == (7, 7)
    assert columns["ref"] == {
        "type": "string",
        "nullable": False,
        "unique": True,
        "pattern": "^[A-Z]+[0-9]+[a-z]+$",
        "min_length": 3,
        "max_length": 7,
    }
    assert columns["kind"]["allowed"] == ["it's", "new", "old"]
    missing = frame["comment"].null_count() / n
    error = math.sqrt(missing * (1 - missing) / n)
    assert columns["comment"]["max_missing"] == pytest.approx(missing + 3 * error, abs=0.01)
    assert columns["price"]["max"] == frame["price"].max()
    assert "unique" not in columns["price"]
    assert columns["start_date"] == {"type": "date", "nullable": False, "min": str(min(start))}
    assert columns["seen_at"]["min"] == "2024-06-09"
    assert "max" not in columns["seen_at"]
    assert columns["is_paid"] == {"type": "boolean", "nullable": False}
    assert values["keys"] == [["order_id"]]
    assert values["rows"] == {"min": 100, "max": 2000}
    assert values["freshness"] == {"column": "seen_at", "max_age": "7d", "against": "import"}
    expressions = {check["expression"] for check in values["checks"]}
    assert '"low" <= "high"' in expressions
    assert '"start_date" <= "end_date"' in expressions


def test_little_evidence_gives_few_rules(tmp_path):
    frame = pl.DataFrame({"id": [1, 2, 3], "name": ["a1", "b2", "c3"], "d": [1.5, 2.5, 9.0]})
    values = learnt(tmp_path, frame)
    assert values["columns"] == {
        "id": {"type": "long", "nullable": False, "min": 1, "max": 3},
        "name": {"type": "string", "nullable": False},
        "d": {"type": "double", "nullable": False, "min": 1.5, "max": 9.0},
    }
    assert "keys" not in values
    assert "checks" not in values


def test_whole_numbers_that_differ_by_chance_are_not_called_unique(tmp_path):
    rng = random.Random(1)
    frame = pl.DataFrame(
        {
            "income": rng.sample(range(10_000, 90_000), 40),
            "dense": rng.sample(range(40), 40),
            "user_id": rng.sample(range(10**9), 40),
        }
    )
    columns = learnt(tmp_path, frame)["columns"]
    assert [name for name, rules in columns.items() if rules.get("unique")] == ["dense", "user_id"]
    assert "max" in columns["income"]


def test_the_declared_key_is_the_key_unless_the_version_breaks_it(tmp_path):
    frame = pl.DataFrame({"a": [1, 1, 2, 2] * 6, "b": [*range(24)], "c": [1, None] * 12})
    assert learnt(tmp_path, frame, keys=["a", "b"])["keys"] == [["a", "b"]]
    assert "keys" not in learnt(tmp_path, frame, keys=["a", "c"])
    path = tmp_path / "t.parquet"
    assert "keys" not in learning.inferred(path, "t", keys=["a"], scratch=tmp_path)


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ([f"user{i}@mail.example" for i in range(30)], r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
        ([f"{i:032x}" for i in range(10**30, 10**30 + 30)], "^[0-9a-f]+$"),
        ([f"https://e.example/{i}" for i in range(30)], r"^https?://\S+$"),
        (
            [f"10.0.{i}.{i * 7}" for i in range(30)],
            r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
        ),
        ([f"{i * 37:03d}" for i in range(100, 130)], "^[0-9]{4}$"),
        ([f"INV-{i}" for i in range(90, 120)], r"^[A-Z]+\-[0-9]+$"),
        (["Anna Berg", *[f"Name{'n' * i} Last{'x' * i}" for i in range(30)]], None),
        ([f"Größe {i:02d}" for i in range(30)], None),
        ([f"a\nb{i:02d}" for i in range(30)], None),
    ],
)
def test_a_class_of_texts_is_found_or_left_alone(tmp_path, values, pattern):
    rules = learnt(tmp_path, pl.DataFrame({"x": values}))["columns"]["x"]
    assert rules.get("pattern") == pattern


def test_a_pattern_that_one_late_value_breaks_is_not_learnt(tmp_path):
    values = [f"AB{i:05d}" for i in range(5_000)]
    values[4_321] = "AB-4321"
    rules = learnt(tmp_path, pl.DataFrame({"x": values}))["columns"]["x"]
    assert "pattern" not in rules
    assert rules["unique"] is True


def test_a_rule_that_two_others_say_is_left_out(tmp_path):
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(30)]
    frame = pl.DataFrame({"c": days, "b": days, "a": days}).with_columns(
        b=pl.col("b") + pl.duration(days=3), a=pl.col("a") + pl.duration(days=9)
    )
    checks = learnt(tmp_path, frame)["checks"]
    assert [check["name"] for check in checks] == ["c <= b", "b <= a"]


def test_old_data_promises_no_freshness(tmp_path):
    frame = pl.DataFrame({"t": [datetime(2024, 5, 1)] * 30, "u": [datetime(2025, 1, 1)] * 30})
    assert "freshness" not in learnt(tmp_path, frame)
    recent = pl.DataFrame({"t": [datetime(2024, 6, 8)] * 30})
    fresh = learnt(tmp_path, recent)["freshness"]
    assert fresh == {"column": "t", "max_age": "7d", "against": "import"}


def test_extreme_values_are_no_bounds_that_a_contract_cannot_hold(tmp_path):
    frame = pl.DataFrame(
        {
            "f": [math.inf, -math.inf, 0.0],
            "g": [math.inf, 1.0, 2.0],
            "d": pl.Series([-900_000, 0, 3_000_000]).cast(pl.Date),
            "n": pl.Series([None, None, None], dtype=pl.Int64),
            "big": [2**63 - 1, -(2**63), 0],
        }
    )
    columns = learnt(tmp_path, frame)["columns"]
    assert columns["f"] == {"type": "double", "nullable": False}
    assert columns["g"] == {"type": "double", "nullable": False, "min": 1.0}
    assert columns["d"] == {"type": "date", "nullable": False}
    assert columns["n"] == {"type": "long", "nullable": True}
    assert columns["big"]["max"] == 2**63 - 1


def test_a_column_of_any_name_is_learnt(tmp_path):
    names = ['a"b', "c.d", "", "x'y", "\x1b[2J", "min [1]", "max [1]", "start", "Start"]
    frame = pl.DataFrame({name: [i + k for i in range(30)] for k, name in enumerate(names)})
    values = learnt(tmp_path, frame)
    assert list(values["columns"]) == names
    text = contract_file.text_of(values)
    assert "\x1b" not in text
    assert contract_file.parse(text).values == values


def test_names_tell_identifiers_and_words():
    assert evidence.words_of("startDate_utc-2") == ("start", "date", "utc", "2")
    assert evidence.is_identifier("customerId")
    assert not evidence.is_identifier("idle")


cells = {
    pl.Int64: st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 5)),
    pl.Float64: st.floats(allow_nan=False),
    pl.String: st.one_of(
        st.sampled_from(["a", "b", ""]),
        st.text(max_size=8),
        st.from_regex("[A-Z]{2}[0-9]{2}", fullmatch=True),
    ),
    pl.Boolean: st.booleans(),
    pl.Date: st.dates(),
    pl.Datetime("us"): st.datetimes(),
}  # fmt: skip


@st.composite
def frames(draw):
    n = draw(st.integers(0, 45))
    series = []
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(list(cells)))
        one = cells[kind] if draw(st.booleans()) else st.one_of(st.none(), cells[kind])
        values = draw(st.lists(one, min_size=n, max_size=n))
        if draw(st.booleans()) and None not in values:
            values = sorted(values)
        name = draw(st.sampled_from(["id", "min_x", "max_x", "start", "end", "a b"])) + str(i // 2)
        series.append(pl.Series(name if i % 2 else f"{name}_", values, dtype=kind, strict=True))
    unique = {one.name: one for one in series}
    return pl.DataFrame(list(unique.values()))


@given(frame=frames())
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_every_version_keeps_what_was_learnt_from_it(tmp_path, frame):
    values = learnt(tmp_path, frame)
    assert contract_file.parse(contract_file.text_of(values)).values == values


def test_now_is_the_time_of_the_import_when_none_is_given(tmp_path):
    frame = pl.DataFrame({"t": [datetime.now(UTC).replace(tzinfo=None)] * 30})
    values = learning.candidates(_written(tmp_path, frame), "t", scratch=tmp_path)
    assert "freshness" not in values


def _written(tmp_path, frame):
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    return path
