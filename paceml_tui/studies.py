"""A study as text: how it got better, which parameters mattered, its trials, each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paceml_tui.evaluations import Picture, aligned
from paceml_tui.plots import Curve, curve_chart, legend, scatter_chart
from paceml_tui.render import Text, bar, cells, fit, join, number, percent, seconds, status, styled

_WIDE_RANGE = 30
"""A parameter whose values are so many times apart is drawn by powers of ten."""
_WIDEST_TITLE = 13
_FEWEST_CLIPPED = 8
_MOST_TRIALS = 500
_MOST_PARAMS = 20

Trial = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Study:
    """What is known of a study, at work or ended.

    Each of ``trials`` has ``number``, ``status``, ``value``, ``params``, ``folds``, ``is_pruned``
    and ``seconds``; ``importance`` is the share of each parameter, {} until the study has ended.
    """

    metric: str
    is_higher_better: bool
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def valued(self) -> list[Trial]:
        """Return the trials that were judged in full, by number."""
        return [it for it in self.trials if isinstance(it["value"], int | float)]

    @property
    def ranked(self) -> list[Trial]:
        """Return every trial, the best first; those without a value come last."""
        sign = -1 if self.is_higher_better else 1
        return [
            *sorted(self.valued, key=lambda it: (sign * it["value"], it["number"])),
            *(it for it in self.trials if not isinstance(it["value"], int | float)),
        ]

    @property
    def params(self) -> list[str]:
        """Return the names of what was searched, the most important first."""
        names = dict.fromkeys(name for it in self.trials for name in it["params"])
        return sorted(names, key=lambda it: -self.importance.get(it, 0.0))[:_MOST_PARAMS]


def pictures(study: Study) -> list[Picture]:
    """Return everything that a study shows: all in one first, then one by one."""
    best = study.ranked[:1]
    value = number(best[0]["value"]) if best else styled("")
    known = [
        Picture("summary", join(styled(study.metric, "quiet", 20), value), partial(summary, study)),
        Picture("history", counted(study), partial(history, study)),
        Picture("trials", number(len(study.trials)), lambda w, _: trials(study, w)),
    ]
    for name in study.params:
        share = percent(study.importance[name]) if name in study.importance else styled("")
        known.append(Picture(name, share, partial(param, study, name)))
    return known


def counted(study: Study) -> Text:
    """Return how many trials were pruned, failed or are at work."""
    n_pruned = sum(bool(it["is_pruned"]) for it in study.trials)
    n_failed = sum(it["status"] == "FAILED" for it in study.trials)
    n_open = sum(it["status"] == "RUNNING" for it in study.trials)
    parts = [
        styled(f"{n:,} {what}", tone)
        for n, what, tone in (
            (n_pruned, "pruned", "quiet"),
            (n_failed, "failed", "warning"),
            (n_open, "at work", "accent"),
        )
        if n
    ]
    return join(*parts, gap=", ")


def summary(study: Study, width: int, height: int) -> list[Text]:
    """Return the best trial, the importance of the parameters, and the history."""
    above = [*best(study, width), *importance(study, width)]
    return [*above, *history(study, width, max(8, height - len(above)))]


def best(study: Study, width: int) -> list[Text]:
    """Return the best trial with its parameters."""
    found = study.valued and study.ranked[0]
    if not found:
        return [styled("No trial has been judged in full yet.", "quiet"), styled("")]
    head = join(styled("Best", "strong"), styled(f"trial {found['number']}", "quiet"))
    shown = [join(head, styled(study.metric, limit=20), number(found["value"], 5))]
    names = list(found["params"])[:_MOST_PARAMS]
    rows = [[styled(it, "quiet", 30), _value(found["params"][it])] for it in names]
    return [fit(it, width) for it in [*shown, *aligned(["", ""], rows)[1:], styled("")]]


def importance(study: Study, width: int) -> list[Text]:
    """Return how much of the differences between trials each parameter explains."""
    shares = list(study.importance.items())[:_MOST_PARAMS]
    if not shares:
        return []
    room = min(30, width // 2, max(cells(styled(name)) for name, _ in shares))
    shown = [styled("Importance of the parameters", "strong")]
    for name, share in shares:
        label = fit(styled(name), room)
        blank = styled(" " * (room - cells(label)), limit=0)
        shown.append(
            join(join(label, blank, gap=""), bar(share, max(4, width - room - 9)), percent(share))
        )
    return [*shown, styled("")]


def history(study: Study, width: int, height: int) -> list[Text]:
    """Return the value of each trial as a dot, under the line of the best so far."""
    if len(study.valued) < 2:
        return []
    values, n_beyond = _clipped([float(it["value"]) for it in study.valued], study)
    points = [(float(it["number"]), v) for it, v in zip(study.valued, values, strict=True)]
    choose = max if study.is_higher_better else min
    lead = [points[0]]
    for at, value in points[1:]:
        before = lead[-1][1]
        lead.append((at, before))  # a step, no slope
        if choose(value, before) != before:
            lead.append((at, value))
    way = "more" if study.is_higher_better else "less"
    title = join(
        styled("Optimisation history", "strong"),
        styled(f"{study.metric} by trial, {way} is better", "quiet", 60),
        _beyond(n_beyond),
    )
    chart = curve_chart([Curve("best", tuple(lead))], width=width, height=height, dots=points)
    return [fit(title, width), *chart, *legend(["best so far", "trials"], width)]


def _clipped(values: Sequence[float], study: Study) -> tuple[list[float], int]:
    """Return values of which those far worse than the others are at the edge, and their number.

    Far is three times the interquartile range beyond the worse quartile (Tukey's outer fence).
    """
    ordered = sorted(values, reverse=study.is_higher_better)
    good, bad = (ordered[round(share * (len(ordered) - 1))] for share in (0.25, 0.75))
    edge = bad + 3 * (bad - good)
    if len(values) < _FEWEST_CLIPPED or bad == good:
        return list(values), 0
    nearer = max if study.is_higher_better else min
    kept = [nearer(it, edge) for it in values]
    return kept, sum(it != was for it, was in zip(kept, values, strict=True))


def _beyond(n: int) -> Text:
    return styled(f"{n:,} far worse" if n else "", "warning")


def trials(study: Study, width: int) -> list[Text]:
    """Return the trials as a table, the best first."""
    names = study.params
    rows = [
        [
            styled(it["number"]),
            _standing(it),
            number(it["value"], 5),
            number(len(it["folds"])),
            seconds(it["seconds"]) if it["seconds"] is not None else styled(""),
            *(_value(it["params"].get(name)) for name in names),
        ]
        for it in study.ranked[:_MOST_TRIALS]
    ]
    titles = ["trial", "", study.metric, "folds", "took", *(_short(it) for it in names)]
    more = len(study.trials) - len(rows)
    shown = [fit(it, width) for it in aligned(titles, rows)]
    return [*shown, styled(f"and {more:,} more", "quiet")] if more > 0 else shown


def _short(name: str) -> str:
    return fit(styled(name), _WIDEST_TITLE).plain


def _standing(trial: Trial) -> Text:
    return status("pruned" if trial["is_pruned"] else trial["status"])


def param(study: Study, name: str, width: int, height: int) -> list[Text]:
    """Return the value of the trials against that of one parameter."""
    found = [
        (it["params"][name], float(it["value"])) for it in study.valued if name in it["params"]
    ]
    title = join(styled(name, "strong", 40), styled(f"against {study.metric}", "quiet", 60))
    if not found:
        return [fit(title, width), styled("No trial has been judged in full yet.", "quiet")]
    if any(isinstance(it, bool) or not isinstance(it, int | float) for it, _ in found):
        return [fit(title, width), *_choices(study, found, width)]
    low, high = min(it for it, _ in found), max(it for it, _ in found)
    is_log = low > 0 and high / low >= _WIDE_RANGE
    values, n_beyond = _clipped([value for _, value in found], study)
    places = [math.log10(it) if is_log else float(it) for it, _ in found]
    points = list(zip(places, values, strict=True))
    ends = [number(it).plain for it in (low, high, min(values), max(values))]
    chart = scatter_chart(points, width=width, height=height, ends=ends)
    note = styled("by powers of ten" if is_log else "", "quiet")
    return [fit(join(title, note, _beyond(n_beyond)), width), *chart]


def _choices(study: Study, found: Sequence[tuple[Any, float]], width: int) -> list[Text]:
    """Return the best and the mean value of each choice."""
    groups: dict[str, list[float]] = {}
    for choice, value in found:
        groups.setdefault(_value(choice).plain, []).append(value)
    choose = max if study.is_higher_better else min
    rows = [
        [styled(name), number(len(it)), number(choose(it)), number(sum(it) / len(it))]
        for name, it in groups.items()
    ]
    return [fit(it, width) for it in aligned(["", "trials", "best", "mean"], rows)]


def _value(value: Any) -> Text:
    if isinstance(value, float):
        return number(value)
    return styled("-" if value is None else value, limit=30)
