"""DVC's own files: what a ``.dvc`` file tracks, and where its repository keeps the bytes.

DVC 3 keeps an object at ``files/md5/ab/cdef...`` below its cache and its remotes; DVC 2 kept it
at ``ab/cdef...``, by an MD5 that took line ends of text as line feeds. Nothing here runs DVC, and
what its files say is believed of nothing but names: paths stay inside, hashes are checked.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_stack import marked_yaml
from local_stack.errors import DamagedError, InputError
from local_stack.marked_yaml import Node
from local_stack.names import inside
from local_stack.stores.artifacts import Blob, Tree

_MD5 = re.compile(r"([0-9a-f]{32})(\.dir)?")
_REMOTE = re.compile(r"'?remote \"(.+)\"'?")
_BLOCK = 1024 * 1024
_SAMPLE = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MAX_MANIFEST = 64 * 1024 * 1024
_MAX_FILES = 100_000
_SECRETS = {
    "access_key_id": "key",
    "secret_access_key": "secret",
    "session_token": "token",
}


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one ``.dvc`` file tracks: ``path`` beside it, by ``md5``; ``is_legacy`` is DVC 2's.

    ``remote`` names the repository's remote that holds it ('' for the default one).
    """

    path: str
    md5: str
    is_folder: bool
    is_legacy: bool
    remote: str

    @property
    def key(self) -> str:
        """Return where its bytes (its manifest) lie below a cache or a remote."""
        return key_of(self.md5, is_folder=self.is_folder, is_legacy=self.is_legacy)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a tracked folder."""

    path: str
    md5: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A DVC repository: its folder, and its settings, those of ``config.local`` apart."""

    root: Path
    shared: Mapping[str, Mapping[str, str]]
    local: Mapping[str, Mapping[str, str]]

    def setting(self, section: str, key: str) -> str:
        """Return a setting, the local one first, or ''."""
        for config in (self.local, self.shared):
            if key in config.get(section, {}):
                return config[section][key]
        return ""

    @property
    def cache(self) -> Path:
        """Return the folder of the cache."""
        return self.root / ".dvc" / (self.setting("cache", "dir") or "cache")

    def remote(self, name: str = "") -> tuple[str, dict[str, Any]]:
        """Return the URL of a remote (of the default one) and the options to reach it.

        Raises
        ------
        InputError
            When there is no such remote, or it is neither a folder nor on S3.
        """
        name = name or self.setting("core", "remote")
        url = self.setting(name and f"remote {name}", "url")
        if not url:
            told = f"no remote '{name}'" if name else "no default remote"
            raise InputError(f"The DVC repository {self.root} has {told}.", _NAME_ONE)
        if url.startswith("s3://"):
            return url, self._s3(f"remote {name}")
        if "://" in url:
            raise InputError(f"The remote '{name}' is not a folder and not on S3: {url}", _NAME_ONE)
        return os.path.normpath(self.root / ".dvc" / Path(url).expanduser()), {}

    def _s3(self, section: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if endpoint := self.setting(section, "endpointurl"):
            options["endpoint_url"] = endpoint
        if profile := self.setting(section, "profile"):
            options["profile"] = profile
        secrets = self.local.get(section, {})  # what is shared with everybody holds no secret
        options |= {ours: secrets[theirs] for theirs, ours in _SECRETS.items() if theirs in secrets}
        return options


_NAME_ONE = "Name the remote with --remote (a folder or a URL)."


def key_of(md5: str, *, is_folder: bool = False, is_legacy: bool = False) -> str:
    """Return where DVC keeps an object below its cache or a remote."""
    start = "" if is_legacy else "files/md5/"
    return f"{start}{md5[:2]}/{md5[2:]}{'.dir' if is_folder else ''}"


def read(path: Path) -> Tracked:
    """Return what the ``.dvc`` file at ``path`` tracks.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InputError
        Naming the file and the line of what is not as DVC writes it, or is not supported.
    """
    root = Node(*marked_yaml.read(path)).mapping()
    if "outs" not in root:
        hint = "Name the .dvc file that 'dvc add' wrote beside the data."
        raise InputError(f"{path.name} tracks nothing: it has no 'outs'.", hint)
    outs = root["outs"].items()
    if len(outs) != 1:
        raise root["outs"].error(f"it tracks {len(outs)} things.", "Name a file that tracks one.")
    out = outs[0].mapping()
    if "md5" not in out:
        raise outs[0].error("it is tracked by no MD5.", "Only what DVC keeps in its cache counts.")
    found = _MD5.fullmatch(out["md5"].text())
    if found is None:
        raise out["md5"].error(f"'{out['md5'].text()[:40]}' is no MD5.")
    if "hash" in out:
        out["hash"].choice(("md5",))
    if "path" not in out:
        raise outs[0].error("it names no path.")
    where = out["path"].text()
    try:
        inside(path.parent, where)
    except InputError as error:
        raise out["path"].error(error.message, error.hint) from None
    remote = out["remote"].text() if "remote" in out else ""
    return Tracked(where, found[1], bool(found[2]), "hash" not in out, remote)


def repository(path: Path) -> Repository | None:
    """Return the DVC repository that ``path`` lies in, or None.

    Raises
    ------
    InputError
        When its settings cannot be read.
    """
    for folder in path.absolute().parents:
        if (folder / ".dvc").is_dir():
            config = folder / ".dvc" / "config"
            return Repository(folder, _settings(config), _settings(config.with_suffix(".local")))
    return None


def _settings(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=path.name)
    except FileNotFoundError:
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path} is not a DVC configuration: {first}", "Mend it.") from None
    found: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        remote = _REMOTE.fullmatch(section)
        name = f"remote {remote[1]}" if remote else section
        found[name] = {key: value.strip("\"'") for key, value in parser[section].items()}
    return found


