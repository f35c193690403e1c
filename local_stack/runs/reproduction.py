"""How a repeated run differs from the record of the first: its outcome, and the likely causes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.results import Result
from local_stack.runs import provenance
from local_stack.runs.changes import changes
from local_stack.runs.comparison import predictions
from local_stack.runs.learning import MODEL, Learnt
from local_stack.runs.recipe import Recipe, load_recipe
from local_stack.runs.recorded import Recorded
from local_stack.stores.artifacts import Blob, Tree, is_whole
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

CAUSES: Final = ("data", "recipe", "seed", "code", "environment", "threads")
_ABOUT_THE_RUN: Final = (
    *("MLmodel", "requirements.txt", "python_env.yaml"),
    *("input_example.json", "serving_input_example.json"),
)
"""Files of a model that say who made it and with what, and nothing of what it predicts."""
_SEEDS: Final = ("split.seed", "params.seed", "params.random_state", "params.random_seed")
_USED: Final = frozenset(
    {
        *("numpy", "scipy", "scikit-learn", "lightgbm", "polars", "pyarrow"),
        *("xgboost", "xgboost-cpu", "catboost", "pandas", "skops", "joblib", "threadpoolctl"),
        *("paceml-tui", "polars-runtime-32"),
    }
)
"""Packages that a training runs code of."""


@dataclass(frozen=True, slots=True)
class Difference(Result):
    """A value that was recorded, and what it is now; ``cause`` is one of ``CAUSES``."""

    cause: str
    key: str
    recorded: Any
    now: Any


@dataclass(frozen=True, slots=True)
class MovedMetric(Result):
    """A metric as it was recorded and as it is now; ``moved`` is their difference.

    NaN and infinities are None in JSON, so ``is_identical`` says whether the bits are the same.
    """

    key: str
    recorded: float
    now: float | None
    moved: float | None
    is_identical: bool


@dataclass(frozen=True, slots=True)
class SamePredictions(Result):
    """Held-out predictions of both: how many rows differ, and by how much at most.

    ``largest_difference`` is of predicted numbers and probabilities; it is None where other rows
    were held out, or labels were predicted alone.
    """

    is_identical: bool
    n_rows: int
    n_different: int
    largest_difference: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is the same and what is not.

    ``n_other_packages`` is how many packages differ that no training uses.
    """

    files: dict[str, bool]
    predictions: SamePredictions | None
    metrics: tuple[MovedMetric, ...]
    differences: tuple[Difference, ...]
    n_other_packages: int

    @property
    def is_identical(self) -> bool:
        """Return whether model, predictions and metrics are the same to the last bit."""
        is_same = self.predictions is None or self.predictions.is_identical
        return is_same and all(self.files.values()) and all(m.is_identical for m in self.metrics)


def compare(
    workspace: Workspace, record: Recorded, learnt: Learnt, folder: Path, plan: Recipe
) -> Comparison:
    """Compare what a repeated training left in ``folder`` with the record of the run.

    Parameters
    ----------
    plan
        The recipe that was trained now.
    """
    now = json.loads((folder / provenance.FILE).read_bytes())
    found = [*_of_recipe(record, plan), *_of_environment(record.environment, now)]
    if record.data != now["data"]:
        found.insert(0, Difference("data", "version", record.data, now["data"]))
    told = [one for one in found if not _is_other_package(one)]
    return Comparison(
        files=dict(_files(record, folder / MODEL)),
        predictions=_predictions(workspace, record, folder / predictions.FILE),
        metrics=tuple(_metrics(record, learnt)),
        differences=tuple(sorted(told, key=lambda one: CAUSES.index(one.cause))),
        n_other_packages=len(found) - len(told),
    )


# ------------------------------------------------------------------ the outcome


