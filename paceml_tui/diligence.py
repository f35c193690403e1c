"""The parts of a due diligence as blocks, for the screen and for print.

Every function takes plain values, the JSON of ``data diligence``, and draws text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.charts import cell_text, figure
from paceml_tui.render import (
    Block,
    Text,
    bar,
    count,
    fields,
    glyph,
    grid,
    heading,
    join,
    number,
    percent,
    stack,
    styled,
    value_text,
)

Values = Mapping[str, Any]

_VERDICTS = {"ready": ("good", "good"), "usable with care": ("warning", "warning")}
_SEVERITIES = {
    "high": ("bad", "bad"),
    "medium": ("warning", "warning"),
    "low": ("idle", "accent"),
    "ok": ("good", "good"),
}
_NAMES = {
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "AUC ovr",
    "average_precision": "avg. prec.",
    "log_loss": "log loss",
    "f1_macro": "F1 macro",
    "r2": "R2",
    "rmse": "RMSE",
    "mae": "MAE",
}
_BESIDE = {
    "roc_auc": ("accuracy", "log_loss"),
    "accuracy": ("f1_macro", "log_loss"),
    "r2": ("rmse", "mae"),
}
_BAR, _SMALL_BAR = 14, 8
_MOST_COLUMNS = 10
_MOST_SUSPECTS = 5
_MOST_NAMES = 8
_MOST_SHOWN = 12


def title(values: Values) -> Text:
    """Return of what, for which target, it is."""
    version = f"{values['dataset']}@{str(values['version'])[:12]}"
    task = f"({values['task']})" if values["task"] else ""
    return join(
        styled("Due diligence", "heading"),
        styled(version, limit=60),
        styled("for", "quiet"),
        styled(values["target"], "strong", 40),
        styled(task, "quiet"),
    )


def verdict(values: Values) -> Block:
    """Return the verdict with its reasons and what to do next."""
    found = values["verdict"]
    mark, tone = _VERDICTS.get(found["status"], ("bad", "bad"))
    steps = [styled(""), heading("What to do"), _listed(found["next_steps"])]
    return stack(
        styled(f"{glyph(mark)} {found['status']}", tone),
        _listed(found["reasons"]),
        *(steps if found["next_steps"] else []),
    )


def _listed(sentences: Sequence[str]) -> Block:
    return grid(
        ("", ""), [(styled(glyph("dot"), "quiet"), styled(it, limit=400)) for it in sentences]
    )


def severity(word: str) -> Text:
    """Return a severity as glyph, word and colour."""
    mark, tone = _SEVERITIES.get(word, ("dot", ""))
    return styled(f"{glyph(mark)} {word}", tone)


def measured(finding: Values) -> Text:
    """Return what was measured against its limit."""
    if finding["threshold"] is None:
        return styled("")
    sign = "<" if finding["value"] < finding["threshold"] else glyph("at_least")
    value, limit = number(finding["value"], 3), number(finding["threshold"], 3)
    return join(value, styled(sign, "quiet"), limit)


def risks(values: Values) -> Block:
    """Return every risk: how bad, what, against which limit, and what to do."""
    n_ok = len(values["findings"]) - len(values["risks"])
    note = styled(f"{len(values['risks'])} found, {n_ok} checks were fine", "quiet")
    if not values["risks"]:
        return stack(heading("Risks", note))
    blocks: list[Block] = []
    for alike in _alike(values["risks"]):
        first = alike[0]
        head = join(severity(first["severity"]), styled(first["code"], "quiet"), gap="  ")
        blocks.append(join(head, measured(first), gap="  ") if len(alike) == 1 else head)
        rows = [(styled(" "), styled(it["message"], limit=400)) for it in alike]
        advice = join(styled(glyph("arrow"), "quiet"), styled(first["advice"], "quiet", 400))
        blocks.append(grid(("", ""), [*rows, (styled(" "), advice)]))
    return stack(heading("Risks", note), *blocks)


def _alike(found: Sequence[Values]) -> list[list[Values]]:
    """Return neighbours that differ in their column only, together."""
    kinds: dict[tuple[str, str, str], list[Values]] = {}
    for it in found:
        kinds.setdefault((it["severity"], it["code"], it["advice"]), []).append(it)
    return list(kinds.values())


def risk_list(values: Values) -> Block:
    """Return the risks in a line each, the worst first."""
    found = values["risks"]
    n_ok = len(values["findings"]) - len(found)
    note = styled(f"{len(found)} found, {n_ok} checks were fine", "quiet")
    rows = [
        (
            severity(it["severity"]),
            styled(it["code"], limit=22),
            styled(it["column"] or "", limit=40),
        )
        for it in found
    ]
    return stack(heading("Risks", note), grid(("", "", ""), rows))


def doubt(values: Values, suspect: Values) -> Block:
    """Return one doubtful target: what it says, and what its like say."""
    noise = values["label_noise"] or {}
    is_number = values["task"] == "regression"
    return stack(
        heading(f"row {suspect['row']:,}"),
        fields(
            [
                ("given", styled(suspect["given"], "strong", 200)),
                (
                    "predicted" if is_number else "more like",
                    styled(suspect["suggested"], limit=200),
                ),
                ("z" if is_number else "margin", number(suspect["score"])),
                ("by", styled(noise.get("model", ""))),
                ("method", styled(noise.get("method", ""), "quiet", 200)),
            ]
        ),
        styled(""),
        styled("o shows the row among the others.", "quiet"),
    )


def risk(finding: Values) -> Block:
    """Return one finding in full, with the rows behind it."""
    facts = [
        ("severity", severity(finding["severity"])),
        ("column", value_text(finding["column"])),
        ("value", figure(finding["value"])),
        ("limit", figure(finding["threshold"])),
    ]
    advice = [styled(""), heading("What to do"), styled(finding["advice"], limit=400)]
    return stack(
        heading(finding["code"]),
        styled(finding["message"], limit=600),
        styled(""),
        fields(facts),
        *(advice if finding["advice"] else []),
        *_examples(finding),
    )


def _examples(finding: Values) -> list[Block]:
    found = finding["examples"]
    if not found:
        return []
    note = join(count(len(finding["rows"]), "row"), styled("listed"))
    blocks: list[Block] = [styled(""), heading("Rows behind it", note)]
    for it in found:
        blocks.append(join(styled(f"row {it['row']:,}", "strong"), styled(it["note"], "warning")))
        values = [(name, value) for name, value in it["values"].items() if value is not None]
        cells = [
            join(styled(name, "quiet", 24), cell_text(value, 40))
            for name, value in values[:_MOST_SHOWN]
        ]
        blocks.append(join(*cells, gap="  "))
    return blocks


def name_of(metric: str) -> str:
    """Return a metric as a person reads it."""
    return _NAMES.get(metric, metric)


def scores(values: Values) -> Block | None:
    """Return what plain models reach, with intervals."""
    found = values["baseline"]
    if not found:
        return None
    metric = found["metric"]
    beside = [it for it in _BESIDE.get(metric, ()) if it in found["models"][0]["metrics"]]
    rows = [_score_row(it, metric, beside, found["best"]) for it in found["models"]]
    for name, score in (
        ("with the leaks", found["with_suspects"]),
        ("split at random", found["when_split_at_random"]),
    ):
        if score:
            rows.append((*_score_cells(name, score, "quiet"), *(styled("") for _ in beside)))
    titles = ("model", name_of(metric), "95% interval", "", *map(name_of, beside))
    rows_used = join(
        count(found["n_rows"], "row"), styled("of"), count(found["n_columns"], "column")
    )
    left = [*found["left_out_as_leaks"], *found["left_out"]]
    still = found["suspected_leaks"]
    return stack(
        heading("What plain models reach", rows_used),
        grid(titles, rows, (1, *range(4, 4 + len(beside)))),
        styled(f"{found['method']}.", "quiet", 200),
        styled(f"Left out: {_names(left)}.", "quiet", 300) if left else None,
        styled(f"Still in, suspected leaks: {_names(still)}.", "warning", 300) if still else None,
    )


def _names(columns: Sequence[str]) -> str:
    more = len(columns) - _MOST_NAMES
    return ", ".join(columns[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _score_row(model: Values, metric: str, beside: Sequence[str], best: str) -> tuple[Text, ...]:
    tone = "strong" if model["model"] == best else ""
    others = [model["metrics"].get(it) for it in beside]
    shown = [number(it["mean"], 3) if it else number(None) for it in others]
    return (*_score_cells(model["model"], model["score"], tone), *shown)


def _score_cells(name: str, score: Values | None, tone: str) -> tuple[Text, ...]:
    if not score:
        return (styled(name, tone), number(None), styled(""), styled(""))
    mean = 0.0 if abs(score["mean"]) < 5e-4 else score["mean"]
    return (
        styled(name, tone),
        styled(f"{mean:.3f}", tone),
        _interval(score),
        bar(mean, _SMALL_BAR),
    )


def _interval(score: Values) -> Text:
    if score["low"] is None or score["high"] is None:
        return number(None)
    return styled(f"{score['low']:.3f} to {score['high']:.3f}", "quiet")


def curve(values: Values) -> Block | None:
    """Return the learning curve and whether more rows would help."""
    found = values["learning_curve"]
    if not found:
        return None
    points = [(it["n_rows"], it["score"]["mean"], it["score"]) for it in found["points"]]
    n_double = 2 * points[-1][0]
    means = [it[1] for it in points]
    top = max(*means, found["score_at_double"])
    low = min(*means, found["score_at_double"])
    floor = max(0.0, low - (top - low) / 4)
    span = (top - floor) or 1.0
    rows = [
        (styled(f"{n:,}"), number(mean, 4), bar((mean - floor) / span, 24), _spread(score))
        for n, mean, score in points
    ]
    later = found["score_at_double"]
    rows.append(
        (
            styled(f"{n_double:,}", "quiet"),
            number(later, 4),
            bar((later - floor) / span, 24, "quiet"),
            styled("expected", "quiet"),
        )
    )
    say = next((it["message"] for it in values["findings"] if it["code"] == "more_data"), "")
    return stack(
        heading("Would more rows help?", styled(found["verdict"], "strong")),
        grid(("rows", name_of(found["metric"]), "", found["model"]), rows, (0, 1)),
        styled(say, "quiet", 200),
    )


def _spread(score: Values) -> Text:
    if score["low"] is None:
        return styled("")
    half = (score["high"] - score["low"]) / 2
    return join(styled(glyph("spread"), "quiet"), number(half, 2))


def columns(values: Values) -> Block | None:
    """Return what each column alone says of the target, the strongest first."""
    found = values["columns"]
    if not found:
        return None
    is_number = values["task"] == "regression"
    name = "R2" if is_number else "ROC AUC"
    left = set((values["baseline"] or {}).get("left_out_as_leaks", ()))
    rows = []
    for it in found[:_MOST_COLUMNS]:
        share = it["score"] if is_number else max(0.0, it["score"] - 0.5) * 2
        tone = "bad" if it["column"] in left else "accent"
        row = (styled(it["column"], limit=30), number(it["score"], 3), bar(share, 24, tone))
        rows.append((*row, styled("left out" if it["column"] in left else "", "bad")))
    more = len(found) - _MOST_COLUMNS
    return stack(
        heading(
            "Each column alone", join(styled("out of fold,", "quiet"), count(len(found), "column"))
        ),
        grid(("column", name, "", ""), rows, (1,)),
        styled(f"and {more:,} more", "quiet") if more > 0 else None,
    )


def doubts(values: Values) -> Block | None:
    """Return the rows whose target is most in doubt."""
    found = values["label_noise"]
    if not found or not found["n_suspects"]:
        return None
    is_number = values["task"] == "regression"
    rows = [
        (
            styled(f"{it['row']:,}"),
            styled(it["given"], limit=20),
            styled(it["suggested"], limit=20),
            number(it["score"], 3),
        )
        for it in found["suspects"][:_MOST_SUSPECTS]
    ]
    more = found["n_suspects"] - len(rows)
    note = join(percent(found["share"]), styled(f"by {found['model']}", "quiet"))
    titles = (
        "row",
        "given",
        "predicted" if is_number else "more like",
        "z" if is_number else "margin",
    )
    return stack(
        heading("Targets in doubt", note),
        grid(titles, rows, (0, 3)),
        styled(f"and {more:,} more (--json lists up to 1,000)", "quiet") if more else None,
    )


def classes(values: Values) -> Block | None:
    """Return the classes and how many rows each has."""
    found = values["classes"]
    if not found:
        return None
    rows = [
        (
            styled(it["label"], limit=24),
            number(it["n_rows"]),
            percent(it["share"]),
            bar(it["share"]),
        )
        for it in found[:_MOST_COLUMNS]
    ]
    more = len(found) - len(rows)
    return stack(
        heading("Classes"),
        grid(("class", "rows", "share", ""), rows, (1, 2)),
        styled(f"and {more:,} more", "quiet") if more else None,
    )


def sensitive(values: Values) -> Block | None:
    """Return the sensitive columns: what gives them away, and who fares how."""
    if not values["sensitive"]:
        return None
    blocks: list[Block] = []
    for it in values["sensitive"]:
        by = [styled(f"{p['column']} {p['score']:.2f}", limit=40) for p in it["proxies"][:4]]
        metric = name_of(it["metric"])
        shown = [
            (styled(g["group"], limit=30), number(g["n_rows"]), _outcome(g["value"], it["outcome"]))
            for g in it["groups"][:_MOST_COLUMNS]
        ]
        blocks += [
            heading(
                it["column"],
                join(
                    styled("others give it away:", "quiet"),
                    styled(metric),
                    number(it["predicted_by_others"], 3),
                ),
            ),
            join(styled("alone:", "quiet"), *by, gap="  "),
            grid(("group", "rows", str(it["outcome"])), shown, (1,)),
        ]
    return stack(heading("Sensitive columns"), *blocks)


def _outcome(value: float, outcome: str) -> Text:
    if outcome.startswith("share of "):
        return join(percent(value), bar(value, _BAR))
    return number(value)


def timing(values: Values) -> Block | None:
    """Return when the rows are from, and the target over time."""
    found = values["timing"]
    if not found:
        return None
    top = max((abs(it["value"]) for it in found["periods"]), default=0.0) or 1.0
    is_share = found["outcome"].startswith("share of ")
    rows = [
        (
            styled(it["begin"], limit=24),
            number(it["n_rows"]),
            percent(it["value"]) if is_share else number(it["value"]),
            bar(it["value"] if is_share else abs(it["value"]) / top),
        )
        for it in found["periods"]
    ]
    span = join(
        styled(found["oldest"], limit=30),
        styled(glyph("arrow"), "quiet"),
        styled(found["newest"], limit=30),
    )
    table = [grid(("from", "rows", found["outcome"], ""), rows, (1, 2))] if rows else []
    return stack(heading(f"By '{found['column']}'", span), *table)


def notes(values: Values) -> Block | None:
    """Return what else has to be known."""
    if not values["notes"]:
        return None
    return stack(heading("Notes"), _listed(values["notes"]))


PARTS = (risks, classes, scores, curve, columns, doubts, sensitive, timing, notes)
"""The parts under the verdict, in their order."""


def page(values: Values) -> Block:
    """Return the whole due diligence."""
    shown: list[Block] = [title(values), styled(""), verdict(values)]
    for part in PARTS:
        block = part(values)
        if block is not None:
            shown += [styled(""), block]
    return stack(*shown)
