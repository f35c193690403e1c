"""References: what the records of a workspace say of versions and of stored objects.

Every table counts, also one that does not exist yet: whatever row holds the hash of a version
or of an object refers to it. When in doubt, something is referred to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from local_stack.data.sharing import manifests
from local_stack.stores.journal import START, Journal
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.schema import TABLES

_VERSION = re.compile(r"(?<![0-9a-f])[0-9a-f]{12,64}(?![0-9a-f])")
_OBJECT = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_NOUNS = {
    "checks": "a check",
    "contracts": "a contract",
    "drift_reports": "a drift report",
    "endpoints": "an endpoint",
    "explanations": "an explanation",
    "fairness": "a measurement of fairness",
    "jobs": "a job",
    "labellings": "a labelling",
    "model_versions": "a model version",
    "prediction_segments": "a prediction log",
    "runs": "a run",
    "steps": "a pipeline's step",
}


def users(state: Metadata, versions: Collection[str]) -> dict[str, str]:
    """Return for each of ``versions`` that a record refers to, what that record is."""
    wanted = set(versions)
    found: dict[str, str] = {}
    for table, row in _rows(state):
        if table in ("data_versions", "datasets"):
            continue  # what it was made from, or followed by, is no use of it
        for version in wanted.intersection(_VERSION.findall(json.dumps(row))):
            found.setdefault(version, _told(table, row))
    return found


def living(state: Metadata, *, without: Collection[Row] = ()) -> set[str]:
    """Return the MD5 of every object that a record names.

    Versions that are collected, and those of ``without``, count as if they were not there.
    """
    gone = {(row["dataset"], row["version"]) for row in without}
    found: set[str] = set()
    for table, row in _rows(state):
        if table == "data_versions" and (
            row["collected_at"] or (row["dataset"], row["version"]) in gone
        ):
            continue
        found |= hashes(json.dumps(row))
    return found


def collected(state: Metadata, *, also: Collection[Row] = ()) -> dict[str, str]:
    """Return the MD5 of every object of a collected version, with ``NAME@VERSION``."""
    rows = state.query("SELECT * FROM data_versions WHERE collected_at IS NOT NULL")
    return {
        item.blob.md5: f"{row['dataset']}@{row['version']}"
        for row in (*rows, *also)
        for item in manifests.objects(row)
    }


def hashes(text: str) -> set[str]:
    """Return everything in ``text`` that may be the MD5 of an object."""
    return set(_OBJECT.findall(text))


class Mentions:
    """The objects, of those in ``among``, that any event of the journal ever named."""

    def __init__(self, journal: Journal, among: Iterable[str]) -> None:
        self._journal = journal
        self._among = set(among)
        self._position = START
        self._found: set[str] = set()

    def follow(self) -> set[str]:
        """Read what is new in the journal, and return their MD5.

        Raises
        ------
        DamagedError
            When the journal is damaged: nothing may be removed on its word.
        """
        for event, position in self._journal.read(self._position):
            text = json.dumps([event.body, event.changes])
            self._found |= self._among & hashes(text)
            self._position = position
        return self._found


def _rows(state: Metadata) -> Iterator[tuple[str, Row]]:
    for table in TABLES:
        for row in state.query(f'SELECT * FROM "{table}"'):
            yield table, row


def _told(table: str, row: Mapping[str, Any]) -> str:
    if table == "data_tags":
        return f"the tag '{row['tag']}'"
    name = row.get("run_id") if table == "runs" else None
    return f"{_NOUNS.get(table, table)}{f' {name}' if name else ''}"
