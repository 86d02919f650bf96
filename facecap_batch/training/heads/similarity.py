"""Putting one head on another: rotation, scale and shift.

In: corresponding points of two heads. Out: the `Similarity` that takes the first to the second. Two heads
that were fitted so face the same way when they are rendered in the same pose.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.training.heads.head_model import eye_centres

STEADY = (0, 1, 15, 16, *range(17, 68))  # landmarks that tell how a head is rotated; not the chin
EYE_REPEATS = 4  # an eyeball's centre counts as much as so many landmarks


@dataclasses.dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + shift."""

    scale: float
    rotation: np.ndarray  # float64 [3, 3]
    shift: np.ndarray  # float64 [3], in the unit of the points

    def points(self, positions: np.ndarray) -> np.ndarray:
        """Positions [N, 3] moved: float64 [N, 3]."""
        moved: np.ndarray = self.scale * positions @ self.rotation.T + self.shift
        return moved

    def displacements(self, deltas: np.ndarray) -> np.ndarray:
        """Displacements [N, 3] of points that are moved: float64 [N, 3]."""
        moved: np.ndarray = self.scale * deltas @ self.rotation.T
        return moved


def fit(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that takes `source` [N, 3] nearest to `target` [N, 3] (Umeyama 1991)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, spread, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(mirror) @ vt
    scale = float((spread * mirror).sum() / (a**2).sum())
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def steady_points(rest: np.ndarray, landmarks: np.ndarray, vertex_material: np.ndarray) -> np.ndarray:
    """What heads are fitted by: the steady landmarks and the eyeballs' centres.

    Args:
        rest: [V, 3], the mesh.
        landmarks, vertex_material: as in `HeadModel`.

    Returns:
        float64 [N, 3] in the unit of `rest`.
    """
    centres = [*eye_centres(rest, vertex_material)]
    return np.concatenate([rest[landmarks[list(STEADY)]], centres * EYE_REPEATS]).astype(np.float64)
