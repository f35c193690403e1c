"""What the serving tests share: real models in a real registry, and sockets of their own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import serving
from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.results import now
from local_stack.serving import Endpoint
from local_stack.stores import model_files
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

WINE = (
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
)


def shared_data() -> Path:
    """Return the folder of shared data, or skip the test."""
    here = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("PACEML_SHARED_DATA", here.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} with the shared data is not there")
    return folder


def prepared(columns: tuple[Column, ...], *, accepts_missing: bool = False) -> Preparation:
    """Return the preparation that hands numeric columns on as they are."""
    features = tuple(Feature(column.name, column.name) for column in columns)
    return Preparation(columns, features, accepts_missing)


@functools.cache
def ab(scale: float = 1.0):
    """Return a booster fitted on ``scale * (a + 10 b)``, which takes no missing values."""
    import lightgbm
    import numpy as np

    a, b = (part.ravel() for part in np.meshgrid(np.arange(20.0), np.arange(10.0)))
    data = lightgbm.Dataset(np.column_stack([a, b]), scale * (a + 10 * b), feature_name=["a", "b"])
    settings = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2, "seed": 1}
    booster = lightgbm.train(settings, data, num_boost_round=20)
    columns = (Column("a", "double"), Column("b", "long"))
    return model_files.from_booster(booster, prepared(columns), task="regression", target="y")


def expected(scale: float, *rows: tuple[float, int]) -> list[float]:
    """Return what the model ``ab(scale)`` itself says of rows (a, b)."""
    columns = {"a": [float(a) for a, _ in rows], "b": [b for _, b in rows]}
    return ab(scale).predict(columns)


def register(workspace: Workspace, name: str, *models, stage: str = "Production") -> None:
    """Store ``models`` as the versions 1, 2, ... of ``name``, the last one in ``stage``."""
    for version, model in enumerate(models, start=1):
        with workspace.scratch() as folder:
            model_files.save(model, Path(folder), run_id=f"run{version}")
            tree = workspace.artifacts.put_tree(Path(folder))
        row = {
            "name": name,
            "version": version,
            "stage": stage if version == len(models) else "Archived",
            "run_id": f"run{version}",
            "model": tree.to_dict(),
            "actor": "tester",
            "created_at": now(),
            "updated_at": now(),
        }
        head = {
            "name": name,
            "latest": version,
            "description": "",
            "created_at": now(),
            "updated_at": now(),
        }
        changes = [("models", head), ("model_versions", row)]
        draft = Draft("registry.registered", f"model:{name}", {}, changes)
        workspace.append(lambda _, draft=draft: draft)


@contextlib.contextmanager
def running(workspace: Workspace, target: str, **options) -> Iterator[Endpoint]:
    """Start an endpoint and stop it afterwards."""
    endpoint = serving.start(workspace, target, **options)
    try:
        yield endpoint
    finally:
        serving.stop(workspace, endpoint.endpoint)


def raw(endpoint: Endpoint, data: bytes, *, seconds: float = 10) -> bytes:
    """Send bytes as they are and return everything the server answers until it closes."""
    assert endpoint.url is not None
    port = int(endpoint.url.rpartition(":")[2])
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def post(body: bytes, content_type: bytes | None = b"application/json") -> bytes:
    """Return the bytes of a POST to /invocations that closes its connection."""
    head = [b"POST /invocations HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close"]
    if content_type is not None:
        head.append(b"Content-Type: " + content_type)
    head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def status_of(answer: bytes) -> int:
    """Return the status in a raw answer, after checking that an error is JSON of ours."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status >= 400:
        assert {"error_code", "message"} <= json.loads(body).keys()
    return status
