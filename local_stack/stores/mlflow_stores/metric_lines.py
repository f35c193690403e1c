"""The lines of a metric's file, in every form that MLflow has written.

========================================  ==============================================
``seconds value``                         MLflow 0.x: no step, and whole seconds
``ms value step``                         a run's metric since 1.0
``ms value step dataset digest``          the same, logged with a dataset
``ms value step run [dataset digest]``    a metric in the folder of a logged model
========================================  ==============================================
"""

from __future__ import annotations

from typing import Final

from local_stack.stores.mlflow_stores.records import HistoryRow

_SECONDS_BELOW: Final = 100_000_000_000
"""Times below are seconds: as seconds the year 5138, as milliseconds 1973."""
_LARGEST: Final = 2**63 - 1
_MOST_FAULTS: Final = 2
"""So many bad lines of a file are told one by one: of garbage there may be millions."""


def parse(key: str, data: bytes, faults: list[str]) -> list[HistoryRow]:
    """Return the values that the file of the metric ``key`` holds; bad lines are told."""
    if not data:
        faults.append(f"metrics/{key} is empty")
        return []
    lines = data.split(b"\n")
    is_cut = bool(lines[-1].strip())
    found, n_bad = [], 0
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields and number == len(lines):
            break
        row = _row(key, fields, is_whole=number < len(lines))
        if row is not None:
            found.append(row)
            continue
        n_bad += 1
        if n_bad <= _MOST_FAULTS:
            faults.append(f"line {number} of metrics/{key} is not a time, a value and a step")
    if n_bad > _MOST_FAULTS:
        faults.append(f"nor are {n_bad - _MOST_FAULTS:,} other lines of it")
    elif is_cut and not n_bad:
        faults.append(f"the last line of metrics/{key} has no end and may be cut off")
    return found


def stepless(rows: list[HistoryRow], data: bytes) -> list[HistoryRow]:
    """Return ``rows`` as MLflow's file store compares them: without the steps of datasets' lines.

    Its searches find the newest value so; the history keeps the steps.
    """
    if data.count(b" ") <= 2 * len(rows):
        return rows
    lines = [line.split() for line in data.split(b"\n") if line.strip()]
    if len(lines) != len(rows):
        return rows  # some are bad, and MLflow cannot read any
    return [
        (key, 0 if len(fields) == 5 else step, at, value)
        for (key, step, at, value), fields in zip(rows, lines, strict=True)
    ]


def _row(key: str, fields: list[bytes], *, is_whole: bool) -> HistoryRow | None:
    """Return one value; None when the fields are none or are cut off."""
    try:
        at, value = int(fields[0]), float(fields[1])
        if len(fields) == 2:
            if at < _SECONDS_BELOW:
                at *= 1000
            elif not is_whole:
                return None
            step = 0
        else:
            step = int(fields[2])
    except (ValueError, IndexError):
        return None
    if abs(at) > _LARGEST or abs(step) > _LARGEST:
        return None
    return key, step, at, value
