"""The head that is rendered: a mesh with identities and expression shapes as compact arrays.

Every rig family (`ict_head`, `hm08.head`) reads its own files into this one form, which is cached beside the
caller's data because reading takes most of a minute. Units are centimetres; the frame is the product's head
frame (x subject's left, y up, z out of the face), in which all families have the same pose and size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facecap_batch.storage.publish import published

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
LID_REACH = 2.4  # centimetres from an eyeball's middle to the end of its lids


@dataclasses.dataclass(frozen=True)
class HeadModel:
    """Arrays of the compact mesh: only what a camera can see."""

    neutral: np.ndarray  # float32 [V, 3], centimetres
    uv: np.ndarray  # float32 [V, 2], 0..1, v up; meaningful for the face
    triangles: np.ndarray  # int32 [T, 3]
    material: np.ndarray  # int8 [T], index into MATERIALS
    vertex_material: np.ndarray  # int8 [V]
    identity: np.ndarray  # float32 [M, V, 3], centimetres at weight 1: what makes people differ
    identity_names: tuple[str, ...]  # [M]
    shape_start: np.ndarray  # int32 [52], first row of each shape in the two arrays below, and their length
    shape_vertex: np.ndarray  # int32 [S]
    shape_delta: np.ndarray  # float32 [S, 3], centimetres at coefficient 1
    landmarks: np.ndarray  # int32 [68], vertex of each Multi-PIE landmark
    lid_left: np.ndarray  # int32, face vertices near the left eyeball
    lid_right: np.ndarray  # int32
    face_box: np.ndarray  # int32, vertices whose projection bounds the face: mid-forehead to chin, ear to ear


def eye_centres(rest: np.ndarray, vertex_material: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middles of the left and the right eyeball of the mesh `rest` [V, 3]: [3] each, in its unit."""
    eyes = (rest[vertex_material == MATERIALS.index(name)] for name in ("eye_left", "eye_right"))
    left, right = ((eye.min(axis=0) + eye.max(axis=0)) / 2 for eye in eyes)
    return left, right


def lids(neutral: np.ndarray, vertex_material: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`HeadModel.lid_left` and `lid_right`."""
    found = []
    for name in ("eye_left", "eye_right"):
        centre = neutral[vertex_material == MATERIALS.index(name)].mean(axis=0)
        near = np.linalg.norm(neutral - centre, axis=1) < LID_REACH
        found.append(np.flatnonzero((vertex_material == MATERIALS.index("face")) & near).astype(np.int32))
    return found[0], found[1]


def face_box(neutral: np.ndarray, vertex_material: np.ndarray) -> np.ndarray:
    """`HeadModel.face_box`."""
    x, y, z = neutral.T
    on_face = vertex_material == MATERIALS.index("face")
    return np.flatnonzero(on_face & (y > -7.9) & (y < 8.6) & (z > 3.0) & (np.abs(x) < 7.5)).astype(np.int32)


def load(cache: Path, build: Callable[[], HeadModel]) -> HeadModel:
    """The model in the file `cache`; where there is none the model that `build` returns, cached there."""
    if not cache.exists():
        model = build()
        with published(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, **{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})
    with np.load(cache) as arrays:
        found = dict(arrays)
    names = tuple(found.pop("identity_names").tolist())
    return HeadModel(identity_names=names, **found)
