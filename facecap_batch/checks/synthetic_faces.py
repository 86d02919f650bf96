"""Synthetic faces: something to compare and to measure backends on where no video is given.

In: a seed. Out: images of this package's own head on soft blobs of colour, and crops of it; always the same
for one seed. They need to look like faces only as far as detectors find them: no network is trained or
evaluated on them.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.exporting.head import head_model
from facecap_batch.geometry import matrix_from_euler

SIDE = 320  # pixels of an image
FACE_HALF_CM = 9.0  # half the side of a face's box, from chin to brows
FACE_DOWN_CM = 2.5  # how far a face's middle lies below that of its eyes
DISTANCE_CM = 60.0  # of the camera
ANGLES = (0.4, 0.2, 0.15)  # deviation of yaw, pitch, roll, radians
OFF = 0.04  # deviation of a crop's position, in sides
CROPS_PER_IMAGE = 4  # cut a little differently, for drawing takes most of the time


def synthetic_images(count: int, seed: int = 7) -> list[np.ndarray]:
    """Heads of any size and expression on blobs of colour: uint8 [SIDE, SIDE, 3] RGB each."""
    random = np.random.default_rng([seed, 0])
    return [_image(random, random.uniform(36, 150))[0] for _ in range(count)]


def synthetic_crops(count: int, size: int, seed: int = 7) -> list[np.ndarray]:
    """Crops as a detector's box makes them: uint8 [size, size, 3] RGB each."""
    random = np.random.default_rng([seed, 1])
    crops: list[np.ndarray] = []
    while len(crops) < count:
        image, middle, face = _image(random, random.uniform(70, 180))
        for _ in range(CROPS_PER_IMAGE):
            side = face * CROP_SCALE * float(np.exp(random.normal(0.0, OFF)))
            corner = middle + random.normal(0.0, OFF, 2) * side - side / 2
            scale = size / side
            transform = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
            crops.append(cv2.warpAffine(image, transform, (size, size), borderMode=cv2.BORDER_REPLICATE))
    return crops[:count]


def _image(random: np.random.Generator, face: float) -> tuple[np.ndarray, np.ndarray, float]:
    """An image with a face of about `face` pixels; the face's middle (x, y) and side, pixels."""
    blobs = random.integers(0, 256, (8, 8, 3), np.uint8)
    image = cv2.resize(blobs, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    shapes = random.choice(len(ARKIT_NAMES), 6, replace=False)
    vertices = head_model().posed({ARKIT_NAMES[k]: float(random.random()) for k in shapes})
    rotation = matrix_from_euler(random.normal(0.0, ANGLES))
    vertices, normals = vertices @ rotation.T, head_model().normals @ rotation.T
    scale = face / (2 * FACE_HALF_CM)
    middle = random.uniform(min(face, SIDE / 2), max(SIDE - face, SIDE / 2), 2)
    near = DISTANCE_CM / (DISTANCE_CM - vertices[:, 2])
    points = middle + scale * near[:, None] * (vertices[:, :2] + (0, FACE_DOWN_CM)) * (1, -1)
    light = normals @ _unit(np.array([random.normal(0, 0.6), 0.5, 1.0]))
    _draw(image, points, vertices[:, 2], light, random.uniform(0.5, 1.2))
    noise = random.normal(0.0, 4.0, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), middle, face


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def _draw(
    image: np.ndarray, points: np.ndarray, depth: np.ndarray, light: np.ndarray, exposure: float
) -> None:
    """Fill the polygons that face the camera, the farthest first; `points` float64 [V, 2], pixels."""
    head = head_model()
    corners = np.where(head.faces >= 0, head.faces, head.faces[:, :1])
    at = points[corners]  # [F, 4, 2]
    across = at[:, 2] - at[:, 0], at[:, 3] - at[:, 1]
    visible = across[0][:, 0] * across[1][:, 1] - across[0][:, 1] * across[1][:, 0] < 0  # y points down
    visible |= head.faces[:, 3] < 0
    colours = np.array([material.colour for material in head.materials])[head.face_materials]
    lit = np.clip(0.35 + 0.65 * light[corners].mean(axis=1), 0.1, 1.0) * exposure
    pixels = 255 * np.clip(colours * lit[:, None], 0, 1) ** (1 / 2.2)
    polygons = np.round(at * 16).astype(np.int32)
    for face in np.argsort(depth[corners].mean(axis=1)):
        if visible[face]:
            cv2.fillConvexPoly(image, polygons[face], pixels[face].tolist(), cv2.LINE_AA, shift=4)
