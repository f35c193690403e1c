"""Manifests: what makes a version visible on a remote, written after all of its objects.

``paceml/data/<hash of the data set's name>/<version>.json`` holds the record of the version,
what is known of its data set, its tags and the contract, and the SHA-256 of all that; the
record holds the SHA-256 of every object. What stands in it was written by somebody else: it is
read with suspicion, and refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from local_stack.data.tables import TYPES, ColumnInfo, ImportWarning
from local_stack.errors import DamagedError, InputError
from local_stack.names import inside, label
from local_stack.stores.artifacts import Stored, stored
from local_stack.stores.depots import Depot
from local_stack.stores.metadata import Row
from local_stack.stores.schema import TABLES

FOLDER = "paceml/data"
FORMAT = 1
MAX_BYTES = 32 * 1024 * 1024
"""Largest manifest that is read."""

PARTS = ("original", "table", "rejected")
"""The columns of ``data_versions`` that name objects."""

_OWN = ("dataset", "version", "number", "collected_at")
_RECORD = tuple(name for name in TABLES["data_versions"].columns if name not in _OWN)
_VERSION = re.compile(r"[0-9a-f]{12,64}")
_MD5, _SHA256 = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_TEXTS = ("source", "note", "actor", "created_at")
_MAPPINGS = ("options", "lineage", "decisions")
_MAX_TAGS = 1000
_HERE = Path()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version as a remote shows it.

    ``record`` is its row without what belongs to a workspace, ``number`` its place among the
    versions of whoever pushed it, ``head`` holds target, keys, sensitive and updated_at of the
    data set, ``contract`` its row without its number (or None), ``pushed`` who and when.
    """

    dataset: str
    version: str
    number: int
    record: Row
    head: dict[str, Any]
    tags: tuple[str, ...]
    contract: dict[str, Any] | None
    pushed: dict[str, Any]

    @property
    def reference(self) -> str:
        """Return ``NAME@VERSION``."""
        return f"{self.dataset}@{self.version}"

    @property
    def key(self) -> str:
        """Return where it lies on a remote."""
        return f"{folder_of(self.dataset)}/{self.version}.json"

    @property
    def objects(self) -> tuple[Stored, ...]:
        """Return every object of the version once; the manifest of a folder after its members."""
        return objects(self.record)

    def tagged(self, *tags: str) -> Manifest:
        """Return the manifest with exactly these tags."""
        return replace(self, tags=tuple(sorted(set(tags))))

    def to_bytes(self) -> bytes:
        """Return the JSON document, sealed by its own SHA-256."""
        content = {
            "format": FORMAT,
            "kind": "paceml.data",
            "dataset": self.dataset,
            "version": self.version,
            "number": self.number,
            "record": self.record,
            "head": self.head,
            "tags": list(self.tags),
            "contract": self.contract,
            "pushed": self.pushed,
        }
        return json.dumps({**content, "sha256": _sealed(content)}, indent=1).encode()


def folder_of(dataset: str) -> str:
    """Return the folder of a data set's manifests; its name is no part of it."""
    return f"{FOLDER}/{hashlib.sha256(dataset.encode()).hexdigest()[:32]}"


def record_of(row: Mapping[str, Any]) -> Row:
    """Return what a row of ``data_versions`` tells to others."""
    return {name: row.get(name) for name in _RECORD}


def contract_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of ``contracts`` tells to others."""
    columns = TABLES["contracts"].columns
    return {name: row.get(name) for name in columns if name not in ("dataset", "number")}


def objects(record: Mapping[str, Any]) -> tuple[Stored, ...]:
    """Return every object that a row of ``data_versions`` names, each one once."""
    found = {item.key: item for part in PARTS for item in stored(record.get(part))}
    return tuple(found.values())


def listed(place: Depot, datasets: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the keys of the manifests at ``place``, of all data sets or of those named."""
    folders = [FOLDER] if datasets is None else [folder_of(name) for name in datasets]
    shape = re.compile(rf"{FOLDER}/[0-9a-f]{{32}}/{_VERSION.pattern}\.json")
    for folder in folders:
        for found in place.names(folder):
            if shape.fullmatch(found.key):
                yield found.key


def read(place: Depot, key: str) -> Manifest | None:
    """Return the manifest at ``key``, or None when there is none.

    Raises
    ------
    DamagedError
        When it is not what somebody wrote there as a manifest, or lies in the wrong place.
    """
    data = place.read(key, MAX_BYTES + 1)
    return None if data is None else parse(data, key, place.url)


