"""A folder of MLflow's file store (``mlruns``), as every MLflow from 0.5 to 3 has written it.

::

    <experiment>/meta.yaml tags/ datasets/<id>/meta.yaml models/<model>/{meta.yaml,params,...}
    <experiment>/<run>/meta.yaml params/ metrics/ tags/ inputs/ outputs/ artifacts/
    .trash/<experiment>/...                    deleted experiments
    .trash/<run>/...                           runs that were set aside
    models/                                    the registry, which is not read here

Links are not followed, so that nothing outside the store is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_stack.stores.mlflow_stores import folders, glances, meta_yaml, metric_lines
from local_stack.stores.mlflow_stores.fields import (
    experiment_from,
    model_from,
    run_from,
    sentence,
    text,
)
from local_stack.stores.mlflow_stores.records import (
    DELETED,
    MOST_ARTIFACTS,
    HistoryRow,
    RunPlace,
    StoredExperiment,
    StoredModel,
    StoredRun,
    Tier,
    latest,
)

META: Final = glances.META
TRASH: Final = ".trash"
_RESERVED: Final = frozenset({"tags", "datasets", "traces", "models"})
_RUN_ID = re.compile("[0-9a-f]{32}")
_NUMBER = re.compile("[0-9]{1,40}")
N_META: Final = 3
N_FOLDERS: Final = 6
"""How many numbers of the signature ``files`` are those of ``meta`` and of ``folders``."""
_COARSEST_CLOCK_NS: Final = 2 * 10**9
"""How coarse the times of a file system may be."""
_WATCHED: Final = ("params", "metrics", "tags", "inputs", "outputs")


@dataclass(frozen=True, slots=True)
class FileStore:
    """The store in the folder ``root``; it can be sent to other processes."""

    root: Path

    def stamp(self) -> None:
        """Return None: no folder tells of what changes below it."""

    def experiments(self) -> list[StoredExperiment]:
        """Return every experiment, deleted ones too.

        Raises
        ------
        OSError
            The folder of the store is not there or cannot be listed.
        """
        return [
            self._experiment(name, path, is_deleted)
            for name, path, is_deleted in self.experiment_folders()
        ]

    def places(self) -> list[RunPlace]:
        """Return where every run lies, deleted and broken ones too.

        Raises
        ------
        OSError
            The folder of the store is not there or cannot be listed.
        """
        found = []
        for name, path, _ in self.experiment_folders():
            found += [
                RunPlace(folders.text_of(entry.name), folders.text_of(name), Path(entry.path))
                for entry in _subfolders(path)
                if entry.name not in _RESERVED and _is_run(entry)
            ]
        for entry in _subfolders(str(self.root / TRASH)):
            if _RUN_ID.fullmatch(entry.name):
                found.append(RunPlace(entry.name, "", Path(entry.path)))
        return found

    def signature(self, place: RunPlace, tier: Tier) -> tuple[int, ...]:
        """Return numbers that change when the run does; times in ns.

        ``meta`` looks at ``meta.yaml`` and for new tags, ``folders`` also for new params and
        metrics, ``files`` at every file (a value that was overwritten or appended to).
        """
        path = str(place.path)
        found = next(glances.metas([path]))
        if tier == "meta":
            return found
        found += tuple(folders.folder_time(path + name) for name in ("", "/params", "/metrics"))
        if tier == "folders":
            return found
        marks: list[str] = []
        newest = max(
            folders.deep_marks(f"{path}/{name}", marks) for name in (*_WATCHED, "artifacts")
        )
        listed = "\n".join(sorted(marks)).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(listed, digest_size=7).digest()
        return (*found, newest, int.from_bytes(digest, "big"))

    def listing(self) -> str | None:
        """Return a text that changes when a run or an experiment comes or goes.

        None when something changed so lately that the clock of the file system might not tell
        the next change from it.
        """
        marks = [("", folders.folder_time(str(self.root)))]
        marks.append((TRASH, folders.folder_time(str(self.root / TRASH))))
        marks += [(path, folders.folder_time(path)) for _, path, _ in self.experiment_folders()]
        return _mark([f"{path}\0{at}" for path, at in marks], max(at for _, at in marks))

    def description(self) -> str | None:
        """Return a text that changes when an experiment does, or a logged model comes or goes.

        None as in ``listing``.
        """
        marks: list[str] = []
        newest = 0
        for _, path, _ in self.experiment_folders():
            at, size = folders.marks(f"{path}/{META}")
            models = folders.folder_time(f"{path}/models")
            marks.append(f"{path}\0{at}\0{size}\0{models}")
            newest = max(newest, at, models, folders.deep_marks(f"{path}/tags", marks))
        return _mark(marks, newest)

    def read_all(self, places: Iterable[RunPlace]) -> Iterator[StoredRun]:
        """Yield the runs at ``places``, in order, as far as they can be read."""
        return map(self.read, places)

    def read(self, place: RunPlace) -> StoredRun:
        """Return the run at ``place``, as far as it can be read."""
        faults: list[str] = []
        is_deleted = place.path.parent.name == TRASH or place.path.parent.parent.name == TRASH
        try:
            with folders.folder(str(place.path)) as above:
                return self._run(place, above, is_deleted, faults)
        except OSError as error:
            return StoredRun(
                place.run_id,
                place.experiment_id,
                lifecycle=DELETED if is_deleted else "active",
                problem=sentence("run", [f"its folder cannot be read ({folders.why(error)})"]),
            )

    def models(self) -> list[StoredModel]:
        """Return every logged model (MLflow 3), deleted ones too."""
        found = []
        for name, path, is_deleted in self.experiment_folders():
            found += [
                _model(entry.path, entry.name, name, is_deleted)
                for entry in _subfolders(f"{path}/models")
            ]
        return found

    def _run(self, place: RunPlace, above: int, is_deleted: bool, faults: list[str]) -> StoredRun:
        meta = _meta(above, faults)
        history: list[HistoryRow] = []
        metrics: dict[str, float] = {}
        for key, data in folders.files("metrics", above, folders.MAX_LINES, faults):
            rows = metric_lines.parse(folders.text_of(key), data, faults)
            history += rows
            metrics |= latest(metric_lines.stepless(rows, data))
        folder = self._artifacts(place, text(meta.get("artifact_uri")))
        return run_from(
            place,
            meta,
            is_deleted=is_deleted,
            params=_texts("params", above, faults),
            tags=_texts("tags", above, faults),
            history=history,
            datasets=_datasets(place.path.parent, above, faults),
            models=_names("outputs", above),
            artifacts=folders.listing(folder, MOST_ARTIFACTS),
            artifact_folder=folder,
            faults=faults,
            metrics=metrics,
        )

    def _artifacts(self, place: RunPlace, uri: str) -> Path | None:
        """Return where a run's artefacts lie: in its own folder, also when the store was moved.

        MLflow makes that folder for every run; of one that keeps them elsewhere it stays empty.
        """
        own = place.path / "artifacts"
        tail = f"{place.path.parent.name}/{place.run_id}/artifacts"
        is_default = (folders.local_path(uri) or "").endswith(tail)
        if folders.folder_time(str(own)) and (is_default or folders.listing(own, 1)):
            return own
        return folders.inside(self.root, uri)

    def experiment_folders(self) -> Iterator[tuple[str, str, bool]]:
        """Yield name, path and whether it is deleted of every experiment's folder.

        Raises OSError when the store cannot be listed: it has not become empty then.
        """
        # The slash follows a link, which the root alone may be: whoever named it chose it.
        for entry in folders.subfolders(f"{self.root}/"):
            if entry.name not in (TRASH, "models") and _is_experiment(entry):
                yield entry.name, entry.path, False
        for entry in _subfolders(str(self.root / TRASH)):
            if not _RUN_ID.fullmatch(entry.name) and _is_experiment(entry):
                yield entry.name, entry.path, True

    def _experiment(self, name: str, path: str, is_deleted: bool) -> StoredExperiment:
        faults: list[str] = []
        meta: dict[str, Any] = {}
        tags: dict[str, str] = {}
        try:
            with folders.folder(path) as above:
                meta = _meta(above, faults)
                tags = _texts("tags", above, faults)
        except OSError as error:
            faults.append(f"its folder cannot be read ({folders.why(error)})")
        return experiment_from(folders.text_of(name), meta, tags, is_deleted, faults)


def _mark(lines: list[str], newest: int) -> str | None:
    """Return the digest of ``lines``; None when the newest time in them (ns) is as good as now."""
    if time.time_ns() - newest < _COARSEST_CLOCK_NS:
        return None
    text_of_all = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text_of_all, digest_size=16).hexdigest()


def _subfolders(path: str) -> list[os.DirEntry[str]]:
    try:
        return folders.subfolders(path)
    except OSError:
        return []


def _is_experiment(entry: os.DirEntry[str]) -> bool:
    """Return whether a folder of the store's root is an experiment, and be it a broken one."""
    if _NUMBER.fullmatch(entry.name) or entry.is_symlink():
        return True
    return os.path.lexists(f"{entry.path}/{META}") or any(
        _RUN_ID.fullmatch(below.name) for below in _subfolders(entry.path)
    )


