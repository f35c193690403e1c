"""Agreement of annotators, against scikit-learn and against definitions written out."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from local_stack.catalog import call
from local_stack.data.labelling.agreement import agreement, cohen
from local_stack.data.labelling.answers import Given, declare, give
from local_stack.data.versions import find
from local_stack.workspace import Workspace

Answers = dict[str, dict[int, tuple[str, ...]]]
"""What each annotator said of each row."""

CLASSES = ("a", "b", "c", "d", "e")


def reference_kappa(x: list[Any], y: list[Any]) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class alone: it is nan, and says so
        found = float(cohen_kappa_score(x, y))
    return None if math.isnan(found) else found


def reference_alpha(units: list[list[Any]]) -> float | None:
    """Krippendorff's alpha from its definition: observed over expected disagreement of pairs."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    n = len(values)
    expected = sum(x != y for x, y in itertools.permutations(values, 2)) / (n * (n - 1))
    observed = sum(
        sum(x != y for x, y in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units
    )
    return None if expected == 0 else 1 - observed / n / expected


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("agreement")
    source = folder / "t.csv"
    source.write_text("x\n" + "".join(f"{n}\n" for n in range(40)))
    with Workspace.create(folder / "ws", actor="ada") as workspace:
        call(workspace, "data.add", {"name": "t", "source": str(source)})
        yield workspace


COLUMNS = itertools.count()


def measured(workspace: Workspace, answers: Answers, *, is_multi: bool) -> Any:
    """Record the answers in a labelling of their own and return their agreement."""
    version, column = find(workspace, "t"), f"c{next(COLUMNS)}"
    declare(workspace, version, column, CLASSES, is_multi=is_multi)
    everything = [
        Given(row, classes, actor=actor)
        for actor, rows in answers.items()
        for row, classes in rows.items()
    ]
    give(workspace, version, column, everything)
    row = workspace.get("labellings", "t", version.version, column)
    assert row is not None
    return agreement(workspace.metadata, row["labelling"], CLASSES, is_multi=is_multi)


def said(n_classes: int, is_multi: bool) -> st.SearchStrategy[Answers]:
    names = list(CLASSES[:n_classes])
    one = st.sampled_from(names).map(lambda name: (name,))
    several = st.lists(st.sampled_from(names), unique=True, max_size=n_classes).map(
        lambda found: tuple(sorted(found))
    )
    rows = st.dictionaries(st.integers(0, 9), several if is_multi else one, min_size=1)
    return st.dictionaries(st.sampled_from(["ada", "bob", "eve", "kim"]), rows, min_size=2)


def common(answers: Answers, first: str, second: str) -> list[int]:
    return sorted(answers[first].keys() & answers[second].keys())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 4).flatmap(lambda n: said(n, is_multi=False)))
def test_one_class_a_row(table, answers):
    found = measured(table, answers, is_multi=False)
    pairs = {}
    for first, second in itertools.combinations(sorted(answers), 2):
        rows = common(answers, first, second)
        if rows:
            x = [answers[first][row][0] for row in rows]
            y = [answers[second][row][0] for row in rows]
            pairs[first, second] = (len(rows), reference_kappa(x, y))
    if not pairs:
        assert found is None
        return
    assert {(it.first, it.second): it.n_rows for it in found.pairs} == {
        key: n for key, (n, _) in pairs.items()
    }
    for it in found.pairs:
        expected = pairs[it.first, it.second][1]
        assert (it.kappa is None) == (expected is None)
        assert expected is None or it.kappa == pytest.approx(expected, abs=1e-12)
    known = [kappa for _, kappa in pairs.values() if kappa is not None]
    assert found.kappa == (pytest.approx(sum(known) / len(known), abs=1e-12) if known else None)
    units = [[rows[row] for rows in answers.values() if row in rows] for row in range(10)]
    alpha = reference_alpha(units)
    assert (found.alpha is None) == (alpha is None)
    assert alpha is None or found.alpha == pytest.approx(alpha, abs=1e-12)
    assert found.n_rows == sum(len(unit) > 1 for unit in units)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3).flatmap(lambda n: said(n, is_multi=True)))
def test_sets_of_classes_are_the_mean_over_the_classes(table, answers):
    found = measured(table, answers, is_multi=True)
    for it in found.pairs if found else ():
        rows = common(answers, it.first, it.second)
        kappas = [
            reference_kappa(
                [name in answers[it.first][row] for row in rows],
                [name in answers[it.second][row] for row in rows],
            )
            for name in CLASSES
        ]
        known = [kappa for kappa in kappas if kappa is not None]
        expected = pytest.approx(sum(known) / len(known), abs=1e-12) if known else None
        assert it.kappa == expected
        equal = sum(answers[it.first][row] == answers[it.second][row] for row in rows)
        assert it.observed == pytest.approx(equal / len(rows), abs=1e-12)
    units = [[rows[row] for rows in answers.values() if row in rows] for row in range(10)]
    if found:
        alphas = [
            reference_alpha([[name in classes for classes in unit] for unit in units])
            for name in CLASSES
        ]
        known = [alpha for alpha in alphas if alpha is not None]
        expected = pytest.approx(sum(known) / len(known), abs=1e-12) if known else None
        assert found.alpha == expected


def test_krippendorffs_own_example(table):
    """The table of Krippendorff (2011), section C: four observers, twelve units, alpha 0.743."""
    observers = {
        "ada": "123321412...",
        "bob": "1233224125.3",
        "eve": ".3332342251.",
        "kim": "12332441251.",
    }
    answers = {
        name: {row: ("abcde"[int(it) - 1],) for row, it in enumerate(line) if it != "."}
        for name, line in observers.items()
    }
    found = measured(table, answers, is_multi=False)
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    units = [[line[unit] for line in observers.values() if line[unit] != "."] for unit in range(12)]
    assert found.alpha == pytest.approx(reference_alpha(units), abs=1e-12)


def test_large_tables_equal_scikit_learn(table):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.choice(list("abcd"), 200_000, p=[0.7, 0.1, 0.1, 0.1])
    y = np.where(rng.random(200_000) < 0.8, x, rng.choice(list("abcd"), 200_000))
    counts = Counter(((one,), (other,)) for one, other in zip(x.tolist(), y.tolist(), strict=True))
    assert cohen(counts) == pytest.approx(cohen_kappa_score(x, y), abs=1e-12)


def test_the_verb_tells_it(table: Workspace, tmp_path: Path):
    path = tmp_path / "labels.csv"
    first, second = "aabbccddab", "aabbcdddba"
    path.write_text(
        "row,label,annotator\n"
        + "".join(f"{n},{it},bob\n" for n, it in enumerate(first))
        + "".join(f"{n},{it},eve\n" for n, it in enumerate(second))
        + "11,a,bob\n12,,eve\n"
    )
    asked = {"name": "t", "column": "told"}
    found = call(table, "data.label", {**asked, "from": str(path)})
    expected = cohen_kappa_score(list(first), list(second))
    assert found.agreement.kappa == pytest.approx(expected, abs=1e-12)
    assert found.agreement.n_rows == 10
    assert found.agreement.observed == 0.7
    one = cohen_kappa_score([it == "c" for it in first], [it == "c" for it in second])
    assert found.agreement.by_class["c"] == pytest.approx(one, abs=1e-12)
    assert call(table, "data.label", {**asked, "brief": True}).agreement is None
