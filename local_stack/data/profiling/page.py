"""A profile as one HTML file that needs nothing else: no network, no install, no script.

Scripts only filter and sort; a policy in the file names the hashes of its one style sheet and
its one script, and forbids everything else. What would make the file larger than ``MAX_BYTES``
is left out, and a sentence says so.
"""

from __future__ import annotations

import html
import os
import tempfile
from importlib.resources import files
from pathlib import Path

from local_stack.data.profiling import page_sections as sections
from local_stack.data.profiling.page_context import Context, context_of
from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    joined,
    left_out,
    length,
    tag,
    whole_page,
    within,
)
from local_stack.data.profiling.page_overview import overview
from local_stack.data.profiling.page_variables import card, row, rows_table
from local_stack.data.profiling.shape import DatasetProfile, VariableProfile
from local_stack.errors import ConflictError, InputError, NotFoundError

MAX_BYTES = 2_900_000
"""Size that a page never passes, whatever the table."""

_ALERTS, _PAIRS, _MATRICES, _DUPLICATES, _SAMPLE = 300_000, 350_000, 500_000, 80_000, 160_000
_ROWS = 800_000  # of variables that get a line instead of a card
_ROW = 700  # of one such line
_FEW = 3  # up to so many variables there is nothing to filter


def write_page(profile: DatasetProfile, path: Path) -> int:
    """Write the profile as one HTML file; return its size in bytes.

    Raises
    ------
    InputError, NotFoundError, ConflictError
        As :func:`publish` does.
    """
    check_place(path)
    content = render(profile).encode()
    publish(content, path)
    return len(content)


def publish(content: bytes, path: Path) -> None:
    """Write an HTML file, whole or not at all.

    An HTML file that is there is replaced, any other file is not.

    Raises
    ------
    InputError
        When ``path`` is a folder.
    NotFoundError
        When the folder that it is to stand in does not exist.
    ConflictError
        When a file is there that is no HTML.
    """
    check_place(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".paceml-")
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raise what :func:`publish` raises for a place, before there is anything to write."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file.", "Name a file in it.")
    if not path.parent.is_dir():
        raise NotFoundError(f"There is no folder {path.parent}.", "Make it, then call again.")
    if os.path.lexists(path) and not _is_page(path):
        raise ConflictError(
            f"{path} exists already and is no HTML page.", "Name another file for the page."
        )


def _is_page(path: Path) -> bool:
    if not path.is_file():  # reading a pipe would wait for ever
        return False
    with path.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    return not start or start.startswith((b"<!doctype html", b"<html"))


def render(profile: DatasetProfile) -> str:
    """Return the whole page, at most ``MAX_BYTES`` bytes in UTF-8."""
    context = context_of(profile)
    rest = {
        "overview": overview(profile, context, _ALERTS),
        "interactions": sections.interactions(profile, _PAIRS),
        "correlations": sections.correlations(profile, context, _MATRICES),
        "missing": sections.missing(profile, context),
        "duplicates": sections.duplicates(profile, _DUPLICATES),
        "sample": sections.sample(profile, _SAMPLE),
    }
    style, script = _asset("page.css") + _steps(), _asset("page.js")
    spent = sum(length(part) for part in rest.values() if part is not None)
    spent += len(style) + len(script) + 20_000
    parts = (
        ("overview", "Overview", rest["overview"]),
        ("variables", "Variables", _variables(profile, context, MAX_BYTES - spent)),
        ("interactions", "Interactions", rest["interactions"]),
        ("correlations", "Correlations", rest["correlations"]),
        ("missing", "Missing values", rest["missing"]),
        ("duplicates", "Duplicate rows", rest["duplicates"]),
        ("sample", "Sample", rest["sample"]),
    )
    held = [(key, title, part) for key, title, part in parts if part is not None]
    return _document(profile, held, style, script)


def framed(profile: DatasetProfile) -> str:
    """Return the page in a frame of its own, so that it and the page around it stay apart."""
    held = html.escape(render(profile))
    look = "width:100%;height:45rem;border:0"
    return (
        f'<iframe title="Profile" sandbox="allow-scripts" style="{look}" srcdoc="{held}"></iframe>'
    )


