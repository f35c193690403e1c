"""Pull: versions come from a remote; each is checked whole before the workspace knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from local_stack.command import Location, command
from local_stack.data import history, versions
from local_stack.data.contracting import contract_file
from local_stack.data.sharing import manifests
from local_stack.data.sharing.manifests import Manifest
from local_stack.data.sharing.remotes import Meter, is_own_store, open_remote, wanted
from local_stack.errors import ConflictError, DamagedError, InputError, NotFoundError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.stores import claims
from local_stack.stores.artifacts import Stored
from local_stack.stores.depots import Depot
from local_stack.stores.journal import Change, Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

State = Literal["pulled", "restored", "updated", "present", "conflict", "damaged"]


@dataclass(frozen=True, slots=True)
class PulledVersion(Result):
    """What became of one version.

    ``state`` is ``pulled``, ``restored`` (its bytes had been collected or were missing),
    ``updated`` (a tag, the contract, or what is known of its data set), ``present`` (nothing to
    do), ``conflict`` (something here is otherwise and was kept) or ``damaged`` (nothing of it
    was used); ``message`` says what. ``objects`` and ``bytes`` were fetched.
    """

    dataset: str
    version: str
    state: State
    objects: int = 0
    bytes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pulled(Result):
    """What a pull did. ``n_changed`` counts the versions that the workspace knows anew."""

    remote: str
    n_changed: int
    n_present: int
    objects: int
    bytes: int
    versions: tuple[PulledVersion, ...]


@command("data.pull", writes=True, is_long=True, example="paceml-tui data pull s3://team/data")
def pull(
    workspace: Workspace,
    remote: Location | None = None,
    *,
    name: tuple[str, ...] = (),
    force: bool = False,
    progress: Progress = silent,
) -> Pulled:
    """Fetch the versions that were pushed to a folder or a bucket, and check each byte of them.

    Parameters
    ----------
    remote
        Folder or fsspec URL, such as s3://bucket/prefix; the setting data.remote when left out.
    name
        Data set, NAME@VERSION or NAME@TAG to fetch; repeat it for more. All when left out.
    force
        Take tags, target, keys and contract from there where they are otherwise here.
    """
    place = open_remote(workspace, remote)
    with workspace.artifacts.holding():
        work = _Pull(workspace, place, is_force=force)
        result = work.run(name, progress)
    _raise_problems(result)
    return result


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an event takes over, and what it left as it was (``kept``)."""

    changes: list[Change] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class _Pull:
    def __init__(self, workspace: Workspace, place: Depot, *, is_force: bool) -> None:
        self._workspace = workspace
        self._place = place
        self._is_force = is_force
        self._is_own = is_own_store(workspace, place)
        self._damaged: list[PulledVersion] = []

    def run(self, names: Sequence[str], progress: Progress) -> Pulled:
        if self._is_own:
            claims.claim(self._place, self._workspace.identity)
        found = _with_single_tags(self._chosen(names, progress))
        lacking = {m.key: self._lacking(m) for m in found}
        sizes = {item.key: item.blob.size for items in lacking.values() for item in items}
        meter = Meter(progress, sum(sizes.values()))
        done = list(self._damaged)
        for manifest in found:
            meter.at(f"Pulling {manifest.dataset}@{manifest.version[:8]}")
            done.append(self._take(manifest, lacking[manifest.key], meter))
        return Pulled(
            remote=self._place.url,
            n_changed=sum(each.state in ("pulled", "restored", "updated") for each in done),
            n_present=sum(each.state == "present" for each in done),
            objects=sum(each.objects for each in done),
            bytes=sum(each.bytes for each in done),
            versions=tuple(done),
        )

    def _chosen(self, names: Sequence[str], progress: Progress) -> list[Manifest]:
        asked = wanted(names) if names else None
        found: list[Manifest] = []
        keys = list(manifests.listed(self._place, asked))
        for number, key in enumerate(keys):
            progress(Step("Looking at the remote", number, len(keys)))
            try:
                manifest = manifests.read(self._place, key)
            except DamagedError as error:
                version = key.rpartition("/")[2].removesuffix(".json")
                self._damaged.append(PulledVersion("", version, "damaged", message=error.message))
                continue
            if manifest is not None:
                found.append(manifest)
        found.sort(key=lambda m: (m.dataset, m.record["created_at"], m.number, m.version))
        return found if asked is None else list(self._asked(found, asked))

    def _asked(
        self, found: Sequence[Manifest], asked: Mapping[str, set[str]]
    ) -> Iterator[Manifest]:
        for dataset, which in asked.items():
            own = [m for m in found if m.dataset == dataset]
            if not own and not self._damaged:
                hint = nearest(dataset, self._known()) or "Push it from where it is."
                raise NotFoundError(f"There is no data set '{dataset}' at {self._place.url}.", hint)
            chosen = {m.version for m in own}
            if which:
                chosen = {self._meant(dataset, own, what) for what in which}
            yield from (m for m in own if m.version in chosen)

    def _known(self) -> set[str]:
        names = set()
        for key in manifests.listed(self._place):
            manifest = manifests.read(self._place, key)
            if manifest is not None:
                names.add(manifest.dataset)
        return names

    def _meant(self, dataset: str, own: Sequence[Manifest], what: str) -> str:
        exact = [m.version for m in own if what in m.tags or m.version == what]
        short = [m.version for m in own if len(what) >= 4 and m.version.startswith(what)]
        if not exact and not short:
            exact = self._meant_here(dataset, own, what)
        if len(exact or short) != 1:
            raise NotFoundError(
                f"Data set '{dataset}' has no version or tag '{what}' at {self._place.url}.",
                f"There are: {', '.join(m.version for m in own[-5:])}." if own else "",
            )
        return (exact or short)[0]

    def _meant_here(self, dataset: str, own: Sequence[Manifest], what: str) -> list[str]:
        """Return the version that a number or a tag of this workspace means, if it is there."""
        try:
            version = versions.find(self._workspace, f"{dataset}@{what}").version
        except NotFoundError:
            return []
        return [m.version for m in own if m.version == version]

    def _lacking(self, manifest: Manifest) -> tuple[Stored, ...]:
        """Return the objects that are to be fetched; none when the record here is another."""
        row = self._workspace.get("data_versions", manifest.dataset, manifest.version)
        if row is not None and not self._is_same(row, manifest):
            return ()
        artifacts = self._workspace.artifacts
        return tuple(item for item in manifest.objects if self._is_own or not artifacts.holds(item))

    def _is_same(self, row: Row, manifest: Manifest) -> bool:
        return manifests.objects(row) == manifest.objects

    def _take(self, manifest: Manifest, lacking: Sequence[Stored], meter: Meter) -> PulledVersion:
        dataset, version = manifest.dataset, manifest.version
        try:
            n_bytes = self._fetch(lacking, meter)
        except (DamagedError, NotFoundError) as error:
            return PulledVersion(dataset, version, "damaged", message=error.message)
        n_objects = 0 if self._is_own else len(lacking)
        taken = _Taken()
        states: list[State] = []

        def decide(state: Metadata) -> Draft | None:
            taken.changes.clear()
            taken.news.clear()
            taken.kept.clear()
            states.append(self._decide(state, manifest, taken))
            if not taken.changes:
                return None
            body = {
                "version": version,
                "remote": self._place.url,
                "pushed": manifest.pushed,
                "what": list(taken.news),
                "objects": n_objects,
                "bytes": n_bytes,
            }
            return Draft("data.pulled", f"data:{dataset}", body, list(taken.changes))

        self._workspace.append(decide)
        state = states[-1]
        if state == "present" and n_objects:
            state = "restored"  # its bytes had been lost, and nobody had recorded that
        if taken.kept:
            state = "conflict"
        return PulledVersion(dataset, version, state, n_objects, n_bytes, " ".join(taken.kept))

    def _fetch(self, items: Sequence[Stored], meter: Meter) -> int:
        artifacts = self._workspace.artifacts
        n_bytes = 0
        for item in items:
            if self._is_own:
                artifacts.locate(item)
                meter.tick(item.blob.size)
                continue
            if artifacts.holds(item):
                continue  # another version of this pull had it too
            with self._workspace.scratch() as folder:
                scratch = Path(folder) / "object"
                self._place.receive(item, scratch, meter.tick)
                artifacts.keep(scratch, item)
            n_bytes += item.blob.size
        return n_bytes

    def _decide(self, state: Metadata, manifest: Manifest, taken: _Taken) -> State:
        head = state.get("datasets", manifest.dataset)
        row = state.get("data_versions", manifest.dataset, manifest.version)
        found: State = "present"
        if row is None:
            found, row = "pulled", self._row(manifest, head)
            taken.changes.append(("data_versions", row))
            taken.news.append("version")
        elif not self._is_same(row, manifest):
            taken.kept.append("Here it has the same original, but another table, which was kept.")
            return found
        elif row["collected_at"]:
            found, row = "restored", {**row, "collected_at": None}
            taken.changes.append(("data_versions", row))
            taken.news.append("bytes")
        self._take_head(state, manifest, head, row, taken)
        self._take_tags(state, manifest, taken)
        return "updated" if taken.changes and found == "present" else found

    def _row(self, manifest: Manifest, head: Row | None) -> Row:
        pulled = {
            "remote": self._place.url,
            "at": now(),
            "actor": self._workspace.actor,
            "pushed": manifest.pushed,
        }
        lineage = {**manifest.record["lineage"], "pulled": pulled}
        number = (head["n_versions"] if head else 0) + 1
        return {
            **manifest.record,
            "dataset": manifest.dataset,
            "version": manifest.version,
            "number": number,
            "lineage": lineage,
            "collected_at": None,
        }

    def _take_head(
        self, state: Metadata, manifest: Manifest, head: Row | None, row: Row, taken: _Taken
    ) -> None:
        """Take over what is known of the data set; what is otherwise here is kept and told."""
        roles = {key: manifest.head[key] for key in ("target", "keys", "sensitive")}
        before = head or {
            "name": manifest.dataset,
            **roles,
            "latest": manifest.version,
            "n_versions": 0,
            "contract": None,
            "created_at": row["created_at"],
            "updated_at": row["created_at"],
        }
        after = {**before, "n_versions": max(before["n_versions"], row["number"])}
        newest = state.get("data_versions", manifest.dataset, before["latest"])
        if newest is None or newest["created_at"] < row["created_at"]:
            after["latest"] = manifest.version
        if after["latest"] == manifest.version:
            self._take_roles(after, roles, taken)
            self._take_contract(state, manifest, after, taken)
        if after != head:
            taken.changes.append(("datasets", {**after, "updated_at": now()}))

    def _take_roles(self, after: Row, roles: Mapping[str, Any], taken: _Taken) -> None:
        for key, value in roles.items():
            if not value or value == after[key]:
                continue
            if after[key] and not self._is_force:
                taken.kept.append(f"There {key} is {_told(value)}, here it is {_told(after[key])}.")
                continue
            after[key] = value
            taken.news.append(key)

    def _take_contract(
        self, state: Metadata, manifest: Manifest, after: Row, taken: _Taken
    ) -> None:
        offered = manifest.contract
        agreed = state.get("contracts", manifest.dataset, after["contract"] or 0)
        if offered is None or (agreed and agreed["document"] == offered["document"]):
            return
        if agreed and not self._is_force:
            taken.kept.append("There it has another contract.")
            return
        if not _is_contract(offered):
            taken.kept.append("Its contract there is not one that can be read.")
            return
        number = (after["contract"] or 0) + 1
        row = {"dataset": manifest.dataset, "number": number, **offered}
        after["contract"] = number
        taken.changes.append(("contracts", row))
        taken.news.append("contract")

    def _take_tags(self, state: Metadata, manifest: Manifest, taken: _Taken) -> None:
        for tag in manifest.tags:
            here = state.get("data_tags", manifest.dataset, tag)
            if here is not None and here["version"] == manifest.version:
                continue
            if here is not None and not self._is_force:
                taken.kept.append(f"Here the tag '{tag}' is {here['version']}; --force moves it.")
                continue
            try:
                history.tag_label(tag)
            except InputError as error:
                taken.kept.append(error.message)
                continue
            new = {"dataset": manifest.dataset, "tag": tag, "version": manifest.version}
            taken.changes.append(("data_tags", new))
            taken.news.append(f"tag {tag}")


