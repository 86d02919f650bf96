"""Animated GLB files read back by pygltflib: every channel's keys; rotations as matrices."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pygltflib

_SIZES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


@dataclasses.dataclass(frozen=True, eq=False)
class Played:
    """The first animation of a file."""

    name: str
    seconds: np.ndarray  # float32 [N]
    weights: dict[str, np.ndarray]  # morph target -> float32 [N], of the first mesh that has it
    rotations: dict[str, np.ndarray]  # node -> float32 [N, 4]
    extras: dict[str, str]
    animations: list[str]


def played(path: Path) -> Played:
    file = pygltflib.GLTF2().load_binary(str(path))
    assert file is not None
    blob = file.binary_blob()

    def values(number: int) -> np.ndarray:
        accessor = file.accessors[number]
        view = file.bufferViews[accessor.bufferView]
        size = _SIZES[accessor.type]
        assert accessor.componentType == pygltflib.FLOAT
        offset = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        found = np.frombuffer(blob, "<f4", accessor.count * size, offset)
        return found.reshape(-1, size) if size > 1 else found

    animation = file.animations[0]
    seconds: np.ndarray | None = None
    weights: dict[str, np.ndarray] = {}
    rotations: dict[str, np.ndarray] = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        keys = values(sampler.input)
        assert seconds is None or np.array_equal(seconds, keys)
        seconds = keys
        node = file.nodes[channel.target.node]
        if channel.target.path == "weights":
            names = file.meshes[node.mesh].extras["targetNames"]
            for name, column in zip(names, values(sampler.output).reshape(len(keys), -1).T, strict=True):
                weights.setdefault(name, column)
        else:
            rotations[node.name] = values(sampler.output)
    assert seconds is not None
    names = [other.name for other in file.animations]
    return Played(animation.name, seconds, weights, rotations, animation.extras["facecap-batch"], names)


def matrix(rotation: np.ndarray) -> np.ndarray:
    """float64 [..., 3, 3] of quaternions x y z w."""
    x, y, z, w = np.moveaxis(np.asarray(rotation, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
