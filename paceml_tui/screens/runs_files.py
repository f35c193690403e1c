"""A look into an artefact: text, the head of a table, a picture as text, or what it is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from paceml_tui.pictures import SUFFIXES, picture
from paceml_tui.render import Block, Text, count, fit, grid, heading, join, size, stack, styled
from paceml_tui.tasks import Row

_MOST_BYTES = 64_000
_MOST_LINES = 400
_MOST_ROWS = 100
_MOST_COLUMNS = 40
_WIDEST = 24
_LONGEST_CELL = 200
_HEX_BYTES = 256


def preview(run: Row, path: str, width: int, height: int) -> Block:
    """Return what an artefact of a run holds, in ``width`` by ``height`` cells where it can.

    Call it in a thread. Nothing outside the folder of the run's artefacts is read.
    """
    title = heading(path)
    file = located(run, path)
    if isinstance(file, Text):
        return stack(title, styled(""), file)
    try:
        n_bytes = file.stat().st_size
        shown = _shown(file, width, height)
    except Exception as error:  # noqa: BLE001 - a file of anybody, read by what fits its name
        said = styled(f"It cannot be shown: {type(error).__name__}: {error}", "warning", 300)
        return stack(title, styled(""), said)
    return stack(join(title, size(n_bytes), gap="  "), styled(""), *shown)


def located(run: Row, path: str) -> Path | Text:
    """Return the file of an artefact on this machine, or a sentence that says why there is none."""
    folder = run.get("artifact_folder") or _own_folder(str(run.get("artifact_uri") or ""))
    if not folder:
        where = run.get("artifact_uri") or "nowhere"
        return styled(f"The artefacts are not on this machine, but at: {where}", "quiet", 300)
    root = Path(folder).resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        return styled("Its path leads out of the artefacts of the run, so it is not read.", "bad")
    if not file.is_file():
        return styled(f"There is no such file now in {root}.", "warning", 300)
    return file


def _own_folder(uri: str) -> str:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" and not parts.netloc else ""


def _shown(file: Path, width: int, height: int) -> Sequence[Block]:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return picture(file, width, height)
    if suffix in (".csv", ".tsv"):
        return _separated(file, "\t" if suffix == ".tsv" else ",")
    if suffix in (".parquet", ".pq"):
        return _parquet(file)
    return _text(file)


def _text(file: Path) -> Sequence[Block]:
    """Return the beginning of a text; of what is none, its first bytes."""
    with file.open("rb") as stream:
        head = stream.read(_MOST_BYTES + 1)
    if b"\0" in head[:_MOST_BYTES]:
        return [styled("It is no text. Its first bytes:", "quiet"), *_hex_rows(head[:_HEX_BYTES])]
    text = head[:_MOST_BYTES].decode("utf-8", "replace")
    lines = text.splitlines()
    is_cut = len(head) > _MOST_BYTES or len(lines) > _MOST_LINES
    shown = styled("\n".join(lines[:_MOST_LINES]) or '""', limit=500, is_block=True)
    return [shown, *([_cut(min(len(lines), _MOST_LINES), "line")] if is_cut else [])]


def _hex_rows(head: bytes) -> list[Text]:
    rows = (head[place : place + 16] for place in range(0, len(head), 16))
    return [styled(row.hex(" ", 2), "quiet") for row in rows]


def _separated(file: Path, separator: str) -> Sequence[Block]:
    with file.open(encoding="utf-8", errors="replace", newline="") as stream:
        text = stream.read(_MOST_BYTES)
        is_cut = bool(stream.read(1))
    lines = text.replace("\0", "").splitlines()
    rows = list(islice(csv.reader(lines, delimiter=separator), _MOST_ROWS + 2))
    if not rows:
        return [styled("It is empty.", "quiet")]
    head, *body = rows
    if is_cut and len(rows) == len(lines):
        body = body[:-1]  # the last one may have been cut
    more = is_cut or len(body) > _MOST_ROWS
    body = body[:_MOST_ROWS]
    return [_table(head, body), *([_cut(len(body), "row")] if more else [])]


def _parquet(file: Path) -> Sequence[Block]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(file) as opened:
        names = list(opened.schema_arrow.names)
        n_rows = opened.metadata.num_rows
        first = next(
            opened.iter_batches(batch_size=_MOST_ROWS, columns=names[:_MOST_COLUMNS]), None
        )
        body = [list(it.values()) for it in first.to_pylist()] if first is not None else []
    about = join(count(n_rows, "row"), count(len(names), "column"), gap="  ")
    more = [_cut(len(body), "row")] if n_rows > len(body) else []
    return [about, _table(names, body), *more]


def _table(names: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Block:
    titles = [str(name)[:_LONGEST_CELL] for name in names[:_MOST_COLUMNS]]
    shown = [[_cell(it) for it in row[: len(titles)]] for row in rows]
    return grid([fit(styled(it), _WIDEST).plain for it in titles], shown)


def _cell(value: Any) -> Text:
    if isinstance(value, float):
        return styled(f"{value:.6g}")
    return fit(styled(value if value is not None else "-", limit=_LONGEST_CELL), _WIDEST)


def _cut(n: int, noun: str) -> Text:
    return join(styled("the first"), count(n, noun), styled("are shown"))
