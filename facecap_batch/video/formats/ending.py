"""What the end of a file says by the file's own structure: that it is cut off, or that another one follows.

In: a path. Out: notes. A demuxer ends silently at a last packet that is not all there, and with most formats
where a second recording was joined to the first.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import BinaryIO

from facecap_batch.storage.remote import is_uri
from facecap_batch.video.formats.boxes import boxes
from facecap_batch.video.formats.completeness import structure_end

CUT_OFF = "the file is cut off by its own structure; what is left of its last packet is left out"
_FLV, _FLV_HEAD_BYTES, _FLV_TAG_BYTES = b"FLV\x01", 9, 11
_TRANSPORT_PACKETS = (188, 192)  # bytes; the second of discs and camcorders


def ending_notes(source: str) -> list[str]:
    """What is odd about the end of a local file; nothing for URIs, and for formats that do not say."""
    if is_uri(source):
        return []
    try:
        with Path(source).open("rb") as file:
            size = Path(source).stat().st_size
            end, follows = _end(file, size)
    except (OSError, ValueError):
        return []
    if follows:
        return [
            f"another recording follows {end} bytes from the beginning of the file and is not read, or not "
            "whole; cut the file there"
        ]
    return [CUT_OFF] if end is not None and end > size else []


def _end(file: BinaryIO, size: int) -> tuple[int | None, bool]:
    """Where the recording ends, in bytes, None where it does not say; and whether another one follows."""
    head = file.read(2 * _TRANSPORT_PACKETS[-1])
    if head.startswith(_FLV):
        return _flv_end(file, size)
    for packet in _TRANSPORT_PACKETS:
        begin = packet - _TRANSPORT_PACKETS[0]
        if len(head) > begin + packet and head[begin] == head[begin + packet] == 0x47:
            return -(-size // packet) * packet, False
    end, indices = None, 0
    for box in boxes(file):
        indices += box.kind == b"moov"
        if indices and box.kind == b"ftyp":
            return box.at, True
        end = box.at + box.size
    return (end, False) if end is not None else (structure_end(file, size), False)


def _flv_end(file: BinaryIO, size: int) -> tuple[int | None, bool]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = int.from_bytes(data[5:_FLV_HEAD_BYTES], "big") + 4
        while at + _FLV_TAG_BYTES <= size:
            if data[at : at + len(_FLV)] == _FLV:
                return at, True
            at += _FLV_TAG_BYTES + int.from_bytes(data[at + 1 : at + 4], "big") + 4
        return at, False
