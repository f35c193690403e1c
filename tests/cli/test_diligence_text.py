"""A due diligence as people read it: the verdict first, in the columns of the terminal."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.cells import cell_len

from local_stack.data import adding
from local_stack.data.diligence import diligence
from local_stack.results import plain
from local_stack.workspace import Workspace
from paceml_tui import printing_diligence

HOSTILE = "[/nope]\x1b[2J"


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("text")
    generator = np.random.default_rng(0)
    x = generator.normal(size=200)
    y = np.where(x + generator.normal(size=200) > 0, "[b]yes", "no\x1b[0m")
    frame = pl.DataFrame(
        {
            "x": x,
            HOSTILE: generator.choice(["[/]", "=1+1"], 200),
            "again": np.where(y == "no\x1b[0m", 0, 1),
            "sex": generator.choice(["male", "female"], 200),
            "y": y,
        }
    )
    pl.concat([frame, frame.head(20)]).write_parquet(folder / "table.parquet")
    with Workspace.create(folder / "studio", actor="ada") as workspace:
        adding.add(workspace, "table", str(folder / "table.parquet"))
        return dict(plain(diligence(workspace, "table", target="y", sensitive=("sex",))))


def shown(values: dict[str, Any], columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    return list(printing_diligence.lines(values))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits_the_terminal(
    values: dict[str, Any], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(values, columns, monkeypatch)
    assert max(cell_len(line) for line in lines) <= columns
    assert lines[2].endswith("usable with care")
    text = "\n".join(lines)
    bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")}
    assert bad == set()


def test_everything_that_matters_is_there(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(" ".join(shown(values, 100, monkeypatch)).split())
    for expected in (
        "for y (classification)",
        "'again' is the target under another name",
        "What to do",
        "✖ high target_copy",
        "What plain models reach 220 rows",
        "split with equal rows kept together",
        "Nadeau and Bengio 2003",
        "Would more rows help?",
        "again 1.00",
        "Sensitive columns",
        "with the leaks 1.000",
    ):
        assert expected in text, expected
    assert text.index("usable with care") < text.index("Risks") < text.index("What plain models")


def test_plain_letters_are_enough(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACEML_ASCII", "1")
    lines = shown(values, 80, monkeypatch)
    assert all(line.isascii() for line in lines)


def test_a_target_that_is_none_has_a_short_page(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = {
        **values,
        "verdict": {"status": "not viable", "reasons": ["It is constant."], "next_steps": []},
        "task": "",
        "baseline": None,
        "learning_curve": None,
        "label_noise": None,
        "classes": [],
        "columns": [],
        "sensitive": [],
        "timing": None,
        "risks": [],
    }
    lines = shown(bare, 80, monkeypatch)
    assert lines[2].endswith("not viable")
    assert not any("plain models" in line for line in lines)
