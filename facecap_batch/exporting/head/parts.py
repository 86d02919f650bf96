"""What is not skin: eyeballs, brows, nostrils and ears, each a small mesh of its own (mouth: `parts_mouth`).

In: nothing but numbers. Out: `Part` records for the left side or the middle; `mirrored` gives the right
side's.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.exporting.head.grid import locate
from facecap_batch.exporting.head.surface import EYE_CENTRE, EYE_RADIUS, meet

NOSTRIL = np.array([0.55, -4.45, 2.9])  # a point above the middle of the left nostril


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A separate mesh in the head frame."""

    name: str
    vertices: np.ndarray  # float64 [V, 3], centimetres
    faces: np.ndarray  # int32 [F, 4], triangles hold -1 last
    materials: tuple[str, ...]  # one name per face


def mirrored(part: Part, name: str) -> Part:
    """The part on the other side; vertex `i` mirrors vertex `i`."""
    faces: np.ndarray = part.faces[:, ::-1].copy()
    triangle = part.faces[:, 3] < 0
    faces[triangle] = np.column_stack([part.faces[triangle][:, [2, 1, 0]], part.faces[triangle][:, 3]])
    return Part(name, part.vertices * [-1.0, 1.0, 1.0], faces, part.materials)


def grid_faces(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Quads of a rows x columns grid of vertices, counterclockwise when columns run to +x, rows to -y."""
    grid = np.meshgrid(np.arange(rows - 1), np.arange(columns - (0 if closed else 1)), indexing="ij")
    i, j = (axis.ravel() for axis in grid)
    k = (j + 1) % columns
    return np.column_stack(
        [i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k]
    ).astype(np.int32)


# Rings of the eyeball, degrees from the axis of sight, and the material of the band that each closes.
_EYE_RINGS = (
    (5.0, "pupil"),
    (9.5, "pupil"),
    (15.0, "iris_inner"),
    (20.0, "iris"),
    (25.5, "iris"),
    (28.5, "iris_edge"),
    (36.0, "eye_white"),
    (48.0, "eye_white"),
    (62.0, "eye_white"),
    (78.0, "eye_white"),
    (96.0, "eye_white"),
)
_EYE_SEGMENTS = 24
_LIMBUS = 28.5  # degrees, where the cornea rises from the white
_CORNEA_RADIUS = 0.98  # cm; smaller than the eyeball's, so that it catches the light wherever the eye looks


def _eye_radius(degrees: float) -> float:
    """Distance of the eye's surface from its middle, cm, at an angle from the axis of sight."""
    if degrees >= _LIMBUS:
        return EYE_RADIUS
    limbus, angle = np.radians(_LIMBUS), np.radians(degrees)
    middle = EYE_RADIUS * np.cos(limbus) - np.sqrt(_CORNEA_RADIUS**2 - (EYE_RADIUS * np.sin(limbus)) ** 2)
    return float(middle * np.cos(angle) + np.sqrt(_CORNEA_RADIUS**2 - (middle * np.sin(angle)) ** 2))


def eyeball() -> Part:
    """The left eyeball, looking along +z, with a cornea that bulges."""
    turn = 2.0 * np.pi * np.arange(_EYE_SEGMENTS) / _EYE_SEGMENTS
    points = [np.array([[0.0, 0.0, _eye_radius(0.0)]])]
    faces: list[list[int]] = []
    materials: list[str] = []
    for ring, (degrees, material) in enumerate(_EYE_RINGS):
        angle = np.radians(degrees)
        circle = [
            np.sin(angle) * np.cos(turn),
            np.sin(angle) * np.sin(turn),
            np.full_like(turn, np.cos(angle)),
        ]
        points.append(_eye_radius(degrees) * np.stack(circle, axis=1))
        for k in range(_EYE_SEGMENTS):
            after = (k + 1) % _EYE_SEGMENTS
            start, before = 1 + ring * _EYE_SEGMENTS, 1 + (ring - 1) * _EYE_SEGMENTS
            if ring == 0:
                faces.append([0, 1 + k, 1 + after, -1])
            else:
                faces.append([before + k, start + k, start + after, before + after])
            materials.append(material)
    vertices = EYE_CENTRE + np.concatenate(points)
    return Part("eyeLeft", vertices, np.array(faces, np.int32), tuple(materials))


def brow() -> Part:
    """The left eyebrow: a tapered strip that rides just over the skin."""
    columns = 16
    t = np.linspace(0.0, 1.0, columns)
    angle = 6.5 + t * 30.0
    centre = -1.92 - 0.46 * np.sin(np.pi * t**1.2) + 0.16 * t
    half = 0.29 * (1.0 - t) ** 0.45 * (0.42 + 0.58 * np.minimum(1.0, t / 0.2)) + 0.035
    rows = []
    for across, lift in ((-1.0, -0.05), (-0.5, 0.07), (0.1, 0.10), (0.6, 0.07), (1.0, -0.05)):
        points = locate(angle, centre + half * across)
        taper = np.minimum(1.0, np.minimum(t / 0.08, (1.0 - t) / 0.12) + 0.25)
        outward = np.stack(
            [np.sin(np.radians(angle)), 0.1 * np.ones(columns), np.cos(np.radians(angle))], axis=1
        )
        rows.append(points + outward * (lift * taper)[:, None])
    faces = grid_faces(len(rows), columns)
    return Part("browLeft", np.concatenate(rows), faces, ("brow",) * len(faces))


def nostril() -> Part:
    """The left nostril: a dark oval that lies just off the underside of the nose."""
    around = 14
    turn = 2.0 * np.pi * np.arange(around) / around
    rows = []
    for size in (1.0, 0.6, 0.0):
        x, z = NOSTRIL[0] + size * 0.24 * np.cos(turn), NOSTRIL[2] - size * 0.36 * np.sin(turn)
        x = x + 0.35 * (NOSTRIL[2] - z)  # the pair converges toward the tip
        rows.append(np.stack([x, np.full_like(x, NOSTRIL[1]), z], axis=1))
    points = np.concatenate([rows[0], rows[1], rows[2][:1]])
    below = np.array([0.0, -0.96, 0.28])
    points = meet(points, np.broadcast_to(below, points.shape), start=1.2) + 0.05 * below
    points[:around] -= 0.06 * below
    faces = [list(face) for face in grid_faces(2, around, closed=True)]
    faces += [[2 * around, around + (k + 1) % around, around + k, -1] for k in range(around)]
    faces_array = np.array(faces, np.int32)
    return Part("nostrilLeft", points, faces_array, ("mouth_inside",) * len(faces))


def ear() -> Part:
    """The left ear: a bowl with a rolled rim, an inner fold and a lobe; its back sinks into the skull."""
    around, outline_points = 26, _ear_outline(26)
    centre = np.array([0.05, -0.15])
    # Fraction of the outline, and height over the ear's plane, from the outside of the rim to the bowl's
    # floor.
    profile = (
        (0.80, -1.3),
        (0.97, -0.45),
        (1.00, 0.0),
        (0.94, 0.20),
        (0.86, 0.12),
        (0.77, -0.10),
        (0.66, 0.03),
        (0.56, 0.05),
        (0.46, -0.28),
        (0.25, -0.42),
    )
    turn = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    lobe = np.exp(-((np.angle(np.exp(1j * (turn + np.pi / 2))) / 0.75) ** 2))  # 1 at the bottom
    front = np.exp(-((np.angle(np.exp(1j * (turn - 0.1))) / 0.8) ** 2))  # 1 where the ear meets the face
    rows = []
    for fraction, height in profile:
        flat = centre + (outline_points - centre) * fraction
        relief = (
            height * (1.0 - 0.75 * lobe * (fraction > 0.4)) if fraction < 1.0 and height > -0.3 else height
        )
        relief = relief - 0.16 * front * (fraction > 0.6)
        rows.append(np.column_stack([flat, np.broadcast_to(relief, turn.shape)]))
    rows.append(np.array([[centre[0], centre[1], -0.45]]))
    local = np.concatenate(rows)
    # Local x toward the face, y up, z out of the ear; the ear leans back and stands off the skull behind.
    lean, flare = np.radians(12.0), np.radians(24.0)
    x = local[:, 0] * np.cos(lean) + local[:, 1] * np.sin(-lean)
    y = local[:, 0] * np.sin(lean) + local[:, 1] * np.cos(lean)
    forward, out = (
        x * np.cos(flare) + local[:, 2] * np.sin(flare),
        -x * np.sin(flare) + local[:, 2] * np.cos(flare),
    )
    vertices = np.column_stack([7.12 + out, -0.95 + y, -8.0 + forward])
    faces = [list(face) for face in grid_faces(len(profile), around, closed=True)]
    last = (len(profile) - 1) * around
    faces += [[len(local) - 1, last + (k + 1) % around, last + k, -1] for k in range(around)]
    return Part("earLeft", vertices, np.array(faces, np.int32), ("skin",) * len(faces))


def _ear_outline(around: int) -> np.ndarray:
    """float64 [around, 2]: the ear from the side, x toward the face, y up, cm, counterclockwise."""
    keys = np.array(
        [
            [1.0, -0.1], [1.1, 1.5], [0.55, 2.75], [-0.6, 3.1], [-1.65, 2.4], [-1.9, 1.0], [-1.5, -0.6],
            [-0.75, -1.9], [-0.1, -2.95], [0.6, -3.05], [0.95, -2.3], [0.95, -1.2],
        ]
    )  # fmt: skip
    s = np.linspace(0.0, len(keys), around, endpoint=False)
    i = np.floor(s).astype(int)
    f = (s - i)[:, None]
    p0, p1, p2, p3 = (keys[(i + k) % len(keys)] for k in (-1, 0, 1, 2))
    result: np.ndarray = 0.5 * (
        2 * p1 + (p2 - p0) * f + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2 + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    )
    return result
