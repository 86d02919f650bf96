"""The rows of a manifest's file, in each of its formats.

In: a CSV, Parquet or JSON Lines file. Out: its rows as text by column, or `BadManifest`; what is wrong with
single lines is collected, so that all of it can be told at once. Whatever the file holds, nothing else comes
out: the text of a row can be kept in tables, in files and in records.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from facecap_batch.errors import BadManifest
from facecap_batch.runs.footage.manifest_columns import (
    MAX_BYTES,
    MAX_COLUMNS,
    Row,
    check_columns,
    fitting,
    json_text,
    why_bad_name,
)
from facecap_batch.storage.publish import StoragePath
from facecap_batch.text import printable


def read_rows(path: StoragePath, problems: list[str]) -> list[Row]:
    """The rows of a manifest.

    Args:
        path: A file whose suffix is one of `READERS`.
        problems: Those of single lines are added.

    Raises:
        BadManifest: The file cannot be read, or is not what its suffix says.
    """
    suffix = path.suffix.lower()
    data = _bytes(path, suffix)
    if not data.strip():
        raise BadManifest(f"{path}: the manifest is empty; it needs a 'path' column and one row per clip")
    return list(READERS[suffix](path, data, problems))


def _bytes(path: StoragePath, suffix: str) -> bytes:
    """The contents of the manifest. Raises BadManifest."""
    try:
        if path.is_dir():
            raise BadManifest(
                f"{path} is a folder, not a manifest; a manifest is a file that ends in .csv, .parquet or "
                ".jsonl"
            )
        if suffix not in READERS:
            raise BadManifest(f"{path}: a manifest ends in .csv, .parquet or .jsonl, not {suffix!r}")
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise BadManifest(f"{path}: is a device or a pipe, not a file; save the manifest as a file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadManifest(
                f"{path}: has {size / 1e9:.1f} GB, and a manifest at most {MAX_BYTES / 1e9:.1f} GB; is it "
                "one? Split it, and give each part its own --output"
            )
        return path.read_bytes()
    except OSError as error:
        raise BadManifest(f"{path}: cannot read the manifest: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise BadManifest(f"{printable(str(path))}: cannot read the manifest: {error}") from error


def _text(path: StoragePath, data: bytes, problems: list[str]) -> str:
    """`data` as text. Lines that are no UTF-8 are named in `problems`, and stand with marks in their place.

    Raises BadManifest for what is no text at all.
    """
    wrong: list[str] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\x00" in data:
            raise BadManifest(
                f"{path}: not UTF-8 text (byte {error.start}); save the manifest as UTF-8"
            ) from error
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as in_line:
                wrong.append(
                    f"line {number}: not UTF-8 text (byte {in_line.start} of the line); save the manifest as "
                    "UTF-8"
                )
        text = data.decode("utf-8-sig", "replace")
    if "\x00" in text:
        raise BadManifest(f"{path}: binary data, not text; a manifest is CSV, Parquet or JSON Lines")
    if not text.strip():
        raise BadManifest(f"{path}: the manifest is empty; it needs a 'path' column and one row per clip")
    problems += wrong
    return text


def _csv_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    text = _text(path, data, problems)
    first = next(line for line in text.splitlines() if line.strip())
    # Spreadsheets of some countries write CSV with semicolons.
    delimiter = max(",;\t", key=first.count) if any(mark in first for mark in ",;\t") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            fields = [field.strip() for field in next(lines)]
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(f"line {lines.line_num}: not CSV: {error}")
            if header is None:
                return
            yield None
            continue
        if not any(fields):
            continue
        if header is None:
            header = _named(fields)
            check_columns(path, header)
            continue
        if any(fields[len(header) :]):
            problems.append(f"line {lines.line_num}: {len(fields)} fields under {len(header)} columns")
            yield None
            continue
        cells = fields[: len(header)]
        yield fitting(
            f"line {lines.line_num}",
            dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)),
            problems,
        )


def _named(header: list[str]) -> list[str]:
    """`header` without the empty fields at its end, which spreadsheets leave where a column was emptied; an
    empty one elsewhere, such as that of an index, gets the name of its place."""
    last = max(number for number, name in enumerate(header, 1) if name)
    return [name or f"column_{number}" for number, name in enumerate(header[:last], 1)]


def _json_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    names: set[str] = set()
    # Lines end where JSON cannot go on: other separators may stand inside its strings.
    for number, line in enumerate(io.StringIO(_text(path, data, problems), newline=None), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line, parse_float=Decimal)
            if not isinstance(row, dict) or "path" not in row:
                problems.append(f"{place}: not an object with 'path'")
                yield None
                continue
            texts = {name: json_text(name, value) for name, value in row.items()}
        except RecursionError:
            problems.append(f"{place}: not JSON that can be read: it is nested too deeply")
            yield None
        except (ValueError, ArithmeticError) as error:
            problems.append(f"{place}: not JSON: {error}")
            yield None
        else:
            for name in texts.keys() - names:
                reason = why_bad_name(name)
                if reason:
                    problems.append(f"{place}: the name {printable(repr(name))} cannot be kept: {reason}")
            names |= texts.keys()
            if len(names) > MAX_COLUMNS:
                raise BadManifest(
                    f"{path}: {place}: more than {MAX_COLUMNS} names by here, and a manifest has at most "
                    f"{MAX_COLUMNS} columns"
                )
            yield fitting(place, texts, problems)


def _parquet_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    from facecap_batch.runs.footage.parquet_rows import parquet_rows

    return parquet_rows(path, data, problems)


READERS = {
    ".csv": _csv_rows, ".tsv": _csv_rows,
    ".parquet": _parquet_rows, ".jsonl": _json_rows, ".ndjson": _json_rows,
}  # fmt: skip
