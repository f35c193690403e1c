"""A comparison of runs as text: what it says, and that it fits 80 columns whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from comparison_kit import put_run, regression, run_id
from rich.cells import cell_len

from local_stack.catalog import call
from local_stack.results import plain
from local_stack.runs.comparison.shape import Curve, RunComparison
from local_stack.workspace import Workspace
from paceml_tui import printing_comparison

HOSTILE = "[/nope] \x1b[31m \u202e <b> 宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽\nline"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunComparison]:
    """Two plain runs, a third that is much better, and many whose every text is hostile."""
    with Workspace.create(tmp_path_factory.mktemp("comparison") / "ws", actor="ann") as workspace:
        for number, noise in enumerate((1.0, 0.99, 0.1)):
            params = {"depth": str(number), "lr": "0.1"}
            put_run(workspace, number, regression(seed=number, noise=noise), params=params)
        yield call(workspace, "runs.compare", {"runs": [run_id(n) for n in range(3)]})


def text(found: RunComparison) -> str:
    return "\n".join(printing_comparison.lines(plain(found)))


def test_it_names_the_runs_what_differs_and_who_is_best(found: RunComparison) -> None:
    shown = text(found)
    assert "3 runs; A is the baseline" in shown
    assert "A  run-0  aaa0bbbb  wine  FINISHED  1 min 30 s" in shown
    lines = shown.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("rmse ↓"))
    assert lines[at + 1].startswith("  C is best")
    assert "depth   0  1  2" in shown
    assert "The same in all runs, shown by --all: 1 param" in shown
    assert "(120 held-out rows, 2,000 resamples)" in shown
    (rmse,) = [metric for metric in found.metrics if metric.key == "rmse"]
    interval = rmse.intervals[2]
    assert interval is not None
    assert f"{rmse.deltas[2]:+.3g} [{interval.low:+.3g}, {interval.high:+.3g}]" in shown


def test_what_is_not_tested_is_told_with_its_reason(found: RunComparison) -> None:
    reasons = (None, "it stored no predictions", "it stored no predictions")
    bare = [
        replace(m, intervals=(None,) * 3, reasons=reasons, is_clear=None) for m in found.metrics
    ]
    shown = text(replace(found, metrics=tuple(bare)))
    assert "C is best (untested)" in shown
    assert "No interval of mae, r2, rmse for B, C:\n    it stored no predictions" in shown
    assert "bootstrap" not in shown


def test_curves_stand_in_one_block_without_those_of_a_single_step(found: RunComparison) -> None:
    def curve(key: str, at: int, steps: tuple[int, ...]) -> Curve:
        values = tuple(0.123456 * (1 + step) for step in steps)
        return Curve(key, run_id(at), steps, values, ("",) * len(steps), 2000)

    over = [curve("validation_" + "loss" * 9, at, (0, 7, 1999)) for at in (0, 1)]
    shown = text(replace(found, curves=(*over, curve("again", 2, (5, 5)))))
    assert "again" not in shown
    lines = shown.split("Over steps", 1)[1].split("\n\n")[0].splitlines()
    assert lines[0].split() == ["values", "first", "last", "lowest", "highest"]
    assert [line.split()[0] for line in lines[1:]] == ["A", "B"]
    assert lines[1].endswith("2,000  0.1235  246.9  0.1235 at 0  246.9 at 1999")
    assert max(map(cell_len, shown.splitlines())) <= 80


def test_numbers_end_where_their_column_does(found: RunComparison) -> None:
    depths = replace(found.params[0], values=("3", "12", "128"))
    rates = replace(found.params[0], key="rate", values=("0.25", "1e-05", None))
    shown = text(replace(found, params=(depths, rates), metrics=()))
    assert "depth      3     12  128" in shown
    assert "rate    0.25  1e-05    -" in shown
    names = replace(rates, values=("ab", "b", "c"))
    shown = text(replace(found, params=(depths, names), metrics=()))
    assert "depth   3   12  128" in shown
    assert "rate    ab  b   c" in shown


def test_columns_that_do_not_fit_follow_below(found: RunComparison) -> None:
    wide = replace(found.params[0], values=("x" * 40, "y" * 40, "z" * 40))
    shown = text(replace(found, params=(wide,), metrics=()))
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert shown.index("xxx") < shown.index("yyy") < shown.index("zzz")


def test_nothing_of_the_runs_reaches_the_terminal_as_it_is(found: RunComparison) -> None:
    def soiled(value: Any) -> Any:
        if isinstance(value, str):
            return HOSTILE
        if isinstance(value, dict):
            return {key: soiled(item) for key, item in value.items()}
        return [soiled(item) for item in value] if isinstance(value, list) else value

    values = plain(found)
    kept = ("params", "tags", "environment", "artifacts", "datasets", "metrics")
    for name in kept:
        for entry in values[name]:
            for key in set(entry) - {"deltas", "intervals", "difference", "direction", "best"}:
                entry[key] = soiled(entry[key])
    for run in values["runs"]:
        run |= {"name": HOSTILE, "experiment": HOSTILE, "status": HOSTILE}
    values["warnings"] = [HOSTILE]
    lines = list(printing_comparison.lines(values))
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= 210  # a note may be as long as one value
    assert max(map(cell_len, lines[1:])) <= 80


def test_letters_go_on_after_z() -> None:
    letters = [printing_comparison._letter(at) for at in (0, 25, 26, 27, 51, 52, 701, 702)]
    assert letters == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]


def test_markdown_is_printed_as_it_is(found: RunComparison) -> None:
    assert text(replace(found, markdown="| a |\n| --- |")) == "| a |\n| --- |"


def test_ascii_terminals_get_no_arrows(
    found: RunComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACEML_ASCII", "1")
    assert text(found).isascii()
