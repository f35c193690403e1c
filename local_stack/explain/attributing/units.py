"""What SHAP values are measured in, and how they change from one unit to another.

A link leads from the raw scores of a model to what it predicts. Which one a model has is not
read from its settings but seen: it is the one that makes its predictions of its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from local_stack.explain.attributing.attributions import (
    BEFORE,
    DECISION,
    LOG_ODDS,
    LOG_TARGET,
    PROBABILITY,
    TARGET,
    Attributions,
)
from local_stack.explain.attributing.coalitions import ORDERS, values_of_sum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

_NEAR: Final = 1e-9
_NEAR_SINGLE: Final = 1e-5
"""As near as the numbers of XGBoost are, which has 32 bits for them."""
_STEPS: Final = 32
"""Points of the Gauss-Legendre rule along the way from the base to a row."""


@dataclass(frozen=True, slots=True)
class Link:
    """How raw scores (n_rows, n_outputs) become predictions of the same shape.

    ``is_joint`` says that a prediction depends on the scores of all outputs.
    """

    unit: str
    apply: Callable[[Array], Array]
    is_joint: bool = False


def sigmoid(scores: Array) -> Array:
    """Return the logistic function, float64 in the shape given."""
    from scipy.special import expit

    found: Array = expit(scores)
    return found


def _softmax(scores: Array) -> Array:
    from scipy.special import softmax

    found: Array = softmax(scores, axis=1)
    return found


def _exponential(scores: Array) -> Array:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.asarray(np.exp(scores))


def _clipped(scores: Array) -> Array:
    import numpy as np

    return np.asarray((np.clip(scores, -1.0, 1.0) + 1.0) / 2.0)


_IDENTITY: Final = {
    "regression": Link(TARGET, lambda it: it),
    "classification": Link(PROBABILITY, lambda it: it),
}
_LINKS: Final = {
    "regression": (_IDENTITY["regression"], Link(LOG_TARGET, _exponential)),
    "classification": (
        _IDENTITY["classification"],
        Link(LOG_ODDS, sigmoid),
        Link(LOG_ODDS, _softmax, is_joint=True),
        Link(DECISION, _clipped),
    ),
}


def predictions(model: Model, matrix: Array) -> Array:
    """Return what a model predicts before calibration, (n_rows, n_outputs), as outputs count."""
    if model.task == "regression":
        return model.outputs(matrix).reshape(len(matrix), 1)
    return _second(model.uncalibrated(matrix))


def calibrated(model: Model, matrix: Array) -> Array:
    """Return what a model predicts in the end, (n_rows, n_outputs), as outputs count."""
    if model.task == "regression":
        return model.outputs(matrix).reshape(len(matrix), 1)
    return _second(model.probabilities(matrix))


def _second(probabilities: Array) -> Array:
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities


def link_of(model: Model, raw: Array, matrix: Array) -> Link | None:
    """Return the link that makes a model's predictions of its raw scores; None if none does."""
    import numpy as np

    if model.task == "classification" and not model.has_probabilities:
        return Link(DECISION, lambda it: it)
    wanted = predictions(model, matrix)
    near = _NEAR_SINGLE if model.kind == "xgboost" else _NEAR
    for link in _LINKS[model.task]:
        if np.allclose(link.apply(raw), wanted, rtol=near, atol=near):
            is_told = model.record.calibration is None or link.unit == DECISION
            return link if is_told else replace(link, unit=link.unit + BEFORE)
    return None


def final_unit(model: Model) -> str:
    """Return the unit of what a model predicts in the end."""
    if model.task == "regression":
        return TARGET
    return PROBABILITY if model.has_probabilities else DECISION


def units_of(model: Model, link: Link | None) -> tuple[str, ...]:
    """Return the units that values can be told in; the first is that of the model itself.

    The shares of a calibrated forest are none of them: they would pass for its probabilities.
    """
    final = final_unit(model)
    if link is None or link.unit == PROBABILITY + BEFORE:
        return (final,)
    return tuple(dict.fromkeys((link.unit, final)))


def spelled(unit: str, units: Sequence[str]) -> str:
    """Return the unit that is meant: ``log-odds`` may be those before calibration."""
    return unit + BEFORE if unit not in units and unit + BEFORE in units else unit


def is_final(model: Model, link: Link, unit: str) -> bool:
    """Return whether ``unit`` is that of the predictions, and the scores are not these already."""
    return unit == final_unit(model) and link.unit != unit


