"""Models in memory and in files: MLflow's folder layout, and no pickle anywhere.

A folder holds ``MLmodel`` (so that MLflow itself can load the model elsewhere), the estimator
(``model.skops``, or the file of a booster's library, such as ``model.lgb``, LightGBM's text;
beside it ``model_q0.1.lgb`` for a quantile), ``preparation.json`` (what it expects, how features
are made, calibration and threshold), ``requirements.txt`` and ``python_env.yaml``. Only
:func:`load` reads it here: hashes first, then structure, then the parser.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import stat
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.errors import DamagedError, InputError, StackError
from local_stack.preparation.fitted import Column, Preparation
from local_stack.preparation.values import Scalar
from local_stack.stores import model_example
from local_stack.stores.boosters import LIBRARIES, distribution, require
from local_stack.stores.boosters.lightgbm_text import silence_lightgbm
from local_stack.stores.model import Model, ModelRecord
from local_stack.stores.model_guards import (
    TRUSTED_TYPES,
    check_estimator,
    check_skops,
    refuse,
)
from local_stack.stores.model_record import DATA, RECORD, from_dict, is_part, part_names, to_dict

__all__ = [
    "Model",
    "ModelRecord",
    "built",
    "from_booster",
    "from_estimator",
    "load",
    "save",
    "signature",
    "silence_lightgbm",
    "with_quantiles",
]

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ALWAYS = ("MLmodel", RECORD, "requirements.txt", "python_env.yaml")
_MLFLOW_ADDS = frozenset({"registered_model_meta", "conda.yaml"})
_MAX_BYTES = 4_000_000_000
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PARSER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def from_booster(
    booster: Any,
    preparation: Preparation,
    *,
    kind: str = "lightgbm",
    task: str,
    target: str,
    classes: Sequence[Scalar] = (),
) -> Model:
    """Return the model of a booster of a library, as it will be after saving and loading."""
    record = ModelRecord(kind, kind, task, target, tuple(classes))
    return _grown(record, preparation, LIBRARIES[kind].content(booster, record))


def with_quantiles(model: Model, boosters: Mapping[float, Any]) -> Model:
    """Return a regression's model with the boosters that predict quantiles, by ascending level."""
    record = replace(model.record, quantiles=tuple(boosters))
    library = LIBRARIES[record.kind]
    parts = [library.content(booster, record) for booster in boosters.values()]
    return _grown(record, model.preparation, model.content, parts)


def _grown(
    record: ModelRecord, preparation: Preparation, content: bytes, parts: Sequence[bytes] = ()
) -> Model:
    """Return the model of a booster that was just trained."""
    try:
        return built(record, preparation, content, parts)
    except DamagedError as error:
        why = error.message.partition(": ")[2] or error.message
        raise InputError(
            f"{record.kind} grew trees that cannot be stored: {why}",
            "Change params, such as a smaller learning_rate.",
        ) from error


def from_estimator(
    estimator: Any,
    preparation: Preparation,
    *,
    task: str,
    target: str,
    classes: Sequence[Scalar] = (),
) -> Model:
    """Return the model of a scikit-learn estimator, as it will be after saving and loading.

    A classifier must have been fitted on class numbers 0 .. n_classes - 1.
    """
    record = ModelRecord("sklearn", type(estimator).__name__, task, target, tuple(classes))
    return built(record, preparation, _dump(estimator))


