"""The surface of hm08's head: which vertices of the base mesh it has, its quads and their materials.

In: the base mesh, its skin and the landmarks. Out: `Surface`. The cut edge of the neck gets a hem, a second
row of vertices below it, so that no camera looks into the head; clothes hide it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.training.heads.hm08.base_mesh import HELPERS, NECK_HEIGHT, BaseMesh, Skin
from facecap_batch.training.heads.hm08.landmarks import Landmarks, texture_window
from facecap_batch.training.heads.makehuman import Mesh
from facecap_batch.training.heads.mesh import FACE, GUMS, HEAD, LASH, MOUTH, TEETH

HEM_LENGTH = 1.2  # decimetres from the cut edge down to the hem
HEM_REACH = 0.35  # decimetres above NECK_HEIGHT up to which an edge of the skin is the neck's
TEXTURE_EDGE = 0.004  # share of the texture's side; a quad that comes nearer to the edge is not of the face
# A vertex between two materials is of the later one.
VERTEX_MATERIALS = (GUMS, MOUTH, HEAD, FACE, TEETH, LASH)


@dataclasses.dataclass(frozen=True)
class Surface:
    """The head without landmarks and eyeballs."""

    kept: np.ndarray  # int [K], vertices of the base mesh; those of the hem come twice
    lowered: np.ndarray  # float64 [K], decimetres by which a vertex is below the base mesh's
    quads: np.ndarray  # int [Q, 4], rows of `kept`
    material: np.ndarray  # int8 [Q]
    uv: np.ndarray  # float64 [K, 2], the face's own texture, nan where there is none

    def vertex_material(self) -> np.ndarray:
        """int8 [K]."""
        found = np.full(len(self.kept), FACE, np.int8)
        triangles, material = self.triangles(), np.concatenate([self.material, self.material])
        for kind in VERTEX_MATERIALS:
            found[triangles[material == kind]] = kind
        return found

    def triangles(self) -> np.ndarray:
        """int [2 Q, 3], rows of `kept`: a half of each quad, then the other halves."""
        return np.concatenate([self.quads[:, [0, 1, 2]], self.quads[:, [0, 2, 3]]])


def open_edges(quads: np.ndarray) -> np.ndarray:
    """The edges of one quad only: int [E, 2], in the order in which the quad has them."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2)
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    found: np.ndarray = edges[first[count == 1]]
    return found


def _neck_edges(body: Mesh, skin: Skin) -> np.ndarray:
    """The edges along which the neck is cut: int [E, 2], vertices of the base mesh."""
    edges = open_edges(skin.quads[skin.material == HEAD])
    low: np.ndarray = edges[(body.vertices[edges, 1] < NECK_HEIGHT + HEM_REACH).all(axis=1)]
    return low


def head_surface(base: BaseMesh, skin: Skin, landmarks: Landmarks) -> Surface:
    """The skin, the helpers that are drawn and the hem."""
    quads = np.concatenate([skin.quads, *(base.helpers[group].quads for group in HELPERS)])
    helper_kinds = (np.full(len(base.helpers[group].quads), kind, np.int8) for group, kind in HELPERS.items())
    kinds = np.concatenate([skin.material, *helper_kinds])
    edges = _neck_edges(base.body, skin)
    above = np.unique(quads)
    below, hem = np.unique(edges, return_inverse=True)
    kept = np.concatenate([above, below])
    lowered = np.zeros(len(kept))
    lowered[len(above) :] = HEM_LENGTH
    row = np.full(len(base.body.vertices), -1)
    row[above] = np.arange(len(above))

    uv = texture_window(landmarks.uv, skin.uv[kept])
    quads = row[quads]
    inside = ((uv[quads] > TEXTURE_EDGE) & (uv[quads] < 1 - TEXTURE_EDGE)).all(axis=(1, 2))
    kinds[(kinds == FACE) & ~inside] = HEAD
    hem_quads = np.concatenate([row[edges[:, ::-1]], hem.reshape(-1, 2) + len(above)], axis=1)
    return Surface(
        kept=kept,
        lowered=lowered,
        quads=np.concatenate([quads, hem_quads]),
        material=np.concatenate([kinds, np.full(len(edges), HEAD, np.int8)]),
        uv=uv,
    )
