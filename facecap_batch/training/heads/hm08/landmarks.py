"""Landmarks on hm08: the points of the face that they are on the reference head, and the texture around them.

In: the reference head and the base mesh. Out: `Landmarks`, each a weighted mean of a quad's corners, so that
they follow whatever moves the mesh; and MakeHuman's texture coordinates in the layout of the reference.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.hm08.base_mesh import face_quads
from facecap_batch.training.heads.makehuman import DECIMETRE, Mesh
from facecap_batch.training.heads.mesh import FACE
from facecap_batch.training.heads.registration import landmark_positions
from facecap_batch.training.mirror import MIRRORED_LANDMARKS

CANDIDATES = 16  # quads tried for each point, those whose middles are nearest
STEPS = 41  # of the grid on a quad, along each side
EYE_TEXELS = 88 / 255  # share of the texture's side between the eyes' outer corners, about as on ICT-FaceKit
BROW_TEXELS = 71 / 255  # and above the root of the nose


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """The 68 landmarks on the base mesh."""

    corners: np.ndarray  # int [68, 4], vertices of the base mesh
    weights: np.ndarray  # float64 [68, 4], each row sums to 1
    uv: np.ndarray  # float64 [68, 2], MakeHuman's texture

    def of(self, values: np.ndarray) -> np.ndarray:
        """Positions or displacements of the landmarks, float64 [68, 3], given the base mesh's [base, 3]."""
        found: np.ndarray = np.einsum("kc,kcd->kd", self.weights, values[self.corners])
        return found


def quad_grid(steps: int) -> np.ndarray:
    """Weights of a quad's corners at steps x steps points of it: float64 [steps ** 2, 4]."""
    s, t = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, steps)] * 2, indexing="ij"))
    return np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)


def attach(mesh: Mesh, points: np.ndarray, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of `mesh` nearest to `points` [N, 3] as means of a quad's corners.

    Returns:
        Rows of mesh.quads, int [N]; the corners' weights, float64 [N, 4]; the distances, float64 [N].
    """
    grid = quad_grid(steps)
    corners = mesh.vertices[mesh.quads]
    count = min(CANDIDATES, len(corners))
    near = cKDTree(corners.mean(axis=1)).query(points, k=np.arange(1, count + 1))[1]
    quads, weights, distances = [], [], []
    for point, candidates in zip(points, near, strict=True):
        away = np.linalg.norm(np.einsum("gc,qcd->qgd", grid, corners[candidates]) - point, axis=2)
        best, cell = np.unravel_index(away.argmin(), away.shape)
        quads.append(candidates[best])
        weights.append(grid[cell])
        distances.append(away[best, cell])
    return np.array(quads), np.array(weights), np.array(distances)


def find_landmarks(reference: HeadModel, body: Mesh) -> Landmarks:
    """The reference's landmarks on `body`, which is symmetric: both sides are averaged."""
    textured = reference.triangles[
        (reference.material == FACE) & (reference.uv[reference.triangles] <= 1).all(axis=(1, 2))
    ]
    points = landmark_positions(reference, textured, body) / DECIMETRE
    mirrored = points[list(MIRRORED_LANDMARKS)] * [-1, 1, 1]
    face = face_quads(body)
    mesh = dataclasses.replace(body, quads=body.quads[face], quad_uvs=body.quad_uvs[face])
    quad, weights, _ = attach(mesh, (points + mirrored) / 2)
    uv = np.einsum("kc,kcd->kd", weights, mesh.uv[mesh.quad_uvs[quad]])
    return Landmarks(mesh.quads[quad], weights, uv)


def texture_window(landmarks: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """MakeHuman's texture coordinates in the face's own texture, upright.

    Args:
        landmarks: float64 [68, 2], the landmarks on MakeHuman's texture, where the face lies on its side.
        uv: float64 [N, 2], MakeHuman's.

    Returns:
        float64 [N, 2]; the face is within 0..1.
    """
    across = landmarks[45] - landmarks[36]  # toward the subject's left
    side = np.linalg.norm(across) / EYE_TEXELS
    across = np.round(across / np.linalg.norm(across))
    up = np.array([-across[1], across[0]])
    if up @ (landmarks[27] - landmarks[8]) < 0:
        up = -up
    away = (uv - landmarks[27]) / side
    return np.stack([0.5 + away @ across, 1 - BROW_TEXELS + away @ up], axis=1)
