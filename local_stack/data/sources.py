"""Where data comes from: paths, globs and URLs become local files, with what is known of each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from local_stack.command import Location, command
from local_stack.data import archives
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, iso
from local_stack.stores import places
from local_stack.stores.places import Place, redacted
from local_stack.workspace import Workspace

FORMATS = ("csv", "parquet", "json", "jsonl", "excel", "arrow")
"""Every format that a file may have, by the word that ``--format`` takes."""

_WORDS = {
    **{name: name for name in FORMATS},
    **dict.fromkeys(("tsv", "tab", "txt", "psv", "dat", "data"), "csv"),
    **dict.fromkeys(("pq", "parq"), "parquet"),
    **dict.fromkeys(("ndjson", "ldjson", "jsonlines"), "jsonl"),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xltm", "xlsb", "xls", "xla", "ods"), "excel"),
    **dict.fromkeys(("arrows", "feather", "ipc"), "arrow"),
}
_PACKED = frozenset({"gz", "gzip", "bz2", "xz", "zst", "zstd", "lz4", "zip"})
_MAGIC = (
    (b"PAR1", "parquet"),
    (b"ARROW1\x00\x00", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"),
)
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it, then import the file."),
    (b"Rar!", "a RAR archive", "Unpack it, then import the file."),
    (b"PARE", "an encrypted Parquet file", "Decrypt it, then import the file."),
    (b"FEA1", "a Feather file of version 1", "Write it again as Feather 2, Arrow or Parquet."),
    (b"%PDF", "a PDF document", "Take the table out of it, then import that."),
    (b"ORC", "an ORC file", "Write it again as Parquet."),
    (b"Obj\x01", "an Avro file", "Write it again as Parquet."),
    (b"\x89HDF\r\n", "an HDF5 file", "Write its table as Parquet."),
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HEAD = 64 * 1024
_OBJECT = re.compile(r'\{\s*("|\}|$)')
_ARRAY = re.compile(r'\[\s*([{\["\]]|$)')
_MAGICAL = re.compile(r"[*?[]")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_LONGEST_NAME = 255
_MOST_ENTRIES = 1_000
_HERE = Location(".")


@dataclass(frozen=True, slots=True)
class SourceFile(Result):
    """One file of a source, on this machine.

    ``name`` is a safe relative label, ``uri`` where it came from (without secrets), ``path``
    the file itself when it is local and a copy of ours otherwise. ``size`` is in bytes;
    ``etag`` and ``modified_at`` are None where the place tells none; ``compression`` is found
    by the first bytes.
    """

    name: str
    uri: str
    size: int
    etag: str | None
    modified_at: str | None
    path: Path
    compression: str | None


@dataclass(frozen=True, slots=True)
class Entry(Result):
    """A file or a folder that a picker shows; ``url`` is what opens it."""

    name: str
    uri: str
    is_folder: bool
    size: int | None
    modified_at: str | None


@dataclass(frozen=True, slots=True)
class Listing(Result):
    """A folder's entries, folders first; ``n_entries`` counts those beyond ``limit`` too."""

    uri: str
    parent: str | None
    entries: tuple[Entry, ...]
    n_entries: int


@command("data.browse", example="paceml-tui data browse s3://bucket/tables")
def browse(
    workspace: Workspace,
    url: Location = _HERE,
    *,
    limit: int = _MOST_ENTRIES,
    progress: Progress = silent,
) -> Listing:
    """List the files and folders at a path or URL, folders first.

    Parameters
    ----------
    url
        Folder on this machine, or any fsspec URL such as s3://bucket/tables.
    limit
        How many entries to return.
    """
    found = entries(url)
    return Listing(redacted(_absolute(url)), _parent(url), found[: max(0, limit)], len(found))


def entries(url: str) -> tuple[Entry, ...]:
    """Return what lies in a folder, folders first, each group in natural order.

    Raises
    ------
    NotFoundError
        When there is nothing at ``url``.
    InputError
        When it is a file, or may not be read.
    """
    found = _local_entries(_local(url)) if is_local(url) else _remote_entries(url)
    return tuple(sorted(found, key=lambda one: (not one.is_folder, natural(one.name))))


