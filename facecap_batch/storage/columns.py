"""Columns of Arrow tables, made of arrays and of Python's values, and tables of Parquet files.

In: numbers of numpy, or values of Python with None among them; files. Out: Arrow arrays and tables, the same
as `pyarrow.array` and `pyarrow.parquet.read_table` give. Those import pandas where it is installed, to know
its objects: half a second, in every process, for nothing here. These need no pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.storage.publish import StoragePath, arrow_source

MAX_TEXT = 2**31 - 1  # bytes of one column of text: its offsets have 32 bits


def number_column(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """A column of numbers or booleans.

    Args:
        values: [N], of any numeric dtype or bool.
        missing: bool [N], which of them are null; None: none is.
    """
    values = np.ascontiguousarray(values)
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [_validity(missing), pa.py_buffer(data)])


def value_column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of Python's values.

    Args:
        values: str for a column of text, else numbers; None is null.
        kind: `pa.string()`, or a numeric type.

    Raises:
        OverflowError: A number does not fit `kind`, or there is more than MAX_TEXT of text.
    """
    missing = np.array([value is None for value in values], np.bool_)
    if not pa.types.is_string(kind):
        numbers = [0 if value is None else value for value in values]
        return number_column(np.array(numbers, kind.to_pandas_dtype()), missing)
    texts = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    if ends[-1] > MAX_TEXT:
        raise OverflowError(f"{ends[-1]} bytes of text are more than a column holds")
    offsets, data = pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))
    return pa.Array.from_buffers(kind, len(texts), [_validity(missing), offsets, data])


def read_table(path: StoragePath, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a Parquet file; `columns`: these alone, as far as it has them.

    Raises:
        OSError: The file is not there, or cannot be read.
        pa.ArrowException: It is none. Both name it.
    """
    try:
        with pq.ParquetFile(arrow_source(path)) as file:
            return file.read(columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise pa.ArrowInvalid(f"{path}: {error}") from error  # Arrow does not say of which file


def _validity(missing: np.ndarray | None) -> pa.Buffer | None:
    """Arrow's bits of what is there; None where everything is."""
    if missing is None or not missing.any():
        return None
    return pa.py_buffer(np.packbits(~missing, bitorder="little"))


def known_column(values: np.ndarray) -> pa.Array:
    """A column of float32, null where `values`, floats [N], are NaN."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    return number_column(values, np.isnan(values))