def _document(
    profile: DatasetProfile, parts: list[tuple[str, str, Markup]], style: str, script: str
) -> str:
    title = _title(profile)
    links = joined(tag("a", name, href=f"#{key}") for key, name, _ in parts)
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#overview", class_="skip"),
        tag("header", tag("strong", title), tag("nav", links), class_="top"),
        tag("main", joined(_section(*part) for part in parts)),
        tag("footer", _footer(profile)),
        Markup(f"<script>{script}</script>"),
    )
    return whole_page(f"Profile of {title}", style, body, script)


def _section(key: str, title: str, part: Markup) -> Markup:
    if key == "overview":
        part = tag("div", part, class_="card")
    return tag("section", tag("h2", title), part, id=key)


def _title(profile: DatasetProfile) -> str:
    made = profile.reproduction
    name, version = made.get("dataset"), made.get("version")
    if not name:
        return "a table"
    return cut(f"{name}@{version}" if version else str(name), 120)


def _footer(profile: DatasetProfile) -> str:
    seen = profile.overview
    shape = f"{counted(seen.n_rows, 'row')}, {counted(seen.n_columns, 'column')}"
    return f"Made by PACE-ML from {shape}. This file loads nothing from anywhere."


def _variables(profile: DatasetProfile, context: Context, budget: int) -> Markup:
    """Return cards for as many variables as fit, the first ones and those with alerts first."""
    if not profile.variables:
        return tag("p", "The table has no columns.", class_="card none")
    cards = _cards(profile, context, budget)
    lines, n_lines = _lines(
        [v for v in profile.variables if v.name not in cards], context, budget - _length(cards)
    )
    n = len(profile.variables)
    where = "The others are a line each below; all of one: paceml-tui data profile NAME --column C"
    return tag(
        "div",
        _controls(n) if len(cards) > _FEW else None,
        left_out(len(cards), n, "variable", where),
        tag("div", joined(cards.values()), id="cards"),
        lines,
        left_out(len(cards) + n_lines, n, "variable"),
    )


def _length(cards: dict[str, Markup]) -> int:
    return sum(length(each) for each in cards.values())


def _cards(profile: DatasetProfile, context: Context, budget: int) -> dict[str, Markup]:
    """Return the cards that fit, in the order of the columns."""
    target, alerts = profile.target, context.alerts
    budget -= min(_ROWS, _ROW * len(profile.variables))
    ranked = sorted(profile.variables, key=lambda v: (v.name != target, v.name not in alerts))
    kept: dict[str, Markup] = {}
    for variable in ranked:
        made = card(variable, context)
        budget -= length(made)
        if budget < 0:
            break
        kept[variable.name] = made
    return {v.name: kept[v.name] for v in profile.variables if v.name in kept}


def _lines(
    variables: list[VariableProfile], context: Context, budget: int
) -> tuple[Markup | None, int]:
    if not variables:
        return None, 0
    made = (row(variable, context, is_linked=False) for variable in variables)
    held, n = within(made, budget)
    return tag("div", rows_table(held), class_="card"), n


def _controls(n: int) -> Markup:
    options = (
        ("place", "as in the table"),
        ("name", "by name"),
        ("alerts", "most alerts first"),
        ("missing", "most missing first"),
        ("distinct", "most distinct first"),
    )
    order = joined(tag("option", text, value=key) for key, text in options)
    return tag(
        "p",
        tag(
            "label",
            "Find ",
            Markup('<input type="search" id="find" placeholder="name or type">'),
        ),
        tag("label", "Order ", tag("select", order, id="order")),
        tag("label", Markup('<input type="checkbox" id="only">'), " with alerts only"),
        Markup('<button type="button" id="open">Open all details</button>'),
        tag("span", counted(n, "variable"), id="n-shown", aria_live="polite"),
        class_="controls",
        hidden="",
    )


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _steps() -> str:
    """Return the rules of what is drawn by class: widths in percent, and tenths of a scale."""
    rules = [f".w{n}{{width:{n}%}}" for n in range(1, 101)]
    for n in range(1, 11):
        for prefix, tone in (("p", "accent"), ("n", "neg")):
            mixed = f"color-mix(in srgb,var(--{tone}) {n}0%,transparent)"
            rules.append(f"path.{prefix}{n}{{fill:var(--{tone});fill-opacity:{n / 10:g}}}")
            rules.append(f"td.{prefix}{n},i.{prefix}{n}{{background:{mixed}}}")
            if n > 6:
                rules.append(f"td.{prefix}{n}{{color:var(--on)}}")
    return "".join(rules)
