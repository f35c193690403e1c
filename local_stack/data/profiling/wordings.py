"""The distinct texts of a column, and how a finding about them is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import N_VALUES, codes_of, rows_where
from local_stack.data.profiling.columns import Column, shortened
from local_stack.data.profiling.shape import Alert, ValueCount

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MAX_TEXTS = 50_000
"""Columns of more distinct texts than this are judged by a sample of them."""

SAMPLE_TEXTS = 10_000

MAX_CHARACTERS = 50_000_000
"""Columns of more characters than about this are judged by a sample of so many."""

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Wordings:
    """Distinct texts, or a seeded sample of them.

    ``values`` and ``counts`` have one entry for each; ``places`` are their places among all of
    the column's (None: the same). ``n`` is the number of rows that hold one of them. Those that
    are ``is_private`` are shown as their shapes.
    """

    column: Column
    values: polars.Series
    counts: NDArray[np.int64]
    n: int
    places: NDArray[np.int64] | None = None
    is_private: bool = False

    @property
    def note(self) -> str:
        """Return the words that say of what sample a share is; empty without one."""
        if self.places is None:
            return ""
        return (
            f" in a sample of {self.values.len():,} of {self.column.profile.n_distinct:,} "
            "different texts"
        )

    def rows_of(self, holds: NDArray[np.bool_]) -> int:
        """Return how many rows hold one of the texts where ``holds`` is true."""
        return int(self.counts[holds].sum())

    def amount(self, holds: NDArray[np.bool_]) -> str:
        """Return ``1 value`` or ``12,345 values``: the rows of the texts where ``holds``."""
        n = self.rows_of(holds)
        return "1 value" if n == 1 else f"{n:,} values"

    def share_of(self, holds: NDArray[np.bool_]) -> float:
        """Return :meth:`rows_of` as a share of the rows that hold a value."""
        return self.rows_of(holds) / self.n if self.n else 0.0

    def matches(self, pattern: str) -> NDArray[np.bool_]:
        """Return which texts hold a match of a regular expression (Rust's)."""
        found: NDArray[np.bool_] = self.values.str.contains(pattern).to_numpy()
        return found

    def few(self, n: int) -> Wordings:
        """Return at most ``n`` evenly spaced texts, to judge by what they mostly are."""
        import numpy as np

        if self.values.len() <= n:
            return self
        kept = np.linspace(0, self.values.len() - 1, n).astype(np.int64)
        counts = self.counts[kept]
        places = kept if self.places is None else self.places[kept]
        return replace(
            self, values=self.values[kept], counts=counts, n=int(counts.sum()), places=places
        )

    def top(self, holds: NDArray[np.bool_], n: int = N_VALUES) -> tuple[ValueCount, ...]:
        """Return the most frequent texts where ``holds`` is true."""
        places = holds.nonzero()[0]
        places = places[(-self.counts[places]).argsort(kind="stable")]
        if self.is_private:
            return masked(self.values[places], self.counts[places])
        return tuple(
            ValueCount(shortened(str(self.values[place])), int(self.counts[place]))
            for place in places[:n].tolist()
        )

    def text(self, place: int) -> str:
        """Return one text, or its shape."""
        text = str(self.values[place])
        return _shape(text) if self.is_private else shortened(text)

    def alert(
        self,
        code: str,
        holds: NDArray[np.bool_],
        threshold: float,
        message: str,
        method: str | None = None,
    ) -> Alert:
        """Return an alert whose value is the share of the rows where ``holds`` is true."""
        return Alert(
            code,
            self.column.profile.name,
            self.share_of(holds),
            threshold,
            f"{message.removesuffix('.')}{self.note}.",
            method=method,
            values=self.top(holds),
            rows=self.rows(holds),
        )

    def rows(self, holds: NDArray[np.bool_]) -> tuple[int, ...]:
        """Return some rows that hold one of the texts; none where rows have no codes."""
        import numpy as np

        codes = codes_of(self.column)
        if codes is None or self.places is not None:
            return ()
        return rows_where(np.append(holds, False)[codes])  # code -1 is the last, which is False


def wordings_of(column: Column) -> Wordings | None:
    """Return the distinct texts of a text column, or a sample; None for another column."""
    import numpy as np

    if column.texts is None or not column.texts.height:
        return None
    frame, places = column.texts, None
    n = SAMPLE_TEXTS if frame.height > MAX_TEXTS else frame.height
    lengths = column.profile.lengths
    if lengths is not None and lengths.mean * n > MAX_CHARACTERS:
        n = max(1, int(MAX_CHARACTERS / lengths.mean))
    if n < frame.height:
        chosen = np.random.default_rng(0).choice(frame.height, n, replace=False)
        places = np.sort(chosen).astype(np.int64)
        frame = frame[places]
    counts = frame["count"].to_numpy().astype(np.int64)
    return Wordings(column, frame["value"], counts, int(counts.sum()), places)


def masked(values: polars.Series, counts: NDArray[np.int64], n: int = 3) -> tuple[ValueCount, ...]:
    """Return the most frequent shapes of values: letters as ``a`` and ``A``, digits as ``9``."""
    import polars as pl

    shapes = values.str.replace_all(r"[\p{Ll}\p{Lm}\p{Lo}]", "a")
    shapes = shapes.str.replace_all(r"[\p{Lu}\p{Lt}]", "A").str.replace_all(r"\p{N}", "9")
    frame = pl.DataFrame({"shape": shapes, "count": counts}).group_by("shape").sum()
    top = frame.sort(["count", "shape"], descending=[True, False]).head(n)
    return tuple(ValueCount(shortened(shape), int(count)) for shape, count in top.iter_rows())


def _shape(text: str) -> str:
    return "".join(
        "9" if c.isnumeric() else ("A" if c.isupper() else "a") if c.isalpha() else c for c in text
    )


def quoted(values: tuple[ValueCount, ...], n: int = 3) -> str:
    """Return the first ``n`` values with their counts: ``'?' (12), 'n/a' (3)``.

    One or two are examples; of more, an ellipsis says that they are not all.
    """
    listed = ", ".join(f"{quote(item.value)} ({item.count:,})" for item in values[:n])
    return f"{listed}, ..." if 2 < n < len(values) else listed


def quote(value: object) -> str:
    """Return a value in quotation marks, on one line, what does not show escaped, cut if long."""
    text = str(value)
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    if shown.isprintable():
        return f"'{shown}'"
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return f"'{''.join(escaped)}'"
