"""The labels as a column: a version's table with the column added, or filled in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data.labelling import classes as naming
from local_stack.data.labelling.tally import Settled
from local_stack.data.versions import DataVersion
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 65_536


def write(
    path: Path,
    version: DataVersion,
    column: str,
    found: Settled,
    target: Path,
    *,
    classes: Sequence[str],
    is_multi: bool,
    progress: Progress = silent,
) -> None:
    """Write the table at ``path`` to ``target`` with the labels of ``found`` in ``column``.

    A row without a label keeps the value that it has; in a new column it is missing. Where a
    row may have several classes they are one text, ``a|b``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    existing = next((it.type for it in version.schema if it.name == column), None)
    kind = naming.type_of(classes, existing, is_multi=is_multi)
    types = {"long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}
    texts = [naming.value_of(naming.cell(it), kind) for it in found.kinds]
    values = pa.array(texts, types.get(kind, pa.string()))
    places = _places(version.rows, found)
    source = pq.ParquetFile(path)
    schema = _schema(source.schema_arrow, column, values.type)
    done = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in source.iter_batches(_BATCH):
            progress(Step("Writing the labels", done, version.rows))
            taken = places[done : done + batch.num_rows]
            labels = values.take(pa.array(taken, mask=taken < 0))
            writer.write_batch(_with(batch, column, labels, schema))
            done += batch.num_rows


def _places(n_rows: int, found: Settled) -> Any:
    """Return for each row the place of its label among the kinds, -1 for none."""
    import numpy as np

    places = np.full(n_rows, -1, dtype=np.int64)
    places[np.asarray(found.rows, dtype=np.int64)] = np.asarray(found.places, dtype=np.int64)
    return places


def _schema(schema: pa.Schema, column: str, kind: pa.DataType) -> pa.Schema:
    import pyarrow as pa

    field = pa.field(column, kind)
    at = schema.get_field_index(column)
    return schema.append(field) if at < 0 else schema.set(at, field)


def _with(
    batch: pa.RecordBatch, column: str, labels: pa.Array, schema: pa.Schema
) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    at = batch.schema.get_field_index(column)
    arrays = list(batch.columns)
    if at < 0:
        arrays.append(labels)
    else:
        arrays[at] = pc.coalesce(labels, arrays[at].cast(labels.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
