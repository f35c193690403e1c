"""The verb that makes profiles: stored, compared with the last, sampled, written as a page."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from profile_kit import typed_table

from local_stack.data import adding, profiles
from local_stack.errors import InputError, NotFoundError
from local_stack.workspace import Workspace


@pytest.fixture
def versioned(workspace: Workspace, tmp_path: Path) -> Workspace:
    for number, holes in enumerate((0, 40)):
        table = typed_table(200).with_columns(
            linear=pl.when(pl.int_range(pl.len()) >= holes).then(pl.col("linear"))
        )
        source = tmp_path / f"{number}.csv"
        table.write_csv(source)
        adding.add(workspace, "t", str(source), target="flag")
    return workspace


def test_alerts_are_compared_with_those_of_the_version_before(versioned: Workspace) -> None:
    first = profiles.profile(versioned, "t@1")
    assert first.changes.previous is None
    second = profiles.profile(versioned, "t")
    assert second.changes.previous == first.reproduction["dataset"] + "@" + str(
        first.reproduction["version"]
    )
    assert ("missing", "linear") in {(it.code, it.column) for it in second.changes.new}
    back = profiles.profile(versioned, "t")
    assert back.changes == second.changes


def test_a_stored_profile_is_the_result_of_the_verb(versioned: Workspace) -> None:
    from local_stack.data import versions

    version = versions.find(versioned, "t")
    assert profiles.stored(versioned, version) is None
    found = profiles.profile(versioned, "t")
    assert profiles.stored(versioned, version) == json.loads(json.dumps(found.to_dict()))
    profiles.profile(versioned, "t", sample=50)
    kept = profiles.stored(versioned, version)
    assert kept is not None
    assert kept["overview"]["n_rows"] == 200
    for path in (versioned.root / "cache" / "profiles").iterdir():
        path.write_text(path.read_text()[:1000])
    assert profiles.stored(versioned, version) is None


def test_thresholds_are_numbers_with_names(versioned: Workspace) -> None:
    found = profiles.profile(versioned, "t", threshold=("p_missing=0.5",))
    assert found.thresholds.p_missing == 0.5
    assert not [alert for alert in found.alerts if alert.code == "missing"]
    assert found.reproduction["command"].endswith("--threshold p_missing=0.5")
    with pytest.raises(InputError, match="no threshold 'p_mising'"):
        profiles.profile(versioned, "t", threshold=("p_mising=0.5",))
    with pytest.raises(InputError, match="needs a number from 0, not 'much'"):
        profiles.profile(versioned, "t", threshold=("p_missing=much",))
    with pytest.raises(InputError, match="--threshold needs key=value, not 'p_missing'"):
        profiles.profile(versioned, "t", threshold=("p_missing",))


def test_a_sample_is_said_to_be_one(versioned: Workspace) -> None:
    found = profiles.profile(versioned, "t", sample=20).reproduction
    assert (found["n_rows_used"], found["n_rows_total"], found["is_sample"]) == (20, 200, True)
    with pytest.raises(InputError, match="at least one row"):
        profiles.profile(versioned, "t", sample=0)


def test_a_page_is_written_or_refused_before_any_work(versioned: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "t.html"
    profiles.profile(versioned, "t", html=page)
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    with pytest.raises(InputError):
        profiles.profile(versioned, "t", html=tmp_path)
    with pytest.raises(NotFoundError):
        profiles.profile(versioned, "t", html=tmp_path / "nowhere" / "t.html")
