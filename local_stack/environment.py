"""The process environment that heavy libraries need, set before any of them is imported."""

from __future__ import annotations

import os
from pathlib import Path

FIXED = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
    "LITESTAR_WARN_IMPLICIT_SYNC_TO_THREAD": "0",
}
"""Values that hold whatever the caller had set."""

DEFAULTS = {"AWS_EC2_METADATA_DISABLED": "true"}
"""Values that a caller may override."""

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
