"""Whether a model's probabilities hold in each group, as text of any width."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from local_stack.explain.groups.metrics import CALIBRATION
from paceml_tui.evaluations import Picture
from paceml_tui.group_names import short_names
from paceml_tui.render import Text, fit, join, number, styled
from paceml_tui.wording import laid, title, wrapped

Values = Mapping[str, Any]

_NAME = 22
_MOST_GROUPS = 40
_TITLES = ("group", "mean score", "base rate", "error", "slope", "intercept")


def calibration_pictures(name: str, table: Values) -> list[Picture]:
    """Return one picture, or none where there are no probabilities."""
    if not _calibrated(table):
        return []
    worst = max(it["calibration"]["expected_error"] for it in _calibrated(table))
    return [
        Picture(
            f"{name}: calibration",
            join(styled("error", "quiet"), number(worst, 2)),
            partial(_drawn, table),
        )
    ]


def calibration_lines(table: Values, width: int) -> list[Text]:
    """Return the same under each other, a blank line before."""
    return [styled(""), *_drawn(table, width, 0)] if _calibrated(table) else []


def _calibrated(table: Values) -> list[Values]:
    return [it for it in table["groups"] if it.get("calibration")]


def _drawn(table: Values, width: int, _: int) -> list[Text]:
    """Return a line a group: what was said, what came of it, and how far they lie apart."""
    groups = _calibrated(table)
    names = short_names([it["group"] for it in groups], _NAME)
    rows = [
        [
            styled(names[it["group"]], limit=0),
            number(it["metrics"].get("mean_score"), 3),
            number(it["metrics"].get("base_rate"), 3),
            *(
                number(it["calibration"][key], 3)
                for key in ("expected_error", "slope", "intercept")
            ),
        ]
        for it in groups[:_MOST_GROUPS]
    ]
    left = len(groups) - len(rows)
    return [
        title("Calibration", width),
        *(fit(line, width) for line in laid(_TITLES, rows, range(1, len(_TITLES)))),
        *([styled(f"and {left:,} more groups", "quiet")] if left else []),
        *(styled(line, "quiet", 0) for line in wrapped(CALIBRATION, width)),
    ]
