"""Why a model says what it says of one row, as text of any width.

The command line prints it and the Explain screen shows it, from the result of ``explain row`` or
of a what-if: a waterfall from the base value to the prediction, reasons, the smallest changes
that turn the decision, similar rows, and the way from the raw row to the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.plots import Span
from paceml_tui.render import (
    Text,
    bar,
    cells,
    fit,
    glyph,
    is_ascii,
    join,
    number,
    percent,
    styled,
)
from paceml_tui.safe import safe
from paceml_tui.wording import blank, laid, signed, title, told, wrapped

Values = Mapping[str, Any]

RAISES, LOWERS = "ramp5", "ramp1"
"""Tones of what adds to a prediction and of what takes away; the sign of the number says it too."""

_OF_NUMBERS = ("target", "log target")
"""Units of what a regression says."""
_NAME, _VALUE = 22, 16
_MOST = 40
_MOST_TOLD = 8


# ------------------------------------------------------------------ the prediction


def verdict(found: Values, before: Values | None = None) -> Text:
    """Return what is predicted, how probable that is, and what it was before values changed."""
    parts = [styled(label(found["prediction"]), _tone(found, before))]
    likely = likelihood(found)
    if likely is not None:
        parts.append(bar(likely, 20, mark=_turn(found)))
        what = f"probability of {safe(found['output'], 20)}"
        parts.append(join(percent(likely), styled(what, "quiet")))
        if found.get("threshold") is not None:
            parts.append(styled(_from(found), "quiet"))
    elif found["unit"] not in ("", "target"):
        parts.append(join(styled(found["unit"], "quiet"), number(found["score"])))
    if before is not None:
        was = styled(label(before["prediction"]))
        parts.append(join(styled("was", "quiet"), was, _chance(likelihood(before))))
    return join(*parts, gap="  ")


def _turn(found: Values) -> float | None:
    """Return from which probability on the class that is explained is predicted, of two.

    The threshold of a model is that of its second class.
    """
    threshold = found.get("threshold")
    if threshold is not None:
        return float(threshold) if _is_second(found) else 1 - float(threshold)
    return 0.5 if len(found["probabilities"]) == 2 else None


def _from(found: Values) -> str:
    """Return in words where the class that is explained begins; the threshold is the second's."""
    return f"from {_turn(found):.4g} on" if _is_second(found) else f"above {_turn(found):.4g}"


def _is_second(found: Values) -> bool:
    return bool(list(found["probabilities"])[-1] == str(found["output"]))


def label(value: Any) -> str:
    """Return what is predicted: the name of a class, or a number."""
    return number(value).plain if isinstance(value, float) else safe(value, 30)


def _tone(found: Values, before: Values | None) -> str:
    is_turned = before is not None and before["prediction"] != found["prediction"]
    return "warning" if is_turned else "strong"


def likelihood(found: Values) -> float | None:
    """Return the probability of the class that is explained, None where the model has none."""
    value = (found.get("probabilities") or {}).get(str(found.get("output")))
    return float(value) if isinstance(value, int | float) else None


# ------------------------------------------------------------------ the waterfall


def steps(found: Values, most: int = _MOST) -> list[dict[str, Any]]:
    """Return what leads from the base value to the score, the largest first; the rest is one step.

    Each step has ``name``, ``value``, ``shap``, and where it ``starts`` and ``ends``.
    """
    parts = found["contributions"]
    shown = [(it["feature"], it["value"], it["shap"], True) for it in parts[:most]]
    others = parts[most:]
    if others:
        rest = sum(it["shap"] for it in others)
        shown.append((f"{len(others):,} other{'s' * (len(others) != 1)}", None, rest, False))
    at = found["base_value"]
    listed = []
    for name, value, shap, is_column in shown:
        step = {"name": name, "value": value, "shap": shap, "is_column": is_column}
        listed.append(step | {"starts": at, "ends": at + shap})
        at += shap
    return listed


def over(found: Values, most: int = _MOST) -> Span:
    """Return the numbers that the bars of a waterfall lie in."""
    ends = [found["base_value"] or 0.0, *(it["ends"] for it in steps(found, most))]
    return Span(min(ends), max(ends))


