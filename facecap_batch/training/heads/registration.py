"""MakeHuman's base head laid over the head model: which point of one is which point of the other.

In: the head model and MakeHuman's mesh. Out: for every vertex of the model its position on MakeHuman's head
and texture. A thin plate spline through the lid margins, the lips, the nose, the brows and the chin comes
first, closest points elsewhere, and the smoothest map that agrees with both last. Lid margins and the line
between the lips need no picking: they are where MakeHuman's texture leaves the face (holes of its uv island).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.makehuman import DECIMETRE, Mesh, face_island
from facecap_batch.training.heads.mesh import FACE, HEAD, vertex_normals
from facecap_batch.training.mirror import MIRRORED_LANDMARKS

# Points of MakeHuman's base head seen from the front (x subject's left, y up; decimetres) where each of the
# model's landmarks is. Read off orthographic images of the head with 18 skins, whose lips and nostrils
# coincide within 0.5 mm; the brow is the mean centre line of the 12 eyebrows by opacity. Left half only.
FRONT = {
    8: (0.0, 6.19), 22: (0.115, 7.374), 23: (0.23, 7.413), 24: (0.355, 7.431), 25: (0.465, 7.417),
    26: (0.545, 7.378), 33: (0.0, 6.808), 34: (0.06, 6.803), 35: (0.125, 6.806), 51: (0.0, 6.685),
    52: (0.064, 6.706), 53: (0.161, 6.674), 54: (0.262, 6.613), 55: (0.186, 6.541), 56: (0.105, 6.495),
    57: (0.0, 6.481), 42: (0.180, 7.265),
}  # fmt: skip
INNER_CORNER = 42  # landmark of the left eye; it ends the lid margins and is not matched by itself
PICKED = tuple(index for index in FRONT if index != INNER_CORNER)
# Landmarks along the lips and the left and right lid margin: upper and lower half from the subject's left.
CURVES = (
    ([64, 63, 62, 61, 60], [64, 65, 66, 67, 60]), ([45, 44, 43, 42], [45, 46, 47, 42]),
    ([39, 38, 37, 36], [39, 40, 41, 36]),
)  # fmt: skip
BROWS = range(17, 27)
UPPER_HALVES = (36, 37, 38, 39, 42, 43, 44, 45, 60, 61, 62, 63, 64)  # landmarks on upper lid margins and lip
LID = 0.35  # centimetres from the lid margin to where both heads are matched again
OFF_EYE = 0.05  # centimetres off MakeHuman's lid margin, where some skins show the white of the eye
BROW_DROP = 0.4  # centimetres; hair grows this much below the model's brow landmarks, on the ridge
BROW_HALF = 0.45  # centimetres; brows are as thick on both heads
LIP_REACH = (0.06, 0.4, 0.6)  # centimetres from a point of the line between the lips to their edge
LIP_CORNER = 0.238  # decimetres; MakeHuman's lips meet visibly up to here


def _samples(mesh: Mesh, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, unit normals and uv on a grid of steps x steps on each quad: float64 [N, 3], [N, 3], [N, 2]."""
    s, t = np.divmod(np.arange(steps**2), steps)
    s, t = (s + 0.5) / steps, (t + 0.5) / steps
    weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
    corners = mesh.vertices[mesh.quads]
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    points = np.einsum("kc,qcd->qkd", weights, corners).reshape(-1, 3)
    uv = np.einsum("kc,qcd->qkd", weights, mesh.uv[mesh.quad_uvs]).reshape(-1, 2)
    return points, np.repeat(normals, len(weights), axis=0), uv


