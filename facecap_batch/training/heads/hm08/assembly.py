"""hm08's head as a function of the base mesh.

In: positions or displacements of the base mesh's vertices. Out: those of the head's vertices, which are the
surface's, the 68 landmarks and both eyeballs, in this order.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from facecap_batch.engines.default_crop import LANDMARKS
from facecap_batch.training.heads.hm08.base_mesh import EYEBALLS, BaseMesh, Skin
from facecap_batch.training.heads.hm08.eyeballs import Eyeball, unit_ball
from facecap_batch.training.heads.hm08.landmarks import Landmarks
from facecap_batch.training.heads.hm08.surface import Surface

LASH_LENGTH = 0.45  # share of MakeHuman's: those are cards for an image of lashes, whose ends are thin


@dataclasses.dataclass(frozen=True)
class Assembly:
    """What the head's vertices are made of."""

    surface: Surface
    root: np.ndarray  # int [K], vertices of the base mesh: where a lash grows, elsewhere the vertex itself
    landmarks: Landmarks
    eyes: tuple[Eyeball, Eyeball]  # left, right
    ball: np.ndarray  # float64 [B, 3], directions of an eyeball's vertices
    ball_triangles: np.ndarray  # int [T, 3]

    @property
    def landmark_rows(self) -> np.ndarray:
        """int [68], the head's vertices that are landmarks."""
        return len(self.surface.kept) + np.arange(LANDMARKS)

    @property
    def eye_starts(self) -> tuple[int, int]:
        """The first vertex of the left and of the right eyeball."""
        first = len(self.surface.kept) + LANDMARKS
        return first, first + len(self.ball)

    def positions(self, vertices: np.ndarray) -> np.ndarray:
        """float64 [V, 3], decimetres, of the base mesh's vertices [base, 3] at rest."""
        balls = [eye.positions(self.ball) for eye in self.eyes]
        own = self._own(vertices)
        own[:, 1] -= self.surface.lowered
        return np.concatenate([own, self.landmarks.of(vertices), *balls])

    def displacements(self, deltas: np.ndarray) -> np.ndarray:
        """float64 [V, 3] of a displacement of the base mesh [base, 3], in the same unit."""
        balls = [eye.displacement(deltas, self.ball) for eye in self.eyes]
        return np.concatenate([self._own(deltas), self.landmarks.of(deltas), *balls])

    def _own(self, values: np.ndarray) -> np.ndarray:
        own: np.ndarray = LASH_LENGTH * values[self.surface.kept] + (1 - LASH_LENGTH) * values[self.root]
        return own


def assemble(base: BaseMesh, skin: Skin, surface: Surface, landmarks: Landmarks) -> Assembly:
    """Lashes grow from the nearest vertex of a lid's margin; eyeballs are fitted to MakeHuman's."""
    vertices, lashes = base.body.vertices, base.lashes
    root = np.arange(len(vertices))
    root[lashes] = skin.margin[cKDTree(vertices[skin.margin]).query(vertices[lashes])[1]]
    left, right = (Eyeball.of(base.helpers[group]) for group in EYEBALLS)
    ball, ball_triangles = unit_ball()
    return Assembly(surface, root[surface.kept], landmarks, (left, right), ball, ball_triangles)
