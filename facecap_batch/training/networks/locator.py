"""The locator: a whole crop at half resolution to head pose, landmarks and presence.

In: crops at half resolution. Out: head, landmarks, presence. It is built from the inverted residuals of
MobileNetV3 (Howard et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.importing.networks.mobilenetv3 import ConvBNAct, InvertedResidual, initialise

MEAN_LOG_WIDTH = 3.2  # ln of a crop's width in cm, where training starts from
# Means of 2 x 2 pixels 0..255, scaled to a span of 2: kernel of a convolution.
_HALVING = torch.eye(3)[:, :, None, None].repeat(1, 1, 2, 2) / (4 * 127.5)


class Locator(nn.Module):
    """Whole crop to head pose, landmarks and presence."""

    READOUTS = ("head", "points", "presence")  # layers whose output leaves it

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBNAct(3, 16, 3, 2, activation="hardswish"),
            InvertedResidual(16, 16, 16, 3, 2, squeeze=True, activation="relu"),
            InvertedResidual(16, 72, 24, 3, 2, squeeze=False, activation="relu"),
            InvertedResidual(24, 88, 24, 3, 1, squeeze=False, activation="relu"),
            InvertedResidual(24, 96, 40, 5, 2, squeeze=True, activation="hardswish"),
            InvertedResidual(40, 240, 40, 5, 1, squeeze=True, activation="hardswish"),
            InvertedResidual(40, 120, 48, 5, 1, squeeze=True, activation="hardswish"),
            InvertedResidual(48, 192, 64, 5, 2, squeeze=True, activation="hardswish"),
            InvertedResidual(64, 256, 64, 5, 1, squeeze=True, activation="hardswish"),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, width), nn.Hardswish())
        self.head = nn.Linear(width, 6)
        self.points = nn.Linear(width, 2 * POINTS)
        self.presence = nn.Linear(width, 1)
        initialise(self)
        for layer in (self.head, self.points):
            nn.init.zeros_(layer.weight)
        with torch.no_grad():
            self.head.bias[5] = MEAN_LOG_WIDTH

    def forward(self, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """half: float32 [B, 3, CROP / 2, CROP / 2], about -1..1. Returns head [B, 6] (yaw, pitch, roll in
        radians; u, v of the head's origin, crop units -1..1; ln of the crop's width in cm), points [B,
        POINTS, 2] (crop units) and presence logits [B]."""
        hidden = self.hidden(self.features(half))
        return (
            self.head(hidden),
            self.points(hidden).unflatten(1, (POINTS, 2)),
            self.presence(hidden)[:, 0],
        )


def halve(crop: Tensor) -> Tensor:
    """uint8 [B, CROP, CROP, 3] to float32 [B, 3, CROP / 2, CROP / 2] in -1..1: means of 2 x 2 pixels.

    A convolution does that and the change of range in one pass, twice as fast as pooling does.
    """
    weight, bias = _HALVING.to(crop.device), -torch.ones(3, device=crop.device)
    return functional.conv2d(crop.permute(0, 3, 1, 2).float(), weight, bias, stride=2)
