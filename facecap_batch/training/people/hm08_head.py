"""MakeHuman's head: the base mesh hm08 with its ARKit face units and its targets as identities.

In: a folder of MakeHuman's files and another family's head, beside which this one is put. Out: a `HeadModel`
in the same frame and of the same size, whose labels mean the same: landmarks are the same points of the face
(`registration`), the mean adult is fitted to the other head by these, and shapes are as strong as the other's
(`common_meaning`).

The folder holds ``base.obj`` (github.com/makehumancommunity/makehuman, makehuman/data/3dobjs),
``faceunits/*.target`` (makehumancommunity/extra-targets, assets/faceunits01/targets/faceunits) and
``targets/`` (makehumancommunity/mpfb2, src/mpfb/data/targets); all CC0.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.people import hm08_identities
from facecap_batch.training.people.common_meaning import MIRRORED, scaled_like
from facecap_batch.training.people.head_model import HeadModel, face_box, lids
from facecap_batch.training.people.hm08_targets import read_target
from facecap_batch.training.people.makehuman import DECIMETRE, Mesh, islands, read_mesh
from facecap_batch.training.people.registration import landmark_places
from facecap_batch.training.people.similarity import fit, steady_points
from facecap_batch.training.rendering.raster import (
    EYE_LEFT,
    EYE_RIGHT,
    FACE,
    GUMS,
    HEAD,
    LASH,
    MOUTH,
    TEETH,
)  # fmt: skip

HELPERS = {
    "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": GUMS,
    "helper-l-eyelashes-1": LASH, "helper-l-eyelashes-2": LASH,
    "helper-r-eyelashes-1": LASH, "helper-r-eyelashes-2": LASH,
}  # fmt: skip
EYES = {"helper-l-eye": EYE_LEFT, "helper-r-eye": EYE_RIGHT}
BALL = (20, 28)  # rows and columns of an eyeball; MakeHuman's own is too coarse to be round
NECK = (5.45, 0.95)  # decimetres: the body above this height, and this far to both sides, is kept
EYE_TEXELS = 88 / 255  # share of the texture's side between the eyes' outer corners, about as on ICT-FaceKit
BROW_TEXELS = 71 / 255  # and above the root of the nose
LASH_LENGTH = 0.45  # MakeHuman's are cards for a picture of lashes, whose ends are thin
HIDDEN = (0.008, 0.025)  # decimetres: so near beside it and so far before it something hides a point
BELOW_BROWS = 4.0  # centimetres; where there is no brow
SLIT = 0.08  # centimetres between the lips of the base mesh, through which teeth show
HEM, HEM_REACH = 1.2, 0.35  # decimetres: the cut edge hangs down so far, where it is so low; clothes hide it
# The face units of noseSneer wrinkle the root of the nose and hardly raise the nostril, which is what Apple's
# shape does; MakeHuman's own unit for that is added.
ADDED = {
    f"noseSneer{side}": (
        (f"targets/expression/units/caucasian/nose-{side.lower()}-elevation.target.gz", 1.6),
    )
    for side in ("Left", "Right")
}
FADE = 2.5  # centimetres over which the skin's colour goes over to the rest of the head's
LEAST_MOVE = 2e-4  # centimetres; less is no movement


def attach(mesh: Mesh, places: np.ndarray, steps: int = 41) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of `mesh` nearest to `places` [N, 3] as means of a quad's corners.

    Returns rows of mesh.quads, int [N], the corners' weights, float64 [N, 4], and the distances, float64 [N].
    """
    s, t = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, steps)] * 2, indexing="ij"))
    grid = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
    corners = mesh.vertices[mesh.quads]
    near = cKDTree(corners.mean(axis=1)).query(places, k=16)[1]
    quads, weights, distances = [], [], []
    for place, candidates in zip(places, near, strict=True):
        away = np.linalg.norm(np.einsum("gc,qcd->qgd", grid, corners[candidates]) - place, axis=2)
        best, cell = np.unravel_index(away.argmin(), away.shape)
        quads.append(candidates[best])
        weights.append(grid[cell])
        distances.append(away[best, cell])
    return np.array(quads), np.array(weights), np.array(distances)


