"""Settings of a workspace: ``paceml.toml``, each value also a ``PACEML_...`` variable."""

from __future__ import annotations

import getpass
import math
import os
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from local_stack.errors import InputError, nearest

FILE = "paceml.toml"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the bytes lie."""

    artifacts: str = "objects"
    """Folder inside the workspace, or any fsspec URL such as s3://bucket/prefix."""
    tracking_uri: str = ""
    """MLflow tracking URI; empty means the workspace's own mlruns folder."""
    allow_network_file_system: bool = False
    """Keep the journal on NFS or SMB although their locks are not trusted."""


@dataclass(frozen=True, slots=True)
class Journal:
    """How writing waits and when segments turn."""

    wait_seconds: float = 10.0
    """How long a writer waits for the lock before it gives up (exit code 3)."""
    segment_bytes: int = 64 * 1024 * 1024
    """Size after which a new journal segment begins."""


@dataclass(frozen=True, slots=True)
class Data:
    """Where data sets are shared."""

    remote: str = ""
    """Folder or fsspec URL that data.push and data.pull use when none is named."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Defaults of endpoints."""

    host: str = "127.0.0.1"
    """Address an endpoint listens on; others than loopback are refused for now."""
    port: int = 0
    """Port of an endpoint; 0 takes a free one."""
    max_rows: int = 1000
    """Rows one request may hold."""
    max_explained_rows: int = 100
    """Rows one request of explanations may hold."""
    max_body_bytes: int = 1_000_000
    """Bytes one request body may hold."""
    request_seconds: float = 10.0
    """Time one request may take, from its first byte to its answer."""


@dataclass(frozen=True, slots=True)
class Drift:
    """When the drift rule says no."""

    share: float = 0.5
    """Share of drifted columns from which the data set counts as drifted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; each section is a table of ``paceml.toml``."""

    storage: Storage = field(default_factory=Storage)
    journal: Journal = field(default_factory=Journal)
    data: Data = field(default_factory=Data)
    serving: Serving = field(default_factory=Serving)
    drift: Drift = field(default_factory=Drift)


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read ``path``, let ``PACEML_<SECTION>_<KEY>`` override it, and return the settings.

    Raises
    ------
    InputError
        Naming the file and the nearest valid key for anything unknown or of the wrong type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Mend that line.") from None
    sections = typing.get_type_hints(Settings)
    if not isinstance(document.get("workspace", {}), dict):
        raise InputError(f"{path}: workspace must be a table.", "Write [workspace] above its keys.")
    for name in document:
        if name not in (*sections, "workspace"):
            raise InputError(f"{path}: unknown section [{name}].", nearest(name, sections))
    return Settings(
        **{
            name: _section(kind, name, document.get(name, {}), path, environment)
            for name, kind in sections.items()
        }
    )


def _section(kind: Any, name: str, given: Any, path: Path, environment: Mapping[str, str]) -> Any:
    if not isinstance(given, dict):
        raise InputError(f"{path}: {name} must be a table.", f"Write [{name}] above its keys.")
    hints = typing.get_type_hints(kind)
    for key in given:
        if key not in hints:
            raise InputError(f"{path}: unknown key {name}.{key}.", nearest(key, hints))
    values = dict(given)
    for key in hints:
        variable = f"PACEML_{name}_{key}".upper()
        if variable in environment:
            values[key] = _parsed(environment[variable], hints[key], variable)
    for key, value in values.items():
        values[key] = _typed(value, hints[key], f"{path}: {name}.{key}")
    return kind(**values)


def _parsed(text: str, kind: type, variable: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise InputError(f"{variable} needs true or false, not '{text}'.")
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{variable} needs a number, not '{text}'.") from None


def _typed(value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} must be a finite number, not {value}.")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where} must be of type {kind.__name__}, not {type(value).__name__}.")
    return value


def is_network_allowed(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment allows a workspace on a network file system."""
    variable = "PACEML_STORAGE_ALLOW_NETWORK_FILE_SYSTEM"
    return bool(_parsed(environment.get(variable, ""), bool, variable))


def actor(environment: Mapping[str, str] = os.environ) -> str:
    """Return who acts: ``PACEML_ACTOR``, else the operating system's user."""
    named = environment.get("PACEML_ACTOR", "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user id without an entry in passwd
        return f"uid-{os.getuid()}"


def document(workspace_id: str, settings: Settings) -> str:
    """Return the text of a new ``paceml.toml``: only what differs from the defaults."""
    lines = [
        "# A PACE-ML workspace. The settings and their defaults stand in the README.",
        "[workspace]",
        f'id = "{workspace_id}"',
    ]
    for section in fields(settings):
        current, default = getattr(settings, section.name), getattr(Settings(), section.name)
        changed = [
            f.name for f in fields(current) if getattr(current, f.name) != getattr(default, f.name)
        ]
        if changed:
            lines += ["", f"[{section.name}]"]
            lines += [f"{key} = {_toml(getattr(current, key))}" for key in changed]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(_escape(character) for character in value)
        return f'"{escaped}"'
    return repr(value)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08X}"
