"""The binary FBX 7.4 container; it knows no faces. In: nodes with typed properties. Out: the bytes of a file.

A property's type follows from its Python type: bool → ``C``, int or int32 → ``I``, int64 → ``L``, float →
``D``, str → ``S``, bytes → ``R``, `Encoded` → an array that is already in its file form (so that an array
used many times is compressed once). Nodes are written with absolute end offsets, so only `document` makes the
bytes of a file; nodes that many files share are `packed` once, and only their offsets are counted anew.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

VERSION = 7400
HEADER = b"Kaydara FBX Binary  \x00\x1a\x00" + struct.pack("<I", VERSION)
# These three belong together: readers derive the ids from the time, and Autodesk's SDK silently loads an
# empty scene when they do not match. Fixed, so that the same animation gives the same bytes.
CREATION_TIME = "1970-01-01 10:00:00:000"
FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
FOOTER_ID = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
FOOTER_MAGIC = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")

_RECORD = struct.Struct("<IIIB")  # end offset, number of properties, bytes of properties, length of the name
_OFFSET = np.dtype("<u4")  # of an end offset, the first field
_NULL_RECORD = bytes(_RECORD.size)
_ARRAY_CODES = {"f4": b"f", "f8": b"d", "i4": b"i", "i8": b"l"}
COMPRESS_FROM = 128  # bytes; shorter arrays do not shrink
COMPRESSION_LEVEL = 1  # animation curves: higher levels cost several times the time for a few per cent


@dataclasses.dataclass(frozen=True)
class Encoded:
    """An array property in its file form, type code included."""

    data: bytes


Property = bool | int | float | str | bytes | np.int32 | np.int64 | Encoded


@dataclasses.dataclass(frozen=True)
class Node:
    """One record. `closed`: end with a null record even without children (stacks and layers need it)."""

    name: str
    properties: tuple[Property, ...] = ()
    children: tuple[Node | Packed, ...] = ()
    closed: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """Records in their file form, one after the other, wherever in a file they come to lie."""

    names: tuple[str, ...]  # of the records, without those inside them
    data: np.ndarray  # uint8; end offsets count from the first byte
    offsets: np.ndarray  # int64 [records, 4]: the bytes of `data` that are end offsets


def node(
    name: str, *properties: Property, children: Iterable[Node | Packed] = (), closed: bool = False
) -> Node:
    """`Node` with its properties given in a row."""
    return Node(name, properties, tuple(children), closed)


def array(values: np.ndarray | Sequence[float], dtype: str, level: int = COMPRESSION_LEVEL) -> Encoded:
    """Encode `values` (flattened, row by row) as an array of `dtype`: "f4", "f8", "i4" or "i8"."""
    flat = np.ascontiguousarray(np.asarray(values).reshape(-1), dtype="<" + dtype)
    raw = flat.tobytes()
    if len(raw) >= COMPRESS_FROM:
        packed = zlib.compress(raw, level)
        return Encoded(_ARRAY_CODES[dtype] + struct.pack("<III", flat.size, 1, len(packed)) + packed)
    return Encoded(_ARRAY_CODES[dtype] + struct.pack("<III", flat.size, 0, len(raw)) + raw)


def encode(value: Property) -> bytes:
    """The bytes of one property, type code first.

    Raises:
        TypeError: FBX has no such type.
    """
    if isinstance(value, Encoded):
        return value.data
    if isinstance(value, bool):
        return b"C" + struct.pack("<B", value)
    if isinstance(value, np.int64):
        return b"L" + struct.pack("<q", int(value))
    if isinstance(value, int | np.int32):
        return b"I" + struct.pack("<i", int(value))
    if isinstance(value, float):
        return b"D" + struct.pack("<d", value)
    if isinstance(value, str):
        data = value.encode("utf-8")
        return b"S" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"R" + struct.pack("<I", len(value)) + value
    raise TypeError(f"FBX has no property type for {type(value).__name__}")


def packed(nodes: Iterable[Node]) -> Packed:
    """`nodes` in their file form, for files of which they are a part."""
    nodes = tuple(nodes)
    out: list[bytes] = []
    starts: list[int] = []
    end = 0
    for record in nodes:
        end = _write(record, end, out, starts)
    return Packed(
        tuple(record.name for record in nodes),
        np.frombuffer(b"".join(out), np.uint8),
        np.add.outer(np.array(starts, np.int64), np.arange(_OFFSET.itemsize)),
    )


def _laid(record: Packed, start: int) -> bytes:
    """The bytes of `record` where it begins at absolute offset `start`."""
    data = record.data.copy()
    data[record.offsets] = (data[record.offsets].view(_OFFSET) + _OFFSET.type(start)).view(np.uint8)
    laid: bytes = data.tobytes()
    return laid


def _write(record: Node | Packed, start: int, out: list[bytes], starts: list[int]) -> int:
    """Append `record`, which begins at offset `start`, to `out`, and where the nodes in it begin to `starts`;
    return where it ends."""
    if isinstance(record, Packed):
        starts.extend((record.offsets[:, 0] + start).tolist())
        out.append(_laid(record, start))
        return start + len(record.data)
    starts.append(start)
    name = record.name.encode("ascii")
    properties = b"".join(map(encode, record.properties))
    header = len(out)  # filled in when the record's end is known
    out.append(b"")
    out.append(properties)
    end = start + _RECORD.size + len(name) + len(properties)
    for child in record.children:
        end = _write(child, end, out, starts)
    if record.children or record.closed:
        out.append(_NULL_RECORD)
        end += len(_NULL_RECORD)
    out[header] = _RECORD.pack(end, len(record.properties), len(properties), len(name)) + name
    return end


def document(nodes: Iterable[Node]) -> bytes:
    """A whole file from its top-level nodes, in their order: header, nodes, null record, footer."""
    out = [HEADER]
    end = len(HEADER)
    for record in nodes:
        end = _write(record, end, out, [])
    out.append(_NULL_RECORD + FOOTER_ID + bytes(4))
    end += len(_NULL_RECORD) + len(FOOTER_ID) + 4
    out.append(bytes(16 - end % 16))  # 1 to 16 zeros up to the next multiple of 16
    out.append(struct.pack("<I", VERSION) + bytes(120) + FOOTER_MAGIC)
    return b"".join(out)
