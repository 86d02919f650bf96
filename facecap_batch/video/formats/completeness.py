"""Whether a file holds as many bytes as its own structure says.

In: a path. Out: True for a whole AVI, Matroska or WebM file. The headers of these are written when a
recording ends, and some recorders count frames there that they never wrote: what is promised and missing
is no damage then.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from facecap_batch.storage.remote import is_uri

TAIL_BYTES = 64  # a copy that was broken off may leave zeros to the full size
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067  # Matroska's elements: the header, and all that follows


def is_whole(source: str) -> bool:
    """True where `source` is a local file in which nothing is missing at the end.

    Args:
        source: A path or URI.

    Returns:
        False also where that cannot be known: other formats, files behind a URI, recordings that were never
        closed.
    """
    if is_uri(source):
        return False
    try:
        size = Path(source).stat().st_size
        with Path(source).open("rb") as file:
            end = structure_end(file, size)
            if end is None or end > size:
                return False
            file.seek(max(0, min(end, size) - TAIL_BYTES))
            return any(file.read(TAIL_BYTES))
    except OSError:
        return False


def structure_end(file: BinaryIO, size: int) -> int | None:
    """Where an AVI or Matroska file of `size` bytes ends by its own headers; None where these do not say."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        return _riff_end(file, size)
    return _segment_end(file, size)


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Where the last RIFF chunk of an AVI ends (large ones have several); None where its size is not set."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(12)
        if head[:4] != b"RIFF":
            break
        length = int.from_bytes(head[4:8], "little")
        if not length:
            return None
        end += 8 + length + length % 2
    # The last byte of an odd chunk may be left out.
    return end - 1 if end == size + 1 else end


def _segment_end(file: BinaryIO, size: int) -> int | None:
    """Where the last segment of a Matroska file ends; None where it has none or its size is not set."""
    at, end = 0, None
    while at < size:
        file.seek(at)
        head = file.read(12)
        if len(head) < 5 or int.from_bytes(head[:4], "big") not in (_EBML, _SEGMENT):
            break
        width = 9 - head[4].bit_length()
        if not 1 <= width <= 8 or len(head) < 4 + width:
            break
        length = int.from_bytes(head[4 : 4 + width], "big") & (1 << 7 * width) - 1
        at += 4 + width + length
        if int.from_bytes(head[:4], "big") == _SEGMENT:
            end = None if length == (1 << 7 * width) - 1 else at
            if end is None:
                break
    return end
