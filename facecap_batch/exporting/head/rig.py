"""The head at rest, whole: skin and parts as one set of vertices, and what morph targets need to know.

In: `grid.build_skin` and `parts`. Out: `Rig`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.exporting.head import grid, parts, parts_mouth

_CARUNCLE = 2  # columns at the inner corner of the eye where no lashes grow
_FOLLOW = {1: 1.0, 2: 0.6, 3: 0.2, 4: 0.0}  # how far the inside of the mouth follows the lip, by depth


@dataclasses.dataclass(frozen=True, eq=False)
class Rig:
    """Vertices, faces and fields of the whole head. [V] runs over all vertices, skin first."""

    skin: grid.Skin
    vertices: np.ndarray  # float64 [V, 3], centimetres
    faces: np.ndarray  # int32 [F, 4], triangles hold -1 last
    materials: tuple[str, ...]  # a material's name for every face
    members: dict[str, np.ndarray]  # part name -> int32 indices
    mirror: np.ndarray  # int32 [V], the vertex on the other side
    lip_split: np.ndarray  # float64 [V], 0 above the mouth .. 1 below, jumping at the cut; 0 off the skin
    anchor: np.ndarray  # int32 [V], whose movement by a mouth field a vertex shares
    follow: np.ndarray  # float64 [V], how much of it
    row: np.ndarray  # float64 [V], row coordinate; NaN off the skin
    angle: np.ndarray  # float64 [V], degrees around the head; NaN off the skin
    corner: np.ndarray  # float64 [3], left corner of the mouth


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 at `low`, 1 at `high`, smooth between and flat beyond."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _split(skin: grid.Skin) -> np.ndarray:
    below = skin.row - grid.MOUTH_ROW
    side = np.abs(skin.angle)
    corner = grid.COLUMNS[grid.MOUTH_COLUMN]
    spread = 1.0 + 1.4 * smoothstep(corner, 60.0, side)
    soft = smoothstep(-1.0, 1.0, below / spread)
    hard = skin.lower.astype(float)
    toward = np.clip(side / corner, 0.0, 1.0) ** 4
    result: np.ndarray = hard + (soft - hard) * toward
    return result


def _skin_materials(skin: grid.Skin) -> list[str]:
    """Lips between the rows of their border, dark lid edges, the mouth's inside; all else skin."""
    result = []
    for row, column in zip(skin.face_rows, skin.face_columns, strict=True):
        lip = -grid.LIP_ROWS <= row - grid.MOUTH_INDEX < grid.LIP_ROWS and column < grid.MOUTH_COLUMN
        eye = grid.EYE_COLUMNS[0] <= column < grid.EYE_COLUMNS[1]
        if row == -3:
            result.append("mouth_inside")
        elif (row == -1 and column >= grid.EYE_COLUMNS[0] + _CARUNCLE) or (row == grid.EYE_INDEX - 1 and eye):
            result.append("lashes")
        else:
            result.append("lips" if lip or row in (-1, -2) else "skin")
    return result


def build_rig() -> Rig:
    """The whole head at rest; about 5,600 vertices, the same numbers every time."""
    skin = grid.build_skin()
    eye, brow, ear, nostril = parts.eyeball(), parts.brow(), parts.ear(), parts.nostril()
    middle = [parts_mouth.upper_teeth(), parts_mouth.lower_teeth(), parts_mouth.tongue()]
    pairs = [
        (eye, parts.mirrored(eye, "eyeRight")),
        (brow, parts.mirrored(brow, "browRight")),
        (ear, parts.mirrored(ear, "earRight")),
        (nostril, parts.mirrored(nostril, "nostrilRight")),
    ]
    vertices, faces, materials = [skin.vertices], [skin.faces], _skin_materials(skin)
    members = {"skin": np.arange(len(skin.vertices), dtype=np.int32)}
    mirror = [skin.mirror]
    count = len(skin.vertices)

    def add(part: parts.Part) -> np.ndarray:
        nonlocal count
        indices = np.arange(count, count + len(part.vertices), dtype=np.int32)
        vertices.append(part.vertices)
        faces.append(np.where(part.faces >= 0, part.faces + count, -1))
        materials.extend(part.materials)
        members[part.name] = indices
        count += len(part.vertices)
        return indices

    for part in middle:
        indices = add(part)
        mirror.append(indices[_own_mirror(part.vertices)])
    for left, right in pairs:
        on_left, on_right = add(left), add(right)
        mirror += [on_right, on_left]

    extra = count - len(skin.vertices)
    nowhere = np.full(extra, np.nan)
    skin_follow = np.array([_FOLLOW.get(int(depth), 1.0) for depth in skin.inside])
    corner = skin.vertices[
        np.flatnonzero((skin.row == grid.MOUTH_ROW) & (skin.angle == grid.COLUMNS[grid.MOUTH_COLUMN]))[0]
    ]
    return Rig(
        skin=skin,
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces).astype(np.int32),
        materials=tuple(materials),
        members=members,
        mirror=np.concatenate(mirror).astype(np.int32),
        lip_split=np.concatenate([_split(skin), np.zeros(extra)]),
        anchor=np.concatenate([skin.anchor, np.arange(len(skin.vertices), count)]).astype(np.int32),
        follow=np.concatenate([skin_follow, np.ones(extra)]),
        row=np.concatenate([skin.row, nowhere]),
        angle=np.concatenate([skin.angle, nowhere]),
        corner=corner,
    )


def _own_mirror(vertices: np.ndarray) -> np.ndarray:
    """int [V]: for a part that crosses the middle, the vertex nearest each vertex's mirror image."""
    gaps = np.linalg.norm(vertices[:, None] * [-1.0, 1.0, 1.0] - vertices[None], axis=2)
    result: np.ndarray = np.argmin(gaps, axis=1)
    return result
