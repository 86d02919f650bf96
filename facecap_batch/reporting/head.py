"""Our head, packed for WebGL: triangles, colours, and sparse morph targets that a browser adds up itself.

In: `exporting.head`. Out: bytes, zlib of a header in JSON and arrays, little-endian, which ``page/head.js``
reads:

    uint32  length of the header
    JSON    counts, ``morphs``: name and number of vertices of each
    float32 [V, 3]  positions, centimetres, head frame
    int16   [V, 3]  normals, units of 1/32767
    uint8   [V, 4]  colour, sRGB, and shine
    int16   [M, 3]  of all morph targets, one after the other: offsets, units of OFFSET_UNIT
    int16   [M, 3]  differences of normals, units of NORMAL_UNIT
    uint16  [M]     vertices
    uint16  [T, 3]  triangles

Vertices at the border of two materials are there twice, so that a colour belongs to a vertex.
"""

from __future__ import annotations

import functools
import json
import zlib

import numpy as np

from facecap_batch.exporting.gltf.head_mesh import triangles
from facecap_batch.exporting.head import HeadModel, head_model

# The grains of the head's own rounding (`exporting.head.mesh`): nothing is lost.
OFFSET_UNIT = 2.0**-10  # centimetres
NORMAL_UNIT = 2.0**-8
_UNIT_NORMAL = 32767


@functools.cache
def pack_head() -> bytes:
    """The packaged head; built once in a process."""
    head = head_model()
    face, corners = triangles(head.faces)
    material = np.repeat(head.face_materials[face], 3)
    keys = np.column_stack([head.faces[face[:, None], corners].ravel(), material])
    unique, indices = np.unique(keys, axis=0, return_inverse=True)
    vertex, material = unique[:, 0], unique[:, 1]
    places, offsets, turns, counts = [], [], [], []
    for morph in head.morphs:
        of_morph = np.full(len(head.vertices), -1)
        of_morph[morph.indices] = np.arange(len(morph.indices))
        moved = np.flatnonzero(of_morph[vertex] >= 0)
        row = of_morph[vertex[moved]]
        places.append(moved)
        offsets.append(np.round(morph.offsets[row] / OFFSET_UNIT))
        turns.append(np.round(morph.normal_offsets[row] / NORMAL_UNIT))
        counts.append((morph.name, len(moved)))
    header = {
        "vertices": len(vertex),
        "triangles": len(face),
        "offset_unit": OFFSET_UNIT,
        "normal_unit": NORMAL_UNIT,
        "morphs": counts,
    }
    text = json.dumps(header).encode()
    content = [
        np.uint32(len(text)).tobytes(),
        text,
        head.vertices[vertex].astype("<f4").tobytes(),
        np.round(head.normals[vertex] * _UNIT_NORMAL).astype("<i2").tobytes(),
        _surfaces(head)[material].tobytes(),
        np.concatenate(offsets).astype("<i2").tobytes(),
        np.concatenate(turns).astype("<i2").tobytes(),
        np.concatenate(places).astype("<u2").tobytes(),
        indices.ravel().astype("<u2").tobytes(),
    ]
    return zlib.compress(b"".join(content), level=9)


def _surfaces(head: HeadModel) -> np.ndarray:
    """uint8 [materials, 4]: the colour that a screen shows, and the shine."""
    linear = np.array([[*material.colour, material.shine] for material in head.materials])
    # IEC 61966-2-1, without its straight piece below 0.003.
    linear[:, :3] = np.clip(1.055 * linear[:, :3] ** (1 / 2.4) - 0.055, 0.0, 1.0)
    return np.round(linear * 255).astype(np.uint8)
