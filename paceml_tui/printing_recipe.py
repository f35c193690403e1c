"""Recipes and what they do as text for people, in as many columns as the terminal has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from paceml_tui import preparation
from paceml_tui.safe import safe

Values = Mapping[str, Any]

_NARROWEST, _WIDEST = 60, 140


def recipe_lines(values: Values) -> Iterator[str]:
    """Yield a stored recipe, the JSON of ``data recipe``: itself, under a comment that names it."""
    name = f"recipe {values['number']} of {safe(values['dataset'], 60)}"
    yield f"# {name} ({safe(values['hash'], 16)}), {safe(values['source'], 20)}"
    yield f"# by {safe(values['actor'], 40)} at {safe(values['created_at'], 30)}"
    for warning in values["warnings"]:
        yield f"# {safe(warning, 200)}"
    yield from safe(values["text"].rstrip(), 0, is_block=True).split("\n")


def preparation_lines(values: Values) -> Iterator[str]:
    """Yield what a recipe does, the JSON of ``data prepare``, without colour.

    The step that was asked for follows in full, and without one a line for each.
    """
    width = min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)
    yield from _plain(preparation.about(values, width))
    yield ""
    asked = [it for it in values["steps"] if it["number"] == values["step"]]
    if asked:
        yield from _plain(preparation.in_full(asked[0], yaml_of(asked[0]), width))
    else:
        yield from _plain(preparation.overview(values, width))
    if values["made"]:
        made = values["made"]
        yield ""
        yield (
            f"Stored as {safe(made['dataset'], 60)}@{safe(made['version'], 16)}, "
            f"{made['rows']:,} rows, {made['columns']:,} columns"
        )


def yaml_of(step: Values) -> str:
    """Return a step as one line of a recipe."""
    from local_stack.data.recipes.document import one_line

    return one_line(step["step"])


def _plain(lines: Any) -> Iterator[str]:
    for line in lines:
        yield line.plain.rstrip()
