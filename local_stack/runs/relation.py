"""The relations that hold every run the workspace knows of, whoever made it.

They are views of ``local_stack.stores.run_index.relations``: the journal's records united with
what the MLflow store holds.
"""

from __future__ import annotations

from typing import Final

RUNS: Final = "found_runs"
"""One row a run; see ``relations.py`` for its columns."""

HISTORY: Final = "metric_history"
"""One row a logged value: run_id, key, step, at_ms (since 1970, UTC), value."""

EXPERIMENTS: Final = "found_experiments"
"""One row an experiment, with n_runs (active) and n_deleted."""

MODELS: Final = "logged_models"
"""One row a logged model of MLflow 3."""
