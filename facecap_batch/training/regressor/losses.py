"""Losses and evaluation of the default regressor's two halves.

The locator learns pose, landmarks and presence from whole crops. The expression half learns coefficients
from patches that are cut where the labels say plus the errors that the locator makes, so both can be
trained at the same time; afterwards the expression half is trained on with the locator's own cuts.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.default_crop import CROP, POINTS
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.networks.face_regressor import (
    FACE_PATCH,
    LEFT_EYE_MARKS,
    MOUTH_MARKS,
    RIGHT_EYE_MARKS,
    Expression,
    FaceRegressor,
    Locator,
    face_centre,
    part_places,
    patch_affine,
    points_in_crop,
)
from facecap_batch.training.regressor.batches import PICTURES, STYLE, FaceBatch, to_input
from facecap_batch.training.rendering.dataset import FaceShard

# Errors of alignment that the expression half must bear: the locator's own, measured on held-out people.
POINT_NOISE = 0.022  # crop units, about 5 % of the distance between the eyes
FINE_NOISE = 0.016  # likewise where landmarks have been found again in the face patch
ANGLE_NOISE = 0.06  # radians
WIDTH_NOISE = 0.06  # of ln(width)
# Weight of a channel is 1 / (variance + floor): every channel counts by what is left unexplained.
VARIANCE_FLOOR = 0.01
PRESENCE_WEIGHT = 0.15
OFFSET_WEIGHT = 0.3
MARKS_WEIGHTS = (1.0, 1.0, 1.0, 3.0)  # of the landmarks in each patch; by the face's the others are cut
HIDDEN_WEIGHT = 0.05
TURN_WEIGHT = 3.0
TEACHING = 0.6  # share of the teachers in what is learnt, where there are any; the labels have the rest


def channel_weights(coefficients: np.ndarray) -> Tensor:
    """float32 [51] with mean 1, from a sample of coefficients [N, 51]."""
    weight = 1.0 / (coefficients.var(axis=0) + VARIANCE_FLOOR)
    return torch.from_numpy((weight / weight.mean()).astype(np.float32))


def locator_loss(
    locator: Locator, batch: FaceBatch, negative: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Scalar loss; `negative` is uint8 [M, CROP, CROP, 3] without faces."""
    count = len(batch.image)
    small = np.stack([half_size(image) for image in (*batch.image, *negative)])
    head, points, presence = locator(to_input(small, rng))
    angle = functional.smooth_l1_loss(head[:count, :3], batch.head[:, :3], beta=0.05)
    place = functional.smooth_l1_loss(head[:count, 3:], batch.head[:, 3:], beta=0.03)
    marks = functional.smooth_l1_loss(points[:count], batch.points, beta=0.03)
    target = torch.zeros(len(presence))
    target[:count] = 1.0
    return (
        2.0 * angle
        + 2.0 * place
        + 10.0 * marks
        + PRESENCE_WEIGHT * functional.binary_cross_entropy_with_logits(presence, target)
    )


