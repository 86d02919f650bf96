"""The orientation of a video: how the coded image becomes the upright one.

In: the display matrix of a file, or an angle. Out: `Orientation`, which rotates images and maps rectangles
between the coded and the upright image.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np

Rectangle = tuple[float, float, float, float]  # x0 y0 x1 y1, pixels


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How the coded image becomes the upright one: mirrored left to right first, then rotated."""

    rotation: int = 0  # degrees counterclockwise: 0, 90, 180, 270
    mirrored: bool = False

    @staticmethod
    def from_display_matrix(entries: np.ndarray) -> Orientation:
        """The nearest of the eight right-angled orientations to a display matrix.

        Args:
            entries: int32 [9], ISO 14496-12 order {a b u c d v x y w}: x' = a x + c y, y' = b x + d y with y
                down.
        """
        a, b, _, c, d = (float(entry) for entry in entries[:5])
        given = np.array([[a, c], [b, d]])
        quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])  # counterclockwise on screen, y down
        best, best_match = Orientation(), -np.inf
        for mirrored in (False, True):
            matrix = np.diag([-1.0, 1.0]) if mirrored else np.eye(2)
            for rotation in (0, 90, 180, 270):
                match = float((given * matrix).sum())
                if match > best_match + 1e-6:
                    best, best_match = Orientation(rotation, mirrored), match
                matrix = quarter @ matrix
        return best

    def rotated(self, degrees: int) -> Orientation:
        """This orientation followed by a further counterclockwise rotation by a multiple of 90 degrees."""
        return Orientation((self.rotation + degrees) % 360, self.mirrored)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height, pixels, of the upright image of a coded one of `width` by `height` pixels."""
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image [H, W, ...] of a coded one, contiguous."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self.rotation // 90))

    def to_coded(self, rectangle: Rectangle, width: int, height: int) -> Rectangle:
        """Map a rectangle of the upright image to the coded image of `width` by `height` pixels."""
        x0, y0, x1, y1 = rectangle
        if self.rotation == 90:
            x0, y0, x1, y1 = width - y1, x0, width - y0, x1
        elif self.rotation == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif self.rotation == 270:
            x0, y0, x1, y1 = y0, height - x1, y1, height - x0
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        return x0, y0, x1, y1

    def to_upright(self, rectangle: Rectangle, width: int, height: int) -> Rectangle:
        """The inverse of `to_coded`; `width` and `height` are still those of the coded image."""
        x0, y0, x1, y1 = rectangle
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        if self.rotation == 90:
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        elif self.rotation == 180:
            x0, y0, x1, y1 = width - x1, height - y1, width - x0, height - y0
        elif self.rotation == 270:
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
        return x0, y0, x1, y1


def display_orientation(frame: Any) -> Orientation:
    """The orientation that the display matrix of a PyAV frame asks for; as coded where it has none."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            return Orientation.from_display_matrix(np.frombuffer(bytes(matrix), np.int32, 9))
    return Orientation()
