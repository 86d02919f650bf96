"""Builds the whole head: rest pose, 52 morph targets, normals and colours, as the exporters read it.

In: `Rig` and the morphs' offsets. Out: `HeadModel`.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import SHAPE_NAMES
from facecap_batch.exporting.head.model import HeadModel, Material, Morph
from facecap_batch.exporting.head.morphs_face import face_offsets
from facecap_batch.exporting.head.rig import Rig, build_rig

MATERIALS = (
    Material("skin", (0.72, 0.46, 0.35), 0.25),
    Material("lips", (0.50, 0.20, 0.17), 0.45),
    Material("eye_white", (0.80, 0.77, 0.74), 0.9),
    Material("iris_inner", (0.17, 0.31, 0.38), 1.0),
    Material("iris", (0.08, 0.20, 0.31), 1.0),
    Material("iris_edge", (0.03, 0.06, 0.10), 1.0),
    Material("pupil", (0.008, 0.008, 0.008), 1.0),
    Material("lashes", (0.035, 0.02, 0.015), 0.1),
    Material("brow", (0.06, 0.033, 0.02), 0.05),
    Material("teeth", (0.80, 0.75, 0.64), 0.7),
    Material("gums", (0.50, 0.19, 0.18), 0.5),
    Material("tongue", (0.46, 0.16, 0.15), 0.4),
    Material("mouth_inside", (0.17, 0.042, 0.04), 0.3),
)
GRAIN = 2.0**-14  # cm and unit normals: rounding to a power of two makes float64 arrays compress well
MORPH_GRAIN = 2.0**-10  # the same for a morph target's differences: a hundredth of a millimetre
NORMAL_GRAIN = 2.0**-8  # and for those of its unit normals
MIN_OFFSET = 8e-3  # cm; smaller offsets are left out of a morph target
_MIN_NORMAL_CHANGE = 3e-2  # of a unit normal; smaller changes are left out, too


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """float64 [V, 3]: unit normals, each face weighted by its area."""
    result = np.zeros_like(vertices)
    for a, b, c in ((0, 1, 2), (0, 2, 3)):
        corners = faces[faces[:, c] >= 0][:, (a, b, c)]
        first, second, third = (vertices[corners[:, k]] for k in range(3))
        area = np.cross(second - first, third - first)
        for k in range(3):
            for axis in range(3):
                result[:, axis] += np.bincount(corners[:, k], area[:, axis], len(vertices))
    length = np.linalg.norm(result, axis=1, keepdims=True)
    unit_normals: np.ndarray = result / np.maximum(length, 1e-12)
    return unit_normals


def _mirrored(offsets: np.ndarray, rig: Rig) -> np.ndarray:
    result: np.ndarray = offsets[rig.mirror] * np.array([-1.0, 1.0, 1.0])
    return result


def all_offsets(rig: Rig) -> dict[str, np.ndarray]:
    """Every morph target's offsets, float64 [V, 3], by its name; right ones mirror left ones exactly."""
    made = face_offsets(rig)
    for name in list(made):
        if "Left" in name:
            made[name.replace("Left", "Right")] = _mirrored(made[name], rig)
        else:
            made[name] = (made[name] + _mirrored(made[name], rig)) / 2.0
    return made


def _uvs(rig: Rig) -> np.ndarray:
    """float64 [F, 4, 2]: a cylinder's unrolling; corners across the back's seam are kept on one side."""
    v = rig.vertices
    across = np.arctan2(v[:, 0], v[:, 2] + 7.0) / (2.0 * np.pi) + 0.5
    up = (v[:, 1] - v[:, 1].min()) / np.ptp(v[:, 1])
    corners = np.where(rig.faces >= 0, rig.faces, rig.faces[:, :1])
    result = np.stack([across[corners], up[corners]], axis=2)
    wraps = np.ptp(result[:, :, 0], axis=1) > 0.5
    centre = v[corners].mean(axis=1)[:, 0]
    column = result[:, :, 0]
    column = np.where((wraps & (centre > 0))[:, None] & (column < 0.5), column + 1.0, column)
    column = np.where((wraps & (centre <= 0))[:, None] & (column > 0.5), column - 1.0, column)
    result[:, :, 0] = np.clip(column, 0.0, 1.0)
    return _grained(result)


def _grained(values: np.ndarray, grain: float = GRAIN) -> np.ndarray:
    return np.round(values / grain) * grain + 0.0


def build_head() -> HeadModel:
    """The head with its 52 morph targets; deterministic."""
    rig = build_rig()
    offsets = all_offsets(rig)
    vertices = _grained(rig.vertices)
    normals = vertex_normals(vertices, rig.faces)
    morphs = []
    for name in SHAPE_NAMES:
        moved = _grained(offsets[name], MORPH_GRAIN)
        moved[np.linalg.norm(moved, axis=1) <= MIN_OFFSET] = 0.0
        turned = vertex_normals(vertices + moved, rig.faces) - normals
        changed = moved.any(axis=1) | (np.linalg.norm(turned, axis=1) > _MIN_NORMAL_CHANGE)
        indices = np.flatnonzero(changed).astype(np.int32)
        morphs.append(Morph(name, indices, moved[indices], _grained(turned[indices], NORMAL_GRAIN)))
    numbers = {material.name: number for number, material in enumerate(MATERIALS)}
    return HeadModel(
        vertices=vertices,
        normals=_grained(normals),
        faces=rig.faces,
        face_materials=np.array([numbers[name] for name in rig.materials], np.int32),
        face_uvs=_uvs(rig),
        materials=MATERIALS,
        morphs=tuple(morphs),
        parts=rig.members,
    )
