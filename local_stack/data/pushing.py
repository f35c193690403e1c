"""Push: versions go to a remote, objects first, then the manifest that makes them visible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from local_stack.command import Location, command
from local_stack.data import versions
from local_stack.data.sharing import manifests
from local_stack.data.sharing.manifests import Manifest
from local_stack.data.sharing.remotes import Meter, is_own_store, open_remote, wanted, who
from local_stack.errors import (
    ConflictError,
    DamagedError,
    NotFoundError,
    StackError,
    UnavailableError,
)
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.stores import claims
from local_stack.stores.artifacts import Stored
from local_stack.stores.depots import Depot
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

State = Literal["pushed", "updated", "present", "conflict", "damaged", "collected"]
_OLD_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class PushedVersion(Result):
    """What became of one version.

    ``state`` is ``pushed``, ``updated`` (its tags, or what is known of its data set),
    ``present`` (nothing to do), ``conflict`` or ``damaged`` (``message`` says why), or
    ``collected`` (its bytes are not in this workspace). ``objects`` and ``bytes`` were sent.
    """

    dataset: str
    version: str
    state: State
    objects: int = 0
    bytes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pushed(Result):
    """What a push did. ``n_changed`` counts the versions that others see anew."""

    remote: str
    n_changed: int
    n_present: int
    objects: int
    bytes: int
    versions: tuple[PushedVersion, ...]


@command("data.push", writes=True, is_long=True, example="paceml-tui data push s3://team/data")
def push(
    workspace: Workspace,
    remote: Location | None = None,
    *,
    name: tuple[str, ...] = (),
    force: bool = False,
    verify: bool = False,
    progress: Progress = silent,
) -> Pushed:
    """Send versions to a folder or a bucket, where other workspaces and DVC can fetch them.

    Parameters
    ----------
    remote
        Folder or fsspec URL, such as s3://bucket/prefix; the setting data.remote when left out.
    name
        Data set, NAME@VERSION or NAME@TAG to send; repeat it for more. All when left out.
    force
        Move tags that point to another version there, and replace what differs.
    verify
        Read every object there, also of versions that are there, and send again what is
        missing or damaged.
    """
    rows = _chosen(workspace, name)
    place = open_remote(workspace, remote)
    work = _Push(workspace, place, is_force=force, is_verify=verify)
    with workspace.artifacts.holding():
        try:
            work.run(rows, progress)
        except BaseException:
            with contextlib.suppress(StackError):  # the first error is the one to report
                _record(workspace, work.result)
            raise
    _record(workspace, work.result)
    _raise_problems(work.result)
    return work.result


def _chosen(workspace: Workspace, names: Sequence[str]) -> list[Row]:
    rows = workspace.query("SELECT * FROM data_versions ORDER BY dataset, number")
    if not names:
        return rows
    chosen = set()
    for dataset, which in wanted(names).items():
        if not which:
            versions.find(workspace, dataset)  # raises, naming the nearest
            chosen |= {(dataset, row["version"]) for row in rows if row["dataset"] == dataset}
        chosen |= {(dataset, versions.find(workspace, f"{dataset}@{w}").version) for w in which}
    return [row for row in rows if (row["dataset"], row["version"]) in chosen]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done for one version; ``lacking`` objects go first, then ``manifest``."""

    row: Row
    state: State
    message: str = ""
    lacking: tuple[Stored, ...] = ()
    manifest: Manifest | None = None
    freed: tuple[Manifest, ...] = ()


