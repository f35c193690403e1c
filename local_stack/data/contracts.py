"""Contracts: what a data set promises, inferred from a good version or written by hand.

A contract is a YAML document, kept under a number of its own::

    dataset: wine
    rows: {min: 100, max: 10000}
    columns:
      alcohol: {type: double, nullable: false, min: 10.0, max: 16.0}
      cultivar: {type: string, allowed: [class_0, class_1]}
    checks:
      - {name: positive, expression: "alcohol > 0", severity: warning}

Every condition has a stable code and a severity (error or warning); only errors fail a check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack import marked_yaml
from local_stack.command import command
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, ReadOnlyError, RefusedError
from local_stack.marked_yaml import Node
from local_stack.names import split_reference
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now, plain
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars

_TOP = ("dataset", "version", "rows", "columns", "checks")
_COLUMN = ("type", "nullable", "min", "max", "allowed", "unique", "pattern", "severity")
_TYPES = ("long", "double", "string", "boolean", "date", "datetime")
_SEVERITIES = ("error", "warning")
_MOST_ALLOWED = 20
_FIRST_ROWS = 5


@dataclass(frozen=True, slots=True)
class Contract(Result):
    """A stored contract: its number, and the document as plain values."""

    dataset: str
    number: int
    document: dict[str, Any]
    actor: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Check(Result):
    """One condition and how it went. ``rows`` are the first failing row numbers, from 0."""

    code: str
    column: str | None
    severity: str
    passed: bool
    observed: Any
    expected: Any
    n_failed: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ContractVerdict(Result):
    """Whether a version keeps its contract. ``passed`` is false when an error-check failed."""

    dataset: str
    version: str
    contract: int
    passed: bool
    checks: tuple[Check, ...]


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    name = split_reference(str(arguments["name"]))[0]
    learnt_from = versions.reads(workspace, arguments) if arguments.get("infer") else None
    return [current(workspace, name).document, learnt_from]


@command(
    "data.contract",
    reads=_reads,
    example="paceml-tui data contract wine --infer",
)
def contract(
    workspace: Workspace,
    name: str,
    *,
    infer: bool = False,
    set: Path | None = None,
    progress: Progress = silent,
) -> Contract:
    """Show the contract of a data set; infer it from a good version, or set it from a file.

    Parameters
    ----------
    name
        Data set; with --infer also NAME@VERSION or NAME@TAG, the version to learn from.
    infer
        Learn types, nulls, ranges and small domains from the version.
    set
        YAML file to take as the contract.
    """
    version = versions.find(workspace, name)
    if workspace.is_readonly and (infer or set is not None):
        raise ReadOnlyError(
            "Setting a contract writes, and the workspace is opened read-only.",
            "Call it again without --readonly.",
        )
    if set is not None:
        document = read_contract(set)
    elif infer:
        document = inferred(versions.read(workspace, version), version.dataset)
    else:
        return current(workspace, version.dataset)

    at = now()

    def decide(state: Metadata) -> Draft | None:
        dataset = state.get("datasets", version.dataset)
        assert dataset is not None
        number = dataset["contract"] or 0
        before = state.get("contracts", version.dataset, number)
        if before is not None and before["document"] == document:
            return None
        row = {
            "dataset": version.dataset,
            "number": number + 1,
            "document": document,
            "actor": workspace.actor,
            "created_at": at,
        }
        head = {**dataset, "contract": number + 1, "updated_at": at}
        body = {"number": number + 1, "learnt_from": version.version if infer else None}
        return Draft(
            "data.contract_set",
            f"data:{version.dataset}",
            body,
            [("contracts", row), ("datasets", head)],
        )

    workspace.append(decide)
    return current(workspace, version.dataset)


@command(
    "data.check",
    writes=True,
    is_long=True,
    reads=versions.reads,
    example="paceml-tui data check wine",
)
def check(workspace: Workspace, name: str, *, progress: Progress = silent) -> ContractVerdict:
    """Check a version against the contract of its data set; exit 4 when it is broken.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    """
    version = versions.find(workspace, name)
    agreed = current(workspace, version.dataset)
    progress(Step("Checking the contract"))
    checks = tuple(verdicts(agreed.document, versions.read(workspace, version)))
    failed = [c for c in checks if not c.passed and c.severity == "error"]
    result = ContractVerdict(version.dataset, version.version, agreed.number, not failed, checks)
    row = {
        "dataset": version.dataset,
        "version": version.version,
        "contract": agreed.number,
        "passed": result.passed,
        "n_failed": len(failed),
        "created_at": now(),
    }
    body = {k: row[k] for k in ("version", "contract", "passed", "n_failed")}
    workspace.append(
        lambda _: Draft("data.checked", f"data:{version.dataset}", body, [("checks", row)])
    )
    if failed:
        first = failed[0]
        where = f" of column '{first.column}'" if first.column else ""
        raise RefusedError(
            f"{version.reference} breaks {len(failed)} of {len(checks)} checks; "
            f"the first is {first.code}{where}: {first.observed} instead of {first.expected}.",
            "Look at the checks in the result, then mend the data or the contract.",
            code="contract_failed",
            result=result,
        )
    return result


def current(workspace: Workspace, dataset: str) -> Contract:
    """Return the newest contract of ``dataset``."""
    head = workspace.get("datasets", dataset) or {}
    row = workspace.metadata.get("contracts", dataset, head.get("contract") or 0)
    if row is None:
        raise NotFoundError(
            f"Data set '{dataset}' has no contract.",
            f"Learn one: paceml-tui data contract {dataset} --infer",
        )
    return Contract(dataset, row["number"], row["document"], row["actor"], row["created_at"])


def read_contract(path: Path) -> dict[str, Any]:
    """Read and validate a contract file.

    Raises
    ------
    InputError
        Naming the file, the line and the nearest valid key.
    """
    root = Node(*marked_yaml.read(path))
    top = root.fields(_TOP)
    if "rows" in top:
        for bound in top["rows"].fields(("min", "max")).values():
            bound.whole(0, 10**12)
    for column in top["columns"].mapping().values() if "columns" in top else ():
        rules = column.fields(_COLUMN)
        _choice(rules, "type", _TYPES)
        _choice(rules, "severity", _SEVERITIES)
        for word in {"nullable", "unique"} & rules.keys():
            rules[word].truth()
        for word in {"min", "max"} & rules.keys():
            _check_bound(rules[word], rules["type"].value if "type" in rules else None)
        if "allowed" in rules:
            rules["allowed"].items()
        if "pattern" in rules:
            _check_pattern(rules["pattern"])
    for check in top["checks"].items() if "checks" in top else ():
        rules = check.fields(("name", "expression", "severity"), ("name", "expression"))
        _choice(rules, "severity", _SEVERITIES)
        rules["expression"].text()
    return dict(plain(root.value))


def _check_bound(bound: Node, kind: Any) -> None:
    if isinstance(bound.value, str) and kind in ("date", "datetime", None):
        try:
            datetime.fromisoformat(bound.value)
        except ValueError:
            raise bound.error(f"{bound.name} needs a number or an ISO 8601 date.") from None
        return
    bound.number(-1e308, 1e308)


def _check_pattern(pattern: Node) -> None:
    import polars

    try:
        polars.Series([""]).str.contains(pattern.text())
    except polars.exceptions.PolarsError:
        raise pattern.error(f"{pattern.name} is not a regular expression.") from None


def inferred(frame: polars.DataFrame, dataset: str) -> dict[str, Any]:
    """Return the contract that ``frame`` keeps: types, nulls, ranges and small domains."""
    columns: dict[str, Any] = {}
    for series in frame.iter_columns():
        rules: dict[str, Any] = {"type": type_of(series), "nullable": series.null_count() > 0}
        if series.dtype.is_numeric() and series.drop_nulls().len():
            rules |= {"min": plain(series.min()), "max": plain(series.max())}
        elif rules["type"] == "string":
            domain = series.drop_nulls().unique().sort()
            if 0 < domain.len() <= _MOST_ALLOWED:
                rules["allowed"] = domain.to_list()
        columns[series.name] = rules
    return {"dataset": dataset, "rows": {"min": 1}, "columns": columns}


def verdicts(document: Mapping[str, Any], frame: polars.DataFrame) -> Iterator[Check]:
    """Yield every check of the contract ``document`` on ``frame``."""
    rows = document.get("rows") or {}
    for bound, code in (("min", "row_count_min"), ("max", "row_count_max")):
        if bound in rows:
            keeps = frame.height >= rows[bound] if bound == "min" else frame.height <= rows[bound]
            yield Check(code, None, "error", keeps, frame.height, rows[bound], int(not keeps), ())
    for name, rules in (document.get("columns") or {}).items():
        yield from _column(frame, name, rules)
    for rule in document.get("checks") or []:
        yield _expression(frame, rule)


def type_of(series: polars.Series) -> str:
    """Return the contract's word for the type of ``series``."""
    import polars

    kinds: dict[Any, str] = {
        polars.Int64: "long",
        polars.Float64: "double",
        polars.Boolean: "boolean",
        polars.Date: "date",
    }
    return (
        "datetime"
        if series.dtype.base_type() is polars.Datetime
        else kinds.get(series.dtype, "string")
    )


