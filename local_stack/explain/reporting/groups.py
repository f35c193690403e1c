"""Fairness on the page: each group's rates with their intervals, and the differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_stack.data.profiling.page_html import Markup


def fairness(found: Mapping[str, Any]) -> Markup | None:
    """Return what a stored fairness result tells."""
    return None