def save(
    model: Model,
    directory: Path,
    *,
    run_id: str,
    requirements: Sequence[str] | None = None,
    example: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Write ``model`` into an empty or new ``directory``; return the SHA-256 of each file.

    Parameters
    ----------
    run_id
        The run that made the model, for ``MLmodel``.
    requirements
        Lines of ``requirements.txt``; exact pins of what is installed when left out.
    example
        A row of raw values, by column, that MLflow shows as the input example.
    """
    directory.mkdir(parents=True, exist_ok=True)
    requirements = _pins(model.kind) if requirements is None else requirements
    contents = {
        DATA[model.kind]: model.content,
        **dict(zip(part_names(model.record), (it for _, it in model.parts), strict=True)),
        RECORD: _json(to_dict(model)),
        "requirements.txt": "".join(f"{line}\n" for line in requirements).encode(),
        "python_env.yaml": _yaml(_python_env()),
    }
    described = _mlmodel(model, run_id, contents)
    if example is not None:
        contents |= model_example.files(example)
        described["saved_input_example_info"] = dict(model_example.INFO)
    contents["MLmodel"] = _yaml(described)
    for name, content in contents.items():
        with (directory / name).open("xb") as file:
            file.write(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def load(directory: Path, hashes: Mapping[str, str] | None = None) -> Model:
    """Return the model in ``directory``.

    Parameters
    ----------
    hashes
        SHA-256 of every file by name, checked before a byte is parsed. Without them only the
        structure is checked, as when MLflow itself loads the folder.

    Raises
    ------
    DamagedError
        A file is missing, extra, a link, a pickle, or not what was written; or its content
        could do more than hold a model.
    """
    contents = _read_folder(directory, hashes)
    try:
        data = json.loads(contents[RECORD])
        record = from_dict(data)
        preparation = Preparation.from_dict(data["preparation"])
        content = contents[DATA[record.kind]]
        parts = [contents[name] for name in part_names(record)]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise refuse(f"{RECORD} is not valid") from error
    if len(set(DATA.values()) & contents.keys()) != 1:
        raise refuse("it holds two estimators")
    if sum(map(is_part, contents)) != len(parts):
        raise refuse("it holds quantiles that its record does not name")
    return built(record, preparation, content, parts)


def _read_folder(directory: Path, hashes: Mapping[str, str] | None) -> dict[str, bytes]:
    try:
        names = {entry.name for entry in os.scandir(directory)}
    except OSError as error:
        raise refuse(f"its folder cannot be read ({error.strerror})") from error
    known = {*_ALWAYS, *DATA.values(), *_MLFLOW_ADDS, *model_example.FILES}
    expected = set(hashes) if hashes is not None else names
    for name in sorted(names ^ expected):
        raise refuse(f"the file {name[:100]} is {'extra' if name in names else 'missing'}")
    for name in sorted(it for it in names - known if not is_part(it)):
        raise refuse(f"the file {name[:100]} is not part of a model")
    for name in sorted(set(_ALWAYS) - names):
        raise refuse(f"the file {name} is missing")
    contents = {name: _read_file(directory / name) for name in sorted(names)}
    for name, content in contents.items():
        if hashes is not None and hashlib.sha256(content).hexdigest() != hashes[name]:
            raise refuse(f"the file {name} is not the one that was written")
        if _PICKLE.match(content):
            raise refuse(f"the file {name} is a pickle")
    return contents


def _read_file(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123 - by handle: no second look-up of the name
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
                raise refuse(f"{path.name} is not an ordinary file")
            return file.read()
    except OSError as error:
        raise refuse(f"{path.name} cannot be read as an ordinary file") from error


def built(
    record: ModelRecord, preparation: Preparation, content: bytes, parts: Sequence[bytes] = ()
) -> Model:
    """Return the model of an estimator's bytes; the only place where they are parsed.

    Raises
    ------
    DamagedError
        They are not those of such a model, or could do more than hold one.
    """
    n_features = len(preparation.features)
    boosters = []
    try:
        library = LIBRARIES.get(record.kind)
        if library is not None:
            for it in (content, *parts):
                library.check(it, n_features, record)
            require(record.kind)
            estimator, *boosters = (library.parse(it, record) for it in (content, *parts))
        else:
            check_skops(content)
            estimator = _parse_skops(content)
            check_estimator(estimator, n_features)
    except StackError:
        raise
    except _PARSER_ERRORS as error:
        raise DamagedError(
            f"The stored {record.estimator} model cannot be read.",
            "Restore it from a backup, or train it again.",
            details=f"{type(error).__name__}: {error}"[:300],
        ) from error
    model = Model(record, preparation, estimator, content, list(zip(boosters, parts, strict=True)))
    if not (record.is_plain or model.has_probabilities):
        raise refuse("it decides by probabilities that its estimator does not give")
    return model


def _parse_skops(content: bytes) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise refuse("it names types that are not on the list of types") from error


def _dump(estimator: Any) -> bytes:
    """Return a skops file whose bytes depend on the estimator alone.

    skops names members by memory address, stamps the time, and keeps whatever lies in the
    padding of structured arrays.
    """
    import skops.io

    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator)))
    numbers: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers)))

    schema = source.read("schema.json").decode("utf-8")
    schema = re.sub(r'("__id__": |"file": ")(\d+)', renamed, schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {"schema.json": schema.encode("utf-8")}
        for name in source.namelist():
            stem, _, suffix = name.rpartition(".")
            if suffix == "npy":
                members[f"{numbers[stem]}.npy"] = _without_padding(source.read(name))
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _without_padding(content: bytes) -> bytes:
    import numpy as np

    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, indent=1, allow_nan=False).encode("ascii") + b"\n"


def _yaml(value: object) -> bytes:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=False).encode("ascii")


def _pins(kind: str) -> list[str]:
    library = [distribution(kind)] if kind in LIBRARIES else []
    names = ["paceml-tui", "numpy", *library, "scikit-learn"]
    names += ["skops"] if kind == "sklearn" else []
    return [_pin(name) for name in names]


def _pin(name: str) -> str:
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return name


def _python_env() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }


def _mlmodel(model: Model, run_id: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the content of ``MLmodel``; plain values, so that MLflow need not be imported."""
    digest = hashlib.sha256(model.content + contents[RECORD] + run_id.encode()).hexdigest()
    flavours: dict[str, Any] = {
        "python_function": {
            "loader_module": "local_stack.stores.model_files",
            "python_version": platform.python_version(),
            "env": {"virtualenv": "python_env.yaml"},
        }
    }
    if model.is_booster:
        flavours[model.kind] = LIBRARIES[model.kind].flavour(model.record)
    else:
        flavours["sklearn"] = {
            "sklearn_version": metadata.version("scikit-learn"),
            "serialization_format": "skops",
            "skops_trusted_types": list(TRUSTED_TYPES),
            "pickled_model": DATA[model.kind],
            "code": None,
        }
    return {
        "flavors": flavours,
        "mlflow_version": metadata.version("mlflow"),
        "model_uuid": digest[:32],
        "model_size_bytes": sum(map(len, contents.values())),
        "run_id": run_id,
        "signature": signature(model),
    }


def signature(model: Model) -> dict[str, str | None]:
    """Return the signature in MLflow's schema: JSON texts of input and output columns."""
    inputs = [
        {
            "type": _signature_type(column),
            "name": column.name,
            "required": not column.nullable,
        }
        for column in model.inputs
    ]
    kinds = {bool: "boolean", int: "long", str: "string"}
    output = kinds[type(model.classes[0])] if model.classes else "double"
    names = [{"name": name} for name in quantile_names(model)] or [{}]
    return {
        "inputs": json.dumps(inputs),
        "outputs": json.dumps([{"type": output, **name, "required": True} for name in names]),
        "params": None,
    }


def quantile_names(model: Model) -> list[str]:
    """Return the columns of what a model with quantiles predicts; none without quantiles."""
    levels = model.record.quantiles
    return ["prediction", *(f"quantile_{level!r}" for level in levels)] if levels else []


def _signature_type(column: Column) -> str:
    """Return MLflow's type; whole numbers of which some are missing reach it as floats."""
    if column.type == "long" and column.nullable:
        return "double"
    return "datetime" if column.type == "date" else column.type


def _load_pyfunc(path: str) -> _Pyfunc:
    """Return the model for ``mlflow.pyfunc``, which calls this by its name."""
    return _Pyfunc(load(Path(path)))


class _Pyfunc:
    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(
        self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> np.ndarray | pd.DataFrame:
        """Return the predictions of a pandas table, (n_rows,), or a table of them and quantiles."""
        import numpy as np

        columns = {
            column.name: _plain_column(frame[column.name])
            for column in self._model.inputs
            if column.name in frame.columns
        }
        checked = self._model.preparation.validate(columns)
        if not self._model.parts:
            return np.asarray(self._model.predict(checked))
        import pandas as pd

        matrix = self._model.matrix(checked)
        found = [self._model.outputs(matrix), self._model.quantiles(matrix)]
        return pd.DataFrame(np.column_stack(found), columns=quantile_names(self._model))


def _plain_column(series: pd.Series[Any]) -> list[Any]:
    if series.dtype.kind == "M":
        return [None if value is None else value.to_pydatetime() for value in _without_nan(series)]
    return _without_nan(series)


def _without_nan(series: pd.Series[Any]) -> list[Any]:
    absent = series.isna().tolist()
    return [
        None if is_absent else value
        for is_absent, value in zip(absent, series.tolist(), strict=True)
    ]