def gather(source: str, scratch: Path, *, progress: Progress = silent) -> tuple[SourceFile, ...]:
    """Return the files that a path, a glob or a URL names, in natural order.

    Files that are not on this machine are copied to ``scratch``.

    Raises
    ------
    NotFoundError
        When nothing is there, or nothing matches.
    InputError
        For a folder, and for what is no path and no URL.
    UnavailableError
        When a remote place cannot be reached or needs a package.
    """
    if is_local(source):
        return _gather_local(source, progress)
    return _gather_remote(source, scratch, progress)


def unpacked(file: SourceFile, scratch: Path, *, progress: Progress = silent) -> Path:
    """Return a local file with the bytes of ``file``, unpacked to ``scratch`` where it is packed.

    Raises
    ------
    InputError
        When it is damaged, packed twice, an archive of several files, or a bomb.
    """
    if file.compression is None:
        return file.path
    target = _free(scratch, "unpacked")
    archives.unpack(file.path, file.compression, target, label=file.name, progress=progress)
    if archives.compression(target) is not None:
        target.unlink()
        raise InputError(f"{file.name} is packed twice.", "Unpack it once, then import it.")
    return target


def format_of(name: str, path: Path, given: str | None) -> str:
    """Return the word of ``FORMATS`` for an unpacked file.

    What was ``given`` counts first, then the first bytes, then the ending of ``name`` below
    that of a compression, then csv.

    Raises
    ------
    InputError
        For an unknown word, and for a file of a kind that is not read.
    """
    if given is not None:
        word = _WORDS.get(given.strip().lower().lstrip("."))
        if word is None:
            hint = nearest(given.lower(), _WORDS) or f"One of: {', '.join(FORMATS)}."
            raise InputError(f"'{given}' is not a format.", hint)
        return word
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    _refuse_foreign(name, head)
    by_content, by_name = _by_content(path, head), _by_name(name)
    if by_content == "json" and by_name == "jsonl" and _text(head).lstrip()[:1] == "{":
        return "jsonl"  # one line, or a first line that is long or broken
    return by_content or by_name or "csv"


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which ``part-10`` follows ``part-9``."""
    parts = re.split(r"([0-9]+)", text)
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts if part)


def is_local(source: str) -> bool:
    """Return whether ``source`` is a path of this machine, as ``file://`` URLs are too."""
    return "://" not in source or source.startswith("file://")


def label_of(text: str) -> str:
    r"""Return a file's name as a label: NFC, unseen characters as ``\x..``, not too long."""
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(
        character
        if unicodedata.category(character) not in _UNSEEN
        else character.encode("unicode_escape").decode()
        for character in unicodedata.normalize("NFC", raw)
    )
    parts = [part for part in shown.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[-_LONGEST_NAME:] or "file"


def _gather_local(source: str, progress: Progress) -> tuple[SourceFile, ...]:
    path = _local(source)
    if path.is_file():
        return (source_file(path, path.name),)
    if path.is_dir():
        raise _folder(source, f"{str(source).rstrip('/')}/*.csv")
    if path.exists():
        raise InputError(f"{source} is not a file of data but a device or a pipe.", "Name a file.")
    if not _MAGICAL.search(str(path)):
        raise NotFoundError(f"There is no file {source}.", "Check the path.")
    base, pattern = _parted(path)
    found = []
    for one in _walk(base, pattern, source):
        found.append(one)
        progress(Step(f"Looking for {source}", len(found)))
    if not found:
        raise NotFoundError(f"No file matches {source}.", "Check the pattern.")
    found.sort(key=lambda one: natural(str(one)))
    return tuple(source_file(one, str(one.relative_to(base))) for one in found)


def _walk(base: Path, pattern: str, source: str) -> Iterator[Path]:
    """Give the files below ``base``; hidden ones only for a pattern that asks for them."""
    wants_hidden = any(part.startswith(".") for part in pattern.split("/"))
    try:
        for path in base.glob(pattern):
            parts = path.relative_to(base).parts
            is_hidden = any(part.startswith(".") for part in parts)
            if (wants_hidden or not is_hidden) and path.is_file():
                yield path
    except (ValueError, NotImplementedError, re.error) as error:
        raise InputError(f"{source} is not a pattern: {error}.", "Use * or ** between /.") from None


def _parted(path: Path) -> tuple[Path, str]:
    """Return the folder before the first part with a wildcard, and the pattern after it."""
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if _MAGICAL.search(part))
    return Path(*parts[:first]), "/".join(parts[first:])


