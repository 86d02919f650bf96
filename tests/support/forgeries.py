"""Small files that claim to be large: forged indices of MP4s, pictures that are mostly nothing.

In: how much is claimed. Out: files. Each costs a reader that believes it a gigabyte or more.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def claim_samples(source: Path, target: Path, count: int) -> Path:
    """An MP4 whose first track claims `count` samples of one byte, in one chunk."""
    data = bytearray(source.read_bytes())
    sizes = data.index(b"stsz") + 4
    data[sizes : sizes + 12] = struct.pack(">III", 0, 1, count)
    times = data.index(b"stts") + 4
    data[times : times + 16] = struct.pack(">IIII", 0, 1, count, 512)
    chunks = data.index(b"stsc") + 4
    data[chunks : chunks + 20] = struct.pack(">IIIII", 0, 1, 1, count, 1)
    target.write_bytes(data)
    return target


def claim_fragment(source: Path, target: Path, count: int) -> Path:
    """A fragmented MP4 whose first fragment claims `count` samples that are like each other."""
    data = bytearray(source.read_bytes())
    run = data.index(b"trun") + 4
    flags = struct.unpack(">I", data[run : run + 4])[0]
    data[run : run + 8] = struct.pack(">II", flags & ~0xF00, count)
    target.write_bytes(data)
    return target


def compress_index(source: Path, target: Path) -> Path:
    """A MOV whose index, which lies at its end, is compressed as QuickTime did it."""
    data = source.read_bytes()
    at = data.rindex(b"moov") - 4
    index = data[at:]
    packed = struct.pack(">I", len(index)) + zlib.compress(index)
    inner = _box(b"dcom", b"zlib") + _box(b"cmvd", packed)
    target.write_bytes(data[:at] + _box(b"moov", _box(b"cmov", inner)))
    return target


def write_blank_png(path: Path, width: int, height: int) -> Path:
    """A black PNG of any size, in few bytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
