"""What a head wears: a shell of hair, long hair, shoulders, glasses.

In: the head model, a person's mesh at rest and a random generator. Out: vertices (float [N, 3],
centimetres, head frame) with triangles (int32 [T, 3]) that move with the head only. `cover` (float [N]) is
below 0 where hair ends.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.mesh import HEAD, vertex_normals

RIM_POINTS = 24
TEMPLE_POINTS = 8


def _hairline(rest: np.ndarray, rise: float, nape: float) -> np.ndarray:
    """Height in centimetres of each rest vertex above the hairline at its azimuth; negative is skin."""
    azimuth = np.degrees(np.arctan2(np.abs(rest[:, 0]), rest[:, 2] - 1.0))
    line = np.interp(
        azimuth,
        [0, 30, 48, 62, 74, 84, 104, 125, 180],
        [10.0 + rise, 9.9 + rise, 9.3 + rise * 0.9, 6.4, 2.0, 5.2, 3.5, nape, nape],
    )
    height: np.ndarray = rest[:, 1] - line
    return height


def scalp(
    model: HeadModel, rest: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shell of hair over the skull of the mesh `rest` (float32 [V, 3], centimetres).

    Returns vertices float64 [N, 3] in centimetres, triangles int32 [T, 3] and cover float64 [N], centimetres
    above the hairline; -2 over the ears, which stay bare.
    """
    bald = rng.random() < 0.07
    rise = rng.uniform(2.0, 5.0) if bald else rng.normal(0, 0.9)
    height = _hairline(model.neutral, rise, rng.uniform(-8, -2))
    ear = (np.abs(model.neutral[:, 0]) > 7.4) & (model.neutral[:, 1] < 5.8) & (model.neutral[:, 1] > -3)
    height = np.where(ear & (model.neutral[:, 2] > -3.5), -2.0, height)
    skin = model.triangles[model.material <= HEAD]
    inside = skin[(height[skin] > -1.5).any(axis=1)]  # the rest of a triangle is cut off by its cover
    skull = np.unique(inside)
    normals = vertex_normals(rest, model.triangles[model.material <= HEAD])
    thick = rng.choice([0.15, 0.5, 1.0, 1.8, 3.0], p=[0.2, 0.25, 0.25, 0.2, 0.1]) * rng.uniform(0.7, 1.3)
    lumps = 1 + 0.35 * np.sin(rest[:, 0] * rng.uniform(0.3, 1.2) + rng.uniform(0, 6)) * np.sin(
        rest[:, 2] * rng.uniform(0.3, 1.2) + rng.uniform(0, 6)
    )
    lift = (0.06 + thick * np.clip(height / 3.0, 0, 1) ** 0.7 * lumps)[:, None]
    fringe = rng.uniform(0, 3.5) if rng.random() < 0.35 else 0.0  # hair falling on the forehead
    shell = rest + normals * lift
    front = np.clip(1 - np.abs(height - 0.8) / 2.0, 0, 1) * (model.neutral[:, 2] > 5)
    shell[:, 1] -= fringe * front
    shell[:, 2] += 0.25 * fringe * front
    index = np.full(len(rest), -1, np.int32)
    index[skull] = np.arange(len(skull))
    return shell[skull], index[inside], height[skull]


def _grid_triangles(down: int, across: int) -> np.ndarray:
    """int32 [T, 3] of a sheet of `down` rows of `across` vertices."""
    first = np.arange((down - 1) * across).reshape(down - 1, across)[:, :-1].ravel()
    below = first + across
    return np.concatenate(
        [np.stack([first, below, first + 1], 1), np.stack([first + 1, below, below + 1], 1)]
    ).astype(np.int32)


