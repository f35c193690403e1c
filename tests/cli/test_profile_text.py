"""``data profile`` as text: what people read at 80 columns, through a pipe, with any letters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len

from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import Alert, AlertChanges
from local_stack.results import plain
from paceml_tui import printing_profile

HOSTILE = "[/nope]\x1b[2J\u202egnp\x07" + "name" * 30


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def frame() -> pl.DataFrame:
    n = 200
    return pl.DataFrame(
        {
            "price": [float(i) for i in range(n)],
            "tax": [i * 0.2 + (i % 7) for i in range(n)],
            "city": ["Delft" if i % 3 else " Ghent" for i in range(n)],
            "note": [None if i % 4 else f"text {i}" for i in range(n)],
            "paid": [i % 5 == 0 for i in range(n)],
            "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 7, 18), eager=True),
        }
    )


def values(table: pl.DataFrame, **reproduction: object) -> dict:
    held = plain(profile_frame(table, target=None))
    held["reproduction"] = {"dataset": "shop", "version": "3f2a9c01b7de", **reproduction}
    return held


def shown(held: dict) -> list[str]:
    return list(printing_profile.lines(held))


def test_what_matters_stands_first_and_fits_80_columns():
    lines = shown(values(frame()))
    assert lines[0] == "shop@3f2a9c01b7de  200 rows, 6 columns"
    titles = [line.split(":")[0] for line in lines if line and not line.startswith(" ")]
    assert titles[1:5] == ["Alerts", "Variables", "Correlations", "Missing values"]
    assert all(cell_len(line) <= 80 for line in lines), max(lines, key=cell_len)
    assert all(line == line.rstrip() for line in lines)


def test_each_variable_has_a_line_with_its_type_centre_and_distribution():
    lines = shown(values(frame()))
    start = lines.index("Variables: 6")
    table = {line.split()[0]: line for line in lines[start + 2 : start + 8]}
    assert re.search(r"price +(real|id\?) +- +200 +99\.50 +[▁▂▃▄▅▆▇█]", table["price"])
    assert re.search(r"city +category +- +2 +Delft +█[▁▂▃▄▅▆▇█]$", table["city"])
    assert re.search(r"note +\S+ +75% +50 ", table["note"])
    assert "2020-01-01" in table["day"]
    assert "false" in table["paid"]


def test_correlations_name_value_and_method():
    lines = shown(values(frame()))
    assert any(re.search(r"price +tax +\+0\.9\d\d +(Pearson|Spearman) +█", line) for line in lines)


def test_alerts_tell_what_is_new_and_what_is_gone():
    held = values(frame())
    gone = Alert("constant", "old", 1, 1, "Every value is the same.")
    new = Alert("missing", "note", 0.75, 0.05, "150 values (75.0%) are missing.")
    held["alerts"] = plain([new])
    held["changes"] = plain(AlertChanges("shop@1111", (new,), (gone,), 0))
    lines = shown(held)
    assert "Alerts: 1 (1 new, 1 resolved since shop@1111)" in lines
    assert "  * (new) missing: note. 150 values (75.0%) are missing." in lines
    assert "  - (resolved) constant: old. Every value is the same." in lines


def test_nothing_to_report_is_said():
    held = values(frame())
    held["alerts"] = []
    assert "Alerts: none" in shown(held)


def test_one_column_in_full_prints_all_of_it_and_nothing_else():
    lines = shown(values(frame(), columns=["price", "note", "day"]))
    text = "\n".join(lines)
    for part in (
        "Standard deviation", "Interquartile range", "Kurtosis (excess)", "Histogram (",
        "Common values", "(190 other values in 190 rows)", "Smallest values", "Largest values",
        "Moves with", "Lengths: shortest 6", "Words", "Characters", "first           2020-01-01",
    ):  # fmt: skip
        assert part in text, part
    assert "Variables:" not in text
    assert re.search(r"Mean +99\.5 +Minimum +0$", text, flags=re.MULTILINE)
    assert re.search(r"^  missing         150 \(75%\)$", text, flags=re.MULTILINE)
    assert all(cell_len(line) <= 80 for line in lines), max(lines, key=cell_len)


def test_hostile_names_and_cells_reach_no_terminal():
    table = pl.DataFrame(
        {HOSTILE: [HOSTILE, "b", None] * 20, "漢字" * 20: range(60), "": [""] * 60}
    )
    for columns in ([], table.columns):
        held = values(table, columns=columns)
        held["alerts"] += plain([Alert("constant", HOSTILE, 1, 1, f"As '{HOSTILE}' and 漢字.")])
        lines = shown(held)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(lines))
        assert all(cell_len(line) <= 80 for line in lines), max(lines, key=cell_len)


@pytest.mark.parametrize("columns", [[], ["price", "note", "city"]])
def test_ascii_is_enough_when_it_is_asked_for(monkeypatch, columns):
    monkeypatch.setenv("PACEML_ASCII", "1")
    assert "\n".join(shown(values(frame(), columns=columns))).isascii()


@pytest.mark.parametrize("n", [0, 1])
def test_tables_with_hardly_anything_in_them(n):
    table = frame().head(n)
    assert shown(values(table, columns=table.columns))
    assert f"{n} rows, 6 columns" in shown(values(table))[0]
    assert "0 columns" in shown(values(pl.DataFrame()))[0]


def test_many_columns_are_cut_with_a_sentence():
    table = pl.DataFrame({f"x{i}": [1.0, float(i), None] for i in range(250)})
    text = "\n".join(shown(values(table)))
    assert "(50 more; --html FILE or --json gives all)" in text


def test_the_program_prints_it_and_writes_the_page(tmp_path: Path):
    place = ("--workspace", "ws")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "paceml_tui", *words, *(() if words[0] == "init" else place)],
            cwd=tmp_path,
            env={**os.environ, "PACEML_ACTOR": "tester"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    frame().write_csv(tmp_path / "shop.csv")
    assert run("init", "ws").returncode == 0
    assert run("data", "add", "shop", "shop.csv").returncode == 0
    ended = run("data", "profile", "shop", "--html", "shop.html")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("shop@")
    assert "\x1b" not in ended.stdout
    assert (tmp_path / "shop.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    ended = run("data", "profile", "shop", "--column", "pricee")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "has no column 'pricee'" in ended.stderr
    assert "Did you mean 'price'?" in ended.stderr
