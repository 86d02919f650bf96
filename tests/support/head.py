"""A crude head in the renderer's own terms, so that its tests need no third-party model.

An egg for the face and skull, two balls for eyes, a few triangles for the rest; landmarks where a face has
them; every shape pushes one patch of the face outward.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import LANDMARKS
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.mesh import EYE_LEFT, EYE_RIGHT, FACE
from facecap_batch.training.people.identities import ict
from facecap_batch.training.people.rig import Rig

MODES = 20  # ways in which heads differ
EGG = np.array([7.5, 11.0, 9.0])  # half axes, centimetres
EYES = ((3.1, 3.6, 7.2), (-3.1, 3.6, 7.2))


def _ball(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    polar, azimuth = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rows), np.linspace(0, 2 * np.pi, columns, False), indexing="ij"
    )
    points = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1)
    triangles = []
    for row in range(rows - 1):
        for column in range(columns):
            a, b = row * columns + column, row * columns + (column + 1) % columns
            triangles += [[a, a + columns, b], [b, a + columns, b + columns]]
    return points.reshape(-1, 3), np.array(triangles)


def head_for_tests() -> HeadModel:
    """A `HeadModel` of about 800 vertices."""
    ball, faces = _ball(25, 32)
    small, small_faces = _ball(8, 12)
    parts = [(ball * EGG, faces, FACE)]
    parts += [
        (small * 1.5 + centre, small_faces, material)
        for centre, material in zip(EYES, (EYE_LEFT, EYE_RIGHT), strict=True)
    ]
    neutral = np.concatenate([points for points, *_ in parts]).astype(np.float32)
    offsets = np.cumsum([0] + [len(points) for points, *_ in parts])
    triangles = np.concatenate([t + o for (_, t, _), o in zip(parts, offsets, strict=False)]).astype(np.int32)
    material = np.concatenate([np.full(len(t), m, np.int8) for _, t, m in parts])
    vertex_material = np.concatenate([np.full(len(p), m, np.int8) for p, _, m in parts])
    face = len(ball)

    def nearest(x: float, y: float) -> int:
        front = np.where(neutral[:face, 2] > 0, 0.0, 100.0)
        return int(np.argmin(np.hypot(neutral[:face, 0] - x, neutral[:face, 1] - y) + front))

    around = np.linspace(0, 2 * np.pi, LANDMARKS, endpoint=False)
    marks = np.array([nearest(5 * np.cos(t), 6 * np.sin(t)) for t in around])
    for index, position in {36: (-4.4, 3.6), 39: (-1.8, 3.6), 42: (1.8, 3.6), 45: (4.4, 3.6), 48: (-2.5, -4),
                         54: (2.5, -4),
                         27: (0, 3.6), 0: (-7, 2), 16: (7, 2)}.items():  # fmt: skip
        marks[index] = nearest(*position)
    rng = np.random.default_rng(0)
    start, vertices, deltas = [0], [], []
    for _ in ARKIT_NAMES:
        moved = rng.choice(np.flatnonzero(neutral[:face, 2] > 3), 40, replace=False)
        vertices.append(moved)
        deltas.append(neutral[moved] * 0.05)
        start.append(start[-1] + len(moved))
    x, y, z = neutral[:face].T
    return HeadModel(
        neutral=neutral,
        uv=np.clip(neutral[:, :2] / 26 + 0.5, 0, 1).astype(np.float32),
        triangles=triangles,
        material=material,
        vertex_material=vertex_material,
        identity=rng.normal(0, 0.02, (MODES, len(neutral), 3)).astype(np.float32),
        identity_names=tuple(f"mode{number}" for number in range(MODES)),
        shape_start=np.array(start, np.int32),
        shape_vertex=np.concatenate(vertices).astype(np.int32),
        shape_delta=np.concatenate(deltas).astype(np.float32),
        landmarks=marks.astype(np.int32),
        lid_left=np.flatnonzero((z > 5) & (x > 1) & (y > 1)).astype(np.int32),
        lid_right=np.flatnonzero((z > 5) & (x < -1) & (y > 1)).astype(np.int32),
        face_box=np.flatnonzero((z > 3) & (np.abs(y) < 9)).astype(np.int32),
    )


def rig_for_tests(model: HeadModel | None = None) -> Rig:
    """A `Rig` of `head_for_tests`, or of another head, without skins."""
    return Rig(head_for_tests() if model is None else model, ict)
