"""Contracts: inferred, written by hand, and judged check by check."""

from __future__ import annotations

import json

import polars as pl
import pytest

import local_stack.catalog as catalog
from local_stack import pipeline
from local_stack.command import COMMANDS
from local_stack.data import adding, contracts
from local_stack.errors import InputError, NotFoundError, ReadOnlyError, RefusedError
from local_stack.workspace import Workspace

GOOD = "id,kind,amount\n1,a,1.0\n2,b,2.0\n3,a,3.5\n"


@pytest.fixture
def dataset(workspace, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    adding.add(workspace, "t", str(path))
    return path


def write(tmp_path, text):
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    return path


def test_a_version_keeps_the_contract_inferred_from_it(workspace, dataset):
    agreed = contracts.contract(workspace, "t", infer=True)
    assert agreed.document["columns"]["kind"]["allowed"] == ["a", "b"]
    assert agreed.document["columns"]["amount"] == {
        "type": "double",
        "nullable": False,
        "min": 1.0,
        "max": 3.5,
    }
    verdict = contracts.check(workspace, "t")
    assert verdict.passed
    assert all(check.passed for check in verdict.checks)
    assert contracts.contract(workspace, "t", infer=True).number == agreed.number


def test_every_kind_of_breach_is_named_with_its_rows(workspace, dataset, tmp_path):
    rules = """
rows: {min: 3, max: 3}
columns:
  id: {type: long, unique: true, nullable: false}
  kind: {type: string, allowed: [a, b], pattern: "^[ab]$"}
  amount: {type: double, min: 1.0, max: 3.5, severity: warning}
  gone: {type: long}
checks:
  - {name: small, expression: "amount < id * 2"}
"""
    contracts.contract(workspace, "t", set=write(tmp_path, rules))
    dataset.write_text("id,kind,amount\n1,a,9.0\n1,c,0.5\n3,,2.0\n4,b,2.0\n")
    adding.add(workspace, "t", str(dataset))
    with pytest.raises(RefusedError) as caught:
        contracts.check(workspace, "t")
    assert (caught.value.exit_code, caught.value.to_dict()["code"]) == (4, "contract_failed")
    failed = {(c.code, c.column): c for c in caught.value.result.checks if not c.passed}
    assert set(failed) == {
        ("row_count_max", None),
        ("unique", "id"),
        ("allowed", "kind"),
        ("pattern", "kind"),
        ("min", "amount"),
        ("max", "amount"),
        ("column_missing", "gone"),
        ("small", None),
    }
    assert failed["unique", "id"].rows == (0, 1)
    assert failed["allowed", "kind"].observed == "c"
    assert failed["max", "amount"].severity == "warning"
    assert failed["small", None].n_failed == 1


def test_warnings_alone_do_not_fail(workspace, dataset, tmp_path):
    text = "columns:\n  amount: {max: 2.0, severity: warning}\n"
    contracts.contract(workspace, "t", set=write(tmp_path, text))
    verdict = contracts.check(workspace, "t")
    assert verdict.passed
    assert [c.passed for c in verdict.checks] == [False]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("colums:\n  a: {}\n", 1, "columns"),
        ("columns:\n  a:\n    typ: long\n", 3, "type"),
        ("columns:\n  a: {type: lng}\n", 2, "long"),
        ("checks:\n  - {name: x}\n", 2, "expression"),
        ("rows: {min: many}\n", 1, "whole number"),
        ('columns:\n  kind: {pattern: "["}\n', 2, "regular expression"),
        ("columns:\n  kind: {pattern: 5}\n", 2, "text"),
        ("columns:\n  id: {allowed: 5}\n", 2, "list"),
        ("columns:\n  id: {min: abc}\n", 2, "number or an ISO 8601 date"),
    ],
)
def test_a_bad_contract_names_the_line_and_the_nearest_word(
    workspace, dataset, tmp_path, text, line, word
):
    with pytest.raises(InputError) as caught:
        contracts.contract(workspace, "t", set=write(tmp_path, text))
    assert f"line {line}" in str(caught.value)
    assert word in str(caught.value)
    with pytest.raises(NotFoundError):
        contracts.check(workspace, "t")


