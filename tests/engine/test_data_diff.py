"""Two versions compared: rows and cells against a plain reference, distributions against SciPy."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import kolmogorov

from local_stack.data import adding, compute, versions
from local_stack.data.comparing import distributions, matching
from local_stack.data.comparing.comparison import summaries
from local_stack.data.comparing.distributions import Values
from local_stack.data.comparing.matching import Matched, Side
from local_stack.data.diff import diff
from local_stack.data.tables import ColumnInfo
from local_stack.errors import Cancelled, DamagedError, InputError, NotFoundError
from local_stack.workspace import Workspace

KINDS = {
    pl.Int64: "long",
    pl.Float64: "double",
    pl.String: "string",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "datetime",
}


def side_of(name: str, frame: pl.DataFrame, folder: Path) -> Side:
    file = folder / f"{name}.parquet"
    frame.write_parquet(file)
    columns = [ColumnInfo(n, KINDS[t.base_type()], True) for n, t in frame.schema.items()]
    return Side(name, file, tuple(columns))


def matched(before: pl.DataFrame, after: pl.DataFrame, key: list[int], folder: Path) -> Matched:
    common = [name for name in after.columns if name in before.columns]
    with compute.connect(folder, scratch=folder) as connection:
        run = lambda sql: compute.run(connection, sql)  # noqa: E731
        sides = side_of("before", before, folder), side_of("after", after, folder)
        matching.prepare(run, *sides, common)
        if key:
            return matching.by_key(run, len(common), key)
        return matching.as_multisets(run, len(common))


def add(workspace: Workspace, frame: pl.DataFrame, folder: Path, **more: Any) -> str:
    file = folder / "frame.parquet"
    frame.write_parquet(file)
    return adding.add(workspace, "t", str(file), **more).reference


# Rows and cells -------------------------------------------------------------------------------

CELL = st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 1.5, math.inf, -math.inf, 1e300]))
ROW = st.tuples(st.one_of(st.none(), st.integers(0, 3)), CELL, st.sampled_from(["a", "", None]))
TABLE = st.lists(ROW, max_size=12)
SCHEMA = {"k": pl.Int64, "x": pl.Float64, "s": pl.String}


def plain_reference(before: list[Any], after: list[Any]) -> tuple[int, int, int, list[int]]:
    """Match as the documentation says: twins first, then by order, key for key."""
    added = removed = changed = 0
    cells = [0, 0, 0]
    for key in {row[0] for row in [*before, *after]}:
        old = [row for row in before if row[0] == key]
        new = [row for row in after if row[0] == key]
        for row in list(old):
            if row in new:
                old.remove(row)
                # of equal rows the earliest copies are twins, so drop the earliest
                new.remove(row)
        for one, other in zip(old, new, strict=False):
            changed += 1
            for i in range(3):
                cells[i] += one[i] != other[i]
        added += max(0, len(new) - len(old))
        removed += max(0, len(old) - len(new))
    return added, removed, changed, cells


@settings(max_examples=40)
@given(TABLE, TABLE)
def test_by_key_it_equals_a_plain_reference(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("d")
    frames = [pl.DataFrame(rows, SCHEMA, orient="row") for rows in (before, after)]
    found = matched(*frames, [0], folder)
    added, removed, changed, cells = plain_reference(before, after)
    assert (found.added, found.removed, found.changed) == (added, removed, changed)
    assert found.cells is not None
    assert list(found.cells) == cells


@settings(max_examples=40)
@given(TABLE, TABLE)
def test_without_a_key_it_equals_counting_whole_rows(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("d")
    frames = [pl.DataFrame(rows, SCHEMA, orient="row") for rows in (before, after)]
    found = matched(*frames, [], folder)
    old, new = Counter(before), Counter(after)
    assert (found.added, found.removed) == ((new - old).total(), (old - new).total())
    assert (found.changed, found.cells) == (0, None)


def test_repeated_keys_do_not_multiply(tmp_path):
    n = 40_000
    before = pl.DataFrame({"k": [0, 1] * (n // 2), "x": range(n)})
    after = before.reverse().with_columns(x=pl.col("x") + 1)
    found = matched(before, after, [0], tmp_path)
    # x - 1 of the same parity never exists on the other side: every row is paired once
    assert (found.added, found.removed, found.changed) == (0, 0, n)
    assert found.keys is not None
    assert found.keys.repeated == 2
    assert found.keys.rows_repeated_before == n


def test_compound_keys_and_missing_parts(tmp_path):
    before = pl.DataFrame({"a": [1, 1, None, None], "b": ["x", "y", "x", None], "v": [1, 2, 3, 4]})
    after = pl.DataFrame({"b": ["y", "x", None, "z"], "a": [1, None, None, 1], "v": [2, 9, 4, 5]})
    found = matched(before, after, [1, 0], tmp_path)
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.keys is not None
    assert (found.keys.missing_before, found.keys.missing_after) == (2, 2)


BIG = 2**53


@pytest.mark.parametrize(
    ("before", "after", "n_changed"),
    [
        ([1, 2, BIG + 1, None], [1.0, 2.5, float(BIG), None], 2),
        ([1.0, math.inf, 1e300], [1, 2, 3], 2),
        ([date(2024, 1, 1), date(2024, 1, 2)], [datetime(2024, 1, 1), datetime(2024, 1, 2, 1)], 1),
        ([7, 8, None], ["7", "08", None], 1),
        ([1.5, 2.0, 3.0], ["1.50", "2", "x"], 1),
        ([True, None], ["true", "false"], 1),
        ([True, False, None], [1, 0, None], 2),
        ([date(2024, 1, 1), None], [1, None], 1),
    ],
)
def test_other_types_are_compared_where_nothing_is_lost(tmp_path, before, after, n_changed):
    keys = list(range(len(before)))
    frames = [pl.DataFrame({"k": keys, "v": values}) for values in (before, after)]
    there = matched(*frames, [0], tmp_path)
    back = matched(*reversed(frames), [0], tmp_path)
    assert there.cells == back.cells == (0, n_changed)


def test_a_column_may_have_any_name(workspace, tmp_path):
    names = [
        'a"b',
        "[/nope]\x1b[2J",
        "rows",
        "_key",
        "n",
        "c0",
        "'; drop",
        "{x}",
    ]
    before = pl.DataFrame({name: [1, 2, 3] for name in names})
    after = before.with_columns(pl.Series(names[1], [1, 2, 9]))
    a, b = add(workspace, before, tmp_path), add(workspace, after, tmp_path)
    found = diff(workspace, a, b, key=("c0", 'a"b'))
    assert (found.rows.changed, found.rows.unchanged, found.cells_changed) == (1, 2, 1)
    assert {c.column: c.n_changed for c in found.columns}[names[1]] == 1
    assert found.examples[0].column == names[1]
    assert found.examples[0].key == {"c0": 3, 'a"b': 3}
    assert diff(workspace, a, b).rows.added == 1


@pytest.mark.parametrize("names", [["", "x"], ["a", "A"], ["k", " k "], ["file_row_number", "n"]])
def test_sides_are_read_by_position(tmp_path, names):
    before = pl.DataFrame({names[0]: [1, 2], names[1]: ["p", "q"]})
    after = pl.DataFrame({names[0]: [1, 2], names[1]: ["p", "z"]})
    assert matched(before, after, [0], tmp_path).cells == (0, 1)


def test_a_wide_table_is_compared(tmp_path):
    before = pl.DataFrame({f"x{i}": [1, 2] for i in range(1500)})
    after = before.with_columns(x1499=pl.Series([1, 3]), x17=pl.Series([5, 2]))
    assert matched(before, after, [0], tmp_path).changed == 2
    assert matched(before, after, [], tmp_path).added == 2


# The verb --------------------------------------------------------------------------------------


@pytest.fixture
def pair(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    before = pl.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "old": [1, 2, 3, 4],
            "qty": [1, 2, 3, 4],
            "city": ["Wien", "Graz", None, "=1+1"],
            "gone": [True, False, True, False],
        }
    )
    after = pl.DataFrame(
        {
            "id": [5, 4, 2, 1],
            "new": [9, 4, 2, 1],
            "qty": [5.5, 4.0, 2.25, 1.0],
            "city": ["Linz", "=1+1", "Ulm", "Wien"],
        }
    )
    return add(workspace, before, tmp_path, key=("id",)), add(workspace, after, tmp_path)


def test_the_result_tells_schema_rows_cells_columns_and_examples(workspace, pair):
    found = diff(workspace, *pair).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["key"] == ["id"]  # declared with data add
    assert found["schema"]["added"] == ["new"]
    assert found["schema"]["removed"] == ["old", "gone"]
    assert found["schema"]["retyped"] == [{"column": "qty", "before": "long", "after": "double"}]
    assert found["rows"] == {"added": 1, "removed": 1, "changed": 1, "unchanged": 2}
    assert found["cells_changed"] == 2
    columns = {column["column"]: column for column in found["columns"]}
    assert list(columns) == ["id", "qty", "city"]
    assert columns["qty"]["type"] == "long -> double"
    assert columns["city"]["missing_before"] == 0.25
    assert columns["city"]["missing_after"] == 0
    assert found["examples"] == [
        {
            "change": "removed",
            "key": {"id": 3},
            "column": None,
            "before": {"qty": 3, "city": None},
            "after": None,
        },
        {
            "change": "added",
            "key": {"id": 5},
            "column": None,
            "before": None,
            "after": {"qty": 5.5, "city": "Linz"},
        },
        {"change": "changed", "key": {"id": 2}, "column": "qty", "before": 2, "after": 2.25},
        {"change": "changed", "key": {"id": 2}, "column": "city", "before": "Graz", "after": "Ulm"},
    ]


def test_the_way_back_mirrors_it(workspace, pair):
    there, back = diff(workspace, *pair), diff(workspace, *reversed(pair))
    assert (there.rows.added, there.rows.removed) == (back.rows.removed, back.rows.added)
    assert there.cells_changed == back.cells_changed
    assert [c.drift for c in there.columns] == [c.drift for c in back.columns]


def test_the_same_version_is_all_unchanged(workspace, pair):
    found = diff(workspace, pair[0], pair[0])
    assert found.rows.to_dict() == {"added": 0, "removed": 0, "changed": 0, "unchanged": 4}
    assert (found.cells_changed, found.examples) == (0, ())
    assert {column.drift for column in found.columns} == {0.0}
    assert found.columns[1].before == found.columns[1].after != {}


def test_versions_without_a_common_column(workspace, tmp_path):
    a = add(workspace, pl.DataFrame({"x": [1, 2]}), tmp_path)
    b = add(workspace, pl.DataFrame({"y": ["p", "q", "r"]}), tmp_path)
    found = diff(workspace, a, b)
    assert found.rows.to_dict() == {"added": 3, "removed": 2, "changed": 0, "unchanged": 0}
    assert [example.after for example in found.examples[2:]] == [{"y": v} for v in "pqr"]
    assert "no column in common" in found.notes[-1]


def test_a_renamed_column_is_suspected(workspace, tmp_path):
    values = np.random.default_rng(5).normal(size=500)
    a = add(workspace, pl.DataFrame({"id": range(500), "weight": values}), tmp_path)
    b = add(workspace, pl.DataFrame({"id": range(500), "mass": values, "z": -values}), tmp_path)
    found = diff(workspace, a, b, key=("id",)).schema
    assert [(r.before, r.after, r.drift) for r in found.renamed] == [("weight", "mass", 0.0)]


def test_bad_input_is_one_sentence(workspace, pair):
    with pytest.raises(InputError, match="has no column 'idd' to match rows by"):
        diff(workspace, *pair, key=("idd",))
    with pytest.raises(NotFoundError, match="no version or tag 'nope'"):
        diff(workspace, pair[0], "t@nope")
    with pytest.raises(NotFoundError, match="no data set 'u'"):
        diff(workspace, "u@1", pair[0])


def test_a_key_of_another_type_is_refused_and_a_declared_one_left_out(workspace, tmp_path):
    a = add(workspace, pl.DataFrame({"id": [1, 0], "v": [1, 2]}), tmp_path, key=("id",))
    b = add(workspace, pl.DataFrame({"id": [True, False], "v": [1, 2]}), tmp_path)
    with pytest.raises(InputError, match="'id' is long before and boolean after"):
        diff(workspace, a, b, key=("id",))
    found = diff(workspace, a, b)
    assert found.key == ()
    assert "'id'" in found.notes[0]


def test_repeated_and_missing_keys_are_told(workspace, tmp_path):
    a = add(workspace, pl.DataFrame({"id": [1, 1, None], "v": [1, 2, 3]}), tmp_path)
    b = add(workspace, pl.DataFrame({"id": [1, 1, None], "v": [2, 5, 3]}), tmp_path)
    found = diff(workspace, a, b, key=("id",))
    assert found.rows.to_dict() == {"added": 0, "removed": 0, "changed": 1, "unchanged": 2}
    assert "1 keys occur more than once (2 rows before, 2 after)" in found.notes[0]
    assert "1 rows before and 1 after lack the key" in found.notes[1]


def test_progress_may_cancel_and_leaves_nothing(workspace, pair):
    seen = []

    def stop(step):
        seen.append(step.label)
        if len(seen) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        diff(workspace, *pair, progress=stop)
    assert not workspace.leftovers()
    assert diff(workspace, *pair).rows.changed == 1


def test_damaged_bytes_are_not_compared(workspace, pair):
    path = versions.table_path(workspace, versions.find(workspace, pair[1]))
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        diff(workspace, *pair)


def test_a_readonly_workspace_may_compare(workspace, pair):
    workspace.close()
    readonly = Workspace.open(workspace.root, readonly=True)
    assert diff(readonly, *pair).rows.changed == 1


# Distributions ---------------------------------------------------------------------------------


def moved(before: pl.Series, after: pl.Series, folder: Path) -> distributions.Movement:
    frames = [series.alias("x").to_frame() for series in (before, after)]
    with compute.connect(folder, scratch=folder) as connection:
        run = lambda sql: compute.run(connection, sql)  # noqa: E731
        sides = [side_of(n, f, folder) for n, f in zip(("before", "after"), frames, strict=True)]
        matching.prepare(run, *sides, ["x"])
        values = []
        for side in sides:
            facts = summaries(run, side)["x"]
            values.append(
                Values(
                    side.name,
                    "x0",
                    side.kinds["x"],
                    facts.n_values,
                    facts.n_infinite,
                    facts.shown.get("std"),
                )
            )
        return distributions.movement(run, *values)


def numbers(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    n, m = r.integers(1, 3000, 2)
    first, second = r.normal(size=n), r.normal(0.1, 1.2, size=m)
    if kind == "tied":
        first, second = first.round(1), second.round(1)
    if kind == "few":
        first, second = r.integers(0, 3, n).astype(float), r.integers(1, 4, m).astype(float)
    if kind == "wide":
        first, second = first * 1e100, second * 1e-100
    if kind == "zeros":
        first, second = np.where(first > 0, 0.0, -0.0), np.where(second > 0, 0.0, 1.0)
    return first, second


@pytest.mark.parametrize("kind", ["smooth", "tied", "few", "wide", "zeros"])
@pytest.mark.parametrize("seed", range(3))
def test_numbers_move_as_scipy_says(tmp_path, kind, seed):
    first, second = numbers(kind, seed)
    found = moved(pl.Series([*first, None]), pl.Series([None, *second]), tmp_path)
    expected = stats.ks_2samp(first, second, method="asymp")
    assert found.drift == pytest.approx(expected.statistic, abs=1e-12)
    distance = stats.wasserstein_distance(first, second)
    assert found.scores["wasserstein"] == pytest.approx(distance, rel=1e-9, abs=1e-12)
    if len(first) > 1 and first.std() > 0:
        normed = distance / first.std(ddof=1)
        assert found.scores["wasserstein_normed"] == pytest.approx(normed, rel=1e-9)
    size = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    tail = kolmogorov(size * expected.statistic)
    assert found.scores["p_value"] == pytest.approx(tail, rel=1e-9, abs=1e-12)


def test_infinities_take_part_in_the_order_but_have_no_distance(tmp_path):
    first = np.array([-math.inf, 0.0, 1.0, 2.0, math.inf, math.inf])
    second = np.array([-math.inf, -math.inf, 0.5, 2.0, math.inf])
    found = moved(pl.Series(first), pl.Series(second), tmp_path)
    assert found.drift == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-12)
    assert found.scores["wasserstein"] is None


def test_long_numbers_and_times_move_in_their_units(tmp_path):
    r = np.random.default_rng(9)
    first, second = r.integers(-(2**62), 2**62, 800), r.integers(-(2**61), 2**62, 700)
    found = moved(pl.Series(first), pl.Series(second), tmp_path)
    assert found.drift == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-12)
    distance = stats.wasserstein_distance(first.astype(float), second.astype(float))
    assert found.scores["wasserstein"] == pytest.approx(distance, rel=1e-9)
    days = [r.integers(0, 20000, 500), r.integers(300, 21000, 400)]
    found = moved(*(pl.Series(d).cast(pl.Int32).cast(pl.Date) for d in days), tmp_path)
    distance = stats.wasserstein_distance(*days)
    assert found.scores["wasserstein"] == pytest.approx(distance, rel=1e-9)
    ticks = [r.integers(0, 10**15, 500), r.integers(0, 10**15, 400)]
    found = moved(*(pl.Series(t).cast(pl.Datetime("us")) for t in ticks), tmp_path)
    assert found.drift == pytest.approx(stats.ks_2samp(*ticks).statistic, abs=1e-12)
    distance = stats.wasserstein_distance(*(t / 1e6 for t in ticks))
    assert found.scores["wasserstein"] == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_texts_move_as_scipy_says(tmp_path, seed):
    r = np.random.default_rng(seed)
    first = r.choice(["a", "b", "c", "gone", '"; x'], 700, p=[0.5, 0.2, 0.2, 0.05, 0.05])
    second = r.choice(["a", "b", "c", "new", '"; x'], 300)
    found = moved(pl.Series([*first, None]), pl.Series(second), tmp_path)
    names = sorted({*first, *second})
    p = np.array([(first == name).mean() for name in names])
    q = np.array([(second == name).mean() for name in names])
    assert found.drift == pytest.approx(abs(p - q).sum() / 2, abs=1e-12)
    assert found.scores["jensen_shannon"] == pytest.approx(jensenshannon(p, q), abs=1e-12)
    assert (found.scores["values_new"], found.scores["values_gone"]) == (1, 1)
    most = names[int(abs(p - q).argmax())]
    assert found.movers[0].value == most
    assert found.movers[0].before == pytest.approx((first == most).mean())


def test_columns_without_values(tmp_path):
    empty = pl.Series([None, None], dtype=pl.Float64)
    assert moved(empty, empty, tmp_path).drift == 0
    assert moved(empty, pl.Series([1.0]), tmp_path).drift is None
    assert moved(pl.Series([1.0]), pl.Series([], dtype=pl.Float64), tmp_path).drift is None
    texts = pl.Series([None], dtype=pl.String)
    assert moved(texts, pl.Series(["a"]), tmp_path).drift is None
    same = moved(pl.Series([2.0]), pl.Series([2.0]), tmp_path)
    assert (same.drift, same.scores["wasserstein"]) == (0, 0)


def test_the_tail_of_kolmogorov_is_scipys():
    for x in [0, 1e-3, 0.05, 0.2, 0.5, 0.99, 1.0, 1.01, 1.5, 3, 8, 40]:
        assert distributions.kolmogorov_tail(x) == pytest.approx(kolmogorov(x), rel=1e-9, abs=1e-14)


def test_summaries_equal_numpys(workspace, tmp_path):
    r = np.random.default_rng(3)
    before = pl.DataFrame({"id": range(1000), "v": r.normal(50, 9, 1000)})
    after = before.with_columns(v=pl.when(pl.col("id") < 100).then(None).otherwise(pl.col("v") + 1))
    found = diff(
        workspace, add(workspace, before, tmp_path), add(workspace, after, tmp_path), key=("id",)
    ).columns[1]
    rest = after["v"].drop_nulls().to_numpy()
    expected = {"mean": rest.mean(), "std": rest.std(ddof=1), "min": rest.min(), "max": rest.max()}
    assert found.after == pytest.approx(expected, rel=1e-11)
    assert (found.n_changed, found.missing_before, found.missing_after) == (1000, 0, 0.1)


@pytest.mark.slow
def test_a_million_rows_agree_with_pandas_and_polars():
    place = Path(__file__).parents[1] / "benchmarks" / "bench_diff.py"
    words = [sys.executable, str(place), "1000000", "1"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600).stdout
    assert "all agree" in told
