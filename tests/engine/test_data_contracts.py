"""Contracts: inferred, written by hand, and judged check by check."""

from __future__ import annotations

import polars as pl
import pytest

from local_stack.data import adding, contracts
from local_stack.errors import InputError, NotFoundError, RefusedError

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
