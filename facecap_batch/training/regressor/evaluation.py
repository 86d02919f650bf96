"""Held-out crops as a judge of engines needs them: from smaller faces, taken again, and drawn.

In: crops, uint8 [n, CROP, CROP, 3] RGB, their labels and what an engine predicted of them. Out: other crops
of the same faces, or one picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP, CROP_SCALE
from facecap_batch.training.rendering.dataset import FaceShard
from facecap_batch.training.sheets.bars import GROUND, LINE, Series, bars, strongest, write

NOISE = 2.0  # standard deviation of a sensor's noise, 0..255
SHIFT = 1  # pixels, the most by which a crop is cut elsewhere
TILE, BARS = 240, 6  # pixels of a crop's side; how many coefficients
TRUE, READ, MARK = (120, 120, 125), (90, 170, 250), (120, 255, 120)


def from_smaller_faces(image: np.ndarray, pixels: int) -> np.ndarray:
    """The crops as they would be cut from footage in which the face's longer side has so many pixels."""
    side = round(CROP_SCALE * pixels)
    small = (cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in image)
    return np.stack([cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_LINEAR) for crop in small])


def taken_again(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crops cut up to SHIFT pixels elsewhere, edges repeated, with fresh noise of the sensor."""
    padded = np.pad(image, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    places = rng.integers(0, 2 * SHIFT + 1, (len(image), 2))
    cut = np.stack([crop[y : y + CROP, x : x + CROP] for crop, (x, y) in zip(padded, places, strict=True)])
    noise = rng.standard_normal(cut.shape, np.float32) * np.float32(NOISE)
    taken: np.ndarray = np.clip(np.rint(cut + noise), 0, 255).astype(np.uint8)
    return taken


def picture(
    shard: FaceShard, predicted: np.ndarray, landmarks: np.ndarray, columns: int, rows: int
) -> np.ndarray:
    """Crops from the one that was read best to the one that was read worst, evenly between: uint8 RGB.

    predicted: float32 [n, 51]; landmarks: float32 [n, POINTS, 2], crop units. In each crop the landmarks that
    the engine found; below, its strongest coefficients, a bar for what is true and a thinner one for what was
    predicted.
    """
    error = np.abs(predicted - shard.coefficients).mean(axis=1)
    order = np.argsort(error, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, columns * rows).round().astype(int)]
    tiles = [
        _tile(shard.image[row], shard.coefficients[row], predicted[row], landmarks[row], float(error[row]))
        for row in chosen
    ]
    lines = [np.concatenate(tiles[first : first + columns], 1) for first in range(0, len(tiles), columns)]
    return np.concatenate(lines, 0)


def _tile(
    crop: np.ndarray, true: np.ndarray, predicted: np.ndarray, landmarks: np.ndarray, error: float
) -> np.ndarray:
    tile = np.full((TILE + (BARS + 1) * LINE + 6, TILE, 3), GROUND, np.uint8)
    tile[:TILE] = cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    for u, v in (landmarks + 1) / 2 * TILE:
        cv2.circle(tile, (round(float(u)), round(float(v))), 1, MARK, -1, cv2.LINE_AA)
    channels = strongest(np.maximum(true, predicted), BARS)
    below = TILE + 3
    tile[below : below + BARS * LINE] = bars(
        channels, (Series(true, TRUE, 1), Series(predicted, READ, 4)), TILE
    )
    write(tile, f"mean difference of all 51: {error:.3f}", 4, below + BARS * LINE + 10)
    return tile
