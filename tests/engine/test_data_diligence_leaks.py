"""Columns that give the target away: named, left out of the models, and said of the scores."""

from __future__ import annotations

import numpy as np
from diligence_kit import N, assessed, clean, finding, risks

from local_stack.workspace import Workspace


def test_leaks_are_named_and_left_out_of_the_models(workspace: Workspace) -> None:
    columns = clean()
    y = np.array(columns["y"]) == "yes"
    generator = np.random.default_rng(1)
    columns |= {
        "copy": np.where(y, "J", "N").tolist(),
        "score": y + generator.normal(0, 0.1, N),
        "closed_on": [7.0 if it else None for it in y],
    }
    found = assessed(workspace, columns)
    assert found.verdict.status == "usable with care"
    assert finding(found, "target_copy", "copy").severity == "high"
    assert finding(found, "leak_score", "score").severity == "high"
    assert finding(found, "leak_score", "closed_on").severity == "high"
    assert found.baseline is not None
    assert set(found.baseline.left_out_as_leaks) == {"copy", "score", "closed_on"}
    assert found.baseline.with_suspects.mean > 0.99
    best = max(it.score.mean for it in found.baseline.models)
    assert best < 0.95
    assert any("copy" in it for it in found.verdict.next_steps)


def test_a_difference_that_gives_the_target_away_is_named(workspace: Workspace) -> None:
    generator = np.random.default_rng(2)
    planned = generator.integers(0, 1_000, N).astype(float)
    late = generator.normal(0, 10, N)
    columns = {
        "planned": planned,
        "real": planned + late,
        "y": np.where(late > 0, "late", "on time").tolist(),
    }
    found = assessed(workspace, columns)
    pair = finding(found, "leak_pair")
    assert pair.severity == "high"
    assert "'planned'" in pair.message
    assert "'real'" in pair.message
    assert pair.column in ("planned", "real")
    assert found.baseline.left_out_as_leaks == (pair.column,)
    assert found.baseline.n_columns == 1
    assert found.baseline.with_suspects.mean > 0.7
    assert max(it.score.mean for it in found.baseline.models) < 0.6


def test_of_a_pair_the_side_named_like_the_target_is_left_out(workspace: Workspace) -> None:
    generator = np.random.default_rng(2)
    planned = generator.integers(0, 1_000, N).astype(float)
    late = generator.normal(0, 10, N)
    columns = clean() | {
        "planned": planned,
        "arriving_at": planned + late,
        "again": planned + late,
        "arrived": np.where(late > 0, "late", "on time").tolist(),
    }
    found = assessed(workspace, columns, target="arrived")
    pairs = {it.column for it in found.findings if it.code == "leak_pair"}
    assert "arriving_at" in pairs
    assert set(found.baseline.left_out_as_leaks) == pairs
    assert len(pairs) == 2  # 'planned' or 'again' goes as well: the two are a pair of their own


def test_scores_that_rest_on_suspected_leaks_say_so(workspace: Workspace) -> None:
    columns = clean()
    late = np.array(columns["y"]) == "yes"
    noise = np.random.default_rng(3).normal(size=N)
    columns["delay_code"] = (late + 0.9 * noise).tolist()
    columns["delayed"] = columns.pop("y")
    found = assessed(workspace, columns, target="delayed")
    assert finding(found, "leak_name", "delay_code").severity == "medium"
    assert found.baseline.suspected_leaks == ("delay_code",)
    still = "still with suspected leaks ('delay_code')"
    assert still in finding(found, "signal").message
    assert still in found.verdict.reasons[-1]
    more = finding(found, "more_data")
    assert still in more.message
    assert "leaks first" in more.advice or more.severity == "ok"


def test_a_target_that_names_the_rows_has_no_copies(workspace: Workspace) -> None:
    generator = np.random.default_rng(4)
    columns = {name: generator.normal(size=300) for name in ("a", "b", "c")}
    found = assessed(workspace, columns | {"y": [f"note {it} of a day" for it in range(300)]})
    assert "target_copy" not in risks(found)
    named = finding(found, "target_identifier", "y")
    assert named.severity == "high"
    assert "300 different values in 300 rows" in named.message
    assert found.verdict.status == "not viable"
    assert named.message in found.verdict.reasons


def test_one_column_that_gives_a_number_away_is_no_pair(workspace: Workspace) -> None:
    generator = np.random.default_rng(12)
    cost = generator.lognormal(3, 2, N)
    columns = {
        "total": cost * (1 + 0.001 * generator.normal(size=N)),
        "small": generator.normal(size=N),
        "other": generator.normal(size=N),
        "y": cost,
    }
    found = assessed(workspace, columns)
    assert finding(found, "leak_score", "total").severity == "high"
    assert "leak_pair" not in risks(found)


def test_rows_sorted_by_the_target_are_noticed(workspace: Workspace) -> None:
    columns = clean()
    order = np.argsort(columns["y"])
    columns = {name: np.array(values)[order].tolist() for name, values in columns.items()}
    found = assessed(workspace, columns | {"id": list(range(N))})
    assert finding(found, "leak_order").severity == "high"
    assert finding(found, "leak_order", "id").severity == "high"
    assert finding(found, "identifier", "id").severity == "low"
    assert "id" in found.baseline.left_out
