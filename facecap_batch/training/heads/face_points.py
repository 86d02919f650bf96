"""How the shapes of a rig move the named points of a face (`exporting.head.anatomy`).

In: head models. Out: displacements in distances between the eyeballs, comparable from one head to another.
``benchmarks/accuracy/head_motion.py`` prints them beside those of the head in the FBX files, and writes the
table that this head is made to move by.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.head.anatomy import LANDMARKS, MIDDLE, POINTS, REGIONS
from facecap_batch.training.heads.common_meaning import eye_distance, shape_displacement
from facecap_batch.training.heads.head_model import MATERIALS, HeadModel
from facecap_batch.training.mirror import MIRRORED_LANDMARKS

REGION_WIDTH = 0.5  # centimetres, how wide a region is
REGION_DEPTH = 1.5  # centimetres behind its centre down to which a region's skin may lie
FLIP = np.array([-1.0, 1.0, 1.0])

Moved = dict[tuple[str, str], np.ndarray]  # shape and point -> float64 [3], distances between the eyeballs


def mirrored_shape(name: str) -> str:
    """The ARKit shape that does on the other side what `name` does; itself where it does it on both."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def _weights(model: HeadModel, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and weights, which sum to 1, of the point `name`, "right " before it or not."""
    right, bare = name.startswith("right "), name.removeprefix("right ")
    mark = np.array(MIRRORED_LANDMARKS if right else range(68))
    if bare in LANDMARKS:
        return model.landmarks[mark[[LANDMARKS[bare].number]]], np.ones(1)
    numbers = list(REGIONS[bare])
    centre = np.array(list(REGIONS[bare].values())) @ model.neutral[model.landmarks[mark[numbers]]]
    skin = np.setdiff1d(np.flatnonzero(model.vertex_material == MATERIALS.index("face")), model.landmarks)
    away = np.linalg.norm(model.neutral[skin, :2] - centre[:2], axis=1)
    away = np.where(model.neutral[skin, 2] > centre[2] - REGION_DEPTH, away, np.inf)
    weight = np.exp(-0.5 * (np.minimum(away, 10 * REGION_WIDTH) / REGION_WIDTH) ** 2) + 1e-12
    return skin, weight / weight.sum()


def moved_points(model: HeadModel) -> Moved:
    """What every shape does to every point of both sides."""
    names = [*POINTS, *(f"right {name}" for name in POINTS if name not in MIDDLE)]
    weights = {name: _weights(model, name) for name in names}
    unit = eye_distance(model)
    found: Moved = {}
    for shape in ARKIT_NAMES:
        displacement = shape_displacement(model, shape)
        for name, (vertices, weight) in weights.items():
            found[shape, name] = weight @ displacement[vertices].astype(np.float64) / unit
    return found


def mirrored_point(name: str) -> str:
    """The point on the other side; itself in the middle."""
    if name in MIDDLE:
        return name
    return name.removeprefix("right ") if name.startswith("right ") else f"right {name}"


def symmetric(moved: Moved) -> Moved:
    """`moved` with each displacement averaged with the mirror image of its twin's."""
    return {
        (shape, point): (vector + FLIP * moved[mirrored_shape(shape), mirrored_point(point)]) / 2
        for (shape, point), vector in moved.items()
    }
