"""The discs' regressor with landmarks whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.support.discs import DIAMETER_CM, DiscRegressor

MIDDLE, TOP, CORNER = range(3)  # of the disc; of its red half; of the crop, the upper left one
POINTS = 3


class PointedRegressor(DiscRegressor):
    """Also says where the disc's middle and top are, and the crop's corner."""

    def __init__(self, **postprocess: float) -> None:
        super().__init__(**postprocess)
        self.card = dataclasses.replace(
            self.card, outputs={**self.card.outputs, "landmarks": ("N", POINTS, 2)}
        )

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        said = super().run(batch)
        middle, width_cm = said["outputs"][:, 54:56], np.exp(said["outputs"][:, 56])
        top = middle - np.stack([np.zeros_like(width_cm), DIAMETER_CM / width_cm], axis=1)
        points = np.stack([middle, top, np.full_like(middle, -1)], axis=1)
        return {**said, "landmarks": points.astype(np.float32)}
