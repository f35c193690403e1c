"""The standard pictures of an evaluation as PNG files, the same bytes for the same numbers.

Names from outside are plain text in them, and settings of matplotlib from outside change nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

CLASSIFICATION: Final = "classification.png"
REGRESSION: Final = "regression.png"
IMPORTANCE: Final = "importance.png"
LEARNING: Final = "learning_curve.png"
_MODEL, _OTHER, _QUIET = "#1f77b4", "#d62728", "#888888"
_MOST_FEATURES = 20
_MOST_CLASSES = 12
_LONGEST = 32


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what an evaluation (as :meth:`Evaluation.to_dict` has it) holds; return the files.

    ROC, precision and recall, calibration and confusion are one picture, residuals another.
    """
    details, written = document["details"], []
    panels: list[tuple[str, list[Callable[[Any], None]]]] = []
    if "confusion" in details:
        panels.append((CLASSIFICATION, _classification(document)))
    if "residuals" in details:
        panels.append((REGRESSION, _regression(document)))
    if details.get("importance"):
        panels.append((IMPORTANCE, [lambda axes: _importance(axes, details["importance"])]))
    if "learning_curve" in details:
        panels.append((LEARNING, [lambda axes: _learning(axes, details["learning_curve"])]))
    if not panels:
        return []
    with plainly():
        for name, drawings in panels:
            written.append(folder / name)
            _save(drawings, folder / name)
    return written


@contextmanager
def plainly() -> Iterator[None]:
    """Set matplotlib to its own defaults; a dollar sign in a name begins no formula."""
    import matplotlib as mpl

    kept: Any = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        mpl.rcParams.update(kept)
        mpl.rcParams.update(
            {
                "text.parse_math": False,
                "text.usetex": False,
                "font.size": 9,
                "axes.spines.top": False,
                "axes.spines.right": False,
            }
        )
        yield


def _save(drawings: list[Callable[[Any], None]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n = len(drawings)
    across = 1 if n == 1 else 2
    down = -(-n // across)
    figure = Figure(figsize=(6.4, 4.4) if n == 1 else (8.4, 3.8 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for place, drawing in enumerate(drawings, start=1):
        drawing(figure.add_subplot(down, across, place))
    figure.savefig(path, dpi=100, format="png", metadata={"Software": None})


def shown_name(text: str) -> str:
    """Return a name without marks that steer, cut."""
    shown = "".join(it if it.isprintable() else "?" for it in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


# ------------------------------------------------------------------ classification


def _classification(document: Mapping[str, Any]) -> list[Callable[[Any], None]]:
    details, classes = document["details"], [shown_name(it) for it in document["classes"]]
    found: list[Callable[[Any], None]] = []
    if details.get("roc"):
        found.append(lambda axes: _roc(axes, details["roc"]))
    if details.get("precision_recall"):
        found.append(lambda axes: _precision(axes, details["precision_recall"]))
    if "calibration" in details:
        found.append(lambda axes: _calibration(axes, details, len(classes)))
    found.append(lambda axes: _confusion(axes, details["confusion"], classes))
    return found


def _roc(axes: Any, lines: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=0.8, linestyle=":")
    _lines(axes, lines)
    axes.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")


def _precision(axes: Any, lines: Mapping[str, Any]) -> None:
    _lines(axes, lines)
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision")
    axes.set_ylim(-0.03, 1.03)


def _lines(axes: Any, lines: Mapping[str, Any]) -> None:
    for number, (name, line) in enumerate(lines.items()):
        axes.plot(line["x"], line["y"], color=f"C{number}", linewidth=1.5, label=shown_name(name))
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlim(-0.03, 1.03)


def _calibration(axes: Any, details: Mapping[str, Any], n_classes: int) -> None:
    axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=0.8, linestyle=":")
    told = (("calibration_before", "before calibration", _QUIET), ("calibration", "model", _MODEL))
    for key, label, colour in told:
        if key not in details:
            continue
        bins = details[key]["bins"]
        x, y = ([it[member] for it in bins] for member in ("predicted", "observed"))
        below = [it["observed"] - it["low"] for it in bins]
        above = [it["high"] - it["observed"] for it in bins]
        said = f"{label}, ECE {details[key]['expected_error']:.3f}"
        style = {"color": colour, "marker": "o", "markersize": 3.5, "capsize": 2}
        axes.errorbar(x, y, yerr=[below, above], linewidth=1.2, label=said, **style)
    what = "probability" if n_classes == 2 else "probability of the likeliest class"
    axes.set(title="Calibration", xlabel=what, ylabel="observed share")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _confusion(axes: Any, counts: list[list[int]], classes: list[str]) -> None:
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Confusion", xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    if len(classes) > _MOST_CLASSES:
        axes.set(xticks=[], yticks=[])
        return
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=0 if len(classes) <= 3 else 90)
    axes.set_yticks(places, classes)
    for down, row in enumerate(counts):
        for across, n in enumerate(row):
            colour = "white" if shares[down][across] > 0.5 else "black"
            axes.text(across, down, f"{n:,}", ha="center", va="center", color=colour, fontsize=8)


# ------------------------------------------------------------------ regression and others


def _regression(document: Mapping[str, Any]) -> list[Callable[[Any], None]]:
    found = document["details"]["residuals"]
    target = shown_name(document["target"])
    return [lambda axes: _against(axes, found, target), lambda axes: _histogram(axes, found)]


def _against(axes: Any, found: Mapping[str, Any], target: str) -> None:
    axes.axhline(0, color=_QUIET, linewidth=0.8, linestyle=":")
    axes.scatter(found["predicted"], found["residual"], s=8, alpha=0.5, color=_MODEL, linewidths=0)
    axes.set(title="Residuals", xlabel=f"predicted {target}", ylabel="truth minus prediction")
    axes.locator_params(axis="x", nbins=6)


def _histogram(axes: Any, found: Mapping[str, Any]) -> None:
    axes.stairs(found["counts"], found["edges"], fill=True, color=_MODEL, alpha=0.8)
    axes.axvline(0, color=_QUIET, linewidth=0.8, linestyle=":")
    said = f"mean {_figure(found['mean'])}, deviation {_figure(found['deviation'])}"
    axes.set(title=said, xlabel="truth minus prediction", ylabel="rows")
    axes.locator_params(axis="x", nbins=5)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.3g}"


def _importance(axes: Any, found: Mapping[str, Any]) -> None:
    shown = list(found["values"].items())[:_MOST_FEATURES][::-1]
    axes.barh(range(len(shown)), [value for _, value in shown], color=_MODEL)
    axes.set_yticks(range(len(shown)), [shown_name(name) for name, _ in shown])
    n = len(found["values"])
    more = f", {len(shown)} of {n}" if n > len(shown) else ""
    axes.set(title=f"Importance of the features{more}", xlabel=found["kind"])


def _learning(axes: Any, found: Mapping[str, Any]) -> None:
    told = (("train", "rows learnt from", _QUIET), ("held_out", "held-out rows", _MODEL))
    for key, label, colour in told:
        axes.plot(found["n_rows"], found[key], marker="o", markersize=4, label=label, color=colour)
    metric = found["metric"].replace("_", " ")
    axes.set(title="Learning curve", xlabel="rows learnt from", ylabel=metric)
    axes.legend(frameon=False)
