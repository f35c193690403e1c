"""The outcome that a row should get instead: another class, or a number in a range."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError
from local_stack.explain.attributing.attributing import class_scores
from local_stack.explain.deciding.reasons import shown, signed
from local_stack.names import class_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_BOUND: Final = re.compile(rf"(<=|>=)\s*({_NUMBER})")
_RANGE: Final = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A class by its number, or for a regression the numbers from ``low`` to ``high``."""

    model: Model
    number: int = -1
    low: float = -math.inf
    high: float = math.inf

    @property
    def label(self) -> Any:
        """Return the class, None for a regression."""
        return self.model.classes[self.number] if self.model.classes else None

    @property
    def words(self) -> str:
        """Return the outcome in words."""
        if self.model.classes:
            return self.named(self.label)
        if math.isinf(self.high):
            return f"at least {signed(self.low)}"
        if math.isinf(self.low):
            return f"at most {signed(self.high)}"
        return f"between {signed(self.low)} and {signed(self.high)}"

    def named(self, prediction: Any) -> str:
        """Return what the model says in words: a class by its name, as results spell it."""
        return shown(str(prediction) if self.model.classes else prediction)

    def holds(self, prediction: Any) -> bool:
        """Return whether a prediction, as the model gives it, is wanted."""
        if self.model.classes:
            return bool(prediction == self.label)
        return bool(self.low <= prediction <= self.high)

    def judge(self, matrix: Array) -> tuple[NDArray[np.bool_], Array]:
        """Return which rows get the outcome (n_rows,), and how near each comes to it.

        What is near is the larger; it only guides a search, the first alone decides.
        """
        import numpy as np

        model = self.model
        if model.task == "regression":
            found = model.outputs(matrix)
            missed = np.maximum(np.maximum(self.low - found, found - self.high), 0.0)
            return (found >= self.low) & (found <= self.high), -missed
        scores = scores_of(model, matrix)
        score = scores[:, self.number] - np.delete(scores, self.number, axis=1).max(axis=1)
        is_own = model.kind == "sklearn" and model.record.is_plain  # its own rule for ties
        if is_own or not model.has_probabilities:
            return np.asarray(model.outputs(matrix) == self.number), score
        return np.asarray(model.decided(scores) == self.number), score


def scores_of(model: Model, matrix: Array) -> Array:
    """Return how near a classifier comes to each class, (n_rows, n_classes).

    That are its probabilities, or its decision function where it gives none.
    """
    import numpy as np

    if model.has_probabilities:
        return model.probabilities(matrix)
    found = class_scores(model, matrix)
    return np.column_stack([-found, found]) if found.shape[1] == 1 else found


def wanted_of(model: Model, prediction: Any, scores: Sequence[float], asked: str) -> Wanted:
    """Return what ``asked`` means for a row with a prediction.

    Parameters
    ----------
    scores
        Of each class for the row, (n_classes,), as :func:`scores_of` gives them.
    asked
        A class, or ``>=6``, ``<=6``, ``5..6``, or ``6``: at least 6 for a row below it, at most
        6 for one above. '' for the other class with the largest score.

    Raises
    ------
    InputError
        There is no such class, or it is no range.
    """
    if model.task == "regression":
        low, high = _range(model, float(prediction), asked)
        return Wanted(model, low=low, high=high)
    if asked:
        return Wanted(model, class_place(asked, model.classes))
    own = model.classes.index(prediction)
    others = [number for number in range(len(model.classes)) if number != own]
    return Wanted(model, max(others, key=lambda number: (scores[number], -number)))


def _range(model: Model, prediction: float, asked: str) -> tuple[float, float]:
    text = asked.strip()
    if bound := _BOUND.fullmatch(text):
        value = float(bound[2])
        return (-math.inf, value) if bound[1] == "<=" else (value, math.inf)
    if (ends := _RANGE.fullmatch(text)) and (ends[1] or ends[2]):
        low = float(ends[1]) if ends[1] else -math.inf
        high = float(ends[2]) if ends[2] else math.inf
        if low <= high:
            return low, high
    if re.fullmatch(_NUMBER, text):
        value = float(text)
        return (value, math.inf) if prediction < value else (-math.inf, value)
    raise InputError(
        f"'{asked[:60]}' is no range of {model.target}.",
        "Write >=6, <=6, 5..6, or 6 for at least or at most 6.",
    )
