"""Some rows of a stored table, read in batches so that it need not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import polars as pl

_BATCH = 65_536
_SEED = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a table in their order; ``n_total`` is how many the table has."""

    frame: pl.DataFrame
    n_total: int

    @property
    def is_whole(self) -> bool:
        """Return whether these are all rows."""
        return self.frame.height == self.n_total


def sample_of(path: Path, most: int | None, progress: Progress = silent) -> Sample:
    """Return the table at ``path``, or ``most`` seeded random rows of it in their order."""
    import numpy as np
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        n_total = file.metadata.num_rows
        if most is None or n_total <= most:
            progress(Step("Reading the table"))
            return Sample(pl.read_parquet(path, glob=False), n_total)
        chosen = np.sort(np.random.default_rng(_SEED).choice(n_total, most, replace=False))
        parts, begin = [], 0
        for batch in file.iter_batches(_BATCH):
            progress(Step("Reading a sample", begin, n_total))
            end = begin + batch.num_rows
            low, high = np.searchsorted(chosen, [begin, end])
            parts.append(batch.take(pa.array(chosen[low:high] - begin)))
            begin = end
        table = pa.Table.from_batches(parts)
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return Sample(found, n_total)