def _column(frame: polars.DataFrame, name: str, rules: Mapping[str, Any]) -> Iterator[Check]:
    severity = str(rules.get("severity", "error"))
    if name not in frame.columns:
        yield Check("column_missing", name, severity, False, None, name, 1, ())
        return
    series = frame[name]
    if "type" in rules:
        seen, wanted = type_of(series), rules["type"]
        keeps = seen == wanted or (seen, wanted) == ("long", "double")
        yield Check("type", name, severity, keeps, seen, wanted, int(not keeps), ())
        if not keeps:
            return
    for code, expected, is_bad in _judged(series, rules):
        bad = is_bad.fill_null(False)
        first = bad.arg_true().head(_FIRST_ROWS).to_list()
        n_failed = int(bad.sum())
        observed = plain(series[first[0]]) if first else None
        yield Check(code, name, severity, not first, observed, expected, n_failed, tuple(first))


def _judged(
    series: polars.Series, rules: Mapping[str, Any]
) -> Iterator[tuple[str, Any, polars.Series]]:
    """Yield the conditions; a rule that does not fit the column's type is an input error."""
    import polars

    try:
        yield from _conditions(series, rules)
    except (polars.exceptions.PolarsError, TypeError) as error:
        raise InputError(
            f"A rule of column '{series.name}' does not fit its type {type_of(series)}: "
            f"{str(error).splitlines()[0]}",
            "Mend the contract.",
        ) from error


