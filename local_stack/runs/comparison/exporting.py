"""A comparison as a table of other programs: CSV and Markdown side by side, Parquet typed."""

from __future__ import annotations

import csv as comma_separated
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data.checkout import outside, replacing
from local_stack.runs.comparison.naming import short_ids
from local_stack.runs.comparison.shape import MetricComparison, RunComparison
from local_stack.runs.exporting import escaped, guarded, is_number, visible, whole
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a comparison: what it tells of each run as text, and as a number where it is one."""

    section: str
    key: str
    differs: bool
    texts: tuple[str | None, ...]
    numbers: tuple[float | None, ...]
    metric: MetricComparison | None = None


def lines(comparison: RunComparison) -> Iterator[Line]:
    """Yield every row of a comparison, section by section."""
    runs = comparison.runs
    for key in ("run_id", "name", "experiment", "status", "lifecycle", "actor", "start_time"):
        yield _line("run", key, [getattr(run, key) for run in runs])
    for key in ("end_time", "seconds", "cpu_seconds", "peak_memory_bytes", "parent", "problem"):
        yield _line("run", key, [getattr(run, key) for run in runs])
    for metric in comparison.metrics:
        yield _line("metric", metric.key, metric.values, metric)
    for section, found in (("param", comparison.params), ("tag", comparison.tags)):
        for entry in found:
            yield _line(section, entry.key, entry.values)
    for dataset in comparison.datasets:
        context = f" ({dataset.context})" if dataset.context else ""
        yield _line("dataset", f"{dataset.name}{context}", dataset.versions)
    for artifact in comparison.artifacts:
        told = [
            None if not there else digest[:12] if digest else ""
            for there, digest in zip(artifact.is_there, artifact.hashes, strict=True)
        ]
        sizes = tuple(None if size is None else float(size) for size in artifact.sizes)
        texts = [
            None if text is None else f"{_size(size)} {text}".strip()
            for text, size in zip(told, artifact.sizes, strict=True)
        ]
        yield Line("artifact", artifact.path, artifact.differs, tuple(texts), sizes)
    for entry in comparison.environment:
        yield _line("environment", entry.key, entry.values)


def write(
    workspace: Workspace,
    comparison: RunComparison,
    *,
    csv: Path | None,
    parquet: Path | None,
    force: bool,
) -> tuple[str, ...]:
    """Write every row to the files that are named; return their paths.

    A file appears whole or not at all.
    """
    wanted = [(path, save) for path, save in ((csv, _csv), (parquet, _parquet)) if path]
    places = [(outside(workspace, Path(path)), save) for path, save in wanted]
    for place, save in places:
        with replacing(place, force=force) as scratch:
            save(comparison, scratch)
    return tuple(str(place) for place, _ in places)


def _csv(comparison: RunComparison, path: Path) -> None:
    titles = titles_of(comparison)
    others = [at for at, run in enumerate(comparison.runs) if run.run_id != comparison.baseline]
    head = ["section", "key", "differs", "direction", "verdict", *titles]
    for at in others:
        head += [f"{name}: {titles[at]}" for name in ("delta", "low", "high")]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = comma_separated.writer(stream)
        writer.writerow(map(guarded, head))
        for line in lines(comparison):
            metric = line.metric
            told = [metric.direction, metric.verdict] if metric else ["", ""]
            row: list[Any] = [line.section, line.key, "yes" if line.differs else "no", *told]
            row += line.texts
            for at in others:
                interval = metric.intervals[at] if metric else None
                row.append(metric.deltas[at] if metric else None)
                row += [interval.low, interval.high] if interval else [None, None]
            writer.writerow([guarded(cell) for cell in row])


def _parquet(comparison: RunComparison, path: Path) -> None:
    frame(comparison).write_parquet(path)


def frame(comparison: RunComparison) -> pl.DataFrame:
    """Return every row as a typed table: one row a run and key."""
    import polars as pl

    texts = ("section", "key", "run_id", "run", "value")
    numbers = ("number", "delta", "low", "high")
    schema: dict[str, Any] = dict.fromkeys(texts, pl.String)
    schema |= dict.fromkeys(numbers, pl.Float64)
    schema |= {"direction": pl.String, "is_best": pl.Boolean, "differs": pl.Boolean}
    rows: list[tuple[Any, ...]] = []
    for line in lines(comparison):
        metric = line.metric
        for at, run in enumerate(comparison.runs):
            interval = metric.intervals[at] if metric else None
            told = (line.section, line.key, run.run_id, run.name, line.texts[at])
            rows.append(
                (
                    *(None if text is None else whole(text) for text in told),
                    line.numbers[at],
                    metric.deltas[at] if metric else None,
                    *((interval.low, interval.high) if interval else (None, None)),
                    metric.direction if metric else None,
                    (metric.best == run.run_id) if metric and metric.best else None,
                    line.differs,
                )
            )
    return pl.DataFrame(rows, schema=schema, orient="row")


def markdown(comparison: RunComparison) -> str:
    """Return every row as one table of Markdown, in which nothing of the runs is markup."""
    titles = titles_of(comparison)
    head = ["section", "key", *titles, "difference"]
    table = [[escaped(cell) for cell in head], ["---"] * len(head)]
    for line in lines(comparison):
        told = line.metric.verdict if line.metric else "differs" if line.differs else ""
        texts = ["" if text is None else text for text in line.texts]
        table.append([escaped(cell) for cell in (line.section, line.key, *texts, told)])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def titles_of(comparison: RunComparison) -> list[str]:
    """Return what heads the column of each run: its name and the beginning of its id.

    No two are the same.
    """
    begun = short_ids([run.run_id for run in comparison.runs])
    names = [" ".join(visible(run.name).split()) for run in comparison.runs]
    return [
        f"{name} ({start})" if name else start for name, start in zip(names, begun, strict=True)
    ]


def _line(
    section: str, key: str, values: Sequence[Any], metric: MetricComparison | None = None
) -> Line:
    texts = tuple(None if value is None else _text(value) for value in values)
    numbers = tuple(
        float(value) if isinstance(value, int | float) else _number(value) for value in values
    )
    differs = metric.differs if metric else len(set(texts)) > 1
    return Line(section, key, differs, texts, numbers, metric)


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, str) and is_number(value) else None


def _size(size: int | None) -> str:
    return "" if size is None else f"{size} bytes"
