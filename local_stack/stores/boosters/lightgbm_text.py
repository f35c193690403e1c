"""LightGBM's boosters, in its text format."""

from __future__ import annotations

import ctypes
import re
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any

from local_stack.stores.model_guards import check_booster

if TYPE_CHECKING:
    import numpy as np

    from local_stack.stores.model import ModelRecord

FILE = "model.lgb"
FORMAT = "LightGBM text"
DISTRIBUTIONS: tuple[str, ...] = ("lightgbm",)
_OF_THE_HOST = {
    "num_threads": "0",
    "machines": "",
    "local_listen_port": "12400",
    "num_machines": "1",
    "time_out": "120",
}
"""Parameters that say where a booster was trained; the text has LightGBM's defaults of them."""


class _Silent:
    """A logger for LightGBM, whose own prints to stdout."""

    def info(self, message: str) -> None:
        """Say nothing."""

    def warning(self, message: str) -> None:
        """Say nothing."""


def silence_lightgbm() -> None:
    """Keep LightGBM from printing; its errors still come as exceptions."""
    import lightgbm

    lightgbm.register_logger(_Silent())


def content(booster: Any, record: ModelRecord) -> bytes:
    """Return LightGBM's text of a booster's best rounds; it does not say where it was trained."""
    text = str(booster.model_to_string(num_iteration=booster.best_iteration or -1))
    for name, value in _OF_THE_HOST.items():
        text = re.sub(rf"^\[{name}: .*\]$", f"[{name}: {value}]", text, flags=re.MULTILINE)
    return text.encode("utf-8")


def check(content: bytes, n_features: int, record: ModelRecord) -> None:
    """See :class:`Library`."""
    check_booster(content, n_features, record.n_outputs)


def parse(content: bytes, record: ModelRecord) -> Any:
    """See :class:`Library`."""
    import lightgbm

    silence_lightgbm()
    # What stands after the trees (training parameters, for the reader) is left out: LightGBM ends
    # the process over a line there that it does not know, and predictions do not depend on it.
    trees = content.partition(b"\nend of trees\n")[0].decode("utf-8")
    try:
        return lightgbm.Booster(model_str=f"{trees}\nend of trees\n\npandas_categorical:null\n")
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


def predict(booster: Any, matrix: np.ndarray, record: ModelRecord) -> np.ndarray:
    """See :class:`Library`."""
    found: np.ndarray = booster.predict(matrix)
    return found


def flavour(record: ModelRecord) -> dict[str, Any]:
    """See :class:`Library`."""
    return {
        "lgb_version": metadata.version("lightgbm"),
        "model_class": "lightgbm.basic.Booster",
        "data": FILE,
        "code": None,
    }


def row_predictor(booster: Any, content: bytes, n_features: int, record: ModelRecord) -> _SingleRow:
    """See :class:`Library`."""
    return _SingleRow(booster, n_features, record.n_outputs)


class _SingleRow:
    """LightGBM's single-row fast call: the set-up is paid once, not for each row."""

    def __init__(self, booster: Any, n_features: int, n_outputs: int) -> None:
        from lightgbm import basic

        self._booster = booster  # owns what the configuration points to
        self._library = basic._LIB
        self._check = basic._safe_call
        self._lock = threading.Lock()
        self._row = ctypes.c_double * n_features
        self._result = (ctypes.c_double * n_outputs)()
        self._n_written = ctypes.c_int64(0)
        self._handle = ctypes.c_void_p()
        self._check(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,
                ctypes.c_int(0),  # the transformed score
                ctypes.c_int(0),
                ctypes.c_int(-1),  # all iterations
                ctypes.c_int(1),  # float64
                ctypes.c_int32(n_features),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self._handle),
            )
        )

    def __call__(self, features: list[float]) -> list[float]:
        with self._lock:  # the configuration and the result belong to one call at a time
            self._check(
                self._library.LGBM_BoosterPredictForMatSingleRowFast(
                    self._handle,
                    self._row(*features),
                    ctypes.byref(self._n_written),
                    self._result,
                )
            )
            return self._result[:]

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.LGBM_FastConfigFree(self._handle)
