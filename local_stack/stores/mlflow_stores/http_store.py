"""A tracking server, asked through MLflow's REST interface.

A server does not tell what has changed, so a look asks for what is likely to have (runs that
began or ended lately, and those at work) and for the others in turn, by when they began. When
very many runs are new, their artefacts are listed later, some with each look.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

from local_stack.stores.mlflow_stores.fields import (
    experiment_from,
    milliseconds,
    model_from,
    run_from,
    text,
)
from local_stack.stores.mlflow_stores.http_api import Answer, RefusedRequestError, Server, listed
from local_stack.stores.mlflow_stores.records import (
    MOST_ARTIFACTS,
    Changes,
    HistoryRow,
    Known,
    RunPlace,
    StoredExperiment,
    StoredModel,
    StoredRun,
    Tier,
    UnreadableError,
)

_PAGE: Final = 250
"""Runs and experiments in one answer: MLflow takes its time for a longer one."""
_EXPERIMENTS: Final = 100
"""Experiments named in one question."""
_MODELS: Final = 100
_LATELY_MS: Final = 600_000
"""How far clocks of machines that log may differ."""
_WINDOW: Final = 250
"""Runs that are looked at again in one turn."""
_THREADS: Final = 8
_AHEAD: Final = 64
"""Runs that are asked for at once."""
_MOST_KEPT: Final = 20_000
"""Runs whose answers are kept until they are read; others are asked for again."""
_AT_ONCE: Final = 200
"""Runs whose artefacts are listed at once, which takes a question a run."""
_LATER: Final = 50
"""Runs whose artefacts are listed with each look, when they were not before."""
_UNLISTED: Final = (0,)
"""The signature of a run whose artefacts are still to be listed."""
_MOST_FOLDERS: Final = 50
"""Folders of a run's artefacts that are listed: each is a question of its own."""
_BULK: Final = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_LONGEST_BULK: Final = 25_000
"""Values in the longest answer to it."""
_CONTEXT: Final = "mlflow.data.context"


