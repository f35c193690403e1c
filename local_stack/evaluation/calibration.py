"""Calibrated probabilities: isotonic or sigmoid, learnt from out-of-fold ones, kept as numbers.

As scikit-learn's ``CalibratedClassifierCV(ensemble=False)`` does: one map for the second of two
classes, and one for each class against the rest where there are more, put back to a sum of one.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

METHODS: Final = ("isotonic", "sigmoid")
_LARGE = 30.0
_NEAR = 1e-15
"""Probabilities nearer to each other are one, as scikit-learn has it (float64's resolution)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps from a probability to a calibrated one.

    ``maps`` holds one map for two classes, else one for each class. A map is the knots of an
    increasing line (``isotonic``: their places, then their heights), constant beyond its ends,
    or ``a`` and ``b`` of 1 / (1 + exp(a p + b)) (``sigmoid``: one number in each tuple).
    """

    method: str
    maps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]

    @property
    def n_classes(self) -> int:
        """Return of how many classes the probabilities are."""
        return max(2, len(self.maps))

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64 (n_rows, n_classes), of such an array."""
        import numpy as np

        if len(self.maps) == 1:
            second = self._mapped(0, probability[:, 1])
            return np.column_stack([1.0 - second, second])
        found = np.column_stack(
            [self._mapped(place, probability[:, place]) for place in range(len(self.maps))]
        )
        total = np.zeros(len(found))
        for column in found.T:  # one after the other, as the sum of a single row is
            total += column
        even = np.full_like(found, 1 / len(self.maps))
        np.divide(found, total[:, None], out=even, where=total[:, None] != 0)
        return even

    def apply_row(self, probability: Sequence[float]) -> list[float]:
        """Return the calibrated probabilities of one row: the same bits, without arrays."""
        if len(self.maps) == 1:
            second = self._mapped_one(0, probability[1])
            return [1.0 - second, second]
        found = [self._mapped_one(place, value) for place, value in enumerate(probability)]
        total = 0.0
        for value in found:
            total += value
        return [value / total if total else 1 / len(found) for value in found]

    def _mapped(self, place: int, values: np.ndarray) -> np.ndarray:
        import numpy as np

        if self.method == "sigmoid":
            (a,), (b,) = self.maps[place]
            with np.errstate(over="ignore"):
                return np.asarray(1.0 / (1.0 + np.exp(a * values + b)))
        at, height = (np.array(part) for part in self.maps[place])
        if len(at) == 1:
            return np.full(len(values), height[0])
        clipped = np.clip(values, at[0], at[-1])
        left = np.minimum(np.searchsorted(at, clipped, side="right") - 1, len(at) - 2)
        slope = (height[left + 1] - height[left]) / (at[left + 1] - at[left])
        found = slope * (clipped - at[left]) + height[left]
        return np.asarray(np.where(clipped == at[-1], height[-1], found))

    def _mapped_one(self, place: int, value: float) -> float:
        at, height = self.maps[place]
        if self.method == "sigmoid":
            import numpy as np  # its exp and that of math differ in the last bit

            with np.errstate(over="ignore"):
                return float(1.0 / (1.0 + np.exp(at[0] * value + height[0])))
        if value >= at[-1]:
            return height[-1]
        if value <= at[0]:
            return height[0]
        left = bisect_right(at, value) - 1
        slope = (height[left + 1] - height[left]) / (at[left + 1] - at[left])
        return slope * (value - at[left]) + height[left]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, of which :meth:`from_dict` makes the same calibration."""
        return {
            "method": self.method,
            "maps": [[list(first), list(second)] for first, second in self.maps],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Calibration:
        """Return the calibration of plain values; anything else raises ``ValueError``."""
        try:
            method = data["method"]
            maps = tuple((_numbers(first), _numbers(second)) for first, second in data["maps"])
        except (KeyError, TypeError) as error:
            raise ValueError("A calibration needs a method and maps.") from error
        if method not in METHODS:
            raise ValueError("A calibration is isotonic or sigmoid.")
        if not maps or len(maps) == 2:
            raise ValueError("A calibration has one map, or one for each of three classes or more.")
        for at, height in maps:
            if len(at) != len(height) or not at or (method == "sigmoid" and len(at) != 1):
                raise ValueError("The maps of a calibration are of different lengths.")
            if any(left >= right for left, right in itertools.pairwise(at)):
                raise ValueError("The knots of a calibration must rise.")
        return Calibration(method, maps)


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(
        isinstance(it, int | float) and not isinstance(it, bool) and math.isfinite(it)
        for it in values
    ):
        raise ValueError("The maps of a calibration hold finite numbers only.")
    return tuple(map(float, values))


def fit(
    method: str,
    probability: np.ndarray,
    truth: np.ndarray,
    n_classes: int,
    weights: np.ndarray | None = None,
) -> Calibration:
    """Return the calibration that out-of-fold probabilities ask for.

    Parameters
    ----------
    probability
        Of rows that the model had not seen, float64 (n_rows, n_classes).
    truth
        Class numbers (n_rows,).
    weights
        Of the rows, float64 (n_rows,), not all zero; all one when left out.
    """
    import numpy as np

    learn = {"isotonic": _isotonic, "sigmoid": _sigmoid}[method]
    weights = np.ones(len(truth)) if weights is None else weights
    places = [1] if n_classes == 2 else range(n_classes)
    return Calibration(
        method,
        tuple(learn(probability[:, k], (truth == k).astype(np.float64), weights) for k in places),
    )


def _isotonic(
    values: np.ndarray, is_true: np.ndarray, weights: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the knots of the increasing step of least squares, by pooling adjacent violators."""
    import numpy as np
    from scipy.optimize import isotonic_regression

    known = weights > 0
    values, is_true, weights = values[known], is_true[known], weights[known]
    order = np.lexsort((is_true, values))
    values, is_true, weights = values[order], is_true[order], weights[order]
    starts = _starts(values)
    weight = np.add.reduceat(weights, starts)
    mean = np.add.reduceat(weights * is_true, starts) / weight
    height = isotonic_regression(mean, weights=weight).x
    at = values[starts]
    is_knot = np.ones(len(at), dtype=bool)
    is_knot[1:-1] = (height[1:-1] != height[:-2]) | (height[1:-1] != height[2:])
    return tuple(at[is_knot].tolist()), tuple(height[is_knot].tolist())


def _starts(values: np.ndarray) -> np.ndarray:
    """Return where the runs of equal values begin, among sorted ones."""
    import numpy as np

    is_start = np.append(True, np.diff(values) > 0)
    if not (np.diff(values[is_start]) < _NEAR).any():
        return np.flatnonzero(is_start)
    starts = [0]
    for place, value in enumerate(values.tolist()):
        if value - values[starts[-1]] >= _NEAR:
            starts.append(place)
    return np.array(starts)


def _sigmoid(
    values: np.ndarray, is_true: np.ndarray, weights: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return ``a`` and ``b`` of Platt's method (1999): his targets, the least log loss."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    n_false, n_true = float(weights[is_true == 0].sum()), float(weights[is_true == 1].sum())
    wanted = np.where(is_true == 1, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))
    largest = float(np.abs(values).max())
    scale = largest if largest >= _LARGE else 1.0
    scaled = values / scale

    def loss_and_slope(ab: np.ndarray) -> tuple[float, np.ndarray]:
        score = -(ab[0] * scaled + ab[1])
        loss = weights * (np.logaddexp(0.0, score) - wanted * score)
        slope = weights * (expit(score) - wanted)
        return float(loss.sum()), np.array([-slope @ scaled, -slope.sum()])

    found = minimize(
        loss_and_slope,
        np.array([0.0, math.log((n_false + 1) / (n_true + 1))]),
        method="L-BFGS-B",
        jac=True,
        options={"gtol": 1e-6, "ftol": 64 * float(np.finfo(np.float64).eps)},
    )
    return (float(found.x[0]) / scale,), (float(found.x[1]),)
