"""Queries on DuckDB, SQLite and SQLAlchemy URLs, compared with what was put in."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars
import pytest

from local_stack import jobs
from local_stack.command import find
from local_stack.data.importing import databases
from local_stack.errors import Cancelled, InputError, NotFoundError, UnavailableError
from local_stack.progress import silent


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    path = tmp_path / "shop [1]?.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE sales (id INTEGER, price REAL, day DATE, at TIMESTAMP, is_paid BOOLEAN, "
            "note TEXT, anything, body BLOB)"
        )
        connection.executemany(
            "INSERT INTO sales VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (1, 2.0, "2024-01-31", "2024-01-31 10:00:00", 1, "a", 1, b"\x00\xff"),
                (2, None, None, None, None, None, None, None),
                (
                    9_223_372_036_854_775_807,
                    0.1,
                    "2024-02-29",
                    "2024-02-29T23:59:59.5",
                    0,
                    "é\n",
                    "x",
                    b"",
                ),
                (4, 1e300, "2024-03-01", "2024-03-01 00:00", 1, "007", 2.5, b"abc"),
            ],
        )
    connection.close()
    return path


@pytest.fixture
def lite_url(lite: Path, tmp_path: Path) -> str:
    path = tmp_path / "plain.db"
    path.write_bytes(lite.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def duck(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE sales AS SELECT range AS id, range * 1.5 AS price, 'n' || range AS note, "
            "DATE '2024-01-01' + range::INT AS day FROM range(1000)"
        )
    return path


def ask(source: object, sql: str, scratch: Path, progress=silent):
    answer = databases.query(
        str(source), sql, scratch / "answer.parquet", scratch=scratch, progress=progress
    )
    return answer, polars.read_parquet(answer.staged.table)


def test_sqlite_columns_get_one_type_each_and_keep_their_values(lite, scratch):
    answer, frame = ask(lite, "SELECT * FROM sales", scratch)
    assert answer.kind == "sqlite"
    assert answer.uri == str(lite)
    assert answer.size == lite.stat().st_size
    assert answer.staged.texts == ()
    assert [str(kind) for kind in frame.dtypes] == [
        "Int64", "Float64", "Date", "Datetime(time_unit='us', time_zone=None)", "Boolean",
        "String", "String", "Binary",
    ]  # fmt: skip
    assert frame["id"].to_list() == [1, 2, 2**63 - 1, 4]
    assert frame["price"].to_list() == [2.0, None, 0.1, 1e300]
    assert frame["day"].to_list() == [
        dt.date(2024, 1, 31), None, dt.date(2024, 2, 29), dt.date(2024, 3, 1)
    ]  # fmt: skip
    assert frame["at"][2] == dt.datetime(2024, 2, 29, 23, 59, 59, 500_000)
    assert frame["is_paid"].to_list() == [True, None, False, True]
    assert frame["note"].to_list() == ["a", None, "é\n", "007"]
    assert frame["anything"].to_list() == ["1", None, "x", "2.5"]
    assert frame["body"].to_list() == [b"\x00\xff", None, b"", b"abc"]
    assert [(w.code, w.column) for w in answer.staged.warnings] == [("mixed", "anything")]


def test_a_declared_date_that_is_none_stays_text_and_a_flag_of_two_a_number(tmp_path, scratch):
    path = tmp_path / "odd.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (day DATE, flag BOOLEAN)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [("2024-01-01", 1), ("soon", 2)])
    connection.close()
    _, frame = ask(path, "SELECT * FROM t", scratch)
    assert frame.rows() == [("2024-01-01", 1), ("soon", 2)]


def test_sqlite_expressions_duplicate_names_and_order(lite, scratch):
    sql = "SELECT id, id, price * 2 AS twice FROM sales WHERE id < 10 ORDER BY id DESC -- end\n;"
    answer, frame = ask(lite, sql, scratch)
    assert answer.staged.sources == ("id", "id", "twice")
    assert frame.columns == ["id", "id_1", "twice"]
    assert frame["id"].to_list() == [4, 2, 1]


def test_an_answer_without_rows_keeps_its_columns(lite, lite_url, duck, tmp_path):
    for place, source in enumerate((lite, duck, lite_url)):
        folder = tmp_path / f"s{place}"
        folder.mkdir()
        _, frame = ask(source, "SELECT id, note FROM sales WHERE id < 0", folder)
        assert (frame.columns, frame.height) == (["id", "note"], 0)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM sales",
        "DROP TABLE sales",
        "SELECT 1; DROP TABLE sales",
        "WITH x AS (SELECT 1) DELETE FROM sales",
        "ATTACH 'other.db' AS other",
        "PRAGMA query_only = OFF",
        "CREATE TABLE u AS SELECT 1",
        "COPY sales TO 'out.csv'",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT nosuch FROM sales",
        "SELECT * FROM nosuch",
        "SELECT (",
        "SELECT load_extension('x')",
        "SELECT * FROM read_csv('/etc/passwd')",
    ],
)
@pytest.mark.parametrize("where", ["sqlite", "duckdb", "url"])
def test_what_is_no_single_select_is_one_sentence_and_changes_nothing(
    lite, lite_url, duck, scratch, where, sql
):
    source = {"sqlite": lite, "duckdb": duck, "url": lite_url}[where]
    before = (lite.read_bytes(), duck.read_bytes())
    with pytest.raises(InputError) as caught:
        ask(source, sql, scratch)
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")
    assert (lite.read_bytes(), duck.read_bytes()) == before
    assert not (scratch / "answer.parquet").exists()


def test_an_unknown_table_is_named_by_the_database(lite, lite_url, duck, tmp_path):
    for place, source in enumerate((lite, duck, lite_url)):
        folder = tmp_path / f"s{place}"
        folder.mkdir()
        with pytest.raises(InputError, match=r"nosuch"):
            ask(source, "SELECT * FROM nosuch", folder)


def test_duckdb_types_stay_and_huge_integers_stay_exact(tmp_path, scratch):
    path = tmp_path / "types.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT 170141183460469231731687303715884105727::HUGEINT AS huge, "
            "sum(7)::HUGEINT AS small, 1.25::DECIMAL(9,2) AS price, TIME '10:00' AS at, "
            "'\\xff'::BLOB AS body, INTERVAL '-3 days' AS span, {'a': 1} AS pair, [1, 2] AS list, "
            "TIMESTAMPTZ '2024-01-01 00:00+02' AS zoned, 'a'::ENUM('a', 'b') AS level, "
            "1::UNION(n INT, t VARCHAR) AS one, true AS yes"
        )
    answer, frame = ask(path, "FROM t", scratch)
    assert answer.kind == "duckdb"
    row = frame.row(0, named=True)
    assert row["huge"] == str(2**127 - 1)
    assert row["small"] == 7
    assert str(row["price"]) == "1.25"
    assert row["at"] == dt.time(10)
    assert row["body"] == b"\xff"
    assert row["span"] == "-3 days"
    assert row["pair"] == {"a": 1}
    assert row["list"] == [1, 2]
    assert row["zoned"] == dt.datetime(2023, 12, 31, 22, tzinfo=dt.UTC)
    assert row["level"] == "a"
    codes = {(w.code, w.column) for w in answer.staged.warnings}
    assert codes == {("huge_integers", "huge"), ("narrowed", "span"), ("narrowed", "one")}


def test_duckdb_keeps_the_order_of_the_query(duck, scratch):
    _, frame = ask(duck, "SELECT id, id FROM sales ORDER BY price DESC LIMIT 3;", scratch)
    assert frame.rows() == [(999, 999), (998, 998), (997, 997)]
    assert frame.columns == ["id", "id_1"]


def test_sqlalchemy_gives_what_sqlite_gives(lite, lite_url, scratch, tmp_path):
    sql = "SELECT id, price, note, body FROM sales WHERE note LIKE '%' OR note IS NULL ORDER BY id"
    answer, frame = ask(lite_url, sql, scratch)
    assert answer.kind == "sqlite"
    other = tmp_path / "other"
    other.mkdir()
    assert frame.equals(ask(lite, sql, other)[1])


def test_a_password_is_in_no_message_and_no_result(tmp_path, scratch):
    url = "postgresql+nosuchdriver://ann:p%40ss-word@127.0.0.1:1/sales?password=other-secret"
    with pytest.raises((UnavailableError, InputError)) as caught:
        ask(url, "SELECT 1", scratch)
    text = f"{caught.value} {caught.value.__cause__}"
    assert "p%40ss-word" not in text
    assert "p@ss-word" not in text
    assert "other-secret" not in text
    assert "ann" in text


@pytest.mark.parametrize("is_detached", [False, True])
def test_a_password_is_nowhere_in_the_workspace_after_an_import(workspace, is_detached):
    url = "mysql://ann:geheim-7@127.0.0.1/sales?ssl_password=geheim-8"
    arguments = {"name": "sales", "source": url, "sql": "SELECT 1"}
    if is_detached:
        job = jobs.spawn(workspace, "data.add", arguments)
        deadline = time.monotonic() + 60
        while jobs.show(workspace, job).status in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert jobs.show(workspace, job).status == "failed"
    else:
        with pytest.raises(UnavailableError):
            find("data.add").call(workspace, **arguments)
    (job_file,) = workspace.root.glob("jobs/*/job.json")
    assert "mysql://ann:***@127.0.0.1/sales" in job_file.read_text()
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or b"geheim" not in path.read_bytes(), path


def test_a_missing_driver_says_what_to_install(scratch):
    with pytest.raises(UnavailableError, match="pip install mysqlclient"):
        ask("mysql://ann:pw@127.0.0.1/sales", "SELECT 1", scratch)


def test_a_database_that_is_not_there_or_no_database(tmp_path, scratch):
    for source in ("nosuch.db", "sqlite:///nosuch.db", "duckdb:///nosuch.duckdb"):
        with pytest.raises(NotFoundError):
            ask(source, "SELECT 1", scratch)
    text = tmp_path / "t.csv"
    text.write_text("a\n1\n")
    with pytest.raises(InputError, match="neither a DuckDB nor a SQLite"):
        ask(text, "SELECT 1", scratch)
    with pytest.raises(InputError, match="is not the URL"):
        ask("postgresql://ann:pw@host:port/x", "SELECT 1", scratch)


def test_damaged_databases_are_a_sentence(lite, duck, tmp_path, scratch):
    for path in (lite, duck):
        data = path.read_bytes()
        broken = tmp_path / f"broken-{path.suffix[1:]}"
        broken.write_bytes(data[:100] + b"\xaa" * 8000)
        with pytest.raises(InputError) as caught:
            ask(broken, "SELECT * FROM sales", scratch)
        assert "\n" not in caught.value.message


def test_a_locked_duckdb_is_unavailable(duck, scratch):
    words = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", words, str(duck)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UnavailableError, match="in use"):
            ask(duck, "SELECT 1", scratch)
    finally:
        holder.communicate("\n")


def test_a_readonly_folder_with_a_write_ahead_log_can_be_read(tmp_path, scratch):
    folder = tmp_path / "ro"
    folder.mkdir()
    connection = sqlite3.connect(folder / "wal.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    connection.commit()
    connection.close()
    _, frame = ask(folder / "wal.db", "SELECT a FROM t", scratch)
    assert frame.rows() == [(1,)]


def test_a_query_can_be_cancelled_while_sqlite_works(lite, scratch):
    calls = []

    def stop(step):
        calls.append(step)
        if step.label == "Running the query":
            raise Cancelled()

    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(Cancelled):
        ask(lite, endless, scratch, stop)
    assert calls


def test_many_rows_come_in_blocks(tmp_path, scratch):
    path = tmp_path / "many.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (i INTEGER, late)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", ((i, 1 if i < 24_999 else "x") for i in range(25_000))
        )
    connection.close()
    answer, frame = ask(path, "SELECT i, late FROM t", scratch)
    assert frame["i"].to_list() == list(range(25_000))
    assert frame["late"].to_list() == ["1"] * 24_999 + ["x"]
    assert [w.column for w in answer.staged.warnings] == ["late"]


def test_a_file_is_told_by_its_header(lite, duck, tmp_path):
    assert databases.kind_of(lite) == "sqlite"
    assert databases.kind_of(duck) == "duckdb"
    (tmp_path / "x").write_bytes(b"SQLite")
    assert databases.kind_of(tmp_path / "x") is None
    assert databases.kind_of(tmp_path / "nosuch") is None
    assert databases.is_url("postgresql+psycopg://h/d")
    assert not databases.is_url("s3://bucket/shop.db")
    assert not databases.is_url("shop.db")
