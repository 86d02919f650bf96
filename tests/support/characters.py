"""Makes characters for the tests: GLB and VRM files with shapes and bones of given names, by hand.

A character is a body joint, turned and moved, below it a head joint with two eye joints, and a mesh skinned
to the head. Shape k moves vertex k up by one: a reader that applies shapes shows each weight as a height.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HEAD, LEFT_EYE, RIGHT_EYE, BODY, MESH = 0, 1, 2, 3, 4  # nodes
BODY_REST = [0.0, 0.3826834, 0.0, 0.9238795]  # 45 degrees about y
HEAD_REST = [0.0, -0.3826834, 0.0, 0.9238795]  # and back again: the head looks along +Z at rest
EYE_REST = [
    0.2588190,
    0.0,
    0.0,
    0.9659258,
]  # 30 degrees about x: an eye joint that does not lie along the axes

Json = dict[str, Any]


def glb(document: Json, binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def character_bytes(
    names: Sequence[str], bones: Sequence[str] = ("Head", "LeftEye", "RightEye"), **more: Any
) -> bytes:
    """A GLB whose mesh has the morph targets `names`; `more` is put into the document."""
    count = max(len(names), 3)
    parts: list[bytes] = []
    views: list[Json] = []
    accessors: list[Json] = []

    def add(values: np.ndarray, kind: str, component: int, **limits: Any) -> int:
        data = np.ascontiguousarray(values).tobytes()
        offset = sum(map(len, parts))
        parts.append(data + b"\0" * (-len(data) % 4))
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data)})
        accessors.append(
            {
                "bufferView": len(views) - 1,
                "componentType": component,
                "count": len(values),
                "type": kind,
                **limits,
            }
        )
        return len(accessors) - 1

    def positions(values: np.ndarray) -> int:
        stored = values.astype("<f4")
        return add(stored, "VEC3", 5126, min=stored.min(0).tolist(), max=stored.max(0).tolist())

    rest = np.zeros((count, 3))
    rest[:, 0], rest[:, 2] = np.arange(count), np.arange(count) % 2
    targets = []
    for number in range(len(names)):
        moved = np.zeros((count, 3))
        moved[number, 1] = 1.0
        targets.append({"POSITION": positions(moved)})
    triangles = np.array([[k, k + 1, k + 2] for k in range(count - 2)], "<u2")
    joints, weights = np.zeros((count, 4), "<u2"), np.zeros((count, 4), "<f4")
    weights[:, 0] = 1.0
    primitive = {
        "attributes": {
            "POSITION": positions(rest),
            "JOINTS_0": add(joints, "VEC4", 5123),
            "WEIGHTS_0": add(weights, "VEC4", 5126),
        },
        "indices": add(triangles.reshape(-1), "SCALAR", 5123),
        "targets": targets,
    }
    inverse = add(np.tile(np.eye(4, dtype="<f4").reshape(1, 16), (3, 1)), "MAT4", 5126)
    head = {
        "name": bones[0],
        "children": [LEFT_EYE, RIGHT_EYE],
        "translation": [0, 1.5, 0],
        "rotation": HEAD_REST,
    }
    document = {
        "asset": {"version": "2.0", "generator": "facecap-batch tests"},
        "scene": 0,
        "scenes": [{"nodes": [BODY, MESH]}],
        "nodes": [
            head,
            {"name": bones[1], "translation": [0.03, 0.05, 0.08], "rotation": EYE_REST},
            {"name": bones[2], "translation": [-0.03, 0.05, 0.08], "rotation": EYE_REST},
            {"name": "Body", "children": [HEAD], "translation": [1, 0, 0], "rotation": BODY_REST},
            {"name": "Face", "mesh": 0, "skin": 0},
        ],
        "skins": [{"joints": [HEAD, LEFT_EYE, RIGHT_EYE], "inverseBindMatrices": inverse}],
        "meshes": [
            {"name": "Face", "primitives": [primitive], "extras": {"targetNames": list(names)}}
            if names
            else {"primitives": [primitive]}
        ],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, parts))}],
        **more,
    }
    if not names:
        del primitive["targets"]
    return glb(document, b"".join(parts))


def write_character(path: Path, names: Sequence[str], **more: Any) -> Path:
    path.write_bytes(character_bytes(names, **more))
    return path


def vrm1(
    expressions: dict[str, list[tuple[int, float]]], custom: dict[str, list[tuple[int, float]]] | None = None
) -> Json:
    """Fields of a VRM 1.0 document: expression -> (number of the shape, weight)."""

    def made(entries: dict[str, list[tuple[int, float]]]) -> Json:
        return {
            name: {
                "morphTargetBinds": [
                    {"node": MESH, "index": index, "weight": weight} for index, weight in binds
                ]
            }
            for name, binds in entries.items()
        }

    extension = {
        "specVersion": "1.0",
        "humanoid": {
            "humanBones": {
                "head": {"node": HEAD},
                "leftEye": {"node": LEFT_EYE},
                "rightEye": {"node": RIGHT_EYE},
            }
        },
        "expressions": {"preset": made(expressions), "custom": made(custom or {})},
        "meta": {"name": "test", "authors": ["test"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
    }
    return {"extensionsUsed": ["VRMC_vrm"], "extensions": {"VRMC_vrm": extension}}


def vrm0(expressions: dict[str, list[tuple[int, float]]]) -> Json:
    """Fields of a VRM 0.x document, whose weights are percents."""
    groups = [
        {
            "name": name.upper(),
            "presetName": name,
            "binds": [{"mesh": 0, "index": index, "weight": 100 * weight} for index, weight in binds],
        }
        for name, binds in expressions.items()
    ]
    bones = [
        {"bone": "head", "node": HEAD},
        {"bone": "leftEye", "node": LEFT_EYE},
        {"bone": "rightEye", "node": RIGHT_EYE},
    ]
    extension = {"blendShapeMaster": {"blendShapeGroups": groups}, "humanoid": {"humanBones": bones}}
    return {"extensionsUsed": ["VRM"], "extensions": {"VRM": extension}}
