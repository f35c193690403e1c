"""The verdict on a table: what its findings come to, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local_stack.data.assessing.rules import Docket, Finding
from local_stack.results import Result

READY, CARE, NOT_VIABLE = "ready", "usable with care", "not viable"


@dataclass(frozen=True, slots=True)
class Verdict(Result):
    """``status`` is ready, usable with care or not viable; why, and what to do next."""

    status: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]


_FATAL = ("target_constant", "target_identifier", "signal", "rows", "class_rows")
"""Checks whose high risk leaves nothing to build on."""


def verdict_of(docket: Docket, *, has_scores: bool) -> Verdict:
    """Return the verdict that the findings and scores lead to, with reasons and next steps.

    Not viable: nothing to predict, far too few rows, or no model beats a guess. Usable with care:
    any high or medium risk. Ready: neither.
    """
    ordered = docket.ordered()
    fatal = docket.severe(*_FATAL)
    grave = [it for it in ordered if it.severity in ("high", "medium")]
    if fatal or not has_scores:
        status, chosen = NOT_VIABLE, fatal or grave
    else:
        status, chosen = (CARE, grave) if grave else (READY, [])
    reasons = _reasons(chosen)[:5]
    signal = next((it.message for it in ordered if it.code == "signal"), "")
    if status != NOT_VIABLE and signal:
        reasons.append(signal)
    if not reasons:
        reasons = ["No model could be tried on these rows."]
    steps = _steps([*fatal, *grave])[:6]
    if status == READY:
        steps = ["Write a recipe and train: the table carries this target."]
    return Verdict(status, tuple(dict.fromkeys(reasons)), tuple(steps))


def _reasons(findings: Sequence[Finding]) -> list[str]:
    """Return the message of the first finding of each check, and how many more there are."""
    kinds: dict[str, list[Finding]] = {}
    for it in findings:
        kinds.setdefault(it.code, []).append(it)
    return [
        found[0].message + (f" (and {len(found) - 1} more like it)" if len(found) > 1 else "")
        for found in kinds.values()
    ]


def _steps(findings: Sequence[Finding]) -> list[str]:
    """Return each advice once, with the columns it is about before it."""
    columns: dict[str, list[str]] = {}
    for it in findings:
        if it.advice:
            columns.setdefault(it.advice, []).extend([it.column] if it.column else [])
    return [
        f"{', '.join(dict.fromkeys(names))}: {advice}" if names else advice
        for advice, names in columns.items()
    ]
