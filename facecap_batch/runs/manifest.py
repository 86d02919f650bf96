"""The manifest: which clips a run is made of.

In: a CSV, Parquet or JSON Lines file with one row per clip. Out: a `Manifest` with a `Clip` per row, in the
file's order, or `BadManifest` naming every bad row and why, before anything has run. Whether a video exists
or decodes is not checked here: that is the clip's own failure, and the rest of the run completes.

Columns: ``path`` (required: local path or URI, relative to the manifest's folder), ``clip_id``, ``start``,
``end``, ``actor``, ``timecode``, ``timecode_fps``, ``sequence_fps``; every other column is carried to
``clips.parquet``. ``path`` may also be a folder, a glob or an image sequence: then a row has several clips.
"""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from facecap_batch.clip import Clip, resolve_source
from facecap_batch.errors import BadManifest, StorageUnavailable
from facecap_batch.runs.footage.manifest_columns import KNOWN_COLUMNS, Row
from facecap_batch.runs.footage.manifest_rows import READERS, read_rows
from facecap_batch.runs.footage.naming import UsedIds, clip_ids, file_key, why_unsafe
from facecap_batch.runs.footage.search import Footage, NoFootage, SearchOptions, find_footage, is_searched
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.storage.remote import is_uri
from facecap_batch.storage.remote_video import why_no_address
from facecap_batch.text import printable, why_no_text
from facecap_batch.timecode import is_time, parse_rate, parse_time

MAX_LISTED_ROWS = 1000
MAX_CLIPS = 10_000_000  # of one manifest: rows that name folders can make many times their number


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
    rows = read_rows(path, problems)
    if not rows and not problems:
        raise BadManifest(f"{path}: the manifest has no rows; it needs a 'path' column and one row per clip")
    folder = (path.resolve() if isinstance(path, Path) else path).parent
    return Manifest(str(path.absolute()), _clips(rows, folder, str(path), problems))


def is_manifest(name: str) -> bool:
    """True for a name that ends like a manifest; every other name is that of footage."""
    return storage_path(name).suffix.lower() in READERS


def manifest_of(names: Iterable[str | Path], options: SearchOptions | None = None) -> Manifest:
    """A manifest without a file: the clips of footage that is named.

    Args:
        names: Videos, images, folders, globs, image sequences, URIs; relative ones to the working directory.
        options: How they are understood; None: the defaults.

    Raises:
        NoFootage: A name stands for nothing, or cannot be kept, or there is none.
        StorageUnavailable: Nothing here reads a URI.
    """
    given = [str(name) for name in names]
    if not all(given):
        raise NoFootage("a name is empty; give the path of a video, an image or a folder")
    if not given:
        raise NoFootage("no videos were given; name at least one")
    footage = find_footage(given, Path.cwd(), options)
    for each in footage:
        _check_address(each.path)
    _check_names(footage)
    ids = clip_ids(footage)
    clips = (Clip(clip_id, each.path) for clip_id, each in zip(ids, footage, strict=True))
    return Manifest("", tuple(dataclasses.replace(clip, row=row) for row, clip in enumerate(clips, 1)))


def named_clips(names: Sequence[str], options: SearchOptions) -> Manifest:
    """What a command names: the clips of one manifest, or of footage.

    Args:
        names: One manifest, or anything that `manifest_of` takes.
        options: For footage alone.

    Raises:
        BadManifest: As `read_manifest`; a manifest stands beside other names or beside `options`.
        NoFootage: As `manifest_of`.
    """
    manifests = [name for name in names if is_manifest(name)]
    if not manifests:
        return manifest_of(names, options)
    if len(names) > 1:
        raise BadManifest(
            f"{manifests[0]} is a manifest and stands beside other names; a run takes one manifest, or "
            "footage: list the footage in the manifest, one a row"
        )
    if options != SearchOptions():
        raise BadManifest(
            f"{manifests[0]} is a manifest; --recursive, --fps and --stills are for footage that the command "
            "names. In a manifest write folder/**, the rate in a column sequence_fps, each image by itself"
        )
    return read_manifest(manifests[0])


