"""A real Dask scheduler and two worker processes, over TCP on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def dask(*words: str, env: dict[str, str], folder):
    command = [sys.executable, "-m", "dask", *words]
    with (folder / f"{words[0]}.log").open("a") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=env, cwd=folder, start_new_session=True
        )


@pytest.fixture
def cluster(tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    tests = Path(__file__).parent / "engine"
    env = {
        **os.environ,
        "PYTHONPATH": ":".join(map(str, (tests.parent.parent, tests.parent, tests))),
    }
    host = ("--host", "127.0.0.1", "--no-dashboard")
    port = address.rpartition(":")[2]
    scheduler = dask("scheduler", *host, "--port", port, env=env, folder=tmp_path)
    plain = ("--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1")
    workers = [dask("worker", address, *plain, env=env, folder=tmp_path) for _ in range(2)]
    import distributed

    with distributed.Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield SimpleNamespace(address=address, scheduler=scheduler, workers=workers)
    for one in (*workers, scheduler):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()