def _ball() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float64 [V, 3] and triangles int [T, 3] of a ball whose poles are ahead and behind."""
    rows, columns = BALL
    polar, turn = np.meshgrid(
        np.linspace(0.01, np.pi - 0.01, rows), np.linspace(0, 2 * np.pi, columns, False), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    row, column = np.divmod(np.arange((rows - 1) * columns), columns)
    a, b = row * columns + column, row * columns + (column + 1) % columns
    return unit.reshape(-1, 3), np.concatenate(
        [np.stack([a, a + columns, b], 1), np.stack([b, a + columns, b + columns], 1)]
    )


@dataclasses.dataclass(frozen=True)
class _Eye:
    """An eyeball: a ball that follows what moves MakeHuman's."""

    vertex: np.ndarray  # int [N], of the base mesh
    unit: np.ndarray  # float64 [N, 3], from its centre to them
    centre: np.ndarray  # float64 [3], decimetres
    radius: float  # decimetres

    @classmethod
    def of(cls, mesh: Mesh) -> _Eye:
        vertex = np.unique(mesh.quads)
        points = mesh.vertices[vertex]
        solved = np.linalg.lstsq(
            np.column_stack([2 * points, np.ones(len(points))]), (points**2).sum(axis=1), rcond=None
        )[0]
        unit = points - solved[:3]
        return cls(
            vertex,
            unit / np.linalg.norm(unit, axis=1, keepdims=True),
            solved[:3],
            float(np.sqrt(solved[3] + (solved[:3] ** 2).sum())),
        )

    def field(self, deltas: np.ndarray, ball: np.ndarray) -> np.ndarray:
        """`deltas` [base, 3] as the shift and growth of the ball nearest to them, at its units `ball` [V,
        3]."""
        moved = deltas[self.vertex]
        if not moved.any():
            return np.zeros_like(ball)
        system = np.concatenate([np.tile(np.eye(3), (len(moved), 1)), self.unit.reshape(-1, 1)], axis=1)
        solved = np.linalg.lstsq(system, moved.ravel(), rcond=None)[0]
        return solved[:3] + solved[3] * ball


@dataclasses.dataclass(frozen=True)
class _Assembly:
    """The head's vertices as functions of the base mesh's: kept ones, landmarks, eyeballs, in this order."""

    kept: np.ndarray  # int [K], of the base mesh
    root: np.ndarray  # int [K], of the base mesh: where a lash grows, elsewhere the vertex itself
    corners: np.ndarray  # int [68, 4], of the base mesh
    weights: np.ndarray  # float64 [68, 4]
    eyes: tuple[_Eye, _Eye]  # left, right
    ball: np.ndarray  # float64 [B, 3]
    lowered: np.ndarray  # float64 [K], decimetres by which a vertex is below the base mesh's

    def places(self, vertices: np.ndarray) -> np.ndarray:
        """float64 [V, 3] of the base mesh at rest."""
        balls = [eye.centre + eye.radius * self.ball for eye in self.eyes]
        own = self._own(vertices)
        own[:, 1] -= self.lowered
        return np.concatenate([own, self._marks(vertices), *balls])

    def ways(self, deltas: np.ndarray) -> np.ndarray:
        """float64 [V, 3] of a displacement of the base mesh [base, 3]."""
        balls = [eye.field(deltas, self.ball) for eye in self.eyes]
        return np.concatenate([self._own(deltas), self._marks(deltas), *balls])

    def _own(self, values: np.ndarray) -> np.ndarray:
        return LASH_LENGTH * values[self.kept] + (1 - LASH_LENGTH) * values[self.root]

    def _marks(self, values: np.ndarray) -> np.ndarray:
        return np.einsum("kc,kcd->kd", self.weights, values[self.corners])

    @property
    def marks(self) -> np.ndarray:
        """int [68], rows of the landmarks."""
        return len(self.kept) + np.arange(68)


