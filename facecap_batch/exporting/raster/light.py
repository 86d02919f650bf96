"""Light on the head: how bright its surface is, and which colour that is on screen.

In: normals of a posed head, materials. Out: brightness per vertex, and for every material a ramp of colours
from dark to its highlight, so that a pixel needs one number. One key light above the subject's right, a
weaker one from the other side, the sky; hollows are darker.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.exporting.head import HeadModel, Material

STEPS = 256  # entries of one material's ramp
HIGHLIGHT = 0.72  # brightness from which on a ramp goes over to the colour of the light
_GAMMA = 2.2  # of screens (sRGB, nearly)
_GLINT = np.array([1.0, 0.97, 0.93])  # colour of highlights
_CREVICE = 6.0  # darkening per cm that a vertex lies below the mean of its neighbours
_DARKEST = 0.45


def _unit(*direction: float) -> np.ndarray:
    vector = np.array(direction, np.float32)
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


KEY, FILL = _unit(-0.5, 0.6, 0.75), _unit(0.8, 0.1, 0.5)  # toward the lights, camera frame
_HALF = _unit(*(KEY + _unit(0, 0, 1)))  # between the key light and the camera
_LIGHTS = np.stack([KEY, FILL, _HALF])
_GLOSS_POWER = 16  # how small highlights are; a power of two is taken by squaring


def brightness(normals: np.ndarray, open_sky: np.ndarray) -> np.ndarray:
    """float32 [V], 0..STEPS: where on its ramp a vertex is.

    Args:
        normals: float32 [3, V], camera frame, of any length.
        open_sky: float32 [V], 0..1, as `openness` gives.
    """
    length = np.sqrt(np.einsum("kv,kv->v", normals, normals)) + np.float32(1e-6)
    key, fill, glint = _LIGHTS @ normals / length
    lit = 0.16 + 0.40 * np.maximum(0.8 * key + 0.2, 0) + 0.10 * np.maximum(fill, 0)
    lit += 0.06 * normals[1] / length
    gloss = np.maximum(glint, 0)
    for _ in range(_GLOSS_POWER.bit_length() - 1):
        gloss *= gloss
    bright: np.ndarray = np.clip(open_sky * lit + 0.10 * gloss, 0, 0.99) * np.float32(STEPS)
    return bright


def openness(head: HeadModel) -> np.ndarray:
    """float32 [V], 0..1: 1 of surfaces that bulge or are flat, less in hollows, at rest."""
    corners = np.where(head.faces >= 0, head.faces, head.faces[:, 2:3])
    sums, counts = np.zeros_like(head.vertices), np.zeros(len(head.vertices))
    for first, second in ((0, 1), (1, 2), (2, 3), (3, 0)):
        for a, b in ((corners[:, first], corners[:, second]), (corners[:, second], corners[:, first])):
            counts += np.bincount(a, minlength=len(counts))
            for axis in range(3):
                sums[:, axis] += np.bincount(a, head.vertices[b, axis], len(counts))
    mean = sums / np.maximum(counts, 1)[:, None]
    below = np.einsum("vk,vk->v", mean - head.vertices, head.normals)
    open_sky: np.ndarray = np.clip(1 - _CREVICE * np.maximum(below, 0), _DARKEST, 1)
    return open_sky.astype(np.float32)


def ramps(materials: tuple[Material, ...], ground: tuple[int, int, int]) -> np.ndarray:
    """uint32 [len(materials) * STEPS + 1]: RGBA bytes; `ground`, RGB, is the last entry."""
    bright = np.linspace(0, 1, STEPS)[:, None]
    rows = []
    for material in materials:
        light = np.array(material.colour) * np.minimum(bright / HIGHLIGHT, 1) * 1.5
        light = light + np.clip((bright - HIGHLIGHT) / (1 - HIGHLIGHT), 0, 1) * _GLINT * 0.55
        light = np.clip(1.1 * light / (1 + 0.25 * light), 0, 1)
        rows.append(np.round(255 * light ** (1 / _GAMMA)))
    colours = np.concatenate([*rows, [ground]]).astype(np.uint8)
    packed = np.column_stack([colours, np.full(len(colours), 255, np.uint8)])
    return np.ascontiguousarray(packed).view(np.uint32)[:, 0]
