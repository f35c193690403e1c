"""The search grammar against MLflow's published cases."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from search_kit import Run, in_order, load, matching, place_of

from local_stack.errors import InputError
from local_stack.runs import grammar, tree
from local_stack.runs.search import order, where


def _truth_file() -> Path:
    root = Path(__file__).parents[2]
    shared = os.environ.get("PACEML_SHARED_DATA") or root.parent / "shared" / "data"
    return Path(shared) / "truth" / "mlflow_filters.json"


TRUTH = json.loads(_truth_file().read_text()) if _truth_file().is_file() else None
RELEASE = "mlflow_3.17.2"


def _cases(group: str, text: str = "filter") -> Any:
    """Return the cases of a group that search runs, or one skipped case without the data."""
    if TRUTH is None:
        reason = "the shared reference data (truth/mlflow_filters.json) is not on this machine"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=str(case[text])) for case in TRUTH["cases"][group]]


def _parsed(node: tree.Node | None) -> list[dict[str, Any]]:
    """Return a tree of AND-ed tests in the form of MLflow's parser."""
    tests = node.items if isinstance(node, tree.And) else () if node is None else (node,)
    return [_clause(test) for test in tests]


def _clause(test: Any) -> dict[str, Any]:
    comparator, value = {
        tree.NumberTest: lambda: (test.operator, test.number),
        tree.TextTest: lambda: (test.operator, test.text),
        tree.ListTest: lambda: ("NOT IN" if test.negated else "IN", list(test.texts)),
        tree.NullTest: lambda: ("IS NOT NULL" if test.negated else "IS NULL", None),
    }[type(test)]()
    return {
        "type": test.field.kind.value,
        "key": test.field.key,
        "comparator": comparator,
        "value": value,
    }


def _canonical(clause: dict[str, Any]) -> dict[str, Any]:
    """Return a clause of MLflow's parser with the alias and the number read, as ours are."""
    numeric = clause["comparator"] in tree.Field(tree.Kind.METRIC, "").operators
    is_number = clause["type"] == "metric" or not isinstance(clause["value"], str | list | None)
    return {
        **clause,
        "key": grammar.ATTRIBUTES[clause["key"]]
        if clause["type"] == "attribute"
        else clause["key"],
        "value": float(clause["value"]) if numeric and is_number else clause["value"],
    }


@pytest.mark.parametrize("case", _cases("parse_valid"))
def test_a_filter_reads_as_mlflow_reads_it(case):
    assert case[RELEASE]["ok"]
    expected = [_canonical(clause) for clause in case[RELEASE]["parsed"]]
    assert _parsed(grammar.parse_filter(case["filter"])) == expected


@pytest.mark.parametrize("case", [*_cases("parse_invalid"), *_cases("bad_comparators")])
def test_a_filter_that_mlflow_refuses_is_refused_with_its_place(case):
    assert not case[RELEASE]["ok"]
    with pytest.raises(InputError) as caught:
        where(case["filter"])
    place_of(caught.value)
    assert caught.value.hint


def _fixture_runs(name: str) -> list[Run]:
    return [
        Run(
            run_id=run.get("run_id", str(run["i"])),
            status=run["status"],
            start=run["start"],
            metrics=run["metrics"],
            params=run["params"],
            tags=run["tags"],
            datasets=[run["dataset"]] if "dataset" in run else [],
        )
        for run in TRUTH[name]
    ]


@pytest.mark.parametrize("case", _cases("filter_semantics"))
def test_a_filter_finds_the_runs_that_mlflow_finds(case):
    load(_fixture_runs("fixture_for_filter_semantics"))
    assert matching(case["filter"]) == {str(i) for i in case[RELEASE]["parsed"]}


@pytest.mark.parametrize("case", _cases("order_by_semantics", "order_by"))
def test_runs_stand_in_the_order_of_mlflow(case):
    runs = _fixture_runs("fixture_for_order_by")
    load(runs)
    expected = [runs[i].run_id for i in case[RELEASE]["parsed"]]
    assert in_order(case["order_by"] or []) == expected


@pytest.mark.parametrize("case", _cases("order_by_valid", "order_by"))
def test_an_order_clause_reads_as_mlflow_reads_it(case):
    kind, key, is_ascending = case[RELEASE]["parsed"]
    expected = tree.Ordering(tree.Field(tree.Kind(kind), key), not is_ascending)
    assert grammar.parse_order(case["order_by"]) == (expected,)


@pytest.mark.parametrize("case", _cases("order_by_invalid", "order_by"))
def test_an_order_clause_that_mlflow_refuses_is_refused(case):
    with pytest.raises(InputError) as caught:
        order([case["order_by"]])
    assert caught.value.hint


@pytest.mark.skipif(TRUTH is None, reason="the shared reference data is not on this machine")
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_metrics_sort_with_nan_infinity_and_missing_values(direction):
    special = TRUTH["metric_sort_with_special_values"]
    load(
        [
            Run(value, metrics={} if value == "missing" else {"x": float(value)})
            for value in special["values"]
        ]
    )
    assert in_order([f"metrics.x {direction}"]) == special[direction]