class _Push:
    def __init__(
        self, workspace: Workspace, place: Depot, *, is_force: bool, is_verify: bool
    ) -> None:
        self._workspace = workspace
        self._place = place
        self._is_force = is_force
        self._is_verify = is_verify
        self._is_own = is_own_store(workspace, place)
        self._there: dict[str, dict[str, Manifest]] = {}
        self._done: list[PushedVersion] = []
        self._seen: dict[str, bool] = {}

    @property
    def result(self) -> Pushed:
        """Return what was done so far."""
        done = self._done
        return Pushed(
            remote=self._place.url,
            n_changed=sum(each.state in ("pushed", "updated") for each in done),
            n_present=sum(each.state == "present" for each in done),
            objects=sum(each.objects for each in done),
            bytes=sum(each.bytes for each in done),
            versions=tuple(done),
        )

    def run(self, rows: Sequence[Row], progress: Progress) -> None:
        claims.claim(self._place, self._workspace.identity)
        self._abandon_old_uploads()
        plans = []
        for number, row in enumerate(rows):
            progress(Step("Looking at the remote", number, len(rows)))
            plans.append(self._plan(row))
        lacking = {item.key: item.blob.size for plan in plans for item in plan.lacking}
        meter = Meter(progress, sum(lacking.values()))
        for plan in plans:
            self._done.append(self._carry_out(plan, meter))

    def _abandon_old_uploads(self) -> None:
        """Free what clients killed days ago have left: it is invisible, and is paid for."""
        with contextlib.suppress(StackError):  # not every key may list or abandon them
            left = self._place.unfinished("files/md5/")
            moment = self._place.moment() if left else 0.0
            for upload in left:
                if moment - upload.started > _OLD_SECONDS:
                    self._place.abandon(upload)

    def _plan(self, row: Row) -> _Plan:
        there = self._manifests(row["dataset"]).get(row["version"])
        if row["collected_at"] and there is None:
            return _Plan(row, "collected", "Its bytes were collected, and they are not there.")
        own = self._manifest(row)
        differs = there is not None and there.objects != own.objects
        if differs and not self._is_force:
            message = "There it has the same original, but another table; --force replaces it."
            return _Plan(row, "conflict", message)
        manifest = own if there is None or differs else self._merged(there, own)
        manifest, freed, message = self._without_conflicts(manifest, own)
        lacking: tuple[Stored, ...] = ()
        if not row["collected_at"] and (there is None or differs or self._is_verify):
            lacking = tuple(item for item in own.objects if not self._is_there(item))
        state: State = "pushed" if there is None or lacking else "updated"
        if there is not None and not lacking and replace(manifest, pushed=there.pushed) == there:
            state = "present"
        return _Plan(row, state, message, lacking, manifest, freed)

    def _manifests(self, dataset: str) -> dict[str, Manifest]:
        """Return what is visible of a data set; a damaged manifest is as good as none."""
        if dataset not in self._there:
            found = {}
            for key in manifests.listed(self._place, {dataset: None}):
                with contextlib.suppress(DamagedError):
                    manifest = manifests.read(self._place, key)
                    if manifest is not None:
                        found[manifest.version] = manifest
            self._there[dataset] = found
        return self._there[dataset]

    def _manifest(self, row: Row) -> Manifest:
        dataset = self._workspace.metadata.get("datasets", row["dataset"]) or {}
        number = dataset.get("contract") or 0
        agreed = self._workspace.metadata.get("contracts", row["dataset"], number)
        tags = self._workspace.metadata.find(
            "data_tags", dataset=row["dataset"], version=row["version"]
        )
        return Manifest(
            dataset=row["dataset"],
            version=row["version"],
            number=row["number"],
            record=manifests.record_of(row),
            head={
                "target": dataset.get("target"),
                "keys": dataset.get("keys") or [],
                "sensitive": dataset.get("sensitive") or [],
                "updated_at": dataset.get("updated_at") or row["created_at"],
            },
            tags=tuple(sorted(tag["tag"] for tag in tags)),
            contract=agreed and manifests.contract_of(agreed),
            pushed={**who(self._workspace), "at": now()},
        )

    def _merged(self, there: Manifest, own: Manifest) -> Manifest:
        """Return what is visible with our tags; the newest version also tells the data set."""
        merged = replace(there.tagged(*there.tags, *own.tags), pushed=own.pushed)
        dataset = self._workspace.metadata.get("datasets", own.dataset) or {}
        if dataset.get("latest") != own.version:
            return merged
        if own.head["updated_at"] > there.head["updated_at"]:
            newer = {**own.head, "updated_at": there.head["updated_at"]}
            merged = merged if newer == there.head else replace(merged, head=own.head)
        before = there.contract or {"created_at": ""}
        if own.contract and own.contract["created_at"] > before["created_at"]:
            merged = replace(merged, contract=own.contract)
        return merged

    def _without_conflicts(
        self, manifest: Manifest, own: Manifest
    ) -> tuple[Manifest, tuple[Manifest, ...], str]:
        """Return the manifest, those that lose a tag to it, and what is in its way."""
        others = [m for m in self._manifests(own.dataset).values() if m.version != own.version]
        taken = {tag: other for other in others for tag in other.tags if tag in own.tags}
        if not taken:
            return manifest, (), ""
        if self._is_force:
            freed = {m.version: m.tagged(*set(m.tags) - set(own.tags)) for m in taken.values()}
            return manifest, tuple(freed.values()), ""
        kept = set(manifest.tags) - set(taken)
        told = ", ".join(f"'{tag}' is {other.version}" for tag, other in sorted(taken.items()))
        message = f"There {told}; --force moves it."
        return manifest.tagged(*kept), (), message

    def _is_there(self, item: Stored) -> bool:
        if item.key not in self._seen:
            self._seen[item.key] = self._look(item)
        return self._seen[item.key]

    def _look(self, item: Stored) -> bool:
        found = self._place.look(item.key)
        if found is None or not found.is_whole(item.blob):
            return False
        if not self._is_verify:
            return True
        with self._workspace.scratch() as folder:
            try:
                self._place.receive(item, Path(folder) / "object", lambda n: None)
            except (DamagedError, NotFoundError):
                return False
        return True

    def _carry_out(self, plan: _Plan, meter: Meter) -> PushedVersion:
        dataset, version = plan.row["dataset"], plan.row["version"]
        if plan.manifest is None or (plan.state == "present" and not plan.message):
            return PushedVersion(dataset, version, plan.state, message=plan.message)
        meter.at(f"Pushing {dataset}@{version[:8]}")
        try:
            n_objects, n_bytes = self._send(plan.lacking, meter)
        except (DamagedError, NotFoundError) as error:
            return PushedVersion(dataset, version, "damaged", message=error.message)
        if plan.state != "present":
            self._show(plan.manifest)
        for other in plan.freed:
            self._show(other)
        state = "conflict" if plan.message else plan.state
        return PushedVersion(dataset, version, state, n_objects, n_bytes, plan.message)

    def _send(self, items: Sequence[Stored], meter: Meter) -> tuple[int, int]:
        n_objects = n_bytes = 0
        artifacts = self._workspace.artifacts
        for item in items:
            if self._is_own:
                raise NotFoundError(f"The object {item.blob.md5} is missing from its own store.")
            if self._seen.get(item.key):
                continue  # another version of this push had it too
            source = artifacts.locate(item)
            self._place.send(source, item, meter.tick)
            found = self._place.look(item.key)
            if found is None or found.size != item.blob.size:
                raise UnavailableError(
                    f"{self._place.url} did not keep the object {item.blob.md5}.", "Push again."
                )
            self._seen[item.key] = True
            n_objects += 1
            n_bytes += item.blob.size
        return n_objects, n_bytes

    def _show(self, manifest: Manifest) -> None:
        self._place.write(manifest.key, manifest.to_bytes())
        self._manifests(manifest.dataset)[manifest.version] = manifest


