"""The GLB container and glTF's accessors: numbers into one buffer, and JSON around it.

In: arrays. Out: `Buffer`, which collects them and the JSON that describes them; the bytes of a .glb from a
document and a buffer, and both from the bytes of one. Knows no heads and no animation.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

Json = dict[str, Any]

MAGIC = b"glTF"
VERSION = 2
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\x00"
HEADER_SIZE, CHUNK_HEADER_SIZE = 12, 8
VERTICES, INDICES = 34962, 34963  # targets of buffer views: ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER
FLOAT = 5126
COMPONENTS = {  # componentType of glTF -> numpy's type
    5120: np.dtype("<i1"),
    5121: np.dtype("<u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    FLOAT: np.dtype("<f4"),
}
SHAPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_ALIGNED = 4  # bytes; every view and every number begins at a multiple


class Buffer:
    """Collects arrays into one binary chunk, with the `bufferViews` and `accessors` that describe them.

    Args:
        views: buffer views that are there already, of a file that arrays are added to.
        accessors: accessors that are there already.
        data: the bytes that those are of.
    """

    def __init__(
        self, views: list[Json] | None = None, accessors: list[Json] | None = None, data: bytes = b""
    ) -> None:
        self.views: list[Json] = list(views or [])
        self.accessors: list[Json] = list(accessors or [])
        self._chunks = [data]
        self._size = len(data)

    def view(self, values: np.ndarray, target: int | None = None) -> int:
        """Add bytes as a buffer view of its own; the view's number."""
        self._pad()
        data = values.tobytes()
        view: Json = {"buffer": 0, "byteOffset": self._size, "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self._append(data)
        self.views.append(view)
        return len(self.views) - 1

    def floats(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Add floats as an accessor; its number.

        Args:
            values: float [N] or [N, 2..4 or 16], stored as float32.
            target: VERTICES for attributes of a mesh, None for anything else.
            bounds: state the lowest and highest values, which positions and times of keys must have.
        """
        stored = np.ascontiguousarray(values, "<f4")
        accessor: Json = {
            "bufferView": self.view(stored, target),
            "componentType": FLOAT,
            "count": len(stored),
            "type": _TYPES[stored[0].size],
        }
        if bounds:
            accessor |= _bounds(stored)
        return self._accessor(accessor)

    def indices(self, values: np.ndarray) -> int:
        """Add a mesh's vertex indices, int [N], as an accessor; its number."""
        stored = _small(values)
        accessor = {
            "bufferView": self.view(stored, INDICES),
            "componentType": _component(stored),
            "count": len(stored),
            "type": "SCALAR",
        }
        return self._accessor(accessor)

    def sparse(self, count: int, where: np.ndarray, blocks: Sequence[np.ndarray]) -> list[int]:
        """Add accessors of `count` vectors that are zero but for some, with their bounds; their numbers.

        Args:
            count: of vectors, at least 1.
            where: int [M], ascending, which of them are not zero, in all accessors alike; M may be 0.
            blocks: for each accessor float [M, 3], those vectors.
        """
        stored = [np.ascontiguousarray(block, "<f4").reshape(-1, 3) for block in blocks]
        zeros = np.zeros((min(1, count - len(where)), 3), "<f4")
        result = []
        if len(where):
            at = _small(where)
            indices = {"bufferView": self.view(at), "componentType": _component(at)}
            values = self.view(np.concatenate(stored))
        for number, block in enumerate(stored):
            accessor: Json = {"componentType": FLOAT, "count": count, "type": "VEC3"}
            if len(where):
                of_block = {"bufferView": values, "byteOffset": number * block.nbytes}
                accessor["sparse"] = {"count": len(where), "indices": indices, "values": of_block}
            accessor |= _bounds(np.concatenate([block, zeros]))
            result.append(self._accessor(accessor))
        return result

    def content(self) -> bytes:
        """What was collected, in the order in which it was added, padded at the end."""
        self._pad()
        return b"".join(self._chunks)

    def _accessor(self, accessor: Json) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _pad(self) -> None:
        self._append(b"\x00" * (-self._size % _ALIGNED))

    def _append(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)


def _bounds(stored: np.ndarray) -> Json:
    columns = stored.reshape(len(stored), -1).astype(np.float64)  # every float32 is a float64 exactly
    return {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}


def _small(values: np.ndarray) -> np.ndarray:
    """Indices in 16 bits where they fit, else in 32; the highest number of either is reserved."""
    return np.ascontiguousarray(values, "<u2" if len(values) == 0 or values.max() < 0xFFFF else "<u4")


def _component(stored: np.ndarray) -> int:
    return next(code for code, dtype in COMPONENTS.items() if dtype == stored.dtype)


def glb_bytes(document: Json, data: bytes) -> bytes:
    """A .glb file: the document as JSON and `data` as its only buffer."""
    if data:
        document = {**document, "buffers": [{"byteLength": len(data)}]}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    data += b"\x00" * (-len(data) % _ALIGNED)
    chunks = struct.pack("<I", len(text)) + JSON_CHUNK + text
    if data:
        chunks += struct.pack("<I", len(data)) + BINARY_CHUNK + data
    return MAGIC + struct.pack("<II", VERSION, HEADER_SIZE + len(chunks)) + chunks


def glb_parts(content: bytes) -> tuple[Json, bytes]:
    """The document and the binary chunk (empty where there is none) of a .glb file.

    Raises:
        ValueError: it is none: another signature, another version, or chunks that are cut off. The message
            says which.
    """
    if len(content) < HEADER_SIZE or content[:4] != MAGIC:
        raise ValueError("it does not begin as a .glb file does")
    version, length = struct.unpack_from("<II", content, 4)
    if version != VERSION:
        raise ValueError(f"it is glTF of version {version}, not {VERSION}")
    if length > len(content):
        raise ValueError(f"it is cut off: {len(content)} bytes of {length}")
    text, data = b"", b""
    offset = HEADER_SIZE
    while offset + CHUNK_HEADER_SIZE <= length:
        (size,) = struct.unpack_from("<I", content, offset)
        kind = content[offset + 4 : offset + CHUNK_HEADER_SIZE]
        start = offset + CHUNK_HEADER_SIZE
        if start + size > length:
            raise ValueError(f"its chunk at byte {offset} is cut off")
        if kind == JSON_CHUNK and not text:
            text = content[start : start + size]
        elif kind == BINARY_CHUNK and not data:
            data = content[start : start + size]
        offset = start + size
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its JSON cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("its JSON is no object")
    return document, data