def test_a_rule_that_does_not_fit_the_type_is_an_input_error(workspace, dataset, tmp_path):
    for rules in ("id: {allowed: [x]}", "id: {min: '2024-01-01'}", "kind: {min: 1}"):
        contracts.contract(workspace, "t", set=write(tmp_path, f"columns:\n  {rules}\n"))
        with pytest.raises(InputError):
            contracts.check(workspace, "t")


def test_dates_are_compared_as_dates():
    frame = pl.DataFrame({"d": ["2024-01-01", "2024-06-01"]}).with_columns(
        pl.col("d").str.to_date()
    )
    document = {"columns": {"d": {"type": "date", "min": "2024-02-01"}}}
    (kind, low) = contracts.verdicts(document, frame)
    assert (kind.passed, low.passed, low.observed, low.rows) == (True, False, "2024-01-01", (0,))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("nope > 1", "no column 'nope'"),
        ("amuont > 1", "Did you mean 'amount'"),
        ("amount >", "syntax error"),
        ("read_csv('/etc/passwd')", "read_csv"),
        ("SELECT 1", "subquery"),
        ("amount > (SELECT 1)", "subquery"),
        ("amount > 1; SELECT 1", "syntax error"),
        ("1) , (2", "more than one"),
        ("amount", "not a condition"),
        ("kind > 1", "cannot compare"),
        ("sum(amount) > 1", "sum"),
        ("amount > 1 OR getenv('HOME') = 'x'", "getenv"),
        ("now() > '2020-01-01'", "now"),
        ("*", "star"),
        ("$1 > 1", "parameter"),
    ],
)
def test_an_expression_reads_columns_only(workspace, dataset, tmp_path, expression, reason):
    text = f'rows: {{min: 1}}\nchecks:\n  - {{name: x, expression: "{expression}"}}\n'
    with pytest.raises(InputError, match=f"(?i)line 3: .*cannot be evaluated: .*{reason}"):
        contracts.contract(workspace, "t", set=write(tmp_path, text))
    with pytest.raises(NotFoundError):
        contracts.check(workspace, "t")


HAND = """# What the laboratory promised, by mail.
columns:
  id: {type: long, unique: true}   # never twice
  amount:
    max: {value: 2.0, severity: warning, name: the limit}
"""


def test_a_contract_written_by_hand_keeps_its_text_and_its_history(workspace, dataset, tmp_path):
    first = contracts.contract(workspace, "t", infer=True)
    assert (first.number, first.source) == (1, "inferred")
    assert first.learnt_from == adding.versions.find(workspace, "t").version
    second = contracts.contract(workspace, "t", set=write(tmp_path, HAND))
    assert (second.number, second.source, second.learnt_from) == (2, "file", None)
    assert second.text == HAND
    assert second.actor == "tester"
    third = contracts.contract(workspace, "t", text=HAND.replace("never", "not"))
    assert (third.number, third.source, third.document) == (3, "edited", second.document)
    assert contracts.contract(workspace, "t", text=third.text).number == 3
    assert contracts.contract(workspace, "t", number=1) == first
    assert contracts.contract(workspace, "t") == third
    with pytest.raises(NotFoundError, match="no contract 4"):
        contracts.contract(workspace, "t", number=4)
    events = workspace.query("SELECT body FROM events WHERE kind = 'data.contract_set'")
    assert [event["body"]["source"] for event in events] == ["inferred", "file", "edited"]


def test_what_is_shown_as_text_can_be_set_again(workspace, dataset):
    inferred = contracts.contract(workspace, "t", infer=True)
    again = contracts.contract(workspace, "t", text=inferred.text)
    assert again.document == inferred.document


def test_a_verdict_is_stored_whole_and_its_event_names_what_failed(workspace, dataset, tmp_path):
    contracts.contract(workspace, "t", set=write(tmp_path, HAND + "rows: {min: 9}\n"))
    with pytest.raises(RefusedError, match="the first is row_count_min: 3 instead of 9"):
        contracts.check(workspace, "t")
    (row,) = workspace.query("SELECT * FROM checks")
    assert (row["passed"], row["n_failed"], row["actor"]) == (False, 1, "tester")
    checks = {(check["code"], check["column"]): check for check in row["checks"]}
    assert checks["max", "amount"]["name"] == "the limit"
    assert checks["max", "amount"]["rows"] == [2]
    assert checks["max", "amount"]["values"] == [3.5]
    assert checks["unique", "id"]["passed"] is True
    (event,) = workspace.query("SELECT body FROM events WHERE kind = 'data.checked'")
    assert event["body"]["failed"] == [["row_count_min", None]]


