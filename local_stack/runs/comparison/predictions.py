"""Held-out predictions of a run as a table, so that runs can be compared row by row.

The file has the columns ``row`` (number of the row in the data version), ``target`` and
``prediction``, for a classifier that gives them one ``probability_<class>`` a class, and for a
regression with quantiles one ``quantile_<level>`` each; its metadata say the task, the classes in
the order of the model, and the data version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import StackError
from local_stack.evaluation import measure
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.runs.fit import Fitted

FILE: Final = "predictions.parquet"
"""Name of the table below the artefacts of a run."""
_KEY: Final = "paceml"
_PROBABILITY: Final = "probability_"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out predictions of one run; arrays of (n_rows,) in the order of the row numbers.

    For a classification ``truth`` and ``predicted`` are places in ``classes`` (-1: a class that
    the model has never seen), and ``probability`` is (n_rows, n_classes) or None. ``data`` is the
    data version whose rows are numbered.
    """

    task: str
    classes: tuple[Any, ...]
    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray | None
    data: str = ""

    def labels(self) -> list[Any]:
        """Return the true value of each row, whatever the model calls it."""
        if self.task == "regression":
            return list(self.truth.tolist())
        return [self.classes[place] if place >= 0 else None for place in self.truth.tolist()]

    def in_order(self) -> HeldOut:
        """Return the same predictions, ordered by the numbers of their rows."""
        import numpy as np

        order = np.argsort(self.rows, kind="stable")
        probability = None if self.probability is None else self.probability[order]
        return replace(
            self,
            rows=self.rows[order],
            truth=self.truth[order],
            predicted=self.predicted[order],
            probability=probability,
        )

    def metrics(self) -> dict[str, float]:
        """Return every metric that these predictions define."""
        if self.task == "regression":
            return measure.regression_metrics(self.truth, self.predicted)
        return measure.classification_metrics(
            self.truth, self.predicted, self.probability, len(self.classes)
        )


def write(fitted: Fitted, targets: pl.Series, path: Path, version: str) -> None:
    """Write the held-out predictions of a training; ``targets`` is the column of the whole table.

    Parameters
    ----------
    version
        The data version whose rows are numbered.
    """
    import polars as pl

    found, model = fitted.test, fitted.model
    columns: dict[str, Any] = {"row": found.rows, "target": targets[found.rows]}
    if model.task == "regression":
        columns["prediction"] = found.predicted
        if found.quantiles is not None:
            levels = model.record.quantiles
            columns |= {f"quantile_{q!r}": found.quantiles[:, k] for k, q in enumerate(levels)}
    else:
        columns["prediction"] = [model.classes[code] for code in found.predicted.tolist()]
        if found.probability is not None:
            columns |= {
                f"{_PROBABILITY}{name}": found.probability[:, place]
                for place, name in enumerate(model.classes)
            }
    about = {"task": model.task, "classes": list(model.classes), "data": version}
    table = pl.DataFrame(columns)
    table.write_parquet(path, compression="zstd", metadata={_KEY: json.dumps(about)})


def read(workspace: Workspace, files: Mapping[str, Any] | None) -> HeldOut | str:
    """Return the predictions that a run stored, or a sentence that says why there are none.

    Parameters
    ----------
    files
        The stored files of the run by path, as its record has them.
    """
    blob = (files or {}).get(FILE)
    if blob is None:
        return "it stored no predictions"
    try:
        path = workspace.artifacts.path(Blob.of(blob))
    except StackError as error:
        return f"its predictions cannot be read ({error.message.rstrip('.')})"
    try:
        return _read(path)
    except (ValueError, KeyError, TypeError, OSError):
        return "its predictions are of a form that this version does not know"


def _read(path: Path) -> HeldOut:
    import numpy as np
    import polars as pl

    about = json.loads(pl.read_parquet_metadata(path)[_KEY])
    table = pl.read_parquet(path, memory_map=False)
    classes = tuple(about["classes"])
    rows = table["row"].to_numpy()
    if about["task"] == "regression":
        truth = table["target"].cast(pl.Float64).to_numpy()
        predicted = table["prediction"].cast(pl.Float64).to_numpy()
        return HeldOut("regression", (), rows, truth, predicted, None, str(about["data"]))
    names = [name for name in table.columns if name.startswith(_PROBABILITY)]
    probability = table.select(names).to_numpy().astype(np.float64) if names else None
    truth, predicted = (_codes(table[name].to_list(), classes) for name in ("target", "prediction"))
    data = str(about["data"])
    return HeldOut(about["task"], classes, rows, truth, predicted, probability, data)


def _codes(labels: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    from local_stack.evaluation.targets import codes_of

    return codes_of(labels, classes)