def _record(workspace: Workspace, result: Pushed) -> None:
    changed = [f"{v.dataset}@{v.version}" for v in result.versions if v.objects or _is_news(v)]
    if not changed:
        return
    body = {
        "remote": result.remote,
        "versions": changed,
        "objects": result.objects,
        "bytes": result.bytes,
    }
    workspace.append(lambda _: Draft("data.pushed", "data", body))


def _is_news(version: PushedVersion) -> bool:
    return version.state in ("pushed", "updated")


def _raise_problems(result: Pushed) -> None:
    damaged = list(_of(result, "damaged"))
    if damaged:
        error = DamagedError(
            f"{len(damaged)} versions could not be pushed; the first is "
            f"{damaged[0].dataset}@{damaged[0].version}: {damaged[0].message}",
            "Pull them from where they are whole; the others were pushed.",
        )
        error.result = result
        raise error
    conflicts = list(_of(result, "conflict"))
    if conflicts:
        raise ConflictError(
            f"{len(conflicts)} versions differ from {result.remote}; the first is "
            f"{conflicts[0].dataset}@{conflicts[0].version}: {conflicts[0].message}",
            "Look at it there (data pull), or call again with --force; the rest was pushed.",
            result=result,
        )


def _of(result: Pushed, state: State) -> Iterator[PushedVersion]:
    return (version for version in result.versions if version.state == state)
