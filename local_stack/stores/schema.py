"""The tables of the metadata store: declared once, folded from the journal, read by everyone.

Times are UTC ISO 8601 text (text order is time order). JSON columns hold what a row says of
itself; big tables are files in the artefact store that rows refer to by hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 6
"""Raise it with every change below: published generations of another version are rebuilt."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its key columns and every column with its DuckDB type."""

    key: tuple[str, ...]
    columns: dict[str, str]

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise ValueError for a row that would lack its key or not keep a value as it is."""
        for name in self.key:
            if row.get(name) is None:
                raise ValueError(f"a row without its key '{name}'")
        for name, value in row.items():
            if name not in self.columns:
                raise ValueError(f"a row with an unknown column '{name}'")
            if not _fits(value, self.columns[name]):
                raise ValueError(f"column '{name}' cannot hold {type(value).__name__} {value!r}")


def _fits(value: Any, kind: str) -> bool:
    if value is None or kind == "JSON":
        return True
    if isinstance(value, bool) or kind == "BOOLEAN":
        return isinstance(value, bool) and kind == "BOOLEAN"
    if kind == "BIGINT":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, (int | float) if kind == "DOUBLE" else str)


_TEXT, _INT, _REAL, _JSON = "VARCHAR", "BIGINT", "DOUBLE", "JSON"


def _table(key: str, **columns: str) -> Table:
    names = tuple(key.split())
    return Table(names, columns)


TABLES: dict[str, Table] = {
    "datasets": _table(
        "name",
        name=_TEXT,
        target=_TEXT,
        keys=_JSON,
        sensitive=_JSON,
        latest=_TEXT,
        n_versions=_INT,
        contract=_INT,
        created_at=_TEXT,
        updated_at=_TEXT,
    ),
    "data_versions": _table(
        "dataset version",
        dataset=_TEXT,
        version=_TEXT,
        number=_INT,
        n_rows=_INT,
        n_columns=_INT,
        columns=_JSON,
        warnings=_JSON,
        source=_TEXT,
        options=_JSON,
        original=_JSON,
        table=_JSON,
        rejects=_INT,
        rejected=_JSON,
        decisions=_JSON,
        lineage=_JSON,
        note=_TEXT,
        actor=_TEXT,
        created_at=_TEXT,
        collected_at=_TEXT,
    ),
    "data_tags": _table("dataset tag", dataset=_TEXT, tag=_TEXT, version=_TEXT),
    "contracts": _table(
        "dataset number",
        dataset=_TEXT,
        number=_INT,
        document=_JSON,
        text=_TEXT,
        source=_TEXT,
        learnt_from=_TEXT,
        warnings=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
    ),
    "recipes": _table(
        "dataset number",
        dataset=_TEXT,
        number=_INT,
        hash=_TEXT,
        document=_JSON,
        text=_TEXT,
        source=_TEXT,
        made_from=_TEXT,
        warnings=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
    ),
    "checks": _table(
        "dataset version contract",
        dataset=_TEXT,
        version=_TEXT,
        contract=_INT,
        passed="BOOLEAN",
        n_failed=_INT,
        checks=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
    ),
    "labellings": _table(
        "dataset version column",
        dataset=_TEXT,
        version=_TEXT,
        column=_TEXT,
        labelling=_TEXT,
        classes=_JSON,
        is_multi="BOOLEAN",
        made=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
        updated_at=_TEXT,
    ),
    "labels": _table(
        "labelling turn row actor",
        labelling=_TEXT,
        turn=_INT,
        row=_INT,
        actor=_TEXT,
        role=_TEXT,
        classes=_JSON,
        is_skipped="BOOLEAN",
        note=_TEXT,
        given_by=_TEXT,
        at=_TEXT,
    ),
    "experiments": _table("name", name=_TEXT, experiment_id=_TEXT, created_at=_TEXT),
    "runs": _table(
        "run_id",
        run_id=_TEXT,
        name=_TEXT,
        experiment=_TEXT,
        experiment_id=_TEXT,
        status=_TEXT,
        lifecycle=_TEXT,
        actor=_TEXT,
        started_at=_TEXT,
        ended_at=_TEXT,
        params=_JSON,
        metrics=_JSON,
        tags=_JSON,
        datasets=_JSON,
        task=_TEXT,
        target=_TEXT,
        recipe=_JSON,
        artifact_uri=_TEXT,
        artifacts=_JSON,
        files=_JSON,
        model=_JSON,
        job=_TEXT,
        error=_TEXT,
    ),
    "run_edits": _table(
        "run_id",
        run_id=_TEXT,
        tags=_JSON,
        lifecycle=_TEXT,
        actor=_TEXT,
        edited_at=_TEXT,
    ),
    "explanations": _table(
        "run_id",
        run_id=_TEXT,
        dataset=_TEXT,
        version=_TEXT,
        n_rows=_INT,
        n_total=_INT,
        unit=_TEXT,
        base_value=_REAL,
        importance=_JSON,
        additivity_error=_REAL,
        artifacts=_JSON,
        created_at=_TEXT,
    ),
    "fairness": _table(
        "run_id measurement",
        run_id=_TEXT,
        measurement=_TEXT,
        by=_JSON,
        positive=_TEXT,
        n_usual=_INT,
        data=_TEXT,
        rows=_TEXT,
        n_rows=_INT,
        settings=_JSON,
        measured=_JSON,
        result=_JSON,
        artifacts=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
    ),
    "models": _table(
        "name",
        name=_TEXT,
        latest=_INT,
        description=_TEXT,
        created_at=_TEXT,
        updated_at=_TEXT,
    ),
    "model_versions": _table(
        "name version",
        name=_TEXT,
        version=_INT,
        stage=_TEXT,
        run_id=_TEXT,
        model=_JSON,
        actor=_TEXT,
        created_at=_TEXT,
        updated_at=_TEXT,
    ),
    "stage_changes": _table(
        "name version at",
        name=_TEXT,
        version=_INT,
        at=_TEXT,
        stage=_TEXT,
        previous=_TEXT,
        actor=_TEXT,
        reason=_TEXT,
    ),
    "endpoints": _table(
        "name",
        name=_TEXT,
        model=_TEXT,
        version=_INT,
        host=_TEXT,
        port=_INT,
        url=_TEXT,
        pid=_INT,
        actor=_TEXT,
        started_at=_TEXT,
        stopped_at=_TEXT,
    ),
    "prediction_segments": _table(
        "endpoint segment",
        endpoint=_TEXT,
        segment=_TEXT,
        model=_TEXT,
        version=_INT,
        n_predictions=_INT,
        sha256=_TEXT,
        first_at=_TEXT,
        last_at=_TEXT,
    ),
    "drift_reports": _table(
        "report",
        report=_TEXT,
        reference=_TEXT,
        current=_TEXT,
        drifted="BOOLEAN",
        share=_REAL,
        n_drifted=_INT,
        n_columns=_INT,
        n_reference=_INT,
        n_current=_INT,
        columns=_JSON,
        created_at=_TEXT,
    ),
    "jobs": _table(
        "job",
        job=_TEXT,
        command=_TEXT,
        status=_TEXT,
        actor=_TEXT,
        started_at=_TEXT,
        ended_at=_TEXT,
        error=_TEXT,
    ),
    "steps": _table(
        "fingerprint",
        fingerprint=_TEXT,
        pipeline=_TEXT,
        step=_TEXT,
        command=_TEXT,
        result=_JSON,
        created_at=_TEXT,
    ),
}

EVENTS = Table(
    ("seq",),
    {
        "seq": _INT,
        "at": _TEXT,
        "actor": _TEXT,
        "command": _TEXT,
        "kind": _TEXT,
        "subject": _TEXT,
        "body": _JSON,
        "hash": _TEXT,
    },
)
"""One row an event: what the audit searches."""
