"""The base mesh hm08: which of its quads are a head's skin, and what its helper groups are.

In: the mesh of ``base.obj``. Out: `Skin`, the body's quads from the neck up with materials and texture
coordinates. Parts are told apart by MakeHuman's own texture: the face, the rest of the body, the inside of
the mouth and the insides of the lids are pieces of it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from facecap_batch.training.heads.makehuman import Mesh, islands, read_mesh
from facecap_batch.training.heads.mesh import EYE_LEFT, EYE_RIGHT, FACE, GUMS, HEAD, LASH, MOUTH, TEETH

# Helper groups of base.obj that are drawn, and their materials.
HELPERS = {
    "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": GUMS,
    "helper-l-eyelashes-1": LASH, "helper-l-eyelashes-2": LASH,
    "helper-r-eyelashes-1": LASH, "helper-r-eyelashes-2": LASH,
}  # fmt: skip
EYEBALLS = {"helper-l-eye": EYE_LEFT, "helper-r-eye": EYE_RIGHT}
NECK_HEIGHT = 5.45  # decimetres; the body above this height is kept ...
NECK_REACH = 0.95  # decimetres; ... and this far to both sides
FACE_HEIGHT = NECK_HEIGHT + 1  # decimetres; above it the foremost quad is the tip of the nose


@dataclasses.dataclass(frozen=True)
class BaseMesh:
    """``base.obj`` by its groups; all share the vertices."""

    body: Mesh
    helpers: dict[str, Mesh]  # by group, of HELPERS and EYEBALLS

    @property
    def lashes(self) -> np.ndarray:
        """Vertices of the eyelashes: int [N]."""
        return np.unique(np.concatenate([self.helpers[group].quads for group in HELPERS if "lash" in group]))


@dataclasses.dataclass(frozen=True)
class Skin:
    """The body's part of the head."""

    quads: np.ndarray  # int [Q, 4], vertices of the base mesh
    material: np.ndarray  # int8 [Q]
    uv: np.ndarray  # float64 [base, 2], MakeHuman's; nan where no texture is used
    margin: np.ndarray  # int [N], vertices of the base mesh: the lids' margins


def read_base(path: Path) -> BaseMesh:
    """The base mesh in the file `path`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return BaseMesh(
        read_mesh(path, "body"), {group: read_mesh(path, group) for group in (*HELPERS, *EYEBALLS)}
    )


def face_quads(body: Mesh) -> np.ndarray:
    """Quads on the piece of texture that holds the nose: bool [Q]."""
    label = islands(body)
    middle = body.vertices[body.quads].mean(axis=1)
    found: np.ndarray = label == label[np.argmax(middle[:, 2] * (middle[:, 1] > FACE_HEIGHT))]
    return found


def skin(body: Mesh) -> Skin:
    """The skin of the head: the face, the body above the neck, the mouth's and the lids' insides."""
    label = islands(body)
    middle = body.vertices[body.quads].mean(axis=1)
    face = face_quads(body)
    kept = [body.quads[face]]
    material = [np.full(int(face.sum()), FACE, np.int8)]
    uv = np.full((len(body.vertices), 2), np.nan)
    uv[body.quads[face].ravel()[::-1]] = body.uv[body.quad_uvs[face].ravel()[::-1]]
    rim = np.unique(body.quads[face])
    tree = cKDTree(body.vertices[rim])
    margins = []
    for piece in np.unique(label[~face]):
        members = label == piece
        corners = body.vertices[body.quads[members]]
        low, high = corners.min((0, 1)), corners.max((0, 1))
        across = low[0] < 0 < high[0]
        if low[1] < NECK_HEIGHT < high[1] and across:  # the body
            members &= (middle[:, 1] > NECK_HEIGHT) & (np.abs(middle[:, 0]) < NECK_REACH)
            kind = HEAD
        elif low[1] > NECK_HEIGHT and across:
            kind = MOUTH
        elif low[1] > NECK_HEIGHT:  # the inside of the lids
            kind = FACE
            inner = np.unique(body.quads[members])
            margins.append(np.intersect1d(inner, rim))
            bare = inner[np.isnan(uv[inner, 0])]
            uv[bare] = uv[rim[tree.query(body.vertices[bare])[1]]]
        else:
            continue
        kept.append(body.quads[members])
        material.append(np.full(int(members.sum()), kind, np.int8))
    return Skin(np.concatenate(kept), np.concatenate(material), uv, np.concatenate(margins))
