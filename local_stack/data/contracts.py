"""Contracts: what a data set promises, inferred from a good version or written by hand.

A contract is a YAML document (:mod:`local_stack.data.contracting.contract_file` lists its words
and the stable code of each rule), kept under a number of its own with who set it, when and from
what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import marked_yaml
from local_stack.command import command
from local_stack.data import versions
from local_stack.data.contracting import checks, contract_file, foreign, learning
from local_stack.data.contracting.checks import Check, Moment, verdicts
from local_stack.data.contracting.contract_file import Document
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, NotFoundError, ReadOnlyError, RefusedError
from local_stack.names import split_reference
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now, plain
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

__all__ = [
    "Check",
    "Contract",
    "ContractVerdict",
    "check",
    "contract",
    "current",
    "read_contract",
    "verdicts",
]


@dataclass(frozen=True, slots=True)
class Contract(Result):
    """A stored contract: its number, the document as plain values, and its text to edit.

    ``source`` is inferred, file, edited, great_expectations or pandera; ``learnt_from`` is the
    version it was inferred from; ``warnings`` name what of a foreign file was not taken over.
    """

    dataset: str
    number: int
    document: dict[str, Any]
    actor: str
    created_at: str
    source: str
    learnt_from: str | None
    warnings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ContractVerdict(Result):
    """Whether a version keeps its contract. ``passed`` is false when an error-check failed."""

    dataset: str
    version: str
    contract: int
    passed: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A contract that is about to be set."""

    values: dict[str, Any]
    text: str
    source: str
    warnings: tuple[str, ...] = ()


def _contract_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    name = split_reference(str(arguments["name"]))[0]
    learnt_from = versions.reads(workspace, arguments) if arguments.get("infer") else None
    return [current(workspace, name).document, learnt_from]


def _check_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify what a check depends on: the clock too, when the contract asks for freshness."""
    name = split_reference(str(arguments["name"]))[0]
    is_timed = "freshness" in current(workspace, name).document
    return [versions.reads(workspace, arguments), now() if is_timed else None]


@command(
    "data.contract",
    reads=_contract_reads,
    example="paceml-tui data contract wine --infer",
)
def contract(
    workspace: Workspace,
    name: str,
    *,
    infer: bool = False,
    set: Path | None = None,
    from_: Path | None = None,
    text: str | None = None,
    number: int | None = None,
    progress: Progress = silent,
) -> Contract:
    """Show the contract of a data set; infer it from a good version, or set it from a file.

    Parameters
    ----------
    name
        Data set; with --infer also NAME@VERSION or NAME@TAG, the version to learn from.
    infer
        Learn from the version: types, missing values, ranges, domains, lengths, patterns, keys,
        order, rules between columns, row count and freshness.
    set
        YAML file to take as the contract.
    from_
        Great Expectations suite (JSON) or pandera schema (YAML, JSON) to translate and take.
    text
        The contract itself as YAML, as an editor hands it over.
    number
        Show the contract of that number instead of the newest.
    """
    version = versions.find(workspace, name)
    given = [infer, set is not None, from_ is not None, text is not None, number is not None]
    if sum(given) > 1:
        raise InputError(
            "Only one of --infer, --set, --from, --text and --number can be given.",
            "Call the command once for each.",
        )
    if not any(given[:-1]):
        return current(workspace, version.dataset, number)
    if workspace.is_readonly:
        raise ReadOnlyError(
            "Setting a contract writes, and the workspace is opened read-only.",
            "Call it again without --readonly.",
        )
    draft = _inferred(workspace, version, progress) if infer else _read(set, from_, text)
    if not infer:
        document = contract_file.parse(draft.text, _source_of(set or from_))
        checks.prove(document, {column.name: column.type for column in version.schema})
    _store(workspace, version, draft)
    return current(workspace, version.dataset)


@command(
    "data.check",
    writes=True,
    is_long=True,
    reads=_check_reads,
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
    found = _judged(workspace, version, agreed, progress)
    failed = [each for each in found if not each.passed and each.severity == "error"]
    result = ContractVerdict(version.dataset, version.version, agreed.number, not failed, found)
    row = {
        "dataset": version.dataset,
        "version": version.version,
        "contract": agreed.number,
        "passed": result.passed,
        "n_failed": len(failed),
        "checks": plain(found),
        "actor": workspace.actor,
        "created_at": now(),
    }
    body = {key: row[key] for key in ("version", "contract", "passed", "n_failed")}
    body["failed"] = [[each.code, each.column] for each in failed[:20]]
    workspace.append(
        lambda _: Draft("data.checked", f"data:{version.dataset}", body, [("checks", row)])
    )
    if failed:
        first = failed[0]
        where = f" of column '{first.column}'" if first.column else ""
        raise RefusedError(
            f"{version.reference} breaks {len(failed)} of {len(found)} checks; "
            f"the first is {first.code}{where}: {first.message}",
            "Look at the checks in the result, then mend the data or the contract.",
            code="contract_failed",
            result=result,
        )
    return result


def current(workspace: Workspace, dataset: str, number: int | None = None) -> Contract:
    """Return the newest contract of ``dataset``, or the one with ``number``.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    head = workspace.get("datasets", dataset) or {}
    newest = head.get("contract") or 0
    row = workspace.metadata.get("contracts", dataset, number or newest)
    if row is None and number is not None:
        raise NotFoundError(
            f"Data set '{dataset}' has no contract {number}.",
            f"Its contracts are 1 to {newest}." if newest else "It has none yet.",
        )
    if row is None:
        raise NotFoundError(
            f"Data set '{dataset}' has no contract.",
            f"Learn one: paceml-tui data contract {dataset} --infer",
        )
    return Contract(
        dataset=dataset,
        number=row["number"],
        document=row["document"],
        actor=row["actor"],
        created_at=row["created_at"],
        source=row.get("source") or "file",
        learnt_from=row.get("learnt_from"),
        warnings=tuple(row.get("warnings") or ()),
        text=row.get("text") or contract_file.text_of(row["document"]),
    )


