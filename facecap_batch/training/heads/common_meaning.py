"""One meaning for all rig families: equal coefficients move the same points of the face equally far.

In: head models. Out: the same with shapes scaled. A shape's movement is measured at the landmarks and at the
positions on cheeks and nose that it is known for (`MEASURED`); lengths are in distances between the eyeballs.
ICT-FaceKit is the reference; ``jobs/compare_rigs.py`` prints how the families differ.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads.head_model import MATERIALS, HeadModel, eye_centres
from facecap_batch.training.mirror import MIRRORED_LANDMARKS

LIP_PAIRS = ((61, 67), (62, 66), (63, 65))  # landmarks of the upper and the lower lip's edge
MIN_SCALE, MAX_SCALE = 0.33, 2.3  # of a shape
# Less where the rigs differ in kind: made as strong at one point, the shape would be absurd at another.
MAX_SCALE_OF = {"cheekPuff": 1.15, "noseSneer": 1.4, "mouthFunnel": 1.25, "mouthRollLower": 1.9,
                "eyeLookUp": 1.6, "eyeLookIn": 2.0, "eyeLookOut": 2.0}  # fmt: skip
MIN_MOVEMENT = 1e-6  # eye distances; a shape that moves less is not divided by its movement
REGION_WIDTH = 0.7  # centimetres, how wide a region is
REGION_DEPTH = 1.5  # centimetres behind its centre down to which a region's skin may lie
# Regions of the skin without a landmark, centred between some: landmarks and weights, of the subject's left.
REGIONS = {
    "cheek": ((54, 0.35), (12, 0.35), (35, 0.3)),
    "outer cheek": ((54, 0.25), (12, 0.55), (35, 0.2)),
    "under eye": ((46, 0.5), (47, 0.2), (35, 0.3)),
    "nose": ((42, 0.25), (35, 0.75)),
    "nose root": ((42, 0.4), (27, 0.6)),
    "smile line": ((35, 0.6), (54, 0.4)),
}  # fmt: skip
# Where each movement is measured: landmarks and regions, of the subject's left where it has sides.
MEASURED: dict[str, tuple[int | str, ...]] = {
    "eyeBlink": (43, 44), "eyeLookDown": (43, 44), "eyeLookUp": (43, 44), "eyeLookIn": (43, 44, 46, 47),
    "eyeLookOut": (43, 44, 46, 47), "eyeSquint": (46, 47, "under eye"), "eyeWide": (43, 44),
    "jawForward": (7, 8, 9, 57), "jawLeft": (7, 8, 9, 57), "jawRight": (7, 8, 9, 57),
    "jawOpen": (7, 8, 9, 57, 66), "mouthClose": (57, 66),
    "mouthFunnel": (50, 51, 52, 56, 57, 58, 61, 62, 63, 65, 66, 67),
    "mouthPucker": (48, 50, 51, 52, 54, 56, 57, 58, 62, 66), "mouthLeft": (48, 51, 54, 57),
    "mouthRight": (48, 51, 54, 57), "mouthSmile": (53, 54, 55), "mouthFrown": (54, 55), "mouthDimple": (54,),
    "mouthStretch": (54, 55), "mouthRollLower": (56, 57, 58, 65, 66, 67),
    "mouthRollUpper": (50, 51, 52, 61, 62, 63), "mouthShrugLower": (56, 57, 58, 66),
    "mouthShrugUpper": (50, 51, 52, 62), "mouthPress": (54, 55, 56, 65), "mouthLowerDown": (55, 56, 65),
    "mouthUpperUp": (52, 53, 63), "browDown": (22, 23, 24), "browInnerUp": (20, 21, 22, 23),
    "browOuterUp": (24, 25, 26), "cheekPuff": ("cheek", "outer cheek"), "cheekSquint": ("under eye",),
    "noseSneer": ("nose", "nose root", "smile line", 35, 52),
}  # fmt: skip
BOTH_SIDES = ("cheekPuff",)  # measured on both sides although the shape has none
_MIRRORED = np.array(MIRRORED_LANDMARKS)


def stem(name: str) -> str:
    """A shape's name without its side, where that is a side of the face."""
    bare = name.removesuffix("Left").removesuffix("Right")
    return bare if bare in MEASURED else name


def shape_displacement(model: HeadModel, name: str) -> np.ndarray:
    """What the shape `name` at 1 adds to the vertices: float32 [V, 3], centimetres."""
    number = ARKIT_NAMES.index(name)
    rows = slice(model.shape_start[number], model.shape_start[number + 1])
    displacement = np.zeros_like(model.neutral)
    displacement[model.shape_vertex[rows]] = model.shape_delta[rows]
    return displacement


