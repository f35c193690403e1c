"""What an import could not read as it stands: counted, kept with line numbers, shown on demand.

A reject is a line that was left out, a cell that became missing, or a line that was kept with a
repair (padded, decoded another way). The whole list becomes a Parquet file beside the version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.results import Result

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

MOST_TEXT = 1_000
"""Characters of a rejected text that are kept; the original bytes hold all of it."""

_FIRST = 20


@dataclass(frozen=True, slots=True)
class Reject(Result):
    """One thing that was not read as it stands.

    ``line`` counts from 1 in ``file`` (None where the format has no lines), ``outcome`` is
    ``left_out`` (the row is not in the table), ``missing`` (its cell is null), ``repaired``
    (the row is in the table) or ``aside`` (text before or after the table, which is no row).
    """

    line: int | None
    column: str | None
    code: str
    outcome: str
    message: str
    text: str
    file: str = ""


class Rejects:
    """A growing list of rejects that lies on the disk, so that millions of them fit."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rejects.jsonl"
        self._stream = self._path.open("w", encoding="utf-8")
        self.first: list[Reject] = []
        self.counts: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, reject: Reject) -> None:
        """Append one reject; its text is cut at ``MOST_TEXT`` characters."""
        key = (reject.code, reject.outcome)
        self.counts[key] = self.counts.get(key, 0) + 1
        if len(self.first) < _FIRST:
            self.first.append(reject)
        text = reject.text[:MOST_TEXT].encode("utf-8", "backslashreplace").decode()
        values = reject.to_dict() | {"text": text}
        self._stream.write(json.dumps(values) + "\n")

    def extend(self, rejects: Iterable[Reject]) -> None:
        """Append several rejects."""
        for reject in rejects:
            self.add(reject)

    @property
    def n(self) -> int:
        """Return how many there are, repairs included, what stands aside not."""
        return sum(n for (_, outcome), n in self.counts.items() if outcome != "aside")

    @property
    def n_lost(self) -> int:
        """Return how many lines and cells are not in the table."""
        lost = ("left_out", "missing")
        return sum(n for (_, outcome), n in self.counts.items() if outcome in lost)

    def write(self, connection: Connection, target: Path) -> None:
        """Write all of them to a Parquet file, in the order of their lines."""
        from local_stack.data.compute import literal

        self._stream.flush()
        columns = (
            "{line: 'BIGINT', \"column\": 'VARCHAR', code: 'VARCHAR', outcome: 'VARCHAR', "
            "message: 'VARCHAR', text: 'VARCHAR', file: 'VARCHAR'}"
        )
        connection.execute(
            f"COPY (SELECT * FROM read_ndjson({literal(self._path)}, columns={columns}) "
            f"ORDER BY file, line) TO {literal(target)} (FORMAT parquet, COMPRESSION zstd)"
        )
