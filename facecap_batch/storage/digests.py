"""Checksums: of the bytes of a file, and of what a table holds, however it is stored.

In: a path; an Arrow table. Out: SHA-256, hex. The digest of a table depends on its values, columns and
metadata alone: a table that went through another Parquet file, in other row groups, has the same one.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from facecap_batch.storage.publish import StoragePath

BLOCK_BYTES = 1 << 20


def file_digest(path: StoragePath) -> str:
    """SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") if isinstance(path, Path) else io.BytesIO(path.read_bytes()) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table of numbers, truth values and text.

    Args:
        table: Any number of chunks; text may be encoded by a dictionary.
    """
    metadata = sorted((key.decode(), value.decode()) for key, value in (table.schema.metadata or {}).items())
    columns = [(field.name, str(field.type)) for field in table.schema]
    digest = hashlib.sha256(json.dumps([len(table), columns, metadata]).encode())
    for column in table.columns:
        for part in _parts(column):
            digest.update(part)
    return digest.hexdigest()


def _parts(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Which values are there, and the values, little-endian."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    yield np.packbits(column.is_valid().to_numpy().astype(bool)).tobytes()
    if pa.types.is_string(column.type):
        yield json.dumps(column.to_pylist()).encode()
        return
    values = column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy()
    yield values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
