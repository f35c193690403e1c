"""The process environment that heavy libraries need, set before any of them is imported."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

FIXED = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
    "LITESTAR_WARN_IMPLICIT_SYNC_TO_THREAD": "0",
}
"""Values that hold whatever the caller had set."""

DEFAULTS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "GOMP_SPINCOUNT": "1000",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Values that a caller may override.

Threads of LightGBM and scikit-learn that wait for one another spin for milliseconds otherwise,
which takes the cores from whoever else is on them (three processes on two cores: a quarter of the
CPU time; alone it makes no difference). MLflow asks a server that is down for four minutes.
"""

_UMASK = 0o077


def prepare(temporary: Path | None = None) -> None:
    """Set the environment of this process and of the children it starts.

    Call it first in every entry point. ``temporary`` becomes ``TMPDIR``, so that what
    libraries spill stays inside the workspace (mode 0700).
    """
    os.umask(_UMASK)
    os.environ.update(FIXED)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = str(temporary)


_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # as glibc's malloc.h numbers them
_MOST_KEPT = 1 << 30
_SWITCH_SECONDS = 0.0005  # Python's own: 0.005


def suit_threads(command: str) -> None:
    """Suit threads that count columns, in a process that ends with this command.

    The memory that columns are freed from is kept: each thread has a heap of its own otherwise,
    and gives large blocks back to the system at once; to touch new ones is slow (measured on a
    profile: a fifth of the time, a sixth of the memory). And a thread that comes back from
    counting gets the interpreter's lock sooner from one that runs Python (a thirtieth of the
    time). Call it before there are threads. Under another C library than glibc memory is as ever.
    """
    if not command.startswith("data."):
        return
    sys.setswitchinterval(_SWITCH_SECONDS)
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        for name, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST_KEPT)):
            option(name, value)
