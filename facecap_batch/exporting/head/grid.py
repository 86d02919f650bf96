"""The skin's topology: a grid of columns (around the head) and rows (down it), cut at eyes and mouth.

Every skin vertex is a pair (column angle, row coordinate) from which a ray meets the head's surface; a lid or
lip that slides over the face is therefore a change of its row coordinate. The left half is made and mirrored,
so the mesh is symmetric to the last bit. In: nothing. Out: `Skin`.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from facecap_batch.exporting.head.surface import EYE_CENTRE, EYE_RADIUS, meet, relaxed

# Columns of the left half, degrees around the head from the middle of the face to the middle of the nape.
COLUMNS = np.array(
    [
        0, 2, 4, 6.1, 8.2, 10.3, 12.3, 14.3, 16.3, 18.3, 20.5, 22.8, 25.1, 27.4, 29.6, 31.7, 34, 37, 41, 46,
        52, 59, 67, 76, 86, 97, 110, 125, 142, 161, 180,
    ]
)  # fmt: skip
EYE_COLUMNS = (6, 15)  # inner and outer corner of the left eye
MOUTH_COLUMN = 8  # left corner of the mouth
LAST = len(COLUMNS) - 1
EYE_ROW = 0.0
MOUTH_ROW = 6.45
# Row coordinates from the crown down; on the face about centimetres below the eyes.
ROWS = np.array(
    [
        -11, -10, -9, -8, -7, -6, -5.1, -4.3, -3.6, -3.0, -2.5, -2.05, -1.65, -1.3, -1.0, -0.7, -0.45, -0.24,
        -0.07, EYE_ROW, 0.22, 0.45, 0.7, 1.0, 1.35, 1.75, 2.2, 2.6, 3.0, 3.35, 3.7, 4.0, 4.3, 4.55, 4.8, 5.05,
        5.35, 5.65, 5.9, 6.18, MOUTH_ROW, 6.72, 7.0, 7.3, 7.6, 7.95, 8.35, 8.75, 9.2, 9.65, 10.05, 10.4,
        10.75, 11.15, 11.6, 12.1, 12.7, 13.3, 14.1, 15.1, 16.4,
    ]
)  # fmt: skip
EYE_INDEX = int(np.flatnonzero(ROWS == EYE_ROW)[0])
MOUTH_INDEX = int(np.flatnonzero(ROWS == MOUTH_ROW)[0])
LIP_ROWS = 3  # rows of red on either side of the mouth's line

# Row coordinate: front y z, back y z, ray origin y z. Rays leave the origin toward the front and the back
# point.
_PROFILE = np.array(
    [
        [-11.0, 11.5, -6.3, 11.5, -9.0, 3.0, -7.4],
        [-10.0, 11.1, -4.5, 11.1, -10.9, 3.0, -7.4],
        [-8.0, 9.6, -1.3, 9.8, -14.0, 3.0, -7.4],
        [-6.0, 7.4, 0.9, 7.6, -15.8, 3.0, -7.4],
        [-4.0, 4.6, 1.9, 5.0, -16.8, 2.8, -7.4],
        [-2.0, 2.1, 2.0, 2.6, -17.0, 1.6, -7.3],
        [0.0, 0.0, 2.0, 0.4, -16.8, 0.0, -7.2],
        [4.0, -4.0, 3.0, -3.0, -15.0, -3.8, -7.0],
        [6.5, -6.5, 2.5, -5.5, -13.6, -6.1, -6.8],
        [9.0, -9.0, 2.2, -8.0, -13.5, -7.0, -6.5],
        [10.5, -10.6, 1.2, -9.5, -13.6, -7.2, -6.3],
        [11.5, -10.9, -0.6, -10.4, -13.7, -7.5, -6.5],
        [12.5, -11.0, -2.3, -11.2, -13.8, -8.0, -7.0],
        [13.5, -11.8, -4.0, -12.0, -14.0, -9.5, -8.0],
        [15.0, -13.3, -4.3, -13.5, -14.3, -12.5, -9.0],
        [18.0, -17.0, -4.6, -17.5, -15.0, -17.0, -9.8],
    ]
)
CROWN_MARK = -99.0  # row coordinate of the one vertex whose position is given, not computed
_CROWN = np.array([0.0, 11.6, -7.6])
# The inside of the mouth behind each lip: backward and upward (lower lip: downward) from the lip's edge, cm,
# and how much the arch narrows.
_INSIDE = ((-0.4, 0.06, 1.0), (-0.7, 0.95, 1.0), (-2.4, 1.25, 0.95))
_THROAT = (-5.0, 0.0, 0.6)
# The lips' edges lie a little behind the red and a little apart, cm: lips are round where they meet.
_LIP_RECESS, _LIP_GAP = 0.12, 0.04
_NOSE_SIDE, _NOSE_REACH = np.array([1.4, -2.9, 2.3]), 1.25  # where columns graze the nose's side, cm


@dataclasses.dataclass(frozen=True)
class LidOpening:
    """How far the left eye's lids stand from the line between its corners, cm at the middle of the lid."""

    upper: float = 0.50
    lower: float = 0.43
    meet: float = 0.0  # 1: the lower lid's edge takes the shape of the upper one's, so that closed lids touch


