"""Fixtures that every test may use, and the environment that every test runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from s3_kit import s3_environment, s3_server

from local_stack import environment
from local_stack.workspace import Workspace

__all__ = ["s3_environment", "s3_server"]

_KEPT = ("PACEML_SHARED_DATA",)

environment.prepare()  # before any heavy library; it also sets the umask
for _name in [name for name in os.environ if name.startswith("PACEML_") and name not in _KEPT]:
    del os.environ[_name]  # the settings of whoever runs the tests

# Machines that run tests are busy: a slow example is no defect.
hypothesis.settings.register_profile(
    "paceml", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("paceml")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A new workspace of its own."""
    with Workspace.create(tmp_path / "ws", actor="tester") as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs that is not part of the project; skips without it."""
    named = os.environ.get("PACEML_SHARED_DATA")
    place = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not place.is_dir():
        pytest.skip("the real inputs are not here: set PACEML_SHARED_DATA to their folder")
    return place
