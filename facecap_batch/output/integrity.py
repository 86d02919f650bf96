"""Whether the files of a clip still are what was written: their checksums.

In: a file before it is published, and later the same file in its folder. Out: a `FileState` for the record,
and whether the file is still sound. Tables that a compact file has taken in are compared with the digests in
its index (`compact_index`). Files of records without checksums, and tables of indexes without them, are read
instead: then what cannot be read is known, and what reads as something else is not.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.errors import InputNotReadable
from facecap_batch.output.compact_index import ADVICE, CompactReader, read_clip_tracks
from facecap_batch.storage.digests import file_digest
from facecap_batch.storage.publish import StoragePath

# What a damaged table raises when it is read, whatever is wrong with it.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, OverflowError, pa.ArrowException)


@dataclasses.dataclass(frozen=True)
class FileState:
    """A file as it was written."""

    size: int  # bytes
    sha256: str  # hex


def state_of(path: Path) -> FileState:
    """What a local file holds. Taken before it goes to its storage, so what that does to it is noticed later.

    Raises OSError.
    """
    return FileState(path.stat().st_size, file_digest(path))


def is_sound(output: StoragePath, name: str, sha256: str | None, compacted: CompactReader) -> bool:
    """Whether a file of the output folder is still what was written; False also where it cannot be read.

    Args:
        output: The folder of a run.
        name: Of the file, relative to the folder.
        sha256: As the record has it; None where it has none.
        compacted: Reads the compact files of the folder.
    """
    try:
        if sha256 is None or not (output / name).is_file():
            if name.endswith(".parquet"):
                read_clip_tracks(output, name, compacted)
            return True
        return file_digest(output / name) == sha256
    except (InputNotReadable, *UNREADABLE):
        return False


def read_sound_tracks(
    output: StoragePath, name: str, sha256: str | None, compacted: CompactReader | None = None
) -> tuple[CoefficientTable, ...]:
    """The tables of a clip's tracks, as they were written.

    Args:
        output, name, sha256: As of `is_sound`.
        compacted: As well, where tables of many clips are read; None: one is made.

    Raises:
        InputNotReadable: The file is gone or damaged; whether that may pass is kept in its cause.
    """
    require_sound(output, name, sha256)
    try:
        return read_clip_tracks(output, name, compacted)
    except UNREADABLE as error:
        raise InputNotReadable(f"{output / name} cannot be read: {error}; {ADVICE}") from error


def require_sound(output: StoragePath, name: str, sha256: str | None) -> None:
    """Raise InputNotReadable for a file that is there with other bytes than were written."""
    try:
        changed = sha256 is not None and (output / name).is_file() and file_digest(output / name) != sha256
    except OSError as error:
        raise InputNotReadable(f"{output / name} cannot be read: {error}; {ADVICE}") from error
    if changed:
        raise InputNotReadable(f"{output / name} is damaged: its checksum is another; {ADVICE}")
