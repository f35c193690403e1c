"""Runs as a table: which columns it has, and how files of other programs and notebooks hold it."""

from __future__ import annotations

import contextlib
import html
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError, nearest
from local_stack.runs.grammar import parse_number
from local_stack.runs.tokens import brief, unquoted
from local_stack.runs.tree import KINDS, Kind
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars

    from local_stack.runs.records import Run, RunList

ATTRIBUTES: Final = (
    *("run_id", "name", "experiment", "experiment_id", "status", "lifecycle", "user_id"),
    *("start_time", "end_time", "duration", "artifact_uri"),
)
"""The columns that every run has; ``duration`` is seconds."""

BY_DEFAULT: Final = ("run_id", "name", "experiment", "status", "start_time", "end_time")

COMPUTED: Final = "computed"
"""The group of the columns that are computed, such as ``min(metrics.loss)``."""

_GROUPS: Final = {Kind.METRIC: "metrics", Kind.PARAM: "params", Kind.TAG: "tags"}
_ALIASES = {"run_name": "name", "user": "user_id", "created": "start_time"}
_TIMES = ("start_time", "end_time")
_WORD = re.compile(r"""(?:[^,`"']|`[^`]*`|"[^"]*"|'[^']*')+""")
_QUOTED = re.compile(r"""`[^`]*`|"[^"]*"|'[^']*'""")
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_MARKED = re.compile(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))")
"""What is markup inside a cell; that of lines (-, #, +, 1.) is none there, nor _ within a word."""
_ENTITY = re.compile(r"&(?=#?\w+;)")
_EDGE = re.compile(r"^\s+|\s+$")
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+"
)
_MOST_ROWS, _MOST_COLUMNS, _MOST_CHARACTERS = 100, 40, 200
_CELL = "text-align:left;vertical-align:top;max-width:28em;overflow-wrap:anywhere"
_NUMBER = "text-align:right;vertical-align:top"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: an attribute, or the ``key`` of the group metrics, params, tags or computed."""

    group: str
    key: str

    @property
    def title(self) -> str:
        """Return the name as ``mlflow.search_runs`` has it: ``metrics.rmse``."""
        is_keyed = self.group not in ("", COMPUTED)
        return f"{self.group}.{self.key}" if is_keyed else self.key

    def of(self, run: Run) -> Any:
        """Return the value of a run, None where it has none."""
        return getattr(run, self.group).get(self.key) if self.group else getattr(run, self.key)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One word of a choice of columns; ``is_open`` when a star stands for any text."""

    group: str
    key: str
    is_open: bool = False

    @property
    def is_computed(self) -> bool:
        """Whether the key is a number to compute."""
        return self.group == COMPUTED

    def among(self, known: Sequence[str]) -> list[Column]:
        """Return the columns that are meant, among the keys of the group."""
        if not self.is_open:
            return [Column(self.group, self.key)]
        pattern = re.compile(".*".join(map(re.escape, re.split(r"\*+", self.key))), re.DOTALL)
        return [Column(self.group, key) for key in known if pattern.fullmatch(key)]


ALL: Final = tuple(_Wanted(group, "*", is_open=True) for group in _GROUPS.values())


def read_columns(texts: Sequence[str]) -> tuple[_Wanted, ...]:
    """Return the columns that are asked for, such as ``name,params.*,min(metrics.loss)``.

    Raises
    ------
    InputError
        When a word is no column; the hint has the nearest one.
    """
    texts = [texts] if isinstance(texts, str) else texts
    return tuple(_wanted(word) for text in texts for word in _words(text))