def read_contract(path: Path) -> dict[str, Any]:
    """Read and validate a contract file.

    Raises
    ------
    InputError
        Naming the file, the line and the nearest valid key.
    """
    document = contract_file.parse(marked_yaml.read_text(path), path.name)
    checks.prove(document, {})
    return document.values


def document_of(agreed: Contract) -> Document:
    """Return a stored contract as rules whose errors name its number and line.

    What was inferred has no lines: for a very wide table it is longer than a file may be.
    """
    name = f"contract {agreed.number} of '{agreed.dataset}'"
    if agreed.source == "inferred":
        return contract_file.of_values(agreed.document, name)
    return contract_file.parse(agreed.text, name)


def _judged(
    workspace: Workspace, version: DataVersion, agreed: Contract, progress: Progress
) -> tuple[Check, ...]:
    path = versions.table_path(workspace, version)
    with workspace.scratch() as folder:
        return checks.verdicts_of_file(
            document_of(agreed),
            path,
            moment=Moment.of(version.created_at),
            scratch=Path(folder),
            progress=progress,
        )


def _inferred(workspace: Workspace, version: DataVersion, progress: Progress) -> _Draft:
    dataset = workspace.get("datasets", version.dataset) or {}
    path = versions.table_path(workspace, version)
    with workspace.scratch() as folder:
        values = learning.inferred(
            path,
            version.dataset,
            keys=dataset.get("keys") or (),
            imported=version.created_at,
            scratch=Path(folder),
            progress=progress,
        )
    return _Draft(values, contract_file.text_of(values), "inferred")


def _read(set: Path | None, from_: Path | None, text: str | None) -> _Draft:
    if from_ is not None:
        taken = foreign.read(from_)
        return _Draft(
            taken.values, contract_file.text_of(taken.values), taken.source, taken.warnings
        )
    given = marked_yaml.read_text(set) if set is not None else text or ""
    values = contract_file.parse(given, _source_of(set)).values
    return _Draft(values, given, "file" if set is not None else "edited")


def _source_of(path: Path | None) -> str:
    return path.name if path is not None else "the contract"


def _store(workspace: Workspace, version: DataVersion, draft: _Draft) -> None:
    at = now()

    def decide(state: Metadata) -> Draft | None:
        dataset = state.get("datasets", version.dataset)
        assert dataset is not None
        number = dataset["contract"] or 0
        if _is_same(state.get("contracts", version.dataset, number), draft):
            return None
        learnt_from = version.version if draft.source == "inferred" else None
        row = {
            "dataset": version.dataset,
            "number": number + 1,
            "document": draft.values,
            "text": draft.text,
            "source": draft.source,
            "learnt_from": learnt_from,
            "warnings": list(draft.warnings),
            "actor": workspace.actor,
            "created_at": at,
        }
        head = {**dataset, "contract": number + 1, "updated_at": at}
        body = {"number": number + 1, "source": draft.source, "learnt_from": learnt_from}
        return Draft(
            "data.contract_set",
            f"data:{version.dataset}",
            body,
            [("contracts", row), ("datasets", head)],
        )

    workspace.append(decide)


def _is_same(before: Row | None, draft: _Draft) -> bool:
    """Return whether the newest contract says this already; a text may differ in its comments."""
    if before is None or before["document"] != draft.values:
        return False
    return draft.source not in ("file", "edited") or before.get("text") == draft.text
