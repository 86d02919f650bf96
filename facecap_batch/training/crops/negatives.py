"""Crops without a usable face, which the regressor's presence learns from.

In: rendered faces, whose parts and turned copies are no faces, and a seed. Out: uint8 crops.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP
from facecap_batch.training.detector.backdrops import backdrop
from facecap_batch.training.rendering import dataset, degrade

NEGATIVES = 2000


def _window(rng: np.random.Generator) -> np.ndarray:
    """A piece of a place without faces, near or far: uint8 [CROP, CROP, 3]."""
    whole = backdrop(rng, 2 * CROP)
    side = int(CROP * rng.uniform(0.2, 2.0))
    x, y = rng.integers(0, 2 * CROP - side + 1, 2)
    piece = whole[y : y + side, x : x + side]
    how = cv2.INTER_AREA if side > CROP else cv2.INTER_LINEAR
    return cv2.resize(piece, (CROP, CROP), interpolation=how)


def _lettering(rng: np.random.Generator) -> np.ndarray:
    """Large letters as titles and logos have them, outlined and shaded, often in the colours of skin: uint8
    [CROP, CROP, 3]."""
    image = degrade.background(rng, CROP)
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), CROP / 6)
    text = "".join(rng.choice(list("CSOQaesogdBRGUn8&"), int(rng.integers(1, 4))))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    scale, thick = rng.uniform(2.5, 7.0), int(rng.integers(10, 36))
    (width, height), _ = cv2.getTextSize(text, font, scale, thick)
    middle = rng.uniform(0.35, 0.65, 2) * CROP
    place = (int(middle[0] - width / 2), int(middle[1] + height / 2))
    mask = np.zeros((CROP, CROP), np.uint8)
    cv2.putText(mask, text, place, font, scale, 255, thick, cv2.LINE_AA)
    outline = cv2.dilate(mask, np.ones((int(rng.integers(3, 15)),) * 2, np.uint8))
    ramp = np.linspace(0, 1, CROP)[:, None, None]
    warm = np.array([rng.uniform(0.6, 1.0), rng.uniform(0.35, 0.8), rng.uniform(0.1, 0.6)]) * 255
    top, bottom = (
        warm * rng.uniform(0.7, 1.3) if rng.random() < 0.7 else rng.integers(0, 256, 3) for _ in range(2)
    )
    fill = np.clip(top * (1 - ramp) + bottom * ramp, 0, 255)
    for layer, colour in ((outline, warm * rng.uniform(0.1, 0.6)), (mask, fill)):
        weight = layer[..., None] / 255.0
        image = (image * (1 - weight) + colour * weight).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(image, int(rng.choice([0, 0, 1, 3]))))


def negatives(faces: dataset.FaceShard, seed: int, count: int = NEGATIVES) -> np.ndarray:
    """Crops that hold no usable face: uint8 [count, CROP, CROP, 3].

    Backgrounds, skin-coloured shapes, lettering, tiny parts of faces, and faces lying on their side or head:
    those are to be rotated upright first, so the regressor must not claim them.
    """
    rng = np.random.default_rng([13, seed])
    out = np.empty((count, CROP, CROP, 3), np.uint8)
    for row in range(count):
        kind = rng.random()
        face = faces.image[rng.integers(len(faces.image))]
        if kind < 0.15:
            image = degrade.camera(_lettering(rng), rng)
        elif kind < 0.65:
            image = _window(rng) if rng.random() < 0.75 else degrade.background(rng, CROP)
            if rng.random() < 0.5:
                red, green, blue = (float(v) for v in face[CROP // 2, CROP // 2])
                for _ in range(rng.integers(1, 4)):
                    degrade.occlude(image, (red, green, blue), rng)
            image = degrade.camera(image, rng)
        elif kind < 0.85:
            image = np.rot90(face, int(rng.integers(1, 4)))
        else:
            side = int(CROP * rng.uniform(0.12, 0.3))
            x, y = rng.integers(0, CROP - side, 2)
            image = cv2.resize(face[y : y + side, x : x + side], (CROP, CROP), interpolation=cv2.INTER_LINEAR)
        out[row] = image
    return out
