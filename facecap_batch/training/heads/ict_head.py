"""ICT-FaceKit's head: mesh, identity modes and expression shapes.

In: the folder ``FaceXModel`` of github.com/ICT-VGL/ICT-FaceKit (MIT licence). Out: a `HeadModel`; the frame
is ICT-FaceKit's own, which is the product's head frame.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads.common_meaning import lips_closed
from facecap_batch.training.heads.head_model import HeadModel, face_box, lids
from facecap_batch.training.heads.mesh import EYE_LEFT, EYE_RIGHT, FACE, GUMS, HEAD, LASH, MOUTH, TEETH
from facecap_batch.training.heads.source_files import SourceFile, require
from facecap_batch.training.mirror import SIDEWAYS

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
MATERIAL_OF_RANGE = {
    "face": FACE, "head": HEAD, "mouth": MOUTH, "gums": GUMS, "teeth_upper": TEETH, "teeth_lower": TEETH,
    "eye_left": EYE_LEFT, "eye_right": EYE_RIGHT, "lash_left": LASH, "lash_right": LASH,
}  # fmt: skip
MIN_DISPLACEMENT = 2e-4  # centimetres; less counts as none


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
    if name in SIDEWAYS or not name.endswith(("Left", "Right")):
        return [name]
    return [name.removesuffix("Left") + "_L" if name.endswith("Left") else name.removesuffix("Right") + "_R"]


def head_files() -> list[SourceFile]:
    """The files of ``FaceXModel`` that the head is read from."""
    shapes = [file for name in ARKIT_NAMES for file in _shape_files(name)]
    modes = [_mode(number) for number in range(IDENTITY_MODES)]
    names = [
        "generic_neutral_mesh.obj",
        "vertex_indices.json",
        *(f"{name}.obj" for name in (*shapes, *modes)),
    ]
    return [SourceFile((name,), "FaceXModel of github.com/ICT-VGL/ICT-FaceKit") for name in names]


def _mode(number: int) -> str:
    return f"identity{number:03d}"


def build(folder: Path) -> HeadModel:
    """Read ICT-FaceKit's OBJ files in `folder` (its ``FaceXModel``).

    Raises:
        MissingSource: a file is missing; the message names the first one and where to get it.
    """
    require(folder, head_files(), "--ict is the folder FaceXModel of a checkout")
    base = _vertices(folder / "generic_neutral_mesh.obj")
    faces, face_uvs, uvs = _faces(folder / "generic_neutral_mesh.obj")
    owner = np.full(len(base), -1, np.int8)
    for name, (start, stop) in VERTEX_RANGES.items():
        owner[start:stop] = MATERIAL_OF_RANGE[name]
    kept = np.flatnonzero(owner >= 0)
    compact = np.full(len(base), -1, np.int32)
    compact[kept] = np.arange(len(kept))

    # Where a seam gives a vertex several, the first one counts.
    uv = np.full((len(base), 2), np.nan, np.float32)
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
        moved = np.flatnonzero(np.abs(delta).max(axis=1) > MIN_DISPLACEMENT)
        shape_vertex.append(moved)
        shape_delta.append(delta[moved])
        starts.append(starts[-1] + len(moved))
    identity = np.stack(
        [_vertices(folder / f"{_mode(number)}.obj")[kept] for number in range(IDENTITY_MODES)]
    )

    with (folder / "vertex_indices.json").open() as file:
        landmarks = np.array(json.load(file)["idx_to_landmark_verts"])
    vertex_material = owner[kept]
    lid_left, lid_right = lids(neutral, vertex_material)
    model = HeadModel(
        neutral=neutral,
        uv=uv[kept],
        triangles=compact[np.array(triangles)].astype(np.int32),
        material=np.array(material, np.int8),
        vertex_material=vertex_material,
        identity=(identity - neutral).astype(np.float32),
        identity_names=tuple(_mode(number) for number in range(IDENTITY_MODES)),
        shape_start=np.array(starts, np.int32),
        shape_vertex=np.concatenate(shape_vertex).astype(np.int32),
        shape_delta=np.concatenate(shape_delta).astype(np.float32),
        landmarks=compact[landmarks].astype(np.int32),
        lid_left=lid_left,
        lid_right=lid_right,
        face_box=face_box(neutral, vertex_material),
    )
    return lips_closed(model)