def _clips(rows: Sequence[Row], folder: StoragePath, name: str, problems: list[str]) -> tuple[Clip, ...]:
    """The clips of `rows`; raises BadManifest with `problems` and those of the rows."""
    ids = _explicit_ids(rows, problems)
    clips: list[Clip] = []
    for number, row in enumerate(rows, 1):
        if row is not None:
            clips += _clips_of(number, row, folder, ids, problems)
        if len(clips) > MAX_CLIPS:
            raise BadManifest(f"{name}: more than {MAX_CLIPS} clips up to row {number}; split the manifest")
    if problems:
        listed = "\n".join(f"  {printable(problem)}" for problem in problems[:MAX_LISTED_ROWS])
        more = len(problems) - MAX_LISTED_ROWS
        rest = f"\n  … and {more} more" if more > 0 else ""
        raise BadManifest(f"{name}: nothing was run, {len(problems)} problem(s):\n{listed}{rest}")
    return tuple(clips)


def _clips_of(
    number: int, row: dict[str, str], folder: StoragePath, used: UsedIds, problems: list[str]
) -> list[Clip]:
    """The clips of a row: one, but for a folder, a glob and the like."""
    found: list[str] = []
    source = row.get("path", "")
    located = ""
    footage: list[Footage] = []
    try:
        located = resolve_source(source, folder)
        footage = _footage(source, located, row.get("sequence_fps", ""), folder)
    except (NoFootage, StorageUnavailable, ValueError) as error:
        found.append(f"path: {error}" if source else "path is empty")
    except OSError as error:
        found.append(f"path: {source}: {error.strerror or error}")
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
    clip_id = unicodedata.normalize("NFC", row.get("clip_id", ""))
    extra = {name: value for name, value in row.items() if name not in KNOWN_COLUMNS}
    if clip_id:
        reason = why_unsafe(clip_id)
        if reason:
            found.append(f"clip_id {clip_id!r} cannot be a file name: {reason}")
        if len(footage) > 1:
            found.append(f"clip_id {clip_id!r} is the name of one clip, and path stands for {len(footage)}")
    if found:
        problems += [f"row {number}: {problem}" for problem in found]
        return []
    ids = [clip_id] if clip_id else [used.claim(name) for name in clip_ids(footage)]
    return [
        Clip(
            clip_id=own_id,
            path=each.path,
            start=start,
            end=end,
            actor=row.get("actor") or None,
            timecode=row.get("timecode") or None,
            extra=extra,
            row=number,
            source=source if each.path == located else _below(each.path, folder),
        )
        for own_id, each in zip(ids, footage, strict=True)
    ]


def _footage(source: str, located: str, rate: str, folder: StoragePath) -> list[Footage]:
    """What a row's path stands for. A video that is missing is found: it fails when its turn comes.

    Raises NoFootage, StorageUnavailable, OSError, or ValueError where the path is empty or the rate is none.
    """
    if not source:
        raise ValueError("it is empty")
    if not located:
        raise ValueError(f"{source}: names no file; write file:///folder/name.mp4, or the path alone")
    _check_address(located)
    if not is_searched(source, located):
        return [Footage(located)]
    found = find_footage([source], folder, SearchOptions(rate=parse_rate(rate) if rate else None))
    _check_names(found)
    return found


def _below(path: str, folder: StoragePath) -> str:
    """`path` as the manifest would name it: relative to its folder, so that both can be moved together."""
    if is_uri(path) or not isinstance(folder, Path):
        return path
    relative = os.path.relpath(path, folder)
    return path if relative.startswith("..") else relative


def _check_address(path: str) -> None:
    """Raise StorageUnavailable where `path` is a URI that nothing here can ever read."""
    reason = why_no_address(path) if is_uri(path) else None
    if reason:
        raise StorageUnavailable(reason)


def _check_names(footage: Iterable[Footage]) -> None:
    """Raise NoFootage where the name of a file cannot be kept in tables."""
    for each in footage:
        reason = why_no_text(each.path)
        if reason:
            shown = each.path.encode("utf-8", "backslashreplace").decode()
            raise NoFootage(f"{shown}: the name cannot be kept: {reason}; rename the file")


def _explicit_ids(rows: Sequence[Row], problems: list[str]) -> UsedIds:
    """The ids that rows give; two that some file system would take for one are a problem of the second."""
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        clip_id = row.get("clip_id", "") if row else ""
        if not clip_id:
            continue
        earlier = first.setdefault(file_key(clip_id), number)
        if earlier != number:
            problems.append(f"row {number}: clip_id {clip_id!r} is already used by row {earlier}")
    return UsedIds(first)
