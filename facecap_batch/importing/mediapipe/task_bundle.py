"""MediaPipe's ``face_landmarker.task``: three networks and the face that they measure against, read as data.

In: the file, a zip. Out: a `FaceLandmarkerTask`. Nothing here knows what the networks are for. Only the four
fields of the geometry's protocol buffer that are needed are read, by hand: its wire format is a few lines,
a runtime for it would be a dependency.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facecap_batch.errors import EngineError
from facecap_batch.importing.archives import read_parts
from facecap_batch.importing.mediapipe.tflite_file import TfliteGraph, read_tflite

DETECTOR, LANDMARKS, BLENDSHAPES = (
    "face_detector.tflite",
    "face_landmarks_detector.tflite",
    "face_blendshapes.tflite",
)
WANTED = "MediaPipe task bundle of the Face Landmarker with blendshapes"
GEOMETRY = "geometry_pipeline_metadata_landmarks.binarypb"
MESH_POINTS = 468  # of the canonical face; the irises' ten landmarks are not part of it
MAX_VARINT_BITS = 70  # ten bytes of seven
_VERTEX = 5  # floats per vertex: position and texture coordinate


@dataclasses.dataclass(frozen=True, eq=False)
class FaceLandmarkerTask:
    """What the file holds."""

    detector: TfliteGraph
    landmarks: TfliteGraph
    blendshapes: TfliteGraph
    canonical: np.ndarray  # float64 [468, 3], cm: x to the subject's left, y up, z out of the face
    weights: np.ndarray  # float64 [468], a landmark's share in the head's pose; mostly 0


def read_task(path: Path) -> FaceLandmarkerTask:
    """Read a ``face_landmarker.task``.

    Raises:
        EngineError: it is no zip, lacks parts (it lists them), or a part is damaged, encrypted or too large.
        BackendUnavailable: the package tflite is not installed.
    """
    parts = read_parts(path, (DETECTOR, LANDMARKS, BLENDSHAPES, GEOMETRY), WANTED)
    detector, landmarks, blendshapes = (
        read_tflite(parts[name], f"{path}: {name}") for name in (DETECTOR, LANDMARKS, BLENDSHAPES)
    )
    canonical, weights = read_geometry(parts[GEOMETRY], f"{path}: {GEOMETRY}")
    return FaceLandmarkerTask(detector, landmarks, blendshapes, canonical, weights)


def read_geometry(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The canonical face [468, 3] and the weight of each of its landmarks [468]; `name` is for errors.

    The message is MediaPipe's GeometryPipelineMetadata: 1 is a Mesh3d, whose 3 are its vertices; each 2 is a
    landmark's number (1) and weight (2). Raises EngineError where the data are
    something else.
    """
    vertices: list[float] = []
    weights = np.zeros(MESH_POINTS)
    try:
        for field, value in _fields(data):
            if field == 1 and isinstance(value, bytes):
                for inner, floats in _fields(value):
                    if inner == 3 and isinstance(floats, bytes):
                        vertices += struct.unpack(f"<{len(floats) // 4}f", floats)
            elif field == 2 and isinstance(value, bytes):
                pair = dict(_fields(value))
                number, weight = pair[1], pair[2]
                if not isinstance(number, int) or not isinstance(weight, bytes):
                    raise ValueError("a landmark's weight has another wire type")
                weights[number] = struct.unpack("<f", weight)[0]
        mesh = np.array(vertices).reshape(MESH_POINTS, _VERTEX)
    except (struct.error, IndexError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{name} is damaged: {type(error).__name__}: {error}") from error
    if not (np.isfinite(mesh).all() and np.isfinite(weights).all()):
        raise EngineError(f"{name} is damaged: it holds values that are not finite")
    if not weights.any():
        raise EngineError(f"{name} weighs no landmark")
    return mesh[:, :3], weights


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer message; fixed-width values as their bytes."""
    offset = 0
    while offset < len(data):
        key, offset = _varint(data, offset)
        kind = key & 7
        if kind == 0:
            number, offset = _varint(data, offset)
            yield key >> 3, number
            continue
        if kind == 2:
            length, offset = _varint(data, offset)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if offset + length > len(data):
            raise ValueError("a field ends beyond the message")
        yield key >> 3, data[offset : offset + length]
        offset += length


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """The number that begins at `offset`, seven bits a byte, and the offset behind it."""
    number = shift = 0
    while shift < MAX_VARINT_BITS:
        byte = data[offset]
        number |= (byte & 127) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 128:
            return number, offset
    raise ValueError("a number without an end")