def _texture_window(marks: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """MakeHuman's `uv` [N, 2] in the face's own texture, upright: float64 [N, 2].

    marks: float64 [68, 2], the landmarks' uv. On MakeHuman's texture the face lies on its side.
    """
    across = marks[45] - marks[36]  # toward the subject's left
    side = np.linalg.norm(across) / EYE_TEXELS
    across = np.round(across / np.linalg.norm(across))
    up = np.array([-across[1], across[0]])
    if up @ (marks[27] - marks[8]) < 0:
        up = -up
    away = (uv - marks[27]) / side
    return np.stack([0.5 + away @ across, 1 - BROW_TEXELS + away @ up], axis=1)


@dataclasses.dataclass(frozen=True)
class _Skin:
    """The body's part of the head."""

    quads: np.ndarray  # int [Q, 4], of the base mesh
    material: np.ndarray  # int8 [Q]
    uv: np.ndarray  # float64 [base, 2], MakeHuman's; nan where no texture is used
    margin: np.ndarray  # int, of the base mesh: the lids' margins


def _skin(body: Mesh) -> _Skin:
    label = islands(body)
    middle = body.vertices[body.quads].mean(axis=1)
    face = label == label[np.argmax(middle[:, 2] * (middle[:, 1] > NECK[0] + 1))]
    kept = [body.quads[face]]
    material = [np.full(int(face.sum()), FACE, np.int8)]
    uv = np.full((len(body.vertices), 2), np.nan)
    uv[body.quads[face].ravel()[::-1]] = body.uv[body.quad_uvs[face].ravel()[::-1]]
    rim = np.unique(body.quads[face])
    tree = cKDTree(body.vertices[rim])
    margins = []
    for piece in np.unique(label[~face]):
        members = label == piece
        low, high = (
            body.vertices[body.quads[members]].min((0, 1)),
            body.vertices[body.quads[members]].max((0, 1)),
        )
        if low[1] < NECK[0] and high[1] > NECK[0] and low[0] < 0 < high[0]:  # the body
            members &= (middle[:, 1] > NECK[0]) & (np.abs(middle[:, 0]) < NECK[1])
            kind = HEAD
        elif low[1] > NECK[0] and low[0] < 0 < high[0]:
            kind = MOUTH
        elif low[1] > NECK[0]:  # the inside of the lids
            kind = FACE
            inner = np.unique(body.quads[members])
            margins.append(np.intersect1d(inner, rim))
            bare = inner[np.isnan(uv[inner, 0])]
            uv[bare] = uv[rim[tree.query(body.vertices[bare])[1]]]
        else:
            continue
        kept.append(body.quads[members])
        material.append(np.full(int(members.sum()), kind, np.int8))
    return _Skin(np.concatenate(kept), np.concatenate(material), uv, np.concatenate(margins))


def _hem(quads: np.ndarray) -> np.ndarray:
    """The edges of one quad only: int [E, 2], in the quads' own turn."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2)
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def _landmarks(reference: HeadModel, body: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners int [68, 4], weights float64 [68, 4] and uv float64 [68, 2] of the landmarks on `body`."""
    textured = reference.triangles[
        (reference.material == FACE) & (reference.uv[reference.triangles] <= 1).all(axis=(1, 2))
    ]
    label = islands(body)
    places = landmark_places(reference, textured, body) / DECIMETRE
    mirrored = places[MIRRORED] * [-1, 1, 1]
    middle = body.vertices[body.quads].mean(axis=1)
    face = label == label[np.argmax(middle[:, 2] * (middle[:, 1] > NECK[0] + 1))]
    mesh = dataclasses.replace(body, quads=body.quads[face], quad_uvs=body.quad_uvs[face])
    quad, weights, _ = attach(mesh, (places + mirrored) / 2)
    uv = np.einsum("kc,kcd->kd", weights, mesh.uv[mesh.quad_uvs[quad]])
    return mesh.quads[quad], weights, uv


def build(makehuman: Path, reference: HeadModel) -> HeadModel:
    """hm08 in the folder `makehuman` beside `reference`, its shapes as strong as the reference's.

    Raises as `build_raw`.
    """
    return scaled_like(build_raw(makehuman, reference), reference)


def build_raw(makehuman: Path, reference: HeadModel) -> HeadModel:
    """hm08 in the folder `makehuman`, put where `reference` is, its shapes as they were made.

    Raises FileNotFoundError naming what is missing and ValueError naming file and line of a bad target.
    """
    base = makehuman / "base.obj"
    body = read_mesh(base, "body")
    helpers = {group: read_mesh(base, group) for group in (*HELPERS, *EYES)}
    skin = _skin(body)
    corners, weights, mark_uv = _landmarks(reference, body)
    ball, ball_triangles = _ball()
    quads = np.concatenate([skin.quads, *(helpers[group].quads for group in HELPERS)])
    helper_kinds = (np.full(len(helpers[group].quads), kind, np.int8) for group, kind in HELPERS.items())
    kinds = np.concatenate([skin.material, *helper_kinds])
    hem = _hem(skin.quads[skin.material == HEAD])
    hem = hem[(body.vertices[hem, 1] < NECK[0] + HEM_REACH).all(axis=1)]
    below, hung = np.unique(hem, return_inverse=True)
    hung = hung.reshape(-1, 2) + np.unique(quads).size
    kept = np.concatenate([np.unique(quads), below])
    lowered = np.zeros(len(kept))
    lowered[len(kept) - len(below) :] = HEM
    left, right = (_Eye.of(helpers[group]) for group in EYES)
    lashes = np.unique(np.concatenate([helpers[group].quads for group in HELPERS if "lash" in group]))
    root = np.arange(len(body.vertices))
    root[lashes] = skin.margin[cKDTree(body.vertices[skin.margin]).query(body.vertices[lashes])[1]]
    assembly = _Assembly(kept, root[kept], corners, weights, (left, right), ball, lowered)
    row = np.full(len(body.vertices), -1)
    row[kept[: len(kept) - len(below)]] = np.arange(len(kept) - len(below))

    uv = _texture_window(
        mark_uv, np.concatenate([skin.uv[kept], mark_uv, np.full((2 * len(ball), 2), np.nan)])
    )
    quads = row[quads]
    outside = ~((uv[quads] > 0.004) & (uv[quads] < 0.996)).all(axis=(1, 2))
    kinds[(kinds == FACE) & outside] = HEAD
    quads = np.concatenate([quads, np.concatenate([row[hem[:, ::-1]], hung], axis=1)])
    kinds = np.concatenate([kinds, np.full(len(hem), HEAD, np.int8)])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    material = np.concatenate([kinds, kinds])
    count = len(kept) + 68 + 2 * len(ball)
    vertex_material = np.full(count, FACE, np.int8)
    for kind in (GUMS, MOUTH, HEAD, FACE, TEETH, LASH):  # a vertex of two materials is of the later one
        vertex_material[triangles[material == kind]] = kind
    eyes_from = len(kept) + 68
    for number, kind in enumerate(EYES.values()):
        first = eyes_from + number * len(ball)
        vertex_material[first : first + len(ball)] = kind
        triangles = np.concatenate([triangles, ball_triangles + first])
        material = np.concatenate([material, np.full(len(ball_triangles), kind, np.int8)])

    names, targets = hm08_identities.read(makehuman / "targets", len(body.vertices))
    ways = {}
    for name, target in zip(names, targets, strict=True):
        full = np.zeros((len(body.vertices), 3))
        full[target.vertex] = target.delta
        ways[name] = DECIMETRE * assembly.ways(full)
    neutral = DECIMETRE * assembly.places(body.vertices)
    for name, weight in hm08_identities.AVERAGE.items():
        neutral = neutral + weight * ways[name]
    put = fit(
        steady_points(neutral, assembly.marks, vertex_material),
        steady_points(reference.neutral, reference.landmarks, reference.vertex_material),
    )
    neutral = put.points(neutral).astype(np.float32)

    starts, shape_vertex, shape_delta = [0], [], []
    for name in ARKIT_NAMES:
        full = np.zeros((len(body.vertices), 3))
        for path, share in ((f"faceunits/{name}.target", 1.0), *ADDED.get(name, ())):
            target = read_target(makehuman / path, len(body.vertices))
            full[target.vertex] += share * target.delta
        for eye in assembly.eyes:  # they are turned by the renderer
            full[eye.vertex] = 0
        delta = put.ways(DECIMETRE * assembly.ways(full))
        moved = np.flatnonzero(np.abs(delta).max(axis=1) > LEAST_MOVE)
        shape_vertex.append(moved)
        shape_delta.append(delta[moved])
        starts.append(starts[-1] + len(moved))
        if name == "jawOpen":
            upper, lower = assembly.marks[62], assembly.marks[66]
            neutral -= (SLIT / (delta[upper, 1] - delta[lower, 1]) * delta).astype(np.float32)
    lid_left, lid_right = lids(neutral, vertex_material)
    return HeadModel(
        neutral=neutral,
        uv=np.nan_to_num(uv).astype(np.float32),
        triangles=triangles.astype(np.int32),
        material=material,
        vertex_material=vertex_material,
        identity=np.stack([put.ways(ways[name]) for name in names]).astype(np.float32),
        identity_names=tuple(names),
        shape_start=np.array(starts, np.int32),
        shape_vertex=np.concatenate(shape_vertex).astype(np.int32),
        shape_delta=np.concatenate(shape_delta).astype(np.float32),
        landmarks=assembly.marks.astype(np.int32),
        lid_left=lid_left,
        lid_right=lid_right,
        face_box=face_box(neutral, vertex_material),
    )


def _hidden(body: Mesh, skin: _Skin, kept: np.ndarray) -> np.ndarray:
    """bool [K], which of the vertices `kept` something of the face hides from the front: lids under the
    brow's ridge, on which a brow seen from the front is not to be painted."""
    quads = skin.quads[skin.material == FACE]
    s, t = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, 9)] * 2))
    grid = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
    points = np.einsum("gc,qcd->qgd", grid, body.vertices[quads]).reshape(-1, 3)
    places = body.vertices[kept]
    near = cKDTree(points[:, :2]).query_ball_point(places[:, :2], HIDDEN[0])
    front = np.array([points[rows, 2].max() if rows else -np.inf for rows in near])
    return places[:, 2] < front - HIDDEN[1]


def lay(model: HeadModel, triangles: np.ndarray, body: Mesh) -> np.ndarray:
    """`registration.register` for this head, which lies on MakeHuman's texture by itself: float64 [V, 6]."""
    skin = _skin(body)
    kept = np.unique(skin.quads)  # the model's first vertices: helpers come after the body
    found = np.zeros((len(model.neutral), 6))
    found[: len(kept), :2] = np.nan_to_num(skin.uv[kept])
    found[: len(kept), 2:4] = body.vertices[kept, :2] * DECIMETRE
    found[: len(kept)][_hidden(body, skin, kept), 3] -= BELOW_BROWS
    border = np.intersect1d(triangles, model.triangles[model.material == HEAD])
    away = cKDTree(model.neutral[border]).query(model.neutral)[0]
    found[:, 4] = np.clip(away / FADE - 0.2, 0, 1)
    found[:, 5] = 1.0
    return found