def step_bar(step: Values, room: Span, width: int) -> Text:
    """Return the bar of one step: it begins where the one before ended."""
    low, high = sorted((room.share(step["starts"]), room.share(step["ends"])))
    first, last = round(low * 2 * (width - 1)), round(high * 2 * (width - 1)) + 1
    if is_ascii():
        mark = ">" if step["shap"] > 0 else "<"
        drawn = " " * (first // 2) + mark * max(1, last // 2 - first // 2)
    else:
        drawn = "".join(_half(place, first, last) for place in range(width))
    tone = RAISES if step["shap"] > 0 else LOWERS if step["shap"] < 0 else "quiet"
    return styled(drawn[:width].ljust(width), tone, 0)


def _half(place: int, first: int, last: int) -> str:
    """Return a cell of a bar that goes from the half cell ``first`` to before ``last``."""
    left = first <= 2 * place < last
    right = first <= 2 * place + 1 < last
    return {(True, True): "█", (True, False): "▌", (False, True): "▐"}.get((left, right), " ")


def waterfall(found: Values, width: int, most: int = 12) -> list[Text]:
    """Return the steps from the base value to the score, one a line."""
    if found["base_value"] is None:
        return [styled("Its contributions were not logged.", "quiet")]
    listed, room = steps(found, most), over(found, most)
    figures = [signed(it["shap"]) for it in listed]
    name_room = min(_NAME, max(cells(styled(it["name"])) for it in listed)) if listed else 0
    value_room = min(_VALUE, max(cells(told(it["value"])) for it in listed)) if listed else 0
    figure_room = max((cells(it) for it in figures), default=0)
    across = max(8, width - name_room - value_room - figure_room - 6)
    shown = [_end("base value", found["base_value"], found, width)]
    for it, figure in zip(listed, figures, strict=True):
        name = fit(styled(it["name"], "" if it["is_column"] else "quiet"), name_room)
        value = fit(told(it["value"]), value_room) if it["is_column"] else styled("")
        shown.append(
            join(
                join(name, blank(name_room - cells(name)), gap=""),
                join(value, blank(value_room - cells(value)), gap=""),
                step_bar(it, room, across),
                join(blank(figure_room - cells(figure)), figure, gap=""),
                gap="  ",
            )
        )
    return [*shown, _end("prediction", found["score"], found, width)]


def _end(name: str, value: float, found: Values, width: int) -> Text:
    what = styled(f"{name}, {found['unit']}{_of(found)}", "quiet", 60)
    text = number(value)
    return join(what, blank(width - cells(what) - cells(text)), text, gap="")


def _of(found: Values) -> str:
    return f" of {safe(found['output'], 20)}" if found.get("output") else ""


# ------------------------------------------------------------------ words


def reasons(found: Values, width: int, most: int = _MOST_TOLD) -> list[Text]:
    """Return in plain language what the model did with the values, for and against."""
    shown = [styled(line, "strong", 0) for line in wrapped(str(found.get("summary") or ""), width)]
    shown += _bullets(found.get("reasons") or (), width, most)
    against = list(found.get("against") or ())
    if against and against != list(found.get("reasons") or ()):
        is_number = not found.get("probabilities") and found.get("unit") in _OF_NUMBERS
        what = "What lowers" if is_number else "What speaks against"
        shown += [styled(""), title(f"{what} {_named(found)}", width)]
        shown += _bullets(against, width, most)
    return shown


def _named(found: Values) -> str:
    return safe(found.get("output") or "it", 24)


def _bullets(sentences: Sequence[str], width: int, most: int) -> list[Text]:
    shown = []
    for sentence in sentences[:most]:
        first, *others = wrapped(sentence, width - 2)
        shown.append(join(styled(glyph("dot"), "accent"), styled(first, limit=0)))
        shown += [join(blank(2), styled(line, limit=0), gap="") for line in others]
    return shown


def counterfactuals(found: Values, width: int) -> list[Text]:
    """Return the smallest changes found that turn the decision, each verified by the model."""
    listed = found.get("counterfactuals") or ()
    note = str(found.get("counterfactual_note") or found.get("note") or "")
    if not listed:
        why = note or "No change was looked for."
        return [styled(line, "quiet", 0) for line in wrapped(why, width)]
    shown: list[Text] = []
    for place, it in enumerate(listed, 1):
        shown += [*([styled("")] if place > 1 else []), *counterfactual(it, width, place)]
    return [*shown, *(styled(line, "quiet", 0) for line in wrapped(note, width) if note)]


def counterfactual(it: Values, width: int, place: int = 1) -> list[Text]:
    """Return one change of a row that turns the decision: what was, what would be, what comes."""
    outcome = join(styled(label(it["prediction"]), "good"), _chance(it.get("probability")))
    n = len(it["changes"])
    head = join(styled(f"{place}.", "accent"), styled(f"{n} change{'s' * (n != 1)} to"), outcome)
    rows = [
        [
            styled(change["feature"], limit=_NAME),
            told(change["before"]),
            styled(glyph("arrow"), "quiet"),
            styled(told(change["after"]).plain, "strong"),
        ]
        for change in it["changes"]
    ]
    table = [join(blank(3), line, gap="") for line in laid(("", "", "", ""), rows)]
    about = f"distance {number(it['distance'], 3).plain}"
    if it.get("nearest_row") is not None:
        about += f"; the nearest training row that has that outcome is row {it['nearest_row']:,}"
    if it.get("is_minimal"):
        about += f"; {'none of the changes' if n > 1 else 'no part of it'} can be taken back"
    lines = [join(blank(3), styled(line, "quiet", 0), gap="") for line in wrapped(about, width - 3)]
    return [fit(head, width), *(fit(line, width) for line in table), *lines]


def _chance(probability: float | None) -> Text:
    return (
        join(styled("("), percent(probability), styled(")"), gap="") if probability else styled("")
    )


def held(found: Values, width: int) -> list[Text]:
    """Return the columns that stay as they are in every change, and why."""
    listed = found.get("held") or {}
    if not listed:
        return []
    rows = [[styled(name, limit=_NAME), styled(why, "quiet", 80)] for name, why in listed.items()]
    table = [fit(line, width) for line in laid(("", ""), rows[:_MOST])]
    return [title("Held as they are", width), *table, *_left(len(rows) - _MOST, "column")]


def similar(found: Values, width: int) -> list[Text]:
    """Return the training rows most like the row, with what became of them."""
    it = found.get("similar") or {}
    listed = it.get("rows") or ()
    said = wrapped(str(it.get("text") or "No similar row was looked for."), width)
    shown = [styled(line, "strong" if listed else "quiet", 0) for line in said]
    if not listed:
        return shown
    rows = [
        [
            styled(f"row {row['index']:,}"),
            number(row["distance"], 3),
            styled(label(row["outcome"])),
            styled(label(row["prediction"])),
            _differing(row),
        ]
        for row in listed
    ]
    heads = ("", "distance", "outcome", "predicted", "other values")
    return [*shown, styled(""), *(fit(line, width) for line in laid(heads, rows, (1,)))]


def _differing(row: Values) -> Text:
    names = list(row.get("differs") or ())
    values = row.get("values") or {}
    parts = [f"{safe(name, 24)} {told(values.get(name), 20).plain}" for name in names[:12]]
    left = len(names) - len(parts)
    return styled(", ".join(parts) + (f" and {left} more" if left > 0 else ""), "quiet", 300)


# ------------------------------------------------------------------ the way to the score


def trace(found: Values, width: int) -> list[Text]:
    """Return how the prediction comes about: each operation, the terms or leaves, the end."""
    it = found.get("trace") or {}
    if not it:
        return [styled("The way to the prediction was not asked for.", "quiet")]
    shown = [title("From the raw row to the features", width)]
    for step in it.get("steps") or ():
        first, *others = wrapped(step["text"], width - 5)
        shown.append(join(styled(f"{step['number']:>3}", "quiet", 0), styled(first, limit=0)))
        shown += [join(blank(4), styled(line, limit=0), gap="") for line in others]
    if not it.get("steps"):
        shown.append(styled("The features are the raw columns.", "quiet"))
    shown += _left(it["n_steps"] - len(it.get("steps") or ()), "step")
    shown += [*_terms(it, width), *_leaves(it, width), styled("")]
    for sentence in it.get("ending") or ():
        shown += [styled(line, limit=0) for line in wrapped(sentence, width)]
    return shown


def _left(n: int, noun: str) -> list[Text]:
    return [styled(f"and {n:,} more {noun}s", "quiet")] if n > 0 else []


def _terms(it: Values, width: int) -> list[Text]:
    terms = it.get("terms") or ()
    if not terms:
        return []
    rows = [
        [
            styled(term["feature"], limit=_NAME),
            number(term["value"]),
            styled(glyph("times"), "quiet"),
            number(term["coefficient"]),
            signed(term["product"], 4),
        ]
        for term in terms
    ]
    if it.get("intercept") is not None:
        none = styled("")
        rows.append([styled("intercept", "quiet"), none, none, none, signed(it["intercept"], 4)])
    table = laid(("term", "value", "", "coefficient", "product"), rows, (1, 3, 4))
    return [
        styled(""),
        *(fit(line, width) for line in table),
        *_left(it["n_terms"] - len(terms), "term"),
    ]


def _leaves(it: Values, width: int) -> list[Text]:
    leaves = it.get("leaves") or ()
    if not leaves:
        return []
    shown = [styled(""), title(f"The leaves that move the score most, of {it['n_trees']:,} trees",
                               width)]  # fmt: skip
    for leaf in leaves:
        moved = signed(leaf["value"] - leaf["expected"])
        head = join(styled(f"tree {leaf['tree']:,}"), moved, _average(leaf))
        shown.append(fit(head, width))
        conditions = " and ".join(leaf["conditions"]) or "always"
        shown += [
            join(blank(4), styled(line, "quiet", 0), gap="")
            for line in wrapped(conditions, width - 4)
        ]
    return shown


def _average(leaf: Values) -> Text:
    said = f"(adds {signed(leaf['value']).plain}, {signed(leaf['expected']).plain} on average)"
    return styled(said, "quiet")