def _halves(points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Order a ring seen from the front, points float64 [K, 3] in no order.

    Returns for its upper and then its lower half the rows from the left corner (largest x) to the right one.
    """
    left, right = points[:, 0].argmax(), points[:, 0].argmin()
    chord = np.interp(points[:, 0], points[[right, left], 0], points[[right, left], 1])
    order = np.argsort(-points[:, 0])
    order = order[(order != left) & (order != right)]
    above = points[order, 1] > chord[order]
    return tuple(np.concatenate([[left], order[side], [right]]) for side in (above, ~above))


def _along(line: np.ndarray) -> np.ndarray:
    """Share 0..1 of the length of the polyline `line` [K, 3] at each of its points."""
    length = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    share: np.ndarray = length / length[-1]
    return share


def _at(line: np.ndarray, where: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Points float64 [N, 3] of the polyline `line` where `known` (increasing, one per point) is `where`."""
    return np.stack([np.interp(where, known, line[:, k]) for k in range(3)], axis=1)


def _path(links: csr_matrix, marks: np.ndarray) -> np.ndarray:
    """Vertices along mesh edges from the first of the vertices `marks` through each to the last."""
    _, before = dijkstra(links, indices=marks[:-1], return_predecessors=True)
    path = [int(marks[0])]
    for row, mark in enumerate(marks[1:]):
        piece = [int(mark)]
        while before[row, piece[-1]] >= 0:
            piece.append(int(before[row, piece[-1]]))
        path += piece[-2::-1]
    return np.array(path)


def _pairs(
    model: HeadModel,
    curves: list[list[np.ndarray]],
    points: np.ndarray,
    normals: np.ndarray,
    rims: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the model, int [P], and the positions on MakeHuman's head they match, float64 [P, 3].

    curves: upper and lower half of the model's lips, left and right lid margin, each from the subject's left
    to the right; points, normals: float64 [N, 3], MakeHuman's head, centimetres; rims: of `face_island`.
    """
    rest = model.neutral.astype(np.float64)
    marks = rest[model.landmarks]
    mouth, *eyes = (rim * DECIMETRE for rim in rims)
    eyes.sort(key=lambda rim: float(-rim[:, 0].mean()))
    front = np.flatnonzero(normals[:, 2] > 0.1)
    tree = cKDTree(points[front, :2])

    def foremost(x: float, y: float) -> np.ndarray:
        near = front[tree.query([x, y], k=6)[1]]
        found: np.ndarray = points[near[points[near, 2].argmax()]]
        return found

    ours: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    face = np.flatnonzero((model.vertex_material == FACE) & (rest[:, 2] > 0))
    nearest = cKDTree(rest[face])
    for halves, rim, sign in zip(curves[1:], eyes, (1, -1), strict=True):
        corner_x, corner_y = FRONT[INNER_CORNER]
        rim = np.concatenate([rim, [foremost(sign * corner_x * DECIMETRE, corner_y * DECIMETRE)]])
        for half, other, step in zip(halves, _halves(rim), (LID, -LID), strict=True):
            along = _along(rest[half])
            there = _at(rim[other], along, _along(rim[other])) + np.array([0, np.sign(step) * OFF_EYE, 0])
            ours.append(half)
            theirs.append(there)
            for k in np.flatnonzero((along > 0.15) & (along < 0.85))[::2]:  # lids are as tall on both heads
                ours.append(face[[nearest.query(rest[half[k]] + [0, step, 0])[1]]])
                theirs.append(foremost(there[k, 0], there[k, 1] + step)[None])
    corner = np.abs(marks[[60, 64], 0]).mean()
    for half, other in zip(curves[0], _halves(mouth), strict=True):
        ours.append(half)
        x = rest[half, 0] / corner * LIP_CORNER * DECIMETRE
        theirs.append(_at(mouth[other], -x, -mouth[other][:, 0]))
    for left in PICKED:
        right = MIRRORED_LANDMARKS[left]
        for index, side in ((left, 1.0), (right, -1.0))[: 1 if left == right else 2]:
            x, y = (value * DECIMETRE for value in FRONT[left])
            brow = 17 <= index <= 26
            for shift in (-BROW_HALF, 0.0, BROW_HALF) if brow else (0.0,):
                position = marks[index] + [0.0, shift - (BROW_DROP if brow else 0.0), 0.0]
                ours.append(face[[nearest.query(position)[1]]])
                off = shift + float(rest[ours[-1][0], 1] - position[1])  # as far off as that vertex is
                theirs.append(foremost(side * x, y + off)[None])
    tip = points[np.argmax(points[:, 2] - 10 * np.abs(points[:, 0]))]
    root = np.concatenate(eyes)[:, 1].mean()
    share = (marks[27:31, 1] - marks[30, 1]) / (marks[27, 1] - marks[30, 1])
    for index in range(27, 31):  # the bridge of the nose, between the eyes to the tip
        ours.append(model.landmarks[[index]])
        theirs.append(foremost(0.0, tip[1] + share[index - 27] * (root - tip[1]))[None] * [0, 1, 1])
    vertices, first = np.unique(np.concatenate(ours), return_index=True)
    return vertices, np.concatenate(theirs)[first]


def _bending(rest: np.ndarray, triangles: np.ndarray) -> csr_matrix:
    """Squared Laplacian with cotangent weights, so that evenness does not depend on the mesh: [V, V]."""
    rows, columns, weights = [], [], []
    for k in range(3):
        top, a, b = (triangles[:, (k + step) % 3] for step in range(3))
        u, v = rest[a] - rest[top], rest[b] - rest[top]
        cotangent = (u * v).sum(axis=1) / (np.linalg.norm(np.cross(u, v), axis=1) + 1e-9)
        rows += [a, b]
        columns += [b, a]
        weights += [np.clip(cotangent, 0.02, 20)] * 2
    count = len(rest)
    links = csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    )
    total = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1e-9)
    bend = identity(count) - diags(1 / total) @ links
    return (bend.T @ bend).tocsr()


@dataclasses.dataclass(frozen=True)
class _Overlay:
    """Both heads with the map from one to the other; lengths are centimetres."""

    points: np.ndarray  # float64 [N, 3], of MakeHuman's head
    uv: np.ndarray  # float64 [N, 2], of those points
    tree: cKDTree  # of those points and their normals; a rotation by 60 degrees counts as 1 cm
    curves: list[list[np.ndarray]]  # see `_pairs`, vertices of the model
    fixed: np.ndarray  # int [P], vertices of the model whose positions are known
    theirs: np.ndarray  # float64 [P, 3], those positions
    warp: RBFInterpolator  # from the model's neutral head to MakeHuman's
    facing: np.ndarray  # float64 [V, 3], the model's normals
    used: np.ndarray  # int [U], vertices of the triangles that are laid over


def _overlay(model: HeadModel, triangles: np.ndarray, head: Mesh) -> _Overlay:
    island, rims = face_island(head)
    points, normals, uv = _samples(island, 12)
    points = points * DECIMETRE
    tree = cKDTree(np.concatenate([points, normals], axis=1))  # a rotation by 60 degrees counts as 1 cm
    rest = model.neutral.astype(np.float64)
    our_uv = np.nan_to_num(model.uv).astype(np.float64)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    sides = np.unique(np.sort(sides, axis=1), axis=0)
    row, column = np.concatenate([sides, sides[:, ::-1]]).T
    span = np.linalg.norm(our_uv[row] - our_uv[column], axis=1) + 1e-6
    links = csr_matrix((span, (row, column)), (len(rest), len(rest)))
    curves = [[_path(links, model.landmarks[chain]) for chain in halves] for halves in CURVES]
    fixed, theirs = _pairs(model, curves, points, normals, rims)
    facing = vertex_normals(model.neutral, triangles).astype(np.float64)
    used = np.unique(triangles)
    apart = used[cKDTree(rest[fixed]).query(rest[used])[0] > 1.8]
    anchors = apart[np.unique(np.floor(rest[apart] / 2.0), axis=0, return_index=True)[1]]
    warp = RBFInterpolator(rest[fixed], theirs, kernel="linear", degree=1)
    for _ in range(3):
        distance, index = tree.query(np.concatenate([warp(rest[anchors]), facing[anchors]], axis=1))
        good = distance < 2.0
        warp = RBFInterpolator(
            rest[np.concatenate([fixed, anchors[good]])],
            np.concatenate([theirs, points[index[good]]]),
            smoothing=np.concatenate([np.zeros(len(fixed)), np.full(int(good.sum()), 0.5)]),
            kernel="linear",
            degree=1,
        )
    return _Overlay(points, uv, tree, curves, fixed, theirs, warp, facing, used)


def register(model: HeadModel, triangles: np.ndarray, head: Mesh) -> np.ndarray:
    """Where the model's vertices are on MakeHuman's head.

    Args:
        model: the head.
        triangles: int [T, 3], the part of it that is laid over.
        head: MakeHuman's base mesh.

    Returns:
        float64 [V, 6]: MakeHuman's uv (2), the position seen from the front (x, y; centimetres), how much of
        the colour to keep (0..1) and how light it is there (0..1, dark in the nostrils).
    """
    over = _overlay(model, triangles, head)
    points, uv, tree, warp, facing = over.points, over.uv, over.tree, over.warp, over.facing
    curves, fixed, theirs, used = over.curves, over.fixed, over.theirs, over.used
    rest = model.neutral.astype(np.float64)
    our_uv = np.nan_to_num(model.uv).astype(np.float64)
    there = warp(rest[used])
    distance, index = tree.query(np.concatenate([there, facing[used]], axis=1))
    data = np.zeros((len(rest), 2))
    data[used] = uv[index]
    data[fixed] = uv[cKDTree(points).query(theirs)[1]]

    # Closest points jump in folds. Smooth them: least bending of the map, faithful where the match is good.
    trust = np.zeros(len(rest))
    trust[used] = 0.03 * np.exp(-((distance / 0.4) ** 2))
    lids = cKDTree(rest[np.concatenate([*curves[1], *curves[2]])]).query(rest)[0]
    nostrils = rest[model.landmarks[[31, 32, 34, 35]]].reshape(2, 2, 3).mean(axis=1) + np.array([0, 0.5, 0])
    trust *= np.clip((lids - 0.3) / 0.4, 0, 1) * (cKDTree(nostrils).query(rest)[0] > 0.6)
    trust[fixed] = 3.0
    for upper, lower in curves:  # what lies behind the lids and the lips takes their colour
        curve = np.concatenate([upper, lower[::-1]])
        polygon = our_uv[curve].astype(np.float32)
        inside = used[
            [cv2.pointPolygonTest(polygon, tuple(point), False) > 0 for point in our_uv[used].tolist()]
        ]
        data[inside] = data[curve[cKDTree(our_uv[curve]).query(our_uv[inside])[1]]]
        trust[inside] = 3.0
    system = (
        diags(trust[used]) + _bending(rest, triangles)[used][:, used] + 1e-9 * identity(len(used))
    ).tocsc()
    found = np.zeros((len(rest), 6))
    found[used, :2] = splu(system).solve(trust[used, None] * data[used])
    found[used, 2:4] = there[:, :2]
    found[used, 4] = np.clip(1.4 - np.linalg.norm(there - points[index], axis=1) / 1.4, 0, 1)
    found[used, 4] *= np.clip((rest[used, 1] - rest[model.landmarks[8], 1]) / 1.5 + 1.0, 0, 1)  # no neck
    border = np.intersect1d(triangles, model.triangles[model.material == HEAD])  # with the back of the head
    if len(border):
        found[used, 4] *= np.clip(cKDTree(rest[border]).query(rest[used])[0] / 2.5 - 0.2, 0, 1)
    depth = np.clip((nostrils[:, 2].mean() + 0.15 - rest[used, 2]) / 0.4, 0, 1)
    found[used, 5] = 1 - 0.85 * depth * (cKDTree(nostrils).query(rest[used])[0] < 0.5)
    return found


def landmark_positions(model: HeadModel, triangles: np.ndarray, head: Mesh) -> np.ndarray:
    """Where the model's 68 landmarks are on MakeHuman's head: float64 [68, 3], centimetres.

    Lid and lip landmarks lie on the margin itself, others near the surface. Arguments as for `register`.
    """
    over = _overlay(model, triangles, head)
    positions: np.ndarray = over.warp(model.neutral[model.landmarks].astype(np.float64))
    known = dict(zip(over.fixed.tolist(), over.theirs, strict=True))
    for index, vertex in enumerate(model.landmarks.tolist()):
        if vertex in known and index not in BROWS:
            positions[index] = known[vertex]
    mouth, *eyes = (rim * DECIMETRE for rim in face_island(head)[1])
    eyes.sort(key=lambda rim: float(-rim[:, 0].mean()))
    for marks, rim in ((range(60, 68), mouth), (range(42, 48), eyes[0]), (range(36, 42), eyes[1])):
        for index in marks:
            positions[index] = _on_margin(rim, positions[index], index in UPPER_HALVES)
    for index in (61, 62, 63, 65, 66, 67):  # the margin is behind where the lips meet, which is their edge
        below = index in UPPER_HALVES
        towards = over.tree.data[:, 4] * (-1 if below else 1) > 0.3  # the other lip, by their normals
        lip = over.points[(np.abs(over.points - positions[index]) < LIP_REACH).all(axis=1) & towards]
        positions[index] = lip[np.argmin(lip[:, 1]) if below else np.argmax(lip[:, 1])]
    return positions


def _on_margin(rim: np.ndarray, point: np.ndarray, above: bool) -> np.ndarray:
    """The position nearest to `point` on the upper or lower half of the ring `rim` [K, 3], float64 [3]."""
    half = rim[_halves(rim)[0 if above else 1]]
    steps = np.linspace(0, len(half) - 1, 40 * len(half))
    dense = _at(half, steps, np.arange(len(half)))
    nearest: np.ndarray = dense[np.linalg.norm(dense - point, axis=1).argmin()]
    return nearest