def source_file(path: Path, name: str) -> SourceFile:
    """Return what is known of a local file that is called ``name``."""
    try:
        status = path.stat()
        packed = archives.compression(path)
    except PermissionError:
        raise InputError(f"{path} may not be read.", "Ask for the right to read it.") from None
    return SourceFile(
        name=label_of(name),
        uri=_encodable(str(path.absolute())),
        size=status.st_size,
        etag=None,
        modified_at=iso(datetime.fromtimestamp(status.st_mtime, UTC)),
        path=path,
        compression=packed,
    )


def _gather_remote(source: str, scratch: Path, progress: Progress) -> tuple[SourceFile, ...]:
    progress(Step(f"Looking for {redacted(source)}"))
    there = places.look(source)
    if there is not None and there.is_folder:
        raise _folder(redacted(source), f"{redacted(source).rstrip('/')}/*.csv")
    if there is not None:
        return (_copied(there, _last(source), scratch, progress),)
    is_glob = bool(_MAGICAL.search(source.partition("://")[2])) and not source.startswith("http")
    found = places.matches(source) if is_glob else ()
    if not found:
        what = "No file matches" if is_glob else "There is nothing at"
        raise NotFoundError(f"{what} {redacted(source)}.", "Check the URL.")
    base = _bare(_fixed(source))
    ordered = sorted(found, key=lambda one: natural(one.url))
    return tuple(
        _copied(one, _bare(one.url).removeprefix(base), scratch, progress, (number, len(ordered)))
        for number, one in enumerate(ordered, 1)
    )


def _copied(
    place: Place, name: str, scratch: Path, progress: Progress, of: tuple[int, int] = (1, 1)
) -> SourceFile:
    target = _free(scratch, "source")
    shown = label_of(name)
    label = f"Fetching {shown}" + (f" ({of[0]} of {of[1]})" if of[1] > 1 else "")
    size = places.download(
        place.url, target, lambda done: progress(Step(label, done, place.size or 0))
    )
    return SourceFile(
        name=shown,
        uri=place.uri,
        size=size,
        etag=place.etag,
        modified_at=place.modified_at,
        path=target,
        compression=archives.compression(target),
    )


def _free(scratch: Path, stem: str) -> Path:
    number = 0
    while (target := scratch / f"{stem}-{number}").exists():
        number += 1
    return target


def _fixed(url: str) -> str:
    """Return the part of a glob URL up to the last ``/`` before its first wildcard."""
    scheme, _, rest = url.partition("://")
    found = _MAGICAL.search(rest)
    head = rest[: found.start()] if found else rest
    return f"{scheme}://{head.rpartition('/')[0]}"


def _bare(url: str) -> str:
    """Return a URL without its scheme; some file systems add a slash after it."""
    return url.partition("://")[2].lstrip("/")


def _last(url: str) -> str:
    return PurePosixPath(re.split(r"[?#]", url.partition("://")[2])[0]).name


def _folder(shown: str, glob: str) -> InputError:
    return InputError(f"{shown} is a folder.", f"Name a file, or several by a glob: '{glob}'")


def _local(url: str) -> Path:
    from urllib.parse import unquote

    text = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
    if "\0" in text:
        raise InputError("A path cannot hold a NUL character.", "Check the path.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{url}: there is no such user.", "Write the whole path.") from None


