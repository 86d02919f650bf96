"""Our own columns as CSV and JSON, for programs that read no Parquet.

In: a `CoefficientTable`. Out: the columns of its Parquet file under their names and in their order, one row
for every frame. Null is an empty field in CSV and ``null`` in JSON. Numbers are written with as many digits
as bring the same float32 or float64 back.
"""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa

from facecap_batch.coefficients import CoefficientTable, to_arrow
from facecap_batch.exporting.take import notes_of
from facecap_batch.storage.publish import StoragePath, publish_bytes

Cell = str | int | float | bool | None


def write_csv(table: CoefficientTable, path: StoragePath) -> None:
    """Publish `table` at `path` as CSV with a header, UTF-8, atomically; raises OSError.

    Booleans are ``true`` and ``false``, as DuckDB, Polars and R read them. CSV has no room for rate, timecode
    and source: those are in the JSON.
    """
    arrow = to_arrow(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(arrow.column_names)
    columns = [_cells(arrow, name) for name in arrow.column_names]
    for row in zip(*columns, strict=True):
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
    publish_bytes(path, text.getvalue().encode())


def write_json(table: CoefficientTable, path: StoragePath) -> None:
    """Publish `table` at `path` as one JSON object, atomically.

    ``metadata`` holds texts: source (picture and sound), timecode, fps and time base as fractions, engines;
    ``columns`` the names; ``rows`` a list of values for each frame, in the order of the names.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    arrow = to_arrow(table)
    head = {"format": "facecap-batch table 1", "metadata": notes_of(table), "columns": arrow.column_names}
    columns = [_cells(arrow, name) for name in arrow.column_names]
    rows = ",\n".join(
        json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for row in zip(*columns, strict=True)
    )
    opening = json.dumps(head, ensure_ascii=False, indent=1)[: -len("\n}")]
    publish_bytes(path, f'{opening},\n "rows": [\n{rows}\n]}}\n'.encode())


def _cells(arrow: pa.Table, name: str) -> list[Cell]:
    """The values of a column; a float32 as the shortest decimal that is read back as the same float32."""
    column = arrow[name]
    if column.type != pa.float32():
        cells: list[Cell] = column.to_pylist()
        return cells
    values = np.asarray(column.to_numpy(), np.float32)
    return [float(str(value)) if np.isfinite(value) else None for value in values]