def _with_single_tags(found: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests with each tag on the version that was pushed last with it."""
    owners: dict[tuple[str, str], Manifest] = {}
    for manifest in sorted(found, key=lambda m: str(m.pushed.get("at", ""))):
        for tag in manifest.tags:
            owners[manifest.dataset, tag] = manifest
    return [m.tagged(*(tag for tag in m.tags if owners[m.dataset, tag] is m)) for m in found]


def _is_contract(offered: Mapping[str, Any]) -> bool:
    """Return whether a contract that somebody else wrote is one, and says what its text says."""
    document, text = offered["document"], offered["text"]
    try:
        if text is None:
            contract_file.of_values(document)
            return True
        return bool(contract_file.parse(text).values == document)
    except InputError:
        return False


def _told(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _raise_problems(result: Pulled) -> None:
    damaged = [version for version in result.versions if version.state == "damaged"]
    if damaged:
        error = DamagedError(
            f"{len(damaged)} versions at {result.remote} are not whole and were not taken: "
            f"{damaged[0].message}",
            "Push them again with --verify from a workspace that has them; the others are here.",
        )
        error.result = result
        raise error
    conflicts = [version for version in result.versions if version.state == "conflict"]
    if conflicts:
        first = conflicts[0]
        raise ConflictError(
            f"{len(conflicts)} versions differ from {result.remote}; the first is "
            f"{first.dataset}@{first.version}: {first.message}",
            "What was here was kept; call again with --force to take what is there.",
            result=result,
        )