class HttpStore:
    """The store behind the tracking server at ``uri``."""

    def __init__(self, uri: str) -> None:
        self._server = Server(uri)
        self._path = Path(str(self._server))
        self._experiments: list[Answer] | None = None
        self._signs: dict[str, int] = {}
        self._runs: dict[str, Answer] = {}
        self._has_bulk = True
        self._unlisted: set[str] = set()

    def stamp(self) -> None:
        """Return None: a server does not tell that nothing has changed."""

    def experiments(self) -> list[StoredExperiment]:
        """Return every experiment, deleted ones too."""
        return [
            experiment_from(key, found, _pairs(found.get("tags")), is_deleted=False, faults=[])
            for found in self._asked_experiments()
            if (key := text(found.get("experiment_id")))
        ]

    def places(self) -> list[RunPlace]:
        """Return every run, deleted ones too."""
        return list(self._search(""))

    def changes(self, known: Mapping[str, Known], cursor: int, seconds: float | None) -> Changes:
        """Compare the store with what is ``known``; without ``seconds`` look at every run.

        ``cursor`` says whose turn it is; as many take their turn as ``seconds`` allow, and
        ``_WINDOW`` runs at least.
        """
        if not known or seconds is None:
            found = {place.run_id: place for place in self.places()}
            changes = self._told(found, known, known.keys() - found.keys(), 0, is_whole=True)
            if seconds is not None:
                self._unlisted = {place.run_id for place in changes.changed[_AT_ONCE:]}
            return changes
        deadline = time.monotonic() + seconds
        try:
            found = self._lately(known)
            order = sorted(
                (run for run in known.values() if run.started_ms is not None),
                key=lambda run: (run.started_ms, run.run_id),
            )
            gone: set[str] = set()
            for _ in range(0, len(order), _WINDOW):
                cursor = cursor if cursor < len(order) else 0
                window = order[cursor : cursor + _WINDOW]
                cursor += len(window)
                first, last = window[0].started_ms, window[-1].started_ms
                there = self._search(
                    f"attributes.start_time >= {first} AND attributes.start_time <= {last}"
                )
                seen = {place.run_id: place for place in there}
                gone |= {run.run_id for run in window} - seen.keys()
                found |= seen
                if time.monotonic() > deadline:
                    break
        except RefusedRequestError:  # MLflow before 1.20 does not know these filters
            found = {place.run_id: place for place in self.places()}
            gone, cursor = known.keys() - found.keys(), 0
        return self._told(found, known, gone - found.keys(), cursor)

    def signature(self, place: RunPlace, tier: Tier) -> tuple[int, ...]:
        """Return a number that changes with the run; one look serves every tier."""
        if place.run_id not in self._signs:
            self._asked_run(place)
        if place.run_id in self._unlisted:
            return _UNLISTED
        return (self._signs.get(place.run_id, 0),)

    def read_all(self, places: Iterable[RunPlace]) -> Iterator[StoredRun]:
        """Yield the runs at ``places``, in order, as far as they can be read."""
        waiting = iter(places)
        with ThreadPoolExecutor(_THREADS) as threads:
            while batch := list(islice(waiting, _AHEAD)):
                runs = list(threads.map(self._taken, batch))
                histories = self._histories(runs, threads)
                yield from threads.map(self._read, batch, runs, [histories] * len(batch))

    def models(self) -> list[StoredModel]:
        """Return every logged model (MLflow 3); none of a server that knows none."""
        ids = [text(found.get("experiment_id")) for found in self._asked_experiments()]
        found: list[StoredModel] = []
        try:
            for start in range(0, len(ids), _EXPERIMENTS):
                asked = {
                    "experiment_ids": ids[start : start + _EXPERIMENTS],
                    "max_results": _MODELS,
                }
                for page in self._server.pages("logged-models/search", asked, "models"):
                    found += map(_model, page)
        except RefusedRequestError:
            return []
        return found

    def _asked_experiments(self) -> list[Answer]:
        if self._experiments is None:
            asked = {"max_results": _PAGE, "view_type": "ALL"}
            pages = self._server.pages("experiments/search", asked, "experiments")
            try:
                self._experiments = [found for page in pages for found in page]
            except RefusedRequestError:  # MLflow before 1.28
                answer = self._server.get("experiments/list", view_type="ALL")
                self._experiments = listed(answer, "experiments")
        return self._experiments

    def _lately(self, known: Mapping[str, Known]) -> dict[str, RunPlace]:
        """Return the runs that are at work, or began or ended after what is known."""
        newest = max((run.started_ms or 0 for run in known.values()), default=0) - _LATELY_MS
        found: dict[str, RunPlace] = {}
        for question in (
            f"attributes.start_time > {newest}",
            "attributes.status = 'RUNNING'",
            f"attributes.end_time > {newest}",
        ):
            found |= {place.run_id: place for place in self._search(question)}
        return found

    def _search(self, question: str) -> Iterator[RunPlace]:
        """Yield the runs that ``question`` finds, and keep their answers."""
        ids = [text(found.get("experiment_id")) for found in self._asked_experiments()]
        for start in range(0, len(ids), _EXPERIMENTS):
            asked = {
                "experiment_ids": ids[start : start + _EXPERIMENTS],
                "filter": question,
                "run_view_type": "ALL",
                "max_results": _PAGE,
                "order_by": ["attributes.start_time ASC"],
            }
            for page in self._server.pages("runs/search", asked, "runs"):
                yield from filter(None, map(self._kept, page))

    def _kept(self, run: Answer) -> RunPlace | None:
        run_id = _run_id(run)
        if not run_id:
            return None
        self._signs[run_id] = _sign(run)
        if len(self._runs) < _MOST_KEPT:
            self._runs[run_id] = run
        return RunPlace(run_id, text(_part(run, "info").get("experiment_id")), self._path)

    def _told(
        self,
        found: Mapping[str, RunPlace],
        known: Mapping[str, Known],
        gone: Iterable[str],
        cursor: int,
        *,
        is_whole: bool = False,
    ) -> Changes:
        changed, later = [], []
        for run, place in sorted(found.items()):
            sign = known[run].sign if run in known else None
            if sign == hash(_UNLISTED):
                later.append(place)
            elif sign != hash(self.signature(place, "files")):
                changed.append(place)
        changed += later if is_whole else later[:_LATER]
        return Changes(tuple(changed), frozenset(gone), cursor)

    def _asked_run(self, place: RunPlace) -> Answer:
        if place.run_id not in self._runs:
            try:
                run = _part(self._server.get("runs/get", run_id=place.run_id), "run")
            except RefusedRequestError:
                return {}
            self._kept(run)
            return run
        return self._runs[place.run_id]

    def _taken(self, place: RunPlace) -> Answer:
        run = self._asked_run(place)
        self._runs.pop(place.run_id, None)
        return run

    def _histories(
        self, runs: Iterable[Answer], threads: ThreadPoolExecutor
    ) -> dict[tuple[str, str], list[HistoryRow]]:
        """Return the histories of many runs by run and key, as far as the server gives them so.

        That is how the server's own pages ask, with one question a key; an answer that is as long
        as answers may be, may be cut.
        """
        wanted: dict[str, list[str]] = {}
        for run in runs:
            for one in listed(_part(run, "data"), "metrics"):
                wanted.setdefault(text(one.get("key")), []).append(_run_id(run))

        def ask(key: str) -> list[Answer]:
            asked = {"run_id": wanted[key], "metric_key": key}
            try:
                return listed(self._server.get(_BULK, **asked), "metrics")
            except (RefusedRequestError, UnreadableError):
                self._has_bulk = False
                return []

        found: dict[tuple[str, str], list[HistoryRow]] = {}
        keys = [key for key in wanted if len(wanted[key]) > 1] if self._has_bulk else []
        for key, values in zip(keys, threads.map(ask, keys), strict=True):
            if 0 < len(values) < _LONGEST_BULK:
                for one in values:
                    found.setdefault((text(one.get("run_id")), key), []).append(_value(key, one))
        return found

    def _read(
        self, place: RunPlace, run: Answer, histories: Mapping[tuple[str, str], list[HistoryRow]]
    ) -> StoredRun:
        faults: list[str] = []
        if not run:
            faults.append("the server does not give it")
        is_later = place.run_id in self._unlisted
        info, data = _part(run, "info"), _part(run, "data")
        values = listed(data, "metrics")
        history: list[HistoryRow] = []
        for key in sorted({text(one.get("key")) for one in values}):
            known = histories.get((place.run_id, key))
            history += self._history(place, key, faults) if known is None else known
        newest = {text(one.get("key")): _number(one.get("value")) for one in values}
        return run_from(
            place,
            info | {"run_id": place.run_id} if run else {},
            is_deleted=False,
            params=_pairs(data.get("params")),
            tags=_pairs(data.get("tags")),
            history=history,
            datasets=[_dataset(one) for one in listed(_part(run, "inputs"), "dataset_inputs")],
            models=[
                text(one.get("model_id")) for one in listed(_part(run, "outputs"), "model_outputs")
            ],
            artifacts=self._artifacts(place) if run and not is_later else [],
            artifact_folder=None,
            faults=faults,
            metrics=newest,
        )

    def _history(self, place: RunPlace, key: str, faults: list[str]) -> list[HistoryRow]:
        found: list[HistoryRow] = []
        token = ""
        while True:
            try:
                page = self._server.get(
                    "metrics/get-history",
                    run_id=place.run_id,
                    metric_key=key,
                    **({"page_token": token} if token else {}),
                )
            except RefusedRequestError as error:
                faults.append(f"the history of metrics/{key} cannot be read ({error})")
                return found
            found += [_value(key, one) for one in listed(page, "metrics")]
            before, token = token, text(page.get("next_page_token"))
            if not token or token == before:
                return found

    def _artifacts(self, place: RunPlace) -> list[tuple[str, int]]:
        """Return paths and sizes, as far as the server can list what may lie elsewhere."""
        found: list[tuple[str, int]] = []
        folders = [""]
        for _ in range(_MOST_FOLDERS):
            if not folders or len(found) >= MOST_ARTIFACTS:
                break
            path = folders.pop()
            asked = {"run_id": place.run_id, **({"path": path} if path else {})}
            try:
                answer = self._server.get("artifacts/list", **asked)
            except RefusedRequestError:
                continue
            for one in listed(answer, "files"):
                name = text(one.get("path"))
                if one.get("is_dir"):
                    folders.append(name)
                else:
                    found.append((name, milliseconds(one.get("file_size")) or 0))
        return sorted(found)[:MOST_ARTIFACTS]