def parse(data: bytes, key: str, where: str) -> Manifest:
    """Return the manifest that ``data`` holds; ``key`` is where it lies below ``where``.

    Raises
    ------
    DamagedError
        When it is none, or not the one that belongs there.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        content = json.loads(data, parse_constant=_no_constant)
        seal = content.pop("sha256")
        if seal != _sealed(content):
            raise ValueError("its SHA-256 is not the one it carries")
        if content["kind"] != "paceml.data" or content["format"] != FORMAT:
            raise ValueError("it is of a kind or format that this program does not know")
        found = _checked(content)
        if found.key != key:
            raise ValueError("it does not belong in this place")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        reason = f"{error}" if isinstance(error, ValueError | InputError) else type(error).__name__
        raise DamagedError(
            f"{where}/{key} is not a whole manifest: {reason.rstrip('.')}.",
            "Nothing of it was used; push that version again from a workspace that has it.",
            details={"key": key},
        ) from error
    return found


def _checked(content: Mapping[str, Any]) -> Manifest:
    dataset, version = content["dataset"], content["version"]
    if not isinstance(dataset, str) or label(dataset) != dataset or "@" in dataset:
        raise ValueError("its data set has no valid name")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError("its version is not one")
    record = record_of(_mapping(content["record"]))
    _check_record(record)
    tags = content["tags"]
    if not isinstance(tags, list) or len(tags) > _MAX_TAGS:
        raise ValueError("its tags are no list")
    contract = content["contract"]
    return Manifest(
        dataset=dataset,
        version=version,
        number=_whole(content["number"]),
        record=record,
        head=_head(_mapping(content["head"])),
        tags=tuple(_tag(each) for each in tags),
        contract=None if contract is None else _contract(_mapping(contract)),
        pushed=_mapping(content["pushed"]),
    )


def _check_record(record: Row) -> None:
    TABLES["data_versions"].check({"dataset": "x", "version": "x", **record})
    for name in ("n_rows", "n_columns"):
        _whole(record[name])
    for name in _TEXTS:
        if not isinstance(record[name], str):
            raise ValueError(f"{name} is no text")  # noqa: TRY004 - one kind of error for all
    if not _TIME.fullmatch(record["created_at"]):
        raise ValueError("created_at is no time")
    for name in _MAPPINGS:
        _mapping(record[name])
    columns = [ColumnInfo(**column) for column in record["columns"]]
    if len(columns) != record["n_columns"] or not all(map(_is_column, columns)):
        raise ValueError("its columns are not as they must be")
    for warning in record["warnings"]:
        ImportWarning(**warning)
    if record["table"] is None:
        raise ValueError("it names no table")
    for part in PARTS:
        _check_part(record[part])


def _is_column(column: ColumnInfo) -> bool:
    is_named = isinstance(column.name, str)
    return is_named and column.type in TYPES and isinstance(column.nullable, bool)


def _check_part(part: Any) -> None:
    for item in stored(part):
        blob = item.blob
        if not (_MD5.fullmatch(blob.md5) and _SHA256.fullmatch(blob.sha256) and blob.size >= 0):
            raise ValueError("an object is not named by its hashes")
    for name in (part or {}).get("members", ()):
        inside(_HERE, name)


def _head(head: dict[str, Any]) -> dict[str, Any]:
    target, keys, sensitive = head["target"], head["keys"] or [], head["sensitive"] or []
    for name in (*keys, *sensitive, *(() if target is None else (target,)), head["updated_at"]):
        if not isinstance(name, str):
            raise ValueError("a column is not named by a text")  # noqa: TRY004
    return {
        "target": target,
        "keys": list(keys),
        "sensitive": list(sensitive),
        "updated_at": head["updated_at"],
    }


def _contract(contract: dict[str, Any]) -> dict[str, Any]:
    found = contract_of(contract)
    TABLES["contracts"].check({"dataset": "x", "number": 1, **found})
    _mapping(found["document"])
    if not all(isinstance(found[name], str) for name in ("actor", "created_at")):
        raise ValueError("its contract has no author")
    return found


def _tag(text: Any) -> str:
    if not isinstance(text, str) or label(text, "tag") != text:
        raise ValueError("a tag is not one")
    return text


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a part of it is missing")  # noqa: TRY004
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError("a count is not a whole number")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _sealed(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
