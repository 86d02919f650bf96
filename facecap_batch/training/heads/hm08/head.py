"""hm08 as a `HeadModel` beside another family's head.

In: a folder of MakeHuman's files (`files`) and the reference head. Out: a head in the same frame and of the
same size, whose labels mean the same: landmarks are the same points of the face (`landmarks`), the mean adult
is fitted to the reference by these, and shapes are as strong as the reference's (`common_meaning`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads.common_meaning import scaled_like
from facecap_batch.training.heads.head_model import HeadModel, face_box, lids
from facecap_batch.training.heads.hm08 import identities
from facecap_batch.training.heads.hm08.assembly import Assembly, assemble
from facecap_batch.training.heads.hm08.base_mesh import EYEBALLS, read_base, skin
from facecap_batch.training.heads.hm08.files import ADDED_UNITS, require_head
from facecap_batch.training.heads.hm08.landmarks import find_landmarks, texture_window
from facecap_batch.training.heads.hm08.surface import head_surface
from facecap_batch.training.heads.hm08.targets import find_target, read_target
from facecap_batch.training.heads.makehuman import DECIMETRE
from facecap_batch.training.heads.mesh import FACE
from facecap_batch.training.heads.similarity import Similarity, fit, steady_points

LIP_GAP = 0.08  # centimetres between the lips of the base mesh, through which teeth show
UPPER_LIP, LOWER_LIP = 62, 66  # landmarks in the middle of the lips' edges
MIN_DISPLACEMENT = 2e-4  # centimetres; less counts as none


def build(makehuman: Path, reference: HeadModel) -> HeadModel:
    """hm08 in the folder `makehuman` beside `reference`, its shapes as strong as the reference's.

    Raises:
        As `build_unscaled`.
    """
    return scaled_like(build_unscaled(makehuman, reference), reference)


def build_unscaled(makehuman: Path, reference: HeadModel) -> HeadModel:
    """hm08 in the folder `makehuman`, put where `reference` is, its shapes as they were sculpted.

    Raises:
        MissingSource: a file is missing; the message says where to get it.
        ValueError: a target is damaged; the message names file and line.
    """
    require_head(makehuman)
    base = read_base(makehuman / "base.obj")
    body = base.body
    head_skin = skin(body)
    landmarks = find_landmarks(reference, body)
    surface = head_surface(base, head_skin, landmarks)
    assembly = assemble(base, head_skin, surface, landmarks)

    uv = np.concatenate(
        [
            surface.uv,
            texture_window(landmarks.uv, landmarks.uv),
            np.full((2 * len(assembly.ball), 2), np.nan),
        ]
    )
    triangles, material = _triangles(assembly)
    vertex_material = _vertex_material(assembly)

    names, targets = identities.read(makehuman / "targets", len(body.vertices))
    changes = {
        name: DECIMETRE * assembly.displacements(target.full(len(body.vertices)))
        for name, target in zip(names, targets, strict=True)
    }
    neutral = DECIMETRE * assembly.positions(body.vertices)
    for name, weight in identities.AVERAGE.items():
        neutral = neutral + weight * changes[name]
    placement = fit(
        steady_points(neutral, assembly.landmark_rows, vertex_material),
        steady_points(reference.neutral, reference.landmarks, reference.vertex_material),
    )
    neutral = placement.points(neutral).astype(np.float32)

    shapes = [
        _shape(_face_unit(makehuman, name, len(body.vertices)), assembly, placement) for name in ARKIT_NAMES
    ]
    neutral -= _lips_apart(shapes[ARKIT_NAMES.index("jawOpen")], assembly)
    moved = [np.flatnonzero(np.abs(delta).max(axis=1) > MIN_DISPLACEMENT) for delta in shapes]
    lid_left, lid_right = lids(neutral, vertex_material)
    return HeadModel(
        neutral=neutral,
        uv=np.nan_to_num(uv).astype(np.float32),
        triangles=triangles.astype(np.int32),
        material=material,
        vertex_material=vertex_material,
        identity=np.stack([placement.displacements(changes[name]) for name in names]).astype(np.float32),
        identity_names=tuple(names),
        shape_start=np.cumsum([0, *map(len, moved)]).astype(np.int32),
        shape_vertex=np.concatenate(moved).astype(np.int32),
        shape_delta=np.concatenate([delta[rows] for delta, rows in zip(shapes, moved, strict=True)]).astype(
            np.float32
        ),
        landmarks=assembly.landmark_rows.astype(np.int32),
        lid_left=lid_left,
        lid_right=lid_right,
        face_box=face_box(neutral, vertex_material),
    )


def _triangles(assembly: Assembly) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of the head with both eyeballs, int [T, 3], and their materials, int8 [T]."""
    surface = assembly.surface
    triangles, material = [surface.triangles()], [surface.material, surface.material]
    for first, kind in zip(assembly.eye_starts, EYEBALLS.values(), strict=True):
        triangles.append(assembly.ball_triangles + first)
        material.append(np.full(len(assembly.ball_triangles), kind, np.int8))
    return np.concatenate(triangles), np.concatenate(material)


def _vertex_material(assembly: Assembly) -> np.ndarray:
    """`HeadModel.vertex_material`; landmarks are of the face."""
    eyes = [np.full(len(assembly.ball), kind, np.int8) for kind in EYEBALLS.values()]
    landmarks = np.full(len(assembly.landmark_rows), FACE, np.int8)
    return np.concatenate([assembly.surface.vertex_material(), landmarks, *eyes])


def _face_unit(makehuman: Path, name: str, vertices: int) -> np.ndarray:
    """The face unit of the shape `name` with what is added to it: float64 [base, 3], decimetres."""
    full = read_target(makehuman / "faceunits" / f"{name}.target", vertices).full(vertices)
    if name in ADDED_UNITS:
        unit, share = ADDED_UNITS[name]
        added = read_target(find_target(makehuman / "targets", unit), vertices)
        full[added.vertex] += share * added.delta
    return full


def _shape(face_unit: np.ndarray, assembly: Assembly, placement: Similarity) -> np.ndarray:
    """A face unit [base, 3] on the placed head: float64 [V, 3], centimetres. The renderer turns the eyes."""
    for eye in assembly.eyes:
        face_unit[eye.vertex] = 0
    return placement.displacements(DECIMETRE * assembly.displacements(face_unit))


def _lips_apart(jaw_open: np.ndarray, assembly: Assembly) -> np.ndarray:
    """As much of the shape jawOpen as closes LIP_GAP when it is undone: float32 [V, 3], centimetres."""
    upper, lower = assembly.landmark_rows[[UPPER_LIP, LOWER_LIP]]
    apart: np.ndarray = LIP_GAP / (jaw_open[upper, 1] - jaw_open[lower, 1]) * jaw_open
    return apart.astype(np.float32)