def _part(answer: Mapping[str, Any], name: str) -> Answer:
    found = answer.get(name)
    return found if isinstance(found, dict) else {}


def _run_id(run: Answer) -> str:
    info = _part(run, "info")
    return text(info.get("run_id")) or text(info.get("run_uuid"))


def _pairs(found: object) -> dict[str, str]:
    """Return keys and texts of a list of entries."""
    entries = listed({"": found}, "")
    return {text(one.get("key")): text(one.get("value")) for one in entries}


def _number(value: object) -> float:
    """Return a metric's value; JSON has no word for NaN, which is a text then."""
    try:
        return float(text(value) or "nan")
    except ValueError:
        return math.nan


def _value(key: str, one: Mapping[str, Any]) -> HistoryRow:
    at, step = milliseconds(one.get("timestamp")) or 0, milliseconds(one.get("step")) or 0
    return key, step, at, _number(one.get("value"))


def _dataset(one: Mapping[str, Any]) -> dict[str, str]:
    found = _part(one, "dataset")
    names = ("name", "digest", "source_type", "source")
    context = _pairs(one.get("tags")).get(_CONTEXT, "")
    return {name: text(found.get(name)) for name in names} | {"context": context}


def _model(found: Answer) -> StoredModel:
    info, data = _part(found, "info"), _part(found, "data")
    status = text(info.get("status")).removeprefix("LOGGED_MODEL_")
    history = [_value(text(one.get("key")), one) for one in listed(data, "metrics")]
    return model_from(
        text(info.get("model_id")),
        text(info.get("experiment_id")),
        {
            "name": info.get("name"),
            "status": status.removeprefix("STATUS_").removeprefix("UPLOAD_"),
            "source_run_id": info.get("source_run_id"),
            "artifact_location": info.get("artifact_uri"),
            "creation_timestamp": info.get("creation_timestamp_ms"),
            "last_updated_timestamp": info.get("last_updated_timestamp_ms"),
        },
        is_deleted=False,
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        history=history,
        faults=[],
    )


def _sign(run: Answer) -> int:
    """Return a number that changes with what a search tells of a run, in whatever order."""
    data = _part(run, "data")
    parts: Sequence[Any] = (
        _part(run, "info"),
        *(
            sorted(json.dumps(one, sort_keys=True) for one in listed(data, name))
            for name in sorted(data)
        ),
        *(_part(run, name) for name in ("inputs", "outputs")),
    )
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big") % 2**60
