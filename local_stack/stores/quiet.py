"""DuckDB's progress bar writes to stdout, which belongs to nobody here: it is turned off."""

from __future__ import annotations

from typing import Any


def quiet(connection: Any) -> None:
    """Turn the progress bar of a DuckDB connection off.

    In Jupyter without ipywidgets it is off, and DuckDB raises when it is told anything of it.
    """
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()[0]:
        connection.execute("SET enable_progress_bar = false")
