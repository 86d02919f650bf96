"""Finding faces for the tracker: one look at a picture, or, where everyone counts, a second and closer one.

In: small images of frames. Out: the faces in each, those of followed faces included, and how they look where
people are told apart. A detector takes images of one size, in which the faces of many people are too small
for it. Where several are wanted the images are larger than it takes: it sees each as a whole and then,
unless all faces in it are large, in pieces. So twelve people who fill a picture are found, and two in a
close-up cost no more than one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from facecap_batch.capturing.detector import FOLLOW_SHARE, Detection, Detector
from facecap_batch.capturing.people.appearance import look_of

# Longer side of an image against the detector's: one of 16:9 is covered by two squares that the detector
# takes.
ZOOM = 16 / 9
# Against the detector's side: pieces overlap by this much, so that a face this large is whole in one of them.
OVERLAP = 1 / 5
# Faces of at least this share of the detector's side, in the image as it sees it, are large.
LARGE_FACE = 1 / 8
# Two boxes are one face where one holds this much of the other.
SAME_FACE = 0.6
# A box that ends this close to the edge of a piece, in sides of the detector, may be a part of a face.
EDGE = 1 / 80


class FaceFinder:
    """Looks at whole images, as small as the detector takes them."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._min_score = detector.score_threshold * FOLLOW_SHARE
        self.image_side = detector.size  # longer side of the images to be given, pixels

    def find(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Faces in each of `images` (uint8 [h, w, 3] RGB), best first, pixels of the image."""
        return self._detector.detect(images, self._min_score)


class CloseFaceFinder(FaceFinder):
    """Looks at images as a whole and in pieces; its faces have looks."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector)
        self.image_side = round(ZOOM * detector.size)

    def find(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        found = []
        for image, faces in zip(images, super().find(images), strict=True):
            whole = faces if self._are_large(faces, image) else self._with_small_ones(faces, image)
            found.append([dataclasses.replace(face, look=look_of(image, face.box)) for face in whole])
        return found

    def _are_large(self, faces: Sequence[Detection], image: np.ndarray) -> bool:
        """True where there is a sure face and none that is small."""
        least = LARGE_FACE * max(image.shape[:2])
        sure = any(face.score >= self._detector.score_threshold for face in faces)
        return sure and all(_side(face) >= least for face in faces)

    def _with_small_ones(self, faces: list[Detection], image: np.ndarray) -> list[Detection]:
        """`faces` of the whole image and those in pieces of it, best first, each once."""
        size = self._detector.size
        corners = [
            (top, left)
            for top in _starts(image.shape[0], size, OVERLAP * size)
            for left in _starts(image.shape[1], size, OVERLAP * size)
        ]
        if len(corners) == 1:
            return faces
        pieces = [image[top : top + size, left : left + size] for top, left in corners]
        candidates = list(faces)
        for (top, left), piece, seen in zip(corners, pieces, super().find(pieces), strict=True):
            shift = np.array([left, top, left, top], np.float32)
            candidates += [
                dataclasses.replace(face, box=face.box + shift)
                for face in seen
                if _side(face) <= OVERLAP * size * ZOOM
                and _is_whole(face.box, left, top, piece, image, EDGE * size)
            ]
        return _each_once(candidates)[: self._detector.top_k]


def _side(face: Detection) -> float:
    """Longer side of a face's box."""
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))


def _starts(length: int, piece: int, overlap: float) -> list[int]:
    """Where pieces of a side begin that cover `length` and overlap by at least `overlap`, pixels."""
    if length <= piece:
        return [0]
    count = math.ceil((length - overlap) / (piece - overlap))
    return [round(number * (length - piece) / (count - 1)) for number in range(count)]


def _is_whole(
    box: np.ndarray, left: int, top: int, piece: np.ndarray, image: np.ndarray, edge: float
) -> bool:
    """False where a box reaches an edge of its piece that is none of the image."""
    height, width = piece.shape[:2]
    return not (
        (left > 0 and box[0] < edge)
        or (top > 0 and box[1] < edge)
        or (left + width < image.shape[1] and box[2] > width - edge)
        or (top + height < image.shape[0] and box[3] > height - edge)
    )


def _each_once(faces: Sequence[Detection]) -> list[Detection]:
    """The surest box of every face, best first; equal scores keep their order."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_held(face.box, other.box) >= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _held(first: np.ndarray, second: np.ndarray) -> float:
    """How much of the smaller box lies in the other, 0..1."""
    common = np.prod(np.maximum(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0))
    return float(common / max(1e-9, min(np.prod(first[2:] - first[:2]), np.prod(second[2:] - second[:2]))))
