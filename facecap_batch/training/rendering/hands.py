"""A hand before a face: palm, curled fingers and forearm as shaded capsules.

In: an image, a skin colour, a random generator. Out: the image with a hand over it. Lengths are in widths
of a finger; the hand's frame is x across the palm toward the little finger, y along the fingers, z out of its
back.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.rendering import raster

PHALANGES = (2.4, 1.5, 1.2)  # lengths of the middle finger's
FINGERS = ((-1.5, 0.92), (-0.5, 1.0), (0.5, 0.95), (1.5, 0.76))  # position across the palm, length
PALM = 4.6  # from wrist to knuckles
MIN_FINGER_WIDTH, MAX_FINGER_WIDTH = 0.05, 0.085  # share of the image's side


@dataclasses.dataclass(frozen=True)
class Capsule:
    """A rounded limb: ends float [3], radii at them."""

    start: np.ndarray
    end: np.ndarray
    start_radius: float
    end_radius: float


def _finger(root: np.ndarray, heading: float, length: float, curl: np.ndarray, width: float) -> list[Capsule]:
    """Three phalanges from `root`; `heading` turns them across the palm, `curl` [3] bends each toward it."""
    parts, bend = [], 0.0
    for number, bone in enumerate(PHALANGES):
        bend += curl[number]
        way = np.array([np.sin(heading) * np.cos(bend), np.cos(heading) * np.cos(bend), -np.sin(bend)])
        tip = root + way * bone * length
        parts.append(Capsule(root, tip, (0.53 - 0.04 * number) * width, (0.49 - 0.04 * number) * width))
        root = tip
    return parts


def _limbs(rng: np.random.Generator) -> list[Capsule]:
    """A hand in a random pose: flat, fist, pointing or anything between."""
    curl = rng.choice([0.1, 0.5, 1.1]) * rng.uniform(0.6, 1.3)
    spread = rng.uniform(-0.02, 0.16)
    pointing = rng.random() < 0.2
    limbs = []
    for number, (x, length) in enumerate(FINGERS):
        knuckle = np.array([1.08 * x, PALM - 0.25 * (x - 0.3) ** 2, 0.0])
        bent = 0.15 if pointing and number == 0 else 1.4 if pointing else curl
        bends = np.array([bent, bent * 1.2, bent * 0.8]) * rng.uniform(0.8, 1.2, 3)
        limbs += _finger(knuckle, spread * x + rng.normal(0, 0.04), length, bends, 1.0)
        limbs.append(Capsule(np.array([0.75 * x, 0.2, 0.0]), knuckle, 0.85, 0.62))
    thumb = np.array([-1.5, 1.2, -0.3])
    limbs.append(Capsule(np.array([-0.8, 0.3, 0.0]), thumb, 0.9, 0.75))
    inward = rng.uniform(-1.2, -0.1)
    limbs += _finger(thumb, inward, 0.85, rng.uniform(0.1, 0.6, 3), 1.15)
    arm = np.array([rng.normal(0, 3.0), -14.0, rng.normal(0, 3.0)])
    limbs.append(Capsule(arm, np.array([0.0, 0.3, 0.0]), 2.1, 1.5))
    return limbs


def draw_hand(image: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a hand of colour `skin` (float [3], 0..255) into `image` (uint8 [S, S, 3]), in place, most often
    before mouth and chin."""
    size = image.shape[0]
    unit = size * rng.uniform(MIN_FINGER_WIDTH, MAX_FINGER_WIDTH)
    rotation = matrix_from_euler(rng.uniform([-0.9, -0.7, -1.7], [0.9, 0.7, 1.7]))
    if rng.random() < 0.5:
        rotation = rotation @ np.diag([-1.0, 1.0, 1.0])  # the other hand
    if rng.random() < 0.5:
        rotation = rotation @ np.diag([1.0, 1.0, -1.0])  # its palm toward the camera
    limbs = _limbs(rng)
    held = rotation @ np.array([0.0, PALM + rng.uniform(-1.0, 4.0), 0.0])  # what lies before the face
    palm = np.array([rng.uniform(0.25, 0.75), rng.uniform(0.35, 0.95)]) * size
    light = np.array([rng.normal(0, 0.6), rng.normal(0.4, 0.5), 1.0])
    light /= np.linalg.norm(light)
    nearest = np.full((size, size), -1e9, np.float32)
    normal = np.zeros((size, size, 3), np.float32)
    for limb in limbs:
        ends = [(rotation @ end - held) * unit for end in (limb.start, limb.end)]
        _capsule(nearest, normal, ends, limb, unit, palm)
    shown = nearest > -1e8
    if not shown.any():
        return
    ambient = rng.uniform(0.25, 0.6)
    shade = ambient + (1 - ambient) * np.clip((normal @ light.astype(np.float32) + 0.25) / 1.25, 0, 1)
    hollow = raster.hollow(-nearest, shown, 0.3 * unit)
    shade = shade * (1 - np.clip(hollow / unit, 0, 0.6)) * rng.uniform(0.75, 1.2)
    spots = cv2.resize(rng.normal(1, 0.05, (size // 4, size // 4)).astype(np.float32), (size, size))
    colour = skin * np.array([rng.uniform(0.95, 1.1), 1.0, rng.uniform(0.9, 1.05)])
    drawn = np.clip((shade * spots)[..., None] ** (1 / 1.6) * colour, 0, 255)
    edge = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), 0.6)[..., None]
    edge = np.where(shown[..., None], np.maximum(edge, 0.6), 0)
    image[:] = (image * (1 - edge) + drawn * edge).astype(np.uint8)


def _capsule(
    nearest: np.ndarray,
    normal: np.ndarray,
    ends: list[np.ndarray],
    limb: Capsule,
    unit: float,
    palm: np.ndarray,
) -> None:
    """Draw one limb into the depth buffer [S, S] (pixels toward the viewer) and the normals [S, S, 3] (x
    right, y up)."""
    size = len(nearest)
    (ax, ay, az), (bx, by, bz) = ends
    start, end = np.array([palm[0] + ax, palm[1] - ay]), np.array([palm[0] + bx, palm[1] - by])
    radii = np.array([limb.start_radius, limb.end_radius]) * unit
    low = np.clip(np.floor(np.minimum(start - radii[0], end - radii[1])), 0, size).astype(int)
    high = np.clip(np.ceil(np.maximum(start + radii[0], end + radii[1])) + 1, 0, size).astype(int)
    if (high <= low).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    along = end - start
    length = float(along @ along) + 1e-6
    t = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1)
    dx, dy = x - start[0] - t * along[0], y - start[1] - t * along[1]
    radius = radii[0] + t * (radii[1] - radii[0])
    square = radius * radius - dx * dx - dy * dy
    height = np.sqrt(np.maximum(square, 0))
    depth = az + t * (bz - az) + height
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    front = (square > 0) & (depth > nearest[window])
    nearest[window][front] = depth[front]
    normal[window][front] = (np.stack([dx, -dy, height], -1) / radius[..., None])[front]