def curtain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Long hair around the back and sides, down to the shoulders.

    Returns vertices float32 [336, 3] in centimetres, triangles int32 [594, 3] and cover float32 [336], which
    has no unit and is -0.5 at the side edges and at the bottom.
    """
    across, down = 28, 12
    opening = np.radians(rng.uniform(62, 100))
    bottom = rng.uniform(-19, -6)
    angle = np.linspace(opening, 2 * np.pi - opening, across)
    level = np.linspace(0, 1, down)
    wave = rng.uniform(0, 0.6) * np.sin(np.linspace(0, rng.uniform(4, 14), down))[:, None]
    height = 7.0 + (bottom - 7.0) * level[:, None] + np.zeros(across)
    spread = 1 + rng.uniform(-0.1, 0.25) * level[:, None] ** 1.5
    x = (8.9 + wave) * spread * np.sin(angle)
    z = -0.3 + (9.0 + wave) * spread * np.cos(angle) * np.where(np.cos(angle) > 0, 0.65, 1.0)
    vertices = np.stack([x, height, z], axis=-1).reshape(-1, 3)
    triangles = _grid_triangles(down, across)
    edge = np.minimum(np.linspace(0, 8, across), np.linspace(8, 0, across))
    cover = np.minimum(edge[None, :], (1 - level[:, None]) * 8) - 0.5
    return vertices.astype(np.float32), triangles, cover.ravel().astype(np.float32)


def shoulders(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A torso below the neck: vertices float32 [192, 3] in centimetres, triangles int32 [322, 3]."""
    across, down = 24, 8
    angle = np.linspace(0, 2 * np.pi, across)
    level = np.linspace(0, 1, down)[:, None]
    width = np.interp(level, [0, 0.25, 1], [8.0, rng.uniform(15, 20), rng.uniform(19, 24)])
    depth = np.interp(level, [0, 0.4, 1], [6.5, 9.0, 11.0])
    height = -14.5 - 26 * level**1.1 - rng.uniform(0, 2)
    x, z = width * np.sin(angle), -1.5 + depth * np.cos(angle)
    vertices = np.stack([x, height + np.zeros(across), z], axis=-1).reshape(-1, 3)
    triangles = _grid_triangles(down, across)
    return vertices.astype(np.float32), triangles


def _ribbon(path: np.ndarray, normal: np.ndarray, half: float, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """A flat band along `path` (float [N, 3]), `half` centimetres to both sides of it within the plane of
    `normal`."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    side = np.cross(along, normal)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    vertices = np.concatenate([path + half * side, path - half * side])
    count = len(path)
    first = np.arange(count if closed else count - 1)
    second = (first + 1) % count
    triangles = np.concatenate(
        [np.stack([first, second, first + count], 1), np.stack([second, second + count, first + count], 1)]
    )
    return vertices.astype(np.float32), triangles.astype(np.int32)


def spectacles(
    rest: np.ndarray, model: HeadModel, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames before the eyes with temples to the ears of the mesh `rest` (float32 [V, 3], centimetres).

    Returns left rim, left temple, right rim, right temple and bridge, each as vertices float32 [N, 3] in
    centimetres and triangles int32 [T, 3]; N is twice RIM_POINTS, TEMPLE_POINTS or, of the bridge, 8.
    """
    marks = rest[model.landmarks]
    wide, tall, square = rng.uniform(2.2, 3.0), rng.uniform(1.5, 2.4), rng.uniform(2.0, 6.0)
    half, drop = 0.05 + 0.2 * rng.random() ** 2, rng.uniform(0.1, 0.8)
    front = marks[27][2] + 0.7
    angle = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
    bend = (
        np.abs(np.cos(angle)) ** (2 / square) * np.sign(np.cos(angle)),
        np.abs(np.sin(angle)) ** (2 / square) * np.sign(np.sin(angle)),
    )
    parts = []
    for eye, sign in ((marks[42:48].mean(0), 1), (marks[36:42].mean(0), -1)):
        rim = np.stack(
            [eye[0] + wide * bend[0], eye[1] - drop + tall * bend[1], np.full(RIM_POINTS, front)], axis=1
        )
        rim[:, 2] -= 0.12 * (np.abs(rim[:, 0]) - 1.0).clip(0)  # frames wrap a little
        parts.append(_ribbon(rim, np.array([0.0, 0, 1]), half, True))
        hinge = np.array([eye[0] + sign * wide, eye[1] - drop + 0.5 * tall, front - 0.5])
        ear = np.array([sign * (np.abs(marks[[0, 16], 0]).mean() + 0.6), hinge[1] + 0.2, marks[0][2] - 1.5])
        parts.append(_ribbon(np.linspace(hinge, ear, TEMPLE_POINTS), np.array([1.0, 0, 0]), half, False))
    nose = marks[27]
    bridge = np.stack(
        [
            np.linspace(-1.1, 1.1, 8),
            nose[1] - drop + 0.5 + 0.25 * np.cos(np.linspace(-1.5, 1.5, 8)),
            np.full(8, front),
        ],
        axis=1,
    )
    parts.append(_ribbon(bridge, np.array([0.0, 0, 1]), half, False))
    return parts