def test_a_fault_found_at_the_check_names_the_line_of_the_stored_text(workspace, dataset):
    contracts.contract(workspace, "t", text="# one\ncolumns:\n  kind: {min: 1}\n")
    with pytest.raises(InputError, match="contract 1 of 't', line 3: the rule 'min'"):
        contracts.check(workspace, "t")


def test_a_suite_of_another_tool_is_set_with_its_warnings(workspace, dataset, tmp_path):
    path = tmp_path / "suite.json"
    kinds = [
        ("expect_column_values_to_be_between", {"column": "amount", "max_value": 2}),
        ("expect_column_mean_to_be_between", {"column": "amount", "max_value": 2}),
    ]
    items = [{"type": kind, "kwargs": kwargs} for kind, kwargs in kinds]
    path.write_text(json.dumps({"name": "s", "expectations": items}))
    given = {"name": "t", "from": str(path)}
    found = catalog.call(workspace, "data.contract", given)
    assert found.source == "great_expectations"
    assert found.document == {"columns": {"amount": {"max": 2}}}
    assert contracts.contract(workspace, "t").warnings == found.warnings
    assert "expect_column_mean_to_be_between" in found.warnings[0]
    with pytest.raises(InputError, match="Only one of"):
        catalog.call(workspace, "data.contract", {**given, "infer": True})
    assert [p.name for p in COMMANDS["data.contract"].parameters if p.kind.__name__ == "Path"] == [
        "set",
        "from",
    ]
    (tmp_path / "p.yaml").write_text("steps:\n  - data.contract: {name: t, from: suite.json}\n")
    assert pipeline.run(workspace, tmp_path / "p.yaml").passed


def test_a_readonly_workspace_shows_and_sets_nothing(workspace, dataset, tmp_path):
    contracts.contract(workspace, "t", infer=True)
    with Workspace.open(workspace.root, readonly=True) as reader:
        assert contracts.contract(reader, "t").number == 1
        for given in ({"infer": True}, {"text": HAND}, {"set": write(tmp_path, HAND)}):
            with pytest.raises(ReadOnlyError):
                contracts.contract(reader, "t", **given)


def test_a_pipeline_asks_again_how_fresh_the_data_is(workspace, dataset, tmp_path):
    dataset.write_text("id,at\n1,2024-01-01 10:00:00\n")
    adding.add(workspace, "t", str(dataset))
    (tmp_path / "p.yaml").write_text("steps:\n  - data.check: {name: t}\n")
    for freshness, status in (("column: at, max_age: 99999d", "done"), ("max_age: 1d", "done")):
        contracts.contract(workspace, "t", text=f"freshness: {{{freshness}}}\n")
        for _ in range(2):
            result = pipeline.run(workspace, tmp_path / "p.yaml")
            assert [step.status for step in result.steps] == [status]
    contracts.contract(workspace, "t", text="freshness: {column: at, max_age: 1d}\n")
    with pytest.raises(RefusedError, match="2024-01-01T10:00:00"):
        contracts.check(workspace, "t")


def test_hostile_cells_and_names_stay_plain_text_in_a_verdict(workspace, dataset, tmp_path):
    name = 'a"b; DROP TABLE x --'
    dataset.write_text('id,"a""b; DROP TABLE x --"\n1,"\x1b[31m\'); --"\n2,ok\n')
    adding.add(workspace, "t", str(dataset))
    document = {"columns": {name: {"type": "string", "allowed": ["ok"]}}}
    contracts.contract(workspace, "t", text=json.dumps(document))
    with pytest.raises(RefusedError) as caught:
        contracts.check(workspace, "t")
    (check,) = [check for check in caught.value.result.checks if not check.passed]
    assert (check.column, check.rows, check.observed) == (name, (0,), "\x1b[31m'); --")


@pytest.mark.parametrize("name", ["gone.yaml", "latin.yaml", "large.yaml"])
def test_a_file_that_is_no_contract_is_refused(workspace, dataset, tmp_path, name):
    (tmp_path / "latin.yaml").write_bytes(b"dataset: \xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * 1_000_001)
    for given in ("set", "from_"):
        with pytest.raises(InputError, match=name):
            contracts.contract(workspace, "t", **{given: tmp_path / name})
