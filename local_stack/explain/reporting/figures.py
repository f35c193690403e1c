"""Explanations of a model as PNG files, the same bytes for the same values.

Names from outside are plain text in them, never part of a path.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from local_stack.data.profiling.page_html import cut
from local_stack.explain.attributing.attributions import TARGET
from local_stack.explain.effects.parts import (
    CATEGORICAL,
    NUMERIC,
    Beeswarm,
    Dependence,
    Explained,
    ModelExplanation,
)
from local_stack.explain.reporting.geometry import GREY, PALETTE, jitter, span_of, swarm, ticks
from local_stack.explain.reporting.points import (
    CATEGORY_COLOURS,
    Category,
    Colouring,
    categories_of,
    colouring_of,
    in_order,
    label_of,
)
from local_stack.runs.pictures import plainly, shown_name

BEESWARM: Final = "shap_model_explainer.png"
IMPORTANCE: Final = "importance.png"
DEPENDENCE: Final = "dependence"
"""Folder of one figure for each feature."""

MOST_DEPENDENCES: Final = 40
"""Features, the most important ones, that get a figure of their own."""

_MOST_ROWS = 20
_MOST_CLASSES = 10
_ACCENT, _QUIET = "#008bfb", "#8a8f98"
_DPI = 100


def draw(explained: Explained, folder: Path) -> list[Path]:
    """Draw a beeswarm, the importance and a dependence plot for each feature; return the files.

    They are written into ``folder``, which exists.
    """
    with _drawing() as save:
        written = [
            save(folder / BEESWARM, lambda figure: _beeswarm(figure, explained)),
            save(folder / IMPORTANCE, lambda figure: _importance(figure, explained.explanation)),
        ]
        (folder / DEPENDENCE).mkdir(exist_ok=True)
        places = _places(explained)
        for dependence in explained.dependences[:MOST_DEPENDENCES]:
            name = file_name(places[dependence.column], dependence.column)
            path = folder / DEPENDENCE / name
            written.append(save(path, partial(_dependence, found=dependence)))
    return written


def _places(explained: Explained) -> dict[str, int]:
    """Return a number for each feature that stays when the model is explained in another way."""
    names = {item.feature for item in explained.explanation.importance}
    names |= {item.column for item in explained.dependences}
    return {name: place for place, name in enumerate(sorted(names), start=1)}


def file_name(place: int, column: str) -> str:
    """Return the name of a feature's figure: its place and the letters and digits of its name."""
    plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return f"{place:02d}-{'_'.join(words)[:40].strip('_') or 'feature'}.png"


@contextmanager
def _drawing() -> Iterator[Callable[[Path, Callable[[Any], None]], Path]]:
    """Lend one figure, which is cleared and drawn on again: a new one each time is slower."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with plainly():
        figure = Figure(dpi=_DPI)
        FigureCanvasAgg(figure)

        def save(path: Path, drawing: Callable[[Any], None]) -> Path:
            figure.clear()
            drawing(figure)
            figure.savefig(path, dpi=_DPI, format="png", metadata={"Software": None})
            return path

        yield save


def _axes(
    figure: Any, size: tuple[float, float], inches: tuple[float, float, float, float]
) -> tuple[Any, Callable[[float, float, float, float], Any]]:
    """Return axes inside margins (left, bottom, right, top) and a way to place more, in inches."""
    wide, high = size
    figure.set_size_inches(wide, high)
    left, bottom, right, top = inches

    def place(x: float, y: float, width: float, height: float) -> Any:
        return figure.add_axes((x / wide, y / high, width / wide, height / high))

    return place(left, bottom, wide - left - right, high - bottom - top), place


def _room(labels: Sequence[str]) -> float:
    """Return the inches that the longest of the labels needs at the left of an axis."""
    wide = {"W", "F"}
    longest = max(
        (sum(1 + (unicodedata.east_asian_width(it) in wide) for it in text) for text in labels),
        default=0,
    )
    return min(0.35 + 0.075 * longest, 3.0)


def _scale(figure: Any, axes: Any, ends: tuple[str, str], title: str) -> None:
    """Draw the colours of values from low to high."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(norm=Normalize(0, 1), cmap=_colours()), cax=axes, ticks=[0, 1]
    )
    bar.set_ticklabels(list(ends), fontsize=8)
    bar.set_label(title, labelpad=4 - 7 * max(map(len, ends)) / 2)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("feature value", PALETTE)


# ------------------------------------------------------------------ the whole model


