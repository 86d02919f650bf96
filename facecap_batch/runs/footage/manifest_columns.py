"""The columns of a manifest: what they may be called and hold.

In: names of columns, values as JSON or Parquet have them. Out: the text of a row that can be kept in tables,
files and records, or what keeps it from that. The same for every format.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Sequence

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
