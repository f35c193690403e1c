"""A workspace: one folder with the journal, its stores, and the rules for opening it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
import tomllib
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_stack import settings
from local_stack.errors import InputError, NotFoundError
from local_stack.results import now
from local_stack.stores import claims
from local_stack.stores.artifacts import Artifacts
from local_stack.stores.depots import depot
from local_stack.stores.holds import Hold
from local_stack.stores.journal import Draft, Event, Journal
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.run_index import RunIndex
from local_stack.stores.tracking import Tracking

acting: ContextVar[str] = ContextVar("paceml_acting", default="")
"""Name of the outermost command now being run; every event says under which it was made."""

_NETWORK = {"nfs", "nfs4", "cifs", "smb2", "smbfs", "smb3", "9p", "fuse.sshfs", "afs", "ceph"}
HIDDEN = ".paceml"
"""Name of a workspace that belongs to the folder around it, as .git does."""

_FOLDERS = ("objects", "mlruns", "serving", "jobs", "cache", "logs")


class Workspace:
    """An open workspace. Cheap to make: DuckDB opens at the first question.

    Use :meth:`open`, :meth:`find` or :meth:`create`; close it, or use it in a ``with``.
    """

    def __init__(self, root: Path, *, is_readonly: bool = False, actor: str = "") -> None:
        self.root = root
        self.is_readonly = is_readonly
        self.actor = actor or settings.actor()
        self.settings = settings.load(root / settings.FILE)
        self.journal = Journal(
            root / "journal",
            wait_seconds=self.settings.journal.wait_seconds,
            segment_bytes=self.settings.journal.segment_bytes,
        )
        tracking_uri = self.settings.storage.tracking_uri or (root / "mlruns").as_uri()
        self.run_index = RunIndex(root / "cache", tracking_uri, is_readonly=is_readonly)
        self.metadata = Metadata(
            self.journal, root / "metadata.duckdb", root / "cache", self.run_index
        )
        self.artifacts = self._artifacts()
        self.tracking = Tracking(
            tracking_uri,
            root / "cache" / "tracking.lock",
            self.identity,
        )

    @classmethod
    def create(
        cls, folder: Path, *, artifacts: str = "", tracking_uri: str = "", actor: str = ""
    ) -> Workspace:
        """Make ``folder`` a workspace and open it.

        Raises
        ------
        InputError
            When the folder holds something else, is a workspace already, or lies on a file
            system whose locks are not trusted.
        """
        folder = folder.absolute()
        if (folder / settings.FILE).exists():
            raise InputError(f"{folder} is a workspace already.", f"Open it: paceml-tui {folder}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{folder} is not an empty folder.",
                "Name a new or an empty one, such as: paceml-tui init "
                f"{folder / 'paceml' if folder.is_dir() else folder.with_name('paceml')}",
            )
        chosen = settings.Settings()
        chosen = replace(
            chosen,
            storage=replace(
                chosen.storage,
                artifacts=artifacts or chosen.storage.artifacts,
                tracking_uri=tracking_uri,
            ),
        )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        if not settings.is_network_allowed():
            _refuse_network(folder)
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        identity = secrets.token_hex(8)
        Journal(folder / "journal", wait_seconds=10, segment_bytes=1).create()
        _write_whole(folder / settings.FILE, settings.document(identity, chosen))
        workspace = cls(folder, actor=actor)
        workspace.append(lambda _: Draft("workspace.created", "workspace", {"id": identity}))
        return workspace

    @classmethod
    def open(
        cls, folder: Path | str = ".", *, readonly: bool = False, actor: str = ""
    ) -> Workspace:
        """Open the workspace whose root is ``folder`` or a parent of it."""
        start = Path(folder).absolute()
        root = find_root(start)
        if root is None:
            raise NotFoundError(
                f"{start} is not inside a workspace.",
                "Make one here with: paceml-tui init, or try: paceml-tui demo",
            )
        if not (root / "journal").is_dir():
            raise InputError(
                f"{root} has a {settings.FILE} but no journal, so it is not a PACE-ML workspace.",
                "Restore the journal from a backup, or begin anew in another folder.",
            )
        workspace = cls(root, is_readonly=readonly, actor=actor)
        if not workspace.settings.storage.allow_network_file_system:
            _refuse_network(root)
        return workspace

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Publish what is new and release the stores."""
        if not self.is_readonly:
            self.metadata.publish(force=True)
        self.metadata.close()

    @property
    def identity(self) -> str:
        """Return the id that the workspace was given when it was made."""
        document = tomllib.loads((self.root / settings.FILE).read_text(encoding="utf-8"))
        return str(document.get("workspace", {}).get("id", ""))

    def append(self, decide: Callable[[Metadata], Draft | None]) -> Event | None:
        """Record one decision, made by ``decide`` on the newest state, under the journal's lock.

        ``decide`` may raise to refuse, or return None when there is nothing to record.
        """

        def settled() -> Draft | None:
            self.metadata.follow(strict=True)
            draft = decide(self.metadata)
            if draft is not None:
                self.metadata.check(draft)
            return draft

        self.metadata.follow()  # what takes long is done before the lock is held
        event = self.journal.append(self.actor, acting.get(), settled)
        if event is not None:
            self.metadata.follow()
            self.metadata.publish()
        return event

    def query(self, sql: str, *parameters: Any) -> list[Row]:
        """Follow the journal, then run a SELECT of ours on the metadata tables."""
        self.metadata.follow()
        return self.metadata.query(sql, *parameters)

    def get(self, table: str, *key: Any) -> Row | None:
        """Follow the journal, then return the row of ``table`` with ``key``, or None."""
        self.metadata.follow()
        return self.metadata.get(table, *key)

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Return a temporary folder inside the workspace, on the same file system.

        One that is only read may lie where nothing can be written; then it is the system's.
        """
        parent = self.root / "cache" / "tmp"
        try:
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
        except OSError as error:
            if not (self.is_readonly and error.errno in (errno.EROFS, errno.EACCES)):
                raise
            return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

    def leftovers(self) -> list[Path]:
        """Return the temporary files and folders that exist now, those at work included."""
        return [*(self.root / "cache" / "tmp").glob("*"), *self.artifacts.leftovers()]

    def sweep(self) -> None:
        """Remove every temporary file; call it only while nothing is at work."""
        for path in self.leftovers():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def log_incident(self, error: BaseException) -> tuple[str, Path]:
        """Write the traceback of ``error`` to the log folder; return the incident id and file."""
        incident = secrets.token_hex(4)
        path = self.root / "logs" / f"incident-{incident}.txt"
        text = "".join(traceback.format_exception(error))
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.write_text(f"{now()} {acting.get()}\n{text}", encoding="utf-8")
        except OSError:  # the disk that made the error may refuse the log as well
            return incident, Path(os.devnull)
        return incident, path

    def _artifacts(self) -> Artifacts:
        url = self.settings.storage.artifacts
        url = url if "://" in url else str(self.root / url)
        hold, cache = Hold(self.root / "journal" / "objects.lock"), self.root / "cache" / "objects"
        if self.owns_artifacts:
            return Artifacts(url, cache, hold=hold)
        return Artifacts(
            url,
            cache,
            hold=hold,
            claim=lambda: claims.claim(depot(url), self.identity),
            note=self._note_object,
        )

    @property
    def owns_artifacts(self) -> bool:
        """Return whether the artefact store lies in this workspace, so that nobody shares it."""
        url = self.settings.storage.artifacts
        return "://" not in url and (self.root / url).resolve().is_relative_to(self.root.resolve())

    @property
    def objects_log(self) -> Path:
        """Return the file that lists what this workspace put into a store that others may use."""
        return self.root / "logs" / "objects.txt"

    def _note_object(self, key: str) -> None:
        self.objects_log.parent.mkdir(exist_ok=True, mode=0o700)
        with self.objects_log.open("a", encoding="ascii") as stream:
            stream.write(f"{key}\n")


def find_root(start: Path) -> Path | None:
    """Return the workspace at or above ``start``: a marked folder, or ``.paceml`` inside one."""
    for folder in (start, *start.parents):
        for root in (folder, folder / HIDDEN):
            if (root / settings.FILE).is_file():
                return root
    return None


def _refuse_network(folder: Path) -> None:
    kind = _file_system(folder)
    if kind in _NETWORK:
        raise InputError(
            f"{folder} is on a network file system ({kind}), whose locks the journal cannot trust.",
            "Use a local disk, or set storage.allow_network_file_system = true at your own risk.",
        )


def _file_system(folder: Path) -> str:
    """Return the type of the mount that holds ``folder``, from /proc; '' when unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    best, kind = "", ""
    resolved = folder.resolve()
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ")
        if len(point) >= len(best) and resolved.is_relative_to(point):
            best, kind = point, fields[2]
    return kind


def _write_whole(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