def _conditions(
    series: polars.Series, rules: Mapping[str, Any]
) -> Iterator[tuple[str, Any, polars.Series]]:
    """Yield (code, what is expected, which rows are bad) for each rule of a column."""
    if rules.get("nullable") is False:
        yield "null", "no missing value", series.is_null()
    if "min" in rules:
        yield "min", rules["min"], series < _bound(series, rules["min"])
    if "max" in rules:
        yield "max", rules["max"], series > _bound(series, rules["max"])
    if "allowed" in rules:
        yield "allowed", rules["allowed"], ~series.is_in(rules["allowed"]) & series.is_not_null()
    if rules.get("unique"):
        yield "unique", "every value once", series.is_duplicated() & series.is_not_null()
    if "pattern" in rules:
        yield "pattern", rules["pattern"], ~series.cast(str).str.contains(rules["pattern"])


def _bound(series: polars.Series, value: Any) -> Any:
    """Return a bound as the column compares it: dates stand as ISO text in a contract."""
    if series.dtype.is_temporal() and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(
                f"The bound '{value}' of column '{series.name}' is not an ISO 8601 date."
            ) from None
        return moment.date() if type_of(series) == "date" else moment
    if type_of(series) == "string" and not isinstance(value, str):
        raise InputError(
            f"The bound {value} of column '{series.name}' is a number, its values are texts.",
            "Mend the contract.",
        )
    return value


def _expression(frame: polars.DataFrame, rule: Mapping[str, Any]) -> Check:
    """Evaluate a cross-column rule as a Polars SQL expression; null counts as kept."""
    import polars

    name, severity = str(rule["name"]), str(rule.get("severity", "error"))
    try:
        bad = ~frame.select(polars.sql_expr(str(rule["expression"])).alias("kept"))["kept"]
        if bad.dtype != polars.Boolean:
            raise polars.exceptions.ComputeError("it is not a condition")
        bad = bad.fill_null(False)
    except polars.exceptions.PolarsError as error:
        raise InputError(
            f"The check '{name}' cannot be evaluated: {str(error).splitlines()[0]}",
            "Write a condition on columns, such as: amount > 0",
        ) from error
    first = tuple(bad.arg_true().head(_FIRST_ROWS).to_list())
    n_failed = int(bad.sum())
    observed = f"{n_failed} rows" if n_failed else None
    return Check(name, None, severity, not first, observed, rule["expression"], n_failed, first)


def _choice(rules: Mapping[str, Node], key: str, choices: tuple[str, ...]) -> None:
    if key in rules:
        rules[key].choice(choices)
