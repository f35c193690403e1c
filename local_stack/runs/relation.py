"""The relation that holds every run the workspace knows of."""

from __future__ import annotations

from typing import Final

RUNS: Final = "runs"