@dataclasses.dataclass(frozen=True)
class Alignment:
    """By what a batch's patches are cut."""

    head: Tensor  # float32 [B, 6], of which the angles and the width count
    rough: Tensor  # float32 [B, POINTS, 2], crop units: places the face patch
    points: Tensor  # float32 [B, POINTS, 2], crop units: places eyes and mouth

    def cuts(self) -> tuple[tuple[Tensor, int, int], ...]:
        """Affine [B, 2, 3] (`patch_affine`), side of the patch and of the picture it is cut from, both in
        pixels: of the left eye, the right eye, the mouth and the face."""
        parts = [
            (patch_affine(centre, self.head, patch, mirrored, CROP), patch[2], CROP)
            for centre, patch, mirrored in part_places(self.points)
        ]
        face = patch_affine(face_centre(self.rough), self.head, FACE_PATCH, False, CROP // 2)
        return (*parts, (face, FACE_PATCH[2], CROP // 2))


def noisy_alignment(batch: FaceBatch) -> Alignment:
    """The labels' head and points with the network's kind of errors."""
    head = batch.head.clone()
    head[:, :3] += torch.randn(len(head), 3) * ANGLE_NOISE
    head[:, 5] += torch.randn(len(head)) * WIDTH_NOISE

    def off(noise: float) -> Tensor:
        shift = torch.randn(len(head), 1, 2) * noise * 0.7
        return batch.points + shift + torch.randn_like(batch.points) * noise * 0.7

    return Alignment(head, off(POINT_NOISE), off(FINE_NOISE))


def own_alignment(locator: Locator, expression: Expression, batch: FaceBatch, half: Tensor) -> Alignment:
    """Where the network itself cuts: `half` is float32 [B, 3, CROP / 2, CROP / 2], the crops at half
    resolution. Both halves of the network are in evaluation mode."""
    with torch.no_grad():
        head, rough, _ = locator(half)
        face, side, size = Alignment(head, rough, rough).cuts()[3]
        patch = torch.from_numpy(warp(batch.image, face, side, size)).permute(0, 3, 1, 2).float() / 127.5 - 1
        _, marks = expression.look(patch)
        return Alignment(head, rough, points_in_crop(marks, face, side, size))


def warp_patches(image: np.ndarray, alignment: Alignment) -> list[np.ndarray]:
    """What the network cuts of the left eye, the right eye, the mouth and the face, as uint8 [B, side, side,
    3] each, from uint8 crops [B, CROP, CROP, 3]."""
    return [warp(image, *place) for place in alignment.cuts()]


def warp(image: np.ndarray, affines: Tensor, side: int, size: int) -> np.ndarray:
    """One patch of every crop, uint8 [B, side, side, 3], cut from the crop at `size` pixels."""
    out = np.empty((len(image), side, side, 3), np.uint8)
    for row, affine in enumerate(affines.double().numpy()):
        out[row] = cv2.warpAffine(
            image[row] if size == CROP else half_size(image[row]),
            affine,
            (side, side),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def half_size(image: np.ndarray) -> np.ndarray:
    """A crop as the locator sees it: uint8 [CROP, CROP, 3] to [CROP / 2, CROP / 2, 3]."""
    return cv2.resize(image, (CROP // 2, CROP // 2), interpolation=cv2.INTER_AREA)


def marks_in_patch(points: Tensor, affine: Tensor, side: int, size: int) -> Tensor:
    """Landmarks in crop units, float32 [B, n, 2], to units of a patch (-1..1, v down): the inverse of
    `points_in_crop`."""
    crop = (points + 1) * (size / 2) - 0.5
    pixels = torch.einsum("bij,bnj->bni", torch.linalg.inv(affine[:, :, :2]), crop - affine[:, None, :, 2])
    return (pixels + 0.5) * (2 / side) - 1


def hidden_share(covered: Tensor) -> Tensor:
    """How much of the left eye, the right eye and the mouth is hidden, float32 [B, 3], from which landmarks
    are, bool [B, POINTS]."""
    regions = (LEFT_EYE_MARKS, RIGHT_EYE_MARKS, MOUTH_MARKS)
    return torch.stack([covered[:, list(marks)].float().mean(1) for marks in regions], 1)


def movement_error(predicted: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Scalar: squared error of coefficients [B, 51], in which what a person's PICTURES share weighs little.

    How a face looks at rest hides where its neutral lies (high brows or raised ones?), so the error that all
    pictures of a person have in common counts OFFSET_WEIGHT only: what counts is how the face moves.
    """
    error = (predicted - wanted).unflatten(0, (-1, PICTURES))
    shared = error.mean(1, keepdim=True)
    moving = (error - shared).square() * (PICTURES / (PICTURES - 1))
    return (weights * (moving + OFFSET_WEIGHT * shared.square())).mean()


def expression_loss(
    expression: Expression,
    batch: FaceBatch,
    alignment: Alignment,
    weights: Tensor,
    rng: np.random.Generator,
    style: float = STYLE,
) -> Tensor:
    """Scalar loss of what is read from patches cut by `alignment`, thrown about by `style`.

    The batch holds PICTURES of each person, one after the other, and perhaps what teachers say of them.
    """
    left, right, mouth, face = (to_input(patch, rng, style) for patch in warp_patches(batch.image, alignment))
    head = alignment.head
    predicted, hidden, turn, said_marks = expression.with_marks(left, right, mouth, face, head[:, :3])
    loss = movement_error(predicted, batch.coefficients, weights)
    angles = head[:, :3] + turn
    loss = loss + TURN_WEIGHT * functional.smooth_l1_loss(angles, batch.head[:, :3], beta=0.05)
    share = hidden_share(batch.covered)
    loss = loss + HIDDEN_WEIGHT * functional.binary_cross_entropy_with_logits(hidden, share)
    shown = (LEFT_EYE_MARKS, RIGHT_EYE_MARKS, MOUTH_MARKS, tuple(range(POINTS)))
    for cut, said, marks, weight in zip(alignment.cuts(), said_marks, shown, MARKS_WEIGHTS, strict=True):
        true = marks_in_patch(batch.points[:, list(marks)], *cut)
        loss = loss + weight * functional.smooth_l1_loss(said, true, beta=0.05)
    if batch.taught is None:
        return loss
    # An error against teachers is about half of one against labels, and is to weigh as much.
    return (1 - TEACHING) * loss + 2 * TEACHING * movement_error(predicted, batch.taught, weights)


@dataclasses.dataclass(frozen=True)
class Quality:
    """Held-out figures of a whole regressor."""

    correlation: np.ndarray  # float64 [51], Pearson r
    slope: np.ndarray  # float64 [51], of the prediction over the truth
    rotation_degrees: float  # mean geodesic error
    points_percent: float  # mean landmark error, percent of the distance between the eyes' outer corners

    @property
    def mean_r(self) -> float:
        return float(np.mean(self.correlation))

    def summary(self) -> str:
        worst = np.argsort(self.correlation)[:6]
        named = ", ".join(f"{ARKIT_NAMES[k]} {self.correlation[k]:.2f}" for k in worst)
        return (
            f"mean r {self.mean_r:.3f}, rotation {self.rotation_degrees:.2f} deg, "
            f"points {self.points_percent:.1f} %, "
            f"median slope {np.median(self.slope):.2f}; lowest: {named}"
        )


def predict(
    regressor: FaceRegressor, shard: FaceShard, batch: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outputs [N, 57], landmarks [N, POINTS, 2], presence [N] and hidden [N, 3] of a shard's crops."""
    regressor.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(shard.image), batch):
            parts.append(regressor(torch.from_numpy(shard.image[start : start + batch])))
    outputs, points, presence, hidden = (
        np.concatenate([part[k].numpy() for part in parts]) for k in range(4)
    )
    return outputs, points, presence, hidden


def measure(outputs: np.ndarray, points: np.ndarray, shard: FaceShard) -> Quality:
    """Compare predictions with a shard's labels."""
    truth, guess = shard.coefficients.astype(float), outputs[:, :51].astype(float)
    centred_t, centred_g = truth - truth.mean(0), guess - guess.mean(0)
    covariance = (centred_t * centred_g).mean(0)
    deviation = centred_t.std(0) * centred_g.std(0)
    turn = np.einsum(
        "nij,nkj->nik", matrix_from_euler(outputs[:, 51:54]), matrix_from_euler(shard.head[:, :3])
    )
    cosine = (np.trace(turn, axis1=1, axis2=2) - 1) / 2
    eyes = np.linalg.norm(shard.points[:, 36] - shard.points[:, 45], axis=1)
    distance = np.linalg.norm(points - shard.points, axis=2).mean(1)
    return Quality(
        correlation=np.where(deviation > 1e-9, covariance / np.maximum(deviation, 1e-9), 0.0),
        slope=covariance / np.maximum(centred_t.var(0), 1e-9),
        rotation_degrees=float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        points_percent=float(100 * (distance / np.maximum(eyes, 0.1)).mean()),
    )
