"""The boxes that an mp4 or mov is made of, one behind the other.

In: an open file. Out: kind, place and size of each at the top; nothing is decoded.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import BinaryIO

MAX_BOXES = 100_000  # of a fragmented file that are walked through
FIRST = (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov", b"moof", b"styp", b"sidx")


@dataclasses.dataclass(frozen=True)
class Box:
    """A box at the top of a file."""

    kind: bytes
    at: int  # bytes from the beginning of the file
    size: int  # bytes; up to the end of the file where the box says no other


def boxes(file: BinaryIO) -> Iterator[Box]:
    """The boxes at the top of `file`, up to the first that is none."""
    end = file.seek(0, io.SEEK_END)
    at = 0
    for number in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8 or (number == 0 and kind not in FIRST):
            return
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:
            size = end - at
        if size < 8:
            return
        yield Box(kind, at, size)
        at += size
