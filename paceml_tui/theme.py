"""The two themes, and the tones that text is drawn in: the only place that knows colours."""

from __future__ import annotations

from typing import Final

from rich.style import Style
from rich.theme import Theme as Tones
from textual.color import Color
from textual.theme import Theme

DARK: Final = Theme(
    name="paceml-dark",
    dark=True,
    primary="#7fb4ca",
    secondary="#9aa8c0",
    accent="#7fb4ca",
    foreground="#d4d9e1",
    background="#13161b",
    surface="#191d24",
    panel="#262c36",
    boost="#20252e",
    success="#93c486",
    warning="#dcb46c",
    error="#e0828a",
    variables={
        "quiet": "#8591a3",
        "strong": "#f3f5f8",
        "line": "#343c49",
        "cursor": "#2b3949",
        "input-selection-background": "#7fb4ca 35%",
    },
)

LIGHT: Final = Theme(
    name="paceml-light",
    dark=False,
    primary="#1f6480",
    secondary="#4c5a70",
    accent="#1f6480",
    foreground="#2a2f37",
    background="#f6f6f2",
    surface="#fdfdfb",
    panel="#e7e7e0",
    boost="#eeeee8",
    success="#39722f",
    warning="#875c00",
    error="#ae2f3a",
    variables={
        "quiet": "#626b78",
        "strong": "#0d1015",
        "line": "#cbcbc2",
        "cursor": "#d5e3ea",
        "input-selection-background": "#1f6480 25%",
    },
)

THEMES: Final = {theme.name: theme for theme in (DARK, LIGHT)}


_SHARES = (0.10, 0.22, 0.36, 0.78, 0.95)
_TURN = 0.5
"""How strong a ground is from which on its text is dark."""


def tones(theme: Theme) -> Tones:
    """Return the styles of the words that :mod:`paceml_tui.render` gives to text."""
    colours = theme.variables
    return Tones(
        {
            "good": Style(color=theme.success),
            "bad": Style(color=theme.error),
            "warning": Style(color=theme.warning),
            "accent": Style(color=theme.accent),
            "quiet": Style(color=colours["quiet"]),
            "strong": Style(color=colours["strong"], bold=True),
            "heading": Style(color=theme.primary, bold=True),
            "cursor": Style(bgcolor=colours["cursor"]),
            **_heat("plus", theme, str(theme.accent)),
            **_heat("minus", theme, str(theme.error)),
            **_ramp(theme),
            "here": Style(color=theme.background, bgcolor=theme.accent, bold=True),
        }
    )


def _heat(sign: str, theme: Theme, colour: str) -> dict[str, Style]:
    """Return grounds from the one of the theme to ``colour``, and what can be read on them."""
    ground, full = Color.parse(str(theme.background)), Color.parse(colour)
    found = {}
    for step, share in enumerate(_SHARES, 1):
        text = theme.background if share > _TURN else theme.foreground
        found[f"{sign}{step}"] = Style(color=text, bgcolor=ground.blend(full, share).hex)
    return found


def _ramp(theme: Theme) -> dict[str, Style]:
    """Return colours of text from low to high: ``ramp1`` to ``ramp5``."""
    low, high = Color.parse(str(theme.accent)), Color.parse(str(theme.error))
    middle = Color.parse(theme.variables["quiet"])
    mixed = (low, low.blend(middle, 0.6), middle, high.blend(middle, 0.6), high)
    return {f"ramp{step}": Style(color=it.hex) for step, it in enumerate(mixed, 1)}


def other(name: str) -> str:
    """Return the name of the theme to go to from the one called ``name``."""
    return LIGHT.name if name == DARK.name else DARK.name
