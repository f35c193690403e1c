"""When a measured value is a risk: every threshold of a due diligence, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local_stack.results import Result

SEVERITIES = ("high", "medium", "low", "ok")
"""How bad a finding is, the worst first."""


@dataclass(frozen=True, slots=True)
class Example(Result):
    """A row behind a finding: its number in the version (from 0), what is odd, its values."""

    row: int
    note: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rows behind a finding: the numbers of up to 1,000, and up to 10 of them in full."""

    rows: tuple[int, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding(Result):
    """What one check saw. ``threshold`` is the limit that ``value`` is judged by.

    ``threshold`` is None where the check is a plain yes or no; ``column`` is None where the whole
    table is meant; ``advice`` is what to do about it, empty when all is well. ``rows`` numbers
    rows behind it (from 0, at most 1,000), and ``examples`` shows the first ten.
    """

    code: str
    severity: str
    column: str | None
    value: float | None
    threshold: float | None
    message: str
    advice: str = ""
    rows: tuple[int, ...] = ()
    examples: tuple[Example, ...] = ()


ANY = 1e-12
"""The limit of what is a risk as soon as there is any of it; it is not shown."""


@dataclass(frozen=True, slots=True)
class Rule:
    """From which value on a check is a low, a medium and a high risk (None: never).

    ``is_floor`` says that less is worse, ``is_flag`` that the check is a plain yes or no.
    ``advice`` is what to do unless the check knows better.
    """

    low: float | None
    medium: float | None = None
    high: float | None = None
    is_floor: bool = False
    is_flag: bool = False
    advice: str = ""

    def grade(self, value: float) -> tuple[str, float | None]:
        """Return the severity of ``value`` and the limit it passed, or the first it keeps."""
        limits = (("high", self.high), ("medium", self.medium), ("low", self.low))
        for severity, limit in limits:
            if limit is not None and (value < limit if self.is_floor else value >= limit):
                return severity, limit
        return "ok", next((it for it in (self.low, self.medium, self.high) if it is not None), None)


RULES: dict[str, Rule] = {
    "rows": Rule(
        1_000, 200, 50, is_floor=True, advice="Collect more rows before trusting any score."
    ),
    "class_rows": Rule(
        100, 50, 10, is_floor=True, advice="Collect more rows of this class, or merge classes."
    ),
    "events_per_parameter": Rule(
        10,
        5,
        1,
        is_floor=True,
        advice="Use fewer columns or a regularised model; ten events a parameter is the usual "
        "floor (Peduzzi 1996).",
    ),
    "class_balance": Rule(
        4,
        20,
        200,
        advice="Judge by ROC AUC or average precision, stratify the split, weigh the classes.",
    ),
    "target_missing": Rule(
        ANY, 0.05, 0.5, advice="Find out why it is missing; those rows cannot be learnt from."
    ),
    "target_constant": Rule(None, None, 1, is_flag=True, advice="Choose another target."),
    "target_identifier": Rule(
        None,
        None,
        1,
        is_flag=True,
        advice="Choose another target, or put its values into a few classes first.",
    ),
    "target_capped": Rule(
        0.005,
        0.02,
        0.2,
        advice="Treat the rows at the limit as censored: leave them out, or model them apart.",
    ),
    "target_skew": Rule(2, advice="Try the logarithm of the target, or a robust loss."),
    "column_constant": Rule(1, is_flag=True, advice="Leave the column out."),
    "column_missing": Rule(0.5, advice="Ask why it is missing; leave it out or mark it."),
    "column_infinite": Rule(ANY, 0.05, advice="Clean the infinite values; they are no numbers."),
    "identifier": Rule(0.9, advice="Leave it out: it names rows, and says nothing of new ones."),
    "many_categories": Rule(50, advice="Group the rare ones, encode by target, or leave it out."),
    "target_copy": Rule(
        None, None, 1, is_flag=True, advice="Leave it out: it is the target again."
    ),
    "leak_score": Rule(
        0.90,
        0.95,
        0.99,
        advice="Ask whether it is known before the target is; leave it out if not.",
    ),
    "leak_name": Rule(
        None, 0.65, advice="It is named like the target: ask whether it is known before it."
    ),
    "leak_determined": Rule(
        0.01,
        0.05,
        0.5,
        advice="Ask whether it was filled in after the target was known; leave it out if so.",
    ),
    "leak_missing": Rule(
        0.6, 0.75, 0.95, advice="Ask whether it is filled in only after the target is known."
    ),
    "leak_pair": Rule(
        None,
        0.97,
        0.99,
        advice="Ask which of the two is known before the target; leave the other out.",
    ),
    "leak_order": Rule(
        0.6, 0.7, 0.9, advice="Shuffle before splitting, and ask what the order stands for."
    ),
    "group_effect": Rule(
        0.6, 0.75, advice="Rows of one value belong together: split with --group on it."
    ),
    "too_good": Rule(
        None, 0.99, 0.999, advice="Look for what gives the target away before believing it."
    ),
    "duplicates": Rule(
        0.001, 0.05, 0.3, advice="Find out whether they are real; deduplicate before splitting."
    ),
    "conflicting_labels": Rule(
        0.001,
        0.02,
        0.1,
        advice="Settle the right target of these rows, or add what tells them apart.",
    ),
    "split_overlap": Rule(
        0.001,
        0.01,
        0.1,
        advice="Deduplicate, or split by a group column, so that the test rows are new.",
    ),
    "split_flatters": Rule(0.1, 0.25, 0.5),
    "against_overlap": Rule(
        0.001, 0.01, 0.1, advice="Take these rows out of one of the two versions."
    ),
    "against_target": Rule(
        0.05, 0.1, 0.25, advice="Find out why the target differs before comparing scores."
    ),
    "label_noise": Rule(
        0.01, 0.05, 0.2, advice="Have the listed rows labelled again, the first ones first."
    ),
    "target_outliers": Rule(
        0.002, 0.02, 0.1, advice="Check the target of the listed rows against their source."
    ),
    "signal": Rule(
        None, None, 0, is_floor=True, advice="Collect columns that have to do with the target."
    ),
    "more_data": Rule(0.05, advice="Collect more rows of the same kind: the score still rises."),
    "sensitive": Rule(
        1,
        is_flag=True,
        advice="Leave it out unless the law lets you use it; keep it to audit.",
    ),
    "sensitive_unmarked": Rule(
        None,
        1,
        is_flag=True,
        advice="Say so with --sensitive, so that proxies and outcomes are looked at.",
    ),
    "sensitive_outcome": Rule(
        0.9, 0.8, 0.5, is_floor=True, advice="A model will learn this gap: decide what is fair."
    ),
    "proxy": Rule(
        0.7, 0.8, 0.95, advice="Leaving the sensitive column out will not hide it; test by group."
    ),
    "freshness": Rule(365, 1_095, advice="Get newer rows, or show that nothing has changed."),
    "time_gaps": Rule(10, 50, advice="Find out what is missing in the gap."),
    "target_drift": Rule(
        0.05, 0.1, 0.25, advice="Train on recent rows, test on the newest, and watch for drift."
    ),
}
"""Code of a check: its thresholds and the usual advice."""

REGRESSION: dict[str, tuple[float | None, float | None, float | None]] = {
    "leak_score": (0.8, 0.9, 0.98),
    "leak_name": (None, 0.3, None),
    "leak_missing": (0.05, 0.2, 0.8),
    "leak_pair": (None, 0.95, 0.99),
    "leak_order": (0.1, 0.3, 0.8),
    "group_effect": (0.1, 0.4, None),
    "proxy": (0.4, 0.6, 0.9),
    "target_drift": (0.1, 0.2, 0.4),
    "against_target": (0.1, 0.2, 0.4),
}
"""Thresholds of the checks that score by R2 or a KS statistic when the target is a number."""


NO_ROWS = Evidence()


def counted(n: int, noun: str, verb: str = "", verbs: str = "") -> str:
    """Return ``1 row`` or ``1,204 rows``, with the verb of one or of many after it."""
    said = verb if n == 1 else verbs
    return f"{n:,} {noun}{'' if n == 1 else 's'}" + (f" {said}" if said else "")


@dataclass(slots=True)
class Docket:
    """Findings as they come in, judged by the rules of one task."""

    task: str
    findings: list[Finding] = field(default_factory=list)

    def rule(self, code: str, task: str | None = None) -> Rule:
        """Return the rule of a check for the task (of the docket unless another is named)."""
        rule = RULES[code]
        if (task or self.task) == "regression" and code in REGRESSION:
            low, medium, high = REGRESSION[code]
            return replace(rule, low=low, medium=medium, high=high)
        return rule

    def note(
        self,
        code: str,
        value: float,
        message: str,
        *,
        column: str | None = None,
        advice: str | None = None,
        evidence: Evidence = NO_ROWS,
        task: str | None = None,
        at_most: str = "high",
    ) -> Finding:
        """Judge ``value`` and keep the finding; ``at_most`` bounds its severity."""
        rule = self.rule(code, task)
        severity, threshold = rule.grade(value)
        if SEVERITIES.index(severity) < SEVERITIES.index(at_most):
            severity = at_most
            threshold = getattr(rule, at_most, threshold)
        wanted = rule.advice if advice is None else advice
        finding = Finding(
            code=code,
            severity=severity,
            column=column,
            value=float(value),
            threshold=None if rule.is_flag or threshold in (None, ANY) else threshold,
            message=message,
            advice="" if severity == "ok" else wanted,
            rows=evidence.rows,
            examples=evidence.examples,
        )
        self.findings.append(finding)
        return finding

    def severe(self, *codes: str) -> list[Finding]:
        """Return the findings of high severity with these codes."""
        return [it for it in self.findings if it.code in codes and it.severity == "high"]

    def ordered(self) -> tuple[Finding, ...]:
        """Return every finding, the worst first, in the order of the rules otherwise."""
        places = {code: place for place, code in enumerate(RULES)}
        return tuple(
            sorted(self.findings, key=lambda it: (SEVERITIES.index(it.severity), places[it.code]))
        )