@dataclasses.dataclass(frozen=True, eq=False)
class Skin:
    """The skin of the whole head at rest. Vertex `i` of the left half is mirrored at `mirror[i]`."""

    vertices: np.ndarray  # float64 [V, 3]
    faces: np.ndarray  # int32 [F, 4], triangles hold -1 last
    face_rows: np.ndarray  # int32 [F], index of the row above; rims and the mouth's inside are negative
    face_columns: np.ndarray  # int32 [F], index of the column at the side of the middle
    mirror: np.ndarray  # int32 [V]
    angle: np.ndarray  # float64 [V], degrees, positive on the left
    row: np.ndarray  # float64 [V], row coordinate at rest
    lower: np.ndarray  # bool [V], on the lower jaw's side of the mouth's cut
    inside: np.ndarray  # int32 [V], 0 skin, 1..4 depth inside the mouth, -1, -2 rims of the lids
    left: np.ndarray  # int32 [H], the vertices of the left half in the order of `half_*`
    half_angle: np.ndarray  # float64 [H]
    half_row: np.ndarray  # float64 [H], before the openings are cut
    half_lid: np.ndarray  # int8 [H], 1 upper lid's side, -1 lower lid's side
    # int32 [V], the edge vertex that a vertex inside the mouth or on a lid's rim hangs on; else itself
    anchor: np.ndarray

    def left_half(self, opening: LidOpening) -> np.ndarray:
        """float64 [H, 3]: the left half with the eye opened by `opening`, all else at rest."""
        points = self.vertices[self.left].copy()
        rows = warped_rows(self.half_angle, self.half_row, self.half_lid, opening)
        before = warped_rows(self.half_angle, self.half_row, self.half_lid, LidOpening())
        slid = (self.inside[: len(self.left)] == 0) & (np.abs(rows - before) > 1e-4)
        points[slid] = locate(self.half_angle[slid], rows[slid])
        return _hang_rims(points, self.anchor[: len(points)], self.inside[: len(points)])


def locate(angle: np.ndarray, row: np.ndarray) -> np.ndarray:
    """float64 [N, 3]: the surface at column angles (degrees) and row coordinates."""
    values = [np.interp(row, _PROFILE[:, 0], _PROFILE[:, k]) for k in range(1, 7)]
    front_y, front_z, back_y, back_z, origin_y, origin_z = values
    front = np.arctan2(front_y - origin_y, np.abs(front_z - origin_z))
    back = np.arctan2(back_y - origin_y, np.abs(back_z - origin_z))
    radians = np.radians(angle)
    rise = front + (back - front) * (1.0 - np.cos(radians)) / 2.0
    direction = np.stack(
        [np.sin(radians) * np.cos(rise), np.sin(rise), np.cos(radians) * np.cos(rise)], axis=1
    )
    origin = np.stack([np.zeros_like(origin_y), origin_y, origin_z], axis=1)
    points = meet(origin, direction)
    points[np.isin(angle, (0.0, 180.0)), 0] = 0.0
    return points


