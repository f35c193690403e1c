"""An explanation as one HTML file that needs nothing else: no network, no script.

A policy in the file names the hash of its one style sheet and forbids everything else. What
would make the file too large is left out, and a sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    facts,
    joined,
    length,
    plain_number,
    tag,
    whole_page,
)
from local_stack.explain.effects.parts import Explained, ModelExplanation
from local_stack.explain.reporting import cases, sections
from local_stack.explain.reporting.geometry import GREY, PALETTE
from local_stack.explain.reporting.glossary import glossary
from local_stack.explain.reporting.points import CATEGORY_COLOURS

MAX_BYTES: Final = 6_000_000
"""Size that a page never passes, whatever the model."""

_SHEETS = ("local_stack.data.profiling", "local_stack.explain.groups", __package__)
_MOST_NOTES = 50
_FAIRNESS = 1_000_000  # bytes of its section


def html(
    explained: Explained,
    *,
    name: str = "",
    fairness: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the whole page, at most ``MAX_BYTES`` bytes in UTF-8.

    Parameters
    ----------
    name
        What the model is called: a registered model's version, or the name of a run.
    fairness
        The stored result of ``explain.fairness`` for the same run, as JSON has it.
    rows
        Explained rows, as JSON has the result of ``explain.row``.
    """
    found = explained.explanation
    parts: list[tuple[str, str, Markup | None]] = [
        ("overview", "Overview", _overview(found, name)),
        ("importance", "Importance", sections.importance(explained)),
        ("beeswarm", "Beeswarm", sections.beeswarm(explained)),
        ("features", "Features", sections.features(explained)),
        ("interactions", "Interactions", sections.interactions(found)),
        ("surrogate", "In a few rules", sections.surrogate(found)),
        ("unhelpful", "Columns that do not help", sections.unhelpful(found)),
        ("fairness", "Fairness", _fairness(fairness) if fairness else None),
        ("rows", "Single rows", cases.rows(rows) if rows else None),
        ("words", "What the words mean", glossary(found)),
    ]
    held = [(key, title, part) for key, title, part in parts if part is not None]
    return _document(held, _title(found, name))


def _document(parts: Sequence[tuple[str, str, Markup]], title: str) -> str:
    style = _style()
    links = joined(tag("a", word, href=f"#{key}") for key, word, _ in parts)
    sections_ = joined(
        tag("section", tag("h2", word) if key != "overview" else None, part, id=key)
        for key, word, part in parts
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#overview", class_="skip"),
        tag(
            "header",
            tag("strong", title),
            tag("nav", links, aria_label="Sections"),
            class_="top",
        ),
        tag("main", sections_),
        tag("footer", "Made by PACE-ML. This file loads nothing from anywhere."),
    )
    return whole_page(title, style, body)


def _style() -> str:
    """Return the style sheet: of profiles, of fairness, of this page, and places and colours."""
    sheets = [(files(name) / "page.css").read_text("utf-8") for name in _SHEETS]
    rules = [f".t{place}{{--t:{place / 2:g}%}}" for place in range(201)]
    for prefix, colours in (("s", PALETTE), ("c", CATEGORY_COLOURS)):
        for place, colour in enumerate(colours):
            name = f"{prefix}{place}"
            rules.append(f".dot.{name}{{stroke:{colour}}}i.{name}{{background:{colour}}}")
    rules.append(f".dot.grey{{stroke:{GREY}}}i.grey{{background:{GREY}}}")
    for place in range(1, 11):
        mixed = f"color-mix(in srgb,var(--accent) {place}0%,transparent)"
        text = ";color:var(--on)" if place > 6 else ""
        rules.append(f"td.p{place},i.p{place}{{background:{mixed}{text}}}")
    return "".join((*sheets, *rules))


def _fairness(found: Mapping[str, Any]) -> Markup:
    from local_stack.explain.groups.page import section

    drawn = section(found)
    if length(drawn) <= _FAIRNESS:
        return drawn
    where = "The fairness result is too large for this page: see explain/fairness.json of the run."
    return tag("p", where, class_="card cut")


def _title(found: ModelExplanation, name: str) -> str:
    return f"Explanation of {cut(name or found.run_id, 80)}"


def _overview(found: ModelExplanation, name: str) -> Markup:
    notes = [tag("li", cut(note, 400)) for note in found.notes[:_MOST_NOTES]]
    return tag(
        "div",
        tag("h1", _title(found, name)),
        tag("p", _lead(found), class_="lead"),
        tag("div", facts(_model_facts(found)), facts(_method_facts(found)), class_="facts-pair"),
        tag("ul", joined(notes), class_="reasons note") if notes else None,
        class_="card",
    )


def _lead(found: ModelExplanation) -> Markup:
    total = sum(item.mean_abs_shap for item in found.importance)
    first = [item for item in found.importance[:3] if item.mean_abs_shap > 0]
    if not first or not total:
        return Markup("No column moves the predictions of this model.")
    share = sum(item.mean_abs_shap for item in first) / total
    names = [tag("b", cut(item.feature, 60), class_="name") for item in first]
    told = joined((joined(names[:1]), *(joined((Markup(", "), it)) for it in names[1:])))
    verb = " moves" if len(first) == 1 else " move"
    is_one = len(found.outputs) < 2
    what = sections.output_of(found) if is_one else cut(found.target or "the target", 60)
    end = f"the most: {share:.0%} of all that columns add or take away (mean |SHAP value|)."
    return joined(
        (
            told,
            Markup(f"{verb} the prediction of "),
            tag("b", what, class_="name"),
            Markup(f" {end}"),
        )
    )


def _model_facts(found: ModelExplanation) -> list[tuple[str, Markup | str, bool]]:
    rows = counted(found.n_rows, "row")
    if found.is_sample:
        rows = f"{found.n_rows:,} of {counted(found.n_total, 'row')}, a seeded sample"
    told = [
        ("Run", cut(found.run_id, 80)),
        ("Estimator", cut(found.estimator, 80)),
        ("Target", cut(found.target, 80)),
        ("Explained output", cut(found.output, 80)),
        ("Data version", cut(found.data_version, 120)),
        ("Explained rows", rows),
    ]
    return [(key, value, False) for key, value in told if value]


def _method_facts(found: ModelExplanation) -> list[tuple[str, Markup | str, bool]]:
    base = plain_number(found.base_value, 6)
    if found.base_probability is not None:
        base += f" (probability {found.base_probability:.1%})"
    error = plain_number(found.additivity_error, 3)
    told: list[tuple[str, str, bool]] = [
        ("Unit of SHAP values", sections.unit_of(found), False),
        ("Base value", base, False),
        ("Method", cut(found.method, 200), False),
        ("Largest additivity error", error, False),
    ]
    if found.standard_error is not None:
        said = f"{plain_number(found.standard_error, 3)}, the largest"
        told.append(("Standard error of sampling", said, True))
    if found.background is not None:
        held = found.background
        rows = f"{counted(held.n_rows, 'row')} of " if held.n_rows else ""
        said = f"{rows}{cut(held.data_version, 80)}: {cut(held.how, 200)}"
        told.append(("Background", said, False))
    return [(key, value, hot) for key, value, hot in told]