def _beeswarm(figure: Any, explained: Explained) -> None:
    found = explained.beeswarm
    shown = min(len(found.columns), _MOST_ROWS)
    names = [shown_name(name) for name in found.columns[:shown]]
    left = _room(names)
    size = (left + 6.6, max(1.0 + 0.34 * shown, 2.6))
    axes, place = _axes(figure, size, (left, 0.6, 1.0, 0.4))
    axes.axvline(0, color=_QUIET, linewidth=1, zorder=0)
    for row in range(shown):
        axes.axhline(row, color="#d5d9df", linewidth=0.6, linestyle=":", zorder=0)
    _points(axes, found, shown)
    axes.set_yticks(range(shown), names)
    axes.set(ylim=(shown - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"SHAP value (impact on model output, {_unit(explained.explanation)})")
    more = f", {shown} of {len(found.columns)} features" if shown < len(found.columns) else ""
    axes.set_title(f"{found.n_rows:,} rows{more}", fontsize=9, loc="left", color="#5b6470")
    bar = place(left + 5.75, 0.6, 0.12, size[1] - 1.0)
    _scale(figure, bar, ("Low", "High"), "Feature value")


def _points(axes: Any, found: Beeswarm, shown: int) -> None:
    import numpy as np

    values = np.asarray(found.shap[:shown], dtype=np.float64).reshape(shown, found.n_rows)
    scaled = np.asarray(
        [[np.nan if it is None else it for it in row] for row in found.scaled[:shown]],
        dtype=np.float64,
    ).reshape(values.shape)
    span = span_of([float(it) for it in (values.min(initial=0), values.max(initial=0))])
    beside = np.stack([swarm(row, span) for row in values]) if shown else values
    heights = np.arange(shown)[:, None] - 0.4 * beside
    grey = np.isnan(scaled)
    style: dict[str, Any] = {"s": 9, "linewidths": 0, "alpha": 0.85}
    axes.scatter(values[grey], heights[grey], color=GREY, **style)
    style |= {"cmap": _colours(), "vmin": 0, "vmax": 1}
    axes.scatter(values[~grey], heights[~grey], c=scaled[~grey], **style)
    axes.set_xlim(span.low, span.high)


def _importance(figure: Any, found: ModelExplanation) -> None:
    shown = found.importance[:_MOST_ROWS]
    names = [shown_name(item.feature) for item in shown]
    left = _room(names)
    permuted = (
        {item.column: item for item in found.permutation.columns} if found.permutation else {}
    )
    size = (left + (7.2 if permuted else 4.8), max(1.0 + 0.28 * len(shown), 2.4))
    axes, place = _axes(figure, size, (left, 0.6, size[0] - left - 4.2, 0.4))
    _bars(axes, found)
    axes.set_yticks(range(len(shown)), names)
    more = f", {len(shown)} of {len(found.importance)} features"
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlabel=f"mean |SHAP value| ({found.unit})")
    axes.set_title(
        f"{found.n_rows:,} rows{more if len(shown) < len(found.importance) else ''}",
        fontsize=9, loc="left", color="#5b6470",
    )  # fmt: skip
    if found.permutation is None:
        return
    beside = place(left + 4.5, 0.6, 2.4, size[1] - 1.0)
    beside.axvline(0, color=_QUIET, linewidth=0.8)
    held = [(at, permuted[it.feature]) for at, it in enumerate(shown) if it.feature in permuted]
    means = [it.mean for _, it in held]
    below = [max(it.mean - it.low, 0) for _, it in held]
    above = [max(it.high - it.mean, 0) for _, it in held]
    style: dict[str, Any] = {"fmt": "o", "markersize": 4, "capsize": 2, "color": "#ff0051"}
    beside.errorbar(means, [at for at, _ in held], xerr=[below, above], linewidth=1.2, **style)
    beside.set_yticks([])
    metric = shown_name(found.permutation.metric.replace("_", " "))
    beside.set(ylim=(len(shown) - 0.4, -0.6), xlabel=f"{metric} gets worse by (95% interval)")
    beside.set_title("when shuffled", fontsize=9, loc="left", color="#5b6470")
    beside.locator_params(axis="x", nbins=4)


def _bars(axes: Any, found: ModelExplanation) -> None:
    """Draw a bar for each feature, of one piece for each class where there are many."""
    shown = found.importance[:_MOST_ROWS]
    n_classes = len(shown[0].by_class) if shown else 0
    if not 1 < n_classes <= _MOST_CLASSES:
        axes.barh(range(len(shown)), [it.mean_abs_shap for it in shown], 0.7, color=_ACCENT)
        return
    start = [0.0] * len(shown)
    for place in range(n_classes):
        piece = [it.by_class[place] for it in shown]
        label = shown_name(found.outputs[place])
        axes.barh(range(len(shown)), piece, 0.7, left=start, color=f"C{place}", label=label)
        start = [a + b for a, b in zip(start, piece, strict=True)]
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _unit(found: ModelExplanation) -> str:
    if found.unit == TARGET:
        return f"unit of {shown_name(found.target)}"
    named = found.output and found.output != found.target
    of = f" of {shown_name(found.target)} = {shown_name(found.output)}" if named else ""
    return f"{found.unit}{of}"


