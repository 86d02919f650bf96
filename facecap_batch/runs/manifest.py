"""The manifest: which clips a run is made of.

In: a CSV, Parquet or JSON Lines file with one row per clip. Out: a `Manifest` with a `Clip` per row, in the
file's order, or `BadManifest` naming every bad row and why, before anything has run. Whether a video exists
or decodes is not checked here: that is the clip's own failure, and the rest of the run completes.

Columns: ``path`` (required: local path or URI, relative to the manifest's folder), ``clip_id``, ``start``,
``end``, ``actor``, ``timecode``, ``timecode_fps``; every other column is carried to ``clips.parquet``.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facecap_batch.clip import Clip, resolve_source
from facecap_batch.errors import BadManifest
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.storage.remote import is_uri
from facecap_batch.timecode import is_time, parse_time

KNOWN_COLUMNS = ("path", "clip_id", "start", "end", "actor", "timecode", "timecode_fps")
# A file name may hold 255 bytes; room is left for the suffixes and for the prefix of temporary names.
MAX_CLIP_ID_BYTES = 200
MAX_LISTED_ROWS = 1000
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# One row as text; None for a line whose problem is already listed, so that the rows after it keep their
# number.
Row = dict[str, str] | None
_VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mxf", ".jpg", ".jpeg", ".png"}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The clips of a run, and the file that lists them."""

    path: str  # absolute path or URI of the file; empty where the clips were given without one
    clips: tuple[Clip, ...]  # in the file's order


def read_manifest(path: str | StoragePath) -> Manifest:
    """Read a manifest.

    Args:
        path: a .csv, .tsv, .parquet, .jsonl or .ndjson file, on a local disk or behind a URI.

    Raises:
        BadManifest: the file is missing, empty, not what its extension says or has no ``path`` column, or a
            row is bad; the message lists every bad row.
    """
    path = storage_path(path)
    problems: list[str] = []
    rows = _read_rows(path, problems)
    if not rows and not problems:
        raise BadManifest(f"{path}: the manifest has no rows; it needs a 'path' column and one row per clip")
    folder = (path.resolve() if isinstance(path, Path) else path).parent
    return Manifest(str(path.absolute()), _clips(rows, folder, str(path), problems))


def manifest_of(videos: Iterable[str | Path]) -> Manifest:
    """A manifest without a file: one clip per video, named by its stem.

    Args:
        videos: local paths (relative ones to the working directory) or URIs.

    Raises:
        BadManifest: there is no video, or a path is empty.
    """
    sources = [str(video) for video in videos]
    if not sources:
        raise BadManifest("no videos were given; name at least one")
    here = Path.cwd()
    rows: list[Row] = [{"path": resolve_source(source, here) if source else ""} for source in sources]
    return Manifest("", _clips(rows, here, "the videos given", []))


def _clips(rows: Sequence[Row], folder: StoragePath, name: str, problems: list[str]) -> tuple[Clip, ...]:
    """The clips of `rows`; raises BadManifest with `problems` and those of the rows."""
    taken = _explicit_ids(rows, problems)
    clips = []
    for number, row in enumerate(rows, 1):
        clip = _clip(number, row, folder, taken, problems) if row is not None else None
        if clip is not None:
            clips.append(clip)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:MAX_LISTED_ROWS])
        more = len(problems) - MAX_LISTED_ROWS
        rest = f"\n  … and {more} more" if more > 0 else ""
        raise BadManifest(f"{name}: nothing was run, {len(problems)} problem(s):\n{listed}{rest}")
    return tuple(clips)