def can_rescale(model: Model, link: Link) -> bool:
    """Return whether :func:`in_predictions` can answer: not for many calibrated classes."""
    return model.record.calibration is None or not (link.is_joint or len(model.classes) > 2)


def told_of(model: Model, found: Attributions, output: str | None) -> Attributions:
    """Return the same attributions, turned around where ``output`` is the first of two classes."""
    if len(model.classes) != 2 or output != str(model.classes[0]):
        return found
    is_signed = found.unit != DECISION or hasattr(model.estimator, "decision_function")
    at = 0.0 if found.unit != PROBABILITY and is_signed else 1.0
    base, raw = at - found.base, at - found.raw
    return replace(found, outputs=(output,), values=-found.values, base=base, raw=raw)


def in_predictions(model: Model, found: Attributions, link: Link, wanted: Array) -> Attributions:
    """Return attributions of raw scores as those of predictions, in their unit.

    The difference between a row's prediction and that of the base is divided as Aumann and
    Shapley have it: along the straight way from the base to the row's scores. Where an output
    depends on its own score, its values are scaled by one factor; else the way is integrated.
    Isotonic calibration has steps, over which such a factor knows no bounds: there the values are
    those of Shapley, of the game in which each column adds its part of the score.

    Parameters
    ----------
    wanted
        What the model predicts for the rows, :func:`calibrated`.
    """
    import numpy as np

    base = _calibrated_base(model, link.apply(found.base[None]))
    moved, error = found.raw - found.base, None
    calibration, unit = model.record.calibration, final_unit(model)
    how = f"rescaled from {found.unit} (Aumann-Shapley)"
    if link.is_joint:
        values = _along_the_way(found, moved)
    elif calibration is not None and calibration.method == "isotonic":

        def function(scores: Array) -> Array:
            made = link.apply(scores.reshape(-1, 1))
            return _calibrated_base(model, made).reshape(scores.shape)

        terms, ends = found.values[:, :, 0], wanted[:, 0]
        one, error = values_of_sum(function, float(found.base[0]), terms, ends)
        values, error = one[:, :, None], None if error is None else error[:, :, None]
        way = "every coalition" if error is None else f"{ORDERS} orders forth and back"
        how = f"in {unit} by Shapley values of the columns' parts of the {found.unit} ({way})"
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = (wanted - base) / moved
        factor = np.where(np.abs(moved) < 1e-12, _slope(model, link, found.base), factor)
        values = found.values * factor[:, None]
    method = f"{found.method}, {how}"
    return replace(
        found, values=values, base=base[0], raw=wanted, unit=unit, method=method, error=error
    )


def probability_of(model: Model, link: Link | None, score: float, output: str) -> float | None:
    """Return the probability of one of two classes at a score in the link's unit.

    None where the model has more classes, no probabilities, or is explained by them.
    """
    import numpy as np

    if link is None or link.is_joint or final_unit(model) != PROBABILITY:
        return None
    if len(model.classes) != 2 or link.unit.removesuffix(BEFORE) == PROBABILITY:
        return None
    is_first = output == str(model.classes[0])
    second = _calibrated_base(model, link.apply(np.array([[-score if is_first else score]])))
    return float(1 - second[0, 0] if is_first else second[0, 0])


def _calibrated_base(model: Model, base: Array) -> Array:
    """Return probabilities before calibration (n, 1) as the model has them in the end."""
    import numpy as np

    calibration = model.record.calibration
    if calibration is None or base.shape[1] != 1:
        return base
    return calibration.apply(np.column_stack([1 - base, base]))[:, 1:]


def _slope(model: Model, link: Link, base: Array) -> Array:
    """Return how fast predictions move with the scores at the base: the limit of the factor."""
    step = 1e-6
    high, low = (_calibrated_base(model, link.apply(base[None] + it)) for it in (step, -step))
    found: Array = (high - low) / (2 * step)
    return found


def _along_the_way(found: Attributions, moved: Array) -> Array:
    import numpy as np

    places, weights = np.polynomial.legendre.leggauss(_STEPS)
    values = np.zeros_like(found.values)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        p = _softmax(found.base + place * moved)
        mean = np.einsum("nfk,nk->nf", found.values, p)
        values += weight * p[:, None] * (found.values - mean[:, :, None])
    return values
