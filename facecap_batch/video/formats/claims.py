"""What the index of an MP4 or MOV claims, against what the file can hold.

In: a file object. Out: the number of samples that is claimed and cannot be true, or None. FFmpeg builds its
index when it opens a file, with 24 bytes for each sample that is claimed: 20 KB have claimed 50 million (ISO
14496-12: stsz, stsc and trun count samples that they do not list). Other containers list what they count.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import zlib
from collections.abc import Iterator
from typing import IO

from facecap_batch.video.formats.limits import MAX_SAMPLES

MAX_INDEX_BYTES = 2**28  # of a compressed one: `MAX_SAMPLES` with what is said of each
MAX_DEPTH = 8  # of boxes inside boxes
_FOLDERS = frozenset((b"moov", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"cmov"))
_FIRST_BOXES = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx")
)
_TRUN_FIELDS = (0x100, 0x200, 0x400, 0x800)  # flags: each is a field of 4 bytes for every sample
_CHUNK_SAMPLES = 1024  # samples of uncompressed sound that FFmpeg takes as one


@dataclasses.dataclass(frozen=True)
class _Box:
    kind: bytes
    begin: int  # of what follows its head, bytes from the beginning of the file
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


def false_claim(file: IO[bytes], size: int, fragments: int | None = None) -> int | None:
    """The samples that an index claims, where `file` cannot hold them or they would take too much memory.

    Args:
        file: Of any format; read from its beginning, and left anywhere.
        size: Bytes of it.
        fragments: How many of them are looked at (moof), where reading costs a request; None: all.

    Returns:
        None where nothing is claimed that is not there, and for other formats.

    Raises:
        OSError: It cannot be read.
    """
    file.seek(0)
    if file.read(8)[4:8] not in _FIRST_BOXES:
        return None
    in_fragments = 0
    for kind, claim in _claims(file, _first_boxes(file, size, fragments), 0):
        in_fragments += claim if kind == b"trun" else 0
        if claim > MAX_SAMPLES or (kind != b"stsc" and max(claim, in_fragments) > size):
            return max(claim, in_fragments)
    return None


def _first_boxes(file: IO[bytes], size: int, fragments: int | None) -> Iterator[_Box]:
    """The boxes of a file; where `fragments` is given, until so many of them have come."""
    seen = 0
    for box in _boxes(file, 0, size):
        yield box
        seen += box.kind == b"moof"
        if fragments is not None and seen >= fragments:
            return


def _claims(file: IO[bytes], boxes: Iterator[_Box], depth: int) -> Iterator[tuple[bytes, int]]:
    """(the table's kind, samples that it claims) of each table in `boxes`."""
    for box in boxes:
        if box.kind == b"trak":
            yield _track_claim(file, box)
        elif box.kind == b"trun":
            yield box.kind, _trun_claim(file, box)
        elif box.kind == b"cmvd":
            yield from _compressed(file, box, depth)
        elif box.kind in _FOLDERS and depth < MAX_DEPTH:
            yield from _claims(file, _boxes(file, box.begin, box.end), depth + 1)


def _boxes(file: IO[bytes], begin: int, end: int) -> Iterator[_Box]:
    at = begin
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, start = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), at + 16
        elif size == 0:
            size = end - at
        if at + size < start:
            return
        yield _Box(head[4:8], start, min(end, at + size))
        at += size


def _track_claim(file: IO[bytes], track: _Box) -> tuple[bytes, int]:
    """What the tables of one track claim."""
    tables = {box.kind: box for box in _inside(file, track, 0)}
    if b"hdlr" in tables and b"stts" in tables:
        is_sound = _bytes(file, tables[b"hdlr"], 12)[8:] == b"soun"
        runs = _bytes(file, tables[b"stts"], 16)
        # Uncompressed: one run of samples that last one tick each. FFmpeg takes them by chunks.
        if is_sound and runs[4:8] == b"\0\0\0\1" and runs[12:] == b"\0\0\0\1":
            return b"stsc", _chunk_claim(file, tables)
    sizes = tables.get(b"stsz") or tables.get(b"stz2")
    return b"stsz", 0 if sizes is None else int.from_bytes(_bytes(file, sizes, 12)[8:], "big")


def _inside(file: IO[bytes], folder: _Box, depth: int) -> Iterator[_Box]:
    """The boxes of a track, those inside others as well."""
    for box in _boxes(file, folder.begin, folder.end):
        yield box
        if box.kind in _FOLDERS and depth < MAX_DEPTH:
            yield from _inside(file, box, depth + 1)


def _chunk_claim(file: IO[bytes], tables: dict[bytes, _Box]) -> int:
    """Pieces that FFmpeg cuts the chunks of uncompressed sound into.

    An entry of stsc holds the first chunk of a run, the samples of each, and a description.
    """
    offsets = tables.get(b"stco") or tables.get(b"co64")
    if offsets is None or b"stsc" not in tables:
        return 0
    chunks = min(int.from_bytes(_bytes(file, offsets, 8)[4:], "big"), offsets.size)
    data = _bytes(file, tables[b"stsc"], tables[b"stsc"].size)[8:]
    runs = [
        (int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big"))
        for at in range(0, len(data) - 11, 12)
    ]
    return sum(
        max(0, min(after, chunks + 1) - first) * -(-samples // _CHUNK_SAMPLES)
        for (first, samples), (after, _) in itertools.pairwise([*runs, (chunks + 1, 0)])
    )


def _trun_claim(file: IO[bytes], box: _Box) -> int:
    head = _bytes(file, box, 8)
    count, flags = int.from_bytes(head[4:], "big"), int.from_bytes(head[1:4], "big")
    listed = 4 * sum(bool(flags & field) for field in _TRUN_FIELDS)
    # What is listed and missing ends the reading.
    return min(count, box.size // listed) if listed else count


def _compressed(file: IO[bytes], box: _Box, depth: int) -> Iterator[tuple[bytes, int]]:
    """Claims of an index that QuickTime has compressed (cmvd: its length, then zlib)."""
    data = _bytes(file, box, box.size)
    length = int.from_bytes(data[:4], "big")
    if length > MAX_INDEX_BYTES:
        yield b"cmvd", length
    elif length and depth < MAX_DEPTH:
        try:
            index = zlib.decompressobj().decompress(data[4:], length)
        except zlib.error:
            return
        inside = io.BytesIO(index)
        yield from _claims(inside, _boxes(inside, 0, len(index)), depth + 1)


def _bytes(file: IO[bytes], box: _Box, count: int) -> bytes:
    """The first bytes of what a box holds."""
    file.seek(box.begin)
    return file.read(min(count, box.size))
