"""The rows of a manifest that is a Parquet file.

In: the bytes of the file. Out: its rows as text by column, or `BadManifest`. Columns of text and numbers say
what they hold; times are written as Arrow writes them, in UTC where they have a zone, lengths of time in
seconds; bytes, lists and structs are carried as hexadecimal digits and JSON, and are refused where a column
means something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.errors import BadManifest
from facecap_batch.runs.footage.manifest_columns import (
    KNOWN_COLUMNS,
    MAX_BYTES,
    Row,
    check_columns,
    fitting,
    json_text,
)
from facecap_batch.storage.publish import StoragePath

ROWS_AT_ONCE = 10_000
MAX_ROWS = 10_000_000  # a row is 100 bytes and more in memory, and a few bits in a file of equal rows
MAX_DEPTH = 20  # of a column's type: lists of lists
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}  # of a second's fraction
_OUT_OF_RANGE = "<value out of range"  # what Arrow writes in place of a date that no calendar has
_NO_VALUE = (ValueError, ArithmeticError, RecursionError, pa.ArrowException)  # of a value that has no text


def parquet_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    """The rows of the Parquet file `data`.

    Args:
        path: For messages.
        data: The whole file.
        problems: Those of single rows are added.

    Raises:
        BadManifest: It is no Parquet file, or one of its columns cannot be that of a manifest.
    """
    number = 0
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            _check(path, file)
            names = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        # A text that all rows share is one in the file, and must not become as many as there are rows.
        with pq.ParquetFile(pa.BufferReader(data), read_dictionary=names) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
                for row in _rows(batch, number, problems):
                    number += 1
                    yield row
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        where = f"it cannot be read from row {number + 1} on" if number else "not a Parquet file"
        raise BadManifest(f"{path}: {where}: {error}; write the file again") from error


def _check(path: StoragePath, file: pq.ParquetFile) -> None:
    """Raise BadManifest where `file` is too large, or has columns that no manifest has."""
    schema, metadata = file.schema_arrow, file.metadata
    check_columns(path, schema.names)
    for field in schema:
        if field.name in KNOWN_COLUMNS and not _is_plain(field.type):
            raise BadManifest(f"{path}: column {field.name!r} holds {field.type}, and text is needed")
        if _depth(field.type) > MAX_DEPTH:
            raise BadManifest(f"{path}: column {field.name!r} is nested too deeply")
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if metadata.num_rows > MAX_ROWS or size > MAX_BYTES:
        raise BadManifest(
            f"{path}: {metadata.num_rows} rows and {size / 1e9:.1f} GB, and a manifest has at most "
            f"{MAX_ROWS} rows and {MAX_BYTES / 1e9:.1f} GB; split it, and give each part its own --output"
        )


def _is_plain(kind: pa.DataType) -> bool:
    """True for a type whose values are text, numbers or times."""
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return not (pa.types.is_nested(kind) or _is_bytes(kind) or isinstance(kind, pa.BaseExtensionType))


def _is_bytes(kind: pa.DataType) -> bool:
    # A view has no test of its own in the lower versions of Arrow.
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )


def _depth(kind: pa.DataType) -> int:
    """How many types lie inside each other."""
    depth, inside = 0, [kind]
    while inside and depth <= MAX_DEPTH:
        depth += 1
        inside = [outer.field(place).type for outer in inside for place in range(outer.num_fields)]
    return depth


def _rows(batch: pa.RecordBatch, before: int, problems: list[str]) -> Iterator[Row]:
    """The rows of `batch`, which `before` rows precede."""
    names = batch.schema.names
    wrong: dict[int, list[str]] = {}
    columns = []
    for name, column in zip(names, batch.columns, strict=True):
        columns.append(_texts(name, column, wrong))
    for number, texts in enumerate(zip(*columns, strict=True)):
        place = f"row {before + number + 1}"
        if number in wrong:
            problems += [f"{place}: {reason}" for reason in wrong[number]]
            yield None
        else:
            yield fitting(place, dict(zip(names, texts, strict=True)), problems)


def _texts(name: str, column: pa.Array, wrong: dict[int, list[str]]) -> list[str]:
    """The values of `column` as text; why some are none is added to `wrong`, by their place."""
    if isinstance(column, pa.ExtensionArray):
        return _texts(name, column.storage, wrong)
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _shared_texts(name, column, wrong)
    readable, read = _readable(column)
    texts = []
    for number, value in enumerate(_values(readable)):
        try:
            if isinstance(value, Exception):
                raise value
            texts.append(json_text(name, value if value is None else read(value)))
        except _NO_VALUE as error:
            wrong.setdefault(number, []).append(f"{name}: it cannot be read as text: {error}")
            texts.append("")
    return texts


def _shared_texts(name: str, column: pa.DictionaryArray, wrong: dict[int, list[str]]) -> list[str]:
    """As `_texts`, for a column of few texts."""
    wrong_texts: dict[int, list[str]] = {}
    texts = _texts(name, column.dictionary, wrong_texts)
    found = []
    for number, index in enumerate(column.indices.to_pylist()):
        found.append("" if index is None else texts[index])
        if index in wrong_texts:
            wrong.setdefault(number, []).extend(wrong_texts[index])
    return found


def _readable(column: pa.Array) -> tuple[pa.Array, Callable[[Any], object]]:
    """A column whose values Python can hold, and what makes of each what is carried.

    Python's own dates end at the year 9999 and in microseconds.
    """
    kind = column.type
    if pa.types.is_duration(kind):
        digits = _DIGITS[kind.unit]
        return column.cast(pa.int64()), lambda count: format(Decimal(count).scaleb(-digits), "f")
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return column.cast(pa.timestamp(kind.unit)).cast(pa.string()), lambda text: _dated(text) + zone
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return column.cast(pa.string()), _dated
    if _is_bytes(kind):
        return column, bytes.hex
    return column, lambda value: value


def _dated(text: str) -> str:
    if text.startswith(_OUT_OF_RANGE):
        raise ValueError(f"{text.strip('<>')}")
    return text


def _values(column: pa.Array) -> Iterator[object]:
    """The values of `column`; for those that Python cannot hold the error."""
    try:
        yield from column.to_pylist()
    except _NO_VALUE:
        for number in range(len(column)):
            try:
                yield column[number].as_py()
            except _NO_VALUE as error:
                yield error