def eye_distance(model: HeadModel) -> float:
    """Centimetres between the eyeballs' centres."""
    left, right = eye_centres(model.neutral, model.vertex_material)
    return float(np.linalg.norm(left - right))


def _weights(model: HeadModel, point: int | str, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and weights, which sum to 1, of a landmark or a region of the left side, or of its mirror
    image."""
    if isinstance(point, int):
        return model.landmarks[[_MIRRORED[point] if mirrored else point]], np.ones(1)
    marks = model.landmarks[_MIRRORED] if mirrored else model.landmarks
    centre = np.sum([weight * model.neutral[marks[mark]] for mark, weight in REGIONS[point]], axis=0)
    skin = np.setdiff1d(np.flatnonzero(model.vertex_material == MATERIALS.index("face")), model.landmarks)
    away = np.linalg.norm(model.neutral[skin, :2] - centre[:2], axis=1)  # the skin bulges before the centre
    away = np.where(model.neutral[skin, 2] > centre[2] - REGION_DEPTH, away, np.inf)
    weight = np.exp(-0.5 * (np.minimum(away, 10 * REGION_WIDTH) / REGION_WIDTH) ** 2) + 1e-12
    return skin, weight / weight.sum()


def movement(model: HeadModel, name: str) -> np.ndarray:
    """How the shape `name` moves the points that it is measured at: float64 [N, 3], eye distances at 1."""
    displacement = shape_displacement(model, name)
    bare = stem(name)
    sides = (False, True) if bare in BOTH_SIDES else (name.endswith("Right") and bare != name,)
    found = []
    for mirrored in sides:
        for point in MEASURED[bare]:
            vertices, weights = _weights(model, point, mirrored)
            found.append(weights @ displacement[vertices])
    moved: np.ndarray = np.array(found, np.float64) / eye_distance(model)
    return moved


def strength(moved: np.ndarray) -> float:
    """Root mean square length of a movement [N, 3]."""
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def likeness(moved: np.ndarray, other: np.ndarray) -> float:
    """Cosine between two movements [N, 3] of the same points: 1 the same direction, 0 unrelated."""
    return float((moved * other).sum() / (np.linalg.norm(moved) * np.linalg.norm(other) + 1e-12))


def scaled(model: HeadModel, scales: dict[str, float]) -> HeadModel:
    """The model with the named shapes multiplied."""
    factor = np.ones(len(model.shape_delta), np.float32)
    for name, value in scales.items():
        number = ARKIT_NAMES.index(name)
        factor[model.shape_start[number] : model.shape_start[number + 1]] = value
    return dataclasses.replace(model, shape_delta=model.shape_delta * factor[:, None])


def lips_closed(model: HeadModel) -> HeadModel:
    """The model with mouthClose scaled so that it closes the gap that an equal jawOpen makes."""
    upper, lower = (model.landmarks[[pair[side] for pair in LIP_PAIRS]] for side in (0, 1))
    opened, closed = (
        float((displacement[upper, 1] - displacement[lower, 1]).mean())
        for displacement in (shape_displacement(model, name) for name in ("jawOpen", "mouthClose"))
    )
    scale = float(np.clip(-opened / min(closed, -1e-3), MIN_SCALE, MAX_SCALE))
    return scaled(model, {"mouthClose": scale})


def scales(model: HeadModel, reference: HeadModel) -> dict[str, float]:
    """What each shape but mouthClose is multiplied by to move as far as the reference's.

    Both sides of a face get the same, the geometric mean; all are clipped to MIN_SCALE and MAX_SCALE or
    MAX_SCALE_OF.
    """
    names = [name for name in ARKIT_NAMES if name != "mouthClose"]
    ratios: dict[str, list[float]] = {}
    for name in names:
        own = max(strength(movement(model, name)), MIN_MOVEMENT)
        ratios.setdefault(stem(name), []).append(strength(movement(reference, name)) / own)
    return {
        name: float(
            np.clip(
                np.exp(np.mean(np.log(ratios[stem(name)]))),
                MIN_SCALE,
                MAX_SCALE_OF.get(stem(name), MAX_SCALE),
            )
        )
        for name in names
    }


def scaled_like(model: HeadModel, reference: HeadModel) -> HeadModel:
    """The model with every shape as strong as the reference's, and lips that mouthClose closes."""
    return lips_closed(scaled(model, scales(model, reference)))
