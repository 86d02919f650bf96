"""Targets and losses of the detector: which anchors of a scene are faces, and where their boxes are.

In: scenes and anchors. Out: `Targets` per scene (numpy, made by the data workers) and a loss (torch).
Matching and hard negative mining are those of FaceBoxes (Zhang et al. 2017, section 3.4).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facecap_batch.importing.networks.faceboxes import encode

MATCH_IOU = 0.35  # an anchor with more is a face
DOUBT_IOU = 0.25  # with less it is background; between the two an anchor does not count
NEGATIVES_PER_POSITIVE = 4
NEGATIVES_PER_IMAGE = 12  # at least, also where there is no face
BOX_WEIGHT = 2.0
BACKGROUND, DOUBTFUL = -1, -2


@dataclasses.dataclass(frozen=True)
class Targets:
    """Labels of the anchors of one scene."""

    match: np.ndarray  # int16 [P], index of the face, or BACKGROUND, or DOUBTFUL
    boxes: np.ndarray  # float32 [F, 4], x0 y0 x1 y1, pixels


def corners(anchors: np.ndarray) -> np.ndarray:
    """Anchors [P, 4] (centre, size) as x0 y0 x1 y1."""
    half = anchors[:, 2:] / 2
    return np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], 1)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes a [N, 4] and b [M, 4]: float32 [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    share: np.ndarray = common / np.maximum(area_a[:, None] + area_b[None] - common, 1e-9)
    return share


def match(anchor_corners: np.ndarray, boxes: np.ndarray, ignored: np.ndarray) -> Targets:
    """Assign anchors to every face of `boxes` [F, 4]: all above MATCH_IOU, and the best one in any case.

    Anchors in doubt, and those that overlap `ignored` [I, 4], are neither face nor background.
    """
    result = np.full(len(anchor_corners), BACKGROUND, np.int16)
    if len(ignored):
        result[overlaps(anchor_corners, ignored).max(1) > DOUBT_IOU] = DOUBTFUL
    if len(boxes):
        iou = overlaps(anchor_corners, boxes)
        best = iou.max(1)
        result[best > DOUBT_IOU] = DOUBTFUL
        face = best > MATCH_IOU
        result[face] = iou[face].argmax(1)
        result[iou.argmax(0)] = np.arange(len(boxes))
    return Targets(result, boxes.astype(np.float32))


def detection_loss(
    offsets: Tensor, logits: Tensor, anchors: Tensor, targets: list[Targets]
) -> tuple[Tensor, Tensor]:
    """Classification and box losses, each a mean per face anchor.

    offsets float32 [B, P, 4], logits float32 [B, P, 2], anchors float32 [P, 4] (centre, size, pixels).
    """
    matched = torch.from_numpy(np.stack([target.match for target in targets])).to(logits.device)
    face, background = matched >= 0, matched == BACKGROUND
    error = functional.cross_entropy(logits.flatten(0, 1), face.flatten().long(), reduction="none")
    error = error.view_as(face)
    faces = int(face.sum())
    wanted = min(
        max(NEGATIVES_PER_POSITIVE * faces, NEGATIVES_PER_IMAGE * len(targets)), int(background.sum())
    )
    hardest = error[background].topk(wanted, sorted=False).values
    classification = (error[face].sum() + hardest.sum()) / max(faces, len(targets))

    starts = np.cumsum([0, *(len(target.boxes) for target in targets)])[:-1]
    boxes = torch.from_numpy(np.concatenate([target.boxes for target in targets])).to(logits.device)
    image, anchor = face.nonzero(as_tuple=True)
    which = torch.from_numpy(starts).to(logits.device)[image] + matched[image, anchor].long()
    wanted_offsets = encode(boxes[which], anchors[anchor])
    difference = functional.smooth_l1_loss(offsets[image, anchor], wanted_offsets, reduction="sum")
    return classification, BOX_WEIGHT * difference / max(faces, 1)
