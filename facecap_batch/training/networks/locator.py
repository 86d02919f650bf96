"""The locator: a whole crop at half resolution to head pose, landmarks and presence.

In: crops at half resolution. Out: head, landmarks, presence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.networks.patch_network import PatchNetwork, learnt_in_bfloat16
from facecap_batch.training.networks.sizes import DEFAULT, Design

MEAN_LOG_WIDTH = 3.2  # ln of a crop's width in cm, where training starts from
# Means of 2 x 2 pixels 0..255, scaled to a span of 2: kernel of a convolution.
_HALVING = torch.eye(3)[:, :, None, None].repeat(1, 1, 2, 2) / (4 * 127.5)


class Locator(nn.Module):
    """Whole crop to head pose, landmarks and presence."""

    READOUTS = ("head", "points", "presence")  # layers whose output leaves it

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.side = design.crop // 2
        self.crop = PatchNetwork(self.side, design.locator)
        self.head = nn.Linear(design.locator.features, 6)
        self.points = nn.Linear(design.locator.features, 2 * POINTS)
        self.presence = nn.Linear(design.locator.features, 1)
        for layer in (self.head, self.points):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.head.bias[5] = MEAN_LOG_WIDTH

    def forward(self, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """half: float32 [B, 3, side, side], about -1..1. Returns head [B, 6] (yaw, pitch, roll in
        radians; u, v of the head's origin, crop units -1..1; ln of the crop's width in cm), points [B,
        POINTS, 2] (crop units) and presence logits [B]."""
        hidden = learnt_in_bfloat16(self.crop, half)
        return (
            self.head(hidden),
            self.points(hidden).unflatten(1, (POINTS, 2)),
            self.presence(hidden)[:, 0],
        )


def halve(crop: Tensor) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S / 2, S / 2] in -1..1: means of 2 x 2 pixels.

    A convolution does that and the change of range in one pass, twice as fast as pooling does.
    """
    weight, bias = _HALVING.to(crop.device), -torch.ones(3, device=crop.device)
    return functional.conv2d(crop.permute(0, 3, 1, 2).float(), weight, bias, stride=2)
