"""The ``data profile`` verb: statistics of a version, with what is needed to repeat them."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time as clock
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import command, pairs
from local_stack.data import versions
from local_stack.data.checkout import outside
from local_stack.data.profiling.shape import Alert, AlertChanges, DatasetProfile, Thresholds
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import now, plain
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.data.profiling.table import Table

_FORMAT = 3
"""Raised when the shape or the meaning of a stored profile changes."""


@command(
    "data.profile",
    is_long=True,
    reads=versions.reads,
    example="paceml-tui data profile wine --html wine.html",
)
def profile(
    workspace: Workspace,
    name: str,
    *,
    html: Path | None = None,
    column: tuple[str, ...] = (),
    target: str | None = None,
    time: str | None = None,
    kendall: bool = False,
    threshold: tuple[str, ...] = (),
    sample: int | None = None,
    progress: Progress = silent,
) -> DatasetProfile:
    """Describe every column of a version, their correlations, and what looks wrong.

    The alerts are compared with those of the version before.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    html
        Write the profile to this file too, one page that needs no network.
    column
        Print everything of this column, and only that; repeat it for more.
    target
        Column to predict; the data set's when left out.
    time
        Date column: describe the numbers as series in its order, too.
    kendall
        Add Kendall's tau-b to the correlations.
    threshold
        Where a finding becomes an alert, as p_missing=0.2; repeat it for more.
    sample
        Take this many seeded random rows instead of all; the result says so.
    """
    if html is not None:
        from local_stack.data.profiling.page import check_place, write_page

        html = outside(workspace, html)
        check_place(html)
    version = versions.find(workspace, name)
    _check_columns(version, column)
    options = _Options(
        target or version.target,
        time,
        kendall,
        thresholds_of(pairs(threshold, "--threshold", "p_missing=0.2")),
        sample,
    )
    found = _profiled(workspace, version, options, progress)
    before = _previous(workspace, version)
    if before is not None:
        progress(Step(f"Comparing with {before.reference}"))
        found = replace(found, changes=_changes(workspace, found, before, options, progress))
    _store(workspace, version, options, found)
    if html is not None:
        progress(Step(f"Writing {html.name}"))
        write_page(found, html)
    if column:
        found = replace(found, reproduction={**found.reproduction, "columns": list(column)})
    return found


def _check_columns(version: versions.DataVersion, columns: Sequence[str]) -> None:
    names = [each.name for each in version.schema]
    for name in columns:
        if name not in names:
            raise InputError(
                f"{version.reference} has no column '{name}'.",
                nearest(name, names) or f"Columns: {', '.join(names[:20])}.",
            )


def stored(
    workspace: Workspace, version: versions.DataVersion, target: str | None = None
) -> dict[str, Any] | None:
    """Return the stored ``result`` of an ordinary profile of ``version``; None: there is none."""
    options = _Options(target or version.target, None, False, Thresholds(), None)
    return _read(_place(workspace, version, options))


def thresholds_of(given: Mapping[str, str]) -> Thresholds:
    """Return the thresholds with those that were given as text.

    Raises
    ------
    InputError
        When there is no threshold of that name, or the value is not a number from 0.
    """
    names = [each.name for each in fields(Thresholds)]
    found: dict[str, float] = {}
    for name, text in given.items():
        if name not in names:
            raise InputError(
                f"There is no threshold '{name}'.",
                nearest(name, names) or f"Thresholds: {', '.join(names)}.",
            )
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise InputError(
                f"The threshold {name} needs a number from 0, not '{text}'.",
                f"Example: --threshold {name}={getattr(Thresholds(), name):g}",
            )
    return replace(Thresholds(), **found)  # type: ignore[arg-type]


class _Options:
    """What, besides the version, determines a profile."""

    def __init__(
        self,
        target: str | None,
        time: str | None,
        kendall: bool,
        thresholds: Thresholds,
        sample: int | None,
    ) -> None:
        if sample is not None and sample < 1:
            raise InputError("--sample needs at least one row.", "Example: --sample 100000")
        self.target = target
        self.time = time
        self.kendall = kendall
        self.thresholds = thresholds
        self.sample = sample

    @property
    def digest(self) -> str:
        """Return a name for these options."""
        values = plain({"format": _FORMAT, **vars(self)})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def words(self) -> list[str]:
        """Return the options as the command line takes them."""
        found = ["--kendall"] if self.kendall else []
        found += [f"--time {shlex.quote(self.time)}"] if self.time else []
        found += [f"--sample {self.sample}"] if self.sample else []
        usual = Thresholds()
        for each in fields(Thresholds):
            value = getattr(self.thresholds, each.name)
            if value != getattr(usual, each.name):
                found.append(f"--threshold {each.name}={value:g}")
        return found


def _profiled(
    workspace: Workspace, version: versions.DataVersion, options: _Options, progress: Progress
) -> DatasetProfile:
    started_at, started = now(), clock.monotonic()
    progress(Step("Reading the data"))
    blob = Blob.of(versions.held(workspace, version)["table"])
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(workspace.artifacts.path, blob)
        import polars  # noqa: F401  # while its bytes are checked

        from local_stack.data.profiling.profile import profile_table

        table = _table(checked.result(), version, options.sample)
    found = profile_table(
        table,
        target=options.target,
        time=options.time,
        kendall=options.kendall,
        thresholds=options.thresholds,
        progress=progress,
    )
    command_words = ["paceml-tui data profile", version.reference]
    if options.target != version.target:
        command_words.append(f"--target {shlex.quote(options.target or '')}")
    return replace(
        found,
        reproduction={
            "dataset": version.dataset,
            "version": version.version,
            "number": version.number,
            "n_rows_total": table.n_rows_total,
            "n_rows_used": table.n_rows,
            "is_sample": table.n_rows < table.n_rows_total,
            "started_at": started_at,
            "profiled_at": now(),
            "seconds": round(clock.monotonic() - started, 3),
            "command": " ".join([*command_words, *options.words()]),
            "software": _software(),
        },
    )


def _table(path: Path, version: versions.DataVersion, sample: int | None) -> Table:
    import numpy as np

    from local_stack.data.profiling.table import Table

    if sample is None or sample >= version.rows:
        return Table(path)
    rows = np.random.default_rng(0).choice(version.rows, sample, replace=False)
    return Table(path, np.sort(rows))


def _software() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("paceml-tui", "numpy", "polars")}


def _previous(workspace: Workspace, version: versions.DataVersion) -> versions.DataVersion | None:
    """Return the version before this one whose bytes are still here."""
    for number in range(version.number - 1, 0, -1):
        try:
            found = versions.find(workspace, f"{version.dataset}@{number}")
        except NotFoundError:
            continue
        if found.collected_at is None:
            return found
    return None


def _changes(
    workspace: Workspace,
    found: DatasetProfile,
    before: versions.DataVersion,
    options: _Options,
    progress: Progress,
) -> AlertChanges:
    from local_stack.data.profiling.changes import changes_of

    known = _read(_place(workspace, before, options))
    if known is not None:
        previous = [_alert(values) for values in known["alerts"]]
        return changes_of(found.alerts, previous, before.reference)
    try:
        other = _profiled(workspace, before, options, progress)
    except InputError:  # it has no such target or time column: nothing to compare with
        return AlertChanges()
    _store(workspace, before, options, other)
    return changes_of(found.alerts, other.alerts, before.reference)


def _alert(values: Mapping[str, Any]) -> Alert:
    from local_stack.data.profiling.shape import ValueCount

    listed = {
        "values": tuple(ValueCount(**item) for item in values["values"]),
        "rows": tuple(values["rows"]),
        "columns": tuple(values["columns"]),
    }
    return Alert(**{**values, **listed})


# ------------------------------------------------------------------ stored profiles


def _place(workspace: Workspace, version: versions.DataVersion, options: _Options) -> Path:
    name = f"{version.dataset}-{version.version}-{options.digest}.json"
    return workspace.root / "cache" / "profiles" / name


def _store(
    workspace: Workspace, version: versions.DataVersion, options: _Options, found: DatasetProfile
) -> None:
    """Keep the result, whole or not at all; where the cache cannot be written it is not kept."""
    if workspace.is_readonly:
        return
    path = _place(workspace, version, options)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.write_text(json.dumps(plain(found), allow_nan=False), encoding="utf-8")
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Return a stored result; None when there is none, or it cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and _is_whole(values) else None


def _is_whole(values: Mapping[str, Any]) -> bool:
    wanted: Sequence[str] = [each.name for each in fields(DatasetProfile)]
    return all(name in values for name in wanted)
