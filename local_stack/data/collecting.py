"""Collect: free the bytes that nothing refers to, and on request those of old versions.

An object that the journal never named is an orphan of a killed import. Objects of a version are
removed only after an event has marked it as collected; its record stays. While objects are being
removed, nobody may store any (see :mod:`local_stack.stores.holds`), and what may go is decided on
what the journal says then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from local_stack.command import command
from local_stack.data.sharing import manifests, references
from local_stack.errors import InputError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.stores import claims
from local_stack.stores.depots import Depot, Found, Unfinished, depot
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhdw]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30})(\.dir)?")
_TEMPORARY = re.compile(r"tmp/[^/]+|paceml/clock-[0-9a-f]+")
_BATCH = 200


@dataclass(frozen=True, slots=True)
class FreedObject(Result):
    """What was removed. ``why`` is orphan, collected (of a version), temporary or upload."""

    key: str
    bytes: int
    why: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class OldVersion(Result):
    """A version beyond the newest ones. ``kept_by`` is what refers to it, '' when nothing does."""

    dataset: str
    version: str
    number: int
    kept_by: str


@dataclass(frozen=True, slots=True)
class Collected(Result):
    """What was freed, or with ``is_dry_run`` would be. ``uploads`` counts unfinished ones."""

    is_dry_run: bool
    objects: int
    bytes: int
    uploads: int
    versions: tuple[OldVersion, ...]
    kept: tuple[OldVersion, ...]
    freed: tuple[FreedObject, ...]


@command("data.gc", writes=True, is_long=True, example="paceml-tui data gc --keep 5 --dry-run")
def gc(
    workspace: Workspace,
    *,
    keep: int | None = None,
    older_than: str = "1h",
    dry_run: bool = False,
    progress: Progress = silent,
) -> Collected:
    """Free the bytes that nothing refers to; never those that a run or a model refers to.

    Exits 4 when the artefact store is shared with another workspace.

    Parameters
    ----------
    keep
        Also free the bytes of versions beyond this many newest ones of each data set, when no
        tag, run, model, check or other record refers to them; their records stay.
    older_than
        Leave alone what no record refers to and is younger than this, such as 30m, 1h or 7d.
    dry_run
        Remove nothing; say what would go.
    """
    age = seconds(older_than)
    if keep is not None and keep < 1:
        raise InputError(f"--keep {keep} would keep no version.", "Keep at least 1.")
    place = depot(workspace.artifacts.url)
    if dry_run:
        claims.refuse_sharers(place, workspace.identity)
        return _Collection(workspace, place, age, progress).foreseen(keep)
    with claims.collecting(place, workspace.identity) as say:
        old, kept = _mark(workspace, keep) if keep else ([], [])
        work = _Collection(workspace, place, age, progress)
        try:
            for batch in work.batches():
                say()
                with workspace.artifacts.collecting(workspace.settings.journal.wait_seconds):
                    work.remove(batch)
            work.abandon_uploads()
        finally:
            result = work.result(old, kept, is_dry_run=False)
            _record(workspace, result)
    return result


def seconds(text: str) -> float:
    """Return a duration such as 30m, 1h or 7d (seconds when no unit is named) in seconds."""
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise InputError(f"'{text}' is no duration.", "Write it as 30m, 1h or 7d.")
    return float(found[1]) * _SECONDS[found[2]]


def _old(state: Metadata, keep: int) -> tuple[list[Row], list[OldVersion]]:
    """Return the rows of the versions that may go, and the old ones that are referred to."""
    latest = {row["name"]: row["latest"] for row in state.query("SELECT * FROM datasets")}
    rows = state.query(
        "SELECT * FROM data_versions WHERE collected_at IS NULL "
        "QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY number DESC) > ? "
        "ORDER BY dataset, number",
        keep,
    )
    used = references.users(state, {row["version"] for row in rows})
    used |= {row["version"]: "the data set" for row in rows if row["version"] in latest.values()}
    return (
        [row for row in rows if row["version"] not in used],
        [_told(row, used[row["version"]]) for row in rows if row["version"] in used],
    )


def _told(row: Row, kept_by: str = "") -> OldVersion:
    return OldVersion(row["dataset"], row["version"], row["number"], kept_by)


def _mark(workspace: Workspace, keep: int) -> tuple[list[OldVersion], list[OldVersion]]:
    """Record which versions are collected, before anything of them goes."""
    found: list[tuple[list[Row], list[OldVersion]]] = []

    def decide(state: Metadata) -> Draft | None:
        old, kept = _old(state, keep)
        found.append((old, kept))
        if not old:
            return None
        at = now()
        changes: list[Change] = [("data_versions", {**row, "collected_at": at}) for row in old]
        body = {"versions": [f"{row['dataset']}@{row['version']}" for row in old], "keep": keep}
        return Draft("data.collected", "data", body, changes)

    workspace.append(decide)
    old, kept = found[-1]
    return [_told(row) for row in old], kept


def _record(workspace: Workspace, result: Collected) -> None:
    if not result.freed:
        return
    body = {
        "objects": result.objects,
        "bytes": result.bytes,
        "uploads": result.uploads,
        "keys": [item.key for item in result.freed],
    }
    workspace.append(lambda _: Draft("data.freed", "data", body))


class _Collection:
    def __init__(self, workspace: Workspace, place: Depot, age: float, progress: Progress) -> None:
        self._workspace = workspace
        self._place = place
        self._age = age
        self._progress = progress
        self._freed: list[FreedObject] = []
        progress(Step("Listing the objects"))
        self._moment = place.moment()
        self._objects = [f for f in place.names("files/md5") if _OBJECT.fullmatch(f.key)]
        self._temporary = [
            found
            for folder in ("tmp", "paceml")
            for found in place.names(folder)
            if _TEMPORARY.fullmatch(found.key) and self._is_old(found)
        ]
        self._mentions = references.Mentions(workspace.journal, map(_md5, self._objects))
        self._shown = _shown(place)
        self._own = _own_keys(workspace)
        self._living: set[str] | None = None
        self._collected: dict[str, str] = {}
        self._seq = -1

    def foreseen(self, keep: int | None) -> Collected:
        """Return what would be freed now."""
        old: list[Row] = []
        kept: list[OldVersion] = []
        self._workspace.metadata.follow(strict=True)
        if keep:
            old, kept = _old(self._workspace.metadata, keep)
        self._freed += self._removable(self._objects, old)
        self._freed += [FreedObject(f.key, f.size, "temporary") for f in self._temporary]
        uploads = [FreedObject(u.key, 0, "upload") for u in self._uploads()]
        self._freed += uploads
        return self.result([_told(row) for row in old], kept, is_dry_run=True)

    def batches(self) -> Iterator[Sequence[Found]]:
        """Yield what there is in parts, so that nobody has to wait for long."""
        everything = [*self._objects, *self._temporary]
        for start in range(0, len(everything), _BATCH):
            self._progress(Step("Removing what nothing refers to", start, len(everything)))
            yield everything[start : start + _BATCH]

    def remove(self, batch: Sequence[Found]) -> None:
        """Remove what may go of ``batch``; nobody stores objects meanwhile."""
        self._workspace.metadata.follow(strict=True)
        for item in self._removable(batch):
            self._place.remove(item.key)
            self._workspace.artifacts.forget(item.key)
            self._freed.append(item)
        for found in batch:
            if _TEMPORARY.fullmatch(found.key):
                self._place.remove(found.key)
                self._freed.append(FreedObject(found.key, found.size, "temporary"))

    def abandon_uploads(self) -> None:
        """Give up the uploads in parts that killed clients left."""
        for upload in self._uploads():
            self._place.abandon(upload)
            self._freed.append(FreedObject(upload.key, 0, "upload"))

    def result(
        self, old: Sequence[OldVersion], kept: Sequence[OldVersion], *, is_dry_run: bool
    ) -> Collected:
        """Return what was freed so far."""
        return Collected(
            is_dry_run=is_dry_run,
            objects=sum(item.why != "upload" for item in self._freed),
            bytes=sum(item.bytes for item in self._freed),
            uploads=sum(item.why == "upload" for item in self._freed),
            versions=tuple(old),
            kept=tuple(kept),
            freed=tuple(self._freed),
        )

    def _removable(self, batch: Sequence[Found], old: Sequence[Row] = ()) -> Iterator[FreedObject]:
        state = self._workspace.metadata
        mentioned = self._mentions.follow()
        if self._living is None or self._seq != state.position.seq:
            self._living = references.living(state, without=old) | self._shown
            self._collected = references.collected(state, also=old)
            self._seq = state.position.seq
        living, collected = self._living, self._collected
        for found in batch:
            md5 = _md5(found)
            if not _OBJECT.fullmatch(found.key) or md5 in living or not self._is_own(found):
                continue
            if md5 in collected:
                yield FreedObject(found.key, found.size, "collected", collected[md5])
            elif md5 not in mentioned and self._is_old(found):
                yield FreedObject(found.key, found.size, "orphan")

    def _is_own(self, found: Found) -> bool:
        return self._own is None or found.key in self._own

    def _is_old(self, found: Found) -> bool:
        return self._moment - found.modified >= self._age

    def _uploads(self) -> list[Unfinished]:
        left = self._place.unfinished("files/md5/")
        return [upload for upload in left if self._moment - upload.started >= self._age]


def _md5(found: Found) -> str:
    return "".join(found.key.removesuffix(".dir").split("/")[-2:])


def _shown(place: Depot) -> set[str]:
    """Return the MD5 of whatever manifests at ``place`` name: there it is a remote as well."""
    named: set[str] = set()
    for found in place.names(manifests.FOLDER):
        data = place.read(found.key, found.size + 1) or b""
        named |= references.hashes(data.decode("utf-8", "replace"))
    return named


def _own_keys(workspace: Workspace) -> set[str] | None:
    """Return what this workspace put into a store that others may use; None: all is its own."""
    if workspace.owns_artifacts:
        return None
    try:
        return set(workspace.objects_log.read_text(encoding="ascii", errors="replace").split())
    except FileNotFoundError:
        return set()