def _files(record: Recorded, folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield each recorded file of the model and whether its bytes are the same now."""
    for name, blob in sorted(Tree.of(record.row["model"]).members.items()):
        if name not in _ABOUT_THE_RUN:
            yield name, is_whole(folder / name, blob)


def _metrics(record: Recorded, learnt: Learnt) -> Iterator[MovedMetric]:
    """Yield each recorded metric; what was not measured then is nothing to compare."""
    for key, told in (record.row["metrics"] or {}).items():
        recorded = float(told)
        if key not in learnt.metrics:
            yield MovedMetric(key, recorded, None, None, False)
            continue
        now = float(learnt.metrics[key])
        is_identical = now == recorded or (now != now and recorded != recorded)
        yield MovedMetric(key, recorded, now, 0.0 if is_identical else now - recorded, is_identical)


def _predictions(workspace: Workspace, record: Recorded, path: Path) -> SamePredictions | None:
    blob = (record.row["files"] or {}).get(predictions.FILE)
    if blob is None:
        return None
    import polars as pl

    if is_whole(path, Blob.of(blob)):  # the recorded ones need not be read, nor be there
        return SamePredictions(
            True, pl.scan_parquet(path).select(pl.len()).collect().item(), 0, 0.0
        )
    first = pl.read_parquet(workspace.artifacts.path(Blob.of(blob)), memory_map=False)
    if not path.exists():
        return SamePredictions(False, first.height, first.height, None)
    return _same_rows(first, pl.read_parquet(path, memory_map=False))


def _same_rows(first: pl.DataFrame, second: pl.DataFrame) -> SamePredictions:
    """Compare tables of predictions by their bits."""
    import numpy as np

    if first.schema != second.schema or not first["row"].equals(second["row"]):
        return SamePredictions(False, first.height, first.height, None)
    is_different = np.zeros(first.height, dtype=bool)
    largest: float | None = None
    for name in first.columns:
        one, other = first[name], second[name]
        if not one.dtype.is_float() or one.null_count() or other.null_count():
            is_different |= one.ne_missing(other).to_numpy()
            continue
        a, b = one.to_numpy(), other.to_numpy()
        is_different |= a.view(np.int64) != b.view(np.int64)
        if name != "target":
            moved = np.abs(a - b)
            largest = max(largest or 0.0, float(moved[~np.isnan(moved)].max(initial=0.0)))
    n_different = int(is_different.sum())
    return SamePredictions(n_different == 0, first.height, n_different, largest)


# ------------------------------------------------------------------ the causes


def _of_recipe(record: Recorded, plan: Recipe) -> Iterator[Difference]:
    for change in changes(record.recipe, plan.to_dict()):
        if change["key"] not in (*_SEEDS, "dataset"):  # these are told as seeds and as data
            yield Difference("recipe", change["key"], change["from"], change["to"])
    told = record.environment.get("recipe", {}).get("hash")
    if told is None:
        return
    read = provenance.recipe_hash(load_recipe(record.recipe_text, check=False))
    if read != told:  # the record is another recipe's, or is read in another way now
        yield Difference("recipe", "hash", told, read)


def _of_environment(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    if not recorded:
        return
    for key in ("version", "sha256"):
        yield from _values("code", f"engine.{key}", recorded["engine"], now["engine"], key)
    for key in ("missing", "commit", "diff_sha256"):
        yield from _values("code", f"git.{key}", recorded["code"], now["code"], key)
    for group in ("python", "platform", "packages"):
        for change in changes(recorded[group], now[group]):
            key = f"{group}.{change['key']}"
            yield Difference("environment", key, change["from"], change["to"])
    libraries = [sorted(_blas(one)) for one in (recorded, now)]
    if libraries[0] != libraries[1]:
        yield Difference("environment", "libraries", *libraries)
    for key in sorted({*recorded["seeds"], *now["seeds"]}):
        yield from _values("seed", key, recorded["seeds"], now["seeds"], key)
    yield from _values("threads", "threads", recorded, now, "threads")


def _values(
    cause: str, name: str, recorded: Mapping[str, Any], now: Mapping[str, Any], key: str
) -> Iterator[Difference]:
    before, after = recorded.get(key) or None, now.get(key) or None
    if before != after:
        yield Difference(cause, name, before, after)


def _blas(environment: Mapping[str, Any]) -> set[str]:
    """Return the libraries of linear algebra, which choose their code by the processor."""
    return {
        " ".join(str(one[key]) for key in ("internal_api", "version", "architecture") if key in one)
        for one in environment.get("libraries", ())
        if one.get("user_api") == "blas"
    }


def _is_other_package(one: Difference) -> bool:
    group, _, name = one.key.partition(".")
    return group == "packages" and name not in _USED
