"""Import what DVC tracks: the bytes come from its cache or its remote, checked by their MD5."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from local_stack.command import Location, command
from local_stack.data import adding, sources
from local_stack.data.asking import options_of
from local_stack.data.sharing import dvc_files
from local_stack.data.sharing.dvc_files import Member, Repository, Tracked
from local_stack.data.sharing.remotes import Meter
from local_stack.data.versions import DataVersion
from local_stack.errors import DamagedError, InputError, NotFoundError
from local_stack.names import inside
from local_stack.progress import Progress, silent
from local_stack.stores.depots import Depot, depot
from local_stack.workspace import Workspace


@command(
    "data.import-dvc",
    writes=True,
    is_long=True,
    example="paceml-tui data import-dvc data/wine.csv.dvc",
)
def import_dvc(
    workspace: Workspace,
    file: Path,
    *,
    name: str | None = None,
    remote: Location | None = None,
    member: tuple[str, ...] = (),
    target: str | None = None,
    key: tuple[str, ...] = (),
    sensitive: tuple[str, ...] = (),
    format: str | None = None,
    tag: str | None = None,
    note: str = "",
    progress: Progress = silent,
) -> DataVersion:
    """Import what a .dvc file tracks as a version, from DVC's cache or its remote.

    Parameters
    ----------
    file
        The .dvc file, in its DVC repository.
    name
        Data set; the name of the tracked file without its ending when left out.
    remote
        Folder or URL to fetch from; the default remote of the repository when left out.
    member
        Files of a tracked folder to import as one table, such as '2026/*.csv'; repeat it for
        more. All when left out.
    target
        Column that models of this data set predict.
    key
        Column that identifies a row; repeat it for a compound key.
    sensitive
        Column whose groups fairness is measured by; repeat it for more.
    format
        Format of the tracked file; found from its name and content when left out.
    tag
        Name for this version, such as golden.
    note
        Why this version exists.
    """
    file = file.expanduser()
    tracked = dvc_files.read(file)
    name = name or Path(tracked.path).name.split(".")[0]
    finder = _Finder(file, tracked, remote, progress)
    with workspace.scratch() as folder:
        place = Path(folder)
        files = [
            replace(sources.source_file(path, shown), uri=f"{tracked.path} of {file}")
            for shown, path in finder.take(place / "dvc", member)
        ]
        facts = {
            "file": str(file),
            "path": tracked.path,
            "md5": f"{tracked.md5}{'.dir' if tracked.is_folder else ''}",
            "from": finder.origins,
            "members": list(member),
        }
        wanted = adding.Wanted(
            name,
            str(file),
            options_of(format=format),
            target,
            key,
            sensitive,
            tag,
            note,
            origin={"dvc": facts},
        )
        return adding.import_files(workspace, wanted, files, place, progress=progress)


class _Finder:
    """Looks for objects beside the .dvc file, in the cache, then on the remote."""

    def __init__(
        self, file: Path, tracked: Tracked, remote: str | None, progress: Progress
    ) -> None:
        self._file = file
        self._tracked = tracked
        self._named = remote
        self._meter = Meter(progress, 0)
        self._repository: Repository | None = dvc_files.repository(file)
        self._depot: Depot | None = None
        self.origins: list[str] = []
        if self._repository is None and remote is None:
            raise InputError(
                f"{file} lies in no DVC repository.", "Name where its data is with --remote."
            )

    def take(self, folder: Path, wanted: Sequence[str]) -> list[tuple[str, Path]]:
        """Bring what is tracked to the new ``folder``; return the name and place of each file."""
        tracked = self._tracked
        self._meter.at(f"Fetching {tracked.path}")
        root = folder / "files"
        root.mkdir(parents=True)
        if not tracked.is_folder:
            if wanted:
                raise InputError(
                    f"{self._file.name} tracks a file, not a folder.", "Leave out --member."
                )
            name = Path(tracked.path).name
            target = inside(root, name)
            self._bring(tracked.md5, target, self._file.parent / tracked.path)
            return [(name, target)]
        manifest = folder / "manifest"
        self._bring(tracked.md5, manifest, None, is_folder=True)
        return list(self._members(dvc_files.members(manifest.read_bytes()), root, wanted))

    def _members(
        self, members: Sequence[Member], root: Path, wanted: Sequence[str]
    ) -> Iterator[tuple[str, Path]]:
        chosen = [
            member
            for member in members
            if not wanted or any(fnmatchcase(member.path, pattern) for pattern in wanted)
        ]
        if not chosen:
            raise NotFoundError(
                f"The tracked folder {self._tracked.path} has no such file.",
                f"It holds: {', '.join(member.path for member in members[:10])}.",
            )
        for member in chosen:
            target = inside(root, member.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._bring(member.md5, target, self._file.parent / self._tracked.path / member.path)
            yield member.path, target

    def _bring(
        self, md5: str, target: Path, beside: Path | None, *, is_folder: bool = False
    ) -> None:
        """Write the object to ``target``; a damaged copy is passed over for the next place."""
        damage: DamagedError | None = None
        for source in self._places(md5, beside, is_folder):
            try:
                if not source.is_file():
                    continue
                shutil.copyfile(source, target)
                dvc_files.verify(target, md5, is_legacy=self._tracked.is_legacy)
            except DamagedError as error:
                if source != beside:  # that one was edited since 'dvc add'
                    damage = error
                continue
            self._meter.tick(target.stat().st_size)
            self._from("the working copy" if source == beside else "the DVC cache")
            return
        try:
            self._fetch(md5, target, is_folder)
        except (InputError, NotFoundError):
            if damage is not None:
                raise damage from None
            raise

    def _places(self, md5: str, beside: Path | None, is_folder: bool) -> Iterator[Path]:
        if self._repository is not None:
            for is_legacy in (self._tracked.is_legacy, not self._tracked.is_legacy):
                key = dvc_files.key_of(md5, is_folder=is_folder, is_legacy=is_legacy)
                yield self._repository.cache / key
        if beside is not None:
            yield beside

    def _fetch(self, md5: str, target: Path, is_folder: bool) -> None:
        place = self._remote()
        layouts = (True, False) if self._tracked.is_legacy else (False,)
        for is_legacy in layouts:
            key = dvc_files.key_of(md5, is_folder=is_folder, is_legacy=is_legacy)
            try:
                place.copy(key, target, self._meter.tick)
            except NotFoundError:
                continue
            dvc_files.verify(target, md5, is_legacy=self._tracked.is_legacy)
            self._from(place.url)
            return
        raise NotFoundError(
            f"{self._tracked.path} ({md5}) is neither in the DVC cache nor at {place.url}.",
            "Push it there with 'dvc push', or fetch it with 'dvc pull', then call again.",
        )

    def _remote(self) -> Depot:
        if self._depot is None:
            if self._named is not None:
                self._depot = depot(self._named)
            else:
                assert self._repository is not None
                self._depot = depot(*self._repository.remote(self._tracked.remote))
        return self._depot

    def _from(self, origin: str) -> None:
        if origin not in self.origins:
            self.origins.append(origin)
