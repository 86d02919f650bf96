"""Eyeballs of hm08: finely meshed balls that follow MakeHuman's coarse ones.

In: a helper mesh of an eye and displacements of the base mesh. Out: the ball's centre and radius, and its
displacement. The renderer turns the eyes, so that a ball is only ever shifted and resized.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.training.heads.makehuman import Mesh

BALL_ROWS, BALL_COLUMNS = 20, 28  # of an eyeball; MakeHuman's own is too coarse to be round


def unit_ball() -> tuple[np.ndarray, np.ndarray]:
    """A ball whose poles are ahead and behind.

    Returns:
        Unit vectors float64 [V, 3] and triangles int [T, 3].
    """
    rows, columns = BALL_ROWS, BALL_COLUMNS
    polar, azimuth = np.meshgrid(
        np.linspace(0.01, np.pi - 0.01, rows), np.linspace(0, 2 * np.pi, columns, False), indexing="ij"
    )
    unit = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )
    row, column = np.divmod(np.arange((rows - 1) * columns), columns)
    a, b = row * columns + column, row * columns + (column + 1) % columns
    return unit.reshape(-1, 3), np.concatenate(
        [np.stack([a, a + columns, b], 1), np.stack([b, a + columns, b + columns], 1)]
    )


@dataclasses.dataclass(frozen=True)
class Eyeball:
    """The ball fitted to one of MakeHuman's eyes."""

    vertex: np.ndarray  # int [N], vertices of MakeHuman's eye in the base mesh
    unit: np.ndarray  # float64 [N, 3], directions from the centre to them
    centre: np.ndarray  # float64 [3], decimetres
    radius: float  # decimetres

    @classmethod
    def of(cls, mesh: Mesh) -> Eyeball:
        """The ball nearest to the vertices of `mesh`, by least squares."""
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

    def positions(self, ball: np.ndarray) -> np.ndarray:
        """The ball's vertices in directions `ball` [V, 3]: float64 [V, 3], decimetres."""
        return self.centre + self.radius * ball

    def displacement(self, deltas: np.ndarray, ball: np.ndarray) -> np.ndarray:
        """The shift and growth of the ball that are nearest to `deltas`, a displacement of the base mesh.

        Args:
            deltas: float64 [base, 3].
            ball: float64 [V, 3], directions of the ball's vertices.

        Returns:
            float64 [V, 3] in the unit of `deltas`.
        """
        moved = deltas[self.vertex]
        if not moved.any():
            return np.zeros_like(ball)
        system = np.concatenate([np.tile(np.eye(3), (len(moved), 1)), self.unit.reshape(-1, 1)], axis=1)
        solved = np.linalg.lstsq(system, moved.ravel(), rcond=None)[0]
        shifted: np.ndarray = solved[:3] + solved[3] * ball
        return shifted
