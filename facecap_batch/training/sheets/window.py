"""The square part of a frame that a face is looked at through.

In: a face box. Out: the pixels in it, and a camera that draws what would be seen there.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.geometry import focal_length
from facecap_batch.training.rendering.scene import Camera


@dataclasses.dataclass(frozen=True)
class Window:
    """Whole pixels of an upright frame; it may reach over the frame's edges."""

    left: int
    top: int
    side: int

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """The part of `image` (uint8 [H, W, 3]) in the window, black outside: uint8 [size, size, 3]."""
        height, width = image.shape[:2]
        part = np.zeros((self.side, self.side, 3), np.uint8)
        x0, x1 = max(self.left, 0), min(self.left + self.side, width)
        y0, y1 = max(self.top, 0), min(self.top + self.side, height)
        if x0 < x1 and y0 < y1:
            part[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left] = image[y0:y1, x0:x1]
        interpolation = cv2.INTER_AREA if size < self.side else cv2.INTER_CUBIC
        return cv2.resize(part, (size, size), interpolation=interpolation)

    def camera(self, width: int, height: int, size: int) -> Camera:
        """What an image of `size` by `size` pixels sees through the window of a frame of `width` by `height`,
        with the focal length that head poses are computed with."""
        scale = size / self.side
        shift = (
            (width / 2 - self.left - self.side / 2) * scale,
            (height / 2 - self.top - self.side / 2) * scale,
        )
        return Camera(size, size, focal_length(width, height) * scale, shift)


def around(box: np.ndarray) -> Window:
    """The window of a face box (float [4], x0 y0 x1 y1, pixels), as large as the regressor's crop."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    side = max(round(CROP_SCALE * max(x1 - x0, y1 - y0)), 2)
    return Window(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)