def _local_entries(folder: Path) -> list[Entry]:
    try:
        children = list(folder.iterdir())
    except FileNotFoundError:
        raise NotFoundError(f"There is no folder {folder}.", "Check the path.") from None
    except NotADirectoryError:
        raise InputError(f"{folder} is a file, not a folder.", "Name a folder.") from None
    except PermissionError:
        raise InputError(f"{folder} may not be read.", "Ask for the right to read it.") from None
    return [_local_entry(child) for child in children]


def _local_entry(path: Path) -> Entry:
    try:
        status, is_folder = path.stat(), path.is_dir()
        size = None if is_folder else status.st_size
        modified = iso(datetime.fromtimestamp(status.st_mtime, UTC))
    except OSError:  # a link that leads nowhere
        is_folder, size, modified = False, None, None
    return Entry(_encodable(path.name), _encodable(str(path.absolute())), is_folder, size, modified)


def _remote_entries(url: str) -> list[Entry]:
    there = places.look(url)
    if there is not None and not there.is_folder:
        raise InputError(f"{redacted(url)} is a file, not a folder.", "Name a folder.")
    return [
        Entry(_encodable(_tail(one.url)), one.uri, one.is_folder, one.size, one.modified_at)
        for one in places.listing(url)
    ]


def _tail(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]


def _absolute(url: str) -> str:
    return _encodable(str(_local(url).absolute())) if is_local(url) else url


def _parent(url: str) -> str | None:
    if is_local(url):
        path = _local(url).absolute()
        return None if path.parent == path else _encodable(str(path.parent))
    scheme, _, rest = url.rstrip("/").partition("://")
    head = rest.rpartition("/")[0]
    return f"{redacted(f'{scheme}://{head}')}" if rest else None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse_foreign(name: str, head: bytes) -> None:
    label = label_of(name)
    for magic, noun, hint in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"{label} is {noun}, which is not read.", hint)
    if head.startswith(b"SQLite format 3\x00") or head[8:12] == b"DUCK":
        raise InputError(
            f"{label} is a database.", "Say which rows with --sql 'SELECT * FROM table'."
        )
    if head[257:262] == b"ustar":
        raise InputError(f"{label} is a tar archive.", "Unpack it, then import the file.")
    text = _text(head).lstrip()[:200].lower()
    if re.match(r"<(!doctype html|html|\?xml|table)\b", text):
        noun = "XML" if text.startswith("<?xml") else "a web page"
        raise InputError(
            f"{label} is {noun}, not a table.", "Save the table as CSV or Excel, then import that."
        )


def _by_content(path: Path, head: bytes) -> str | None:
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    if found is None and head.startswith(b"PK") and archives.is_workbook(path):
        return "excel"
    return found or _json_kind(_text(head).lstrip())


def _json_kind(text: str) -> str | None:
    """Tell a JSON document from JSON lines by how the first line ends."""
    if _ARRAY.match(text):
        first, mark, rest = text.partition("\n")
        return "jsonl" if mark and _is_whole(first) and rest.lstrip()[:1] == "[" else "json"
    if not _OBJECT.match(text):
        return None
    first, mark, rest = text.partition("\n")
    if not _is_whole(first):  # an object that goes on, or a first line that is broken
        is_lines = mark and rest.lstrip()[:1] == "{" and first.rstrip()[-1:] not in ("{", ",", ":")
        return "jsonl" if is_lines else "json"
    return "jsonl" if rest.strip() else "json"


def _is_whole(line: str) -> bool:
    import json

    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _by_name(name: str) -> str | None:
    endings: Sequence[str] = [part.lower() for part in name.rsplit("/", 1)[-1].split(".")[1:]]
    while endings and endings[-1] in _PACKED:
        endings = endings[:-1]
    return _WORDS.get(endings[-1]) if endings else None


def _text(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    return head.decode("utf-8", "replace")
