"""One meaning for all rig families: equal coefficients move the same points of the face equally far.

In: head models. Out: the same with shapes scaled. What a shape is measured by are the landmarks and places
on cheeks and nose that it is known for (`MEASURED`); lengths are in distances between the eyeballs.
ICT-FaceKit is the reference; ``jobs/compare_rigs.py`` prints how the families differ.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.people.head_model import MATERIALS, HeadModel

LIP_PAIRS = ((61, 67), (62, 66), (63, 65))  # landmarks of the upper and the lower lip's edge
SCALES = (0.33, 2.3)  # least and most that a shape is scaled by
# Less where the rigs differ in kind: made as strong at one place, the shape would be absurd at another.
MOST = {"cheekPuff": 1.15, "noseSneer": 1.4, "mouthFunnel": 1.25, "mouthRollLower": 1.9, "eyeLookUp": 1.6,
        "eyeLookIn": 2.0, "eyeLookOut": 2.0}  # fmt: skip
PLACE = 0.7  # centimetres, how wide a place on the cheek is
# Places that have no landmark, between some: name, landmarks and their shares, for the subject's left side.
PLACES = {
    "cheek": ((54, 0.35), (12, 0.35), (35, 0.3)),
    "outer cheek": ((54, 0.25), (12, 0.55), (35, 0.2)),
    "under eye": ((46, 0.5), (47, 0.2), (35, 0.3)),
    "nose": ((42, 0.25), (35, 0.75)),
    "nose root": ((42, 0.4), (27, 0.6)),
    "smile line": ((35, 0.6), (54, 0.4)),
}  # fmt: skip
# What each movement is known by: landmarks and places, of the subject's left where it has sides.
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
MIDDLE = ("cheekPuff",)  # measured on both sides although the shape has no side
MIRRORED = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39,
     38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)  # fmt: skip  # the landmark that each one is in a mirror


def stem(name: str) -> str:
    """A shape's name without its side, where that is a side of the face."""
    bare = name.removesuffix("Left").removesuffix("Right")
    return bare if bare in MEASURED else name


def full(model: HeadModel, name: str) -> np.ndarray:
    """The shape `name` at 1: float32 [V, 3], centimetres."""
    number = ARKIT_NAMES.index(name)
    rows = slice(model.shape_start[number], model.shape_start[number + 1])
    out = np.zeros_like(model.neutral)
    out[model.shape_vertex[rows]] = model.shape_delta[rows]
    return out


def eye_distance(model: HeadModel) -> float:
    """Centimetres between the eyeballs' centres."""
    middles = []
    for name in ("eye_left", "eye_right"):
        eye = model.neutral[model.vertex_material == MATERIALS.index(name)]
        middles.append((eye.min(axis=0) + eye.max(axis=0)) / 2)
    return float(np.linalg.norm(middles[0] - middles[1]))


def _share(model: HeadModel, place: int | str, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and their shares (summing to 1) of a landmark or place."""
    if isinstance(place, int):
        return model.landmarks[[MIRRORED[place] if mirrored else place]], np.ones(1)
    marks = model.landmarks[MIRRORED] if mirrored else model.landmarks
    point = sum(share * model.neutral[marks[mark]] for mark, share in PLACES[place])
    skin = np.setdiff1d(np.flatnonzero(model.vertex_material == MATERIALS.index("face")), model.landmarks)
    away = np.linalg.norm(model.neutral[skin, :2] - point[:2], axis=1)  # the surface lies before the point
    away = np.where(model.neutral[skin, 2] > point[2] - 1.5, away, np.inf)
    weight = np.exp(-0.5 * (np.minimum(away, 10 * PLACE) / PLACE) ** 2) + 1e-12
    return skin, weight / weight.sum()


def movement(model: HeadModel, name: str) -> np.ndarray:
    """How the shape `name` moves what it is known by: float64 [N, 3], eye distances at coefficient 1."""
    moved = full(model, name)
    bare = stem(name)
    sides = (False, True) if bare in MIDDLE else (name.endswith("Right") and bare != name,)
    found = []
    for mirrored in sides:
        for place in MEASURED[bare]:
            vertices, share = _share(model, place, mirrored)
            found.append(share @ moved[vertices])
    return np.array(found, np.float64) / eye_distance(model)


def strength(way: np.ndarray) -> float:
    """Root mean square length of the movement `way` [N, 3]."""
    return float(np.sqrt((way**2).sum(axis=1).mean()))


def likeness(way: np.ndarray, other: np.ndarray) -> float:
    """Cosine between two movements [N, 3] of the same points: 1 same kind, 0 unrelated."""
    return float((way * other).sum() / (np.linalg.norm(way) * np.linalg.norm(other) + 1e-12))


def scaled(model: HeadModel, factors: dict[str, float]) -> HeadModel:
    """The model with the named shapes multiplied."""
    factor = np.ones(len(model.shape_delta), np.float32)
    for name, value in factors.items():
        number = ARKIT_NAMES.index(name)
        factor[model.shape_start[number] : model.shape_start[number + 1]] = value
    return dataclasses.replace(model, shape_delta=model.shape_delta * factor[:, None])


def lips_closed(model: HeadModel) -> HeadModel:
    """The model with mouthClose such that it undoes what an equal jawOpen does to the lips' gap."""
    upper, lower = (model.landmarks[[pair[side] for pair in LIP_PAIRS]] for side in (0, 1))
    opened, closed = (
        float((full(model, name)[upper, 1] - full(model, name)[lower, 1]).mean())
        for name in ("jawOpen", "mouthClose")
    )
    return scaled(model, {"mouthClose": float(np.clip(-opened / min(closed, -1e-3), *SCALES))})


def factors(model: HeadModel, reference: HeadModel) -> dict[str, float]:
    """For each shape but mouthClose what it is to be multiplied by to be as strong as the reference's. The
    sides of a face get the same."""
    found: dict[str, list[float]] = {}
    for name in ARKIT_NAMES:
        if name != "mouthClose":
            own = max(strength(movement(model, name)), 1e-6)
            found.setdefault(stem(name), []).append(strength(movement(reference, name)) / own)
    return {
        name: float(
            np.clip(np.exp(np.mean(np.log(found[stem(name)]))), SCALES[0], MOST.get(stem(name), SCALES[1]))
        )
        for name in ARKIT_NAMES
        if name != "mouthClose"
    }


def scaled_like(model: HeadModel, reference: HeadModel) -> HeadModel:
    """The model with every shape as strong as the reference's, and lips that mouthClose closes."""
    return lips_closed(scaled(model, factors(model, reference)))
