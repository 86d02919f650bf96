"""Our own columns as CSV and JSON, for programs that read no Parquet.

In: a `CoefficientTable`. Out: the columns of its Parquet file under their names and in their order, one row
for every frame. Null is an empty field in CSV and ``null`` in JSON. Numbers are written with as many digits
as bring the same float32 or float64 back.
"""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pyarrow as pa

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable, to_arrow
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.exporting.take import notes_of
from facecap_batch.storage.publish import StoragePath, publish_bytes

Cell = str | int | float | bool | None


def write_csv(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish `table` at `path` as CSV with a header, UTF-8, atomically; raises OSError.

    Booleans are ``true`` and ``false``, as DuckDB, Polars and R read them. CSV has no room for rate, timecode
    and source: those are in the JSON. With a rig its channels stand in the place of the coefficients.
    """
    arrow = _columns(table, rig)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(arrow.column_names)
    columns = [_cells(arrow, name) for name in arrow.column_names]
    for row in zip(*columns, strict=True):
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
    publish_bytes(path, text.getvalue().encode())


def write_json(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish `table` at `path` as one JSON object, atomically.

    ``metadata`` holds texts: source (picture and sound), timecode, fps and time base as fractions, engines;
    ``columns`` the names; ``rows`` a list of values for each frame, in the order of the names. With a rig its
    channels stand in the place of the coefficients, and its name is among the metadata.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    arrow = _columns(table, rig)
    notes = notes_of(table) | ({} if rig is None else {"rig": rig.name})
    head = {"format": "facecap-batch table 1", "metadata": notes, "columns": arrow.column_names}
    columns = [_cells(arrow, name) for name in arrow.column_names]
    rows = ",\n".join(
        json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for row in zip(*columns, strict=True)
    )
    opening = json.dumps(head, ensure_ascii=False, indent=1)[: -len("\n}")]
    publish_bytes(path, f'{opening},\n "rows": [\n{rows}\n]}}\n'.encode())


def _columns(table: CoefficientTable, rig: Rig | None) -> pa.Table:
    """The columns of the file; of a rig's channels that are called as one of ours, theirs is taken."""
    arrow = to_arrow(table)
    if rig is None:
        return arrow
    channels = in_channels(table, rig)
    made = {
        name: pa.array(values, mask=np.isnan(values))
        for name, values in zip(channels.names, channels.values.T, strict=True)
    }
    first = arrow.column_names.index(ARKIT_NAMES[0])
    ours = [name for name in arrow.column_names if name not in table.shape_names and name not in made]
    before = [name for name in ours if arrow.column_names.index(name) < first]
    order = [*before, *made, *(name for name in ours if name not in before)]
    return pa.table({name: made[name] if name in made else arrow[name] for name in order})


def _cells(arrow: pa.Table, name: str) -> list[Cell]:
    """The values of a column; a float32 as the shortest decimal that is read back as the same float32."""
    column = arrow[name]
    if column.type != pa.float32():
        cells: list[Cell] = column.to_pylist()
        return cells
    values = np.asarray(column.to_numpy(), np.float32)
    decimals = values.astype(np.str_).astype(np.float64)  # numpy writes the shortest decimal of a float32
    decimals[~np.isfinite(decimals)] = np.nan
    return [None if math.isnan(decimal) else decimal for decimal in decimals.tolist()]
