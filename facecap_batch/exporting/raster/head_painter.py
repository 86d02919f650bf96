"""The head of the FBX files, drawn as one row of a table says.

In: coefficients, and how the head is turned towards the camera. Out: an image. The head stands in the middle,
as large in every picture.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import cv2
import numpy as np

from facecap_batch.exporting.head import HeadModel, head_model
from facecap_batch.exporting.raster.light import STEPS, brightness, openness, ramps
from facecap_batch.exporting.raster.scanlines import Polygons, filled

OVERSAMPLING = 1.4  # pixels drawn per pixel shown, each way, at most; smooths edges
TALLEST = 520  # pixels drawn from top to bottom, unless more are shown: time goes with their number
MAX_BLOCK = 4  # pixels shown of which the drawn ones are a whole number, each way
DISTANCE = 75.0  # cm, of the camera from what the head turns about
TALL = 31.0  # cm that the image is high
WIDE = 22.0  # cm that it is wide at least
PIVOT = np.array([0.0, -3.0, -6.0], np.float32)  # cm, head frame: it turns about the middle of the skull
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
        more = Fraction(min(max(TALLEST / height, 1.0), OVERSAMPLING)).limit_denominator(MAX_BLOCK)
        self._drawn_block, self._block = more.numerator, more.denominator
        self._middle = width * float(more) / 2, height * float(more) / 2
        self._scale = DISTANCE * 2 * min(self._middle[1] / TALL, self._middle[0] / WIDE)
        self._ground = np.array(ground, np.uint8)
        self._rest = np.concatenate([head.vertices - PIVOT, head.normals], axis=1).T.astype(np.float32)
        self._shapes = _offsets(head)
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
        weights = np.maximum(np.nan_to_num(coefficients), 0).astype(np.float32)
        # Not `@`: BLAS would take a second thread, which waits at full speed where there is one core.
        moved = np.einsum("s,sv->v", weights, self._shapes[: len(weights)])
        surface = self._rest + moved.reshape(self._rest.shape)
        turn = rotation.astype(np.float32)
        points, normals = turn @ surface[:3], turn @ surface[3:]
        depth = np.float32(DISTANCE) - points[2]
        scale = np.float32(self._scale) / depth
        x = np.float32(self._middle[0]) + scale * points[0]
        y = np.float32(self._middle[1]) - scale * points[1]
        bright = brightness(normals, self._open_sky)
        image = np.empty((self.height, self.width, 3), np.uint8)
        image[:] = self._ground
        # Only where the head is, in blocks that are whole pixels both of what is drawn and of what is shown.
        (left, right), (top, bottom) = self._blocks(x, self.width), self._blocks(y, self.height)
        size = (right - left) * self._drawn_block, (bottom - top) * self._drawn_block
        x -= np.float32(left * self._drawn_block)
        y -= np.float32(top * self._drawn_block)
        empty = len(self._ramps) - 1
        numbers = filled(self._arranged(surface[2]), x, y, depth, bright, size, empty)
        large = self._ramps.take(numbers).view(np.uint8).reshape(*numbers.shape, 4)
        shown = (right - left) * self._block, (bottom - top) * self._block
        small = cv2.resize(large, shown, interpolation=cv2.INTER_LINEAR)
        part = image[top * self._block : bottom * self._block, left * self._block : right * self._block]
        part[:] = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)[: part.shape[0], : part.shape[1]]
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

    def _blocks(self, drawn: np.ndarray, pixels: int) -> tuple[int, int]:
        """The first block that the head reaches, and the one after the last; at least one block.

        Args:
            drawn: float32 [V], pixels of what is drawn, along one axis.
            pixels: what is shown along this axis.
        """
        last = -(-pixels // self._block)
        first = min(max(int(drawn.min()) // self._drawn_block, 0), last - 1)
        return first, max(min(int(drawn.max()) // self._drawn_block + 1, last), first + 1)


def _offsets(head: HeadModel) -> np.ndarray:
    """float32 [S, 6 * V]: of each shape the offsets of positions and normals, x of all vertices first.

    One product with all weights takes less time than adding the shapes that are not zero.
    """
    offsets = np.zeros((len(head.morphs), 6, len(head.vertices)), np.float32)
    for number, morph in enumerate(head.morphs):
        offsets[number, :, morph.indices] = np.concatenate([morph.offsets, morph.normal_offsets], axis=1)
    return offsets.reshape(len(offsets), -1)


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
