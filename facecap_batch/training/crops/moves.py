"""Brows, lids and corners of the mouth moved in pictures in which nothing else changes: no fold, no light.

In: a batch of labelled crops. Out: the same with some of its faces moved and their labels changed as far.
Rendered brows rise with folds, lids and shading, and a network that can read these does not look where the
brows are: on skin that does not fold it finds nothing.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.crops.batches import FaceBatch
from facecap_batch.training.mirror import MIRRORED_CHANNELS, MIRRORED_POINTS

# How far landmarks of the left side and the middle move at 1: millimetres outward, upward, forward; mean of
# ICT-FaceKit's head and hm08. browInnerUp moves both sides.
REACH: dict[str, dict[int, tuple[float, float, float]]] = {
    "browInnerUp": {
        22: (0.1, 5.6, -0.3), 23: (0.2, 5.5, -0.4), 24: (0.1, 3.3, -0.3), 25: (0.1, 1.3, -0.2),
        26: (-0.1, 0.4, 0.0), 27: (0.0, 1.8, -0.2), 28: (0.0, 0.9, -0.4),
    },
    "browOuterUpLeft": {
        22: (0.2, 1.1, -0.1), 23: (0.8, 3.4, -0.9), 24: (1.2, 5.7, -2.0), 25: (0.8, 8.7, -3.0),
        26: (0.5, 6.7, -2.3),
    },
    "browDownLeft": {
        22: (-2.3, -2.4, 1.4), 23: (-3.5, -3.8, 1.8), 24: (-3.6, -4.3, 2.1), 25: (-2.8, -3.6, 2.2),
        26: (-1.5, -2.3, 1.8),
    },
    "eyeWideLeft": {42: (0.1, 0.5, 0.2), 43: (0.1, 3.1, -0.3), 44: (0.0, 3.0, -0.4), 45: (0.0, 0.6, 0.0)},
    "eyeSquintLeft": {
        42: (-0.1, 0.6, 0.2), 45: (-0.2, 0.5, 0.6), 46: (-0.4, 2.0, 1.0), 47: (-0.5, 2.2, 0.8),
    },
    "mouthFrownLeft": {
        35: (0.6, -1.2, -0.3), 52: (0.4, -0.8, -0.3), 53: (1.0, -2.2, -0.5), 54: (1.5, -4.7, -0.6),
        55: (0.6, -2.1, 0.4), 56: (0.1, -0.7, 0.3), 63: (0.6, -1.3, -0.2), 64: (1.5, -4.4, -0.4),
        65: (0.9, -1.4, 0.1),
    },
}  # fmt: skip
# What moves together, each as often: brows in more than half of all.
KINDS: tuple[tuple[str, ...], ...] = (
    *(("browInnerUp",), ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")) * 2,
    *(("browOuterUpLeft", "browOuterUpRight"), ("browDownLeft", "browDownRight")) * 2,
    ("browOuterUpLeft",), ("browOuterUpRight",), ("browDownLeft",), ("browDownRight",),
    ("eyeWideLeft", "eyeWideRight"), ("eyeWideLeft",), ("eyeWideRight",),
    ("eyeSquintLeft", "eyeSquintRight"), ("eyeSquintLeft",), ("eyeSquintRight",),
    ("mouthFrownLeft", "mouthFrownRight"), ("mouthFrownLeft",), ("mouthFrownRight",),
)  # fmt: skip
SHARE = 0.5  # of pictures that are moved, where they can be
FURTHEST = 1.0  # by how much of what is left of a coefficient
BACK = 0.2  # share of these in which all that can be moved goes back toward rest
MAX_YAW = 0.8  # radians; profiles stay as they are
MAX_COVERED = 0.3  # share of what a shape moves that may lie behind something
WIDE_BELOW = 0.4  # eyeBlink up to which lids are opened wider
SOFT = 4.0  # millimetres, standard deviation of the reach of a landmark over the skin around it
STILL = 0.15  # weight of skin without landmarks, relative to that at a landmark
FIXED = POINTS - 1  # landmarks before this one are on the skin or in the eye; it is the mouth's place at rest
AROUND = 3.5  # times SOFT: farther from every landmark that moves skin stays
ROUNDS = 3  # until what moves a landmark is the movement of the place where it ends


def _reach() -> np.ndarray:
    """Of all shapes and landmarks, as the face is seen from the front: float32 [51, FIXED, 3], millimetres, x
    toward the subject's left."""
    reach = np.zeros((len(ARKIT_NAMES), POINTS, 3), np.float32)
    for name, points in REACH.items():
        channel = ARKIT_NAMES.index(name)
        for point, (outward, upward, forward) in points.items():
            reach[channel, point] = outward, upward, forward
            twin = MIRRORED_CHANNELS[channel]
            reach[twin, MIRRORED_POINTS[point]] = -outward, upward, forward
    return reach[:, :FIXED]


