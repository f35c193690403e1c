"""The models that a run has saved: in which format, and whether they are ever loaded here.

A model of ours is a booster in its library's text or JSON, or a skops file, and is loaded after its
hashes were checked. Every other model is listed, with what its ``MLmodel`` says of it, and never
loaded: a pickle runs whatever it holds. For those the way to a format without code is told, to be
gone where the model is trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_stack.errors import StackError
from local_stack.names import inside
from local_stack.results import Result
from local_stack.stores.artifacts import Blob
from local_stack.stores.boosters import LIBRARIES
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

PICKLE: Final = "pickle"
UNKNOWN: Final = "unknown"
_MLMODEL: Final = "MLmodel"
_MOST_MODELS: Final = 50
_MOST_BYTES: Final = 1_000_000
_PICKLED: Final = frozenset({"pickle", "cloudpickle", "joblib"})
_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".pth")
_ENDINGS: Final = {
    ".lgb": "LightGBM text",
    ".skops": "skops",
    ".onnx": "ONNX",
    ".ubj": "XGBoost UBJSON",
    ".xgb": "XGBoost",
    ".cb": "CatBoost",
    ".keras": "Keras",
    ".h5": "Keras HDF5",
}
_SKLEARN: Final = (
    "Where it is trusted: mlflow.sklearn.log_model(mlflow.sklearn.load_model(PATH), "
    'name="model", serialization_format="skops").'
)
_LIGHTGBM: Final = (
    "Where it is trusted: mlflow.lightgbm.load_model(PATH).booster_.save_model('model.txt')."
)
_TRAIN: Final = "train the same model by a recipe, with runs train"
_FUNCTION: Final = f"It is code of its own: {_TRAIN}."
_OTHER: Final = f"It is listed only: {_TRAIN}."


@dataclass(frozen=True, slots=True)
class SavedModel(Result):
    """A model of a run. ``path`` is its folder below the run's artefacts, or the logged model's id.

    ``flavors`` are MLflow's, ``format`` is how the estimator is stored, ``is_loadable`` tells
    whether this program loads it, ``advice`` is what can be done where it does not.
    """

    path: str
    flavors: tuple[str, ...]
    format: str
    is_loadable: bool
    advice: str = ""


def models_of(workspace: Workspace, row: Row) -> tuple[SavedModel, ...]:
    """Return the models of the run in ``row``, a row of ``found_runs``; none is loaded."""
    if row["model"]:
        members = row["model"].get("members") or {}
        flavor, found = "sklearn", "skops"
        for name, library in LIBRARIES.items():
            if library.FILE in members:
                flavor, found = name, library.FORMAT
        return (SavedModel("model", ("python_function", flavor), found, True),)
    return tuple(_described(name, text) for name, text in _written(workspace, row))


def refusals(models: Sequence[SavedModel]) -> tuple[str, ...]:
    """Return for each model that is not loaded here why, and what to do."""
    kinds = {PICKLE: "a pickle, which is never loaded", UNKNOWN: "of an unknown format"}
    return tuple(
        f"Model '{model.path}' is {kinds.get(model.format, model.format)}. {model.advice}"
        for model in models
        if not model.is_loadable
    )


def advice_without(workspace: Workspace, row: Row, verb: str) -> str:
    """Return what to do where ``verb``, such as Explain, needs a model and this run has none."""
    tags = row["tags"] or {}
    if "paceml.trial" in tags and tags.get("mlflow.parentRunId"):
        study = tags["mlflow.parentRunId"][:8]
        return f"It is a trial, which keeps none: {verb.lower()} its study, {study}."
    for refused in refusals(models_of(workspace, row)):
        return refused if _TRAIN in refused else f"{refused} To {verb.lower()} it here, {_TRAIN}."
    if row["status"] != "FINISHED":
        return f"{verb} a run whose status is FINISHED."
    return "It logged none: train one by a recipe, with runs train."


def _written(workspace: Workspace, row: Row) -> Iterator[tuple[str, str | None]]:
    """Yield the folder of each model, and the text of its ``MLmodel`` where it can be read."""
    files = row.get("files") or {}
    paths = [path for path in row["artifacts"] or () if path.rpartition("/")[2] == _MLMODEL]
    for path in sorted(paths)[:_MOST_MODELS]:
        yield path.rpartition("/")[0] or ".", _read(_place(workspace, row, files, path))
    logged = sorted(map(str, row["logged_models"] or ()))[:_MOST_MODELS]
    if not logged:
        return
    found = workspace.query("SELECT place FROM stored_runs WHERE run_id = ?", row["run_id"])
    experiment = Path(found[0]["place"]).parent if found else None
    for model in logged:
        yield model, _read(_logged(experiment, model)) if experiment else None


def _place(workspace: Workspace, row: Row, files: Mapping[str, Any], path: str) -> Path | None:
    try:
        if path in files:
            return workspace.artifacts.path(Blob.of(files[path]))
        return inside(Path(row["artifact_folder"]), path) if row["artifact_folder"] else None
    except (StackError, OSError):
        return None


def _logged(experiment: Path, model: str) -> Path | None:
    """Return the ``MLmodel`` of a logged model of MLflow 3, which lies beside the runs."""
    try:
        return inside(experiment / "models", f"{model}/artifacts/{_MLMODEL}")
    except (StackError, OSError):
        return None


def _read(place: Path | None) -> str | None:
    """Return the text of a small ordinary file, or None."""
    if place is None:
        return None
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123 - by handle: no second look-up of the name
            is_plain = stat.S_ISREG(os.fstat(handle).st_mode)
            content = file.read(_MOST_BYTES + 1) if is_plain else b""
    except OSError:
        return None
    return content.decode("utf-8", "replace") if 0 < len(content) <= _MOST_BYTES else None


def _described(path: str, text: str | None) -> SavedModel:
    flavors = _flavors(text)
    if not flavors:
        advice = "Look at its file MLmodel: it is missing, damaged, or not on this machine."
        return SavedModel(path, (), UNKNOWN, False, advice)
    names = tuple(sorted(flavors))
    native = {name: flavors[name] for name in names if name != "python_function"}
    found = _format(native or flavors)
    return SavedModel(path, names, found, False, _advice(found, native))


def _flavors(text: str | None) -> dict[str, dict[str, Any]]:
    """Return the flavours of an ``MLmodel``; {} for a text that is none."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the safe one in C, where built
        content = yaml.load(text or "", Loader=loader)  # noqa: S506
        flavors = content["flavors"]
        return {str(name)[:100]: dict(about) for name, about in flavors.items()}
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _format(flavors: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how the estimator is stored, a pickle where that is not told."""
    for name, about in flavors.items():
        form = str(about.get("serialization_format") or about.get("model_format") or "")
        files = [
            str(about[key]) for key in ("pickled_model", "data", "model_path") if about.get(key)
        ]
        if form in _PICKLED or any(file.lower().endswith(_PICKLES) for file in files):
            return PICKLE
        if form == "skops":
            return "skops"
        for file in files:
            ending = os.path.splitext(file)[1].lower()  # noqa: PTH122 - a text, not a path of ours
            if ending in _ENDINGS:
                return _ENDINGS[ending]
        if name == "sklearn" or about.get("python_model") or about.get("loader_module"):
            return PICKLE
    return UNKNOWN


def _advice(found: str, native: Mapping[str, Any]) -> str:
    if found != PICKLE:
        return _OTHER
    if "sklearn" in native:
        return _SKLEARN
    return _LIGHTGBM if "lightgbm" in native else _FUNCTION