def _is_run(entry: os.DirEntry[str]) -> bool:
    """Return whether a folder of an experiment is a run; other folders hold artefacts."""
    if _RUN_ID.fullmatch(entry.name):
        return True
    return not entry.is_symlink() and os.path.lexists(f"{entry.path}/{META}")


def _meta(above: int, faults: list[str]) -> dict[str, Any]:
    try:
        return meta_yaml.parse(folders.read(META, above, meta_yaml.MAX_BYTES))
    except FileNotFoundError:
        faults.append(f"{META} is missing")
    except OSError as error:
        faults.append(f"{META} cannot be read ({folders.why(error)})")
    except ValueError as error:
        faults.append(f"{META} {error}")
    return {}


def _texts(name: str, above: int, faults: list[str]) -> dict[str, str]:
    """Return the keys and texts of the files below ``params`` or ``tags``."""
    return {
        folders.text_of(key): folders.decoded(data, f"{name}/{key}", faults)
        for key, data in folders.files(name, above, folders.MAX_TEXT, faults)
    }


def _names(name: str, above: int) -> list[str]:
    try:
        with folders.folder(name, above) as descriptor:
            return [folders.text_of(entry.name) for entry in folders.subfolders(descriptor)]
    except OSError:
        return []


def _datasets(experiment: Path, above: int, faults: list[str]) -> list[dict[str, str]]:
    """Return the datasets that a run took in; their descriptions lie in the experiment."""
    found = []
    for key, data in sorted(folders.files("inputs", above, folders.MAX_TEXT, faults)):
        if not key.endswith(f"/{META}"):
            continue
        try:
            taken = meta_yaml.parse(data)
            identity = text(taken.get("source_id"))
            if taken.get("source_type") == "DATASET":
                found.append(_dataset(experiment, identity) | _context(taken.get("tags")))
        except (OSError, ValueError):
            faults.append(f"the dataset of inputs/{folders.text_of(key)} cannot be read")
    return found


