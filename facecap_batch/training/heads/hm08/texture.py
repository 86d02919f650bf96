"""Where hm08's head lies on MakeHuman's texture: by itself, for the texture was made for this mesh.

In: the head and the base mesh. Out: what `registration.register` finds for other heads.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.hm08.base_mesh import Skin, skin
from facecap_batch.training.heads.hm08.landmarks import quad_grid
from facecap_batch.training.heads.makehuman import DECIMETRE, Mesh
from facecap_batch.training.heads.mesh import FACE, HEAD

STEPS = 9  # of the grid on a quad, along each side
HIDDEN_BESIDE = 0.008  # decimetres; a point of the face so near beside another one ...
HIDDEN_BEHIND = 0.025  # decimetres; ... and so far before it hides it
BELOW_BROWS = 4.0  # centimetres; where there is no brow
FADE = 2.5  # centimetres over which the skin's colour goes over to the rest of the head's


def _hidden(body: Mesh, skin: Skin, kept: np.ndarray) -> np.ndarray:
    """Which of the vertices `kept` the face hides from the front: bool [K].

    These are lids under the brow's ridge, on which a brow seen from the front must not be painted.
    """
    quads = skin.quads[skin.material == FACE]
    points = np.einsum("gc,qcd->qgd", quad_grid(STEPS), body.vertices[quads]).reshape(-1, 3)
    positions = body.vertices[kept]
    near = cKDTree(points[:, :2]).query_ball_point(positions[:, :2], HIDDEN_BESIDE)
    front = np.array([points[rows, 2].max() if rows else -np.inf for rows in near])
    hidden: np.ndarray = positions[:, 2] < front - HIDDEN_BEHIND
    return hidden


def lay(model: HeadModel, triangles: np.ndarray, body: Mesh) -> np.ndarray:
    """Where the head's vertices are on MakeHuman's head; arguments and result as `registration.register`."""
    head_skin = skin(body)
    kept = np.unique(head_skin.quads)  # the model's first vertices: helpers come after the body
    found = np.zeros((len(model.neutral), 6))
    found[: len(kept), :2] = np.nan_to_num(head_skin.uv[kept])
    found[: len(kept), 2:4] = body.vertices[kept, :2] * DECIMETRE
    found[: len(kept)][_hidden(body, head_skin, kept), 3] -= BELOW_BROWS
    border = np.intersect1d(triangles, model.triangles[model.material == HEAD])
    away = cKDTree(model.neutral[border]).query(model.neutral)[0]
    found[:, 4] = np.clip(away / FADE - 0.2, 0, 1)
    found[:, 5] = 1.0
    return found
