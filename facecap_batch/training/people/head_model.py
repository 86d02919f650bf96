"""The head that is rendered: ICT-FaceKit's mesh, identity modes and expression shapes as compact arrays.

In: the folder ``FaceXModel`` of github.com/ICT-VGL/ICT-FaceKit (MIT licence). Out: a `HeadModel`, cached
beside the caller's data because parsing 154 OBJ files takes most of a minute. Units are centimetres; the
frame is the product's head frame (x subject's left, y up, z out of the face).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.storage.publish import published

IDENTITY_MODES = 100
# Vertex ranges of the table "Face Model Topology" in ICT-FaceKit's README.
VERTEX_RANGES = {
    "face": (0, 9409),
    "head": (9409, 11248),
    "mouth": (11248, 13294),
    "gums": (14062, 17039),
    "teeth_upper": (17607, 18679),  # second bicuspid to second bicuspid: what a camera can see
    "teeth_lower": (19814, 20884),
    "eye_left": (21451, 22221),
    "eye_right": (23021, 23791),
    "lash_left": (25351, 26035),
    "lash_right": (26035, 26719),
}
MATERIALS = (
    "face",
    "head",
    "mouth",
    "gums",
    "teeth",
    "eye_left",
    "eye_right",
    "lash",
    "hair",
    "cloth",
    "glasses",
)
MATERIAL_OF_RANGE = {
    "face": 0, "head": 1, "mouth": 2, "gums": 3, "teeth_upper": 4, "teeth_lower": 4,
    "eye_left": 5, "eye_right": 6, "lash_left": 7, "lash_right": 7,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class HeadModel:
    """Arrays of the compact mesh: only what a camera can see."""

    neutral: np.ndarray  # float32 [V, 3], centimetres
    uv: np.ndarray  # float32 [V, 2], 0..1, v up; meaningful for the face
    triangles: np.ndarray  # int32 [T, 3]
    material: np.ndarray  # int8 [T], index into MATERIALS
    vertex_material: np.ndarray  # int8 [V]
    identity: np.ndarray  # float32 [100, V, 3], centimetres per standard deviation
    shape_start: (
        np.ndarray
    )  # int32 [52], shape k moves rows shape_start[k]:shape_start[k + 1] of the two below
    shape_vertex: np.ndarray  # int32 [S]
    shape_delta: np.ndarray  # float32 [S, 3], centimetres at coefficient 1
    landmarks: np.ndarray  # int32 [68], vertex of each Multi-PIE landmark
    lid_left: np.ndarray  # int32, face vertices near the left eyeball
    lid_right: np.ndarray  # int32
    face_box: np.ndarray  # int32, vertices whose projection bounds the face: mid-forehead to chin, ear to ear


def _vertices(path: Path) -> np.ndarray:
    with path.open() as file:
        return np.array([line.split()[1:4] for line in file if line.startswith("v ")], np.float32)


def _faces(path: Path) -> tuple[list[list[int]], list[list[int]], np.ndarray]:
    faces, face_uvs, uvs = [], [], []
    with path.open() as file:
        for line in file:
            if line.startswith("vt "):
                uvs.append([float(x) for x in line.split()[1:3]])
            elif line.startswith("f "):
                corners = [corner.split("/") for corner in line.split()[1:]]
                faces.append([int(corner[0]) - 1 for corner in corners])
                face_uvs.append([int(corner[1]) - 1 for corner in corners])
    return faces, face_uvs, np.array(uvs, np.float32)


def _shape_files(name: str) -> list[str]:
    """ICT-FaceKit's files whose sum is Apple's shape `name`."""
    if name in ("browInnerUp", "cheekPuff"):  # ICT-FaceKit splits these two in halves
        return [name + "_L", name + "_R"]
    if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
        return [name[: -len("Left")] + "_L"]
    if name.endswith("Right") and name not in ("jawRight", "mouthRight"):
        return [name[: -len("Right")] + "_R"]
    return [name]


def build(folder: Path) -> HeadModel:
    """Read ICT-FaceKit's OBJ files in `folder` (its ``FaceXModel``).

    Raises FileNotFoundError naming the first file that is missing.
    """
    base = _vertices(folder / "generic_neutral_mesh.obj")
    faces, face_uvs, uvs = _faces(folder / "generic_neutral_mesh.obj")
    owner = np.full(len(base), -1, np.int8)
    for name, (start, stop) in VERTEX_RANGES.items():
        owner[start:stop] = MATERIAL_OF_RANGE[name]
    kept = np.flatnonzero(owner >= 0)
    compact = np.full(len(base), -1, np.int32)
    compact[kept] = np.arange(len(kept))

    uv = np.full(
        (len(base), 2), np.nan, np.float32
    )  # where a seam gives a vertex several, the first one counts
    triangles, material = [], []
    for face, face_uv in zip(faces, face_uvs, strict=True):
        if min(owner[vertex] for vertex in face) < 0:
            continue
        for vertex, texture in zip(face, face_uv, strict=True):
            if np.isnan(uv[vertex, 0]):
                uv[vertex] = uvs[texture]
        for second in range(1, len(face) - 1):
            triangles.append([face[0], face[second], face[second + 1]])
            material.append(owner[face[0]])
    neutral = base[kept]

    starts, shape_vertex, shape_delta = [0], [], []
    for name in ARKIT_NAMES:
        delta = sum(_vertices(folder / f"{file}.obj") - base for file in _shape_files(name))[kept]
        moved = np.flatnonzero(np.abs(delta).max(axis=1) > 2e-4)
        shape_vertex.append(moved)
        shape_delta.append(delta[moved])
        starts.append(starts[-1] + len(moved))
    identity = np.stack(
        [_vertices(folder / f"identity{mode:03d}.obj")[kept] for mode in range(IDENTITY_MODES)]
    )

    with (folder / "vertex_indices.json").open() as file:
        landmarks = np.array(json.load(file)["idx_to_landmark_verts"])
    vertex_material = owner[kept]
    on_face = vertex_material == 0
    lids = []
    for eye in (5, 6):
        centre = neutral[vertex_material == eye].mean(axis=0)
        near = np.linalg.norm(neutral - centre, axis=1) < 2.4
        lids.append(np.flatnonzero(on_face & near))
    x, y, z = neutral.T
    boxed = on_face & (y > -7.9) & (y < 8.6) & (z > 3.0) & (np.abs(x) < 7.5)
    return HeadModel(
        neutral=neutral,
        uv=uv[kept],
        triangles=compact[np.array(triangles)].astype(np.int32),
        material=np.array(material, np.int8),
        vertex_material=vertex_material,
        identity=(identity - neutral).astype(np.float32),
        shape_start=np.array(starts, np.int32),
        shape_vertex=np.concatenate(shape_vertex).astype(np.int32),
        shape_delta=np.concatenate(shape_delta).astype(np.float32),
        landmarks=compact[landmarks].astype(np.int32),
        lid_left=lids[0].astype(np.int32),
        lid_right=lids[1].astype(np.int32),
        face_box=np.flatnonzero(boxed).astype(np.int32),
    )


def load(folder: Path, cache: Path) -> HeadModel:
    """The model in `folder`, read from the file `cache` where that exists, else built and cached there."""
    if not cache.exists():
        model = build(folder)
        with published(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, **{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})
    with np.load(cache) as arrays:
        return HeadModel(**dict(arrays))