def _dataset(experiment: Path, identity: str) -> dict[str, str]:
    if not re.fullmatch("[0-9a-zA-Z_-]{1,64}", identity):
        raise ValueError(identity)
    with (
        folders.folder(str(experiment / "datasets")) as above,
        folders.folder(identity, above) as place,
    ):
        meta = meta_yaml.parse(folders.read(META, place, meta_yaml.MAX_BYTES))
    return {key: text(meta.get(key)) for key in ("name", "digest", "source_type", "source")}


def _context(tags: object) -> dict[str, str]:
    return {"context": text(tags.get("mlflow.data.context")) if isinstance(tags, dict) else ""}


def _model(path: str, name: str, experiment_id: str, is_deleted: bool) -> StoredModel:
    faults: list[str] = []
    meta: dict[str, Any] = {}
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    history: list[HistoryRow] = []
    try:
        with folders.folder(path) as above:
            meta = _meta(above, faults)
            params, tags = _texts("params", above, faults), _texts("tags", above, faults)
            for key, data in folders.files("metrics", above, folders.MAX_LINES, faults):
                history += metric_lines.parse(folders.text_of(key), data, faults)
    except OSError as error:
        faults.append(f"its folder cannot be read ({folders.why(error)})")
    return model_from(
        folders.text_of(name),
        folders.text_of(experiment_id),
        meta,
        is_deleted=is_deleted,
        params=params,
        tags=tags,
        history=history,
        faults=faults,
    )
