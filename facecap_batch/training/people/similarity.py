"""Putting one head on another: turn, size and place.

In: corresponding points of two heads. Out: the `Similarity` that takes the first to the second. Two heads
that were fitted so look the same way when the same pose is asked of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.training.people.head_model import MATERIALS

STEADY = (0, 1, 15, 16, *range(17, 68))  # landmarks that say how a head is turned; not the chin
EYE_REPEATS = 4  # an eyeball counts as so many landmarks


@dataclasses.dataclass(frozen=True)
class Similarity:
    """x -> scale * turn @ x + shift."""

    scale: float
    turn: np.ndarray  # float64 [3, 3]
    shift: np.ndarray  # float64 [3]

    def points(self, places: np.ndarray) -> np.ndarray:
        return self.scale * places @ self.turn.T + self.shift

    def ways(self, deltas: np.ndarray) -> np.ndarray:
        return self.scale * deltas @ self.turn.T


def fit(source: np.ndarray, aim: np.ndarray) -> Similarity:
    """The similarity that takes `source` [N, 3] nearest to `aim` [N, 3] (Umeyama 1991)."""
    from_middle, to_middle = source.mean(axis=0), aim.mean(axis=0)
    a, b = source - from_middle, aim - to_middle
    u, spread, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(mirror) @ vt
    scale = float((spread * mirror).sum() / (a**2).sum())
    return Similarity(scale, turn, to_middle - scale * turn @ from_middle)


def steady_points(rest: np.ndarray, landmarks: np.ndarray, vertex_material: np.ndarray) -> np.ndarray:
    """What heads are fitted by: float64 [N, 3], the steady landmarks and the eyeballs' centres of the mesh
    `rest` [V, 3]; other arguments as in `HeadModel`."""
    eyes = [rest[vertex_material == MATERIALS.index(name)] for name in ("eye_left", "eye_right")]
    centres = [(eye.min(axis=0) + eye.max(axis=0)) / 2 for eye in eyes]
    return np.concatenate([rest[landmarks[list(STEADY)]], centres * EYE_REPEATS]).astype(np.float64)
