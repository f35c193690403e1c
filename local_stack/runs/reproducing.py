"""The ``runs reproduce`` verb: a run is repeated from its records, and compared bit by bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from local_stack.command import command, pairs
from local_stack.errors import InputError, ReadOnlyError, RefusedError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.runs.learning import IN_PARTS
from local_stack.runs.recorded import Recorded, check_bytes, recorded
from local_stack.runs.repeating import Asked, plan_of, repeat
from local_stack.runs.reproduction import (
    CAUSES,
    Comparison,
    Difference,
    MovedMetric,
    SamePredictions,
    compare,
)
from local_stack.runs.train import abandon, begin, finish
from local_stack.workspace import Workspace

OF: Final = "paceml.reproduces"
"""The tag of a kept run that names the run it repeats."""
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Reproduction(Result):
    """How a run that was repeated from its records compares with what was recorded.

    ``model`` tells for each file of the model whether its bytes are the same; ``differences``
    hold what was recorded of data, recipe, seed, code, environment and threads and is otherwise
    now; ``kept_as`` is the id of the new run, if it was kept.
    """

    run_id: str
    name: str
    bit_identical: bool
    verdict: str
    data_version: str
    model: dict[str, bool]
    predictions: SamePredictions | None
    metrics: tuple[MovedMetric, ...]
    differences: tuple[Difference, ...]
    causes: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float
    kept_as: str | None = None


@command("runs.reproduce", is_long=True, example="paceml-tui runs reproduce latest --json")
def reproduce(
    workspace: Workspace,
    run: str,
    *,
    set: tuple[str, ...] = (),
    threads: int | None = None,
    keep: bool = False,
    progress: Progress = silent,
) -> Reproduction:
    """Repeat a run from its records in a clean process, and say whether every bit is the same.

    Model files, held-out predictions and metrics are compared; where they are not the same, it
    says which of data, recipe, seed, code, environment and threads differ from what was recorded,
    by how much each metric moved, and exits 4.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    set
        Change one value of the recipe, as split.seed=1, to see what it moves; repeat it for more.
    threads
        How many threads to use; as many as were recorded when left out.
    keep
        Record the repeated run as a run of its own, with the tag paceml.reproduces.
    """
    if keep and workspace.is_readonly:
        raise ReadOnlyError(
            "--keep writes, and the workspace is opened read-only.", "Call it without --keep."
        )
    if threads is not None and threads < 1:
        raise InputError(f"--threads {threads} is no number of threads.", "Take 1 or more.")
    record = recorded(workspace, run, progress)
    _refuse_unfinished(record)
    result = _repeated(workspace, record, pairs(set), threads, keep, progress)
    if not result.bit_identical:
        raise RefusedError(result.verdict, _hint(result), code="not_reproduced", result=result)
    return result


def _refuse_unfinished(record: Recorded) -> None:
    if record.row["tags"].get(IN_PARTS):
        raise InputError(
            f"Run {record.run_id} was trained in parts on a cluster, whose sums have no order: "
            "it cannot be repeated bit for bit.",
            "Train its recipe again with --cluster and --partitioned, and compare the two runs.",
        )
    if record.row["status"] == "FINISHED" and record.row["model"]:
        return
    why = f"did not finish ({record.row['status']})"
    if record.row["status"] == "FINISHED":
        why = "has no model (a trial of a study keeps none)"
    raise InputError(
        f"Run {record.run_id} {why}, so there is nothing to compare with.",
        f"Train it: paceml-tui runs branch {record.run_id}",
    )


def _repeated(
    workspace: Workspace,
    record: Recorded,
    sets: dict[str, str],
    threads: int | None,
    keep: bool,
    progress: Progress,
) -> Reproduction:
    plan, version, _ = plan_of(workspace, record, sets)
    check_bytes(workspace, version)
    progress(Step("Starting a clean process"))
    row = None
    if keep:
        name, words = record.row["name"], f"runs.reproduce {record.run_id}"
        row = begin(workspace, plan, version, name, words, {OF: record.run_id})
    try:
        with workspace.scratch() as scratch:
            asked = Asked(
                root=str(workspace.root),
                run_id=record.run_id,
                as_run=row["run_id"] if row else record.run_id,
                sets=sets,
                threads=threads,
                folder=scratch,
            )
            learnt = repeat(asked, record, progress)
            folder = Path(scratch) / "files"
            progress(Step("Comparing with what was recorded"))
            found = compare(workspace, record, learnt, folder, plan)
            result = _result(record, found, version.reference, learnt.cost["wall_seconds"])
            if row is None:
                return result
            kept = finish(workspace, row, learnt, folder, version, progress)
            return replace(result, kept_as=kept.run_id)
    except BaseException as error:
        if row is not None:
            abandon(workspace, row, error)
        raise


def _result(record: Recorded, found: Comparison, data: str, seconds: float) -> Reproduction:
    causes = tuple(c for c in CAUSES if any(one.cause == c for one in found.differences))
    warnings = []
    if not record.environment:
        warnings.append(
            "The run recorded no environment (an older version made it): code, environment, "
            "seeds and threads cannot be compared."
        )
    if found.n_other_packages:
        many = "s that no training uses differ" if found.n_other_packages > 1 else " differs"
        warnings.append(f"{found.n_other_packages} other package{many}.")
    return Reproduction(
        run_id=record.run_id,
        name=str(record.row["name"]),
        bit_identical=found.is_identical,
        verdict=_verdict(found, causes),
        data_version=data,
        model=found.files,
        predictions=found.predictions,
        metrics=found.metrics,
        differences=found.differences,
        causes=causes,
        warnings=tuple(warnings),
        seconds=seconds,
    )


def _verdict(found: Comparison, causes: tuple[str, ...]) -> str:
    listed = " and ".join(filter(None, [", ".join(causes[:-1]), causes[-1] if causes else ""]))
    is_one = len(causes) == 1 and causes[0] not in ("threads", "data")
    differ = f"{listed} differ{'s' if is_one else ''}{_versions(found)}"
    if found.is_identical:
        n_rows = found.predictions.n_rows if found.predictions else 0
        same = f"the model, {n_rows:,} predictions and {len(found.metrics)} metrics are the same"
        return f"Bit-identical: {same}{f', although {differ}' if causes else ''}."
    if causes:
        return f"Not bit-identical: {differ} from what was recorded."
    return (
        "Not bit-identical, although nothing that was recorded differs: the estimator gives "
        "another result each time, or the model was recorded by other means."
    )


def _versions(found: Comparison) -> str:
    """Return in brackets which packages were of another version, the first three of them."""
    told = [
        f"{one.key.removeprefix('packages.').removesuffix('.version')} "
        f"{one.recorded or 'absent'} then, {one.now or 'absent'} now"
        for one in found.differences
        if one.key.startswith("packages.") or one.key == "python.version"
    ]
    more = [f"{len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return f" ({'; '.join(told[:_MOST_TOLD] + more)})" if told else ""


def _hint(result: Reproduction) -> str:
    moved = [one for one in result.metrics if one.moved]
    if not moved:
        return "No metric moved."
    most = max(moved, key=lambda one: abs(one.moved or 0.0))
    return (
        f"{len(moved)} of {len(result.metrics)} metrics moved, {most.key} most: {most.moved:+.6g}."
    )
