"""Cheap differences between heads that the renderer does not draw: eyes in shadow, stubble, uneven light,
soft detail.

In: a `HeadTile`. Out: another with the same outline and box. A detector that was trained on bright, crisp
eyes only misses deep-set ones under a ceiling lamp.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.training.detector.tiles import HeadTile

# Heights in the face box, 0 at mid-forehead, 1 at the chin.
EYES, MOUSTACHE, BEARD = 0.32, 0.7, 0.92


def _spot(shape: tuple[int, int], x: float, y: float, reach_x: float, reach_y: float) -> np.ndarray:
    """A soft spot, 1 in its middle: float32 [H, W]."""
    across = np.exp(-(((np.arange(shape[1], dtype=np.float32) - x) / max(reach_x, 0.5)) ** 2))
    down = np.exp(-(((np.arange(shape[0], dtype=np.float32) - y) / max(reach_y, 0.5)) ** 2))
    spot: np.ndarray = down[:, None] * across[None]
    return spot


def vary(tile: HeadTile, rng: np.random.Generator) -> HeadTile:
    """`tile` with a random part of these differences; often with none."""
    if rng.random() < 0.3:
        return tile
    colour = tile.rgba[..., :3].astype(np.float32)
    side = tile.rgba.shape[0]
    x0, y0, x1, y1 = (float(v) for v in tile.box)
    width, height, middle = x1 - x0, y1 - y0, (x0 + x1) / 2
    shape = (side, side)
    if rng.random() < 0.4:  # less detail: towards the face's own blur
        soft = cv2.GaussianBlur(colour, (0, 0), max(0.4, height * rng.uniform(0.02, 0.07)))
        share = rng.uniform(0.3, 1.0)
        colour = colour * (1 - share) + soft * share
    gain = np.ones(shape, np.float32)
    if rng.random() < 0.5:  # sockets in shadow, one dark band or two holes
        depth, y = rng.uniform(0.2, 0.75), y0 + height * (EYES + rng.normal(0, 0.03))
        if rng.random() < 0.5:
            gain *= 1 - depth * _spot(shape, middle, y, width * 0.45, height * rng.uniform(0.06, 0.12))
        else:
            apart = width * rng.uniform(0.2, 0.26)
            for x in (middle - apart, middle + apart):
                gain *= 1 - depth * _spot(shape, x, y, width * 0.15, height * rng.uniform(0.06, 0.12))
    if rng.random() < 0.5:  # light from one side, above or below
        cells = rng.uniform(0.55, 1.35, (2, 2)).astype(np.float32)
        gain *= cv2.resize(cells, shape, interpolation=cv2.INTER_LINEAR)
    colour *= gain[..., None]
    if rng.random() < 0.25:  # moustache, beard or stubble
        hair = np.array([52, 42, 34], np.float32) * rng.uniform(0.2, 2.0)
        strength = rng.uniform(0.15, 0.75)
        mask = np.zeros(shape, np.float32)
        if rng.random() < 0.7:
            mask = _spot(shape, middle, y0 + height * MOUSTACHE, width * 0.22, height * 0.05)
        if rng.random() < 0.6:
            mask = np.maximum(mask, _spot(shape, middle, y0 + height * BEARD, width * 0.5, height * 0.17))
        mask = (mask * strength)[..., None]
        colour = colour * (1 - mask) + hair * mask
    if rng.random() < 0.3:  # flat or hard contrast of the whole head
        solid = tile.rgba[..., 3] > 127
        mean = colour[solid].mean(0) if solid.any() else colour.mean((0, 1))
        colour = mean + (colour - mean) * np.float32(rng.uniform(0.45, 1.3))
    rgba = np.concatenate([np.clip(colour, 0, 255).astype(np.uint8), tile.rgba[..., 3:]], 2)
    return dataclasses.replace(tile, rgba=rgba)