def members(data: bytes) -> tuple[Member, ...]:
    """Return the files of a tracked folder, as its manifest lists them.

    Raises
    ------
    InputError
        When it is no manifest, or names a path that leads out of the folder.
    """
    try:
        if len(data) > _MAX_MANIFEST:
            raise ValueError
        entries = json.loads(data)
        found = tuple(Member(str(each["relpath"]), str(each["md5"])) for each in entries)
        if len(found) > _MAX_FILES or not all(_MD5.fullmatch(m.md5) for m in found):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            "The manifest of the tracked folder is not one that DVC writes.", "Run 'dvc add' again."
        ) from None
    for member in found:
        inside(Path(), member.path)
    return found


def verify(path: Path, md5: str, *, is_legacy: bool) -> None:
    """Raise :class:`DamagedError` unless the bytes of ``path`` have this MD5 (of DVC 2)."""
    if md5 not in (_md5(path), _md5(path, is_unix=True) if is_legacy else ""):
        raise DamagedError(
            f"What DVC keeps as {md5} has another MD5.", "Run 'dvc fetch' again; it was not used."
        )


def _md5(path: Path, *, is_unix: bool = False) -> str:
    """Return the MD5 of a file; as DVC 2 took it, of each block of text with line feeds."""
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block.replace(b"\r\n", b"\n") if is_unix and _is_text(block) else block)
    return found.hexdigest()


def _is_text(block: bytes) -> bool:
    head = block[:_SAMPLE]
    return b"\0" not in head and len(head.translate(None, _TEXT)) / len(head) <= 0.3


def pointer(name: str, row: Mapping[str, Any]) -> str:
    """Return the ``.dvc`` file by which DVC fetches what ``row`` (a blob or a tree) names.

    Parameters
    ----------
    name
        File or folder beside the ``.dvc`` file.
    row
        The stored reference, as a row of ``data_versions`` holds it.
    """
    if "members" in row:
        tree = Tree.of(row)
        size = sum(blob.size for blob in tree.members.values())
        facts = [f"{tree.manifest.md5}.dir", f"size: {size}", f"nfiles: {len(tree.members)}"]
    else:
        blob = Blob.of(row)
        facts = [_spelt(blob.md5), f"size: {blob.size}"]
    md5, *counts = facts
    lines = [f"- md5: {md5}", *(f"  {count}" for count in counts), "  hash: md5"]
    return "\n".join(["outs:", *lines, f"  path: {_spelt(name)}", ""])


def _spelt(text: str) -> str:
    """Return a text as YAML, in quotes unless everybody reads it as a text without them."""
    is_plain = re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII) and isinstance(
        yaml.safe_load(text), str
    )
    return text if is_plain else json.dumps(text)
