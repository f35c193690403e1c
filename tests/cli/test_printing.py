"""Results without a form of their own, as tables for people."""

from __future__ import annotations

from typing import Any

import pytest

from paceml_tui import printing


def printed(value: Any, capsys: pytest.CaptureFixture[str]) -> list[str]:
    printing.result("any.verb", value, is_json=False)
    return capsys.readouterr().out.splitlines()


def test_columns_of_numbers_are_aligned_at_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "\u5bbd", "n": 1, "share": None, "is_new": True, "mixed": 1},
        {"name": "b", "n": 123456, "share": 0.25, "is_new": False, "mixed": "x"},
    ]
    assert printed({"rows": rows}, capsys) == [
        "rows",
        "  name       n  share  is_new  mixed",
        "  \u5bbd         1      -  yes     1",
        "  b     123456   0.25  no      x",
    ]


def test_a_matrix_of_numbers_is_aligned_though_its_rows_differ(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = printed({"matrix": [[1, 20], [300, 4, 5]]}, capsys)
    assert shown == ["matrix", "    1  20", "  300   4  5"]


def test_a_cell_of_a_matrix_cannot_speak_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed({"matrix": [["a\x1b[2J", 2], ["b", 10]]}, capsys)[1:] == [
        "  a\u241b[2J   2",
        "  b      10",
    ]
