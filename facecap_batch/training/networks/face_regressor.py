"""The default regressor: one network from a square face crop to 57 numbers, landmarks and presence.

The locator sees the whole crop and finds where the head is (pose, landmarks, scale). There the network cuts
an upright patch of the face, in which the landmarks are found again, closer; where those lie it cuts both
eyes and both sides of the lower face, and the expression half reads the coefficients in the patches and
corrects the pose.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecap_batch.training.networks.expression import (
    MAX_LOG_SPREAD,
    MIN_LOG_SPREAD,
    Expression,
    Patches,
)
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.networks.patches import (
    cut,
    face_affine,
    part_affines,
    points_in_crop,
)
from facecap_batch.training.networks.sizes import DEFAULT, Design

MAX_SPREAD = 0.5  # what lies in 0..1 cannot have a larger standard deviation


class FaceRegressor(nn.Module):
    """The whole engine as exported: uint8 crop in, the contract's outputs out."""

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.design = design
        self.locator = Locator(design)
        self.expression = Expression(design)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """crop: uint8 [B, S, S, 3] RGB, S of the design. Returns outputs float32 [B, 57], landmarks [B,
        POINTS, 2] (crop units -1..1, v down), presence [B] (0..1), how much of the left eye, the right eye
        and the mouth is hidden behind something, [B, 3] (0..1), and the standard error of each coefficient,
        [B, 51]."""
        head, rough, presence = self.locator(self.locator.shrunk(crop))
        size, windows = self.design.crop, self.design.windows
        eye, side = self.design.eye.fold, self.design.side.fold
        affine = face_affine(head, rough, windows.face, size)
        (face,) = cut(crop, [affine], [windows.face.side], [self.design.face.fold])
        around, marks = self.expression.look(face)
        points = points_in_crop(marks[:, :, :2], affine, windows.face.side, size)
        left_eye, right_eye, left_side, right_side = cut(
            crop,
            part_affines(head, points, windows, size),
            [window.side for window in windows.each[:4]],
            [eye, eye, side, side],
        )
        patches = Patches(left_eye, right_eye, left_side, right_side, face)
        read = self.expression.read(patches, around, marks, head[:, :3])
        outputs = torch.cat([read.coefficients.clamp(0.0, 1.0), head[:, :3] + read.turn, head[:, 3:]], 1)
        spread = read.log_spread.clamp(MIN_LOG_SPREAD, MAX_LOG_SPREAD).exp().clamp_max(MAX_SPREAD)
        return outputs, points, torch.sigmoid(presence), torch.sigmoid(read.hidden), spread
