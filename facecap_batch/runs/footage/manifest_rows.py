"""The rows of a manifest's file, in each of its formats.

In: a CSV, Parquet or JSON Lines file. Out: its rows as text by column, or `BadManifest`; what is wrong with
single lines is collected, so that all of it can be told at once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal

from facecap_batch.errors import BadManifest
from facecap_batch.storage.publish import StoragePath

# One row as text; None for a line whose problem is already listed, so that the rows after it keep their
# number.
Row = dict[str, str] | None


def read_rows(path: StoragePath, problems: list[str]) -> list[Row]:
    """The rows of a manifest.

    Args:
        path: A file whose suffix is one of `READERS`.
        problems: Those of single lines are added.

    Raises:
        BadManifest: The file cannot be read, or is not what its suffix says.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise BadManifest(f"{path}: cannot read the manifest: {error.strerror}") from error
    if is_folder:
        raise BadManifest(
            f"{path} is a folder, not a manifest; a manifest is a file that ends in .csv, .parquet or .jsonl"
        )
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise BadManifest(f"{path}: a manifest ends in .csv, .parquet or .jsonl, not {suffix!r}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadManifest(f"{path}: cannot read the manifest: {error.strerror}") from error
    if not data.strip():
        raise BadManifest(f"{path}: the manifest is empty; it needs a 'path' column and one row per clip")
    return list(READERS[suffix](path, data, problems))


def _text(path: StoragePath, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadManifest(
            f"{path}: not UTF-8 text (byte {error.start}); save the manifest as UTF-8"
        ) from error
    if "\x00" in text:
        raise BadManifest(f"{path}: binary data, not text; a manifest is CSV, Parquet or JSON Lines")
    return text


def _check_columns(path: StoragePath, columns: list[str]) -> None:
    if "path" not in columns:
        raise BadManifest(f"{path}: no 'path' column; found: {', '.join(map(repr, columns))[:500]}")
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise BadManifest(f"{path}: column(s) given twice: {', '.join(doubled)}")


def _csv_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    text = _text(path, data)
    first = text.lstrip("\r\n").splitlines()[0]
    # Spreadsheets of some countries write CSV with semicolons.
    delimiter = max(",;\t", key=first.count) if any(mark in first for mark in ",;\t") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for fields in lines:
            fields = [field.strip() for field in fields]
            if not any(fields):
                continue
            if header is None:
                header = fields
                _check_columns(path, header)
                continue
            if len(fields) > len(header):
                problems.append(f"line {lines.line_num}: {len(fields)} fields under {len(header)} columns")
                yield None
                continue
            yield dict(zip(header, fields + [""] * (len(header) - len(fields)), strict=True))
    except csv.Error as error:
        raise BadManifest(f"{path}: line {lines.line_num} is not CSV: {error}") from error


def _json_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    for number, line in enumerate(_text(path, data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=Decimal)
        except ValueError as error:
            problems.append(f"line {number}: not JSON: {error}")
            yield None
            continue
        if not isinstance(row, dict) or "path" not in row:
            problems.append(f"line {number}: not an object with 'path'")
            yield None
            continue
        yield {str(name): _as_text(value) for name, value in row.items()}


def _parquet_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise BadManifest(f"{path}: not a Parquet file: {error}") from error
    _check_columns(path, table.column_names)
    for row in table.to_pylist():
        yield {name: _as_text(value) for name, value in row.items()}


def _as_text(value: object) -> str:
    if value is None or value != value:  # an absent number is often NaN
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value).strip()


READERS = {
    ".csv": _csv_rows, ".tsv": _csv_rows, ".txt": _csv_rows,
    ".parquet": _parquet_rows, ".jsonl": _json_rows, ".ndjson": _json_rows,
}  # fmt: skip
