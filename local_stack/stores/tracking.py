"""Tracking: our runs and registry mirrored into MLflow, so that every MLflow client reads them.

The journal is the truth; what stands here can be written again. MLflow's file store gives two
processes the same number and leaves empty files when killed, so one lock is held while
something is made. This is the only module that talks to an MLflow store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from local_stack import environment
from local_stack.errors import StackError, UnavailableError
from local_stack.results import Result
from local_stack.stores.mlflow_stores.folders import local_path
from local_stack.stores.places import redacted, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

ORIGIN_TAG = "paceml.workspace"
VERSION_TAG = "paceml.version"
_MOST_IN_BATCH = 100
_MOST_METRICS = 1000
_LONGEST_PARAM = 6000
_WAIT_SECONDS = 60.0
TRASH: Final = ".trash"
_RUN_ID = re.compile("[0-9a-f]{32}")


Edit = tuple[Mapping[str, str | None], str | None]
"""Tags (None: take it away) and lifecycle (None: as it is) that a run is to have."""


@dataclass(frozen=True, slots=True)
class Opened(Result):
    """A run that MLflow has begun: its id, its experiment and where its artifacts go."""

    run_id: str
    experiment_id: str
    artifact_uri: str


@dataclass(frozen=True, slots=True)
class Mirrored(Result):
    """A registered version of ours, as the mirror needs it."""

    version: int
    stage: str
    run_id: str


class Tracking:
    """The MLflow store at ``uri``, written on behalf of the workspace ``identity``."""

    def __init__(self, uri: str, lock: Path, identity: str) -> None:
        self.uri = uri
        self._lock = lock
        self._identity = identity
        self._made: MlflowClient | None = None

    def begin_run(
        self,
        experiment: str,
        name: str,
        actor: str,
        source: str,
        tags: Mapping[str, str] | None = None,
    ) -> Opened:
        """Begin a run named ``name`` in ``experiment``; both are made as needed."""
        with self._writing() as client:
            found = client.get_experiment_by_name(experiment)
            experiment_id = found.experiment_id if found else client.create_experiment(experiment)
            run = self._create(client, experiment_id, name, actor, source, tags or {})
            return Opened(run.info.run_id, experiment_id, run.info.artifact_uri)

    def begin_again(
        self,
        opened: Opened,
        name: str,
        actor: str,
        source: str,
        tags: Mapping[str, str],
        started_at: datetime,
    ) -> None:
        """Begin a run anew, under its id, of which :meth:`mend` says that too little is left."""
        root = self._root()
        assert root is not None
        with self._writing() as client:
            run = self._create(client, opened.experiment_id, name, actor, source, tags, started_at)
            made, trash = root / opened.experiment_id / run.info.run_id, root / TRASH
            trash.mkdir(exist_ok=True)
            aside = made.rename(trash / made.name)  # nobody sees it half-way
            meta = aside / "meta.yaml"
            text = meta.read_text("utf-8").replace(run.info.run_id, opened.run_id)
            meta.write_text(text, "utf-8")
            aside.rename(made.with_name(opened.run_id))

    def _create(
        self,
        client: MlflowClient,
        experiment_id: str,
        name: str,
        actor: str,
        source: str,
        tags: Mapping[str, str],
        started_at: datetime | None = None,
    ) -> Run:
        return client.create_run(
            experiment_id,
            run_name=name,
            start_time=None if started_at is None else round(started_at.timestamp() * 1000),
            tags={
                ORIGIN_TAG: self._identity,
                "mlflow.user": actor,
                "mlflow.source.name": source,
                "mlflow.source.type": "LOCAL",
                **tags,
            },
        )

    def log_run(
        self,
        run_id: str,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        datasets: Sequence[Mapping[str, str]],
        histories: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        """Log everything that a run found out.

        Parameters
        ----------
        datasets
            Name, digest and context of each.
        histories
            Steps and values of metrics over steps; what stands there already is left as it is.
        """
        from mlflow import entities

        at = _milliseconds()
        values = [entities.Metric(key, value, at, 0) for key, value in metrics.items()]
        with self._writing() as client:
            for key, points in (histories or {}).items():
                there = {metric.step for metric in client.get_metric_history(run_id, key)}
                new = [entities.Metric(key, v, at, step) for step, v in points if step not in there]
                for start in range(0, len(new), _MOST_METRICS):
                    client.log_batch(run_id, metrics=new[start : start + _MOST_METRICS])
            for batch in _batches([(k, v[:_LONGEST_PARAM]) for k, v in params.items()]):
                client.log_batch(run_id, params=[entities.Param(*pair) for pair in batch])
            client.log_batch(
                run_id, metrics=values, tags=[entities.RunTag(k, v) for k, v in tags.items()]
            )
            client.log_inputs(run_id, datasets=[_dataset_input(entry) for entry in datasets])

    def log_artifacts(
        self,
        run_id: str,
        folder: Path,
        path: str = "",
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Copy the files of ``folder`` below the run's artifacts, under ``path``.

        In a copy of a store MLflow would write into the original, whose place it keeps.
        ``is_wanted`` is asked while nobody else writes.
        """
        with self._writing() as client:
            if not is_wanted():
                return
            home = self._copied(client.get_run(run_id))
            if home is None:
                client.log_artifacts(run_id, str(folder), path or None)
            else:
                shutil.copytree(folder, home / path, dirs_exist_ok=True)

    def end_run(self, run_id: str, status: str) -> None:
        """Set the run's status: FINISHED, FAILED or KILLED."""
        with self._writing() as client:
            client.set_terminated(run_id, status)

    def edit_runs(self, wanted: Callable[[], Mapping[str, Edit]]) -> dict[str, str]:
        """Bring runs to the tags and the lifecycle that ``wanted`` tells by run id.

        It is asked while nobody else writes, so that the newest edit is the last one written.
        Return a sentence for each run that the store did not take. Telling it twice is harmless.
        """
        problems: dict[str, str] = {}
        with self._writing() as client:
            for run_id, edit in wanted().items():
                try:
                    self._complete(run_id)
                    _edit_run(client, run_id, *edit)
                except Exception as error:
                    if not self.uri.startswith("file:") and not _is_of_run(error):
                        raise  # a server that is down would be asked for every run
                    problems[run_id] = str(_not_taken(self.uri, error))
        return problems

    def unfinished(self) -> list[str]:
        """Return the ids of this workspace's runs that MLflow still shows as RUNNING."""
        with self._writing() as client:
            return [
                run.info.run_id
                for run in self._search(client)
                if run.info.status == "RUNNING" and run.data.tags.get(ORIGIN_TAG) == self._identity
            ]

    def torn(self, experiment_id: str | None = None, since: datetime | None = None) -> list[str]:
        """Return the ids of runs whose files a killed writer left so that MLflow cannot read them.

        One of them is enough to break every search of its experiment by every MLflow client.

        Parameters
        ----------
        experiment_id, since
            Only runs of this experiment, and that were written after this moment.
        """
        with self._writing() as client:
            try:
                self._search_at_once(client)
            except Exception:  # noqa: BLE001 - whatever a torn file makes of MLflow's code
                return [
                    path.name
                    for path in self._folders()
                    if experiment_id in (None, path.parent.name)
                    and (since is None or path.stat().st_mtime >= since.timestamp())
                    and _read(client, path.name) is None
                ]
            return []

    def unreadable(self, runs: Collection[str]) -> list[str]:
        """Return those of ``runs``, which were all begun here, that MLflow cannot read or has lost.

        Of a store that is no folder nothing is told.
        """
        if self._root() is None:
            return []
        with self._writing() as client:
            listed = {run.info.run_id for run in self._search(client)}
            return [run for run in runs if run not in listed and _read(client, run) is None]

    def mend(self, run_id: str) -> bool:
        """Take away what a killed writer left half-written of a run's metrics and params.

        Return whether the run can be read now; else it is set aside, in ``.trash``. A store that
        is no folder tears nothing.
        """
        if self._root() is None:
            return True
        with self._writing() as client:
            folder = next((path for path in self._folders() if path.name == run_id), None)
            if folder is None:
                return False
            for path in (folder / "metrics").glob("*"):
                data = path.read_bytes()
                path.write_bytes(data[: data.rfind(b"\n") + 1])
            for path in (*(folder / "metrics").glob("*"), *(folder / "params").glob("*")):
                if not path.stat().st_size:
                    path.unlink()
            if _read(client, run_id) is not None:
                return True
            trash = folder.parents[1] / TRASH / run_id
            trash.parent.mkdir(exist_ok=True)
            shutil.rmtree(trash, ignore_errors=True)  # it was set aside before
            folder.rename(trash)
            return False

    def _search(self, client: MlflowClient) -> Sequence[Run]:
        """Return every active run that can be read."""
        try:
            return self._search_at_once(client)
        except Exception:  # noqa: BLE001 - whatever a torn file makes of MLflow's code
            found = [_read(client, path.name) for path in self._folders()]
            return [run for run in found if run is not None]

    def _search_at_once(self, client: MlflowClient) -> Sequence[Run]:
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        text = f"tags.`{ORIGIN_TAG}` = '{self._identity}'"
        if not ids:
            return []
        page = client.search_runs(ids, text)
        found = list(page)
        while page.token:
            page = client.search_runs(ids, text, page_token=page.token)
            found += page
        return found

    def _folders(self) -> list[Path]:
        """Return the folders of the runs, when the store is a folder."""
        root = self._root()
        found = root.glob("[0-9]*/*") if root else ()
        return [path for path in found if _RUN_ID.fullmatch(path.name)]

    def _root(self) -> Path | None:
        if not self.uri.startswith("file:"):
            return None
        return Path(unquote(urlsplit(self.uri).path))

    def _copied(self, run: Run) -> Path | None:
        """Return where artefacts lie in this store, if the run says they lie in its original."""
        root, said = self._root(), local_path(run.info.artifact_uri)
        if root is None or said is None:
            return None
        place = (root.name, run.info.experiment_id, run.info.run_id, "artifacts")
        home = root.parent.joinpath(*place)
        return home if said != str(home) and said.endswith("/" + "/".join(place)) else None

    def _complete(self, run_id: str) -> None:
        """Make the empty folders of a run again that git and archives leave out.

        MLflow finds a run without them when it searches, but not when it is asked for it.
        """
        root = self._root()
        if root is None or not _RUN_ID.fullmatch(run_id):
            return
        for folder in root.glob(f"*/{run_id}"):
            if (folder / "meta.yaml").is_file():
                for name in ("metrics", "params", "tags", "artifacts"):
                    (folder / name).mkdir(exist_ok=True)

    def mirror_model(self, name: str, versions: Sequence[Mirrored]) -> None:
        """Bring MLflow's registered model ``name`` in step: versions, stages and aliases."""
        from mlflow.exceptions import MlflowException

        with self._writing() as client:
            with contextlib.suppress(MlflowException):  # it exists
                client.create_registered_model(name)
            known = {int(v.version): v for v in client.search_model_versions(_named(name))}
            for version in sorted(versions, key=lambda v: v.version):
                entry = known.get(version.version)
                if entry is None:
                    source = f"{client.get_run(version.run_id).info.artifact_uri}/model"
                    entry = client.create_model_version(
                        name,
                        source,
                        version.run_id,
                        tags={VERSION_TAG: str(version.version)},
                        await_creation_for=0,
                    )
                if entry.current_stage != version.stage:
                    client.transition_model_version_stage(name, str(entry.version), version.stage)
            self._mirror_aliases(client, name, versions)

    def _mirror_aliases(
        self, client: MlflowClient, name: str, versions: Sequence[Mirrored]
    ) -> None:
        held = dict(client.get_registered_model(name).aliases)
        for stage in ("Staging", "Production"):
            alias = stage.lower()
            wanted = next((str(v.version) for v in versions if v.stage == stage), None)
            if wanted is None and alias in held:
                client.delete_registered_model_alias(name, alias)
            elif wanted is not None and str(held.get(alias)) != wanted:
                client.set_registered_model_alias(name, alias, wanted)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """Hold the lock, and turn what MLflow raises into a sentence with its cause."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(descriptor)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # stages and file stores are deprecated upstream
                yield self._client()
        except StackError:
            raise
        except Exception as error:
            raise _not_taken(self.uri, error) from error
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise UnavailableError(
                        f"Another process has kept MLflow's store for {_WAIT_SECONDS:g} s.",
                        f"Look for the process that holds {self._lock}, then call again.",
                    ) from None
                time.sleep(0.01)

    def _client(self) -> MlflowClient:
        if self._made is None:
            environment.prepare()
            import mlflow

            # Both are set, else MLflow puts a stray mlflow.db into the working directory.
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            self._made = mlflow.MlflowClient(self.uri, self.uri)
        return self._made


def _not_taken(uri: str, error: Exception) -> UnavailableError:
    told = f"did not take the record: {without_secrets(uri, str(error)).rstrip('.')}"
    causes = [one for one in _causes(error) if isinstance(one, OSError)]
    if uri.startswith("http") and causes:
        told = f"does not answer ({causes[-1].strerror or 'not in time'})"
    return UnavailableError(
        f"MLflow at {redacted(uri)} {told}.",
        "PACE-ML's own record stands; 'paceml-tui doctor --repair' writes it again.",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _edit_run(
    client: MlflowClient, run_id: str, tags: Mapping[str, str | None], lifecycle: str | None
) -> None:
    """Edit a run; MLflow takes tags only of one that is active."""
    run = client.get_run(run_id)
    is_active = run.info.lifecycle_stage == "active"
    if lifecycle == "active" and not is_active:
        client.restore_run(run_id)
    for key, value in tags.items():
        if value is None and key in run.data.tags:
            client.delete_tag(run_id, key)
        elif value is not None and run.data.tags.get(key) != value:
            client.set_tag(run_id, key, value)
    if lifecycle == "deleted" and is_active:
        client.delete_run(run_id)


def _is_of_run(error: Exception) -> bool:
    """Return whether MLflow refused this one run, so that it may take the next."""
    code = getattr(error, "error_code", None)
    return code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")


def _read(client: MlflowClient, run_id: str) -> Run | None:
    try:
        return client.get_run(run_id)
    except Exception:  # noqa: BLE001 - whatever a torn file makes of MLflow's code
        return None


def _dataset_input(entry: Mapping[str, str]) -> DatasetInput:
    from mlflow import entities

    dataset = entities.Dataset(
        name=entry["name"], digest=entry["digest"], source_type="local", source=entry["digest"]
    )
    tags = [entities.InputTag("mlflow.data.context", entry["context"])]
    return entities.DatasetInput(dataset, tags)


def _batches(
    items: Sequence[tuple[str, str]],
) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(items), _MOST_IN_BATCH):
        yield items[start : start + _MOST_IN_BATCH]


def _named(name: str) -> str:
    escaped = name.replace("'", "''")
    return f"name='{escaped}'"


def _milliseconds() -> int:
    return int(time.time() * 1000)
