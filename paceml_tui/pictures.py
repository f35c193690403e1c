"""Pictures as text: two pixels in a cell, one over the other, in their colours or as shades.

Pillow comes with matplotlib; where it is not there, only the size of a picture is told.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Final

from paceml_tui.render import Text, is_ascii, join, number, styled

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
_MOST_PIXELS = 40_000_000
_SHADES = " .:-=+*#%@"
_GROUND = (16, 20, 24)
"""What stands behind pixels that let something through."""


def picture(path: Path, width: int, height: int) -> list[Text]:
    """Return a picture in at most ``width`` by ``height`` cells, under its size in pixels.

    Raises
    ------
    OSError, ValueError, SyntaxError
        The file is no picture, is damaged, or is too large to be decoded.
    """
    try:
        from PIL import Image
    except ImportError:
        return [styled("Pictures are shown where Pillow is installed.", "quiet")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is looked at
        opened = Image.open(path, formats=_FORMATS)
    with opened as image:
        across, down = image.size
        about = join(number(across), styled("by"), number(down), styled("pixels"))
        if across * down > _MOST_PIXELS:
            return [about, styled("It is too large to be shown as text.", "warning")]
        scale = min(width / across, height * 2 / down, 1.0)
        size = max(1, round(across * scale)), max(2, round(down * scale) // 2 * 2)
        image.draft("RGB", size)
        small = image.convert("RGBA").resize(size)
        ground = Image.new("RGBA", size, (*_GROUND, 255))
        pixels = Image.alpha_composite(ground, small).convert("RGB")
    is_plain = is_ascii() or bool(os.environ.get("NO_COLOR"))
    draw = _shaded if is_plain else _coloured
    return [about, *(draw(pixels, row) for row in range(0, size[1], 2))]


def _coloured(pixels: Any, row: int) -> Text:
    """Return two rows of pixels as one of cells; neighbours of the same colours are one run."""
    parts: list[Text] = []
    run, tone = 0, ""
    for column in range(pixels.width):
        upper, lower = pixels.getpixel((column, row)), pixels.getpixel((column, row + 1))
        here = f"{_hex(upper)} on {_hex(lower)}"
        if here != tone and run:
            parts.append(styled("▀" * run, tone, 0))
            run = 0
        run, tone = run + 1, here
    parts.append(styled("▀" * run, tone, 0))
    return join(*parts, gap="")


def _shaded(pixels: Any, row: int) -> Text:
    """Return two rows of pixels as one of marks that are the fuller the lighter they are."""
    marks = []
    for column in range(pixels.width):
        values = (*pixels.getpixel((column, row)), *pixels.getpixel((column, row + 1)))
        red, green, blue = (values[n] + values[n + 3] for n in range(3))
        light = (0.299 * red + 0.587 * green + 0.114 * blue) / 510
        marks.append(_SHADES[min(len(_SHADES) - 1, int(light * len(_SHADES)))])
    return styled("".join(marks), "", 0)


def _hex(pixel: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*pixel)