def _words(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        found = _WORD.match(text, place)
        if found is None or text[found.end() :][:1] not in ("", ","):
            raise InputError(
                f"The columns '{brief(text)}' cannot be read.",
                "Write names with a comma between them; close every quotation mark.",
            )
        if found.group().strip():
            yield found.group().strip()
        place = found.end() + 1


def _wanted(word: str) -> _Wanted:
    if re.search(r"\(|\s[-+]\s", _QUOTED.sub("", word)):
        parse_number(word)
        return _Wanted(COMPUTED, word)
    head, dot, rest = word.partition(".")
    kind = KINDS.get(unquoted(head)) if dot else None
    if kind in _GROUPS and rest:
        key = unquoted(rest)
        return _Wanted(_GROUPS[kind], key, is_open=key == rest and "*" in key)
    name = unquoted(rest if kind is Kind.ATTRIBUTE else word)
    name = _ALIASES.get(name, name)
    if name not in ATTRIBUTES:
        near = nearest(name[:60], (*ATTRIBUTES, *_GROUPS.values()))
        raise InputError(
            f"'{brief(word)}' is no column of runs.",
            near or f"Take {', '.join(ATTRIBUTES)}, or a key such as metrics.rmse or params.*.",
        )
    return _Wanted("", name)


def columns_of(runs: Sequence[Run], wanted: Sequence[_Wanted] = ()) -> tuple[Column, ...]:
    """Return the columns of a table of these runs, by default every one that MLflow gives."""
    wanted = wanted or (*(_Wanted("", name) for name in BY_DEFAULT), *ALL)
    known = {
        group: sorted({key for run in runs for key in getattr(run, group)})
        for group in {each.group for each in wanted if each.is_open}
    }
    found = [column for each in wanted for column in each.among(known.get(each.group, ()))]
    return tuple(dict.fromkeys(found))


def unseen(runs: Sequence[Run], columns: Sequence[Column]) -> Iterator[str]:
    """Yield a sentence for each column that was named and that none of the runs has."""
    for column in columns if runs else ():
        if column.group not in ("", COMPUTED) and not any(
            column.key in getattr(run, column.group) for run in runs
        ):
            keys = {key for run in runs for key in getattr(run, column.group)}
            near = nearest(column.key[:60], sorted(keys))
            yield f"None of the runs has {brief(column.title)}. {near}".strip()


# ------------------------------------------------------------------ files


def write(
    workspace: Workspace,
    runs: Sequence[Run],
    columns: Sequence[Column],
    *,
    csv: Path | None,
    parquet: Path | None,
    force: bool,
) -> tuple[str, ...]:
    """Write the table to the files that are named, whole or not at all; return their paths."""
    from local_stack.data.checkout import outside, replacing

    writers: dict[Path, Callable[..., None]] = {}
    for path, save in ((csv, _write_csv), (parquet, _write_parquet)):
        if path is not None:
            writers[outside(workspace, Path(path))] = save
    with contextlib.ExitStack() as stack:  # a place that is taken leaves the other unwritten
        for place, save in writers.items():
            save(stack.enter_context(replacing(place, force=force)), runs, columns)
    return tuple(map(str, writers))


def _write_csv(path: Path, runs: Sequence[Run], columns: Sequence[Column]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([guarded(column.title) for column in columns])
        for run in runs:
            writer.writerow([guarded(column.of(run)) for column in columns])


def _write_parquet(path: Path, runs: Sequence[Run], columns: Sequence[Column]) -> None:
    frame(runs, columns).write_parquet(path)


def frame(runs: Sequence[Run], columns: Sequence[Column]) -> polars.DataFrame:
    """Return the table, typed: metrics and duration Float64, times in UTC, all else String."""
    import polars as pl

    time = pl.Datetime("us", "UTC")
    series = []
    for column in columns:
        values = [column.of(run) for run in runs]
        if column.group in ("metrics", COMPUTED) or column.title == "duration":
            series.append(pl.Series(whole(column.title), values, pl.Float64))
        elif column.title in _TIMES:
            moments = [datetime.fromisoformat(value) if value else None for value in values]
            series.append(pl.Series(column.title, moments, time))
        else:
            texts = [None if value is None else whole(str(value)) for value in values]
            series.append(pl.Series(whole(column.title), texts, pl.String))
    return pl.DataFrame(series)


def guarded(cell: Any) -> Any:
    """Return a cell of CSV that no spreadsheet takes for a formula; numbers stay as they are."""
    if not isinstance(cell, str):
        return "" if cell is None else cell
    text = whole(cell)
    return f"'{text}" if _FORMULA.match(text) and not is_number(text) else text


def is_number(text: str) -> bool:
    """Return whether a text is a number and nothing else."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text == text.strip()


def whole(text: str) -> str:
    """Return a text that every encoding can hold: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


# ------------------------------------------------------------------ pages


def markdown(runs: Sequence[Run], columns: Sequence[Column]) -> str:
    """Return the table in Markdown; nothing of the runs is markup in it."""
    rows = [[escaped(column.title) for column in columns], ["---"] * len(columns)]
    rows += [[escaped(shown(column.of(run))) for column in columns] for run in runs]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(found: RunList) -> str:
    """Return the table as HTML for notebooks, everything from runs escaped."""
    columns = found.table_columns()
    runs, shown_columns = found.runs[:_MOST_ROWS], columns[:_MOST_COLUMNS]
    count = f"{len(runs):,} of {found.total:,} runs"
    if len(shown_columns) < len(columns):
        count += f", {len(shown_columns)} of {len(columns)} columns"
    head = "".join(f'<th style="{_CELL}">{_html(column.title)}</th>' for column in shown_columns)
    body = "".join(
        f"<tr>{''.join(_td(column.of(run)) for column in shown_columns)}</tr>" for run in runs
    )
    told = "".join(f"<div>{_html(warning)}</div>" for warning in found.warnings)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{told}<div>{count}</div>{table}</div>"


def _td(value: Any) -> str:
    is_number = isinstance(value, float)
    text = shown(value)
    full = f' title="{_html(text, 10 * _MOST_CHARACTERS)}"' if len(text) > _MOST_CHARACTERS else ""
    return f'<td style="{_NUMBER if is_number else _CELL}"{full}>{_html(text)}</td>'


def _html(text: str, most: int = _MOST_CHARACTERS) -> str:
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return html.escape(visible(cut))


def shown(value: Any) -> str:
    """Return a value as people read it: six digits of a number, nothing for what is missing."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return "" if value is None else str(value)


def escaped(text: str) -> str:
    """Return what a cell of a Markdown table shows as exactly this text, but what is unseen."""
    marked = _MARKED.sub(r"\\\1", _ENTITY.sub("&amp;", visible(text)))
    marked = marked.replace("<", "&lt;").replace(">", "&gt;")
    return _EDGE.sub(lambda blanks: "".join(f"&#{ord(one)};" for one in blanks[0]), marked)


def visible(text: str) -> str:
    """Return a text without characters that nobody sees or that reorder a line."""
    return _UNSEEN.sub(" ", text)
