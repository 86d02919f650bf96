"""Our head as a glTF mesh: one primitive for each material, a morph target for each channel.

In: `HeadModel`, the names of channels. Out: `HeadMesh`, the JSON of mesh and materials and the buffer that
they point into, made once per process. A channel that the head has no shape for, of a rig or of a regressor
of its own, gets a target that moves nothing, so that its weights are in the file.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from facecap_batch.exporting.gltf.binary import VERTICES, Buffer, Json
from facecap_batch.exporting.head import HeadModel, Material, Morph, head_model
from facecap_batch.exporting.rigs.head import rigged_head

METRES = 0.01  # in a centimetre


@dataclasses.dataclass(frozen=True, eq=False)
class HeadMesh:
    """The parts of a document that do not move."""

    mesh: Json
    materials: list[Json]
    views: list[Json]
    accessors: list[Json]
    data: bytes

    def buffer(self) -> Buffer:
        """A buffer that holds the head, to add an animation to."""
        return Buffer(self.views, self.accessors, self.data)


@functools.lru_cache(maxsize=2)
def head_mesh(channels: tuple[str, ...], slopes: bytes | None = None) -> HeadMesh:
    """The packaged head with a morph target for each of `channels`, in their order.

    Args:
        channels: names.
        slopes: float64 [channels, S], C order, `Channels.slopes` of a rig; None: the channels are ours.
    """
    head = head_model()
    if slopes is not None and channels:
        head = rigged_head(channels, np.frombuffer(slopes).reshape(len(channels), -1))
    buffer = Buffer()
    shapes = {morph.name: morph for morph in head.morphs}
    targets = [shapes.get(name) for name in channels]
    used = np.unique(head.face_materials)
    primitives = [_primitive(head, int(material), targets, buffer) for material in used]
    for number, primitive in enumerate(primitives):
        primitive["material"] = number
    mesh: Json = {
        "name": "head",
        "primitives": primitives,
        "weights": [0.0] * len(channels),
        "extras": {"targetNames": list(channels)},
    }
    if not channels:
        del mesh["weights"]
    materials = [_material(head.materials[int(number)]) for number in used]
    return HeadMesh(mesh, materials, buffer.views, buffer.accessors, buffer.content())


def _material(material: Material) -> Json:
    surface = {
        "baseColorFactor": [*material.colour, 1.0],
        "metallicFactor": 0.0,
        "roughnessFactor": round(1.0 - 0.8 * material.shine, 4),
    }
    return {"name": material.name, "pbrMetallicRoughness": surface}


def triangles(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces cut into triangles.

    Args:
        faces: int [F, 4], of which triangles hold -1 last.

    Returns:
        int [T] and [T, 3]: the face that each triangle is of, and its corners, as places 0..3 in that face.
    """
    quads = np.flatnonzero(faces[:, 3] >= 0)
    face = np.concatenate([np.arange(len(faces)), quads])
    corners = np.concatenate([np.tile([0, 1, 2], (len(faces), 1)), np.tile([0, 2, 3], (len(quads), 1))])
    order = np.argsort(face, kind="stable")
    return face[order], corners[order]


def _primitive(head: HeadModel, material: int, targets: list[Morph | None], buffer: Buffer) -> Json:
    """The faces of a material, with vertices of their own: each once for every texture coordinate it has."""
    faces = np.flatnonzero(head.face_materials == material)
    face, corners = triangles(head.faces[faces])
    vertices = head.faces[faces][face[:, None], corners].ravel()
    coordinates = head.face_uvs[faces][face[:, None], corners].reshape(-1, 2)
    keys = np.column_stack([vertices, coordinates])
    unique, indices = np.unique(keys, axis=0, return_inverse=True)
    vertex = unique[:, 0].astype(np.int64)
    uv = unique[:, 1:] * [1.0, -1.0] + [0.0, 1.0]  # glTF counts v downward
    return {
        "attributes": {
            "POSITION": buffer.floats(head.vertices[vertex] * METRES, VERTICES, bounds=True),
            "NORMAL": buffer.floats(head.normals[vertex], VERTICES),
            "TEXCOORD_0": buffer.floats(uv, VERTICES),
        },
        "indices": buffer.indices(indices.ravel()),
        "targets": [_target(head, morph, vertex, buffer) for morph in targets],
    }


def _target(head: HeadModel, morph: Morph | None, vertex: np.ndarray, buffer: Buffer) -> Json:
    """What a morph target does to the vertices (int [V], the head's) of a primitive."""
    place = np.full(len(head.vertices), -1)
    if morph is not None:
        place[morph.indices] = np.arange(len(morph.indices))
    row = place[vertex]
    where = np.flatnonzero(row >= 0)
    nothing = np.zeros((0, 3))
    offsets = nothing if morph is None else morph.offsets[row[where]] * METRES
    normals = nothing if morph is None else morph.normal_offsets[row[where]]
    position, normal = buffer.sparse(len(vertex), where, [offsets, normals])
    return {"POSITION": position, "NORMAL": normal}
