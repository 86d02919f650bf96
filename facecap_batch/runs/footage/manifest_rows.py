"""The rows of a manifest's file, in each of its formats.

In: a CSV, Parquet or JSON Lines file. Out: its rows as text by column, or `BadManifest`; what is wrong with
single lines is collected, so that all of it can be told at once. Whatever the file holds, nothing else comes
out: the text of a row can be kept in tables, in files and in records.
"""

from __future__ import annotations

import collections
import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from facecap_batch.errors import BadManifest
from facecap_batch.storage.publish import StoragePath
from facecap_batch.text import invisible_in, printable, why_no_text

KNOWN_COLUMNS = ("path", "clip_id", "start", "end", "actor", "timecode", "timecode_fps", "sequence_fps")
# One row as text; None for a line whose problem is already listed, so that the rows after it keep their
# number.
Row = dict[str, str] | None

MAX_BYTES = 2 << 30  # of the file; some 10,000,000 rows, which take ten times as much memory
MAX_COLUMNS = 1000  # `clips.parquet` has all of them in every row
MAX_TEXT = 131_072  # characters of a field: what Python's csv module takes


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


def check_columns(path: StoragePath, columns: Sequence[str]) -> None:
    """Raise BadManifest where `columns` are not those of a manifest."""
    if "path" not in columns:
        listed = printable(", ".join(map(repr, columns[:50])))
        raise BadManifest(f"{path}: no 'path' column; found: {listed}")
    if len(columns) > MAX_COLUMNS:
        raise BadManifest(f"{path}: {len(columns)} columns, and a manifest has at most {MAX_COLUMNS}")
    doubled = sorted(name for name, count in collections.Counter(columns).items() if count > 1)
    if doubled:
        raise BadManifest(f"{path}: column(s) given twice: {printable(', '.join(doubled))}")
    for name in columns:
        reason = why_bad_name(name)
        if reason:
            raise BadManifest(f"{path}: the name of column {printable(repr(name))} cannot be kept: {reason}")


def why_bad_name(name: str) -> str | None:
    """Why a column cannot have this name in ``clips.parquet``; None where it can."""
    if not name.strip():
        return "it is empty"
    if len(name) > MAX_TEXT:
        return f"it is longer than {MAX_TEXT} characters"
    if invisible_in(name):
        return "it holds control characters or others that are not shown"
    return why_no_text(name)


def fitting(place: str, row: dict[str, str], problems: list[str]) -> Row:
    """`row` where each of its texts can be kept; else None, and a problem for each that cannot.

    Args:
        place: ``row 3`` or ``line 3``.
    """
    found = []
    for name, text in row.items():
        if len(text) > MAX_TEXT:
            found.append(f"{place}: {name}: longer than {MAX_TEXT} characters")
        elif not text.isascii() or "\0" in text:
            reason = why_no_text(text)
            if reason:
                found.append(f"{place}: {name}: {text[:50]!r} is no text: {reason}")
    problems += found
    return None if found else row


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


def json_text(name: str, value: object) -> str:
    """A value of JSON as the text of column `name`. Raises ValueError where that column takes text alone."""
    if value is None or value != value:  # an absent number is often NaN
        return ""
    if isinstance(value, str):
        return value.strip()
    if name in KNOWN_COLUMNS and isinstance(value, (dict, list, bool)):
        raise ValueError(f"{name} is {json.dumps(value, default=str)[:50]}, and text is needed")
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value)


def _parquet_rows(path: StoragePath, data: bytes, problems: list[str]) -> Iterator[Row]:
    from facecap_batch.runs.footage.parquet_rows import parquet_rows

    return parquet_rows(path, data, problems)


READERS = {
    ".csv": _csv_rows, ".tsv": _csv_rows, ".txt": _csv_rows,
    ".parquet": _parquet_rows, ".jsonl": _json_rows, ".ndjson": _json_rows,
}  # fmt: skip
