"""Explanations for people: what the Explain screen draws, as lines of the command line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paceml_tui import contrasts, decisions, dependences, explanations, fairness
from paceml_tui.render import Text, fit, join, styled
from paceml_tui.safe import safe
from paceml_tui.wording import told

_NARROWEST, _WIDEST = 60, 110
_HEIGHT = 10
_ID_LETTERS = 8

Values = Mapping[str, Any]


def _width() -> int:
    return min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns))


def _plain(shown: Sequence[Text]) -> Iterator[str]:
    for text in shown:
        yield text.plain.rstrip()


def _of(found: Values, what: str) -> str:
    name, mark, version = str(found["data_version"]).rpartition("@")
    where = safe(f"{name}{mark}{version[:_ID_LETTERS]}")
    return f"{what}run {found['run_id'][:_ID_LETTERS]}, data {where}"


def model_lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``explain model``."""
    width, document = _width(), {"explanation": found}
    yield _of(found, "")
    yield from _plain(explanations.about(document, width)[4:])
    yield ""
    yield from _plain(explanations.importance_lines(document, width))
    if found.get("n_summed", 1) > 1:
        yield f"The bars are summed over the {found['n_summed']} classes."
    for picture in explanations.pictures(document):
        if picture.name not in ("how exact", "shuffled"):
            yield ""
            yield from _plain(picture.draw(width, 2 * _HEIGHT))
    pages = [it for it in found["artifacts"] if it.endswith((".html", ".json", ".parquet"))]
    if pages:
        yield ""
        yield f"Stored with the run: {', '.join(map(safe, pages))}"


def row_lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``explain row``."""
    width = _width()
    which = f"Row {found['index']:,}, " if found["index"] is not None else ""
    yield _of(found, which)
    if found["outcome"] is not None:
        yield f"Its outcome was {safe(decisions.label(found['outcome']))}."
    yield ""
    yield from _plain([fit(decisions.verdict(found), width), styled("")])
    yield from _plain(decisions.waterfall(found, width))
    yield ""
    yield from _plain(decisions.reasons(found, width))
    if found["counterfactuals"] or found["counterfactual_note"]:
        yield ""
        yield "What would change it"
        yield from _plain(decisions.counterfactuals(found, width))
        yield from _plain(decisions.held(found, width))
    for key, draw in (("similar", decisions.similar), ("trace", decisions.trace)):
        if found[key]:
            yield ""
            yield from _plain(draw(found, width))
    yield from (f"Note: {safe(it, 0)}" for it in found["notes"])


def dependence_lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``explain dependence``."""
    width = _width()
    yield _of(found, f"{safe(found['feature'], 60)}, ")
    yield f"{found['n_rows']:,} of {found['n_total']:,} rows, {safe(found['method'])}"
    yield ""
    yield from _plain(
        dependences.dependence(found["dependence"], explanations.measured(found), width, _HEIGHT)
    )
    for it in found["dependence"]["strengths"][:5]:
        text = join(styled(it["column"], limit=40), told(f"{it['share'] * 100:.1f}%"))
        yield f"  {text.plain}"
    if found["partial"]:
        yield ""
        yield from _plain(dependences.partial_dependence(found["partial"], width, _HEIGHT))


def fairness_lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``explain fairness``."""
    yield _of(found, "")
    yield from _plain(fairness.lines(found, _width()))


def comparison_lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``explain compare``."""
    yield from _plain(contrasts.lines(found, _width()))