def _clip(
    number: int, row: dict[str, str], folder: StoragePath, taken: set[str], problems: list[str]
) -> Clip | None:
    found: list[str] = []
    source = row.get("path", "")
    if not source:
        found.append("path is empty")
    times: dict[str, Fraction | None] = {}
    for name in ("start", "end"):
        try:
            times[name] = parse_time(row[name], row.get("timecode_fps")) if row.get(name) else None
        except ValueError as error:
            found.append(f"{name}: {error}")
    start, end = times.get("start"), times.get("end")
    if end is not None and end <= (start or 0):
        found.append(f"end ({row['end']}) is not after start ({row.get('start') or '0'})")
    if row.get("timecode") and not is_time(row["timecode"]):
        found.append(f"timecode: {row['timecode']!r} is not a timecode (HH:MM:SS:FF)")
    clip_id = row.get("clip_id", "")
    if clip_id:
        reason = _unsafe_id(clip_id)
        if reason:
            found.append(f"clip_id {clip_id!r} cannot be a file name: {reason}")
    if found:
        problems += [f"row {number}: {problem}" for problem in found]
        return None
    resolved = resolve_source(source, folder)
    if not clip_id:
        clip_id = default_clip_id(resolved, taken)
    return Clip(
        clip_id=clip_id,
        path=resolved,
        start=start,
        end=end,
        actor=row.get("actor") or None,
        timecode=row.get("timecode") or None,
        extra={name: value for name, value in row.items() if name not in KNOWN_COLUMNS},
        row=number,
        source=source,
    )


def _explicit_ids(rows: Sequence[Row], problems: list[str]) -> set[str]:
    """Casefolded explicit ids; two that differ in case only would be one file on some file systems."""
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        clip_id = row.get("clip_id", "") if row else ""
        if not clip_id:
            continue
        earlier = first.setdefault(clip_id.casefold(), number)
        if earlier != number:
            problems.append(f"row {number}: clip_id {clip_id!r} is already used by row {earlier}")
    return set(first)


def default_clip_id(path: str, taken: set[str]) -> str:
    """The stem of `path` made safe and unique: ``take``, ``take-2``, ``take-3`` in the manifest's order."""
    name = unquote(urlsplit(path).path) if is_uri(path) else path
    stem = unicodedata.normalize("NFC", Path(name).stem)
    stem = _UNSAFE.sub("_", stem).strip(". ")
    stem = (
        stem.encode("utf-8", "replace")[: MAX_CLIP_ID_BYTES - 12].decode("utf-8", "ignore").strip() or "clip"
    )
    if _RESERVED.fullmatch(stem):
        stem = f"clip-{stem}"
    candidate, count = stem, 1
    while candidate.casefold() in taken:
        count += 1
        candidate = f"{stem}-{count}"
    taken.add(candidate.casefold())
    return candidate


def _unsafe_id(clip_id: str) -> str | None:
    if _UNSAFE.search(clip_id):
        return 'it holds a slash, a control character or one of <>:"|?*'
    if clip_id[0] == "." or clip_id[-1] in ". ":
        return "it begins with a dot or ends with a dot or space"
    if _RESERVED.fullmatch(clip_id):
        return "the name is reserved on Windows"
    try:
        size = len(clip_id.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"it is longer than {MAX_CLIP_ID_BYTES} bytes" if size > MAX_CLIP_ID_BYTES else None


# --- the three file formats, each to rows of strings --------------------------------------------


def _read_rows(path: StoragePath, problems: list[str]) -> list[Row]:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise BadManifest(f"{path}: cannot read the manifest: {error.strerror}") from error
    if is_folder:
        raise BadManifest(
            f"{path} is a folder, not a manifest. Make one with a line per video, for example:\n"
            f"  (echo path; ls {path}/*.mp4) > manifest.csv"
        )
    suffix = path.suffix.lower()
    if suffix in _VIDEO_SUFFIXES:
        raise BadManifest(
            f"{path} is a video or image, not a manifest. Make a manifest that names it:\n"
            f"  printf 'path\\n%s\\n' '{path}' > manifest.csv"
        )
    readers = {
        ".csv": _csv_rows, ".tsv": _csv_rows, ".txt": _csv_rows,
        ".parquet": _parquet_rows, ".jsonl": _json_rows, ".ndjson": _json_rows,
    }  # fmt: skip
    if suffix not in readers:
        raise BadManifest(f"{path}: a manifest ends in .csv, .parquet or .jsonl, not {suffix!r}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadManifest(f"{path}: cannot read the manifest: {error.strerror}") from error
    if not data.strip():
        raise BadManifest(f"{path}: the manifest is empty; it needs a 'path' column and one row per clip")
    return list(readers[suffix](path, data, problems))


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