# ------------------------------------------------------------------ one feature


def _dependence(figure: Any, found: Dependence) -> None:
    colouring = colouring_of(found)
    has_key = colouring.column is not None
    size, margins = (7.0 if has_key else 6.0, 4.2), (0.95, 0.6, 1.75 if has_key else 0.2, 0.25)
    axes, place = _axes(figure, size, margins)
    axes.axhline(0, color=_QUIET, linewidth=0.8, linestyle=":", zorder=0)
    is_categorical = found.kind == CATEGORICAL
    (_categorical if is_categorical else _continuous)(axes, found, colouring)
    name = shown_name(found.column)
    axes.set_ylabel(f"SHAP value of {name}")
    axes.set_xlabel(name)
    if colouring.column is None:
        return
    if colouring.is_scale:
        bar = place(5.4, 0.6, 0.12, size[1] - 0.85)
        _scale(figure, bar, (colouring.names[0], colouring.names[1]), shown_name(colouring.column))
    else:
        _legend(axes, colouring)


def _continuous(axes: Any, found: Dependence, colouring: Colouring) -> None:
    """Draw numbers or dates against SHAP values; rows without a value stand at the left."""
    import numpy as np

    places = in_order(found.values, found.kind)
    known = np.isfinite(places)
    span = span_of([float(it) for it in places[known]])
    told = label_of(found.values, found.kind)
    width = span.high - span.low
    low = span.low
    if not known.all():
        middle = span.low - 0.08 * width
        places = np.where(known, places, middle + 0.03 * width * jitter(len(places)))
        low = span.low - 0.14 * width
        axes.axvspan(low, span.low - 0.02 * width, color="#f0f1f4", linewidth=0, zorder=0)
        axes.text(
            middle, 0.99, "missing", transform=axes.get_xaxis_transform(), rotation=90,
            ha="center", va="top", fontsize=8, color="#5b6470",
        )  # fmt: skip
    _scatter(axes, places, found, colouring)
    axes.set_xlim(low, span.high)
    if known.any():
        shown = list(ticks(span, 6))
        if sum(len(told(it)) for it in shown) > 40:
            shown = list(ticks(span, 3))
        if found.kind != NUMERIC:
            shown = [float(it) for it in np.linspace(span.low, span.high, 5)[1:-1]]
        axes.set_xticks(shown, [told(it) for it in shown])


def _categorical(axes: Any, found: Dependence, colouring: Colouring) -> None:
    """Draw a column of points for each category, with its mean."""
    import numpy as np

    held, n_others = categories_of(found)
    places = np.full(len(found.values), np.nan)
    for at, category in enumerate(held):
        rows = list(category.rows)
        places[rows] = at + 0.3 * jitter(len(rows))
        axes.plot([at - 0.38, at + 0.38], [category.mean] * 2, color="#1b1f24", linewidth=1.5)
    _scatter(axes, places, found, colouring)
    labels = [_label(category) for category in held]
    turned = sum(map(len, labels)) > 48
    axes.set_xticks(
        range(len(held)), labels, fontsize=8,
        **({"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}),
    )  # fmt: skip
    axes.set_xlim(-0.6, max(len(held), 1) - 0.4)
    if turned:
        box = axes.get_position()
        rise = min(0.012 * max(map(len, labels)), 0.2)
        axes.set_position((box.x0, box.y0 + rise, box.width, box.height - rise))
    if n_others:
        axes.set_title(f"{n_others} rarer values are left out", fontsize=8, loc="left")


def _label(category: Category) -> str:
    name = "missing" if category.name is None else shown_name(category.name) or "(empty)"
    return cut(name, 18)


def _scatter(axes: Any, places: Any, found: Dependence, colouring: Colouring) -> None:
    import numpy as np

    marks, shap = np.asarray(colouring.marks, dtype=np.int64), np.asarray(found.shap)
    colours = np.asarray(
        [*(PALETTE if colouring.is_scale else CATEGORY_COLOURS), GREY]  # the last one is for -1
        if colouring.column is not None
        else [_ACCENT]
    )
    axes.scatter(places, shap, s=11, c=colours[marks], linewidths=0, alpha=0.75)


def _legend(axes: Any, colouring: Colouring) -> None:
    from matplotlib.lines import Line2D

    told = list(zip(CATEGORY_COLOURS, colouring.names, strict=False))
    if colouring.grey:
        told.append((GREY, colouring.grey))
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=colour) for colour, _ in told
    ]
    labels = [cut(shown_name(name), 20) or "(empty)" for _, name in told]
    axes.legend(
        handles, labels, title=cut(shown_name(colouring.column or ""), 20), frameon=False,
        fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0),
        handletextpad=0.1, borderaxespad=0.2,
    )  # fmt: skip
