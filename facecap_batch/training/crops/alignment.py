"""Where a batch's patches are cut: by the labels with the network's kind of errors, or by the network itself.

In: a batch of labelled crops. Out: the affine map of each patch, the patches' pixels, and landmarks in units
of a patch. Patches may be bent as they are cut (`bending`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from facecap_batch.training.crops.batches import FaceBatch
from facecap_batch.training.crops.bending import UNBENT, Bend
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.networks.patches import (
    face_affine,
    part_affines,
    points_in_crop,
)
from facecap_batch.training.networks.sizes import Design
from facecap_batch.training.rendering.dataset import resized

# Errors of alignment that the expression half must bear: the networks' own, measured on held-out people. Half
# of all crops have smaller ones; hard crops (turned, tiny, covered) have larger ones of every kind.
POINT_NOISE = 0.018  # crop units, about 4 % of the distance between the eyes
FINE_NOISE = 0.016  # likewise where landmarks have been found again in the face patch
ANGLE_NOISE = 0.04  # radians
WIDTH_NOISE = 0.04  # of ln(width)
HARDNESS = 0.5  # standard deviation of ln(how many times these a crop's errors are)


@dataclasses.dataclass(frozen=True)
class Alignment:
    """By what a batch's patches are cut."""

    head: Tensor  # float32 [B, 6], of which the angles and the width count
    rough: Tensor  # float32 [B, POINTS, 2], crop units: places the face patch
    points: Tensor  # float32 [B, POINTS, 2], crop units: places eyes and sides

    def affines(self, design: Design) -> list[Tensor]:
        """Of each of the design's windows, float32 [B, 2, 3]: pixel of the patch to pixel of its crop."""
        windows, size = design.windows, design.crop
        return [
            *part_affines(self.head, self.points, windows, size),
            face_affine(self.head, self.rough, windows.face, size),
        ]


def noisy_alignment(batch: FaceBatch) -> Alignment:
    """The labels' head and points with the network's kind of errors."""
    head = batch.head.clone()
    times = torch.exp(torch.randn(len(head), 1) * HARDNESS)
    head[:, :3] += torch.randn(len(head), 3) * ANGLE_NOISE * times
    head[:, 5:] += torch.randn(len(head), 1) * WIDTH_NOISE * times

    def off(noise: float) -> Tensor:
        shift = torch.randn(len(head), 1, 2)
        each = torch.randn_like(batch.points)
        return batch.points + (shift + each) * (0.7 * noise * times[:, None])

    return Alignment(head, off(POINT_NOISE), off(FINE_NOISE))


class OwnAlignment:
    """Where a trained network itself cuts."""

    def __init__(self, network: FaceRegressor) -> None:
        self._network = network.eval()

    def __call__(self, batch: FaceBatch) -> Alignment:
        """By what the network cuts the crops of `batch`."""
        size, window = self._network.design.crop, self._network.design.windows.face
        crops = resized(batch.image, size)
        with torch.no_grad():
            head, rough, _ = self._network.locator(_scaled(resized(crops, self._network.locator.side)))
            affine = face_affine(head, rough, window, size)
            _, marks = self._network.expression.look(_scaled(warp(crops, affine, window.side)))
            return Alignment(head, rough, points_in_crop(marks[:, :, :2], affine, window.side, size))


def _scaled(image: np.ndarray) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S, S], -1..1."""
    return torch.from_numpy(image).permute(0, 3, 1, 2).float() / 127.5 - 1


def warp_patches(
    image: np.ndarray, alignment: Alignment, design: Design, bends: Sequence[Bend | None] = UNBENT
) -> list[np.ndarray]:
    """What a network of `design` cuts of each of its windows, as uint8 [B, side, side, 3], from uint8 crops
    [B, CROP, CROP, 3]; each window's patches bent by its one of `bends`."""
    crops, affines = resized(image, design.crop), alignment.affines(design)
    return [
        warp(crops, affine, window.side, bend)
        for affine, window, bend in zip(affines, design.windows.each, bends, strict=True)
    ]


def warp(image: np.ndarray, affines: Tensor, side: int, bend: Bend | None = None) -> np.ndarray:
    """One patch of every crop, uint8 [B, side, side, 3], by nearest pixel."""
    out = np.empty((len(image), side, side, 3), np.uint8)
    if bend is not None:
        shown = bend.shown(side)
        for row, affine in enumerate(affines.numpy()):
            x, y = cv2.split(cv2.transform(shown[row // bend.pictures], affine))
            cv2.remap(image[row], x, y, cv2.INTER_NEAREST, dst=out[row], borderMode=cv2.BORDER_REPLICATE)
        return out
    for row, affine in enumerate(affines.double().numpy()):
        cv2.warpAffine(
            image[row],
            affine,
            (side, side),
            dst=out[row],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def marks_in_patch(points: Tensor, affine: Tensor, side: int, size: int, bend: Bend | None = None) -> Tensor:
    """Landmarks in crop units, float32 [B, n, 2], to units of a patch (-1..1, v down), bent or not: the
    inverse of `points_in_crop`."""
    crop = (points + 1) * (size / 2) - 0.5
    pixels = torch.einsum("bij,bnj->bni", torch.linalg.inv(affine[:, :, :2]), crop - affine[:, None, :, 2])
    marks = (pixels + 0.5) * (2 / side) - 1
    return marks if bend is None else torch.from_numpy(bend.found(marks.numpy()))
