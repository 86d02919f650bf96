"""Shapes as another artist would have sculpted them: the same names, moving somewhat different skin.

In: the head model and a random generator. Out: its expression shapes, each bent by a smooth field over the
face. What a shape means stays (its mean movement and its label); where it moves skin most, and which way, is
a person's own. A network that has seen one set of shapes alone knows that set, not smiles.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.synthesis.head_model import HeadModel

WAVES = 8  # the field of a shape is a random sum of as many waves over the face
WAVELENGTH = (4.0, 14.0)  # centimetres
# The most that a person's are changed; from none to that, people differ.
UNEVEN = 0.3  # standard deviation of how much further or less far a place moves
ASKEW = 0.25  # likewise of the turn of its direction, radians
STRENGTH = 0.1  # likewise of ln of a whole shape's strength, on every person
MIDDLE = 1.0  # centimetres from the middle of the face in which its two sides become one
# These must fit what they meet: lids the eyeball and each other, lips each other over an open jaw.
EXACT = ("eyeBlink", "jawOpen", "mouthClose")


def sculpted(model: HeadModel, rng: np.random.Generator) -> np.ndarray:
    """float32 [S, 3], centimetres: `HeadModel.shape_delta` of one person. Left and right are alike."""
    place = np.abs(model.neutral * [1, 0, 0]) + model.neutral * [0, 1, 1]
    direction = rng.normal(0, 1, (3, WAVES))
    direction /= np.linalg.norm(direction, axis=0)
    number = 2 * np.pi / rng.uniform(*WAVELENGTH, WAVES)
    waves = np.cos(place @ (direction * number) + rng.uniform(0, 2 * np.pi, WAVES)).astype(np.float32)
    # A turn's mirror image has its y and z reversed; toward the middle both fade.
    side = np.tanh(model.neutral[:, 0] / MIDDLE)
    mirror = np.stack([np.ones_like(side), side, side], 1)
    delta = model.shape_delta.copy()
    far = rng.uniform() * np.array([UNEVEN, ASKEW, ASKEW, ASKEW])
    fields: dict[str, tuple[np.ndarray, float]] = {}
    for k, name in enumerate(ARKIT_NAMES):
        stem = name.removesuffix("Left").removesuffix("Right")
        if stem not in fields:
            # cos has a variance of a half.
            mixing = rng.normal(0, np.sqrt(2 / WAVES), (WAVES, 4)) * far
            fields[stem] = mixing.astype(np.float32), float(np.exp(rng.normal(0, STRENGTH)))
        if stem in EXACT or model.shape_start[k] == model.shape_start[k + 1]:
            continue
        mixing, strength = fields[stem]
        rows = slice(model.shape_start[k], model.shape_start[k + 1])
        plain = model.shape_delta[rows]
        field = waves[model.shape_vertex[rows]] @ mixing
        turn = field[:, 1:] * mirror[model.shape_vertex[rows]]
        bent = plain * (1 + field[:, :1]) + np.cross(turn, plain)
        size = np.square(plain).sum()
        delta[rows] = bent * (strength * size / max(float((bent * plain).sum()), 0.3 * float(size)))
    return delta
