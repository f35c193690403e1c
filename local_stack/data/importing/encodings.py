"""Bytes of a text file become UTF-8, and lines that were not are named.

A byte-order mark decides; then zero bytes (UTF-16 and UTF-32 without a mark), then whether all
of it is UTF-8. What is not is read in the encoding that charset-normalizer finds in the lines
concerned, or line by line when most of the file is UTF-8 all the same.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from local_stack.data.rejects import Reject, Rejects
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent

_BLOCK = 4 * 1024 * 1024
_MARKS = (  # the longer mark first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_MULTIBYTE = frozenset({
    "big5", "big5hkscs", "cp932", "cp949", "cp950", "euc_jp", "euc_kr", "gb18030", "gb2312",
    "gbk", "johab", "shift_jis", "shift_jis_2004", "euc_jis_2004", "hz",
})  # fmt: skip
_SINGLE_BYTE = frozenset({
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859_2", "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8",
    "iso8859_9", "iso8859_10", "iso8859_13", "iso8859_14", "iso8859_15", "iso8859_16",
    "latin_1", "koi8_r", "koi8_u", "mac_roman", "cp850", "cp852", "cp866", "tis_620",
})  # fmt: skip
_LEAST_COHERENCE = 0.35
"""Coherence (charset-normalizer's: share of text that fits a language) from which it counts."""
_ALIKE = 0.05

_MOST_GUESSED = 256 * 1024
_CODE = "encoding"


@dataclass(frozen=True, slots=True)
class Utf8:
    """A file in UTF-8 without a mark, its lines ended by a line feed, and how it was read."""

    path: Path
    encoding: str
    reason: str
    n_lines: int
    n_repaired: int
    n_nulls: int = 0


@dataclass(slots=True)
class _Survey:
    """What one reading of the bytes tells."""

    is_utf8: bool = True
    n_newlines: int = 0
    n_returns: int = 0
    n_nulls: int = 0
    last: int = 0

    @property
    def is_old_mac(self) -> bool:
        """Return whether a carriage return alone ends the lines."""
        return self.n_newlines == 0 and self.n_returns > 0


def as_utf8(
    source: Path,
    target: Path,
    encoding: str | None,
    rejects: Rejects,
    *,
    name: str = "",
    progress: Progress = silent,
) -> Utf8:
    """Return ``source`` when it is plain UTF-8 already, else a copy at ``target`` that is.

    Parameters
    ----------
    encoding
        Name that Python knows; found out when None.
    rejects
        Takes each line that was not of the file's encoding (outcome ``repaired``).
    name
        What rejects call the file.

    Raises
    ------
    InputError
        For an encoding that does not exist, or that the bytes are not in.
    """
    with source.open("rb") as stream:
        head = stream.read(65_536)
    mark, marked = next(((m, e) for m, e in _MARKS if head.startswith(m)), (b"", None))
    chosen, reason = _chosen(encoding), "as asked"
    if chosen is None:
        chosen, reason = marked, "by its byte-order mark"
    if chosen is None:
        chosen, reason = _wide(head), "by its zero bytes"
    if chosen in _WIDE or (chosen not in (None, "utf-8") and encoding is not None):
        assert chosen is not None
        n_skipped = len(mark) if marked == chosen else 0
        n_lines = _transcode(source, target, chosen, n_skipped, progress)
        return Utf8(target, chosen, reason, n_lines, 0)
    survey = _surveyed(source, progress)
    if survey.is_utf8:
        reason = reason if chosen else "every byte is valid"
        if not (mark or survey.is_old_mac):
            n_lines = survey.n_newlines + (survey.last != 10)
            return Utf8(source, "utf-8", reason, n_lines, 0, survey.n_nulls)
        n_lines = _transcode(source, target, "utf-8", len(mark), progress)
        return Utf8(target, "utf-8", reason, n_lines, 0, survey.n_nulls)
    if encoding is not None:
        raise InputError(f"The file is not {encoding}.", "Leave --encoding out, or name another.")
    mended = _mended(source, target, rejects, name, len(mark), progress)
    return replace(mended, n_nulls=survey.n_nulls)


def _chosen(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        known = codecs.lookup(encoding)
    except (LookupError, ValueError):
        choices = ("utf-8", "utf-16", "latin-1", "cp1252", "big5", "gb18030", "shift_jis")
        raise InputError(
            f"'{encoding}' is not an encoding.",
            nearest(encoding, choices) or "Name one that Python knows, such as cp1252.",
        ) from None
    if not getattr(known, "_is_text_encoding", True):
        raise InputError(f"'{encoding}' is not an encoding of text.", "Try cp1252.")
    return {"utf-8-sig": "utf-8"}.get(known.name, known.name)


def _wide(head: bytes) -> str | None:
    """Return UTF-16 or UTF-32 when most characters show its zero bytes."""
    n = len(head) // 4 * 4
    if n < 4:
        return None
    zeros = [head[place:n:4].count(0) / (n / 4) for place in range(4)]
    low, high = 0.3, 0.7
    if zeros[1] > high and zeros[2] > high and zeros[3] > high and zeros[0] < low:
        return "utf-32-le"
    if zeros[0] > high and zeros[1] > high and zeros[2] > high and zeros[3] < low:
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if odd > high and even < low:
        return "utf-16-le"
    return "utf-16-be" if even > high and odd < low else None


def _surveyed(source: Path, progress: Progress) -> _Survey:
    survey = _Survey()
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    for block in _blocks(source, "Checking the encoding", progress):
        survey.n_newlines += block.count(b"\n")
        survey.n_returns += block.count(b"\r")
        survey.n_nulls += block.count(b"\0")
        survey.last = block[-1]
        if survey.is_utf8:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                survey.is_utf8 = False
    if survey.is_utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            survey.is_utf8 = False
    return survey


def _blocks(source: Path, label: str, progress: Progress) -> Iterator[bytes]:
    size, done = source.stat().st_size, 0
    with source.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block
            done += len(block)
            progress(Step(label, done, size))


def _transcode(
    source: Path, target: Path, encoding: str, n_skipped: int, progress: Progress
) -> int:
    """Write ``source`` in UTF-8, its lines ended by a line feed; return how many there are."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    counts = {"\n": 0, "\r": 0}
    last = ""
    try:
        with target.open("w", encoding="utf-8", newline="") as out:
            for block in _blocks(source, f"Reading as {encoding}", progress):
                text = decoder.decode(block[n_skipped:])
                n_skipped = 0
                last = _put(out, text, counts) or last
            last = _put(out, decoder.decode(b"", final=True), counts) or last
    except UnicodeError as error:
        reason = getattr(error, "reason", str(error))
        raise InputError(
            f"The file is not {encoding}: {reason} after line {counts[chr(10)] + 1}.",
            "Name another with --encoding.",
        ) from None
    if counts["\n"] == 0 and counts["\r"]:  # lines of an old Macintosh
        _replace(target, "\r", "\n")
        return counts["\r"] + (last != "\r")
    return counts["\n"] + (last != "\n")


def _put(out: IO[str], text: str, counts: dict[str, int]) -> str:
    for mark in counts:
        counts[mark] += text.count(mark)
    try:
        out.write(text)
    except UnicodeEncodeError:  # half a pair of UTF-16
        out.write(text.encode("utf-8", "replace").decode())
    return text[-1:]


def _replace(path: Path, old: str, new: str) -> None:
    other = path.with_name(f"{path.name}.lines")
    with (
        path.open(encoding="utf-8", newline="") as stream,
        other.open("w", encoding="utf-8", newline="") as out,
    ):
        while block := stream.read(_BLOCK):
            out.write(block.replace(old, new))
    other.replace(path)


def _mended(
    source: Path, target: Path, rejects: Rejects, name: str, n_skipped: int, progress: Progress
) -> Utf8:
    """Decode line by line: UTF-8 where it is, the encoding that was found where it is not."""
    guessed, is_whole = _guess(source)
    n_lines, n_repaired = 0, 0
    size, done = source.stat().st_size, 0
    with source.open("rb") as raw, target.open("w", encoding="utf-8", newline="") as out:
        raw.seek(n_skipped)
        for n_lines, line in enumerate(raw, 1):
            done += len(line)
            if n_lines % 20_000 == 0:
                progress(Step("Reading lines that are not UTF-8", done, size))
            if is_whole:
                out.write(line.decode(guessed, "replace"))
                continue
            try:
                out.write(line.decode("utf-8"))
            except UnicodeDecodeError:
                n_repaired += 1
                text = line.decode(guessed, "replace")
                out.write(text)
                message = f"Not UTF-8; read as {guessed}."
                kept = text.rstrip("\r\n")
                rejects.add(Reject(n_lines, None, _CODE, "repaired", message, kept, name))
    if is_whole:
        return Utf8(target, guessed, "found by charset-normalizer", n_lines, 0)
    return Utf8(target, "utf-8", f"some lines are {guessed}", n_lines, n_repaired)


def _guess(source: Path) -> tuple[str, bool]:
    """Return the encoding of the lines that are not UTF-8, and whether all of the file is in it.

    The whole file is, when none of it is UTF-8 beyond ASCII and the text reads as a language;
    else single lines were damaged, and they are read in the most usual single-byte encoding.
    """
    from charset_normalizer import from_bytes

    odd, n_valid = _odd_lines(source)
    found = from_bytes(odd)
    best = found.best()
    if best is not None and not n_valid:
        alike = [
            name
            for it in found
            if it.chaos == best.chaos and it.coherence >= best.coherence - _ALIKE
            for name in it.could_be_from_charset
        ]
        name = "cp1252" if "cp1252" in alike else best.encoding  # the usual one, where alike
        is_language = name in _SINGLE_BYTE and best.coherence >= _LEAST_COHERENCE
        if (name in _MULTIBYTE or is_language) and _decodes(source, name):
            return name, True
    return ("cp1252" if _text(odd, "cp1252") is not None else "latin-1"), False


def _text(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _odd_lines(source: Path) -> tuple[bytes, int]:
    """Return lines that are not UTF-8, up to 256 KB, and how many non-ASCII lines are UTF-8."""
    lines: list[bytes] = []
    size, n_valid = 0, 0
    with source.open("rb") as stream:
        for line in stream:
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                n_valid += 1
            except UnicodeDecodeError:
                lines.append(line)
                size += len(line)
                if size > _MOST_GUESSED:
                    break
    return b"".join(lines), n_valid


def _decodes(source: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for block in _blocks(source, encoding, silent):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
