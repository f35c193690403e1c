"""Libraries of boosted trees: how each stores a booster, checks its bytes, reads and asks it.

A library is a module of this package with the functions of :class:`Library`. None imports the
library itself before one of them needs it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Protocol

from local_stack.errors import InputError
from local_stack.stores.boosters import catboost_json, lightgbm_text, xgboost_json

if TYPE_CHECKING:
    import numpy as np

    from local_stack.stores.model import ModelRecord


class Library(Protocol):
    """What a model needs of a library. A matrix is float64 (n_rows, n_features)."""

    FILE: str
    """Name of the booster's file; that of a quantile has ``_q<level>`` before its endings."""
    FORMAT: str
    """What the format is called."""
    DISTRIBUTIONS: tuple[str, ...]
    """Packages of the registry that bring the library; any one of them is enough."""

    def content(self, booster: Any, record: ModelRecord) -> bytes:
        """Return the bytes of a trained booster, the same ones for the same training."""

    def check(self, content: bytes, n_features: int, record: ModelRecord) -> None:
        """Raise ``DamagedError`` or an error of Python unless the bytes hold only a booster."""

    def parse(self, content: bytes, record: ModelRecord) -> Any:
        """Return the booster of checked bytes."""

    def predict(self, booster: Any, matrix: np.ndarray, record: ModelRecord) -> np.ndarray:
        """Return numbers, or probabilities of the second of two classes, float64 (n_rows,).

        With more classes (n_rows, n_classes).
        """

    def row_predictor(
        self, booster: Any, content: bytes, n_features: int, record: ModelRecord
    ) -> Callable[[list[float]], list[float]]:
        """Return :meth:`predict` of a single row, as fast as the library can, on one thread."""

    def flavour(self, record: ModelRecord) -> dict[str, Any]:
        """Return what ``MLmodel`` says so that MLflow's own flavour can load the booster."""


LIBRARIES: Final[dict[str, Library]] = {
    "lightgbm": lightgbm_text,
    "xgboost": xgboost_json,
    "catboost": catboost_json,
}
"""By the word that a recipe uses, which is also the name of the module and of MLflow's flavour."""


def require(name: str) -> None:
    """Raise :class:`InputError` unless a library is installed; it is not imported."""
    if importlib.util.find_spec(name) is None:
        extra = f"'paceml-tui[{name}]'" if name != "lightgbm" else name
        raise InputError(
            f"The estimator {name} is not installed.", f"Install it with: pip install {extra}"
        )


def distribution(name: str) -> str:
    """Return the package that brought a library, its usual one where none has."""
    for found in LIBRARIES[name].DISTRIBUTIONS:
        try:
            metadata.version(found)
        except metadata.PackageNotFoundError:
            continue
        return found
    return LIBRARIES[name].DISTRIBUTIONS[0]