_REACH = _reach()
_MOVABLE = np.flatnonzero(_REACH.any((1, 2)))
_KINDS = [[ARKIT_NAMES.index(name) for name in kind] for kind in KINDS]
_BLINK_OF = {
    ARKIT_NAMES.index(f"eyeWide{side}"): ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")
}


def changes(batch: FaceBatch, rng: np.random.Generator) -> np.ndarray:
    """How much more of each coefficient the pictures of `batch` are to show: float32 [B, 51]."""
    now, covered = batch.coefficients.numpy(), batch.covered.numpy()[:, :FIXED]
    parts = _REACH.any(2)
    can = (covered.astype(np.float32) @ parts.T) / parts.sum(1).clip(1) <= MAX_COVERED
    for wide, blink in _BLINK_OF.items():
        can[:, wide] &= now[:, blink] < WIDE_BELOW
    more = np.zeros_like(now)
    turned = np.abs(batch.head[:, 0].numpy()) > MAX_YAW
    for row in np.flatnonzero(~turned & (rng.random(len(now)) < SHARE)):
        far = rng.uniform(0, FURTHEST)
        if rng.random() < BACK:
            more[row, _MOVABLE] = -now[row, _MOVABLE] * far
        else:
            kind = _KINDS[rng.integers(len(_KINDS))]
            more[row, kind] = (1 - now[row, kind]) * far
    allowed: np.ndarray = more * can
    return allowed


def moved(batch: FaceBatch, rng: np.random.Generator) -> FaceBatch:
    """`batch` with faces moved, their landmarks with them. Coefficients change as far as landmarks then
    went, and what teachers say changes with them."""
    more = changes(batch, rng)
    image, points, labels = batch.image.copy(), batch.points.numpy().copy(), np.zeros_like(more)
    for row in np.flatnonzero(more.any(1)):
        points[row, :FIXED], labels[row] = _move(
            image[row], points[row, :FIXED], batch.head[row].numpy(), more[row]
        )
    change = torch.from_numpy(labels)
    return dataclasses.replace(
        batch,
        image=image,
        points=torch.from_numpy(points),
        coefficients=batch.coefficients + change,
        distilled=None if batch.distilled is None else batch.distilled + change,
    )


def _move(
    crop: np.ndarray, points: np.ndarray, head: np.ndarray, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move the face in `crop`, uint8 [S, S, 3], in place. Returns its landmarks, crop units [FIXED, 2], and
    how much more of each coefficient it shows, [51], where `more` is asked for."""
    size = len(crop)
    pixels = (points + 1) * (size / 2) - 0.5
    per_mm = np.exp(-head[5]) * size / 10
    seen = matrix_from_euler(head[:3])[:2].astype(np.float32) * [[per_mm], [-per_mm]]  # v points down
    asked = np.tensordot(more, _REACH, 1) @ seen.T
    soft, ends = SOFT * per_mm, pixels + asked
    going = ends[asked.any(1)]
    first = np.floor(going.min(0) - AROUND * soft).clip(0, size - 1).astype(int)
    last = np.ceil(going.max(0) + AROUND * soft).clip(1, size).astype(int)
    x, y = (np.arange(*span, dtype=np.float32) for span in zip(first, last, strict=True))
    field = _field(x, y, ends, asked, soft)
    ended = pixels
    for _ in range(ROUNDS):
        ended = pixels + _at(field, ended - first)
    from_x, from_y = x - field[..., 0], y[:, None] - field[..., 1]
    crop[first[1] : last[1], first[0] : last[0]] = cv2.remap(
        crop, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    shares = _shares(ended - pixels, _REACH @ seen.T, asked)
    return (ended + 0.5) * (2 / size) - 1, more * shares


def _field(x: np.ndarray, y: np.ndarray, ends: np.ndarray, asked: np.ndarray, soft: float) -> np.ndarray:
    """How far the skin that ends at columns `x` and rows `y` came, float32 [H, W, 2]: the weighted mean of
    what is asked of landmarks around it, [n, 2], which end at `ends`. Weights are normal distributions."""
    across, down = (
        np.exp(-0.5 * ((places - ends[:, k, None]) / soft) ** 2).astype(np.float32)
        for k, places in enumerate((x, y))
    )
    weight = down.T @ across + np.float32(STILL)
    along = np.float32(asked)
    return np.stack([(down.T @ (across * along[:, k, None])) / weight for k in range(2)], 2)


def _at(field: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """`field` at some places, [n, 2]; 0 outside."""
    x, y = np.float32(pixels[None]).transpose(2, 0, 1)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0])


def _shares(went: np.ndarray, each: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How far what went, [n, 2], is what was asked for, by shape, [51]: at the landmarks of `each` [51, n,
    2]."""
    own = each.any(2)
    along = own @ (went * asked).sum(1)
    length = own @ (asked * asked).sum(1)
    shares: np.ndarray = np.clip(along / np.maximum(length, 1e-6), 0, 1).astype(np.float32)
    return shares
