"""The head of the FBX files, drawn as one row of a table says.

In: coefficients, and how the head is turned towards the camera. Out: an image. The head stands in the middle,
as large in every picture; only shapes above zero cost time.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.exporting.head import HeadModel, Morph, head_model
from facecap_batch.exporting.raster.light import STEPS, brightness, openness, ramps
from facecap_batch.exporting.raster.scanlines import Polygons, filled

OVERSAMPLING = 1.4  # pixels drawn per pixel shown, each way, at most; smooths edges
TALLEST = 520  # pixels drawn from top to bottom, unless more are shown: time goes with their number
DISTANCE = 75.0  # cm, of the camera from what the head turns about
TALL = 31.0  # cm that the image is high
WIDE = 22.0  # cm that it is wide at least
PIVOT = np.array([0.0, -3.0, -6.0], np.float32)  # cm, head frame: it turns about the middle of the skull
MIN_WEIGHT = 1e-3  # a shape below it moves nothing that is seen
# What lies in the mouth is drawn before the lips whatever its depth, the tongue behind the teeth; cm.
_IN_MOUTH = {"mouth_inside": -1000.0, "tongue": -1000.4, "gums": -1000.0, "teeth": -1000.0}
CLEAR_OF_TEETH = 0.3  # cm before the lower teeth; from there on the tongue is out of the mouth
_NEARER = {"brow": 0.6, "lashes": 0.3}  # cm; they ride closely on the skin
_NOSTRIL_NEARER = 0.3


class HeadPainter:
    """Draws the head in one size."""

    def __init__(self, width: int, height: int, ground: tuple[int, int, int]) -> None:
        """Prepare images of `width` by `height` pixels before the colour `ground` (RGB); the first in a
        process takes a second or two, which the head is built in."""
        head = head_model()
        self.width, self.height = width, height
        more = min(max(TALLEST / height, 1.0), OVERSAMPLING)
        self._size = round(width * more), round(height * more)
        self._scale = DISTANCE * min(self._size[1] / TALL, self._size[0] / WIDE)
        self._rest = np.concatenate([head.vertices - PIVOT, head.normals], axis=1).astype(np.float32)
        self._shapes = [_offsets(morph) for morph in head.morphs]
        self._open_sky = openness(head)
        self._ramps = ramps(head.materials, ground)
        self._polygons = _polygons(head)
        self._tongue = np.flatnonzero(np.isin(head.faces[:, 0], head.parts["tongue"]))
        self._lower_teeth = head.parts["teethLower"]

    def draw(self, coefficients: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Draw the head.

        Args:
            coefficients: float [S], 0..1, `CoefficientTable.shape_names` order; what is unknown (NaN) rests.
            rotation: float [3, 3], head frame to that of a camera that looks straight at the head.

        Returns:
            uint8 [height, width, 3] RGB.
        """
        surface = self._rest.copy()
        for index in np.flatnonzero(coefficients > MIN_WEIGHT):
            run, offsets = self._shapes[index]
            surface[run] += np.float32(coefficients[index]) * offsets
        turn = rotation.T.astype(np.float32)
        points, normals = surface[:, :3] @ turn, surface[:, 3:] @ turn
        depth = np.float32(DISTANCE) - points[:, 2]
        width, height = self._size
        x = width / 2 + self._scale * points[:, 0] / depth
        y = height / 2 - self._scale * points[:, 1] / depth
        bright = brightness(normals, self._open_sky)
        numbers = filled(
            self._arranged(surface[:, 2]), x.astype(np.float32), y.astype(np.float32), depth, bright,
            self._size, len(self._ramps) - 1,
        )  # fmt: skip
        large = self._ramps.take(numbers).view(np.uint8).reshape(height, width, 4)
        small = cv2.resize(large, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        image: np.ndarray = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)
        return image

    def _arranged(self, front: np.ndarray) -> Polygons:
        """The polygons with what of the tongue is beyond the teeth at its own depth, before the lips.

        `front`: float32 [V], cm, how far vertices are toward the front of the head.
        """
        corners = self._polygons.corners[:, self._tongue]
        out = self._tongue[front[corners].min(axis=0) > front[self._lower_teeth].max() + CLEAR_OF_TEETH]
        if not len(out):
            return self._polygons
        nearer = self._polygons.nearer.copy()
        nearer[out] = 0.0
        return dataclasses.replace(self._polygons, nearer=nearer)


def _offsets(morph: Morph) -> tuple[slice, np.ndarray]:
    """The run of vertices that a shape moves in, and their offsets of position and normal: float32 [M, 6].

    A run with zeros in it is added in a quarter of the time of single vertices.
    """
    run = slice(int(morph.indices[0]), int(morph.indices[-1]) + 1)
    offsets = np.zeros((run.stop - run.start, 6), np.float32)
    offsets[morph.indices - run.start] = np.concatenate([morph.offsets, morph.normal_offsets], axis=1)
    return run, offsets


def _polygons(head: HeadModel) -> Polygons:
    names = np.array([material.name for material in head.materials])[head.face_materials]
    first = head.faces[:, 0]
    nearer = np.array([_NEARER.get(name, 0.0) for name in names])
    nearer[np.isin(first, np.concatenate([head.parts[f"nostril{side}"] for side in ("Left", "Right")]))] = (
        _NOSTRIL_NEARER
    )
    mouth = np.concatenate([head.parts[part] for part in ("teethUpper", "teethLower", "tongue")])
    for name, lift in _IN_MOUTH.items():
        of_skin = name == "mouth_inside"
        nearer[(names == name) & np.isin(first, head.parts["skin"] if of_skin else mouth)] = lift
    return Polygons.of(head.faces, head.face_materials * float(STEPS), nearer, names == "lashes")