def _lid_profile(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights of the upper and lower lid's edge (peak 1) and the tilt of the eye's line, by column."""
    first, last = COLUMNS[EYE_COLUMNS[0]], COLUMNS[EYE_COLUMNS[1]]
    t = np.clip((angle - first) / (last - first), 0.0, 1.0)
    upper = np.sin(np.pi * t**0.9) ** 0.72
    lower = np.sin(np.pi * t**1.12) ** 0.85
    inside = (angle > first - 6.0) & (angle < last + 8.0)
    tilt = np.where(inside, -0.16 * (t - 0.5), 0.0)
    return upper, lower, tilt


def warped_rows(angle: np.ndarray, row: np.ndarray, lid: np.ndarray, opening: LidOpening) -> np.ndarray:
    """Row coordinates after the eye is opened by `opening`: rows near its line give way, far ones stay."""
    upper, lower, tilt = _lid_profile(angle)
    distance = np.abs(row - EYE_ROW)
    lower = lower + opening.meet * (upper - lower)
    give = np.exp(-((distance / 0.95) ** 1.3))
    shift = np.where(lid > 0, -upper * opening.upper, lower * opening.lower)
    result: np.ndarray = row + (shift + tilt) * give
    return result


def _lip_rows(column: int, index: int) -> float:
    """Row coordinate of grid row `index` in `column`, with the red of the lips drawn as lips."""
    row = float(ROWS[index])
    offset = index - MOUTH_INDEX
    if offset == 0 or abs(offset) > LIP_ROWS + 2:
        return row
    t = min(column / MOUTH_COLUMN, 1.0)
    if offset < 0:
        thickness = 0.66 * (1.0 - t**2.0) + 0.13 - 0.10 * np.exp(-((t / 0.16) ** 2))
    else:
        thickness = 0.82 * (1.0 - t**2.3) + 0.15
    drawn = MOUTH_ROW + np.sign(offset) * thickness * min(abs(offset) / LIP_ROWS, 1.0)
    beyond = abs(offset) - LIP_ROWS
    if beyond > 0:  # rows just outside the lips follow their border
        border = MOUTH_ROW + np.sign(offset) * thickness
        plain = float(ROWS[MOUTH_INDEX + int(np.sign(offset)) * LIP_ROWS])
        drawn = row + (border - plain) * (0.6 if beyond == 1 else 0.25)
    fade = np.clip((column - MOUTH_COLUMN) / 5.0, 0.0, 1.0)
    return float(drawn + (row - drawn) * fade)


class _Half:
    """Collects the left half's vertices and quads while the grid is laid out."""

    def __init__(self) -> None:
        self.angle: list[float] = []
        self.row: list[float] = []
        self.lid: list[int] = []
        self.lower: list[bool] = []
        self.inside: list[int] = []
        self.middle: list[bool] = []
        self.base: list[int] = []  # for vertices off the surface: the edge vertex they hang on
        self.faces: list[tuple[int, int, int, int]] = []
        self.face_rows: list[int] = []
        self.face_columns: list[int] = []

    def vertex(
        self,
        angle: float,
        row: float,
        lid: int,
        lower: bool,
        inside: int = 0,
        middle: bool = False,
        base: int = -1,
    ) -> int:
        self.angle.append(angle)
        self.row.append(row)
        self.lid.append(lid)
        self.lower.append(lower)
        self.inside.append(inside)
        self.middle.append(middle)
        self.base.append(base)
        return len(self.angle) - 1

    def quad(self, corners: tuple[int, int, int, int], row: int, column: int) -> None:
        self.faces.append(corners)
        self.face_rows.append(row)
        self.face_columns.append(column)


def _lay_out() -> _Half:
    half = _Half()
    above: dict[tuple[int, int], int] = {}  # vertex that a face below grid row i uses at column j ...
    below: dict[tuple[int, int], int] = {}  # ... and one above it; they differ where the grid is cut
    for i in range(len(ROWS)):
        for j, angle in enumerate(COLUMNS):
            lid = 1 if i <= EYE_INDEX else -1
            corner = i == EYE_INDEX and j in EYE_COLUMNS
            vertex = half.vertex(float(angle), _lip_rows(j, i), lid, i > MOUTH_INDEX, middle=j in (0, LAST))
            above[i, j] = below[i, j] = vertex
            cut_eye = i == EYE_INDEX and EYE_COLUMNS[0] < j < EYE_COLUMNS[1]
            cut_mouth = i == MOUTH_INDEX and j < MOUTH_COLUMN
            if (cut_eye or cut_mouth) and not corner:
                below[i, j] = half.vertex(float(angle), _lip_rows(j, i), -1, cut_mouth, middle=j == 0)
    # `above` ends the faces over the row, `below` begins the faces under it.
    for i in range(len(ROWS) - 1):
        for j in range(LAST):
            half.quad((below[i, j], above[i + 1, j], above[i + 1, j + 1], below[i, j + 1]), i, j)
    _lay_out_lid_rims(half, above, below)
    _lay_out_mouth(half, above, below)
    crown = half.vertex(0.0, ROWS[0], 1, False, middle=True)
    for j in range(LAST):
        half.quad((crown, above[0, j], above[0, j + 1], -1), 0, j)
    half.row[crown] = CROWN_MARK
    return half


def _lay_out_lid_rims(
    half: _Half, above: dict[tuple[int, int], int], below: dict[tuple[int, int], int]
) -> None:
    first, last = EYE_COLUMNS
    for edge, upper in ((above, True), (below, False)):
        rows = [[edge[EYE_INDEX, j] for j in range(first, last + 1)]]
        for depth in (-1, -2):
            rows.append(
                [
                    half.vertex(half.angle[v], half.row[v], 1 if upper else -1, False, depth, base=v)
                    for v in rows[0]
                ]
            )
        for outer, inner in itertools.pairwise(rows):
            for k in range(last - first):
                quad = (outer[k], inner[k], inner[k + 1], outer[k + 1])
                half.quad(quad if upper else quad[::-1], -1 if upper else -2, first + k)


def _lay_out_mouth(half: _Half, above: dict[tuple[int, int], int], below: dict[tuple[int, int], int]) -> None:
    columns = range(MOUTH_COLUMN + 1)
    corner_rows: list[int] = []
    throat: list[int] = []
    for edge, is_upper in ((above, True), (below, False)):
        rows = [[edge[MOUTH_INDEX, j] for j in columns]]
        for depth in range(1, len(_INSIDE) + 1):
            made = []
            for j, v in zip(columns, rows[0], strict=True):
                if j == MOUTH_COLUMN and not is_upper:
                    made.append(corner_rows[depth - 1])  # both lips' insides meet at the corner
                    continue
                made.append(
                    half.vertex(half.angle[v], half.row[v], -1, not is_upper, depth, middle=j == 0, base=v)
                )
            if is_upper:
                corner_rows.append(made[-1])
            rows.append(made)
        if is_upper:
            throat = [
                half.vertex(half.angle[v], half.row[v], -1, False, 4, middle=j == 0, base=v)
                for j, v in zip(columns, rows[0], strict=True)
            ]
        rows.append(throat)
        for outer, inner in itertools.pairwise(rows):
            for j in range(MOUTH_COLUMN):
                quad = (outer[j], inner[j], inner[j + 1], outer[j + 1])
                half.quad(quad if is_upper else quad[::-1], -3, j)


def _hang_rims(points: np.ndarray, base: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """`points` with the vertices of the lids' rims placed inward of the lid edge that each hangs on."""
    placed: np.ndarray = points.copy()
    for depth, radius in ((-1, EYE_RADIUS + 0.015), (-2, 0.72 * EYE_RADIUS)):
        chosen = np.flatnonzero(inside == depth)
        arm = points[base[chosen]] - EYE_CENTRE
        length = np.linalg.norm(arm, axis=1, keepdims=True)
        placed[chosen] = EYE_CENTRE + arm * (np.minimum(radius, length - 0.04) / length)
    return placed


def build_skin() -> Skin:
    """The skin at rest."""
    half = _lay_out()
    angle, row = np.array(half.angle), np.array(half.row)
    lid, inside, base = np.array(half.lid), np.array(half.inside), np.array(half.base)
    middle, lower = np.array(half.middle), np.array(half.lower)
    points = locate(angle, warped_rows(angle, np.clip(row, ROWS[0], None), lid, LidOpening()))
    points[row == CROWN_MARK] = _CROWN
    outer = (inside == 0) & ~middle
    near = outer * np.exp(-((np.linalg.norm(points - _NOSE_SIDE, axis=1) / _NOSE_REACH) ** 4))
    down = np.array(half.faces)[:, [0, 1]]
    points = relaxed(points, down[down.min(axis=1) >= 0], near, 12)
    edge = (inside == 0) & (row == MOUTH_ROW) & (angle < COLUMNS[MOUTH_COLUMN])
    toward = angle[edge] / COLUMNS[MOUTH_COLUMN]
    points[edge, 2] -= _LIP_RECESS * (1.0 - toward**4)
    points[edge, 1] += np.where(lower[edge], -0.5, 0.5) * _LIP_GAP * (1.0 - toward**4)
    points = _hang_rims(points, base, inside)
    for depth, (back, up, narrow) in enumerate((*_INSIDE, _THROAT), start=1):
        chosen = np.flatnonzero(inside == depth)
        edge = points[base[chosen]]
        rise = up * (1.0 - (angle[chosen] / COLUMNS[MOUTH_COLUMN]) ** 2) * np.where(lower[chosen], -1.0, 1.0)
        deep = back * (1.0 - 0.35 * (angle[chosen] / COLUMNS[MOUTH_COLUMN]) ** 2)
        points[chosen] = edge * [narrow, 1.0, 1.0] + np.stack([0.0 * rise, rise, deep], axis=1)
    points[middle, 0] = 0.0
    base = np.where(base >= 0, base, np.arange(len(base)))

    count = len(points)
    mirrored = np.flatnonzero(~middle)
    twin = np.arange(count)
    twin[mirrored] = count + np.arange(len(mirrored))
    mirror = np.concatenate([twin, mirrored])
    both = np.concatenate([np.arange(count), mirrored])
    flip = np.array([-1.0, 1.0, 1.0])
    vertices = np.concatenate([points, points[mirrored] * flip])
    faces = np.array(half.faces, np.int32)
    other = np.where(faces >= 0, twin[faces], -1)
    triangle = other[:, 3] < 0
    flipped = other[:, ::-1].copy()
    flipped[triangle] = np.column_stack([other[triangle][:, [2, 1, 0]], other[triangle][:, 3]])
    sides = np.concatenate([angle, -angle[mirrored]])
    return Skin(
        vertices=vertices,
        faces=np.concatenate([faces, flipped]).astype(np.int32),
        face_rows=np.tile(np.array(half.face_rows, np.int32), 2),
        face_columns=np.tile(np.array(half.face_columns, np.int32), 2),
        mirror=mirror.astype(np.int32),
        angle=sides,
        row=np.where(row[both] == CROWN_MARK, ROWS[0], row[both]),
        lower=lower[both],
        inside=inside[both],
        left=np.arange(count, dtype=np.int32),
        half_angle=angle,
        half_row=row,
        half_lid=lid,
        anchor=np.concatenate([base, twin[base[mirrored]]]).astype(np.int32),
    )
