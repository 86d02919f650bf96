"""The locator: a whole crop to head pose, landmarks and presence.

In: crops, in as many pixels as its design has. Out: head, landmarks, presence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.networks.patch_network import PatchNetwork, learnt_in_bfloat16
from facecap_batch.training.networks.sizes import DEFAULT, Design

MEAN_LOG_WIDTH = 3.2  # ln of a crop's width in cm, where training starts from


class Locator(nn.Module):
    """Whole crop to head pose, landmarks and presence."""

    READOUTS = ("head", "points", "presence")  # layers whose output leaves it

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.side = design.locator_side
        self.crop = PatchNetwork(self.side, design.locator)
        self.head = nn.Linear(design.locator.features, 6)
        self.points = nn.Linear(design.locator.features, 2 * POINTS)
        self.presence = nn.Linear(design.locator.features, 1)
        for layer in (self.head, self.points):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.head.bias[5] = MEAN_LOG_WIDTH

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """image: float32 [B, 3, side, side], about -1..1. Returns head [B, 6] (yaw, pitch, roll in
        radians; u, v of the head's origin, crop units -1..1; ln of the crop's width in cm), points [B,
        POINTS, 2] (crop units) and presence logits [B]."""
        hidden = learnt_in_bfloat16(self.crop, image)
        return (
            self.head(hidden),
            self.points(hidden).unflatten(1, (POINTS, 2)),
            self.presence(hidden)[:, 0],
        )


def shrink(crop: Tensor, side: int) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, side, side] in -1..1: means of whole pixels; S is a multiple of
    `side`.

    A convolution takes means and changes the range in one pass, twice as fast as pooling does.
    """
    step, pixels = crop.shape[1] // side, crop.permute(0, 3, 1, 2).float()
    if step == 1:
        return pixels * (1 / 127.5) - 1
    weight = torch.eye(3, device=crop.device)[:, :, None, None].repeat(1, 1, step, step) / (step**2 * 127.5)
    return functional.conv2d(pixels, weight, -torch.ones(3, device=crop.device), stride=step)
